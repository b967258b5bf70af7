/* test_session_tls - STARTTLS and wrapped ports: what is forgotten, what is logged, and that
 * nothing said in clear text is read as a command afterwards */
#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SMTPD "postfix/smtpd[7]: "
#define PEER  "client.example.net[203.0.113.9]"
#define READY "220 2.0.0 Ready to start TLS\r\n"
#define SYNC  "554 5.5.0 Error: SMTP protocol synchronization\r\n"
#define LOCAL "454 4.7.0 TLS not available due to local problem\r\n"

static void setup_with(struct fixture *f, const char *const *pairs)
{
    fixture_init(f, pairs);
    fixture_greet(f);
}

static const char *const may[] = {"smtpd_tls_security_level=may", "smtpd_tls_loglevel=1", NULL};

static void expect_log(struct fixture *f, const char *want)
{
    assert_string_equal(bytes_text(&f->logged), want);
}

static void expect_in_log(struct fixture *f, const char *want)
{
    if (!strstr(bytes_text(&f->logged), want))
        fail_msg("not logged: %s\nlogged:\n%s", want, bytes_text(&f->logged));
}

/* --- input that came with STARTTLS (CVE-2011-0411) --- */

#define INJECTED                                                                                   \
    "STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<alice@example.com>\r\n"     \
    "DATA\r\nSubject: injected\r\n\r\ntext\r\n.\r\n"
#define STARTTLS_LEN (sizeof "STARTTLS\r\n" - 1)

/* Nothing of it was run, whatever comes later. */
static void check_nothing_injected(struct fixture *f)
{
    assert_int_equal(f->message_count, 0);
    assert_int_equal(f->submits, 0);
    assert_null(strstr(bytes_text(&f->said), "250 "));
    assert_null(f->session.envelope);
    assert_string_equal(f->session.helo, "");
}

static void test_surplus_at_every_split(void **state)
{
    static const char input[] = INJECTED;
    struct fixture f;

    setup_with(&f, may);
    for (size_t cut = 1; cut < sizeof input - 1; cut++) {
        fixture_greet(&f);
        fixture_send(&f, span_make(input, cut));
        fixture_send(&f, span_make(input + cut, sizeof input - 1 - cut));
        if (f.tls_due) /* the rest came later, as junk in the handshake */
            fixture_secure(&f);
        assert_int_equal(cut == STARTTLS_LEN, f.tls_starts == 1);
        assert_string_equal(bytes_text(&f.said), cut == STARTTLS_LEN ? READY : SYNC);
        assert_int_equal(f.hang_ups, 1);
        check_nothing_injected(&f);
    }
    fixture_free(&f);
}

