/* Tests of what is said and set about logins: smtp/sasl, config/sasl_options, config/sasl_path,
 * config/sasl_users, and the listening addresses of users. */
#include "smtp/sasl.h"

#include "config/listen.h"
#include "config/sasl_options.h"
#include "config/sasl_path.h"
#include "config/sasl_users.h"

#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static struct built built;

static void test_base64(void **state)
{
    static const struct {
        struct span text;
        struct span want; /* ptr NULL: refused */
    } rows[] = {
        {SPAN_LIT(""),         SPAN_LIT("")          },
        {SPAN_LIT("Zg=="),     SPAN_LIT("f")         },
        {SPAN_LIT("Zm8="),     SPAN_LIT("fo")        },
        {SPAN_LIT("Zm9v"),     SPAN_LIT("foo")       },
        {SPAN_LIT("Zm9vYg=="), SPAN_LIT("foob")      },
        {SPAN_LIT("+/8A"),     SPAN_LIT("\xfb\xff\0")},
        {SPAN_LIT("Zg="),      {NULL, 0}             },
        {SPAN_LIT("Zg"),       {NULL, 0}             },
        {SPAN_LIT("Z==="),     {NULL, 0}             },
        {SPAN_LIT("===="),     {NULL, 0}             },
        {SPAN_LIT("Zg==Zg=="), {NULL, 0}             },
        {SPAN_LIT("Zm=v"),     {NULL, 0}             },
        {SPAN_LIT("Zm9\n"),    {NULL, 0}             },
        {SPAN_LIT("Zm9\0"),    {NULL, 0}             },
        {SPAN_LIT(" Zm9"),     {NULL, 0}             },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char out[16];
        size_t len = 99;
        bool good = sasl_base64_decode(rows[i].text, out, sizeof out, &len);

        assert_int_equal(good, rows[i].want.ptr != NULL);
        assert_true(!good || span_equal(span_make(out, len), rows[i].want));
        if (good && len > 0) /* one byte of room less */
            assert_false(sasl_base64_decode(rows[i].text, out, len - 1, &len));
    }
    assert_true(sasl_is_base64(SPAN_LIT("AZaz09+/=")));
    assert_false(sasl_is_base64(SPAN_LIT("A\0")));
    assert_false(sasl_is_base64(SPAN_LIT("*")));
}

static void test_plain(void **state)
{
    static const struct {
        struct span message;
        bool good;
    } rows[] = {
        {SPAN_LIT("\0ann\0secret"),   true },
        {SPAN_LIT("x\0ann\0secret"),  true },
        {SPAN_LIT("ann\0secret"),     false},
        {SPAN_LIT("\0ann\0"),         false},
        {SPAN_LIT("\0\0secret"),      false},
        {SPAN_LIT("\0ann\0secret\0"), false},
        {SPAN_LIT("\0ann\0sec\0ret"), false},
        {SPAN_LIT(""),                false},
        {SPAN_LIT("\0"),              false},
        {SPAN_LIT("\0\0"),            false},
    };
    struct sasl_plain plain;

    for (size_t i = 0; i < ROWS(rows); i++)
        assert_int_equal(sasl_plain_parse(rows[i].message, &plain), rows[i].good);
    assert_true(sasl_plain_parse(rows[1].message, &plain));
    assert_true(span_equal(plain.authorised, SPAN_LIT("x")));
    assert_true(span_equal(plain.login, SPAN_LIT("ann")));
    assert_true(span_equal(plain.password, SPAN_LIT("secret")));
}

static void test_mechanisms(void **state)
{
    struct sasl_mechanisms m = {.count = 0};
    char name[3] = "A0";

    assert_true(sasl_mechanisms_add(&m, SPAN_LIT("plain"), SASL_PLAINTEXT));
    assert_false(sasl_mechanisms_add(&m, SPAN_LIT("PLAIN"), 0));
    assert_string_equal(sasl_mechanisms_find(&m, SPAN_LIT("Plain"))->name, "PLAIN");
    assert_null(sasl_mechanisms_find(&m, SPAN_LIT("PLAI")));
    assert_false(sasl_mechanisms_add(&m, SPAN_LIT(""), 0));
    assert_false(sasl_mechanisms_add(&m, SPAN_LIT("A B"), 0));
    assert_false(sasl_mechanisms_add(&m, SPAN_LIT("A\r\nB"), 0));
    assert_true(sasl_mechanisms_add(&m, SPAN_LIT("A234567890123456789-"), 0));
    assert_false(sasl_mechanisms_add(&m, SPAN_LIT("A234567890123456789-1"), 0));
    for (unsigned i = 0; i < SASL_MECHANISMS_MAX; i++) {
        name[0] = (char)('A' + i);
        sasl_mechanisms_add(&m, span_of(name), 0);
    }
    assert_int_equal(m.count, SASL_MECHANISMS_MAX);
}

