/* test_config_tls - TLS with clients: versions, levels, the words left out for single clients */
#include "config/ehlo_map.h"
#include "config/tls_words.h"
#include "config_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- versions --- */

static void test_versions(void **state)
{
    static const struct {
        const char *text;
        unsigned min, max;
    } rows[] = {
        {"",                               TLS_VERSION_1_2, TLS_VERSION_1_2},
        {">=TLSv1.2",                      TLS_VERSION_1_2, TLS_VERSION_1_2},
        {">=TLSv1",                        TLS_VERSION_1_0, TLS_VERSION_1_2},
        {">=tlsv1.0",                      TLS_VERSION_1_0, TLS_VERSION_1_2},
        {">=TLSv1, <=TLSv1.1",             TLS_VERSION_1_0, TLS_VERSION_1_1},
        {">=SSLv3",                        TLS_VERSION_1_0, TLS_VERSION_1_2},
        {">=TLSv1 !TLSv1",                 TLS_VERSION_1_1, TLS_VERSION_1_2},
        {">=TLSv1:!TLSv1:!TLSv1.1",        TLS_VERSION_1_2, TLS_VERSION_1_2},
        {"TLSv1.2",                        TLS_VERSION_1_2, TLS_VERSION_1_2},
        {"TLSv1.2 TLSv1.3",                TLS_VERSION_1_2, TLS_VERSION_1_2},
        {"TLSv1.1, TLSv1.2",               TLS_VERSION_1_1, TLS_VERSION_1_2},
        {"TLSv1",                          TLS_VERSION_1_0, TLS_VERSION_1_0},
        {"SSLv3, TLSv1",                   TLS_VERSION_1_0, TLS_VERSION_1_0},
        {"!SSLv2, !SSLv3",                 TLS_VERSION_1_2, TLS_VERSION_1_2},
        {"!SSLv2,!SSLv3,!TLSv1,!TLSv1.1",  TLS_VERSION_1_2, TLS_VERSION_1_2},
        {"!SSLv2 !SSLv3 !TLSv1 !TLSv1.3",  TLS_VERSION_1_2, TLS_VERSION_1_2},
        {">=TLSv1 !TLSv1.1",               TLS_VERSION_1_2, TLS_VERSION_1_2},
        {"TLSv1 TLSv1.2",                  TLS_VERSION_1_2, TLS_VERSION_1_2},
        {"<=TLSv1.3",                      TLS_VERSION_1_0, TLS_VERSION_1_2},
        {"\t>=TLSv1.1,\r\n  !TLSv1.3  ,,", TLS_VERSION_1_1, TLS_VERSION_1_2},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_protocols versions;
        struct errbuf err;

        if (tls_protocols_parse(span_of(rows[i].text), &versions, &err) != 0 ||
            versions.min != rows[i].min || versions.max != rows[i].max)
            fail_msg("\"%s\": 0x%x to 0x%x", rows[i].text, versions.min, versions.max);
    }
}

static void test_bad_versions(void **state)
{
    static const char *const rows[] = {
        "TLSv1.3",  ">=TLSv1.3",  "!TLSv1.2", "SSLv3",  "TLSv2", ">TLSv1.2", ">=",      "!",
        "=TLSv1.2", ">= TLSv1.2", "<=SSLv3",  "-TLSv1", "1.2",   "TLSv1.",   "!!TLSv1", ">=!TLSv1",
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_protocols versions;
        struct errbuf err;

        if (tls_protocols_parse(span_of(rows[i]), &versions, &err) == 0)
            fail_msg("\"%s\" was taken", rows[i]);
        assert_non_null(strstr(err.text, "write >=TLSv1.2"));
    }
}

/* --- what the settings come to --- */

