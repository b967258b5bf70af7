/* destination - see destination.h */
#include "relay/destination.h"

size_t destination_pick(const struct destination *d, unsigned tried)
{
    size_t i = 0;

    while (i < d->count && (d->targets[i]->health == UPSTREAM_DOWN || (tried >> i & 1)))
        i++;
    return i;
}

bool destination_is_down(const struct destination *d)
{
    return destination_pick(d, 0) == d->count;
}

struct upstream *destination_target(const struct destination *d)
{
    size_t i = destination_pick(d, 0);

    return d->targets[i < d->count ? i : 0];
}

bool destination_stands_still(const struct destination *d, uint64_t ms)
{
    return upstream_stands_still(destination_target(d), ms);
}

bool destination_has(const struct destination *d, const struct upstream *u)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->targets[i] == u)
            return true;
    }
    return false;
}

unsigned destination_stale(const struct destination *d)
{
    unsigned stale = 0;

    for (size_t i = 0; i < d->count; i++)
        stale += d->targets[i]->stale;
    return stale;
}

uint64_t destination_sessions_limit(const struct destination *d)
{
    return upstream_sessions_limit(destination_target(d));
}

size_t destination_recipients_limit(const struct destination *d, size_t most)
{
    for (size_t i = 0; i < d->count; i++)
        most = upstream_recipients_limit(d->targets[i], most);
    return most;
}

void destination_probe(const struct destination *d, bool ways_out)
{
    for (size_t i = 0; i < d->count; i++) {
        struct upstream *u = d->targets[i];

        if (u->health == UPSTREAM_DOWN && !u->route.out)
            upstream_probe(u);
        else if (ways_out && u->health == UPSTREAM_DOWN)
            upstream_end_pause(u); /* there may be thousands: mail asks, as far as it has places */
    }
}
