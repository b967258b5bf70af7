/* Tests of intake: the answer to a message, and where it is then; against a real spool and an LMTP
 * peer. */
#include "queue_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACK_OFF "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"

static struct queue_fixture q;

static bool queue_is_empty(void)
{
    return q.scheduler.entries == NULL && queue_files(&q) == 0;
}

static void wait_until_empty(void)
{
    loop_wait(&q.r.f, queue_is_empty());
}

/* ---- direct: the answer is the destination's ---- */

static void all_delivered_leaves_nothing_on_disk(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "");
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com joe@example.com"), 250);
    assert_non_null(strstr(a.verdict.line, "2.0.0 Ok: queued as "));
    assert_non_null(strstr(a.verdict.line, a.id.text));
    assert_int_equal(disk_count(DISK_PWRITEV) + disk_count(DISK_RENAME), 0);
    assert_int_equal(q.intake.in_flight, 0);
    assert_int_equal(q.intake.messages_in, 1);
    assert_int_equal(q.intake.sent_directly, 2);
    assert_int_equal(relay_logged(&q.r, "status=sent (250 2.0.0"), 2);
    assert_int_equal(relay_logged(&q.r, ": removed"), 1);
    assert_true(queue_is_body(&q, 0, 320));
    assert_true(queue_is_empty());
    queue_end(&q);
}

static void the_refusal_of_all_goes_to_the_client(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "");
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "ann@";
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "554 5.6.0 no such content")->contains = "joe@";
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com joe@example.com"), 550);
    assert_non_null(strstr(a.verdict.line, "550 5.1.1 <ann@example.com>: host "));
    assert_int_equal(relay_logged(&q.r, "status="), 0); /* the client tells its user */
    assert_true(queue_is_empty());
    assert_int_equal(q.intake.messages_in, 0);
    queue_end(&q);
}

static void the_refusal_of_the_only_one_too(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "");
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "554 5.6.0 no such content");
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 554);
    assert_true(queue_is_empty());
    assert_int_equal(q.intake.messages_in, 0);
    queue_end(&q);
}

static void who_was_deferred_is_queued(void **state)
{
    struct asker a = {0};
    char *file;

    queue_begin(&q, BACK_OFF);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "joe@";
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com joe@example.com"), 250);
    assert_int_equal(queue_files(&q), 1);
    file = queue_file(&q, &a.id);
    assert_non_null(strstr(file, "rcpt=0 sent 2.0.0"));
    assert_non_null(strstr(file, "rcpt=1 deferred 4.2.2"));
    free(file);
    loop_idle(&q.r.f);
    assert_int_equal(q.r.lmtp.dots, 1); /* backs off */
    lmtp_no_rules(&q.r.lmtp);
    assert_int_equal(scheduler_flush(&q.scheduler, NULL), 1);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "joe@example.com"), 1);
    queue_end(&q);
}

static void some_delivered_and_some_refused(void **state)
{
    struct asker a = {0};
    char *file;

    queue_begin(&q, "");
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com joe@example.com"), 250);
    file = queue_file(&q, &a.id);
    assert_non_null(strstr(file, "rcpt=1 failed 5.1.1"));
    assert_non_null(strstr(file, "\nhold "));
    free(file);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_int_equal(q.scheduler.operator_needed, 1);
    loop_idle(&q.r.f);
    assert_int_equal(q.r.lmtp.dots, 1);
    queue_end(&q);
}

static void many_recipients_go_in_several_transactions(void **state)
{
    struct envelope *e = relay_envelope("bob@example.org", "");
    struct asker a = {0};
    char address[40];

    queue_begin(&q, "");
    for (int i = 0; i < 120; i++) {
        snprintf(address, sizeof address, "user%d@example.com", i);
        assert_true(envelope_add_recipient(e, span_of(address), 0, span_make(NULL, 0)));
    }
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "user77@";
    queue_submit_envelope(&q, &a, e, 320);
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(a.verdict.code, 250);
    assert_int_equal(q.r.lmtp.dots, 3);
    assert_int_equal(q.intake.sent_directly, 119);
    lmtp_no_rules(&q.r.lmtp);
    scheduler_flush(&q.scheduler, NULL);
    wait_until_empty();
    assert_int_equal(q.r.lmtp.delivered_count, 120);
    queue_end(&q);
}

