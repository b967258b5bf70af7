/* ownership - see ownership.h */
#include "sandbox/ownership.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
    const struct identity *to;
    struct ownership_count *count;
    const char *path;
    dev_t device;
    bool links_are_ours; /* nobody but root could make names here */
    struct errbuf *err;
};

/* ---- the folder itself ---- */

static int sync_parent(int fd)
{
    int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = parent < 0 || fsync(parent) != 0 ? -errno : 0;

    if (parent >= 0)
        close(parent);
    return rc;
}

int ownership_make_folder(const char *path, struct errbuf *err)
{
    int fd;
    int rc;

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? 0 : errbuf_set(err, -errno, "%s: %s", path, strerror(errno));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errbuf_set(err, -errno, "%s: %s", path, strerror(errno));
    rc = sync_parent(fd);
    close(fd);
    return rc < 0 ? errbuf_set(err, rc, "the folder above %s: %s", path, strerror(-rc)) : 0;
}

/* ---- one name ---- */

static int fail(const struct walk *w, const char *name)
{
    return errbuf_set(w->err, -errno, "cannot give %s (%s) to uid %u: %s", w->path, name,
                      (unsigned)w->to->uid, strerror(errno));
}

static void skip(const struct walk *w, const char *name)
{
    struct text t;

    w->count->skipped++;
    if (w->count->example[0])
        return;
    text_init(&t, w->count->example, sizeof w->count->example);
    text_printable(&t, span_of(name));
}

/* fd: an O_PATH descriptor, so that what was looked at is what is given. */
static int give(const struct walk *w, int fd, const char *name)
{
    if (fchownat(fd, "", w->to->uid, w->to->gid, AT_EMPTY_PATH) != 0)
        return fail(w, name);
    w->count->given++;
    return 0;
}

static int walk_folder(const struct walk *w, int path_fd, const struct stat *st, const char *name,
                       unsigned depth);

static int visit(const struct walk *w, int dir, const char *name, unsigned depth)
{
    int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    int rc = 0;

    if (fd < 0)
        return errno == ENOENT ? 0 : fail(w, name);
    if (fstat(fd, &st) != 0)
        rc = fail(w, name);
    else if (st.st_dev != w->device)
        skip(w, name);
    else if (S_ISDIR(st.st_mode))
        rc = walk_folder(w, fd, &st, name, depth);
    else if (st.st_uid == w->to->uid)
        rc = 0;
    else if ((S_ISREG(st.st_mode) && (st.st_nlink == 1 || w->links_are_ours)) ||
             S_ISSOCK(st.st_mode))
        rc = give(w, fd, name);
    else
        skip(w, name);
    close(fd);
    return rc;
}

/* ---- a folder ---- */

/*
 * For reading. Without CAP_DAC_OVERRIDE root may not read what belongs to others: what is the
 * user's already is left as done (-1 and 0), anything else is made root's for the time being.
 */
static int open_folder(const struct walk *w, int path_fd, const struct stat *st, const char *name,
                       int *fd_out)
{
    *fd_out = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd_out >= 0 || errno != EACCES)
        return *fd_out < 0 ? fail(w, name) : 0;
    if (st->st_uid == w->to->uid)
        return 0;
    if (fchownat(path_fd, "", geteuid(), (gid_t)-1, AT_EMPTY_PATH) != 0)
        return fail(w, name);
    *fd_out = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd_out < 0 ? fail(w, name) : 0;
}

/* Takes fd over. */
static int each_name(const struct walk *w, int fd, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (!dir) {
        rc = fail(w, ".");
        close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = visit(w, dirfd(dir), entry->d_name, depth);
    }
    if (rc == 0 && errno != 0)
        rc = fail(w, ".");
    closedir(dir);
    return rc;
}

static int walk_folder(const struct walk *w, int path_fd, const struct stat *st, const char *name,
                       unsigned depth)
{
    int fd;
    int rc;

    if (depth == OWNERSHIP_DEPTH_MAX) {
        skip(w, name);
        return 0;
    }
    rc = open_folder(w, path_fd, st, name, &fd);
    if (rc == 0 && fd >= 0)
        rc = each_name(w, fd, depth + 1);
    if (rc == 0 && st->st_uid != w->to->uid)
        rc = give(w, path_fd, name);
    return rc;
}

/* ---- all of it ---- */

/* A daemon is at work in it: that one put things right when it started. */
static bool is_in_use(int dir, const char *lock_name)
{
    int fd = openat(dir, lock_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool used = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;

    if (fd >= 0)
        close(fd);
    return used;
}

int ownership_give(const char *path, const char *lock_name, const struct identity *to,
                   struct ownership_count *count_out, struct errbuf *err)
{
    struct walk w = {.to = to, .count = count_out, .path = path, .err = err};
    struct stat st;
    int fd;
    int rc = 0;

    *count_out = (struct ownership_count){.given = 0};
    fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(&w, ".");
    if (fstat(fd, &st) != 0) {
        rc = fail(&w, ".");
    } else if (!is_in_use(fd, lock_name)) {
        w.device = st.st_dev;
        w.links_are_ours = st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
        rc = walk_folder(&w, fd, &st, ".", 0);
    }
    close(fd);
    return rc;
}
