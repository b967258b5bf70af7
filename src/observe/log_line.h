/*
 * log_line - what the functions of log.c share: a line is begun, filled and ended; pure, private to
 * log.c and log_delivery.c
 *
 * A line is built in a buffer on the stack and made safe as a whole (so that text from printf is
 * covered as well) before the sink gets it. Safe means: valid UTF-8 without control characters of
 * any kind (C0, DEL, C1, line and paragraph separators, direction overrides, which make a terminal
 * show another text than grep finds).
 *
 * While a line is filled its fields are noted as ranges of the text: JSON shows them apart
 * (log_json), and they are the same bytes, masked and cut alike, as in the message.
 *
 * Limits: LOG_LINE_MAX; a longer line ends in "...", and fields behind that are none. Fields that a
 * peer chose are cut on their own before that, so that a long one cannot push the others out of the
 * line.
 */
#ifndef MXGATE_OBSERVE_LOG_LINE_H
#define MXGATE_OBSERVE_LOG_LINE_H

#include "base/text.h"
#include "observe/log.h"

#define LOG_ADDRESS_MAX    512
#define LOG_NAME_MAX       256  /* host names, HELO, message-id, relay */
#define LOG_TEXT_MAX       1024 /* any other text */
#define LOG_STARTUP_BULLET "\xE2\x80\xA3 "
#define LOG_FIELDS_MAX     16

enum log_field_kind {
    LOG_FIELD_TEXT,
    LOG_FIELD_NUMBER,
    LOG_FIELD_NUMBERS /* "0.1/0/0.12/0.2": an array */
};

struct log_field {
    const char *name; /* borrowed, a literal */
    enum log_field_kind kind;
    size_t at; /* in the line's text */
    size_t len;
};

struct log_line {
    char buf[LOG_LINE_MAX + 1];
    struct text text;
    const struct log *log; /* borrowed */
    size_t program_len;    /* "postfix/smtpd"; 0: a start-up line */
    size_t message_at;     /* behind "]: " */
    size_t id_len;         /* of the queue id that begins the message; 0: none */
    struct log_field fields[LOG_FIELDS_MAX];
    size_t field_count;
};

void log_line_begin(struct log_line *line, const struct log *l, const char *program);
/* As log_line_begin; then "QID: ", or nothing when there is none ("" or NULL). */
void log_line_begin_id(struct log_line *line, const struct log *l, const char *program,
                       const char *queue_id);
void log_line_begin_startup(struct log_line *line, const struct log *l); /* only the bullet */
void log_line_end(struct log_line *line, const struct log *l, enum log_severity severity);

/* The text from `at` to the end so far is the field `name`. */
void log_field(struct log_line *line, const char *name, enum log_field_kind kind, size_t at);

/* These put a piece of text, at most `max` bytes of it, and note it as a field unless name is NULL.
 * Addresses in it are masked; it is then cut behind a word. */
void log_put_text(struct log_line *line, const char *name, struct span s, size_t max);
/* The same for what has no addresses: host names, message-ids, our own words. */
void log_put_plain(struct log_line *line, const char *name, const char *s, size_t max);
void log_put_number(struct log_line *line, const char *name, uint64_t value);
void log_put_peer(struct log_line *line, const struct log_peer *p); /* "NAME[ADDR]" */
/* "WORD<address>" */
void log_put_address(struct log_line *line, const char *name, const char *word,
                     const char *address);
/* As a C string would hold it, so that the shape of the input can be seen. */
void log_put_escaped(struct log_line *line, const char *name, struct span s);

#endif
