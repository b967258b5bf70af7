/* test_config - the table of settings, their values and ranges */
#include "config/config.h"

#include "base/text.h"
#include "config/config_private.h"
#include "config_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct built built;

static void test_table(void **state)
{
    assert_int_equal(settings_count, SETTING_AT_COUNT);
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings[i];

        assert_in_range(strlen(s->name), 6, 49); /* inih keeps 49 bytes of a name */
        assert_true(s->help[0] != '\0');
        assert_true(s->min <= s->max);
        assert_true(s->offset < sizeof(struct config));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(s->name, settings[j].name);
        for (const char *c = s->name; *c; c++)
            assert_true(ascii_is_alnum(*c) || *c == '_');
        assert_ptr_equal(setting_find(span_of(s->name)), s);
    }
    assert_null(setting_find(SPAN_LIT("")));
    assert_null(setting_find(SPAN_LIT("Listen")));
    assert_null(setting_find(SPAN_LIT("listen ")));
}

/* Text of `value` as a setting is written, by kind. */
static uint64_t number_of(const struct config *c, const struct setting *s)
{
    return *(const uint64_t *)((const char *)c + s->offset);
}

static void check_default(const struct config *c, const struct setting *s, const char *value)
{
    const char *field = (const char *)c + s->offset;
    uint64_t number = 0;
    bool flag = false;

    if (value[0] == '$' && (s->kind == SETTING_number || s->kind == SETTING_time)) {
        /* another setting's */
        assert_int_equal(number_of(c, s), number_of(c, setting_find(span_of(value + 1))));
        return;
    }
    switch (s->kind) {
    case SETTING_text:
    case SETTING_words:
        assert_non_null(*(const char *const *)field);
        return;
    case SETTING_flag:
        assert_true(config_parse_flag(span_of(value), &flag));
        assert_int_equal(*(const bool *)field, flag);
        return;
    case SETTING_number:
        assert_true(span_to_u64(span_of(value), UINT64_MAX, &number));
        assert_int_equal(number_of(c, s), number);
        return;
    case SETTING_bytes:
        assert_true(config_parse_bytes(span_of(value), &number));
        assert_int_equal(number_of(c, s), number);
        return;
    case SETTING_time:
        assert_true(config_parse_time(span_of(value), &number));
        assert_int_equal(number_of(c, s), number);
        assert_false(
            ascii_is_digit(value[strlen(value) - 1])); /* it gives bare numbers their unit */
        return;
    case SETTING_choice:
        assert_int_equal(*(const int *)field, 0);
        return;
    }
    fail();
}

/* Each default, written out as a value, means the same as leaving the setting alone. */
static void test_defaults(void **state)
{
    static struct built again;
    struct config *c = built_good(&built, "", NULL);

    assert_string_equal(built.notes, "");
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings[i];
        char line[400];
        char value[200];

        memcpy(value, built_value(&built, s->name), sizeof value - 1);
        value[sizeof value - 1] = '\0';
        if (s->def[0] != '\0' && s->kind != SETTING_choice)
            assert_string_equal(value, s->def);
        check_default(c, s, value);
        assert_int_equal(config_is_set(c, s), strstr(CONFIG_MINIMUM, s->name) != NULL);
        if (value[0] == '\0' || config_is_set(c, s))
            continue;
        snprintf(line, sizeof line, "%s = %s\n", s->name, value);
        check_default(built_good(&again, line, NULL), s, value);
        assert_string_equal(built_value(&again, s->name), value);
        assert_true(config_is_set(again.config, s));
        built_free(&again);
    }
    built_free(&built);
}

