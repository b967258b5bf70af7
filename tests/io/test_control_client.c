/* Tests of control/control_client against the real server, and against servers that misbehave. */
#include "fake_intake.h"

#include "control/control_client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    fake_reset();
    return world_setup(state);
}

static int teardown(void **state)
{
    int rc = world_teardown(state);

    fake_reset();
    return rc;
}

/* ---- the client runs in a thread of its own, as it would in another process ---- */

static struct {
    void (*run)(void);
    atomic_bool done;
    int rc;
    struct errbuf err;
    char text[8192];
    size_t text_len;
} client;

static void on_text(void *ctx, struct span line)
{
    if (client.text_len + line.len + 1 < sizeof client.text) {
        memcpy(client.text + client.text_len, line.ptr, line.len);
        client.text_len += line.len;
        client.text[client.text_len++] = '|';
        client.text[client.text_len] = '\0';
    }
}

static void run_client(void *arg)
{
    client.run();
    client.done = true;
}

static void with_server(void (*run)(void))
{
    uv_thread_t thread;

    memset(&client, 0, sizeof client);
    client.run = run;
    assert_int_equal(uv_thread_create(&thread, run_client, NULL), 0);
    while (!client.done)
        uv_run(&world.disk.loop, UV_RUN_NOWAIT);
    uv_thread_join(&thread);
}

static void ask_active(void)
{
    struct control_client c;

    client.rc = control_client_open(&c, world.socket, &client.err);
    if (client.rc == 0)
        client.rc = control_client_ask(&c, "active", on_text, NULL, &client.err);
    control_client_close(&c);
}

static void test_ask(void **state)
{
    world.active_count = 2;
    assert_true(queue_id_parse(SPAN_LIT("06401F3A9C2E7001"), &world.active[0]));
    assert_true(queue_id_parse(SPAN_LIT("06401F3A9C2E7002"), &world.active[1]));
    with_server(ask_active);
    assert_int_equal(client.rc, 0);
    assert_string_equal(client.text, "06401F3A9C2E7001|06401F3A9C2E7002|");
}

static void ask_nonsense(void)
{
    struct control_client c;

    client.rc = control_client_open(&c, world.socket, &client.err);
    if (client.rc == 0)
        client.rc = control_client_ask(&c, "no such thing", on_text, NULL, &client.err);
    control_client_close(&c);
}

static void test_error(void **state)
{
    with_server(ask_nonsense);
    assert_int_equal(client.rc, EX_PROTOCOL);
    assert_string_equal(client.err.text, "there is no such request");
}

/* Refused at the first recipient while the client still sends megabytes: it hears why. */
static void send_too_much(void)
{
    static char bytes[CONTROL_CHUNK_MAX];
    struct control_client c;
    struct errbuf err;
    int rc = control_client_open(&c, world.socket, &client.err);

    memset(bytes, 'x', sizeof bytes);
    if (rc == 0)
        rc = control_client_send(&c, SPAN_LIT("submit\nfrom <>\nrcpt <x@other.net>\n"), &err);
    for (int i = 0; rc == 0 && i < 1000; i++) {
        rc = control_client_send(&c, SPAN_LIT("chunk 65536\n"), &err);
        if (rc == 0)
            rc = control_client_send(&c, span_make(bytes, sizeof bytes), &err);
    }
    client.text_len = rc == -EPIPE || rc == -ECONNRESET;
    client.rc = control_client_reply(&c, on_text, NULL, &client.err);
    control_client_close(&c);
}

static void test_refused_while_sending(void **state)
{
    with_server(send_too_much);
    assert_int_equal(client.text_len, 1);
    assert_int_equal(client.rc, EX_UNAVAILABLE);
    assert_string_equal(
        client.err.text,
        "554 5.7.1 <x@other.net>: Relay access denied"
        " (no way leads there: its domain is not in relay_domains, and neither relayhost nor "
        "outbound=direct is set)");
}

/* ---- nobody there, or nobody to be trusted ---- */

static void test_no_daemon(void **state)
{
    struct control_client c;
    struct errbuf err;
    char path[200];

    snprintf(path, sizeof path, "%s/nothing", world.disk.path);
    assert_int_equal(control_client_open(&c, path, &err), -ENOENT);
    disk_put(&world.disk, "nothing", "", 0);
    assert_int_equal(control_client_open(&c, path, &err), -ECONNREFUSED);
    assert_int_equal(unlink(path), 0);
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(control_client_open(&c, path, &err), -ENAMETOOLONG);
}

/* A listener that says this to whoever comes, and closes. */
static int reply_of(const char *said, struct errbuf *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    struct control_client c;
    char path[128];
    int rc;
    int fd;

    snprintf(path, sizeof path, "%s/other", world.disk.path);
    assert_true(span_copy(span_of(path), address.sun_path, sizeof address.sun_path));
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(control_client_open(&c, path, err), 0);
    fd = accept(listener, NULL, NULL);
    assert_int_equal(write(fd, said, strlen(said)), strlen(said));
    close(fd);
    close(listener);
    unlink(path);
    memset(&client, 0, sizeof client);
    rc = control_client_reply(&c, on_text, NULL, err);
    control_client_close(&c);
    return rc;
}

static void test_replies(void **state)
{
    struct errbuf err;

    assert_int_equal(reply_of("text a\ntext \nok\n", &err), 0);
    assert_string_equal(client.text, "a||");
    assert_int_equal(reply_of("error 69 no\n", &err), 69);
    assert_string_equal(err.text, "no");
    assert_int_equal(reply_of("", &err), -ECONNRESET);
    assert_int_equal(reply_of("text half", &err), -ECONNRESET);
    assert_int_equal(reply_of("220 mx ESMTP\n", &err), -EPROTO);
}

static void test_reply_too_long(void **state)
{
    char *line = malloc(CONTROL_REPLY_MAX + 10);
    struct errbuf err;

    assert_non_null(line);
    for (size_t len = CONTROL_REPLY_MAX; len <= CONTROL_REPLY_MAX + 1; len++) {
        memset(line, 'x', len);
        memcpy(line, "text ", 5);
        memcpy(line + len, "\nok\n", 5);
        assert_int_equal(reply_of(line, &err), len <= CONTROL_REPLY_MAX ? 0 : -EPROTO);
    }
    free(line);
}

static void test_silence(void **state)
{
    struct control_client c;
    struct errbuf err;

    assert_int_equal(control_client_open(&c, world.socket, &err), 0);
    control_client_patience(&c, 1);
    assert_int_equal(control_client_reply(&c, NULL, NULL, &err), -ETIMEDOUT);
    control_client_close(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ask),       TEST(test_error),   TEST(test_refused_while_sending),
        TEST(test_no_daemon), TEST(test_replies), TEST(test_reply_too_long),
        TEST(test_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
