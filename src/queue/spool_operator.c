/* spool_operator - see spool_operator.h */
#include "queue/spool_operator.h"

#include "base/clock.h"
#include "message/disk.h"
#include "queue/records.h"
#include "queue/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* What the rules need to know of a file. */
static struct queue_order_state state_of(const struct spool_file *f)
{
    return (struct queue_order_state){
        .queue = f->on_hold ? QUEUE_NAME_HOLD : QUEUE_NAME_DEFERRED,
        .forced_expire = f->forced_expire,
        .hold_expired = f->on_hold && strcmp(f->hold_why, SPOOL_WHY_EXPIRED) == 0,
    };
}

/* Every recipient was sent: only its file is left over from a crash. */
static bool is_delivered(const struct spool_file *f)
{
    return envelope_pending(f->envelope) == 0 && envelope_count(f->envelope, RECIPIENT_FAILED) == 0;
}

static int append(struct spool *s, const struct queue_id *id, unsigned bits)
{
    struct records records = {NULL, 0, 0, false};
    struct spool_append a = {.id = *id, .sync = true};
    int rc = -ENOMEM;

    if (records_add_orders(&records, clock_wall_us() / 1000000, bits)) {
        a.records = records.bytes;
        a.records_len = records.len;
        rc = spool_append_now(s, &a);
    }
    records_deinit(&records);
    return rc;
}

static int carry_out(struct spool *s, const struct queue_order_request *r,
                     const struct spool_file *f, unsigned *done_out)
{
    struct queue_order_state state = state_of(f);
    const struct queue_id *id = &f->envelope->id;
    unsigned bits = queue_order_effect(r, &state);
    int rc;

    *done_out = 0;
    if (bits == 0 || (is_delivered(f) && r->order != QUEUE_ORDER_DELETE))
        return 0;
    rc = r->order == QUEUE_ORDER_DELETE ? spool_remove_now(s, id) : append(s, id, bits);
    if (rc == 0)
        *done_out = bits;
    return rc;
}

int spool_order(struct spool *s, const struct queue_order_request *r, const struct queue_id *id,
                unsigned *done_out, struct errbuf *err)
{
    struct spool_buffer buffer = {0};
    struct spool_file f = {0};
    int fd = disk_open(s->queue_fd, id->text, O_RDONLY | O_NONBLOCK);
    int rc;

    *done_out = 0;
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return errbuf_set(err, fd, "cannot be opened: %s", uv_strerror(fd));
    rc = spool_read_file(fd, false, &buffer, &f, err);
    disk_close(fd);
    free(buffer.ptr);
    if (rc < 0)
        return rc;
    rc = carry_out(s, r, &f, done_out);
    spool_file_deinit(&f);
    return rc < 0 ? errbuf_set(err, rc, "cannot be changed: %s", uv_strerror(rc)) : 0;
}

struct ordering {
    struct spool *spool;
    const struct queue_order_request *request;
    uint64_t *counts;
    void (*failed)(void *ctx, const char *name, const char *why);
    void *ctx;
};

static void order_one(void *ctx, struct spool_file *f)
{
    struct ordering *o = ctx;
    unsigned done;
    int rc = carry_out(o->spool, o->request, f, &done);

    if (rc < 0)
        o->failed(o->ctx, f->envelope->id.text, uv_strerror(rc));
    for (int i = 0; i < QUEUE_ORDER_COUNT; i++)
        o->counts[i] += (done & QUEUE_ORDER_BIT(i)) != 0;
}

static void on_bad(void *ctx, const char *name, const char *why)
{
    struct ordering *o = ctx;

    o->failed(o->ctx, name, why);
}

int spool_order_all(struct spool *s, const struct queue_order_request *r,
                    uint64_t counts[QUEUE_ORDER_COUNT],
                    void (*failed)(void *ctx, const char *name, const char *why), void *ctx)
{
    struct ordering o = {s, r, counts, failed, ctx};

    memset(counts, 0, QUEUE_ORDER_COUNT * sizeof counts[0]);
    return spool_scan(s, order_one, on_bad, &o);
}
