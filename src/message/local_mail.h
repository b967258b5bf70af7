/*
 * local_mail - reading the text that a local program gives to sendmail; pure
 *
 * The text ends at its last byte, or, unless -i was given, at a line that is a lone dot (lone_dot).
 * Its header ends at the first empty line, or at the first line that is no header field
 * (local_header_find): cron and scripts give bodies without any header. What is made of the header
 * is in local_header.h.
 *
 * Lines may end in LF or CRLF here; the daemon makes them canonical.
 */
#ifndef MXGATE_MESSAGE_LOCAL_MAIL_H
#define MXGATE_MESSAGE_LOCAL_MAIL_H

#include "base/text.h"

struct lone_dot {
    bool ignore; /* -i: a lone dot is text */
    bool ended;
    unsigned char state; /* private */
};

void lone_dot_init(struct lone_dot *d, bool ignore);
/*
 * Takes all of `in` (or up to the lone dot) and writes what is text; *len_out <= in.len + 2, which
 * is the room that `out` must have. Dots that are held back at the end of the input are dropped.
 */
void lone_dot_feed(struct lone_dot *d, struct span in, char *out, size_t *len_out);

struct local_header {
    size_t len;     /* of the header fields */
    size_t body_at; /* where the body begins: after the empty line, if there is one */
};
/* False while more bytes may be header. `complete`: no more bytes come, the answer is true. */
bool local_header_find(struct span bytes, bool complete, struct local_header *out);

struct local_field {
    struct span name;
    struct span value; /* after the colon, folding included */
    struct span whole; /* with its line end, if it has one */
};
/* The next field of a header; a mailbox' "From " line at the start is skipped. False at the end. */
bool local_field_next(struct span *rest, struct local_field *out);

#endif
