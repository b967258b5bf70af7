/*
 * public_key - what certificates and private keys say of keys; pure
 */
#ifndef MXGATE_TLS_PUBLIC_KEY_H
#define MXGATE_TLS_PUBLIC_KEY_H

#include "base/span.h"

/* Numbers as BearSSL has them: BR_KEYTYPE_ and the curves of TLS (RFC 8422). */
enum key_kind { KEY_OTHER = 0, KEY_RSA = 1, KEY_EC = 2 };
enum key_curve { CURVE_OTHER = 0, CURVE_P256 = 23, CURVE_P384 = 24, CURVE_P521 = 25 };

/* Spans point into the DER they were read from; numbers are big-endian, without leading zeros. */
struct public_key {
    enum key_kind kind;
    struct span n, e; /* RSA */
    enum key_curve curve;
    struct span point; /* EC: as in X9.62 */
};

/* The curve that an OID's content names. */
enum key_curve key_curve_of(struct span oid);
/* The kind that an algorithm's OID names (rsaEncryption, id-ecPublicKey). */
enum key_kind key_kind_of(struct span oid);
bool public_key_equal(const struct public_key *a, const struct public_key *b);
unsigned key_bits(struct span number); /* without leading zeros */

#endif
