/* Tests of config/relay_tls: the levels, old forms, exceptions for single hosts, every fault. */
#include "config/relay_tls.h"

#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PRINT                                                                                      \
    "00112233445566778899aabbccddeeff"                                                             \
    "00112233445566778899aabbccddeeff"
#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct relay_tls_words usual(void)
{
    return (struct relay_tls_words){
        .text = {[RELAY_TLS_LEVEL] = "",
                 [RELAY_TLS_PROTOCOLS] = ">=TLSv1",
                 [RELAY_TLS_MANDATORY_PROTOCOLS] = ">=TLSv1.2",
                 [RELAY_TLS_CIPHERS] = "medium",
                 [RELAY_TLS_MANDATORY_CIPHERS] = "high",
                 [RELAY_TLS_VERIFY_MATCH] = "hostname",
                 [RELAY_TLS_SECURE_MATCH] = "nexthop, dot-nexthop",
                 [RELAY_TLS_FINGERPRINTS] = "",
                 [RELAY_TLS_SERVERNAME] = "",
                 [RELAY_TLS_POLICY] = ""},
        .enforce_peername = true
    };
}

static struct relay_tls_map build(const struct relay_tls_words *w)
{
    struct relay_tls_map map;
    enum relay_tls_setting which;
    struct errbuf err = {""};

    if (relay_tls_build(&map, w, &which, &err) != 0)
        fail_msg("%s", err.text);
    return map;
}

static void refuse(const struct relay_tls_words *w, enum relay_tls_setting setting, const char *why)
{
    struct relay_tls_map map;
    enum relay_tls_setting which;
    struct errbuf err = {""};

    assert_int_equal(relay_tls_build(&map, w, &which, &err), -EINVAL);
    if (which != setting || !strstr(err.text, why))
        fail_msg("setting %d: \"%s\", wanted \"%s\"", which, err.text, why);
    assert_int_equal(map.count, 0);
    assert_int_equal(map.general.level, TLS_LEVEL_NONE);
}

static struct route route_of(const char *text)
{
    struct route r;
    struct errbuf err = {""};

    if (route_parse(span_of(text), &r, &err) != 0)
        fail_msg("%s", err.text);
    return r;
}

static void test_levels_and_old_forms(void **state)
{
    static const struct {
        const char *level;
        bool use, enforce, enforce_peername, wrapper;
        enum tls_level want;
    } rows[] = {
        {"",        false, false, true,  false, TLS_LEVEL_NONE   },
        {"none",    true,  true,  true,  false, TLS_LEVEL_NONE   },
        {"",        true,  false, true,  false, TLS_LEVEL_MAY    },
        {"",        true,  true,  true,  false, TLS_LEVEL_VERIFY },
        {"",        false, true,  false, false, TLS_LEVEL_ENCRYPT},
        {"may",     false, true,  true,  false, TLS_LEVEL_MAY    },
        {" may ",   false, false, true,  false, TLS_LEVEL_MAY    },
        {"encrypt", false, false, true,  false, TLS_LEVEL_ENCRYPT},
        {"secure",  false, false, true,  false, TLS_LEVEL_SECURE },
        {"may",     false, false, true,  true,  TLS_LEVEL_ENCRYPT},
        {"",        false, false, true,  true,  TLS_LEVEL_ENCRYPT},
        {"verify",  false, false, true,  true,  TLS_LEVEL_VERIFY },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct relay_tls_words w = usual();
        struct relay_tls_map map;

        w.text[RELAY_TLS_LEVEL] = rows[i].level;
        w.use = rows[i].use;
        w.enforce = rows[i].enforce;
        w.enforce_peername = rows[i].enforce_peername;
        w.wrapper = rows[i].wrapper;
        map = build(&w);
        assert_int_equal(map.general.level, rows[i].want);
        assert_int_equal(map.general.wrapper, rows[i].wrapper);
        assert_int_equal(relay_tls_is_used(&map), rows[i].want > TLS_LEVEL_NONE);
        assert_int_equal(relay_tls_needs_ca(&map), rows[i].want >= TLS_LEVEL_VERIFY);
        relay_tls_free(&map);
    }
}

