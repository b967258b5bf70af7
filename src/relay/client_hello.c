/*
 * client_hello - greeting, LHLO/EHLO with the fallback from one to the other, HELO, XCLIENT
 *
 *     hello-reply = "250" "-" name CRLF *( "250" "-" keyword *( SP param ) CRLF ) ...
 *     XCLIENT     = "XCLIENT" 1*( SP name "=" xtext ) CRLF, at most 512 bytes
 *
 * XCLIENT wipes the peer's session, so the hello is said again after it. What does not fit into one
 * XCLIENT goes into further ones, as Dovecot's own client does it.
 */
#include "relay/client_internal.h"

#include <assert.h>
#include <string.h>

#define XCLIENT_LINE_MAX 512                    /* with CRLF */
#define XCLIENT_PART_MAX (XCLIENT_LINE_MAX - 9) /* without "XCLIENT" and CRLF */
#define UNAVAILABLE      "[UNAVAILABLE]"

static const char *hello_verb(enum client_protocol protocol)
{
    return protocol == CLIENT_LMTP ? "LHLO" : "EHLO";
}

static const char *verb_in_use(const struct client *c)
{
    return c->helo ? "HELO" : hello_verb(c->protocol);
}

/* What a hello may have offered. */
static void forget_offer(struct client *c)
{
    c->can = 0;
    c->can_xclient = 0;
    c->can_auth = 0;
    c->size_limit = 0;
}

/* The first word after the code; the old name stays when there is none. */
static void note_peer_name(struct client *c, const struct smtp_reply *reply)
{
    struct span rest = span_from(span_of(reply->text), 3);
    struct span word;
    size_t len;

    if (!span_next_word(&rest, " ", &word))
        return;
    len = word.len < sizeof c->peer_name ? word.len : sizeof c->peer_name - 1;
    for (size_t i = 0; i < len; i++) {
        bool shown = !ascii_is_control(word.ptr[i]) && !ascii_is_8bit(word.ptr[i]);

        c->peer_name[i] = '?';
        if (shown)
            c->peer_name[i] = word.ptr[i];
    }
    c->peer_name[len] = '\0';
}

static void break_refused(struct client *c, const struct smtp_reply *reply)
{
    char buf[SMTP_REPLY_TEXT_CAP + 64];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "host refused to talk to me: %s", reply->text);
    client_break(c, reply, buf);
}

void client_greeting_reply(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 != 2) {
        break_refused(c, reply);
        return;
    }
    note_peer_name(c, reply);
    c->todo = CLIENT_TODO_HELLO;
}

void client_hello_send(struct client *c)
{
    char buf[512];
    struct text t;

    forget_offer(c);
    c->hello_lines = 0;
    c->xclient_said = false;
    text_init(&t, buf, sizeof buf);
    text_printf(&t, "%s %s\r\n", verb_in_use(c), c->settings.hello_name);
    assert(!t.overflow); /* a domain name, from the settings */
    client_enter(c, CLIENT_STEP_HELLO);
    client_send(c, text_as_span(&t));
}

static const struct {
    const char *word;
    enum client_capability bit;
} capabilities[] = {
    {"PIPELINING",          CLIENT_CAN_PIPELINING},
    {"SIZE",                CLIENT_CAN_SIZE      },
    {"8BITMIME",            CLIENT_CAN_8BITMIME  },
    {"SMTPUTF8",            CLIENT_CAN_SMTPUTF8  },
    {"DSN",                 CLIENT_CAN_DSN       },
    {"XCLIENT",             CLIENT_CAN_XCLIENT   },
    {"STARTTLS",            CLIENT_CAN_STARTTLS  },
    {"ENHANCEDSTATUSCODES", CLIENT_CAN_ENHANCED  },
    {"CHUNKING",            CLIENT_CAN_CHUNKING  },
    {"AUTH",                CLIENT_CAN_AUTH      },
};

/* In the order in which they are sent. */
static const struct {
    const char *word;
    enum client_xclient bit;
} xclient_names[] = {
    {"ADDR",    CLIENT_XCLIENT_ADDR   },
    {"PORT",    CLIENT_XCLIENT_PORT   },
    {"PROTO",   CLIENT_XCLIENT_PROTO  },
    {"HELO",    CLIENT_XCLIENT_HELO   },
    {"NAME",    CLIENT_XCLIENT_NAME   },
    {"SESSION", CLIENT_XCLIENT_SESSION},
    {"TIMEOUT", CLIENT_XCLIENT_TIMEOUT},
};
#define XCLIENT_NAME_COUNT (sizeof xclient_names / sizeof xclient_names[0])

