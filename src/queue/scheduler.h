/*
 * scheduler - owns every spooled message: when it is due, where it goes, what a result means
 * (DESIGN 2.5)
 *
 *   add --> READY --dispatch--> RUNNING --all sent--> REMOVING --> gone
 *    |        ^                   |--4xx, or broken thrice--> WAITING --due--> READY
 *    |        +--destination------+--failed for good, or expired--> bounce, or HOLD
 *    +--> CLAIMED (a direct delivery is still under way) --settle--> any of the above
 *
 * An operator's orders lead elsewhere: scheduler_operator.h.
 *
 * READY entries of a destination wait while it is down and all go when it is up, as many at a time
 * as default_destination_concurrency_limit; fresh mail before old, but every fourth place is for
 * the oldest. A message whose own conversation broke BREAKS_MAX times in a row backs off alone, so
 * that a poison message cannot keep a destination flapping.
 *
 * Each destination (relay.h) has a site: its ready lists and its places. A message whose recipients
 * have several destinations has an entry at each (parts, see scheduler_internal.h), which waits,
 * runs and backs off by itself: a destination that is down, slow or full holds back its own
 * recipients only. The file says what became of each recipient, whoever delivered it; it is removed
 * when it says that all are sent. Who goes where is not in the file: it is worked out from the
 * settings at start and after a reload that changed it (what is under way then ends first).
 *
 * Memory: one struct per message and destination (about 250 bytes); envelope and body are read from
 * the file for each run, except for the first of a message that goes within a second (1 MiB of
 * those). The number of messages is bounded by queue_message_limit, asked by intake before it says
 * yes. What is on hold is counted apart, and may be SCHEDULER_HELD_TIMES as many: anybody can send
 * mail that ends there (two recipients, one of them over quota), and must not stop other people's
 * by it.
 */
#ifndef MXGATE_QUEUE_SCHEDULER_H
#define MXGATE_QUEUE_SCHEDULER_H

#include "observe/log.h"
#include "observe/status.h"
#include "queue/due_heap.h"
#include "queue/records.h"
#include "queue/spool.h"
#include "relay/relay.h"

#define SCHEDULER_HELD_TIMES 10 /* times queue_message_limit */

struct queue_entry;
struct queue_run;
struct queue_site;

