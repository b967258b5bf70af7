/* control_query - see control_query.h */
#include "control/control_query.h"

#include "base/clock.h"
#include "control/control_format_status.h"

#include <stdlib.h>
#include <sysexits.h>

/* ---- replies ---- */

static void send_text(struct control_connection *c, const struct text *t)
{
    stream_send(&c->stream, text_as_span(t));
}

void control_answer_ok(struct control_connection *c)
{
    stream_send(&c->stream, SPAN_LIT("ok\n"));
}

void control_answer_line(struct control_connection *c, const char *words)
{
    char buf[1024];
    struct text t;

    text_init(&t, buf, sizeof buf);
    control_put_text(&t, span_of(words));
    send_text(c, &t);
}

static void reply_count(struct control_connection *c, size_t count)
{
    char buf[32];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_u64(&t, count);
    control_answer_line(c, buf);
    control_answer_ok(c);
}

void control_answer_failure(struct control_connection *c, int exit_code, struct span words)
{
    char buf[CONTROL_LINE_MAX + 32];
    struct text t;

    c->finishing = true;
    submission_abort(&c->submission);
    text_init(&t, buf, sizeof buf);
    control_put_error(&t, exit_code, words);
    send_text(c, &t);
    stream_finish(&c->stream);
}

static void reply_memory(struct control_connection *c)
{
    control_answer_failure(c, EX_OSERR, SPAN_LIT("out of memory"));
}

/* ---- requests ---- */

static void reply_report(struct control_connection *c, struct text *report, struct text *reply)
{
    struct span rest = text_as_span(report);

    while (rest.len > 0) {
        size_t lf = span_find(rest, '\n');

        control_put_text(reply, span_first(rest, lf));
        rest = span_from(rest, lf + 1);
    }
    control_put_ok(reply);
    send_text(c, reply);
}

static void run_status(struct control_connection *c, bool json)
{
    const struct control_ops *ops = c->setup->ops;
    struct status *status = calloc(1, sizeof *status);
    char *buf = malloc(2 * CONTROL_STATUS_CAP + CONTROL_LINE_MAX);
    struct text report;
    struct text reply;

    if (!status || !buf) {
        reply_memory(c);
    } else {
        ops->status(ops->ctx, status);
        text_init(&report, buf, CONTROL_STATUS_CAP);
        text_init(&reply, buf + CONTROL_STATUS_CAP, CONTROL_STATUS_CAP + CONTROL_LINE_MAX);
        if (json)
            control_format_status_json(&report, status);
        else
            control_format_status_text(&report, status, clock_wall_us() / 1000000);
        reply_report(c, &report, &reply);
    }
    free(buf);
    free(status);
}

static void run_active(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;
    struct queue_id *ids = calloc(CONTROL_ACTIVE_MAX, sizeof *ids);
    size_t count;

    if (!ids) {
        reply_memory(c);
        return;
    }
    count = ops->active(ops->ctx, ids, CONTROL_ACTIVE_MAX);
    for (size_t i = 0; i < count; i++)
        control_answer_line(c, ids[i].text);
    control_answer_ok(c);
    free(ids);
}

static void run_ping(struct control_connection *c, const struct control_request *r)
{
    control_answer_ok(c);
}

static void run_status_text(struct control_connection *c, const struct control_request *r)
{
    run_status(c, false);
}

static void run_status_json(struct control_connection *c, const struct control_request *r)
{
    run_status(c, true);
}

static void run_flush(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;

    reply_count(c, ops->flush(ops->ctx, NULL, NULL));
}

static void run_flush_id(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;

    reply_count(c, ops->flush(ops->ctx, &r->id, NULL));
}

static void run_flush_site(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;
    char site[CONTROL_LINE_MAX + 1];

    span_copy(r->argument, site, sizeof site); /* fits, and holds no NUL */
    reply_count(c, ops->flush(ops->ctx, NULL, site));
}

static void run_reload(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;
    struct errbuf err = {""};
    int exit_code = ops->reload(ops->ctx, &err);

    if (exit_code == EX_OK)
        control_answer_ok(c);
    else
        control_answer_failure(c, exit_code, span_of(err.text));
}

static void run_drain(struct control_connection *c, const struct control_request *r)
{
    static const enum control_drain_order orders[CONTROL_VERB_COUNT] = {
        [CONTROL_DRAIN] = CONTROL_DRAIN_BEGIN, [CONTROL_DRAIN_UNDO] = CONTROL_DRAIN_END};
    const struct control_ops *ops = c->setup->ops;
    struct control_drain progress;
    uint64_t patience_ms = 0;
    char buf[512];
    struct text t;

    span_to_u64(r->argument, CONTROL_DRAIN_WAIT_MAX, &patience_ms); /* it was checked */
    if (!ops->drain(ops->ctx, orders[r->verb], patience_ms, &progress)) {
        control_answer_failure(c, EX_TEMPFAIL,
                               SPAN_LIT("the mail system is stopping; what it has not delivered is "
                                        "in its queue"));
        return;
    }
    text_init(&t, buf, sizeof buf);
    control_drain_put(&t, &progress);
    control_answer_line(c, buf);
    control_answer_ok(c);
}

/* The connection stays until the daemon closes it: so whoever asked can wait for the end. */
static void run_stop(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;

    control_answer_ok(c);
    stream_deadline(&c->stream, 0);
    ops->stop(ops->ctx);
}

typedef void (*query_fn)(struct control_connection *c, const struct control_request *r);
static const query_fn queries[CONTROL_VERB_COUNT] = {
    [CONTROL_PING] = run_ping,
    [CONTROL_STATUS] = run_status_text,
    [CONTROL_STATUS_JSON] = run_status_json,
    [CONTROL_ACTIVE] = run_active,
    [CONTROL_FLUSH] = run_flush,
    [CONTROL_FLUSH_ID] = run_flush_id,
    [CONTROL_FLUSH_SITE] = run_flush_site,
    [CONTROL_RELOAD] = run_reload,
    [CONTROL_STOP] = run_stop,
    [CONTROL_DRAIN] = run_drain,
    [CONTROL_DRAIN_SHOW] = run_drain,
    [CONTROL_DRAIN_UNDO] = run_drain,
};

void control_query(struct control_connection *c, const struct control_request *r)
{
    queries[r->verb](c, r);
}
