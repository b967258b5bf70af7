/* listener - see listener.h */
#include "server/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 511

static int spare_descriptor(const struct smtp_server *s)
{
    return fcntl(uv_backend_fd(s->loop), F_DUPFD_CLOEXEC, 0);
}

/*
 * A connection that there is no descriptor for would be offered again and again: it is taken with
 * the spare one, and closed. libuv has one for that as well, which it opens anew by name: in the
 * sandbox that works once. (Its newer versions do not tell us; see takes_a_last_descriptor.)
 */
static void turn_away_unseen(struct smtp_server *s, uv_stream_t *stream)
{
    uv_os_fd_t listening;
    int fd;

    if (uv_fileno((uv_handle_t *)stream, &listening) < 0)
        return;
    if (s->spare > 0)
        close(s->spare);
    fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        close(fd);
    s->spare = spare_descriptor(s);
    s->rejected++;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = stream->data;

    if (status == UV_EMFILE || status == UV_ENFILE)
        turn_away_unseen(l->server, stream);
    if (status < 0) {
        log_warning(l->server->log, "smtpd", "accept: %s", uv_strerror(status));
        return;
    }
    connection_accept(l, stream);
}

static int bind_error(const struct listen_address *a, int rc, struct errbuf *err)
{
    const char *remedy = "";

    if (rc == UV_EACCES)
        remedy = "; ports below 1024 need root, CAP_NET_BIND_SERVICE, or listen=2525";
    else if (rc == UV_EADDRINUSE)
        remedy = "; something else listens there: stop it, or choose another port with listen=";
    return errbuf_set(err, rc, "cannot listen on %s:%u: %s%s", a->host[0] ? a->host : "*",
                      (unsigned)a->port, uv_strerror(rc), remedy);
}

static int parse_host(const struct config *config, const struct listen_address *a,
                      struct sockaddr_storage *out)
{
    bool v4_only = config->inet_protocols == INET_IPV4;
    const char *host = a->host[0] ? a->host : v4_only ? "0.0.0.0" : "::";

    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (uv_ip4_addr(host, a->port, (struct sockaddr_in *)out) == 0)
        return 0;
    return uv_ip6_addr(host, a->port, (struct sockaddr_in6 *)out);
}

static void write_text(struct listener *l)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    char host[64] = "";
    struct text t;

    text_init(&t, l->text, sizeof l->text);
    if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&address, &len) < 0)
        return;
    if (address.ss_family == AF_INET) {
        uv_ip4_name((struct sockaddr_in *)&address, host, sizeof host);
        text_printf(&t, "%s:%u", host, (unsigned)ntohs(((struct sockaddr_in *)&address)->sin_port));
    } else {
        uv_ip6_name((struct sockaddr_in6 *)&address, host, sizeof host);
        text_printf(&t, "[%s]:%u", host,
                    (unsigned)ntohs(((struct sockaddr_in6 *)&address)->sin6_port));
    }
    text_cstr(&t, listen_kind(l->wrapped, l->submission));
}

static int bind_socket(struct smtp_server *s, struct listener *l, const struct listen_address *a)
{
    struct sockaddr_storage address;
    unsigned flags = s->config->inet_protocols == INET_IPV6 ? UV_TCP_IPV6ONLY : 0;
    int rc = parse_host(s->config, a, &address);

    if (rc < 0)
        return rc;
    if (address.ss_family == AF_INET)
        flags = 0;
    return uv_tcp_bind(&l->tcp, (struct sockaddr *)&address, flags);
}

void smtp_server_release(struct smtp_server *s)
{
    if (--s->holds > 0 || !s->on_closed)
        return;
    dns_cache_free(&s->dns);
    limits_deinit(&s->limits);
    limits_deinit(&s->user_limits);
    s->on_closed(s->on_closed_ctx);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    struct smtp_server *s = l->server;

    smtp_server_release(s);
}

/* Whether IPv6 is there: in many a container it is not. */
static bool has_ipv6_loopback(void)
{
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;

    if (fd >= 0)
        close(fd);
    return there;
}

static int list_addresses(const struct smtp_server *s, struct listen_list *list, struct errbuf *err)
{
    struct listen_list all;
    bool ipv6 = s->config->inet_protocols != INET_IPV4 && has_ipv6_loopback();
    int rc = listen_list_parse(&all, span_of(s->config->listen), err);

    list->count = 0;
    if (rc == 0)
        rc = listen_list_narrow(&all, span_of(s->config->inet_interfaces), err);
    for (size_t i = 0; rc == 0 && i < all.count; i++) {
        if (ipv6 || !all.entries[i].optional)
            list->entries[list->count++] = all.entries[i];
    }
    return rc;
}

