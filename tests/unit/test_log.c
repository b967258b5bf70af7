/* test_log - every line word for word (FACTS 5.1, 5.2), and what hostile bytes become */
#include "observe/log.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct caught {
    char line[LOG_LINE_MAX + 1];
    size_t len;
    enum log_severity severity;
    unsigned lines;
};

static struct caught caught;

static void on_line(void *ctx, enum log_severity severity, struct span line)
{
    assert_in_range(line.len, 1, LOG_LINE_MAX);
    memcpy(caught.line, line.ptr, line.len);
    caught.line[line.len] = '\0';
    caught.len = line.len;
    caught.severity = severity;
    caught.lines++;
}

static const struct log l = {.syslog_name = "postfix", .pid = 42, .sink = on_line};
static const struct log_peer peer = {"mail.example.net", "203.0.113.9"};
static const struct log_peer nobody = {NULL, "2001:db8::1"};

#define ID "06401F3A9C2E7001"

/* The line that was logged last, and only that. */
static void expect(enum log_severity severity, const char *line)
{
    assert_int_equal(caught.lines, 1);
    assert_string_equal(caught.line, line);
    assert_int_equal(caught.severity, severity);
    caught.lines = 0;
}

static void info(const char *line)
{
    expect(LOG_SEVERITY_INFO, line);
}

static void test_words(void **state)
{
    log_info(&l, "master", "daemon started -- version %s", "1");
    info("postfix/master[42]: daemon started -- version 1");
    log_warning(&l, "smtpd", "odd");
    expect(LOG_SEVERITY_WARNING, "postfix/smtpd[42]: warning: odd");
    log_error(&l, "qmgr", "bad");
    expect(LOG_SEVERITY_ERROR, "postfix/qmgr[42]: error: bad");
    log_fatal(&l, "master", "no");
    expect(LOG_SEVERITY_FATAL, "postfix/master[42]: fatal: no");
    log_startup(&l, LOG_SEVERITY_INFO, "x=%d", 1);
    info("\xE2\x80\xA3 INFO  x=1");
    log_startup(&l, LOG_SEVERITY_WARNING, "w");
    expect(LOG_SEVERITY_WARNING, "\xE2\x80\xA3 WARN  w");
    log_startup(&l, LOG_SEVERITY_ERROR, "e");
    expect(LOG_SEVERITY_ERROR, "\xE2\x80\xA3 ERROR e");
}

static void test_smtpd(void **state)
{
    log_connect(&l, &peer);
    info("postfix/smtpd[42]: connect from mail.example.net[203.0.113.9]");
    log_connect(&l, &nobody);
    info("postfix/smtpd[42]: connect from unknown[2001:db8::1]");
    log_lost_connection(&l, "", "RCPT", &peer);
    info("postfix/smtpd[42]: lost connection after RCPT from mail.example.net[203.0.113.9]");
    log_lost_connection(&l, ID, "DATA (12 bytes)", &peer);
    info("postfix/smtpd[42]: " ID ": lost connection after DATA (12 bytes) from "
         "mail.example.net[203.0.113.9]");
    log_timeout(&l, NULL, "CONNECT", &peer);
    info("postfix/smtpd[42]: timeout after CONNECT from mail.example.net[203.0.113.9]");
    log_too_many_errors(&l, NULL, "UNKNOWN", &peer);
    info("postfix/smtpd[42]: too many errors after UNKNOWN from mail.example.net[203.0.113.9]");
    log_client_limit(&l, "Connection concurrency", 51, &peer, NULL);
    expect(LOG_SEVERITY_WARNING,
           "postfix/smtpd[42]: warning: Connection concurrency limit exceeded: 51 from "
           "mail.example.net[203.0.113.9] for service smtp");
    log_disconnect(&l, &peer, "ehlo=1 rcpt=0/1 commands=1/2");
    info("postfix/smtpd[42]: disconnect from mail.example.net[203.0.113.9] ehlo=1 rcpt=0/1 "
         "commands=1/2");
    log_client(&l, ID, &peer);
    info("postfix/smtpd[42]: " ID ": client=mail.example.net[203.0.113.9]");
    log_client(&l, "", &peer);
    info("postfix/smtpd[42]: NOQUEUE: client=mail.example.net[203.0.113.9]");
}

