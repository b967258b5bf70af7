/* Tests of smtp/address and smtp/domain: what is taken, what is refused, and the limits. */
#include "smtp/address.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct row {
    struct span path;
    const char *want; /* text; NULL is refused */
    const char *rest;
};

static const struct row good_rows[] = {
    {SPAN_LIT("<a@b.example>"),                  "a@b.example",               ""                 },
    {SPAN_LIT("<A.b@Example.ORG>"),              "A.b@Example.ORG",           ""                 },
    {SPAN_LIT("<>"),                             "",                          ""                 },
    {SPAN_LIT("<> SIZE=1"),                      "",                          " SIZE=1"          },
    {SPAN_LIT(" \t <a@b>"),                      "a@b",                       ""                 },
    {SPAN_LIT("<a@b> SIZE=1 BODY=7BIT"),         "a@b",                       " SIZE=1 BODY=7BIT"},
    {SPAN_LIT("<a@b>x"),                         "a@b",                       "x"                },
    {SPAN_LIT("<a@b>>"),                         "a@b",                       ">"                },
 /* without brackets, as Postfix takes it */
    {SPAN_LIT("a@b"),                            "a@b",                       ""                 },
    {SPAN_LIT(" a@b SIZE=1"),                    "a@b",                       " SIZE=1"          },
    {SPAN_LIT("a@b\tSIZE=1"),                    "a@b",                       "\tSIZE=1"         },
    {SPAN_LIT("\"a b\"@c SIZE=1"),               "\"a b\"@c",                 " SIZE=1"          },
    {SPAN_LIT("postmaster"),                     "postmaster",                ""                 },
 /* local parts in the wild */
    {SPAN_LIT("<postmaster>"),                   "postmaster",                ""                 },
    {SPAN_LIT("<a..b@x>"),                       "a..b@x",                    ""                 },
    {SPAN_LIT("<.a.@x>"),                        ".a.@x",                     ""                 },
    {SPAN_LIT("<.@x>"),                          ".@x",                       ""                 },
    {SPAN_LIT("<!#$%&'*+-/=?^_`{|}~@x>"),        "!#$%&'*+-/=?^_`{|}~@x",     ""                 },
    {SPAN_LIT("<prvs=1234567890=a@x>"),          "prvs=1234567890=a@x",       ""                 },
    {SPAN_LIT("<SRS0=xyz=T7=d.example=u@x>"),    "SRS0=xyz=T7=d.example=u@x", ""                 },
    {SPAN_LIT("<user+tag@x>"),                   "user+tag@x",                ""                 },
    {SPAN_LIT("<\"a\"@x>"),                      "\"a\"@x",                   ""                 },
    {SPAN_LIT("<\" \"@x>"),                      "\" \"@x",                   ""                 },
    {SPAN_LIT("<\"a@b>,;:\"@x>"),                "\"a@b>,;:\"@x",             ""                 },
    {SPAN_LIT("<\"a\\\"\\\\b\"@x>"),             "\"a\\\"\\\\b\"@x",          ""                 },
    {SPAN_LIT("<\"a\">"),                        "\"a\"",                     ""                 },
 /* domains in the wild */
    {SPAN_LIT("<a@b.example.>"),                 "a@b.example",               ""                 },
    {SPAN_LIT("<a@under_score.example>"),        "a@under_score.example",     ""                 },
    {SPAN_LIT("<a@-b-.example>"),                "a@-b-.example",             ""                 },
    {SPAN_LIT("<a@1.2.3.4>"),                    "a@1.2.3.4",                 ""                 },
    {SPAN_LIT("<a@[1.2.3.4]>"),                  "a@[1.2.3.4]",               ""                 },
    {SPAN_LIT("<a@[IPv6:2001:db8::1]>"),         "a@[IPv6:2001:db8::1]",      ""                 },
    {SPAN_LIT("<a@[ipv6:::]>"),                  "a@[ipv6:::]",               ""                 },
 /* source routes are dropped */
    {SPAN_LIT("<@a:b@c>"),                       "b@c",                       ""                 },
    {SPAN_LIT("<@a.example,@b.example.:c@d> X"), "c@d",                       " X"               },
    {SPAN_LIT("<@[1.2.3.4]:b@c>"),               "b@c",                       ""                 },
    {SPAN_LIT("<@a:postmaster>"),                "postmaster",                ""                 },
};

