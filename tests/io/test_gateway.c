/* Tests of the daemon put together: sessions over real sockets, reload and stop in each state. */
#include "disk_fixture.h"
#include "relay_fixture.h"

#include "commands/gateway.h"
#include "commands/gateway_drain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 8

/* Somebody who speaks SMTP. */
struct sender {
    int fd; /* -1: none */
    char got[1 << 16];
    size_t len;
    bool ended;
};

static struct disk_fixture d;
static struct relay_fixture r;
static struct gateway g;
static struct sender clients[CLIENTS];
static bool stopped;

/* ---- the gateway ---- */

static uint64_t no_drops(void *ctx)
{
    return 0;
}

static int no_reload(void *ctx, struct errbuf *err)
{
    return 0;
}

static struct config *settings_of(const char *ini)
{
    char text[1500];

    snprintf(text, sizeof text,
             "listen = 127.0.0.1:0\nqueue_directory = %s/spool\nqueue_minfree = 1\n"
             "dns_servers = 127.0.0.1:9\nsmtpd_peername_timeout = 100ms\n"
             "smtpd_tls_security_level = none\n%s", /* an RSA key is work */
             d.path, ini);
    return relay_config(&r, text);
}

static void begin(const char *ini)
{
    struct errbuf err = {""};

    disk_setup(&d);
    relay_begin(&r, "");
    memset(&g, 0, sizeof g);
    g.loop = &r.f.loop;
    g.config = settings_of(ini);
    g.log = &r.log;
    g.log_dropped = no_drops;
    g.reload = no_reload;
    stopped = false;
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = (struct sender){.fd = -1};
    if (gateway_start(&g, &err) != 0)
        fail_msg("%s", err.text);
    loop_wait(&r.f, g.relay.upstreams->health == UPSTREAM_UP);
}

static void reload(const char *ini)
{
    struct errbuf err = {""};

    assert_int_equal(gateway_set_config(&g, settings_of(ini), &err), 0);
}

static void on_stopped(void *ctx)
{
    assert_false(stopped);
    stopped = true;
}

static void stop(void)
{
    gateway_stop(&g, on_stopped, NULL);
    gateway_stop(&g, on_stopped, NULL);
}

static void end(void)
{
    stop();
    for (size_t i = 0; i < CLIENTS; i++) {
        if (clients[i].fd >= 0)
            peer_close(clients[i].fd);
    }
    loop_wait(&r.f, stopped);
    relay_end(&r);
    disk_teardown(&d);
}

static unsigned queued(void)
{
    return disk_names(&d, "spool/queue");
}

/* ---- the clients ---- */

static bool has_line(struct sender *c, const char *start)
{
    char *line = c->got;

    c->got[c->len] = '\0';
    while (line && *line) {
        char *end = strstr(line, "\r\n");

        if (!end)
            return false;
        if (strncmp(line, start, strlen(start)) == 0) {
            c->len -= (size_t)(end + 2 - c->got);
            memmove(c->got, end + 2, c->len + 1);
            return true;
        }
        line = end + 2;
    }
    return false;
}

static void take(struct sender *c)
{
    long n = 1;

    while (n > 0 && c->len < sizeof c->got - 1) {
        n = peer_take(c->fd, c->got + c->len, sizeof c->got - 1 - c->len);
        c->len += n > 0 ? (size_t)n : 0;
    }
    c->ended = c->ended || n == 0 || (n < 0 && n != -EAGAIN);
}

/* Waits for a line that begins so; what came before it is forgotten. */
static void expect(struct sender *c, const char *start)
{
    bool there = false;

    loop_wait(&r.f, (take(c), there = has_line(c, start)) || c->ended);
    if (!there)
        fail_msg("the end came before \"%s\"", start);
}

static void say(struct sender *c, const char *text)
{
    peer_send(&r.f, c->fd, text, strlen(text));
}

