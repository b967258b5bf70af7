/* scheduler_parts - a message and its destinations; see scheduler_internal.h */
#include "queue/scheduler_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- the ring ---- */

struct queue_entry *queue_part_next(const struct queue_entry *from, const struct queue_entry *e)
{
    return e->part == from ? NULL : e->part;
}

bool queue_part_alone(const struct queue_entry *e)
{
    return e->part == e;
}

bool queue_part_moves(const struct queue_entry *e)
{
    return e->unrouted || e->look;
}

static bool is_busy(const struct queue_entry *e)
{
    return e->state == QUEUE_RUNNING || e->state == QUEUE_CLAIMED || e->unsaved.len > 0;
}

bool queue_part_any_runs(const struct queue_entry *e)
{
    for (const struct queue_entry *p = e; p; p = queue_part_next(e, p)) {
        if (p->state == QUEUE_RUNNING || p->state == QUEUE_CLAIMED)
            return true;
    }
    return false;
}

bool queue_part_others_busy(const struct queue_entry *e)
{
    for (const struct queue_entry *p = e->part; p != e; p = p->part) {
        if (is_busy(p))
            return true;
    }
    return false;
}

bool queue_part_others_left(const struct queue_entry *e)
{
    for (const struct queue_entry *p = e->part; p != e; p = p->part) {
        if (p->state != QUEUE_DONE)
            return true;
    }
    return false;
}

struct queue_entry *queue_part_first(struct queue_entry *e)
{
    while (!e->hh.tbl)
        e = e->part;
    return e;
}

static void free_part(struct scheduler *s, struct queue_entry *e)
{
    records_deinit(&e->unsaved);
    s->tellers -= e->teller;
    s->part_count--;
    free(e);
}

/* Frees the others, none of which may be under way; what they knew of the message as a whole is
 * added to `first`. */
static void merge(struct scheduler *s, struct queue_entry *first)
{
    queue_entry_leave(s, first); /* its list depends on what is changed here */
    while (first->part && first->part != first) {
        struct queue_entry *p = first->part;

        first->part = p->part;
        queue_entry_leave(s, p);
        first->unrouted = first->unrouted || p->unrouted;
        first->look = first->look || p->look;
        first->fresh = first->fresh && (p->fresh || p->teller);
        first->domains |= p->domains;
        if (p->attempts > first->attempts)
            first->attempts = p->attempts;
        free_part(s, p);
    }
}

struct queue_entry *queue_part_merge(struct scheduler *s, struct queue_entry *e)
{
    struct queue_entry *first = queue_part_first(e);

    merge(s, first);
    first->look = true;
    return first;
}

void queue_part_free_all(struct scheduler *s, struct queue_entry *e)
{
    struct queue_entry *first = queue_part_first(e);

    merge(s, first);
    queue_entry_free(s, first);
}

/* ---- where to ---- */

/* Two bits of 64: see `domains` in struct queue_entry. */
static uint64_t domain_bits(struct span domain)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < domain.len; i++)
        hash = (hash ^ (unsigned char)ascii_lower(domain.ptr[i])) * 1099511628211u;
    return UINT64_C(1) << (hash >> 58) | UINT64_C(1) << (hash >> 52 & 63);
}

bool queue_part_may_have(const struct queue_entry *e, struct span domain)
{
    uint64_t bits = domain_bits(domain);

    return (e->domains & bits) == bits;
}

struct queue_entry *queue_part_add(struct scheduler *s, struct queue_entry *first)
{
    struct queue_entry *p;

    if (!due_heap_reserve(&s->waiting, s->part_count + 1))
        return NULL;
    p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->id = first->id;
    p->arrival_us = first->arrival_us;
    p->life_us = first->life_us;
    p->sender = first->sender; /* borrowed: the first one goes last */
    p->state = QUEUE_CLAIMED;
    p->fresh = first->fresh;
    p->attempts = first->attempts;
    p->part = first->part;
    first->part = p;
    s->part_count++;
    return p;
}

