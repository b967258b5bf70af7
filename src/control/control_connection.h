/*
 * control_connection - one connection on the control socket: requests in, replies out
 *
 *     reading --request--> reply --> reading          "submit": see control_submission.h
 *        |  \--WAIT (body room, verdict, order, answer)--> reading
 *        \--fault, failure--> reply --> finishing --> closed
 *
 * After a failure the connection ends: what follows may be the rest of a message. After "smtp" the
 * socket is the SMTP server's, by a descriptor of its own.
 *
 * Limits: CONTROL_IDLE_MS for each request and for each chunk, not moved by bytes that dribble in;
 * CONTROL_STALL_MS for a message whose chunks are empty (a program that thinks between two lines);
 * CONTROL_SUBMISSIONS_MAX messages under way, beyond them a new one is refused with EX_TEMPFAIL;
 * replies that are not read up to STREAM_OUT_HIGH, then the connection ends. Owns:   its stream and
 * submission. The memory is the server's, until released().
 */
#ifndef MXGATE_CONTROL_CONTROL_CONNECTION_H
#define MXGATE_CONTROL_CONTROL_CONNECTION_H

#include "control/control_format.h"
#include "control/control_format_drain.h"
#include "control/control_order.h"
#include "control/control_submission.h"
#include "control/control_verify.h"
#include "net/stream.h"
#include "observe/status.h"

#define CONTROL_IDLE_MS         30000
#define CONTROL_STALL_MS        3600000 /* Postfix' ipc_timeout */
#define CONTROL_SUBMISSIONS_MAX 56      /* below CONTROL_CONNECTIONS_MAX */
#define CONTROL_ACTIVE_MAX      4096    /* ids that "active" tells */

enum control_drain_order { CONTROL_DRAIN_LOOK, CONTROL_DRAIN_BEGIN, CONTROL_DRAIN_END };

/* What the daemon does for the commands. All borrowed; called on the loop thread. */
struct control_ops {
    void *ctx;
    void (*status)(void *ctx, struct status *out); /* *out is zeroed before */
    size_t (*active)(void *ctx, struct queue_id *ids, size_t cap);
    /* id NULL and site NULL: all. The number of messages made due. */
    size_t (*flush)(void *ctx, const struct queue_id *id, const char *site);
    int (*reload)(void *ctx, struct errbuf *err); /* 0, or an exit code and why */
    /* As scheduler_order(). */
    bool (*order)(void *ctx, const struct queue_order_request *r, struct queue_asker *asker);
    void (*stop)(void *ctx);
    /* An SMTP session over this socket; 0, or negative and the descriptor is still the caller's. */
    int (*smtp)(void *ctx, int fd);
    /* Begins a drain, ends it, or does neither; and how far it is. False: nothing was done, as the
     * daemon is stopping. */
    bool (*drain)(void *ctx, enum control_drain_order order, uint64_t patience_ms,
                  struct control_drain *out);
};

struct control_setup {
    struct stream_pool *pool;      /* borrowed */
    const char *path;              /* borrowed; of the socket */
    const struct control_ops *ops; /* borrowed */
    struct intake *intake;         /* borrowed */
    struct relay *relay;           /* borrowed */
    struct config *config;         /* borrowed; see control_server_set_config */
    const struct log *log;         /* borrowed */
    unsigned *submissions;         /* under way on all connections; the server's */
};

struct control_connection {
    const struct control_setup *setup; /* borrowed; NULL: this slot is free */
    void (*released)(void *ctx);
    void *released_ctx;
    struct stream stream;
    struct control_parser parser;
    struct control_submission submission;
    struct control_order order;
    struct control_verify *verify; /* under way, or NULL */
    unsigned uid;                  /* of the peer */
    bool submitting;               /* counted in setup->submissions */
    uint64_t moved_ms;             /* when the last part of its message came */
    bool waiting; /* for body room, a verdict, the end of an order, an answer: nothing is parsed */
    bool ending;  /* "end" was said, and waits for room */
    bool finishing; /* the last word was said */
    bool stopping;
};

/* 0, or negative and nothing was accepted. released(ctx) comes once, when the slot is free again.
 */
int control_connection_accept(struct control_connection *c, const struct control_setup *setup,
                              uv_stream_t *listener, void (*released)(void *ctx), void *ctx);
/* Ends it; a submission that waits for its verdict gets it first. */
void control_connection_stop(struct control_connection *c);

#endif
