/* envelope - see envelope.h */
#include "message/envelope.h"

#include <stdlib.h>
#include <string.h>

#define RECIPIENTS_FIRST    4
#define ALLOCATION_OVERHEAD 16 /* about what malloc adds to a string */

/* A NUL-terminated copy; addresses and reasons hold no NUL (the parsers refuse or replace it). */
static char *copy(struct span s)
{
    char *p = malloc(s.len + 1);

    if (!p)
        return NULL;
    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return p;
}

struct envelope *envelope_new(void)
{
    return calloc(1, sizeof(struct envelope));
}

static void recipient_deinit(struct recipient *r)
{
    free(r->address);
    free(r->orcpt);
    free(r->reason);
    *r = (struct recipient){0};
}

/* ---- memory ---- */

/* At most: the array may have twice the room it needs. */
static size_t recipient_cost(struct span address, struct span orcpt)
{
    size_t cost = 2 * sizeof(struct recipient) + address.len + 1 + ALLOCATION_OVERHEAD;

    return orcpt.len > 0 ? cost + orcpt.len + 1 + ALLOCATION_OVERHEAD : cost;
}

static size_t counted(size_t bytes)
{
    return bytes > ENVELOPE_MEMORY_MIN ? bytes - ENVELOPE_MEMORY_MIN : 0;
}

/* The envelope now has this many bytes. False: there is no room for them. */
static bool count_bytes(struct envelope *e, size_t bytes)
{
    struct envelope_budget *b = e->budget;

    if (b) {
        size_t used = b->used - counted(e->bytes) + counted(bytes);

        if (used > b->limit && used > b->used)
            return false;
        b->used = used;
    }
    e->bytes = bytes;
    return true;
}

void envelope_free(struct envelope **e)
{
    if (!*e)
        return;
    count_bytes(*e, 0);
    for (size_t i = 0; i < (*e)->recipient_count; i++)
        recipient_deinit(&(*e)->recipients[i]);
    free((*e)->recipients);
    free((*e)->sender);
    free(*e);
    *e = NULL;
}

bool envelope_set_sender(struct envelope *e, struct span sender)
{
    char *text = copy(sender);

    if (!text)
        return false;
    free(e->sender);
    e->sender = text;
    return true;
}

static bool grow(struct envelope *e)
{
    size_t cap = e->recipient_cap > 0 ? e->recipient_cap * 2 : RECIPIENTS_FIRST;
    struct recipient *more = realloc(e->recipients, cap * sizeof *more);

    if (!more)
        return false;
    e->recipients = more;
    e->recipient_cap = cap;
    return true;
}

bool envelope_add_recipient(struct envelope *e, struct span address, unsigned notify,
                            struct span orcpt)
{
    struct recipient r = {.notify = notify, .state = RECIPIENT_PENDING};
    size_t before = e->bytes;

    if (!count_bytes(e, before + recipient_cost(address, orcpt)))
        return false;
    if (e->recipient_count == e->recipient_cap && !grow(e)) {
        count_bytes(e, before);
        return false;
    }
    r.address = copy(address);
    r.orcpt = orcpt.len > 0 ? copy(orcpt) : NULL;
    if (!r.address || (orcpt.len > 0 && !r.orcpt)) {
        recipient_deinit(&r);
        count_bytes(e, before);
        return false;
    }
    e->recipients[e->recipient_count++] = r;
    return true;
}

bool envelope_has_recipient(const struct envelope *e, struct span address, unsigned notify,
                            struct span orcpt)
{
    for (size_t i = 0; i < e->recipient_count && i < ENVELOPE_DUPLICATES_MAX; i++) {
        const struct recipient *r = &e->recipients[i];

        if (r->notify == notify && span_equal(span_of(r->address), address) &&
            span_equal(span_of(r->orcpt), orcpt))
            return true;
    }
    return false;
}

bool recipient_set_reason(struct recipient *r, struct span reason)
{
    char *text = NULL;

    if (reason.len > 0) {
        text = copy(reason);
        if (!text)
            return false;
    }
    free(r->reason);
    r->reason = text;
    return true;
}

size_t envelope_count(const struct envelope *e, enum recipient_state state)
{
    size_t n = 0;

    for (size_t i = 0; i < e->recipient_count; i++)
        n += e->recipients[i].state == state;
    return n;
}

size_t envelope_untold(const struct envelope *e)
{
    size_t n = 0;

    for (size_t i = 0; i < e->recipient_count; i++)
        n += e->recipients[i].state == RECIPIENT_FAILED && !e->recipients[i].told;
    return n;
}

size_t envelope_pending(const struct envelope *e)
{
    return envelope_count(e, RECIPIENT_PENDING);
}

struct span recipient_domain(const struct recipient *r)
{
    struct span address = span_of(r->address);

    return span_from(address, span_find_last(address, '@') + 1);
}
