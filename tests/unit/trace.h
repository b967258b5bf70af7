/*
 * trace - what a parser said, written down as text, so that one run can be compared with another
 *
 * trace_check_splits() is the test that every parser of bytes has to pass (STYLE.md): the same
 * events whole, cut in two at every place, and one byte at a time.
 */
#ifndef MXGATE_TESTS_TRACE_H
#define MXGATE_TESTS_TRACE_H

#include "base/text.h"

#define TRACE_CAP 65536

struct trace {
    struct text text;
    char buf[TRACE_CAP];
};

void trace_init(struct trace *t);
/* Bytes as in a C string literal: \r \n \0 \\ \xNN. */
void trace_bytes(struct trace *t, struct span s);

/* A copy on the heap, not a byte longer, so that the sanitizer sees a read beyond it. To be freed.
 */
char *trace_copy(struct span s);

/* A parser under test. `feed` takes all of `in`; `finish` adds what is left to say. */
struct trace_subject {
    void *self; /* borrowed from the test */
    void (*start)(void *self);
    void (*feed)(void *self, struct span in, struct trace *t);
    void (*finish)(void *self, struct trace *t);
};

/* Fails the test when any split gives another trace than `want`; `name` is what the message calls
 * it. */
void trace_check_splits(const struct trace_subject *subject, struct span input, const char *want,
                        const char *name);
/* The same against the trace of the whole input. */
void trace_check_splits_agree(const struct trace_subject *subject, struct span input,
                              const char *name);

/* xorshift64*: the same numbers on every machine. The seed is not 0. */
uint64_t trace_random(uint64_t *seed);
/* Fills `buf` with `len` random bytes, mostly from `alphabet` (of `alphabet.len` bytes). */
void trace_random_bytes(uint64_t *seed, struct span alphabet, char *buf, size_t len);

#endif
