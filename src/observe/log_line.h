/*
 * log_line - what the functions of log.c share: a line is begun, filled and ended; pure, private to
 * log.c
 *
 * A line is built in a buffer on the stack and made safe as a whole (so that text from printf is
 * covered as well) before the sink gets it. Safe means: valid UTF-8 without control characters of
 * any kind (C0, DEL, C1, line and paragraph separators, direction overrides, which make a terminal
 * show another text than grep finds).
 *
 * Limits: LOG_LINE_MAX; a longer line ends in "...". Fields that a peer chose are cut on their own
 * before that, so that a long one cannot push the others out of the line.
 */
#ifndef MXGATE_OBSERVE_LOG_LINE_H
#define MXGATE_OBSERVE_LOG_LINE_H

#include "base/text.h"
#include "observe/log.h"

#define LOG_ADDRESS_MAX    512
#define LOG_NAME_MAX       256 /* host names, HELO, message-id, relay */
#define LOG_STARTUP_BULLET "\xE2\x80\xA3 "

struct log_line {
    char buf[LOG_LINE_MAX + 1];
    struct text text;
};

void log_line_begin(struct log_line *line, const struct log *l, const char *program);
/* As log_line_begin; then "QID: ", or nothing when there is none ("" or NULL). */
void log_line_begin_id(struct log_line *line, const struct log *l, const char *program,
                       const char *queue_id);
void log_line_begin_startup(struct log_line *line); /* only the bullet */
void log_line_end(struct log_line *line, const struct log *l, enum log_severity severity);

void log_put_cut(struct text *t, const char *s, size_t max);
void log_put_peer(struct text *t, const struct log_peer *p);                 /* "NAME[ADDR]" */
void log_put_address(struct text *t, const char *word, const char *address); /* "word<address>" */
/* As a C string would hold it, so that the shape of the input can be seen. */
void log_put_escaped(struct text *t, struct span s);

#endif
