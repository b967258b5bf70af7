/* relay/client: refusals at each step, mixed results, replies that
 * fit no command */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PLAIN                                                                                      \
    "D start\nS 220 mail\nC LHLO gw.example.com\n"                                                 \
    "S 250 mail\nE idle\n"
#define PIPELINED                                                                                  \
    "D start\nS 220 mail\nC LHLO gw.example.com\n"                                                 \
    "S 250-mail\nS 250 PIPELINING\nE idle\n"
/* Two recipients, one command at a time, up to the reply to MAIL. */
#define TWO PLAIN "D begin 0 2\nC MAIL FROM:<bob@example.net>\n"
/* The same all at once. */
#define TWO_AT_ONCE                                                                                \
    PIPELINED "D begin 0 2\nC MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\n"           \
              "C RCPT TO:<r1@example.com>\nC DATA\n"
/* Up to the replies after the dot. */
#define TWO_SENT TWO_AT_ONCE "S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nE body\nD end\nC .\n"

static void test_mail_refused_for_the_sender(void **state)
{
    client_peer_run(__func__, TWO "S 550 5.1.8 no\nE result 0 recipient MAIL 550 5.1.8 no\n"
                                  "E result 1 recipient MAIL 550 5.1.8 no\nE finished\nC RSET\n"
                                  "S 250 ok\nE idle\n");
}

static void test_mail_refused_the_rest_was_pipelined(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE
                    "S 451 4.3.0 no\nE result 0 later MAIL 451 4.3.0 no\n"
                    "E result 1 later MAIL 451 4.3.0 no\nE finished\n"
                    "S 503 5.5.0 MAIL needed first\nS 503 5.5.0 MAIL needed first\n"
                    "S 503 5.5.0 MAIL needed first\nC RSET\n"
                    "S 250 ok\nE idle\n"
                    "D begin 0 1\nC MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\n"
                    "C DATA\n");
}

static void test_mail_refused_yet_the_rest_is_taken(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE "S 550 no\nE result 0 destination MAIL 550 no\n"
                                          "E result 1 destination MAIL 550 no\nE finished\n"
                                          "S 250 ok\nS 250 ok\nS 354 go\n"
                                          "E broken DATA 354 host wants a message for no "
                                          "recipient: 354 go (in reply to DATA command)\n");
}

static void test_every_rcpt_refused_one_at_a_time(void **state)
{
    client_peer_run(__func__,
                    TWO "S 250 ok\nC RCPT TO:<r0@example.com>\n"
                        "S 550 5.1.1 no\nE result 0 recipient RCPT 550 5.1.1 no\n"
                        "C RCPT TO:<r1@example.com>\n"
                        "S 450 4.2.0 no\nE result 1 later RCPT 450 4.2.0 no\nE finished\nC RSET\n"
                        "S 250 ok\nE idle\n");
}

static void test_every_rcpt_refused_data_refused_for_it(void **state)
{
    client_peer_run(__func__,
                    TWO_AT_ONCE "S 250 ok\nS 550 5.1.1 no\nE result 0 recipient RCPT 550 5.1.1 no\n"
                                "S 502 what\nE result 1 destination RCPT 502 what\nE finished\n"
                                "S 503 5.5.0 No valid recipients\nC RSET\n"
                                "S 250 ok\nE idle\n");
}

static void test_every_rcpt_refused_data_taken_all_the_same(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE "S 250 ok\nS 550 5.1.1 no\nS 550 5.1.1 no\n"
                                          "E result 0 recipient RCPT 550 5.1.1 no\n"
                                          "E result 1 recipient RCPT 550 5.1.1 no\nE finished\n"
                                          "S 354 go\n"
                                          "E broken DATA 354 host wants a message for no "
                                          "recipient: 354 go (in reply to DATA command)\n"
                                          "D may 0\n");
}

static void test_data_refused(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE
                    "S 250 ok\nS 250 ok\nS 550 5.1.1 no\n"
                    "E result 1 recipient RCPT 550 5.1.1 no\n"
                    "S 554 5.3.4 big\nE result 0 recipient DATA 554 5.3.4 big\nE finished\n"
                    "C RSET\n"
                    "S 250 ok\nE idle\n");
}

static void test_data_refused_for_a_while_one_at_a_time(void **state)
{
    client_peer_run(__func__, TWO "S 250 ok\nC RCPT TO:<r0@example.com>\n"
                                  "S 250 ok\nC RCPT TO:<r1@example.com>\n"
                                  "S 250 ok\nC DATA\n"
                                  "S 451 4.3.1 full\nE result 0 later DATA 451 4.3.1 full\n"
                                  "E result 1 later DATA 451 4.3.1 full\nE finished\nC RSET\n"
                                  "S 250 ok\nE idle\n");
}

static void test_data_not_understood(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE
                    "S 250 ok\nS 250 ok\nS 250 ok\nS 500 5.5.1 Unknown command\n"
                    "E result 0 destination DATA 500 5.5.1 Unknown command\n"
                    "E result 1 destination DATA 500 5.5.1 Unknown command\nE finished\n"
                    "C RSET\n"
                    "S 250 ok\nE idle\n");
}

