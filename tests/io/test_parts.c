/* Tests of a message with several destinations and what befalls it as a whole: an operator's
 * orders, a restart, a disk that fails; against two LMTP peers. `one` is a.example's, `other` is
 * b.example's. */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"
#include "queue/scheduler_operator.h"
#include "relay/upstream_internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACK_OFF "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
#define QUEUE    "delivery_mode = queue\n"
#define DOMAINS  "relay_domains = a.example b.example\n"
#define DIRECT                                                                                     \
    DOMAINS "relay_transport = lmtp:[127.0.0.1]:%u\n"                                              \
            "transport_maps = inline:{ b.example=lmtp:[127.0.0.1]:%u }\n" BACK_OFF
#define TWO DIRECT QUEUE
/* everything to the other */
#define ONLY_OTHER DOMAINS "#%u\nrelay_transport = lmtp:[127.0.0.1]:%u\n" BACK_OFF QUEUE
#define ANN        "ann@a.example"
#define JOE        "joe@a.example"
#define BEN        "ben@b.example"

static struct queue_fixture q;

#define one   (&q.r.lmtp)
#define other (&q.other)

static void on_done(void *ctx, const struct queue_order_result *result)
{
    unsigned *done = ctx;

    *done = 1 + (result->count > 0 ? result->done[0] : 0);
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
    loop_wait(&q.r.f, done > 0);
    return done > 1;
}

static void wait_until_empty(void)
{
    loop_wait(&q.r.f, q.scheduler.entries == NULL && queue_files(&q) == 0);
    assert_int_equal(q.scheduler.part_count, 0);
}

static void wait_until_quiet(void)
{
    loop_wait(&q.r.f, q.intake.in_flight == 0 && scheduler_idle(&q.scheduler));
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

/* Its time counts from the release, for all of its destinations, after a restart too. */
static void released_and_a_restart(void **state)
{
    struct queue_id id;
    char records[200];

    queue_begin_two(&q, TWO);
    queue_stop(&q);
    q.age_s = 30 * 86400;
    snprintf(records, sizeof records,
             "hold 1763770300 \"expired\"\nrelease %lld \"by the operator\"\n",
             (long long)time(NULL));
    queue_put(&q, &id, ANN " " BEN, records);
    lmtp_rule(one, "RCPT", LMTP_SAY, "450 4.2.0 later");
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    queue_start(&q);
    loop_wait(&q.r.f, relay_logged(&q.r, "450 4.2.0 later") == 2);
    wait_until_quiet();
    assert_int_equal(q.scheduler.on_hold, 0);
    assert_int_equal(relay_logged(&q.r, "status=expired"), 0);
    queue_end(&q);
}

/* On hold when its deliveries end, unless all was sent. */
static void held_while_the_last_of_them_is_sent(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO);
    lmtp_rule(one, ".", LMTP_SILENCE, NULL);
    submit(&a, ANN " " BEN);
    loop_wait(&q.r.f,
              one->dots == 1 && q.scheduler.run_count == 1 && lmtp_delivered_to(other, BEN) == 1);
    assert_true(ordered(QUEUE_ORDER_HOLD, &a.id));
    lmtp_release(one);
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    wait_until_quiet();
    assert_int_equal(q.scheduler.on_hold, 0);
    wait_until_empty();
    queue_end(&q);
}

/* Ann has it, Joe does not, and that could not be written. */
static void unsaved(struct asker *a, const char *recipients)
{
    queue_begin_two(&q, TWO);
    lmtp_rule(one, "RCPT", LMTP_SAY, "450 4.2.0 later")->contains = "joe@";
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    disk_fault(DISK_WRITE, 0, 2, ENOSPC);
    submit(a, recipients);
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    wait_until_quiet();
    disk_fault_none();
    lmtp_no_rules(one);
    lmtp_no_rules(other);
    go_down(one);
}