void queue_part_remove(struct scheduler *s, struct queue_entry *e)
{
    struct queue_entry *before = e;

    while (before->part != e)
        before = before->part;
    before->part = e->part;
    free_part(s, e);
}

static struct queue_entry *part_for(struct scheduler *s, struct queue_entry *first,
                                    struct destination *d)
{
    struct queue_entry *p = first;

    if (!first->destination)
        first->destination = d;
    while (p && p->destination != d)
        p = queue_part_next(first, p);
    if (p)
        return p;
    p = queue_part_add(s, first);
    if (p)
        p->destination = d;
    return p;
}

bool queue_part_route(struct scheduler *s, struct queue_entry *first,
                      const struct envelope *envelope)
{
    first->destination = NULL;
    first->domains = 0;
    first->unrouted = first->look = false;
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        const struct recipient *r = &envelope->recipients[i];
        struct queue_entry *p;

        if (r->state != RECIPIENT_PENDING)
            continue;
        p = part_for(s, first,
                     relay_destination(s->relay, span_of(envelope->sender), span_of(r->address)));
        if (!p) { /* no memory: it is routed later */
            merge(s, first);
            first->look = true;
            return false;
        }
        p->domains |= domain_bits(recipient_domain(r));
    }
    if (!first->destination) /* nobody is pending: it is never asked */
        first->destination = &s->relay->dead_ends[RELAY_NO_WAY].destination;
    return true;
}

void queue_part_mark_own(const struct scheduler *s, const struct queue_entry *e,
                         struct envelope *envelope)
{
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        struct recipient *r = &envelope->recipients[i];

        if (r->state == RECIPIENT_PENDING &&
            relay_destination(s->relay, span_of(envelope->sender), span_of(r->address)) !=
                e->destination)
            r->state = RECIPIENT_ELSEWHERE;
    }
}

struct queue_entry *queue_part_gather(struct scheduler *s, struct queue_entry *e)
{
    struct queue_entry *first = queue_part_first(e);
    bool quiet = !queue_part_others_busy(e);

    for (struct queue_entry *p = e; p; p = queue_part_next(e, p)) {
        p->unrouted = p->unrouted || e->unrouted;
        p->look = p->look || e->look;
        if (p != e && is_busy(p))
            continue;
        queue_entry_leave(s, p);
        queue_held_drop(s, p);
        p->state = QUEUE_PARKED;
    }
    if (!quiet)
        return NULL; /* whatever is busy comes here when it ends */
    merge(s, first);
    return first;
}

void queue_part_collect(struct scheduler *s, struct queue_entry *first)
{
    struct queue_entry *at_rest = NULL;

    for (struct queue_entry *p = first; p; p = queue_part_next(first, p)) {
        p->look = true;
        if (!is_busy(p))
            at_rest = p;
    }
    if (at_rest)
        queue_entry_ready(s, at_rest);
}

/* ---- a reload ---- */

static void reroute(struct scheduler *s, struct queue_entry *first)
{
    struct queue_entry *at_rest = NULL;

    if (first->state == QUEUE_WAITING && queue_part_alone(first) && !first->destination->dead_end)
        first->resume_ms = first->due.due_ms;
    for (struct queue_entry *p = first; p; p = queue_part_next(first, p)) {
        p->unrouted = true;
        if (!is_busy(p) && p->state != QUEUE_HOLD && p->state != QUEUE_GONE &&
            p->state != QUEUE_DONE && !p->decided)
            at_rest = p;
    }
    if (at_rest)
        queue_entry_ready(s, at_rest);
}

void queue_part_reroute_all(struct scheduler *s)
{
    struct queue_entry *first, *next;

    if (s->generation == s->relay->generation)
        return;
    s->generation = s->relay->generation;
    HASH_ITER(hh, s->entries, first, next)
        reroute(s, first);
}
