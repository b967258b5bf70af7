/* test_overrides_file - the file that postconf -e keeps: whole at all times, whatever call fails */
#include "commands/overrides_file.h"
#include "config/overrides.h"
#include "disk_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct disk_fixture d;
static char spool[96];
static struct errbuf err;

static int setup(void **state)
{
    disk_setup(&d);
    snprintf(spool, sizeof spool, "%s/spool", d.path);
    err.text[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    disk_teardown(&d);
    return 0;
}

static int write_text(const char *text)
{
    struct overrides_file f;
    int rc = overrides_file_lock(&f, spool, &err);

    if (rc == 0)
        rc = overrides_file_write(&f, span_of(text), &err);
    overrides_file_unlock(&f);
    return rc;
}

/* NULL: there is none. */
static void expect(const char *want)
{
    char *text;

    assert_int_equal(overrides_file_read(spool, &text, &err), 0);
    if (!want)
        assert_null(text);
    else if (!text || strcmp(text, want) != 0)
        fail_msg("it is: %s", text ? text : "(none)");
    free(text);
}

static unsigned mode_of(const char *name)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", d.path, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* ---- what is there ---- */

static void test_no_folder_yet(void **state)
{
    mode_t old = umask(0);

    expect(NULL);
    assert_int_equal(write_text("a = b\n"), 0);
    umask(old);
    expect("a = b\n");
    assert_int_equal(mode_of("spool"), 0700);
    assert_int_equal(mode_of("spool/overrides"), 0600);
    assert_int_equal(mode_of("spool/overrides.lock"), 0600);
    assert_false(disk_exists(&d, "spool/overrides.new"));
    assert_int_equal(write_text(""), 0);
    expect("");
}

static void test_no_place_for_it(void **state)
{
    snprintf(spool, sizeof spool, "%s/no/spool", d.path);
    expect(NULL);
    assert_int_equal(write_text("a = b\n"), -ENOENT);
    assert_non_null(strstr(err.text, "the folder above it does not exist"));
    snprintf(spool, sizeof spool, "%s/file", d.path);
    disk_put(&d, "file", "x", 1);
    assert_int_equal(write_text("a = b\n"), -ENOTDIR);
}

/* A writer that was killed leaves overrides.new behind: it is in nobody's way. */
static void test_debris(void **state)
{
    assert_int_equal(write_text("a = b\n"), 0);
    disk_put(&d, "spool/overrides.new", "half of someth", 14);
    expect("a = b\n");
    assert_int_equal(write_text("c = d\n"), 0);
    expect("c = d\n");
}

/* Root writes what the daemon's user must read. */
static void test_it_belongs_to_whom_the_queue_belongs(void **state)
{
    char path[128];
    struct stat st;

    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(spool, 0755), 0);
    snprintf(path, sizeof path, "%s/queue", spool);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, 4711, 4712), 0);
    assert_int_equal(write_text("a = b\n"), 0);
    snprintf(path, sizeof path, "%s/overrides", spool);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 4711);
    assert_int_equal(st.st_gid, 4712);
    snprintf(path, sizeof path, "%s/overrides.lock", spool);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 4711);
}

/* Nobody but us may have put something else in its place. */
static void test_a_link_is_not_followed(void **state)
{
    char path[128];

    assert_int_equal(write_text("a = b\n"), 0);
    disk_put(&d, "elsewhere", "c = d\n", 6);
    snprintf(path, sizeof path, "%s/overrides", spool);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("../elsewhere", path), 0);
    {
        char *text;

        assert_int_equal(overrides_file_read(spool, &text, &err), -ELOOP);
        assert_null(text);
    }
}

static void test_what_is_not_text(void **state)
{
    char *large = malloc(OVERRIDES_MAX + 1);
    char *text;

    assert_non_null(large);
    assert_int_equal(write_text("a = b\n"), 0);
    disk_put(&d, "spool/overrides", "a\0b", 3);
    assert_int_equal(overrides_file_read(spool, &text, &err), -EFBIG);
    memset(large, '\n', OVERRIDES_MAX + 1);
    disk_put(&d, "spool/overrides", large, OVERRIDES_MAX + 1);
    assert_int_equal(overrides_file_read(spool, &text, &err), -EFBIG);
    disk_put(&d, "spool/overrides", large, OVERRIDES_MAX);
    assert_int_equal(overrides_file_read(spool, &text, &err), 0);
    assert_int_equal(strlen(text), OVERRIDES_MAX);
    free(text);
    {
        struct overrides_file f;

        assert_int_equal(overrides_file_lock(&f, spool, &err), 0);
        assert_int_equal(overrides_file_write(&f, span_make(large, OVERRIDES_MAX + 1), &err),
                         -EFBIG);
        overrides_file_unlock(&f);
    }
    free(large);
}

/* ---- calls that fail ---- */

