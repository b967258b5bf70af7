/* Tests of queue/spool_format when memory is out: every allocation of a parse fails in turn. */
#include "spool_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static long allocations_left = -1; /* before one fails; negative: none fails */

static bool allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *test_allocate(size_t size)
{
    return allocation_fails() ? NULL : malloc(size);
}

static void *test_allocate_zeroed(size_t count, size_t size)
{
    return allocation_fails() ? NULL : calloc(count, size);
}

static void *test_reallocate(void *old, size_t size)
{
    return allocation_fails() ? NULL : realloc(old, size);
}

/* The files that allocate, built a second time; the library's own copies are then not linked. */
#undef malloc
#undef calloc
#undef realloc
#define malloc  test_allocate
#define calloc  test_allocate_zeroed
#define realloc test_reallocate
#include "message/envelope.c"
#include "queue/spool_format.c"

static struct spool_bytes s;

static void test_each_allocation(void **state)
{
    struct envelope *e = spool_bytes_envelope();
    enum spool_parse rc = SPOOL_PARSE_NO_MEMORY;
    long n;

    spool_bytes_make(&s, e, SPAN_LIT("x\r\n"));
    spool_format_attempt(&s.t, 1, 0, SPOOL_DEFERRED, "4.0.0", SPAN_LIT("later"));
    for (n = 0; rc == SPOOL_PARSE_NO_MEMORY; n++) {
        struct spool_file f;
        struct errbuf err = {""};

        allocations_left = n;
        rc = spool_bytes_parse(&s, s.t.len, &f, &err);
        allocations_left = -1;
        spool_file_deinit(&f);
    }
    assert_int_equal(rc, SPOOL_PARSE_OK);
    /* envelope, sender, array, three addresses, two ORCPT, a reason; then the round without a
     * failure */
    assert_int_equal(n, 9 + 1);
    envelope_free(&e);
}

static void test_header_on_the_heap(void **state)
{
    struct envelope *e = spool_bytes_envelope();
    size_t len;

    allocations_left = 0;
    assert_null(spool_format_header_new(e, 0, &len));
    allocations_left = -1;
    envelope_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation),
        cmocka_unit_test(test_header_on_the_heap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
