/* Tests of server/sasl_dovecot: every row at every split; what is said to it. */
#include "server/sasl_dovecot.h"

#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct sasl_dovecot subject;

static void start(void *self)
{
    memset(self, 0xee, sizeof subject);
    sasl_dovecot_init(self);
}

static void put_mechanisms(const struct sasl_dovecot *d, struct trace *t)
{
    text_cstr(&t->text, "ready(");
    for (size_t i = 0; i < d->mechanisms.count; i++)
        text_printf(&t->text, "%s%s/%x", i > 0 ? " " : "", d->mechanisms.items[i].name,
                    d->mechanisms.items[i].properties);
    text_cstr(&t->text, ") ");
}

static void feed(void *self, struct span in, struct trace *t)
{
    struct sasl_dovecot *d = self;

    while (in.len > 0) {
        switch (sasl_dovecot_feed(d, &in)) {
        case SASL_DOVECOT_MORE:
            assert_int_equal(in.len, 0);
            break;
        case SASL_DOVECOT_READY:
            put_mechanisms(d, t);
            break;
        case SASL_DOVECOT_OK:
            text_printf(&t->text, "ok(%ju %s) ", (uintmax_t)d->id, d->user);
            break;
        case SASL_DOVECOT_CONT:
            text_printf(&t->text, "cont(%ju ", (uintmax_t)d->id);
            trace_bytes(t, d->challenge);
            text_cstr(&t->text, ") ");
            break;
        case SASL_DOVECOT_FAIL:
            text_printf(&t->text, "fail(%ju user=%s reason=%s%s) ", (uintmax_t)d->id, d->user,
                        d->reason, d->trouble ? " temp" : "");
            break;
        case SASL_DOVECOT_BROKEN:
            if (strstr(t->buf, "broken") == NULL)
                text_printf(&t->text, "broken(%s)", d->reason);
            return;
        }
    }
}

static void finish(void *self, struct trace *t)
{
    (void)self;
    (void)t;
}

static const struct trace_subject trickle = {&subject, start, feed, finish};

#define HELLO                                                                                      \
    "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\n"                  \
    "MECH\tDOVECOT-TOKEN\tprivate\nSPID\t7\nCUID\t1\nCOOKIE\tabc\nDONE\n"
#define READY "ready(PLAIN/1 CRAM-MD5/6 DOVECOT-TOKEN/40) "

static void test_rows(void **state)
{
    static const struct {
        const char *name;
        struct span input;
        const char *want;
    } rows[] = {
        {"nothing",       SPAN_LIT(""),                                                            ""                                 },
        {"greeting",      SPAN_LIT(HELLO),                                                         READY                              },
        {"ok",            SPAN_LIT(HELLO "OK\t1\tuser=ann\tx=y\n"),                                READY "ok(1 ann) "                 },
        {"ok, no name",   SPAN_LIT(HELLO "OK\t1\n"),                                               READY "ok(1 ) "                    },
        {"cont",          SPAN_LIT(HELLO "CONT\t2\tPDE+\n"),                                       READY "cont(2 PDE+) "              },
        {"empty cont",    SPAN_LIT(HELLO "CONT\t2\t\nCONT\t3\n"),                                  READY "cont(2 ) cont(3 ) "         },
        {"fail",          SPAN_LIT(HELLO "FAIL\t3\tuser=ann\treason=no way\n"),
         READY "fail(3 user=ann reason=no way) "                                                                                      },
        {"temp",          SPAN_LIT(HELLO "FAIL\t3\ttemp\nFAIL\t4\tcode=temp_fail\n"),
         READY "fail(3 user= reason= temp) fail(4 user= reason= temp) "                                                               },
        {"other codes",   SPAN_LIT(HELLO "FAIL\t3\tcode=user_disabled\tauthz\n"),
         READY "fail(3 user= reason=) "                                                                                               },
        {"escaped",
         SPAN_LIT(HELLO "OK\t1\tuser=a\x01tb\x01nc\x01"
                        "1d\x01"
                        "0e\x01xf\x01\n"),
         READY "ok(1 a?b?c?d?exf?) "                                                                                                  },
        {"two at once",   SPAN_LIT(HELLO "OK\t1\tuser=a\nOK\t2\tuser=b\n"),                        READY "ok(1 a) ok(2 b) "           },
        {"no id",         SPAN_LIT(HELLO "OK\nOK\tx\nOK\t-1\nFAIL\t99999999999\n"),                READY                              },
        {"not known",     SPAN_LIT("HELLO\tx\n" HELLO "NEWS\t1\n\n\nREFUSED\t1\n"),                READY                              },
        {"before DONE",   SPAN_LIT("OK\t1\tuser=a\n" HELLO),                                       READY                              },
        {"version",       SPAN_LIT("VERSION\t2\t0\n" HELLO),                                       "broken(protocol version mismatch)"},
        {"no version",    SPAN_LIT("VERSION\n" HELLO),                                             "broken(protocol version error)"   },
        {"master socket", SPAN_LIT("VERSION\t1\t0\nSPID\t1\nOK\t1\tuser=a\n"),
         "broken(no mechanism is offered: it is not a socket for authentication clients)"                                             },
        {"bad names",     SPAN_LIT("VERSION\t1\t0\nMECH\nMECH\t\nMECH\tA B\nMECH\tPLAIN\nDONE\n"),
         "ready(PLAIN/0) "                                                                                                            },
    };

    for (size_t i = 0; i < ROWS(rows); i++)
        trace_check_splits(&trickle, rows[i].input, rows[i].want, rows[i].name);
}

