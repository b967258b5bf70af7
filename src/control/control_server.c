/* control_server - see control_server.h */
#include "control/control_server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 64

_Static_assert(CONTROL_PATH_CAP >= sizeof((struct sockaddr_un *)0)->sun_path,
               "holds any socket name");

static void on_released(void *ctx);

/* Once everything is closed. */
static void tell_stopped(struct control_server *s)
{
    if (s->open == 0 && !s->listening && s->stopped) {
        void (*stopped)(void *ctx) = s->stopped;

        s->stopped = NULL;
        stopped(s->stopped_ctx);
    }
}

/* ---- connections ---- */

static struct control_connection *free_slot(struct control_server *s)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        if (!s->connections[i].setup)
            return &s->connections[i];
    }
    return NULL;
}

/* libuv keeps a connection, and takes no further one, until it is accepted: that is our limit. */
static void accept_waiting(struct control_server *s)
{
    struct control_connection *c = free_slot(s);

    if (!s->waiting || s->stopping || !c)
        return;
    if (control_connection_accept(c, &s->setup, (uv_stream_t *)&s->listener, on_released, s) < 0)
        return; /* tried again when another connection ends */
    s->waiting = false;
    s->open++;
}

static void on_released(void *ctx)
{
    struct control_server *s = ctx;

    s->open--;
    if (s->stopping)
        tell_stopped(s);
    else
        accept_waiting(s);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control_server *s = listener->data;

    if (status < 0)
        return;
    s->waiting = true;
    accept_waiting(s);
}

/* ---- start and stop ---- */

static int fail_system(struct errbuf *err, int rc, const char *path)
{
    return errbuf_set(err, rc, "control_socket %s: %s", path, uv_strerror(rc));
}

/* With an empty path when it does not fit. */
static struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    span_copy(span_of(path), address.sun_path, sizeof address.sun_path);
    return address;
}

/* Whether a daemon answers on this name. */
static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answered;

    if (fd < 0)
        return false;
    answered = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
               errno == EAGAIN; /* its backlog is full: somebody has it */
    close(fd);
    return answered;
}

/* Makes way for our socket: removes what a daemon that was killed left behind, nothing else. */
static int clear_name(const char *path, struct errbuf *err)
{
    struct sockaddr_un address = unix_address(path);
    struct stat st;

    if (address.sun_path[0] == '\0')
        return errbuf_set(
            err, -ENAMETOOLONG,
            "control_socket %s is longer than the %zu bytes that a unix socket's name "
            "may have; set control_socket to a shorter path",
            path, sizeof address.sun_path - 1);
    if (lstat(path, &st) < 0)
        return errno == ENOENT
                   ? 0
                   : errbuf_set(err, -errno, "control_socket %s: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return errbuf_set(err, -EEXIST,
                          "control_socket %s exists and is no socket; remove it or set "
                          "control_socket to another path",
                          path);
    if (is_answered(&address))
        return errbuf_set(err, -EADDRINUSE,
                          "control_socket %s: another daemon answers there; set control_socket to "
                          "another path",
                          path);
    if (unlink(path) < 0 && errno != ENOENT)
        return fail_system(err, -errno, path);
    return 0;
}

/*
 * A listening descriptor, or -errno. The mode comes from the umask, so that there is no moment in
 * which others may connect; start-up has no other threads that could make files meanwhile.
 */
static int open_listener(const char *path)
{
    struct sockaddr_un address = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old;
    int rc;

    if (fd < 0)
        return -errno;
    old = umask(0177);
    rc = bind(fd, (const struct sockaddr *)&address, sizeof address);
    rc = rc < 0 ? -errno : fd;
    umask(old);
    if (rc < 0)
        close(fd);
    return rc;
}

static int start_listener(struct control_server *s)
{
    int fd = open_listener(s->setup.path);
    int rc;

    if (fd < 0)
        return fd;
    rc = uv_pipe_init(s->setup.pool->loop, &s->listener, 0);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    s->listener.data = s;
    rc = uv_pipe_open(&s->listener, fd);
    if (rc < 0)
        close(fd);
    else
        rc = uv_listen((uv_stream_t *)&s->listener, LISTEN_BACKLOG, on_connection);
    if (rc < 0)
        uv_close((uv_handle_t *)&s->listener, NULL);
    return rc;
}

int control_server_start(struct control_server *s, const struct control_setup *setup,
                         struct errbuf *err)
{
    int rc;

    memset(s, 0, sizeof *s);
    s->setup = *setup;
    rc = clear_name(setup->path, err);
    if (rc < 0)
        return rc;
    span_copy(span_of(setup->path), s->path, sizeof s->path);
    s->setup.path = s->path;
    s->setup.submissions = &s->submissions;
    rc = start_listener(s);
    if (rc < 0)
        return fail_system(err, rc, setup->path);
    s->listening = true;
    return 0;
}

void control_server_set_config(struct control_server *s, struct config *config)
{
    s->setup.config = config;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct control_server *s = handle->data;

    s->listening = false;
    tell_stopped(s);
}

void control_server_stop(struct control_server *s, void (*stopped)(void *ctx), void *ctx)
{
    s->stopping = true;
    s->stopped = stopped;
    s->stopped_ctx = ctx;
    for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        if (s->connections[i].setup)
            control_connection_stop(&s->connections[i]);
    }
    if (!s->listening) {
        tell_stopped(s);
        return;
    }
    unlink(s->setup.path); /* if it fails, the next start replaces it */
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
}
