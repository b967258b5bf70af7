/* test_overrides - the text that postconf -e keeps: lines, edits, and what a configuration makes of
 * it */
#include "config/overrides.h"

#include "base/text.h"
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct built built;

/* ---- lines ---- */

/* "V name|value;D name;B what stands before the equals;" */
static const char *read_all(struct span text)
{
    static char buf[1024];
    struct override o;
    struct text t;

    text_init(&t, buf, sizeof buf);
    while (overrides_next(&text, &o)) {
        text_printf(&t, "%c ", "VDB"[o.kind]);
        text_span(&t, o.name);
        if (o.kind == OVERRIDE_VALUE) {
            text_char(&t, '|');
            text_span(&t, o.value);
        }
        text_char(&t, ';');
    }
    return t.ptr;
}

static void test_lines(void **state)
{
    static const struct {
        struct span text;
        const char *want;
    } rows[] = {
        {SPAN_LIT(""),                             ""                            },
        {SPAN_LIT("\n\n  \n# x = y\n\t#z\n"),      ""                            },
        {SPAN_LIT("a = b"),                        "V a|b;"                      },
        {SPAN_LIT("a=b\nc=d\n"),                   "V a|b;V c|d;"                },
        {SPAN_LIT("\n a_1\t=  b c  \r\n"),         "V a_1|b c;"                  },
        {SPAN_LIT("a =\nb\n c \n"),                "V a|;D b;D c;"               },
        {SPAN_LIT("a = b = c ; d # e\n"),          "V a|b = c ; d # e;"          },
        {SPAN_LIT("= b\na b = c\na-b\n\x80\nx=y"), "B ;B a b;B a-b;B \x80;V x|y;"},
        {SPAN_LIT("a\0b = c\nd = e\n"),            "B a"                         }, /* and a NUL */
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        const char *got = read_all(rows[i].text);

        if (strcmp(got, rows[i].want) != 0)
            fail_msg("row %zu: %s", i, got);
    }
}

static void test_have(void **state)
{
    struct span text = SPAN_LIT("# c = d\na = b\ne\nf g = h\n");

    assert_true(overrides_have(text, SPAN_LIT("a")));
    assert_true(overrides_have(text, SPAN_LIT("e")));
    assert_false(overrides_have(text, SPAN_LIT("c")));
    assert_false(overrides_have(text, SPAN_LIT("f g")));
    assert_false(overrides_have(text, SPAN_LIT("")));
    assert_false(overrides_have(span_make(NULL, 0), SPAN_LIT("a")));
}

/* ---- edits ---- */

/* "a=b;#c;-d": sets a, resets c, removes d. */
static size_t parse_edits(const char *words, struct override_edit *edits)
{
    struct span rest = span_of(words);
    struct span word;
    size_t count = 0;

    while (span_next_word(&rest, ";", &word)) {
        size_t equals = span_find(word, '=');
        struct override_edit *e = &edits[count++];

        *e = (struct override_edit){.deed = word.ptr[0] == '#' ? OVERRIDE_RESET : OVERRIDE_REMOVE,
                                    .name = span_from(word, 1)};
        if (equals < word.len)
            *e = (struct override_edit){OVERRIDE_SET, span_first(word, equals),
                                        span_from(word, equals + 1)};
    }
    return count;
}

