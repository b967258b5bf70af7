/* test_session_debug - the dialogue in the log, for clients of debug_peer_list */
#include "base/text.h"
#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SMTPD "postfix/smtpd[7]: "
#define PEER  "client.example.net[203.0.113.9]"
#define IN    SMTPD "< " PEER ": "
#define OUT   SMTPD "> " PEER ": "

static void begin(struct fixture *f, const char *list)
{
    char pair[100];
    const char *const pairs[] = {pair, NULL};
    struct text t;

    text_init(&t, pair, sizeof pair);
    text_printf(&t, "debug_peer_list=%s", list);
    fixture_init(f, pairs);
    fixture_greet(f);
}

static void expect_in_log(struct fixture *f, const char *want)
{
    if (!strstr(bytes_text(&f->logged), want))
        fail_msg("not logged: %s\nlogged:\n%s", want, bytes_text(&f->logged));
}

static void expect_not_in_log(struct fixture *f, const char *word)
{
    if (strstr(bytes_text(&f->logged), word))
        fail_msg("logged: %s", bytes_text(&f->logged));
}

static void test_dialogue(void **state)
{
    struct fixture f;

    begin(&f, "203.0.113.0/24");
    fixture_say(&f, "HELO h\r\n");
    fixture_say(&f, "FOO bar\r\n");
    assert_string_equal(bytes_text(&f.logged),
                        SMTPD "connect from " PEER "\n" OUT "220 mx.example.com ESMTP Postfix\n" IN
                              "HELO h\n" OUT "250 mx.example.com\n" IN "FOO bar\n" OUT
                              "500 5.5.2 Error: command not recognized\n");
    fixture_free(&f);
}

static void test_nobody_else(void **state)
{
    struct fixture f;

    begin(&f, "192.0.2.0/24");
    fixture_say(&f, "HELO h\r\n");
    assert_string_equal(bytes_text(&f.logged), SMTPD "connect from " PEER "\n");
    fixture_free(&f);
    begin(&f, "");
    fixture_say(&f, "HELO h\r\n");
    assert_string_equal(bytes_text(&f.logged), SMTPD "connect from " PEER "\n");
    fixture_free(&f);
}

/* Its name is known with the first command at the earliest. */
static void test_by_name(void **state)
{
    struct fixture f;

    begin(&f, "example.net");
    fixture_say(&f, "HELO h\r\n");
    expect_in_log(&f, OUT "220 mx.example.com ESMTP Postfix\n" IN "HELO h\n");
    fixture_free(&f);
}

static void test_healthchecks_are_silent(void **state)
{
    struct fixture f;

    begin(&f, "203.0.113.9");
    fixture_end(&f);
    fixture_greet(&f);
    fixture_talk(&f, "QUIT\r\n", "221 2.0.0 Bye\r\n");
    fixture_end(&f);
    assert_string_equal(bytes_text(&f.logged), "");
    fixture_free(&f);
}

static void test_no_body(void **state)
{
    struct fixture f;

    begin(&f, "203.0.113.9");
    fixture_transaction(&f);
    fixture_say(&f, "DATA\r\n");
    fixture_say(&f, "Subject: hush\r\n\r\nsecret text\r\n.\r\n");
    expect_in_log(&f, IN "DATA\n" OUT "354 End data with <CR><LF>.<CR><LF>\n");
    expect_in_log(&f, OUT "250 2.0.0 Ok: queued as ");
    expect_not_in_log(&f, "hush");
    expect_not_in_log(&f, "secret");
    fixture_free(&f);
    begin(&f, "203.0.113.9");
    fixture_transaction(&f);
    fixture_say(&f, "BDAT 8 LAST\r\nsecret\r\nQUIT\r\n");
    expect_in_log(&f, IN "BDAT 8 LAST\n");
    expect_in_log(&f, IN "QUIT\n" OUT "221 2.0.0 Bye\n");
    expect_not_in_log(&f, "secret");
    fixture_free(&f);
}

static void test_no_secrets(void **state)
{
    struct fixture f;

    begin(&f, "203.0.113.9");
    fixture_say(&f, "EHLO h\r\nauth plain AGpvZQBob3Vz\r\n");
    expect_in_log(&f, IN "AUTH (not shown)\n" OUT "503 5.5.1 Error: authentication not enabled\n");
    fixture_say(&f, "am9l\r\naG91cw==\r\n");
    expect_in_log(&f, IN "(not shown)\n" OUT "500 5.5.2 Error: command not recognized\n" IN
                         "(not shown)\n");
    fixture_say(&f, "NOOP\r\nshown again\r\n");
    expect_in_log(&f, IN "NOOP\n");
    expect_in_log(&f, IN "shown again\n");
    expect_not_in_log(&f, "AGpv");
    expect_not_in_log(&f, "am9l");
    expect_not_in_log(&f, "aG91");
    fixture_free(&f);
}

/* The line about what came too early shows input too. */
static void test_no_secrets_in_pipelining(void **state)
{
    struct fixture f;

    begin(&f, "");
    fixture_say(&f, "EHLO h\r\nAuth plain AGpvZQBob3Vz\r\n");
    expect_in_log(&f, "improper command pipelining after EHLO from " PEER ": Auth\n");
    fixture_free(&f);
    begin(&f, "");
    fixture_say(&f, "EHLO h\r\n");
    fixture_say(&f, "AUTH LOGIN\r\nam9l\r\n");
    expect_in_log(&f, "improper command pipelining after AUTH from " PEER ": (not shown)\n");
    fixture_free(&f);
    begin(&f, "");
    session_start_early(&f.session, SPAN_LIT("EHLO x\r\nAUTH PLAIN AGpvZQBob3Vz\r\n"));
    expect_in_log(&f, ": EHLO x\\r\\nAUTH\n");
    fixture_free(&f);
}

/* A command may have blanks before it. */
static void test_no_secrets_behind_blanks(void **state)
{
    static char line[3000];
    struct fixture f;

    begin(&f, "203.0.113.9");
    memset(line, 'A', sizeof line - 3);
    memcpy(line, " \tAUTH PLAIN AGpvZQBob3Vz", 25);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    fixture_say(&f, line);
    expect_in_log(&f, "request longer than 2048: (not shown)...\n");
    expect_not_in_log(&f, "AGpv");
    fixture_say(&f, "EHLO h\r\n Auth plain AGpvZQBob3Vz\r\n");
    expect_in_log(&f, "improper command pipelining after EHLO from " PEER ":  Auth\n");
    expect_not_in_log(&f, "AGpv");
    fixture_free(&f);
}

static void test_bad_lines(void **state)
{
    char line[2100];
    struct fixture f;

    begin(&f, "203.0.113.9");
    memset(line, 'x', sizeof line);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    fixture_say(&f, line);
    expect_in_log(&f, IN "xxx");
    expect_in_log(&f, OUT "500 5.5.2 Error: line too long\n");
    fixture_say(&f, "\r\nX\x1B[31m\r\n");
    expect_in_log(&f, IN "\n" OUT "500 5.5.2 Error: bad syntax\n" IN "X?[31m\n");
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogue),
        cmocka_unit_test(test_nobody_else),
        cmocka_unit_test(test_by_name),
        cmocka_unit_test(test_healthchecks_are_silent),
        cmocka_unit_test(test_no_body),
        cmocka_unit_test(test_no_secrets),
        cmocka_unit_test(test_no_secrets_in_pipelining),
        cmocka_unit_test(test_no_secrets_behind_blanks),
        cmocka_unit_test(test_bad_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
