/*
 * sasl_server - logins asked of Dovecot: one connection that is kept, and whoever waits on it
 *
 *     AWAY --connect, greeting--> UP --lost, or silent--> AWAY, tried again by retry_probe_ms()
 *
 *     sasl_server_start --AUTH--> asked <--CONT, sasl_server_next--> ... --OK, FAIL--> answered
 *
 * Logins of many clients go over the one connection by number. While it is away a login is answered
 * at once: trouble, try again later; only while the first attempts are under way does one wait.
 * What Dovecot offered last is remembered, and before it was ever reached PLAIN and LOGIN are, so
 * that a client of an outage hears 454 and comes back, instead of finding that nobody can log in
 * here.
 *
 * Fails:  an answer that does not come in SASL_SERVER_PATIENCE_MS is trouble (Dovecot delays the
 *         answers to wrong passwords, up to 15 s). The words are Postfix's, which fail2ban knows as
 *         nobody's fault.
 * Owns:   the requests, until their answer or sasl_server_cancel(); then they are gone.
 * Limits: as many requests as there are sessions; when Dovecot does not read, STREAM_OUT_HIGH
 * bytes.
 */
#ifndef MXGATE_SERVER_SASL_SERVER_H
#define MXGATE_SERVER_SASL_SERVER_H

#include "config/config.h"
#include "net/resolver.h"
#include "net/stream.h"
#include "observe/log.h"
#include "observe/status.h"
#include "server/sasl_dovecot.h"
#include "server/session.h"

#define SASL_SERVER_OPEN_MS     10000 /* connect and greeting, as in Postfix */
#define SASL_SERVER_PATIENCE_MS 30000
#define SASL_SERVER_RETRY_MS    3000 /* the longest wait between two attempts */
#define SASL_SERVER_AWAY        "Connection lost to authentication server"

struct sasl_link;
struct sasl_request;

struct sasl_server {
    uv_loop_t *loop; /* borrowed, as the next four */
    struct stream_pool *streams;
    struct resolver *resolver;
    struct config *config;
    const struct log *log;
    char path[400]; /* smtpd_sasl_path as it is in use; "": nothing is asked of Dovecot */
    struct sasl_mechanisms mechanisms;
    struct sasl_link *link;        /* owned; NULL: none */
    struct sasl_request *requests; /* owned list */
    uint64_t last_id;
    unsigned failures; /* attempts since it was up */
    bool up;
    bool tried;          /* an attempt has ended */
    int64_t since_s;     /* wall seconds of the last change */
    char why[300];       /* "" when up */
    uv_timer_t retry;    /* the next attempt */
    uv_timer_t patience; /* looks at the requests while there are any */
    bool closing;
    unsigned holds;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* The borrowed ones are there. */
void sasl_server_init(struct sasl_server *s);
void sasl_server_set_config(struct sasl_server *s, struct config *config);
void sasl_server_close(struct sasl_server *s, void (*on_closed)(void *ctx), void *ctx);
void sasl_server_status(const struct sasl_server *s, struct status *out);

typedef void (*sasl_server_fn)(void *ctx, const struct session_auth_answer *answer);
/*
 * `done` is called for each answer; after any but SESSION_AUTH_MORE the request is gone. NULL: it
 * has been called already, and that was the last time. The number in `ask` is chosen here.
 */
struct sasl_request *sasl_server_start(struct sasl_server *s, struct sasl_dovecot_request *ask,
                                       sasl_server_fn done, void *ctx);
/* After SESSION_AUTH_MORE. */
void sasl_server_next(struct sasl_request *r, struct span response);
/* NULL-safe, clears the pointer; done is not called any more. */
void sasl_server_cancel(struct sasl_request **r);

#endif