static void test_edits(void **state)
{
    static const struct {
        const char *text;
        const char *edits;
        const char *want;
    } rows[] = {
        {"# w\n",                          "a=b c",       "# w\na = b c\n"                      },
        {"# w\na = x\nb = y",              "a=z",         "# w\nb = y\na = z\n"                 },
        {"a = 1\n a=2\na\nb = y\n",        "a=3",         "b = y\na = 3\n"                      },
        {"a = 1\nb = y\n",                 "-a",          "b = y\n"                             },
        {"a = 1\nb = y\n",                 "#b",          "a = 1\nb\n"                          },
        {"a = 1\n",                        "a=2;-a",      ""                                    },
        {"a = 1\n",                        "b=2;c=3;b=4", "a = 1\nc = 3\nb = 4\n"               },
        {"a b = 1\n= 2\n#a = 3\nab = 4\n", "a=",          "a b = 1\n= 2\n#a = 3\nab = 4\na = \n"},
        {"x = y\n",                        "-a",          "x = y\n"                             },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct override_edit edits[3];
        size_t count = parse_edits(rows[i].edits, edits);
        char *got = overrides_edit(span_of(rows[i].text), edits, count);

        assert_non_null(got);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("row %zu:\n%s", i, got);
        free(got);
    }
}

/* Whoever opens the file is told what it is. */
static void test_first_words(void **state)
{
    const struct override_edit edit = {OVERRIDE_SET, SPAN_LIT("a"), SPAN_LIT("b")};
    char *got = overrides_edit(SPAN_LIT(""), &edit, 1);
    char *again;

    assert_non_null(got);
    assert_int_equal(strncmp(got, "# Kept by `postconf -e`", 23), 0);
    assert_string_equal(strchr(got, '\n'), "\na = b\n");
    again = overrides_edit(span_of(got), &edit, 1);
    assert_string_equal(again, got);
    free(got);
    free(again);
}

static void test_long_value(void **state)
{
    static char value[1u << 20];
    struct override_edit edit = {OVERRIDE_SET, SPAN_LIT("a"), span_make(value, sizeof value)};
    struct span rest;
    struct override o;
    char *got;

    memset(value, 'x', sizeof value);
    got = overrides_edit(SPAN_LIT(""), &edit, 1);
    assert_non_null(got);
    rest = span_of(got);
    assert_true(overrides_next(&rest, &o));
    assert_true(span_equal(o.value, edit.value));
    free(got);
}

/* ---- in a configuration ---- */

static struct config *with(const char *overrides, const char *environment)
{
    built.overrides = overrides;
    return built_good(&built, "", environment);
}

static int teardown(void **state)
{
    built_free(&built);
    built.overrides = NULL;
    return 0;
}

static void test_they_win(void **state)
{
    struct config *c = with("# x\nrelay_domains = a.example, b.example\nsyslog_name = $mail_name\n"
                            "smtpd_timeout = 7\n",
                            "POSTFIX_smtpd_timeout=8\nMAIL_NAME=no\nPOSTFIX_mail_name=yes");

    assert_string_equal(c->relay_domains, "a.example, b.example");
    assert_string_equal(c->syslog_name, "yes");
    assert_int_equal(c->smtpd_timeout, 7000);
    assert_string_equal(config_set_by(c, setting_find(SPAN_LIT("smtpd_timeout"))), "postconf -e");
    assert_int_equal(built.warnings, 2);
    built_expect(&built, "W postconf -e and mxgate.ini line 1 disagree about relay_domains; "
                         "postconf -e counts");
    built_expect(&built, "W postconf -e and POSTFIX_smtpd_timeout disagree about smtpd_timeout; "
                         "postconf -e counts");
    built_expect(&built, "A Override made by postconf -e: relay_domains=a.example, b.example "
                         "(postconf -X relay_domains removes it)");
    built_expect(&built, "A Override made by postconf -e: syslog_name=$mail_name (postconf -X "
                         "syslog_name removes it)");
}

static void test_no_disagreement(void **state)
{
    with("relay_domains = example.com\nhopcount_limit = 5\nhopcount_limit = 6\n",
         "POSTFIX_smtpd_timeout=");
    assert_int_equal(built.warnings, 0);
    assert_int_equal(built.config->hopcount_limit, 6);
}

