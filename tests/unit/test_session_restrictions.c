/*
 * test_session_restrictions - what a session does around its restrictions: waiting for the DNS and
 * for pauses, ends that come meanwhile, the log, rates and early talkers
 */
#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HELO "HELO h.example.net\r\n"
#define MAIL HELO "MAIL FROM:<b@broken.example.net>\r\n"
#define RCPT "RCPT TO:<r@example.com>\r\n"

static struct fixture f;

static int teardown(void **state)
{
    fixture_free(&f);
    return 0;
}

static void start(const char *const *settings_used, enum fixture_when when)
{
    fixture_init(&f, settings_used);
    fixture_greet(&f);
    f.when = when;
}

static const char *const asking[] = {"smtpd_sender_restrictions=reject_unknown_sender_domain",
                                     "smtpd_data_restrictions=sleep 3", NULL};
static const char *const tarpit[] = {"smtpd_soft_error_limit=1", "smtpd_hard_error_limit=5", NULL};

/* Up to the RCPT whose sender's domain is being looked up. */
static void until_lookup(void)
{
    start(asking, FIXTURE_HELD);
    fixture_say(&f, MAIL);
    assert_true(fixture_answer(&f)); /* the client's name */
    fixture_say(&f, RCPT "NOOP\r\n");
    assert_int_equal(f.session.busy, SESSION_BUSY_LOOKUP);
    assert_int_equal(f.waiting, SESSION_WAIT_US);
    assert_string_equal(f.asked_name, "broken.example.net");
    fixture_heard(&f);
}

static void test_answer_comes_late(void **state)
{
    until_lookup();
    session_timeout(&f.session); /* not the client's turn */
    assert_string_equal(bytes_text(&f.said), "");
    assert_true(fixture_answer(&f));
    assert_int_equal(f.resumes, 2);
    assert_string_equal(fixture_heard(&f), "450 4.1.8 <b@broken.example.net>: Sender address "
                                           "rejected: Domain not found\r\n");
    fixture_pump(&f); /* what was kept is run now */
    assert_string_equal(fixture_heard(&f), "250 2.0.0 Ok\r\n");
    assert_int_equal(f.lookups, 1);
}

static void test_double_answers(void **state)
{
    struct dns_answer none = {.found = DNS_NONE};

    until_lookup();
    assert_true(fixture_answer(&f));
    fixture_heard(&f);
    session_lookup_answer(&f.session, &none);
    assert_string_equal(bytes_text(&f.said), "");
}

static void test_lost_meanwhile(void **state)
{
    struct dns_answer none = {.found = DNS_NONE};

    until_lookup();
    session_lost(&f.session);
    session_lookup_answer(&f.session, &none);
    assert_int_equal(f.session.state, SESSION_CLOSING);
    assert_string_equal(bytes_text(&f.said), "");
    assert_non_null(strstr(bytes_text(&f.logged), "lost connection after RCPT from"));
}

static void test_end_meanwhile(void **state)
{
    until_lookup();
    fixture_end(&f); /* the sanitizer sees what is left */
}

static void test_shutdown_meanwhile(void **state)
{
    until_lookup();
    session_shutdown(&f.session);
    assert_string_equal(bytes_text(&f.said), "");
    assert_true(fixture_answer(&f));
    assert_string_equal(fixture_heard(&f),
                        "450 4.1.8 <b@broken.example.net>: Sender address rejected: Domain not "
                        "found\r\n421 4.3.2 mx.example.com Service shutting down\r\n");
}

/* The lists are run again for each recipient, as other words may know it. */
static void test_each_recipient(void **state)
{
    start(asking, FIXTURE_LATER);
    fixture_say(&f, HELO "MAIL FROM:<b@host.example.net>\r\n" RCPT "RCPT TO:<q@example.com>\r\n");
    assert_int_equal(f.lookups, 2);
    assert_int_equal(f.session.envelope->recipient_count, 2);
}

static void until_data_pause(void)
{
    start(asking, FIXTURE_HELD);
    fixture_say(&f, HELO "MAIL FROM:<>\r\n");
    assert_true(fixture_answer(&f));
    fixture_pump(&f);
    fixture_say(&f, RCPT);
    assert_true(fixture_answer(&f));
    fixture_say(&f, "DATA\r\n");
    fixture_heard(&f);
    assert_int_equal(f.session.busy, SESSION_BUSY_PAUSE);
    assert_int_equal(f.session.pause_ms, 3000);
    assert_int_equal(f.waiting, SESSION_WAIT_PAUSE);
}

