/*
 * scheduler_tell - senders are told of what failed, and of what is late, while the rest of the
 * message is still tried
 *
 * By a part of its own, the teller, which has no destination and no recipients: it is READY and
 * RUNNING like the others, so whoever gathers the message waits for it, but it stops none of them.
 * It writes down that a report is begun, and then reads the file: the report is about what stands
 * before that line, whatever others write meanwhile (spool_format.h). When the report is in custody
 * and that is recorded, it may go, and the teller leaves the message again. After a crash
 * scheduler_recovered() tells the rest.
 *
 *   queue_tell: READY --> "bounce ID" (or "delay ID") --> LOAD --> make, COMMIT --> "bounced ID"
 *       ("delayed ID") --> report due --> gone from the message
 *
 * A failure is told of once all recipients of its destination's turn are done, if there is a way to
 * the sender; if there is none, an operator hears of it when the whole message is decided
 * (scheduler_bounce). The report that it is late comes once, when delay_warning_time has passed and
 * somebody waits, about all that do and whose NOTIFY allows it.
 *
 * Fails: all of it again in a minute, or after the next turn of the message.
 * Limits: QUEUE_CHORES_MAX tellers at a time; who must wait is looked at by the expiry timer.
 */
#include "queue/scheduler_report.h"

#include "base/clock.h"
#include "base/crash_point.h"

#include <errno.h>
#include <string.h>

/* ---- when ---- */

/* It is what an operator wants, or somebody decides about the whole message. */
static bool must_wait(const struct scheduler *s, struct queue_entry *first)
{
    if (s->stopping || first->deleted || first->hold_asked || first->again || first->decided ||
        first->bounce_due || first->forced_expire || first->state == QUEUE_HOLD ||
        first->state == QUEUE_GONE)
        return true;
    for (struct queue_entry *p = first; p; p = queue_part_next(first, p)) {
        if (p->teller || p->state == QUEUE_CLAIMED || queue_part_moves(p))
            return true;
    }
    return false;
}

/* False: there are as many as may be. */
static bool start(struct scheduler *s, struct queue_entry *first)
{
    struct queue_entry *teller;

    if (!(first->tell_failure || first->tell_delay) || must_wait(s, first))
        return true;
    if (s->tellers >= QUEUE_CHORES_MAX)
        return false;
    teller = queue_part_add(s, first);
    if (!teller)
        return true; /* memory is out: later */
    teller->teller = true;
    teller->destination = first->destination; /* never asked by it */
    teller->fresh = false;
    s->tellers++;
    queue_entry_ready(s, teller);
    return true;
}

void queue_tell_failure(struct scheduler *s, struct queue_entry *e)
{
    struct queue_entry *first = queue_part_first(e);

    if (!queue_report_has_way(s, first->sender))
        return;
    first->tell_failure = true;
    start(s, first);
}

static bool is_late(const struct scheduler *s, struct queue_entry *first)
{
    uint64_t limit = s->config->delay_warning_time;

    if (limit == 0 || first->delay_done || !first->sender[0] ||
        (clock_wall_us() - first->life_us) / 1000 < (int64_t)limit ||
        !queue_report_has_way(s, first->sender))
        return false;
    for (struct queue_entry *e = first; e; e = queue_part_next(first, e)) {
        if (queue_entry_waits(e))
            return true;
    }
    return false;
}

bool queue_tell_check(struct scheduler *s, struct queue_entry *first)
{
    first->tell_delay = is_late(s, first);
    return start(s, first);
}

/* ---- the end ---- */

static void end(struct queue_run *run)
{
    struct queue_entry *e = run->entry;
    const struct queue_entry *first = queue_part_first(e);

    if (queue_part_moves(e) || !queue_part_others_left(e))
        queue_run_look(run);
    else if ((first->tell_failure || first->tell_delay) && !run->s->stopping)
        queue_run_again(run);
    else
        queue_run_leave(run);
}

/* The disk, or memory. */
static void try_later(struct queue_run *run, const char *what, int rc)
{
    struct queue_entry *first = queue_part_first(run->entry);

    records_deinit(&run->records);
    if (first->deleted || rc == -ENOENT) {
        end(run);
        return;
    }
    log_error(run->s->log, "bounce", "%s: %s: %s: tried again later", run->entry->id.text, what,
              strerror(-rc));
    if (run->report && run->report->text.kind == BOUNCE_DELAY)
        first->tell_delay = true;
    else
        first->tell_failure = true;
    if (queue_part_moves(run->entry) || !queue_part_others_left(run->entry))
        queue_run_look(run);
    else
        queue_run_rest(run);
}

