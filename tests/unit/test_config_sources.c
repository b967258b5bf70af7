/* test_config_sources - ini file and environment: what is read, which source wins, what is said
 * about names */
#include "config/config.h"

#include "config/config_private.h"
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])
#define LONGEST     198 /* bytes of a line, with inih's default of 200 */

static struct built built;

static void test_ini_shapes(void **state)
{
    static const struct {
        const char *ini;
        const char *relay_domains;
    } rows[] = {
        {"relay_domains=a.example",                                      "a.example"          },
        {"relay_domains : a.example\n",                                  "a.example"          },
        {"[mxgate]\nrelay_domains = a.example\n",                        "a.example"          },
        {"\xef\xbb\xbf[mxgate]\r\n relay_domains = a.example \r\n",      "a.example"          },
        {"\xef\xbb\xbfrelay_domains = a.example",                        "a.example"          },
        {"; x\n# y\n\nrelay_domains = a.example ; z\n",                  "a.example"          },
        {"  # x = y\nrelay_domains = a.example\n\t; x = y\n",            "a.example"          },
        {"relay_domains = a.example,\n  b.example ; two\n\tc.example\n",
         "a.example, b.example c.example"                                                     },
        {"relay_domains =\n a.example\n\n b.example\n",                  "a.example b.example"},
        {"relay_domains = a.example\n# x\n b.example\n",                 "a.example b.example"},
        {"relay_domains = a.example\n[mxgate]\nmail_name = x\n",         "a.example"          },
        {"relay_domains = a.example\nmynetworks = 127.0.0.1\n [::1]\n",  "a.example"          },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        built_from(&built, rows[i].ini, "RELAY_TRANSPORT=lmtp:[192.0.2.10]:24");
        if (built.rc != 0 || built.warnings > 0 ||
            strcmp(built.config->relay_domains, rows[i].relay_domains) != 0)
            fail_msg("row %zu\n%s\n%s", i, rows[i].ini, built.notes);
        built_free(&built);
    }
}

static void test_ini_errors(void **state)
{
    static const struct {
        const char *lines; /* the first is line 3 */
        const char *note;  /* the end of it, after the file's name */
    } rows[] = {
        {"relay_domain = x",       "3: relay_domain is not a setting; did you mean relay_domains?"        },
        {"\nRELAY_DOMAINS=x",      "4: RELAY_DOMAINS is not a setting; did you mean relay_domains?"       },
        {"POSTFIX_listen=x",       "3: POSTFIX_listen is not a setting; did you mean listen?"             },
        {"ALLOWED_DOMAINS=x",      "3: ALLOWED_DOMAINS is not a setting; did you mean relay_domains?"     },
        {"nonsense = x\n x\n y",   "3: nonsense is not a setting; remove the line"                        },
        {"= x",                    "3:  is not a setting; remove the line"                                },
        {"mail_name",              "3 is not \"name = value\", \"[mxgate]\", \"[transport]\" or a comment"},
        {"\n[mxgate",              "4 is not \"name = value\", \"[mxgate]\", \"[transport]\" or a comment"},
        {"[routes]\nx=y",          "4: there is no section [routes]; there are [mxgate], which"           },
        {"[MXGATE]\nlisten=1\n z", "4: there is no section [MXGATE]; there are [mxgate], which"           },
        {" listen = 25",           "3 starts with a blank and so continues relay_transport; remove"       },
        {"hopcount_limit =",       "3: hopcount_limit \"\" is not a whole number from 1 to 1000"          },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char ini[sizeof CONFIG_MINIMUM + 100];
        char note[200];

        snprintf(ini, sizeof ini, "%s%s\n", CONFIG_MINIMUM, rows[i].lines);
        snprintf(note, sizeof note, "E mxgate.ini line %s", rows[i].note);
        built_from(&built, ini, NULL);
        if (built.rc != -EINVAL || built.errors != 1 ||
            strncmp(built.notes, note, strlen(note)) != 0)
            fail_msg("%s\n%s", ini, built.notes);
    }
}

/* Every fault is told, not only the first. */
static void test_ini_all_errors(void **state)
{
    built_from(&built, "a = 1\nb\n[c]\nd = 2\n[mxgate]\nsmtpd_timeout = x\nlisten = y\n", NULL);
    assert_int_equal(built.rc, -EINVAL);
    assert_int_equal(built.errors, 7);
    built_expect(&built,
                 "E mxgate.ini line 6: smtpd_timeout \"x\" is not a time from 1s to 1d (such as "
                 "500ms, 300s, 5m, 1h, 5d); correct it or remove it (default: 300s)");
}

