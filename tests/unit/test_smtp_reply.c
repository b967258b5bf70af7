/* Tests of smtp/reply: what an upstream may say (RFC 5321 4.2), and what is a broken session. */
#include "smtp/reply.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct smtp_reply_parser parser;

static void start(void *self)
{
    memset(&parser, 0xee, sizeof parser);
    smtp_reply_parser_init(&parser);
    assert_false(smtp_reply_partial(&parser));
}

/* "-line" for a line that is not the last, "{code enhanced|text|last line}" for a reply, "BAD
 * line". */
static void feed(void *self, struct span in, struct trace *t)
{
    while (in.len > 0 && !parser.bad) {
        enum smtp_reply_event event = smtp_reply_feed(&parser, &in);

        if (event == SMTP_REPLY_LINE)
            text_printf(&t->text, "-%s ", parser.line);
        if (event == SMTP_REPLY_READY)
            text_printf(&t->text, "{%u %s|%s|%s} ", parser.reply.code, parser.reply.enhanced,
                        parser.reply.text, parser.line);
        if (event == SMTP_REPLY_BAD)
            text_printf(&t->text, "BAD %s", parser.line);
        if (event != SMTP_REPLY_MORE)
            assert_int_equal(strlen(parser.line), parser.line_len);
    }
    if (in.len > 0) /* once BAD, it stays so and takes all */
        assert_int_equal(smtp_reply_feed(&parser, &in), SMTP_REPLY_BAD);
    assert_int_equal(in.len, 0);
}

static void finish(void *self, struct trace *t)
{
    if (!parser.bad && smtp_reply_partial(&parser))
        text_cstr(&t->text, "partial");
}

static const struct trace_subject trickle = {NULL, start, feed, finish};

struct row {
    const char *name;
    struct span input;
    const char *want;
};

static const struct row rows[] = {
    {"nothing",                    SPAN_LIT(""),                                                          ""                                  },
    {"one line",                   SPAN_LIT("250 2.1.0 OK\r\n"),                                          "{250 2.1.0|250 2.1.0 OK|2.1.0 OK} "},
    {"LF alone",                   SPAN_LIT("250 2.1.0 OK\n"),                                            "{250 2.1.0|250 2.1.0 OK|2.1.0 OK} "},
    {"bare code",                  SPAN_LIT("250\r\n"),                                                   "{250 |250|} "                      },
    {"bare code, LF",              SPAN_LIT("250\n"),                                                     "{250 |250|} "                      },
    {"code and blank",             SPAN_LIT("354 \r\n"),                                                  "{354 |354|} "                      },
    {"no line end",                SPAN_LIT("250 ok"),                                                    "partial"                           },
    {"code only, no line end",     SPAN_LIT("250"),                                                       "partial"                           },
    {"CR, no LF",                  SPAN_LIT("250 ok\r"),                                                  "partial"                           },
    {"two replies",                SPAN_LIT("250 a\r\n550 5.1.1 b\r\n"),
     "{250 |250 a|a} {550 5.1.1|550 5.1.1 b|5.1.1 b} "                                                                                        },
    {"EHLO",                       SPAN_LIT("250-mx.example.org\r\n250-PIPELINING\r\n250 SIZE 1000\r\n"),
     "-mx.example.org -PIPELINING {250 |250 mx.example.org PIPELINING SIZE 1000|SIZE 1000} "                                                  },
    {"multi-line with LF",         SPAN_LIT("250-a\n250 b\n"),                                            "-a {250 |250 a b|b} "              },
    {"multi-line not ended",       SPAN_LIT("250-a\r\n"),                                                 "-a partial"                        },
    {"last line without blank",    SPAN_LIT("250-a\r\n250\r\n"),                                          "-a {250 |250 a|} "                 },
    {"empty lines of text",        SPAN_LIT("250-\r\n250-\r\n250 \r\n"),                                  "- - {250 |250|} "                  },
    {"empty first, then text",     SPAN_LIT("550-\r\n550 no\r\n"),                                        "- {550 |550 no|no} "               },
    {"enhanced on each line",      SPAN_LIT("550-5.1.1 no\r\n550 5.1.1 such\r\n"),
     "-5.1.1 no {550 5.1.1|550 5.1.1 no 5.1.1 such|5.1.1 such} "                                                                              },
    {"enhanced on the last line",  SPAN_LIT("550-no\r\n550 5.1.1 such\r\n"),
     "-no {550 5.1.1|550 no 5.1.1 such|5.1.1 such} "                                                                                          },
    {"enhanced on the first line", SPAN_LIT("550-5.1.1 no\r\n550 such\r\n"),
     "-5.1.1 no {550 5.1.1|550 5.1.1 no such|such} "                                                                                          },
    {"enhanced changes",           SPAN_LIT("550-5.1.1 no\r\n550 5.2.2 such\r\n"),
     "-5.1.1 no {550 5.1.1|550 5.1.1 no 5.2.2 such|5.2.2 such} "                                                                              },
    {"enhanced of another class",  SPAN_LIT("550 4.1.1 no\r\n"),                                          "{550 |550 4.1.1 no|4.1.1 no} "     },
    {"enhanced is not kept over",  SPAN_LIT("550 5.1.1 a\r\n250 b\r\n"),
     "{550 5.1.1|550 5.1.1 a|5.1.1 a} {250 |250 b|b} "                                                                                        },
    {"control bytes",              SPAN_LIT("550 a\tb\0c\x1b[1md\x7f\r\n"),
     "{550 |550 a?b?c?[1md?|a?b?c?[1md?} "                                                                                                    },
    {"CR inside",                  SPAN_LIT("550 a\rb\r\r\n"),                                            "{550 |550 a?b?|a?b?} "             },
    {"8-bit is kept",              SPAN_LIT("550 \xc3\xa9\r\n"),                                          "{550 |550 \xc3\xa9|\xc3\xa9} "     },
    {"more blanks are text",       SPAN_LIT("250   a \r\n"),                                              "{250 |250   a |  a } "             },
    {"smallest code",              SPAN_LIT("200 a\r\n"),                                                 "{200 |200 a|a} "                   },
    {"largest code",               SPAN_LIT("559 a\r\n"),                                                 "{559 |559 a|a} "                   },
};

