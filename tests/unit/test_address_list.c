/* Tests of message/address_list: what To, Cc and Bcc headers hold in the wild. */
#include "message/address_list.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Addresses by blanks; what is bad in [ ]. */
static void list_all(struct span value, struct trace *t)
{
    struct address_list list;
    char text[SMTP_ADDRESS_CAP];
    enum address_list_event event;

    trace_init(t);
    address_list_init(&list, value);
    while ((event = address_list_next(&list, text)) != ADDRESS_LIST_END) {
        assert_true(strlen(text) < SMTP_ADDRESS_CAP);
        text_cstr(&t->text, event == ADDRESS_LIST_BAD ? "[" : "");
        text_cstr(&t->text, text);
        text_cstr(&t->text, event == ADDRESS_LIST_BAD ? "] " : " ");
    }
    assert_int_equal(address_list_next(&list, text), ADDRESS_LIST_END);
}

static const struct row {
    const char *input;
    const char *want;
} rows[] = {
    {"",                                                  ""                                        },
    {" \r\n\t",                                           ""                                        },
    {"a@b",                                               "a@b "                                    },
    {" a@b , c@d\r\n",                                    "a@b c@d "                                },
    {"a@b,\r\n c@d,\n\te@f",                              "a@b c@d e@f "                            },
    {"root",                                              "root "                                   },
    {"Ann <a@b>",                                         "a@b "                                    },
    {"<a@b>",                                             "a@b "                                    },
    {"\"Smith, Bob\" <bob@example.com>, ann@example.com", "bob@example.com ann@example.com "        },
    {"Ann B. Smith <a@b>",                                "a@b "                                    },
    {"\"a \\\" b\" <a@b>",                                "a@b "                                    },
    {"a@b (Ann)",                                         "a@b "                                    },
    {"a@b (Ann (of (many)) comments, with a comma)",      "a@b "                                    },
    {"(first) a (mid) @ (dle) b (last)",                  "a@b "                                    },
    {"a . b @ example . com",                             "a.b@example.com "                        },
    {"(\\) still) a@b",                                   "a@b "                                    },
    {"\"john doe\"@example.com",                          "\"john doe\"@example.com "               },
    {"\"a@b\"@example.com, <\"x,y\"@example.com>",        "\"a@b\"@example.com \"x,y\"@example.com "},
    {"\"folded\r\n word\"@example.com",                   "\"folded word\"@example.com "            },
    {"a@[192.0.2.1], b@[IPv6:2001:db8::1]",               "a@[192.0.2.1] b@[IPv6:2001:db8::1] "     },
    {"<@relay.example,@other.example:a@b>",               "a@b "                                    },
    {"team: a@b, Carl <c@d>;",                            "a@b c@d "                                },
    {"team: a@b, c@d;, e@f",                              "a@b c@d e@f "                            },
    {"undisclosed-recipients:;",                          ""                                        },
    {"Undisclosed recipients: ;",                         ""                                        },
    {"\"a group\": a@b;",                                 "a@b "                                    },
    {"a@b;c@d; e@f",                                      "a@b c@d e@f "                            },
    {",, a@b,,",                                          "a@b "                                    },
    {"gr\xc3\xbc\xc3\x9f"
     "e@example.com",                                "gr\xc3\xbc\xc3\x9f"
     "e@example.com "                                                     },
    {"\xff <a@b>",                                        "a@b "                                    },
    {"a..b@x, .a@x, a.@x",                                "a..b@x .a@x a.@x "                       },
    {"a@b@c",                                             "a@b@c "                                  }, /* smtp_address_parse says no */
    {"=?utf-8?q?J=C3=BCrgen?= <j@b>",                     "j@b "                                    },
 /* bad ones, and that what follows is found */
    {"John Smith",                                        "[John Smith] "                           },
    {"John Smith, a@b",                                   "[John Smith,] a@b "                      },
    {"<>",                                                "[<>] "                                   },
    {"Ann <>, a@b",                                       "[Ann <>,] a@b "                          },
    {"<a@b",                                              "[<a@b] "                                 },
    {"<a@b, c@d",                                         "[<a@b,] c@d "                            },
    {"a@b>",                                              "[a@b>] "                                 },
    {"<a@b> tail",                                        "[<a@b> tail] "                           },
    {"<a@b> <c@d>, e@f",                                  "[<a@b> <c@d>,] e@f "                     },
    {"<<a@b>>, e@f",                                      "[<<a@b>>,] e@f "                         },
    {"\"open, a@b",                                       "[\"open, a@b] "                          },
    {"a@b (open, c@d",                                    "[a@b (open, c@d] "                       },
    {"a@[open, c@d",                                      "[a@[open, c@d] "                         },
    {"a) b@c, d@e",                                       "[a) b@c,] d@e "                          },
    {"a]@c, d@e",                                         "[a]@c,] d@e "                            },
    {"a\\b@c, d@e",                                       "[a\\b@c,] d@e "                          },
    {"a b@c",                                             "[a b@c] "                                },
    {"a\x01"
     "b@c, d@e",                                     "[a?b@c,] d@e "                           },
    {"\"a\x7f\"@c, d@e",                                  "[\"a?\"@c,] d@e "                        },
    {"\"a\\\n\"@c, d@e",                                  "[\"a\\?\"@c,] d@e "                      },
    {"x: y: a@b; c@d",                                    "[x: y: a@b;] c@d "                       },
    {": a@b",                                             "[: a@b] "                                },
    {"<a:b@c>",                                           "[<a:b@c>] "                              },
    {"<@a:>",                                             "[<@a:>] "                                },
};

