/*
 * scheduler_bounce - how mail that cannot be delivered ends: its sender is told, or an operator
 *
 * A run of its own for a message that is alone, nobody of which is delivered any more, and somebody
 * is to be told of it. Unless all of it was delivered (its sender asked to hear of that) it is on
 * hold by then, which is where anything that goes wrong here leaves it.
 *
 *   LOAD --> decide --nobody is to be told (NOTIFY), a notice of ours failed------------> REMOVE
 *              |--sender, and a way to it----> "bounce ID" --> make, COMMIT --> REMOVE --> report
 * due
 *              |--operator-------------------> "notice ID" --> make, COMMIT --> "noticed ID"
 *              |                                                         --> HOLD, report due
 *              |--sender, of those delivered-> "success ID" --> make, COMMIT --> REMOVE --> report
 * due |                     (others failed: "succeeded ID" --> report due --> LOAD again)
 *              `--nobody can, or too many----> "noticed" --> HOLD
 *
 * The report is in custody before the message is released (P2). It is not delivered before that
 * is durable: so after a crash the record and what is in queue/ tell which report was begun and
 * taken, and none is sent twice (scheduler_recovered). What an operator ordered meanwhile holds
 * when the run ends. While others are tried, scheduler_tell does it.
 *
 * Never a report about a report to its sender, as there is none; a bounce of ours that fails makes
 * a notice, a notice of ours that fails makes nothing but a warning. Notices are bounded:
 * notify_limit an hour; the next one tells how many messages got none.
 */
#include "queue/scheduler_report.h"

#include "base/clock.h"
#include "base/crash_point.h"

#include <errno.h>
#include <string.h>

#define NOTICE_WINDOW_MS 3600000u

/* ---- who is to be told ---- */

enum verdict {
    RELEASE, /* nobody: the message goes */
    TELL_SENDER,
    TELL_SUCCESS,
    TELL_OPERATOR,
    TELL_NOBODY, /* it stays on hold */
};

/* False: nobody. */
static bool notify_address(const struct scheduler *s, char *buf, size_t cap)
{
    const char *set = s->config->notify_recipient;
    struct text t;

    if (strcmp(set, "none") == 0)
        return false;
    text_init(&t, buf, cap);
    if (set[0])
        text_cstr(&t, set);
    else
        text_printf(&t, "postmaster@%s", domain_list_first(&s->config->domains));
    return !t.overflow && queue_report_has_way(s, buf);
}

/* It is the operator himself who does not get his mail. */
static bool is_to_operator(const struct envelope *e, bool expired, const char *address)
{
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (bounce_concerns(BOUNCE_NOTICE, expired, &e->recipients[i]) &&
            span_equal_nocase(span_of(e->recipients[i].address), span_of(address)))
            return true;
    }
    return false;
}

static bool may_notify(struct scheduler *s)
{
    uint64_t now = clock_mono_ms();

    if (s->notices_since_ms == 0 || now - s->notices_since_ms >= NOTICE_WINDOW_MS) {
        s->notices_since_ms = now;
        s->notices = 0;
    }
    return s->notices < s->config->notify_limit;
}

static enum verdict decide_operator(struct queue_run *run)
{
    struct scheduler *s = run->s;
    char address[SMTP_ADDRESS_CAP];

    if (!notify_address(s, address, sizeof address) ||
        is_to_operator(run->envelope, run->expired, address)) {
        log_warning(s->log, "bounce", "%s: cannot be delivered, kept on hold: nobody can be told",
                    run->entry->id.text);
        return TELL_NOBODY;
    }
    if (!may_notify(s)) {
        s->unnoticed++;
        log_warning(s->log, "bounce",
                    "%s: cannot be delivered, kept on hold: more than notify_limit=%ju notices in "
                    "an hour",
                    run->entry->id.text, (uintmax_t)s->config->notify_limit);
        return TELL_NOBODY;
    }
    return TELL_OPERATOR;
}

