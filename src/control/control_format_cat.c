/* control_format_cat - see control_format_cat.h */
#include "control/control_format_cat.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

#define LINE_CAP (SPOOL_LINE_MAX + 256) /* a record holds less than its line in the file */

/* Postfix's record types: the letter is shown as a number by -d. */
enum record {
    RECORD_FIRST,
    RECORD_SIZE = 'C',
    RECORD_TIME = 'T',
    RECORD_ATTRIBUTE = 'A',
    RECORD_SENDER = 'S',
    RECORD_ORIGINAL = 'O',
    RECORD_RECIPIENT = 'R',
    RECORD_DONE = 'D',
    RECORD_MESSAGE = 'M',
    RECORD_TEXT = 'N',
    RECORD_EXTRACTED = 'X',
    RECORD_END = 'E',
};

/* Where the lines of the header begin. */
struct place {
    struct span header;
    size_t at;
};

static void next_line(struct place *p)
{
    p->at += span_find(span_from(p->header, p->at), '\n') + 1;
}

static void put_margin(const struct cat *c, struct text *t, enum record type, uint64_t at)
{
    if (c->offsets)
        text_printf(t, "%9" PRIu64 " ", at);
    if (c->decimal)
        text_printf(t, "%3d ", (int)type);
}

/* The first one has no place in Postfix's files, and so no margin. */
static void section(const struct cat *c, enum record type, uint64_t at, const char *words)
{
    char line[LINE_CAP];
    struct text t;

    if (!(c->parts & CAT_ENVELOPE))
        return;
    text_init(&t, line, sizeof line);
    if (type != RECORD_FIRST)
        put_margin(c, &t, type, at);
    text_printf(&t, "*** %s ", words);
    text_printable_max(&t, span_of(c->name), LINE_CAP / 2);
    text_cstr(&t, " ***\n");
    c->write(c->ctx, text_as_span(&t));
}

static void record(const struct cat *c, enum record type, uint64_t at, const char *name,
                   const char *value)
{
    char line[LINE_CAP];
    struct text t;

    text_init(&t, line, sizeof line);
    put_margin(c, &t, type, at);
    text_printf(&t, "%s: ", name);
    text_printable_max(&t, span_of(value), SPOOL_LINE_MAX);
    text_char(&t, '\n');
    c->write(c->ctx, text_as_span(&t));
}

static void attribute(const struct cat *c, uint64_t at, const char *name, const char *value)
{
    char line[LINE_CAP];
    struct text t;

    text_init(&t, line, sizeof line);
    text_printf(&t, "%s=", name);
    text_printable_max(&t, span_of(value), SPOOL_LINE_MAX);
    record(c, RECORD_ATTRIBUTE, at, "named_attribute", line);
}

static void attribute_number(const struct cat *c, uint64_t at, const char *name, unsigned value)
{
    char number[16];
    struct text t;

    text_init(&t, number, sizeof number);
    text_u64(&t, value);
    attribute(c, at, name, number);
}

/* ---- envelope ---- */

static void put_size(const struct cat *c, const struct spool_file *f)
{
    char numbers[6 * 17];
    struct text t;

    text_init(&t, numbers, sizeof numbers);
    text_printf(&t, "%15" PRIu64 " %15" PRIu64 " %15zu %15d %15" PRIu64 " %15d", f->body_len,
                f->body_offset, f->envelope->recipient_count, 0, f->body_len,
                f->envelope->smtputf8);
    record(c, RECORD_SIZE, 0, "message_size", numbers);
}

static void put_times(const struct cat *c, const struct envelope *e, uint64_t at)
{
    char time[40];
    struct text t;

    text_init(&t, time, sizeof time);
    clock_text_asctime_year(&t, e->arrival_us);
    record(c, RECORD_TIME, at, "message_arrival_time", time);
    record(c, RECORD_ATTRIBUTE, at, "create_time",
           time); /* its id and file are made when it comes */
    attribute(c, at, "log_ident", e->id.text);
}

static void put_sender(const struct cat *c, const struct envelope *e, uint64_t at)
{
    if (e->envid[0])
        attribute(c, at, "envelope_id", e->envid);
    if (e->ret != SMTP_RET_NONE)
        attribute_number(c, at, "ret_flags", e->ret == SMTP_RET_FULL ? 1 : 2);
    record(c, RECORD_SENDER, at, "sender", e->sender);
    if (e->eight_bit)
        attribute(c, at, "encoding", "8bit");
}

