/* lmtp_fixture - see lmtp_fixture.h */
#include "lmtp_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <utlist.h>

#define LINE_CAP       4096
#define RECIPIENTS_MAX 60
#define OUT_CAP        65536
#define READ_CAP       65536

struct lmtp_connection {
    struct lmtp_fixture *l;
    struct lmtp_connection *prev, *next;
    uv_tcp_t tcp;
    unsigned number;
    char line[LINE_CAP];
    size_t line_len;
    bool smtp; /* EHLO was said */
    bool in_data;
    bool body_seen;
    char *body; /* owned */
    size_t body_len, body_cap;
    char recipients[RECIPIENTS_MAX][80];
    size_t recipient_count;
    char out[OUT_CAP];
    size_t out_len;
    bool silent; /* says nothing more until released */
    bool closing;
    char input[READ_CAP];
};

struct written {
    uv_write_t request;
    char bytes[];
};

/* ---- saying ---- */

static void put(struct lmtp_connection *c, const char *text)
{
    size_t len = strlen(text);

    assert_true(c->out_len + len + 2 < sizeof c->out);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            c->out[c->out_len++] = '\r';
        c->out[c->out_len++] = text[i];
    }
    c->out[c->out_len++] = '\r';
    c->out[c->out_len++] = '\n';
}

static void on_written(uv_write_t *request, int status)
{
    free(request);
}

