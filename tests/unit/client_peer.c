/* client_peer - see client_peer.h */
#include "client_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const step_names[] = {"GREETING", "HELLO", "STARTTLS", "TLS",  "AUTH",
                                         "XCLIENT",  "IDLE",  "MAIL",     "RCPT", "DATA",
                                         "BODY",     "END",   "RSET",     "QUIT", "BROKEN"};
static const char *const blame_names[] = {"none", "recipient", "later", "destination"};

/* Moves what was sent into `got`, one C line per CRLF line; an unfinished line waits. */
static void flush_sent(struct client_peer *p)
{
    struct span rest = span_make(p->pending, p->pending_len);

    for (;;) {
        size_t len = span_find(rest, '\n');

        if (len == rest.len)
            break;
        if (len == 0 || rest.ptr[len - 1] != '\r')
            fail_msg("sent a bare LF: %.*s", (int)len, rest.ptr);
        if (memchr(rest.ptr, '\r', len - 1) || memchr(rest.ptr, '\0', len))
            fail_msg("sent a bare CR or NUL: %.*s", (int)len, rest.ptr);
        text_cstr(&p->got, "C ");
        text_span(&p->got, span_first(rest, len - 1));
        text_char(&p->got, '\n');
        rest = span_from(rest, len + 1);
    }
    if (rest.len > 0)
        memmove(p->pending, rest.ptr, rest.len);
    p->pending_len = rest.len;
    assert_false(p->got.overflow);
}

static void note_call(struct client_peer *p)
{
    p->calls++;
    if (p->calls == p->fail_at)
        client_fail(&p->client, "injected");
}

static void on_send(void *ctx, struct span bytes)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    assert_true(bytes.len > 0);
    assert_true(p->pending_len + bytes.len <= sizeof p->pending);
    memcpy(p->pending + p->pending_len, bytes.ptr, bytes.len);
    p->pending_len += bytes.len;
    note_call(p);
}

static void on_step(void *ctx, enum client_step step)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    assert_true(step < CLIENT_STEP_BROKEN);
    p->steps[step]++;
    flush_sent(p);
    if (p->show_steps)
        text_printf(&p->got, "E await %s\n", step_names[step]);
    note_call(p);
}

static void on_starttls(void *ctx)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    flush_sent(p);
    text_cstr(&p->got, "E starttls\n");
    note_call(p);
}

static void on_login(void *ctx)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    flush_sent(p);
    text_cstr(&p->got, "E login\n");
    note_call(p);
}

static void on_idle(void *ctx)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    assert_false(p->in_transaction);
    flush_sent(p);
    p->idle++;
    text_cstr(&p->got, "E idle\n");
    note_call(p);
    if (p->eager && p->idle <= 3 && p->broken == 0)
        client_peer_do(p, "begin 0 2");
}

static void on_result(void *ctx, size_t position, enum client_blame blame, enum client_step step,
                      const struct smtp_reply *reply)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    assert_true(p->in_transaction);
    assert_true(position < p->t.count);
    assert_int_equal(p->results[position]++, 0);
    assert_int_equal(blame, client_blame(step, reply, p->settings.out));
    p->blames[position] = blame;
    flush_sent(p);
    text_printf(&p->got, "E result %zu %s %s %s\n", position, blame_names[blame], step_names[step],
                reply->text);
    note_call(p);
}

static void on_body(void *ctx)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    flush_sent(p);
    text_cstr(&p->got, "E body\n");
    note_call(p);
    if (p->eager) {
        client_peer_do(p, "body .hello");
        client_peer_do(p, "end");
    }
}

static void on_finished(void *ctx)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    assert_true(p->in_transaction);
    for (size_t i = 0; i < p->t.count; i++)
        assert_int_equal(p->results[i], 1);
    assert_null(p->client.t.envelope); /* not the client's any more */
    p->in_transaction = false;
    flush_sent(p);
    text_cstr(&p->got, "E finished\n");
    note_call(p);
}

static void on_broken(void *ctx, enum client_step step, const struct smtp_reply *reply,
                      const char *text)
{
    struct client_peer *p = ctx;

    assert_int_equal(p->broken, 0);
    flush_sent(p);
    p->broken++;
    p->broken_step = step;
    text_printf(&p->got, "E broken %s %u %s\n", step_names[step], reply ? reply->code : 0, text);
    if (p->lenient)
        envelope_free(&p->envelope);
}

const struct client_ops client_peer_ops = {on_send,   on_step, on_starttls, on_login, on_idle,
                                           on_result, on_body, on_finished, on_broken};

