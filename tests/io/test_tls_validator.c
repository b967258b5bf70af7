/* test_tls_validator - real certificates, good and bad, by each way of verifying them */
#include "tls/tls_validator.h"

#include "certificate_fixture.h"
#include "tls/tls_anchors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define NOW_S    ((int64_t)time(NULL)) /* self-signed.pem is made now */
#define NOW      0                     /* in rows */
#define LATE_S   INT64_C(2400000000)   /* 2046-01-20 */
#define EARLY_S  INT64_C(1700000000)   /* 2023-11-14 */
#define ACCEPTED 0

struct asked {
    const char *chain;
    const char *ca; /* NULL: nobody is trusted */
    struct tls_wanted wanted;
    int64_t now_s;
    size_t piece; /* bytes given at a time; 0: all at once */
};

struct answer {
    unsigned code;
    enum tls_trust trust;
    char error[256];
    int key_type;
    unsigned usages;
};

static void give(struct tls_validator *v, struct span der, size_t piece)
{
    v->vtable->start_cert(&v->vtable, (uint32_t)der.len);
    while (der.len > 0) {
        struct span part = span_first(der, piece ? piece : der.len);

        v->vtable->append(&v->vtable, (const unsigned char *)part.ptr, part.len);
        der = span_from(der, part.len);
    }
    v->vtable->end_cert(&v->vtable);
}

static struct answer ask_chain(const struct asked *q, const struct certificate_chain *chain)
{
    struct tls_anchors *anchors = NULL;
    struct tls_validator v;
    struct errbuf err = {""};
    struct answer a = {0};
    const char *path = q->ca ? certificate_path(q->ca) : NULL;

    if (path)
        anchors = tls_anchors_load(&path, 1, &err);
    assert_true(!path || anchors);
    assert_int_equal(tls_validator_init(&v, anchors, &q->wanted, q->now_s), 0);
    v.vtable->start_chain(&v.vtable, "ignored.example.org");
    for (size_t i = 0; i < chain->count; i++)
        give(&v, chain->der[i], q->piece);
    a.code = v.vtable->end_chain(&v.vtable);
    if (a.code == ACCEPTED) {
        const br_x509_pkey *key = v.vtable->get_pkey(&v.vtable, &a.usages);

        assert_non_null(key);
        a.key_type = key->key_type;
    }
    tls_validator_rest(&v);
    tls_validator_rest(&v);
    a.trust = tls_validator_trust(&v);
    snprintf(a.error, sizeof a.error, "%s", tls_validator_error(&v));
    tls_anchors_unref(anchors);
    return a;
}

static struct answer ask(const struct asked *q)
{
    struct certificate_chain chain = certificate_chain_read(q->chain);
    struct answer a = ask_chain(q, &chain);

    certificate_chain_free(&chain);
    return a;
}

/* ---- a CA and a name ---- */

struct row {
    const char *chain, *name;
    int64_t now_s;
    const char *error; /* NULL: verified */
};