static void test_fields(void **state)
{
    struct config *c =
        built_good(&built,
                   "delivery_mode = queue\nlog_format = JSON\nunverified_recipient_action=Defer\n"
                   "inet_protocols = ipv6, ipv4\nverify_recipients = no\n"
                   "message_size_limit = 10M\nsmtpd_timeout = 2m\n",
                   NULL);

    assert_int_equal(c->delivery_mode, DELIVERY_MODE_QUEUE);
    assert_int_equal(c->log_format, LOG_FORMAT_JSON);
    assert_int_equal(c->unverified_recipient_action, UNVERIFIED_DEFER);
    assert_int_equal(c->inet_protocols, INET_IPV6_IPV4);
    assert_false(c->verify_recipients);
    assert_int_equal(c->message_size_limit, 10485760);
    assert_int_equal(c->smtpd_timeout, 120000);
    assert_true(domain_list_match(&c->domains, SPAN_LIT("EXAMPLE.com")));
    assert_string_equal(domain_list_first(&c->domains), "example.com");
    assert_int_equal(c->networks.count, 2);
    assert_int_equal(c->queue_minfree, 0);
    assert_string_equal(built_value(&built, "message_size_limit"), "10M");
    built_free(&built);
}

static void test_choices(void **state)
{
    static const struct {
        const char *value;
        int want; /* -1: bad */
    } rows[] = {
        {"all",         INET_ALL      },
        {"ALL",         INET_ALL      },
        {"ipv4",        INET_IPV4     },
        {"ipv6",        INET_IPV6     },
        {"ipv4,ipv6",   INET_IPV4_IPV6},
        {"ipv4 , ipv6", INET_IPV4_IPV6},
        {"ipv4 ipv6",   INET_IPV4_IPV6},
        {"ipv6,ipv4",   INET_IPV6_IPV4},
        {"ipv4,",       INET_IPV4     },
        {"",            -1            },
        {",",           -1            },
        {"ipv",         -1            },
        {"ipv44",       -1            },
        {"ipv4,ipv4",   -1            },
        {"ipv4|ipv6",   -1            },
        {"all,ipv4",    -1            },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        int choice = -1;
        bool ok = config_parse_choice(span_of(rows[i].value),
                                      SPAN_LIT("all|ipv4|ipv6|ipv4,ipv6|ipv6,ipv4"), &choice);

        if (ok != (rows[i].want >= 0) || choice != rows[i].want)
            fail_msg("\"%s\": %d", rows[i].value, choice);
    }
}

static void test_times(void **state)
{
    static const struct {
        const char *value;
        bool ok;
        uint64_t ms;
    } rows[] = {
        {"0",                      true,  0                    },
        {"1",                      true,  1000                 },
        {"500ms",                  true,  500                  },
        {"300s",                   true,  300000               },
        {"300S",                   true,  300000               },
        {"5m",                     true,  300000               },
        {"1h",                     true,  3600000              },
        {"5d",                     true,  432000000            },
        {"2w",                     true,  1209600000           },
        {" 5 d ",                  true,  432000000            },
        {"",                       false, 0                    },
        {"s",                      false, 0                    },
        {"-1s",                    false, 0                    },
        {"+1s",                    false, 0                    },
        {"1.5h",                   false, 0                    },
        {"1h30m",                  false, 0                    },
        {"1y",                     false, 0                    },
        {"1 s s",                  false, 0                    },
        {"0x10",                   false, 0                    },
        {"18446744073709551",      true,  18446744073709551000u},
        {"18446744073709552",      false, 0                    },
        {"18446744073709551615ms", true,  UINT64_MAX           },
        {"18446744073709551616ms", false, 0                    },
        {"30500568905w",           false, 0                    },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        uint64_t ms = 0;

        if (config_parse_time(span_of(rows[i].value), &ms) != rows[i].ok || ms != rows[i].ms)
            fail_msg("\"%s\": %" PRIu64, rows[i].value, ms);
    }
    assert_false(config_parse_time(SPAN_LIT("1\0s"), &(uint64_t){0}));
}

