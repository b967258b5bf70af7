/* upstream_session - one connection to a destination: the stream and the client engine joined; see
 * upstream_internal.h */
#include "relay/upstream_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static const struct client_ops session_client_ops;

/* ---- the end of a session ---- */

/* Postfix's words for what was going on when a conversation ended. */
static const char *step_doing(const struct upstream_session *s, enum client_step step)
{
    switch (step) {
    case CLIENT_STEP_GREETING:
        return "receiving the initial server greeting";
    case CLIENT_STEP_HELLO:
        if (s->client.helo)
            return "performing the HELO handshake";
        return s->client.protocol == CLIENT_LMTP ? "performing the LHLO handshake"
                                                 : "performing the EHLO handshake";
    case CLIENT_STEP_STARTTLS:
        return "receiving the STARTTLS response";
    case CLIENT_STEP_TLS:
        return "performing the TLS handshake";
    case CLIENT_STEP_AUTH:
        return "performing SASL authentication";
    case CLIENT_STEP_XCLIENT:
        return "sending XCLIENT";
    case CLIENT_STEP_MAIL:
        return "sending MAIL FROM";
    case CLIENT_STEP_RCPT:
        return "sending RCPT TO";
    case CLIENT_STEP_DATA:
        return "sending DATA command";
    case CLIENT_STEP_BODY:
        return "sending message body";
    case CLIENT_STEP_END:
        return "sending end of data -- message may be sent more than once";
    case CLIENT_STEP_RSET:
        return "sending RSET";
    case CLIENT_STEP_QUIT:
        return "sending QUIT";
    case CLIENT_STEP_IDLE:
    case CLIENT_STEP_BROKEN:
    case CLIENT_STEP_COUNT:
        break;
    }
    return "waiting";
}

/* The client's words begin with "host", or speak of it after these: which one is known here. */
#define TLS_REQUIRED "TLS is required, but "

static void name_host(const struct upstream_session *s, struct span words, struct text *why)
{
    struct span login = SPAN_LIT(CLIENT_LOGIN_FAILED);
    struct span host = SPAN_LIT("host");
    size_t at = 0;

    if (span_starts_nocase(words, login)) { /* Postfix has no "host" there */
        text_span(why, login);
        text_cstr(why, s->host);
        text_span(why, span_from(words, login.len + host.len));
        return;
    }
    if (span_starts_nocase(words, SPAN_LIT(TLS_REQUIRED))) {
        while (at < words.len && !span_starts_nocase(span_from(words, at), host))
            at++;
    }
    if (!span_starts_nocase(span_from(words, at), host)) {
        text_printf(why, "host %s: ", s->host);
        text_span(why, words);
        return;
    }
    text_span(why, span_first(words, at));
    text_printf(why, "host %s", s->host);
    text_span(why, span_from(words, at + host.len));
}

static void describe_end(const struct upstream_session *s, enum client_step step, const char *text,
                         struct text *why)
{
    if (upstream_tls_describe(s, text, why))
        return;
    if (s->timed_out) {
        text_printf(why, "conversation with %s timed out while %s", s->host, step_doing(s, step));
    } else if (s->how) {
        text_printf(why, "%s with %s while %s", s->how, s->host, step_doing(s, step));
    } else {
        name_host(s, span_of(text), why);
        if (s->ready)
            text_printf(why, " while %s", step_doing(s, step));
    }
}

/* This mail host is in trouble with its mail: it is asked last for a while, by new sessions. */
static void shun(struct upstream_session *s, struct upstream_job *job)
{
    struct upstream_session *other, *next;

    if (!s->mx_name)
        return;
    upstream_set_text(s->u->shunned, sizeof s->u->shunned, s->mx_name);
    s->u->shunned_until_ms = clock_mono_ms() + s->config->minimal_backoff_time;
    job->elsewhere = s->other_host;
    DL_FOREACH_SAFE(s->u->sessions, other, next) {
        if (!other->mx_name || strcmp(other->mx_name, s->mx_name) != 0)
            continue;
        other->outdated = true;
        if (other->idle) /* else it would get the job that is to go to the next host */
            upstream_session_quit(other);
    }
}

