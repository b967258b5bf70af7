/* spool, reading one file - see spool.h */
#include "base/crash_point.h"
#include "base/crc32c.h"
#include "message/disk.h"
#include "queue/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOAD_OF(j) ((struct spool_load *)((char *)(j)-offsetof(struct spool_load, job)))
#define FIRST_READ 4096 /* most headers, and small messages whole */
#define SUM_CHUNK  65536

static int cannot_read(struct errbuf *err, int rc)
{
    return errbuf_set(err, rc, "cannot be read: %s", uv_strerror(rc));
}

static int parse_result(enum spool_parse result, struct errbuf *err)
{
    if (result == SPOOL_PARSE_OK)
        return 0;
    if (result == SPOOL_PARSE_NO_MEMORY)
        return cannot_read(err, -ENOMEM);
    return -EBADMSG;
}

/* Reads on from `offset` until the buffer has `want` bytes. */
static int fill(int fd, struct spool_buffer *b, size_t want, uint64_t offset, struct errbuf *err)
{
    int64_t got;

    if (want > b->cap) {
        char *more = realloc(b->ptr, want);

        if (!more)
            return cannot_read(err, -ENOMEM);
        b->ptr = more;
        b->cap = want;
    }
    got = disk_read(fd, b->ptr + b->len, want - b->len, offset);
    if (got < 0)
        return cannot_read(err, (int)got);
    if ((size_t)got < want - b->len) /* a record was taken back: no damage */
        return errbuf_set(err, -EAGAIN, "became shorter while it was read");
    b->len = want;
    return 0;
}

int spool_read_header(int fd, uint64_t size, struct spool_buffer *b, struct spool_file *f,
                      struct errbuf *err)
{
    size_t want = FIRST_READ;

    b->len = 0;
    for (;;) {
        enum spool_parse result;
        int rc = fill(fd, b, want < size ? want : (size_t)size, b->len, err);

        if (rc < 0)
            return rc;
        result = spool_parse_header(span_make(b->ptr, b->len), f, err);
        if (result != SPOOL_PARSE_MORE)
            return parse_result(result, err);
        if (b->len >= size)
            return errbuf_set(err, -EBADMSG, "cut short in the header, at %" PRIu64 " bytes", size);
        want *= 2;
    }
}

static int sum_body(int fd, const struct spool_file *f, uint32_t *crc, struct errbuf *err)
{
    size_t cap = f->body_len < SUM_CHUNK ? (size_t)f->body_len + 1 : SUM_CHUNK;
    char *chunk = malloc(cap);
    uint64_t done = 0;
    int64_t n = 1;

    if (!chunk)
        return cannot_read(err, -ENOMEM);
    while (done < f->body_len && n > 0) {
        uint64_t left = f->body_len - done;

        n = disk_read(fd, chunk, left < cap ? (size_t)left : cap, f->body_offset + done);
        if (n > 0) {
            *crc = crc32c(*crc, chunk, (size_t)n);
            done += (uint64_t)n;
        }
    }
    free(chunk);
    if (n < 0)
        return cannot_read(err, (int)n);
    return n > 0 ? 0 : errbuf_set(err, -EBADMSG, "became shorter while it was read");
}

/* Header in the buffer and parsed: checks the rest. The buffer is used up. */
static int read_rest(int fd, uint64_t size, bool verify, struct spool_buffer *b,
                     struct spool_file *f, struct errbuf *err)
{
    uint64_t tail_at = f->body_offset + f->body_len;
    struct span tail;
    uint32_t crc = 0;
    int rc;

    if (tail_at > size)
        return errbuf_set(err, -EBADMSG,
                          "cut short in the body, at %" PRIu64 " of %" PRIu64 " bytes",
                          size - f->body_offset, f->body_len);
    if (verify) {
        rc = sum_body(fd, f, &crc, err);
        if (rc < 0)
            return rc;
        crc = crc32c(crc, b->ptr, (size_t)f->body_offset);
    }
    if (b->len == size) {
        tail = span_from(span_make(b->ptr, b->len), (size_t)tail_at);
    } else {
        b->len = 0;
        rc = fill(fd, b, (size_t)(size - tail_at), tail_at, err);
        if (rc < 0)
            return rc;
        tail = span_make(b->ptr, b->len);
    }
    return parse_result(spool_parse_tail(tail, verify ? &crc : NULL, f, err), err);
}

int spool_read_file(int fd, bool verify, struct spool_buffer *b, struct spool_file *f,
                    struct errbuf *err)
{
    struct stat st;
    int rc;

    *f = (struct spool_file){0};
    if (fstat(fd, &st) != 0)
        return cannot_read(err, -errno);
    if (!S_ISREG(st.st_mode))
        return errbuf_set(err, -EINVAL, "is not a file");
    rc = spool_read_header(fd, (uint64_t)st.st_size, b, f, err);
    if (rc == 0)
        rc = read_rest(fd, (uint64_t)st.st_size, verify, b, f, err);
    if (rc < 0)
        spool_file_deinit(f);
    return rc;
}

void spool_quarantine(struct spool *s, const char *name, struct errbuf *err)
{
    char to[NAME_MAX + 1];
    char old[ERRBUF_CAP];
    int rc = -EROFS;

    if (s->lock_fd < 0 || s->corrupt_fd < 0)
        return;
    for (unsigned n = 0; n < 100; n++) {
        snprintf(to, sizeof to, n > 0 ? "%.200s.%u" : "%.200s", name, n);
        rc = disk_rename(s->queue_fd, name, s->corrupt_fd, to);
        if (rc != -EEXIST)
            break;
    }
    CRASH_POINT("quarantine-moved");
    memcpy(old, err->text, sizeof old);
    if (rc == 0)
        errbuf_set(err, 0, "%s; moved to corrupt/%s", old, to);
    else
        errbuf_set(err, 0, "%s; cannot be moved to corrupt/: %s", old, uv_strerror(rc));
}

/* ---- load ------------------------------------------------------------------ */

static int load_open(struct spool_load *l)
{
    struct spool_buffer buffer = {0};
    int rc = spool_read_file(l->fd, true, &buffer, &l->file, &l->err);

    free(buffer.ptr);
    if (rc == 0 && strcmp(l->file.envelope->id.text, l->id.text) != 0) {
        rc = errbuf_set(&l->err, -EBADMSG, "is %s by its header", l->file.envelope->id.text);
        spool_file_deinit(&l->file);
    }
    return rc;
}

int spool_load_now(struct spool *s, struct spool_load *l)
{
    int rc;

    l->spool = s;
    l->file = (struct spool_file){0};
    l->err.text[0] = '\0';
    /* O_NONBLOCK: should it be a FIFO, do not wait for a writer */
    l->fd = disk_open(s->queue_fd, l->id.text, O_RDONLY | O_NONBLOCK);
    if (l->fd < 0)
        return cannot_read(&l->err, l->fd);
    rc = load_open(l);
    if (rc == 0)
        return 0;
    disk_close(l->fd);
    l->fd = -1;
    if (rc == -EBADMSG)
        spool_quarantine(s, l->id.text, &l->err);
    return rc;
}

static void load_work(struct lane_job *job)
{
    struct spool_load *l = LOAD_OF(job);

    l->rc = spool_load_now(l->spool, l);
}

static void load_done(struct lane_job *job)
{
    struct spool_load *l = LOAD_OF(job);

    l->done(l, l->rc);
}

void spool_load(struct spool *s, struct spool_load *l)
{
    l->spool = s;
    l->job.work = load_work;
    l->job.done = load_done;
    lane_submit(s->disk, &l->job);
}
