/* local_mail - see local_mail.h */
#include "message/local_mail.h"

#include <string.h>

/*
 * lone_dot: AT_START of a line: "." HOLDS_DOT; IN_TEXT until LF; HOLDS_DOT: LF the end, CR
 * HOLDS_DOT_CR, else the dot was text; HOLDS_DOT_CR: LF the end, else both were text.
 */
enum lone_dot_state { AT_START, IN_TEXT, HOLDS_DOT, HOLDS_DOT_CR };

void lone_dot_init(struct lone_dot *d, bool ignore)
{
    *d = (struct lone_dot){.ignore = ignore, .state = AT_START};
}

/* Writes c, and before it what was held. */
static size_t release(struct lone_dot *d, char c, char *out)
{
    size_t len = 0;

    if (d->state == HOLDS_DOT || d->state == HOLDS_DOT_CR)
        out[len++] = '.';
    if (d->state == HOLDS_DOT_CR)
        out[len++] = '\r';
    out[len++] = c;
    d->state = c == '\n' ? AT_START : IN_TEXT;
    return len;
}

static size_t lone_dot_byte(struct lone_dot *d, char c, char *out)
{
    bool holds = d->state == HOLDS_DOT || d->state == HOLDS_DOT_CR;

    if (c == '.' && d->state == AT_START) {
        d->state = HOLDS_DOT;
        return 0;
    }
    if (c == '\r' && d->state == HOLDS_DOT) {
        d->state = HOLDS_DOT_CR;
        return 0;
    }
    if (c == '\n' && holds) {
        d->ended = true;
        return 0;
    }
    return release(d, c, out);
}

void lone_dot_feed(struct lone_dot *d, struct span in, char *out, size_t *len_out)
{
    size_t len = 0;

    if (d->ignore && in.len > 0) {
        memcpy(out, in.ptr, in.len);
        len = in.len;
    }
    for (size_t i = 0; !d->ignore && !d->ended && i < in.len; i++)
        len += lone_dot_byte(d, in.ptr[i], out + len);
    *len_out = len;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Length of the first line with its LF; all of it when there is none. */
static size_t line_len(struct span s)
{
    size_t lf = span_find(s, '\n');

    return lf < s.len ? lf + 1 : s.len;
}

/* Length of a field name (RFC 5322 2.2: printable, no colon), or 0 when the line is no field. */
static size_t field_name_len(struct span line)
{
    size_t len = 0;
    size_t colon;

    while (len < line.len && line.ptr[len] > ' ' && line.ptr[len] < 127 && line.ptr[len] != ':')
        len++;
    colon = len;
    while (colon < line.len && is_blank(line.ptr[colon]))
        colon++;
    return colon < line.len && line.ptr[colon] == ':' ? len : 0;
}

/* A mailbox' first line, "From bob Sat Aug 22 ...", which some programs leave in. */
static bool is_mailbox_line(struct span line)
{
    return line.len >= 5 && span_equal(span_first(line, 5), SPAN_LIT("From ")) &&
           field_name_len(line) == 0;
}

/* Whether a line (the first one: at == 0) belongs to the header. */
static bool is_header_line(struct span line, size_t at, bool after_field)
{
    if (at == 0 && is_mailbox_line(line))
        return true;
    if (is_blank(line.ptr[0]))
        return after_field;
    return field_name_len(line) > 0;
}

bool local_header_find(struct span bytes, bool complete, struct local_header *out)
{
    size_t at = 0;
    bool after_field = false;

    while (at < bytes.len) {
        struct span rest = span_from(bytes, at);
        struct span line = span_first(rest, line_len(rest));

        if (line.ptr[line.len - 1] != '\n' && !complete)
            return false;
        if (span_equal(line, SPAN_LIT("\n")) || span_equal(line, SPAN_LIT("\r\n"))) {
            *out = (struct local_header){at, at + line.len};
            return true;
        }
        if (!is_header_line(line, at, after_field)) {
            *out = (struct local_header){at, at};
            return true;
        }
        after_field = at > 0 || !is_mailbox_line(line);
        at += line.len;
    }
    *out = (struct local_header){at, at};
    return complete;
}

bool local_field_next(struct span *rest, struct local_field *out)
{
    size_t len;
    size_t name;

    if (is_mailbox_line(*rest))
        *rest = span_from(*rest, line_len(*rest));
    if (rest->len == 0)
        return false;
    len = line_len(*rest);
    while (len < rest->len && is_blank(rest->ptr[len]))
        len += line_len(span_from(*rest, len));
    out->whole = span_first(*rest, len);
    name = field_name_len(out->whole);
    out->name = span_first(out->whole, name);
    out->value = span_from(out->whole, span_find(out->whole, ':') + 1);
    *rest = span_from(*rest, len);
    return true;
}
