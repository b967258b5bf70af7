/* Tests of control/control_recipient: what sendmail and cron may call a recipient. */
#include "control/control_recipient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

static struct config *settings_of(const char *origin)
{
    char variable[300];
    const char *const environment[] = {"ALLOWED_DOMAINS=example.com .example.net",
                                       "RELAY_TRANSPORT=lmtp:[192.0.2.53]:24",
                                       "HOSTNAME=mx.example.org", variable, NULL};
    struct config_source source = {.environment = environment, .system_hostname = "localhost"};
    struct config *config = NULL;
    struct text t;

    text_init(&t, variable, sizeof variable);
    text_printf(&t, "MYORIGIN=%s", origin);
    assert_int_equal(config_build(&source, NULL, NULL, &config), 0);
    return config;
}

#define NO_WAY                                                                                     \
    " (no way leads there: its domain is not in relay_domains, and neither relayhost nor "         \
    "outbound=direct is set)"
#define ADVICE(origin)                                                                             \
    " (a name without a domain gets @" origin ": set myorigin to one of relay_domains)"

static void test_recipients(void **state)
{
    static const struct {
        const char *origin; /* "": the default */
        const char *argument;
        int exit_code;
        const char *want; /* the address, or the refusal */
    } rows[] = {
        {"",            "<ann@example.com>",               EX_OK,          "ann@example.com"                           },
        {"",            "<ann@EXAMPLE.com.> NOTIFY=NEVER", EX_OK,          "ann@EXAMPLE.com"                           },
        {"",            "<ann@a.example.net>",             EX_OK,          "ann@a.example.net"                         },
        {"",            "<root>",                          EX_UNAVAILABLE,
         "554 5.7.1 <root@mx.example.org>: Relay access denied" ADVICE("mx.example.org")                               },
        {"example.com", "<root>",                          EX_OK,          "root@example.com"                          },
        {"$mydomain",   "<root>",                          EX_UNAVAILABLE,
         "554 5.7.1 <root@example.org>: Relay access denied" ADVICE("example.org")                                     },
        {"example.com", "<\"a b\">",                       EX_OK,          "\"a b\"@example.com"                       },
        {"",            "<postmaster>",                    EX_OK,          "postmaster@example.com"                    },
        {"",            "<POSTMASTER>",                    EX_OK,          "POSTMASTER@example.com"                    },
        {"example.com", "<x@example.org>",                 EX_UNAVAILABLE,
         "554 5.7.1 <x@example.org>: Relay access denied" NO_WAY                                                       },
        {"",            "<x@[192.0.2.1]>",                 EX_UNAVAILABLE,
         "554 5.7.1 <x@[192.0.2.1]>: Relay access denied" NO_WAY                                                       },
        {"",            "<>",                              EX_NOUSER,      "501 5.1.3 Bad recipient address syntax: <>"},
        {"",            "<a b@example.com>",               EX_NOUSER,
         "501 5.1.3 Bad recipient address syntax: <a b@example.com>"                                                   },
        {"",            "<ann@example.com> X=y",           EX_NOUSER,
         "501 5.1.3 Bad recipient address syntax: <ann@example.com> X=y"                                               },
        {"",            "",                                EX_NOUSER,      "501 5.1.3 Bad recipient address syntax: "  },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *config = settings_of(rows[i].origin);
        struct smtp_rcpt_params params;
        struct smtp_verdict verdict = {0, ""};
        int rc =
            control_recipient(config, SPAN_LIT(""), span_of(rows[i].argument), &params, &verdict);

        if (rc != rows[i].exit_code)
            fail_msg("%s: %d", rows[i].argument, rc);
        assert_string_equal(rc == EX_OK ? params.recipient.text : verdict.line, rows[i].want);
        config_unref(&config);
    }
}

/* As long as an address may be, and one byte more: refused, not cut. */
static void test_completed_address_too_long(void **state)
{
    struct config *config = settings_of("example.com");
    struct smtp_rcpt_params params;
    struct smtp_verdict verdict = {0, ""};
    char argument[SMTP_LOCAL_PART_MAX + 4] = "<";

    memset(argument + 1, 'a', SMTP_LOCAL_PART_MAX);
    argument[SMTP_LOCAL_PART_MAX + 1] = '>';
    assert_int_equal(control_recipient(config, SPAN_LIT(""), span_of(argument), &params, &verdict),
                     EX_OK);
    assert_int_equal(params.recipient.len, SMTP_LOCAL_PART_MAX + sizeof "@example.com" - 1);
    argument[SMTP_LOCAL_PART_MAX + 1] = 'a';
    argument[SMTP_LOCAL_PART_MAX + 2] = '>';
    assert_int_equal(control_recipient(config, SPAN_LIT(""), span_of(argument), &params, &verdict),
                     EX_NOUSER);
    config_unref(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_completed_address_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
