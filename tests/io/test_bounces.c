/* Tests of queue/scheduler_bounce against a real spool and an LMTP peer: each file call failing
 * once on the way, and orders of an operator in between. What the reports say is in tests/e2e. */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"
#include "queue/scheduler_operator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACK_OFF "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
#define SENDER   "bob@example.com" /* there is a way to him */
#define JOE      "joe@example.com" /* refused */

static struct queue_fixture q;

static bool is_empty(void)
{
    return q.scheduler.entries == NULL && queue_files(&q) == 0;
}

static unsigned reports(void)
{
    return lmtp_delivered_to(&q.r.lmtp, SENDER);
}

/* In the queue, the peer away. */
static void begin(struct asker *a, const char *recipients)
{
    *a = (struct asker){0};
    queue_begin_down(&q, BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    queue_submit_envelope(&q, a, relay_envelope(SENDER, recipients), 150000);
    loop_wait(&q.r.f, a->answers == 1);
    assert_int_equal(a->verdict.code, 250);
}

static void restart(void)
{
    queue_stop(&q);
    queue_start(&q);
}

static void returned(void **state)
{
    struct asker a;

    begin(&a, JOE " ann@example.com");
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, is_empty());
    assert_int_equal(reports(), 1);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    assert_int_equal(relay_logged(&q.r, "sender non-delivery notification: "), 1);
    queue_end(&q);
}

/* Whatever fails, the sender is told once, at the next start at the latest; nothing is left. True:
 * the fault was met. */
static bool check_failing(enum disk_call call, unsigned skip)
{
    struct asker a;
    bool fired;

    begin(&a, JOE);
    q.litter = call == DISK_CHANGES; /* what cannot be removed; the next start does it */
    disk_fault(call, skip, call == DISK_CHANGES ? 1000000 : 1, EIO);
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=bounced") == 1);
    loop_wait(&q.r.f, scheduler_idle(&q.scheduler) && lane_idle(&q.r.disk) && spool_idle(&q.spool));
    loop_idle(&q.r.f);
    fired = disk_fault_fired();
    disk_fault_none();
    restart();
    loop_wait(&q.r.f, is_empty());
    /* a disk that died cannot keep either that the report was delivered */
    if (reports() != 1 && !(q.litter && reports() == 2))
        fail_msg("call %d, skip %u: %u reports", (int)call, skip, reports());
    queue_end(&q);
    return fired;
}

static void each_call_failing(void **state)
{
    static const struct {
        enum disk_call call;
        unsigned least; /* calls of this kind on the way */
    } rows[] = {
        {DISK_PWRITEV,   1},
        {DISK_WRITE,     2},
        {DISK_FSYNC,     3},
        {DISK_FDATASYNC, 2},
        {DISK_RENAME,    1},
        {DISK_UNLINKAT,  1},
        {DISK_CHANGES,   8}, /* the disk dies there */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned skip = 0;

        while (skip < 20 && check_failing(rows[i].call, skip))
            skip++;
        if (skip < rows[i].least)
            fail_msg("call %d was made %u times only", (int)rows[i].call, skip);
    }
}

/* Until a report is in custody its message stays: a report that is in memory only dies with us. */
static void a_message_stays_until_its_report_is_kept(void **state)
{
    struct asker a;

    begin(&a, JOE);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later")->contains = "bob@";
    disk_fault(DISK_RENAME, 0, 1, EIO);
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, disk_fault_fired());
    disk_fault_none();
    loop_wait(&q.r.f, relay_logged(&q.r, "tried again later") == 1);
    assert_int_equal(queue_files(&q), 1);
    lmtp_no_rules(&q.r.lmtp);
    restart();
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    loop_wait(&q.r.f, is_empty());
    assert_int_equal(reports(), 1);
    queue_end(&q);
}

/* ---- orders in between ---- */

static void on_done(void *ctx, const struct queue_order_result *result)
{
    unsigned *done = ctx;

    *done = 1;
    (void)result;
}

static void order(enum queue_order what, const struct queue_id *id)
{
    unsigned done = 0;
    struct queue_asker asker = {.done = on_done, .ctx = &done};
    struct queue_order_request r = {
        .order = what, .queues = QUEUE_NAMES_ALL, .ids = span_of(id->text)};

    assert_true(scheduler_order(&q.scheduler, &r, &asker));
    loop_wait(&q.r.f, done);
}

