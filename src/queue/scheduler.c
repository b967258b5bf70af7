/* scheduler - see scheduler.h; one run of one message is in scheduler_run.c */
#include "message/bounce.h"
#include "queue/scheduler_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define OLD_EVERY        4
#define EXPIRY_CHECK_MS  60000
#define EXPIRY_CHECK_MIN 500
#define CROWDED_MS       1000

static void arm_due_timer(struct scheduler *s);

/* ---- sites ---- */

static struct queue_site *site_of(struct scheduler *s, struct destination *d)
{
    struct queue_site *site;

    if (d && d->site)
        return d->site;
    if (!d && s->chores)
        return s->chores;
    site = calloc(1, sizeof *site);
    if (!site)
        return NULL;
    site->destination = d;
    if (d)
        d->site = site;
    else
        s->chores = site;
    DL_APPEND(s->sites, site);
    return site;
}

static void site_free(struct scheduler *s, struct queue_site *site)
{
    DL_DELETE(s->sites, site);
    if (site->destination)
        site->destination->site = NULL;
    free(site);
}

/* Destinations that were made for mail go when nothing of it is left here. */
static void sweep(struct scheduler *s)
{
    struct queue_entry *first, *next;
    struct queue_site *site, *site_next;

    relay_sweep_begin(s->relay);
    HASH_ITER(hh, s->entries, first, next) {
        for (struct queue_entry *e = first; e; e = queue_part_next(first, e))
            e->destination->wanted = true; /* unrouted or not */
    }
    DL_FOREACH_SAFE(s->sites, site, site_next) {
        const struct destination *d = site->destination;

        if (d && d->on_demand && !d->wanted && site->queued == 0 && site->running == 0)
            site_free(s, site);
    }
    relay_sweep(s->relay);
}

static struct queue_entry *site_take(struct queue_site *site)
{
    struct queue_entry *e = site->fresh ? site->fresh : site->old;

    if (site->old && ++site->picks % OLD_EVERY == 0)
        e = site->old;
    return e;
}

/* ---- entries ---- */

void queue_entry_leave(struct scheduler *s, struct queue_entry *e)
{
    switch (e->state) {
    case QUEUE_READY:
        if (e->fresh)
            DL_DELETE(e->site->fresh, e);
        else
            DL_DELETE(e->site->old, e);
        e->site->queued--;
        break;
    case QUEUE_WAITING:
        due_heap_remove(&s->waiting, &e->due);
        break;
    case QUEUE_HOLD:
        s->on_hold--;
        if (e->operator_needed)
            s->operator_needed--;
        break;
    case QUEUE_RUNNING:
    case QUEUE_CLAIMED:
    case QUEUE_GONE:
    case QUEUE_PARKED:
    case QUEUE_DONE:
        break;
    }
    e->state = QUEUE_CLAIMED; /* in no list */
}

/*
 * The first of a message that is to be gathered; NULL: something of it is under way, or it is
 * deleted. One that has results to write is let be: they come first.
 */
static struct queue_entry *gathered(struct scheduler *s, struct queue_entry *e)
{
    bool alone = queue_part_alone(e);

    if (e->unsaved.len > 0)
        return e;
    e = queue_part_gather(s, e);
    if (!e || alone)
        return e;
    if (e->deleted && queue_effect_overrules(s, e, QUEUE_READY))
        return NULL;
    e->again = false; /* now it is; and whether anything is left to hold its file says */
    return e;
}

/* What is decided, could not be written, or is to be looked at needs no destination. */
static struct destination *next_of(const struct queue_entry *e)
{
    bool chore =
        e->unsaved.len > 0 || e->decided || e->bounce_due || e->teller || queue_part_moves(e);

    return chore ? NULL : e->destination;
}

void queue_entry_ready(struct scheduler *s, struct queue_entry *e)
{
    if (queue_part_alone(e) && queue_effect_overrules(s, e, QUEUE_READY))
        return;
    queue_entry_leave(s, e);
    if (queue_part_moves(e)) {
        e = gathered(s, e);
        if (!e)
            return;
    }
    e->site = site_of(s, next_of(e));
    if (!e->site) { /* memory is out: later */
        queue_entry_wait(s, e, s->config->minimal_backoff_time);
        return;
    }
    e->state = QUEUE_READY;
    e->site->queued++;
    if (e->fresh)
        DL_APPEND(e->site->fresh, e);
    else
        DL_APPEND(e->site->old, e);
}