static bool offered(const char *options, const char *filter, const char *name, unsigned properties)
{
    struct sasl_mechanisms m = {.count = 0};
    struct sasl_options o;
    struct errbuf err;

    assert_int_equal(sasl_options_parse(&o, span_of(options), &err), 0);
    assert_int_equal(sasl_filter_check(span_of(filter), &err), 0);
    assert_true(sasl_mechanisms_add(&m, span_of(name), properties));
    return sasl_may_offer(&m.items[0], &o, span_of(filter));
}

static void test_options(void **state)
{
    const char *all = "!external, static:rest";
    struct sasl_options o;
    struct errbuf err;

    assert_true(offered("", all, "PLAIN", SASL_PLAINTEXT));
    assert_true(offered("noanonymous", all, "PLAIN", SASL_PLAINTEXT));
    assert_false(offered("noanonymous", all, "ANONYMOUS", SASL_ANONYMOUS));
    assert_false(offered("noanonymous, NoPlainText", all, "PLAIN", SASL_PLAINTEXT));
    assert_true(offered("noplaintext", all, "CRAM-MD5", SASL_DICTIONARY | SASL_ACTIVE));
    assert_false(offered("nodictionary", all, "CRAM-MD5", SASL_DICTIONARY | SASL_ACTIVE));
    assert_false(offered("mutual_auth", all, "PLAIN", SASL_PLAINTEXT));
    assert_true(offered("mutual_auth", all, "X", SASL_MUTUAL_AUTH));
    assert_false(offered("mutual_auth forward_secrecy", all, "X", SASL_MUTUAL_AUTH));
    assert_false(offered("", all, "EXTERNAL", 0));
    assert_false(offered("", all, "DOVECOT-TOKEN", SASL_PRIVATE));
    assert_true(offered("", "plain", "PLAIN", 0));
    assert_false(offered("", "plain", "LOGIN", 0));
    assert_false(offered("", "", "PLAIN", 0));
    assert_false(offered("", "!static:x plain", "PLAIN", 0));
    assert_int_equal(sasl_options_parse(&o, SPAN_LIT("noanonymous nonsense"), &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"nonsense\""));
    assert_int_equal(sasl_filter_check(SPAN_LIT("plain hash:/etc/x"), &err), -EINVAL);
    assert_int_equal(sasl_filter_check(SPAN_LIT("/etc/x"), &err), -EINVAL);
}

static void test_path(void **state)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        uint16_t port;
        const char *file;
    } rows[] = {
        {"inet:dovecot:12345",       "dovecot",     12345, ""                 },
        {"INET:192.0.2.1:1",         "192.0.2.1",   1,     ""                 },
        {"inet:[2001:db8::1]:12345", "2001:db8::1", 12345, ""                 },
        {"unix:/run/dovecot/auth",   "",            0,     "/run/dovecot/auth"},
        {"/run/dovecot/auth",        "",            0,     "/run/dovecot/auth"},
        {"private/auth",             NULL,          0,     NULL               },
        {"smtpd",                    NULL,          0,     NULL               },
        {"unix:private/auth",        NULL,          0,     NULL               },
        {"inet:dovecot",             NULL,          0,     NULL               },
        {"inet:dovecot:0",           NULL,          0,     NULL               },
        {"inet:*:12345",             NULL,          0,     NULL               },
        {"inet::12345",              NULL,          0,     NULL               },
        {"",                         NULL,          0,     NULL               },
    };
    char longest[SASL_PATH_CAP + 2];
    struct sasl_path path;
    struct errbuf err;

    for (size_t i = 0; i < ROWS(rows); i++) {
        int rc = sasl_path_parse(span_of(rows[i].text), &path, &err);

        if ((rc == 0) != (rows[i].host != NULL))
            fail_msg("%s: %d", rows[i].text, rc);
        if (rc < 0)
            continue;
        assert_string_equal(path.host, rows[i].host);
        assert_string_equal(path.file, rows[i].file);
        assert_int_equal(path.port, rows[i].port);
    }
    memset(longest, '/', sizeof longest);
    assert_int_equal(sasl_path_parse(span_make(longest, SASL_PATH_CAP - 1), &path, &err), 0);
    assert_int_equal(sasl_path_parse(span_make(longest, SASL_PATH_CAP), &path, &err), -EINVAL);
}

#define DOMAIN SPAN_LIT("mx.example.com")

static const char *check(const struct sasl_users *users, const char *name, const char *password)
{
    const char *known;

    return sasl_users_check(users, DOMAIN, span_of(name), span_of(password), &known);
}