static void test_bytes(void **state)
{
    static const struct {
        const char *value;
        bool ok;
        uint64_t bytes;
    } rows[] = {
        {"0",                    true,  0                      },
        {"26214400",             true,  26214400               },
        {"1k",                   true,  1024                   },
        {"16M",                  true,  16777216               },
        {"16 m",                 true,  16777216               },
        {"2G",                   true,  2147483648             },
        {"",                     false, 0                      },
        {"M",                    false, 0                      },
        {"1MB",                  false, 0                      },
        {"1T",                   false, 0                      },
        {"1.5M",                 false, 0                      },
        {"-1",                   false, 0                      },
        {"18446744073709551615", true,  UINT64_MAX             },
        {"18446744073709551616", false, 0                      },
        {"17179869183G",         true,  UINT64_MAX - 1073741823},
        {"17179869184G",         false, 0                      },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        uint64_t bytes = 0;

        if (config_parse_bytes(span_of(rows[i].value), &bytes) != rows[i].ok ||
            bytes != rows[i].bytes)
            fail_msg("\"%s\": %" PRIu64, rows[i].value, bytes);
    }
}

static void test_flags(void **state)
{
    static const char *const rows[] = {"no", "yes", "FALSE", "True", "off", "ON", "0", "1"};
    static const char *const bad[] = {"", "y", "yes ", "2", "enabled"};

    for (size_t i = 0; i < ROWS(rows); i++) {
        bool flag = i % 2 == 0;

        assert_true(config_parse_flag(span_of(rows[i]), &flag));
        assert_int_equal(flag, i % 2 == 1);
    }
    for (size_t i = 0; i < ROWS(bad); i++)
        assert_false(config_parse_flag(span_of(bad[i]), &(bool){false}));
}

/* Writes a value of the kind into `line`, as "name = value". */
static void write_line(char *line, size_t cap, const struct setting *s, uint64_t value)
{
    snprintf(line, cap, "%s = %" PRIu64 "%s\n", s->name, value,
             s->kind == SETTING_time ? "ms" : "");
}

static void check_limit(const struct setting *s, uint64_t value, bool good)
{
    char ini[sizeof CONFIG_MINIMUM + 200] = CONFIG_MINIMUM;

    write_line(ini + sizeof CONFIG_MINIMUM - 1, 200, s, value);
    built_from(&built, ini, NULL);
    if (built.rc != (good ? 0 : -EINVAL))
        fail_msg("%s", ini);
    if (good) {
        bool adjusted = strstr(s->name, "backoff_time") || strstr(s->name, "smtpd_stress");

        assert_true(number_of(built.config, s) == value || adjusted);
    } else {
        assert_int_equal(built.errors, 1);
        assert_non_null(strstr(built.notes, "E mxgate.ini line 3: "));
        assert_non_null(strstr(built.notes, s->name));
        assert_non_null(strstr(built.notes, "correct it or remove it (default: "));
    }
    built_free(&built);
}

/* Every range: at the limit and one beyond, on both sides. */
static void test_ranges(void **state)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings[i];

        if (s->kind != SETTING_number && s->kind != SETTING_bytes && s->kind != SETTING_time)
            continue;
        check_limit(s, s->min, true);
        check_limit(s, s->min + 1, true);
        check_limit(s, s->max - 1, true);
        check_limit(s, s->max, true);
        check_limit(s, s->max + 1, false);
        if (s->min > 0)
            check_limit(s, s->min - 1, false);
    }
}

