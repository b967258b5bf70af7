/*
 * connection - one SMTP client: its stream, its session, and what the session asks of the rest.
 * How it begins: connection_accept.c; behind a load balancer connection_proxy.c
 *
 *   stream --bytes--> session_input --session_ops--> intake, verify, resolver
 *   stream <--replies-- session <--session_submitted, session_rcpt_answer, ...--+
 *
 * Lives from accept until the stream's and the timers' handles are closed. After `gone` no answer
 * reaches the session any more: whoever still works for it is told to forget it.
 */
#include "server/connection_internal.h"

#include "config/way.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define INPUT_SLICE 4096 /* between looks at how much the client has not read yet */

/* ---- what the session asks ---- */

static void on_send(void *ctx, struct span bytes)
{
    struct connection *c = ctx;

    stream_send(&c->stream, bytes);
}

static void on_hang_up(void *ctx)
{
    struct connection *c = ctx;

    stream_finish(&c->stream);
}

static bool under_stress(const struct smtp_server *s)
{
    return s->limits.total * 4 >= s->config->smtpd_connection_limit * 3;
}

static void on_wait(void *ctx, enum session_wait what)
{
    struct connection *c = ctx;
    const struct config *config = c->server->config;
    uint64_t limit =
        what == SESSION_WAIT_TLS ? config->smtpd_starttls_timeout : config->smtpd_timeout;

    if (what == SESSION_WAIT_PAUSE) {
        stream_deadline(&c->stream, c->session.pause_ms);
        return;
    }
    if (under_stress(c->server) && config->smtpd_stress_timeout < limit)
        limit = config->smtpd_stress_timeout;
    stream_deadline(&c->stream, what == SESSION_WAIT_US ? 0 : limit);
}

static void end_at_eof(struct connection *c);

static void on_resume(void *ctx)
{
    struct connection *c = ctx;

    if (c->eof)
        end_at_eof(c);
    else
        stream_resume(&c->stream);
}

static void on_peer_name(void *ctx, const struct resolver_peer *peer)
{
    struct connection *c = ctx;

    c->name_query = NULL;
    if (!c->gone)
        session_peer_name(&c->session, peer->name, peer->reverse, peer->verified);
}

static void on_peer(void *ctx)
{
    struct connection *c = ctx;

    c->name_query = resolver_peer_name(c->server->resolver, (struct sockaddr *)&c->address,
                                       c->server->config->smtpd_peername_timeout, on_peer_name, c);
}

static bool on_mail(void *ctx, uint64_t size, struct smtp_verdict *verdict_out)
{
    struct connection *c = ctx;

    return intake_may_come(c->server->intake, size, verdict_out);
}

static void on_verified(struct verify_query *q, enum verify_answer answer, unsigned code,
                        const char *dsn, const char *why)
{
    static const enum session_rcpt_answer answers[] = {[VERIFY_ACCEPT] = SESSION_RCPT_ACCEPT,
                                                       [VERIFY_REJECT] = SESSION_RCPT_REJECT,
                                                       [VERIFY_DEFER] = SESSION_RCPT_DEFER};
    struct connection *c = q->owner;

    session_rcpt_answer(&c->session, answers[answer], code, dsn, why);
}

static bool query_new(struct connection *c)
{
    c->query = calloc(1, sizeof *c->query);
    if (!c->query)
        return false;
    c->query->done = on_verified;
    c->query->owner = c;
    verify_query_init(c->query, &c->server->relay->verify);
    c->holds++;
    return true;
}

static void on_recipient(void *ctx, const struct envelope *e, const struct smtp_address *recipient,
                         bool must)
{
    struct connection *c = ctx;
    struct relay *relay = c->server->relay;
    struct span address = smtp_address_span(recipient);

    /* servers of others are not asked: they would take it for a search for addresses */
    if (!way_is_inside(relay->context.config, address) ||
        (!must && !c->server->config->verify_recipients)) {
        session_rcpt_answer(&c->session, SESSION_RCPT_ACCEPT, 250, "2.1.5", "");
        return;
    }
    if (!c->query && !query_new(c)) {
        session_rcpt_answer(&c->session, SESSION_RCPT_DEFER, 451, "4.3.0", "out of memory");
        return;
    }
    verify_ask(c->query, relay_destination(relay, span_of(e->sender), address), recipient->text);
}

static void on_queue_id(void *ctx, struct queue_id *id_out, int64_t *arrival_us_out)
{
    struct connection *c = ctx;

    intake_queue_id(c->server->intake, id_out, arrival_us_out);
}

static bool on_body_begin(void *ctx, const struct envelope *e, struct smtp_verdict *verdict_out)
{
    struct connection *c = ctx;

    if (!intake_may_come(c->server->intake, 0, verdict_out))
        return false;
    c->body = intake_body_new(c->server->intake, e);
    if (c->body)
        return true;
    verdict_out->code = 451;
    span_copy(SPAN_LIT("451 4.3.0 Error: out of memory"), verdict_out->line,
              sizeof verdict_out->line);
    return false;
}

static void on_room(void *ctx, int rc)
{
    struct connection *c = ctx;

    if (rc < 0)
        log_error(c->server->log, "cleanup", "%s: write to queue_directory/incoming: %s",
                  c->body->id.text, strerror(-rc));
    if (!c->gone)
        session_room(&c->session, rc);
}

