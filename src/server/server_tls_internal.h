/* server_tls_internal - what the files of server_tls share; see server_tls.h */
#ifndef MXGATE_SERVER_SERVER_TLS_INTERNAL_H
#define MXGATE_SERVER_SERVER_TLS_INTERNAL_H

#include "server/self_signed_store.h"
#include "server/server_tls.h"

enum { SELF_SIGNED_RSA, SELF_SIGNED_EC, SELF_SIGNED_COUNT };

struct server_tls_job {
    struct lane_job job;
    struct server_tls *owner;
    struct config *config; /* a reference */
    bool watch;            /* read only what changed */
    bool make_rsa;
    bool unchanged; /* watch: nothing did */
    bool asked[SELF_SIGNED_COUNT];
    struct self_signed_order orders[SELF_SIGNED_COUNT];
    struct tls_load load;
    int rc;
};

/* server_tls_say.c: what came into use, what is wrong, what expires. */
void server_tls_say(const struct server_tls *t, const struct server_tls_job *job,
                    bool trouble_told);
void server_tls_say_check(struct server_tls *t, const struct server_tls_job *job);
void server_tls_say_expiry(struct server_tls *t, bool now);
/* One line, at start without a time. */
void server_tls_tell(const struct server_tls *t, enum log_severity severity, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));

#endif
