/*
 * settings - the configuration of this process: ini file, environment and host name, as all
 * commands read them
 *
 * The ini file is the one given (option -c), else $MXGATE_INI, else SETTINGS_INI. Only the last may
 * be missing: a file that somebody named must be there.
 *
 * Fails:  -EINVAL (what is wrong was told through the note function), -ENOMEM, or why the file
 * cannot be read, with words in err. Lenient (every command but serve): only the last two. Limits:
 * the file has SETTINGS_INI_MAX bytes at most.
 */
#ifndef MXGATE_COMMANDS_SETTINGS_H
#define MXGATE_COMMANDS_SETTINGS_H

#include "config/config.h"

#define SETTINGS_INI     "/etc/mxgate/mxgate.ini"
#define SETTINGS_INI_MAX (4u << 20)

struct settings_request {
    const char *ini; /* option -c; NULL: not given */
    bool lenient;    /* see config_build_lenient */
    config_note_fn note;
    void *note_ctx;
};

int settings_load(const struct settings_request *request, struct config **config_out,
                  struct errbuf *err);
/* For commands: leniently, warnings are kept quiet, a failure is told as NAME's. 0, or the exit
 * code. */
int settings_for_command(const char *name, const char *ini, struct config **config_out);

#endif
