/* Tests of message/header_complete: every row at every split, what is whole stays as it is. */
#include "message/header_complete.h"

#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct envelope envelope = {.id = {"4AB"}, .arrival_us = 1763770000123456};
static char sender[] = "ann@example.com";

struct subject {
    struct header_complete h;
    uint64_t limit;
};

static struct subject subject;

static void start(void *self)
{
    struct subject *s = self;

    envelope.sender = sender;
    header_complete_init(&s->h, &envelope, "mx.example.com", s->limit);
}

static void feed(void *self, struct span in, struct trace *t)
{
    struct subject *s = self;
    size_t cap = in.len + HEADER_COMPLETE_MORE + 1;
    char *buf = malloc(cap);
    struct text out;

    assert_non_null(buf);
    text_init(&out, buf, cap);
    header_complete_feed(&s->h, in, &out);
    assert_false(out.overflow);
    trace_bytes(t, text_as_span(&out));
    free(buf);
}

static void finish(void *self, struct trace *t)
{
    struct subject *s = self;
    char buf[HEADER_COMPLETE_MORE + 1];
    struct text out;

    text_init(&out, buf, sizeof buf);
    header_complete_end(&s->h, &out);
    trace_bytes(t, text_as_span(&out));
    assert_int_equal(s->h.state, HEADER_COMPLETE_DONE);
}

static const struct trace_subject trickle = {&subject, start, feed, finish};

#define ID   "Message-Id: <20251122000640.4AB@mx.example.com>\\r\\n"
#define DATE "Date: Sat, 22 Nov 2025 00:06:40 +0000 (UTC)\\r\\n"
#define FROM "From: ann@example.com\\r\\n"
#define ALL  ID DATE FROM

static void test_rows(void **state)
{
    static const struct {
        const char *name;
        struct span input;
        const char *want;
    } rows[] = {
        {"whole",                SPAN_LIT("Message-ID: <a@b>\r\nfrom: x\r\nDATE : y\r\n\r\nMessage\r\n"),
         "Message-ID: <a@b>\\r\\nfrom: x\\r\\nDATE : y\\r\\n\\r\\nMessage\\r\\n"                                                              },
        {"nothing of it",        SPAN_LIT("Subject: x\r\n\r\ntext\r\n"),
         "Subject: x\\r\\n" ALL "\\r\\ntext\\r\\n"                                                                                            },
        {"no date",              SPAN_LIT("From: x\r\nMessage-Id: <a@b>\r\n\r\n"),
         "From: x\\r\\nMessage-Id: <a@b>\\r\\n" DATE "\\r\\n"                                                                                 },
        {"folded",               SPAN_LIT("From: x\r\n Date: no\r\n\tMessage-Id: no\r\n\r\n"),
         "From: x\\r\\n Date: no\\r\\n\\x09Message-Id: no\\r\\n" ID DATE "\\r\\n"                                                             },
        {"names like these",     SPAN_LIT("Message-IdX: x\r\nDat: x\r\nX-From: x\r\n\r\n"),
         "Message-IdX: x\\r\\nDat: x\\r\\nX-From: x\\r\\n" ALL "\\r\\n"                                                                       },
        {"in the body",          SPAN_LIT("A: x\r\n\r\nDate: x\r\n\r\n"),
         "A: x\\r\\n" ALL "\\r\\nDate: x\\r\\n\\r\\n"                                                                                         },
        {"no empty line",        SPAN_LIT("Subject: x\r\nthis is text\r\n\r\n"),
         "Subject: x\\r\\n" ALL "\\r\\nthis is text\\r\\n\\r\\n"                                                                              },
        {"whole, no empty line", SPAN_LIT("From: x\r\nDate: x\r\nMessage-Id: x\r\ntext\r\n"),
         "From: x\\r\\nDate: x\\r\\nMessage-Id: x\\r\\ntext\\r\\n"                                                                            },
        {"only a header",        SPAN_LIT("Subject: x\r\n"),                                                "Subject: x\\r\\n" ALL            },
        {"only an empty line",   SPAN_LIT("\r\ntext\r\n"),                                                  ALL "\\r\\ntext\\r\\n"            },
        {"nothing",              SPAN_LIT(""),                                                              ALL                               },
        {"resent",               SPAN_LIT("From: x\r\nDate: x\r\nMessage-Id: x\r\nResent-From: y\r\n\r\n"),
         "From: x\\r\\nDate: x\\r\\nMessage-Id: x\\r\\nResent-From: y\\r\\n"
         "Resent-" ID "Resent-" DATE "\\r\\n"                                                                                                 },
        {"of a mailbox",         SPAN_LIT("From ann Thu Jan 1\r\nA: b\r\n\r\n"),
         "From ann Thu Jan 1\\r\\nA: b\\r\\n" ALL "\\r\\n"                                                                                    },
        {"blank first",          SPAN_LIT(" x\r\n\r\n"),                                                    ALL "\\r\\n x\\r\\n\\r\\n"        },
        {"no name",              SPAN_LIT("A: b\r\n: x\r\n"),                                               "A: b\\r\\n" ALL "\\r\\n: x\\r\\n"},
        {"8-bit",                SPAN_LIT("A: b\r\n\xc3\xa4: x\r\n"),
         "A: b\\r\\n" ALL "\\r\\n\\xc3\\xa4: x\\r\\n"                                                                                         },
    };

    subject.limit = 100000;
    for (size_t i = 0; i < ROWS(rows); i++)
        trace_check_splits(&trickle, rows[i].input, rows[i].want, rows[i].name);
}

