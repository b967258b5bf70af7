/* base64 - see base64.h */
#include "base/base64.h"

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
