/* Tests of base/queue_id: ids never repeat, never go back, and look as tools expect (FACTS 5.2). */
#include "base/queue_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1763770000123456)

static void test_shape(void **state)
{
    struct queue_id_source source = {0};
    struct queue_id id;

    queue_id_next(&source, NOW, &id);
    assert_string_equal(id.text, "64423B452A640000"); /* NOW << 12, upper-case */
    queue_id_next(&source, NOW, &id);
    assert_string_equal(id.text, "64423B452A640001");
    queue_id_next(&source, NOW + 1, &id);
    assert_string_equal(id.text, "64423B452A641000");
    source.last = 0;
    queue_id_next(&source, 0, &id);
    assert_string_equal(id.text, "0000000000000001");
    queue_id_next(&source, -1, &id); /* would be the last of all ids */
    assert_string_equal(id.text, "0000000000000002");
}

/* More in one microsecond than its 12 bits have room for: they run on into the next one. */
static void test_many_at_once(void **state)
{
    struct queue_id_source source = {0};
    struct queue_id last = {""};

    for (int i = 0; i < 10000; i++) {
        struct queue_id id;

        queue_id_next(&source, NOW + i / 9000, &id);
        assert_true(strcmp(id.text, last.text) > 0);
        last = id;
    }
}

static void test_clock_steps_back(void **state)
{
    struct queue_id_source source = {0};
    struct queue_id before;
    struct queue_id after;

    queue_id_next(&source, NOW, &before);
    queue_id_next(&source, NOW - INT64_C(3600000000), &after);
    assert_true(strcmp(after.text, before.text) > 0);
}

/* After a restart with the clock behind: what is in the spool counts, whatever the order it is read
 * in. */
static void test_seen(void **state)
{
    struct queue_id_source old = {0};
    struct queue_id_source source = {0};
    struct queue_id first;
    struct queue_id last;
    struct queue_id id;

    queue_id_next(&old, NOW, &first);
    queue_id_next(&old, NOW + 5, &last);
    queue_id_seen(&source, &last);
    queue_id_seen(&source, &first);
    queue_id_next(&source, NOW, &id);
    assert_true(strcmp(id.text, last.text) > 0);
    queue_id_next(&source, NOW + 6, &id);
    assert_string_equal(id.text, "64423B452A646000");
}

static void test_parse(void **state)
{
    struct queue_id_source source = {0};
    struct queue_id made;
    struct queue_id id;

    queue_id_next(&source, NOW, &made);
    assert_true(queue_id_parse(span_of(made.text), &id));
    assert_string_equal(id.text, made.text);
    assert_true(queue_id_parse(SPAN_LIT("0123456789ABCDEF"), &id));
    assert_false(queue_id_parse(SPAN_LIT("0123456789ABCDE"), &id));
    assert_false(queue_id_parse(SPAN_LIT("0123456789ABCDEF0"), &id));
    assert_false(queue_id_parse(SPAN_LIT("0123456789abcdef"), &id));
    assert_false(queue_id_parse(SPAN_LIT("0123456789ABCDEG"), &id));
    assert_false(queue_id_parse(SPAN_LIT("../../etc/passwd"), &id));
    assert_false(queue_id_parse(SPAN_LIT("0123456789ABCDE\0"), &id));
    assert_false(queue_id_parse(SPAN_LIT("0123456789ABCDE\xff"), &id));
    assert_false(queue_id_parse(SPAN_LIT("                "), &id));
    assert_false(queue_id_parse(SPAN_LIT(""), &id));
    assert_false(queue_id_parse(span_make(NULL, 0), &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_clock_steps_back),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
