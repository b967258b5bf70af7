/*
 * gateway - the daemon put together: every module with what it borrows, started and stopped in
 * order
 *
 *   bind:  the SMTP server's sockets
 *   start: resolver, relay (probes its destination), spool, scheduler (recovers the queue),
 *          intake, certificates, control socket, SMTP server
 *   stop:  no new connections -> sessions end -> what was not delivered is spooled -> all is closed
 *
 * Stopping takes GATEWAY_STOP_MS at most: Docker waits 10 s before it kills. Whatever is cut off
 * then was not promised to anybody, or lies in the spool.
 */
#ifndef MXGATE_COMMANDS_GATEWAY_H
#define MXGATE_COMMANDS_GATEWAY_H

#include "control/control_server.h"
#include "intake/intake.h"
#include "queue/scheduler.h"
#include "relay/relay.h"
#include "server/listener.h"
#include "server/sasl_server.h"
#include "server/server_tls.h"

/*
 * Each holds one fsync at a time, and those that wait together share one commit of the file
 * system's journal: on a disk that takes 10 ms for it, four would end at 400 messages per second. A
 * thread that sleeps costs 8 KB.
 */
#define GATEWAY_DISK_THREADS 16
#define GATEWAY_TLS_THREADS  2    /* handshakes: they are work, not waiting; of their own */
#define GATEWAY_PATIENCE_MS  6000 /* for sessions and deliveries under way */
#define GATEWAY_STOP_MS      9000 /* then the process ends, whatever hangs */

/* gateway_drain.c */
struct gateway_drain {
    uv_timer_t timer;
    int64_t since_s; /* wall; 0: no drain is under way */
    uint64_t hand_over_at_ms, flush_at_ms, flush_wait_ms;
    uint64_t delivered_before, handed_before; /* counters at its beginning */
    bool over_said;
};

struct gateway {
    uv_loop_t *loop;
    struct config *config; /* a reference */
    const struct log *log;
    struct stream_pool streams;
    struct lane disk;
    struct lane tls;
    struct resolver resolver;
    struct relay relay;
    struct spool spool;
    struct body_place place;
    struct scheduler scheduler;
    struct intake intake;
    struct server_tls certificates;
    struct sasl_server sasl;
    struct smtp_server server;
    struct control_ops control_ops;
    struct control_server control;
    uv_timer_t stop_timer;
    struct gateway_drain drain;
    uint64_t stop_at_ms; /* 0: not stopping */
    int64_t started_s;
    bool bound; /* gateway_bind() was called */
    bool stopping;
    bool control_stopping, control_stopped;
    unsigned closing; /* modules whose on_closed is due */
    uint64_t (*log_dropped)(void *ctx);
    void *log_dropped_ctx;
    int (*reload)(void *ctx, struct errbuf *err); /* asked for by a command; see control_ops */
    void (*stop)(void *ctx);                      /* likewise */
    void *asked_ctx;                              /* of both */
    void (*on_stopped)(void *ctx);
    void *on_stopped_ctx;
};

/* Binds the SMTP server's sockets, as long as the process may: before gateway_start(), which does
 * it otherwise. Needs loop, config and log. */
int gateway_bind(struct gateway *g, struct errbuf *err);
/* What the caller fills before: loop, config, log, log_dropped, reload, stop and their ctx. 0, or
 * negative and why in err: then the process ends. */
int gateway_start(struct gateway *g, struct errbuf *err);
/* Takes new settings; the old ones stay in force when they cannot be used. The reference is taken
 * over. */
int gateway_set_config(struct gateway *g, struct config *config, struct errbuf *err);
/* on_stopped comes when everything is closed. Idempotent. */
void gateway_stop(struct gateway *g, void (*on_stopped)(void *ctx), void *ctx);

#endif
