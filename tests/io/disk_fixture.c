/* disk_fixture - see disk_fixture.h */
#include "disk_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- calls that fail ------------------------------------------------------- */

/* The calls come from several threads at once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    enum disk_call call;
    unsigned skip;
    unsigned times;
    int error;
    size_t most;
    bool fired;
    unsigned count[DISK_CALL_COUNT];
    void (*on_fsync)(int fd);
} fault;

/* Does the fault concern it? */
static bool is_meant(enum disk_call call)
{
    if (fault.call == DISK_CHANGES)
        return call != DISK_CLOSE && call != DISK_PREAD && call != DISK_FSTATVFS &&
               call != DISK_OPENAT;
    return fault.call == call;
}

static bool fails(enum disk_call call)
{
    bool now = false;
    int error;

    pthread_mutex_lock(&lock);
    fault.count[call]++;
    error = fault.error;
    if (is_meant(call) && fault.times > 0) {
        if (fault.skip > 0) {
            fault.skip--;
        } else {
            fault.times--;
            fault.fired = now = true;
        }
    }
    pthread_mutex_unlock(&lock);
    if (now)
        errno = error;
    return now;
}

static size_t at_most(size_t len)
{
    size_t most;

    pthread_mutex_lock(&lock);
    most = fault.most;
    pthread_mutex_unlock(&lock);
    return most > 0 && len > most ? most : len;
}

static int fault_openat(int dir, const char *name, int flags, mode_t mode)
{
    return fails(DISK_OPENAT) ? -1 : disk_calls_real.openat(dir, name, flags, mode);
}

static int fault_close(int fd)
{
    int rc = disk_calls_real.close(fd);

    return fails(DISK_CLOSE) ? -1 : rc;
}

static ssize_t fault_pread(int fd, void *buf, size_t len, off_t offset)
{
    return fails(DISK_PREAD) ? -1 : disk_calls_real.pread(fd, buf, at_most(len), offset);
}

static ssize_t fault_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    struct iovec first = parts[0];

    if (fails(DISK_PWRITEV))
        return -1;
    first.iov_len = at_most(SIZE_MAX);
    if (first.iov_len == SIZE_MAX)
        return disk_calls_real.pwritev(fd, parts, count, offset);
    if (first.iov_len > parts[0].iov_len)
        first.iov_len = parts[0].iov_len;
    return disk_calls_real.pwritev(fd, &first, 1, offset);
}

static ssize_t fault_write(int fd, const void *buf, size_t len)
{
    return fails(DISK_WRITE) ? -1 : disk_calls_real.write(fd, buf, at_most(len));
}

static int fault_ftruncate(int fd, off_t len)
{
    return fails(DISK_FTRUNCATE) ? -1 : disk_calls_real.ftruncate(fd, len);
}

static int fault_fsync(int fd)
{
    void (*look)(int fd);

    pthread_mutex_lock(&lock);
    look = fault.on_fsync;
    pthread_mutex_unlock(&lock);
    if (look)
        look(fd);
    return fails(DISK_FSYNC) ? -1 : disk_calls_real.fsync(fd);
}

static int fault_fdatasync(int fd)
{
    return fails(DISK_FDATASYNC) ? -1 : disk_calls_real.fdatasync(fd);
}

static int fault_mkdirat(int dir, const char *name, mode_t mode)
{
    return fails(DISK_MKDIRAT) ? -1 : disk_calls_real.mkdirat(dir, name, mode);
}

static int fault_rename(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(DISK_RENAME) ? -1 : disk_calls_real.rename_new(from_dir, from, to_dir, to);
}

static int fault_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(DISK_RENAMEAT) ? -1 : disk_calls_real.renameat(from_dir, from, to_dir, to);
}

static int fault_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails(DISK_LINKAT) ? -1 : disk_calls_real.linkat(from_dir, from, to_dir, to, flags);
}

static int fault_unlinkat(int dir, const char *name, int flags)
{
    return fails(DISK_UNLINKAT) ? -1 : disk_calls_real.unlinkat(dir, name, flags);
}