static void fill_envelope(struct envelope *e)
{
    e->id = (struct queue_id){"0123456789ABCDEF"};
    snprintf(e->client_name, sizeof e->client_name, "mail.example.net");
    snprintf(e->client_address, sizeof e->client_address, "192.0.2.9");
    e->client_port = 51234;
    snprintf(e->helo, sizeof e->helo, "helo.example.net");
    snprintf(e->protocol, sizeof e->protocol, "ESMTP");
    assert_true(envelope_set_sender(e, SPAN_LIT("bob@example.net")));
    for (int i = 0; i < CLIENT_PEER_RECIPIENTS; i++) {
        char address[32];

        snprintf(address, sizeof address, "r%d@example.com", i);
        assert_true(envelope_add_recipient(e, span_of(address), 0, span_of("")));
    }
}

void client_peer_init(struct client_peer *p)
{
    memset(p, 0, sizeof *p);
    p->settings.hello_name = "gw.example.com";
    p->settings.xclient_timeout_s = 600;
    p->cut = CLIENT_PEER_WHOLE;
    p->envelope = envelope_new();
    assert_non_null(p->envelope);
    fill_envelope(p->envelope);
    text_init(&p->got, p->got_text, sizeof p->got_text);
}

void client_peer_deinit(struct client_peer *p)
{
    envelope_free(&p->envelope);
}

static void feed(struct client_peer *p, struct span piece)
{
    size_t first = p->cut == CLIENT_PEER_BYTES ? 1 : p->cut;

    while (piece.len > 0) {
        client_input(&p->client, span_first(piece, first));
        piece = span_from(piece, first);
        if (p->cut != CLIENT_PEER_BYTES)
            first = piece.len;
        if (first == 0)
            first = piece.len;
    }
}

const char *client_peer_take(struct client_peer *p)
{
    flush_sent(p);
    memcpy(p->taken, p->got_text, p->got.len + 1);
    text_init(&p->got, p->got_text, sizeof p->got_text);
    return p->taken;
}

/* The line that `*at` starts with; moves on to the next. The line lasts until the next call. */
static const char *next_line(const char **at)
{
    static char line[8192];
    size_t len = strcspn(*at, "\n");

    assert_true(len < sizeof line);
    memcpy(line, *at, len);
    line[len] = '\0';
    *at += len + ((*at)[len] == '\n');
    return line;
}

/* Takes all neighbouring S and s lines and feeds them. */
static void play_piece(struct client_peer *p, const char **at)
{
    char piece[65536];
    struct text t;

    text_init(&t, piece, sizeof piece);
    while (**at == 'S' || **at == 's') {
        const char *line = next_line(at);

        text_cstr(&t, line + 2);
        text_cstr(&t, line[0] == 'S' ? "\r\n" : "");
    }
    assert_false(t.overflow);
    if (t.len > p->piece_len)
        p->piece_len = t.len;
    p->piece_count++;
    feed(p, text_as_span(&t));
}

/* What came must be the C and E lines at `*at`. */
static void compare(struct client_peer *p, const char *name, const char **at)
{
    const char *rest = client_peer_take(p);

    while (p->lenient && (**at == 'C' || **at == 'E'))
        next_line(at);
    if (p->lenient)
        return;
    while (**at == 'C' || **at == 'E') {
        const char *want = next_line(at);
        size_t len = strlen(want);

        if (strncmp(rest, want, len) != 0 || rest[len] != '\n')
            fail_msg("%s, cut %zd: wanted\n%s\ngot\n%s", name, (ssize_t)p->cut, want, rest);
        rest += len + 1;
    }
    if (rest[0] != '\0')
        fail_msg("%s, cut %zd: not wanted\n%s\nbefore\n%.200s", name, (ssize_t)p->cut, rest, *at);
}

void client_peer_play(struct client_peer *p, const char *name, const char *script, size_t pieces)
{
    const char *at = script;

    while (*at != '\0' && p->piece_count <= pieces && !(p->lenient && p->broken)) {
        char words[8192];

        if (*at == 'S' || *at == 's') {
            if (p->piece_count == pieces)
                return;
            play_piece(p, &at);
            compare(p, name, &at);
            continue;
        }
        if (*at != 'D')
            fail_msg("%s: nobody asked for %.60s", name, at);
        snprintf(words, sizeof words, "%s", next_line(&at) + 2);
        client_peer_do(p, words);
        compare(p, name, &at);
    }
}

size_t client_peer_run_cut(const char *name, const char *script, size_t cut)
{
    struct client_peer *p = malloc(sizeof *p);
    size_t len;

    assert_non_null(p);
    client_peer_init(p);
    p->cut = cut;
    client_peer_play(p, name, script, SIZE_MAX);
    len = p->piece_len;
    client_peer_deinit(p);
    free(p);
    return len;
}

void client_peer_run(const char *name, const char *script)
{
    size_t len = client_peer_run_cut(name, script, CLIENT_PEER_WHOLE);

    client_peer_run_cut(name, script, CLIENT_PEER_BYTES);
    for (size_t cut = 1; cut < len; cut++)
        client_peer_run_cut(name, script, cut);
}
