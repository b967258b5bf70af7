/*
 * test_session_data - what becomes of a message's bytes: smuggling, the separator after our
 * Received, chunks
 *
 * FACTS 2.1 SMUG, BDAT-UAF, BDAT-LF. Each row is fed whole and cut at every byte.
 */
#include "session_fixture.h"

#include "smtp/dot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CRLF_START "HELO h\r\nMAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n"
#define LF_START   "HELO h\nMAIL FROM:<>\nRCPT TO:<r@example.com>\nDATA\n"
#define EVIL       "MAIL FROM:<evil@example.net>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nevil\r\n.\r\n"

/* What went in by the client, and all that may come out. */
static void expect_messages(struct fixture *f, size_t count)
{
    assert_int_equal(f->message_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(fixture_is_canonical(&f->messages[i].body));
        for (size_t k = 0; k < f->messages[i].envelope->recipient_count; k++)
            assert_string_equal(f->messages[i].envelope->recipients[k].address, "r@example.com");
    }
}

/* As a laxer server would: every kind of line end around a dot ends data for it. */
static bool lax_end(struct span wire)
{
    static const char *const ends[] = {"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n",
                                       "\r.\n", "\n.\r",   "\n\0",  NULL};
    size_t found = 0;

    for (size_t i = 0; ends[i]; i++) {
        size_t len = strlen(ends[i]) + (ends[i][1] == '\0' ? 1 : 0);

        for (size_t at = 0; at + len < wire.len; at++)
            found += memcmp(wire.ptr + at, ends[i], len) == 0 ? 1 : 0;
    }
    return found > 0;
}

/* SMUG-OUT: the body, stuffed, holds nothing that ends data before its own end. */
static void expect_safe_outside(const struct fixture_message *m)
{
    struct smtp_dot_encoder encoder;
    struct span in = span_make(m->body.ptr, m->body.len);
    struct bytes wire = {NULL, 0, 0};
    char out[512];
    size_t len;

    smtp_dot_encoder_init(&encoder);
    while (in.len > 0) {
        smtp_dot_encode(&encoder, &in, out, sizeof out, &len);
        bytes_add(&wire, span_make(out, len));
    }
    assert_false(lax_end(span_make(wire.ptr, wire.len)));
    bytes_free(&wire);
}

static void feed_cut(struct fixture *f, struct span bytes, size_t cut)
{
    fixture_greet(f);
    fixture_send(f, span_first(bytes, cut));
    fixture_send(f, span_from(bytes, cut));
}

/* --- smuggling --- */

static void test_smuggling(void **state)
{
    static const struct {
        struct span end;
        const char *why;
    } rows[] = {
        {SPAN_LIT("\n.\n"),         "LF.LF"        },
        {SPAN_LIT("\n.\r\n"),       "LF.CRLF"      },
        {SPAN_LIT("\r\n.\n"),       "CRLF.LF"      },
        {SPAN_LIT("\r.\r"),         "CR.CR"        },
        {SPAN_LIT("\r.\r\n"),       "CR.CRLF"      },
        {SPAN_LIT("\r.\n"),         "CR.LF"        },
        {SPAN_LIT("\n.\r"),         "LF.CR"        },
        {SPAN_LIT("\r\n.\r"),       "CRLF.CR"      },
        {SPAN_LIT("\r\r\n.\r\r\n"), "CRCRLF.CRCRLF"},
        {SPAN_LIT("\r\n\0.\r\n"),   "NUL before"   },
        {SPAN_LIT("\r\n.\0\r\n"),   "NUL behind"   },
        {SPAN_LIT("\r\n..\r\n"),    "stuffed"      },
        {SPAN_LIT("\r\n. \r\n"),    "blank behind" },
        {SPAN_LIT("\r\n .\r\n"),    "blank before" },
        {SPAN_LIT("\n\r.\n\r"),     "LFCR"         },
        {SPAN_LIT("\r\n.\r\r\n"),   "CRLF.CRCRLF"  },
    };
    struct fixture f;

    fixture_init(&f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes in = {NULL, 0, 0};

        bytes_add(&in, SPAN_LIT(CRLF_START "A: b\r\n\r\nhello"));
        bytes_add(&in, rows[i].end);
        bytes_add(&in, SPAN_LIT(EVIL "NOOP\r\n"));
        for (size_t cut = 0; cut < in.len; cut++) {
            feed_cut(&f, span_make(in.ptr, in.len), cut);
            expect_messages(&f, 1);
            expect_safe_outside(&f.messages[0]);
            assert_int_equal(f.session.state, SESSION_READY);
        }
        bytes_free(&in);
    }
    fixture_free(&f);
}