static void test_logins(void **state)
{
    log_client_login(&l, ID, &peer, "PLAIN", "ann@example.com");
    info("postfix/smtpd[42]: " ID ": client=mail.example.net[203.0.113.9], sasl_method=PLAIN, "
         "sasl_username=ann@example.com");
    log_auth_failed(&l, &peer, "LOGIN", "no\r\nway", "ann");
    expect(LOG_SEVERITY_WARNING,
           "postfix/smtpd[42]: warning: mail.example.net[203.0.113.9]: SASL LOGIN authentication "
           "failed: no??way, sasl_username=ann");
    log_auth_aborted(&l, &peer, "PLAIN");
    expect(LOG_SEVERITY_WARNING, "postfix/smtpd[42]: warning: mail.example.net[203.0.113.9]: SASL "
                                 "PLAIN authentication aborted");
    log_client_limit(&l, "Recipient address rate", 3, &peer, "ann");
    expect(LOG_SEVERITY_WARNING,
           "postfix/smtpd[42]: warning: Recipient address rate limit exceeded: 3 from "
           "mail.example.net[203.0.113.9] for service smtp, sasl_username=ann");
}

static void test_tls(void **state)
{
    struct tls_facts facts = {
        .protocol = "TLSv1.2", .cipher = "ECDHE-RSA-CHACHA20-POLY1305", .bits = 256};

    log_tls_client(&l, &peer, &facts, NULL);
    info("postfix/smtpd[42]: Anonymous TLS connection established from "
         "mail.example.net[203.0.113.9]: TLSv1.2 with cipher ECDHE-RSA-CHACHA20-POLY1305 (256/256 "
         "bits)");
    log_tls_client(&l, &peer, &facts, "mx.example.com");
    info("postfix/smtpd[42]: Anonymous TLS connection established from "
         "mail.example.net[203.0.113.9] to mx.example.com: TLSv1.2 with cipher "
         "ECDHE-RSA-CHACHA20-POLY1305 (256/256 bits)");
    log_tls_error(&l, "SSL_accept", &peer, "no cipher\r\nin common");
    info("postfix/smtpd[42]: SSL_accept error from mail.example.net[203.0.113.9]: no cipher??in "
         "common");
}

static void test_improper_pipelining(void **state)
{
    char input[200];

    log_improper_pipelining(&l, "EHLO", &peer, SPAN_LIT("MAIL FROM:<a\\b>\r\n\t\x01\0\xFF\x7F"));
    info("postfix/smtpd[42]: improper command pipelining after EHLO from "
         "mail.example.net[203.0.113.9]: MAIL FROM:<a\\\\b>\\r\\n\\t\\001\\000\\377\\177");
    memset(input, 'x', sizeof input);
    log_improper_pipelining(&l, "CONNECT", &nobody, span_make(input, sizeof input));
    assert_int_equal(strlen(strrchr(caught.line, ' ')), 1 + 100);
    caught.lines = 0;
}

static void test_reject(void **state)
{
    struct log_reject r = {.stage = "RCPT",
                           .peer = peer,
                           .reply = "554 5.7.1 <r@d.example>: Relay access denied",
                           .sender = "s@x.example",
                           .recipient = "r@d.example",
                           .protocol = "ESMTP",
                           .helo = "h"};

    log_reject(&l, &r);
    info("postfix/smtpd[42]: NOQUEUE: reject: RCPT from mail.example.net[203.0.113.9]: "
         "554 5.7.1 <r@d.example>: Relay access denied; from=<s@x.example> to=<r@d.example> "
         "proto=ESMTP helo=<h>");
    r = (struct log_reject){
        .queue_id = ID, .stage = "END-OF-MESSAGE", .peer = peer, .reply = "552 5.2.2 Full"};
    r.sender = "";
    log_reject(&l, &r);
    info("postfix/smtpd[42]: " ID ": reject: END-OF-MESSAGE from mail.example.net[203.0.113.9]: "
         "552 5.2.2 Full; from=<>");
    r.sender = NULL;
    log_reject(&l, &r);
    info("postfix/smtpd[42]: " ID ": reject: END-OF-MESSAGE from mail.example.net[203.0.113.9]: "
         "552 5.2.2 Full;");
}