static void bodies_of_all_sizes(void **state)
{
    static const size_t sizes[] = {0, 32, 65504, 65536, 65568, 300000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct asker a = {0};

        queue_begin(&q, "direct_timeout = 10s\n");
        queue_submit(&q, &a, "ann@example.com", sizes[i]);
        loop_wait(&q.r.f, a.answers == 1);
        assert_int_equal(a.verdict.code, 250);
        assert_true(queue_is_body(&q, 0, sizes[i]));
        assert_true(queue_is_empty());
        queue_end(&q);
    }
}

/* A whole buffer goes out while the stream collects; the socket takes it, and the delivery must go
 * on. */
static void a_body_that_fills_its_buffer_does_not_stand_still(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "direct_timeout = 10s\n");
    queue_submit(&q, &a, "ann@example.com", 65536);
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(q.intake.sent_directly, 1);
    assert_true(queue_is_empty());
    queue_end(&q);
}

/* ---- direct: the destination is in trouble ---- */

static void mail_for_a_dead_destination_is_kept(void **state)
{
    struct asker a[3] = {{.answers = 0}};

    queue_begin_down(&q, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(queue_submitted(&q, &a[i], "ann@example.com joe@example.com"), 250);
    assert_int_equal(queue_files(&q), 3);
    assert_int_equal(relay_logged(&q.r, "status=deferred (connect to"), 2); /* the first mail */
    assert_int_equal(
        relay_logged(&q.r, "status=deferred (delivery temporarily suspended: connect to"), 4);
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 3);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "joe@example.com"), 3);
    queue_end(&q);
}

static void a_large_message_is_kept_as_well(void **state)
{
    struct asker a = {0};

    queue_begin_down(&q, "");
    queue_submit(&q, &a, "ann@example.com", 300000);
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(a.verdict.code, 250);
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_true(queue_is_body(&q, 0, 300000));
    queue_end(&q);
}

static void a_conversation_that_breaks_is_taken_up_by_the_queue(void **state)
{
    static const char *const steps[] = {"MAIL", "RCPT", "DATA", "BODY", "."};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct asker a = {0};

        queue_begin(&q, "");
        lmtp_rule(&q.r.lmtp, steps[i], LMTP_RESET, NULL)->times = 2;
        assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
        wait_until_empty();
        assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
        queue_end(&q);
    }
}

/* ---- direct_timeout ---- */

static void too_slow_before_the_dot(void **state)
{
    static const char *const steps[] = {"MAIL", "RCPT", "DATA"};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct asker a = {0};

        queue_begin(&q, "direct_timeout = 100ms\n");
        lmtp_rule(&q.r.lmtp, steps[i], LMTP_SILENCE, NULL)->times = 1;
        assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
        assert_int_equal(relay_logged(&q.r, "did not answer within direct_timeout"), 1);
        wait_until_empty();
        lmtp_release(&q.r.lmtp);
        loop_idle(&q.r.f);
        assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
        queue_end(&q);
    }
}

static void too_slow_to_take_the_body(void **state)
{
    struct asker a = {0};
    size_t size = 20 << 20; /* more than the sockets hold */

    queue_begin(&q, "direct_timeout = 1s\n");
    lmtp_pause(&q.r.lmtp, true);
    queue_submit(&q, &a, "ann@example.com", size);
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(a.verdict.code, 250);
    assert_int_equal(queue_files(&q), 1);
    lmtp_pause(&q.r.lmtp, false);
    wait_until_empty();
    assert_int_equal(q.r.lmtp.delivered_count, 1);
    assert_true(queue_is_body(&q, 0, size));
    queue_end(&q);
}

