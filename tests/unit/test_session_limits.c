/* test_session_limits - every limit of the dialogue at -1, 0 and +1 */
#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOO_MANY "421 4.7.0 mx.example.com Error: too many errors\r\n"
#define TOO_BIG  "552 5.3.4 Error: message file too big\r\n"
#define QUEUED   "250 2.0.0 Ok: queued as 0000000000000001\r\n"
#define DATA_OK  "354 End data with <CR><LF>.<CR><LF>\r\n"

static void begin(struct fixture *f, const char *setting)
{
    const char *const pairs[] = {setting, NULL};

    fixture_init(f, setting ? pairs : NULL);
    fixture_greet(f);
}

static void say_bytes(struct fixture *f, char c, size_t len)
{
    char block[1024];

    memset(block, c, sizeof block);
    for (; len > sizeof block; len -= sizeof block)
        fixture_send(f, span_make(block, sizeof block));
    fixture_send(f, span_make(block, len));
}

static void expect_heard(struct fixture *f, const char *want)
{
    assert_string_equal(fixture_heard(f), want);
}

/* --- lines --- */

static void test_line_length(void **state)
{
    struct fixture f;

    begin(&f, "line_length_limit=512");
    for (size_t len = 511; len <= 513; len++) {
        fixture_say(&f, "NOOP ");
        say_bytes(&f, 'x', len - 5);
        fixture_talk(&f, "\r\n",
                     len <= 512 ? "250 2.0.0 Ok\r\n" : "500 5.5.2 Error: line too long\r\n");
    }
    say_bytes(&f, 'x', 1u << 20);
    expect_heard(&f, "");
    fixture_talk(&f, "\r\nNOOP\r\n", "500 5.5.2 Error: line too long\r\n250 2.0.0 Ok\r\n");
    assert_non_null(strstr(bytes_text(&f.logged),
                           "warning: client.example.net[203.0.113.9]: request longer than 512: "
                           "NOOP xxx"));
    fixture_free(&f);
}

/* EHLO, MAIL and RCPT as long as a line can be: an answer each time, and never a long one. */
static void test_long_commands(void **state)
{
    static const char *const starts[] = {"EHLO ", "MAIL FROM:<", "RCPT TO:<", "VRFY ",
                                         "MAIL FROM:<> X"};
    static const size_t lens[] = {500, 510, 512, 2046, 2047, 2048, 2049, 65536};
    struct fixture f;

    begin(&f, "smtpd_hard_error_limit=1000");
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++) {
            fixture_say(&f, starts[i]);
            say_bytes(&f, 'x', lens[k] - strlen(starts[i]));
            fixture_say(&f, "\r\n");
            assert_in_range(strlen(fixture_heard(&f)), 5, 512);
        }
    }
    assert_int_equal(f.hang_ups, 0);
    fixture_free(&f);
}

/* --- errors and junk --- */

static void test_errors(void **state)
{
    struct fixture f;

    begin(&f, "smtpd_hard_error_limit=3");
    fixture_talk(
        &f, "FOO\r\nRCPT TO:<x>\r\n",
        "500 5.5.2 Error: command not recognized\r\n503 5.5.1 Error: need MAIL command\r\n");
    assert_int_equal(f.hang_ups, 0);
    fixture_talk(&f, "\r\nNOOP\r\n", "500 5.5.2 Error: bad syntax\r\n" TOO_MANY);
    assert_int_equal(f.hang_ups, 1);
    fixture_end(&f);
    assert_non_null(strstr(bytes_text(&f.logged), "too many errors after RCPT from "));
    assert_non_null(strstr(bytes_text(&f.logged), " rcpt=0/1 unknown=0/1 commands=0/2\n"));
    fixture_free(&f);
}

/* Temporary refusals count as well: a dictionary attack meets a destination that is slow. */
static void test_deferred_recipients_are_errors(void **state)
{
    struct fixture f;

    begin(&f, "smtpd_hard_error_limit=2");
    fixture_say(&f, "MAIL FROM:<>\r\nRCPT TO:<temp1@example.com>\r\n");
    assert_int_equal(f.hang_ups, 0);
    fixture_say(&f, "RCPT TO:<temp2@example.com>\r\n");
    assert_int_equal(f.hang_ups, 1);
    assert_non_null(strstr(fixture_heard(&f), TOO_MANY));
    fixture_free(&f);
}

static void test_junk(void **state)
{
    struct fixture f;

    begin(&f, "smtpd_junk_command_limit=5");
    for (unsigned i = 0; i < 5 + 19; i++)
        fixture_talk(&f, "NOOP\r\n", "250 2.0.0 Ok\r\n");
    fixture_talk(&f, "NOOP\r\n", "250 2.0.0 Ok\r\n" TOO_MANY);
    fixture_free(&f);
}

