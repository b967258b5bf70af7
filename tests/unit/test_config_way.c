/* Tests of config/way: which way mail goes, the syntax of what says so, and that nothing opens by
 * itself. */
#include "config/way.h"

#include "base/text.h"
#include "config/route.h"

#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct built built;

static const char *shown(struct way way)
{
    static char buf[300];
    struct text t;

    text_init(&t, buf, sizeof buf);
    if (way.kind == WAY_TRANSPORT)
        text_printf(&t, "transport %d", way.transport);
    else if (way.kind == WAY_RELAYHOST)
        text_printf(&t, "relayhost %s", way.relayhost);
    else if (way.kind == WAY_DIRECT)
        text_printf(&t, "direct %.*s", (int)way.domain.len, way.domain.ptr);
    else
        text_cstr(&t, "none");
    return buf;
}

struct row {
    const char *ini, *sender, *address, *want;
};

#define SENDERS                                                                                    \
    "sender_dependent_relayhost_maps = inline:{ Ann@example.com=[192.0.2.1], "                     \
    "@example.org=[192.0.2.2], no@example.org=DUNNO }\n"
#define ROUTES "transport_maps = inline:{ *=lmtp:[192.0.2.7]:24, example.net=smtp:[192.0.2.8] }\n"

static const struct row ways[] = {
    {"",                                               "",                "ann@example.com",     "transport -1"              },
    {"",                                               "ann@example.com", "bob@example.net",     "none"                      },
    {"",                                               "ann@example.com", "bob",                 "none"                      },
    {ROUTES,                                           "",                "ann@example.com",     "transport 0"               },
    {ROUTES,                                           "",                "bob@example.net",     "none"                      }, /* a route alone opens nothing */
    {ROUTES "outbound = direct\n",                     "",                "bob@example.net",     "transport 1"               },
    {ROUTES "outbound = direct\n",                     "",                "bob@example.org",     "direct example.org"        },
    {"outbound = direct\n",                            "",                "b@[192.0.2.1]",       "direct [192.0.2.1]"        },
    {"outbound = direct\n",                            "",                "bob",                 "none"                      },
    {"relayhost = [192.0.2.25]:587\n",                 "",                "b@example.net",       "relayhost [192.0.2.25]:587"},
    {"relayhost = [192.0.2.25]:587\n",                 "",                "b@EXAMPLE.com.",      "transport -1"              },
    {"relayhost = r.example.net\noutbound = direct\n", "",                "b@example.net",
     "relayhost r.example.net"                                                                                               },
    {SENDERS,                                          "ann@EXAMPLE.com", "b@example.net",       "relayhost [192.0.2.1]"     },
    {SENDERS,                                          "x@example.org",   "b@example.net",       "relayhost [192.0.2.2]"     },
    {SENDERS,                                          "no@example.org",  "b@example.net",       "none"                      },
    {SENDERS,                                          "",                "b@example.net",       "none"                      },
    {"outbound = direct\n",                            "",                "b@b\xc3\xbc.example",
     "none"                                                                                                                  }, /* it has no MX records by that name */
    {SENDERS "outbound = direct\n",                    "no@example.org",  "b@example.net",       "direct example.net"        },
    {SENDERS,                                          "ann@example.com", "ann@example.com",     "transport -1"              },
};

static void test_ways(void **state)
{
    for (size_t i = 0; i < ROWS(ways); i++) {
        const struct row *row = &ways[i];
        const struct config *config = built_good(&built, row->ini, NULL);
        struct way way = way_find(config, span_of(row->sender), span_of(row->address));

        if (strcmp(shown(way), row->want) != 0)
            fail_msg("%s%s -> %s: %s, not %s", row->ini, row->sender, row->address, shown(way),
                     row->want);
        assert_int_equal(way_out_exists(config), strstr(row->ini, "relayhost") != NULL ||
                                                     strstr(row->ini, "outbound") != NULL);
        built_free(&built);
    }
}

static const struct {
    const char *text;
    const char *host; /* NULL: refused */
    unsigned port;
    bool mx;
} relayhosts[] = {
    {"[smtp.example.net]:587",      "smtp.example.net", 587,  false},
    {" [smtp.example.net] ",        "smtp.example.net", 25,   false},
    {"smtp.example.net:submission", "smtp.example.net", 587,  true },
    {"example.net",                 "example.net",      25,   true },
    {"192.0.2.1:smtps",             "192.0.2.1",        465,  false},
    {"[IPv6:2001:db8::1]:2525",     "2001:db8::1",      2525, false},
    {"[2001:db8::1]",               "2001:db8::1",      25,   false},
    {"",                            NULL,               0,    false},
    {"[smtp.example.net",           NULL,               0,    false},
    {"[smtp.example.net]587",       NULL,               0,    false},
    {"smtp.example.net:",           NULL,               0,    false},
    {"smtp.example.net:0",          NULL,               0,    false},
    {"smtp.example.net:imap",       NULL,               0,    false},
    {"smtp:[smtp.example.net]:587", NULL,               0,    false},
    {"[300.1.2.3]",                 NULL,               0,    false},
    {"a b",                         NULL,               0,    false},
};

