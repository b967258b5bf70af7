/* trace - see trace.h */
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTE_BY_BYTE SIZE_MAX

void trace_init(struct trace *t)
{
    text_init(&t->text, t->buf, sizeof t->buf);
}

void trace_bytes(struct trace *t, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '\r')
            text_cstr(&t->text, "\\r");
        else if (c == '\n')
            text_cstr(&t->text, "\\n");
        else if (c == '\0')
            text_cstr(&t->text, "\\0");
        else if (c == '\\')
            text_cstr(&t->text, "\\\\");
        else if (ascii_is_control(c) || ascii_is_8bit(c))
            text_printf(&t->text, "\\x%02x", (unsigned)(unsigned char)c);
        else
            text_char(&t->text, c);
    }
}

char *trace_copy(struct span s)
{
    char *copy = malloc(s.len > 0 ? s.len : 1);

    assert_non_null(copy);
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

static void feed(const struct trace_subject *subject, struct span part, struct trace *out)
{
    char *copy = trace_copy(part);

    subject->feed(subject->self, span_make(copy, part.len), out);
    free(copy);
}

static void run(const struct trace_subject *subject, struct span input, size_t cut,
                struct trace *out)
{
    trace_init(out);
    subject->start(subject->self);
    if (cut == BYTE_BY_BYTE) {
        for (size_t i = 0; i < input.len; i++)
            feed(subject, span_make(input.ptr + i, 1), out);
    } else {
        feed(subject, span_first(input, cut), out);
        feed(subject, span_from(input, cut), out);
    }
    subject->finish(subject->self, out);
    assert_false(out->text.overflow);
}

static void check(const struct trace_subject *subject, struct span input, size_t cut,
                  const char *want, const char *name)
{
    static struct trace got;

    run(subject, input, cut, &got);
    if (strcmp(got.buf, want) != 0) {
        trace_init(&got);
        trace_bytes(&got, input);
        print_error("%s: cut at %lld of \"%s\"\n", name, (long long)cut, got.buf);
        run(subject, input, cut, &got);
        assert_string_equal(got.buf, want);
    }
}

void trace_check_splits(const struct trace_subject *subject, struct span input, const char *want,
                        const char *name)
{
    for (size_t cut = 0; cut <= input.len; cut++)
        check(subject, input, cut, want, name);
    check(subject, input, BYTE_BY_BYTE, want, name);
}

void trace_check_splits_agree(const struct trace_subject *subject, struct span input,
                              const char *name)
{
    static struct trace whole;

    run(subject, input, input.len, &whole);
    trace_check_splits(subject, input, whole.buf, name);
}

uint64_t trace_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du;
}

void trace_random_bytes(uint64_t *seed, struct span alphabet, char *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t r = trace_random(seed) >> 16;

        buf[i] = r % 8 == 0 ? (char)(r >> 8) : alphabet.ptr[(r >> 8) % alphabet.len];
    }
}
