/*
 * upstream - one destination: its sessions, who waits for one, and whether it is up
 *
 *   UNKNOWN --a session opens--> UP --no connect, greeting or LHLO--> DOWN --a probe opens--> UP
 *
 * A job is one transaction that somebody wants (a delivery, or a question about a recipient). Jobs
 * wait here until a session is free; urgent ones (a client is waiting for them) go first, but every
 * fourth place goes to the oldest other one. While DOWN, jobs end at once with UPSTREAM_END_DOWN,
 * and one probe at a time (0.5 s, doubling up to destination_probe_max, jittered) tries to open a
 * session; only changes are logged.
 *
 * Sessions: at most lmtp_destination_concurrency_limit, reused in a burst, closed after
 * lmtp_connection_idle_time. A reused session that dies before it accepted anything is not trouble:
 * the job is taken to a fresh one, once.
 *
 * Ways out (route.out) are servers of others, and are asked with patience: while DOWN nothing is
 * asked; after a pause it is UNKNOWN, and if there is mail for it that opens a session, one at a
 * time until one opens. A pause is 1 s, doubling up to outbound_probe_max, for a relayhost, and
 * minimal_backoff_time, doubling up to maximal_backoff_time, for another domain's hosts and for who
 * refused our login. A route with MX look-up has several hosts for one session (upstream_connect).
 *
 * Between two jobs lies the pause of ..._destination_rate_delay, if there is one.
 *
 * TLS is what relay_tls says of this target (upstream_tls.c); without what is required no session
 * opens.
 *
 * A conversation that breaks in the middle is not yet a destination that is down: it is suspected,
 * which means one probe now; while its answer is out everything goes on.
 *
 * After an outage a conversation may stand still for ever: the peer has forgotten it, and nothing
 * we wait for comes. When a probe gets through, those that have not sent their dot are broken off;
 * the others (only the peer knows what became of the message) do not count as sessions any more.
 */
#ifndef MXGATE_RELAY_UPSTREAM_H
#define MXGATE_RELAY_UPSTREAM_H

#include "config/config.h"
#include "config/route.h"
#include "net/lane.h"
#include "net/resolver.h"
#include "net/stream.h"
#include "observe/log.h"
#include "relay/client.h"

enum upstream_health { UPSTREAM_UNKNOWN, UPSTREAM_UP, UPSTREAM_DOWN };

struct upstream;
struct upstream_session;
struct tls_anchors;
struct tls_client;
struct upstream_job;

enum upstream_end {
    UPSTREAM_END_FINISHED, /* every recipient has its result */
    UPSTREAM_END_DOWN,     /* never begun: the destination is down */
    UPSTREAM_END_REFUSED,  /* never begun: the DNS says that the recipients' domain takes no mail */
    UPSTREAM_END_BROKEN,   /* begun, and the conversation broke: undecided recipients have no result
                            */
};

struct upstream_job_events {
    void (*on_begin)(struct upstream_job *job);
    void (*on_result)(struct upstream_job *job, size_t position, enum client_blame blame,
                      enum client_step step, const struct smtp_reply *reply);
    void (*on_body)(struct upstream_job *job);    /* upstream_job_body() may be called */
    void (*on_drained)(struct upstream_job *job); /* more of it may be sent */
    /* The last call. why: for people ("connect to ...: Connection refused"); dsn: "4.4.1". */
    void (*on_end)(struct upstream_job *job, enum upstream_end end, const char *dsn,
                   const char *why);
};

struct upstream_job {
    const struct upstream_job_events *events; /* borrowed */
    struct client_transaction t;              /* what it points to is borrowed until on_end */
    bool urgent;
    /* for whoever asks, valid from on_begin to the end of on_end */
    char relay[400];     /* "HOST[ADDR]:port", or "none" */
    const char *program; /* "lmtp" or "smtp" */
    unsigned conn_use;
    bool can_report;             /* DSN was offered: NOTIFY is passed on */
    uint64_t asked_ms, begun_ms; /* monotonic */
    uint64_t setup_ms;           /* connection set-up that this job waited for */
    /* private */
    struct upstream *upstream;
    struct upstream_session *session;
    struct upstream_job *prev, *next;
    size_t results;
    bool retried;
    bool elsewhere; /* its mail host is in trouble, and there is another one */
};

/* What all destinations share. */
struct upstream_context {
    uv_loop_t *loop;
    struct stream_pool *streams;
    struct resolver *resolver;
    struct lane *files;    /* borrowed: reading tokens */
    struct config *config; /* borrowed; replaced at reload */
    const struct log *log;
    struct tls_anchors
        *anchors[2]; /* references; of lmtp: and smtp: targets; NULL: nobody trusted */
    void (*on_up)(void *ctx, struct upstream *u); /* after UP was entered; may be NULL */
    void *on_up_ctx;
};

