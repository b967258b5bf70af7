/*
 * scheduler_operator - an operator's orders: hold, release, delete, requeue, expire messages
 *
 * An order is durable before it is answered: its record is appended to the file (or the file
 * removed and the folder synced), and only then does it take effect on the entry, whatever state
 * that is in by then:
 *
 *              READY, WAITING       RUNNING, CLAIMED                         HOLD
 *     hold     HOLD                 HOLD when that ends, unless all was sent  -
 *     delete   GONE, freed          freed when that ends                      GONE, freed
 *     release  -                    -                                        READY
 *     requeue  READY                READY when that ends                      READY
 *     expire   expires (HOLD)       expires when that ends                    when released
 *
 * Holding and deleting take back a delivery that has not sent its dot; one that has completes and
 * is logged. An entry that is to be deleted is marked first, so that nothing is begun with it; its
 * file goes at once, and no append makes a file again.
 *
 * Orders for one message are carried out one after the other, so that the file says in the same
 * order what became of the entry. A few appends are under way at a time, so that mail coming in
 * does not wait behind a long list; removals share their syncs.
 *
 * Operations keep the message's id and look the entry up when they need it: it may be gone.
 */
#ifndef MXGATE_QUEUE_SCHEDULER_OPERATOR_H
#define MXGATE_QUEUE_SCHEDULER_OPERATOR_H

#include "queue/queue_order.h"
#include "queue/scheduler.h"

/* What became of an order: of its ids, in the order in which they were named. */
struct queue_order_result {
    enum queue_order order;
    bool all;
    const struct queue_id *ids;
    const uint8_t *done; /* QUEUE_ORDER_BITs for each */
    size_t count;
    uint64_t totals[QUEUE_ORDER_COUNT];
    size_t failed;            /* messages where it could not be recorded */
    struct queue_id first_id; /* the first of them, and why */
    int first_rc;
    bool stopped; /* the daemon stops: some were left as they are */
};

/* Who gave an order and waits for its end. */
struct queue_asker {
    void (*done)(void *ctx, const struct queue_order_result *result);
    void *ctx;
    struct queue_batch *batch; /* NULL: nothing is under way */
};

/*
 * Gives an order; done() comes once, maybe before this returns. The asker must live until then, or
 * forget. False: no memory, nothing was done.
 */
bool scheduler_order(struct scheduler *s, const struct queue_order_request *r,
                     struct queue_asker *asker);
/* Nobody waits any more; what was ordered is still carried out. */
void scheduler_order_forget(struct queue_asker *asker);

#endif
