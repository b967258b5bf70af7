/* Tests of control/control_format_json: valid JSON out of any bytes. */
#include "control/control_format_json.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_strings(void **state)
{
    static const struct {
        struct span input;
        const char *want;
    } rows[] = {
        {SPAN_LIT(""),                     "\"\""                                     },
        {SPAN_LIT("plain a@b"),            "\"plain a@b\""                            },
        {SPAN_LIT("\"\\/"),                "\"\\\"\\\\/\""                            },
        {SPAN_LIT("a\nb\rc\td"),           "\"a\\nb\\rc\\td\""                        },
        {SPAN_LIT("\0\x1b\x7f"),           "\"\\u0000\\u001B\\u007F\""                },
        {SPAN_LIT("\xc3\xbc\xe2\x82\xac"), "\"\xc3\xbc\xe2\x82\xac\""                 },
        {SPAN_LIT("\xf0\x9f\x93\xa7"),     "\"\xf0\x9f\x93\xa7\""                     },
        {SPAN_LIT("a\xff"
                  "b"),
         "\"a\xef\xbf\xbd"
         "b\""                                                                        },
        {SPAN_LIT("\xc3"),                 "\"\xef\xbf\xbd\""                         },
        {SPAN_LIT("\xc3(\xc0\x80"),        "\"\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\""},
        {SPAN_LIT("\xed\xa0\x80"),         "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *copy = trace_copy(rows[i].input);
        char buf[128];
        struct text t;

        text_init(&t, buf, sizeof buf);
        json_put_string(&t, span_make(copy, rows[i].input.len));
        assert_string_equal(buf, rows[i].want);
        assert_true(t.len <= JSON_STRING_GROWTH * rows[i].input.len + 2);
        free(copy);
    }
}

static void test_name(void **state)
{
    char buf[32];
    struct text t;

    text_init(&t, buf, sizeof buf);
    json_put_name(&t, "queued");
    assert_string_equal(buf, "\"queued\": ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
