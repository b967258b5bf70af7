/* sasl - see sasl.h */
#include "smtp/sasl.h"

static bool is_name(struct span s)
{
    if (s.len == 0 || s.len >= SASL_NAME_CAP)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_alnum(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '_')
            return false;
    }
    return true;
}

const struct sasl_mechanism *sasl_mechanisms_find(const struct sasl_mechanisms *m, struct span name)
{
    for (size_t i = 0; i < m->count; i++) {
        if (span_equal_nocase(span_of(m->items[i].name), name))
            return &m->items[i];
    }
    return NULL;
}

bool sasl_mechanisms_add(struct sasl_mechanisms *m, struct span name, unsigned properties)
{
    struct sasl_mechanism *item = &m->items[m->count];

    if (m->count == SASL_MECHANISMS_MAX || !is_name(name) || sasl_mechanisms_find(m, name))
        return false;
    for (size_t i = 0; i < name.len; i++)
        item->name[i] = ascii_upper(name.ptr[i]);
    item->name[name.len] = '\0';
    item->properties = properties;
    m->count++;
    return true;
}

/* 0 to 63; negative: none of them. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

bool sasl_is_base64(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (value_of(s.ptr[i]) < 0 && s.ptr[i] != '=')
            return false;
    }
    return true;
}

/* One group of four; how many bytes it stands for, 0: it is none. */
static size_t decode_group(const char *group, bool last, unsigned char bytes_out[3])
{
    uint32_t bits = 0;
    size_t signs = 4;

    while (signs > 0 && group[signs - 1] == '=')
        signs--;
    if (signs < 2 || (signs < 4 && !last))
        return 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < signs ? value_of(group[i]) : 0;

        if (value < 0)
            return 0;
        bits = bits << 6 | (uint32_t)value;
    }
    for (size_t i = 0; i < 3; i++)
        bytes_out[i] = (unsigned char)(bits >> (16 - 8 * i));
    return signs - 1;
}

bool sasl_base64_decode(struct span s, char *out, size_t cap, size_t *len_out)
{
    size_t len = 0;

    if (s.len % 4 != 0)
        return false;
    for (size_t at = 0; at < s.len; at += 4) {
        unsigned char bytes[3];
        size_t n = decode_group(s.ptr + at, at + 4 == s.len, bytes);

        if (n == 0 || len + n > cap)
            return false;
        for (size_t i = 0; i < n; i++)
            out[len++] = (char)bytes[i];
    }
    *len_out = len;
    return true;
}

bool sasl_plain_parse(struct span message, struct sasl_plain *out)
{
    size_t first = span_find(message, '\0');
    struct span rest = span_from(message, first + 1);
    size_t second = span_find(rest, '\0');

    if (first == message.len || second == rest.len)
        return false;
    out->authorised = span_first(message, first);
    out->login = span_first(rest, second);
    out->password = span_from(rest, second + 1);
    return out->login.len > 0 && out->password.len > 0 &&
           span_find(out->password, '\0') == out->password.len;
}
