/* records - see records.h */
#include "queue/records.h"

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
    recipient_set_reason(recipient, span_of(reason));
    text_init(&t, line, sizeof line);
    spool_format_attempt(&t, wall_s, index, result, dsn, span_of(reason));
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

        ok = records_add(r, e, d->indices[i], kind, result->dsn, result->text ? result->text : "",
                         wall_s) &&
             ok;
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

void records_deinit(struct records *r)
{
    free(r->bytes);
    *r = (struct records){NULL, 0, 0, false};
}
