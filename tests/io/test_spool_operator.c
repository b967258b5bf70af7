/* Tests of queue/spool_operator: orders carried out on the files while no daemon runs, its lock,
 * and what spool_look() still reads of a damaged file. */
#include "spool_fixture.h"

#include "queue/spool_operator.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BIT(order) QUEUE_ORDER_BIT(QUEUE_ORDER_##order)

static struct spool_fixture f;
static struct spool spool; /* as the command opens it */

static void open_as_operator(void)
{
    struct errbuf err = {""};

    spool_close(&f.spool);
    if (spool_open_operator(&spool, f.disk.path, &err) != 0)
        fail_msg("%s", err.text);
}

/* The daemon starts after it. */
static void start_daemon(void)
{
    struct errbuf err = {""};

    spool_close(&spool);
    if (spool_open(&f.spool, f.disk.path, &f.disk.disk, &err) != 0)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    spool_setup(&f);
    for (unsigned n = 1; n <= 3; n++)
        spool_store(&f, n, 1000);
    open_as_operator();
    return 0;
}

static int teardown(void **state)
{
    disk_fault_none();
    start_daemon();
    spool_teardown(&f);
    return 0;
}

static unsigned order(enum queue_order what, unsigned n)
{
    struct queue_order_request r = {.order = what, .queues = queue_order_queues(what)};
    struct errbuf err = {""};
    struct queue_id id;
    unsigned done;

    spool_id(n, &id);
    if (spool_order(&spool, &r, &id, &done, &err) != 0)
        fail_msg("%s", err.text);
    return done;
}

/* What the daemon will read. */
static struct spool_file file_of(unsigned n)
{
    struct spool_load load = {.fd = -1};

    spool_id(n, &load.id);
    assert_int_equal(spool_load_now(&spool, &load), 0);
    close(load.fd);
    return load.file;
}

static void test_orders(void **state)
{
    struct spool_file file;

    assert_int_equal(order(QUEUE_ORDER_RELEASE, 1), 0);
    assert_int_equal(order(QUEUE_ORDER_HOLD, 1), BIT(HOLD));
    assert_int_equal(order(QUEUE_ORDER_HOLD, 1), 0);
    file = file_of(1);
    assert_true(file.on_hold);
    spool_file_deinit(&file);
    assert_int_equal(order(QUEUE_ORDER_EXPIRE, 1), BIT(EXPIRE));
    assert_int_equal(order(QUEUE_ORDER_EXPIRE, 1), 0);
    assert_int_equal(order(QUEUE_ORDER_EXPIRE_RELEASE, 1), BIT(RELEASE));
    file = file_of(1);
    assert_true(file.forced_expire);
    assert_false(file.on_hold);
    spool_file_deinit(&file);
    assert_int_equal(order(QUEUE_ORDER_REQUEUE, 1), BIT(REQUEUE));
    file = file_of(1);
    assert_false(file.forced_expire);
    spool_file_deinit(&file);
    assert_int_equal(order(QUEUE_ORDER_DELETE, 1), BIT(DELETE));
    assert_int_equal(order(QUEUE_ORDER_DELETE, 1), 0);
    assert_int_equal(disk_names(&f.disk, "queue"), 2);
}

/* A record that is not synced, a folder that is not: not told as done. */
static void test_durable(void **state)
{
    disk_fault_none();
    order(QUEUE_ORDER_HOLD, 1);
    assert_int_equal(disk_count(DISK_FDATASYNC), 1);
    order(QUEUE_ORDER_DELETE, 1);
    assert_int_equal(disk_count(DISK_FSYNC), 1);
}

static void test_faults(void **state)
{
    static const struct {
        enum queue_order order;
        enum disk_call call;
        int error;
    } rows[] = {
        {QUEUE_ORDER_HOLD,   DISK_OPENAT,    EIO   },
        {QUEUE_ORDER_HOLD,   DISK_PREAD,     EIO   },
        {QUEUE_ORDER_HOLD,   DISK_WRITE,     ENOSPC},
        {QUEUE_ORDER_HOLD,   DISK_FDATASYNC, EIO   },
        {QUEUE_ORDER_DELETE, DISK_UNLINKAT,  EROFS },
        {QUEUE_ORDER_DELETE, DISK_FSYNC,     EIO   },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct queue_order_request r = {.order = rows[i].order, .queues = QUEUE_NAMES_ALL};
        struct errbuf err = {""};
        struct queue_id id;
        unsigned done = 77;

        spool_id(2, &id);
        disk_fault(rows[i].call, 0, 1, rows[i].error);
        assert_int_equal(spool_order(&spool, &r, &id, &done, &err), -rows[i].error);
        assert_int_equal(done, 0);
        assert_string_not_equal(err.text, "");
        disk_fault_none();
    }
    assert_int_equal(order(QUEUE_ORDER_HOLD, 3), BIT(HOLD));
}

static unsigned failures;

static void on_failed(void *ctx, const char *name, const char *why)
{
    failures++;
}

