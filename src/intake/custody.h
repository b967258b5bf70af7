/*
 * custody - one message between the end of its data and the answer; see intake.h for its states
 *
 * custody.c is what happens to one message, intake.c the surface, the list and the clock.
 */
#ifndef MXGATE_INTAKE_CUSTODY_H
#define MXGATE_INTAKE_CUSTODY_H

#include "intake/intake.h"

#include <utlist.h>

enum custody_state {
    CUSTODY_DELIVERING, /* direct deliveries under way, nobody answered */
    CUSTODY_COMMITTING, /* on its way into the spool */
    CUSTODY_REPORTING,  /* delivered; the report that its sender asked for is on its way there */
    CUSTODY_ANSWERED,   /* the verdict was given; deliveries that sent their dot may still be under
                           way */
};

/*
 * One message between the end of its data and the answer (and the end of its direct deliveries).
 * Its recipients are grouped by destination; each delivery is for one of them, and all run at the
 * same time. Where results are recorded, `owner` of a delivery becomes NULL: those that have one at
 * the commit are late, and each destination with late deliveries is claimed at the scheduler until
 * the last of them is done.
 */
struct custody {
    struct intake *in;
    struct custody *prev, *next;
    enum custody_state state;
    struct envelope *envelope;   /* owned */
    struct body *body;           /* owned */
    struct delivery *deliveries; /* owned array */
    size_t delivery_count;
    size_t outstanding; /* deliveries not done */
    size_t direct;      /* deliveries at destinations that were made on demand */
    bool starting;      /* deliveries are being started: results may come at once */
    uint64_t submitted_ms;
    uint64_t deadline_ms; /* of CUSTODY_DELIVERING */
    double receive_s;     /* time it took to come in, for the log */
    unsigned generation;  /* of relay's routes when the deliveries began */
    bool claimed;         /* the scheduler waits for our settlement */
    bool whole;           /* of all destinations together: a reload changed who goes where */
    bool active_logged;
    struct records records;
    struct spool_commit commit;
    void (*done)(void *ctx, const struct smtp_verdict *verdict);
    void *ctx;
};

void verdict_set(struct smtp_verdict *v, unsigned code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* custody.c: each may answer and free the message before it returns. */
void custody_deliver(struct custody *c);
/*
 * Nothing is delivered now. The recipients whose destination is down hear so, in the log and in the
 * file; then the mail is kept.
 */
void custody_suspend(struct custody *c);
void custody_commit(struct custody *c);
/* Time is over, or we are stopping: what has not sent its dot is taken back and spooled. */
void custody_give_up(struct custody *c, const char *why);

/* intake.c: the oldest message's direct_timeout. */
void intake_arm_timer(struct intake *in);

#endif