/* There may be a way by now, or room. */
void queue_entry_due(struct scheduler *s, struct queue_entry *e)
{
    e->unrouted = e->unrouted || e->destination->dead_end;
    queue_entry_ready(s, e);
}

void queue_entry_wait(struct scheduler *s, struct queue_entry *e, uint64_t delay_ms)
{
    if (queue_part_alone(e) && queue_effect_overrules(s, e, QUEUE_WAITING))
        return;
    queue_entry_leave(s, e);
    queue_held_drop(s, e);
    e->state = QUEUE_WAITING;
    due_heap_add(&s->waiting, &e->due, clock_mono_ms() + delay_ms); /* room: scheduler_has_room */
    arm_due_timer(s);
}

void queue_entry_bounce(struct scheduler *s, struct queue_entry *e, bool on_hold)
{
    e->decided = false; /* there is something to do for it yet */
    e->bounce_due = true;
    e->bounce_final = on_hold;
    queue_entry_ready(s, e);
}

/* What is on hold stays until somebody decides: he is told before it stops the mail. */
static void tell_of_held(const struct scheduler *s)
{
    uint64_t limit = s->config->queue_message_limit;

    if (s->on_hold == limit)
        log_warning(s->log, "qmgr",
                    "%u messages are on hold, an operator must decide about them (mailq shows "
                    "them); from %ju on no mail is taken",
                    s->on_hold, (uintmax_t)(SCHEDULER_HELD_TIMES * limit));
    else if (s->on_hold == SCHEDULER_HELD_TIMES * limit)
        log_error(s->log, "qmgr",
                  "%u messages are on hold: no mail is taken until an operator has decided about "
                  "some of them (mailq shows them)",
                  s->on_hold);
}

void queue_entry_hold(struct scheduler *s, struct queue_entry *e)
{
    if (queue_effect_overrules(s, e, QUEUE_HOLD))
        return;
    queue_entry_leave(s, e);
    queue_held_drop(s, e);
    e->bounce_due = false;
    /* off hold it is routed anew (unhold): no domain's destination is kept for it meanwhile */
    e->destination = &s->relay->dead_ends[RELAY_NO_WAY].destination;
    e->state = QUEUE_HOLD;
    s->on_hold++;
    if (e->operator_needed)
        s->operator_needed++;
    tell_of_held(s);
}

void queue_entry_free(struct scheduler *s, struct queue_entry *e)
{
    queue_entry_leave(s, e);
    HASH_DEL(s->entries, e); // NOLINT(clang-analyzer-*): it does not follow uthash's list
    s->part_count--;
    records_deinit(&e->unsaved);
    queue_held_drop(s, e);
    free(e->sender);
    free(e);
}

bool queue_entry_expired(const struct scheduler *s, const struct queue_entry *e)
{
    int64_t age_us = clock_wall_us() - e->life_us;
    uint64_t lifetime =
        e->sender[0] ? s->config->maximal_queue_lifetime : s->config->bounce_queue_lifetime;

    return e->forced_expire || age_us / 1000 >= (int64_t)lifetime;
}

struct queue_entry *queue_entry_find(const struct scheduler *s, const struct queue_id *id)
{
    struct queue_entry *e = NULL;

    HASH_FIND(hh, s->entries, id->text, QUEUE_ID_LEN, e);
    return e;
}

/* The first of its parts; the others are there as well. */
static struct queue_entry *entry_new(struct scheduler *s, const struct envelope *envelope)
{
    struct queue_entry *e;

    if (!due_heap_reserve(&s->waiting, s->part_count + 1))
        return NULL;
    e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->sender = strdup(envelope->sender);
    if (!e->sender) {
        free(e);
        return NULL;
    }
    e->id = envelope->id;
    e->arrival_us = envelope->arrival_us;
    e->life_us = envelope->arrival_us;
    e->state = QUEUE_CLAIMED;
    e->part = e;
    HASH_ADD(hh, s->entries, id.text, QUEUE_ID_LEN, e);
    if (!queue_entry_find(s, &e->id)) { /* the hash could not grow */
        free(e->sender);
        free(e);
        return NULL;
    }
    s->part_count++;
    queue_part_route(s, e, envelope); /* when memory is out: later */
    return e;
}

