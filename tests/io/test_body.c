/* Tests of message/body: memory, budget, the spill to a file, and every call and allocation
 * failing. */
#include "disk_fixture.h"

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

#define PREFIX     "prefix of the file\n"
#define PREFIX_LEN (sizeof PREFIX - 1)
#define FILE_ID    "06401F3A9C2E7001"

static struct disk_fixture d;
static struct body_place place;

static int setup(void **state)
{
    disk_setup(&d);
    place = (struct body_place){
        .incoming_fd = open(d.path, O_RDONLY | O_DIRECTORY),
        .disk = &d.disk,
        .budget = {.limit = 1 << 20},
    };
    assert_true(place.incoming_fd >= 0);
    return 0;
}

static int teardown(void **state)
{
    disk_run(&d);
    assert_int_equal(place.budget.used, 0);
    assert_int_equal(disk_names(&d, "."), 0);
    close(place.incoming_fd);
    disk_teardown(&d);
    return 0;
}

static int prefix_rc;

static int make_prefix(void *ctx, char **bytes_out, size_t *len_out)
{
    if (prefix_rc < 0)
        return prefix_rc;
    *bytes_out = strdup(PREFIX);
    *len_out = PREFIX_LEN;
    return 0;
}

/* One body being filled with a pattern. */
struct filling {
    struct body *b;
    uint64_t left;
    unsigned answers;
    int rc;
};

static char pattern(uint64_t at)
{
    return (char)(at % 251 + at / 65536);
}

static void fill(struct filling *f);

static void on_room(void *ctx, int rc)
{
    struct filling *f = ctx;

    f->answers++;
    f->rc = rc;
    if (rc == 0)
        fill(f);
}

static void fill(struct filling *f)
{
    while (f->left > 0) {
        size_t room;
        char *to;

        if (!body_make_room(f->b, 4096, on_room, f))
            return;
        to = body_room(f->b, &room);
        assert_in_range(room, 4096, BODY_MEMORY_MAX);
        if (room > f->left)
            room = (size_t)f->left;
        for (size_t i = 0; i < room; i++)
            to[i] = pattern(f->b->total + i);
        body_wrote(f->b, room);
        f->left -= room;
    }
}

static struct body *new_body(void)
{
    struct body *b = body_new(&place);

    assert_non_null(b);
    strcpy(b->id.text, FILE_ID);
    b->prefix = make_prefix;
    prefix_rc = 0;
    return b;
}

static void fill_new(struct filling *f, uint64_t len)
{
    *f = (struct filling){.b = new_body(), .left = len};
    fill(f);
}

/* Reads the whole body in pieces of every kind and compares. */
static void check_bytes(const struct body *b, uint64_t len)
{
    static char buf[100000];
    static const size_t steps[] = {sizeof buf, 4096, 4097, 999};
    struct span view;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        uint64_t at = 0;

        for (;;) {
            int n = body_read(b, at, buf, steps[i]);

            assert_true(n >= 0);
            if (n == 0)
                break;
            for (int k = 0; k < n; k++) {
                if (buf[k] != pattern(at + (uint64_t)k))
                    fail_msg("byte %llu", (unsigned long long)at + k);
            }
            at += (uint64_t)n;
        }
        assert_int_equal(at, len);
    }
    assert_int_equal(body_read(b, 0, buf, 0), 0);
    assert_true(body_view(b, len, &view));
    assert_int_equal(view.len, 0);
}

/* ---- memory ------------------------------------------------------------------------------------
 */

static void test_small_stays_in_memory(void **state)
{
    static const uint64_t lens[] = {0, 1, 8192, 8193, BODY_MEMORY_MAX};

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct filling f;
        struct span view;

        fill_new(&f, lens[i]);
        assert_int_equal(f.left, 0);
        assert_int_equal(f.answers, 0);
        assert_int_equal(f.b->fd, -1);
        assert_int_equal(f.b->total, lens[i]);
        assert_int_equal(place.budget.used, f.b->cap);
        assert_true(f.b->cap < 2 * lens[i] + BODY_MEMORY_MIN);
        check_bytes(f.b, lens[i]);
        assert_true(body_view(f.b, 0, &view));
        assert_int_equal(view.len, lens[i]);
        body_free(&f.b);
        assert_null(f.b);
        assert_int_equal(place.budget.used, 0);
    }
}

