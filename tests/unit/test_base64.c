/* base/base64 */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *bytes, *text;
} rows[] = {
    {"",             ""                }, /* RFC 4648 10 */
    {"f",            "Zg=="            },
    {"fo",           "Zm8="            },
    {"foo",          "Zm9v"            },
    {"foob",         "Zm9vYg=="        },
    {"fooba",        "Zm9vYmE="        },
    {"foobar",       "Zm9vYmFy"        },
    {"\xfb\xff\xbf", "+/+/"            },
    {"User Name:",   "VXNlciBOYW1lOg=="},
};

static void test_rows(void **state)
{
    char buf[64];
    struct text t;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        text_init(&t, buf, sizeof buf);
        base64_encode(span_of(rows[i].bytes), &t);
        assert_string_equal(buf, rows[i].text);
        assert_int_equal(t.len, BASE64_LEN(strlen(rows[i].bytes)));
    }
}

static void test_nul(void **state)
{
    char buf[64];
    struct text t;

    text_init(&t, buf, sizeof buf);
    base64_encode(SPAN_LIT("\0ann\0secret"), &t);
    assert_string_equal(buf, "AGFubgBzZWNyZXQ=");
}

static void test_no_room(void **state)
{
    char buf[4];
    struct text t;

    text_init(&t, buf, sizeof buf);
    base64_encode(SPAN_LIT("foo"), &t);
    assert_true(t.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