/* Who brings mail starts anew, or a busy relay that says RSET after each would be cut off. */
static void test_mail_clears_errors_and_junk(void **state)
{
    struct fixture f;

    begin(&f, "smtpd_hard_error_limit=2");
    for (unsigned i = 0; i < 5; i++) {
        fixture_say(&f, "FOO\r\n");
        fixture_say(&f, "MAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\n");
        fixture_say(&f, "DATA\r\n.\r\n");
        assert_int_equal(f.session.errors, 0);
        assert_int_equal(f.session.junk, 0);
    }
    assert_int_equal(f.message_count, 5);
    f.submit_reply = "451 4.3.0 Error: queue file write error";
    fixture_say(&f, "MAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\n");
    fixture_say(&f, "DATA\r\n.\r\n");
    assert_int_equal(f.session.errors, 1);
    fixture_free(&f);
}

/* --- recipients --- */

static void test_recipients(void **state)
{
    struct fixture f;

    begin(&f, "smtpd_recipient_limit=3");
    fixture_talk(&f, "MAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<a@example.com>\r\n",
                 "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n");
    fixture_say(&f, "RCPT TO:<unknown@example.com>\r\n"); /* takes no place */
    fixture_heard(&f);
    fixture_talk(&f, "RCPT TO:<c@example.com>\r\n", "250 2.1.5 Ok\r\n");
    fixture_talk(&f, "RCPT TO:<d@example.com>\r\n", "452 4.5.3 Error: too many recipients\r\n");
    fixture_talk(&f, "DATA\r\n.\r\n", DATA_OK QUEUED);
    assert_int_equal(f.messages[0].envelope->recipient_count, 2); /* a@ was named twice */
    fixture_free(&f);
}

/* A sender with 2000 recipients is told 452 for those over 1000, and is not cut off for it at once.
 */
static void test_recipient_overshoot(void **state)
{
    struct fixture f;

    begin(&f, "smtpd_recipient_limit=1");
    fixture_say(&f, "MAIL FROM:<>\r\n");
    for (unsigned i = 0; i < 500; i++)
        fixture_say(&f, "RCPT TO:<a@example.com>\r\n");
    fixture_say(&f, "RSET\r\nMAIL FROM:<>\r\n"); /* each mail has its own count */
    for (unsigned i = 0; i < 1001; i++)
        fixture_say(&f, "RCPT TO:<a@example.com>\r\n");
    assert_int_equal(f.session.errors, 0);
    for (unsigned i = 0; i < 19; i++)
        fixture_say(&f, "RCPT TO:<a@example.com>\r\n");
    assert_int_equal(f.hang_ups, 0);
    fixture_say(&f, "RCPT TO:<a@example.com>\r\n");
    assert_int_equal(f.hang_ups, 1);
    fixture_free(&f);
}

/* Named again it gets the message once; with another NOTIFY or ORCPT that is another recipient. */
static void test_recipient_named_again(void **state)
{
    struct fixture f;
    const struct envelope *e;

    begin(&f, NULL);
    fixture_say(&f, "EHLO h\r\nMAIL FROM:<>\r\n");
    for (unsigned i = 0; i < 100; i++)
        fixture_say(&f, "RCPT TO:<a@example.com>\r\nRCPT TO:<full@example.com>\r\n");
    fixture_heard(&f);
    fixture_talk(&f, "RCPT TO:<a@example.com> NOTIFY=NEVER\r\n", "250 2.1.5 Ok\r\n");
    fixture_talk(&f, "RCPT TO:<a@example.com> ORCPT=rfc822;b@example.org\r\n", "250 2.1.5 Ok\r\n");
    fixture_talk(&f, "RCPT TO:<a@example.com> NOTIFY=NEVER\r\n", "250 2.1.5 Ok\r\n");
    fixture_talk(&f, "DATA\r\n.\r\n", DATA_OK QUEUED);
    e = f.messages[0].envelope;
    assert_int_equal(e->recipient_count, 4);
    assert_string_equal(e->recipients[1].address, "full@example.com");
    assert_int_equal(e->recipients[2].notify, SMTP_NOTIFY_NEVER);
    assert_string_equal(e->recipients[3].orcpt, "rfc822;b@example.org");
    assert_int_equal(f.session.count_ok[SMTP_RCPT], 203);
    fixture_free(&f);
}

