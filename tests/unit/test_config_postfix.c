/* test_config_postfix - what becomes of Postfix's parameters and of boky/postfix's variables that
 * are no settings */
#include "config/config.h"

#include "config/config_private.h"
#include "config/postfix_names.h"
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static const char *const parameters[] = {
#include "postfix_parameters.inc"
};

static struct built built;

static void test_every_parameter_is_classified(void **state)
{
    unsigned counts[POSTFIX_REFUSED_SMTP + 1] = {0};
    unsigned unclassified = 0;

    for (size_t i = 0; i < ROWS(parameters); i++) {
        struct span name = span_of(parameters[i]);
        struct postfix_name n = postfix_name_find(name);

        if (setting_find(name)) {
            counts[0]++;
            continue;
        }
        counts[n.class]++;
        if (n.class != POSTFIX_UNKNOWN)
            continue;
        print_error("%s is neither in settings.def nor in postfix_names.def\n", parameters[i]);
        unclassified++;
    }
    assert_int_equal(unclassified, 0);
    print_message("Postfix parameters: %zu; supported %u, without meaning %u, not in this version "
                  "%u, refused %u\n",
                  ROWS(parameters), counts[0], counts[POSTFIX_MEANINGLESS], counts[POSTFIX_MISSING],
                  counts[POSTFIX_REFUSED] + counts[POSTFIX_REFUSED_SMTP]);
}

static bool is_parameter(struct span name)
{
    for (size_t i = 0; i < ROWS(parameters); i++) {
        if (span_equal(name, span_of(parameters[i])))
            return true;
    }
    return false;
}

static void check_name(void *ctx, struct span name)
{
    unsigned *bad = ctx;

    if (setting_find(name))
        print_error("%.*s is in settings.def: take it out of postfix_names.def\n", (int)name.len,
                    name.ptr);
    else if (!is_parameter(name))
        print_error("%.*s is no parameter of Postfix\n", (int)name.len, name.ptr);
    else
        return;
    (*bad)++;
}

/* No row for what is a setting, and none that no Postfix has. */
static void test_every_row_is_needed(void **state)
{
    unsigned bad = 0;

    postfix_names_each(check_name, &bad);
    assert_int_equal(bad, 0);
}

static void test_find(void **state)
{
    static const struct {
        const char *name;
        enum postfix_class class;
    } rows[] = {
        {"max_idle",                     POSTFIX_MEANINGLESS },
        {"uucp_delivery_slot_cost",      POSTFIX_MEANINGLESS },
        {"x_destination_rate_delay",     POSTFIX_MEANINGLESS },
        {"_destination_rate_delay",      POSTFIX_UNKNOWN     },
        {"confirm_delay_cleared",        POSTFIX_MISSING     },
        {"smtpd_milters",                POSTFIX_REFUSED     },
        {"smtp_header_checks",           POSTFIX_REFUSED_SMTP},
        {"Smtpd_milters",                POSTFIX_UNKNOWN     },
        {"smtpd_milter",                 POSTFIX_UNKNOWN     },
        {"smtpd_milters content_filter", POSTFIX_UNKNOWN     },
        {"",                             POSTFIX_UNKNOWN     },
        {"*",                            POSTFIX_UNKNOWN     },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        if (postfix_name_find(span_of(rows[i].name)).class != rows[i].class)
            fail_msg("%s", rows[i].name);
    }
}

static void test_harm(void **state)
{
    static const struct {
        const char *harmless;
        const char *value;
        enum postfix_harm harm;
    } rows[] = {
        {"",          "",         POSTFIX_HARM_NONE  },
        {"",          " , ",      POSTFIX_HARM_NONE  },
        {"",          "inet:x:1", POSTFIX_HARM_YES   },
        {"no",        "No",       POSTFIX_HARM_NONE  },
        {"no",        "yes",      POSTFIX_HARM_YES   },
        {"|none|may", "may",      POSTFIX_HARM_IGNORE},
        {"|none|may", "None",     POSTFIX_HARM_IGNORE},
        {"|none|may", "",         POSTFIX_HARM_NONE  },
        {"|none|may", "may none", POSTFIX_HARM_YES   },
        {"|none|may", "encrypt",  POSTFIX_HARM_YES   },
        {"a, b|c",    "a b",      POSTFIX_HARM_NONE  },
        {"a, b|c",    "a",        POSTFIX_HARM_YES   },
        {"a, b|c",    "a,\nb,",   POSTFIX_HARM_NONE  },
        {"a, b|c",    "a, b|c",   POSTFIX_HARM_YES   },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct postfix_name n = {POSTFIX_REFUSED, rows[i].harmless, ""};

        if (postfix_name_harm(&n, span_of(rows[i].value)) != rows[i].harm)
            fail_msg("row %zu: \"%s\" and \"%s\"", i, rows[i].harmless, rows[i].value);
    }
}

