/* resolver - see resolver.h */
#include "net/resolver_internal.h"

#include "base/clock.h"
#include "base/span.h"
#include "smtp/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define TICK_MS 100 /* how exactly deadlines are kept */

struct resolver_socket {
    uv_poll_t poll;
    ares_socket_t fd;
    struct resolver *resolver;
    struct resolver_socket *next;
};

/* ---- c-ares on the loop ---- */

static void resolver_release(struct resolver *r)
{
    if (--r->holds == 0 && r->closing)
        r->on_closed(r->on_closed_ctx);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct resolver_socket *s = handle->data;
    struct resolver *r = s->resolver;

    free(s);
    resolver_release(r);
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct resolver_socket *s = poll->data;
    ares_socket_t readable = status < 0 || events & UV_READABLE ? s->fd : ARES_SOCKET_BAD;
    ares_socket_t writable = status < 0 || events & UV_WRITABLE ? s->fd : ARES_SOCKET_BAD;

    ares_process_fd(s->resolver->channel, readable, writable);
}

static void socket_remove(struct resolver *r, struct resolver_socket *s)
{
    LL_DELETE(r->sockets, s);
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
}

static struct resolver_socket *socket_add(struct resolver *r, ares_socket_t fd)
{
    struct resolver_socket *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->fd = fd;
    s->resolver = r;
    if (uv_poll_init_socket(r->loop, &s->poll, fd) < 0) {
        free(s);
        return NULL;
    }
    s->poll.data = s;
    r->holds++;
    LL_PREPEND(r->sockets, s);
    return s;
}

static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = ctx;
    struct resolver_socket *s;

    LL_SEARCH_SCALAR(r->sockets, s, fd, fd);
    if (!readable && !writable) {
        if (s)
            socket_remove(r, s);
        return;
    }
    if (!s)
        s = socket_add(r, fd);
    if (s) /* without it the query ends by its deadline */
        uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                      on_socket_ready);
}

/* ---- queries ---- */

/* Anything but "there is none" is trouble: a name must not be called unknown for a server's fault.
 */
enum dns_found resolver_found(int status)
{
    if (status == ARES_SUCCESS)
        return DNS_FOUND;
    return status == ARES_ENOTFOUND || status == ARES_ENODATA ? DNS_NONE : DNS_TROUBLE;
}

void resolver_query_answer_name(struct resolver_query *q, enum dns_found verified)
{
    struct resolver_peer peer = {verified == DNS_FOUND ? q->name : "unknown", q->reverse, verified};

    if (q->answered)
        return;
    q->answered = true;
    q->on_name(q->ctx, &peer);
}

static void query_answer_addresses(struct resolver_query *q, const struct sockaddr_storage *found,
                                   size_t count, const char *error)
{
    if (q->answered)
        return;
    q->answered = true;
    q->on_addresses(q->ctx, found, count, error);
}

static void query_fail(struct resolver_query *q, const char *error)
{
    if (q->on_name)
        resolver_query_answer_name(q, DNS_TROUBLE);
    else if (q->on_answer)
        resolver_query_answer(q, DNS_TROUBLE);
    else if (q->mail)
        resolver_query_answer_mail(q, error);
    else
        query_answer_addresses(q, NULL, 0, error);
}

void resolver_query_free(struct resolver_query *q)
{
    struct resolver *r = q->resolver;

    q->finished = true;
    if (q->starting)
        return;
    DL_DELETE(r->queries, q);
    r->query_count--;
    free(q->answer);
    free(q->mail);
    free(q);
    if (!r->queries && !r->closing)
        uv_timer_stop(&r->timer);
}

static struct resolver_query *first_late(const struct resolver *r, uint64_t now)
{
    struct resolver_query *q;

    DL_FOREACH(r->queries, q) {
        if (!q->answered && now >= q->deadline_ms)
            return q;
    }
    return NULL;
}

static void on_tick(uv_timer_t *timer)
{
    struct resolver *r = timer->data;
    uint64_t now = clock_mono_ms();
    struct resolver_query *q;

    /* From the start each time: whoever is told may ask anew, and c-ares may end any query
     * meanwhile. */
    while ((q = first_late(r, now)))
        query_fail(q, "name look-up timed out");
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* c-ares' own retries */
}

static struct resolver_query *query_new_within(struct resolver *r, unsigned limit,
                                               uint64_t timeout_ms, void *ctx)
{
    struct resolver_query *q;

    if (r->closing || r->query_count >= limit)
        return NULL;
    q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->resolver = r;
    q->deadline_ms = clock_mono_ms() + timeout_ms;
    q->starting = true;
    q->ctx = ctx;
    DL_APPEND(r->queries, q);
    r->query_count++;
    if (!uv_is_active((uv_handle_t *)&r->timer))
        uv_timer_start(&r->timer, on_tick, TICK_MS, TICK_MS);
    return q;
}

