/* relay/client: exactly the parameters that the peer offered and the envelope has; addresses that
 * must not be sent */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GREETING "D start\nS 220 mail\n"

/* What the envelope has. */
enum want {
    WANT_8BIT = 1,
    WANT_UTF8 = 2,
    WANT_RET = 4,
    WANT_ENVID = 8,
    WANT_NOTIFY = 16,
    WANT_ORCPT = 32,
    WANT_ALL = 63,
};

static const char *const words[] = {
    "PIPELINING", "SIZE 99999",          "8BITMIME", "SMTPUTF8", "DSN", "XCLIENT ADDR SESSION",
    "STARTTLS",   "ENHANCEDSTATUSCODES", "CHUNKING"};
#define ALL_CAPABILITIES 511

static void fill_wants(struct envelope *e, unsigned wants)
{
    e->eight_bit = wants & WANT_8BIT;
    e->smtputf8 = wants & WANT_UTF8;
    e->ret = wants & WANT_RET ? SMTP_RET_HDRS : SMTP_RET_NONE;
    snprintf(e->envid, sizeof e->envid, "%s", wants & WANT_ENVID ? "QQ+2B314159" : "");
    for (size_t i = 0; i < 2; i++) {
        if (wants & WANT_NOTIFY)
            e->recipients[i].notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY;
        if (wants & WANT_ORCPT)
            e->recipients[i].orcpt = strdup("rfc822;ann+2Bx@example.com");
    }
}

static void say_hello(struct client_peer *p, unsigned can)
{
    char buf[1024];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_cstr(&t, "250-mail\r\n");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (can & (1U << i))
            text_printf(&t, "250-%s\r\n", words[i]);
    }
    text_cstr(&t, "250 HELP\r\n");
    client_input(&p->client, text_as_span(&t));
    assert_int_equal(p->client.can, can);
}

static void put_want(struct text *t, unsigned wants, unsigned want, unsigned can,
                     const char *words_sent)
{
    if ((wants & want) == want && can)
        text_cstr(t, words_sent);
}

static void put_expected(struct text *t, unsigned can, unsigned wants)
{
    unsigned dsn = can & CLIENT_CAN_DSN;

    text_cstr(t, "C MAIL FROM:<bob@example.net>");
    put_want(t, wants, 0, can & CLIENT_CAN_SIZE, " SIZE=1234");
    put_want(t, wants, WANT_8BIT, can & CLIENT_CAN_8BITMIME, " BODY=8BITMIME");
    put_want(t, wants, WANT_UTF8, can & CLIENT_CAN_SMTPUTF8, " SMTPUTF8");
    put_want(t, wants, WANT_RET, dsn, " RET=HDRS");
    put_want(t, wants, WANT_ENVID, dsn, " ENVID=QQ+2B314159");
    for (int i = 0; i < 2; i++) {
        text_printf(t, "\nC RCPT TO:<r%d@example.com>", i);
        put_want(t, wants, WANT_NOTIFY, dsn, " NOTIFY=SUCCESS,DELAY");
        put_want(t, wants, WANT_ORCPT, dsn, " ORCPT=rfc822;ann+2Bx@example.com");
    }
    text_cstr(t, "\nC DATA\n");
}

/* Replies 250 until DATA was sent; with pipelining that is at once, otherwise a line at a time. */
static void collect_commands(struct client_peer *p, unsigned can, struct text *sent)
{
    for (;;) {
        struct span part = span_of(client_peer_take(p));

        if (!(can & CLIENT_CAN_PIPELINING))
            assert_int_equal(span_find(part, '\n'), part.len - 1);
        text_span(sent, part);
        if (span_ends_nocase(part, SPAN_LIT("C DATA\n")))
            return;
        client_input(&p->client, SPAN_LIT("250 ok\r\n"));
    }
}

