/*
 * spool_operator - an operator's orders, carried out on the files: for commands when no daemon runs
 *
 * The spool was opened by spool_open_operator(). Everything is durable on return; a crash leaves a
 * message as it was or as ordered.
 *
 * Fails: 0 or -errno with words in err.
 */
#ifndef MXGATE_QUEUE_SPOOL_OPERATOR_H
#define MXGATE_QUEUE_SPOOL_OPERATOR_H

#include "queue/queue_order.h"
#include "queue/spool.h"

/*
 * Does to one message what r orders. *done_out: QUEUE_ORDER_BITs of what was done; 0 when there is
 * no such message in the queues of r, or nothing to do.
 */
int spool_order(struct spool *s, const struct queue_order_request *r, const struct queue_id *id,
                unsigned *done_out, struct errbuf *err);
/*
 * The same to every message. counts: for each order how many; `failed` is called for each message
 * where it failed.
 */
int spool_order_all(struct spool *s, const struct queue_order_request *r,
                    uint64_t counts[QUEUE_ORDER_COUNT],
                    void (*failed)(void *ctx, const char *name, const char *why), void *ctx);

#endif
