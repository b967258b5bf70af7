/*
 * scheduler_effect - what an operator's order does to an entry; see scheduler_operator.h
 *
 * What is asked of an entry that is busy is only noted; queue_effect_overrules() acts on it when
 * the entry comes to rest, whatever its run made of it. A message with several parts counts as
 * busy: it is noted at the first, all are collected, and the first acts on it when it is alone.
 */
#include "queue/scheduler_internal.h"

#include "base/clock.h"

#define BY_OPERATOR "by the operator"

static bool is_busy(const struct queue_entry *e)
{
    return queue_part_any_runs(e);
}

/* On hold, as its file says, while somebody is told why. */
static bool is_told_of(const struct queue_entry *e)
{
    return e->bounce_due && e->bounce_final;
}

static struct queue_order_state state_of(const struct queue_entry *e)
{
    struct queue_order_state m = {.queue = QUEUE_NAME_DEFERRED,
                                  .forced_expire = e->forced_expire,
                                  .hold_expired = e->hold_expired};

    if (e->state == QUEUE_HOLD || e->hold_asked || is_told_of(e))
        m.queue = QUEUE_NAME_HOLD;
    else if (is_busy(e))
        m.queue = QUEUE_NAME_ACTIVE;
    return m;
}

unsigned queue_effect_wanted(const struct queue_order_request *r, const struct queue_entry *e)
{
    struct queue_order_state m = state_of(e);

    if (r->order == QUEUE_ORDER_HOLD && is_told_of(e) && !e->hold_asked)
        m.queue = QUEUE_NAME_DEFERRED; /* it is about to leave it */
    if (e->deleted || e->state == QUEUE_GONE)
        return 0;
    if (e->decided && e->state != QUEUE_HOLD && r->order != QUEUE_ORDER_DELETE)
        return 0; /* delivered: only its file is to be removed */
    return queue_order_effect(r, &m);
}

/* ---- effects ---- */

/* As if it had just come, but for its results: what failed is tried again when its file says so,
 * maybe at another destination than the rest. */
static void begin_anew(struct scheduler *s, struct queue_entry *first)
{
    first->look = true;
    first->bounce_due = false;
    first->resume_ms = 0;
    for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
        e->attempts = 0;
        e->breaks = 0;
        e->destination_trouble = false;
        e->life_us = clock_wall_us();
    }
}

/* By a chore, since there may be many. */
static void expire(struct scheduler *s, struct queue_entry *e)
{
    queue_entry_wait(s, e, 0);
}

/* Off hold. */
static void unhold(struct scheduler *s, struct queue_entry *e, bool forced_expire)
{
    queue_entry_leave(s, e);
    begin_anew(s, e);
    e->decided = false;
    e->operator_needed = false;
    e->hold_expired = false;
    e->forced_expire = forced_expire;
    if (forced_expire)
        expire(s, e);
    else
        queue_entry_ready(s, e);
}

/* False: it is alone. */
static bool collect(struct scheduler *s, struct queue_entry *first)
{
    if (queue_part_alone(first))
        return false;
    queue_part_collect(s, first);
    return true;
}

static void apply_hold(struct scheduler *s, struct queue_entry *e)
{
    if (e->state == QUEUE_HOLD)
        return; /* a run that began meanwhile read it in the file */
    if (is_busy(e) || e->unsaved.len > 0 || !queue_part_alone(e)) {
        e->hold_asked = true;
        collect(s, e);
        queue_run_cancel(s, e, "placed on hold " BY_OPERATOR);
        return;
    }
    e->hold_expired = false;
    queue_entry_hold(s, e);
}

static void apply_release(struct scheduler *s, struct queue_entry *e)
{
    e->hold_asked = false;
    if (is_told_of(e) && is_busy(e))
        e->again = true;
    else if (e->state == QUEUE_HOLD || is_told_of(e))
        unhold(s, e, e->forced_expire && !e->hold_expired);
}

