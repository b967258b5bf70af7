/* Tests of net/dns_cache: how long answers are kept, which go first, memory. */
#include "net/dns_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct dns_cache cache;

static int teardown(void **state)
{
    dns_cache_free(&cache);
    assert_null(cache.entries);
    return 0;
}

static void keep(enum dns_question question, const char *name, enum dns_found found, uint64_t now)
{
    struct dns_answer answer = {.found = found};

    dns_cache_keep(&cache, question, name, &answer, now);
}

static bool is_known(enum dns_question question, const char *name, uint64_t now)
{
    return dns_cache_find(&cache, question, name, now) != NULL;
}

static void test_kept_for_a_minute(void **state)
{
    keep(DNS_MAIL_HOST, "Example.ORG", DNS_NONE, 1000);
    assert_int_equal(dns_cache_find(&cache, DNS_MAIL_HOST, "example.org", 60999)->found, DNS_NONE);
    assert_false(is_known(DNS_ADDRESS, "example.org", 1000)); /* another question */
    assert_false(is_known(DNS_MAIL_HOST, "example.or", 1000));
    assert_false(is_known(DNS_MAIL_HOST, "example.org", 61000));
    assert_null(cache.entries);
}

static void test_trouble_passes_sooner(void **state)
{
    keep(DNS_ADDRESS, "x.example", DNS_TROUBLE, 0);
    assert_true(is_known(DNS_ADDRESS, "x.example", 9999));
    assert_false(is_known(DNS_ADDRESS, "x.example", 10000));
}

static void test_newer_answer_counts(void **state)
{
    keep(DNS_TEXT, "x.example", DNS_TROUBLE, 0);
    keep(DNS_TEXT, "x.example", DNS_FOUND, 5000);
    assert_int_equal(dns_cache_find(&cache, DNS_TEXT, "x.example", 64999)->found, DNS_FOUND);
}

static void test_oldest_goes_first(void **state)
{
    char name[40];

    for (unsigned i = 0; i <= DNS_CACHE_MAX; i++) {
        snprintf(name, sizeof name, "x%u.example", i);
        keep(DNS_ADDRESS, name, DNS_NONE, i);
    }
    assert_false(is_known(DNS_ADDRESS, "x0.example", DNS_CACHE_MAX));
    assert_true(is_known(DNS_ADDRESS, "x1.example", DNS_CACHE_MAX));
    assert_true(is_known(DNS_ADDRESS, name, DNS_CACHE_MAX));
}

static void test_name_that_is_too_long(void **state)
{
    char name[400];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    keep(DNS_ADDRESS, name, DNS_NONE, 0);
    assert_null(cache.entries);
    assert_false(is_known(DNS_ADDRESS, name, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_kept_for_a_minute, teardown),
        cmocka_unit_test_teardown(test_trouble_passes_sooner, teardown),
        cmocka_unit_test_teardown(test_newer_answer_counts, teardown),
        cmocka_unit_test_teardown(test_oldest_goes_first, teardown),
        cmocka_unit_test_teardown(test_name_that_is_too_long, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
