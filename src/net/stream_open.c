/* stream_open - accepted and connected streams; see stream.h */
#include "net/stream_internal.h"

#include <netinet/tcp.h>
#include <unistd.h>

/*
 * A peer that restarted has forgotten the connection; if it is our turn to wait, only a probe makes
 * it say so (RST), and minutes of waiting for a reply would hold a place at the destination. A peer
 * that is merely out of reach is given as long as anybody waits: after a short outage of the
 * network the reply still comes, and giving up would mean delivering twice.
 */
#define KEEPALIVE_S     5
#define KEEPALIVE_COUNT 120

static int prepare(struct stream *s, struct stream_pool *pool, const struct stream_events *events,
                   void *ctx, bool is_unix)
{
    int rc;

    *s = (struct stream){.pool = pool, .events = events, .ctx = ctx, .holds = 2};
    rc = is_unix ? uv_pipe_init(pool->loop, &s->io.pipe, 0) : uv_tcp_init(pool->loop, &s->io.tcp);
    if (rc < 0)
        return rc;
    uv_timer_init(pool->loop, &s->timer); /* cannot fail */
    s->io.handle.data = s;
    s->timer.data = s;
    s->write.data = s;
    s->connect.data = s;
    return 0;
}

int stream_accept(struct stream *s, struct stream_pool *pool, uv_stream_t *server,
                  const struct stream_events *events, void *ctx)
{
    int rc = prepare(s, pool, events, ctx, server->type == UV_NAMED_PIPE);

    if (rc < 0)
        return rc;
    rc = uv_accept(server, &s->io.stream);
    if (rc < 0) {
        s->ended = true; /* on_closed still comes: the handles exist */
        stream_close(s);
        return 0;
    }
    s->open = true;
    if (server->type == UV_TCP)
        uv_tcp_nodelay(&s->io.tcp, 1);
    return 0;
}

static void keep_alive(struct stream *s)
{
    const int on = 1, every = KEEPALIVE_S, count = KEEPALIVE_COUNT;
    uv_os_fd_t fd;

    if (uv_fileno(&s->io.handle, &fd) < 0)
        return;
    /* Without it only a peer's restart shows later. */
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &every, sizeof every);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

int stream_adopt(struct stream *s, struct stream_pool *pool, int fd,
                 const struct stream_events *events, void *ctx)
{
    int rc = prepare(s, pool, events, ctx, true);

    if (rc < 0)
        return rc;
    if (uv_pipe_open(&s->io.pipe, fd) < 0) {
        close(fd);
        s->ended = true; /* on_closed still comes: the handles exist */
        stream_close(s);
        return 0;
    }
    s->open = true;
    return 0;
}

static void on_connected(uv_connect_t *request, int status)
{
    struct stream *s = request->data;

    if (s->closing)
        return;
    if (status < 0) {
        stream_end(s, status);
        return;
    }
    s->open = true;
    if (s->io.handle.type == UV_TCP) {
        uv_tcp_nodelay(&s->io.tcp, 1);
        keep_alive(s);
    }
    s->events->on_open(s->ctx);
    stream_flush(s);
}

int stream_connect_way(struct stream *s, struct stream_pool *pool, const struct stream_way *way,
                       const struct stream_events *events, void *ctx)
{
    int rc = prepare(s, pool, events, ctx, false);

    if (rc < 0)
        return rc;
    rc = way->from ? uv_tcp_bind(&s->io.tcp, way->from, 0) : 0;
    if (rc == 0)
        rc = uv_tcp_connect(&s->connect, &s->io.tcp, way->to, on_connected);
    if (rc < 0) /* e.g. no route for the family: told like any refused connect */
        stream_break(s, rc);
    return 0;
}

int stream_connect_tcp(struct stream *s, struct stream_pool *pool, const struct sockaddr *address,
                       const struct stream_events *events, void *ctx)
{
    return stream_connect_way(s, pool, &(struct stream_way){.to = address}, events, ctx);
}

int stream_connect_unix(struct stream *s, struct stream_pool *pool, const char *path,
                        const struct stream_events *events, void *ctx)
{
    int rc = prepare(s, pool, events, ctx, true);

    if (rc < 0)
        return rc;
    uv_pipe_connect(&s->connect, &s->io.pipe, path, on_connected);
    return 0;
}
