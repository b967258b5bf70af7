/* Tests of queue/records: results become lines that the spool's parser understands, and states of
 * the envelope. */
#include "relay_fixture.h"

#include <stdlib.h>
#include <string.h>

static long allocations_left = -1; /* before one fails; negative: none fails */

static void *test_reallocate(void *old, size_t size)
{
    if (allocations_left >= 0 && allocations_left-- == 0)
        return NULL;
    return realloc(old, size);
}

/* Built a second time; the library's own copy is then not linked. */
#define realloc test_reallocate
#include "queue/records.c"
#undef realloc

#define WALL_S 1763770300

static char ok[] = "250 ok";
static char no[] = "550 \"no\"\n";
static struct envelope *envelope;
static struct records records;

static int setup(void **state)
{
    envelope = relay_envelope("bob@example.org", "ann@example.com joe@example.com eve@example.com");
    records = (struct records){NULL, 0, 0, false};
    allocations_left = -1;
    return 0;
}

static int teardown(void **state)
{
    allocations_left = -1;
    records_deinit(&records);
    assert_null(records.bytes);
    envelope_free(&envelope);
    return 0;
}

/* What a fresh envelope looks like when the lines are read back. */
static void parse(struct spool_file *f)
{
    struct errbuf err = {""};
    char *tail = malloc(records.len + SPOOL_END_CAP);
    struct text t;

    assert_non_null(tail);
    text_init(&t, tail, records.len + SPOOL_END_CAP);
    spool_format_end(&t, 0);
    text_span(&t, span_make(records.bytes, records.len));
    *f = (struct spool_file){
        .envelope =
            relay_envelope("bob@example.org", "ann@example.com joe@example.com eve@example.com")};
    if (spool_parse_tail(text_as_span(&t), NULL, f, &err) != SPOOL_PARSE_OK)
        fail_msg("%s", err.text);
    free(tail);
}

static void a_deliverys_results(void **state)
{
    struct delivery d = {
        .count = 3, .indices = {2, 0, 1}
    };
    struct spool_file f;

    d.results[0] = (struct delivery_result){.outcome = DELIVERY_SENT, .dsn = "2.0.0", .text = ok};
    d.results[1] = (struct delivery_result){.outcome = DELIVERY_FAILED, .dsn = "5.1.1", .text = no};
    d.results[2] =
        (struct delivery_result){.outcome = DELIVERY_DEFERRED_DESTINATION, .dsn = "4.4.1"};
    assert_true(records_add_delivery(&records, envelope, &d, WALL_S));
    assert_true(records.durable);
    assert_int_equal(envelope->recipients[2].state, RECIPIENT_SENT);
    assert_int_equal(envelope->recipients[0].state, RECIPIENT_FAILED);
    assert_int_equal(envelope->recipients[1].state, RECIPIENT_PENDING);
    parse(&f);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(f.envelope->recipients[i].state, envelope->recipients[i].state);
    assert_non_null(strstr(f.envelope->recipients[0].reason, "550 \"no\""));
    assert_int_equal(f.attempts, 1);
    assert_int_equal(f.last_attempt_s, WALL_S);
    assert_false(f.on_hold);
    spool_file_deinit(&f);
}

static void a_deferral_need_not_last(void **state)
{
    assert_true(records_add(&records, envelope, 0, SPOOL_DEFERRED, "4.2.2", "full", WALL_S));
    assert_false(records.durable);
    assert_true(records_add(&records, envelope, 1, SPOOL_SENT, "", "", WALL_S));
    assert_true(records.durable);
}

static void a_refusal_must(void **state)
{
    assert_true(records_add(&records, envelope, 0, SPOOL_DEFERRED, "4.2.2", "full", WALL_S));
    assert_true(records_add(&records, envelope, 1, SPOOL_FAILED, "5.1.1", "unknown", WALL_S));
    assert_true(records.durable);
}

static void a_hold_must(void **state)
{
    struct spool_file f;

    assert_true(records_add_hold(&records, WALL_S, "expired"));
    assert_true(records.durable);
    parse(&f);
    assert_true(f.on_hold);
    assert_string_equal(f.hold_why, "expired");
    spool_file_deinit(&f);
}

static void many_and_long_ones(void **state)
{
    struct spool_file f;
    char reason[4000];

    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    for (size_t i = 0; i < 300; i++)
        assert_true(records_add(&records, envelope, i % 3, SPOOL_DEFERRED, "4.2.2", reason,
                                WALL_S + (int64_t)i));
    parse(&f);
    assert_int_equal(f.attempts, 300);
    spool_file_deinit(&f);
}

/* The states are what is delivered by; only the file does not know. */
static void without_memory(void **state)
{
    struct delivery d = {
        .count = 2, .indices = {0, 1}
    };

    d.results[0] = (struct delivery_result){.outcome = DELIVERY_SENT, .dsn = "2.0.0", .text = ok};
    d.results[1] = (struct delivery_result){.outcome = DELIVERY_FAILED, .dsn = "5.1.1"};
    allocations_left = 0;
    assert_false(records_add_delivery(&records, envelope, &d, WALL_S));
    assert_int_equal(envelope->recipients[0].state, RECIPIENT_SENT);
    assert_int_equal(envelope->recipients[1].state, RECIPIENT_FAILED);
    allocations_left = 0;
    records_deinit(&records);
    assert_false(records_add_hold(&records, WALL_S, "failed"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_deliverys_results), TEST(a_deferral_need_not_last), TEST(a_refusal_must),
        TEST(a_hold_must),         TEST(many_and_long_ones),       TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