static void test_surplus_after_a_greeting_is_logged(void **state)
{
    struct fixture f;

    setup_with(&f, may);
    fixture_connect(&f, true); /* trusted clients too: it is not they who are to blame */
    session_start(&f.session);
    fixture_heard(&f);
    fixture_say(&f, "EHLO h\r\n");
    fixture_heard(&f);
    fixture_talk(&f, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n", SYNC);
    assert_int_equal(f.tls_prepares, 0);
    fixture_end(&f);
    expect_log(&f, SMTPD "connect from " PEER "\n" SMTPD
                         "improper command pipelining after STARTTLS from " PEER
                         ": MAIL FROM:<evil@example.org>\\r\\n\n" SMTPD "disconnect from " PEER
                         " ehlo=1 starttls=0/1 commands=1/2\n");
    fixture_free(&f);
}

/* A client that errs waits before its commands are run; what it sends meanwhile is surplus too. */
static void test_surplus_during_a_pause(void **state)
{
    static const char *const pairs[] = {"smtpd_tls_security_level=may", "smtpd_soft_error_limit=1",
                                        NULL};
    struct fixture f;

    setup_with(&f, pairs);
    fixture_say(&f, "NONSENSE\r\n");
    f.when = FIXTURE_HELD;
    fixture_say(&f, "STARTTLS\r\n");
    fixture_say(&f, "MAIL FROM:<evil@example.org>\r\n"); /* not taken */
    fixture_heard(&f);
    assert_true(fixture_answer(&f)); /* the pause */
    assert_string_equal(fixture_heard(&f), READY);
    fixture_secure(&f); /* as net/stream has it: fails */
    assert_int_equal(f.session.state, SESSION_CLOSING);
    check_nothing_injected(&f);
    fixture_free(&f);
}

static void test_refused_starttls_may_be_pipelined(void **state)
{
    struct fixture f;

    setup_with(&f, NULL);
    fixture_talk(&f, "STARTTLS\r\nNOOP\r\n",
                 "502 5.5.1 Error: command not implemented\r\n250 2.0.0 Ok\r\n");
    fixture_free(&f);
}

static void test_no_input_is_taken_during_the_handshake(void **state)
{
    struct fixture f;

    setup_with(&f, may);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    assert_int_equal(session_input(&f.session, "NOOP\r\n", 6), 0);
    assert_int_equal(f.waiting, SESSION_WAIT_TLS);
    assert_string_equal(fixture_heard(&f), "");
    fixture_secure(&f);
    assert_int_equal(f.waiting, SESSION_WAIT_COMMAND);
    fixture_talk(&f, "NOOP\r\n", "250 2.0.0 Ok\r\n");
    fixture_free(&f);
}

/* --- what is kept and what is not --- */

static void test_a_transaction_is_forgotten(void **state)
{
    struct fixture f;

    setup_with(&f, may);
    fixture_transaction(&f);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    assert_null(f.session.envelope);
    fixture_secure(&f);
    fixture_talk(&f, "DATA\r\n", "503 5.5.1 Error: need RCPT command\r\n");
    assert_int_equal(f.session.errors, 1); /* counted on */
    fixture_end(&f);
    expect_in_log(&f, " helo=1 starttls=1 mail=1 rcpt=1 data=0/1 commands=4/5\n");
    fixture_free(&f);
}

static void test_received(void **state)
{
    static const char *const pairs[] = {"smtpd_tls_security_level=may",
                                        "smtpd_tls_received_header=yes", NULL};
    struct fixture f;

    setup_with(&f, pairs);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    fixture_secure(&f);
    fixture_say(&f, "EHLO h\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n");
    fixture_say(&f, "A: b\r\n.\r\n");
    assert_int_equal(f.message_count, 1);
    assert_string_equal(f.messages[0].envelope->protocol, "ESMTPS");
    assert_non_null(strstr(bytes_text(&f.messages[0].body),
                           "Received: from h (client.example.net [203.0.113.9])\r\n"
                           "\t(using TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256 (128/128 "
                           "bits))\r\n"
                           "\t(No client certificate requested)\r\n"
                           "\tby mx.example.com (Postfix) with ESMTPS id 0000000000000001\r\n"
                           "\tfor <r@example.com>; "));
    fixture_free(&f);
}

static void test_protocol_names(void **state)
{
    static const char *const rows[][2] = {
        {"HELO h\r\nMAIL FROM:<s@example.net>\r\n",          "SMTP"     },
        {"EHLO h\r\nMAIL FROM:<s@example.net>\r\n",          "ESMTPS"   },
        {"EHLO h\r\nMAIL FROM:<s@example.net> SMTPUTF8\r\n", "UTF8SMTPS"},
    };
    struct fixture f;

    fixture_init(&f, may);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture_greet(&f);
        fixture_talk(&f, "STARTTLS\r\n", READY);
        fixture_secure(&f);
        fixture_say(&f, rows[i][0]);
        assert_string_equal(f.session.envelope->protocol, rows[i][1]);
    }
    fixture_free(&f);
}

/* --- when it cannot be had --- */

static void test_not_offered_without_a_certificate(void **state)
{
    struct fixture f;

    fixture_init(&f, may);
    f.no_certificate = true;
    f.tls_refused = "454 4.7.0 TLS not available due to local problem";
    fixture_greet(&f);
    fixture_say(&f, "EHLO h\r\n");
    assert_null(strstr(fixture_heard(&f), "STARTTLS"));
    fixture_talk(&f, "STARTTLS\r\n", LOCAL);
    fixture_talk(&f, "MAIL FROM:<s@example.net>\r\n", "250 2.1.0 Ok\r\n");
    fixture_free(&f);
}

/* 530 would make the mail bounce for a fault of ours. */
static void test_required_but_not_to_be_had(void **state)
{
    static const char *const pairs[] = {"smtpd_tls_security_level=encrypt", NULL};
    struct fixture f;

    fixture_init(&f, pairs);
    f.no_certificate = true;
    f.tls_refused = "454 4.7.0 TLS not available due to local problem";
    fixture_greet(&f);
    fixture_say(&f, "EHLO h\r\n");
    assert_non_null(strstr(fixture_heard(&f), "250-STARTTLS\r\n"));
    fixture_talk(&f, "MAIL FROM:<s@example.net>\r\n",
                 "530 5.7.0 Must issue a STARTTLS command first\r\n");
    fixture_talk(&f, "STARTTLS\r\n", LOCAL);
    fixture_talk(&f, "MAIL FROM:<s@example.net>\r\n", LOCAL);
    fixture_talk(&f, "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", LOCAL "250 2.0.0 Ok\r\n");
    f.tls_refused = NULL;
    fixture_talk(&f, "STARTTLS\r\n", READY);
    fixture_secure(&f);
    fixture_talk(&f, "MAIL FROM:<s@example.net>\r\n", "250 2.1.0 Ok\r\n");
    fixture_free(&f);
}

