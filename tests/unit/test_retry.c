/* Tests of base/retry: doubling, the cap, the jitter's bounds, no overflow. */
#include "base/retry.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MIDDLE 0x80000000u

static void test_delay_doubles_up_to_the_cap(void **state)
{
    static const struct {
        unsigned attempts;
        uint64_t want;
    } rows[] = {
        {0,        300000 },
        {1,        300000 },
        {2,        600000 },
        {3,        1200000},
        {4,        2400000},
        {5,        4000000},
        {6,        4000000},
        {1000,     4000000},
        {UINT_MAX, 4000000},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(retry_delay_ms(rows[i].attempts, 300000, 4000000, MIDDLE), rows[i].want);
}

static void test_delay_jitter(void **state)
{
    assert_int_equal(retry_delay_ms(1, 1000, 4000, 0), 900);
    assert_int_equal(retry_delay_ms(1, 1000, 4000, UINT32_MAX), 1098);
    for (uint64_t random = 0; random <= UINT32_MAX; random += 65521) {
        uint64_t ms = retry_delay_ms(3, 300000, 4000000, (uint32_t)random);

        assert_in_range(ms, 1080000, 1320000);
    }
}

/* Settings are checked elsewhere; whatever they are, a delay must come out of it. */
static void test_delay_of_odd_settings(void **state)
{
    assert_int_equal(retry_delay_ms(5, 0, 1000, MIDDLE), 0);
    assert_int_equal(retry_delay_ms(5, 5000, 1000, MIDDLE), 1000);
    assert_int_equal(retry_delay_ms(5, 1000, 0, MIDDLE), 0);
    assert_int_equal(retry_delay_ms(5, 1, 3, MIDDLE), 3);
    assert_true(retry_delay_ms(UINT_MAX, UINT64_MAX, UINT64_MAX, UINT32_MAX) > UINT64_MAX / 2);
    assert_true(retry_delay_ms(UINT_MAX, 3, UINT64_MAX, UINT32_MAX) > UINT64_MAX / 2);
}

static void test_probes(void **state)
{
    static const uint64_t want[] = {500, 1000, 2000, 3000, 3000, 3000};

    for (unsigned i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_int_equal(retry_probe_ms(i, 3000, MIDDLE), want[i]);
        assert_int_equal(retry_probe_ms(i, 3000, 0), want[i] - want[i] / 5);
        assert_in_range(retry_probe_ms(i, 3000, UINT32_MAX), want[i], want[i] + want[i] / 5);
    }
    assert_int_equal(retry_probe_ms(0, 100, MIDDLE), 100);
    assert_int_equal(retry_probe_ms(UINT_MAX, 3000, MIDDLE), 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delay_doubles_up_to_the_cap),
        cmocka_unit_test(test_delay_jitter),
        cmocka_unit_test(test_delay_of_odd_settings),
        cmocka_unit_test(test_probes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