/* What could not be written needs no destination: a flush has it written. */
static void a_flush_writes_what_is_unsaved(void **state)
{
    struct asker a = {0};
    char *file;

    unsaved(&a, ANN " " JOE);
    scheduler_flush(&q.scheduler, NULL);
    wait_until_quiet();
    file = queue_file(&q, &a.id);
    assert_non_null(strstr(file, "rcpt=0 sent"));
    free(file);
    queue_end(&q);
}

static void unsaved_flushed_and_a_reload(void **state)
{
    struct asker a = {0};

    unsaved(&a, ANN " " JOE);
    scheduler_flush(&q.scheduler, NULL);
    queue_reload_two(&q, ONLY_OTHER);
    scheduler_flush(&q.scheduler, NULL);
    loop_wait(&q.r.f, lmtp_delivered_to(other, JOE) == 1);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(other, ANN), 0);
    queue_end(&q);
}

/* The destination that is down does not hold back the others. */
static void unsaved_flushed_and_requeued(void **state)
{
    struct asker a = {0};

    unsaved(&a, ANN " " JOE " " BEN);
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    scheduler_flush(&q.scheduler, NULL);
    loop_wait(&q.r.f, relay_logged(&q.r, "450 4.2.0 later") >= 2);
    wait_until_quiet();
    lmtp_no_rules(other);
    assert_true(ordered(QUEUE_ORDER_REQUEUE, &a.id));
    loop_wait(&q.r.f, lmtp_delivered_to(other, BEN) == 1);
    queue_end(&q);
}

/* Ann was refused; asked for again, she has not to wait for Ben's destination. */
static void requeued_where_the_other_is_down(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, DIRECT);
    lmtp_rule(one, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
    go_down(other);
    submit(&a, ANN " " BEN);
    wait_until_quiet();
    lmtp_no_rules(one);
    assert_true(ordered(QUEUE_ORDER_REQUEUE, &a.id));
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    queue_end(&q);
}

/* The same when Ben's says 4xx: before, and while a delivery to it is under way. */
static void requeued_where_the_other_defers(void **state)
{
    struct asker a = {0}, b = {0};

    queue_begin_two(&q, DIRECT);
    lmtp_rule(one, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    submit(&a, ANN " " BEN);
    submit(&b, ANN " " BEN);
    wait_until_quiet();
    lmtp_no_rules(one);
    assert_true(ordered(QUEUE_ORDER_REQUEUE, &a.id));
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    wait_until_quiet();
    lmtp_no_rules(other);
    lmtp_rule(other, ".", LMTP_SILENCE, NULL)->times = 1;
    scheduler_flush(&q.scheduler, &b.id);
    loop_wait(&q.r.f, other->dots == 1);
    assert_true(ordered(QUEUE_ORDER_REQUEUE, &b.id));
    lmtp_release_saying(other, "452 4.2.2 full");
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 2);
    queue_end(&q);
}

static void released_where_the_other_is_down(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, DIRECT);
    lmtp_rule(one, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
    lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later");
    submit(&a, ANN " " BEN);
    wait_until_quiet();
    lmtp_no_rules(other);
    scheduler_flush(&q.scheduler, NULL);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_int_equal(lmtp_delivered_to(other, BEN), 1);
    wait_until_quiet();
    go_down(other);
    lmtp_no_rules(one);
    assert_true(ordered(QUEUE_ORDER_RELEASE, &a.id));
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(one, ANN), 1);
    queue_end(&q);
}

