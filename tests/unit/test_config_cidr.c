/* test_config_cidr - address blocks, and addresses to listen on */
#include "config/cidr.h"
#include "config/listen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static void test_match(void **state)
{
    static const struct {
        const char *list;
        const char *address;
        bool want;
    } rows[] = {
        {"192.0.2.0/24",            "192.0.2.0",        true },
        {"192.0.2.0/24",            "192.0.2.255",      true },
        {"192.0.2.0/24",            "192.0.1.255",      false},
        {"192.0.2.0/24",            "192.0.3.0",        false},
        {"192.0.2.0/24",            "::ffff:192.0.2.7", true },
        {"192.0.2.0/24",            "::192.0.2.7",      false},
        {"192.0.2.1",               "192.0.2.1",        true },
        {"192.0.2.1",               "192.0.2.0",        false},
        {"192.0.2.1/32",            "192.0.2.2",        false},
        {"[192.0.2.1]",             "192.0.2.1",        true },
        {"192.0.2.128/25",          "192.0.2.128",      true },
        {"192.0.2.128/25",          "192.0.2.127",      false},
        {"192.0.2.64/26",           "192.0.2.127",      true },
        {"192.0.2.64/26",           "192.0.2.128",      false},
        {"128.0.0.0/1",             "128.0.0.0",        true },
        {"128.0.0.0/1",             "127.255.255.255",  false},
        {"0.0.0.0/0",               "203.0.113.1",      true },
        {"0.0.0.0/0",               "2001:db8::1",      false},
        {"127.0.0.0/8 [::1]/128",   "127.0.0.1",        true },
        {"127.0.0.0/8 [::1]/128",   "::1",              true },
        {"127.0.0.0/8 [::1]/128",   "::2",              false},
        {"127.0.0.0/8,\n[::1]/128", "128.0.0.1",        false},
        {"2001:db8::/32",           "2001:db8:ffff::1", true },
        {"[2001:db8::]/32",         "2001:db8::",       true },
        {"[2001:db8::]/32",         "2001:db9::",       false},
        {"[2001:db8::]/33",         "2001:db8:7fff::",  true },
        {"[2001:db8::]/33",         "2001:db8:8000::",  false},
        {"2001:db8::1",             "2001:db8::1",      true },
        {"[2001:db8::1]",           "2001:db8::2",      false},
        {"2001:db8::2/127",         "2001:db8::3",      true },
        {"2001:db8::2/127",         "2001:db8::1",      false},
        {"::/0",                    "2001:db8::1",      true },
        {"::/0",                    "::1",              true },
        {"::/0",                    "192.0.2.1",        false},
        {"::ffff:0:0/96",           "192.0.2.1",        true },
        {"::ffff:192.0.2.0/120",    "192.0.2.1",        true },
        {"::ffff:192.0.2.0/120",    "192.0.3.1",        false},
        {"",                        "127.0.0.1",        false},
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct cidr_list list;
        struct errbuf err = {""};
        unsigned char address[16];

        assert_true(cidr_address_parse(span_of(rows[i].address), address));
        if (cidr_list_parse(&list, span_of(rows[i].list), &err) != 0)
            fail_msg("row %zu \"%s\": %s", i, rows[i].list, err.text);
        if (cidr_list_match(&list, address) != rows[i].want)
            fail_msg("row %zu: \"%s\" and %s", i, rows[i].list, rows[i].address);
        cidr_list_free(&list);
        assert_null(list.blocks);
    }
}

