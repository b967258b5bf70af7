/*
 * scheduler_run - one run of one message; see scheduler.h
 *
 *   LOAD --> DELIVER a batch (<= 50 recipients) --> APPEND its results --> DELIVER the next ...
 *        --> the last APPEND, or REMOVE
 *
 * A message that was committed a moment ago is not loaded when it is still in memory
 * (scheduler_held). The place at the destination is kept until the last APPEND or REMOVE is done: a
 * crash in between sends those again, so there must not be more of them than places.
 *
 * The results of a batch are in the file before the next batch is begun, so that a crash repeats
 * one batch at most.
 *
 * A run is for the recipients of its entry's destination. Where the message has others as well (it
 * is split), its end is not decided here: see scheduler_internal.h.
 */
#include "queue/scheduler_report.h"

#include "base/clock.h"
#include "base/crash_point.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISK_RETRY_MS 60000

static void next_batch(struct queue_run *run);

static const char *run_id(const struct queue_run *run)
{
    return run->entry->id.text;
}

static struct queue_run *run_new(struct scheduler *s, struct queue_entry *e)
{
    struct queue_run *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->s = s;
    run->entry = e;
    run->active_ms = clock_mono_ms();
    run->load.fd = -1;
    DL_APPEND(s->runs, run);
    s->run_count++;
    return run;
}

/* Gives the place at the destination back and frees the run; the entry has its next state already,
 * or is gone. */
static void run_free(struct queue_run *run, struct queue_site *site)
{
    struct scheduler *s = run->s;

    if (site)
        queue_place_leave(s, site);
    DL_DELETE(s->runs, run);
    s->run_count--;
    queue_report_free(&run->report);
    body_free(&run->body);
    envelope_free(&run->envelope);
    records_deinit(&run->records);
    free(run);
    queue_dispatch(s);
}

static void count(struct queue_run *run, const struct envelope *e)
{
    run->pending = envelope_pending(e);
    run->failed_recipients = envelope_untold(e);
    run->bounces = run->failed_recipients > 0 && bounce_count(BOUNCE_FAILURE, false, e) > 0;
    run->owes = scheduler_owes_success(run->s, e);
}

static struct queue_site *place_of(const struct queue_run *run)
{
    return run->entry->state == QUEUE_RUNNING ? run->entry->site : NULL;
}

/* ---- the end of a run ---- */

static void run_wait(struct queue_run *run)
{
    const struct config *c = run->s->config;
    struct queue_site *site = place_of(run);

    queue_entry_wait(run->s, run->entry,
                     retry_delay_ms(run->entry->attempts, c->minimal_backoff_time,
                                    c->maximal_backoff_time, (uint32_t)random()));
    run_free(run, site);
}

static void run_ready(struct queue_run *run)
{
    struct queue_site *site = place_of(run);

    queue_entry_ready(run->s, run->entry);
    run->entry = NULL; /* merged, maybe */
    run_free(run, site);
}

static void run_back_off(struct queue_run *run)
{
    if (queue_part_moves(run->entry))
        run_ready(run); /* another destination may be its own now */
    else
        run_wait(run);
}

/* What becomes of the message is for an entry to say that is alone. */
void queue_run_look(struct queue_run *run)
{
    run->entry->look = true;
    run_ready(run);
}

/* Nobody waits for the others of a message to be told of those that failed. */
static void tell_now(struct queue_run *run)
{
    if (run->bounces)
        queue_tell_failure(run->s, run->entry);
}

/* This destination has no recipient left, or the message is to be held. */
static void run_end_split(struct queue_run *run)
{
    struct queue_entry *e = run->entry;
    struct queue_site *site = place_of(run);

    if (run->expired || queue_part_moves(e) || !queue_part_others_left(e)) {
        queue_run_look(run);
        return;
    }
    tell_now(run);
    queue_entry_leave(run->s, e);
    e->state = QUEUE_DONE;
    run_free(run, site);
}

/* True when the entry waits until its results can be written. */
bool queue_run_unsaved(struct queue_run *run)
{
    struct queue_site *site = place_of(run);

    if (run->records.len == 0 || !run->records.durable)
        return false;
    run->entry->unsaved = run->records;
    run->records = (struct records){NULL, 0, 0, false};
    queue_entry_wait(run->s, run->entry, DISK_RETRY_MS);
    run_free(run, site);
    return true;
}

void queue_run_append(struct queue_run *run, void (*done)(struct spool_append *a, int rc))
{
    run->append.id = run->entry->id;
    run->append.records = run->records.bytes;
    run->append.records_len = run->records.len;
    run->append.sync = run->records.durable;
    run->append.done = done;
    spool_append(run->s->spool, &run->append);
}

