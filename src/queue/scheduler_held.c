/* scheduler_held - messages that are still in memory; see scheduler_internal.h */
#include "queue/scheduler_internal.h"

#include "base/clock.h"

#include <stdlib.h>

#define HELD_BYTES_MAX      (1u << 20) /* of bodies, all together */
#define HELD_RECIPIENTS_MAX 50
#define HELD_AGE_MS         1000

struct queue_held {
    struct envelope *envelope; /* owned */
    struct body *body;         /* owned; no file */
    uint64_t since_ms;
};

void queue_held_keep(struct scheduler *s, struct queue_entry *e, struct envelope **envelope,
                     struct body **body)
{
    size_t cap = (*body)->cap;

    if ((*body)->fd >= 0 || s->held_bytes + cap > HELD_BYTES_MAX ||
        (*envelope)->recipient_count > HELD_RECIPIENTS_MAX)
        return;
    e->held = malloc(sizeof *e->held);
    if (!e->held)
        return;
    *e->held = (struct queue_held){*envelope, *body, clock_mono_ms()};
    s->held_bytes += cap;
    *envelope = NULL;
    *body = NULL;
}

bool queue_held_take(struct scheduler *s, struct queue_entry *e, struct envelope **envelope_out,
                     struct body **body_out)
{
    if (e->held && clock_mono_ms() - e->held->since_ms > HELD_AGE_MS)
        queue_held_drop(s, e);
    if (!e->held)
        return false;
    s->held_bytes -= e->held->body->cap;
    *envelope_out = e->held->envelope;
    *body_out = e->held->body;
    free(e->held);
    e->held = NULL;
    return true;
}

void queue_held_drop(struct scheduler *s, struct queue_entry *e)
{
    if (!e->held)
        return;
    s->held_bytes -= e->held->body->cap;
    envelope_free(&e->held->envelope);
    body_free(&e->held->body);
    free(e->held);
    e->held = NULL;
}
