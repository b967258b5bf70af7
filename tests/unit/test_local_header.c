/* Tests of message/local_header: what sendmail adds, completes and leaves out, as Postfix does. */
#include "message/local_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct local_sender ops = {.address = "ops@example.com",
                                        .full_name = "",
                                        .myhostname = "mx.example.com",
                                        .origin = "example.com",
                                        .now_us = 1787410800000000,
                                        .unique = "0123.7"};
#define OPS_ID   "Message-Id: <0123.7@mx.example.com>\n"
#define OPS_DATE "Date: Sat, 22 Aug 2026 15:00:00 +0000 (UTC)\n"
#define OPS_FROM "From: ops@example.com\n"

static const char *written(const char *header, const struct local_sender *sender)
{
    static char buf[2 * LOCAL_HEADER_EXTRA];
    struct text t;

    text_init(&t, buf, strlen(header) + LOCAL_HEADER_EXTRA);
    local_header_write(&t, span_of(header), sender);
    assert_false(t.overflow);
    return buf;
}

static void test_missing_fields_are_added(void **state)
{
    assert_string_equal(written("", &ops), OPS_ID OPS_DATE OPS_FROM "\n");
    assert_string_equal(written("Subject: x\n", &ops),
                        "Subject: x\n" OPS_ID OPS_DATE OPS_FROM "\n");
    assert_string_equal(written("from: me@x\nDATE: now\n", &ops),
                        "from: me@x\nDATE: now\n" OPS_ID "\n");
    assert_string_equal(written("MESSAGE-ID: <1@x>\nFrom: a@x,\r\n b@x", &ops),
                        "MESSAGE-ID: <1@x>\nFrom: a@x,\r\n b@x\n" OPS_DATE "\n");
}

/* A message that was resent has its own From, Date and Message-Id already. */
static void test_resent(void **state)
{
    assert_string_equal(written("Resent-To: a@x\nSubject: x\n", &ops),
                        "Resent-To: a@x\nSubject: x\nResent-" OPS_ID "Resent-" OPS_DATE
                        "Resent-" OPS_FROM "\n");
    assert_string_equal(written("Resent-From: a@x\nResent-Date: now\n", &ops),
                        "Resent-From: a@x\nResent-Date: now\nResent-" OPS_ID "\n");
}

static void test_secret_fields_go(void **state)
{
    assert_string_equal(
        written("To: a@x\nBcc: b,\n c\nBCC:\nResent-Bcc: d\nReturn-Path: <e>\n"
                "Content-Length: 7\nCc: f@x\n"
                "Message-Id: <1@x>\nDate: now\nFrom: g@x\nResent-Message-Id: <2@x>\n"
                "Resent-Date: now\nResent-From: h@x\n",
                &ops),
        "To: a@x\nCc: f@x\nMessage-Id: <1@x>\nDate: now\nFrom: g@x\n"
        "Resent-Message-Id: <2@x>\nResent-Date: now\nResent-From: h@x\n\n");
}

static void test_names_get_a_domain(void **state)
{
    static const struct {
        const char *header;
        const char *want;
    } rows[] = {
        {"From: root (Cron Daemon)\n",                         "From: root@example.com (Cron Daemon)\n"    },
        {"To: bob, Carol <carol>,\n\t\"Q R\"@x.org, <dave>\n",
         "To: bob@example.com, Carol <carol@example.com>,\n\t\"Q R\"@x.org, <dave@example.com>\n"          },
        {"Cc: undisclosed:;\n",                                "Cc: undisclosed:;\n"                       },
        {"CC: team: ann, bob@x;\n",                            "CC: team: ann@example.com, bob@x;\n"       },
        {"Reply-To: \"a@b\" (odd)\n",                          "Reply-To: \"a@b\"@example.com (odd)\n"     },
        {"Sender: s\r\n",                                      "Sender: s@example.com\r\n"                 },
        {"Resent-To: s",                                       "Resent-To: s@example.com\n"                },
        {"Errors-To: <>\n",                                    "Errors-To: <>\n"                           },
        {"To: two words, x\n",                                 "To: two words, x@example.com\n"            },
        {"Subject: bob\n",                                     "Subject: bob\n"                            },
        {"X-To: bob\n",                                        "X-To: bob\n"                               },
        {"To: \"open, bob\n",                                  "To: \"open, bob\n"                         },
        {"To: <@relay.example.net:bob>\n",                     "To: <@relay.example.net:bob@example.com>\n"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = written(rows[i].header, &ops);

        if (strncmp(got, rows[i].want, strlen(rows[i].want)) != 0)
            fail_msg("%s: %s", rows[i].header, got);
    }
}

/* sendmail -G: the message of another system, which says itself who and when. */
static void test_gateway(void **state)
{
    struct local_sender sender = ops;

    sender.gateway = true;
    assert_string_equal(written("To: bob\nBcc: x\n", &sender), "To: bob\n\n");
    assert_string_equal(written("", &sender), "\n");
}

/* Each name grows by the domain: the caller hears that there is no room, and nothing is written
 * past it. */
static void test_no_room(void **state)
{
    char buf[64];
    struct text t;

    text_init(&t, buf, sizeof buf);
    local_header_write(&t, SPAN_LIT("To: a, b, c, d, e, f, g, h\n"), &ops);
    assert_true(t.overflow);
    assert_int_equal(strlen(buf), sizeof buf - 1);
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        const char *want;
    } rows[] = {
        {"Ops Team",         "From: Ops Team <ops@example.com>\n"                },
        {"Ops, the \"one\"", "From: \"Ops, the \\\"one\\\"\" <ops@example.com>\n"},
        {"a\\b",             "From: \"a\\\\b\" <ops@example.com>\n"              },
        {"a\nBcc: x",        "From: \"a?Bcc: x\" <ops@example.com>\n"            },
        {"J\xc3\xb6rg",      "From: \"J\xc3\xb6rg\" <ops@example.com>\n"         },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct local_sender sender = ops;

        sender.full_name = rows[i].name;
        assert_non_null(strstr(written("", &sender), rows[i].want));
    }
}

static void test_null_sender(void **state)
{
    struct local_sender sender = ops;

    sender.address = "";
    assert_non_null(
        strstr(written("", &sender), "From: MAILER-DAEMON@example.com (Mail Delivery System)\n"));
}

static int set_zone(void **state)
{
    return setenv("TZ", "UTC", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_fields_are_added),
        cmocka_unit_test(test_resent),
        cmocka_unit_test(test_secret_fields_go),
        cmocka_unit_test(test_names_get_a_domain),
        cmocka_unit_test(test_gateway),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_null_sender),
    };

    return cmocka_run_group_tests(tests, set_zone, NULL);
}