static void test_pause_ends(void **state)
{
    until_data_pause();
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), "354 End data with <CR><LF>.<CR><LF>\r\n");
    assert_int_equal(f.waiting, SESSION_WAIT_DATA);
}

static void test_shutdown_ends_a_pause(void **state)
{
    until_data_pause();
    session_shutdown(&f.session);
    assert_string_equal(fixture_heard(&f), "421 4.3.2 mx.example.com Service shutting down\r\n");
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), "");
}

static void test_lost_in_a_pause(void **state)
{
    until_data_pause();
    session_lost(&f.session);
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), "");
}

/* ---- errors ---- */

static void test_errors_slow_a_client_down(void **state)
{
    start(tarpit, FIXTURE_HELD);
    fixture_say(&f, "FOO\r\nNOOP\r\nNOOP\r\n");
    assert_string_equal(fixture_heard(&f), "500 5.5.2 Error: command not recognized\r\n");
    assert_int_equal(f.waiting, SESSION_WAIT_PAUSE);
    assert_int_equal(f.session.pause_ms, 1000);
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), "250 2.0.0 Ok\r\n");
    fixture_pump(&f);
    assert_int_equal(f.waiting, SESSION_WAIT_PAUSE); /* each command waits for its own second */
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), "250 2.0.0 Ok\r\n");
    assert_int_equal(f.waiting, SESSION_WAIT_COMMAND);
}

static void test_long_line_after_a_pause(void **state)
{
    char line[3000];

    memset(line, 'x', sizeof line);
    start(tarpit, FIXTURE_LATER);
    fixture_say(&f, "FOO\r\n");
    fixture_heard(&f);
    fixture_send(&f, span_make(line, sizeof line));
    fixture_say(&f, "\r\n");
    assert_string_equal(fixture_heard(&f), "500 5.5.2 Error: line too long\r\n");
}

static void test_lost_while_slowed_down(void **state)
{
    start(tarpit, FIXTURE_HELD);
    fixture_say(&f, "FOO\r\nMAIL FROM:<>\r\n");
    fixture_heard(&f);
    session_lost(&f.session);
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), "");
}

/* ---- the log ---- */

static void test_warning_in_the_log(void **state)
{
    static const char *const used[] = {"smtpd_sender_restrictions=warn_if_reject reject", NULL};

    start(used, FIXTURE_NOW);
    fixture_say(&f, HELO "MAIL FROM:<s@example.net>\r\n" RCPT);
    assert_non_null(strstr(
        bytes_text(&f.logged),
        "postfix/smtpd[7]: NOQUEUE: reject_warning: RCPT from client.example.net[203.0.113.9]: 554 "
        "5.7.1 <s@example.net>: Sender address rejected: Access denied; from=<s@example.net> "
        "to=<r@example.com> proto=SMTP helo=<h.example.net>\n"));
    assert_int_equal(f.session.rejects, 0);
}

static void test_data_in_the_log(void **state)
{
    static const char *const used[] = {"smtpd_data_restrictions=reject", NULL};

    start(used, FIXTURE_NOW);
    fixture_transaction(&f);
    fixture_say(&f, "DATA\r\n");
    assert_non_null(strstr(bytes_text(&f.logged),
                           ": reject: DATA from client.example.net[203.0.113.9]: 554 5.7.1 <DATA>: "
                           "Data command rejected: Access denied; from=<s@example.net> "
                           "to=<r@example.com> proto=SMTP helo=<h>\n"));
    fixture_say(&f,
                "RCPT TO:<q@example.com>\r\nDATA\r\n"); /* of several recipients none is named */
    assert_non_null(strstr(bytes_text(&f.logged), "from=<s@example.net> proto=SMTP helo=<h>\n"));
}

static void test_list_error_in_the_log(void **state)
{
    static const char *const used[] = {
        "smtpd_client_restrictions=reject_rbl_client refused.example.org", NULL};

    start(used, FIXTURE_NOW);
    fixture_transaction(&f);
    assert_non_null(strstr(bytes_text(&f.logged),
                           "postfix/smtpd[7]: warning: refused.example.org: RBL lookup error: "));
}

/* ---- rates ---- */

