/*
 * anonymize - what anonymize_emails says: how addresses are shown in the log
 *
 *     (empty), 0, no, false, off, noop     as they are
 *     1, yes, y, true, on, default, smart  j*e@*******.com
 *     paranoid                             *@*.com
 *     hash?salt=WORDS                      HMAC-SHA256 in hexadecimal
 *
 * A filter may have options, FILTER?option=value&option=value, with values URL-encoded as in a web
 * address: mask_symbol (smart, paranoid); salt, prefix, suffix, split, short_sha, case_sensitive
 * (hash). This is the language of boky/postfix. Of an option given twice the first counts.
 *
 * Fails:  another filter, another option, a hash without a salt, a value that is too long: the
 * words say which and what may be written. The salt is never in them.
 */
#ifndef MXGATE_CONFIG_ANONYMIZE_H
#define MXGATE_CONFIG_ANONYMIZE_H

#include "base/errbuf.h"
#include "base/span.h"

#define ANONYMIZE_SYMBOL_MAX 8
#define ANONYMIZE_AFFIX_MAX  64
#define ANONYMIZE_SALT_MAX   256

enum anonymize_filter { ANONYMIZE_OFF, ANONYMIZE_SMART, ANONYMIZE_PARANOID, ANONYMIZE_HASH };

struct anonymize {
    enum anonymize_filter filter;
    char symbol[ANONYMIZE_SYMBOL_MAX + 1];
    char prefix[ANONYMIZE_AFFIX_MAX + 1];
    char suffix[ANONYMIZE_AFFIX_MAX + 1];
    char salt[ANONYMIZE_SALT_MAX]; /* any bytes */
    size_t salt_len;
    bool split;          /* local part and domain each on its own */
    bool short_sha;      /* 8 digits */
    bool case_sensitive; /* else ASCII letters are taken for lower case */
};

/* 0 or -EINVAL. */
int anonymize_parse(struct anonymize *a, struct span text, struct errbuf *err);
/* "smart", "paranoid", "hash", "" when off. */
const char *anonymize_name(enum anonymize_filter filter);

#endif
