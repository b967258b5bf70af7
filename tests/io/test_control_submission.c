/* Tests of control/control_submission: what becomes of a message that a local program hands in. */
#include "fake_intake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define SUBMIT "submit\nfrom <ops@example.org>\nrcpt <ann@example.com>\n"
#define RECEIVED                                                                                   \
    "Received: by mx.example.com (Postfix, from userid 0)\r\n\tid 06401F3A9C2E7001; Thu, 9 Oct "   \
    "2025 08:53:20 +0000 (UTC)\r\n"
#define QUEUED "text 250 2.0.0 Ok: queued as 06401F3A9C2E7001\nok\n"

static int setup(void **state)
{
    setenv("TZ", "UTC", 1);
    fake_reset();
    return world_setup(state);
}

static int teardown(void **state)
{
    int rc = world_teardown(state);

    fake_reset();
    return rc;
}

/* Says it all at once on a connection of its own, and expects this to be the answer. */
static void talk(const char *said, const char *want)
{
    int fd = client_open();

    client_say(fd, said);
    client_expect(fd, want);
    close(fd);
    world_run();
}

static void test_message(void **state)
{
    talk("submit\nfrom <ops@example.org> RET=HDRS\nrcpt <ann@example.com> NOTIFY=NEVER\n"
         "rcpt <bob@EXAMPLE.com>\nchunk 33\nMessage-Id: <1@x>\nA: b\n\nhi\n.\nx\ry\nchunk "
         "2\nzzend\n",
         QUEUED);
    assert_int_equal(fake.submissions, 1);
    assert_string_equal(fake.id, "06401F3A9C2E7001");
    assert_string_equal(fake.sender, "ops@example.org");
    assert_string_equal(fake.recipients, "ann@example.com bob@EXAMPLE.com");
    assert_string_equal(fake.protocol, "local");
    assert_int_equal(fake.ret, SMTP_RET_HDRS);
    assert_int_equal(fake.notify, SMTP_NOTIFY_NEVER);
    assert_false(fake.smtputf8);
    assert_string_equal(fake.text,
                        RECEIVED "Message-Id: <1@x>\r\nA: b\r\n\r\nhi\r\n.\r\nx y\r\nzz\r\n");
    assert_string_equal(world.log_text,
                        "postfix/pickup[7]: 06401F3A9C2E7001: uid=0 from=<ops@example.org>\n"
                        "postfix/cleanup[7]: 06401F3A9C2E7001: message-id=<1@x>\n");
}

static void test_cut_everywhere(void **state)
{
    static const char said[] = SUBMIT "chunk 8\nA: b\n\nhichunk 1\n\nend\n";

    for (size_t cut = 1; cut < sizeof said - 1; cut++) {
        int fd = client_open();

        client_say_bytes(fd, span_make(said, cut));
        uv_run(&world.disk.loop, UV_RUN_NOWAIT);
        client_say(fd, said + cut);
        client_expect(fd, QUEUED);
        close(fd);
        assert_int_equal(fake.submissions, cut);
        assert_non_null(strstr(fake.text, ")\r\nA: b\r\n\r\nhi\r\n"));
        world.log_len = 0;
    }
}

static void test_senders(void **state)
{
    talk("submit\nfrom <>\nrcpt <ann@example.com>\nend\n", QUEUED);
    assert_string_equal(fake.sender, "");
    assert_string_equal(fake.text, RECEIVED);
    talk("submit\nfrom <root>\nrcpt <ann@example.com>\nend\n", QUEUED);
    assert_string_equal(fake.sender, "root@mx.example.com");
    world_expect_log("uid=0 from=<root>\n");
    talk("submit\nfrom <gr\xc3\xbc\xc3\x9f@example.org>\nrcpt <ann@example.com>\nend\n", QUEUED);
    assert_true(fake.smtputf8);
    talk("submit\nfrom <ops@example.org>\nrcpt <j\xc3\xb6rg@example.com>\nend\n", QUEUED);
    assert_true(fake.smtputf8);
    talk("submit\nfrom <ops@example.org> SMTPUTF8\nrcpt <ann@example.com>\nend\n", QUEUED);
    assert_true(fake.smtputf8); /* its header may need it */
    talk("submit\nfrom <ops@example.org>\nrcpt <postmaster>\nend\n", QUEUED);
    assert_string_equal(fake.recipients, "postmaster@example.com");
}

