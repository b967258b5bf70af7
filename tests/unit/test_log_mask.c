/* test_log_mask - addresses as the log shows them, alone and in text */
#include "observe/log_mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Stands for the digest, so that a test can read what was hashed: its first bytes, then the key's.
 */
static void fake_hmac(struct span key, struct span text, unsigned char out[LOG_HMAC_LEN])
{
    memset(out, 0, LOG_HMAC_LEN);
    memcpy(out, text.ptr, text.len < LOG_HMAC_LEN / 2 ? text.len : LOG_HMAC_LEN / 2);
    memcpy(out + LOG_HMAC_LEN / 2, key.ptr, key.len < 4 ? key.len : 4);
}

static struct log_mask mask_of(const char *setting)
{
    struct log_mask m = {.hmac = fake_hmac};
    struct errbuf err;

    assert_int_equal(anonymize_parse(&m.how, span_of(setting), &err), 0);
    return m;
}

struct row {
    const char *in;
    const char *out;
};

static void check(const char *setting, const struct row *rows, size_t count,
                  void (*put)(const struct log_mask *m, struct span s, struct text *out))
{
    struct log_mask m = mask_of(setting);

    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].in);
        char *exact = malloc(len + 1); /* so that a look beyond the end is seen */
        char buf[512];
        struct text t;

        memcpy(exact, rows[i].in, len);
        text_init(&t, buf, sizeof buf);
        put(&m, span_make(exact, len), &t);
        assert_string_equal(buf, rows[i].out);
        free(exact);
    }
}

#define CHECK(setting, rows, put) check(setting, rows, sizeof(rows) / sizeof(rows)[0], put)

static void test_smart(void **state)
{
    static const struct row rows[] = {
        {"demo@example.org",                      "d*o@*******.org"               },
        {"john.doe@example.solutions",            "j*e@*******.solutions"         },
        {"sa@localhost",                          "s*a@*********"                 },
        {"s@[192.168.8.10]",                      "s*s@[*.*.*.*]"                 },
        {"x@[IPv6:2001:db8::1]",                  "x*x@[IPv6:***********]"        },
        {"\"multi..dot\"@example.com",            "\"m*t\"@*******.com"           },
        {"\"a@b\"@example.com",                   "\"a*b\"@*******.com"           },
        {"a.b@mail.example.co.uk",                "a*b@***************.uk"        },
        {"a@example.com.",                        "a*a@*******.com."              },
        {"a@b@example.com",                       "a*b@*******.com"               },
        {"",                                      ""                              },
        {"postmaster",                            "postmaster"                    },
        {"john@",                                 "j*n@"                          },
        {"@example.com",                          "*@*******.com"                 },
        {"\"\"@example.com",                      "\"*\"@*******.com"             },
        {"\xC3\xA9t\xC3\xA9@caf\xC3\xA9.example", "\xC3\xA9*\xC3\xA9@****.example"},
        {"\xFF\xFE@\xC3.example",                 "\xFF*\xFE@*.example"           },
        {"a@[",                                   "a*a@*"                         },
    };

    CHECK("smart", rows, log_mask_address);
}

static void test_paranoid(void **state)
{
    static const struct row rows[] = {
        {"demo@example.org",           "*@*.org"      },
        {"john.doe@example.solutions", "*@*.solutions"},
        {"sa@localhost",               "*@*"          },
        {"s@[192.168.8.10]",           "*@[*]"        },
        {"\"m.d\"@[IPv6:2001:db8::1]", "*@[IPv6:*]"   },
        {"john@",                      "*@"           },
    };

    CHECK("paranoid", rows, log_mask_address);
}

static void test_symbol(void **state)
{
    static const struct row rows[] = {
        {"demo@abc.org", "d##o@######.org"}
    };
    static const struct row none[] = {
        {"demo@abc.org", "do@.org"}
    };

    CHECK("smart?mask_symbol=%23%23", rows, log_mask_address);
    CHECK("smart?mask_symbol=", none, log_mask_address);
}

