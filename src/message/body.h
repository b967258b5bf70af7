/*
 * body - the bytes of a message: in memory while small, else in a file of the spool's incoming/
 *
 * Canonical bytes (smtp/dot.h) are written into body_room() and counted in by body_wrote(). When there is no room,
 * body_make_room() grows the buffer, up to BODY_MEMORY_MAX and as the budget allows; past that it writes the
 * buffer to the file on the disk lane and calls back: the session stops reading meanwhile, so memory does not
 * depend on message size (P6).
 *
 * The file is a spool file from its first byte (header, body, later the end), so that taking custody of a large
 * message writes nothing twice: its prefix is made by a function of the owner's, since the format belongs to queue/.
 *
 * Owns: the buffer, the file descriptor, and the name incoming/ID until body_detach_file(). Deinit removes
 * the file that nobody took over.
 */
#ifndef MXGATE_MESSAGE_BODY_H
#define MXGATE_MESSAGE_BODY_H

#include "base/queue_id.h"
#include "base/span.h"
#include "net/lane.h"

#define BODY_MEMORY_MAX 65536
#define BODY_MEMORY_MIN 8192

/* Memory of all bodies together, one per server. */
struct body_budget {
    uint64_t limit; /* bytes */
    uint64_t used;
};

/* Where files go, one per server. */
struct body_place {
    int incoming_fd; /* borrowed directory */
    struct lane *disk; /* borrowed */
    struct body_budget budget;
};

struct body {
    struct body_place *place; /* borrowed; outlives us */
    char *buf;                /* owned; all of the body, or what is not in the file yet */
    size_t len;
    size_t cap;
    uint64_t total;      /* bytes of the body so far */
    int fd;              /* owned; -1 while in memory */
    uint64_t base;       /* offset of the body's first byte in the file */
    uint32_t crc;        /* of the bytes in the file so far */
    struct queue_id id;  /* name of the file */
    bool file_owned;     /* incoming/ID is ours to remove */
    int error;           /* first failure, negative errno; sticky */
    struct lane_job job;
    bool busy;           /* job is on its way */
    bool dead;           /* deinit came while busy: freed when done */
    /* Makes the file's first bytes. Called on the loop thread. *bytes_out is malloc'd, freed by body. 0 or -errno. */
    int (*prefix)(void *ctx, char **bytes_out, size_t *len_out);
    void *prefix_ctx;
    char *prefix_bytes; /* owned until written */
    size_t prefix_len;
    void (*on_room)(void *ctx, int rc);
    void *on_room_ctx;
};

struct body *body_new(struct body_place *place); /* NULL when memory is out */
/* Frees now, or when the write under way is done. NULL-safe; clears the pointer. */
void body_free(struct body **b);
/* The room at the end of the buffer; *cap_out may be 0. */
char *body_room(struct body *b, size_t *cap_out);
void body_wrote(struct body *b, size_t len);
/*
 * Makes at least `need` (<= BODY_MEMORY_MIN / 2) bytes of room. True: there is room now. False: the answer comes by
 * on_room(ctx, 0) or on_room(ctx, -errno) later; touch nothing of the body before.
 */
bool body_make_room(struct body *b, size_t need, void (*on_room)(void *ctx, int rc), void *ctx);
/* A body that lies in an open file already (a spool file under delivery): takes over fd. NULL when memory is out. */
struct body *body_from_file(struct body_place *place, int fd, uint64_t base, uint64_t len);
/*
 * The bytes at `offset`: in memory, *in_memory_out is set and true returned. Otherwise false: read them with
 * pread(b->fd, ..., b->base + offset) on the disk lane (bytes past the file part are in buf).
 */
bool body_view(const struct body *b, uint64_t offset, struct span *in_memory_out);
/* Thread-safe read for the disk lane: fills up to cap bytes from `offset`. Bytes read or -errno; 0 at the end. */
int body_read(const struct body *b, uint64_t offset, char *buf, size_t cap);

#endif
