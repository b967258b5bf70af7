/* Tests of relay/maildir: what lies where after success, and nothing after a failure. */
#include "disk_fixture.h"
#include "relay_fixture.h"

#include "relay/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct disk_fixture d;
static struct body_place place;
static struct envelope *envelope;
static struct body *body;
static char path[100];
static const char *step;

static int setup(void **state)
{
    disk_setup(&d);
    place = (struct body_place){.incoming_fd = -1, .disk = NULL, .budget = {.limit = 1 << 20}};
    snprintf(path, sizeof path, "%s/box", d.path);
    envelope = relay_envelope("bob@example.org", "ann@example.com joe@example.com");
    body = relay_body(&place, "Subject: x\r\n\r\nhello\r\n", 21);
    step = NULL;
    return 0;
}

static int teardown(void **state)
{
    envelope_free(&envelope);
    body_free(&body);
    disk_teardown(&d);
    return 0;
}

static int deliver(size_t first, size_t count)
{
    size_t indices[2] = {first, first + 1};

    return maildir_write(path, "mx.example.org", envelope, indices, count, body, &step);
}

/* The only file in new/; malloc'd. */
static char *only_file(void)
{
    char folder[120], name[400];
    struct dirent *entry;
    size_t len;
    DIR *dir;

    snprintf(folder, sizeof folder, "%s/new", path);
    dir = opendir(folder);
    assert_non_null(dir);
    do
        entry = readdir(dir);
    while (entry && entry->d_name[0] == '.');
    assert_non_null(entry);
    snprintf(name, sizeof name, "box/new/%s", entry->d_name);
    closedir(dir);
    return disk_content(&d, name, &len);
}

static void one_file_with_its_trace(void **state)
{
    struct stat st;
    char *file;

    assert_int_equal(deliver(0, 2), 0);
    file = only_file();
    assert_string_equal(file, "Return-Path: <bob@example.org>\n"
                              "Delivered-To: ann@example.com\n"
                              "Delivered-To: joe@example.com\n"
                              "Subject: x\n\nhello\n");
    free(file);
    assert_int_equal(disk_names(&d, "box/tmp"), 0);
    assert_true(disk_exists(&d, "box/cur"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void the_same_message_again_replaces_itself(void **state)
{
    assert_int_equal(deliver(0, 2), 0);
    assert_int_equal(deliver(0, 2), 0);
    assert_int_equal(disk_names(&d, "box/new"), 1);
}

static void parts_of_one_message_do_not(void **state)
{
    assert_int_equal(deliver(0, 1), 0);
    assert_int_equal(deliver(1, 1), 0);
    assert_int_equal(disk_names(&d, "box/new"), 2);
}

static void the_null_sender_and_no_body(void **state)
{
    char *file;

    assert_true(envelope_set_sender(envelope, span_make(NULL, 0)));
    body_free(&body);
    body = relay_body(&place, "", 0);
    assert_int_equal(deliver(0, 1), 0);
    file = only_file();
    assert_string_equal(file, "Return-Path: <>\nDelivered-To: ann@example.com\n");
    free(file);
}

/* The longest address that is taken: its line must not be cut. */
static void the_longest_addresses(void **state)
{
    char address[SMTP_ADDRESS_CAP];
    char *file;

    memset(address, 'a', sizeof address);
    memcpy(address + sizeof address - 13, "@example.com", 13);
    assert_true(envelope_set_sender(envelope, span_of(address)));
    assert_true(envelope_add_recipient(envelope, span_of(address), 0, span_make(NULL, 0)));
    assert_int_equal(deliver(1, 2), 0);
    file = only_file();
    assert_non_null(
        strstr(file, "aaa@example.com>\nDelivered-To: joe@example.com\nDelivered-To: aaa"));
    assert_non_null(strstr(file, "aaa@example.com\nSubject: x\n"));
    free(file);
}

static void a_large_body_from_its_file(void **state)
{
    size_t len = 22 * 20000;
    char *bytes = malloc(len), *file;
    char name[120];
    int fd;

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = "a line of twenty-two\r\n"[i % 22];
    disk_put(&d, "source", bytes, len);
    snprintf(name, sizeof name, "%s/source", d.path);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    body_free(&body);
    body = body_from_file(&place, fd, 0, len);
    assert_int_equal(deliver(0, 1), 0);
    file = only_file();
    assert_null(strchr(file, '\r'));
    assert_int_equal(strlen(strstr(file, "a line")), len / 22 * 21);
    free(file);
    free(bytes);
}

static void a_body_that_cannot_be_read_leaves_nothing(void **state)
{
    char name[120];
    int fd;

    disk_put(&d, "source", "short\r\n", 7);
    snprintf(name, sizeof name, "%s/source", d.path);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    body_free(&body);
    body = body_from_file(&place, fd, 0, 7);
    disk_fault(DISK_PREAD, 0, 1, EIO);
    assert_int_equal(deliver(0, 1), -EIO);
    assert_string_equal(step, "write");
    assert_int_equal(disk_names(&d, "box/tmp") + disk_names(&d, "box/new"), 0);
    assert_int_equal(truncate(name, 3), 0);
    assert_int_equal(deliver(0, 1), -EIO);
    assert_int_equal(disk_names(&d, "box/tmp") + disk_names(&d, "box/new"), 0);
}

static void a_full_disk_leaves_nothing(void **state)
{
    struct rlimit unlimited, small = {.rlim_cur = 40};

    assert_int_equal(deliver(0, 1), 0); /* the folders are there */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    small.rlim_max = unlimited.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(deliver(1, 1), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    assert_string_equal(step, "write");
    assert_int_equal(disk_names(&d, "box/tmp"), 0);
    assert_int_equal(disk_names(&d, "box/new"), 1);
}

static void folders_that_cannot_be_made(void **state)
{
    snprintf(path, sizeof path, "%s/no/box", d.path);
    assert_int_equal(deliver(0, 1), -ENOENT);
    assert_string_equal(step, "open");
    disk_put(&d, "file", "", 0);
    snprintf(path, sizeof path, "%s/file", d.path);
    assert_int_equal(deliver(0, 1), -ENOTDIR);
    assert_string_equal(step, "open");
}

static void a_link_in_tmp_is_not_followed(void **state)
{
    char *file, name[400], link_name[300];
    struct dirent *entry;
    DIR *dir;

    assert_int_equal(deliver(0, 1), 0);
    snprintf(name, sizeof name, "%s/new", path);
    dir = opendir(name);
    assert_non_null(dir);
    do
        entry = readdir(dir);
    while (entry && entry->d_name[0] == '.');
    assert_non_null(entry);
    snprintf(link_name, sizeof link_name, "%s/tmp/%.180s", path, entry->d_name);
    closedir(dir);
    disk_put(&d, "victim", "precious", 8);
    snprintf(name, sizeof name, "%s/victim", d.path);
    assert_int_equal(symlink(name, link_name), 0);
    assert_int_equal(deliver(0, 1), -ELOOP);
    assert_string_equal(step, "create");
    file = disk_content(&d, "victim", &(size_t){0});
    assert_string_equal(file, "precious");
    free(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_file_with_its_trace),
        TEST(the_same_message_again_replaces_itself),
        TEST(parts_of_one_message_do_not),
        TEST(the_null_sender_and_no_body),
        TEST(the_longest_addresses),
        TEST(a_large_body_from_its_file),
        TEST(a_body_that_cannot_be_read_leaves_nothing),
        TEST(a_full_disk_leaves_nothing),
        TEST(folders_that_cannot_be_made),
        TEST(a_link_in_tmp_is_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