/* Whose recipients fill the budget, with one mail or with many: others still have a few each. */
static void test_memory_of_recipients(void **state)
{
    struct fixture f;
    char line[600];
    unsigned refused = 0;

    begin(&f, NULL);
    f.envelopes.limit = 20000;
    fixture_say(&f, "EHLO h\r\nMAIL FROM:<>\r\n");
    fixture_heard(&f);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(line, sizeof line, "RCPT TO:<%u@example.com> ORCPT=rfc822;%0450u@example.com\r\n",
                 i, i);
        fixture_say(&f, line);
        refused += strcmp(fixture_heard(&f), "452 4.3.1 Insufficient system storage\r\n") == 0;
    }
    assert_int_equal(f.session.envelope->recipient_count, 200 - refused);
    assert_in_range(refused, 145, 160); /* 28 KB */
    assert_int_equal(f.session.errors, 0);
    assert_non_null(strstr(bytes_text(&f.logged),
                           "reject: RCPT from client.example.net[203.0.113.9]: "
                           "452 4.3.1 Insufficient system storage"));
    f.envelopes.used = f.envelopes.limit; /* as by somebody else */
    fixture_talk(&f, "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\n",
                 "250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
    fixture_say(&f, "DATA\r\n.\r\n");
    assert_int_equal(f.message_count, 1);
    fixture_free(&f);
}

/* --- size --- */

static void test_size_parameter(void **state)
{
    struct fixture f;

    begin(&f, "message_size_limit=2000");
    fixture_talk(&f, "MAIL FROM:<> SIZE=1999\r\nRSET\r\n", "250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n");
    fixture_talk(&f, "MAIL FROM:<> SIZE=2000\r\nRSET\r\n", "250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n");
    fixture_talk(&f, "MAIL FROM:<> SIZE=2001\r\n",
                 "552 5.3.4 Message size exceeds fixed limit\r\n");
    fixture_free(&f);
}

/* `len` canonical bytes by DATA: line ends count, the stuffed dot does not, our Received does not.
 */
static void send_data(struct fixture *f, size_t len, const char *line_end)
{
    fixture_transaction(f);
    fixture_talk(f, "DATA\r\n", DATA_OK);
    fixture_say(f, "..\r\n");
    say_bytes(f, 'x', len - 5);
    fixture_say(f, line_end);
    fixture_say(f, ".\r\n");
}

static void test_message_size(void **state)
{
    struct fixture f;

    begin(&f, "message_size_limit=2000");
    for (size_t len = 1999; len <= 2001; len++) {
        fixture_greet(&f);
        send_data(&f, len, "\r\n");
        expect_heard(&f, len <= 2000 ? QUEUED : TOO_BIG);
        assert_int_equal(f.message_count, len <= 2000 ? 1 : 0);
        assert_int_equal(f.aborts, len <= 2000 ? 0 : 1);
        if (len <= 2000)
            assert_int_equal(fixture_text(&f.messages[0]).len, len + 2); /* the separator */
    }
    fixture_free(&f);
}

/* Bare LF grows to CRLF: what is passed on is measured, not what came. */
static void test_message_size_is_canonical(void **state)
{
    struct fixture f;

    begin(&f, "message_size_limit=2000");
    fixture_transaction(&f);
    fixture_say(&f, "DATA\r\n");
    say_bytes(&f, '\n', 1000);
    fixture_talk(&f, "\r\n.\r\n", DATA_OK TOO_BIG);
    fixture_greet(&f);
    fixture_transaction(&f);
    fixture_say(&f, "BDAT 1001 LAST\r\n");
    say_bytes(&f, '\n', 1001);
    expect_heard(&f, TOO_BIG);
    fixture_free(&f);
}

static void test_chunk_size(void **state)
{
    struct fixture f;

    begin(&f, "message_size_limit=2000");
    for (size_t len = 999; len <= 1001; len++) {
        char line[32];

        fixture_greet(&f);
        fixture_transaction(&f);
        fixture_say(&f, "BDAT 1000\r\nA: ");
        say_bytes(&f, 'x', 995);
        fixture_talk(&f, "\r\n", "250 2.0.0 Ok: 1000 bytes\r\n");
        snprintf(line, sizeof line, "BDAT %zu LAST\r\n", len);
        fixture_say(&f, line);
        say_bytes(&f, 'x', len - 2);
        fixture_say(&f, "\r\n");
        assert_int_equal(f.message_count, len <= 1000 ? 1 : 0);
        if (len > 1000)
            expect_heard(&f, "552 5.3.4 Chunk exceeds message size limit\r\n");
        fixture_talk(&f, "NOOP\r\n",
                     len == 1000  ? "250 2.0.0 Ok: 2000 bytes queued as 0000000000000001\r\n"
                                    "250 2.0.0 Ok\r\n"
                     : len < 1000 ? "250 2.0.0 Ok: 1999 bytes queued as 0000000000000001\r\n"
                                    "250 2.0.0 Ok\r\n"
                                  : "250 2.0.0 Ok\r\n");
    }
    fixture_free(&f);
}