static const struct row rows[] = {
    {"good",        "mail.example.com",   NOW,     NULL                                                  },
    {"good",        "MAIL.example.COM",   NOW,     NULL                                                  },
    {"good",        "other.example.com",  NOW,     NULL                                                  },
    {"good",        ".example.com",       NOW,     NULL                                                  },
    {"good",        "192.0.2.53",         NOW,     NULL                                                  },
    {"good",        "2001:db8::53",       NOW,     NULL                                                  },
    {"good",        "2001:DB8:0:0::53",   NOW,     NULL                                                  },
    {"good",        "192.0.2.54",         NOW,
     "it is for mail.example.com, other.example.com, "
     "192.0.2.53, 2001:db8::53, 127.0.0.1, not for "
     "192.0.2.54"                                                                                        },
    {"good",        "example.com",        NOW,     "not for example.com"                                 },
    {"good",        ".mail.example.com",  NOW,     "not for .mail.example.com"                           },
    {"good",        "mail.example.com.x", NOW,     "not for mail.example.com.x"                          },
    {"good",        "",                   NOW,     "not for "                                            },
    {"good",        "mail.example.com",   LATE_S,  "certificate has expired"                             },
    {"good",        "mail.example.com",   EARLY_S, "certificate not yet valid"                           },
    {"ec",          "mail.example.com",   NOW,     NULL                                                  },
    {"chain",       "mail.example.com",   NOW,     NULL                                                  },
    {"alone",       "mail.example.com",   NOW,     "untrusted issuer middle"                             },
    {"wildcard",    "mail.example.com",   NOW,     NULL                                                  },
    {"wildcard",    "a.b.example.com",    NOW,     "it is for *.example.com, not for a.b.example.com"    },
    {"wildcard",    "example.com",        NOW,     "not for example.com"                                 },
    {"wildcard",    ".example.com",       NOW,     NULL                                                  },
    {"common-name", "mail.example.com",   NOW,     NULL                                                  },
    {"common-name", "mail.example.net",   NOW,     "it is for mail.example.com, not for"                 },
    {"wrong",       "mail.example.net",   NOW,     NULL                                                  },
    {"wrong",       "mail.example.com",   NOW,     "it is for mail.example.net, not for mail.example.com"},
    {"expired",     "mail.example.com",   NOW,     "certificate has expired"                             },
    {"not-yet",     "mail.example.com",   NOW,     "certificate not yet valid"                           },
    {"unknown",     "mail.example.com",   NOW,     "untrusted issuer other-ca"                           },
    {"self-signed", "mail.example.com",   NOW,     "self-signed certificate"                             },
    {"short",       "mail.example.com",   NOW,     "too short"                                           },
    {"sha1",        "mail.example.com",   NOW,     "SHA-1"                                               },
};

static void check_row(const struct row *row, size_t piece)
{
    struct asked q = {.chain = row->chain, .ca = "ca.pem", .now_s = row->now_s, .piece = piece};
    struct answer a;

    if (row->now_s == NOW)
        q.now_s = NOW_S;
    q.wanted =
        (struct tls_wanted){.verify = TLS_VERIFY_CHAIN_NAME, .names = {row->name}, .name_count = 1};
    a = ask(&q);
    if (row->error ? a.code == ACCEPTED || !strstr(a.error, row->error) ||
                         strncmp(a.error, TLS_NOT_VERIFIED, strlen(TLS_NOT_VERIFIED)) != 0 ||
                         a.trust == TLS_TRUST_VERIFIED
                   : a.code != ACCEPTED || a.error[0] || a.trust != TLS_TRUST_VERIFIED)
        fail_msg("%s for %s: code %u, trust %d, \"%s\"", row->chain, row->name, a.code, a.trust,
                 a.error);
}

static void test_chain_and_name(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_row(&rows[i], 0);
        check_row(&rows[i], 1);
        check_row(&rows[i], 7);
    }
}

static void test_several_names(void **state)
{
    struct asked q = {.chain = "wrong", .ca = "ca.pem", .now_s = NOW_S};
    struct answer a;

    q.wanted = (struct tls_wanted){
        .verify = TLS_VERIFY_CHAIN_NAME,
        .names = {"mail.example.com", ".example.org", ".example.net"},
        .name_count = 3
    };
    assert_int_equal(ask(&q).trust, TLS_TRUST_VERIFIED);
    q.wanted.name_count = 2;
    a = ask(&q);
    assert_int_equal(a.trust, TLS_TRUST_TRUSTED);
    assert_int_equal(a.code, BR_ERR_X509_BAD_SERVER_NAME);
    q.wanted.name_count = 0;
    assert_int_not_equal(ask(&q).code, ACCEPTED);
    q.ca = NULL;
    q.wanted.name_count = 3;
    assert_int_not_equal(ask(&q).code, ACCEPTED);
}