/* A row each: the variable, and what is said, up to the reason. Without a word: "". */
static const struct said {
    const char *variable;
    const char *note;
} said[] = {
    {"POSTFIX_max_idle=10s",
     "I POSTFIX_max_idle has no meaning here and is ignored: one process does it all"                                             },
    {"POSTFIX_confirm_delay_cleared=yes",                                              "W POSTFIX_confirm_delay_cleared is not supported by "
                                          "this version and is ignored: the sender alone"},
    {"POSTFIX_smtpd_milters=inet:192.0.2.1:8891",
     "E POSTFIX_smtpd_milters \"inet:192.0.2.1:8891\" is not supported and cannot be ignored: "
     "mail would pass without the filter; put the filter behind this gateway, or remove it"                                       },
    {"POSTFIX_mydestination=example.com",
     "E POSTFIX_mydestination \"example.com\" is not supported and cannot be ignored: nothing"                                    },
    {"POSTFIX_mydestination=$myhostname, localhost.$mydomain, localhost",              ""                                         },
    {"POSTFIX_smtpd_tls_security_level=verify",
     "W smtpd_tls_security_level: clients are not asked for certificates; \"encrypt\" is used"                                    },
    {"POSTFIX_smtpd_tls_req_ccert=yes",
     "E POSTFIX_smtpd_tls_req_ccert \"yes\" is not supported and cannot be ignored: clients are"                                  },
    {"POSTFIX_smtpd_tls_req_ccert=no",                                                 ""                                         },
    {"POSTFIX_smtpd_tls_ask_ccert=yes",
     "W POSTFIX_smtpd_tls_ask_ccert is not supported by this version and is ignored: clients"                                     },
    {"POSTFIX_tls_preempt_cipherlist=yes",
     "I POSTFIX_tls_preempt_cipherlist has no meaning here and is ignored: BearSSL does TLS"                                      },
    {"POSTFIX_smtpd_tls_protocols=TLSv1.2, TLSv1.3",
     "I smtpd_tls_protocols: there is no TLSv1.3 here; TLSv1.2 is spoken"                                                         },
    {"POSTFIX_smtpd_tls_protocols=>=TLSv1",
     "W smtpd_tls_protocols admits versions of TLS that are not safe any more"                                                    },
    {"POSTFIX_smtpd_tls_protocols=TLSv1.3",
     "E POSTFIX_smtpd_tls_protocols: smtpd_tls_protocols \"TLSv1.3\" cannot be used: "                                            },
    {"POSTFIX_smtpd_tls_mandatory_protocols=TLSv1.3",
     "E POSTFIX_smtpd_tls_mandatory_protocols: smtpd_tls_mandatory_protocols \"TLSv1.3\" "                                        },
    {"POSTFIX_smtp_tls_security_level=dane",
     "W smtp_tls_security_level: \"dane\" is not supported: there is no DNSSEC here"                                              },
    {"POSTFIX_smtp_tls_security_level=dane\nPOSTFIX_relay_transport=smtp:[192.0.2.1]",
     "E POSTFIX_smtp_tls_security_level: smtp_tls_security_level"                                                                 },
    {"POSTFIX_lmtp_tls_security_level=dane",
     "E POSTFIX_lmtp_tls_security_level: lmtp_tls_security_level"                                                                 },
    {"POSTFIX_smtpd_milter=x",
     "W POSTFIX_smtpd_milter is not a setting here and is ignored; did you mean "
     "POSTFIX_smtpd_milters?"                                                                                                     },
    {"POSTFIX_no_such_parameter=x",
     "W POSTFIX_no_such_parameter is neither a setting here nor a parameter of Postfix, and is "
     "ignored"                                                                                                                    },
    {"POSTFIX_smtp_sasl_password_maps=hash:/etc/hunter2",
     "E POSTFIX_smtp_sasl_password_maps: smtp_sasl_password_maps \"(hidden)\" cannot be used"                                     },
    {"RELAYHOST=[192.0.2.1]:0",
     "E RELAYHOST: relayhost \"[192.0.2.1]:0\" cannot be used: \"[192.0.2.1]:0\": the port must"                                  },
    {"RELAYHOST_PASSWORD=hunter2",
     "E RELAYHOST_PASSWORD: relayhost_password \"(hidden)\" is nobody's: set RELAYHOST_USERNAME"                                  },
    {"XOAUTH2_CLIENT_ID=x",
     "W XOAUTH2_CLIENT_ID is not supported by this version and is ignored: tokens are not"                                        },
    {"XOAUTH2_SECRET_FILE=/run/secrets/p",
     "W XOAUTH2_SECRET_FILE is not supported by this version and is ignored: tokens are not"                                      },
    {"SMTPD_SASL_USERS=ann:hunter2",
     "W SMTPD_SASL_USERS is not supported by this version and is ignored: nobody can log in"                                      },
    {"DKIM_AUTOGENERATE=1",
     "W DKIM_AUTOGENERATE is not supported by this version and is ignored: nothing is signed"                                     },
    {"OPENDKIM_Canonicalization=relaxed",
     "W OPENDKIM_Canonicalization is not supported by this version and is ignored: nothing is"                                    },
    {"MASQUERADED_DOMAINS=example.com",
     "W MASQUERADED_DOMAINS is not supported by this version and is ignored: sender addresses"                                    },
    {"SMTP_HEADER_CHECKS=1",
     "W SMTP_HEADER_CHECKS is not supported by this version and is ignored: headers are not"                                      },
    {"AUTOSET_HOSTNAME=1",
     "W AUTOSET_HOSTNAME is not supported by this version and is ignored: no service outside"                                     },
    {"SKIP_ROOT_SPOOL_CHOWN=1",
     "I SKIP_ROOT_SPOOL_CHOWN has no meaning here and is ignored: the owner of the spool"                                         },
};

