/* maildir - see maildir.h */
#include "relay/maildir.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

/* The trace lines of final delivery (RFC 5321 4.4). The addresses were checked for line ends when
 * they came in. */
static int write_trace(int fd, const struct envelope *e, const size_t *indices, size_t count)
{
    char line[1200];
    struct text t;
    int rc;

    text_init(&t, line, sizeof line);
    text_printf(&t, "Return-Path: <%s>\n", e->sender);
    rc = write_all(fd, t.ptr, t.len);
    for (size_t i = 0; i < count && rc == 0; i++) {
        text_init(&t, line, sizeof line);
        text_printf(&t, "Delivered-To: %s\n", e->recipients[indices[i]].address);
        rc = write_all(fd, t.ptr, t.len);
    }
    return rc;
}

/* CRLF becomes LF, in place: the body is canonical, so every CR is before an LF. */
static size_t drop_cr(char *bytes, size_t len)
{
    size_t out = 0;

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\r')
            bytes[out++] = bytes[i];
    }
    return out;
}

static int write_body(int fd, const struct body *body)
{
    char *chunk = malloc(CHUNK);
    uint64_t offset = 0;
    int rc = chunk ? 0 : -ENOMEM;

    while (rc == 0) {
        int n = body_read(body, offset, chunk, CHUNK);

        if (n <= 0) {
            rc = n;
            break;
        }
        offset += (uint64_t)n;
        rc = write_all(fd, chunk, drop_cr(chunk, (size_t)n));
    }
    free(chunk);
    if (rc == 0 && offset != body->total)
        rc = -EIO; /* the file is shorter than the message */
    return rc;
}

/* A folder that was just made is only there after power loss when its parent was synced. */
static int make_folder(int parent, const char *name, int *fd_out)
{
    int made = mkdirat(parent, name, 0700);
    int above;

    if (made != 0 && errno != EEXIST)
        return -errno;
    *fd_out = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd_out < 0)
        return -errno;
    if (made != 0)
        return 0;
    above = openat(*fd_out, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above < 0)
        return -errno;
    made = fsync(above) == 0 ? 0 : -errno;
    close(above);
    return made;
}

struct folders {
    int root, tmp, new, cur;
};

static void close_folders(struct folders *f)
{
    int *fds[] = {&f->root, &f->tmp, &f->new, &f->cur};

    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
    }
}

static int open_folders(const char *path, struct folders *f)
{
    int rc;

    *f = (struct folders){-1, -1, -1, -1};
    rc = make_folder(AT_FDCWD, path, &f->root);
    if (rc == 0)
        rc = make_folder(f->root, "tmp", &f->tmp);
    if (rc == 0)
        rc = make_folder(f->root, "new", &f->new);
    if (rc == 0)
        rc = make_folder(f->root, "cur", &f->cur);
    return rc;
}

static int write_message(const struct folders *f, const char *name, const struct envelope *e,
                         const size_t *indices, size_t count, const struct body *body,
                         const char **step_out)
{
    int fd;
    int rc;

    *step_out = "create";
    fd = openat(f->tmp, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    *step_out = "write";
    rc = write_trace(fd, e, indices, count);
    if (rc == 0)
        rc = write_body(fd, body);
    if (rc == 0) {
        *step_out = "fsync message";
        rc = fsync(fd) == 0 ? 0 : -errno;
    }
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0) {
        *step_out = "rename";
        rc = renameat(f->tmp, name, f->new, name) == 0 ? 0 : -errno;
    }
    if (rc < 0) {
        unlinkat(f->tmp, name, 0);
        return rc;
    }
    *step_out = "fsync directory";
    if (fsync(f->new) == 0)
        return 0;
    rc = -errno;
    unlinkat(f->new, name, 0); /* it is tried again: kept, it would be there twice */
    return rc;
}

int maildir_write(const char *path, const char *hostname, const struct envelope *e,
                  const size_t *indices, size_t count, const struct body *body,
                  const char **step_out)
{
    struct folders folders;
    char name[400];
    struct text t;
    int rc;

    text_init(&t, name, sizeof name);
    text_printf(&t, "%lld.M%sR%zu.%s", (long long)(e->arrival_us / 1000000), e->id.text, indices[0],
                hostname);
    *step_out = "open";
    rc = open_folders(path, &folders);
    if (rc == 0)
        rc = write_message(&folders, name, e, indices, count, body, step_out);
    close_folders(&folders);
    return rc;
}
