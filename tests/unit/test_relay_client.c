/* relay/client: whole sessions, what is said in them and in what order */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define GREETED   "D start\nS 220 mail.example.com Dovecot ready.\nC LHLO gw.example.com\n"
#define PLAIN     GREETED "S 250 mail.example.com\nE idle\n"
#define PIPELINED GREETED "S 250-mail.example.com\nS 250 PIPELINING\nE idle\n"

static void test_one_recipient_one_command_at_a_time(void **state)
{
    client_peer_run(__func__,
                    PLAIN "D begin 0 1\nC MAIL FROM:<bob@example.net>\n"
                          "S 250 2.1.0 OK\nC RCPT TO:<r0@example.com>\n"
                          "S 250 2.1.5 OK\nC DATA\n"
                          "S 354 OK\nE body\n"
                          "D body Subject: x\nC Subject: x\n"
                          "D may 0\nD end\nC .\n"
                          "D may 1\nS 250 2.0.0 <r0@example.com> id Saved\n"
                          "E result 0 none END 250 2.0.0 <r0@example.com> id Saved\nE finished\n"
                          "E idle\n"
                          "D may 0\n");
}

static void test_pipelined_up_to_data_replies_in_one_piece(void **state)
{
    client_peer_run(__func__, PIPELINED
                    "D begin 0 2\nC MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\n"
                    "C RCPT TO:<r1@example.com>\nC DATA\n"
                    "S 250 2.1.0 OK\nS 250 2.1.5 OK\nS 250 2.1.5 OK\nS 354 OK\nE body\n"
                    "D body a\nC a\n"
                    "D end\nC .\n"
                    "S 250 2.0.0 zero\nS 250 2.0.0 one\nE result 0 none END 250 2.0.0 zero\n"
                    "E result 1 none END 250 2.0.0 one\nE finished\nE idle\n");
}

static void test_every_step_is_awaited_each_reply_anew(void **state)
{
    client_peer_run(__func__, PIPELINED
                    "D steps\nD begin 0 2\nE await MAIL\nC MAIL FROM:<bob@example.net>\n"
                    "C RCPT TO:<r0@example.com>\nC RCPT TO:<r1@example.com>\nC DATA\n"
                    "S 250 OK\nE await RCPT\n"
                    "S 250 OK\nE await RCPT\n"
                    "S 250 OK\nE await DATA\n"
                    "S 354 OK\nE await BODY\nE body\n"
                    "D end\nE await END\nC .\n"
                    "S 250 zero\nE result 0 none END 250 zero\nE await END\n"
                    "S 250 one\nE result 1 none END 250 one\nE finished\nE await IDLE\nE idle\n"
                    "D quit\nE await QUIT\nC QUIT\n"
                    "S 221 2.0.0 Bye\n"
                    "E broken QUIT 221 host said: 221 2.0.0 Bye (in reply to QUIT command)\n");
}

static void test_a_part_of_a_reply_buys_no_time(void **state)
{
    client_peer_run(__func__, "D steps\nD start\nE await GREETING\n"
                              "s 220 mail\ns  ready\nS \nE await HELLO\nC LHLO gw.example.com\n");
}

static void test_greeting_and_hello_in_many_lines(void **state)
{
    client_peer_run(__func__, "D start\nS 220-mail.example.com\nS 220-\nS 220 ready\n"
                              "C LHLO gw.example.com\n"
                              "S 250-mail.example.com Hello\nS 250-XYZ\nS 250-\nS 250-PIPELINING\n"
                              "S 250 SIZE 1000\nE idle\n"
                              "D begin 3 1\nC MAIL FROM:<bob@example.net> SIZE=1234\n"
                              "C RCPT TO:<r3@example.com>\nC DATA\n");
}

static void test_pipelining_in_lower_case_the_name_of_the_host_is_no_keyword(void **state)
{
    client_peer_run(__func__,
                    "D start\nS 220 x\nC LHLO gw.example.com\n"
                    "S 250-SIZE\nS 250 pipelining\nE idle\n"
                    "D begin 0 1\nC MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\n"
                    "C DATA\n");
}

static void test_the_null_sender(void **state)
{
    client_peer_run(__func__, PLAIN "D set sender \nD begin 0 1\nC MAIL FROM:<>\n");
}