/* The dot is out: nobody knows what became of it, so no second delivery is begun. */
static void too_slow_after_the_dot(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "direct_timeout = 100ms\n");
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
    assert_int_equal(queue_files(&q), 1);
    scheduler_flush(&q.scheduler, NULL);
    loop_idle(&q.r.f);
    assert_int_equal(q.r.lmtp.mails, 1);
    assert_int_equal(q.intake.in_flight, 1);
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(q.r.lmtp.mails, 1);
    assert_int_equal(relay_logged(&q.r, "status=sent"), 1);
    assert_int_equal(relay_logged(&q.r, ": removed"), 1);
    queue_end(&q);
}

static void after_the_dot_some_and_some(void **state)
{
    struct asker a = {0};
    char *file;

    queue_begin(&q, "direct_timeout = 100ms\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->contains = "ann@";
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "joe@";
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com joe@example.com"), 250);
    lmtp_release(&q.r.lmtp);
    loop_wait(&q.r.f, q.intake.in_flight == 0 && q.scheduler.run_count == 0);
    file = queue_file(&q, &a.id);
    assert_non_null(strstr(file, "rcpt=0 sent 2.0.0"));
    assert_non_null(strstr(file, "rcpt=1 deferred 4.2.2"));
    free(file);
    lmtp_no_rules(&q.r.lmtp);
    assert_int_equal(scheduler_flush(&q.scheduler, &a.id), 1);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "joe@example.com"), 1);
    queue_end(&q);
}

static void after_the_dot_refused_by_all(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "direct_timeout = 100ms\n");
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
    lmtp_release_saying(&q.r.lmtp, "554 5.7.1 spam");
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_int_equal(queue_files(&q), 1);
    queue_end(&q);
}

static void after_the_dot_the_connection_breaks(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "direct_timeout = 100ms\n");
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
    lmtp_drop_all(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(relay_logged(&q.r, "message may be sent more than once"), 1);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 2); /* it was; and again */
    queue_end(&q);
}

/* ---- the disk fails ---- */

static void what_cannot_be_kept_is_not_taken(void **state)
{
    static const struct {
        enum disk_call call;
        unsigned skip;
        int error;
        unsigned code;
    } faults[] = {
        {DISK_OPENAT,  0, EMFILE, 451},
        {DISK_OPENAT,  0, EROFS,  451},
        {DISK_PWRITEV, 0, ENOSPC, 452},
        {DISK_PWRITEV, 0, EDQUOT, 452},
        {DISK_PWRITEV, 0, EIO,    451},
        {DISK_FSYNC,   0, EIO,    451},
        {DISK_RENAME,  0, EIO,    451},
        {DISK_FSYNC,   1, EIO,    451}, /* of the folder */
    };

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct asker a = {0}, again = {0};

        queue_begin_down(&q, "");
        disk_fault(faults[i].call, faults[i].skip, 1, faults[i].error);
        assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), faults[i].code);
        assert_true(disk_fault_fired());
        assert_true(queue_is_empty());
        assert_int_equal(disk_names(&q.d, "incoming"), 0);
        assert_int_equal(relay_logged(&q.r, "the message is not taken"), 1);
        assert_int_equal(queue_submitted(&q, &again, "ann@example.com"), 250);
        lmtp_up(&q.r.lmtp);
        wait_until_empty();
        assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
        queue_end(&q);
    }
}

static atomic_bool sync_may_go;

static void hold_sync(int fd)
{
    while (!sync_may_go)
        uv_sleep(1);
}

/* The commit fails, but meanwhile the destination said that it has the message: it must not come
 * twice. */
static void delivered_while_the_commit_failed(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "direct_timeout = 100ms\n");
    sync_may_go = false;
    disk_fault(DISK_FSYNC, 0, 1, EIO);
    disk_on_fsync(hold_sync);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    queue_submit(&q, &a, "ann@example.com", 320);
    loop_wait(&q.r.f, disk_count(DISK_PWRITEV) > 0);
    lmtp_release(&q.r.lmtp);
    loop_wait(&q.r.f, q.relay.upstreams->active == 0);
    assert_int_equal(a.answers, 0);
    sync_may_go = true;
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(a.verdict.code, 250);
    assert_int_equal(relay_logged(&q.r, "status=sent"), 1);
    assert_true(queue_is_empty());
    queue_end(&q);
}

