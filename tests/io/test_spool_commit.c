/* Tests of queue/spool_commit: what is on disk, and shared directory fsyncs. */
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

/* ---- success --------------------------------------------------------------- */

static void test_from_memory(void **state)
{
    struct spool_message m;
    struct stat st;
    char name[SPOOL_NAME_CAP];
    char path[SPOOL_NAME_CAP + 100];

    spool_message_init(&m, &f, 1, SMALL);
    disk_fault_none();
    spool_message_commit(&m);
    assert_int_equal(m.done, 0);
    disk_run(&f.disk);
    assert_int_equal(m.done, 1);
    assert_int_equal(m.rc, 0);
    assert_int_equal(f.spool.commits, 1);
    assert_int_equal(f.spool.syncs, 1);
    /* Header, body and end by one call; the file and the folder are synced once each. */
    assert_int_equal(disk_count(DISK_OPENAT), 1);
    assert_int_equal(disk_count(DISK_PWRITEV), 1);
    assert_int_equal(disk_count(DISK_FSYNC), 2);
    assert_int_equal(disk_count(DISK_RENAME), 1);
    snprintf(path, sizeof path, "%s/%s", f.disk.path, spool_name(name, "queue", 1));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(disk_names(&f.disk, "incoming"), 0);
    assert_int_equal(spool_check(&f, 1, SMALL), 0);
    spool_message_deinit(&m);
}

/* What was synced, in its order: as the file that it was, and whether it had its name by then. */
static struct {
    unsigned count;
    struct stat of[4];
    bool named[4];
} synced;

static void note_sync(int fd)
{
    char name[SPOOL_NAME_CAP];
    char path[SPOOL_NAME_CAP + 100];

    assert_true(synced.count < 4);
    assert_int_equal(fstat(fd, &synced.of[synced.count]), 0);
    snprintf(path, sizeof path, "%s/%s", f.disk.path, spool_name(name, "queue", 1));
    synced.named[synced.count++] = access(path, F_OK) == 0;
}

static void test_the_file_then_its_name_in_the_queue(void **state)
{
    struct spool_message m;
    struct stat queue;
    char path[200];

    snprintf(path, sizeof path, "%s/queue", f.disk.path);
    assert_int_equal(stat(path, &queue), 0);
    spool_message_init(&m, &f, 1, SMALL);
    disk_fault_none();
    synced.count = 0;
    disk_on_fsync(note_sync);
    spool_message_commit(&m);
    disk_run(&f.disk);
    disk_on_fsync(NULL);
    assert_int_equal(m.rc, 0);
    assert_int_equal(synced.count, 2);
    assert_true(S_ISREG(synced.of[0].st_mode));
    assert_false(synced.named[0]);
    assert_true(synced.of[1].st_ino == queue.st_ino && synced.of[1].st_dev == queue.st_dev);
    assert_true(synced.named[1]);
    spool_message_deinit(&m);
}

static void test_empty_body(void **state)
{
    spool_store(&f, 1, 0);
    assert_int_equal(spool_check(&f, 1, 0), 0);
}

/* What was written while the message came in is not written again; the body stays readable. */
static void test_file_is_taken_over(void **state)
{
    struct spool_message m;
    char byte;

    spool_message_init(&m, &f, 1, LARGE);
    disk_run(&f.disk);
    assert_int_equal(disk_names(&f.disk, "incoming"), 1);
    disk_fault_none();
    spool_message_commit(&m);
    disk_run(&f.disk);
    assert_int_equal(m.rc, 0);
    assert_int_equal(disk_count(DISK_OPENAT), 0);
    assert_int_equal(disk_count(DISK_PREAD), 0);
    assert_int_equal(disk_count(DISK_PWRITEV),
                     2); /* rest and end, then the header with the length */
    assert_int_equal(disk_names(&f.disk, "incoming"), 0);
    assert_int_equal(spool_check(&f, 1, LARGE), 0);
    assert_int_equal(body_read(m.body, LARGE - 1, &byte, 1), 1);
    spool_message_deinit(&m);
    disk_run(&f.disk);
    assert_int_equal(disk_names(&f.disk, "queue"), 1); /* the body took nothing with it */
}

static void test_lengths_around_the_memory_limit(void **state)
{
    for (unsigned i = 0; i < 5; i++) {
        uint64_t len = BODY_MEMORY_MAX - 2 + i;

        spool_store(&f, i, len);
        assert_int_equal(spool_check(&f, i, len), 0);
    }
}

/* A recipient more than when the file was begun: the header has no room, so the file is written
 * again. */
static void test_other_header_is_copied(void **state)
{
    struct spool_message m;

    spool_message_init(&m, &f, 1, LARGE);
    disk_run(&f.disk);
    assert_true(envelope_add_recipient(m.envelope, SPAN_LIT("eve@example.com"), 0, span_of(NULL)));
    spool_message_commit(&m);
    disk_run(&f.disk);
    assert_int_equal(m.rc, 0);
    assert_int_equal(spool_check(&f, 1, LARGE), 0);
    spool_message_deinit(&m); /* and its own file with it: teardown looks */
}

