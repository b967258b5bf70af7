/*
 * Tests of queue/scheduler_operator with messages for two destinations: every order, with each
 * destination's part in each state; against a real spool and two LMTP peers.
 *
 * Whatever was under way: at the end each recipient has it once (after a release where the order
 * put it on hold), or the message was deleted and is gone.
 */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"
#include "queue/scheduler_operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG                                                                                     \
    "relay_domains = a.example b.example\n"                                                        \
    "relay_transport = lmtp:[127.0.0.1]:%u\n"                                                      \
    "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:%u }\n"                                  \
    "delivery_mode = queue\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
#define ANN "ann@a.example"
#define BEN "ben@b.example"

static struct queue_fixture q;

enum part_state {
    PART_READY,   /* its destination is down */
    PART_WAITING, /* 4xx */
    PART_AT_RCPT, /* under way; the peer says nothing */
    PART_AT_DOT,
    PART_SENT,
    PART_FAILED,
    PART_STATE_COUNT
};

static void on_done(void *ctx, const struct queue_order_result *result)
{
    unsigned *done = ctx;

    assert_int_equal(result->count, 1);
    assert_int_equal(result->failed, 0);
    *done = 0x100u | result->done[0];
}

static bool ordered(enum queue_order order, const struct queue_id *id)
{
    unsigned done = 0;
    struct queue_asker asker = {.done = on_done, .ctx = &done};
    struct queue_order_request r;
    char words[200];
    struct text t;

    text_init(&t, words, sizeof words);
    queue_order_format(&t, order, queue_order_queues(order));
    text_cstr(&t, id->text);
    assert_true(queue_order_parse(text_as_span(&t), &r));
    assert_true(scheduler_order(&q.scheduler, &r, &asker));
    loop_wait(&q.r.f, done != 0);
    return (done & 0xff) != 0;
}

static struct upstream *target(const struct lmtp_fixture *l)
{
    struct upstream *u;

    LL_FOREACH(q.relay.upstreams, u) {
        if (u->route.port == l->port)
            return u;
    }
    fail_msg("no such target");
    return NULL;
}

