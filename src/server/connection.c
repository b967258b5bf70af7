/*
 * connection - one SMTP client: its stream, its session, and what the session asks of the rest
 *
 *   stream --bytes--> session_input --session_ops--> intake, verify, resolver
 *   stream <--replies-- session <--session_submitted, session_rcpt_answer, ...--+
 *
 * Lives from accept until the stream's and the timers' handles are closed. After `gone` no answer
 * reaches the session any more: whoever still works for it is told to forget it.
 */
#include "server/listener.h"

#include "base/clock.h"
#include "config/cidr.h"
#include "server/session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#define INPUT_SLICE 4096 /* between looks at how much the client has not read yet */

struct connection {
    struct smtp_server *server;
    struct connection *prev, *next;
    struct stream stream;
    struct session session;
    struct verify_query *query; /* owned; from the first question on: idle clients have none */
    struct resolver_query *name_query; /* borrowed */
    struct body *body;                 /* owned */
    struct sockaddr_storage address;
    unsigned char address16[16];
    bool counted;
    bool started;
    bool gone;
    unsigned holds; /* stream, query if there is one */
};

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
    uint64_t limit = config->smtpd_timeout;

    if (under_stress(c->server) && config->smtpd_stress_timeout < limit)
        limit = config->smtpd_stress_timeout;
    stream_deadline(&c->stream, what == SESSION_WAIT_US ? 0 : limit);
}

static void on_resume(void *ctx)
{
    struct connection *c = ctx;

    stream_resume(&c->stream);
}

static void on_peer_name(void *ctx, const char *name)
{
    struct connection *c = ctx;

    c->name_query = NULL;
    if (!c->gone)
        session_peer_name(&c->session, name);
}

