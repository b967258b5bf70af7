/*
 * bounce - the report about a message that could not be delivered, is late, or was delivered (RFC
 * 3464); pure
 *
 *     header          From MAILER-DAEMON, To the sender, Auto-Submitted, multipart/report (RFC
 * 6522)
 *     --boundary      what happened, for a person
 *     --boundary      message/delivery-status: the same for programs, with what the sender gave in
 *                     ENVID, ORCPT (RFC 3461); message/global-delivery-status for SMTPUTF8 (6533)
 *     --boundary      the original (message/rfc822), or its header only (text/rfc822-headers)
 *     --boundary--
 *
 * Fields, subjects and the order of things are Postfix's: programs that read bounces know them.
 *
 * The report comes in pieces, so that memory depends neither on the number of recipients nor on the
 * size of the original, which is copied piece by piece by whoever has it:
 *
 *     bounce_begin; while (step = bounce_next(b, &piece)) != BOUNCE_STEP_END:
 *         BOUNCE_STEP_TEXT      piece is to be written
 *         BOUNCE_STEP_ORIGINAL  the original's bytes go through bounce_take() and are written as
 * far as it takes them, then bounce_next() goes on
 *
 * The original is returned whole only when the report is about a failure, the sender did not say
 * RET=HDRS and it is no larger than size_limit; else its header, cut at a line's end near that
 * limit.
 *
 * The boundary has a number that was drawn after the original was complete, so it cannot be in it.
 * Texts of others are made printable; 8-bit bytes are kept only where the message is SMTPUTF8 and
 * they are UTF-8. Lines are canonical (CRLF) and, but for the original's, under 998 bytes.
 */
#ifndef MXGATE_MESSAGE_BOUNCE_H
#define MXGATE_MESSAGE_BOUNCE_H

#include "base/text.h"
#include "message/envelope.h"

enum bounce_kind {
    BOUNCE_FAILURE, /* to the sender: for good */
    BOUNCE_DELAY,   /* to the sender: not yet */
    BOUNCE_SUCCESS, /* to the sender, who asked for it: with whom sends no reports of its own */
    BOUNCE_NOTICE,  /* to the operator: failed, and the sender cannot be told; it is on hold */
};

struct bounce {
    /* filled by the owner, borrowed until the end */
    enum bounce_kind kind;
    const struct envelope *about;  /* the original's */
    const struct envelope *report; /* its own: id, arrival (now), and the one recipient */
    const char *myhostname;
    const char *mail_name; /* of mail_name: X-NAME-Queue-ID */
    uint64_t original_len;
    uint64_t size_limit;  /* bounce_size_limit; bytes */
    uint64_t unique;      /* random: see above */
    bool expired;         /* whoever is pending failed: it was tried long enough */
    uint64_t age_ms;      /* BOUNCE_DELAY: it could not be delivered for so long */
    uint64_t lifetime_ms; /* likewise: it is tried until it is so old */
    const char *untold;   /* BOUNCE_NOTICE: why its sender is not told, in words */
    uint64_t unnoticed;   /* likewise: messages on hold that got no notice of their own */
    /* private */
    unsigned char stage;
    size_t cursor;  /* of the recipients */
    uint64_t taken; /* bytes of the original */
    bool line_start;
    char last; /* byte taken */
    bool full; /* the original is returned whole */
};

/* Whether a report of this kind is about this recipient: by its state and its NOTIFY, and whether
 * its sender was told before. */
bool bounce_concerns(enum bounce_kind kind, bool expired, const struct recipient *r);
/* How many it is about; 0: nobody is to be told. */
size_t bounce_count(enum bounce_kind kind, bool expired, const struct envelope *about);

enum bounce_step { BOUNCE_STEP_END, BOUNCE_STEP_TEXT, BOUNCE_STEP_ORIGINAL };
#define BOUNCE_PIECE_CAP 4096 /* what the text of bounce_next must have room for */

/* Once the owner's part is filled. */
void bounce_begin(struct bounce *b);
/* Empties t and writes the next piece into it. */
enum bounce_step bounce_next(struct bounce *b, struct text *t);
/*
 * How many of the original's next bytes go into the report: all, or as many as come before the end
 * of its part (then ask no more). The original is canonical.
 */
size_t bounce_take(struct bounce *b, struct span original);

#define BOUNCE_VIA "delivery via " /* "HOST[ADDR]:port: reply": how one that owes was delivered */
/*
 * A reason as deliveries record it, taken apart: "host mx.example.net[192.0.2.1] said: 550 5.1.1 No
 * (in reply to RCPT TO command)" has a host and what it said, and so has "delivery via
 * mx.example.net[192.0.2.1]:24: 250 2.0.0 Ok"; of anything else both are empty.
 */
void bounce_reason_split(struct span reason, struct span *host_out, struct span *said_out);

#endif
