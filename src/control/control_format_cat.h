/*
 * control_format_cat - one message as `postcat` shows it; pure
 *
 * The shapes are Postfix's: envelope records by name, then the text, section lines between them.
 *
 *     *** ENVELOPE RECORDS deferred/06401F3A9C2E7001 ***
 *     message_size:            2145             312               1 ...
 *     message_arrival_time: Thu Oct  9 08:53:20 2025
 *     named_attribute: log_client_name=mail.example.org
 *     sender: a@example.net
 *     recipient: u@example.org            (done_recipient: one that was delivered to)
 *     *** MESSAGE CONTENTS deferred/06401F3A9C2E7001 ***
 *     Subject: hello
 *     ...
 *     *** HEADER EXTRACTED deferred/06401F3A9C2E7001 ***
 *     *** MESSAGE FILE END deferred/06401F3A9C2E7001 ***
 *
 * Offsets are those of the line of the spool file that a record comes from. Memory is bounded:
 * everything goes to `write` line by line, or in pieces of a line.
 */
#ifndef MXGATE_CONTROL_CONTROL_FORMAT_CAT_H
#define MXGATE_CONTROL_CONTROL_FORMAT_CAT_H

#include "base/text.h"
#include "queue/spool_format.h"

enum cat_parts {
    CAT_ENVELOPE = 1,
    CAT_HEADER = 2,
    CAT_BODY = 4,
};

struct cat {
    /* filled by the caller */
    void (*write)(void *ctx, struct span bytes);
    void *ctx;
    const char *name; /* of the file, as shown: "deferred/ID" */
    unsigned parts;   /* enum cat_parts */
    bool offsets;     /* -o */
    bool decimal;     /* -d: numbers of the record types */
    bool verbose;     /* -v: text lines are records too */
    /* private */
    uint64_t at;      /* where we are in the file */
    uint64_t line_at; /* where this line began */
    bool in_body;     /* the empty line was seen */
    bool in_line;
    bool shown; /* this line is */
    bool cr;    /* one was seen, and not yet what follows it */
};

/* The envelope, up to "MESSAGE CONTENTS". header: the file's first f->body_offset bytes. */
void cat_envelope(struct cat *c, const struct spool_file *f, struct span header);
/* The next bytes of the message. */
void cat_text(struct cat *c, struct span bytes);
/* The end. */
void cat_end(struct cat *c);

#endif
