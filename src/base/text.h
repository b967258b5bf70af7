/*
 * text - building text in a buffer of the caller's, with a limit
 *
 * Appending past the end sets `overflow` and keeps what fits; the text is NUL-terminated at all
 * times. Whoever sends or stores the text asks overflow first: nothing is cut without somebody
 * knowing.
 */
#ifndef MXGATE_BASE_TEXT_H
#define MXGATE_BASE_TEXT_H

#include "base/span.h"

#include <stdarg.h>

struct text {
    char *ptr; /* borrowed from the caller */
    size_t len;
    size_t cap; /* room including the final NUL; at least 1 */
    bool overflow;
};

/* `cap` is the size of `buf` in bytes, at least 1. */
void text_init(struct text *t, char *buf, size_t cap);
void text_span(struct text *t, struct span s);
void text_cstr(struct text *t, const char *s);
void text_char(struct text *t, char c);
void text_u64(struct text *t, uint64_t value);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *t, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* As text_span, but control bytes (C0, DEL) become '?', for logs and replies. */
void text_printable(struct text *t, struct span s);
/* As text_printable, at most `max` bytes of s. */
void text_printable_max(struct text *t, struct span s, size_t max);
struct span text_as_span(const struct text *t);

#endif