static void test_hash(void **state)
{
    static const struct row whole[] = {
        {"A@b", "<4140620000000000000000000000000073610000000000000000000000000000>"},
    };
    static const struct row lower[] = {
        {"A@B.c", "6140622e"},
    };
    static const struct row split[] = {
        {"A@b", "41000000@62000000"},
    };

    CHECK("hash?salt=sa&prefix=%3C&suffix=%3E", whole, log_mask_address);
    CHECK("hash?salt=s&case_sensitive=no&short_sha=1", lower, log_mask_address);
    CHECK("hash?salt=s&split=true&short_sha=t", split, log_mask_address);
}

static void test_text(void **state)
{
    static const struct row rows[] = {
        {"no address",                                                      "no address"                                 },
        {"",                                                                ""                                           },
        {"550 5.1.1 <joe@example.com> User doesn't exist: joe@example.com",
         "550 5.1.1 <j*e@*******.com> User doesn't exist: j*e@*******.com"                                               },
        {"sent to a@b.example, c@d.example; done.",                         "sent to a*a@*.example, c*c@*.example; done."},
        {"see a@b.example.",                                                "see a*a@*.example."                         },
        {"a@b.example: x",                                                  "a*a@*.example: x"                           },
        {"MAIL FROM:<a@b.example> SIZE=1",                                  "MAIL FROM:<a*a@*.example> SIZE=1"           },
        {"<\"a b\"@c.example>",                                             "<\"a*b\"@*.example>"                        },
        {"<\"a \\\" b\"@c.example>",                                        "<\"a*b\"@*.example>"                        },
        {"\"@c.example",                                                    "\"*\"@*.example"                            },
        {"<@relay.example:joe@c.example>",                                  "<@relay.example:j*e@*.example>"             },
        {"@ and @@ and @@@",                                                "@ and @@ and @@@"                           },
        {"a@b@c.example",                                                   "a*b@*.example"                              },
        {"bounce+joe=c.example@d.example",                                  "b*e@*.example"                              },
        {"to a@[192.0.2.1]!",                                               "to a*a@[*.*.*.*]!"                          },
        {"to a@[IPv6:::1",                                                  "to a*a@*********"                           },
        {"a@",                                                              "a*a@"                                       },
        {"message-id=<a@b.example>",                                        "message-id=<a@b.example>"                   },
        {"message-id=a@b.example",                                          "message-id=a@b.example"                     },
        {"x: Message-ID=<\"a@b.example\">, c@d.e",                          "x: Message-ID=<\"a@b.example\">, c*c@*.e"   },
        {"cut <john.d",                                                     "cut <*"                                     },
        {"a <b> c",                                                         "a <b> c"                                    },
        {"1 < 2",                                                           "1 < 2"                                      },
        {"a@b.example <",                                                   "a*a@*.example <"                            },
        {"\\r\\nbob@c.example\\r",                                          "\\*b@*.example\\r"                          },
    };

    CHECK("smart", rows, log_mask_text);
}

static void test_text_off(void **state)
{
    static const struct row rows[] = {
        {"to <a@b.example> and <c@d", "to <a@b.example> and <c@d"},
    };
    char buf[64];
    struct text t;

    CHECK("noop", rows, log_mask_text);
    text_init(&t, buf, sizeof buf);
    log_mask_text(NULL, SPAN_LIT("a@b <c"), &t);
    assert_string_equal(buf, "a@b <c");
}

/* Nothing of a long text shows that would not show of a short one; the end is dropped, and told. */
static void test_room(void **state)
{
    struct log_mask m = mask_of("smart");
    char buf[16];
    struct text t;

    text_init(&t, buf, sizeof buf);
    log_mask_text(&m, SPAN_LIT("12345678 joe@example.com"), &t);
    assert_string_equal(buf, "12345678 j*e@**");
    assert_true(t.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smart),  cmocka_unit_test(test_paranoid),
        cmocka_unit_test(test_symbol), cmocka_unit_test(test_hash),
        cmocka_unit_test(test_text),   cmocka_unit_test(test_text_off),
        cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