static void test_ini_twice(void **state)
{
    struct config *c = built_good(
        &built, "mail_name = a\nmail_name = b\nrelay_domains = x.example\n y.example\n", NULL);

    assert_string_equal(c->mail_name, "b");
    assert_string_equal(c->relay_domains, "x.example y.example");
    assert_int_equal(built.warnings, 2);
    built_expect(&built,
                 "W mxgate.ini line 4: mail_name was already set in line 3; this one counts");
    built_expect(&built,
                 "W mxgate.ini line 5: relay_domains was already set in line 1; this one counts");
    built_free(&built);
}

static void test_ini_line_length(void **state)
{
    for (size_t len = LONGEST - 1; len <= LONGEST + 1; len++) {
        char line[LONGEST + 100] = "smtpd_banner = ";

        memset(line + 15, 'x', len - 15);
        snprintf(line + len, sizeof line - len, " \t; not counted%s\n", len % 2 ? "\r" : "");
        if (len <= LONGEST) {
            assert_int_equal(strlen(built_good(&built, line, NULL)->smtpd_banner), len - 15);
        } else {
            char ini[sizeof CONFIG_MINIMUM + sizeof line + 40];

            snprintf(ini, sizeof ini, "%s%s continued\nlisten = 25\n", CONFIG_MINIMUM, line);
            built_from(&built, ini, NULL);
            assert_int_equal(built.errors, 1);
            built_expect(
                &built, "E mxgate.ini line 3 is longer than 198 bytes; break the list over several "
                        "lines, where each line after the first starts with a blank");
        }
        built_free(&built);
    }
}

static void test_ini_long_continuation(void **state)
{
    char ini[sizeof CONFIG_MINIMUM + 800];
    size_t len = (size_t)snprintf(ini, sizeof ini, "%srelay_domains =\n ", CONFIG_MINIMUM);

    memset(ini + len, 'x', 300);
    snprintf(ini + len + 300, sizeof ini - len - 300, "\n a.example\n# %0300d\n", 0);
    built_from(&built, ini, NULL);
    assert_int_equal(built.errors, 1);
    assert_non_null(strstr(built.notes, "E mxgate.ini line 4 is longer than 198 bytes"));
}

/* A list over many lines, up to its limit and beyond. */
static void test_ini_list_limit(void **state)
{
    size_t line_len = 100; /* with LF and indent, of which one blank remains */
    size_t lines = CONFIG_LIST_MAX / (line_len - 1) + 2;
    char *ini = malloc(lines * line_len + 100);
    size_t len = (size_t)sprintf(ini, "relay_transport = lmtp:x\ndns_servers =\n");

    for (size_t i = 0; i < lines; i++)
        len += (size_t)sprintf(ini + len, " 192.0.2.53%*s.\n", (int)line_len - 13, " ");
    built_from(&built, ini, "ALLOWED_DOMAINS=example.com");
    assert_int_equal(built.errors, 1);
    if (!strstr(built.notes, "...\" is longer than 1048576 bytes; make it shorter"))
        fail_msg("%s", built.notes);
    free(ini);
}

