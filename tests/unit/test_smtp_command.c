/* Tests of smtp/command: verbs, and the arguments of MAIL, RCPT and BDAT with their limits. */
#include "smtp/command.h"
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct verb_row {
    struct span line;
    enum smtp_verb verb;
    const char *word;
    struct span args;
};

static const struct verb_row verb_rows[] = {
    {SPAN_LIT("HELO a"),              SMTP_HELO,     "HELO",         SPAN_LIT("a")             },
    {SPAN_LIT("ehlo a"),              SMTP_EHLO,     "ehlo",         SPAN_LIT("a")             },
    {SPAN_LIT("XCLIENT NAME=a"),      SMTP_XCLIENT,  "XCLIENT",      SPAN_LIT("NAME=a")        },
    {SPAN_LIT("XFORWARD NAME=a"),     SMTP_XFORWARD, "XFORWARD",     SPAN_LIT("NAME=a")        },
    {SPAN_LIT("STARTTLS"),            SMTP_STARTTLS, "STARTTLS",     SPAN_LIT("")              },
    {SPAN_LIT("AUTH PLAIN AGEAYg=="), SMTP_AUTH,     "AUTH",         SPAN_LIT("PLAIN AGEAYg==")},
    {SPAN_LIT("MAIL FROM:<a>"),       SMTP_MAIL,     "MAIL",         SPAN_LIT("FROM:<a>")      },
    {SPAN_LIT("Rcpt to:<a>"),         SMTP_RCPT,     "Rcpt",         SPAN_LIT("to:<a>")        },
    {SPAN_LIT("DATA"),                SMTP_DATA,     "DATA",         SPAN_LIT("")              },
    {SPAN_LIT("BDAT 0 LAST"),         SMTP_BDAT,     "BDAT",         SPAN_LIT("0 LAST")        },
    {SPAN_LIT("RSET"),                SMTP_RSET,     "RSET",         SPAN_LIT("")              },
    {SPAN_LIT("NOOP x y"),            SMTP_NOOP,     "NOOP",         SPAN_LIT("x y")           },
    {SPAN_LIT("VRFY a"),              SMTP_VRFY,     "VRFY",         SPAN_LIT("a")             },
    {SPAN_LIT("ETRN a"),              SMTP_ETRN,     "ETRN",         SPAN_LIT("a")             },
    {SPAN_LIT("QUIT"),                SMTP_QUIT,     "QUIT",         SPAN_LIT("")              },
    {SPAN_LIT("HELP"),                SMTP_HELP,     "HELP",         SPAN_LIT("")              },
    {SPAN_LIT(" \tNOOP \t x \t"),     SMTP_NOOP,     "NOOP",         SPAN_LIT("x")             },
    {SPAN_LIT("NOOP\tx"),             SMTP_NOOP,     "NOOP",         SPAN_LIT("x")             },
    {SPAN_LIT(""),                    SMTP_UNKNOWN,  "",             SPAN_LIT("")              },
    {SPAN_LIT("  "),                  SMTP_UNKNOWN,  "",             SPAN_LIT("")              },
    {SPAN_LIT("unknown"),             SMTP_UNKNOWN,  "unknown",      SPAN_LIT("")              },
    {SPAN_LIT("QUI"),                 SMTP_UNKNOWN,  "QUI",          SPAN_LIT("")              },
    {SPAN_LIT("QUITX"),               SMTP_UNKNOWN,  "QUITX",        SPAN_LIT("")              },
    {SPAN_LIT("QUIT\r"),              SMTP_UNKNOWN,  "QUIT\r",       SPAN_LIT("")              },
    {SPAN_LIT("MAILFROM:<a>"),        SMTP_UNKNOWN,  "MAILFROM:<a>", SPAN_LIT("")              },
    {SPAN_LIT("GET / HTTP/1.1"),      SMTP_UNKNOWN,  "GET",          SPAN_LIT("/ HTTP/1.1")    },
    {SPAN_LIT("NOOP \0x"),            SMTP_NOOP,     "NOOP",         SPAN_LIT("\0x")           },
};

