/*
 * Tests of routes: two destinations, and two targets of one, from intake to the spool and back;
 * against two LMTP peers. `one` is a.example.com's and b's first target, `other` the rest.
 */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOMAINS  "relay_domains = a.example b.example\n"
#define BACK_OFF "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
#define QUEUE    "delivery_mode = queue\n"
/* a.example goes to the one, b.example to the other */
#define TWO                                                                                        \
    DOMAINS "relay_transport = lmtp:[127.0.0.1]:%u\n"                                              \
            "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:%u }\n"
#define SWAPPED                                                                                    \
    DOMAINS "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:%u }\n"                          \
            "relay_transport = lmtp:[127.0.0.1]:%u\n"
/* everything to the one, else the other */
#define FAILOVER DOMAINS "relay_transport = lmtp:[127.0.0.1]:%u, lmtp:[127.0.0.1]:%u\n"
#define ANN      "ann@a.example"
#define BEN      "ben@b.example"
#define BOTH     ANN " " BEN

static struct queue_fixture q;

#define one   (&q.r.lmtp)
#define other (&q.other)

static bool is_empty(void)
{
    return q.scheduler.entries == NULL && queue_files(&q) == 0;
}

static void wait_until_empty(void)
{
    loop_wait(&q.r.f, is_empty());
    assert_int_equal(q.scheduler.part_count, 0);
}

static void wait_until_quiet(void)
{
    loop_wait(&q.r.f, q.intake.in_flight == 0 && scheduler_idle(&q.scheduler));
}

/* So many messages still have a direct delivery under way. */
static void wait_until_quiet_but(unsigned in_flight)
{
    loop_wait(&q.r.f, q.intake.in_flight == in_flight && scheduler_idle(&q.scheduler));
}

static void submit(struct asker *a, const char *recipients)
{
    assert_int_equal(queue_submitted(&q, a, recipients), 250);
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

static void go_down(struct lmtp_fixture *l)
{
    lmtp_down(l);
    upstream_probe(target(l));
    loop_wait(&q.r.f, target(l)->health == UPSTREAM_DOWN);
}

static void come_up(struct lmtp_fixture *l)
{
    lmtp_up(l);
    loop_wait(&q.r.f, target(l)->health == UPSTREAM_UP);
}

/* Each recipient has it once, at its own destination. */
static void assert_delivered_to_both(void)
{
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    assert_int_equal(lmtp_delivered_to(one, BEN), 0);
    assert_int_equal(lmtp_delivered_to(other, ANN), 0);
    assert_int_equal(lmtp_delivered_to(other, BEN), 1);
}

static void assert_in_file(const struct queue_id *id, const char *line, bool there)
{
    char *file = queue_file(&q, id);

    if ((strstr(file, line) != NULL) != there)
        fail_msg("%s %s in %s", line, there ? "not" : "is", file);
    free(file);
}

/* ---- two destinations, direct ---- */

static void each_destination_gets_its_recipients(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO);
    submit(&a, BOTH " joe@b.example");
    assert_delivered_to_both();
    assert_int_equal(lmtp_delivered_to(other, "joe@b.example"), 1);
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(one->mails, 1);
    assert_int_equal(other->mails, 1);
    queue_end(&q);
}

static void one_that_is_down_spools_its_own_only(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO);
    go_down(other);
    submit(&a, BOTH);
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    assert_in_file(&a.id, "rcpt=0 sent", true);
    assert_in_file(&a.id, "rcpt=1 deferred", true);
    assert_int_equal(relay_logged(&q.r, "status=deferred ("), 1);
    come_up(other);
    wait_until_empty();
    assert_delivered_to_both();
    queue_end(&q);
}

