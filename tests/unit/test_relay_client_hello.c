/* relay/client: greeting, hello, the fallback from one to the other */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LMTP "D start\nS 220 mail\nC LHLO gw.example.com\n"
#define SMTP "D set smtp\nD start\nS 220 mail\nC EHLO gw.example.com\n"

static void test_greeting_refused(void **state)
{
    client_peer_run(__func__,
                    "D start\nS 554 5.7.1 go away\n"
                    "E broken GREETING 554 host refused to talk to me: 554 5.7.1 go away\n");
}

static void test_greeting_refused_by_421(void **state)
{
    client_peer_run(__func__,
                    "D start\nS 421-4.3.2 too\nS 421 4.3.2 many\n"
                    "E broken GREETING 421 host refused to talk to me: 421 4.3.2 too 4.3.2 many\n");
}

static void test_greeting_of_354(void **state)
{
    client_peer_run(__func__, "D start\nS 354 go\n"
                              "E broken GREETING 354 host refused to talk to me: 354 go\n");
}

static void test_hello_refused(void **state)
{
    client_peer_run(__func__, LMTP "S 550 5.7.1 no\n"
                                   "E broken HELLO 550 host refused to talk to me: 550 5.7.1 no\n");
}

static void test_hello_refused_for_a_while(void **state)
{
    client_peer_run(__func__, "D set fallback\n" LMTP "S 450 4.7.1 no\n"
                              "E broken HELLO 450 host refused to talk to me: 450 4.7.1 no\n");
}

static void test_goodbye_instead_of_hello(void **state)
{
    client_peer_run(__func__,
                    "D set fallback\n" LMTP "S 421 4.3.2 bye\n"
                    "E broken HELLO 421 host said: 421 4.3.2 bye (in reply to LHLO command)\n");
}

static void test_wrong_protocol_no_fallback(void **state)
{
    client_peer_run(
        __func__, LMTP
        "S 500 5.5.1 Unknown command\n"
        "E broken HELLO 500 wrong protocol: host answered LHLO with 500 5.5.1 Unknown command\n");
}

static void test_wrong_protocol_no_fallback_smtp(void **state)
{
    client_peer_run(__func__,
                    SMTP "S 502 no\nC HELO gw.example.com\nS 500 not that\n"
                         "E broken HELLO 500 wrong protocol: host answered EHLO with 502 no, and "
                         "HELO with 500 not that\n");
}

static void test_fallback_to_smtp(void **state)
{
    client_peer_run(__func__,
                    "D set fallback\n" LMTP "S 502-no\nS 502 5.5.1 no LHLO\nC EHLO gw.example.com\n"
                    "S 250-mail\nS 250 PIPELINING\nE idle\n"
                    "D begin 0 2\nC MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\n"
                    "C RCPT TO:<r1@example.com>\nC DATA\n"
                    "S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\nE body\n"
                    "D end\nC .\n"
                    "S 250 one for all\nE result 0 none END 250 one for all\n"
                    "E result 1 none END 250 one for all\nE finished\nE idle\n");
}

static void test_fallback_to_lmtp(void **state)
{
    client_peer_run(__func__,
                    "D set fallback\n" SMTP "S 500 5.5.1 Unknown command\nC LHLO gw.example.com\n"
                    "S 250 mail\nE idle\n"
                    "D begin 0 2\nC MAIL FROM:<bob@example.net>\n"
                    "S 250 ok\nC RCPT TO:<r0@example.com>\n"
                    "S 250 ok\nC RCPT TO:<r1@example.com>\n"
                    "S 250 ok\nC DATA\n"
                    "S 354 go\nE body\n"
                    "D end\nC .\n"
                    "S 250 zero\nE result 0 none END 250 zero\n"
                    "S 250 one\nE result 1 none END 250 one\nE finished\nE idle\n");
}

static void test_what_was_offered_to_the_first_hello_does_not_count(void **state)
{
    client_peer_run(__func__,
                    "D set fallback\n" LMTP
                    "S 500-PIPELINING\nS 500-PIPELINING\nS 500 SIZE 5\nC EHLO gw.example.com\n"
                    "S 250 mail\nE idle\n"
                    "D begin 0 1\nC MAIL FROM:<bob@example.net>\n");
}

static void test_neither_protocol(void **state)
{
    client_peer_run(
        __func__,
        "D set fallback\n" LMTP "S 500 a\nC EHLO gw.example.com\n"
        "S 502 b\n"
        "E broken HELLO 502 wrong protocol: host answered LHLO with 500 a, and EHLO with 502 b\n");
}

static void test_what_a_fallback_leaves(void **state)
{
    static struct client_peer p;

    client_peer_init(&p);
    client_peer_play(&p, __func__, "D set fallback\n" LMTP "S 500 no\nC EHLO gw.example.com\n",
                     SIZE_MAX);
    assert_false(p.client.mismatch); /* nothing is proven yet */
    client_peer_play(&p, __func__, "S 250 mail\nE idle\n", SIZE_MAX);
    assert_true(p.client.mismatch);
    assert_int_equal(p.client.protocol, CLIENT_SMTP);
    assert_int_equal(p.client.settings.protocol, CLIENT_LMTP);
    client_peer_deinit(&p);
}

/* Only these codes say that the verb is not known. */
static void test_codes_that_start_the_fallback(void **state)
{
    static struct client_peer p;

    for (unsigned code = 400; code < 560; code++) {
        bool unknown = code == 500 || code == 501 || code == 502 || code == 504;
        char reply[32];

        client_peer_init(&p);
        client_peer_play(&p, __func__, "D set fallback\n" LMTP, SIZE_MAX);
        snprintf(reply, sizeof reply, "%u no\r\n", code);
        client_input(&p.client, span_of(reply));
        assert_int_equal(p.broken, !unknown);
        assert_int_equal(p.client.hello_retried, unknown);
        client_peer_deinit(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greeting_refused),
        cmocka_unit_test(test_greeting_refused_by_421),
        cmocka_unit_test(test_greeting_of_354),
        cmocka_unit_test(test_hello_refused),
        cmocka_unit_test(test_hello_refused_for_a_while),
        cmocka_unit_test(test_goodbye_instead_of_hello),
        cmocka_unit_test(test_wrong_protocol_no_fallback),
        cmocka_unit_test(test_wrong_protocol_no_fallback_smtp),
        cmocka_unit_test(test_fallback_to_smtp),
        cmocka_unit_test(test_fallback_to_lmtp),
        cmocka_unit_test(test_what_was_offered_to_the_first_hello_does_not_count),
        cmocka_unit_test(test_neither_protocol),
        cmocka_unit_test(test_what_a_fallback_leaves),
        cmocka_unit_test(test_codes_that_start_the_fallback),
    };

    return cmocka_run_group_tests_name("relay_client_hello", tests, NULL, NULL);
}
