/* Tests of queue/spool_format: golden bytes, round trips, every truncation, every damaged byte. */
#include "queue/spool_format.h"

#include "spool_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY SPAN_LIT("Subject: x\r\n\r\nend crc32c=00000000\r\nbody 5\n\r\n")

static struct spool_bytes s;

/* ---- writing --------------------------------------------------------------- */

static void test_golden_file(void **state)
{
    struct envelope *e = envelope_new();

    strcpy(e->id.text, "06401F3A9C2E7001");
    e->arrival_us = INT64_C(1763770000000042);
    strcpy(e->client_name, "mail.example.org");
    strcpy(e->client_address, "203.0.113.9");
    e->client_port = 51234;
    strcpy(e->helo, "mail.example.org");
    strcpy(e->protocol, "ESMTPS");
    e->ret = SMTP_RET_FULL;
    e->eight_bit = true;
    assert_true(envelope_set_sender(e, SPAN_LIT("bob@example.org")));
    assert_true(envelope_add_recipient(e, SPAN_LIT("ann@example.com"),
                                       SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE,
                                       SPAN_LIT("rfc822;ann@example.com")));
    assert_true(envelope_add_recipient(e, SPAN_LIT("joe@example.com"), 0, span_of(NULL)));
    spool_bytes_make(&s, e, SPAN_LIT("Hello\r\n"));
    spool_format_attempt(&s.t, 1763770300, 0, SPOOL_SENT, "2.0.0",
                         SPAN_LIT("250 2.0.0 <ann@example.com> Saved"));
    spool_format_attempt(&s.t, 1763770300, 1, SPOOL_DEFERRED, "4.2.2",
                         SPAN_LIT("452 4.2.2 \"full\"\r\n"));
    spool_format_attempt(&s.t, 1763770301, 1, SPOOL_FAILED, "", SPAN_LIT("no\\where"));
    spool_format_hold(&s.t, 1763770302, SPAN_LIT("expired"));
    spool_format_release(&s.t, 1763770303, SPAN_LIT("by the operator"));
    assert_string_equal(
        s.bytes, "mxgate-spool 1\n"
                 "id 06401F3A9C2E7001\n"
                 "arrival 1763770000.000042\n"
                 "client mail.example.org 203.0.113.9 51234 helo=mail.example.org proto=ESMTPS\n"
                 "sender <bob@example.org> 8BITMIME RET=FULL\n"
                 "rcpt 0 <ann@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;ann@example.com\n"
                 "rcpt 1 <joe@example.com>\n"
                 "body 0000000000007\n"
                 "Hello\r\n"
                 "end crc32c=d0a6c106\n"
                 "attempt 1763770300 rcpt=0 sent 2.0.0 \"250 2.0.0 <ann@example.com> Saved\"\n"
                 "attempt 1763770300 rcpt=1 deferred 4.2.2 \"452 4.2.2 \\x22full\\x22\\x0D\\x0A\"\n"
                 "attempt 1763770301 rcpt=1 failed - \"no\\x5Cwhere\"\n"
                 "hold 1763770302 \"expired\"\n"
                 "release 1763770303 \"by the operator\"\n");
    envelope_free(&e);
}

static void test_header_size_is_an_upper_bound(void **state)
{
    struct envelope *e = envelope_new();
    char address[SMTP_ADDRESS_CAP];
    char orcpt[SMTP_ORCPT_CAP];
    size_t len;
    char *bytes;

    memset(e->client_name, ' ', sizeof e->client_name - 1);
    memset(e->client_address, ' ', sizeof e->client_address - 1);
    memset(e->helo, '\\', sizeof e->helo - 1);
    memset(e->protocol, '"', sizeof e->protocol - 1);
    memset(e->envid, '\x7f', sizeof e->envid - 1);
    memset(address, '\n', sizeof address);
    memset(orcpt, '\1', sizeof orcpt);
    strcpy(e->id.text, "FFFFFFFFFFFFFFFF");
    e->arrival_us = INT64_MAX;
    e->client_port = 65535;
    e->smtputf8 = e->eight_bit = true;
    e->ret = SMTP_RET_FULL;
    assert_true(envelope_set_sender(e, span_make(address, sizeof address - 1)));
    for (int i = 0; i < 1000; i++)
        assert_true(envelope_add_recipient(e, span_make(address, sizeof address - 1), 15,
                                           span_make(orcpt, sizeof orcpt - 1)));
    bytes = spool_format_header_new(e, UINT64_MAX, &len);
    assert_non_null(bytes);
    assert_int_equal(strlen(bytes), len);
    assert_true(len < spool_format_header_size(e));
    assert_true(len > 15 && memcmp(bytes + len - 10, "709551615\n", 10) == 0);
    free(bytes);
    envelope_free(&e);
}