static void test_verbs(void **state)
{
    for (size_t i = 0; i < COUNT(verb_rows); i++) {
        const struct verb_row *row = &verb_rows[i];
        struct smtp_command c;

        smtp_command_parse(row->line, &c);
        assert_int_equal(c.verb, row->verb);
        assert_true(span_equal(c.word, span_of(row->word)));
        assert_true(span_equal(c.args, row->args));
    }
}

/* Each name is the verb it names: the table cannot be out of order. */
static void test_verb_names(void **state)
{
    struct smtp_command c;

    for (enum smtp_verb verb = SMTP_HELO; verb < SMTP_VERB_COUNT; verb++) {
        smtp_command_parse(span_of(smtp_verb_name(verb)), &c);
        assert_int_equal(c.verb, verb);
    }
    assert_string_equal(smtp_verb_name(SMTP_UNKNOWN), "unknown");
    assert_string_equal(smtp_verb_name(SMTP_VERB_COUNT), "unknown");
}

static const char *error_name(enum smtp_param_error error)
{
    static const char *const names[] = {"OK", "SYNTAX", "UNSUPPORTED", "ADDRESS", "MISSING"};

    return names[error];
}

struct row {
    struct span args;
    const char *want;
};

/* "<sender>" and what was given, or the error and the parameter that it is about. */
static const struct row mail_rows[] = {
    {SPAN_LIT("FROM:<a@b>"),                           "<a@b>"                           },
    {SPAN_LIT("from:<a@b>"),                           "<a@b>"                           },
    {SPAN_LIT("FROM: <a@b>"),                          "<a@b>"                           },
    {SPAN_LIT("FROM:\t <a@b>"),                        "<a@b>"                           },
    {SPAN_LIT("FROM:a@b"),                             "<a@b>"                           },
    {SPAN_LIT("FROM:a@b SIZE=5"),                      "<a@b> size=5"                    },
    {SPAN_LIT("FROM:<>"),                              "<>"                              },
    {SPAN_LIT("FROM:<a@b> "),                          "<a@b>"                           },
    {SPAN_LIT("FROM:<a@b>  \t SIZE=1\tBODY=7BIT  "),   "<a@b> size=1 7bit"               },
    {SPAN_LIT("FROM:<a@b> SIZE=0"),                    "<a@b> size=0"                    },
    {SPAN_LIT("FROM:<a@b> size=0012"),                 "<a@b> size=12"                   },
    {SPAN_LIT("FROM:<a@b> SIZE=9223372036854775806"),  "<a@b> size=9223372036854775806"  },
    {SPAN_LIT("FROM:<a@b> SIZE=9223372036854775807"),  "<a@b> size=9223372036854775807"  },
    {SPAN_LIT("FROM:<a@b> SIZE=9223372036854775808"),  "SYNTAX SIZE=9223372036854775808" },
    {SPAN_LIT("FROM:<a@b> SIZE=99999999999999999999"), "SYNTAX SIZE=99999999999999999999"},
    {SPAN_LIT("FROM:<a@b> SIZE=18446744073709551617"), "SYNTAX SIZE=18446744073709551617"},
    {SPAN_LIT("FROM:<a@b> SIZE="),                     "SYNTAX SIZE="                    },
    {SPAN_LIT("FROM:<a@b> SIZE"),                      "SYNTAX SIZE"                     },
    {SPAN_LIT("FROM:<a@b> SIZE=-1"),                   "SYNTAX SIZE=-1"                  },
    {SPAN_LIT("FROM:<a@b> SIZE=+1"),                   "SYNTAX SIZE=+1"                  },
    {SPAN_LIT("FROM:<a@b> SIZE=1x"),                   "SYNTAX SIZE=1x"                  },
    {SPAN_LIT("FROM:<a@b> SIZE=1=2"),                  "SYNTAX SIZE=1=2"                 },
    {SPAN_LIT("FROM:<a@b> SIZE=1 SIZE=1"),             "SYNTAX SIZE=1"                   },
    {SPAN_LIT("FROM:<a@b> SIZE=1 size=2"),             "SYNTAX size=2"                   },
    {SPAN_LIT("FROM:<a@b> SIZE =1"),                   "SYNTAX SIZE"                     },
    {SPAN_LIT("FROM:<a@b> BODY=8BITMIME"),             "<a@b> 8bitmime"                  },
    {SPAN_LIT("FROM:<a@b> body=8bitmime"),             "<a@b> 8bitmime"                  },
    {SPAN_LIT("FROM:<a@b> BODY=BINARYMIME"),           "UNSUPPORTED BODY=BINARYMIME"     },
    {SPAN_LIT("FROM:<a@b> BODY="),                     "SYNTAX BODY="                    },
    {SPAN_LIT("FROM:<a@b> BODY"),                      "SYNTAX BODY"                     },
    {SPAN_LIT("FROM:<a@b> SMTPUTF8"),                  "<a@b> utf8"                      },
    {SPAN_LIT("FROM:<a@b> SMTPUTF8="),                 "SYNTAX SMTPUTF8="                },
    {SPAN_LIT("FROM:<a@b> SMTPUTF8=1"),                "SYNTAX SMTPUTF8=1"               },
    {SPAN_LIT("FROM:<\xc3\xa9@b> SIZE=1 SMTPUTF8"),    "<\xc3\xa9@b> size=1 utf8"        },
    {SPAN_LIT("FROM:<\xc3\xa9@b> SIZE=1"),             "ADDRESS 3"                       },
    {SPAN_LIT("FROM:<\xc3\xa9@b>"),                    "ADDRESS 3"                       },
    {SPAN_LIT("FROM:<\xff@b> SMTPUTF8"),               "ADDRESS 1"                       },
    {SPAN_LIT("FROM:<\xc3\xa9@b> FOO SMTPUTF8"),       "UNSUPPORTED FOO"                 },
    {SPAN_LIT("FROM:<a@b> RET=FULL ENVID=x+2By"),      "<a@b> full envid=x+2By"          },
    {SPAN_LIT("FROM:<a@b> ret=hdrs envid=QQ314159"),   "<a@b> hdrs envid=QQ314159"       },
    {SPAN_LIT("FROM:<a@b> RET="),                      "SYNTAX RET="                     },
    {SPAN_LIT("FROM:<a@b> RET=BOTH"),                  "SYNTAX RET=BOTH"                 },
    {SPAN_LIT("FROM:<a@b> ENVID"),                     "SYNTAX ENVID"                    },
    {SPAN_LIT("FROM:<a@b> ENVID="),                    "SYNTAX ENVID="                   },
    {SPAN_LIT("FROM:<a@b> ENVID=a+"),                  "SYNTAX ENVID=a+"                 },
    {SPAN_LIT("FROM:<a@b> ENVID=a+2"),                 "SYNTAX ENVID=a+2"                },
    {SPAN_LIT("FROM:<a@b> ENVID=a+2x"),                "SYNTAX ENVID=a+2x"               },
    {SPAN_LIT("FROM:<a@b> ENVID=a=b"),                 "<a@b> envid=a+3Db"               },
    {SPAN_LIT("FROM:<a@b> ENVID=\xc3\xa9 SMTPUTF8"),   "SYNTAX ENVID=\xc3\xa9"           },
    {SPAN_LIT("FROM:<a@b> ENVID=a\x1b"),               "SYNTAX ENVID=a\x1b"              },
    {SPAN_LIT("FROM:<a@b> AUTH=<>"),                   "<a@b>"                           },
    {SPAN_LIT("FROM:<a@b> AUTH=e+3Dmc2@example.com"),  "<a@b>"                           },
    {SPAN_LIT("FROM:<a@b> AUTH="),                     "SYNTAX AUTH="                    },
    {SPAN_LIT("FROM:<a@b> AUTH"),                      "SYNTAX AUTH"                     },
    {SPAN_LIT("FROM:<a@b> AUTH=a+zz"),                 "SYNTAX AUTH=a+zz"                },
    {SPAN_LIT("FROM:<a@b> AUTH=<> AUTH=<>"),           "SYNTAX AUTH=<>"                  },
    {SPAN_LIT("FROM:<a@b> FOO=1"),                     "UNSUPPORTED FOO=1"               },
    {SPAN_LIT("FROM:<a@b> FOO"),                       "UNSUPPORTED FOO"                 },
    {SPAN_LIT("FROM:<a@b> SIZE=1 X-FOO="),             "UNSUPPORTED X-FOO="              },
    {SPAN_LIT("FROM:<a@b> NOTIFY=NEVER"),              "UNSUPPORTED NOTIFY=NEVER"        },
    {SPAN_LIT("FROM:<a@b> =1"),                        "SYNTAX =1"                       },
    {SPAN_LIT("FROM:<a@b> -X=1"),                      "SYNTAX -X=1"                     },
    {SPAN_LIT("FROM:<a@b> F@O"),                       "SYNTAX F@O"                      },
    {SPAN_LIT("FROM:<a@b> <c@d>"),                     "SYNTAX <c@d>"                    },
    {SPAN_LIT("FROM:<a@b>SIZE=1"),                     "SYNTAX SIZE=1"                   },
    {SPAN_LIT("FROM:<a@b>>"),                          "SYNTAX >"                        },
    {SPAN_LIT("FROM:<a@b>\r"),                         "SYNTAX \r"                       },
    {SPAN_LIT("FROM:<a@b> SIZE=1\r"),                  "SYNTAX SIZE=1\r"                 },
    {SPAN_LIT("FROM:<\"\"@b>"),                        "ADDRESS 1"                       },
    {SPAN_LIT("FROM:<a@b"),                            "ADDRESS 1"                       },
    {SPAN_LIT("FROM:<a b@c>"),                         "ADDRESS 1"                       },
    {SPAN_LIT("FROM:"),                                "MISSING"                         },
    {SPAN_LIT("FROM"),                                 "MISSING"                         },
    {SPAN_LIT("FROM<a@b>"),                            "MISSING"                         },
    {SPAN_LIT("FROM :<a@b>"),                          "MISSING"                         },
    {SPAN_LIT("TO:<a@b>"),                             "MISSING"                         },
    {SPAN_LIT("<a@b>"),                                "MISSING"                         },
    {SPAN_LIT(""),                                     "MISSING"                         },
};

