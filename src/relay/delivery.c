/* delivery - see delivery.h */
#include "relay/delivery_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(DELIVERY_RECIPIENTS_MAX <= 64, "a bit of `movable` for each");

static void pump(struct delivery *d);
static void ask(struct delivery *d);

/* ---- results ---- */

void delivery_set_result(struct delivery *d, size_t position, enum delivery_outcome outcome,
                         const char *dsn, const char *text)
{
    struct delivery_result *r = &d->results[position];
    struct text t;

    r->outcome = outcome;
    r->target = (unsigned char)d->target;
    text_init(&t, r->dsn, sizeof r->dsn);
    text_cstr(&t, dsn);
    free(r->text);
    r->text = strdup(text);
}

static void set_undecided(struct delivery *d, enum delivery_outcome outcome, const char *dsn,
                          const char *why)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->results[i].outcome == DELIVERY_UNDECIDED)
            delivery_set_result(d, i, outcome, dsn, why);
    }
}

void delivery_finish_when_over(struct delivery *d)
{
    if (!d->job_over || d->reading)
        return;
    free(d->chunk);
    d->chunk = NULL;
    d->done_ms = clock_mono_ms();
    d->done(d);
}

static struct delivery *of_job(struct upstream_job *job)
{
    return (struct delivery *)((char *)job - offsetof(struct delivery, job));
}

/* The enhanced code for the log: the upstream's, of the class that we make of it. */
static void result_dsn(enum delivery_outcome outcome, const struct smtp_reply *reply, char dsn[12])
{
    static const char defaults[][6] = {
        [DELIVERY_SENT] = "2.0.0", [DELIVERY_DEFERRED] = "4.0.0", [DELIVERY_FAILED] = "5.0.0"};

    memset(dsn, 0, 12);
    memcpy(dsn, reply->enhanced[0] ? reply->enhanced : defaults[outcome],
           reply->enhanced[0] ? sizeof reply->enhanced : sizeof defaults[outcome]);
    dsn[0] = defaults[outcome][0];
}

/* Who announces DSN heard of NOTIFY and sees to it; where mail ends nobody else will (RFC
 * 3461 5.2.2, 6.2.2). */
static enum recipient_owes owed_by(const struct delivery *d)
{
    if (d->job.can_report)
        return RECIPIENT_OWES_NOTHING;
    return d->upstream->protocol == CLIENT_LMTP && d->upstream->context->config->lmtp_assume_final
               ? RECIPIENT_OWES_DELIVERED
               : RECIPIENT_OWES_RELAYED;
}

static void on_result(struct upstream_job *job, size_t asked, enum client_blame blame,
                      enum client_step step, const struct smtp_reply *reply)
{
    struct delivery *d = of_job(job);
    bool soft = d->never_final || d->upstream->context->config->soft_bounce;
    size_t position = d->position[asked];
    enum delivery_outcome outcome = blame == CLIENT_BLAME_NONE                 ? DELIVERY_SENT
                                    : blame == CLIENT_BLAME_RECIPIENT && !soft ? DELIVERY_FAILED
                                                                               : DELIVERY_DEFERRED;
    char buf[1600];
    char dsn[12];
    struct text t;

    text_init(&t, buf, sizeof buf);
    if (outcome == DELIVERY_SENT)
        text_cstr(&t, reply->text);
    else
        upstream_said(job, step, reply, &t);
    result_dsn(outcome, reply, dsn);
    delivery_set_result(d, position, outcome, dsn, buf);
    d->results[position].code = reply->code;
    d->results[position].owes = owed_by(d);
    if (step != CLIENT_STEP_END && (blame == CLIENT_BLAME_DESTINATION ||
                                    (blame == CLIENT_BLAME_LATER && step != CLIENT_STEP_RCPT)))
        d->movable |= UINT64_C(1) << position;
}

/* Out of step before 354: whose reply was it? (P3) */
static void forget_results(struct delivery *d)
{
    for (size_t i = 0; i < d->asked_count; i++)
        d->results[d->position[i]].outcome = DELIVERY_UNDECIDED;
    d->movable = 0;
}

/* The recipients' domain does not exist, or takes no mail: its own DNS says so. */
static void refuse(struct delivery *d, const char *dsn, const char *why)
{
    bool soft = d->never_final || d->upstream->context->config->soft_bounce;
    char ours[12];
    struct text t;

    text_init(&t, ours, sizeof ours);
    text_cstr(&t, dsn);
    if (soft)
        ours[0] = '4';
    set_undecided(d, soft ? DELIVERY_DEFERRED : DELIVERY_FAILED, ours, why);
}

