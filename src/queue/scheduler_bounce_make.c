/* scheduler_bounce_make - a report's text and the original's bytes into a body, piece by piece */
#include "queue/scheduler_bounce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 16384 /* of an original that lies in its file */

static void go_on(struct queue_bounce *b);

static void end(struct queue_bounce *b, int rc)
{
    free(b->chunk);
    b->chunk = NULL;
    b->made(b, rc);
}

static void on_room(void *ctx, int rc)
{
    struct queue_bounce *b = ctx;

    if (rc < 0)
        end(b, rc);
    else
        go_on(b);
}

/* False: on_room comes. */
static bool write_some(struct queue_bounce *b)
{
    size_t cap;
    char *room;

    if (!body_make_room(b->body, 1, on_room, b))
        return false;
    room = body_room(b->body, &cap);
    cap = cap < b->todo.len ? cap : b->todo.len;
    memcpy(room, b->todo.ptr, cap);
    body_wrote(b->body, cap);
    b->todo = span_from(b->todo, cap);
    return true;
}

static void take(struct queue_bounce *b, struct span bytes)
{
    size_t taken = bounce_take(&b->report, bytes);

    b->todo = span_first(bytes, taken);
    b->offset += taken;
    b->copying = taken == bytes.len && bytes.len > 0;
}

static void read_work(struct lane_job *job)
{
    struct queue_bounce *b =
        (struct queue_bounce *)((char *)job - offsetof(struct queue_bounce, read_job));

    b->chunk_len = body_read(b->run->body, b->offset, b->chunk, CHUNK);
}

static void read_done(struct lane_job *job)
{
    struct queue_bounce *b =
        (struct queue_bounce *)((char *)job - offsetof(struct queue_bounce, read_job));

    if (b->chunk_len < 0) {
        end(b, b->chunk_len);
        return;
    }
    take(b, span_make(b->chunk, (size_t)b->chunk_len));
    go_on(b);
}

/* False: read_done comes, or it has ended. */
static bool read_some(struct queue_bounce *b)
{
    struct span in_memory;

    if (body_view(b->run->body, b->offset, &in_memory)) {
        take(b, in_memory);
        return true;
    }
    if (!b->chunk)
        b->chunk = malloc(CHUNK);
    if (!b->chunk) {
        end(b, -ENOMEM);
        return false;
    }
    b->read_job.work = read_work;
    b->read_job.done = read_done;
    lane_submit(b->run->s->spool->disk, &b->read_job);
    return false;
}

/* False: it has ended. */
static bool next_piece(struct queue_bounce *b)
{
    struct text t;

    text_init(&t, b->text, sizeof b->text);
    switch (bounce_next(&b->report, &t)) {
    case BOUNCE_STEP_TEXT:
        b->todo = text_as_span(&t);
        return true;
    case BOUNCE_STEP_ORIGINAL:
        b->copying = true;
        return true;
    case BOUNCE_STEP_END:
        break;
    }
    end(b, 0);
    return false;
}

static void go_on(struct queue_bounce *b)
{
    bool more = true;

    while (more) {
        if (b->todo.len > 0)
            more = write_some(b);
        else if (b->copying)
            more = read_some(b);
        else
            more = next_piece(b);
    }
}

void queue_bounce_make(struct queue_bounce *b, void (*made)(struct queue_bounce *b, int rc))
{
    b->made = made;
    bounce_begin(&b->report);
    go_on(b);
}