struct scheduler {
    uv_loop_t *loop; /* borrowed, as all of these */
    struct spool *spool;
    struct relay *relay;
    struct body_place *place;
    struct config *config; /* replaced by scheduler_set_config */
    const struct log *log;
    struct queue_entry *entries; /* owned hash by id */
    struct queue_site *sites;    /* owned: ready lists per destination */
    struct queue_site *chores;   /* of these: that without one; NULL: not yet */
    struct queue_id_source ids;  /* of all messages: those that come in, and reports */
    struct due_heap waiting;
    uv_timer_t due_timer;
    uv_timer_t expiry_timer;
    struct queue_run *runs; /* owned: under way */
    unsigned run_count;
    unsigned placed;         /* of these: they have a place at a destination */
    unsigned direct_running; /* places taken at destinations that were made on demand */
    size_t part_count;       /* entries, those that are not in the hash included */
    unsigned tellers;        /* of these: scheduler_tell */
    unsigned generation;     /* of relay's routes, that all entries but the unrouted go by */
    struct queue_operation *operations; /* owned: orders under way (scheduler_operator) */
    unsigned batches;                   /* orders to several messages, under way */
    size_t held_bytes;                  /* bodies of queued messages that are still in memory */
    struct queue_intent *intents; /* owned; between scheduler_recover and scheduler_recovered */
    uint64_t notices_since_ms;    /* the hour in which they are counted (scheduler_bounce) */
    uint64_t notices;
    uint64_t unnoticed; /* messages put on hold without a notice, since the last one */
    unsigned on_hold;
    unsigned operator_needed;
    uint64_t delivered, deferred, failed; /* recipients, since start */
    uint64_t handed_over;                 /* of the delivered: to the fallback */
    uint64_t corrupt;
    struct destination *fallback; /* borrowed; NULL: nothing is handed over (scheduler_drain.h) */
    bool stopping;
    unsigned holds;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

void scheduler_init(struct scheduler *s, uv_loop_t *loop, struct spool *spool, struct relay *relay,
                    struct body_place *place, struct config *config, const struct log *log);
void scheduler_set_config(struct scheduler *s, struct config *config);
/* From the spool at start; takes f->envelope. Everything is due at once. */
void scheduler_recover(struct scheduler *s, struct spool_file *f);
/* Once the whole spool was given to it, before anything is due: reports that were begun when we
 * were last cut off are in the spool or not. */
void scheduler_recovered(struct scheduler *s);
/* To be called when relay says that a destination is up (upstream_context.on_up). */
void scheduler_on_up(void *ctx, struct upstream *u);

/* Room for one more: asked before custody is taken. False: queue full or memory out. */
bool scheduler_has_room(struct scheduler *s);
enum queue_origin {
    QUEUE_FROM_FRESH,   /* never tried: due now */
    QUEUE_FROM_CLAIMED, /* deliveries of it are under way: nothing is started until
                           scheduler_settle() */
    QUEUE_FROM_LATER,   /* tried; somebody said 4xx about it: backs off alone */
    QUEUE_FROM_TROUBLE, /* tried; the destination is in trouble: due when that is over */
};
/*
 * A message that was just committed; the envelope is only read. One with no pending recipient but
 * failed ones goes on hold. False only when memory is out in spite of scheduler_has_room(): it is
 * in the spool and comes back at the next start.
 */
bool scheduler_add(struct scheduler *s, const struct envelope *e, enum queue_origin origin);
/*
 * The same where destinations differ: `origin` is asked for each that a pending recipient has (d
 * NULL: for the message as a whole).
 */
bool scheduler_add_parts(struct scheduler *s, const struct envelope *e,
                         enum queue_origin (*origin)(void *ctx, const struct destination *d),
                         void *ctx);
/*
 * The same for a fresh message that is still in memory. Where there is room both are taken over and
 * set NULL: reading it back from the disk would cost as much as delivering it.
 */
bool scheduler_add_fresh(struct scheduler *s, struct envelope **e, struct body **body);
/*
 * The claimed deliveries are over: records is what they found out since the commit (taken over and
 * cleared), e has the states. trouble: the destination's; broken: a conversation about this message
 * broke.
 */
void scheduler_settle(struct scheduler *s, const struct envelope *e, struct records *records,
                      bool trouble, bool broken);
/* The same for one of the destinations that were claimed. */
struct queue_settlement {
    const struct envelope *envelope;       /* borrowed; with the states */
    const struct destination *destination; /* NULL: all of them */
    struct records *records;               /* taken over and cleared */
    size_t pending; /* recipients of this destination without a final result */
    bool trouble, broken;
};
void scheduler_settle_part(struct scheduler *s, const struct queue_settlement *settlement);
/* Whether a sender who asked to hear that it was delivered is to hear so of us, and can. */
bool scheduler_owes_success(const struct scheduler *s, const struct envelope *e);
/*
 * He is told of a message that is nowhere in the spool. done(ctx) comes once, maybe before the
 * return: the report is in custody, or (the log says so) cannot be. Both must stay until then.
 */
void scheduler_tell_success(struct scheduler *s, const struct envelope *about,
                            const struct body *original, void (*done)(void *ctx), void *ctx);
/* Makes messages due now: all (id NULL), or one; probes their destinations, if down. Returns how
 * many. */
size_t scheduler_flush(struct scheduler *s, const struct queue_id *id);
/* The same for messages with a pending recipient in this domain (and, rarely, others: see `domains`
 * in scheduler_internal.h). */
size_t scheduler_flush_site(struct scheduler *s, const char *site);
unsigned scheduler_count(const struct scheduler *s); /* messages, those on hold included */
/* Ids under delivery. */
size_t scheduler_active(const struct scheduler *s, struct queue_id *ids, size_t cap);
void scheduler_status(const struct scheduler *s, struct status *out);

/* Starts nothing more and takes back what has not sent its dot; scheduler_idle() tells when the
 * rest is over. */
void scheduler_stop(struct scheduler *s);
bool scheduler_idle(const struct scheduler *s); /* no run and no order under way */
void scheduler_close(struct scheduler *s, void (*on_closed)(void *ctx), void *ctx);

#endif