static struct sender *come(size_t index)
{
    struct sender *c = &clients[index];
    const char *port = strrchr(g.server.listeners[0].text, ':') + 1;

    *c = (struct sender){.fd = peer_connect((uint16_t)strtoul(port, NULL, 10))};
    return c;
}

static struct sender *greeted(size_t index)
{
    struct sender *c = come(index);

    expect(c, "220 ");
    say(c, "EHLO client.example.net\r\n");
    expect(c, "250 ");
    return c;
}

static struct sender *at_data(size_t index)
{
    struct sender *c = greeted(index);

    say(c, "MAIL FROM:<bob@example.org>\r\n");
    expect(c, "250 2.1.0");
    say(c, "RCPT TO:<ann@example.com>\r\n");
    expect(c, "250 2.1.5");
    say(c, "DATA\r\n");
    expect(c, "354 ");
    return c;
}

static void gone(struct sender *c)
{
    loop_wait(&r.f, (take(c), c->ended));
}

/* ---- sessions ---- */

static void a_mail_comes_through(void **state)
{
    struct sender *c;

    begin("");
    c = at_data(0);
    say(c, "Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n");
    expect(c, "250 2.0.0 Ok: queued as");
    expect(c, "221 ");
    gone(c);
    assert_int_equal(lmtp_delivered_to(&r.lmtp, "ann@example.com"), 1);
    assert_int_equal(queued(), 0);
    end();
}

/* Thousands of small commands whose answers are far longer: nothing may stand still. */
static void a_client_that_says_much_and_hears_more(void **state)
{
    enum { CHUNKS = 20000 };
    struct sender *c;
    char *text = malloc(CHUNKS * 9 + 1);
    size_t heard = 0;

    assert_non_null(text);
    begin("");
    c = greeted(0);
    say(c, "MAIL FROM:<bob@example.org>\r\nRCPT TO:<ann@example.com>\r\n");
    expect(c, "250 2.1.5");
    for (size_t i = 0; i < CHUNKS; i++)
        memcpy(text + i * 9, i % 32 == 31 ? "BDAT 1\r\n\n" : "BDAT 1\r\nx", 9);
    for (size_t at = 0; heard < CHUNKS;) {
        ssize_t n = at < CHUNKS * 9 ? send(c->fd, text + at, CHUNKS * 9 - at, MSG_NOSIGNAL) : 0;

        at += n > 0 ? (size_t)n : 0;
        loop_wait(&r.f, (take(c), c->len > 0));
        while (has_line(c, "250 2.0.0 Ok: 1 bytes"))
            heard++;
        assert_false(c->ended);
    }
    say(c, "BDAT 0 LAST\r\n");
    expect(c, "250 2.0.0 Ok: ");
    assert_int_equal(r.lmtp.delivered_count, 1);
    free(text);
    end();
}

static void clients_that_go_in_each_state(void **state)
{
    begin("");
    peer_reset(come(0)->fd);
    peer_reset(greeted(1)->fd);
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL)->times = 1;
    greeted(2);
    say(&clients[2], "MAIL FROM:<bob@example.org>\r\nRCPT TO:<eve@example.com>\r\n");
    loop_wait(&r.f, r.lmtp.mails == 1); /* she is asked for */
    peer_reset(clients[2].fd);
    at_data(3);
    say(&clients[3], "Subject: half of it\r\n");
    peer_reset(clients[3].fd);
    lmtp_rule(&r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    at_data(4);
    say(&clients[4], "Subject: all of it\r\n\r\n.\r\n");
    loop_wait(&r.f, r.lmtp.dots == 1);
    peer_reset(clients[4].fd); /* does not hear the answer */
    loop_wait(&r.f, g.server.connection_count == 0);
    lmtp_release(&r.lmtp);
    loop_wait(&r.f, g.intake.in_flight == 0);
    assert_int_equal(r.lmtp.delivered_count, 1);
    for (size_t i = 0; i < 5; i++)
        clients[i].fd = -1;
    end();
}

