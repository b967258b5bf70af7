/* Tests of healthcheck/json.c, which is a program of its own: included, not linked. */
#include "../../healthcheck/json.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char status[] =
    "{\"name\": \"a, \\\"b\\\": {\", \"n\": -12, \"empty\": {}, \"list\": [\"x\", \"[y]\", "
    "{\"n\": 5, \"up\": true}, []], \"up\": false, \"last\": 7}";

static void test_members(void **state)
{
    char text[64];

    json_string(json_member(status, "name"), text, sizeof text);
    assert_string_equal(text, "a, \"b\": {");
    assert_int_equal(json_number(json_member(status, "n")), -12);
    assert_int_equal(json_number(json_member(status, "last")), 7);
    assert_false(json_true(json_member(status, "up")));
    assert_null(json_member(status, "b"));
    assert_null(json_member(status, "nam"));
    assert_null(json_member(status, "x"));
    assert_null(json_member(json_member(status, "empty"), "n"));
    assert_null(json_member(json_member(status, "n"), "n"));
    assert_null(json_member(NULL, "n"));
}

static void test_array(void **state)
{
    const char *value = json_first(json_member(status, "list"));
    char text[8];

    json_string(value, text, sizeof text);
    assert_string_equal(text, "x");
    value = json_next(value);
    json_string(value, text, sizeof text);
    assert_string_equal(text, "[y]");
    value = json_next(value);
    assert_int_equal(json_number(json_member(value, "n")), 5);
    assert_true(json_true(json_member(value, "up")));
    value = json_next(value);
    assert_null(json_first(value));
    assert_null(json_next(value));
    assert_null(json_first(json_member(status, "n")));
    assert_null(json_first(NULL));
}

static void test_strings_are_cut_and_plain(void **state)
{
    char text[5];

    json_string("\"abcdefgh\"", text, sizeof text);
    assert_string_equal(text, "abcd");
    json_string("\"a\\nb\"", text, sizeof text);
    assert_string_equal(text, "a?b");
    json_string("\"\\\\\\\"\"", text, sizeof text);
    assert_string_equal(text, "\\\"");
    json_string("12", text, sizeof text);
    assert_string_equal(text, "");
    json_string(NULL, text, sizeof text);
    assert_string_equal(text, "");
}

/* Cut anywhere it may say anything, but reads nothing beyond the end and comes back. */
static void test_cut_short(void **state)
{
    for (size_t cut = 0; cut < sizeof status; cut++) {
        char *copy = malloc(cut + 1);
        char text[64];
        const char *value;

        assert_non_null(copy);
        memcpy(copy, status, cut);
        copy[cut] = '\0';
        json_string(json_member(copy, "name"), text, sizeof text);
        json_number(json_member(copy, "last"));
        for (value = json_first(json_member(copy, "list")); value; value = json_next(value))
            json_member(value, "n");
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_strings_are_cut_and_plain),
        cmocka_unit_test(test_cut_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