static enum verdict decide(struct queue_run *run)
{
    const struct envelope *e = run->envelope;

    if (scheduler_owes_success(run->s, e))
        return TELL_SUCCESS;
    if (bounce_count(BOUNCE_FAILURE, run->expired, e) == 0)
        return RELEASE;
    if (queue_report_is_notice(e)) {
        log_warning(run->s->log, "bounce",
                    "%s: the notice cannot be delivered, and is dropped (mailq shows what it was "
                    "about)",
                    run->entry->id.text);
        return RELEASE;
    }
    if (queue_report_has_way(run->s, e->sender))
        return TELL_SENDER;
    return decide_operator(run);
}

/* ---- the end ---- */

/* What it was about is settled: now the report may go. */
static void release_report(struct queue_run *run)
{
    CRASH_POINT("bounce-settled");
    if (run->report)
        queue_report_release(run->report);
}

/* The disk, or memory: all of it again, later. What was begun is void. */
static void try_later(struct queue_run *run, const char *what, int rc)
{
    if (rc < 0 && !queue_part_first(run->entry)->deleted)
        log_error(run->s->log, "bounce", "%s: %s: %s: tried again later", run->entry->id.text, what,
                  strerror(-rc));
    if (run->report && run->report->text.kind == BOUNCE_NOTICE && run->s->notices > 0)
        run->s->notices--;
    records_deinit(&run->records);
    queue_run_rest(run);
}

static void on_removed(struct spool_remove *r, int rc);

/* No order can change it any more, and whoever gives one now is told so. */
static void remove_message(struct queue_run *run)
{
    run->entry->decided = true;
    run->remove = (struct spool_remove){.id = run->entry->id, .sync = true, .done = on_removed};
    spool_remove(run->s->spool, &run->remove);
}

static bool has_orders(const struct queue_entry *e)
{
    return e->hold_asked || e->again || e->deleted;
}

/* The record that the report is in custody is written, or cannot be. */
static void on_told(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));
    bool final = !run->report || run->report->final;
    enum bounce_kind kind = run->report ? run->report->text.kind : BOUNCE_NOTICE;

    if (rc < 0 && rc != -ENOENT)
        log_error(run->s->log, "bounce",
                  "%s: cannot be recorded: %s (after a restart it may be told of again)",
                  run->entry->id.text, strerror(-rc));
    CRASH_POINT("bounce-recorded");
    records_deinit(&run->records);
    release_report(run);
    if (rc == 0 && kind == BOUNCE_SUCCESS && !final)
        queue_run_bounce_again(run); /* others failed */
    else if (kind == BOUNCE_NOTICE || has_orders(run->entry) || !final)
        queue_run_hold(run); /* where an operator's order is seen to */
    else
        queue_run_removable(run);
}

static void record_told(struct queue_run *run, enum spool_report what, const char *id)
{
    if (!records_add_report(&run->records, clock_wall_us() / 1000000, what, id))
        log_error(run->s->log, "bounce", "%s: out of memory: after a restart it may be told again",
                  run->entry->id.text);
    queue_run_append(run, on_told);
}

static void record_report(struct queue_run *run)
{
    record_told(run, queue_report_record(run->report->text.kind) + 1, run->report->id.text);
}

static void on_removed(struct spool_remove *r, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)r - offsetof(struct queue_run, remove));

    if (rc == 0 || rc == -ENOENT) {
        log_removed(run->s->log, run->entry->id.text);
        release_report(run);
        queue_run_gone(run);
        return;
    }
    log_error(run->s->log, "qmgr", "%s: its sender is told, but its file cannot be removed: %s",
              run->entry->id.text, strerror(-rc));
    if (run->report)
        record_report(run);
    else
        try_later(run, "its file cannot be removed", rc);
}

/* ---- custody of the report ---- */