static void too_many_clients(void **state)
{
    begin("smtpd_connection_limit = 3\nmynetworks = 192.0.2.0/24\n"); /* trusted ones have more */
    for (size_t i = 0; i < 3; i++)
        greeted(i);
    expect(come(3), "421 4.3.2 ");
    gone(&clients[3]);
    peer_close(clients[0].fd);
    clients[0].fd = -1;
    loop_wait(&r.f, g.server.limits.total == 2);
    greeted(4);
    end();
}

static void a_large_message_goes_by_the_disk(void **state)
{
    struct sender *c;
    char block[4096];

    begin("body_memory_limit = 0\n");
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = "a line\r\n"[i % 8];
    c = at_data(0);
    for (size_t i = 0; i < 100; i++)
        peer_send(&r.f, c->fd, block, sizeof block);
    assert_int_equal(disk_names(&d, "spool/incoming"), 1);
    say(c, ".\r\n");
    expect(c, "250 2.0.0 Ok: queued as");
    assert_true(r.lmtp.delivered[0].len > 100 * sizeof block);
    c = at_data(0 + 1);
    for (size_t i = 0; i < 100; i++)
        peer_send(&r.f, c->fd, block, sizeof block);
    peer_reset(c->fd); /* and one that is never finished */
    c->fd = -1;
    loop_wait(&r.f, disk_names(&d, "spool/incoming") == 0);
    end();
}

/* ---- reload ---- */

/* Every reload frees the settings before: whoever still uses them is found out by the sanitizer. */
static void reload_in_each_state(void **state)
{
    begin("");
    greeted(0);
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL)->times = 1;
    greeted(1);
    say(&clients[1], "MAIL FROM:<bob@example.org>\r\nRCPT TO:<eve@example.com>\r\n");
    loop_wait(&r.f, r.lmtp.mails == 1);
    at_data(2);
    say(&clients[2], "Subject: x\r\n");
    lmtp_rule(&r.lmtp, ".", LMTP_SILENCE, NULL)->times = 1;
    at_data(3);
    say(&clients[3], "Subject: y\r\n\r\n.\r\n");
    loop_wait(&r.f, r.lmtp.dots == 1);
    come(4);
    reload("myhostname = second.example.org\n");
    reload("myhostname = third.example.org\ndelivery_mode = queue\n");
    lmtp_release(&r.lmtp);
    expect(&clients[1], "250 2.1.5");
    expect(&clients[3], "250 2.0.0 Ok: queued as");
    say(&clients[2], "\r\n.\r\n");
    expect(&clients[2], "250 2.0.0 Ok: queued as");
    say(&clients[0], "QUIT\r\n");
    expect(&clients[0], "221 ");
    expect(&clients[4], "220 ");
    expect(come(5), "220 third.example.org ");
    loop_wait(&r.f, r.lmtp.delivered_count == 2);
    end();
}

static void reload_with_another_transport(void **state)
{
    char ini[200];
    struct sender *c;

    begin("");
    snprintf(ini, sizeof ini, "relay_transport = maildir:%s/box\n", d.path);
    lmtp_rule(&r.lmtp, ".", LMTP_SILENCE, NULL);
    at_data(0);
    say(&clients[0], "Subject: to the old one\r\n\r\n.\r\n");
    loop_wait(&r.f, r.lmtp.dots == 1);
    reload(ini);
    c = at_data(1);
    say(c, "Subject: to the new one\r\n\r\n.\r\n");
    expect(c, "250 2.0.0 Ok: queued as");
    assert_int_equal(disk_names(&d, "box/new"), 1);
    lmtp_release(&r.lmtp);
    expect(&clients[0], "250 2.0.0 Ok: queued as");
    assert_int_equal(r.lmtp.delivered_count, 1);
    end();
}

