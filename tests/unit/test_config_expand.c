/* test_config_expand - $name in values, computed defaults, lengths */
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

static struct built built;

static void test_expansion(void **state)
{
    static const struct {
        const char *written;
        const char *want;
    } rows[] = {
        {"$myhostname ESMTP $mail_name",       "mx.example.org ESMTP Postfix"},
        {"${myhostname}x$(mail_name)x",        "mx.example.orgxPostfixx"     },
        {"$mydomain",                          "example.org"                 },
        {"$lmtp_lhlo_name",                    "mx.example.org"              },
        {"$message_size_limit $delivery_mode", "26214400 direct"             },
        {"a$$b$",                              "a$b$"                        },
        {"$ x ${} $() $-",                     "$ x ${} $() $-"              },
        {"${mail_name $(mail_name",            "${mail_name $(mail_name"     },
        {"x${nothing}y$nothing",               "xy"                          },
        {"$relay_domains",                     "example.com"                 },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char line[100];

        snprintf(line, sizeof line, "smtpd_banner = %s\n", rows[i].written);
        assert_string_equal(built_good(&built, line, NULL)->smtpd_banner, rows[i].want);
        assert_string_equal(built_value(&built, "smtpd_banner"), rows[i].written);
        built_free(&built);
    }
}

static void test_expansion_everywhere(void **state)
{
    struct config *c =
        built_good(&built,
                   "queue_minfree = $message_size_limit\nrelay_domains = .$mydomain, $mydomain\n"
                   "verify_recipients = $smtpd_helo_required\nlmtp_rset_timeout=$dns_timeout\n",
                   "POSTFIX_relay_transport=lmtp:[$myhostname]:24");

    assert_int_equal(c->queue_minfree, 26214400);
    assert_true(domain_list_match(&c->domains, SPAN_LIT("a.example.org")));
    assert_false(c->verify_recipients);
    assert_int_equal(c->lmtp_rset_timeout, 5000);
    assert_string_equal(c->relay_transport, "lmtp:[mx.example.org]:24");
    built_expect(&built,
                 "A Applying custom postfix setting: relay_transport=lmtp:[$myhostname]:24");
    built_free(&built);
}

static void test_expansion_bad(void **state)
{
    static const struct {
        const char *lines;
        const char *note;
    } rows[] = {
        {"mail_name = $mail_name",                             "E mxgate.ini line 3: mail_name \"$mail_name\" refers to itself "
                                   "through $mail_name; give one of them a plain value"},
        {"mail_name = $syslog_name\nsyslog_name = $mail_name",
         "E mxgate.ini line 4: syslog_name \"$mail_name\" refers to itself through $mail_name; "
         "give one of them a plain value"                                                                                },
        {"myhostname = mx.$mydomain",                          "E default: mydomain \"\" refers to itself through "
                                      "$myhostname; give one of them a plain value" },
        {"queue_directory = $control_socket",
         "E default: control_socket \"\" refers to itself through $queue_directory; give one of "
         "them a plain value"                                                                                            },
        {"mail_name = ${mail_name?{a}:{b}}",
         "E mxgate.ini line 3: mail_name \"${mail_name?{a}:{b}}\" refers to itself through "
         "$mail_name; give one of them a plain value"                                                                    },
        {"smtpd_timeout = ${{$stress} == {} ? {10} : {300}}s",
         "E mxgate.ini line 3: smtpd_timeout \"${{$stress} == {} ? {10} : {300}}s\" has a form of "
         "$ "
         "that is not supported; use $name or ${name}"                                                                   },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char ini[sizeof CONFIG_MINIMUM + 100];

        snprintf(ini, sizeof ini, "%s%s\n", CONFIG_MINIMUM, rows[i].lines);
        built_from(&built, ini, NULL);
        assert_int_equal(built.rc, -EINVAL);
        assert_int_equal(built.errors, 1);
        built_expect(&built, rows[i].note);
    }
    built_good(&built, "smtpd_banner = $myhostname $mail_version\n", NULL);
    built_expect(&built,
                 "W smtpd_banner: $mail_version is not a setting here and stands for nothing");
    built_free(&built);
}

