/* test_stream_tls - TLS in a stream: what owners are told, that no plain byte gets by, how it ends
 */
#include "loop_fixture.h"
#include "tls_fixture.h"

#include "net/stream_internal.h"
#include "tls/tls_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG   (1u << 20)
#define READY "220 2.0.0 Ready to start TLS\r\n"

/* Who has the stream: a server that starts TLS when it reads STARTTLS, or a client on open. */
struct owner {
    struct stream stream;
    struct tls_client *client; /* NULL: a server */
    char *got;                 /* owned */
    size_t len, cap;           /* of got */
    size_t take_max;           /* of one on_data, within TLS */
    size_t take_line;          /* of the line STARTTLS; 0: everything */
    const char *say_early;     /* sent right after stream_start_tls */
    bool close_when_secured, finish_when_secured;
    bool finish_in_data;
    unsigned opens, secureds, drains, deadlines, eofs, ends, closes;
    int rc; /* of on_end */
};

/* The other end: a socket and a session that the test moves. */
struct peer {
    int fd;
    struct tls_session *session; /* owned; NULL: plain */
    char *got;                   /* owned; plain bytes */
    size_t len, cap;
    size_t piece; /* of one send */
    bool end;     /* the socket's */
};

static struct loop_fixture f;
static uv_tcp_t listener;
static uint16_t port;
static struct owner *to_accept;
static struct tls_server *server;
static struct tls_client *client;

/* Doubled as needed: with sanitizers each realloc copies all there is. */
static void keep(char **got, size_t *len, size_t *cap, const char *bytes, size_t count)
{
    if (*len + count + 1 > *cap) {
        *cap = 2 * (*len + count + 1);
        *got = realloc(*got, *cap);
    }
    assert_non_null(*got);
    memcpy(*got + *len, bytes, count);
    *len += count;
    (*got)[*len] = '\0';
}

/* ---- the owner ---- */

static void start_tls(struct owner *o)
{
    if (o->client) {
        stream_start_tls(&o->stream, tls_fixture_hello(o->client, "mail.example.com"));
    } else {
        stream_send(&o->stream, SPAN_LIT(READY));
        stream_start_tls(&o->stream, tls_server_session(server));
    }
    if (o->say_early)
        stream_send(&o->stream, span_of(o->say_early));
}

static void on_open(void *ctx)
{
    struct owner *o = ctx;

    o->opens++;
    start_tls(o);
}

static size_t on_data(void *ctx, const char *bytes, size_t len)
{
    struct owner *o = ctx;
    size_t taken = len < o->take_max ? len : o->take_max;

    if (!o->stream.tls) {
        assert_memory_equal(bytes, "STARTTLS\r\n", 10);
        start_tls(o);
        return o->take_line > 0 ? o->take_line : len;
    }
    assert_int_equal(o->secureds, 1);
    keep(&o->got, &o->len, &o->cap, bytes, taken);
    if (o->finish_in_data) {
        stream_send(&o->stream, SPAN_LIT("221 bye\r\n"));
        stream_finish(&o->stream);
    }
    return taken;
}

static void on_drained(void *ctx)
{
    struct owner *o = ctx;

    o->drains++;
}

static void on_deadline(void *ctx)
{
    struct owner *o = ctx;

    o->deadlines++;
}

static void on_eof(void *ctx)
{
    struct owner *o = ctx;

    o->eofs++;
}

static void on_end(void *ctx, int rc)
{
    struct owner *o = ctx;

    assert_int_equal(o->ends, 0);
    o->ends++;
    o->rc = rc;
}

static void on_closed(void *ctx)
{
    struct owner *o = ctx;

    assert_int_equal(o->closes, 0);
    o->closes++;
}

static void on_secured(void *ctx)
{
    struct owner *o = ctx;

    assert_int_equal(o->secureds, 0);
    assert_non_null(stream_tls_facts(&o->stream));
    o->secureds++;
    if (o->close_when_secured)
        stream_close(&o->stream);
    if (o->finish_when_secured)
        stream_finish(&o->stream);
}