static void all_refused_all_delivered_or_mixed(void **state)
{
    struct asker a = {0}, b = {0};

    queue_begin_two(&q, TWO BACK_OFF);
    lmtp_rule(other, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
    submit(&a, BOTH);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_in_file(&a.id, "rcpt=0 sent", true);
    assert_in_file(&a.id, "rcpt=1 failed", true);
    lmtp_rule(one, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
    assert_int_equal(queue_submitted(&q, &b, BOTH), 550);
    assert_int_equal(queue_files(&q), 1);
    queue_end(&q);
}

/* Ben's destination is down, then comes back, while Ann's has not answered the dot. */
static void a_silent_one_holds_nobody_back(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO "direct_timeout = 200ms\n");
    go_down(other);
    lmtp_rule(one, ".", LMTP_SILENCE, NULL);
    submit(&a, BOTH);
    assert_int_equal(lmtp_delivered_to(other, BEN), 0);
    come_up(other);
    loop_wait(&q.r.f, lmtp_delivered_to(other, BEN) == 1);
    wait_until_quiet_but(1);
    assert_int_equal(queue_files(&q), 1);
    lmtp_release(one);
    wait_until_empty();
    assert_delivered_to_both();
    queue_end(&q);
}

/* Both are late; each is settled by itself. */
static void two_late_dots(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO "direct_timeout = 200ms\n" BACK_OFF);
    lmtp_rule(one, ".", LMTP_SILENCE, NULL);
    lmtp_rule(other, ".", LMTP_SILENCE, NULL);
    submit(&a, BOTH);
    lmtp_release_saying(other, "452 4.2.2 full");
    loop_wait(&q.r.f, relay_logged(&q.r, "status=deferred") == 1);
    wait_until_quiet_but(1);
    assert_in_file(&a.id, "rcpt=1 deferred", true);
    assert_in_file(&a.id, "rcpt=0", false);
    lmtp_no_rules(other);
    scheduler_flush(&q.scheduler, NULL); /* Ann's is not touched by that */
    loop_wait(&q.r.f, other->dots == 2);
    wait_until_quiet_but(1);
    assert_in_file(&a.id, "rcpt=1 sent", true);
    assert_int_equal(one->mails, 1);
    lmtp_release(one);
    wait_until_empty();
    assert_int_equal(one->mails, 1);
    assert_int_equal(other->mails, 2);
    queue_end(&q);
}

/* ---- two destinations, queue ---- */

static void queued_mail_goes_to_both(void **state)
{
    struct asker a[20] = {{.answers = 0}};

    queue_begin_two(&q, TWO QUEUE);
    for (size_t i = 0; i < 20; i++)
        submit(&a[i], BOTH);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, ANN), 20);
    assert_int_equal(lmtp_delivered_to(other, BEN), 20);
    assert_int_equal(relay_logged(&q.r, ": removed"), 20);
    queue_end(&q);
}

static void a_dead_destination_holds_nobody_back(void **state)
{
    struct asker a[12] = {{.answers = 0}};

    queue_begin_two(&q, TWO QUEUE);
    go_down(one);
    for (size_t i = 0; i < 12; i++)
        submit(&a[i], i % 2 ? BOTH : ANN);
    loop_wait(&q.r.f, lmtp_delivered_to(other, BEN) == 6);
    wait_until_quiet();
    assert_int_equal(queue_files(&q), 12);
    assert_in_file(&a[1].id, "rcpt=1 sent", true);
    come_up(one);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, ANN), 12);
    assert_int_equal(lmtp_delivered_to(other, BEN), 6);
    queue_end(&q);
}

/* It takes connections and says nothing: all its places are taken, not those of the other. */
static void a_hanging_destination_holds_nobody_back(void **state)
{
    struct asker a[12] = {{.answers = 0}};

    queue_begin_two(&q, TWO QUEUE "default_destination_concurrency_limit = 2\n");
    lmtp_rule(one, "MAIL", LMTP_SILENCE, NULL)->times = 2;
    for (size_t i = 0; i < 12; i++)
        submit(&a[i], BOTH);
    loop_wait(&q.r.f, lmtp_delivered_to(other, BEN) == 12 && one->mails == 2);
    loop_wait(&q.r.f, q.scheduler.run_count == 2);
    assert_int_equal(lmtp_delivered_to(one, ANN), 0);
    assert_in_range(other->most_open, 1, 2);
    lmtp_release(one);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, ANN), 12);
    assert_int_equal(lmtp_delivered_to(other, BEN), 12);
    queue_end(&q);
}

