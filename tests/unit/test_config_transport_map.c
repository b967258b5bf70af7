/* Tests of config/transport_map: the syntax of transport_maps, every error of it, and look-ups. */
#include "config/transport_map.h"

#include "base/text.h"
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])
#define A           "lmtp:[192.0.2.1]:24"
#define B           "lmtp:[192.0.2.2]:24"
#define C           "lmtp:unix:/run/x"

/* "name=targets;" for each entry */
static void expect(const char *text, const char *wanted)
{
    struct transport_map map;
    struct errbuf err = {""};
    char got[2000] = "";
    struct text t;

    if (transport_map_parse(&map, span_of(text), &err) != 0)
        fail_msg("%s: %s", text, err.text);
    text_init(&t, got, sizeof got);
    for (size_t i = 0; i < map.count; i++)
        text_printf(&t, "%s=%s;", map.entries[i].name, map.entries[i].targets);
    assert_string_equal(got, wanted);
    transport_map_free(&map);
}

static void what_is_understood(void **state)
{
    expect("", "");
    expect(" \n", "");
    expect("inline:{a.com=" A "}", "a.com=" A ";");
    expect("INLINE:{ A.com=" A " }", "a.com=" A ";");
    expect("inline:{ b.com=" A ", .c.org=" C " }", ".c.org=" C ";b.com=" A ";");
    expect("inline:{ b.com=" A "\n\t.c.org=" C " }", ".c.org=" C ";b.com=" A ";");
    expect("inline:{ {b.com = " A ", " B "}, a.com=" A "}", "a.com=" A ";b.com=" A ", " B ";");
    expect("inline:{ {b.com = " A " " B "} a.com=" A "}", "a.com=" A ";b.com=" A ", " B ";");
    expect("inline:{ { b.com=" A " } }", "b.com=" A ";");
    expect("inline:{ {b.com = " A ", [192.0.2.2]:24} }", "b.com=" A ", " B ";");
    expect("inline:{ ann@a.com=" A ", *=" B ", a.org.=" A " }",
           "*=" B ";a.org=" A ";ann@a.com=" A ";");
    expect("inline:{a.com=" A ", a.com=" B "}", "a.com=" B ";");          /* as Postfix */
    expect("inline:{a.com=" A "}, inline:{A.COM=" B "}", "a.com=" A ";"); /* tables in order */
    expect("inline:{a.com=" A "} inline:{b.com=" B ",b.com=" C "}", "a.com=" A ";b.com=" C ";");
    expect("inline:{a.com=maildir:/srv/a}", "a.com=maildir:/srv/a;");
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"hash:/etc/postfix/transport",
         "is a table in a file, which mxgate does not read; write inline:{"                                },
        {"lmdb:/etc/postfix/transport",               "lines of the section [transport]"                   },
        {"texthash:/etc/transport",                   "is a table in a file"                               },
        {"regexp:/etc/transport",                     "is a table in a file"                               },
        {"inline:{a.com=" A "}, hash:/x",             "\"hash:/x\" is a table in a file"                   },
        {"a.com=" A,                                  "is not inline:{...}; write inline:{ example.net="   },
        {"/etc/postfix/transport",                    "is not inline:{...}"                                },
        {"inline:",                                   "has braces that do not match"                       },
        {"inline: {a.com=" A "}",                     "has braces that do not match"                       },
        {"inline:a.com=" A,                           "has braces that do not match"                       },
        {"inline:{a.com=" A,                          "has braces that do not match"                       },
        {"inline:{a.com=" A "}x",                     "has braces that do not match"                       },
        {"inline:{a.com=" A "}{b.com=" B "}",         "has braces that do not match"                       },
        {"inline:{}",                                 "is empty; remove it"                                },
        {"inline:{ \n }",                             "is empty; remove it"                                },
        {"inline:{ a.com }",                          "\"a.com\" is not NAME=VALUE"                        },
        {"inline:{ a.com = " A " }",                  "\"a.com\" is not NAME=VALUE; write"                 },
        {"inline:{ =" A " }",                         "is not NAME=VALUE"                                  },
        {"inline:{ {a.com " A "} }",                  "is not NAME=VALUE"                                  },
        {"inline:{ {a.com=" A "}b }",                 "has braces that do not match"                       },
        {"inline:{ a.com= }",                         "\"\": it is empty; write lmtp:"                     },
        {"inline:{ {a.com = , } }",                   "\"\": it is empty; write lmtp:"                     },
        {"inline:{ a.com=192.0.2.1 }",                "\"192.0.2.1\": it must begin with lmtp:"            },
        {"inline:{ a.com=error:nobody }",             "it must begin with lmtp:, smtp: or maildir:"        },
        {"inline:{ a.com=lmtp:[192.0.2.1]:0 }",       "the port must be a number"                          },
        {"inline:{ {a.com = " A ", [192.0.2.300]} }",
         "\"lmtp:[192.0.2.300]\": that is no host name"                                                    },
        {"inline:{ @a.com=" A " }",                   "\"@a.com\" is no name of a route; write example.net"},
        {"inline:{ ann@=" A " }",                     "is no name of a route"                              },
        {"inline:{ .=" A " }",                        "is no name of a route"                              },
        {"inline:{ ..a.com=" A " }",                  "is no name of a route"                              },
        {"inline:{ *.a.com=" A " }",                  "is no name of a route"                              },
        {"inline:{ [192.0.2.1]=" A " }",              "is no name of a route"                              },
        {"inline:{ {{a.com} = " A "} }",              "is no name of a route"                              },
        {"inline:{ a.com=lmtp:a\001b }",              "\"lmtp:a?b\": that is no host name"                 },
        {"x\001:y",                                   "\"x?:y\" is a table in a file"                      },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct transport_map map;
        struct errbuf err = {""};

        if (transport_map_parse(&map, span_of(rows[i].text), &err) != -EINVAL)
            fail_msg("taken: %s", rows[i].text);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_null(map.entries);
        assert_int_equal(map.count, 0);
    }
}

