/* surroundings - see surroundings.h */
#include "commands/surroundings.h"

#include "base/clock.h"
#include "commands/settings.h"
#include "config/route.h"

#include <errno.h>
#include <linux/magic.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PATH_CAP    1024
#define ANSWER_CAP  512
#define LHLO        "LHLO localhost\r\n"
#define QUIT        "QUIT\r\n"
#define RAMFS_MAGIC 0x858458f6

/* ---- the spool ---- */

/* The folder, or what of its path is there already. */
static bool look_at_path(const char *folder, struct statfs *kind, struct statvfs *space)
{
    char path[PATH_CAP];

    if (folder[0] != '/' || !span_copy(span_of(folder), path, sizeof path))
        return false;
    while (statfs(path, kind) < 0) {
        char *slash = strrchr(path, '/');

        if (errno != ENOENT || !slash || path[1] == '\0')
            return false;
        slash[slash == path] = '\0';
    }
    return statvfs(path, space) == 0;
}

/* Docker and Podman call a volume that nobody named by 64 hexadecimal digits:
 * .../volumes/DIGITS/_data is what they mount. */
static bool has_no_name(const char *mounted)
{
    const char *name = strstr(mounted, "/volumes/");

    if (!name)
        return false;
    name += strlen("/volumes/");
    return strspn(name, "0123456789abcdef") == 64 && strcmp(name + 64, "/_data") == 0;
}

/* proc(5): ID PARENT MAJOR:MINOR ROOT MOUNTPOINT ...; a later mount hides an earlier one. */
static bool is_volume_without_name(const char *folder)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[2 * PATH_CAP];
    bool found = false;

    if (!mounts)
        return false;
    while (fgets(line, sizeof line, mounts)) {
        char root[PATH_CAP];
        char point[PATH_CAP];

        if (sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) == 2 &&
            strcmp(point, folder) == 0)
            found = has_no_name(root);
    }
    fclose(mounts);
    return found;
}

static enum advice_place place_of(const char *folder, const struct statfs *kind)
{
    switch ((unsigned long)kind->f_type & 0xffffffffUL) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
        return ADVICE_PLACE_MEMORY;
    case OVERLAYFS_SUPER_MAGIC:
        return ADVICE_PLACE_LAYER;
    default:
        return is_volume_without_name(folder) ? ADVICE_PLACE_NO_NAME : ADVICE_PLACE_DISK;
    }
}

void surroundings_advise(const struct config *config, config_note_fn note, void *note_ctx)
{
    struct advice_facts facts = {ADVICE_PLACE_DISK, -1};
    struct statfs kind;
    struct statvfs space;

    if (look_at_path(config->queue_directory, &kind, &space)) {
        facts.spool = place_of(config->queue_directory, &kind);
        facts.free_bytes = (int64_t)((uint64_t)space.f_bavail * space.f_frsize);
    }
    advice_give(config, &facts, note, note_ctx);
}

/* ---- RELAYHOST ---- */

static bool wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, SURROUNDINGS_PATIENCE_MS) == 1 && (p.revents & events);
}

static int connect_to(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    socklen_t len = sizeof error;

    if (fd < 0)
        return -1;
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
        error = errno;
    else if (!wait_for(fd, POLLOUT) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = ETIMEDOUT;
    if (error == 0)
        return fd;
    close(fd);
    return -1;
}

/* Reads to the end of one reply, or as far as it comes; whether it begins with the code. */
static bool answers(int fd, const char *code)
{
    char buf[ANSWER_CAP] = "";
    size_t len = 0;
    uint64_t end_ms = clock_mono_ms() + SURROUNDINGS_PATIENCE_MS;

    while (len < sizeof buf && clock_mono_ms() < end_ms && wait_for(fd, POLLIN)) {
        ssize_t n = recv(fd, buf + len, sizeof buf - len, 0);

        if (n <= 0)
            break;
        len += (size_t)n;
        if (buf[len - 1] == '\n')
            break;
    }
    return len >= strlen(code) && memcmp(buf, code, strlen(code)) == 0;
}

static bool tell(int fd, const char *line)
{
    return send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line);
}

static bool is_lmtp(const struct addrinfo *address)
{
    int fd = connect_to(address);
    bool lmtp;

    if (fd < 0)
        return false;
    lmtp = answers(fd, "220") && tell(fd, LHLO) && answers(fd, "250");
    (void)tell(fd, QUIT);
    close(fd);
    return lmtp;
}

static bool host_is_lmtp(const struct route *route)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char port[8];
    bool lmtp;

    snprintf(port, sizeof port, "%u", route->port);
    if (getaddrinfo(route->host, port, &hints, &found) != 0)
        return false;
    lmtp = is_lmtp(found);
    freeaddrinfo(found);
    return lmtp;
}

static const char *relayhost(void)
{
    const char *named = getenv("POSTFIX_relayhost");

    if (!named || !named[0])
        named = getenv("RELAYHOST");
    return named ? named : "";
}

void surroundings_advise_refused(const char *ini, config_note_fn note, void *note_ctx)
{
    struct settings_request request = {.ini = ini, .lenient = true};
    struct config *config = NULL;
    struct errbuf err;
    struct route route;
    char text[ROUTE_TEXT_CAP];
    bool missing;

    if (!relayhost()[0] || settings_load(&request, &config, &err) < 0)
        return;
    missing = config->relay_transport[0] == '\0';
    config_unref(&config);
    snprintf(text, sizeof text, "lmtp:%s", relayhost());
    if (missing && route_parse(span_of(text), &route, &err) == 0 && route.host[0] &&
        host_is_lmtp(&route))
        advice_relayhost_lmtp(relayhost(), note, note_ctx);
}
