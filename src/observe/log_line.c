/* log_line - see log_line.h */
#include "observe/log_line.h"

#include "smtp/domain.h"

#define LOG_CUT "..."

static bool is_separator(struct span c)
{
    unsigned char second = c.len == 3 ? (unsigned char)c.ptr[1] : 0;
    unsigned char third = c.len == 3 ? (unsigned char)c.ptr[2] : 0;

    if (c.len != 3 || (unsigned char)c.ptr[0] != 0xE2)
        return false;
    if (second == 0x80)
        return third >= 0xA8 && third <= 0xAE;               /* U+2028..U+202E */
    return second == 0x81 && third >= 0xA6 && third <= 0xA9; /* U+2066..U+2069 */
}

/* Length of the character at the start of `s` when it may be shown, else 0. */
static size_t shown_len(struct span s)
{
    unsigned char lead = (unsigned char)s.ptr[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    struct span c = span_first(s, len);

    if (lead < 0x80)
        return ascii_is_control(s.ptr[0]) ? 0 : 1;
    return c.len == len && smtp_utf8_printable(c) && !is_separator(c) ? len : 0;
}

static void make_safe(char *ptr, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t step;

        if (ptr[at] >= ' ' && ptr[at] <= '~') { /* nearly all of it */
            at++;
            continue;
        }
        step = shown_len(span_make(ptr + at, len - at));
        if (step == 0) {
            ptr[at] = '?';
            step = 1;
        }
        at += step;
    }
}

void log_line_begin(struct log_line *line, const struct log *l, const char *program)
{
    struct text *t = &line->text;

    text_init(t, line->buf, sizeof line->buf);
    text_cstr(t, l->syslog_name);
    text_char(t, '/');
    text_cstr(t, program);
    text_char(t, '[');
    text_u64(t, (uint64_t)l->pid);
    text_cstr(t, "]: ");
}

void log_line_begin_id(struct log_line *line, const struct log *l, const char *program,
                       const char *queue_id)
{
    log_line_begin(line, l, program);
    if (queue_id && queue_id[0]) {
        text_cstr(&line->text, queue_id);
        text_cstr(&line->text, ": ");
    }
}

void log_line_begin_startup(struct log_line *line)
{
    text_init(&line->text, line->buf, sizeof line->buf);
    text_cstr(&line->text, LOG_STARTUP_BULLET);
}

void log_line_end(struct log_line *line, const struct log *l, enum log_severity severity)
{
    struct text *t = &line->text;

    if (t->overflow) {
        t->len = t->cap - sizeof LOG_CUT;
        text_cstr(t, LOG_CUT);
    }
    make_safe(t->ptr, t->len);
    if (l->sink)
        l->sink(l->sink_ctx, severity, text_as_span(t));
}

void log_put_cut(struct text *t, const char *s, size_t max)
{
    text_span(t, span_first(span_of(s), max));
}

void log_put_peer(struct text *t, const struct log_peer *p)
{
    log_put_cut(t, p->name && p->name[0] ? p->name : "unknown", LOG_NAME_MAX);
    text_char(t, '[');
    log_put_cut(t, p->address && p->address[0] ? p->address : "unknown", LOG_NAME_MAX);
    text_char(t, ']');
}

void log_put_address(struct text *t, const char *word, const char *address)
{
    text_cstr(t, word);
    text_char(t, '<');
    log_put_cut(t, address, LOG_ADDRESS_MAX);
    text_char(t, '>');
}

void log_put_escaped(struct text *t, struct span s)
{
    static const char plain[] = "\a\b\t\n\v\f\r\\";
    static const char names[] = "abtnvfr\\";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t at = span_find(SPAN_LIT(plain), s.ptr[i]);

        if (at < sizeof plain - 1)
            text_printf(t, "\\%c", names[at]);
        else if (c < 32 || c > 126)
            text_printf(t, "\\%03o", c);
        else
            text_char(t, s.ptr[i]);
    }
}
