/*
 * postfix_names - Postfix's parameters that are no settings here, and what becomes of each
 *
 * The rows are in postfix_names.def. Settings come first: who asks here has looked them up in vain.
 *
 * Fails:  a name in no row is POSTFIX_UNKNOWN: Postfix does not know it either, or it is newer.
 * Why:    a setting that vanishes without a word is how mail is lost after a change of software.
 */
#ifndef MXGATE_CONFIG_POSTFIX_NAMES_H
#define MXGATE_CONFIG_POSTFIX_NAMES_H

#include "base/span.h"

enum postfix_class {
    POSTFIX_UNKNOWN,
    POSTFIX_MEANINGLESS,  /* changes nothing that matters here */
    POSTFIX_MISSING,      /* not in this version; somebody may miss it */
    POSTFIX_REFUSED,      /* ignored, it would change who may send what where */
    POSTFIX_REFUSED_SMTP, /* the same if mail goes to an smtp: transport, else as MISSING */
};

struct postfix_name {
    enum postfix_class class;
    const char *harmless; /* "default|another": values of a refused one that do no harm */
    const char *why;      /* a few words, continuing "...: " */
};

enum postfix_harm {
    POSTFIX_HARM_NONE,   /* empty, or what Postfix has anyway */
    POSTFIX_HARM_IGNORE, /* has no effect here, and need not have one */
    POSTFIX_HARM_YES
};

/* POSTFIX_UNKNOWN and empty texts when no row has it. Case counts, as in Postfix. */
struct postfix_name postfix_name_find(struct span name);
/* What the value of a refused one does. Blanks, commas and case make no difference. */
enum postfix_harm postfix_name_harm(const struct postfix_name *n, struct span value);
/* Every name that is written out, for advice about slips. */
void postfix_names_each(void (*fn)(void *ctx, struct span name), void *ctx);

#endif
