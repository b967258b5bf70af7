/*
 * spool_format_private - what the readers of spool_format share: lines, words and their escapes;
 * pure
 */
#ifndef MXGATE_QUEUE_SPOOL_FORMAT_PRIVATE_H
#define MXGATE_QUEUE_SPOOL_FORMAT_PRIVATE_H

#include "queue/spool_format.h"

/* Takes lines off the front of `rest`. */
struct spool_reader {
    struct span rest;
    unsigned line; /* number of the one taken last */
    struct errbuf *err;
};

/* Says "line N: what"; SPOOL_PARSE_CORRUPT. */
enum spool_parse spool_reader_corrupt(struct spool_reader *r, const char *what);
/* False when no complete line is left. */
bool spool_reader_line(struct spool_reader *r, struct span *line_out);
/* Takes "name " off a line; false when the line starts otherwise. */
bool spool_line_is(struct span *line, const char *name);
bool spool_take_word(struct span *line, struct span *word_out);
/* When `word` starts with `key` (which ends in "="), *value_out is what follows. */
bool spool_word_key(struct span word, const char *key, struct span *value_out);
/*
 * Takes the escapes out, into dst with its NUL. False when it does not fit, and on what is never
 * written: a control byte, an escaped NUL, a backslash that escapes nothing.
 */
bool spool_unescape(struct span s, char *dst, size_t cap);
/* The same for a word: "-" is the empty one. */
bool spool_unescape_word(struct span word, char *dst, size_t cap);

#endif