static void test_rows(void **state)
{
    static struct trace t;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span input = span_of(rows[i].input);
        char *copy = trace_copy(input);

        list_all(span_make(copy, input.len), &t);
        if (strcmp(t.text.ptr, rows[i].want) != 0)
            fail_msg("\"%s\" gives \"%s\", not \"%s\"", rows[i].input, t.text.ptr, rows[i].want);
        free(copy);
    }
}

static void test_nul_is_no_end(void **state)
{
    static struct trace t;

    list_all(SPAN_LIT("a@b\0, c@d"), &t);
    assert_string_equal(t.text.ptr, "[a@b?,] c@d ");
}

static void test_longest(void **state)
{
    char input[SMTP_ADDRESS_CAP + 2];
    char text[SMTP_ADDRESS_CAP];

    for (size_t len = SMTP_ADDRESS_CAP - 2; len <= SMTP_ADDRESS_CAP; len++) {
        struct address_list list;
        enum address_list_event want =
            len < SMTP_ADDRESS_CAP ? ADDRESS_LIST_ADDRESS : ADDRESS_LIST_BAD;

        memset(input, 'a', len);
        address_list_init(&list, span_make(input, len));
        assert_int_equal(address_list_next(&list, text), want);
        assert_int_equal(strlen(text), len < SMTP_ADDRESS_CAP ? len : SMTP_ADDRESS_CAP - 1);
    }
}

/* A name may be longer than any address: only the address counts. */
static void test_long_name(void **state)
{
    char input[3 * SMTP_ADDRESS_CAP];
    char text[SMTP_ADDRESS_CAP];
    struct address_list list;

    memset(input, 'n', sizeof input);
    memcpy(input + sizeof input - 6, " <a@b>", 6);
    address_list_init(&list, span_make(input, sizeof input));
    assert_int_equal(address_list_next(&list, text), ADDRESS_LIST_ADDRESS);
    assert_string_equal(text, "a@b");
}

/* Linear, not quadratic: a header of nothing but opening parentheses. */
static void test_deep_comments(void **state)
{
    enum { DEPTH = 200000 };
    char *input = malloc(2 * DEPTH + 3);
    char text[SMTP_ADDRESS_CAP];
    struct address_list list;

    assert_non_null(input);
    memset(input, '(', DEPTH);
    memset(input + DEPTH, ')', DEPTH);
    memcpy(input + 2 * DEPTH, "a@b", 3);
    address_list_init(&list, span_make(input, 2 * DEPTH + 3));
    assert_int_equal(address_list_next(&list, text), ADDRESS_LIST_ADDRESS);
    address_list_init(&list, span_make(input, DEPTH));
    assert_int_equal(address_list_next(&list, text), ADDRESS_LIST_BAD);
    assert_int_equal(address_list_next(&list, text), ADDRESS_LIST_END);
    free(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_nul_is_no_end),
        cmocka_unit_test(test_longest),       cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_deep_comments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
