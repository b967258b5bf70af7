/*
 * Tests of smtp/dot: what ends data and what does not (FACTS SMUG), and that whatever comes in,
 * only canonical bodies come out (DESIGN P4).
 *
 * The model and the properties are in test_smtp_dot_properties.c.
 */
#include "smtp/dot.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- subjects: the three machines, each with an output buffer of `cap` bytes --- */

static struct {
    struct smtp_dot_decoder decoder;
    struct smtp_normaliser normaliser;
    struct smtp_dot_encoder encoder;
    bool lf_session;
    bool ended;
    size_t cap;
    char out[4096];
} subject;

static void decode_start(void *self)
{
    memset(&subject.decoder, 0xee, sizeof subject.decoder);
    smtp_dot_decoder_init(&subject.decoder, subject.lf_session);
    subject.ended = false;
}

static void decode_feed(void *self, struct span in, struct trace *t)
{
    while (in.len > 0 && !subject.ended) {
        size_t before = in.len;
        size_t len;

        subject.ended = smtp_dot_decode(&subject.decoder, &in, subject.out, subject.cap, &len);
        assert_true(len <= subject.cap);
        assert_true(in.len < before || len > 0); /* else the caller would loop for ever */
        trace_bytes(t, span_make(subject.out, len));
        if (subject.ended)
            text_cstr(&t->text, "|END|");
    }
    trace_bytes(t, in); /* the next commands */
}

static void decode_finish(void *self, struct trace *t)
{
    struct span rest = SPAN_LIT("QUIT\r\n");
    size_t len;

    if (subject.ended) { /* it stays so, and takes nothing */
        assert_true(smtp_dot_decode(&subject.decoder, &rest, subject.out, subject.cap, &len));
        assert_int_equal(len, 0);
        assert_int_equal(rest.len, 6);
    }
    text_cstr(&t->text, subject.decoder.saw_crlf ? " crlf" : "");
    text_cstr(&t->text, subject.decoder.bare_lf ? " lf" : "");
    text_cstr(&t->text, subject.decoder.lf_session ? " lf_session" : "");
}

static void normalise_start(void *self)
{
    memset(&subject.normaliser, 0xee, sizeof subject.normaliser);
    smtp_normaliser_init(&subject.normaliser);
}

static void normalise_feed(void *self, struct span in, struct trace *t)
{
    while (in.len > 0) {
        size_t len;

        smtp_normalise(&subject.normaliser, &in, subject.out, subject.cap, &len);
        assert_true(len <= subject.cap);
        trace_bytes(t, span_make(subject.out, len));
    }
}

static void normalise_finish(void *self, struct trace *t)
{
    char out[4];
    size_t len = smtp_normalise_finish(&subject.normaliser, out);

    assert_true(len <= 3);
    trace_bytes(t, span_make(out, len));
    assert_int_equal(smtp_normalise_finish(&subject.normaliser, out), 0);
    text_cstr(&t->text, subject.normaliser.bare_lf ? " lf" : "");
}

static void encode_start(void *self)
{
    memset(&subject.encoder, 0xee, sizeof subject.encoder);
    smtp_dot_encoder_init(&subject.encoder);
}

static void encode_feed(void *self, struct span in, struct trace *t)
{
    while (in.len > 0) {
        size_t len;

        smtp_dot_encode(&subject.encoder, &in, subject.out, subject.cap, &len);
        assert_true(len <= subject.cap);
        trace_bytes(t, span_make(subject.out, len));
    }
}

static void encode_finish(void *self, struct trace *t)
{
}

static const struct trace_subject decoder = {NULL, decode_start, decode_feed, decode_finish};
static const struct trace_subject normaliser = {NULL, normalise_start, normalise_feed,
                                                normalise_finish};
static const struct trace_subject encoder = {NULL, encode_start, encode_feed, encode_finish};

static const size_t caps[] = {SMTP_DOT_SLACK, SMTP_DOT_SLACK + 1, 16, sizeof subject.out};

struct row {
    const char *name;
    struct span input;
    const char *want;
};

static void check_rows(const struct trace_subject *s, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < COUNT(caps); c++) {
            subject.cap = caps[c];
            trace_check_splits(s, rows[i].input, rows[i].want, rows[i].name);
        }
    }
}

/* --- tables --- */

/* What follows a false end: an attacker's mail, which must stay text up to the real end. */
#define EVIL      "MAIL\r\n.\r\nQUIT\r\n"
#define EVIL_TEXT "MAIL\\r\\n|END|QUIT\\r\\n"

