/* Tests of tls/pem: blocks among other text, all line ends, and what is damaged. */
#include "tls/pem.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])
#define A           "-----BEGIN A-----\n"
#define END_A       "-----END A-----\n"

/* "LABEL=content(*);" for each block; "*": encrypted; then "end" or "bad". */
static void read_all(struct span input, char *out, size_t cap, struct errbuf *err)
{
    unsigned char *room = malloc(PEM_ROOM(input.len));
    struct pem_reader r;
    struct pem_block block;
    enum pem_event event;
    struct text t;

    assert_non_null(room);
    text_init(&t, out, cap);
    pem_reader_init(&r, input);
    while ((event = pem_next(&r, room, &block, err)) == PEM_BLOCK) {
        text_span(&t, block.label);
        text_char(&t, '=');
        text_span(&t, block.content);
        text_cstr(&t, block.encrypted ? "*;" : ";");
    }
    text_cstr(&t, event == PEM_END ? "end" : "bad");
    assert_false(t.overflow);
    free(room);
}

static void what_is_read(void **state)
{
    static const struct {
        const char *input, *want;
    } rows[] = {
        {"",                                                                                   "end"            },
        {"nothing here\n",                                                                     "end"            },
        {A "YWJj\n" END_A,                                                                     "A=abc;end"      },
        {A "YWJj\n-----END A-----",                                                            "A=abc;end"      },
        {"\xef\xbb\xbf" A "YWJj\n" END_A,                                                      "A=abc;end"      },
        {"-----BEGIN A-----\r\nYWJj\r\n-----END A-----\r\n",                                   "A=abc;end"      },
        {" " A "  YWJj \t\n  " END_A,                                                          "A=abc;end"      },
        {A "YW\nJj\n\nZA==\n" END_A,                                                           "A=abcd;end"     },
        {A "YWJjZA=="
           "\n" END_A,
         "A=abcd;end"                                                                                           },
        {A "YWJjZGU=\n" END_A,                                                                 "A=abcde;end"    },
        {"subject=x\n" A "YWJj\n" END_A
         "issuer: y\n-----BEGIN A B-----\nZA==\n-----END A B-----\nz",                "A=abc;A B=d;end"},
        {A "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nYWJj\n" END_A,                 "A=abc*;end"     },
        {A "Note: first\n  and more\n\nYWJj\n" END_A,                                          "A=abc;end"      },
        {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nYWJj\n-----END ENCRYPTED PRIVATE KEY-----\n",
         "ENCRYPTED PRIVATE KEY=abc*;end"                                                                       },
        {"-----BEGIN -----\n-----BEGIN-----\n----BEGIN A-----\n",                              "end"            },
        {A END_A,                                                                              "bad"            },
        {A "YWJj\n",                                                                           "bad"            },
        {A "YWJj\n-----END B-----\n",                                                          "bad"            },
        {A "YWJ\n" END_A,                                                                      "bad"            },
        {A "YWJ!\n" END_A,                                                                     "bad"            },
        {A "YWJj\n=\n" END_A,                                                                  "bad"            },
        {A "Y===\n" END_A,                                                                     "bad"            },
        {A "YW==\nYWJj\n" END_A,                                                               "bad"            },
        {A "YWJj\n" A "YWJj\n" END_A,                                                          "bad"            },
    };

    for (size_t i = 0; i < ROWS(rows); i++) {
        char got[200];
        struct errbuf err = {""};

        read_all(span_of(rows[i].input), got, sizeof got, &err);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("row %zu: %s, not %s (%s)", i, got, rows[i].want, err.text);
    }
}

static void says_which_line(void **state)
{
    struct errbuf err = {""};
    char got[200];

    read_all(SPAN_LIT("x\n" A "YWJj\n!!!!\n" END_A), got, sizeof got, &err);
    assert_string_equal(err.text, "line 4: the PEM block that begins in line 2 is damaged: this is "
                                  "no base64");
}

/* No part of a text is taken for a block of another content. */
static void every_truncation(void **state)
{
    static const char text[] = "x\n" A "YWJjZGVm\nZ2g=\n" END_A;

    for (size_t len = 0; len < sizeof text - 1; len++) {
        struct errbuf err = {""};
        char got[200];

        read_all(span_make(text, len), got, sizeof got, &err);
        if (len + 1 >= sizeof text - 1) /* only the last line's end is missing */
            assert_string_equal(got, "A=abcdefgh;end");
        else
            assert_true(strcmp(got, "end") == 0 || strcmp(got, "bad") == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read),
        cmocka_unit_test(says_which_line),
        cmocka_unit_test(every_truncation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