static void end_job(struct upstream_session *s, enum client_step step, const char *dsn,
                    const char *why)
{
    struct upstream_job *job = s->job;
    bool nothing_yet = step == CLIENT_STEP_IDLE || step == CLIENT_STEP_XCLIENT ||
                       step == CLIENT_STEP_HELLO || step == CLIENT_STEP_MAIL ||
                       step == CLIENT_STEP_RCPT || step == CLIENT_STEP_DATA;
    bool again;

    s->job = NULL;
    job->session = NULL;
    upstream_job_left(s->u);
    again = nothing_yet && !s->silent && s->client.uses > 1 && job->results == 0;
    if (!again)
        shun(s, job);
    upstream_job_broken(s->u, job, again, dsn, why);
}

static void choose_dsn(const struct upstream_session *s, enum client_step step,
                       const struct smtp_reply *reply, char dsn[12])
{
    const char *ours = "4.4.2";

    if (step == CLIENT_STEP_AUTH && reply && reply->code != 421)
        ours = "4.7.8"; /* whatever its words are: not to be asked again at once */
    else if (step == CLIENT_STEP_AUTH && !reply && !s->how && !s->timed_out)
        ours = "4.7.0";
    else if (reply && reply->enhanced[0] == '4')
        ours = reply->enhanced;
    else if (reply)
        ours = "4.3.0";
    else if (s->securing)
        ours = "4.7.5";
    else if (step == CLIENT_STEP_STARTTLS && !s->how && !s->timed_out)
        ours = "4.7.4";
    upstream_set_text(dsn, 12, ours);
}

static void on_client_broken(void *ctx, enum client_step step, const struct smtp_reply *reply,
                             const char *text)
{
    struct upstream_session *s = ctx;
    bool was_ready = s->ready;
    bool quitting = s->quitting || s->idle;
    bool in_clear;
    char buf[900];
    char dsn[12];
    struct text why;

    upstream_login_forget(s);
    text_init(&why, buf, sizeof buf);
    describe_end(s, step, text, &why);
    choose_dsn(s, step, reply, dsn);
    s->silent = s->timed_out;
    in_clear = upstream_tls_fall_back(s, step, buf);
    /* a login that is refused here is not shown to the next host: accounts are locked for that */
    if (!in_clear && !was_ready && !quitting && step != CLIENT_STEP_AUTH &&
        upstream_session_walk_on(s, buf))
        return;
    upstream_session_close(s);
    if (in_clear) {
        upstream_try_again(s->u);
        return;
    }
    if (s->job)
        end_job(s, step, dsn, buf);
    else if (!was_ready && !quitting)
        upstream_open_failed(s->u, s, dsn, buf);
}

void upstream_session_close(struct upstream_session *s)
{
    if (s->closing)
        return;
    s->closing = true;
    s->idle = false;
    if (!s->ready)
        s->u->opening--;
    resolver_cancel(&s->query);
    if (s->has_stream)
        stream_close(&s->stream);
    else if (!s->starting && !s->held)
        upstream_session_gone(s->u, s);
}

static void on_stream_closed(void *ctx)
{
    struct upstream_session *s = ctx;

    s->has_stream = false;
    if (s->closing)
        upstream_session_gone(s->u, s);
    else
        upstream_session_connect_next(s); /* this address did not answer: the next one */
}

/* ---- the client engine's wishes ---- */

static void on_client_send(void *ctx, struct span bytes)
{
    struct upstream_session *s = ctx;

    stream_send(&s->stream, bytes);
}

static void on_client_step(void *ctx, enum client_step step)
{
    struct upstream_session *s = ctx;
    uint64_t limit = upstream_step_limit_ms(s->u, step);
    uint64_t now = clock_mono_ms();
    uint64_t left = s->connect_by_ms > now ? s->connect_by_ms - now : 1;

    /* The whole opening has one limit (lmtp_connect_timeout), but what TLS and a login take. */
    if (s->u->route.out) { /* each step has its own: greetings of others may be slow on purpose */
        if (step == CLIENT_STEP_GREETING)
            limit = upstream_step_limit_ms(s->u, CLIENT_STEP_HELLO);
    } else if (!s->ready && left < limit && step != CLIENT_STEP_STARTTLS &&
               step != CLIENT_STEP_TLS && step != CLIENT_STEP_AUTH && !stream_tls_facts(&s->stream))
        limit = left;
    s->progress_ms = now;
    if (step != CLIENT_STEP_IDLE && step != CLIENT_STEP_BROKEN)
        stream_deadline(&s->stream, limit);
}

