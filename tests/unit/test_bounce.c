/* Tests of message/bounce: golden reports, whom they are about, every split of the original,
 * hostile texts. */
#include "message/bounce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATE       "Sat, 22 Aug 2026 10:00:00 +0900 (JST)\r\n"
#define BOUNDARY   "06401F3A9C2E7001.00000000deadbeef/mx.example.com"
#define REPORT_CAP 65536

static const char original[] = "Received: from a\r\n\tby b\r\n"
                               "Subject: hello\r\n"
                               "\r\n"
                               "text\r\n"
                               "\r\n"
                               "more\r\n";
#define HEADER "Received: from a\r\n\tby b\r\nSubject: hello\r\n"

/* ---- a message and its report ---- */

struct world {
    struct envelope *about;
    struct envelope *report;
    struct bounce b;
};

static void add(struct world *w, const char *address, enum recipient_state state, const char *dsn,
                const char *reason)
{
    struct recipient *r;

    assert_true(envelope_add_recipient(w->about, span_of(address), 0, span_of(NULL)));
    r = &w->about->recipients[w->about->recipient_count - 1];
    r->state = state;
    strcpy(r->dsn, dsn);
    assert_true(recipient_set_reason(r, span_of(reason)));
}

static void setup(struct world *w, enum bounce_kind kind)
{
    memset(w, 0, sizeof *w);
    w->about = envelope_new();
    w->report = envelope_new();
    strcpy(w->about->id.text, "06401F3A9C2E6001");
    w->about->arrival_us = INT64_C(1787360400123456);
    assert_true(envelope_set_sender(w->about, SPAN_LIT("bob@example.net")));
    strcpy(w->report->id.text, "06401F3A9C2E7001");
    strcpy(w->report->protocol, "local");
    w->report->arrival_us = w->about->arrival_us;
    assert_true(envelope_add_recipient(w->report, SPAN_LIT("bob@example.net"), 0, span_of(NULL)));
    w->b = (struct bounce){.kind = kind,
                           .about = w->about,
                           .report = w->report,
                           .myhostname = "mx.example.com",
                           .mail_name = "Postfix",
                           .original_len = sizeof original - 1,
                           .size_limit = 50000,
                           .unique = 0xdeadbeef};
}

static void teardown(struct world *w)
{
    envelope_free(&w->about);
    envelope_free(&w->report);
}

static void append(struct text *out, struct span s)
{
    text_span(out, s);
    assert_false(out->overflow);
}

/* The original in pieces of `step` bytes. */
static const char *made_of(struct world *w, struct span bytes, size_t step)
{
    static char buf[REPORT_CAP];
    char piece_buf[BOUNCE_PIECE_CAP];
    struct text out, piece;
    enum bounce_step next;

    text_init(&out, buf, sizeof buf);
    text_init(&piece, piece_buf, sizeof piece_buf);
    bounce_begin(&w->b);
    while ((next = bounce_next(&w->b, &piece)) != BOUNCE_STEP_END) {
        assert_false(piece.overflow);
        if (next == BOUNCE_STEP_TEXT) {
            append(&out, text_as_span(&piece));
            continue;
        }
        for (struct span rest = bytes; rest.len > 0; rest = span_from(rest, step)) {
            struct span some = span_first(rest, step);
            size_t taken = bounce_take(&w->b, some);

            append(&out, span_first(some, taken));
            if (taken < some.len)
                break;
        }
    }
    assert_true(bounce_next(&w->b, &piece) == BOUNCE_STEP_END);
    return buf;
}

static const char *made(struct world *w)
{
    return made_of(w, span_of(original), sizeof original);
}

static void assert_has(const char *report, const char *part)
{
    if (!strstr(report, part))
        fail_msg("\"%s\" is not in:\n%s", part, report);
}

static void assert_has_not(const char *report, const char *part)
{
    if (strstr(report, part))
        fail_msg("\"%s\" is in:\n%s", part, report);
}

/* ---- golden ---- */

