/* custody - see custody.h */
#include "intake/custody.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void custody_decide(struct custody *c);

/* ---- verdicts ---- */

/* Every recipient was refused: the upstream's words about the first one. */
static void verdict_refused(const struct custody *c, struct smtp_verdict *v)
{
    const struct delivery *d = &c->deliveries[0];
    const struct delivery_result *r = &d->results[0];

    verdict_set(v, r->code >= 500 ? r->code : 550, "%s <%s>: %s", r->dsn,
                c->envelope->recipients[d->indices[0]].address,
                r->text ? r->text : "refused by the destination");
}

static void verdict_not_kept(int rc, struct smtp_verdict *v)
{
    if (rc == -ENOSPC || rc == -EDQUOT)
        verdict_set(v, 452, "4.3.1 Insufficient system storage");
    else
        verdict_set(v, 451, "4.3.0 Error: queue file write error");
}

/* ---- the end of custody ---- */

static void custody_free(struct custody *c)
{
    struct intake *in = c->in;

    DL_DELETE(in->first, c);
    in->in_flight--;
    for (size_t i = 0; i < c->delivery_count; i++)
        delivery_deinit(&c->deliveries[i]);
    free(c->deliveries);
    records_deinit(&c->records);
    body_free(&c->body);
    envelope_free(&c->envelope);
    free(c);
    intake_arm_timer(in);
}

static void custody_answer(struct custody *c, const struct smtp_verdict *verdict)
{
    c->state = CUSTODY_ANSWERED;
    if (verdict->code < 300)
        c->in->messages_in++;
    if (c->done)
        c->done(c->ctx, verdict);
    c->done = NULL;
}

/* ---- results ---- */

static void count_result(struct custody *c, const struct delivery *d)
{
    for (size_t i = 0; i < d->count; i++) {
        enum delivery_outcome outcome = d->results[i].outcome;

        c->in->sent_directly += outcome == DELIVERY_SENT;
        c->in->failed_directly += outcome == DELIVERY_FAILED;
        c->in->deferred_directly +=
            outcome == DELIVERY_DEFERRED || outcome == DELIVERY_DEFERRED_DESTINATION;
        c->trouble = c->trouble || outcome == DELIVERY_DEFERRED_DESTINATION;
    }
    c->broken = c->broken || d->broken;
}

static void record_delivery(struct custody *c, const struct delivery *d)
{
    for (size_t i = 0; i < d->count; i++)
        delivery_log(d, c->in->log, i);
    count_result(c, d);
    records_add_delivery(&c->records, c->envelope, d, clock_wall_us() / 1000000);
}

/* After the answer, when no delivery is under way any more: what came after the commit goes to the
 * scheduler. */
static void custody_end(struct custody *c)
{
    for (size_t i = 0; i < c->delivery_count; i++) {
        if (c->deliveries[i].owner) /* not recorded at the commit */
            record_delivery(c, &c->deliveries[i]);
    }
    if (c->claimed)
        scheduler_settle(c->in->scheduler, c->envelope, &c->records, c->trouble, c->broken);
    custody_free(c);
}

static void on_delivered(struct delivery *d)
{
    struct custody *c = d->owner;

    c->outstanding--;
    if (c->starting || c->outstanding > 0 || c->state == CUSTODY_COMMITTING)
        return; /* a commit under way reads the envelope: its end looks at late results */
    if (c->state == CUSTODY_DELIVERING) {
        custody_decide(c);
        return;
    }
    custody_end(c);
}

/* True when the results alone are an answer: every recipient has it, or every one was refused. */
static bool verdict_of_results(const struct custody *c, struct smtp_verdict *v)
{
    size_t total = c->envelope->recipient_count;
    size_t sent = 0, failed = 0;

    for (size_t i = 0; i < c->delivery_count; i++) {
        for (size_t k = 0; k < c->deliveries[i].count; k++) {
            sent += c->deliveries[i].results[k].outcome == DELIVERY_SENT;
            failed += c->deliveries[i].results[k].outcome == DELIVERY_FAILED;
        }
    }
    if (sent == total)
        verdict_set(v, 250, "2.0.0 Ok: queued as %s", c->envelope->id.text);
    else if (failed == total)
        verdict_refused(c, v);
    return sent == total || failed == total;
}

/* ---- commit ---- */

