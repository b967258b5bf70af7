/* Tests of server/proxy_protocol: every row whole, at every cut and byte by byte; checksums;
 * limits. */
#include "base/crc32c.h"
#include "server/proxy_protocol.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"
/* 192.0.2.9:4711 to 198.51.100.1:25 */
#define V4 "\xc0\x00\x02\x09\xc6\x33\x64\x01\x12\x67\x00\x19"
/* [2001:db8::9]:4711 to [2001:db8::1]:25 */
#define V6                                                                                         \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                                   \
    "\x12\x67\x00\x19"
#define AWS "\xea\x00\x05\x01vpce"

struct subject {
    struct proxy_parser parser;
    enum proxy_event event;
    struct proxy_header header;
    const char *why;
    size_t given;
};

static void start(void *self)
{
    struct subject *s = self;

    memset(s, 0xee, sizeof *s); /* init must not rely on zeroed memory */
    proxy_parser_init(&s->parser);
    s->event = PROXY_MORE;
    s->given = 0;
}

static void put_client(const struct proxy_header *h, struct text *t)
{
    for (int i = 0; i < 16; i++)
        text_printf(t, "%02x%s", h->address[i], i == 11 ? "|" : "");
    text_printf(t, " port %u", h->port);
}

/* What comes behind the header is the client's. */
static void feed(void *self, struct span in, struct trace *t)
{
    struct subject *s = self;

    if (s->event == PROXY_BAD)
        return;
    if (s->event == PROXY_MORE) {
        size_t need = proxy_need(&s->parser);
        size_t before = in.len;

        assert_true(need > 0);
        s->event = proxy_parse(&s->parser, &in, &s->header, &s->why);
        if (s->event == PROXY_DONE)
            assert_true(before - in.len >= need);
        if (s->event == PROXY_BAD)
            text_printf(&t->text, "bad: %s", s->why);
        if (s->event == PROXY_DONE && s->header.kind == PROXY_CLIENT)
            put_client(&s->header, &t->text);
        else if (s->event == PROXY_DONE)
            text_cstr(&t->text, s->header.kind == PROXY_LOCAL ? "local" : "unknown");
        if (s->event == PROXY_DONE)
            text_cstr(&t->text, "; ");
    }
    if (s->event == PROXY_DONE)
        trace_bytes(t, in);
}

static void finish(void *self, struct trace *t)
{
    const struct subject *s = self;

    text_cstr(&t->text, s->event == PROXY_MORE ? "more" : "");
}

static struct subject subject;
static const struct trace_subject trickle = {&subject, start, feed, finish};

#define MAPPED   "00000000000000000000ffff|"
#define CLIENT4  MAPPED "c0000209 port 4711; "
#define CLIENT6  "20010db80000000000000000|00000009 port 4711; "
#define NONE     "bad: this is no PROXY header"
#define BAD1     "bad: a header of version 1 is malformed"
#define SHORT2   "bad: a header of version 2 is too short for its address"
#define FAMILY2  "bad: a header of version 2 has a family that is not known"
#define COMMAND2 "bad: a header of version 2 has a command that is not known"

