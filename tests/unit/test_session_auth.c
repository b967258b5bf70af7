/* Tests of AUTH and of submission ports: the session's side, with the users of the settings behind
 * it (the dialogues are in tests/dialogues/auth-*, submission*). */
#include "session_fixture.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SMTPD "postfix/smtpd[7]: "
#define PEER  "client.example.net[203.0.113.9]"
#define GOOD  "AGFubgBzZWNyZXQ=" /* ann, secret */
#define YES   "235 2.7.0 Authentication successful\r\n"
#define NO    "535 5.7.8 Error: authentication failed: authentication failure\r\n"

static struct fixture f;

static void begin(const char *const *more)
{
    const char *pairs[12] = {"smtpd_sasl_users=ann:secret", "smtpd_sasl_auth_enable=yes",
                             "smtpd_tls_auth_only=no", "smtpd_tls_security_level=may"};

    for (size_t i = 0; more && more[i]; i++)
        pairs[4 + i] = more[i];
    fixture_init(&f, pairs);
    fixture_greet(&f);
    fixture_say(&f, "EHLO h\r\n");
    fixture_heard(&f);
}

static void expect_in_log(const char *text)
{
    if (!strstr(bytes_text(&f.logged), text))
        fail_msg("not in the log: %s\nbut: %s", text, bytes_text(&f.logged));
}

static void expect_not_in_log(const char *text)
{
    if (strstr(bytes_text(&f.logged), text))
        fail_msg("in the log: %s", text);
}

/* At the limit, one below and one above, in pieces of every kind. */
static void test_response_limit(void **state)
{
    static const char *const pairs[] = {"smtpd_hard_error_limit=1000",
                                        "smtpd_soft_error_limit=1000", NULL};
    static char line[12300];

    begin(pairs);
    for (size_t len = 12287; len <= 12289; len++) {
        for (size_t piece = 1; piece < len + 2; piece = piece * 7 + 1) {
            struct span rest = span_make(line, len + 2);
            const char *want =
                len <= 12288 ? "535 5.7.8 Error: authentication failed: bad protocol / cancel\r\n"
                             : "500 5.5.6 SASL response limit exceeded\r\n";

            memset(line, 'A', len);
            memcpy(line + len, "\r\n", 2);
            fixture_talk(&f, "AUTH PLAIN\r\n", "334 \r\n");
            while (rest.len > 0) {
                fixture_send(&f, span_first(rest, piece));
                rest = span_from(rest, piece);
            }
            assert_string_equal(fixture_heard(&f), want);
        }
    }
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\n", YES);
    fixture_free(&f);
}

static void test_log(void **state)
{
    begin(NULL);
    fixture_talk(&f, "AUTH PLAIN AGFubgB4\r\n", NO); /* ann, x */
    expect_in_log(SMTPD "warning: " PEER ": SASL PLAIN authentication failed: authentication "
                        "failure, sasl_username=ann\n");
    fixture_talk(&f, "AUTH PLAIN AGV2ZQB4\r\n", NO); /* eve, x */
    expect_in_log("failure, sasl_username=(unavailable)\n");
    fixture_talk(&f, "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
    fixture_talk(&f, "*\r\n", "501 5.7.0 Authentication aborted\r\n");
    expect_in_log(SMTPD "warning: " PEER ": SASL LOGIN authentication aborted\n");
    f.auth_trouble = "Connection lost to authentication server";
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\n",
                 "454 4.7.0 Temporary authentication failure: Connection lost to authentication "
                 "server\r\n");
    f.auth_trouble = "";
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\n",
                 "454 4.7.0 Temporary authentication failure: (reason unavailable)\r\n");
    f.auth_trouble = NULL;
    fixture_talk(&f, "AUTH plain " GOOD "\r\n", YES);
    fixture_talk(&f, "MAIL FROM:<ann@example.com>\r\nRCPT TO:<r@example.com>\r\n",
                 "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
    expect_in_log(": client=" PEER ", sasl_method=PLAIN, sasl_username=ann\n");
    fixture_talk(&f, "QUIT\r\n", "221 2.0.0 Bye\r\n");
    fixture_end(&f);
    expect_in_log(" auth=1/6 ");
    expect_not_in_log("AGFu");
    expect_not_in_log("secret");
    fixture_free(&f);
}

