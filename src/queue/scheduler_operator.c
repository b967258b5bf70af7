/*
 * scheduler_operator - see scheduler_operator.h; what an order does to an entry is in
 * scheduler_effect.c
 *
 *     scheduler_order -> pump -> operation_new -> operation_start -> spool_append, spool_remove
 *         -> on_recorded -> operation_end -> (the next of the same message) -> pump ... batch_end
 */
#include "queue/scheduler_operator.h"

#include "base/clock.h"
#include "base/crash_point.h"
#include "queue/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* At a time: half of the disk's threads are for mail that comes in. */
#define APPENDS_MAX 8
/* They share a job and a sync; those of mail that was delivered wait behind them. */
#define REMOVALS_MAX 64

struct queue_batch {
    struct scheduler *s;
    struct queue_asker *asker; /* borrowed; NULL: gone */
    struct queue_order_request request;
    struct queue_id *ids; /* owned */
    uint8_t *done;        /* owned */
    size_t started;
    unsigned in_flight;
    bool pumping;
    struct queue_order_result result;
};

/* One order to one message. */
struct queue_operation {
    struct queue_operation *prev, *next; /* in s->operations */
    struct queue_batch *batch;
    size_t index;
    struct queue_id id;
    bool waiting; /* for another one of the same message */
    bool was_on_hold;
    unsigned bits;
    struct records records;
    struct spool_append append;
    struct spool_remove remove;
};

static void pump(struct queue_batch *b);
static void operation_start(struct queue_operation *op);

/* ---- one operation ---- */

static void note_failure(struct queue_operation *op, int rc)
{
    struct queue_order_result *result = &op->batch->result;

    log_error(op->batch->s->log, "postsuper", "%s: the order cannot be recorded: %s", op->id.text,
              strerror(-rc));
    if (result->failed++ > 0)
        return;
    result->first_id = op->id;
    result->first_rc = rc;
}

static void note_done(struct queue_operation *op, unsigned bits)
{
    struct queue_batch *b = op->batch;

    b->done[op->index] = (uint8_t)bits;
    for (int i = 0; i < QUEUE_ORDER_COUNT; i++) {
        if (!(bits & QUEUE_ORDER_BIT(i)))
            continue;
        b->result.totals[i]++;
        log_order(b->s->log, op->id.text, queue_order_done((enum queue_order)i));
    }
}

static struct queue_operation *operation_of(struct scheduler *s, const struct queue_id *id)
{
    struct queue_operation *op;

    DL_FOREACH(s->operations, op) {
        if (strcmp(op->id.text, id->text) == 0)
            return op;
    }
    return NULL;
}

static void operation_end(struct queue_operation *op)
{
    struct queue_batch *b = op->batch;
    struct scheduler *s = b->s;
    struct queue_id id = op->id;
    struct queue_operation *next;

    DL_DELETE(s->operations, op);
    records_deinit(&op->records);
    free(op);
    b->in_flight--;
    pump(b);                     /* the last time frees it */
    next = operation_of(s, &id); /* those that wait are in the order in which they came */
    if (next && next->waiting)
        operation_start(next);
}

static void on_appended(struct spool_append *a, int rc)
{
    struct queue_operation *op =
        (struct queue_operation *)((char *)a - offsetof(struct queue_operation, append));
    struct scheduler *s = op->batch->s;
    struct queue_entry *e = queue_entry_find(s, &op->id);

    CRASH_POINT("order-recorded");
    if (rc == 0 && e && queue_effect_apply(s, e, op->bits))
        note_done(op, op->bits);
    else if (rc < 0 && rc != -ENOENT) /* no file: it was delivered meanwhile */
        note_failure(op, rc);
    if (rc == -ENOENT && e &&
        e->state == QUEUE_HOLD) { /* or removed, which nobody could make sure */
        log_warning(s->log, "qmgr", "%s: its file is gone", op->id.text);
        queue_entry_free(s, e);
    }
    operation_end(op);
}

static void on_removed(struct spool_remove *r, int rc)
{
    struct queue_operation *op =
        (struct queue_operation *)((char *)r - offsetof(struct queue_operation, remove));
    struct scheduler *s = op->batch->s;
    struct queue_entry *e = queue_entry_find(s, &op->id);

    CRASH_POINT("order-removed");
    if (rc == 0)
        note_done(op, op->bits);
    else if (rc != -ENOENT)
        note_failure(op, rc);
    if (e)
        queue_effect_removed(s, e, rc == 0 || rc == -ENOENT, op->was_on_hold);
    operation_end(op);
}

static void start_removal(struct queue_operation *op, struct queue_entry *e)
{
    struct scheduler *s = op->batch->s;

    op->was_on_hold = e->state == QUEUE_HOLD;
    op->remove = (struct spool_remove){.id = op->id, .sync = true, .done = on_removed};
    spool_remove(s->spool, &op->remove);
    queue_effect_remove(s, e); /* the last: e may be gone after it */
}