static const struct span bad_rows[] = {
    SPAN_LIT(""),
    SPAN_LIT(" "),
    SPAN_LIT("<"),
    SPAN_LIT(">"),
    SPAN_LIT("<a@b"),
    SPAN_LIT("a@b>"),
    SPAN_LIT("< >"),
    SPAN_LIT("< a@b>"),
    SPAN_LIT("<a@b >"),
    SPAN_LIT("<a @b>"),
    SPAN_LIT("<a@ b>"),
    SPAN_LIT("<<a@b>>"),
    SPAN_LIT("<a@b@c>"),
    SPAN_LIT("<@b>"),
    SPAN_LIT("<@>"),
    SPAN_LIT("<a@>"),
    SPAN_LIT("a@"),
    SPAN_LIT("<;x;@>"), /* CVE-2020-7247 */
    SPAN_LIT("<;x;@y>"),
    SPAN_LIT("<\"\">"),
    SPAN_LIT("<\"\"@x>"), /* CVE-2020-10967 */
    SPAN_LIT("\"\"@x"),
    SPAN_LIT("<\"a@x>"),
    SPAN_LIT("<a\"@x>"),
    SPAN_LIT("<\"a\\\"@x>"),
    SPAN_LIT("<\"a\\"),
    SPAN_LIT("<\"a\"b@x>"),
    SPAN_LIT("<a\"b\"@x>"),
    SPAN_LIT("<\"a\".\"b\"@x>"),
    SPAN_LIT("<\"a\tb\"@x>"),
    SPAN_LIT("<\"a\\\tb\"@x>"),
    SPAN_LIT("<\"a\0b\"@x>"),
    SPAN_LIT("<\"a\rb\"@x>"),
    SPAN_LIT("<\"a\x7f\"@x>"),
    SPAN_LIT("<a\\b@x>"),
    SPAN_LIT("<a(b)@x>"),
    SPAN_LIT("<a,b@x>"),
    SPAN_LIT("<a:b@x>"),
    SPAN_LIT("<a[b]@x>"),
    SPAN_LIT("<a\0@x>"),
    SPAN_LIT("<a\r@x>"),
    SPAN_LIT("<a\n@x>"),
    SPAN_LIT("<a\x1b@x>"),
    SPAN_LIT("<a@x\0>"),
    SPAN_LIT("<a@x\r>"),
    SPAN_LIT("<a@x\0.example>"),
    SPAN_LIT("<a@.>"),
    SPAN_LIT("<a@b..>"),
    SPAN_LIT("<a@.b>"),
    SPAN_LIT("<a@b..c>"),
    SPAN_LIT("<a@b,c>"),
    SPAN_LIT("<a@b/c>"),
    SPAN_LIT("<a@[]>"),
    SPAN_LIT("<a@[1.2.3.4>"),
    SPAN_LIT("<a@[1.2.3.4].>"),
    SPAN_LIT("<a@[1.2.3.4]x>"),
    SPAN_LIT("<a@[1.2.3]>"),
    SPAN_LIT("<a@[2001:db8::1]>"),
    SPAN_LIT("<@a>"),
    SPAN_LIT("<@a:>"),
    SPAN_LIT("<@:b@c>"),
    SPAN_LIT("<@a,b:c@d>"),
    SPAN_LIT("<@a,:c@d>"),
    SPAN_LIT("<@a@b:c@d>"),
    SPAN_LIT("<@a:@b:c@d>"),
    SPAN_LIT("<@a b:c@d>"),
    SPAN_LIT("@a:b@c"),
    SPAN_LIT("a@b,c@d"),
};

static void check_good(const struct row *row)
{
    char *copy = trace_copy(row->path);
    struct span path = span_make(copy, row->path.len);
    struct smtp_address a;
    struct span rest;
    enum smtp_address_error error = smtp_address_parse_path(path, false, &a, &rest);

    if (error != SMTP_ADDRESS_OK)
        print_error("refused: %.*s\n", (int)row->path.len, row->path.ptr);
    assert_int_equal(error, SMTP_ADDRESS_OK);
    assert_string_equal(a.text, row->want);
    assert_int_equal(a.len, strlen(row->want));
    assert_true(span_equal(rest, span_of(row->rest)));
    assert_int_equal(smtp_address_is_null(&a), row->want[0] == '\0');
    assert_false(a.non_ascii);
    free(copy);
}

static void check_bad(struct span path, bool utf8, enum smtp_address_error want)
{
    char *copy = trace_copy(path);
    struct smtp_address a;
    struct span rest;
    enum smtp_address_error error =
        smtp_address_parse_path(span_make(copy, path.len), utf8, &a, &rest);

    if (error != want)
        print_error("error %d: %.*s\n", (int)error, (int)path.len, path.ptr);
    assert_int_equal(error, want);
    assert_int_equal(a.len, 0);
    assert_string_equal(a.text, "");
    free(copy);
}

