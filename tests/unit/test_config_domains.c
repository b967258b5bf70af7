/* test_config_domains - lists of domains: what is a domain, what a list matches */
#include "config/domains.h"
#include "smtp/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static void test_match(void **state)
{
    static const struct {
        const char *list;
        const char *domain;
        bool want;
    } rows[] = {
        {"example.com",                     "example.com",           true },
        {"example.com",                     "EXAMPLE.com",           true },
        {"Example.COM",                     "example.com",           true },
        {"example.com.",                    "example.com",           true },
        {"example.com",                     "example.com.",          true },
        {"example.com",                     "example.com..",         false},
        {"example.com",                     "a.example.com",         false},
        {"example.com",                     "xample.com",            false},
        {"example.com",                     "example.co",            false},
        {"example.com",                     "example.com.net",       false},
        {"example.com",                     "",                      false},
        {"example.com",                     ".",                     false},
        {"example.com",                     ".example.com",          false},
        {".example.com",                    "example.com",           false},
        {".example.com",                    "a.example.com",         true },
        {".example.com.",                   "b.A.Example.com.",      true },
        {".example.com",                    "aexample.com",          false},
        {".example.com",                    ".example.com",          false},
        {".com",                            "example.com",           true },
        {"z.example, a.example, m.example", "a.example",             true },
        {"z.example a.example\nm.example",  "m.example",             true },
        {"z.example\r\n\ta.example,,",      "z.example",             true },
        {"z.example, a.example, m.example", "b.example",             false},
        {"a.example, a.example",            "a.example",             true },
        {"a.example, .a.example",           "x.a.example",           true },
        {"localhost",                       "localhost",             true },
        {"under_score.example",             "Under_Score.example",   true },
        {"xn--bcher-kva.example",           "XN--bcher-kva.example", true },
        {"b\xc3\xbc"
         "cher.example",           "b\xc3\xbc"
         "CHER.example",            true },
        {"",                                "example.com",           false},
        {" ,\n,",                           "example.com",           false},
        {"example.com",                     "[192.0.2.1]",           false},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct domain_list list;
        struct errbuf err = {""};

        if (domain_list_parse(&list, span_of(rows[i].list), &err) != 0)
            fail_msg("row %zu \"%s\": %s", i, rows[i].list, err.text);
        if (domain_list_match(&list, span_of(rows[i].domain)) != rows[i].want)
            fail_msg("row %zu: \"%s\" and \"%s\"", i, rows[i].list, rows[i].domain);
        domain_list_free(&list);
    }
}

static void test_match_bytes(void **state)
{
    struct domain_list list;

    assert_int_equal(domain_list_parse(&list, SPAN_LIT("example.com"), NULL), 0);
    assert_false(domain_list_match(&list, SPAN_LIT("example.com\0")));
    assert_false(domain_list_match(&list, SPAN_LIT("a\0.example.com")));
    assert_false(domain_list_match(&list, span_make(NULL, 0)));
    domain_list_free(&list);
}

static void test_bad(void **state)
{
    static const struct {
        const char *list;
        const char *error;
    } rows[] = {
        {"example..com",              "\"example..com\" is not a domain; write names"           },
        {"a.example, !, b.example",   "\"!\" is not a domain"                                   },
        {".",                         "\".\" is not a domain"                                   },
        {"example.com..",             "\"example.com..\" is not a domain"                       },
        {"..",                        "\"..\" is not a domain"                                  },
        {"..example.com",             "\"..example.com\" is not a domain"                       },
        {"*.example.com",             "write .example.com for the subdomains"                   },
        {"joe@example.com",           "write the part after the @ only"                         },
        {"hash:/etc/postfix/domains", "lookup tables are not supported"                         },
        {"inline:{a.example}",        "lookup tables are not supported"                         },
        {"/etc/domains",              "files are not read"                                      },
        {"https://example.com/x",     "write the name in the URL only"                          },
        {"example.com:25",            "write it without the port"                               },
        {"192.0.2.1",                 "names, not for addresses"                                },
        {"2001:db8::1",               "names, not for addresses"                                },
        {"[192.0.2.1]",               "\"[192.0.2.1]\" is not a domain; mail is taken for names"},
        {"exa;mple.com",              "\"exa;mple.com\" is not a domain"                        },
        {"exa\xffmple.com",           "is not a domain"                                         },
        {"a.example example.com/24",  "\"example.com/24\" is not a domain"                      },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct domain_list list;
        struct errbuf err = {""};

        if (domain_list_parse(&list, span_of(rows[i].list), &err) != -EINVAL)
            fail_msg("row %zu \"%s\" was taken", i, rows[i].list);
        if (!strstr(err.text, rows[i].error))
            fail_msg("row %zu: \"%s\"", i, err.text);
        assert_null(list.names);
        assert_int_equal(list.count, 0);
        assert_int_equal(domain_list_parse(&list, span_of(rows[i].list), NULL), -EINVAL);
    }
}

