/*
 * overrides - the text of the file in which `postconf -e` keeps what it was told; pure
 *
 *     # words                          a comment, as is an empty line
 *     relay_domains = example.com      this value holds, whatever environment and ini file say
 *     mail_name =                      so does this one, which is empty
 *     smtpd_timeout                    the default holds, whatever they say (postconf -#)
 *
 * One setting per line, of any length; nothing continues a line and nothing is cut off its end. The
 * last line about a setting counts. Not read by inih, whose lines hold 200 bytes: a list of domains
 * is one line here.
 *
 * Fails:  a line that is none of these is OVERRIDE_BAD; reading goes on after it.
 */
#ifndef MXGATE_CONFIG_OVERRIDES_H
#define MXGATE_CONFIG_OVERRIDES_H

#include "base/span.h"

#define OVERRIDES_MAX (4u << 20) /* bytes of the file */

enum override_kind {
    OVERRIDE_VALUE,
    OVERRIDE_DEFAULT, /* a name alone */
    OVERRIDE_BAD,
};

struct override {
    enum override_kind kind;
    struct span name; /* borrowed from the text; of letters, digits and underscores, unless BAD */
    struct span value;
};

/* Takes lines off `rest` up to the next override. False at the end. */
bool overrides_next(struct span *rest, struct override *out);

/* Whether the text has an override of this name. */
bool overrides_have(struct span text, struct span name);

enum override_deed { OVERRIDE_SET, OVERRIDE_RESET, OVERRIDE_REMOVE };

struct override_edit {
    enum override_deed deed;
    struct span name;
    struct span value; /* of SET; without LF */
};

/*
 * The text after some edits, in their order: malloc'd, NUL-terminated; NULL when memory is out.
 * What they do not name stays as it is, comments and bad lines too. Begins with words for whoever
 * opens the file when there was none.
 */
char *overrides_edit(struct span text, const struct override_edit *edits, size_t count);

#endif