/* A message without end is not swallowed for ever. */
static void test_swallowing_ends(void **state)
{
    static const char *const starts[] = {"DATA\r\n", "BDAT 9223372036854775807 LAST\r\n"};
    struct fixture f;

    begin(&f, "message_size_limit=2000");
    for (size_t i = 0; i < 2; i++) {
        size_t sent = 0;

        fixture_greet(&f);
        fixture_transaction(&f);
        fixture_say(&f, starts[i]);
        fixture_heard(&f);
        for (; f.hang_ups == 0; sent += 100)
            say_bytes(&f, 'x', 100);
        assert_in_range(sent, 8 * 2000, 10 * 2000);
        expect_heard(&f, i == 0 ? TOO_BIG : "552 5.3.4 Chunk exceeds message size limit\r\n");
        fixture_end(&f);
        assert_non_null(strstr(bytes_text(&f.logged), i == 0 ? " data=0/1 " : " bdat=0/1 "));
    }
    fixture_free(&f);
}

/* Each refused message is swallowed on its own account. */
static void test_swallowing_starts_anew(void **state)
{
    static const char *const starts[] = {"DATA\r\n", "BDAT 10000 LAST\r\n"};
    struct fixture f;

    begin(&f, "message_size_limit=2000");
    for (unsigned i = 0; i < 6; i++) {
        fixture_say(&f, "MAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\n");
        fixture_say(&f, starts[i % 2]);
        fixture_heard(&f);
        say_bytes(&f, 'x', 9995);
        fixture_say(&f, "\r\n.\r\n");
        assert_memory_equal(fixture_heard(&f), "552 5.3.4 ", 10);
    }
    assert_int_equal(f.hang_ups, 0);
    fixture_free(&f);
}

static void test_hops(void **state)
{
    struct fixture f;

    begin(&f, NULL);
    for (unsigned hops = 49; hops <= 51; hops++) {
        fixture_greet(&f);
        fixture_transaction(&f);
        fixture_say(&f, "DATA\r\n");
        for (unsigned i = 0; i < hops; i++)
            fixture_say(&f, "Received: from a\r\n by b\r\n");
        fixture_talk(&f, "\r\nReceived: not this\r\n.\r\n",
                     hops <= 50 ? DATA_OK QUEUED : DATA_OK "554 5.4.0 Error: too many hops\r\n");
        assert_int_equal(f.message_count, hops <= 50 ? 1 : 0);
    }
    fixture_free(&f);
}

/* --- deadlines: per line and per block, not per byte --- */

static void test_deadlines(void **state)
{
    struct fixture f;
    size_t waits;

    begin(&f, NULL);
    waits = f.waits;
    assert_int_equal(f.waiting, SESSION_WAIT_COMMAND);
    say_bytes(&f, 'x', 1);
    say_bytes(&f, 'x', 1000);
    assert_int_equal(f.waits, waits); /* parts of a line buy no time */
    fixture_say(&f, "\r\n");
    assert_int_equal(f.waits, waits + 1);
    fixture_heard(&f);
    fixture_transaction(&f);
    fixture_say(&f, "DATA\r\n");
    assert_int_equal(f.waiting, SESSION_WAIT_DATA);
    waits = f.waits;
    for (unsigned i = 0; i < SESSION_BLOCK - 1; i++)
        fixture_say(&f, "\n");
    assert_int_equal(f.waits, waits);
    fixture_say(&f, "\n");
    assert_int_equal(f.waits, waits + 1); /* a block does */
    say_bytes(&f, 'y', SESSION_BLOCK - 1);
    assert_int_equal(f.waits, waits + 1);
    fixture_say(&f, "\r\n.\r\n");
    assert_int_equal(f.waiting, SESSION_WAIT_COMMAND);
    f.when = FIXTURE_HELD;
    fixture_say(&f, "MAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\n");
    assert_int_equal(f.waiting, SESSION_WAIT_US);
    fixture_answer(&f);
    assert_int_equal(f.waiting, SESSION_WAIT_COMMAND);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_length),
        cmocka_unit_test(test_long_commands),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_deferred_recipients_are_errors),
        cmocka_unit_test(test_junk),
        cmocka_unit_test(test_mail_clears_errors_and_junk),
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_recipient_overshoot),
        cmocka_unit_test(test_recipient_named_again),
        cmocka_unit_test(test_memory_of_recipients),
        cmocka_unit_test(test_size_parameter),
        cmocka_unit_test(test_message_size),
        cmocka_unit_test(test_message_size_is_canonical),
        cmocka_unit_test(test_chunk_size),
        cmocka_unit_test(test_swallowing_ends),
        cmocka_unit_test(test_swallowing_starts_anew),
        cmocka_unit_test(test_hops),
        cmocka_unit_test(test_deadlines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
