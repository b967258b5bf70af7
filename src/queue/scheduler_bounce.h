/*
 * scheduler_bounce - how mail that cannot be delivered ends: its sender is told, or an operator
 *
 * A run of its own for a message that is alone and has failed recipients nobody was told of. It is
 * on hold by then (or has others that are still tried), which is where anything that goes wrong
 * here leaves it.
 *
 *   LOAD --> decide --nobody is to be told (NOTIFY), a notice of ours failed------------> REMOVE
 *              |--sender, and a way to it----> "bounce ID" --> make --> COMMIT --> REMOVE
 *              |                                 (others pending: "bounced ID" instead) --> report
 * due
 *              |--operator-------------------> "notice ID" --> make --> COMMIT --> "noticed ID"
 *              |                                                         --> HOLD, report due
 *              `--nobody can, or too many----> "noticed" --> HOLD
 *
 * The report is in custody before the message is released (P2). It is not delivered before that
 * is durable: so after a crash the record and what is in queue/ tell which report was begun and
 * taken, and none is sent twice (scheduler_recovered). What an operator ordered meanwhile holds
 * when the run ends.
 *
 * Never a report about a report to its sender, as there is none; a bounce of ours that fails makes
 * a notice, a notice of ours that fails makes nothing but a warning. Notices are bounded:
 * notify_limit an hour; the next one tells how many messages got none.
 */
#ifndef MXGATE_QUEUE_SCHEDULER_BOUNCE_H
#define MXGATE_QUEUE_SCHEDULER_BOUNCE_H

#include "message/bounce.h"
#include "queue/scheduler_internal.h"

struct queue_bounce {
    struct queue_run *run;
    struct bounce report;
    struct envelope *envelope; /* owned: the report's, unless the scheduler has it */
    struct body *body;         /* owned, likewise */
    struct spool_commit commit;
    bool final;            /* nobody of the message is pending: it goes, or stays on hold */
    struct config *config; /* a reference: the report names its myhostname */
    char untold[SMTP_ADDRESS_CAP + 64];
    /* making it: scheduler_bounce_make.c */
    char text[BOUNCE_PIECE_CAP];
    struct span todo; /* what is to be written next; points into text, chunk or the original */
    bool copying;
    uint64_t offset; /* in the original */
    char *chunk;     /* owned */
    int chunk_len;
    struct lane_job read_job;
    void (*made)(struct queue_bounce *b, int rc);
};

/*
 * Fills b->body with the report; made(b, 0 or -errno) comes once, maybe before the return. The
 * run's body and envelope must stay.
 */
void queue_bounce_make(struct queue_bounce *b, void (*made)(struct queue_bounce *b, int rc));

#endif
