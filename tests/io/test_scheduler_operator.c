/* Tests of queue/scheduler_operator and scheduler_effect: orders to messages in each state, while
 * deliveries run, while the disk fails; against a real spool and an LMTP peer. */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"
#include "queue/scheduler_operator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACK_OFF "delivery_mode = queue\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
#define ANN      "ann@example.com"
#define JOE      "joe@example.com"

static struct queue_fixture q;

struct answer {
    struct queue_asker asker;
    struct queue_order_result result; /* its pointers are no longer valid */
    unsigned answers;
    unsigned done; /* QUEUE_ORDER_BITs of the first id */
};

static void on_done(void *ctx, const struct queue_order_result *result)
{
    struct answer *a = ctx;

    a->answers++;
    a->result = *result;
    a->done = result->count > 0 ? result->done[0] : 0;
}

static void give(struct answer *a, const char *words)
{
    struct queue_order_request r;

    *a = (struct answer){
        .asker = {.done = on_done, .ctx = a}
    };
    assert_true(queue_order_parse(span_of(words), &r));
    assert_true(scheduler_order(&q.scheduler, &r, &a->asker));
}

/* "hold" and an id; the default queues. */
static void start_order(struct answer *a, enum queue_order order, const struct queue_id *id)
{
    char words[200];
    struct text t;

    text_init(&t, words, sizeof words);
    queue_order_format(&t, order, queue_order_queues(order));
    text_cstr(&t, id ? id->text : "ALL");
    give(a, words);
}

static void wait_for(struct answer *a)
{
    loop_wait(&q.r.f, a->answers == 1);
    assert_null(a->asker.batch);
}

/* True when it was done. */
static bool ordered(enum queue_order order, const struct queue_id *id)
{
    struct answer a;

    start_order(&a, order, id);
    wait_for(&a);
    assert_int_equal(a.result.failed, 0);
    assert_false(a.result.stopped);
    return a.done != 0;
}

#define HELD(id)     ordered(QUEUE_ORDER_HOLD, id)
#define RELEASED(id) ordered(QUEUE_ORDER_RELEASE, id)
#define DELETED(id)  ordered(QUEUE_ORDER_DELETE, id)
#define REQUEUED(id) ordered(QUEUE_ORDER_REQUEUE, id)
#define EXPIRED(id)  ordered(QUEUE_ORDER_EXPIRE, id)

static enum queue_state state_of(const struct queue_id *id)
{
    const struct queue_entry *e = queue_entry_find(&q.scheduler, id);

    assert_non_null(e);
    return e->state;
}

static bool is_there(const struct queue_id *id)
{
    return queue_entry_find(&q.scheduler, id) != NULL;
}

static void submit(struct asker *a, const char *recipients)
{
    assert_int_equal(queue_submitted(&q, a, recipients), 250);
}

static unsigned delivered_to(const char *recipient)
{
    return lmtp_delivered_to(&q.r.lmtp, recipient);
}

static void wait_until_quiet(void)
{
    loop_wait(&q.r.f, q.intake.in_flight == 0 && scheduler_idle(&q.scheduler));
}

static void wait_until_empty(void)
{
    loop_wait(&q.r.f, q.scheduler.entries == NULL && queue_files(&q) == 0);
}

static void assert_file_has(const struct queue_id *id, const char *words)
{
    char *file = queue_file(&q, id);

    if (!strstr(file, words))
        fail_msg("\"%s\" is not in:\n%s", words, file);
    free(file);
}

static void restart(void)
{
    queue_stop(&q);
    queue_start(&q);
}

/* One message in each state that waits: READY (its destination is down), WAITING (4xx). */
static void begin_ready(struct asker *a)
{
    queue_begin_down(&q, BACK_OFF);
    submit(a, ANN);
    wait_until_quiet();
    assert_int_equal(state_of(&a->id), QUEUE_READY);
}

