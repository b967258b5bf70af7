/*
 * control_order - an operator's orders on a control connection (verb "order")
 *
 *     order delete active,deferred,hold ID ID ...      order hold deferred ALL
 *       text ID removed                                  text 12 placed on hold
 *       text ID failed: No space left on device          ok
 *       ok
 *
 * Replied when everything is durable: a line for each message to which something was done, in the
 * order of the request; for ALL, one with their number for each thing that was done. Failures come
 * in lines too ("failed:"), the first of them at most for ALL.
 *
 * The totals of a connection go into the log when it ends, as a command's last words do.
 */
#ifndef MXGATE_CONTROL_CONTROL_ORDER_H
#define MXGATE_CONTROL_CONTROL_ORDER_H

#include "queue/scheduler_operator.h"

struct control_order {
    struct queue_asker asker;
    unsigned ordered; /* QUEUE_ORDER_BITs asked for on this connection */
    uint64_t totals[QUEUE_ORDER_COUNT];
};

/* One line of the reply, without LF; `write` is called for each. */
void control_order_report(const struct queue_order_result *result,
                          void (*write)(void *ctx, const char *line), void *ctx);
/* Adds a result to the totals. */
void control_order_count(struct control_order *o, const struct queue_order_result *result);
void control_order_log(const struct control_order *o, const struct log *log);

#endif