/* `count` times "d0.example " and so on, on the heap. */
static char *many_domains(size_t count)
{
    size_t cap = count * 20 + 1;
    char *text = malloc(cap);
    size_t len = 0;

    assert_non_null(text);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, cap - len, "d%zu.example ", i);
    return text;
}

static void test_count_limit(void **state)
{
    for (size_t count = DOMAINS_MAX - 1; count <= DOMAINS_MAX + 1; count++) {
        struct domain_list list;
        struct errbuf err = {""};
        char *text = many_domains(count);
        int rc = domain_list_parse(&list, span_of(text), &err);

        if (count > DOMAINS_MAX) {
            assert_int_equal(rc, -EINVAL);
            assert_string_equal(err.text, "has more than 10000 domains");
        } else {
            assert_int_equal(rc, 0);
            assert_int_equal(list.count, count);
            assert_true(domain_list_match(&list, SPAN_LIT("d0.example")));
            assert_true(domain_list_match(&list, SPAN_LIT("d9998.example")));
            assert_false(domain_list_match(&list, SPAN_LIT("d10000.example")));
            domain_list_free(&list);
        }
        free(text);
    }
}

/* A domain of exactly `len` bytes: labels of 63 at most. */
static void fill_domain(char *dst, size_t len)
{
    for (size_t i = 0; i < len; i++)
        dst[i] = i % 50 == 49 && i + 1 < len ? '.' : 'a';
    dst[len] = '\0';
}

static void test_length_limit(void **state)
{
    for (size_t len = SMTP_DOMAIN_MAX - 1; len <= SMTP_DOMAIN_MAX + 1; len++) {
        struct domain_list list;
        char name[SMTP_DOMAIN_MAX + 2];
        int rc;

        fill_domain(name, len);
        rc = domain_list_parse(&list, span_of(name), NULL);
        assert_int_equal(rc, len > SMTP_DOMAIN_MAX ? -EINVAL : 0);
        if (rc == 0)
            assert_true(domain_list_match(&list, span_of(name)));
        domain_list_free(&list);
        assert_int_equal(domain_list_parse(&list, SPAN_LIT("example.com"), NULL), 0);
        assert_false(domain_list_match(&list, span_of(name)));
        domain_list_free(&list);
    }
}

static void test_first(void **state)
{
    static const struct {
        const char *list;
        const char *first;
    } rows[] = {
        {"",                          ""         },
        {"z.example, a.example",      "z.example"},
        {"\n Z.Example.\n a.example", "z.example"},
        {".m.example a.example",      "m.example"},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct domain_list list;

        assert_int_equal(domain_list_parse(&list, span_of(rows[i].list), NULL), 0);
        assert_string_equal(domain_list_first(&list), rows[i].first);
        domain_list_free(&list);
        assert_string_equal(domain_list_first(&list), "");
        domain_list_free(&list); /* a second time is harmless */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),        cmocka_unit_test(test_match_bytes),
        cmocka_unit_test(test_bad),          cmocka_unit_test(test_count_limit),
        cmocka_unit_test(test_length_limit), cmocka_unit_test(test_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
