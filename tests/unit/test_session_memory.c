/* test_session_memory - every allocation of a session fails in turn: 452, nothing leaked, and the
 * next mail is taken */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static long allocations_left = -1; /* before one fails; negative: none fails */

static bool allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *test_allocate(size_t size)
{
    return allocation_fails() ? NULL : malloc(size);
}

static void *test_allocate_zeroed(size_t count, size_t size)
{
    return allocation_fails() ? NULL : calloc(count, size);
}

static void *test_reallocate(void *old, size_t size)
{
    return allocation_fails() ? NULL : realloc(old, size);
}

static char *test_duplicate(const char *text)
{
    return allocation_fails() ? NULL : strdup(text);
}

/* The files that allocate, built a second time; the library's own copies are then not linked. */
#undef malloc
#undef calloc
#undef realloc
#undef strdup
#define malloc  test_allocate
#define calloc  test_allocate_zeroed
#define realloc test_reallocate
#define strdup  test_duplicate
#include "message/envelope.c"
#include "server/session_auth.c"
#include "server/session_data.c"
#include "server/session_mail.c"
#include "server/session_tls.c"

#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAIL                                                                                       \
    "MAIL FROM:<s@example.net>\r\nRCPT TO:<r@example.com> ORCPT=rfc822;r@example.com\r\n"          \
    "RCPT TO:<q@example.com>\r\nDATA\r\n"

static void send_mail(struct fixture *f)
{
    fixture_say(f, MAIL);
    if (f->session.state == SESSION_DATA)
        fixture_say(f, "A: b\r\n.\r\n");
}

static void test_every_allocation(void **state)
{
    struct fixture f;
    unsigned refused = 0;
    long at = 0;

    fixture_init(&f, NULL);
    do {
        fixture_greet(&f);
        f.submit_reply = "450 4.3.0 Error: not now"; /* so that the log needs the sender */
        allocations_left = at++;
        send_mail(&f);
        refused += strstr(bytes_text(&f.said), "452 4.3.1 Insufficient system storage\r\n") != NULL;
        if (allocations_left >= 0)
            break; /* none was left to fail */
        f.submit_reply = NULL;
        fixture_heard(&f);
        fixture_talk(&f, "RSET\r\n", "250 2.0.0 Ok\r\n");
        send_mail(&f);
        assert_int_equal(f.message_count, 1);
    } while (at < 100);
    assert_in_range(refused, 5, 20);
    assert_in_range(at, refused + 1, 50);
    fixture_free(&f);
}

/* What TLS settled cannot be kept: the client comes back, in a session of its own. */
static void test_handshake(void **state)
{
    static const char *const pairs[] = {"smtpd_tls_security_level=may", NULL};
    struct fixture f;

    fixture_init(&f, pairs);
    fixture_greet(&f);
    fixture_talk(&f, "STARTTLS\r\n", "220 2.0.0 Ready to start TLS\r\n");
    allocations_left = 0;
    fixture_secure(&f);
    allocations_left = -1;
    assert_string_equal(fixture_heard(&f), "421 4.3.0 mx.example.com Error: out of memory\r\n");
    assert_int_equal(f.hang_ups, 1);
    fixture_free(&f);
}

/* AUTH: trouble that passes, and the next attempt is taken; a message whose header is completed. */
static void test_logins(void **state)
{
    static const char *const pairs[] = {"smtpd_sasl_users=ann:secret", "smtpd_sasl_auth_enable=yes",
                                        "smtpd_tls_auth_only=no", NULL};
    struct fixture f;
    unsigned refused = 0;
    long at = 0;

    fixture_init(&f, pairs);
    do {
        fixture_greet(&f);
        fixture_say(&f, "EHLO h\r\n");
        allocations_left = at++;
        fixture_say(&f, "AUTH PLAIN\r\n");
        if (f.session.state == SESSION_AUTH)
            fixture_say(&f, "AGFubgBzZWNyZXQ=\r\n");
        send_mail(&f);
        if (allocations_left >= 0)
            break; /* none was left to fail */
        refused += strstr(bytes_text(&f.said), "454 4.7.0 Temporary authentication failure: out of "
                                               "memory\r\n") != NULL;
        fixture_heard(&f);
        fixture_talk(&f, "RSET\r\n", "250 2.0.0 Ok\r\n");
        if (!f.session.login)
            fixture_talk(&f, "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
                         "235 2.7.0 Authentication successful\r\n");
        send_mail(&f);
        assert_true(f.message_count > 0);
    } while (at < 100);
    assert_int_equal(refused, 3); /* the dialogue, its line, who it was */
    assert_in_range(at, refused + 5, 50);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_logins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
