/* Tests of control/control_format: requests whole, at every cut and byte by byte; faults; replies.
 */
#include "control/control_format.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

static const char *const verbs[CONTROL_VERB_COUNT] = {
    "PING",   "STATUS", "JSON",     "ACTIVE", "FLUSH", "ID",    "SITE",
    "RELOAD", "ORDER",  "DRAIN",    "SHOW",   "UNDO",  "STOP",  "VERIFY",
    "SMTP",   "SUBMIT", "RESUBMIT", "FROM",   "RCPT",  "CHUNK", "END",
};

/* Bytes of one chunk are one piece of the trace, however they come. */
struct subject {
    struct control_parser parser;
    bool in_chunk;
    bool dead;
};

static void start(void *self)
{
    struct subject *s = self;

    memset(s, 0xee, sizeof *s); /* init must not rely on zeroed memory */
    s->in_chunk = s->dead = false;
    control_parser_init(&s->parser);
}

static void say(struct subject *s, struct trace *t, const char *words)
{
    if (s->in_chunk)
        text_cstr(&t->text, "} ");
    s->in_chunk = false;
    text_cstr(&t->text, words);
}

static void take_request(struct subject *s, struct trace *t, const struct control_request *r)
{
    say(s, t, verbs[r->verb]);
    if (r->argument.len > 0) {
        text_char(&t->text, '(');
        trace_bytes(t, r->argument);
        text_char(&t->text, ')');
    }
    if (r->verb == CONTROL_FLUSH_ID || r->verb == CONTROL_RESUBMIT)
        assert_true(span_equal(span_of(r->id.text), r->argument));
    text_char(&t->text, ' ');
}

static void feed(void *self, struct span in, struct trace *t)
{
    struct subject *s = self;

    while (!s->dead) {
        struct control_request request;
        struct span bytes;
        enum control_event event = control_parse(&s->parser, &in, &request, &bytes);

        if (event == CONTROL_MORE)
            break;
        if (event == CONTROL_REQUEST) {
            take_request(s, t, &request);
        } else if (event == CONTROL_BYTES) {
            size_t half = (bytes.len + 1) / 2; /* what is not taken is shown again */

            if (!s->in_chunk)
                text_char(&t->text, '{');
            s->in_chunk = true;
            trace_bytes(t, span_first(bytes, half));
            control_take(&s->parser, &in, half);
        } else {
            say(s, t, "FAULT: ");
            text_span(&t->text, bytes);
            s->dead = true;
        }
    }
    assert_true(s->dead || in.len == 0);
}

static void finish(void *self, struct trace *t)
{
    say(self, t, "");
}

static struct subject subject;
static const struct trace_subject trickle = {&subject, start, feed, finish};

#define NO_SUCH "FAULT: there is no such request"
#define NOT_NOW "FAULT: a request came where it may not"
#define BAD_ARG "FAULT: a request has a bad argument"

