/* Tests of control/control_server and control_connection: requests, hostile clients, start and
 * stop. */
#include "fake_intake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    fake_reset();
    return world_setup(state);
}

static int teardown(void **state)
{
    int rc = world_teardown(state);

    fake_reset();
    return rc;
}

/* ---- orders ---- */

/* In place of the real one: the batch is not one. */
void scheduler_order_forget(struct queue_asker *asker)
{
    world.orders_forgotten += asker->batch != NULL;
    if (world.asker == asker)
        world.asker = NULL;
    asker->batch = NULL;
}

#define ID_A "06401F3A9C2E7001"
#define ID_B "06401F3A9C2E7002"

static const struct queue_id two[] = {{ID_A}, {ID_B}};

static void test_order(void **state)
{
    static const uint8_t done[] = {QUEUE_ORDER_BIT(QUEUE_ORDER_DELETE), 0};
    struct queue_order_result result = {
        .order = QUEUE_ORDER_DELETE, .ids = two, .done = done, .count = 2};
    int fd = client_open();

    result.totals[QUEUE_ORDER_DELETE] = 1;
    client_say(fd, "order delete deferred,hold " ID_A " " ID_B "\nping\n");
    client_expect_silence(fd); /* until it is done, durably */
    assert_string_equal(world.asked, "order(delete,6," ID_A " " ID_B ") ");
    order_over(&result);
    client_expect(fd, "text " ID_A " removed\nok\nok\n");
    client_say(fd, "order delete hold " ID_B "\n");
    client_expect_silence(fd);
    result.totals[QUEUE_ORDER_DELETE] = 0;
    result.count = 0;
    order_over(&result);
    client_expect(fd, "ok\n");
    close(fd);
    world_run();
    world_expect_log("postfix/postsuper[7]: Deleted: 1 message"); /* of both, at the end */
}

static void test_order_to_all(void **state)
{
    struct queue_order_result result = {.order = QUEUE_ORDER_EXPIRE_RELEASE, .all = true};
    int fd = client_open();

    result.totals[QUEUE_ORDER_EXPIRE] = 12;
    client_say(fd, "order expire-release active ALL\n");
    client_expect_silence(fd);
    assert_string_equal(world.asked, "order(expire-release,1,ALL) ");
    order_over(&result);
    client_expect(fd, "text 12 expired\nok\n");
    close(fd);
    world_run();
    world_expect_log("Force-expired: 12 messages");
    world_expect_log("Released from hold: 0 messages");
}

static void test_order_that_fails(void **state)
{
    static const uint8_t done[] = {0, 0};
    struct queue_order_result result = {.order = QUEUE_ORDER_HOLD,
                                        .ids = two,
                                        .done = done,
                                        .count = 2,
                                        .failed = 2,
                                        .first_id = {ID_A},
                                        .first_rc = -ENOSPC};
    int fd = client_open();

    client_say(fd, "order hold deferred " ID_A " " ID_B "\n");
    client_expect_silence(fd);
    order_over(&result);
    client_expect(fd, "text " ID_A " failed: No space left on device, and 1 more\nok\n");
    close(fd);
    fd = client_open();
    world.no_memory = true;
    client_say(fd, "order hold deferred ALL\n");
    client_expect_end(fd, "error 71 out of memory\n");
}

static void test_order_of_somebody_who_went(void **state)
{
    int fd = client_open();

    client_say(fd, "order hold deferred ALL\n");
    client_expect_silence(fd);
    assert_non_null(world.asker);
    close(fd);
    world_run();
    assert_null(world.asker);
    assert_int_equal(world.orders_forgotten, 1);
}

static void test_stop_waits_for_an_order(void **state)
{
    struct queue_order_result result = {.order = QUEUE_ORDER_HOLD, .all = true, .stopped = true};
    int fd = client_open();

    result.totals[QUEUE_ORDER_HOLD] = 3;
    client_say(fd, "order hold deferred ALL\n");
    client_expect_silence(fd);
    world_stop();
    client_expect_silence(fd);
    order_over(&result);
    client_expect_end(fd, "text 3 placed on hold\nerror 75 the mail system is stopping\n");
    world_run();
    assert_true(world.stopped);
}

/* ---- requests ---- */

