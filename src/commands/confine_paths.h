/*
 * confine_paths - every file and folder that the daemon has to reach after its start, from its
 * settings
 *
 * To write: the spool, maildirs that mail goes to, the folder of the control socket (sockets only).
 * To read: the ini file, files that settings name (whatever has "file", "path" or "directory" in
 * its name, and tls_server_sni_maps: certificates, keys, CA bundles), files of secrets (NAME_FILE),
 * what resolver and time zone read.
 *
 * Fails:  -ENOMEM.
 * Owns:   copies of the paths.
 */
#ifndef MXGATE_COMMANDS_CONFINE_PATHS_H
#define MXGATE_COMMANDS_CONFINE_PATHS_H

#include "config/config.h"

enum confine_kind {
    CONFINE_READ,        /* a file that stays, or a folder with all below it */
    CONFINE_REPLACEABLE, /* a file to read that others replace: with its folder */
    CONFINE_WRITE,       /* a folder with all below it */
    CONFINE_SOCKET       /* a folder to make a socket in */
};

struct confine_path {
    char *path; /* owned */
    enum confine_kind kind;
};

struct confine_paths {
    struct confine_path *entries; /* owned */
    size_t count;
};

/* What `config` names. 0, or -ENOMEM; *out can be freed in both cases. */
int confine_paths_of_settings(const struct config *config, struct confine_paths *out);
/* The same, and what the process needs whatever its settings are. ini: the file's path. */
int confine_paths_of_process(const struct config *config, const char *ini,
                             const char *const *environment, struct confine_paths *out);
/* Whether `path` is one of the list, or in or below a folder of it. */
bool confine_paths_cover(const struct confine_paths *list, const struct confine_path *path);
void confine_paths_free(struct confine_paths *list);

#endif