/* ${name?{a}:{b}}: of a setting that is not empty, of one that is, of a name that is none. */
static void test_conditions(void **state)
{
    static const struct {
        const char *value;
        const char *want; /* NULL: not supported */
    } rows[] = {
        {"${mail_name?{a}:{b}}",                        "a"                  },
        {"${mynetworks ? {a} : {b}}",                   NULL                 },
        {"${mail_name? {a} : {b} }",                    "a"                  },
        {"${parent_domain_matches_subdomains?{a}:{b}}", "b"                  },
        {"${stress?{10}:{300}}s",                       "300s"               },
        {"x${mail_name?a}",                             "xa"                 },
        {"x${mail_name:a}",                             "x"                  },
        {"x${stress?a}",                                "x"                  },
        {"x${stress:a b}",                              "xa b"               },
        {"x${stress:{a}}y",                             "xay"                },
        {"$(mail_name?{a}:{b})",                        "a"                  },
        {"${mail_name?{$mail_name/$$}:{b}}",            "Postfix/$"          },
        {"${stress?{x}:{${mail_name?{y}:{z}}}}",        "y"                  },
        {"${mail_name?{a}x}",                           NULL                 },
        {"${mail_name?{a}:{b}x}",                       NULL                 },
        {"${mail_name?{a}?{b}}",                        NULL                 },
        {"${mail_name!a}",                              NULL                 },
        {"${?{a}:{b}}",                                 NULL                 },
        {"${mail_name?{a}:{b}",                         "${mail_name?{a}:{b}"},
        {"${mail_name?{a}:{b",                          "${mail_name?{a}:{b" },
        {"${mail_name?}x",                              "x"                  },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char ini[sizeof CONFIG_MINIMUM + 100];

        snprintf(ini, sizeof ini, "%ssmtpd_banner = %s\n", CONFIG_MINIMUM, rows[i].value);
        built_from(&built, ini, NULL);
        if ((built.rc == 0) != (rows[i].want != NULL) ||
            (rows[i].want && strcmp(built.config->smtpd_banner, rows[i].want) != 0))
            fail_msg("%s: %s\n%s", rows[i].value, built.config ? built.config->smtpd_banner : "",
                     built.notes);
        built_free(&built);
    }
}

/* One within the other, up to the limit and beyond. */
static void test_conditions_deep(void **state)
{
    for (size_t depth = 7; depth <= 9; depth++) {
        char variable[200] = "POSTFIX_smtpd_banner=";

        for (size_t i = 0; i < depth; i++)
            strcat(variable, "${mail_name?{");
        strcat(variable, "x");
        for (size_t i = 0; i < depth; i++)
            strcat(variable, "}}");
        built_from(&built, CONFIG_MINIMUM, variable);
        assert_int_equal(built.rc, depth > 8 ? -EINVAL : 0);
        built_free(&built);
    }
}

/* Each setting is expanded once, so doubling references stay linear. */
static void test_expansion_doubling(void **state)
{
    char ini[20000] = CONFIG_MINIMUM "smtpd_banner = x$mail_name\n";
    const char *before = "mail_name";

    for (size_t i = 0; i < settings_count; i++) {
        const char *name = settings[i].name;
        size_t len = strlen(ini);

        if (settings[i].kind != SETTING_time && settings[i].kind != SETTING_number)
            continue;
        snprintf(ini + len, sizeof ini - len, "%s = $%s$%s$%s\n", name, before, before, before);
        before = name;
    }
    snprintf(ini + strlen(ini), sizeof ini - strlen(ini), "mail_name = $nothing\n");
    built_from(&built, ini, NULL);
    assert_int_equal(built.rc, -EINVAL);
    assert_int_equal(built.warnings, 1);
}

/* `name = xxx` with `len` bytes of value, as a variable. */
static char *long_variable(const char *name, const char *part, size_t len)
{
    char *variable = malloc(strlen(name) + len + 2);
    size_t at = (size_t)sprintf(variable, "%s=", name);

    for (size_t i = 0; i < len; i++)
        variable[at + i] = part[i % strlen(part)];
    variable[at + len] = '\0';
    return variable;
}

static void test_length_limits(void **state)
{
    for (size_t len = CONFIG_TEXT_MAX - 1; len <= CONFIG_TEXT_MAX + 1; len++) {
        char *variable = long_variable("POSTFIX_mail_name", "abcd", len);

        built_from(&built, CONFIG_MINIMUM, variable);
        assert_int_equal(built.rc, len > CONFIG_TEXT_MAX ? -EINVAL : 0);
        if (built.rc == 0)
            assert_int_equal(strlen(built.config->mail_name), len);
        else
            assert_non_null(
                strstr(built.notes, "abcd...\" is longer than 1024 bytes; make it shorter"));
        built_free(&built);
        free(variable);
    }
    for (size_t len = CONFIG_LIST_MAX - 1; len <= CONFIG_LIST_MAX + 1; len++) {
        char *variable = long_variable("POSTFIX_dns_servers", ",", len);

        built_from(&built, CONFIG_MINIMUM, variable);
        assert_int_equal(built.rc, len > CONFIG_LIST_MAX ? -EINVAL : 0);
        built_free(&built);
        free(variable);
    }
}

/* Through references too: mail_name twice is over the limit of one text. */
static void test_expansion_limit(void **state)
{
    for (size_t len = CONFIG_TEXT_MAX / 2; len <= CONFIG_TEXT_MAX / 2 + 1; len++) {
        char *name = long_variable("POSTFIX_mail_name", "abcd", len);
        char *both = malloc(strlen(name) + 100);

        sprintf(both, "%s\nPOSTFIX_smtpd_banner=$mail_name$mail_name", name);
        built_from(&built, CONFIG_MINIMUM, both);
        assert_int_equal(built.rc, len * 2 > CONFIG_TEXT_MAX ? -EINVAL : 0);
        built_free(&built);
        free(name);
        free(both);
    }
}

