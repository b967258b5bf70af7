/* control_connection - see control_connection.h */
#include "control/control_connection.h"

#include "base/clock.h"
#include "control/control_format_status.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

/* ---- replies ---- */

static void send_text(struct control_connection *c, const struct text *t)
{
    stream_send(&c->stream, text_as_span(t));
}

static void reply_ok(struct control_connection *c)
{
    stream_send(&c->stream, SPAN_LIT("ok\n"));
}

static void reply_line(struct control_connection *c, const char *words)
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
    reply_line(c, buf);
    reply_ok(c);
}

/* The last word: what follows on the connection may be the rest of a message and is not read. */
static void reply_failure(struct control_connection *c, int exit_code, struct span words)
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
    reply_failure(c, EX_OSERR, SPAN_LIT("out of memory"));
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

static void run_active(struct control_connection *c)
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
        reply_line(c, ids[i].text);
    reply_ok(c);
    free(ids);
}

static void run_flush(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;
    char site[CONTROL_LINE_MAX + 1];

    if (r->verb == CONTROL_FLUSH_SITE && !span_copy(r->argument, site, sizeof site))
        site[0] = '\0';
    reply_count(c, ops->flush(ops->ctx, r->verb == CONTROL_FLUSH_ID ? &r->id : NULL,
                              r->verb == CONTROL_FLUSH_SITE ? site : NULL));
}

static void wait_for_us(struct control_connection *c)
{
    c->waiting = true;
    stream_deadline(&c->stream, 0);
}

/* What a step of the submission means for the connection. */
static void take_step(struct control_connection *c, enum submission_step step)
{
    switch (step) {
    case SUBMISSION_OK:
        return;
    case SUBMISSION_WAIT:
        wait_for_us(c);
        return;
    case SUBMISSION_FAILED:
        reply_failure(c, c->submission.exit_code, span_of(c->submission.failure.line));
        return;
    }
}

static void run_end(struct control_connection *c)
{
    enum submission_step step;

    c->ending = true;
    wait_for_us(c); /* before: the verdict may come inside the call */
    step = submission_end(&c->submission);
    if (step == SUBMISSION_FAILED)
        take_step(c, step);
}

static const struct submission_events submission_events;

static void run_submit(struct control_connection *c)
{
    const struct control_setup *setup = c->setup;
    struct submission_setup with = {&submission_events, c,          setup->intake,
                                    setup->config,      setup->log, c->uid};

    take_step(c, submission_begin(&c->submission, &with));
}

static void run_request(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;

    stream_deadline(&c->stream, CONTROL_IDLE_MS);
    switch (r->verb) {
    case CONTROL_PING:
        reply_ok(c);
        return;
    case CONTROL_STATUS:
    case CONTROL_STATUS_JSON:
        run_status(c, r->verb == CONTROL_STATUS_JSON);
        return;
    case CONTROL_ACTIVE:
        run_active(c);
        return;
    case CONTROL_FLUSH:
    case CONTROL_FLUSH_ID:
    case CONTROL_FLUSH_SITE:
        run_flush(c, r);
        return;
    case CONTROL_RELOAD:
        ops->reload(ops->ctx);
        reply_ok(c);
        return;
    case CONTROL_SUBMIT:
        run_submit(c);
        return;
    case CONTROL_FROM:
        take_step(c, submission_from(&c->submission, r->argument));
        return;
    case CONTROL_RCPT:
        take_step(c, submission_rcpt(&c->submission, r->argument));
        return;
    case CONTROL_CHUNK:
        return; /* its bytes follow */
    case CONTROL_END:
        run_end(c);
        return;
    case CONTROL_VERB_COUNT:
        break;
    }
    assert(false);
}

/* ---- input ---- */

static void run_fault(struct control_connection *c, struct span why)
{
    log_warning(c->setup->log, "master", "control socket: uid=%u: %.*s", c->uid, (int)why.len,
                why.ptr);
    reply_failure(c, EX_PROTOCOL, why);
}

