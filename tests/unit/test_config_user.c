/* Tests of run_as_user's syntax. */
#include "config/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct row {
    const char *text;
    bool good;
    unsigned uid;
    unsigned gid;
};

static const struct row rows[] = {
    {"10025:10026",          true,  10025,       10026},
    {"10025",                true,  10025,       10025},
    {"0:0",                  true,  0,           0    },
    {"0",                    true,  0,           0    },
    {"2147483647:1",         true,  2147483647u, 1    },
    {"",                     false, 0,           0    },
    {":",                    false, 0,           0    },
    {"10025:",               false, 0,           0    },
    {":10025",               false, 0,           0    },
    {"mail",                 false, 0,           0    },
    {"mail:mail",            false, 0,           0    },
    {"-1",                   false, 0,           0    },
    {"4294967295",           false, 0,           0    }, /* "leave it as it is" to the system */
    {"2147483648",           false, 0,           0    },
    {"1:2:3",                false, 0,           0    },
    {"1 :2",                 false, 0,           0    },
    {"18446744073709551616", false, 0,           0    },
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct user got = {77, 77};

        if (user_parse(span_of(rows[i].text), &got) != rows[i].good)
            fail_msg("\"%s\"", rows[i].text);
        if (rows[i].good && (got.uid != rows[i].uid || got.gid != rows[i].gid))
            fail_msg("\"%s\": %u:%u", rows[i].text, got.uid, got.gid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
