/* Tests of queue/scheduler: when each message goes, and what a result means; against a real spool
 * and an LMTP peer. */
#include "queue_fixture.h"

#include "queue/scheduler_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACK_OFF "minimal_backoff_time = 1h\nmaximal_backoff_time = 1h\n"
#define ANN      "ann@example.com"
#define JOE      "joe@example.com"

static struct queue_fixture q;

static bool is_empty(void)
{
    return q.scheduler.entries == NULL && queue_files(&q) == 0;
}

static void wait_until_empty(void)
{
    loop_wait(&q.r.f, is_empty());
}

static void wait_until_quiet(void)
{
    loop_wait(&q.r.f, q.intake.in_flight == 0 && scheduler_idle(&q.scheduler));
}

static unsigned delivered_to(const char *recipient)
{
    return lmtp_delivered_to(&q.r.lmtp, recipient);
}

static void flush_all(void)
{
    scheduler_flush(&q.scheduler, NULL);
}

/* In the queue, and not tried yet. */
static void submit(struct asker *a, const char *recipients)
{
    assert_int_equal(queue_submitted(&q, a, recipients), 250);
}

/* ---- a start ---- */

static void what_a_former_process_left_is_delivered(void **state)
{
    struct queue_id ids[3];

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    for (size_t i = 0; i < 3; i++)
        queue_put(&q, &ids[i], ANN " " JOE,
                  i == 1 ? "attempt 1763770300 rcpt=0 sent 2.0.0 \"250 2.0.0 ok\"\n" : "");
    queue_start(&q);
    assert_int_equal(q.bad, 0);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 2);
    assert_int_equal(delivered_to(JOE), 3);
    assert_string_equal(q.r.lmtp.delivered[0].body, "Subject: from before\r\n\r\nhello\r\n");
    queue_end(&q);
}

static void deferred_mail_is_due_at_once_after_a_start(void **state)
{
    struct queue_id id;

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    queue_put(&q, &id, ANN, "attempt 1763770300 rcpt=0 deferred 4.2.2 \"452 4.2.2 full\"\n");
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void what_was_sent_to_all_is_only_removed(void **state)
{
    struct queue_id id;

    queue_begin(&q, "");
    queue_stop(&q);
    queue_put(&q, &id, ANN, "attempt 1763770300 rcpt=0 sent 2.0.0 \"250 2.0.0 ok\"\n");
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(q.r.lmtp.mails, 0);
    queue_end(&q);
}

static void what_is_held_stays(void **state)
{
    struct queue_id ids[3];
    struct status status = {0};

    queue_begin(&q, "");
    queue_stop(&q);
    queue_put(&q, &ids[0], ANN, "hold 1763770300 \"by the operator\"\n");
    queue_put(&q, &ids[1], ANN, "hold 1763770300 \"expired\"\n");
    queue_put(&q, &ids[2], ANN " " JOE,
              "attempt 1763770300 rcpt=0 sent 2.0.0 \"250 2.0.0 ok\"\n"
              "attempt 1763770300 rcpt=1 failed 5.1.1 \"550 5.1.1 unknown\"\n");
    queue_start(&q);
    loop_idle(&q.r.f);
    scheduler_status(&q.scheduler, &status);
    assert_int_equal(status.queued, 3);
    assert_int_equal(status.on_hold, 3);
    assert_int_equal(status.operator_needed, 2);
    assert_int_equal(scheduler_flush(&q.scheduler, NULL), 0);
    loop_idle(&q.r.f);
    assert_int_equal(q.r.lmtp.mails, 0);
    assert_int_equal(queue_files(&q), 3);
    queue_end(&q);
}

static void a_start_with_the_destination_down(void **state)
{
    struct queue_id ids[20];

    queue_begin_down(&q, "");
    queue_stop(&q);
    for (size_t i = 0; i < 20; i++)
        queue_put(&q, &ids[i], ANN, "");
    queue_start(&q);
    loop_wait(&q.r.f, q.relay.upstreams->health == UPSTREAM_DOWN);
    assert_int_equal(queue_files(&q), 20);
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 20);
    assert_in_range(q.r.lmtp.most_open, 1, 5);
    queue_end(&q);
}

/* ---- results ---- */

