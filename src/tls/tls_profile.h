/*
 * tls_profile - what our TLS speaks: versions, cipher suites, and the code that computes them
 *
 * Every implementation is named here, none is BearSSL's default: docs/TLS.md says which of its
 * known faults each of them has or has not. No static RSA, no 3DES, no RC4, no CCM.
 *
 * Order: AEAD before CBC; AES-GCM first where the processor computes AES, else CHACHA20 first
 * (AES in constant-time C is ten times slower); ECDSA before RSA (a tenth of the signer's work);
 * 128 before 256 bits.
 */
#ifndef MXGATE_TLS_TLS_PROFILE_H
#define MXGATE_TLS_TLS_PROFILE_H

#include "tls/tls_server.h"

#include <bearssl.h>

struct tls_suite {
    uint16_t id;
    unsigned short bits; /* of the cipher's key */
    const char *name;    /* OpenSSL's */
};

/* Versions, suites, implementations and options of an engine that is all zero otherwise. */
void tls_profile_apply(br_ssl_engine_context *engine, const struct tls_policy *policy);
/*
 * Seeds the engine with getrandom(2): BearSSL itself would open /dev/urandom, which a scratch image
 * or a sandbox may not have. False: the kernel gave none.
 */
bool tls_profile_seed(br_ssl_engine_context *engine);

const struct tls_suite *tls_profile_suite(unsigned id); /* NULL: none of ours */
const char *tls_profile_protocol(unsigned version);     /* OpenSSL's name */

/* The EC and RSA code, for whoever signs or verifies. */
const br_ec_impl *tls_profile_ec(void);
br_rsa_pkcs1_sign tls_profile_rsa_sign(void);
br_rsa_pkcs1_vrfy tls_profile_rsa_verify(void);

#endif
