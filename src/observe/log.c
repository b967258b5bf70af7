/* log - see log.h. One function per line; log_line has what they share. */
#include "observe/log.h"

#include "base/queue_id.h"
#include "observe/log_line.h"

#include <inttypes.h>
#include <stdarg.h>

#define LOG_REPLY_MAX 250 /* as Postfix cuts them for its verification */
#define LOG_INPUT_MAX 100 /* bytes of input shown, before escaping */

/* --- lines without a function of their own --- */

static void log_words(const struct log *l, enum log_severity severity, const char *program,
                      const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void put_words(struct log_line *line, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void put_words(struct log_line *line, const char *format, va_list args)
{
    char buf[LOG_LINE_MAX + 1];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_vprintf(&t, format, args);
    log_mask_text(line->log->mask, text_as_span(&t), &line->text);
    line->text.overflow = line->text.overflow || t.overflow;
}

/* Words that begin with "QID: ". */
static void find_queue_id(struct log_line *line)
{
    struct span message = span_from(text_as_span(&line->text), line->message_at);
    size_t len = span_find(message, ':');
    struct queue_id id;

    if (len < message.len && queue_id_parse(span_first(message, len), &id))
        line->id_len = len;
}

static void log_words(const struct log *l, enum log_severity severity, const char *program,
                      const char *format, va_list args)
{
    static const char *const words[] = {"", "warning: ", "error: ", "fatal: "};
    struct log_line line;

    log_line_begin(&line, l, program);
    text_cstr(&line.text, words[severity]);
    put_words(&line, format, args);
    find_queue_id(&line);
    log_line_end(&line, l, severity);
}

void log_info(const struct log *l, const char *program, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_words(l, LOG_SEVERITY_INFO, program, format, args);
    va_end(args);
}

void log_warning(const struct log *l, const char *program, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_words(l, LOG_SEVERITY_WARNING, program, format, args);
    va_end(args);
}

void log_error(const struct log *l, const char *program, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_words(l, LOG_SEVERITY_ERROR, program, format, args);
    va_end(args);
}

void log_fatal(const struct log *l, const char *program, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_words(l, LOG_SEVERITY_FATAL, program, format, args);
    va_end(args);
}

void log_startup(const struct log *l, enum log_severity severity, const char *format, ...)
{
    static const char *const words[] = {"INFO  ", "WARN  ", "ERROR ", "FATAL "};
    struct log_line line;
    va_list args;

    log_line_begin_startup(&line, l);
    text_cstr(&line.text, words[severity]);
    va_start(args, format);
    put_words(&line, format, args);
    va_end(args);
    log_line_end(&line, l, severity);
}

/* --- smtpd --- */

/* "[QID: ]BEFORE NAME[ADDR]" */
static void log_about(const struct log *l, const char *queue_id, const char *before,
                      const struct log_peer *p)
{
    struct log_line line;

    log_line_begin_id(&line, l, "smtpd", queue_id);
    text_cstr(&line.text, before);
    log_put_peer(&line, p);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_connect(const struct log *l, const struct log_peer *p)
{
    log_about(l, NULL, "connect from ", p);
}

/* "[QID: ]WHAT after WHERE from NAME[ADDR]" */
static void log_ended(const struct log *l, const char *queue_id, const char *what,
                      const char *after, const struct log_peer *p)
{
    struct log_line line;

    log_line_begin_id(&line, l, "smtpd", queue_id);
    text_printf(&line.text, "%s after ", what);
    log_put_plain(&line, "after", after, LOG_NAME_MAX);
    text_cstr(&line.text, " from ");
    log_put_peer(&line, p);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_lost_connection(const struct log *l, const char *queue_id, const char *after,
                         const struct log_peer *p)
{
    log_ended(l, queue_id, "lost connection", after, p);
}

void log_timeout(const struct log *l, const char *queue_id, const char *after,
                 const struct log_peer *p)
{
    log_ended(l, queue_id, "timeout", after, p);
}

void log_too_many_errors(const struct log *l, const char *queue_id, const char *after,
                         const struct log_peer *p)
{
    log_ended(l, queue_id, "too many errors", after, p);
}

void log_improper_pipelining(const struct log *l, const char *after, const struct log_peer *p,
                             struct span input)
{
    struct log_line line;

    log_line_begin(&line, l, "smtpd");
    text_cstr(&line.text, "improper command pipelining after ");
    log_put_plain(&line, "after", after, LOG_NAME_MAX);
    text_cstr(&line.text, " from ");
    log_put_peer(&line, p);
    text_cstr(&line.text, ": ");
    log_put_escaped(&line, "input", span_first(input, LOG_INPUT_MAX));
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_dialogue(const struct log *l, const struct log_peer *p, bool from_client, struct span text)
{
    struct log_line line;

    log_line_begin(&line, l, "smtpd");
    text_cstr(&line.text, from_client ? "< " : "> ");
    log_put_peer(&line, p);
    text_cstr(&line.text, ": ");
    log_put_text(&line, from_client ? "command" : "reply", text, LOG_TEXT_MAX);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

static void put_user(struct log_line *line, const char *user)
{
    text_cstr(&line->text, ", sasl_username=");
    log_put_text(line, "sasl_username", span_of(user), LOG_ADDRESS_MAX);
}

void log_client_limit(const struct log *l, const char *what, uint64_t count,
                      const struct log_peer *p, const char *user)
{
    struct log_line line;

    log_line_begin(&line, l, "smtpd");
    text_cstr(&line.text, "warning: ");
    log_put_plain(&line, "limit", what, LOG_NAME_MAX);
    text_cstr(&line.text, " limit exceeded: ");
    log_put_number(&line, "count", count);
    text_cstr(&line.text, " from ");
    log_put_peer(&line, p);
    text_cstr(&line.text, " for service smtp");
    if (user)
        put_user(&line, user);
    log_line_end(&line, l, LOG_SEVERITY_WARNING);
}

void log_disconnect(const struct log *l, const struct log_peer *p, const char *counts)
{
    struct log_line line;

    log_line_begin(&line, l, "smtpd");
    text_cstr(&line.text, "disconnect from ");
    log_put_peer(&line, p);
    text_char(&line.text, ' ');
    log_put_plain(&line, "commands", counts, LOG_TEXT_MAX);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_tls_client(const struct log *l, const struct log_peer *p, const struct tls_facts *tls,
                    const char *server_name)
{
    struct log_line line;

    log_line_begin(&line, l, "smtpd");
    text_cstr(&line.text, "Anonymous TLS connection established from ");
    log_put_peer(&line, p);
    if (server_name) {
        text_cstr(&line.text, " to ");
        log_put_plain(&line, "tls_server_name", server_name, LOG_NAME_MAX);
    }
    text_cstr(&line.text, ": ");
    log_put_plain(&line, "tls_protocol", tls->protocol, LOG_NAME_MAX);
    text_cstr(&line.text, " with cipher ");
    log_put_plain(&line, "tls_cipher", tls->cipher, LOG_NAME_MAX);
    text_cstr(&line.text, " (");
    log_put_number(&line, "tls_bits", tls->bits);
    text_printf(&line.text, "/%u bits)", tls->bits);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_tls_error(const struct log *l, const char *what, const struct log_peer *p, const char *why)
{
    struct log_line line;

    log_line_begin(&line, l, "smtpd");
    text_printf(&line.text, "%s error from ", what);
    log_put_peer(&line, p);
    text_cstr(&line.text, ": ");
    log_put_plain(&line, "error", why, LOG_TEXT_MAX);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_client(const struct log *l, const char *queue_id, const struct log_peer *p)
{
    log_about(l, queue_id && queue_id[0] ? queue_id : "NOQUEUE", "client=", p);
}

void log_client_login(const struct log *l, const char *queue_id, const struct log_peer *p,
                      const char *method, const char *user)
{
    struct log_line line;

    log_line_begin_id(&line, l, "smtpd", queue_id);
    text_cstr(&line.text, "client=");
    log_put_peer(&line, p);
    text_cstr(&line.text, ", sasl_method=");
    log_put_plain(&line, "sasl_method", method, LOG_NAME_MAX);
    put_user(&line, user);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

/* "warning: NAME[ADDR]: SASL METHOD authentication WHAT" */
static void begin_auth(struct log_line *line, const struct log *l, const struct log_peer *p,
                       const char *method, const char *what)
{
    log_line_begin(line, l, "smtpd");
    text_cstr(&line->text, "warning: ");
    log_put_peer(line, p);
    text_cstr(&line->text, ": SASL ");
    log_put_plain(line, "sasl_method", method, LOG_NAME_MAX);
    text_printf(&line->text, " authentication %s", what);
}

void log_auth_failed(const struct log *l, const struct log_peer *p, const char *method,
                     const char *why, const char *user)
{
    struct log_line line;

    begin_auth(&line, l, p, method, "failed: ");
    log_put_text(&line, "error", span_of(why), LOG_TEXT_MAX);
    put_user(&line, user);
    log_line_end(&line, l, LOG_SEVERITY_WARNING);
}

void log_auth_aborted(const struct log *l, const struct log_peer *p, const char *method)
{
    struct log_line line;

    begin_auth(&line, l, p, method, "aborted");
    log_line_end(&line, l, LOG_SEVERITY_WARNING);
}

static bool is_dsn(struct span s)
{
    if (s.len < 5 || s.len > 9 || s.ptr[1] != '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i]) && s.ptr[i] != '.')
            return false;
    }
    return true;
}

/* The reply, and apart from it the "554" and the "5.7.1" that begin it. */
static void put_reply(struct log_line *line, const char *reply)
{
    struct log_field code = {"reply_code", LOG_FIELD_NUMBER, line->text.len, 3};
    struct log_field dsn = {"dsn", LOG_FIELD_TEXT, line->text.len + 4, 0};
    struct span rest = span_of(reply);
    struct span word;
    uint64_t number;

    log_put_text(line, "reply", rest, LOG_REPLY_MAX);
    if (span_find(rest, ' ') != 3 || !span_to_u64(span_first(rest, 3), 999, &number) ||
        number < 100)
        return;
    line->fields[line->field_count++] = code;
    rest = span_from(rest, 4);
    word = span_first(rest, span_find(rest, ' '));
    dsn.len = word.len;
    if (is_dsn(word))
        line->fields[line->field_count++] = dsn;
}

void log_reject(const struct log *l, const struct log_reject *r)
{
    struct log_line line;
    struct text *t = &line.text;

    log_line_begin_id(&line, l, "smtpd", r->queue_id && r->queue_id[0] ? r->queue_id : "NOQUEUE");
    log_put_plain(&line, "action", r->warning ? "reject_warning" : "reject", LOG_NAME_MAX);
    text_cstr(t, ": ");
    log_put_plain(&line, "stage", r->stage, LOG_NAME_MAX);
    text_cstr(t, " from ");
    log_put_peer(&line, &r->peer);
    text_cstr(t, ": ");
    put_reply(&line, r->reply);
    text_char(t, ';');
    if (r->sender)
        log_put_address(&line, "from", " from=", r->sender);
    if (r->recipient)
        log_put_address(&line, "to", " to=", r->recipient);
    if (r->protocol) {
        text_cstr(t, " proto=");
        log_put_plain(&line, "proto", r->protocol, LOG_NAME_MAX);
    }
    if (r->helo)
        log_put_address(&line, "helo", " helo=", r->helo);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

/* --- pickup, cleanup, qmgr --- */

void log_pickup(const struct log *l, const char *queue_id, unsigned uid, struct span sender,
                const char *original)
{
    char address[LOG_ADDRESS_MAX + 1];
    struct text t;
    struct log_line line;

    text_init(&t, address, sizeof address);
    text_printable(&t, sender);
    log_line_begin_id(&line, l, "pickup", queue_id);
    text_cstr(&line.text, "uid=");
    log_put_number(&line, "uid", uid);
    log_put_address(&line, "from", " from=", address);
    if (original[0]) {
        text_cstr(&line.text, " orig_id=");
        log_put_plain(&line, "orig_id", original, LOG_NAME_MAX);
    }
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_message_id(const struct log *l, const char *queue_id, const char *message_id)
{
    struct log_line line;

    log_line_begin_id(&line, l, "cleanup", queue_id);
    text_cstr(&line.text, "message-id=");
    log_put_plain(&line, "message_id", message_id && message_id[0] ? message_id : "<>",
                  LOG_NAME_MAX);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_queue_active(const struct log *l, const char *queue_id, const char *sender, uint64_t size,
                      size_t recipients)
{
    struct log_line line;

    log_line_begin_id(&line, l, "qmgr", queue_id);
    log_put_address(&line, "from", "from=", sender);
    text_cstr(&line.text, ", size=");
    log_put_number(&line, "size", size);
    text_cstr(&line.text, ", nrcpt=");
    log_put_number(&line, "nrcpt", recipients);
    text_cstr(&line.text, " (queue active)");
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_removed(const struct log *l, const char *queue_id)
{
    struct log_line line;

    log_line_begin_id(&line, l, "qmgr", queue_id);
    text_cstr(&line.text, "removed");
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_bounce(const struct log *l, const char *queue_id, const char *what, const char *report_id)
{
    struct log_line line;

    log_line_begin_id(&line, l, "bounce", queue_id);
    text_printf(&line.text, "%s notification: ", what);
    log_put_plain(&line, "report_id", report_id, LOG_NAME_MAX);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_order(const struct log *l, const char *queue_id, const char *done)
{
    struct log_line line;

    log_line_begin_id(&line, l, "postsuper", queue_id);
    text_cstr(&line.text, done);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_order_total(const struct log *l, const char *total, uint64_t messages)
{
    log_info(l, "postsuper", "%s: %" PRIu64 " message%s", total, messages,
             messages == 1 ? "" : "s");
}

static void put_expired(const struct log *l, const char *queue_id, const char *sender,
                        const char *status, bool returned)
{
    struct log_line line;

    log_line_begin_id(&line, l, "qmgr", queue_id);
    log_put_address(&line, "from", "from=", sender);
    text_cstr(&line.text, ", status=");
    log_put_plain(&line, "status", status, LOG_NAME_MAX);
    text_cstr(&line.text, returned ? ", returned to sender" : ", kept on hold");
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_expired(const struct log *l, const char *queue_id, const char *sender, bool returned)
{
    put_expired(l, queue_id, sender, "expired", returned);
}

void log_force_expired(const struct log *l, const char *queue_id, const char *sender, bool returned)
{
    put_expired(l, queue_id, sender, "force-expired", returned);
}

void log_connect_failed(const struct log *l, const char *program, const char *where,
                        const char *why)
{
    struct log_line line;

    log_line_begin(&line, l, program);
    text_cstr(&line.text, "connect to ");
    log_put_plain(&line, "relay", where, LOG_NAME_MAX);
    text_cstr(&line.text, ": ");
    log_put_text(&line, "reason", span_of(why), LOG_TEXT_MAX);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}
