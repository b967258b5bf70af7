/*
 * tls_facts - what the two sides of a TLS session settled, as log lines, Received and policy want
 * it; pure
 */
#ifndef MXGATE_TLS_TLS_FACTS_H
#define MXGATE_TLS_TLS_FACTS_H

#include <stdbool.h>

/* Postfix's words in "Trusted TLS connection established": how far the peer's certificate goes. */
enum tls_trust {
    TLS_TRUST_ANONYMOUS, /* it has shown none (every client of our server) */
    TLS_TRUST_UNTRUSTED, /* no CA we know vouches for it, or it has expired, or does not verify */
    TLS_TRUST_TRUSTED,   /* a CA does, the name was not asked for or is another one */
    TLS_TRUST_VERIFIED,  /* and the name, or the fingerprint, is the one wanted */
};

struct tls_facts {
    const char *protocol; /* static: "TLSv1.2", "TLSv1.1", "TLSv1" */
    const char *cipher;   /* static: OpenSSL's name, as Postfix logs it */
    unsigned bits;        /* of the cipher's key: "(128/128 bits)" */
    bool resumed;
    enum tls_trust trust;
    char server_name[256]; /* SNI, lower case; "" none or not printable ASCII */
};

#endif