static void test_names(void **state)
{
    static const struct {
        const char *host;
        const char *environment;
        const char *myhostname;
        const char *mydomain;
    } rows[] = {
        {"mx.example.org",  NULL,                                                   "mx.example.org",  "example.org"  },
        {"mx",              NULL,                                                   "mx",              "localdomain"  },
        {"mx",              "DOMAIN=example.net",                                   "mx.example.net",  "example.net"  },
        {"mx.example.org",  "DOMAIN=example.net",                                   "mx.example.org",  "example.net"  },
        {"",                NULL,                                                   "localhost",       "localdomain"  },
        {"",                "DOMAIN=example.net",                                   "localhost",       "example.net"  },
        {NULL,              NULL,                                                   "localhost",       "localdomain"  },
        {"a.b.example.org", NULL,                                                   "a.b.example.org", "b.example.org"},
        {"example.org",     NULL,                                                   "example.org",     "org"          },
        {"0123456789ab",    "HOSTNAME=0123456789ab",                                "0123456789ab",    "localdomain"  },
        {"0123456789ab",    "HOSTNAME=mx.example.net",                              "mx.example.net",  "example.net"  },
        {"0123456789ab",    "HOSTNAME=mx\nDOMAIN=example.net",                      "mx.example.net",  "example.net"  },
        {"mx.example.org",  "HOSTNAME=",                                            "mx.example.org",  "example.org"  },
        {"x",               "HOSTNAME=a.example\nPOSTFIX_myhostname=b.example.net", "b.example.net",
         "example.net"                                                                                                },
        {"x",               "HOSTNAME=a.example\nMYHOSTNAME=b.example.net",         "b.example.net",   "example.net"  },
        {"x",               "HOSTNAME=a.example\nPOSTFIX_myhostname=",              "a.example",       "example"      },
        {"x",               "POSTFIX_myhostname=mx.$mydomain\nDOMAIN=a.example",    "mx.a.example",    "a.example"    },
        {"x",               "POSTFIX_myhostname=mx\nDOMAIN=a.example",              "mx",              "a.example"    },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        built_from_host(&built, CONFIG_MINIMUM, rows[i].environment, rows[i].host);
        if (built.rc != 0 || strcmp(built.config->myhostname, rows[i].myhostname) != 0 ||
            strcmp(built.config->mydomain, rows[i].mydomain) != 0)
            fail_msg("row %zu\n%s", i, built.notes);
        assert_string_equal(built_value(&built, "myhostname"),
                            strstr(built_value(&built, "myhostname"), "$") ? "mx.$mydomain"
                                                                           : rows[i].myhostname);
        assert_string_equal(built_value(&built, "mydomain"), rows[i].mydomain);
        built_free(&built);
    }
}

/* Even a host name that no setting holds leaves a lenient configuration without holes. */
static void test_long_hostname(void **state)
{
    char *variable = long_variable("HOSTNAME", "a", CONFIG_TEXT_MAX + 1);
    const char *const environment[] = {variable, NULL};
    struct config_source source = {
        .ini_text = CONFIG_MINIMUM, .ini_name = "mxgate.ini", .environment = environment};
    struct config *c;

    built_from(&built, CONFIG_MINIMUM, variable);
    assert_int_equal(built.rc, -EINVAL);
    assert_non_null(strstr(built.notes, "is longer than 1024 bytes; make it shorter"));
    assert_int_equal(config_build_lenient(&source, NULL, NULL, &c), 0);
    assert_non_null(c->myhostname);
    assert_non_null(c->mydomain);
    assert_non_null(c->smtpd_banner);
    config_unref(&c);
    free(variable);
}

static void test_control_socket(void **state)
{
    assert_string_equal(built_good(&built, "", NULL)->control_socket,
                        "/var/spool/mxgate/control.sock");
    assert_string_equal(built_value(&built, "control_socket"), "/var/spool/mxgate/control.sock");
    built_free(&built);
    assert_string_equal(built_good(&built, "queue_directory = /x\n", NULL)->control_socket,
                        "/x/control.sock");
    built_free(&built);
    assert_string_equal(built_good(&built, "control_socket = /run/x\n", NULL)->control_socket,
                        "/run/x");
    built_free(&built);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expansion),      cmocka_unit_test(test_expansion_everywhere),
        cmocka_unit_test(test_expansion_bad),  cmocka_unit_test(test_expansion_doubling),
        cmocka_unit_test(test_conditions),     cmocka_unit_test(test_conditions_deep),
        cmocka_unit_test(test_length_limits),  cmocka_unit_test(test_expansion_limit),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_long_hostname),
        cmocka_unit_test(test_control_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
