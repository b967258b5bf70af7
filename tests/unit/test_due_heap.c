/* Tests of queue/due_heap: whatever is added, removed and taken, the order is that of sorting. */
#include "queue/due_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ITEMS  400
#define ROUNDS 60
#define STEPS  2000

/* Small, so that many are due at the same time. */
#define TIMES 50

static struct due_item items[ITEMS];

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* The heap against a plain look at all items. */
static void check(const struct due_heap *h)
{
    const struct due_item *first = due_heap_first(h);
    uint64_t earliest = UINT64_MAX;
    size_t in = 0;

    for (size_t i = 0; i < ITEMS; i++) {
        if (items[i].at == 0)
            continue;
        in++;
        assert_ptr_equal(h->items[items[i].at - 1], &items[i]);
        earliest = items[i].due_ms < earliest ? items[i].due_ms : earliest;
    }
    assert_int_equal(h->count, in);
    assert_int_equal(first != NULL, in > 0);
    if (first)
        assert_int_equal(first->due_ms, earliest);
    for (size_t i = 1; i < h->count; i++)
        assert_true(h->items[(i - 1) / 2]->due_ms <= h->items[i]->due_ms);
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void it_sorts(void **state)
{
    uint32_t seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        struct due_heap h = {NULL, 0, 0};
        size_t count = random_next(&seed) % ITEMS;
        uint64_t times[ITEMS] = {0};

        assert_true(due_heap_reserve(&h, count));
        for (size_t i = 0; i < count; i++) {
            times[i] = random_next(&seed) % (round % 2 ? TIMES : UINT32_MAX);
            items[i] = (struct due_item){0, 0};
            due_heap_add(&h, &items[i], times[i]);
        }
        qsort(times, count, sizeof times[0], by_time);
        for (size_t i = 0; i < count; i++) {
            struct due_item *first = due_heap_first(&h);

            assert_non_null(first);
            assert_int_equal(first->due_ms, times[i]);
            due_heap_remove(&h, first);
            assert_int_equal(first->at, 0);
        }
        assert_null(due_heap_first(&h));
        due_heap_deinit(&h);
    }
}

static void adding_and_removing_at_random(void **state)
{
    struct due_heap h = {NULL, 0, 0};
    uint32_t seed = 7;

    for (size_t i = 0; i < ITEMS; i++)
        items[i] = (struct due_item){0, 0};
    assert_true(due_heap_reserve(&h, ITEMS));
    for (int step = 0; step < STEPS; step++) {
        struct due_item *item = &items[random_next(&seed) % ITEMS];

        if (item->at == 0)
            due_heap_add(&h, item, random_next(&seed) % TIMES);
        else
            due_heap_remove(&h, item);
        check(&h);
    }
    for (size_t i = 0; i < ITEMS; i++) {
        due_heap_remove(&h, &items[i]);
        due_heap_remove(&h, &items[i]); /* not in it: nothing */
        check(&h);
    }
    due_heap_deinit(&h);
    assert_int_equal(h.cap, 0);
}

static void room_is_kept(void **state)
{
    struct due_heap h = {NULL, 0, 0};

    assert_true(due_heap_reserve(&h, 1));
    assert_true(h.cap >= 1);
    for (size_t i = 0; i < ITEMS; i++) {
        items[i] = (struct due_item){0, 0};
        assert_true(due_heap_reserve(&h, i + 1));
        due_heap_add(&h, &items[i], ITEMS - i);
        assert_ptr_equal(due_heap_first(&h), &items[i]);
    }
    assert_true(due_heap_reserve(&h, 3));
    assert_true(h.cap >= ITEMS);
    due_heap_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_sorts),
        cmocka_unit_test(adding_and_removing_at_random),
        cmocka_unit_test(room_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