static void test_paths(void **state)
{
    for (size_t i = 0; i < COUNT(good_rows); i++)
        check_good(&good_rows[i]);
    for (size_t i = 0; i < COUNT(bad_rows); i++) {
        check_bad(bad_rows[i], false, SMTP_ADDRESS_SYNTAX);
        check_bad(bad_rows[i], true, SMTP_ADDRESS_SYNTAX);
    }
}

/* A path without its end is refused, wherever it was cut; nothing is read beyond the cut. */
static void test_cut_paths(void **state)
{
    for (size_t i = 0; i < COUNT(good_rows); i++) {
        struct span path = good_rows[i].path;
        bool brackets = span_find(path, '<') < path.len;

        for (size_t len = 0; brackets && len < path.len && path.ptr[len] != '>'; len++)
            check_bad(span_first(path, len), true, SMTP_ADDRESS_SYNTAX);
    }
}

static void test_parts(void **state)
{
    struct smtp_address a;
    struct span rest;

    smtp_address_parse_path(SPAN_LIT("<\"a@b\"@c.example.>"), false, &a, &rest);
    assert_true(span_equal(smtp_address_local(&a), SPAN_LIT("\"a@b\"")));
    assert_true(span_equal(smtp_address_domain(&a), SPAN_LIT("c.example")));
    assert_true(span_equal(smtp_address_span(&a), SPAN_LIT("\"a@b\"@c.example")));
    assert_true(a.has_domain);
    assert_false(a.literal);
    smtp_address_parse_path(SPAN_LIT("<a@[1.2.3.4]>"), false, &a, &rest);
    assert_true(a.literal);
    assert_true(span_equal(smtp_address_domain(&a), SPAN_LIT("[1.2.3.4]")));
    smtp_address_parse_path(SPAN_LIT("<postmaster>"), false, &a, &rest);
    assert_false(a.has_domain);
    assert_int_equal(smtp_address_domain(&a).len, 0);
    assert_true(span_equal(smtp_address_local(&a), SPAN_LIT("postmaster")));
    smtp_address_parse_path(SPAN_LIT("<>"), false, &a, &rest);
    assert_false(a.has_domain);
    assert_int_equal(smtp_address_domain(&a).len, 0);
    assert_int_equal(smtp_address_local(&a).len, 0);
}