static const struct row bad_rows[] = {
    {"code 1xx",                 SPAN_LIT("150 a\r\n"),                                 "BAD 150 a"                   },
    {"code 6xx",                 SPAN_LIT("600 a\r\n"),                                 "BAD 600 a"                   },
    {"second digit",             SPAN_LIT("260 a\r\n"),                                 "BAD 260 a"                   },
    {"four digits",              SPAN_LIT("2500 a\r\n"),                                "BAD 2500 a"                  },
    {"two digits",               SPAN_LIT("25\r\n"),                                    "BAD 25"                      },
    {"empty line",               SPAN_LIT("\r\n"),                                      "BAD "                        },
    {"empty line, LF",           SPAN_LIT("\n"),                                        "BAD "                        },
    {"empty line between",       SPAN_LIT("250-a\r\n\r\n250 b\r\n"),                    "-a BAD "                     },
    {"blank first",              SPAN_LIT(" 250 a\r\n"),                                "BAD  250 a"                  },
    {"no blank",                 SPAN_LIT("250ok\r\n"),                                 "BAD 250ok"                   },
    {"HTAB for blank",           SPAN_LIT("250\tok\r\n"),                               "BAD 250?ok"                  },
    {"NUL for blank",            SPAN_LIT("250\0ok\r\n"),                               "BAD 250?ok"                  },
    {"NUL first",
     SPAN_LIT("\0"
              "250 ok\r\n"),
     "BAD ?250 ok"                                                                                                    },
    {"HTTP",                     SPAN_LIT("HTTP/1.1 400 Bad Request\r\nServer: x\r\n"), "BAD HTTP/1.1 400 Bad Request"},
    {"IMAP",                     SPAN_LIT("* OK ready\r\n"),                            "BAD * OK ready"              },
    {"SSH",                      SPAN_LIT("SSH-2.0-OpenSSH_9.2\r\n"),                   "BAD SSH-2.0-OpenSSH_9.2"     },
    {"code changes",             SPAN_LIT("250-a\r\n550 b\r\n"),                        "-a BAD 550 b"                },
    {"code changes and goes on", SPAN_LIT("250-a\r\n251-b\r\n250 c\r\n"),               "-a BAD 251-b"                },
    {"good, then bad",           SPAN_LIT("250 a\r\nx\r\n250 b\r\n"),                   "{250 |250 a|a} BAD x"        },
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        trace_check_splits(&trickle, rows[i].input, rows[i].want, rows[i].name);
    for (size_t i = 0; i < COUNT(bad_rows); i++)
        trace_check_splits(&trickle, bad_rows[i].input, bad_rows[i].want, bad_rows[i].name);
}

/* Feeds a reply line of `len` bytes before its line end; in one piece, or byte by byte. */
static enum smtp_reply_event feed_line(size_t len, const char *line_end, size_t step)
{
    static char input[SMTP_REPLY_LINE_MAX + 8];
    struct span rest = span_make(input, len + strlen(line_end));
    enum smtp_reply_event event = SMTP_REPLY_MORE;

    memset(input, 'x', len);
    memcpy(input, "250 ", 4);
    memcpy(input + len, line_end, strlen(line_end));
    smtp_reply_parser_init(&parser);
    while (rest.len > 0 && event == SMTP_REPLY_MORE) {
        struct span part = span_first(rest, step);

        rest = span_from(rest, part.len);
        event = smtp_reply_feed(&parser, &part);
    }
    return event;
}