static void begin_waiting(struct asker *a)
{
    queue_begin(&q, BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later");
    submit(a, ANN);
    loop_wait(&q.r.f, is_there(&a->id) && state_of(&a->id) == QUEUE_WAITING);
    wait_until_quiet();
    lmtp_no_rules(&q.r.lmtp);
}

/* RUNNING, and the peer says nothing at `event`. */
static void begin_running(struct asker *a, const char *event)
{
    queue_begin(&q, BACK_OFF);
    lmtp_rule(&q.r.lmtp, event, LMTP_SILENCE, NULL)->times = 1;
    submit(a, ANN);
    loop_wait(&q.r.f, q.r.lmtp.rules[0].used == 1);
    assert_int_equal(state_of(&a->id), QUEUE_RUNNING);
}

static void up_again(void)
{
    if (!q.r.lmtp.listening)
        lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, q.relay.upstreams->health == UPSTREAM_UP);
}

/* ---- hold and release ---- */

static void check_hold(struct asker *a)
{
    assert_false(RELEASED(&a->id));
    assert_true(HELD(&a->id));
    assert_int_equal(state_of(&a->id), QUEUE_HOLD);
    assert_int_equal(q.scheduler.on_hold, 1);
    assert_int_equal(q.scheduler.operator_needed, 0);
    assert_file_has(&a->id, "\nhold ");
    assert_int_equal(relay_logged(&q.r, "placed on hold"), 1);
    assert_false(HELD(&a->id));
    assert_int_equal(scheduler_flush(&q.scheduler, &a->id), 0);
    restart();
    assert_int_equal(state_of(&a->id), QUEUE_HOLD);
    up_again();
    loop_idle(&q.r.f);
    assert_int_equal(delivered_to(ANN), 0);
    assert_true(RELEASED(&a->id));
    assert_int_equal(relay_logged(&q.r, "released from hold"), 1);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(q.scheduler.on_hold, 0);
    assert_false(RELEASED(&a->id));
    queue_end(&q);
}

static void hold_what_is_ready(void **state)
{
    struct asker a = {0};

    begin_ready(&a);
    check_hold(&a);
}

static void hold_what_waits(void **state)
{
    struct asker a = {0};

    begin_waiting(&a);
    lmtp_down(&q.r.lmtp);
    check_hold(&a);
}

static void hold_before_the_dot_takes_it_back(void **state)
{
    struct asker a = {0};

    begin_running(&a, "RCPT");
    assert_true(HELD(&a.id));
    loop_wait(&q.r.f, state_of(&a.id) == QUEUE_HOLD);
    assert_int_equal(relay_logged(&q.r, "status=deferred (placed on hold by the operator)"), 1);
    lmtp_release(&q.r.lmtp);
    loop_idle(&q.r.f);
    assert_int_equal(delivered_to(ANN), 0);
    assert_true(RELEASED(&a.id));
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void hold_after_the_dot_lets_it_go(void **state)
{
    struct asker a = {0};

    begin_running(&a, ".");
    assert_true(HELD(&a.id));
    loop_idle(&q.r.f);
    assert_int_equal(state_of(&a.id), QUEUE_RUNNING);
    assert_false(HELD(&a.id)); /* it is as ordered */
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(relay_logged(&q.r, "status=sent"), 1);
    assert_int_equal(q.scheduler.on_hold, 0);
    queue_end(&q);
}

static void hold_after_the_dot_and_the_answer_is_not_yet(void **state)
{
    struct asker a = {0};

    begin_running(&a, ".");
    assert_true(HELD(&a.id));
    lmtp_release_saying(&q.r.lmtp, "452 4.2.2 full");
    loop_wait(&q.r.f, state_of(&a.id) == QUEUE_HOLD);
    assert_int_equal(q.scheduler.operator_needed, 0);
    restart();
    assert_int_equal(state_of(&a.id), QUEUE_HOLD);
    queue_end(&q);
}

static void hold_and_release_while_it_runs(void **state)
{
    struct asker a = {0};

    begin_running(&a, ".");
    assert_true(HELD(&a.id));
    assert_true(RELEASED(&a.id));
    lmtp_release_saying(&q.r.lmtp, "452 4.2.2 full");
    loop_wait(&q.r.f, state_of(&a.id) == QUEUE_WAITING);
    queue_end(&q);
}

/* The second batch is not begun. */
static void hold_between_batches(void **state)
{
    struct asker a = {0};

    queue_begin(&q, BACK_OFF "default_destination_recipient_limit = 1\n");
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, q.r.lmtp.rules[0].used == 1);
    assert_true(HELD(&a.id));
    lmtp_release(&q.r.lmtp);
    loop_wait(&q.r.f, state_of(&a.id) == QUEUE_HOLD);
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 0);
    assert_true(RELEASED(&a.id));
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