static void each_destination_backs_off_by_itself(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO QUEUE BACK_OFF);
    lmtp_rule(one, "RCPT", LMTP_SAY, "450 4.2.0 later");
    go_down(other);
    submit(&a, BOTH);
    loop_wait(&q.r.f, relay_logged(&q.r, "450 4.2.0 later") == 1);
    wait_until_quiet();
    come_up(other); /* for Ben only */
    loop_wait(&q.r.f, lmtp_delivered_to(other, BEN) == 1);
    wait_until_quiet();
    loop_idle(&q.r.f);
    assert_int_equal(lmtp_said(one, "RCPT TO:<ann@"), 1);
    lmtp_no_rules(one);
    assert_int_equal(scheduler_flush(&q.scheduler, &a.id), 1);
    wait_until_empty();
    assert_delivered_to_both();
    queue_end(&q);
}

static void failed_at_one_of_them(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO QUEUE BACK_OFF);
    lmtp_rule(other, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
    go_down(one);
    submit(&a, BOTH);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=bounced") == 1);
    wait_until_quiet();
    assert_int_equal(q.scheduler.on_hold, 0); /* Ann is still to have it */
    assert_in_file(&a.id, "rcpt=1 failed", true);
    assert_in_file(&a.id, "hold ", false);
    come_up(one);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    assert_in_file(&a.id, "hold ", true);
    assert_int_equal(other->mails, 1);
    queue_end(&q);
}

static void too_old_with_one_of_them_down(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO QUEUE "maximal_queue_lifetime = 0\n");
    go_down(one);
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    submit(&a, BOTH);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    loop_idle(&q.r.f);
    assert_int_equal(q.scheduler.part_count, 1);
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_int_equal(relay_logged(&q.r, "status=expired"), 1);
    assert_in_file(&a.id, "\"expired\"\n", true);
    come_up(one);
    loop_idle(&q.r.f);
    assert_int_equal(lmtp_delivered_to(one, ANN), 0);
    queue_end(&q);
}

static void many_recipients_of_both(void **state)
{
    struct envelope *e = relay_envelope("bob@example.org", "");
    struct asker a = {0};
    char address[40];

    queue_begin_two(&q, TWO QUEUE);
    for (int i = 0; i < 240; i++) {
        snprintf(address, sizeof address, "u%d@%c.example", i, i % 3 ? 'a' : 'b');
        assert_true(envelope_add_recipient(e, span_of(address), 0, span_make(NULL, 0)));
    }
    queue_submit_envelope(&q, &a, e, 320);
    loop_wait(&q.r.f, a.answers == 1);
    wait_until_empty();
    assert_int_equal(one->delivered_count, 160);
    assert_int_equal(other->delivered_count, 80);
    assert_int_equal(one->mails, 4);
    assert_int_equal(other->mails, 2);
    queue_end(&q);
}

/* Results of one are on disk when the other has to be tried again after a restart. */
static void a_restart_in_between(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO QUEUE);
    go_down(one);
    submit(&a, BOTH);
    loop_wait(&q.r.f, lmtp_delivered_to(other, BEN) == 1);
    queue_stop(&q);
    queue_start(&q);
    loop_wait(&q.r.f, target(one)->health == UPSTREAM_DOWN);
    come_up(one);
    wait_until_empty();
    assert_delivered_to_both();
    queue_end(&q);
}

static void what_a_former_process_left(void **state)
{
    struct queue_id ids[5];

    queue_begin_two(&q, TWO);
    queue_stop(&q);
    queue_put(&q, &ids[0], BOTH, "");
    queue_put(&q, &ids[1], BOTH, "attempt 1763770300 rcpt=1 sent 2.0.0 \"250 2.0.0 ok\"\n");
    queue_put(&q, &ids[2], BOTH,
              "attempt 1763770300 rcpt=0 sent 2.0.0 \"250 2.0.0 ok\"\n"
              "attempt 1763770300 rcpt=1 sent 2.0.0 \"250 2.0.0 ok\"\n");
    queue_put(&q, &ids[3], BOTH, "hold 1763770300 \"by the operator\"\n");
    queue_put(&q, &ids[4], BOTH, "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n");
    queue_start(&q);
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 2 && lmtp_delivered_to(other, BEN) == 2 &&
                          q.scheduler.on_hold == 2);
    wait_until_quiet();
    loop_idle(&q.r.f);
    assert_int_equal(queue_files(&q), 2);
    assert_int_equal(q.scheduler.part_count, 2);
    assert_int_equal(one->mails + other->mails, 4);
    queue_end(&q);
}

