/* tls_words - see tls_words.h */
#include "config/tls_words.h"

#include "base/text.h"

#include <errno.h>

#define PROTOCOL_SEPARATORS " \t\r\n,:"
#define SHOWN_MAX           40

static const struct protocol {
    const char *name;
    unsigned version;
} protocols[] = {
    {"SSLv2",   0x0002         },
    {"SSLv3",   0x0300         },
    {"TLSv1",   TLS_VERSION_1_0},
    {"TLSv1.1", TLS_VERSION_1_1},
    {"TLSv1.2", TLS_VERSION_1_2},
    {"TLSv1.3", 0x0304         },
};
#define PROTOCOL_COUNT (sizeof protocols / sizeof protocols[0])
/* Positions of the first and the last that are spoken here. */
#define SPOKEN_FIRST 2
#define SPOKEN_LAST  4
#define NOT_SPOKEN   5 /* TLSv1.3 */

static int bad(struct span word, struct errbuf *err, const char *why)
{
    char buf[SHOWN_MAX + 1];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    text_printable_max(&shown, word, SHOWN_MAX);
    return errbuf_set(err, -EINVAL, "\"%s\" %s", buf, why);
}

static int hex_digit(char c)
{
    c = ascii_lower(c);
    if (ascii_is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "0x0303"; false when it is not written like that. */
static bool hex_version(struct span word, unsigned *version_out)
{
    if (word.len < 3 || word.len > 6 || !span_starts_nocase(word, SPAN_LIT("0x")))
        return false;
    *version_out = 0;
    for (size_t i = 2; i < word.len; i++) {
        int digit = hex_digit(word.ptr[i]);

        if (digit < 0)
            return false;
        *version_out = *version_out * 16 + (unsigned)digit;
    }
    return true;
}

/* Position in `protocols`, or PROTOCOL_COUNT. */
static size_t find_protocol(struct span word)
{
    unsigned version = 0;
    bool hex = hex_version(word, &version);

    if (span_equal_nocase(word, SPAN_LIT("TLSv1.0"))) /* OpenSSL knows it by both names */
        return SPOKEN_FIRST;

    for (size_t i = 0; i < PROTOCOL_COUNT; i++) {
        if (hex ? protocols[i].version == version
                : span_equal_nocase(word, span_of(protocols[i].name)))
            return i;
    }
    return PROTOCOL_COUNT;
}

/* Bits by position. */
struct protocol_bits {
    unsigned named, excluded;
    bool asks; /* for something, not only to leave some out */
};

static int take_protocol(struct span word, struct protocol_bits *bits, struct errbuf *err)
{
    bool floor = span_starts_nocase(word, SPAN_LIT(">="));
    bool ceiling = span_starts_nocase(word, SPAN_LIT("<="));
    bool except = span_starts_nocase(word, SPAN_LIT("!"));
    size_t skipped = floor || ceiling ? 2 : except;
    size_t at = find_protocol(span_from(word, skipped));

    if (at == PROTOCOL_COUNT)
        return bad(word, err, "is no protocol; write >=TLSv1.2, or >=TLSv1 for old peers too");
    bits->asks = bits->asks || !except;
    if (floor)
        bits->excluded |= (1u << at) - 1;
    else if (ceiling)
        bits->excluded |= ~0u << (at + 1);
    else if (except)
        bits->excluded |= 1u << at;
    else
        bits->named |= 1u << at;
    return 0;
}

static unsigned bits_left(const struct protocol_bits *bits)
{
    unsigned all = bits->named ? bits->named : ~0u;

    return (bits->asks ? all : 1u << SPOKEN_LAST) & ~bits->excluded;
}

int tls_protocols_parse(struct span list, struct tls_protocols *out, struct errbuf *err)
{
    struct protocol_bits bits = {0, 0, false};
    struct span rest = list;
    struct span word;
    unsigned left;
    size_t low, high = SPOKEN_LAST;
    int rc;

    while (span_next_word(&rest, PROTOCOL_SEPARATORS, &word)) {
        rc = take_protocol(word, &bits, err);
        if (rc < 0)
            return rc;
    }
    left = bits_left(&bits);
    while (high >= SPOKEN_FIRST && !(left >> high & 1))
        high--;
    if (high < SPOKEN_FIRST)
        return bad(list, err,
                   "leaves no protocol that is spoken here: TLSv1, TLSv1.1 or TLSv1.2 (there is no "
                   "TLSv1.3); write >=TLSv1.2");
    low = high;
    while (low > SPOKEN_FIRST && (left >> (low - 1) & 1))
        low--;
    out->min = protocols[low].version;
    out->max = protocols[high].version;
    out->names_1_3 = bits.named >> NOT_SPOKEN & 1;
    return 0;
}

int tls_ciphers_parse(struct span grade, bool *medium_out, struct errbuf *err)
{
    static const char *const weaker[] = {"medium", "low", "export", "null"};

    *medium_out = false;
    if (span_equal_nocase(grade, SPAN_LIT("high")))
        return 0;
    *medium_out = true;
    for (size_t i = 0; i < sizeof weaker / sizeof weaker[0]; i++) {
        if (span_equal_nocase(grade, span_of(weaker[i])))
            return 0;
    }
    return bad(grade, err, "is no cipher grade; write high, or medium for old peers too");
}

static const char *const levels[] = {
    [TLS_LEVEL_NONE] = "none",       [TLS_LEVEL_MAY] = "may",
    [TLS_LEVEL_ENCRYPT] = "encrypt", [TLS_LEVEL_FINGERPRINT] = "fingerprint",
    [TLS_LEVEL_VERIFY] = "verify",   [TLS_LEVEL_SECURE] = "secure",
};

int tls_level_parse(struct span word, enum tls_level *level_out, struct errbuf *err)
{
    static const char *const dane[] = {"dane", "half-dane", "dane-only"};

    *level_out = TLS_LEVEL_NONE;
    if (word.len == 0)
        return 0;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (!span_equal_nocase(word, span_of(levels[i])))
            continue;
        *level_out = (enum tls_level)i;
        return 0;
    }
    for (size_t i = 0; i < sizeof dane / sizeof dane[0]; i++) {
        if (span_equal_nocase(word, span_of(dane[i])))
            return bad(word, err,
                       "is not supported: there is no DNSSEC here; write secure, verify, "
                       "fingerprint, encrypt or may");
    }
    return bad(word, err,
               "is no security level; write none, may, encrypt, verify, secure or fingerprint");
}

const char *tls_level_word(enum tls_level level)
{
    return levels[level];
}

/* Digits in pairs, colons only between pairs. */
static bool read_fingerprint(struct span word, unsigned char out[TLS_FINGERPRINT_LEN])
{
    size_t count = 0;

    while (word.len >= 2 && count < TLS_FINGERPRINT_LEN) {
        int high = hex_digit(word.ptr[0]);
        int low = hex_digit(word.ptr[1]);

        if (high < 0 || low < 0)
            return false;
        out[count++] = (unsigned char)(high * 16 + low);
        word = span_from(word, 2);
        if (count < TLS_FINGERPRINT_LEN && word.len > 0 && word.ptr[0] == ':')
            word = span_from(word, 1);
    }
    return count == TLS_FINGERPRINT_LEN && word.len == 0;
}

int tls_fingerprint_parse(struct span word, unsigned char out[TLS_FINGERPRINT_LEN],
                          struct errbuf *err)
{
    if (read_fingerprint(word, out))
        return 0;
    return bad(word, err,
               "is no SHA-256 fingerprint: 64 hexadecimal digits, colons between pairs or not "
               "(openssl x509 -noout -fingerprint -sha256)");
}
