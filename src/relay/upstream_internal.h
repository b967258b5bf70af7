/*
 * upstream_internal - between upstream.c (jobs), upstream_health.c, upstream_session.c (one
 * connection) and upstream_connect.c
 *
 *   session: RESOLVING -> CONNECTING -> OPENING (greeting, LHLO, TLS) -> READY <-> job
 *            any -> CLOSING -> freed
 */
#ifndef MXGATE_RELAY_UPSTREAM_INTERNAL_H
#define MXGATE_RELAY_UPSTREAM_INTERNAL_H

#include "relay/upstream.h"

struct upstream_session {
    struct upstream *u; /* borrowed */
    struct upstream_session *prev, *next;
    struct config *config;       /* a reference: the client engine borrows its hello name from it */
    const struct relay_tls *tls; /* in it, or tls_own */
    struct relay_tls tls_own;    /* what the settings say, raised */
    struct relay_login login;    /* in config */
    struct login_token *token;   /* owned: being read, or read; NULL: there is none */
    bool has_login;
    struct stream stream;
    struct client client;
    struct resolver_query *query; /* borrowed; the name look-up under way */
    struct sockaddr_storage addresses[RESOLVER_ADDRESSES_MAX];
    size_t address_count;
    size_t address_next;
    struct upstream_job *job; /* borrowed; the transaction under way */
    char (
        *mx_names)[256]; /* owned; of a route with MX look-up: the host of each address, or NULL */
    const char *mx_name; /* in it: of the address in use; NULL: the route's host */
    unsigned conversations; /* begun with these */
    bool loops;             /* the best of them is ourselves */
    char host[560];         /* "HOST[ADDR]", or "HOST[/path]" */
    char relay[600];        /* the same with ":port" */
    const char *how; /* "lost connection", or why there is no address; NULL: the client's words */
    int connect_rc;  /* why the last connect failed; 0: it did not */
    bool timed_out;
    uint64_t opened_ms;
    uint64_t setup_ms;
    uint64_t progress_ms;   /* when something was heard, or taken by the peer */
    uint64_t connect_by_ms; /* the whole opening must be done by then */
    bool has_stream;        /* stream's handles exist */
    bool silent;   /* nobody answered in time, or no way there: not a mere limit of connections */
    bool securing; /* from the ClientHello on until it is secured */
    bool outdated; /* a reload asks for other TLS: not used again */
    bool ready;    /* greeting, LHLO and TLS are done */
    bool idle;
    bool stale;    /* see upstream.h */
    bool finished; /* the job has all its results; the session is not clean yet */
    bool quitting;
    bool starting; /* inside upstream_session_open */
    bool held;     /* whoever closes it frees it when done with it */
    bool closing;
};

/* upstream_connect.c */
/* Tries the next address; the session ends when there is none, or the time is over. */
void upstream_session_connect_next(struct upstream_session *s);

/* Its server could not be talked to: true when another address is tried. */
bool upstream_session_walk_on(struct upstream_session *s, const char *why);
/* The server's name: the mail host's, or the route's. */
const char *upstream_session_host(const struct upstream_session *s);

/* upstream_session.c */
extern const struct stream_events upstream_session_stream_events;
/* NULL: no memory, or it failed at once (upstream_open_failed was called). */
struct upstream_session *upstream_session_open(struct upstream *u);
void upstream_session_begin(struct upstream_session *s, struct upstream_job *job);
void upstream_session_quit(struct upstream_session *s); /* idle ones only */
void upstream_session_close(struct upstream_session *s);
/* Breaks the conversation off as one that timed out. */
void upstream_session_give_up(struct upstream_session *s);

