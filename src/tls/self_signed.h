/*
 * self_signed - a key and a certificate for it that only it signs: so that mail is encrypted before
 * anybody has a real one
 *
 * X.509 v3 (RFC 5280): the names as subjectAltName, the first also as common name if it fits there,
 * good for SELF_SIGNED_DAYS from yesterday on (clocks differ), not a CA.
 */
#ifndef MXGATE_TLS_SELF_SIGNED_H
#define MXGATE_TLS_SELF_SIGNED_H

#include "base/errbuf.h"
#include "tls/public_key.h"

#include <stddef.h>

#define SELF_SIGNED_DAYS     3650
#define SELF_SIGNED_RSA_BITS 2048
#define SELF_SIGNED_PEM_CAP  8192

struct credential;

/* Names: domain names, in lower case. */
struct self_signed_names {
    const char *name[2]; /* borrowed; a second that is "" or the first is left out */
};

/*
 * Makes a pair of this kind (KEY_RSA: a tenth to a whole second of work; KEY_EC, on P-256: one
 * millisecond) and writes key and certificate as PEM, NUL-terminated. 0, or negative: -EIO (no
 * entropy), -EINVAL (names that do not fit). The caller wipes it.
 */
int self_signed_make(enum key_kind kind, const struct self_signed_names *names, int64_t now_s,
                     char pem[SELF_SIGNED_PEM_CAP], struct errbuf *err);
/* Whether it is for these names and no others, and good for another 30 days. */
bool self_signed_fits(const struct credential *c, const struct self_signed_names *names,
                      int64_t now_s);

#endif
