/* Tests of relay/delivery: one attempt, its body from memory or a file, its results, and taking it
 * back. */
#include "disk_fixture.h"
#include "relay_fixture.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANN "ann@example.com"
#define JOE "joe@example.com"
#define BIG 3000000

static struct disk_fixture d;
static struct relay_fixture r;
static struct upstream u;
static struct destination to;
static struct body_place place;
static struct delivery delivery;
static struct envelope *envelope;
static struct body *body;
static unsigned dones;
static bool closed;

static void on_done(struct delivery *dv)
{
    assert_ptr_equal(dv, &delivery);
    for (size_t i = 0; i < dv->count; i++) {
        assert_int_not_equal(dv->results[i].outcome, DELIVERY_UNDECIDED);
        assert_non_null(dv->results[i].text);
        delivery_log(dv, &r.log, i);
    }
    dones++;
}

static void begin_with(const char *ini, const char *transport)
{
    struct route route;
    struct errbuf err = {""};

    disk_setup(&d);
    relay_begin(&r, ini);
    assert_int_equal(
        route_parse(span_of(transport ? transport : r.config->relay_transport), &route, &err), 0);
    upstream_init(&u, &r.context, &route);
    to = (struct destination){.text = u.route.text, .targets = {&u}, .count = 1};
    place = (struct body_place){.incoming_fd = -1, .disk = &r.disk, .budget = {.limit = 1 << 20}};
    dones = 0;
    closed = false;
    memset(&delivery, 0, sizeof delivery);
}

static void begin(const char *ini)
{
    begin_with(ini, NULL);
}

static void on_closed(void *ctx, struct upstream *up)
{
    closed = true;
}

static void end(void)
{
    upstream_close(&u, on_closed, NULL);
    loop_wait(&r.f, closed && (dones == 1 || !delivery.done));
    delivery_deinit(&delivery);
    envelope_free(&envelope);
    body_free(&body);
    loop_wait(&r.f, lane_idle(&r.disk));
    assert_int_equal(place.budget.used, 0);
    relay_end(&r);
    disk_teardown(&d);
}

static void body_of(const char *bytes, size_t len)
{
    body = relay_body(&place, bytes, len);
}

/* A body in a file, as the scheduler gives it, with something before it. */
static void body_in_file(size_t len)
{
    char *bytes = malloc(len + 7);
    char path[100];
    int fd;

    assert_non_null(bytes);
    memcpy(bytes, "header\n", 7);
    for (size_t i = 0; i < len; i++)
        bytes[7 + i] = "..a line of the text\r\n"[i % 22];
    disk_put(&d, "file", bytes, len + 7);
    free(bytes);
    snprintf(path, sizeof path, "%s/file", d.path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    body = body_from_file(&place, fd, 7, len);
    assert_non_null(body);
}

static void start(const char *recipients)
{
    envelope = relay_envelope("bob@example.org", recipients);
    delivery.envelope = envelope;
    delivery.body = body;
    delivery.count = envelope->recipient_count;
    for (size_t i = 0; i < delivery.count; i++)
        delivery.indices[i] = i;
    delivery.active_ms = clock_mono_ms();
    delivery.done = on_done;
    delivery_start(&delivery, &to, &r.disk);
}

static void finish(void)
{
    loop_wait(&r.f, dones == 1);
}

/* ---- results ---- */

static void each_recipient_has_its_own_result(void **state)
{
    const struct delivery_result *x = delivery.results;

    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->contains = "joe@";
    lmtp_rule(&r.lmtp, ".", LMTP_SAY, "452 4.2.2 full")->contains = "eve@";
    lmtp_rule(&r.lmtp, ".", LMTP_SAY, "554-5.6.0 bad\n554 5.6.0 content")->contains = "kim@";
    body_of("Subject: x\r\n\r\n", 14);
    start(ANN " " JOE " eve@example.com kim@example.com");
    finish();
    assert_int_equal(x[0].outcome, DELIVERY_SENT);
    assert_string_equal(x[0].dsn, "2.0.0");
    assert_int_equal(x[0].code, 250);
    assert_string_equal(x[0].text, "250 2.0.0 <ann@example.com> Saved");
    assert_int_equal(x[1].outcome, DELIVERY_FAILED);
    assert_string_equal(x[1].dsn, "5.1.1");
    assert_int_equal(x[1].code, 550);
    assert_non_null(strstr(x[1].text, "said: 550 5.1.1 unknown (in reply to RCPT TO command)"));
    assert_int_equal(x[2].outcome, DELIVERY_DEFERRED);
    assert_string_equal(x[2].dsn, "4.2.2");
    assert_int_equal(x[3].outcome, DELIVERY_FAILED);
    assert_non_null(strstr(x[3].text, "(in reply to end of DATA command)"));
    assert_false(delivery.broken);
    assert_int_equal(relay_logged(&r, "relay=127.0.0.1[127.0.0.1]:"), 4);
    assert_int_equal(relay_logged(&r, "status=bounced"), 2);
    end();
}

static void a_code_without_a_status_gets_one(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, ".", LMTP_SAY, "250 ok")->contains = "ann@";
    lmtp_rule(&r.lmtp, ".", LMTP_SAY, "450 later")->contains = "joe@";
    lmtp_rule(&r.lmtp, ".", LMTP_SAY, "550 never")->contains = "eve@";
    body_of("x\r\n", 3);
    start(ANN " " JOE " eve@example.com");
    finish();
    assert_string_equal(delivery.results[0].dsn, "2.0.0");
    assert_string_equal(delivery.results[1].dsn, "4.0.0");
    assert_string_equal(delivery.results[2].dsn, "5.0.0");
    end();
}