static void test_all(void **state)
{
    struct queue_order_request r = {.order = QUEUE_ORDER_HOLD, .queues = QUEUE_NAMES_ALL};
    uint64_t counts[QUEUE_ORDER_COUNT];
    char path[200];

    failures = 0;
    order(QUEUE_ORDER_HOLD, 2);
    disk_put(&f.disk, "queue/06401F3A9C2E7009", "rubbish", 7);
    assert_int_equal(spool_order_all(&spool, &r, counts, on_failed, NULL), 0);
    assert_int_equal(counts[QUEUE_ORDER_HOLD], 2);
    assert_int_equal(failures, 1);
    assert_true(disk_exists(&f.disk, "queue/06401F3A9C2E7009")); /* for the daemon to put aside */
    r.order = QUEUE_ORDER_DELETE;
    r.queues = QUEUE_NAME_DEFERRED;
    assert_int_equal(spool_order_all(&spool, &r, counts, on_failed, NULL), 0);
    assert_int_equal(counts[QUEUE_ORDER_DELETE], 0);
    r.queues = QUEUE_NAME_HOLD;
    assert_int_equal(spool_order_all(&spool, &r, counts, on_failed, NULL), 0);
    assert_int_equal(counts[QUEUE_ORDER_DELETE], 3);
    snprintf(path, sizeof path, "%s/queue/06401F3A9C2E7009", f.disk.path);
    assert_int_equal(unlink(path), 0);
}

/* Delivered, and only its file left by a crash: nothing to hold, but to delete. */
static void test_what_was_delivered(void **state)
{
    static const char sent[] = "attempt 1 rcpt=0 sent 2.0.0 \"x\"\n"
                               "attempt 1 rcpt=1 sent 2.0.0 \"x\"\n";
    char records[sizeof sent];
    struct spool_append a = {.records = records, .records_len = sizeof sent - 1};

    memcpy(records, sent, sizeof sent);
    spool_id(1, &a.id);
    assert_int_equal(spool_append_now(&spool, &a), 0);
    assert_int_equal(order(QUEUE_ORDER_HOLD, 1), 0);
    assert_int_equal(order(QUEUE_ORDER_REQUEUE, 1), 0);
    assert_int_equal(order(QUEUE_ORDER_DELETE, 1), BIT(DELETE));
}

static void test_lock(void **state)
{
    struct spool daemon;
    struct errbuf err = {""};

    assert_int_equal(spool_open(&daemon, f.disk.path, &f.disk.disk, &err), -EBUSY);
    start_daemon();
    assert_int_equal(spool_open_operator(&spool, f.disk.path, &err), -EBUSY);
    assert_non_null(strstr(err.text, "in use by another mxgate"));
    spool_close(&spool); /* safe after a failure */
    open_as_operator();
}

/* Root may run it where another user's daemon will be. */
static void test_makes_nothing(void **state)
{
    char path[200];
    struct spool none;
    struct errbuf err = {""};

    snprintf(path, sizeof path, "%s/incoming", f.disk.path);
    assert_int_equal(spool_open_operator(&none, path, &err), -ENOENT);
    assert_int_equal(disk_names(&f.disk, "incoming"), 0);
    assert_int_equal(spool_open_operator(&none, "/no/such/folder", &err), -ENOENT);
}

/* ---- spool_look ---- */

static int look(const char *bytes, size_t len, struct spool_file *file, struct errbuf *damage)
{
    char path[200];
    int fd;
    int rc;

    disk_put(&f.disk, "looked-at", bytes, len);
    snprintf(path, sizeof path, "%s/looked-at", f.disk.path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    rc = spool_look(fd, file, damage);
    close(fd);
    unlink(path);
    return rc;
}

static void test_look(void **state)
{
    char name[SPOOL_NAME_CAP];
    struct spool_file file;
    struct errbuf damage;
    size_t len;
    char *bytes = disk_content(&f.disk, spool_name(name, "queue", 1), &len);

    assert_int_equal(look(bytes, len, &file, &damage), 0);
    assert_string_equal(damage.text, "");
    spool_file_deinit(&file);
    bytes[len - 3] ^= 1; /* in the sum */
    assert_int_equal(look(bytes, len, &file, &damage), 0);
    assert_non_null(strstr(damage.text, "sum"));
    assert_int_equal(file.body_len, 1000);
    spool_file_deinit(&file);
    assert_int_equal(look(bytes, len - 200, &file, &damage), 0);
    assert_non_null(strstr(damage.text, "cut short in the body"));
    spool_file_deinit(&file);
    assert_int_equal(look(bytes, 50, &file, &damage), -EBADMSG);
    assert_non_null(strstr(damage.text, "cut short in the header"));
    assert_int_equal(look("rubbish", 7, &file, &damage), -EBADMSG);
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_orders),
        TEST(test_durable),
        TEST(test_faults),
        TEST(test_all),
        TEST(test_what_was_delivered),
        TEST(test_lock),
        TEST(test_look),
        TEST(test_makes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
