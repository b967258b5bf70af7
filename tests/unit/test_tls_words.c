/* test_tls_words - protocols, grades, levels and fingerprints as Postfix writes them */
#include "config/tls_words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_protocols(void **state)
{
    static const struct {
        const char *list;
        unsigned min, max; /* 0: refused */
    } rows[] = {
        {"",                               0x0303, 0x0303},
        {">=TLSv1",                        0x0301, 0x0303},
        {">=TLSv1.1",                      0x0302, 0x0303},
        {">=TLSv1.2",                      0x0303, 0x0303},
        {">=tlsv1.2",                      0x0303, 0x0303},
        {">=0x0303",                       0x0303, 0x0303},
        {">=SSLv3 <=TLSv1.1",              0x0301, 0x0302},
        {"<=TLSv1",                        0x0301, 0x0301},
        {"<=0x0302",                       0x0301, 0x0302},
        {"!SSLv2, !SSLv3",                 0x0303, 0x0303},
        {"!SSLv2,!SSLv3,!TLSv1,!TLSv1.1",  0x0303, 0x0303},
        {"!SSLv2 !SSLv3 !TLSv1",           0x0303, 0x0303},
        {"!SSLv2:!SSLv3:!TLSv1",           0x0303, 0x0303},
        {"!TLSv1.3",                       0x0303, 0x0303},
        {"TLSv1.2 TLSv1.1",                0x0302, 0x0303},
        {"TLSv1.2",                        0x0303, 0x0303},
        {"TLSv1.2, TLSv1.3",               0x0303, 0x0303},
        {"TLSv1",                          0x0301, 0x0301},
        {"SSLv3 TLSv1",                    0x0301, 0x0301},
        {"TLSv1 TLSv1.2",                  0x0303, 0x0303},
        {"!TLSv1.1",                       0x0303, 0x0303},
        {"TLSv1 TLSv1.1 TLSv1.2 !TLSv1.2", 0x0301, 0x0302},
        {"TLSv1.3",                        0,      0     },
        {">=TLSv1.3",                      0,      0     },
        {"!TLSv1 !TLSv1.1 !TLSv1.2",       0,      0     },
        {"SSLv3",                          0,      0     },
        {"TLSv1.2 TLSv9",                  0,      0     },
        {"!",                              0,      0     },
        {">=",                             0,      0     },
        {"0x",                             0,      0     },
        {"0x9999",                         0,      0     },
        {"0x03033",                        0,      0     },
        {"0xzz",                           0,      0     },
        {">TLSv1.2",                       0,      0     },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct errbuf err = {""};
        struct tls_protocols p = {0};
        int rc = tls_protocols_parse(span_of(rows[i].list), &p, &err);

        if (rc != (rows[i].min ? 0 : -EINVAL) || p.min != rows[i].min || p.max != rows[i].max)
            fail_msg("\"%s\": %d, %x to %x (%s)", rows[i].list, rc, p.min, p.max, err.text);
        assert_true(rc == 0 || err.text[0]);
    }
}

static void test_ciphers(void **state)
{
    struct errbuf err = {""};
    bool medium = true;

    assert_int_equal(tls_ciphers_parse(SPAN_LIT("high"), &medium, &err), 0);
    assert_false(medium);
    assert_int_equal(tls_ciphers_parse(SPAN_LIT("Medium"), &medium, &err), 0);
    assert_true(medium);
    assert_int_equal(tls_ciphers_parse(SPAN_LIT("export"), &medium, &err), 0);
    assert_true(medium);
    assert_int_equal(tls_ciphers_parse(SPAN_LIT("HIGH:!aNULL"), &medium, &err), -EINVAL);
    assert_non_null(strstr(err.text, "HIGH:!aNULL"));
    assert_int_equal(tls_ciphers_parse(SPAN_LIT(""), &medium, &err), -EINVAL);
}

static void test_levels(void **state)
{
    static const char *const refused[] = {"dane", "DANE-only", "half-dane", "yes", "mayb", "may "};
    struct errbuf err = {""};
    enum tls_level level;

    for (int i = TLS_LEVEL_NONE; i <= TLS_LEVEL_SECURE; i++) {
        const char *word = tls_level_word((enum tls_level)i);

        assert_int_equal(tls_level_parse(span_of(word), &level, &err), 0);
        assert_int_equal(level, i);
    }
    assert_int_equal(tls_level_parse(SPAN_LIT(""), &level, &err), 0);
    assert_int_equal(level, TLS_LEVEL_NONE);
    assert_int_equal(tls_level_parse(SPAN_LIT("ENCRYPT"), &level, &err), 0);
    assert_int_equal(level, TLS_LEVEL_ENCRYPT);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(tls_level_parse(span_of(refused[i]), &level, &err), -EINVAL);
        assert_int_equal(level, TLS_LEVEL_NONE);
    }
}

#define DIGITS                                                                                     \
    "00112233445566778899aabbccddeeff"                                                             \
    "00112233445566778899AABBCCDDEEFF"
#define PAIRS                                                                                      \
    "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:"                                             \
    "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"

static void test_fingerprints(void **state)
{
    static const char *const refused[] = {
        "",
        "0",
        "001122",
        PAIRS ":",
        ":" PAIRS,
        DIGITS "0",
        DIGITS "00",
        "g" DIGITS,
        "0:0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF",
        "00::112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF",
    };
    unsigned char out[TLS_FINGERPRINT_LEN], same[TLS_FINGERPRINT_LEN];
    struct errbuf err = {""};

    assert_int_equal(tls_fingerprint_parse(SPAN_LIT(DIGITS), out, &err), 0);
    assert_int_equal(tls_fingerprint_parse(SPAN_LIT(PAIRS), same, &err), 0);
    assert_memory_equal(out, same, sizeof out);
    for (size_t i = 0; i < sizeof out; i++)
        assert_int_equal(out[i], i % 16 * 17);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_int_equal(tls_fingerprint_parse(span_of(refused[i]), out, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_protocols),
        cmocka_unit_test(test_ciphers),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_fingerprints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