static void mail_text(struct span args, struct text *t)
{
    struct smtp_mail_params p;
    enum smtp_param_error error;

    memset(&p, 0xee, sizeof p); /* must not be relied on */
    error = smtp_command_mail(args, &p);
    if (error == SMTP_PARAM_OK) {
        text_printf(t, "<%s>", p.sender.text);
        if (p.has_size)
            text_printf(t, " size=%llu", (unsigned long long)p.size);
        if (p.has_body)
            text_cstr(t, p.body == SMTP_BODY_8BITMIME ? " 8bitmime" : " 7bit");
        text_cstr(t, p.smtputf8 ? " utf8" : "");
        text_cstr(t, p.ret == SMTP_RET_FULL ? " full" : p.ret == SMTP_RET_HDRS ? " hdrs" : "");
        text_printf(t, "%s%s", p.envid[0] ? " envid=" : "", p.envid);
        return;
    }
    text_cstr(t, error_name(error));
    text_cstr(t, p.bad.len > 0 ? " " : "");
    text_span(t, p.bad);
    if (error == SMTP_PARAM_ADDRESS)
        text_printf(t, " %d", (int)p.address_error);
}

static const struct row rcpt_rows[] = {
    {SPAN_LIT("TO:<a@b>"),                              "<a@b> 0"                      },
    {SPAN_LIT("to: a@b"),                               "<a@b> 0"                      },
    {SPAN_LIT("TO:<>"),                                 "<> 0"                         },
    {SPAN_LIT("TO:<postmaster>"),                       "<postmaster> 0"               },
    {SPAN_LIT("TO:<a@b> NOTIFY=NEVER"),                 "<a@b> 1"                      },
    {SPAN_LIT("TO:<a@b> NOTIFY=SUCCESS"),               "<a@b> 2"                      },
    {SPAN_LIT("TO:<a@b> NOTIFY=FAILURE"),               "<a@b> 4"                      },
    {SPAN_LIT("TO:<a@b> NOTIFY=DELAY"),                 "<a@b> 8"                      },
    {SPAN_LIT("TO:<a@b> notify=delay,Success,FAILURE"), "<a@b> 14"                     },
    {SPAN_LIT("TO:<a@b> NOTIFY=DELAY,DELAY"),           "<a@b> 8"                      },
    {SPAN_LIT("TO:<a@b> NOTIFY"),                       "SYNTAX NOTIFY"                },
    {SPAN_LIT("TO:<a@b> NOTIFY="),                      "SYNTAX NOTIFY="               },
    {SPAN_LIT("TO:<a@b> NOTIFY=,"),                     "SYNTAX NOTIFY=,"              },
    {SPAN_LIT("TO:<a@b> NOTIFY=DELAY,"),                "SYNTAX NOTIFY=DELAY,"         },
    {SPAN_LIT("TO:<a@b> NOTIFY=,DELAY"),                "SYNTAX NOTIFY=,DELAY"         },
    {SPAN_LIT("TO:<a@b> NOTIFY=NEVER,DELAY"),           "SYNTAX NOTIFY=NEVER,DELAY"    },
    {SPAN_LIT("TO:<a@b> NOTIFY=DELAY,NEVER"),           "SYNTAX NOTIFY=DELAY,NEVER"    },
    {SPAN_LIT("TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY"),    "SYNTAX NOTIFY=DELAY"          },
    {SPAN_LIT("TO:<a@b> ORCPT=rfc822;a+2Bb@c"),         "<a@b> 0 rfc822;a+2Bb@c"       },
    {SPAN_LIT("TO:<a@b> ORCPT=rfc822;prvs=1=a@c"),      "<a@b> 0 rfc822;prvs+3D1+3Da@c"},
    {SPAN_LIT("TO:<a@b> orcpt=x-y;z NOTIFY=NEVER"),     "<a@b> 1 x-y;z"                },
    {SPAN_LIT("TO:<a@b> ORCPT=rfc822;a;b"),             "<a@b> 0 rfc822;a;b"           },
    {SPAN_LIT("TO:<a@b> ORCPT=utf-8;\\x{e9}@b"),        "<a@b> 0 utf-8;\\x{e9}@b"      },
    {SPAN_LIT("TO:<a@b> ORCPT=utf-8;\xc3\xa9@b"),       "SYNTAX ORCPT=utf-8;\xc3\xa9@b"},
    {SPAN_LIT("TO:<a@b> ORCPT=nosemicolon"),            "SYNTAX ORCPT=nosemicolon"     },
    {SPAN_LIT("TO:<a@b> ORCPT=rfc822;"),                "SYNTAX ORCPT=rfc822;"         },
    {SPAN_LIT("TO:<a@b> ORCPT=;a@b"),                   "SYNTAX ORCPT=;a@b"            },
    {SPAN_LIT("TO:<a@b> ORCPT=rf=c;a@b"),               "SYNTAX ORCPT=rf=c;a@b"        },
    {SPAN_LIT("TO:<a@b> ORCPT=rfc822;a+b@c"),           "SYNTAX ORCPT=rfc822;a+b@c"    },
    {SPAN_LIT("TO:<a@b> ORCPT="),                       "SYNTAX ORCPT="                },
    {SPAN_LIT("TO:<a@b> ORCPT"),                        "SYNTAX ORCPT"                 },
    {SPAN_LIT("TO:<a@b> ORCPT=a;b ORCPT=a;b"),          "SYNTAX ORCPT=a;b"             },
    {SPAN_LIT("TO:<a@b> SIZE=1"),                       "UNSUPPORTED SIZE=1"           },
    {SPAN_LIT("TO:<a@b> FOO=1"),                        "UNSUPPORTED FOO=1"            },
    {SPAN_LIT("TO:<a@b>NOTIFY=NEVER"),                  "SYNTAX NOTIFY=NEVER"          },
    {SPAN_LIT("TO:<\"\"@b>"),                           "ADDRESS 1"                    },
    {SPAN_LIT("TO:<\xc3\xa9@b>"),                       "ADDRESS 3"                    },
    {SPAN_LIT("TO:<a\xe2\x80\x8b@b>"),                  "ADDRESS 3"                    }, /* zero-width space */
    {SPAN_LIT("TO:"),                                   "MISSING"                      },
    {SPAN_LIT("FROM:<a@b>"),                            "MISSING"                      },
    {SPAN_LIT(""),                                      "MISSING"                      },
};

