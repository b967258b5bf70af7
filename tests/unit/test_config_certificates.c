/* test_config_certificates - the settings that name certificate files, as far as their words go */
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void defaults(void **state)
{
    struct built b = {.overrides = NULL};
    struct config *c = built_good(&b, "", NULL);

    assert_string_equal(c->smtpd_tls_chain_files, "");
    assert_string_equal(c->smtpd_tls_cert_file, "");
    assert_string_equal(c->smtpd_tls_key_file, "");
    assert_int_equal(c->sni.count, 0);
    assert_int_equal(c->tls_reload_interval, 60000);
    assert_int_equal(c->tls_expiry_warning, INT64_C(14) * 86400000);
    assert_int_equal(b.warnings, 0);
    built_free(&b);
}

static void one_file_for_both(void **state)
{
    struct built b = {.overrides = NULL};
    struct config *c = built_good(&b,
                                  "smtpd_tls_cert_file = /etc/ssl/mx.pem\n"
                                  "smtpd_tls_eccert_file = /etc/ssl/ec.pem\n",
                                  NULL);

    assert_string_equal(c->smtpd_tls_key_file, "/etc/ssl/mx.pem");
    assert_string_equal(c->smtpd_tls_eckey_file, "/etc/ssl/ec.pem");
    assert_int_equal(b.warnings, 0);
    built_free(&b);
}

static void names(void **state)
{
    struct built b = {.overrides = NULL};
    struct config *c = built_good(
        &b, "", "POSTFIX_tls_server_sni_maps=inline:{ .b.example=/b.pem a.example=/a.pem }");

    assert_int_equal(c->sni.count, 2);
    assert_string_equal(c->sni.entries[0].name, ".b.example");
    assert_string_equal(c->sni.entries[0].files, "/b.pem");
    built_free(&b);
}

static void expect_refused(const char *line, const char *note)
{
    struct built b = {.overrides = NULL};
    char ini[500] = CONFIG_MINIMUM;

    strcat(ini, line);
    built_from(&b, ini, NULL);
    assert_int_equal(b.rc, -EINVAL);
    assert_int_equal(b.errors, 1);
    built_expect(&b, note);
    built_free(&b);
}

static void what_is_refused(void **state)
{
    expect_refused("smtpd_tls_cert_file = mx.pem\n",
                   "E mxgate.ini line 3: smtpd_tls_cert_file \"mx.pem\" is no absolute path; write "
                   "/etc/ssl/mx.example.com.pem");
    expect_refused("smtpd_tls_chain_files = /a.pem, b.pem\n",
                   "E mxgate.ini line 3: smtpd_tls_chain_files \"/a.pem, b.pem\" cannot be used: "
                   "\"b.pem\" is no absolute path; write /etc/ssl/mx.example.com.pem");
    expect_refused("tls_server_sni_maps = hash:/etc/postfix/sni\n",
                   "E mxgate.ini line 3: tls_server_sni_maps \"hash:/etc/postfix/sni\" cannot be "
                   "used: \"hash:/etc/postfix/sni\" is a table that mxgate does not read; write "
                   "inline:{ mx.example.net=/etc/ssl/mx.example.net.pem }");
}

static void what_is_hardly_meant(void **state)
{
    struct built b = {.overrides = NULL};

    built_good(&b, "smtpd_tls_key_file = /k.pem\n", NULL);
    built_expect(&b, "W smtpd_tls_key_file is set and smtpd_tls_cert_file is not: the key is not "
                     "used; set smtpd_tls_cert_file too");
    built_free(&b);
    built_good(&b, "smtpd_tls_chain_files = /k.pem\nsmtpd_tls_cert_file = /k.pem\n", NULL);
    built_expect(&b, "W smtpd_tls_chain_files is set: smtpd_tls_cert_file and its like are not "
                     "used, as in Postfix; remove them");
    built_free(&b);
    built_good(&b, "smtpd_tls_cert_file = none\nsmtpd_tls_chain_files = none\n", NULL);
    assert_int_equal(b.warnings, 0);
    built_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(one_file_for_both),
        cmocka_unit_test(names),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(what_is_hardly_meant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
