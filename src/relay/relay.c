/* relay - see relay.h */
#include "relay/relay_way.h"

#include "config/way.h"
#include "relay/relay_anchors.h"
#include "relay/upstream_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* What new settings need. Everything is allocated before anything is changed. */
struct plan {
    struct relay *r;
    struct upstream *upstreams;       /* owned until it is carried out: new ones, not initialised */
    struct destination *destinations; /* owned likewise */
    struct destination *first;        /* relay_transport's; NULL: none */
    struct destination *fallback;     /* NULL: none */
    struct destination **routes;      /* owned likewise */
    size_t route_count;
    struct destination **relayhosts; /* owned likewise; as in struct relay */
    size_t relayhost_count;
};

/* ---- planning ---- */

static struct upstream *find_upstream(struct upstream *list, const char *name)
{
    struct upstream *u;

    LL_FOREACH(list, u) {
        if (strcmp(u->route.text, name) == 0)
            return u;
    }
    return NULL;
}

static struct destination *find_destination(struct destination *list, const char *name)
{
    struct destination *d;

    LL_FOREACH(list, d) {
        if (strcmp(d->text, name) == 0)
            return d;
    }
    return NULL;
}

static struct upstream *plan_target(struct plan *p, const struct route *route)
{
    struct upstream *u = find_upstream(p->r->upstreams, route->text);

    if (!u)
        u = find_upstream(p->upstreams, route->text);
    if (u)
        return u;
    u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->route = *route;
    LL_APPEND(p->upstreams, u);
    return u;
}

static struct destination *destination_new(struct plan *p, const struct route_list *list,
                                           const char *name)
{
    struct destination *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->text = strdup(name);
    if (!d->text) {
        free(d);
        return NULL;
    }
    LL_APPEND(p->destinations, d); /* freed with the plan */
    for (; d->count < list->count; d->count++) {
        d->targets[d->count] = plan_target(p, &list->targets[d->count]);
        if (!d->targets[d->count])
            return NULL;
    }
    return d;
}

static int plan_targets(struct plan *p, const struct route_list *list, struct destination **out,
                        struct errbuf *err)
{
    char name[ROUTE_LIST_TEXT_CAP];
    struct text t;

    text_init(&t, name, sizeof name);
    route_list_text(list, &t);
    *out = find_destination(p->r->destinations, name);
    if (!*out)
        *out = find_destination(p->destinations, name);
    if (!*out)
        *out = destination_new(p, list, name);
    return *out ? 0 : errbuf_set(err, -ENOMEM, "out of memory");
}

static int plan_destination(struct plan *p, const char *setting, struct destination **out,
                            struct errbuf *err)
{
    struct route_list list;
    int rc = route_list_parse(span_of(setting), &list, err);

    return rc < 0 ? rc : plan_targets(p, &list, out, err);
}

static int plan_relayhost(struct plan *p, const struct config *config, const char *relayhost,
                          struct errbuf *err)
{
    struct destination **out = &p->relayhosts[p->relayhost_count++];
    struct route_list list;
    int rc;

    if (!relayhost[0] || span_equal_nocase(span_of(relayhost), SPAN_LIT("DUNNO")))
        return 0;
    rc = route_parse_relayhosts(span_of(relayhost), config->smtp_port, &list, err);
    return rc < 0 ? rc : plan_targets(p, &list, out, err);
}

static int plan_relayhosts(struct plan *p, const struct config *config, struct errbuf *err)
{
    int rc = plan_relayhost(p, config, config->relayhost, err);

    for (size_t i = 0; rc == 0 && i < config->sender_relayhosts.count; i++)
        rc = plan_relayhost(p, config, config->sender_relayhosts.pairs[i].value, err);
    return rc;
}

static int plan_all(struct plan *p, const struct config *config, struct errbuf *err)
{
    int rc = 0;

    p->routes = calloc(config->transports.count + 1, sizeof(struct destination *));
    p->relayhosts = calloc(config->sender_relayhosts.count + 1, sizeof(struct destination *));
    if (!p->routes || !p->relayhosts)
        return errbuf_set(err, -ENOMEM, "out of memory");
    if (config->relay_transport[0])
        rc = plan_destination(p, config->relay_transport, &p->first, err);
    if (rc == 0 && p->r->fallback_wanted && config->fallback_relay[0])
        rc = plan_destination(p, config->fallback_relay, &p->fallback, err);
    for (; rc == 0 && p->route_count < config->transports.count; p->route_count++)
        rc = plan_destination(p, config->transports.entries[p->route_count].targets,
                              &p->routes[p->route_count], err);
    return rc == 0 ? plan_relayhosts(p, config, err) : rc;
}

static void plan_free(struct plan *p)
{
    struct upstream *u, *next_u;
    struct destination *d, *next_d;

    LL_FOREACH_SAFE(p->upstreams, u, next_u)
        free(u);
    LL_FOREACH_SAFE(p->destinations, d, next_d) {
        free(d->text);
        free(d);
    }
    free(p->routes);
    free(p->relayhosts);
}

/* ---- carrying it out ---- */

static void add_upstreams(struct plan *p)
{
    struct upstream *u, *next;

    LL_FOREACH_SAFE(p->upstreams, u, next) {
        struct route route = u->route;

        LL_DELETE(p->upstreams, u);
        upstream_init(u, &p->r->context, &route);
        LL_APPEND(p->r->upstreams, u);
    }
}

/* relay_transport's come first, for whoever lists them. */
static void put_first(struct plan *p)
{
    struct relay *r = p->r;

    LL_CONCAT(r->destinations, p->destinations);
    p->destinations = NULL;
    if (!p->first)
        return;
    LL_DELETE(r->destinations, p->first);
    LL_PREPEND(r->destinations, p->first);
    for (size_t i = p->first->count; i-- > 0;) {
        LL_DELETE(r->upstreams, p->first->targets[i]);
        LL_PREPEND(r->upstreams, p->first->targets[i]);
    }
}