static void put_client(const struct cat *c, const struct envelope *e, uint64_t at)
{
    char origin[ENVELOPE_NAME_CAP + 64];
    bool is_v6 = strchr(e->client_address, ':') != NULL;
    struct text t;

    if (!e->client_address[0])
        return; /* local mail */
    text_init(&t, origin, sizeof origin);
    text_printf(&t, "%s[%s]", e->client_name, e->client_address);
    attribute(c, at, "log_client_name", e->client_name);
    attribute(c, at, "log_client_address", e->client_address);
    attribute_number(c, at, "log_client_port", e->client_port);
    attribute(c, at, "log_message_origin", origin);
    attribute(c, at, "log_helo_name", e->helo);
    attribute(c, at, "log_protocol_name", e->protocol);
    attribute(c, at, "client_name", e->client_name);
    attribute(c, at, "client_address", e->client_address);
    attribute_number(c, at, "client_port", e->client_port);
    attribute(c, at, "helo_name", e->helo);
    attribute(c, at, "protocol_name", e->protocol);
    attribute_number(c, at, "client_address_type", is_v6 ? 10 : 2); /* AF_INET6, AF_INET */
}

static void put_recipient(const struct cat *c, const struct recipient *r, uint64_t at)
{
    bool done = r->state == RECIPIENT_SENT;

    if (r->notify)
        attribute_number(c, at, "notify_flags", r->notify);
    if (r->orcpt)
        attribute(c, at, "dsn_orig_rcpt", r->orcpt);
    record(c, RECORD_ORIGINAL, at, "original_recipient", r->address);
    record(c, done ? RECORD_DONE : RECORD_RECIPIENT, at, done ? "done_recipient" : "recipient",
           r->address);
}

static void put_records(const struct cat *c, const struct spool_file *f, struct span header)
{
    const struct envelope *e = f->envelope;
    struct place p = {header, 0};
    uint64_t client_at;

    section(c, RECORD_FIRST, 0, "ENVELOPE RECORDS");
    put_size(c, f);
    next_line(&p); /* version */
    next_line(&p); /* id */
    put_times(c, e, p.at);
    next_line(&p);
    client_at = p.at;
    next_line(&p);
    put_sender(c, e, p.at);
    put_client(c, e, client_at);
    for (size_t i = 0; i < e->recipient_count; i++) {
        next_line(&p);
        put_recipient(c, &e->recipients[i], p.at);
    }
}

void cat_envelope(struct cat *c, const struct spool_file *f, struct span header)
{
    c->at = c->line_at = f->body_offset;
    c->in_body = c->in_line = c->shown = c->cr = false;
    if (c->parts & CAT_ENVELOPE)
        put_records(c, f, header);
    section(c, RECORD_MESSAGE, c->at, "MESSAGE CONTENTS");
}

/* ---- text ---- */

static void begin_line(struct cat *c, bool is_empty)
{
    char margin[64];
    struct text t;

    c->in_line = true;
    if (is_empty)
        c->in_body = true; /* the empty line counts to the body */
    c->shown = c->parts & (c->in_body ? CAT_BODY : CAT_HEADER);
    if (!c->shown)
        return;
    text_init(&t, margin, sizeof margin);
    put_margin(c, &t, RECORD_TEXT, c->line_at);
    if (c->verbose)
        text_cstr(&t, "regular_text: ");
    if (t.len > 0)
        c->write(c->ctx, text_as_span(&t));
}

static void put_piece(struct cat *c, struct span piece)
{
    if (!c->in_line)
        begin_line(c, false);
    if (c->shown)
        c->write(c->ctx, piece);
}

static void end_line(struct cat *c)
{
    if (!c->in_line)
        begin_line(c, true);
    if (c->shown)
        c->write(c->ctx, SPAN_LIT("\n"));
    c->in_line = false;
    c->line_at = c->at;
}

static size_t plain_len(struct span bytes)
{
    struct span line = span_first(bytes, span_find(bytes, '\n'));

    return span_find(line, '\r');
}

void cat_text(struct cat *c, struct span bytes)
{
    while (bytes.len > 0) {
        size_t len = plain_len(bytes);
        char first = bytes.ptr[0];

        if (c->cr && first != '\n')
            put_piece(c, SPAN_LIT("\r"));
        c->cr = first == '\r';
        c->at += len > 0 ? len : 1;
        if (len > 0)
            put_piece(c, span_first(bytes, len));
        else if (first == '\n')
            end_line(c);
        bytes = span_from(bytes, len > 0 ? len : 1);
    }
}

void cat_end(struct cat *c)
{
    if (c->in_line)
        end_line(c);
    section(c, RECORD_EXTRACTED, c->at, "HEADER EXTRACTED");
    section(c, RECORD_END, c->at, "MESSAGE FILE END");
}