/* The one exception of P4: a person with nc, and only while no CRLF came. */
static void test_lf_sessions(void **state)
{
    static const struct {
        struct span in;
        size_t messages;
    } rows[] = {
        {SPAN_LIT(LF_START "hi\n.\nQUIT\n"),                                                  1},
        {SPAN_LIT(LF_START ".\nQUIT\n"),                                                      1},
        {SPAN_LIT(LF_START "hi\n.\n" LF_START "ho\n.\n"),                                     2},
        {SPAN_LIT("\r\n" LF_START "hi\n.\n"),                                                 0},
        {SPAN_LIT("\r\n" LF_START "hi\n.\n\r\n.\r\n"),                                        1},
        {SPAN_LIT(LF_START "hi\r\n.\n"),                                                      0},
        {SPAN_LIT(LF_START "hi\r\nho\n.\n"),                                                  0},
        {SPAN_LIT(LF_START "hi\n.\r\n"),                                                      0},
        {SPAN_LIT(LF_START "hi\n.\r\nho\r\n.\r\n"),                                           1},
        {SPAN_LIT(LF_START "hi\r\n.\r\n" LF_START "ho\n.\n"),                                 1},
        {SPAN_LIT("MAIL FROM:<>\nRCPT TO:<r@example.com>\nBDAT 0 LAST\n" LF_START "hi\n.\n"), 1},
    };
    struct fixture f;

    fixture_init(&f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t cut = 0; cut <= rows[i].in.len; cut++) {
            feed_cut(&f, rows[i].in, cut);
            expect_messages(&f, rows[i].messages);
        }
    }
    fixture_free(&f);
}

/* --- what stands between our Received and the text --- */

static void test_separator(void **state)
{
    static const struct {
        struct span in;
        struct span text; /* after our Received */
    } rows[] = {
        {SPAN_LIT("A: b\r\n\r\nhi\r\n"),      SPAN_LIT("A: b\r\n\r\nhi\r\n")     },
        {SPAN_LIT(""),                        SPAN_LIT("")                       },
        {SPAN_LIT("\r\nhi\r\n"),              SPAN_LIT("\r\nhi\r\n")             },
        {SPAN_LIT("hi\r\n"),                  SPAN_LIT("\r\nhi\r\n")             },
        {SPAN_LIT("hello there: x\r\n"),      SPAN_LIT("\r\nhello there: x\r\n") },
        {SPAN_LIT(" A: b\r\n"),               SPAN_LIT("\r\n A: b\r\n")          },
        {SPAN_LIT(": b\r\n"),                 SPAN_LIT("\r\n: b\r\n")            },
        {SPAN_LIT("A : b\r\n\r\nhi\r\n"),     SPAN_LIT("A : b\r\n\r\nhi\r\n")    },
        {SPAN_LIT("From x Mon\r\nA: b\r\n"),  SPAN_LIT("From x Mon\r\nA: b\r\n") },
        {SPAN_LIT(">From x Mon\r\nA: b\r\n"), SPAN_LIT(">From x Mon\r\nA: b\r\n")},
        {SPAN_LIT("From\r\n"),                SPAN_LIT("\r\nFrom\r\n")           },
        {SPAN_LIT("caf\xC3\xA9: x\r\n"),      SPAN_LIT("\r\ncaf\xC3\xA9: x\r\n") },
        {SPAN_LIT("\0A: b\r\n"),              SPAN_LIT("\r\n A: b\r\n")          },
        {SPAN_LIT("..\r\n"),                  SPAN_LIT("\r\n.\r\n")              },
    };
    struct fixture f;

    fixture_init(&f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes in = {NULL, 0, 0};

        bytes_add(&in, SPAN_LIT(CRLF_START));
        bytes_add(&in, rows[i].in);
        bytes_add(&in, SPAN_LIT(".\r\n"));
        for (size_t cut = 0; cut <= in.len; cut++) {
            f.endless_room = cut % 2 == 0;
            feed_cut(&f, span_make(in.ptr, in.len), cut);
            assert_int_equal(f.message_count, 1);
            if (!span_equal(fixture_text(&f.messages[0]), rows[i].text))
                fail_msg("row %zu, cut %zu: %s", i, cut, f.messages[0].body.ptr);
        }
        bytes_free(&in);
    }
    fixture_free(&f);
}

