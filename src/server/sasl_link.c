/* sasl_link - see sasl_link.h */
#include "server/sasl_link.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void connect_next(struct sasl_link *l);

static void link_free(struct sasl_link *l)
{
    struct sasl_server *s = l->server;

    explicit_bzero(&l->engine, sizeof l->engine);
    free(l);
    sasl_server_release(s);
}

void sasl_link_close(struct sasl_link *l)
{
    l->gone = true;
    resolver_cancel(&l->query);
    if (l->has_stream)
        stream_close(&l->stream); /* on_closed */
    else
        link_free(l);
}

static void lost(struct sasl_link *l, const char *why)
{
    if (!l->gone)
        sasl_server_lost(l->server, why);
}

bool sasl_link_has_room(const struct sasl_link *l)
{
    return stream_pending(&l->stream) < STREAM_OUT_HIGH;
}

void sasl_link_send(struct sasl_link *l, struct span line)
{
    stream_send(&l->stream, line);
}

/* ---- what the stream says ---- */

/* Dovecot tells its clients apart by it, and in containers many have the same process number. */
static uint64_t client_number(void)
{
    uint32_t number;

    if (uv_random(NULL, NULL, &number, sizeof number, 0, NULL) < 0)
        return (uint64_t)getpid();
    return (number & INT32_MAX) | 1;
}

static void on_open(void *ctx)
{
    struct sasl_link *l = ctx;
    char buf[100];
    struct text t;

    text_init(&t, buf, sizeof buf);
    sasl_dovecot_put_hello(&t, client_number());
    stream_read(&l->stream);
    sasl_link_send(l, text_as_span(&t));
}

static void on_up(struct sasl_link *l)
{
    l->up = true;
    stream_deadline(&l->stream, 0);
    sasl_server_up(l->server);
}

static size_t on_data(void *ctx, const char *bytes, size_t len)
{
    struct sasl_link *l = ctx;
    struct span in = span_make(bytes, len);

    while (in.len > 0 && !l->gone) {
        enum sasl_dovecot_event event = sasl_dovecot_feed(&l->engine, &in);

        if (event == SASL_DOVECOT_BROKEN)
            lost(l, l->engine.reason);
        else if (event == SASL_DOVECOT_READY)
            on_up(l);
        else if (event != SASL_DOVECOT_MORE)
            sasl_server_answer(l->server, event);
    }
    return len;
}

static void on_deadline(void *ctx)
{
    lost(ctx, "it takes too long");
}

/* An address that does not answer is not all there is. */
static void on_end(void *ctx, int rc)
{
    struct sasl_link *l = ctx;

    if (l->gone)
        return;
    l->why = rc == UV_EOF ? "Connection closed" : strerror(-rc);
    if (l->stream.open || l->address_next >= l->address_count) {
        lost(l, l->why);
        return;
    }
    stream_close(&l->stream); /* on_closed: the next one */
}

static void on_closed(void *ctx)
{
    struct sasl_link *l = ctx;

    l->has_stream = false;
    if (l->gone)
        link_free(l);
    else
        connect_next(l);
}

static const struct stream_events events = {
    .on_open = on_open,
    .on_data = on_data,
    .on_deadline = on_deadline,
    .on_end = on_end,
    .on_closed = on_closed,
};

/* ---- the way there ---- */

static void connected(struct sasl_link *l, int rc)
{
    l->has_stream = rc == 0;
    if (rc < 0)
        lost(l, strerror(-rc));
    else
        stream_deadline(&l->stream, SASL_SERVER_OPEN_MS);
}

static void connect_next(struct sasl_link *l)
{
    struct sockaddr *address = (struct sockaddr *)&l->addresses[l->address_next];

    l->address_next++;
    connected(l, stream_connect_tcp(&l->stream, l->server->streams, address, &events, l));
}

static void on_addresses(void *ctx, const struct sockaddr_storage *addresses, size_t count,
                         const char *error)
{
    struct sasl_link *l = ctx;

    l->query = NULL;
    if (count == 0) {
        lost(l, error);
        return;
    }
    memcpy(l->addresses, addresses, count * sizeof *addresses);
    l->address_count = count;
    connect_next(l);
}

static int address_family(const struct config *config)
{
    if (config->inet_protocols == INET_IPV4)
        return AF_INET;
    return config->inet_protocols == INET_IPV6 ? AF_INET6 : AF_UNSPEC;
}

static void begin(struct sasl_link *l)
{
    struct sasl_server *s = l->server;
    struct resolver_query *query;

    if (l->path.host[0] == '\0') {
        connected(l, stream_connect_unix(&l->stream, s->streams, l->path.file, &events, l));
        return;
    }
    query = resolver_addresses(s->resolver, l->path.host, l->path.port, address_family(s->config),
                               s->config->dns_timeout, on_addresses, l);
    if (query)
        l->query = query;
}

struct sasl_link *sasl_link_open(struct sasl_server *s)
{
    struct sasl_link *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->server = s;
    s->holds++;
    s->link = l;
    sasl_dovecot_init(&l->engine);
    sasl_path_parse(span_of(s->path), &l->path, NULL);
    begin(l);
    return l;
}