static void apply_requeue(struct scheduler *s, struct queue_entry *e)
{
    e->hold_asked = false;
    e->forced_expire = false;
    if (e->state == QUEUE_HOLD) {
        unhold(s, e, false);
        return;
    }
    begin_anew(s, e);
    e->again = is_busy(e);
    if (collect(s, e))
        return;
    if ((e->state == QUEUE_WAITING ||
         (e->state == QUEUE_READY && (e->look || !e->site->destination))) &&
        e->unsaved.len == 0) /* else as soon as they are written */
        queue_entry_ready(s, e);
}

/* While it is on hold, or under way, it is only noted. */
static void apply_expire(struct scheduler *s, struct queue_entry *e)
{
    e->forced_expire = true;
    if (collect(s, e))
        return;
    if (e->state == QUEUE_READY || e->state == QUEUE_WAITING)
        expire(s, e);
}

bool queue_effect_apply(struct scheduler *s, struct queue_entry *e, unsigned orders)
{
    if (e->deleted || e->state == QUEUE_GONE)
        return false;
    if (orders & QUEUE_ORDER_BIT(QUEUE_ORDER_EXPIRE))
        apply_expire(s, e);
    if (orders & QUEUE_ORDER_BIT(QUEUE_ORDER_HOLD))
        apply_hold(s, e);
    if (orders & QUEUE_ORDER_BIT(QUEUE_ORDER_REQUEUE))
        apply_requeue(s, e);
    if (orders & QUEUE_ORDER_BIT(QUEUE_ORDER_RELEASE))
        apply_release(s, e);
    queue_dispatch(s);
    return true;
}

/* ---- deletion ---- */

void queue_effect_remove(struct scheduler *s, struct queue_entry *e)
{
    e->deleted = true;
    e->removing = true;
    if (is_busy(e) || !queue_part_alone(e)) {
        collect(s, e);
        queue_run_cancel(s, e, "deleted " BY_OPERATOR);
        return;
    }
    queue_entry_leave(s, e);
    queue_held_drop(s, e);
    e->state = QUEUE_GONE;
}

void queue_effect_removed(struct scheduler *s, struct queue_entry *e, bool removed,
                          bool was_on_hold)
{
    bool gone = e->state == QUEUE_GONE;

    e->removing = false;
    if (removed && gone)
        queue_entry_free(s, e);
    if (removed) /* one that is under way goes when that ends */
        return;
    e->deleted = false;
    if (!gone)
        return;
    if (was_on_hold)
        queue_entry_hold(s, e);
    else if (e->unsaved.len > 0)
        queue_entry_wait(s, e, s->config->minimal_backoff_time);
    else
        queue_entry_ready(s, e);
    queue_dispatch(s);
}

/* ---- when an entry comes to rest ---- */

static void rest_deleted(struct scheduler *s, struct queue_entry *e)
{
    queue_entry_leave(s, e);
    queue_held_drop(s, e);
    if (e->removing) {
        e->state = QUEUE_GONE;
        return;
    }
    log_removed(s->log, e->id.text);
    queue_entry_free(s, e);
}

bool queue_effect_overrules(struct scheduler *s, struct queue_entry *e, enum queue_state next)
{
    bool hold = e->hold_asked;
    bool again = e->again;

    if (e->deleted) {
        rest_deleted(s, e);
        return true;
    }
    if (e->unsaved.len > 0 || (next == QUEUE_WAITING && e->decided))
        return false; /* for the disk: first what was found out must be safe */
    e->hold_asked = false;
    e->again = false;
    if (hold && next != QUEUE_HOLD) {
        queue_entry_hold(s, e);
        return true;
    }
    if (again && next != QUEUE_READY) {
        e->decided = false; /* its file says what is left to do */
        e->operator_needed = false;
        e->hold_expired = false;
        queue_entry_ready(s, e);
        return true;
    }
    return false;
}
