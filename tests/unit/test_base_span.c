/* Tests of base/span: the edges (empty, NULL, NUL and 8-bit bytes, overflow) more than the middle.
 */
#include "base/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct span none = {NULL, 0};

static void test_making(void **state)
{
    assert_int_equal(span_of(NULL).len, 0);
    assert_int_equal(span_of("").len, 0);
    assert_true(span_equal(span_of("abc"), SPAN_LIT("abc")));
    assert_int_equal(SPAN_LIT("a\0b").len, 3);
    assert_true(span_equal(span_make("abc", 2), SPAN_LIT("ab")));
}

static void test_parts(void **state)
{
    struct span s = SPAN_LIT("abc");

    assert_true(span_equal(span_from(s, 0), s));
    assert_true(span_equal(span_from(s, 2), SPAN_LIT("c")));
    assert_int_equal(span_from(s, 3).len, 0);
    assert_int_equal(span_from(s, SIZE_MAX).len, 0);
    assert_int_equal(span_from(none, 1).len, 0);
    assert_int_equal(span_first(s, 0).len, 0);
    assert_true(span_equal(span_first(s, 2), SPAN_LIT("ab")));
    assert_true(span_equal(span_first(s, SIZE_MAX), s));
    assert_int_equal(span_first(none, 5).len, 0);
}

static void test_trim(void **state)
{
    assert_true(span_equal(span_trim(SPAN_LIT(" \t\r\na b\r\n\t ")), SPAN_LIT("a b")));
    assert_true(span_equal(span_trim(SPAN_LIT("a")), SPAN_LIT("a")));
    assert_true(span_equal(span_trim(SPAN_LIT("\0 ")), SPAN_LIT("\0")));
    assert_int_equal(span_trim(SPAN_LIT(" \r\n ")).len, 0);
    assert_int_equal(span_trim(none).len, 0);
}

static void test_equal(void **state)
{
    assert_true(span_equal(none, SPAN_LIT("")));
    assert_true(span_equal(SPAN_LIT("a\0b"), SPAN_LIT("a\0b")));
    assert_false(span_equal(SPAN_LIT("a\0b"), SPAN_LIT("a\0c")));
    assert_false(span_equal(SPAN_LIT("a"), SPAN_LIT("A")));
    assert_false(span_equal(SPAN_LIT("a"), SPAN_LIT("ab")));
    assert_true(span_equal_nocase(SPAN_LIT("aZ\xc9"), SPAN_LIT("Az\xc9")));
    assert_false(span_equal_nocase(SPAN_LIT("\xc9"), SPAN_LIT("\xe9"))); /* ASCII case only */
    assert_false(span_equal_nocase(SPAN_LIT("@["), SPAN_LIT("`{")));     /* 32 apart, no letters */
    assert_false(span_equal_nocase(SPAN_LIT("a"), SPAN_LIT("ab")));
}

static void test_starts_and_ends(void **state)
{
    assert_true(span_starts_nocase(SPAN_LIT("From:x"), SPAN_LIT("FROM:")));
    assert_true(span_starts_nocase(SPAN_LIT("From:"), SPAN_LIT("FROM:")));
    assert_false(span_starts_nocase(SPAN_LIT("From"), SPAN_LIT("FROM:")));
    assert_true(span_starts_nocase(SPAN_LIT("x"), none));
    assert_true(span_ends_nocase(SPAN_LIT("a.Example"), SPAN_LIT(".example")));
    assert_true(span_ends_nocase(SPAN_LIT(".example"), SPAN_LIT(".example")));
    assert_false(span_ends_nocase(SPAN_LIT("example"), SPAN_LIT(".example")));
    assert_true(span_ends_nocase(SPAN_LIT("x"), none));
    assert_true(span_ends_nocase(none, none));
}

static void test_find(void **state)
{
    struct span s = SPAN_LIT("a.b\0.c");

    assert_int_equal(span_find(s, '.'), 1);
    assert_int_equal(span_find_last(s, '.'), 4);
    assert_int_equal(span_find(s, '\0'), 3);
    assert_int_equal(span_find_last(s, 'a'), 0);
    assert_int_equal(span_find(s, 'x'), 6);
    assert_int_equal(span_find_last(s, 'x'), 6);
    assert_int_equal(span_find(none, 'x'), 0);
    assert_int_equal(span_find_last(none, 'x'), 0);
}