static void test_bad_values(void **state)
{
    static const struct {
        const char *variable;
        const char *note;
    } rows[] = {
        {"POSTFIX_smtpd_recipient_limit=0",
         "E POSTFIX_smtpd_recipient_limit: smtpd_recipient_limit \"0\" is not a whole number from "
         "1 to 50000; correct it or remove it (default: 1000)"                                                              },
        {"SMTPD_RECIPIENT_LIMIT=ten",
         "E SMTPD_RECIPIENT_LIMIT: smtpd_recipient_limit \"ten\" is not a whole number from 1 to "
         "50000; correct it or remove it (default: 1000)"                                                                   },
        {"MESSAGE_SIZE_LIMIT=1023",
         "E MESSAGE_SIZE_LIMIT: message_size_limit \"1023\" is not a size from 1024 to "
         "1099511627776 "
         "bytes (K, M or G may follow); correct it or remove it (default: 26214400)"                                        },
        {"POSTFIX_verify_timeout=61s",
         "E POSTFIX_verify_timeout: verify_timeout \"61s\" is not a time from 100ms to 1m (such as "
         "500ms, 300s, 5m, 1h, 5d); correct it or remove it (default: 5s)"                                                  },
        {"POSTFIX_maximal_queue_lifetime=101",
         "E POSTFIX_maximal_queue_lifetime: maximal_queue_lifetime \"101\" is not a time from 0s "
         "to 100d (such as 500ms, 300s, 5m, 1h, 5d); correct it or remove it (default: 5d)"                                 },
        {"POSTFIX_verify_recipients=maybe",
         "E POSTFIX_verify_recipients: verify_recipients \"maybe\" is not yes or no; correct it or "
         "remove it (default: yes)"                                                                                         },
        {"LOG_FORMAT=xml",                     "E LOG_FORMAT: log_format \"xml\" is not one of plain|json; correct it "
                           "or remove it (default: plain)"                                        },
        {"POSTFIX_mail_name=a\tb",
         "E POSTFIX_mail_name: mail_name \"a b\" is not text without control characters; correct "
         "it or remove it (default: Postfix)"                                                                               },
        {"RELAY_DOMAINS=a.example \x01",
         "E RELAY_DOMAINS: relay_domains \"a.example ?\" is not text without control characters; "
         "correct it or remove it (default: )"                                                                              },
        {"ALLOWED_DOMAINS=joe@example.com",
         "E ALLOWED_DOMAINS: relay_domains \"joe@example.com\" cannot be used: \"joe@example.com\" "
         "is not a domain; write the part after the @ only"                                                                 },
        {"MYNETWORKS=10.0.0.1/8",
         "E MYNETWORKS: mynetworks \"10.0.0.1/8\" cannot be used: \"10.0.0.1/8\" has bits set "
         "beyond its prefix; write 10.0.0.0/8"                                                                              },
        {"LISTEN=localhost",                   "E LISTEN: listen \"localhost\" cannot be used: \"localhost\" is not "
                             "an address to listen on; write 25, 127.0.0.1:25, [::1]:25 or *:25"},
        {"DNS_SERVERS=192.0.2.53 dns.example",
         "E DNS_SERVERS: dns_servers \"192.0.2.53 dns.example\" cannot be used: \"dns.example\" is "
         "not the address of a name server; write 192.0.2.53, 192.0.2.53:53 or [2001:db8::53]:53"                           },
        {"DNS_SERVERS=192.0.2.53:0",
         "E DNS_SERVERS: dns_servers \"192.0.2.53:0\" cannot be used: \"192.0.2.53:0\" is not the "
         "address of a name server; write 192.0.2.53, 192.0.2.53:53 or [2001:db8::53]:53"                                   },
        {"HOSTNAME=mx example",                "E HOSTNAME: myhostname \"mx example\" gives \"mx example\", which "
                                "is not a domain name; set HOSTNAME=mx.example.com"          },
        {"POSTFIX_myhostname=mx.$mail_name!",
         "E POSTFIX_myhostname: myhostname \"mx.$mail_name!\" gives \"mx.Postfix!\", which is not "
         "a domain name; set HOSTNAME=mx.example.com"                                                                       },
        {"POSTFIX_myhostname=mx.example.com.",
         "E POSTFIX_myhostname: myhostname \"mx.example.com.\" gives \"mx.example.com.\", which is "
         "not a domain name; set HOSTNAME=mx.example.com"                                                                   },
        {"POSTFIX_myhostname=[192.0.2.1]",
         "E POSTFIX_myhostname: myhostname \"[192.0.2.1]\" gives \"[192.0.2.1]\", which is not a "
         "domain name; set HOSTNAME=mx.example.com"                                                                         },
        {"POSTFIX_myorigin=/etc/mailname",
         "E POSTFIX_myorigin: myorigin \"/etc/mailname\" gives \"/etc/mailname\", which is not a "
         "domain name; set MYORIGIN=example.com"                                                                            },
        {"DOMAIN=.example.com",                "E DOMAIN: mydomain \".example.com\" gives \".example.com\", which "
                                "is not a domain name; set DOMAIN=example.com"               },
        {"POSTFIX_lmtp_lhlo_name=a..b",
         "E POSTFIX_lmtp_lhlo_name: lmtp_lhlo_name \"a..b\" gives \"a..b\", which is not a domain "
         "name; write a host name such as mx.example.com, or remove it"                                                     },
        {"POSTFIX_syslog_name=${nothing}",
         "E POSTFIX_syslog_name: syslog_name \"${nothing}\" must not be empty; correct it or "
         "remove it (default: postfix)"                                                                                     },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        built_from(&built, CONFIG_MINIMUM, rows[i].variable);
        if (built.rc != -EINVAL || built.errors != 1)
            fail_msg("%s: %d\n%s", rows[i].variable, built.rc, built.notes);
        built_expect(&built, rows[i].note);
        assert_null(built.config);
    }
}

