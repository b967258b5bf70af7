/*
 * client_starttls - STARTTLS (RFC 3207), and what to do without it; see relay/client.h
 *
 * That nothing came behind the reply is seen where all actions are done: the handshake begins when
 * the input at hand is used up, and a whole or partial reply in it breaks the session first.
 */
#include "relay/client_internal.h"

#include <assert.h>

void client_starttls_plan(struct client *c)
{
    bool over = c->secured || c->tls_refused || c->settings.tls == CLIENT_TLS_NONE;

    if (!over && (c->can & CLIENT_CAN_STARTTLS)) {
        c->todo = CLIENT_TODO_STARTTLS;
    } else if (!over && c->settings.tls == CLIENT_TLS_REQUIRED) {
        client_enter(c, CLIENT_STEP_STARTTLS); /* that is where it ends */
        client_break(c, NULL, "TLS is required, but was not offered by host");
    } else {
        client_auth_plan(c);
    }
}

void client_starttls_send(struct client *c)
{
    client_enter(c, CLIENT_STEP_STARTTLS);
    client_send(c, SPAN_LIT("STARTTLS\r\n"));
}

void client_starttls_reply(struct client *c, const struct smtp_reply *reply)
{
    char buf[SMTP_REPLY_TEXT_CAP + 64];
    struct text t;

    switch (reply->code / 100) {
    case 2:
        c->todo = CLIENT_TODO_TLS;
        return;
    case 3:
        client_break_reply(c, "unexpected reply", reply);
        return;
    default:
        break;
    }
    c->tls_refused = true;
    if (c->settings.tls != CLIENT_TLS_REQUIRED) {
        client_auth_plan(c);
        return;
    }
    text_init(&t, buf, sizeof buf);
    text_printf(&t, "TLS is required, but host refused to start TLS: %s", reply->text);
    client_break(c, reply, buf);
}

void client_starttls_begin(struct client *c)
{
    client_enter(c, CLIENT_STEP_TLS);
    if (c->step == CLIENT_STEP_TLS)
        c->ops->starttls(c->ctx);
}

void client_secured(struct client *c)
{
    assert(c->step == CLIENT_STEP_TLS || c->step == CLIENT_STEP_BROKEN);
    if (c->step == CLIENT_STEP_BROKEN)
        return;
    c->secured = true;
    smtp_reply_parser_init(&c->parser);
    client_hello_send(c);
}