static void test_bad(void **state)
{
    static const struct {
        const char *list;
        const char *error;
    } rows[] = {
        {"192.0.2.0/33",          "\"192.0.2.0/33\" is not an address or network; write"               },
        {"[2001:db8::]/129",      "is not an address or network"                                       },
        {"192.0.2.0/",            "\"192.0.2.0/\" is not"                                              },
        {"192.0.2.0/-1",          "is not"                                                             },
        {"192.0.2.0/2x",          "is not"                                                             },
        {"192.0.2.0/24/24",       "is not"                                                             },
        {"/24",                   "\"/24\" is not"                                                     },
        {"192.0.2",               "is not"                                                             },
        {"192.0.2.256",           "is not"                                                             },
        {"127/8",                 "is not"                                                             },
        {"example.com",           "\"example.com\" is not"                                             },
        {"[::1",                  "is not"                                                             },
        {"::1]",                  "is not"                                                             },
        {"[",                     "is not"                                                             },
        {"]",                     "is not"                                                             },
        {"[]",                    "is not"                                                             },
        {"[::1/128]",             "is not"                                                             },
        {"[[::1]]",               "is not"                                                             },
        {"fe80::1%eth0",          "is not"                                                             },
        {"!192.0.2.1",            "is not"                                                             },
        {"hash:/etc/networks",    "is not"                                                             },
        {"10.0.0.1, x, 10.0.0.2", "\"x\" is not"                                                       },
        {"192.0.2.1/24",          "\"192.0.2.1/24\" has bits set beyond its prefix; write 192.0.2.0/24"},
        {"1.2.3.4/0",             "write 0.0.0.0/0"                                                    },
        {"192.0.2.3/31",          "write 192.0.2.2/31"                                                 },
        {"[2001:db8::1]/32",      "write [2001:db8::]/32"                                              },
        {"::1/0",                 "write [::]/0"                                                       },
        {"::ffff:192.0.2.1/120",  "write [::ffff:192.0.2.0]/120"                                       },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct cidr_list list;
        struct errbuf err = {""};

        if (cidr_list_parse(&list, span_of(rows[i].list), &err) != -EINVAL)
            fail_msg("row %zu \"%s\" was taken", i, rows[i].list);
        if (!strstr(err.text, rows[i].error))
            fail_msg("row %zu: \"%s\"", i, err.text);
        assert_null(list.blocks);
        assert_int_equal(list.count, 0);
    }
}

static void test_count_limit(void **state)
{
    static char text[(CIDR_MAX + 1) * 10 + 1];

    for (size_t count = CIDR_MAX - 1; count <= CIDR_MAX + 1; count++) {
        struct cidr_list list;
        struct errbuf err = {""};
        size_t len = 0;

        for (size_t i = 0; i < count; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "10.0.0.0 ");
        if (count > CIDR_MAX) {
            assert_int_equal(cidr_list_parse(&list, span_of(text), &err), -EINVAL);
            assert_string_equal(err.text, "has more than 1000 entries");
        } else {
            assert_int_equal(cidr_list_parse(&list, span_of(text), &err), 0);
            assert_int_equal(list.count, count);
        }
        cidr_list_free(&list);
    }
}