static const struct row strict_rows[] = {
    {"nothing yet",           SPAN_LIT(""),                     ""                                     },
    {"plain",                 SPAN_LIT("a\r\nb\r\n.\r\nQUIT"),  "a\\r\\nb\\r\\n|END|QUIT crlf"         },
    {"empty text",            SPAN_LIT(".\r\nQUIT\r\n"),        "|END|QUIT\\r\\n crlf"                 },
    {"one empty line",        SPAN_LIT("\r\n.\r\n"),            "\\r\\n|END| crlf"                     },
    {"not ended",             SPAN_LIT("a\r\n."),               "a\\r\\n crlf"                         },
    {"not ended, CR held",    SPAN_LIT("a\r\n.\r"),             "a\\r\\n crlf"                         },
    {"next mail behind it",   SPAN_LIT("a\r\n.\r\n.\r\n"),      "a\\r\\n|END|.\\r\\n crlf"             },
    {"stuffed dots",          SPAN_LIT("..\r\n...\r\n.a\r\n"),  ".\\r\\n..\\r\\na\\r\\n crlf"          },
    {"dots inside a line",    SPAN_LIT("a.\r\nb..c\r\n.\r\n"),  "a.\\r\\nb..c\\r\\n|END| crlf"         },
    {"LF becomes CRLF",       SPAN_LIT("a\nb\n\nc\n"),          "a\\r\\nb\\r\\n\\r\\nc\\r\\n lf"       },
    {"CR is a blank",         SPAN_LIT("a\rb\r\rc\r\n"),        "a b  c\\r\\n crlf"                    },
    {"CR at a line start",    SPAN_LIT("\ra\r\n\rb\r\n"),       " a\\r\\n b\\r\\n crlf"                },
    {"NUL is a blank",        SPAN_LIT("\0a\0\0b\0\r\n"),       " a  b \\r\\n crlf"                    },
    {"HTAB and 8-bit stay",   SPAN_LIT("\ta\xff\x80\x0b\r\n"),  "\\x09a\\xff\\x80\\x0b\\r\\n crlf"     },
    {"LF.LF",                 SPAN_LIT("x\n.\n" EVIL),          "x\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"  },
    {"LF.CRLF",               SPAN_LIT("x\n.\r\n" EVIL),        "x\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"  },
    {"CRLF.LF",               SPAN_LIT("x\r\n.\n" EVIL),        "x\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"  },
    {"CR.CR",                 SPAN_LIT("x\r.\r" EVIL),          "x . " EVIL_TEXT " crlf"               },
    {"CR.LF",                 SPAN_LIT("x\r.\n" EVIL),          "x .\\r\\n" EVIL_TEXT " crlf lf"       },
    {"CR.CRLF",               SPAN_LIT("x\r.\r\n" EVIL),        "x .\\r\\n" EVIL_TEXT " crlf"          },
    {"CRLF.CR",               SPAN_LIT("x\r\n.\r" EVIL),        "x\\r\\n " EVIL_TEXT " crlf"           },
    {"LF.CR",                 SPAN_LIT("x\n.\r" EVIL),          "x\\r\\n " EVIL_TEXT " crlf lf"        },
    {"LFCR.LFCR",             SPAN_LIT("x\n\r.\n\r" EVIL),      "x\\r\\n .\\r\\n " EVIL_TEXT " crlf lf"},
    {"CRCRLF.CRCRLF",         SPAN_LIT("x\r\r\n.\r\r\n" EVIL),  "x \\r\\n \\r\\n" EVIL_TEXT " crlf"    },
    {"CRCRLF.CRLF ends",      SPAN_LIT("x\r\r\n.\r\nQUIT"),     "x \\r\\n|END|QUIT crlf"               },
    {"CRLF.CRCRLF",           SPAN_LIT("x\r\n.\r\r\n" EVIL),    "x\\r\\n \\r\\n" EVIL_TEXT " crlf"     },
    {"CRLF NUL . CRLF",       SPAN_LIT("x\r\n\0.\r\n" EVIL),    "x\\r\\n .\\r\\n" EVIL_TEXT " crlf"    },
    {"CRLF . NUL CRLF",       SPAN_LIT("x\r\n.\0\r\n" EVIL),    "x\\r\\n \\r\\n" EVIL_TEXT " crlf"     },
    {"CRLF . CR NUL LF",      SPAN_LIT("x\r\n.\r\0\n" EVIL),    "x\\r\\n  \\r\\n" EVIL_TEXT " crlf lf" },
    {"CR NUL LF . CRLF",      SPAN_LIT("x\r\0\n.\r\n" EVIL),    "x  \\r\\n.\\r\\n" EVIL_TEXT " crlf lf"},
    {"CRLF blank . CRLF",     SPAN_LIT("x\r\n .\r\n" EVIL),     "x\\r\\n .\\r\\n" EVIL_TEXT " crlf"    },
    {"CRLF . blank CRLF",     SPAN_LIT("x\r\n. \r\n" EVIL),     "x\\r\\n \\r\\n" EVIL_TEXT " crlf"     },
    {"CRLF.. LF",             SPAN_LIT("x\r\n..\n" EVIL),       "x\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"  },
    {"LF.. CRLF",             SPAN_LIT("x\n..\r\n" EVIL),       "x\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"  },
    {"start .LF",             SPAN_LIT(".\n" EVIL),             ".\\r\\n" EVIL_TEXT " crlf lf"         },
    {"start .CR",             SPAN_LIT(".\r" EVIL),             " " EVIL_TEXT " crlf"                  },
    {"start .CRCRLF",         SPAN_LIT(".\r\r\n" EVIL),         " \\r\\n" EVIL_TEXT " crlf"            },
    {"start LF.CRLF",         SPAN_LIT("\n.\r\n" EVIL),         "\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"   },
    {"start CR.CRLF",         SPAN_LIT("\r.\r\n" EVIL),         " .\\r\\n" EVIL_TEXT " crlf"           },
    {"start NUL.CRLF",        SPAN_LIT("\0.\r\n" EVIL),         " .\\r\\n" EVIL_TEXT " crlf"           },
    {"LF.LF, then CRLF.CRLF", SPAN_LIT("\n.\n.\r\n.\r\nQ"),     "\\r\\n.\\r\\n.\\r\\n|END|Q crlf lf"   },
    {"false ends in a row",   SPAN_LIT(".\n.\n.\n.\r\n.\r\nQ"),
     ".\\r\\n.\\r\\n.\\r\\n.\\r\\n|END|Q crlf lf"                                                      },
};

