/*
 * scheduler_intent - reports that were begun when we were cut off
 *
 * The message's file names the report. When queue/ has it, the report was taken into custody and
 * not delivered yet (scheduler_bounce.h), and what comes after that is done here, before anything
 * is due: the message is removed, or gets the record that it was told of. When queue/ has it not,
 * it was never taken, and the message's run makes another.
 */
#include "base/clock.h"
#include "base/crash_point.h"
#include "message/bounce.h"
#include "message/disk.h"
#include "queue/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct queue_intent {
    struct queue_intent *next;
    struct queue_id id;
    struct queue_id report;
    enum spool_report what;
    bool final;
};

/* Nobody of it is pending, and nobody is to be told of whom the report does not tell. */
static bool tells_all(const struct spool_file *f)
{
    for (size_t i = 0; i < f->envelope->recipient_count; i++) {
        const struct recipient *r = &f->envelope->recipients[i];

        if (!r->reported &&
            (r->state == RECIPIENT_PENDING || bounce_concerns(BOUNCE_FAILURE, false, r) ||
             bounce_concerns(BOUNCE_SUCCESS, false, r)))
            return false;
    }
    return f->report == SPOOL_BOUNCE || f->report == SPOOL_SUCCESS;
}

bool queue_intent_add(struct scheduler *s, const struct spool_file *f)
{
    struct queue_intent *i = calloc(1, sizeof *i);

    if (!i)
        return false;
    i->id = f->envelope->id;
    i->report = f->report_id;
    i->what = f->report;
    i->final = queue_bounce_is_due(f, f->envelope) && tells_all(f);
    LL_PREPEND(s->intents, i);
    return true;
}

static int remove_told(struct scheduler *s, struct queue_entry *e)
{
    int rc = spool_remove_now(s->spool, &e->id);

    CRASH_POINT("intent-removed");
    if (rc == 0) {
        log_removed(s->log, e->id.text);
        queue_entry_free(s, e);
    }
    return rc;
}

static int record_told(struct scheduler *s, const struct queue_intent *i)
{
    struct records records = {NULL, 0, 0, false};
    struct spool_append a = {.id = i->id, .sync = true};
    int rc = -ENOMEM;

    if (records_add_report(&records, clock_wall_us() / 1000000, i->what + 1, i->report.text)) {
        a.records = records.bytes;
        a.records_len = records.len;
        rc = spool_append_now(s->spool, &a);
        CRASH_POINT("intent-recorded");
    }
    records_deinit(&records);
    return rc;
}

static void settle(struct scheduler *s, const struct queue_intent *i)
{
    struct queue_entry *e = queue_entry_find(s, &i->id);
    int rc;

    if (!e || !queue_entry_find(s, &i->report))
        return;
    if (i->final && queue_part_alone(e)) {
        rc = remove_told(s, e);
    } else {
        e->delay_done = e->delay_done || i->what == SPOOL_DELAY;
        rc = record_told(s, i);
    }
    if (rc < 0)
        log_error(s->log, "bounce", "%s: cannot be recorded: %s: it may be told of again",
                  i->id.text, strerror(-rc));
}

void scheduler_recovered(struct scheduler *s)
{
    struct queue_intent *i, *next;
    bool lasting = true;

    if (s->spool->last_seen.text[0])
        queue_id_seen(&s->ids, &s->spool->last_seen);
    /* the name of a report must last before its message goes; else it is told of twice, not lost */
    if (s->intents && disk_fsync(s->spool->queue_fd) < 0) {
        log_error(s->log, "bounce",
                  "the queue's folder cannot be synced: reports may be made again");
        lasting = false;
    }
    if (s->intents)
        CRASH_POINT("intent-lasting");
    LL_FOREACH_SAFE(s->intents, i, next) {
        if (lasting)
            settle(s, i);
        free(i);
    }
    s->intents = NULL;
}