/* Only memory knows that it was delivered: until the file is gone, a restart must find that in it.
 */
static void on_kept(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));
    struct queue_site *site = place_of(run);

    if (rc == 0)
        records_deinit(&run->records);
    if (queue_run_unsaved(run))
        return;
    queue_entry_wait(run->s, run->entry, DISK_RETRY_MS);
    run_free(run, site);
}

static void on_removed(struct spool_remove *r, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)r - offsetof(struct queue_run, remove));
    struct queue_site *site = place_of(run);

    if (rc == 0 || rc == -ENOENT) {
        log_removed(run->s->log, run_id(run));
        queue_entry_free(run->s, run->entry);
        run->entry = NULL;
        run_free(run, site);
        return;
    }
    log_error(run->s->log, "qmgr", "%s: delivered, but its file cannot be removed: %s", run_id(run),
              strerror(-rc));
    run->entry->decided = true; /* never delivered again by this process */
    if (run->records.len > 0) {
        queue_run_append(run, on_kept);
        return;
    }
    queue_entry_wait(run->s, run->entry, DISK_RETRY_MS);
    run_free(run, site);
}

static void run_remove(struct queue_run *run)
{
    CRASH_POINT("run-removing");
    run->entry->decided = true; /* it is alone, and stays so: nobody is told of it any more */
    run->remove.id = run->entry->id;
    run->remove.done = on_removed;
    spool_remove(run->s->spool, &run->remove);
}

void queue_run_say_expired(const struct queue_run *run, bool returned)
{
    const struct log *log = run->s->log;
    const struct queue_entry *e = run->entry;

    if (e->deleted)
        return;
    if (e->forced_expire)
        log_force_expired(log, e->id.text, e->sender, returned);
    else
        log_expired(log, e->id.text, e->sender, returned);
}

static void run_end(struct queue_run *run)
{
    struct queue_entry *e = run->entry;
    struct queue_site *site = place_of(run);

    e->fresh = false;
    e->destination_trouble = run->destination_trouble;
    if (run->broken)
        e->breaks++;
    else if (!run->destination_trouble) /* to be told that it is down clears nobody */
        e->breaks = 0;
    e->attempts++;
    run->split = run->split || !queue_part_alone(e);
    if (queue_run_unsaved(run))
        return;
    if (run->split && (run->pending == 0 || run->expired)) {
        run_end_split(run);
        return;
    }
    if (run->pending == 0 || run->expired) {
        e->hold_expired = run->expired;
        queue_entry_bounce(run->s, e, run->expired || run->failed_recipients > 0);
        run_free(run, site);
        return;
    }
    tell_now(run);
    if (run->handed) { /* whatever it said: the destination was not asked */
        e->handed = false;
        e->spurned = true;
        e->destination_trouble = true;
        if (run->s->fallback)
            run_back_off(run);
        else
            run_ready(run); /* there is no other turn any more than its own destination's */
        return;
    }
    if (!run->destination_trouble || e->breaks >= QUEUE_BREAKS_MAX || e->destination->dead_end) {
        run_back_off(run);
        return;
    }
    run_ready(run); /* goes as soon as the destination is up */
}

/* No further batch: we stop, or the operator wants it held or gone. */
static bool is_wanted_back(const struct queue_run *run)
{
    const struct queue_entry *first = queue_part_first(run->entry);

    return run->s->stopping || first->deleted || first->hold_asked;
}

static void on_appended(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));

    CRASH_POINT("run-recorded");
    if (rc == 0 || (rc == -ENOENT && queue_part_first(run->entry)->deleted))
        records_deinit(&run->records);
    else if (!queue_part_first(run->entry)->deleted)
        log_error(run->s->log, "qmgr",
                  "%s: its results cannot be recorded: %s (after a crash it may be sent again)",
                  run_id(run), strerror(-rc));
    if (run->more && is_wanted_back(run)) { /* the rest is for later */
        run->more = false;
        run->destination_trouble = true;
    }
    if (run->more)
        next_batch(run);
    else
        run_end(run);
}

static void run_append(struct queue_run *run)
{
    if (run->records.len == 0) {
        run_end(run);
        return;
    }
    queue_run_append(run, on_appended);
}