/* After so many turns of the loop since the peer refused. Ends with the mail gone or delivered, its
 * sender told once at most per life of it. */
static void check_order(enum queue_order what, unsigned turns)
{
    struct asker a;
    unsigned delivered;

    begin(&a, JOE);
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=bounced") == 1);
    for (unsigned i = 0; i < turns; i++)
        loop_turn(&q.r.f);
    lmtp_no_rules(&q.r.lmtp);
    order(what, &a.id);
    loop_wait(&q.r.f, scheduler_idle(&q.scheduler) && lane_idle(&q.r.disk) && spool_idle(&q.spool));
    loop_idle(&q.r.f);
    for (unsigned i = 0; i < 3 && !is_empty(); i++) {
        order(QUEUE_ORDER_RELEASE, &a.id);
        loop_wait(&q.r.f, is_empty() || (scheduler_idle(&q.scheduler) && q.scheduler.on_hold == 1));
    }
    assert_true(is_empty());
    delivered = lmtp_delivered_to(&q.r.lmtp, JOE);
    if (reports() > 1 || delivered > 1 || (what != QUEUE_ORDER_DELETE && reports() + delivered < 1))
        fail_msg("order %d after %u turns: %u reports, delivered %u times", (int)what, turns,
                 reports(), delivered);
    queue_end(&q);
}

static void orders_in_between(void **state)
{
    static const enum queue_order orders[] = {QUEUE_ORDER_REQUEUE, QUEUE_ORDER_HOLD,
                                              QUEUE_ORDER_RELEASE, QUEUE_ORDER_EXPIRE,
                                              QUEUE_ORDER_DELETE};

    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        for (unsigned turns = 0; turns < 12; turns++)
            check_order(orders[i], turns);
    }
}

/* ---- what a former process left ---- */

static void a_report_that_was_begun_is_made_anew(void **state)
{
    struct queue_id id;

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    queue_put_from(&q, &id, SENDER, JOE,
                   "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
                   "hold 1763770300 \"failed\"\n"
                   "bounce 1763770300 \"06401F3A9C2E8001\"\n");
    queue_start(&q);
    loop_wait(&q.r.f, is_empty());
    assert_int_equal(reports(), 1);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, JOE), 0);
    queue_end(&q);
}

static void a_report_that_was_taken_is_not_made_again(void **state)
{
    struct queue_id id, report;
    char records[300];

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    queue_put_from(&q, &report, "", SENDER, "");
    snprintf(records, sizeof records,
             "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
             "hold 1763770300 \"failed\"\n"
             "bounce 1763770300 \"%s\"\n",
             report.text);
    queue_put_from(&q, &id, SENDER, JOE, records);
    queue_start(&q);
    loop_wait(&q.r.f, is_empty());
    assert_int_equal(reports(), 1);
    assert_string_equal(q.r.lmtp.delivered[0].body, "Subject: from before\r\n\r\nhello\r\n");
    queue_end(&q);
}

/* A message that has more to come, or stays on hold for its operator, is not removed when its
 * report was taken: it gets the record that it was told of. */
static void a_report_of_some_that_was_taken_is_noted(void **state)
{
    struct queue_id id, report;
    char records[300];

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    queue_put_from(&q, &report, "", SENDER, "");
    snprintf(records, sizeof records,
             "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
             "bounce 1763770300 \"%s\"\n",
             report.text);
    queue_put_from(&q, &id, SENDER, JOE " ann@example.com", records);
    queue_start(&q);
    loop_wait(&q.r.f, is_empty());
    assert_int_equal(reports(), 1);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, JOE), 0);
    queue_end(&q);
}

static void a_notice_that_was_taken_is_not_made_again(void **state)
{
    struct queue_id id, report;
    char records[300];

    queue_begin(&q, BACK_OFF "notify_recipient = postmaster@example.com\n");
    queue_stop(&q);
    queue_put_from(&q, &report, "", "postmaster@example.com", "");
    snprintf(records, sizeof records,
             "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
             "hold 1763770300 \"failed\"\n"
             "notice 1763770300 \"%s\"\n",
             report.text);
    queue_put_from(&q, &id, "bob@example.org", JOE, records); /* no way to him */
    for (unsigned starts = 0; starts < 2; starts++) {
        queue_start(&q);
        loop_wait(&q.r.f, queue_files(&q) == 1 && scheduler_idle(&q.scheduler));
        loop_idle(&q.r.f);
        assert_int_equal(q.scheduler.on_hold, 1);
        assert_int_equal(queue_files(&q), 1);
        assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "postmaster@example.com"), 1);
        if (starts == 0)
            queue_stop(&q);
    }
    queue_end(&q);
}

