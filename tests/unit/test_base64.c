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
    size_t len;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        text_init(&t, buf, sizeof buf);
        base64_encode(span_of(rows[i].bytes), &t);
        assert_string_equal(buf, rows[i].text);
        assert_true(base64_decode(span_of(rows[i].text), buf, strlen(rows[i].bytes), &len));
        assert_int_equal(len, strlen(rows[i].bytes));
        assert_memory_equal(buf, rows[i].bytes, len);
    }
}

static void test_every_byte_and_length(void **state)
{
    char bytes[256], text[BASE64_LEN(256) + 1], back[256];
    struct text t;
    size_t len;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        text_init(&t, text, sizeof text);
        base64_encode(span_make(bytes, n), &t);
        assert_false(t.overflow);
        assert_int_equal(t.len, BASE64_LEN(n));
        assert_true(base64_decode(text_as_span(&t), back, n, &len));
        assert_int_equal(len, n);
        assert_memory_equal(back, bytes, n);
        if (n > 0)
            assert_false(base64_decode(text_as_span(&t), back, n - 1, &len));
    }
}

static void test_is_none(void **state)
{
    static const char *const bad[] = {
        "Z",    "Zg",    "Zg=",   "Zg===",    "====", "=Zg=",
        "Z===", "Zg=g",  "Zm9v=", "Zm9v====", "Zh==", "Zm9=",
        "Zm 9", "Zm9\n", "Zm-_",  "Zg==Zg==", "*",    "\xff\xff\xff\xff"};
    char buf[64];
    size_t len;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (base64_decode(span_of(bad[i]), buf, sizeof buf, &len))
            fail_msg("%s", bad[i]);
    }
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
        cmocka_unit_test(test_every_byte_and_length),
        cmocka_unit_test(test_is_none),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
