/* control_connection - see control_connection.h */
#include "control/control_connection.h"

#include "base/clock.h"
#include "control/control_query.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

/* ---- submissions ---- */

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
        control_answer_failure(c, c->submission.exit_code, span_of(c->submission.failure.line));
        return;
    }
}

static const struct submission_events submission_events;
static void on_ordered(void *ctx, const struct queue_order_result *result);

static void run_submit(struct control_connection *c, const struct control_request *r)
{
    const struct control_setup *setup = c->setup;
    struct submission_setup with = {&submission_events, c,      setup->intake, setup->config,
                                    setup->log,         c->uid, {""}};

    if (r->verb == CONTROL_RESUBMIT)
        with.original = r->id;

    if (*setup->submissions >= CONTROL_SUBMISSIONS_MAX) {
        control_answer_failure(c, EX_TEMPFAIL, SPAN_LIT("too many messages are being handed in"));
        return;
    }
    c->submitting = true;
    c->moved_ms = clock_mono_ms();
    ++*setup->submissions;
    take_step(c, submission_begin(&c->submission, &with));
}

/* It has its verdict, or the connection is gone. */
static void leave_submission(struct control_connection *c)
{
    if (c->submitting)
        --*c->setup->submissions;
    c->submitting = false;
}

static void run_from(struct control_connection *c, const struct control_request *r)
{
    take_step(c, submission_from(&c->submission, r->argument));
}

static void run_rcpt(struct control_connection *c, const struct control_request *r)
{
    take_step(c, submission_rcpt(&c->submission, r->argument));
}

static void run_chunk(struct control_connection *c, const struct control_request *r)
{
    /* its bytes follow; empty ones keep the connection alive, but not for ever */
    if (clock_mono_ms() - c->moved_ms >= CONTROL_STALL_MS)
        control_answer_failure(c, EX_TEMPFAIL, SPAN_LIT("the message does not go on"));
}

static void end_submission(struct control_connection *c)
{
    enum submission_step step;

    c->ending = true;
    wait_for_us(c); /* before: the verdict may come inside the call */
    step = submission_end(&c->submission);
    if (step == SUBMISSION_FAILED)
        take_step(c, step);
}

static void run_end(struct control_connection *c, const struct control_request *r)
{
    end_submission(c);
}

static void run_order(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;
    struct queue_order_request order;

    queue_order_parse(r->argument, &order); /* it was checked */
    c->order.asker.done = on_ordered;
    c->order.asker.ctx = c;
    wait_for_us(c); /* before: the end may come inside the call */
    if (!ops->order(ops->ctx, &order, &c->order.asker))
        control_answer_failure(c, EX_OSERR, SPAN_LIT("out of memory"));
}

static void go_on(struct control_connection *c);

/* ---- verify, smtp ---- */

static void on_verified(void *ctx, int exit_code, const char *words)
{
    struct control_connection *c = ctx;

    c->verify = NULL;
    if (exit_code != EX_OK) {
        control_answer_failure(c, exit_code, span_of(words));
        return;
    }
    control_answer_line(c, words);
    control_answer_ok(c);
    go_on(c);
}

static void run_verify(struct control_connection *c, const struct control_request *r)
{
    wait_for_us(c);
    c->verify = control_verify_ask(c->setup->relay, c->setup->config, r->argument, on_verified, c);
}

/* The socket by a second descriptor, which the SMTP server gets; ours is closed without a word. */
static void run_smtp(struct control_connection *c, const struct control_request *r)
{
    const struct control_ops *ops = c->setup->ops;
    uv_os_fd_t fd;
    int own = -1;

    if (uv_fileno(&c->stream.io.handle, &fd) == 0)
        own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own >= 0 && ops->smtp(ops->ctx, own) == 0) {
        c->finishing = true;
        stream_close(&c->stream);
        return;
    }
    if (own >= 0)
        close(own);
    control_answer_failure(c, EX_TEMPFAIL, SPAN_LIT("all server ports are busy"));
}

typedef void (*run_fn)(struct control_connection *c, const struct control_request *r);
static const run_fn runs[CONTROL_VERB_COUNT] = {
    [CONTROL_SUBMIT] = run_submit, [CONTROL_RESUBMIT] = run_submit, [CONTROL_FROM] = run_from,
    [CONTROL_RCPT] = run_rcpt,     [CONTROL_CHUNK] = run_chunk,     [CONTROL_END] = run_end,
    [CONTROL_ORDER] = run_order,   [CONTROL_VERIFY] = run_verify,   [CONTROL_SMTP] = run_smtp,
};

static void run_request(struct control_connection *c, const struct control_request *r)
{
    stream_deadline(&c->stream, CONTROL_IDLE_MS);
    if (runs[r->verb])
        runs[r->verb](c, r);
    else
        control_query(c, r);
}

/* ---- input ---- */

static void run_fault(struct control_connection *c, struct span why)
{
    log_warning(c->setup->log, "master", "control socket: uid=%u: %.*s", c->uid, (int)why.len,
                why.ptr);
    control_answer_failure(c, EX_PROTOCOL, why);
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
        c->moved_ms = clock_mono_ms();
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
        end_submission(c);
    else
        go_on(c);
}

static void on_verdict(void *ctx, const struct smtp_verdict *verdict)
{
    struct control_connection *c = ctx;
    int exit_code = control_exit_code(verdict);

    leave_submission(c);
    c->ending = false;
    if (exit_code != EX_OK) {
        control_answer_failure(c, exit_code, span_of(verdict->line));
        return;
    }
    control_answer_line(c, verdict->line);
    control_answer_ok(c);
    if (c->stopping)
        stream_finish(&c->stream);
    else
        go_on(c);
}

static const struct submission_events submission_events = {on_ready, on_verdict};

/* ---- orders ---- */

static void write_line(void *ctx, const char *line)
{
    control_answer_line(ctx, line);
}

static void on_ordered(void *ctx, const struct queue_order_result *result)
{
    struct control_connection *c = ctx;

    control_order_count(&c->order, result);
    control_order_report(result, write_line, c);
    if (result->stopped) {
        control_answer_failure(c, EX_TEMPFAIL, SPAN_LIT("the mail system is stopping"));
        return;
    }
    control_answer_ok(c);
    if (c->stopping)
        stream_finish(&c->stream);
    else
        go_on(c);
}

/* ---- connections ---- */

static void on_deadline(void *ctx)
{
    struct control_connection *c = ctx;

    control_answer_failure(c, EX_TEMPFAIL, SPAN_LIT("no request came in time"));
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
    leave_submission(c);
    control_verify_forget(&c->verify);
    scheduler_order_forget(&c->order.asker);
    control_order_log(&c->order, c->setup->log);
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
    if (c->submission.submitted || c->order.asker.batch)
        return; /* its verdict is on the way */
    if (submission_is_under_way(&c->submission))
        control_answer_failure(c, EX_TEMPFAIL, SPAN_LIT("the mail system is stopping"));
    else if (!c->finishing)
        stream_close(&c->stream);
}
