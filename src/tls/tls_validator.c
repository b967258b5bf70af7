/*
 * tls_validator - see tls_validator.h
 *
 * Two of BearSSL's engines see the chain: the "minimal" one, which decides whether a CA we trust
 * vouches for it, and for the first certificate the decoder, whose key is used where nobody needs
 * to vouch. The first certificate is kept until the end for its names and dates.
 */
#include "tls/tls_validator.h"

#include "tls/tls_anchors.h"
#include "tls/tls_fingerprint.h"
#include "tls/tls_profile.h"
#include "tls/x509_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIN_RSA_BYTES        256
#define DAYS_0_TO_1970       719528 /* BearSSL counts from the year 0 */
#define SECONDS_A_DAY        86400
#define CERTIFICATE_TEXT_MAX 120

struct tls_validator_work {
    struct tls_wanted wanted;          /* its names point into the copies */
    unsigned char (*fingerprints)[32]; /* likewise */
    int64_t now_s;
    bool has_anchors;
    size_t chain_len;     /* certificates begun */
    unsigned char *first; /* owned: the first certificate; NULL before it */
    size_t first_len;     /* said by the peer */
    size_t first_have;    /* come so far */
    br_x509_minimal_context minimal;
    br_x509_decoder_context decoder;
    char copies[];
};

static struct tls_validator *validator_of(const br_x509_class **ctx)
{
    return (struct tls_validator *)(void *)ctx;
}

/* ---- words ---- */

static void refuse(struct tls_validator *v, const char *why)
{
    struct text t;

    text_init(&t, v->error, sizeof v->error);
    text_printf(&t, TLS_NOT_VERIFIED "%s", why);
}

static void explain_dates(struct tls_validator *v, const struct x509 *c)
{
    int64_t now_s = v->work->now_s;

    if (now_s > c->not_after_s)
        refuse(v, "certificate has expired");
    else if (now_s < c->not_before_s)
        refuse(v, "certificate not yet valid");
    else
        refuse(v, "the certificate of a CA in its chain has expired, or is not yet valid");
}

static void explain_untrusted(struct tls_validator *v, const struct x509 *c)
{
    char buf[CERTIFICATE_TEXT_MAX];
    struct text t;

    if (span_equal(c->issuer, c->subject)) {
        refuse(v, "self-signed certificate");
        return;
    }
    text_init(&t, buf, sizeof buf);
    text_cstr(&t, "untrusted issuer ");
    x509_dn_text(c->issuer, &t);
    refuse(v, buf);
}

static void explain_names(struct tls_validator *v, const struct x509 *c)
{
    const struct tls_wanted *wanted = &v->work->wanted;
    char buf[CERTIFICATE_TEXT_MAX];
    struct text t;

    text_init(&t, buf, sizeof buf);
    x509_names_text(c, &t);
    text_init(&t, v->error, sizeof v->error);
    text_printf(&t, TLS_NOT_VERIFIED "it is for %s, not for %s", buf,
                wanted->name_count > 0 ? wanted->names[0] : "anybody wanted");
}

static void explain_code(struct tls_validator *v, unsigned code)
{
    char buf[CERTIFICATE_TEXT_MAX];
    struct text t;

    switch (code) {
    case BR_ERR_X509_BAD_SIGNATURE:
        refuse(v, "a signature in its chain is wrong");
        break;
    case BR_ERR_X509_WEAK_PUBLIC_KEY:
        refuse(v, "a key in its chain is too short (RSA needs 2048 bits)");
        break;
    case BR_ERR_X509_UNSUPPORTED:
        refuse(v, "a key or signature in its chain is of a kind not supported here (SHA-1?)");
        break;
    case BR_ERR_X509_DN_MISMATCH:
        refuse(v, "its chain is not in order: a certificate is not followed by its issuer's");
        break;
    case BR_ERR_X509_NOT_CA:
        refuse(v, "its issuer is no CA");
        break;
    case BR_ERR_X509_CRITICAL_EXTENSION:
        refuse(v, "it has a critical extension that is not supported here");
        break;
    case BR_ERR_X509_FORBIDDEN_KEY_USAGE:
        refuse(v, "a key in its chain may not be used like this");
        break;
    default:
        text_init(&t, buf, sizeof buf);
        text_printf(&t, "it cannot be read (BearSSL error %u)", code);
        refuse(v, buf);
        break;
    }
}

/* Why no CA vouches for the chain. */
static void explain(struct tls_validator *v, unsigned code, const struct x509 *c)
{
    if (code == BR_ERR_X509_EXPIRED)
        explain_dates(v, c);
    else if (code == BR_ERR_X509_NOT_TRUSTED)
        explain_untrusted(v, c);
    else
        explain_code(v, code);
}

