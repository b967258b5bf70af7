/*
 * disk - the file calls of body and spool, behind an interface so that tests can make each of them
 * fail
 *
 * The wrappers finish what they begin: short reads and writes go on, EINTR is tried again,
 * everything returns a count or 0, or a negative errno. Only fsync is never repeated, for whatever
 * reason it failed: the kernel may have dropped the pages by then, and the second call would say
 * that all is well.
 *
 * Files are made for their owner only (0600), never followed through a symbolic link, never
 * inherited by children. Callable from any thread.
 */
#ifndef MXGATE_MESSAGE_DISK_H
#define MXGATE_MESSAGE_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The system calls as they are: -1 and errno. */
struct disk_calls {
    int (*openat)(int dir, const char *name, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *buf, size_t len, off_t offset);
    ssize_t (*pwritev)(int fd, const struct iovec *parts, int count, off_t offset);
    ssize_t (*write)(int fd, const void *buf, size_t len);
    int (*ftruncate)(int fd, off_t len);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*mkdirat)(int dir, const char *name, mode_t mode);
    /* renameat2 with RENAME_NOREPLACE */
    int (*rename_new)(int from_dir, const char *from, int to_dir, const char *to);
    int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
    int (*linkat)(int from_dir, const char *from, int to_dir, const char *to, int flags);
    int (*unlinkat)(int dir, const char *name, int flags);
    int (*fstatvfs)(int fd, struct statvfs *out);
};
extern const struct disk_calls disk_calls_real;
/* What the wrappers call. Only tests change it, while no job runs. */
extern const struct disk_calls *disk_calls;

/* `flags` as for open(); O_CLOEXEC and O_NOFOLLOW are added. The descriptor. */
int disk_open(int dir, const char *name, int flags);
void disk_close(int fd); /* errors say nothing new: what must last was synced */
/* Fills up to `len` bytes; fewer only at the end of the file. */
int64_t disk_read(int fd, char *buf, size_t len, uint64_t offset);
/* Writes all parts one after the other from `offset`. Changes `parts`. */
int disk_write(int fd, struct iovec *parts, int count, uint64_t offset);
/* Writes all at the end of a file that was opened with O_APPEND: one write() when the kernel takes
 * it. */
int disk_append(int fd, const char *bytes, size_t len);
int disk_truncate(int fd, uint64_t len);
int disk_fsync(int fd);
int disk_fdatasync(int fd);
int disk_mkdir(int dir, const char *name); /* 0700 */
/* -EEXIST when there is a file `to`: it is never replaced. On failure both names are as they were.
 */
int disk_rename(int from_dir, const char *from, int to_dir, const char *to);
/* The same, but a file `to` is replaced. */
int disk_replace(int dir, const char *from, const char *to);
int disk_unlink(int dir, const char *name);
int64_t disk_free_bytes(int fd);

#endif
