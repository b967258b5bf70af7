/* Tests of control/control_format_drain: what is put is parsed again, what is no progress is not.
 */
#include "control/control_format_drain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
    static const struct control_drain some = {1760000000, 2, 3, 4, 5, 6, 7, UINT64_MAX, 1};
    struct control_drain again;
    char buf[512];
    struct text t;

    text_init(&t, buf, sizeof buf);
    control_drain_put(&t, &some);
    assert_string_equal(buf, "since=1760000000 queued=2 active=3 on_hold=4 arriving=5 corrupt=6 "
                             "delivered=7 handed_over=18446744073709551615 handing_over=1");
    assert_true(control_drain_parse(text_as_span(&t), &again));
    assert_memory_equal(&some, &again, sizeof some);
}

static void test_parse(void **state)
{
    static const struct {
        const char *line;
        bool good;
    } rows[] = {
        {"handing_over=0 handed_over=1 delivered=2 corrupt=0 arriving=0 on_hold=0 active=0 "
         "queued=9 since=5",                                                          true },
        {"since=5 queued=9 active=0 on_hold=0 arriving=0 corrupt=0 delivered=2 handed_over=1 "
         "handing_over=0 newer=17",                                                   true },
        {"since=5 queued=9 active=0 on_hold=0 arriving=0 corrupt=0 delivered=2 handed_over=1",
         false                                                                                      },
        {"since=5 queued=-9 active=0 on_hold=0 arriving=0 corrupt=0 delivered=2 handed_over=1 "
         "handing_over=0",                                                            false},
        {"since queued=9",                                                                     false},
        {"",                                                                                   false},
    };
    struct control_drain d;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (control_drain_parse(span_of(rows[i].line), &d) != rows[i].good)
            fail_msg("%s", rows[i].line);
        if (rows[i].good)
            assert_int_equal(d.queued, 9);
    }
}

static void test_over(void **state)
{
    assert_true(control_drain_is_over(&(struct control_drain){.on_hold = 3, .corrupt = 1}));
    assert_false(control_drain_is_over(&(struct control_drain){.queued = 1}));
    assert_false(control_drain_is_over(&(struct control_drain){.active = 1}));
    assert_false(control_drain_is_over(&(struct control_drain){.arriving = 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
