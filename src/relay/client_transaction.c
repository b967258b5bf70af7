/*
 * client_transaction - MAIL, RCPT, DATA, RSET and the body, as they are written
 *
 * A parameter is written only when the peer offered its extension in the latest hello. Commands
 * that may be pipelined (RFC 2920) leave in as few sends as possible, without a buffer for all of
 * them.
 */
#include "relay/client_internal.h"

#include <assert.h>
#include <string.h>

#define COMMAND_CAP 2048 /* an address, ORCPT and the rest */
#define BATCH_CAP   4096
#define BODY_CHUNK  8192

_Static_assert(COMMAND_CAP > SMTP_ADDRESS_CAP + SMTP_ORCPT_CAP + SMTP_ENVID_CAP + 256,
               "every command must fit");

/* Commands that leave together. */
struct batch {
    struct client *client;
    size_t len;
    char bytes[BATCH_CAP];
};

static void batch_flush(struct batch *b)
{
    client_send(b->client, span_make(b->bytes, b->len));
    b->len = 0;
}

static void batch_add(struct batch *b, struct span line)
{
    if (b->len + line.len > sizeof b->bytes)
        batch_flush(b);
    memcpy(b->bytes + b->len, line.ptr, line.len);
    b->len += line.len;
}

/* Whether `address` can stand between "<" and ">" without ending the path or the command. */
static bool address_is_safe(const char *address)
{
    bool quoted = false;

    if (strlen(address) >= SMTP_ADDRESS_CAP)
        return false;
    for (const char *p = address; *p != '\0'; p++) {
        if (ascii_is_control(*p))
            return false;
        if (*p == '"')
            quoted = !quoted;
        else if (quoted && *p == '\\' && p[1] != '\0' && !ascii_is_control(p[1]))
            p++;
        else if (!quoted && (*p == '<' || *p == '>' || *p == ' '))
            return false;
    }
    return !quoted;
}

static const char *sender_of(const struct client_transaction *t)
{
    return t->envelope && t->envelope->sender && !t->probe_recipient ? t->envelope->sender : "";
}

static const char *recipient_at(const struct client_transaction *t, size_t position)
{
    if (t->probe_recipient)
        return t->probe_recipient;
    return t->envelope->recipients[t->indices[position]].address;
}

bool client_transaction_is_safe(const struct client_transaction *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *recipient = recipient_at(t, i);

        if (recipient[0] == '\0' || !address_is_safe(recipient))
            return false;
    }
    return address_is_safe(sender_of(t));
}

static bool has_8bit(const char *s)
{
    while (*s != '\0' && !ascii_is_8bit(*s))
        s++;
    return *s != '\0';
}

static bool wants_smtputf8(const struct client *c)
{
    if (!(c->can & CLIENT_CAN_SMTPUTF8))
        return false;
    return c->t.probe_recipient ? has_8bit(c->t.probe_recipient) : c->t.envelope->smtputf8;
}

/* Adds NAME=value when the value is one word that ends nothing; it was checked where it came in. */
static void put_parameter(struct text *t, const char *name, const char *value, size_t cap,
                          bool utf8)
{
    size_t len = 0;

    while (value[len] != '\0') {
        char byte = value[len];

        if (ascii_is_control(byte) || byte == ' ' || (ascii_is_8bit(byte) && !utf8))
            return;
        len++;
    }
    if (len > 0 && len < cap)
        text_printf(t, " %s=%s", name, value);
}

static void put_mail_dsn(const struct envelope *e, struct text *t)
{
    if (e->ret == SMTP_RET_FULL)
        text_cstr(t, " RET=FULL");
    if (e->ret == SMTP_RET_HDRS)
        text_cstr(t, " RET=HDRS");
    put_parameter(t, "ENVID", e->envid, sizeof e->envid, false);
}

static void put_mail(const struct client *c, struct text *t)
{
    const struct envelope *e = c->t.envelope;
    bool probe = c->t.probe_recipient != NULL;

    text_printf(t, "MAIL FROM:<%s>", sender_of(&c->t));
    if (!probe && (c->can & CLIENT_CAN_SIZE)) {
        text_cstr(t, " SIZE=");
        text_u64(t, c->t.size);
    }
    if (!probe && e->eight_bit && (c->can & CLIENT_CAN_8BITMIME))
        text_cstr(t, " BODY=8BITMIME");
    if (wants_smtputf8(c))
        text_cstr(t, " SMTPUTF8");
    if (!probe && (c->can & CLIENT_CAN_DSN))
        put_mail_dsn(e, t);
    text_cstr(t, "\r\n");
}