int smtp_server_bind(struct smtp_server *s, struct errbuf *err)
{
    struct listen_list list;
    int rc = list_addresses(s, &list, err);

    s->holds = 1;
    s->spare = spare_descriptor(s);
    for (size_t i = 0; i < list.count && rc == 0; i++) {
        struct listener *l = &s->listeners[s->listener_count];
        struct listen_address any4 = list.entries[i];

        l->server = s;
        l->wrapped = list.entries[i].wrapped || s->config->smtpd_tls_wrappermode;
        l->submission = list.entries[i].submission;
        l->address = any4;
        uv_tcp_init(s->loop, &l->tcp);
        l->tcp.data = l;
        s->listener_count++;
        s->holds++;
        rc = bind_socket(s, l, &list.entries[i]);
        if ((rc == UV_EAFNOSUPPORT || rc == UV_EADDRNOTAVAIL) && !any4.host[0]) {
            memcpy(any4.host, "0.0.0.0", 8); /* a host without IPv6 */
            rc = bind_socket(s, l, &any4);
        }
        if (rc < 0)
            return bind_error(&list.entries[i], rc, err);
    }
    return rc;
}

int smtp_server_start(struct smtp_server *s, struct errbuf *err)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        struct listener *l = &s->listeners[i];
        int rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);

        if (rc < 0) /* EADDRINUSE shows here, EACCES in bind */
            return bind_error(&l->address, rc, err);
        write_text(l);
    }
    return 0;
}

void smtp_server_set_config(struct smtp_server *s, struct config *config)
{
    s->config = config;
}

bool listener_wants_header(const struct listener *l)
{
    const struct config *config = l->server->config;
    struct sockaddr_storage address;
    int len = sizeof address;
    char host[64] = "";
    unsigned char binary[16];
    struct span source;

    if (config->smtpd_upstream_proxy_protocol[0] == '\0' ||
        uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&address, &len) < 0)
        return false;
    if (address.ss_family == AF_INET)
        uv_ip4_name((struct sockaddr_in *)&address, host, sizeof host);
    else
        uv_ip6_name((struct sockaddr_in6 *)&address, host, sizeof host);
    source = span_of(host);
    if (span_equal(source, SPAN_LIT("0.0.0.0"))) /* whoever connects uses loopback */
        source = SPAN_LIT("127.0.0.1");
    else if (span_equal(source, SPAN_LIT("::")))
        source = SPAN_LIT("::1");
    return cidr_address_parse(source, binary) && cidr_list_match(&config->proxies, binary);
}

uint64_t smtp_server_rejected(const struct smtp_server *s)
{
    uint64_t count = s->rejected;

    for (struct connection *c = s->connections; c; c = connection_next(c))
        count += connection_rejects(c);
    return count;
}

static void close_listeners(struct smtp_server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (!uv_is_closing((uv_handle_t *)&s->listeners[i].tcp))
            uv_close((uv_handle_t *)&s->listeners[i].tcp, on_listener_closed);
    }
}

static void shut_down_all(struct smtp_server *s)
{
    struct connection *c, *next;

    for (c = s->connections; c; c = next) {
        next = connection_next(c);
        connection_shutdown(c);
    }
}

void smtp_server_drain(struct smtp_server *s, bool on)
{
    s->draining = on;
    if (on)
        shut_down_all(s);
}

unsigned smtp_server_busy(const struct smtp_server *s)
{
    unsigned count = 0;

    for (struct connection *c = s->connections; c; c = connection_next(c))
        count += connection_is_busy(c);
    return count;
}

void smtp_server_stop(struct smtp_server *s)
{
    s->stopping = true;
    close_listeners(s);
    shut_down_all(s);
}

void smtp_server_close(struct smtp_server *s, void (*on_closed)(void *ctx), void *ctx)
{
    struct connection *c, *next;

    s->stopping = true;
    s->on_closed = on_closed;
    s->on_closed_ctx = ctx;
    close_listeners(s);
    if (s->spare > 0)
        close(s->spare);
    s->spare = 0;
    for (c = s->connections; c; c = next) {
        next = connection_next(c);
        connection_close(c);
    }
    smtp_server_release(s);
}
