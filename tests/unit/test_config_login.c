/* config/relay_login: who we are where; mechanisms; and that no word about it has a secret in it */
#include "config/advice.h"
#include "config/relay_login.h"
#include "config/route.h"

#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])
#define RELAYHOST   "RELAYHOST=[smtp.example.net]:587\n"
#define USER        RELAYHOST "RELAYHOST_USERNAME=ann@example.net\n"
#define MAPS        "SMTP_SASL_AUTH_ENABLE=yes\nSMTP_SASL_PASSWORD_MAPS="

static struct built built;

/* "[host]:port" of a way out, or with smtp: before it one in-house. */
static struct route target(const char *text)
{
    struct span smtp = SPAN_LIT("smtp:");
    struct errbuf err;
    struct route r;
    int rc = span_starts_nocase(span_of(text), smtp) ||
                     span_starts_nocase(span_of(text), SPAN_LIT("lmtp:"))
                 ? route_parse(span_of(text), &r, &err)
                 : route_parse_relayhost(span_of(text), 25, &r, &err);

    if (rc < 0)
        fail_msg("%s: %s", text, err.text);
    return r;
}

/* "user/password", "user@file" for a token, or "-". */
static const char *login_at(const struct config *c, const char *where)
{
    static char buf[512];
    struct route r = target(where);
    struct relay_login login;
    struct text t;

    text_init(&t, buf, sizeof buf);
    if (!relay_login_find(c, &r, &login))
        return "-";
    text_span(&t, login.user);
    text_cstr(&t, "/");
    text_span(&t, login.token_file[0] ? span_of(login.token_file) : login.password);
    return buf;
}

static const struct {
    const char *environment, *where, *want;
} rows[] = {
    {USER "RELAYHOST_PASSWORD=s3cret\n",                                                        "[smtp.example.net]:587",      "ann@example.net/s3cret"},
    {USER "RELAYHOST_PASSWORD=s3cret\n",                                                        "[SMTP.example.NET]:587",      "ann@example.net/s3cret"},
    {USER "RELAYHOST_PASSWORD=s3cret\n",                                                        "smtp:[smtp.example.net]:587", "ann@example.net/s3cret"},
    {USER "RELAYHOST_PASSWORD=s3cret\n",                                                        "[smtp.example.net]:465",      "-"                     },
    {USER "RELAYHOST_PASSWORD=s3cret\n",                                                        "[smtp.example.org]:587",      "-"                     },
    {USER "RELAYHOST_PASSWORD=s3cret\n",                                                        "lmtp:[smtp.example.net]:587", "-"                     },
    {USER "RELAYHOST_TOKEN_FILE=/run/t\n",                                                      "[smtp.example.net]:587",      "ann@example.net//run/t"},
    {USER "RELAYHOST_PASSWORD=p$a$$s${x}w\n",                                                   "[smtp.example.net]:587",
     "ann@example.net/p$a$$s${x}w"                                                                                                                     },
    {"RELAYHOST=smtp.example.net\nRELAYHOST_USERNAME=ann\nRELAYHOST_PASSWORD=x\n",
     "smtp.example.net:25",                                                                                                    "ann/x"                 },
    {"RELAYHOST=smtp.example.net\nRELAYHOST_USERNAME=ann\nRELAYHOST_PASSWORD=x\n",
     "[smtp.example.net]:587",                                                                                                 "ann/x"                 },
    {"RELAYHOST=[IPv6:2001:db8::1]:submission\nRELAYHOST_USERNAME=ann\nRELAYHOST_PASSWORD=x\n",
     "[2001:db8::1]:587",                                                                                                      "ann/x"                 },
    {USER "RELAYHOST_PASSWORD=x\nSASL_RELAYHOST=[smtp.example.org]\n",                          "[smtp.example.net]:587",
     "-"                                                                                                                                               },
    {USER "RELAYHOST_PASSWORD=x\nSASL_RELAYHOST=[smtp.example.org]\n",                          "[smtp.example.org]:25",
     "ann@example.net/x"                                                                                                                               },
    {USER "RELAYHOST_PASSWORD=x\nSMTP_SASL_PASSWORD_MAPS=inline:{ smtp.example.net=bob:y }\n",
     "[smtp.example.net]:587",                                                                                                 "ann@example.net/x"     },
    {USER "RELAYHOST_PASSWORD=x\nSMTP_SASL_PASSWORD_MAPS=inline:{ smtp.example.net=bob:y }\n",
     "[smtp.example.net]:25",                                                                                                  "bob/y"                 },
    {MAPS "inline:{ [smtp.example.net]:587=bob:y, smtp.example.net=eve:z }\n",
     "[smtp.example.net]:587",                                                                                                 "bob/y"                 },
    {MAPS "inline:{ [smtp.example.net]:587=bob:y, smtp.example.net=eve:z }\n",
     "smtp.example.net:25",                                                                                                    "eve/z"                 },
    {MAPS "inline:{ [smtp.example.net]:587=bob:y, smtp.example.net=eve:z }\n",
     "smtp.example.org:25",                                                                                                    "-"                     },
    {MAPS "inline:{ smtp.example.net:submissions=bob:y }\n",                                    "[smtp.example.net]:465",      "bob/y"                 },
    {MAPS "inline:{ {smtp.example.net = bob:a b, c=d:$e} }\n",                                  "[smtp.example.net]:25",
     "bob/a b, c=d:$e"                                                                                                                                 },
    {MAPS "static:bob:y:z\n",                                                                   "[smtp.example.org]:25",       "bob/y:z"               },
    {MAPS "static:bob:y:z\n",                                                                   "lmtp:[192.0.2.1]:24",         "-"                     },
    {"SMTP_SASL_PASSWORD_MAPS=inline:{ smtp.example.net=bob:y }\n",                             "[smtp.example.net]:25",       "-"                     },
};