/* ---- the engine ---- */

static void on_start_chain(const br_x509_class **ctx, const char *server_name)
{
    struct tls_validator_work *w = validator_of(ctx)->work;

    w->chain_len = 0;
    if (w->has_anchors)
        w->minimal.vtable->start_chain(&w->minimal.vtable, NULL); /* names are our business */
}

static void on_start_cert(const br_x509_class **ctx, uint32_t length)
{
    struct tls_validator_work *w = validator_of(ctx)->work;

    w->chain_len++;
    if (w->has_anchors && w->chain_len <= TLS_CHAIN_MAX)
        w->minimal.vtable->start_cert(&w->minimal.vtable, length);
    if (w->chain_len > 1)
        return;
    free(w->first);
    w->first_len = length;
    w->first_have = 0;
    w->first = length <= TLS_CERTIFICATE_MAX ? malloc(length + 1) : NULL;
    br_x509_decoder_init(&w->decoder, NULL, NULL);
}

/* After an error it must not be given more: it would run on from where it failed. */
static void push_decoder(br_x509_decoder_context *decoder, const unsigned char *bytes, size_t len)
{
    int error = br_x509_decoder_last_error(decoder);

    if (error == 0 || error == BR_ERR_X509_TRUNCATED)
        br_x509_decoder_push(decoder, bytes, len);
}

static void on_append(const br_x509_class **ctx, const unsigned char *bytes, size_t len)
{
    struct tls_validator_work *w = validator_of(ctx)->work;

    if (w->has_anchors && w->chain_len <= TLS_CHAIN_MAX)
        w->minimal.vtable->append(&w->minimal.vtable, bytes, len);
    if (w->chain_len > 1)
        return;
    push_decoder(&w->decoder, bytes, len);
    if (!w->first || len > w->first_len - w->first_have)
        return;
    memcpy(w->first + w->first_have, bytes, len);
    w->first_have += len;
}

static void on_end_cert(const br_x509_class **ctx)
{
    struct tls_validator_work *w = validator_of(ctx)->work;

    if (w->has_anchors && w->chain_len <= TLS_CHAIN_MAX)
        w->minimal.vtable->end_cert(&w->minimal.vtable);
}

/* Does a CA vouch for the chain? 0, or BearSSL's error with words. */
static unsigned check_chain(struct tls_validator *v, const struct x509 *c)
{
    struct tls_validator_work *w = v->work;
    unsigned code = BR_ERR_X509_NOT_TRUSTED;

    if (w->has_anchors)
        code = w->minimal.vtable->end_chain(&w->minimal.vtable);
    if (code == 0 && w->chain_len > TLS_CHAIN_MAX)
        code = BR_ERR_X509_LIMIT_EXCEEDED;
    if (code == 0)
        v->trust = TLS_TRUST_TRUSTED;
    else
        explain(v, code, c);
    return code;
}

static unsigned check_names(struct tls_validator *v, const struct x509 *c)
{
    const struct tls_wanted *wanted = &v->work->wanted;

    for (size_t i = 0; i < wanted->name_count; i++) {
        if (!x509_is_for(c, wanted->names[i]))
            continue;
        v->trust = TLS_TRUST_VERIFIED;
        return 0;
    }
    explain_names(v, c);
    return BR_ERR_X509_BAD_SERVER_NAME;
}

static bool is_listed(const struct tls_validator_work *w, const unsigned char digest[32])
{
    for (size_t i = 0; i < w->wanted.fingerprint_count; i++) {
        if (memcmp(w->fingerprints[i], digest, 32) == 0)
            return true;
    }
    return false;
}

static unsigned check_fingerprint(struct tls_validator *v, const br_x509_pkey *key)
{
    const struct tls_validator_work *w = v->work;
    unsigned char digest[br_sha256_SIZE];
    br_sha256_context hash;

    br_sha256_init(&hash);
    br_sha256_update(&hash, w->first, w->first_have);
    br_sha256_out(&hash, digest);
    if (is_listed(w, digest) || (tls_fingerprint_key(key, digest) && is_listed(w, digest))) {
        v->trust = TLS_TRUST_VERIFIED;
        return 0;
    }
    refuse(v, "its fingerprint is none of those wanted");
    return BR_ERR_X509_NOT_TRUSTED;
}

