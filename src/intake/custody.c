/* custody - see custody.h */
#include "intake/custody.h"

#include "base/clock.h"
#include "base/crash_point.h"

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
    in->direct -= c->direct;
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
    CRASH_POINT("custody-answer");
    c->state = CUSTODY_ANSWERED;
    if (verdict->code < 300)
        c->in->messages_in++;
    if (c->done)
        c->done(c->ctx, verdict);
    CRASH_POINT("custody-answered");
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
    }
}

/* Once: it is ours, or on its way to be. Of a message that its client is told to keep the log has
 * the refusal only: readers count these lines as received mail. */
static void log_active(struct custody *c)
{
    const struct envelope *e = c->envelope;

    if (!c->active_logged)
        log_queue_active(c->in->log, e->id.text, e->sender, c->body->total, e->recipient_count);
    c->active_logged = true;
}

static void record_delivery(struct custody *c, struct delivery *d)
{
    log_active(c);
    for (size_t i = 0; i < d->count; i++)
        delivery_log(d, c->in->log, i);
    count_result(c, d);
    records_add_delivery(&c->records, c->envelope, d, clock_wall_us() / 1000000);
    d->owner = NULL;
}

static bool is_of(const struct delivery *d, const struct destination *destination)
{
    return !destination || d->destination == destination;
}

static bool has_trouble(const struct delivery *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->results[i].outcome == DELIVERY_DEFERRED_DESTINATION)
            return true;
    }
    return false;
}

/* ---- after the answer ---- */

/* A destination with late deliveries, all of which are done; false: none. */
static bool find_settled(const struct custody *c, const struct destination **out)
{
    for (size_t i = 0; i < c->delivery_count; i++) {
        const struct destination *to = c->whole ? NULL : c->deliveries[i].destination;
        bool done = c->deliveries[i].owner != NULL;

        for (size_t k = 0; k < c->delivery_count && done; k++)
            done = !is_of(&c->deliveries[k], to) || c->deliveries[k].done_ms > 0;
        *out = to;
        if (done)
            return true;
    }
    return false;
}

/* What came after the commit goes to the scheduler. */
static void settle(struct custody *c, const struct destination *to)
{
    struct queue_settlement settlement = {
        .envelope = c->envelope, .destination = to, .records = &c->records};

    for (size_t i = 0; i < c->delivery_count; i++) {
        struct delivery *d = &c->deliveries[i];

        if (!is_of(d, to))
            continue;
        settlement.trouble = settlement.trouble || has_trouble(d);
        settlement.broken = settlement.broken || d->broken;
        if (d->owner)
            record_delivery(c, d);
        for (size_t k = 0; k < d->count; k++)
            settlement.pending += c->envelope->recipients[d->indices[k]].state == RECIPIENT_PENDING;
    }
    if (c->claimed)
        scheduler_settle_part(c->in->scheduler, &settlement);
    records_deinit(&c->records);
}

/* Whatever is settled goes; when no delivery is under way any more, all is. */
static void custody_settle(struct custody *c)
{
    const struct destination *to;

    while (find_settled(c, &to))
        settle(c, to);
    if (c->outstanding == 0)
        custody_free(c);
}

