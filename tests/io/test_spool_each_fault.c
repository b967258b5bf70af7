/*
 * Tests of queue/spool: whatever it does, each call that it makes for it fails in turn, once and
 * for good, with each error, with writes and reads in pieces. Nothing that was in custody is hurt;
 * what is said to be done is done; what is said to have failed can be done again.
 */
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

#define SMALL    700
#define LARGE    (BODY_MEMORY_MAX + 5000)
#define KEPT     3u /* messages 1 to 3 are in custody */
#define SUBJECT  1u /* what is done is done to this one */
#define DAMAGED  5u
#define NEW      9u
#define RECORD   "attempt 100 rcpt=0 sent 2.0.0 \"250 ok\"\n"
#define FOR_GOOD 100000u

static struct spool_fixture f;
static struct spool_message message; /* of the commits */
static char doing[200];              /* for failures */

/* ---- what can be done ------------------------------------------------------ */

static int answer;

static void on_appended(struct spool_append *a, int rc)
{
    answer = rc;
}

static void on_removed(struct spool_remove *r, int rc)
{
    answer = rc;
}

static int commit(void)
{
    spool_message_commit(&message);
    disk_run(&f.disk);
    return message.rc;
}

static int append(bool sync)
{
    char records[] = RECORD;
    struct spool_append a = {
        .records = records, .records_len = strlen(records), .sync = sync, .done = on_appended};

    spool_id(SUBJECT, &a.id);
    answer = -ECANCELED;
    spool_append(&f.spool, &a);
    disk_run(&f.disk);
    return answer;
}

static int append_synced(void)
{
    return append(true);
}

static int append_unsynced(void)
{
    return append(false);
}

static int order(enum queue_order what)
{
    struct queue_order_request r = {.order = what, .queues = queue_order_queues(what)};
    struct errbuf err = {""};
    struct queue_id id;
    unsigned done;
    int rc;

    spool_id(SUBJECT, &id);
    rc = spool_order(&f.spool, &r, &id, &done, &err);
    assert_int_equal(err.text[0] == '\0', rc == 0);
    return rc;
}

static int hold(void)
{
    return order(QUEUE_ORDER_HOLD);
}

static int delete (void)
{
    return order(QUEUE_ORDER_DELETE);
}

static int remove_one(bool sync)
{
    struct spool_remove r = {.sync = sync, .done = on_removed};

    spool_id(SUBJECT, &r.id);
    answer = -ECANCELED;
    spool_remove(&f.spool, &r);
    disk_run(&f.disk);
    return answer;
}

static int remove_synced(void)
{
    return remove_one(true);
}

static int remove_unsynced(void)
{
    return remove_one(false);
}

static int load(void)
{
    struct spool_load l = {.fd = -1};
    int rc;

    spool_id(SUBJECT, &l.id);
    rc = spool_load_now(&f.spool, &l);
    if (rc < 0)
        return rc;
    disk_close(l.fd);
    spool_file_deinit(&l.file);
    return 0;
}

static int scan(void)
{
    struct spool_seen seen;

    return spool_scan_all(&f, &seen);
}

/* As at a start; what was open is closed before. */
static int start(void)
{
    struct errbuf err = {""};
    int rc;

    spool_close(&f.spool);
    rc = spool_open(&f.spool, f.disk.path, &f.disk.disk, &err);
    assert_int_equal(err.text[0] == '\0', rc == 0);
    return rc;
}

/* ---- what there is before, and must be after ------------------------------- */

static void nothing(void)
{
}

static void make_message(size_t len)
{
    spool_message_init(&message, &f, NEW, len);
    disk_run(&f.disk);
}

static void make_small(void)
{
    make_message(SMALL);
}

static void make_large(void)
{
    make_message(LARGE);
}

/* Its file is taken: what belongs to the message is copied. */
static void make_copied(void)
{
    make_message(LARGE);
    assert_true(
        envelope_add_recipient(message.envelope, SPAN_LIT("eve@example.com"), 0, span_of(NULL)));
}