static void test_strict(void **state)
{
    subject.lf_session = false;
    check_rows(&decoder, strict_rows, COUNT(strict_rows));
}

static const struct row lf_session_rows[] = {
    {"a person with nc",       SPAN_LIT("a\nb\n.\nQUIT\n"),     "a\\r\\nb\\r\\n|END|QUIT\\n lf lf_session"   },
    {"empty text",             SPAN_LIT(".\nQUIT\n"),           "|END|QUIT\\n lf lf_session"                 },
    {"stuffed dots",           SPAN_LIT("..\n.a\n.\n"),         ".\\r\\na\\r\\n|END| lf lf_session"          },
    {"LF.CRLF",                SPAN_LIT("x\n.\r\n" EVIL),       "x\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"        },
    {"start .CRLF",            SPAN_LIT(".\r\n" EVIL),          ".\\r\\n" EVIL_TEXT " crlf"                  },
    {"CRLF.LF",                SPAN_LIT("x\r\n.\n" EVIL),       "x\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"        },
    {"a CRLF ends the favour", SPAN_LIT("x\r\ny\n.\n" EVIL),
     "x\\r\\ny\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"                                                            },
    {"late CRLF",              SPAN_LIT("x\ny\r\n\n.\n" EVIL),
     "x\\r\\ny\\r\\n\\r\\n.\\r\\n" EVIL_TEXT " crlf lf"                                                      },
    {"CRLF.CRLF",              SPAN_LIT("x\r\n.\r\nQUIT\r\n"),  "x\\r\\n|END|QUIT\\r\\n crlf"                },
    {"CR.LF",                  SPAN_LIT("x\r.\ny\n.\nQUIT\n"),  "x .\\r\\ny\\r\\n|END|QUIT\\n lf lf_session" },
    {"LF.CR",                  SPAN_LIT("x\n.\ry\n.\nQUIT\n"),  "x\\r\\n y\\r\\n|END|QUIT\\n lf lf_session"  },
    {"LF NUL . LF",            SPAN_LIT("x\n\0.\ny\n.\nQ"),     "x\\r\\n .\\r\\ny\\r\\n|END|Q lf lf_session" },
    {"LF . NUL LF",            SPAN_LIT("x\n.\0\ny\n.\nQ"),     "x\\r\\n \\r\\ny\\r\\n|END|Q lf lf_session"  },
    {"LFCR.LFCR",              SPAN_LIT("x\n\r.\n\ry\n.\nQ"),   "x\\r\\n .\\r\\n y\\r\\n|END|Q lf lf_session"},
    {"CRCRLF.CRCRLF",          SPAN_LIT("x\r\r\n.\r\r\n" EVIL), "x \\r\\n \\r\\n" EVIL_TEXT " crlf"          },
    {"not ended",              SPAN_LIT("x\n."),                "x\\r\\n lf lf_session"                      },
};

