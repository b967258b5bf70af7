/*
 * session_tls - STARTTLS (RFC 3207), and what is refused without it; see session_internal.h
 *
 * Two roads lead to a handshake: STARTTLS, and a wrapped port before its greeting. Both leave the
 * session busy (SESSION_BUSY_TLS); session_secured() ends that, whatever else ends the session.
 *
 * Texts and their order are those of Postfix's smtpd. Two things differ: input that came with
 * STARTTLS ends the session (Postfix drops it), and where TLS is required but could not be had
 * through our fault (454), other commands hear 454 too, not the 530 that would make mail bounce.
 */
#include "server/session_internal.h"

#include <stdlib.h>
#include <string.h>

#define LOCAL_PROBLEM "454 4.7.0 TLS not available due to local problem"

static bool is_wanted(const struct session *s)
{
    return !s->no_tls && (s->submission || s->config->smtpd_tls.level != SMTPD_TLS_NONE);
}

static bool is_required(const struct session *s)
{
    return !s->no_tls && (s->submission || s->config->smtpd_tls.level == SMTPD_TLS_ENCRYPT);
}

static bool is_discarded(const struct session *s)
{
    return session_is_listed(s->ehlo_discarded, SPAN_LIT("STARTTLS"));
}

bool session_offers_tls(const struct session *s)
{
    if (s->tls || !is_wanted(s))
        return false;
    /* where it is required it is named all the same: 454 to it makes the client come back */
    return is_required(s) || s->ops->tls_offered(s->ctx);
}

const char *session_tls_demand(const struct session *s)
{
    if (s->tls || !is_required(s))
        return NULL;
    return s->tls_refused ? LOCAL_PROBLEM : "530 5.7.0 Must issue a STARTTLS command first";
}

/* Nothing of what was said in clear text is believed any more. */
static void forget(struct session *s)
{
    s->helo[0] = '\0';
    s->esmtp = false;
    session_reset(s);
    s->all_lf = true;
    s->secret = false;
    free(s->login);
    s->login = NULL;
    smtp_line_init(&s->line, (size_t)s->config->line_length_limit);
}

static void begin(struct session *s)
{
    forget(s);
    s->busy = SESSION_BUSY_TLS;
    if (s->config->smtpd_tls_loglevel >= 2) {
        session_log_connect(s);
        log_info(s->log, "smtpd", "setting up TLS connection from %s[%s]", s->peer.name,
                 s->peer.address);
    }
    s->ops->tls_start(s->ctx);
}

static bool refuse_starttls(struct session *s, const struct smtp_command *c)
{
    struct smtp_verdict verdict = {0, ""};

    if (c->args.len > 0) {
        session_reply(s, "501 5.5.4 Syntax: STARTTLS");
    } else if (s->tls) {
        session_reply(s, "554 5.5.1 Error: TLS already active");
    } else if (!is_wanted(s) || is_discarded(s)) {
        session_reply(s, "502 5.5.1 Error: command not implemented");
    } else if (!s->pipelined && !s->ops->tls_prepare(s->ctx, &verdict)) {
        s->tls_refused = true;
        session_reply_line(s, verdict.line);
    } else {
        return false;
    }
    return true;
}

void session_starttls(struct session *s, const struct smtp_command *c)
{
    if (refuse_starttls(s, c)) {
        session_done(s);
    } else if (s->pipelined) {
        session_refuse_pipelining(s); /* CVE-2011-0411 */
    } else {
        session_reply(s, "220 2.0.0 Ready to start TLS");
        begin(s); /* session_done() when it has succeeded */
    }
}

void session_start_wrapped(struct session *s)
{
    struct smtp_verdict verdict = {0, ""};

    if (s->ops->tls_prepare(s->ctx, &verdict)) {
        begin(s);
        return;
    }
    session_log_connect(s);
    log_warning(s->log, "smtpd", "Wrapper-mode request dropped from %s[%s]: %s", s->peer.name,
                s->peer.address, verdict.line);
    session_hang_up(s);
}

void session_log_tls(struct session *s)
{
    const char *name;

    if (!s->tls || s->tls_logged)
        return;
    s->tls_logged = true;
    if (s->config->smtpd_tls_loglevel >= 2 && s->tls->resumed)
        log_info(s->log, "smtpd", "%s[%s]: Reusing old session", s->peer.name, s->peer.address);
    name = sni_map_has(&s->config->sni, s->tls->server_name) ? s->tls->server_name : NULL;
    if (s->config->smtpd_tls_loglevel >= 1)
        log_tls_client(s->log, &s->peer, s->tls, name);
}

static bool keep_facts(struct session *s, const struct tls_facts *facts)
{
    s->tls = malloc(sizeof *s->tls);
    if (!s->tls)
        return false;
    *s->tls = *facts;
    return true;
}

void session_secured(struct session *s, const struct tls_facts *facts)
{
    if (!session_take_answer(s, SESSION_BUSY_TLS))
        return;
    if (!keep_facts(s, facts)) {
        session_reply(s, "421 4.3.0 %s Error: out of memory", s->config->myhostname);
        return;
    }
    s->any_line = true;
    session_ask_peer(s);
    if (s->peer_known)
        session_log_connect(s);
    if (s->wrapped)
        session_start(s);
    else
        session_done(s);
    session_answered(s);
}

void session_tls_failed(struct session *s, const char *why)
{
    if (s->state == SESSION_CLOSING)
        return;
    s->any_line = true;
    session_log_connect(s);
    log_tls_error(s->log, s->tls ? "SSL_read" : "SSL_accept", &s->peer, why);
    session_lost(s);
}
