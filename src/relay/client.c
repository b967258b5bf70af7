/* client - see client.h; how its files divide the work: client_internal.h */
#include "relay/client_internal.h"

#include <assert.h>
#include <string.h>

#define BREAK_TEXT_CAP (SMTP_REPLY_TEXT_CAP + 256)
#define BAD_LINE_SHOWN 200 /* bytes of a malformed reply that are worth a log line */

const char *client_step_words(enum client_step step, enum client_protocol protocol)
{
    switch (step) {
    case CLIENT_STEP_GREETING:
        return "initial server greeting";
    case CLIENT_STEP_HELLO:
        return protocol == CLIENT_LMTP ? "LHLO command" : "EHLO command";
    case CLIENT_STEP_STARTTLS:
        return "STARTTLS command";
    case CLIENT_STEP_TLS:
        return "TLS handshake";
    case CLIENT_STEP_AUTH:
        return "AUTH command";
    case CLIENT_STEP_XCLIENT:
        return "XCLIENT command";
    case CLIENT_STEP_IDLE:
        return "no command";
    case CLIENT_STEP_MAIL:
        return "MAIL FROM command";
    case CLIENT_STEP_RCPT:
        return "RCPT TO command";
    case CLIENT_STEP_DATA:
        return "DATA command";
    case CLIENT_STEP_BODY:
        return "message body";
    case CLIENT_STEP_END:
        return "end of DATA command";
    case CLIENT_STEP_RSET:
        return "RSET command";
    case CLIENT_STEP_QUIT:
        return "QUIT command";
    case CLIENT_STEP_BROKEN:
    case CLIENT_STEP_COUNT:
        break;
    }
    return "closed connection";
}

void client_enter(struct client *c, enum client_step step)
{
    if (c->step == CLIENT_STEP_BROKEN)
        return; /* a callback ended the session meanwhile */
    c->step = step;
    if (step != CLIENT_STEP_BROKEN)
        c->ops->on_step(c->ctx, step);
}

void client_send(struct client *c, struct span bytes)
{
    if (c->step != CLIENT_STEP_BROKEN && bytes.len > 0)
        c->ops->send(c->ctx, bytes);
}

void client_break(struct client *c, const struct smtp_reply *reply, const char *text)
{
    enum client_step step = c->step;

    if (step == CLIENT_STEP_BROKEN)
        return;
    c->todo = CLIENT_TODO_NONE;
    c->login = (struct client_login){
        .user = {NULL, 0}
    };
    client_enter(c, CLIENT_STEP_BROKEN);
    c->ops->on_broken(c->ctx, step, reply, text);
}

const char *client_asked_words(const struct client *c)
{
    bool helo = c->step == CLIENT_STEP_HELLO && c->helo;

    return helo ? "HELO command" : client_step_words(c->step, c->protocol);
}

void client_break_reply(struct client *c, const char *words, const struct smtp_reply *reply)
{
    char buf[BREAK_TEXT_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "%s: %s (in reply to %s)", words, reply->text, client_asked_words(c));
    client_break(c, reply, buf);
}

