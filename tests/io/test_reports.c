/* Tests of queue/scheduler_tell and queue/scheduler_success against a real spool and LMTP peers:
 * each file call failing once on the way, and orders of an operator in between. What the reports
 * say is in tests/e2e. `one` is a.example's, where the sender is; `other` is b.example's. */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"
#include "queue/scheduler_operator.h"

#include <errno.h>
#include <string.h>

#define TWO                                                                                        \
    "relay_domains = a.example b.example\n"                                                        \
    "relay_transport = lmtp:[127.0.0.1]:%u\n"                                                      \
    "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:%u }\n"                                  \
    "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
#define QUEUE  "delivery_mode = queue\n"
#define LATE   "delay_warning_time = 1s\n"
#define SENDER "bob@a.example"
#define ANN    "ann@a.example"
#define JOE    "joe@a.example" /* refused */
#define BEN    "ben@b.example" /* hears 4xx, until it does not */

static struct queue_fixture q;

#define one   (&q.r.lmtp)
#define other (&q.other)

static bool is_empty(void)
{
    return q.scheduler.entries == NULL && queue_files(&q) == 0;
}

static unsigned reports(void)
{
    return lmtp_delivered_to(one, SENDER);
}

static void wait_until_quiet(void)
{
    loop_wait(&q.r.f, q.intake.in_flight == 0 && scheduler_idle(&q.scheduler) &&
                          lane_idle(&q.r.disk) && spool_idle(&q.spool));
    loop_idle(&q.r.f);
}

static void restart(void)
{
    queue_stop(&q);
    queue_start(&q);
}

/* What is told of, and how it comes about. */
struct scene {
    const char *name;
    const char *ini;
    const char *recipients;
    unsigned notify; /* of all */
    const char *log; /* what is logged when it is time */
    bool waits;      /* BEN hears 4xx */
    int64_t age_s;   /* it is in the spool from before */
};

static const struct scene scenes[] = {
    {"failed in part",    TWO QUEUE,      JOE " " BEN, 0,                   "status=bounced",  true,  0   },
    {"late",              TWO QUEUE LATE, BEN,         0,                   "status=deferred", true,  3600},
    {"delivered",         TWO QUEUE,      ANN,         SMTP_NOTIFY_SUCCESS, "status=sent",     false, 0   },
    {"delivered in part", TWO QUEUE,      ANN " " BEN, SMTP_NOTIFY_SUCCESS, "status=sent",     true,  0   },
};

static void submit(const struct scene *scene, struct asker *a)
{
    struct envelope *e = relay_envelope(SENDER, scene->recipients);

    for (size_t i = 0; i < e->recipient_count; i++)
        e->recipients[i].notify = scene->notify;
    queue_submit_envelope(&q, a, e, 1000);
    loop_wait(&q.r.f, a->answers == 1);
    assert_int_equal(a->verdict.code, 250);
}

static void begin(const struct scene *scene, struct asker *a)
{
    *a = (struct asker){0};
    queue_begin_two(&q, scene->ini);
    lmtp_rule(one, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    if (scene->waits)
        lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    if (!scene->age_s)
        return;
    queue_stop(&q);
    q.age_s = scene->age_s;
    queue_put_from(&q, &a->id, SENDER, scene->recipients, "");
    q.age_s = 0;
    queue_start(&q);
}

/* Whoever waits gets it; the sender was told once by then. */
static void end(const struct scene *scene)
{
    lmtp_no_rules(other);
    restart();
    loop_wait(&q.r.f, is_empty());
    if (reports() != 1)
        fail_msg("%s: %u reports", scene->name, reports());
    assert_int_equal(lmtp_delivered_to(other, BEN), strstr(scene->recipients, BEN) ? 1 : 0);
    assert_int_equal(lmtp_delivered_to(one, ANN), strstr(scene->recipients, ANN) ? 1 : 0);
    assert_int_equal(q.scheduler.part_count, 0);
    assert_int_equal(q.scheduler.tellers, 0);
    queue_end(&q);
}

/* Told while whoever waits does. */
static void told_at_once(void **state)
{
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        struct asker a;

        begin(&scenes[i], &a);
        if (!scenes[i].age_s)
            submit(&scenes[i], &a);
        if (scenes[i].notify == 0 || !scenes[i].waits) { /* else at its end */
            loop_wait(&q.r.f, reports() == 1);
            wait_until_quiet();
            assert_int_equal(queue_files(&q), scenes[i].waits ? 1 : 0);
            assert_int_equal(q.scheduler.tellers, 0);
        }
        end(&scenes[i]);
    }
}

/* Whatever fails, the sender is told once, at the next start at the latest. True: the fault was
 * met. */