/* A large map, written backwards, with one entry too many at the end of the test. */
static void as_many_as_allowed(void **state)
{
    size_t cap = (TRANSPORT_ENTRIES_MAX + 1) * 48;
    char *buf = malloc(cap);
    struct transport_map map;
    struct errbuf err = {""};
    struct text t;

    assert_non_null(buf);
    for (int more = 0; more <= 1; more++) {
        text_init(&t, buf, cap);
        text_cstr(&t, "inline:{");
        for (int i = TRANSPORT_ENTRIES_MAX + more; i > 0; i--)
            text_printf(&t, "d%d.example=" A " ", i);
        text_char(&t, '}');
        assert_false(t.overflow);
        assert_int_equal(transport_map_parse(&map, text_as_span(&t), &err), more ? -EINVAL : 0);
        assert_int_equal(map.count, more ? 0 : TRANSPORT_ENTRIES_MAX);
        if (!more)
            assert_true(transport_map_find(&map, SPAN_LIT("x@d7777.example"), "") >= 0);
        transport_map_free(&map);
    }
    assert_non_null(strstr(err.text, "there may be 10000"));
    free(buf);
}

static void look_ups(void **state)
{
    static const struct {
        const char *address;
        const char *delimiters;
        const char *name; /* "": none */
    } rows[] = {
        {"joe@a.com",             "",   "a.com"         },
        {"JOE@A.COM",             "",   "a.com"         },
        {"ann@a.com",             "",   "ann@a.com"     },
        {"Ann@A.com",             "",   "ann@a.com"     },
        {"ann@a.com.",            "",   "ann@a.com"     },
        {"ann+x@a.com",           "",   "a.com"         },
        {"ann+x@a.com",           "+",  "ann@a.com"     },
        {"ann+x+y@a.com",         "+",  "ann@a.com"     },
        {"ann-x@a.com",           "+-", "ann@a.com"     },
        {"ann+full@a.com",        "+",  "ann+full@a.com"},
        {"+ann@a.com",            "+",  "a.com"         },
        {"owner-ann@a.com",       "-",  "a.com"         },
        {"owner@b.com",           "",   "owner@b.com"   },
        {"owner-x@b.com",         "-",  "*"             },
        {"owner-x@b.com",         "+",  "*"             },
        {"owner+x@b.com",         "-+", "owner@b.com"   },
        {"x@sub.a.com",           "",   "*"             },
        {"x@sub.c.org",           "",   ".c.org"        },
        {"x@c.org",               "",   "*"             },
        {"x@deep.sub.c.org",      "",   ".c.org"        },
        {"x@deep.near.c.org",     "",   ".near.c.org"   },
        {"x@near.c.org",          "",   ".c.org"        },
        {"\"a@a.com\"@sub.c.org", "",   ".c.org"        },
        {"a.com",                 "",   "a.com"         },
        {"",                      "",   "*"             },
    };
    struct transport_map map;
    struct transport_map empty = {NULL, 0};
    char longest[700];

    assert_int_equal(
        transport_map_parse(&map,
                            SPAN_LIT("inline:{a.com=" A ",ann@a.com=" B ",ann+full@a.com=" B
                                     ",owner@b.com=" A ",.c.org=" A ",.near.c.org=" B ",*=" C "}"),
                            NULL),
        0);
    for (size_t i = 0; i < ROWS(rows); i++) {
        int at = transport_map_find(&map, span_of(rows[i].address), rows[i].delimiters);

        assert_in_range(at, 0, map.count - 1);
        if (strcmp(map.entries[at].name, rows[i].name) != 0)
            fail_msg("%s: %s", rows[i].address, map.entries[at].name);
        assert_int_equal(transport_map_find(&empty, span_of(rows[i].address), "+"), -1);
    }
    memset(longest, 'x', sizeof longest);
    assert_true(transport_map_find(&map, span_make(longest, sizeof longest), "") >= 0);
    transport_map_free(&map);
}