static void a_refusal_backs_that_message_off_alone(void **state)
{
    struct asker a = {0}, b = {0};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later")->contains = "ann@";
    submit(&a, ANN);
    submit(&b, JOE);
    loop_wait(&q.r.f, delivered_to(JOE) == 1);
    wait_until_quiet();
    loop_idle(&q.r.f);
    assert_int_equal(lmtp_said(&q.r.lmtp, "RCPT TO:<ann@"), 1);
    assert_int_equal(relay_logged(&q.r, "status=deferred"), 1);
    lmtp_no_rules(&q.r.lmtp);
    assert_int_equal(scheduler_flush(&q.scheduler, &a.id), 1);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void it_is_tried_again_when_its_time_has_come(void **state)
{
    struct asker a = {0};

    queue_begin(&q,
                "delivery_mode = queue\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n");
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later")->times = 1;
    submit(&a, ANN);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(q.r.lmtp.mails, 2);
    queue_end(&q);
}

static void refused_for_good_after_custody(void **state)
{
    struct asker a = {0};
    char *file;

    queue_begin(&q, "delivery_mode = queue\n");
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_int_equal(delivered_to(ANN), 1);
    file = queue_file(&q, &a.id);
    assert_non_null(strstr(file, "rcpt=1 failed 5.1.1"));
    assert_non_null(strstr(file, "hold "));
    free(file);
    assert_int_equal(q.scheduler.failed, 1);
    queue_stop(&q);
    queue_start(&q);
    loop_idle(&q.r.f);
    assert_int_equal(q.scheduler.on_hold, 1);
    assert_int_equal(q.r.lmtp.dots, 1);
    queue_end(&q);
}

/* The conversation about it breaks each time: it must not keep the destination from serving others.
 */
static void a_poison_message_backs_off_alone(void **state)
{
    struct asker a = {0}, b = {0};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_RESET, NULL)->contains = "ann@";
    submit(&a, ANN);
    loop_wait(&q.r.f, lmtp_said(&q.r.lmtp, "RCPT TO:<ann@") >= QUEUE_BREAKS_MAX);
    wait_until_quiet();
    submit(&b, JOE);
    loop_wait(&q.r.f, delivered_to(JOE) == 1);
    wait_until_quiet();
    loop_idle(&q.r.f);
    assert_int_equal(relay_logged(&q.r, "status=deferred"), QUEUE_BREAKS_MAX);
    assert_int_equal(queue_files(&q), 1);
    lmtp_no_rules(&q.r.lmtp);
    flush_all();
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void many_recipients_go_in_batches(void **state)
{
    struct envelope *e = relay_envelope("bob@example.org", "");
    struct asker a = {0};
    char address[40];
    char *file;

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    for (int i = 0; i < 120; i++) {
        snprintf(address, sizeof address, "user%d@example.com", i);
        assert_true(envelope_add_recipient(e, span_of(address), 0, span_make(NULL, 0)));
    }
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_RESET, NULL)->contains = "user119@";
    queue_submit_envelope(&q, &a, e, 320);
    loop_wait(&q.r.f, a.answers == 1 && q.scheduler.run_count == 0 && q.r.lmtp.dots >= 2);
    wait_until_quiet();
    file = queue_file(
        &q, &a.id); /* the first two batches are on record, whatever became of the third */
    assert_non_null(strstr(file, "rcpt=0 sent"));
    assert_non_null(strstr(file, "rcpt=99 sent"));
    assert_non_null(strstr(file, "rcpt=100 deferred"));
    free(file);
    lmtp_no_rules(&q.r.lmtp);
    flush_all();
    wait_until_empty();
    assert_int_equal(q.r.lmtp.delivered_count, 120);
    assert_int_equal(delivered_to("user0@example.com"), 1);
    assert_int_equal(delivered_to("user119@example.com"), 1);
    queue_end(&q);
}