static const struct row {
    const char *name;
    struct span input;
    const char *want;
} rows[] = {
    {"nothing",               SPAN_LIT(""),                                                              ""                                         },
    {"ping",                  SPAN_LIT("ping\n"),                                                        "PING "                                    },
    {"half a request",        SPAN_LIT("pin"),                                                           ""                                         },
    {"several",               SPAN_LIT("ping\nstatus\nstatus json\nactive\n"),                           "PING STATUS JSON(json) ACTIVE "           },
    {"flushes",               SPAN_LIT("flush\nflush 06401F3A9C2E7001\nflush-site example.com\n"),
     "FLUSH ID(06401F3A9C2E7001) SITE(example.com) "                                                                                                },
    {"orders",                SPAN_LIT("order delete hold ALL\norder hold deferred 06401F3A9C2E7001\n"),
     "ORDER(delete hold ALL) ORDER(hold deferred 06401F3A9C2E7001) "                                                                                },
    {"order what",            SPAN_LIT("order delete hold\n"),                                           BAD_ARG                                    },
    {"reload",                SPAN_LIT("reload\n"),                                                      "RELOAD "                                  },
    {"stop, verify, smtp",    SPAN_LIT("stop\nverify <a@b>\nsmtp\n"),                                    "STOP VERIFY(<a@b>) SMTP "                 },
    {"drain",                 SPAN_LIT("drain 10000\ndrain\nundrain\n"),                                 "DRAIN(10000) SHOW UNDO "                  },
    {"drain for how long",    SPAN_LIT("drain soon\n"),                                                  BAD_ARG                                    },
    {"drain for too long",    SPAN_LIT("drain 86400001\n"),                                              BAD_ARG                                    },
    {"verify whom",           SPAN_LIT("verify\n"),                                                      BAD_ARG                                    },
    {"submission",
     SPAN_LIT("submit\nfrom <a@b> RET=HDRS\nrcpt <c@d>\nrcpt <e@f>\nchunk 5\nx\ny\0\nchunk 0\n"
              "chunk 2\nq\nend\nping\n"),
     "SUBMIT FROM(<a@b> RET=HDRS) RCPT(<c@d>) RCPT(<e@f>) CHUNK(5) {x\\ny\\0\\n} CHUNK(0) "
     "CHUNK(2) {q\\n} END PING "                                                                                                                    },
    {"resubmission",          SPAN_LIT("submit 06401F3A9C2E7001\nfrom <>\nrcpt <c@d>\nend\n"),
     "RESUBMIT(06401F3A9C2E7001) FROM(<>) RCPT(<c@d>) END "                                                                                         },
    {"of what",               SPAN_LIT("submit 123\n"),                                                  BAD_ARG                                    },
    {"no body",               SPAN_LIT("submit\nfrom <>\nrcpt <c@d>\nend\n"),                            "SUBMIT FROM(<>) RCPT(<c@d>) END "         },
    {"ends in a chunk",       SPAN_LIT("submit\nfrom <>\nrcpt <c>\nchunk 5\nend\n"),
     "SUBMIT FROM(<>) RCPT(<c>) CHUNK(5) {end\\n} "                                                                                                 },
    {"empty line",            SPAN_LIT("\n"),                                                            NO_SUCH                                    },
    {"unknown",               SPAN_LIT("EHLO x\n"),                                                      NO_SUCH                                    },
    {"case counts",           SPAN_LIT("PING\n"),                                                        NO_SUCH                                    },
    {"blank before",          SPAN_LIT(" ping\n"),                                                       NO_SUCH                                    },
    {"CRLF",                  SPAN_LIT("ping\r\n"),                                                      "FAULT: a request has a control byte in it"},
    {"NUL",                   SPAN_LIT("pi\0ng\n"),                                                      "FAULT: a request has a control byte in it"},
    {"argument to ping",      SPAN_LIT("ping x\n"),                                                      BAD_ARG                                    },
    {"status of what",        SPAN_LIT("status xml\n"),                                                  BAD_ARG                                    },
    {"flush what",            SPAN_LIT("flush 123\n"),                                                   BAD_ARG                                    },
    {"flush which site",      SPAN_LIT("flush-site \n"),                                                 BAD_ARG                                    },
    {"nothing after a fault", SPAN_LIT("what\nping\n"),                                                  NO_SUCH                                    },
    {"end without submit",    SPAN_LIT("end\n"),                                                         NOT_NOW                                    },
    {"from without submit",   SPAN_LIT("from <>\n"),                                                     NOT_NOW                                    },
    {"rcpt before from",      SPAN_LIT("submit\nrcpt <a>\n"),                                            "SUBMIT " NOT_NOW                          },
    {"from twice",            SPAN_LIT("submit\nfrom <>\nfrom <>\n"),                                    "SUBMIT FROM(<>) " NOT_NOW                 },
    {"end without recipient", SPAN_LIT("submit\nfrom <>\nend\n"),                                        "SUBMIT FROM(<>) " NOT_NOW                 },
    {"chunk before rcpt",     SPAN_LIT("submit\nfrom <>\nchunk 1\n"),                                    "SUBMIT FROM(<>) " NOT_NOW                 },
    {"rcpt after chunk",      SPAN_LIT("submit\nfrom <>\nrcpt <a>\nchunk 1\nxrcpt <b>\n"),
     "SUBMIT FROM(<>) RCPT(<a>) CHUNK(1) {x} " NOT_NOW                                                                                              },
    {"ping in a submission",  SPAN_LIT("submit\nping\n"),                                                "SUBMIT " NOT_NOW                          },
    {"submit in a submit",    SPAN_LIT("submit\nsubmit\n"),                                              "SUBMIT " NOT_NOW                          },
    {"chunk of -1",           SPAN_LIT("submit\nfrom <>\nrcpt <a>\nchunk -1\n"),
     "SUBMIT FROM(<>) RCPT(<a>) " BAD_ARG                                                                                                           },
    {"chunk of 2^64",         SPAN_LIT("submit\nfrom <>\nrcpt <a>\nchunk 18446744073709551616\n"),
     "SUBMIT FROM(<>) RCPT(<a>) " BAD_ARG                                                                                                           },
    {"chunk over the limit",  SPAN_LIT("submit\nfrom <>\nrcpt <a>\nchunk 65537\n"),
     "SUBMIT FROM(<>) RCPT(<a>) " BAD_ARG                                                                                                           },
    {"chunk of nothing",      SPAN_LIT("submit\nfrom <>\nrcpt <a>\nchunk\n"),
     "SUBMIT FROM(<>) RCPT(<a>) " BAD_ARG                                                                                                           },
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        trace_check_splits(&trickle, rows[i].input, rows[i].want, rows[i].name);
}

