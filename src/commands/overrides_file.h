/*
 * overrides_file - where the overrides are kept: queue_directory/overrides
 *
 *     overrides        what is in force, whole at all times: replaced by rename, then synced
 *     overrides.lock   flock'ed while somebody edits: of two `postconf -e` at once none is lost
 *     overrides.new    being written
 *
 * All are 0600 (a value may be a password) and belong to whoever the queue belongs to, so that the
 * daemon can read what root wrote. queue_directory is made, 0700, when it is missing: an init
 * script runs before the first start.
 *
 * Fails:  negative errno with words in err, and the file as it was; only when the folder's fsync
 * fails, which comes after the rename, the new one stands. Limits: OVERRIDES_MAX bytes,
 * OVERRIDES_WAIT_MS for the lock.
 */
#ifndef MXGATE_COMMANDS_OVERRIDES_FILE_H
#define MXGATE_COMMANDS_OVERRIDES_FILE_H

#include "base/errbuf.h"
#include "base/span.h"

#define OVERRIDES_WAIT_MS 60000 /* a reload may take CONTROL_CLIENT_WAIT_S */

/* The text, malloc'd and NUL-terminated; NULL when there is no file. */
int overrides_file_read(const char *directory, char **text_out, struct errbuf *err);

struct overrides_file {
    const char *directory; /* borrowed, for messages */
    int dir_fd;
    int lock_fd;
};

/* Takes the lock, making what is missing. */
int overrides_file_lock(struct overrides_file *f, const char *directory, struct errbuf *err);
void overrides_file_unlock(struct overrides_file *f);
int overrides_file_write(struct overrides_file *f, struct span text, struct errbuf *err);

#endif
