/*
 * tls_validator - what we make of an upstream's certificate: BearSSL's X.509 engine, with our rules
 *
 * Made for one handshake, given to the engine by br_ssl_engine_set_x509(engine, &v->vtable). The
 * engine calls it in the thread that runs the handshake; it allocates there, never logs.
 *
 *   NONE         whoever it is: the handshake goes on with the certificate's key; whether a CA
 *                vouches for it is noted. A certificate that cannot be read at all is refused.
 *   CHAIN_NAME   refused unless a CA we trust vouches for it now, and for one of the names.
 *   FINGERPRINT  refused unless SHA-256 of the certificate, or of its public key (the whole
 *                SubjectPublicKeyInfo, as Postfix digests it), is one of those listed. Nothing else
 *                about it matters, its dates neither.
 *
 * Names are matched as Postfix does: DNS names of the certificate's subjectAltName, its common name
 * only when there are none; "*.example.com" in a certificate stands for one label; a wanted
 * ".example.com" is any name below. A wanted address matches an address of the subjectAltName.
 *
 * A certificate is trusted on signatures with SHA-2 and RSA keys of 2048 bits or more only. No CRL,
 * no OCSP.
 *
 * Limits: a certificate of TLS_CERTIFICATE_MAX bytes; a chain of TLS_CHAIN_MAX, beyond which it is
 *         not trusted.
 * Owns:   copies of what is wanted, and its work space, which tls_validator_rest() gives back. The
 *         anchors are borrowed and must live until then.
 */
#ifndef MXGATE_TLS_TLS_VALIDATOR_H
#define MXGATE_TLS_TLS_VALIDATOR_H

#include "tls/tls_client.h"
#include "tls/tls_facts.h"

#include <bearssl.h>
#include <stdint.h>

#define TLS_CERTIFICATE_MAX 16384
#define TLS_CHAIN_MAX       10

/* All that it refuses is explained by words that begin like this. */
#define TLS_NOT_VERIFIED "certificate verification failed: "

struct tls_validator_work;

struct tls_validator {
    const br_x509_class *vtable;     /* first: the engine casts it to us */
    struct tls_validator_work *work; /* owned; NULL after tls_validator_rest() */
    enum tls_trust trust;
    char error[256];
};

/* 0, or -ENOMEM. anchors may be NULL: nobody is trusted. now_s: wall clock, seconds since 1970. */
int tls_validator_init(struct tls_validator *v, const struct tls_anchors *anchors,
                       const struct tls_wanted *wanted, int64_t now_s);
/* The handshake is over, or never will be: gives the work space (9 KB) back. Idempotent. */
void tls_validator_rest(struct tls_validator *v);

/* After the handshake. VERIFIED: name or fingerprint is one of those wanted. */
enum tls_trust tls_validator_trust(const struct tls_validator *v);
/* Why it was refused, or, in NONE, why it is not trusted; "" otherwise. Printable. */
const char *tls_validator_error(const struct tls_validator *v);

#endif
