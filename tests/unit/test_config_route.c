/* Tests of config/route: the syntax of relay_transport. */
#include "config/route.h"

#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void what_is_understood(void **state)
{
    static const struct {
        const char *text;
        enum route_kind kind;
        const char *host;
        unsigned port;
        const char *path;
    } rows[] = {
        {"lmtp:[192.0.2.53]:2525",        ROUTE_LMTP,    "192.0.2.53",       2525,  ""                 },
        {"lmtp:192.0.2.53:2525",          ROUTE_LMTP,    "192.0.2.53",       2525,  ""                 },
        {"lmtp:[192.0.2.53]",             ROUTE_LMTP,    "192.0.2.53",       24,    ""                 },
        {"smtp:[192.0.2.53]",             ROUTE_SMTP,    "192.0.2.53",       25,    ""                 },
        {"SMTP:host.example.com",         ROUTE_SMTP,    "host.example.com", 25,    ""                 },
        {"lmtp:dovecot",                  ROUTE_LMTP,    "dovecot",          24,    ""                 },
        {"lmtp:host.example.com:1",       ROUTE_LMTP,    "host.example.com", 1,     ""                 },
        {"lmtp:host.example.com:65535",   ROUTE_LMTP,    "host.example.com", 65535, ""                 },
        {"lmtp:inet:host.example.com:24", ROUTE_LMTP,    "host.example.com", 24,    ""                 },
        {"lmtp:[2001:db8::1]:24",         ROUTE_LMTP,    "2001:db8::1",      24,    ""                 },
        {"lmtp:[IPv6:2001:db8::1]",       ROUTE_LMTP,    "2001:db8::1",      24,    ""                 },
        {"lmtp:[::ffff:192.0.2.1]",       ROUTE_LMTP,    "::ffff:192.0.2.1", 24,    ""                 },
        {"  lmtp:[192.0.2.53]:24 \t",     ROUTE_LMTP,    "192.0.2.53",       24,    ""                 },
        {"lmtp:unix:/run/dovecot/lmtp",   ROUTE_LMTP,    "",                 0,     "/run/dovecot/lmtp"},
        {"smtp:unix:/run/smtp",           ROUTE_SMTP,    "",                 0,     "/run/smtp"        },
        {"maildir:/srv/mail",             ROUTE_MAILDIR, "",                 0,     "/srv/mail"        },
        {"Maildir:/srv/my mail",          ROUTE_MAILDIR, "",                 0,     "/srv/my mail"     },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct errbuf err = {""};
        struct route r;

        if (route_parse(span_of(rows[i].text), &r, &err) != 0)
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_int_equal(r.kind, rows[i].kind);
        assert_string_equal(r.host, rows[i].host);
        assert_int_equal(r.port, rows[i].port);
        assert_string_equal(r.path, rows[i].path);
    }
}

static void the_text_is_the_destinations_name(void **state)
{
    struct route r;

    assert_int_equal(route_parse(SPAN_LIT("  lmtp:[192.0.2.53]:24 "), &r, NULL), 0);
    assert_string_equal(r.text, "lmtp:[192.0.2.53]:24");
}

static void what_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "lmtp",
        "lmtp:",
        "192.0.2.1",
        "lmtps:[192.0.2.1]",
        "relay:[192.0.2.1]",
        "lmtp:[]",
        "lmtp:[192.0.2.1",
        "lmtp:192.0.2.1]",
        "lmtp:[192.0.2.1]24",
        "lmtp:[192.0.2.1]:",
        "lmtp:[192.0.2.1]:0",
        "lmtp:[192.0.2.1]:65536",
        "lmtp:[192.0.2.1]:-1",
        "lmtp:[192.0.2.1]:24x",
        "lmtp:[192.0.2.1]:24:25",
        "lmtp:[300.0.2.1]",
        "lmtp:192.0.2",
        "lmtp:[1.2.3.4.5]",
        "lmtp:2001:db8::1",
        "lmtp:[:::::]",
        "lmtp:[2001:db8::1::2]",
        "lmtp:[2001:db8::g]",
        "lmtp:host name",
        "lmtp:host/name",
        "lmtp:host..example.com",
        "lmtp:unix:",
        "lmtp:unix:relative",
        "maildir:",
        "maildir:relative",
        "lmtp:\xc3\xa9.example.com",
        "lmtp:host\nevil",
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct errbuf err = {""};
        struct route r;

        if (route_parse(span_of(rows[i]), &r, &err) != -EINVAL)
            fail_msg("taken: %s", rows[i]);
        assert_non_null(strstr(err.text, "write lmtp:[192.0.2.10]:24"));
    }
}