/* No way of getting it wrong shows what was said. */
static void test_no_secrets(void **state)
{
    static const char *const pairs[] = {"debug_peer_list=203.0.113.9", NULL};
    static char line[3000];

    begin(pairs);
    fixture_say(&f, "AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n");
    fixture_say(&f, "AUTH PLAIN\r\n" GOOD "\r\n");
    fixture_say(&f, "auth plain\r\nc2VjcmV0c2VjcmV0\r\n");
    memset(line, 'A', sizeof line - 1);
    memcpy(line, "AUTH PLAIN AGFubgBzZWNyZXQ", 26);
    fixture_say(&f, line);
    fixture_say(&f, "\r\nAGFubgBzZWNyZXQ=\r\n");
    fixture_end(&f);
    expect_in_log("< " PEER ": AUTH (not shown)\n");
    expect_in_log("< " PEER ": (not shown)\n");
    expect_in_log("request longer than 2048: (not shown)...\n");
    expect_not_in_log("YW5u");
    expect_not_in_log("c2VjcmV0");
    expect_not_in_log("AGFubg");
    fixture_free(&f);
}

/* Nothing of what was said is left in the session. */
static void test_wiped(void **state)
{
    begin(NULL);
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\n", YES);
    for (size_t i = 0; i + 8 <= sizeof f.session; i++)
        assert_memory_not_equal((const char *)&f.session + i, GOOD, 8);
    fixture_free(&f);
    begin(NULL);
    fixture_say(&f, "AUTH FOO " GOOD "\r\n");
    for (size_t i = 0; i + 8 <= sizeof f.session; i++)
        assert_memory_not_equal((const char *)&f.session + i, GOOD, 8);
    fixture_free(&f);
}

static void test_timeout(void **state)
{
    begin(NULL);
    fixture_talk(&f, "AUTH PLAIN\r\n", "334 \r\n");
    assert_int_equal(f.waiting, SESSION_WAIT_COMMAND);
    fixture_say(&f, "AGFu"); /* buys no time */
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), "421 4.4.2 mx.example.com Error: timeout exceeded\r\n");
    expect_in_log("timeout after AUTH from " PEER "\n");
    assert_int_equal(f.auth_cancels, 1);
    fixture_free(&f);
}

static void test_each_line_buys_time(void **state)
{
    size_t waits;

    begin(NULL);
    fixture_talk(&f, "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
    waits = f.waits;
    fixture_say(&f, "YW5");
    assert_int_equal(f.waits, waits);
    fixture_say(&f, "u\r\n");
    assert_int_equal(f.waits, waits + 1);
    fixture_free(&f);
}

/* The back end thinks: no deadline runs, no input is taken; the client goes. */
static void test_gone_while_busy(void **state)
{
    begin(NULL);
    f.when = FIXTURE_HELD;
    fixture_say(&f, "AUTH PLAIN " GOOD "\r\nNOOP\r\n");
    assert_int_equal(f.waiting, SESSION_WAIT_US);
    assert_int_equal(f.input.len, 6);
    session_timeout(&f.session);
    assert_string_equal(fixture_heard(&f), "");
    session_lost(&f.session);
    assert_int_equal(f.auth_cancels, 1);
    expect_in_log("lost connection after AUTH from " PEER "\n");
    session_auth_answer(&f.session, &f.auth_answer); /* too late */
    assert_string_equal(fixture_heard(&f), "");
    fixture_free(&f);
}

static void test_shutdown(void **state)
{
    begin(NULL);
    fixture_talk(&f, "AUTH PLAIN\r\n", "334 \r\n");
    session_shutdown(&f.session);
    assert_string_equal(fixture_heard(&f), "421 4.3.2 mx.example.com Service shutting down\r\n");
    assert_int_equal(f.auth_cancels, 1);
    fixture_free(&f);
}

static void test_pipelined_commands_are_run_after_it(void **state)
{
    begin(NULL);
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\nMAIL FROM:<ann@example.com>\r\nRSET\r\n",
                 YES "250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n");
    expect_in_log("improper command pipelining after AUTH from " PEER ": (not shown)\n");
    fixture_free(&f);
}

