/* relay/client: STARTTLS, and what to do where there is none */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAY      "D set tls may\nD start\nS 220 mail\nC LHLO gw.example.com\n"
#define REQUIRED "D set tls required\nD start\nS 220 mail\nC LHLO gw.example.com\n"
#define OFFERED  "S 250-mail\nS 250-PIPELINING\nS 250 STARTTLS\nC STARTTLS\n"
#define SECURED  "S 220 2.0.0 go\nE starttls\nD secured\nC LHLO gw.example.com\n"

static void test_offered_and_wanted(void **state)
{
    client_peer_run("may", MAY OFFERED SECURED "S 250 mail\nE idle\n");
    client_peer_run("required", REQUIRED OFFERED SECURED "S 250 mail\nE idle\n");
    client_peer_run(
        "smtp",
        "D set tls required\nD set smtp\nD start\nS 220 mail\nC EHLO gw.example.com\n" OFFERED
        "S 220 go\nE starttls\nD secured\nC EHLO gw.example.com\n"
        "S 250 mail\nE idle\n");
    client_peer_run("not wanted", "D start\nS 220 mail\nC LHLO gw.example.com\n"
                                  "S 250-mail\nS 250 STARTTLS\nE idle\n");
}

/* RFC 3207 4.2: what was offered before counts no more, and STARTTLS is not said twice. */
static void test_what_was_said_before_is_forgotten(void **state)
{
    client_peer_run(__func__, MAY "S 250-mail\nS 250-SIZE\nS 250-PIPELINING\nS 250 STARTTLS\n"
                                  "C STARTTLS\n" SECURED "S 250-mail\nS 250 STARTTLS\nE idle\n"
                                  "D begin 0 1\nC MAIL FROM:<bob@example.net>\n"
                                  "S 250 ok\nC RCPT TO:<r0@example.com>\n");
}

static void test_a_mail_inside(void **state)
{
    client_peer_run(
        __func__, REQUIRED OFFERED SECURED
        "S 250-mail\nS 250 PIPELINING\nE idle\n"
        "D begin 0 1\nC MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\nC DATA\n"
        "S 250 ok\nS 250 ok\nS 354 go\nE body\n"
        "D end\nC .\n"
        "S 250 ok\nE result 0 none END 250 ok\nE finished\nE idle\n"
        "D quit\nC QUIT\nS 221 bye\n"
        "E broken QUIT 221 host said: 221 bye (in reply to QUIT command)\n");
}

/* Postfix's order: XCLIENT inside TLS; the hello after it starts none. */
static void test_xclient_after_it(void **state)
{
    client_peer_run(__func__, "D set xclient\n" REQUIRED OFFERED SECURED
                              "S 250-mail\nS 250 XCLIENT ADDR\nE idle\n"
                              "D begin 0 1\nC XCLIENT ADDR=192.0.2.9\n"
                              "S 220 again\nC LHLO gw.example.com\n"
                              "S 250-mail\nS 250 STARTTLS\nC MAIL FROM:<bob@example.net>\n");
    client_peer_run("refused, then offered in the middle",
                    "D set xclient\n" MAY "S 250-mail\nS 250 XCLIENT ADDR\nE idle\n"
                    "D begin 0 1\nC XCLIENT ADDR=192.0.2.9\n"
                    "S 220 again\nC LHLO gw.example.com\n"
                    "S 250-mail\nS 250 STARTTLS\nC MAIL FROM:<bob@example.net>\n");
}

static void test_not_offered(void **state)
{
    client_peer_run("may", MAY "S 250 mail\nE idle\n");
    client_peer_run("required",
                    REQUIRED "S 250-mail\nS 250 PIPELINING\n"
                             "E broken STARTTLS 0 TLS is required, but was not offered by host\n");
    client_peer_run("the name of the host is no keyword",
                    REQUIRED "S 250 STARTTLS\n"
                             "E broken STARTTLS 0 TLS is required, but was not offered by host\n");
    client_peer_run("not believed",
                    "D set discard starttls\n" REQUIRED "S 250-mail\nS 250 STARTTLS\n"
                    "E broken STARTTLS 0 TLS is required, but was not offered by host\n");
    client_peer_run("not believed, may",
                    "D set discard starttls\n" MAY "S 250-mail\nS 250 STARTTLS\nE idle\n");
}

static void test_refused(void **state)
{
    static const char *const replies[] = {"454 4.7.0 not now", "502 5.5.1 what?", "501 5.5.4 no",
                                          "554 5.7.3 never"};
    char script[1024];

    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        snprintf(script, sizeof script,
                 MAY OFFERED "S %s\nE idle\nD begin 0 1\nC MAIL FROM:<bob@example.net>\n"
                             "C RCPT TO:<r0@example.com>\nC DATA\n",
                 replies[i]);
        client_peer_run(replies[i], script);
        snprintf(script, sizeof script,
                 REQUIRED OFFERED
                 "S %s\nE broken STARTTLS %.3s TLS is required, but host refused to "
                 "start TLS: %s\n",
                 replies[i], replies[i], replies[i]);
        client_peer_run(replies[i], script);
    }
}

