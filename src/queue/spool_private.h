/*
 * spool_private - what the parts of spool share
 *
 * spool.c opens and closes, spool_commit.c takes messages into custody, spool_records.c appends and
 * removes, spool_read.c reads one file, spool_scan.c all of them, spool_look.c what is left of a
 * damaged one, spool_operator.c carries out orders when no daemon runs.
 */
#ifndef MXGATE_QUEUE_SPOOL_PRIVATE_H
#define MXGATE_QUEUE_SPOOL_PRIVATE_H

#include "queue/spool.h"

/* Grows as needed and is used again for the next file. */
struct spool_buffer {
    char *ptr; /* owned */
    size_t len;
    size_t cap;
};

/*
 * Reads a spool file but for its body, which is only summed up and compared when `verify`. On
 * success *f is the caller's. -EBADMSG: corrupt; err says why in all cases.
 */
int spool_read_file(int fd, bool verify, struct spool_buffer *b, struct spool_file *f,
                    struct errbuf *err);
/* The same for its header alone; on success it is in the buffer. */
int spool_read_header(int fd, uint64_t size, struct spool_buffer *b, struct spool_file *f,
                      struct errbuf *err);
/* Moves queue/name to corrupt/, under a name that is free there. Adds to err what became of it. */
void spool_quarantine(struct spool *s, const char *name, struct errbuf *err);
/* Calls `each` for every name in a folder but "." and "..", until it returns other than 0, which is
 * returned. */
int spool_each_name(int dir_fd, int (*each)(void *ctx, const char *name), void *ctx);
/* Raises s->last_seen when the name is, or begins with, an id. */
void spool_note_id(struct spool *s, const char *name);

#endif
