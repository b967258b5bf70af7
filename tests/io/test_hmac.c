/* test_hmac - HMAC-SHA256 of RFC 4231, and what the filter hash makes of an address with it */
#include "observe/log_mask.h"
#include "tls/hmac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(struct span key, struct span text, const char *want)
{
    unsigned char digest[HMAC_SHA256_LEN];
    char hex[2 * HMAC_SHA256_LEN + 1];
    struct text t;

    hmac_sha256(key, text, digest);
    text_init(&t, hex, sizeof hex);
    for (size_t i = 0; i < sizeof digest; i++)
        text_printf(&t, "%02x", digest[i]);
    assert_string_equal(hex, want);
}

static void test_rfc4231(void **state)
{
    char key[131];

    memset(key, 0x0b, 20);
    expect(span_make(key, 20), SPAN_LIT("Hi There"),
           "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    expect(SPAN_LIT("Jefe"), SPAN_LIT("what do ya want for nothing?"),
           "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    expect(span_make(key, sizeof key),
           SPAN_LIT("Test Using Larger Than Block-Size Key - Hash Key First"),
           "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void expect_mask(const char *setting, const char *address, const char *want)
{
    struct log_mask m = {.hmac = hmac_sha256};
    struct errbuf err;
    char buf[256];
    struct text t;

    assert_int_equal(anonymize_parse(&m.how, span_of(setting), &err), 0);
    text_init(&t, buf, sizeof buf);
    log_mask_address(&m, span_of(address), &t);
    assert_string_equal(buf, want);
}

/* The examples in the README of boky/postfix, so that logs of before and after can be compared. */
static void test_addresses(void **state)
{
    expect_mask("hash?salt=hello%20world", "prettyandsimple@example.com",
                "3052a860ddfde8b50e39843d8f1c9f591bec442823d97948b811d38779e2c757");
    expect_mask("hash?salt=hello%20world&split=true&short_sha=t&prefix=&suffix=",
                "prettyandsimple@example.com", "c58731d3@8bd7a35c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4231),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
