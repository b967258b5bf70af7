/* tls_session_internal - what the two kinds of session have in common; see tls_session.h */
#ifndef MXGATE_TLS_TLS_SESSION_INTERNAL_H
#define MXGATE_TLS_TLS_SESSION_INTERNAL_H

#include "tls/tls_session.h"

#include <bearssl.h>

#define TLS_ERROR_CAP 320

/* What differs. */
struct tls_role {
    /* The handshake is over, and well: fills resumed and trust of the facts. */
    void (*opened)(struct tls_session *t);
    /* Better words than BearSSL's for why it broke; "": there are none. */
    const char *(*why)(const struct tls_session *t);
    /* Gives back what the session has beside its memory. */
    void (*release)(struct tls_session *t);
};

/* First in the struct of its kind, which is one allocation of `size` bytes. */
struct tls_session {
    const struct tls_role *role;   /* borrowed: static */
    br_ssl_engine_context *engine; /* in this allocation */
    size_t size;
    enum tls_state state;
    bool closing;
    unsigned answers; /* records that the engine sent by itself, since OPEN */
    struct tls_facts facts;
    char error[TLS_ERROR_CAP];
};

#endif