static void test_may_and_mandatory(void **state)
{
    struct relay_tls_words w = usual();
    struct relay_tls_map map;

    w.text[RELAY_TLS_LEVEL] = "may";
    map = build(&w);
    assert_int_equal(map.general.min_version, TLS_VERSION_1_0);
    assert_true(map.general.medium);
    relay_tls_free(&map);
    w.text[RELAY_TLS_LEVEL] = "encrypt";
    map = build(&w);
    assert_int_equal(map.general.min_version, TLS_VERSION_1_2);
    assert_int_equal(map.general.max_version, TLS_VERSION_1_2);
    assert_false(map.general.medium);
    relay_tls_free(&map);
}

static void test_names(void **state)
{
    struct relay_tls_words w = usual();
    char names[RELAY_TLS_MATCH_MAX][RELAY_TLS_NAME_CAP];
    struct relay_tls_map map;

    w.text[RELAY_TLS_LEVEL] = "secure";
    map = build(&w);
    assert_int_equal(relay_tls_names(&map.general, "mx1.example.net", "mail.example.com", names),
                     2);
    assert_string_equal(names[0], "mail.example.com");
    assert_string_equal(names[1], ".mail.example.com");
    relay_tls_free(&map);
    w.text[RELAY_TLS_SECURE_MATCH] = "Hostname:.example.net, a.example.org 192.0.2.7";
    map = build(&w);
    assert_int_equal(relay_tls_names(&map.general, "192.0.2.53", "192.0.2.53", names), 4);
    assert_string_equal(names[0], "192.0.2.53");
    assert_string_equal(names[1], ".example.net");
    assert_string_equal(names[2], "a.example.org");
    assert_string_equal(names[3], "192.0.2.7");
    relay_tls_free(&map);
}

static void test_fingerprints(void **state)
{
    struct relay_tls_words w = usual();
    struct relay_tls_map map;

    w.text[RELAY_TLS_LEVEL] = "fingerprint";
    refuse(&w, RELAY_TLS_FINGERPRINTS, "is empty");
    w.text[RELAY_TLS_FINGERPRINTS] = PRINT ", " PRINT "\n" PRINT;
    map = build(&w);
    assert_int_equal(map.general.print_count, 3);
    assert_int_equal(map.general.prints[2][1], 0x11);
    relay_tls_free(&map);
    w.text[RELAY_TLS_FINGERPRINTS] = PRINT " 0011";
    refuse(&w, RELAY_TLS_FINGERPRINTS, "\"0011\" is no SHA-256");
}

static void test_exceptions(void **state)
{
    static const struct {
        const char *route;
        enum tls_level level;
    } rows[] = {
        {"lmtp:[192.0.2.54]:24",        TLS_LEVEL_ENCRYPT    },
        {"lmtp:[192.0.2.54]:25",        TLS_LEVEL_MAY        },
        {"lmtp:[192.0.2.55]:24",        TLS_LEVEL_MAY        },
        {"lmtp:[2001:db8::5]:24",       TLS_LEVEL_SECURE     },
        {"lmtp:[2001:db8::6]:24",       TLS_LEVEL_NONE       },
        {"lmtp:mail.example.net:24",    TLS_LEVEL_NONE       },
        {"lmtp:[MAIL.example.net]:99",  TLS_LEVEL_NONE       },
        {"lmtp:other.example.net:24",   TLS_LEVEL_VERIFY     },
        {"lmtp:a.b.example.net:24",     TLS_LEVEL_VERIFY     },
        {"lmtp:a.b.example.net:26",     TLS_LEVEL_FINGERPRINT},
        {"lmtp:example.net:24",         TLS_LEVEL_MAY        },
        {"lmtp:unix:/run/dovecot/lmtp", TLS_LEVEL_NONE       },
    };
    struct relay_tls_words w = usual();
    struct relay_tls_map map;
    char names[RELAY_TLS_MATCH_MAX][RELAY_TLS_NAME_CAP];
    struct route r;
    const struct relay_tls *tls;

    w.text[RELAY_TLS_LEVEL] = "may";
    w.text[RELAY_TLS_POLICY] =
        "inline:{ [192.0.2.54]:24=encrypt, Mail.example.net=none,\n"
        " {[2001:db8::5]:24 = secure match=a.example.com:.example.org protocols=TLSv1.1 "
        "ciphers=medium servername=sni.example.com}, 2001:db8::6=none\n"
        " .example.net=verify, {.example.net:26 = fingerprint match=" PRINT "|" PRINT "} }";
    map = build(&w);
    assert_true(relay_tls_needs_ca(&map));
    for (size_t i = 0; i < ROWS(rows); i++) {
        r = route_of(rows[i].route);
        if (relay_tls_find(&map, &r)->level != rows[i].level)
            fail_msg("%s: %s", rows[i].route, tls_level_word(relay_tls_find(&map, &r)->level));
    }
    r = route_of("lmtp:[2001:db8::5]:24");
    tls = relay_tls_find(&map, &r);
    assert_int_equal(tls->max_version, TLS_VERSION_1_1);
    assert_true(tls->medium);
    assert_string_equal(tls->servername, "sni.example.com");
    assert_int_equal(relay_tls_names(tls, "2001:db8::5", "2001:db8::5", names), 2);
    assert_string_equal(names[1], ".example.org");
    r = route_of("lmtp:a.b.example.net:26");
    assert_int_equal(relay_tls_find(&map, &r)->print_count, 2);
    relay_tls_free(&map);
}