/* "flush-site " with a name that makes the line one shorter than the limit, as long, one longer. */
static void test_line_limit(void **state)
{
    static const char start_with[] = "flush-site ";
    static char input[CONTROL_LINE_MAX + 2];
    static struct control_parser parser;

    memset(input, 'x', sizeof input);
    memcpy(input, start_with, sizeof start_with - 1);
    for (size_t len = CONTROL_LINE_MAX - 1; len <= CONTROL_LINE_MAX + 1; len++) {
        char saved = input[len];
        struct span in = span_make(input, len + 1);
        struct control_request request;
        struct span bytes;
        enum control_event event;

        input[len] = '\n';
        control_parser_init(&parser);
        event = control_parse(&parser, &in, &request, &bytes);
        if (len <= CONTROL_LINE_MAX) {
            assert_int_equal(event, CONTROL_REQUEST);
            assert_int_equal(request.argument.len, len - (sizeof start_with - 1));
        } else {
            assert_int_equal(event, CONTROL_FAULT);
        }
        input[len] = saved;
    }
}

static void test_endless_line(void **state)
{
    static struct control_parser parser;
    size_t fed = 0;
    enum control_event event = CONTROL_MORE;

    control_parser_init(&parser);
    for (; event == CONTROL_MORE && fed < 100000; fed++) {
        struct span in = SPAN_LIT("x");
        struct control_request request;
        struct span bytes;

        event = control_parse(&parser, &in, &request, &bytes);
    }
    assert_int_equal(event, CONTROL_FAULT);
    assert_int_equal(fed, CONTROL_LINE_MAX + 1);
}

static void test_largest_chunk(void **state)
{
    static struct control_parser parser;
    static char bytes_in[CONTROL_CHUNK_MAX];
    struct span in = SPAN_LIT("submit\nfrom <>\nrcpt <a>\nchunk 65536\n");
    struct control_request request;
    struct span bytes;

    control_parser_init(&parser);
    while (control_parse(&parser, &in, &request, &bytes) == CONTROL_REQUEST)
        ;
    in = span_make(bytes_in, sizeof bytes_in);
    assert_int_equal(control_parse(&parser, &in, &request, &bytes), CONTROL_BYTES);
    assert_int_equal(bytes.len, CONTROL_CHUNK_MAX);
    control_take(&parser, &in, bytes.len);
    in = SPAN_LIT("end\n");
    assert_int_equal(control_parse(&parser, &in, &request, &bytes), CONTROL_REQUEST);
    assert_int_equal(request.verb, CONTROL_END);
}