static bool check_failing(const struct scene *scene, enum disk_call call, unsigned skip)
{
    struct asker a;
    bool fired;

    begin(scene, &a);
    if (!scene->age_s) {
        lmtp_down(one);
        submit(scene, &a);
    }
    disk_fault(call, skip, 1, EIO);
    if (!scene->age_s)
        lmtp_up(one);
    loop_wait(&q.r.f, relay_logged(&q.r, scene->log) >= 1);
    if (scene->age_s)
        loop_wait(&q.r.f, reports() == 1 || relay_logged(&q.r, "tried again later") > 0);
    wait_until_quiet();
    fired = disk_fault_fired();
    disk_fault_none();
    restart();
    if (scene->age_s)
        loop_wait(&q.r.f, reports() >= 1);
    wait_until_quiet();
    end(scene);
    return fired;
}

static void each_call_failing(void **state)
{
    static const enum disk_call calls[] = {DISK_PWRITEV,   DISK_WRITE,  DISK_FSYNC,
                                           DISK_FDATASYNC, DISK_RENAME, DISK_UNLINKAT};
    unsigned fired = 0;

    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        unsigned most = scenes[i].age_s ? 3 : 6; /* being late takes a while */

        for (size_t k = 0; k < sizeof calls / sizeof calls[0]; k++) {
            for (unsigned skip = 0; skip < most && check_failing(&scenes[i], calls[k], skip);
                 skip++)
                fired++;
        }
    }
    if (fired < 25)
        fail_msg("only %u faults were met", fired);
}

/* The time comes to look again while the report is made. */
static void late_is_told_of_once(void **state)
{
    struct queue_entry *first;
    struct asker a;

    begin(&scenes[1], &a);
    loop_wait(&q.r.f, q.scheduler.tellers == 1);
    while (q.scheduler.tellers > 0) {
        first = queue_entry_find(&q.scheduler, &a.id);
        assert_non_null(first);
        if (!first->delay_done)
            queue_tell_check(&q.scheduler, first);
        loop_turn(&q.r.f);
    }
    loop_wait(&q.r.f, reports() >= 1);
    wait_until_quiet();
    end(&scenes[1]);
}

/* Somebody was to be told, who got it in the end: its file is being removed when that is looked at
 * again. */
static void nobody_is_told_of_what_is_removed(void **state)
{
    struct queue_entry *first;
    struct asker a;

    begin(&scenes[2], &a);
    lmtp_rule(other, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    queue_submit_envelope(&q, &a, relay_envelope(SENDER, "eve@b.example"), 32);
    loop_wait(&q.r.f, a.answers == 1 && other->mails == 1);
    queue_entry_find(&q.scheduler, &a.id)->tell_failure = true;
    lmtp_no_rules(other);
    lmtp_release(other);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=sent") == 1);
    while ((first = queue_entry_find(&q.scheduler, &a.id))) {
        queue_tell_check(&q.scheduler, first);
        loop_turn(&q.r.f);
    }
    wait_until_quiet();
    assert_true(is_empty());
    assert_int_equal(q.scheduler.tellers, 0);
    assert_int_equal(q.scheduler.part_count, 0);
    queue_end(&q);
}

/* ---- delivered directly ---- */

static void delivered_directly(void **state)
{
    static const struct scene scene = {.recipients = ANN, .notify = SMTP_NOTIFY_SUCCESS};
    struct asker a = {0};

    queue_begin_two(&q, TWO);
    submit(&scene, &a);
    loop_wait(&q.r.f, is_empty() && reports() == 1);
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    assert_int_equal(relay_logged(&q.r, "sender delivery status notification: "), 1);
    queue_end(&q);
}

/* The mail is delivered, so the answer is 250, and what is lost is said. */
static void each_call_failing_directly(void **state)
{
    static const enum disk_call calls[] = {DISK_PWRITEV, DISK_FSYNC, DISK_RENAME};
    static const struct scene scene = {.recipients = ANN, .notify = SMTP_NOTIFY_SUCCESS};

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct asker a = {0};

        queue_begin_two(&q, TWO);
        disk_fault(calls[i], 0, 1, EIO);
        submit(&scene, &a);
        wait_until_quiet();
        assert_true(disk_fault_fired());
        disk_fault_none();
        assert_int_equal(relay_logged(&q.r, "its sender is not told that it was delivered"), 1);
        restart();
        loop_wait(&q.r.f, is_empty());
        assert_int_equal(lmtp_delivered_to(one, ANN), 1);
        assert_int_equal(reports(), 0);
        queue_end(&q);
    }
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

/* After so many turns of the loop since the peer refused Joe. */
static void check_order(enum queue_order what, unsigned turns)
{
    struct asker a;

    begin(&scenes[0], &a);
    submit(&scenes[0], &a);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=bounced") == 1);
    for (unsigned i = 0; i < turns; i++)
        loop_turn(&q.r.f);
    lmtp_no_rules(one);
    lmtp_no_rules(other);
    order(what, &a.id);
    wait_until_quiet();
    for (unsigned i = 0; i < 4 && !is_empty(); i++) {
        order(QUEUE_ORDER_RELEASE, &a.id);
        scheduler_flush(&q.scheduler, NULL);
        loop_wait(&q.r.f, is_empty() || (scheduler_idle(&q.scheduler) && q.scheduler.on_hold == 1));
    }
    assert_true(is_empty());
    if (reports() > 2 || lmtp_delivered_to(one, JOE) > 1 || lmtp_delivered_to(other, BEN) > 1 ||
        (what != QUEUE_ORDER_DELETE && reports() + lmtp_delivered_to(one, JOE) < 1))
        fail_msg("order %d after %u turns: %u reports, Joe %u times, Ben %u times", (int)what,
                 turns, reports(), lmtp_delivered_to(one, JOE), lmtp_delivered_to(other, BEN));
    assert_int_equal(q.scheduler.part_count, 0);
    assert_int_equal(q.scheduler.tellers, 0);
    queue_end(&q);
}

static void orders_in_between(void **state)
{
    static const enum queue_order orders[] = {QUEUE_ORDER_REQUEUE, QUEUE_ORDER_HOLD,
                                              QUEUE_ORDER_RELEASE, QUEUE_ORDER_EXPIRE,
                                              QUEUE_ORDER_DELETE};

    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        for (unsigned turns = 0; turns < 14; turns++)
            check_order(orders[i], turns);
    }
}

