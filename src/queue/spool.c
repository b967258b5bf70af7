/* spool, opening and closing - see spool.h */
#include "queue/spool.h"

#include "base/crash_point.h"
#include "message/disk.h"
#include "queue/spool_private.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ----------------------------------------------------------------- */

int spool_each_name(int dir_fd, int (*each)(void *ctx, const char *name), void *ctx)
{
    int fd = disk_open(dir_fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *dir;
    int rc = 0;

    if (fd < 0)
        return fd;
    dir = fdopendir(fd);
    if (!dir) {
        rc = -errno;
        disk_close(fd);
        return rc;
    }
    while (rc == 0) {
        struct dirent *entry;

        errno = 0;
        entry = readdir(dir);
        if (!entry) {
            rc = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = each(ctx, entry->d_name);
    }
    closedir(dir);
    return rc;
}

void spool_note_id(struct spool *s, const char *name)
{
    struct queue_id id;

    /* corrupt/ has ID.1, ID.2, ... too */
    if (!queue_id_parse(span_first(span_of(name), QUEUE_ID_LEN), &id))
        return;
    if (strcmp(id.text, s->last_seen.text) > 0)
        s->last_seen = id;
}

static int note_name(void *ctx, const char *name)
{
    spool_note_id(ctx, name);
    return 0;
}

static int clean_name(void *ctx, const char *name)
{
    struct spool *s = ctx;
    int rc;

    spool_note_id(s, name);
    rc = disk_unlink(s->incoming_fd, name);
    CRASH_POINT("open-debris-removed");
    return rc == -EISDIR ? 0 : rc; /* not ours, and in nobody's way */
}

/* ---- opening --------------------------------------------------------------- */

/* What to do about a failure at queue_directory/part; `part` may be "". */
static int explain(struct errbuf *err, int rc, const char *path, const char *part)
{
    const char *slash = part[0] ? "/" : "";
    unsigned uid = (unsigned)geteuid();

    switch (rc) {
    case -EACCES:
    case -EPERM:
        return errbuf_set(err, rc,
                          "queue_directory %s%s%s is not writable for uid %u: make that user its "
                          "owner (chown %u %s; for a mounted folder, on the host)",
                          path, slash, part, uid, uid, path);
    case -EROFS:
        return errbuf_set(err, rc,
                          "queue_directory %s%s%s is on a read-only file system: mount it "
                          "writable, or set queue_directory to a place that is",
                          path, slash, part);
    case -ENOTDIR:
    case -ELOOP:
        return errbuf_set(err, rc,
                          "queue_directory %s%s%s is not a directory: move away what is there",
                          path, slash, part);
    case -ENOSPC:
    case -EDQUOT:
        return errbuf_set(err, rc,
                          "queue_directory %s%s%s: the file system is full: free some space on it",
                          path, slash, part);
    default:
        return errbuf_set(err, rc, "queue_directory %s%s%s: %s", path, slash, part,
                          uv_strerror(rc));
    }
}

/* Names made in a folder last only when the folder is synced. */
static int sync_folder(int dir_fd, const char *path, const char *part, struct errbuf *err)
{
    int rc = disk_fsync(dir_fd);

    if (rc == -EINVAL)
        return errbuf_set(err, rc,
                          "queue_directory %s: its file system cannot sync directories, so mail in "
                          "it would not survive power loss: set queue_directory to a local disk",
                          path);
    return rc < 0 ? explain(err, rc, path, part) : 0;
}

static int check_root(struct spool *s, const char *path, struct errbuf *err)
{
    struct stat st;

    if (fstat(s->root_fd, &st) != 0)
        return explain(err, -errno, path, "");
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return errbuf_set(err, -EPERM,
                          "queue_directory %s belongs to uid %u, and mxgate runs as uid %u: chown "
                          "it, or run mxgate as its owner",
                          path, (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & S_IWOTH)
        return errbuf_set(err, -EPERM,
                          "queue_directory %s is writable for everybody: give mxgate a folder of "
                          "its own, or chmod o-w it",
                          path);
    return 0;
}

static int open_root(struct spool *s, const char *path)
{
    /* The path itself may be a symbolic link of the operator's: not disk_open(). */
    int fd = disk_calls->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    s->root_fd = fd;
    return 0;
}

static int sync_parent(struct spool *s, const char *path, struct errbuf *err)
{
    int parent = disk_open(s->root_fd, "..", O_RDONLY | O_DIRECTORY);
    int rc;

    if (parent < 0)
        return explain(err, parent, path, "..");
    rc = sync_folder(parent, path, "..", err);
    disk_close(parent);
    return rc;
}

static int make_root(struct spool *s, const char *path, struct errbuf *err)
{
    int made = disk_mkdir(AT_FDCWD, path);
    int rc;

    if (made == -ENOENT)
        return errbuf_set(err, made,
                          "queue_directory %s: the folder above it does not exist: make it, or set "
                          "queue_directory",
                          path);
    if (made < 0 && made != -EEXIST)
        return explain(err, made, path, "");
    rc = open_root(s, path);
    if (rc < 0)
        return explain(err, rc, path, "");
    rc = check_root(s, path, err);
    return rc == 0 && made == 0 ? sync_parent(s, path, err) : rc;
}

/* Takes fd over. */
static int lock(struct spool *s, int fd, const char *path, struct errbuf *err)
{
    s->lock_fd = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return errbuf_set(err, -EBUSY,
                          "queue_directory %s is in use by another mxgate, which holds its lock: "
                          "stop that one, or give this one a queue_directory of its own",
                          path);
    return explain(err, -errno, path, "lock");
}

static int take_lock(struct spool *s, const char *path, struct errbuf *err)
{
    int fd = disk_open(s->root_fd, "lock", O_RDWR | O_CREAT);

    return fd < 0 ? explain(err, fd, path, "lock") : lock(s, fd, path, err);
}

/* Ours, private to us, and on the root's file system: else rename cannot work. */
static int check_folder(struct spool *s, const char *path, const char *name, int fd,
                        struct errbuf *err)
{
    struct stat root;
    struct stat st;

    if (fstat(s->root_fd, &root) != 0 || fstat(fd, &st) != 0)
        return explain(err, -errno, path, name);
    if (st.st_uid != geteuid())
        return errbuf_set(
            err, -EPERM,
            "queue_directory %s/%s belongs to uid %u, and mxgate runs as uid %u: chown "
            "-R %u %s, or run mxgate as its owner",
            path, name, (unsigned)st.st_uid, (unsigned)geteuid(), (unsigned)geteuid(), path);
    if (st.st_dev != root.st_dev)
        return errbuf_set(err, -EXDEV,
                          "queue_directory %s/%s is a file system of its own: mount %s as one",
                          path, name, path);
    if ((st.st_mode & 0777) != 0700 && fchmod(fd, 0700) != 0)
        return explain(err, -errno, path, name);
    return 0;
}

static int open_folder(struct spool *s, const char *path, const char *name, int *fd_out,
                       struct errbuf *err)
{
    int rc = disk_mkdir(s->root_fd, name);

    if (rc < 0 && rc != -EEXIST)
        return explain(err, rc, path, name);
    rc = disk_open(s->root_fd, name, O_RDONLY | O_DIRECTORY);
    if (rc < 0)
        return explain(err, rc, path, name);
    *fd_out = rc;
    CRASH_POINT("open-folder-made");
    rc = check_folder(s, path, name, *fd_out, err);
    return rc < 0 ? rc : sync_folder(*fd_out, path, name, err);
}

static int open_folders(struct spool *s, const char *path, struct errbuf *err)
{
    int rc = open_folder(s, path, "incoming", &s->incoming_fd, err);

    if (rc == 0)
        rc = open_folder(s, path, "queue", &s->queue_fd, err);
    if (rc == 0)
        rc = open_folder(s, path, "corrupt", &s->corrupt_fd, err);
    return rc;
}

static int clean(struct spool *s, const char *path, struct errbuf *err)
{
    int rc = spool_each_name(s->incoming_fd, clean_name, s);

    if (rc < 0)
        return explain(err, rc, path, "incoming");
    rc = spool_each_name(s->corrupt_fd, note_name, s);
    return rc < 0 ? explain(err, rc, path, "corrupt") : 0;
}

static void reset(struct spool *s, struct lane *disk)
{
    *s = (struct spool){
        .root_fd = -1,
        .lock_fd = -1,
        .incoming_fd = -1,
        .queue_fd = -1,
        .corrupt_fd = -1,
        .disk = disk,
    };
    if (disk) {
        lane_init(&s->sync_lane, disk->loop, 1);
        lane_init(&s->remove_lane, disk->loop, 1);
    }
}

int spool_open(struct spool *s, const char *path, struct lane *disk, struct errbuf *err)
{
    int rc;

    reset(s, disk);
    rc = make_root(s, path, err);
    if (rc == 0)
        rc = take_lock(s, path, err);
    CRASH_POINT("open-locked");
    if (rc == 0)
        rc = open_folders(s, path, err);
    if (rc == 0)
        rc = sync_folder(s->root_fd, path, "", err);
    if (rc == 0)
        rc = clean(s, path, err);
    if (rc < 0)
        spool_close(s);
    return rc;
}

int spool_open_readonly(struct spool *s, const char *path, struct errbuf *err)
{
    int rc;

    reset(s, NULL);
    rc = open_root(s, path);
    if (rc == 0) {
        rc = disk_open(s->root_fd, "queue", O_RDONLY | O_DIRECTORY);
        s->queue_fd = rc;
    }
    if (rc >= 0)
        return 0;
    spool_close(s);
    if (rc == -EACCES)
        return errbuf_set(err, rc,
                          "queue_directory %s cannot be read by uid %u: run this as the user that "
                          "mxgate runs as",
                          path, (unsigned)geteuid());
    if (rc == -ENOENT)
        return errbuf_set(err, rc, "queue_directory %s holds no queue: mxgate never served from it",
                          path);
    return explain(err, rc, path, "");
}

int spool_open_operator(struct spool *s, const char *path, struct errbuf *err)
{
    int rc = spool_open_readonly(s, path, err);
    int fd;

    if (rc < 0)
        return rc;
    fd = disk_open(s->root_fd, "lock", O_RDWR);
    rc = fd < 0 ? explain(err, fd, path, "lock") : lock(s, fd, path, err);
    if (rc < 0)
        spool_close(s);
    return rc;
}

void spool_close(struct spool *s)
{
    assert(spool_idle(s));
    disk_close(s->queue_fd);
    disk_close(s->incoming_fd);
    disk_close(s->corrupt_fd);
    disk_close(s->lock_fd); /* releases the lock: last but for the root */
    disk_close(s->root_fd);
    reset(s, NULL);
}

int64_t spool_free_bytes(const struct spool *s)
{
    return disk_free_bytes(s->queue_fd);
}