static void test_who_where(void **state)
{
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct config *c = built_good(&built, "", rows[i].environment);

        if (strcmp(login_at(c, rows[i].where), rows[i].want) != 0)
            fail_msg("%s%s: %s", rows[i].environment, rows[i].where, login_at(c, rows[i].where));
        built_free(&built);
    }
}

static const struct {
    const char *environment, *note;
} faults[] = {
    {USER,                                                                               "E RELAYHOST_USERNAME: relayhost_username \"ann@example.net\" has no password"},
    {RELAYHOST "RELAYHOST_TOKEN_FILE=/run/t\n",
     "E RELAYHOST_TOKEN_FILE: relayhost_token_file \"/run/t\" is nobody's"                                                                                             },
    {USER "RELAYHOST_PASSWORD=s3cret\nRELAYHOST_TOKEN_FILE=/run/t\n",
     "E RELAYHOST_TOKEN_FILE: relayhost_token_file \"/run/t\" is set beside a password"                                                                                },
    {USER "RELAYHOST_PASSWORD=s3cret\nSMTP_SASL_AUTH_ENABLE=no\n",
     "E SMTP_SASL_AUTH_ENABLE: smtp_sasl_auth_enable \"no\" contradicts"                                                                                               },
    {"SMTP_SASL_AUTH_ENABLE=yes\n",
     "E SMTP_SASL_AUTH_ENABLE: smtp_sasl_auth_enable \"yes\" has no login"                                                                                             },
    {MAPS "hash:/etc/s3cret\n",                                                          "E SMTP_SASL_PASSWORD_MAPS: smtp_sasl_password_maps \"(hidden)\""             },
    {MAPS "inline:{ smtp.example.net=s3cret }\n",
     "E SMTP_SASL_PASSWORD_MAPS: smtp_sasl_password_maps \"(hidden)\" cannot be used: a value is "
     "not"                                                                                                                                                             },
    {MAPS "inline:{ smtp.example.net=s3cret: }\n",                                       "E SMTP_SASL_PASSWORD_MAPS: "                                                 },
    {MAPS "inline:{ smtp.example.net=:s3cret }\n",                                       "E SMTP_SASL_PASSWORD_MAPS: "                                                 },
    {MAPS "inline:{ s3cret }\n",                                                         "E SMTP_SASL_PASSWORD_MAPS: "                                                 },
    {MAPS "inline:{ {s3cret smtp.example.net=x:y}\n",                                    "E SMTP_SASL_PASSWORD_MAPS: "                                                 },
    {MAPS "inline:{ s3cret@example.net=ann:x }\n",                                       "E SMTP_SASL_PASSWORD_MAPS: "                                                 },
    {MAPS "static:s3cret\n",                                                             "E SMTP_SASL_PASSWORD_MAPS: "                                                 },
    {MAPS "static:ann:s3cret\nOUTBOUND=direct\n",
     "E SMTP_SASL_PASSWORD_MAPS: smtp_sasl_password_maps \"(hidden)\" is static:"                                                                                      },
    {"SMTP_SASL_TYPE=dovecot\n",                                                         "E SMTP_SASL_TYPE: smtp_sasl_type \"dovecot\" is not there"                   },
    {"SMTP_SASL_MECHANISM_FILTER=hash:/x\n",                                             "E SMTP_SASL_MECHANISM_FILTER: "                                              },
    {"SMTP_SASL_SECURITY_OPTIONS=noplain\n",                                             "E SMTP_SASL_SECURITY_OPTIONS: "                                              },
    {"SMTP_SASL_TLS_SECURITY_OPTIONS=noplain\n",                                         "E SMTP_SASL_TLS_SECURITY_OPTIONS: "                                          },
    {USER "RELAYHOST_PASSWORD=s3cret\nSMTPD_BANNER=hello $relayhost_password\n",
     "E SMTPD_BANNER: smtpd_banner \"hello $relayhost_password\" refers to $relayhost_password, "
     "which"                                                                                                                                                           },
    {USER "RELAYHOST_PASSWORD=s3cret\nMYHOSTNAME=a.example${relayhost_password?.com}\n",
     "E MYHOSTNAME: myhostname \"a.example${relayhost_password?.com}\" refers to"                                                                                      },
};

