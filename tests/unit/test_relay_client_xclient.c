/* relay/client: XCLIENT, and the hello again after it */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LMTP "D start\nS 220 mail\nC LHLO gw.example.com\n"
/* Everything that Dovecot 2.3 offers to a trusted peer. */
#define TRUSTED                                                                                    \
    "D set xclient\n" LMTP "S 250-mail\nS 250-8BITMIME\nS 250-CHUNKING\n"                          \
    "S 250-ENHANCEDSTATUSCODES\nS 250-PIPELINING\n"                                                \
    "S 250-XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT\nS 250 XRCPTFORWARD\nE idle\n"
#define COMMANDS "C MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\nC DATA\n"
#define SENT                                                                                       \
    "S 250 ok\nS 250 ok\nS 354 go\nE body\nD end\nC .\nS 250 ok\nE result 0 none END 250 ok\n"     \
    "E finished\nE idle\n"

static void test_xclient_then_the_hello_again_for_each_mail(void **state)
{
    client_peer_run(__func__, TRUSTED "D begin 0 1\n"
                                      "C XCLIENT ADDR=192.0.2.9 PORT=51234 PROTO=ESMTP "
                                      "HELO=helo.example.net SESSION=0123456789ABCDEF TIMEOUT=600\n"
                                      "S 220 mail\nC LHLO gw.example.com\n"
                                      "S 250-mail\nS 250 PIPELINING\n" COMMANDS SENT);
}

static void test_xclient_for_each_mail(void **state)
{
    client_peer_run(__func__,
                    "D set xclient\n" LMTP
                    "S 250-mail\nS 250-PIPELINING\nS 250 XCLIENT PORT NAME\nE idle\n"
                    "D begin 0 1\nC XCLIENT PORT=51234 NAME=mail.example.net\n"
                    "S 250 ok\nC LHLO gw.example.com\n"
                    "S 250-mail\nS 250-PIPELINING\nS 250 XCLIENT PORT NAME\n" COMMANDS SENT
                    "D set name unknown\nD begin 0 1\nC XCLIENT PORT=51234 NAME=[UNAVAILABLE]\n"
                    "S 250 ok\nC LHLO gw.example.com\n"
                    "S 250-mail\nS 250-PIPELINING\nS 250 XCLIENT PORT NAME\n" COMMANDS SENT);
}

static void test_xclient_offered_but_not_set(void **state)
{
    client_peer_run(__func__, LMTP "S 250-mail\nS 250-PIPELINING\nS 250 XCLIENT ADDR\nE idle\n"
                                   "D begin 0 1\n" COMMANDS);
}

static void test_xclient_set_but_not_offered(void **state)
{
    client_peer_run(__func__, "D set xclient\n" LMTP "S 250-mail\nS 250 PIPELINING\nE idle\n"
                              "D begin 0 1\n" COMMANDS);
}

static void test_xclient_without_any_attribute_that_is_known(void **state)
{
    client_peer_run(__func__, "D set xclient\n" LMTP
                              "S 250-mail\nS 250-PIPELINING\nS 250 XCLIENT LOGIN TTL\nE idle\n"
                              "D begin 0 1\n" COMMANDS);
}

static void test_xclient_with_an_ipv6_address_smtp(void **state)
{
    client_peer_run(__func__, "D set xclient\nD set address 2001:db8::1\nD set protocol SMTP\n" LMTP
                              "S 250-mail\nS 250 XCLIENT PROTO ADDR\nE idle\n"
                              "D begin 0 1\nC XCLIENT ADDR=IPV6:2001:db8::1 PROTO=SMTP\n");
}

static void test_xclient_values_are_xtext(void **state)
{
    client_peer_run(__func__, "D set xclient\nD set helo a+b=c d\xc3\xbc\x01\n" LMTP
                              "S 250-mail\nS 250 XCLIENT HELO\nE idle\n"
                              "D begin 0 1\nC XCLIENT HELO=a+2Bb+3Dc+20d+C3+BC+01\n");
}

static void test_xclient_not_for_a_probe(void **state)
{
    client_peer_run(__func__,
                    TRUSTED "D probe joe@example.com\nC MAIL FROM:<>\nC RCPT TO:<joe@example.com>\n"
                            "C RSET\n");
}

static void test_xclient_not_for_local_mail(void **state)
{
    client_peer_run(__func__, TRUSTED "D set protocol local\nD begin 0 1\n" COMMANDS);
}

static void test_xclient_not_without_an_address(void **state)
{
    client_peer_run(__func__, TRUSTED "D set address \nD begin 0 1\n" COMMANDS);
}