static void prepare(struct lmtp_fixture *l, enum part_state state)
{
    switch (state) {
    case PART_READY:
        lmtp_down(l);
        upstream_probe(target(l));
        loop_wait(&q.r.f, target(l)->health == UPSTREAM_DOWN);
        break;
    case PART_WAITING:
        lmtp_rule(l, "RCPT", LMTP_SAY, "450 4.2.0 later");
        break;
    case PART_AT_RCPT:
        lmtp_rule(l, "RCPT", LMTP_SILENCE, NULL)->times = 1;
        break;
    case PART_AT_DOT:
        lmtp_rule(l, ".", LMTP_SILENCE, NULL)->times = 1;
        break;
    case PART_FAILED:
        lmtp_rule(l, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
        break;
    case PART_SENT:
    case PART_STATE_COUNT:
        break;
    }
}

static bool logged(const char *recipient, const char *status)
{
    char words[300];

    snprintf(words, sizeof words, "to=<%s>, ", recipient);
    for (const char *line = q.r.lines; line && (line = strstr(line, words)) != NULL; line++) {
        const char *end = strchr(line, '\n');
        const char *at = strstr(line, status);

        if (at && (!end || at < end))
            return true;
    }
    return false;
}

static bool is_there(const struct lmtp_fixture *l, enum part_state state, const char *recipient)
{
    switch (state) {
    case PART_READY:
        return true;
    case PART_WAITING:
        return logged(recipient, "status=deferred");
    case PART_AT_RCPT:
    case PART_AT_DOT:
        return l->rules[0].used == 1;
    case PART_SENT:
        return logged(recipient, "status=sent");
    case PART_FAILED:
        return logged(recipient, "status=bounced");
    case PART_STATE_COUNT:
        break;
    }
    return false;
}

static void let_go(struct lmtp_fixture *l)
{
    lmtp_no_rules(l);
    lmtp_release(l);
    if (!l->listening)
        lmtp_up(l);
    loop_wait(&q.r.f, target(l)->health == UPSTREAM_UP);
}

static void wait_until_quiet(void)
{
    loop_wait(&q.r.f, q.intake.in_flight == 0 && scheduler_idle(&q.scheduler));
}

static bool is_empty(void)
{
    return !q.scheduler.entries && q.scheduler.part_count == 0 && queue_files(&q) == 0;
}

/* A message whose parts are in these states. */
static void begin(struct queue_id *id_out, enum part_state ann, enum part_state ben)
{
    struct asker a = {0};

    queue_begin_two(&q, CONFIG);
    prepare(&q.r.lmtp, ann);
    prepare(&q.other, ben);
    assert_int_equal(queue_submitted(&q, &a, ANN " " BEN), 250);
    *id_out = a.id;
    loop_wait(&q.r.f, is_there(&q.r.lmtp, ann, ANN) && is_there(&q.other, ben, BEN));
    for (unsigned i = 0; i < 5; i++)
        loop_turn(&q.r.f);
    /* what is tried from here on is taken */
    if (ann == PART_WAITING || ann == PART_FAILED)
        lmtp_no_rules(&q.r.lmtp);
    if (ben == PART_WAITING || ben == PART_FAILED)
        lmtp_no_rules(&q.other);
}

static void check_once_each(enum part_state ann, enum part_state ben)
{
    if (lmtp_delivered_to(&q.r.lmtp, ANN) == 1 && lmtp_delivered_to(&q.other, BEN) == 1)
        return;
    fail_msg("states %d, %d: delivered %u, %u times", (int)ann, (int)ben,
             lmtp_delivered_to(&q.r.lmtp, ANN), lmtp_delivered_to(&q.other, BEN));
}

/* Until everybody has it: what was put on hold is released, again where it went there again. */
static void release_until_empty(const struct queue_id *id)
{
    for (unsigned tries = 0; tries < 5 && !is_empty(); tries++) {
        if (q.scheduler.on_hold > 0)
            ordered(QUEUE_ORDER_RELEASE, id);
        loop_wait(&q.r.f, is_empty() || (q.scheduler.on_hold == 1 && scheduler_idle(&q.scheduler)));
    }
    assert_true(is_empty());
}

static bool is_over(enum part_state ann, enum part_state ben)
{
    return ann == PART_SENT && ben == PART_SENT;
}

/* No part failed, so that everything can go by itself. */
static bool can_go(enum part_state ann, enum part_state ben)
{
    return ann != PART_FAILED && ben != PART_FAILED;
}

static void check_order(enum queue_order order, enum part_state ann, enum part_state ben)
{
    struct queue_id id;
    bool done;

    begin(&id, ann, ben);
    done = ordered(order, &id);
    /* A run that read the order in the file may have carried it out before the order came to the
     * entry: then there is none any more. */
    if (!done && order == QUEUE_ORDER_REQUEUE && is_empty()) {
        check_once_each(ann, ben);
        queue_end(&q);
        return;
    }
    if (!done) /* it was as ordered: only one that failed everywhere is on hold already */
        assert_true(order == QUEUE_ORDER_HOLD && q.scheduler.on_hold == 1);
    let_go(&q.r.lmtp);
    let_go(&q.other);
    wait_until_quiet();
    if (order == QUEUE_ORDER_DELETE) {
        loop_wait(&q.r.f, is_empty());
        queue_stop(&q);
        queue_start(&q);
        assert_null(q.scheduler.entries);
    } else {
        if (order == QUEUE_ORDER_REQUEUE && can_go(ann, ben))
            loop_wait(&q.r.f, is_empty());
        loop_wait(&q.r.f, is_empty() || q.scheduler.on_hold == 1);
        release_until_empty(&id);
        check_once_each(ann, ben);
    }
    queue_end(&q);
}

static void check_all_states(enum queue_order order)
{
    for (int ann = 0; ann < PART_STATE_COUNT; ann++) {
        for (int ben = 0; ben < PART_STATE_COUNT; ben++) {
            if (!is_over((enum part_state)ann, (enum part_state)ben))
                check_order(order, (enum part_state)ann, (enum part_state)ben);
        }
    }
}

static void hold(void **state)
{
    check_all_states(QUEUE_ORDER_HOLD);
}

static void delete (void **state)
{
    check_all_states(QUEUE_ORDER_DELETE);
}

static void requeue(void **state)
{
    check_all_states(QUEUE_ORDER_REQUEUE);
}

static void expire(void **state)
{
    check_all_states(QUEUE_ORDER_EXPIRE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hold),
        cmocka_unit_test(delete),
        cmocka_unit_test(requeue),
        cmocka_unit_test(expire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
