/* text - see text.h */
#include "base/text.h"

#include <stdio.h>
#include <string.h>

void text_init(struct text *t, char *buf, size_t cap)
{
    *t = (struct text){buf, 0, cap, false};
    buf[0] = '\0';
}

void text_span(struct text *t, struct span s)
{
    size_t room = t->cap - 1 - t->len;
    size_t take = s.len < room ? s.len : room;

    if (take < s.len)
        t->overflow = true;
    if (take > 0)
        memcpy(t->ptr + t->len, s.ptr, take);
    t->len += take;
    t->ptr[t->len] = '\0';
}

void text_cstr(struct text *t, const char *s)
{
    text_span(t, span_of(s));
}

void text_char(struct text *t, char c)
{
    text_span(t, span_make(&c, 1));
}

void text_u64(struct text *t, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    text_span(t, span_make(digits + at, sizeof digits - at));
}

void text_vprintf(struct text *t, const char *format, va_list args)
{
    size_t room = t->cap - t->len;
    int n = vsnprintf(t->ptr + t->len, room, format, args);

    if (n < 0 || (size_t)n >= room) {
        t->overflow = true;
        t->len = n < 0 ? t->len : t->cap - 1;
        t->ptr[t->len] = '\0';
        return;
    }
    t->len += (size_t)n;
}

void text_printf(struct text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_vprintf(t, format, args);
    va_end(args);
}

void text_printable_max(struct text *t, struct span s, size_t max)
{
    for (size_t i = 0; i < s.len && i < max; i++)
        text_char(t, ascii_is_control(s.ptr[i]) ? '?' : s.ptr[i]);
}

void text_printable(struct text *t, struct span s)
{
    text_printable_max(t, s, s.len);
}

struct span text_as_span(const struct text *t)
{
    return span_make(t->ptr, t->len);
}
