/* span - see span.h */
#include "base/span.h"

#include <string.h>

struct span span_of(const char *cstr)
{
    return (struct span){cstr, cstr ? strlen(cstr) : 0};
}

struct span span_make(const char *ptr, size_t len)
{
    return (struct span){ptr, len};
}

struct span span_from(struct span s, size_t from)
{
    if (from >= s.len)
        return (struct span){NULL, 0};
    return (struct span){s.ptr + from, s.len - from};
}

struct span span_first(struct span s, size_t len)
{
    return (struct span){s.ptr, len < s.len ? len : s.len};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool span_starts_nocase(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_equal_nocase(span_first(s, prefix.len), prefix);
}

bool span_ends_nocase(struct span s, struct span suffix)
{
    if (suffix.len == 0)
        return true;
    return s.len >= suffix.len && span_equal_nocase(span_from(s, s.len - suffix.len), suffix);
}

size_t span_find(struct span s, char c)
{
    const char *hit = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

    return hit ? (size_t)(hit - s.ptr) : s.len;
}

size_t span_find_last(struct span s, char c)
{
    for (size_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] == c)
            return i - 1;
    }
    return s.len;
}

bool span_next_word(struct span *rest, const char *seps, struct span *word_out)
{
    size_t seps_len = strlen(seps);
    size_t start = 0;
    size_t end;

    while (start < rest->len && memchr(seps, rest->ptr[start], seps_len))
        start++;
    end = start;
    while (end < rest->len && !memchr(seps, rest->ptr[end], seps_len))
        end++;
    if (end == start) {
        *rest = (struct span){NULL, 0};
        return false;
    }
    *word_out = (struct span){rest->ptr + start, end - start};
    *rest = span_from(*rest, end);
    return true;
}

bool span_to_u64(struct span s, uint64_t max, uint64_t *value_out)
{
    uint64_t value = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.ptr[i] - '0');

        if (!ascii_is_digit(s.ptr[i]) || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value > max)
        return false;
    *value_out = value;
    return true;
}

bool span_copy(struct span s, char *dst, size_t cap)
{
    if (cap == 0)
        return false;
    dst[0] = '\0';
    if (s.len >= cap || (s.len > 0 && memchr(s.ptr, '\0', s.len)))
        return false;
    if (s.len > 0)
        memcpy(dst, s.ptr, s.len);
    dst[s.len] = '\0';
    return true;
}

bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool ascii_is_alnum(char c)
{
    return ascii_is_digit(c) || ascii_is_alpha(c);
}

bool ascii_is_control(char c)
{
    return (unsigned char)c < 32 || c == 127;
}

bool ascii_is_8bit(char c)
{
    return (unsigned char)c >= 128;
}

char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

char ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}
