/* Tests of queue/spool_scan: what a start finds, in order, and what it does about the rest. */
#include "spool_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct spool_fixture f;
static struct spool_seen seen;

static int setup(void **state)
{
    spool_setup(&f);
    return 0;
}

static int teardown(void **state)
{
    spool_teardown(&f);
    return 0;
}

/* ---- scan ------------------------------------------------------------------ */

static void test_scan_in_order_of_ids(void **state)
{
    static const unsigned order[] = {5, 1, 9, 3, 300, 2};

    for (unsigned i = 0; i < 6; i++)
        spool_store(&f, order[i], i == 2 ? 200000 : i * 2000);
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.files, 6);
    assert_int_equal(seen.bad, 0);
    assert_int_equal(seen.pending, 12);
    assert_string_equal(f.spool.last_seen.text, "000000000000012C");
}

static void test_scan_of_an_empty_spool(void **state)
{
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.files + seen.bad, 0);
    assert_string_equal(f.spool.last_seen.text, "");
}

/* Header and tail are far apart and both large. */
static void test_scan_reads_large_headers_and_tails(void **state)
{
    static char records[1 << 20];
    struct spool_message m;
    char address[64];
    struct text t;

    text_init(&t, records, sizeof records);
    spool_message_init(&m, &f, 1, 50000);
    for (unsigned i = 2; i < 1000; i++) {
        snprintf(address, sizeof address, "recipient-number-%u@example.com", i);
        assert_true(envelope_add_recipient(m.envelope, span_of(address), 0, span_of(NULL)));
        spool_format_attempt(&t, 100 + i, i, SPOOL_SENT, "2.0.0", SPAN_LIT("250 2.0.0 saved"));
    }
    assert_false(t.overflow);
    m.commit.records = records;
    m.commit.records_len = t.len;
    spool_message_commit(&m);
    disk_run(&f.disk);
    assert_int_equal(m.rc, 0);
    disk_fault_none();
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.files, 1);
    assert_int_equal(seen.pending, 2);
    assert_int_equal(seen.file.attempts, 998);
    assert_in_range(disk_count(DISK_PREAD), 2, 8);
    assert_int_equal(spool_check(&f, 1, 50000), 0);
    spool_message_deinit(&m);
}

static void put(const char *name, const char *text)
{
    disk_put(&f.disk, name, text, strlen(text));
}

static void test_scan_sorts_out_what_is_corrupt(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"",                                                        "cut short in the header, at 0 bytes; moved to corrupt/"                      },
        {"hello\n",                                                 "line 1: not a spool file; moved to corrupt/"                                 },
        {"mxgate-spool 1\nid ",                                     "cut short in the header, at 18 bytes; moved to corrupt/"                     },
        {"mxgate-spool 2\n",                                        "line 1: written by another version of mxgate; moved to"                      },
        {"mxgate-spool 1\nid 0000000000000002\narrival 1.000000\nclient - - 0\nsender <>\n"
         "rcpt 0 <a@b>\nbody 5\nabc",                      "cut short in the body, at 3 of 5 bytes; moved to corrupt/"                   },
        {"mxgate-spool 1\nid 0000000000000002\narrival 1.000000\nclient - - 0\nsender <>\n"
         "rcpt 0 <a@b>\nbody 3\nabc",                      "after the body: line 0: the end of the message is missing; moved to corrupt/"},
        {"mxgate-spool 1\nid 0000000000000003\narrival 1.000000\nclient - - 0\nsender <>\n"
         "rcpt 0 <a@b>\nbody 3\nabcend crc32c=00000000\n", "is 0000000000000003 by its header; moved to corrupt/"                        },
    };
    unsigned n = sizeof rows / sizeof rows[0];

    spool_store(&f, 1, 100);
    for (unsigned i = 0; i < n; i++) {
        put("queue/0000000000000002", rows[i].text);
        assert_int_equal(spool_scan_all(&f, &seen), 0);
        assert_int_equal(seen.files, 1);
        assert_int_equal(seen.bad, 1);
        if (!strstr(seen.why, rows[i].why))
            fail_msg("%s", seen.why);
        assert_int_equal(disk_names(&f.disk, "queue"), 1);
        assert_int_equal(disk_names(&f.disk, "corrupt"), i + 1); /* none replaces another */
    }
    spool_reopen(&f);
    assert_int_equal(disk_names(&f.disk, "corrupt"), n);
    assert_string_equal(f.spool.last_seen.text, "0000000000000002"); /* ID.1, ID.2, ... count */
}

static void test_scan_leaves_what_is_not_ours(void **state)
{
    put("queue/README", "x");
    put("queue/0000000000000002.bak", "x");
    assert_int_equal(mkdirat(f.spool.queue_fd, "0000000000000003", 0700), 0);
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.files, 0);
    assert_int_equal(seen.bad, 3);
    assert_string_equal(seen.why, "is not a file");
    assert_int_equal(disk_names(&f.disk, "queue"), 3);
    assert_int_equal(disk_names(&f.disk, "corrupt"), 0);
}

/* A disk that cannot be read is no reason to call mail corrupt, nor to stop serving the rest. */
static void test_scan_with_read_errors(void **state)
{
    spool_store(&f, 1, 100);
    spool_store(&f, 2, 100);
    disk_fault(DISK_PREAD, 0, 1, EIO);
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.files, 1);
    assert_int_equal(seen.bad, 1);
    assert_string_equal(seen.why, "cannot be read: i/o error");
    disk_fault(DISK_OPENAT, 2, 1, EACCES); /* the folder, the first, the second */
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_int_equal(seen.files, 1);
    assert_int_equal(seen.bad, 1);
    assert_string_equal(seen.why, "cannot be opened: permission denied");
    assert_int_equal(disk_names(&f.disk, "corrupt"), 0);
    disk_fault(DISK_OPENAT, 1, 1, EMFILE); /* would hit every file: the scan ends */
    assert_int_equal(spool_scan_all(&f, &seen), -EMFILE);
    disk_fault(DISK_OPENAT, 0, 1, EIO);
    assert_int_equal(spool_scan_all(&f, &seen), -EIO);
}

static void test_move_to_corrupt_fails(void **state)
{
    put("queue/0000000000000002", "x");
    disk_fault(DISK_RENAME, 0, 1, EROFS);
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    assert_string_equal(seen.why,
                        "line 1: not a spool file; cannot be moved to corrupt/: read-only "
                        "file system");
    assert_int_equal(disk_names(&f.disk, "queue"), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_scan_in_order_of_ids),
        TEST(test_scan_of_an_empty_spool),
        TEST(test_scan_reads_large_headers_and_tails),
        TEST(test_scan_sorts_out_what_is_corrupt),
        TEST(test_scan_leaves_what_is_not_ours),
        TEST(test_scan_with_read_errors),
        TEST(test_move_to_corrupt_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