static void test_refused_settings(void **state)
{
    static const struct {
        const char *level;
        enum relay_tls_setting setting;
        const char *value, *why;
    } rows[] = {
        {"dane",    RELAY_TLS_LEVEL,               "dane",                                  "no DNSSEC"         },
        {"yes",     RELAY_TLS_LEVEL,               "yes",                                   "no security level" },
        {"may",     RELAY_TLS_PROTOCOLS,           "TLSv1.3",                               "leaves no protocol"},
        {"encrypt", RELAY_TLS_MANDATORY_PROTOCOLS, "TLSv1.4",                               "is no protocol"    },
        {"may",     RELAY_TLS_CIPHERS,             "strong",                                "no cipher grade"   },
        {"encrypt", RELAY_TLS_MANDATORY_CIPHERS,   "",                                      "no cipher grade"   },
        {"verify",  RELAY_TLS_VERIFY_MATCH,        "",                                      "no name to match"  },
        {"verify",  RELAY_TLS_VERIFY_MATCH,        "[192.0.2.1]",                           "is no name"        },
        {"secure",  RELAY_TLS_SECURE_MATCH,        "a..b",                                  "is no name"        },
        {"secure",  RELAY_TLS_SECURE_MATCH,        ".",                                     "is no name"        },
        {"secure",  RELAY_TLS_SECURE_MATCH,        "a b c d e f g h i",                     "too many"          },
        {"may",     RELAY_TLS_SERVERNAME,          "192.0.2.1",                             "not a host name"   },
        {"may",     RELAY_TLS_SERVERNAME,          "a b",                                   "not a host name"   },
        {"may",     RELAY_TLS_POLICY,              "hash:/etc/x",                           "table in a file"   },
        {"may",     RELAY_TLS_POLICY,              "inline:{a=may",                         "do not match"      },
        {"may",     RELAY_TLS_POLICY,              "inline:{a}",                            "not NAME=LEVEL"    },
        {"may",     RELAY_TLS_POLICY,              "inline:{a=}",                           "has no level"      },
        {"may",     RELAY_TLS_POLICY,              "inline:{a=maybe}",                      "no security level" },
        {"may",     RELAY_TLS_POLICY,              "inline:{[a=may}",                       "is no host"        },
        {"may",     RELAY_TLS_POLICY,              "inline:{[a]b=may}",                     "is no host"        },
        {"may",     RELAY_TLS_POLICY,              "inline:{a:0=may}",                      "is no host"        },
        {"may",     RELAY_TLS_POLICY,              "inline:{a:65536=may}",                  "is no host"        },
        {"may",     RELAY_TLS_POLICY,              "inline:{[.a]=may}",                     "is no host"        },
        {"may",     RELAY_TLS_POLICY,              "inline:{a=may, A=none}",                "is there twice"    },
        {"may",     RELAY_TLS_POLICY,              "inline:{{a = may match=b}}",            "verifies nothing"  },
        {"may",     RELAY_TLS_POLICY,              "inline:{{a = verify match=b match=c}}", "said twice"        },
        {"may",     RELAY_TLS_POLICY,              "inline:{{a = verify match}}",           "not NAME=VALUE"    },
        {"may",     RELAY_TLS_POLICY,              "inline:{{a = verify tafile=/x}}",       "not supported"     },
        {"may",     RELAY_TLS_POLICY,              "inline:{{a = encrypt protocols=x}}",    "is no protocol"    },
        {"may",     RELAY_TLS_POLICY,              "inline:{{a = encrypt ciphers=x}}",      "no cipher grade"   },
        {"may",     RELAY_TLS_FINGERPRINTS,        "",                                      NULL                },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct relay_tls_words w = usual();

        w.text[RELAY_TLS_LEVEL] = rows[i].level;
        w.text[rows[i].setting] = rows[i].value;
        if (rows[i].why) {
            refuse(&w, rows[i].setting, rows[i].why);
        } else {
            struct relay_tls_map map = build(&w);

            relay_tls_free(&map);
        }
    }
}