/* A file begun before its length was known is completed in place. */
static void test_header_length_does_not_depend_on_the_body(void **state)
{
    static const uint64_t lens[] = {0, 1, 25u << 20, UINT64_C(1099511627776),
                                    UINT64_C(9999999999999)};
    struct envelope *e = spool_bytes_envelope();
    size_t first;

    free(spool_format_header_new(e, 0, &first));
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        size_t len;

        free(spool_format_header_new(e, lens[i], &len));
        assert_int_equal(len, first);
    }
    envelope_free(&e);
}

static void test_long_reasons_are_cut(void **state)
{
    static const char fill[] = {'x', '\n', '"', ' '};

    for (size_t i = 0; i < sizeof fill; i++) {
        char reason[5000];
        struct spool_file f;
        struct errbuf err = {""};
        struct envelope *e = spool_bytes_envelope();

        memset(reason, fill[i], sizeof reason);
        spool_bytes_make(&s, e, BODY);
        spool_format_attempt(&s.t, INT64_MAX, 2, SPOOL_DEFERRED,
                             "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
                             span_make(reason, sizeof reason));
        assert_in_range(s.t.len - s.records_at, SPOOL_RECORD_CAP - 5, SPOOL_RECORD_CAP - 1);
        spool_format_hold(&s.t, INT64_MAX, span_make(reason, sizeof reason));
        assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
        assert_in_range(strlen(f.envelope->recipients[2].reason), 400, SPOOL_RECORD_CAP);
        assert_int_equal(strlen(f.hold_why), sizeof f.hold_why - 1);
        assert_int_equal(f.hold_why[0], fill[i]);
        spool_file_deinit(&f);
        envelope_free(&e);
    }
}

/* ---- reading back ---------------------------------------------------------- */

static void test_round_trip(void **state)
{
    struct envelope *e = spool_bytes_envelope();
    struct spool_file f;
    struct errbuf err = {""};

    spool_bytes_make(&s, e, BODY);
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    assert_true(spool_bytes_equal(e, f.envelope));
    assert_int_equal(f.body_offset, s.header_len);
    assert_int_equal(f.body_len, BODY.len);
    assert_int_equal(envelope_pending(f.envelope), 3);
    assert_false(f.on_hold);
    assert_int_equal(f.attempts, 0);
    assert_int_equal(f.last_attempt_s, 0);
    spool_file_deinit(&f);
    assert_null(f.envelope);
    envelope_free(&e);
}

/* What the smallest message has: null sender, local, nothing said, no body. */
static void test_round_trip_of_empty_fields(void **state)
{
    struct envelope *e = envelope_new();
    struct spool_file f;
    struct errbuf err = {""};

    strcpy(e->id.text, "0000000000000000");
    assert_true(envelope_set_sender(e, span_of("")));
    assert_true(envelope_add_recipient(e, SPAN_LIT("-"), 0, span_of(NULL)));
    spool_bytes_make(&s, e, span_of(NULL));
    assert_non_null(strstr(s.bytes, "\nclient - - 0 helo=- proto=-\nsender <>\nrcpt 0 <->\n"));
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    assert_true(spool_bytes_equal(e, f.envelope));
    spool_file_deinit(&f);
    strcpy(e->helo, "-");
    strcpy(e->envid, "-");
    spool_bytes_make(&s, e, span_of(NULL));
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    assert_true(spool_bytes_equal(e, f.envelope));
    spool_file_deinit(&f);
    envelope_free(&e);
}

static void test_each_byte_in_a_helo(void **state)
{
    struct envelope *e = spool_bytes_envelope();

    for (int byte = 1; byte < 256; byte++) {
        struct spool_file f;
        struct errbuf err = {""};

        e->helo[0] = (char)byte;
        e->helo[1] = '\0';
        spool_bytes_make(&s, e, BODY);
        assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
        assert_string_equal(f.envelope->helo, e->helo);
        spool_file_deinit(&f);
    }
    envelope_free(&e);
}

