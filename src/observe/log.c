/* log - see log.h. One function per line; log_line has what they share. */
#include "observe/log.h"

#include "observe/log_line.h"

#include <inttypes.h>
#include <stdarg.h>

#define LOG_REPLY_MAX  250 /* as Postfix cuts them for its verification */
#define LOG_STATUS_MAX 1024
#define LOG_INPUT_MAX  100 /* bytes of input shown, before escaping */

/* --- lines without a function of their own --- */

static void log_words(const struct log *l, enum log_severity severity, const char *program,
                      const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void log_words(const struct log *l, enum log_severity severity, const char *program,
                      const char *format, va_list args)
{
    static const char *const words[] = {"", "warning: ", "error: ", "fatal: "};
    struct log_line line;

    log_line_begin(&line, l, program);
    text_cstr(&line.text, words[severity]);
    text_vprintf(&line.text, format, args);
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

    log_line_begin_startup(&line);
    text_cstr(&line.text, words[severity]);
    va_start(args, format);
    text_vprintf(&line.text, format, args);
    va_end(args);
    log_line_end(&line, l, severity);
}

/* --- smtpd --- */

/* "[QID: ]BEFORE NAME[ADDR]AFTER" */
static void log_about(const struct log *l, const char *queue_id, const char *before,
                      const struct log_peer *p, const char *after)
{
    struct log_line line;

    log_line_begin_id(&line, l, "smtpd", queue_id);
    text_cstr(&line.text, before);
    log_put_peer(&line.text, p);
    text_cstr(&line.text, after);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_connect(const struct log *l, const struct log_peer *p)
{
    log_about(l, NULL, "connect from ", p, "");
}

/* "[QID: ]WHAT after WHERE from NAME[ADDR]" */
static void log_ended(const struct log *l, const char *queue_id, const char *what,
                      const char *after, const struct log_peer *p)
{
    char buf[LOG_NAME_MAX];
    struct text before;

    text_init(&before, buf, sizeof buf);
    text_printf(&before, "%s after %s from ", what, after);
    log_about(l, queue_id, buf, p, "");
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
    text_printf(&line.text, "improper command pipelining after %s from ", after);
    log_put_peer(&line.text, p);
    text_cstr(&line.text, ": ");
    log_put_escaped(&line.text, span_first(input, LOG_INPUT_MAX));
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_client_limit(const struct log *l, const char *what, uint64_t count,
                      const struct log_peer *p)
{
    struct log_line line;

    log_line_begin(&line, l, "smtpd");
    text_printf(&line.text, "warning: %s limit exceeded: ", what);
    text_u64(&line.text, count);
    text_cstr(&line.text, " from ");
    log_put_peer(&line.text, p);
    text_cstr(&line.text, " for service smtp");
    log_line_end(&line, l, LOG_SEVERITY_WARNING);
}

void log_disconnect(const struct log *l, const struct log_peer *p, const char *counts)
{
    char buf[LOG_STATUS_MAX];
    struct text after;

    text_init(&after, buf, sizeof buf);
    text_printf(&after, " %s", counts);
    log_about(l, NULL, "disconnect from ", p, buf);
}

void log_client(const struct log *l, const char *queue_id, const struct log_peer *p)
{
    log_about(l, queue_id && queue_id[0] ? queue_id : "NOQUEUE", "client=", p, "");
}

void log_reject(const struct log *l, const struct log_reject *r)
{
    struct log_line line;
    struct text *t = &line.text;

    log_line_begin_id(&line, l, "smtpd", r->queue_id && r->queue_id[0] ? r->queue_id : "NOQUEUE");
    text_printf(t, "%s: %s from ", r->warning ? "reject_warning" : "reject", r->stage);
    log_put_peer(t, &r->peer);
    text_cstr(t, ": ");
    log_put_cut(t, r->reply, LOG_REPLY_MAX);
    text_char(t, ';');
    if (r->sender)
        log_put_address(t, " from=", r->sender);
    if (r->recipient)
        log_put_address(t, " to=", r->recipient);
    if (r->protocol)
        text_printf(t, " proto=%s", r->protocol);
    if (r->helo)
        log_put_address(t, " helo=", r->helo);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

/* --- cleanup, qmgr, lmtp --- */

void log_message_id(const struct log *l, const char *queue_id, const char *message_id)
{
    struct log_line line;

    log_line_begin_id(&line, l, "cleanup", queue_id);
    text_cstr(&line.text, "message-id=");
    log_put_cut(&line.text, message_id && message_id[0] ? message_id : "<>", LOG_NAME_MAX);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_queue_active(const struct log *l, const char *queue_id, const char *sender, uint64_t size,
                      size_t recipients)
{
    struct log_line line;

    log_line_begin_id(&line, l, "qmgr", queue_id);
    log_put_address(&line.text, "from=", sender);
    text_cstr(&line.text, ", size=");
    text_u64(&line.text, size);
    text_printf(&line.text, ", nrcpt=%zu (queue active)", recipients);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_removed(const struct log *l, const char *queue_id)
{
    struct log_line line;

    log_line_begin_id(&line, l, "qmgr", queue_id);
    text_cstr(&line.text, "removed");
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
    log_put_address(&line.text, "from=", sender);
    text_cstr(&line.text, ", status=");
    text_cstr(&line.text, status);
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
    log_put_cut(&line.text, where, LOG_NAME_MAX);
    text_cstr(&line.text, ": ");
    log_put_cut(&line.text, why, LOG_STATUS_MAX);
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}

void log_text_delay(struct text *t, double seconds)
{
    double s = seconds > 0 ? seconds : 0; /* also when the clock stepped back, and for NaN */
    unsigned unit = s < 1 ? 1 : s < 10 ? 10 : 100; /* hundredths kept: 0.42, 4.2, 42 */
    uint64_t hundredths = s < 1e15 ? (uint64_t)(s * 100 + unit / 2.0) : 0;

    hundredths -= hundredths % unit;
    text_u64(t, hundredths / 100);
    if (hundredths % 100 == 0)
        return;
    text_char(t, '.');
    text_char(t, (char)('0' + hundredths / 10 % 10));
    if (hundredths % 10 != 0)
        text_char(t, (char)('0' + hundredths % 10));
}

static void put_delays(struct text *t, const double delays[4])
{
    double sum = 0;

    for (size_t i = 0; i < 4; i++)
        sum += delays[i] > 0 ? delays[i] : 0;
    text_cstr(t, "delay=");
    log_text_delay(t, sum);
    text_cstr(t, ", delays=");
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            text_char(t, '/');
        log_text_delay(t, delays[i]);
    }
}

void log_delivery(const struct log *l, const struct log_delivery *d)
{
    static const char *const words[] = {"sent", "deferred", "bounced"};
    struct log_line line;
    struct text *t = &line.text;

    log_line_begin_id(&line, l, d->program, d->queue_id);
    log_put_address(t, "to=", d->recipient);
    text_cstr(t, ", relay=");
    log_put_cut(t, d->relay, LOG_NAME_MAX);
    if (d->conn_use > 1)
        text_printf(t, ", conn_use=%u", d->conn_use);
    text_cstr(t, ", ");
    put_delays(t, d->delays);
    text_printf(t, ", dsn=%s, status=%s (", d->dsn, words[d->status]);
    log_put_cut(t, d->text, LOG_STATUS_MAX);
    text_char(t, ')');
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}
