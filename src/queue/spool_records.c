/* spool, appending records and removing - see spool.h */
#include "queue/spool.h"

#include "base/crash_point.h"
#include "message/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define APPEND_OF(j) ((struct spool_append *)((char *)(j)-offsetof(struct spool_append, job)))
#define SPOOL_OF(j)  ((struct spool *)((char *)(j)-offsetof(struct spool, remove_job)))
#define LOOK_BACK    512

/* ---- append ---------------------------------------------------------------- */

/*
 * Cuts off a torn record, for good: were its bytes still to be found on the disk, power loss could
 * put a part of them before a part of the next record, as a line that was never written.
 */
static int cut(int fd, uint64_t end)
{
    int rc = disk_truncate(fd, end);

    return rc < 0 ? rc : disk_fdatasync(fd);
}

/* Where the last complete line ends; -EBADMSG when there is none. */
static int64_t complete_end(int fd, uint64_t size)
{
    char bytes[LOOK_BACK];

    while (size > 0) {
        size_t len = size < sizeof bytes ? (size_t)size : sizeof bytes;
        int64_t got = disk_read(fd, bytes, len, size - len);
        size_t lf;

        if (got != (int64_t)len)
            return got < 0 ? got : -EIO;
        lf = span_find_last(span_make(bytes, len), '\n');
        if (lf < len)
            return (int64_t)(size - len + lf + 1);
        size -= len;
    }
    return -EBADMSG;
}

static int append_open(const struct spool_append *a, int fd)
{
    struct stat st;
    int64_t end;
    int rc;

    /* The scheduler's record and the operator's may come together; what follows is not one step. */
    do
        rc = flock(fd, LOCK_EX);
    while (rc != 0 && errno == EINTR);
    if (rc != 0 || fstat(fd, &st) != 0)
        return -errno;
    end = complete_end(fd, (uint64_t)st.st_size);
    if (end < 0)
        return (int)end;
    if (end < st.st_size) {
        rc = cut(fd, (uint64_t)end);
        if (rc < 0)
            return rc;
    }
    CRASH_POINT("append-begun");
    rc = disk_append(fd, a->records, a->records_len);
    if (rc < 0) {
        cut(fd, (uint64_t)end); /* when this fails too, the next append does it */
        return rc;
    }
    CRASH_POINT("append-written");
    return a->sync ? disk_fdatasync(fd) : 0;
}

int spool_append_now(struct spool *s, struct spool_append *a)
{
    int fd = disk_open(s->queue_fd, a->id.text, O_RDWR | O_APPEND);
    int rc = fd < 0 ? fd : append_open(a, fd);

    disk_close(fd);
    return rc;
}

static void append_work(struct lane_job *job)
{
    struct spool_append *a = APPEND_OF(job);

    a->rc = spool_append_now(a->spool, a);
    CRASH_POINT("append-done");
}

static void append_done(struct lane_job *job)
{
    struct spool_append *a = APPEND_OF(job);

    a->done(a, a->rc);
}

void spool_append(struct spool *s, struct spool_append *a)
{
    a->spool = s;
    a->job.work = append_work;
    a->job.done = append_done;
    lane_submit(s->disk, &a->job);
}

/* ---- remove ---------------------------------------------------------------- */

int spool_remove_now(struct spool *s, const struct queue_id *id)
{
    int rc = disk_unlink(s->queue_fd, id->text);

    CRASH_POINT("removal-unlinked");
    return rc < 0 ? rc : disk_fsync(s->queue_fd);
}

/* One sync for all that want it. */
static void remove_work(struct lane_job *job)
{
    struct spool *s = SPOOL_OF(job);
    bool sync = false;
    int rc;

    for (struct spool_remove *r = s->remove_running; r; r = r->next) {
        r->rc = disk_unlink(s->queue_fd, r->id.text);
        CRASH_POINT("remove-unlinked");
        sync = sync || (r->sync && r->rc == 0);
    }
    rc = sync ? disk_fsync(s->queue_fd) : 0;
    CRASH_POINT("remove-done");
    for (struct spool_remove *r = s->remove_running; r; r = r->next) {
        if (r->sync && r->rc == 0)
            r->rc = rc;
    }
}

static void remove_done(struct lane_job *job);

static void remove_start(struct spool *s)
{
    if (s->remove_running || !s->remove_waiting)
        return;
    s->remove_running = s->remove_waiting;
    s->remove_waiting = NULL;
    s->remove_job.work = remove_work;
    s->remove_job.done = remove_done;
    lane_submit(&s->remove_lane, &s->remove_job);
}

static void remove_done(struct lane_job *job)
{
    struct spool *s = SPOOL_OF(job);
    struct spool_remove *r = s->remove_running;

    s->remove_running = NULL;
    remove_start(s); /* before the callbacks, as in sync_done() */
    while (r) {
        struct spool_remove *next = r->next;

        r->done(r, r->rc);
        r = next;
    }
}

void spool_remove(struct spool *s, struct spool_remove *r)
{
    r->next = NULL;
    if (s->remove_waiting)
        s->remove_last->next = r;
    else
        s->remove_waiting = r;
    s->remove_last = r;
    remove_start(s);
}
