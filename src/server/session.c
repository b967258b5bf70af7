/*
 * session - see session.h
 *
 * Every entry point sets in_input, so that answers which come from inside a call do not call back
 * out, and ends in settle(): what is due after the session has come to rest (the 421 of a shutdown,
 * the deadline).
 *
 * Transitions:  session_enter() is the only writer of the state. HELO, EHLO, RSET and the end of a
 * message go through session_reset(); MAIL and RCPT in session_mail.c; DATA and BDAT in
 * session_data.c; CLOSING by session_hang_up() and session_lost(). Fails:        an allocation that
 * fails is a 452 to the client; nothing else can fail here. Owns:         the envelope from MAIL to
 * submit, the parameters of a recipient while its answer is due.
 */
#include "server/session_internal.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct session) <= 4096, "10,000 idle sessions fit into 64 MiB (DESIGN 8)");

const char *session_state_name(enum session_state state)
{
    static const char *const names[SESSION_STATE_COUNT] = {
        "connected", "ready", "auth", "mail", "rcpt", "data", "bdat", "bdat-next", "closing"};

    return state < SESSION_STATE_COUNT ? names[state] : "?";
}

void session_enter(struct session *s, enum session_state next)
{
    s->state = next;
}

void session_init(struct session *s, const struct session_ops *ops, void *ctx,
                  struct config *config, const struct log *log, const struct session_client *client)
{
    unsigned char address[16];

    memset(s, 0, sizeof *s);
    s->ops = ops;
    s->ctx = ctx;
    s->config = config_ref(config);
    s->log = log;
    s->trusted = client->trusted;
    s->wrapped = client->wrapped;
    s->no_tls = client->no_tls;
    s->submission = client->submission;
    s->ehlo_discarded = config->smtpd_discard_ehlo_keywords;
    if (cidr_address_parse(span_of(client->address), address)) {
        const char *words = ehlo_map_find(&config->ehlo_maps, address);

        s->debugged = peer_list_match_address(&config->debugged, address);
        s->auth_hidden = cidr_list_match(&config->sasl_exceptions, address);
        s->ehlo_discarded = words ? words : s->ehlo_discarded;
    }
    s->all_lf = true;
    s->where = "CONNECT";
    s->verb = SMTP_UNKNOWN;
    s->waiting = SESSION_WAIT_US;
    s->peer_port = client->port;
    s->envelopes = client->envelopes;
    span_copy(span_of(client->address), s->peer_address, sizeof s->peer_address);
    span_copy(SPAN_LIT("unknown"), s->peer_name, sizeof s->peer_name);
    s->peer = (struct log_peer){s->peer_name, s->peer_address};
    s->peer_reverse = DNS_TROUBLE;
    s->peer_verified = DNS_TROUBLE;
    smtp_line_init(&s->line, (size_t)config->line_length_limit);
}

void session_reset(struct session *s)
{
    if (s->body_begun)
        s->ops->body_abort(s->ctx);
    s->body_begun = false;
    s->data_discard = false;
    s->chunks_bytes = 0;
    s->data_bytes = 0;
    s->overshoot = 0;
    s->duplicates = 0;
    s->queue_id.text[0] = '\0';
    envelope_free(&s->envelope);
    free(s->rcpt);
    s->rcpt = NULL;
    free(s->check);
    s->check = NULL;
    free(s->sender);
    s->sender = NULL;
    free(s->complete);
    s->complete = NULL;
    session_auth_forget(s);
    if (s->state != SESSION_CLOSING)
        session_enter(s, s->helo[0] ? SESSION_READY : SESSION_CONNECTED);
}

/* Between commands: nobody loses anything when the session ends here. */
static bool is_idle(const struct session *s)
{
    bool free = s->busy == SESSION_FREE || s->busy == SESSION_BUSY_PAUSE;

    return free && s->state != SESSION_DATA && s->state != SESSION_BDAT &&
           (s->state != SESSION_BDAT_NEXT || s->data_discard);
}

static void stop_when_idle(struct session *s)
{
    if (s->stopping && is_idle(s))
        session_reply(s, "421 4.3.2 %s Service shutting down", s->config->myhostname);
}

void session_done(struct session *s)
{
    bool ok = s->reply_code < 400;

    if (s->verb < SMTP_VERB_COUNT)
        s->count_ok[s->verb] += ok ? 1 : 0;
    s->errors += ok || s->forgiven ? 0 : 1;
    s->forgiven = false;
    s->wait_fresh = true;
    if (s->state == SESSION_CLOSING || s->errors < s->config->smtpd_hard_error_limit) {
        stop_when_idle(s);
        return;
    }
    session_log_end(s, log_too_many_errors);
    session_reply(s, "421 4.7.0 %s Error: too many errors", s->config->myhostname);
}

