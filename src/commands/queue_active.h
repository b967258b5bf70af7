/*
 * queue_active - which messages are under delivery at this moment, by the daemon's word
 */
#ifndef MXGATE_COMMANDS_QUEUE_ACTIVE_H
#define MXGATE_COMMANDS_QUEUE_ACTIVE_H

#include "base/queue_id.h"

struct queue_active {
    struct queue_id *ids; /* owned; sorted */
    size_t count;
    size_t cap;
};

/* 0, or why the daemon could not be asked: then there are none. */
int queue_active_ask(struct queue_active *a, const char *socket);
bool queue_active_has(const struct queue_active *a, const struct queue_id *id);
void queue_active_deinit(struct queue_active *a);

#endif
