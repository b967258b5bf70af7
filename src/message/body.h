/*
 * body - the bytes of a message: in memory while small, else in a file of the spool's incoming/
 *
 * Canonical bytes (smtp/dot.h) are written into body_room() and counted in by body_wrote(). When
 * there is no room, body_make_room() grows the buffer, up to BODY_MEMORY_MAX and as the budget
 * allows; past that it writes the buffer to the file on the disk lane and calls back: the session
 * stops reading meanwhile, so memory does not depend on message size (P6).
 *
 * The file is a spool file from its first byte (header, body, later the end), so that taking
 * custody of a large message writes nothing twice: its prefix is made by a function of the owner's,
 * since the format belongs to queue/. The owner sets id and prefix after body_new() and before the
 * first byte.
 *
 * Fails:  the first failed write is kept in `error` and every later body_make_room() answers with
 * it. Owns:   the buffer, the file descriptor, and the name incoming/ID until spool_commit() takes
 * it over. body_free removes a file that nobody took over. Limits: BODY_MEMORY_MIN is given to
 * every body, even past the budget: else one sender could stop all others. The connection limit
 * bounds it.
 */
#ifndef MXGATE_MESSAGE_BODY_H
#define MXGATE_MESSAGE_BODY_H

#include "base/queue_id.h"
#include "base/span.h"
#include "net/lane.h"

#define BODY_MEMORY_MAX 131072
#define BODY_MEMORY_MIN 8192

/* Memory of all bodies together, one per server. */
struct body_budget {
    uint64_t limit; /* bytes */
    uint64_t used;
};

/* Where files go, one per server. */
struct body_place {
    int incoming_fd; /* borrowed directory */
    struct lane
        *disk; /* borrowed; NULL in programs without a loop, which only use body_from_file() */
    struct body_budget budget;
};

struct body {
    struct body_place *place; /* borrowed; outlives us and our jobs */
    char *buf;                /* owned; all of the body, or what is not in the file yet */
    size_t len;
    size_t cap;
    uint64_t total;     /* bytes of the body so far */
    int fd;             /* owned; -1 while in memory */
    uint64_t base;      /* offset of the body's first byte in the file */
    uint32_t crc;       /* of the bytes in the file so far; not of body_from_file() */
    struct queue_id id; /* name of the file */
    bool file_owned;    /* incoming/ID is ours to remove */
    bool foreign;       /* body_from_file(): the file is somebody else's */
    int error;          /* first failure, negative errno; sticky */
    struct lane_job job;
    bool busy; /* job is on its way */
    bool dead; /* freed while busy: goes when the job is done */
    /*
     * Makes the file's first bytes. Called on the loop thread. *bytes_out is malloc'd, freed by
     * body. 0 or -errno. NULL: the file begins with the body.
     */
    int (*prefix)(void *ctx, char **bytes_out, size_t *len_out);
    void *prefix_ctx;
    char *prefix_bytes; /* owned until written */
    size_t prefix_len;
    void (*on_room)(void *ctx, int rc);
    void *on_room_ctx;
};

struct body *body_new(struct body_place *place); /* NULL when memory is out */
/*
 * NULL-safe; clears the pointer. A body with a file, or with a write under way, goes on the disk
 * lane: removing a large file is slow. on_room is not called any more.
 */
void body_free(struct body **b);
/* The room at the end of the buffer; *cap_out may be 0. */
char *body_room(struct body *b, size_t *cap_out);
void body_wrote(struct body *b, size_t len);
/*
 * Makes at least `need` (<= BODY_MEMORY_MIN / 2) bytes of room. True: there is room now. False: the
 * answer comes by on_room(ctx, 0) or on_room(ctx, -errno) later, never before the return; touch
 * nothing of the body before.
 */
bool body_make_room(struct body *b, size_t need, void (*on_room)(void *ctx, int rc), void *ctx);
/*
 * A body that lies in an open file already (a spool file under delivery): takes over fd. NULL when
 * memory is out; fd is still the caller's then.
 */
struct body *body_from_file(struct body_place *place, int fd, uint64_t base, uint64_t len);
/* Bytes of the body that are in the file, from its start; what follows is in buf. */
uint64_t body_file_len(const struct body *b);
/*
 * The bytes at `offset`: in memory, *in_memory_out is set (empty at the end) and true returned.
 * Otherwise false: read them with body_read() on the disk lane.
 */
bool body_view(const struct body *b, uint64_t offset, struct span *in_memory_out);
/*
 * Thread-safe read for the disk lane, of a body that is complete: fills up to cap bytes from
 * `offset`. Bytes read, 0 at the end, or -errno (-EIO when the file is shorter than it was).
 */
int body_read(const struct body *b, uint64_t offset, char *buf, size_t cap);

#endif
