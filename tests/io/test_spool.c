/* Tests of queue/spool: loading, appending, removing, and what a scan then says. */
#include "spool_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct spool_fixture f;
static struct spool_seen seen;

static int setup(void **state)
{
    spool_setup(&f);
    return 0;
}

static int teardown(void **state)
{
    spool_teardown(&f);
    return 0;
}

/* ---- load ------------------------------------------------------------------ */

static unsigned loads;

static void on_loaded(struct spool_load *l, int rc)
{
    loads++;
}

static int load(struct spool_load *l, unsigned n)
{
    memset(l, 0, sizeof *l);
    spool_id(n, &l->id);
    l->done = on_loaded;
    loads = 0;
    spool_load(&f.spool, l);
    assert_int_equal(loads, 0);
    disk_run(&f.disk);
    assert_int_equal(loads, 1);
    return l->rc;
}

static void test_load(void **state)
{
    struct spool_load l;

    spool_store(&f, 1, 300000);
    assert_int_equal(load(&l, 1), 0);
    assert_int_equal(l.file.body_len, 300000);
    assert_true(l.fd >= 0 && (fcntl(l.fd, F_GETFD) & FD_CLOEXEC));
    close(l.fd);
    spool_file_deinit(&l.file);
    assert_int_equal(load(&l, 2), -ENOENT);
    assert_string_equal(l.err.text, "cannot be read: no such file or directory");
}

/* The scan does not look at the body; what is delivered was. */
static void test_load_finds_a_damaged_body(void **state)
{
    struct spool_load l;
    int fd;

    spool_store(&f, 1, 300000);
    fd = openat(f.spool.queue_fd, "0000000000000001", O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 250000), 1);
    close(fd);
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.files, 1);
    assert_int_equal(load(&l, 1), -EBADMSG);
    assert_string_equal(l.err.text, "after the body: line 1: the sum over the message is wrong; "
                                    "moved to corrupt/0000000000000001");
    assert_int_equal(l.fd, -1);
    assert_null(l.file.envelope);
    assert_int_equal(disk_names(&f.disk, "queue"), 0);
}

/* A copy that somebody made under another name would be delivered beside the original. */
static void test_load_under_another_name(void **state)
{
    struct spool_load l;

    spool_store(&f, 1, 1000);
    assert_int_equal(
        renameat(f.spool.queue_fd, "0000000000000001", f.spool.queue_fd, "0000000000000002"), 0);
    assert_int_equal(load(&l, 2), -EBADMSG);
    assert_string_equal(l.err.text,
                        "is 0000000000000001 by its header; moved to corrupt/0000000000000002");
    assert_int_equal(l.fd, -1);
    assert_null(l.file.envelope);
    assert_int_equal(disk_names(&f.disk, "queue"), 0);
    assert_int_equal(disk_names(&f.disk, "corrupt"), 1);
}

static void test_load_with_failing_reads(void **state)
{
    struct spool_load l;
    unsigned nth = 0;

    spool_store(&f, 1, 300000);
    for (;; nth++) {
        disk_fault(DISK_PREAD, nth, 1, EIO);
        if (load(&l, 1) == 0)
            break;
        assert_int_equal(l.rc, -EIO);
        assert_string_equal(l.err.text, "cannot be read: i/o error");
        assert_int_equal(disk_names(&f.disk, "queue"), 1); /* not corrupt: unreadable */
    }
    assert_true(nth >= 6);
    close(l.fd);
    spool_file_deinit(&l.file);
    disk_fault_short(333);
    disk_fault(DISK_PREAD, 1, 3, EINTR);
    assert_int_equal(load(&l, 1), 0);
    close(l.fd);
    spool_file_deinit(&l.file);
}

/* ---- append and remove ----------------------------------------------------- */

static unsigned answers;
static int answer;

static void on_appended(struct spool_append *a, int rc)
{
    answers++;
    answer = rc;
}

static int append(unsigned n, bool sync, const char *text)
{
    char records[1000];
    struct spool_append a = {.records = records, .sync = sync, .done = on_appended};

    snprintf(records, sizeof records, "%s", text);
    a.records_len = strlen(records);
    spool_id(n, &a.id);
    answers = 0;
    spool_append(&f.spool, &a);
    disk_run(&f.disk);
    assert_int_equal(answers, 1);
    return answer;
}

