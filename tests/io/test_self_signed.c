/*
 * Tests of tls/self_signed: what is made is what OpenSSL and Python understand, and our own reader
 * too; when it still fits.
 */
#include "tls/self_signed.h"

#include "base/text.h"
#include "openssl_fixture.h"
#include "tls/credentials.h"
#include "tls/credentials_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])
#define DAY_S       86400
#define LABEL50     "a23456789-a23456789-a23456789-a23456789-a23456789"
#define LONG_NAME   LABEL50 "." LABEL50 "." LABEL50 ".example.com"

static struct openssl_fixture work;
static int64_t now_s;

static int group_setup(void **state)
{
    char *text;

    openssl_setup(&work);
    text = openssl_output(&work, "date +%s");
    now_s = atoll(text);
    free(text);
    return 0;
}

static int group_teardown(void **state)
{
    openssl_teardown(&work);
    return 0;
}

static void put_file(const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", work.path, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make(enum key_kind kind, const char *first, const char *second, int64_t at_s,
                 const char *file, char pem[SELF_SIGNED_PEM_CAP])
{
    struct self_signed_names names = {
        {first, second}
    };
    struct errbuf err = {""};

    if (self_signed_make(kind, &names, at_s, pem, &err) != 0)
        fail_msg("%s", err.text);
    put_file(file, pem);
}

static void expect(const char *command, const char *const *parts)
{
    char *text = openssl_output(&work, command);

    for (; *parts; parts++) {
        if (!strstr(text, *parts))
            fail_msg("%s: no \"%s\" in\n%s", command, *parts, text);
    }
    free(text);
}

/* Every field, as OpenSSL shows it; and its own checks of key and signature. */
static void what_openssl_makes_of_it(void **state)
{
    static const char *const kinds[] = {"rsa", "ec"};
    char pem[SELF_SIGNED_PEM_CAP];

    for (size_t i = 0; i < ROWS(kinds); i++) {
        make(i == 0 ? KEY_RSA : KEY_EC, "mx.example.com", "example.com", now_s, "made.pem", pem);
        expect("openssl x509 -in made.pem -noout -text",
               (const char *const[]){
                   "Version: 3 (0x2)", "Issuer: CN = mx.example.com",
                   "Subject: CN = mx.example.com", "X509v3 Basic Constraints: critical", "CA:FALSE",
                   "X509v3 Key Usage: critical", "Digital Signature",
                   "TLS Web Server Authentication", "DNS:mx.example.com, DNS:example.com",
                   i == 0 ? "Public-Key: (2048 bit)" : "ASN1 OID: prime256v1",
                   i == 0 ? "sha256WithRSAEncryption" : "ecdsa-with-SHA256", NULL});
        openssl_run(&work, "openssl pkey -in made.pem -check -noout");
        openssl_run(&work, "openssl verify -x509_strict -check_ss_sig -partial_chain -purpose "
                           "sslserver -verify_hostname example.com -CAfile made.pem made.pem");
        openssl_run(&work, "! openssl verify -verify_hostname example.net -CAfile made.pem "
                           "made.pem");
        openssl_run(&work, "openssl x509 -in made.pem -noout -pubkey >a; openssl pkey -in made.pem "
                           "-pubout >b; cmp a b");
        openssl_run(&work,
                    "openssl x509 -in made.pem | openssl asn1parse >asn1; ! grep -qi error asn1");
        openssl_run(&work, "openssl x509 -in made.pem -noout -checkend %d",
                    (SELF_SIGNED_DAYS - 1) * DAY_S);
        openssl_run(&work, "! openssl x509 -in made.pem -noout -checkend %d",
                    SELF_SIGNED_DAYS * DAY_S + 60);
    }
}

static void what_python_makes_of_it(void **state)
{
    char pem[SELF_SIGNED_PEM_CAP];

    make(KEY_EC, "mx.example.com", "example.com", now_s, "made.pem", pem);
    expect("/usr/bin/python3 -c \"import ssl; c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); "
           "c.load_cert_chain('made.pem'); print(ssl._ssl._test_decode_cert('made.pem'))\"",
           (const char *const[]){"'subjectAltName': (('DNS', 'mx.example.com'), ('DNS', "
                                 "'example.com'))",
                                 "'version': 3", NULL});
}