static void nothing_found(void **state)
{
    struct transport_map map;

    assert_int_equal(transport_map_parse(&map, SPAN_LIT("inline:{a.com=" A ",.b.com=" B "}"), NULL),
                     0);
    assert_int_equal(transport_map_find(&map, SPAN_LIT("x@b.com"), "+"), -1);
    assert_int_equal(transport_map_find(&map, SPAN_LIT("x@xa.com"), "+"), -1);
    assert_int_equal(transport_map_find(&map, SPAN_LIT("x@com"), "+"), -1);
    transport_map_free(&map);
}

static void the_same_or_not(void **state)
{
    struct transport_map a, b, c;

    assert_int_equal(transport_map_parse(&a, SPAN_LIT("inline:{a.com=" A ",b.com=" B "}"), NULL),
                     0);
    assert_int_equal(
        transport_map_parse(&b, SPAN_LIT("inline:{b.com=" B "} inline:{A.com=" A "}"), NULL), 0);
    assert_int_equal(transport_map_parse(&c, SPAN_LIT("inline:{a.com=" A ",b.com=" C "}"), NULL),
                     0);
    assert_true(transport_map_equal(&a, &b));
    assert_false(transport_map_equal(&a, &c));
    c.count--;
    assert_false(transport_map_equal(&a, &c));
    c.count++;
    transport_map_free(&a);
    transport_map_free(&b);
    transport_map_free(&c);
}

/* ---- in the settings ---- */

static void faults_of_settings(void **state)
{
    struct built b;

    built_from(&b, CONFIG_MINIMUM, "POSTFIX_transport_maps=hash:/etc/postfix/transport\n");
    assert_int_equal(b.rc, -EINVAL);
    built_expect(&b, "E POSTFIX_transport_maps: transport_maps \"hash:/etc/postfix/transport\" "
                     "cannot be used: \"hash:/etc/postfix/transport\" is a table in a file, which "
                     "mxgate does not read; write inline:{ example.net=lmtp:[192.0.2.54]:24 }, or "
                     "the pairs as lines of the section [transport] in the ini file");
    built_free(&b);
    built_from(&b, CONFIG_MINIMUM, "RELAY_TRANSPORT=lmtp:[192.0.2.1]:24, lmtp:[192.0.2.2]:x\n");
    assert_int_equal(b.rc, -EINVAL);
    assert_non_null(strstr(b.notes, "\"lmtp:[192.0.2.2]:x\": the port must be a number"));
    built_free(&b);
}