static void start_append(struct queue_operation *op)
{
    if (!records_add_orders(&op->records, clock_wall_us() / 1000000, op->bits)) {
        note_failure(op, -ENOMEM);
        operation_end(op);
        return;
    }
    op->append = (struct spool_append){.id = op->id,
                                       .records = op->records.bytes,
                                       .records_len = op->records.len,
                                       .sync = true,
                                       .done = on_appended};
    spool_append(op->batch->s->spool, &op->append);
}

/* Its turn has come: what is to be done may have changed since it was asked for. */
static void operation_start(struct queue_operation *op)
{
    struct queue_batch *b = op->batch;
    struct queue_entry *e = queue_entry_find(b->s, &op->id);

    op->waiting = false;
    op->bits = e ? queue_effect_wanted(&b->request, e) : 0;
    if (op->bits == 0)
        operation_end(op);
    else if (op->bits == QUEUE_ORDER_BIT(QUEUE_ORDER_DELETE))
        start_removal(op, e);
    else
        start_append(op);
}

/* ---- a batch of them ---- */

static void batch_free(struct queue_batch *b)
{
    b->s->batches--;
    free(b->ids);
    free(b->done);
    free(b);
}

static void batch_end(struct queue_batch *b)
{
    struct queue_asker *asker = b->asker;

    b->result.stopped = b->started < b->result.count;
    if (asker) {
        asker->batch = NULL;
        asker->done(asker->ctx, &b->result);
    }
    batch_free(b);
}

static void start_next(struct queue_batch *b)
{
    size_t index = b->started++;
    struct queue_entry *e = queue_entry_find(b->s, &b->ids[index]);
    struct queue_operation *op;

    if (!e || queue_effect_wanted(&b->request, e) == 0)
        return;
    op = calloc(1, sizeof *op);
    if (!op) {
        struct queue_operation failed = {.batch = b, .id = b->ids[index]};

        note_failure(&failed, -ENOMEM);
        return;
    }
    op->batch = b;
    op->index = index;
    op->id = b->ids[index];
    op->waiting = operation_of(b->s, &op->id) != NULL;
    DL_APPEND(b->s->operations, op);
    b->in_flight++;
    if (!op->waiting)
        operation_start(op);
}

/* An operation that ends on the spot calls it from within. */
static void pump(struct queue_batch *b)
{
    unsigned most = b->request.order == QUEUE_ORDER_DELETE ? REMOVALS_MAX : APPENDS_MAX;

    if (b->pumping)
        return;
    b->pumping = true;
    while (b->in_flight < most && b->started < b->result.count && !b->s->stopping)
        start_next(b);
    b->pumping = false;
    if (b->in_flight == 0)
        batch_end(b);
}

/* ---- orders ---- */

static bool take_ids(struct queue_batch *b, size_t count)
{
    /* one more: calloc(0) may say NULL */
    b->ids = calloc(count + 1, sizeof *b->ids);
    b->done = calloc(count + 1, sizeof *b->done);
    b->result.ids = b->ids;
    b->result.done = b->done;
    return b->ids && b->done;
}

static bool name_ids(struct queue_batch *b)
{
    struct queue_order_request r = b->request;
    size_t count = 0;

    if (!take_ids(b, QUEUE_ORDER_IDS_MAX))
        return false;
    while (count < QUEUE_ORDER_IDS_MAX && queue_order_next(&r, &b->ids[count]))
        count++;
    b->result.count = count;
    return true;
}

static bool name_all(struct queue_batch *b)
{
    struct queue_entry *e, *next;
    size_t count = 0;

    if (!take_ids(b, HASH_COUNT(b->s->entries)))
        return false;
    HASH_ITER(hh, b->s->entries, e, next)
        b->ids[count++] = e->id;
    b->result.count = count;
    return true;
}

bool scheduler_order(struct scheduler *s, const struct queue_order_request *r,
                     struct queue_asker *asker)
{
    struct queue_batch *b = calloc(1, sizeof *b);

    if (!b)
        return false;
    b->s = s;
    b->request = *r;
    b->result.order = r->order;
    b->result.all = r->all;
    s->batches++;
    if (!(r->all ? name_all(b) : name_ids(b))) {
        batch_free(b);
        return false;
    }
    b->request.ids = span_make(NULL, 0); /* the caller's bytes; used up */
    b->asker = asker;
    asker->batch = b;
    pump(b);
    return true;
}

void scheduler_order_forget(struct queue_asker *asker)
{
    if (asker->batch)
        asker->batch->asker = NULL;
    asker->batch = NULL;
}