static void test_records_come_along(void **state)
{
    struct spool_message m;
    struct spool_load l = {.fd = -1};
    char records[2 * SPOOL_RECORD_CAP];
    struct text t;

    text_init(&t, records, sizeof records);
    spool_format_attempt(&t, 100, 0, SPOOL_SENT, "2.0.0", SPAN_LIT("250 ok"));
    spool_format_attempt(&t, 100, 1, SPOOL_DEFERRED, "4.2.2", SPAN_LIT("452 full"));
    spool_message_init(&m, &f, 1, SMALL);
    m.commit.records = records;
    m.commit.records_len = t.len;
    spool_message_commit(&m);
    disk_run(&f.disk);
    assert_int_equal(m.rc, 0);
    l.id = m.envelope->id;
    assert_int_equal(spool_load_now(&f.spool, &l), 0);
    assert_int_equal(l.file.envelope->recipients[0].state, RECIPIENT_SENT);
    assert_string_equal(l.file.envelope->recipients[1].reason, "452 full");
    assert_int_equal(l.file.attempts, 1);
    close(l.fd);
    spool_file_deinit(&l.file);
    spool_message_deinit(&m);
}

static void test_short_writes_and_interrupts(void **state)
{
    static const uint64_t lens[] = {SMALL, LARGE};

    for (unsigned i = 0; i < 2; i++) {
        struct spool_message m;

        spool_message_init(&m, &f, i, lens[i]);
        disk_run(&f.disk);
        disk_fault(DISK_PWRITEV, 0, 2, EINTR);
        disk_fault_short(7);
        spool_message_commit(&m);
        disk_run(&f.disk);
        assert_int_equal(m.rc, 0);
        assert_true(disk_fault_fired());
        disk_fault_none();
        assert_int_equal(spool_check(&f, i, lens[i]), 0);
        spool_message_deinit(&m);
    }
}

/* ---- shared directory fsyncs ----------------------------------------------- */

#define GROUP 60

static struct spool_message group[GROUP];
static atomic_uint folder_syncs;

static unsigned group_done(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < GROUP; i++)
        n += group[i].done;
    return n;
}

/* The first fsync of the folder takes until all others are renamed. */
static void wait_for_renames(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    if (!S_ISDIR(st.st_mode) || atomic_fetch_add(&folder_syncs, 1) > 0)
        return;
    while (disk_count(DISK_RENAME) < GROUP)
        usleep(1000);
}

static void test_commits_share_directory_fsyncs(void **state)
{
    disk_fault_none();
    atomic_store(&folder_syncs, 0);
    disk_on_fsync(wait_for_renames);
    for (unsigned i = 0; i < GROUP; i++) {
        spool_message_init(&group[i], &f, i, SMALL);
        spool_message_commit(&group[i]);
    }
    disk_run(&f.disk);
    assert_int_equal(group_done(), GROUP);
    assert_int_equal(f.spool.commits, GROUP);
    /* One for those renamed before it began, one for all that came while it ran, and stragglers'.
     */
    assert_in_range(f.spool.syncs, 1, 2 + f.disk.disk.limit);
    assert_int_equal(atomic_load(&folder_syncs), f.spool.syncs);
    assert_int_equal(disk_names(&f.disk, "queue"), GROUP);
    for (unsigned i = 0; i < GROUP; i++) {
        assert_int_equal(group[i].rc, 0);
        spool_message_deinit(&group[i]);
    }
}

/* P1: nobody hears 250 before the folder was synced after his rename. */
static void fail_folder(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    if (S_ISDIR(st.st_mode))
        disk_fault(DISK_FSYNC, 0, 1, EIO);
}

static void test_failed_directory_fsync_fails_all_that_waited(void **state)
{
    disk_on_fsync(fail_folder);
    for (unsigned i = 0; i < GROUP; i++) {
        spool_message_init(&group[i], &f, i, SMALL);
        spool_message_commit(&group[i]);
    }
    disk_run(&f.disk);
    assert_int_equal(f.spool.commits, 0);
    assert_int_equal(disk_names(&f.disk, "queue"), 0);
    for (unsigned i = 0; i < GROUP; i++) {
        assert_int_equal(group[i].done, 1);
        assert_int_equal(group[i].rc, -EIO);
        assert_string_equal(group[i].step, "fsync directory");
        spool_message_deinit(&group[i]);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_from_memory),
        TEST(test_the_file_then_its_name_in_the_queue),
        TEST(test_empty_body),
        TEST(test_file_is_taken_over),
        TEST(test_lengths_around_the_memory_limit),
        TEST(test_other_header_is_copied),
        TEST(test_records_come_along),
        TEST(test_short_writes_and_interrupts),
        TEST(test_commits_share_directory_fsyncs),
        TEST(test_failed_directory_fsync_fails_all_that_waited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