static void test_environment_names(void **state)
{
    static const struct {
        const char *environment;
        const char *setting;
        const char *value;
        const char *applied;
    } rows[] = {
        {"POSTFIX_relay_transport=lmtp:[192.0.2.53]:2525",    "relay_transport",
         "lmtp:[192.0.2.53]:2525",                                                                            "relay_transport=lmtp:[192.0.2.53]:2525"},
        {"RELAY_TRANSPORT=lmtp:[192.0.2.53]:2525",            "relay_transport",    "lmtp:[192.0.2.53]:2525",
         "relay_transport=lmtp:[192.0.2.53]:2525"                                                                                                     },
        {"ALLOWED_DOMAINS=a.example b.example",               "relay_domains",      "a.example b.example",
         "relay_domains=a.example b.example"                                                                                                          },
        {"RELAY_DOMAINS= a.example ",                         "relay_domains",      "a.example",              "relay_domains=a.example"               },
        {"DOMAIN=a.example",                                  "mydomain",           "a.example",              "mydomain=a.example"                    },
        {"MYDOMAIN=a.example",                                "mydomain",           "a.example",              "mydomain=a.example"                    },
        {"HOSTNAME=mx.a.example",                             "myhostname",         "mx.a.example",           "myhostname=mx.a.example"               },
        {"MYHOSTNAME=mx.a.example",                           "myhostname",         "mx.a.example",           "myhostname=mx.a.example"               },
        {"POSTFIX_myhostname=mx.a.example",                   "myhostname",         "mx.a.example",
         "myhostname=mx.a.example"                                                                                                                    },
        {"LISTEN=2525",                                       "listen",             "2525",                   "listen=2525"                           },
        {"LOG_FORMAT=json",                                   "log_format",         "json",                   "log_format=json"                       },
        {"MYNETWORKS=10.0.0.0/8",                             "mynetworks",         "10.0.0.0/8",             "mynetworks=10.0.0.0/8"                 },
        {"MESSAGE_SIZE_LIMIT=10M",                            "message_size_limit", "10M",                    "message_size_limit=10M"                },
        {"POSTFIX_mail_name=X",                               "mail_name",          "X",                      "mail_name=X"                           },
        {"POSTFIX_smtpd_banner=$myhostname = x",              "smtpd_banner",       "$myhostname = x",
         "smtpd_banner=$myhostname = x"                                                                                                               },
        {"POSTFIX_mail_name=first\nPOSTFIX_mail_name=second", "mail_name",          "first",
         "mail_name=first"                                                                                                                            },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char note[200];

        snprintf(note, sizeof note, "A Applying custom postfix setting: %s", rows[i].applied);
        built_good(&built, "", rows[i].environment);
        built_expect(&built, note);
        assert_int_equal(built.applied, 1);
        assert_string_equal(built_value(&built, rows[i].setting), rows[i].value);
        assert_true(config_is_set(built.config, setting_find(span_of(rows[i].setting))));
        built_free(&built);
    }
}

/* Every setting has a variable with POSTFIX_ and, but for MAIL_NAME, one in capitals. */
static void test_environment_every_setting(void **state)
{
    for (size_t i = 0; i < settings_count; i++) {
        char variable[200];
        size_t len = (size_t)sprintf(variable, "POSTFIX_%s=!", settings[i].name);

        built_from(&built, CONFIG_MINIMUM, variable);
        assert_int_equal(built.applied, 1);
        built_free(&built);
        for (size_t c = 0; c < len; c++)
            variable[c] = ascii_upper(variable[c]);
        built_from(&built, CONFIG_MINIMUM, variable + strlen("POSTFIX_"));
        assert_int_equal(built.applied, strcmp(settings[i].name, "mail_name") != 0);
        built_free(&built);
    }
}

/* Postfix's name for what has its own here. */
static void test_aliases(void **state)
{
    struct config *c = built_good(&built, "smtp_connection_cache_time_limit = 7s\n",
                                  "POSTFIX_default_process_limit=70");

    assert_int_equal(c->lmtp_connection_idle_time, 7000);
    assert_int_equal(c->smtpd_connection_limit, 70);
    built_expect(&built, "A Applying custom postfix setting: smtpd_connection_limit=70");
    assert_ptr_equal(setting_find(SPAN_LIT("lmtp_connection_cache_time_limit")),
                     setting_find(SPAN_LIT("lmtp_connection_idle_time")));
    built_free(&built);
}

/* Limits of one kind of upstream are those of all unless they are set. */
static void test_default_of_another(void **state)
{
    struct config *c = built_good(&built, "default_destination_concurrency_limit = 7\n",
                                  "POSTFIX_smtp_destination_concurrency_limit=3");

    assert_int_equal(c->lmtp_destination_concurrency_limit, 7);
    assert_int_equal(c->smtp_destination_concurrency_limit, 3);
    assert_string_equal(built_value(&built, "lmtp_destination_concurrency_limit"),
                        "$default_destination_concurrency_limit");
    built_free(&built);
    built_from(&built, CONFIG_MINIMUM "default_destination_concurrency_limit = 0\n", NULL);
    assert_int_equal(built.errors, 1); /* not once more for each that takes it over */
}

