/* tls_server_policy - see tls_server_policy.h */
#include "tls/tls_server_policy.h"

#include "tls/tls_profile.h"

#include <string.h>

#define HASH_MAX 64

/* The engine hands back the address of the vtable. */
static struct tls_server_policy *policy_of(const br_ssl_server_policy_class **ctx)
{
    return (struct tls_server_policy *)(void *)ctx;
}

/* Of a mask of hash functions in common, one bit for each id; 0: none. */
static unsigned choose_hash(unsigned mask)
{
    static const unsigned char preferred[] = {br_sha256_ID, br_sha384_ID, br_sha512_ID, br_sha1_ID};

    for (size_t i = 0; i < sizeof preferred; i++) {
        if (mask >> preferred[i] & 1)
            return preferred[i];
    }
    return 0;
}

struct offer {
    const struct credential *credential; /* NULL: there is none for this client */
    unsigned algorithm;                  /* as br_ssl_server_choices.algo_id */
};

#define HASHED 0xFF00 /* + id of the hash function: the engine has hashed already */

static struct offer offer_rsa(const struct credential *c, const br_ssl_server_context *server)
{
    unsigned hash = choose_hash(br_ssl_server_get_client_hashes(server) & 0xFF);

    if (br_ssl_engine_get_version(&server->eng) < BR_TLS12)
        return (struct offer){c, HASHED}; /* MD5 and SHA-1 together */
    return (struct offer){hash ? c : NULL, HASHED + hash};
}

static struct offer offer_ec(const struct credential *c, const br_ssl_server_context *server)
{
    unsigned hash = choose_hash(br_ssl_server_get_client_hashes(server) >> 8 & 0xFF);

    if (br_ssl_engine_get_version(&server->eng) < BR_TLS12)
        hash = br_sha1_ID;
    if (c && !(br_ssl_server_get_client_curves(server) >> c->key.ec.curve & 1))
        c = NULL; /* RFC 8422, 5.1: no certificate with a curve that the client does not know */
    return (struct offer){hash ? c : NULL, HASHED + hash};
}

/* How BearSSL tells what a suite needs: bits 12 to 15 of its translation. */
static unsigned key_exchange(const br_suite_translated suite)
{
    return suite[1] >> 12;
}

static int on_choose(const br_ssl_server_policy_class **ctx, const br_ssl_server_context *server,
                     br_ssl_server_choices *choices)
{
    struct tls_server_policy *p = policy_of(ctx);
    struct credential_choice pair =
        credentials_choose(p->credentials, br_ssl_engine_get_server_name(&server->eng));
    struct offer rsa = offer_rsa(pair.rsa, server), ec = offer_ec(pair.ec, server);
    size_t count;
    const br_suite_translated *suites = br_ssl_server_get_client_suites(server, &count);

    for (size_t i = 0; i < count; i++) {
        bool is_ec = key_exchange(suites[i]) == BR_SSLKEYX_ECDHE_ECDSA;
        struct offer offer = is_ec ? ec : rsa;

        if (!offer.credential)
            continue;
        p->chosen = offer.credential;
        choices->cipher_suite = suites[i][0];
        choices->algo_id = offer.algorithm;
        choices->chain = offer.credential->chain;
        choices->chain_len = offer.credential->chain_len;
        return 1;
    }
    return 0;
}

/* Static RSA and ECDH are in none of our suites. */
static uint32_t on_key_exchange(const br_ssl_server_policy_class **ctx, unsigned char *data,
                                size_t *len)
{
    return 0;
}

/* ---- signing ---- */

static const unsigned char *hash_oid(unsigned hash)
{
    switch (hash) {
    case br_sha1_ID:
        return BR_HASH_OID_SHA1;
    case br_sha256_ID:
        return BR_HASH_OID_SHA256;
    case br_sha384_ID:
        return BR_HASH_OID_SHA384;
    case br_sha512_ID:
        return BR_HASH_OID_SHA512;
    default:
        return NULL; /* MD5 and SHA-1 together */
    }
}

static const br_hash_class *hash_class(unsigned hash)
{
    switch (hash) {
    case br_sha1_ID:
        return &br_sha1_vtable;
    case br_sha384_ID:
        return &br_sha384_vtable;
    case br_sha512_ID:
        return &br_sha512_vtable;
    default:
        return &br_sha256_vtable;
    }
}

static size_t sign_rsa(const br_rsa_private_key *key, unsigned hash, struct span digest,
                       unsigned char *out, size_t cap)
{
    size_t len = (key->n_bitlen + 7) / 8;

    if (len > cap || !tls_profile_rsa_sign()(hash_oid(hash), (const unsigned char *)digest.ptr,
                                             digest.len, key, out))
        return 0;
    return len;
}

#define ECDSA_MAX 139 /* a signature in ASN.1 with P-521, the longest */

static size_t sign_ec(const br_ec_private_key *key, unsigned hash, const unsigned char *digest,
                      unsigned char *out, size_t cap)
{
    if (cap < ECDSA_MAX)
        return 0;
    return br_ecdsa_i31_sign_asn1(tls_profile_ec(), hash_class(hash), digest, key, out);
}

static size_t on_sign(const br_ssl_server_policy_class **ctx, unsigned algorithm,
                      unsigned char *data, size_t hash_len, size_t cap)
{
    const struct credential *c = policy_of(ctx)->chosen;
    unsigned char digest[HASH_MAX];
    unsigned hash = algorithm & 0xFF;

    if (hash_len > sizeof digest)
        return 0;
    memcpy(digest, data, hash_len); /* the signature goes to the same place */
    if (c->key_type == BR_KEYTYPE_EC)
        return sign_ec(&c->key.ec, hash, digest, data, cap);
    return sign_rsa(&c->key.rsa, hash, span_make((const char *)digest, hash_len), data, cap);
}

static const br_ssl_server_policy_class class = {
    .context_size = sizeof(struct tls_server_policy),
    .choose = on_choose,
    .do_keyx = on_key_exchange,
    .do_sign = on_sign,
};

void tls_server_policy_init(struct tls_server_policy *p, const struct credentials *credentials)
{
    *p = (struct tls_server_policy){.vtable = &class, .credentials = credentials};
}