static void on_peer(void *ctx)
{
    struct connection *c = ctx;
    const struct config *config = c->server->config;

    if (!config->smtpd_peername_lookup) {
        session_peer_name(&c->session, "unknown");
        return;
    }
    c->name_query = resolver_peer_name(c->server->resolver, (struct sockaddr *)&c->address,
                                       config->smtpd_peername_timeout, on_peer_name, c);
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

static void on_recipient(void *ctx, const struct envelope *e, const struct smtp_address *recipient)
{
    struct connection *c = ctx;
    struct upstream *u = relay_destination(c->server->relay, smtp_address_domain(recipient));

    (void)e;
    if (!c->server->config->verify_recipients) {
        session_rcpt_answer(&c->session, SESSION_RCPT_ACCEPT, 250, "2.1.5", "");
        return;
    }
    if (!c->query && !query_new(c)) {
        session_rcpt_answer(&c->session, SESSION_RCPT_DEFER, 451, "4.3.0", "out of memory");
        return;
    }
    verify_ask(c->query, u, recipient->text);
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

static const struct session_ops connection_session_ops = {
    .send = on_send,
    .hang_up = on_hang_up,
    .wait = on_wait,
    .resume = on_resume,
    .peer = on_peer,
    .mail = on_mail,
    .recipient = on_recipient,
    .queue_id = on_queue_id,
    .body_begin = on_body_begin,
    .body_room = on_body_room,
    .body_wrote = on_body_wrote,
    .body_abort = on_body_abort,
    .submit = on_submit,
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
    if (c->query)
        verify_cancel(c->query);
    intake_forget(c->server->intake, c);
}

static void on_end(void *ctx, int rc)
{
    struct connection *c = ctx;

    (void)rc;
    forget(c);
    session_lost(&c->session);
    stream_close(&c->stream);
}

static void connection_release(struct connection *c)
{
    struct smtp_server *s = c->server;

    if (--c->holds > 0)
        return;
    free(c);
    if (--s->holds == 0 && s->on_closed)
        s->on_closed(s->on_closed_ctx);
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
    DL_DELETE(c->server->connections, c);
    c->server->connection_count--;
    c->server->rejected += c->session.rejects;
    if (c->counted)
        limits_leave(&c->server->limits, c->address16);
    connection_release(c);
}

static const struct stream_events connection_stream_events = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_deadline = on_deadline,
    .on_end = on_end,
    .on_closed = on_closed,
};

/* ---- accept ---- */

/* The client's address as text and as 16 bytes; a mapped IPv4 address is shown as IPv4. */
static void read_address(struct connection *c, char text[48], uint16_t *port_out)
{
    int len = sizeof c->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&c->address;
    struct sockaddr_in v4 = {.sin_family = AF_INET};

    memcpy(text, "unknown", 8);
    *port_out = 0;
    if (uv_tcp_getpeername(&c->stream.io.tcp, (struct sockaddr *)&c->address, &len) < 0)
        return;
    if (c->address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        v4.sin_port = v6->sin6_port;
        memcpy(&v4.sin_addr, v6->sin6_addr.s6_addr + 12, 4);
        memcpy(&c->address, &v4, sizeof v4);
    }
    *port_out = ntohs(((struct sockaddr_in *)&c->address)->sin_port);
    if (c->address.ss_family == AF_INET)
        uv_ip4_name((struct sockaddr_in *)&c->address, text, 48);
    else
        uv_ip6_name(v6, text, 48);
    cidr_address_parse(span_of(text), c->address16);
}

/* True when the client was turned away. */
static bool refuse_excess(struct connection *c, const struct session_client *client)
{
    struct smtp_server *s = c->server;
    unsigned count = limits_enter(&s->limits, c->address16);
    uint64_t per_client = s->config->smtpd_client_connection_count_limit;
    char reply[400];
    struct text t;

    c->counted = count > 0;
    text_init(&t, reply, sizeof reply);
    if (s->stopping)
        text_printf(&t, "421 4.3.2 %s Service shutting down", s->config->myhostname);
    else if (!c->counted || s->limits.total > s->config->smtpd_connection_limit)
        text_printf(&t, "421 4.3.2 %s Error: all server ports are busy", s->config->myhostname);
    else if (per_client > 0 && count > per_client && !client->trusted)
        text_printf(&t, "421 4.7.0 %s Error: too many connections from %s", s->config->myhostname,
                    client->address);
    else
        return false;
    if (c->counted && !s->stopping)
        log_connection_limit(s->log, count, &(struct log_peer){"unknown", client->address});
    s->rejected++;
    session_refuse(&c->session, reply);
    return true;
}

/* What the client sent before our greeting, if anything; looked at, not taken. */
static struct span early_input(struct connection *c, char *buf, size_t cap)
{
    uv_os_fd_t fd;
    ssize_t n = -1;

    if (uv_fileno(&c->stream.io.handle, &fd) == 0)
        n = recv(fd, buf, cap, MSG_PEEK | MSG_DONTWAIT);
    return span_make(buf, n > 0 ? (size_t)n : 0);
}

static void connection_start(struct connection *c)
{
    struct session_client client = {0};
    char address[48];
    char early[64];
    struct span input;

    read_address(c, address, &client.port);
    client.address = address;
    client.trusted = cidr_list_match(&c->server->config->networks, c->address16);
    session_init(&c->session, &connection_session_ops, c, c->server->config, c->server->log,
                 &client);
    if (refuse_excess(c, &client))
        return;
    input = early_input(c, early, sizeof early);
    if (input.len > 0)
        session_start_early(&c->session, input);
    else
        session_start(&c->session);
    stream_read(&c->stream);
}

void connection_accept(struct smtp_server *s, uv_stream_t *server)
{
    struct connection *c = NULL;
    uv_tcp_t *refused;

    if (s->connection_count < s->config->smtpd_connection_limit + LISTENER_SPARE)
        c = calloc(1, sizeof *c);
    if (c && stream_accept(&c->stream, s->streams, server, &connection_stream_events, c) == 0) {
        c->server = s;
        c->holds = 1;
        DL_APPEND(s->connections, c);
        s->connection_count++;
        s->holds++;
        connection_start(c);
        return;
    }
    free(c);
    refused = malloc(sizeof *refused); /* closed without a word: nothing is left to say it with */
    if (!refused)
        return;
    uv_tcp_init(s->loop, refused);
    uv_accept(server, (uv_stream_t *)refused);
    uv_close((uv_handle_t *)refused, (uv_close_cb)free);
}

unsigned connection_rejects(const struct connection *c)
{
    return c->session.rejects;
}

struct connection *connection_next(struct connection *c)
{
    return c->next;
}

void connection_shutdown(struct connection *c)
{
    if (!c->gone)
        session_shutdown(&c->session);
}

void connection_close(struct connection *c)
{
    stream_close(&c->stream);
}
