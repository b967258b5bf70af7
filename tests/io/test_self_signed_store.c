/*
 * Tests of server/self_signed_store: made once, kept, made anew when it does not fit or is damaged;
 * whichever file call fails, there is a pair to go on with, and never half a file under its name.
 */
#include "server/self_signed_store.h"

#include "disk_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define NOW  INT64_C(1790000000)
#define NAME "tls/self-signed-ec.pem"

static struct self_signed_order order(struct disk_fixture *d, const char *first, bool make)
{
    return (struct self_signed_order){.directory = d->path,
                                      .kind = KEY_EC,
                                      .names = {{first, "example.com"}},
                                      .now_s = NOW,
                                      .make = make};
}

/* What the file has: NULL when there is none. */
static char *kept(struct disk_fixture *d)
{
    size_t len;

    return disk_exists(d, NAME) ? disk_content(d, NAME, &len) : NULL;
}

static char *get(struct disk_fixture *d, const char *first, bool made, const char *why)
{
    struct self_signed_order o = order(d, first, true);

    self_signed_get(&o);
    assert_non_null(o.pem);
    assert_int_equal(o.made, made);
    assert_string_equal(o.trouble.text, "");
    if (why)
        assert_non_null(strstr(o.why.text, why));
    else
        assert_string_equal(o.why.text, "");
    return o.pem;
}

static void made_once_and_kept(void **state)
{
    struct disk_fixture d;
    struct self_signed_order o;
    char *first, *second, *file;
    struct stat st;
    char path[128];

    disk_setup(&d);
    o = order(&d, "mx.example.com", false);
    self_signed_get(&o);
    assert_null(o.pem);
    assert_string_equal(o.trouble.text, "");
    first = get(&d, "mx.example.com", true, NULL);
    second = get(&d, "mx.example.com", false, NULL);
    file = kept(&d);
    assert_string_equal(first, second);
    assert_string_equal(first, file);
    snprintf(path, sizeof path, "%s/" NAME, d.path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(path, sizeof path, "%s/tls", d.path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(disk_names(&d, "tls"), 1);
    free(first);
    free(second);
    free(file);
    disk_teardown(&d);
}

static void made_anew(void **state)
{
    struct disk_fixture d;
    char *first, *second, *third, *again;

    disk_setup(&d);
    first = get(&d, "mx.example.com", true, NULL);
    second = get(&d, "mx.example.net", true, "for other names");
    assert_string_not_equal(first, second);
    disk_put(&d, NAME, second, strlen(second) / 2); /* as another program left it */
    third = get(&d, "mx.example.net", true, "has no end");
    assert_string_not_equal(second, third);
    again = get(&d, "mx.example.net", false, NULL);
    assert_string_equal(third, again);
    free(first);
    free(second);
    free(third);
    free(again);
    disk_teardown(&d);
}

/* One that was killed while it wrote leaves a .new; it is nothing. */
static void what_a_crash_left(void **state)
{
    struct disk_fixture d;
    char *pem, *file;

    disk_setup(&d);
    pem = get(&d, "mx.example.com", true, NULL);
    free(pem);
    disk_put(&d, NAME ".new", "-----BEGIN PRIV", 15);
    pem = get(&d, "mx.example.com", false, NULL);
    free(pem);
    pem = get(&d, "mx.example.net", true, "for other names");
    file = kept(&d);
    assert_string_equal(pem, file);
    assert_int_equal(disk_names(&d, "tls"), 1);
    free(pem);
    free(file);
    disk_teardown(&d);
}

/* The file is not there, or is the one of before, or the new one: whole in any case. */
static bool one_call_failing(enum disk_call call, unsigned skip, bool before, int error)
{
    struct disk_fixture d;
    struct self_signed_order o;
    char *old = NULL, *now;
    bool fired;

    disk_setup(&d);
    if (before)
        old = get(&d, "mx.example.net", true, NULL);
    disk_fault(call, skip, call == DISK_CHANGES ? 1000 : 1, error);
    o = order(&d, "mx.example.com", true);
    self_signed_get(&o);
    fired = disk_fault_fired();
    disk_fault_none();
    assert_non_null(o.pem);
    assert_true(o.made);
    now = kept(&d);
    if (now && strcmp(now, o.pem) != 0 && (!old || strcmp(now, old) != 0))
        fail_msg("call %d, skip %u: half a file", (int)call, skip);
    if (!now || strcmp(now, o.pem) != 0)
        assert_non_null(strstr(o.trouble.text, "it cannot be kept in "));
    free(now);
    free(o.pem);
    free(old);
    disk_teardown(&d);
    return fired;
}

static void each_call_failing(void **state)
{
    static const enum disk_call calls[] = {
        DISK_OPENAT,   DISK_PREAD,    DISK_PWRITEV, DISK_FSYNC, DISK_MKDIRAT,
        DISK_RENAMEAT, DISK_UNLINKAT, DISK_CHANGES}; /* the last: the disk dies there */
    static const int errors[] = {EIO, ENOSPC, EROFS};
    unsigned fired = 0;

    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
        for (unsigned skip = 0; skip < 6; skip++) {
            for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
                fired += one_call_failing(calls[c], skip, false, errors[e]);
                fired += one_call_failing(calls[c], skip, true, errors[e]);
            }
        }
    }
    assert_true(fired > 60);
}

/* The name comes after the bytes are on disk, and is synced itself. */
static unsigned files_synced_unnamed;
static struct disk_fixture *watched;

static void on_fsync(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    if (S_ISREG(st.st_mode) && !disk_exists(watched, NAME))
        files_synced_unnamed++;
}

static void synced_before_it_has_its_name(void **state)
{
    struct disk_fixture d;
    char *pem;

    disk_setup(&d);
    watched = &d;
    files_synced_unnamed = 0;
    disk_on_fsync(on_fsync);
    pem = get(&d, "mx.example.com", true, NULL);
    assert_int_equal(files_synced_unnamed, 1);
    assert_int_equal(disk_count(DISK_FSYNC), 3); /* the file, its folder, the folder's own name */
    free(pem);
    disk_teardown(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_once_and_kept),
        cmocka_unit_test(made_anew),
        cmocka_unit_test(what_a_crash_left),
        cmocka_unit_test(each_call_failing),
        cmocka_unit_test(synced_before_it_has_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