static void rcpt_text(struct span args, bool utf8, struct text *t)
{
    struct smtp_rcpt_params p;
    enum smtp_param_error error;

    memset(&p, 0xee, sizeof p);
    error = smtp_command_rcpt(args, utf8, &p);
    if (error == SMTP_PARAM_OK) {
        text_printf(t, "<%s> %u", p.recipient.text, p.notify);
        text_printf(t, "%s%s", p.orcpt[0] ? " " : "", p.orcpt);
        return;
    }
    text_cstr(t, error_name(error));
    text_cstr(t, p.bad.len > 0 ? " " : "");
    text_span(t, p.bad);
    if (error == SMTP_PARAM_ADDRESS)
        text_printf(t, " %d", (int)p.address_error);
}

static void test_mail(void **state)
{
    for (size_t i = 0; i < COUNT(mail_rows); i++) {
        char *copy = trace_copy(mail_rows[i].args);
        char got[1024];
        struct text t;

        text_init(&t, got, sizeof got);
        mail_text(span_make(copy, mail_rows[i].args.len), &t);
        free(copy);
        assert_string_equal(got, mail_rows[i].want);
    }
}

static void test_rcpt(void **state)
{
    char got[1024];
    struct text t;

    for (size_t i = 0; i < COUNT(rcpt_rows); i++) {
        char *copy = trace_copy(rcpt_rows[i].args);

        text_init(&t, got, sizeof got);
        rcpt_text(span_make(copy, rcpt_rows[i].args.len), false, &t);
        free(copy);
        assert_string_equal(got, rcpt_rows[i].want);
    }
    text_init(&t, got, sizeof got);
    rcpt_text(SPAN_LIT("TO:<\xc3\xa9@b> ORCPT=utf-8;\xc3\xa9@b"), true, &t);
    assert_string_equal(got, "<\xc3\xa9@b> 0 utf-8;\xc3\xa9@b");
    text_init(&t, got, sizeof got);
    rcpt_text(SPAN_LIT("TO:<a@b> ORCPT=utf-8;\xff"), true, &t);
    assert_string_equal(got, "SYNTAX ORCPT=utf-8;\xff");
}

