/*
 * spool, taking a message into custody - see spool.h
 *
 *     spool_commit -> commit_work (lane: write, fsync, rename) -> commit_done --failed--> finish
 *         -> sync_waiting -> sync_start -> sync_work (sync lane: fsync queue/) -> sync_done ->
 * finish
 *                                                                    `--failed--> undo_work (lane:
 * unlink) -> finish
 */
#include "queue/spool.h"

#include "base/crash_point.h"
#include "base/crc32c.h"
#include "message/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define COMMIT_OF(j) ((struct spool_commit *)((char *)(j)-offsetof(struct spool_commit, job)))
#define SPOOL_OF(j)  ((struct spool *)((char *)(j)-offsetof(struct spool, sync_job)))
#define COPY_CHUNK   65536

/* ---- writing, on the lane -------------------------------------------------- */

/* One file being written. */
struct writing {
    struct spool_commit *c;
    struct body *body;
    char *header; /* owned */
    size_t header_len;
    int fd;        /* owned unless it is the body's */
    char name[32]; /* in incoming/, to be removed on failure; "" while there is none */
};

static bool takes_over(const struct writing *w)
{
    const struct body *b = w->body;

    return b->fd >= 0 && b->file_owned && b->base == w->header_len;
}

static struct iovec part(const void *bytes, size_t len)
{
    /* Only read from; iovec has one pointer for both directions. */
    return (struct iovec){(void *)(uintptr_t)bytes, len};
}

/* What is in the body's memory, the end and the records, after `before` (may be empty), at
 * `offset`. */
static int write_rest(struct writing *w, uint32_t crc_of_file, struct iovec before, uint64_t offset)
{
    struct body *b = w->body;
    char end[SPOOL_END_CAP];
    struct text t;
    uint32_t crc = crc32c(crc_of_file, b->buf, b->len);

    text_init(&t, end, sizeof end);
    spool_format_end(&t, crc32c(crc, w->header, w->header_len));
    struct iovec parts[] = {
        before,
        part(b->buf, b->len),
        part(end, t.len),
        part(w->c->records, w->c->records_len),
    };

    w->c->step = "write message";
    return disk_write(w->fd, parts, 4, offset);
}

static int create(struct writing *w, const char *suffix)
{
    struct text name;
    int rc;

    w->c->step = "create file";
    text_init(&name, w->name, sizeof w->name);
    text_cstr(&name, w->c->envelope->id.text);
    text_cstr(&name, suffix);
    rc = disk_open(w->c->spool->incoming_fd, w->name, O_RDWR | O_CREAT | O_EXCL);
    if (rc < 0)
        w->name[0] = '\0'; /* what is there is not ours */
    w->fd = rc;
    CRASH_POINT("commit-created");
    return rc < 0 ? rc : 0;
}

static int write_from_memory(struct writing *w)
{
    int rc = create(w, "");

    return rc < 0 ? rc : write_rest(w, 0, part(w->header, w->header_len), 0);
}

/* The body's own file gets its end, and in the header its length. */
static int write_taken_over(struct writing *w)
{
    struct iovec header = part(w->header, w->header_len);
    int rc;

    w->fd = w->body->fd;
    span_copy(span_of(w->body->id.text), w->name, sizeof w->name);
    w->body->file_owned = false; /* from here on, name and outcome are the spool's */
    rc = write_rest(w, w->body->crc, part(NULL, 0), w->body->base + body_file_len(w->body));
    return rc < 0 ? rc : disk_write(w->fd, &header, 1, 0);
}

static int copy_file_part(struct writing *w, char *chunk, uint32_t *crc_out)
{
    uint64_t len = body_file_len(w->body);
    uint64_t done = 0;

    *crc_out = 0;
    while (done < len) {
        size_t most = len - done < COPY_CHUNK ? (size_t)(len - done) : COPY_CHUNK;
        struct iovec bytes;
        int n;
        int rc;

        w->c->step = "read message";
        n = body_read(w->body, done, chunk, most);
        if (n <= 0)
            return n < 0 ? n : -EIO;
        bytes = part(chunk, (size_t)n);
        *crc_out = crc32c(*crc_out, chunk, (size_t)n);
        w->c->step = "write message";
        rc = disk_write(w->fd, &bytes, 1, w->header_len + done);
        if (rc < 0)
            return rc;
        done += (uint64_t)n;
    }
    w->c->step = "read message";
    /* After a failed write or fsync of ours the file may read back as something else. */
    return w->body->foreign || *crc_out == w->body->crc ? 0 : -EIO;
}

/* The body's file cannot be ours: it was taken over before, belongs to another message, or began
 * with another header. */