static void test_good_values(void **state)
{
    struct config *c =
        built_good(&built,
                   "dns_servers = 192.0.2.53 [192.0.2.53] 192.0.2.53:53, 2001:db8::53\n"
                   " [2001:db8::53], [2001:db8::53]:5353\nlisten = 0, *:25, [::1]:25\n",
                   NULL);

    assert_string_equal(c->dns_servers, "192.0.2.53 [192.0.2.53] 192.0.2.53:53, 2001:db8::53 "
                                        "[2001:db8::53], [2001:db8::53]:5353");
    built_free(&built);
}

/* Whose word counts must be said, and never everybody's. */
static void test_proxies(void **state)
{
    static const struct {
        const char *hosts;
        const char *fault; /* NULL: it can be used */
    } rows[] = {
        {"192.0.2.5 [2001:db8::]/96", NULL                             },
        {"[::ffff:192.0.2.0]/120",    NULL                             },
        {"0.0.0.0/0",                 "lists everybody"                },
        {"192.0.2.5, [::]/0",         "lists everybody"                },
        {"192.0.2.5/24",              "cannot be used"                 },
        {"",                          "needs to know whose word counts"},
    };
    char ini[200];
    struct config *c;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(ini, sizeof ini,
                 CONFIG_MINIMUM "smtpd_upstream_proxy_protocol = haproxy\n"
                                "smtpd_upstream_proxy_hosts = %s\n",
                 rows[i].hosts);
        built_from(&built, ini, NULL);
        assert_int_equal(built.rc, rows[i].fault ? -EINVAL : 0);
        if (rows[i].fault && !strstr(built.notes, rows[i].fault))
            fail_msg("%s\n%s", rows[i].hosts, built.notes);
        assert_int_equal(built.errors, rows[i].fault ? 1 : 0);
        built_free(&built);
    }
    c = built_good(&built, "",
                   "POSTFIX_postscreen_upstream_proxy_protocol=haproxy\n"
                   "SMTPD_UPSTREAM_PROXY_HOSTS=192.0.2.5");
    assert_string_equal(c->smtpd_upstream_proxy_protocol, "haproxy");
    assert_int_equal(c->proxies.count, 1);
    built_free(&built);
    built_from(&built, CONFIG_MINIMUM "smtpd_upstream_proxy_protocol = v2\n", NULL);
    assert_int_equal(built.errors, 1);
    c = built_good(&built, "smtpd_upstream_proxy_hosts = 192.0.2.5\n", NULL);
    assert_int_equal(built.warnings, 1);
    built_free(&built);
}