/* ---- the disk ---- */

static void results_of_one_that_cannot_be_written(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO QUEUE BACK_OFF);
    go_down(one);
    disk_fault(DISK_WRITE, 0, 1, ENOSPC);
    submit(&a, BOTH);
    loop_wait(&q.r.f, relay_logged(&q.r, "cannot be recorded") == 1);
    wait_until_quiet();
    come_up(one);
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    wait_until_quiet();
    assert_int_equal(queue_files(&q),
                     1); /* not gone before the file says of all that they have it */
    scheduler_flush(&q.scheduler, NULL);
    wait_until_empty();
    assert_delivered_to_both();
    queue_end(&q);
}

/* ---- several targets ---- */

static void the_first_that_is_up_is_used(void **state)
{
    struct asker a[4] = {{.answers = 0}};
    char relay[60];

    queue_begin_two(&q, FAILOVER);
    submit(&a[0], ANN);
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    go_down(one);
    submit(&a[1], ANN);
    assert_int_equal(lmtp_delivered_to(other, ANN), 1);
    assert_int_equal(queue_files(&q), 0);
    snprintf(relay, sizeof relay, "relay=127.0.0.1[127.0.0.1]:%u, ", (unsigned)other->port);
    assert_int_equal(relay_logged(&q.r, relay), 1);
    assert_int_equal(relay_logged(&q.r, "is down: mail for it goes to the next target"), 1);
    come_up(one);
    submit(&a[2], ANN);
    assert_int_equal(lmtp_delivered_to(one, ANN), 2);
    go_down(other);
    submit(&a[3], ANN);
    assert_int_equal(lmtp_delivered_to(one, ANN), 3);
    queue_end(&q);
}

/* Nobody knows yet that it is dead. */
static void one_that_does_not_answer_is_passed_over_at_once(void **state)
{
    struct asker a = {0}, b = {0};

    queue_begin_two(&q, FAILOVER "delivery_mode = direct\n");
    lmtp_down(one);
    submit(&a, ANN " " BEN);
    assert_int_equal(lmtp_delivered_to(other, ANN), 1);
    assert_int_equal(lmtp_delivered_to(other, BEN), 1);
    assert_int_equal(queue_files(&q), 0);
    queue_reload_two(&q, FAILOVER QUEUE);
    submit(&b, ANN);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(other, ANN), 2);
    assert_int_equal(relay_logged(&q.r, "status=deferred"), 0);
    queue_end(&q);
}

static void all_are_down_and_come_back(void **state)
{
    struct asker a[6] = {{.answers = 0}};

    queue_begin_two(&q, FAILOVER);
    go_down(one);
    go_down(other);
    for (size_t i = 0; i < 6; i++)
        submit(&a[i], ANN);
    assert_int_equal(queue_files(&q), 6);
    assert_int_equal(relay_logged(&q.r, "status=deferred ("), 6);
    come_up(other);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(other, ANN), 6);
    come_up(one);
    submit(&(struct asker){0}, ANN);
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    queue_end(&q);
}

