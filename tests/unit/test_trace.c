/* Tests of message/trace: golden Received headers; the header scan, whole and at every split. */
#include "message/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* ---- Received -------------------------------------------------------------- */

#define DATE "Sat, 22 Aug 2026 10:00:00 +0900 (JST)\r\n"

static struct envelope *make_envelope(const char *protocol, unsigned recipients)
{
    struct envelope *e = envelope_new();

    strcpy(e->id.text, "06401F3A9C2E7001");
    strcpy(e->client_name, "mail.example.org");
    strcpy(e->client_address, "203.0.113.9");
    strcpy(e->helo, "helo.example.org");
    strcpy(e->protocol, protocol);
    e->arrival_us = INT64_C(1787360400123456);
    for (unsigned i = 0; i < recipients; i++)
        assert_true(envelope_add_recipient(e, SPAN_LIT("ann@example.com"), 0, span_of(NULL)));
    return e;
}

static void check_received(struct envelope *e, const char *want)
{
    char buf[TRACE_RECEIVED_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    trace_received(&t, e, NULL, "mx.example.com", "Postfix");
    assert_false(t.overflow);
    assert_string_equal(buf, want);
    envelope_free(&e);
}

static void test_one_recipient(void **state)
{
    check_received(make_envelope("ESMTP", 1),
                   "Received: from helo.example.org (mail.example.org [203.0.113.9])\r\n"
                   "\tby mx.example.com (Postfix) with ESMTP id 06401F3A9C2E7001\r\n"
                   "\tfor <ann@example.com>; " DATE);
}

static void test_several_recipients(void **state)
{
    check_received(make_envelope("ESMTPS", 2),
                   "Received: from helo.example.org (mail.example.org [203.0.113.9])\r\n"
                   "\tby mx.example.com (Postfix) with ESMTPS id 06401F3A9C2E7001;\r\n"
                   "\t" DATE);
}

static void test_tls(void **state)
{
    struct envelope *e = make_envelope("ESMTPS", 1);
    struct tls_facts tls = {
        .protocol = "TLSv1.2", .cipher = "ECDHE-RSA-AES128-GCM-SHA256", .bits = 128};
    char buf[TRACE_RECEIVED_CAP];
    struct text t;

    text_init(&t, buf, sizeof buf);
    trace_received(&t, e, &(struct trace_client){.tls = &tls}, "mx.example.com", "Postfix");
    assert_string_equal(
        buf, "Received: from helo.example.org (mail.example.org [203.0.113.9])\r\n"
             "\t(using TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256 (128/128 bits))\r\n"
             "\t(No client certificate requested)\r\n"
             "\tby mx.example.com (Postfix) with ESMTPS id 06401F3A9C2E7001\r\n"
             "\tfor <ann@example.com>; " DATE);
    envelope_free(&e);
}

static void test_ipv6_and_unknown(void **state)
{
    struct envelope *e = make_envelope("ESMTP", 1);

    strcpy(e->client_name, "unknown");
    strcpy(e->client_address, "2001:db8::25");
    check_received(e, "Received: from helo.example.org (unknown [IPv6:2001:db8::25])\r\n"
                      "\tby mx.example.com (Postfix) with ESMTP id 06401F3A9C2E7001\r\n"
                      "\tfor <ann@example.com>; " DATE);
}

static void test_without_helo(void **state)
{
    struct envelope *e = make_envelope("SMTP", 2);

    e->helo[0] = '\0';
    check_received(e, "Received: from mail.example.org (mail.example.org [203.0.113.9])\r\n"
                      "\tby mx.example.com (Postfix) with SMTP id 06401F3A9C2E7001;\r\n"
                      "\t" DATE);
}

static void test_local(void **state)
{
    check_received(make_envelope("local", 1), "Received: by mx.example.com (Postfix)\r\n"
                                              "\tid 06401F3A9C2E7001; " DATE);
}

static void test_hostile_helo(void **state)
{
    struct envelope *e = make_envelope("ESMTP", 1);

    strcpy(e->helo, "a(b)c<d>e;f@g\"h\\i j\r\nX: y\t\x1b\x7f\xc3\xa9[1.2.3.4]_-");
    strcpy(e->client_name, "p(t)r\n");
    check_received(
        e, "Received: from a?b?c?d?e?f?g?h?i?j??X:?y?????[1.2.3.4]_- (p?t?r? [203.0.113.9])\r\n"
           "\tby mx.example.com (Postfix) with ESMTP id 06401F3A9C2E7001\r\n"
           "\tfor <ann@example.com>; " DATE);
}

static void test_recipient_bytes(void **state)
{
    static const char raw[] = "\"a b\"\xc3\xa9\r\n@example.com";
    struct envelope *e = make_envelope("ESMTP", 0);

    assert_true(envelope_add_recipient(e, span_of(raw), 0, span_of(NULL)));
    check_received(e, "Received: from helo.example.org (mail.example.org [203.0.113.9])\r\n"
                      "\tby mx.example.com (Postfix) with ESMTP id 06401F3A9C2E7001\r\n"
                      "\tfor <\"a b\"????@example.com>; " DATE);
    e = make_envelope("UTF8SMTPS", 0);
    assert_true(envelope_add_recipient(e, span_of(raw), 0, span_of(NULL)));
    check_received(e, "Received: from helo.example.org (mail.example.org [203.0.113.9])\r\n"
                      "\tby mx.example.com (Postfix) with UTF8SMTPS id 06401F3A9C2E7001\r\n"
                      "\tfor <\"a b\"\xc3\xa9??@example.com>; " DATE);
}

/* The longest parts there can be, and host names longer than there can be. */
static void test_always_fits(void **state)
{
    struct envelope *e = make_envelope("UTF8SMTPS", 0);
    struct tls_facts tls = {
        .protocol = "TLSv1.2", .cipher = "ECDHE-ECDSA-CHACHA20-POLY1305", .bits = 256};
    char address[SMTP_ADDRESS_CAP];
    char host[2000];
    char buf[TRACE_RECEIVED_CAP];
    struct text t;

    memset(e->client_name, 'c', sizeof e->client_name - 1);
    memset(e->client_address, ':', sizeof e->client_address - 1);
    memset(e->helo, 'h', sizeof e->helo - 1);
    memset(e->protocol, 'P', sizeof e->protocol - 1);
    memset(address, 'a', sizeof address - 1);
    address[sizeof address - 1] = '\0';
    memset(host, 'm', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    assert_true(envelope_add_recipient(e, span_of(address), 0, span_of(NULL)));
    text_init(&t, buf, sizeof buf);
    trace_received(&t, e, &(struct trace_client){.tls = &tls}, host, host);
    assert_false(t.overflow);
    assert_true(span_ends_nocase(text_as_span(&t), SPAN_LIT(DATE)));
    for (struct span rest = text_as_span(&t); rest.len > 0;) { /* RFC 5322 2.1.1 */
        size_t end = span_find(rest, '\n');

        assert_in_range(end, 2, 999);
        rest = span_from(rest, end + 1);
    }
    envelope_free(&e);
}

/* ---- header_scan ----------------------------------------------------------- */

struct row {
    const char *text;
    unsigned received;
    bool ended;
    const char *message_id;
};

static const struct row rows[] = {
    {"",                                                                             0, false, ""               },
    {"\r\n",                                                                         0, true,  ""               },
    {"\r\nReceived: x\r\n",                                                          0, true,  ""               },
    {"Received: from a\r\n\tby b; date\r\nSubject: x\r\n\r\nReceived: y\r\n",        1, true,  ""               },
    {"received: a\r\nRECEIVED: b\r\nReceived : c\r\nReceived\t: d\r\nReceived:\r\n", 5, false, ""               },
    {"Received-SPF: pass\r\nX-Received: by z\r\nReceive: q\r\nReceivedd: q\r\n",     0, false, ""               },
    {"Subject: Received: x\r\n Received: y\r\n\tReceived: z\r\n\r\n",                0, true,  ""               },
    {"no header at all\r\nReceived: x\r\n",                                          0, true,  ""               },
    {"From ann Sat Aug 22\r\nReceived: x\r\n",                                       0, true,  ""               },
    {" Received: folded onto nothing\r\nReceived: x\r\n",                            0, true,  ""               },
    {": no name\r\nReceived: x\r\n",                                                 0, true,  ""               },
    {"Na\xc3\xafme: x\r\nReceived: x\r\n",                                           0, true,  ""               },
    {"Subject: x\r\nReceived",                                                       0, false, ""               },
    {"Message-ID: <a@example.org>\r\n\r\n",                                          0, true,  "<a@example.org>"},
    {"message-id:<a@example.org>",                                                   0, false, "<a@example.org>"},
    {"MESSAGE-ID:\r\n <a@example.org>\r\nTo: x\r\n",                                 0, false, "<a@example.org>"},
    {"Message-Id: <a@exam\r\n ple.org>\r\n",                                         0, false, "<a@example.org>"},
    {"Message-ID: (see (below) \\) <x>) <a@b> tail <c@d>\r\n",                       0, false, "<a@b>"          },
    {"Message-ID: word more\r\n",                                                    0, false, "word"           },
    {"Message-ID: word more <a@b>\r\n",                                              0, false, "<a@b>"          },
    {"Message-ID: word\r\n\t<a@b>\r\n",                                              0, false, "<a@b>"          },
    {"Message-ID: word<a@b>\r\n",                                                    0, false, "<a@b>"          },
    {"Message-ID: word(c)more\r\n",                                                  0, false, "word"           },
    {"Message-ID: word\r\nMessage-ID: <a@b>\r\n",                                    0, false, "word"           },
    {"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n",                                   0, false, "<a@b>"          },
    {"Message-ID:\r\nMessage-ID: <c@d>\r\n",                                         0, false, "<c@d>"          },
    {"Message-ID: (no end\r\nMessage-ID: <c@d>\r\n",                                 0, false, "<c@d>"          },
    {"Message-ID: <no end\r\nReceived: <x>\r\n",                                     1, false, "<noend"         },
    {"Message-ID: <a\x1b[31m\xc3\xa9\x7f@b>\r\n",                                    0, false, "<a?[31m???@b>"  },
    {"Resent-Message-ID: <a@b>\r\nX-Message-ID: <c@d>\r\nMessage-IDs: <e@f>\r\n",    0, false, ""               },
    {"Message-ID-of-something-longer: <a@b>\r\n\r\n",                                0, true,  ""               },
    {"\r\nMessage-ID: <a@b>\r\n",                                                    0, true,  ""               },
};

static void check_scan(const struct header_scan *h, const struct row *row)
{
    if (h->received != row->received || h->ended != row->ended ||
        strcmp(h->message_id, row->message_id) != 0)
        fail_msg("\"%s\": received %u, ended %d, message-id \"%s\"", row->text, h->received,
                 h->ended, h->message_id);
}

static void test_scan_whole_and_at_every_split(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span text = span_of(rows[i].text);

        for (size_t cut = 0; cut <= text.len; cut++) {
            struct header_scan h;

            header_scan_init(&h, 100000);
            header_scan_feed(&h, span_first(text, cut));
            header_scan_feed(&h, span_from(text, cut));
            check_scan(&h, &rows[i]);
        }
    }
}

static void test_scan_byte_by_byte(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span text = span_of(rows[i].text);
        struct header_scan h;

        header_scan_init(&h, 100000);
        for (size_t at = 0; at < text.len; at++)
            header_scan_feed(&h, span_make(text.ptr + at, 1));
        check_scan(&h, &rows[i]);
    }
}

