/* Tests of base/clock: the shapes of time, in zones given as POSIX rules so that no zone files are
 * needed. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)

struct row {
    const char *zone;
    int64_t wall_us;
    const char *rfc3339;
    const char *rfc5322;
    const char *asctime;
};

static const struct row rows[] = {
    {"UTC0",                       0,                            "1970-01-01T00:00:00.000000+00:00", "Thu, 1 Jan 1970 00:00:00 +0000 (UTC)",
     "Thu Jan  1 00:00:00"                                                                                                                                         },
    {"UTC0",                       1759999999 * SECOND + 999999, "2025-10-09T08:53:19.999999+00:00",
     "Thu, 9 Oct 2025 08:53:19 +0000 (UTC)",                                                                                                  "Thu Oct  9 08:53:19"},
    {"UTC0",                       1760000000 * SECOND,          "2025-10-09T08:53:20.000000+00:00",
     "Thu, 9 Oct 2025 08:53:20 +0000 (UTC)",                                                                                                  "Thu Oct  9 08:53:20"},
    {"JST-9",                      1787360400 * SECOND + 123456, "2026-08-22T10:00:00.123456+09:00",
     "Sat, 22 Aug 2026 10:00:00 +0900 (JST)",                                                                                                 "Sat Aug 22 10:00:00"},
    {"CET-1CEST,M3.5.0,M10.5.0/3", 1787360400 * SECOND,          "2026-08-22T03:00:00.000000+02:00",
     "Sat, 22 Aug 2026 03:00:00 +0200 (CEST)",                                                                                                "Sat Aug 22 03:00:00"},
    {"CET-1CEST,M3.5.0,M10.5.0/3", 1767225600 * SECOND,          "2026-01-01T01:00:00.000000+01:00",
     "Thu, 1 Jan 2026 01:00:00 +0100 (CET)",                                                                                                  "Thu Jan  1 01:00:00"},
    {"NST3:30",                    1767225600 * SECOND,          "2025-12-31T20:30:00.000000-03:30",
     "Wed, 31 Dec 2025 20:30:00 -0330 (NST)",                                                                                                 "Wed Dec 31 20:30:00"},
    {"<+0545>-5:45",               1767225600 * SECOND,          "2026-01-01T05:45:00.000000+05:45",
     "Thu, 1 Jan 2026 05:45:00 +0545 (+0545)",                                                                                                "Thu Jan  1 05:45:00"},
    {"XXX12",                      1709251199 * SECOND,          "2024-02-29T11:59:59.000000-12:00",
     "Thu, 29 Feb 2024 11:59:59 -1200 (XXX)",                                                                                                 "Thu Feb 29 11:59:59"},
    {"UTC0",                       INT64_C(4102444800) * SECOND, "2100-01-01T00:00:00.000000+00:00",
     "Fri, 1 Jan 2100 00:00:00 +0000 (UTC)",                                                                                                  "Fri Jan  1 00:00:00"},
    {"UTC0",                       -1,                           "1969-12-31T23:59:59.999999+00:00", "Wed, 31 Dec 1969 23:59:59 +0000 (UTC)",
     "Wed Dec 31 23:59:59"                                                                                                                                         }, /* a board without a battery clock */
};

static void test_shapes(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[100];
        struct text t;

        setenv("TZ", rows[i].zone, 1);
        tzset();
        text_init(&t, buf, sizeof buf);
        clock_text_rfc3339(&t, rows[i].wall_us);
        assert_string_equal(buf, rows[i].rfc3339);
        text_init(&t, buf, sizeof buf);
        clock_text_rfc5322(&t, rows[i].wall_us);
        assert_string_equal(buf, rows[i].rfc5322);
        text_init(&t, buf, sizeof buf);
        clock_text_asctime(&t, rows[i].wall_us);
        assert_string_equal(buf, rows[i].asctime);
    }
}

static void test_asctime_with_its_year(void **state)
{
    char buf[100];
    struct text t;

    setenv("TZ", "UTC0", 1);
    tzset();
    text_init(&t, buf, sizeof buf);
    clock_text_asctime_year(&t, INT64_C(1760000000000000));
    assert_string_equal(buf, "Thu Oct  9 08:53:20 2025");
}

/* A year beyond what localtime takes must not read beyond the tables of names. */
static void test_absurd_times(void **state)
{
    static const int64_t times[] = {INT64_MAX, INT64_MIN, INT64_MAX / 2};

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        char buf[200];
        struct text t;

        text_init(&t, buf, sizeof buf);
        clock_text_rfc3339(&t, times[i]);
        for (size_t k = 0; k < t.len; k++)
            assert_true(strchr("0123456789-T:.+", buf[k]));
        clock_text_rfc5322(&t, times[i]);
        clock_text_asctime_year(&t, times[i]);
        assert_false(t.overflow);
    }
}

static void test_clocks_run(void **state)
{
    uint64_t mono = clock_mono_ms();
    int64_t wall = clock_wall_us();
    struct timespec pause = {0, 5000000};

    nanosleep(&pause, NULL);
    assert_true(clock_mono_ms() >= mono + 4);
    assert_true(clock_wall_us() > 1700000000 * SECOND);
    assert_int_equal(wall / (100000 * SECOND), time(NULL) / 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_asctime_with_its_year),
        cmocka_unit_test(test_absurd_times),
        cmocka_unit_test(test_clocks_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
