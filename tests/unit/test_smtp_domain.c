/* Tests of smtp/domain: names as in HELO, address literals, PTR names, UTF-8. */
#include "smtp/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum {
    HOST = 1,
    NAME = 2,
    UTF8 = 4
}; /* valid as a PTR name, a HELO name, a HELO name with SMTPUTF8 */

struct row {
    struct span text;
    int valid;
};

static const struct row rows[] = {
    {SPAN_LIT("localhost"),                    HOST | NAME | UTF8},
    {SPAN_LIT("mail.example.org"),             HOST | NAME | UTF8},
    {SPAN_LIT("MAIL.Example.Org"),             HOST | NAME | UTF8},
    {SPAN_LIT("1.2.3.4"),                      NAME | UTF8       },
    {SPAN_LIT("a-b.-c-.x--y"),                 HOST | NAME | UTF8},
    {SPAN_LIT("xn--bcher-kva.example"),        HOST | NAME | UTF8},
    {SPAN_LIT("a."),                           NAME | UTF8       },
    {SPAN_LIT("WIN_DESKTOP"),                  HOST | NAME | UTF8},
    {SPAN_LIT("_dmarc.a_b.example"),           HOST | NAME | UTF8},
    {SPAN_LIT("2130707222"),                   NAME | UTF8       },
    {SPAN_LIT("127.1"),                        NAME | UTF8       },
    {SPAN_LIT("a.b.3"),                        NAME | UTF8       },
    {SPAN_LIT("a.-_3"),                        NAME | UTF8       },
    {SPAN_LIT("1.2.3.4."),                     NAME | UTF8       },
    {SPAN_LIT("4.3.2.1.in-addr.arpa"),         HOST | NAME | UTF8},
    {SPAN_LIT("3com"),                         HOST | NAME | UTF8},
    {SPAN_LIT("b\xc3\xbc"
              "cher.example"),
     UTF8                                                        },
    {SPAN_LIT("b\xc3.example"),                0                 },
    {SPAN_LIT("\xc2\x9b"
              "2J.example"),
     0                                                           },
    {SPAN_LIT(""),                             0                 },
    {SPAN_LIT("."),                            0                 },
    {SPAN_LIT(".."),                           0                 },
    {SPAN_LIT("a.."),                          0                 },
    {SPAN_LIT(".a"),                           0                 },
    {SPAN_LIT("a..b"),                         0                 },
    {SPAN_LIT("a b"),                          0                 },
    {SPAN_LIT(" a"),                           0                 },
    {SPAN_LIT("a\0"),                          0                 },
    {SPAN_LIT("a\0.example"),                  0                 },
    {SPAN_LIT("a\n"),                          0                 },
    {SPAN_LIT("a\x1b[1m"),                     0                 },
    {SPAN_LIT("a/b"),                          0                 },
    {SPAN_LIT("a\\032b"),                      0                 },
    {SPAN_LIT("a:25"),                         0                 },
    {SPAN_LIT("a,b"),                          0                 },
    {SPAN_LIT("(a)"),                          0                 },
    {SPAN_LIT("*.example"),                    0                 },
    {SPAN_LIT("a@b"),                          0                 },
 /* literals */
    {SPAN_LIT("[0.0.0.0]"),                    NAME | UTF8       },
    {SPAN_LIT("[255.255.255.255]"),            NAME | UTF8       },
    {SPAN_LIT("[256.1.1.1]"),                  0                 },
    {SPAN_LIT("[1.1.1.0256]"),                 0                 },
    {SPAN_LIT("[1.1.1]"),                      0                 },
    {SPAN_LIT("[1.1.1.1.1]"),                  0                 },
    {SPAN_LIT("[1.1.1.]"),                     0                 },
    {SPAN_LIT("[.1.1.1]"),                     0                 },
    {SPAN_LIT("[1..1.1]"),                     0                 },
    {SPAN_LIT("[ 1.1.1.1]"),                   0                 },
    {SPAN_LIT("[1.1.1.1] "),                   0                 },
    {SPAN_LIT("[1.1.1.1"),                     0                 },
    {SPAN_LIT("["),                            0                 },
    {SPAN_LIT("[]"),                           0                 },
    {SPAN_LIT("]"),                            0                 },
    {SPAN_LIT("[mail.example.org]"),           0                 },
    {SPAN_LIT("[IPv6:1:2:3:4:5:6:7:8]"),       NAME | UTF8       },
    {SPAN_LIT("[IPV6:2001:DB8::Ff00]"),        NAME | UTF8       },
    {SPAN_LIT("[IPv6:::]"),                    NAME | UTF8       },
    {SPAN_LIT("[IPv6:::1]"),                   NAME | UTF8       },
    {SPAN_LIT("[IPv6:1::]"),                   NAME | UTF8       },
    {SPAN_LIT("[IPv6:1:2:3:4:5:6:7::]"),       NAME | UTF8       },
    {SPAN_LIT("[IPv6:::ffff:1.2.3.4]"),        NAME | UTF8       },
    {SPAN_LIT("[IPv6:1:2:3:4:5:6:1.2.3.4]"),   NAME | UTF8       },
    {SPAN_LIT("[IPv6:]"),                      0                 },
    {SPAN_LIT("[IPv6::]"),                     0                 },
    {SPAN_LIT("[IPv6::::]"),                   0                 },
    {SPAN_LIT("[IPv6:1:2:3:4:5:6:7]"),         0                 },
    {SPAN_LIT("[IPv6:1:2:3:4:5:6:7:8:9]"),     0                 },
    {SPAN_LIT("[IPv6:1:2:3:4:5:6:7:8::]"),     0                 },
    {SPAN_LIT("[IPv6:1::2::3]"),               0                 },
    {SPAN_LIT("[IPv6::1:2:3:4:5:6:7:8]"),      0                 },
    {SPAN_LIT("[IPv6:1:2:3:4:5:6:7:]"),        0                 },
    {SPAN_LIT("[IPv6:12345::]"),               0                 },
    {SPAN_LIT("[IPv6:g::]"),                   0                 },
    {SPAN_LIT("[IPv6:1.2.3.4]"),               0                 },
    {SPAN_LIT("[IPv6:1.2.3.4::]"),             0                 },
    {SPAN_LIT("[IPv6:1:2:3:4:5:6:7:1.2.3.4]"), 0                 },
    {SPAN_LIT("[IPv6:fe80::1%eth0]"),          0                 },
    {SPAN_LIT("[::1]"),                        0                 },
    {SPAN_LIT("[x400:abc]"),                   0                 },
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        int valid = (smtp_domain_is_hostname(rows[i].text) ? HOST : 0) |
                    (smtp_domain_valid(rows[i].text, false) ? NAME : 0) |
                    (smtp_domain_valid(rows[i].text, true) ? UTF8 : 0);

        if (valid != rows[i].valid)
            print_error("%.*s\n", (int)rows[i].text.len, rows[i].text.ptr);
        assert_int_equal(valid, rows[i].valid);
    }
}

