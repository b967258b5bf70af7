/* control_fixture - see control_fixture.h */
#include "control_fixture.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 10000
#define SILENCE_MS  50

struct control_world world;

/* ---- the daemon around the server ---- */

static void on_line(void *ctx, enum log_severity severity, struct span line)
{
    assert_true(world.log_len + line.len + 2 < sizeof world.log_text);
    memcpy(world.log_text + world.log_len, line.ptr, line.len);
    world.log_len += line.len;
    world.log_text[world.log_len++] = '\n';
    world.log_text[world.log_len] = '\0';
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    size_t len = strlen(world.asked);
    va_list args;

    va_start(args, format);
    vsnprintf(world.asked + len, sizeof world.asked - len, format, args);
    va_end(args);
}

static void on_status(void *ctx, struct status *out)
{
    note("status ");
    *out = world.status;
}

static size_t on_active(void *ctx, struct queue_id *ids, size_t cap)
{
    note("active ");
    assert_true(world.active_count <= cap);
    memcpy(ids, world.active, world.active_count * sizeof *ids);
    return world.active_count;
}

static size_t on_flush(void *ctx, const struct queue_id *id, const char *site)
{
    note("flush(%s,%s) ", id ? id->text : "-", site ? site : "-");
    return 3;
}

/* Answered by the test: order_over(). */
static bool on_order(void *ctx, const struct queue_order_request *r, struct queue_asker *asker)
{
    note("order(%s,%x,", queue_order_name(r->order), r->queues);
    note("%.*s) ", r->all ? 3 : (int)r->ids.len, r->all ? "ALL" : r->ids.ptr);
    if (world.no_memory)
        return false;
    assert_null(world.asker);
    world.asker = asker;
    asker->batch = (struct queue_batch *)&world; /* something; only whether there is one counts */
    return true;
}

void order_over(const struct queue_order_result *result)
{
    struct queue_asker *asker = world.asker;

    assert_non_null(asker);
    world.asker = NULL;
    asker->batch = NULL;
    asker->done(asker->ctx, result);
}

static int on_reload(void *ctx, struct errbuf *err)
{
    note("reload ");
    return world.reload_refused ? errbuf_set(err, EX_CONFIG, "%s", world.reload_refused) : 0;
}

static void on_stop(void *ctx)
{
    note("stop ");
}

static bool on_drain(void *ctx, enum control_drain_order order, uint64_t patience_ms,
                     struct control_drain *out)
{
    if (world.stopping && order != CONTROL_DRAIN_LOOK)
        return false;
    if (order != CONTROL_DRAIN_LOOK)
        world.drain_since_s = order == CONTROL_DRAIN_BEGIN ? 5 : 0;
    *out = (struct control_drain){.since_s = world.drain_since_s, .queued = patience_ms};
    return true;
}

/* The session is a word: what counts is that it comes over the same socket. */
static int on_smtp(void *ctx, int fd)
{
    if (world.smtp_refused)
        return -ENOMEM;
    assert_int_equal(send(fd, "220 hello\r\n", 11, MSG_NOSIGNAL), 11);
    world.smtp_fd = fd;
    return 0;
}

static void build_config(void)
{
    static const char *const environment[] = {"ALLOWED_DOMAINS=example.com",
                                              "RELAY_TRANSPORT=lmtp:[192.0.2.53]:24",
                                              "HOSTNAME=mx.example.com",
                                              "MESSAGE_SIZE_LIMIT=3000000",
                                              "SMTPD_RECIPIENT_LIMIT=3",
                                              "HOPCOUNT_LIMIT=5",
                                              NULL};
    struct config_source source = {.environment = environment, .system_hostname = "localhost"};

    assert_int_equal(config_build(&source, NULL, NULL, &world.config), 0);
}

int world_start(struct errbuf *err, const char *path)
{
    struct control_setup setup = {
        .pool = &world.pool,
        .path = path ? path : world.socket,
        .ops = &world.ops,
        .intake = &world.intake,
        .config = world.config,
        .log = &world.log,
    };
    int rc = control_server_start(&world.server, &setup, err);

    world.started = rc == 0;
    return rc;
}

