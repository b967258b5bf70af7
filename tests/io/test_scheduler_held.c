/* Tests of queue/scheduler_held: what was just committed is delivered from memory, within bounds.
 */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_MODE "delivery_mode = queue\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
#define ONE_PLACE  QUEUE_MODE "default_destination_concurrency_limit = 1\n"
#define ANN        "ann@example.com"
#define MANY       200

static struct queue_fixture q;
static struct asker askers[MANY];

static void begin(const char *ini)
{
    queue_begin(&q, ini);
    memset(askers, 0, sizeof askers);
    disk_fault_none(); /* counts from here */
}

static void submit(unsigned count, const char *recipients, size_t size)
{
    for (unsigned i = 0; i < count; i++)
        queue_submit(&q, &askers[i], recipients, size);
}

static void wait_until_empty(void)
{
    loop_wait(&q.r.f, q.intake.in_flight == 0 && q.scheduler.entries == NULL);
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(q.scheduler.held_bytes, 0);
    assert_int_equal(q.place.budget.used, 0);
}

static void nothing_is_read_back(void **state)
{
    begin(ONE_PLACE);
    submit(10, ANN, 3200);
    wait_until_empty();
    assert_int_equal(disk_count(DISK_PREAD), 0);
    assert_int_equal(q.r.lmtp.delivered_count, 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(askers[i].verdict.code, 250);
        assert_true(queue_is_body(&q, i, 3200));
    }
    queue_end(&q);
}

static void large_bodies_are_in_their_file(void **state)
{
    begin(QUEUE_MODE);
    submit(2, ANN, 320000);
    wait_until_empty();
    assert_true(disk_count(DISK_PREAD) > 0);
    assert_true(queue_is_body(&q, 0, 320000));
    assert_true(queue_is_body(&q, 1, 320000));
    queue_end(&q);
}

static void many_recipients_are_read_back(void **state)
{
    char recipients[52 * sizeof ANN];
    struct text t;

    text_init(&t, recipients, sizeof recipients);
    for (unsigned i = 0; i < 51; i++)
        text_cstr(&t, i == 0 ? ANN : " " ANN);
    begin(QUEUE_MODE);
    submit(1, recipients, 320);
    wait_until_empty();
    assert_true(disk_count(DISK_PREAD) > 0);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, ANN), 51);
    queue_end(&q);
}

/* A peer that stalls must not fill our memory with what waits for it. */
static void no_more_than_a_mebibyte_is_kept(void **state)
{
    begin(ONE_PLACE);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    submit(MANY, ANN, 3200);
    loop_wait(&q.r.f, q.intake.in_flight == 0);
    assert_in_range(q.scheduler.held_bytes, 1, 1u << 20);
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(q.r.lmtp.delivered_count, MANY);
    assert_true(disk_count(DISK_PREAD) > 0);
    queue_end(&q);
}

/* What an operator removed by hand is not delivered later from memory. */
static void after_a_second_the_file_counts(void **state)
{
    char path[200];
    struct queue_id active;
    size_t held;

    begin(ONE_PLACE);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    submit(2, ANN, 3200);
    loop_wait(&q.r.f, q.intake.in_flight == 0 && q.r.lmtp.dots == 1);
    assert_true(q.scheduler.held_bytes > 0);
    assert_int_equal(scheduler_active(&q.scheduler, &active, 1), 1);
    held = strcmp(active.text, askers[0].id.text) == 0 ? 1 : 0; /* commits may overtake */
    snprintf(path, sizeof path, "%s/queue/%s", q.d.path, askers[held].id.text);
    assert_int_equal(unlink(path), 0);
    usleep(1100000);
    lmtp_release(&q.r.lmtp);
    loop_wait(&q.r.f, q.scheduler.entries == NULL);
    assert_int_equal(q.r.lmtp.delivered_count, 1);
    assert_int_equal(relay_logged(&q.r, "its file is gone"), 1);
    assert_int_equal(q.scheduler.held_bytes, 0);
    queue_end(&q);
}

static void what_is_deferred_is_not_kept(void **state)
{
    begin(QUEUE_MODE);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "452 4.2.2 full")->times = 1;
    submit(1, ANN, 3200);
    loop_wait(&q.r.f, q.intake.in_flight == 0 && scheduler_idle(&q.scheduler));
    assert_int_equal(q.scheduler.held_bytes, 0);
    assert_int_equal(q.place.budget.used, 0);
    assert_int_equal(disk_count(DISK_PREAD), 1); /* the append's look back */
    scheduler_flush(&q.scheduler, NULL);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, ANN), 1);
    queue_end(&q);
}

static void a_stop_leaves_it_to_the_next_start(void **state)
{
    begin(ONE_PLACE);
    lmtp_rule(&q.r.lmtp, "DATA", LMTP_SILENCE, NULL)->times = 1;
    submit(5, ANN, 3200);
    loop_wait(&q.r.f, q.intake.in_flight == 0 && lmtp_said(&q.r.lmtp, "DATA") == 1);
    assert_true(q.scheduler.held_bytes > 0);
    queue_stop(&q);
    assert_int_equal(queue_files(&q), 5);
    lmtp_no_rules(&q.r.lmtp);
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, ANN), 5);
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_read_back),
        cmocka_unit_test(large_bodies_are_in_their_file),
        cmocka_unit_test(many_recipients_are_read_back),
        cmocka_unit_test(no_more_than_a_mebibyte_is_kept),
        cmocka_unit_test(after_a_second_the_file_counts),
        cmocka_unit_test(what_is_deferred_is_not_kept),
        cmocka_unit_test(a_stop_leaves_it_to_the_next_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