static void test_limits(void **state)
{
    char name[260];

    memset(name, 'a', sizeof name);
    assert_true(smtp_domain_valid(span_make(name, 62), false));
    assert_true(smtp_domain_valid(span_make(name, 63), false));
    assert_false(smtp_domain_valid(span_make(name, 64), false));
    assert_false(smtp_domain_is_hostname(span_make(name, 64)));
    for (size_t at = 50; at < sizeof name; at += 50)
        name[at] = '.';
    assert_true(smtp_domain_valid(span_make(name, 254), false));
    assert_true(smtp_domain_valid(span_make(name, 255), false));
    assert_false(smtp_domain_valid(span_make(name, 256), false));
    name[255] = '.'; /* one trailing dot does not count */
    assert_true(smtp_domain_valid(span_make(name, 256), false));
    memset(name, 'a', sizeof name);
    memcpy(name, "\xc3\xbc", 2); /* what 63 bytes would be is known only in punycode */
    assert_true(smtp_domain_valid(span_make(name, 64), true));
    assert_false(smtp_domain_valid(span_make(name, 256), true));
}

struct utf8_row {
    struct span text;
    bool valid;
    bool printable;
};

static const struct utf8_row utf8_rows[] = {
    {SPAN_LIT(""),                     true,  true },
    {SPAN_LIT("abc\x7f"),              true,  true },
    {SPAN_LIT("\xc2\x80"),             true,  false},
    {SPAN_LIT("a\xc2\x9f"),            true,  false},
    {SPAN_LIT("\xc2\xa0"),             true,  true },
    {SPAN_LIT("\xdf\xbf"),             true,  true },
    {SPAN_LIT("\xe0\xa0\x80"),         true,  true },
    {SPAN_LIT("\xed\x9f\xbf"),         true,  true },
    {SPAN_LIT("\xee\x80\x80"),         true,  true },
    {SPAN_LIT("\xef\xbf\xbf"),         true,  true },
    {SPAN_LIT("\xf0\x90\x80\x80"),     true,  true },
    {SPAN_LIT("\xf4\x8f\xbf\xbf"),     true,  true },
    {SPAN_LIT("\x80"),                 false, false},
    {SPAN_LIT("\xc0\x80"),             false, false},
    {SPAN_LIT("\xc1\xbf"),             false, false},
    {SPAN_LIT("\xc2"),                 false, false},
    {SPAN_LIT("\xc2\x41"),             false, false},
    {SPAN_LIT("\xc2\xc2"),             false, false},
    {SPAN_LIT("\xe0\x9f\xbf"),         false, false},
    {SPAN_LIT("\xe1\x80"),             false, false},
    {SPAN_LIT("\xe1\x80\x41"),         false, false},
    {SPAN_LIT("\xed\xa0\x80"),         false, false},
    {SPAN_LIT("\xed\xbf\xbf"),         false, false},
    {SPAN_LIT("\xf0\x8f\xbf\xbf"),     false, false},
    {SPAN_LIT("\xf1\x80\x80"),         false, false},
    {SPAN_LIT("\xf4\x90\x80\x80"),     false, false},
    {SPAN_LIT("\xf5\x80\x80\x80"),     false, false},
    {SPAN_LIT("\xf8\x88\x80\x80\x80"), false, false},
    {SPAN_LIT("\xff"),                 false, false},
};

