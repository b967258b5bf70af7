/* Tests of config/restrictions: every word, old names, arguments, and what is refused with advice.
 */
#include "config/restrictions.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(a) (sizeof(a) / sizeof(a)[0])

static struct restriction_list list;
static struct errbuf err;

static int parse(const char *text)
{
    restriction_list_free(&list);
    memset(&err, 0, sizeof err);
    return restriction_list_parse(&list, span_of(text), &err);
}

static int teardown(void **state)
{
    restriction_list_free(&list);
    return 0;
}

static void test_words(void **state)
{
    static const struct {
        const char *text;
        enum restriction_word word;
    } rows[] = {
        {"permit",                                       RESTRICTION_PERMIT                            },
        {"REJECT",                                       RESTRICTION_REJECT                            },
        {"defer",                                        RESTRICTION_DEFER                             },
        {"defer_if_permit",                              RESTRICTION_DEFER_IF_PERMIT                   },
        {"permit_mynetworks",                            RESTRICTION_PERMIT_MYNETWORKS                 },
        {"permit_sasl_authenticated",                    RESTRICTION_PERMIT_SASL_AUTHENTICATED         },
        {"permit_auth_destination",                      RESTRICTION_PERMIT_AUTH_DESTINATION           },
        {"reject_unauth_destination",                    RESTRICTION_REJECT_UNAUTH_DESTINATION         },
        {"check_relay_domains",                          RESTRICTION_REJECT_UNAUTH_DESTINATION         },
        {"defer_unauth_destination",                     RESTRICTION_DEFER_UNAUTH_DESTINATION          },
        {"reject_unauth_pipelining",                     RESTRICTION_REJECT_UNAUTH_PIPELINING          },
        {"reject_unknown_client",                        RESTRICTION_REJECT_UNKNOWN_CLIENT_HOSTNAME    },
        {"Reject_Unknown_Client_Hostname",               RESTRICTION_REJECT_UNKNOWN_CLIENT_HOSTNAME    },
        {"reject_unknown_reverse_client_hostname",
         RESTRICTION_REJECT_UNKNOWN_REVERSE_CLIENT_HOSTNAME                                            },
        {"reject_invalid_hostname",                      RESTRICTION_REJECT_INVALID_HELO_HOSTNAME      },
        {"reject_invalid_helo_hostname",                 RESTRICTION_REJECT_INVALID_HELO_HOSTNAME      },
        {"reject_non_fqdn_hostname",                     RESTRICTION_REJECT_NON_FQDN_HELO_HOSTNAME     },
        {"reject_non_fqdn_helo_hostname",                RESTRICTION_REJECT_NON_FQDN_HELO_HOSTNAME     },
        {"reject_unknown_hostname",                      RESTRICTION_REJECT_UNKNOWN_HELO_HOSTNAME      },
        {"reject_unknown_helo_hostname",                 RESTRICTION_REJECT_UNKNOWN_HELO_HOSTNAME      },
        {"reject_non_fqdn_sender",                       RESTRICTION_REJECT_NON_FQDN_SENDER            },
        {"reject_unknown_sender_domain",                 RESTRICTION_REJECT_UNKNOWN_SENDER_DOMAIN      },
        {"reject_unknown_address",                       RESTRICTION_REJECT_UNKNOWN_SENDER_DOMAIN      },
        {"reject_unlisted_sender",                       RESTRICTION_REJECT_UNLISTED_SENDER            },
        {"reject_non_fqdn_recipient",                    RESTRICTION_REJECT_NON_FQDN_RECIPIENT         },
        {"reject_unknown_recipient_domain",              RESTRICTION_REJECT_UNKNOWN_RECIPIENT_DOMAIN   },
        {"reject_unlisted_recipient",                    RESTRICTION_REJECT_UNLISTED_RECIPIENT         },
        {"reject_unverified_recipient",                  RESTRICTION_REJECT_UNVERIFIED_RECIPIENT       },
        {"reject_multi_recipient_bounce",                RESTRICTION_REJECT_MULTI_RECIPIENT_BOUNCE     },
        {"sleep 3",                                      RESTRICTION_SLEEP                             },
        {"reject_rbl_client bl.example.org",             RESTRICTION_REJECT_RBL_CLIENT                 },
        {"reject_plaintext_session",                     RESTRICTION_REJECT_PLAINTEXT_SESSION          },
        {"reject_sender_login_mismatch",                 RESTRICTION_REJECT_SENDER_LOGIN_MISMATCH      },
        {"reject_authenticated_sender_login_mismatch",
         RESTRICTION_REJECT_AUTHENTICATED_SENDER_LOGIN_MISMATCH                                        },
        {"reject_unauthenticated_sender_login_mismatch",
         RESTRICTION_REJECT_UNAUTHENTICATED_SENDER_LOGIN_MISMATCH                                      },
        {"reject_known_sender_login_mismatch",           RESTRICTION_REJECT_KNOWN_SENDER_LOGIN_MISMATCH},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_int_equal(parse(rows[i].text), 0);
        assert_int_equal(list.count, 1);
        assert_int_equal(list.items[0].word, rows[i].word);
        assert_false(list.items[0].warn);
        assert_true(restriction_list_has(&list, rows[i].word));
        assert_false(restriction_list_has(&list, RESTRICTION_WORD_COUNT));
    }
}

