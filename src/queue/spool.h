/*
 * spool - message files that survive power loss (DESIGN 5)
 *
 *     queue_directory/          made 0700 when missing; ours or root's, and not writable for
 * everybody lock                    flock'ed while a daemon serves from here: two daemons never
 * share a spool incoming/ID             what is being received; removed at start: nobody was
 * promised it queue/ID                in custody: complete, synced corrupt/ID              failed
 * its checks; kept, never deleted by mxgate
 *
 * The three folders are 0700 and ours, files 0600. A file in queue/ is complete. Commit = write,
 * fsync(file), rename into queue/, fsync(queue/); commits that end while a directory fsync runs
 * share the next one. Any failure leaves no name behind (the file is unlinked) and is reported:
 * 4xx. fsync is never tried twice on one file: the kernel may have dropped the pages.
 *
 *     incoming/ID --fsync, rename--> queue/ID --fsync queue/--> promised --spool_remove--> gone
 *          |                            |  (commit_work, sync_work)           |
 *          `--failure: unlink           `--failure: unlink                    `--does not parse:
 * corrupt/ID
 *
 * All slow calls run on the disk lane. The shared directory fsync has a lane of its own, so that it
 * does not wait behind the commits that wait for it, and so have removals: what is delivered need
 * not wait for a disk that syncs what comes in; those that are asked for while others run share one
 * job. The thread pool has a thread for each of the two (SPOOL_THREADS). Callbacks come on the loop
 * thread, exactly once per request. Requests are embedded in their owners and stay alive until the
 * callback.
 *
 * Records (attempt, hold, release) are appended with O_APPEND in one write(); "sync" asks for
 * fdatasync after it. A torn record that a crash left is cut off first, and one that cannot be
 * written whole is cut off again. Removal is unlink without a directory fsync: after power loss a
 * delivered message may come back and be delivered again, never the other way round. What an
 * operator deletes is synced ("sync" again).
 *
 * Fails: calls return 0 or negative errno with words in err; nothing here logs.
 */
#ifndef MXGATE_QUEUE_SPOOL_H
#define MXGATE_QUEUE_SPOOL_H

#include "base/errbuf.h"
#include "message/body.h"
#include "message/envelope.h"
#include "queue/spool_format.h"

#define SPOOL_THREADS 2

struct spool_commit;
struct spool_remove;

struct spool {
    int root_fd;
    int lock_fd; /* -1: read-only */
    int incoming_fd;
    int queue_fd;
    int corrupt_fd;
    struct queue_id last_seen; /* highest id found in any of the folders; for queue_id_seen() */
    struct lane *disk;         /* borrowed */
    struct lane sync_lane;
    /* commits renamed and waiting for a directory fsync */
    struct spool_commit *sync_waiting;
    struct spool_commit *sync_last;
    struct spool_commit *sync_running;
    struct lane_job sync_job;
    bool sync_busy;
    int sync_result;
    struct lane remove_lane;
    struct spool_remove *remove_waiting;
    struct spool_remove *remove_last;
    struct spool_remove *remove_running;
    struct lane_job remove_job;
    uint64_t syncs;   /* directory fsyncs so far */
    uint64_t commits; /* messages committed so far */
};

/*
 * Opens (making what is missing), takes the lock, empties incoming/. Synchronous; for start-up.
 * `disk` may be NULL when only the synchronous calls are used. -EBUSY: another daemon has it. err:
 * what failed and what to do
 * ("queue_directory /var/spool/mxgate is not writable for uid 10025: ...").
 */
int spool_open(struct spool *s, const char *path, struct lane *disk, struct errbuf *err);
/* No request may be under way. Safe after a failed open. */
void spool_close(struct spool *s);
/* Same without lock and cleaning, read-only: for commands when no daemon runs. */
int spool_open_readonly(struct spool *s, const char *path, struct errbuf *err);
/*
 * The same with the lock: for commands that do what no daemon is there to do, with the _now calls
 * below. Makes nothing (root may run this, and the daemon's user must still be able to use what is
 * there). -EBUSY: a daemon has it.
 */
int spool_open_operator(struct spool *s, const char *path, struct errbuf *err);