static void test_utf8(void **state)
{
    for (size_t i = 0; i < COUNT(utf8_rows); i++) {
        assert_int_equal(smtp_utf8_valid(utf8_rows[i].text), utf8_rows[i].valid);
        assert_int_equal(smtp_utf8_printable(utf8_rows[i].text), utf8_rows[i].printable);
    }
}

/* Every code point in its only form is valid; every other sequence of up to three bytes is not. */
static void test_utf8_all_short_sequences(void **state)
{
    unsigned valid[4] = {0, 0, 0, 0};

    for (unsigned n = 0; n < 1u << 24; n++) {
        char s[3] = {(char)(n >> 16), (char)(n >> 8), (char)n};

        if (n < 1u << 8)
            valid[1] += smtp_utf8_valid(span_make(s + 2, 1));
        if (n < 1u << 16 && (s[1] & 0x80) && (s[2] & 0x80))
            valid[2] += smtp_utf8_valid(span_make(s + 1, 2));
        if ((s[0] & 0x80) && (s[1] & 0x80) && (s[2] & 0x80))
            valid[3] += smtp_utf8_valid(span_make(s, 3));
    }
    assert_int_equal(valid[1], 128);
    assert_int_equal(valid[2], 0x800 - 0x80);
    assert_int_equal(valid[3], 0x10000 - 0x800 - 0x800); /* without the surrogates */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_utf8_all_short_sequences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