/* A fault in a setting that an exception needs is that setting's. */
static void test_whose_fault(void **state)
{
    struct relay_tls_words w = usual();

    w.text[RELAY_TLS_POLICY] = "inline:{a=fingerprint}";
    refuse(&w, RELAY_TLS_FINGERPRINTS, "is empty");
    w.text[RELAY_TLS_MANDATORY_CIPHERS] = "x";
    refuse(&w, RELAY_TLS_MANDATORY_CIPHERS, "no cipher grade");
    w.text[RELAY_TLS_POLICY] = "";
    relay_tls_free(&(struct relay_tls_map){.entries = NULL});
}

static void test_equal(void **state)
{
    static const struct {
        enum relay_tls_setting setting;
        const char *value;
    } rows[] = {
        {RELAY_TLS_LEVEL,               "encrypt"      },
        {RELAY_TLS_MANDATORY_PROTOCOLS, "TLSv1.1"      },
        {RELAY_TLS_MANDATORY_CIPHERS,   "medium"       },
        {RELAY_TLS_SECURE_MATCH,        "a.example.com"},
        {RELAY_TLS_SERVERNAME,          "a.example.com"},
    };
    struct relay_tls_words w = usual();
    struct relay_tls_map a, b;

    w.text[RELAY_TLS_LEVEL] = "secure";
    a = build(&w);
    b = build(&w);
    assert_true(relay_tls_equal(&a.general, &b.general));
    relay_tls_free(&b);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct relay_tls_words other = w;

        other.text[rows[i].setting] = rows[i].value;
        b = build(&other);
        assert_false(relay_tls_equal(&a.general, &b.general));
        relay_tls_free(&b);
    }
    relay_tls_free(&a);
    w.text[RELAY_TLS_LEVEL] = "fingerprint";
    w.text[RELAY_TLS_FINGERPRINTS] = PRINT;
    a = build(&w);
    b = build(&w);
    assert_true(relay_tls_equal(&a.general, &b.general));
    b.general.prints[0][31] ^= 1;
    assert_false(relay_tls_equal(&a.general, &b.general));
    relay_tls_free(&a);
    relay_tls_free(&b);
}

/* ---- as settings ---- */

static void test_settings(void **state)
{
    struct built b;
    struct config *c = built_good(&b,
                                  "lmtp_tls_security_level = encrypt\n"
                                  "smtp_tls_security_level = may\n"
                                  "transport_maps = inline:{example.com=smtp:[192.0.2.11]}\n",
                                  "POSTFIX_lmtp_tls_policy_maps=inline:{192.0.2.10=verify}");
    struct route r = route_of("lmtp:[192.0.2.10]:24");

    assert_int_equal(c->relay_tls[ROUTE_LMTP].general.level, TLS_LEVEL_ENCRYPT);
    assert_int_equal(c->relay_tls[ROUTE_SMTP].general.level, TLS_LEVEL_MAY);
    assert_int_equal(relay_tls_find(&c->relay_tls[ROUTE_LMTP], &r)->level, TLS_LEVEL_VERIFY);
    built_free(&b);
    c = built_good(&b, "smtp_tls_security_level = may\n", NULL);
    assert_int_equal(c->relay_tls[ROUTE_SMTP].general.level, TLS_LEVEL_NONE); /* nobody uses it */
    built_free(&b);
}