static const struct stream_events events = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drained = on_drained,
    .on_deadline = on_deadline,
    .on_eof = on_eof,
    .on_end = on_end,
    .on_closed = on_closed,
    .on_secured = on_secured,
};

static void on_connection(uv_stream_t *from, int status)
{
    assert_int_equal(status, 0);
    assert_non_null(to_accept);
    assert_int_equal(stream_accept(&to_accept->stream, &f.streams, from, &events, to_accept), 0);
    to_accept = NULL;
}

static int setup(void **state)
{
    struct sockaddr_in address = peer_address(0);
    int len = sizeof address;

    loop_begin(&f);
    assert_int_equal(uv_tcp_init(&f.loop, &listener), 0);
    assert_int_equal(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&listener, 16, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len), 0);
    port = ntohs(address.sin_port);
    server = tls_fixture_server(&TLS_BEST);
    client = tls_fixture_client(&TLS_BEST);
    return 0;
}

static int teardown(void **state)
{
    tls_server_unref(server);
    tls_client_unref(client);
    assert_int_equal(f.streams.tls_sessions, 0);
    uv_close((uv_handle_t *)&listener, NULL);
    loop_end(&f);
    return 0;
}

static struct owner *owner_new(void)
{
    struct owner *o = calloc(1, sizeof *o);

    assert_non_null(o);
    o->take_max = SIZE_MAX;
    return o;
}

static void owner_free(struct owner *o)
{
    stream_close(&o->stream);
    loop_wait(&f, o->closes > 0);
    assert_null(o->stream.tls);
    assert_null(o->stream.filling.bytes);
    assert_int_equal(o->eofs, 0);
    free(o->got);
    free(o);
}

/* ---- the peer ---- */

static struct owner *connect_to(struct peer *p)
{
    struct owner *o = owner_new();

    *p = (struct peer){.fd = peer_connect(port), .piece = SIZE_MAX};
    to_accept = o;
    loop_wait(&f, !to_accept);
    stream_read(&o->stream);
    return o;
}

static bool peer_write(struct peer *p)
{
    struct span wire = span_first(tls_session_wire(p->session), p->piece);
    ssize_t n;

    if (wire.len > 0 && (n = send(p->fd, wire.ptr, wire.len, MSG_NOSIGNAL)) > 0)
        tls_session_wrote(p->session, (size_t)n);
    return wire.len > 0; /* the session takes nothing before that */
}

static bool peer_read(struct peer *p)
{
    char bytes[16384];
    ssize_t n = recv(p->fd, bytes, sizeof bytes, MSG_PEEK);
    struct span plain;

    p->end = n == 0;
    if (n > 0) {
        size_t taken = tls_session_feed(p->session, bytes, (size_t)n);

        assert_int_equal(recv(p->fd, bytes, taken, 0), taken);
    }
    plain = tls_session_plain(p->session);
    if (plain.len > 0) {
        keep(&p->got, &p->len, &p->cap, plain.ptr, plain.len);
        tls_session_took(p->session, plain.len);
    }
    return plain.len > 0;
}

/* What can move now: our records out, theirs in. */
static void peer_move(struct peer *p)
{
    if (peer_write(p))
        return;
    for (int i = 0; i < 100 && peer_read(p); i++)
        ;
}

#define peer_wait(p, condition) loop_wait(&f, (peer_move(p), condition))

static void peer_starttls(struct peer *p)
{
    char line[sizeof READY] = "";
    size_t got = 0;
    long n = 0;

    peer_send(&f, p->fd, "STARTTLS\r\n", 10);
    loop_wait(&f, (n = peer_take(p->fd, line + got, sizeof READY - 1 - got)) > 0 &&
                      (got += (size_t)n) == sizeof READY - 1);
    assert_string_equal(line, READY);
    p->session = tls_fixture_hello(client, "mail.example.com");
}

static void peer_secure(struct peer *p, struct owner *o)
{
    peer_starttls(p);
    peer_wait(p, o->secureds == 1 && tls_session_state(p->session) == TLS_OPEN);
}

