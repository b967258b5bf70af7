/* Tests of relay_way and the queue: destinations that are made for mail and go with it, their
 * limit, memory that is out, and dead ends. Domains are address literals, so that nobody is asked
 * for a name; `other` is their server. */
#include "queue_fixture.h"

#include "queue/scheduler_drain.h"
#include "queue/scheduler_internal.h"
#include "relay/relay_way.h"
#include "relay/upstream_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOMAINS "relay_domains = a.example\nrelay_transport = lmtp:[127.0.0.1]:%u\n"
#define QUICK                                                                                      \
    "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nbounce_queue_lifetime = 5s\n"           \
    "lmtp_connection_idle_time = 100ms\n"
#define OUT      DOMAINS QUICK "outbound = direct\nsmtp_tcp_port = %u\n"
#define NO_WAY   DOMAINS QUICK "#%u\n"
#define ANN      "ann@a.example"
#define FIRST    "joe@[127.0.0.1]"
#define SECOND   "kim@[IPv6:::ffff:127.0.0.1]"
#define THIRD    "sam@[IPv6:::ffff:7f00:1]"
#define REFUSING "kay@[127.0.0.2]" /* nobody listens there */

static struct queue_fixture q;

static unsigned directs(void)
{
    return HASH_COUNT(q.relay.direct);
}

static void wait_until_empty(void)
{
    loop_wait(&q.r.f, q.scheduler.entries == NULL && queue_files(&q) == 0);
    assert_int_equal(q.scheduler.part_count, 0);
}

static void linger(uint64_t ms)
{
    uint64_t until = uv_hrtime() / 1000000 + ms;

    loop_wait(&q.r.f, uv_hrtime() / 1000000 >= until);
}

static size_t sites(void)
{
    const struct queue_site *site;
    size_t count = 0;

    DL_FOREACH(q.scheduler.sites, site)
        count += site->destination && site->destination->on_demand;
    return count;
}

/* ---- made and gone ---- */

static void made_for_mail(const char *mode)
{
    struct asker a = {0}, b = {0};
    char ini[900];

    snprintf(ini, sizeof ini, "%sdelivery_mode = %s\n", OUT, mode);
    queue_begin_two(&q, ini);
    assert_int_equal(directs(), 0);
    assert_int_equal(queue_submitted(&q, &a, ANN " " FIRST " " SECOND " joe2@[127.0.0.1]"), 250);
    assert_in_range(directs(), 1, 2);
    wait_until_empty();
    assert_int_equal(q.other.delivered_count, 3);
    assert_int_equal(q.r.lmtp.delivered_count, 1);
    loop_wait(&q.r.f, directs() == 0 && sites() == 0);
    assert_int_equal(q.other.open, 0);
    assert_int_equal(queue_submitted(&q, &b, FIRST), 250);
    wait_until_empty();
    assert_int_equal(q.other.delivered_count, 4);
    queue_end(&q);
}

static void a_destination_for_each_domain(void **state)
{
    made_for_mail("direct");
    made_for_mail("queue");
}

/* As long as mail waits for it, whatever it waits for. */
static void kept_for_mail_that_waits(void **state)
{
    struct asker a[3] = {{.answers = 0}};

    queue_begin_two(&q, OUT "delivery_mode = queue\n");
    lmtp_rule(&q.other, "RCPT", LMTP_SAY, "450 4.2.0 later")->contains = "joe@";
    lmtp_rule(&q.other, "MAIL", LMTP_SILENCE, NULL)->skip = 1;
    assert_int_equal(queue_submitted(&q, &a[0], FIRST), 250); /* backs off */
    loop_wait(&q.r.f, relay_logged(&q.r, "450 4.2.0 later") >= 1);
    assert_int_equal(queue_submitted(&q, &a[1], SECOND), 250);   /* stands still */
    assert_int_equal(queue_submitted(&q, &a[2], REFUSING), 250); /* is down */
    loop_wait(&q.r.f, relay_logged(&q.r, "Connection refused") >= 1 && q.other.mails >= 2);
    linger(1600); /* a sweep each half second */
    assert_int_equal(directs(), 3);
    lmtp_no_rules(&q.other);
    lmtp_release(&q.other);
    loop_wait(&q.r.f, q.other.delivered_count == 2);
    loop_wait(&q.r.f, directs() == 1);
    assert_int_equal(HASH_COUNT(q.scheduler.entries), 1);
    queue_end(&q);
}

