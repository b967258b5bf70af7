/* log_line - see log_line.h */
#include "observe/log_line.h"

#include "base/queue_id.h"
#include "observe/log_json.h"
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

static void reset(struct log_line *line, const struct log *l)
{
    text_init(&line->text, line->buf, sizeof line->buf);
    line->log = l;
    line->program_len = 0;
    line->message_at = 0;
    line->id_len = 0;
    line->field_count = 0;
}

void log_line_begin(struct log_line *line, const struct log *l, const char *program)
{
    struct text *t = &line->text;

    reset(line, l);
    text_cstr(t, l->syslog_name);
    text_char(t, '/');
    text_cstr(t, program);
    line->program_len = t->len;
    text_char(t, '[');
    text_u64(t, (uint64_t)l->pid);
    text_cstr(t, "]: ");
    line->message_at = t->len;
}

void log_line_begin_id(struct log_line *line, const struct log *l, const char *program,
                       const char *queue_id)
{
    struct queue_id id;

    log_line_begin(line, l, program);
    if (queue_id && queue_id[0]) {
        text_cstr(&line->text, queue_id);
        if (queue_id_parse(span_of(queue_id), &id)) /* not NOQUEUE */
            line->id_len = line->text.len - line->message_at;
        text_cstr(&line->text, ": ");
    }
}

void log_line_begin_startup(struct log_line *line, const struct log *l)
{
    reset(line, l);
    text_cstr(&line->text, LOG_STARTUP_BULLET);
}

/* Fields that are not whole are none. */
static void cut_line(struct log_line *line)
{
    struct text *t = &line->text;

    t->len = t->cap - sizeof LOG_CUT;
    while (line->field_count > 0) {
        const struct log_field *last = &line->fields[line->field_count - 1];

        if (last->at + last->len <= t->len)
            break;
        line->field_count--;
    }
    text_cstr(t, LOG_CUT);
}

void log_line_end(struct log_line *line, const struct log *l, enum log_severity severity)
{
    struct text *t = &line->text;
    char object[LOG_OBJECT_MAX + 1];
    struct text json;

    if (t->overflow)
        cut_line(line);
    make_safe(t->ptr, t->len);
    if (!l->sink)
        return;
    if (!l->json) {
        l->sink(l->sink_ctx, severity, text_as_span(t));
        return;
    }
    text_init(&json, object, sizeof object);
    log_json_put(line, severity, &json);
    l->sink(l->sink_ctx, severity, text_as_span(&json));
}

void log_field(struct log_line *line, const char *name, enum log_field_kind kind, size_t at)
{
    if (name && line->field_count < LOG_FIELDS_MAX)
        line->fields[line->field_count++] = (struct log_field){name, kind, at, line->text.len - at};
}

/* The first `max` bytes, and what belongs to an address that ends behind them. */
static struct span first_words(struct span s, size_t max)
{
    size_t len = max;

    while (len < s.len && len < max + LOG_ADDRESS_MAX && s.ptr[len] != ' ' && s.ptr[len] != '>')
        len++;
    return span_first(s, len);
}

void log_put_text(struct log_line *line, const char *name, struct span s, size_t max)
{
    const struct log_mask *mask = line->log->mask;
    size_t at = line->text.len;
    char buf[2 * LOG_TEXT_MAX + 1]; /* a mask may be longer than what it hides */
    struct text masked;

    text_init(&masked, buf, sizeof buf);
    if (mask && mask->how.filter != ANONYMIZE_OFF)
        log_mask_text(mask, first_words(s, max), &masked); /* half an address is none */
    else
        text_span(&masked, span_first(s, max));
    text_span(&line->text, text_as_span(&masked));
    log_field(line, name, LOG_FIELD_TEXT, at);
}

void log_put_plain(struct log_line *line, const char *name, const char *s, size_t max)
{
    size_t at = line->text.len;

    text_span(&line->text, span_first(span_of(s), max));
    log_field(line, name, LOG_FIELD_TEXT, at);
}

void log_put_number(struct log_line *line, const char *name, uint64_t value)
{
    size_t at = line->text.len;

    text_u64(&line->text, value);
    log_field(line, name, LOG_FIELD_NUMBER, at);
}

void log_put_peer(struct log_line *line, const struct log_peer *p)
{
    log_put_plain(line, "client_name", p->name && p->name[0] ? p->name : "unknown", LOG_NAME_MAX);
    text_char(&line->text, '[');
    log_put_plain(line, "client_address", p->address && p->address[0] ? p->address : "unknown",
                  LOG_NAME_MAX);
    text_char(&line->text, ']');
}

void log_put_address(struct log_line *line, const char *name, const char *word, const char *address)
{
    struct text *t = &line->text;
    char buf[LOG_ADDRESS_MAX + 1];
    struct text masked;
    size_t at;

    text_init(&masked, buf, sizeof buf);
    log_mask_address(line->log->mask, span_first(span_of(address), LOG_ADDRESS_MAX), &masked);
    text_cstr(t, word);
    text_char(t, '<');
    at = t->len;
    text_span(t, text_as_span(&masked));
    log_field(line, name, LOG_FIELD_TEXT, at);
    text_char(t, '>');
}

void log_put_escaped(struct log_line *line, const char *name, struct span s)
{
    static const char plain[] = "\a\b\t\n\v\f\r\\";
    static const char names[] = "abtnvfr\\";
    char buf[LOG_TEXT_MAX + 1];
    struct text t;

    text_init(&t, buf, sizeof buf);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        size_t at = span_find(SPAN_LIT(plain), s.ptr[i]);

        if (at < sizeof plain - 1)
            text_printf(&t, "\\%c", names[at]);
        else if (c < 32 || c > 126)
            text_printf(&t, "\\%03o", c);
        else
            text_char(&t, s.ptr[i]);
    }
    log_put_text(line, name, text_as_span(&t), LOG_TEXT_MAX);
}