static void test_smtp_one_reply_for_all(void **state)
{
    client_peer_run(__func__,
                    "D set smtp\nD start\nS 220 x ESMTP\nC EHLO gw.example.com\n"
                    "S 250-x\nS 250 PIPELINING\nE idle\n"
                    "D begin 0 3\nC MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\n"
                    "C RCPT TO:<r1@example.com>\nC RCPT TO:<r2@example.com>\nC DATA\n"
                    "S 250 ok\nS 250 ok\nS 550 5.1.1 no\nS 250 ok\nS 354 go\n"
                    "E result 1 recipient RCPT 550 5.1.1 no\nE body\n"
                    "D end\nC .\n"
                    "S 250-2.0.0 all\nS 250 2.0.0 queued\n"
                    "E result 0 none END 250 2.0.0 all 2.0.0 queued\n"
                    "E result 2 none END 250 2.0.0 all 2.0.0 queued\nE finished\nE idle\n");
}

static void test_two_transactions_in_one_session_then_quit(void **state)
{
    client_peer_run(__func__, PLAIN "D begin 0 1\nC MAIL FROM:<bob@example.net>\n"
                                    "S 250 ok\nC RCPT TO:<r0@example.com>\n"
                                    "S 250 ok\nC DATA\n"
                                    "S 354 ok\nE body\n"
                                    "D end\nC .\n"
                                    "S 250 ok\nE result 0 none END 250 ok\nE finished\nE idle\n"
                                    "D begin 1 1\nC MAIL FROM:<bob@example.net>\n"
                                    "S 250 ok\nC RCPT TO:<r1@example.com>\n"
                                    "S 250 ok\nC DATA\n"
                                    "S 354 ok\nE body\n"
                                    "D end\nC .\n"
                                    "S 250 ok\nE result 0 none END 250 ok\nE finished\nE idle\n"
                                    "D quit\nC QUIT\n"
                                    "D fail host closed the connection\n"
                                    "E broken QUIT 0 host closed the connection\n");
}

static void test_a_probe_one_command_at_a_time(void **state)
{
    client_peer_run(__func__,
                    PLAIN "D probe joe@example.com\nC MAIL FROM:<>\n"
                          "S 250 ok\nC RCPT TO:<joe@example.com>\n"
                          "S 250 2.1.5 OK\nE result 0 none RCPT 250 2.1.5 OK\nE finished\nC RSET\n"
                          "S 250 ok\nE idle\n");
}

static void test_a_probe_pipelined(void **state)
{
    client_peer_run(__func__, PIPELINED
                    "D probe joe@example.com\nC MAIL FROM:<>\nC RCPT TO:<joe@example.com>\n"
                    "C RSET\n"
                    "S 250 ok\nS 550 5.1.1 who\nE result 0 recipient RCPT 550 5.1.1 who\n"
                    "E finished\n"
                    "S 250 ok\nE idle\n");
}

static void test_a_probe_whose_mail_is_refused(void **state)
{
    client_peer_run(__func__, PIPELINED
                    "D probe joe@example.com\nC MAIL FROM:<>\nC RCPT TO:<joe@example.com>\n"
                    "C RSET\n"
                    "S 451 4.3.0 no\nE result 0 later MAIL 451 4.3.0 no\nE finished\n"
                    "S 503 5.5.0 MAIL needed first\nS 250 ok\nE idle\n");
}

static void test_the_callbacks_go_on_at_once(void **state)
{
    client_peer_run(__func__, "D set eager\nD start\nS 220 x\nC LHLO gw.example.com\n"
                              "S 250 x\nE idle\nC MAIL FROM:<bob@example.net>\n"
                              "S 250 ok\nC RCPT TO:<r0@example.com>\n"
                              "S 250 ok\nC RCPT TO:<r1@example.com>\n"
                              "S 450 no\nE result 1 later RCPT 450 no\nC DATA\n"
                              "S 354 ok\nE body\nC ..hello\nC .\n"
                              "S 250 ok\nE result 0 none END 250 ok\nE finished\nE idle\n"
                              "C MAIL FROM:<bob@example.net>\n"
                              "S 500 no\nE result 0 destination MAIL 500 no\n"
                              "E result 1 destination MAIL 500 no\nE finished\nC RSET\n"
                              "S 250 ok\nE idle\nC MAIL FROM:<bob@example.net>\n"
                              "S 250 ok\nC RCPT TO:<r0@example.com>\n");
}