static void peer_say(struct peer *p, const char *text)
{
    assert_int_equal(tls_session_send(p->session, span_of(text)), strlen(text));
    tls_session_flush(p->session);
}

static void peer_free(struct peer *p)
{
    tls_session_free(p->session);
    if (p->fd >= 0)
        peer_close(p->fd);
    free(p->got);
}

/* ---- starting ---- */

static void a_session_after_starttls(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    assert_null(stream_tls_facts(&o->stream));
    peer_secure(&p, o);
    assert_int_equal(f.streams.tls_sessions, 1);
    assert_string_equal(stream_tls_facts(&o->stream)->protocol, "TLSv1.2");
    assert_string_equal(stream_tls_error(&o->stream), "");
    peer_say(&p, "EHLO client.example.com\r\n");
    peer_wait(&p, o->len == 25);
    assert_string_equal(o->got, "EHLO client.example.com\r\n");
    stream_send(&o->stream, SPAN_LIT("250 mail.example.com\r\n"));
    peer_wait(&p, p.len == 22);
    assert_string_equal(p.got, "250 mail.example.com\r\n");
    assert_int_equal(stream_pending(&o->stream), 0);
    peer_free(&p);
    owner_free(o);
}

static void every_byte_a_segment_of_its_own(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    p.piece = 1;
    peer_secure(&p, o);
    peer_say(&p, "NOOP\r\n");
    peer_wait(&p, o->len == 6);
    peer_free(&p);
    owner_free(o);
}

static void our_stream_on_both_sides(void **state)
{
    struct owner *a = owner_new(), *o = owner_new();
    struct sockaddr_in address = peer_address(port);

    to_accept = o;
    a->client = client;
    assert_int_equal(
        stream_connect_tcp(&a->stream, &f.streams, (struct sockaddr *)&address, &events, a), 0);
    loop_wait(&f, !to_accept);
    stream_start_tls(&o->stream, tls_server_session(server));
    loop_wait(&f, a->secureds == 1 && o->secureds == 1);
    stream_send(&a->stream, SPAN_LIT("LHLO"));
    stream_finish(&a->stream);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EOF);
    assert_string_equal(o->got, "LHLO");
    owner_free(o);
    loop_wait(&f, a->closes == 1);
    owner_free(a);
}

static void what_is_sent_early_waits(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    o->say_early = "220 mail.example.com ESMTP\r\n";
    peer_starttls(&p);
    loop_idle(&f);
    assert_int_equal(peer_take(p.fd, (char[1]){0}, 1), -EAGAIN);
    assert_int_equal(stream_pending(&o->stream), strlen(o->say_early));
    peer_wait(&p, p.len == strlen(o->say_early));
    assert_string_equal(p.got, o->say_early);
    peer_free(&p);
    owner_free(o);
}

/* CVE-2011-0411: commands in the same segment as STARTTLS must not count as said within TLS. */
static void plain_text_behind_starttls_breaks_it(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    o->take_line = 10;
    peer_send(&f, p.fd, "STARTTLS\r\nMAIL FROM:<evil@example.net>\r\n", 39);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EPROTO);
    assert_int_equal(o->len, 0);
    assert_int_equal(o->secureds, 0);
    peer_free(&p);
    owner_free(o);
}

static void plain_text_that_was_kept_breaks_it(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    o->stream.kept = malloc(1); /* as on_data left it */
    assert_non_null(o->stream.kept);
    o->stream.kept_len = 1;
    o->stream.paused = true;
    start_tls(o);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EPROTO);
    peer_free(&p);
    owner_free(o);
}

/* In a segment of its own it is junk to the handshake. */
static void plain_text_instead_of_a_handshake(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_send(&f, p.fd, "STARTTLS\r\n", 10);
    loop_wait(&f, o->stream.tls);
    peer_send(&f, p.fd, "MAIL FROM:<evil@example.net>\r\n", 30);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EPROTO);
    assert_string_equal(stream_tls_error(&o->stream),
                        "not TLS (plain text?), or an unsupported version");
    assert_int_equal(o->len, 0);
    peer_free(&p);
    owner_free(o);
}

