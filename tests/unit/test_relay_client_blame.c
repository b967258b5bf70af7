/* relay/client: whose fault a reply tells (P3) */
#include "relay/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct blame_row {
    const char *reply; /* code and enhanced code */
    enum client_blame mail;
    enum client_blame rcpt;
    enum client_blame data;
    enum client_blame end;
};

#define NOBODY CLIENT_BLAME_NONE
#define RCPT   CLIENT_BLAME_RECIPIENT
#define LATER  CLIENT_BLAME_LATER
#define DEST   CLIENT_BLAME_DESTINATION

static const struct blame_row blame_rows[] = {
    {"250 2.1.0",  NOBODY, NOBODY, DEST,   NOBODY},
    {"251 2.1.5",  NOBODY, NOBODY, DEST,   NOBODY},
    {"220",        NOBODY, NOBODY, DEST,   NOBODY},
    {"354",        DEST,   DEST,   NOBODY, DEST  },
    {"334",        DEST,   DEST,   DEST,   DEST  },
    {"400",        LATER,  LATER,  LATER,  LATER },
    {"421 4.3.2",  DEST,   DEST,   DEST,   DEST  },
    {"450 4.1.1",  LATER,  LATER,  LATER,  LATER },
    {"451 4.3.0",  LATER,  LATER,  LATER,  LATER },
    {"452 4.2.2",  LATER,  LATER,  LATER,  LATER },
    {"452 4.5.3",  LATER,  LATER,  LATER,  LATER },
    {"500 5.5.1",  DEST,   DEST,   DEST,   DEST  },
    {"500 5.1.1",  DEST,   DEST,   DEST,   DEST  },
    {"501 5.5.4",  DEST,   RCPT,   RCPT,   RCPT  },
    {"502",        DEST,   DEST,   DEST,   DEST  },
    {"503 5.5.0",  DEST,   DEST,   DEST,   DEST  },
    {"504",        DEST,   DEST,   DEST,   DEST  },
    {"521",        DEST,   DEST,   DEST,   DEST  },
    {"530 5.7.0",  DEST,   DEST,   DEST,   DEST  },
    {"550",        DEST,   RCPT,   RCPT,   RCPT  },
    {"550 5.1.1",  DEST,   RCPT,   RCPT,   RCPT  },
    {"550 5.1.7",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"553 5.1.8",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"553 5.1.80", DEST,   RCPT,   RCPT,   RCPT  },
    {"552 5.2.2",  DEST,   RCPT,   RCPT,   RCPT  },
    {"552 5.2.3",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"552 5.3.4",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"552",        DEST,   RCPT,   RCPT,   RCPT  },
    {"552 5.5.3",  DEST,   LATER,  LATER,  LATER },
    {"554 5.6.0",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"554 5.6.7",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"554 5.7.1",  DEST,   RCPT,   RCPT,   RCPT  },
    {"555 5.5.4",  DEST,   RCPT,   RCPT,   RCPT  },
    {"556 5.1.10", DEST,   RCPT,   RCPT,   RCPT  },
};

/* Servers of others: what they say to MAIL is of this mail, unless it is of the session. */
static const struct blame_row blame_rows_out[] = {
    {"250 2.1.0",  NOBODY, NOBODY, DEST,   NOBODY},
    {"354",        DEST,   DEST,   NOBODY, DEST  },
    {"334",        DEST,   DEST,   DEST,   DEST  },
    {"421 4.3.2",  DEST,   DEST,   DEST,   DEST  },
    {"432 4.7.12", LATER,  LATER,  LATER,  LATER },
    {"450 4.2.0",  LATER,  LATER,  LATER,  LATER }, /* greylisting */
    {"451 4.7.1",  LATER,  LATER,  LATER,  LATER },
    {"452 4.5.3",  LATER,  LATER,  LATER,  LATER },
    {"454 4.7.0",  LATER,  LATER,  LATER,  LATER },
    {"500 5.5.1",  DEST,   DEST,   DEST,   DEST  },
    {"501 5.5.4",  LATER,  RCPT,   RCPT,   RCPT  },
    {"501 5.1.7",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"501",        LATER,  RCPT,   RCPT,   RCPT  },
    {"502",        DEST,   DEST,   DEST,   DEST  },
    {"503 5.5.1",  DEST,   DEST,   DEST,   DEST  },
    {"504 5.5.4",  LATER,  LATER,  LATER,  LATER },
    {"521 5.3.2",  DEST,   DEST,   DEST,   DEST  },
    {"530 5.7.0",  DEST,   DEST,   DEST,   DEST  },
    {"530 5.7.1",  DEST,   DEST,   DEST,   DEST  },
    {"534 5.7.9",  DEST,   DEST,   DEST,   DEST  },
    {"535 5.7.8",  DEST,   DEST,   DEST,   DEST  },
    {"535",        DEST,   DEST,   DEST,   DEST  },
    {"538 5.7.11", DEST,   DEST,   DEST,   DEST  },
    {"550",        RCPT,   RCPT,   RCPT,   RCPT  },
    {"550 5.1.1",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"550 5.7.0",  LATER,  RCPT,   RCPT,   RCPT  }, /* of content, behind RCPT */
    {"550 5.7.1",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"550 5.7.8",  DEST,   DEST,   DEST,   DEST  },
    {"550 5.7.26", RCPT,   RCPT,   RCPT,   RCPT  }, /* SPF, DKIM */
    {"550 5.7.60", RCPT,   RCPT,   RCPT,   RCPT  }, /* not this user's sender address */
    {"550 5.7.80", RCPT,   RCPT,   RCPT,   RCPT  },
    {"551 5.1.6",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"552",        RCPT,   RCPT,   RCPT,   RCPT  }, /* Postfix against RFC 5321 4.5.3.1.10 */
    {"552 5.2.2",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"552 5.3.4",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"552 5.5.3",  LATER,  LATER,  LATER,  LATER },
    {"553 5.1.8",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"553 5.7.1",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"554 5.7.1",  RCPT,   RCPT,   RCPT,   RCPT  },
    {"554 5.7.9",  DEST,   DEST,   DEST,   DEST  },
    {"554 5.7.10", DEST,   DEST,   DEST,   DEST  },
    {"554 5.7.11", DEST,   DEST,   DEST,   DEST  },
    {"554 5.7.12", DEST,   DEST,   DEST,   DEST  },
    {"554 5.7.13", DEST,   DEST,   DEST,   DEST  },
    {"554 5.7.14", DEST,   DEST,   DEST,   DEST  },
    {"554 5.7.15", RCPT,   RCPT,   RCPT,   RCPT  },
    {"555 5.5.4",  LATER,  RCPT,   RCPT,   RCPT  },
    {"556 5.1.10", RCPT,   RCPT,   RCPT,   RCPT  },
};