/* ---- no room ---- */

static void no_room_for_one_more(void **state)
{
    struct asker a[2] = {{.answers = 0}};

    queue_begin_two(&q, OUT "delivery_mode = queue\n");
    q.relay.direct_max = 1;
    lmtp_rule(&q.other, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    assert_int_equal(queue_submitted(&q, &a[0], FIRST), 250);
    loop_wait(&q.r.f, q.other.mails == 1);
    assert_int_equal(queue_submitted(&q, &a[1], SECOND " " ANN " " FIRST), 250);
    loop_wait(&q.r.f, relay_logged(&q.r, "mail is under way to too many domains") >= 2);
    assert_int_equal(directs(), 1);
    assert_int_equal(q.r.lmtp.delivered_count, 1);
    lmtp_release(&q.other);
    wait_until_empty();
    assert_int_equal(q.other.delivered_count, 3);
    assert_int_equal(q.r.lmtp.delivered_count, 1);
    assert_true(relay_logged(&q.r, "mail is under way to too many domains") < 20);
    queue_end(&q);
}

/* What is on hold, and may be for weeks, keeps no place from mail that could go. */
static void what_is_on_hold_takes_no_room(void **state)
{
    struct asker a[2] = {{.answers = 0}};
    struct queue_entry *e;

    queue_begin_two(&q, OUT "delivery_mode = queue\n");
    q.relay.direct_max = 1;
    lmtp_rule(&q.other, "RCPT", LMTP_SAY, "450 4.2.0 later")->times = 1;
    assert_int_equal(queue_submitted(&q, &a[0], FIRST), 250);
    loop_wait(&q.r.f, relay_logged(&q.r, "450 4.2.0 later") == 1 && scheduler_idle(&q.scheduler));
    e = queue_entry_find(&q.scheduler, &a[0].id);
    queue_effect_apply(&q.scheduler, e, QUEUE_ORDER_BIT(QUEUE_ORDER_HOLD));
    assert_int_equal(q.scheduler.on_hold, 1);
    assert_int_equal(queue_submitted(&q, &a[1], SECOND), 250);
    loop_wait(&q.r.f, lmtp_delivered_to(&q.other, SECOND) == 1);
    queue_effect_apply(&q.scheduler, e, QUEUE_ORDER_BIT(QUEUE_ORDER_RELEASE));
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.other, FIRST), 1);
    queue_end(&q);
}

static void no_room_while_a_client_waits(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, OUT);
    q.relay.direct_max = 0;
    assert_int_equal(queue_submitted(&q, &a, SECOND " " ANN), 250);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=deferred") >= 1);
    q.relay.direct_max = 1;
    wait_until_empty();
    assert_int_equal(q.other.delivered_count, 1);
    assert_int_equal(q.r.lmtp.delivered_count, 1);
    queue_end(&q);
}

/* However many domains there are, so many are delivered to at a time. */
static void so_many_at_a_time(void **state)
{
    struct asker a[2] = {{.answers = 0}};

    queue_begin_two(&q, OUT "direct_timeout = 60s\n");
    q.relay.direct_deliveries = 2;
    lmtp_rule(&q.other, "MAIL", LMTP_SILENCE, NULL)->times = 4;
    queue_submit(&q, &a[0], FIRST " " SECOND, 32); /* while its client waits */
    loop_wait(&q.r.f, q.other.mails == 2);
    assert_int_equal(queue_submitted(&q, &a[1], FIRST " " SECOND " " THIRD " " ANN), 250);
    loop_wait(&q.r.f, q.other.mails == 4 && q.r.lmtp.delivered_count == 1);
    linger(200);
    assert_int_equal(q.other.mails, 4);
    assert_int_equal(a[0].answers, 0);
    lmtp_release(&q.other);
    wait_until_empty();
    loop_wait(&q.r.f, a[0].answers == 1 && q.intake.in_flight == 0);
    assert_int_equal(q.other.delivered_count, 5);
    assert_int_equal(q.intake.direct, 0);
    assert_int_equal(q.scheduler.direct_running, 0);
    queue_end(&q);
}

