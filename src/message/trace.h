/*
 * trace - the Received header that mxgate adds, and what it reads from the headers that pass
 *
 * Received in Postfix's shape (RFC 5321 4.4):
 *
 *     Received: from HELO (PTR [addr])
 *     \tby MYHOSTNAME (MAIL_NAME) with ESMTP id QID
 *     \tfor <rcpt>; Sat, 22 Aug 2026 10:00:00 +0900 (JST)
 *
 * With `client->tls` two lines "\t(using TLSv1.2 with cipher C (128/128 bits))" and "\t(No client
 * certificate requested)" stand before "by", then "\t(Authenticated sender: ann)" with
 * `client->login`; with `client->hidden` nothing of "from" is there, as if the mail were local.
 *
 * "for" only when there is exactly one recipient, else "\tby ... id QID;" and the date on the line
 * after it. IPv6 is written [IPv6:...]. Mail of protocol "local" came from no client: "Received: by
 * MYHOSTNAME (MAIL_NAME)", then
 * "\tid QID; date". A client that said no HELO is named by its PTR name.
 *
 * The HELO argument is an attacker's text: bytes that are not printable ASCII, and those with a
 * meaning in the header's grammar (blank <>()\";@ as in Postfix), become '?'. UTF8SMTP protocols
 * keep UTF-8 in the recipient. Names are cut at 255 bytes, so the header always fits. Lines end in
 * CRLF.
 */
#ifndef MXGATE_MESSAGE_TRACE_H
#define MXGATE_MESSAGE_TRACE_H

#include "base/text.h"
#include "message/envelope.h"
#include "tls/tls_facts.h"

#define TRACE_RECEIVED_CAP 2048 /* enough for any envelope; each part is bounded */

/* What to tell of the client beside what the envelope has. */
struct trace_client {
    const struct tls_facts *tls; /* NULL: nothing */
    const char *login;           /* NULL: nothing */
    bool hidden;                 /* neither its name nor its address */
};

/* Writes the header into `t` (cap >= TRACE_RECEIVED_CAP). Uses e->arrival_us as the date. client
 * may be NULL. */
void trace_received(struct text *t, const struct envelope *e, const struct trace_client *client,
                    const char *myhostname, const char *mail_name);

#define TRACE_MESSAGE_ID_CAP 256

/*
 * Reads canonical body bytes as they pass: counts "Received:" header lines up to the end of the
 * header or `limit` bytes, and keeps the Message-ID's value: of the first such header that has one,
 * folding and comments dropped, the first <...>, or without any the first word. Every split of the
 * input gives the same result.
 */
struct header_scan {
    uint64_t limit; /* bytes looked at; header_size_limit */
    uint64_t seen;
    unsigned received;
    bool ended; /* the empty line came, or the limit, or a line that is no header */
    char message_id[TRACE_MESSAGE_ID_CAP]; /* with <>; "" when none; printable, cut at the cap */
    /* private */
    char name[16];
    unsigned name_len;
    unsigned char state;
    unsigned char value; /* where in the Message-ID's value */
    bool escaped;        /* after a backslash in a comment */
    unsigned comment;    /* depth */
    unsigned id_len;
};

void header_scan_init(struct header_scan *h, uint64_t limit);
void header_scan_feed(struct header_scan *h, struct span canonical);

#endif