static void test_requests(void **state)
{
    int fd = client_open();

    client_say(fd, "ping\n");
    client_expect(fd, "ok\n");
    client_say(fd, "flush\nflush 06401F3A9C2E7001\nflush-site example.com\nreload\n");
    client_expect(fd, "text 3\nok\ntext 3\nok\ntext 3\nok\nok\n");
    assert_string_equal(world.asked,
                        "flush(-,-) flush(06401F3A9C2E7001,-) flush(-,example.com) reload ");
    close(fd);
}

/* Each answers with the progress. */
static void test_drain(void **state)
{
    int fd = client_open();

    client_say(fd, "drain\ndrain 250\ndrain\nundrain\n");
    client_expect(fd, "text since=0 queued=0 active=0 on_hold=0 arriving=0 corrupt=0 delivered=0 "
                      "handed_over=0 handing_over=0\nok\n"
                      "text since=5 queued=250 active=0 on_hold=0 arriving=0 corrupt=0 delivered=0 "
                      "handed_over=0 handing_over=0\nok\n"
                      "text since=5 queued=0 active=0 on_hold=0 arriving=0 corrupt=0 delivered=0 "
                      "handed_over=0 handing_over=0\nok\n"
                      "text since=0 queued=0 active=0 on_hold=0 arriving=0 corrupt=0 delivered=0 "
                      "handed_over=0 handing_over=0\nok\n");
    close(fd);
}

/* Who asks is not to believe that mail is taken again. */
static void test_drain_while_stopping(void **state)
{
    static const char *const orders[] = {"drain\ndrain 250\n", "drain\nundrain\n"};

    world.stopping = true;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        int fd = client_open();

        client_say(fd, orders[i]);
        client_expect_end(fd, "text since=0 queued=0 active=0 on_hold=0 arriving=0 corrupt=0 "
                              "delivered=0 handed_over=0 handing_over=0\nok\n"
                              "error 75 the mail system is stopping; what it has not delivered is "
                              "in its queue\n");
        close(fd);
    }
}

/* Whoever changed a setting must hear when it is not in force. */
static void test_reload_refused(void **state)
{
    int fd = client_open();

    world.reload_refused = "smtpd_timeout \"x\" is not a time";
    client_say(fd, "reload\n");
    client_expect_end(fd, "error 78 smtpd_timeout \"x\" is not a time\n");
    close(fd);
}

static void test_stop_request(void **state)
{
    int fd = client_open();

    client_say(fd, "stop\n");
    client_expect(fd, "ok\n");
    assert_string_equal(world.asked, "stop ");
    client_expect_silence(fd); /* its end tells of the daemon's */
    world_stop();
    client_expect_end(fd, "");
}

