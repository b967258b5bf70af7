/* spool_format, reading what follows the body - see spool_format.h */
#include "queue/spool_format_private.h"

#include <string.h>

#define REASON_CAP SPOOL_RECORD_CAP
#define DSN_CAP    64

static enum spool_parse parse_end(struct spool_reader *r, const uint32_t *crc)
{
    struct span line;
    struct span value;
    char want[SPOOL_END_CAP];
    struct text t;

    if (!spool_reader_line(r, &line))
        return spool_reader_corrupt(r, "the end of the message is missing");
    if (!spool_line_is(&line, "end") || !spool_word_key(line, "crc32c=", &value) || value.len != 8)
        return spool_reader_corrupt(r, "no end line after the body");
    if (!crc)
        return SPOOL_PARSE_OK;
    text_init(&t, want, sizeof want);
    text_printf(&t, "%08lx", (unsigned long)*crc);
    if (!span_equal_nocase(value, text_as_span(&t)))
        return spool_reader_corrupt(r, "the sum over the message is wrong");
    return SPOOL_PARSE_OK;
}

/* `"text"`, all of what is left of the line. */
static bool quoted(struct span line, char *dst, size_t cap)
{
    if (line.len < 2 || line.ptr[0] != '"' || line.ptr[line.len - 1] != '"')
        return false;
    line = span_make(line.ptr + 1, line.len - 2);
    return span_find(line, '"') == line.len && spool_unescape(line, dst, cap);
}

static bool take_time(struct span *line, int64_t *wall_s_out)
{
    struct span word;
    uint64_t value;

    if (!spool_take_word(line, &word) || !span_to_u64(word, INT64_MAX, &value))
        return false;
    *wall_s_out = (int64_t)value;
    return true;
}

static bool result_word(struct span word, enum spool_result *result_out)
{
    if (span_equal(word, SPAN_LIT("sent")))
        *result_out = SPOOL_SENT;
    else if (span_equal(word, SPAN_LIT("deferred")))
        *result_out = SPOOL_DEFERRED;
    else if (span_equal(word, SPAN_LIT("failed")))
        *result_out = SPOOL_FAILED;
    else
        return false;
    return true;
}

/* False only when memory is out. What is final stays so: a record too many must not deliver or
 * bounce twice. */
static bool apply(struct recipient *recipient, enum spool_result result, const char *dsn,
                  const char *reason)
{
    if (recipient->state == RECIPIENT_SENT)
        return true;
    if (result == SPOOL_SENT) {
        recipient->state = RECIPIENT_SENT;
        return recipient->owes || recipient_set_reason(recipient, span_of(NULL));
    }
    recipient->owes = RECIPIENT_OWES_NOTHING; /* the line that it was sent is not there */
    if (recipient->state == RECIPIENT_FAILED)
        return true;
    if (result == SPOOL_FAILED)
        recipient->state = RECIPIENT_FAILED;
    span_copy(span_of(dsn), recipient->dsn, sizeof recipient->dsn);
    return recipient_set_reason(recipient, span_of(reason));
}

/* What an attempt and what is owed say: TIME rcpt=N WORD DSN "REASON". */
struct said {
    int64_t wall_s;
    struct recipient *recipient;
    struct span word;
    char dsn[DSN_CAP];
    char reason[REASON_CAP];
};

static bool take_said(const struct spool_file *f, struct span line, struct said *out)
{
    struct span word;
    struct span value;
    uint64_t index;

    if (!take_time(&line, &out->wall_s) || !spool_take_word(&line, &word) ||
        !spool_word_key(word, "rcpt=", &value) || !span_to_u64(value, SIZE_MAX, &index) ||
        index >= f->envelope->recipient_count || !spool_take_word(&line, &out->word) ||
        !spool_take_word(&line, &word) || !spool_unescape_word(word, out->dsn, sizeof out->dsn) ||
        !quoted(span_from(line, 1), out->reason, sizeof out->reason))
        return false;
    out->recipient = &f->envelope->recipients[index];
    return true;
}

static enum spool_parse parse_attempt(struct spool_reader *r, struct span line,
                                      struct spool_file *f)
{
    enum spool_result result;
    struct said said;