struct upstream {
    struct upstream_context *context; /* borrowed */
    struct route route;
    struct upstream *next; /* the owner's list */
    enum upstream_health health;
    bool covered; /* where it is down, other targets may have its mail; for the log */
    bool retired; /* no longer in the settings: not probed, not shown; what is under way goes on */
    int64_t since_s; /* wall clock of the last change */
    bool ailing;     /* DOWN was entered, and no session has opened since */
    char why[400];   /* of the trouble, "" when up */
    char dsn[12];
    enum client_protocol protocol; /* in use; differs from the route's after a fallback */
    char mismatch[160];            /* the wrong setting in words, "" when right */
    uint64_t mismatch_said_ms;
    char tls_now[160];      /* TLS of the last session that was opened, in words; "" level none */
    struct tls_client *tls; /* a reference; NULL until it is needed, and after a reload */
    struct config *tls_config;         /* the settings it was made of */
    uint64_t clear_until_ms;           /* monotonic; a handshake failed at the level may */
    struct upstream_session *sessions; /* owned */
    unsigned session_count;
    unsigned opening;
    unsigned stale; /* of these sessions: over the dot, and nothing heard since an outage */
    struct upstream_job *urgent; /* borrowed, waiting, oldest first */
    struct upstream_job *normal;
    unsigned waiting;
    unsigned picks[2];      /* jobs given to sessions that nobody used, and to used ones */
    unsigned active;        /* jobs on sessions */
    unsigned probes;        /* failed in a row */
    uint64_t down_ms;       /* monotonic; when DOWN was entered last */
    bool told;              /* some mail was deferred since, with the bare reason */
    uint64_t rate_until_ms; /* ..._destination_rate_delay */
    char shunned[256];      /* a mail host that broke off in the middle: asked last */
    uint64_t shunned_until_ms;
    uint64_t hold_opening_until_ms; /* an extra session was refused while others live */
    uv_timer_t timer;
    bool closing;
    unsigned holds;
    void (*on_closed)(void *ctx, struct upstream *u);
    void *on_closed_ctx;
};

/* Embedded or heap: the memory must stay until on_closed of upstream_close. */
void upstream_init(struct upstream *u, struct upstream_context *context, const struct route *route);
/* Ends all jobs (BROKEN or DOWN), closes all sessions; then on_closed. */
void upstream_close(struct upstream *u, void (*on_closed)(void *ctx, struct upstream *u),
                    void *ctx);
/* May call on_end before it returns (when DOWN). */
void upstream_submit(struct upstream *u, struct upstream_job *job);
/*
 * Takes a job back; no further callback comes. False when it is too late: its final dot is out, and
 * only the destination's answer can tell what became of it.
 */
bool upstream_cancel(struct upstream_job *job);
/* Between on_body and upstream_job_body_end. */
void upstream_job_body(struct upstream_job *job, struct span canonical);
void upstream_job_body_end(struct upstream_job *job);
size_t upstream_job_pending(const struct upstream_job *job); /* bytes not yet taken by the socket */
/* The body cannot be read (our fault): breaks the conversation before its end; on_end BROKEN
 * follows. */
void upstream_job_abort(struct upstream_job *job, const char *why);
/* Whether all sessions that it may have are at work, and nothing has come of any for so long. */
bool upstream_stands_still(const struct upstream *u, uint64_t ms);
/* No session, no job. */
bool upstream_is_idle(const struct upstream *u);
/* Opens a session now to see whether it answers, unless one is being opened. */
void upstream_probe(struct upstream *u);
/* Ends the pause of a way out: whoever comes next finds out whether it answers. */
void upstream_end_pause(struct upstream *u);
/* This is where mail goes (from now on): finds out whether it is up. */
void upstream_choose(struct upstream *u);
/*
 * A reload chose another one: what waits here ends as DOWN, and nobody asks any more whether it is
 * up. What is under way goes on. Until upstream_choose().
 */
void upstream_retire(struct upstream *u);
/* "host H[A] said: REPLY (in reply to STEP)" */
void upstream_said(const struct upstream_job *job, enum client_step step,
                   const struct smtp_reply *reply, struct text *t);

/* What the settings say of this kind of destination: lmtp_... or smtp_... (upstream_limits.c). */
uint64_t upstream_sessions_limit(const struct upstream *u);
/* Recipients in one transaction, at most `most`. */
size_t upstream_recipients_limit(const struct upstream *u, size_t most);

#endif
