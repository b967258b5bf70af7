/*
 * smtp_reply - replies of an upstream, out of a byte stream (RFC 5321 4.2, RFC 2034)
 *
 *     Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 *     Reply-code = %x32-35 %x30-35 %x30-39
 *
 * Strict in what counts as a reply (a line that is none is a broken session, never skipped),
 * lenient in line ends (LF alone is taken) and in a last line that is the bare code. The code may
 * not change between lines of one reply.
 */
#ifndef MXGATE_SMTP_REPLY_H
#define MXGATE_SMTP_REPLY_H

#include "base/text.h"

#define SMTP_REPLY_TEXT_CAP  1024 /* what is longer is cut, never an error */
#define SMTP_REPLY_LINE_MAX  4096 /* without its line end; a longer line is BAD */
#define SMTP_REPLY_LINES_MAX 256  /* more lines in one reply are BAD */

enum smtp_reply_event {
    SMTP_REPLY_MORE,
    SMTP_REPLY_LINE,  /* a line that is not the last: its text is in parser->line (EHLO keywords) */
    SMTP_REPLY_READY, /* the last line: parser->reply is complete; parser->line has its text */
    SMTP_REPLY_BAD,   /* not a reply; parser->line has the whole line, for the log; stays BAD */
};

struct smtp_reply {
    unsigned code;     /* 200..559 */
    char enhanced[12]; /* "5.1.1" of the first line that has one of the code's class, or "" */
    /*
     * From the code on: "550 5.1.1 <x> unknown"; control bytes are '?'. Further lines follow after
     * one blank each, without their code, so that the whole is one well-formed last line: "550-a"
     * and "550 b" give "550 a b".
     */
    char text[SMTP_REPLY_TEXT_CAP];
};

struct smtp_reply_parser {
    struct smtp_reply reply;
    /* The current line without code and line end, NUL-terminated; control bytes are '?'. */
    char line[SMTP_REPLY_LINE_MAX + 2];
    size_t line_len;
    unsigned lines;
    bool line_done;
    bool bad;
    bool fresh; /* the next byte starts a new reply */
};

void smtp_reply_parser_init(struct smtp_reply_parser *p);
/* Takes bytes off `in` up to and including one line; once BAD, all of it. */
enum smtp_reply_event smtp_reply_feed(struct smtp_reply_parser *p, struct span *in);
/* True when bytes of an unfinished reply are held. */
bool smtp_reply_partial(const struct smtp_reply_parser *p);
/* The enhanced code that starts `text` ("5.1.1 ..."), if its class is the code's first digit. */
bool smtp_reply_enhanced(struct span text, unsigned code, char out[12]);

#endif
