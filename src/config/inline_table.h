/*
 * inline_table - names and their values, written in the setting: Postfix's inline:{...}; pure
 *
 *     inline:{ ann@example.com=one, { bob@example.com = two, and three } }
 *
 * Pairs NAME=VALUE without blanks, separated by commas or blanks; in braces a pair may have blanks
 * around its parts, and commas in its value. Of a name that one table has twice the last counts, of
 * several tables the first that has it. What names and values may be is the caller's
 * (inline_rules); names are compared as its fold() leaves them.
 *
 * Fails:  -EINVAL with the reason and the remedy; tables in files (hash:, lmdb:, texthash:, ...)
 *         are refused: there is nothing here that reads them. -ENOMEM.
 * Owns:   all texts. A value may be a secret: inline_table_free() overwrites it.
 * Limits: rules->max names, INLINE_NAME_CAP bytes each with the NUL.
 */
#ifndef MXGATE_CONFIG_INLINE_TABLE_H
#define MXGATE_CONFIG_INLINE_TABLE_H

#include "base/errbuf.h"
#include "base/span.h"
#include "base/text.h"

#define INLINE_NAME_CAP 600

struct inline_pair {
    char *name;  /* owned; folded */
    char *value; /* owned; trimmed */
};

struct inline_table {
    struct inline_pair *pairs; /* owned; sorted by name, each once */
    size_t count;
};

struct inline_rules {
    size_t max;
    const char *example; /* "write inline:{ example.net=lmtp:[192.0.2.54]:24 }" */
    const char *names;   /* what a name is: "is no sender; write ann@example.com or @example.com" */
    bool secret;         /* no value may be shown in an error */
    /* Puts the name as it is compared; false: it is none. */
    bool (*fold)(struct span name, struct text *folded);
    /* 0, or a negative errno and why; may be NULL. */
    int (*check)(struct span value, struct errbuf *err);
};

/* An empty text is an empty table. On failure nothing is left in it. */
int inline_table_parse(struct inline_table *table, struct span text,
                       const struct inline_rules *rules, struct errbuf *err);
void inline_table_free(struct inline_table *table);
/* name: folded. NULL: it is not there. */
const char *inline_table_find(const struct inline_table *table, const char *name);
bool inline_table_equal(const struct inline_table *a, const struct inline_table *b);
/* A fold() for many: ASCII lower case, nothing refused but what does not fit and an empty name. */
bool inline_fold_lower(struct span name, struct text *folded);

#endif
