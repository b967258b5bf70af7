/* connection_accept - how a connection begins: who it is, whether there is room; see connection.c
 */
#include "server/connection_internal.h"

#include "base/clock.h"
#include "config/cidr.h"
#include "server/proxy_protocol.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <utlist.h>

/* The client's address as text and as 16 bytes; a mapped IPv4 address is shown as IPv4. */
static void name_address(struct connection *c, char text[48], uint16_t *port_out)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&c->address;
    struct sockaddr_in v4 = {.sin_family = AF_INET};

    if (c->address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        v4.sin_port = v6->sin6_port;
        memcpy(&v4.sin_addr, v6->sin6_addr.s6_addr + 12, 4);
        memcpy(&c->address, &v4, sizeof v4);
    }
    *port_out = ntohs(((struct sockaddr_in *)&c->address)->sin_port);
    if (c->address.ss_family == AF_INET)
        uv_ip4_name((struct sockaddr_in *)&c->address, text, 48);
    else
        uv_ip6_name(v6, text, 48);
    cidr_address_parse(span_of(text), c->address16);
    limits_key(c->address16, c->limits_key);
}

/* Where the connection comes from; false: it was reset already, nobody is there. */
static bool read_address(struct connection *c)
{
    int len = sizeof c->address;
    char text[48];
    uint16_t port;

    if (uv_tcp_getpeername(&c->stream.io.tcp, (struct sockaddr *)&c->address, &len) < 0)
        return false;
    name_address(c, text, &port);
    return true;
}

/*
 * Whether it took one of the last descriptors, which files and the upstream need; and when there is
 * none at all, a connection can be neither taken nor refused, and the loop turns in vain.
 */
static bool takes_a_last_descriptor(const struct connection *c)
{
    struct rlimit limit;
    uv_os_fd_t fd;
    rlim_t spare;

    if (uv_fileno(&c->stream.io.handle, &fd) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    spare = limit.rlim_cur / 4 < LISTENER_SPARE ? limit.rlim_cur / 4 : LISTENER_SPARE;
    return (rlim_t)fd >= limit.rlim_cur - spare;
}

static bool has_place(const struct smtp_server *s, bool trusted)
{
    return s->limits.total <= s->config->smtpd_connection_limit + (trusted ? LISTENER_SPARE : 0);
}

/* Says why, and hangs up. The client takes no place any more, whenever it is gone. */
static void turn_away(struct connection *c, const char *reply)
{
    if (c->counted)
        limits_leave(&c->server->limits, c->limits_key);
    c->counted = false;
    c->server->rejected++;
    session_refuse(&c->session, reply);
}

bool connection_is_unlimited(const struct connection *c)
{
    return c->local || c->balancer || cidr_list_match(&c->server->config->unlimited, c->address16);
}

unsigned connection_count_event(struct connection *c, enum limits_event event)
{
    struct smtp_server *s = c->server;

    if (connection_is_unlimited(c))
        return 0;
    return limits_count(&s->limits, c->limits_key, event, clock_mono_ms(),
                        s->config->anvil_rate_time_unit);
}

unsigned connection_event(void *ctx, enum session_event event)
{
    static const enum limits_event events[SESSION_EVENT_COUNT] = {
        [SESSION_EVENT_MESSAGE] = LIMITS_MESSAGE,
        [SESSION_EVENT_RECIPIENT] = LIMITS_RECIPIENT,
        [SESSION_EVENT_AUTH] = LIMITS_AUTH,
        [SESSION_EVENT_USER_MESSAGE] = LIMITS_MESSAGE,
        [SESSION_EVENT_USER_RECIPIENT] = LIMITS_RECIPIENT,
    };
    struct connection *c = ctx;

    if (event == SESSION_EVENT_USER_MESSAGE || event == SESSION_EVENT_USER_RECIPIENT)
        return connection_count_user(c, events[event]);
    return connection_count_event(c, events[event]);
}

/* The limit that the client exceeds, in the log's words; NULL: none. */
static const char *exceeded(struct connection *c, unsigned *count)
{
    const struct config *config = c->server->config;
    uint64_t rate_limit = config->smtpd_client_connection_rate_limit;
    uint64_t count_limit = config->smtpd_client_connection_count_limit;
    unsigned rate = rate_limit > 0 ? connection_count_event(c, LIMITS_CONNECTION) : 0;

    if (count_limit > 0 && *count > count_limit && !connection_is_unlimited(c))
        return "Connection concurrency";
    if (rate <= rate_limit)
        return NULL;
    *count = rate;
    return "Connection rate";
}

/* True when the client was turned away. */
static bool refuse_excess(struct connection *c, const struct session_client *client)
{
    struct smtp_server *s = c->server;
    unsigned count = limits_enter(&s->limits, c->limits_key);
    const char *limit = "Connection concurrency";
    char reply[400];
    struct text t;

    c->counted = count > 0;
    text_init(&t, reply, sizeof reply);
    if (s->stopping || s->draining)
        text_printf(&t, "421 4.3.2 %s Service shutting down", s->config->myhostname);
    else if (!c->counted || !has_place(s, client->trusted || c->probe))
        text_printf(&t, "421 4.3.2 %s Error: all server ports are busy", s->config->myhostname);
    else if ((limit = exceeded(c, &count)) != NULL)
        text_printf(&t, "421 4.7.0 %s Error: too many connections from %s", s->config->myhostname,
                    client->address);
    else
        return false;
    if (c->counted && !s->stopping && !s->draining)
        log_client_limit(s->log, limit, count, &(struct log_peer){"unknown", client->address},
                         NULL);
    turn_away(c, reply);
    return true;
}

/* What the client sent before our greeting, if anything; looked at, not taken. */
static struct span early_input(struct connection *c, char *buf, size_t cap)
{
    uv_os_fd_t fd;
    ssize_t n = -1;

    if (uv_fileno(&c->stream.io.handle, &fd) == 0)
        n = recv(fd, buf, cap, MSG_PEEK | MSG_DONTWAIT);
    return span_make(buf, n > 0 ? (size_t)n : 0);
}

/* As a client on loopback, whom no PTR look-up and no list of networks needs to vouch for. */
static void start_local(struct connection *c)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&c->address;
    struct session_client client = {
        .address = "127.0.0.1",
        .envelopes = &c->server->intake->envelopes,
        .trusted = true,
        .no_tls = true,
    };

    c->local = true;
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cidr_address_parse(span_of(client.address), c->address16);
    limits_key(c->address16, c->limits_key);
    session_init(&c->session, &connection_session_ops, c, c->server->config, c->server->log,
                 &client);
    session_peer_name(&c->session, "localhost", DNS_FOUND, DNS_FOUND);
    if (refuse_excess(c, &client))
        return;
    session_start(&c->session);
    stream_read(&c->stream);
}