/* Whoever has much mail does not come before all others each time a place is free. */
static void places_go_round(void **state)
{
    struct asker a[6] = {{.answers = 0}};
    size_t at = 0;

    queue_begin_two(&q, OUT "delivery_mode = queue\n");
    q.relay.direct_deliveries = 1;
    lmtp_rule(&q.other, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(queue_submitted(&q, &a[i], i < 5 ? FIRST : SECOND), 250);
    loop_wait(&q.r.f, q.other.mails == 1);
    lmtp_release(&q.other);
    wait_until_empty();
    assert_int_equal(q.other.delivered_count, 6);
    while (strcmp(q.other.delivered[at].recipient, SECOND) != 0)
        at++;
    assert_in_range(at, 1, 2);
    queue_end(&q);
}

/* Also when an operator wants all of it tried now. */
static void a_flush_asks_so_many_at_a_time(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, OUT "delivery_mode = queue\nminimal_backoff_time = 1h\n"
                            "maximal_backoff_time = 1h\n");
    q.relay.direct_deliveries = 1;
    lmtp_down(&q.other);
    assert_int_equal(queue_submitted(&q, &a, FIRST " " SECOND " " THIRD), 250);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=deferred") == 3 && scheduler_idle(&q.scheduler));
    lmtp_up(&q.other);
    lmtp_rule(&q.other, "CONNECT", LMTP_SILENCE, NULL);
    scheduler_flush(&q.scheduler, NULL);
    loop_wait(&q.r.f, q.other.open >= 1);
    linger(200);
    assert_int_equal(q.other.most_open, 1);
    lmtp_no_rules(&q.other);
    lmtp_release(&q.other);
    wait_until_empty();
    assert_int_equal(q.other.delivered_count, 3);
    queue_end(&q);
}

/* A drain flushes now and again: what is handed over meanwhile does not wait for it. */
static void a_flush_holds_up_no_fallback(void **state)
{
    struct asker a[2] = {{.answers = 0}};

    queue_begin_two(&q, OUT "delivery_mode = queue\nminimal_backoff_time = 1h\n"
                            "maximal_backoff_time = 1h\n");
    lmtp_down(&q.other);
    assert_int_equal(queue_submitted(&q, &a[0], FIRST), 250);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=deferred") == 1 && scheduler_idle(&q.scheduler));
    lmtp_up(&q.other);
    lmtp_rule(&q.other, "CONNECT", LMTP_SILENCE, NULL);
    scheduler_hand_over(&q.scheduler, q.relay.main);
    loop_wait(&q.r.f, lmtp_delivered_to(&q.r.lmtp, FIRST) == 1);
    scheduler_drain_flush(&q.scheduler);
    assert_int_equal(queue_submitted(&q, &a[1], FIRST), 250);
    loop_wait(&q.r.f, lmtp_delivered_to(&q.r.lmtp, FIRST) == 2);
    assert_int_equal(q.other.accepted, 0);
    wait_until_empty();
    queue_end(&q);
}