static void test_xclient_not_for_an_unknown_address(void **state)
{
    client_peer_run(__func__, TRUSTED "D set address unknown\nD begin 0 1\n" COMMANDS);
}

static void test_local_mail_after_another_client_s_is_not_taken_for_that_client_s(void **state)
{
    client_peer_run(
        __func__,
        "D set xclient\n" LMTP
        "S 250-mail\nS 250-PIPELINING\nS 250 XCLIENT ADDR PORT PROTO HELO NAME\n"
        "E idle\n"
        "D begin 0 1\n"
        "C XCLIENT ADDR=192.0.2.9 PORT=51234 PROTO=ESMTP HELO=helo.example.net "
        "NAME=mail.example.net\n"
        "S 220 mail\nC LHLO gw.example.com\n"
        "S 250-mail\nS 250-PIPELINING\nS 250 XCLIENT ADDR PORT PROTO HELO NAME\n" COMMANDS SENT
        "D set protocol local\nD begin 0 1\n"
        "C XCLIENT ADDR=127.0.0.1 PORT=[UNAVAILABLE] PROTO=SMTP HELO=localhost NAME=localhost\n");
}

static void test_xclient_refused_the_mail_goes_without_now_and_later(void **state)
{
    client_peer_run(__func__, TRUSTED "D begin 0 1\n"
                                      "C XCLIENT ADDR=192.0.2.9 PORT=51234 PROTO=ESMTP "
                                      "HELO=helo.example.net SESSION=0123456789ABCDEF TIMEOUT=600\n"
                                      "S 550 5.7.14 You are not from trusted IP\n" COMMANDS SENT
                                      "D begin 0 1\n" COMMANDS);
}

static void test_xclient_refused_for_a_while_tried_again_with_the_next_mail(void **state)
{
    client_peer_run(__func__,
                    "D set xclient\n" LMTP
                    "S 250-mail\nS 250-PIPELINING\nS 250 XCLIENT PORT\nE idle\n"
                    "D begin 0 1\nC XCLIENT PORT=51234\n"
                    "S 451 4.3.0 no\n" COMMANDS SENT "D begin 0 1\nC XCLIENT PORT=51234\n");
}

static void test_xclient_answered_by_goodbye(void **state)
{
    client_peer_run(__func__,
                    "D set xclient\n" LMTP "S 250-mail\nS 250 XCLIENT PORT\nE idle\n"
                    "D begin 0 1\nC XCLIENT PORT=51234\n"
                    "S 421 bye\n"
                    "E broken XCLIENT 421 host said: 421 bye (in reply to XCLIENT command)\n");
}

static void test_xclient_answered_by_354(void **state)
{
    client_peer_run(
        __func__, "D set xclient\n" LMTP "S 250-mail\nS 250 XCLIENT PORT\nE idle\n"
                  "D begin 0 1\nC XCLIENT PORT=51234\n"
                  "S 354 go\n"
                  "E broken XCLIENT 354 unexpected reply: 354 go (in reply to XCLIENT command)\n");
}

static void test_the_hello_after_xclient_refused(void **state)
{
    client_peer_run(
        __func__, "D set xclient\nD set fallback\n" LMTP "S 250-mail\nS 250 XCLIENT PORT\nE idle\n"
                  "D begin 0 1\nC XCLIENT PORT=51234\n"
                  "S 220 mail\nC LHLO gw.example.com\n"
                  "S 500 what\nE broken HELLO 500 host refused to talk to me: 500 what\n");
}

/* The fallback has succeeded: the protocol is right by now. */
static void test_the_hello_after_fallback_and_xclient_refused(void **state)
{
    client_peer_run(__func__,
                    "D set xclient\nD set fallback\n" LMTP "S 500 no\nC EHLO gw.example.com\n"
                    "S 250-mail\nS 250 XCLIENT PORT\nE idle\n"
                    "D begin 0 1\nC XCLIENT PORT=51234\n"
                    "S 220 mail\nC EHLO gw.example.com\n"
                    "S 500 what\n"
                    "E broken HELLO 500 host refused to talk to me: 500 what\n");
}

static void test_what_was_offered_before_xclient_does_not_count_after_it(void **state)
{
    client_peer_run(__func__,
                    "D set xclient\n" LMTP
                    "S 250-mail\nS 250-SIZE\nS 250-PIPELINING\nS 250 XCLIENT PORT\nE idle\n"
                    "D begin 0 1\nC XCLIENT PORT=51234\n"
                    "S 220 mail\nC LHLO gw.example.com\n"
                    "S 250 mail\nC MAIL FROM:<bob@example.net>\n"
                    "S 250 ok\nC RCPT TO:<r0@example.com>\n");
}