/* ---- when ---- */

static bool has_place(const struct scheduler *s, const struct queue_site *site)
{
    const struct destination *to;
    unsigned running;

    if (s->stopping)
        return false;
    if (!site->destination)
        return site->running < QUEUE_CHORES_MAX;
    if (site->destination->on_demand && s->direct_running >= s->relay->direct_deliveries)
        return false;
    to = queue_drain_target(s, site->destination, false);
    /* those that stand still with its own destination take none of the fallback's places */
    running = to == site->destination ? site->running : queue_drain_running(s, site);
    return (!destination_is_down(to) || to->dead_end) &&
           running < destination_sessions_limit(to) + destination_stale(to);
}

static bool is_direct(const struct queue_site *site)
{
    return site->destination && site->destination->on_demand;
}

static void take_place(struct scheduler *s, struct queue_site *site, struct queue_entry *e)
{
    e->state = QUEUE_RUNNING;
    e->site = site;
    site->running++;
    s->placed += site->destination != NULL;
    s->direct_running += is_direct(site);
}

/* Those that share places take turns: queue_dispatch() begins with whoever left one longest ago. */
void queue_place_leave(struct scheduler *s, struct queue_site *site)
{
    site->running--;
    s->placed -= site->destination != NULL;
    if (!is_direct(site))
        return;
    s->direct_running--;
    DL_DELETE(s->sites, site);
    DL_APPEND(s->sites, site);
}

/* Deliveries do not count: they may all stand still. */
static bool is_crowded(const struct scheduler *s)
{
    return s->run_count - s->placed >= QUEUE_CHORES_MAX;
}

/* What was found out and could not be written is tried once more before the end, a few at a time:
 * the next start would deliver it again. */
static void save_before_stop(struct scheduler *s)
{
    struct queue_entry *first, *next;

    HASH_ITER(hh, s->entries, first, next) {
        for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
            bool at_rest = e->state == QUEUE_WAITING || e->state == QUEUE_READY;

            if (is_crowded(s))
                return;
            if (!at_rest || e->unsaved.len == 0)
                continue;
            queue_entry_leave(s, e);
            queue_run_start(s, e);
        }
    }
}

void queue_dispatch(struct scheduler *s)
{
    struct queue_site *site;

    if (s->stopping && s->run_count == 0)
        save_before_stop(s);
    DL_FOREACH(s->sites, site) {
        while ((site->fresh || site->old) && has_place(s, site)) {
            struct queue_entry *e = site_take(site);

            queue_entry_leave(s, e);
            take_place(s, site, e);
            queue_run_start(s, e);
        }
    }
}

/* A chore needs no destination: what is decided is removed, what could not be written is tried
 * again, what is to expire does. */
static bool start_chore(struct scheduler *s, struct queue_entry *e)
{
    bool to_run = e->decided || e->bounce_due || e->teller || e->unsaved.len > 0;

    if (!to_run && !e->forced_expire)
        return false;
    queue_entry_leave(s, e);
    if (is_crowded(s))
        queue_entry_wait(s, e, CROWDED_MS);
    else if (to_run)
        queue_run_start(s, e);
    else
        queue_run_expire(s, e);
    return true;
}

static void on_due(uv_timer_t *timer)
{
    struct scheduler *s = timer->data;
    uint64_t now = clock_mono_ms();
    struct due_item *item;

    while ((item = due_heap_first(&s->waiting)) && item->due_ms <= now) {
        struct queue_entry *e = (struct queue_entry *)item;

        if (!start_chore(s, e))
            queue_entry_due(s, e);
    }
    arm_due_timer(s);
    queue_dispatch(s);
}

static void arm_due_timer(struct scheduler *s)
{
    struct due_item *first = due_heap_first(&s->waiting);
    uint64_t now = clock_mono_ms();

    if (!first || s->stopping)
        uv_timer_stop(&s->due_timer);
    else
        uv_timer_start(&s->due_timer, on_due, first->due_ms > now ? first->due_ms - now : 0, 0);
}

void scheduler_on_up(void *ctx, struct upstream *u)
{
    struct scheduler *s = ctx;
    struct queue_entry *first, *next;

    HASH_ITER(hh, s->entries, first, next) {
        for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
            if (e->state == QUEUE_WAITING && e->destination_trouble && !queue_part_moves(e) &&
                e->breaks < QUEUE_BREAKS_MAX && destination_has(e->destination, u))
                queue_entry_ready(s, e);
        }
    }
    queue_dispatch(s);
}

