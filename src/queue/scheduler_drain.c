/* scheduler_drain - see scheduler_drain.h */
#include "queue/scheduler_drain.h"

#include "queue/scheduler_internal.h"

const struct destination *queue_drain_target(const struct scheduler *s, const struct destination *d,
                                             bool handed)
{
    return s->fallback && (handed || destination_is_down(d)) ? s->fallback : d;
}

void scheduler_hand_over(struct scheduler *s, struct destination *fallback)
{
    s->fallback = fallback;
    queue_dispatch(s);
}

void scheduler_drain_flush(struct scheduler *s)
{
    struct queue_entry *first, *next;

    HASH_ITER(hh, s->entries, first, next) {
        for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
            if (e->state != QUEUE_WAITING)
                continue;
            e->handed = s->fallback && !e->spurned;
            e->spurned = false;
        }
    }
    scheduler_flush(s, NULL);
}