/* One that is given as a CA is trusted as itself. */
static void test_itself_as_anchor(void **state)
{
    struct asked q = {.chain = "self-signed", .ca = "self-signed.pem", .now_s = NOW_S};

    q.wanted = (struct tls_wanted){
        .verify = TLS_VERIFY_CHAIN_NAME, .names = {"mail.example.com"}, .name_count = 1};
    assert_string_equal(ask(&q).error, "");
    assert_int_equal(ask(&q).trust, TLS_TRUST_VERIFIED);
    q.chain = "good";
    q.ca = "good.pem"; /* no CA, and signed by another */
    assert_string_equal(ask(&q).error, "");
    assert_int_equal(ask(&q).trust, TLS_TRUST_VERIFIED);
}

/* ---- whoever it is ---- */

static void test_none(void **state)
{
    static const struct {
        const char *chain, *ca;
        enum tls_trust trust;
    } cases[] = {
        {"good",        "ca.pem",       TLS_TRUST_TRUSTED  },
        {"chain",       "ca.pem",       TLS_TRUST_TRUSTED  },
        {"wrong",       "ca.pem",       TLS_TRUST_TRUSTED  },
        {"good",        NULL,           TLS_TRUST_UNTRUSTED},
        {"good",        "other-ca.pem", TLS_TRUST_UNTRUSTED},
        {"expired",     "ca.pem",       TLS_TRUST_UNTRUSTED},
        {"not-yet",     "ca.pem",       TLS_TRUST_UNTRUSTED},
        {"self-signed", "ca.pem",       TLS_TRUST_UNTRUSTED},
        {"short",       "ca.pem",       TLS_TRUST_UNTRUSTED},
        {"alone",       "ca.pem",       TLS_TRUST_UNTRUSTED},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asked q = {.chain = cases[i].chain, .ca = cases[i].ca, .now_s = NOW_S, .piece = 11};
        struct answer a = ask(&q);

        if (a.code != ACCEPTED || a.trust != cases[i].trust)
            fail_msg("%s: code %u, trust %d (%s)", cases[i].chain, a.code, a.trust, a.error);
        assert_int_equal(a.usages, BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN);
        assert_true((a.error[0] == '\0') == (a.trust == TLS_TRUST_TRUSTED));
    }
}

static void test_key_types(void **state)
{
    struct asked q = {.chain = "good", .now_s = NOW_S};

    assert_int_equal(ask(&q).key_type, BR_KEYTYPE_RSA);
    q.chain = "chain";
    assert_int_equal(ask(&q).key_type, BR_KEYTYPE_EC);
}

/* ---- fingerprints ---- */

/* What openssl says of it. */
static void openssl_digest(const char *name, bool of_key, unsigned char out[32])
{
    char command[512];
    FILE *p;

    snprintf(command, sizeof command,
             of_key ? "openssl x509 -in %s -noout -pubkey | openssl pkey -pubin -outform DER | "
                      "openssl dgst -sha256 -binary"
                    : "openssl x509 -in %s -outform DER | openssl dgst -sha256 -binary",
             certificate_path(name));
    p = popen(command, "r");
    assert_non_null(p);
    assert_int_equal(fread(out, 1, 32, p), 32);
    assert_int_equal(pclose(p), 0);
}

static void test_fingerprints(void **state)
{
    static const char *const names[] = {"good", "ec", "chain", "expired", "self-signed", "short"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct asked q = {.chain = names[i], .now_s = NOW_S};
        unsigned char prints[2][32] = {{0}};
        char file[64];

        snprintf(file, sizeof file, "%s.pem", names[i]);
        q.wanted = (struct tls_wanted){.verify = TLS_VERIFY_FINGERPRINT,
                                       .fingerprints = (const unsigned char(*)[32])prints,
                                       .fingerprint_count = 2};
        assert_int_not_equal(ask(&q).code, ACCEPTED);
        assert_non_null(strstr(ask(&q).error, "fingerprint"));
        openssl_digest(file, false, prints[1]);
        assert_int_equal(ask(&q).trust, TLS_TRUST_VERIFIED);
        q.wanted.fingerprint_count = 1;
        assert_int_not_equal(ask(&q).code, ACCEPTED);
        openssl_digest(file, true, prints[0]);
        assert_int_equal(ask(&q).code, ACCEPTED);
        assert_int_equal(ask(&q).trust, TLS_TRUST_VERIFIED);
        prints[0][31] ^= 1;
        assert_int_not_equal(ask(&q).code, ACCEPTED);
    }
}