static void flush(struct lmtp_connection *c)
{
    struct written *w;
    uv_buf_t buf;

    if (c->out_len == 0 || c->silent || c->closing)
        return;
    w = malloc(sizeof *w + c->out_len);
    assert_non_null(w);
    memcpy(w->bytes, c->out, c->out_len);
    buf = uv_buf_init(w->bytes, (unsigned)c->out_len);
    c->out_len = 0;
    if (uv_write(&w->request, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0)
        free(w);
}

static void on_closed(uv_handle_t *handle)
{
    struct lmtp_connection *c = handle->data;

    c->l->open--;
    DL_DELETE(c->l->connections, c);
    free(c->body);
    free(c);
}

static void close_connection(struct lmtp_connection *c, bool reset)
{
    if (c->closing)
        return;
    c->closing = true;
    if (!reset || uv_tcp_close_reset(&c->tcp, on_closed) != 0)
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* ---- rules ---- */

static bool rule_fits(struct lmtp_rule *r, const char *event, const char *text)
{
    if (strcasecmp(r->event, event) != 0 || (r->contains && !strstr(text, r->contains)))
        return false;
    if (r->skip > 0) {
        r->skip--;
        return false;
    }
    return r->times == 0 || r->used < r->times;
}

/* True when a rule dealt with the event; else the usual reply, if there is one, is said. */
static bool obey(struct lmtp_connection *c, const char *event, const char *text, const char *usual)
{
    for (size_t i = 0; i < c->l->rule_count; i++) {
        struct lmtp_rule *r = &c->l->rules[i];

        if (!rule_fits(r, event, text))
            continue;
        r->used++;
        if (r->action == LMTP_SILENCE) {
            if (usual)
                put(c, usual);
            c->silent = true;
            return false;
        }
        if (r->text)
            put(c, r->text);
        if (r->action == LMTP_SAY)
            return true;
        flush(c);
        close_connection(c, r->action == LMTP_RESET);
        return true;
    }
    if (usual)
        put(c, usual);
    return false;
}

/* ---- the dialogue ---- */

static void note_delivered(struct lmtp_connection *c, const char *recipient)
{
    struct lmtp_fixture *l = c->l;
    struct lmtp_delivered *d = &l->delivered[l->delivered_count];

    assert_true(l->delivered_count < LMTP_DELIVERED_MAX);
    l->delivered_count++;
    snprintf(d->recipient, sizeof d->recipient, "%s", recipient);
    d->connection = c->number;
    d->len = c->body_len;
    d->body = malloc(c->body_len + 1);
    assert_non_null(d->body);
    memcpy(d->body, c->body ? c->body : "", c->body_len);
    d->body[c->body_len] = '\0';
}

static void end_of_data(struct lmtp_connection *c)
{
    c->in_data = false;
    c->l->dots++;
    if (c->smtp && !obey(c, ".", c->recipients[0], "250 2.0.0 Ok: queued")) {
        for (size_t i = 0; i < c->recipient_count; i++)
            note_delivered(c, c->recipients[i]);
    }
    for (size_t i = 0; i < c->recipient_count && !c->closing && !c->smtp; i++) {
        char usual[200];

        snprintf(usual, sizeof usual, "250 2.0.0 <%s> Saved", c->recipients[i]);
        if (!obey(c, ".", c->recipients[i], usual))
            note_delivered(c, c->recipients[i]);
    }
    c->recipient_count = 0;
    c->body_len = 0;
}

static void keep_body(struct lmtp_connection *c, const char *line, size_t len)
{
    if (c->body_len + len > c->body_cap) {
        c->body_cap = (c->body_len + len) * 2;
        c->body = realloc(c->body, c->body_cap);
        assert_non_null(c->body);
    }
    memcpy(c->body + c->body_len, line, len);
    c->body_len += len;
    c->l->body_bytes += len;
}

static void say_hello(struct lmtp_connection *c, const char *verb)
{
    const char *offers = c->l->offers;
    char reply[1000] = "250";
    size_t at = 3;

    if (!offers[0]) {
        obey(c, verb, "", "250 peer.example.net");
        return;
    }
    at += (size_t)snprintf(reply + at, sizeof reply - at, "-peer.example.net");
    while (*offers) {
        size_t len = strcspn(offers, "\n");

        at += (size_t)snprintf(reply + at, sizeof reply - at, "\n250%c%.*s",
                               offers[len] ? '-' : ' ', (int)len, offers);
        offers += len + (offers[len] != '\0');
    }
    obey(c, verb, "", reply);
}

static void take_rcpt(struct lmtp_connection *c, const char *line)
{
    const char *from = strchr(line, '<');
    char *to = c->recipients[c->recipient_count];

    if (obey(c, "RCPT", line, "250 2.1.5 OK"))
        return;
    assert_non_null(from);
    assert_true(c->recipient_count < RECIPIENTS_MAX);
    snprintf(to, sizeof c->recipients[0], "%.*s", (int)strcspn(from + 1, ">"), from + 1);
    c->recipient_count++;
}

static void take_command(struct lmtp_connection *c, const char *line)
{
    char verb[16];

    snprintf(verb, sizeof verb, "%.*s", (int)strcspn(line, " "), line);
    if (strcasecmp(verb, "LHLO") == 0 || strcasecmp(verb, "EHLO") == 0) {
        c->smtp = strcasecmp(verb, "EHLO") == 0;
        say_hello(c, verb);
    } else if (strcasecmp(verb, "MAIL") == 0) {
        c->l->mails++;
        c->recipient_count = 0;
        obey(c, "MAIL", line, "250 2.1.0 OK");
    } else if (strcasecmp(verb, "RCPT") == 0) {
        take_rcpt(c, line);
    } else if (strcasecmp(verb, "DATA") == 0) {
        c->body_seen = false;
        if (c->recipient_count == 0)
            put(c, "554 5.5.1 no valid recipients");
        else
            c->in_data = !obey(c, "DATA", line, "354 go on");
    } else if (strcasecmp(verb, "QUIT") == 0) {
        c->l->quits++;
        if (!obey(c, "QUIT", line, "221 2.0.0 bye") && !c->silent) {
            flush(c);
            close_connection(c, false);
        }
    } else {
        c->recipient_count = strcasecmp(verb, "RSET") == 0 ? 0 : c->recipient_count;
        obey(c, verb, line, "250 2.0.0 OK");
    }
}

static void note_line(struct lmtp_fixture *l, const char *line)
{
    size_t at = strlen(l->said);

    if (at + strlen(line) + 2 < sizeof l->said)
        snprintf(l->said + at, sizeof l->said - at, "%s\n", line);
}

static void take_line(struct lmtp_connection *c)
{
    if (c->in_data) {
        bool first = !c->body_seen;

        c->body_seen = true;
        if (first && obey(c, "BODY", "", NULL))
            return;
        if (c->line_len == 3 && memcmp(c->line, ".\r\n", 3) == 0)
            end_of_data(c);
        else
            keep_body(c, c->line, c->line_len);
        return;
    }
    assert_true(c->line_len >= 2 && c->line[c->line_len - 2] == '\r');
    c->line[c->line_len - 2] = '\0';
    note_line(c->l, c->line);
    take_command(c, c->line);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct lmtp_connection *c = handle->data;

    *buf = uv_buf_init(c->input, sizeof c->input);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct lmtp_connection *c = stream->data;

    if (nread < 0) {
        close_connection(c, false);
        return;
    }
    for (ssize_t i = 0; i < nread && !c->closing; i++) {
        c->line[c->line_len++] = buf->base[i];
        if (buf->base[i] == '\n' || c->line_len == sizeof c->line - 1) {
            take_line(c);
            c->line_len = 0;
        }
    }
    flush(c);
}

static void start_reading(struct lmtp_connection *c)
{
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct lmtp_fixture *l = server->data;
    struct lmtp_connection *c = calloc(1, sizeof *c);

    assert_int_equal(status, 0);
    assert_non_null(c);
    c->l = l;
    c->tcp.data = c;
    c->number = ++l->accepted;
    l->open++;
    l->most_open = l->open > l->most_open ? l->open : l->most_open;
    DL_APPEND(l->connections, c);
    assert_int_equal(uv_tcp_init(&l->f->loop, &c->tcp), 0);
    assert_int_equal(uv_accept(server, (uv_stream_t *)&c->tcp), 0);
    obey(c, "CONNECT", "", "220 peer.example.net LMTP ready");
    if (l->paused)
        return;
    flush(c);
    if (!c->closing)
        start_reading(c);
}

/* ---- for the test ---- */

static void share_port(int fd)
{
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)), 0);
}

