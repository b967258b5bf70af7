/*
 * upstream_connect - opening a session: name look-up, the addresses one after the other; see
 * upstream_internal.h
 */
#include "relay/upstream_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* The C library's words, as Postfix logs them (libuv's codes are -errno). */
static const char *connect_reason(const struct upstream_session *s)
{
    if (s->connect_rc != 0)
        return strerror(-s->connect_rc);
    return s->how ? s->how : "the name look-up took too long";
}

static void opening_failed(struct upstream_session *s)
{
    char buf[900];
    struct text why;

    text_init(&why, buf, sizeof buf);
    text_printf(&why, "connect to %s: %s", s->relay, connect_reason(s));
    s->silent = s->connect_rc != UV_ECONNREFUSED;
    s->held = true; /* it has no stream: closing would free it under our feet */
    upstream_session_close(s);
    upstream_open_failed(s->u, s, "4.4.1", buf);
    s->held = false;
    if (!s->starting)
        upstream_session_gone(s->u, s);
}

static void name_peer(struct upstream_session *s, const char *address)
{
    const struct route *r = &s->u->route;
    struct text t;

    text_init(&t, s->host, sizeof s->host);
    text_printf(&t, "%s[%s]", r->path[0] ? s->u->context->config->myhostname : r->host, address);
    text_init(&t, s->relay, sizeof s->relay);
    text_cstr(&t, s->host);
    if (!r->path[0])
        text_printf(&t, ":%u", (unsigned)r->port);
}

void upstream_session_connect_next(struct upstream_session *s)
{
    struct sockaddr_storage *address = &s->addresses[s->address_next];
    struct sockaddr_storage from;
    struct stream_way way;
    uint64_t now = clock_mono_ms();
    uint64_t
        share; /* of the time left: an address that swallows packets must not cost the others */
    char numeric[64];
    int rc;

    if (s->address_next >= s->address_count || now >= s->connect_by_ms) {
        opening_failed(s);
        return;
    }
    share = (s->connect_by_ms - now) / (s->address_count - s->address_next);
    s->address_next++;
    s->connect_rc = 0;
    if (address->ss_family == AF_INET)
        uv_ip4_name((struct sockaddr_in *)address, numeric, sizeof numeric);
    else
        uv_ip6_name((struct sockaddr_in6 *)address, numeric, sizeof numeric);
    name_peer(s, numeric);
    s->has_stream = true;
    way.to = (struct sockaddr *)address;
    way.from = upstream_bind_address(s->u, address->ss_family, &from);
    rc = stream_connect_way(&s->stream, s->u->context->streams, &way,
                            &upstream_session_stream_events, s);
    if (rc < 0) {
        s->has_stream = false;
        s->connect_rc = rc;
        opening_failed(s);
        return;
    }
    stream_deadline(&s->stream, share > 0 ? share : 1);
}

static void on_addresses(void *ctx, const struct sockaddr_storage *addresses, size_t count,
                         const char *error)
{
    struct upstream_session *s = ctx;

    s->query = NULL;
    for (size_t i = 0; i < count; i++)
        s->addresses[s->address_count++] = addresses[i];
    if (count == 0)
        s->how = error;
    upstream_session_connect_next(s);
}

static void session_connect_unix(struct upstream_session *s)
{
    int rc;

    name_peer(s, s->u->route.path);
    s->has_stream = true;
    rc = stream_connect_unix(&s->stream, s->u->context->streams, s->u->route.path,
                             &upstream_session_stream_events, s);
    if (rc < 0) {
        s->has_stream = false;
        s->connect_rc = rc;
        opening_failed(s);
        return;
    }
    stream_deadline(&s->stream, upstream_step_limit_ms(s->u, CLIENT_STEP_GREETING));
}

static int address_family(const struct config *config)
{
    if (config->inet_protocols == INET_IPV4)
        return AF_INET;
    return config->inet_protocols == INET_IPV6 ? AF_INET6 : AF_UNSPEC;
}

struct upstream_session *upstream_session_open(struct upstream *u)
{
    struct upstream_session *s = calloc(1, sizeof *s);
    const struct config *config = u->context->config;
    uint64_t limit = upstream_step_limit_ms(u, CLIENT_STEP_GREETING);

    if (!s)
        return NULL;
    s->u = u;
    s->config = config_ref(u->context->config);
    upstream_login_choose(s);
    upstream_tls_choose(s);
    s->opened_ms = clock_mono_ms();
    s->connect_by_ms = s->opened_ms + limit;
    DL_APPEND(u->sessions, s);
    u->session_count++;
    u->opening++;
    u->holds++;
    s->starting = true; /* it may fail before we return */
    if (u->route.path[0]) {
        session_connect_unix(s);
    } else {
        name_peer(s, u->route.host); /* until the address is known */
        s->query = resolver_addresses(
            u->context->resolver, u->route.host, u->route.port, address_family(config),
            config->dns_timeout < limit ? config->dns_timeout : limit, on_addresses, s);
    }
    s->starting = false;
    if (s->closing && !s->has_stream) {
        upstream_session_gone(u, s);
        return NULL;
    }
    return s;
}
