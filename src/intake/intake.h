/*
 * intake - custody: takes a complete message and answers for it (DESIGN 2.4, P1)
 *
 * The only place where an outcome becomes a reply. 2xx is said only when every recipient has the
 * upstream's 2xx, or the message (with what is decided so far) is durable in the spool.
 *
 *   direct:  SUBMITTED --> DELIVERING --all results--> SETTLE --> (reply), or COMMIT --> (reply)
 *                              |--direct_timeout--> COMMIT --> (reply)
 *                                                   what has sent its dot goes on meanwhile
 *   queue:   SUBMITTED --> COMMIT --> (reply)
 *
 * SETTLE: every recipient 2xx: 250, nothing on disk. Every recipient 5xx: the 5xx. Anything else:
 * COMMIT with the results so far recorded, then 250. A failed COMMIT: 451 or 452 and nothing kept.
 */
#ifndef MXGATE_INTAKE_INTAKE_H
#define MXGATE_INTAKE_INTAKE_H

#include "config/config.h"
#include "message/body.h"
#include "message/envelope.h"
#include "observe/log.h"
#include "queue/scheduler.h"
#include "smtp/verdict.h"

struct custody;

struct intake {
    uv_loop_t *loop;       /* borrowed, as all of these */
    struct config *config; /* replaced at reload by intake_set_config */
    const struct log *log;
    struct scheduler *scheduler;
    struct relay *relay;
    struct spool *spool;
    struct body_place *place;
    struct envelope_budget envelopes; /* of those that sessions make */
    struct custody *first;            /* owned: messages under way, oldest first */
    unsigned in_flight;               /* how many */
    size_t direct;                    /* their deliveries at destinations made on demand */
    uv_timer_t timer;                 /* the oldest one's direct_timeout */
    bool draining;                    /* no mail may come; what has come is dealt with as ever */
    bool stopping;                    /* deliveries are not waited for, everything is spooled */
    uint64_t messages_in;             /* 250 said */
    uint64_t sent_directly, deferred_directly, failed_directly; /* recipients */
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* The scheduler must be initialised; its spool, relay and body_place are used. */
void intake_init(struct intake *in, struct scheduler *scheduler);
void intake_set_config(struct intake *in, struct config *config);
/* A fresh id; arrival is now. */
void intake_queue_id(struct intake *in, struct queue_id *id_out, int64_t *arrival_us_out);
/*
 * May a message of this size (0: unknown) come in now? True, or false with the reply: 452 4.3.1
 * when the spool's free space is below queue_minfree (plus size) or the queue is full, or 421 4.3.2
 * when stopping or draining.
 */
bool intake_may_come(struct intake *in, uint64_t size, struct smtp_verdict *verdict_out);
/* Free bytes below which no mail is taken: queue_minfree in force. */
uint64_t intake_floor_bytes(const struct intake *in);
/* A body for this envelope (borrowed: must stay until the body is freed or submitted). NULL when
 * memory is out. */
struct body *intake_body_new(struct intake *in, const struct envelope *e);
/*
 * Takes over both. done(ctx, verdict) comes exactly once, maybe before this returns, unless
 * intake_forget(ctx) is called first.
 */
void intake_submit(struct intake *in, struct envelope *e, struct body *body,
                   void (*done)(void *ctx, const struct smtp_verdict *verdict), void *ctx);
/* The asker is gone: the message is dealt with all the same, nobody is told. */
void intake_forget(struct intake *in, const void *ctx);
/* Stops waiting for deliveries that have not sent their dot: those messages are spooled now. */
void intake_stop(struct intake *in);
/* Only when in_flight is 0. */
void intake_close(struct intake *in, void (*on_closed)(void *ctx), void *ctx);

#endif