static void test_what_a_back_end_may_say(void **state)
{
    char long_name[SASL_LOGIN_CAP + 1], challenge[SESSION_CHALLENGE_MAX + 1];
    const struct {
        struct session_auth_answer answer;
        const char *want;
    } rows[] = {
        {{SESSION_AUTH_DONE, {NULL, 0}, "", ""},                              "454 "   },
        {{SESSION_AUTH_DONE, {NULL, 0}, long_name, ""},                       "454 "   },
        {{SESSION_AUTH_DONE, {NULL, 0}, "a\nb", ""},                          "454 "   },
        {{SESSION_AUTH_MORE, SPAN_LIT("a\r\nb"), "", ""},                     "454 "   },
        {{SESSION_AUTH_MORE, {challenge, SESSION_CHALLENGE_MAX + 1}, "", ""}, "454 "   },
        {{SESSION_AUTH_MORE, {challenge, SESSION_CHALLENGE_MAX}, "", ""},     "334 AAA"},
    };

    memset(long_name, 'x', SASL_LOGIN_CAP);
    long_name[SASL_LOGIN_CAP] = '\0';
    memset(challenge, 'A', sizeof challenge);
    begin(NULL);
    f.when = FIXTURE_HELD;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *heard;

        fixture_say(&f, "AUTH PLAIN " GOOD "\r\n");
        session_auth_answer(&f.session, &rows[i].answer);
        heard = fixture_heard(&f);
        if (strncmp(heard, rows[i].want, strlen(rows[i].want)) != 0)
            fail_msg("row %zu: %s", i, heard);
        assert_null(f.session.login);
    }
    assert_null(strstr(bytes_text(&f.said), "a\r\nb"));
    fixture_free(&f);
}

static void test_steps_are_bounded(void **state)
{
    const struct session_auth_answer more = {
        SESSION_AUTH_MORE, {NULL, 0},
         "", ""
    };
    unsigned steps = 0;

    begin(NULL);
    f.when = FIXTURE_HELD;
    fixture_say(&f, "AUTH PLAIN\r\n");
    do {
        f.auth_due = false;
        session_auth_answer(&f.session, &more);
        fixture_heard(&f);
        fixture_say(&f, "AAAA\r\n");
    } while (f.auth_due && ++steps < 100);
    assert_string_equal(fixture_heard(&f),
                        "535 5.7.8 Error: authentication failed: too many steps\r\n");
    assert_in_range(steps, 10, 50);
    fixture_free(&f);
}

/* --- what a message gets --- */

static const char *send(const char *say)
{
    static char body[8192];
    struct span text;

    fixture_say(&f, "MAIL FROM:<ann@example.com>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n");
    fixture_say(&f, say);
    assert_true(f.message_count > 0);
    text = fixture_text(&f.messages[f.message_count - 1]);
    assert_true(span_copy(text, body, sizeof body));
    return body;
}

static void test_headers(void **state)
{
    const char *body;

    begin(NULL);
    body = send("Subject: x\r\n\r\ntext\r\n.\r\n");
    assert_string_equal(body, "Subject: x\r\n\r\ntext\r\n");
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\n", (fixture_heard(&f), YES));
    body = send("Subject: x\r\n\r\ntext\r\n.\r\n");
    assert_non_null(strstr(body, "Subject: x\r\nMessage-Id: <2025"));
    assert_non_null(strstr(body, "\r\nFrom: ann@example.com\r\n\r\ntext\r\n"));
    assert_non_null(strstr(f.messages[1].message_id, "@mx.example.com>"));
    assert_non_null(strstr(bytes_text(&f.logged), f.messages[1].message_id));
    body = send("no header at all\r\n.\r\n");
    assert_int_equal(strncmp(body, "Message-Id: <", 13), 0);
    assert_non_null(strstr(body, "\r\nFrom: ann@example.com\r\n\r\nno header at all\r\n"));
    body = send(".\r\n");
    assert_int_equal(strncmp(body, "Message-Id: <", 13), 0);
    fixture_say(&f,
                "MAIL FROM:<ann@example.com>\r\nRCPT TO:<r@example.com>\r\nBDAT 4\r\nA: bBDAT 0 "
                "LAST\r\n");
    assert_int_equal(f.message_count, 5);
    assert_non_null(strstr(bytes_text(&f.messages[4].body), "\r\nA: b\r\nMessage-Id: <"));
    for (size_t i = 0; i < f.message_count; i++)
        assert_true(fixture_is_canonical(&f.messages[i].body));
    fixture_free(&f);
}

/* Every cut, and little room: the same bytes. */
static void test_headers_at_every_split(void **state)
{
    static const struct span data =
        SPAN_LIT("Subject: x\r\n y\r\nTo: r@example.com\r\n\r\ntext\r\n..\r\n.\r\n");
    struct bytes want = {NULL, 0, 0};

    begin(NULL);
    for (size_t cut = 0; cut <= data.len; cut++) {
        f.endless_room = cut % 2 == 0;
        f.room = 4096;
        fixture_greet(&f);
        fixture_say(&f, "EHLO h\r\nAUTH PLAIN " GOOD "\r\nMAIL FROM:<ann@example.com>\r\n"
                        "RCPT TO:<r@example.com>\r\nDATA\r\n");
        fixture_send(&f, span_first(data, cut));
        fixture_send(&f, span_from(data, cut));
        assert_int_equal(f.message_count, 1);
        if (want.len == 0)
            bytes_add(&want, span_make(f.messages[0].body.ptr, f.messages[0].body.len));
        assert_string_equal(bytes_text(&f.messages[0].body), bytes_text(&want));
    }
    bytes_free(&want);
    fixture_free(&f);
}

