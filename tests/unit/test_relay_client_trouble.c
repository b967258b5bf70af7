/* relay/client: goodbyes, garbage and closed connections at every step of a session */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Together they wait at every step: XCLIENT, a mail, a probe, a refused mail, and the end. */
static const char one_by_one[] =
    "D set xclient\nD start\nS 220 mail\nC LHLO gw.example.com\nS 250-mail\nS 250 XCLIENT PORT\n"
    "E idle\nD begin 0 2\nC XCLIENT PORT=51234\nS 220 mail\nC LHLO gw.example.com\nS 250 mail\n"
    "C MAIL FROM:<bob@example.net>\nS 250 ok\nC RCPT TO:<r0@example.com>\nS 250 ok\n"
    "C RCPT TO:<r1@example.com>\nS 250 ok\nC DATA\nS 354 go\nE body\nD body a\nC a\nD end\nC .\n"
    "S 250 ok\nE result 0 none END 250 ok\nS 250 ok\nE result 1 none END 250 ok\nE finished\n"
    "E idle\nD probe joe@example.com\nC MAIL FROM:<>\nS 250 ok\nC RCPT TO:<joe@example.com>\n"
    "S 550 no\nE result 0 recipient RCPT 550 no\nE finished\nC RSET\nS 250 ok\nE idle\n"
    "D quit\nC QUIT\nS 221 bye\nE broken QUIT 221 host said: 221 bye (in reply to QUIT command)\n";
static const char at_once[] =
    "D set eager\nD set smtp\nD set fallback\nD start\nS 220 mail\nC EHLO gw.example.com\n"
    "S 500 no\nC LHLO gw.example.com\nS 250-mail\nS 250 PIPELINING\nE idle\n"
    "C MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\nC RCPT TO:<r1@example.com>\nC "
    "DATA\n"
    "S 250 ok\nD may 0\nS 250 ok\nD may 0\nS 450 no\nE result 1 later RCPT 450 no\nS 354 go\nE "
    "body\nC ..hello\n"
    "C .\nS 250 ok\nE result 0 none END 250 ok\nE finished\nE idle\n"
    "C MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\nC RCPT TO:<r1@example.com>\nC "
    "DATA\n"
    "S 550 no\nE result 0 destination MAIL 550 no\nE result 1 destination MAIL 550 no\nE finished\n"
    "D may 0\nS 503 no\nD may 0\nS 503 no\nD may 0\nS 503 no\nC RSET\nS 250 ok\nE idle\n"
    "C MAIL FROM:<bob@example.net>\nC RCPT TO:<r0@example.com>\nC RCPT TO:<r1@example.com>\nC "
    "DATA\n"
    "S 250 ok\nD may 0\nS 550 no\nE result 0 recipient RCPT 550 no\nS 550 no\n"
    "E result 1 recipient RCPT 550 no\nE finished\nS 503 no\nC RSET\nS 250 ok\nE idle\n";
/* One reply for two recipients, to DATA and to the dot; a refusal with more to send after it. */
static const char for_all[] =
    "D set smtp\nD start\nS 220 mail\nC EHLO gw.example.com\nS 250 mail\nE idle\n"
    "D begin 0 2\nC MAIL FROM:<bob@example.net>\nS 250 ok\nC RCPT TO:<r0@example.com>\nS 250 ok\n"
    "C RCPT TO:<r1@example.com>\nS 250 ok\nC DATA\nS 451 no\nE result 0 later DATA 451 no\n"
    "E result 1 later DATA 451 no\nE finished\nC RSET\nS 250 ok\nE idle\n"
    "D begin 0 3\nC MAIL FROM:<bob@example.net>\nS 250 ok\nC RCPT TO:<r0@example.com>\nS 250 ok\n"
    "C RCPT TO:<r1@example.com>\nS 550 no\nE result 1 recipient RCPT 550 no\n"
    "C RCPT TO:<r2@example.com>\nS 250 ok\nC DATA\nS 354 go\nE body\nD end\nC .\nS 250 ok\n"
    "E result 0 none END 250 ok\nE result 2 none END 250 ok\nE finished\nE idle\n";
static const char *const scripts[] = {one_by_one, at_once, for_all};

static const struct {
    const char *bytes;
    size_t len;
} troubles[] = {
#define TROUBLE(s)                                                                                 \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }
    TROUBLE("421 4.3.2 shutting down\r\n"),
    TROUBLE("421-4.3.2 shutting\n421 4.3.2 down\n"),
    TROUBLE("521 5.3.2 no mail here\r\n"),
    TROUBLE("HTTP/1.1 400 Bad Request\r\n"),
    TROUBLE("\r\n"),
    TROUBLE("\n"),
    TROUBLE("25\r\n"),
    TROUBLE("250_ok\r\n"),
    TROUBLE("2500 ok\r\n"),
    TROUBLE("150 wait\r\n"),
    TROUBLE("199 ok\r\n"),
    TROUBLE("260 ok\r\n"),
    TROUBLE("650 ok\r\n"),
    TROUBLE(" 250 ok\r\n"),
    TROUBLE("250-ok\r\n251 ok\r\n"),
    TROUBLE("250-ok\r\nok\r\n"),
    TROUBLE("\0\0\0\0\r\n"),
    TROUBLE("\x16\x03\x01\x02\n"),
    TROUBLE("-ERR unknown command\r\n"),
    TROUBLE("* BAD unknown command\r\n"),
};