static void test_relayhosts(void **state)
{
    for (size_t i = 0; i < ROWS(relayhosts); i++) {
        struct route route;
        struct errbuf err = {""};
        int rc = route_parse_relayhost(span_of(relayhosts[i].text), 25, &route, &err);

        if ((rc == 0) != (relayhosts[i].host != NULL))
            fail_msg("%s: %d %s", relayhosts[i].text, rc, err.text);
        if (rc < 0) {
            assert_non_null(strstr(err.text, "; write [smtp.example.net]:587"));
            continue;
        }
        assert_string_equal(route.host, relayhosts[i].host);
        assert_int_equal(route.port, relayhosts[i].port);
        assert_int_equal(route.mx, relayhosts[i].mx);
        assert_true(route.out && route.kind == ROUTE_SMTP);
    }
}

/* Several, tried in order. */
static void test_relayhosts_in_order(void **state)
{
    struct route_list list;
    struct errbuf err;

    assert_int_equal(route_parse_relayhosts(SPAN_LIT(" [a.example]:587,b.example\n[192.0.2.1] , "
                                                     "[a.example]:587"),
                                            2525, &list, &err),
                     0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.targets[0].host, "a.example");
    assert_int_equal(list.targets[0].port, 587);
    assert_true(list.targets[1].mx && list.targets[1].out);
    assert_int_equal(list.targets[1].port, 2525);
    assert_string_equal(list.targets[2].text, "[192.0.2.1]");
    assert_int_equal(route_parse_relayhosts(SPAN_LIT("a b c d e f g h"), 25, &list, &err), 0);
    assert_int_equal(route_parse_relayhosts(SPAN_LIT("a b c d e f g h i"), 25, &list, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "more than 8 targets"));
    assert_int_equal(route_parse_relayhosts(SPAN_LIT("[a.example], [b"), 25, &list, &err), -EINVAL);
    assert_int_equal(route_parse_relayhosts(SPAN_LIT(" , "), 25, &list, &err), -EINVAL);
}

static void test_port(void **state)
{
    uint16_t port = 1;

    assert_int_equal(built_good(&built, "", NULL)->smtp_port, 25);
    built_free(&built);
    assert_int_equal(built_good(&built, "smtp_tcp_port = submission\n", NULL)->smtp_port, 587);
    built_free(&built);
    assert_int_equal(built_good(&built, "smtp_tcp_port = 2525\n", NULL)->smtp_port, 2525);
    built_free(&built);
    assert_false(route_port(SPAN_LIT("65536"), &port) || route_port(SPAN_LIT("0"), &port) ||
                 route_port(SPAN_LIT(""), &port) || route_port(SPAN_LIT("imap"), &port));
    assert_int_equal(port, 1);
}

/* A reload asks this before it has the queue look at all its mail. */
static void test_equal(void **state)
{
    static const char *const all[] = {
        "",
        "relayhost = [192.0.2.1]\n",
        "relayhost = [192.0.2.2]\n",
        SENDERS,
        "outbound = direct\n",
        ROUTES,
        "recipient_delimiter = +\n",
        "relay_domains = example.com, example.net\n",
        "relay_domains = example.net\n",
        "parent_domain_matches_subdomains = relay_domains\n",
        "relay_transport = lmtp:[192.0.2.99]:24\n",
    };
    static struct built other;

    for (size_t i = 0; i < ROWS(all); i++) {
        for (size_t k = 0; k < ROWS(all); k++) {
            const struct config *a = built_good(&built, all[i], NULL);
            const struct config *b = built_good(&other, all[k], NULL);

            if (way_equal(a, b) != (i == k))
                fail_msg("%s and %s", all[i], all[k]);
            built_free(&built);
            built_free(&other);
        }
    }
    assert_true(way_is_inside(built_good(&built, "", NULL), SPAN_LIT("a@b@EXAMPLE.com.")));
    assert_false(way_is_inside(built.config, SPAN_LIT("a@example.com@b.example")));
    assert_false(way_is_inside(built.config, SPAN_LIT("example.com")));
    built_free(&built);
}