/*
 * Start-up: calls `each` for every file in queue/, in the order of ids, with what its header and
 * records say (body not read). A file that does not parse is moved to corrupt/ (read-only: left)
 * and reported by `bad`; so is one that cannot be read, or has no name of ours, which is left where
 * it is. The spool_file is the scanner's: `each` may take f->envelope (and set it NULL).
 * Synchronous. Returns 0 or -errno.
 */
int spool_scan(struct spool *s, void (*each)(void *ctx, struct spool_file *f),
               void (*bad)(void *ctx, const char *name, const char *why), void *ctx);

/* One message into custody. The owner fills the first part and keeps envelope and body unchanged
 * until done. */
struct spool_commit {
    struct envelope *envelope; /* borrowed; read on the lane: its texts must not change meanwhile */
    struct body
        *body; /* borrowed; not busy. Its file, if any, is taken over: the body can still be read */
    char *records; /* owned by the caller: attempt records to append after "end", or NULL */
    size_t records_len;
    /* rc 0 or -errno; step says where: "write message", "fsync directory", ... */
    void (*done)(struct spool_commit *c, int rc, const char *step);
    /* private */
    struct spool *spool;
    struct lane_job job;
    struct spool_commit *next;
    int rc;
    const char *step;
};
/*
 * The header is written anew from the envelope; a body that began its file with another header
 * (recipients, parameters changed since) is copied. A commit may be tried again after it failed.
 */
void spool_commit(struct spool *s, struct spool_commit *c);

/* Appends records to queue/ID. */
struct spool_append {
    struct queue_id id;
    char *records; /* owned by the caller until done */
    size_t records_len;
    bool sync;
    void (*done)(struct spool_append *a, int rc);
    struct spool *spool;
    struct lane_job job;
    int rc;
};
void spool_append(struct spool *s, struct spool_append *a);
/* The same at once, on the calling thread; done is not called. */
int spool_append_now(struct spool *s, struct spool_append *a);

/* Removes queue/ID. */
struct spool_remove {
    struct queue_id id;
    bool sync; /* the folder is synced: it does not come back after power loss */
    void (*done)(struct spool_remove *r, int rc);
    /* private */
    struct spool_remove *next;
    int rc;
};
void spool_remove(struct spool *s, struct spool_remove *r);
/* At once, on the calling thread, and synced. */
int spool_remove_now(struct spool *s, const struct queue_id *id);

/*
 * Reads queue/ID for delivery: header, sum over the whole body, records. On success `file` and `fd`
 * (open for reading) are the caller's. Else err says why; -EBADMSG: corrupt, moved to corrupt/
 * (read-only: left).
 */
struct spool_load {
    struct queue_id id;
    void (*done)(struct spool_load *l, int rc);
    struct spool_file file;
    int fd;
    struct errbuf err;
    struct spool *spool;
    struct lane_job job;
    int rc;
};
void spool_load(struct spool *s, struct spool_load *l);
/* The same at once, on the calling thread (commands); done is not called. */
int spool_load_now(struct spool *s, struct spool_load *l);

/*
 * Reads as much of an open spool file as can be understood, for somebody to look at: -EBADMSG only
 * when its header cannot be read. `damage` gets what else is wrong with it ("": nothing).
 */
int spool_look(int fd, struct spool_file *f, struct errbuf *damage);

/* Free bytes for us on the spool's file system (0 when it has no inode left), or -errno. Quick, on
 * the loop thread. */
int64_t spool_free_bytes(const struct spool *s);
/* Can a file be made now? 0 or -errno. Quick, on the loop thread; makes and removes an empty file
 * in incoming/. */
int spool_probe(const struct spool *s);
/*
 * What is in the folders, whoever knows of it: messages in queue/, files in corrupt/. 0 or -errno.
 * On the loop thread, as long as a folder is large.
 */
int spool_count(const struct spool *s, uint64_t *messages_out, uint64_t *corrupt_out);
/* No directory fsync and no removal waits or runs. (Other requests: lane_idle of the disk lane.) */
bool spool_idle(const struct spool *s);

#endif