static void test_message(void **state)
{
    log_message_id(&l, ID, "<1@x.example>");
    info("postfix/cleanup[42]: " ID ": message-id=<1@x.example>");
    log_message_id(&l, ID, "");
    info("postfix/cleanup[42]: " ID ": message-id=<>");
    log_queue_active(&l, ID, "", UINT64_MAX, 2);
    info("postfix/qmgr[42]: " ID ": from=<>, size=18446744073709551615, nrcpt=2 (queue active)");
    log_removed(&l, ID);
    info("postfix/qmgr[42]: " ID ": removed");
    log_expired(&l, ID, "s@x.example", true);
    info("postfix/qmgr[42]: " ID ": from=<s@x.example>, status=expired, returned to sender");
    log_expired(&l, ID, "s@x.example", false);
    info("postfix/qmgr[42]: " ID ": from=<s@x.example>, status=expired, kept on hold");
    log_force_expired(&l, ID, "", false);
    info("postfix/qmgr[42]: " ID ": from=<>, status=force-expired, kept on hold");
    log_bounce(&l, ID, "sender non-delivery", "06401F3A9C2E8001");
    info("postfix/bounce[42]: " ID ": sender non-delivery notification: 06401F3A9C2E8001");
    log_order(&l, ID, "placed on hold");
    info("postfix/postsuper[42]: " ID ": placed on hold");
    log_order_total(&l, "Placed on hold", 1);
    info("postfix/postsuper[42]: Placed on hold: 1 message");
    log_order_total(&l, "Deleted", 0);
    info("postfix/postsuper[42]: Deleted: 0 messages");
    log_connect_failed(&l, "lmtp", "dovecot.example[192.0.2.10]:2525", "Connection refused");
    info("postfix/lmtp[42]: connect to dovecot.example[192.0.2.10]:2525: Connection refused");
}

static void test_delivery(void **state)
{
    struct log_delivery d = {
        .program = "lmtp",
        .queue_id = ID,
        .recipient = "r@d.example",
        .relay = "dovecot.example[192.0.2.10]:2525",
        .conn_use = 1,
        .delays = {0.1, 0, 0.12, 0.2},
        .dsn = "2.0.0",
        .status = LOG_STATUS_SENT,
        .text = "250 2.0.0 <r@d.example> Saved"
    };

    log_delivery(&l, &d);
    info("postfix/lmtp[42]: " ID ": to=<r@d.example>, relay=dovecot.example[192.0.2.10]:2525, "
         "delay=0.42, delays=0.1/0/0.12/0.2, dsn=2.0.0, status=sent "
         "(250 2.0.0 <r@d.example> Saved)");
    d.conn_use = 3;
    d.status = LOG_STATUS_BOUNCED;
    d.dsn = "5.1.1";
    d.text = "host h[192.0.2.10] said: 550";
    log_delivery(&l, &d);
    info("postfix/lmtp[42]: " ID ": to=<r@d.example>, relay=dovecot.example[192.0.2.10]:2525, "
         "conn_use=3, delay=0.42, delays=0.1/0/0.12/0.2, dsn=5.1.1, status=bounced "
         "(host h[192.0.2.10] said: 550)");
    d = (struct log_delivery){
        .program = "lmtp",
        .queue_id = ID,
        .recipient = "r@d.example",
        .relay = "none",
        .delays = {0.1, 0, 30, 0},
        .dsn = "4.4.1",
        .status = LOG_STATUS_DEFERRED,
        .text = "timed out"
    };
    log_delivery(&l, &d);
    info("postfix/lmtp[42]: " ID ": to=<r@d.example>, relay=none, delay=30, delays=0.1/0/30/0, "
         "dsn=4.4.1, status=deferred (timed out)");
}

static void test_delay(void **state)
{
    static const struct {
        double seconds;
        const char *want;
    } rows[] = {
        {0,         "0"     },
        {-1,        "0"     },
        {0.001,     "0"     },
        {0.0049,    "0"     },
        {0.005001,  "0.01"  },
        {0.01,      "0.01"  },
        {0.1,       "0.1"   },
        {0.123,     "0.12"  },
        {0.42,      "0.42"  },
        {0.994,     "0.99"  },
        {0.996,     "1"     },
        {1,         "1"     },
        {1.04,      "1"     },
        {1.05001,   "1.1"   },
        {4.25,      "4.3"   },
        {9.94,      "9.9"   },
        {9.96,      "10"    },
        {10.4,      "10"    },
        {10.6,      "11"    },
        {99.6,      "100"   },
        {345619,    "345619"},
        {0.0 / 0.0, "0"     },
        {1.0 / 0.0, "0"     },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[64];
        struct text t;

        text_init(&t, buf, sizeof buf);
        log_text_delay(&t, rows[i].seconds);
        assert_string_equal(buf, rows[i].want);
    }
}

