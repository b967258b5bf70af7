/* key_check - see key_check.h */
#include "tls/key_check.h"

#include "tls/credentials_load.h"
#include "tls/tls_profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DAMAGED   "is damaged: its numbers do not belong together"
#define SLACK     16 /* bits that one prime may have more than the other */
#define BYTES_MAX (CREDENTIAL_RSA_MAX / 8)

_Static_assert((int)KEY_RSA == BR_KEYTYPE_RSA && (int)KEY_EC == BR_KEYTYPE_EC, "BearSSL's numbers");
_Static_assert((int)CURVE_P256 == BR_EC_secp256r1 && (int)CURVE_P384 == BR_EC_secp384r1,
               "BearSSL's numbers");

/* ---- RSA ---- */

static bool is_odd(struct span number)
{
    return number.len > 0 && (number.ptr[number.len - 1] & 1);
}

/* BearSSL's buffers are made for two primes of half the modulus each. */
static bool rsa_sizes_fit(const struct private_key *k)
{
    unsigned n = key_bits(k->public.n), p = key_bits(k->p), q = key_bits(k->q);
    unsigned larger = p > q ? p : q;

    return is_odd(k->public.n) && is_odd(k->public.e) && key_bits(k->public.e) <= 64 &&
           is_odd(k->p) && is_odd(k->q) && (p + q == n || p + q == n + 1) &&
           2 * larger <= n + SLACK && k->dp.len > 0 && k->dp.len <= k->p.len && k->dq.len > 0 &&
           k->dq.len <= k->q.len && k->iq.len > 0 && k->iq.len <= k->p.len;
}

static unsigned char *bytes(struct span s)
{
    /* BearSSL's key structures have no const, its functions keep to it. */
    return (unsigned char *)(uintptr_t)s.ptr;
}

static br_rsa_private_key rsa_of(const struct private_key *k)
{
    return (br_rsa_private_key){.n_bitlen = key_bits(k->public.n),
                                .p = bytes(k->p),
                                .plen = k->p.len,
                                .q = bytes(k->q),
                                .qlen = k->q.len,
                                .dp = bytes(k->dp),
                                .dplen = k->dp.len,
                                .dq = bytes(k->dq),
                                .dqlen = k->dq.len,
                                .iq = bytes(k->iq),
                                .iqlen = k->iq.len};
}

/* That p and q make n is seen when it signs; br_rsa_compute_modulus of 0.6 cannot do 4096 bits. */
static const char *rsa_complete(const struct private_key *k)
{
    unsigned bits = key_bits(k->public.n);

    if (bits < CREDENTIAL_RSA_MIN)
        return "is an RSA key of fewer than 2048 bits, which clients refuse; make one of 2048 bits";
    if (bits > CREDENTIAL_RSA_MAX)
        return "is an RSA key of more than 4096 bits, which is not supported; make one of 2048 "
               "bits";
    return rsa_sizes_fit(k) ? NULL : DAMAGED;
}

static bool rsa_works(const br_rsa_private_key *key, const struct public_key *public)
{
    br_rsa_public_key verifier = {bytes(public->n), public->n.len, bytes(public->e), public->e.len};
    unsigned char hash[br_sha256_SIZE] = {1, 2, 3}, found[br_sha256_SIZE] = {0};
    unsigned char signature[BYTES_MAX];
    size_t len = (key->n_bitlen + 7) / 8;

    return public->n.len == len &&
           tls_profile_rsa_sign()(BR_HASH_OID_SHA256, hash, sizeof hash, key, signature) &&
           tls_profile_rsa_verify()(signature, len, BR_HASH_OID_SHA256, sizeof found, &verifier,
                                    found) &&
           memcmp(hash, found, sizeof hash) == 0;
}

/* ---- EC ---- */

/* 0 < x < order */
static bool in_range(struct span x, int curve)
{
    size_t len;
    const unsigned char *order = tls_profile_ec()->order(curve, &len);

    if (x.len != len)
        return x.len > 0 && x.len < len;
    return memcmp(x.ptr, order, len) < 0;
}

static const char *ec_complete(struct private_key *k, unsigned char room[KEY_POINT_MAX])
{
    br_ec_private_key ec = {(int)k->public.curve, bytes(k->x), k->x.len};
    size_t len;

    if (!in_range(k->x, ec.curve))
        return DAMAGED;
    len = br_ec_compute_pub(tls_profile_ec(), NULL, room, &ec);
    if (len == 0 || len > KEY_POINT_MAX)
        return DAMAGED;
    k->public.point = span_make((const char *)room, len);
    return NULL;
}

static bool ec_works(const br_ec_private_key *key, const struct public_key *public)
{
    const br_ec_impl *impl = tls_profile_ec();
    br_ec_public_key verifier = {key->curve, bytes(public->point), public->point.len};
    unsigned char hash[br_sha256_SIZE] = {1, 2, 3}, signature[2 * 48 + 16];
    size_t len = br_ecdsa_i31_sign_asn1(impl, &br_sha256_vtable, hash, key, signature);

    return len > 0 && br_ecdsa_i31_vrfy_asn1(impl, hash, sizeof hash, &verifier, signature, len);
}

/* ---- both ---- */

const char *key_complete(struct private_key *key, unsigned char room[KEY_POINT_MAX])
{
    return key->public.kind == KEY_RSA ? rsa_complete(key) : ec_complete(key, room);
}

/* Copies a number behind the others, at least `len` bytes long. */
static unsigned char *keep(struct credential *c, struct span number, size_t len)
{
    unsigned char *at = c->secret + c->secret_len;

    if (len < number.len)
        len = number.len;
    memset(at, 0, len - number.len);
    memcpy(at + len - number.len, number.ptr, number.len);
    c->secret_len += len;
    return at;
}

static void install_rsa(const struct private_key *k, struct credential *c)
{
    br_rsa_private_key *rsa = &c->key.rsa;

    *rsa = rsa_of(k);
    rsa->p = keep(c, k->p, 0);
    rsa->q = keep(c, k->q, 0);
    rsa->dp = keep(c, k->dp, 0);
    rsa->dq = keep(c, k->dq, 0);
    rsa->iq = keep(c, k->iq, 0);
}

static void install_ec(const struct private_key *k, struct credential *c)
{
    size_t len = k->public.curve == CURVE_P256 ? 32 : 48; /* SEC 1 wants them all */

    c->key.ec = (br_ec_private_key){(int)k->public.curve, keep(c, k->x, len), len};
}

int key_install(const struct private_key *key, struct credential *c)
{
    bool rsa = key->public.kind == KEY_RSA;

    c->secret =
        malloc(rsa ? key->p.len + key->q.len + key->dp.len + key->dq.len + key->iq.len : 48);
    if (!c->secret)
        return -ENOMEM;
    c->key_type = (int)key->public.kind;
    if (rsa)
        install_rsa(key, c);
    else
        install_ec(key, c);
    return 0;
}

bool key_works(const struct credential *c, const struct public_key *public)
{
    return c->key_type == BR_KEYTYPE_RSA ? rsa_works(&c->key.rsa, public)
                                         : ec_works(&c->key.ec, public);
}
