/* control_format - see control_format.h */
#include "control/control_format.h"

#include "control/control_format_drain.h"
#include "queue/queue_order.h"

#include <assert.h>
#include <string.h>
#include <sysexits.h>

enum argument_kind { ARG_NONE, ARG_TEXT, ARG_JSON, ARG_ID, ARG_SIZE, ARG_ORDER, ARG_WAIT };

#define IN(stage) (1u << CONTROL_##stage)

/* A word that is a request both with and without argument has two rows. */
static const struct request_row {
    const char *word;
    enum argument_kind argument;
    enum control_verb verb;
    unsigned stages; /* in which it may come */
    enum control_stage next;
} rows[] = {
    {"ping",       ARG_NONE,  CONTROL_PING,        IN(IDLE),                    CONTROL_IDLE     },
    {"status",     ARG_NONE,  CONTROL_STATUS,      IN(IDLE),                    CONTROL_IDLE     },
    {"status",     ARG_JSON,  CONTROL_STATUS_JSON, IN(IDLE),                    CONTROL_IDLE     },
    {"active",     ARG_NONE,  CONTROL_ACTIVE,      IN(IDLE),                    CONTROL_IDLE     },
    {"flush",      ARG_NONE,  CONTROL_FLUSH,       IN(IDLE),                    CONTROL_IDLE     },
    {"flush",      ARG_ID,    CONTROL_FLUSH_ID,    IN(IDLE),                    CONTROL_IDLE     },
    {"flush-site", ARG_TEXT,  CONTROL_FLUSH_SITE,  IN(IDLE),                    CONTROL_IDLE     },
    {"order",      ARG_ORDER, CONTROL_ORDER,       IN(IDLE),                    CONTROL_IDLE     },
    {"reload",     ARG_NONE,  CONTROL_RELOAD,      IN(IDLE),                    CONTROL_IDLE     },
    {"drain",      ARG_WAIT,  CONTROL_DRAIN,       IN(IDLE),                    CONTROL_IDLE     },
    {"drain",      ARG_NONE,  CONTROL_DRAIN_SHOW,  IN(IDLE),                    CONTROL_IDLE     },
    {"undrain",    ARG_NONE,  CONTROL_DRAIN_UNDO,  IN(IDLE),                    CONTROL_IDLE     },
    {"stop",       ARG_NONE,  CONTROL_STOP,        IN(IDLE),                    CONTROL_IDLE     },
    {"verify",     ARG_TEXT,  CONTROL_VERIFY,      IN(IDLE),                    CONTROL_IDLE     },
    {"smtp",       ARG_NONE,  CONTROL_SMTP,        IN(IDLE),                    CONTROL_IDLE     },
    {"submit",     ARG_NONE,  CONTROL_SUBMIT,      IN(IDLE),                    CONTROL_WANT_FROM},
    {"submit",     ARG_ID,    CONTROL_RESUBMIT,    IN(IDLE),                    CONTROL_WANT_FROM},
    {"from",       ARG_TEXT,  CONTROL_FROM,        IN(WANT_FROM),               CONTROL_WANT_RCPT},
    {"rcpt",       ARG_TEXT,  CONTROL_RCPT,        IN(WANT_RCPT) | IN(IN_RCPT), CONTROL_IN_RCPT  },
    {"chunk",      ARG_SIZE,  CONTROL_CHUNK,       IN(IN_RCPT) | IN(IN_BODY),   CONTROL_IN_BODY  },
    {"end",        ARG_NONE,  CONTROL_END,         IN(IN_RCPT) | IN(IN_BODY),   CONTROL_IDLE     },
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

void control_parser_init(struct control_parser *p)
{
    p->stage = CONTROL_IDLE;
    p->chunk_left = 0;
    p->len = 0;
}

static enum control_event fault(struct control_parser *p, const char *words, struct span *out)
{
    p->stage = CONTROL_BROKEN;
    *out = span_of(words);
    return CONTROL_FAULT;
}

static bool has_control(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_control(s.ptr[i]))
            return true;
    }
    return false;
}

static bool argument_fits(struct control_parser *p, enum argument_kind kind, struct span argument,
                          struct queue_id *id_out)
{
    struct queue_order_request order;
    uint64_t wait;

    switch (kind) {
    case ARG_NONE:
        return argument.len == 0;
    case ARG_TEXT:
        return argument.len > 0;
    case ARG_JSON:
        return span_equal(argument, SPAN_LIT("json"));
    case ARG_ID:
        return queue_id_parse(argument, id_out);
    case ARG_SIZE:
        return span_to_u64(argument, CONTROL_CHUNK_MAX, &p->chunk_left);
    case ARG_ORDER:
        return queue_order_parse(argument, &order);
    case ARG_WAIT:
        return span_to_u64(argument, CONTROL_DRAIN_WAIT_MAX, &wait);
    }
    return false;
}