/* What the destination is blamed for is never a failure, and its status must not look like one. */
static void trouble_of_the_destination_is_deferred(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "530 5.7.0 authenticate first");
    body_of("x\r\n", 3);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED);
    assert_string_equal(delivery.results[0].dsn, "4.7.0");
    end();
}

static void down_is_told_at_once(void **state)
{
    begin("");
    lmtp_down(&r.lmtp);
    upstream_probe(&u);
    loop_wait(&r.f, u.health == UPSTREAM_DOWN);
    body_of("x\r\n", 3);
    start(ANN " " JOE);
    assert_int_equal(dones, 1);
    assert_int_equal(delivery.results[1].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_int_equal(delivery.results[1].code, 0);
    assert_string_equal(delivery.results[1].dsn, "4.4.1");
    assert_false(delivery.broken);
    assert_int_equal(relay_logged(&r, "relay=none"), 2);
    end();
}

static void replies_of_a_conversation_that_broke_before_the_body_are_void(void **state)
{
    begin("");
    r.lmtp.offers = "8BITMIME";
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "550 5.1.1 unknown")->times = 1;
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SAY, "nonsense");
    body_of("x\r\n", 3);
    start(ANN " " JOE);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_int_equal(delivery.results[1].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_true(delivery.broken);
    end();
}

static void what_was_stored_before_it_broke_stays_stored(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, ".", LMTP_RESET, NULL)->contains = "joe@";
    body_of("x\r\n", 3);
    r.lmtp.rules[0].action = LMTP_DROP;
    start(ANN " " JOE);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_SENT);
    assert_int_equal(delivery.results[1].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_true(delivery.broken);
    end();
}

/* ---- the body ---- */

static void dots_and_all(void **state)
{
    static const char text[] = ".\r\n..\r\n.x\r\n\r\ny.\r\n";

    begin("");
    body_of(text, sizeof text - 1);
    start(ANN);
    finish();
    assert_string_equal(r.lmtp.delivered[0].body, "..\r\n...\r\n..x\r\n\r\ny.\r\n");
    end();
}

static void an_empty_body(void **state)
{
    begin("");
    body_of("", 0);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_SENT);
    assert_int_equal(r.lmtp.delivered[0].len, 0);
    end();
}

/* A whole buffer of dots grows while it is stuffed. */
static void a_full_buffer_of_dots(void **state)
{
    char *bytes = malloc(BODY_MEMORY_MAX);

    assert_non_null(bytes);
    for (size_t i = 0; i < BODY_MEMORY_MAX; i++)
        bytes[i] = i == BODY_MEMORY_MAX - 1 ? '\n' : ".\r\n"[(i + 2) % 3];
    bytes[BODY_MEMORY_MAX - 2] = '\r';
    begin("");
    body_of(bytes, BODY_MEMORY_MAX);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_SENT);
    free(bytes);
    end();
}