static void test_failure(void **state)
{
    struct world w;

    setup(&w, BOUNCE_FAILURE);
    add(&w, "ann@example.com", RECIPIENT_SENT, "2.0.0", "");
    add(&w, "nobody@example.com", RECIPIENT_FAILED, "5.1.1",
        "host up.example.net[192.0.2.1] said: 550 5.1.1 <nobody@example.com> User doesn't exist "
        "(in reply to RCPT TO command)");
    add(&w, "late@example.com", RECIPIENT_PENDING, "4.4.1", "connect to nowhere");
    assert_string_equal(
        made(&w), "Received: by mx.example.com (Postfix)\r\n\tid 06401F3A9C2E7001; " DATE
                  "Date: " DATE "From: Mail Delivery System <MAILER-DAEMON@mx.example.com>\r\n"
                  "Subject: Undelivered Mail Returned to Sender\r\n"
                  "To: bob@example.net\r\n"
                  "Auto-Submitted: auto-replied\r\n"
                  "Message-Id: <06401F3A9C2E7001@mx.example.com>\r\n"
                  "MIME-Version: 1.0\r\n"
                  "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                  "\tboundary=\"" BOUNDARY "\"\r\n"
                  "\r\n"
                  "This is a MIME-encapsulated message.\r\n"
                  "\r\n"
                  "--" BOUNDARY "\r\n"
                  "Content-Description: Notification\r\n"
                  "Content-Type: text/plain; charset=us-ascii\r\n"
                  "\r\n"
                  "This is the mail system at host mx.example.com.\r\n"
                  "\r\n"
                  "I'm sorry: your message could not be delivered to one or more of its\r\n"
                  "recipients. It is attached below.\r\n"
                  "\r\n"
                  "For further help, please write to postmaster, and include this report.\r\n"
                  "Your own text in the message attached may be left out.\r\n"
                  "\r\n"
                  "                   The mail system\r\n"
                  "\r\n"
                  "<nobody@example.com>: host up.example.net[192.0.2.1] said: 550 5.1.1\r\n"
                  "    <nobody@example.com> User doesn't exist (in reply to RCPT TO command)\r\n"
                  "\r\n"
                  "--" BOUNDARY "\r\n"
                  "Content-Description: Delivery report\r\n"
                  "Content-Type: message/delivery-status\r\n"
                  "\r\n"
                  "Reporting-MTA: dns; mx.example.com\r\n"
                  "X-Postfix-Queue-ID: 06401F3A9C2E6001\r\n"
                  "X-Postfix-Sender: rfc822; bob@example.net\r\n"
                  "Arrival-Date: " DATE "\r\n"
                  "Final-Recipient: rfc822; nobody@example.com\r\n"
                  "Original-Recipient: rfc822;nobody@example.com\r\n"
                  "Action: failed\r\n"
                  "Status: 5.1.1\r\n"
                  "Remote-MTA: dns; up.example.net\r\n"
                  "Diagnostic-Code: smtp; 550 5.1.1 <nobody@example.com> User doesn't exist\r\n"
                  "\r\n"
                  "--" BOUNDARY "\r\n"
                  "Content-Description: Undelivered Message\r\n"
                  "Content-Type: message/rfc822\r\n"
                  "\r\n"
                  "Return-Path: <bob@example.net>\r\n"
                  "Received: from a\r\n\tby b\r\nSubject: hello\r\n\r\ntext\r\n\r\nmore\r\n"
                  "\r\n"
                  "--" BOUNDARY "--\r\n");
    teardown(&w);
}

static void test_what_the_sender_gave_is_given_back(void **state)
{
    struct world w;
    struct recipient *r;
    const char *report;

    setup(&w, BOUNCE_FAILURE);
    add(&w, "nobody@example.com", RECIPIENT_FAILED, "5.1.1", "");
    r = &w.about->recipients[0];
    r->orcpt = strdup("rfc822;no+2Bbody+40example.org+0Dx+2");
    strcpy(w.about->envid, "QQ+3D31+zz+41");
    report = made(&w);
    assert_has(report, "\r\nOriginal-Envelope-Id: QQ=31+zzA\r\n");
    assert_has(report, "\r\nOriginal-Recipient: rfc822;no+body@example.org?x+2\r\n");
    assert_has(report, "\r\n<nobody@example.com>: no reason was recorded\r\n");
    assert_has_not(report, "Diagnostic-Code");
    teardown(&w);
}

static void test_expired(void **state)
{
    struct world w;
    const char *report;

    setup(&w, BOUNCE_FAILURE);
    w.b.expired = true;
    w.b.mail_name = "my mail";
    add(&w, "late@example.com", RECIPIENT_PENDING, "4.4.1",
        "connect to up.example.net[192.0.2.1]:24: Connection refused");
    add(&w, "dark@example.com", RECIPIENT_PENDING, "", "");
    report = made(&w);
    assert_has(report, "Action: failed\r\nStatus: 4.4.1\r\nDiagnostic-Code: X-my-mail; connect to "
                       "up.example.net[192.0.2.1]:24:\r\n    Connection refused\r\n\r\n");
    assert_has(report, "Final-Recipient: rfc822; dark@example.com\r\n"
                       "Original-Recipient: rfc822;dark@example.com\r\n"
                       "Action: failed\r\nStatus: 4.0.0\r\n\r\n");
    assert_has_not(report, "Remote-MTA");
    teardown(&w);
}