/* Is the report's name there to stay? If that cannot be made sure, the message goes only when a
 * second one is safe: told twice, but told. */
static void a_report_that_may_not_last_is_made_again(void **state)
{
    struct queue_id id, report;
    char records[300];

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    queue_put_from(&q, &report, "", SENDER, "");
    snprintf(records, sizeof records,
             "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
             "hold 1763770300 \"failed\"\n"
             "bounce 1763770300 \"%s\"\n",
             report.text);
    queue_put_from(&q, &id, SENDER, JOE, records);
    disk_fault(DISK_FSYNC, 4, 1, EIO); /* after those of the start itself */
    queue_start(&q);
    loop_wait(&q.r.f, is_empty());
    assert_true(disk_fault_fired());
    disk_fault_none();
    assert_int_equal(reports(), 2);
    queue_end(&q);
}

/* Some are tried again: who failed was told of. */
static void told_ones_are_not_told_again(void **state)
{
    struct queue_id id;

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    queue_put_from(&q, &id, SENDER, JOE " ann@example.com",
                   "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
                   "bounce 1763770300 \"06401F3A9C2E8001\"\n"
                   "bounced 1763770300 \"06401F3A9C2E8001\"\n"
                   "requeue 1763770300 \"by the operator\"\n");
    queue_start(&q);
    loop_wait(&q.r.f, is_empty());
    assert_int_equal(reports(), 0);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, JOE), 0);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    queue_end(&q);
}

/* A crash tore the hold off the result before it: the operator is told once, not at every start. */
static void a_hold_that_was_torn_off_is_made_anew(void **state)
{
    struct queue_id id;
    char *file;

    queue_begin(&q, BACK_OFF "notify_recipient = ann@example.com\n");
    queue_stop(&q);
    queue_put_from(&q, &id, "stranger@example.net", JOE,
                   "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\nhold 17");
    for (unsigned starts = 0; starts < 3; starts++) {
        queue_start(&q);
        loop_wait(&q.r.f, q.scheduler.on_hold == 1 && queue_files(&q) == 1);
        loop_idle(&q.r.f);
        assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
        assert_int_equal(q.scheduler.operator_needed, 1);
        queue_stop(&q);
    }
    file = queue_file(&q, &id);
    assert_non_null(strstr(file, "\nhold "));
    free(file);
    queue_end(&q);
}

/* An operator's requeue that came between the result and its hold: nobody is told, nothing goes. */
static void requeued_at_that_moment_stays(void **state)
{
    struct queue_id id;

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    queue_put_from(&q, &id, SENDER, JOE,
                   "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
                   "requeue 1763770300 \"by the operator\"\n"
                   "hold 1763770300 \"failed\"\n");
    queue_start(&q);
    loop_idle(&q.r.f);
    assert_int_equal(q.scheduler.on_hold, 1);
    assert_int_equal(queue_files(&q), 1);
    order(QUEUE_ORDER_RELEASE, &id);
    loop_wait(&q.r.f, is_empty());
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, JOE), 1);
    assert_int_equal(reports(), 0);
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(returned),
        cmocka_unit_test(each_call_failing),
        cmocka_unit_test(a_message_stays_until_its_report_is_kept),
        cmocka_unit_test(orders_in_between),
        cmocka_unit_test(a_report_that_was_begun_is_made_anew),
        cmocka_unit_test(a_report_that_was_taken_is_not_made_again),
        cmocka_unit_test(a_report_of_some_that_was_taken_is_noted),
        cmocka_unit_test(a_notice_that_was_taken_is_not_made_again),
        cmocka_unit_test(a_report_that_may_not_last_is_made_again),
        cmocka_unit_test(told_ones_are_not_told_again),
        cmocka_unit_test(a_hold_that_was_torn_off_is_made_anew),
        cmocka_unit_test(requeued_at_that_moment_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