/* All batches are done, or trouble ended them: what becomes of the message? */
static void run_settle(struct queue_run *run)
{
    int64_t wall_s = clock_wall_us() / 1000000;

    run->more = false;
    run->split = run->split || !queue_part_alone(run->entry);
    if (run->entry->again && run->failed_recipients > 0)
        run->split = true; /* requeued meanwhile: they are pending again, the file says */
    if (run->pending == 0 && run->failed_recipients == 0 && !run->split && !run->owes) {
        run_remove(run);
        return;
    }
    run->expired = run->pending > 0 && queue_entry_expired(run->s, run->entry);
    if (run->pending == 0 && run->failed_recipients > 0 && !run->split)
        records_add_hold(&run->records, wall_s, SPOOL_WHY_FAILED);
    else if (run->expired)
        records_add_hold(&run->records, wall_s, SPOOL_WHY_EXPIRED);
    run_append(run);
}

/* ---- batches ---- */

static void on_delivered(struct delivery *d)
{
    struct queue_run *run = d->owner;
    struct scheduler *s = run->s;

    run->delivering = false;
    CRASH_POINT("run-delivered");
    for (size_t i = 0; i < d->count; i++) {
        enum delivery_outcome outcome = d->results[i].outcome;

        delivery_log(d, s->log, i);
        s->delivered += outcome == DELIVERY_SENT;
        s->handed_over += outcome == DELIVERY_SENT && run->handed;
        s->failed += outcome == DELIVERY_FAILED;
        s->deferred += outcome == DELIVERY_DEFERRED || outcome == DELIVERY_DEFERRED_DESTINATION;
        if (outcome == DELIVERY_DEFERRED_DESTINATION)
            run->destination_trouble = true;
    }
    run->broken = run->broken || d->broken;
    records_add_delivery(&run->records, run->envelope, d, clock_wall_us() / 1000000);
    delivery_deinit(d);
    count(run, run->envelope);
    run->more = !run->destination_trouble && !is_wanted_back(run);
    for (size_t i = run->cursor; run->more; i++) {
        if (i >= run->envelope->recipient_count)
            run->more = false;
        else if (run->envelope->recipients[i].state == RECIPIENT_PENDING)
            break;
    }
    if (run->more)
        run_append(run);
    else
        run_settle(run);
}

/* All batches of a run have the same target. */
static void choose_target(struct queue_run *run)
{
    if (run->to)
        return;
    run->to = queue_drain_target(run->s, run->entry->destination, run->entry->handed);
    run->handed = run->to != run->entry->destination;
}

static void next_batch(struct queue_run *run)
{
    struct delivery *d = &run->delivery;
    size_t limit;

    choose_target(run);
    limit = destination_recipients_limit(run->to, DELIVERY_RECIPIENTS_MAX);
    *d = (struct delivery){.envelope = run->envelope,
                           .body = run->body,
                           .active_ms = run->active_ms,
                           .never_final = run->handed,
                           .done = on_delivered,
                           .owner = run};
    d->before_s = (double)(clock_wall_us() - run->entry->arrival_us) / 1e6 -
                  (double)(clock_mono_ms() - run->active_ms) / 1000;
    if (d->before_s < 0) /* the wall clock was set back */
        d->before_s = 0;
    for (; run->cursor < run->envelope->recipient_count && d->count < limit; run->cursor++) {
        if (run->envelope->recipients[run->cursor].state == RECIPIENT_PENDING)
            d->indices[d->count++] = run->cursor;
    }
    run->delivering = true;
    delivery_start(d, run->to, run->s->spool->disk);
}

/* ---- the beginning ---- */

static void begin(struct queue_run *run)
{
    log_queue_active(run->s->log, run_id(run), run->envelope->sender, run->body->total,
                     run->pending);
    next_batch(run);
}

static void load_failed(struct queue_run *run, int rc)
{
    struct scheduler *s = run->s;
    struct queue_site *site = place_of(run);

    if (rc == -ENOENT && !queue_part_alone(run->entry)) { /* one that is alone says so */
        queue_run_look(run);
        return;
    }
    if (rc == -EBADMSG) {
        s->corrupt++;
        log_error(s->log, "qmgr", "%s: corrupt, kept in corrupt/: %s", run_id(run),
                  run->load.err.text);
    } else if (rc == -ENOENT && run->entry->deleted) {
        log_removed(s->log, run_id(run));
    } else if (rc == -ENOENT) { /* somebody removed it by hand */
        log_warning(s->log, "qmgr", "%s: its file is gone", run_id(run));
    } else {
        log_error(s->log, "qmgr", "%s: cannot be read, tried again later: %s", run_id(run),
                  run->load.err.text[0] ? run->load.err.text : strerror(-rc));
        run->entry->attempts++;
        run_wait(run);
        return;
    }
    if (!queue_part_alone(run->entry)) { /* moved to corrupt/ */
        queue_run_look(run);
        return;
    }
    queue_entry_free(s, run->entry);
    run->entry = NULL;
    run_free(run, site);
}

