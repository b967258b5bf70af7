/* smtp_reply - see reply.h */
#include "smtp/reply.h"

#include <string.h>

#define CODE_LEN 3

void smtp_reply_parser_init(struct smtp_reply_parser *p)
{
    memset(p, 0, sizeof *p);
    p->line_done = true;
    p->fresh = true;
}

static void start_line(struct smtp_reply_parser *p)
{
    if (p->fresh) {
        p->reply = (struct smtp_reply){.code = 0};
        p->lines = 0;
        p->fresh = false;
    }
    p->line_len = 0;
    p->line_done = false;
}

/* Adds to the line; false when it is too long. A CR at its end may yet belong to the line end. */
static bool keep(struct smtp_reply_parser *p, struct span part)
{
    size_t room = SMTP_REPLY_LINE_MAX + 1 - p->line_len;
    bool fits = part.len <= room;

    part = span_first(part, room);
    if (part.len > 0)
        memcpy(p->line + p->line_len, part.ptr, part.len);
    p->line_len += part.len;
    return fits && (p->line_len <= SMTP_REPLY_LINE_MAX || p->line[p->line_len - 1] == '\r');
}

/* The line is text from here on: its CR goes, and so does every control byte. */
static void end_line(struct smtp_reply_parser *p)
{
    if (p->line_len > 0 && p->line[p->line_len - 1] == '\r')
        p->line_len--;
    for (size_t i = 0; i < p->line_len; i++) {
        if (ascii_is_control(p->line[i]))
            p->line[i] = '?';
    }
    p->line[p->line_len] = '\0';
    p->line_done = true;
    p->lines++;
}

/* The code at the start of `line`, or 0. */
static unsigned parse_code(struct span line)
{
    unsigned code;

    if (line.len < CODE_LEN)
        return 0;
    if (line.ptr[0] < '2' || line.ptr[0] > '5' || line.ptr[1] < '0' || line.ptr[1] > '5')
        return 0;
    if (!ascii_is_digit(line.ptr[2]))
        return 0;
    code = (unsigned)(line.ptr[0] - '0') * 100 + (unsigned)(line.ptr[1] - '0') * 10;
    return code + (unsigned)(line.ptr[2] - '0');
}

static void add_text(struct smtp_reply *reply, struct span text)
{
    struct text t = {reply->text, strlen(reply->text), sizeof reply->text, false};

    if (t.len == 0)
        text_u64(&t, reply->code);
    if (text.len > 0) {
        text_char(&t, ' ');
        text_span(&t, text);
    }
    if (reply->enhanced[0] == '\0')
        smtp_reply_enhanced(text, reply->code, reply->enhanced);
}

/* A whole line is in p->line: takes it apart, and leaves its text there. */
static enum smtp_reply_event take_line(struct smtp_reply_parser *p)
{
    struct span line = span_make(p->line, p->line_len);
    unsigned code = parse_code(line);
    char mark = line.len > CODE_LEN ? line.ptr[CODE_LEN] : ' ';
    struct span text = span_from(line, CODE_LEN + 1);

    if (code == 0 || (mark != ' ' && mark != '-') || p->lines > SMTP_REPLY_LINES_MAX)
        return SMTP_REPLY_BAD;
    if (p->reply.code != 0 && p->reply.code != code)
        return SMTP_REPLY_BAD;
    p->reply.code = code;
    add_text(&p->reply, text);
    if (text.len > 0)
        memmove(p->line, text.ptr, text.len);
    p->line[text.len] = '\0';
    p->line_len = text.len;
    return mark == '-' ? SMTP_REPLY_LINE : SMTP_REPLY_READY;
}

static enum smtp_reply_event fail(struct smtp_reply_parser *p, struct span *in)
{
    p->bad = true;
    *in = span_from(*in, in->len);
    return SMTP_REPLY_BAD;
}

enum smtp_reply_event smtp_reply_feed(struct smtp_reply_parser *p, struct span *in)
{
    size_t part_len = span_find(*in, '\n');
    bool ended = part_len < in->len;
    enum smtp_reply_event event;

    if (p->bad)
        return fail(p, in);
    if (in->len == 0)
        return SMTP_REPLY_MORE;
    if (p->line_done)
        start_line(p);
    if (!keep(p, span_first(*in, part_len))) {
        end_line(p);
        return fail(p, in);
    }
    *in = span_from(*in, part_len + (ended ? 1 : 0));
    if (!ended)
        return SMTP_REPLY_MORE;
    end_line(p);
    event = take_line(p);
    if (event == SMTP_REPLY_BAD)
        return fail(p, in);
    p->fresh = event == SMTP_REPLY_READY;
    return event;
}

bool smtp_reply_partial(const struct smtp_reply_parser *p)
{
    return !p->fresh;
}

/* Takes "." and one to three digits. */
static bool take_number(struct span *in, struct text *t)
{
    size_t digits = 0;

    if (in->len == 0 || in->ptr[0] != '.')
        return false;
    *in = span_from(*in, 1);
    while (digits < in->len && ascii_is_digit(in->ptr[digits]))
        digits++;
    if (digits < 1 || digits > 3)
        return false;
    text_char(t, '.');
    text_span(t, span_first(*in, digits));
    *in = span_from(*in, digits);
    return true;
}

bool smtp_reply_enhanced(struct span text, unsigned code, char out[12])
{
    unsigned digit = code / 100; /* RFC 3463 has the classes 2, 4 and 5 */
    struct text t;
    bool fits = text.len > 0 && (digit == 2 || digit == 4 || digit == 5);

    text_init(&t, out, 12);
    fits = fits && text.ptr[0] == (char)('0' + digit);
    text_span(&t, span_first(text, fits ? 1 : 0));
    text = span_from(text, 1);
    fits = fits && take_number(&text, &t) && take_number(&text, &t);
    if (fits && (text.len == 0 || text.ptr[0] == ' '))
        return true;
    out[0] = '\0';
    return false;
}