static void test_free_of_nothing(void **state)
{
    struct body *b = NULL;

    body_free(&b);
    b = body_new(&place);
    body_free(&b);
}

/* ---- the file ----------------------------------------------------------------------------------
 */

static void test_large_spills(void **state)
{
    static const uint64_t len = (1 << 20) + 12345;
    struct filling f;
    struct span view;
    size_t file_len;
    char *file;

    fill_new(&f, len);
    assert_true(f.answers == 0 && f.b->busy); /* never before the return */
    disk_run(&d);
    assert_int_equal(f.rc, 0);
    assert_int_equal(f.left, 0);
    assert_int_equal(f.answers, 16);
    assert_int_equal(f.b->total, len);
    assert_int_equal(f.b->base, PREFIX_LEN);
    assert_int_equal(place.budget.used, BODY_MEMORY_MAX);
    check_bytes(f.b, len);
    assert_false(body_view(f.b, 0, &view));
    assert_false(body_view(f.b, body_file_len(f.b) - 1, &view));
    assert_true(body_view(f.b, body_file_len(f.b), &view));
    assert_int_equal(view.len, len - body_file_len(f.b));
    file = disk_content(&d, FILE_ID, &file_len);
    assert_int_equal(file_len, PREFIX_LEN + body_file_len(f.b));
    assert_memory_equal(file, PREFIX, PREFIX_LEN);
    assert_int_equal(f.b->crc, crc32c(0, file + PREFIX_LEN, file_len - PREFIX_LEN));
    free(file);
    body_free(&f.b);
    assert_int_equal(place.budget.used, 0); /* the memory at once, the file on the lane */
}

static void test_file_is_private(void **state)
{
    struct filling f;
    struct stat st;

    fill_new(&f, BODY_MEMORY_MAX + 1);
    disk_run(&d);
    assert_int_equal(fstat(f.b->fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(fcntl(f.b->fd, F_GETFD) & FD_CLOEXEC);
    body_free(&f.b);
}

static void test_without_prefix(void **state)
{
    struct filling f = {.b = new_body(), .left = 100000};

    f.b->prefix = NULL;
    fill(&f);
    disk_run(&d);
    assert_int_equal(f.rc, 0);
    assert_int_equal(f.b->base, 0);
    check_bytes(f.b, 100000);
    body_free(&f.b);
}

static void test_short_writes_and_interrupts(void **state)
{
    struct filling f;

    disk_fault(DISK_PWRITEV, 2, 3, EINTR);
    disk_fault_short(1000);
    fill_new(&f, 300000);
    disk_run(&d);
    assert_int_equal(f.rc, 0);
    assert_true(disk_fault_fired());
    disk_fault(DISK_PREAD, 0, 2, EINTR);
    check_bytes(f.b, 300000);
    body_free(&f.b);
}

static void test_from_file(void **state)
{
    struct filling f;
    struct body *b;
    char buf[10];
    int fd;

    fill_new(&f, 200000);
    disk_run(&d);
    fd = dup(f.b->fd);
    b = body_from_file(&place, fd, f.b->base, body_file_len(f.b));
    assert_non_null(b);
    check_bytes(b, body_file_len(f.b));
    assert_int_equal(ftruncate(fd, 5000), 0); /* somebody cut it: an error, not an end */
    assert_int_equal(body_read(b, 6000, buf, sizeof buf), -EIO);
    disk_fault(DISK_PREAD, 0, 1, EIO);
    assert_int_equal(body_read(b, 0, buf, sizeof buf), -EIO);
    body_free(&b);
    disk_run(&d);
    assert_true(disk_exists(&d, FILE_ID)); /* not b's to remove */
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    body_free(&f.b);
}

/* A command has no loop. */
static void test_from_file_without_a_lane(void **state)
{
    struct body_place here = {.incoming_fd = place.incoming_fd};
    struct body *b = body_from_file(&here, dup(place.incoming_fd), 0, 0);

    assert_non_null(b);
    body_free(&b);
    assert_false(uv_loop_alive(&d.loop));
}

/* ---- budget ------------------------------------------------------------------------------------
 */

#define MANY 40

static void test_budget(void **state)
{
    struct filling f[MANY];

    place.budget.limit = 100000;
    for (int i = 0; i < MANY; i++) {
        f[i] = (struct filling){.b = new_body(), .left = 30000};
        snprintf(f[i].b->id.text, sizeof f[i].b->id.text, "%016X", (unsigned)i);
        fill(&f[i]);
    }
    disk_run(&d);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(f[i].rc, 0);
        assert_int_equal(f[i].left, 0);
        assert_in_range(f[i].b->cap, BODY_MEMORY_MIN, 32768);
        check_bytes(f[i].b, 30000);
    }
    assert_int_equal(f[MANY - 1].b->cap, BODY_MEMORY_MIN);
    /* Past the limit only by what everybody gets. */
    assert_true(place.budget.used <= place.budget.limit + MANY * BODY_MEMORY_MIN);
    for (int i = 0; i < MANY; i++)
        body_free(&f[i].b);
    assert_int_equal(place.budget.used, 0);
}

static void test_free_while_busy(void **state)
{
    struct filling f;

    fill_new(&f, 100000);
    assert_true(f.b->busy);
    body_free(&f.b);
    assert_null(f.b);
    assert_int_equal(place.budget.used, BODY_MEMORY_MAX); /* the lane still writes from it */
    disk_run(&d);
    assert_int_equal(f.answers, 0);
}

/* ---- failures ----------------------------------------------------------------------------------
 */

/* Reported once, kept, and told again to who asks again; no name is left (teardown looks). */
static void check_failed(struct filling *f, int want)
{
    disk_run(&d);
    assert_int_equal(f->rc, want);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->b->error, want);
    disk_fault_none();
    assert_false(body_make_room(f->b, 1, on_room, f));
    disk_run(&d);
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
        fill_new(&f, 300000);
        check_failed(&f, -rows[i].error);
    }
}