static bool is_named(const struct plan *p, const struct destination *d)
{
    bool named = d == p->first || d == p->fallback;

    for (size_t i = 0; i < p->route_count && !named; i++)
        named = d == p->routes[i];
    for (size_t i = 0; i < p->relayhost_count && !named; i++)
        named = d == p->relayhosts[i];
    return named;
}

/* Also whether each of its destinations has another target. */
static bool is_target(const struct relay *r, struct upstream *u)
{
    const struct destination *d;
    bool found = false;

    u->covered = true;
    LL_FOREACH(r->destinations, d) {
        if (d->retired || !destination_has(d, u))
            continue;
        found = true;
        u->covered = u->covered && d->count > 1;
    }
    return found;
}

static void carry_out(struct plan *p)
{
    struct relay *r = p->r;
    struct destination *d;
    struct upstream *u;

    add_upstreams(p);
    put_first(p);
    free(r->routes);
    free(r->relayhosts);
    r->main = p->first;
    r->routes = p->routes;
    r->relayhosts = p->relayhosts;
    r->fallback = p->fallback;
    LL_FOREACH(r->destinations, d)
        d->retired = !is_named(p, d);
    LL_FOREACH(r->upstreams, u) {
        if (is_target(r, u))
            upstream_choose(u);
    }
    LL_FOREACH(r->upstreams, u) {
        if (!is_target(r, u))
            upstream_retire(u);
    }
}

static int use_config(struct relay *r, const struct config *config, struct errbuf *err)
{
    struct plan plan = {.r = r};
    int rc = plan_all(&plan, config, err);

    if (rc < 0)
        plan_free(&plan);
    else
        carry_out(&plan);
    return rc;
}

/* ---- the surface ---- */

int relay_init(struct relay *r, const struct upstream_context *context, struct lane *disk,
               struct errbuf *err)
{
    int rc;

    *r = (struct relay){.context = *context,
                        .disk = disk,
                        .direct_max = RELAY_DIRECT_MAX,
                        .direct_deliveries = RELAY_DIRECT_DELIVERIES};
    r->context.files = disk;
    verify_init(&r->verify, &r->context);
    rc = relay_anchors_load(context->config, context->log, r->context.anchors, err);
    if (rc < 0)
        return rc;
    rc = use_config(r, context->config, err);
    if (rc < 0)
        relay_anchors_free(r->context.anchors);
    else
        relay_dead_ends_init(r);
    return rc;
}

static bool same_fallback(const struct relay *r, const struct config *a, const struct config *b)
{
    return !r->fallback_wanted || strcmp(a->fallback_relay, b->fallback_relay) == 0;
}

static void swap_anchors(struct relay *r, struct tls_anchors *with[2])
{
    for (size_t i = 0; i < 2; i++) {
        struct tls_anchors *mine = r->context.anchors[i];

        r->context.anchors[i] = with[i];
        with[i] = mine;
    }
}

int relay_set_config(struct relay *r, struct config *config, struct errbuf *err)
{
    struct config *old = r->context.config;
    struct tls_anchors *anchors[2];
    struct upstream *u;
    int rc = relay_anchors_load(config, r->context.log, anchors, err);

    if (rc < 0)
        return rc;
    /* what is opened on this occasion is opened with these */
    r->context.config = config;
    swap_anchors(r, anchors);
    if (!way_equal(old, config) || !same_fallback(r, old, config)) {
        rc = use_config(r, config, err);
        if (rc == 0 && !way_equal(old, config))
            r->generation++;
    }
    if (rc < 0) {
        r->context.config = old;
        swap_anchors(r, anchors);
    }
    relay_anchors_free(anchors);
    if (rc == 0) {
        LL_FOREACH(r->upstreams, u)
            upstream_tls_reload(u, old);
        relay_direct_reload(r, old);
    }
    return rc;
}

int relay_use_fallback(struct relay *r, bool wanted, struct errbuf *err)
{
    bool before = r->fallback_wanted;
    int rc;

    if (wanted == before)
        return 0;
    r->fallback_wanted = wanted;
    rc = use_config(r, r->context.config, err);
    if (rc < 0)
        r->fallback_wanted = before;
    return rc;
}

static void free_all(struct relay *r)
{
    struct destination *d, *next;

    LL_FOREACH_SAFE(r->destinations, d, next) {
        free(d->text);
        free(d);
    }
    r->destinations = NULL;
    free(r->routes);
    free(r->relayhosts);
    r->routes = r->relayhosts = NULL;
    verify_deinit(&r->verify);
    relay_anchors_free(r->context.anchors);
}

void relay_released(struct relay *r)
{
    if (--r->holds > 0 || !r->closing)
        return;
    free_all(r);
    r->on_closed(r->on_closed_ctx);
}

static void on_upstream_closed(void *ctx, struct upstream *u)
{
    struct relay *r = ctx;

    LL_DELETE(r->upstreams, u);
    free(u);
    relay_released(r);
}

void relay_close(struct relay *r, void (*on_closed)(void *ctx), void *ctx)
{
    struct upstream *u, *next;

    r->closing = true;
    r->on_closed = on_closed;
    r->on_closed_ctx = ctx;
    r->holds++; /* until all are being closed */
    LL_FOREACH_SAFE(r->upstreams, u, next) {
        r->holds++;
        upstream_close(u, on_upstream_closed, r);
    }
    relay_ways_close(r);
    relay_released(r);
}