static void test_delay(void **state)
{
    struct world w;
    const char *report;

    setup(&w, BOUNCE_DELAY);
    w.b.age_ms = 4 * 3600000;
    w.b.lifetime_ms = 5 * 86400000;
    add(&w, "late@example.com", RECIPIENT_PENDING, "4.2.2", "full");
    report = made(&w);
    assert_has(report, "Subject: Delayed Mail (still being retried)\r\n");
    assert_has(report, "for more than 4 hours.\r\nIt will be tried again until it is 5 days old.");
    assert_has(report, "Content-Description: Delivery report\r\n");
    assert_has(report, "Action: delayed\r\nStatus: 4.2.2\r\n");
    assert_has(report, "Will-Retry-Until: Thu, 27 Aug 2026 10:00:00 +0900 (JST)\r\n");
    assert_has(report, "Content-Description: Undelivered Message Headers\r\n"
                       "Content-Type: text/rfc822-headers\r\n\r\n"
                       "Return-Path: <bob@example.net>\r\n" HEADER "\r\n--" BOUNDARY "--\r\n");
    teardown(&w);
}

static void test_periods(void **state)
{
    struct world w;

    setup(&w, BOUNCE_DELAY);
    add(&w, "late@example.com", RECIPIENT_PENDING, "", "");
    w.b.age_ms = 90000;
    w.b.lifetime_ms = 3600000;
    assert_has(made(&w), "more than 90 seconds.\r\nIt will be tried again until it is 1 hour old.");
    w.b.age_ms = 1500;
    w.b.lifetime_ms = 60000;
    assert_has(made(&w), "more than 1 second.\r\nIt will be tried again until it is 1 minute old.");
    teardown(&w);
}

static void test_success(void **state)
{
    struct world w;
    const char *report;

    setup(&w, BOUNCE_SUCCESS);
    add(&w, "ann@example.com", RECIPIENT_SENT, "", "");
    add(&w, "joe@example.com", RECIPIENT_SENT, "2.1.5",
        "delivery via mail.example.com[192.0.2.1]:24: 250 2.1.5 <joe@example.com> Saved");
    add(&w, "sue@example.com", RECIPIENT_SENT, "2.0.0",
        "delivery via /run/lmtp[/run/lmtp]: 250 2.0.0 Saved");
    add(&w, "tom@example.com", RECIPIENT_SENT, "2.0.0", "delivered to maildir");
    add(&w, "passed@example.com", RECIPIENT_SENT, "2.0.0", "");
    add(&w, "told@example.com", RECIPIENT_SENT, "2.0.0", "");
    for (size_t i = 0; i < 6; i++) {
        w.about->recipients[i].notify = SMTP_NOTIFY_SUCCESS;
        w.about->recipients[i].owes = i == 0   ? RECIPIENT_OWES_RELAYED
                                      : i == 4 ? RECIPIENT_OWES_NOTHING
                                               : RECIPIENT_OWES_DELIVERED;
    }
    w.about->recipients[5].told = true;
    report = made(&w);
    assert_has(report, "Subject: Successful Mail Delivery Report\r\n");
    assert_has(report, "<ann@example.com>: delivery to the mail system of the recipient succeeded");
    assert_has(report, "Action: relayed\r\nStatus: 2.0.0\r\n");
    assert_has(report,
               "<joe@example.com>: delivery via mail.example.com[192.0.2.1]:24: 250 2.1.5\r\n"
               "    <joe@example.com> Saved\r\n");
    assert_has(report, "Action: delivered\r\nStatus: 2.1.5\r\nRemote-MTA: dns; mail.example.com\r\n"
                       "Diagnostic-Code: smtp; 250 2.1.5 <joe@example.com> Saved\r\n");
    assert_has(report, "Remote-MTA: dns; /run/lmtp\r\nDiagnostic-Code: smtp; 250 2.0.0 Saved\r\n");
    assert_has(report, "Diagnostic-Code: X-Postfix; delivered to maildir\r\n");
    assert_has(report, "Content-Description: Message Headers\r\n");
    assert_has_not(report, "passed@");
    assert_has_not(report, "told@");
    teardown(&w);
}

