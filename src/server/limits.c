/* limits - see limits.h */
#include "server/limits.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct limits_client {
    unsigned char address[16];
    unsigned count;
    UT_hash_handle hh;
};

struct limits_rate {
    unsigned char address[16];
    uint64_t begun_ms;
    unsigned counts[LIMITS_EVENT_COUNT];
    UT_hash_handle hh;
};

void limits_key(const unsigned char address[16], unsigned char key_out[16])
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(key_out, address, 16);
    if (memcmp(address, mapped, sizeof mapped) != 0)
        memset(key_out + 8, 0, 8);
}

static struct limits_client *find(const struct limits *l, const unsigned char address[16])
{
    struct limits_client *c = NULL;

    HASH_FIND(hh, l->clients, address, 16, c);
    return c;
}

unsigned limits_enter(struct limits *l, const unsigned char address[16])
{
    struct limits_client *c = find(l, address);

    if (!c) {
        c = calloc(1, sizeof *c);
        if (!c)
            return 0;
        memcpy(c->address, address, sizeof c->address);
        HASH_ADD(hh, l->clients, address, sizeof c->address, c);
        if (!find(l, address)) {
            free(c);
            return 0;
        }
    }
    l->total++;
    return ++c->count;
}

void limits_leave(struct limits *l, const unsigned char address[16])
{
    struct limits_client *c = find(l, address);

    if (!c)
        return;
    l->total--;
    if (--c->count > 0)
        return;
    HASH_DEL(l->clients, c);
    free(c);
}

static struct limits_rate *find_rate(const struct limits *l, const unsigned char address[16])
{
    struct limits_rate *r = NULL;

    HASH_FIND(hh, l->rates, address, 16, r);
    return r;
}

static void drop_rate(struct limits *l, struct limits_rate *r)
{
    HASH_DEL(l->rates, r); // NOLINT(clang-analyzer-*): it does not follow uthash's list
    free(r);
}

static struct limits_rate *begin_window(struct limits *l, const unsigned char address[16],
                                        uint64_t now_ms)
{
    struct limits_rate *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    if (HASH_COUNT(l->rates) >= LIMITS_RATES_MAX)
        drop_rate(l, l->rates);
    memcpy(r->address, address, sizeof r->address);
    r->begun_ms = now_ms;
    HASH_ADD(hh, l->rates, address, sizeof r->address, r);
    if (find_rate(l, address) == r)
        return r;
    free(r);
    return NULL;
}

unsigned limits_count(struct limits *l, const unsigned char address[16], enum limits_event event,
                      uint64_t now_ms, uint64_t unit_ms)
{
    struct limits_rate *r = find_rate(l, address);

    if (r && now_ms - r->begun_ms >= unit_ms) {
        drop_rate(l, r);
        r = NULL;
    }
    if (!r)
        r = begin_window(l, address, now_ms);
    if (!r)
        return 0;
    if (r->counts[event] < UINT32_MAX)
        r->counts[event]++;
    return r->counts[event];
}

unsigned limits_peek(const struct limits *l, const unsigned char address[16],
                     enum limits_event event, uint64_t now_ms, uint64_t unit_ms)
{
    const struct limits_rate *r = find_rate(l, address);

    return r && now_ms - r->begun_ms < unit_ms ? r->counts[event] : 0;
}

void limits_deinit(struct limits *l)
{
    struct limits_rate *r, *next;

    HASH_ITER(hh, l->rates, r, next)
        drop_rate(l, r);
}