#define SENT     "attempt 100 rcpt=0 sent 2.0.0 \"250 ok\"\n"
#define DEFERRED "attempt 200 rcpt=1 deferred 4.2.2 \"452 full\"\n"

static void test_append(void **state)
{
    spool_store(&f, 1, 100);
    disk_fault_none();
    assert_int_equal(append(1, false, SENT), 0);
    assert_int_equal(disk_count(DISK_WRITE), 1);
    assert_int_equal(disk_count(DISK_FDATASYNC), 0);
    assert_int_equal(append(1, true, DEFERRED "hold 300 \"expired\"\n"), 0);
    assert_int_equal(disk_count(DISK_FDATASYNC), 1);
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.pending, 1);
    assert_int_equal(seen.file.attempts, 2);
    assert_true(seen.file.on_hold);
    assert_int_equal(spool_check(&f, 1, 100), 0);
    assert_int_equal(append(2, false, SENT), -ENOENT);
}

/* A crash tore a record: the next is not glued to it. */
static void test_append_after_a_torn_record(void **state)
{
    static char torn[3000];

    memset(torn, 'x', sizeof torn - 1);
    for (unsigned i = 0; i < 2; i++) {
        const char *half = i == 0 ? "attempt 100 rcpt=0 se" : torn;
        int fd;

        spool_store(&f, i, 100);
        fd = openat(f.spool.queue_fd, i == 0 ? "0000000000000000" : "0000000000000001",
                    O_WRONLY | O_APPEND);
        assert_int_equal(write(fd, half, strlen(half)), strlen(half));
        close(fd);
        disk_fault_none();
        assert_int_equal(append(i, false, SENT), 0);
        assert_int_equal(disk_count(DISK_FDATASYNC), 1); /* it is gone before the next is written */
        assert_int_equal(spool_check(&f, i, 100), 0);
    }
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.files, 2);
    assert_int_equal(seen.pending, 2);
}

static void test_append_on_a_full_disk(void **state)
{
    size_t before;
    size_t after;

    spool_store(&f, 1, 100);
    free(disk_content(&f.disk, "queue/0000000000000001", &before));
    disk_fault_short(5);
    disk_fault(DISK_WRITE, 3, 1, ENOSPC);
    assert_int_equal(append(1, true, SENT), -ENOSPC);
    free(disk_content(&f.disk, "queue/0000000000000001", &after));
    assert_int_equal(before, after); /* nothing of it is left */
    disk_fault_none();
    disk_fault_short(5);
    assert_int_equal(append(1, true, SENT), 0);
    assert_int_equal(spool_check(&f, 1, 100), 0);
}

static void test_append_with_failing_calls(void **state)
{
    static const struct {
        enum disk_call call;
        int error;
    } rows[] = {
        {DISK_OPENAT,    EMFILE},
        {DISK_PREAD,     EIO   },
        {DISK_WRITE,     EIO   },
        {DISK_FDATASYNC, EIO   },
    };

    spool_store(&f, 1, 100);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        disk_fault(rows[i].call, 0, 1, rows[i].error);
        assert_int_equal(append(1, true, SENT), -rows[i].error);
        disk_fault_none();
        assert_int_equal(spool_check(&f, 1, 100), 0);
    }
    /* The rest of a record that can neither be finished nor cut off: the next append does it. */
    disk_fault_short(9);
    disk_fault(DISK_FTRUNCATE, 0, 1, EIO);
    assert_int_equal(append(1, false, SENT), 0);
    disk_fault_none();
}

static void on_removed(struct spool_remove *r, int rc)
{
    answers++;
    answer = rc;
}

static void test_remove(void **state)
{
    struct spool_remove r = {.done = on_removed};
    static const int want[] = {-EIO, 0, -ENOENT};

    spool_store(&f, 1, 100);
    spool_id(1, &r.id);
    disk_fault(DISK_UNLINKAT, 0, 1, EIO);
    for (unsigned i = 0; i < 3; i++) {
        answers = 0;
        spool_remove(&f.spool, &r);
        disk_run(&f.disk);
        assert_int_equal(answers, 1);
        assert_int_equal(answer, want[i]);
        assert_int_equal(disk_names(&f.disk, "queue"), i == 0);
    }
}

