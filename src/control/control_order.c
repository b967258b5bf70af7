/* control_order - see control_order.h */
#include "control/control_order.h"

#include <inttypes.h>
#include <string.h>

#define LINE_CAP 200

static void report_all(const struct queue_order_result *r,
                       void (*write)(void *ctx, const char *line), void *ctx)
{
    for (int i = 0; i < QUEUE_ORDER_COUNT; i++) {
        char line[LINE_CAP];
        struct text t;

        if (r->totals[i] == 0)
            continue;
        text_init(&t, line, sizeof line);
        text_printf(&t, "%" PRIu64 " %s", r->totals[i], queue_order_done((enum queue_order)i));
        write(ctx, line);
    }
}

static void report_each(const struct queue_order_result *r,
                        void (*write)(void *ctx, const char *line), void *ctx)
{
    for (size_t at = 0; at < r->count; at++) {
        for (int i = 0; i < QUEUE_ORDER_COUNT; i++) {
            char line[LINE_CAP];
            struct text t;

            if (!(r->done[at] & QUEUE_ORDER_BIT(i)))
                continue;
            text_init(&t, line, sizeof line);
            text_printf(&t, "%s %s", r->ids[at].text, queue_order_done((enum queue_order)i));
            write(ctx, line);
        }
    }
}

void control_order_report(const struct queue_order_result *r,
                          void (*write)(void *ctx, const char *line), void *ctx)
{
    char line[LINE_CAP];
    struct text t;

    if (r->all)
        report_all(r, write, ctx);
    else
        report_each(r, write, ctx);
    if (r->failed == 0)
        return;
    text_init(&t, line, sizeof line);
    text_printf(&t, "%s failed: %s", r->first_id.text, strerror(-r->first_rc));
    if (r->failed > 1)
        text_printf(&t, ", and %zu more", r->failed - 1);
    write(ctx, line);
}

static unsigned bits_of(enum queue_order order)
{
    if (order == QUEUE_ORDER_EXPIRE_RELEASE)
        return QUEUE_ORDER_BIT(QUEUE_ORDER_EXPIRE) | QUEUE_ORDER_BIT(QUEUE_ORDER_RELEASE);
    return QUEUE_ORDER_BIT(order);
}

void control_order_count(struct control_order *o, const struct queue_order_result *result)
{
    o->ordered |= bits_of(result->order);
    for (int i = 0; i < QUEUE_ORDER_COUNT; i++)
        o->totals[i] += result->totals[i];
}

void control_order_log(const struct control_order *o, const struct log *log)
{
    for (int i = 0; i < QUEUE_ORDER_COUNT; i++) {
        if (o->ordered & QUEUE_ORDER_BIT(i))
            log_order_total(log, queue_order_total((enum queue_order)i), o->totals[i]);
    }
}