/* ---- nonsense ---- */

/* In the mode that accepts most. */
static struct answer ask_bytes(struct span der)
{
    struct certificate_chain chain = {.der = {der}, .count = 1};
    struct asked q = {.ca = "ca.pem", .now_s = NOW_S};

    return ask_chain(&q, &chain);
}

static void test_broken(void **state)
{
    struct certificate_chain good = certificate_chain_read("ec");
    struct certificate_chain none = {.count = 0};
    struct asked q = {.ca = "ca.pem", .now_s = NOW_S};
    size_t big = TLS_CERTIFICATE_MAX + 1;
    char *bytes = malloc(big);

    assert_non_null(bytes);
    assert_int_equal(ask_chain(&q, &none).code, BR_ERR_X509_EMPTY_CHAIN);
    for (size_t len = 0; len < good.der[0].len; len++)
        assert_int_not_equal(ask_bytes(span_first(good.der[0], len)).code, ACCEPTED);
    memset(bytes, 0x30, big);
    memcpy(bytes, good.der[0].ptr, good.der[0].len);
    assert_int_not_equal(ask_bytes(span_make(bytes, good.der[0].len + 1)).code, ACCEPTED);
    assert_int_not_equal(ask_bytes(span_make(bytes, big)).code, ACCEPTED);
    free(bytes);
    certificate_chain_free(&good);
}

/* All are signed but the algorithm that is named once more before the signature. */
static void test_every_bit_counts(void **state)
{
    struct certificate_chain chain = certificate_chain_read("ec");
    struct asked q = {.ca = "ca.pem", .now_s = NOW_S};
    char *bytes = malloc(chain.der[0].len);
    /* SEQUENCE { signed part, algorithm, signature }, both of 256 to 65535 bytes */
    size_t said_again =
        8 + (size_t)(unsigned char)chain.der[0].ptr[6] * 256 + (unsigned char)chain.der[0].ptr[7];

    assert_non_null(bytes);
    q.wanted = (struct tls_wanted){
        .verify = TLS_VERIFY_CHAIN_NAME, .names = {"mail.example.com"}, .name_count = 1};
    assert_int_equal(ask_chain(&q, &chain).code, ACCEPTED);
    for (size_t i = 0; i < chain.der[0].len; i++) {
        struct certificate_chain changed = {.count = 1};

        memcpy(bytes, chain.der[0].ptr, chain.der[0].len);
        bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
        changed.der[0] = span_make(bytes, chain.der[0].len);
        if (ask_chain(&q, &changed).code == ACCEPTED && (i < said_again || i >= said_again + 15))
            fail_msg("byte %zu does not count", i);
    }
    free(bytes);
    certificate_chain_free(&chain);
}

static void test_long_chain(void **state)
{
    struct certificate_chain chain = certificate_chain_read("chain");
    struct certificate_chain many = chain;
    struct asked q = {.ca = "ca.pem", .now_s = NOW_S};

    while (many.count < TLS_CHAIN_MAX)
        many.der[many.count++] = chain.der[1];
    assert_int_equal(ask_chain(&q, &many).trust, TLS_TRUST_TRUSTED);
    many.der[many.count++] = chain.der[1];
    assert_int_equal(ask_chain(&q, &many).code, ACCEPTED);
    assert_int_equal(ask_chain(&q, &many).trust, TLS_TRUST_UNTRUSTED);
    certificate_chain_free(&chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_and_name),   cmocka_unit_test(test_several_names),
        cmocka_unit_test(test_itself_as_anchor), cmocka_unit_test(test_none),
        cmocka_unit_test(test_key_types),        cmocka_unit_test(test_fingerprints),
        cmocka_unit_test(test_broken),           cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_long_chain),
    };

    return cmocka_run_group_tests(tests, certificate_setup, certificate_teardown);
}