/* One event; false when all input is used. */
static bool run_event(struct control_connection *c, struct span *in)
{
    struct control_request request;
    struct span bytes;
    size_t len;

    switch (control_parse(&c->parser, in, &request, &bytes)) {
    case CONTROL_MORE:
        return false;
    case CONTROL_REQUEST:
        run_request(c, &request);
        return true;
    case CONTROL_BYTES:
        len = bytes.len;
        take_step(c, submission_bytes(&c->submission, &bytes));
        control_take(&c->parser, in, len - bytes.len);
        return true;
    case CONTROL_FAULT:
        run_fault(c, bytes);
        return true;
    }
    return false;
}

static size_t on_data(void *ctx, const char *bytes, size_t len)
{
    struct control_connection *c = ctx;
    struct span in = span_make(bytes, len);

    while (!c->waiting && !c->finishing) {
        /* A client reads one reply before it needs the next; one that never reads must not fill our
         * memory. */
        if (stream_pending(&c->stream) > STREAM_OUT_HIGH)
            run_fault(c, SPAN_LIT("too many requests at once"));
        else if (!run_event(c, &in))
            break;
    }
    return c->finishing ? len : len - in.len;
}

static void go_on(struct control_connection *c)
{
    c->waiting = false;
    stream_deadline(&c->stream, CONTROL_IDLE_MS);
    stream_resume(&c->stream);
}

/* ---- submission events ---- */

static void on_ready(void *ctx)
{
    struct control_connection *c = ctx;

    if (c->ending)
        run_end(c);
    else
        go_on(c);
}

static void on_verdict(void *ctx, const struct smtp_verdict *verdict)
{
    struct control_connection *c = ctx;
    int exit_code = control_exit_code(verdict);

    c->ending = false;
    if (exit_code != EX_OK) {
        reply_failure(c, exit_code, span_of(verdict->line));
        return;
    }
    reply_line(c, verdict->line);
    reply_ok(c);
    if (c->stopping)
        stream_finish(&c->stream);
    else
        go_on(c);
}

static const struct submission_events submission_events = {on_ready, on_verdict};

/* ---- connections ---- */

static void on_deadline(void *ctx)
{
    struct control_connection *c = ctx;

    reply_failure(c, EX_TEMPFAIL, SPAN_LIT("no request came in time"));
}

static void on_end(void *ctx, int rc)
{
    struct control_connection *c = ctx;

    (void)rc;
    stream_close(&c->stream); /* a message that was submitted is ours all the same */
}

static void on_closed(void *ctx)
{
    struct control_connection *c = ctx;

    submission_abort(&c->submission);
    c->setup = NULL;
    c->released(c->released_ctx);
}

static const struct stream_events stream_events = {
    .on_data = on_data,
    .on_deadline = on_deadline,
    .on_end = on_end,
    .on_closed = on_closed,
};

static unsigned peer_uid(const struct stream *stream)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof peer;
    uv_os_fd_t fd;

    if (uv_fileno(&stream->io.handle, &fd) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        peer.uid = (uid_t)-1;
    return (unsigned)peer.uid;
}

int control_connection_accept(struct control_connection *c, const struct control_setup *setup,
                              uv_stream_t *listener, void (*released)(void *ctx), void *ctx)
{
    int rc;

    memset(c, 0, sizeof *c);
    rc = stream_accept(&c->stream, setup->pool, listener, &stream_events, c);
    if (rc < 0)
        return rc;
    c->setup = setup;
    c->released = released;
    c->released_ctx = ctx;
    c->uid = peer_uid(&c->stream);
    control_parser_init(&c->parser);
    stream_deadline(&c->stream, CONTROL_IDLE_MS);
    stream_read(&c->stream);
    return 0;
}

void control_connection_stop(struct control_connection *c)
{
    c->stopping = true;
    if (c->submission.submitted)
        return; /* its verdict is on the way */
    if (submission_is_under_way(&c->submission))
        reply_failure(c, EX_TEMPFAIL, SPAN_LIT("the mail system is stopping"));
    else if (!c->finishing)
        stream_close(&c->stream);
}