static void much_junk_is_not_kept(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);
    char *junk = calloc(1, BIG);

    assert_non_null(junk);
    memcpy(junk, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", 9); /* one long ClientHello */
    peer_send(&f, p.fd, "STARTTLS\r\n", 10);
    loop_wait(&f, o->stream.tls);
    for (size_t at = 0; at < BIG && !o->ends;) {
        ssize_t n = send(p.fd, junk + at, BIG - at, MSG_NOSIGNAL);

        at += n > 0 ? (size_t)n : 0;
        loop_turn(&f);
    }
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EPROTO);
    free(junk);
    peer_free(&p);
    owner_free(o);
}

static void a_stream_that_is_over_takes_no_session(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    stream_close(&o->stream);
    stream_start_tls(&o->stream, tls_server_session(server));
    assert_null(o->stream.tls);
    peer_free(&p);
    owner_free(o);
}

/* ---- the lane ---- */

static bool gate;

static void wait_at_the_gate(struct lane_job *job)
{
    while (!__atomic_load_n(&gate, __ATOMIC_SEQ_CST))
        uv_sleep(1);
}

static void passed(struct lane_job *job)
{
}

static void a_close_waits_for_the_job(void **state)
{
    struct lane_job others[2] = {
        {.work = wait_at_the_gate, .done = passed},
        {.work = wait_at_the_gate, .done = passed}
    };
    struct peer p;
    struct owner *o = connect_to(&p);

    __atomic_store_n(&gate, false, __ATOMIC_SEQ_CST);
    lane_submit(&f.tls, &others[0]);
    lane_submit(&f.tls, &others[1]);
    peer_starttls(&p);
    peer_wait(&p, o->stream.tls && stream_tls_working(&o->stream));
    assert_string_equal(stream_tls_error(&o->stream), ""); /* the session is not ours to ask */
    stream_close(&o->stream);
    loop_idle(&f);
    assert_int_equal(o->closes, 0);
    __atomic_store_n(&gate, true, __ATOMIC_SEQ_CST);
    loop_wait(&f, o->closes == 1 && lane_idle(&f.tls)); /* the others are on our stack */
    assert_int_equal(o->secureds + o->ends, 0);
    peer_free(&p);
    owner_free(o);
}

/*
 * BearSSL would compute a key exchange as soon as it is complete, though its record is not: a
 * client that holds back a byte of each must not get that done on the loop's thread.
 */
static void a_part_of_a_record_is_work_for_the_lane(void **state)
{
    struct lane_job others[2] = {
        {.work = wait_at_the_gate, .done = passed},
        {.work = wait_at_the_gate, .done = passed}
    };
    struct peer p;
    struct owner *o = connect_to(&p);
    struct span hello;

    peer_starttls(&p);
    hello = tls_session_wire(p.session);
    peer_send(&f, p.fd, hello.ptr, 4);
    loop_idle(&f);
    assert_false(stream_tls_working(&o->stream)); /* of a header it is only stored */
    __atomic_store_n(&gate, false, __ATOMIC_SEQ_CST);
    lane_submit(&f.tls, &others[0]);
    lane_submit(&f.tls, &others[1]);
    peer_send(&f, p.fd, hello.ptr + 4, 10);
    loop_wait(&f, stream_tls_working(&o->stream));
    __atomic_store_n(&gate, true, __ATOMIC_SEQ_CST);
    loop_wait(&f, lane_idle(&f.tls));
    tls_session_wrote(p.session, 14);
    peer_wait(&p, o->secureds == 1 && tls_session_state(p.session) == TLS_OPEN);
    peer_free(&p);
    owner_free(o);
}

static void the_deadline_is_not_moved_by_a_slow_handshake(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_starttls(&p);
    stream_deadline(&o->stream, 200);
    while (!o->deadlines && tls_session_wire(p.session).len > 1) {
        char byte = *tls_session_wire(p.session).ptr;

        peer_send(&f, p.fd, &byte, 1);
        tls_session_wrote(p.session, 1);
        uv_sleep(5);
    }
    loop_wait(&f, o->deadlines == 1);
    assert_int_equal(o->secureds, 0);
    peer_free(&p);
    owner_free(o);
}