static void test_received(void **state)
{
    static const char *const pairs[] = {"smtpd_sasl_authenticated_header=yes", NULL};
    static const char *const hiding[] = {"submission_hide_client=yes", NULL};

    begin(pairs);
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\n", YES);
    send("A: b\r\n.\r\n");
    assert_non_null(strstr(bytes_text(&f.messages[0].body),
                           "Received: from h (client.example.net [203.0.113.9])\r\n\t"
                           "(Authenticated sender: ann)\r\n\tby mx.example.com (Postfix) with "
                           "ESMTPA id "));
    fixture_free(&f);
    begin(hiding);
    send("A: b\r\n.\r\n"); /* of a stranger nothing is hidden */
    assert_non_null(strstr(bytes_text(&f.messages[0].body), "203.0.113.9"));
    fixture_say(&f, "AUTH PLAIN " GOOD "\r\n");
    send("A: b\r\n.\r\n");
    assert_int_equal(strncmp(bytes_text(&f.messages[1].body),
                             "Received: by mx.example.com (Postfix) with ESMTPA id ", 53),
                     0);
    assert_null(strstr(bytes_text(&f.messages[1].body), "203.0.113.9"));
    assert_null(strstr(bytes_text(&f.messages[1].body), "client.example.net"));
    fixture_free(&f);
}

/* --- rates --- */

static void test_rates(void **state)
{
    static const char *const pairs[] = {"submission_message_rate_limit=1",
                                        "submission_recipient_rate_limit=1",
                                        "smtpd_client_auth_rate_limit=2", NULL};

    begin(pairs);
    fixture_talk(&f, "MAIL FROM:<x@example.net>\r\nRSET\r\nMAIL FROM:<x@example.net>\r\nRSET\r\n",
                 "250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n");
    fixture_talk(&f, "AUTH PLAIN AGFubgB4\r\n", NO);
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\n", YES);
    fixture_talk(&f, "MAIL FROM:<ann@example.com>\r\nRCPT TO:<r@example.com>\r\n",
                 "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
    fixture_talk(&f, "RCPT TO:<q@example.com>\r\n",
                 "450 4.7.1 Error: too many recipients from ann\r\n");
    fixture_talk(&f, "RSET\r\nMAIL FROM:<ann@example.com>\r\n",
                 "250 2.0.0 Ok\r\n450 4.7.1 Error: too much mail from ann\r\n");
    expect_in_log(SMTPD "warning: Message delivery request rate limit exceeded: 2 from " PEER
                        " for service smtp, sasl_username=ann\n");
    fixture_free(&f);
    begin(pairs);
    fixture_say(&f, "AUTH X\r\nAUTH X\r\n");
    fixture_heard(&f);
    fixture_talk(&f, "AUTH X\r\n", "450 4.7.1 Error: too many AUTH commands from 203.0.113.9\r\n");
    expect_in_log("warning: AUTH command rate limit exceeded: 3 from " PEER " for service smtp\n");
    fixture_free(&f);
}

/* --- local programs --- */

static void test_local_programs_do_not_log_in(void **state)
{
    struct session_client local = {
        .address = "127.0.0.1", .trusted = true, .no_tls = true, .envelopes = &f.envelopes};

    begin(NULL);
    fixture_end(&f);
    session_init(&f.session, &fixture_ops, &f, f.config, &f.log, &local);
    f.live = true;
    session_start(&f.session);
    fixture_say(&f, "EHLO h\r\n");
    assert_null(strstr(fixture_heard(&f), "AUTH"));
    fixture_talk(&f, "AUTH PLAIN " GOOD "\r\n", "503 5.5.1 Error: authentication not enabled\r\n");
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_response_limit),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_no_secrets),
        cmocka_unit_test(test_wiped),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_each_line_buys_time),
        cmocka_unit_test(test_gone_while_busy),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_pipelined_commands_are_run_after_it),
        cmocka_unit_test(test_what_a_back_end_may_say),
        cmocka_unit_test(test_steps_are_bounded),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_headers_at_every_split),
        cmocka_unit_test(test_received),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_local_programs_do_not_log_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