    if (!take_said(f, line, &said) || !result_word(said.word, &result))
        return spool_reader_corrupt(r, "bad attempt record");
    if (f->attempts == 0 || said.wall_s != f->last_attempt_s)
        f->attempts++;
    f->last_attempt_s = said.wall_s;
    if (!apply(said.recipient, result, said.dsn, said.reason))
        return SPOOL_PARSE_NO_MEMORY;
    return SPOOL_PARSE_OK;
}

static enum spool_parse parse_owed(struct spool_reader *r, struct span line, struct spool_file *f)
{
    struct said said;

    if (!take_said(f, line, &said))
        return spool_reader_corrupt(r, "bad record of what is owed");
    if (said.recipient->state == RECIPIENT_SENT)
        return SPOOL_PARSE_OK;
    said.recipient->owes = span_equal(said.word, SPAN_LIT("delivered")) ? RECIPIENT_OWES_DELIVERED
                                                                        : RECIPIENT_OWES_RELAYED;
    span_copy(span_of(said.dsn), said.recipient->dsn, sizeof said.recipient->dsn);
    if (!recipient_set_reason(said.recipient, span_of(said.reason)))
        return SPOOL_PARSE_NO_MEMORY;
    return SPOOL_PARSE_OK;
}

/* What fails after it is news: nobody was told of that. */
static void try_again(struct spool_file *f, int64_t wall_s)
{
    f->noticed = false;
    if (f->report == SPOOL_BOUNCE || f->report == SPOOL_NOTICE)
        f->report_id.text[0] = '\0';
    f->on_hold = false;
    f->hold_why[0] = '\0';
    f->released_s = wall_s;
}

static void retry_failed(struct envelope *e)
{
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (e->recipients[i].state == RECIPIENT_FAILED && !e->recipients[i].told)
            e->recipients[i].state = RECIPIENT_PENDING;
    }
}

static void order_hold(struct spool_file *f, int64_t wall_s, const char *why)
{
    struct text t;

    f->on_hold = true;
    text_init(&t, f->hold_why, sizeof f->hold_why);
    text_cstr(&t, why);
}

static void order_release(struct spool_file *f, int64_t wall_s, const char *why)
{
    if (strcmp(f->hold_why, SPOOL_WHY_EXPIRED) == 0)
        f->forced_expire = false;
    if (envelope_pending(f->envelope) == 0)
        retry_failed(f->envelope);
    try_again(f, wall_s);
}

static void order_requeue(struct spool_file *f, int64_t wall_s, const char *why)
{
    f->forced_expire = false;
    retry_failed(f->envelope);
    try_again(f, wall_s);
}

static void order_expire(struct spool_file *f, int64_t wall_s, const char *why)
{
    f->forced_expire = true;
}

/* ---- reports ---- */

static bool is_expired(const struct spool_file *f)
{
    return f->on_hold && strcmp(f->hold_why, SPOOL_WHY_EXPIRED) == 0;
}

/* Whether a report that is begun here is about it. */
static bool is_about(const struct spool_file *f, enum spool_report what, const struct recipient *r)
{
    if (r->told)
        return false;
    if (what == SPOOL_SUCCESS)
        return r->state == RECIPIENT_SENT && r->owes;
    return what == SPOOL_BOUNCE &&
           (r->state == RECIPIENT_FAILED || (r->state == RECIPIENT_PENDING && is_expired(f)));
}

static void report_begun(struct spool_file *f, const char *id, enum spool_report what)
{
    if (!queue_id_parse(span_of(id), &f->report_id))
        return;
    f->report = what;
    for (size_t i = 0; i < f->envelope->recipient_count; i++) {
        struct recipient *r = &f->envelope->recipients[i];

        r->reported = is_about(f, what, r);
    }
}

/* False: it is not the one that was begun last, or an operator's order that came between the two is
 * about them too: then it is void. */
static bool report_ends(struct spool_file *f, const char *id, enum spool_report what)
{
    if (f->report != what || !f->report_id.text[0] || strcmp(f->report_id.text, id) != 0)
        return false;
    f->report_id.text[0] = '\0';
    for (size_t i = 0; i < f->envelope->recipient_count; i++) {
        struct recipient *r = &f->envelope->recipients[i];

        if (r->reported && r->state == RECIPIENT_PENDING) /* expired */
            r->state = RECIPIENT_FAILED;
        r->told = r->told || (r->reported && what != SPOOL_DELAY);
        r->reported = false;
    }
    return true;
}

