/*
 * Fuzz relay/client: whatever the peer says, each reply is taken for the command it answers.
 *
 * Input: two choices (settings, envelope), then the peer's bytes. Bytes 1 to 8 among them are not
 * the peer's (14 likewise) but ours: see enum deed. Beside the client runs a model that knows
 * nothing of its states: a queue of what was asked, out of the bytes that were sent, and the
 * replies, out of the bytes that were fed. It holds that
 *   - a reply that nothing asked for, or no reply at all, breaks the session, and a result names
 * the reply to that recipient's command, or to one that all share;
 *   - each recipient has one result, unless on_broken comes first, and nothing comes after that;
 *   - the dot is sent only after 354, for recipients that were accepted, and what it ends is the
 * body;
 *   - the login is said only after it was asked for, where it may be, and nothing of it comes back;
 *   - the client is idle, or sends a body, when all replies are in, and only then.
 */
#include "input.h"
#include "relay/client.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define ASKED_MAX                                                                                  \
    1024 /* more than a session of INPUT_MAX bytes can ask without a reply: see ask() */
#define BODY_MAX 65536

enum deed {
    DEED_BEGIN = 1,
    DEED_PROBE,
    DEED_QUIT,
    DEED_FAIL,
    DEED_BODY,
    DEED_BODY_END,
    DEED_FEED,
    DEED_SECURED,
    DEED_LOGIN = 14 /* CR and LF are between */
};

#define USER   "ann"
#define SECRET "c0rrect-horse"

struct asked {
    enum client_step step;
    size_t position; /* of the recipient, where only one is meant */
};

struct model {
    struct client client;
    bool eager;                    /* transactions begin by themselves */
    bool bytes;                    /* feed byte by byte */
    struct asked asked[ASKED_MAX]; /* from..to: sent and not yet answered */
    size_t asked_from;
    size_t asked_to;
    struct asked answered[ASKED_MAX]; /* of this transaction */
    unsigned codes[ASKED_MAX];
    size_t answered_count;
    struct smtp_reply_parser parser;
    enum client_tls tls;
    bool secured;
    bool login_asked;
    bool login_given;
    bool must_break;
    bool broken;
    bool in_transaction;
    struct client_transaction t;
    size_t indices[3];
    bool result[CLIENT_RCPT_MAX];
    size_t next_rcpt;
    bool in_body;
    char line[4096]; /* of a command that is not complete yet */
    size_t line_len;
    char body[BODY_MAX];
    size_t body_len;
    char wire[BODY_MAX * 2];
    size_t wire_len;
};

static struct envelope *envelope;

static void ask(struct model *m, enum client_step step, size_t position)
{
    if (m->asked_from == m->asked_to)
        m->asked_from = m->asked_to = 0;
    assert(m->asked_to < ASKED_MAX);
    m->asked[m->asked_to++] = (struct asked){step, position};
}

static void ask_for_dot(struct model *m)
{
    bool for_all = m->client.protocol == CLIENT_SMTP;

    for (size_t i = 0; i < (for_all ? 1 : m->t.count); i++) {
        if (for_all || !m->result[i])
            ask(m, CLIENT_STEP_END, i);
    }
}

static void model_feed(struct model *m, struct span bytes)
{
    while (bytes.len > 0) {
        enum smtp_reply_event event = smtp_reply_feed(&m->parser, &bytes);
        bool unasked = event == SMTP_REPLY_READY && m->asked_from == m->asked_to;

        m->must_break = m->must_break || unasked || event == SMTP_REPLY_BAD;
        if (event != SMTP_REPLY_READY || unasked)
            continue;
        assert(m->answered_count < ASKED_MAX);
        m->codes[m->answered_count] = m->parser.reply.code;
        m->answered[m->answered_count++] = m->asked[m->asked_from++];
    }
}