static void closing_and_finishing_in_on_secured(void **state)
{
    for (int finish = 0; finish < 2; finish++) {
        struct peer p;
        struct owner *o = connect_to(&p);

        o->close_when_secured = !finish;
        o->finish_when_secured = finish;
        peer_starttls(&p);
        peer_wait(&p, p.end);
        assert_int_equal(tls_session_state(p.session), finish ? TLS_ENDED : TLS_OPEN);
        loop_wait(&f, o->closes == 1);
        peer_free(&p);
        owner_free(o);
    }
}

/* ---- ending ---- */

static void close_notify_is_the_end(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_secure(&p, o);
    peer_say(&p, "QUIT\r\n");
    tls_session_close(p.session);
    peer_wait(&p, o->ends == 1);
    assert_int_equal(o->rc, UV_EOF);
    assert_string_equal(o->got, "QUIT\r\n");
    stream_send(&o->stream, SPAN_LIT("221 too late\r\n"));
    stream_finish(&o->stream);
    peer_wait(&p, p.end);
    assert_int_equal(tls_session_state(p.session), TLS_ENDED);
    peer_free(&p);
    owner_free(o);
}

static void an_end_without_close_notify_is_truncation(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_secure(&p, o);
    peer_say(&p, "text of a mail");
    peer_wait(&p, o->len == 14);
    assert_int_equal(shutdown(p.fd, SHUT_WR), 0);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_ECONNRESET);
    peer_free(&p);
    owner_free(o);
}

static void an_end_within_the_handshake(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_starttls(&p);
    peer_close(p.fd);
    p.fd = -1;
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_ECONNRESET);
    peer_free(&p);
    owner_free(o);
}

static void an_alert_ends_it_with_words(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_starttls(&p);
    peer_send(&f, p.fd, "\x15\x03\x01\x00\x02\x02\x30", 7);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EPROTO);
    assert_string_equal(stream_tls_error(&o->stream), "alert from the peer: unknown ca");
    peer_free(&p);
    owner_free(o);
}

/* Never again: what comes behind it is not even looked at. */
static void plain_text_after_close_notify_is_not_read(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_secure(&p, o);
    tls_session_close(p.session);
    peer_wait(&p, o->ends == 1);
    peer_send(&f, p.fd, "MAIL FROM:<evil@example.net>\r\n", 30);
    loop_idle(&f);
    assert_int_equal(o->rc, UV_EOF);
    assert_int_equal(o->len, 0);
    peer_free(&p);
    owner_free(o);
}

static void finish_says_everything_and_close_notify(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);
    char *text = malloc(BIG);
    size_t sent = 0;

    assert_non_null(text);
    memset(text, 'x', BIG);
    peer_secure(&p, o);
    for (; stream_pending(&o->stream) < STREAM_OUT_HIGH; sent += BIG)
        stream_send(&o->stream, span_make(text, BIG));
    stream_finish(&o->stream);
    stream_send(&o->stream, SPAN_LIT("not any more"));
    peer_wait(&p, p.end);
    assert_int_equal(p.len, sent);
    assert_memory_equal(p.got + sent - BIG, text, BIG);
    assert_int_equal(tls_session_state(p.session), TLS_ENDED);
    loop_wait(&f, o->closes == 1);
    free(text);
    peer_free(&p);
    owner_free(o);
}

static void finish_within_on_data(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    o->finish_in_data = true;
    peer_secure(&p, o);
    peer_say(&p, "QUIT\r\n");
    peer_wait(&p, p.end);
    assert_string_equal(p.got, "221 bye\r\n");
    assert_int_equal(tls_session_state(p.session), TLS_ENDED);
    peer_free(&p);
    owner_free(o);
}

static void finish_during_the_handshake_just_closes(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_starttls(&p);
    stream_finish(&o->stream);
    peer_wait(&p, p.end);
    assert_int_equal(tls_session_state(p.session), TLS_HANDSHAKE);
    loop_wait(&f, o->closes == 1);
    peer_free(&p);
    owner_free(o);
}