/* The ini section is a map like the other; what is not admitted is said. */
static void the_ini_section(void **state)
{
    struct built b;

    built_good(&b,
               "[transport]\n"
               "example.com = " A ",\n"
               "    " B "\n"
               "# a comment\n"
               "ann@example.com = " C " ; hers\n"
               ".example.com = " A "\n"
               "[mxgate]\n"
               "transport_maps = inline:{ ann@example.com=" B " }\n",
               NULL);
    assert_int_equal(b.config->transports.count, 3);
    assert_string_equal(b.config->transports.entries[0].name, ".example.com");
    assert_string_equal(b.config->transports.entries[1].name, "ann@example.com");
    assert_string_equal(b.config->transports.entries[1].targets, B);
    assert_string_equal(b.config->transports.entries[2].targets, A ", " B);
    built_expect(&b, "W transport_maps has a route for .example.com, which relay_domains does not "
                     "admit: mail for it is refused; add the domain to ALLOWED_DOMAINS, or remove "
                     "the route");
    assert_int_equal(b.warnings, 1);
    assert_string_equal(built_value(&b, "transport_maps"),
                        "inline:{ ann@example.com=" B " }, inline:{ {example.com = " A ", " B
                        "} {ann@example.com = " C "} {.example.com = " A "} }");
    built_free(&b);
    built_good(&b, "[transport]\nexample.com = " A "\n", "TRANSPORT_MAPS=inline:{ *=" B " }");
    assert_int_equal(b.config->transports.count, 1);
    assert_string_equal(b.config->transports.entries[0].targets, B);
    built_free(&b);
}

static void faults_of_the_ini_section(void **state)
{
    static const struct {
        const char *line;
        const char *why;
    } rows[] = {
        {"example.com = " A " }",           "E mxgate.ini line 4: no braces in [transport]"                                         },
        {"{example.com = " A,               "E mxgate.ini line 4: no braces in [transport]"                                         },
        {"example.com = " A ",\n   " B "}", "E mxgate.ini line 5: no braces in [transport]"                                         },
        {"example.com = 192.0.2.1",         "E mxgate.ini line 4: transport_maps \"inline:{ {example.com = "
                                    "192.0.2.1} }\" cannot be used: \"192.0.2.1\": it must begin"},
        {"relay_domains = example.com",     "it must begin with"                                                                    },
        {"example.com",                     "line 4 is not \"name = value\""                                                        },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        struct built b;
        char ini[500];

        snprintf(ini, sizeof ini, CONFIG_MINIMUM "[transport]\n%s\n", rows[i].line);
        built_from(&b, ini, NULL);
        assert_int_equal(b.rc, -EINVAL);
        if (!strstr(b.notes, rows[i].why))
            fail_msg("%s: %s", rows[i].line, b.notes);
        built_free(&b);
    }
}

static void who_is_admitted(void **state)
{
    static const struct {
        const char *name;
        const char *domains;
        bool want;
    } rows[] = {
        {"a.com",     "a.com",    true },
        {"a.com",     "b.com",    false},
        {"a.com",     ".a.com",   false},
        {"x.a.com",   ".a.com",   true },
        {"ann@a.com", "a.com",    true },
        {"ann@a.com", "b.com",    false},
        {".a.com",    "a.com",    false},
        {".a.com",    ".a.com",   true },
        {".a.com",    ".com",     true },
        {".a.com",    "b.a.com",  true },
        {".a.com",    ".b.a.com", true },
        {".a.com",    "b.xa.com", false},
        {"*",         "b.com",    true },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char name[40];
        struct transport_entry entry = {name, NULL};
        struct domain_list list;

        assert_true(span_copy(span_of(rows[i].name), name, sizeof name));
        assert_int_equal(domain_list_parse(&list, span_of(rows[i].domains), NULL), 0);
        if (transport_entry_admitted(&entry, &list) != rows[i].want)
            fail_msg("%s in %s", rows[i].name, rows[i].domains);
        domain_list_free(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_understood),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(as_many_as_allowed),
        cmocka_unit_test(look_ups),
        cmocka_unit_test(nothing_found),
        cmocka_unit_test(the_same_or_not),
        cmocka_unit_test(faults_of_settings),
        cmocka_unit_test(the_ini_section),
        cmocka_unit_test(faults_of_the_ini_section),
        cmocka_unit_test(who_is_admitted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
