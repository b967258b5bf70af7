/* log_delivery - the line about one recipient of one attempt; see log.h */
#include "observe/log_line.h"

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

static void put_delays(struct log_line *line, const double delays[4])
{
    struct text *t = &line->text;
    double sum = 0;
    size_t at;

    for (size_t i = 0; i < 4; i++)
        sum += delays[i] > 0 ? delays[i] : 0;
    text_cstr(t, "delay=");
    at = t->len;
    log_text_delay(t, sum);
    log_field(line, "delay", LOG_FIELD_NUMBER, at);
    text_cstr(t, ", delays=");
    at = t->len;
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            text_char(t, '/');
        log_text_delay(t, delays[i]);
    }
    log_field(line, "delays", LOG_FIELD_NUMBERS, at);
}

void log_delivery(const struct log *l, const struct log_delivery *d)
{
    static const char *const words[] = {"sent", "deferred", "bounced"};
    struct log_line line;
    struct text *t = &line.text;

    log_line_begin_id(&line, l, d->program, d->queue_id);
    log_put_address(&line, "to", "to=", d->recipient);
    text_cstr(t, ", relay=");
    log_put_plain(&line, "relay", d->relay, LOG_NAME_MAX);
    if (d->conn_use > 1) {
        text_cstr(t, ", conn_use=");
        log_put_number(&line, "conn_use", d->conn_use);
    }
    text_cstr(t, ", ");
    put_delays(&line, d->delays);
    text_cstr(t, ", dsn=");
    log_put_plain(&line, "dsn", d->dsn, LOG_NAME_MAX);
    text_cstr(t, ", status=");
    log_put_plain(&line, "status", words[d->status], LOG_NAME_MAX);
    text_cstr(t, " (");
    log_put_text(&line, "reason", span_of(d->text), LOG_TEXT_MAX);
    text_char(t, ')');
    log_line_end(&line, l, LOG_SEVERITY_INFO);
}