/* What comes after it may be there and is not seen: better twice than to look for ever. */
static void test_limit(void **state)
{
    subject.limit = 8;
    trace_check_splits(&trickle, SPAN_LIT("A: b\r\nDate: x\r\n\r\n"),
                       "A: b\\r\\n" ALL "Date: x\\r\\n\\r\\n", "over the limit");
    subject.limit = 11;
    trace_check_splits(&trickle, SPAN_LIT("A: b\r\nDate: x\r\n\r\n"),
                       "A: b\\r\\nDate: x\\r\\n" ID FROM "\\r\\n", "within the limit");
}

static void test_long_names(void **state)
{
    char input[HEADER_COMPLETE_HELD + 8];

    subject.limit = 100000;
    for (size_t len = HEADER_COMPLETE_HELD - 2; len <= HEADER_COMPLETE_HELD + 1; len++) {
        memset(input, 'x', len);
        memcpy(input + len, ": y\r\n", 5);
        trace_check_splits_agree(&trickle, span_make(input, len + 5), "a long name");
    }
}

static void test_the_null_sender_and_what_is_logged(void **state)
{
    char empty[] = "", buf[1000];
    struct text out;

    start(&subject);
    envelope.sender = empty;
    text_init(&out, buf, sizeof buf);
    header_complete_feed(&subject.h, SPAN_LIT("\r\n"), &out);
    assert_non_null(strstr(buf, "From: MAILER-DAEMON\r\n"));
    assert_string_equal(subject.h.message_id, "<20251122000640.4AB@mx.example.com>");
    start(&subject);
    text_init(&out, buf, sizeof buf);
    header_complete_feed(&subject.h, SPAN_LIT("Message-Id: <a@b>\r\n\r\n"), &out);
    assert_string_equal(subject.h.message_id, "");
}

static void test_random_bytes(void **state)
{
    uint64_t seed = 11;
    char buf[200];

    subject.limit = 60;
    for (int i = 0; i < 400; i++) {
        size_t len = trace_random(&seed) % (sizeof buf - 2);

        trace_random_bytes(&seed, SPAN_LIT("ADateFromMessage-Id:: \t\n\n"), buf, len);
        for (size_t k = 0; k < len; k++) { /* canonical */
            if (buf[k] == '\n' && (k == 0 || buf[k - 1] != '\r'))
                buf[k] = '\r';
            if (k > 0 && buf[k - 1] == '\r')
                buf[k] = '\n';
        }
        trace_check_splits_agree(&trickle, span_make(buf, len), "random bytes");
    }
}

static int set_zone(void **state)
{
    return setenv("TZ", "UTC", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_the_null_sender_and_what_is_logged),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, set_zone, NULL);
}
