/*
 * client_auth - AUTH (RFC 4954); see relay/client.h
 *
 *     PLAIN     base64(NUL user NUL password)                          RFC 4616
 *     LOGIN     base64(user), base64(password), each after a 334       draft-murchison-sasl-login
 *     XOAUTH2   base64("user=" user 1 "auth=Bearer " token 1 1)        Google's and Microsoft's
 *
 * PLAIN and XOAUTH2 come with the command where they fit into a line of SMTP, else after a 334. A
 * token that is refused is answered by a 334 with the reason in it; an empty line fetches the 535.
 *
 * The login is put together on the stack for each piece, and wiped there. Replies are looked
 * through for it before anybody else sees them: some servers repeat a command that they do not
 * understand.
 */
#include "relay/client_internal.h"

#include "base/base64.h"

#include <assert.h>
#include <string.h>

#define COMMAND_MAX  512   /* RFC 5321 4.5.3.1.4, with CRLF */
#define RESPONSE_MAX 12288 /* RFC 4954 4, with CRLF */
#define PLAIN_CAP    (RESPONSE_MAX / 4 * 3)
#define REPEATED     12 /* characters of a response that make a repetition */
#define SHORT_SECRET 4  /* one below that is found in any text */
#define FAILED       CLIENT_LOGIN_FAILED "host "

/* The responses; the second is LOGIN's password. */
enum part { PART_FIRST, PART_SECOND };

static bool is_protected(const struct client *c)
{
    return c->secured || c->settings.wrapped;
}

/* In the order of preference; 0: none. */
static enum relay_mechanism choose(const struct client *c)
{
    static const enum relay_mechanism order[] = {RELAY_MECHANISM_XOAUTH2, RELAY_MECHANISM_PLAIN,
                                                 RELAY_MECHANISM_LOGIN};
    unsigned allowed = is_protected(c) ? c->settings.auth_in_tls : c->settings.auth_in_clear;

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (order[i] & allowed & c->can_auth)
            return order[i];
    }
    return RELAY_MECHANISM_NONE;
}

void client_auth_plan(struct client *c)
{
    const char *why = FAILED "offered no compatible authentication mechanisms for this type of "
                             "connection security";

    c->todo = CLIENT_TODO_IDLE;
    if (!c->settings.login || c->logged_in)
        return;
    c->mechanism = (unsigned char)choose(c);
    c->todo = CLIENT_TODO_LOGIN;
    if (c->mechanism != RELAY_MECHANISM_NONE)
        return;
    if (!(c->can & CLIENT_CAN_AUTH))
        why = FAILED "did not offer AUTH, and a login is set";
    else if (!is_protected(c) && (c->can_auth & c->settings.auth_in_tls))
        why = FAILED "offered AUTH without TLS, and smtp_sasl_security_options forbids passwords "
                     "in clear text";
    client_enter(c, CLIENT_STEP_AUTH); /* that is where it ends */
    client_break(c, NULL, why);
}

void client_auth_ask(struct client *c)
{
    client_enter(c, CLIENT_STEP_AUTH);
    if (c->step != CLIENT_STEP_AUTH)
        return;
    c->auth = CLIENT_AUTH_ASKED;
    c->ops->login(c->ctx);
}

/* ---- what is said ---- */

static void put_part(const struct client *c, enum part part, struct text *t)
{
    switch ((enum relay_mechanism)c->mechanism) {
    case RELAY_MECHANISM_NONE:
        break;
    case RELAY_MECHANISM_PLAIN:
        text_char(t, '\0');
        text_span(t, c->login.user);
        text_char(t, '\0');
        text_span(t, c->login.secret);
        break;
    case RELAY_MECHANISM_LOGIN:
        text_span(t, part == PART_FIRST ? c->login.user : c->login.secret);
        break;
    case RELAY_MECHANISM_XOAUTH2:
        text_cstr(t, "user=");
        text_span(t, c->login.user);
        text_cstr(t, "\1auth=Bearer ");
        text_span(t, c->login.secret);
        text_cstr(t, "\1\1");
        break;
    }
}

/* Appends the response in base64; false when it is longer than a peer must take. */
static bool put_response(const struct client *c, enum part part, struct text *t)
{
    char plain[PLAIN_CAP];
    struct text p;

    text_init(&p, plain, sizeof plain);
    put_part(c, part, &p);
    base64_encode(text_as_span(&p), t);
    explicit_bzero(plain, sizeof plain);
    return !p.overflow && !t->overflow;
}

static void send_response(struct client *c, enum part part)
{
    char line[RESPONSE_MAX];
    struct text t;
    bool fits;

    text_init(&t, line, sizeof line);
    fits = put_response(c, part, &t);
    text_cstr(&t, "\r\n");
    client_enter(c, CLIENT_STEP_AUTH);
    if (fits && !t.overflow)
        client_send(c, text_as_span(&t));
    else
        client_break(c, NULL, "the login is longer than AUTH can hold");
    explicit_bzero(line, sizeof line);
}