static void test_bare_mailboxes(void **state)
{
    struct smtp_address a;

    assert_int_equal(smtp_address_parse(SPAN_LIT("a@b.example."), false, &a), SMTP_ADDRESS_OK);
    assert_string_equal(a.text, "a@b.example");
    assert_int_equal(smtp_address_parse(SPAN_LIT("root"), false, &a), SMTP_ADDRESS_OK);
    assert_int_equal(smtp_address_parse(SPAN_LIT(""), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_address_parse(SPAN_LIT("<a@b>"), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_address_parse(SPAN_LIT("a@b "), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_address_parse(SPAN_LIT(" a@b"), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_address_parse(SPAN_LIT("@a:b@c"), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_address_parse(SPAN_LIT("\xc3\xa9@b"), false, &a), SMTP_ADDRESS_NON_ASCII);
    assert_int_equal(smtp_address_parse(SPAN_LIT("\xc3\xa9@b"), true, &a), SMTP_ADDRESS_OK);
}

/* 8-bit without SMTPUTF8 has a reply of its own; with it, only well-formed text without controls.
 */
static void test_8bit(void **state)
{
    static const struct span fine[] = {
        SPAN_LIT("<\xc3\xa9@b>"),
        SPAN_LIT("<a@b\xc3\xbc.example>"),
        SPAN_LIT("<\"\xc3\xa9 x\"@b>"),
        SPAN_LIT("\xf0\x9f\x93\xa7@b"),
        SPAN_LIT("<@b\xc3\xbc.example:a@b>"),
    };
    static const struct span broken[] = {
        SPAN_LIT("<\xff@b>"),       SPAN_LIT("<a\xc3@b>"),        SPAN_LIT("<a@\xa9.example>"),
        SPAN_LIT("<\xc0\xaf@b>"),   SPAN_LIT("<\xed\xa0\x80@b>"), SPAN_LIT("<\xc2\x9b@b>"),
        SPAN_LIT("<a@\xc2\x85.b>"), SPAN_LIT("<\"\xc2\x80\"@b>"), SPAN_LIT("<@\xff:a@b>"),
    };
    struct smtp_address a;
    struct span rest;

    for (size_t i = 0; i < COUNT(fine); i++) {
        check_bad(fine[i], false, SMTP_ADDRESS_NON_ASCII);
        assert_int_equal(smtp_address_parse_path(fine[i], true, &a, &rest), SMTP_ADDRESS_OK);
        assert_int_equal(a.non_ascii, i < COUNT(fine) - 1); /* the route was dropped */
    }
    for (size_t i = 0; i < COUNT(broken); i++)
        check_bad(broken[i], true, SMTP_ADDRESS_SYNTAX);
    check_bad(SPAN_LIT("<\"\\\xc3\xa9\"@b>"), true, SMTP_ADDRESS_SYNTAX);
    check_bad(SPAN_LIT("<\xff@b>"), false, SMTP_ADDRESS_NON_ASCII);
    /* what follows is known, so that the SMTPUTF8 behind it can be found */
    assert_int_equal(smtp_address_parse_path(SPAN_LIT("<\xc3\xa9@b> SMTPUTF8"), false, &a, &rest),
                     SMTP_ADDRESS_NON_ASCII);
    assert_true(span_equal(rest, SPAN_LIT(" SMTPUTF8")));
}

/* Writes "<local@domain>" with parts of the given lengths, labels of `label` bytes. */
static enum smtp_address_error parse_sized(size_t local, size_t domain, size_t label, bool dot)
{
    static char path[1024];
    struct smtp_address a;
    struct span rest;
    struct text t;

    text_init(&t, path, sizeof path);
    text_char(&t, '<');
    for (size_t i = 0; i < local; i++)
        text_char(&t, 'l');
    text_char(&t, '@');
    for (size_t i = 0; i < domain; i++)
        text_char(&t, i % (label + 1) == label ? '.' : 'd');
    text_cstr(&t, dot ? ".>" : ">");
    assert_false(t.overflow);
    return smtp_address_parse_path(text_as_span(&t), false, &a, &rest);
}

static void test_limits(void **state)
{
    assert_int_equal(parse_sized(64, 9, 63, false), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(65, 9, 63, false), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(SMTP_LOCAL_PART_MAX - 1, 9, 63, false), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(SMTP_LOCAL_PART_MAX, 9, 63, false), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(SMTP_LOCAL_PART_MAX + 1, 9, 63, false), SMTP_ADDRESS_TOO_LONG);
    assert_int_equal(parse_sized(1, SMTP_DOMAIN_MAX - 1, 60, false), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(1, SMTP_DOMAIN_MAX, 60, false), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(1, SMTP_DOMAIN_MAX, 60, true), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(1, SMTP_DOMAIN_MAX + 1, 60, false), SMTP_ADDRESS_TOO_LONG);
    assert_int_equal(parse_sized(1, SMTP_DOMAIN_MAX + 1, 60, true), SMTP_ADDRESS_TOO_LONG);
    assert_int_equal(parse_sized(SMTP_LOCAL_PART_MAX, SMTP_DOMAIN_MAX, 60, true), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(1, 62, 63, false), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(1, 63, 63, false), SMTP_ADDRESS_OK);
    assert_int_equal(parse_sized(1, 64, 64, false), SMTP_ADDRESS_SYNTAX);
}

/* Whatever was taken is one word without control bytes, and is taken again as it stands. */
static void test_random_bytes(void **state)
{
    uint64_t seed = 10967;
    char input[24];

    for (int i = 0; i < 300000; i++) {
        size_t len = trace_random(&seed) % sizeof input;
        struct smtp_address a;
        struct smtp_address again;
        struct span rest;

        trace_random_bytes(&seed, SPAN_LIT("<>@@\"\\ab.:, [1]\xc3\xa9"), input, len);
        if (smtp_address_parse_path(span_make(input, len), i % 2, &a, &rest) != SMTP_ADDRESS_OK)
            continue;
        assert_true(len - rest.len >= a.len && a.len == strlen(a.text));
        for (size_t k = 0; k < a.len; k++)
            assert_false(ascii_is_control(a.text[k]));
        if (a.len == 0)
            continue;
        assert_int_equal(smtp_address_parse(smtp_address_span(&a), i % 2, &again), SMTP_ADDRESS_OK);
        assert_string_equal(again.text, a.text);
        assert_int_equal(again.local_len, a.local_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),        cmocka_unit_test(test_cut_paths),
        cmocka_unit_test(test_parts),        cmocka_unit_test(test_bare_mailboxes),
        cmocka_unit_test(test_8bit),         cmocka_unit_test(test_limits),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
