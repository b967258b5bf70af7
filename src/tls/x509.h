/*
 * x509 - what a server says of its own certificates (RFC 5280): whose they are, how long they are
 * good, who signed them, which key they have; pure
 *
 * Not a verifier: whether anybody trusts them is for the client to find out. Spans point into the
 * DER.
 */
#ifndef MXGATE_TLS_X509_H
#define MXGATE_TLS_X509_H

#include "tls/public_key.h"

struct x509 {
    struct span subject, issuer;       /* Name, tag included: equal when its bytes are */
    int64_t not_before_s, not_after_s; /* seconds since 1970, UTC */
    struct public_key key;             /* KEY_OTHER: one that TLS 1.2 here cannot use */
    enum key_kind signer;              /* what kind of key signed it; KEY_OTHER: not known */
    struct span common_name;           /* the subject's last one; empty: none */
    struct span names;                 /* GeneralNames of its subjectAltName; empty: none */
};

/* NULL, or what is wrong with it, in words. */
const char *x509_parse(struct span der, struct x509 *out);
/* Takes the next dNSName off a copy of `names`; false at the end. */
bool x509_next_name(struct span *names, struct span *name_out);

#endif