static void test_notice(void **state)
{
    struct world w;
    const char *report;

    setup(&w, BOUNCE_NOTICE);
    add(&w, "full@example.com", RECIPIENT_FAILED, "5.2.2", "over quota");
    w.b.untold = "there is no route to bob@example.net";
    report = made(&w);
    assert_has(report, "Subject: Postmaster Notice: Undelivered Mail on Hold\r\n");
    assert_has(report, "sender was not told: there is no route to bob@example.net.\r\n");
    assert_has(report, "    postsuper -r 06401F3A9C2E6001   tries it again\r\n");
    assert_has(report, "    mxgate resend 06401F3A9C2E6001 to ADDRESS\r\n");
    assert_has(report, "<full@example.com>: over quota\r\n");
    assert_has(report, "Content-Description: Undelivered Message Headers\r\n");
    assert_has_not(report, "too many");
    assert_has_not(report, "further help");
    w.b.unnoticed = 7;
    assert_has(made(&w), "too many to tell of each: 7.\r\n");
    teardown(&w);
}

/* ---- whom it is about ---- */

static void test_notify(void **state)
{
    static const struct {
        unsigned notify;
        bool failure, delay, success;
    } rows[] = {
        {0,                                         true,  true,  false},
        {SMTP_NOTIFY_NEVER,                         false, false, false},
        {SMTP_NOTIFY_FAILURE,                       true,  false, false},
        {SMTP_NOTIFY_DELAY,                         false, true,  false},
        {SMTP_NOTIFY_SUCCESS,                       false, false, true },
        {SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,   true,  true,  false},
        {SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE, true,  false, true },
    };
    static const enum recipient_state states[] = {RECIPIENT_PENDING, RECIPIENT_SENT,
                                                  RECIPIENT_FAILED, RECIPIENT_ELSEWHERE};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < 4; k++) {
            struct recipient r = {
                .notify = rows[i].notify, .state = states[k], .owes = RECIPIENT_OWES_DELIVERED};
            bool failed = states[k] == RECIPIENT_FAILED;
            bool pending = states[k] == RECIPIENT_PENDING;
            bool sent = states[k] == RECIPIENT_SENT;

            assert_int_equal(bounce_concerns(BOUNCE_FAILURE, false, &r), failed && rows[i].failure);
            assert_int_equal(bounce_concerns(BOUNCE_FAILURE, true, &r),
                             (failed || pending) && rows[i].failure);
            assert_int_equal(bounce_concerns(BOUNCE_NOTICE, false, &r), failed && rows[i].failure);
            assert_int_equal(bounce_concerns(BOUNCE_DELAY, false, &r), pending && rows[i].delay);
            assert_int_equal(bounce_concerns(BOUNCE_SUCCESS, false, &r), sent && rows[i].success);
        }
    }
}

static void test_count_and_all_named(void **state)
{
    struct world w;
    const char *report;

    setup(&w, BOUNCE_FAILURE);
    add(&w, "a@example.com", RECIPIENT_FAILED, "5.1.1", "one");
    add(&w, "b@example.com", RECIPIENT_FAILED, "5.1.2", "two");
    add(&w, "c@example.com", RECIPIENT_FAILED, "5.1.3", "three");
    w.about->recipients[1].notify = SMTP_NOTIFY_NEVER;
    assert_int_equal(bounce_count(BOUNCE_FAILURE, false, w.about), 2);
    report = made(&w);
    assert_has(report, "<a@example.com>: one\r\n\r\n<c@example.com>: three\r\n\r\n--");
    assert_has(report, "Status: 5.1.1");
    assert_has(report, "Status: 5.1.3");
    assert_has_not(report, "b@example.com");
    teardown(&w);
}

/* ---- the original ---- */

static void check_every_split(struct world *w, const char *bytes)
{
    char *want = strdup(made_of(w, span_of(bytes), strlen(bytes)));

    for (size_t step = 1; step < strlen(bytes); step++)
        assert_string_equal(made_of(w, span_of(bytes), step), want);
    free(want);
}