static void on_committed(struct spool_commit *commit, int rc, const char *step)
{
    struct custody *c = (struct custody *)((char *)commit - offsetof(struct custody, commit));
    struct intake *in = c->in;
    struct smtp_verdict verdict;
    enum queue_origin origin = c->records.len == 0 ? QUEUE_FROM_FRESH
                               : c->trouble        ? QUEUE_FROM_TROUBLE
                                                   : QUEUE_FROM_LATER;
    bool over = c->outstanding == 0;
    bool late = false;

    records_deinit(&c->records); /* they are in the file */
    for (size_t i = 0; i < c->delivery_count; i++)
        late = late || c->deliveries[i].owner;
    c->claimed = rc == 0 && late;
    if (rc == 0) {
        verdict_set(&verdict, 250, "2.0.0 Ok: queued as %s", c->envelope->id.text);
        if (c->delivery_count == 0)
            scheduler_add_fresh(in->scheduler, &c->envelope, &c->body);
        else
            scheduler_add(in->scheduler, c->envelope, late ? QUEUE_FROM_CLAIMED : origin);
    } else {
        log_error(in->log, "cleanup", "%s: %s: %s: the message is not taken", c->envelope->id.text,
                  step, strerror(-rc));
        /* the last dot may have been answered meanwhile */
        if (!over || !verdict_of_results(c, &verdict))
            verdict_not_kept(rc, &verdict);
    }
    custody_answer(c, &verdict);
    if (over)
        custody_end(c);
}

/* With the results that are in; the others are recorded when they come (their owner stays set). */
void custody_commit(struct custody *c)
{
    int64_t wall_s = clock_wall_us() / 1000000;

    for (size_t i = 0; i < c->delivery_count; i++) {
        struct delivery *d = &c->deliveries[i];

        if (d->done_ms == 0)
            continue;
        record_delivery(c, d);
        d->owner = NULL;
    }
    if (envelope_pending(c->envelope) == 0 && envelope_count(c->envelope, RECIPIENT_FAILED) > 0)
        records_add_hold(&c->records, wall_s, "failed");
    c->state = CUSTODY_COMMITTING;
    c->commit = (struct spool_commit){.envelope = c->envelope,
                                      .body = c->body,
                                      .records = c->records.bytes,
                                      .records_len = c->records.len,
                                      .done = on_committed};
    spool_commit(c->in->spool, &c->commit);
}

/* ---- direct ---- */

/* All deliveries are done before anybody was answered. */
static void custody_decide(struct custody *c)
{
    struct smtp_verdict verdict;

    if (!verdict_of_results(c, &verdict)) {
        custody_commit(c);
        return;
    }
    if (verdict.code < 300) {
        for (size_t i = 0; i < c->delivery_count; i++)
            record_delivery(c, &c->deliveries[i]);
    } /* else the client hears it and tells its user: no bounce, and no status=bounced line */
    log_removed(c->in->log, c->envelope->id.text);
    custody_answer(c, &verdict);
    custody_free(c);
}

/* direct_timeout is over, or we are stopping: what has not sent its dot is taken back, the message
 * is spooled. */
void custody_give_up(struct custody *c, const char *why)
{
    c->starting = true;
    for (size_t i = 0; i < c->delivery_count; i++) {
        struct delivery *d = &c->deliveries[i];

        if (d->done_ms == 0 && delivery_cancel(d, why))
            upstream_probe(d->upstream); /* is it still there? */
    }
    c->starting = false;
    if (c->outstanding == 0)
        custody_decide(c);
    else
        custody_commit(c);
}

static bool deliveries_new(struct custody *c, const struct upstream *u)
{
    size_t limit = upstream_recipients_limit(u, DELIVERY_RECIPIENTS_MAX);
    size_t total = c->envelope->recipient_count;

    c->delivery_count = (total + limit - 1) / limit;
    c->deliveries = calloc(c->delivery_count, sizeof *c->deliveries);
    if (!c->deliveries) {
        c->delivery_count = 0;
        return false;
    }
    for (size_t i = 0; i < total; i++) {
        struct delivery *d = &c->deliveries[i / limit];

        d->indices[d->count++] = i;
    }
    return true;
}

void custody_deliver(struct custody *c, struct upstream *u)
{
    if (!deliveries_new(c, u)) {
        custody_commit(c); /* nobody is asked now: the queue does it */
        return;
    }
    c->starting = true;
    c->outstanding = c->delivery_count;
    c->deadline_ms = c->submitted_ms + c->in->config->direct_timeout;
    for (size_t i = 0; i < c->delivery_count; i++) {
        struct delivery *d = &c->deliveries[i];

        d->envelope = c->envelope;
        d->body = c->body;
        d->urgent = true;
        d->active_ms = c->submitted_ms;
        d->before_s = c->receive_s;
        d->done = on_delivered;
        d->owner = c;
        delivery_start(d, u, c->in->spool->disk);
    }
    c->starting = false;
    if (c->outstanding == 0)
        custody_decide(c);
    else
        intake_arm_timer(c->in);
}

/* The destination is down: say so of each recipient, in the log and in the file, and keep the mail.
 */
void custody_suspend(struct custody *c, struct upstream *u)
{
    if (deliveries_new(c, u)) {
        c->starting = true;
        c->outstanding = c->delivery_count;
        for (size_t i = 0; i < c->delivery_count; i++) {
            struct delivery *d = &c->deliveries[i];

            d->envelope = c->envelope;
            d->body = c->body;
            d->active_ms = c->submitted_ms;
            d->before_s = c->receive_s;
            d->done = on_delivered;
            d->owner = c;
            delivery_start(d, u, c->in->spool->disk); /* ends at once: it is down */
        }
        c->starting = false;
    }
    custody_commit(c);
}