static int write_copy(struct writing *w)
{
    struct iovec header = part(w->header, w->header_len);
    char *chunk = malloc(COPY_CHUNK);
    uint32_t crc = 0;
    int rc;

    if (!chunk)
        return -ENOMEM;
    rc = create(w, ".copy"); /* the body's own file may still have the plain name */
    if (rc == 0)
        rc = copy_file_part(w, chunk, &crc);
    free(chunk);
    if (rc == 0)
        rc = write_rest(w, crc, part(NULL, 0), w->header_len + body_file_len(w->body));
    return rc < 0 ? rc : disk_write(w->fd, &header, 1, 0);
}

static int write_file(struct writing *w)
{
    if (w->body->fd < 0)
        return write_from_memory(w);
    return takes_over(w) ? write_taken_over(w) : write_copy(w);
}

static int commit_file(struct writing *w)
{
    struct spool_commit *c = w->c;
    struct spool *s = c->spool;
    int rc;

    c->step = "write message";
    if (w->body->error != 0)
        return w->body->error; /* bytes are missing */
    w->header = spool_format_header_new(c->envelope, w->body->total, &w->header_len);
    if (!w->header)
        return -ENOMEM;
    rc = write_file(w);
    if (rc < 0)
        return rc;
    CRASH_POINT("commit-written");
    c->step = "fsync message";
    rc = disk_fsync(w->fd);
    if (rc < 0)
        return rc;
    CRASH_POINT("commit-synced");
    c->step = "rename";
    return disk_rename(s->incoming_fd, w->name, s->queue_fd, c->envelope->id.text);
}

static void commit_work(struct lane_job *job)
{
    struct spool_commit *c = COMMIT_OF(job);
    struct writing w = {.c = c, .body = c->body, .fd = -1};

    c->rc = commit_file(&w);
    if (c->rc < 0 && w.name[0])
        disk_unlink(c->spool->incoming_fd, w.name);
    if (w.fd != c->body->fd)
        disk_close(w.fd);
    free(w.header);
    CRASH_POINT("commit-renamed");
}

static void undo_work(struct lane_job *job)
{
    struct spool_commit *c = COMMIT_OF(job);

    disk_unlink(c->spool->queue_fd, c->envelope->id.text);
}

/* ---- on the loop ----------------------------------------------------------- */

static void finish(struct spool_commit *c)
{
    CRASH_POINT("commit-told");
    if (c->rc == 0)
        c->spool->commits++;
    c->done(c, c->rc, c->step);
}

static void undo_done(struct lane_job *job)
{
    finish(COMMIT_OF(job));
}

static void sync_work(struct lane_job *job)
{
    struct spool *s = SPOOL_OF(job);

    s->sync_result = disk_fsync(s->queue_fd);
    CRASH_POINT("commit-folder-synced");
}

static void sync_done(struct lane_job *job);

static void sync_start(struct spool *s)
{
    if (s->sync_busy || !s->sync_waiting)
        return;
    s->sync_running = s->sync_waiting;
    s->sync_waiting = NULL;
    s->sync_busy = true;
    s->sync_job.work = sync_work;
    s->sync_job.done = sync_done;
    lane_submit(&s->sync_lane, &s->sync_job);
}

static void sync_done(struct lane_job *job)
{
    struct spool *s = SPOOL_OF(job);
    struct spool_commit *c = s->sync_running;
    int rc = s->sync_result;

    s->syncs++;
    s->sync_busy = false;
    s->sync_running = NULL;
    sync_start(s); /* before the callbacks, which may take long or commit again */
    while (c) {
        struct spool_commit *next = c->next;

        c->rc = rc;
        if (rc == 0) {
            finish(c);
        } else {
            /* The sender hears 4xx and comes again: kept, the message would arrive twice. */
            c->job.work = undo_work;
            c->job.done = undo_done;
            lane_submit(s->disk, &c->job);
        }
        c = next;
    }
}

static void commit_done(struct lane_job *job)
{
    struct spool_commit *c = COMMIT_OF(job);
    struct spool *s = c->spool;

    if (c->rc < 0) {
        finish(c);
        return;
    }
    c->step = "fsync directory";
    c->next = NULL;
    if (s->sync_waiting)
        s->sync_last->next = c;
    else
        s->sync_waiting = c;
    s->sync_last = c;
    sync_start(s);
}

void spool_commit(struct spool *s, struct spool_commit *c)
{
    assert(!c->body->busy);
    c->spool = s;
    c->job.work = commit_work;
    c->job.done = commit_done;
    lane_submit(s->disk, &c->job);
}
