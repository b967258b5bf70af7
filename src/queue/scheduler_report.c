/* scheduler_report - see scheduler_report.h */
#include "queue/scheduler_report.h"

#include "base/clock.h"
#include "base/crash_point.h"
#include "config/way.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK       16384 /* of an original that lies in its file */
#define PROTOCOL    "local"
#define NOTICE_MARK "notice"
#define BOUNCE_MARK "bounce"

/* ---- its text and the original's bytes into a body, piece by piece ---- */

static void go_on(struct queue_report *r);

static void on_committed(struct spool_commit *commit, int rc, const char *step);

static void end(struct queue_report *r, int rc)
{
    free(r->chunk);
    r->chunk = NULL;
    if (rc < 0) {
        r->done(r, rc, "the report cannot be made");
        return;
    }
    CRASH_POINT("bounce-made");
    r->commit =
        (struct spool_commit){.envelope = r->envelope, .body = r->body, .done = on_committed};
    spool_commit(r->s->spool, &r->commit);
}

static void on_room(void *ctx, int rc)
{
    struct queue_report *r = ctx;

    if (rc < 0)
        end(r, rc);
    else
        go_on(r);
}

/* False: on_room comes. */
static bool write_some(struct queue_report *r)
{
    size_t cap;
    char *room;

    if (!body_make_room(r->body, 1, on_room, r))
        return false;
    room = body_room(r->body, &cap);
    cap = cap < r->todo.len ? cap : r->todo.len;
    memcpy(room, r->todo.ptr, cap);
    body_wrote(r->body, cap);
    r->todo = span_from(r->todo, cap);
    return true;
}

static void take(struct queue_report *r, struct span bytes)
{
    size_t taken = bounce_take(&r->text, bytes);

    r->todo = span_first(bytes, taken);
    r->offset += taken;
    r->copying = taken == bytes.len && bytes.len > 0;
}

static void read_work(struct lane_job *job)
{
    struct queue_report *r =
        (struct queue_report *)((char *)job - offsetof(struct queue_report, read_job));

    r->chunk_len = body_read(r->original, r->offset, r->chunk, CHUNK);
}

static void read_done(struct lane_job *job)
{
    struct queue_report *r =
        (struct queue_report *)((char *)job - offsetof(struct queue_report, read_job));

    if (r->chunk_len < 0) {
        end(r, r->chunk_len);
        return;
    }
    take(r, span_make(r->chunk, (size_t)r->chunk_len));
    go_on(r);
}

/* False: read_done comes, or it has ended. */
static bool read_some(struct queue_report *r)
{
    struct span in_memory;

    if (body_view(r->original, r->offset, &in_memory)) {
        take(r, in_memory);
        return true;
    }
    if (!r->chunk)
        r->chunk = malloc(CHUNK);
    if (!r->chunk) {
        end(r, -ENOMEM);
        return false;
    }
    r->read_job.work = read_work;
    r->read_job.done = read_done;
    lane_submit(r->s->spool->disk, &r->read_job);
    return false;
}

/* False: it has ended. */
static bool next_piece(struct queue_report *r)
{
    struct text t;

    text_init(&t, r->piece, sizeof r->piece);
    switch (bounce_next(&r->text, &t)) {
    case BOUNCE_STEP_TEXT:
        r->todo = text_as_span(&t);
        return true;
    case BOUNCE_STEP_ORIGINAL:
        r->copying = true;
        return true;
    case BOUNCE_STEP_END:
        break;
    }
    end(r, 0);
    return false;
}

static void go_on(struct queue_report *r)
{
    bool more = true;

    while (more) {
        if (r->todo.len > 0)
            more = write_some(r);
        else if (r->copying)
            more = read_some(r);
        else
            more = next_piece(r);
    }
}

/* ---- its envelope ---- */

static int body_prefix(void *ctx, char **bytes_out, size_t *len_out)
{
    *bytes_out = spool_format_header_new(ctx, 0, len_out);
    return *bytes_out ? 0 : -ENOMEM;
}

static bool has_8bit(const char *s)
{
    for (; *s; s++) {
        if (ascii_is_8bit(*s))
            return true;
    }
    return false;
}

bool queue_report_is_notice(const struct envelope *e)
{
    return strcmp(e->protocol, PROTOCOL) == 0 && strcmp(e->helo, NOTICE_MARK) == 0;
}

