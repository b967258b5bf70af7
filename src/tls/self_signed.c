/* self_signed - see self_signed.h */
#include "tls/self_signed.h"

#include "base/text.h"
#include "tls/credentials.h"
#include "tls/der.h"
#include "tls/tls_profile.h"
#include "tls/x509.h"

#include <bearssl.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define DAY_S           86400
#define SPARE_S         (30 * DAY_S)
#define COMMON_NAME_MAX 64 /* ub-common-name, RFC 5280 A.1 */
#define TBS_CAP         2048
#define SIGNATURE_CAP   (SELF_SIGNED_RSA_BITS / 8)
#define KEY_DER_CAP     2048
#define SERIAL_LEN      16
#define SEED_LEN        32

#define OID_COMMON_NAME   SPAN_LIT("\x55\x04\x03")                         /* 2.5.4.3 */
#define OID_KEY_USAGE     SPAN_LIT("\x55\x1d\x0f")                         /* 2.5.29.15 */
#define OID_ALT_NAME      SPAN_LIT("\x55\x1d\x11")                         /* 2.5.29.17 */
#define OID_CONSTRAINTS   SPAN_LIT("\x55\x1d\x13")                         /* 2.5.29.19 */
#define OID_EXT_KEY_USAGE SPAN_LIT("\x55\x1d\x25")                         /* 2.5.29.37 */
#define OID_SERVER_AUTH   SPAN_LIT("\x2b\x06\x01\x05\x05\x07\x03\x01")     /* 1.3.6.1.5.5.7.3.1 */
#define OID_RSA           SPAN_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01") /* rsaEncryption */
#define OID_RSA_SHA256    SPAN_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b")
#define OID_EC            SPAN_LIT("\x2a\x86\x48\xce\x3d\x02\x01")     /* id-ecPublicKey */
#define OID_P256          SPAN_LIT("\x2a\x86\x48\xce\x3d\x03\x01\x07") /* prime256v1 */
#define OID_ECDSA_SHA256  SPAN_LIT("\x2a\x86\x48\xce\x3d\x04\x03\x02")
#define TAG_EXPLICIT(n)   ((unsigned)DER_CONTEXT_CONSTRUCTED | (n))
#define TAG_DNS_NAME      ((unsigned)DER_CONTEXT | 2)

struct maker {
    enum key_kind kind;
    const struct self_signed_names *names;
    int64_t now_s;
    br_hmac_drbg_context random;
    unsigned char private_room[BR_RSA_KBUF_PRIV_SIZE(SELF_SIGNED_RSA_BITS)];
    unsigned char public_room[BR_RSA_KBUF_PUB_SIZE(SELF_SIGNED_RSA_BITS)];
    br_rsa_private_key rsa;
    br_rsa_public_key rsa_public;
    br_ec_private_key ec;
    br_ec_public_key ec_public;
};

static struct span bytes(const unsigned char *ptr, size_t len)
{
    return span_make((const char *)ptr, len);
}

/* ---- names ---- */

static const char *second_name(const struct self_signed_names *names)
{
    const char *second = names->name[1];

    return second && second[0] && strcmp(second, names->name[0]) != 0 ? second : NULL;
}

static void put_name(struct der_writer *w, const struct maker *m)
{
    struct span name = span_of(m->names->name[0]);
    size_t sequence = der_mark(w);

    der_put_value(w, DER_UTF8_STRING, name.len <= COMMON_NAME_MAX ? name : SPAN_LIT("mxgate"));
    der_put_value(w, DER_OID, OID_COMMON_NAME);
    der_wrap(w, DER_SEQUENCE, sequence);
    der_wrap(w, DER_SET, sequence);
    der_wrap(w, DER_SEQUENCE, sequence);
}

/* ---- extensions ---- */

/* What was put since the mark becomes an extension. */
static void wrap_extension(struct der_writer *w, struct span oid, bool critical, size_t mark)
{
    der_wrap(w, DER_OCTET_STRING, mark);
    if (critical)
        der_put_value(w, DER_BOOLEAN, SPAN_LIT("\xff"));
    der_put_value(w, DER_OID, oid);
    der_wrap(w, DER_SEQUENCE, mark);
}

static void put_alt_names(struct der_writer *w, const struct maker *m)
{
    size_t mark = der_mark(w);

    if (second_name(m->names))
        der_put_value(w, TAG_DNS_NAME, span_of(second_name(m->names)));
    der_put_value(w, TAG_DNS_NAME, span_of(m->names->name[0]));
    der_wrap(w, DER_SEQUENCE, mark);
    wrap_extension(w, OID_ALT_NAME, false, mark);
}

