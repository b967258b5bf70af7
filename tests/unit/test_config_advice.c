/* test_config_advice - what an operator probably did not mean */
#include "config/advice.h"

#include "config_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct built built;
static char given[8192];

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    size_t len = strlen(given);

    assert_int_equal(kind, CONFIG_NOTE_WARNING);
    snprintf(given + len, sizeof given - len, "%s\n", text);
}

static const struct advice_facts good = {ADVICE_PLACE_DISK, INT64_C(1) << 40};

static void give(const char *environment, struct advice_facts facts)
{
    given[0] = '\0';
    built_good(&built, "", environment);
    advice_give(built.config, &facts, on_note, NULL);
    built_free(&built);
}

static void test_settings(void **state)
{
    static const struct {
        const char *environment;
        const char *advice; /* how it begins; "": none at all */
    } rows[] = {
        {"HOSTNAME=mx.example.com",                                        ""                                                              },
        {"HOSTNAME=0123456789ab",                                          "myhostname=0123456789ab is the container's id and changes"     },
        {"HOSTNAME=0123456789ab.example.com",                              "myhostname=0123456789ab.example.com is the"                    },
        {"HOSTNAME=0123456789ab\nDOMAIN=example.com",                      "myhostname=0123456789ab.example.com is the"                    },
        {"HOSTNAME=0123456789ag",                                          "myhostname=0123456789ag has no dot"                            },
        {"HOSTNAME=0123456789a.example.com",                               ""                                                              },
        {"HOSTNAME=0123456789abc.example.com",                             ""                                                              },
        {"HOSTNAME=mx",                                                    "myhostname=mx has no dot, and senders expect a full name; it is used as "
                        "it is; set HOSTNAME=mx.example.com to the name your MX record has\n"                       },
        {"HOSTNAME=mx\nDOMAIN=example.com",                                ""                                                              },
        {"ALLOWED_DOMAINS=com",                                            "relay_domains has \"com\", which is no domain of one owner"    },
        {"ALLOWED_DOMAINS=.com",                                           "relay_domains has \".com\", which is no domain of one owner"   },
        {"ALLOWED_DOMAINS=.example.com",                                   ""                                                              },
        {"MYNETWORKS=127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16", ""                                                              },
        {"MYNETWORKS=100.64.0.0/10 [fd00::]/8 [fe80::]/64 [::1]",          ""                                                              },
        {"MYNETWORKS=192.0.2.0/24 198.51.100.7 [2001:db8:1::]/48",         ""                                                              },
        {"MYNETWORKS=0.0.0.0/0",                                           "mynetworks has 0.0.0.0/0, which is wider than private networks"},
        {"MYNETWORKS=8.0.0.0/7",                                           "mynetworks has 8.0.0.0/7, which"                               },
        {"MYNETWORKS=172.0.0.0/8",                                         "mynetworks has 172.0.0.0/8, which"                             },
        {"MYNETWORKS=192.0.2.0/23",                                        "mynetworks has 192.0.2.0/23, which"                            },
        {"MYNETWORKS=[::]/0",                                              "mynetworks has [::]/0, which"                                  },
        {"SMTPD_UPSTREAM_PROXY_HOSTS=192.0.2.0/23",
         "smtpd_upstream_proxy_hosts has 192.0.2.0/23, which is wider"                                                                     },
        {"SMTPD_UPSTREAM_PROXY_HOSTS=10.0.0.0/8 192.0.2.0/24",             ""                                                              },
        {"MYNETWORKS=[2001:db8::]/47",                                     "mynetworks has [2001:db8::]/47, which"                         },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        give(rows[i].environment, good);
        if (strncmp(given, rows[i].advice, strlen(rows[i].advice)) != 0 ||
            (rows[i].advice[0] == '\0') != (given[0] == '\0'))
            fail_msg("%s\n%s", rows[i].environment, given);
    }
}

static void test_each_wide_network(void **state)
{
    give("MYNETWORKS=0.0.0.0/0, 10.0.0.0/8, [::]/0", good);
    assert_non_null(strstr(given, "mynetworks has 0.0.0.0/0, "));
    assert_non_null(strstr(given, "\nmynetworks has [::]/0, "));
    assert_null(strstr(given, "has 10.0.0.0/8"));
}

static void test_place(void **state)
{
    struct advice_facts facts = good;

    facts.spool = ADVICE_PLACE_MEMORY;
    give("QUEUE_DIRECTORY=/srv/spool", facts);
    assert_string_equal(
        given, "queue_directory /srv/spool is in memory (tmpfs): mail that waits there is lost "
               "when the container or the machine stops; it is used all the same; mount a volume, "
               "in the compose file volumes: [\"spool:/srv/spool\"], with docker run -v "
               "spool:/srv/spool\n");
    facts.spool = ADVICE_PLACE_LAYER;
    give("", facts);
    assert_int_equal(
        strncmp(given, "queue_directory /var/spool/mxgate is in the container's own ", 60), 0);
    facts.spool = ADVICE_PLACE_NO_NAME;
    give("", facts);
    assert_int_equal(
        strncmp(given, "queue_directory /var/spool/mxgate is on a volume without a name: ", 65), 0);
}

/* At the limits: what is free, what must stay free, and what one message may take. */
static void test_space(void **state)
{
    static const struct {
        const char *environment;
        int64_t free_bytes;
        const char *advice;
    } rows[] = {
        {"MESSAGE_SIZE_LIMIT=1000000",                   2500000,  ""                                       },
        {"MESSAGE_SIZE_LIMIT=1000000",                   2499999,
         "message_size_limit=1000000 does not fit into the 2499999 bytes that are free in "
         "queue_directory /var/spool/mxgate, of which 1500000 must stay free"                               },
        {"MESSAGE_SIZE_LIMIT=1000000",                   1500000,  "message_size_limit=1000000 does not fit"},
        {"MESSAGE_SIZE_LIMIT=1000000",                   1499999,
         "1499999 bytes are free in queue_directory /var/spool/mxgate, and 1500000 must stay free"          },
        {"MESSAGE_SIZE_LIMIT=1000000\nQUEUE_MINFREE=10", 1000010,  ""                                       },
        {"MESSAGE_SIZE_LIMIT=1000000\nQUEUE_MINFREE=10", 1000009,  "message_size_limit=1000000"             },
        {"MESSAGE_SIZE_LIMIT=1000000",                   -1,       ""                                       },
        {"MESSAGE_SIZE_LIMIT=0",                         65536000, ""                                       }, /* as for the default */
        {"MESSAGE_SIZE_LIMIT=0",                         39321599, "39321599 bytes are free"                },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        give(rows[i].environment, (struct advice_facts){ADVICE_PLACE_DISK, rows[i].free_bytes});
        if (strncmp(given, rows[i].advice, strlen(rows[i].advice)) != 0 ||
            (rows[i].advice[0] == '\0') != (given[0] == '\0'))
            fail_msg("row %zu\n%s", i, given);
    }
}

static void test_relayhost(void **state)
{
    given[0] = '\0';
    advice_relayhost_lmtp("[192.0.2.53]:2525\r\n", on_note, NULL);
    assert_string_equal(given, "RELAYHOST=[192.0.2.53]:2525?? answers as LMTP: a mail store, not a "
                               "way out for the mail of other domains; set "
                               "RELAY_TRANSPORT=lmtp:[192.0.2.53]:2525?? and remove RELAYHOST\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),  cmocka_unit_test(test_each_wide_network),
        cmocka_unit_test(test_place),     cmocka_unit_test(test_space),
        cmocka_unit_test(test_relayhost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
