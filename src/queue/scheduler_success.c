/*
 * scheduler_success - senders who asked to hear that their mail was delivered (NOTIFY=SUCCESS)
 *
 * Of mail in the spool that is a step of its end (scheduler_bounce). Mail that was delivered
 * directly is nowhere but at the upstream: its report is taken into custody before the client gets
 * its 250. When that cannot be, the sender is not told, and the log says so: a 4xx for mail that
 * was delivered would deliver it twice.
 */
#include "queue/scheduler_report.h"

#include <stdlib.h>
#include <string.h>

struct success {
    struct queue_report *report;  /* owned */
    const struct envelope *about; /* borrowed */
    void (*done)(void *ctx);
    void *ctx;
};

bool scheduler_owes_success(const struct scheduler *s, const struct envelope *e)
{
    return bounce_count(BOUNCE_SUCCESS, false, e) > 0 && queue_report_has_way(s, e->sender);
}

static void say_lost(const struct scheduler *s, const struct envelope *e, const char *step, int rc)
{
    log_error(s->log, "bounce", "%s: %s: %s: its sender is not told that it was delivered",
              e->id.text, step, strerror(-rc));
}

static void on_taken(struct queue_report *r, int rc, const char *step)
{
    struct success *w = r->owner;

    if (rc < 0)
        say_lost(r->s, w->about, step, rc);
    else
        queue_report_release(r);
    w->done(w->ctx);
    queue_report_free(&w->report);
    free(w);
}

void scheduler_tell_success(struct scheduler *s, const struct envelope *about,
                            const struct body *original, void (*done)(void *ctx), void *ctx)
{
    struct success *w = calloc(1, sizeof *w);

    if (w)
        w->report = queue_report_new(s, BOUNCE_SUCCESS, w);
    if (!w || !w->report) {
        free(w);
        say_lost(s, about, "out of memory", -ENOMEM);
        done(ctx);
        return;
    }
    w->about = about;
    w->done = done;
    w->ctx = ctx;
    queue_report_make(w->report, about, original, about->sender, on_taken);
}