static void a_large_body_from_its_file(void **state)
{
    begin("");
    body_in_file(BIG / 22 * 22);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_SENT);
    assert_int_equal(r.lmtp.delivered[0].len, BIG / 22 * 23); /* each line stuffed */
    assert_memory_equal(r.lmtp.delivered[0].body, "...a line of the text\r\n...a", 27);
    assert_null(delivery.chunk);
    end();
}

static void a_slow_peer_does_not_make_memory(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "CONNECT", LMTP_SAY, "220 hello")->times = 1;
    upstream_probe(&u);
    loop_wait(&r.f, u.health == UPSTREAM_UP);
    body_in_file(BIG * 4 / 22 * 22);
    start(ANN);
    loop_wait(&r.f, r.lmtp.body_bytes > 0);
    lmtp_pause(&r.lmtp, true);
    for (int i = 0; i < 50; i++) {
        loop_turn(&r.f);
        assert_true(upstream_job_pending(&delivery.job) <= 4 * STREAM_OUT_HIGH);
    }
    lmtp_pause(&r.lmtp, false);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_SENT);
    end();
}

static void a_peer_that_takes_nothing_ends_it(void **state)
{
    begin("lmtp_data_xfer_timeout = 200ms\n");
    body_in_file(BIG * 6 / 22 * 22);
    start(ANN);
    loop_wait(&r.f, r.lmtp.body_bytes > 0);
    lmtp_pause(&r.lmtp, true);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_non_null(strstr(delivery.results[0].text, "timed out while sending message body"));
    end();
}

static void a_file_that_cannot_be_read(void **state)
{
    begin("");
    body_in_file(BIG / 22 * 22);
    disk_fault(DISK_PREAD, 3, 1, EIO);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_non_null(strstr(delivery.results[0].text, "spool file read error"));
    assert_int_equal(r.lmtp.delivered_count, 0);
    end();
}

static void a_file_that_became_shorter(void **state)
{
    char path[100];

    begin("");
    body_in_file(BIG / 22 * 22);
    snprintf(path, sizeof path, "%s/file", d.path);
    assert_int_equal(truncate(path, BIG / 2), 0);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_int_equal(r.lmtp.delivered_count, 0);
    end();
}

/* The engine refuses to send the dot: it would be a part of the last line. */
static void a_body_without_an_end(void **state)
{
    begin("");
    body_of("no line end", 11);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_true(delivery.broken);
    assert_int_equal(r.lmtp.delivered_count, 0);
    end();
}

static void the_peer_goes_within_a_large_body(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "BODY", LMTP_RESET, NULL);
    body_in_file(BIG * 4 / 22 * 22);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_true(delivery.broken);
    assert_null(strstr(delivery.results[0].text, "more than once")); /* the dot was not sent */
    end();
}

static void the_second_session_gets_the_body_from_its_start(void **state)
{
    begin("");
    body_of("first\r\n", 7);
    start(ANN);
    finish();
    dones = 0;
    envelope_free(&envelope);
    delivery_deinit(&delivery);
    body_free(&body);
    memset(&delivery, 0, sizeof delivery);
    lmtp_rule(&r.lmtp, "DATA", LMTP_DROP, NULL)->times = 1;
    body_of("second\r\n", 8);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_SENT);
    assert_string_equal(r.lmtp.delivered[1].body, "second\r\n");
    assert_int_equal(r.lmtp.delivered_count, 2);
    end();
}

/* ---- taking it back ---- */

static void cancel_while_it_waits(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "CONNECT", LMTP_SILENCE, NULL);
    body_of("x\r\n", 3);
    start(ANN);
    assert_true(delivery_cancel(&delivery, "because"));
    assert_int_equal(dones, 1);
    assert_true(delivery_cancel(&delivery, "again"));
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED_DESTINATION);
    assert_string_equal(delivery.results[0].text, "because");
    assert_int_equal(u.waiting, 0);
    end();
}

static void cancel_before_the_body(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL);
    body_of("x\r\n", 3);
    start(ANN);
    loop_wait(&r.f, r.lmtp.mails == 1);
    assert_true(delivery_cancel(&delivery, "because"));
    assert_int_equal(dones, 1);
    loop_wait(&r.f, r.lmtp.open == 0);
    end();
}

