/*
 * tls_validator_none - tls_validator and tls_anchors as far as NONE goes, until they are there
 *
 * Whoever it is, the handshake goes on with the certificate's key; everything else is refused.
 */
#include "tls/tls_anchors.h"
#include "tls/tls_validator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tls_validator_work {
    br_x509_decoder_context decoder;
    bool none;
    unsigned certificates;
};

static struct tls_validator *validator_of(const br_x509_class **ctx)
{
    return (struct tls_validator *)(void *)ctx;
}

static void on_start_chain(const br_x509_class **ctx, const char *server_name)
{
    validator_of(ctx)->work->certificates = 0;
}

static void on_start_cert(const br_x509_class **ctx, uint32_t length)
{
    struct tls_validator_work *work = validator_of(ctx)->work;

    if (work->certificates++ == 0)
        br_x509_decoder_init(&work->decoder, NULL, NULL);
}

static void on_append(const br_x509_class **ctx, const unsigned char *bytes, size_t len)
{
    struct tls_validator_work *work = validator_of(ctx)->work;

    if (work->certificates == 1)
        br_x509_decoder_push(&work->decoder, bytes, len);
}

static void on_end_cert(const br_x509_class **ctx)
{
}

static unsigned on_end_chain(const br_x509_class **ctx)
{
    struct tls_validator_work *work = validator_of(ctx)->work;

    if (work->certificates == 0)
        return BR_ERR_X509_EMPTY_CHAIN;
    if (!work->none)
        return BR_ERR_X509_NOT_TRUSTED;
    return br_x509_decoder_get_pkey(&work->decoder)
               ? 0
               : (unsigned)br_x509_decoder_last_error(&work->decoder);
}

static const br_x509_pkey *on_key(const br_x509_class *const *ctx, unsigned *usages)
{
    struct tls_validator_work *work = ((const struct tls_validator *)(const void *)ctx)->work;

    if (usages)
        *usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
    return br_x509_decoder_get_pkey(&work->decoder);
}

static const br_x509_class class = {
    .context_size = sizeof(struct tls_validator),
    .start_chain = on_start_chain,
    .start_cert = on_start_cert,
    .append = on_append,
    .end_cert = on_end_cert,
    .end_chain = on_end_chain,
    .get_pkey = on_key,
};

int tls_validator_init(struct tls_validator *v, const struct tls_anchors *anchors,
                       const struct tls_wanted *wanted, int64_t now_s)
{
    *v = (struct tls_validator){.vtable = &class, .trust = TLS_TRUST_UNTRUSTED};
    v->work = calloc(1, sizeof *v->work);
    if (!v->work)
        return -ENOMEM;
    v->work->none = wanted->verify == TLS_VERIFY_NONE;
    return 0;
}

void tls_validator_rest(struct tls_validator *v)
{
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

void tls_anchors_unref(struct tls_anchors *a)
{
}
