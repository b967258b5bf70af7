/* body - see body.h */
#include "message/body.h"

#include "base/crash_point.h"
#include "base/crc32c.h"
#include "message/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define BODY_OF(j) ((struct body *)((char *)(j)-offsetof(struct body, job)))

struct body *body_new(struct body_place *place)
{
    struct body *b = calloc(1, sizeof *b);

    if (!b)
        return NULL;
    b->place = place;
    b->fd = -1;
    return b;
}

struct body *body_from_file(struct body_place *place, int fd, uint64_t base, uint64_t len)
{
    struct body *b = body_new(place);

    if (!b)
        return NULL;
    b->fd = fd;
    b->base = base;
    b->total = len;
    b->foreign = true;
    return b;
}

/* ---- freeing --------------------------------------------------------------- */

static void discard_work(struct lane_job *job)
{
    struct body *b = BODY_OF(job);

    if (b->file_owned)
        disk_unlink(b->place->incoming_fd, b->id.text); /* if it fails, the next start removes it */
    disk_close(b->fd);
}

static void discard_done(struct lane_job *job)
{
    free(BODY_OF(job));
}

/* Memory goes at once, the file on the lane. */
static void discard(struct body *b)
{
    b->place->budget.used -= b->cap;
    free(b->buf);
    free(b->prefix_bytes);
    if (b->fd < 0) {
        free(b);
        return;
    }
    b->job.work = discard_work;
    b->job.done = discard_done;
    if (b->place->disk) {
        lane_submit(b->place->disk, &b->job);
        return;
    }
    discard_work(&b->job);
    discard_done(&b->job);
}

void body_free(struct body **b)
{
    struct body *gone = *b;

    *b = NULL;
    if (!gone)
        return;
    if (gone->busy)
        gone->dead = true;
    else
        discard(gone);
}

/* ---- writing --------------------------------------------------------------- */

char *body_room(struct body *b, size_t *cap_out)
{
    assert(!b->busy);
    *cap_out = b->cap - b->len;
    return b->buf ? b->buf + b->len : NULL;
}

void body_wrote(struct body *b, size_t len)
{
    assert(!b->busy && len <= b->cap - b->len);
    b->len += len;
    b->total += len;
}

static bool grow(struct body *b)
{
    struct body_budget *budget = &b->place->budget;
    size_t cap = b->cap > 0 ? b->cap * 2 : BODY_MEMORY_MIN;
    char *more;

    if (cap > BODY_MEMORY_MAX)
        return false;
    if (b->cap > 0 && budget->used + (cap - b->cap) > budget->limit)
        return false;
    more = realloc(b->buf, cap);
    if (!more)
        return false;
    budget->used += cap - b->cap;
    b->buf = more;
    b->cap = cap;
    return true;
}

/* On the lane. */
static int spill(struct body *b)
{
    struct iovec parts[2] = {
        {b->prefix_bytes, b->prefix_len},
        {b->buf,          b->len       }
    };
    uint64_t at = b->base + body_file_len(b);
    int rc;

    if (b->fd < 0) {
        rc = disk_open(b->place->incoming_fd, b->id.text, O_RDWR | O_CREAT | O_EXCL);
        if (rc < 0)
            return rc;
        b->fd = rc;
        b->file_owned = true;
        b->base = b->prefix_len;
        at = 0;
        CRASH_POINT("spill-created");
    } else {
        parts[0].iov_len = 0;
    }
    rc = disk_write(b->fd, parts, 2, at);
    CRASH_POINT("spill-written");
    if (rc == 0)
        b->crc = crc32c(b->crc, b->buf, b->len);
    return rc;
}

static void spill_work(struct lane_job *job)
{
    struct body *b = BODY_OF(job);

    if (b->error == 0)
        b->error = spill(b);
}

static void spill_done(struct lane_job *job)
{
    struct body *b = BODY_OF(job);

    b->busy = false;
    free(b->prefix_bytes);
    b->prefix_bytes = NULL;
    if (b->error == 0)
        b->len = 0;
    if (b->dead)
        discard(b);
    else
        b->on_room(b->on_room_ctx, b->error);
}

bool body_make_room(struct body *b, size_t need, void (*on_room)(void *ctx, int rc), void *ctx)
{
    assert(!b->busy && !b->foreign && need <= BODY_MEMORY_MIN / 2);
    if (b->error == 0 && (b->cap - b->len >= need || grow(b)))
        return true;
    if (b->error == 0 && b->cap == 0)
        b->error = -ENOMEM;
    if (b->error == 0 && b->fd < 0 && b->prefix)
        b->error = b->prefix(b->prefix_ctx, &b->prefix_bytes, &b->prefix_len);
    /* A failure goes through the lane as well: the caller gets its answer after the return in all
     * cases. */
    b->on_room = on_room;
    b->on_room_ctx = ctx;
    b->busy = true;
    b->job.work = spill_work;
    b->job.done = spill_done;
    lane_submit(b->place->disk, &b->job);
    return false;
}

/* ---- reading --------------------------------------------------------------- */

uint64_t body_file_len(const struct body *b)
{
    return b->total - b->len;
}

bool body_view(const struct body *b, uint64_t offset, struct span *in_memory_out)
{
    uint64_t in_file = body_file_len(b);

    assert(!b->busy);
    if (offset < in_file)
        return false;
    *in_memory_out = span_from(span_make(b->buf, b->len), (size_t)(offset - in_file));
    return true;
}

int body_read(const struct body *b, uint64_t offset, char *buf, size_t cap)
{
    uint64_t in_file = body_file_len(b);
    size_t got = 0;
    struct span rest;

    if (cap > INT_MAX)
        cap = INT_MAX;
    if (cap > 0 && offset < in_file) {
        uint64_t left = in_file - offset;
        int64_t n = disk_read(b->fd, buf, left < cap ? (size_t)left : cap, b->base + offset);

        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        got = (size_t)n;
    }
    if (offset + got < in_file)
        return (int)got;
    rest = span_from(span_make(b->buf, b->len), (size_t)(offset + got - in_file));
    rest = span_first(rest, cap - got);
    if (rest.len > 0)
        memcpy(buf + got, rest.ptr, rest.len);
    return (int)(got + rest.len);
}
