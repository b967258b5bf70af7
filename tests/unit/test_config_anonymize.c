/* test_config_anonymize - the language of anonymize_emails, and that its salt is shown nowhere */
#include "config/anonymize.h"
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct anonymize parse(const char *text)
{
    struct anonymize a;
    struct errbuf err = {""};

    assert_int_equal(anonymize_parse(&a, span_of(text), &err), 0);
    return a;
}

static void test_filters(void **state)
{
    static const struct {
        const char *text;
        enum anonymize_filter want;
    } rows[] = {
        {"",                    ANONYMIZE_OFF     },
        {"0",                   ANONYMIZE_OFF     },
        {"no",                  ANONYMIZE_OFF     },
        {"false",               ANONYMIZE_OFF     },
        {"off",                 ANONYMIZE_OFF     },
        {"noop",                ANONYMIZE_OFF     },
        {"1",                   ANONYMIZE_SMART   },
        {"y",                   ANONYMIZE_SMART   },
        {"yes",                 ANONYMIZE_SMART   },
        {"true",                ANONYMIZE_SMART   },
        {"on",                  ANONYMIZE_SMART   },
        {"default",             ANONYMIZE_SMART   },
        {" Smart ",             ANONYMIZE_SMART   },
        {"smart?",              ANONYMIZE_SMART   },
        {"smart?mask_symbol=x", ANONYMIZE_SMART   },
        {"PARANOID",            ANONYMIZE_PARANOID},
        {"hash?salt=x",         ANONYMIZE_HASH    },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(parse(rows[i].text).filter, rows[i].want);
}

static void test_options(void **state)
{
    struct anonymize a = parse("smart");

    assert_string_equal(a.symbol, "*");
    assert_true(a.case_sensitive);
    assert_false(a.split || a.short_sha);
    a = parse("hash?salt=hello%20world&prefix=%3C&suffix=%3e&split=true&short_sha=t&"
              "case_sensitive=No&mask_symbol=%E2%96%88&salt=second");
    assert_int_equal(a.salt_len, 11);
    assert_memory_equal(a.salt, "hello world", 11);
    assert_string_equal(a.prefix, "<");
    assert_string_equal(a.suffix, ">");
    assert_string_equal(a.symbol, "\xE2\x96\x88");
    assert_true(a.split && a.short_sha && !a.case_sensitive);
    a = parse("hash?salt=a+b%00%zz%4");
    assert_int_equal(a.salt_len, 9);
    assert_memory_equal(a.salt, "a b\0%zz%4", 9);
    a = parse("hash?&&salt=x&prefix=&suffix=");
    assert_string_equal(a.prefix, "");
}

static void test_limits(void **state)
{
    char text[400] = "hash?salt=";
    struct anonymize a;
    struct errbuf err;

    memset(text + strlen(text), 'x', ANONYMIZE_SALT_MAX);
    assert_int_equal(parse(text).salt_len, ANONYMIZE_SALT_MAX);
    text[strlen(text)] = 'x';
    assert_int_equal(anonymize_parse(&a, span_of(text), &err), -EINVAL);
    assert_string_equal(parse("smart?mask_symbol=12345678").symbol, "12345678");
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        const char *word;
    } rows[] = {
        {"smrt",                        "smart, paranoid, hash?salt=WORDS, or noop"},
        {"my.module.Filter",            "no such filter"                           },
        {"hash",                        "needs a salt"                             },
        {"hash?prefix=x",               "needs a salt"                             },
        {"hash?salt=",                  "salt must be"                             },
        {"hash?slat=verysecret",        "mask_symbol, salt, prefix"                },
        {"hash?salt=verysecret&x",      "does not exist"                           },
        {"hash?salt=verysecret&split=", "split must be yes or no"                  },
        {"smart?mask_symbol=123456789", "mask_symbol must be up to 8 bytes"        },
        {"smart?mask_symbol=%0a",       "mask_symbol must be"                      },
        {"smart?mask_symbol=%FF",       "mask_symbol must be"                      },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct anonymize a;
        struct errbuf err = {""};

        assert_int_equal(anonymize_parse(&a, span_of(rows[i].text), &err), -EINVAL);
        assert_non_null(strstr(err.text, rows[i].word));
        assert_null(strstr(err.text, "verysecret"));
    }
}

static void test_setting(void **state)
{
    struct built b;

    built_good(&b, "", "ANONYMIZE_EMAILS=hash?salt=verysecret");
    built_expect(&b, "A Applying custom postfix setting: anonymize_emails=(hidden)");
    assert_int_equal(b.config->anonymize.filter, ANONYMIZE_HASH);
    assert_null(strstr(b.notes, "verysecret"));
    built_free(&b);
    built_good(&b, "anonymize_emails = paranoid\n", NULL);
    assert_int_equal(b.config->anonymize.filter, ANONYMIZE_PARANOID);
    built_free(&b);
    built_good(&b, "", "ANONYMIZE_EMAILS=");
    assert_int_equal(b.config->anonymize.filter, ANONYMIZE_OFF);
    built_free(&b);
    built_from(&b, CONFIG_MINIMUM, "ANONYMIZE_EMAILS=verysecret");
    assert_int_equal(b.rc, -EINVAL);
    built_expect(&b,
                 "E ANONYMIZE_EMAILS: anonymize_emails \"(hidden)\" cannot be used: there is no "
                 "such filter; write smart, paranoid, hash?salt=WORDS, or noop");
    built_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters), cmocka_unit_test(test_options),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
