/* session_reply - replies to the client, and the log lines about them; see session_internal.h */
#include "server/session_internal.h"

#include "smtp/domain.h"

#define REPLY_MAX 510 /* RFC 5321 4.5.3.1.5: 512 bytes with CRLF */

static unsigned code_of(const char *line)
{
    uint64_t code = 0;

    return span_to_u64(span_first(span_of(line), 3), 999, &code) ? (unsigned)code : 0;
}

/* Printable, within the limit, and UTF-8 only where it is well-formed (a client said it in an
 * address). */
static void put_line(struct text *t, const char *line)
{
    text_printable_max(t, span_of(line), REPLY_MAX);
    if (smtp_utf8_printable(text_as_span(t)))
        return;
    for (size_t i = 0; i < t->len; i++) {
        if (ascii_is_8bit(t->ptr[i]))
            t->ptr[i] = '?';
    }
}

/* soft_bounce: "550 5.1.1 text" as "450 4.1.1 text", as Postfix does it. */
static void soften(const struct session *s, char *line, size_t len)
{
    if (!s->config->soft_bounce || len < 4 || line[0] != '5')
        return;
    line[0] = '4';
    if (len > 5 && line[3] == ' ' && line[4] == '5' && line[5] == '.')
        line[4] = '4';
}

/* The greeting is logged with the first command: a health check leaves no line. */
static void log_reply(struct session *s, struct span line)
{
    if (!s->debugged || !s->any_line)
        return;
    session_log_connect(s);
    log_dialogue(s->log, &s->peer, false, line);
}

void session_reply_line(struct session *s, const char *line)
{
    char buf[REPLY_MAX + 3];
    struct text t;

    if (s->state == SESSION_CLOSING)
        return;
    text_init(&t, buf, sizeof buf);
    put_line(&t, line);
    soften(s, buf, t.len);
    log_reply(s, text_as_span(&t));
    text_cstr(&t, "\r\n");
    s->reply_code = code_of(buf);
    s->ops->send(s->ctx, text_as_span(&t));
    if (s->reply_code == 221 || s->reply_code == 421 || s->reply_code == 521)
        session_hang_up(s);
}

void session_reply(struct session *s, const char *format, ...)
{
    char buf[SMTP_VERDICT_CAP];
    struct text t;
    va_list args;

    text_init(&t, buf, sizeof buf);
    va_start(args, format);
    text_vprintf(&t, format, args);
    va_end(args);
    session_reply_line(s, buf);
}

static void log_refusal(struct session *s, const char *stage, const char *sender,
                        const char *recipient, const char *line, bool warning)
{
    char soft[SMTP_VERDICT_CAP];
    struct text t;
    struct log_reject r = {.warning = warning,
                           .queue_id = s->queue_id.text,
                           .stage = stage,
                           .peer = s->peer,
                           .reply = soft,
                           .sender = sender,
                           .recipient = recipient,
                           .protocol = s->esmtp ? "ESMTP" : "SMTP",
                           .helo = s->helo[0] ? s->helo : NULL};

    text_init(&t, soft, sizeof soft);
    text_cstr(&t, line);
    soften(s, soft, t.len);
    session_log_connect(s);
    log_reject(s->log, &r);
}

void session_reject(struct session *s, const char *stage, const char *sender, const char *recipient,
                    const char *line)
{
    s->rejects++;
    log_refusal(s, stage, sender, recipient, line, false);
    session_reply_line(s, line);
}

void session_reject_warning(struct session *s, const char *stage, const char *sender,
                            const char *recipient, const char *line)
{
    log_refusal(s, stage, sender, recipient, line, true);
}

void session_hang_up(struct session *s)
{
    if (s->state == SESSION_CLOSING)
        return;
    session_reset(s);
    session_enter(s, SESSION_CLOSING);
    s->ops->hang_up(s->ctx);
}

void session_log_connect(struct session *s)
{
    if (!s->connect_logged) {
        s->connect_logged = true;
        log_connect(s->log, &s->peer);
    }
    session_log_tls(s);
}

static void log_greeting(struct session *s)
{
    char buf[REPLY_MAX + 1];
    struct text t;

    s->greeting_logged = true;
    text_init(&t, buf, sizeof buf);
    text_printf(&t, "220 %s", s->config->smtpd_banner);
    log_dialogue(s->log, &s->peer, false, text_as_span(&t));
}

/* As the parser of commands sees it: blanks before a command are passed over. */
static struct span without_blanks(struct span line)
{
    while (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
        line = span_from(line, 1);
    return line;
}

void session_log_command(struct session *s)
{
    struct span text = span_make(s->line.text, s->line.len);
    bool follows_auth = s->secret && s->verb == SMTP_UNKNOWN;

    /* one that is too long is no command, and a secret all the same */
    s->secret = s->verb == SMTP_AUTH || follows_auth ||
                span_starts_nocase(without_blanks(text), SPAN_LIT("AUTH"));
    if (!s->debugged || !s->any_line)
        return;
    session_log_connect(s);
    if (!s->greeting_logged)
        log_greeting(s);
    if (follows_auth) /* a client that did not wait for our no: these may be name and password */
        text = SPAN_LIT("(not shown)");
    else if (s->secret)
        text = SPAN_LIT("AUTH (not shown)");
    log_dialogue(s->log, &s->peer, true, text);
}

void session_log_response(struct session *s)
{
    if (!s->debugged)
        return;
    session_log_connect(s);
    log_dialogue(s->log, &s->peer, true, SPAN_LIT("(not shown)"));
}

struct span session_without_secret(const struct session *s, struct span input)
{
    struct span auth = SPAN_LIT("AUTH");
    size_t at = 0;

    if (s->secret)
        return SPAN_LIT("(not shown)");
    while (at < input.len) {
        struct span line = without_blanks(span_from(input, at));

        if (span_starts_nocase(line, auth))
            return span_first(input, (size_t)(line.ptr - input.ptr) + auth.len);
        at += span_find(line, '\n') + 1;
    }
    return input;
}

static void put_count(struct text *t, const char *name, unsigned ok, unsigned all)
{
    text_printf(t, "%s=%u", name, ok);
    if (ok != all)
        text_printf(t, "/%u", all);
}

void session_log_disconnect(struct session *s)
{
    char buf[SMTP_VERB_COUNT * 32 + 32];
    struct text t;
    unsigned ok = 0;
    unsigned all = 0;

    text_init(&t, buf, sizeof buf);
    for (unsigned i = 0; i < SMTP_VERB_COUNT; i++) {
        if (s->count_all[i] == 0)
            continue;
        put_count(&t, smtp_verb_name((enum smtp_verb)i), s->count_ok[i], s->count_all[i]);
        text_char(&t, ' ');
        ok += s->count_ok[i];
        all += s->count_all[i];
    }
    if (all > 0)
        put_count(&t, "commands", ok, all);
    else
        text_cstr(&t, "commands=0/0");
    session_log_connect(s);
    log_disconnect(s->log, &s->peer, buf);
}

void session_log_end(struct session *s,
                     void (*log_end)(const struct log *l, const char *queue_id, const char *after,
                                     const struct log_peer *p))
{
    bool in_data = s->state == SESSION_DATA || s->state == SESSION_BDAT;
    char buf[64];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_cstr(&t, s->where);
    if (in_data && s->busy != SESSION_BUSY_SUBMIT)
        text_printf(&t, " (%llu bytes)", (unsigned long long)s->data_bytes);
    session_log_connect(s);
    /* only data has an id in this line: log readers match "^lost connection after" */
    log_end(s->log, in_data ? s->queue_id.text : "", buf, &s->peer);
}
