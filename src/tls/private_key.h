/*
 * private_key - a private key's numbers, from PKCS#1 (RFC 8017 A.1.2), SEC 1 (RFC 5915) or PKCS#8
 * (RFC 5958); pure
 *
 * Why not br_skey_decoder: that of BearSSL 0.6 writes beyond its buffer when a key is larger than
 * it expects (upstream's b715b43), and keeps neither n nor e, which tell whether a certificate
 * fits.
 */
#ifndef MXGATE_TLS_PRIVATE_KEY_H
#define MXGATE_TLS_PRIVATE_KEY_H

#include "tls/public_key.h"

struct private_key {
    struct public_key public;     /* RSA: n and e; EC: the curve, and no point yet */
    struct span p, q, dp, dq, iq; /* RSA */
    struct span x;                /* EC: without leading zeros */
};

/* NULL, or why it cannot be used, in words. */
const char *private_key_parse(struct span der, struct private_key *out);

#endif