/* What it says of a recipient holds; the others go on. */
static void a_refusal_is_final_and_trouble_moves_the_rest(void **state)
{
    struct asker a = {0};
    char relay[60];

    queue_begin_two(&q, FAILOVER);
    lmtp_rule(one, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "ann@";
    lmtp_rule(one, "BODY", LMTP_RESET, NULL);
    queue_submit(&q, &a, ANN " " BEN " cat@a.example", 3000000); /* the dot is far away */
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(lmtp_delivered_to(other, BEN), 1);
    assert_int_equal(lmtp_delivered_to(other, "cat@a.example"), 1);
    assert_int_equal(lmtp_said(other, "RCPT TO:<ann@"), 0);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_in_file(&a.id, "rcpt=0 failed", true);
    snprintf(relay, sizeof relay, "relay=127.0.0.1[127.0.0.1]:%u, ", (unsigned)one->port);
    assert_int_equal(relay_logged(&q.r, relay), 1);
    snprintf(relay, sizeof relay, "relay=127.0.0.1[127.0.0.1]:%u, ", (unsigned)other->port);
    assert_int_equal(relay_logged(&q.r, relay), 2);
    queue_end(&q);
}

/* 4xx: of the message it is the target's trouble, of a recipient it is not. */
static void what_moves_and_what_does_not(void **state)
{
    static const struct {
        const char *event;
        const char *reply;
        bool moves;
    } rows[] = {
        {"MAIL", "451 4.3.0 no room",      true },
        {"MAIL", "550 5.7.1 not from you", true },
        {"RCPT", "530 5.7.0 log in first", true },
        {"RCPT", "421 4.3.2 going away",   true },
        {"DATA", "452 4.3.1 no room",      true },
        {"RCPT", "450 4.2.0 busy",         false},
        {"RCPT", "452 4.5.3 too many",     false},
        {".",    "452 4.2.2 full",         false},
    };

    queue_begin_two(&q, FAILOVER BACK_OFF);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct asker a = {0};
        unsigned before = lmtp_delivered_to(other, ANN);
        unsigned deferred = relay_logged(&q.r, "status=deferred");

        lmtp_rule(one, rows[i].event, LMTP_SAY, rows[i].reply);
        submit(&a, ANN);
        loop_idle(&q.r.f);
        if (lmtp_delivered_to(other, ANN) - before != rows[i].moves ||
            relay_logged(&q.r, "status=deferred") - deferred != !rows[i].moves)
            fail_msg("%s %s", rows[i].event, rows[i].reply);
        lmtp_no_rules(one);
        loop_wait(&q.r.f, target(one)->health == UPSTREAM_UP);
        scheduler_flush(&q.scheduler, NULL);
        wait_until_empty();
    }
    queue_end(&q);
}

/* It may have been stored: nobody else gets it, not even a moment later. */
static void a_dot_without_a_reply_moves_nothing(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, FAILOVER BACK_OFF);
    lmtp_rule(one, ".", LMTP_RESET, NULL);
    submit(&a, ANN);
    wait_until_quiet();
    loop_idle(&q.r.f);
    assert_int_equal(other->mails, 0);
    assert_int_equal(one->dots, 1);
    assert_in_file(&a.id, "rcpt=0 deferred", true);
    lmtp_no_rules(one);
    scheduler_flush(&q.scheduler, NULL);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    assert_int_equal(other->mails, 0);
    queue_end(&q);
}

/* A body in a file, which is being read when the conversation breaks. */
static void a_large_message_moves_whole(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, FAILOVER QUEUE);
    lmtp_rule(one, "BODY", LMTP_RESET, NULL);
    queue_submit(&q, &a, ANN, 3000000);
    loop_wait(&q.r.f, a.answers == 1);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(other, ANN), 1);
    assert_int_equal(other->delivered[0].len, 3000000);
    queue_end(&q);
}

/* It breaks every conversation everywhere: others go on. */
static void a_poison_message_backs_off_alone(void **state)
{
    struct asker a = {0}, b = {0};

    queue_begin_two(&q, FAILOVER QUEUE BACK_OFF);
    lmtp_rule(one, "RCPT", LMTP_RESET, NULL)->contains = "ann@";
    lmtp_rule(other, "RCPT", LMTP_RESET, NULL)->contains = "ann@";
    submit(&a, ANN);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=deferred") == QUEUE_BREAKS_MAX);
    wait_until_quiet();
    submit(&b, BEN);
    loop_wait(&q.r.f, lmtp_delivered_to(one, BEN) == 1);
    wait_until_quiet();
    assert_int_equal(queue_files(&q), 1);
    lmtp_no_rules(one);
    lmtp_no_rules(other);
    scheduler_flush(&q.scheduler, NULL);
    wait_until_empty();
    queue_end(&q);
}

/* ---- a reload ---- */