/* Where a drain hands mail over: a server, not this machine's disk. */
static void test_fallback(void **state)
{
    struct config *c = built_good(&built, "fallback_relay = smtp:[192.0.2.2]:25\n", NULL);

    assert_string_equal(c->fallback_relay, "smtp:[192.0.2.2]:25");
    built_free(&built);
    built_from(&built, CONFIG_MINIMUM "fallback_relay = maildir:/srv/mail\n", NULL);
    assert_int_equal(built.errors, 1);
    assert_non_null(strstr(built.notes, "must be a mail server"));
    built_from(&built, CONFIG_MINIMUM "fallback_relay = [192.0.2.2]\n", NULL);
    assert_int_equal(built.errors, 1);
}

static void test_required(void **state)
{
    built_from(&built, NULL, NULL);
    assert_int_equal(built.rc, -EINVAL);
    assert_int_equal(built.errors, 2);
    built_expect(
        &built,
        "E No domain to take mail for: relay_domains is empty; set ALLOWED_DOMAINS=example.com");
    built_expect(&built, "E Nowhere to deliver mail to: relay_transport is empty; set "
                         "RELAY_TRANSPORT=lmtp:[192.0.2.10]:24");
    built_from(&built, "relay_domains = ,\nrelay_transport =\n", "X=y");
    assert_int_equal(built.errors, 2);
}

/* A bare number has the unit of the default, as in Postfix: five days, not five seconds. */
static void test_time_units(void **state)
{
    /* a default that is another one's has its unit */
    assert_int_equal(
        built_good(&built, "smtp_destination_rate_delay = 7\n", NULL)->smtp_destination_rate_delay,
        7000);
    built_free(&built);
    struct config *c = built_good(&built,
                                  "maximal_queue_lifetime = 5\nminimal_backoff_time = 5\n"
                                  "address_verify_positive_expire_time = 2\n",
                                  NULL);

    assert_int_equal(c->maximal_queue_lifetime, UINT64_C(5) * 86400000);
    assert_int_equal(c->minimal_backoff_time, 5000);
    assert_int_equal(c->address_verify_positive_expire_time, UINT64_C(2) * 86400000);
    built_free(&built);
}

static void test_adjusted(void **state)
{
    struct config *c = built_good(&built, "minimal_backoff_time = 2h\nsmtpd_timeout = 5s\n", NULL);

    assert_int_equal(c->maximal_backoff_time, 7200000);
    assert_int_equal(c->smtpd_stress_timeout, 5000);
    assert_int_equal(built.warnings, 1);
    built_expect(
        &built,
        "W maximal_backoff_time is shorter than minimal_backoff_time; it is raised to that");
    built_free(&built);
}

static void test_references(void **state)
{
    struct config *c = built_good(&built, "", NULL);
    struct config *none = NULL;

    assert_ptr_equal(config_ref(c), c);
    config_unref(&built.config);
    assert_null(built.config);
    assert_string_equal(c->mail_name, "Postfix");
    config_unref(&c);
    assert_null(c);
    config_unref(&none);
}

/* Without anybody to tell, the result is the same. */
static void test_no_listener(void **state)
{
    struct config_source source = {.ini_text = "nonsense", .ini_name = "x.ini"};
    struct config *c;

    assert_int_equal(config_build(&source, NULL, NULL, &c), -EINVAL);
    assert_null(c);
}

static void test_secrets(void **state)
{
    assert_true(config_is_secret(SPAN_LIT("relayhost_PASSWORD")));
    assert_true(config_is_secret(SPAN_LIT("lmtp_secret_file")));
    assert_false(config_is_secret(SPAN_LIT("relay_domains")));
    assert_false(config_is_secret(SPAN_LIT("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),       cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_fields),      cmocka_unit_test(test_choices),
        cmocka_unit_test(test_times),       cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_flags),       cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_bad_values),  cmocka_unit_test(test_good_values),
        cmocka_unit_test(test_proxies),     cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_required),    cmocka_unit_test(test_time_units),
        cmocka_unit_test(test_adjusted),    cmocka_unit_test(test_references),
        cmocka_unit_test(test_no_listener), cmocka_unit_test(test_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
