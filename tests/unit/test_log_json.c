/* test_log_json - every line as an object, word for word; masked, cut, and with hostile bytes */
#include "observe/log_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID   "06401F3A9C2E7001"
#define PEER "\"client_name\":\"mail.example.net\",\"client_address\":\"203.0.113.9\""

static char caught[LOG_OBJECT_MAX + 1];

static void on_line(void *ctx, enum log_severity severity, struct span line)
{
    assert_in_range(line.len, 2, LOG_OBJECT_MAX);
    memcpy(caught, line.ptr, line.len);
    caught[line.len] = '\0';
}

static const struct log l = {.syslog_name = "postfix", .pid = 42, .sink = on_line, .json = true};
static const struct log_peer peer = {"mail.example.net", "203.0.113.9"};

static void expect(const char *object)
{
    assert_string_equal(caught, object);
}

/* Of an information line. */
static void info(const char *program, const char *rest)
{
    char want[LOG_OBJECT_MAX];
    struct text t;

    text_init(&t, want, sizeof want);
    text_printf(&t, "{\"severity\":\"info\",\"program\":\"postfix/%s\",\"pid\":42,%s}", program,
                rest);
    expect(want);
}

static void test_words(void **state)
{
    log_startup(&l, LOG_SEVERITY_INFO, "x=%d [1]: y", 1);
    expect("{\"severity\":\"info\",\"message\":\"\xE2\x80\xA3 INFO  x=1 [1]: y\"}");
    log_warning(&l, "smtpd", "say \"hi\" \\ \xC3\xA9 \x01\xFF");
    expect("{\"severity\":\"warning\",\"program\":\"postfix/smtpd\",\"pid\":42,\"message\":"
           "\"warning: say \\\"hi\\\" \\\\ \xC3\xA9 ??\"}");
    log_error(&l, "qmgr", "%s: its file is gone", ID);
    expect("{\"severity\":\"error\",\"program\":\"postfix/qmgr\",\"pid\":42,\"message\":"
           "\"error: " ID ": its file is gone\"}");
    log_fatal(&l, "master", "no");
    expect("{\"severity\":\"fatal\",\"program\":\"postfix/master\",\"pid\":42,\"message\":"
           "\"fatal: no\"}");
    log_info(&l, "postsuper", "%s: placed on hold", ID);
    info("postsuper", "\"queue_id\":\"" ID "\",\"message\":\"" ID ": placed on hold\"");
}

static void test_smtpd(void **state)
{
    log_connect(&l, &peer);
    info("smtpd", "\"message\":\"connect from mail.example.net[203.0.113.9]\"," PEER);
    log_client(&l, ID, &peer);
    info("smtpd", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                  ": client=mail.example.net[203.0.113.9]\"," PEER);
    log_client(&l, "", &peer);
    info("smtpd", "\"message\":\"NOQUEUE: client=mail.example.net[203.0.113.9]\"," PEER);
    log_lost_connection(&l, ID, "DATA (12 bytes)", &peer);
    info("smtpd", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                  ": lost connection after DATA (12 bytes) from mail.example.net[203.0.113.9]\","
                  "\"after\":\"DATA (12 bytes)\"," PEER);
    log_disconnect(&l, &peer, "ehlo=1 quit=1 commands=2");
    info("smtpd", "\"message\":\"disconnect from mail.example.net[203.0.113.9] ehlo=1 quit=1 "
                  "commands=2\"," PEER ",\"commands\":\"ehlo=1 quit=1 commands=2\"");
    log_improper_pipelining(&l, "EHLO", &peer, SPAN_LIT("A\\\"\r\n"));
    info("smtpd",
         "\"message\":\"improper command pipelining after EHLO from "
         "mail.example.net[203.0.113.9]: A\\\\\\\\\\\"\\\\r\\\\n\",\"after\":\"EHLO\"," PEER
         ",\"input\":\"A\\\\\\\\\\\"\\\\r\\\\n\"");
    log_client_limit(&l, "Connection rate", 61, &peer, NULL);
    assert_string_equal(caught,
                        "{\"severity\":\"warning\",\"program\":\"postfix/smtpd\",\"pid\":42,"
                        "\"message\":\"warning: Connection rate limit exceeded: 61 from "
                        "mail.example.net[203.0.113.9] for service smtp\","
                        "\"limit\":\"Connection rate\",\"count\":61," PEER "}");
    log_dialogue(&l, &peer, true, SPAN_LIT("EHLO x"));
    info("smtpd",
         "\"message\":\"< mail.example.net[203.0.113.9]: EHLO x\"," PEER ",\"command\":\"EHLO x\"");
    log_dialogue(&l, &peer, false, SPAN_LIT("250 x"));
    info("smtpd",
         "\"message\":\"> mail.example.net[203.0.113.9]: 250 x\"," PEER ",\"reply\":\"250 x\"");
}

