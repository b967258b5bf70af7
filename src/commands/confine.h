/*
 * confine - mxgate serve gives up what it needed for its start, and locks itself in
 *
 *     confine_prepare -> event loop, bind sockets
 *                  -> confine_user: spool made and given away, root becomes run_as_user
 *                  -> confine_lock: no capability, Landlock, seccomp (sandbox = auto, yes, no)
 *                  -> log thread, modules
 *
 * Both steps come before there is a second thread: Landlock and capabilities are each thread's own,
 * and those that are started later have what this one has then.
 *
 * Fails:  -errno and why in err: the start ends. With sandbox = auto what the kernel does not offer
 *         is a line in the log instead.
 * Owns:   the list of admitted paths, until the process ends.
 */
#ifndef MXGATE_COMMANDS_CONFINE_H
#define MXGATE_COMMANDS_CONFINE_H

#include "commands/confine_paths.h"
#include "observe/log.h"

struct confine {
    const struct log *log;
    struct confine_paths admitted; /* empty: no Landlock, every path will do */
};

/* Before there is an event loop. */
void confine_prepare(const struct config *config);
int confine_user(struct confine *c, const struct config *config, struct errbuf *err);
int confine_lock(struct confine *c, const struct config *config, const char *ini,
                 struct errbuf *err);
/* Whether new settings name only files that were admitted; else -EACCES with words. */
int confine_admits(const struct confine *c, const struct config *next, struct errbuf *err);

#endif