static void end_finished_job(struct upstream_session *s)
{
    struct upstream_job *job = s->job;

    if (!job || !s->finished)
        return;
    s->job = NULL;
    job->session = NULL;
    upstream_job_left(s->u);
    if (s->later == job->t.count && !job->t.probe_recipient) /* it takes none of them now */
        shun(s, job);
    job->events->on_end(job, UPSTREAM_END_FINISHED, "", "");
}

static bool is_worn_out(const struct upstream_session *s)
{
    uint64_t uses = upstream_reuse_limit(s->u);

    if (!s->idle || s->closing)
        return false;
    if (s->outdated)
        return true;
    if (s->client.uses == 0)
        return false;
    return (uses > 0 && s->client.uses >= uses) ||
           clock_mono_ms() - s->opened_ms >= upstream_reuse_limit_ms(s->u);
}

static void on_client_idle(void *ctx)
{
    struct upstream_session *s = ctx;
    bool opening = !s->ready;

    upstream_login_forget(s);
    end_finished_job(s);
    if (s->closing || s->job)
        return; /* what that set off was faster */
    s->idle = true;
    if (opening) {
        s->ready = true;
        s->u->opening--;
        s->setup_ms = clock_mono_ms() - s->opened_ms;
        upstream_tls_note(s);
        upstream_opened(s->u, s);
    }
    if (is_worn_out(s)) { /* its place goes to a fresh one */
        upstream_session_quit(s);
        return;
    }
    if (s->idle && !s->closing)
        upstream_session_idle(s->u, s);
    if (!s->idle || s->closing)
        return;
    if (upstream_idle_limit_ms(s->u) == 0 || s->u->retired)
        upstream_session_quit(s);
    else
        stream_deadline(&s->stream, upstream_idle_limit_ms(s->u));
}

static void on_client_result(void *ctx, size_t position, enum client_blame blame,
                             enum client_step step, const struct smtp_reply *reply)
{
    struct upstream_session *s = ctx;

    if (!s->job)
        return;
    s->job->results++;
    s->job->can_report = (s->client.can & CLIENT_CAN_DSN) != 0;
    s->later += step != CLIENT_STEP_END &&
                (blame == CLIENT_BLAME_LATER || blame == CLIENT_BLAME_DESTINATION);
    s->job->events->on_result(s->job, position, blame, step, reply);
}

static void on_client_body(void *ctx)
{
    struct upstream_session *s = ctx;

    if (s->job)
        s->job->events->on_body(s->job);
}

/* The job's end waits for on_idle: a surplus reply that comes before it voids what it said (P3). */
static void on_client_finished(void *ctx)
{
    struct upstream_session *s = ctx;

    s->finished = true;
}

static void on_client_starttls(void *ctx)
{
    upstream_tls_start(ctx);
}

static void on_client_login(void *ctx)
{
    upstream_login_give(ctx);
}

static const struct client_ops session_client_ops = {
    .send = on_client_send,
    .on_step = on_client_step,
    .starttls = on_client_starttls,
    .login = on_client_login,
    .on_idle = on_client_idle,
    .on_result = on_client_result,
    .on_body = on_client_body,
    .on_finished = on_client_finished,
    .on_broken = on_client_broken,
};

/* ---- the stream's news ---- */

static void on_stream_open(void *ctx)
{
    struct upstream_session *s = ctx;
    const struct config *config = s->config; /* a reload may free the current one */
    struct client_settings client = {
        .protocol = s->u->protocol,
        .out = s->u->route.out,
        .fallback = config->relay_protocol_fallback && !s->u->route.out,
        .hello_name = upstream_hello_name(s->u, config),
        .discard = upstream_discarded(s->u, config),
        .tls = upstream_tls_mode(s),
        .wrapped = s->tls->wrapper,
        .login = s->has_login,
        .auth_in_clear = s->login.in_clear,
        .auth_in_tls = s->login.in_tls,
        /* it would undo the login */
        .xclient = config->lmtp_send_xclient && !s->u->route.out && !s->has_login,
        .xclient_timeout_s = (unsigned)(upstream_step_limit_ms(s->u, CLIENT_STEP_END) / 1000),
    };

    client_init(&s->client, &session_client_ops, s, &client);
    if (s->tls->wrapper) {
        upstream_tls_start(s);
        return;
    }
    client_start(&s->client);
    stream_read(&s->stream);
}

