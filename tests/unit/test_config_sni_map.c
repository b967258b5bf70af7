/* Tests of config/sni_map: the syntax of tls_server_sni_maps, and every error of it. */
#include "config/sni_map.h"

#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

static void what_is_understood(void **state)
{
    static const struct {
        const char *text, *want; /* "name=files;" for each entry */
    } rows[] = {
        {"",                                                       ""                             },
        {"inline:{a.com=/a.pem}",                                  "a.com=/a.pem;"                },
        {"INLINE:{ A.com.=/A.pem }",                               "a.com=/A.pem;"                },
        {"inline:{ b.com=/b, .a.com=/a }",                         ".a.com=/a;b.com=/b;"          },
        {"inline:{ {b.com = /r.pem, /e.pem}\n a.com=/a }",         "a.com=/a;b.com=/r.pem /e.pem;"},
        {"inline:{ {b.com = /r.pem   /e.pem,} }",                  "b.com=/r.pem /e.pem;"         },
        {"inline:{a.com=/1, a.com=/2}",                            "a.com=/2;"                    }, /* as Postfix */
        {"inline:{a.com=/1}, inline:{A.COM=/2 b.com=/3 b.com=/4}", "a.com=/1;b.com=/4;"           },
        {"inline:{a.com=/with=sign}",                              "a.com=/with=sign;"            },
        {"inline:{xn--bcher-kva.example=/x}",                      "xn--bcher-kva.example=/x;"    },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct sni_map map;
        struct errbuf err = {""};
        char got[500];
        struct text t;

        if (sni_map_parse(&map, span_of(rows[i].text), &err) != 0)
            fail_msg("%s: %s", rows[i].text, err.text);
        text_init(&t, got, sizeof got);
        for (size_t n = 0; n < map.count; n++)
            text_printf(&t, "%s=%s;", map.entries[n].name, map.entries[n].files);
        assert_string_equal(got, rows[i].want);
        sni_map_free(&map);
    }
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"hash:/etc/postfix/sni",                         "\"hash:/etc/postfix/sni\" is a table that mxgate does not read"},
        {"a.com=/x",                                      "\"a.com=/x\" is a table that mxgate does not read"             },
        {"inline:",                                       "\"inline:\" has braces that do not match"                      },
        {"inline:{}",                                     "\"inline:{}\" is empty"                                        },
        {"inline:{a.com=/x",                              "\"inline:{a.com=/x\" has braces that do not match"             },
        {"inline:{a.com}",                                "\"a.com\" is not NAME=FILE"                                    },
        {"inline:{{a.com = }}",                           "\"\" is no file"                                               },
        {"inline:{=/x}",                                  "\"=/x\" is not NAME=FILE"                                      },
        {"inline:{a.com=x.pem}",                          "\"x.pem\" is no absolute path"                                 },
        {"inline:{*=/x}",                                 "\"*\" is no name that clients ask for"                         },
        {"inline:{[192.0.2.1]=/x}",                       "\"[192.0.2.1]\" is no name that clients ask for"               },
        {"inline:{..a=/x}",                               "\"..a\" is no name that clients ask for"                       },
        {"inline:{.=/x}",                                 "\".\" is no name that clients ask for"                         },
        {"inline:{{a.com = /1 /2 /3 /4 /5 /6 /7 /8 /9}}", "\"/9\" is one file too many"                                   },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct sni_map map;
        struct errbuf err = {""};

        assert_int_equal(sni_map_parse(&map, span_of(rows[i].text), &err), -EINVAL);
        if (strncmp(err.text, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_int_equal(map.count, 0);
    }
}

static void as_many_as_there_may_be(void **state)
{
    char *text = malloc(40 * (SNI_ENTRIES_MAX + 2));
    struct sni_map map;
    struct errbuf err = {""};
    struct text t;

    assert_non_null(text);
    for (size_t more = 0; more < 2; more++) {
        text_init(&t, text, 40 * (SNI_ENTRIES_MAX + 2));
        text_cstr(&t, "inline:{");
        for (size_t i = 0; i < SNI_ENTRIES_MAX + more; i++)
            text_printf(&t, "n%zu.example.net=/x ", i);
        text_cstr(&t, "}");
        assert_int_equal(sni_map_parse(&map, text_as_span(&t), &err), more ? -EINVAL : 0);
        sni_map_free(&map);
    }
    assert_non_null(strstr(err.text, "one name too many"));
    free(text);
}

static void which_names_are_there(void **state)
{
    static const struct {
        const char *name;
        bool there;
    } rows[] = {
        {"mx.example.net",  true },
        {"example.net",     false},
        {"a.example.org",   true },
        {"b.a.example.org", true },
        {"example.org",     false},
        {".example.org",    true },
        {"",                false},
        {"org",             false},
        {"example.org.",    false},
        {"mx.example.nets", false},
    };
    struct sni_map map;
    struct errbuf err;

    assert_int_equal(
        sni_map_parse(&map, SPAN_LIT("inline:{mx.example.net=/a, .example.org=/b}"), &err), 0);
    for (size_t i = 0; i < ROWS(rows); i++) {
        if (sni_map_has(&map, rows[i].name) != rows[i].there)
            fail_msg("%s", rows[i].name);
    }
    sni_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_understood),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(as_many_as_there_may_be),
        cmocka_unit_test(which_names_are_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
