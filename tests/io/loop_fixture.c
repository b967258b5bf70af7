/* loop_fixture - see loop_fixture.h */
#include "loop_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS    5
#define IDLE_TURNS 10

static void on_tick(uv_timer_t *timer)
{
}

void loop_begin(struct loop_fixture *f)
{
    signal(SIGPIPE, SIG_IGN); /* as serve does */
    assert_int_equal(uv_loop_init(&f->loop), 0);
    stream_pool_init(&f->streams, &f->loop);
    assert_int_equal(lane_init_threads(&f->tls, &f->loop, 2), 0);
    f->streams.tls_lane = &f->tls;
    uv_timer_init(&f->loop, &f->tick);
    uv_timer_start(&f->tick, on_tick, TICK_MS, TICK_MS);
    uv_unref((uv_handle_t *)&f->tick);
}

void loop_end(struct loop_fixture *f)
{
    uint64_t until = uv_hrtime() / 1000000 + LOOP_PATIENCE_MS;

    while (uv_loop_alive(&f->loop)) {
        assert_true(uv_hrtime() / 1000000 < until); /* something was not closed */
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    lane_close(&f->tls, NULL, NULL);
    uv_close((uv_handle_t *)&f->tick, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

void loop_turn(struct loop_fixture *f)
{
    uv_ref((uv_handle_t *)&f->tick); /* else a loop with nothing to do would spin */
    uv_run(&f->loop, UV_RUN_ONCE);
    uv_unref((uv_handle_t *)&f->tick);
}

void loop_idle(struct loop_fixture *f)
{
    for (int i = 0; i < IDLE_TURNS; i++)
        loop_turn(f);
}

struct sockaddr_in peer_address(uint16_t port)
{
    struct sockaddr_in address;

    assert_int_equal(uv_ip4_addr("127.0.0.1", port, &address), 0);
    return address;
}

int peer_listen(uint16_t *port_out)
{
    struct sockaddr_in address = peer_address(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port_out = ntohs(address.sin_port);
    return fd;
}

int peer_accept(struct loop_fixture *f, int listener)
{
    int fd = -1;

    loop_wait(f, (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    return fd;
}

int peer_connect(uint16_t port)
{
    struct sockaddr_in address = peer_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        assert_int_equal(errno, EINPROGRESS);
    return fd;
}

void peer_send(struct loop_fixture *f, int fd, const char *bytes, size_t len)
{
    uint64_t until = uv_hrtime() / 1000000 + LOOP_PATIENCE_MS;

    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        assert_true(n > 0 || errno == EAGAIN);
        assert_true(uv_hrtime() / 1000000 < until);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
        loop_turn(f);
    }
}

long peer_take(int fd, char *buf, size_t cap)
{
    ssize_t n = recv(fd, buf, cap, 0);

    return n < 0 ? -errno : n;
}

void peer_close(int fd)
{
    assert_int_equal(close(fd), 0);
}

void peer_reset(int fd)
{
    struct linger now = {1, 0};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    peer_close(fd);
}

uint16_t peer_dead_port(void)
{
    uint16_t port;
    int fd = peer_listen(&port);

    peer_close(fd);
    return port;
}
