/* scheduler_drain - see scheduler_drain.h */
#include "queue/scheduler_drain.h"

#include "queue/scheduler_internal.h"

struct destination *queue_drain_target(const struct scheduler *s, struct destination *d,
                                       bool handed)
{
    bool away = handed || (s->fallback && (destination_is_down(d) ||
                                           destination_stands_still(d, SCHEDULER_STILL_MS)));

    return s->fallback && away ? s->fallback : d;
}

unsigned queue_drain_running(const struct scheduler *s, const struct queue_site *site)
{
    const struct queue_run *run;
    unsigned count = 0;

    DL_FOREACH(s->runs, run)
        count += run->entry && run->entry->state == QUEUE_RUNNING && run->entry->site == site &&
                 run->to != site->destination;
    return count;
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