static void test_each_call_failing(void **state)
{
    static const struct {
        enum disk_call call;
        unsigned skip;
        int error;
        const char *after; /* what is in force then */
    } rows[] = {
        {DISK_OPENAT,   0, EACCES, "old = 1\n"}, /* the folder */
        {DISK_OPENAT,   1, EROFS,  "old = 1\n"}, /* the lock */
        {DISK_OPENAT,   3, ENOSPC, "old = 1\n"}, /* the new file */
        {DISK_WRITE,    0, ENOSPC, "old = 1\n"},
        {DISK_WRITE,    1, EIO,    "old = 1\n"}, /* the rest, after a short write */
        {DISK_FSYNC,    0, EIO,    "old = 1\n"},
        {DISK_RENAMEAT, 0, EROFS,  "old = 1\n"},
        {DISK_FSYNC,    1, EIO,    "new = 2\n"}, /* of the folder: it is in place by then */
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        int rc;

        disk_fault_none();
        assert_int_equal(write_text("old = 1\n"), 0);
        disk_fault_short(3);
        disk_fault(rows[i].call, rows[i].skip, 1, rows[i].error);
        rc = write_text("new = 2\n");
        if (rc != -rows[i].error || !disk_fault_fired())
            fail_msg("row %zu: %d (%s)", i, rc, err.text);
        disk_fault_none();
        disk_fault_short(0);
        expect(rows[i].after);
        assert_false(disk_exists(&d, "spool/overrides.new"));
    }
}

/* False when there was no such call. */
static bool any_call(enum disk_call call, unsigned nth, unsigned times, int error)
{
    bool fired;
    char *text;
    int rc;

    disk_fault_none();
    assert_int_equal(write_text("old = 1\n"), 0);
    disk_fault(call, nth, times, error);
    rc = write_text("new = 2\n");
    fired = disk_fault_fired();
    disk_fault_none();
    assert_int_equal(overrides_file_read(spool, &text, &err), 0);
    if (!text || (strcmp(text, "old = 1\n") != 0 && strcmp(text, "new = 2\n") != 0) ||
        (rc == 0 && text[0] != 'n'))
        fail_msg("call %d number %u, error %d: %d, %s", (int)call, nth, error, rc,
                 text ? text : "(none)");
    free(text);
    return fired;
}

/* The whole file that was, or the new one, whole; once told that it is kept, it is. */
static void test_any_call_failing(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EROFS, EINTR};
    unsigned faults = 0;

    for (size_t e = 0; e < ROWS(errors); e++) {
        for (int call = 0; call <= DISK_CHANGES; call++) {
            bool dies = call == DISK_CHANGES;
            unsigned nth = 0;

            if (call == DISK_CALL_COUNT || (dies && errors[e] == EINTR))
                continue;
            while (any_call((enum disk_call)call, nth, dies ? 1000 : 1, errors[e]))
                nth++;
            faults += nth;
        }
    }
    assert_true(faults > 60);
}

static void test_reading_fails(void **state)
{
    char *text;

    assert_int_equal(write_text("a = b\n"), 0);
    disk_fault(DISK_PREAD, 0, 1, EIO);
    assert_int_equal(overrides_file_read(spool, &text, &err), -EIO);
    assert_null(text);
    assert_non_null(strstr(err.text, "/overrides: Input/output error"));
    disk_fault(DISK_OPENAT, 1, 1, EACCES);
    assert_int_equal(overrides_file_read(spool, &text, &err), -EACCES);
    disk_fault_none();
}

/* ---- two at once ---- */

static void test_the_second_waits(void **state)
{
    struct overrides_file first;
    struct overrides_file second;
    pid_t child;
    int status;

    assert_int_equal(overrides_file_lock(&first, spool, &err), 0);
    child = fork();
    if (child == 0) {
        int rc;

        overrides_file_unlock(&first); /* a copy, which would hold it as well */
        rc = overrides_file_lock(&second, spool, &err);
        if (rc == 0)
            rc = overrides_file_write(&second, SPAN_LIT("second = 2\n"), &err);
        _exit(rc == 0 ? 0 : 1);
    }
    assert_true(child > 0);
    usleep(100000); /* long enough for it to write, if it did not wait */
    expect(NULL);
    assert_int_equal(overrides_file_write(&first, SPAN_LIT("first = 1\n"), &err), 0);
    expect("first = 1\n");
    overrides_file_unlock(&first);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect("second = 2\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_folder_yet),
        TEST(test_no_place_for_it),
        TEST(test_debris),
        TEST(test_it_belongs_to_whom_the_queue_belongs),
        TEST(test_a_link_is_not_followed),
        TEST(test_what_is_not_text),
        TEST(test_each_call_failing),
        TEST(test_any_call_failing),
        TEST(test_reading_fails),
        TEST(test_the_second_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
