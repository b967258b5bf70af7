/* relay_fixture - see relay_fixture.h */
#include "relay_fixture.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS                                                                                   \
    "relay_domains = example.com\n"                                                                \
    "lmtp_connection_idle_time = 60s\n"                                                            \
    "destination_probe_max = 500ms\n"                                                              \
    "lmtp_quit_timeout = 500ms\n"

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    if (kind == CONFIG_NOTE_ERROR)
        fail_msg("settings: %s", text);
}

struct config *relay_config(struct relay_fixture *r, const char *ini)
{
    char text[4000];
    struct config_source source = {
        .ini_text = text, .ini_name = "test.ini", .system_hostname = "mx.example.org"};
    struct config *config = NULL;
    int len = snprintf(text, sizeof text, SETTINGS "%s%s", ini,
                       strstr(ini, "relay_transport") ? "" : "\n");

    assert_in_range(len, 1, sizeof text - 100);
    if (!strstr(ini, "relay_transport"))
        snprintf(text + len, sizeof text - (size_t)len, "relay_transport = lmtp:[127.0.0.1]:%u\n",
                 (unsigned)r->lmtp.port);
    assert_int_equal(config_build(&source, on_note, NULL, &config), 0);
    return config;
}

static void on_line(void *ctx, enum log_severity severity, struct span line)
{
    struct relay_fixture *r = ctx;

    r->lines = realloc(r->lines, r->lines_len + line.len + 2);
    assert_non_null(r->lines);
    memcpy(r->lines + r->lines_len, line.ptr, line.len);
    r->lines_len += line.len;
    r->lines[r->lines_len++] = '\n';
    r->lines[r->lines_len] = '\0';
    if (getenv("RELAY_LOG"))
        fprintf(stderr, "%.*s\n", (int)line.len, line.ptr);
}

unsigned relay_logged(const struct relay_fixture *r, const char *text)
{
    unsigned count = 0;
    const char *line = r->lines;

    while (line && *line) {
        const char *end = strchr(line, '\n');
        const char *hit = strstr(line, text);

        count += hit && hit < end;
        line = end + 1;
    }
    return count;
}

void relay_begin(struct relay_fixture *r, const char *ini)
{
    struct errbuf err = {""};

    memset(r, 0, sizeof *r);
    loop_begin(&r->f);
    lmtp_begin(&r->lmtp, &r->f);
    lane_init(&r->disk, &r->f.loop, 3);
    r->config = relay_config(r, ini);
    r->log = (struct log){.syslog_name = "postfix", .pid = 1, .sink = on_line, .sink_ctx = r};
    assert_int_equal(resolver_init(&r->resolver, &r->f.loop, "127.0.0.1:9", &err), 0);
    r->context = (struct upstream_context){.loop = &r->f.loop,
                                           .streams = &r->f.streams,
                                           .resolver = &r->resolver,
                                           .config = r->config,
                                           .log = &r->log};
}

static void on_resolver_closed(void *ctx)
{
}

void relay_end(struct relay_fixture *r)
{
    resolver_close(&r->resolver, on_resolver_closed, NULL);
    lmtp_end(&r->lmtp);
    loop_end(&r->f);
    assert_true(lane_idle(&r->disk));
    config_unref(&r->config);
    free(r->lines);
}

struct envelope *relay_envelope(const char *sender, const char *recipients)
{
    static struct queue_id_source ids;
    struct envelope *e = envelope_new();
    struct span rest = span_of(recipients);
    struct span word;

    assert_non_null(e);
    e->arrival_us = clock_wall_us();
    queue_id_next(&ids, e->arrival_us, &e->id);
    memcpy(e->client_name, "client.example.net", 19);
    memcpy(e->client_address, "192.0.2.9", 10);
    memcpy(e->helo, "client.example.net", 19);
    memcpy(e->protocol, "ESMTP", 6);
    assert_true(envelope_set_sender(e, span_of(sender)));
    while (span_next_word(&rest, " ", &word))
        assert_true(envelope_add_recipient(e, word, 0, span_make(NULL, 0)));
    return e;
}

struct body *relay_body(struct body_place *place, const char *bytes, size_t len)
{
    struct body *b = body_new(place);

    assert_non_null(b);
    while (len > 0) {
        size_t cap;
        char *room = body_room(b, &cap);
        size_t n;

        if (cap == 0) {
            assert_true(body_make_room(b, 1, NULL, NULL)); /* the test's bytes fit into memory */
            continue;
        }
        n = len < cap ? len : cap;
        memcpy(room, bytes, n);
        body_wrote(b, n);
        bytes += n;
        len -= n;
    }
    return b;
}
