/* Tests of message/resent: the fields on top of a message that is sent to somebody else. */
#include "message/resent.h"

#include "smtp/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TAIL                                                                                       \
    "Resent-Date: Sat, 22 Aug 2026 15:00:00 +0000 (UTC)\r\n"                                       \
    "Resent-Message-ID: <0123.7@mx.example.com>\r\n"

static const char *written(struct text *t, char *const *to, size_t count)
{
    static char buf[RESENT_CAP + 2 * SMTP_ADDRESS_CAP];
    struct resent r = {.from = "postmaster@example.com",
                       .to = to,
                       .to_count = count,
                       .myhostname = "mx.example.com",
                       .unique = "0123.7",
                       .now_us = 1787410800000000};

    text_init(t, buf, sizeof buf);
    resent_header_write(t, &r);
    return buf;
}

static void test_one(void **state)
{
    static char joe[] = "joe@example.net";
    static char *const to[] = {joe};
    struct text t;

    assert_string_equal(written(&t, to, 1), "Resent-From: postmaster@example.com\r\n"
                                            "Resent-To: joe@example.net\r\n" TAIL);
}

static void test_several(void **state)
{
    static char joe[] = "joe@example.net", quoted[] = "\"an n\"@example.net",
                utf8[] = "z\xc3\xb6@example.org";
    static char *const to[] = {joe, quoted, utf8};
    struct text t;

    assert_string_equal(written(&t, to, 3), "Resent-From: postmaster@example.com\r\n"
                                            "Resent-To: joe@example.net,\r\n"
                                            "\t\"an n\"@example.net,\r\n"
                                            "\tz\xc3\xb6@example.org\r\n" TAIL);
}

/* As many as were promised room fit, however long they are; more than that is no overrun. */
static void test_room(void **state)
{
    static char longest[SMTP_ADDRESS_CAP];
    static char *const to[] = {longest, longest, longest, longest, longest, longest, longest};
    struct text t;

    memset(longest, 'a', sizeof longest - 1);
    written(&t, to, 2);
    assert_false(t.overflow);
    written(&t, to, 7);
    assert_true(t.overflow);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