static void test_bind_addresses(void **state)
{
    static const struct {
        const char *variable;
        bool good;
    } rows[] = {
        {"LMTP_BIND_ADDRESS=192.0.2.1",    true },
        {"LMTP_BIND_ADDRESS6=2001:db8::1", true },
        {"SMTP_BIND_ADDRESS=",             true },
        {"LMTP_BIND_ADDRESS=2001:db8::1",  false},
        {"LMTP_BIND_ADDRESS6=192.0.2.1",   false},
        {"SMTP_BIND_ADDRESS=mx.example",   false},
        {"SMTP_BIND_ADDRESS6=[::1]",       false},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        built_from(&built, CONFIG_MINIMUM, rows[i].variable);
        if ((built.rc == 0) != rows[i].good || built.errors != !rows[i].good)
            fail_msg("%s\n%s", rows[i].variable, built.notes);
        built_free(&built);
    }
}

/* Values with rules of their own. */
static void test_server_words(void **state)
{
    static const struct {
        const char *variable;
        bool good;
    } rows[] = {
        {"POSTFIX_unverified_recipient_reject_code=550",                      true },
        {"POSTFIX_unverified_recipient_reject_code=250",                      true },
        {"POSTFIX_unverified_recipient_reject_code=421",                      false},
        {"POSTFIX_unverified_recipient_defer_code=521",                       false},
        {"POSTFIX_unverified_recipient_defer_code=354",                       false},
        {"POSTFIX_unverified_recipient_defer_code=600",                       false},
        {"POSTFIX_smtpd_noop_commands=xping, XPONG",                          true },
        {"POSTFIX_smtpd_noop_commands=hash:/etc/postfix/noop",                false},
        {"POSTFIX_smtpd_forbidden_commands=regexp:{{/x/ y}}",                 false},
        {"POSTFIX_parent_domain_matches_subdomains=mynetworks,relay_domains", true },
        {"POSTFIX_parent_domain_matches_subdomains=everything",               false},
        {"POSTFIX_inet_interfaces=loopback-only",                             true },
        {"POSTFIX_inet_interfaces=eth0",                                      false},
        {"POSTFIX_message_size_limit=0",                                      true },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        built_from(&built, CONFIG_MINIMUM, rows[i].variable);
        if ((built.rc == 0) != rows[i].good || built.errors != !rows[i].good)
            fail_msg("%s\n%s", rows[i].variable, built.notes);
        built_free(&built);
    }
}

static void test_compose_example(void **state)
{
    static const char environment[] =
        "ALLOW_EMPTY_SENDER_DOMAINS=true\n"
        "ALLOWED_SENDER_DOMAINS=\n"
        "POSTFIX_relay_transport=lmtp:[192.0.2.53]:2525\n"
        "POSTFIX_inet_protocols=ipv4\n"
        "POSTFIX_smtpd_recipient_restrictions=permit_mynetworks, check_relay_domains, permit\n"
        "POSTFIX_smtpd_client_restrictions=permit_mynetworks, permit_sasl_authenticated, permit\n"
        "POSTFIX_smtpd_sender_restrictions=permit_mynetworks, permit_sasl_authenticated, permit\n"
        "POSTFIX_relay_domains=example.com\n"
        "POSTFIX_message_size_limit=26214400\n"
        "HOSTNAME=mx.example.com\n"
        "DOMAIN=example.com";

    built_from_host(&built, NULL, environment, "0123456789ab");
    assert_int_equal(built.rc, 0);
    assert_string_equal(built.config->relay_transport, "lmtp:[192.0.2.53]:2525");
    assert_string_equal(built.config->myhostname, "mx.example.com");
    assert_string_equal(built.config->mydomain, "example.com");
    assert_int_equal(built.config->inet_protocols, INET_IPV4);
    assert_int_equal(built.applied, 10);
    assert_int_equal(built.warnings, 0);
    built_expect(&built,
                 "A Applying custom postfix setting: relay_transport=lmtp:[192.0.2.53]:2525");
    assert_int_equal(built.config->restrictions[RESTRICT_RECIPIENT].count, 3);
    assert_int_equal(built.config->senders.count, 0);
    built_free(&built);
}

