/* relay/client: AUTH, and what to do where there is none */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Masks: 1 LOGIN, 2 PLAIN, 4 XOAUTH2. */
#define INSIDE   "D set smtp\nD set out\nD set wrapped\nD set login 0 3\n"
#define TOKEN    "D set smtp\nD set out\nD set wrapped\nD set login 0 4\n"
#define HELLO    "D start\nS 220 mail\nC EHLO gw.example.com\n"
#define OFFERED  "S 250-mail\nS 250 AUTH PLAIN LOGIN XOAUTH2\nE login\n"
#define ANN      "D login ann secret\n"
#define PLAIN    "C AUTH PLAIN AGFubgBzZWNyZXQ=\n"
#define XOAUTH2  "C AUTH XOAUTH2 dXNlcj1hbm4BYXV0aD1CZWFyZXIgc2VjcmV0AQE=\n"
#define FAILED   "SASL authentication failed; server host "
#define ONE_MAIL "D begin 0 1\nC MAIL FROM:<bob@example.net>\n"

static void test_plain(void **state)
{
    client_peer_run(__func__,
                    INSIDE HELLO OFFERED ANN PLAIN "S 235 2.7.0 welcome\nE idle\n" ONE_MAIL);
    client_peer_run("in several lines",
                    INSIDE HELLO OFFERED ANN PLAIN "S 235-hello\nS 235 welcome\nE idle\n" ONE_MAIL);
}

static void test_login(void **state)
{
    client_peer_run(__func__, INSIDE HELLO "S 250-mail\nS 250 auth login digest-md5\nE login\n" ANN
                                           "C AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC YW5u\n"
                                           "S 334 UGFzc3dvcmQ6\nC c2VjcmV0\n"
                                           "S 235 2.7.0 welcome\nE idle\n" ONE_MAIL);
    client_peer_run("bare challenges", INSIDE HELLO "S 250 mail\nE broken AUTH 0 " FAILED
                                                    "did not offer AUTH, and a login is set\n");
    client_peer_run("a bare 334", INSIDE HELLO "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN
                                               "C AUTH LOGIN\nS 334\nC YW5u\nS 334 \nC c2VjcmV0\n"
                                               "S 235 ok\nE idle\n");
}

static void test_xoauth2(void **state)
{
    client_peer_run(__func__, TOKEN HELLO OFFERED ANN XOAUTH2 "S 235 ok\nE idle\n" ONE_MAIL);
    client_peer_run("refused", TOKEN HELLO OFFERED ANN XOAUTH2
                    "S 334 eyJzdGF0dXMiOiI0MDEifQ==\nC \n"
                    "S 535 5.7.8 no\nE broken AUTH 535 " FAILED "said: 535 5.7.8 no\n");
    client_peer_run("refused without a challenge", TOKEN HELLO OFFERED ANN XOAUTH2
                    "S 535 5.7.3 no\nE broken AUTH 535 " FAILED "said: 535 5.7.3 no\n");
    client_peer_run("refused, then taken", TOKEN HELLO OFFERED ANN XOAUTH2
                    "S 334 eyJ9\nC \nS 235 ok\nE broken AUTH 235 " FAILED
                    "gave an unexpected reply: 235 ok (in reply to AUTH command)\n");
    client_peer_run("challenges without end", TOKEN HELLO OFFERED ANN XOAUTH2
                    "S 334 eyJ9\nC \nS 334 eyJ9\nE broken AUTH 334 " FAILED
                    "gave an unexpected reply: 334 eyJ9 (in reply to AUTH command)\n");
}

/* A line of SMTP has 512 bytes; what does not fit comes after a 334. */
static void test_long_secret(void **state)
{
    static struct client_peer p;
    const char *got;

    client_peer_init(&p);
    client_peer_play(&p, __func__, TOKEN HELLO OFFERED "D login ann *\nC AUTH XOAUTH2\n", SIZE_MAX);
    client_input(&p.client, SPAN_LIT("334 \r\n"));
    got = client_peer_take(&p);
    assert_int_equal(strncmp(got, "C dXNlcj1hbm4BYXV0aD1CZWFyZXIgeHh4", 34), 0);
    assert_int_equal(strlen(got), 2 + (9 + 13 + 1100 + 2 - 1 + 2) / 3 * 4 + 1);
    client_input(&p.client, SPAN_LIT("334 eyJ9\r\n")); /* the error */
    assert_string_equal(client_peer_take(&p), "C \n");
    client_input(&p.client, SPAN_LIT("535 5.7.8 no\r\n"));
    assert_int_equal(p.broken, 1);
    client_peer_deinit(&p);
}