static enum control_event take_line(struct control_parser *p, struct control_request *out,
                                    struct span *why_out)
{
    struct span line = span_make(p->line, p->len);
    struct span word = span_first(line, span_find(line, ' '));
    struct span argument = span_from(line, word.len + 1);
    const char *why = "there is no such request";

    p->len = 0; /* the bytes stay until the next call */
    if (has_control(line))
        return fault(p, "a request has a control byte in it", why_out);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct request_row *row = &rows[i];

        if (!span_equal(word, span_of(row->word)))
            continue;
        if (!(row->stages & 1u << p->stage)) {
            why = "a request came where it may not";
        } else if (!argument_fits(p, row->argument, argument, &out->id)) {
            why = "a request has a bad argument";
        } else {
            out->verb = row->verb;
            out->argument = argument;
            p->stage = row->next;
            return CONTROL_REQUEST;
        }
    }
    return fault(p, why, why_out);
}

void control_take(struct control_parser *p, struct span *in, size_t len)
{
    assert(len <= p->chunk_left && len <= in->len);
    *in = span_from(*in, len);
    p->chunk_left -= len;
}

enum control_event control_parse(struct control_parser *p, struct span *in,
                                 struct control_request *request_out, struct span *bytes_out)
{
    size_t lf;

    if (p->stage == CONTROL_BROKEN)
        return fault(p, "an earlier request was bad", bytes_out);
    if (p->chunk_left > 0) {
        *bytes_out = span_first(*in, p->chunk_left < in->len ? (size_t)p->chunk_left : in->len);
        return bytes_out->len > 0 ? CONTROL_BYTES : CONTROL_MORE;
    }
    lf = span_find(*in, '\n');
    if (p->len + lf > sizeof p->line)
        return fault(p, "a request line is too long", bytes_out);
    if (lf > 0)
        memcpy(p->line + p->len, in->ptr, lf);
    p->len += lf;
    if (lf == in->len) {
        *in = span_from(*in, lf);
        return CONTROL_MORE;
    }
    *in = span_from(*in, lf + 1);
    return take_line(p, request_out, bytes_out);
}

void control_put_text(struct text *t, struct span line)
{
    text_cstr(t, "text ");
    text_printable(t, line);
    text_char(t, '\n');
}

void control_put_ok(struct text *t)
{
    text_cstr(t, "ok\n");
}

void control_put_error(struct text *t, int exit_code, struct span words)
{
    text_printf(t, "error %d ", exit_code);
    text_printable_max(t, words, CONTROL_LINE_MAX);
    text_char(t, '\n');
}

enum control_reply control_reply_parse(struct span line, struct span *words_out, int *exit_code_out)
{
    struct span rest;
    size_t blank;
    uint64_t code;

    *words_out = SPAN_LIT(""); /* never NULL: callers print it */
    if (span_equal(line, SPAN_LIT("ok")))
        return CONTROL_REPLY_OK;
    if (span_equal(span_first(line, 5), SPAN_LIT("text "))) {
        *words_out = span_make(line.ptr + 5, line.len - 5);
        return CONTROL_REPLY_TEXT;
    }
    if (!span_equal(span_first(line, 6), SPAN_LIT("error ")))
        return CONTROL_REPLY_BAD;
    rest = span_from(line, 6);
    blank = span_find(rest, ' ');
    if (!span_to_u64(span_first(rest, blank), 255, &code) || code == 0)
        return CONTROL_REPLY_BAD;
    *exit_code_out = (int)code;
    if (blank < rest.len)
        *words_out = span_make(rest.ptr + blank + 1, rest.len - blank - 1);
    return CONTROL_REPLY_ERROR;
}

/* The enhanced status code of "550 5.1.1 words" begins with this. */
static bool status_is(const struct smtp_verdict *verdict, const char *start)
{
    struct span line = span_of(verdict->line);

    return span_starts_nocase(span_from(line, 4), span_of(start));
}

int control_exit_code(const struct smtp_verdict *verdict)
{
    if (verdict->code >= 200 && verdict->code < 300)
        return EX_OK;
    if (verdict->code < 500 || verdict->code > 599)
        return EX_TEMPFAIL;
    if (status_is(verdict, "5.1.") || verdict->code == 504)
        return EX_NOUSER;
    if (status_is(verdict, "5.3.4") || status_is(verdict, "5.6."))
        return EX_DATAERR;
    return EX_UNAVAILABLE;
}