static void check_offered(unsigned can, unsigned wants, bool xclient)
{
    static struct client_peer p;
    char want_text[1024], sent_text[1024];
    struct text want, sent;

    text_init(&want, want_text, sizeof want_text);
    text_init(&sent, sent_text, sizeof sent_text);
    client_peer_init(&p);
    p.settings.xclient = xclient;
    fill_wants(p.envelope, wants);
    client_peer_play(&p, __func__, GREETING "C LHLO gw.example.com\n", SIZE_MAX);
    say_hello(&p, can);
    client_peer_take(&p);
    client_peer_do(&p, "begin 0 2");
    if (xclient && (can & CLIENT_CAN_XCLIENT)) {
        assert_string_equal(client_peer_take(&p),
                            "C XCLIENT ADDR=192.0.2.9 SESSION=0123456789ABCDEF\n");
        client_input(&p.client, SPAN_LIT("220 mail\r\n"));
        assert_string_equal(client_peer_take(&p), "C LHLO gw.example.com\n");
        say_hello(&p, can);
    }
    put_expected(&want, can, wants);
    collect_commands(&p, can, &sent);
    assert_string_equal(sent_text, want_text);
    client_peer_deinit(&p);
}

static void test_every_set_of_capabilities(void **state)
{
    uint32_t random = 12345;

    for (unsigned can = 0; can <= ALL_CAPABILITIES; can++) {
        random = random * 1664525 + 1013904223;
        check_offered(can, WANT_ALL, true);
        check_offered(can, 0, false);
        check_offered(can, random >> 8 & WANT_ALL, random >> 20 & 1);
        check_offered(can, random >> 14 & WANT_ALL, random >> 21 & 1);
    }
}

/* A probe has no parameters, but for an address that needs SMTPUTF8. */
static void test_probe_parameters(void **state)
{
    static struct client_peer p;

    for (int utf8 = 0; utf8 < 2; utf8++) {
        client_peer_init(&p);
        p.settings.xclient = true;
        client_peer_play(&p, __func__, GREETING "C LHLO gw.example.com\n", SIZE_MAX);
        say_hello(&p, ALL_CAPABILITIES);
        client_peer_take(&p);
        client_peer_do(&p, utf8 ? "probe j\xc3\xb6@example.com" : "probe joe@example.com");
        assert_string_equal(
            client_peer_take(&p),
            utf8 ? "C MAIL FROM:<> SMTPUTF8\nC RCPT TO:<j\xc3\xb6@example.com>\nC RSET\n"
                 : "C MAIL FROM:<>\nC RCPT TO:<joe@example.com>\nC RSET\n");
        client_peer_deinit(&p);
    }
}

/* The line of `verb` that a transaction with one recipient sends, everything being offered. */
static const char *line_of(struct client_peer *p, const char *verb)
{
    const char *at;

    client_peer_play(p, __func__, GREETING "C LHLO gw.example.com\n", SIZE_MAX);
    say_hello(p, ALL_CAPABILITIES & ~CLIENT_CAN_SIZE);
    client_peer_take(p);
    client_peer_do(p, "begin 0 1");
    at = strstr(client_peer_take(p), verb);
    assert_non_null(at);
    return at;
}

static void assert_starts(const char *line, const char *want)
{
    if (strncmp(line, want, strlen(want)) != 0)
        fail_msg("wanted %s, got %s", want, line);
}

static void test_notify(void **state)
{
    static struct client_peer p;
    static const struct {
        unsigned bits;
        const char *line;
    } notify[] = {
        {0,                                                             "RCPT TO:<r0@example.com>\n"               },
        {SMTP_NOTIFY_NEVER,                                             "RCPT TO:<r0@example.com> NOTIFY=NEVER\n"  },
        {SMTP_NOTIFY_NEVER | SMTP_NOTIFY_DELAY,                         "RCPT TO:<r0@example.com> NOTIFY=NEVER\n"  },
        {SMTP_NOTIFY_FAILURE,                                           "RCPT TO:<r0@example.com> NOTIFY=FAILURE\n"},
        {SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
         "RCPT TO:<r0@example.com> NOTIFY=SUCCESS,FAILURE,DELAY\n"                                                 },
    };

    for (size_t i = 0; i < sizeof notify / sizeof notify[0]; i++) {
        client_peer_init(&p);
        p.envelope->recipients[0].notify = notify[i].bits;
        assert_starts(line_of(&p, "RCPT"), notify[i].line);
        client_peer_deinit(&p);
    }
}

