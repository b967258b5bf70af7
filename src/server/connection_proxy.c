/*
 * connection_proxy - a connection from a load balancer, before it is a client's: its PROXY header
 *
 *   accept (from smtpd_upstream_proxy_hosts) --header--> connection_start, as the client it names
 *        |\--nothing, and closed: a health check, no word in the log
 *        `--no header in smtpd_upstream_proxy_timeout, or none: logged, 421
 *
 * From then on the balancer does not count any more: limits, networks, log, Received and XCLIENT
 * have the client that it names. Where it names none (its own health check, LOCAL; or UNKNOWN) its
 * own address is shown, which has no limit, and vouches for nobody even if it is in mynetworks.
 *
 * The bytes behind the header stay in the socket: whatever looks there for early talkers, or begins
 * TLS, finds what it would find without a balancer.
 *
 * Owns: the parser, from accept to the header's end.
 */
#include "server/connection_internal.h"

#include "server/proxy_protocol.h"

#include <stdlib.h>
#include <string.h>

struct connection_proxy {
    struct proxy_parser parser;
    bool any; /* something came */
};

/* Where the connection really comes from. */
static void put_source(const struct connection *c, char text[48])
{
    if (c->address.ss_family == AF_INET)
        uv_ip4_name((const struct sockaddr_in *)&c->address, text, 48);
    else
        uv_ip6_name((const struct sockaddr_in6 *)&c->address, text, 48);
}

static void forget_header(struct connection *c)
{
    free(c->proxy);
    c->proxy = NULL;
}

/* A balancer that does not speak the protocol loses mail's way, not mail: senders hear 421. */
static void refuse(struct connection *c, const char *why)
{
    const struct smtp_server *s = c->server;
    char source[48];
    char reply[400];
    struct text t;

    put_source(c, source);
    log_warning(s->log, "smtpd", "PROXY protocol error from %s: %s", source, why);
    c->server->rejected++;
    text_init(&t, reply, sizeof reply);
    text_printf(&t, "421 4.3.2 %s Error: PROXY protocol header expected\r\n",
                s->config->myhostname);
    stream_send(&c->stream, text_as_span(&t));
    stream_finish(&c->stream);
}

static void use_address(struct connection *c, const struct proxy_header *h)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&c->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&c->address;

    memset(&c->address, 0, sizeof c->address);
    if (memcmp(h->address, mapped, sizeof mapped) == 0) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(h->port);
        memcpy(&v4->sin_addr, h->address + sizeof mapped, 4);
    } else {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(h->port);
        memcpy(&v6->sin6_addr, h->address, 16);
    }
}

static void say_source(const struct connection *c, const char *source)
{
    char client[48];

    put_source(c, client);
    log_info(c->server->log, "smtpd", "connection of %s by way of %s", client, source);
}

static void begin(struct connection *c, const struct proxy_header *h)
{
    char source[48];

    put_source(c, source);
    if (h->kind == PROXY_CLIENT)
        use_address(c, h);
    c->balancer = h->kind != PROXY_CLIENT;
    c->probe = h->kind == PROXY_LOCAL;
    if (h->kind == PROXY_CLIENT &&
        peer_list_match_address(&c->server->config->debugged, h->address))
        say_source(c, source);
    forget_header(c);
    stream_deadline(&c->stream, 0);
    stream_read_most(&c->stream, 0);
    c->stream.events = &connection_stream_events;
    connection_start(c);
}

/* ---- what the stream says meanwhile ---- */

static size_t on_data(void *ctx, const char *bytes, size_t len)
{
    struct connection *c = ctx;
    struct span in = span_make(bytes, len);
    struct proxy_header header;
    const char *why;

    c->proxy->any = true;
    switch (proxy_parse(&c->proxy->parser, &in, &header, &why)) {
    case PROXY_MORE:
        stream_read_most(&c->stream, proxy_need(&c->proxy->parser));
        break;
    case PROXY_BAD:
        refuse(c, why);
        break;
    case PROXY_DONE:
        begin(c, &header);
        break;
    }
    return len; /* never more than the header's: proxy_need() */
}

static void on_deadline(void *ctx)
{
    struct connection *c = ctx;

    refuse(c, c->proxy->any ? "the header did not end in time"
                            : "no header came in time: does it send one?");
}

static void on_end(void *ctx, int rc)
{
    struct connection *c = ctx;
    char source[48];

    (void)rc;
    if (c->proxy->any) {
        put_source(c, source);
        log_warning(c->server->log, "smtpd",
                    "PROXY protocol error from %s: the connection ended within the header", source);
    }
    stream_close(&c->stream);
}

static void on_closed(void *ctx)
{
    struct connection *c = ctx;

    forget_header(c);
    connection_stream_events.on_closed(c);
}

static const struct stream_events header_events = {
    .on_data = on_data,
    .on_deadline = on_deadline,
    .on_end = on_end,
    .on_closed = on_closed,
};

/* ---- the beginning ---- */

bool connection_is_proxied(const struct connection *c)
{
    const struct config *config = c->server->config;

    return config->smtpd_upstream_proxy_protocol[0] != '\0' &&
           cidr_list_match(&config->proxies, c->address16);
}

void connection_await_header(struct connection *c)
{
    c->proxy = calloc(1, sizeof *c->proxy);
    if (!c->proxy) { /* it hears nothing, as when there are too many */
        stream_close(&c->stream);
        return;
    }
    proxy_parser_init(&c->proxy->parser);
    c->stream.events = &header_events;
    stream_read_most(&c->stream, proxy_need(&c->proxy->parser));
    stream_deadline(&c->stream, c->server->config->smtpd_upstream_proxy_timeout);
    stream_read(&c->stream);
}
