/*
 * tls_words - what the TLS settings of both sides are written in: protocols, cipher grades,
 * security levels, fingerprints; pure
 *
 * Protocols, as in Postfix (words separated by blanks, commas or colons, in any case):
 *
 *     >=TLSv1.2           this one and later ones (also <=TLSv1.2, and hexadecimal: >=0x0303)
 *     TLSv1.1 TLSv1.2     these only
 *     !SSLv2 !TLSv1       all but these
 *
 * Known are SSLv2 to TLSv1.3; spoken here are TLSv1, TLSv1.1 and TLSv1.2, one range of them. A list
 * with a gap (TLSv1 TLSv1.2) means its upper part: nothing is spoken that the list excludes. Unlike
 * in Postfix, a list that only leaves protocols out, or is empty, asks for no old one: "!SSLv2,
 * !SSLv3", which many copied from each other, is TLSv1.2.
 *
 * All parsers: 0, or -EINVAL with the reason in err.
 */
#ifndef MXGATE_CONFIG_TLS_WORDS_H
#define MXGATE_CONFIG_TLS_WORDS_H

#include "base/errbuf.h"
#include "base/span.h"

/* As TLS numbers them (RFC 5246 A.1). */
#define TLS_VERSION_1_0 0x0301u
#define TLS_VERSION_1_1 0x0302u
#define TLS_VERSION_1_2 0x0303u

struct tls_protocols {
    unsigned min, max;
    bool names_1_3; /* there is none here */
};

/* -EINVAL also when no protocol is left that is spoken here. */
int tls_protocols_parse(struct span list, struct tls_protocols *out, struct errbuf *err);

/*
 * high: no CBC; medium, low, export and null: CBC as well, for old peers (nothing weaker exists
 * here).
 */
int tls_ciphers_parse(struct span grade, bool *medium_out, struct errbuf *err);

/* In order of strength. */
enum tls_level {
    TLS_LEVEL_NONE,
    TLS_LEVEL_MAY,
    TLS_LEVEL_ENCRYPT,
    TLS_LEVEL_FINGERPRINT,
    TLS_LEVEL_VERIFY,
    TLS_LEVEL_SECURE,
};
/* dane, half-dane and dane-only are refused: there is no DNSSEC here. "" is NONE. */
int tls_level_parse(struct span word, enum tls_level *level_out, struct errbuf *err);
const char *tls_level_word(enum tls_level level);

#define TLS_FINGERPRINT_LEN 32
/* SHA-256 in hexadecimal, with or without colons between the bytes. */
int tls_fingerprint_parse(struct span word, unsigned char out[TLS_FINGERPRINT_LEN],
                          struct errbuf *err);

#endif
