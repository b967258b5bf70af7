/* Tests of message/body: memory, budget, the spill to a file, reading it back. */
#include "body_fixture.h"

#include "base/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- memory ---------------------------------------------------------------- */

static void test_small_stays_in_memory(void **state)
{
    static const uint64_t lens[] = {0, 1, 8192, 8193, BODY_MEMORY_MAX};

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct filling f;
        struct span view;

        filling_start(&f, lens[i]);
        assert_int_equal(f.left, 0);
        assert_int_equal(f.answers, 0);
        assert_int_equal(f.b->fd, -1);
        assert_int_equal(f.b->total, lens[i]);
        assert_int_equal(body_place.budget.used, f.b->cap);
        assert_true(f.b->cap < 2 * lens[i] + BODY_MEMORY_MIN);
        filling_check(f.b, lens[i]);
        assert_true(body_view(f.b, 0, &view));
        assert_int_equal(view.len, lens[i]);
        body_free(&f.b);
        assert_null(f.b);
        assert_int_equal(body_place.budget.used, 0);
    }
}

static void test_free_of_nothing(void **state)
{
    struct body *b = NULL;

    body_free(&b);
    b = body_new(&body_place);
    body_free(&b);
}

/* ---- the file -------------------------------------------------------------- */

static void test_large_spills(void **state)
{
    static const uint64_t len = (1 << 20) + 12345;
    struct filling f;
    struct span view;
    size_t file_len;
    char *file;

    filling_start(&f, len);
    assert_true(f.answers == 0 && f.b->busy); /* never before the return */
    disk_run(&body_disk);
    assert_int_equal(f.rc, 0);
    assert_int_equal(f.left, 0);
    assert_int_equal(f.answers, len / BODY_MEMORY_MAX);
    assert_int_equal(f.b->total, len);
    assert_int_equal(f.b->base, FILLING_PREFIX_LEN);
    assert_int_equal(body_place.budget.used, BODY_MEMORY_MAX);
    filling_check(f.b, len);
    assert_false(body_view(f.b, 0, &view));
    assert_false(body_view(f.b, body_file_len(f.b) - 1, &view));
    assert_true(body_view(f.b, body_file_len(f.b), &view));
    assert_int_equal(view.len, len - body_file_len(f.b));
    file = disk_content(&body_disk, FILLING_ID, &file_len);
    assert_int_equal(file_len, FILLING_PREFIX_LEN + body_file_len(f.b));
    assert_memory_equal(file, FILLING_PREFIX, FILLING_PREFIX_LEN);
    assert_int_equal(f.b->crc, crc32c(0, file + FILLING_PREFIX_LEN, file_len - FILLING_PREFIX_LEN));
    free(file);
    body_free(&f.b);
    assert_int_equal(body_place.budget.used, 0); /* the memory at once, the file on the lane */
}

static void test_file_is_private(void **state)
{
    struct filling f;
    struct stat st;

    filling_start(&f, BODY_MEMORY_MAX + 1);
    disk_run(&body_disk);
    assert_int_equal(fstat(f.b->fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(fcntl(f.b->fd, F_GETFD) & FD_CLOEXEC);
    body_free(&f.b);
}

static void test_without_prefix(void **state)
{
    struct filling f = {.b = filling_body(), .left = 200000};

    f.b->prefix = NULL;
    filling_go_on(&f);
    disk_run(&body_disk);
    assert_int_equal(f.rc, 0);
    assert_int_equal(f.b->base, 0);
    filling_check(f.b, 200000);
    body_free(&f.b);
}

static void test_short_writes_and_interrupts(void **state)
{
    struct filling f;

    disk_fault(DISK_PWRITEV, 2, 3, EINTR);
    disk_fault_short(1000);
    filling_start(&f, 300000);
    disk_run(&body_disk);
    assert_int_equal(f.rc, 0);
    assert_true(disk_fault_fired());
    disk_fault(DISK_PREAD, 0, 2, EINTR);
    filling_check(f.b, 300000);
    body_free(&f.b);
}

static void test_from_file(void **state)
{
    struct filling f;
    struct body *b;
    char buf[10];
    int fd;

    filling_start(&f, 200000);
    disk_run(&body_disk);
    fd = dup(f.b->fd);
    b = body_from_file(&body_place, fd, f.b->base, body_file_len(f.b));
    assert_non_null(b);
    filling_check(b, body_file_len(f.b));
    assert_int_equal(ftruncate(fd, 5000), 0); /* somebody cut it: an error, not an end */
    assert_int_equal(body_read(b, 6000, buf, sizeof buf), -EIO);
    disk_fault(DISK_PREAD, 0, 1, EIO);
    assert_int_equal(body_read(b, 0, buf, sizeof buf), -EIO);
    body_free(&b);
    disk_run(&body_disk);
    assert_true(disk_exists(&body_disk, FILLING_ID)); /* not b's to remove */
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    body_free(&f.b);
}

/* A command has no loop. */
static void test_from_file_without_a_lane(void **state)
{
    struct body_place here = {.incoming_fd = body_place.incoming_fd};
    struct body *b = body_from_file(&here, dup(body_place.incoming_fd), 0, 0);

    assert_non_null(b);
    body_free(&b);
    assert_false(uv_loop_alive(&body_disk.loop));
}

/* ---- budget ---------------------------------------------------------------- */

#define MANY 40

static void test_budget(void **state)
{
    struct filling f[MANY];

    body_place.budget.limit = 100000;
    for (int i = 0; i < MANY; i++) {
        f[i] = (struct filling){.b = filling_body(), .left = 30000};
        snprintf(f[i].b->id.text, sizeof f[i].b->id.text, "%016X", (unsigned)i);
        filling_go_on(&f[i]);
    }
    disk_run(&body_disk);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(f[i].rc, 0);
        assert_int_equal(f[i].left, 0);
        assert_in_range(f[i].b->cap, BODY_MEMORY_MIN, 32768);
        filling_check(f[i].b, 30000);
    }
    assert_int_equal(f[MANY - 1].b->cap, BODY_MEMORY_MIN);
    /* Past the limit only by what everybody gets. */
    assert_true(body_place.budget.used <= body_place.budget.limit + MANY * BODY_MEMORY_MIN);
    for (int i = 0; i < MANY; i++)
        body_free(&f[i].b);
    assert_int_equal(body_place.budget.used, 0);
}

static void test_free_while_busy(void **state)
{
    struct filling f;

    filling_start(&f, 200000);
    assert_true(f.b->busy);
    body_free(&f.b);
    assert_null(f.b);
    assert_int_equal(body_place.budget.used, BODY_MEMORY_MAX); /* the lane still writes from it */
    disk_run(&body_disk);
    assert_int_equal(f.answers, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, body_setup, body_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_small_stays_in_memory),
        TEST(test_free_of_nothing),
        TEST(test_large_spills),
        TEST(test_file_is_private),
        TEST(test_without_prefix),
        TEST(test_short_writes_and_interrupts),
        TEST(test_from_file),
        TEST(test_from_file_without_a_lane),
        TEST(test_budget),
        TEST(test_free_while_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