static void test_levels(void **state)
{
    static const struct {
        const char *variables;
        enum smtpd_tls_level level;
        unsigned min;
        bool medium;
    } rows[] = {
        {"",                                                                                 SMTPD_TLS_MAY,     TLS_VERSION_1_2, false},
        {"POSTFIX_smtpd_tls_security_level=none",                                            SMTPD_TLS_NONE,    TLS_VERSION_1_2, false},
        {"POSTFIX_smtpd_tls_security_level=encrypt",                                         SMTPD_TLS_ENCRYPT, TLS_VERSION_1_2, false},
        {"POSTFIX_smtpd_tls_security_level=secure",                                          SMTPD_TLS_ENCRYPT, TLS_VERSION_1_2, false},
        {"POSTFIX_smtpd_use_tls=no",                                                         SMTPD_TLS_NONE,    TLS_VERSION_1_2, false},
        {"POSTFIX_smtpd_use_tls=yes",                                                        SMTPD_TLS_MAY,     TLS_VERSION_1_2, false},
        {"POSTFIX_smtpd_enforce_tls=yes\nPOSTFIX_smtpd_use_tls=no",                          SMTPD_TLS_ENCRYPT,
         TLS_VERSION_1_2,                                                                                                        false},
        {"POSTFIX_smtpd_enforce_tls=yes\nPOSTFIX_smtpd_tls_security_level=may",              SMTPD_TLS_MAY,
         TLS_VERSION_1_2,                                                                                                        false},
        {"POSTFIX_smtpd_use_tls=no\nPOSTFIX_smtpd_tls_security_level=may",                   SMTPD_TLS_MAY,
         TLS_VERSION_1_2,                                                                                                        false},
        {"POSTFIX_smtpd_tls_protocols=>=TLSv1.1",                                            SMTPD_TLS_MAY,     TLS_VERSION_1_1, true },
        {"POSTFIX_smtpd_tls_ciphers=medium",                                                 SMTPD_TLS_MAY,     TLS_VERSION_1_2, true },
        {"POSTFIX_smtpd_tls_ciphers=low",                                                    SMTPD_TLS_MAY,     TLS_VERSION_1_2, true },
        {"POSTFIX_smtpd_tls_mandatory_ciphers=medium",                                       SMTPD_TLS_MAY,     TLS_VERSION_1_2, false},
        {"POSTFIX_smtpd_tls_security_level=encrypt\nPOSTFIX_smtpd_tls_ciphers=medium",
         SMTPD_TLS_ENCRYPT,                                                                                     TLS_VERSION_1_2, false},
        {"POSTFIX_smtpd_tls_wrappermode=yes\nPOSTFIX_smtpd_tls_mandatory_protocols=>=TLSv1",
         SMTPD_TLS_MAY,                                                                                         TLS_VERSION_1_0, true },
    };
    static struct built built;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct smtpd_tls *tls;

        built_from(&built, CONFIG_MINIMUM, rows[i].variables);
        assert_int_equal(built.rc, 0);
        tls = &built.config->smtpd_tls;
        if (tls->level != rows[i].level || tls->min_version != rows[i].min ||
            tls->max_version != TLS_VERSION_1_2 || tls->medium != rows[i].medium)
            fail_msg("%s: level %d, 0x%x to 0x%x, medium %d", rows[i].variables, tls->level,
                     tls->min_version, tls->max_version, tls->medium);
        built_free(&built);
    }
}

/* --- words for single clients --- */

static const char *find(const struct ehlo_map *map, const char *address)
{
    unsigned char binary[16];

    assert_true(cidr_address_parse(span_of(address), binary));
    return ehlo_map_find(map, binary);
}

static void expect_words(const struct ehlo_map *map, const char *address, const char *want)
{
    const char *words = find(map, address);

    if (strcmp(words ? words : "(none)", want) != 0)
        fail_msg("%s: %s", address, words ? words : "(none)");
}

static void test_map(void **state)
{
    struct ehlo_map map;
    struct errbuf err;

    assert_int_equal(ehlo_map_parse(&map,
                                    SPAN_LIT("inline:{192.0.2.1=starttls, 192.0.2.0/24=dsn,\n"
                                             " { 198.51.100.7 = starttls, dsn } }\n"
                                             "cidr:{ {2001:db8::/32 starttls} {203.0.113.0/24 "
                                             "starttls, silent-discard} }"),
                                    &err),
                     0);
    expect_words(&map, "192.0.2.1", "starttls");
    expect_words(&map, "192.0.2.2", "dsn");
    expect_words(&map, "198.51.100.7", "starttls, dsn");
    expect_words(&map, "198.51.100.8", "(none)");
    expect_words(&map, "2001:db8::9", "starttls");
    expect_words(&map, "203.0.113.255", "starttls, silent-discard");
    ehlo_map_free(&map);
    assert_int_equal(ehlo_map_parse(&map, SPAN_LIT("  "), &err), 0);
    expect_words(&map, "192.0.2.1", "(none)");
    ehlo_map_free(&map);
}

static void test_bad_maps(void **state)
{
    static const char *const rows[] = {
        "hash:/etc/postfix/ehlo",
        "cidr:/etc/postfix/ehlo",
        "inline:{192.0.2.1=starttls",
        "inline:{192.0.2.1}",
        "inline:{=starttls}",
        "inline:{example.net=starttls}",
        "inline:{192.0.2.1/24=starttls}",
        "inline:{{192.0.2.1, 192.0.2.2 = starttls}}",
        "cidr:{192.0.2.1 starttls}",
        "cidr:{{192.0.2.1}}",
        "cidr:{{192.0.2.1 }}",
        "192.0.2.1=starttls",
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ehlo_map map;
        struct errbuf err;

        if (ehlo_map_parse(&map, span_of(rows[i]), &err) == 0)
            fail_msg("\"%s\" was taken", rows[i]);
        assert_int_equal(map.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions), cmocka_unit_test(test_bad_versions),
        cmocka_unit_test(test_levels),   cmocka_unit_test(test_map),
        cmocka_unit_test(test_bad_maps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
