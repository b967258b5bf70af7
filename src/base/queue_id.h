/*
 * queue_id - names for messages: 16 upper-case hexadecimal digits that sort by time
 *
 * 52 bits of microseconds since 1970 and 12 bits of a sequence within the microsecond, so ids are
 * unique in a process, and across restarts as long as queue_id_seen() was told of every id in the
 * spool: the generator never goes below what it has seen, even when the wall clock steps back.
 */
#ifndef MXGATE_BASE_QUEUE_ID_H
#define MXGATE_BASE_QUEUE_ID_H

#include "base/span.h"

#define QUEUE_ID_LEN           16
#define QUEUE_ID_PLAUSIBLE_MAX 100

struct queue_id {
    char text[QUEUE_ID_LEN + 1]; /* NUL-terminated; "" is no id */
};

struct queue_id_source {
    uint64_t last;
};

void queue_id_next(struct queue_id_source *source, int64_t wall_us, struct queue_id *id_out);
void queue_id_seen(struct queue_id_source *source, const struct queue_id *id);
/* True when s is exactly an id as made here. */
bool queue_id_parse(struct span s, struct queue_id *id_out);
/* What Postfix would take for an id of its own: letters, digits and '_', 100 at most. */
bool queue_id_plausible(struct span s);

#endif
