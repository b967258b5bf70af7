/* Tests of spool_open: what it makes, cleans and refuses, each refusal with its remedy; the lock;
 * the speed of a scan. */
#include "spool_fixture.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct disk_fixture d;
static struct spool s;
static struct errbuf err;

static int setup(void **state)
{
    disk_setup(&d);
    err.text[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    disk_teardown(&d);
    return 0;
}

static char *in_folder(char path[SPOOL_NAME_CAP], const char *name)
{
    snprintf(path, SPOOL_NAME_CAP, "%s/%s", d.path, name);
    return path;
}

/* Opens "spool" in the folder; it must fail, in these words after its name. */
static void check_refused(int want, const char *words)
{
    char path[SPOOL_NAME_CAP];
    int rc = spool_open(&s, in_folder(path, "spool"), &d.disk, &err);

    disk_fault_none();
    if (rc != want || !strstr(err.text, words) || !strstr(err.text, path))
        fail_msg("%d: %s", rc, err.text);
    assert_int_equal(s.root_fd, -1);
    assert_int_equal(disk_open_fds(), d.fds);
    spool_close(&s); /* harmless */
}

static unsigned mode_of(const char *name)
{
    char path[SPOOL_NAME_CAP];
    struct stat st;

    assert_int_equal(stat(in_folder(path, name), &st), 0);
    return st.st_mode & 07777;
}

static void open_spool(struct spool *spool)
{
    char path[SPOOL_NAME_CAP];

    if (spool_open(spool, in_folder(path, "spool"), &d.disk, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_makes_what_is_missing(void **state)
{
    open_spool(&s);
    assert_int_equal(mode_of("spool"), 0700);
    assert_int_equal(mode_of("spool/incoming"), 0700);
    assert_int_equal(mode_of("spool/queue"), 0700);
    assert_int_equal(mode_of("spool/corrupt"), 0700);
    assert_int_equal(mode_of("spool/lock"), 0600);
    spool_close(&s);
    open_spool(&s); /* and takes what is there */
    spool_close(&s);
}

static void test_folders_are_made_private(void **state)
{
    char path[SPOOL_NAME_CAP];

    assert_int_equal(mkdir(in_folder(path, "spool"), 0755), 0);
    assert_int_equal(mkdir(in_folder(path, "spool/queue"), 0755), 0);
    assert_int_equal(chmod(in_folder(path, "spool"), 0755), 0);
    assert_int_equal(chmod(in_folder(path, "spool/queue"), 0777), 0);
    open_spool(&s);
    assert_int_equal(mode_of("spool"), 0755); /* the operator's: as it was */
    assert_int_equal(mode_of("spool/queue"), 0700);
    spool_close(&s);
}

static void test_empties_incoming(void **state)
{
    open_spool(&s);
    spool_close(&s);
    disk_put(&d, "spool/incoming/0000000000000007", "x", 1);
    disk_put(&d, "spool/incoming/0000000000000009.copy", "x", 1);
    disk_put(&d, "spool/incoming/rubbish", "x", 1);
    disk_put(&d, "spool/corrupt/0000000000000008.1", "x", 1);
    open_spool(&s);
    assert_int_equal(disk_names(&d, "spool/incoming"), 0);
    assert_int_equal(disk_names(&d, "spool/corrupt"), 1);
    assert_string_equal(s.last_seen.text, "0000000000000009");
    spool_close(&s);
    disk_put(&d, "spool/incoming/0000000000000007", "x", 1);
    disk_fault(DISK_UNLINKAT, 0, 1, EIO);
    check_refused(-EIO, "/incoming: i/o error");
}

/* ---- the lock -------------------------------------------------------------- */

static void test_one_daemon_at_a_time(void **state)
{
    char path[SPOOL_NAME_CAP];
    struct spool second;

    open_spool(&s);
    disk_put(&d, "spool/incoming/0000000000000007", "x", 1);
    assert_int_equal(spool_open(&second, in_folder(path, "spool"), &d.disk, &err), -EBUSY);
    assert_non_null(strstr(err.text, "is in use by another mxgate"));
    assert_int_equal(disk_names(&d, "spool/incoming"), 1); /* the first one's: not cleaned */
    assert_int_equal(spool_open_readonly(&second, path, &err), 0);
    spool_close(&second);
    spool_close(&s);
    open_spool(&s);
    spool_close(&s);
}

static void on_file(void *ctx, struct spool_file *f)
{
    ++*(unsigned *)ctx;
}

static void on_bad(void *ctx, const char *name, const char *why)
{
    *(unsigned *)ctx += 1000;
}

static void test_readonly_changes_nothing(void **state)
{
    char path[SPOOL_NAME_CAP];
    unsigned seen = 0;

    open_spool(&s);
    spool_close(&s);
    disk_put(&d, "spool/incoming/0000000000000007", "x", 1);
    disk_put(&d, "spool/queue/0000000000000008", "x", 1);
    assert_int_equal(spool_open_readonly(&s, in_folder(path, "spool"), &err), 0);
    assert_int_equal(spool_scan(&s, on_file, on_bad, &seen), 0);
    assert_int_equal(seen, 1000);
    spool_close(&s);
    assert_int_equal(disk_names(&d, "spool/incoming"), 1);
    assert_int_equal(disk_names(&d, "spool/queue"), 1);
    assert_int_equal(disk_names(&d, "spool/corrupt"), 0);
}

static void test_readonly_without_a_spool(void **state)
{
    char path[SPOOL_NAME_CAP];

    assert_int_equal(spool_open_readonly(&s, in_folder(path, "nothing"), &err), -ENOENT);
    assert_non_null(strstr(err.text, "holds no queue: mxgate never served from it"));
    assert_int_equal(spool_open_readonly(&s, d.path, &err), -ENOENT);
    assert_int_equal(disk_names(&d, "."), 0);
}

/* ---- refusals -------------------------------------------------------------- */

static void test_refuses_odd_places(void **state)
{
    char path[SPOOL_NAME_CAP];

    disk_put(&d, "spool", "x", 1);
    check_refused(-ENOTDIR, "is not a directory: move away what is there");
    assert_int_equal(unlink(in_folder(path, "spool")), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    disk_put(&d, "spool/queue", "x", 1);
    check_refused(-ENOTDIR, "/queue is not a directory: move away what is there");
    assert_int_equal(unlink(in_folder(path, "spool/queue")), 0);
    assert_int_equal(symlink("/tmp", path), 0);
    check_refused(-ENOTDIR, "/queue is not a directory: move away what is there");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", in_folder(path, "spool/lock.real")), 0);
    assert_int_equal(unlink(in_folder(path, "spool/lock")), 0);
    assert_int_equal(symlink("lock.real", path), 0);
    check_refused(-ELOOP, "/lock is not");
    assert_int_equal(spool_open(&s, in_folder(path, "no/spool"), &d.disk, &err), -ENOENT);
    assert_non_null(strstr(err.text, "the folder above it does not exist"));
}

/* The operator's own link to where the data really lies is fine. */
static void test_path_may_be_a_link(void **state)
{
    char path[SPOOL_NAME_CAP];
    char real[SPOOL_NAME_CAP];

    assert_int_equal(mkdir(in_folder(real, "real"), 0700), 0);
    assert_int_equal(symlink(real, in_folder(path, "spool")), 0);
    open_spool(&s);
    spool_close(&s);
    assert_int_equal(disk_names(&d, "real"), 4);
}

static void test_refuses_a_folder_for_everybody(void **state)
{
    char path[SPOOL_NAME_CAP];

    assert_int_equal(mkdir(in_folder(path, "spool"), 0700), 0);
    assert_int_equal(chmod(path, 01777), 0);
    check_refused(-EPERM, "is writable for everybody: give mxgate a folder of its own");
    assert_int_equal(disk_names(&d, "spool"), 0);
}

static void become(uid_t uid)
{
    assert_int_equal(seteuid(uid), 0);
    prctl(PR_SET_DUMPABLE, 1); /* else the leak check at the end cannot look */
}

static void as_nobody(int want, const char *words)
{
    become(65534);
    check_refused(want, words);
    become(0);
}

static void test_refuses_wrong_owners(void **state)
{
    char path[SPOOL_NAME_CAP];

    if (geteuid() != 0)
        skip(); /* only root can make such folders */
    assert_int_equal(chmod(d.path, 0755), 0);
    as_nobody(-EACCES, "is not writable for uid 65534: make that user its owner (chown 65534 ");
    assert_int_equal(mkdir(in_folder(path, "spool"), 0755), 0);
    as_nobody(-EACCES, "/lock is not writable for uid 65534: make that user its owner");
    assert_int_equal(chown(path, 12345, 12345), 0);
    check_refused(-EPERM, "belongs to uid 12345, and mxgate runs as uid 0: chown it");
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(mkdir(in_folder(path, "spool/queue"), 0755), 0);
    as_nobody(-EPERM, "/queue belongs to uid 0, and mxgate runs as uid 65534: chown -R 65534 ");
    /* A folder of root's in which we may write (a volume with our group): fine. */
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(chown(in_folder(path, "spool"), 0, getegid()), 0);
    assert_int_equal(chmod(path, 0775), 0);
    assert_int_equal(unlink(in_folder(path, "spool/lock")), 0);
    assert_int_equal(chown(in_folder(path, "spool/incoming"), 65534, 65534), 0);
    become(65534);
    open_spool(&s);
    spool_close(&s);
    become(0);
}

static void test_refuses_with_failing_calls(void **state)
{
    static const struct {
        enum disk_call call;
        unsigned skip;
        int error;
        const char *words;
    } rows[] = {
        {DISK_MKDIRAT, 0, EROFS,  "is on a read-only file system: mount it writable"      },
        {DISK_MKDIRAT, 1, ENOSPC, "/incoming: the file system is full: free some space"   },
        {DISK_MKDIRAT, 3, EDQUOT, "/corrupt: the file system is full: free some space"    },
        {DISK_OPENAT,  0, EMFILE, ": too many open files"                                 },
        {DISK_OPENAT,  1, EIO,    "/..: i/o error"                                        },
        {DISK_OPENAT,  2, EROFS,  "/lock is on a read-only file system: mount it writable"},
        {DISK_OPENAT,  3, EACCES, "/incoming is not writable for uid"                     },
        {DISK_OPENAT,  6, EIO,    "/incoming: i/o error"                                  },
        {DISK_OPENAT,  7, EIO,    "/corrupt: i/o error"                                   },
        {DISK_FSYNC,   0, EIO,    "/..: i/o error"                                        },
        {DISK_FSYNC,   1, EINVAL, "its file system cannot sync directories, so mail in it"},
        {DISK_FSYNC,   4, EIO,    ": i/o error"                                           },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static const char *const names[] = {"lock", "incoming", "queue", "corrupt", ""};
        char path[SPOOL_NAME_CAP];
        char name[20];

        disk_fault(rows[i].call, rows[i].skip, 1, rows[i].error);
        check_refused(-rows[i].error, rows[i].words);
        for (unsigned k = 0; k < 5; k++) {
            snprintf(name, sizeof name, "spool/%s", names[k]);
            remove(in_folder(path, name));
        }
        assert_false(disk_exists(&d, "spool"));
    }
}

/* ---- speed ----------------------------------------------------------------- */

#define SPEED_FILES 100000u

static void make_files(unsigned count)
{
    static const char tail[] = "arrival 1763770000.123456\n"
                               "client mail.example.org 203.0.113.9 51234 helo=mail.example.org "
                               "proto=ESMTPS\nsender <bob@example.org> 8BITMIME\n"
                               "rcpt 0 <ann@example.com>\nbody 0000000000007\nHello\r\n"
                               "end crc32c=00000000\n";
    char bytes[512];

    for (unsigned i = 0; i < count; i++) {
        struct queue_id id;
        int n;
        int fd;

        spool_id(i, &id);
        n = snprintf(bytes, sizeof bytes, "mxgate-spool 1\nid %s\n%s", id.text, tail);
        fd = openat(s.queue_fd, id.text, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, (size_t)n), n);
        close(fd);
    }
}

static void test_scan_speed(void **state)
{
    unsigned seen = 0;
    uint64_t start;

    open_spool(&s);
    make_files(SPEED_FILES);
    disk_fault_none();
    start = clock_mono_ms();
    assert_int_equal(spool_scan(&s, on_file, on_bad, &seen), 0);
    print_message("%u files scanned in %llu ms\n", SPEED_FILES,
                  (unsigned long long)(clock_mono_ms() - start));
    assert_int_equal(seen, SPEED_FILES);
    assert_int_equal(disk_count(DISK_PREAD), SPEED_FILES); /* a small file is one read */
    spool_close(&s);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_makes_what_is_missing),
        TEST(test_folders_are_made_private),
        TEST(test_empties_incoming),
        TEST(test_one_daemon_at_a_time),
        TEST(test_readonly_changes_nothing),
        TEST(test_readonly_without_a_spool),
        TEST(test_refuses_odd_places),
        TEST(test_path_may_be_a_link),
        TEST(test_refuses_a_folder_for_everybody),
        TEST(test_refuses_wrong_owners),
        TEST(test_refuses_with_failing_calls),
        TEST(test_scan_speed),
    };

    umask(022); /* what the tests make is as open as they say */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
