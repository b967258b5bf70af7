/* session_fixture - see session_fixture.h */
#include "session_fixture.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_MAX 16

void bytes_add(struct bytes *b, struct span s)
{
    if (b->len + s.len + 1 > b->cap) {
        b->cap = (b->len + s.len + 1) * 2;
        b->ptr = realloc(b->ptr, b->cap);
        if (!b->ptr)
            abort();
    }
    if (s.len > 0)
        memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
    b->ptr[b->len] = '\0';
}

void bytes_free(struct bytes *b)
{
    free(b->ptr);
    *b = (struct bytes){NULL, 0, 0};
}

const char *bytes_text(const struct bytes *b)
{
    return b->ptr ? b->ptr : "";
}

/* --- the client --- */

void fixture_pump(struct fixture *f)
{
    size_t taken;

    do {
        taken = session_input(&f->session, f->input.ptr, f->input.len);
        if (taken > f->input.len)
            abort();
        if (taken > 0)
            memmove(f->input.ptr, f->input.ptr + taken, f->input.len - taken);
        f->input.len -= taken;
    } while (f->when != FIXTURE_HELD && fixture_answer(f));
}

void fixture_send(struct fixture *f, struct span bytes)
{
    bytes_add(&f->input, bytes);
    fixture_pump(f);
}

void fixture_say(struct fixture *f, const char *text)
{
    fixture_send(f, span_of(text));
}

const char *fixture_heard(struct fixture *f)
{
    bytes_free(&f->heard);
    f->heard = f->said;
    f->said = (struct bytes){NULL, 0, 0};
    return bytes_text(&f->heard);
}

void fixture_talk(struct fixture *f, const char *say, const char *hear)
{
    const char *heard;

    fixture_say(f, say);
    heard = fixture_heard(f);
    if (strcmp(heard, hear) == 0)
        return;
    fprintf(stderr, "said:  %sheard: %swanted: %s", say, heard, hear);
    abort();
}

void fixture_transaction(struct fixture *f)
{
    fixture_talk(f, "HELO h\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<r@example.com>\r\n",
                 "250 mx.example.com\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
}

void fixture_end(struct fixture *f)
{
    if (f->live)
        session_deinit(&f->session);
    f->live = false;
}

static void on_log(void *ctx, enum log_severity severity, struct span line)
{
    struct fixture *f = ctx;

    bytes_add(&f->logged, line);
    bytes_add(&f->logged, SPAN_LIT("\n"));
}

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    if (kind == CONFIG_NOTE_ERROR)
        abort();
}

static struct config *build_config(const char *const *pairs)
{
    static char values[SETTINGS_MAX][4096];
    const char *environment[SETTINGS_MAX + 5] = {
        "POSTFIX_myhostname=mx.example.com", "POSTFIX_relay_domains=example.com",
        "POSTFIX_relay_transport=lmtp:[192.0.2.10]:24", "POSTFIX_smtpd_tls_security_level=none"};
    struct config_source source = {.environment = environment, .system_hostname = "mx.example.com"};
    struct config *config = NULL;

    for (size_t i = 0; pairs && pairs[i]; i++) {
        struct text t;

        if (i == SETTINGS_MAX)
            abort();
        text_init(&t, values[i], sizeof values[i]);
        text_printf(&t, "POSTFIX_%s", pairs[i]);
        if (strncmp(pairs[i], "relay_domains=", 14) == 0)
            environment[1] = values[i];
        else if (strncmp(pairs[i], "smtpd_tls_security_level=", 25) == 0)
            environment[3] = values[i];
        else
            environment[4 + i] = values[i];
        if (!environment[4 + i])
            environment[4 + i] = "TZ=";
    }
    if (config_build(&source, on_note, NULL, &config) < 0)
        abort();
    return config;
}

void fixture_init(struct fixture *f, const char *const *pairs)
{
    memset(f, 0, sizeof *f);
    f->config = build_config(pairs);
    f->log = (struct log){.syslog_name = "postfix", .pid = 7, .sink = on_log, .sink_ctx = f};
    f->peer_name = "client.example.net";
    f->envelopes.limit = SIZE_MAX;
    f->endless_room = true;
    f->room = 8192;
}

static void forget(struct fixture *f)
{
    fixture_end(f);
    for (size_t i = 0; i < FIXTURE_MESSAGES_MAX; i++) {
        envelope_free(&f->messages[i].envelope);
        bytes_free(&f->messages[i].body);
    }
    envelope_free(&f->envelope_due);
    bytes_free(&f->said);
    bytes_free(&f->heard);
    bytes_free(&f->logged);
    bytes_free(&f->body);
    bytes_free(&f->input);
    f->message_count = f->submits = f->aborts = f->waits = f->resumes = f->hang_ups = 0;
    f->peer_due = f->room_due = f->lookup_due = f->tls_due = f->auth_due = false;
    f->auth_starts = f->auth_cancels = 0;
    f->tls_prepares = f->tls_starts = 0;
    f->lookups = 0;
    memset(f->events, 0, sizeof f->events);
    f->recipient_due[0] = '\0';
    f->ids = 0;
}

void fixture_free(struct fixture *f)
{
    forget(f);
    config_unref(&f->config);
}

static void connect_as(struct fixture *f, const struct session_client *client)
{
    forget(f);
    session_init(&f->session, &fixture_ops, f, f->config, &f->log, client);
    f->live = true;
}

void fixture_connect(struct fixture *f, bool trusted)
{
    struct session_client client = {
        .address = "203.0.113.9", .port = 51234, .trusted = trusted, .envelopes = &f->envelopes};

    connect_as(f, &client);
}

void fixture_connect_submission(struct fixture *f)
{
    struct session_client client = {
        .address = "203.0.113.9", .port = 51234, .submission = true, .envelopes = &f->envelopes};

    connect_as(f, &client);
}

void fixture_connect_wrapped(struct fixture *f)
{
    struct session_client client = {
        .address = "203.0.113.9", .port = 51234, .wrapped = true, .envelopes = &f->envelopes};

    connect_as(f, &client);
}

void fixture_greet(struct fixture *f)
{
    fixture_connect(f, false);
    session_start(&f->session);
    fixture_heard(f);
}

bool fixture_is_canonical(const struct bytes *body)
{
    for (size_t i = 0; i < body->len; i++) {
        char c = body->ptr[i];

        if (c == '\0' || (c == '\n' && (i == 0 || body->ptr[i - 1] != '\r')))
            return false;
        if (c == '\r' && (i + 1 == body->len || body->ptr[i + 1] != '\n'))
            return false;
    }
    return body->len > 0 && body->ptr[body->len - 1] == '\n';
}

/* Up to the first line that does not go on with a tab: Received has three or four lines. */
struct span fixture_text(const struct fixture_message *m)
{
    struct span body = span_make(m->body.ptr, m->body.len);
    size_t at = 0;

    do {
        at += span_find(span_from(body, at), '\n') + 1;
    } while (at < body.len && body.ptr[at] == '\t');
    return span_from(body, at);
}