static bool has_note(const char *note)
{
    const char *found = strstr(built.notes, note);

    return found && (found == built.notes || found[-1] == '\n');
}

static void test_faults(void **state)
{
    char environment[1024];

    for (size_t i = 0; i < ROWS(faults); i++) {
        snprintf(environment, sizeof environment, "%s", faults[i].environment);
        built_from(&built, CONFIG_MINIMUM, environment);
        if (built.rc != -EINVAL || !has_note(faults[i].note) || strstr(built.notes, "s3cret"))
            fail_msg("%s: %d\n%s", faults[i].environment, built.rc, built.notes);
        built_free(&built);
    }
}

/* Neither what is said at start nor what postconf shows. */
static void test_nothing_is_shown(void **state)
{
    struct config *c = built_good(&built,
                                  "relayhost = [smtp.example.net]:587\n"
                                  "relayhost_username = ann\n",
                                  "RELAYHOST_PASSWORD=$s3cret$\nSMTP_SASL_PASSWORD_MAPS=inline:{ "
                                  "a.example=s3cret:$s3cret }\n");

    assert_null(strstr(built.notes, "s3cret"));
    built_expect(&built, "A Applying custom postfix setting: relayhost_password=(hidden)");
    built_expect(&built, "A Applying custom postfix setting: smtp_sasl_password_maps=(hidden)");
    assert_true(config_is_secret(SPAN_LIT("smtp_sasl_password_maps")));
    assert_true(config_holds_secret(c));
    built_free(&built);
    assert_false(config_holds_secret(built_good(&built, "", "")));
    built_free(&built);
}

static void test_filter(void **state)
{
    static const struct {
        const char *text;
        unsigned mask;
    } filters[] = {
        {"",                            7},
        {" ",                           7},
        {"plain",                       2},
        {"PLAIN, login",                3},
        {"!plain, static:all",          5},
        {"plain, !plain",               2},
        {"!plain plain",                0},
        {"static:all, !login",          7},
        {"gssapi, cram-md5",            0},
        {"xoauth2",                     4},
        {"!gssapi, !login, static:all", 6},
    };
    struct errbuf err;
    unsigned mask;

    for (size_t i = 0; i < ROWS(filters); i++) {
        assert_int_equal(relay_mechanisms_filter(span_of(filters[i].text), &mask, &err), 0);
        if (mask != filters[i].mask)
            fail_msg("%s: %u", filters[i].text, mask);
    }
    assert_int_equal(relay_mechanisms_filter(SPAN_LIT("/etc/x"), &mask, &err), -EINVAL);
}

static void test_options(void **state)
{
    static const struct {
        const char *text;
        unsigned mask;
    } options[] = {
        {"",                         7},
        {"noanonymous",              7},
        {"NOPLAINTEXT",              0},
        {"noplaintext, noanonymous", 0},
        {"noanonymous nodictionary", 0},
        {"noactive",                 0},
        {"mutual_auth",              0},
        {"forward_secrecy",          0},
    };
    struct errbuf err;
    unsigned mask;

    for (size_t i = 0; i < ROWS(options); i++) {
        assert_int_equal(relay_mechanisms_options(span_of(options[i].text), &mask, &err), 0);
        if (mask != options[i].mask)
            fail_msg("%s: %u", options[i].text, mask);
    }
}