static void test_scan_counts_hops(void **state)
{
    for (unsigned hops = 49; hops <= 51; hops++) {
        struct header_scan h;

        header_scan_init(&h, 100000);
        for (unsigned i = 0; i < hops; i++)
            header_scan_feed(&h, SPAN_LIT("Received: from a\r\n\tby b; date\r\n"));
        header_scan_feed(&h, SPAN_LIT("Subject: x\r\n\r\nReceived: in the body\r\n"));
        assert_int_equal(h.received, hops);
    }
}

static void test_scan_limit(void **state)
{
    static const char text[] = "Subject: x\r\nReceived: y\r\n";
    size_t colon = sizeof "Subject: x\r\nReceived:" - 1;

    for (size_t limit = 0; limit <= sizeof text; limit++) {
        struct header_scan h;

        header_scan_init(&h, limit);
        header_scan_feed(&h, SPAN_LIT(text));
        assert_int_equal(h.received, limit >= colon);
        assert_int_equal(h.ended, limit < sizeof text - 1);
        assert_int_equal(h.seen, limit < sizeof text - 1 ? limit : sizeof text - 1);
    }
}

static void test_scan_cuts_a_long_message_id(void **state)
{
    char id[600];

    for (size_t len = TRACE_MESSAGE_ID_CAP - 4; len < TRACE_MESSAGE_ID_CAP + 3; len++) {
        struct header_scan h;
        size_t kept = len < TRACE_MESSAGE_ID_CAP - 1 ? len : TRACE_MESSAGE_ID_CAP - 1;

        memset(id, 'x', sizeof id);
        id[0] = '<';
        id[len - 1] = '>';
        header_scan_init(&h, 100000);
        header_scan_feed(&h, SPAN_LIT("Message-ID: "));
        header_scan_feed(&h, span_make(id, len));
        header_scan_feed(&h, SPAN_LIT("\r\n\r\n"));
        assert_int_equal(strlen(h.message_id), kept);
        assert_memory_equal(h.message_id, id, kept);
        assert_true(h.ended);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_recipient),
        cmocka_unit_test(test_several_recipients),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_ipv6_and_unknown),
        cmocka_unit_test(test_without_helo),
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_hostile_helo),
        cmocka_unit_test(test_recipient_bytes),
        cmocka_unit_test(test_always_fits),
        cmocka_unit_test(test_scan_whole_and_at_every_split),
        cmocka_unit_test(test_scan_byte_by_byte),
        cmocka_unit_test(test_scan_counts_hops),
        cmocka_unit_test(test_scan_limit),
        cmocka_unit_test(test_scan_cuts_a_long_message_id),
    };

    setenv("TZ", "JST-9", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