static void test_rates(void **state)
{
    static const char *const used[] = {"smtpd_client_message_rate_limit=2",
                                       "smtpd_client_recipient_rate_limit=3", NULL};

    start(used, FIXTURE_NOW);
    fixture_transaction(&f);
    fixture_talk(&f, "RSET\r\nMAIL FROM:<>\r\n" RCPT RCPT RCPT,
                 "250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n"
                 "450 4.7.1 Error: too many recipients from 203.0.113.9\r\n");
    fixture_talk(&f, "RSET\r\nMAIL FROM:<>\r\n",
                 "250 2.0.0 Ok\r\n450 4.7.1 Error: too much mail from 203.0.113.9\r\n");
    assert_non_null(strstr(bytes_text(&f.logged),
                           "warning: Recipient address rate limit exceeded: 4 from "
                           "client.example.net[203.0.113.9] for service smtp\n"));
    assert_non_null(strstr(bytes_text(&f.logged),
                           "warning: Message delivery request rate limit exceeded: 3 from "
                           "client.example.net[203.0.113.9] for service smtp\n"));
    assert_int_equal(f.session.rejects, 2);
}

static void test_no_rates(void **state)
{
    start(NULL, FIXTURE_NOW);
    fixture_transaction(&f);
    assert_int_equal(f.events[0] + f.events[1], 0);
}

/* ---- clients that do not wait ---- */

static const char *const forbidding[] = {"smtpd_forbid_unauth_pipelining=yes", NULL};

static void test_pipelining_forbidden(void **state)
{
    start(forbidding, FIXTURE_NOW);
    fixture_talk(&f, "EHLO h\r\nNOOP\r\n", "554 5.5.0 Error: SMTP protocol synchronization\r\n");
    assert_int_equal(f.hang_ups, 1);
    assert_non_null(strstr(bytes_text(&f.logged), "improper command pipelining after EHLO from "
                                                  "client.example.net[203.0.113.9]: NOOP\\r\\n\n"));
}

static void test_pipelining_allowed(void **state)
{
    start(forbidding, FIXTURE_NOW);
    fixture_say(&f, "EHLO h\r\n");
    fixture_say(&f, "MAIL FROM:<>\r\n" RCPT "DATA\r\n");
    fixture_say(&f, "text\r\n.\r\nMAIL FROM:<>\r\n" RCPT "RSET\r\nQUIT\r\n"); /* RFC 2920 3.1 */
    assert_null(strstr(bytes_text(&f.said), "554"));
    assert_int_equal(f.message_count, 1);
}

static void test_pipelining_of_trusted_clients(void **state)
{
    fixture_init(&f, forbidding);
    fixture_connect(&f, true);
    session_start(&f.session);
    fixture_say(&f, "HELO h\r\nMAIL FROM:<>\r\n" RCPT "QUIT\r\n");
    assert_null(strstr(bytes_text(&f.said), "554"));
}

static void test_pipelining_restriction(void **state)
{
    static const char *const used[] = {"smtpd_data_restrictions=reject_unauth_pipelining", NULL};

    start(used, FIXTURE_NOW);
    fixture_say(&f, "EHLO h\r\n");
    fixture_say(&f, "MAIL FROM:<>\r\n" RCPT);
    fixture_heard(&f);
    fixture_talk(&f, "DATA\r\nNOOP\r\n",
                 "503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command "
                 "pipelining\r\n250 2.0.0 Ok\r\n");
    fixture_talk(&f, "DATA\r\n", "354 End data with <CR><LF>.<CR><LF>\r\n");
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answer_comes_late),
        TEST(test_double_answers),
        TEST(test_lost_meanwhile),
        TEST(test_end_meanwhile),
        TEST(test_shutdown_meanwhile),
        TEST(test_each_recipient),
        TEST(test_pause_ends),
        TEST(test_shutdown_ends_a_pause),
        TEST(test_lost_in_a_pause),
        TEST(test_errors_slow_a_client_down),
        TEST(test_long_line_after_a_pause),
        TEST(test_lost_while_slowed_down),
        TEST(test_warning_in_the_log),
        TEST(test_data_in_the_log),
        TEST(test_list_error_in_the_log),
        TEST(test_rates),
        TEST(test_no_rates),
        TEST(test_pipelining_forbidden),
        TEST(test_pipelining_allowed),
        TEST(test_pipelining_of_trusted_clients),
        TEST(test_pipelining_restriction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
