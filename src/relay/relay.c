/* relay - see relay.h */
#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static int use_transport(struct relay *r, const char *transport, struct errbuf *err)
{
    struct upstream *u, *found = NULL;
    struct route route;
    int rc = route_parse(span_of(transport), &route, err);

    if (rc < 0)
        return rc;
    LL_FOREACH(r->upstreams, u) {
        if (strcmp(u->route.text, route.text) == 0)
            found = u;
    }
    if (found) {
        LL_DELETE(r->upstreams, found);
    } else {
        found = calloc(1, sizeof *found);
        if (!found)
            return errbuf_set(err, -ENOMEM, "out of memory");
        upstream_init(found, &r->context, &route);
    }
    LL_PREPEND(r->upstreams, found);
    LL_FOREACH(found->next, u)
        upstream_retire(u);
    upstream_choose(found);
    return 0;
}

int relay_init(struct relay *r, const struct upstream_context *context, struct lane *disk,
               struct errbuf *err)
{
    *r = (struct relay){.context = *context, .disk = disk};
    verify_init(&r->verify, &r->context);
    return use_transport(r, context->config->relay_transport, err);
}

int relay_set_config(struct relay *r, struct config *config, struct errbuf *err)
{
    struct config *old = r->context.config;
    int rc;

    r->context.config = config; /* what is opened on this occasion is opened with these */
    rc = use_transport(r, config->relay_transport, err);
    if (rc < 0)
        r->context.config = old;
    return rc;
}

struct upstream *relay_destination(struct relay *r, struct span domain)
{
    (void)domain; /* one transport for all of relay_domains */
    return r->upstreams;
}

static void on_upstream_closed(void *ctx, struct upstream *u)
{
    struct relay *r = ctx;

    LL_DELETE(r->upstreams, u);
    free(u);
    if (--r->holds > 0)
        return;
    verify_deinit(&r->verify);
    r->on_closed(r->on_closed_ctx);
}

void relay_close(struct relay *r, void (*on_closed)(void *ctx), void *ctx)
{
    struct upstream *u, *next;

    r->on_closed = on_closed;
    r->on_closed_ctx = ctx;
    LL_FOREACH(r->upstreams, u)
        r->holds++;
    LL_FOREACH_SAFE(r->upstreams, u, next)
        upstream_close(u, on_upstream_closed, r);
}