/* A name that does not fit is nobody's; a reason is cut. */
static void test_long_texts(void **state)
{
    static char input[2000];
    struct span in;
    struct text t;

    text_init(&t, input, sizeof input);
    text_cstr(&t, HELLO "OK\t1\tuser=");
    for (int i = 0; i < SASL_LOGIN_CAP; i++)
        text_char(&t, 'x');
    text_cstr(&t, "\nFAIL\t2\treason=");
    for (int i = 0; i < 500; i++)
        text_char(&t, 'y');
    text_char(&t, '\n');
    start(&subject);
    in = text_as_span(&t);
    assert_int_equal(sasl_dovecot_feed(&subject, &in), SASL_DOVECOT_READY);
    assert_int_equal(sasl_dovecot_feed(&subject, &in), SASL_DOVECOT_OK);
    assert_string_equal(subject.user, "");
    assert_int_equal(sasl_dovecot_feed(&subject, &in), SASL_DOVECOT_FAIL);
    assert_int_equal(strlen(subject.reason), SASL_DOVECOT_REASON_CAP - 1);
}

static void test_longest_line(void **state)
{
    static char input[SASL_DOVECOT_LINE_MAX + 2];

    for (size_t len = SASL_DOVECOT_LINE_MAX - 1; len <= SASL_DOVECOT_LINE_MAX + 1; len++) {
        struct span in = span_make(input, len + 1);
        bool fits = len <= SASL_DOVECOT_LINE_MAX;

        memset(input, 'x', len);
        input[len] = '\n';
        start(&subject);
        assert_int_equal(sasl_dovecot_feed(&subject, &in),
                         fits ? SASL_DOVECOT_MORE : SASL_DOVECOT_BROKEN);
        in = SPAN_LIT(HELLO);
        assert_int_equal(sasl_dovecot_feed(&subject, &in),
                         fits ? SASL_DOVECOT_READY : SASL_DOVECOT_BROKEN);
    }
}

static void test_random_bytes(void **state)
{
    uint64_t seed = 7;
    char buf[300];

    for (int i = 0; i < 300; i++) {
        size_t len = trace_random(&seed) % sizeof buf;

        trace_random_bytes(&seed, SPAN_LIT("\t\n1OKCNTFAILVERSIOMHD=user \x01"), buf, len);
        trace_check_splits_agree(&trickle, span_make(buf, len), "random bytes");
    }
}

static void test_what_is_said(void **state)
{
    struct sasl_dovecot_request r = {.id = 3,
                                     .mechanism = "PLAIN",
                                     .service = "smtp",
                                     .local_address = "192.0.2.1",
                                     .local_port = 587,
                                     .remote_address = "2001:db8::1",
                                     .remote_port = 51234,
                                     .secured = true,
                                     .has_initial = true,
                                     .initial = SPAN_LIT("AGEAYg==")};
    char buf[400];
    struct text t;

    text_init(&t, buf, sizeof buf);
    sasl_dovecot_put_hello(&t, 7);
    sasl_dovecot_put_auth(&t, &r);
    r.initial = SPAN_LIT("");
    r.local_address = "";
    r.remote_port = 0;
    r.secured = false;
    sasl_dovecot_put_auth(&t, &r);
    r.has_initial = false;
    sasl_dovecot_put_auth(&t, &r);
    sasl_dovecot_put_cont(&t, 3, SPAN_LIT("eA=="));
    sasl_dovecot_put_cont(&t, 3, SPAN_LIT(""));
    sasl_dovecot_put_cancel(&t, 3);
    assert_string_equal(
        buf, "VERSION\t1\t1\nCPID\t7\n"
             "AUTH\t3\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\tlport=587\trip=2001:db8::1\t"
             "rport=51234\tsecured\tresp=AGEAYg==\n"
             "AUTH\t3\tPLAIN\tservice=smtp\tnologin\trip=2001:db8::1\tresp==\n"
             "AUTH\t3\tPLAIN\tservice=smtp\tnologin\trip=2001:db8::1\n"
             "CONT\t3\teA==\nCONT\t3\t\nCANCEL\t3\n");
    assert_false(t.overflow);
}

static void test_cancel(void **state)
{
    struct span in = SPAN_LIT("VERSION\t1\t0\n");

    start(&subject);
    sasl_dovecot_feed(&subject, &in);
    assert_false(sasl_dovecot_can_cancel(&subject));
    in = SPAN_LIT("VERSION\t1\t1\n");
    sasl_dovecot_feed(&subject, &in);
    assert_true(sasl_dovecot_can_cancel(&subject));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),         cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_longest_line), cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_what_is_said), cmocka_unit_test(test_cancel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