static void test_winner(void **state)
{
    static const struct {
        const char *environment;
        const char *mydomain;
        const char *warning; /* NULL: none */
    } rows[] = {
        {"POSTFIX_mydomain=p.example\nMYDOMAIN=p.example\nDOMAIN=p.example", "p.example",   NULL},
        {"DOMAIN=d.example\nPOSTFIX_mydomain=p.example",                     "p.example",
         "W POSTFIX_mydomain and DOMAIN disagree about mydomain; POSTFIX_mydomain counts"       },
        {"DOMAIN=d.example\nMYDOMAIN=m.example",                             "m.example",
         "W MYDOMAIN and DOMAIN disagree about mydomain; MYDOMAIN counts"                       },
        {"DOMAIN=\nMYDOMAIN=m.example",                                      "m.example",   NULL},
        {"DOMAIN=d.example\nMYDOMAIN=",                                      "example.org",
         "W MYDOMAIN and DOMAIN disagree about mydomain; MYDOMAIN (empty: the default) counts"  },
        {"POSTFIX_mydomain=",                                                "example.org", NULL},
        {"DOMAIN=",                                                          "example.org", NULL},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct config *c = built_good(&built, "", rows[i].environment);

        assert_string_equal(c->mydomain, rows[i].mydomain);
        assert_int_equal(built.warnings, rows[i].warning != NULL);
        if (rows[i].warning)
            built_expect(&built, rows[i].warning);
        built_free(&built);
    }
}

static void test_environment_beats_ini(void **state)
{
    struct config *c = built_good(
        &built, "mail_name = ini\nmydomain = i.example\nlisten = 26\nsyslog_name = same\n",
        "POSTFIX_mail_name=env\nDOMAIN=e.example\nLISTEN=\nSYSLOG_NAME=same");

    assert_string_equal(c->mail_name, "env");
    assert_string_equal(c->mydomain, "e.example");
    assert_string_equal(c->listen, "25");
    assert_false(config_is_set(c, setting_find(SPAN_LIT("listen"))));
    assert_int_equal(built.warnings, 3);
    built_expect(&built, "W POSTFIX_mail_name and mxgate.ini line 3 disagree about mail_name; "
                         "POSTFIX_mail_name counts");
    built_expect(
        &built,
        "W LISTEN and mxgate.ini line 5 disagree about listen; LISTEN (empty: the default) counts");
    built_free(&built);
}

/* HOSTNAME is there in every container, so it overrules nothing and is not worth a word. */
static void test_hostname_is_last(void **state)
{
    struct config *c = built_good(&built, "myhostname = mx.example.net\n", "HOSTNAME=0123456789ab");

    assert_string_equal(c->myhostname, "mx.example.net");
    assert_string_equal(built.notes, "");
    built_free(&built);
    c = built_good(&built, "myhostname =\n", "HOSTNAME=a.example\nHOSTNAME=b.example");
    assert_string_equal(c->myhostname, "a.example");
    built_free(&built);
}

static void test_ignored_silently(void **state)
{
    built_good(
        &built, "",
        "HOME=/root\nPATH=/bin\nLANG=C\nTZ=UTC\nTERM=xterm\nSHLVL=1\nPWD=/\n_=x\n=x\nnonsense\n"
        "HOST=x\nUSER=x\nPORT=25\nNAME=x\nDOMAINS=x\nLISTENER=x\nLISTEN_FDS=1\nLC_ALL=C\nHOSTTYPE="
        "x\n"
        "POSTFIX_PORT=tcp://"
        "10.0.0.1:25\nPOSTFIX_PORT_25_TCP_ADDR=10.0.0.1\nPOSTFIX_SERVICE_HOST=10.0.0.1\n"
        "POSTFIX_SERVICE_PORT_SMTP=25\nPOSTFIX_NAME=/a/postfix\nPOSTFIX_ENV_TZ=UTC\n"
        "MAIL_NAME=/a/mail\nMAIL_PORT=tcp://10.0.0.2:25\nMAIL_SERVICE_HOST=10.0.0.2\nMAIL_NAMES=x\n"
        "KUBERNETES_SERVICE_HOST=10.0.0.1\nRELAYHOST=\nALLOWED_SENDER_DOMAINS=\nRELAY_HOST=\n"
        "POSTFIX_mydestination=\nPOSTFIX_relay_domain=");
    assert_string_equal(built.notes, "");
    assert_string_equal(built.config->mail_name, "Postfix");
    built_free(&built);
}