static void test_direct(void **state)
{
    struct route route;

    assert_true(route_direct(SPAN_LIT("Example.NET."), 25, &route));
    assert_string_equal(route.host, "example.net");
    assert_true(route.mx && route.out);
    assert_true(route_direct(SPAN_LIT("[192.0.2.1]"), 2525, &route));
    assert_string_equal(route.host, "192.0.2.1");
    assert_string_equal(route.text, "[192.0.2.1]");
    assert_false(route.mx);
    assert_int_equal(route.port, 2525);
    assert_true(route_direct(SPAN_LIT("[IPv6:2001:db8::1]"), 25, &route));
    assert_string_equal(route.host, "2001:db8::1");
    assert_false(route_direct(SPAN_LIT("[example.net]x"), 25, &route));
    assert_false(route_direct(SPAN_LIT(""), 25, &route));
    assert_false(route_direct(SPAN_LIT("192.0.2.300"), 25, &route));
}

static const struct {
    const char *value, *why;
} refused[] = {
    {"hash:/etc/postfix/x",                       "is a table that mxgate does not read; write inline:{"},
    {"inline:{ann@example.com}",                  "is not NAME=VALUE"                                   },
    {"inline:{ann=[192.0.2.1]}",                  "is no sender (ann@example.com, or @example.com"      },
    {"inline:{ann@=[192.0.2.1]}",                 "is no sender"                                        },
    {"inline:{ann@example.com=}",                 "that is no host name"                                },
    {"inline:{ann@example.com=smtp:[192.0.2.1]}", "the port must be a number"                           },
    {"inline:{",                                  "has braces that do not match"                        },
    {"inline:{}",                                 "is empty"                                            },
};

static void test_refused(void **state)
{
    for (size_t i = 0; i < ROWS(refused); i++) {
        char ini[300];

        snprintf(ini, sizeof ini, CONFIG_MINIMUM "sender_dependent_relayhost_maps = %s\n",
                 refused[i].value);
        built_from(&built, ini, NULL);
        if (built.rc != -EINVAL || !strstr(built.notes, refused[i].why))
            fail_msg("%s: %s", refused[i].value, built.notes);
        built_free(&built);
    }
}

/* Its word for "not here" means nothing where there is no other relayhost. */
static void test_dunno_is_no_relayhost(void **state)
{
    static const char *const values[] = {"DUNNO", " dunno "};

    for (size_t i = 0; i < ROWS(values); i++) {
        char ini[300];

        snprintf(ini, sizeof ini, CONFIG_MINIMUM "relayhost = %s\n", values[i]);
        built_from(&built, ini, NULL);
        if (built.rc != -EINVAL ||
            !strstr(built.notes, "stands in sender_dependent_relayhost_maps"))
            fail_msg("%s: %s", values[i], built.notes);
        built_free(&built);
    }
}

static bool twice_or_first(const char *text, const char *name, const char *want)
{
    static const struct inline_rules rules = {
        .max = 3, .example = "example", .names = "names", .fold = inline_fold_lower};
    struct inline_table table, same;
    struct errbuf err = {""};
    const char *got;
    bool as_wanted;

    if (inline_table_parse(&table, span_of(text), &rules, &err) < 0)
        return want == NULL;
    got = inline_table_find(&table, name);
    as_wanted = got && want ? strcmp(got, want) == 0 : got == want;
    assert_int_equal(inline_table_parse(&same, span_of(text), &rules, &err), 0);
    assert_true(inline_table_equal(&table, &same));
    inline_table_free(&table);
    assert_true(same.count == 0 || !inline_table_equal(&table, &same));
    inline_table_free(&same);
    return as_wanted;
}

static void test_inline_tables(void **state)
{
    assert_true(twice_or_first("inline:{a=1 A=2, b=3}", "a", "2"));
    assert_true(twice_or_first("inline:{a=1} inline:{a=2 b=3}", "a", "1"));
    assert_true(twice_or_first("inline:{a=1} inline:{a=2 b=3 b=4}", "b", "4"));
    assert_true(twice_or_first("inline:{ { a = one, and = two } c=3 }", "a", "one, and = two"));
    assert_true(twice_or_first("inline:{c=3 b=2 a=1}", "d", NULL));
    assert_true(twice_or_first("inline:{a=1 b=2 c=3 d=4}", "a", NULL)); /* too many */
    assert_true(twice_or_first("", "a", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_relayhosts),
        cmocka_unit_test(test_dunno_is_no_relayhost),
        cmocka_unit_test(test_relayhosts_in_order),
        cmocka_unit_test(test_port),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_direct),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_inline_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