static void put_extensions(struct der_writer *w, const struct maker *m)
{
    size_t all = der_mark(w);
    size_t mark;

    put_alt_names(w, m);
    mark = der_mark(w);
    der_put_value(w, DER_OID, OID_SERVER_AUTH);
    der_wrap(w, DER_SEQUENCE, mark);
    wrap_extension(w, OID_EXT_KEY_USAGE, false, mark);
    mark = der_mark(w);
    der_put_value(w, DER_BIT_STRING, SPAN_LIT("\x07\x80")); /* digitalSignature */
    wrap_extension(w, OID_KEY_USAGE, true, mark);
    mark = der_mark(w);
    der_put_value(w, DER_SEQUENCE, SPAN_LIT("")); /* no CA */
    wrap_extension(w, OID_CONSTRAINTS, true, mark);
    der_wrap(w, DER_SEQUENCE, all);
    der_wrap(w, TAG_EXPLICIT(3), all);
}

/* ---- the certificate ---- */

static void put_algorithm(struct der_writer *w, enum key_kind kind)
{
    size_t mark = der_mark(w);

    if (kind == KEY_RSA)
        der_put_value(w, DER_NULL, SPAN_LIT(""));
    der_put_value(w, DER_OID, kind == KEY_RSA ? OID_RSA_SHA256 : OID_ECDSA_SHA256);
    der_wrap(w, DER_SEQUENCE, mark);
}

static void put_bits(struct der_writer *w, size_t mark)
{
    der_put_byte(w, 0); /* whole bytes */
    der_wrap(w, DER_BIT_STRING, mark);
}

static void put_key(struct der_writer *w, const struct maker *m)
{
    size_t mark = der_mark(w);
    size_t algorithm;

    if (m->kind == KEY_RSA) {
        der_put_unsigned(w, bytes(m->rsa_public.e, m->rsa_public.elen));
        der_put_unsigned(w, bytes(m->rsa_public.n, m->rsa_public.nlen));
        der_wrap(w, DER_SEQUENCE, mark);
    } else {
        der_put(w, bytes(m->ec_public.q, m->ec_public.qlen));
    }
    put_bits(w, mark);
    algorithm = der_mark(w);
    der_put_value(w, m->kind == KEY_RSA ? DER_NULL : DER_OID,
                  m->kind == KEY_RSA ? SPAN_LIT("") : OID_P256);
    der_put_value(w, DER_OID, m->kind == KEY_RSA ? OID_RSA : OID_EC);
    der_wrap(w, DER_SEQUENCE, algorithm);
    der_wrap(w, DER_SEQUENCE, mark);
}

/* UTCTime until 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5). */
static void put_time(struct der_writer *w, int64_t at_s)
{
    time_t at = (time_t)at_s;
    char buf[32];
    struct text t;
    struct tm tm;
    int year;

    gmtime_r(&at, &tm);
    year = tm.tm_year + 1900;
    text_init(&t, buf, sizeof buf);
    text_printf(&t, "%0*d%02d%02d%02d%02d%02dZ", year < 2050 ? 2 : 4,
                year < 2050 ? year % 100 : year, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                tm.tm_sec);
    der_put_value(w, year < 2050 ? DER_UTC_TIME : DER_GENERALIZED_TIME, text_as_span(&t));
}

static void put_validity(struct der_writer *w, int64_t now_s)
{
    size_t mark = der_mark(w);

    put_time(w, now_s + (int64_t)SELF_SIGNED_DAYS * DAY_S);
    put_time(w, now_s - DAY_S);
    der_wrap(w, DER_SEQUENCE, mark);
}

static void put_tbs(struct der_writer *w, struct maker *m)
{
    unsigned char serial[SERIAL_LEN];
    size_t mark = der_mark(w);
    size_t version;

    br_hmac_drbg_generate(&m->random, serial, sizeof serial);
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of one length */
    put_extensions(w, m);
    put_key(w, m);
    put_name(w, m);
    put_validity(w, m->now_s);
    put_name(w, m);
    put_algorithm(w, m->kind);
    der_put_unsigned(w, bytes(serial, sizeof serial));
    version = der_mark(w);
    der_put_value(w, DER_INTEGER, SPAN_LIT("\x02")); /* v3 */
    der_wrap(w, TAG_EXPLICIT(0), version);
    der_wrap(w, DER_SEQUENCE, mark);
}

static size_t sign(const struct maker *m, struct span tbs, unsigned char signature[SIGNATURE_CAP])
{
    unsigned char hash[br_sha256_SIZE];
    br_sha256_context sha;

    br_sha256_init(&sha);
    br_sha256_update(&sha, tbs.ptr, tbs.len);
    br_sha256_out(&sha, hash);
    if (m->kind == KEY_EC)
        return br_ecdsa_i31_sign_asn1(tls_profile_ec(), &br_sha256_vtable, hash, &m->ec, signature);
    return tls_profile_rsa_sign()(BR_HASH_OID_SHA256, hash, sizeof hash, &m->rsa, signature)
               ? SIGNATURE_CAP
               : 0;
}

