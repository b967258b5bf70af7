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

    assert_int_equal(parse(&o, "-f a@b -F Name -t -i -v -G -N never -R hdrs -V id c@d e@f"), EX_OK);
    assert_string_equal(o.name, "sendmail");
    assert_string_equal(o.sender, "a@b");
    assert_string_equal(o.full_name, "Name");
    assert_true(o.extract && o.ignore_dot && o.verbose && o.gateway);
    assert_string_equal(o.notify, "never");
    assert_string_equal(o.ret, "hdrs");
    assert_string_equal(o.envid, "id");
    assert_int_equal(o.recipient_count, 2);
    assert_string_equal(o.recipients[1], "e@f");
    assert_int_equal(parse(&o,
                           "-oi -oem -odb -om -o7 -oA/etc/aliases -B8BITMIME -O x=y -U -m -x -c "
                           "-e p -bm -h 5 -C f -L l -p SMTP:x -Am -ra@b -- -c@d"),
                     EX_OK);
    assert_true(o.ignore_dot && !o.extract && o.mode == SENDMAIL_DELIVER && !o.gateway);
    assert_string_equal(o.body, "8BITMIME");
    assert_string_equal(o.sender, "a@b");
    assert_int_equal(o.recipient_count, 1);
    assert_string_equal(o.recipients[0], "-c@d");
    assert_int_equal(parse(&o, "a@b -t"), EX_OK); /* an address, then another: never an option */
    assert_true(o.recipient_count == 2 && !o.extract);
}

/* Several letters behind one dash, the last with its argument in the same word or the next. */
static void test_clustered_options(void **state)
{
    struct sendmail_options o;

    assert_int_equal(parse(&o, "-tiv"), EX_OK);
    assert_true(o.extract && o.ignore_dot && o.verbose);
    assert_int_equal(parse(&o, "-tif a@b"), EX_OK);
    assert_true(o.extract && o.ignore_dot);
    assert_string_equal(o.sender, "a@b");
    assert_int_equal(parse(&o, "-ifa@b c@d"), EX_OK);
    assert_string_equal(o.sender, "a@b");
    assert_int_equal(o.recipient_count, 1);
    assert_int_equal(parse(&o, "-FCronDaemon -i -odi -oem -oi -t -f root"), EX_OK);
    assert_string_equal(o.full_name, "CronDaemon");
    assert_string_equal(o.sender, "root");
}

static void test_modes(void **state)
{
    static const struct {
        const char *line;
        enum sendmail_mode want;
    } rows[] = {
        {"",          SENDMAIL_DELIVER},
        {"-bm",       SENDMAIL_DELIVER},
        {"-bp",       SENDMAIL_LIST   },
        {"-q",        SENDMAIL_FLUSH  },
        {"-v -q",     SENDMAIL_FLUSH  },
        {"-qI0AF",    SENDMAIL_FLUSH  },
        {"-qRx.org",  SENDMAIL_FLUSH  },
        {"-bi",       SENDMAIL_ALIASES},
        {"-I",        SENDMAIL_ALIASES},
        {"-bv a@b",   SENDMAIL_VERIFY },
        {"-bs",       SENDMAIL_SMTP   },
        {"-bd",       SENDMAIL_DAEMON },
        {"-bd -q15m", SENDMAIL_DAEMON },
        {"-q15m",     SENDMAIL_NOTHING},
        {"-bh",       SENDMAIL_NOTHING},
        {"-bH",       SENDMAIL_NOTHING},
    };
    struct sendmail_options o;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = parse(&o, rows[i].line);

        if (rc != EX_OK || o.mode != rows[i].want)
            fail_msg("%s: %d, mode %d", rows[i].line, rc, (int)o.mode);
    }
    assert_int_equal(parse(&o, "-qI0AF"), EX_OK);
    assert_string_equal(o.flush_id, "0AF");
    assert_int_equal(parse(&o, "-qRx.org"), EX_OK);
    assert_string_equal(o.flush_site, "x.org");
}

static void test_usage_errors(void **state)
{
    static const char *const lines[] = {
        "-Z",
        "-f",
        "-bz",
        "-bt",
        "-q x",
        "-qSx",
        "-qX",
        "-qR",
        "-qI",
        "-B x",
        "-n",
        "-t -bp",
        "-bv -t a@b",
        "-bv -v a@b",
        "-bp a@b",
        "-bi a@b",
        "-bs a@b",
        "-bd a@b",
        "-bv -N never a@b",
        "-qRx a@b",
        "-qI0AF a@b",
        "-Xfile",
        "-XV a@b",
        "-oA",
        "-t -q",
        "--version",
        "-bp -qRx",
    };
    struct sendmail_options o;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (parse(&o, lines[i]) != EX_USAGE)
            fail_msg("%s", lines[i]);
    }
}

/* A wrong wish about notices does not stop the mail. */
static void test_values_that_are_ignored(void **state)
{
    struct sendmail_options o;

    assert_int_equal(parse(&o, "-N bad -R x -V \x01 a@b"), EX_OK);
    assert_true(!o.notify && !o.ret && !o.envid);
    assert_int_equal(parse(&o, "-N never,success a@b"), EX_OK);
    assert_null(o.notify);
    assert_int_equal(parse(&o, "-N SUCCESS,delay -R FULL a@b"), EX_OK);
    assert_string_equal(o.notify, "SUCCESS,delay");
    assert_string_equal(o.ret, "FULL");
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
    expect_extracted("Resent-From: x@y\nResent-Date: now\nTo: a@b\n", EX_OK, "a@b ");
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
        cmocka_unit_test(test_clustered_options),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_usage_errors),
        cmocka_unit_test(test_values_that_are_ignored),
        cmocka_unit_test(test_extract),
        cmocka_unit_test(test_arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
