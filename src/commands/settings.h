/*
 * settings - the configuration of this process: ini file, environment, overrides and host name, as
 * all commands read them
 *
 * The ini file is the one given (option -c), else $MXGATE_INI, else SETTINGS_INI. Only the last may
 * be missing: a file that somebody named must be there. The overrides are in queue_directory, which
 * only the other sources can set.
 *
 * A command of root's in a container that dropped CAP_DAC_OVERRIDE goes on with the eyes of the
 * queue's owner (identity_borrow_owner).
 *
 * Fails:  -EINVAL (what is wrong was told through the note function), -ENOMEM, or why a file cannot
 * be read, with words in err. Lenient (every command but serve): only the last two, and overrides
 * and files of secrets that cannot be read are a warning (they are not for every user). Limits: the
 * ini file has SETTINGS_INI_MAX bytes at most.
 */
#ifndef MXGATE_COMMANDS_SETTINGS_H
#define MXGATE_COMMANDS_SETTINGS_H

#include "commands/secret_files.h"
#include "config/config.h"

#define SETTINGS_INI      "/etc/mxgate/mxgate.ini"
#define SETTINGS_INI_MAX  (4u << 20)
#define SETTINGS_HOST_CAP 256

struct settings_request {
    const char *ini; /* option -c; NULL: not given */
    bool lenient;    /* see config_build_lenient */
    config_note_fn note;
    void *note_ctx;
    char **
        overrides_out; /* NULL: not wanted; else the text that was read, or NULL, is the caller's */
};

int settings_load(const struct settings_request *request, struct config **config_out,
                  struct errbuf *err);
/*
 * Where a password is set nobody but root may look into this process, and no core file has it. Done
 * whenever settings are read; again after becoming somebody else.
 */
void settings_hide(const struct config *config);
/* For commands: leniently, warnings are kept quiet, a failure is told as NAME's. 0, or the exit
 * code. */
int settings_for_command(const char *name, const char *ini, struct config **config_out);

/* The same in two steps, for what changes the sources between them. */
struct settings_sources {
    const char *ini_path;        /* borrowed from argv or the environment */
    char *ini_text;              /* owned; NULL: there is no file */
    struct secret_files secrets; /* owned: the environment, with the secrets that it names */
    int secrets_rc;              /* 0, or why one of them cannot be read */
    struct errbuf secrets_err;
    char *directory;      /* owned: queue_directory */
    char *overrides_path; /* owned */
    char *overrides_text; /* owned; NULL: there is no file, or it cannot be read: */
    int overrides_rc;     /* 0, or why */
    struct errbuf overrides_err;
    char host[SETTINGS_HOST_CAP];
};

int settings_read(const char *ini, struct settings_sources *out, struct errbuf *err);
/* `request->ini` is not looked at. */
int settings_build(const struct settings_sources *sources, const struct settings_request *request,
                   struct config **config_out, struct errbuf *err);
void settings_free(struct settings_sources *sources); /* safe after a failed settings_read */

#endif
