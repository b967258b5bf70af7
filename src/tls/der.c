/* der - see der.h */
#include "tls/der.h"

#include <string.h>

static unsigned byte_at(struct span s, size_t at)
{
    return (unsigned char)s.ptr[at];
}

/* The length at rest[1], and how many bytes it takes. False: none of ours. */
static bool read_length(struct span rest, size_t *length_out, size_t *taken_out)
{
    unsigned first = byte_at(rest, 1);
    size_t count = first & 0x7f;
    size_t length = 0;

    *taken_out = 1;
    *length_out = first;
    if (first < 0x80)
        return true;
    if (count == 0 || count > 3 || rest.len < 2 + count)
        return false;
    for (size_t i = 0; i < count; i++)
        length = length << 8 | byte_at(rest, 2 + i);
    *taken_out = 1 + count;
    *length_out = length;
    return length >= 0x80 && length >> 8 * (count - 1) != 0; /* no shorter form */
}

bool der_next(struct span *rest, struct der_value *out)
{
    size_t length, taken;

    if (rest->len < 2 || (byte_at(*rest, 0) & 0x1f) == 0x1f ||
        !read_length(*rest, &length, &taken) || length > rest->len - 1 - taken)
        return false;
    out->tag = byte_at(*rest, 0);
    out->content = span_make(rest->ptr + 1 + taken, length);
    out->whole = span_first(*rest, 1 + taken + length);
    *rest = span_from(*rest, out->whole.len);
    return true;
}

bool der_expect(struct span *rest, unsigned tag, struct span *content_out)
{
    struct der_value value;

    if (!der_next(rest, &value) || value.tag != tag)
        return false;
    *content_out = value.content;
    return true;
}

bool der_unsigned(struct span *rest, struct span *magnitude_out)
{
    struct span s;

    if (!der_expect(rest, DER_INTEGER, &s) || s.len == 0 || byte_at(s, 0) >= 0x80)
        return false;
    while (s.len > 0 && s.ptr[0] == '\0')
        s = span_from(s, 1);
    *magnitude_out = s;
    return true;
}

bool der_bits(struct span *rest, struct span *bytes_out)
{
    struct span s;

    if (!der_expect(rest, DER_BIT_STRING, &s) || s.len == 0 || s.ptr[0] != '\0')
        return false;
    *bytes_out = span_from(s, 1);
    return true;
}

/* ---- writing ---- */

void der_writer_init(struct der_writer *w, unsigned char *buf, size_t cap)
{
    *w = (struct der_writer){.buf = buf, .at = cap, .cap = cap};
}

void der_put(struct der_writer *w, struct span bytes)
{
    if (bytes.len > w->at) {
        w->overflow = true;
        return;
    }
    w->at -= bytes.len;
    if (bytes.len > 0)
        memcpy(w->buf + w->at, bytes.ptr, bytes.len);
}

void der_put_byte(struct der_writer *w, unsigned char byte)
{
    der_put(w, span_make((const char *)&byte, 1));
}

size_t der_mark(const struct der_writer *w)
{
    return w->at;
}

void der_wrap(struct der_writer *w, unsigned tag, size_t mark)
{
    size_t length = mark - w->at;
    unsigned char count = 0;

    for (size_t rest = length; length >= 0x80 && rest > 0; rest >>= 8) {
        der_put_byte(w, (unsigned char)rest);
        count++;
    }
    der_put_byte(w, (unsigned char)(count > 0 ? 0x80 | count : length));
    der_put_byte(w, (unsigned char)tag);
}

void der_put_value(struct der_writer *w, unsigned tag, struct span content)
{
    size_t mark = der_mark(w);

    der_put(w, content);
    der_wrap(w, tag, mark);
}

void der_put_unsigned(struct der_writer *w, struct span magnitude)
{
    size_t mark = der_mark(w);

    while (magnitude.len > 0 && magnitude.ptr[0] == '\0')
        magnitude = span_from(magnitude, 1);
    der_put(w, magnitude);
    if (magnitude.len == 0 || byte_at(magnitude, 0) >= 0x80)
        der_put_byte(w, 0);
    der_wrap(w, DER_INTEGER, mark);
}

struct span der_written(const struct der_writer *w)
{
    return span_make((const char *)w->buf + w->at, w->cap - w->at);
}
