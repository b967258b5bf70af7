/*
 * span - bytes from outside, with their length
 *
 * Input may hold NUL and 8-bit bytes, so no str* function is used on it. A span never owns its
 * bytes. The ascii_* helpers replace ctype.h, which follows the locale and is undefined on negative
 * char.
 */
#ifndef MXGATE_BASE_SPAN_H
#define MXGATE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const char *ptr; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

#define SPAN_LIT(s) ((struct span){(s), sizeof(s) - 1})

struct span span_of(const char *cstr); /* NULL gives the empty span */
struct span span_make(const char *ptr, size_t len);
/* The part from `from` on; empty when from is beyond the end. */
struct span span_from(struct span s, size_t from);
/* The first `len` bytes at most. */
struct span span_first(struct span s, size_t len);
/* Without leading and trailing SP, HTAB, CR and LF. */
struct span span_trim(struct span s);
bool span_equal(struct span a, struct span b);
bool span_equal_nocase(struct span a, struct span b); /* ASCII case only */
bool span_starts_nocase(struct span s, struct span prefix);
bool span_ends_nocase(struct span s, struct span suffix);
/* Index of the first / last `c`, or s.len when there is none. */
size_t span_find(struct span s, char c);
size_t span_find_last(struct span s, char c);
/*
 * Takes the next word off `rest`: words are separated by any of the bytes in `seps`, empty words
 * are skipped. Returns false at the end.
 */
bool span_next_word(struct span *rest, const char *seps, struct span *word_out);
/* Unsigned decimal, digits only, no sign; false when empty, not all digits, or above `max`. */
bool span_to_u64(struct span s, uint64_t max, uint64_t *value_out);
/* Copies into dst (NUL-terminated). False, and dst empty, when it does not fit or holds a NUL. */
bool span_copy(struct span s, char *dst, size_t cap);

bool ascii_is_digit(char c);
bool ascii_is_alpha(char c);
bool ascii_is_alnum(char c);
bool ascii_is_control(char c); /* 0-31 and 127 */
bool ascii_is_8bit(char c);
char ascii_lower(char c);
char ascii_upper(char c);

#endif