static void delivered_while_the_commit_was_under_way(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "direct_timeout = 100ms\n");
    sync_may_go = false;
    disk_on_fsync(hold_sync);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    queue_submit(&q, &a, "ann@example.com", 320);
    loop_wait(&q.r.f, disk_count(DISK_PWRITEV) > 0);
    lmtp_release(&q.r.lmtp);
    loop_wait(&q.r.f, q.relay.upstreams->active == 0);
    sync_may_go = true;
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(a.verdict.code, 250);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    assert_int_equal(q.r.lmtp.mails, 1);
    queue_end(&q);
}

/* ---- queue mode, and what else there is ---- */

static void queue_mode_answers_from_the_disk(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n");
    lmtp_rule(&q.r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
    assert_int_equal(queue_files(&q), 1);
    loop_wait(&q.r.f, q.r.lmtp.mails == 1);
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    queue_end(&q);
}

static void whoever_is_gone_is_not_told(void **state)
{
    struct asker a = {0}, b = {0};

    queue_begin(&q, "");
    queue_submit(&q, &a, "ann@example.com", 320);
    queue_submit(&q, &b, "joe@example.com", 320);
    intake_forget(&q.intake, &a);
    loop_wait(&q.r.f, q.intake.in_flight == 0);
    assert_int_equal(a.answers, 0);
    assert_int_equal(b.answers, 1);
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    queue_end(&q);
}

static struct asker next_one;

static void submit_next(struct asker *a)
{
    queue_submit(&q, &next_one, "eve@example.com", 320);
}

static void the_next_message_from_within_the_answer(void **state)
{
    struct asker a = {.then = submit_next};

    memset(&next_one, 0, sizeof next_one);
    queue_begin(&q, "");
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
    loop_wait(&q.r.f, next_one.answers == 1);
    assert_int_equal(next_one.verdict.code, 250);
    queue_end(&q);
}

static void what_may_come(void **state)
{
    struct smtp_verdict v;
    struct asker a = {0};

    queue_begin_down(&q, "queue_message_limit = 1\n");
    assert_true(intake_may_come(&q.intake, 1000, &v));
    assert_false(intake_may_come(&q.intake, UINT64_MAX, &v));
    assert_string_equal(v.line, "452 4.3.1 Insufficient system storage");
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
    assert_false(intake_may_come(&q.intake, 0, &v));
    assert_int_equal(v.code, 452);
    intake_stop(&q.intake);
    assert_false(intake_may_come(&q.intake, 0, &v));
    assert_int_equal(v.code, 421);
    queue_end(&q);
}

static void without_room_on_the_disk_nothing_comes(void **state)
{
    struct smtp_verdict v;

    queue_begin(&q, "");
    q.intake.config = relay_config(&q.r, "queue_minfree = 1099511627776\n");
    assert_false(intake_may_come(&q.intake, 0, &v));
    assert_int_equal(v.code, 452);
    config_unref(&q.intake.config);
    q.intake.config = q.r.config;
    disk_fault(DISK_FSTATVFS, 0, 1, EIO);
    assert_true(intake_may_come(&q.intake, 0, &v)); /* not known: the commit will tell */
    queue_end(&q);
}

static void a_maildir_is_a_destination_too(void **state)
{
    struct asker a = {0};
    char ini[200];

    queue_begin(&q, "");
    snprintf(ini, sizeof ini, "relay_transport = maildir:%s/box\n", q.d.path);
    queue_reload(&q, ini);
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
    assert_int_equal(disk_names(&q.d, "box/new"), 1);
    assert_int_equal(relay_logged(&q.r, "status=sent (delivered to maildir)"), 1);
    assert_true(queue_is_empty());
    queue_end(&q);
}

/* ---- stopping ---- */

static void stop_while_delivering(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "");
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SILENCE, NULL);
    queue_submit(&q, &a, "ann@example.com", 320);
    loop_wait(&q.r.f, q.r.lmtp.mails == 1);
    queue_stop(&q);
    assert_int_equal(a.verdict.code, 250);
    assert_int_equal(queue_files(&q), 1);
    lmtp_no_rules(&q.r.lmtp);
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    queue_end(&q);
}