static void test_slips(void **state)
{
    static const struct {
        const char *variable;
        const char *meant;
    } rows[] = {
        {"RELAY_HOST",       "RELAYHOST"      },
        {"ALLOWED_DOMAIN",   "ALLOWED_DOMAINS"},
        {"ALLOW_DOMAINS",    "ALLOWED_DOMAINS"},
        {"RELAY_DOMAIN",     "RELAY_DOMAINS"  },
        {"relay_domains",    "RELAY_DOMAINS"  },
        {"RELAY_TRANSPORTS", "RELAY_TRANSPORT"},
        {"MY_NETWORKS",      "MYNETWORKS"     },
        {"LOGFORMAT",        "LOG_FORMAT"     },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char variable[100];
        char note[200];

        snprintf(variable, sizeof variable, "%s=x", rows[i].variable);
        snprintf(note, sizeof note,
                 "W %s is not a variable of mxgate and is ignored; did you mean %s?",
                 rows[i].variable, rows[i].meant);
        built_good(&built, "", variable);
        assert_int_equal(built.warnings, 1);
        assert_int_equal(built.applied, 0);
        built_expect(&built, note);
        built_free(&built);
    }
}

static void test_postfix_slips(void **state)
{
    static const struct {
        const char *variable;
        const char *meant;
    } rows[] = {
        {"POSTFIX_relay_domain",  "POSTFIX_relay_domains"},
        {"POSTFIX_RELAY_DOMAINS", "POSTFIX_relay_domains"},
        {"postfix_listen",        "POSTFIX_listen"       },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char variable[100];
        char note[200];

        snprintf(variable, sizeof variable, "%s=x", rows[i].variable);
        snprintf(note, sizeof note, "W %s is not a setting here and is ignored; did you mean %s?",
                 rows[i].variable, rows[i].meant);
        built_good(&built, "", variable);
        assert_int_equal(built.warnings, 1);
        assert_int_equal(built.applied, 0);
        built_expect(&built, note);
        built_free(&built);
    }
}

/* A slip is at most two edits, and only of a name that can be compared. */
static void test_advice_limits(void **state)
{
    char variable[300];

    built_good(&built, "", "RELAY_DOMAINSXY=x");
    assert_int_equal(built.warnings, 1);
    built_free(&built);
    built_good(&built, "", "RELAY_DOMAINSXYZ=x");
    assert_int_equal(built.warnings, 0);
    built_free(&built);
    for (size_t len = 63; len <= 250; len += len == 65 ? 185 : 1) {
        memset(variable, 'A', len);
        snprintf(variable + len, sizeof variable - len, "=x");
        built_good(&built, "", variable);
        assert_string_equal(built.notes, "");
        built_free(&built);
        memcpy(variable, "POSTFIX_", 8);
        built_good(&built, "", variable);
        assert_int_equal(built.warnings, 1);
        built_free(&built);
    }
}

/* What a note shows is printable and bounded. */
static void test_applied_shown(void **state)
{
    char variable[4000] = "ALLOWED_DOMAINS=";

    built_good(&built, "", "ALLOWED_DOMAINS=a.example\tb.example\r");
    built_expect(&built, "A Applying custom postfix setting: relay_domains=a.example b.example");
    built_free(&built);
    while (strlen(variable) < sizeof variable - 20)
        memcpy(variable + strlen(variable), "abc.example ", 13);
    built_good(&built, "", variable);
    assert_non_null(strstr(built.notes, "..."));
    assert_in_range(strlen(built.notes), 2000, CONFIG_NOTE_CAP + 3 + 100);
    built_free(&built);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ini_shapes),
        cmocka_unit_test(test_ini_errors),
        cmocka_unit_test(test_ini_all_errors),
        cmocka_unit_test(test_ini_twice),
        cmocka_unit_test(test_ini_line_length),
        cmocka_unit_test(test_ini_long_continuation),
        cmocka_unit_test(test_ini_list_limit),
        cmocka_unit_test(test_environment_names),
        cmocka_unit_test(test_environment_every_setting),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_default_of_another),
        cmocka_unit_test(test_bind_addresses),
        cmocka_unit_test(test_server_words),
        cmocka_unit_test(test_compose_example),
        cmocka_unit_test(test_winner),
        cmocka_unit_test(test_environment_beats_ini),
        cmocka_unit_test(test_hostname_is_last),
        cmocka_unit_test(test_ignored_silently),
        cmocka_unit_test(test_slips),
        cmocka_unit_test(test_postfix_slips),
        cmocka_unit_test(test_advice_limits),
        cmocka_unit_test(test_applied_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
