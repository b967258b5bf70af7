/* test_config_lenient - commands read their settings beside a daemon that refuses to start */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct notes {
    unsigned warnings;
    unsigned errors;
    char text[4096];
};

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    struct notes *n = ctx;
    size_t len = strlen(n->text);

    n->warnings += kind == CONFIG_NOTE_WARNING;
    n->errors += kind == CONFIG_NOTE_ERROR;
    snprintf(n->text + len, sizeof n->text - len, "%s\n", text);
}

static struct config *build(const char *ini, const char *const *environment, struct notes *notes)
{
    struct config_source source = {.ini_text = ini,
                                   .ini_name = "mxgate.ini",
                                   .environment = environment,
                                   .system_hostname = "mx.example.org"};
    struct config *config = NULL;

    memset(notes, 0, sizeof *notes);
    assert_int_equal(config_build_lenient(&source, on_note, notes, &config), 0);
    assert_non_null(config);
    assert_int_equal(notes->errors, 0);
    return config;
}

static void test_nothing_set(void **state)
{
    struct notes notes;
    struct config *c = build(NULL, NULL, &notes);

    assert_int_equal(notes.warnings, 0); /* no domain, no transport: not a command's business */
    assert_string_equal(c->queue_directory, "/var/spool/mxgate");
    assert_string_equal(c->control_socket, "/var/spool/mxgate/control.sock");
    assert_string_equal(c->myhostname, "mx.example.org");
    config_unref(&c);
}

static void test_bad_values_keep_their_defaults(void **state)
{
    static const char *const environment[] = {"MESSAGE_SIZE_LIMIT=huge", "MYNETWORKS=everybody",
                                              "ALLOWED_DOMAINS=example.com, a..b", NULL};
    struct notes notes;
    struct config *c = build("queue_directory = /srv/q\nsmtpd_recipient_limit = none\n"
                             "no_such_name = 1\nnonsense\n",
                             environment, &notes);

    assert_true(notes.warnings >= 6);
    assert_string_equal(c->queue_directory, "/srv/q");
    assert_string_equal(c->control_socket, "/srv/q/control.sock");
    assert_int_equal(c->message_size_limit, 26214400);
    assert_int_equal(c->smtpd_recipient_limit, 1000);
    assert_int_equal(c->networks.count, 2);
    assert_int_equal(c->domains.count, 0);
    config_unref(&c);
}

/* One that is fine by itself, but is made of one that is not. */
static void test_reference_to_a_bad_value(void **state)
{
    struct notes notes;
    struct config *c =
        build("mydomain = bad domain!\nqueue_directory = /srv/$mydomain\n", NULL, &notes);

    assert_string_equal(c->mydomain, "example.org");
    assert_string_equal(c->queue_directory, "/srv/example.org");
    config_unref(&c);
}

static void test_said_once(void **state)
{
    struct notes notes;
    struct config *c = build("message_size_limit = huge\n", NULL, &notes);

    assert_int_equal(notes.warnings, 1);
    assert_non_null(strstr(notes.text, "message_size_limit"));
    config_unref(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set),
        cmocka_unit_test(test_bad_values_keep_their_defaults),
        cmocka_unit_test(test_reference_to_a_bad_value),
        cmocka_unit_test(test_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