static void test_dovecot_s_mixed_replies(void **state)
{
    client_peer_run(__func__, PIPELINED
                    "D begin 0 5\nC MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\n"
                    "C RCPT TO:<r1@example.com>\nC RCPT TO:<r2@example.com>\n"
                    "C RCPT TO:<r3@example.com>\nC RCPT TO:<r4@example.com>\nC DATA\n"
                    "S 250 2.1.0 OK\nS 250 2.1.5 OK\nS 250 2.1.5 OK\n"
                    "S 550 5.1.1 <r2> User doesn't exist: r2\nS 250 2.1.5 OK\nS 250 2.1.5 OK\n"
                    "S 354 OK\n"
                    "E result 2 recipient RCPT 550 5.1.1 <r2> User doesn't exist: r2\nE body\n"
                    "D end\nC .\n"
                    "S 250 2.0.0 <r0> id Saved\nS 552 5.2.2 <r1> Quota exceeded\n"
                    "S 250 2.0.0 <r3> id:R4 Saved\nS 451 4.2.0 <r4> Internal error\n"
                    "E result 0 none END 250 2.0.0 <r0> id Saved\n"
                    "E result 1 recipient END 552 5.2.2 <r1> Quota exceeded\n"
                    "E result 3 none END 250 2.0.0 <r3> id:R4 Saved\n"
                    "E result 4 later END 451 4.2.0 <r4> Internal error\nE finished\nE idle\n");
}

static void test_smtp_refused_after_the_dot(void **state)
{
    client_peer_run(__func__, "D set smtp\nD start\nS 220 x\nC EHLO gw.example.com\n"
                              "S 250 x\nE idle\n"
                              "D begin 0 2\nC MAIL FROM:<bob@example.net>\n"
                              "S 250 ok\nC RCPT TO:<r0@example.com>\n"
                              "S 250 ok\nC RCPT TO:<r1@example.com>\n"
                              "S 250 ok\nC DATA\n"
                              "S 354 go\nE body\n"
                              "D end\nC .\n"
                              "D may 1\nS 554 5.7.1 spam\nE result 0 recipient END 554 5.7.1 spam\n"
                              "E result 1 recipient END 554 5.7.1 spam\nE finished\nE idle\n"
                              "D may 0\n");
}

static void test_replies_of_many_lines_at_every_step(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE
                    "S 250-ok\nS 250-\nS 250\nS 250-ok\nS 250 ok\nS 550-5.1.1 no\n"
                    "S 550-5.1.1 such\nS 550 5.1.1 user\nS 354-go\nS 354 on\n"
                    "E result 1 recipient RCPT 550 5.1.1 no 5.1.1 such 5.1.1 user\nE body\n"
                    "D end\nC .\n"
                    "S 250-2.0.0 a\nS 250-b\nS 250 2.0.0 c\n"
                    "E result 0 none END 250 2.0.0 a b 2.0.0 c\nE finished\nE idle\n");
}

static void test_rset_refused(void **state)
{
    client_peer_run(
        __func__,
        TWO "S 550 no\nE result 0 destination MAIL 550 no\n"
            "E result 1 destination MAIL 550 no\nE finished\nC RSET\n"
            "S 500 what\n"
            "E broken RSET 500 host refused a reset: 500 what (in reply to RSET command)\n");
}

static void test_too_few_replies_after_the_dot(void **state)
{
    client_peer_run(__func__, TWO_SENT "S 250 ok\nE result 0 none END 250 ok\n"
                                       "D may 1\nD fail host closed the connection\n"
                                       "E broken END 0 host closed the connection\n"
                                       "D may 1\n");
}

/* In one piece with the last that was asked for, it is seen before the session counts as idle. */
static void test_too_many_replies_after_the_dot(void **state)
{
    client_peer_run_cut(__func__,
                        TWO_SENT
                        "S 250 zero\nS 250 one\nS 250 two\n"
                        "E result 0 none END 250 zero\nE result 1 none END 250 one\nE finished\n"
                        "E broken END 250 host said without being asked: 250 two (in reply to end "
                        "of DATA command)\n",
                        CLIENT_PEER_WHOLE);
    client_peer_run_cut(__func__,
                        TWO_SENT "S 250 zero\nS 250 one\ns 250\n"
                                 "E result 0 none END 250 zero\nE result 1 none END 250 one\n"
                                 "E finished\n"
                                 "E broken END 0 host began a reply without being asked\n",
                        CLIENT_PEER_WHOLE);
    client_peer_run(
        __func__, TWO_SENT
        "S 250 zero\nS 250 one\n"
        "E result 0 none END 250 zero\nE result 1 none END 250 one\nE finished\nE idle\n"
        "S 250 two\n"
        "E broken IDLE 250 host said without being asked: 250 two (in reply to no command)\n");
}