static void test_line_limit(void **state)
{
    static const size_t steps[] = {1, 7, SIZE_MAX};
    const size_t max = SMTP_REPLY_LINE_MAX;

    for (size_t i = 0; i < COUNT(steps); i++) {
        assert_int_equal(feed_line(max - 1, "\r\n", steps[i]), SMTP_REPLY_READY);
        assert_int_equal(feed_line(max, "\r\n", steps[i]), SMTP_REPLY_READY);
        assert_int_equal(parser.line_len, max - 4);
        assert_int_equal(feed_line(max, "\n", steps[i]), SMTP_REPLY_READY);
        assert_int_equal(feed_line(max + 1, "\r\n", steps[i]), SMTP_REPLY_BAD);
        assert_int_equal(feed_line(max + 1, "\n", steps[i]), SMTP_REPLY_BAD);
        assert_int_equal(feed_line(max, "\rx\n", steps[i]), SMTP_REPLY_BAD);
        assert_int_equal(feed_line(max, "\r\r\n", steps[i]), SMTP_REPLY_BAD);
        assert_int_equal(feed_line(max + 1, "", steps[i]),
                         SMTP_REPLY_BAD); /* not held for its end */
    }
}

/* The text is cut where it is full, and stays one line. */
static void test_text_limit(void **state)
{
    for (size_t len = SMTP_REPLY_TEXT_CAP - 2; len <= SMTP_REPLY_TEXT_CAP + 1; len++) {
        size_t want = len < SMTP_REPLY_TEXT_CAP ? len : SMTP_REPLY_TEXT_CAP - 1;

        assert_int_equal(feed_line(len, "\r\n", SIZE_MAX), SMTP_REPLY_READY);
        assert_int_equal(strlen(parser.reply.text), want);
        assert_int_equal(parser.line_len, len - 4);
    }
}

static enum smtp_reply_event feed_lines(unsigned count)
{
    enum smtp_reply_event event = SMTP_REPLY_MORE;

    smtp_reply_parser_init(&parser);
    for (unsigned i = 1; i <= count && event != SMTP_REPLY_BAD; i++) {
        struct span in = i < count ? SPAN_LIT("250-abcdefgh\r\n") : SPAN_LIT("250 z\r\n");

        event = smtp_reply_feed(&parser, &in);
        assert_int_equal(in.len, 0);
    }
    return event;
}

static void test_lines_limit(void **state)
{
    struct span next = SPAN_LIT("250 next\r\n");

    assert_int_equal(feed_lines(SMTP_REPLY_LINES_MAX - 1), SMTP_REPLY_READY);
    assert_int_equal(feed_lines(SMTP_REPLY_LINES_MAX), SMTP_REPLY_READY);
    assert_int_equal(strlen(parser.reply.text), SMTP_REPLY_TEXT_CAP - 1);
    assert_int_equal(smtp_reply_feed(&parser, &next), SMTP_REPLY_READY); /* counts per reply */
    assert_string_equal(parser.reply.text, "250 next");
    assert_int_equal(feed_lines(SMTP_REPLY_LINES_MAX + 1), SMTP_REPLY_BAD);
    assert_int_equal(feed_lines(100000), SMTP_REPLY_BAD); /* "250-" for ever */
}

struct enhanced_row {
    const char *text;
    unsigned code;
    const char *want;
};

static const struct enhanced_row enhanced_rows[] = {
    {"5.1.1 x",     550, "5.1.1"    },
    {"5.1.1",       550, "5.1.1"    },
    {"2.0.0 ok",    250, "2.0.0"    },
    {"4.123.456 x", 451, "4.123.456"},
    {"5.1.1 x",     450, ""         },
    {"3.1.1 x",     354, ""         },
    {"5.1.1x",      550, ""         },
    {"5.1.1.1 x",   550, ""         },
    {"5.1 x",       550, ""         },
    {"5.1. x",      550, ""         },
    {"5..1 x",      550, ""         },
    {"5.1234.1 x",  550, ""         },
    {"5.1.1234 x",  550, ""         },
    {"55.1.1 x",    550, ""         },
    {" 5.1.1 x",    550, ""         },
    {"#5.1.1 x",    550, ""         },
    {"",            550, ""         },
    {"5",           550, ""         },
    {"5.",          550, ""         },
    {"5.1",         550, ""         },
    {"5.1.",        550, ""         },
    {"unknown",     550, ""         },
};

static void test_enhanced(void **state)
{
    for (size_t i = 0; i < COUNT(enhanced_rows); i++) {
        const struct enhanced_row *row = &enhanced_rows[i];
        char out[12];
        bool found = smtp_reply_enhanced(span_of(row->text), row->code, out);

        assert_string_equal(out, row->want);
        assert_int_equal(found, row->want[0] != '\0');
    }
}

static void test_random_bytes(void **state)
{
    uint64_t seed = 8794;
    char input[60];

    for (int i = 0; i < 20000; i++) {
        size_t len = trace_random(&seed) % (sizeof input - 10);
        size_t at = 0;

        for (at = 0; at < len; at += 3 + trace_random(&seed) % 4)
            memcpy(input + at, trace_random(&seed) % 2 ? "250-a\r\n" : "250 b\n", 7);
        for (at = 0; at < len; at += 1 + trace_random(&seed) % 20)
            input[at] = (char)trace_random(&seed);
        trace_check_splits_agree(&trickle, span_make(input, len), "random");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_text_limit), cmocka_unit_test(test_lines_limit),
        cmocka_unit_test(test_enhanced),   cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
