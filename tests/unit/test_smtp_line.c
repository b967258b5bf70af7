/* Tests of smtp/line: every row whole, at every cut and byte by byte; the limit at -1, 0, +1. */
#include "smtp/line.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct subject {
    struct smtp_line line;
    size_t limit;
};

static void start(void *self)
{
    struct subject *s = self;

    memset(&s->line, 0xee, sizeof s->line); /* init must not rely on zeroed memory */
    smtp_line_init(&s->line, s->limit);
}

static void feed(void *self, struct span in, struct trace *t)
{
    struct subject *s = self;
    enum smtp_line_event event;

    while ((event = smtp_line_feed(&s->line, &in)) != SMTP_LINE_MORE) {
        text_cstr(&t->text, event == SMTP_LINE_READY ? "[" : "LONG[");
        if (event == SMTP_LINE_READY)
            trace_bytes(t, span_make(s->line.text, s->line.len));
        text_cstr(&t->text, s->line.bare_lf ? "]lf " : "] ");
        assert_false(smtp_line_partial(&s->line));
    }
    assert_int_equal(in.len, 0);
}

static void finish(void *self, struct trace *t)
{
    struct subject *s = self;

    text_cstr(&t->text, smtp_line_partial(&s->line) ? "partial" : "");
}

static struct subject subject;
static const struct trace_subject trickle = {&subject, start, feed, finish};

struct row {
    const char *name;
    struct span input;
    size_t limit;
    const char *want;
};

static const struct row rows[] = {
    {"nothing",               SPAN_LIT(""),                                         9,  ""                },
    {"one line",              SPAN_LIT("QUIT\r\n"),                                 9,  "[QUIT] "         },
    {"one line, LF",          SPAN_LIT("QUIT\n"),                                   9,  "[QUIT]lf "       },
    {"empty lines",           SPAN_LIT("\r\n\n\r\n"),                               9,  "[] []lf [] "     },
    {"partial",               SPAN_LIT("a\r\nQU"),                                  9,  "[a] partial"     },
    {"partial, CR",           SPAN_LIT("QUIT\r"),                                   9,  "partial"         },
    {"only CR",               SPAN_LIT("\r"),                                       9,  "partial"         },
    {"CR inside",             SPAN_LIT("a\rb\r\n"),                                 9,  "[a\\rb] "        },
    {"CR CR LF",              SPAN_LIT("a\r\r\n"),                                  9,  "[a\\r] "         },
    {"LF CR",                 SPAN_LIT("a\n\rb\n"),                                 9,  "[a]lf [\\rb]lf " },
    {"CRs alone",             SPAN_LIT("\r\r\r\r\n"),                               9,  "[\\r\\r\\r] "    },
    {"NUL and 8-bit",         SPAN_LIT("a\0b\xff\r\n"),                             9,  "[a\\0b\\xff] "   },
    {"at limit -1",           SPAN_LIT("12\r\n"),                                   3,  "[12] "           },
    {"at limit",              SPAN_LIT("123\r\n"),                                  3,  "[123] "          },
    {"at limit, LF",          SPAN_LIT("123\n"),                                    3,  "[123]lf "        },
    {"at limit +1",           SPAN_LIT("1234\r\n"),                                 3,  "LONG[] "         },
    {"at limit +1, LF",       SPAN_LIT("1234\n"),                                   3,  "LONG[]lf "       },
    {"CR is the limit's",     SPAN_LIT("12\r\r\n"),                                 3,  "[12\\r] "        },
    {"CR is over the limit",  SPAN_LIT("123\r\r\n"),                                3,  "LONG[] "         },
    {"limit 1",               SPAN_LIT("a\r\nbc\r\n\r\n"),                          1,  "[a] LONG[] [] "  },
    {"once for a long line",  SPAN_LIT("123456789abcdef\r\nab\n"),                  3,  "LONG[] [ab]lf "  },
    {"long and not ended",    SPAN_LIT("ab\r\n123456789"),                          3,  "[ab] partial"    },
    {"long, then CRs inside", SPAN_LIT("1234\r5\r67\r\r\nok\r\n"),                  3,  "LONG[] [ok] "    },
    {"two long lines",        SPAN_LIT("1234\n12345\r\n"),                          3,  "LONG[]lf LONG[] "},
    {"pipelined group",       SPAN_LIT("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"), 30,
     "[MAIL FROM:<a>] [RCPT TO:<b>] [DATA] "                                                              },
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        subject.limit = rows[i].limit;
        trace_check_splits(&trickle, rows[i].input, rows[i].want, rows[i].name);
    }
}

/* The largest limit, with the line one shorter, as long, and one longer. */
static void test_largest_line(void **state)
{
    static char input[SMTP_LINE_CAP + 3];
    static struct smtp_line line;

    for (size_t len = SMTP_LINE_CAP - 1; len <= SMTP_LINE_CAP + 1; len++) {
        struct span in = span_make(input, len + 2);

        memset(input, 'x', len);
        memcpy(input + len, "\r\n", 2);
        smtp_line_init(&line, SMTP_LINE_CAP);
        if (len <= SMTP_LINE_CAP) {
            assert_int_equal(smtp_line_feed(&line, &in), SMTP_LINE_READY);
            assert_int_equal(line.len, len);
            assert_memory_equal(line.text, input, len);
        } else {
            assert_int_equal(smtp_line_feed(&line, &in), SMTP_LINE_TOO_LONG);
        }
        assert_int_equal(in.len, 0);
    }
}

/* A pipelined command behind the line stays in the input: DATA's text must not be taken for
 * commands. */
static void test_takes_one_line(void **state)
{
    struct span in = SPAN_LIT("DATA\r\ntext\r\n");
    static struct smtp_line line;

    smtp_line_init(&line, 100);
    assert_int_equal(smtp_line_feed(&line, &in), SMTP_LINE_READY);
    assert_true(span_equal(in, SPAN_LIT("text\r\n")));
    in.len = 0; /* the line stays readable while nothing comes */
    assert_int_equal(smtp_line_feed(&line, &in), SMTP_LINE_MORE);
    assert_true(span_equal(span_make(line.text, line.len), SPAN_LIT("DATA")));
    assert_false(smtp_line_partial(&line));
}

static void test_random_bytes(void **state)
{
    uint64_t seed = 20240117;
    char input[40];

    for (int i = 0; i < 20000; i++) {
        size_t len = trace_random(&seed) % sizeof input;

        trace_random_bytes(&seed, SPAN_LIT("\r\n\r\nab"), input, len);
        subject.limit = 1 + trace_random(&seed) % 6;
        trace_check_splits_agree(&trickle, span_make(input, len), "random");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_largest_line),
        cmocka_unit_test(test_takes_one_line),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
