/* test_config_memory - every allocation of src/config fails in turn: -ENOMEM, nothing leaked,
 * nothing kept */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static long allocations_left = -1; /* before one fails; negative: none fails */

static bool allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *test_allocate(size_t size)
{
    return allocation_fails() ? NULL : malloc(size);
}

static void *test_allocate_zeroed(size_t count, size_t size)
{
    return allocation_fails() ? NULL : calloc(count, size);
}

static void *test_reallocate(void *old, size_t size)
{
    return allocation_fails() ? NULL : realloc(old, size);
}

static char *test_duplicate(const char *text)
{
    return allocation_fails() ? NULL : strdup(text);
}

/* The files that allocate, built a second time; the library's own copies are then not linked. */
#undef malloc
#undef calloc
#undef realloc
#undef strdup
#define malloc      test_allocate
#define calloc      test_allocate_zeroed
#define realloc     test_reallocate
#define strdup      test_duplicate
#define count_words cidr_count_words
#include "config/cidr.c"
#undef count_words
#include "config/config.c"
#include "config/config_value.c"
#include "config/domains.c"
#define bad bad_login
#include "config/relay_login.c"
#undef bad
#undef EXAMPLE
#undef SHOWN_MAX
#define compare compare_routes
#include "config/transport_map.c"
#undef compare

static unsigned errors;

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    errors += kind == CONFIG_NOTE_ERROR;
}

static int build_failing(long fail_at, struct config **config_out)
{
    static const char *const environment[] = {
        "ALLOWED_DOMAINS=b.example",
        "HOSTNAME=mx",
        "DOMAIN=example.com",
        "POSTFIX_smtpd_banner=$myhostname",
        "MYNETWORKS=10.0.0.0/8",
        "POSTFIX_mail_name=",
        "SMTP_SASL_AUTH_ENABLE=yes",
        "SMTP_SASL_PASSWORD_MAPS=static:ann:secret",
        "POSTFIX_smtp_header_checks=regexp:/x",
        "TRANSPORT_MAPS=inline:{d.example=lmtp:y b.example=lmtp:z,b.example=lmtp:x}",
        NULL,
    };
    static const char ini[] = "relay_transport = lmtp:x\nmail_name = y\nrelay_domains = a.example\n"
                              " .c.example\nrelay_domains = d.example\n"
                              "[transport]\nb.example = lmtp:z\n";
    static const char overrides[] = "listen = 2525\nmail_name\nsyslog_name = x\n";
    struct config_source source = {.ini_text = ini,
                                   .ini_name = "mxgate.ini",
                                   .environment = environment,
                                   .overrides_text = overrides,
                                   .overrides_name = "overrides"};
    int rc;

    errors = 0;
    allocations_left = fail_at;
    rc = config_build(&source, on_note, NULL, config_out);
    allocations_left = -1;
    return rc;
}

static void test_build(void **state)
{
    struct config *c;
    long fail_at = 0;

    while (build_failing(fail_at, &c) == -ENOMEM) {
        assert_null(c);
        assert_int_equal(errors, 0);
        fail_at++;
    }
    assert_in_range(fail_at, SETTING_AT_COUNT, 10000);
    assert_non_null(c);
    assert_string_equal(c->myhostname, "mx.example.com");
    config_unref(&c);
}

static void test_lists(void **state)
{
    for (long fail_at = 0; fail_at < 3; fail_at++) {
        struct domain_list domains;
        struct errbuf err = {""};

        allocations_left = fail_at;
        assert_int_equal(domain_list_parse(&domains, SPAN_LIT("a.example b.example"), &err),
                         -ENOMEM);
        assert_string_equal(err.text, "out of memory");
        assert_null(domains.names);
    }
    {
        struct cidr_list blocks;
        struct errbuf err = {""};

        allocations_left = 0;
        assert_int_equal(cidr_list_parse(&blocks, SPAN_LIT("10.0.0.1"), &err), -ENOMEM);
        assert_string_equal(err.text, "out of memory");
        assert_null(blocks.blocks);
    }
    allocations_left = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
