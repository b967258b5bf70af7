/*
 * credentials - certificate chains with their private keys, and which name gets which
 *
 * Immutable and reference counted (on the loop's thread only). Chains and keys are decoded once;
 * sessions point into them, so a session's tls_server keeps its credentials.
 */
#ifndef MXGATE_TLS_CREDENTIALS_H
#define MXGATE_TLS_CREDENTIALS_H

#include "base/errbuf.h"
#include "base/span.h"

#include <bearssl.h>
#include <stdint.h>

struct credential {
    br_x509_certificate *chain; /* owned DER, the end entity's first */
    size_t chain_len;
    int key_type;        /* BR_KEYTYPE_RSA or BR_KEYTYPE_EC: the key's own */
    int issuer_key_type; /* the key that signed it: a suite with static ECDH would ask */
    union {
        br_rsa_private_key rsa;
        br_ec_private_key ec;
    } key; /* owned */
    int64_t not_before_s, not_after_s; /* the end entity's, seconds since 1970, UTC */
    char subject[256];                 /* its first name (SAN, else CN), printable; "" none */
};

struct credentials;

struct credentials *credentials_ref(struct credentials *c);
void credentials_unref(struct credentials *c); /* NULL is fine; the last one wipes the keys */

/* For a client that asked for server_name ("" none): the RSA and the EC pair to choose from by what
 * it offers; either may be NULL, not both. Any thread. */
struct credential_choice {
    const struct credential *rsa, *ec;
};
struct credential_choice credentials_choose(const struct credentials *c, const char *server_name);

#endif