static void on_end(struct upstream_job *job, enum upstream_end end, const char *dsn,
                   const char *why)
{
    struct delivery *d = of_job(job);

    memcpy(d->relay, job->relay, sizeof d->relay);
    d->sending = false;
    d->broken = end == UPSTREAM_END_BROKEN;
    if (d->broken && !d->body_begun)
        forget_results(d);
    if (delivery_ask_next(d, end, why))
        return;
    if (end == UPSTREAM_END_REFUSED)
        refuse(d, dsn, why);
    else if (end == UPSTREAM_END_FINISHED) /* every recipient has its result; if not, it is not lost
                                              either */
        set_undecided(d, DELIVERY_DEFERRED_DESTINATION, "4.3.0", "the destination gave no result");
    else
        set_undecided(d,
                      d->dot_given && d->destination->count > 1 ? DELIVERY_DEFERRED
                                                                : DELIVERY_DEFERRED_DESTINATION,
                      dsn, why);
    d->job_over = true;
    delivery_finish_when_over(d);
}

/* ---- the body ---- */

static void on_chunk_read(struct lane_job *job)
{
    struct delivery *d = (struct delivery *)((char *)job - offsetof(struct delivery, read_job));

    d->reading = false;
    if (d->job_over) {
        delivery_finish_when_over(d);
        return;
    }
    if (d->moving) {
        d->moving = false;
        ask(d);
        return;
    }
    if (d->chunk_len <= 0) {
        d->sending = false;
        d->aborted = true;
        upstream_job_abort(&d->job, "spool file read error");
        return;
    }
    d->offset += (uint64_t)d->chunk_len;
    upstream_job_body(&d->job, span_make(d->chunk, (size_t)d->chunk_len));
    pump(d);
}

/* Most messages are small, and a 64 KiB block would be asked from the system for each. */
static size_t chunk_cap(const struct delivery *d)
{
    return d->body->total < DELIVERY_CHUNK ? (size_t)d->body->total : DELIVERY_CHUNK;
}

static void read_chunk(struct lane_job *job)
{
    struct delivery *d = (struct delivery *)((char *)job - offsetof(struct delivery, read_job));

    d->chunk_len = body_read(d->body, d->offset, d->chunk, chunk_cap(d));
}

static void start_read(struct delivery *d)
{
    if (!d->chunk)
        d->chunk = malloc(chunk_cap(d));
    if (!d->chunk) {
        d->sending = false;
        d->aborted = true;
        upstream_job_abort(&d->job, "out of memory");
        return;
    }
    d->reading = true;
    d->read_job.work = read_chunk;
    d->read_job.done = on_chunk_read;
    lane_submit(d->disk, &d->read_job);
}

/* Sends what the socket takes; goes on in on_drained or when a chunk was read. */
static void pump(struct delivery *d)
{
    struct span view;

    while (d->sending && !d->reading && upstream_job_pending(&d->job) < STREAM_OUT_HIGH) {
        if (d->offset == d->body->total) {
            d->sending = false;
            d->dot_given = true;
            upstream_job_body_end(&d->job);
            return;
        }
        if (!body_view(d->body, d->offset, &view)) {
            start_read(d);
            return;
        }
        view = span_first(view, DELIVERY_CHUNK);
        d->offset += view.len;
        upstream_job_body(&d->job, view);
    }
}

static void on_body(struct upstream_job *job)
{
    struct delivery *d = of_job(job);

    d->body_begun = true;
    d->offset = 0; /* a job that was taken to a fresh session starts again */
    d->sending = true;
    pump(d);
}

static void on_drained(struct upstream_job *job)
{
    pump(of_job(job));
}

static const struct upstream_job_events delivery_job_events = {
    .on_result = on_result,
    .on_body = on_body,
    .on_drained = on_drained,
    .on_end = on_end,
};

/* ---- which target ---- */

/* All of `count` that have no result yet are for d->upstream. */
static void ask(struct delivery *d)
{
    d->body_begun = d->sending = d->dot_given = d->broken = false;
    d->offset = 0;
    d->movable = 0;
    d->job = (struct upstream_job){.events = &delivery_job_events, .urgent = d->urgent};
    d->job.t.envelope = d->envelope;
    d->job.t.indices = d->asked;
    d->job.t.count = d->asked_count;
    d->job.t.size = d->body->total;
    if (d->upstream->route.kind == ROUTE_MAILDIR)
        delivery_start_maildir(d);
    else
        upstream_submit(d->upstream, &d->job);
}

static void choose(struct delivery *d, size_t target)
{
    d->target = target;
    d->tried |= 1u << target;
    d->upstream = d->destination->targets[target];
    d->asked_count = 0;
    for (size_t i = 0; i < d->count; i++) {
        if (d->results[i].outcome != DELIVERY_UNDECIDED)
            continue;
        d->position[d->asked_count] = (unsigned char)i;
        d->asked[d->asked_count++] = d->indices[i];
    }
}