static void test_several_on_one_connection(void **state)
{
    int fd = client_open();

    client_say(fd, SUBMIT "chunk 2\na\nend\nping\n" SUBMIT "chunk 2\nb\nend\n");
    client_expect(fd, QUEUED "ok\n" QUEUED);
    close(fd);
    assert_int_equal(fake.submissions, 2);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    static const struct {
        const char *said;
        const char *want;
    } rows[] = {
        {"submit\nfrom <a b@c>\n",                                                          "error 64 501 5.1.7 Bad sender address syntax: <a b@c>\n"       },
        {"submit\nfrom x y\n",                                                              "error 64 501 5.1.7 Bad sender address syntax: x y\n"           },
        {"submit\nfrom <a@b> SIZE=x\n",
         "error 64 501 5.1.7 Bad sender address syntax: <a@b> SIZE=x\n"                                                                                     },
        {"submit\nfrom <a@b> SMTPUTF8 SMTPUTF8\n",
         "error 64 501 5.1.7 Bad sender address syntax: <a@b> SMTPUTF8 SMTPUTF8\n"                                                                          },
        {"submit\nfrom <>\nrcpt <>\n",                                                      "error 67 501 5.1.3 Bad recipient address syntax: <>\n"         },
        {"submit\nfrom <>\nrcpt <\"\"@example.com>\n",
         "error 67 501 5.1.3 Bad recipient address syntax: <\"\"@example.com>\n"                                                                            },
        {"submit\nfrom <>\nrcpt <x@other.net>\n",
         "error 69 554 5.7.1 <x@other.net>: Relay access denied"
         " (no way leads there: its domain is not in relay_domains, and neither relayhost nor "
         "outbound=direct is set)\n"                                                                                                                        },
        {"submit\nfrom <>\nrcpt <ann@example.com>\nrcpt <x@[192.0.2.1]>\nchunk 2\nhiend\n",
         "error 69 554 5.7.1 <x@[192.0.2.1]>: Relay access denied"
         " (no way leads there: its domain is not in relay_domains, and neither relayhost nor "
         "outbound=direct is set)\n"                                                                                                                        },
        {"submit\nfrom <>\nrcpt <ann>\n",
         "error 69 554 5.7.1 <ann@mx.example.com>: Relay access denied (a name without a domain "
         "gets "
         "@mx.example.com: set myorigin to one of relay_domains)\n"                                                                                         },
        {"submit\nfrom <>\nrcpt <1@example.com>\nrcpt <2@example.com>\nrcpt <3@example.com>\n"
         "rcpt <4@example.com>\n",                                                 "error 65 552 5.5.3 Error: too many recipients, 3 are allowed\n"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = client_open();

        client_say(fd, rows[i].said);
        client_expect_end(fd, rows[i].want);
    }
    assert_int_equal(fake.submissions, 0);
}

static void test_may_not_come(void **state)
{
    int fd = client_open();

    fake_say(&fake.refusal, 452, "452 4.3.1 Insufficient system storage");
    client_say(fd, SUBMIT "chunk 2\nhiend\n");
    client_expect_end(fd, "error 75 452 4.3.1 Insufficient system storage\n");
    assert_int_equal(fake.submissions, 0);
}

static void test_too_many_hops(void **state)
{
    int fd = client_open();

    client_say(fd, SUBMIT "chunk 70\nReceived: 1\nReceived: 2\nReceived: 3\nReceived: 4\n"
                          "received: 5\n\nReceived\nend\n");
    client_expect(fd, QUEUED);
    client_say(fd, SUBMIT "chunk 73\nReceived: 1\nReceived: 2\nReceived: 3\nReceived: 4\n"
                          "received: 5\nReceived: 6\n\nend\n");
    client_expect_end(fd, "error 69 554 5.4.0 Error: too many hops\n");
    assert_int_equal(fake.submissions, 1);
}

/* ---- large ones, which go through a file ---- */

static void say_chunks(int fd, size_t total, size_t chunk)
{
    static char bytes[CONTROL_CHUNK_MAX];
    char line[32];

    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 99; i < sizeof bytes; i += 100)
        bytes[i] = '\n';
    while (total > 0) {
        size_t len = total < chunk ? total : chunk;

        snprintf(line, sizeof line, "chunk %zu\n", len);
        client_say(fd, line);
        client_say_bytes(fd, span_make(bytes, len));
        total -= len;
    }
}