/* Names up to what a session holds are names; longer ones are text, at every length around the
 * limit. */
static void test_long_names(void **state)
{
    struct fixture f;

    fixture_init(&f, NULL);
    for (size_t len = 60; len <= 120; len++) {
        char name[128];

        memset(name, 'x', len);
        feed_cut(&f, SPAN_LIT(CRLF_START), 0);
        fixture_send(&f, span_make(name, len));
        fixture_say(&f, ": b\r\n.\r\n");
        assert_int_equal(f.message_count, 1);
        assert_int_equal(fixture_text(&f.messages[0]).ptr[0],
                         len < SESSION_LEAD_CAP - SMTP_DOT_SLACK ? 'x' : '\r');
        expect_messages(&f, 1);
    }
    fixture_free(&f);
}

/* --- chunks --- */

#define BDAT_START "EHLO h\r\nMAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\n"
#define BDAT_HEARD                                                                                 \
    "250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 26214400\r\n250-VRFY\r\n"                    \
    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n"       \
    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
#define SYNTAX "521 5.5.4 Syntax: BDAT count [LAST]\r\n"
#define ID     "0000000000000001\r\n"

static void test_chunks(void **state)
{
    static const struct {
        struct span in;
        const char *heard;
        struct span text; /* ptr NULL: no message */
    } rows[] = {
        {SPAN_LIT("BDAT 9 LAST\r\nA: b\n\nhi\n"),                                                   "250 2.0.0 Ok: 9 bytes queued as " ID,
         SPAN_LIT("A: b\r\n\r\nhi\r\n")                                                                                                                          },
        {SPAN_LIT("BDAT 4\r\nA: bBDAT 1\r\n\rBDAT 1\r\n\nBDAT 2 LAST\r\nB:"),
         "250 2.0.0 Ok: 4 bytes\r\n250 2.0.0 Ok: 1 bytes\r\n250 2.0.0 Ok: 1 bytes\r\n"
         "250 2.0.0 Ok: 8 bytes queued as " ID,
         SPAN_LIT("A: b\r\nB:\r\n")                                                                                                                              },
        {SPAN_LIT("BDAT 5\r\nA: b\rBDAT 0 LAST\r\n"),
         "250 2.0.0 Ok: 5 bytes\r\n250 2.0.0 Ok: 5 bytes queued as " ID,                                                                    SPAN_LIT("A: b \r\n")},
        {SPAN_LIT("BDAT 12 LAST\r\nA: b\r\n.\r\nhi\0"),                                             "250 2.0.0 Ok: 12 bytes queued as " ID,
         SPAN_LIT("A: b\r\n.\r\nhi \r\n")                                                                                                                        },
        {SPAN_LIT("BDAT 0 LAST\r\n"),                                                               "250 2.0.0 Ok: 0 bytes queued as " ID,  SPAN_LIT("")         },
        {SPAN_LIT("BDAT 2 LAST\r\nhiBDAT 2 LAST\r\nhi"),
         "250 2.0.0 Ok: 2 bytes queued as " ID "503 5.5.1 Error: need RCPT command\r\n",
         SPAN_LIT("\r\nhi\r\n")                                                                                                                                  },
        {SPAN_LIT("BDAT 4\r\nA: bRSET\r\nBDAT 4 LAST\r\nQUITNOOP\r\n"),
         "250 2.0.0 Ok: 4 bytes\r\n250 2.0.0 Ok\r\n503 5.5.1 Error: need RCPT command\r\n"
         "250 2.0.0 Ok\r\n",                                                                                                                {NULL, 0}            },
        {SPAN_LIT("BDAT 4\r\nA: bEHLO h\r\nDATA\r\n"),                                              NULL,                                   {NULL, 0}            },
        {SPAN_LIT("BDAT 4\r\nA: bDATA\r\nMAIL FROM:<>\r\nRCPT TO:<r@example.com>\r\nNOOP\r\n"
                  "BDAT 4 LAST\r\n: b\n"),
         "250 2.0.0 Ok: 4 bytes\r\n503 5.5.1 Error: DATA after BDAT\r\n"
         "503 5.5.1 Error: nested MAIL command\r\n503 5.5.1 Error: RCPT after BDAT\r\n"
         "250 2.0.0 Ok\r\n250 2.0.0 Ok: 8 bytes queued as " ID,
         SPAN_LIT("A: b: b\r\n")                                                                                                                                 },
        {SPAN_LIT("BDAT 0\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nRCPT TO:<r@example.com>\r\n"),
         "551 5.7.1 Null BDAT request\r\n551 5.0.0 Discarded 3 bytes after earlier error\r\n"
         "551 5.0.0 Discarded 0 bytes after earlier error\r\n503 5.5.1 Error: need MAIL "
         "command\r\n",                                                                                                                     {NULL, 0}            },
        {SPAN_LIT("RSET\r\nBDAT 3\r\nabcMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nBDAT 1 LAST\r\nx"),
         "250 2.0.0 Ok\r\n503 5.5.1 Error: need RCPT command\r\n"
         "503 5.5.1 Error: MAIL after BDAT\r\n250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n"
         "554 5.5.1 Error: no valid recipients\r\n",                                                                                        {NULL, 0}            },
        {SPAN_LIT("BDAT 2147483648 LAST\r\nabc\r\nNOOP\r\n"),                                       "",                                     {NULL, 0}            },
        {SPAN_LIT("BDAT 4294967297\r\na\r\nNOOP\r\n"),                                              "",                                     {NULL, 0}            },
        {SPAN_LIT("BDAT 9223372036854775807 LAST\r\na\r\nNOOP\r\n"),                                "",                                     {NULL, 0}            },
        {SPAN_LIT("BDAT 9223372036854775808\r\nNOOP\r\n"),                                          SYNTAX,                                 {NULL, 0}            },
        {SPAN_LIT("BDAT 18446744073709551617\r\nNOOP\r\n"),                                         SYNTAX,                                 {NULL, 0}            },
        {SPAN_LIT("BDAT -1\r\nNOOP\r\n"),                                                           SYNTAX,                                 {NULL, 0}            },
        {SPAN_LIT("BDAT +1\r\nNOOP\r\n"),                                                           SYNTAX,                                 {NULL, 0}            },
        {SPAN_LIT("BDAT 0x1\r\nNOOP\r\n"),                                                          SYNTAX,                                 {NULL, 0}            },
        {SPAN_LIT("BDAT\r\nNOOP\r\n"),                                                              SYNTAX,                                 {NULL, 0}            },
        {SPAN_LIT("BDAT 1 LAST LAST\r\nNOOP\r\n"),                                                  SYNTAX,                                 {NULL, 0}            },
        {SPAN_LIT("BDAT 1LAST\r\nNOOP\r\n"),                                                        SYNTAX,                                 {NULL, 0}            },
    };
    struct fixture f;

    fixture_init(&f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t cut = 0; cut <= rows[i].in.len; cut++) {
            f.endless_room = cut % 2 == 0;
            feed_cut(&f, SPAN_LIT(BDAT_START), 0);
            assert_string_equal(fixture_heard(&f), BDAT_HEARD);
            fixture_send(&f, span_first(rows[i].in, cut));
            fixture_send(&f, span_from(rows[i].in, cut));
            if (rows[i].heard && strcmp(bytes_text(&f.said), rows[i].heard) != 0)
                fail_msg("row %zu, cut %zu: heard %s", i, cut, bytes_text(&f.said));
            expect_messages(&f, rows[i].text.ptr ? 1 : 0);
            if (rows[i].text.ptr && !span_equal(fixture_text(&f.messages[0]), rows[i].text))
                fail_msg("row %zu, cut %zu: %s", i, cut, f.messages[0].body.ptr);
        }
    }
    fixture_free(&f);
}

/* BDAT n with fewer bytes, then the end: nothing comes out. */
static void test_short_chunk(void **state)
{
    struct fixture f;

    fixture_init(&f, NULL);
    feed_cut(&f, SPAN_LIT(BDAT_START "BDAT 10 LAST\r\nA: b\r\n"), 0);
    session_lost(&f.session);
    assert_int_equal(f.submits, 0);
    assert_int_equal(f.aborts, 1);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smuggling), cmocka_unit_test(test_lf_sessions),
        cmocka_unit_test(test_separator), cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_chunks),    cmocka_unit_test(test_short_chunk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