static void test_every_split(void **state)
{
    struct world w;

    setup(&w, BOUNCE_FAILURE);
    add(&w, "a@example.com", RECIPIENT_FAILED, "5.1.1", "one");
    check_every_split(&w, original);
    w.about->ret = SMTP_RET_HDRS;
    check_every_split(&w, original);
    assert_has(made(&w), "Content-Description: Undelivered Message Headers\r\n"
                         "Content-Type: text/rfc822-headers\r\n\r\n"
                         "Return-Path: <bob@example.net>\r\n" HEADER "\r\n--" BOUNDARY "--\r\n");
    w.about->ret = SMTP_RET_FULL;
    for (w.b.size_limit = 0; w.b.size_limit <= sizeof original; w.b.size_limit++)
        check_every_split(&w, original);
    teardown(&w);
}

static void test_size_limit(void **state)
{
    struct world w;

    setup(&w, BOUNCE_FAILURE);
    add(&w, "a@example.com", RECIPIENT_FAILED, "5.1.1", "one");
    w.b.size_limit = w.b.original_len;
    assert_has(made(&w), "\r\nmore\r\n\r\n--");
    w.b.size_limit = w.b.original_len - 1;
    assert_has(made(&w), HEADER "\r\n--" BOUNDARY "--");
    w.b.size_limit = 1; /* of a long header a whole line is shown */
    assert_has(made(&w), "Received: from a\r\n\r\n--" BOUNDARY "--");
    w.b.size_limit = 0;
    assert_has(made(&w), "Return-Path: <bob@example.net>\r\n\r\n--" BOUNDARY "--");
    teardown(&w);
}

/* A header that is one endless line is cut all the same, and never between CR and LF. */
static void test_header_without_an_end(void **state)
{
    static char endless[8192];
    struct world w;

    setup(&w, BOUNCE_FAILURE);
    add(&w, "a@example.com", RECIPIENT_FAILED, "5.1.1", "one");
    memset(endless, 'x', sizeof endless - 1);
    w.b.original_len = sizeof endless - 1;
    w.b.size_limit = 10;
    assert_true(strlen(made_of(&w, span_of(endless), 100)) < 3000);
    assert_has(made_of(&w, span_of(endless), 7), "xxx\r\n\r\n--" BOUNDARY "--\r\n");
    for (size_t at = 1025; at < 1042; at++) {
        endless[at] = '\r';
        endless[at + 1] = '\n';
        assert_has_not(made_of(&w, span_of(endless), 64), "\r\r");
        assert_has_not(made_of(&w, span_of(endless), 64), "x\r--");
        endless[at] = endless[at + 1] = 'x';
    }
    teardown(&w);
}

static void test_empty_original(void **state)
{
    struct world w;

    setup(&w, BOUNCE_FAILURE);
    add(&w, "a@example.com", RECIPIENT_FAILED, "5.1.1", "one");
    w.b.original_len = 0;
    assert_has(made_of(&w, span_of(""), 1),
               "Return-Path: <bob@example.net>\r\n\r\n--" BOUNDARY "--\r\n");
    teardown(&w);
}

/* ---- 8-bit ---- */

static void test_eight_bit(void **state)
{
    struct world w;
    const char *report;

    setup(&w, BOUNCE_FAILURE);
    w.about->eight_bit = true;
    add(&w, "a@example.com", RECIPIENT_FAILED, "5.1.1", "caf\xc3\xa9");
    report = made(&w);
    assert_has(report, "\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\nThis is a MIME");
    assert_has(report, "charset=us-ascii\r\nContent-Transfer-Encoding: 8bit\r\n\r\nThis is");
    assert_has(report, "<a@example.com>: caf??\r\n");
    assert_has(report, "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    teardown(&w);
}

static void test_smtputf8(void **state)
{
    struct world w;
    const char *report;

    setup(&w, BOUNCE_FAILURE);
    w.about->smtputf8 = true;
    envelope_set_sender(w.about, SPAN_LIT("b\xc3\xb6"
                                          "b@example.net"));
    add(&w, "\xc3\xa4nn@example.com", RECIPIENT_FAILED, "5.1.1", "caf\xc3\xa9 (\xff)");
    add(&w, "a@example.com", RECIPIENT_FAILED, "5.1.1", "caf\xc3\xa9");
    report = made(&w);
    assert_has(report, "multipart/report; report-type=global-delivery-status;");
    assert_has(report, "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n");
    assert_has(report, "Content-Type: message/global-delivery-status\r\n");
    assert_has(report, "X-Postfix-Sender: utf-8; b\xc3\xb6"
                       "b@example.net\r\n");
    assert_has(report, "Final-Recipient: utf-8; \xc3\xa4nn@example.com\r\n"
                       "Original-Recipient: utf-8;\xc3\xa4nn@example.com\r\n");
    assert_has(report, "<\xc3\xa4nn@example.com>: caf?? (?)\r\n");
    assert_has(report, "<a@example.com>: caf\xc3\xa9\r\n");
    assert_has(report, "Content-Type: message/global\r\n");
    w.about->ret = SMTP_RET_HDRS;
    assert_has(made(&w), "Content-Type: message/global-headers\r\n");
    teardown(&w);
}

/* ---- hostile texts ---- */

static void assert_sane_lines(const char *report)
{
    for (const char *line = report; *line;) {
        const char *end = strstr(line, "\r\n");

        assert_non_null(end);
        assert_true(end - line < 998);
        for (const char *p = line; p < end; p++)
            assert_true(*p == '\t' || !ascii_is_control(*p));
        line = end + 2;
    }
}

static void test_hostile_reason(void **state)
{
    static const char *const reasons[] = {
        "host x[1] said: 550 a\r\n\r\n--" BOUNDARY "\r\nX: y",
        "\x1b[2J\x7f\x01",
        " ",
        "   a   b   ",
        "host  said: ",
        "host x said:",
        "host x said: ",
        "host a (in reply to b) said: c",
    };
    struct world w;

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        setup(&w, BOUNCE_FAILURE);
        add(&w, "a@example.com", RECIPIENT_FAILED, "5.1.1", reasons[i]);
        assert_sane_lines(made(&w));
        assert_has_not(made(&w), "\r\nX: y");
        teardown(&w);
    }
}