static void test_logins(void **state)
{
    log_client_login(&l, ID, &peer, "PLAIN", "ann");
    info("smtpd",
         "\"queue_id\":\"" ID "\",\"message\":\"" ID
         ": client=mail.example.net[203.0.113.9], sasl_method=PLAIN, "
         "sasl_username=ann\"," PEER ",\"sasl_method\":\"PLAIN\",\"sasl_username\":\"ann\"");
    log_auth_failed(&l, &peer, "PLAIN", "no", "ann");
    assert_string_equal(caught,
                        "{\"severity\":\"warning\",\"program\":\"postfix/smtpd\",\"pid\":42,"
                        "\"message\":\"warning: mail.example.net[203.0.113.9]: SASL PLAIN "
                        "authentication failed: no, sasl_username=ann\"," PEER
                        ",\"sasl_method\":\"PLAIN\",\"error\":\"no\",\"sasl_username\":\"ann\"}");
    log_auth_aborted(&l, &peer, "PLAIN");
    assert_non_null(strstr(caught, PEER ",\"sasl_method\":\"PLAIN\"}"));
}

static void test_tls(void **state)
{
    struct tls_facts facts = {.protocol = "TLSv1.2", .cipher = "C", .bits = 128};

    log_tls_client(&l, &peer, &facts, "mx.example.com");
    info("smtpd",
         "\"message\":\"Anonymous TLS connection established from mail.example.net[203.0.113.9] to "
         "mx.example.com: TLSv1.2 with cipher C (128/128 bits)\"," PEER
         ",\"tls_server_name\":\"mx.example.com\",\"tls_protocol\":\"TLSv1.2\","
         "\"tls_cipher\":\"C\",\"tls_bits\":128");
    log_tls_error(&l, "SSL_accept", &peer, "no cipher in common");
    info("smtpd", "\"message\":\"SSL_accept error from mail.example.net[203.0.113.9]: no cipher in "
                  "common\"," PEER ",\"error\":\"no cipher in common\"");
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
    info("smtpd", "\"message\":\"NOQUEUE: reject: RCPT from mail.example.net[203.0.113.9]: 554 "
                  "5.7.1 <r@d.example>: Relay access denied; from=<s@x.example> to=<r@d.example> "
                  "proto=ESMTP helo=<h>\",\"action\":\"reject\",\"stage\":\"RCPT\"," PEER
                  ",\"reply\":\"554 5.7.1 <r@d.example>: Relay access denied\",\"reply_code\":554,"
                  "\"dsn\":\"5.7.1\",\"from\":\"s@x.example\",\"to\":\"r@d.example\","
                  "\"proto\":\"ESMTP\",\"helo\":\"h\"");
    r = (struct log_reject){.queue_id = ID, .stage = "DATA", .peer = peer, .reply = "451 later"};
    log_reject(&l, &r);
    info(
        "smtpd",
        "\"queue_id\":\"" ID "\",\"message\":\"" ID ": reject: DATA from "
        "mail.example.net[203.0.113.9]: 451 later;\",\"action\":\"reject\",\"stage\":\"DATA\"," PEER
        ",\"reply\":\"451 later\",\"reply_code\":451");
    r.warning = true;
    log_reject(&l, &r);
    assert_non_null(strstr(caught, ": reject_warning: DATA from "));
    assert_non_null(strstr(caught, "\"action\":\"reject_warning\",\"stage\":\"DATA\""));
    r.reply = "odd";
    log_reject(&l, &r);
    assert_non_null(strstr(caught, "\"reply\":\"odd\"}"));
    r.reply = "451 4.11111111111111111111 x";
    log_reject(&l, &r);
    assert_null(strstr(caught, "\"dsn\""));
}

static void test_message(void **state)
{
    log_pickup(&l, ID, 0, SPAN_LIT(""), "06401F3A9C2E7001");
    info("pickup", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                   ": uid=0 from=<> orig_id=06401F3A9C2E7001\",\"uid\":0,\"from\":\"\","
                   "\"orig_id\":\"06401F3A9C2E7001\"");
    log_pickup(&l, ID, 1000, SPAN_LIT("root@mx.example.com"), "");
    info("pickup", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                   ": uid=1000 from=<root@mx.example.com>\",\"uid\":1000,"
                   "\"from\":\"root@mx.example.com\"");
    log_message_id(&l, ID, "<1@x.example>");
    info("cleanup", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                    ": message-id=<1@x.example>\",\"message_id\":\"<1@x.example>\"");
    log_queue_active(&l, ID, "", UINT64_MAX, 2);
    info("qmgr", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                 ": from=<>, size=18446744073709551615, nrcpt=2 (queue active)\",\"from\":\"\","
                 "\"size\":18446744073709551615,\"nrcpt\":2");
    log_removed(&l, ID);
    info("qmgr", "\"queue_id\":\"" ID "\",\"message\":\"" ID ": removed\"");
    log_expired(&l, ID, "s@x.example", true);
    info("qmgr", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                 ": from=<s@x.example>, status=expired, returned to sender\","
                 "\"from\":\"s@x.example\",\"status\":\"expired\"");
    log_bounce(&l, ID, "postmaster non-delivery", "06401F3A9C2E8001");
    info("bounce", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                   ": postmaster non-delivery notification: 06401F3A9C2E8001\","
                   "\"report_id\":\"06401F3A9C2E8001\"");
    log_connect_failed(&l, "lmtp", "dovecot.example[192.0.2.10]:2525", "Connection refused");
    info("lmtp", "\"message\":\"connect to dovecot.example[192.0.2.10]:2525: Connection refused\","
                 "\"relay\":\"dovecot.example[192.0.2.10]:2525\",\"reason\":\"Connection "
                 "refused\"");
}