/* Where a setting is bad there is no config at all; one made for commands has no transport. */
static void reload_with_bad_settings_changes_nothing(void **state)
{
    struct config_source source = {.ini_text = "myhostname = bad.example.org\n"
                                               "lmtp_tls_security_level = verify\n"
                                               "lmtp_tls_CAfile = /nowhere/ca.pem\n",
                                   .ini_name = "test.ini"};
    struct errbuf err = {""};
    struct config *bad;

    begin("");
    assert_int_equal(config_build_lenient(&source, NULL, NULL, &bad), 0);
    assert_true(gateway_set_config(&g, bad, &err) < 0);
    assert_string_not_equal(err.text, "");
    expect(come(0), "220 mx.example.org ");
    end();
}

/* ---- stop ---- */

static void stop_while_nothing_happens(void **state)
{
    begin("");
    end();
}

static void stop_between_commands(void **state)
{
    begin("");
    come(0);
    expect(&clients[0], "220 ");
    greeted(1);
    greeted(2);
    say(&clients[2], "MAIL FROM:<bob@example.org>\r\n");
    expect(&clients[2], "250 2.1.0");
    stop();
    for (size_t i = 0; i < 3; i++) {
        expect(&clients[i], "421 4.3.2 ");
        gone(&clients[i]);
    }
    loop_wait(&r.f, stopped);
    end();
}

static void stop_within_a_message(void **state)
{
    begin("");
    at_data(0);
    say(&clients[0], "Subject: x\r\n");
    stop();
    loop_idle(&r.f);
    assert_false(stopped);
    say(&clients[0], "\r\n.\r\n"); /* it may be finished: kept for the next start */
    expect(&clients[0], "250 2.0.0 Ok: queued as");
    expect(&clients[0], "421 4.3.2 ");
    loop_wait(&r.f, stopped);
    assert_int_equal(queued(), 1);
    assert_int_equal(r.lmtp.delivered_count, 0);
    end();
}

static void stop_while_the_destination_is_asked(void **state)
{
    begin("verify_timeout = 300ms\n");
    lmtp_rule(&r.lmtp, "RCPT", LMTP_SILENCE, NULL);
    greeted(0);
    say(&clients[0], "MAIL FROM:<bob@example.org>\r\nRCPT TO:<ann@example.com>\r\n");
    loop_wait(&r.f, r.lmtp.mails == 1);
    stop();
    expect(&clients[0], "250 2.1.5");
    expect(&clients[0], "421 4.3.2 ");
    loop_wait(&r.f, stopped);
    end();
}

static void stop_while_delivering(void **state)
{
    begin("");
    at_data(0); /* the recipient is known now */
    lmtp_rule(&r.lmtp, "MAIL", LMTP_SILENCE, NULL);
    say(&clients[0], "Subject: x\r\n\r\n.\r\n");
    loop_wait(&r.f, r.lmtp.mails == 2);
    stop();
    expect(&clients[0], "250 2.0.0 Ok: queued as");
    loop_wait(&r.f, stopped);
    assert_int_equal(queued(), 1);
    end();
}

static void stop_after_the_dot(void **state)
{
    begin("");
    at_data(0);
    lmtp_rule(&r.lmtp, ".", LMTP_SILENCE, NULL);
    say(&clients[0], "Subject: x\r\n\r\n.\r\n");
    loop_wait(&r.f, r.lmtp.dots == 1);
    stop();
    expect(&clients[0], "250 2.0.0 Ok: queued as");
    lmtp_release(&r.lmtp);
    loop_wait(&r.f, stopped);
    assert_int_equal(queued(), 0);
    end();
}

static void stop_while_the_destination_is_down(void **state)
{
    begin("");
    lmtp_down(&r.lmtp);
    upstream_probe(g.relay.upstreams);
    loop_wait(&r.f, g.relay.upstreams->health == UPSTREAM_DOWN);
    at_data(0);
    say(&clients[0], "Subject: x\r\n\r\n.\r\n");
    expect(&clients[0], "250 2.0.0 Ok: queued as");
    stop();
    loop_wait(&r.f, stopped);
    assert_int_equal(queued(), 1);
    end();
}