static void cancel_within_the_body(void **state)
{
    begin("");
    body_in_file(BIG * 4 / 22 * 22);
    start(ANN);
    loop_wait(&r.f, r.lmtp.body_bytes > 0);
    lmtp_pause(&r.lmtp, true);
    loop_idle(&r.f);
    assert_true(delivery_cancel(&delivery, "because"));
    finish(); /* maybe only when the read under way is done */
    loop_wait(&r.f, u.session_count == 0);
    assert_int_equal(r.lmtp.delivered_count, 0);
    lmtp_pause(&r.lmtp, false);
    end();
}

static void cancel_while_the_file_is_read(void **state)
{
    begin("");
    body_in_file(BIG / 22 * 22);
    start(ANN);
    loop_wait(&r.f, delivery.reading);
    assert_true(delivery_cancel(&delivery, "because"));
    assert_int_equal(dones, 0); /* the lane has our buffer */
    finish();
    assert_string_equal(delivery.results[0].text, "because");
    end();
}

static void too_late_after_the_dot(void **state)
{
    begin("");
    lmtp_rule(&r.lmtp, ".", LMTP_SILENCE, NULL);
    body_of("x\r\n", 3);
    start(ANN);
    loop_wait(&r.f, r.lmtp.dots == 1);
    assert_false(delivery_cancel(&delivery, "because"));
    assert_int_equal(dones, 0);
    lmtp_release(&r.lmtp);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_SENT);
    assert_false(delivery_cancel(&delivery, "because"));
    end();
}

static void the_destination_closes_meanwhile(void **state)
{
    begin("");
    body_in_file(BIG / 22 * 22);
    start(ANN);
    loop_wait(&r.f, delivery.reading);
    end(); /* waits for the read */
    assert_int_equal(dones, 1);
}

/* ---- maildir ---- */

static void a_maildir_gets_one_file(void **state)
{
    begin_with("", "maildir:/box");
    snprintf(u.route.path, sizeof u.route.path, "%s/box", d.path);
    body_of("Subject: x\r\n\r\nhello\r\n", 21);
    start(ANN " " JOE);
    assert_false(delivery_cancel(&delivery, "because"));
    finish();
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(delivery.results[i].outcome, DELIVERY_SENT);
        assert_int_equal(delivery.results[i].code, 250);
    }
    assert_int_equal(disk_names(&d, "box/new"), 1);
    assert_int_equal(relay_logged(&r, "relay=maildir"), 2);
    assert_int_equal(relay_logged(&r, "postfix/virtual["), 2);
    end();
}

static void a_maildir_that_cannot_be_written(void **state)
{
    begin_with("", "maildir:/proc/nonexistent/box");
    body_of("x\r\n", 3);
    start(ANN);
    finish();
    assert_int_equal(delivery.results[0].outcome, DELIVERY_DEFERRED);
    assert_string_equal(delivery.results[0].dsn, "4.2.0");
    assert_non_null(strstr(delivery.results[0].text, "maildir /proc/nonexistent/box: open: "));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_recipient_has_its_own_result),
        cmocka_unit_test(a_code_without_a_status_gets_one),
        cmocka_unit_test(trouble_of_the_destination_is_deferred),
        cmocka_unit_test(down_is_told_at_once),
        cmocka_unit_test(replies_of_a_conversation_that_broke_before_the_body_are_void),
        cmocka_unit_test(what_was_stored_before_it_broke_stays_stored),
        cmocka_unit_test(dots_and_all),
        cmocka_unit_test(an_empty_body),
        cmocka_unit_test(a_full_buffer_of_dots),
        cmocka_unit_test(a_large_body_from_its_file),
        cmocka_unit_test(a_slow_peer_does_not_make_memory),
        cmocka_unit_test(a_peer_that_takes_nothing_ends_it),
        cmocka_unit_test(a_file_that_cannot_be_read),
        cmocka_unit_test(a_file_that_became_shorter),
        cmocka_unit_test(a_body_without_an_end),
        cmocka_unit_test(the_peer_goes_within_a_large_body),
        cmocka_unit_test(the_second_session_gets_the_body_from_its_start),
        cmocka_unit_test(cancel_while_it_waits),
        cmocka_unit_test(cancel_before_the_body),
        cmocka_unit_test(cancel_within_the_body),
        cmocka_unit_test(cancel_while_the_file_is_read),
        cmocka_unit_test(too_late_after_the_dot),
        cmocka_unit_test(the_destination_closes_meanwhile),
        cmocka_unit_test(a_maildir_gets_one_file),
        cmocka_unit_test(a_maildir_that_cannot_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