/* Never listens: who connects while nobody does is refused, and the port is nobody else's. */
static void take_port(struct lmtp_fixture *l)
{
    struct sockaddr_in address = peer_address(0);
    socklen_t len = sizeof address;

    l->holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(l->holder >= 0);
    share_port(l->holder);
    assert_int_equal(bind(l->holder, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(l->holder, (struct sockaddr *)&address, &len), 0);
    l->port = ntohs(address.sin_port);
}

static void listen_again(struct lmtp_fixture *l)
{
    struct sockaddr_in address = peer_address(l->port);
    uv_os_fd_t fd;

    assert_int_equal(uv_tcp_init_ex(&l->f->loop, &l->listener, AF_INET), 0);
    l->listener.data = l;
    assert_int_equal(uv_fileno((uv_handle_t *)&l->listener, &fd), 0);
    share_port(fd);
    assert_int_equal(uv_tcp_bind(&l->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&l->listener, 16, on_connection), 0);
    l->listening = true;
}

void lmtp_begin(struct lmtp_fixture *l, struct loop_fixture *f)
{
    memset(l, 0, sizeof *l);
    l->f = f;
    l->offers = "PIPELINING\n8BITMIME\nSIZE\nENHANCEDSTATUSCODES";
    take_port(l);
    listen_again(l);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct lmtp_fixture *l = handle->data;

    l->listening = false;
}

void lmtp_drop_all(struct lmtp_fixture *l)
{
    struct lmtp_connection *c, *next;

    DL_FOREACH_SAFE(l->connections, c, next) {
        close_connection(c, true);
    }
}

void lmtp_down(struct lmtp_fixture *l)
{
    if (!l->listening)
        return;
    uv_close((uv_handle_t *)&l->listener, on_listener_closed);
    lmtp_drop_all(l);
    loop_wait(l->f, !l->listening && l->open == 0);
}

void lmtp_refuse(struct lmtp_fixture *l)
{
    uv_close((uv_handle_t *)&l->listener, on_listener_closed);
    loop_wait(l->f, !l->listening);
}

void lmtp_up(struct lmtp_fixture *l)
{
    assert_false(l->listening);
    listen_again(l);
}

void lmtp_end(struct lmtp_fixture *l)
{
    lmtp_down(l);
    close(l->holder);
    for (size_t i = 0; i < l->delivered_count; i++)
        free(l->delivered[i].body);
}

void lmtp_pause(struct lmtp_fixture *l, bool paused)
{
    struct lmtp_connection *c;

    l->paused = paused;
    DL_FOREACH(l->connections, c) {
        if (c->closing)
            continue;
        if (paused) {
            uv_read_stop((uv_stream_t *)&c->tcp);
        } else {
            flush(c);
            start_reading(c);
        }
    }
}

struct lmtp_rule *lmtp_rule(struct lmtp_fixture *l, const char *event, enum lmtp_action action,
                            const char *text)
{
    struct lmtp_rule *r = &l->rules[l->rule_count++];

    assert_true(l->rule_count <= LMTP_RULES_MAX);
    *r = (struct lmtp_rule){.event = event, .action = action, .text = text};
    return r;
}

void lmtp_no_rules(struct lmtp_fixture *l)
{
    l->rule_count = 0;
}

void lmtp_release(struct lmtp_fixture *l)
{
    struct lmtp_connection *c;

    DL_FOREACH(l->connections, c) {
        c->silent = false;
        flush(c);
    }
}

void lmtp_release_saying(struct lmtp_fixture *l, const char *text)
{
    struct lmtp_connection *c;

    DL_FOREACH(l->connections, c) {
        if (!c->silent)
            continue;
        c->silent = false;
        c->out_len = 0;
        put(c, text);
        flush(c);
    }
}

unsigned lmtp_delivered_to(const struct lmtp_fixture *l, const char *recipient)
{
    unsigned count = 0;

    for (size_t i = 0; i < l->delivered_count; i++)
        count += strcmp(l->delivered[i].recipient, recipient) == 0;
    return count;
}

unsigned lmtp_said(const struct lmtp_fixture *l, const char *text)
{
    unsigned count = 0;

    for (const char *p = strstr(l->said, text); p; p = strstr(p + 1, text))
        count++;
    return count;
}
