/* delivery - see delivery.h */
#include "relay/delivery.h"

#include "base/clock.h"
#include "relay/maildir.h"

#include <stdlib.h>
#include <string.h>

static void pump(struct delivery *d);

/* ---- results ---- */

static void set_result(struct delivery *d, size_t position, enum delivery_outcome outcome,
                       const char *dsn, const char *text)
{
    struct delivery_result *r = &d->results[position];
    struct text t;

    r->outcome = outcome;
    text_init(&t, r->dsn, sizeof r->dsn);
    text_cstr(&t, dsn);
    free(r->text);
    r->text = strdup(text);
}

static void set_undecided(struct delivery *d, const char *dsn, const char *why)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->results[i].outcome == DELIVERY_UNDECIDED)
            set_result(d, i, DELIVERY_DEFERRED_DESTINATION, dsn, why);
    }
}

static void finish_when_over(struct delivery *d)
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

static void on_result(struct upstream_job *job, size_t position, enum client_blame blame,
                      enum client_step step, const struct smtp_reply *reply)
{
    struct delivery *d = of_job(job);
    bool soft = d->upstream->context->config->soft_bounce;
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
    set_result(d, position, outcome, dsn, buf);
    d->results[position].code = reply->code;
}

static void on_end(struct upstream_job *job, enum upstream_end end, const char *dsn,
                   const char *why)
{
    struct delivery *d = of_job(job);

    memcpy(d->relay, job->relay, sizeof d->relay);
    d->sending = false;
    d->broken = end == UPSTREAM_END_BROKEN;
    for (size_t i = 0; d->broken && !d->body_begun && i < d->count; i++)
        d->results[i].outcome = DELIVERY_UNDECIDED; /* out of step: whose reply was it? (P3) */
    if (end ==
        UPSTREAM_END_FINISHED) /* every recipient has its result; if not, it is not lost either */
        set_undecided(d, "4.3.0", "the destination gave no result");
    else
        set_undecided(d, dsn, why);
    d->job_over = true;
    finish_when_over(d);
}

/* ---- the body ---- */

static void on_chunk_read(struct lane_job *job)
{
    struct delivery *d = (struct delivery *)((char *)job - offsetof(struct delivery, read_job));

    d->reading = false;
    if (d->job_over) {
        finish_when_over(d);
        return;
    }
    if (d->chunk_len <= 0) {
        d->sending = false;
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

/* ---- maildir ---- */

static void write_maildir(struct lane_job *job)
{
    struct delivery *d = (struct delivery *)((char *)job - offsetof(struct delivery, read_job));
    const char *step = "";
    char buf[400];
    struct text t;
    int rc = maildir_write(d->upstream->route.path, d->config->myhostname, d->envelope, d->indices,
                           d->count, d->body, &step);

    text_init(&t, buf, sizeof buf);
    if (rc == 0)
        text_cstr(&t, "delivered to maildir");
    else
        text_printf(&t, "maildir %s: %s: %s", d->upstream->route.path, step, strerror(-rc));
    for (size_t i = 0; i < d->count; i++) {
        set_result(d, i, rc == 0 ? DELIVERY_SENT : DELIVERY_DEFERRED, rc == 0 ? "2.0.0" : "4.2.0",
                   buf);
        d->results[i].code = rc == 0 ? 250 : 0;
    }
}

static void on_maildir_written(struct lane_job *job)
{
    struct delivery *d = (struct delivery *)((char *)job - offsetof(struct delivery, read_job));

    config_unref(&d->config);
    d->reading = false;
    d->job_over = true;
    finish_when_over(d);
}

static void start_maildir(struct delivery *d)
{
    struct text t;

    text_init(&t, d->relay, sizeof d->relay);
    text_cstr(&t, "maildir");
    d->job.program = "virtual"; /* Postfix's maildir delivery agent */
    d->job.conn_use = 1;
    d->job.asked_ms = d->job.begun_ms = clock_mono_ms();
    d->config = config_ref(d->upstream->context->config); /* a reload may come meanwhile */
    d->reading = true;
    d->read_job.work = write_maildir;
    d->read_job.done = on_maildir_written;
    lane_submit(d->disk, &d->read_job);
}

/* ---- start, cancel, log ---- */

void delivery_start(struct delivery *d, struct upstream *u, struct lane *disk)
{
    memset(d->results, 0, sizeof d->results);
    d->upstream = u;
    d->disk = disk;
    d->chunk = NULL;
    d->broken = d->body_begun = d->reading = d->sending = d->job_over = d->cancelled = false;
    d->job = (struct upstream_job){.events = &delivery_job_events, .urgent = d->urgent};
    d->job.t.envelope = d->envelope;
    d->job.t.indices = d->indices;
    d->job.t.count = d->count;
    d->job.t.size = d->body->total;
    if (u->route.kind == ROUTE_MAILDIR)
        start_maildir(d);
    else
        upstream_submit(u, &d->job);
}

bool delivery_cancel(struct delivery *d, const char *why)
{
    if (d->cancelled)
        return true;
    if (d->job_over || d->upstream->route.kind == ROUTE_MAILDIR || !upstream_cancel(&d->job))
        return false;
    d->cancelled = true;
    memcpy(d->relay, d->job.relay, sizeof d->relay);
    if (!d->job.begun_ms)
        d->job.begun_ms = clock_mono_ms();
    d->sending = false;
    set_undecided(d, "4.4.2", why);
    d->job_over = true;
    finish_when_over(d);
    return true;
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
        .relay = d->relay[0] ? d->relay : "none",
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
    for (size_t i = 0; i < d->count; i++) {
        free(d->results[i].text);
        d->results[i].text = NULL;
    }
}
