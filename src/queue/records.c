/* records - see records.h */
#include "queue/records.h"

#include "message/bounce.h"

#include <stdlib.h>
#include <string.h>

#define RECORDS_FIRST 256 /* two usual ones; most are never written: all was sent */

static bool append(struct records *r, struct span line)
{
    if (r->len + line.len > r->cap) {
        size_t cap = r->cap ? r->cap : RECORDS_FIRST;
        char *grown;

        while (cap < r->len + line.len)
            cap *= 2;
        grown = realloc(r->bytes, cap);
        if (!grown)
            return false;
        r->bytes = grown;
        r->cap = cap;
    }
    memcpy(r->bytes + r->len, line.ptr, line.len);
    r->len += line.len;
    return true;
}

bool records_add(struct records *r, struct envelope *e, size_t index, enum spool_result result,
                 const char *dsn, const char *reason, int64_t wall_s)
{
    struct recipient *recipient = &e->recipients[index];
    char line[SPOOL_RECORD_CAP];
    struct text t;

    if (result == SPOOL_SENT)
        recipient->state = RECIPIENT_SENT;
    if (result == SPOOL_FAILED)
        recipient->state = RECIPIENT_FAILED;
    r->durable = r->durable || result != SPOOL_DEFERRED;
    recipient->owes = RECIPIENT_OWES_NOTHING;
    recipient_set_reason(recipient, span_of(reason));
    span_copy(span_of(dsn), recipient->dsn, sizeof recipient->dsn);
    text_init(&t, line, sizeof line);
    spool_format_attempt(&t, wall_s, index, result, dsn, span_of(reason));
    return append(r, text_as_span(&t));
}

/* The sender asked to hear of it, and nobody else will tell him. */
static bool is_owed(const struct delivery *d, size_t position)
{
    const struct delivery_result *result = &d->results[position];

    return result->outcome == DELIVERY_SENT && result->owes &&
           (d->envelope->recipients[d->indices[position]].notify & SMTP_NOTIFY_SUCCESS);
}

/* Before the line that it was sent: what is torn off there is sent again, and owed again. */
static bool add_owed(struct records *r, const struct delivery *d, size_t position, int64_t wall_s,
                     struct text *how)
{
    const struct delivery_result *result = &d->results[position];
    const char *relay = delivery_relay(d, position);
    char line[SPOOL_RECORD_CAP];
    struct text t;

    if (strcmp(relay, "maildir") != 0)
        text_printf(how, BOUNCE_VIA "%s: ", relay);
    text_cstr(how, result->text ? result->text : "250");
    text_init(&t, line, sizeof line);
    spool_format_owed(&t, wall_s, d->indices[position], result->owes, result->dsn,
                      text_as_span(how));
    return append(r, text_as_span(&t));
}

bool records_add_delivery(struct records *r, struct envelope *e, const struct delivery *d,
                          int64_t wall_s)
{
    bool ok = true;

    for (size_t i = 0; i < d->count; i++) {
        const struct delivery_result *result = &d->results[i];
        enum spool_result kind = result->outcome == DELIVERY_SENT     ? SPOOL_SENT
                                 : result->outcome == DELIVERY_FAILED ? SPOOL_FAILED
                                                                      : SPOOL_DEFERRED;

        bool owed = is_owed(d, i);
        char how[SPOOL_RECORD_CAP];
        struct text t;

        text_init(&t, how, sizeof how);
        ok = (!owed || add_owed(r, d, i, wall_s, &t)) && ok;
        ok = records_add(r, e, d->indices[i], kind, result->dsn, result->text ? result->text : "",
                         wall_s) &&
             ok;
        if (owed) {
            e->recipients[d->indices[i]].owes = result->owes;
            recipient_set_reason(&e->recipients[d->indices[i]], text_as_span(&t));
        }
    }
    return ok;
}

bool records_add_hold(struct records *r, int64_t wall_s, const char *why)
{
    char line[SPOOL_RECORD_CAP];
    struct text t;

    r->durable = true;
    text_init(&t, line, sizeof line);
    spool_format_hold(&t, wall_s, span_of(why));
    return append(r, text_as_span(&t));
}

bool records_add_report(struct records *r, int64_t wall_s, enum spool_report what, const char *id)
{
    char line[SPOOL_RECORD_CAP];
    struct text t;

    r->durable = true;
    text_init(&t, line, sizeof line);
    spool_format_report(&t, wall_s, what, id);
    return append(r, text_as_span(&t));
}

bool records_add_orders(struct records *r, int64_t wall_s, unsigned orders)
{
    /* EXPIRE before RELEASE: see order_release() in spool_format_records.c */
    static const struct {
        enum queue_order order;
        void (*format)(struct text *t, int64_t wall_s, struct span why);
    } rows[] = {
        {QUEUE_ORDER_EXPIRE,  spool_format_expire },
        {QUEUE_ORDER_HOLD,    spool_format_hold   },
        {QUEUE_ORDER_REQUEUE, spool_format_requeue},
        {QUEUE_ORDER_RELEASE, spool_format_release},
    };
    char line[SPOOL_RECORD_CAP];
    bool ok = true;

    r->durable = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct text t;

        if (!(orders & QUEUE_ORDER_BIT(rows[i].order)))
            continue;
        text_init(&t, line, sizeof line);
        rows[i].format(&t, wall_s, SPAN_LIT("by the operator"));
        ok = append(r, text_as_span(&t)) && ok;
    }
    return ok;
}

void records_deinit(struct records *r)
{
    free(r->bytes);
    *r = (struct records){NULL, 0, 0, false};
}