#define BODY                                                                                       \
    PLAIN                                                                                          \
    "D begin 0 1\nC MAIL FROM:<bob@example.net>\nS 250 ok\nC RCPT TO:<r0@example.com>\n"           \
    "S 250 ok\nC DATA\nS 354 ok\nE body\n"

static void test_dots_at_line_starts_are_doubled(void **state)
{
    client_peer_run(__func__, BODY "D body .\nC ..\n"
                                   "D body ..\nC ...\n"
                                   "D body a.b.\nC a.b.\n"
                                   "D body .a\nC ..a\n"
                                   "D end\nC .\n");
}

static void test_an_empty_body(void **state)
{
    client_peer_run(__func__, BODY "D end\nC .\n");
}

static void test_a_dot_in_a_part_that_starts_inside_a_line_is_left(void **state)
{
    client_peer_run(__func__, BODY "D raw a\nD raw .\nD body .\nC a..\n"
                                   "D end\nC .\n");
}

static void test_empty_lines(void **state)
{
    client_peer_run(__func__, BODY "D body \nC \n"
                                   "D body .\nC ..\n"
                                   "D body \nC \n"
                                   "D end\nC .\n");
}

/* The end of a body that has no line end would be read as text: nothing may be sent then. */
static void test_body_without_line_end(void **state)
{
    static struct client_peer p;

    client_peer_init(&p);
    client_peer_play(&p, "body", BODY, SIZE_MAX);
    client_body(&p.client, SPAN_LIT("a"));
    client_body_end(&p.client);
    assert_int_equal(p.broken, 1);
    assert_int_equal(p.pending[p.pending_len - 1], 'a');
    assert_false(client_may_be_sent(&p.client));
    client_peer_deinit(&p);
}

/* All of a long body arrives, whatever the parts it is given in. */
static void test_body_parts(void **state)
{
    static struct client_peer p;
    static char body[40000];
    static char want[80000];

    for (size_t part = 1; part <= sizeof body; part = part * 3 + 1) {
        size_t want_len = 0;

        client_peer_init(&p);
        client_peer_play(&p, "parts", BODY, SIZE_MAX);
        for (size_t i = 0; i < sizeof body; i++) {
            body[i] = i % 40 == 38 ? '\r' : i % 40 == 39 ? '\n' : '.';
            if (i % 40 == 0)
                want[want_len++] = '.';
            want[want_len++] = body[i];
        }
        for (size_t at = 0; at < sizeof body; at += part)
            client_body(&p.client, span_first(span_from(span_make(body, sizeof body), at), part));
        assert_int_equal(p.pending_len, want_len);
        assert_memory_equal(p.pending, want, want_len);
        client_body_end(&p.client);
        assert_int_equal(p.pending_len, 3);
        assert_memory_equal(p.pending, ".\r\n", 3);
        client_peer_deinit(&p);
    }
}

static void test_facts_of_the_session(void **state)
{
    static struct client_peer p;

    client_peer_init(&p);
    client_peer_play(&p, "facts",
                     "D start\nS 220 first.example.com ready\nC LHLO gw.example.com\n"
                     "S 250-second.example.com\nS 250-SIZE 26214400\nS 250-8BITMIME\nS 250-DSN\n"
                     "S 250-ENHANCEDSTATUSCODES\nS 250-CHUNKING\nS 250-STARTTLS\nS 250-SMTPUTF8\n"
                     "S 250-SIZES 3\nS 250 XCLIENT ADDR Port NAME nonsense LOGIN TTL\nE idle\n",
                     SIZE_MAX);
    assert_string_equal(p.client.peer_name, "second.example.com");
    assert_int_equal(p.client.size_limit, 26214400);
    assert_int_equal(p.client.can, 511 - CLIENT_CAN_PIPELINING);
    assert_int_equal(p.client.can_xclient,
                     CLIENT_XCLIENT_ADDR | CLIENT_XCLIENT_PORT | CLIENT_XCLIENT_NAME);
    assert_int_equal(p.client.uses, 0);
    client_peer_do(&p, "begin 0 1");
    assert_int_equal(p.client.uses, 1);
    client_peer_deinit(&p);
}