static void test_words(void **state)
{
    struct span rest = SPAN_LIT(", a,,b\0c ,\td ");
    struct span word = none;

    assert_true(span_next_word(&rest, ", \t", &word));
    assert_true(span_equal(word, SPAN_LIT("a")));
    assert_true(span_next_word(&rest, ", \t", &word));
    assert_true(span_equal(word, SPAN_LIT("b\0c"))); /* NUL is no separator */
    assert_true(span_next_word(&rest, ", \t", &word));
    assert_true(span_equal(word, SPAN_LIT("d")));
    assert_false(span_next_word(&rest, ", \t", &word));
    assert_int_equal(rest.len, 0);
    assert_false(span_next_word(&rest, ", \t", &word));
    rest = SPAN_LIT("one");
    assert_true(span_next_word(&rest, " ", &word));
    assert_true(span_equal(word, SPAN_LIT("one")));
    rest = SPAN_LIT("a b"); /* without separators all is one word */
    assert_true(span_next_word(&rest, "", &word));
    assert_true(span_equal(word, SPAN_LIT("a b")));
}

struct number_row {
    struct span text;
    uint64_t max;
    bool valid;
    uint64_t value;
};

static const struct number_row number_rows[] = {
    {SPAN_LIT("0"),                     0,          true,  0             },
    {SPAN_LIT("1"),                     0,          false, 0             },
    {SPAN_LIT("007"),                   7,          true,  7             },
    {SPAN_LIT("99"),                    100,        true,  99            },
    {SPAN_LIT("100"),                   100,        true,  100           },
    {SPAN_LIT("101"),                   100,        false, 0             },
    {SPAN_LIT("18446744073709551614"),  UINT64_MAX, true,  UINT64_MAX - 1},
    {SPAN_LIT("18446744073709551615"),  UINT64_MAX, true,  UINT64_MAX    },
    {SPAN_LIT("18446744073709551616"),  UINT64_MAX, false, 0             },
    {SPAN_LIT("18446744073709551620"),  UINT64_MAX, false, 0             },
    {SPAN_LIT("99999999999999999999"),  UINT64_MAX, false, 0             },
    {SPAN_LIT("184467440737095516150"), UINT64_MAX, false, 0             },
    {SPAN_LIT(""),                      UINT64_MAX, false, 0             },
    {SPAN_LIT("-1"),                    UINT64_MAX, false, 0             },
    {SPAN_LIT("+1"),                    UINT64_MAX, false, 0             },
    {SPAN_LIT(" 1"),                    UINT64_MAX, false, 0             },
    {SPAN_LIT("1 "),                    UINT64_MAX, false, 0             },
    {SPAN_LIT("1\0"),                   UINT64_MAX, false, 0             },
    {SPAN_LIT("0x1"),                   UINT64_MAX, false, 0             },
    {SPAN_LIT("1\xb2"),                 UINT64_MAX, false, 0             },
};

static void test_numbers(void **state)
{
    for (size_t i = 0; i < COUNT(number_rows); i++) {
        uint64_t value = 4711;

        assert_int_equal(span_to_u64(number_rows[i].text, number_rows[i].max, &value),
                         number_rows[i].valid);
        assert_int_equal(value, number_rows[i].valid ? number_rows[i].value : 4711);
    }
}

static void test_copy(void **state)
{
    char dst[4] = "xyz";

    assert_true(span_copy(SPAN_LIT("abc"), dst, sizeof dst));
    assert_string_equal(dst, "abc");
    assert_false(span_copy(SPAN_LIT("abcd"), dst, sizeof dst));
    assert_string_equal(dst, "");
    assert_true(span_copy(SPAN_LIT("ab"), dst, sizeof dst));
    assert_string_equal(dst, "ab");
    assert_false(span_copy(SPAN_LIT("a\0"), dst, sizeof dst));
    assert_string_equal(dst, "");
    assert_true(span_copy(none, dst, 1));
    assert_false(span_copy(none, dst, 0));
}

/* Over all bytes: what ctype.h would say in the C locale, and no byte over 127 is a letter. */
static void test_ascii(void **state)
{
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        bool upper = i >= 'A' && i <= 'Z';
        bool lower = i >= 'a' && i <= 'z';

        assert_int_equal(ascii_is_digit(c), i >= '0' && i <= '9');
        assert_int_equal(ascii_is_alpha(c), upper || lower);
        assert_int_equal(ascii_is_alnum(c), ascii_is_digit(c) || ascii_is_alpha(c));
        assert_int_equal(ascii_is_control(c), i < 32 || i == 127);
        assert_int_equal(ascii_is_8bit(c), i > 127);
        assert_int_equal((unsigned char)ascii_lower(c), upper ? i + 32 : i);
        assert_int_equal((unsigned char)ascii_upper(c), lower ? i - 32 : i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_making), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_trim),   cmocka_unit_test(test_equal),
        cmocka_unit_test(test_find),   cmocka_unit_test(test_starts_and_ends),
        cmocka_unit_test(test_words),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_copy),   cmocka_unit_test(test_ascii),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