static void put_after(unsigned n, const char *bytes)
{
    struct queue_id id;
    int fd;

    spool_id(n, &id);
    fd = openat(f.spool.queue_fd, id.text, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    close(fd);
}

static void tear(void)
{
    put_after(SUBJECT, "attempt 99 rcpt=0 de");
}

static void put_debris(void)
{
    char name[SPOOL_NAME_CAP];

    disk_put(&f.disk, spool_name(name, "incoming", 77), "half", 4);
    disk_put(&f.disk, spool_name(name, "incoming", 78), "half", 4);
}

static void put_damaged(void)
{
    char name[SPOOL_NAME_CAP];

    disk_put(&f.disk, spool_name(name, "queue", DAMAGED), "mxgate-spool 1\nid x\n", 20);
}

static bool in_queue(unsigned n)
{
    char name[SPOOL_NAME_CAP];

    return disk_exists(&f.disk, spool_name(name, "queue", n));
}

static void check_new(int rc)
{
    if (rc == 0)
        assert_int_equal(spool_check(&f, NEW, message.body->total), 0);
    else if (in_queue(NEW)) /* where it could not be taken back: whole at least */
        assert_int_equal(spool_check(&f, NEW, message.body->total), 0);
}

static void with_subject(int rc, void (*check)(int rc, const struct spool_file *file))
{
    struct spool_load l = {.fd = -1};

    spool_id(SUBJECT, &l.id);
    assert_int_equal(spool_load_now(&f.spool, &l), 0);
    disk_close(l.fd);
    check(rc, &l.file);
    spool_file_deinit(&l.file);
}

static void is_recorded(int rc, const struct spool_file *file)
{
    if (rc == 0)
        assert_int_equal(file->envelope->recipients[0].state, RECIPIENT_SENT);
    assert_int_equal(file->envelope->recipients[1].state, RECIPIENT_PENDING);
}

static void check_recorded(int rc)
{
    with_subject(rc, is_recorded);
}

static void is_held(int rc, const struct spool_file *file)
{
    assert_true(file->on_hold || rc < 0);
}

static void check_held(int rc)
{
    with_subject(rc, is_held);
}

static void check_removed(int rc)
{
    if (rc == 0)
        assert_false(in_queue(SUBJECT));
}

static void check_kept(int rc)
{
    assert_true(in_queue(SUBJECT));
}

/* It is here or there, and as it was. */
static void check_damaged(int rc)
{
    char name[SPOOL_NAME_CAP];
    size_t len;
    char *bytes = disk_content(
        &f.disk, spool_name(name, in_queue(DAMAGED) ? "queue" : "corrupt", DAMAGED), &len);

    assert_int_equal(len, 20);
    free(bytes);
}

/* ---- each with each fault -------------------------------------------------- */

struct operation {
    const char *name;
    void (*before)(void);
    int (*act)(void);
    void (*check)(int rc);
    bool again; /* it can be done again after it failed */
};

static const struct operation operations[] = {
    {"commit from memory",   make_small,  commit,          check_new,      true },
    {"commit of a file",     make_large,  commit,          check_new,      true },
    {"commit of a copy",     make_copied, commit,          check_new,      true },
    {"append, synced",       nothing,     append_synced,   check_recorded, true },
    {"append",               nothing,     append_unsynced, check_recorded, true },
    {"append after torn",    tear,        append_synced,   check_recorded, true },
    {"order to hold",        nothing,     hold,            check_held,     true },
    {"order to delete",      nothing,     delete,          check_removed,  true },
    {"remove, synced",       nothing,     remove_synced,   check_removed,  false},
    {"remove",               nothing,     remove_unsynced, check_removed,  false},
    {"load",                 nothing,     load,            check_kept,     true },
    {"start",                put_debris,  start,           check_kept,     true },
    {"scan with quarantine", put_damaged, scan,            check_damaged,  true },
};

static void begin(const struct operation *o)
{
    message = (struct spool_message){0};
    spool_setup(&f);
    for (unsigned n = 1; n <= KEPT; n++)
        spool_store(&f, n, n * 100);
    put_after(2, "attempt 50 rcpt=1 sent 2.0.0 \"250 ok\"\n");
    put_after(3, "hold 60 \"by the operator\"\n");
    o->before();
}

/* Those that nothing was done to. */
static void check_others(void)
{
    unsigned damaged = in_queue(DAMAGED);
    struct spool_seen seen;

    for (unsigned n = 1; n <= KEPT; n++) {
        if (n != SUBJECT || in_queue(n))
            assert_int_equal(spool_check(&f, n, n * 100), 0);
    }
    assert_int_equal(spool_scan_all(&f, &seen), 0);
    if (seen.bad != damaged)
        fail_msg("%s: %s", doing, seen.why);
}

static void end(void)
{
    if (message.body)
        spool_message_deinit(&message);
    disk_run(&f.disk);
    spool_reopen(&f); /* empties incoming/ where a failing disk left something in it */
    check_others();
    spool_teardown(&f);
}

/* A disk that dies keeps a name that could not be taken back; the sender comes with another. */
static bool left_behind(void)
{
    char name[SPOOL_NAME_CAP];

    return in_queue(NEW) || disk_exists(&f.disk, spool_name(name, "incoming", NEW));
}

struct fault_kind {
    enum disk_call call;
    int error;
    unsigned times;
    size_t most; /* bytes at a time */
};

/* With the fault at the call number `nth` of its kind. False when there was none. */
static bool try_one(const struct operation *o, const struct fault_kind *fault, unsigned nth)
{
    bool fired;
    int rc;

    snprintf(doing, sizeof doing, "%s, call %d number %u, error %d", o->name, (int)fault->call, nth,
             fault->error);
    begin(o);
    disk_fault_none();
    disk_fault_short(fault->most);
    disk_fault(fault->call, nth, fault->times, fault->error);
    rc = o->act();
    fired = disk_fault_fired();
    disk_fault_none();
    if (!fired)
        assert_int_equal(rc, 0);
    if (o->act == start && rc < 0)
        assert_int_equal(start(), 0);
    o->check(rc);
    if (rc < 0 && o->again && !left_behind()) {
        assert_int_equal(o->act(), 0);
        o->check(0);
    }
    end();
    return fired;
}

static unsigned try_all(const struct operation *o, const struct fault_kind *fault)
{
    unsigned nth = 0;

    while (try_one(o, fault, nth))
        nth++;
    return nth;
}

/* EINTR: the kernel may interrupt any of them on some file systems. */
static void test_each_call_failing_once(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EROFS, EINTR};
    unsigned faults = 0;

    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
            for (int call = 0; call < DISK_CALL_COUNT; call++) {
                struct fault_kind fault = {(enum disk_call)call, errors[e], 1, 0};

                faults += try_all(&operations[i], &fault);
            }
        }
    }
    print_message("%u faults\n", faults);
    assert_true(faults > 200);
}