static void queued_mail_follows_the_map(void **state)
{
    struct asker a[6] = {{.answers = 0}};

    queue_begin_two(&q, TWO QUEUE BACK_OFF);
    go_down(one);
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later")->times = 3;
    for (size_t i = 0; i < 6; i++)
        submit(&a[i], i % 2 ? BOTH : ANN);
    loop_wait(&q.r.f, relay_logged(&q.r, "450 4.2.0 later") == 3);
    wait_until_quiet();
    queue_reload_two(&q, SWAPPED QUEUE BACK_OFF); /* Ann's is up now, Ben's is down */
    loop_wait(&q.r.f, lmtp_delivered_to(other, ANN) == 6);
    wait_until_quiet();
    assert_int_equal(queue_files(&q), 3);
    assert_int_equal(lmtp_delivered_to(other, BEN), 0);
    come_up(one);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, BEN), 3);
    assert_int_equal(lmtp_delivered_to(one, ANN), 0);
    queue_end(&q);
}

/* What is under way ends where it began; only then the rest is given to others. */
static void a_reload_in_the_middle(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO QUEUE BACK_OFF);
    lmtp_rule(one, ".", LMTP_SILENCE, NULL)->times = 1;
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later")->times = 1;
    submit(&a, BOTH);
    loop_wait(&q.r.f, one->dots == 1 && relay_logged(&q.r, "450 4.2.0") == 1);
    loop_wait(&q.r.f, q.scheduler.run_count == 1);
    queue_reload_two(&q, SWAPPED QUEUE BACK_OFF);
    loop_idle(&q.r.f);
    assert_int_equal(one->mails, 1);
    assert_int_equal(other->mails, 1);
    lmtp_release(one);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    assert_int_equal(lmtp_delivered_to(one, BEN), 1);
    assert_int_equal(lmtp_delivered_to(other, ANN) + lmtp_delivered_to(other, BEN), 0);
    queue_end(&q);
}

/* The map changes while a direct delivery has sent its dot, before and after the commit. */
static void a_reload_while_mail_is_taken(void **state)
{
    struct asker a = {0}, b = {0};

    queue_begin_two(&q, TWO "direct_timeout = 300ms\n" BACK_OFF);
    lmtp_rule(one, ".", LMTP_SILENCE, NULL);
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    queue_submit(&q, &a, BOTH, 320);
    loop_wait(&q.r.f, one->dots == 1 && lmtp_said(other, "RCPT") == 1);
    queue_reload_two(&q, SWAPPED "direct_timeout = 300ms\n" BACK_OFF);
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(a.verdict.code, 250);
    lmtp_no_rules(other);
    loop_idle(&q.r.f);
    assert_int_equal(lmtp_said(other, "ann@"), 0); /* the one may have it for her */
    lmtp_no_rules(one);
    lmtp_release(one);
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    wait_until_quiet();
    scheduler_flush(&q.scheduler, NULL);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, BEN), 1);

    lmtp_rule(one, ".", LMTP_SILENCE, NULL);
    submit(&b, BOTH); /* Ben's is late now */
    queue_reload_two(&q, TWO "direct_timeout = 300ms\n" BACK_OFF);
    loop_idle(&q.r.f);
    lmtp_no_rules(one);
    lmtp_release_saying(one, "452 4.2.2 full");
    wait_until_quiet();
    loop_wait(&q.r.f, lmtp_delivered_to(other, BEN) == 1); /* his destination now */
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, BEN), 2); /* the second one was refused then */
    assert_int_equal(lmtp_delivered_to(other, ANN), 1);
    queue_end(&q);
}

static void retired_targets_end(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO);
    submit(&a, BOTH);
    assert_int_equal(other->open, 1);
    queue_reload_two(&q, DOMAINS "relay_transport = lmtp:[127.0.0.1]:%u\n#%u\n");
    loop_wait(&q.r.f, other->open == 0);
    submit(&(struct asker){0}, BEN);
    assert_int_equal(lmtp_delivered_to(one, BEN), 1);
    queue_reload_two(&q, TWO);
    submit(&(struct asker){0}, BEN);
    assert_int_equal(lmtp_delivered_to(other, BEN), 2);
    assert_int_equal(q.relay.upstreams->next->next == NULL, 1); /* the old one was taken back */
    queue_end(&q);
}

/* ---- the operator ---- */