bool queue_entry_waits(const struct queue_entry *e)
{
    return e->state == QUEUE_WAITING || (e->state == QUEUE_READY && e->site->destination &&
                                         destination_is_down(e->site->destination));
}

/* A part that waits, of a message whose time is over; one that is under way looks by itself. */
static struct queue_entry *expired_part(const struct scheduler *s, struct queue_entry *first)
{
    if (first->decided || first->bounce_due || queue_part_others_busy(first) ||
        !queue_entry_expired(s, first))
        return NULL;
    for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
        if (queue_entry_waits(e))
            return e;
    }
    return NULL;
}

/* Messages that wait are not looked at by any run; their age is checked here. */
static void on_expiry_check(uv_timer_t *timer)
{
    struct scheduler *s = timer->data;
    struct queue_entry *first, *next;

    if (!s->stopping)
        sweep(s);
    HASH_ITER(hh, s->entries, first, next) {
        struct queue_entry *e = s->stopping ? NULL : expired_part(s, first);
        bool crowded = e ? is_crowded(s) : !queue_tell_check(s, first);

        if (crowded) { /* a whole queue may expire, or be late, together */
            uv_timer_start(timer, on_expiry_check, EXPIRY_CHECK_MIN, uv_timer_get_repeat(timer));
            break;
        }
        if (!e)
            continue;
        queue_entry_leave(s, e);
        queue_run_expire(s, e);
    }
    queue_dispatch(s);
}

static void arm_expiry_timer(struct scheduler *s)
{
    uint64_t mail = s->config->maximal_queue_lifetime;
    uint64_t bounces = s->config->bounce_queue_lifetime;
    uint64_t late = s->config->delay_warning_time;
    uint64_t every = (mail < bounces ? mail : bounces) / 10;

    if (late > 0 && late / 10 < every)
        every = late / 10;
    every = every < EXPIRY_CHECK_MIN ? EXPIRY_CHECK_MIN : every;
    every = every > EXPIRY_CHECK_MS ? EXPIRY_CHECK_MS : every;
    uv_timer_start(&s->expiry_timer, on_expiry_check, every, every);
}

/* ---- what comes in ---- */

bool scheduler_has_room(struct scheduler *s)
{
    unsigned count = HASH_COUNT(s->entries);
    unsigned waiting = count > s->on_hold ? count - s->on_hold : 0;
    uint64_t limit = s->config->queue_message_limit;

    return waiting < limit && s->on_hold < SCHEDULER_HELD_TIMES * limit &&
           due_heap_reserve(&s->waiting, s->part_count + 1);
}

static struct queue_entry *entry_add(struct scheduler *s, const struct envelope *envelope)
{
    struct queue_entry *e = entry_new(s, envelope);

    if (!e)
        log_error(s->log, "qmgr",
                  "%s: out of memory: the message stays in the spool until a restart",
                  envelope->id.text);
    return e;
}

bool scheduler_add_fresh(struct scheduler *s, struct envelope **envelope, struct body **body)
{
    struct queue_entry *first = entry_add(s, *envelope);

    if (!first)
        return false;
    if (queue_part_alone(first) && !first->look)
        queue_held_keep(s, first, envelope, body);
    for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
        e->fresh = true;
        queue_entry_ready(s, e);
    }
    queue_dispatch(s);
    return true;
}

static void begin_part(struct scheduler *s, struct queue_entry *e, enum queue_origin origin)
{
    const struct config *c = s->config;

    e->fresh = origin == QUEUE_FROM_FRESH;
    e->attempts = e->fresh || origin == QUEUE_FROM_CLAIMED ? 0 : 1;
    e->destination_trouble = origin == QUEUE_FROM_TROUBLE;
    if (origin == QUEUE_FROM_LATER || (origin == QUEUE_FROM_TROUBLE && e->destination->dead_end))
        queue_entry_wait(s, e,
                         retry_delay_ms(1, c->minimal_backoff_time, c->maximal_backoff_time,
                                        (uint32_t)random()));
    else if (origin != QUEUE_FROM_CLAIMED)
        queue_entry_ready(s, e);
}

