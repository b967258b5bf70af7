/*
 * session_rate - how much a client may do in anvil_rate_time_unit, by its address and by who logged
 * in; see session_internal.h
 */
#include "server/session_internal.h"

bool session_over_rate(struct session *s, enum session_event event, uint64_t limit)
{
    static const struct {
        const char *what;
        const char *reply;
        bool user;
    } words[SESSION_EVENT_COUNT] = {
        [SESSION_EVENT_MESSAGE] = {"Message delivery request rate", "much mail",          false},
        [SESSION_EVENT_RECIPIENT] = {"Recipient address rate",        "many recipients",    false},
        [SESSION_EVENT_AUTH] = {"AUTH command rate",             "many AUTH commands", false},
        [SESSION_EVENT_USER_MESSAGE] = {"Message delivery request rate", "much mail",          true },
        [SESSION_EVENT_USER_RECIPIENT] = {"Recipient address rate",        "many recipients",    true },
    };
    bool user = words[event].user;
    unsigned count = limit > 0 && (!user || s->login) ? s->ops->event(s->ctx, event) : 0;

    if (count <= limit)
        return false;
    session_log_connect(s);
    log_client_limit(s->log, words[event].what, count, &s->peer, user ? s->login->user : NULL);
    s->rejects++;
    session_reply(s, "450 4.7.1 Error: too %s from %s", words[event].reply,
                  user ? s->login->user : s->peer_address);
    return true;
}

bool session_over_mail_rate(struct session *s)
{
    const struct config *c = s->config;

    return session_over_rate(s, SESSION_EVENT_MESSAGE, c->smtpd_client_message_rate_limit) ||
           session_over_rate(s, SESSION_EVENT_USER_MESSAGE, c->submission_message_rate_limit);
}

bool session_over_rcpt_rate(struct session *s)
{
    const struct config *c = s->config;

    return session_over_rate(s, SESSION_EVENT_RECIPIENT, c->smtpd_client_recipient_rate_limit) ||
           session_over_rate(s, SESSION_EVENT_USER_RECIPIENT, c->submission_recipient_rate_limit);
}