/* Ann was refused, Ben's delivery is under way and will succeed: she is tried again after it. */
static void requeued_while_the_last_is_sent(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct asker a = {0};

        queue_begin_two(&q, i == 0 ? DIRECT "direct_timeout = 200ms\n" : ONLY_OTHER);
        lmtp_rule(one, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "ann@";
        lmtp_rule(other, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "ann@";
        lmtp_rule(other, ".", LMTP_SILENCE, NULL)->times = 1;
        if (i == 1) {
            lmtp_rule(other, "RCPT", LMTP_SAY, "450 4.2.0 later")->times = 1;
            submit(&a, ANN " " BEN);
            loop_wait(&q.r.f, relay_logged(&q.r, "status=deferred") == 1);
            wait_until_quiet();
            scheduler_flush(&q.scheduler, NULL);
            loop_wait(&q.r.f, other->dots == 1);
        } else {
            submit(&a, ANN " " BEN);
        }
        lmtp_no_rules(one);
        assert_true(ordered(QUEUE_ORDER_REQUEUE, &a.id));
        lmtp_release(other);
        lmtp_no_rules(other);
        loop_wait(&q.r.f, lmtp_delivered_to(i == 0 ? one : other, ANN) == 1);
        wait_until_empty();
        queue_end(&q);
    }
}

/* ---- one part's results are written while another one reads the file ---- */

static struct disk_calls raced;
static const struct disk_calls *before_race;
static atomic_int stage; /* of what follows: PARTLY, READING, CUT */

enum { IDLE, PARTLY, READING, CUT };

static void wait_for_stage(int wanted)
{
    for (int i = 0; i < 1000 && stage != wanted; i++)
        usleep(5000);
}

/* The disk is full in the middle of the record. */
static ssize_t race_write(int fd, const void *buf, size_t len)
{
    static size_t written;

    if (stage == IDLE && written == 0) {
        written = len / 2;
        return before_race->write(fd, buf, written);
    }
    if (stage == IDLE) {
        stage = PARTLY;
        wait_for_stage(READING);
        errno = ENOSPC;
        return -1;
    }
    return before_race->write(fd, buf, len);
}

static int race_ftruncate(int fd, off_t len)
{
    int rc = before_race->ftruncate(fd, len);

    if (stage == READING)
        stage = CUT;
    return rc;
}

/* The reader knows the size already. */
static ssize_t race_pread(int fd, void *buf, size_t len, off_t offset)
{
    if (stage == PARTLY) {
        stage = READING;
        wait_for_stage(CUT);
    }
    return before_race->pread(fd, buf, len, offset);
}

static void read_while_a_record_is_taken_back(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO);
    go_down(other);
    before_race = disk_calls;
    raced = *disk_calls;
    raced.write = race_write;
    raced.ftruncate = race_ftruncate;
    raced.pread = race_pread;
    stage = IDLE;
    disk_calls = &raced;
    submit(&a, ANN " " BEN);
    loop_wait(&q.r.f, stage == PARTLY);
    lmtp_up(other);
    loop_wait(&q.r.f, stage == CUT);
    wait_until_quiet();
    disk_calls = before_race;
    assert_int_equal(disk_names(&q.d, "corrupt"), 0);
    scheduler_flush(&q.scheduler, NULL);
    loop_wait(&q.r.f, lmtp_delivered_to(other, BEN) == 1);
    wait_until_empty();
    queue_end(&q);
}

/* The loop was busy when an extra session was refused: its clock is behind. */
static void the_end_of_a_hold_is_not_missed(void **state)
{
    struct asker a = {0};

    queue_begin_two(&q, TWO "lmtp_connection_idle_time = 0\n");
    loop_wait(&q.r.f, one->open == 0 && target(one)->session_count == 0);
    usleep(200000);
    upstream_hold_opening(target(one));
    submit(&a, ANN);
    loop_wait(&q.r.f, lmtp_delivered_to(one, ANN) == 1);
    wait_until_empty();
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(released_and_a_restart),
        cmocka_unit_test(held_while_the_last_of_them_is_sent),
        cmocka_unit_test(a_flush_writes_what_is_unsaved),
        cmocka_unit_test(unsaved_flushed_and_a_reload),
        cmocka_unit_test(unsaved_flushed_and_requeued),
        cmocka_unit_test(requeued_where_the_other_is_down),
        cmocka_unit_test(requeued_where_the_other_defers),
        cmocka_unit_test(released_where_the_other_is_down),
        cmocka_unit_test(requeued_while_the_last_is_sent),
        cmocka_unit_test(read_while_a_record_is_taken_back),
        cmocka_unit_test(the_end_of_a_hold_is_not_missed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