/* What needs no destination waits for no delivery, however many stand still. */
static void chores_wait_for_no_delivery(void **state)
{
    struct asker a[QUEUE_CHORES_MAX + 1] = {{.answers = 0}};
    struct queue_entry *e;

    queue_begin_two(&q, OUT "delivery_mode = queue\nsmtp_destination_concurrency_limit = 500\n"
                            "maximal_backoff_time = 1h\nminimal_backoff_time = 1h\n");
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later");
    lmtp_rule(&q.other, "CONNECT", LMTP_SILENCE, NULL);
    queue_submit_envelope(&q, &a[0], relay_envelope("", ANN), 32);
    loop_wait(&q.r.f, relay_logged(&q.r, "450 4.2.0 later") == 1 && scheduler_idle(&q.scheduler));
    for (size_t i = 1; i <= QUEUE_CHORES_MAX; i++)
        assert_int_equal(queue_submitted(&q, &a[i], FIRST), 250);
    loop_wait(&q.r.f, q.scheduler.direct_running == QUEUE_CHORES_MAX);
    e = queue_entry_find(&q.scheduler, &a[0].id);
    assert_int_equal(e->state, QUEUE_WAITING);
    queue_effect_apply(&q.scheduler, e, QUEUE_ORDER_BIT(QUEUE_ORDER_EXPIRE));
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_int_equal(q.scheduler.direct_running, QUEUE_CHORES_MAX);
    lmtp_no_rules(&q.other);
    lmtp_release(&q.other);
    loop_wait(&q.r.f, q.other.delivered_count == QUEUE_CHORES_MAX);
    queue_end(&q);
}

/* ---- no way ---- */

static void no_way_for_a_while(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, OUT "delivery_mode = queue\n");
    lmtp_down(&q.other);
    assert_int_equal(queue_submitted(&q, &a, FIRST " " ANN " " SECOND), 250);
    loop_wait(&q.r.f, q.r.lmtp.delivered_count == 1 && relay_logged(&q.r, "status=deferred") == 2);
    queue_reload_two(&q, NO_WAY);
    loop_wait(&q.r.f, relay_logged(&q.r, "there is no way to it") >= 4); /* again and again */
    loop_wait(&q.r.f, directs() == 0);
    scheduler_flush(&q.scheduler, NULL);
    queue_stop(&q); /* a restart does not know of another way either */
    queue_start(&q);
    loop_wait(&q.r.f, relay_logged(&q.r, "there is no way to it") >= 8);
    lmtp_up(&q.other);
    queue_reload_two(&q, OUT);
    wait_until_empty();
    assert_int_equal(q.other.delivered_count, 2);
    assert_int_equal(q.r.lmtp.delivered_count, 1);
    queue_end(&q);
}

/* Whoever is told to wait keeps his time when a reload changes nothing for him. */
static void a_reload_wakes_nobody(void **state)
{
    struct asker a = {0};
    unsigned mails;

    queue_begin_two(&q, OUT "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n");
    lmtp_rule(&q.other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    assert_int_equal(queue_submitted(&q, &a, FIRST), 250);
    loop_wait(&q.r.f, scheduler_idle(&q.scheduler) && q.intake.in_flight == 0);
    mails = q.other.mails;
    queue_reload_two(&q, OUT "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
                             "relay_domains = a.example c.example\n");
    loop_wait(&q.r.f, scheduler_idle(&q.scheduler));
    linger(300);
    assert_int_equal(q.other.mails, mails);
    lmtp_no_rules(&q.other);
    scheduler_flush(&q.scheduler, NULL);
    wait_until_empty();
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_destination_for_each_domain),
        cmocka_unit_test(kept_for_mail_that_waits),
        cmocka_unit_test(no_room_for_one_more),
        cmocka_unit_test(what_is_on_hold_takes_no_room),
        cmocka_unit_test(no_room_while_a_client_waits),
        cmocka_unit_test(so_many_at_a_time),
        cmocka_unit_test(places_go_round),
        cmocka_unit_test(a_flush_asks_so_many_at_a_time),
        cmocka_unit_test(a_flush_holds_up_no_fallback),
        cmocka_unit_test(chores_wait_for_no_delivery),
        cmocka_unit_test(no_way_for_a_while),
        cmocka_unit_test(a_reload_wakes_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