static void test_lf_session(void **state)
{
    subject.lf_session = true;
    check_rows(&decoder, lf_session_rows, COUNT(lf_session_rows));
}

static const struct row normaliser_rows[] = {
    {"nothing",            SPAN_LIT(""),                  ""                                  },
    {"canonical",          SPAN_LIT("a\r\n\r\nb\r\n"),    "a\\r\\n\\r\\nb\\r\\n"              },
    {"dots are text",      SPAN_LIT(".\r\n..\r\n.a\r\n"), ".\\r\\n..\\r\\n.a\\r\\n"           },
    {"LF",                 SPAN_LIT("a\n\n.\nb\n"),       "a\\r\\n\\r\\n.\\r\\nb\\r\\n lf"    },
    {"unfinished",         SPAN_LIT("a\r\nb"),            "a\\r\\nb\\r\\n"                    },
    {"unfinished, CR",     SPAN_LIT("a\r\nb\r"),          "a\\r\\nb \\r\\n"                   },
    {"only CR",            SPAN_LIT("\r"),                " \\r\\n"                           },
    {"only LF",            SPAN_LIT("\n"),                "\\r\\n lf"                         },
    {"only NUL",           SPAN_LIT("\0"),                " \\r\\n"                           },
    {"CR CR LF",           SPAN_LIT("a\r\r\nb\n\rc"),     "a \\r\\nb\\r\\n c\\r\\n lf"        },
    {"NUL between CR, LF", SPAN_LIT("a\r\0\nb"),          "a  \\r\\nb\\r\\n lf"               },
    {"smuggling by BDAT",  SPAN_LIT("x\n.\nMAIL\r\n.\n"), "x\\r\\n.\\r\\nMAIL\\r\\n.\\r\\n lf"},
};

static void test_normaliser(void **state)
{
    check_rows(&normaliser, normaliser_rows, COUNT(normaliser_rows));
}

static const struct row encoder_rows[] = {
    {"nothing",        SPAN_LIT(""),                      ""                           },
    {"no dots",        SPAN_LIT("a\r\n\r\nb\r\n"),        "a\\r\\n\\r\\nb\\r\\n"       },
    {"dot lines",      SPAN_LIT(".\r\n..\r\n.a\r\n"),     "..\\r\\n...\\r\\n..a\\r\\n" },
    {"dots elsewhere", SPAN_LIT("a.\r\nb.c\r\n .\r\n"),   "a.\\r\\nb.c\\r\\n .\\r\\n"  },
    {"many dots",      SPAN_LIT("............\r\n.\r\n"), ".............\\r\\n..\\r\\n"},
    {"empty then dot", SPAN_LIT("\r\n\r\n.\r\n"),         "\\r\\n\\r\\n..\\r\\n"       },
};

static void test_encoder(void **state)
{
    check_rows(&encoder, encoder_rows, COUNT(encoder_rows));
}

/* Runs of whole lines go by another way than single bytes do: both must say the same, for any room.
 */
static void test_long_lines(void **state)
{
    uint64_t seed = 51765;
    char input[120];

    for (int i = 0; i < 400; i++) {
        size_t len = trace_random(&seed) % sizeof input;

        trace_random_bytes(&seed, SPAN_LIT("abcdefghijklmnop.\r\n"), input, len);
        for (size_t at = 20 + (size_t)i % 20; at + 4 < len; at += 20)
            memcpy(input + at, i % 4 ? "\r\nx" : "\r\n.", 3);
        subject.cap = i % 2 ? sizeof subject.out : SMTP_DOT_SLACK + (size_t)i % 40;
        subject.lf_session = i % 5 == 0;
        trace_check_splits_agree(&decoder, span_make(input, len), "decoder");
        trace_check_splits_agree(&normaliser, span_make(input, len), "normaliser");
        trace_check_splits_agree(&encoder, span_make(input, len), "encoder");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict),     cmocka_unit_test(test_lf_session),
        cmocka_unit_test(test_normaliser), cmocka_unit_test(test_encoder),
        cmocka_unit_test(test_long_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