/* By default nothing in clear text; a token needs XOAUTH2, a password one of the others. */
static void test_mechanisms_of_a_login(void **state)
{
    static const struct {
        const char *more;
        unsigned in_clear, in_tls;
    } cases[] = {
        {"RELAYHOST_PASSWORD=x\n",                                               0, 3},
        {"RELAYHOST_PASSWORD=x\nSMTP_SASL_SECURITY_OPTIONS=noanonymous\n",       3, 3},
        {"RELAYHOST_PASSWORD=x\nSMTP_SASL_TLS_SECURITY_OPTIONS=noplaintext\n",   0, 0},
        {"RELAYHOST_PASSWORD=x\nSMTP_SASL_MECHANISM_FILTER=!plain static:all\n", 0, 1},
        {"RELAYHOST_TOKEN_FILE=/run/t\n",                                        0, 4},
        {"RELAYHOST_TOKEN_FILE=/run/t\nSMTP_SASL_MECHANISM_FILTER=plain\n",      0, 0},
    };
    struct route r = target("[smtp.example.net]:587");
    char environment[512];

    for (size_t i = 0; i < ROWS(cases); i++) {
        struct relay_login login;

        snprintf(environment, sizeof environment, USER "%s", cases[i].more);
        assert_true(relay_login_find(built_good(&built, "", environment), &r, &login));
        if (login.in_clear != cases[i].in_clear || login.in_tls != cases[i].in_tls)
            fail_msg("%s: %u %u", cases[i].more, login.in_clear, login.in_tls);
        built_free(&built);
    }
}

static void test_equal(void **state)
{
    static struct built other;
    static const char *const environments[] = {
        "",
        USER "RELAYHOST_PASSWORD=x\n",
        USER "RELAYHOST_PASSWORD=y\n",
        USER "RELAYHOST_TOKEN_FILE=/t\n",
        USER "RELAYHOST_TOKEN_FILE=/u\n",
        USER "RELAYHOST_PASSWORD=x\nSMTP_SASL_SECURITY_OPTIONS=noanonymous\n"};
    struct route r = target("[smtp.example.net]:587");

    for (size_t i = 0; i < ROWS(environments); i++) {
        for (size_t j = 0; j < ROWS(environments); j++) {
            struct config *a = built_good(&built, "", environments[i]);
            struct config *b = built_good(&other, "", environments[j]);

            assert_int_equal(relay_login_equal(a, b, &r), i == j);
            built_free(&built);
            built_free(&other);
        }
    }
}

static char given[4096];

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    assert_int_equal(kind, CONFIG_NOTE_WARNING);
    snprintf(given + strlen(given), sizeof given - strlen(given), "%s\n", text);
}

static void test_advice(void **state)
{
    static const struct {
        const char *environment, *words;
    } cases[] = {
        {USER "RELAYHOST_PASSWORD=s3cret\n",                                         ""                },
        {"RELAYHOST_USERNAME=ann\nRELAYHOST_PASSWORD=s3cret\n",                      "are used nowhere"},
        {USER "RELAYHOST_PASSWORD=s3cret\nSMTP_SASL_SECURITY_OPTIONS=noanonymous\n",
         "smtp_sasl_security_options=noanonymous lets passwords go"                                    },
        {USER "RELAYHOST_PASSWORD=s3cret\nRELAYHOST_TLS_LEVEL=none\n",
         "smtp_tls_security_level=none, but there is a login"                                          },
        {USER "RELAYHOST_PASSWORD=s3cret\nSMTP_SASL_MECHANISM_FILTER=cram-md5\n",
         "leave no way to log in"                                                                      },
        {"SMTP_SASL_PASSWORD_MAPS=inline:{ a.example=b:s3cret }\n",
         "smtp_sasl_password_maps is not used"                                                         },
    };
    struct advice_facts facts = {ADVICE_PLACE_DISK, INT64_MAX};

    for (size_t i = 0; i < ROWS(cases); i++) {
        given[0] = '\0';
        advice_give(built_good(&built, "", cases[i].environment), &facts, on_note, NULL);
        if ((cases[i].words[0] == '\0') != (given[0] == '\0') || !strstr(given, cases[i].words) ||
            strstr(given, "s3cret"))
            fail_msg("%s: %s", cases[i].environment, given);
        built_free(&built);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_where),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_nothing_is_shown),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_mechanisms_of_a_login),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_advice),
    };

    return cmocka_run_group_tests_name("config_login", tests, NULL, NULL);
}