/* LOGINJ: one event, one line, nothing that a terminal obeys; letters of other languages stay. */
static void test_hostile_bytes(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        {"a\r\nb",                        "a??b"                         },
        {"\x1B[31m\x07\x7F",              "?[31m??"                      },
        {"caf\xC3\xA9",                   "caf\xC3\xA9"                  },
        {"\xE2\x82\xAC \xF0\x9F\x98\x80", "\xE2\x82\xAC \xF0\x9F\x98\x80"},
        {"\xC2\x85\xC2\x9B",              "????"                         }, /* C1 */
        {"\xE2\x80\xA8|\xE2\x80\xA9",     "???|???"                      }, /* separators */
        {"\xE2\x80\xAE|\xE2\x81\xA6",     "???|???"                      }, /* overrides */
        {"\xE2\x80\xA7|\xE2\x80\xAF",     "\xE2\x80\xA7|\xE2\x80\xAF"    }, /* beside them */
        {"\xFF\xC0\xAF\xED\xA0\x80",      "??????"                       }, /* not UTF-8 */
        {"\xC3",                          "?"                            },
        {"\xE2\x82",                      "??"                           },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char want[256];
        struct text t;

        text_init(&t, want, sizeof want);
        text_printf(&t, "postfix/smtpd[42]: %s|", rows[i].out);
        log_info(&l, "smtpd", "%s|", rows[i].in);
        info(want);
    }
}

/* Fields are cut each on its own: what follows a long one is still there. */
static void test_cuts(void **state)
{
    char *endless = malloc(20001);
    struct log_reject r = {
        .stage = "RCPT", .peer = {endless, endless},
             .protocol = "SMTP"
    };
    struct log_delivery d = {.program = "lmtp", .queue_id = ID, .dsn = "2.0.0"};

    memset(endless, 'x', 20000);
    endless[20000] = '\0';
    r.reply = r.sender = r.recipient = r.helo = endless;
    log_reject(&l, &r);
    assert_int_equal(caught.len, strlen("postfix/smtpd[42]: NOQUEUE: reject: RCPT from []: ; "
                                        "from=<> to=<> proto=SMTP helo=<>") +
                                     256 + 256 + 250 + 512 * 3);
    d.recipient = d.relay = d.text = endless;
    log_delivery(&l, &d);
    assert_int_equal(strstr(caught.line, ", delay=") - strstr(caught.line, "relay="),
                     strlen("relay=") + 256);
    assert_int_equal(caught.line[caught.len - 1], ')');
    assert_int_equal(strlen(strstr(caught.line, "status=sent (")),
                     strlen("status=sent (") + 1024 + 1);
    caught.lines = 0;
    log_info(&l, "smtpd", "%s", endless);
    assert_int_equal(caught.len, LOG_LINE_MAX);
    assert_string_equal(caught.line + LOG_LINE_MAX - 4, "x...");
    free(endless);
}

/* Where addresses are masked the cut leaves no half of one, and the mask does not make it earlier.
 */
static void test_cut_of_masked(void **state)
{
    struct log_mask mask = {.hmac = NULL};
    struct log masked = l;
    struct errbuf err;
    char reply[400];
    struct log_reject r = {.stage = "RCPT", .peer = peer, .reply = reply};

    assert_int_equal(anonymize_parse(&mask.how, SPAN_LIT("smart"), &err), 0);
    masked.mask = &mask;
    for (size_t before = 230; before < 255; before++) {
        memset(reply, 'x', before);
        memcpy(reply, "550 5.1.1 ", 10);
        strcpy(reply + before, " <joe.doe@example.com> is unknown");
        log_reject(&masked, &r);
        assert_null(strstr(caught.line, "joe"));
        assert_true(before >= 250 || strstr(caught.line, " <j*e@*******.com"));
    }
    caught.lines = 0;
}

/* A line of exactly the limit is whole; one byte more is cut. */
static void test_limit(void **state)
{
    size_t room = LOG_LINE_MAX - strlen("postfix/smtpd[42]: ");

    for (int over = -1; over <= 1; over++) {
        char *text = malloc(room + 2);
        size_t len = room + (size_t)over;

        memset(text, 'y', room + 2);
        text[len] = '\0';
        log_info(&l, "smtpd", "%s", text);
        assert_int_equal(caught.len, over < 0 ? LOG_LINE_MAX - 1 : LOG_LINE_MAX);
        assert_int_equal(caught.line[caught.len - 1], over > 0 ? '.' : 'y');
        free(text);
    }
    caught.lines = 0;
}

static void test_no_sink(void **state)
{
    const struct log silent = {.syslog_name = "postfix", .pid = 1};

    log_connect(&silent, &peer);
    assert_int_equal(caught.lines, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_smtpd),
        cmocka_unit_test(test_logins),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_improper_pipelining),
        cmocka_unit_test(test_reject),
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_delivery),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_cut_of_masked),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_no_sink),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
