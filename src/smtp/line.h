/*
 * smtp_line - command lines out of a byte stream
 *
 *     line = *%x00-09 / %x0B-FF  ( CRLF / LF )    ; LF alone is taken, as Postfix does, and noted
 *
 * Bytes in, at most one line out per call; the same events for every split of the input. A line
 * longer than the limit is swallowed to its end and reported once (RFC 5321 4.5.3.1.4: limits are
 * tested events). CR not before LF is a byte of the line: whoever parses the line refuses it.
 */
#ifndef MXGATE_SMTP_LINE_H
#define MXGATE_SMTP_LINE_H

#include "base/span.h"

#define SMTP_LINE_CAP                                                                              \
    2048 /* bytes without the line end; the setting line_length_limit may be lower */

enum smtp_line_event {
    SMTP_LINE_MORE,  /* all input taken, no line end yet */
    SMTP_LINE_READY, /* line->text, line->len; without its CRLF or LF; valid until the next feed */
    SMTP_LINE_TOO_LONG, /* a line over the limit has ended */
};

struct smtp_line {
    size_t limit; /* 1..SMTP_LINE_CAP */
    size_t len;
    bool done;     /* the next byte starts a new line */
    bool cr;       /* the last byte was CR: a line end with LF, else a byte of the line */
    bool overflow; /* bytes over the limit were dropped; text holds the first `limit` */
    bool bare_lf;  /* READY/TOO_LONG: the line ended in LF without CR */
    char text[SMTP_LINE_CAP];
};

void smtp_line_init(struct smtp_line *line, size_t limit);
/* Takes bytes off `in` up to and including one line end. */
enum smtp_line_event smtp_line_feed(struct smtp_line *line, struct span *in);
/* True when a partial line is held. */
bool smtp_line_partial(const struct smtp_line *line);

#endif