/* Killed at this moment, only the batch that is under way would be sent again. */
static void a_batch_is_on_record_before_the_next_is_begun(void **state)
{
    struct asker a = {0};
    char *file;

    queue_begin(&q, "delivery_mode = queue\ndefault_destination_recipient_limit = 1\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SILENCE, NULL)->contains = "joe@";
    queue_submit_envelope(&q, &a, relay_envelope("bob@example.org", ANN " " JOE), 320);
    loop_wait(&q.r.f, a.answers == 1 && q.r.lmtp.rules[0].used == 1);
    file = queue_file(&q, &a.id);
    assert_non_null(strstr(file, "rcpt=0 sent"));
    free(file);
    lmtp_no_rules(&q.r.lmtp);
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

/* ---- order ---- */

static void fresh_mail_goes_before_old(void **state)
{
    struct queue_id ids[8];
    struct asker fresh[3] = {{.answers = 0}};
    static const char *const wanted[] = {"old", "fresh", "fresh", "fresh"};

    queue_begin(&q, "delivery_mode = queue\ndefault_destination_concurrency_limit = 1\n");
    queue_stop(&q);
    for (size_t i = 0; i < 8; i++)
        queue_put(&q, &ids[i], "old@example.com",
                  "attempt 1763770300 rcpt=0 deferred 4.2.2 \"452 4.2.2 full\"\n");
    lmtp_rule(&q.r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    queue_start(&q);
    loop_wait(&q.r.f, q.r.lmtp.mails == 1); /* one of the old ones has the only place */
    for (size_t i = 0; i < 3; i++)
        submit(&fresh[i], "fresh@example.com");
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(q.r.lmtp.delivered_count, 11);
    for (size_t i = 0; i < 4; i++)
        assert_true(strncmp(q.r.lmtp.delivered[i].recipient, wanted[i], strlen(wanted[i])) == 0 ||
                    i == 3); /* every fourth place is for an old one */
    queue_end(&q);
}

static void no_more_at_a_time_than_allowed(void **state)
{
    struct queue_id ids[30];

    queue_begin(&q, "default_destination_concurrency_limit = 3\n");
    queue_stop(&q);
    for (size_t i = 0; i < 30; i++)
        queue_put(&q, &ids[i], ANN, "");
    lmtp_rule(&q.r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 3;
    queue_start(&q);
    loop_wait(&q.r.f, q.r.lmtp.mails == 3);
    loop_idle(&q.r.f);
    assert_int_equal(q.scheduler.run_count, 3);
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 30);
    queue_end(&q);
}

/* ---- outages ---- */

static void all_goes_when_the_destination_is_back(void **state)
{
    struct asker a[10] = {{.answers = 0}};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_down(&q.r.lmtp);
    for (size_t i = 0; i < 10; i++)
        submit(&a[i], ANN);
    loop_wait(&q.r.f, q.relay.upstreams->health == UPSTREAM_DOWN);
    wait_until_quiet();
    assert_int_equal(queue_files(&q), 10);
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 10);
    queue_end(&q);
}

static void a_destination_that_dies_in_the_middle(void **state)
{
    struct asker a[10] = {{.answers = 0}};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SILENCE, NULL)->times = 5;
    for (size_t i = 0; i < 10; i++)
        submit(&a[i], ANN);
    loop_wait(&q.r.f, q.r.lmtp.rules[0].used == 5);
    lmtp_down(&q.r.lmtp);
    loop_wait(&q.r.f, q.relay.upstreams->health == UPSTREAM_DOWN);
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 10);
    queue_end(&q);
}

/* ---- expiry ---- */

static void too_old_means_hold(void **state)
{
    struct asker a = {0};
    char *file;

    queue_begin(&q, "delivery_mode = queue\nmaximal_queue_lifetime = 0\n");
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later");
    submit(&a, ANN);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_int_equal(relay_logged(&q.r, "status=expired"), 1);
    file = queue_file(&q, &a.id);
    assert_non_null(strstr(file, "rcpt=0 deferred 4.2.0"));
    assert_non_null(strstr(file, "\"expired\"\n"));
    free(file);
    queue_end(&q);
}

static void too_old_while_the_destination_is_down(void **state)
{
    enum { OLD = QUEUE_CHORES_MAX + 30, PLACES = 10 };
    struct queue_id id;

    queue_begin_down(&q, "maximal_queue_lifetime = 1d\n"
                         "lmtp_destination_concurrency_limit = 10\n");
    queue_stop(&q);
    q.age_s = 2 * 86400;
    for (size_t i = 0; i < OLD; i++)
        queue_put(&q, &id, ANN, "");
    queue_start(&q);
    uv_timer_start(&q.scheduler.expiry_timer, q.scheduler.expiry_timer.timer_cb, 0, 10);
    /* Deliveries begun before it was known to be down leave their places, and then end. */
    loop_wait(&q.r.f, (assert_in_range(q.scheduler.run_count - q.scheduler.placed, 0,
                                       QUEUE_CHORES_MAX + PLACES),
                       q.scheduler.on_hold == OLD));
    assert_int_equal(relay_logged(&q.r, "status=expired"), OLD);
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, q.relay.upstreams->health == UPSTREAM_UP);
    loop_idle(&q.r.f);
    assert_int_equal(q.r.lmtp.mails, 0);
    queue_end(&q);
}