/* ---- endings of scheduler_bounce ---- */

void queue_run_hold(struct queue_run *run)
{
    struct queue_site *site = place_of(run);

    run->entry->decided = run->pending == 0;
    run->entry->operator_needed = run->expired || run->failed_recipients > 0;
    run->entry->hold_expired = run->expired;
    queue_entry_hold(run->s, run->entry);
    run_free(run, site);
}

void queue_run_rest(struct queue_run *run)
{
    struct queue_site *site = place_of(run);

    queue_entry_wait(run->s, run->entry, DISK_RETRY_MS);
    run_free(run, site);
}

void queue_run_gone(struct queue_run *run)
{
    struct queue_site *site = place_of(run);

    queue_entry_free(run->s, run->entry);
    run->entry = NULL;
    run_free(run, site);
}

void queue_run_removable(struct queue_run *run)
{
    run->entry->bounce_due = false;
    run->entry->decided = true;
    queue_run_rest(run);
}

void queue_run_again(struct queue_run *run)
{
    run_ready(run);
}

void queue_run_bounce_again(struct queue_run *run)
{
    struct queue_site *site = place_of(run);

    queue_entry_bounce(run->s, run->entry, run->entry->bounce_final);
    run_free(run, site);
}

void queue_run_leave(struct queue_run *run)
{
    struct queue_site *site = place_of(run);

    queue_part_remove(run->s, run->entry);
    run->entry = NULL;
    run_free(run, site);
}

/* ---- the beginning, again ---- */

/* Whether the run is about failed recipients, not about those that are pending. */
static bool is_bounce(struct queue_run *run, const struct spool_file *f)
{
    struct queue_entry *e = run->entry;
    bool due = queue_part_alone(e) && !e->again && queue_bounce_is_due(f, run->envelope);

    due = due && (f->on_hold || e->bounce_due);
    if (!due || f->on_hold)
        e->bounce_due = due;
    return due;
}

/* Gives the recipients to their destinations. */
static void run_route(struct queue_run *run)
{
    struct scheduler *s = run->s;
    struct queue_site *site = place_of(run);
    struct queue_entry *first = run->entry;
    uint64_t resume_ms = first->resume_ms, now = clock_mono_ms();

    first->resume_ms = 0;
    queue_entry_leave(s, first);
    if (!queue_part_route(s, first, run->envelope)) {
        queue_entry_wait(s, first, s->config->minimal_backoff_time);
    } else if (resume_ms > now && queue_part_alone(first)) {
        queue_entry_wait(s, first, resume_ms - now);
    } else {
        for (struct queue_entry *e = first; e; e = queue_part_next(first, e))
            queue_entry_ready(s, e);
    }
    run_free(run, site);
}

/* Whether the run goes no further: the message as a whole must be looked at, or it was. */
static bool look_or_route(struct queue_run *run, bool on_hold)
{
    const struct queue_entry *e = run->entry;
    bool alone = queue_part_alone(e);

    /* again: the record that asked for it may have come after what was read */
    if (e->again || (!alone && (on_hold || run->pending == 0 || queue_part_moves(e)))) {
        queue_run_look(run);
        return true;
    }
    if (on_hold || run->pending == 0 || e->forced_expire || !queue_part_moves(e) ||
        is_wanted_back(run))
        return false;
    run_route(run);
    return true;
}

/* False: there is no recipient for this destination. */
static bool only_own(struct queue_run *run)
{
    queue_part_mark_own(run->s, run->entry, run->envelope);
    run->pending = envelope_pending(run->envelope);
    run->split =
        !queue_part_alone(run->entry) || envelope_count(run->envelope, RECIPIENT_ELSEWHERE) > 0;
    return run->pending > 0;
}

