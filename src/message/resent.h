/*
 * resent - the header fields that go on top of a message which an operator sends to somebody else
 * (RFC 5322 3.6.6); pure
 *
 *     Resent-From: postmaster@example.com
 *     Resent-To: joe@example.net,
 *     \tann@example.net
 *     Resent-Date: Sat, 22 Aug 2026 10:00:00 +0900 (JST)
 *     Resent-Message-ID: <06401F3A9C2E7001.7@mx.example.com>
 *
 * They say who did it, when and to whom; nothing of the message itself is touched, so a DKIM
 * signature stays good, and who receives it sees From, To and Date as they were.
 *
 * Fails:  overflow of the text when there is no room (RESENT_CAP and SMTP_ADDRESS_CAP for each
 * address are enough).
 */
#ifndef MXGATE_MESSAGE_RESENT_H
#define MXGATE_MESSAGE_RESENT_H

#include "base/text.h"

#define RESENT_CAP 2048

struct resent {
    const char *from; /* "local@domain" */
    char *const *to;  /* "local@domain", at least one */
    size_t to_count;
    const char *myhostname;
    const char *unique; /* left side of the Message-ID: letters, digits, dots */
    int64_t now_us;
};

/* Lines end in CRLF. */
void resent_header_write(struct text *t, const struct resent *r);

#endif