static struct log_delivery delivery(void)
{
    return (struct log_delivery){
        .program = "lmtp",
        .queue_id = ID,
        .recipient = "r@d.example",
        .relay = "d.example[192.0.2.10]:24",
        .conn_use = 3,
        .delays = {0.1, 0, 0.12, 12},
        .dsn = "2.0.0",
        .status = LOG_STATUS_SENT,
        .text = "250 2.0.0 <r@d.example> Saved"
    };
}

static void test_delivery(void **state)
{
    struct log_delivery d = delivery();

    log_delivery(&l, &d);
    info("lmtp", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                 ": to=<r@d.example>, relay=d.example[192.0.2.10]:24, conn_use=3, delay=12, "
                 "delays=0.1/0/0.12/12, dsn=2.0.0, status=sent (250 2.0.0 <r@d.example> Saved)\","
                 "\"to\":\"r@d.example\",\"relay\":\"d.example[192.0.2.10]:24\",\"conn_use\":3,"
                 "\"delay\":12,\"delays\":[0.1,0,0.12,12],\"dsn\":\"2.0.0\",\"status\":\"sent\","
                 "\"reason\":\"250 2.0.0 <r@d.example> Saved\"");
}

/* The fields are masked as the message is. */
static void test_masked(void **state)
{
    struct log_mask mask = {.hmac = NULL};
    struct log masked = l;
    struct log_delivery d = delivery();
    struct errbuf err;

    assert_int_equal(anonymize_parse(&mask.how, SPAN_LIT("smart"), &err), 0);
    masked.mask = &mask;
    log_delivery(&masked, &d);
    info("lmtp", "\"queue_id\":\"" ID "\",\"message\":\"" ID
                 ": to=<r*r@*.example>, relay=d.example[192.0.2.10]:24, conn_use=3, delay=12, "
                 "delays=0.1/0/0.12/12, dsn=2.0.0, status=sent (250 2.0.0 <r*r@*.example> "
                 "Saved)\",\"to\":\"r*r@*.example\",\"relay\":\"d.example[192.0.2.10]:24\","
                 "\"conn_use\":3,\"delay\":12,\"delays\":[0.1,0,0.12,12],\"dsn\":\"2.0.0\","
                 "\"status\":\"sent\",\"reason\":\"250 2.0.0 <r*r@*.example> Saved\"");
    log_message_id(&masked, ID, "<1@x.example>");
    assert_non_null(strstr(caught, "\"message_id\":\"<1@x.example>\""));
    log_startup(&masked, LOG_SEVERITY_INFO, "notify joe@d.example");
    expect("{\"severity\":\"info\",\"message\":\"\xE2\x80\xA3 INFO  notify j*e@*.example\"}");
}

/* A line of nothing but quotes doubles: it is cut, and is still an object within its limit. */
static void test_quotes(void **state)
{
    char *quotes = malloc(20001);
    struct log_delivery d = delivery();

    memset(quotes, '"', 20000);
    quotes[20000] = '\0';
    log_info(&l, "smtpd", "%s", quotes);
    assert_in_range(strlen(caught), 15800, LOG_OBJECT_MAX);
    assert_string_equal(caught + strlen(caught) - 4, "\\\"\"}");
    d.recipient = d.relay = d.text = quotes;
    log_delivery(&l, &d);
    assert_in_range(strlen(caught), 7000, LOG_OBJECT_MAX);
    assert_non_null(strstr(caught, "\",\"relay\":\"\\\""));
    assert_string_equal(caught + strlen(caught) - 4, "\\\"\"}");
    free(quotes);
}

/* A character of three bytes at the place where a message is cut. */
static void test_cut_of_utf8(void **state)
{
    char *text = malloc(8193);

    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, '"', 8192);
        for (size_t i = 7000 + shift; i + 3 <= 8192; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 3);
        text[8190] = '\0';
        log_startup(&l, LOG_SEVERITY_INFO, "%s", text);
        assert_in_range(strlen(caught), 15000, LOG_OBJECT_MAX);
        assert_true(strstr(caught, "\xE2\x82\xAC\"}") || strstr(caught, "...\"}"));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),    cmocka_unit_test(test_smtpd),
        cmocka_unit_test(test_logins),   cmocka_unit_test(test_tls),
        cmocka_unit_test(test_reject),   cmocka_unit_test(test_message),
        cmocka_unit_test(test_delivery), cmocka_unit_test(test_masked),
        cmocka_unit_test(test_quotes),   cmocka_unit_test(test_cut_of_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