static void test_address(void **state)
{
    static const char *const bad[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4x",
        "[::1]",
        "::g",
        "1.2.3.4 ",
        ":",
        ":::",
        "1:2:3:4:5:6:7:8:9",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    unsigned char address[16];

    for (size_t i = 0; i < ROWS(bad); i++) {
        if (cidr_address_parse(span_of(bad[i]), address))
            fail_msg("\"%s\" was taken", bad[i]);
    }
    assert_false(cidr_address_parse(SPAN_LIT("1.2.3.4\0"), address));
    assert_true(cidr_address_parse(SPAN_LIT("1.2.3.4"), address));
    assert_memory_equal(address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", 16);
    assert_true(
        cidr_address_parse(SPAN_LIT("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"), address));
    assert_int_equal(address[0] & address[15], 0xff);
}

static void test_listen(void **state)
{
    static const struct {
        const char *entry;
        const char *host; /* NULL: bad */
        unsigned port;
    } rows[] = {
        {"25",                "",               25   },
        {"0",                 "",               0    },
        {"65535",             "",               65535},
        {"65536",             NULL,             0    },
        {"*:25",              "",               25   },
        {"127.0.0.1:2525",    "127.0.0.1",      2525 },
        {"0.0.0.0:0",         "0.0.0.0",        0    },
        {"[::1]:2525",        "::1",            2525 },
        {"[::]:25",           "::",             25   },
        {"[127.0.0.1]:25",    "127.0.0.1",      25   },
        {"localhost:25",      "localhost",      25   },
        {"mx.example.com:25", "mx.example.com", 25   },
        {"127.0.0.1",         NULL,             0    },
        {"127.0.0.1:",        NULL,             0    },
        {"127.0.0.1:65536",   NULL,             0    },
        {"127.0.0.1:x",       NULL,             0    },
        {"256.0.0.1:25",      NULL,             0    },
        {"1:25",              NULL,             0    },
        {":25",               NULL,             0    },
        {"::1",               NULL,             0    },
        {"::1:25",            NULL,             0    },
        {"[::1]",             NULL,             0    },
        {"[::1]:",            NULL,             0    },
        {"[]:25",             NULL,             0    },
        {"[x]:25",            NULL,             0    },
        {"[:25",              NULL,             0    },
        {"[::1:25",           NULL,             0    },
        {"**:25",             NULL,             0    },
        {"-25",               NULL,             0    },
        {"smtp",              NULL,             0    },
        {"unix:/run/x",       NULL,             0    },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct listen_list list;
        struct errbuf err = {""};
        int rc = listen_list_parse(&list, span_of(rows[i].entry), &err);

        if (rc != (rows[i].host ? 0 : -EINVAL))
            fail_msg("row %zu \"%s\": %d %s", i, rows[i].entry, rc, err.text);
        if (rc == 0) {
            assert_int_equal(list.count, 1);
            assert_string_equal(list.entries[0].host, rows[i].host);
            assert_int_equal(list.entries[0].port, rows[i].port);
        } else {
            assert_non_null(strstr(err.text, "is not an address to listen on; write 25, 127"));
        }
    }
}

static void test_listen_list(void **state)
{
    struct listen_list list;
    struct errbuf err = {""};

    assert_int_equal(listen_list_parse(&list, SPAN_LIT("127.0.0.1:25, [::1]:25\n*:587"), &err), 0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.entries[1].host, "::1");
    assert_int_equal(list.entries[2].port, 587);
    assert_int_equal(listen_list_parse(&list, SPAN_LIT(" , "), &err), -EINVAL);
    assert_non_null(strstr(err.text, "is empty; write 25"));
    assert_int_equal(listen_list_parse(&list, SPAN_LIT("25, smtp"), &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"smtp\" is not"));
}

static void test_listen_limits(void **state)
{
    char text[LISTEN_MAX * 3 + 4] = "";
    char entry[LISTEN_HOST_CAP + 4];
    struct errbuf err = {""};
    struct listen_list list;

    for (size_t count = 1; count <= LISTEN_MAX + 1; count++) {
        memcpy(text + (count - 1) * 3, "25 ", 4);
        if (count >= LISTEN_MAX - 1)
            assert_int_equal(listen_list_parse(&list, span_of(text), &err),
                             count > LISTEN_MAX ? -EINVAL : 0);
    }
    assert_string_equal(err.text, "has more than 16 addresses");
    for (size_t len = LISTEN_HOST_CAP - 2; len <= LISTEN_HOST_CAP; len++) {
        memset(entry, 'a', len);
        entry[30] = '.';
        memcpy(entry + len, ":25", 4);
        assert_int_equal(listen_list_parse(&list, span_of(entry), &err),
                         len < LISTEN_HOST_CAP ? 0 : -EINVAL);
    }
}

/* What inet_interfaces makes of the entries without an address. */
static void test_listen_narrow(void **state)
{
    static const struct {
        const char *listen;
        const char *interfaces;
        const char *want; /* "host:port" each; NULL: bad */
    } rows[] = {
        {"25",                      "all",                      ":25"                       },
        {"25",                      "127.0.0.1 all",            ":25"                       },
        {"25, [::1]:26",            "loopback-only",            "127.0.0.1:25 ::1:25 ::1:26"},
        {"25",                      "localhost",                "127.0.0.1:25 ::1:25"       },
        {"25,587",                  "192.0.2.1, [2001:db8::1]",
         "192.0.2.1:25 2001:db8::1:25 192.0.2.1:587 2001:db8::1:587"                        },
        {"192.0.2.7:25",            "loopback-only",            "192.0.2.7:25"              },
        {"25",                      "mx.example.com",           NULL                        },
        {"25",                      "",                         NULL                        },
        {"25",                      " , ",                      NULL                        },
        {"1,2,3,4,5,6,7,8",         "loopback-only",
         "127.0.0.1:1 ::1:1 127.0.0.1:2 ::1:2 127.0.0.1:3 ::1:3 127.0.0.1:4 ::1:4 127.0.0.1:5 "
         "::1:5 127.0.0.1:6 ::1:6 127.0.0.1:7 ::1:7 127.0.0.1:8 ::1:8"                      },
        {"1,2,3,4,5,6,7,8,[::1]:9", "loopback-only",            NULL                        },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct listen_list list;
        struct errbuf err = {""};
        char got[400] = "";
        int rc;

        assert_int_equal(listen_list_parse(&list, span_of(rows[i].listen), &err), 0);
        rc = listen_list_narrow(&list, span_of(rows[i].interfaces), &err);
        if ((rc == 0) != (rows[i].want != NULL))
            fail_msg("row %zu: %d %s", i, rc, err.text);
        for (size_t j = 0; j < list.count && rc == 0; j++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s:%u", j > 0 ? " " : "",
                     list.entries[j].host, (unsigned)list.entries[j].port);
        if (rc == 0)
            assert_string_equal(got, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),         cmocka_unit_test(test_bad),
        cmocka_unit_test(test_count_limit),   cmocka_unit_test(test_address),
        cmocka_unit_test(test_listen),        cmocka_unit_test(test_listen_list),
        cmocka_unit_test(test_listen_limits), cmocka_unit_test(test_listen_narrow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