bool scheduler_add_parts(struct scheduler *s, const struct envelope *envelope,
                         enum queue_origin (*origin)(void *ctx, const struct destination *d),
                         void *ctx)
{
    struct queue_entry *first = entry_add(s, envelope);

    if (!first)
        return false;
    if (envelope_pending(envelope) == 0 && origin(ctx, NULL) != QUEUE_FROM_CLAIMED) {
        first->attempts = 1;
        queue_entry_bounce(s, first, envelope_untold(envelope) > 0);
        queue_dispatch(s);
        return true;
    }
    for (struct queue_entry *e = first; e; e = queue_part_next(first, e))
        begin_part(s, e, origin(ctx, e->look ? NULL : e->destination));
    if (bounce_count(BOUNCE_FAILURE, false, envelope) > 0)
        queue_tell_failure(s, first);
    queue_dispatch(s);
    return true;
}

static enum queue_origin same_origin(void *ctx, const struct destination *d)
{
    const enum queue_origin *origin = ctx;

    (void)d;
    return *origin;
}

bool scheduler_add(struct scheduler *s, const struct envelope *envelope, enum queue_origin origin)
{
    return scheduler_add_parts(s, envelope, same_origin, &origin);
}

void scheduler_recover(struct scheduler *s, struct spool_file *f)
{
    struct queue_entry *first = entry_add(s, f->envelope);
    size_t failed = envelope_untold(f->envelope);
    bool due;

    if (!first)
        return;
    queue_id_seen(&s->ids, &f->envelope->id);
    if (f->report_id.text[0] && !queue_intent_add(s, f))
        log_error(s->log, "qmgr", "%s: out of memory: its sender may be told twice",
                  f->envelope->id.text);
    first->decided = envelope_pending(f->envelope) == 0;
    first->forced_expire = f->forced_expire;
    first->delay_done = f->delayed;
    if (f->released_s * 1000000 > first->life_us)
        first->life_us = f->released_s * 1000000;
    for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
        e->fresh = f->attempts == 0;
        e->attempts = f->attempts;
        e->life_us = first->life_us;
    }
    if ((f->on_hold || f->forced_expire) && !queue_part_alone(first))
        first = queue_part_merge(s, first);
    due = queue_bounce_is_due(f, f->envelope);
    if (f->on_hold || (first->decided && due)) {
        first->hold_expired = strcmp(f->hold_why, SPOOL_WHY_EXPIRED) == 0;
        /* what an operator put on hold he knows of, whatever failed of it */
        first->operator_needed =
            first->hold_expired ||
            (failed > 0 && (!f->on_hold || strcmp(f->hold_why, SPOOL_WHY_FAILED) == 0));
        if (due)
            queue_entry_bounce(s, first, f->on_hold || failed > 0);
        else
            queue_entry_hold(s, first);
        return;
    }
    if (first->forced_expire && !first->decided) {
        queue_entry_wait(s, first, 0);
        return;
    }
    for (struct queue_entry *e = first; e; e = queue_part_next(first, e))
        queue_entry_ready(s, e); /* decided: only its file is left over from a crash */
    if (bounce_count(BOUNCE_FAILURE, false, f->envelope) > 0)
        queue_tell_failure(s, first);
}

/* All of it at once. */
void scheduler_settle(struct scheduler *s, const struct envelope *envelope, struct records *records,
                      bool trouble, bool broken)
{
    struct queue_settlement settlement = {.envelope = envelope,
                                          .records = records,
                                          .pending = envelope_pending(envelope),
                                          .trouble = trouble,
                                          .broken = broken};

    scheduler_settle_part(s, &settlement);
}

void scheduler_settle_part(struct scheduler *s, const struct queue_settlement *settlement)
{
    struct queue_entry *first = queue_entry_find(s, &settlement->envelope->id);
    struct queue_entry *e = first;

    while (e && (e->state != QUEUE_CLAIMED ||
                 (settlement->destination && e->destination != settlement->destination)))
        e = queue_part_next(first, e);
    if (!e) {
        records_deinit(settlement->records);
        return;
    }
    if (!settlement->destination && !queue_part_alone(e))
        e = queue_part_merge(s, e);
    queue_run_settle(s, e, settlement);
}

/* ---- the operator ---- */

/* What is handed over while a way out is down is not kept waiting for what that says now. */
static void ask_again(const struct scheduler *s, const struct destination *d)
{
    destination_probe(d, s->fallback == NULL);
}