static void test_back_to_the_default(void **state)
{
    struct config *c = with("smtpd_timeout\nhopcount_limit\n", "SMTPD_TIMEOUT=7");

    assert_int_equal(c->smtpd_timeout, 300000);
    assert_false(config_is_set(c, setting_find(SPAN_LIT("smtpd_timeout"))));
    assert_int_equal(built.warnings, 1);
    built_expect(&built, "W postconf -# and SMTPD_TIMEOUT disagree about smtpd_timeout; postconf "
                         "-# counts");
    built_expect(&built, "A Override made by postconf -#: smtpd_timeout has its default, whatever "
                         "else is set (postconf -X smtpd_timeout removes this)");
}

static void test_empty_is_a_value(void **state)
{
    assert_string_equal(with("mynetworks =\n", "MYNETWORKS=192.0.2.0/24")->mynetworks, "");
    assert_int_equal(built.config->networks.count, 0);
}

static void test_expanded(void **state)
{
    struct config *c = with("smtpd_banner = $myhostname x\n", "POSTFIX_myhostname=mx.example.net");
    char buf[100];
    struct text t;

    text_init(&t, buf, sizeof buf);
    config_value_expanded(c, setting_find(SPAN_LIT("smtpd_banner")), &t);
    assert_string_equal(t.ptr, "mx.example.net x");
    assert_string_equal(built_value(&built, "smtpd_banner"), "$myhostname x");
}

static void test_faults(void **state)
{
    static const struct {
        const char *overrides;
        const char *note; /* its beginning */
    } rows[] = {
        {"relay_domain = x",
         "postconf -e: relay_domain is not a setting; did you mean relay_domains?"                 },
        {"ALLOWED_DOMAINS = x",
         "postconf -e: ALLOWED_DOMAINS is not a setting; did you mean relay_do"                    },
        {"nonsense",             "postconf -e: nonsense is not a setting here"                     },
        {"queue_directory = /x", "postconf -e: queue_directory cannot be overridden, since"        },
        {"control_socket",       "postconf -e: control_socket cannot be overridden, since"         },
        {"# x\na b = c",         "overrides: \"a b\" is not the name of a setting; remove the line"},
        {"hopcount_limit =",     "postconf -e: hopcount_limit \"\" is not a whole number from 1"   },
        {"relay_domains = a..b",
         "postconf -e: relay_domains \"a..b\" cannot be used: \"a..b\" is not"                     },
        {"relay_transport =",    "Nowhere to deliver mail to: relay_transport is empty"            },
        {"syslog_name = a\x01z", "postconf -e: syslog_name \"a?z\" is not text without control"    },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        built.overrides = rows[i].overrides;
        built_from(&built, CONFIG_MINIMUM, NULL);
        assert_int_equal(built.rc, -EINVAL);
        if (built.errors != 1 || !strstr(built.notes, rows[i].note))
            fail_msg("%s\n%s", rows[i].overrides, built.notes);
    }
}

/* The other sources say where the file is, so a file cannot move itself. */
static void test_lenient(void **state)
{
    struct config_source source = {.overrides_text = "queue_directory = /x\nsmtpd_timeout = x\n"
                                                     "nonsense = 3\nmail_name = y\n",
                                   .overrides_name = "overrides"};

    assert_int_equal(config_build_lenient(&source, NULL, NULL, &built.config), 0);
    assert_string_equal(built.config->queue_directory, "/var/spool/mxgate");
    assert_int_equal(built.config->smtpd_timeout, 300000);
    assert_string_equal(built.config->mail_name, "y");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_have),
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_first_words),
        cmocka_unit_test(test_long_value),
        cmocka_unit_test_teardown(test_they_win, teardown),
        cmocka_unit_test_teardown(test_no_disagreement, teardown),
        cmocka_unit_test_teardown(test_back_to_the_default, teardown),
        cmocka_unit_test_teardown(test_empty_is_a_value, teardown),
        cmocka_unit_test_teardown(test_expanded, teardown),
        cmocka_unit_test_teardown(test_faults, teardown),
        cmocka_unit_test_teardown(test_lenient, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
