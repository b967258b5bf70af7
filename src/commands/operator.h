/*
 * operator - carries an operator's orders to where they are done: to the daemon, or, when none
 * runs, to the spool itself
 *
 * Without a daemon the spool's lock is held from operator_open() to operator_close(), so that none
 * can start meanwhile. A daemon that is just starting, or stopping, has the lock but no socket: it
 * is waited for, OPERATOR_PATIENCE_MS at most.
 *
 * Fails: exit codes, after telling; 1 as Postfix's postsuper does. Each thing that was done to a
 * message is told on stderr, "postsuper: ID: removed"; with ALL only their number is known.
 */
#ifndef MXGATE_COMMANDS_OPERATOR_H
#define MXGATE_COMMANDS_OPERATOR_H

#include "config/config.h"
#include "control/control_client.h"
#include "queue/queue_order.h"
#include "queue/spool.h"

#define OPERATOR_PATIENCE_MS 5000

struct operator_link {
    const char *name; /* of the command */
    bool live;        /* the daemon does it */
    struct control_client client;
    struct spool spool;
    uint64_t totals[QUEUE_ORDER_COUNT];
    bool failed; /* something could not be done; it was told */
};

/* 0, or the exit code. */
int operator_open(struct operator_link *o, const char *name, const struct config *config);
/* To these messages (at most QUEUE_ORDER_IDS_MAX), or, with a count of 0, to all. 0, or the exit
 * code: then nothing more can be ordered. */
int operator_order(struct operator_link *o, enum queue_order order, unsigned queues,
                   const struct queue_id *ids, size_t count);
void operator_close(struct operator_link *o);

#endif