int world_setup(void **state)
{
    struct errbuf err;

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    memset(&world, 0, sizeof world);
    disk_setup(&world.disk);
    build_config();
    stream_pool_init(&world.pool, &world.disk.loop);
    world.place = (struct body_place){
        .incoming_fd = open(world.disk.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .disk = &world.disk.disk,
        .budget = {.limit = 1 << 20},
    };
    world.ops = (struct control_ops){NULL,     on_status, on_active, on_flush, on_reload,
                                     on_order, on_stop,   on_smtp,   on_drain};
    world.log = (struct log){.syslog_name = "postfix", .pid = 7, .sink = on_line};
    snprintf(world.socket, sizeof world.socket, "%s/control.sock", world.disk.path);
    if (world_start(&err, NULL) < 0)
        fail_msg("%s", err.text);
    return 0;
}

static void on_stopped(void *ctx)
{
    assert_false(world.stopped);
    world.stopped = true;
}

void world_stop(void)
{
    control_server_stop(&world.server, on_stopped, NULL);
}

int world_teardown(void **state)
{
    if (world.started && !world.stopped)
        world_stop();
    disk_run(&world.disk); /* ends only when every handle is closed */
    assert_int_equal(world.stopped, world.started);
    assert_int_equal(world.place.budget.used, 0);
    assert_int_equal(disk_names(&world.disk, "."), 0);
    config_unref(&world.config);
    close(world.place.incoming_fd);
    world.disk.fds++; /* libuv opened its reserve against EMFILE when we listened */
    disk_teardown(&world.disk);
    return 0;
}

void world_run(void)
{
    for (int i = 0; i < 20; i++) {
        uv_run(&world.disk.loop, UV_RUN_NOWAIT);
        usleep(500); /* the lane's threads */
    }
}

void world_expect_log(const char *words)
{
    if (!strstr(world.log_text, words))
        fail_msg("no \"%s\" in\n%s", words, world.log_text);
}

/* ---- clients ---- */

int client_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(span_copy(span_of(world.socket), address.sun_path, sizeof address.sun_path));
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void client_say_bytes(int fd, struct span bytes)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;

    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EPIPE)
            return; /* the reply says why */
        if (n < 0 && errno != EAGAIN)
            fail_msg("send: %s", strerror(errno));
        if (n > 0)
            bytes = span_from(bytes, (size_t)n);
        uv_run(&world.disk.loop, UV_RUN_NOWAIT);
        assert_true(clock_mono_ms() < end);
    }
}

void client_say(int fd, const char *words)
{
    client_say_bytes(fd, span_of(words));
}

/* Up to `cap` bytes; fewer at the end, or when nothing comes for `patience`. */
static size_t receive(int fd, char *buf, size_t cap, uint64_t patience, bool *ended)
{
    uint64_t end = clock_mono_ms() + patience;
    size_t len = 0;

    *ended = false;
    while (len < cap && !*ended && clock_mono_ms() < end) {
        ssize_t n = recv(fd, buf + len, cap - len, 0);

        if (n < 0 && errno != EAGAIN && errno != ECONNRESET)
            fail_msg("recv: %s", strerror(errno));
        *ended = n == 0 || (n < 0 && errno == ECONNRESET);
        if (n > 0)
            len += (size_t)n;
        uv_run(&world.disk.loop, UV_RUN_NOWAIT);
    }
    return len;
}

void client_expect(int fd, const char *want)
{
    static char buf[65536];
    bool ended;
    size_t len = receive(fd, buf, strlen(want), PATIENCE_MS, &ended);

    buf[len] = '\0';
    if (strcmp(buf, want) != 0)
        fail_msg("got \"%s\", not \"%s\"; log:\n%s", buf, want, world.log_text);
}

void client_expect_end(int fd, const char *want)
{
    static char buf[65536];
    bool ended;
    size_t len = receive(fd, buf, sizeof buf - 1, PATIENCE_MS, &ended);

    buf[len] = '\0';
    if (strcmp(buf, want) != 0 || !ended)
        fail_msg("got \"%s\"%s, not \"%s\"", buf, ended ? "" : " and no end", want);
    close(fd);
}

void client_expect_silence(int fd)
{
    char buf[64];
    bool ended;
    size_t len = receive(fd, buf, sizeof buf - 1, SILENCE_MS, &ended);

    buf[len] = '\0';
    if (len > 0 || ended)
        fail_msg("got \"%s\"%s", buf, ended ? " and the end" : "");
}