static void add_records(void)
{
    spool_format_attempt(&s.t, 100, 0, SPOOL_DEFERRED, "4.2.2", SPAN_LIT("452 full"));
    spool_format_attempt(&s.t, 100, 1, SPOOL_SENT, "2.0.0", SPAN_LIT("250 ok"));
    spool_format_hold(&s.t, 150, SPAN_LIT("by the operator"));
    spool_format_attempt(&s.t, 200, 0, SPOOL_FAILED, "5.1.1", SPAN_LIT("550 \"unknown\""));
    spool_format_release(&s.t, 250, SPAN_LIT("by the operator"));
    text_cstr(&s.t, "newer 250 whatever=\"this\" is\n");
    spool_format_attempt(&s.t, 300, 2, SPOOL_DEFERRED, "4.4.1", SPAN_LIT("refused"));
}

static void test_records(void **state)
{
    struct envelope *e = spool_bytes_envelope();
    struct spool_file f;
    struct errbuf err = {""};

    spool_bytes_make(&s, e, BODY);
    add_records();
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    assert_int_equal(f.envelope->recipients[0].state, RECIPIENT_FAILED);
    assert_string_equal(f.envelope->recipients[0].reason, "550 \"unknown\"");
    assert_int_equal(f.envelope->recipients[1].state, RECIPIENT_SENT);
    assert_null(f.envelope->recipients[1].reason);
    assert_int_equal(f.envelope->recipients[2].state, RECIPIENT_PENDING);
    assert_string_equal(f.envelope->recipients[2].reason, "refused");
    assert_false(f.on_hold);
    assert_string_equal(f.hold_why, "");
    assert_int_equal(f.attempts, 3);
    assert_int_equal(f.last_attempt_s, 300);
    spool_file_deinit(&f);
    spool_format_hold(&s.t, 400, SPAN_LIT("expired"));
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    assert_true(f.on_hold);
    assert_string_equal(f.hold_why, "expired");
    spool_file_deinit(&f);
    envelope_free(&e);
}

/* P1 and P2: what is final stays final. */
static void test_final_states_stay(void **state)
{
    static const struct {
        enum spool_result first;
        enum spool_result second;
        enum recipient_state want;
    } rows[] = {
        {SPOOL_SENT,     SPOOL_DEFERRED, RECIPIENT_SENT   },
        {SPOOL_SENT,     SPOOL_FAILED,   RECIPIENT_SENT   },
        {SPOOL_FAILED,   SPOOL_DEFERRED, RECIPIENT_FAILED },
        {SPOOL_FAILED,   SPOOL_SENT,     RECIPIENT_SENT   },
        {SPOOL_DEFERRED, SPOOL_DEFERRED, RECIPIENT_PENDING},
    };
    struct envelope *e = spool_bytes_envelope();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct spool_file f;
        struct errbuf err = {""};

        spool_bytes_make(&s, e, BODY);
        spool_format_attempt(&s.t, 100, 0, rows[i].first, "x", SPAN_LIT("first"));
        spool_format_attempt(&s.t, 200, 0, rows[i].second, "x", SPAN_LIT("second"));
        assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
        assert_int_equal(f.envelope->recipients[0].state, rows[i].want);
        spool_file_deinit(&f);
    }
    envelope_free(&e);
}

/* Unless the operator says so. */
#define EXPIRE  "expire 5 \"x\"\n"
#define HOLD    "hold 6 \"x\"\n"
#define EXPIRED "hold 6 \"expired\"\n"
#define RELEASE "release 7 \"x\"\n"
#define REQUEUE "requeue 8 \"x\"\n"
#define ALL_OUT "attempt 2 rcpt=2 sent 2.0.0 \"x\"\n"
#define FAILS   "attempt 9 rcpt=1 failed 5.1.1 \"x\"\n"