/* Long values: each line within its limit, all said once, a value that fits nowhere unavailable. */
static void test_xclient_in_several_lines(void **state)
{
    static struct client_peer p;

    for (int len = 0; len < 255; len++) {
        client_peer_init(&p);
        memset(p.envelope->helo, '=', (size_t)len); /* three bytes each */
        memset(p.envelope->client_name, 'n', (size_t)len);
        p.envelope->helo[len] = p.envelope->client_name[len] = '\0';
        client_peer_play(&p, __func__,
                         "D set xclient\n" LMTP
                         "S 250-mail\nS 250 XCLIENT ADDR HELO NAME SESSION\nE idle\n",
                         SIZE_MAX);
        client_peer_do(&p, "begin 0 1");
        for (int lines = 0; p.client.step == CLIENT_STEP_XCLIENT; lines++) {
            assert_true(lines < 3);
            assert_true(p.pending_len > 2 && p.pending_len <= 512);
            if (len > 166 && memmem(p.pending, p.pending_len, " HELO=", 6))
                assert_non_null(memmem(p.pending, p.pending_len, " HELO=[UNAVAILABLE]", 19));
            client_input(&p.client, SPAN_LIT("220 mail\r\n"));
        }
        assert_non_null(strstr(client_peer_take(&p), "SESSION="));
        assert_int_equal(p.client.step, CLIENT_STEP_HELLO);
        client_peer_deinit(&p);
    }
}

/* The second of two XCLIENT lines is refused: the first one has wiped the session, so hello again.
 */
static void test_second_xclient_refused(void **state)
{
    static struct client_peer p;

    client_peer_init(&p);
    memset(p.envelope->helo, '=', 165);
    p.envelope->helo[165] = '\0';
    client_peer_play(&p, __func__,
                     "D set xclient\n" LMTP
                     "S 250-mail\nS 250 XCLIENT ADDR HELO NAME SESSION\nE idle\n",
                     SIZE_MAX);
    client_peer_do(&p, "begin 0 1");
    client_peer_take(&p);
    client_input(&p.client, SPAN_LIT("220 mail\r\n"));
    assert_memory_equal(client_peer_take(&p), "C XCLIENT HELO=+3D", 18);
    client_input(&p.client, SPAN_LIT("501 5.5.4 no\r\n"));
    assert_string_equal(client_peer_take(&p), "C LHLO gw.example.com\n");
    client_input(&p.client, SPAN_LIT("250 mail\r\n"));
    assert_string_equal(client_peer_take(&p), "C MAIL FROM:<bob@example.net>\n");
    client_peer_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xclient_then_the_hello_again_for_each_mail),
        cmocka_unit_test(test_xclient_for_each_mail),
        cmocka_unit_test(test_xclient_offered_but_not_set),
        cmocka_unit_test(test_xclient_set_but_not_offered),
        cmocka_unit_test(test_xclient_without_any_attribute_that_is_known),
        cmocka_unit_test(test_xclient_with_an_ipv6_address_smtp),
        cmocka_unit_test(test_xclient_values_are_xtext),
        cmocka_unit_test(test_xclient_not_for_a_probe),
        cmocka_unit_test(test_xclient_not_for_local_mail),
        cmocka_unit_test(test_xclient_not_without_an_address),
        cmocka_unit_test(test_xclient_not_for_an_unknown_address),
        cmocka_unit_test(test_local_mail_after_another_client_s_is_not_taken_for_that_client_s),
        cmocka_unit_test(test_xclient_refused_the_mail_goes_without_now_and_later),
        cmocka_unit_test(test_xclient_refused_for_a_while_tried_again_with_the_next_mail),
        cmocka_unit_test(test_xclient_answered_by_goodbye),
        cmocka_unit_test(test_xclient_answered_by_354),
        cmocka_unit_test(test_the_hello_after_xclient_refused),
        cmocka_unit_test(test_the_hello_after_fallback_and_xclient_refused),
        cmocka_unit_test(test_what_was_offered_before_xclient_does_not_count_after_it),
        cmocka_unit_test(test_xclient_in_several_lines),
        cmocka_unit_test(test_second_xclient_refused),
    };

    return cmocka_run_group_tests_name("relay_client_xclient", tests, NULL, NULL);
}