/* A reload that changes who goes where comes while the sender is told. */
static void a_reload_in_between(void **state)
{
    for (unsigned turns = 0; turns < 14; turns++) {
        struct asker a;

        begin(&scenes[0], &a);
        submit(&scenes[0], &a);
        loop_wait(&q.r.f, relay_logged(&q.r, "status=bounced") == 1);
        for (unsigned i = 0; i < turns; i++)
            loop_turn(&q.r.f);
        queue_reload_two(&q, "relay_domains = a.example b.example\n" QUEUE "#%u\n"
                             "relay_transport = lmtp:[127.0.0.1]:%u\n");
        lmtp_no_rules(other);
        loop_wait(&q.r.f, is_empty());
        assert_int_equal(reports() + lmtp_delivered_to(other, SENDER), 1);
        assert_int_equal(lmtp_delivered_to(other, BEN), 1);
        assert_int_equal(q.scheduler.tellers, 0);
        queue_end(&q);
    }
}

/* ---- what a former process left ---- */

#define FAILED_JOE "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
#define LATER_BEN  "attempt 1763770300 rcpt=1 deferred 4.2.0 \"450 4.2.0 later\"\n"
#define FAILED_BEN "attempt 1763770300 rcpt=1 failed 5.1.1 \"550 5.1.1 unknown\"\n"

static void put(const char *recipients, const char *format, const char *then, bool with_report)
{
    struct queue_id id, report = {"06401F3A9C2E8001"};
    char records[700];
    struct text t;

    queue_begin_two(&q, TWO QUEUE);
    queue_stop(&q);
    if (with_report)
        queue_put_from(&q, &report, "", SENDER, "");
    text_init(&t, records, sizeof records);
    text_printf(&t, "%s \"%s\"\n%s", format, report.text, then);
    queue_put_from(&q, &id, SENDER, recipients, records);
    queue_start(&q);
    loop_wait(&q.r.f, is_empty());
}

/* The report is about Joe alone, who was told of; Ben failed after it was begun. */
static void what_failed_later_is_told_of(void **state)
{
    static const char *const begun[] = {FAILED_JOE LATER_BEN "bounce 1763770300"};

    put(JOE " " BEN, begun[0], FAILED_BEN, true);
    assert_int_equal(reports(), 2); /* the one that was there, and Ben's */
    queue_end(&q);
    put(JOE " " BEN, begun[0], FAILED_BEN, false);
    assert_int_equal(reports(), 1); /* of both */
    queue_end(&q);
}

static void a_delay_that_was_told_of(void **state)
{
    put(BEN, "delay 1763770300", "", true);
    assert_int_equal(reports(), 1);
    assert_int_equal(lmtp_delivered_to(other, BEN), 1);
    queue_end(&q);
}

static void a_success_that_was_told_of(void **state)
{
    put(ANN,
        "owed 1763770300 rcpt=0 delivered 2.0.0 \"250 Ok\"\n"
        "attempt 1763770300 rcpt=0 sent 2.0.0 \"250 Ok\"\nsuccess 1763770300",
        "", true);
    assert_int_equal(reports(), 1);
    assert_int_equal(lmtp_delivered_to(one, ANN), 0);
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_at_once),
        cmocka_unit_test(each_call_failing),
        cmocka_unit_test(late_is_told_of_once),
        cmocka_unit_test(nobody_is_told_of_what_is_removed),
        cmocka_unit_test(delivered_directly),
        cmocka_unit_test(each_call_failing_directly),
        cmocka_unit_test(orders_in_between),
        cmocka_unit_test(a_reload_in_between),
        cmocka_unit_test(what_failed_later_is_told_of),
        cmocka_unit_test(a_delay_that_was_told_of),
        cmocka_unit_test(a_success_that_was_told_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
