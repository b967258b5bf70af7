/* control_format_queue - see control_format_queue.h */
#include "control/control_format_queue.h"

#include "base/clock.h"
#include "control/control_format_json.h"

#include <string.h>

#define REASON_COLUMN 76 /* where the reason ends, without its last parenthesis */
#define PIECE_MAX     ((QUEUE_REPORT_CAP - 1024) / JSON_STRING_GROWTH)
#define NULL_SENDER   "MAILER-DAEMON"
#define NO_REASON     "reason unavailable"

static void flush(struct queue_report *r)
{
    if (r->text.len > 0)
        r->write(r->ctx, text_as_span(&r->text));
    text_init(&r->text, r->buf, sizeof r->buf);
}

/* Addresses and reasons are bounded by the spool format, far below PIECE_MAX. */
static struct span piece(struct queue_report *r, const char *s)
{
    struct span all = span_first(span_of(s), PIECE_MAX);

    if (r->text.cap - r->text.len < JSON_STRING_GROWTH * all.len + 512)
        flush(r);
    return all;
}

static const char *sender_of(const struct envelope *e)
{
    return e->sender && e->sender[0] ? e->sender : NULL_SENDER;
}

/* The state of the recipients that are listed. */
static enum recipient_state listed_state(const struct envelope *e)
{
    return envelope_pending(e) > 0 ? RECIPIENT_PENDING : RECIPIENT_FAILED;
}

/* NULL when nothing is known yet. */
static const char *reason_of(const struct spool_file *f, const struct recipient *rcpt)
{
    if (rcpt->reason)
        return rcpt->reason;
    if (f->on_hold && f->hold_why[0])
        return f->hold_why;
    return rcpt->state == RECIPIENT_FAILED ? NO_REASON : NULL;
}

/* ---- for people ---- */

/* Right-aligned, and once for recipients in a row that share it. */
static void put_reason(struct queue_report *r, const char *reason)
{
    struct span words = piece(r, reason);
    int pad = words.len < REASON_COLUMN ? (int)(REASON_COLUMN - words.len) : 0;

    text_printf(&r->text, "%*s(", pad, "");
    text_printable(&r->text, words);
    text_cstr(&r->text, ")\n");
}

static void put_recipient(struct queue_report *r, const struct recipient *rcpt)
{
    struct span address = piece(r, rcpt->address);

    text_printf(&r->text, "%-11s %7s %-20s ", "", "", "");
    text_printable(&r->text, address);
    text_char(&r->text, '\n');
}

static void put_head(struct queue_report *r, const struct spool_file *f, bool active)
{
    const struct envelope *e = f->envelope;
    char id[QUEUE_ID_LEN + 3];
    char time[32];
    struct text id_text;
    struct text time_text;
    struct span sender = piece(r, sender_of(e));

    text_init(&id_text, id, sizeof id);
    text_cstr(&id_text, e->id.text);
    text_cstr(&id_text, active ? "*" : f->on_hold ? "!" : "");
    text_cstr(&id_text, f->forced_expire ? "#" : "");
    text_init(&time_text, time, sizeof time);
    clock_text_asctime(&time_text, e->arrival_us);
    text_char(&time_text, ' '); /* Postfix cuts asctime's 24 bytes at 20: two blanks follow */
    text_printf(&r->text, "%-11s %7ju %20.20s ", id, (uintmax_t)f->body_len, time);
    text_printable(&r->text, sender);
    text_char(&r->text, '\n');
}

static void put_message(struct queue_report *r, const struct spool_file *f, bool active)
{
    const struct envelope *e = f->envelope;
    enum recipient_state listed = listed_state(e);
    const char *last = "";

    if (r->messages == 0)
        text_cstr(&r->text, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n");
    else
        text_char(&r->text, '\n');
    put_head(r, f, active);
    for (size_t i = 0; i < e->recipient_count; i++) {
        const struct recipient *rcpt = &e->recipients[i];
        const char *reason = reason_of(f, rcpt);

        if (rcpt->state != listed)
            continue;
        if (reason && strcmp(reason, last) != 0)
            put_reason(r, reason);
        last = reason ? reason : "";
        put_recipient(r, rcpt);
    }
}

/* ---- for programs ---- */

static void put_string(struct queue_report *r, const char *name, const char *value)
{
    struct span s = piece(r, value);

    json_put_name(&r->text, name);
    json_put_string(&r->text, s);
}

static void put_recipient_json(struct queue_report *r, const struct recipient *rcpt,
                               const char *reason)
{
    text_char(&r->text, '{');
    put_string(r, "address", rcpt->address);
    if (reason) {
        text_cstr(&r->text, ", ");
        put_string(r, "delay_reason", reason);
    }
    text_char(&r->text, '}');
}

static void put_message_json(struct queue_report *r, const struct spool_file *f, bool active)
{
    const struct envelope *e = f->envelope;
    enum recipient_state listed = listed_state(e);
    const char *between = "";

    text_char(&r->text, '{');
    put_string(r, "queue_name", active ? "active" : f->on_hold ? "hold" : "deferred");
    text_cstr(&r->text, ", ");
    put_string(r, "queue_id", e->id.text);
    text_printf(&r->text, ", \"arrival_time\": %jd, \"message_size\": %ju, \"forced_expire\": %s, ",
                (intmax_t)(e->arrival_us / 1000000), (uintmax_t)f->body_len,
                f->forced_expire ? "true" : "false");
    put_string(r, "sender", sender_of(e));
    text_cstr(&r->text, ", \"recipients\": [");
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (e->recipients[i].state != listed)
            continue;
        text_cstr(&r->text, between);
        put_recipient_json(r, &e->recipients[i], reason_of(f, &e->recipients[i]));
        between = ", ";
    }
    text_cstr(&r->text, "]}\n");
}

void queue_report_begin(struct queue_report *r, bool json,
                        void (*write)(void *ctx, struct span bytes), void *ctx)
{
    r->write = write;
    r->ctx = ctx;
    r->json = json;
    r->bytes = 0;
    r->messages = 0;
    text_init(&r->text, r->buf, sizeof r->buf);
}

void queue_report_message(struct queue_report *r, const struct spool_file *f, bool active)
{
    if (r->json)
        put_message_json(r, f, active);
    else
        put_message(r, f, active);
    r->messages++;
    r->bytes += f->body_len;
    flush(r);
}

void queue_report_end(struct queue_report *r)
{
    if (!r->json && r->messages == 0)
        text_cstr(&r->text, "Mail queue is empty\n");
    else if (!r->json)
        text_printf(&r->text, "\n-- %ju Kbytes in %ju Request%s.\n", (uintmax_t)(r->bytes / 1024),
                    (uintmax_t)r->messages, r->messages == 1 ? "" : "s");
    flush(r);
}