/* What is longer than the field is cut, what cannot be shown is shown as '?'. */
static void test_peer_name(void **state)
{
    static struct client_peer p;
    char greeting[600];
    struct text t;

    client_peer_init(&p);
    text_init(&t, greeting, sizeof greeting);
    text_cstr(&t, "220 m\xc3\xbc");
    for (int i = 0; i < 400; i++)
        text_char(&t, 'x');
    text_cstr(&t, " ready\r\n");
    client_peer_do(&p, "start");
    client_input(&p.client, text_as_span(&t));
    assert_int_equal(strlen(p.client.peer_name), sizeof p.client.peer_name - 1);
    assert_memory_equal(p.client.peer_name, "m??xxx", 6);
    client_peer_deinit(&p);
}

static void test_fifty_recipients(void **state)
{
    static struct client_peer p;

    client_peer_init(&p);
    client_peer_play(&p, "fifty", PIPELINED, SIZE_MAX);
    client_peer_do(&p, "begin 0 50");
    client_peer_take(&p);
    client_input(&p.client, SPAN_LIT("250 ok\r\n"));
    for (int i = 0; i < 50; i++)
        client_input(&p.client, i % 2 ? SPAN_LIT("250 ok\r\n") : SPAN_LIT("550 5.1.1 no\r\n"));
    client_input(&p.client, SPAN_LIT("354 go\r\n"));
    client_body_end(&p.client);
    for (int i = 0; i < 25; i++)
        client_input(&p.client, i < 24 ? SPAN_LIT("250 ok\r\n") : SPAN_LIT("452 4.2.2 full\r\n"));
    assert_int_equal(p.idle, 2);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(p.results[i], 1);
        assert_int_equal(p.blames[i], i % 2 == 0 ? CLIENT_BLAME_RECIPIENT
                                      : i == 49  ? CLIENT_BLAME_LATER
                                                 : CLIENT_BLAME_NONE);
    }
    client_peer_deinit(&p);
}

static void test_step_words(void **state)
{
    assert_string_equal(client_step_words(CLIENT_STEP_GREETING, CLIENT_LMTP),
                        "initial server greeting");
    assert_string_equal(client_step_words(CLIENT_STEP_HELLO, CLIENT_LMTP), "LHLO command");
    assert_string_equal(client_step_words(CLIENT_STEP_HELLO, CLIENT_SMTP), "EHLO command");
    assert_string_equal(client_step_words(CLIENT_STEP_RCPT, CLIENT_SMTP), "RCPT TO command");
    assert_string_equal(client_step_words(CLIENT_STEP_END, CLIENT_SMTP), "end of DATA command");
    for (int i = 0; i <= CLIENT_STEP_COUNT; i++)
        assert_true(client_step_words((enum client_step)i, CLIENT_LMTP)[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_recipient_one_command_at_a_time),
        cmocka_unit_test(test_pipelined_up_to_data_replies_in_one_piece),
        cmocka_unit_test(test_every_step_is_awaited_each_reply_anew),
        cmocka_unit_test(test_a_part_of_a_reply_buys_no_time),
        cmocka_unit_test(test_greeting_and_hello_in_many_lines),
        cmocka_unit_test(test_pipelining_in_lower_case_the_name_of_the_host_is_no_keyword),
        cmocka_unit_test(test_the_null_sender),
        cmocka_unit_test(test_smtp_one_reply_for_all),
        cmocka_unit_test(test_two_transactions_in_one_session_then_quit),
        cmocka_unit_test(test_a_probe_one_command_at_a_time),
        cmocka_unit_test(test_a_probe_pipelined),
        cmocka_unit_test(test_a_probe_whose_mail_is_refused),
        cmocka_unit_test(test_the_callbacks_go_on_at_once),
        cmocka_unit_test(test_dots_at_line_starts_are_doubled),
        cmocka_unit_test(test_an_empty_body),
        cmocka_unit_test(test_a_dot_in_a_part_that_starts_inside_a_line_is_left),
        cmocka_unit_test(test_empty_lines),
        cmocka_unit_test(test_body_without_line_end),
        cmocka_unit_test(test_body_parts),
        cmocka_unit_test(test_facts_of_the_session),
        cmocka_unit_test(test_peer_name),
        cmocka_unit_test(test_fifty_recipients),
        cmocka_unit_test(test_step_words),
    };

    return cmocka_run_group_tests_name("relay_client", tests, NULL, NULL);
}
