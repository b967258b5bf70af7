/* tls_versions - see tls_versions.h */
#include "config/tls_versions.h"

#include <errno.h>

#define SEPARATORS ", :\t\r\n"
#define SHOWN_MAX  50
#define VERSION_13 0x0304u
#define BIT(v)     (1u << ((v)&7u)) /* of the low byte: SSLv2 0, SSLv3 0, TLSv1 1, ... */
#define SPOKEN     (BIT(TLS_VERSION_10) | BIT(TLS_VERSION_11) | BIT(TLS_VERSION_12))

static const struct {
    const char *name;
    unsigned version;
} names[] = {
    {"SSLv2",   0x0200},
    {"SSLv3",   0x0300},
    {"TLSv1",   0x0301},
    {"TLSv1.0", 0x0301},
    {"TLSv1.1", 0x0302},
    {"TLSv1.2", 0x0303},
    {"TLSv1.3", 0x0304},
};

struct list {
    unsigned min, max;
    unsigned named;    /* bits */
    unsigned left_out; /* bits */
    bool asks;         /* something other than leaving out */
};

static bool find_version(struct span name, unsigned *version_out)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_equal_nocase(name, span_of(names[i].name))) {
            *version_out = names[i].version;
            return true;
        }
    }
    return false;
}

/* False when it is no item. */
static bool add_item(struct list *l, struct span item)
{
    bool bound = item.len > 2 && item.ptr[1] == '=' && (item.ptr[0] == '>' || item.ptr[0] == '<');
    bool out = item.ptr[0] == '!';
    unsigned version;

    if (!find_version(span_from(item, bound ? 2 : out ? 1 : 0), &version))
        return false;
    if (out) {
        l->left_out |= BIT(version);
        return true;
    }
    l->asks = true;
    if (!bound)
        l->named |= BIT(version);
    else if (item.ptr[0] == '>')
        l->min = version;
    else
        l->max = version;
    return true;
}

/* What is spoken of it, as bits. */
static unsigned admitted(const struct list *l)
{
    unsigned bits = 0;

    for (unsigned v = TLS_VERSION_10; v <= TLS_VERSION_12; v++) {
        if (v >= l->min && v <= l->max && (l->named == 0 || (l->named & BIT(v))))
            bits |= BIT(v);
    }
    if (!l->asks)
        bits = BIT(TLS_VERSION_12);
    return bits & ~l->left_out & SPOKEN;
}

static unsigned lowest(unsigned bits)
{
    unsigned v = TLS_VERSION_10;

    while (!(bits & BIT(v)))
        v++;
    return v;
}

static unsigned highest(unsigned bits)
{
    unsigned v = TLS_VERSION_12;

    while (!(bits & BIT(v)))
        v--;
    return v;
}

int tls_versions_parse(struct tls_versions *versions, struct span text, struct errbuf *err)
{
    struct list l = {.max = VERSION_13};
    struct span item;
    unsigned bits;

    while (span_next_word(&text, SEPARATORS, &item)) {
        if (!add_item(&l, item))
            return errbuf_set(err, -EINVAL,
                              "has \"%.*s\", which is no version of TLS; write >=TLSv1.2",
                              (int)span_first(item, SHOWN_MAX).len, item.ptr);
    }
    bits = admitted(&l);
    if (bits == 0)
        return errbuf_set(err, -EINVAL,
                          "leaves no version that is spoken here (TLSv1, TLSv1.1, TLSv1.2; not yet "
                          "TLSv1.3); write >=TLSv1.2");
    versions->min = lowest(bits);
    versions->max = highest(bits);
    versions->wants_13 = (l.named & BIT(VERSION_13)) != 0;
    for (unsigned v = versions->min; v < versions->max; v++) {
        if (!(bits & BIT(v)))
            return errbuf_set(err, -EINVAL,
                              "leaves a gap between two versions, which is not supported; write "
                              ">=TLSv1.2");
    }
    return 0;
}
