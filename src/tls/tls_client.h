/*
 * tls_client - our side of TLS towards an upstream: versions, ciphers, whom we trust
 *
 * Immutable and reference counted (on the loop's thread only), as tls/tls_server.h.
 */
#ifndef MXGATE_TLS_TLS_CLIENT_H
#define MXGATE_TLS_TLS_CLIENT_H

#include "base/errbuf.h"
#include "tls/tls_server.h"

enum tls_verify {
    TLS_VERIFY_NONE,       /* whoever it is: may, encrypt; what could be verified is in the facts */
    TLS_VERIFY_CHAIN_NAME, /* a CA vouches for one of the names: verify, secure */
    TLS_VERIFY_FINGERPRINT, /* the certificate or its public key is one of those listed */
};

struct tls_anchors; /* the CAs; tls/tls_anchors.h, reference counted */

struct tls_client;

/* Takes over one reference of `anchors`, also when it fails; may be NULL: no CA is trusted. */
struct tls_client *tls_client_new(const struct tls_policy *policy, struct tls_anchors *anchors,
                                  struct errbuf *err);
struct tls_client *tls_client_ref(struct tls_client *c);
void tls_client_unref(struct tls_client *c);

#define TLS_NAMES_MAX 8
struct tls_wanted {
    enum tls_verify verify;
    const char *sni;                  /* borrowed for the call; NULL: none is said */
    const char *names[TLS_NAMES_MAX]; /* borrowed for the call; ".example.com": any name below */
    size_t name_count;
    const unsigned char (*fingerprints)[32]; /* SHA-256; borrowed for the call */
    size_t fingerprint_count;
};
/* A session whose ClientHello is ready in tls_session_wire(); holds a reference. NULL: no memory
 * (or no entropy). */
struct tls_session *tls_client_session(struct tls_client *c, const struct tls_wanted *wanted);

#endif
