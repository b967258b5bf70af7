/* Tests of base/text and base/errbuf: what fits, what does not, and that somebody is told. */
#include "base/errbuf.h"
#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Room for seven bytes; the eighth would be the guard's. */
static char buf[9];
static struct text t;

static int start(void **state)
{
    memset(buf, '#', sizeof buf);
    text_init(&t, buf, sizeof buf - 1);
    return 0;
}

static void check(const char *want, bool overflow)
{
    assert_string_equal(buf, want);
    assert_int_equal(t.len, strlen(want));
    assert_int_equal(t.overflow, overflow);
    assert_int_equal(buf[sizeof buf - 1], '#');
}

static void test_span(void **state)
{
    check("", false);
    text_span(&t, span_make(NULL, 0));
    check("", false);
    text_cstr(&t, "abcdef");
    check("abcdef", false);
    text_char(&t, 'g');
    check("abcdefg", false);
    text_cstr(&t, "");
    check("abcdefg", false);
    text_char(&t, 'h');
    check("abcdefg", true);
}

static void test_span_keeps_what_fits(void **state)
{
    text_cstr(&t, "abc");
    text_cstr(&t, "defghijk");
    check("abcdefg", true);
    text_cstr(&t, ""); /* once told, always told */
    check("abcdefg", true);
}

static void test_numbers(void **state)
{
    char room[24];

    text_u64(&t, 0);
    text_char(&t, ' ');
    text_u64(&t, 10);
    check("0 10", false);
    text_u64(&t, 12345);
    check("0 10123", true);
    text_init(&t, room, sizeof room);
    text_u64(&t, UINT64_MAX);
    assert_string_equal(room, "18446744073709551615");
    assert_false(t.overflow);
}

static void test_printf(void **state)
{
    text_printf(&t, "%s-%d", "ab", 12);
    check("ab-12", false);
    text_printf(&t, "%s", "");
    check("ab-12", false);
    text_printf(&t, "%s", "cd");
    check("ab-12cd", false);
    text_printf(&t, "%s", "");
    check("ab-12cd", false);
    text_printf(&t, "e");
    check("ab-12cd", true);
}

static void test_printf_keeps_what_fits(void **state)
{
    text_printf(&t, "%s", "abcdefghij");
    check("abcdefg", true);
}

static void test_printable(void **state)
{
    text_printable(&t, SPAN_LIT("a\0\r\n\x1b\x7f\xc3"));
    check("a?????\xc3", false);
    text_printable(&t, SPAN_LIT("x"));
    check("a?????\xc3", true);
}

static void test_printable_max(void **state)
{
    text_printable_max(&t, SPAN_LIT("abc"), 2);
    text_printable_max(&t, SPAN_LIT("d"), 2);
    text_printable_max(&t, SPAN_LIT("e"), 0);
    check("abd", false); /* cut by its caller's wish: no overflow */
    assert_true(span_equal(text_as_span(&t), SPAN_LIT("abd")));
}

static void test_smallest_room(void **state)
{
    text_init(&t, buf, 1);
    text_cstr(&t, "");
    assert_false(t.overflow);
    text_printf(&t, "%s", "");
    assert_false(t.overflow);
    text_printf(&t, "a");
    text_cstr(&t, "a");
    text_u64(&t, 1);
    assert_true(t.overflow);
    assert_string_equal(buf, "");
    assert_int_equal(buf[1], '#');
}

static void test_errbuf(void **state)
{
    struct errbuf err;
    char longest[ERRBUF_CAP + 10];

    assert_int_equal(errbuf_set(&err, -EIO, "write %d", 7), -EIO);
    assert_string_equal(err.text, "write 7");
    assert_int_equal(errbuf_prefix(&err, -EIO, "spool"), -EIO);
    assert_string_equal(err.text, "spool: write 7");
    assert_int_equal(errbuf_set(NULL, -1, "nobody asked"), -1);
    assert_int_equal(errbuf_prefix(NULL, -1, "nobody asked"), -1);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    errbuf_set(&err, -1, "%s", longest);
    assert_int_equal(strlen(err.text), ERRBUF_CAP - 1);
    errbuf_prefix(&err, -1, "front");
    assert_int_equal(strlen(err.text), ERRBUF_CAP - 1);
    assert_memory_equal(err.text, "front: xx", 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_span, start),
        cmocka_unit_test_setup(test_span_keeps_what_fits, start),
        cmocka_unit_test_setup(test_numbers, start),
        cmocka_unit_test_setup(test_printf, start),
        cmocka_unit_test_setup(test_printf_keeps_what_fits, start),
        cmocka_unit_test_setup(test_printable, start),
        cmocka_unit_test_setup(test_printable_max, start),
        cmocka_unit_test_setup(test_smallest_room, start),
        cmocka_unit_test(test_errbuf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