/* As long as everything may be: each piece has room (made_of asserts it), each line is legal. */
static void test_longest(void **state)
{
    char address[SMTP_ADDRESS_CAP], reason[4000], name[1200];
    struct world w;

    memset(address, 'a', sizeof address);
    strcpy(address + sizeof address - 13, "@example.com");
    memset(reason, 'r', sizeof reason);
    reason[sizeof reason - 1] = '\0';
    memcpy(reason, "host h[192.0.2.1] said: ", 24);
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    for (int kind = BOUNCE_FAILURE; kind <= BOUNCE_NOTICE; kind++) {
        setup(&w, (enum bounce_kind)kind);
        w.b.myhostname = w.b.mail_name = name;
        w.b.untold = reason;
        w.b.unnoticed = w.b.age_ms = w.b.unique = UINT64_MAX;
        w.b.expired = kind == BOUNCE_NOTICE;
        envelope_set_sender(w.about, span_of(address));
        add(&w, address, kind == BOUNCE_SUCCESS ? RECIPIENT_SENT : RECIPIENT_PENDING, "4.123.123",
            reason);
        w.about->recipients[0].notify = kind == BOUNCE_SUCCESS ? SMTP_NOTIFY_SUCCESS : 0;
        w.about->recipients[0].orcpt = strdup(reason + 24);
        w.about->recipients[0].orcpt[SMTP_ORCPT_CAP - 1] = '\0';
        w.about->recipients[0].orcpt[3] = ';';
        memset(w.about->envid, 'e', sizeof w.about->envid - 1);
        assert_sane_lines(made(&w));
        teardown(&w);
    }
}

static void test_reason_split(void **state)
{
    static const struct {
        const char *reason, *host, *said;
    } rows[] = {
        {"host h.example[192.0.2.1] said: 550 no (in reply to RCPT TO command)", "h.example",
         "550 no"                                                                                     },
        {"host h[1] said: 550 (in reply to x) no (in reply to end of DATA)",     "h",
         "550 (in reply to x) no"                                                                     },
        {"host h[1] said: 550 no",                                               "h",         "550 no"},
        {"host h[1] refused to talk to me: 554 no",                              "",          ""      },
        {"connect to h[1]: refused",                                             "",          ""      },
        {"host ",                                                                "",          ""      },
        {"",                                                                     "",          ""      },
        {"host  said: x",                                                        "",          ""      },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span host, said;

        bounce_reason_split(span_of(rows[i].reason), &host, &said);
        assert_true(span_equal(host, span_of(rows[i].host)));
        assert_true(span_equal(said, span_of(rows[i].said)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_what_the_sender_gave_is_given_back),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_periods),
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_notice),
        cmocka_unit_test(test_notify),
        cmocka_unit_test(test_count_and_all_named),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_header_without_an_end),
        cmocka_unit_test(test_empty_original),
        cmocka_unit_test(test_eight_bit),
        cmocka_unit_test(test_smtputf8),
        cmocka_unit_test(test_hostile_reason),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_reason_split),
    };

    setenv("TZ", "JST-9", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