static unsigned on_end_chain(const br_x509_class **ctx)
{
    struct tls_validator *v = validator_of(ctx);
    struct tls_validator_work *w = v->work;
    struct x509 c;
    const br_x509_pkey *key;
    unsigned code;

    v->trust = TLS_TRUST_UNTRUSTED;
    v->error[0] = '\0';
    if (w->chain_len == 0) {
        refuse(v, "the peer showed no certificate");
        return BR_ERR_X509_EMPTY_CHAIN;
    }
    key = br_x509_decoder_get_pkey(&w->decoder);
    if (!key || !w->first || w->first_have != w->first_len ||
        x509_parse(span_make((const char *)w->first, w->first_len), &c) != NULL) {
        refuse(v, "it cannot be read");
        return BR_ERR_X509_UNEXPECTED;
    }
    if (w->wanted.verify == TLS_VERIFY_FINGERPRINT)
        return check_fingerprint(v, key);
    code = check_chain(v, &c);
    if (w->wanted.verify == TLS_VERIFY_NONE)
        return 0;
    return code == 0 ? check_names(v, &c) : code;
}

static const br_x509_pkey *on_get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    const struct tls_validator *v = (const struct tls_validator *)(const void *)ctx;

    if (v->work->wanted.verify == TLS_VERIFY_CHAIN_NAME)
        return v->work->minimal.vtable->get_pkey(&v->work->minimal.vtable, usages);
    if (usages)
        *usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
    return br_x509_decoder_get_pkey(&v->work->decoder);
}

static const br_x509_class validator_class = {
    .context_size = sizeof(struct tls_validator),
    .start_chain = on_start_chain,
    .start_cert = on_start_cert,
    .append = on_append,
    .end_cert = on_end_cert,
    .end_chain = on_end_chain,
    .get_pkey = on_get_pkey,
};

/* ---- the surface ---- */

static void init_minimal(br_x509_minimal_context *m, const struct tls_anchors *anchors,
                         int64_t now_s)
{
    br_x509_minimal_init(m, &br_sha256_vtable, tls_anchors_array(anchors),
                         tls_anchors_count(anchors));
    br_x509_minimal_set_rsa(m, tls_profile_rsa_verify());
    br_x509_minimal_set_ecdsa(m, tls_profile_ec(), br_ecdsa_i31_vrfy_asn1);
    br_x509_minimal_set_hash(m, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_hash(m, br_sha384_ID, &br_sha384_vtable);
    br_x509_minimal_set_hash(m, br_sha512_ID, &br_sha512_vtable);
    br_x509_minimal_set_minrsa(m, MIN_RSA_BYTES);
    if (now_s < 0)
        now_s = 0;
    br_x509_minimal_set_time(m, (uint32_t)(now_s / SECONDS_A_DAY + DAYS_0_TO_1970),
                             (uint32_t)(now_s % SECONDS_A_DAY));
}

static struct tls_validator_work *work_new(const struct tls_wanted *wanted)
{
    size_t prints = wanted->fingerprint_count * sizeof *wanted->fingerprints;
    size_t size = prints;
    struct tls_validator_work *w;
    char *to;

    for (size_t i = 0; i < wanted->name_count; i++)
        size += strlen(wanted->names[i]) + 1;
    w = calloc(1, sizeof *w + size);
    if (!w)
        return NULL;
    w->wanted = *wanted;
    w->wanted.sni = NULL;
    if (prints > 0)
        memcpy(w->copies, wanted->fingerprints, prints);
    w->wanted.fingerprints = NULL;
    w->fingerprints = (unsigned char(*)[32])(void *)w->copies;
    to = w->copies + prints;
    for (size_t i = 0; i < wanted->name_count; i++) {
        size_t len = strlen(wanted->names[i]) + 1;

        memcpy(to, wanted->names[i], len);
        w->wanted.names[i] = to;
        to += len;
    }
    return w;
}

int tls_validator_init(struct tls_validator *v, const struct tls_anchors *anchors,
                       const struct tls_wanted *wanted, int64_t now_s)
{
    *v = (struct tls_validator){.vtable = &validator_class, .trust = TLS_TRUST_ANONYMOUS};
    v->work = work_new(wanted);
    if (!v->work)
        return -ENOMEM;
    v->work->now_s = now_s;
    v->work->has_anchors = anchors != NULL;
    if (anchors)
        init_minimal(&v->work->minimal, anchors, now_s);
    return 0;
}

void tls_validator_rest(struct tls_validator *v)
{
    if (v->work)
        free(v->work->first);
    free(v->work);
    v->work = NULL;
}

enum tls_trust tls_validator_trust(const struct tls_validator *v)
{
    return v->trust;
}

const char *tls_validator_error(const struct tls_validator *v)
{
    return v->error;
}
