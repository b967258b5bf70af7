/* Tests of queue/queue_order: requests as they are read and written, and what an order means for a
 * message as it is. */
#include "queue/queue_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID_A "06401F3A9C2E7001"
#define ID_B "06401F3A9C2E7002"

static void test_parse(void **state)
{
    struct queue_order_request r;
    struct queue_id id;

    assert_true(queue_order_parse(SPAN_LIT("delete active,hold " ID_A " " ID_B), &r));
    assert_int_equal(r.order, QUEUE_ORDER_DELETE);
    assert_int_equal(r.queues, QUEUE_NAME_ACTIVE | QUEUE_NAME_HOLD);
    assert_false(r.all);
    assert_true(queue_order_next(&r, &id));
    assert_string_equal(id.text, ID_A);
    assert_true(queue_order_next(&r, &id));
    assert_string_equal(id.text, ID_B);
    assert_false(queue_order_next(&r, &id));
    assert_true(queue_order_parse(SPAN_LIT("hold deferred ALL"), &r));
    assert_int_equal(r.order, QUEUE_ORDER_HOLD);
    assert_true(r.all);
    assert_false(queue_order_next(&r, &id));
}

static void test_no_orders(void **state)
{
    static const char *const rows[] = {
        "",
        "delete",
        "delete deferred",
        "delete deferred ",
        "remove deferred ALL",
        "delete ALL",
        "delete corrupt ALL",
        "delete deferred all",
        "delete deferred ALL ALL",
        "delete deferred 123",
        "delete deferred " ID_A " x",
        "delete deferred " ID_A " ALL",
        "delete deferred ALL " ID_A,
        "delete deferred " ID_A " ",
        "delete , ALL",
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct queue_order_request r;

        if (queue_order_parse(span_of(rows[i]), &r))
            fail_msg("taken for an order: \"%s\"", rows[i]);
    }
}

static void test_limit_of_ids(void **state)
{
    for (size_t count = QUEUE_ORDER_IDS_MAX - 1; count <= QUEUE_ORDER_IDS_MAX + 1; count++) {
        char words[4096];
        struct queue_order_request r;
        struct text t;

        text_init(&t, words, sizeof words);
        text_cstr(&t, "requeue hold");
        for (size_t i = 0; i < count; i++)
            text_cstr(&t, " " ID_A);
        assert_false(t.overflow);
        assert_int_equal(queue_order_parse(text_as_span(&t), &r), count <= QUEUE_ORDER_IDS_MAX);
    }
}

/* What is written for each order is read as that order, its default queues too. */
static void test_format(void **state)
{
    for (int i = 0; i < QUEUE_ORDER_COUNT; i++) {
        char words[100];
        struct queue_order_request r;
        struct text t;

        text_init(&t, words, sizeof words);
        queue_order_format(&t, (enum queue_order)i, queue_order_queues((enum queue_order)i));
        text_cstr(&t, "ALL");
        assert_true(queue_order_parse(text_as_span(&t), &r));
        assert_int_equal(r.order, i);
        assert_int_equal(r.queues, queue_order_queues((enum queue_order)i));
    }
}

static void test_names(void **state)
{
    static const char *const empty[] = {"incoming", "maildrop", "bounce",
                                        "defer",    "trace",    "flush"};

    assert_int_equal(queue_name_parse(SPAN_LIT("active")), QUEUE_NAME_ACTIVE);
    assert_int_equal(queue_name_parse(SPAN_LIT("deferred")), QUEUE_NAME_DEFERRED);
    assert_int_equal(queue_name_parse(SPAN_LIT("hold")), QUEUE_NAME_HOLD);
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
        assert_int_equal(queue_name_parse(span_of(empty[i])), QUEUE_NAME_EMPTY);
    assert_int_equal(queue_name_parse(SPAN_LIT("corrupt")), 0);
    assert_int_equal(queue_name_parse(SPAN_LIT("Hold")), 0);
    assert_int_equal(queue_name_parse(SPAN_LIT("")), 0);
}

/* ---- rules ---- */

#define BIT(order) QUEUE_ORDER_BIT(QUEUE_ORDER_##order)