static void on_loaded(struct spool_load *l, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)l - offsetof(struct queue_run, load));
    struct scheduler *s = run->s;

    if (rc < 0) {
        load_failed(run, rc);
        return;
    }
    run->envelope = l->file.envelope;
    l->file.envelope = NULL;
    run->body = body_from_file(s->place, l->fd, l->file.body_offset, l->file.body_len);
    count(run, run->envelope);
    if (!run->body) {
        close(l->fd);
        run_wait(run);
        return;
    }
    if (run->entry->teller) {
        queue_tell_loaded(run, &l->file);
        return;
    }
    if (is_bounce(run, &l->file)) {
        if (is_wanted_back(run))
            queue_run_rest(run);
        else
            queue_bounce_begin(run, &l->file);
        return;
    }
    if (look_or_route(run, l->file.on_hold))
        return;
    /* as it was written when the disk had room again, or an operator wants it; unless all was sent
     */
    if (l->file.on_hold && (run->pending > 0 || run->failed_recipients > 0)) {
        run->expired = strcmp(l->file.hold_why, SPOOL_WHY_EXPIRED) == 0;
        if (strcmp(l->file.hold_why, SPOOL_WHY_FAILED) != 0)
            run->failed_recipients = 0; /* as scheduler_recover() has it */
        queue_run_hold(run);
        return;
    }
    if (run->pending == 0 || run->entry->forced_expire) {
        run_settle(run);
        return;
    }
    if (is_wanted_back(run)) { /* not begun: it stays as it is */
        run->destination_trouble = true;
        run_end(run);
        return;
    }
    if (only_own(run))
        begin(run);
    else
        queue_run_look(run);
}

void queue_run_load(struct queue_run *run)
{
    run->load.id = run->entry->id;
    run->load.done = on_loaded;
    spool_load(run->s->spool, &run->load);
}

static void on_saved(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));

    if (rc < 0 && rc != -ENOENT && rc != -EBADMSG) {
        log_error(run->s->log, "qmgr", "%s: its results still cannot be recorded: %s", run_id(run),
                  strerror(-rc));
        if (!run->s->stopping && queue_run_unsaved(run))
            return;
    } /* else no file, no results: loading it says so */
    records_deinit(&run->records);
    if (run->entry->decided) { /* needs no destination */
        run_remove(run);
        return;
    }
    run_ready(run);
}

static void run_save(struct queue_run *run)
{
    run->records = run->entry->unsaved;
    run->entry->unsaved = (struct records){NULL, 0, 0, false};
    queue_run_append(run, on_saved); /* only durable ones are kept */
}

void queue_run_start(struct scheduler *s, struct queue_entry *e)
{
    struct queue_run *run = run_new(s, e);

    if (!run) {
        if (e->state == QUEUE_RUNNING)
            queue_place_leave(s, e->site);
        queue_entry_wait(s, e, s->config->minimal_backoff_time);
        return;
    }
    if (e->unsaved.len > 0) {
        run_save(run);
        return;
    }
    if (e->teller) {
        queue_tell_run(run);
        return;
    }
    if (e->decided) {
        run_remove(run);
        return;
    }
    if (queue_held_take(s, e, &run->envelope, &run->body)) {
        run->pending = envelope_pending(run->envelope);
        begin(run);
        return;
    }
    queue_run_load(run);
}

void queue_run_settle(struct scheduler *s, struct queue_entry *e,
                      const struct queue_settlement *settlement)
{
    struct queue_run *run = run_new(s, e);

    if (!run) { /* what was sent is not recorded: it may be sent again, it is not lost */
        records_deinit(settlement->records);
        queue_entry_wait(s, e, s->config->minimal_backoff_time);
        return;
    }
    run->records = *settlement->records;
    *settlement->records = (struct records){NULL, 0, 0, false};
    count(run, settlement->envelope);
    run->pending = settlement->pending;
    run->destination_trouble = settlement->trouble;
    run->broken = settlement->broken;
    run_settle(run);
}

void queue_run_expire(struct scheduler *s, struct queue_entry *e)
{
    struct queue_run *run = run_new(s, e);

    if (!run) {
        queue_entry_wait(s, e, s->config->minimal_backoff_time);
        return;
    }
    run->pending = 1; /* somebody is: only then it is asked for */
    run->expired = true;
    run->records = e->unsaved;
    e->unsaved = (struct records){NULL, 0, 0, false};
    records_add_hold(&run->records, clock_wall_us() / 1000000, SPOOL_WHY_EXPIRED);
    run_append(run);
}

void queue_run_cancel_all(struct scheduler *s)
{
    struct queue_run *run, *next;

    DL_FOREACH_SAFE(s->runs, run, next) {
        if (run->delivering)
            delivery_cancel(&run->delivery, "mxgate is stopping");
    }
}

void queue_run_cancel(struct scheduler *s, struct queue_entry *e, const char *why)
{
    struct queue_id id = e->id;
    struct queue_run *run, *next;

    DL_FOREACH_SAFE(s->runs, run, next) {
        if (run->entry && run->delivering && strcmp(run->entry->id.text, id.text) == 0)
            delivery_cancel(&run->delivery, why);
    }
}
