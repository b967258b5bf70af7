/* test_config_peer_list - clients by address and name, and INBOUND_DEBUGGING, which is one list */
#include "config/peer_list.h"
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool has_address(const struct peer_list *list, const char *text)
{
    unsigned char address[16];

    assert_true(cidr_address_parse(span_of(text), address));
    return peer_list_match_address(list, address);
}

static void test_matches(void **state)
{
    struct peer_list list;
    struct errbuf err;

    assert_int_equal(peer_list_parse(&list,
                                     SPAN_LIT("192.0.2.0/24, 198.51.100.7 example.com\n"
                                              "[2001:db8::]/32,.example.net 1and1.example"),
                                     &err),
                     0);
    assert_true(has_address(&list, "192.0.2.9"));
    assert_true(has_address(&list, "198.51.100.7"));
    assert_true(has_address(&list, "2001:db8::1"));
    assert_false(has_address(&list, "198.51.100.8"));
    assert_true(peer_list_match_name(&list, SPAN_LIT("example.com")));
    assert_true(peer_list_match_name(&list, SPAN_LIT("a.b.Example.COM")));
    assert_true(peer_list_match_name(&list, SPAN_LIT("1and1.example")));
    assert_true(peer_list_match_name(&list, SPAN_LIT("a.example.net")));
    assert_false(peer_list_match_name(&list, SPAN_LIT("example.net")));
    assert_false(peer_list_match_name(&list, SPAN_LIT("notexample.com")));
    assert_false(peer_list_match_name(&list, SPAN_LIT("com")));
    assert_false(peer_list_match_name(&list, SPAN_LIT("unknown")));
    assert_false(peer_list_match_name(&list, SPAN_LIT("")));
    peer_list_free(&list);
}

static void test_empty_matches_nobody(void **state)
{
    struct peer_list list;
    struct errbuf err;

    assert_int_equal(peer_list_parse(&list, SPAN_LIT(" , "), &err), 0);
    assert_false(has_address(&list, "127.0.0.1"));
    assert_false(peer_list_match_name(&list, SPAN_LIT("localhost")));
    peer_list_free(&list);
}

static void test_refused(void **state)
{
    static const char *const rows[] = {"192.0.2.1/24", "300.1.1.1",    "example..com", "!192.0.2.1",
                                       "hash:/etc/x",  "192.0.2.0/33", "a@example.com"};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct peer_list list;
        struct errbuf err = {""};

        assert_int_equal(peer_list_parse(&list, span_of(rows[i]), &err), -EINVAL);
        assert_string_not_equal(err.text, "");
    }
}

static void test_inbound_debugging(void **state)
{
    struct built b;

    built_good(&b, "mynetworks = 192.0.2.0/24\n", "INBOUND_DEBUGGING=1");
    built_expect(&b, "A Applying custom postfix setting: debug_peer_list=$mynetworks");
    assert_string_equal(b.config->debug_peer_list, "192.0.2.0/24");
    assert_true(has_address(&b.config->debugged, "192.0.2.9"));
    built_free(&b);
    built_good(&b, "", "INBOUND_DEBUGGING=anything");
    assert_true(has_address(&b.config->debugged, "127.0.0.1"));
    built_free(&b);
    built_good(&b, "", "INBOUND_DEBUGGING=no");
    assert_false(has_address(&b.config->debugged, "127.0.0.1"));
    built_free(&b);
    built_good(&b, "", "INBOUND_DEBUGGING=");
    assert_false(has_address(&b.config->debugged, "127.0.0.1"));
    built_free(&b);
    built_good(&b, "", "INBOUND_DEBUGGING=1\nDEBUG_PEER_LIST=example.com");
    assert_string_equal(b.config->debug_peer_list, "example.com");
    built_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_empty_matches_nobody),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_inbound_debugging),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
