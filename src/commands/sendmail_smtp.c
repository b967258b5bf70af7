/*
 * sendmail_smtp - sendmail -bs: an SMTP session on standard input and output; see sendmail.h
 *
 * The daemon holds the session: the control connection becomes one (request "smtp"), and this
 * command only carries bytes. So a message is taken, or refused, exactly as over the network, and
 * the caller, who could open the control socket, counts as a client in mynetworks.
 *
 * The end of standard input is passed on; what was said before is answered first. Ends when the
 * daemon closes.
 *
 * Fails:  without a daemon "421 ..." on standard output and EX_TEMPFAIL: nothing was taken.
 * Limits: one block in each direction; a caller that does not read holds up its own session only.
 */
#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/sendmail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK 32768

struct bridge {
    int fd;
    bool input_ended;
    size_t at; /* of what the daemon has not taken yet */
    size_t len;
    char input[BLOCK];
};

static int unavailable(const struct sendmail_options *o, const struct config *config,
                       const char *why)
{
    printf("421 4.3.2 %s Error: %s\r\n", config->myhostname, why);
    return command_fatal(o->name, EX_TEMPFAIL, "%s", why);
}

static bool write_all(struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = span_from(bytes, (size_t)n);
    }
    return true;
}

static void read_input(struct bridge *b)
{
    ssize_t n = read(STDIN_FILENO, b->input, sizeof b->input);

    if (n < 0 && errno == EINTR)
        return;
    b->at = 0;
    b->len = n > 0 ? (size_t)n : 0;
    b->input_ended = n <= 0;
    if (b->input_ended)
        shutdown(b->fd, SHUT_WR);
}

/* False when the daemon takes no more. */
static bool send_input(struct bridge *b)
{
    ssize_t n = send(b->fd, b->input + b->at, b->len - b->at, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    b->at += (size_t)n;
    return true;
}

/* True while the session goes on. */
static bool pass_reply(struct bridge *b)
{
    char buf[BLOCK];
    ssize_t n = recv(b->fd, buf, sizeof buf, MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    return n > 0 && write_all(span_make(buf, (size_t)n));
}

static void carry(struct bridge *b)
{
    for (;;) {
        bool waiting = b->at < b->len;
        struct pollfd fds[2] = {
            {.fd = b->fd,                                         .events = (short)(POLLIN | (waiting ? POLLOUT : 0))},
            {.fd = waiting || b->input_ended ? -1 : STDIN_FILENO, .events = POLLIN                                   },
        };

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) && !pass_reply(b))
            return;
        if (fds[0].revents & POLLOUT && !send_input(b))
            b->at = b->len = 0; /* what it still says, and its end, come by pass_reply */
        if (fds[1].revents)
            read_input(b);
    }
}

/* The first bytes: the greeting, or the daemon's "error 75 words". 0, or an exit code. */
static int open_session(struct control_client *client, struct errbuf *err)
{
    static const char error[] = "error ";
    char start[sizeof error - 1];
    ssize_t n;
    int rc = control_client_send(client, SPAN_LIT("smtp\n"), err);

    if (rc < 0)
        return errbuf_prefix(err, EX_TEMPFAIL, "mail system is down");
    n = recv(client->fd, start, sizeof start, MSG_PEEK | MSG_WAITALL);
    if (n <= 0)
        return errbuf_set(err, EX_TEMPFAIL, "the mail system closed the connection");
    if (!span_equal(span_make(start, (size_t)n), span_of(error)))
        return EX_OK;
    rc = control_client_reply(client, NULL, NULL, err);
    return rc > 0 ? rc : EX_TEMPFAIL;
}

int sendmail_smtp(const struct sendmail_options *options, const struct config *config)
{
    static struct bridge bridge; /* too large for a stack, and there is one */
    struct control_client client;
    struct errbuf err;
    int rc = control_client_open(&client, config->control_socket, &err);

    if (rc < 0)
        return unavailable(options, config, daemon_is_down(rc) ? "mail system is down" : err.text);
    rc = open_session(&client, &err);
    if (rc == EX_OK) {
        bridge.fd = client.fd;
        carry(&bridge);
    } else {
        unavailable(options, config, err.text);
    }
    control_client_close(&client);
    return rc;
}