static void stop_after_the_dot(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "");
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL);
    queue_submit(&q, &a, "ann@example.com", 320);
    loop_wait(&q.r.f, q.r.lmtp.dots == 1);
    intake_stop(&q.intake);
    loop_wait(&q.r.f, a.answers == 1);
    assert_int_equal(a.verdict.code, 250);
    assert_int_equal(queue_files(&q), 1);
    lmtp_release(&q.r.lmtp);
    queue_stop(&q);
    assert_int_equal(queue_files(&q), 0); /* it was settled before the end */
    assert_int_equal(q.r.lmtp.mails, 1);
    queue_end(&q);
}

static void stop_while_committing(void **state)
{
    struct asker a[5] = {{.answers = 0}};

    queue_begin_down(&q, "");
    for (int i = 0; i < 5; i++)
        queue_submit(&q, &a[i], "ann@example.com", 320);
    queue_stop(&q);
    for (int i = 0; i < 5; i++)
        assert_int_equal(a[i].verdict.code, 250);
    assert_int_equal(queue_files(&q), 5);
    queue_end(&q);
}

static void what_comes_after_stop_is_kept(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "");
    intake_stop(&q.intake);
    scheduler_stop(&q.scheduler);
    assert_int_equal(queue_submitted(&q, &a, "ann@example.com"), 250);
    loop_idle(&q.r.f);
    assert_int_equal(q.r.lmtp.mails, 0);
    assert_int_equal(queue_files(&q), 1);
    queue_stop(&q);
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(lmtp_delivered_to(&q.r.lmtp, "ann@example.com"), 1);
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_delivered_leaves_nothing_on_disk),
        cmocka_unit_test(the_refusal_of_all_goes_to_the_client),
        cmocka_unit_test(the_refusal_of_the_only_one_too),
        cmocka_unit_test(who_was_deferred_is_queued),
        cmocka_unit_test(some_delivered_and_some_refused),
        cmocka_unit_test(many_recipients_go_in_several_transactions),
        cmocka_unit_test(bodies_of_all_sizes),
        cmocka_unit_test(a_body_that_fills_its_buffer_does_not_stand_still),
        cmocka_unit_test(mail_for_a_dead_destination_is_kept),
        cmocka_unit_test(a_large_message_is_kept_as_well),
        cmocka_unit_test(a_conversation_that_breaks_is_taken_up_by_the_queue),
        cmocka_unit_test(too_slow_before_the_dot),
        cmocka_unit_test(too_slow_to_take_the_body),
        cmocka_unit_test(too_slow_after_the_dot),
        cmocka_unit_test(after_the_dot_some_and_some),
        cmocka_unit_test(after_the_dot_refused_by_all),
        cmocka_unit_test(after_the_dot_the_connection_breaks),
        cmocka_unit_test(what_cannot_be_kept_is_not_taken),
        cmocka_unit_test(delivered_while_the_commit_failed),
        cmocka_unit_test(delivered_while_the_commit_was_under_way),
        cmocka_unit_test(queue_mode_answers_from_the_disk),
        cmocka_unit_test(whoever_is_gone_is_not_told),
        cmocka_unit_test(the_next_message_from_within_the_answer),
        cmocka_unit_test(what_may_come),
        cmocka_unit_test(without_room_on_the_disk_nothing_comes),
        cmocka_unit_test(a_maildir_is_a_destination_too),
        cmocka_unit_test(stop_while_delivering),
        cmocka_unit_test(stop_after_the_dot),
        cmocka_unit_test(stop_while_committing),
        cmocka_unit_test(what_comes_after_stop_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