static void test_failing_prefix(void **state)
{
    struct filling f = {.b = new_body(), .left = 300000};

    prefix_rc = -ENOMEM;
    fill(&f);
    check_failed(&f, -ENOMEM);
}

static void test_name_is_taken(void **state)
{
    struct filling f;
    char path[100];

    disk_put(&d, FILE_ID, "x", 1);
    fill_new(&f, 300000);
    check_failed(&f, -EEXIST);
    disk_run(&d);
    snprintf(path, sizeof path, "%s/%s", d.path, FILE_ID);
    assert_int_equal(remove(path), 0); /* it was not ours, and is still there */
}

static void test_failing_late_write(void **state)
{
    struct filling f = {.b = new_body(), .left = 300000};

    disk_fault(DISK_PWRITEV, 2, 1, ENOSPC);
    fill(&f);
    disk_run(&d);
    assert_int_equal(f.answers, 3);
    assert_int_equal(f.rc, -ENOSPC);
    body_free(&f.b);
}

static void test_out_of_memory(void **state)
{
    struct filling f;

    allocations_left = 0;
    assert_null(body_new(&place));
    allocations_left = 0;
    assert_null(body_from_file(&place, 0, 0, 0));
    f = (struct filling){.b = new_body(), .left = 100};
    allocations_left = 0;
    fill(&f); /* not even the first buffer */
    allocations_left = -1;
    check_failed(&f, -ENOMEM);
    f = (struct filling){.b = new_body(), .left = 30000};
    allocations_left = 1;
    fill(&f); /* it cannot grow: it spills early instead */
    allocations_left = -1;
    disk_run(&d);
    assert_int_equal(f.rc, 0);
    check_bytes(f.b, 30000);
    body_free(&f.b);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

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
        TEST(test_failing_calls),
        TEST(test_failing_prefix),
        TEST(test_name_is_taken),
        TEST(test_failing_late_write),
        TEST(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