static void stop_with_a_client_that_says_no_more(void **state)
{
    begin("");
    at_data(0);
    say(&clients[0], "Subject: half of it");
    stop();
    gone(&clients[0]); /* GATEWAY_PATIENCE_MS */
    loop_wait(&r.f, stopped);
    assert_int_equal(queued(), 0);
    assert_int_equal(disk_names(&d, "spool/incoming"), 0);
    end();
}

static int control_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", g.config->control_socket);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void stop_with_somebody_at_the_control_socket(void **state)
{
    char buf[100];
    int fd;

    begin("");
    fd = control_connect();
    loop_idle(&r.f);
    stop();
    loop_wait(&r.f, stopped);
    loop_wait(&r.f, peer_take(fd, buf, sizeof buf) != -EAGAIN);
    peer_close(fd);
    end();
}

/* ---- draining ---- */

/* Between the accept and the end of that round of the loop. */
static void drain_with_a_connection(uv_check_t *check)
{
    if (g.server.connection_count > 0 && g.drain.since_s == 0)
        gateway_drain_begin(&g, 0);
}

/* Reset before it was accepted: it never has a session that could be told to go. */
static void drain_while_somebody_is_already_gone(void **state)
{
    uv_check_t check;

    begin("");
    assert_int_equal(uv_check_init(&r.f.loop, &check), 0);
    assert_int_equal(uv_check_start(&check, drain_with_a_connection), 0);
    peer_reset(come(0)->fd);
    clients[0].fd = -1;
    loop_wait(&r.f, g.drain.since_s > 0 && g.server.connection_count == 0);
    expect(come(1), "421 4.3.2 ");
    uv_close((uv_handle_t *)&check, NULL);
    end();
}

/* Whoever corrects the setting is not to wait until all is tried again anyway. */
static void drain_with_another_fallback(void **state)
{
    char ini[100];

    snprintf(ini, sizeof ini, "fallback_relay = smtp:[127.0.0.1]:%u\n", peer_dead_port());
    begin(ini);
    gateway_drain_begin(&g, 0);
    loop_wait(&r.f, g.scheduler.fallback && g.drain.flush_at_ms > 0);
    g.drain.flush_at_ms = UINT64_MAX;
    reload(ini);
    loop_idle(&r.f);
    assert_true(g.drain.flush_at_ms == UINT64_MAX); /* it is the same */
    snprintf(ini, sizeof ini, "fallback_relay = lmtp:[127.0.0.1]:%u\n", peer_dead_port());
    reload(ini);
    loop_wait(&r.f, g.drain.flush_at_ms < UINT64_MAX);
    assert_ptr_equal(g.scheduler.fallback, g.relay.fallback);
    reload("");
    assert_null(g.scheduler.fallback);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_comes_through),
        cmocka_unit_test(a_client_that_says_much_and_hears_more),
        cmocka_unit_test(clients_that_go_in_each_state),
        cmocka_unit_test(too_many_clients),
        cmocka_unit_test(a_large_message_goes_by_the_disk),
        cmocka_unit_test(reload_in_each_state),
        cmocka_unit_test(reload_with_another_transport),
        cmocka_unit_test(reload_with_bad_settings_changes_nothing),
        cmocka_unit_test(stop_while_nothing_happens),
        cmocka_unit_test(stop_between_commands),
        cmocka_unit_test(stop_within_a_message),
        cmocka_unit_test(stop_while_the_destination_is_asked),
        cmocka_unit_test(stop_while_delivering),
        cmocka_unit_test(stop_after_the_dot),
        cmocka_unit_test(stop_while_the_destination_is_down),
        cmocka_unit_test(stop_with_a_client_that_says_no_more),
        cmocka_unit_test(stop_with_somebody_at_the_control_socket),
        cmocka_unit_test(drain_while_somebody_is_already_gone),
        cmocka_unit_test(drain_with_another_fallback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
