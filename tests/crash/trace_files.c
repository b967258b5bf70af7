/*
 * trace_files - what a gateway does to its files, and when it says what to whom: one line per call
 *
 * Loaded by LD_PRELOAD into the normal build (tests/crash/powerloss.py reads what it writes). The
 * calls that change files are made as they are, and then written down in $MXGATE_TRACE; fsync and
 * fdatasync before and after, since they cover only what was finished when they began. What is sent
 * to a client that says "queued as" is written down before it is sent, and what an upstream says of
 * a recipient after it was read: so whatever stands before a promise in the trace was done before
 * it. All processes append to one file, each line by one write(): their order is the order of the
 * lines.
 *
 * Lines: PID THREAD CALL ARGUMENTS..., bytes as hexadecimal digits. A line that cannot be made
 * (memory) ends the process: a trace with a gap proves nothing.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FD_MAX      65536
#define PROMISE     " queued as "
#define HEARD       "> TESTPEER" /* tests/e2e/harness/lmtp_peer.py */
#define WORDS_CAP   1024
#define REPLIES_MAX 65536

#define REAL(name) ((__typeof__(&name))real(#name))

static int trace_fd = -1;
static int pid;
static atomic_int threads;
static __thread int thread;
static atomic_uchar is_file[FD_MAX]; /* opened by openat: a file or folder */

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("MXGATE_TRACE");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;

    pid = (int)getpid();
    trace_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 700);
    if (fd >= 0)
        close(fd);
}

/* ---- lines ----------------------------------------------------------------- */

/* `words`, then the parts as hexadecimal digits, up to `most` bytes of them. */
static void put(const char *words, const struct iovec *parts, int count, size_t most)
{
    static const char digits[] = "0123456789abcdef";
    int saved = errno;
    size_t len = (size_t)snprintf(NULL, 0, "%d %d %s ", pid, thread, words);
    char *line = malloc(len + 2 * most + 2);

    if (!line)
        abort();
    snprintf(line, len + 1, "%d %d %s ", pid, thread, words);
    for (int i = 0; i < count && most > 0; i++) {
        const unsigned char *bytes = parts[i].iov_base;

        for (size_t k = 0; k < parts[i].iov_len && most > 0; k++, most--) {
            line[len++] = digits[bytes[k] >> 4];
            line[len++] = digits[bytes[k] & 15];
        }
    }
    line[len++] = '\n';
    if (syscall(SYS_write, trace_fd, line, len) != (long)len)
        abort();
    free(line);
    errno = saved;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char words[WORDS_CAP];
    va_list ap;

    if (trace_fd < 0)
        return;
    if (thread == 0)
        thread = ++threads;
    va_start(ap, format);
    vsnprintf(words, sizeof words, format, ap);
    va_end(ap);
    put(words, NULL, 0, 0);
}

static void say_bytes(const char *words, const struct iovec *parts, int count, size_t most)
{
    if (trace_fd < 0)
        return;
    if (thread == 0)
        thread = ++threads;
    put(words, parts, count, most);
}

static bool of_file(int fd)
{
    return fd >= 0 && fd < FD_MAX && is_file[fd];
}

/* ---- names ----------------------------------------------------------------- */

static int opened(int dir, const char *name, int flags, bool was_there, int fd)
{
    if (fd >= 0 && fd < FD_MAX) {
        is_file[fd] = 1;
        say("open %d %d %s %d%s", fd, dir, name, (flags & O_CREAT) && !was_there,
            (flags & O_TRUNC) ? " trunc" : "");
    }
    return fd;
}

int openat(int dir, const char *name, int flags, ...)
{
    bool was_there = !(flags & O_CREAT) || faccessat(dir, name, F_OK, 0) == 0;
    mode_t mode;
    va_list ap;

    va_start(ap, flags);
    mode = (flags & O_CREAT) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return opened(dir, name, flags, was_there, REAL(openat)(dir, name, flags, mode));
}

int close(int fd)
{
    if (fd >= 0 && fd < FD_MAX)
        is_file[fd] = 0;
    return REAL(close)(fd);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    int rc = REAL(mkdirat)(dir, name, mode);

    if (rc == 0)
        say("mkdir %d %s", dir, name);
    return rc;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int rc = REAL(renameat)(from_dir, from, to_dir, to);

    if (rc == 0)
        say("rename %d %s %d %s", from_dir, from, to_dir, to);
    return rc;
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    int rc = REAL(linkat)(from_dir, from, to_dir, to, flags);

    if (rc == 0)
        say("link %d %s %d %s", from_dir, from, to_dir, to);
    return rc;
}

int unlinkat(int dir, const char *name, int flags)
{
    int rc = REAL(unlinkat)(dir, name, flags);

    if (rc == 0)
        say("unlink %d %s", dir, name);
    return rc;
}

long syscall(long number, ...)
{
    long a[6];
    long rc;
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    rc = REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (number == SYS_renameat2 && rc == 0)
        say("rename %d %s %d %s", (int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3]);
    return rc;
}

/* ---- bytes ----------------------------------------------------------------- */

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    ssize_t n = REAL(pwritev)(fd, parts, count, offset);
    char words[64];

    if (n > 0 && of_file(fd)) {
        snprintf(words, sizeof words, "write %d %lld", fd, (long long)offset);
        say_bytes(words, parts, count, (size_t)n);
    }
    return n;
}

int ftruncate(int fd, off_t len)
{
    int rc = REAL(ftruncate)(fd, len);

    if (rc == 0)
        say("truncate %d %lld", fd, (long long)len);
    return rc;
}

static void about_to_send(int fd, const struct iovec *parts, int count)
{
    for (int i = 0; i < count; i++) {
        if (memmem(parts[i].iov_base, parts[i].iov_len, PROMISE, strlen(PROMISE)))
            say_bytes("promise", &parts[i], 1,
                      parts[i].iov_len < REPLIES_MAX ? parts[i].iov_len : REPLIES_MAX);
    }
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    char words[64];
    ssize_t n;

    if (fd > 2 && !of_file(fd))
        about_to_send(fd, &part, 1);
    n = REAL(write)(fd, bytes, len);
    if (n > 0 && of_file(fd)) {
        snprintf(words, sizeof words, "append %d", fd);
        say_bytes(words, &part, 1, (size_t)n);
    }
    return n;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (fd > 2)
        about_to_send(fd, parts, count);
    return REAL(writev)(fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    about_to_send(fd, message->msg_iov, (int)message->msg_iovlen);
    return REAL(sendmsg)(fd, message, flags);
}

ssize_t read(int fd, void *bytes, size_t len)
{
    ssize_t n = REAL(read)(fd, bytes, len);
    struct iovec part = {bytes, n > 0 ? (size_t)n : 0};

    if (n > 0 && fd > 2 && !of_file(fd) && memmem(bytes, (size_t)n, HEARD, strlen(HEARD)))
        say_bytes("heard", &part, 1, part.iov_len);
    return n;
}

/* ---- syncs ----------------------------------------------------------------- */

int fsync(int fd)
{
    int rc;

    say("sync %d", fd);
    rc = REAL(fsync)(fd);
    if (rc == 0)
        say("synced %d", fd);
    return rc;
}

int fdatasync(int fd)
{
    int rc;

    say("sync %d", fd);
    rc = REAL(fdatasync)(fd);
    if (rc == 0)
        say("synced %d", fd);
    return rc;
}
