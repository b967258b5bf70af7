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