/* The disk dies: from one moment on nothing can be changed any more, not even taken back. */
static void test_the_disk_dies_at_each_call(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EROFS};
    unsigned faults = 0;

    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
            struct fault_kind fault = {DISK_CHANGES, errors[e], FOR_GOOD, 0};

            faults += try_all(&operations[i], &fault);
        }
    }
    print_message("%u faults\n", faults);
    assert_true(faults > 60);
}

/* Reads and writes in pieces, one of which fails, is interrupted, or is the first that finds no
 * room. */
static void test_pieces(void **state)
{
    static const struct fault_kind faults[] = {
        {DISK_PWRITEV, ENOSPC, FOR_GOOD, 150},
        {DISK_PWRITEV, EINTR,  1,        150},
        {DISK_WRITE,   ENOSPC, FOR_GOOD, 5  },
        {DISK_WRITE,   EINTR,  2,        5  },
        {DISK_PREAD,   EIO,    1,        90 },
        {DISK_PREAD,   EINTR,  3,        90 },
    };
    unsigned fired = 0;

    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (operations[i].before == make_large || operations[i].before == make_copied)
            continue; /* the same calls, a thousand times */
        for (size_t k = 0; k < sizeof faults / sizeof faults[0]; k++)
            fired += try_all(&operations[i], &faults[k]);
    }
    print_message("%u faults\n", fired);
    assert_true(fired > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_failing_once),
        cmocka_unit_test(test_the_disk_dies_at_each_call),
        cmocka_unit_test(test_pieces),
    };

    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* thousands of spools, and no fsync is meant */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