/* ---- released after failure, after expiry ---- */

static void what_failed_is_tried_again_when_released(void **state)
{
    struct asker a = {0};

    queue_begin(&q, BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
    submit(&a, ANN);
    loop_wait(&q.r.f, q.scheduler.operator_needed == 1);
    assert_true(RELEASED(&a.id)); /* in vain */
    loop_wait(&q.r.f, relay_logged(&q.r, "status=bounced") == 2);
    loop_wait(&q.r.f, state_of(&a.id) == QUEUE_HOLD);
    assert_int_equal(q.scheduler.operator_needed, 1);
    wait_until_quiet();
    lmtp_no_rules(&q.r.lmtp);
    assert_true(RELEASED(&a.id));
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(q.scheduler.operator_needed, 0);
    queue_end(&q);
}

/* Released, then nothing happens until a crash: the file says it too. */
static void a_release_lasts(void **state)
{
    struct queue_id failed, expired;

    queue_begin_down(&q, BACK_OFF "maximal_queue_lifetime = 1d\n");
    queue_stop(&q);
    queue_put(&q, &failed, ANN,
              "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n"
              "hold 1763770300 \"failed\"\n");
    q.age_s = 2 * 86400;
    queue_put(&q, &expired, JOE, "hold 1763770300 \"expired\"\n");
    queue_start(&q);
    loop_wait(&q.r.f, q.scheduler.operator_needed == 2);
    assert_true(RELEASED(&failed));
    assert_true(RELEASED(&expired));
    assert_int_equal(q.scheduler.operator_needed, 0);
    uv_timer_start(&q.scheduler.expiry_timer, q.scheduler.expiry_timer.timer_cb, 0, 10);
    loop_idle(&q.r.f);
    assert_int_equal(q.scheduler.on_hold, 0); /* it has a lifetime again */
    restart();
    uv_timer_start(&q.scheduler.expiry_timer, q.scheduler.expiry_timer.timer_cb, 0, 10);
    loop_idle(&q.r.f);
    assert_int_equal(q.scheduler.on_hold, 0);
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

/* ---- delete ---- */

static void check_deleted(struct asker *a)
{
    assert_true(DELETED(&a->id));
    assert_false(is_there(&a->id));
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(relay_logged(&q.r, "postsuper[1]: "), relay_logged(&q.r, ": removed"));
    assert_false(DELETED(&a->id));
    up_again();
    restart();
    loop_idle(&q.r.f);
    assert_int_equal(delivered_to(ANN), 0);
    queue_end(&q);
}

static void delete_what_is_ready(void **state)
{
    struct asker a = {0};

    begin_ready(&a);
    check_deleted(&a);
}

static void delete_what_waits(void **state)
{
    struct asker a = {0};

    begin_waiting(&a);
    check_deleted(&a);
}

static void delete_what_is_on_hold(void **state)
{
    struct asker a = {0};

    begin_ready(&a);
    assert_true(HELD(&a.id));
    assert_true(DELETED(&a.id));
    assert_false(is_there(&a.id));
    assert_int_equal(q.scheduler.on_hold, 0);
    queue_end(&q);
}

static void delete_before_the_dot_takes_it_back(void **state)
{
    struct asker a = {0};

    begin_running(&a, "RCPT");
    assert_true(DELETED(&a.id));
    wait_until_quiet();
    assert_false(is_there(&a.id));
    assert_int_equal(queue_files(&q), 0);
    lmtp_release(&q.r.lmtp);
    loop_idle(&q.r.f);
    assert_int_equal(delivered_to(ANN), 0);
    assert_int_equal(relay_logged(&q.r, "cannot be recorded"), 0);
    queue_end(&q);
}

/* The answer does not wait for the upstream; what comes of the delivery is logged, and makes no
 * file. */
static void check_delete_after_the_dot(const char *reply, const char *status)
{
    struct asker a = {0};

    begin_running(&a, ".");
    assert_true(DELETED(&a.id));
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(state_of(&a.id), QUEUE_RUNNING);
    assert_false(DELETED(&a.id));
    assert_false(HELD(&a.id));
    lmtp_release_saying(&q.r.lmtp, reply);
    loop_wait(&q.r.f, !is_there(&a.id));
    wait_until_quiet();
    assert_int_equal(relay_logged(&q.r, status), 1);
    assert_int_equal(relay_logged(&q.r, "qmgr[1]: "), relay_logged(&q.r, "queue active") + 1);
    assert_int_equal(queue_files(&q), 0);
    restart();
    assert_null(q.scheduler.entries);
    queue_end(&q);
}

static void delete_after_the_dot(void **state)
{
    check_delete_after_the_dot("250 2.0.0 Saved", "status=sent");
    check_delete_after_the_dot("452 4.2.2 full", "status=deferred");
    check_delete_after_the_dot("552 5.2.2 full", "status=bounced");
}

static void delete_between_batches(void **state)
{
    struct asker a = {0};

    queue_begin(&q, BACK_OFF "default_destination_recipient_limit = 1\n");
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, q.r.lmtp.rules[0].used == 1);
    assert_true(DELETED(&a.id));
    lmtp_release(&q.r.lmtp);
    loop_wait(&q.r.f, !is_there(&a.id));
    loop_idle(&q.r.f);
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 0);
    queue_end(&q);
}

