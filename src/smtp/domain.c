/* smtp_domain - see domain.h */
#include "smtp/domain.h"

#include <string.h>

#define LABEL_MAX 63

static bool is_hex(char c)
{
    return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* Four numbers of 0..255. */
static bool ipv4_valid(struct span s)
{
    for (int i = 0; i < 4; i++) {
        size_t len = span_find(s, '.');
        uint64_t number;

        if (len > 3 || (i < 3) != (len < s.len) || !span_to_u64(span_first(s, len), 255, &number))
            return false;
        s = span_from(s, len + 1);
    }
    return true;
}

/* Takes ":" after a group, or "::" once; false when the colon has nothing after it. */
static bool take_colon(struct span *s, bool *gap)
{
    if (s->ptr[0] != ':')
        return false;
    *s = span_from(*s, 1);
    if (s->len == 0)
        return false;
    if (s->ptr[0] != ':')
        return true;
    *s = span_from(*s, 1);
    if (*gap)
        return false;
    *gap = true;
    return true;
}

static bool ipv6_valid(struct span s)
{
    bool gap = span_starts_nocase(s, SPAN_LIT("::"));
    unsigned groups = 0;

    s = span_from(s, gap ? 2 : 0);
    while (s.len > 0) {
        size_t hex = 0;

        if (span_find(s, ':') == s.len && span_find(s, '.') < s.len) {
            groups += 2; /* the last 32 bits may be written as IPv4 */
            if (!ipv4_valid(s))
                return false;
            break;
        }
        while (hex < s.len && is_hex(s.ptr[hex]))
            hex++;
        if (hex < 1 || hex > 4)
            return false;
        groups++;
        s = span_from(s, hex);
        if (s.len > 0 && !take_colon(&s, &gap))
            return false;
    }
    return gap ? groups < 8 : groups == 8;
}

static bool literal_valid(struct span s)
{
    struct span tag = SPAN_LIT("IPv6:");

    if (s.len < 2 || s.ptr[s.len - 1] != ']')
        return false;
    s = span_make(s.ptr + 1, s.len - 2);
    return span_starts_nocase(s, tag) ? ipv6_valid(span_from(s, tag.len)) : ipv4_valid(s);
}

static bool label_valid(struct span label)
{
    bool wide = false;

    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];

        wide = wide || ascii_is_8bit(c);
        if (!ascii_is_alnum(c) && c != '-' && c != '_' && !ascii_is_8bit(c))
            return false;
    }
    return label.len > 0 && (wide || label.len <= LABEL_MAX);
}

static bool labels_valid(struct span s)
{
    if (s.len > 0 && s.ptr[s.len - 1] == '.')
        s.len--;
    if (s.len > SMTP_DOMAIN_MAX)
        return false;
    for (;;) {
        size_t len = span_find(s, '.');

        if (!label_valid(span_first(s, len)))
            return false;
        if (len == s.len)
            return true;
        s = span_from(s, len + 1);
    }
}

static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_8bit(s.ptr[i]))
            return false;
    }
    return true;
}

bool smtp_domain_valid(struct span s, bool utf8)
{
    if (s.len > 0 && s.ptr[0] == '[')
        return literal_valid(s);
    return labels_valid(s) && (utf8 ? smtp_utf8_printable(s) : is_ascii(s));
}

static bool has_letter(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_alnum(s.ptr[i]) && !ascii_is_digit(s.ptr[i]))
            return true;
    }
    return false;
}

bool smtp_domain_is_hostname(struct span s)
{
    size_t dot = span_find_last(s, '.');
    struct span last = dot < s.len ? span_from(s, dot + 1) : s;

    return labels_valid(s) && is_ascii(s) && has_letter(last);
}

/* Shuts out overlongs (after E0, F0), surrogates (after ED) and what is over U+10FFFF (after F4).
 */
static bool second_byte_valid(unsigned char lead, unsigned char second)
{
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;

    return second >= low && second <= high;
}

/* Length of the character at the start of `s`, or 0 (RFC 3629 section 4). `s` is not empty. */
static size_t utf8_char_len(struct span s)
{
    unsigned char lead = (unsigned char)s.ptr[0];
    size_t len = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4 || s.len < len)
        return 0;
    if (!second_byte_valid(lead, (unsigned char)s.ptr[1]))
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool smtp_utf8_valid(struct span s)
{
    while (s.len > 0) {
        size_t len = utf8_char_len(s);

        if (len == 0)
            return false;
        s = span_from(s, len);
    }
    return true;
}

bool smtp_utf8_printable(struct span s)
{
    if (!smtp_utf8_valid(s))
        return false;
    for (size_t i = 0; i + 1 < s.len; i++) {
        /* U+0080..U+009F are C2 80..9F, and C2 is never a later byte of a character */
        if ((unsigned char)s.ptr[i] == 0xc2 && (unsigned char)s.ptr[i + 1] < 0xa0)
            return false;
    }
    return true;
}