/* The note is there, and nothing else but what was applied or overruled. */
static void check_said(const struct said *row)
{
    const char *found;

    built_from(&built, CONFIG_MINIMUM, row->variable);
    found = strstr(built.notes, row->note);
    if (!found || (found != built.notes && found[-1] != '\n') ||
        (row->note[0] == '\0' && built.notes[0] != '\0'))
        fail_msg("%s\n%s", row->variable, built.notes);
    if ((built.rc == 0) != (row->note[0] != 'E'))
        fail_msg("%s: %d", row->variable, built.rc);
    if (strstr(built.notes, "hunter2"))
        fail_msg("a secret was told: %s", built.notes);
    built_free(&built);
}

static void test_said(void **state)
{
    for (size_t i = 0; i < ROWS(said); i++)
        check_said(&said[i]);
}

/* The same names in the ini file, where a name that nobody knows stops the start. */
static void test_ini(void **state)
{
    built_good(&built, "max_idle = 10s\nsmtpd_milters =\n", NULL);
    assert_string_equal(built.notes, "I mxgate.ini line 3: max_idle has no meaning here and is "
                                     "ignored: one process does it all\n");
    built_free(&built);
    built_from(&built, CONFIG_MINIMUM "content_filter = scan:[127.0.0.1]:10025\n", NULL);
    assert_int_equal(built.rc, -EINVAL);
    built_expect(&built, "E mxgate.ini line 3: content_filter \"scan:[127.0.0.1]:10025\" is not "
                         "supported and cannot be ignored: mail would pass without the filter; put "
                         "the filter behind this gateway, or remove it");
}

/* Some set RELAYHOST in the hope that mail comes in that way. */
static void test_relayhost_alone(void **state)
{
    built_from(&built, "relay_domains = example.com\n", "RELAYHOST=[192.0.2.53]:2525");
    assert_int_equal(built.rc, -EINVAL);
    built_expect(&built, "E Nowhere to deliver mail to: relay_transport is empty; set "
                         "RELAY_TRANSPORT=lmtp:[192.0.2.10]:24 (RELAYHOST is the way out, for "
                         "other domains)");
    built_from(&built, "", "RELAYHOST=[192.0.2.53]:2525"); /* only a way out */
    assert_int_equal(built.rc, 0);
    built_free(&built);
}

/* Of services named postfix-smtp and postfix-mail. */
static void test_services_of_kubernetes(void **state)
{
    built_good(
        &built, "",
        "POSTFIX_SMTP_SERVICE_HOST=10.0.0.1\nPOSTFIX_SMTP_SERVICE_PORT=25\n"
        "POSTFIX_SMTP_SERVICE_PORT_SMTP=25\nPOSTFIX_SMTP_PORT=tcp://10.0.0.1:25\n"
        "POSTFIX_SMTP_PORT_25_TCP=tcp://10.0.0.1:25\nPOSTFIX_SMTP_PORT_25_TCP_ADDR=10.0.0.1\n"
        "POSTFIX_SMTP_PORT_25_TCP_PORT=25\nPOSTFIX_SMTP_PORT_25_TCP_PROTO=tcp\n"
        "POSTFIX_MAIL_SERVICE_PORT_SMTP=587\nPOSTFIX_MAIL_X=1");
    assert_string_equal(built.notes, "");
    built_free(&built);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_parameter_is_classified),
        cmocka_unit_test(test_every_row_is_needed),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_harm),
        cmocka_unit_test(test_said),
        cmocka_unit_test(test_ini),
        cmocka_unit_test(test_relayhost_alone),
        cmocka_unit_test(test_services_of_kubernetes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