static void delete_while_its_file_is_read(void **state)
{
    struct asker a = {0};
    struct answer answer;

    begin_waiting(&a);
    scheduler_flush(&q.scheduler, &a.id);
    assert_int_equal(state_of(&a.id), QUEUE_RUNNING); /* loading it */
    start_order(&answer, QUEUE_ORDER_DELETE, &a.id);
    wait_for(&answer);
    wait_until_quiet();
    assert_false(is_there(&a.id));
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(relay_logged(&q.r, "its file is gone"), 0);
    assert_int_equal(delivered_to(ANN), 0);
    queue_end(&q);
}

static void a_file_that_cannot_be_deleted(void **state)
{
    struct asker a = {0};
    struct answer answer;

    begin_ready(&a);
    disk_fault(DISK_UNLINKAT, 0, 1, EROFS);
    start_order(&answer, QUEUE_ORDER_DELETE, &a.id);
    wait_for(&answer);
    assert_int_equal(answer.done, 0);
    assert_int_equal(answer.result.failed, 1);
    assert_int_equal(answer.result.first_rc, -EROFS);
    assert_string_equal(answer.result.first_id.text, a.id.text);
    assert_int_equal(relay_logged(&q.r, "the order cannot be recorded: Read-only"), 1);
    assert_int_equal(state_of(&a.id), QUEUE_READY);
    assert_true(HELD(&a.id));
    disk_fault(DISK_UNLINKAT, 0, 1, EROFS);
    start_order(&answer, QUEUE_ORDER_DELETE, &a.id);
    wait_for(&answer);
    assert_int_equal(state_of(&a.id), QUEUE_HOLD);
    assert_int_equal(q.scheduler.on_hold, 1);
    assert_true(RELEASED(&a.id));
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

/* It runs, ends, and only then its removal fails: nothing that was found out is lost. */
static void a_running_one_that_cannot_be_deleted(void **state)
{
    struct asker a = {0};
    struct answer answer;

    queue_begin(&q, BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later")->contains = "joe@";
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, q.r.lmtp.rules[1].used == 1);
    disk_fault(DISK_UNLINKAT, 0, 1, EIO);
    start_order(&answer, QUEUE_ORDER_DELETE, &a.id);
    wait_for(&answer);
    assert_int_equal(answer.result.failed, 1);
    lmtp_release(&q.r.lmtp);
    loop_wait(&q.r.f, state_of(&a.id) == QUEUE_WAITING);
    lmtp_no_rules(&q.r.lmtp);
    scheduler_flush(&q.scheduler, NULL);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

/* An unlink that is not synced is not told as done. */
static void a_deletion_that_may_not_last(void **state)
{
    struct asker a = {0};
    struct answer answer;

    begin_ready(&a);
    disk_fault(DISK_FSYNC, 0, 1, EIO);
    start_order(&answer, QUEUE_ORDER_DELETE, &a.id);
    wait_for(&answer);
    assert_int_equal(answer.result.failed, 1);
    assert_int_equal(answer.result.first_rc, -EIO);
    assert_int_equal(disk_count(DISK_FSYNC), 1);
    queue_end(&q);
}

/* It may be gone, it may not; when it is seen to be gone, nobody has to decide about it any more.
 */
static void a_deletion_on_hold_that_may_not_last(void **state)
{
    struct asker a = {0};
    struct answer answer;

    begin_ready(&a);
    assert_true(HELD(&a.id));
    disk_fault(DISK_FSYNC, 0, 1, EIO);
    start_order(&answer, QUEUE_ORDER_DELETE, &a.id);
    wait_for(&answer);
    assert_int_equal(answer.result.failed, 1);
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(q.scheduler.on_hold, 1);
    assert_false(RELEASED(&a.id));
    assert_int_equal(q.scheduler.on_hold, 0);
    assert_false(is_there(&a.id));
    queue_end(&q);
}

/* ---- requeue ---- */

static void requeue_what_waits(void **state)
{
    struct asker a = {0};

    begin_waiting(&a);
    assert_true(REQUEUED(&a.id));
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(relay_logged(&q.r, "requeued"), 1);
    assert_false(REQUEUED(&a.id));
    queue_end(&q);
}

static void requeue_what_is_on_hold(void **state)
{
    struct asker a = {0};

    begin_ready(&a);
    assert_true(HELD(&a.id));
    assert_true(REQUEUED(&a.id));
    assert_int_equal(q.scheduler.on_hold, 0);
    restart();
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void requeue_tries_what_failed(void **state)
{
    struct asker a = {0};

    queue_begin(&q, BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later")->contains = "ann@";
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, is_there(&a.id) && state_of(&a.id) == QUEUE_WAITING);
    wait_until_quiet();
    lmtp_no_rules(&q.r.lmtp);
    assert_true(REQUEUED(&a.id));
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

static void requeue_while_it_runs(void **state)
{
    struct asker a = {0};

    begin_running(&a, ".");
    assert_true(REQUEUED(&a.id));
    lmtp_release_saying(&q.r.lmtp, "452 4.2.2 full");
    wait_until_empty(); /* at once, not in an hour */
    assert_int_equal(relay_logged(&q.r, "status=deferred"), 1);
    assert_int_equal(relay_logged(&q.r, "status=sent"), 1);
    queue_end(&q);
}

/* It fails for good in the run that was under way: then it lies on hold, and is not taken for
 * delivered. */
static void requeue_while_it_fails(void **state)
{
    struct asker a = {0};

    begin_running(&a, ".");
    assert_true(REQUEUED(&a.id));
    lmtp_release_saying(&q.r.lmtp, "552 5.2.2 full");
    loop_wait(&q.r.f, q.scheduler.operator_needed == 1);
    wait_until_quiet();
    assert_int_equal(queue_files(&q), 1);
    assert_int_equal(state_of(&a.id), QUEUE_HOLD);
    assert_true(REQUEUED(&a.id));
    wait_until_empty();
    assert_int_equal(relay_logged(&q.r, "status=sent"), 1);
    queue_end(&q);
}

/* ---- expire ---- */

static void check_expired(struct asker *a)
{
    assert_true(EXPIRED(&a->id));
    loop_wait(&q.r.f, state_of(&a->id) == QUEUE_HOLD);
    wait_until_quiet();
    assert_int_equal(relay_logged(&q.r, "status=force-expired, kept on hold"), 1);
    assert_file_has(&a->id, "\nexpire ");
    assert_file_has(&a->id, " \"expired\"\n");
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_false(EXPIRED(&a->id));
    restart();
    assert_int_equal(state_of(&a->id), QUEUE_HOLD);
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_true(RELEASED(&a->id)); /* which takes it back */
    up_again();
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void expire_what_is_ready(void **state)
{
    struct asker a = {0};

    begin_ready(&a);
    check_expired(&a);
}

static void expire_what_waits(void **state)
{
    struct asker a = {0};

    begin_waiting(&a);
    check_expired(&a);
}

static void expire_while_it_runs(void **state)
{
    struct asker a = {0};

    begin_running(&a, ".");
    assert_true(EXPIRED(&a.id));
    lmtp_release_saying(&q.r.lmtp, "452 4.2.2 full");
    loop_wait(&q.r.f, state_of(&a.id) == QUEUE_HOLD);
    assert_int_equal(relay_logged(&q.r, "status=force-expired"), 1);
    queue_end(&q);
}

static void expire_on_hold_waits_for_the_release(void **state)
{
    struct asker a = {0};

    begin_ready(&a);
    assert_true(HELD(&a.id));
    assert_true(EXPIRED(&a.id));
    assert_int_equal(relay_logged(&q.r, "status=force-expired"), 0);
    restart();
    up_again();
    assert_true(RELEASED(&a.id));
    loop_wait(&q.r.f, q.scheduler.operator_needed == 1);
    wait_until_quiet();
    assert_int_equal(relay_logged(&q.r, "status=force-expired"), 1);
    assert_int_equal(delivered_to(ANN), 0);
    assert_true(RELEASED(&a.id));
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

/* A crash between the order and its end. */
static void expire_is_carried_out_after_a_start(void **state)
{
    struct queue_id id;

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    queue_put(&q, &id, ANN, "expire 1763770300 \"by the operator\"\n");
    queue_start(&q);
    loop_wait(&q.r.f, state_of(&id) == QUEUE_HOLD);
    assert_int_equal(delivered_to(ANN), 0);
    assert_int_equal(relay_logged(&q.r, "status=force-expired"), 1);
    queue_end(&q);
}

static void expire_and_release(void **state)
{
    struct asker a = {0};
    struct answer answer;

    begin_ready(&a);
    assert_true(HELD(&a.id));
    start_order(&answer, QUEUE_ORDER_EXPIRE_RELEASE, &a.id);
    wait_for(&answer);
    assert_int_equal(answer.done,
                     QUEUE_ORDER_BIT(QUEUE_ORDER_EXPIRE) | QUEUE_ORDER_BIT(QUEUE_ORDER_RELEASE));
    loop_wait(&q.r.f, q.scheduler.operator_needed == 1);
    wait_until_quiet();
    assert_false(ordered(QUEUE_ORDER_EXPIRE_RELEASE, &a.id));
    queue_end(&q);
}

/* ---- claimed ---- */

static void settle(const struct queue_id *id, enum spool_result result)
{
    struct envelope *e = relay_envelope("bob@example.org", ANN);
    struct records records = {NULL, 0, 0, false};

    e->id = *id;
    records_add(&records, e, 0, result, "2.0.0", "words", 1763770300);
    scheduler_settle(&q.scheduler, e, &records, false, false);
    envelope_free(&e);
}

static void claim(struct queue_id *id)
{
    struct envelope *e = relay_envelope("bob@example.org", ANN);

    queue_put(&q, id, ANN, "");
    e->id = *id;
    assert_true(scheduler_add(&q.scheduler, e, QUEUE_FROM_CLAIMED));
    envelope_free(&e);
}

static void orders_to_claimed_mail(void **state)
{
    struct queue_id deleted, held, sent;

    queue_begin(&q, BACK_OFF);
    claim(&deleted);
    claim(&held);
    claim(&sent);
    assert_true(DELETED(&deleted));
    assert_true(HELD(&held));
    assert_true(DELETED(&sent));
    assert_int_equal(queue_files(&q), 1);
    settle(&deleted, SPOOL_DEFERRED);
    settle(&held, SPOOL_DEFERRED);
    settle(&sent, SPOOL_SENT);
    wait_until_quiet();
    assert_false(is_there(&deleted));
    assert_false(is_there(&sent));
    assert_int_equal(state_of(&held), QUEUE_HOLD);
    assert_int_equal(queue_files(&q), 1);
    queue_end(&q);
}

/* ---- the disk ---- */

static void a_hold_that_cannot_be_written(void **state)
{
    struct asker a = {0};
    struct answer answer;

    begin_ready(&a);
    disk_fault(DISK_WRITE, 0, 1, ENOSPC);
    start_order(&answer, QUEUE_ORDER_HOLD, &a.id);
    wait_for(&answer);
    assert_int_equal(answer.done, 0);
    assert_int_equal(answer.result.failed, 1);
    assert_int_equal(answer.result.first_rc, -ENOSPC);
    assert_int_equal(state_of(&a.id), QUEUE_READY);
    disk_fault(DISK_FDATASYNC, 0, 1, EIO);
    start_order(&answer, QUEUE_ORDER_HOLD, &a.id);
    wait_for(&answer);
    assert_int_equal(answer.result.failed, 1);
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1 || q.scheduler.entries == NULL);
    queue_end(&q);
}

/* What could not be written yet is, before it comes to rest. */
static void hold_with_results_that_are_not_written(void **state)
{
    struct asker a = {0};

    queue_begin(&q, BACK_OFF);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "joe@";
    disk_fault(DISK_WRITE, 0, 1, ENOSPC);
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, relay_logged(&q.r, "cannot be recorded") == 1);
    wait_until_quiet();
    lmtp_no_rules(&q.r.lmtp);
    assert_true(HELD(&a.id));
    assert_int_equal(state_of(&a.id), QUEUE_WAITING);
    scheduler_flush(&q.scheduler, NULL);
    loop_wait(&q.r.f, state_of(&a.id) == QUEUE_HOLD);
    assert_file_has(&a.id, "rcpt=0 sent");
    assert_true(RELEASED(&a.id));
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

/* ---- many ---- */

static void all_of_them(void **state)
{
    struct queue_id ids[600];
    struct answer a;

    queue_begin_down(&q, BACK_OFF);
    queue_stop(&q);
    for (size_t i = 0; i < 600; i++)
        queue_put(&q, &ids[i], ANN, "");
    queue_start(&q);
    give(&a, "hold active,deferred ALL");
    wait_for(&a);
    assert_true(a.result.all);
    assert_int_equal(a.result.totals[QUEUE_ORDER_HOLD], 600);
    assert_int_equal(q.scheduler.on_hold, 600);
    give(&a, "delete deferred ALL");
    wait_for(&a);
    assert_int_equal(a.result.totals[QUEUE_ORDER_DELETE], 0);
    give(&a, "release hold ALL");
    wait_for(&a);
    assert_int_equal(a.result.totals[QUEUE_ORDER_RELEASE], 600);
    disk_fault_none();
    give(&a, "delete active,deferred,hold ALL");
    wait_for(&a);
    assert_int_equal(a.result.totals[QUEUE_ORDER_DELETE], 600);
    assert_in_range(disk_count(DISK_FSYNC), 1, 40); /* shared */
    assert_null(q.scheduler.entries);
    assert_int_equal(queue_files(&q), 0);
    give(&a, "delete active,deferred,hold ALL");
    assert_int_equal(a.answers, 1);
    queue_end(&q);
}

/* Two commands at once, and one id twice: one after the other. */
static void orders_that_cross(void **state)
{
    struct asker a = {0};
    struct answer answers[4];
    char words[200];

    begin_ready(&a);
    start_order(&answers[0], QUEUE_ORDER_HOLD, &a.id);
    start_order(&answers[1], QUEUE_ORDER_REQUEUE, &a.id);
    snprintf(words, sizeof words, "delete active,deferred,hold %s %s", a.id.text, a.id.text);
    give(&answers[2], words);
    start_order(&answers[3], QUEUE_ORDER_HOLD, &a.id);
    for (size_t i = 0; i < 4; i++)
        wait_for(&answers[i]);
    assert_int_equal(answers[0].done, QUEUE_ORDER_BIT(QUEUE_ORDER_HOLD));
    assert_int_equal(answers[1].done, QUEUE_ORDER_BIT(QUEUE_ORDER_REQUEUE));
    assert_int_equal(answers[2].done, QUEUE_ORDER_BIT(QUEUE_ORDER_DELETE));
    assert_int_equal(answers[2].result.totals[QUEUE_ORDER_DELETE], 1);
    assert_int_equal(answers[3].done, 0);
    assert_int_equal(queue_files(&q), 0);
    queue_end(&q);
}

static void nobody_waits_for_the_end(void **state)
{
    struct asker a = {0};
    struct answer answer;

    begin_ready(&a);
    start_order(&answer, QUEUE_ORDER_HOLD, &a.id);
    scheduler_order_forget(&answer.asker);
    wait_until_quiet();
    assert_int_equal(answer.answers, 0);
    assert_int_equal(state_of(&a.id), QUEUE_HOLD);
    scheduler_order_forget(&answer.asker);
    queue_end(&q);
}

static void stopping_in_the_middle(void **state)
{
    struct queue_id ids[100];
    struct answer a;

    queue_begin_down(&q, BACK_OFF);
    queue_stop(&q);
    for (size_t i = 0; i < 100; i++)
        queue_put(&q, &ids[i], ANN, "");
    queue_start(&q);
    give(&a, "hold deferred ALL");
    assert_false(scheduler_idle(&q.scheduler));
    queue_stop(&q);
    assert_int_equal(a.answers, 1);
    assert_true(a.result.stopped);
    assert_in_range(a.result.totals[QUEUE_ORDER_HOLD], 1, 99);
    queue_start(&q);
    assert_int_equal(q.scheduler.on_hold, a.result.totals[QUEUE_ORDER_HOLD]);
    queue_end(&q);
}

/* A message that is still in memory for its first run obeys, too. */
static void fresh_mail_in_memory(void **state)
{
    struct asker a[8] = {{.answers = 0}};
    unsigned held = 0;

    queue_begin(&q, BACK_OFF "default_destination_concurrency_limit = 1\n");
    lmtp_rule(&q.r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    for (size_t i = 0; i < 8; i++)
        submit(&a[i], ANN);
    loop_wait(&q.r.f, q.r.lmtp.rules[0].used == 1);
    for (size_t i = 1; i < 8; i++)
        held += HELD(&a[i].id);
    assert_int_equal(held, 7);
    lmtp_release(&q.r.lmtp);
    loop_wait(&q.r.f, delivered_to(ANN) == 1);
    wait_until_quiet();
    loop_idle(&q.r.f);
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(q.scheduler.on_hold, 7);
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hold_what_is_ready),
        cmocka_unit_test(hold_what_waits),
        cmocka_unit_test(hold_before_the_dot_takes_it_back),
        cmocka_unit_test(hold_after_the_dot_lets_it_go),
        cmocka_unit_test(hold_after_the_dot_and_the_answer_is_not_yet),
        cmocka_unit_test(hold_and_release_while_it_runs),
        cmocka_unit_test(hold_between_batches),
        cmocka_unit_test(what_failed_is_tried_again_when_released),
        cmocka_unit_test(a_release_lasts),
        cmocka_unit_test(delete_what_is_ready),
        cmocka_unit_test(delete_what_waits),
        cmocka_unit_test(delete_what_is_on_hold),
        cmocka_unit_test(delete_before_the_dot_takes_it_back),
        cmocka_unit_test(delete_after_the_dot),
        cmocka_unit_test(delete_between_batches),
        cmocka_unit_test(delete_while_its_file_is_read),
        cmocka_unit_test(a_file_that_cannot_be_deleted),
        cmocka_unit_test(a_running_one_that_cannot_be_deleted),
        cmocka_unit_test(a_deletion_that_may_not_last),
        cmocka_unit_test(a_deletion_on_hold_that_may_not_last),
        cmocka_unit_test(requeue_what_waits),
        cmocka_unit_test(requeue_what_is_on_hold),
        cmocka_unit_test(requeue_tries_what_failed),
        cmocka_unit_test(requeue_while_it_runs),
        cmocka_unit_test(requeue_while_it_fails),
        cmocka_unit_test(expire_what_is_ready),
        cmocka_unit_test(expire_what_waits),
        cmocka_unit_test(expire_while_it_runs),
        cmocka_unit_test(expire_on_hold_waits_for_the_release),
        cmocka_unit_test(expire_is_carried_out_after_a_start),
        cmocka_unit_test(expire_and_release),
        cmocka_unit_test(orders_to_claimed_mail),
        cmocka_unit_test(a_hold_that_cannot_be_written),
        cmocka_unit_test(hold_with_results_that_are_not_written),
        cmocka_unit_test(all_of_them),
        cmocka_unit_test(orders_that_cross),
        cmocka_unit_test(nobody_waits_for_the_end),
        cmocka_unit_test(stopping_in_the_middle),
        cmocka_unit_test(fresh_mail_in_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