static void on_delivered(struct delivery *d)
{
    struct custody *c = d->owner;

    CRASH_POINT("custody-delivered");
    c->outstanding--;
    if (c->starting || c->state == CUSTODY_COMMITTING)
        return; /* a commit under way reads the envelope: its end looks at late results */
    if (c->state == CUSTODY_ANSWERED)
        custody_settle(c);
    else if (c->outstanding == 0)
        custody_decide(c);
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

/* How the queue is to take the recipients of this destination (NULL: all of them). */
static enum queue_origin origin_of(void *ctx, const struct destination *destination)
{
    struct custody *c = ctx;
    enum queue_origin origin = QUEUE_FROM_FRESH;

    if (c->generation != c->in->relay->generation)
        destination = NULL; /* they may have another one now */
    c->whole = c->whole || !destination;
    for (size_t i = 0; i < c->delivery_count; i++) {
        const struct delivery *d = &c->deliveries[i];

        if (!is_of(d, destination))
            continue;
        if (d->owner)
            return QUEUE_FROM_CLAIMED;
        if (has_trouble(d))
            origin = QUEUE_FROM_TROUBLE;
        else if (origin == QUEUE_FROM_FRESH)
            origin = QUEUE_FROM_LATER;
    }
    return origin;
}

static void queue_committed(struct custody *c)
{
    for (size_t i = 0; i < c->delivery_count; i++)
        c->claimed = c->claimed || c->deliveries[i].owner;
    if (c->delivery_count == 0)
        scheduler_add_fresh(c->in->scheduler, &c->envelope, &c->body);
    else
        scheduler_add_parts(c->in->scheduler, c->envelope, origin_of, c);
}

static void on_committed(struct spool_commit *commit, int rc, const char *step)
{
    struct custody *c = (struct custody *)((char *)commit - offsetof(struct custody, commit));
    struct intake *in = c->in;
    struct smtp_verdict verdict;

    records_deinit(&c->records); /* they are in the file */
    if (rc == 0) {
        verdict_set(&verdict, 250, "2.0.0 Ok: queued as %s", c->envelope->id.text);
        queue_committed(c);
    } else {
        log_error(in->log, "cleanup", "%s: %s: %s: the message is not taken", c->envelope->id.text,
                  step, strerror(-rc));
        /* the last dot may have been answered meanwhile */
        if (c->outstanding > 0 || !verdict_of_results(c, &verdict))
            verdict_not_kept(rc, &verdict);
    }
    custody_answer(c, &verdict);
    custody_settle(c);
}

/* With the results that are in; the others are recorded when they come (their owner stays set). */
void custody_commit(struct custody *c)
{
    int64_t wall_s = clock_wall_us() / 1000000;

    if (c->delivery_count > 0) /* else the scheduler tells when it becomes active */
        log_active(c);
    for (size_t i = 0; i < c->delivery_count; i++) {
        if (c->deliveries[i].done_ms > 0)
            record_delivery(c, &c->deliveries[i]);
    }
    if (envelope_pending(c->envelope) == 0 && envelope_count(c->envelope, RECIPIENT_FAILED) > 0)
        records_add_hold(&c->records, wall_s, SPOOL_WHY_FAILED);
    c->state = CUSTODY_COMMITTING;
    c->commit = (struct spool_commit){.envelope = c->envelope,
                                      .body = c->body,
                                      .records = c->records.bytes,
                                      .records_len = c->records.len,
                                      .done = on_committed};
    spool_commit(c->in->spool, &c->commit);
}

/* ---- direct ---- */

/* Delivered directly, and its sender knows as much as he asked for. */
static void on_reported(void *ctx)
{
    struct custody *c = ctx;
    struct smtp_verdict verdict;

    log_removed(c->in->log, c->envelope->id.text);
    verdict_set(&verdict, 250, "2.0.0 Ok: queued as %s", c->envelope->id.text);
    custody_answer(c, &verdict);
    custody_free(c);
}

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
        c->state = CUSTODY_REPORTING;
        if (scheduler_owes_success(c->in->scheduler, c->envelope))
            scheduler_tell_success(c->in->scheduler, c->envelope, c->body, on_reported, c);
        else
            on_reported(c);
        return;
    } /* else the client hears it and tells its user: no bounce, and no status=bounced line */
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

/* The delivery that has room for one more of this destination; NULL: memory is out. */
static struct delivery *delivery_for(struct custody *c, struct destination *to)
{
    size_t limit = destination_recipients_limit(to, DELIVERY_RECIPIENTS_MAX);
    struct delivery *grown;

    for (size_t i = c->delivery_count; i-- > 0;) {
        if (c->deliveries[i].destination == to && c->deliveries[i].count < limit)
            return &c->deliveries[i];
    }
    grown = realloc(c->deliveries, (c->delivery_count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    c->deliveries = grown;
    grown += c->delivery_count++;
    *grown = (struct delivery){.destination = to,
                               .envelope = c->envelope,
                               .body = c->body,
                               .active_ms = c->submitted_ms,
                               .before_s = c->receive_s,
                               .done = on_delivered,
                               .owner = c};
    return grown;
}

/* down: only for destinations that are. False, and none, when memory is out. */
static bool deliveries_new(struct custody *c, bool down)
{
    c->generation = c->in->relay->generation;
    for (size_t i = 0; i < c->envelope->recipient_count; i++) {
        struct destination *to = relay_destination(c->in->relay, span_of(c->envelope->sender),
                                                   span_of(c->envelope->recipients[i].address));
        struct delivery *d;

        if (down && !destination_is_down(to))
            continue;
        d = delivery_for(c, to);
        if (!d) {
            c->delivery_count = 0;
            return false;
        }
        c->direct += d->count == 0 && to->on_demand;
        d->urgent = !down;
        d->indices[d->count++] = i;
    }
    return true;
}

static void start_all(struct custody *c)
{
    c->starting = true;
    c->outstanding = c->delivery_count;
    for (size_t i = 0; i < c->delivery_count; i++)
        delivery_start(&c->deliveries[i], c->deliveries[i].destination, c->in->spool->disk);
    c->starting = false;
}

void custody_deliver(struct custody *c)
{
    if (!deliveries_new(c, false) || c->in->direct + c->direct > c->in->relay->direct_deliveries) {
        c->delivery_count = c->direct = 0;
        custody_commit(c); /* nobody is asked now: the queue does it */
        return;
    }
    c->in->direct += c->direct;
    c->deadline_ms = c->submitted_ms + c->in->config->direct_timeout;
    start_all(c);
    if (c->outstanding == 0)
        custody_decide(c);
    else
        intake_arm_timer(c->in);
}

void custody_suspend(struct custody *c)
{
    if (deliveries_new(c, true))
        start_all(c); /* they end at once */
    c->direct = 0;
    custody_commit(c);
}