static void test_effects(void **state)
{
    static const struct {
        enum queue_order order;
        enum queue_name queue;
        bool forced, hold_expired;
        unsigned want;
    } rows[] = {
        {QUEUE_ORDER_DELETE,         QUEUE_NAME_ACTIVE,   false, false, BIT(DELETE)               },
        {QUEUE_ORDER_DELETE,         QUEUE_NAME_HOLD,     true,  true,  BIT(DELETE)               },
        {QUEUE_ORDER_REQUEUE,        QUEUE_NAME_HOLD,     false, false, BIT(REQUEUE)              },
        {QUEUE_ORDER_REQUEUE,        QUEUE_NAME_DEFERRED, false, false, BIT(REQUEUE)              },
        {QUEUE_ORDER_HOLD,           QUEUE_NAME_DEFERRED, false, false, BIT(HOLD)                 },
        {QUEUE_ORDER_HOLD,           QUEUE_NAME_ACTIVE,   false, false, BIT(HOLD)                 },
        {QUEUE_ORDER_HOLD,           QUEUE_NAME_HOLD,     false, false, 0                         },
        {QUEUE_ORDER_RELEASE,        QUEUE_NAME_HOLD,     false, true,  BIT(RELEASE)              },
        {QUEUE_ORDER_RELEASE,        QUEUE_NAME_DEFERRED, false, false, 0                         },
        {QUEUE_ORDER_EXPIRE,         QUEUE_NAME_DEFERRED, false, false, BIT(EXPIRE)               },
        {QUEUE_ORDER_EXPIRE,         QUEUE_NAME_HOLD,     false, false, BIT(EXPIRE)               },
        {QUEUE_ORDER_EXPIRE,         QUEUE_NAME_HOLD,     true,  false, 0                         },
        {QUEUE_ORDER_EXPIRE_RELEASE, QUEUE_NAME_HOLD,     false, false, BIT(EXPIRE) | BIT(RELEASE)},
        {QUEUE_ORDER_EXPIRE_RELEASE, QUEUE_NAME_HOLD,     true,  false, BIT(RELEASE)              },
        {QUEUE_ORDER_EXPIRE_RELEASE, QUEUE_NAME_HOLD,     true,  true,  0                         },
        {QUEUE_ORDER_EXPIRE_RELEASE, QUEUE_NAME_DEFERRED, false, false, BIT(EXPIRE)               },
        {QUEUE_ORDER_EXPIRE_RELEASE, QUEUE_NAME_DEFERRED, true,  false, 0                         },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct queue_order_state m = {rows[i].queue, rows[i].forced, rows[i].hold_expired};
        struct queue_order_request r = {.order = rows[i].order,
                                        .queues = queue_order_queues(rows[i].order)};

        if (queue_order_effect(&r, &m) != rows[i].want)
            fail_msg("row %zu: %s", i, queue_order_name(rows[i].order));
        r.queues = QUEUE_NAME_EMPTY;
        assert_int_equal(queue_order_effect(&r, &m), 0);
        r.queues = QUEUE_NAMES_ALL & ~(unsigned)rows[i].queue;
        assert_int_equal(queue_order_effect(&r, &m), 0);
    }
}

/* Postfix's, which scripts and people know. */
static void test_words(void **state)
{
    assert_string_equal(queue_order_done(QUEUE_ORDER_DELETE), "removed");
    assert_string_equal(queue_order_done(QUEUE_ORDER_REQUEUE), "requeued");
    assert_string_equal(queue_order_done(QUEUE_ORDER_HOLD), "placed on hold");
    assert_string_equal(queue_order_done(QUEUE_ORDER_RELEASE), "released from hold");
    assert_string_equal(queue_order_done(QUEUE_ORDER_EXPIRE), "expired");
    assert_string_equal(queue_order_total(QUEUE_ORDER_DELETE), "Deleted");
    assert_string_equal(queue_order_total(QUEUE_ORDER_REQUEUE), "Requeued");
    assert_string_equal(queue_order_total(QUEUE_ORDER_HOLD), "Placed on hold");
    assert_string_equal(queue_order_total(QUEUE_ORDER_RELEASE), "Released from hold");
    assert_string_equal(queue_order_total(QUEUE_ORDER_EXPIRE), "Force-expired");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),  cmocka_unit_test(test_no_orders),
        cmocka_unit_test(test_format), cmocka_unit_test(test_limit_of_ids),
        cmocka_unit_test(test_names),  cmocka_unit_test(test_effects),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
