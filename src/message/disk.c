/* disk - see disk.h */
#include "message/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE /* musl has neither the name nor the function */
#define RENAME_NOREPLACE 1
#endif

static int real_openat(int dir, const char *name, int flags, mode_t mode)
{
    return openat(dir, name, flags, mode);
}

static int real_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, RENAME_NOREPLACE);
}

const struct disk_calls disk_calls_real = {
    .openat = real_openat,
    .close = close,
    .pread = pread,
    .pwritev = pwritev,
    .write = write,
    .ftruncate = ftruncate,
    .fsync = fsync,
    .fdatasync = fdatasync,
    .mkdirat = mkdirat,
    .rename_new = real_rename_new,
    .renameat = renameat,
    .linkat = linkat,
    .unlinkat = unlinkat,
    .fstatvfs = fstatvfs,
};
const struct disk_calls *disk_calls = &disk_calls_real;

int disk_open(int dir, const char *name, int flags)
{
    int fd;

    do
        fd = disk_calls->openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

void disk_close(int fd)
{
    if (fd >= 0)
        disk_calls->close(fd); /* after EINTR too Linux has closed it */
}

int64_t disk_read(int fd, char *buf, size_t len, uint64_t offset)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = disk_calls->pread(fd, buf + got, len - got, (off_t)(offset + got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (int64_t)got;
}

/* Takes `done` bytes off the front of the parts. */
static void skip(struct iovec **parts, int *count, size_t done)
{
    while (*count > 0 && done >= (*parts)->iov_len) {
        done -= (*parts)->iov_len;
        (*parts)++;
        (*count)--;
    }
    if (*count > 0) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + done;
        (*parts)->iov_len -= done;
    }
}

int disk_write(int fd, struct iovec *parts, int count, uint64_t offset)
{
    skip(&parts, &count, 0); /* empty parts */
    while (count > 0) {
        ssize_t n = disk_calls->pwritev(fd, parts, count, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO; /* nothing taken and no reason: do not spin */
        offset += (uint64_t)n;
        skip(&parts, &count, (size_t)n);
    }
    return 0;
}

int disk_append(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = disk_calls->write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

int disk_truncate(int fd, uint64_t len)
{
    int rc;

    do
        rc = disk_calls->ftruncate(fd, (off_t)len);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : -errno;
}

int disk_fsync(int fd)
{
    return disk_calls->fsync(fd) == 0 ? 0 : -errno;
}

int disk_fdatasync(int fd)
{
    return disk_calls->fdatasync(fd) == 0 ? 0 : -errno;
}

int disk_mkdir(int dir, const char *name)
{
    return disk_calls->mkdirat(dir, name, 0700) == 0 ? 0 : -errno;
}

int disk_rename(int from_dir, const char *from, int to_dir, const char *to)
{
    int rc;

    if (disk_calls->rename_new(from_dir, from, to_dir, to) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* The file system or the kernel does not know "no replace"; a link never replaces either. */
    if (disk_calls->linkat(from_dir, from, to_dir, to, 0) != 0)
        return -errno;
    if (disk_calls->unlinkat(from_dir, from, 0) == 0)
        return 0;
    rc = -errno;
    disk_unlink(to_dir, to);
    return rc;
}

int disk_replace(int dir, const char *from, const char *to)
{
    return disk_calls->renameat(dir, from, dir, to) == 0 ? 0 : -errno;
}

int disk_unlink(int dir, const char *name)
{
    return disk_calls->unlinkat(dir, name, 0) == 0 ? 0 : -errno;
}

int64_t disk_free_bytes(int fd)
{
    struct statvfs fs;
    uint64_t unit;

    if (disk_calls->fstatvfs(fd, &fs) != 0)
        return -errno;
    if (fs.f_files > 0 && fs.f_favail == 0)
        return 0; /* no inode left: not even an empty file could be made */
    unit = fs.f_frsize > 0 ? fs.f_frsize : 1;
    if (fs.f_bavail > (uint64_t)INT64_MAX / unit)
        return INT64_MAX;
    return (int64_t)(fs.f_bavail * unit);
}