static void test_local_programs_know_no_tls(void **state)
{
    static const char *const pairs[] = {"smtpd_tls_security_level=encrypt", NULL};
    struct session_client client = {.address = "127.0.0.1", .trusted = true, .no_tls = true};
    struct fixture f;

    fixture_init(&f, pairs);
    session_init(&f.session, &fixture_ops, &f, f.config, &f.log, &client);
    f.live = true;
    session_start(&f.session);
    fixture_say(&f, "EHLO h\r\n");
    assert_null(strstr(fixture_heard(&f), "STARTTLS"));
    fixture_talk(&f, "STARTTLS\r\n", "502 5.5.1 Error: command not implemented\r\n");
    fixture_talk(&f, "MAIL FROM:<s@example.net>\r\n", "250 2.1.0 Ok\r\n");
    fixture_free(&f);
}

/* --- the log --- */

static void test_log(void **state)
{
    struct fixture f;

    setup_with(&f, may);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    fixture_secure(&f);
    fixture_talk(&f, "QUIT\r\n", "221 2.0.0 Bye\r\n");
    fixture_end(&f);
    expect_log(&f, SMTPD "connect from " PEER "\n" SMTPD
                         "Anonymous TLS connection established from " PEER
                         ": TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256 (128/128 bits)\n" SMTPD
                         "disconnect from " PEER " starttls=1 quit=1 commands=2\n");
    fixture_free(&f);
}

static void test_log_waits_for_the_name(void **state)
{
    struct fixture f;

    setup_with(&f, may);
    f.when = FIXTURE_HELD;
    fixture_talk(&f, "STARTTLS\r\n", READY);
    fixture_secure(&f);
    expect_log(&f, "");
    assert_true(fixture_answer(&f));
    expect_log(&f, SMTPD "connect from " PEER "\n" SMTPD
                         "Anonymous TLS connection established from " PEER
                         ": TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256 (128/128 bits)\n");
    fixture_free(&f);
}

/* As in Postfix, only names with a certificate of their own. */
static void test_log_names_the_server(void **state)
{
    static const char *const pairs[] = {"smtpd_tls_security_level=may", "smtpd_tls_loglevel=1",
                                        "tls_server_sni_maps=inline:{.example.com=/x.pem}", NULL};
    struct fixture f;

    setup_with(&f, pairs);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    fixture_secure(&f);
    expect_in_log(&f, "TLS connection established from " PEER " to mx.example.com: TLSv1.2 with");
    fixture_free(&f);
}

static void test_silent_by_default(void **state)
{
    static const char *const pairs[] = {"smtpd_tls_security_level=may", NULL};
    struct fixture f;

    setup_with(&f, pairs);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    fixture_secure(&f);
    expect_log(&f, SMTPD "connect from " PEER "\n");
    fixture_free(&f);
}

static void test_log_of_a_failure(void **state)
{
    struct fixture f;

    setup_with(&f, may);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    session_tls_failed(&f.session, "no cipher in common");
    session_tls_failed(&f.session, "told once");
    fixture_end(&f);
    expect_log(&f, SMTPD "connect from " PEER "\n" SMTPD "SSL_accept error from " PEER
                         ": no cipher in common\n" SMTPD "lost connection after STARTTLS from " PEER
                         "\n" SMTPD "disconnect from " PEER " starttls=0/1 commands=0/1\n");
    fixture_free(&f);
}

static void test_timeout(void **state)
{
    struct fixture f;

    setup_with(&f, may);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), ""); /* what could be said would be no TLS */
    assert_int_equal(f.hang_ups, 1);
    fixture_end(&f);
    expect_in_log(&f, "SSL_accept error from " PEER ": Connection timed out\n");
    expect_in_log(&f, "lost connection after STARTTLS from " PEER "\n");
    fixture_free(&f);
}

