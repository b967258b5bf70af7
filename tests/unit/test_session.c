/* test_session - commands, envelopes and replies; dialogues are in tests/dialogues */
#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EHLO_REPLY                                                                                 \
    "250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 26214400\r\n250-VRFY\r\n"                    \
    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n"
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

/* --- a whole session --- */

static void test_one_mail(void **state)
{
    struct fixture *f = *state;
    struct fixture_message *m = &f->messages[0];

    fixture_talk(f, "EHLO h.example.net\r\n", EHLO_REPLY);
    fixture_talk(f, "MAIL FROM:<s@example.net>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n",
                 "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
    fixture_talk(f, "Message-ID: <1@example.net>\r\n\r\nhello\r\n.\r\nQUIT\r\n",
                 "250 2.0.0 Ok: queued as " ID "\r\n221 2.0.0 Bye\r\n");
    fixture_end(f);
    expect_log(f, SMTPD "connect from " PEER "\n" SMTPD ID ": client=" PEER "\n"
                        "postfix/cleanup[7]: " ID ": message-id=<1@example.net>\n" SMTPD
                        "disconnect from " PEER " ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5\n");
    assert_int_equal(f->message_count, 1);
    assert_string_equal(m->message_id, "<1@example.net>");
    assert_non_null(strstr(m->body.ptr, "Received: from h.example.net (client.example.net "
                                        "[203.0.113.9])\r\n\tby mx.example.com (Postfix) with "
                                        "ESMTP id " ID "\r\n\tfor <r@example.com>; "));
    assert_true(
        span_equal(fixture_text(m), SPAN_LIT("Message-ID: <1@example.net>\r\n\r\nhello\r\n")));
}

static void test_envelope(void **state)
{
    struct fixture *f = *state;
    const struct envelope *e;

    fixture_talk(f, "EHLO [203.0.113.9]\r\n", EHLO_REPLY);
    fixture_say(f, "MAIL FROM:<s@example.net> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=E1 SIZE=5\r\n"
                   "RCPT TO:<@route.example:r@EXAMPLE.com.> NOTIFY=SUCCESS,DELAY "
                   "ORCPT=rfc822;r@example.com\r\nRCPT TO:<postmaster>\r\nDATA\r\n.\r\n");
    assert_int_equal(f->message_count, 1);
    e = f->messages[0].envelope;
    assert_string_equal(e->id.text, ID);
    assert_int_equal(e->arrival_us, 1763770000123456);
    assert_string_equal(e->client_name, "client.example.net");
    assert_string_equal(e->client_address, "203.0.113.9");
    assert_int_equal(e->client_port, 51234);
    assert_string_equal(e->helo, "[203.0.113.9]");
    assert_string_equal(e->protocol, "UTF8SMTP");
    assert_string_equal(e->sender, "s@example.net");
    assert_true(e->smtputf8);
    assert_true(e->eight_bit);
    assert_int_equal(e->ret, SMTP_RET_HDRS);
    assert_string_equal(e->envid, "E1");
    assert_int_equal(e->recipient_count, 2);
    assert_string_equal(e->recipients[0].address, "r@EXAMPLE.com");
    assert_int_equal(e->recipients[0].notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
    assert_string_equal(e->recipients[0].orcpt, "rfc822;r@example.com");
    assert_string_equal(e->recipients[1].address, "postmaster@example.com");
    assert_null(e->recipients[1].orcpt);
    assert_non_null(strstr(f->messages[0].body.ptr, "with UTF8SMTP id"));
}

static void test_postmaster_of_a_utf8_domain(void **state)
{
    static const char *const pairs[] = {"relay_domains=b\xc3\xbc.example", NULL};
    struct fixture f;

    fixture_init(&f, pairs);
    fixture_greet(&f);
    fixture_talk(&f, "EHLO h\r\n", EHLO_REPLY);
    fixture_talk(&f, "MAIL FROM:<>\r\nRCPT TO:<a@b\xc3\xbc.example>\r\nRCPT TO:<Postmaster>\r\n",
                 "250 2.1.0 Ok\r\n553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n"
                 "250 2.1.5 Ok\r\n");
    fixture_say(&f, "DATA\r\n.\r\n");
    assert_int_equal(f.message_count, 1);
    assert_string_equal(f.messages[0].envelope->recipients[0].address,
                        "Postmaster@b\xc3\xbc.example");
    assert_true(f.messages[0].envelope->smtputf8);
    fixture_free(&f);
}

static void test_protocol_names(void **state)
{
    static const char *const rows[][2] = {
        {"HELO h\r\nMAIL FROM:<>\r\n",          "SMTP"    },
        {"HELO h\r\nMAIL FROM:<> SMTPUTF8\r\n", "SMTP"    },
        {"EHLO h\r\nMAIL FROM:<>\r\n",          "ESMTP"   },
        {"EHLO h\r\nMAIL FROM:<> SMTPUTF8\r\n", "UTF8SMTP"},
        {"MAIL FROM:<>\r\n",                    "SMTP"    },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture_greet(f);
        fixture_say(f, rows[i][0]);
        assert_string_equal(f->session.envelope->protocol, rows[i][1]);
    }
}

/* --- the client's name --- */

static void test_no_lookup_when_off(void **state)
{
    const char *const pairs[] = {"smtpd_peername_lookup=no", NULL};
    struct fixture f;

    fixture_init(&f, pairs);
    f.when = FIXTURE_HELD;
    fixture_greet(&f);
    fixture_say(&f, "EHLO h\r\nMAIL FROM:<s@example.net>\r\n");
    assert_false(f.peer_due);
    assert_string_equal(f.session.envelope->client_name, "unknown");
    fixture_free(&f);
}

static void test_odd_peer_names(void **state)
{
    static char longest[ENVELOPE_NAME_CAP + 1];
    struct fixture *f = *state;

    memset(longest, 'x', ENVELOPE_NAME_CAP);
    f->peer_name = longest;
    fixture_say(f, "MAIL FROM:<s@example.net>\r\n");
    assert_string_equal(f->session.envelope->client_name, "unknown");
    f->peer_name = "";
    fixture_greet(f);
    fixture_say(f, "MAIL FROM:<s@example.net>\r\n");
    assert_string_equal(f->session.envelope->client_name, "unknown");
}

/* --- HELO --- */

static void test_helo_is_made_harmless(void **state)
{
    struct fixture *f = *state;

    fixture_send(f, SPAN_LIT("HELO a<b>(c)\\d\";@\x1B\0\xFF two\r\n"));
    assert_string_equal(f->session.helo, "a?b??c??d?????? two");
    fixture_talk(f, "MAIL FROM:<s@example.net>\r\nRCPT TO:<x@other.example>\r\n",
                 "250 mx.example.com\r\n250 2.1.0 Ok\r\n"
                 "554 5.7.1 <x@other.example>: Relay access denied\r\n");
    expect_in_log(f, "to=<x@other.example> proto=SMTP helo=<a?b??c??d?????? two>\n");
}

static void test_long_helo_is_cut(void **state)
{
    struct fixture *f = *state;
    char line[2048];

    memset(line, 'x', sizeof line);
    memcpy(line, "EHLO ", 5);
    memcpy(line + 2046, "\r\n", 2);
    fixture_send(f, span_make(line, sizeof line));
    assert_string_equal(fixture_heard(f), EHLO_REPLY);
    assert_int_equal(strlen(f->session.helo), ENVELOPE_NAME_CAP - 1);
}

/* An upstream that is closing says 421; that is its own matter, not ours with the client. */
static void test_upstream_codes_are_held_to_their_meaning(void **state)
{
    static const struct {
        enum session_rcpt_answer answer;
        unsigned code;
        const char *dsn;
        const char *want;
    } rows[] = {
        {SESSION_RCPT_DEFER,  421, "4.3.2",
         "450 4.3.2 <r@example.com>: Recipient address rejected: "
         "unverified address: why\r\n"   },
        {SESSION_RCPT_DEFER,  0,   "",
         "450 4.1.1 <r@example.com>: Recipient address rejected: "
         "unverified address: why\r\n"   },
        {SESSION_RCPT_DEFER,  550, "5.1.1",
         "450 4.1.1 <r@example.com>: Recipient address rejected: "
         "unverified address: why\r\n"   },
        {SESSION_RCPT_REJECT, 521, "5.3.2",
         "550 5.3.2 <r@example.com>: Recipient address rejected: "
         "undeliverable address: why\r\n"},
        {SESSION_RCPT_REJECT, 450, "4.2.1",
         "550 5.1.1 <r@example.com>: Recipient address rejected: "
         "undeliverable address: why\r\n"},
        {SESSION_RCPT_REJECT, 552, "5.2.2",
         "552 5.2.2 <r@example.com>: Recipient address rejected: "
         "undeliverable address: why\r\n"},
        {SESSION_RCPT_REJECT, 550, NULL,
         "550 5.1.1 <r@example.com>: Recipient address rejected: "
         "undeliverable address: why\r\n"},
    };
    struct fixture *f = *state;

    fixture_say(f, "MAIL FROM:<>\r\n");
    fixture_heard(f);
    f->when = FIXTURE_HELD;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture_talk(f, "RCPT TO:<r@example.com>\r\n", "");
        session_rcpt_answer(&f->session, rows[i].answer, rows[i].code, rows[i].dsn, "why");
        assert_string_equal(fixture_heard(f), rows[i].want);
        f->recipient_due[0] = '\0';
    }
    assert_int_equal(f->hang_ups, 0);
}

/* Replies stay one line of at most 512 bytes, whatever an upstream or an address holds. */
static void test_replies_are_bounded_and_printable(void **state)
{
    struct fixture *f = *state;
    char why[2000];
    const char *heard;

    fixture_say(f, "MAIL FROM:<>\r\n");
    fixture_heard(f);
    f->when = FIXTURE_HELD;
    fixture_say(f, "RCPT TO:<r@example.com>\r\n");
    memset(why, 'y', sizeof why - 1);
    why[sizeof why - 1] = '\0';
    memcpy(why, "\r\n250 ok\xFF", 9);
    session_rcpt_answer(&f->session, SESSION_RCPT_REJECT, 550, "5.1.1", why);
    heard = fixture_heard(f);
    assert_int_equal(strlen(heard), 512);
    assert_non_null(strstr(heard, ": ??250 ok?yyy"));
    assert_string_equal(heard + 508, "yy\r\n");
}

/* --- other things said --- */

static void test_every_verb_is_counted(void **state)
{
    static const char *const rows[] = {
        "HELO h",   "EHLO h",      "XCLIENT x",    "XFORWARD x",
        "STARTTLS", "AUTH x",      "MAIL FROM:<>", "RCPT TO:<r@example.com>",
        "DATA x",   "BDAT 0 LAST", "RSET",         "NOOP",
        "VRFY r",   "ETRN x",      "HELP",         "FOO"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture_say(f, rows[i]);
        fixture_say(f, "\r\n");
    }
    fixture_say(f, "QUIT\r\n");
    fixture_end(f);
    expect_in_log(f, " helo=1 ehlo=1 xclient=0/1 xforward=0/1 starttls=0/1 auth=0/1 mail=1 rcpt=1 "
                     "data=0/1 bdat=1 rset=1 noop=1 vrfy=1 etrn=0/1 quit=1 help=1 unknown=0/1 "
                     "commands=10/17\n");
}

static void test_vrfy(void **state)
{
    struct fixture *f = *state;

    fixture_talk(f, "VRFY <r@example.com> SMTPUTF8\r\n", "252 2.0.0 r@example.com\r\n");
    fixture_talk(f, "VRFY caf\xC3\xA9@example.com\r\n", "252 2.0.0 caf\xC3\xA9@example.com\r\n");
    fixture_talk(f, "VRFY <>\r\n", "501 5.1.3 Bad recipient address syntax\r\n");
    fixture_talk(f, "VRFY a b c\r\n", "252 2.0.0 a\r\n");
    fixture_talk(f, "VRFY \x01\r\n", "501 5.1.3 Bad recipient address syntax\r\n");
}

static void test_refused_connections(void **state)
{
    struct fixture *f = *state;

    fixture_connect(f, false);
    session_refuse(&f->session, "421 4.7.0 mx.example.com Error: too many connections");
    assert_string_equal(fixture_heard(f),
                        "421 4.7.0 mx.example.com Error: too many connections\r\n");
    assert_int_equal(f->hang_ups, 1);
    fixture_talk(f, "EHLO h\r\n", ""); /* dropped */
    assert_int_equal(f->input.len, 0);
    fixture_end(f);
    expect_log(f, "");
}

static void test_state_names(void **state)
{
    for (unsigned i = 0; i < SESSION_STATE_COUNT; i++)
        assert_string_not_equal(session_state_name((enum session_state)i), "?");
    assert_string_equal(session_state_name(SESSION_CLOSING), "closing");
    assert_string_equal(session_state_name(SESSION_STATE_COUNT), "?");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_mail),
        TEST(test_envelope),
        cmocka_unit_test(test_postmaster_of_a_utf8_domain),
        TEST(test_protocol_names),
        TEST(test_no_lookup_when_off),
        TEST(test_odd_peer_names),
        TEST(test_helo_is_made_harmless),
        TEST(test_long_helo_is_cut),
        TEST(test_upstream_codes_are_held_to_their_meaning),
        TEST(test_replies_are_bounded_and_printable),
        TEST(test_every_verb_is_counted),
        TEST(test_vrfy),
        TEST(test_refused_connections),
        TEST(test_state_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