/*
 * A PROXY header from somebody who is not listed: a balancer that the settings do not know, or a
 * stranger who tries. Not greeted, not even when trusted: the client behind it is not the trusted
 * one. One that comes later is no command (run_unknown in session_command.c).
 */
static bool refuse_header(struct connection *c, struct span input, const char *address)
{
    const struct config *config = c->server->config;
    char reply[400];
    struct text t;

    if (!proxy_looks_like(input))
        return false;
    log_warning(c->server->log, "smtpd", "PROXY protocol header from %s, %s: refused", address,
                config->smtpd_upstream_proxy_protocol[0]
                    ? "which is not in smtpd_upstream_proxy_hosts"
                    : "but smtpd_upstream_proxy_protocol is not set");
    text_init(&t, reply, sizeof reply);
    text_printf(&t, "421 4.7.0 %s Error: PROXY protocol header refused", config->myhostname);
    turn_away(c, reply);
    return true;
}

void connection_start(struct connection *c)
{
    struct session_client client = {0};
    char address[48];
    char early[64];
    struct span input;

    name_address(c, address, &client.port);
    client.address = address;
    client.envelopes = &c->server->intake->envelopes;
    client.wrapped = c->wrapped;
    client.submission = c->submission;
    client.trusted = !c->balancer && cidr_list_match(&c->server->config->networks, c->address16);
    session_init(&c->session, &connection_session_ops, c, c->server->config, c->server->log,
                 &client);
    if (refuse_excess(c, &client))
        return;
    if (c->wrapped) {
        session_start(&c->session); /* the stream reads with the handshake */
        return;
    }
    input = early_input(c, early, sizeof early);
    if (refuse_header(c, input, address))
        return;
    if (input.len > 0)
        session_start_early(&c->session, input);
    else
        session_start(&c->session);
    stream_read(&c->stream);
}

/* NULL when there are too many, or no memory. */
static struct connection *connection_new(const struct smtp_server *s)
{
    if (s->connection_count >= s->config->smtpd_connection_limit + 2 * LISTENER_SPARE)
        return NULL;
    return calloc(1, sizeof(struct connection));
}

static void connection_enter(struct connection *c, struct smtp_server *s)
{
    c->server = s;
    c->holds = 1;
    DL_APPEND(s->connections, c);
    s->connection_count++;
    s->holds++;
}

int connection_adopt(struct smtp_server *s, int fd)
{
    struct connection *c = connection_new(s);
    int rc = c ? stream_adopt(&c->stream, s->streams, fd, &connection_stream_events, c) : UV_ENOMEM;

    if (rc < 0) {
        free(c);
        return rc;
    }
    connection_enter(c, s);
    start_local(c);
    return 0;
}

void connection_accept(const struct listener *l, uv_stream_t *stream)
{
    struct smtp_server *s = l->server;
    struct connection *c = connection_new(s);
    uv_tcp_t *refused;

    if (c && stream_accept(&c->stream, s->streams, stream, &connection_stream_events, c) == 0) {
        connection_enter(c, s);
        c->wrapped = l->wrapped;
        c->submission = l->submission;
        if (takes_a_last_descriptor(c)) {
            s->rejected++;
            log_warning(s->log, "smtpd", "too few descriptors: a client is turned away");
            stream_close(&c->stream); /* without a word: the next one may need its place */
        } else if (!read_address(c)) {
            stream_close(&c->stream);
        } else if (connection_is_proxied(c)) {
            connection_await_header(c);
        } else {
            connection_start(c);
        }
        return;
    }
    free(c);
    refused = malloc(sizeof *refused); /* closed without a word: nothing is left to say it with */
    if (!refused)
        return;
    uv_tcp_init(s->loop, refused);
    uv_accept(stream, (uv_stream_t *)refused);
    uv_close((uv_handle_t *)refused, (uv_close_cb)free);
}
