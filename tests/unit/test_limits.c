/* Tests of server/limits: counts in all and per address, and what happens without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
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

static void *test_allocate(size_t size)
{
    return allocation_fails() ? NULL : malloc(size);
}

/* Built a second time; the library's own copy is then not linked. */
#define calloc        test_allocate_zeroed
#define uthash_malloc test_allocate
#include "server/limits.c"
#undef calloc

#include "config/cidr.h"

#define CLIENTS 300

static void address_of(unsigned number, unsigned char address[16])
{
    memset(address, 0, 16);
    address[0] = 0x20;
    address[14] = (unsigned char)(number >> 8);
    address[15] = (unsigned char)number;
}

static unsigned enter(struct limits *l, unsigned number)
{
    unsigned char address[16];

    address_of(number, address);
    return limits_enter(l, address);
}

static void leave(struct limits *l, unsigned number)
{
    unsigned char address[16];

    address_of(number, address);
    limits_leave(l, address);
}

static void each_address_is_counted_apart(void **state)
{
    struct limits l = {0};

    assert_int_equal(enter(&l, 1), 1);
    assert_int_equal(enter(&l, 1), 2);
    assert_int_equal(enter(&l, 2), 1);
    assert_int_equal(l.total, 3);
    leave(&l, 1);
    assert_int_equal(enter(&l, 1), 2);
    leave(&l, 1);
    leave(&l, 1);
    leave(&l, 2);
    assert_int_equal(l.total, 0);
    assert_null(l.clients);
}

static unsigned enter_text(struct limits *l, const char *address)
{
    unsigned char bytes[16], key[16];

    assert_true(cidr_address_parse(span_of(address), bytes));
    limits_key(bytes, key);
    return limits_enter(l, key);
}

static void a_64_of_ipv6_is_one_client(void **state)
{
    struct limits l = {0};

    assert_int_equal(enter_text(&l, "2001:db8:0:1::1"), 1);
    assert_int_equal(enter_text(&l, "2001:db8:0:1:ffff:ffff:ffff:ffff"), 2);
    assert_int_equal(enter_text(&l, "2001:db8:0:2::1"), 1);
    assert_int_equal(enter_text(&l, "192.0.2.1"), 1);
    assert_int_equal(enter_text(&l, "192.0.2.2"), 1);
    assert_int_equal(enter_text(&l, "::ffff:192.0.2.2"), 2);
    assert_int_equal(enter_text(&l, "::1"), 1);
    assert_int_equal(l.total, 7);
    while (l.clients) {
        unsigned char key[16];

        memcpy(key, l.clients->address, sizeof key);
        limits_leave(&l, key);
    }
    assert_int_equal(l.total, 0);
}

static void many_come_and_go(void **state)
{
    struct limits l = {0};

    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < CLIENTS; i++)
            assert_int_equal(enter(&l, i), round);
    }
    assert_int_equal(l.total, 3 * CLIENTS);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < CLIENTS; i++)
            leave(&l, (i * 7) % CLIENTS);
    }
    assert_int_equal(l.total, 0);
    assert_null(l.clients);
}

static void who_never_came_cannot_leave(void **state)
{
    struct limits l = {0};

    leave(&l, 1);
    assert_int_equal(enter(&l, 2), 1);
    leave(&l, 1);
    assert_int_equal(l.total, 1);
    leave(&l, 2);
}

/* An entry that cannot be made is not counted, and must not be left. */
static void without_memory(void **state)
{
    struct limits l = {0};

    for (long i = 0; i < 3; i++) {
        allocations_left = i;
        assert_int_equal(enter(&l, 1), 0);
        allocations_left = -1;
        assert_int_equal(l.total, 0);
        assert_null(l.clients);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_int_equal(enter(&l, i), 1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        unsigned count;

        allocations_left = (long)(i % 2);
        count = enter(&l, CLIENTS + i);
        allocations_left = -1;
        if (count > 0)
            leave(&l, CLIENTS + i);
        assert_int_equal(l.total, CLIENTS);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        leave(&l, i);
    assert_null(l.clients);
}

/* ---- events ---- */

#define UNIT 60000

static unsigned count(struct limits *l, unsigned number, enum limits_event event, uint64_t now)
{
    unsigned char address[16];

    address_of(number, address);
    return limits_count(l, address, event, now, UNIT);
}

static void a_window_begins_with_its_first_event(void **state)
{
    struct limits l = {0};

    assert_int_equal(count(&l, 1, LIMITS_MESSAGE, 1000), 1);
    assert_int_equal(count(&l, 1, LIMITS_MESSAGE, 60999), 2);
    assert_int_equal(count(&l, 1, LIMITS_RECIPIENT, 60999), 1);
    assert_int_equal(count(&l, 2, LIMITS_MESSAGE, 60999), 1);
    assert_int_equal(count(&l, 1, LIMITS_MESSAGE, 61000), 1); /* a new one, for all its events */
    assert_int_equal(count(&l, 1, LIMITS_RECIPIENT, 61000), 1);
    limits_deinit(&l);
    assert_null(l.rates);
}

static void looking_counts_nothing(void **state)
{
    struct limits l = {0};
    unsigned char address[16];

    address_of(1, address);
    assert_int_equal(limits_peek(&l, address, LIMITS_TLS, 1000, UNIT), 0);
    assert_null(l.rates);
    assert_int_equal(count(&l, 1, LIMITS_TLS, 1000), 1);
    assert_int_equal(limits_peek(&l, address, LIMITS_TLS, 60999, UNIT), 1);
    assert_int_equal(limits_peek(&l, address, LIMITS_MESSAGE, 60999, UNIT), 0);
    assert_int_equal(limits_peek(&l, address, LIMITS_TLS, 61000, UNIT), 0); /* over */
    assert_int_equal(count(&l, 1, LIMITS_TLS, 60999), 2);
    limits_deinit(&l);
}

static void windows_are_bounded(void **state)
{
    struct limits l = {0};

    for (unsigned i = 0; i < LIMITS_RATES_MAX + 10; i++)
        assert_int_equal(count(&l, i, LIMITS_CONNECTION, i), 1);
    assert_int_equal(HASH_COUNT(l.rates), LIMITS_RATES_MAX);
    assert_int_equal(count(&l, LIMITS_RATES_MAX + 9, LIMITS_CONNECTION, 20000), 2);
    assert_int_equal(count(&l, 0, LIMITS_CONNECTION, 20000), 1); /* begun first, gone first */
    limits_deinit(&l);
}

static void events_without_memory(void **state)
{
    struct limits l = {0};

    for (long i = 0; i < 3; i++) {
        allocations_left = i;
        assert_int_equal(count(&l, 1, LIMITS_MESSAGE, 0), 0);
        allocations_left = -1;
        assert_null(l.rates);
    }
    assert_int_equal(count(&l, 1, LIMITS_MESSAGE, 0), 1);
    limits_deinit(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_counted_apart),
        cmocka_unit_test(a_64_of_ipv6_is_one_client),
        cmocka_unit_test(many_come_and_go),
        cmocka_unit_test(who_never_came_cannot_leave),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(a_window_begins_with_its_first_event),
        cmocka_unit_test(looking_counts_nothing),
        cmocka_unit_test(windows_are_bounded),
        cmocka_unit_test(events_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
