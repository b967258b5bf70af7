/*
 * connection_tls - TLS with one client: whether it can be had, its session, and how it ends; see
 * connection.c
 *
 * A TLS session is made (and its memory taken) before 220 is said, so that what is promised can be
 * done; it is given to the stream with the reply, and counted until the connection is closed.
 */
#include "server/connection_internal.h"

#include "base/clock.h"
#include "tls/tls_server.h"

static struct tls_server *current(const struct connection *c)
{
    return c->server->tls ? server_tls_current(c->server->tls) : NULL;
}

static bool refuse(struct smtp_verdict *verdict_out, const char *line)
{
    verdict_out->code = 454;
    span_copy(span_of(line), verdict_out->line, sizeof verdict_out->line);
    return false;
}

static bool refuse_here(const struct connection *c, struct smtp_verdict *verdict_out,
                        const char *why)
{
    const struct log_peer *peer = &c->session.peer;

    log_warning(c->server->log, "smtpd", "Refusing STARTTLS request from %s[%s]: %s", peer->name,
                peer->address, why);
    return refuse(verdict_out, "454 4.7.0 TLS not available due to local problem");
}

/* Handshakes that failed count too, and those that went well unless they were resumed. */
static bool over_rate(const struct connection *c)
{
    const struct smtp_server *s = c->server;
    uint64_t limit = s->config->smtpd_client_new_tls_session_rate_limit;

    return limit > 0 && !connection_is_unlimited(c) &&
           limits_peek(&s->limits, c->limits_key, LIMITS_TLS, clock_mono_ms(),
                       s->config->anvil_rate_time_unit) >= limit;
}

static bool refuse_rate(const struct connection *c, struct smtp_verdict *verdict_out)
{
    const struct log_peer *peer = &c->session.peer;
    struct text t;

    log_warning(c->server->log, "smtpd", "Refusing STARTTLS request from %s[%s] for service smtp",
                peer->name, peer->address);
    verdict_out->code = 454;
    text_init(&t, verdict_out->line, sizeof verdict_out->line);
    text_printf(&t, "454 4.7.0 Error: too many new TLS sessions from %s[%s]", peer->name,
                peer->address);
    return false;
}

bool connection_tls_offered(void *ctx)
{
    const struct connection *c = ctx;

    return current(c) != NULL;
}

bool connection_tls_prepare(void *ctx, struct smtp_verdict *verdict_out)
{
    struct connection *c = ctx;
    struct smtp_server *s = c->server;
    struct tls_server *tls = current(c);

    if (!tls)
        return refuse_here(c, verdict_out, "there is no certificate");
    if (over_rate(c))
        return refuse_rate(c, verdict_out);
    if (s->tls_sessions >= s->config->smtpd_tls_session_limit)
        return refuse_here(c, verdict_out, "smtpd_tls_session_limit is reached");
    c->tls = tls_server_session(tls);
    if (!c->tls)
        return refuse_here(c, verdict_out, "out of memory");
    c->tls_counted = true;
    s->tls_sessions++;
    return true;
}

void connection_tls_start(void *ctx)
{
    struct connection *c = ctx;
    struct tls_session *tls = c->tls;

    c->tls = NULL;
    stream_start_tls(&c->stream, tls);
}

void connection_on_secured(void *ctx)
{
    struct connection *c = ctx;
    const struct tls_facts *facts = stream_tls_facts(&c->stream);

    if (!facts->resumed)
        connection_count_event(c, LIMITS_TLS);
    session_secured(&c->session, facts);
}

void connection_tls_lost(struct connection *c, int rc)
{
    bool handshake = c->session.busy == SESSION_BUSY_TLS;
    const char *why = stream_tls_error(&c->stream);

    if (handshake)
        connection_count_event(c, LIMITS_TLS);
    if (rc == UV_EPROTO)
        session_tls_failed(&c->session, why[0] ? why : "input in clear text");
    else if (handshake && !c->wrapped)
        session_tls_failed(&c->session, "lost connection");
    else
        session_lost(&c->session); /* on a wrapped port perhaps a health check */
}

void connection_tls_release(struct connection *c)
{
    tls_session_free(c->tls);
    c->tls = NULL;
    if (c->tls_counted)
        c->server->tls_sessions--;
    c->tls_counted = false;
}