static void test_order_of_preference(void **state)
{
    client_peer_run("both",
                    "D set smtp\nD set wrapped\nD set login 0 7\n" HELLO OFFERED ANN XOAUTH2);
    client_peer_run("plain is off", "D set smtp\nD set wrapped\nD set login 0 1\n" HELLO OFFERED ANN
                                    "C AUTH LOGIN\n");
}

static void test_words_of_the_offer(void **state)
{
    static const char *const offers[] = {
        "AUTH=PLAIN", "AUTH=PLAIN LOGIN",    "AUTH=LOGIN PLAIN", "auth=login plain",
        "AUTH PLAIN", "AUTH CRAM-MD5 PLAIN", "AUTH LOGIN plain", "AUTH  PLAIN "};
    static const char *const none[] = {"AUTH",        "AUTH=",       "AUTH XPLAIN", "AUTH PLAIN1",
                                       "AUTHX PLAIN", "AUTH GSSAPI", "XAUTH PLAIN", "PLAIN"};
    char script[1024];

    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        snprintf(script, sizeof script, INSIDE HELLO "S 250-mail\nS 250 %s\nE login\n" ANN PLAIN,
                 offers[i]);
        client_peer_run(offers[i], script);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        bool said = strncmp(none[i], "AUTH", 4) == 0 && none[i][4] != 'X';

        snprintf(script, sizeof script,
                 INSIDE HELLO "S 250-mail\nS 250 %s\nE broken AUTH 0 " FAILED "%s\n", none[i],
                 said ? "offered no compatible authentication mechanisms for this type of "
                        "connection security"
                      : "did not offer AUTH, and a login is set");
        client_peer_run(none[i], script);
    }
}

/* What two lines offer counts together; the first line is the peer's name. */
static void test_offers_in_two_lines(void **state)
{
    client_peer_run(__func__, INSIDE HELLO
                    "S 250-mail\nS 250-AUTH LOGIN\nS 250 AUTH=PLAIN\nE login\n" ANN PLAIN);
    client_peer_run("name", INSIDE HELLO "S 250 AUTH PLAIN\nE broken AUTH 0 " FAILED
                                         "did not offer AUTH, and a login is set\n");
}

/* In clear text only what is allowed there; after STARTTLS the offer is what is said inside. */
static void test_clear_text(void **state)
{
    client_peer_run("never", "D set smtp\nD set out\nD set login 0 3\n" HELLO
                             "S 250-mail\nS 250 AUTH PLAIN\nE broken AUTH 0 " FAILED
                             "offered AUTH without TLS, and smtp_sasl_security_options forbids "
                             "passwords in clear text\n");
    client_peer_run("allowed",
                    "D set smtp\nD set out\nD set login 3 3\n" HELLO
                    "S 250-mail\nS 250 AUTH PLAIN\nE login\n" ANN PLAIN "S 235 ok\nE idle\n");
    client_peer_run("STARTTLS first",
                    "D set smtp\nD set out\nD set tls required\nD set login 3 3\n" HELLO
                    "S 250-mail\nS 250-AUTH PLAIN\nS 250 STARTTLS\nC STARTTLS\n"
                    "S 220 go\nE starttls\nD secured\nC EHLO gw.example.com\n"
                    "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN "C AUTH LOGIN\n");
    client_peer_run("STARTTLS refused, level may",
                    "D set smtp\nD set out\nD set tls may\nD set login 0 3\n" HELLO
                    "S 250-mail\nS 250-AUTH PLAIN\nS 250 STARTTLS\nC STARTTLS\n"
                    "S 454 no\nE broken AUTH 0 " FAILED
                    "offered AUTH without TLS, and smtp_sasl_security_options forbids passwords in "
                    "clear text\n");
    client_peer_run("not again inside a transaction",
                    "D set smtp\nD set xclient\nD set wrapped\nD set login 0 3\n" HELLO
                    "S 250-mail\nS 250-XCLIENT ADDR\nS 250 AUTH PLAIN\nE login\n" ANN PLAIN
                    "S 235 ok\nE idle\n"
                    "D begin 0 1\nC XCLIENT ADDR=192.0.2.9\nS 220 again\nC EHLO gw.example.com\n"
                    "S 250-mail\nS 250 AUTH PLAIN\nC MAIL FROM:<bob@example.net>\n");
}

static void test_no_login_no_auth(void **state)
{
    client_peer_run(__func__,
                    "D set smtp\nD set wrapped\n" HELLO "S 250-mail\nS 250 AUTH PLAIN\nE idle\n");
}

static void test_refused(void **state)
{
    static const char *const replies[] = {
        "535 5.7.8 wrong", "534 5.7.9 weak",  "538 5.7.11 TLS",    "454 4.7.0 not now",
        "530 5.7.0 no",    "500 5.5.1 what?", "501 5.5.2 base64?", "504 5.5.4 no",
        "503 5.5.1 no",    "535 no",          "550 5.7.1 no",      "432 4.7.12 no"};
    char script[1024];

    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        snprintf(script, sizeof script,
                 INSIDE HELLO OFFERED ANN PLAIN "S %s\nE broken AUTH %.3s " FAILED "said: %s\n",
                 replies[i], replies[i], replies[i]);
        client_peer_run(replies[i], script);
        snprintf(script, sizeof script,
                 INSIDE HELLO "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN
                              "C AUTH LOGIN\nS %s\nE broken AUTH %.3s " FAILED "said: %s\n",
                 replies[i], replies[i], replies[i]);
        client_peer_run(replies[i], script);
        snprintf(script, sizeof script,
                 INSIDE HELLO "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN
                              "C AUTH LOGIN\nS 334 x\nC YW5u\nS %s\nE broken AUTH %.3s " FAILED
                              "said: %s\n",
                 replies[i], replies[i], replies[i]);
        client_peer_run(replies[i], script);
    }
}