static void test_users(void **state)
{
    struct sasl_users users;
    struct errbuf err;
    const char *known;

    assert_int_equal(sasl_users_parse(&users,
                                      SPAN_LIT(" Ann:se:cret ,bob@example.org: blank\n, carl:x,"),
                                      DOMAIN, &err),
                     0);
    assert_int_equal(users.count, 3);
    assert_string_equal(check(&users, "ann", "se:cret"), "ann");
    assert_string_equal(check(&users, "ANN@MX.example.com", "se:cret"), "ann");
    assert_string_equal(check(&users, "bob@Example.org", " blank"), "bob@example.org");
    assert_null(check(&users, "bob", " blank"));
    assert_null(check(&users, "bob@example.org", "blank"));
    assert_null(check(&users, "ann", "se:cre"));
    assert_null(check(&users, "ann", "se:cretx"));
    assert_null(check(&users, "ann", "se:cretse:cret"));
    assert_null(check(&users, "ann", ""));
    assert_null(check(&users, "carl", "xx"));
    assert_null(check(&users, "", "se:cret"));
    assert_null(check(&users, "ann@example.org", "se:cret"));
    assert_null(sasl_users_check(&users, DOMAIN, SPAN_LIT("ann\0"), SPAN_LIT("se:cret"), &known));
    assert_null(sasl_users_check(&users, DOMAIN, SPAN_LIT("ann"), SPAN_LIT("x"), &known));
    assert_string_equal(known, "ann");
    assert_null(sasl_users_check(&users, DOMAIN, SPAN_LIT("eve"), SPAN_LIT("x"), &known));
    assert_null(known);
    sasl_users_free(&users);
    assert_int_equal(sasl_users_parse(&users, SPAN_LIT(""), DOMAIN, &err), 0);
    assert_int_equal(users.count, 0);
    assert_null(check(&users, "ann", ""));
}

/* The words tell of no secret. */
static void test_bad_users(void **state)
{
    static const char *const rows[] = {
        "hunter2",      "ann:hunter2,hunter3", ":hunter2",          "ann:",
        "an n:hunter2", "@x:hunter2",          "ann:hunter2,ANN:x", "a\x01:hunter2"};
    struct sasl_users users;
    struct errbuf err;

    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_int_equal(sasl_users_parse(&users, span_of(rows[i]), DOMAIN, &err), -EINVAL);
        assert_null(strstr(err.text, "hunter"));
        assert_null(users.items);
    }
}

static void test_kinds_of_ports(void **state)
{
    static const struct {
        const char *entry;
        bool wrapped, submission;
    } rows[] = {
        {"25",                   false, false},
        {"465:smtps",            true,  false},
        {"587:submission",       false, true },
        {"465:Submissions",      true,  true },
        {"[::1]:587:submission", false, true },
        {"*:465:submissions",    true,  true },
    };
    struct listen_list list;
    struct errbuf err;

    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_int_equal(listen_list_parse(&list, span_of(rows[i].entry), &err), 0);
        assert_int_equal(list.entries[0].wrapped, rows[i].wrapped);
        assert_int_equal(list.entries[0].submission, rows[i].submission);
        assert_int_equal(listen_list_narrow(&list, SPAN_LIT("127.0.0.1"), &err), 0);
        assert_int_equal(list.entries[0].wrapped, rows[i].wrapped);
        assert_int_equal(list.entries[0].submission, rows[i].submission);
    }
    assert_int_equal(listen_list_parse(&list, SPAN_LIT(":submission"), &err), -EINVAL);
    assert_int_equal(listen_list_parse(&list, SPAN_LIT("587:submission:smtps"), &err), -EINVAL);
    assert_string_equal(listen_kind(false, false), "");
    assert_string_equal(listen_kind(true, false), ":smtps");
    assert_string_equal(listen_kind(false, true), ":submission");
    assert_string_equal(listen_kind(true, true), ":submissions");
}

static void test_settings(void **state)
{
    const struct config *c = built_good(&built,
                                        "listen = 25, 587:submission\n"
                                        "smtpd_sasl_users = ann:$ecret$\n"
                                        "smtpd_sasl_path = inet:dovecot:12345\n",
                                        NULL);

    assert_int_equal(c->sasl, SASL_BACK_END_DOVECOT); /* it counts */
    assert_string_equal(c->sasl_users.items[0].password, "$ecret$");
    assert_int_equal(built.warnings, 1);
    built_free(&built);
    c = built_good(&built,
                   "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_users = ann:x\n"
                   "smtpd_sasl_type = cyrus\nsmtpd_sasl_path = smtpd\n",
                   NULL);
    assert_int_equal(c->sasl, SASL_BACK_END_USERS);
    built_expect(&built, "W smtpd_sasl_type=cyrus: there is no Cyrus SASL here, and "
                         "smtpd_sasl_path is ignored; set SMTPD_SASL_USERS, or "
                         "smtpd_sasl_type=dovecot");
    built_free(&built);
    built_good(&built, "", "SMTPD_SASL_USERS=ann:hunter2");
    built_expect(&built,
                 "W users are set, and there is no port where they can log in; set "
                 "LISTEN=25,587:submission (or smtpd_sasl_auth_enable=yes for port 25 too)");
    assert_null(strstr(built.notes, "hunter2"));
    built_free(&built);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),     cmocka_unit_test(test_plain),
        cmocka_unit_test(test_mechanisms), cmocka_unit_test(test_options),
        cmocka_unit_test(test_path),       cmocka_unit_test(test_users),
        cmocka_unit_test(test_bad_users),  cmocka_unit_test(test_kinds_of_ports),
        cmocka_unit_test(test_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