static bool write_certificate(struct der_writer *w, struct maker *m)
{
    unsigned char tbs_room[TBS_CAP], signature[SIGNATURE_CAP];
    struct der_writer tbs;
    size_t mark = der_mark(w);
    size_t len;

    der_writer_init(&tbs, tbs_room, sizeof tbs_room);
    put_tbs(&tbs, m);
    len = sign(m, der_written(&tbs), signature);
    der_put(w, bytes(signature, len));
    put_bits(w, mark);
    put_algorithm(w, m->kind);
    der_put(w, der_written(&tbs));
    der_wrap(w, DER_SEQUENCE, mark);
    return len > 0 && !tbs.overflow && !w->overflow;
}

/* ---- keys ---- */

static bool seed(struct maker *m)
{
    unsigned char entropy[SEED_LEN];

    if (getrandom(entropy, sizeof entropy, 0) != (ssize_t)sizeof entropy)
        return false;
    br_hmac_drbg_init(&m->random, &br_sha256_vtable, entropy, sizeof entropy);
    explicit_bzero(entropy, sizeof entropy);
    return true;
}

static bool make_key(struct maker *m)
{
    const br_ec_impl *impl = tls_profile_ec();

    if (m->kind == KEY_RSA)
        return br_rsa_keygen_get_default()(&m->random.vtable, &m->rsa, m->private_room,
                                           &m->rsa_public, m->public_room, SELF_SIGNED_RSA_BITS,
                                           65537);
    return br_ec_keygen(&m->random.vtable, impl, &m->ec, m->private_room, BR_EC_secp256r1) > 0 &&
           br_ec_compute_pub(impl, &m->ec_public, m->public_room, &m->ec) > 0;
}

/* PKCS#8; 0 when it cannot be done. */
static size_t write_key(const struct maker *m, unsigned char der[KEY_DER_CAP])
{
    unsigned char d[SELF_SIGNED_RSA_BITS / 8];
    size_t len;

    if (m->kind == KEY_EC)
        return br_encode_ec_pkcs8_der(der, &m->ec, &m->ec_public);
    len = br_rsa_compute_privexp_get_default()(d, &m->rsa, 65537);
    len = len > 0 ? br_encode_rsa_pkcs8_der(der, &m->rsa, &m->rsa_public, d, len) : 0;
    explicit_bzero(d, sizeof d);
    return len;
}

/* ---- both as PEM ---- */

static bool put_pem(struct text *t, const void *der, size_t len, const char *label)
{
    size_t more = br_pem_encode(NULL, der, len, label, BR_PEM_LINE64);

    if (len == 0 || t->len + more >= t->cap)
        return false;
    t->len += br_pem_encode(t->ptr + t->len, der, len, label, BR_PEM_LINE64);
    return true;
}

static bool write_all(struct maker *m, char *pem)
{
    unsigned char key[KEY_DER_CAP], room[TBS_CAP + SIGNATURE_CAP + 64];
    size_t key_len = write_key(m, key);
    struct der_writer w;
    struct text t;
    bool done;

    text_init(&t, pem, SELF_SIGNED_PEM_CAP);
    der_writer_init(&w, room, sizeof room);
    done = write_certificate(&w, m) && put_pem(&t, key, key_len, BR_ENCODE_PEM_PKCS8) &&
           put_pem(&t, der_written(&w).ptr, der_written(&w).len, "CERTIFICATE");
    explicit_bzero(key, sizeof key);
    return done;
}

int self_signed_make(enum key_kind kind, const struct self_signed_names *names, int64_t now_s,
                     char pem[SELF_SIGNED_PEM_CAP], struct errbuf *err)
{
    struct maker m = {.kind = kind, .names = names, .now_s = now_s};
    int rc = 0;

    if (!seed(&m))
        rc = errbuf_set(err, -EIO, "the system has no random numbers: getrandom: %s",
                        strerror(errno));
    else if (!make_key(&m) || !write_all(&m, pem))
        rc = errbuf_set(err, -EINVAL, "no self-signed certificate can be made for %s",
                        names->name[0]);
    explicit_bzero(&m, sizeof m);
    return rc;
}

/* ---- whether one still fits ---- */

bool self_signed_fits(const struct credential *c, const struct self_signed_names *names,
                      int64_t now_s)
{
    struct x509 x509;
    struct span list, name;
    const char *wanted[2] = {names->name[0], second_name(names)};
    size_t count = 0;

    if (!c->self_signed || c->not_before_s > now_s || c->not_after_s < now_s + SPARE_S ||
        x509_parse(bytes(c->chain[0].data, c->chain[0].data_len), &x509))
        return false;
    for (list = x509.names; x509_next_name(&list, &name); count++) {
        if (count == 2 || !wanted[count] || !span_equal(name, span_of(wanted[count])))
            return false;
    }
    return count == (wanted[1] ? 2U : 1U);
}