static void on_taken(struct queue_report *r, int rc, const char *step)
{
    struct queue_run *run = r->owner;
    bool notice = r->text.kind == BOUNCE_NOTICE;

    CRASH_POINT("bounce-committed");
    if (rc < 0) {
        try_later(run, step, rc);
        return;
    }
    if (notice) /* another one may have told of the same */
        run->s->unnoticed -=
            r->text.unnoticed < run->s->unnoticed ? r->text.unnoticed : run->s->unnoticed;
    if (!notice && r->final && !has_orders(run->entry))
        remove_message(run);
    else
        record_report(run);
}

/* The report's id is in the message's file. */
static void on_begun(struct spool_append *a, int rc)
{
    struct queue_run *run = (struct queue_run *)((char *)a - offsetof(struct queue_run, append));
    char address[SMTP_ADDRESS_CAP];
    const char *to = run->envelope->sender;

    if (rc == 0 && run->report->text.kind == BOUNCE_NOTICE) {
        if (!notify_address(run->s, address, sizeof address))
            rc = -EAGAIN; /* a reload came between */
        to = address;
    }
    if (rc < 0) {
        try_later(run, "the report cannot be recorded", rc);
        return;
    }
    CRASH_POINT("bounce-begun");
    records_deinit(&run->records);
    run->report->text.expired = run->expired;
    queue_report_make(run->report, run->envelope, run->body, to, on_taken);
}

static void begin_report(struct queue_run *run, enum bounce_kind kind)
{
    run->report = queue_report_new(run->s, kind, run);
    if (!run->report || !records_add_report(&run->records, clock_wall_us() / 1000000,
                                            queue_report_record(kind), run->report->id.text)) {
        try_later(run, "the report cannot be made", -ENOMEM);
        return;
    }
    run->s->notices += kind == BOUNCE_NOTICE;
    run->report->final =
        kind != BOUNCE_SUCCESS || (!run->expired && run->pending + run->failed_recipients == 0);
    queue_run_append(run, on_begun);
}

static bool is_expired(const struct spool_file *f)
{
    return f->on_hold && strcmp(f->hold_why, SPOOL_WHY_EXPIRED) == 0;
}

bool queue_bounce_is_due(const struct spool_file *f, const struct envelope *e)
{
    size_t pending = envelope_pending(e);
    size_t untold = envelope_untold(e);

    if (pending == 0 && untold == 0 && bounce_count(BOUNCE_SUCCESS, false, e) > 0)
        return true;
    if (!f->on_hold)
        return pending == 0 && untold > 0;
    if (f->noticed)
        return false;
    return is_expired(f) || (strcmp(f->hold_why, SPOOL_WHY_FAILED) == 0 && pending == 0);
}

/* A crash tore the hold off the results before it. What is noticed is so while on hold: else an
 * operator would be told at every start. False when memory is out. */
static bool hold_anew(struct queue_run *run, enum verdict verdict)
{
    return (verdict != TELL_OPERATOR && verdict != TELL_NOBODY) ||
           records_add_hold(&run->records, clock_wall_us() / 1000000, SPOOL_WHY_FAILED);
}

void queue_bounce_begin(struct queue_run *run, const struct spool_file *f)
{
    enum verdict verdict;

    run->expired = is_expired(f);
    verdict = decide(run);
    if (run->expired && verdict != TELL_SUCCESS)
        queue_run_say_expired(run, verdict == TELL_SENDER);
    if (!f->on_hold && !hold_anew(run, verdict)) {
        try_later(run, "out of memory", -ENOMEM);
        return;
    }
    switch (verdict) {
    case RELEASE:
        remove_message(run);
        break;
    case TELL_SENDER:
        begin_report(run, BOUNCE_FAILURE);
        break;
    case TELL_SUCCESS:
        begin_report(run, BOUNCE_SUCCESS);
        break;
    case TELL_OPERATOR:
        begin_report(run, BOUNCE_NOTICE);
        break;
    case TELL_NOBODY:
        record_told(run, SPOOL_NOTICED, "");
        break;
    }
}