static int fault_fstatvfs(int fd, struct statvfs *out)
{
    return fails(DISK_FSTATVFS) ? -1 : disk_calls_real.fstatvfs(fd, out);
}

static const struct disk_calls fault_calls = {
    .openat = fault_openat,
    .close = fault_close,
    .pread = fault_pread,
    .pwritev = fault_pwritev,
    .write = fault_write,
    .ftruncate = fault_ftruncate,
    .fsync = fault_fsync,
    .fdatasync = fault_fdatasync,
    .mkdirat = fault_mkdirat,
    .rename_new = fault_rename,
    .renameat = fault_renameat,
    .linkat = fault_linkat,
    .unlinkat = fault_unlinkat,
    .fstatvfs = fault_fstatvfs,
};

void disk_fault(enum disk_call call, unsigned skip, unsigned times, int error)
{
    pthread_mutex_lock(&lock);
    fault.call = call;
    fault.skip = skip;
    fault.times = times;
    fault.error = error;
    fault.fired = false;
    memset(fault.count, 0, sizeof fault.count);
    pthread_mutex_unlock(&lock);
}

void disk_fault_short(size_t most)
{
    pthread_mutex_lock(&lock);
    fault.most = most;
    pthread_mutex_unlock(&lock);
}

void disk_fault_none(void)
{
    disk_fault(DISK_CALL_COUNT, 0, 0, 0);
    disk_fault_short(0);
    disk_on_fsync(NULL);
}

bool disk_fault_fired(void)
{
    return fault.fired;
}

unsigned disk_count(enum disk_call call)
{
    unsigned n;

    pthread_mutex_lock(&lock);
    n = fault.count[call];
    pthread_mutex_unlock(&lock);
    return n;
}

void disk_on_fsync(void (*hook)(int fd))
{
    pthread_mutex_lock(&lock);
    fault.on_fsync = hook;
    pthread_mutex_unlock(&lock);
}

/* ---- the folder ------------------------------------------------------------ */

void disk_setup(struct disk_fixture *d)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(d->path, sizeof d->path, "%s/mxgate-test-XXXXXX",
             tmp && strlen(tmp) < 30 ? tmp : "/tmp");
    assert_non_null(mkdtemp(d->path));
    assert_int_equal(uv_loop_init(&d->loop), 0);
    lane_init(&d->disk, &d->loop, 3);
    d->fds = disk_open_fds(); /* libuv keeps some of its own for ever */
    disk_fault_none();
    disk_calls = &fault_calls;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

void disk_teardown(struct disk_fixture *d)
{
    disk_run(d);
    disk_fault_none();
    disk_calls = &disk_calls_real;
    assert_true(lane_idle(&d->disk));
    assert_int_equal(disk_open_fds(), d->fds);
    assert_int_equal(uv_loop_close(&d->loop), 0);
    nftw(d->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void disk_run(struct disk_fixture *d)
{
    assert_int_equal(uv_run(&d->loop, UV_RUN_DEFAULT), 0);
}

static void full_path(char *out, size_t cap, const struct disk_fixture *d, const char *name)
{
    int n = snprintf(out, cap, "%s/%s", d->path, name);

    assert_in_range(n, 1, cap - 1);
}

unsigned disk_names(struct disk_fixture *d, const char *folder)
{
    char path[200];
    unsigned n = 0;
    DIR *dir;

    full_path(path, sizeof path, d, folder);
    dir = opendir(path);
    if (!dir)
        return 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

bool disk_exists(struct disk_fixture *d, const char *name)
{
    char path[200];

    full_path(path, sizeof path, d, name);
    return access(path, F_OK) == 0;
}

char *disk_content(struct disk_fixture *d, const char *name, size_t *len_out)
{
    char path[200];
    struct stat st;
    char *bytes;
    FILE *f;

    full_path(path, sizeof path, d, name);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)st.st_size, f), st.st_size);
    fclose(f);
    bytes[st.st_size] = '\0';
    *len_out = (size_t)st.st_size;
    return bytes;
}

void disk_put(struct disk_fixture *d, const char *name, const void *bytes, size_t len)
{
    char path[200];
    FILE *f;

    full_path(path, sizeof path, d, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

unsigned disk_open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}