/* upstream_tls.c */
/* For a session that is to be opened, whose login is known. */
void upstream_tls_choose(struct upstream_session *s);
/* What the settings ask for. */
const struct relay_tls *upstream_tls_of(const struct upstream *u, const struct config *config);
/* STARTTLS in this session? */
enum client_tls upstream_tls_mode(const struct upstream_session *s);
/* Begins the handshake; it may end the session at once. */
void upstream_tls_start(struct upstream_session *s);
void upstream_tls_secured(struct upstream_session *s);
/* Why the handshake failed; false when none was under way. */
bool upstream_tls_describe(const struct upstream_session *s, const char *text, struct text *why);
/* The session ended like this while it was opened: whether to try again in clear text. */
bool upstream_tls_fall_back(struct upstream_session *s, enum client_step step, const char *why);
/* The session is ready: what TLS it has, for mxgate status. */
void upstream_tls_note(struct upstream_session *s);
/* After a reload: sessions whose TLS or login would be another now are retired. */
void upstream_tls_reload(struct upstream *u, const struct config *old);
void upstream_tls_forget(struct upstream *u);

/* upstream_login.c */
/* Whether it is to log in, and as whom. */
void upstream_login_choose(struct upstream_session *s);
/* The engine asks for the login: gives it, at once or when the token was read. */
void upstream_login_give(struct upstream_session *s);
void upstream_login_forget(struct upstream_session *s); /* it is over, or the session is */

/* upstream_limits.c: what the settings say of this kind of destination */
uint64_t upstream_step_limit_ms(const struct upstream *u, enum client_step step);
uint64_t upstream_rate_delay_ms(const struct upstream *u);
/* Of an unused session. */
uint64_t upstream_idle_limit_ms(const struct upstream *u);
uint64_t upstream_reuse_limit(const struct upstream *u); /* transactions; 0: no limit */
uint64_t upstream_reuse_limit_ms(const struct upstream *u);
const char *upstream_hello_name(const struct upstream *u, const struct config *config);
const char *upstream_discarded(const struct upstream *u, const struct config *config);
/* The address to leave by, in `from`; NULL: the system chooses. */
const struct sockaddr *upstream_bind_address(const struct upstream *u, int family,
                                             struct sockaddr_storage *from);

uint64_t upstream_tls_loglevel(const struct upstream *u, const struct config *config);
bool upstream_tls_notes_offer(const struct upstream *u, const struct config *config);

/* upstream_health.c */
/* A session could not be opened, and that says nothing of the destination: the next one, now. */
void upstream_try_again(struct upstream *u);
/* Dispatches again in so long; not while DOWN. */
void upstream_wake(struct upstream *u, uint64_t ms);
void upstream_hold_opening(struct upstream *u); /* opens no session for a moment */

/* upstream.c */
const char *upstream_program(const struct upstream *u); /* "lmtp" or "smtp" */
void upstream_set_text(char *dst, size_t cap, const char *src);
void upstream_release(struct upstream *u); /* gives a hold back; it may be the last */
/* Gives waiting jobs to idle sessions, and opens sessions for the others as far as allowed. */
void upstream_dispatch(struct upstream *u);
void upstream_fail_waiting(struct upstream *u);
/* Everybody who waits: the domain takes no mail. */
void upstream_refuse_waiting(struct upstream *u, const char *dsn, const char *why);
void upstream_close_idle(struct upstream *u);
/* A job has left its session. */
void upstream_job_left(struct upstream *u);

/* upstream.c and upstream_health.c, told by sessions */
void upstream_opened(struct upstream *u, struct upstream_session *s);
/* Opening failed; the session is closing. */
void upstream_open_failed(struct upstream *u, struct upstream_session *s, const char *dsn,
                          const char *why);
void upstream_session_idle(struct upstream *u, struct upstream_session *s);
/* A conversation with a job broke. retry: nothing was accepted yet on a reused session. */
void upstream_job_broken(struct upstream *u, struct upstream_job *job, bool retry, const char *dsn,
                         const char *why);
void upstream_session_gone(struct upstream *u, struct upstream_session *s); /* frees it */

#endif