static void send_command(struct client *c)
{
    char line[COMMAND_MAX + 1];
    struct text t;
    bool whole = c->mechanism != RELAY_MECHANISM_LOGIN;

    text_init(&t, line, sizeof line);
    text_printf(&t, "AUTH %s ", relay_mechanism_word((enum relay_mechanism)c->mechanism));
    if (whole) {
        put_response(c, PART_FIRST, &t);
        text_cstr(&t, "\r\n");
        whole = !t.overflow;
    }
    if (!whole) {
        text_init(&t, line, sizeof line);
        text_printf(&t, "AUTH %s\r\n", relay_mechanism_word((enum relay_mechanism)c->mechanism));
    }
    c->auth = whole ? CLIENT_AUTH_WHOLE : CLIENT_AUTH_COMMAND;
    client_send(c, text_as_span(&t));
    explicit_bzero(line, sizeof line);
}

void client_login(struct client *c, const struct client_login *login)
{
    assert(c->step == CLIENT_STEP_AUTH || c->step == CLIENT_STEP_BROKEN);
    if (c->step == CLIENT_STEP_BROKEN || client_has_surplus(c))
        return;
    assert(c->auth == CLIENT_AUTH_ASKED);
    c->login = *login;
    send_command(c);
}

void client_auth_send(struct client *c)
{
    switch ((enum client_auth_stage)c->auth) {
    case CLIENT_AUTH_COMMAND:
        c->auth = CLIENT_AUTH_WHOLE;
        if (c->mechanism == RELAY_MECHANISM_LOGIN)
            c->auth = CLIENT_AUTH_USER;
        send_response(c, PART_FIRST);
        break;
    case CLIENT_AUTH_USER:
        c->auth = CLIENT_AUTH_WHOLE;
        send_response(c, PART_SECOND);
        break;
    case CLIENT_AUTH_WHOLE:
        c->auth = CLIENT_AUTH_REFUSED;
        client_enter(c, CLIENT_STEP_AUTH);
        client_send(c, SPAN_LIT("\r\n"));
        break;
    case CLIENT_AUTH_NONE:
    case CLIENT_AUTH_ASKED:
    case CLIENT_AUTH_REFUSED:
        break; /* nothing leads here */
    }
}

/* ---- what is heard ---- */

static void break_failed(struct client *c, const struct smtp_reply *reply)
{
    char buf[SMTP_REPLY_TEXT_CAP + 64];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, FAILED "said: %s", reply->text);
    client_break(c, reply, buf);
}

/* Whether a challenge is in order. */
static bool goes_on(const struct client *c)
{
    return c->auth == CLIENT_AUTH_COMMAND || c->auth == CLIENT_AUTH_USER ||
           (c->auth == CLIENT_AUTH_WHOLE && c->mechanism == RELAY_MECHANISM_XOAUTH2);
}

void client_auth_reply(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code == 334 && goes_on(c)) {
        c->todo = CLIENT_TODO_AUTH;
    } else if (reply->code / 100 == 2 && c->auth == CLIENT_AUTH_WHOLE) {
        c->auth = CLIENT_AUTH_NONE;
        c->login = (struct client_login){
            .user = {NULL, 0}
        };
        c->logged_in = true;
        c->todo = CLIENT_TODO_IDLE;
    } else if (reply->code >= 400) {
        break_failed(c, reply);
    } else {
        client_break_reply(c, FAILED "gave an unexpected reply", reply);
    }
}

/* Whether `text` has REPEATED characters in a row of the response. */
static bool repeats_response(const struct client *c, enum part part, struct span text)
{
    char line[RESPONSE_MAX];
    bool found = false;
    struct text t;

    text_init(&t, line, sizeof line);
    put_response(c, part, &t);
    for (size_t i = 0; i + REPEATED <= text.len && !found; i++)
        found = memmem(line, t.len, text.ptr + i, REPEATED) != NULL;
    if (t.len > 0 && t.len < REPEATED)
        found = memmem(text.ptr, text.len, line, t.len) != NULL;
    explicit_bzero(line, sizeof line);
    return found;
}

void client_auth_mask(struct client *c)
{
    struct smtp_reply *reply = &c->parser.reply;
    struct span text = span_from(span_of(reply->text), 3);
    struct span secret = c->login.secret;
    struct text t;

    if (!c->login.user.ptr || text.len == 0)
        return;
    if (!(secret.len >= SHORT_SECRET && memmem(text.ptr, text.len, secret.ptr, secret.len)) &&
        !repeats_response(c, PART_FIRST, text) && !repeats_response(c, PART_SECOND, text))
        return;
    text_init(&t, reply->text, sizeof reply->text);
    text_printf(&t, "%u %s%s(the rest repeats the login and is not shown)", reply->code,
                reply->enhanced, reply->enhanced[0] ? " " : "");
    memset(c->parser.line, 0, sizeof c->parser.line);
    c->parser.line_len = 0;
}