static void a_site_is_flushed_alone(void **state)
{
    struct asker a = {0}, b = {0}, c = {0};

    queue_begin_two(&q, DOMAINS QUEUE BACK_OFF "relay_transport = lmtp:[127.0.0.1]:%u\n#%u\n");
    lmtp_rule(one, "RCPT", LMTP_SAY, "450 4.2.0 later");
    submit(&a, ANN);
    submit(&b, BEN);
    submit(&c, BOTH);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=deferred") == 4);
    wait_until_quiet();
    lmtp_no_rules(one);
    assert_int_equal(scheduler_flush_site(&q.scheduler, "nobody.example"), 0);
    assert_int_equal(scheduler_flush_site(&q.scheduler, "B.example"), 2);
    loop_wait(&q.r.f, lmtp_delivered_to(one, BEN) == 2);
    wait_until_quiet();
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    assert_int_equal(queue_files(&q), 1);
    assert_int_equal(scheduler_flush_site(&q.scheduler, "a.example"), 1);
    wait_until_empty();
    queue_end(&q);
}

static void status_tells_of_each_target(void **state)
{
    static struct status status;
    struct asker a = {0};

    queue_begin_two(&q, DOMAINS
                    "relay_transport = lmtp:[127.0.0.1]:%u, lmtp:[127.0.0.1]:%u\n"
                    "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:9 .c.example=lmtp:[127.0."
                    "0.1]:9 }\n");
    go_down(one);
    submit(&a, BEN);
    scheduler_status(&q.scheduler, &status);
    assert_int_equal(status.destinations, 3);
    assert_int_equal(status.destination[0].order, 1);
    assert_int_equal(status.destination[0].of, 2);
    assert_false(status.destination[0].up);
    assert_true(status.destination[0].covered);
    assert_string_equal(status.destination[0].serves, "all others");
    assert_int_equal(status.destination[1].order, 2);
    assert_true(status.destination[1].up);
    assert_false(status.destination[1].covered);
    assert_string_equal(status.destination[2].name, "lmtp:[127.0.0.1]:9");
    assert_string_equal(status.destination[2].serves, ".c.example, b.example");
    assert_int_equal(status.destination[2].queued, 1);
    assert_false(status.destination[2].covered);
    queue_end(&q);
}

static void an_entry_is_small(void **state)
{
    assert_in_range(sizeof(struct queue_entry), 1, 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_destination_gets_its_recipients),
        cmocka_unit_test(one_that_is_down_spools_its_own_only),
        cmocka_unit_test(all_refused_all_delivered_or_mixed),
        cmocka_unit_test(a_silent_one_holds_nobody_back),
        cmocka_unit_test(two_late_dots),
        cmocka_unit_test(queued_mail_goes_to_both),
        cmocka_unit_test(a_dead_destination_holds_nobody_back),
        cmocka_unit_test(a_hanging_destination_holds_nobody_back),
        cmocka_unit_test(each_destination_backs_off_by_itself),
        cmocka_unit_test(failed_at_one_of_them),
        cmocka_unit_test(too_old_with_one_of_them_down),
        cmocka_unit_test(many_recipients_of_both),
        cmocka_unit_test(a_restart_in_between),
        cmocka_unit_test(what_a_former_process_left),
        cmocka_unit_test(results_of_one_that_cannot_be_written),
        cmocka_unit_test(the_first_that_is_up_is_used),
        cmocka_unit_test(one_that_does_not_answer_is_passed_over_at_once),
        cmocka_unit_test(all_are_down_and_come_back),
        cmocka_unit_test(a_refusal_is_final_and_trouble_moves_the_rest),
        cmocka_unit_test(what_moves_and_what_does_not),
        cmocka_unit_test(a_dot_without_a_reply_moves_nothing),
        cmocka_unit_test(a_large_message_moves_whole),
        cmocka_unit_test(a_poison_message_backs_off_alone),
        cmocka_unit_test(queued_mail_follows_the_map),
        cmocka_unit_test(a_reload_in_the_middle),
        cmocka_unit_test(a_reload_while_mail_is_taken),
        cmocka_unit_test(retired_targets_end),
        cmocka_unit_test(a_site_is_flushed_alone),
        cmocka_unit_test(status_tells_of_each_target),
        cmocka_unit_test(an_entry_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