static const char *orders_shown(const char *records)
{
    static const char *const states[] = {"pending", "sent", "failed"};
    static char shown[100];
    struct envelope *e = spool_bytes_envelope();
    struct spool_file f;
    struct errbuf err = {""};

    spool_bytes_make(&s, e, BODY);
    spool_format_attempt(&s.t, 1, 0, SPOOL_SENT, "x", SPAN_LIT("first"));
    spool_format_attempt(&s.t, 1, 1, SPOOL_FAILED, "x", SPAN_LIT("second"));
    text_cstr(&s.t, records);
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    snprintf(shown, sizeof shown, "%s %s%s%s%d", states[f.envelope->recipients[0].state],
             states[f.envelope->recipients[1].state], f.on_hold ? " hold " : " ",
             f.forced_expire ? "expire " : "", (int)f.released_s);
    spool_file_deinit(&f);
    envelope_free(&e);
    return shown;
}

static void test_orders(void **state)
{
    static const char *const rows[][2] = {
        {"",                             "sent failed 0"            },
        {REQUEUE,                        "sent pending 8"           },
        {RELEASE,                        "sent failed 7"            },
        {HOLD REQUEUE,                   "sent pending 8"           },
        {ALL_OUT HOLD RELEASE,           "sent pending 7"           },
        {ALL_OUT REQUEUE FAILS,          "sent failed 8"            },
        {EXPIRE,                         "sent failed expire 0"     },
        {EXPIRE EXPIRED,                 "sent failed hold expire 0"},
        {EXPIRE EXPIRED RELEASE,         "sent failed 7"            },
        {HOLD EXPIRE RELEASE,            "sent failed expire 7"     },
        {EXPIRE REQUEUE,                 "sent pending 8"           },
        {EXPIRE EXPIRED RELEASE REQUEUE, "sent pending 8"           },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(orders_shown(rows[i][0]), rows[i][1]);
}

/* ---- reports ---- */

#define R1          "06401F3A9C2E8001"
#define R2          "06401F3A9C2E8002"
#define HOLD_FAILED "hold 6 \"failed\"\n"
#define BOUNCE      "bounce 7 \"" R1 "\"\n"
#define BOUNCED     "bounced 7 \"" R1 "\"\n"
#define NOTICE      "notice 7 \"" R2 "\"\n"
#define NOTICED     "noticed 7 \"" R2 "\"\n"
#define DELAY       "delay 7 \"" R1 "\"\n"
#define DELAYED     "delayed 7 \"" R1 "\"\n"
#define SUCCESS     "success 7 \"" R1 "\"\n"
#define SUCCEEDED   "succeeded 7 \"" R1 "\"\n"
#define OWED        "owed 7 rcpt=2 delivered 2.0.0 \"delivery via a[192.0.2.1]:24: 250 Ok\"\n"
#define SENT        "attempt 7 rcpt=2 sent 2.0.0 \"250 Ok\"\n"
#define DEFERRED    "attempt 7 rcpt=2 deferred 4.0.0 \"later\"\n"
#define FAILED      "attempt 7 rcpt=2 failed 5.0.0 \"no\"\n"

/* The second recipient failed, the third is pending. */
static const char *reports_shown(const char *records)
{
    static const char *const states[] = {"pending", "sent", "failed"};
    static const char *const reports_begun[] = {[SPOOL_BOUNCE] = "bounce ",
                                                [SPOOL_NOTICE] = "notice ",
                                                [SPOOL_DELAY] = "delay ",
                                                [SPOOL_SUCCESS] = "success "};
    static const char *const owes[] = {"", "-delivered", "-relayed"};
    static char shown[100];
    struct envelope *e = spool_bytes_envelope();
    struct spool_file f;
    struct errbuf err = {""};
    struct text t;

    spool_bytes_make(&s, e, BODY);
    spool_format_attempt(&s.t, 1, 1, SPOOL_FAILED, "5.1.1", SPAN_LIT("second"));
    spool_format_attempt(&s.t, 1, 2, SPOOL_DEFERRED, "4.1.1", SPAN_LIT("third"));
    text_cstr(&s.t, records);
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    text_init(&t, shown, sizeof shown);
    for (size_t i = 1; i < 3; i++)
        text_printf(&t, "%s%s%s ", states[f.envelope->recipients[i].state],
                    owes[f.envelope->recipients[i].owes],
                    f.envelope->recipients[i].told ? "-told" : "");
    text_printf(&t, "%s%s%s%s", f.delayed ? "delayed" : "",
                f.report_id.text[0] ? reports_begun[f.report] : "", f.report_id.text,
                f.noticed ? "noticed" : "");
    assert_string_equal(f.envelope->recipients[1].dsn, "5.1.1");
    spool_file_deinit(&f);
    envelope_free(&e);
    return shown;
}

static void test_reports(void **state)
{
    static const char *const rows[][2] = {
        {"",                                     "failed pending "                  },
        {BOUNCE,                                 "failed pending bounce " R1        },
        {BOUNCE BOUNCED,                         "failed-told pending "             },
        {BOUNCED,                                "failed pending "                  }, /* none was begun */
        {NOTICE BOUNCED,                         "failed pending notice " R2        },
        {BOUNCE NOTICE,                          "failed pending notice " R2        }, /* the last counts */
        {BOUNCE BOUNCED REQUEUE,                 "failed-told pending "             },
        {BOUNCE REQUEUE BOUNCED,                 "pending pending "                 }, /* void */
        {EXPIRED BOUNCE,                         "failed pending bounce " R1        },
        {EXPIRED BOUNCE BOUNCED,                 "failed-told failed-told "         },
        {HOLD_FAILED NOTICE,                     "failed pending notice " R2        },
        {HOLD_FAILED NOTICE NOTICED,             "failed pending noticed"           },
        {HOLD_FAILED NOTICE BOUNCE NOTICED,      "failed pending bounce " R1        },
        {HOLD_FAILED "noticed 7 \"\"\n",         "failed pending noticed"           },
        {HOLD_FAILED NOTICE NOTICED RELEASE,     "failed pending "                  },
        {NOTICE NOTICED,                         "failed pending "                  }, /* not on hold */
        {"bounce 7 \"no id\"\nbounced 7 \"\"\n", "failed pending "                  },
        {BOUNCE HOLD_FAILED "noticed 7 \"\"\n",  "failed pending noticed"           },
        {BOUNCE FAILED BOUNCED,                  "failed-told failed "              }, /* that came after */
        {EXPIRED BOUNCE HOLD BOUNCED,            "failed-told failed-told "         },
        {DELAY,                                  "failed pending delay " R1         },
        {DELAY DELAYED,                          "failed pending delayed"           },
        {DELAY REQUEUE DELAYED,                  "pending pending delayed"          }, /* once, all the same */
        {DELAY "delayed 7 \"\"\n",               "failed pending delayed"           }, /* nobody */
        {OWED SENT,                              "failed sent-delivered "           },
        {OWED SENT SUCCESS,                      "failed sent-delivered success " R1},
        {OWED SENT SUCCESS SUCCEEDED,            "failed sent-delivered-told "      },
        {OWED SENT SUCCESS REQUEUE SUCCEEDED,    "pending sent-delivered-told "     },
        {OWED DEFERRED SENT,                     "failed sent "                     }, /* was torn off */
        {SENT OWED,                              "failed sent "                     },
        {SUCCESS OWED SENT SUCCEEDED,            "failed sent-delivered "           }, /* came after */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(reports_shown(rows[i][0]), rows[i][1]);
}

static void test_reports_written(void **state)
{
    static const char *const want[] = {BOUNCE, BOUNCED, NOTICE,  NOTICED,
                                       DELAY,  DELAYED, SUCCESS, SUCCEEDED};
    char buf[SPOOL_RECORD_CAP];

    for (int i = SPOOL_BOUNCE; i <= SPOOL_SUCCEEDED; i++) {
        struct text t;

        text_init(&t, buf, sizeof buf);
        spool_format_report(&t, 7, (enum spool_report)i, i / 2 == 1 ? R2 : R1);
        assert_string_equal(buf, want[i]);
    }
}

/* What is written is what is read. */
static void test_orders_written(void **state)
{
    struct envelope *e = spool_bytes_envelope();
    struct spool_file f;
    struct errbuf err = {""};

    spool_bytes_make(&s, e, BODY);
    spool_format_expire(&s.t, 10, SPAN_LIT("by \"me\""));
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    assert_true(f.forced_expire);
    spool_file_deinit(&f);
    spool_format_requeue(&s.t, 20, SPAN_LIT("by \"me\""));
    assert_int_equal(spool_bytes_parse(&s, s.t.len, &f, &err), SPOOL_PARSE_OK);
    assert_false(f.forced_expire);
    assert_int_equal(f.released_s, 20);
    spool_file_deinit(&f);
    envelope_free(&e);
}

/* ---- cut and damaged ------------------------------------------------------- */

/*
 * Power loss may leave any length: header cut: MORE. Body or end line cut: CORRUPT. Later: OK, with
 * the records that are complete. Nothing else, and nothing leaked.
 */
static void test_every_truncation(void **state)
{
    struct envelope *e = spool_bytes_envelope();
    unsigned last_attempts = 0;

    spool_bytes_make(&s, e, BODY);
    add_records();
    for (size_t len = 0; len <= s.t.len; len++) {
        struct spool_file f;
        struct errbuf err = {""};
        enum spool_parse rc = spool_bytes_parse(&s, len, &f, &err);

        if (len < s.header_len) {
            assert_int_equal(rc, SPOOL_PARSE_MORE);
            assert_null(f.envelope);
        } else if (len < s.records_at) {
            assert_int_equal(rc, SPOOL_PARSE_CORRUPT);
            assert_string_not_equal(err.text, "");
        } else {
            assert_int_equal(rc, SPOOL_PARSE_OK);
            assert_in_range(f.attempts, last_attempts, last_attempts + 1);
            last_attempts = f.attempts;
        }
        spool_file_deinit(&f);
    }
    assert_int_equal(last_attempts, 3);
    envelope_free(&e);
}

/* The sum finds every changed byte of header, body and end line, if the parser has not yet. */
static void test_every_damaged_byte(void **state)
{
    struct envelope *e = spool_bytes_envelope();

    spool_bytes_make(&s, e, BODY);
    for (size_t at = 0; at < s.records_at; at++) {
        for (unsigned flip = 1; flip < 256; flip <<= 1) {
            struct spool_file f;
            struct errbuf err = {""};
            enum spool_parse rc;

            s.bytes[at] = (char)(s.bytes[at] ^ flip);
            rc = spool_bytes_parse(&s, s.t.len, &f, &err);
            /* Letter case of the sum itself changes nothing. */
            if (rc == SPOOL_PARSE_OK && (flip != 0x20 || at < s.end_at))
                fail_msg("byte %zu, bit %x: not noticed", at, flip);
            s.bytes[at] = (char)(s.bytes[at] ^ flip);
            spool_file_deinit(&f);
        }
    }
    envelope_free(&e);
}

static void check_header(const char *text, enum spool_parse want, const char *why)
{
    struct spool_file f;
    struct errbuf err = {""};
    enum spool_parse rc = spool_parse_header(span_of(text), &f, &err);

    if (rc != want || (why && strcmp(err.text, why) != 0))
        fail_msg("\"%s\": %d, %s", text, (int)rc, err.text);
    spool_file_deinit(&f);
}

#define HEAD "mxgate-spool 1\nid 06401F3A9C2E7001\narrival 1.000000\n"
#define TO   "client - - 0 helo=- proto=-\nsender <>\n"

static void test_bad_headers(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"x",                                                                    "line 1: not a spool file"                    },
        {"mxgate-spool1\n",                                                      "line 1: not a spool file"                    },
        {"\n",                                                                   "line 1: not a spool file"                    },
        {"mxgate-spool 2\nanything\n",                                           "line 1: written by another version of mxgate"},
        {"mxgate-spool 1\r\n",                                                   "line 1: written by another version of mxgate"},
        {"mxgate-spool 1\narrival 1.000000\n",                                   "line 2: not the line that belongs here"      },
        {"mxgate-spool 1\nid 06401f3a9c2e7001\n",                                "line 2: bad id"                              },
        {"mxgate-spool 1\nid ../../etc/passwd\n",                                "line 2: bad id"                              },
        {"mxgate-spool 1\nid 06401F3A9C2E7001\narrival -1.000000\n",             "line 3: bad arrival time"                    },
        {"mxgate-spool 1\nid 06401F3A9C2E7001\narrival 1.00000\n",               "line 3: bad arrival time"                    },
        {"mxgate-spool 1\nid 06401F3A9C2E7001\narrival 99999999999999.000000\n",
         "line 3: bad arrival time"                                                                                            },
        {HEAD "client a b\n",                                                    "line 4: bad client"                          },
        {HEAD "client a b 65536\n",                                              "line 4: bad client"                          },
        {HEAD "client a b 0 helo=\\x00\n",                                       "line 4: bad client"                          },
        {HEAD "client a b 0 helo=\\x4\n",                                        "line 4: bad client"                          },
        {HEAD "client a b 0 helo=\\n\n",                                         "line 4: bad client"                          },
        {HEAD "client a b 0 helo=a\tb\n",                                        "line 4: bad client"                          },
        {HEAD "client a b 0 word\n",                                             "line 4: bad client"                          },
        {HEAD "client - - 0\nsender bob\n",                                      "line 5: bad sender"                          },
        {HEAD "client - - 0\nsender <\n",                                        "line 5: bad sender"                          },
        {HEAD "client - - 0\nsender <> RET=SOME\n",                              "line 5: bad sender"                          },
        {HEAD "client - - 0\nsender <> 9BITMIME\n",                              "line 5: bad sender"                          },
        {HEAD TO "rcpt 1 <a@b>\n",                                               "line 6: bad recipient"                       },
        {HEAD TO "rcpt 0 a@b\n",                                                 "line 6: bad recipient"                       },
        {HEAD TO "rcpt 0 <a@b> NOTIFY=MAYBE\n",                                  "line 6: bad recipient"                       },
        {HEAD TO "rcpt 0 <a@b> what\n",                                          "line 6: bad recipient"                       },
        {HEAD TO "rcpt 0 <a@b>\nrcpt 0 <c@d>\n",                                 "line 7: bad recipient"                       },
        {HEAD TO "body 0000000000000\n",                                         "line 6: neither rcpt nor body"               },
        {HEAD TO "rcpt 0 <a@b>\nbody x\n",                                       "line 7: bad body length"                     },
        {HEAD TO "rcpt 0 <a@b>\nbody 18446744073709551615\n",                    "line 7: bad body length"                     },
        {HEAD TO "rcpt 0 <a@b>\nhold 1 \"x\"\n",                                 "line 7: neither rcpt nor body"               },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_header(rows[i].text, SPOOL_PARSE_CORRUPT, rows[i].why);
}

/* Words that a newer version may add, and short forms that an older one may have written. */
static void test_other_versions(void **state)
{
    check_header(HEAD "client - - 0\nsender <>\nrcpt 0 <a@b>\nbody 0\n", SPOOL_PARSE_OK, NULL);
    check_header(HEAD "client - - 0 proto=- tls=TLSv1.2 helo=-\nsender <> AUTH=x RET=FULL\n"
                      "rcpt 0 <a@b> BY=120;R NOTIFY=NEVER\nbody 12345678901234\n",
                 SPOOL_PARSE_OK, NULL);
}

static void test_header_limits(void **state)
{
    static char line[SPOOL_LINE_MAX + 200];
    struct text t;

    for (size_t len = SPOOL_LINE_MAX - 1; len <= SPOOL_LINE_MAX + 1; len++) {
        enum spool_parse want = len <= SPOOL_LINE_MAX ? SPOOL_PARSE_OK : SPOOL_PARSE_CORRUPT;
        size_t start;

        text_init(&t, line, sizeof line);
        text_cstr(&t, HEAD);
        start = t.len;
        text_cstr(&t, "client - - 0 x=");
        while (t.len - start < len)
            text_char(&t, 'x');
        check_header(line, want == SPOOL_PARSE_OK ? SPOOL_PARSE_MORE : want, NULL);
        text_cstr(&t, "\nsender <>\nrcpt 0 <a@b>\nbody 0\n");
        check_header(line, want, NULL);
    }
}

static void check_tail(const char *text, enum spool_parse want, const char *why)
{
    struct spool_file f = {.envelope = spool_bytes_envelope()};
    struct errbuf err = {""};
    enum spool_parse rc = spool_parse_tail(span_of(text), NULL, &f, &err);

    if (rc != want || strcmp(err.text, why) != 0)
        fail_msg("\"%s\": %d, %s", text, (int)rc, err.text);
    spool_file_deinit(&f);
}

#define END "end crc32c=00000000\n"

static void test_tails(void **state)
{
    static const struct {
        const char *text;
        const char *why; /* after "after the body: line "; NULL: OK */
    } rows[] = {
        {"",                                                  "0: the end of the message is missing"},
        {"end crc32c=00000000",                               "0: the end of the message is missing"},
        {"end crc32c=0000000\n",                              "1: no end line after the body"       },
        {"end sha=00000000\n",                                "1: no end line after the body"       },
        {"body 5\n",                                          "1: no end line after the body"       },
        {END,                                                 NULL                                  },
        {END "attempt 1 rcpt=0 sent 2.0.0 \"ok\"",            NULL                                  }, /* torn: no LF */
        {END "rubbish without",                               NULL                                  }, /* torn */
        {END "attempt 1 rcpt=0 sent 2.0.0 \"ok\"\n",          NULL                                  },
        {END "attempt 1 rcpt=0 sent 2.0.0 \"\"\n",            NULL                                  },
        {END "attempt 1 rcpt=3 sent 2.0.0 \"ok\"\n",          "2: bad attempt record"               },
        {END "attempt x rcpt=0 sent 2.0.0 \"ok\"\n",          "2: bad attempt record"               },
        {END "attempt 1 rcpt=0 lost 2.0.0 \"ok\"\n",          "2: bad attempt record"               },
        {END "attempt 1 rcpt=0 sent 2.0.0\n",                 "2: bad attempt record"               },
        {END "attempt 1 rcpt=0 sent \"ok\"\n",                "2: bad attempt record"               },
        {END "attempt 1 rcpt=0 sent 2.0.0 ok\n",              "2: bad attempt record"               },
        {END "attempt 1 rcpt=0 sent 2.0.0 \"\n",              "2: bad attempt record"               },
        {END "attempt 1 rcpt=0 sent 2.0.0 \"a\"b\"\n",        "2: bad attempt record"               },
        {END "attempt 1 rcpt=0 se"
             "attempt 1 rcpt=0 sent 2.0.0 \"ok\"\n", "2: bad attempt record"               }, /* glued to a torn one: spool cuts that off first */
        {END "hold 1 \"x\"\nrelease 2 \"y\"\nhold 3\n",       "4: bad record of an order"           },
        {END "hold x \"x\"\n",                                "2: bad record of an order"           },
        {END "freeze 1 2 3\n",                                NULL                                  }, /* a newer version's */
        {END "\n",                                            "2: no record"                        },
        {END "Attempt 1\n",                                   "2: no record"                        },
        {END "word\n",                                        "2: no record"                        },
        {END " x\n",                                          "2: no record"                        },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char why[100] = "";
        struct text t;

        text_init(&t, why, sizeof why);
        if (rows[i].why)
            text_printf(&t, "after the body: line %s", rows[i].why);
        check_tail(rows[i].text, rows[i].why ? SPOOL_PARSE_CORRUPT : SPOOL_PARSE_OK, why);
    }
}

/*
 * Power loss may leave any part of records that were not synced as zeros, line ends too. What
 * touches the hole is nothing; what was written before it and after it counts; the file is good.
 */
static void test_every_hole(void **state)
{
    static const char text[] = END "attempt 1 rcpt=0 deferred 4.2.2 \"full\"\n"
                                   "attempt 2 rcpt=0 deferred 4.2.2 \"still\"\n"
                                   "attempt 3 rcpt=0 deferred 4.2.2 \"and still\"\n";
    const size_t first = sizeof END - 1;
    char bytes[sizeof text];

    for (size_t from = first; from < sizeof text - 1; from++) {
        for (size_t to = from + 1; to <= sizeof text - 1; to++) {
            struct spool_file f = {.envelope = spool_bytes_envelope()};
            struct errbuf err = {""};
            unsigned whole = 0;

            memcpy(bytes, text, sizeof text);
            memset(bytes + from, 0, to - from);
            for (const char *line = text + first; *line; line = strchr(line, '\n') + 1) {
                const char *end = strchr(line, '\n') + 1;

                /* its bytes and the LF before it are there */
                whole += end <= text + from || (line > text + to && line[-1] == '\n');
            }
            assert_int_equal(spool_parse_tail(span_make(bytes, sizeof text - 1), NULL, &f, &err),
                             SPOOL_PARSE_OK);
            assert_int_equal(f.attempts, whole);
            spool_file_deinit(&f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_hole),
        cmocka_unit_test(test_golden_file),
        cmocka_unit_test(test_header_size_is_an_upper_bound),
        cmocka_unit_test(test_header_length_does_not_depend_on_the_body),
        cmocka_unit_test(test_long_reasons_are_cut),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_of_empty_fields),
        cmocka_unit_test(test_each_byte_in_a_helo),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_final_states_stay),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_orders_written),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_reports_written),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_damaged_byte),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_other_versions),
        cmocka_unit_test(test_header_limits),
        cmocka_unit_test(test_tails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
