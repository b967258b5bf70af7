/* relay_way - see relay_way.h */
#include "relay/relay_way.h"

#include "config/way.h"
#include "relay/upstream_internal.h"

#include <stdlib.h>

/* ---- dead ends ---- */

static void dead_end_init(struct relay *r, enum relay_dead_end which, const char *name,
                          const char *why, const char *dsn)
{
    struct relay_end *end = &r->dead_ends[which];
    struct route route = {.kind = ROUTE_SMTP, .out = true};

    span_copy(span_of(name), route.text, sizeof route.text);
    upstream_init(&end->upstream, &r->context, &route);
    end->upstream.retired = true; /* nobody asks whether it is up */
    end->upstream.health = UPSTREAM_DOWN;
    upstream_set_text(end->upstream.why, sizeof end->upstream.why, why);
    upstream_set_text(end->upstream.dsn, sizeof end->upstream.dsn, dsn);
    end->destination = (struct destination){.text = end->upstream.route.text,
                                            .targets = {&end->upstream},
                                            .count = 1,
                                            .dead_end = true};
}

void relay_dead_ends_init(struct relay *r)
{
    dead_end_init(r, RELAY_NO_WAY, "(no way)",
                  "there is no way to it: set relayhost or outbound=direct", "4.3.5");
    dead_end_init(r, RELAY_NO_ROOM, "(no room)",
                  "mail is under way to too many domains, or out of memory", "4.3.2");
}

/* ---- direct ---- */

static struct relay_direct *direct_new(struct relay *r, const struct route *route)
{
    struct relay_direct *direct = calloc(1, sizeof *direct), *found = NULL;

    if (!direct)
        return NULL;
    direct->relay = r;
    direct->upstream.route = *route;
    direct->destination = (struct destination){.text = direct->upstream.route.text,
                                               .targets = {&direct->upstream},
                                               .count = 1,
                                               .on_demand = true};
    HASH_ADD_KEYPTR(hh, r->direct, direct->upstream.route.text, span_of(route->text).len, direct);
    HASH_FIND_STR(r->direct, route->text, found);
    if (!found) { /* the hash could not grow */
        free(direct);
        return NULL;
    }
    upstream_init(&direct->upstream, &r->context, route);
    return direct;
}

/* Nobody asks whether it is up: the first delivery will see. */
static struct destination *direct_of(struct relay *r, struct span domain)
{
    struct relay_direct *direct = NULL;
    struct route route;

    if (!route_direct(domain, r->context.config->smtp_port, &route))
        return &r->dead_ends[RELAY_NO_WAY].destination;
    HASH_FIND_STR(r->direct, route.text, direct);
    if (!direct && HASH_COUNT(r->direct) < r->direct_max && !r->closing)
        direct = direct_new(r, &route);
    return direct ? &direct->destination : &r->dead_ends[RELAY_NO_ROOM].destination;
}

static void on_direct_closed(void *ctx, struct upstream *u)
{
    struct relay *r = ctx;

    free((char *)u - offsetof(struct relay_direct, upstream));
    relay_released(r);
}

static void direct_close(struct relay *r, struct relay_direct *direct)
{
    HASH_DEL(r->direct, direct); // NOLINT(clang-analyzer-*): it does not follow uthash's list
    r->holds++;
    upstream_close(&direct->upstream, on_direct_closed, r);
}

void relay_direct_reload(struct relay *r, struct config *old)
{
    struct relay_direct *direct, *next;

    HASH_ITER(hh, r->direct, direct, next)
        upstream_tls_reload(&direct->upstream, old);
}

void relay_sweep_begin(struct relay *r)
{
    struct relay_direct *direct, *next;

    HASH_ITER(hh, r->direct, direct, next)
        direct->destination.wanted = false;
}

void relay_sweep(struct relay *r)
{
    struct relay_direct *direct, *next;

    HASH_ITER(hh, r->direct, direct, next) {
        struct destination *d = &direct->destination;

        if (!d->wanted && !d->site && d->users == 0 && upstream_is_idle(&direct->upstream))
            direct_close(r, direct);
    }
}

void relay_each_direct(const struct relay *r, void (*see)(void *ctx, const struct destination *d),
                       void *ctx)
{
    struct relay_direct *direct, *next;

    HASH_ITER(hh, r->direct, direct, next)
        see(ctx, &direct->destination);
}

static void on_dead_end_closed(void *ctx, struct upstream *u)
{
    (void)u;
    relay_released(ctx);
}

void relay_ways_close(struct relay *r)
{
    struct relay_direct *direct, *next;

    HASH_ITER(hh, r->direct, direct, next)
        direct_close(r, direct);
    for (size_t i = 0; i < RELAY_DEAD_ENDS; i++) {
        r->holds++;
        upstream_close(&r->dead_ends[i].upstream, on_dead_end_closed, r);
    }
}

/* ---- which ---- */

/* As plan_relayhosts() in relay.c counts them. */
static struct destination *relayhost_of(const struct relay *r, const char *relayhost)
{
    const struct config *c = r->context.config;
    size_t i = 0;

    if (relayhost == c->relayhost)
        return r->relayhosts[0];
    while (c->sender_relayhosts.pairs[i].value != relayhost)
        i++;
    return r->relayhosts[i + 1];
}

struct destination *relay_destination(struct relay *r, struct span sender, struct span address)
{
    struct way way = way_find(r->context.config, sender, address);

    switch (way.kind) {
    case WAY_TRANSPORT:
        return way.transport < 0 ? r->main : r->routes[way.transport];
    case WAY_RELAYHOST:
        return relayhost_of(r, way.relayhost);
    case WAY_DIRECT:
        return direct_of(r, way.domain);
    case WAY_NONE:
        break;
    }
    return &r->dead_ends[RELAY_NO_WAY].destination;
}

struct destination *relay_way_for(struct relay *r, struct span sender, struct span address)
{
    if (way_find(r->context.config, sender, address).kind == WAY_NONE)
        return NULL;
    return relay_destination(r, sender, address);
}