static void test_shutdown(void **state)
{
    struct fixture f;

    setup_with(&f, may);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    session_shutdown(&f.session);
    assert_string_equal(fixture_heard(&f), "");
    assert_int_equal(f.hang_ups, 1);
    f.tls_due = false;
    fixture_greet(&f);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    fixture_secure(&f);
    session_shutdown(&f.session);
    assert_string_equal(fixture_heard(&f), "421 4.3.2 mx.example.com Service shutting down\r\n");
    fixture_free(&f);
}

static void test_wrong_answers(void **state)
{
    struct tls_facts facts = {.protocol = "TLSv1.2", .cipher = "x"};
    struct fixture f;

    setup_with(&f, may);
    session_secured(&f.session, &facts); /* nothing was due */
    assert_null(f.session.tls);
    fixture_talk(&f, "STARTTLS\r\n", READY);
    session_lost(&f.session);
    session_secured(&f.session, &facts); /* too late */
    assert_null(f.session.tls);
    fixture_free(&f);
}

/* --- wrapped ports --- */

static void test_wrapped(void **state)
{
    struct fixture f;

    fixture_init(&f, may);
    fixture_connect_wrapped(&f);
    session_start(&f.session);
    assert_string_equal(fixture_heard(&f), "");
    assert_int_equal(f.waiting, SESSION_WAIT_TLS);
    fixture_secure(&f);
    assert_string_equal(fixture_heard(&f), "220 mx.example.com ESMTP Postfix\r\n");
    fixture_say(&f, "EHLO h\r\n");
    assert_null(strstr(fixture_heard(&f), "STARTTLS"));
    fixture_talk(&f, "STARTTLS\r\n", "554 5.5.1 Error: TLS already active\r\n");
    fixture_talk(&f, "QUIT\r\n", "221 2.0.0 Bye\r\n");
    fixture_end(&f);
    expect_in_log(&f, SMTPD "connect from " PEER "\n" SMTPD "Anonymous TLS");
    fixture_free(&f);
}

static void test_wrapped_health_checks_are_silent(void **state)
{
    struct fixture f;

    fixture_init(&f, may);
    fixture_connect_wrapped(&f);
    session_start(&f.session);
    session_lost(&f.session); /* connect and close */
    fixture_end(&f);
    expect_log(&f, "");
    fixture_connect_wrapped(&f);
    session_start(&f.session);
    session_tls_failed(&f.session, "not a TLS record: plain text?");
    fixture_end(&f);
    expect_log(&f, SMTPD "connect from unknown[203.0.113.9]\n" SMTPD
                         "SSL_accept error from unknown[203.0.113.9]: not a TLS record: plain "
                         "text?\n" SMTPD
                         "lost connection after CONNECT from unknown[203.0.113.9]\n" SMTPD
                         "disconnect from unknown[203.0.113.9] commands=0/0\n");
    fixture_free(&f);
}

static void test_wrapped_refusals_say_nothing_in_clear_text(void **state)
{
    struct fixture f;

    fixture_init(&f, may);
    fixture_connect_wrapped(&f);
    session_refuse(&f.session, "421 4.7.0 mx.example.com Error: too many connections");
    assert_string_equal(fixture_heard(&f), "");
    assert_int_equal(f.hang_ups, 1);
    f.tls_refused = "454 4.7.0 TLS not available due to local problem";
    fixture_connect_wrapped(&f);
    session_start(&f.session);
    assert_string_equal(fixture_heard(&f), "");
    assert_int_equal(f.hang_ups, 1);
    expect_in_log(&f, "warning: Wrapper-mode request dropped from unknown[203.0.113.9]: 454 4.7.0 "
                      "TLS not available due to local problem\n");
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_surplus_at_every_split),
        cmocka_unit_test(test_surplus_after_a_greeting_is_logged),
        cmocka_unit_test(test_surplus_during_a_pause),
        cmocka_unit_test(test_refused_starttls_may_be_pipelined),
        cmocka_unit_test(test_no_input_is_taken_during_the_handshake),
        cmocka_unit_test(test_a_transaction_is_forgotten),
        cmocka_unit_test(test_received),
        cmocka_unit_test(test_protocol_names),
        cmocka_unit_test(test_not_offered_without_a_certificate),
        cmocka_unit_test(test_required_but_not_to_be_had),
        cmocka_unit_test(test_local_programs_know_no_tls),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_waits_for_the_name),
        cmocka_unit_test(test_log_names_the_server),
        cmocka_unit_test(test_silent_by_default),
        cmocka_unit_test(test_log_of_a_failure),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_wrapped_health_checks_are_silent),
        cmocka_unit_test(test_wrapped_refusals_say_nothing_in_clear_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