#define CROWD 5

static struct crowd {
    struct spool_remove removes[CROWD];
    int results[CROWD];
    unsigned answers;
} crowd;

static void on_one_removed(struct spool_remove *r, int rc)
{
    crowd.results[r - crowd.removes] = rc;
    crowd.answers++;
}

/* The first goes at once, the others together after it; each hears its own result. */
static void test_remove_many_together(void **state)
{
    static const int want[CROWD] = {0, 0, -ENOENT, -EIO, 0};

    crowd = (struct crowd){.answers = 0};
    for (unsigned i = 0; i < CROWD; i++) {
        if (i != 2)
            spool_store(&f, i + 1, 100);
        spool_id(i + 1, &crowd.removes[i].id);
        crowd.removes[i].done = on_one_removed;
    }
    disk_fault(DISK_UNLINKAT, 3, 1, EIO);
    for (unsigned i = 0; i < CROWD; i++)
        spool_remove(&f.spool, &crowd.removes[i]);
    assert_false(spool_idle(&f.spool));
    disk_run(&f.disk);
    assert_int_equal(crowd.answers, CROWD);
    for (unsigned i = 0; i < CROWD; i++)
        assert_int_equal(crowd.results[i], want[i]);
    assert_int_equal(disk_names(&f.disk, "queue"), 1);
    assert_true(spool_idle(&f.spool));
}

static void test_free_bytes(void **state)
{
    assert_true(spool_free_bytes(&f.spool) > 0);
    disk_fault(DISK_FSTATVFS, 0, 1, EIO);
    assert_int_equal(spool_free_bytes(&f.spool), -EIO);
}

static void test_probe(void **state)
{
    static const struct {
        enum disk_call call;
        int error;
    } rows[] = {
        {DISK_OPENAT,   EROFS },
        {DISK_WRITE,    ENOSPC},
        {DISK_UNLINKAT, EIO   },
    };

    assert_int_equal(spool_probe(&f.spool), 0);
    assert_int_equal(disk_names(&f.disk, "incoming"), 0);
    assert_true(spool_idle(&f.spool));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        disk_fault(rows[i].call, 0, 1, rows[i].error);
        assert_int_equal(spool_probe(&f.spool), -rows[i].error);
    }
    disk_fault_none();
    assert_int_equal(spool_probe(&f.spool), 0); /* what was left is no hindrance */
}

/* Whoever put it there, and whatever else lies about. */
static void test_count(void **state)
{
    static const struct {
        const char *folder, *name;
        unsigned messages, corrupt;
    } rows[] = {
        {NULL,      NULL,                 0, 0},
        {"queue",   "06401F3A9C2E7001",   1, 0},
        {"queue",   "06401F3A9C2E7002",   2, 0},
        {"queue",   "lost+found",         2, 0},
        {"corrupt", "06401F3A9C2E7001",   2, 1},
        {"corrupt", "06401F3A9C2E7001.1", 2, 2},
    };
    uint64_t messages, corrupt;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[300];

        if (rows[i].folder) {
            snprintf(path, sizeof path, "%s/%s/%s", f.disk.path, rows[i].folder, rows[i].name);
            close(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        }
        assert_int_equal(spool_count(&f.spool, &messages, &corrupt), 0);
        assert_int_equal(messages, rows[i].messages);
        assert_int_equal(corrupt, rows[i].corrupt);
    }
    for (unsigned skip = 0; skip < 2; skip++) { /* either folder */
        disk_fault(DISK_OPENAT, skip, 1, EIO);
        assert_int_equal(spool_count(&f.spool, &messages, &corrupt), -EIO);
    }
    disk_fault_none();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_load),
        TEST(test_load_finds_a_damaged_body),
        TEST(test_load_under_another_name),
        TEST(test_load_with_failing_reads),
        TEST(test_append),
        TEST(test_append_after_a_torn_record),
        TEST(test_append_on_a_full_disk),
        TEST(test_append_with_failing_calls),
        TEST(test_remove),
        TEST(test_remove_many_together),
        TEST(test_free_bytes),
        TEST(test_probe),
        TEST(test_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
