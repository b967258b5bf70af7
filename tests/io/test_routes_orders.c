/*
 * Tests of an operator's orders (scheduler_operator) to a message whose recipients have two
 * destinations: one order is for all of its parts, wherever they are.
 */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"
#include "queue/scheduler_operator.h"

#include <stdlib.h>
#include <string.h>

#define TWO                                                                                        \
    "delivery_mode = queue\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"                \
    "relay_domains = a.example b.example\nrelay_transport = lmtp:[127.0.0.1]:%u\n"                 \
    "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:%u }\n"
#define ANN  "ann@a.example"
#define BEN  "ben@b.example"
#define BOTH ANN " " BEN

static struct queue_fixture q;
static struct asker a;

#define one   (&q.r.lmtp)
#define other (&q.other)

struct answer {
    struct queue_asker asker;
    unsigned answers;
    unsigned done;
};

static void on_done(void *ctx, const struct queue_order_result *result)
{
    struct answer *answer = ctx;

    answer->answers++;
    answer->done = result->count > 0 ? result->done[0] : 0;
    assert_int_equal(result->failed, 0);
}

/* Whether something was done. */
static bool order(enum queue_order which)
{
    struct queue_order_request r;
    struct answer answer = {
        .asker = {.done = on_done, .ctx = &answer}
    };
    char words[200];
    struct text t;

    text_init(&t, words, sizeof words);
    queue_order_format(&t, which, queue_order_queues(which));
    text_cstr(&t, a.id.text);
    assert_true(queue_order_parse(span_of(words), &r));
    assert_true(scheduler_order(&q.scheduler, &r, &answer.asker));
    loop_wait(&q.r.f, answer.answers == 1);
    return answer.done != 0;
}

static void wait_until_quiet(void)
{
    loop_wait(&q.r.f, q.intake.in_flight == 0 && scheduler_idle(&q.scheduler));
}

static void wait_until_empty(void)
{
    loop_wait(&q.r.f, q.scheduler.entries == NULL && queue_files(&q) == 0);
    assert_int_equal(q.scheduler.part_count, 0);
}

static struct upstream *target(const struct lmtp_fixture *l)
{
    struct upstream *u = q.relay.upstreams;

    while (u && u->route.port != l->port)
        u = u->next;
    assert_non_null(u);
    return u;
}

static void assert_in_file(const char *line, bool there)
{
    char *file = queue_file(&q, &a.id);

    if ((strstr(file, line) != NULL) != there)
        fail_msg("%s %s in %s", line, there ? "not" : "is", file);
    free(file);
}

static bool is_held(void)
{
    const struct queue_entry *e = queue_entry_find(&q.scheduler, &a.id);

    return e && e->state == QUEUE_HOLD && queue_part_alone(e) && q.scheduler.on_hold == 1;
}

/* Ben's destination is down; Ann's is silent at this event, or answers. */
static void begin(const char *silent_at)
{
    memset(&a, 0, sizeof a);
    queue_begin_two(&q, TWO);
    lmtp_down(other);
    upstream_probe(target(other));
    loop_wait(&q.r.f, target(other)->health == UPSTREAM_DOWN);
    if (silent_at)
        lmtp_rule(one, silent_at, LMTP_SILENCE, NULL)->times = 1;
    assert_int_equal(queue_submitted(&q, &a, BOTH), 250);
    if (silent_at)
        loop_wait(&q.r.f, one->rules[0].used == 1);
}

static void all_goes_on(void)
{
    lmtp_no_rules(one);
    lmtp_release(one);
    lmtp_up(other);
}

static void held_while_one_is_asked(void **state)
{
    begin("MAIL");
    assert_true(order(QUEUE_ORDER_HOLD));
    loop_wait(&q.r.f, is_held()); /* taken back */
    assert_false(order(QUEUE_ORDER_HOLD));
    all_goes_on();
    loop_wait(&q.r.f, target(other)->health == UPSTREAM_UP);
    loop_idle(&q.r.f);
    assert_int_equal(one->dots + other->mails, 0);
    assert_true(order(QUEUE_ORDER_RELEASE));
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    assert_int_equal(lmtp_delivered_to(other, BEN), 1);
    queue_end(&q);
}

