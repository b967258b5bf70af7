/* Tests of queue/spool_commit with every call failing in turn: no name is left, rc and step are
 * told. */
#include "spool_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL 1000
#define LARGE ((1 << 20) + 777)

static struct spool_fixture f;

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

/* ---- every call failing ---------------------------------------------------- */

enum kind { FROM_MEMORY, TAKEN_OVER, COPIED, KIND_COUNT };

static void begin(struct spool_message *m, enum kind kind)
{
    spool_message_init(m, &f, 1, kind == FROM_MEMORY ? SMALL : LARGE);
    disk_run(&f.disk);
    if (kind == COPIED)
        assert_true(
            envelope_add_recipient(m->envelope, SPAN_LIT("eve@example.com"), 0, span_of(NULL)));
}

struct failing {
    enum disk_call call;
    int error;
    const char *steps; /* that may be named */
};

/* Fails the call number `nth`. False when the commit made no such call. */
static bool fail_nth(const struct failing *row, enum kind kind, unsigned nth)
{
    struct spool_message m;
    uint64_t len = kind == FROM_MEMORY ? SMALL : LARGE;
    unsigned fds;
    bool fired;

    begin(&m, kind);
    fds = disk_open_fds();
    disk_fault(row->call, nth, 1, row->error);
    spool_message_commit(&m);
    disk_run(&f.disk);
    fired = disk_fault_fired();
    disk_fault_none();
    assert_int_equal(m.done, 1);
    assert_int_equal(m.rc, fired ? -row->error : 0);
    assert_int_equal(disk_open_fds(), fds);
    if (fired) {
        assert_non_null(strstr(row->steps, m.step));
        assert_int_equal(disk_names(&f.disk, "queue"), 0);
        assert_int_equal(disk_names(&f.disk, "incoming"), kind == COPIED);
        /* The sender's next try, or intake's: the same body can be committed again. */
        spool_message_commit(&m);
        disk_run(&f.disk);
        assert_int_equal(m.rc, 0);
    }
    assert_int_equal(spool_check(&f, 1, len), 0);
    spool_message_deinit(&m);
    disk_run(&f.disk);
    assert_int_equal(unlinkat(f.spool.queue_fd, "0000000000000001", 0), 0);
    return fired;
}

static void test_every_call_failing(void **state)
{
    static const struct failing rows[] = {
        {DISK_OPENAT,  EMFILE, "create file"                   },
        {DISK_OPENAT,  EROFS,  "create file"                   },
        {DISK_PREAD,   EIO,    "read message"                  },
        {DISK_PWRITEV, ENOSPC, "write message"                 },
        {DISK_PWRITEV, EIO,    "write message"                 },
        {DISK_FSYNC,   EIO,    "fsync message, fsync directory"},
        {DISK_FSYNC,   EINVAL, "fsync message, fsync directory"},
        {DISK_FSYNC,   EINTR,  "fsync message, fsync directory"}, /* not tried twice either */
        {DISK_RENAME,  EIO,    "rename"                        },
        {DISK_RENAME,  ENOSPC, "rename"                        },
    };
    unsigned failures = 0;

    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            unsigned nth = 0;

            while (fail_nth(&rows[i], (enum kind)kind, nth))
                nth++;
            if (rows[i].call != DISK_PREAD && (rows[i].call != DISK_OPENAT || kind != TAKEN_OVER))
                assert_true(nth > 0);
            failures += nth;
        }
    }
    print_message("%u failed commits left nothing behind\n", failures);
}

static void test_disk_full_in_the_middle(void **state)
{
    struct spool_message m;

    spool_message_init(&m, &f, 1, SMALL);
    disk_fault_short(100);
    disk_fault(DISK_PWRITEV, 5, 1000, ENOSPC);
    spool_message_commit(&m);
    disk_run(&f.disk);
    assert_int_equal(m.rc, -ENOSPC);
    assert_string_equal(m.step, "write message");
    assert_int_equal(disk_names(&f.disk, "incoming"), 0);
    spool_message_deinit(&m);
}

