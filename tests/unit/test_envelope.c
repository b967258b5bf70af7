/* Tests of message/envelope, with every allocation failing in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
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

/* Built a second time; the library's own copy is then not linked. */
#undef malloc
#undef calloc
#undef realloc
#define malloc  test_allocate
#define calloc  test_allocate_zeroed
#define realloc test_reallocate
#include "message/envelope.c"

static void test_new_is_empty(void **state)
{
    struct envelope *e = envelope_new();

    assert_non_null(e);
    assert_null(e->sender);
    assert_int_equal(e->recipient_count, 0);
    assert_int_equal(envelope_pending(e), 0);
    envelope_free(&e);
    assert_null(e);
    envelope_free(&e); /* NULL-safe */
}

static void test_sender(void **state)
{
    struct envelope *e = envelope_new();

    assert_true(envelope_set_sender(e, SPAN_LIT("bob@example.org")));
    assert_string_equal(e->sender, "bob@example.org");
    assert_true(envelope_set_sender(e, span_make(NULL, 0)));
    assert_string_equal(e->sender, "");
    envelope_free(&e);
}

static void test_recipients_grow(void **state)
{
    struct envelope *e = envelope_new();
    char address[64];

    for (int i = 0; i < 1000; i++) {
        snprintf(address, sizeof address, "user%d@example.com", i);
        assert_true(envelope_add_recipient(e, span_of(address), i % 2 ? SMTP_NOTIFY_NEVER : 0,
                                           i % 3 ? SPAN_LIT("rfc822;x") : span_make(NULL, 0)));
    }
    assert_int_equal(e->recipient_count, 1000);
    assert_int_equal(envelope_pending(e), 1000);
    assert_string_equal(e->recipients[999].address, "user999@example.com");
    assert_int_equal(e->recipients[999].notify, SMTP_NOTIFY_NEVER);
    assert_null(e->recipients[999].orcpt);
    assert_string_equal(e->recipients[1].orcpt, "rfc822;x");
    envelope_free(&e);
}

/* Past what each may have, all envelopes share the budget; what is freed is given back. */
static void test_budget(void **state)
{
    struct envelope_budget budget = {.limit = 3 * ENVELOPE_MEMORY_MIN};
    struct envelope *many = envelope_new();
    struct envelope *few = envelope_new();
    char address[400];
    size_t taken = 0, least = 0;

    memset(address, 'x', sizeof address - 1);
    address[sizeof address - 1] = '\0';
    many->budget = few->budget = &budget;
    while (envelope_add_recipient(many, span_of(address), 0, span_of(address))) {
        assert_true(many->bytes >= ++taken * 2 * sizeof address);
        least += many->bytes <= ENVELOPE_MEMORY_MIN;
        assert_true(budget.used <= budget.limit);
    }
    assert_in_range(taken, 30, 40); /* 4 * 8192 bytes */
    assert_int_equal(many->recipient_count, taken);
    assert_true(budget.limit - budget.used < 3 * sizeof address);
    for (size_t i = 0; i < least; i++)
        assert_true(envelope_add_recipient(few, span_of(address), 0, span_of(address)));
    while (envelope_add_recipient(few, SPAN_LIT("a"), 0, SPAN_LIT("")))
        ; /* what is left of the budget */
    assert_true(few->bytes < ENVELOPE_MEMORY_MIN + 3 * sizeof address);
    envelope_free(&many);
    assert_true(envelope_add_recipient(few, span_of(address), 0, span_of(address)));
    envelope_free(&few);
    assert_int_equal(budget.used, 0);
}