/* The results that were the target's trouble are none; false when there is nothing to ask for. */
static bool reopen(struct delivery *d, enum upstream_end end)
{
    bool any = false;

    for (size_t i = 0; i < d->count; i++) {
        if (d->movable >> i & 1)
            d->results[i].outcome = DELIVERY_UNDECIDED;
        any = any || (d->results[i].outcome == DELIVERY_UNDECIDED &&
                      (end != UPSTREAM_END_FINISHED || (d->movable >> i & 1)));
    }
    return any;
}

static const char *first_trouble(const struct delivery *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->movable >> i & 1)
            return d->results[i].text ? d->results[i].text : "";
    }
    return "";
}

bool delivery_ask_next(struct delivery *d, enum upstream_end end, const char *why)
{
    size_t next = destination_pick(d->destination, d->tried);

    if (next == d->destination->count || d->aborted || (end == UPSTREAM_END_BROKEN && d->dot_given))
        return false;
    if (!reopen(d, end))
        return false;
    if (end != UPSTREAM_END_DOWN) /* that was said when it went down */
        log_info(d->upstream->context->log, d->job.program, "%s: %s", d->envelope->id.text,
                 end == UPSTREAM_END_FINISHED ? first_trouble(d) : why);
    d->relays[d->target] = strdup(d->relay);
    choose(d, next);
    d->moving = d->reading;
    if (!d->moving)
        ask(d);
    return true;
}

/* ---- start, cancel, log ---- */

void delivery_start(struct delivery *d, struct destination *destination, struct lane *disk)
{
    size_t target = destination_pick(destination, 0);

    memset(d->results, 0, sizeof d->results);
    memset(d->relays, 0, sizeof d->relays);
    d->destination = destination;
    d->counted = true;
    destination->users++;
    d->disk = disk;
    d->chunk = NULL;
    d->tried = 0;
    d->reading = d->job_over = d->cancelled = d->aborted = d->moving = false;
    choose(d, target < destination->count ? target : 0);
    ask(d);
}

bool delivery_cancel(struct delivery *d, const char *why)
{
    if (d->cancelled)
        return true;
    if (d->job_over)
        return false;
    if (!d->moving && (d->upstream->route.kind == ROUTE_MAILDIR || !upstream_cancel(&d->job)))
        return false;
    d->cancelled = true;
    d->moving = false;
    memcpy(d->relay, d->job.relay, sizeof d->relay);
    if (!d->job.begun_ms)
        d->job.begun_ms = clock_mono_ms();
    d->sending = false;
    set_undecided(d, DELIVERY_DEFERRED_DESTINATION, "4.4.2", why);
    d->job_over = true;
    delivery_finish_when_over(d);
    return true;
}

const char *delivery_relay(const struct delivery *d, size_t position)
{
    const struct delivery_result *r = &d->results[position];
    const char *relay = r->target == d->target ? d->relay : d->relays[r->target];

    return relay && relay[0] ? relay : "none";
}

void delivery_log(const struct delivery *d, const struct log *log, size_t position)
{
    const struct delivery_result *r = &d->results[position];
    uint64_t begun = d->job.begun_ms ? d->job.begun_ms : d->done_ms;
    uint64_t setup =
        d->job.setup_ms < begun - d->active_ms ? d->job.setup_ms : begun - d->active_ms;
    struct log_delivery line = {
        .program = d->job.program,
        .queue_id = d->envelope->id.text,
        .recipient = d->envelope->recipients[d->indices[position]].address,
        .relay = delivery_relay(d, position),
        .conn_use = d->job.conn_use,
        .dsn = r->dsn,
        .text = r->text ? r->text : "",
    };

    line.status = r->outcome == DELIVERY_SENT     ? LOG_STATUS_SENT
                  : r->outcome == DELIVERY_FAILED ? LOG_STATUS_BOUNCED
                                                  : LOG_STATUS_DEFERRED;
    line.delays[0] = d->before_s;
    line.delays[1] = (double)(begun - d->active_ms - setup) / 1000;
    line.delays[2] = (double)setup / 1000;
    line.delays[3] = (double)(d->done_ms - begun) / 1000;
    log_delivery(log, &line);
}

void delivery_deinit(struct delivery *d)
{
    if (d->counted)
        d->destination->users--;
    d->counted = false;
    for (size_t i = 0; i < d->count; i++) {
        free(d->results[i].text);
        d->results[i].text = NULL;
    }
    for (size_t i = 0; i < ROUTE_TARGETS_MAX; i++) {
        free(d->relays[i]);
        d->relays[i] = NULL;
    }
}
