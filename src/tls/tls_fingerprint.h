/*
 * tls_fingerprint - SHA-256 of a public key, as Postfix and RFC 7469 count it
 *
 * That is the digest of the whole SubjectPublicKeyInfo. It is made of the key itself, encoded anew
 * (DER has one way only): a certificate that two readers understand differently must not show one
 * key and use another.
 */
#ifndef MXGATE_TLS_TLS_FINGERPRINT_H
#define MXGATE_TLS_TLS_FINGERPRINT_H

#include <bearssl.h>
#include <stdbool.h>

/* False for a curve other than P-256, P-384 and P-521. */
bool tls_fingerprint_key(const br_x509_pkey *key, unsigned char out[br_sha256_SIZE]);

#endif