static void note_xclient(struct client *c, struct span words)
{
    struct span word;

    while (span_next_word(&words, " ", &word)) {
        for (size_t i = 0; i < XCLIENT_NAME_COUNT; i++) {
            if (span_equal_nocase(word, span_of(xclient_names[i].word)))
                c->can_xclient |= xclient_names[i].bit;
        }
    }
}

static void note_auth(struct client *c, struct span words)
{
    struct span word;

    while (span_next_word(&words, " ", &word))
        c->can_auth |= relay_mechanism_find(word);
}

static bool is_discarded(const struct client *c, struct span keyword)
{
    struct span rest = span_of(c->settings.discard);
    struct span word;

    while (span_next_word(&rest, ", \t\r\n", &word)) {
        if (span_equal_nocase(word, keyword))
            return true;
    }
    return false;
}

void client_hello_line(struct client *c, struct span line)
{
    struct span keyword;

    if (c->hello_lines++ == 0 || !span_next_word(&line, " ", &keyword))
        return;                                           /* the first line holds the peer's name */
    if (span_starts_nocase(keyword, SPAN_LIT("AUTH="))) { /* from before RFC 2554 */
        line = span_make(keyword.ptr + 5, keyword.len - 5 + line.len);
        keyword = span_first(keyword, 4);
    }
    if (is_discarded(c, keyword))
        return;
    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++) {
        if (!span_equal_nocase(keyword, span_of(capabilities[i].word)))
            continue;
        c->can |= capabilities[i].bit;
        if (capabilities[i].bit == CLIENT_CAN_SIZE &&
            !span_to_u64(span_trim(line), UINT64_MAX, &c->size_limit))
            c->size_limit = 0;
        if (capabilities[i].bit == CLIENT_CAN_XCLIENT)
            note_xclient(c, line);
        if (capabilities[i].bit == CLIENT_CAN_AUTH)
            note_auth(c, line);
    }
}

/* Replies by which a server says that it does not know the verb. */
static bool is_unknown_verb(unsigned code)
{
    return code == 500 || code == 501 || code == 502 || code == 504;
}

static void break_wrong_protocol(struct client *c, const struct smtp_reply *reply)
{
    char buf[2 * SMTP_REPLY_TEXT_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_cstr(&t, "wrong protocol: host answered ");
    if (c->hello_refusal[0])
        text_printf(&t, "%s with %s, and ", hello_verb(c->settings.protocol), c->hello_refusal);
    text_printf(&t, "%s with %s", verb_in_use(c), reply->text);
    client_break(c, reply, buf);
}

/* Chooses another hello after this refusal; false when there is none. */
static bool choose_hello(struct client *c, const struct smtp_reply *reply)
{
    if (c->hello_done || reply->code / 100 != 5)
        return false;
    if (c->settings.fallback && !c->hello_retried && is_unknown_verb(reply->code)) {
        c->hello_retried = true;
        c->protocol = c->protocol == CLIENT_LMTP ? CLIENT_SMTP : CLIENT_LMTP;
        return true;
    }
    if (c->settings.protocol != CLIENT_SMTP || c->helo)
        return false;
    c->protocol = CLIENT_SMTP;
    c->helo = true;
    return true;
}

static void hello_refused(struct client *c, const struct smtp_reply *reply)
{
    bool unknown = is_unknown_verb(reply->code) || c->hello_retried;
    struct text t;

    forget_offer(c);
    if (choose_hello(c, reply)) {
        c->todo = CLIENT_TODO_HELLO;
        if (c->hello_refusal[0])
            return;
        text_init(&t, c->hello_refusal, sizeof c->hello_refusal);
        text_cstr(&t, reply->text);
    } else if (unknown && !c->hello_done && !c->settings.out) {
        break_wrong_protocol(c, reply);
    } else {
        break_refused(c, reply);
    }
}

void client_hello_reply(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 != 2) {
        hello_refused(c, reply);
        return;
    }
    note_peer_name(c, reply);
    c->hello_done = true;
    c->mismatch = c->protocol != c->settings.protocol;
    if (c->in_transaction)
        c->todo = CLIENT_TODO_BEGIN;
    else
        client_starttls_plan(c);
}

/* Mail of the machine itself (sendmail), or of a client that is not known. */
static bool has_no_client(const struct envelope *e)
{
    return strcmp(e->protocol, "local") == 0 || e->client_address[0] == '\0' ||
           strcmp(e->client_address, "unknown") == 0;
}