static void test_neither_yes_nor_no(void **state)
{
    client_peer_run("421", INSIDE HELLO OFFERED ANN PLAIN
                    "S 421 4.7.0 bye\nE broken AUTH 421 host said: 421 4.7.0 bye (in reply to AUTH "
                    "command)\n");
    client_peer_run("334 after all of PLAIN", INSIDE HELLO OFFERED ANN PLAIN
                    "S 334 more\nE broken AUTH 334 " FAILED
                    "gave an unexpected reply: 334 more (in reply to AUTH command)\n");
    client_peer_run("354", INSIDE HELLO OFFERED ANN PLAIN
                    "S 354 go\nE broken AUTH 354 " FAILED
                    "gave an unexpected reply: 354 go (in reply to AUTH command)\n");
    client_peer_run("235 before the password", INSIDE HELLO
                    "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN
                    "C AUTH LOGIN\nS 334 x\nC YW5u\nS 235 ok\nE broken AUTH 235 " FAILED
                    "gave an unexpected reply: 235 ok (in reply to AUTH command)\n");
    client_peer_run(
        "a third challenge", INSIDE HELLO
        "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN
        "C AUTH LOGIN\nS 334 x\nC YW5u\nS 334 x\nC c2VjcmV0\nS 334 y\nE broken AUTH 334 " FAILED
        "gave an unexpected reply: 334 y (in reply to AUTH command)\n");
    client_peer_run("no reply", INSIDE HELLO OFFERED ANN PLAIN
                    "S AGFubgBzZWNyZXQ=\nE broken AUTH 0 malformed reply (in reply to AUTH "
                    "command)\n");
    client_peer_run("closed", INSIDE HELLO OFFERED ANN PLAIN
                    "D fail host closed the connection\nE broken AUTH 0 host closed the "
                    "connection\n");
}

/* Bytes behind a reply of the login would be taken for that to the next command. */
static void test_bytes_behind_a_reply(void **state)
{
    static const char *const behind[] = {"S 250 mail\n", "s 2\n",       "s 250-\n",          "S \n",
                                         "S 220 go\n",   "S 421 bye\n", "S 250-a\nS 250 b\n"};
    static const char *const before[] = {
        INSIDE HELLO "S 250-mail\nS 250 AUTH PLAIN\n", INSIDE HELLO OFFERED ANN PLAIN "S 235 ok\n",
        INSIDE HELLO "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN "C AUTH LOGIN\nS 334 x\n",
        TOKEN HELLO OFFERED ANN XOAUTH2 "S 334 x\n"};
    static struct client_peer p;
    char script[1024];

    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        for (size_t j = 0; j < sizeof behind / sizeof behind[0]; j++) {
            client_peer_init(&p);
            snprintf(script, sizeof script, "%s%s", before[i], behind[j]);
            p.lenient = true;
            client_peer_play(&p, behind[j], script, SIZE_MAX);
            if (p.broken != 1 || p.idle != 0)
                fail_msg("%s: %s", script, client_peer_take(&p));
            client_peer_deinit(&p);
        }
    }
}