/* ---- the disk fails ---- */

/* Ann has it; that the disk does not know it must not bring it to her again. */
static void results_that_cannot_be_written_are_not_forgotten(void **state)
{
    struct asker a = {0};
    char *file;

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "joe@";
    disk_fault(DISK_WRITE, 0, 2, ENOSPC);
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, relay_logged(&q.r, "cannot be recorded") == 1);
    wait_until_quiet();
    lmtp_no_rules(&q.r.lmtp);
    flush_all();
    loop_wait(&q.r.f, relay_logged(&q.r, "still cannot be recorded") == 1);
    assert_int_equal(q.r.lmtp.mails, 1);
    flush_all();
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 1);

    memset(&a, 0, sizeof a); /* and it is in the file before the next try */
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "joe@";
    disk_fault(DISK_WRITE, 0, 1, ENOSPC);
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, relay_logged(&q.r, "(after a crash it may be sent again)") == 2);
    wait_until_quiet();
    flush_all();
    loop_wait(&q.r.f, q.r.lmtp.dots == 4);
    wait_until_quiet();
    file = queue_file(&q, &a.id);
    assert_non_null(strstr(file, "rcpt=0 sent"));
    free(file);
    assert_int_equal(delivered_to(ANN), 2);
    queue_end(&q);
}

static void a_refusal_that_cannot_be_written(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown");
    disk_fault(DISK_WRITE, 0, 1, ENOSPC);
    submit(&a, ANN);
    loop_wait(&q.r.f, relay_logged(&q.r, "cannot be recorded") == 1);
    wait_until_quiet();
    assert_int_equal(q.scheduler.on_hold, 0);
    flush_all();
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    assert_int_equal(q.scheduler.operator_needed, 1);
    assert_int_equal(q.r.lmtp.mails, 1);
    queue_end(&q);
}