static void test_recipient_is_there(void **state)
{
    struct envelope *e = envelope_new();
    char address[64];

    assert_false(envelope_has_recipient(e, SPAN_LIT("a@b"), 0, SPAN_LIT("")));
    assert_true(envelope_add_recipient(e, SPAN_LIT("a@b"), 0, SPAN_LIT("")));
    assert_true(envelope_add_recipient(e, SPAN_LIT("c@d"), 1, SPAN_LIT("rfc822;c@d")));
    assert_true(envelope_has_recipient(e, SPAN_LIT("a@b"), 0, SPAN_LIT("")));
    assert_true(envelope_has_recipient(e, SPAN_LIT("c@d"), 1, SPAN_LIT("rfc822;c@d")));
    assert_false(envelope_has_recipient(e, SPAN_LIT("A@b"), 0, SPAN_LIT("")));
    assert_false(envelope_has_recipient(e, SPAN_LIT("a@b"), 1, SPAN_LIT("")));
    assert_false(envelope_has_recipient(e, SPAN_LIT("a@b"), 0, SPAN_LIT("rfc822;a@b")));
    assert_false(envelope_has_recipient(e, SPAN_LIT("c@d"), 1, SPAN_LIT("")));
    for (int i = 2; i < ENVELOPE_DUPLICATES_MAX; i++) {
        snprintf(address, sizeof address, "user%d@example.com", i);
        assert_true(envelope_add_recipient(e, span_of(address), 0, SPAN_LIT("")));
    }
    assert_true(envelope_add_recipient(e, SPAN_LIT("last@b"), 0, SPAN_LIT("")));
    assert_true(envelope_has_recipient(e, span_of(address), 0, SPAN_LIT("")));
    assert_false(envelope_has_recipient(e, SPAN_LIT("last@b"), 0, SPAN_LIT("")));
    envelope_free(&e);
}

static void test_counts_by_state(void **state)
{
    struct envelope *e = envelope_new();

    for (int i = 0; i < 6; i++)
        assert_true(envelope_add_recipient(e, SPAN_LIT("a@example.com"), 0, span_of(NULL)));
    e->recipients[0].state = RECIPIENT_SENT;
    e->recipients[1].state = RECIPIENT_SENT;
    e->recipients[5].state = RECIPIENT_FAILED;
    assert_int_equal(envelope_pending(e), 3);
    assert_int_equal(envelope_count(e, RECIPIENT_SENT), 2);
    assert_int_equal(envelope_count(e, RECIPIENT_FAILED), 1);
    envelope_free(&e);
}

static void test_reason(void **state)
{
    struct recipient r = {0};

    assert_true(recipient_set_reason(&r, SPAN_LIT("452 full")));
    assert_string_equal(r.reason, "452 full");
    assert_true(recipient_set_reason(&r, SPAN_LIT("451 later")));
    assert_string_equal(r.reason, "451 later");
    assert_true(recipient_set_reason(&r, span_of("")));
    assert_null(r.reason);
}

static void test_domain(void **state)
{
    static const struct {
        const char *address;
        const char *domain;
    } rows[] = {
        {"ann@example.com",         "example.com"        },
        {"\"a@b\"@example.com",     "example.com"        },
        {"postmaster",              ""                   },
        {"ann@",                    ""                   },
        {"@example.com",            "example.com"        },
        {"",                        ""                   },
        {"ann@[IPv6:2001:db8::25]", "[IPv6:2001:db8::25]"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char address[64];
        struct recipient r = {.address = address};

        snprintf(address, sizeof address, "%s", rows[i].address);
        assert_true(span_equal(recipient_domain(&r), span_of(rows[i].domain)));
    }
}

/* "return false when memory is out and change nothing" */
static void test_out_of_memory(void **state)
{
    struct envelope *e;

    allocations_left = 0;
    assert_null(envelope_new());
    e = envelope_new();
    assert_true(envelope_set_sender(e, SPAN_LIT("old@example.org")));
    allocations_left = 0;
    assert_false(envelope_set_sender(e, SPAN_LIT("new@example.org")));
    assert_string_equal(e->sender, "old@example.org");
    for (long n = 0; n < 3; n++) { /* the array, the address, the orcpt */
        allocations_left = n;
        assert_false(envelope_add_recipient(e, SPAN_LIT("a@example.com"), 0, SPAN_LIT("rfc822;a")));
        assert_int_equal(e->recipient_count, 0);
        if (n > 0) { /* the array was made; take it away, so that all three come again */
            free(e->recipients);
            e->recipients = NULL;
            e->recipient_cap = 0;
        }
    }
    allocations_left = -1;
    assert_true(envelope_add_recipient(e, SPAN_LIT("a@example.com"), 0, SPAN_LIT("rfc822;a")));
    assert_true(recipient_set_reason(&e->recipients[0], SPAN_LIT("old")));
    allocations_left = 0;
    assert_false(recipient_set_reason(&e->recipients[0], SPAN_LIT("new")));
    assert_string_equal(e->recipients[0].reason, "old");
    allocations_left = -1;
    envelope_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_is_empty),
        cmocka_unit_test(test_sender),
        cmocka_unit_test(test_recipients_grow),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_recipient_is_there),
        cmocka_unit_test(test_counts_by_state),
        cmocka_unit_test(test_reason),
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
