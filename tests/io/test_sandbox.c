/*
 * Tests of the sandbox's parts, each in a child that gives up its rights; the whole of it in the
 * real program: tests/e2e/test_confinement.py.
 */
#include "disk_fixture.h"

#include "sandbox/identity.h"
#include "sandbox/ownership.h"
#include "sandbox/paths.h"
#include "sandbox/system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SOMEBODY 10025
#define ANOTHER  10026

static struct disk_fixture d;

static const char *at(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", d.path, name);
    return path;
}

/* In a child, as what it does cannot be undone; it returns the number of the check that failed, 0
 * for none. The signal that killed it is counted from 1000. */
static int in_child(int (*act)(void))
{
    pid_t child;
    int status;

    fflush(NULL);
    child = fork();
    if (child == 0)
        _exit(act());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);      \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* ---- identity ---- */

static int become(void)
{
    struct identity who = {SOMEBODY, SOMEBODY};
    struct errbuf err = {""};
    uid_t real, effective, saved;

    CHECK(identity_become(&who, &err) == 0);
    CHECK(getresuid(&real, &effective, &saved) == 0);
    CHECK(real == SOMEBODY && effective == SOMEBODY && saved == SOMEBODY);
    CHECK(getegid() == SOMEBODY && getgroups(0, NULL) == 0);
    CHECK(!identity_is_armed());
    CHECK(identity_become(&who, &err) < 0 && err.text[0]);
    CHECK(identity_disarm(&err) == 0);
    return 0;
}

static int disarm_root(void)
{
    struct errbuf err = {""};

    CHECK(identity_is_armed());
    CHECK(identity_disarm(&err) == 0);
    CHECK(!identity_is_armed() && geteuid() == 0);
    CHECK(chown(d.path, SOMEBODY, SOMEBODY) != 0 && errno == EPERM);
    return 0;
}

static void test_identity(void **state)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(become), 0);
    disk_setup(&d);
    assert_int_equal(in_child(disarm_root), 0);
    disk_teardown(&d);
}

/* ---- ownership ---- */

static uid_t owner(const char *name)
{
    struct stat st;

    assert_int_equal(lstat(at(name), &st), 0);
    return st.st_uid;
}

static void give(struct ownership_count *count)
{
    struct identity to = {SOMEBODY, SOMEBODY};
    struct errbuf err = {""};

    if (ownership_give(at("spool"), "lock", &to, count, &err) != 0)
        fail_msg("%s", err.text);
}

static void make_spool(uid_t uid)
{
    struct errbuf err;

    assert_int_equal(ownership_make_folder(at("spool"), &err), 0);
    assert_int_equal(ownership_make_folder(at("spool"), &err), 0); /* it is there */
    assert_int_equal(mkdir(at("spool/queue"), 0700), 0);
    disk_put(&d, "spool/queue/1", "x", 1);
    disk_put(&d, "spool/lock", "", 0);
    disk_put(&d, "outside", "x", 1);
    assert_int_equal(chown(at("spool"), uid, uid), 0);
    assert_int_equal(chown(at("spool/queue"), uid, uid), 0);
}

static void test_everything_is_given(void **state)
{
    struct ownership_count count;

    if (geteuid() != 0)
        skip();
    disk_setup(&d);
    make_spool(0);
    give(&count);
    assert_int_equal(count.given, 4);
    assert_int_equal(count.skipped, 0);
    assert_int_equal(owner("spool"), SOMEBODY);
    assert_int_equal(owner("spool/queue/1"), SOMEBODY);
    assert_int_equal(owner("outside"), 0);
    give(&count);
    assert_int_equal(count.given, 0);
    disk_teardown(&d);
}

/* links: how many of them are left alone. */
static void links_of(uid_t uid, unsigned left)
{
    struct ownership_count count;
    char outside[256];

    disk_setup(&d);
    make_spool(uid);
    snprintf(outside, sizeof outside, "%s", at("outside"));
    assert_int_equal(link(outside, at("spool/queue/2")), 0);
    assert_int_equal(symlink(outside, at("spool/queue/3")), 0);
    assert_int_equal(mkfifo(at("spool/queue/4"), 0600), 0);
    give(&count);
    assert_int_equal(count.skipped, left);
    assert_true(count.example[0] != '\0');
    assert_int_equal(owner("spool/queue/3"), 0);
    assert_int_equal(owner("spool/queue/4"), 0);
    assert_int_equal(owner("outside"), left == 3 ? 0 : SOMEBODY);
    disk_teardown(&d);
}

static void test_links(void **state)
{
    if (geteuid() != 0)
        skip();
    links_of(SOMEBODY, 3);
    links_of(ANOTHER, 3);
    links_of(0, 2); /* only root can have made the second name: a commit that was cut off */
}

static void test_a_spool_in_use(void **state)
{
    struct identity to = {SOMEBODY, SOMEBODY};
    struct ownership_count count;
    struct errbuf err = {""};
    int lock;

    if (geteuid() != 0)
        skip();
    disk_setup(&d);
    make_spool(0);
    lock = open(at("spool/lock"), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    give(&count);
    assert_int_equal(count.given, 0);
    assert_int_equal(owner("spool/queue/1"), 0);
    close(lock);
    assert_true(ownership_give(at("none"), "lock", &to, &count, &err) == -ENOENT && err.text[0]);
    assert_true(ownership_make_folder(at("none/below"), &err) == -ENOENT);
    disk_teardown(&d);
}

/* ---- paths ---- */

static bool opens(const char *path, int flags, int error)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int got = fd < 0 ? errno : 0;

    if (fd >= 0)
        close(fd);
    return got == error;
}

