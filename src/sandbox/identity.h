/*
 * identity - the user that the process is: from root to one who owns nothing but the spool
 *
 * A process that was started by root keeps root for what nobody else may do (a port below 1024, the
 * spool's owner), then becomes somebody else for good: no group, no capability, no way back.
 *
 * Fails:  0 or -errno and why in err. After a failure of identity_become() the process may be half
 *         of both; it must end.
 * Owns:   nothing.
 * Limits: for a process with one thread: capabilities and the user of file calls are each thread's
 *         own (identity_become's uid and gid are not).
 */
#ifndef MXGATE_SANDBOX_IDENTITY_H
#define MXGATE_SANDBOX_IDENTITY_H

#include "base/errbuf.h"

#include <stdbool.h>
#include <sys/types.h>

struct identity {
    uid_t uid;
    gid_t gid;
};

/*
 * Takes this user and group, no other group, and no capability; nor can a program that is started
 * later get one (where CAP_SETPCAP is there to forbid it). Only for root.
 */
int identity_become(const struct identity *who, struct errbuf *err);

/*
 * Gives up all capabilities for good, whoever it is: with no_new_privs also those of set-user-id
 * files. Then nobody may look into the memory, where the passwords are, and no core file holds
 * them.
 */
int identity_disarm(struct errbuf *err);
/*
 * Only the latter, for those who keep everything else: no core file (a pipe that takes them gets
 * none either), and nobody but root may look into the memory. 0 or -errno.
 */
int identity_hide_memory(void);
/* Whether any capability is left to this process. */
bool identity_is_armed(void);

/*
 * In a container that dropped CAP_DAC_OVERRIDE root may not even enter a folder of somebody else's:
 * as far as files are concerned, become the owner of `directory`. Does nothing for anybody else.
 */
void identity_borrow_owner(const char *directory);
/* Root again. */
void identity_return(void);

#endif