/* No refusal: whatever is wanted, this session is over. */
static void test_neither_yes_nor_no(void **state)
{
    static const char *const wants[] = {MAY, REQUIRED};
    char script[1024];

    for (size_t i = 0; i < 2; i++) {
        snprintf(script, sizeof script,
                 "%s" OFFERED "S 421 4.3.2 bye\nE broken STARTTLS 421 host said: "
                 "421 4.3.2 bye (in reply to STARTTLS command)\n",
                 wants[i]);
        client_peer_run("421", script);
        snprintf(script, sizeof script,
                 "%s" OFFERED "S 354 go\nE broken STARTTLS 354 unexpected "
                 "reply: 354 go (in reply to STARTTLS command)\n",
                 wants[i]);
        client_peer_run("354", script);
        snprintf(script, sizeof script,
                 "%s" OFFERED "S hello\nE broken STARTTLS 0 malformed reply: hello "
                 "(in reply to STARTTLS command)\n",
                 wants[i]);
        client_peer_run("no reply", script);
        snprintf(script, sizeof script,
                 "%s" OFFERED "D fail host closed the connection\n"
                 "E broken STARTTLS 0 host closed the connection\n",
                 wants[i]);
        client_peer_run("closed", script);
        snprintf(script, sizeof script,
                 "%s" OFFERED "S 220 go\nE starttls\nD fail no handshake\n"
                 "E broken TLS 0 no handshake\nD secured\n",
                 wants[i]);
        client_peer_run("handshake failed", script);
    }
}

/* CVE-2021-33515 and its family: bytes that come with the 220 were in nobody's protection. */
static void test_injection(void **state)
{
    static const char *const behind[] = {
        "S 250 mail\n", "s 2\n",      "s 250-\n",    "S \n",
        "s  \n",        "S 220 go\n", "S 421 bye\n", "S 250-a\nS 250 b\n"};
    char script[1024];
    static struct client_peer p;

    for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
        client_peer_init(&p);
        snprintf(script, sizeof script, REQUIRED OFFERED "S 220 go\n%s", behind[i]);
        p.lenient = true;
        client_peer_play(&p, behind[i], script, SIZE_MAX);
        if (p.broken != 1 || p.broken_step != CLIENT_STEP_STARTTLS || p.steps[CLIENT_STEP_TLS] != 0)
            fail_msg("%s: %s", behind[i], client_peer_take(&p));
        client_peer_deinit(&p);
    }
    client_peer_run_cut(
        "said",
        REQUIRED OFFERED
        "S 220 go\nS 250 mail\n"
        "E broken STARTTLS 250 host said without being asked: 250 mail (in reply to "
        "STARTTLS command)\n",
        CLIENT_PEER_WHOLE);
}

/* While the handshake is on, nothing is said to the engine. */
static void test_bytes_during_the_handshake(void **state)
{
    client_peer_run(__func__, MAY OFFERED
                    "S 220 go\nE starttls\ns 2\n"
                    "E broken TLS 0 host spoke in clear text during the TLS handshake\n");
}

static void test_hello_refused_inside(void **state)
{
    client_peer_run(__func__,
                    "D set fallback\n" MAY OFFERED SECURED
                    "S 500 what?\nE broken HELLO 500 host refused to talk to me: 500 what?\n");
}

static void test_each_step_has_its_time(void **state)
{
    client_peer_run(__func__, "D steps\nD set tls required\nD start\nE await GREETING\n"
                              "S 220 mail\nE await HELLO\nC LHLO gw.example.com\n"
                              "S 250-mail\nS 250 STARTTLS\nE await STARTTLS\nC STARTTLS\n"
                              "S 220 go\nE await TLS\nE starttls\n"
                              "D secured\nE await HELLO\nC LHLO gw.example.com\n"
                              "S 250 mail\nE await IDLE\nE idle\n");
}

/* The session may end in any callback. */
static void test_end_in_every_callback(void **state)
{
    static struct client_peer p;
    unsigned calls;

    client_peer_init(&p);
    client_peer_play(&p, "all", REQUIRED OFFERED SECURED "S 250 mail\nE idle\n", SIZE_MAX);
    calls = p.calls;
    client_peer_deinit(&p);
    for (unsigned at = 1; at <= calls; at++) {
        client_peer_init(&p);
        p.fail_at = at;
        p.lenient = true;
        client_peer_play(&p, "one", REQUIRED OFFERED SECURED "S 250 mail\nE idle\n", SIZE_MAX);
        assert_int_equal(p.broken, 1);
        client_peer_deinit(&p);
    }
}

static void test_words(void **state)
{
    assert_string_equal(client_step_words(CLIENT_STEP_STARTTLS, CLIENT_LMTP), "STARTTLS command");
    assert_string_equal(client_step_words(CLIENT_STEP_TLS, CLIENT_SMTP), "TLS handshake");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offered_and_wanted),
        cmocka_unit_test(test_what_was_said_before_is_forgotten),
        cmocka_unit_test(test_a_mail_inside),
        cmocka_unit_test(test_xclient_after_it),
        cmocka_unit_test(test_not_offered),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_neither_yes_nor_no),
        cmocka_unit_test(test_injection),
        cmocka_unit_test(test_bytes_during_the_handshake),
        cmocka_unit_test(test_hello_refused_inside),
        cmocka_unit_test(test_each_step_has_its_time),
        cmocka_unit_test(test_end_in_every_callback),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
