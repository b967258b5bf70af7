/* Tests of what the commands are made of: settings from files, sendmail's options and recipients.
 */
#include "commands/sendmail.h"
#include "commands/settings.h"
#include "disk_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- settings ---- */

static struct disk_fixture disk;
static char ini[128];
static unsigned errors;

static int setup(void **state)
{
    disk_setup(&disk);
    snprintf(ini, sizeof ini, "%s/mxgate.ini", disk.path);
    errors = 0;
    unsetenv("MXGATE_INI");
    unsetenv("QUEUE_DIRECTORY");
    return 0;
}

static int teardown(void **state)
{
    disk_teardown(&disk);
    return 0;
}

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    errors += kind == CONFIG_NOTE_ERROR;
}

static int load(const char *option, bool lenient, struct config **config, struct errbuf *err)
{
    struct settings_request request = {.ini = option, .lenient = lenient, .note = on_note};

    err->text[0] = '\0';
    return settings_load(&request, config, err);
}

static void expect_queue(const char *option, const char *want)
{
    struct config *config;
    struct errbuf err;

    if (load(option, true, &config, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(config->queue_directory, want);
    config_unref(&config);
}

static void test_where_settings_come_from(void **state)
{
    static const char text[] = "queue_directory = /srv/from-ini\n";

    expect_queue(NULL, "/var/spool/mxgate");
    disk_put(&disk, "mxgate.ini", text, sizeof text - 1);
    expect_queue(ini, "/srv/from-ini");
    setenv("MXGATE_INI", ini, 1);
    expect_queue(NULL, "/srv/from-ini");
    setenv("QUEUE_DIRECTORY", "/srv/from-environment", 1);
    expect_queue(NULL, "/srv/from-environment");
    setenv("MXGATE_INI", "", 1); /* as compose files leave it */
    expect_queue(NULL, "/srv/from-environment");
    setenv("MXGATE_INI", "/no/such/file", 1);
    expect_queue(ini, "/srv/from-environment"); /* the option is stronger */
}

static void test_files_that_cannot_be_read(void **state)
{
    struct config *config;
    struct errbuf err;
    char *large = calloc(1, SETTINGS_INI_MAX + 1);

    assert_non_null(large);
    assert_int_equal(load(ini, true, &config, &err), -ENOENT);
    assert_non_null(strstr(err.text, "mxgate.ini: No such file"));
    assert_null(config);
    assert_int_equal(load(disk.path, true, &config, &err), -EISDIR);
    disk_put(&disk, "mxgate.ini", "a\0b", 3);
    assert_int_equal(load(ini, true, &config, &err), -EFBIG);
    memset(large, '\n', SETTINGS_INI_MAX + 1);
    disk_put(&disk, "mxgate.ini", large, SETTINGS_INI_MAX + 1);
    assert_int_equal(load(ini, true, &config, &err), -EFBIG);
    disk_put(&disk, "mxgate.ini", large, SETTINGS_INI_MAX);
    assert_int_equal(load(ini, true, &config, &err), 0);
    config_unref(&config);
    free(large);
}

static void test_only_serve_is_strict(void **state)
{
    struct config *config;
    struct errbuf err;

    assert_int_equal(load(NULL, false, &config, &err), -EINVAL);
    assert_true(errors >= 2); /* no domain, no transport */
    errors = 0;
    assert_int_equal(load(NULL, true, &config, &err), 0);
    assert_int_equal(errors, 0);
    config_unref(&config);
}

/* ---- sendmail's options ---- */

static int parse(struct sendmail_options *out, const char *line)
{
    static char copy[512];
    static char *argv[32];
    int argc = 0;
    char *rest = copy;

    snprintf(copy, sizeof copy, "sendmail%s%s", line[0] ? " " : "", line);
    while (rest && argc < 31)
        argv[argc++] = strsep(&rest, " ");
    argv[argc] = NULL;
    optind = 0; /* glibc: start anew */
    return sendmail_options_parse(argc, argv, out);
}

static void test_options(void **state)
{
    struct sendmail_options o;

    assert_int_equal(parse(&o, "-f a@b -F Name -t -i -v -N never -R hdrs -V id c@d e@f"), EX_OK);
    assert_string_equal(o.sender, "a@b");
    assert_string_equal(o.full_name, "Name");
    assert_true(o.extract && o.ignore_dot && o.verbose);
    assert_string_equal(o.notify, "never");
    assert_string_equal(o.ret, "hdrs");
    assert_string_equal(o.envid, "id");
    assert_int_equal(o.recipient_count, 2);
    assert_string_equal(o.recipients[1], "e@f");
    assert_int_equal(parse(&o, "-oi -oem -odb -om -B8BITMIME -O x=y -G -U -n -m -x -bm -h 5 -C f "
                               "-ra@b -- -c@d"),
                     EX_OK);
    assert_true(o.ignore_dot && !o.extract && o.mode == SENDMAIL_DELIVER);
    assert_string_equal(o.sender, "a@b");
    assert_int_equal(o.recipient_count, 1);
    assert_string_equal(o.recipients[0], "-c@d");
    assert_int_equal(parse(&o, "a@b -t"), EX_OK); /* an address, then another: never an option */
    assert_true(o.recipient_count == 2 && !o.extract);
}

static void test_modes(void **state)
{
    struct sendmail_options o;

    assert_int_equal(parse(&o, "-bp"), EX_OK);
    assert_int_equal(o.mode, SENDMAIL_LIST);
    assert_int_equal(parse(&o, "-q"), EX_OK);
    assert_int_equal(o.mode, SENDMAIL_FLUSH);
    assert_int_equal(parse(&o, "-bs"), EX_USAGE);
    assert_int_equal(parse(&o, "-bd"), EX_USAGE);
    assert_int_equal(parse(&o, "-Z"), EX_USAGE);
    assert_int_equal(parse(&o, "-f"), EX_USAGE);
}

/* ---- sendmail's recipients ---- */

static void expect_extracted(const char *header, int want_rc, const char *want)
{
    struct sendmail_recipients r = {NULL, 0, 0};
    struct errbuf err;
    char got[512] = "";

    assert_int_equal(sendmail_recipients_extract(&r, span_of(header), &err), want_rc);
    for (size_t i = 0; i < r.count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s ", r.list[i]);
    assert_string_equal(got, want);
    sendmail_recipients_free(&r);
}

static void test_extract(void **state)
{
    expect_extracted("", EX_OK, "");
    expect_extracted("From: x@y\nSubject: To: z@y\nReply-To: r@y\n", EX_OK, "");
    expect_extracted("To: a@b, \"C, D\" <c@d>\nCC: e@f,\n\tg@h\nbcc: i@j\nTo: k@l\n", EX_OK,
                     "a@b c@d e@f g@h i@j k@l ");
    expect_extracted("To: a@b, a@b\nCc: a@b\n", EX_OK, "a@b ");
    expect_extracted("Resent-To: new@b\nResent-From: x@y\nTo: old@b\nBcc: old2@b\n", EX_OK,
                     "new@b ");
    expect_extracted("To: undisclosed-recipients:;\nCc: a@b\n", EX_OK, "a@b ");
    expect_extracted("To: a@b, John Smith\n", EX_DATAERR, "a@b ");
}

static void test_arguments(void **state)
{
    struct sendmail_recipients r = {NULL, 0, 0};
    struct errbuf err;

    assert_int_equal(sendmail_recipients_add(&r, SPAN_LIT("a@b"), &err), EX_OK);
    assert_int_equal(sendmail_recipients_add(&r, SPAN_LIT("Ann <c@d>, e@f"), &err), EX_OK);
    assert_int_equal(sendmail_recipients_add(&r, SPAN_LIT("a@b"), &err), EX_OK);
    assert_int_equal(r.count, 3);
    assert_int_equal(sendmail_recipients_add(&r, SPAN_LIT("two words"), &err), EX_USAGE);
    assert_string_equal(err.text, "bad recipient address: two words");
    sendmail_recipients_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_where_settings_come_from, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_that_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_serve_is_strict, setup, teardown),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_extract),
        cmocka_unit_test(test_arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
