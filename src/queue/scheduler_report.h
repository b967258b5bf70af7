/*
 * scheduler_report - a report of ours about a message, from its id until it is in custody
 *
 *   queue_report_new: its id, to be written down --> queue_report_make: text, commit --> done()
 *       --> what it was about is settled --> queue_report_release: it is due
 *
 * Whoever asks for one says in the message's file that it is begun, and that it is taken
 * (spool_format.h), before and after: scheduler_bounce, scheduler_tell. Of a message that is not
 * in the spool (scheduler_success) nothing is written.
 *
 * Fails: with done(-errno, what failed); nothing is kept then. Logs nothing but what Postfix does.
 */
#ifndef MXGATE_QUEUE_SCHEDULER_REPORT_H
#define MXGATE_QUEUE_SCHEDULER_REPORT_H

#include "message/bounce.h"
#include "queue/scheduler_internal.h"

struct queue_report {
    struct scheduler *s;
    void *owner;               /* whoever asked for it */
    struct queue_id id;        /* its own */
    struct bounce text;        /* the owner may fill age_ms, lifetime_ms and expired */
    struct envelope *envelope; /* owned: the report's, unless the scheduler has it */
    struct body *body;         /* owned, likewise */
    struct spool_commit commit;
    bool final;            /* for the owner: nothing is left of the message when it is told */
    struct config *config; /* a reference: the report names its myhostname */
    char untold[SMTP_ADDRESS_CAP + 64];
    /* while it is made */
    const struct body *original; /* borrowed */
    char piece[BOUNCE_PIECE_CAP];
    struct span todo; /* what is to be written next; points into piece, chunk or the original */
    bool copying;
    uint64_t offset; /* in the original */
    char *chunk;     /* owned */
    int chunk_len;
    struct lane_job read_job;
    void (*done)(struct queue_report *r, int rc, const char *step);
};

/* NULL: memory is out. */
struct queue_report *queue_report_new(struct scheduler *s, enum bounce_kind kind, void *owner);
void queue_report_free(struct queue_report **r);
/*
 * To `to`, about those of the message that bounce_concerns() says. done() comes once, maybe before
 * the return; envelope and body must stay until then.
 */
void queue_report_make(struct queue_report *r, const struct envelope *about,
                       const struct body *original, const char *to,
                       void (*done)(struct queue_report *r, int rc, const char *step));
/* It may go. */
void queue_report_release(struct queue_report *r);
/* Whether mail of ours can get there. */
bool queue_report_has_way(const struct scheduler *s, const char *to);
/* The record that says that it is begun; the next one says that it is in custody. */
enum spool_report queue_report_record(enum bounce_kind kind);
/* "notice", as HELO of mail that had none: nobody else can say it. */
bool queue_report_is_notice(const struct envelope *e);

#endif
