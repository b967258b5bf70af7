/*
 * paths - Landlock: the only files that the process may still open, whoever it is
 *
 * First every name is added, then paths_enforce() makes it so, for this thread and all that it
 * starts. What is open stays open. Nothing may be executed from then on. Names that do not exist
 * are passed over; a name that is a symbolic link admits what it leads to.
 *
 * Fails:  -ENOSYS where the kernel has no Landlock, has it switched off, or an older one that would
 *         not even let us rename between folders (before 5.19); other -errno when it refuses.
 * Owns:   the rule set until paths_enforce() or paths_free().
 * Limits: cannot be widened later; a path that a reload brings has to lie below one of these.
 */
#ifndef MXGATE_SANDBOX_PATHS_H
#define MXGATE_SANDBOX_PATHS_H

#include "base/errbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum paths_access {
    PATHS_READ,  /* a file, or everything in and below a folder */
    PATHS_WRITE, /* and make, rename, remove */
    PATHS_SOCKET /* make and remove sockets in a folder, nothing else */
};

struct paths {
    int ruleset_fd; /* -1: none */
    uint64_t handled;
    int abi; /* of the kernel's Landlock */
};

/* 0, or -ENOSYS. */
int paths_begin(struct paths *p);
int paths_add(struct paths *p, const char *path, enum paths_access access, struct errbuf *err);
/*
 * A file that others replace by a rename: its folder is admitted, and that of the file that a link
 * leads to. Of folders that hold everybody's files ("/", "/etc", "/run", ...) only the file.
 */
int paths_add_replaceable(struct paths *p, const char *path, struct errbuf *err);
/* Takes no_new_privs. */
int paths_enforce(struct paths *p, struct errbuf *err);
void paths_free(struct paths *p);

#endif