/* `prefix`, then `len` times `c`. */
static struct span sized(const char *prefix, char c, size_t len)
{
    static char buf[1024];
    struct text t;

    text_init(&t, buf, sizeof buf);
    text_cstr(&t, prefix);
    while (len-- > 0)
        text_char(&t, c);
    assert_false(t.overflow);
    return text_as_span(&t);
}

static void test_limits(void **state)
{
    const size_t envid_max = SMTP_ENVID_CAP - 1;
    const size_t orcpt_max = SMTP_ORCPT_CAP - 1 - strlen("rfc822;");
    const char *mail = "FROM:<a@b> ENVID=";
    const char *rcpt = "TO:<a@b> ORCPT=rfc822;";
    struct smtp_mail_params m;
    struct smtp_rcpt_params r;

    assert_int_equal(smtp_command_mail(sized(mail, 'x', envid_max - 1), &m), SMTP_PARAM_OK);
    assert_int_equal(smtp_command_mail(sized(mail, 'x', envid_max), &m), SMTP_PARAM_OK);
    assert_int_equal(strlen(m.envid), 100);
    assert_int_equal(smtp_command_mail(sized(mail, 'x', envid_max + 1), &m), SMTP_PARAM_SYNTAX);
    assert_string_equal(m.envid, "");
    assert_int_equal(smtp_command_mail(sized(mail, '=', 33), &m), SMTP_PARAM_OK);
    assert_int_equal(smtp_command_mail(sized(mail, '=', 34), &m), SMTP_PARAM_SYNTAX);
    assert_int_equal(smtp_command_rcpt(sized(rcpt, 'x', 500), false, &r), SMTP_PARAM_OK);
    assert_int_equal(smtp_command_rcpt(sized(rcpt, 'x', orcpt_max - 1), false, &r), SMTP_PARAM_OK);
    assert_int_equal(smtp_command_rcpt(sized(rcpt, 'x', orcpt_max), false, &r), SMTP_PARAM_OK);
    assert_int_equal(strlen(r.orcpt), SMTP_ORCPT_CAP - 1);
    assert_int_equal(smtp_command_rcpt(sized(rcpt, 'x', orcpt_max + 1), false, &r),
                     SMTP_PARAM_SYNTAX);
    assert_string_equal(r.orcpt, "");
    assert_int_equal(smtp_command_mail(sized("FROM:<", 'x', 600), &m), SMTP_PARAM_ADDRESS);
    assert_int_equal(smtp_command_mail(sized("FROM:", 'x', 256), &m), SMTP_PARAM_ADDRESS);
    assert_int_equal(m.address_error, SMTP_ADDRESS_TOO_LONG);
}