/* PREFIX, and so many letters after it. */
static int parse_long(const char *prefix, size_t len, struct route *r)
{
    char letters[600], text[700];

    memset(letters, 'a', sizeof letters);
    for (size_t i = 40; i < len; i += 40) /* labels of a name */
        letters[i] = '.';
    letters[len] = '\0';
    snprintf(text, sizeof text, "%s%s", prefix, letters);
    return route_parse(span_of(text), r, NULL);
}

static void lengths(void **state)
{
    struct route r;

    assert_int_equal(parse_long("lmtp:unix:/", 106, &r), 0); /* with the slash 107 bytes */
    assert_int_equal(strlen(r.path), 107);
    assert_int_equal(parse_long("lmtp:unix:/", 107, &r), -EINVAL);
    assert_int_equal(parse_long("maildir:/", 254, &r), 0);
    assert_int_equal(parse_long("maildir:/", 255, &r), -EINVAL);
    assert_int_equal(parse_long("lmtp:", 253, &r), 0);
    assert_int_equal(parse_long("lmtp:", 260, &r), -EINVAL);
    assert_int_equal(parse_long("lmtp:", 400, &r), -EINVAL);
    assert_int_equal(r.text[0], '\0');
}

/* Bytes from settings may hold anything. */
static void nul_bytes(void **state)
{
    struct route r;

    assert_int_equal(route_parse(span_make("maildir:/a\0b", 12), &r, NULL), -EINVAL);
    assert_int_equal(route_parse(span_make("lmtp:host\0:24", 13), &r, NULL), -EINVAL);
    assert_int_equal(route_parse(span_make(NULL, 0), &r, NULL), -EINVAL);
}

/* ---- several ---- */

static void lists(void **state)
{
    static const struct {
        const char *text;
        const char *wanted;
    } rows[] = {
        {"lmtp:[192.0.2.1]:24",                               "lmtp:[192.0.2.1]:24"                     },
        {"lmtp:[192.0.2.1]:24, lmtp:[192.0.2.2]:24",          "lmtp:[192.0.2.1]:24, lmtp:[192.0.2.2]:24"},
        {" ,lmtp:a,,smtp:b , ",                               "lmtp:a, smtp:b"                          },
        {"lmtp:a\n\tsmtp:b maildir:/x",                       "lmtp:a, smtp:b, maildir:/x"              },
        {"smtp:[192.0.2.1], [192.0.2.2]:25 [2001:db8::1]:25",
         "smtp:[192.0.2.1], smtp:[192.0.2.2]:25, "
         "smtp:[2001:db8::1]:25"                                                                        },
        {"maildir:/srv/my mail, lmtp:a",                      "maildir:/srv/my mail, lmtp:a"            },
        {"lmtp:a, lmtp:b, lmtp:a",                            "lmtp:a, lmtp:b"                          },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct errbuf err = {""};
        struct route_list list;
        char buf[ROUTE_LIST_TEXT_CAP];
        struct text t;

        if (route_list_parse(span_of(rows[i].text), &list, &err) != 0)
            fail_msg("%s: %s", rows[i].text, err.text);
        text_init(&t, buf, sizeof buf);
        route_list_text(&list, &t);
        assert_string_equal(buf, rows[i].wanted);
    }
}

static void lists_that_are_refused(void **state)
{
    static const char *const rows[] = {
        "",
        " , ",
        "lmtp:a, b",
        "lmtp:a b",
        "[192.0.2.1]:24",
        "maildir:/x, [192.0.2.1]:24",
        "lmtp:a, lmtp:",
        "lmtp:a, lmtp:unix:x",
        "lmtp:a,lmtp:b,lmtp:c,lmtp:d,lmtp:e,lmtp:f,lmtp:g,lmtp:h,lmtp:i",
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct errbuf err = {""};
        struct route_list list;

        if (route_list_parse(span_of(rows[i]), &list, &err) != -EINVAL)
            fail_msg("taken: %s", rows[i]);
        assert_true(err.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_understood),
        cmocka_unit_test(the_text_is_the_destinations_name),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(lengths),
        cmocka_unit_test(nul_bytes),
        cmocka_unit_test(lists),
        cmocka_unit_test(lists_that_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