static int in_paths(void)
{
    struct paths p;
    struct errbuf err = {""};
    char from[256];

    CHECK(paths_begin(&p) == 0);
    CHECK(paths_add(&p, at("spool"), PATHS_WRITE, &err) == 0);
    CHECK(paths_add(&p, at("socket"), PATHS_SOCKET, &err) == 0);
    CHECK(paths_add(&p, "/no/such/path", PATHS_WRITE, &err) == 0);
    CHECK(paths_add_replaceable(&p, at("etc/link"), &err) == 0);
    CHECK(paths_add_replaceable(&p, "/etc/hosts", &err) == 0);
    CHECK(paths_enforce(&p, &err) == 0 && p.ruleset_fd == -1);
    CHECK(opens(at("spool/queue/1"), O_RDWR, 0));
    CHECK(opens(at("spool/queue/1"), O_RDWR | O_TRUNC, 0));
    CHECK(opens(at("spool/new"), O_WRONLY | O_CREAT, 0));
    snprintf(from, sizeof from, "%s", at("spool/new"));
    CHECK(rename(from, at("spool/queue/new")) == 0); /* from one folder to another */
    CHECK(opens("/etc/hosts", O_RDONLY, 0));
    CHECK(opens("/etc/passwd", O_RDONLY, EACCES));
    CHECK(opens(at("etc/link"), O_RDONLY, 0));
    CHECK(opens(at("etc/beside"), O_RDONLY, 0));
    CHECK(opens(at("real/beside"), O_RDONLY, 0)); /* where the link leads to */
    CHECK(opens(at("etc/link"), O_RDWR, EACCES));
    CHECK(opens(at("outside"), O_RDONLY, EACCES));
    CHECK(opens(at("socket/file"), O_WRONLY | O_CREAT, EACCES));
    CHECK(rename(at("spool/lock"), "/tmp/mxgate-lock") != 0);
    return 0;
}

static void test_paths(void **state)
{
    char real[256];
    struct paths p;

    if (paths_begin(&p) != 0) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    paths_free(&p);
    disk_setup(&d);
    make_spool(geteuid());
    assert_int_equal(mkdir(at("etc"), 0700), 0);
    assert_int_equal(mkdir(at("real"), 0700), 0);
    assert_int_equal(mkdir(at("socket"), 0700), 0);
    disk_put(&d, "etc/beside", "x", 1);
    disk_put(&d, "real/file", "x", 1);
    disk_put(&d, "real/beside", "x", 1);
    snprintf(real, sizeof real, "%s", at("real/file"));
    assert_int_equal(symlink(real, at("etc/link")), 0);
    assert_int_equal(in_child(in_paths), 0);
    disk_teardown(&d);
}

/* ---- system calls ---- */

static void *nothing(void *arg)
{
    return arg;
}

static int restricted(void)
{
    struct errbuf err = {""};
    pthread_t thread;
    int fd;

    CHECK(system_calls_restrict(&err) == 0);
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 || errno == EAFNOSUPPORT);
    close(fd);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    close(fd);
    CHECK(socket(AF_INET, SOCK_RAW, 1) < 0 && errno == EPERM);
    CHECK(socket(AF_PACKET, SOCK_DGRAM, 0) < 0 && errno == EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
              MAP_FAILED &&
          errno == EPERM);
    CHECK(syscall(SYS_fchownat, -1, "", 0, 0, 0) < 0 && errno == ENOSYS);
    CHECK(syscall(SYS_kill, getppid(), 0) < 0 && errno == ENOSYS);
    CHECK(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == ENOSYS);
    CHECK(syscall(100000, 0) < 0 && errno == ENOSYS); /* what no kernel has yet */
    return 0;
}

static int without_rings(void)
{
    CHECK(system_calls_forbid_rings() == 0);
    CHECK(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == ENOSYS);
    CHECK(syscall(SYS_kill, getpid(), 0) == 0);
    return 0;
}

static int dies_of_fork(void)
{
    struct errbuf err = {""};

    CHECK(system_calls_restrict(&err) == 0);
    return fork() >= 0 ? 2 : 3;
}

static int dies_of_exec(void)
{
    struct errbuf err = {""};

    CHECK(system_calls_restrict(&err) == 0);
    execl("/bin/true", "true", (char *)NULL);
    return 2;
}

static int aborts(void)
{
    struct errbuf err = {""};

    CHECK(system_calls_restrict(&err) == 0);
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void test_system_calls(void **state)
{
    assert_int_equal(in_child(restricted), 0);
    assert_int_equal(in_child(without_rings), 0);
    assert_int_equal(in_child(dies_of_fork), 1000 + SIGSYS);
    assert_int_equal(in_child(dies_of_exec), 1000 + SIGSYS);
    assert_int_equal(in_child(aborts), 1000 + SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity), cmocka_unit_test(test_everything_is_given),
        cmocka_unit_test(test_links),    cmocka_unit_test(test_a_spool_in_use),
        cmocka_unit_test(test_paths),    cmocka_unit_test(test_system_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
