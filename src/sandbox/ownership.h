/*
 * ownership - the spool's folder, and who owns what is in it, put right by root before it leaves
 *
 * A fresh volume belongs to root, and so does what an earlier version, or one that ran as root,
 * left in the spool. Everything in it that is not yet the user's is given to it; nothing else
 * changes, neither modes nor groups nor contents.
 *
 * Who may write into the folder may have put names there that lead elsewhere. So: no symbolic link
 * is followed or given away, nothing on another file system, only folders, plain files and sockets;
 * and a file with several names stays as it is, unless nobody but root could have made them. The
 * path itself is the operator's, and may be a link.
 *
 * Fails:  -errno and which name. What was done stays done: the next start goes on.
 * Owns:   nothing.
 * Limits: OWNERSHIP_DEPTH_MAX folders deep; below that nothing is touched.
 * Why:    folders are given away after what is in them, so that one that is the user's is done.
 */
#ifndef MXGATE_SANDBOX_OWNERSHIP_H
#define MXGATE_SANDBOX_OWNERSHIP_H

#include "base/errbuf.h"
#include "sandbox/identity.h"

#include <stdint.h>

#define OWNERSHIP_DEPTH_MAX 3 /* the spool's own folders, and one to spare */

struct ownership_count {
    uint64_t given;    /* names that changed their owner */
    uint64_t skipped;  /* names that were not touched for what they are */
    char example[128]; /* one of them; "" */
};

/* Makes the folder when there is none (not those above it), durably. */
int ownership_make_folder(const char *path, struct errbuf *err);
/*
 * For root. A folder whose lock file (a name in it) somebody holds is in use, and left alone. 0
 * also when there was nothing to do.
 */
int ownership_give(const char *path, const char *lock_name, const struct identity *to,
                   struct ownership_count *count_out, struct errbuf *err);

#endif