static void test_rename_without_noreplace(void **state)
{
    static const int errors[] = {EINVAL, ENOSYS};

    for (unsigned i = 0; i < 2; i++) {
        struct spool_message m;

        spool_message_init(&m, &f, i, SMALL);
        disk_fault(DISK_RENAME, 0, 1, errors[i]);
        spool_message_commit(&m);
        disk_run(&f.disk);
        assert_int_equal(m.rc, 0);
        assert_int_equal(disk_count(DISK_LINKAT), 1);
        assert_int_equal(disk_names(&f.disk, "incoming"), 0);
        assert_int_equal(spool_check(&f, i, SMALL), 0);
        spool_message_deinit(&m);
    }
}

static int no_rename(int from_dir, const char *from, int to_dir, const char *to)
{
    errno = EINVAL;
    return -1;
}

/* Where rename cannot do without replacing, link or the unlink after it may fail as well. */
static void test_failing_link(void **state)
{
    static const enum disk_call rows[] = {DISK_LINKAT, DISK_UNLINKAT};
    const struct disk_calls *before = disk_calls;
    struct disk_calls calls = *before;

    calls.rename_new = no_rename;
    for (unsigned i = 0; i < 2; i++) {
        struct spool_message m;

        spool_message_init(&m, &f, 1, SMALL);
        disk_calls = &calls;
        disk_fault(rows[i], 0, 1, EIO);
        spool_message_commit(&m);
        disk_run(&f.disk);
        disk_calls = before;
        assert_int_equal(m.rc, -EIO);
        assert_string_equal(m.step, "rename");
        assert_int_equal(disk_names(&f.disk, "incoming"), 0);
        assert_int_equal(disk_names(&f.disk, "queue"), 0);
        spool_message_deinit(&m);
    }
}

/* A message is never replaced by another of its name, neither way. */
static void test_name_in_the_queue_is_kept(void **state)
{
    static const int errors[] = {0, EINVAL};

    spool_store(&f, 1, 5);
    for (unsigned i = 0; i < 2; i++) {
        struct spool_message m;

        spool_message_init(&m, &f, 1, SMALL);
        disk_fault(DISK_RENAME, 0, errors[i] != 0, errors[i]);
        spool_message_commit(&m);
        disk_run(&f.disk);
        assert_int_equal(m.rc, -EEXIST);
        assert_string_equal(m.step, "rename");
        assert_int_equal(spool_check(&f, 1, 5), 0);
        spool_message_deinit(&m);
    }
}

/* Nor is a file in incoming/ that somebody else is writing taken away. */
static void test_name_in_incoming_is_kept(void **state)
{
    char name[SPOOL_NAME_CAP];
    struct spool_message m;

    disk_put(&f.disk, spool_name(name, "incoming", 1), "x", 1);
    spool_message_init(&m, &f, 1, SMALL);
    spool_message_commit(&m);
    disk_run(&f.disk);
    assert_int_equal(m.rc, -EEXIST);
    assert_string_equal(m.step, "create file");
    assert_true(disk_exists(&f.disk, name));
    assert_int_equal(unlinkat(f.spool.incoming_fd, m.envelope->id.text, 0), 0);
    spool_message_deinit(&m);
}

static void test_body_with_missing_bytes(void **state)
{
    struct spool_message m;

    disk_fault(DISK_PWRITEV, 1, 1, ENOSPC);
    spool_message_init(&m, &f, 1, LARGE);
    disk_run(&f.disk);
    assert_int_equal(m.body->error, -ENOSPC);
    disk_fault_none();
    spool_message_commit(&m);
    disk_run(&f.disk);
    assert_int_equal(m.rc, -ENOSPC);
    assert_int_equal(disk_names(&f.disk, "queue"), 0);
    spool_message_deinit(&m);
}

/* After a failed fsync the pages may be gone: what reads back as something else is not promised. */
static void test_damaged_file_is_not_copied(void **state)
{
    struct spool_message m;

    begin(&m, COPIED);
    assert_int_equal(pwrite(m.body->fd, "X", 1, (off_t)m.body->base + 70000), 1);
    spool_message_commit(&m);
    disk_run(&f.disk);
    assert_int_equal(m.rc, -EIO);
    assert_string_equal(m.step, "read message");
    assert_int_equal(disk_names(&f.disk, "queue"), 0);
    spool_message_deinit(&m);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_call_failing),        TEST(test_disk_full_in_the_middle),
        TEST(test_rename_without_noreplace),  TEST(test_failing_link),
        TEST(test_name_in_the_queue_is_kept), TEST(test_name_in_incoming_is_kept),
        TEST(test_body_with_missing_bytes),   TEST(test_damaged_file_is_not_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