static void test_replies_written(void **state)
{
    char buf[512];
    struct text t;

    text_init(&t, buf, sizeof buf);
    control_put_text(&t, SPAN_LIT("a line\nand \x1b more"));
    control_put_text(&t, SPAN_LIT(""));
    control_put_ok(&t);
    control_put_error(&t, 75, SPAN_LIT("452 4.3.1 Insufficient\r\nsystem storage"));
    assert_string_equal(buf, "text a line?and ? more\ntext \nok\n"
                             "error 75 452 4.3.1 Insufficient??system storage\n");
}

static void test_replies_read(void **state)
{
    static const struct {
        const char *line;
        enum control_reply want;
        const char *words;
        int exit_code;
    } replies[] = {
        {"ok",           CONTROL_REPLY_OK,    "",    0 },
        {"text a b",     CONTROL_REPLY_TEXT,  "a b", 0 },
        {"text ",        CONTROL_REPLY_TEXT,  "",    0 },
        {"error 75 a b", CONTROL_REPLY_ERROR, "a b", 75},
        {"error 69 ",    CONTROL_REPLY_ERROR, "",    69},
        {"error 69",     CONTROL_REPLY_ERROR, "",    69},
        {"",             CONTROL_REPLY_BAD,   NULL,  0 },
        {"okay",         CONTROL_REPLY_BAD,   NULL,  0 },
        {"text",         CONTROL_REPLY_BAD,   NULL,  0 },
        {"error ",       CONTROL_REPLY_BAD,   NULL,  0 },
        {"error 0 fine", CONTROL_REPLY_BAD,   NULL,  0 },
        {"error 256 x",  CONTROL_REPLY_BAD,   NULL,  0 },
        {"error -1 x",   CONTROL_REPLY_BAD,   NULL,  0 },
        {"220 mx ESMTP", CONTROL_REPLY_BAD,   NULL,  0 },
    };

    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct span words;
        int exit_code = 0;

        assert_int_equal(control_reply_parse(span_of(replies[i].line), &words, &exit_code),
                         replies[i].want);
        if (!replies[i].words)
            continue;
        assert_true(span_equal(words, span_of(replies[i].words)));
        assert_int_equal(exit_code, replies[i].exit_code);
    }
}

static void test_exit_codes(void **state)
{
    static const struct {
        unsigned code;
        const char *line;
        int want;
    } verdicts[] = {
        {250, "250 2.0.0 Ok: queued as 0123",                EX_OK         },
        {421, "421 4.3.2 stopping",                          EX_TEMPFAIL   },
        {452, "452 4.3.1 Insufficient system storage",       EX_TEMPFAIL   },
        {354, "354 what",                                    EX_TEMPFAIL   },
        {0,   "",                                            EX_TEMPFAIL   },
        {550, "550 5.1.1 <a@b>: Recipient address rejected", EX_NOUSER     },
        {504, "504 5.5.2 <a>: need fully-qualified address", EX_NOUSER     },
        {552, "552 5.3.4 Message size exceeds fixed limit",  EX_DATAERR    },
        {554, "554 5.6.0 bad content",                       EX_DATAERR    },
        {554, "554 5.7.1 <a@b>: Relay access denied",        EX_UNAVAILABLE},
        {550, "550 no",                                      EX_UNAVAILABLE},
        {550, "550",                                         EX_UNAVAILABLE},
    };

    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        struct smtp_verdict v = {.code = verdicts[i].code};

        assert_true(span_copy(span_of(verdicts[i].line), v.line, sizeof v.line));
        assert_int_equal(control_exit_code(&v), verdicts[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_largest_chunk),
        cmocka_unit_test(test_replies_written),
        cmocka_unit_test(test_replies_read),
        cmocka_unit_test(test_exit_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