/* Whatever is not for a destination of ours. */
struct resolver_query *resolver_query_new(struct resolver *r, uint64_t timeout_ms, void *ctx)
{
    return query_new_within(r, RESOLVER_STRANGERS_MAX, timeout_ms, ctx);
}

struct resolver_query *resolver_query_new_own(struct resolver *r, uint64_t timeout_ms, void *ctx)
{
    return query_new_within(r, RESOLVER_QUERIES_MAX, timeout_ms, ctx);
}

void resolver_cancel(struct resolver_query **q)
{
    if (!*q)
        return;
    (*q)->answered = true; /* freed when c-ares calls back */
    *q = NULL;
}

struct resolver_query *resolver_query_started(struct resolver_query *q)
{
    q->starting = false;
    if (!q->finished)
        return q;
    resolver_query_free(q);
    return NULL;
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET)
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
}

static void on_addresses(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolver_query *q = ctx;
    struct sockaddr_storage found[RESOLVER_ADDRESSES_MAX];
    uint16_t port = ((struct sockaddr_in *)&q->address)->sin_port;
    size_t count = 0;

    (void)timeouts;
    for (struct ares_addrinfo_node *n = info && status == ARES_SUCCESS ? info->nodes : NULL;
         n && count < RESOLVER_ADDRESSES_MAX; n = n->ai_next) {
        if (n->ai_family != AF_INET && n->ai_family != AF_INET6)
            continue;
        memset(&found[count], 0, sizeof found[count]);
        memcpy(&found[count], n->ai_addr, (size_t)n->ai_addrlen);
        set_port(&found[count++], port);
    }
    if (info)
        ares_freeaddrinfo(info);
    query_answer_addresses(q, found, count,
                           status == ARES_SUCCESS ? "no address" : ares_strerror(status));
    resolver_query_free(q);
}

struct resolver_query *resolver_addresses(struct resolver *r, const char *host, uint16_t port,
                                          int family, uint64_t timeout_ms,
                                          resolver_addresses_fn done, void *ctx)
{
    struct ares_addrinfo_hints hints = {.ai_family = family};
    struct sockaddr_storage literal;
    struct resolver_query *q;

    memset(&literal, 0, sizeof literal);
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&literal) == 0 ||
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)&literal) == 0) {
        done(ctx, &literal, 1, NULL);
        return NULL;
    }
    q = resolver_query_new_own(r, timeout_ms, ctx);
    if (!q) {
        done(ctx, NULL, 0, "too many name look-ups");
        return NULL;
    }
    q->on_addresses = done;
    ((struct sockaddr_in *)&q->address)->sin_port = port; /* only kept here */
    ares_getaddrinfo(r->channel, host, NULL, &hints, on_addresses, q);
    return resolver_query_started(q);
}

/* ---- start and stop ---- */

int resolver_init(struct resolver *r, uv_loop_t *loop, const char *servers, struct errbuf *err)
{
    struct ares_options options = {.timeout = 2000, .tries = 2};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    int rc;

    *r = (struct resolver){.loop = loop, .holds = 1};
    options.sock_state_cb = on_socket_state;
    options.sock_state_cb_data = r;
#ifdef ARES_OPT_QUERY_CACHE
    /* c-ares 1.23 and later keep answers for up to an hour, however many and large: whoever owns a
     * reverse zone could fill our memory. */
    mask |= ARES_OPT_QUERY_CACHE; /* with options.qcache_max_ttl 0: none */
#endif
    rc = ares_library_init(ARES_LIB_INIT_ALL);
    if (rc == ARES_SUCCESS)
        rc = ares_init_options(&r->channel, &options, mask);
    if (rc != ARES_SUCCESS)
        return errbuf_set(err, -EINVAL, "name resolver: %s", ares_strerror(rc));
    if (servers[0]) {
        rc = ares_set_servers_ports_csv(r->channel, servers);
        if (rc != ARES_SUCCESS) {
            ares_destroy(r->channel);
            return errbuf_set(err, -EINVAL, "dns_servers \"%s\": %s", servers, ares_strerror(rc));
        }
    }
    r->channel_open = true;
    uv_timer_init(loop, &r->timer);
    r->timer.data = r;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    resolver_release(handle->data);
}

void resolver_close(struct resolver *r, void (*on_closed)(void *ctx), void *ctx)
{
    struct resolver_query *q;

    r->closing = true;
    r->on_closed = on_closed;
    r->on_closed_ctx = ctx;
    DL_FOREACH(r->queries, q)
        q->answered = true;
    if (r->channel_open)
        ares_destroy(r->channel); /* calls back every query, which frees it; closes its sockets */
    r->channel_open = false;
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}