static const struct {
    const char *start;
    enum client_step step;
} commands[] = {
    {"LHLO ",        CLIENT_STEP_HELLO   },
    {"EHLO ",        CLIENT_STEP_HELLO   },
    {"STARTTLS\r\n", CLIENT_STEP_STARTTLS},
    {"HELO ",        CLIENT_STEP_HELLO   },
    {"AUTH ",        CLIENT_STEP_AUTH    },
    {"XCLIENT ",     CLIENT_STEP_XCLIENT },
    {"MAIL FROM:<",  CLIENT_STEP_MAIL    },
    {"RCPT TO:<",    CLIENT_STEP_RCPT    },
    {"DATA\r\n",     CLIENT_STEP_DATA    },
    {"RSET\r\n",     CLIENT_STEP_RSET    },
    {"QUIT\r\n",     CLIENT_STEP_QUIT    },
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

/* A response of a login: base64, or an empty line. */
static bool is_response(const struct model *m, struct span line)
{
    bool due = m->client.step == CLIENT_STEP_AUTH && m->asked_from == m->asked_to &&
               m->answered_count > 0 && m->codes[m->answered_count - 1] == 334;

    for (size_t i = 0; due && i + 2 < line.len; i++)
        due = ascii_is_alnum(line.ptr[i]) || strchr("+/=", line.ptr[i]);
    return due;
}

static void take_command(struct model *m, struct span line)
{
    size_t i = 0;

    if (is_response(m, line)) {
        ask(m, CLIENT_STEP_AUTH, 0);
        return;
    }
    while (i < COMMAND_COUNT && !span_starts_nocase(line, span_of(commands[i].start)))
        i++;
    assert(i < COMMAND_COUNT);
    assert(commands[i].step != CLIENT_STEP_XCLIENT || line.len <= 512);
    assert(commands[i].step != CLIENT_STEP_AUTH || (m->login_given && line.len <= 512));
    ask(m, commands[i].step, m->next_rcpt);
    m->next_rcpt += commands[i].step == CLIENT_STEP_RCPT;
}

static void take_sent_byte(struct model *m, char byte)
{
    assert(m->line_len < sizeof m->line && byte != '\0');
    m->line[m->line_len++] = byte;
    if (m->line_len > 1 && m->line[m->line_len - 2] == '\r')
        assert(byte == '\n');
    if (byte != '\n')
        return;
    assert(m->line_len > 1 && m->line[m->line_len - 2] == '\r');
    take_command(m, span_make(m->line, m->line_len));
    m->line_len = 0;
}

static void on_send(void *ctx, struct span bytes)
{
    struct model *m = ctx;

    assert(!m->broken && bytes.len > 0);
    for (size_t i = 0; i < bytes.len && !m->in_body; i++)
        take_sent_byte(m, bytes.ptr[i]);
    if (!m->in_body)
        return;
    assert(m->wire_len + bytes.len <= sizeof m->wire);
    memcpy(m->wire + m->wire_len, bytes.ptr, bytes.len);
    m->wire_len += bytes.len;
}

/* A strict reader finds the end of data where the dot is, and in front of it the body. */
static void check_wire(const struct model *m)
{
    static char decoded[BODY_MAX * 2];
    struct smtp_dot_decoder decoder;
    struct span in = span_make(m->wire, m->wire_len);
    size_t len;

    smtp_dot_decoder_init(&decoder, false);
    assert(smtp_dot_decode(&decoder, &in, decoded, sizeof decoded, &len) && in.len == 0);
    assert(len == m->body_len && memcmp(decoded, m->body, len) == 0);
}

static void begin(struct model *m, size_t count, const char *probe)
{
    if (m->client.step != CLIENT_STEP_IDLE)
        return;
    for (size_t i = 0; i < 3; i++)
        m->indices[i] = 2 - i;
    m->t = (struct client_transaction){
        .envelope = envelope, .indices = m->indices, .count = count, .size = 77};
    if (probe)
        m->t = (struct client_transaction){.count = 1, .probe_recipient = probe};
    memset(m->result, 0, sizeof m->result);
    m->answered_count = 0;
    m->next_rcpt = 0;
    m->in_transaction = true;
    client_begin(&m->client, &m->t);
}

static void give_body(struct model *m, size_t choice)
{
    static const char *const parts[] = {".\r\n", "a.b\r\n", "\r\n", ".", "..", "a", "\r\n.\r\n"};
    const char *part = parts[choice % (sizeof parts / sizeof parts[0])];
    size_t len = strlen(part);

    if (m->client.step != CLIENT_STEP_BODY || m->body_len + len > BODY_MAX)
        return;
    memcpy(m->body + m->body_len, part, len);
    m->body_len += len;
    client_body(&m->client, span_make(part, len));
}

static void end_body(struct model *m)
{
    bool whole = m->body_len == 0 || m->body[m->body_len - 1] == '\n';
    bool clean = !smtp_reply_partial(&m->parser);

    if (m->client.step != CLIENT_STEP_BODY)
        return;
    client_body_end(&m->client);
    assert(m->broken == !(whole && clean));
    m->in_body = false;
    if (m->broken)
        return;
    check_wire(m);
    ask_for_dot(m);
    assert(client_may_be_sent(&m->client));
}

static void on_step(void *ctx, enum client_step step)
{
    struct model *m = ctx;

    assert(!m->broken && step < CLIENT_STEP_BROKEN && step == m->client.step);
    assert(step < CLIENT_STEP_AUTH || m->tls != CLIENT_TLS_REQUIRED || m->secured);
}

/* All that the peer said is used up: its 220 was the last of it. */
static void on_starttls(void *ctx)
{
    struct model *m = ctx;

    assert(!m->broken && !m->must_break && m->tls != CLIENT_TLS_NONE && !m->secured);
    assert(!smtp_reply_partial(&m->parser) && m->asked_from == m->asked_to);
    assert(m->answered[m->answered_count - 1].step == CLIENT_STEP_STARTTLS);
    assert(m->codes[m->answered_count - 1] / 100 == 2);
}

static bool is_protected(const struct model *m)
{
    return m->secured || m->client.settings.wrapped;
}

static void on_login(void *ctx)
{
    struct model *m = ctx;

    assert(!m->broken && !m->must_break && !m->login_asked && m->client.settings.login);
    assert(!smtp_reply_partial(&m->parser) && m->asked_from == m->asked_to);
    assert(m->tls != CLIENT_TLS_REQUIRED || m->secured);
    assert(is_protected(m) || m->client.settings.auth_in_clear != 0);
    m->login_asked = true;
}

static void on_idle(void *ctx)
{
    struct model *m = ctx;

    assert(!m->client.settings.login || m->login_given);

    assert(m->tls != CLIENT_TLS_REQUIRED || m->secured);
    assert(!m->broken && !m->in_transaction && !m->must_break);
    assert(!smtp_reply_partial(&m->parser));
    if (m->eager && m->client.uses % 4 == 3)
        begin(m, 1, "joe@example.com");
    else if (m->eager)
        begin(m, 1 + m->client.uses % 3, NULL);
}

static void on_body(void *ctx)
{
    struct model *m = ctx;
    size_t undecided = 0;

    assert(!m->broken && m->answered[m->answered_count - 1].step == CLIENT_STEP_DATA);
    assert(m->codes[m->answered_count - 1] == 354 && !m->must_break);
    for (size_t i = 0; i < m->t.count; i++)
        undecided += !m->result[i];
    assert(undecided > 0 && !m->t.probe_recipient);
    m->in_body = true;
    m->body_len = m->wire_len = 0;
    if (!m->eager)
        return;
    give_body(m, 0);
    end_body(m);
}

static void on_result(void *ctx, size_t position, enum client_blame blame, enum client_step step,
                      const struct smtp_reply *reply)
{
    struct model *m = ctx;
    bool shared = step == CLIENT_STEP_MAIL || step == CLIENT_STEP_DATA ||
                  (step == CLIENT_STEP_END && m->client.protocol == CLIENT_SMTP);
    size_t i = 0;

    assert(!m->broken && m->in_transaction && position < m->t.count && !m->result[position]);
    m->result[position] = true;
    assert(blame != CLIENT_BLAME_RECIPIENT || reply->code / 100 == 5);
    assert((blame == CLIENT_BLAME_NONE) == (reply->code / 100 == 2));
    assert(blame != CLIENT_BLAME_NONE || step == CLIENT_STEP_END || m->t.probe_recipient);
    while (i < m->answered_count && !(m->answered[i].step == step && m->codes[i] == reply->code &&
                                      (shared || m->answered[i].position == position)))
        i++;
    assert(i < m->answered_count);
}

static void on_finished(void *ctx)
{
    struct model *m = ctx;

    assert(!m->broken && m->in_transaction);
    for (size_t i = 0; i < m->t.count; i++)
        assert(m->result[i]);
    assert(!client_may_be_sent(&m->client));
    m->in_transaction = false;
    m->t.count = 0; /* ours again */
}

static void on_broken(void *ctx, enum client_step step, const struct smtp_reply *reply,
                      const char *text)
{
    struct model *m = ctx;

    assert(!m->broken && text[0] != '\0' && step < CLIENT_STEP_BROKEN);
    assert(!reply || strstr(text, reply->text) || strlen(reply->text) > 900);
    assert(step != CLIENT_STEP_AUTH || !m->login_given || !strstr(text, SECRET));
    for (; *text != '\0'; text++)
        assert(!ascii_is_control(*text));
    m->broken = true;
}

static const struct client_ops ops = {on_send,   on_step, on_starttls, on_login, on_idle,
                                      on_result, on_body, on_finished, on_broken};

static void feed(struct model *m, struct span bytes)
{
    enum client_step step;

    if (m->broken || bytes.len == 0)
        return;
    m->must_break = m->must_break || m->client.step == CLIENT_STEP_TLS;
    model_feed(m, bytes);
    client_input(&m->client, bytes);
    step = m->client.step;
    assert(m->broken == (step == CLIENT_STEP_BROKEN));
    assert(m->broken || !m->must_break);
    if (m->broken)
        return;
    assert((step == CLIENT_STEP_IDLE || step == CLIENT_STEP_BODY || step == CLIENT_STEP_TLS ||
            (step == CLIENT_STEP_AUTH && !m->login_given)) == (m->asked_from == m->asked_to));
    assert(client_may_be_sent(&m->client) == (step == CLIENT_STEP_END));
}

static void feed_piece(struct model *m, struct span piece)
{
    if (!m->bytes)
        feed(m, piece);
    for (size_t i = 0; m->bytes && i < piece.len; i++)
        feed(m, span_make(piece.ptr + i, 1));
}

static void secure(struct model *m)
{
    if (m->client.step != CLIENT_STEP_TLS)
        return;
    m->secured = true;
    client_secured(&m->client);
}

static void give_login(struct model *m)
{
    struct client_login login = {SPAN_LIT(USER), SPAN_LIT(SECRET)};

    if (!m->login_asked || m->login_given)
        return;
    m->login_given = true;
    client_login(&m->client, &login);
    assert(m->broken || m->client.step == CLIENT_STEP_AUTH);
}

static void do_deed(struct model *m, char deed)
{
    if (m->broken)
        return;
    if (deed == DEED_BEGIN)
        begin(m, 1 + m->client.uses % 3, NULL);
    else if (deed == DEED_PROBE)
        begin(m, 1, "joe@example.com");
    else if (deed == DEED_QUIT && m->client.step == CLIENT_STEP_IDLE)
        client_quit(&m->client);
    else if (deed == DEED_FAIL)
        client_fail(&m->client, "host closed the connection");
    else if (deed == DEED_BODY)
        give_body(m, m->body_len);
    else if (deed == DEED_BODY_END)
        end_body(m);
    else if (deed == DEED_SECURED)
        secure(m);
    else if (deed == DEED_LOGIN)
        give_login(m);
}

static void make_envelope(size_t choice)
{
    struct envelope *e = envelope;

    if (!e) {
        envelope = e = envelope_new();
        assert(e && envelope_set_sender(e, SPAN_LIT("bob@example.net")));
        for (char name[] = "r0@example.com"; name[1] < '3'; name[1]++)
            assert(envelope_add_recipient(e, span_of(name), SMTP_NOTIFY_FAILURE,
                                          SPAN_LIT("rfc822;x@example.com")));
    }
    e->eight_bit = choice & 1;
    e->smtputf8 = choice & 2;
    e->ret = choice & 4 ? SMTP_RET_FULL : SMTP_RET_NONE;
    e->client_port = 25;
    snprintf(e->envid, sizeof e->envid, "%s", choice & 8 ? "QQ" : "");
    snprintf(e->protocol, sizeof e->protocol, "%s", choice & 16 ? "local" : "ESMTP");
    snprintf(e->client_address, sizeof e->client_address, "%s",
             choice & 32 ? "2001:db8::1" : "192.0.2.1");
    snprintf(e->client_name, sizeof e->client_name, "%s",
             choice & 64 ? "unknown" : "mail.example.net");
    memset(e->helo, '=', choice >> 8);
    e->helo[choice >> 8] = '\0';
}

static bool is_deed(char c)
{
    return (c >= DEED_BEGIN && c <= DEED_SECURED) || c == DEED_LOGIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model m;
    struct span in = span_make((const char *)data, size);
    size_t choice = input_choice(&in, 127);
    size_t envelope_choice;
    struct client_settings settings = {.protocol = choice & 1 ? CLIENT_SMTP : CLIENT_LMTP,
                                       .fallback = choice & 2,
                                       .hello_name = "gw.example.com",
                                       .tls = (enum client_tls)(choice >> 5 < 3 ? choice >> 5 : 0),
                                       .xclient = choice & 4,
                                       .xclient_timeout_s = 600};

    if (size > INPUT_MAX)
        return 0;
    memset(&m, 0, offsetof(struct model, line));
    m.line_len = 0;
    m.tls = settings.tls;
    m.eager = choice & 8;
    m.bytes = choice & 16;
    envelope_choice = input_choice(&in, 65535);
    make_envelope(envelope_choice);
    settings.out = envelope_choice >> 7 & 1;
    settings.login = choice >> 5 == 3 || envelope_choice % 5 == 1;
    settings.wrapped = settings.tls == CLIENT_TLS_NONE && envelope_choice & 4;
    settings.auth_in_clear = envelope_choice & 7;
    settings.auth_in_tls = 7 & ~(envelope_choice >> 3);
    smtp_reply_parser_init(&m.parser);
    client_init(&m.client, &ops, &m, &settings);
    ask(&m, CLIENT_STEP_GREETING, 0);
    client_start(&m.client);
    while (in.len > 0) {
        size_t len = 0;

        while (len < in.len && !is_deed(in.ptr[len]))
            len++;
        feed_piece(&m, span_first(in, len));
        if (len < in.len)
            do_deed(&m, in.ptr[len]);
        in = span_from(in, len + 1);
    }
    return 0;
}