static void held_when_one_has_its_dot(void **state)
{
    begin(".");
    assert_true(order(QUEUE_ORDER_HOLD));
    loop_idle(&q.r.f);
    assert_false(is_held());
    all_goes_on();
    loop_wait(&q.r.f, is_held());
    assert_in_file("rcpt=0 sent", true);
    assert_int_equal(other->mails, 0);
    queue_stop(&q);
    queue_start(&q);
    assert_true(is_held());
    assert_true(order(QUEUE_ORDER_RELEASE));
    wait_until_empty();
    assert_int_equal(one->mails, 1);
    assert_int_equal(lmtp_delivered_to(other, BEN), 1);
    queue_end(&q);
}

static void held_at_rest(void **state)
{
    begin(NULL);
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    wait_until_quiet();
    assert_true(order(QUEUE_ORDER_HOLD));
    loop_wait(&q.r.f, is_held());
    all_goes_on();
    loop_wait(&q.r.f, target(other)->health == UPSTREAM_UP);
    loop_idle(&q.r.f);
    assert_int_equal(other->mails, 0);
    assert_true(order(QUEUE_ORDER_RELEASE));
    wait_until_empty();
    assert_int_equal(one->mails, 1);
    queue_end(&q);
}

static void deleted(const char *silent_at)
{
    begin(silent_at);
    if (!silent_at) {
        loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
        wait_until_quiet();
    }
    assert_true(order(QUEUE_ORDER_DELETE));
    assert_int_equal(queue_files(&q), 0);
    all_goes_on();
    wait_until_empty();
    wait_until_quiet();
    loop_wait(&q.r.f, target(other)->health == UPSTREAM_UP);
    loop_idle(&q.r.f);
    assert_int_equal(other->mails, 0);
    assert_int_equal(relay_logged(&q.r, "error:"), 0);
    queue_end(&q);
}

static void deleted_while_one_is_asked(void **state)
{
    deleted("MAIL");
}

static void deleted_when_one_has_its_dot(void **state)
{
    deleted(".");
}

static void deleted_at_rest(void **state)
{
    deleted(NULL);
}

static void requeued(void **state)
{
    memset(&a, 0, sizeof a);
    queue_begin_two(&q, TWO);
    lmtp_down(other);
    upstream_probe(target(other));
    loop_wait(&q.r.f, target(other)->health == UPSTREAM_DOWN);
    lmtp_rule(one, "RCPT", LMTP_SAY, "450 4.2.0 later")->times = 1;
    assert_int_equal(queue_submitted(&q, &a, BOTH), 250);
    loop_wait(&q.r.f, relay_logged(&q.r, "450 4.2.0 later") == 1);
    wait_until_quiet(); /* Ann's waits an hour */
    assert_true(order(QUEUE_ORDER_REQUEUE));
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    lmtp_up(other);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(other, BEN), 1);
    queue_end(&q);
}

static void expired(void **state)
{
    begin(".");
    assert_true(order(QUEUE_ORDER_EXPIRE));
    loop_idle(&q.r.f);
    assert_false(is_held());
    all_goes_on();
    loop_wait(&q.r.f, is_held());
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_in_file("rcpt=0 sent", true);
    assert_int_equal(lmtp_delivered_to(other, BEN), 0);
    queue_end(&q);
}

/* The order comes while the file is read to see who is left. */
static void held_while_it_is_looked_at(void **state)
{
    const struct queue_entry *e;

    begin(NULL);
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    wait_until_quiet();
    queue_part_collect(&q.scheduler, queue_entry_find(&q.scheduler, &a.id));
    queue_dispatch(&q.scheduler);
    e = queue_entry_find(&q.scheduler, &a.id);
    assert_int_equal(e->state, QUEUE_RUNNING);
    assert_true(order(QUEUE_ORDER_HOLD));
    loop_wait(&q.r.f, is_held());
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_while_one_is_asked),
        cmocka_unit_test(held_when_one_has_its_dot),
        cmocka_unit_test(held_at_rest),
        cmocka_unit_test(deleted_while_one_is_asked),
        cmocka_unit_test(deleted_when_one_has_its_dot),
        cmocka_unit_test(deleted_at_rest),
        cmocka_unit_test(requeued),
        cmocka_unit_test(expired),
        cmocka_unit_test(held_while_it_is_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