/* While the owner looks for the login, nothing is asked. */
static void test_bytes_while_the_login_is_looked_for(void **state)
{
    client_peer_run(__func__, INSIDE HELLO OFFERED
                    "S 235 come in\nE broken AUTH 0 host said more than it was asked (in reply to "
                    "AUTH)\nD login ann secret\n");
    /* What comes with the 235 may repeat what is forgotten by then. */
    client_peer_run_cut("behind the end",
                        INSIDE HELLO OFFERED ANN PLAIN
                        "S 235 ok\nS 535 secret\n"
                        "E broken AUTH 0 host said more than it was asked (in reply to AUTH)\n",
                        CLIENT_PEER_WHOLE);
    client_peer_run("a part", INSIDE HELLO OFFERED
                    "s 23\n" ANN "E broken AUTH 0 host began a reply without being asked\n");
    client_peer_run("none", INSIDE HELLO OFFERED "D fail no token\nE broken AUTH 0 no token\n" ANN);
}

/* What a server repeats of the login is not passed on: to nobody, in no form. */
static void test_repeated(void **state)
{
    static const char *const replies[] = {
        "500 5.5.1 Unrecognized command 'AUTH PLAIN AGFubgBzZWNyZXQ='",
        "500 5.5.1 Unrecognized command 'AUTH PLAIN AGFubgBzZWNy",
        "535 5.7.8 password secret is wrong",
        "535 5.7.8 what is BzZWNyZXQ=AGFubgBzZWNyZ?",
        "421 4.7.0 AGFubgBzZWNyZXQ= again, bye",
        "334 AGFubgBzZWNyZXQ=",
        "535-5.7.8 no\r\n535 5.7.8 secret",
    };
    char script[1024];

    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        static struct client_peer p;
        const char *got;

        client_peer_init(&p);
        p.cut = CLIENT_PEER_BYTES;
        client_peer_play(&p, replies[i], INSIDE HELLO OFFERED ANN PLAIN, SIZE_MAX);
        snprintf(script, sizeof script, "%s\r\n", replies[i]);
        client_input(&p.client, span_of(script));
        got = client_peer_take(&p);
        if (p.broken != 1 || strstr(got, "secret") || strstr(got, "AGFub") ||
            !strstr(got, "(the rest repeats the login and is not shown)"))
            fail_msg("%s: %s", replies[i], got);
        assert_null(strstr(p.client.parser.reply.text, "secret"));
        assert_null(memmem(p.client.parser.line, sizeof p.client.parser.line, "secret", 6));
        client_peer_deinit(&p);
    }
    client_peer_run("code and enhanced code stay", INSIDE HELLO OFFERED ANN PLAIN
                    "S 535 5.7.8 secret\nE broken AUTH 535 " FAILED
                    "said: 535 5.7.8 (the rest repeats the login and is not shown)\n");
    client_peer_run("LOGIN's two parts",
                    INSIDE HELLO "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN
                                 "C AUTH LOGIN\nS 334 x\nC YW5u\nS 334 x\nC c2VjcmV0\n"
                                 "S 500 what is c2VjcmV0?\nE broken AUTH 500 " FAILED
                                 "said: 500 (the rest repeats the login and is not shown)\n");
}

static void test_each_step_has_its_time(void **state)
{
    client_peer_run(__func__, "D steps\n" TOKEN "D start\nE await GREETING\nS 220 mail\n"
                              "E await HELLO\nC EHLO gw.example.com\n"
                              "S 250-mail\nS 250 AUTH XOAUTH2\nE await AUTH\nE login\n" ANN XOAUTH2
                              "S 334 x\nE await AUTH\nC \n"
                              "S 535 no\nE broken AUTH 535 " FAILED "said: 535 no\n");
}

