/* spool, reading all of it at start - see spool.h */
#include "message/disk.h"
#include "queue/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    struct spool *spool;
    struct queue_id *ids; /* owned */
    size_t count;
    size_t cap;
    struct spool_buffer buffer;
    void (*each)(void *ctx, struct spool_file *f);
    void (*bad)(void *ctx, const char *name, const char *why);
    void *ctx;
};

static int collect(void *ctx, const char *name)
{
    struct scan *scan = ctx;
    struct queue_id id;

    if (!queue_id_parse(span_of(name), &id)) {
        scan->bad(scan->ctx, name, "is not named as a message; left where it is");
        return 0;
    }
    if (scan->count == scan->cap) {
        size_t cap = scan->cap > 0 ? scan->cap * 2 : 256;
        struct queue_id *more = realloc(scan->ids, cap * sizeof *more);

        if (!more)
            return -ENOMEM;
        scan->ids = more;
        scan->cap = cap;
    }
    scan->ids[scan->count++] = id;
    spool_note_id(scan->spool, name);
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const struct queue_id *x = a;
    const struct queue_id *y = b;

    return strcmp(x->text, y->text);
}

static int read_one(struct scan *scan, const struct queue_id *id, struct spool_file *f,
                    struct errbuf *err)
{
    int fd = disk_open(scan->spool->queue_fd, id->text, O_RDONLY | O_NONBLOCK);
    int rc;

    if (fd < 0)
        return errbuf_set(err, fd, "cannot be opened: %s", uv_strerror(fd));
    rc = spool_read_file(fd, false, &scan->buffer, f, err);
    disk_close(fd);
    if (rc == 0 && strcmp(f->envelope->id.text, id->text) != 0) {
        rc = errbuf_set(err, -EBADMSG, "is %s by its header", f->envelope->id.text);
        spool_file_deinit(f);
    }
    return rc;
}

/* Only what would hit every file alike ends the scan. */
static int scan_one(struct scan *scan, const struct queue_id *id)
{
    struct spool_file f = {0};
    struct errbuf err = {""};
    int rc = read_one(scan, id, &f, &err);

    switch (rc) {
    case 0:
        scan->each(scan->ctx, &f);
        spool_file_deinit(&f);
        return 0;
    case -ENOENT: /* removed meanwhile: a command reads while a daemon serves */
        return 0;
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
        return rc;
    case -EBADMSG:
        spool_quarantine(scan->spool, id->text, &err);
        break;
    default:
        break;
    }
    scan->bad(scan->ctx, id->text, err.text);
    return 0;
}

int spool_scan(struct spool *s, void (*each)(void *ctx, struct spool_file *f),
               void (*bad)(void *ctx, const char *name, const char *why), void *ctx)
{
    struct scan scan = {.spool = s, .each = each, .bad = bad, .ctx = ctx};
    int rc = spool_each_name(s->queue_fd, collect, &scan);

    if (scan.count > 0)
        qsort(scan.ids, scan.count, sizeof scan.ids[0], by_id);
    for (size_t i = 0; rc == 0 && i < scan.count; i++)
        rc = scan_one(&scan, &scan.ids[i]);
    free(scan.ids);
    free(scan.buffer.ptr);
    return rc;
}