/* Whether any part of it is due now; site: only those that may have this domain. */
static bool flush_entry(struct scheduler *s, struct queue_entry *first, const char *site)
{
    struct queue_entry *lost = NULL;
    bool due = false;

    for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
        if (site && !queue_part_may_have(e, span_of(site)))
            continue;
        e->resume_ms = 0;
        if (e->state == QUEUE_WAITING && !e->forced_expire &&
            (!queue_part_moves(e) || queue_part_alone(e) || e->unsaved.len > 0)) {
            e->breaks = 0;
            if (e->destination->dead_end)
                lost = e;
            else
                queue_entry_ready(s, e);
        }
        if (e->state != QUEUE_READY)
            continue;
        due = true;
        if (e->site->destination)
            ask_again(s, e->site->destination);
    }
    if (lost) /* it is gathered, and parts may be gone */
        queue_entry_due(s, lost);
    return due || lost;
}

size_t scheduler_flush(struct scheduler *s, const struct queue_id *id)
{
    struct queue_entry *e = id ? queue_entry_find(s, id) : NULL;
    struct queue_entry *next;
    const struct queue_site *site;
    size_t count = 0;

    if (e)
        count = flush_entry(s, e, NULL) ? 1 : 0;
    if (!id) {
        HASH_ITER(hh, s->entries, e, next)
            count += flush_entry(s, e, NULL) ? 1 : 0;
    }
    DL_FOREACH(s->sites, site) {
        if (!id && site->destination)
            ask_again(s, site->destination);
    }
    queue_dispatch(s);
    return count;
}

size_t scheduler_flush_site(struct scheduler *s, const char *site)
{
    struct queue_entry *e, *next;
    size_t count = 0;

    HASH_ITER(hh, s->entries, e, next)
        count += flush_entry(s, e, site) ? 1 : 0;
    queue_dispatch(s);
    return count;
}

size_t scheduler_active(const struct scheduler *s, struct queue_id *ids, size_t cap)
{
    const struct queue_run *run;
    size_t count = 0;

    DL_FOREACH(s->runs, run) {
        if (run->entry && count < cap)
            ids[count++] = run->entry->id;
    }
    return count;
}

/* ---- start and stop ---- */

void scheduler_init(struct scheduler *s, uv_loop_t *loop, struct spool *spool, struct relay *relay,
                    struct body_place *place, struct config *config, const struct log *log)
{
    *s = (struct scheduler){.loop = loop,
                            .spool = spool,
                            .relay = relay,
                            .place = place,
                            .config = config,
                            .log = log,
                            .generation = relay->generation,
                            .holds = 2};
    uv_timer_init(loop, &s->due_timer);
    uv_timer_init(loop, &s->expiry_timer);
    s->due_timer.data = s->expiry_timer.data = s;
    arm_expiry_timer(s);
}

/* Takes new settings; messages that wait go where the settings now say. */
void scheduler_set_config(struct scheduler *s, struct config *config)
{
    s->config = config;
    queue_part_reroute_all(s);
    arm_expiry_timer(s);
    queue_dispatch(s);
}

void scheduler_stop(struct scheduler *s)
{
    s->stopping = true;
    uv_timer_stop(&s->due_timer);
    uv_timer_stop(&s->expiry_timer);
    queue_run_cancel_all(s);
    queue_dispatch(s);
}

bool scheduler_idle(const struct scheduler *s)
{
    return s->run_count == 0 && s->batches == 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct scheduler *s = handle->data;
    struct queue_entry *e, *next;
    struct queue_site *site, *site_next;

    if (--s->holds > 0)
        return;
    HASH_ITER(hh, s->entries, e, next)
        queue_part_free_all(s, e);
    DL_FOREACH_SAFE(s->sites, site, site_next)
        free(site); /* its destination may be gone */
    s->sites = s->chores = NULL;
    due_heap_deinit(&s->waiting);
    s->on_closed(s->on_closed_ctx);
}

/* Only when idle. */
void scheduler_close(struct scheduler *s, void (*on_closed)(void *ctx), void *ctx)
{
    s->stopping = true;
    s->on_closed = on_closed;
    s->on_closed_ctx = ctx;
    uv_close((uv_handle_t *)&s->due_timer, on_timer_closed);
    uv_close((uv_handle_t *)&s->expiry_timer, on_timer_closed);
}