/* The SMTP server has the socket, by a descriptor of its own; the slot is free for another. */
static void test_smtp(void **state)
{
    int fd = client_open();
    char byte;

    client_say(fd, "smtp\n");
    client_expect(fd, "220 hello\r\n");
    world_run();
    assert_int_equal(world.server.open, 0);
    client_say(fd, "x");
    assert_int_equal(recv(world.smtp_fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    close(world.smtp_fd);
    client_expect_end(fd, "");
}

static void test_smtp_refused(void **state)
{
    int fd = client_open();

    world.smtp_refused = true;
    client_say(fd, "smtp\n");
    client_expect_end(fd, "error 75 all server ports are busy\n");
}

/* What policy refuses, and what is not asked, needs no upstream: the world has none. */
static void test_verify(void **state)
{
    int fd = client_open();

    client_say(fd, "verify <x@other.net>\n");
    client_expect_end(
        fd, "error 69 554 5.7.1 <x@other.net>: Relay access denied"
            " (no way leads there: its domain is not in relay_domains, and neither relayhost nor "
            "outbound=direct is set)\n");
    fd = client_open();
    client_say(fd, "verify <a b>\n");
    client_expect_end(fd, "error 67 501 5.1.3 Bad recipient address syntax: <a b>\n");
    fd = client_open();
    world.config->verify_recipients = false;
    client_say(fd, "verify <ann@example.com>\nping\n");
    client_expect(fd, "text accepted: it was not asked (verify_recipients=no)\nok\nok\n");
    close(fd);
}

static void test_status(void **state)
{
    int fd = client_open();

    world.status.pid = 77;
    world.status.spool_writable = true;
    assert_true(span_copy(SPAN_LIT("mx.example.com"), world.status.myhostname,
                          sizeof world.status.myhostname));
    client_say(fd, "status json\n");
    client_expect(fd, "text {\"myhostname\": \"mx.example.com\", \"pid\": 77, ");
    close(fd);
    fd = client_open();
    client_say(fd, "status\n");
    client_expect(fd, "text mx.example.com: up since ");
    close(fd);
}

static void test_active(void **state)
{
    int fd = client_open();

    client_say(fd, "active\n");
    client_expect(fd, "ok\n");
    world.active_count = 2;
    assert_true(queue_id_parse(SPAN_LIT("06401F3A9C2E7001"), &world.active[0]));
    assert_true(queue_id_parse(SPAN_LIT("06401F3A9C2E7002"), &world.active[1]));
    client_say(fd, "active\n");
    client_expect(fd, "text 06401F3A9C2E7001\ntext 06401F3A9C2E7002\nok\n");
    close(fd);
}

static void test_byte_by_byte(void **state)
{
    static const char request[] = "ping\nflush 06401F3A9C2E7001\n";
    int fd = client_open();

    for (size_t i = 0; i < sizeof request - 1; i++)
        client_say_bytes(fd, span_make(request + i, 1));
    client_expect(fd, "ok\ntext 3\nok\n");
    close(fd);
}

/* ---- hostile clients ---- */

static void test_garbage(void **state)
{
    static const struct {
        struct span said;
        const char *want;
    } rows[] = {
        {SPAN_LIT("EHLO x\r\n"),         "error 76 a request has a control byte in it\n"},
        {SPAN_LIT("\n"),                 "error 76 there is no such request\n"          },
        {SPAN_LIT("GET / HTTP/1.1\n"),   "error 76 there is no such request\n"          },
        {SPAN_LIT("end\n"),              "error 76 a request came where it may not\n"   },
        {SPAN_LIT("\0\0\0\n"),           "error 76 a request has a control byte in it\n"},
        {SPAN_LIT("ping\nwhat\nping\n"), "ok\nerror 76 there is no such request\n"      },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = client_open();

        client_say_bytes(fd, rows[i].said);
        client_expect_end(fd, rows[i].want);
    }
    world_expect_log(
        "postfix/master[7]: warning: control socket: uid=0: there is no such request\n");
}

static void test_endless_line(void **state)
{
    static char junk[1 << 20];
    int fd = client_open();

    memset(junk, 'x', sizeof junk);
    client_say_bytes(fd, span_make(junk, sizeof junk));
    client_expect_end(fd, "error 76 a request line is too long\n");
}

/* A client that goes at any moment, in the middle of a word too, takes nothing with it. */
static void test_half_requests(void **state)
{
    static const char request[] = "flush 06401F3A9C2E7001\n";

    for (size_t len = 0; len < sizeof request; len++) {
        int fd = client_open();

        client_say_bytes(fd, span_make(request, len));
        close(fd);
        world_run();
        assert_int_equal(world.server.open, 0);
    }
    assert_string_equal(world.asked, "flush(06401F3A9C2E7001,-) "); /* only the last was whole */
}

static struct control_connection *only_connection(void)
{
    world_run();
    assert_int_equal(world.server.open, 1);
    return &world.server.connections[0];
}

/* The deadline is for the request; what dribbles in does not move it. */
static void test_deadline(void **state)
{
    int fd = client_open();
    struct control_connection *c = only_connection();
    uint64_t due = uv_timer_get_due_in(&c->stream.timer);

    assert_in_range(due, CONTROL_IDLE_MS - 5000, CONTROL_IDLE_MS);
    usleep(20000);
    client_say(fd, "pi");
    world_run();
    assert_true(uv_timer_get_due_in(&c->stream.timer) <= due - 20);
    client_say(fd, "ng\n");
    client_expect(fd, "ok\n");
    assert_true(uv_timer_get_due_in(&c->stream.timer) > due - 20);
    c->stream.events->on_deadline(c);
    client_expect_end(fd, "error 75 no request came in time\n");
}

static void test_too_many_connections(void **state)
{
    int fds[CONTROL_CONNECTIONS_MAX + 3];
    size_t count = sizeof fds / sizeof fds[0];

    for (size_t i = 0; i < count; i++) {
        fds[i] = client_open();
        client_say(fds[i], "ping\n");
    }
    for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
        client_expect(fds[i], "ok\n");
    assert_int_equal(world.server.open, CONTROL_CONNECTIONS_MAX);
    for (size_t i = CONTROL_CONNECTIONS_MAX; i < count; i++)
        client_expect_silence(fds[i]);
    for (size_t i = CONTROL_CONNECTIONS_MAX; i < count; i++) {
        close(fds[i - CONTROL_CONNECTIONS_MAX]);
        client_expect(fds[i], "ok\n");
    }
    for (size_t i = count - CONTROL_CONNECTIONS_MAX; i < count; i++)
        close(fds[i]);
}

/* One that asks and asks and never reads. */
static void test_replies_not_read(void **state)
{
    static const char request[] = "status json\n";
    int fd = client_open();
    int sent = 0;

    memset(world.status.myhostname, 'm', sizeof world.status.myhostname - 1);
    for (int i = 0; i < 20000; i++) {
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0)
            sent++;
        uv_run(&world.disk.loop, UV_RUN_NOWAIT);
        if (world.server.open > 0)
            assert_true(stream_pending(&world.server.connections[0].stream) <
                        STREAM_OUT_HIGH + CONTROL_REPLY_MAX);
    }
    assert_true(sent < 20000);
    world_expect_log("control socket: uid=0: too many requests at once");
    close(fd);
}

/* ---- start and stop ---- */

static void test_socket_mode(void **state)
{
    struct stat st;

    assert_int_equal(lstat(world.socket, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    world_stop();
    world_run();
    assert_true(world.stopped);
    assert_int_equal(lstat(world.socket, &st), -1);
}

/* What a daemon that was killed leaves behind is replaced. */
static void test_stale_socket(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct errbuf err;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    world_stop();
    world_run();
    assert_true(world.stopped);
    assert_true(span_copy(span_of(world.socket), address.sun_path, sizeof address.sun_path));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    world.stopped = false;
    assert_int_equal(world_start(&err, NULL), 0);
    fd = client_open();
    client_say(fd, "ping\n");
    client_expect(fd, "ok\n");
    close(fd);
}

static void test_start_refused(void **state)
{
    static struct control_server another;
    struct control_setup setup = world.server.setup;
    char path[512];
    struct errbuf err;

    assert_int_equal(control_server_start(&another, &setup, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "another daemon answers there"));
    disk_put(&world.disk, "file", "x", 1);
    snprintf(path, sizeof path, "%s/file", world.disk.path);
    setup.path = path;
    assert_int_equal(control_server_start(&another, &setup, &err), -EEXIST);
    assert_non_null(strstr(err.text, "is no socket"));
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/no/such/folder", world.disk.path);
    assert_int_equal(control_server_start(&another, &setup, &err), -ENOENT);
    memset(path, 'p', 200);
    path[200] = '\0';
    assert_int_equal(control_server_start(&another, &setup, &err), -ENAMETOOLONG);
    assert_non_null(strstr(err.text, "set control_socket to a shorter path"));
}

static void test_stop_closes_idle_connections(void **state)
{
    int first = client_open();
    int second = client_open();

    client_say(first, "ping\npi");
    client_expect(first, "ok\n");
    client_say(second, "pi");
    world_stop();
    client_expect_end(first, "");
    client_expect_end(second, "");
    world_run();
    assert_true(world.stopped);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order),
        TEST(test_order_to_all),
        TEST(test_order_that_fails),
        TEST(test_order_of_somebody_who_went),
        TEST(test_stop_waits_for_an_order),
        TEST(test_requests),
        TEST(test_drain),
        TEST(test_drain_while_stopping),
        TEST(test_reload_refused),
        TEST(test_stop_request),
        TEST(test_smtp),
        TEST(test_smtp_refused),
        TEST(test_verify),
        TEST(test_status),
        TEST(test_active),
        TEST(test_byte_by_byte),
        TEST(test_garbage),
        TEST(test_endless_line),
        TEST(test_half_requests),
        TEST(test_deadline),
        TEST(test_too_many_connections),
        TEST(test_replies_not_read),
        TEST(test_socket_mode),
        TEST(test_stale_socket),
        TEST(test_start_refused),
        TEST(test_stop_closes_idle_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