/* The session is over, and stays so whatever comes. */
static void check_over(struct client_peer *p)
{
    size_t sent = p->pending_len;

    assert_int_equal(p->broken, 1);
    assert_int_equal(p->client.step, CLIENT_STEP_BROKEN);
    client_input(&p->client, SPAN_LIT("250 ok\r\n"));
    client_body(&p->client, SPAN_LIT("a\r\n"));
    client_body_end(&p->client);
    client_fail(&p->client, "again");
    assert_int_equal(p->broken, 1);
    assert_int_equal(p->pending_len, sent);
}

/* Plays `pieces` of the script, then the trouble. False when the script has no more pieces. */
static bool play_then(const char *script, size_t pieces, struct span trouble, size_t cut)
{
    static struct client_peer p;
    enum client_step step;
    unsigned results[CLIENT_RCPT_MAX];

    client_peer_init(&p);
    client_peer_play(&p, script, script, pieces);
    if (p.broken > 0) {
        client_peer_deinit(&p);
        return false;
    }
    step = p.client.step;
    memcpy(results, p.results, sizeof results);
    client_peer_take(&p);
    client_input(&p.client, span_first(trouble, cut));
    client_input(&p.client, span_from(trouble, cut));
    assert_int_equal(p.broken_step, step);
    assert_memory_equal(results, p.results, sizeof results); /* it decides nothing about anybody */
    assert_memory_equal(client_peer_take(&p), "E broken", 8);
    check_over(&p);
    client_peer_deinit(&p);
    return p.piece_count == pieces;
}

static void test_trouble_at_every_step(void **state)
{
    for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
        struct span trouble = span_make(troubles[i].bytes, troubles[i].len);

        for (size_t cut = 0; cut < trouble.len; cut += trouble.len / 3 + 1) {
            for (size_t s = 0; s < sizeof scripts / sizeof scripts[0]; s++) {
                size_t pieces = 0;

                while (play_then(scripts[s], pieces, trouble, cut))
                    pieces++;
                assert_true(pieces > 10);
            }
        }
    }
}

/* Replies without end: a line, and lines. */
static void test_endless_replies(void **state)
{
    static char line[SMTP_REPLY_LINE_MAX + 2];
    static char lines[7 * (SMTP_REPLY_LINES_MAX + 1)];

    memset(line, '2', sizeof line);
    for (size_t i = 0; i < sizeof lines; i += 7)
        memcpy(lines + i, "250-a\r\n", 7);
    for (size_t s = 0; s < sizeof scripts / sizeof scripts[0]; s++) {
        for (size_t pieces = 0; play_then(scripts[s], pieces, span_make(line, sizeof line), 1);)
            pieces++;
        for (size_t pieces = 0; play_then(scripts[s], pieces, span_make(lines, sizeof lines), 1);)
            pieces++;
    }
}

/* The connection closes at every step; after the dot, and only there, the mail may be there. */
static void test_closed_at_every_step(void **state)
{
    static struct client_peer p;

    for (size_t s = 0; s < sizeof scripts / sizeof scripts[0]; s++) {
        for (size_t pieces = 0;; pieces++) {
            enum client_step step;

            client_peer_init(&p);
            client_peer_play(&p, scripts[s], scripts[s], pieces);
            step = p.client.step;
            client_fail(&p.client, "host closed the connection");
            assert_int_equal(client_may_be_sent(&p.client), step == CLIENT_STEP_END);
            check_over(&p);
            client_peer_deinit(&p);
            if (p.piece_count < pieces)
                break;
        }
    }
}

/* The session may end in any callback (a write fails): nothing more is called or looked at. */
static void test_failure_in_every_callback(void **state)
{
    static struct client_peer p;

    for (size_t s = 0; s < sizeof scripts / sizeof scripts[0]; s++) {
        for (unsigned at = 1;; at++) {
            unsigned calls;

            client_peer_init(&p);
            p.lenient = true;
            p.fail_at = at;
            client_peer_play(&p, scripts[s], scripts[s], SIZE_MAX);
            calls = p.calls;
            client_peer_deinit(&p);
            if (calls < at)
                break;
            assert_int_equal(calls, at);
            check_over(&p);
        }
    }
}

/* A send in the middle of a long pipelined batch fails: the envelope is gone by then. */
static void test_failure_in_a_batch(void **state)
{
    static struct client_peer p;

    for (unsigned at = 1; at < 40; at++) {
        client_peer_init(&p);
        p.lenient = true;
        for (size_t i = 0; i < p.envelope->recipient_count; i++) {
            char *address = malloc(400);

            assert_non_null(address);
            memset(address, 'r', 399);
            address[399] = '\0';
            free(p.envelope->recipients[i].address);
            p.envelope->recipients[i].address = address;
        }
        client_peer_play(&p, "batch", "D start\nS 220 x\n", SIZE_MAX);
        client_input(&p.client, SPAN_LIT("250-x\r\n250 PIPELINING\r\n"));
        p.fail_at = p.calls + at;
        client_peer_do(&p, "begin 0 50");
        if (p.broken > 0)
            check_over(&p);
        else
            assert_true(at > 6); /* all fifty in a few sends */
        client_peer_deinit(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trouble_at_every_step),
        cmocka_unit_test(test_endless_replies),
        cmocka_unit_test(test_closed_at_every_step),
        cmocka_unit_test(test_failure_in_every_callback),
        cmocka_unit_test(test_failure_in_a_batch),
    };

    return cmocka_run_group_tests_name("relay_client_trouble", tests, NULL, NULL);
}