static enum session_wait wanted_wait(const struct session *s)
{
    if (s->busy == SESSION_BUSY_TLS)
        return SESSION_WAIT_TLS;
    if (s->busy != SESSION_FREE)
        return s->busy == SESSION_BUSY_PAUSE ? SESSION_WAIT_PAUSE : SESSION_WAIT_US;
    return s->state == SESSION_DATA || s->state == SESSION_BDAT ? SESSION_WAIT_DATA
                                                                : SESSION_WAIT_COMMAND;
}

static void settle(struct session *s)
{
    enum session_wait wanted;

    stop_when_idle(s);
    s->in_input = false;
    wanted = wanted_wait(s);
    if (s->state == SESSION_CLOSING || (wanted == s->waiting && !s->wait_fresh))
        return;
    s->waiting = wanted;
    s->wait_fresh = false;
    s->block_bytes = 0;
    s->ops->wait(s->ctx, wanted);
}

static bool step(struct session *s, struct span *in)
{
    switch (s->state) {
    case SESSION_DATA:
        return session_data_step(s, in);
    case SESSION_BDAT:
        return session_bdat_step(s, in);
    case SESSION_AUTH:
        return session_auth_step(s, in);
    case SESSION_CONNECTED:
    case SESSION_READY:
    case SESSION_MAIL:
    case SESSION_RCPT:
    case SESSION_BDAT_NEXT:
        return session_command_step(s, in);
    case SESSION_CLOSING:
    case SESSION_STATE_COUNT:
        break;
    }
    *in = span_from(*in, in->len); /* what comes after QUIT or 421 is dropped */
    return false;
}

static void run(struct session *s, struct span *in)
{
    s->in_input = true;
    while (s->busy == SESSION_FREE && step(s, in))
        ;
    settle(s);
}

size_t session_input(struct session *s, const char *bytes, size_t len)
{
    struct span in = span_make(bytes, len);

    if (!s->in_input)
        run(s, &in);
    return len - in.len;
}

bool session_take_answer(struct session *s, enum session_busy what)
{
    if (s->busy != what || s->state == SESSION_CLOSING)
        return false;
    s->busy = SESSION_FREE;
    return true;
}

void session_answered(struct session *s)
{
    struct span none = {NULL, 0};

    if (s->in_input)
        return;
    run(s, &none);
    if (s->busy == SESSION_FREE && s->state != SESSION_CLOSING)
        s->ops->resume(s->ctx);
}

void session_start(struct session *s)
{
    if (s->wrapped && !s->tls)
        session_start_wrapped(s);
    else
        session_reply(s, "220 %s", s->config->smtpd_banner);
    s->wait_fresh = true;
    settle(s);
}

void session_refuse(struct session *s, const char *reply_line)
{
    if (!s->wrapped)
        session_reply_line(s, reply_line);
    session_hang_up(s); /* whatever the code was */
}

void session_start_early(struct session *s, struct span input)
{
    if (s->trusted) {
        session_start(s);
        return;
    }
    s->any_line = true;
    session_log_connect(s);
    log_improper_pipelining(s->log, s->where, &s->peer, session_without_secret(s, input));
    session_reply(s, "421 4.7.0 %s Error: SMTP protocol synchronization", s->config->myhostname);
}

void session_lost(struct session *s)
{
    if (s->state == SESSION_CLOSING)
        return;
    /* After the end of a message the client has what it came for: many do not say QUIT. */
    if (s->any_line && (s->busy == SESSION_BUSY_SUBMIT || strcmp(s->where, SESSION_EOM) != 0))
        session_log_end(s, log_lost_connection);
    session_reset(s);
    session_enter(s, SESSION_CLOSING);
}

/* Goes on with what was being done when the pause began. */
static void end_pause(struct session *s)
{
    s->busy = SESSION_FREE;
    s->in_input = true;
    if (s->check)
        session_check_resume(s);
    else
        session_command_resume(s);
    s->in_input = false;
    session_answered(s);
}

void session_timeout(struct session *s)
{
    if (s->busy == SESSION_BUSY_PAUSE && s->state != SESSION_CLOSING) {
        end_pause(s);
        return;
    }
    if (s->busy == SESSION_BUSY_TLS) {
        session_tls_failed(s, "Connection timed out");
        s->ops->hang_up(s->ctx);
        return;
    }
    if (s->state == SESSION_CLOSING || s->busy != SESSION_FREE)
        return;
    if (s->any_line)
        session_log_end(s, log_timeout);
    session_reply(s, "421 4.4.2 %s Error: timeout exceeded", s->config->myhostname);
}

void session_shutdown(struct session *s)
{
    s->stopping = true;
    if (s->busy == SESSION_BUSY_TLS)
        session_hang_up(s); /* nothing can be said now, and nobody loses anything */
    if (!s->in_input && s->state != SESSION_CLOSING)
        settle(s);
}

void session_deinit(struct session *s)
{
    if (!s->config)
        return;
    session_enter(s, SESSION_CLOSING);
    session_reset(s);
    if (s->any_line)
        session_log_disconnect(s);
    free(s->tls);
    s->tls = NULL;
    free(s->login);
    s->login = NULL;
    config_unref(&s->config);
}
