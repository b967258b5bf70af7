/* test_session_log - what the log says of a session, and of whom it is silent */
#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SMTPD "postfix/smtpd[7]: "
#define PEER  "client.example.net[203.0.113.9]"
#define ID    "0000000000000001"

static int setup(void **state)
{
    struct fixture *f = malloc(sizeof *f);

    fixture_init(f, NULL);
    fixture_greet(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    free(*state);
    return 0;
}

static void expect_log(struct fixture *f, const char *want)
{
    assert_string_equal(bytes_text(&f->logged), want);
}

static void expect_in_log(struct fixture *f, const char *want)
{
    if (!strstr(bytes_text(&f->logged), want))
        fail_msg("not logged: %s\nlogged:\n%s", want, bytes_text(&f->logged));
}

/* --- silence --- */

static void test_healthchecks_are_silent(void **state)
{
    struct fixture *f = *state;

    fixture_end(f); /* connect and close */
    expect_log(f, "");
    fixture_greet(f);
    session_lost(&f->session);
    fixture_end(f);
    expect_log(f, "");
    fixture_greet(f);
    fixture_talk(f, "QUIT\r\n", "221 2.0.0 Bye\r\n");
    fixture_end(f);
    expect_log(f, "");
    fixture_greet(f);
    fixture_say(f, "EHL"); /* no line came */
    session_lost(&f->session);
    fixture_end(f);
    expect_log(f, "");
    fixture_greet(f);
    session_timeout(&f->session);
    assert_string_equal(fixture_heard(f), "421 4.4.2 mx.example.com Error: timeout exceeded\r\n");
    fixture_end(f);
    expect_log(f, "");
    fixture_greet(f);
    session_shutdown(&f->session);
    fixture_end(f);
    expect_log(f, "");
}

static void test_connect_waits_for_the_name(void **state)
{
    struct fixture *f = *state;

    f->when = FIXTURE_HELD;
    fixture_say(f, "EHLO h\r\n");
    assert_true(f->peer_due);
    assert_int_equal(f->session.busy, SESSION_FREE); /* asked early, waited for at MAIL only */
    expect_log(f, "");
    fixture_heard(f);
    fixture_talk(f, "MAIL FROM:<s@example.net>\r\n", "");
    assert_int_equal(f->session.busy, SESSION_BUSY_PEER);
    assert_true(fixture_answer(f));
    assert_string_equal(fixture_heard(f), "250 2.1.0 Ok\r\n");
    assert_int_equal(f->resumes, 1);
    expect_log(f, SMTPD "connect from " PEER "\n");
}

static void test_connect_without_a_name(void **state)
{
    struct fixture *f = *state;

    f->when = FIXTURE_HELD;
    fixture_say(f, "EHLO h\r\nGET / HTTP/1.1\r\n");
    expect_in_log(f, SMTPD "connect from unknown[203.0.113.9]\n" SMTPD);
    fixture_answer(f); /* too late, and harmless */
    fixture_end(f);
    expect_in_log(f, SMTPD "disconnect from unknown[203.0.113.9] ehlo=1 unknown=0/1 "
                           "commands=1/2\n");
}

/* --- refusals in the log --- */

static void test_rejects_are_logged(void **state)
{
    struct fixture *f = *state;

    fixture_say(f, "EHLO h\r\nMAIL FROM:<s@example.net> SIZE=26214401\r\n");
    expect_in_log(f, SMTPD "NOQUEUE: reject: MAIL from " PEER
                           ": 552 5.3.4 Message size exceeds fixed limit; from=<s@example.net> "
                           "proto=ESMTP helo=<h>\n");
    fixture_say(f, "MAIL FROM:<s@example.net>\r\nRCPT TO:<unknown@example.com>\r\n");
    expect_in_log(f, SMTPD
                  "NOQUEUE: reject: RCPT from " PEER
                  ": 550 5.1.1 <unknown@example.com>: Recipient address rejected: undeliverable "
                  "address: host dovecot[192.0.2.10] said: 550 5.1.1 <unknown@example.com> User "
                  "doesn't exist; from=<s@example.net> to=<unknown@example.com> proto=ESMTP "
                  "helo=<h>\n");
    fixture_say(f, "RCPT TO:<r@example.com>\r\nRCPT TO:<temp@example.com>\r\n");
    expect_in_log(f, SMTPD ID ": reject: RCPT from " PEER
                              ": 451 4.3.0 <temp@example.com>: Recipient address rejected: "
                              "unverified address: host dovecot[192.0.2.10] said: 451 4.3.0 "
                              "<temp@example.com> Temporary; from=<s@example.net> ");
    f->submit_reply = "451 4.3.0 Error: queue file write error";
    fixture_say(f, "DATA\r\n.\r\n");
    expect_in_log(f, SMTPD ID ": reject: END-OF-MESSAGE from " PEER
                              ": 451 4.3.0 Error: queue file write error; from=<s@example.net> "
                              "proto=ESMTP helo=<h>\n");
    f->mail_refused = "452 4.3.1 Insufficient system storage";
    fixture_say(f, "MAIL FROM:<>\r\n");
    expect_in_log(f, "NOQUEUE: reject: MAIL from " PEER
                     ": 452 4.3.1 Insufficient system storage; from=<> ");
    f->mail_refused = NULL;
    f->data_refused = "452 4.3.1 Insufficient system storage";
    fixture_say(f, "MAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n");
    expect_in_log(f, "0000000000001001: reject: DATA from " PEER
                     ": 452 4.3.1 Insufficient system storage; from=<> ");
    fixture_end(f);
    expect_in_log(f, " ehlo=1 mail=2/4 rcpt=2/4 data=0/2 commands=5/11\n");
}

static void test_syntax_errors_of_addresses_are_warned_of(void **state)
{
    struct fixture *f = *state;

    fixture_say(f, "HELO h\r\nMAIL FROM:<a b>\r\nMAIL FROM:<>\r\nRCPT TO:<\x1B>\r\n");
    expect_in_log(f,
                  SMTPD "warning: Illegal address syntax from " PEER " in MAIL command: <a b>\n");
    expect_in_log(f, SMTPD "warning: Illegal address syntax from " PEER " in RCPT command: <?>\n");
}

static void test_not_smtp(void **state)
{
    static const char *const rows[] = {"GET / HTTP/1.1", "post /x", "CONNECT mx:25", "Subject: hi",
                                       "Host:x"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture_greet(f);
        fixture_say(f, rows[i]);
        fixture_talk(f, "\r\nMAIL FROM:<>\r\n",
                     "221 2.7.0 Error: I can break rules, too. Goodbye.\r\n");
        assert_int_equal(f->hang_ups, 1);
        expect_in_log(f, "warning: non-SMTP command from " PEER ": ");
        expect_in_log(f, rows[i]);
    }
}

static void test_improper_pipelining(void **state)
{
    struct fixture *f = *state;

    fixture_say(f, "EHLO h\r\nMAIL FROM:<>\r\n");
    expect_in_log(f, SMTPD "improper command pipelining after EHLO from " PEER
                           ": MAIL FROM:<>\\r\\n\n");
    fixture_greet(f);
    fixture_say(f, "EHLO h\r\n");
    fixture_say(f, "MAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n");
    fixture_end(f);
    assert_null(strstr(bytes_text(&f->logged), "improper"));
    fixture_connect(f, true); /* loopback probes do as they like */
    session_start(&f->session);
    fixture_say(f, "EHLO h\r\nMAIL FROM:<>\r\n");
    assert_null(strstr(bytes_text(&f->logged), "improper"));
}

static void test_early_talkers(void **state)
{
    struct fixture *f = *state;

    fixture_connect(f, false);
    session_start_early(&f->session, SPAN_LIT("EHLO h\r\n"));
    assert_string_equal(fixture_heard(f),
                        "421 4.7.0 mx.example.com Error: SMTP protocol synchronization\r\n");
    assert_int_equal(f->hang_ups, 1);
    expect_in_log(f, "improper command pipelining after CONNECT from unknown[203.0.113.9]: "
                     "EHLO h\\r\\n\n");
    fixture_connect(f, true);
    session_start_early(&f->session, SPAN_LIT("QUIT\r\n"));
    assert_string_equal(fixture_heard(f), "220 mx.example.com ESMTP Postfix\r\n");
    expect_log(f, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_healthchecks_are_silent),
        TEST(test_connect_waits_for_the_name),
        TEST(test_connect_without_a_name),
        TEST(test_rejects_are_logged),
        TEST(test_syntax_errors_of_addresses_are_warned_of),
        TEST(test_not_smtp),
        TEST(test_improper_pipelining),
        TEST(test_early_talkers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