static void test_large(void **state)
{
    int fd = client_open();

    client_say(fd, SUBMIT);
    say_chunks(fd, 2000000, 60000);
    client_say(fd, "end\n");
    client_expect(fd, QUEUED);
    close(fd);
    world_run();
    assert_int_equal(fake.text_len, sizeof RECEIVED - 1 + 2000000 + 2000000 / 100);
    assert_memory_equal(fake.text + fake.text_len - 4, "xx\r\n", 4);
}

/* The size is that of the canonical text: one byte less, as large, one more. */
static void test_size_limit(void **state)
{
    for (size_t size = 2999999; size <= 3000001; size++) {
        int fd = client_open();
        size_t lines = 3000000 / 101; /* of 99 bytes and CRLF */

        client_say(fd, SUBMIT);
        say_chunks(fd, lines * 100, 60000);
        say_chunks(fd, size - lines * 101 - 2, 60000); /* an unfinished line gets its CRLF */
        client_say(fd, "end\n");
        if (size <= 3000000)
            client_expect(fd, QUEUED);
        else
            client_expect_end(
                fd, "error 65 552 5.3.4 Message size exceeds fixed limit (3000000 bytes)\n");
        if (size <= 3000000)
            close(fd);
        world_run();
    }
    assert_int_equal(fake.submissions, 2);
}

/* What is in custody already is not too big, whatever the limit is by now. */
static void test_resent(void **state)
{
    int fd = client_open();

    client_say(fd, "submit 06401F3A9C2E6001\nfrom <>\nrcpt <ann@example.com>\n");
    say_chunks(fd, 3000000, 60000); /* its line ends make it larger */
    client_say(fd, "end\n");
    client_expect(fd, QUEUED);
    world_expect_log("postfix/pickup[7]: 06401F3A9C2E7001: uid=0 from=<> "
                     "orig_id=06401F3A9C2E6001\n");
    client_say(fd, SUBMIT "end\n"); /* the next is nobody's */
    client_expect(fd, QUEUED);
    world_expect_log("uid=0 from=<ops@example.org>\n");
    close(fd);
    world_run();
    assert_int_equal(fake.submissions, 2);
}

static void test_disk_full(void **state)
{
    int fd = client_open();

    disk_fault(DISK_PWRITEV, 1, 100, ENOSPC);
    client_say(fd, SUBMIT);
    say_chunks(fd, 1000000, 60000);
    client_say(fd, "end\n");
    client_expect_end(fd, "error 75 452 4.3.1 Insufficient system storage\n");
    disk_fault(DISK_PWRITEV, 0, 100, EIO);
    fd = client_open();
    client_say(fd, SUBMIT);
    say_chunks(fd, 1000000, 60000);
    client_expect_end(fd, "error 75 451 4.3.0 Error: queue file write error\n");
    assert_int_equal(fake.submissions, 0);
}

/* ---- verdicts ---- */

static void test_verdicts(void **state)
{
    fake_say(&fake.verdict, 451, "451 4.3.0 Error: queue file write error");
    talk(SUBMIT "chunk 2\nhiend\n", "error 75 451 4.3.0 Error: queue file write error\n");
    fake_say(&fake.verdict, 550, "550 5.1.1 <ann@example.com>: unknown");
    talk(SUBMIT "chunk 2\nhiend\n", "error 67 550 5.1.1 <ann@example.com>: unknown\n");
}

static void test_later_verdict(void **state)
{
    int fd = client_open();

    fake.later = true;
    client_say(fd, SUBMIT "chunk 2\nhiend\nping\n");
    client_expect_silence(fd); /* the next request waits as well */
    fake_answer();
    client_expect(fd, QUEUED "ok\n");
    client_say(fd, "ping\n");
    client_expect(fd, "ok\n");
    close(fd);
}

/* ---- clients that take their time ---- */