static void test_defaults_are_good_at_every_level(void **state)
{
    static const char *const levels[] = {"none", "may", "encrypt", "verify", "secure"};
    struct built b;
    char ini[200];

    for (size_t i = 0; i < ROWS(levels); i++) {
        snprintf(ini, sizeof ini, "lmtp_tls_security_level = %s\nsmtp_tls_security_level = %s\n",
                 levels[i], levels[i]);
        built_good(&b, ini, NULL);
        built_free(&b);
    }
}

/* Ways out have the level may where none is said; what is said counts for them too. */
static void test_ways_out(void **state)
{
    static const struct {
        const char *level;
        bool use, enforce, wrapper;
        enum tls_level want, in_house;
    } rows[] = {
        {"",        false, false, false, TLS_LEVEL_MAY,     TLS_LEVEL_NONE   },
        {" ",       false, false, false, TLS_LEVEL_MAY,     TLS_LEVEL_NONE   },
        {"none",    false, false, false, TLS_LEVEL_NONE,    TLS_LEVEL_NONE   },
        {"encrypt", false, false, false, TLS_LEVEL_ENCRYPT, TLS_LEVEL_ENCRYPT},
        {"",        true,  false, false, TLS_LEVEL_MAY,     TLS_LEVEL_MAY    },
        {"",        false, true,  false, TLS_LEVEL_VERIFY,  TLS_LEVEL_VERIFY },
        {"",        false, false, true,  TLS_LEVEL_ENCRYPT, TLS_LEVEL_ENCRYPT},
    };
    struct route way = route_of("smtp:[192.0.2.54]:25");

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct relay_tls_words w = usual();
        struct relay_tls_map map;

        w.text[RELAY_TLS_LEVEL] = rows[i].level;
        w.use = rows[i].use;
        w.enforce = rows[i].enforce;
        w.wrapper = rows[i].wrapper;
        w.ways_out = true;
        map = build(&w);
        way.out = true;
        assert_int_equal(relay_tls_find(&map, &way)->level, rows[i].want);
        way.out = false;
        assert_int_equal(relay_tls_find(&map, &way)->level, rows[i].in_house);
        assert_int_equal(relay_tls_is_used(&map), rows[i].want != TLS_LEVEL_NONE);
        relay_tls_free(&map);
        w.ways_out = false;
        map = build(&w);
        assert_int_equal(map.out.level, TLS_LEVEL_NONE);
        relay_tls_free(&map);
    }
}

static void test_exceptions_hold_for_ways_out(void **state)
{
    struct relay_tls_words w = usual();
    struct route way = route_of("smtp:[192.0.2.54]:25");
    struct relay_tls_map map;

    w.ways_out = true;
    w.text[RELAY_TLS_POLICY] = "inline:{ {[192.0.2.54]:25 = none} }";
    way.out = true;
    map = build(&w);
    assert_int_equal(relay_tls_find(&map, &way)->level, TLS_LEVEL_NONE);
    relay_tls_free(&map);
}

static void test_raise(void **state)
{
    static const enum tls_level want[] = {
        [TLS_LEVEL_NONE] = TLS_LEVEL_ENCRYPT,    [TLS_LEVEL_MAY] = TLS_LEVEL_ENCRYPT,
        [TLS_LEVEL_ENCRYPT] = TLS_LEVEL_ENCRYPT, [TLS_LEVEL_FINGERPRINT] = TLS_LEVEL_FINGERPRINT,
        [TLS_LEVEL_VERIFY] = TLS_LEVEL_VERIFY,   [TLS_LEVEL_SECURE] = TLS_LEVEL_SECURE};

    for (size_t i = 0; i < ROWS(want); i++) {
        struct relay_tls tls = {.level = (enum tls_level)i};
        struct relay_tls raised = relay_tls_raise(&tls, false);

        assert_int_equal(raised.level, want[i]);
        assert_false(raised.wrapper);
        assert_true(relay_tls_raise(&tls, true).wrapper);
        assert_true(i != TLS_LEVEL_NONE || raised.max_version == TLS_VERSION_1_2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_and_old_forms),
        cmocka_unit_test(test_ways_out),
        cmocka_unit_test(test_exceptions_hold_for_ways_out),
        cmocka_unit_test(test_raise),
        cmocka_unit_test(test_may_and_mandatory),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_fingerprints),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_refused_settings),
        cmocka_unit_test(test_whose_fault),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_defaults_are_good_at_every_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
