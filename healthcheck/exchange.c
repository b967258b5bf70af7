/* exchange - see healthcheck.h */
#include "healthcheck.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct deadline deadline_after(unsigned seconds)
{
    return (struct deadline){now_ms() + (int64_t)seconds * 1000};
}

/* False when the time is up. */
static bool wait_for(int fd, short events, struct deadline d, struct words *why)
{
    struct pollfd p = {.fd = fd, .events = events};
    int rc;

    do {
        int64_t left = d.at_ms - now_ms();

        rc = left > 0 ? poll(&p, 1, (int)left) : 0;
    } while (rc < 0 && errno == EINTR);
    if (rc == 0)
        words_add(why, "no answer in time");
    else if (rc < 0)
        words_add(why, "%s", strerror(errno));
    return rc > 0;
}

static bool finish_connect(int fd, struct deadline d, struct words *why)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (!wait_for(fd, POLLOUT, d, why))
        return false;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0)
        words_add(why, "%s", strerror(error));
    return error == 0;
}

static int connect_any(const union any_address *a, socklen_t len, struct deadline d,
                       struct words *why)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        words_add(why, "%s", strerror(errno));
        return -1;
    }
    if (connect(fd, &a->any, len) == 0)
        return fd;
    if (errno == EINPROGRESS && finish_connect(fd, d, why))
        return fd;
    if (why->text[0] == '\0')
        words_add(why, "%s", strerror(errno));
    close(fd);
    return -1;
}

/*
 * Root in a container that dropped CAP_DAC_OVERRIDE may not enter the daemon's folder, nor use its
 * socket; their owner may. For files only, and harmless where root has that right.
 */
static void see_as_owner(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[sizeof((struct sockaddr_un *)0)->sun_path] = "";
    struct stat st;

    if (geteuid() != 0 || !slash)
        return;
    memcpy(folder, path, (size_t)(slash - path));
    if (stat(path, &st) == 0 || (folder[0] && stat(folder, &st) == 0)) {
        setfsgid(st.st_gid);
        setfsuid(st.st_uid);
    }
}

int exchange_connect_unix(const char *path, struct deadline d, struct words *why)
{
    union any_address a = {.local = {.sun_family = AF_UNIX}};

    if (strlen(path) >= sizeof a.local.sun_path) {
        words_add(why, "the name is too long");
        return -1;
    }
    memcpy(a.local.sun_path, path, strlen(path) + 1);
    see_as_owner(path);
    return connect_any(&a, sizeof a.local, d, why);
}

/* "any" is no address to connect to: the loopback of the same family is one of them. */
static bool make_address(const char *host, unsigned port, union any_address *out, socklen_t *len)
{
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        if (out->v4.sin_addr.s_addr == htonl(INADDR_ANY))
            out->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *len = sizeof out->v4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        if (IN6_IS_ADDR_UNSPECIFIED(&out->v6.sin6_addr))
            out->v6.sin6_addr = in6addr_loopback;
        *len = sizeof out->v6;
        return true;
    }
    return false;
}

static int connect_host(const char *host, unsigned port, struct deadline d, struct words *why)
{
    union any_address a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = 0;

    if (!make_address(host, port, &a, &len)) {
        words_add(why, "not an address");
        return -1;
    }
    return connect_any(&a, len, d, why);
}

int exchange_connect_tcp(const char *address, struct deadline d, struct words *why)
{
    const char *colon = strrchr(address, ':');
    size_t host_len = colon ? (size_t)(colon - address) : 0;
    bool bracketed = host_len >= 2 && address[0] == '[' && address[host_len - 1] == ']';
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
    struct words ignored = {""};
    char host[64] = "";
    int fd;

    if (bracketed) {
        address++;
        host_len -= 2;
    }
    if (host_len < sizeof host)
        memcpy(host, address, host_len);
    if (port == 0 || port > 65535) {
        words_add(why, "not an address");
        return -1;
    }
    fd = connect_host(host, (unsigned)port, d, why);
    /* It takes IPv4 as well, and a container's network may have no ::1. */
    if (fd < 0 && strcmp(host, "::") == 0)
        fd = connect_host("127.0.0.1", (unsigned)port, d, &ignored);
    return fd;
}

bool exchange_send(int fd, const char *text, struct deadline d, struct words *why)
{
    return exchange_send_bytes(fd, text, strlen(text), d, why);
}

bool exchange_send_bytes(int fd, const char *text, size_t left, struct deadline d,
                         struct words *why)
{
    while (left > 0) {
        ssize_t n;

        if (!wait_for(fd, POLLOUT, d, why))
            return false;
        n = send(fd, text, left, MSG_NOSIGNAL);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            words_add(why, "%s", strerror(errno));
            return false;
        }
        text += n;
        left -= (size_t)n;
    }
    return true;
}

static bool has_line(const char *buf, const char *start)
{
    size_t len = strlen(start);

    while (*buf) {
        const char *end = strchr(buf, '\n');

        if (!end)
            return false; /* only whole lines count */
        if (strncmp(buf, start, len) == 0)
            return true;
        buf = end + 1;
    }
    return false;
}

bool exchange_read(int fd, char *buf, size_t cap, const char *last, struct deadline d,
                   struct words *why)
{
    size_t len = 0;

    buf[0] = '\0';
    while (!has_line(buf, last)) {
        ssize_t n;

        if (len + 1 >= cap) {
            words_add(why, "the answer is too long");
            return false;
        }
        if (!wait_for(fd, POLLIN, d, why))
            return false;
        n = recv(fd, buf + len, cap - 1 - len, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0) {
            words_add(why, "%s", n < 0 ? strerror(errno) : "the connection was closed");
            return false;
        }
        for (ssize_t i = 0; i < n; i++) {
            if (buf[len + (size_t)i] == '\0')
                buf[len + (size_t)i] = '?';
        }
        len += (size_t)n;
        buf[len] = '\0';
    }
    return true;
}