/* Programs that stopped in the middle of their messages leave room for questions. */
static void test_too_many_at_once(void **state)
{
    int fds[CONTROL_SUBMISSIONS_MAX];
    int asks;

    for (size_t i = 0; i < CONTROL_SUBMISSIONS_MAX; i++) {
        fds[i] = client_open();
        client_say(fds[i], SUBMIT "chunk 2\nhi");
        world_run();
    }
    asks = client_open();
    client_say(asks, "ping\n");
    client_expect(asks, "ok\n");
    client_say(asks, SUBMIT);
    client_expect_end(asks, "error 75 too many messages are being handed in\n");
    close(fds[0]);
    world_run();
    talk(SUBMIT "chunk 2\nhiend\n" SUBMIT "chunk 2\nhiend\n", QUEUED QUEUED);
    client_say(fds[1], "end\n");
    client_expect(fds[1], QUEUED);
    client_say(fds[1], "submit\nchunk 1\n"); /* a fault gives the place back too */
    client_expect_end(fds[1], "error 76 a request came where it may not\n");
    for (size_t i = 2; i < CONTROL_SUBMISSIONS_MAX; i++)
        close(fds[i]);
    world_run();
    assert_int_equal(world.server.submissions, 0);
    assert_int_equal(world.server.open, 0);
}

static void test_a_message_that_stands_still(void **state)
{
    struct control_connection *c = &world.server.connections[0];
    int fd = client_open();

    client_say(fd, SUBMIT "chunk 2\nhi");
    world_run();
    c->moved_ms -= CONTROL_STALL_MS - 20000;
    client_say(fd, "chunk 0\nchunk 1\n!");
    world_run();
    assert_false(c->finishing);
    c->moved_ms -= CONTROL_STALL_MS - 20000; /* the byte counted */
    client_say(fd, "chunk 0\n");
    world_run();
    assert_false(c->finishing);
    c->moved_ms -= 20000;
    client_say(fd, "chunk 0\n");
    client_expect_end(fd, "error 75 the message does not go on\n");
    world_run();
    assert_int_equal(fake.submissions, 0);
    assert_int_equal(world.server.submissions, 0);
}

/* ---- clients that go ---- */

/* At each byte before the last of "end": nothing was submitted, nothing is left. */
static void test_gone_before_the_end(void **state)
{
    static const char said[] = SUBMIT "chunk 8\nA: b\n\nhichunk 1\n\nend\n";

    for (size_t len = 0; len < sizeof said - 1; len++) {
        int fd = client_open();

        client_say_bytes(fd, span_make(said, len));
        close(fd);
        world_run();
        assert_int_equal(world.server.open, 0);
    }
    assert_int_equal(fake.submissions, 0);
    assert_int_equal(world.place.budget.used, 0);
}

static void test_gone_with_a_file(void **state)
{
    int fd = client_open();

    client_say(fd, SUBMIT);
    say_chunks(fd, 1000000, 60000);
    world_run();
    assert_true(disk_names(&world.disk, ".") == 2); /* the socket, and the body's file */
    close(fd);
    world_run();
    assert_int_equal(disk_names(&world.disk, "."), 1);
    assert_int_equal(fake.submissions, 0);
}

static void test_gone_after_the_end(void **state)
{
    int fd = client_open();

    fake.later = true;
    client_say(fd, SUBMIT "chunk 2\nhiend\n");
    world_run();
    close(fd);
    world_run();
    assert_int_equal(fake.submissions, 1);
    assert_int_equal(fake.forgotten, 1);
    assert_int_equal(world.server.open, 0);
}

/* ---- stop ---- */

static void test_stop(void **state)
{
    int waits = client_open();
    int sends = client_open();

    fake.later = true;
    client_say(waits, SUBMIT "chunk 2\nhiend\n");
    client_say(sends, SUBMIT "chunk 5\nhi");
    world_run();
    world_stop();
    client_expect_end(sends, "error 75 the mail system is stopping\n");
    client_expect_silence(waits);
    assert_false(world.stopped);
    fake_answer();
    client_expect_end(waits, QUEUED);
    world_run();
    assert_true(world.stopped);
    assert_int_equal(fake.submissions, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_message),
        TEST(test_cut_everywhere),
        TEST(test_senders),
        TEST(test_several_on_one_connection),
        TEST(test_refusals),
        TEST(test_may_not_come),
        TEST(test_too_many_hops),
        TEST(test_large),
        TEST(test_size_limit),
        TEST(test_resent),
        TEST(test_disk_full),
        TEST(test_verdicts),
        TEST(test_later_verdict),
        TEST(test_too_many_at_once),
        TEST(test_a_message_that_stands_still),
        TEST(test_gone_before_the_end),
        TEST(test_gone_with_a_file),
        TEST(test_gone_after_the_end),
        TEST(test_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
