/* Tests of message/body when calls fail and memory is out. */
#include "body_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static long allocations_left = -1; /* before one fails; negative: none fails */

static bool allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *test_allocate_zeroed(size_t count, size_t size)
{
    return allocation_fails() ? NULL : calloc(count, size);
}

static void *test_reallocate(void *old, size_t size)
{
    return allocation_fails() ? NULL : realloc(old, size);
}

/* Built a second time; the library's own copy is then not linked. */
#undef calloc
#undef realloc
#define calloc  test_allocate_zeroed
#define realloc test_reallocate
#include "message/body.c"
#undef calloc
#undef realloc

/* ---- failures -------------------------------------------------------------- */

/* Reported once, kept, and told again to who asks again; no name is left (teardown looks). */
static void check_failed(struct filling *f, int want)
{
    disk_run(&body_disk);
    assert_int_equal(f->rc, want);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->b->error, want);
    disk_fault_none();
    assert_false(body_make_room(f->b, 1, filling_on_room, f));
    disk_run(&body_disk);
    assert_int_equal(f->answers, 2);
    assert_int_equal(f->rc, want);
    body_free(&f->b);
}

static void test_failing_calls(void **state)
{
    static const struct {
        enum disk_call call;
        int error;
    } rows[] = {
        {DISK_OPENAT,  EMFILE},
        {DISK_OPENAT,  ENOSPC},
        {DISK_OPENAT,  EROFS },
        {DISK_PWRITEV, ENOSPC},
        {DISK_PWRITEV, EIO   },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct filling f;

        disk_fault(rows[i].call, 0, 1, rows[i].error);
        filling_start(&f, 300000);
        check_failed(&f, -rows[i].error);
    }
}

static void test_failing_prefix(void **state)
{
    struct filling f = {.b = filling_body(), .left = 300000};

    body_prefix_rc = -ENOMEM;
    filling_go_on(&f);
    check_failed(&f, -ENOMEM);
}

static void test_name_is_taken(void **state)
{
    struct filling f;
    char path[100];

    disk_put(&body_disk, FILLING_ID, "x", 1);
    filling_start(&f, 300000);
    check_failed(&f, -EEXIST);
    disk_run(&body_disk);
    snprintf(path, sizeof path, "%s/%s", body_disk.path, FILLING_ID);
    assert_int_equal(remove(path), 0); /* it was not ours, and is still there */
}

static void test_failing_late_write(void **state)
{
    struct filling f = {.b = filling_body(), .left = 600000};

    disk_fault(DISK_PWRITEV, 2, 1, ENOSPC);
    filling_go_on(&f);
    disk_run(&body_disk);
    assert_int_equal(f.answers, 3);
    assert_int_equal(f.rc, -ENOSPC);
    body_free(&f.b);
}

static void test_out_of_memory(void **state)
{
    struct filling f;

    allocations_left = 0;
    assert_null(body_new(&body_place));
    allocations_left = 0;
    assert_null(body_from_file(&body_place, 0, 0, 0));
    f = (struct filling){.b = filling_body(), .left = 100};
    allocations_left = 0;
    filling_go_on(&f); /* not even the first buffer */
    allocations_left = -1;
    check_failed(&f, -ENOMEM);
    f = (struct filling){.b = filling_body(), .left = 30000};
    allocations_left = 1;
    filling_go_on(&f); /* it cannot grow: it spills early instead */
    allocations_left = -1;
    disk_run(&body_disk);
    assert_int_equal(f.rc, 0);
    filling_check(f.b, 30000);
    body_free(&f.b);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, body_setup, body_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_failing_calls),      TEST(test_failing_prefix), TEST(test_name_is_taken),
        TEST(test_failing_late_write), TEST(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