static void names_and_times(void **state)
{
    char pem[SELF_SIGNED_PEM_CAP];

    make(KEY_EC, LONG_NAME, "", now_s, "made.pem", pem); /* longer than a common name may be */
    expect("openssl x509 -in made.pem -noout -text",
           (const char *const[]){"Subject: CN = mxgate", "DNS:" LONG_NAME, NULL});
    make(KEY_EC, "mx.example.com", "mx.example.com", now_s, "made.pem", pem);
    expect("openssl x509 -in made.pem -noout -ext subjectAltName | tr '\\n' '.'",
           (const char *const[]){"DNS:mx.example.com.", NULL});
    make(KEY_EC, "mx.example.com", "", INT64_C(2500000000), "made.pem", pem); /* 2049 + 10 */
    expect("openssl x509 -in made.pem | openssl asn1parse",
           (const char *const[]){"UTCTIME           :490321042640Z",
                                 "GENERALIZEDTIME   "
                                 ":20590320042640Z",
                                 NULL});
}

/* No two are alike, or they would be mistaken for each other. */
static void serials_and_keys_differ(void **state)
{
    char a[SELF_SIGNED_PEM_CAP], b[SELF_SIGNED_PEM_CAP];

    make(KEY_EC, "mx.example.com", "", now_s, "a.pem", a);
    make(KEY_EC, "mx.example.com", "", now_s, "b.pem", b);
    openssl_run(&work, "openssl x509 -in a.pem -noout -serial >a; openssl x509 -in b.pem -noout "
                       "-serial >b; ! cmp a b");
    openssl_run(&work, "openssl x509 -in a.pem -noout -pubkey >a; openssl x509 -in b.pem -noout "
                       "-pubkey >b; ! cmp a b");
}

static void names_too_long(void **state)
{
    char name[3000];
    char pem[SELF_SIGNED_PEM_CAP];
    struct self_signed_names names = {
        {name, ""}
    };
    struct errbuf err = {""};

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_true(self_signed_make(KEY_EC, &names, now_s, pem, &err) < 0);
    assert_true(err.text[0] != '\0');
}

static void when_it_still_fits(void **state)
{
    static const struct {
        const char *first, *second;
        int64_t later_s;
        bool fits;
    } rows[] = {
        {"mx.example.com", "example.com",    0,                                        true },
        {"mx.example.com", "example.com",    (int64_t)(SELF_SIGNED_DAYS - 31) * DAY_S, true },
        {"mx.example.com", "example.com",    (int64_t)(SELF_SIGNED_DAYS - 29) * DAY_S, false},
        {"mx.example.com", "example.com",    -2 * DAY_S,                               false}, /* our clock was wrong, or is */
        {"mx.example.com", "",               0,                                        false},
        {"mx.example.com", "example.net",    0,                                        false},
        {"mx.example.net", "example.com",    0,                                        false},
        {"mx.example.com", "mx.example.com", 0,                                        false},
    };
    char pem[SELF_SIGNED_PEM_CAP];
    struct credentials_file file = {
        "made.pem", {pem, 0}
    };
    struct credential_pair pair;
    struct errbuf err = {""};

    make(KEY_EC, "mx.example.com", "example.com", now_s, "made.pem", pem);
    file.pem = span_of(pem);
    assert_int_equal(credential_load(&file, 1, NULL, NULL, &pair, &err), 0);
    assert_string_equal(pair.ec->subject, "mx.example.com");
    assert_null(pair.rsa);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct self_signed_names names = {
            {rows[i].first, rows[i].second}
        };

        if (self_signed_fits(pair.ec, &names, now_s + rows[i].later_s) != rows[i].fits)
            fail_msg("row %zu", i);
    }
    credential_unref(pair.ec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_openssl_makes_of_it), cmocka_unit_test(what_python_makes_of_it),
        cmocka_unit_test(names_and_times),          cmocka_unit_test(serials_and_keys_differ),
        cmocka_unit_test(names_too_long),           cmocka_unit_test(when_it_still_fits),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
