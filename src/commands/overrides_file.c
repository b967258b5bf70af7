/* overrides_file - see overrides_file.h */
#include "commands/overrides_file.h"

#include "base/clock.h"
#include "base/crash_point.h"
#include "config/overrides.h"
#include "message/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME    "overrides"
#define NEW_NAME     "overrides.new"
#define LOCK_NAME    "overrides.lock"
#define LOCK_POLL_US 10000

static int fail(struct errbuf *err, int rc, const char *directory, const char *name)
{
    return errbuf_set(err, rc, "%s%s%s: %s", directory, name[0] ? "/" : "", name, strerror(-rc));
}

static int open_folder(const char *directory)
{
    /* The path itself may be a symbolic link of the operator's: not disk_open(). */
    int fd = disk_calls->openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

/* ---- reading ---- */

static int read_text(int fd, const char *directory, char **text_out, struct errbuf *err)
{
    char *buf = malloc(OVERRIDES_MAX + 1);
    int64_t len;

    if (!buf)
        return errbuf_set(err, -ENOMEM, "out of memory");
    len = disk_read(fd, buf, OVERRIDES_MAX + 1, 0);
    if (len >= 0 && len <= OVERRIDES_MAX && !memchr(buf, '\0', (size_t)len)) {
        buf[len] = '\0';
        *text_out = buf;
        return 0;
    }
    free(buf);
    if (len < 0)
        return fail(err, (int)len, directory, FILE_NAME);
    return errbuf_set(err, -EFBIG, "%s/" FILE_NAME ": longer than %u bytes, or not a text file",
                      directory, OVERRIDES_MAX);
}

int overrides_file_read(const char *directory, char **text_out, struct errbuf *err)
{
    int dir_fd = open_folder(directory);
    int fd;
    int rc;

    *text_out = NULL;
    if (dir_fd == -ENOENT || dir_fd == -ENOTDIR)
        return 0; /* nothing was ever kept there */
    if (dir_fd < 0)
        return fail(err, dir_fd, directory, "");
    fd = disk_open(dir_fd, FILE_NAME, O_RDONLY);
    if (fd == -ENOENT)
        rc = 0;
    else if (fd < 0)
        rc = fail(err, fd, directory, FILE_NAME);
    else
        rc = read_text(fd, directory, text_out, err);
    disk_close(fd);
    disk_close(dir_fd);
    return rc;
}

/* ---- the lock ---- */

static int make_folder(const char *directory, struct errbuf *err)
{
    int made = disk_mkdir(AT_FDCWD, directory);
    int fd = open_folder(directory);
    int parent;
    int rc = 0;

    if (fd == -ENOENT && made == -ENOENT)
        return errbuf_set(err, made, "%s: the folder above it does not exist: make it", directory);
    if (fd < 0)
        return fail(err, made < 0 && made != -EEXIST ? made : fd, directory, "");
    if (made < 0)
        return fd;
    parent = disk_open(fd, "..", O_RDONLY | O_DIRECTORY); /* the new name must last as well */
    if (parent >= 0)
        rc = disk_fsync(parent);
    disk_close(parent);
    if (parent < 0 || rc < 0) {
        disk_close(fd);
        return fail(err, parent < 0 ? parent : rc, directory, "..");
    }
    return fd;
}

/*
 * Root gives the file to whom the queue belongs, who runs the daemon; anybody else can only be that
 * user.
 */
static int give_away(const struct overrides_file *f, int fd)
{
    struct stat owner;

    if (geteuid() != 0)
        return 0;
    if (fstatat(f->dir_fd, "queue", &owner, AT_SYMLINK_NOFOLLOW) != 0 &&
        fstat(f->dir_fd, &owner) != 0)
        return -errno;
    return fchown(fd, owner.st_uid, owner.st_gid) == 0 ? 0 : -errno;
}

/* Only what we made ourselves is given away. */
static int make_file(const struct overrides_file *f, const char *name, int flags)
{
    int fd = disk_open(f->dir_fd, name, flags | O_CREAT | O_EXCL);
    int rc = fd < 0 ? fd : give_away(f, fd);

    if (fd >= 0 && rc < 0)
        disk_close(fd);
    return rc < 0 ? rc : fd;
}

static int open_lock(struct overrides_file *f)
{
    int fd = make_file(f, LOCK_NAME, O_RDWR);

    return fd == -EEXIST ? disk_open(f->dir_fd, LOCK_NAME, O_RDWR) : fd;
}

static int take_lock(struct overrides_file *f, struct errbuf *err)
{
    uint64_t until_ms = clock_mono_ms() + OVERRIDES_WAIT_MS;

    f->lock_fd = open_lock(f);
    if (f->lock_fd < 0)
        return fail(err, f->lock_fd, f->directory, LOCK_NAME);
    while (flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail(err, -errno, f->directory, LOCK_NAME);
        if (clock_mono_ms() >= until_ms)
            return errbuf_set(err, -EBUSY,
                              "%s/" LOCK_NAME ": another postconf holds it since %u s; try again",
                              f->directory, OVERRIDES_WAIT_MS / 1000);
        usleep(LOCK_POLL_US);
    }
    return 0;
}

int overrides_file_lock(struct overrides_file *f, const char *directory, struct errbuf *err)
{
    int rc = make_folder(directory, err);

    *f = (struct overrides_file){.directory = directory, .dir_fd = rc, .lock_fd = -1};
    if (rc < 0)
        return rc;
    rc = take_lock(f, err);
    if (rc < 0)
        overrides_file_unlock(f);
    return rc;
}

void overrides_file_unlock(struct overrides_file *f)
{
    disk_close(f->lock_fd);
    disk_close(f->dir_fd);
    f->lock_fd = f->dir_fd = -1;
}

/* ---- writing ---- */

static int write_new(const struct overrides_file *f, struct span text)
{
    int fd;
    int rc;

    disk_unlink(f->dir_fd, NEW_NAME); /* what one that was killed left behind */
    fd = make_file(f, NEW_NAME, O_WRONLY | O_APPEND);
    if (fd < 0)
        return fd;
    CRASH_POINT("overrides-created");
    rc = disk_append(fd, text.ptr, text.len);
    CRASH_POINT("overrides-written");
    if (rc == 0)
        rc = disk_fsync(fd);
    CRASH_POINT("overrides-synced");
    disk_close(fd);
    return rc;
}

int overrides_file_write(struct overrides_file *f, struct span text, struct errbuf *err)
{
    int rc;

    if (text.len > OVERRIDES_MAX)
        return errbuf_set(err, -EFBIG, "%s/" FILE_NAME ": would be longer than %u bytes",
                          f->directory, OVERRIDES_MAX);
    rc = write_new(f, text);
    if (rc == 0)
        rc = disk_replace(f->dir_fd, NEW_NAME, FILE_NAME);
    if (rc < 0) {
        disk_unlink(f->dir_fd, NEW_NAME);
        return fail(err, rc, f->directory, NEW_NAME);
    }
    CRASH_POINT("overrides-replaced");
    rc = disk_fsync(f->dir_fd);
    CRASH_POINT("overrides-done");
    return rc < 0 ? fail(err, rc, f->directory, "") : 0;
}
