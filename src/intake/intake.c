/* intake - see intake.h; what happens to one message is in custody.c */
#include "intake/custody.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* queue_minfree 0: 1.5 times message_size_limit, as Postfix asks for. */
#define MINFREE_NUMERATOR   3
#define MINFREE_DENOMINATOR 2

void verdict_set(struct smtp_verdict *v, unsigned code, const char *format, ...)
{
    struct text t;
    va_list args;

    v->code = code;
    text_init(&t, v->line, sizeof v->line);
    text_printf(&t, "%u ", code);
    va_start(args, format);
    text_vprintf(&t, format, args);
    va_end(args);
}

static void on_timer(uv_timer_t *timer)
{
    struct intake *in = timer->data;
    uint64_t now = clock_mono_ms();
    struct custody *c, *next;

    DL_FOREACH_SAFE(in->first, c, next) {
        if (c->state == CUSTODY_DELIVERING && now >= c->deadline_ms)
            custody_give_up(c, "the destination did not answer within direct_timeout");
    }
    intake_arm_timer(in);
}

void intake_arm_timer(struct intake *in)
{
    uint64_t now = clock_mono_ms();
    uint64_t first = UINT64_MAX;
    struct custody *c;

    if (!in->first) {
        uv_timer_stop(&in->timer);
        return;
    }
    DL_FOREACH(in->first, c) {
        if (c->state == CUSTODY_DELIVERING && c->deadline_ms < first)
            first = c->deadline_ms;
    }
    if (first == UINT64_MAX)
        uv_timer_stop(&in->timer);
    else
        uv_timer_start(&in->timer, on_timer, first > now ? first - now : 1, 0);
}

/* ---- the surface ---- */

/* Recipients whose destination is down. */
static size_t count_down(const struct intake *in, const struct envelope *e)
{
    size_t down = 0;

    for (size_t i = 0; i < e->recipient_count; i++)
        down += destination_is_down(
            relay_destination(in->relay, span_of(e->sender), span_of(e->recipients[i].address)));
    return down;
}

void intake_submit(struct intake *in, struct envelope *e, struct body *body,
                   void (*done)(void *ctx, const struct smtp_verdict *verdict), void *ctx)
{
    struct custody *c = calloc(1, sizeof *c);
    size_t down;
    struct smtp_verdict verdict;

    if (!c) {
        verdict_set(&verdict, 451, "4.3.0 Error: out of memory");
        body_free(&body);
        envelope_free(&e);
        done(ctx, &verdict);
        return;
    }
    *c = (struct custody){.in = in, .envelope = e, .body = body, .done = done, .ctx = ctx};
    c->submitted_ms = clock_mono_ms();
    c->receive_s = (double)(clock_wall_us() - e->arrival_us) / 1e6;
    if (c->receive_s < 0)
        c->receive_s = 0;
    DL_APPEND(in->first, c);
    in->in_flight++;
    down = count_down(in, e);
    if (down == 0 && (in->config->delivery_mode == DELIVERY_MODE_QUEUE || in->stopping)) {
        custody_commit(c);
        return;
    }
    if (down == e->recipient_count || in->config->delivery_mode == DELIVERY_MODE_QUEUE ||
        in->stopping)
        custody_suspend(c);
    else
        custody_deliver(c);
}

void intake_forget(struct intake *in, const void *ctx)
{
    struct custody *c;

    DL_FOREACH(in->first, c) {
        if (c->ctx == ctx)
            c->done = NULL;
    }
}

void intake_queue_id(struct intake *in, struct queue_id *id_out, int64_t *arrival_us_out)
{
    *arrival_us_out = clock_wall_us();
    queue_id_next(&in->scheduler->ids, *arrival_us_out, id_out);
}

uint64_t intake_floor_bytes(const struct intake *in)
{
    const struct config *config = in->config;

    if (config->queue_minfree > 0)
        return config->queue_minfree;
    if (config->message_size_limit == CONFIG_SIZE_UNLIMITED)
        return CONFIG_SIZE_USUAL / MINFREE_DENOMINATOR * MINFREE_NUMERATOR;
    return config->message_size_limit / MINFREE_DENOMINATOR * MINFREE_NUMERATOR;
}

bool intake_may_come(struct intake *in, uint64_t size, struct smtp_verdict *verdict_out)
{
    int64_t free_bytes = spool_free_bytes(in->spool);
    uint64_t floor_bytes = intake_floor_bytes(in);

    if (in->stopping || in->draining) {
        verdict_set(verdict_out, 421, "4.3.2 %s Service shutting down", in->config->myhostname);
        return false;
    }
    if (free_bytes >= 0 &&
        ((uint64_t)free_bytes < floor_bytes || (uint64_t)free_bytes - floor_bytes < size)) {
        verdict_set(verdict_out, 452, "4.3.1 Insufficient system storage");
        return false;
    }
    if (!scheduler_has_room(in->scheduler)) {
        verdict_set(verdict_out, 452, "4.3.1 Insufficient system resources: the queue is full");
        return false;
    }
    return true;
}

/* The header of the spool file that a large body is written to while it arrives. */
static int make_prefix(void *ctx, char **bytes_out, size_t *len_out)
{
    const struct envelope *e = ctx;
    size_t cap = spool_format_header_size(e);
    struct text t;

    *bytes_out = malloc(cap);
    if (!*bytes_out)
        return -ENOMEM;
    text_init(&t, *bytes_out, cap);
    spool_format_header(&t, e, 0);
    *len_out = t.len;
    return 0;
}

struct body *intake_body_new(struct intake *in, const struct envelope *e)
{
    struct body *body = body_new(in->place);

    if (!body)
        return NULL;
    body->id = e->id;
    body->prefix = make_prefix;
    body->prefix_ctx = (void *)(uintptr_t)e; /* only read */
    return body;
}

void intake_init(struct intake *in, struct scheduler *scheduler)
{
    *in = (struct intake){.loop = scheduler->loop,
                          .config = scheduler->config,
                          .log = scheduler->log,
                          .scheduler = scheduler,
                          .relay = scheduler->relay,
                          .spool = scheduler->spool,
                          .place = scheduler->place,
                          .envelopes = {.limit = ENVELOPE_MEMORY_MAX}};
    uv_timer_init(in->loop, &in->timer);
    in->timer.data = in;
}

void intake_set_config(struct intake *in, struct config *config)
{
    in->config = config;
    in->place->budget.limit = config->body_memory_limit;
}

void intake_stop(struct intake *in)
{
    struct custody *c, *next;

    in->stopping = true;
    DL_FOREACH_SAFE(in->first, c, next) {
        if (c->state == CUSTODY_DELIVERING)
            custody_give_up(c, "mxgate is stopping");
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct intake *in = handle->data;

    in->on_closed(in->on_closed_ctx);
}

void intake_close(struct intake *in, void (*on_closed)(void *ctx), void *ctx)
{
    in->on_closed = on_closed;
    in->on_closed_ctx = ctx;
    uv_close((uv_handle_t *)&in->timer, on_timer_closed);
}