/* Values that would end the command, or that need SMTPUTF8 without it, are left out. */
static void test_unsafe_parameters_are_left_out(void **state)
{
    static struct client_peer p;
    static const char *const bad[] = {
        "rfc822;a b", "rfc822;a\r\nDATA", "rfc822;\x7f", "utf-8;\xc3\xbc", "\t", ""};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        client_peer_init(&p);
        p.envelope->ret = SMTP_RET_FULL;
        snprintf(p.envelope->envid, sizeof p.envelope->envid, "%s", bad[i]);
        p.envelope->recipients[0].orcpt = strdup(bad[i]);
        assert_starts(line_of(&p, "MAIL"),
                      "MAIL FROM:<bob@example.net> RET=FULL\nC RCPT TO:<r0@example.com>\n");
        client_peer_deinit(&p);
    }
    client_peer_init(&p);
    p.envelope->smtputf8 = true;
    p.envelope->recipients[0].orcpt = strdup("utf-8;\xc3\xbc");
    assert_starts(line_of(&p, "RCPT"), "RCPT TO:<r0@example.com> ORCPT=utf-8;\xc3\xbc\n");
    client_peer_deinit(&p);
}

static const char *const good_addresses[] = {
    "a@example.com", "\"a b\"@example.com",   "\"<>\"@example.com",   "\"a\\\"<b\"@example.com",
    "postmaster",    "j\xc3\xb6@example.com", "\"\\\\\"@example.com", "a@[192.0.2.1]",
};

static const char *const bad_addresses[] = {
    "a>@example.com",
    "a b@example.com",
    "<a@example.com",
    "a@example.com\r\nRCPT TO:<b@example.com",
    "a\n",
    "a\r",
    "\"a\n\"@example.com",
    "\"a@example.com",
    "\"a\\\"@example.com",
    "\"a\\\r\n\"@x",
    "a\x7f@example.com",
    "a\t@example.com",
    "\"a\"> x",
    "\"\\",
};

static bool is_sent(const char *sender, const char *recipient, const char *probe)
{
    static struct client_peer p;
    bool sent;

    client_peer_init(&p);
    client_peer_play(&p, __func__, GREETING "C LHLO gw.example.com\n", SIZE_MAX);
    say_hello(&p, CLIENT_CAN_PIPELINING);
    client_peer_take(&p);
    if (sender)
        assert_true(envelope_set_sender(p.envelope, span_of(sender)));
    if (recipient) {
        free(p.envelope->recipients[1].address);
        p.envelope->recipients[1].address = strdup(recipient);
    }
    if (probe) {
        p.t = (struct client_transaction){.count = 1, .probe_recipient = probe};
        client_begin(&p.client, &p.t);
    } else {
        client_peer_do(&p, "begin 0 3");
    }
    sent = p.pending_len > 0;
    assert_int_equal(p.broken, !sent);
    client_peer_deinit(&p);
    return sent;
}

static void test_addresses(void **state)
{
    char longest[SMTP_ADDRESS_CAP + 1];

    for (size_t i = 0; i < sizeof good_addresses / sizeof good_addresses[0]; i++) {
        assert_true(is_sent(good_addresses[i], NULL, NULL));
        assert_true(is_sent(NULL, good_addresses[i], NULL));
        assert_true(is_sent(NULL, NULL, good_addresses[i]));
    }
    for (size_t i = 0; i < sizeof bad_addresses / sizeof bad_addresses[0]; i++) {
        assert_false(is_sent(bad_addresses[i], NULL, NULL));
        assert_false(is_sent(NULL, bad_addresses[i], NULL));
        assert_false(is_sent(NULL, NULL, bad_addresses[i]));
    }
    assert_true(is_sent("", NULL, NULL));
    assert_false(is_sent(NULL, "", NULL));
    assert_false(is_sent(NULL, NULL, ""));
    memset(longest, 'a', sizeof longest);
    longest[SMTP_ADDRESS_CAP] = '\0';
    assert_false(is_sent(NULL, longest, NULL));
    longest[SMTP_ADDRESS_CAP - 1] = '\0';
    assert_true(is_sent(longest, longest, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_set_of_capabilities),
        cmocka_unit_test(test_probe_parameters),
        cmocka_unit_test(test_notify),
        cmocka_unit_test(test_unsafe_parameters_are_left_out),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests_name("relay_client_offered", tests, NULL, NULL);
}