/* The second 250 came before RCPT TO:<r1> was sent, so it cannot be about r1. */
static void test_a_reply_too_many_is_not_taken_for_that_to_the_next_command(void **state)
{
    client_peer_run_cut(
        __func__,
        TWO
        "S 250 ok\nC RCPT TO:<r0@example.com>\n"
        "S 550 5.1.1 no\nS 250 ok\n"
        "E result 0 recipient RCPT 550 5.1.1 no\n"
        "E broken RCPT 250 host said without being asked: 250 ok (in reply to RCPT TO command)\n",
        CLIENT_PEER_WHOLE);
}

static void test_a_reply_while_idle(void **state)
{
    client_peer_run(__func__, PLAIN "S 421 4.4.2 idle\n"
                                    "E broken IDLE 421 host said without being asked: 421 4.4.2 "
                                    "idle (in reply to no command)\n");
}

static void test_half_a_reply_while_idle_then_a_transaction(void **state)
{
    client_peer_run(__func__, PLAIN "s 42\nD begin 0 1\n"
                                    "E broken IDLE 0 host began a reply without being asked\n");
}

static void test_half_a_reply_while_idle_then_quit(void **state)
{
    client_peer_run(__func__,
                    PLAIN "s 4\nD quit\nE broken IDLE 0 host began a reply without being asked\n");
}

static void test_a_reply_during_the_body(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE "S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nE body\n"
                                          "D body a\nC a\n"
                                          "S 552 5.3.4 big\n"
                                          "E broken BODY 552 host said without being asked: 552 "
                                          "5.3.4 big (in reply to message body)\n"
                                          "D body b\nD end\nD may 0\n");
}

static void test_half_a_reply_before_the_dot_no_dot(void **state)
{
    client_peer_run(__func__,
                    TWO_AT_ONCE "S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nE body\n"
                                "D body a\nC a\n"
                                "s 2\nD body b\nC b\n"
                                "D end\nE broken BODY 0 host began a reply without being asked\n"
                                "D may 0\n");
}

static void test_354_to_mail(void **state)
{
    client_peer_run(__func__, TWO
                    "S 354 go\n"
                    "E broken MAIL 354 unexpected reply: 354 go (in reply to MAIL FROM command)\n");
}

static void test_354_to_rcpt(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE
                    "S 250 ok\nS 354 go\n"
                    "E broken RCPT 354 unexpected reply: 354 go (in reply to RCPT TO command)\n");
}

static void test_250_to_data(void **state)
{
    client_peer_run(__func__, TWO_AT_ONCE
                    "S 250 ok\nS 250 ok\nS 250 ok\nS 250 ok\n"
                    "E broken DATA 250 unexpected reply: 250 ok (in reply to DATA command)\n"
                    "D may 0\n");
}

static void test_354_to_the_dot(void **state)
{
    client_peer_run(__func__, TWO_SENT
                    "S 354 go\n"
                    "E broken END 354 unexpected reply: 354 go (in reply to end of DATA command)\n"
                    "D may 1\n");
}

static void test_354_to_rset(void **state)
{
    client_peer_run(__func__,
                    TWO "S 450 no\nE result 0 later MAIL 450 no\nE result 1 later MAIL 450 no\n"
                        "E finished\nC RSET\n"
                        "S 354 go\n"
                        "E broken RSET 354 unexpected reply: 354 go (in reply to RSET command)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_refused_for_the_sender),
        cmocka_unit_test(test_mail_refused_the_rest_was_pipelined),
        cmocka_unit_test(test_mail_refused_yet_the_rest_is_taken),
        cmocka_unit_test(test_every_rcpt_refused_one_at_a_time),
        cmocka_unit_test(test_every_rcpt_refused_data_refused_for_it),
        cmocka_unit_test(test_every_rcpt_refused_data_taken_all_the_same),
        cmocka_unit_test(test_data_refused),
        cmocka_unit_test(test_data_refused_for_a_while_one_at_a_time),
        cmocka_unit_test(test_data_not_understood),
        cmocka_unit_test(test_dovecot_s_mixed_replies),
        cmocka_unit_test(test_smtp_refused_after_the_dot),
        cmocka_unit_test(test_replies_of_many_lines_at_every_step),
        cmocka_unit_test(test_rset_refused),
        cmocka_unit_test(test_too_few_replies_after_the_dot),
        cmocka_unit_test(test_too_many_replies_after_the_dot),
        cmocka_unit_test(test_a_reply_too_many_is_not_taken_for_that_to_the_next_command),
        cmocka_unit_test(test_a_reply_while_idle),
        cmocka_unit_test(test_half_a_reply_while_idle_then_a_transaction),
        cmocka_unit_test(test_half_a_reply_while_idle_then_quit),
        cmocka_unit_test(test_a_reply_during_the_body),
        cmocka_unit_test(test_half_a_reply_before_the_dot_no_dot),
        cmocka_unit_test(test_354_to_mail),
        cmocka_unit_test(test_354_to_rcpt),
        cmocka_unit_test(test_250_to_data),
        cmocka_unit_test(test_354_to_the_dot),
        cmocka_unit_test(test_354_to_rset),
    };

    return cmocka_run_group_tests_name("relay_client_replies", tests, NULL, NULL);
}