static char *on_body_room(void *ctx, size_t need, size_t *cap_out)
{
    struct connection *c = ctx;
    char *room = body_room(c->body, cap_out);

    if (*cap_out >= need)
        return room;
    if (!body_make_room(c->body, need, on_room, c))
        return NULL;
    return body_room(c->body, cap_out);
}

static void on_body_wrote(void *ctx, size_t len)
{
    struct connection *c = ctx;

    body_wrote(c->body, len);
}

static void on_body_abort(void *ctx)
{
    struct connection *c = ctx;

    body_free(&c->body);
}

static void on_submitted(void *ctx, const struct smtp_verdict *verdict)
{
    struct connection *c = ctx;

    if (!c->gone)
        session_submitted(&c->session, verdict);
}

static void on_submit(void *ctx, struct envelope *e, const char *message_id)
{
    struct connection *c = ctx;
    struct body *body = c->body;

    (void)message_id; /* the session has logged it */
    c->body = NULL;
    intake_submit(c->server->intake, e, body, on_submitted, c);
}

const struct session_ops connection_session_ops = {
    .send = on_send,
    .hang_up = on_hang_up,
    .wait = on_wait,
    .resume = on_resume,
    .peer = on_peer,
    .mail = on_mail,
    .event = connection_event,
    .lookup = connection_lookup,
    .recipient = on_recipient,
    .queue_id = on_queue_id,
    .body_begin = on_body_begin,
    .body_room = on_body_room,
    .body_wrote = on_body_wrote,
    .body_abort = on_body_abort,
    .submit = on_submit,
    .tls_offered = connection_tls_offered,
    .tls_prepare = connection_tls_prepare,
    .tls_start = connection_tls_start,
    .auth_mechanisms = connection_auth_mechanisms,
    .auth_start = connection_auth_start,
    .auth_next = connection_auth_next,
    .auth_cancel = connection_auth_cancel,
};

/* ---- what the stream says ---- */

static size_t on_data(void *ctx, const char *bytes, size_t len)
{
    struct connection *c = ctx;
    size_t taken = 0;

    while (taken < len && !c->gone) {
        size_t slice = len - taken < INPUT_SLICE ? len - taken : INPUT_SLICE;
        size_t n;

        if (stream_pending(&c->stream) > STREAM_OUT_HIGH)
            break; /* a client that does not read its replies is not read either: on_drained */
        n = session_input(&c->session, bytes + taken, slice);
        taken += n;
        if (n < slice)
            break;
    }
    return taken;
}

static void on_drained(void *ctx)
{
    struct connection *c = ctx;

    if (!c->gone)
        stream_resume(&c->stream);
}

static void on_deadline(void *ctx)
{
    struct connection *c = ctx;

    session_timeout(&c->session);
}

static void forget(struct connection *c)
{
    c->gone = true;
    resolver_cancel(&c->name_query);
    resolver_cancel(&c->lookup_query);
    connection_auth_cancel(c);
    if (c->query)
        verify_cancel(c->query);
    intake_forget(c->server->intake, c);
}

/* All is answered; the client may not have read it yet. */
static void end_at_eof(struct connection *c)
{
    forget(c);
    session_lost(&c->session);
    stream_finish(&c->stream);
}

/*
 * The client shut down its side, perhaps only that: some do so after the final dot and wait for the
 * reply, and without one they would send a message again that was delivered. What the session is
 * busy with is answered; on_resume tells when it needs input that will not come.
 */
static void on_eof(void *ctx)
{
    struct connection *c = ctx;

    c->eof = true;
    if (c->session.busy == SESSION_FREE)
        end_at_eof(c);
}

static void on_end(void *ctx, int rc)
{
    struct connection *c = ctx;

    forget(c);
    connection_tls_lost(c, rc);
    stream_close(&c->stream);
}

static void connection_release(struct connection *c)
{
    struct smtp_server *s = c->server;

    if (--c->holds > 0)
        return;
    free(c);
    smtp_server_release(s);
}

static void on_query_closed(struct verify_query *q)
{
    struct connection *c = q->owner;

    free(q);
    c->query = NULL;
    connection_release(c);
}

static void on_closed(void *ctx)
{
    struct connection *c = ctx;

    forget(c);
    if (c->query)
        verify_query_close(c->query, on_query_closed);
    session_deinit(&c->session);
    body_free(&c->body);
    connection_tls_release(c);
    connection_auth_release(c);
    DL_DELETE(c->server->connections, c);
    c->server->connection_count--;
    c->server->rejected += c->session.rejects;
    if (c->counted)
        limits_leave(&c->server->limits, c->limits_key);
    connection_release(c);
}

const struct stream_events connection_stream_events = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_deadline = on_deadline,
    .on_eof = on_eof,
    .on_end = on_end,
    .on_closed = on_closed,
    .on_secured = connection_on_secured,
};

unsigned connection_rejects(const struct connection *c)
{
    return c->session.rejects;
}

struct connection *connection_next(struct connection *c)
{
    return c->next;
}

/* Not before its PROXY header, and never where it was reset before it was accepted. */
static bool has_session(const struct connection *c)
{
    return c->session.config && !c->gone;
}

void connection_shutdown(struct connection *c)
{
    if (c->proxy && c->server->stopping)
        stream_close(&c->stream); /* nobody is known to wait behind it */
    else if (has_session(c))
        session_shutdown(&c->session);
}

bool connection_is_busy(const struct connection *c)
{
    return has_session(c) && c->session.state != SESSION_CLOSING;
}

void connection_close(struct connection *c)
{
    stream_close(&c->stream);
}