static struct smtp_reply reply_of(const char *text)
{
    static struct smtp_reply_parser parser;
    char line[128];
    struct span in;

    smtp_reply_parser_init(&parser);
    snprintf(line, sizeof line, "%s\r\n", text);
    in = span_of(line);
    assert_int_equal(smtp_reply_feed(&parser, &in), SMTP_REPLY_READY);
    return parser.reply;
}

static void look_at_rows(const struct blame_row *rows, size_t count, bool out)
{
    for (size_t i = 0; i < count; i++) {
        const struct blame_row *row = &rows[i];
        struct smtp_reply reply = reply_of(row->reply);

        if (client_blame(CLIENT_STEP_MAIL, &reply, out) != row->mail ||
            client_blame(CLIENT_STEP_RCPT, &reply, out) != row->rcpt ||
            client_blame(CLIENT_STEP_DATA, &reply, out) != row->data ||
            client_blame(CLIENT_STEP_END, &reply, out) != row->end)
            fail_msg("%s, %s", row->reply, out ? "way out" : "in-house");
    }
}

static void test_blame(void **state)
{
    look_at_rows(blame_rows, sizeof blame_rows / sizeof blame_rows[0], false);
    look_at_rows(blame_rows_out, sizeof blame_rows_out / sizeof blame_rows_out[0], true);
}

/* Whatever is said at a step that is not about mail, no recipient is to blame. */
static void test_blame_of_other_steps(void **state)
{
    static const enum client_step steps[] = {
        CLIENT_STEP_GREETING, CLIENT_STEP_HELLO, CLIENT_STEP_STARTTLS, CLIENT_STEP_AUTH,
        CLIENT_STEP_XCLIENT,  CLIENT_STEP_RSET,  CLIENT_STEP_QUIT};
    static const enum client_step silent[] = {CLIENT_STEP_IDLE, CLIENT_STEP_BODY, CLIENT_STEP_TLS,
                                              CLIENT_STEP_BROKEN};

    for (unsigned code = 200; code < 560; code++) {
        struct smtp_reply reply = {.code = code, .enhanced = "5.1.1"};

        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
            assert_int_equal(client_blame(steps[i], &reply, code & 1), code < 300 ? NOBODY : DEST);
        for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
            assert_int_equal(client_blame(silent[i], &reply, code & 1), DEST);
    }
}

/* Promise P3 over all codes: for good only after a 5xx, and never after what speaks of the session.
 */
static void test_blame_for_good_only_after_5xx(void **state)
{
    for (unsigned code = 200; code < 560; code++) {
        for (int step = 0; step < CLIENT_STEP_COUNT; step++) {
            struct smtp_reply reply = {.code = code};

            if (client_blame((enum client_step)step, &reply, false) != RCPT)
                continue;
            assert_true(code / 100 == 5 && code != 500 && code != 502 && code != 503 &&
                        code != 504);
            assert_true(step == CLIENT_STEP_RCPT || step == CLIENT_STEP_DATA ||
                        step == CLIENT_STEP_END);
        }
    }
}

/* The same of ways out, with every enhanced code of 5.7: never for a fault of ours. */
static void test_blame_of_ways_out(void **state)
{
    for (unsigned code = 200; code < 560; code++) {
        for (unsigned detail = 0; detail < 30; detail++) {
            bool ours = code == 500 || code == 502 || code == 503 || code == 504 || code == 521 ||
                        code == 530 || code == 534 || code == 535 || code == 538 ||
                        (detail >= 8 && detail <= 14);

            for (int step = 0; step < CLIENT_STEP_COUNT; step++) {
                struct smtp_reply reply = {.code = code};

                snprintf(reply.enhanced, sizeof reply.enhanced, "5.7.%u", detail);
                if (client_blame((enum client_step)step, &reply, true) != RCPT)
                    continue;
                assert_true(code / 100 == 5 && !ours);
                assert_true(step == CLIENT_STEP_MAIL || step == CLIENT_STEP_RCPT ||
                            step == CLIENT_STEP_DATA || step == CLIENT_STEP_END);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blame),
        cmocka_unit_test(test_blame_of_other_steps),
        cmocka_unit_test(test_blame_for_good_only_after_5xx),
        cmocka_unit_test(test_blame_of_ways_out),
    };

    return cmocka_run_group_tests_name("relay_client_blame", tests, NULL, NULL);
}
