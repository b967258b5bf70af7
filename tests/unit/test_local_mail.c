/* Tests of message/local_mail: the lone dot at every cut, where a header ends, its fields. */
#include "message/local_mail.h"
#include "message/trace_local.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- lone_dot ---- */

static struct dot_subject {
    struct lone_dot dot;
    bool ignore;
} dot_subject;

static void start(void *self)
{
    struct dot_subject *s = self;

    memset(&s->dot, 0xee, sizeof s->dot);
    lone_dot_init(&s->dot, s->ignore);
}

static void feed(void *self, struct span in, struct trace *t)
{
    struct dot_subject *s = self;
    char *out = malloc(in.len + 2);
    size_t len;

    assert_non_null(out);
    lone_dot_feed(&s->dot, in, out, &len);
    assert_true(len <= in.len + 2);
    trace_bytes(t, span_make(out, len));
    free(out);
}

static void finish(void *self, struct trace *t)
{
    const struct dot_subject *s = self;

    text_cstr(&t->text, s->dot.ended ? "|" : "");
}

static const struct trace_subject trickle = {&dot_subject, start, feed, finish};

static void test_lone_dot(void **state)
{
    static const struct {
        struct span input;
        const char *want;
    } rows[] = {
        {SPAN_LIT(""),                 ""                      },
        {SPAN_LIT("a\nb\n"),           "a\\nb\\n"              },
        {SPAN_LIT("a\n.\nb\n"),        "a\\n|"                 },
        {SPAN_LIT(".\nb\n"),           "|"                     },
        {SPAN_LIT("a\r\n.\r\nb\r\n"),  "a\\r\\n|"              },
        {SPAN_LIT("a\n..\n.b\n"),      "a\\n..\\n.b\\n"        },
        {SPAN_LIT("a\n. \nb"),         "a\\n. \\nb"            },
        {SPAN_LIT("a\n.\rb\n.\r\r\n"), "a\\n.\\rb\\n.\\r\\r\\n"},
        {SPAN_LIT("a.\n\n.\n"),        "a.\\n\\n|"             },
        {SPAN_LIT("a\n."),             "a\\n"                  },
        {SPAN_LIT("a\r.\nb"),          "a\\r.\\nb"             },
        {SPAN_LIT("\0\n.\0\n.\n"),     "\\0\\n.\\0\\n|"        },
    };

    dot_subject.ignore = false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        trace_check_splits(&trickle, rows[i].input, rows[i].want, rows[i].want);
}

static void test_lone_dot_ignored(void **state)
{
    dot_subject.ignore = true;
    trace_check_splits(&trickle, SPAN_LIT("a\n.\nb\n"), "a\\n.\\nb\\n", "-i");
}

/* ---- where the header ends ---- */

static const struct find_row {
    const char *text;
    size_t len;
    size_t body_at;
} find_rows[] = {
    {"A: 1\n\nbody\n",                 5,  6 },
    {"A: 1\r\n\r\nbody\r\n",           6,  8 },
    {"A: 1\n b\n\tc\nB:2\n\nbody\n",   15, 16},
    {"just text\n",                    0,  0 },
    {"\nbody\n",                       0,  1 },
    {"",                               0,  0 },
    {"A: 1\nno field\nB: 2\n",         5,  5 },
    {"A: 1",                           4,  4 },
    {"A: 1\n",                         5,  5 },
    {" starts with a blank\nA: 1\n",   0,  0 },
    {"From bob Sat Aug 22\nA: 1\n\nx", 25, 26},
    {"From bob Sat Aug 22\nx y\n",     20, 20},
    {"From : bob@x\n\nx",              13, 14},
    {"A: 1\nFrom bob\n\n",             5,  5 },
    {": x\n",                          0,  0 },
    {"A b: x\n",                       0,  0 },
    {"http://example.com/\n",          20, 20}, /* looks like one; so does it to everybody else */
    {"A: \xff\n\nx",                   5,  6 },
    {"A\x80: x\n",                     0,  0 },
    {".\n",                            0,  0 },
};

/* The answer comes at the first byte at which it is certain, and is the same at any later one. */
static void test_header_end(void **state)
{
    for (size_t i = 0; i < sizeof find_rows / sizeof find_rows[0]; i++) {
        const struct find_row *row = &find_rows[i];
        size_t size = strlen(row->text);
        struct local_header h = {99, 99};

        assert_true(local_header_find(span_make(row->text, size), true, &h));
        if (h.len != row->len || h.body_at != row->body_at)
            fail_msg("\"%s\": %zu, %zu", row->text, h.len, h.body_at);
        for (size_t cut = 0; cut <= size; cut++) {
            char *copy = trace_copy(span_make(row->text, cut));

            if (local_header_find(span_make(copy, cut), false, &h))
                assert_true(h.len == row->len && h.body_at == row->body_at);
            free(copy);
        }
    }
}

static void test_header_end_is_awaited(void **state)
{
    struct local_header h;

    assert_false(local_header_find(SPAN_LIT(""), false, &h));
    assert_false(local_header_find(SPAN_LIT("A: 1\n"), false, &h));
    assert_false(local_header_find(SPAN_LIT("A: 1\nB"), false, &h));
    assert_false(local_header_find(SPAN_LIT("A: 1\n\r"), false, &h));
    assert_true(local_header_find(SPAN_LIT("A: 1\n\n"), false, &h));
    assert_true(local_header_find(SPAN_LIT("words\n"), false, &h));
}

/* ---- fields ---- */

static void test_fields(void **state)
{
    struct span rest = SPAN_LIT("From bob Sat\nTo: a\n b\nCC : c\nx:\nLast: y");
    struct local_field f;

    assert_true(local_field_next(&rest, &f));
    assert_true(span_equal(f.name, SPAN_LIT("To")) && span_equal(f.value, SPAN_LIT(" a\n b\n")) &&
                span_equal(f.whole, SPAN_LIT("To: a\n b\n")));
    assert_true(local_field_next(&rest, &f));
    assert_true(span_equal(f.name, SPAN_LIT("CC")) && span_equal(f.value, SPAN_LIT(" c\n")));
    assert_true(local_field_next(&rest, &f));
    assert_true(span_equal(f.name, SPAN_LIT("x")) && span_equal(f.value, SPAN_LIT("\n")));
    assert_true(local_field_next(&rest, &f));
    assert_true(span_equal(f.name, SPAN_LIT("Last")) && span_equal(f.whole, SPAN_LIT("Last: y")));
    assert_false(local_field_next(&rest, &f));
}

static void test_received(void **state)
{
    struct envelope e = {.arrival_us = 1787410800000000};
    char buf[TRACE_RECEIVED_CAP];
    struct text t;

    assert_true(span_copy(SPAN_LIT("06401F3A9C2E7001"), e.id.text, sizeof e.id.text));
    text_init(&t, buf, sizeof buf);
    trace_received_local(&t, &e, 10025, "mx.example.com", "Postfix");
    assert_string_equal(buf, "Received: by mx.example.com (Postfix, from userid 10025)\r\n"
                             "\tid 06401F3A9C2E7001; Sat, 22 Aug 2026 15:00:00 +0000 (UTC)\r\n");
}

static int set_zone(void **state)
{
    return setenv("TZ", "UTC", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lone_dot),   cmocka_unit_test(test_lone_dot_ignored),
        cmocka_unit_test(test_header_end), cmocka_unit_test(test_header_end_is_awaited),
        cmocka_unit_test(test_fields),     cmocka_unit_test(test_received),
    };

    return cmocka_run_group_tests(tests, set_zone, NULL);
}