static const struct row {
    const char *name;
    struct span input;
    const char *want;
} rows[] = {
    {"nothing",                            SPAN_LIT(""),                                                 "more"                },
    {"v1, IPv4",                           SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\n"),    CLIENT4               },
    {"v1, IPv4, client's bytes",
     SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\nEHLO x\r\n"),                                CLIENT4 "EHLO x\\r\\n"},
    {"v1, IPv6",                           SPAN_LIT("PROXY TCP6 2001:db8::9 2001:db8::1 4711 25\r\n"),   CLIENT6               },
    {"v1, a mapped address",
     SPAN_LIT("PROXY TCP6 ::ffff:192.0.2.9 ::ffff:198.51.100.1 4711 25\r\n"),                            CLIENT4               },
    {"v1, largest port",                   SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1 65535 0\r\n"),
     MAPPED "c0000209 port 65535; "                                                                                            },
    {"v1, unknown",                        SPAN_LIT("PROXY UNKNOWN\r\n"),                                "unknown; "           },
    {"v1, unknown, and more",              SPAN_LIT("PROXY UNKNOWN ffff:f... 1 2 3 \x01\r\nQUIT\r\n"),
     "unknown; QUIT\\r\\n"                                                                                                     },
    {"v1, unknown, glued",                 SPAN_LIT("PROXY UNKNOWNS\r\n"),                               BAD1                  },
    {"v1, no end yet",                     SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r"),      "more"                },
    {"v1, LF only",                        SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\n"),      BAD1                  },
    {"v1, CR inside",                      SPAN_LIT("PROXY TCP4 192.0.2.9\r198.51.100.1 4711 25\r\n"),
     "bad: a header of version 1 has a CR without its LF"                                                                      },
    {"v1, NUL inside",                     SPAN_LIT("PROXY UNKNOWN \0\r\n"),                             BAD1                  },
    {"v1, two blanks",                     SPAN_LIT("PROXY TCP4  192.0.2.9 198.51.100.1 4711 25\r\n"),   BAD1                  },
    {"v1, blank at the end",               SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1 4711 25 \r\n"),   BAD1                  },
    {"v1, wrong family",                   SPAN_LIT("PROXY TCP6 192.0.2.9 198.51.100.1 4711 25\r\n"),    BAD1                  },
    {"v1, wrong family, other way",        SPAN_LIT("PROXY TCP4 2001:db8::9 2001:db8::1 4711 25\r\n"),
     BAD1                                                                                                                      },
    {"v1, mixed families",                 SPAN_LIT("PROXY TCP4 192.0.2.9 2001:db8::1 4711 25\r\n"),     BAD1                  },
    {"v1, UDP",                            SPAN_LIT("PROXY UDP4 192.0.2.9 198.51.100.1 4711 25\r\n"),    BAD1                  },
    {"v1, a name",                         SPAN_LIT("PROXY TCP4 localhost 198.51.100.1 4711 25\r\n"),    BAD1                  },
    {"v1, a block",                        SPAN_LIT("PROXY TCP4 192.0.2.0/24 198.51.100.1 4711 25\r\n"), BAD1                  },
    {"v1, address too large",              SPAN_LIT("PROXY TCP4 192.0.2.256 198.51.100.1 4711 25\r\n"),  BAD1                  },
    {"v1, port too large",                 SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1 65536 25\r\n"),   BAD1                  },
    {"v1, port with zeros",                SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1 004711 25\r\n"),  BAD1                  },
    {"v1, no port",                        SPAN_LIT("PROXY TCP4 192.0.2.9 198.51.100.1\r\n"),            BAD1                  },
    {"v1, empty",                          SPAN_LIT("PROXY \r\n"),                                       BAD1                  },
    {"v1, lower case",                     SPAN_LIT("proxy TCP4 192.0.2.9 198.51.100.1 4711 25\r\n"),    NONE                  },
    {"v1, lower case family",              SPAN_LIT("PROXY tcp4 192.0.2.9 198.51.100.1 4711 25\r\n"),    BAD1                  },
    {"SMTP",                               SPAN_LIT("EHLO mail.example.org\r\n"),                        NONE                  },
    {"SMTP that begins alike",             SPAN_LIT("PROPFIND /\r\n"),                                   NONE                  },
    {"TLS",                                SPAN_LIT("\x16\x03\x01\x02\x00"),                             NONE                  },
    {"an empty line",                      SPAN_LIT("\r\nQUIT\r\n"),                                     NONE                  },
    {"v2, IPv4",                           SPAN_LIT(SIG "\x21\x11\0\x0c" V4),                            CLIENT4               },
    {"v2, IPv4, client's bytes",           SPAN_LIT(SIG "\x21\x11\0\x0c" V4 "EHLO x\r\n"),
     CLIENT4 "EHLO x\\r\\n"                                                                                                    },
    {"v2, IPv6",                           SPAN_LIT(SIG "\x21\x21\0\x24" V6 "x"),                        CLIENT6 "x"           },
    {"v2, a mapped address",
     SPAN_LIT(SIG "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x09"
                  "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x01\x12\x67\x00\x19"),
     CLIENT4                                                                                                                   },
    {"v2, TLVs",
     SPAN_LIT(SIG "\x21\x11\0\x17" V4 AWS "\x04\0\0"
                  "x"),
     CLIENT4 "x"                                                                                                               },
    {"v2, TLVs behind IPv6",               SPAN_LIT(SIG "\x21\x21\0\x2c" V6 AWS "x"),                    CLIENT6 "x"           },
    {"v2, no end yet",                     SPAN_LIT(SIG "\x21\x11\0\x14" V4 "\xea\x00\x05\x01vpc"),      "more"                },
    {"v2, local",                          SPAN_LIT(SIG "\x20\x00\0\0"),                                 "local; "             },
    {"v2, local, with what means nothing",
     SPAN_LIT(SIG "\x20\x11\0\x03"
                  "abcEHLO"),
     "local; EHLO"                                                                                                             },
    {"v2, local, family not known",        SPAN_LIT(SIG "\x20\xff\0\x01z"),                              "local; "             },
    {"v2, unspecified",                    SPAN_LIT(SIG "\x21\x00\0\0Q"),                                "unknown; Q"          },
    {"v2, unspecified, with bytes",
     SPAN_LIT(SIG "\x21\x00\0\x05"
                  "\x03\0\0\0\0Q"),
     "unknown; Q"                                                                                                              },
    {"v2, UDP",                            SPAN_LIT(SIG "\x21\x12\0\x0c" V4),                            "unknown; "           },
    {"v2, no transport",                   SPAN_LIT(SIG "\x21\x20\0\x24" V6),                            "unknown; "           },
    {"v2, too short",                      SPAN_LIT(SIG "\x21\x11\0\x0b" V4),                            SHORT2                },
    {"v2, too short for IPv6",             SPAN_LIT(SIG "\x21\x21\0\x0c" V4),                            SHORT2                },
    {"v2, too short for a socket",         SPAN_LIT(SIG "\x21\x31\0\x24" V6),                            SHORT2                },
    {"v2, family 4",                       SPAN_LIT(SIG "\x21\x41\0\x0c" V4),                            FAMILY2               },
    {"v2, transport 3",                    SPAN_LIT(SIG "\x21\x13\0\x0c" V4),                            FAMILY2               },
    {"v2, command 2",                      SPAN_LIT(SIG "\x22\x11\0\x0c" V4),                            COMMAND2              },
    {"v2, version 1",                      SPAN_LIT(SIG "\x11\x11\0\x0c" V4),                            COMMAND2              },
    {"v2, version 3",                      SPAN_LIT(SIG "\x31\x11\0\x0c" V4),                            COMMAND2              },
    {"v2, signature ends wrong",           SPAN_LIT("\r\n\r\n\0\r\nQUIT\r\n"),                           NONE                  },
    {"v2, TLV longer than the header",     SPAN_LIT(SIG "\x21\x11\0\x13" V4 "\xea\x00\x05\x01vpce"),
     "bad: a header of version 2 has a TLV longer than itself"                                                                 },
    {"v2, ends within a TLV's length",     SPAN_LIT(SIG "\x21\x11\0\x0e" V4 "\xea\x00"),
     "bad: a header of version 2 ends within a TLV"                                                                            },
    {"v2, checksum of three bytes",
     SPAN_LIT(SIG "\x21\x11\0\x12" V4 "\x03\0\x03"
                  "abc"),
     "bad: a header of version 2 has a bad checksum TLV"                                                                       },
    {"v2, wrong checksum",
     SPAN_LIT(SIG "\x21\x11\0\x13" V4 "\x03\0\x04"
                  "abcd"),
     "bad: a header of version 2 has a wrong checksum"                                                                         },
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        trace_check_splits(&trickle, rows[i].input, rows[i].want, rows[i].name);
}

/* A header of a unix socket: 216 bytes that are passed over, TLVs behind them. */
static void test_unix_socket(void **state)
{
    char input[16 + 216 + 8 + 2];
    struct text t;

    text_init(&t, input, sizeof input);
    text_span(&t, SPAN_LIT(SIG "\x21\x31\0\xe0"));
    for (int i = 0; i < 216; i++)
        text_char(&t, 'u');
    text_span(&t, SPAN_LIT(AWS));
    text_char(&t, 'Q');
    trace_check_splits(&trickle, text_as_span(&t), "unknown; Q", "unix socket");
}

static struct span with_checksum(char *buf, size_t cap, struct span head, struct span tail)
{
    struct text t;
    uint32_t crc;

    text_init(&t, buf, cap);
    text_span(&t, head);
    text_span(&t, SPAN_LIT("\x03\0\x04\0\0\0\0"));
    text_span(&t, tail);
    crc = crc32c(0, buf, t.len);
    for (size_t i = 0; i < 4; i++)
        buf[head.len + 3 + i] = (char)(crc >> (24 - 8 * i));
    return text_as_span(&t);
}

/* Anywhere among the TLVs; one bit that differs, anywhere, is noticed. */
static void test_checksum(void **state)
{
    static const struct span heads[] = {SPAN_LIT(SIG "\x21\x11\0\x1b" V4),
                                        SPAN_LIT(SIG "\x21\x11\0\x1b" V4 AWS)};
    char buf[128];
    struct span in;

    for (size_t which = 0; which < 2; which++) {
        in = with_checksum(buf, sizeof buf, heads[which], which ? SPAN_LIT("") : SPAN_LIT(AWS));
        trace_check_splits(&trickle, in, CLIENT4, "right checksum");
        for (size_t bit = 16 * 8; bit < in.len * 8; bit++) {
            struct proxy_parser p;
            struct proxy_header h;
            const char *why;
            struct span rest = in;

            buf[bit / 8] = (char)(buf[bit / 8] ^ (1 << bit % 8));
            proxy_parser_init(&p);
            /* a type or length that differs may hide the checksum, or ask for more */
            if (proxy_parse(&p, &rest, &h, &why) == PROXY_DONE)
                assert_false(p.has_crc);
            buf[bit / 8] = (char)(buf[bit / 8] ^ (1 << bit % 8));
        }
    }
    in = with_checksum(buf, sizeof buf, SPAN_LIT(SIG "\x21\x11\0\x1a" V4),
                       SPAN_LIT("\x03\0\x04"
                                "abcd"));
    trace_check_splits(&trickle, in, "bad: a header of version 2 has a bad checksum TLV",
                       "two checksums");
}

/* 107 bytes are a header, 108 are not; the longest of version 2 is 65535 bytes of TLV. */
static void test_limits(void **state)
{
    static char input[16 + 65535 + 4];

    for (size_t len = PROXY_V1_MAX - 1; len <= PROXY_V1_MAX + 1; len++) {
        memset(input, 'x', len);
        memcpy(input, "PROXY UNKNOWN ", 14);
        memcpy(input + len - 2, "\r\n", 2);
        trace_check_splits(&trickle, span_make(input, len),
                           len <= PROXY_V1_MAX ? "unknown; "
                                               : "bad: a header of version 1 has no end",
                           "version 1 at the limit");
    }
    memset(input, 'x', sizeof input);
    memcpy(input, SIG "\x21\x11\xff\xff" V4 "\xea\xff\xf0", 16 + 12 + 3);
    memcpy(input + 16 + 65535, "QUIT", 4);
    start(&subject);
    {
        struct span in = span_make(input, sizeof input);

        assert_int_equal(proxy_parse(&subject.parser, &in, &subject.header, &subject.why),
                         PROXY_DONE);
        assert_true(span_equal(in, SPAN_LIT("QUIT")));
    }
}

/* Reading no more than proxy_need() at a time never reaches the client's bytes. */
static void test_need(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span rest = rows[i].input;
        enum proxy_event event = PROXY_MORE;
        unsigned reads = 0;

        start(&subject);
        while (event == PROXY_MORE && rest.len > 0) {
            struct span part = span_first(rest, proxy_need(&subject.parser));

            rest = span_from(rest, part.len);
            event = proxy_parse(&subject.parser, &part, &subject.header, &subject.why);
            if (event == PROXY_DONE)
                assert_int_equal(part.len, 0);
            reads++;
        }
        assert_true(reads <= PROXY_V1_MAX);
    }
}

static void test_looks_like(void **state)
{
    assert_true(proxy_looks_like(SPAN_LIT("PROXY TCP4")));
    assert_true(proxy_looks_like(SPAN_LIT("PROXY ")));
    assert_true(proxy_looks_like(SPAN_LIT(SIG)));
    assert_true(proxy_looks_like(SPAN_LIT(SIG "\x21")));
    assert_true(proxy_looks_like(SPAN_LIT("\r\n\r\n\0\r")));
    assert_false(proxy_looks_like(SPAN_LIT("PROXY")));
    assert_false(proxy_looks_like(SPAN_LIT("\r\n\r\nEHLO x\r\n")));
    assert_false(proxy_looks_like(SPAN_LIT("EHLO x\r\n")));
    assert_false(proxy_looks_like(SPAN_LIT("")));
}

static void test_random_bytes(void **state)
{
    static const struct span starts[] = {SPAN_LIT(""), SPAN_LIT("PROXY "),
                                         SPAN_LIT(SIG "\x21\x11\0\x1b"), SPAN_LIT(SIG "\x20")};
    uint64_t seed = 20261126;
    char input[80];

    for (int i = 0; i < 20000; i++) {
        struct span head = starts[trace_random(&seed) % 4];
        size_t len = trace_random(&seed) % (sizeof input - head.len);

        if (head.len > 0)
            memcpy(input, head.ptr, head.len);
        trace_random_bytes(&seed, SPAN_LIT("\0\x03\x04\x0c\x11\x21\r\n TCP4.:1"), input + head.len,
                           len);
        trace_check_splits_agree(&trickle, span_make(input, head.len + len), "random");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),         cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_checksum),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_need),         cmocka_unit_test(test_looks_like),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
