/*
 * postconf - what the files of the postconf command share
 *
 * postconf reads the options, postconf_arguments what shall be changed, postconf_show prints
 * settings, postconf_edit changes the overrides and tells the daemon, postconf_notes remembers what
 * was said about a configuration.
 */
#ifndef MXGATE_COMMANDS_POSTCONF_H
#define MXGATE_COMMANDS_POSTCONF_H

#include "commands/settings.h"
#include "config/overrides.h"

#define POSTCONF_SECRET "***" /* stands for the value of a setting with a secret */

struct postconf {
    const char *ini;    /* -c; NULL: not given */
    bool defaults;      /* -d */
    bool only_set;      /* -n */
    bool fold;          /* -f */
    bool hide_names;    /* -h */
    bool hide_values;   /* -H */
    bool expand;        /* -x */
    char edit;          /* 'e', 'X', '#', or 0: show */
    char **assignments; /* of the -o options; borrowed from argv */
    int assignment_count;
    char **arguments; /* borrowed from argv */
    int argument_count;
};

/* Both return the exit code. */
int postconf_show(const struct postconf *p);
int postconf_edit(const struct postconf *p);

/*
 * Splits "name = value" as Postfix does: NULL, or what is wrong with it. The spans point into the
 * argument.
 */
const char *postconf_split(const char *argument, struct span *name_out, struct span *value_out);

/* The arguments of -e, -X or -#. 0, or the exit code after telling; *edits_out is the caller's to
 * free in any case, if not NULL. */
int postconf_edits_parse(const struct postconf *p, struct override_edit **edits_out,
                         size_t *count_out);

/* What was said about a configuration, a line each. */
struct postconf_notes {
    char *text; /* owned */
    size_t len;
    bool no_memory;
};

struct postconf_said {
    struct postconf_notes errors;
    struct postconf_notes warnings;
};

/* Builds the configuration and keeps what is said. 0, -EINVAL (see errors), or negative with words
 * in err. *config_out may be NULL. */
int postconf_try(const struct settings_sources *sources, bool lenient, struct postconf_said *said,
                 struct config **config_out, struct errbuf *err);
/* Takes the next line off `rest`. */
bool postconf_next_note(struct span *rest, struct span *line_out);
struct span postconf_notes_text(const struct postconf_notes *n);
bool postconf_notes_have(const struct postconf_notes *n, struct span line);
void postconf_said_free(struct postconf_said *said);

#endif
