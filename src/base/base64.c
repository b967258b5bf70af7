/* base64 - see base64.h */
#include "base/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_group(struct span group, struct text *t)
{
    unsigned long bits = 0;

    for (size_t i = 0; i < 3; i++)
        bits = bits << 8 | (i < group.len ? (unsigned char)group.ptr[i] : 0);
    for (size_t i = 0; i < 4; i++)
        text_char(t, i <= group.len ? digits[bits >> (18 - 6 * i) & 63] : '=');
}

void base64_encode(struct span bytes, struct text *t)
{
    for (; bytes.len > 0; bytes = span_from(bytes, 3))
        encode_group(span_first(bytes, 3), t);
}

/* 64: none of them. */
static unsigned value_of(char c)
{
    const char *found = c == '\0' ? NULL : strchr(digits, c);

    return found ? (unsigned)(found - digits) : 64;
}

/* Four characters, of which the last `padding` are '='. */
static bool decode_group(const char *group, size_t padding, unsigned char bytes[3])
{
    unsigned long bits = 0;

    for (size_t i = 0; i < 4; i++) {
        unsigned value = i < 4 - padding ? value_of(group[i]) : 0;

        if (value == 64)
            return false;
        bits = bits << 6 | value;
    }
    for (size_t i = 0; i < 3; i++)
        bytes[i] = (unsigned char)(bits >> (16 - 8 * i));
    return (padding < 1 || bytes[2] == 0) && (padding < 2 || bytes[1] == 0);
}

static size_t padding_of(struct span text)
{
    size_t padding = 0;

    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
        padding++;
    return padding;
}

bool base64_decode(struct span text, char *out, size_t cap, size_t *len_out)
{
    size_t padding = padding_of(text);
    unsigned char bytes[3];

    *len_out = 0;
    if (text.len % 4 != 0 || text.len / 4 * 3 > cap + padding)
        return false;
    for (; text.len > 0; text = span_from(text, 4)) {
        size_t cut = text.len == 4 ? padding : 0;

        if (!decode_group(text.ptr, cut, bytes))
            return false;
        memcpy(out + *len_out, bytes, 3 - cut);
        *len_out += 3 - cut;
    }
    return true;
}
