/*
 * local_header - the header of a local program's message as it goes on; pure
 *
 * As Postfix's cleanup makes it of what pickup brings. Field by field:
 *   - Bcc and Resent-Bcc are left out, so that nobody learns of secret recipients; Return-Path too,
 *     which only the final delivery may add, and Content-Length, which is no longer true.
 *   - An address without a domain gets "@origin" in the fields that name people: cron writes
 *     "From: root (Cron Daemon)".
 *   - Message-Id, Date and From are added at the end when missing (RFC 5322 3.6), or their Resent-
 *     forms where the message was resent.
 * With `gateway` (sendmail -G) only the first of these: the message is another system's.
 *
 * Fails:  overflow of the text when there is no room; the caller brings more and writes it again.
 */
#ifndef MXGATE_MESSAGE_LOCAL_HEADER_H
#define MXGATE_MESSAGE_LOCAL_HEADER_H

#include "base/text.h"

struct local_sender {
    const char *address;   /* with a domain; "" is the null sender */
    const char *full_name; /* "" when there is none */
    const char *myhostname;
    const char *origin; /* domain of names that have none */
    bool gateway;
    int64_t now_us;     /* for Date */
    const char *unique; /* left side of a new Message-Id: letters, digits, dots */
};
#define LOCAL_HEADER_EXTRA 4096 /* room in `t` beyond the header's length, enough for most */
/* With the empty line after it. `header` is what local_header_find found. */
void local_header_write(struct text *t, struct span header, const struct local_sender *sender);

#endif