static bool make_envelope(struct queue_report *r, const struct envelope *about, const char *to)
{
    bool notice = r->text.kind == BOUNCE_NOTICE;
    struct envelope *e = r->envelope = envelope_new();

    if (!e)
        return false;
    e->arrival_us = clock_wall_us();
    e->id = r->id;
    span_copy(SPAN_LIT("localhost"), e->client_name, sizeof e->client_name);
    span_copy(SPAN_LIT("127.0.0.1"), e->client_address, sizeof e->client_address);
    span_copy(SPAN_LIT(PROTOCOL), e->protocol, sizeof e->protocol);
    span_copy(span_of(notice ? NOTICE_MARK : BOUNCE_MARK), e->helo, sizeof e->helo);
    e->smtputf8 = has_8bit(to);
    e->eight_bit = about->eight_bit || about->smtputf8;
    return envelope_set_sender(e, span_of(NULL)) &&
           envelope_add_recipient(e, span_of(to), 0, span_of(NULL));
}

static bool make_body(struct queue_report *r)
{
    r->body = body_new(r->s->place);
    if (!r->body)
        return false;
    r->body->id = r->envelope->id;
    r->body->prefix = body_prefix;
    r->body->prefix_ctx = r->envelope;
    return true;
}

static void say_why(struct queue_report *r, const char *sender)
{
    struct text t;

    text_init(&t, r->untold, sizeof r->untold);
    if (sender[0])
        text_printf(&t, "there is no way to <%s>", sender);
    else
        text_cstr(&t, "it has none, being a report itself");
}

static void log_taken(const struct queue_report *r)
{
    static const char *const names[] = {
        [BOUNCE_FAILURE] = "sender non-delivery",
        [BOUNCE_DELAY] = "sender delay",
        [BOUNCE_SUCCESS] = "sender delivery status",
        [BOUNCE_NOTICE] = "postmaster non-delivery",
    };
    char message_id[ENVELOPE_NAME_CAP + QUEUE_ID_LEN + 4];
    struct text t;

    text_init(&t, message_id, sizeof message_id);
    text_printf(&t, "<%s@%.255s>", r->id.text, r->text.myhostname);
    log_message_id(r->s->log, r->id.text, message_id);
    log_bounce(r->s->log, r->text.about->id.text, names[r->text.kind], r->id.text);
}

static void on_committed(struct spool_commit *commit, int rc, const char *step)
{
    struct queue_report *r =
        (struct queue_report *)((char *)commit - offsetof(struct queue_report, commit));

    if (rc == 0)
        log_taken(r);
    r->done(r, rc, step);
}

/* ---- the surface ---- */

struct queue_report *queue_report_new(struct scheduler *s, enum bounce_kind kind, void *owner)
{
    struct queue_report *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->s = s;
    r->owner = owner;
    r->text.kind = kind;
    r->config = config_ref(s->config);
    queue_id_next(&s->ids, clock_wall_us(), &r->id);
    return r;
}

void queue_report_free(struct queue_report **r)
{
    struct queue_report *gone = *r;

    *r = NULL;
    if (!gone)
        return;
    body_free(&gone->body);
    envelope_free(&gone->envelope);
    config_unref(&gone->config);
    free(gone->chunk);
    free(gone);
}

void queue_report_make(struct queue_report *r, const struct envelope *about,
                       const struct body *original, const char *to,
                       void (*done)(struct queue_report *r, int rc, const char *step))
{
    struct scheduler *s = r->s;

    r->done = done;
    r->original = original;
    if (!due_heap_reserve(&s->waiting, s->part_count + 1) || !make_envelope(r, about, to) ||
        !make_body(r)) {
        end(r, -ENOMEM);
        return;
    }
    say_why(r, about->sender);
    r->text.about = about;
    r->text.report = r->envelope;
    r->text.myhostname = r->config->myhostname;
    r->text.mail_name = r->config->mail_name;
    r->text.original_len = original->total;
    r->text.size_limit = r->config->bounce_size_limit;
    r->text.untold = r->untold;
    r->text.unnoticed = r->text.kind == BOUNCE_NOTICE ? s->unnoticed : 0;
    if (uv_random(NULL, NULL, &r->text.unique, sizeof r->text.unique, 0, NULL) != 0) {
        end(r, -EIO);
        return;
    }
    bounce_begin(&r->text);
    go_on(r);
}

void queue_report_release(struct queue_report *r)
{
    scheduler_add_fresh(r->s, &r->envelope, &r->body);
}

bool queue_report_has_way(const struct scheduler *s, const char *to)
{
    return to[0] != '\0' &&
           way_find(s->relay->context.config, SPAN_LIT(""), span_of(to)).kind != WAY_NONE;
}

enum spool_report queue_report_record(enum bounce_kind kind)
{
    static const enum spool_report records[] = {
        [BOUNCE_FAILURE] = SPOOL_BOUNCE,
        [BOUNCE_DELAY] = SPOOL_DELAY,
        [BOUNCE_SUCCESS] = SPOOL_SUCCESS,
        [BOUNCE_NOTICE] = SPOOL_NOTICE,
    };

    return records[kind];
}