/* The session may end in any callback. */
static void test_end_in_every_callback(void **state)
{
    static const char script[] =
        INSIDE HELLO "S 250-mail\nS 250 AUTH LOGIN\nE login\n" ANN
                     "C AUTH LOGIN\nS 334 x\nC YW5u\nS 334 x\nC c2VjcmV0\nS 235 ok\nE idle\n";
    static struct client_peer p;
    unsigned calls;

    client_peer_init(&p);
    client_peer_play(&p, "all", script, SIZE_MAX);
    calls = p.calls;
    client_peer_deinit(&p);
    for (unsigned at = 1; at <= calls; at++) {
        client_peer_init(&p);
        p.fail_at = at;
        p.lenient = true;
        client_peer_play(&p, "one", script, SIZE_MAX);
        assert_int_equal(p.broken, 1);
        assert_null(p.client.login.secret.ptr);
        client_peer_deinit(&p);
    }
}

/* ---- HELO ---- */

static void test_helo(void **state)
{
    static const char *const refusals[] = {"500 what?", "502 no", "550 5.7.1 no", "501 x", "504 x"};
    char script[512];

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        snprintf(script, sizeof script,
                 "D set smtp\nD set out\n" HELLO
                 "S %s\nC HELO gw.example.com\nS 250 mail\nE idle\n" ONE_MAIL,
                 refusals[i]);
        client_peer_run(refusals[i], script);
    }
    client_peer_run("for a while",
                    "D set smtp\nD set out\n" HELLO
                    "S 450 later\nE broken HELLO 450 host refused to talk to me: 450 later\n");
    client_peer_run(
        "goodbye", "D set smtp\nD set out\n" HELLO "S 500 x\nC HELO gw.example.com\n"
                   "S 421 bye\nE broken HELLO 421 host said: 421 bye (in reply to HELO command)\n");
    client_peer_run("both refused",
                    "D set smtp\nD set out\n" HELLO "S 500 x\nC HELO gw.example.com\nS 554 y\n"
                    "E broken HELLO 554 host refused to talk to me: 554 y\n");
    client_peer_run("what was offered to nobody does not count",
                    "D set smtp\nD set out\n" HELLO
                    "S 500-PIPELINING\nS 500 PIPELINING\nC HELO gw.example.com\n"
                    "S 250-mail\nS 250 ok\nE idle\n" ONE_MAIL);
    client_peer_run("a login cannot be had", INSIDE HELLO
                    "S 500 x\nC HELO gw.example.com\nS 250 mail\n"
                    "E broken AUTH 0 " FAILED "did not offer AUTH, and a login is set\n");
    client_peer_run("TLS cannot be had",
                    "D set smtp\nD set out\nD set tls required\n" HELLO
                    "S 500 x\nC HELO gw.example.com\nS 250 mail\n"
                    "E broken STARTTLS 0 TLS is required, but was not offered by host\n");
}

/* In-house ones may speak LMTP: that comes first. */
static void test_helo_in_house(void **state)
{
    client_peer_run("LHLO first", "D set smtp\nD set fallback\n" HELLO
                                  "S 500 a\nC LHLO gw.example.com\nS 500 b\nC HELO gw.example.com\n"
                                  "S 250 mail\nE idle\n" ONE_MAIL);
    client_peer_run("none",
                    "D set smtp\nD set fallback\n" HELLO
                    "S 500 a\nC LHLO gw.example.com\nS 500 b\nC HELO gw.example.com\nS 500 c\n"
                    "E broken HELLO 500 wrong protocol: host answered EHLO with 500 a, and HELO "
                    "with 500 c\n");
    client_peer_run("a refusal",
                    "D set smtp\nD set fallback\n" HELLO "S 550 a\nC HELO gw.example.com\nS 550 b\n"
                    "E broken HELLO 550 host refused to talk to me: 550 b\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_xoauth2),
        cmocka_unit_test(test_long_secret),
        cmocka_unit_test(test_order_of_preference),
        cmocka_unit_test(test_words_of_the_offer),
        cmocka_unit_test(test_offers_in_two_lines),
        cmocka_unit_test(test_clear_text),
        cmocka_unit_test(test_no_login_no_auth),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_neither_yes_nor_no),
        cmocka_unit_test(test_bytes_behind_a_reply),
        cmocka_unit_test(test_bytes_while_the_login_is_looked_for),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_each_step_has_its_time),
        cmocka_unit_test(test_end_in_every_callback),
        cmocka_unit_test(test_helo),
        cmocka_unit_test(test_helo_in_house),
    };

    return cmocka_run_group_tests_name("relay_client_auth", tests, NULL, NULL);
}
