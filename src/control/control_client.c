/* control_client - see control_client.h */
#include "control/control_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static void set_wait(const struct control_client *c, int option, unsigned seconds)
{
    struct timeval limit = {.tv_sec = (time_t)seconds};

    setsockopt(c->fd, SOL_SOCKET, option, &limit, sizeof limit);
}

void control_client_patience(struct control_client *c, unsigned seconds)
{
    set_wait(c, SO_RCVTIMEO, seconds);
}

long control_client_pid(const struct control_client *c)
{
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof peer;

    /* of a socket that listened: who called listen() */
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return 0;
    return (long)peer.pid;
}

static int fail(struct errbuf *err, int error, const char *what)
{
    if (error == EAGAIN)
        error = ETIMEDOUT;
    return errbuf_set(err, -error, "%s: %s", what, strerror(error));
}

int control_client_open(struct control_client *c, const char *path, struct errbuf *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc;

    *c = (struct control_client){.fd = -1};
    if (!span_copy(span_of(path), address.sun_path, sizeof address.sun_path))
        return errbuf_set(err, -ENAMETOOLONG, "control_socket %s: the name is too long", path);
    c->buf = malloc(CONTROL_REPLY_MAX + 1);
    if (!c->buf)
        return errbuf_set(err, -ENOMEM, "out of memory");
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        rc = fail(err, errno, "socket");
        control_client_close(c);
        return rc;
    }
    set_wait(c, SO_SNDTIMEO, CONTROL_CLIENT_WAIT_S);
    set_wait(c, SO_RCVTIMEO, CONTROL_CLIENT_WAIT_S);
    if (connect(c->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        rc = fail(err, errno, path);
        control_client_close(c);
        return rc;
    }
    return 0;
}

void control_client_close(struct control_client *c)
{
    free(c->buf);
    c->buf = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

int control_client_send(struct control_client *c, struct span bytes, struct errbuf *err)
{
    while (bytes.len > 0) {
        ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, errno, "writing to the mail system");
        bytes = span_from(bytes, (size_t)n);
    }
    return 0;
}

/* Makes room and reads more; 0 or -errno. */
static int read_more(struct control_client *c, struct errbuf *err)
{
    ssize_t n;

    memmove(c->buf, c->buf + c->at, c->len - c->at);
    c->len -= c->at;
    c->at = 0;
    if (c->len > CONTROL_REPLY_MAX)
        return errbuf_set(err, -EPROTO, "the mail system's reply is too long");
    do {
        n = recv(c->fd, c->buf + c->len, CONTROL_REPLY_MAX + 1 - c->len, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail(err, errno, "reading from the mail system");
    if (n == 0)
        return errbuf_set(err, -ECONNRESET, "the mail system closed the connection");
    c->len += (size_t)n;
    return 0;
}

static int read_line(struct control_client *c, struct span *line_out, struct errbuf *err)
{
    for (;;) {
        struct span rest = span_make(c->buf + c->at, c->len - c->at);
        size_t lf = span_find(rest, '\n');
        int rc;

        if (lf < rest.len) {
            *line_out = span_first(rest, lf);
            c->at += lf + 1;
            return 0;
        }
        rc = read_more(c, err);
        if (rc < 0)
            return rc;
    }
}

int control_client_reply(struct control_client *c, void (*on_text)(void *ctx, struct span line),
                         void *ctx, struct errbuf *err)
{
    for (;;) {
        struct span line;
        struct span words;
        int exit_code = 0;
        int rc = read_line(c, &line, err);

        if (rc < 0)
            return rc;
        switch (control_reply_parse(line, &words, &exit_code)) {
        case CONTROL_REPLY_TEXT:
            if (on_text)
                on_text(ctx, words);
            break;
        case CONTROL_REPLY_OK:
            return 0;
        case CONTROL_REPLY_ERROR:
            return errbuf_set(err, exit_code, "%.*s", (int)words.len, words.ptr);
        case CONTROL_REPLY_BAD:
            return errbuf_set(err, -EPROTO, "the mail system's reply is not understood");
        }
    }
}

int control_client_ask(struct control_client *c, const char *request,
                       void (*on_text)(void *ctx, struct span line), void *ctx, struct errbuf *err)
{
    int rc = control_client_send(c, span_of(request), err);

    if (rc == 0)
        rc = control_client_send(c, SPAN_LIT("\n"), err);
    if (rc < 0 && rc != -EPIPE && rc != -ECONNRESET)
        return rc;
    return control_client_reply(c, on_text, ctx, err); /* it may say why it closed */
}

bool control_client_wait_end(struct control_client *c)
{
    ssize_t n;

    do {
        n = recv(c->fd, c->buf, CONTROL_REPLY_MAX, 0);
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n == 0 || errno == ECONNRESET;
}