static void test_separators(void **state)
{
    assert_int_equal(parse(""), 0);
    assert_int_equal(list.count, 0);
    assert_int_equal(parse(" ,\n\t"), 0);
    assert_int_equal(list.count, 0);
    assert_int_equal(parse("permit_mynetworks,\n  warn_if_reject,reject_rbl_client\tBL.Example.org "
                           "sleep,0 reject"),
                     0);
    assert_int_equal(list.count, 4);
    assert_true(list.items[1].warn);
    assert_string_equal(list.items[1].zone, "bl.example.org");
    assert_int_equal(list.items[2].seconds, 0);
    assert_false(list.items[3].warn);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"permit, check_sender_access hash:/x",
         "\"check_sender_access\" is not supported: there are no tables here; to admit certain "
         "senders only, use ALLOWED_SENDER_DOMAINS"                                                        },
        {"check_policy_service inet:127.0.0.1:10023",
         "\"check_policy_service\" is not supported: there are no policy servers here; do without, "
         "or filter behind mxgate"                                                                         },
        {"permit_mx_backup",
         "\"permit_mx_backup\" is not supported: it opens the relay to whoever points an MX at it; "
         "list the domains in relay_domains"                                                               },
        {"reject_unauthorized",
         "\"reject_unauthorized\" is not supported: it is not a word that mxgate knows; correct it "
         "or remove it"                                                                                    },
        {"check_helo_access x",                          "\"check_helo_access\" is not supported: there are no tables here; "
                                "use the words that need "
                                "none, such as reject_unknown_sender_domain"},
        {"reject_rbl_client",
         "\"\" is not the zone of a block list; write reject_rbl_client bl.example.org"                    },
        {"reject_rbl_client bl..",
         "\"bl..\" is not the zone of a block list; write reject_rbl_client bl.example.org"                },
        {"reject_rbl_client bl",
         "\"bl\" is not the zone of a block list; write reject_rbl_client bl.example.org"                  },
        {"reject_rbl_client [1.2.3.4]",
         "\"[1.2.3.4]\" is not the zone of a block list; write reject_rbl_client bl.example.org"           },
        {"reject_rbl_client bl.example.org=127.0.0.256",
         "\"bl.example.org=127.0.0.256\" has a filter that cannot be read; write "
         "bl.example.org=127.0.0.[2..11]"                                                                  },
        {"sleep",                                        "\"sleep\" needs seconds after it, at most 60"    },
        {"sleep 61",                                     "\"sleep\" needs seconds after it, at most 60"    },
        {"warn_if_reject",                               "\"warn_if_reject\" needs a word after it"        },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_int_equal(parse(rows[i].text), -EINVAL);
        assert_string_equal(err.text, rows[i].error);
        assert_int_equal(list.count, 0);
        assert_null(list.items);
    }
}

static bool listed(const char *filter, unsigned a, unsigned b, unsigned c, unsigned d)
{
    unsigned char address[4] = {(unsigned char)a, (unsigned char)b, (unsigned char)c,
                                (unsigned char)d};
    char text[200];

    snprintf(text, sizeof text, "reject_rbl_client bl.example.org%s", filter);
    assert_int_equal(parse(text), 0);
    return restriction_rbl_match(&list.items[0], address);
}

static void test_filters(void **state)
{
    assert_true(listed("", 127, 0, 0, 2));
    assert_true(listed("", 127, 0, 0, 255));
    assert_false(listed("", 127, 0, 0, 1));
    assert_false(listed("", 127, 0, 1, 2));
    assert_false(listed("", 127, 255, 255, 254));
    assert_false(listed("", 192, 0, 2, 2)); /* a zone that was sold and answers everything */
    assert_true(listed("=127.0.0.4", 127, 0, 0, 4));
    assert_false(listed("=127.0.0.4", 127, 0, 0, 5));
    assert_true(listed("=127.0.0.[2..11]", 127, 0, 0, 11));
    assert_false(listed("=127.0.0.[2..11]", 127, 0, 0, 12));
    assert_true(listed("=127.0.[0..2].[2;4..8]", 127, 0, 2, 4));
    assert_false(listed("=127.0.[0..2].[2;4..8]", 127, 0, 2, 3));
    assert_true(listed("=[127].[0].[0].[0..255]", 127, 0, 0, 0));
}

static void test_bad_filters(void **state)
{
    static const char *const rows[] = {
        "",
        "127",
        "127.0.0",
        "127.0.0.",
        "127.0.0.2.",
        "127.0.0.2.3",
        ".0.0.2",
        "127.0.0.[]",
        "127.0.0.[2",
        "127.0.0.2]",
        "127.0.0.x",
        "127.0.0.[3..2]",
        "127.0.0.-",
        "127.0.0.[2.",
        "127.0.0.[2..]",
        "127.0.0.[;]",
        "127.0.0.[..3]",
        "127.0.0.[2...3]",
        "127.0.0.2x",
        "127.0.0.[2]x",
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char text[200];

        snprintf(text, sizeof text, "reject_rbl_client bl.example.org=%s", rows[i]);
        if (parse(text) != -EINVAL)
            fail_msg("taken: %s", text);
    }
}

static void test_limit(void **state)
{
    char text[(RESTRICTIONS_MAX + 1) * 7 + 1] = "";

    for (size_t i = 0; i < RESTRICTIONS_MAX; i++)
        strcpy(text + i * 7, "permit ");
    assert_int_equal(parse(text), 0);
    assert_int_equal(list.count, RESTRICTIONS_MAX);
    strcpy(text + RESTRICTIONS_MAX * 7, "permit");
    assert_int_equal(parse(text), -EINVAL);
    assert_string_equal(err.text, "has more than 100 words");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_words, teardown),
        cmocka_unit_test_teardown(test_separators, teardown),
        cmocka_unit_test_teardown(test_refused, teardown),
        cmocka_unit_test_teardown(test_filters, teardown),
        cmocka_unit_test_teardown(test_bad_filters, teardown),
        cmocka_unit_test_teardown(test_limit, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