static void record_bounce(struct spool_file *f, int64_t wall_s, const char *id)
{
    report_begun(f, id, SPOOL_BOUNCE);
}

static void record_notice(struct spool_file *f, int64_t wall_s, const char *id)
{
    report_begun(f, id, SPOOL_NOTICE);
}

static void record_delay(struct spool_file *f, int64_t wall_s, const char *id)
{
    report_begun(f, id, SPOOL_DELAY);
}

static void record_success(struct spool_file *f, int64_t wall_s, const char *id)
{
    report_begun(f, id, SPOOL_SUCCESS);
}

static void record_bounced(struct spool_file *f, int64_t wall_s, const char *id)
{
    report_ends(f, id, SPOOL_BOUNCE);
}

static void record_succeeded(struct spool_file *f, int64_t wall_s, const char *id)
{
    report_ends(f, id, SPOOL_SUCCESS);
}

/* Once, whatever came between. */
static void record_delayed(struct spool_file *f, int64_t wall_s, const char *id)
{
    if (f->report == SPOOL_DELAY && !id[0])
        f->report_id.text[0] = '\0';
    report_ends(f, id, SPOOL_DELAY);
    f->delayed = true;
}

static void record_noticed(struct spool_file *f, int64_t wall_s, const char *id)
{
    if (id[0] && strcmp(f->report_id.text, id) != 0) /* "": none was sent */
        return;
    f->report_id.text[0] = '\0';
    f->noticed = f->on_hold;
}

static const struct order {
    const char *name;
    void (*apply)(struct spool_file *f, int64_t wall_s, const char *why);
} orders[] = {
    {"hold",      order_hold      },
    {"release",   order_release   },
    {"requeue",   order_requeue   },
    {"expire",    order_expire    },
    {"bounce",    record_bounce   },
    {"bounced",   record_bounced  },
    {"notice",    record_notice   },
    {"noticed",   record_noticed  },
    {"delay",     record_delay    },
    {"delayed",   record_delayed  },
    {"success",   record_success  },
    {"succeeded", record_succeeded},
};

static enum spool_parse parse_order(struct spool_reader *r, struct span line, struct spool_file *f,
                                    const struct order *order)
{
    char why[REASON_CAP];
    int64_t wall_s;

    if (!take_time(&line, &wall_s) || !quoted(span_from(line, 1), why, sizeof why))
        return spool_reader_corrupt(r, "bad record of an order");
    order->apply(f, wall_s, why);
    return SPOOL_PARSE_OK;
}

static enum spool_parse parse_record(struct spool_reader *r, struct span line, struct spool_file *f)
{
    size_t name_len = 0;

    if (spool_line_is(&line, "attempt"))
        return parse_attempt(r, line, f);
    if (spool_line_is(&line, "owed"))
        return parse_owed(r, line, f);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (spool_line_is(&line, orders[i].name))
            return parse_order(r, line, f, &orders[i]);
    }
    while (name_len < line.len && line.ptr[name_len] >= 'a' && line.ptr[name_len] <= 'z')
        name_len++;
    if (name_len == 0 || name_len == line.len || line.ptr[name_len] != ' ')
        return spool_reader_corrupt(r, "no record");
    return SPOOL_PARSE_OK; /* a newer version's */
}

/* No text holds NUL: a file system put it where the bytes of records that were not synced never
 * came to be, and with them went the LF. */
static bool is_hole(struct span line)
{
    return span_find(line, '\0') < line.len;
}

enum spool_parse spool_parse_tail(struct span bytes, const uint32_t *crc, struct spool_file *f,
                                  struct errbuf *err)
{
    struct spool_reader r = {bytes, 0, err};
    struct span line;
    enum spool_parse rc = parse_end(&r, crc);

    while (rc == SPOOL_PARSE_OK && spool_reader_line(&r, &line)) {
        if (!is_hole(line))
            rc = parse_record(&r, line, f);
    }
    if (rc == SPOOL_PARSE_CORRUPT)
        errbuf_prefix(err, 0, "after the body");
    return rc;
}
