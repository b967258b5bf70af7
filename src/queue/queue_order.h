/*
 * queue_order - what an operator may order of queued messages (postsuper), in words and rules; pure
 *
 * The daemon carries an order out on its entries (scheduler_operator), the command on the files
 * when no daemon runs (spool_operator): both ask here what is to be done to a message as it is, so
 * that it makes no difference which of them it was.
 *
 * An order names queues as Postfix has them. A message here is in one of three: active (under
 * delivery), hold, or deferred (everything else); the other names are those of empty queues.
 *
 * On the control socket:  order = name SP queues SP ( "ALL" / id *( SP id ) )
 *                         queues = name *( "," name )
 */
#ifndef MXGATE_QUEUE_QUEUE_ORDER_H
#define MXGATE_QUEUE_QUEUE_ORDER_H

#include "base/queue_id.h"
#include "base/text.h"

/* In the order in which Postfix tells their totals. */
enum queue_order {
    QUEUE_ORDER_REQUEUE,
    QUEUE_ORDER_DELETE,
    QUEUE_ORDER_EXPIRE,
    QUEUE_ORDER_HOLD,
    QUEUE_ORDER_RELEASE,
    QUEUE_ORDER_EXPIRE_RELEASE, /* what is on hold is released, and expires */
    QUEUE_ORDER_COUNT
};
#define QUEUE_ORDER_BIT(order) (1u << (order))
#define QUEUE_ORDER_IDS_MAX    100 /* in one request */

enum queue_name {
    QUEUE_NAME_ACTIVE = 1,
    QUEUE_NAME_DEFERRED = 2,
    QUEUE_NAME_HOLD = 4,
    QUEUE_NAME_EMPTY = 8, /* incoming, maildrop, ...: names of Postfix's where we have nothing */
};
#define QUEUE_NAMES_ALL (QUEUE_NAME_ACTIVE | QUEUE_NAME_DEFERRED | QUEUE_NAME_HOLD)

/* The enum queue_name of a queue's name; 0 when Postfix has no such queue for messages. */
unsigned queue_name_parse(struct span name);
/* Its name on the control socket: "delete". */
const char *queue_order_name(enum queue_order order);
/* What was done to one message, "removed"; not of EXPIRE_RELEASE. */
const char *queue_order_done(enum queue_order order);
/* ... and to all, "Deleted". */
const char *queue_order_total(enum queue_order order);
/* The queues where Postfix looks for messages for this order unless others are named. */
unsigned queue_order_queues(enum queue_order order);

struct queue_order_request {
    enum queue_order order;
    unsigned queues; /* enum queue_name bits */
    bool all;
    struct span ids; /* words; points into what was parsed */
};

/* False when it is no order, or has more than QUEUE_ORDER_IDS_MAX ids. */
bool queue_order_parse(struct span argument, struct queue_order_request *out);
/* Takes the next id off r->ids; false at the end. */
bool queue_order_next(struct queue_order_request *r, struct queue_id *id_out);
/* Writes what comes before the ids or "ALL", blank included. */
void queue_order_format(struct text *t, enum queue_order order, unsigned queues);

/* A message as far as orders care. */
struct queue_order_state {
    enum queue_name queue;
    bool forced_expire;
    bool hold_expired; /* it is on hold because it has expired */
};
/* QUEUE_ORDER_BIT of what is to be done to it; 0: nothing, it is not there or as ordered already.
 */
unsigned queue_order_effect(const struct queue_order_request *r, const struct queue_order_state *m);

#endif