/* ---- much data ---- */

static void a_slow_consumer_is_back_pressure(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);
    char *text = calloc(1, BIG);
    size_t sent = 0, before = 0;

    assert_non_null(text);
    peer_secure(&p, o);
    o->take_max = 0;
    for (int quiet = 0; quiet < 50 && sent < 64 * BIG; before = sent) {
        sent += tls_session_send(p.session, span_make(text, BIG));
        peer_move(&p);
        loop_turn(&f);
        quiet = sent > before ? 0 : quiet + 1;
    }
    assert_true(o->stream.paused);
    assert_true(sent < 64 * BIG);
    o->take_max = SIZE_MAX;
    stream_resume(&o->stream);
    assert_in_range(o->len, 1, 2 * STREAM_TLS_READ_MAX);
    tls_session_flush(p.session);
    peer_wait(&p, o->len == sent);
    o->take_max = 1; /* and byte by byte, asked for each time */
    peer_say(&p, "xyz");
    peer_wait(&p, o->len == sent + 1);
    stream_resume(&o->stream);
    stream_resume(&o->stream);
    assert_int_equal(o->len, sent + 3);
    assert_string_equal(o->got + sent, "xyz");
    assert_false(o->stream.paused);
    free(text);
    peer_free(&p);
    owner_free(o);
}

static void kept_bytes_come_before_the_end(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);

    peer_secure(&p, o);
    o->take_max = 1;
    peer_say(&p, "ab");
    tls_session_close(p.session);
    peer_wait(&p, o->len == 1);
    loop_idle(&f);
    assert_int_equal(o->ends, 0);
    stream_resume(&o->stream);
    assert_string_equal(o->got, "ab");
    assert_int_equal(o->ends, 0); /* not from within stream_resume */
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EOF);
    peer_free(&p);
    owner_free(o);
}

static void pending_output_drains(void **state)
{
    struct peer p;
    struct owner *o = connect_to(&p);
    char *text = calloc(1, BIG);
    size_t sent = 0;

    assert_non_null(text);
    peer_secure(&p, o);
    o->drains = 0;
    for (; stream_pending(&o->stream) < STREAM_OUT_HIGH; sent += 100000)
        stream_send(&o->stream, span_make(text, 100000));
    loop_idle(&f);
    assert_int_equal(o->drains, 0);
    peer_wait(&p, p.len == sent);
    loop_wait(&f, o->drains > 0);
    assert_int_equal(stream_pending(&o->stream), 0);
    for (size_t i = 0; i < 70 && !o->stream.broken; i++)
        stream_send(&o->stream, span_make(text, 100000));
    assert_int_equal(stream_pending(&o->stream), STREAM_OUT_MAX);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_ENOBUFS);
    free(text);
    peer_free(&p);
    owner_free(o);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_session_after_starttls),
        TEST(every_byte_a_segment_of_its_own),
        TEST(our_stream_on_both_sides),
        TEST(what_is_sent_early_waits),
        TEST(plain_text_behind_starttls_breaks_it),
        TEST(plain_text_that_was_kept_breaks_it),
        TEST(plain_text_instead_of_a_handshake),
        TEST(much_junk_is_not_kept),
        TEST(a_stream_that_is_over_takes_no_session),
        TEST(a_close_waits_for_the_job),
        TEST(a_part_of_a_record_is_work_for_the_lane),
        TEST(the_deadline_is_not_moved_by_a_slow_handshake),
        TEST(closing_and_finishing_in_on_secured),
        TEST(close_notify_is_the_end),
        TEST(an_end_without_close_notify_is_truncation),
        TEST(an_end_within_the_handshake),
        TEST(an_alert_ends_it_with_words),
        TEST(plain_text_after_close_notify_is_not_read),
        TEST(finish_says_everything_and_close_notify),
        TEST(finish_within_on_data),
        TEST(finish_during_the_handshake_just_closes),
        TEST(a_slow_consumer_is_back_pressure),
        TEST(kept_bytes_come_before_the_end),
        TEST(pending_output_drains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