void client_xclient_plan(struct client *c)
{
    const struct envelope *e = c->t.envelope;

    c->xclient_left = 0;
    if (!c->settings.xclient || !(c->can & CLIENT_CAN_XCLIENT) || c->xclient_refused)
        return;
    if (c->t.probe_recipient)
        return;
    /* Once a client was named, the peer would take the next message for that client's, too. */
    if (!has_no_client(e) || c->xclient_used)
        c->xclient_left = c->can_xclient;
}

/* RFC 3461 4: what is not a plain graphic character becomes "+" and two hexadecimal digits. */
static void put_xtext(struct text *t, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *value != '\0'; value++) {
        unsigned char byte = (unsigned char)*value;

        if (byte > 32 && byte < 127 && byte != '+' && byte != '=') {
            text_char(t, *value);
            continue;
        }
        text_char(t, '+');
        text_char(t, digits[byte >> 4]);
        text_char(t, digits[byte & 15]);
    }
}

static void put_known(struct text *t, const char *value)
{
    if (value[0] == '\0' || strcmp(value, "unknown") == 0)
        text_cstr(t, UNAVAILABLE);
    else
        put_xtext(t, value);
}

static void put_address(struct text *t, const char *address)
{
    if (strchr(address, ':'))
        text_cstr(t, "IPV6:");
    put_xtext(t, address);
}

static void put_port(struct text *t, unsigned port)
{
    if (port == 0)
        text_cstr(t, UNAVAILABLE);
    else
        text_u64(t, port);
}

/* Local mail is shown as the machine's own, the way Postfix tells it to milters. */
static void put_value(const struct client *c, enum client_xclient name, struct text *t)
{
    const struct envelope *e = c->t.envelope;
    bool local = has_no_client(e);

    switch (name) {
    case CLIENT_XCLIENT_ADDR:
        put_address(t, local ? "127.0.0.1" : e->client_address);
        break;
    case CLIENT_XCLIENT_PORT:
        put_port(t, local ? 0 : e->client_port);
        break;
    case CLIENT_XCLIENT_PROTO:
        text_cstr(t, local || strcmp(e->protocol, "SMTP") == 0 ? "SMTP" : "ESMTP");
        break;
    case CLIENT_XCLIENT_HELO:
        put_known(t, local ? "localhost" : e->helo);
        break;
    case CLIENT_XCLIENT_NAME:
        put_known(t, local ? "localhost" : e->client_name);
        break;
    case CLIENT_XCLIENT_SESSION:
        put_known(t, e->id.text);
        break;
    case CLIENT_XCLIENT_TIMEOUT:
        text_u64(t, c->settings.xclient_timeout_s);
        break;
    }
}

/* " NAME=value"; a value that not even a line of its own can hold counts as unavailable. */
static void put_attribute(const struct client *c, size_t which, struct text *t)
{
    text_printf(t, " %s=", xclient_names[which].word);
    put_value(c, xclient_names[which].bit, t);
    if (!t->overflow)
        return;
    text_init(t, t->ptr, t->cap);
    text_printf(t, " %s=%s", xclient_names[which].word, UNAVAILABLE);
}

void client_xclient_send(struct client *c)
{
    char buf[XCLIENT_LINE_MAX + 1];
    char part[XCLIENT_PART_MAX + 1];
    struct text line, attribute;

    text_init(&line, buf, sizeof buf);
    text_cstr(&line, "XCLIENT");
    for (size_t i = 0; i < XCLIENT_NAME_COUNT; i++) {
        if (!(c->xclient_left & xclient_names[i].bit))
            continue;
        text_init(&attribute, part, sizeof part);
        put_attribute(c, i, &attribute);
        if (line.len + attribute.len + 2 > XCLIENT_LINE_MAX)
            break; /* in the next one */
        text_span(&line, text_as_span(&attribute));
        c->xclient_left &= ~(unsigned)xclient_names[i].bit;
    }
    text_cstr(&line, "\r\n");
    client_enter(c, CLIENT_STEP_XCLIENT);
    client_send(c, text_as_span(&line));
}

void client_xclient_reply(struct client *c, const struct smtp_reply *reply)
{
    switch (reply->code / 100) {
    case 2:
        c->xclient_said = true;
        c->xclient_used = true;
        break;
    case 3:
        client_break_reply(c, "unexpected reply", reply);
        return;
    default: /* it only says who the client is: the mail goes on without */
        c->xclient_refused = reply->code / 100 == 5;
        c->xclient_left = 0;
        break;
    }
    c->todo = CLIENT_TODO_BEGIN;
}
