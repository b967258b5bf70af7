/* log_json - see log_json.h */
#include "observe/log_json.h"

#define END_ROOM 32 /* kept for what ends a member and the object */

static void put_string(struct text *t, struct span s)
{
    text_char(t, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            text_char(t, '\\');
        text_char(t, s.ptr[i]);
    }
    text_char(t, '"');
}

static void put_numbers(struct text *t, struct span s)
{
    text_char(t, '[');
    for (size_t i = 0; i < s.len; i++)
        text_char(t, s.ptr[i] == '/' ? ',' : s.ptr[i]);
    text_char(t, ']');
}

static void put_field(const struct log_line *line, const struct log_field *f, struct text *t)
{
    struct span value = span_make(line->text.ptr + f->at, f->len);
    struct span name = span_of(f->name);

    if (t->cap - t->len < name.len + 2 * value.len + END_ROOM)
        return;
    text_printf(t, ",\"%s\":", f->name);
    switch (f->kind) {
    case LOG_FIELD_TEXT:
        put_string(t, value);
        break;
    case LOG_FIELD_NUMBER:
        text_span(t, value);
        break;
    case LOG_FIELD_NUMBERS:
        put_numbers(t, value);
        break;
    }
}

/* Where the message has to end to fit: behind a whole character. */
static struct span fitting(struct span s, size_t room)
{
    size_t used = 0;
    size_t at = 0;

    while (at < s.len) {
        size_t len = 1;

        while (at + len < s.len && (s.ptr[at + len] & 0xC0) == 0x80)
            len++;
        used += len + (s.ptr[at] == '"' || s.ptr[at] == '\\' ? 1 : 0);
        if (used > room)
            break;
        at += len;
    }
    return span_first(s, at);
}

void log_json_put(const struct log_line *line, enum log_severity severity, struct text *out)
{
    static const char *const words[] = {"info", "warning", "error", "fatal"};
    struct span all = text_as_span(&line->text);
    struct span message = span_from(all, line->message_at);

    text_printf(out, "{\"severity\":\"%s\"", words[severity]);
    if (line->program_len > 0) {
        text_cstr(out, ",\"program\":");
        put_string(out, span_first(all, line->program_len));
        text_printf(out, ",\"pid\":%ld", line->log->pid);
    }
    if (line->id_len > 0) {
        text_cstr(out, ",\"queue_id\":");
        put_string(out, span_first(message, line->id_len));
    }
    text_cstr(out, ",\"message\":");
    put_string(out, fitting(message, out->cap - out->len - END_ROOM));
    for (size_t i = 0; i < line->field_count; i++)
        put_field(line, &line->fields[i], out);
    text_char(out, '}');
}
