/* config_fixture - a configuration built from text, with what was said about it */
#ifndef MXGATE_TESTS_CONFIG_FIXTURE_H
#define MXGATE_TESTS_CONFIG_FIXTURE_H

#include "config/config.h"

/* The least that starts. */
#define CONFIG_MINIMUM                                                                             \
    "relay_domains = example.com\n"                                                                \
    "relay_transport = lmtp:[192.0.2.10]:24\n"

struct built {
    struct config *config; /* owned; NULL unless rc is 0 */
    int rc;
    unsigned errors;
    unsigned warnings;
    unsigned applied;
    const char *overrides; /* what postconf -e kept, for the next built_from(); NULL: nothing */
    char notes[65536];     /* a line per note: "E text", "W text", "A text" */
};

/* `ini` may be NULL; `environment` lines are separated by LF, may be NULL. The host is
 * "mx.example.org". */
void built_from(struct built *b, const char *ini, const char *environment);
void built_from_host(struct built *b, const char *ini, const char *environment, const char *host);
/* Builds from CONFIG_MINIMUM and these lines; the test fails when that is refused. */
struct config *built_good(struct built *b, const char *ini, const char *environment);
void built_free(struct built *b);
/* The value of a setting as config_value_text gives it. */
const char *built_value(struct built *b, const char *name);
/* The test fails unless this is a note, whole, with its letter. */
void built_expect(const struct built *b, const char *note);

#endif