struct bdat_row {
    struct span args;
    bool valid;
    uint64_t size;
    bool last;
};

static const struct bdat_row bdat_rows[] = {
    {SPAN_LIT("0"),                    true,  0,                    false},
    {SPAN_LIT("0 LAST"),               true,  0,                    true },
    {SPAN_LIT("86 last"),              true,  86,                   true },
    {SPAN_LIT("00086 \t LAST"),        true,  86,                   true },
    {SPAN_LIT("2147483648"),           true,  2147483648u,          false},
    {SPAN_LIT("4294967296"),           true,  4294967296u,          false},
    {SPAN_LIT("9223372036854775806"),  true,  9223372036854775806u, false},
    {SPAN_LIT("9223372036854775807"),  true,  9223372036854775807u, false},
    {SPAN_LIT("9223372036854775808"),  false, 0,                    false},
    {SPAN_LIT("18446744073709551616"), false, 0,                    false},
    {SPAN_LIT("18446744073709551621"), false, 0,                    false},
    {SPAN_LIT(""),                     false, 0,                    false},
    {SPAN_LIT("LAST"),                 false, 0,                    false},
    {SPAN_LIT("-1"),                   false, 0,                    false},
    {SPAN_LIT("+1"),                   false, 0,                    false},
    {SPAN_LIT("1x"),                   false, 0,                    false},
    {SPAN_LIT("0x10"),                 false, 0,                    false},
    {SPAN_LIT("1 LASTX"),              false, 0,                    false},
    {SPAN_LIT("1 FIRST"),              false, 0,                    false},
    {SPAN_LIT("1 LAST x"),             false, 0,                    false},
    {SPAN_LIT("1 LAST LAST"),          false, 0,                    false},
    {SPAN_LIT("1\0LAST"),              false, 0,                    false},
    {SPAN_LIT("1 LAST\r"),             false, 0,                    false},
};

static void test_bdat(void **state)
{
    for (size_t i = 0; i < COUNT(bdat_rows); i++) {
        uint64_t size = 0;
        bool last = false;

        assert_int_equal(smtp_command_bdat(bdat_rows[i].args, &size, &last), bdat_rows[i].valid);
        if (bdat_rows[i].valid) {
            assert_int_equal(size, bdat_rows[i].size);
            assert_int_equal(last, bdat_rows[i].last);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),  cmocka_unit_test(test_verb_names),
        cmocka_unit_test(test_mail),   cmocka_unit_test(test_rcpt),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_bdat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
