/*
 * tls_server_policy - which cipher suite, certificate and signature a client gets
 *
 * The first suite of our order (tls/tls_profile.h) for which there is a certificate: an EC one for
 * ECDSA suites, if the client knows its curve; an RSA one for RSA suites. With several names, the
 * certificates are those of the name that the client asks for (credentials_choose). The signature's
 * hash is SHA-256 if the client knows it, else SHA-384, SHA-512, and SHA-1 last, where the profile
 * has it at all.
 *
 * Called by the engine during the handshake, in a pool thread; allocates nothing. The credentials
 * must live as long as the session.
 */
#ifndef MXGATE_TLS_TLS_SERVER_POLICY_H
#define MXGATE_TLS_TLS_SERVER_POLICY_H

#include "tls/credentials.h"

#include <bearssl.h>

struct tls_server_policy {
    const br_ssl_server_policy_class *vtable; /* first: the engine casts */
    const struct credentials *credentials;    /* borrowed */
    const struct credential *chosen;          /* borrowed from credentials; NULL: not asked yet */
};

void tls_server_policy_init(struct tls_server_policy *p, const struct credentials *credentials);

#endif