static void on_stream_secured(void *ctx)
{
    struct upstream_session *s = ctx;

    s->progress_ms = clock_mono_ms();
    upstream_tls_secured(s);
    if (s->tls->wrapper)
        client_start(&s->client);
    else
        client_secured(&s->client);
}

static size_t on_stream_data(void *ctx, const char *bytes, size_t len)
{
    struct upstream_session *s = ctx;

    s->progress_ms = clock_mono_ms();
    client_input(&s->client, span_make(bytes, len));
    return len;
}

static void on_stream_drained(void *ctx)
{
    struct upstream_session *s = ctx;

    if (s->closing || !s->job || s->client.step != CLIENT_STEP_BODY)
        return;
    s->progress_ms = clock_mono_ms(); /* a block was taken */
    stream_deadline(&s->stream, upstream_step_limit_ms(s->u, CLIENT_STEP_BODY));
    s->job->events->on_drained(s->job);
}

static void on_stream_deadline(void *ctx)
{
    struct upstream_session *s = ctx;

    if (!s->stream.open) {
        s->connect_rc = UV_ETIMEDOUT;
        stream_close(&s->stream); /* the next address, or the end: on_stream_closed */
    } else if (s->idle) {
        upstream_session_quit(s);
    } else {
        upstream_session_give_up(s);
    }
}

void upstream_session_give_up(struct upstream_session *s)
{
    s->timed_out = true;
    client_fail(&s->client, "timed out");
}

static void on_stream_end(void *ctx, int rc)
{
    struct upstream_session *s = ctx;

    if (!s->stream.open) {
        s->connect_rc = rc;
        stream_close(&s->stream);
        return;
    }
    s->how = "lost connection";
    if (rc == UV_EPROTO && !s->securing)
        log_info(s->u->context->log, upstream_program(s->u), "TLS with %s broke: %s", s->relay,
                 stream_tls_error(&s->stream));
    client_fail(&s->client, rc == UV_EOF ? "lost connection" : uv_strerror(rc));
}

const struct stream_events upstream_session_stream_events = {
    .on_open = on_stream_open,
    .on_data = on_stream_data,
    .on_drained = on_stream_drained,
    .on_deadline = on_stream_deadline,
    .on_end = on_stream_end,
    .on_closed = on_stream_closed,
    .on_secured = on_stream_secured,
};

/* ---- use ---- */

void upstream_session_begin(struct upstream_session *s, struct upstream_job *job)
{
    struct text t;

    s->idle = s->finished = false;
    s->later = 0;
    s->job = job;
    job->session = s;
    job->begun_ms = clock_mono_ms();
    job->setup_ms = s->client.uses == 0 ? s->setup_ms : 0;
    job->conn_use = s->client.uses + 1;
    job->program = s->client.protocol == CLIENT_LMTP ? "lmtp" : "smtp";
    text_init(&t, job->relay, sizeof job->relay);
    text_cstr(&t, s->relay);
    s->u->active++;
    if (job->events->on_begin)
        job->events->on_begin(job);
    client_begin(&s->client, &job->t);
}

void upstream_session_quit(struct upstream_session *s)
{
    s->idle = false;
    s->quitting = true;
    client_quit(&s->client);
}

void upstream_job_body(struct upstream_job *job, struct span canonical)
{
    client_body(&job->session->client, canonical);
}

void upstream_job_body_end(struct upstream_job *job)
{
    client_body_end(&job->session->client);
}

size_t upstream_job_pending(const struct upstream_job *job)
{
    return job->session ? stream_pending(&job->session->stream) : 0;
}

void upstream_job_abort(struct upstream_job *job, const char *why)
{
    if (job->session) {
        job->session->how = NULL;
        client_fail(&job->session->client, why);
    }
}

void upstream_said(const struct upstream_job *job, enum client_step step,
                   const struct smtp_reply *reply, struct text *t)
{
    const struct upstream_session *s = job->session;

    text_printf(t, "host %s said: %s (in reply to %s)", s->host, reply->text,
                client_step_words(step, s->client.protocol));
}