/* No line of a reply, so nothing that follows it can be trusted either. */
static void break_malformed(struct client *c)
{
    char buf[BREAK_TEXT_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_cstr(&t, "malformed reply");
    if (c->step != CLIENT_STEP_AUTH) { /* it may repeat the login */
        text_cstr(&t, ": ");
        text_printable_max(&t, span_make(c->parser.line, c->parser.line_len), BAD_LINE_SHOWN);
    }
    text_printf(&t, " (in reply to %s)", client_asked_words(c));
    client_break(c, NULL, buf);
}

bool client_has_surplus(struct client *c)
{
    if (!smtp_reply_partial(&c->parser))
        return false;
    client_break(c, NULL, "host began a reply without being asked");
    return true;
}

void client_init(struct client *c, const struct client_ops *ops, void *ctx,
                 const struct client_settings *settings)
{
    memset(c, 0, sizeof *c);
    c->ops = ops;
    c->ctx = ctx;
    c->settings = *settings;
    c->protocol = settings->protocol;
    smtp_reply_parser_init(&c->parser);
}

void client_start(struct client *c)
{
    client_enter(c, CLIENT_STEP_GREETING);
}

/* Whether a reply is awaited at all. */
static bool is_asked(const struct client *c)
{
    return c->todo == CLIENT_TODO_NONE && c->step != CLIENT_STEP_IDLE &&
           c->step != CLIENT_STEP_BODY && c->step != CLIENT_STEP_TLS &&
           c->auth != CLIENT_AUTH_ASKED;
}

/* RFC 5321 3.8, RFC 7504: the peer closes the connection, whatever it was asked. */
static bool is_goodbye(const struct smtp_reply *reply)
{
    return reply->code == 421 || reply->code == 521;
}

/* What follows a login's last reply may repeat the login, which is forgotten by then. */
static void break_unasked(struct client *c, const struct smtp_reply *reply)
{
    if (c->step == CLIENT_STEP_AUTH)
        client_break(c, NULL, "host said more than it was asked (in reply to AUTH)");
    else
        client_break_reply(c, "host said without being asked", reply);
}

static void take_reply(struct client *c, const struct smtp_reply *reply)
{
    if (c->step == CLIENT_STEP_AUTH)
        client_auth_mask(c);
    if (!is_asked(c))
        break_unasked(c, reply);
    else if (c->step == CLIENT_STEP_GREETING)
        client_greeting_reply(c, reply);
    else if (is_goodbye(reply) || c->step == CLIENT_STEP_QUIT)
        client_break_reply(c, "host said", reply);
    else if (c->step == CLIENT_STEP_HELLO)
        client_hello_reply(c, reply);
    else if (c->step == CLIENT_STEP_STARTTLS)
        client_starttls_reply(c, reply);
    else if (c->step == CLIENT_STEP_AUTH)
        client_auth_reply(c, reply);
    else if (c->step == CLIENT_STEP_XCLIENT)
        client_xclient_reply(c, reply);
    else
        client_transaction_reply(c, reply);
}

static void take_event(struct client *c, enum smtp_reply_event event)
{
    struct span line = span_make(c->parser.line, c->parser.line_len);

    switch (event) {
    case SMTP_REPLY_MORE:
        break;
    case SMTP_REPLY_LINE:
        if (is_asked(c) && c->step == CLIENT_STEP_HELLO)
            client_hello_line(c, line);
        break;
    case SMTP_REPLY_READY:
        if (is_asked(c) && c->step == CLIENT_STEP_HELLO)
            client_hello_line(c, line);
        take_reply(c, &c->parser.reply);
        break;
    case SMTP_REPLY_BAD:
        break_malformed(c);
        break;
    }
}

static void begin(struct client *c)
{
    if (c->xclient_left != 0)
        client_xclient_send(c);
    else if (c->xclient_said)
        client_hello_send(c);
    else
        client_mail_send(c);
}

static void become_idle(struct client *c)
{
    c->in_transaction = false;
    client_enter(c, CLIENT_STEP_IDLE);
    if (c->step == CLIENT_STEP_IDLE)
        c->ops->on_idle(c->ctx);
}

static void become_body(struct client *c)
{
    smtp_dot_encoder_init(&c->dot);
    client_enter(c, CLIENT_STEP_BODY);
    if (c->step == CLIENT_STEP_BODY)
        c->ops->on_body(c->ctx);
}

/*
 * Last thing in client_input: the callbacks may begin what comes next. One that ended the session
 * while the input was taken may have left a todo behind.
 */
static void do_todo(struct client *c)
{
    enum client_todo todo = (enum client_todo)c->todo;

    if (c->step == CLIENT_STEP_BROKEN || todo == CLIENT_TODO_NONE || client_has_surplus(c))
        return;
    c->todo = CLIENT_TODO_NONE;
    switch (todo) {
    case CLIENT_TODO_NONE:
        break;
    case CLIENT_TODO_HELLO:
        client_hello_send(c);
        break;
    case CLIENT_TODO_STARTTLS:
        client_starttls_send(c);
        break;
    case CLIENT_TODO_TLS:
        client_starttls_begin(c);
        break;
    case CLIENT_TODO_LOGIN:
        client_auth_ask(c);
        break;
    case CLIENT_TODO_AUTH:
        client_auth_send(c);
        break;
    case CLIENT_TODO_BEGIN:
        begin(c);
        break;
    case CLIENT_TODO_COMMAND:
        client_command_send(c);
        break;
    case CLIENT_TODO_BODY:
        become_body(c);
        break;
    case CLIENT_TODO_IDLE:
        become_idle(c);
        break;
    }
}

void client_input(struct client *c, struct span bytes)
{
    if (c->step == CLIENT_STEP_TLS && bytes.len > 0)
        client_break(c, NULL, "host spoke in clear text during the TLS handshake");
    while (bytes.len > 0 && c->step != CLIENT_STEP_BROKEN)
        take_event(c, smtp_reply_feed(&c->parser, &bytes));
    do_todo(c);
}

void client_fail(struct client *c, const char *text)
{
    client_break(c, NULL, text);
}

void client_begin(struct client *c, const struct client_transaction *t)
{
    assert(c->step == CLIENT_STEP_IDLE);
    assert(t->count >= 1 && t->count <= CLIENT_RCPT_MAX);
    assert(t->probe_recipient ? t->count == 1 : t->envelope && t->indices);
    c->t = *t;
    c->in_transaction = true;
    c->finished = false;
    c->sent_rcpt = c->replied_rcpt = c->accepted = c->replied_end = 0;
    c->data_sent = c->rset_sent = c->dot_sent = false;
    memset(c->rcpt_accepted, 0, sizeof c->rcpt_accepted);
    c->xclient_said = false;
    c->uses++;
    if (client_has_surplus(c))
        return;
    if (!client_transaction_is_safe(t)) {
        /* The session and the spool refuse such addresses; should one get here, silence is the safe
         * answer. */
        client_break(c, NULL, "an address that no command can hold");
        return;
    }
    client_xclient_plan(c);
    begin(c);
}

void client_quit(struct client *c)
{
    assert(c->step == CLIENT_STEP_IDLE);
    if (client_has_surplus(c))
        return;
    client_enter(c, CLIENT_STEP_QUIT);
    client_send(c, SPAN_LIT("QUIT\r\n"));
}

bool client_may_be_sent(const struct client *c)
{
    return c->dot_sent;
}

void client_body_end(struct client *c)
{
    assert(c->step == CLIENT_STEP_BODY || c->step == CLIENT_STEP_BROKEN);
    if (c->step == CLIENT_STEP_BROKEN || client_has_surplus(c))
        return;
    if (c->dot.state != 0) {
        /* The dot would be text, and the peer would wait for ever. */
        client_break(c, NULL, "the message does not end with a line end");
        return;
    }
    c->dot_sent = true;
    client_enter(c, CLIENT_STEP_END);
    client_send(c, SPAN_LIT(".\r\n"));
}