static void a_deferral_that_cannot_be_written_is_no_matter(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later")->times = 1;
    disk_fault(DISK_WRITE, 0, 1, ENOSPC);
    submit(&a, ANN);
    loop_wait(&q.r.f, relay_logged(&q.r, "cannot be recorded") == 1);
    wait_until_quiet();
    flush_all();
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void a_file_that_cannot_be_removed(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n");
    disk_fault(DISK_UNLINKAT, 0, 1, EROFS);
    submit(&a, ANN);
    loop_wait(&q.r.f, relay_logged(&q.r, "its file cannot be removed") == 1);
    wait_until_quiet();
    assert_int_equal(queue_files(&q), 1);
    flush_all();
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

/* Its file is still there at the next start, and then says that everybody has it. */
static void what_cannot_be_removed_is_not_delivered_again_after_a_restart(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n");
    disk_fault(DISK_UNLINKAT, 0, 1, EROFS);
    submit(&a, ANN);
    loop_wait(&q.r.f, relay_logged(&q.r, "its file cannot be removed") == 1);
    wait_until_quiet();
    queue_stop(&q);
    assert_int_equal(queue_files(&q), 1);
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

/* The disk had no room, has it again, and the operator restarts: Ann has it already. */
static void results_are_written_at_the_latest_at_a_stop(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "joe@";
    disk_fault(DISK_WRITE, 0, 1, ENOSPC);
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, relay_logged(&q.r, "cannot be recorded") == 1);
    wait_until_quiet();
    lmtp_no_rules(&q.r.lmtp);
    queue_stop(&q);
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

static void spoil(const struct queue_id *id)
{
    char *file = queue_file(&q, id);
    char name[60];
    size_t len = strlen(file);
    char *hello = strstr(file, "hello");

    assert_non_null(hello);
    memcpy(hello, "jello", 5);
    snprintf(name, sizeof name, "queue/%s", id->text);
    disk_put(&q.d, name, file, len);
    free(file);
}

static void files_that_are_not_what_they_were(void **state)
{
    struct queue_id spoilt, gone, sound;
    char path[200];

    queue_begin_down(&q, "");
    queue_stop(&q);
    queue_put(&q, &spoilt, ANN, "");
    queue_put(&q, &gone, ANN, "");
    queue_put(&q, &sound, JOE, "");
    spoil(&spoilt); /* the scan does not read bodies */
    queue_start(&q);
    assert_int_equal(q.bad, 0);
    snprintf(path, sizeof path, "%s/queue/%s", q.d.path, gone.text);
    assert_int_equal(unlink(path), 0);
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(q.scheduler.corrupt, 1);
    assert_int_equal(disk_names(&q.d, "corrupt"), 1);
    assert_int_equal(relay_logged(&q.r, "its file is gone"), 1);
    assert_int_equal(delivered_to(ANN), 0);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

/* The record of an operator's order is in the file before its entry knows of it. */
static void what_its_file_holds_is_not_delivered(void **state)
{
    static const char hold[] = "hold 1763770300 \"by the operator\"\n";
    struct queue_id id;
    char path[200];
    int fd;

    queue_begin_down(&q, "");
    queue_stop(&q);
    queue_put(&q, &id, ANN, "");
    queue_start(&q);
    snprintf(path, sizeof path, "%s/queue/%s", q.d.path, id.text);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, hold, sizeof hold - 1), sizeof hold - 1);
    close(fd);
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, q.scheduler.on_hold == 1);
    wait_until_quiet();
    assert_int_equal(delivered_to(ANN), 0);
    assert_int_equal(queue_files(&q), 1);
    queue_end(&q);
}

static void a_file_that_cannot_be_read_now(void **state)
{
    struct queue_id id;

    queue_begin_down(&q, BACK_OFF);
    queue_stop(&q);
    queue_put(&q, &id, ANN, "");
    queue_start(&q);
    loop_wait(&q.r.f, q.relay.upstreams->health == UPSTREAM_DOWN);
    wait_until_quiet();
    disk_fault(DISK_PREAD, 0, 1, EIO);
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, relay_logged(&q.r, "cannot be read, tried again later") == 1);
    wait_until_quiet();
    flush_all();
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void a_body_that_cannot_be_read_now(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_down(&q.r.lmtp);
    queue_submit(&q, &a, ANN, 300000);
    loop_wait(&q.r.f, a.answers == 1);
    loop_wait(&q.r.f, q.relay.upstreams->health == UPSTREAM_DOWN);
    wait_until_quiet();
    disk_fault(DISK_PREAD, 8, 1, EIO); /* loading it reads it once */
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_true(disk_fault_fired());
    assert_true(queue_is_body(&q, 0, 300000));
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

/* ---- claimed ---- */

static void claimed_mail_is_left_alone_until_it_is_settled(void **state)
{
    struct envelope *e = relay_envelope("bob@example.org", ANN " " JOE);
    struct records records = {NULL, 0, 0, false};
    struct queue_id id;

    queue_begin(&q, BACK_OFF);
    queue_put(&q, &id, ANN " " JOE, "");
    e->id = id;
    assert_true(scheduler_add(&q.scheduler, e, QUEUE_FROM_CLAIMED));
    assert_int_equal(scheduler_flush(&q.scheduler, NULL), 0);
    assert_int_equal(scheduler_flush(&q.scheduler, &id), 0);
    loop_idle(&q.r.f);
    assert_int_equal(q.r.lmtp.mails, 0);
    records_add(&records, e, 0, SPOOL_SENT, "2.0.0", "250 2.0.0 ok", 1763770300);
    records_add(&records, e, 1, SPOOL_DEFERRED, "4.4.2", "lost connection", 1763770300);
    scheduler_settle(&q.scheduler, e, &records, true, true);
    assert_null(records.bytes);
    envelope_free(&e);
    wait_until_empty(); /* the destination is up */
    assert_int_equal(delivered_to(ANN), 0);
    assert_int_equal(delivered_to(JOE), 1);
    queue_end(&q);
}

static void settling_what_nobody_knows(void **state)
{
    struct envelope *e = relay_envelope("bob@example.org", ANN);
    struct records records = {NULL, 0, 0, false};

    queue_begin(&q, "");
    records_add(&records, e, 0, SPOOL_SENT, "2.0.0", "250 2.0.0 ok", 1763770300);
    scheduler_settle(&q.scheduler, e, &records, false, false);
    assert_null(records.bytes);
    envelope_free(&e);
    queue_end(&q);
}

/* ---- the operator ---- */

static void what_is_under_way_is_shown(void **state)
{
    struct asker a = {0};
    struct queue_id ids[4];
    struct status status = {0};
    struct queue_id unknown = {"0000000000000000"};

    queue_begin(&q, "delivery_mode = queue\n");
    lmtp_rule(&q.r.lmtp, "MAIL", LMTP_SILENCE, NULL);
    submit(&a, ANN);
    loop_wait(&q.r.f, q.r.lmtp.mails == 1);
    assert_int_equal(scheduler_active(&q.scheduler, ids, 4), 1);
    assert_string_equal(ids[0].text, a.id.text);
    assert_int_equal(scheduler_active(&q.scheduler, ids, 0), 0);
    assert_int_equal(scheduler_flush(&q.scheduler, &a.id), 0);
    assert_int_equal(scheduler_flush(&q.scheduler, &unknown), 0);
    scheduler_status(&q.scheduler, &status);
    assert_int_equal(status.queued, 1);
    assert_int_equal(status.destinations, 1);
    assert_int_equal(status.destination[0].queued, 1);
    assert_int_equal(status.destination[0].active, 1);
    assert_true(status.destination[0].up);
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    queue_end(&q);
}

static void flush_asks_a_dead_destination_at_once(void **state)
{
    struct asker a = {0};

    queue_begin_down(&q, "destination_probe_max = 10m\n");
    submit(&a, ANN);
    q.relay.upstreams->probes = 20;
    uv_timer_stop(&q.relay.upstreams->timer); /* as if the next probe were far away */
    lmtp_up(&q.r.lmtp);
    flush_all();
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void room(void **state)
{
    struct asker a = {0};

    queue_begin_down(&q, "queue_message_limit = 1\n");
    assert_true(scheduler_has_room(&q.scheduler));
    submit(&a, ANN);
    assert_false(scheduler_has_room(&q.scheduler));
    lmtp_up(&q.r.lmtp);
    wait_until_empty();
    assert_true(scheduler_has_room(&q.scheduler));
    queue_end(&q);
}

/* Mail on hold is no reason to refuse other mail, until there is very much of it. */
static void room_beside_what_is_held(void **state)
{
    struct queue_id id;
    struct asker a[3] = {0};
    struct status status = {0};

    queue_begin_down(&q, "queue_message_limit = 2\n");
    queue_stop(&q);
    for (unsigned i = 0; i < 2 * SCHEDULER_HELD_TIMES - 1; i++)
        queue_put(&q, &id, ANN, "attempt 1763770300 rcpt=0 failed 5.1.1 \"550 5.1.1 unknown\"\n");
    queue_start(&q);
    loop_wait(&q.r.f, q.scheduler.on_hold == 2 * SCHEDULER_HELD_TIMES - 1);
    assert_int_equal(relay_logged(&q.r, "2 messages are on hold, an operator must decide"), 1);
    assert_true(scheduler_has_room(&q.scheduler));
    submit(&a[0], ANN);
    assert_true(scheduler_has_room(&q.scheduler));
    submit(&a[1], ANN);
    assert_false(scheduler_has_room(&q.scheduler)); /* two wait */
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    lmtp_up(&q.r.lmtp);
    loop_wait(&q.r.f, delivered_to(ANN) == 2 && q.scheduler.run_count == 0);
    assert_true(scheduler_has_room(&q.scheduler));
    submit(&a[2], ANN " " JOE);
    loop_wait(&q.r.f, q.scheduler.on_hold == 2 * SCHEDULER_HELD_TIMES);
    assert_int_equal(relay_logged(&q.r, "20 messages are on hold: no mail is taken until"), 1);
    assert_false(scheduler_has_room(&q.scheduler));
    scheduler_status(&q.scheduler, &status);
    assert_int_equal(status.operator_needed, 20);
    queue_end(&q);
}

/* ---- another transport ---- */

/* The old destination is dead for good: what waits, and what is under way, goes to the new one. */
static void mail_follows_the_settings(void **state)
{
    struct asker a[4] = {{.answers = 0}};
    char ini[200];

    queue_begin(&q, "delivery_mode = queue\ndefault_destination_concurrency_limit = 2\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, "RCPT", LMTP_SAY, "450 4.2.0 later")->contains = "joe@";
    submit(&a[0], JOE);
    loop_wait(&q.r.f, relay_logged(&q.r, "status=deferred") == 1);
    wait_until_quiet(); /* one waits for its time */
    lmtp_no_rules(&q.r.lmtp);
    lmtp_rule(&q.r.lmtp, "MAIL", LMTP_SILENCE, NULL);
    for (size_t i = 1; i < 4; i++)
        submit(&a[i], ANN);
    loop_wait(&q.r.f, q.r.lmtp.mails == 3); /* two are under way, one is ready */
    snprintf(ini, sizeof ini, "relay_transport = maildir:%s/box\n", q.d.path);
    queue_reload(&q, ini);
    loop_wait(&q.r.f, disk_names(&q.d, "box/new") == 1);
    lmtp_down(&q.r.lmtp);
    loop_wait(&q.r.f, disk_names(&q.d, "box/new") == 3);
    flush_all();
    wait_until_empty();
    assert_int_equal(disk_names(&q.d, "box/new"), 4);
    lmtp_up(&q.r.lmtp);
    loop_idle(&q.r.f);
    assert_int_equal(q.relay.upstreams->next->opening, 0); /* nobody asks it any more */
    queue_end(&q);
}

static void the_same_transport_again_changes_nothing(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n");
    lmtp_rule(&q.r.lmtp, "MAIL", LMTP_SILENCE, NULL)->times = 1;
    submit(&a, ANN);
    loop_wait(&q.r.f, q.r.lmtp.mails == 1);
    queue_reload(&q, "delivery_mode = queue\nlmtp_connection_idle_time = 30s\n");
    queue_reload(&q, "delivery_mode = queue\nlmtp_connection_idle_time = 40s\n");
    assert_null(q.relay.upstreams->next);
    lmtp_release(&q.r.lmtp);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    assert_int_equal(q.r.lmtp.accepted, 1);
    queue_end(&q);
}

static void there_and_back(void **state)
{
    struct asker a = {0};
    char ini[200];

    queue_begin_down(&q, "delivery_mode = queue\n");
    submit(&a, ANN);
    snprintf(ini, sizeof ini, "delivery_mode = queue\nrelay_transport = lmtp:[127.0.0.1]:%u\n",
             (unsigned)peer_dead_port());
    queue_reload(&q, ini);
    loop_wait(&q.r.f, q.relay.upstreams->health == UPSTREAM_DOWN);
    lmtp_up(&q.r.lmtp);
    loop_idle(&q.r.f);
    assert_int_equal(q.r.lmtp.accepted, 0);
    queue_reload(&q, "delivery_mode = queue\n");
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

/* ---- stopping ---- */

static void stop_before_the_dot(void **state)
{
    static const char *const steps[] = {"MAIL", "RCPT", "DATA"};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct asker a[3] = {{.answers = 0}};

        queue_begin(&q, "delivery_mode = queue\n");
        lmtp_rule(&q.r.lmtp, steps[i], LMTP_SILENCE, NULL);
        for (size_t k = 0; k < 3; k++)
            submit(&a[k], ANN);
        loop_wait(&q.r.f, q.r.lmtp.rules[0].used == 3);
        queue_stop(&q);
        assert_int_equal(queue_files(&q), 3);
        lmtp_no_rules(&q.r.lmtp);
        queue_start(&q);
        wait_until_empty();
        assert_int_equal(delivered_to(ANN), 3);
        queue_end(&q);
    }
}

static void stop_after_the_dot_waits_for_the_answer(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n");
    lmtp_rule(&q.r.lmtp, ".", LMTP_SILENCE, NULL);
    submit(&a, ANN);
    loop_wait(&q.r.f, q.r.lmtp.dots == 1);
    scheduler_stop(&q.scheduler);
    loop_idle(&q.r.f);
    assert_false(scheduler_idle(&q.scheduler));
    lmtp_release(&q.r.lmtp);
    queue_stop(&q);
    assert_int_equal(queue_files(&q), 0);
    assert_int_equal(delivered_to(ANN), 1);
    queue_end(&q);
}

static void stop_while_loading_and_waiting(void **state)
{
    struct queue_id ids[20];

    queue_begin(&q, BACK_OFF);
    queue_stop(&q);
    for (size_t i = 0; i < 20; i++)
        queue_put(&q, &ids[i], ANN, "");
    queue_start(&q);
    loop_wait(&q.r.f, q.scheduler.run_count > 0);
    queue_stop(&q);
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(delivered_to(ANN), 20);
    queue_end(&q);
}

static void stop_between_batches(void **state)
{
    struct envelope *e = relay_envelope("bob@example.org", "");
    struct asker a = {0};
    char address[40];

    queue_begin(&q, "delivery_mode = queue\ndefault_destination_recipient_limit = 1\n");
    for (int i = 0; i < 20; i++) {
        snprintf(address, sizeof address, "user%d@example.com", i);
        assert_true(envelope_add_recipient(e, span_of(address), 0, span_make(NULL, 0)));
    }
    queue_submit_envelope(&q, &a, e, 320);
    loop_wait(&q.r.f, q.r.lmtp.dots == 3);
    queue_stop(&q);
    assert_in_range(q.r.lmtp.dots, 3, 5);
    queue_start(&q);
    wait_until_empty();
    assert_int_equal(q.r.lmtp.delivered_count, 20);
    queue_end(&q);
}

static void stop_with_results_unwritten(void **state)
{
    struct asker a = {0};

    queue_begin(&q, "delivery_mode = queue\n" BACK_OFF);
    lmtp_rule(&q.r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "joe@";
    disk_fault(DISK_WRITE, 0, 1, ENOSPC);
    submit(&a, ANN " " JOE);
    loop_wait(&q.r.f, relay_logged(&q.r, "cannot be recorded") == 1);
    queue_end(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_former_process_left_is_delivered),
        cmocka_unit_test(deferred_mail_is_due_at_once_after_a_start),
        cmocka_unit_test(what_was_sent_to_all_is_only_removed),
        cmocka_unit_test(what_is_held_stays),
        cmocka_unit_test(a_start_with_the_destination_down),
        cmocka_unit_test(a_refusal_backs_that_message_off_alone),
        cmocka_unit_test(it_is_tried_again_when_its_time_has_come),
        cmocka_unit_test(refused_for_good_after_custody),
        cmocka_unit_test(a_poison_message_backs_off_alone),
        cmocka_unit_test(many_recipients_go_in_batches),
        cmocka_unit_test(a_batch_is_on_record_before_the_next_is_begun),
        cmocka_unit_test(fresh_mail_goes_before_old),
        cmocka_unit_test(no_more_at_a_time_than_allowed),
        cmocka_unit_test(all_goes_when_the_destination_is_back),
        cmocka_unit_test(a_destination_that_dies_in_the_middle),
        cmocka_unit_test(too_old_means_hold),
        cmocka_unit_test(too_old_while_the_destination_is_down),
        cmocka_unit_test(results_that_cannot_be_written_are_not_forgotten),
        cmocka_unit_test(a_refusal_that_cannot_be_written),
        cmocka_unit_test(a_deferral_that_cannot_be_written_is_no_matter),
        cmocka_unit_test(a_file_that_cannot_be_removed),
        cmocka_unit_test(what_cannot_be_removed_is_not_delivered_again_after_a_restart),
        cmocka_unit_test(results_are_written_at_the_latest_at_a_stop),
        cmocka_unit_test(files_that_are_not_what_they_were),
        cmocka_unit_test(what_its_file_holds_is_not_delivered),
        cmocka_unit_test(a_file_that_cannot_be_read_now),
        cmocka_unit_test(a_body_that_cannot_be_read_now),
        cmocka_unit_test(claimed_mail_is_left_alone_until_it_is_settled),
        cmocka_unit_test(settling_what_nobody_knows),
        cmocka_unit_test(what_is_under_way_is_shown),
        cmocka_unit_test(flush_asks_a_dead_destination_at_once),
        cmocka_unit_test(room),
        cmocka_unit_test(room_beside_what_is_held),
        cmocka_unit_test(mail_follows_the_settings),
        cmocka_unit_test(the_same_transport_again_changes_nothing),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(stop_before_the_dot),
        cmocka_unit_test(stop_after_the_dot_waits_for_the_answer),
        cmocka_unit_test(stop_while_loading_and_waiting),
        cmocka_unit_test(stop_between_batches),
        cmocka_unit_test(stop_with_results_unwritten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