static void on_told(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));

    CRASH_POINT("tell-recorded");
    if (run->report->envelope)
        queue_report_release(run->report);
    if (rc < 0 && rc != -ENOENT) {
        log_error(run->s->log, "bounce",
                  "%s: cannot be recorded: %s (after a crash it may be told of again)",
                  run->entry->id.text, strerror(-rc));
        if (queue_run_unsaved(run))
            return;
    }
    records_deinit(&run->records);
    end(run);
}

static void record_told(struct queue_run *run, const char *id)
{
    struct queue_entry *first = queue_part_first(run->entry);
    enum bounce_kind kind = run->report->text.kind;

    if (kind == BOUNCE_DELAY) {
        first->delay_done = true;
        first->tell_delay = false; /* queue_tell_check() may have looked while it was made */
    }
    if (!records_add_report(&run->records, clock_wall_us() / 1000000, queue_report_record(kind) + 1,
                            id))
        log_error(run->s->log, "bounce", "%s: out of memory: after a restart it may be told again",
                  run->entry->id.text);
    queue_run_append(run, on_told);
}

/* ---- the report ---- */

static void on_taken(struct queue_report *r, int rc, const char *step)
{
    struct queue_run *run = r->owner;

    CRASH_POINT("tell-committed");
    if (rc < 0) {
        try_later(run, step, rc);
        return;
    }
    record_told(run, r->id.text);
}

/* The line that it is begun came before that of who failed later. */
static void leave_out_later(struct envelope *e)
{
    for (size_t i = 0; i < e->recipient_count; i++) {
        struct recipient *r = &e->recipients[i];

        if (r->state == RECIPIENT_FAILED && !r->reported)
            r->state = RECIPIENT_ELSEWHERE;
    }
}

static void set_times(struct queue_run *run)
{
    const struct queue_entry *first = queue_part_first(run->entry);
    const struct config *c = run->s->config;
    int64_t released_us = first->life_us - first->arrival_us;

    run->report->text.age_ms = c->delay_warning_time;
    run->report->text.lifetime_ms =
        c->maximal_queue_lifetime +
        (released_us > 0 ? ((uint64_t)released_us / 60000000 + 1) * 60000 : 0);
}

void queue_tell_loaded(struct queue_run *run, const struct spool_file *f)
{
    enum bounce_kind kind = run->report->text.kind;

    if (f->on_hold || strcmp(f->report_id.text, run->report->id.text) != 0 ||
        queue_part_first(run->entry)->deleted ||
        !queue_report_has_way(run->s, run->envelope->sender)) {
        end(run); /* an order came between: it is void */
        return;
    }
    leave_out_later(run->envelope);
    if (bounce_count(kind, false, run->envelope) > 0) {
        set_times(run);
        queue_report_make(run->report, run->envelope, run->body, run->envelope->sender, on_taken);
    } else if (kind == BOUNCE_DELAY) {
        record_told(run, "");
    } else {
        end(run);
    }
}

static void on_begun(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));

    CRASH_POINT("tell-begun");
    if (rc < 0) {
        try_later(run, "the report cannot be recorded", rc);
        return;
    }
    records_deinit(&run->records);
    queue_run_load(run); /* queue_tell_loaded */
}

void queue_tell_run(struct queue_run *run)
{
    struct queue_entry *first = queue_part_first(run->entry);
    enum bounce_kind kind = first->tell_failure ? BOUNCE_FAILURE : BOUNCE_DELAY;

    if (!first->tell_failure && !first->tell_delay) {
        end(run);
        return;
    }
    if (first->tell_failure)
        first->tell_failure = false;
    else
        first->tell_delay = false;
    run->report = queue_report_new(run->s, kind, run);
    if (!run->report || !records_add_report(&run->records, clock_wall_us() / 1000000,
                                            queue_report_record(kind), run->report->id.text)) {
        try_later(run, "the report cannot be made", -ENOMEM);
        return;
    }
    queue_run_append(run, on_begun);
}