static void put_notify(unsigned notify, struct text *t)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {SMTP_NOTIFY_SUCCESS, "SUCCESS"},
        {SMTP_NOTIFY_FAILURE, "FAILURE"},
        {SMTP_NOTIFY_DELAY,   "DELAY"  }
    };
    const char *before = " NOTIFY=";

    if (notify & SMTP_NOTIFY_NEVER) { /* excludes the others, RFC 3461 4.1 */
        text_cstr(t, " NOTIFY=NEVER");
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!(notify & words[i].bit))
            continue;
        text_cstr(t, before);
        text_cstr(t, words[i].word);
        before = ",";
    }
}

static void put_rcpt(const struct client *c, size_t position, struct text *t)
{
    text_printf(t, "RCPT TO:<%s>", recipient_at(&c->t, position));
    if (!c->t.probe_recipient && (c->can & CLIENT_CAN_DSN)) {
        const struct recipient *r = &c->t.envelope->recipients[c->t.indices[position]];

        put_notify(r->notify, t);
        if (r->orcpt)
            put_parameter(t, "ORCPT", r->orcpt, SMTP_ORCPT_CAP, wants_smtputf8(c));
    }
    text_cstr(t, "\r\n");
}

static void batch_rcpt(struct batch *b)
{
    struct client *c = b->client;
    char buf[COMMAND_CAP];
    struct text line;

    text_init(&line, buf, sizeof buf);
    put_rcpt(c, c->sent_rcpt++, &line);
    assert(!line.overflow);
    batch_add(b, text_as_span(&line));
}

/* Everything after MAIL up to the point where the peer's replies decide. */
static void batch_rest(struct batch *b)
{
    struct client *c = b->client;

    /* A send that fails ends the session, and the envelope with it. */
    while (c->sent_rcpt < c->t.count && c->step == CLIENT_STEP_MAIL)
        batch_rcpt(b);
    if (c->t.probe_recipient) {
        c->rset_sent = true;
        batch_add(b, SPAN_LIT("RSET\r\n"));
    } else {
        c->data_sent = true;
        batch_add(b, SPAN_LIT("DATA\r\n"));
    }
}

void client_mail_send(struct client *c)
{
    struct batch batch = {.client = c, .len = 0};
    char buf[COMMAND_CAP];
    struct text line;

    text_init(&line, buf, sizeof buf);
    put_mail(c, &line);
    assert(!line.overflow);
    client_enter(c, CLIENT_STEP_MAIL);
    batch_add(&batch, text_as_span(&line));
    if (c->can & CLIENT_CAN_PIPELINING)
        batch_rest(&batch);
    batch_flush(&batch);
}

static void send_rset(struct client *c)
{
    c->rset_sent = true;
    client_enter(c, CLIENT_STEP_RSET);
    client_send(c, SPAN_LIT("RSET\r\n"));
}

void client_command_send(struct client *c)
{
    struct batch batch = {.client = c, .len = 0};

    if (c->finished) {
        send_rset(c);
    } else if (c->sent_rcpt < c->t.count) {
        batch_rcpt(&batch); /* before on_step, in which the session may end */
        client_enter(c, CLIENT_STEP_RCPT);
        batch_flush(&batch);
    } else {
        c->data_sent = true;
        client_enter(c, CLIENT_STEP_DATA);
        client_send(c, SPAN_LIT("DATA\r\n"));
    }
}

void client_body(struct client *c, struct span canonical)
{
    char out[BODY_CHUNK];
    size_t len;

    assert(c->step == CLIENT_STEP_BODY || c->step == CLIENT_STEP_BROKEN);
    while (canonical.len > 0 && c->step == CLIENT_STEP_BODY) {
        smtp_dot_encode(&c->dot, &canonical, out, sizeof out, &len);
        client_send(c, span_make(out, len));
    }
}
