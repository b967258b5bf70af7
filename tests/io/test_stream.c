/* Tests of net/stream: what owners are told, in which order, and that nothing is lost or left
 * behind. */
#include "loop_fixture.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG (1u << 20)

enum callback { NONE, OPEN, DATA, DRAINED, DEADLINE, EOF_TOLD, END };

/* Somebody who has a stream: counts what it is told and does what the test sets. */
struct owner {
    struct stream stream;
    struct loop_fixture *f;
    char *got; /* owned */
    size_t len;
    size_t take_max;     /* of one on_data; 0: nothing, SIZE_MAX: everything */
    bool resume_in_data; /* asks for the rest from within on_data */
    bool finish_in_data;
    enum callback close_in;
    struct owner *finish_other; /* in on_data */
    size_t send_in_data;        /* bytes to send from each on_data */
    unsigned opens, datas, drains, deadlines, eofs, ends, closes;
    int rc;       /* of on_end */
    bool calling; /* a function of stream is on the stack: on_end must not come */
};

static struct loop_fixture f;
static uv_tcp_t listener;
static uint16_t port;
static struct owner *to_accept;

static void may_close(struct owner *o, enum callback now)
{
    if (o->close_in == now) {
        stream_close(&o->stream);
        stream_close(&o->stream);
    }
}

static void on_open(void *ctx)
{
    struct owner *o = ctx;

    o->opens++;
    may_close(o, OPEN);
}

static void send_filler(struct owner *o, size_t len)
{
    char *bytes = malloc(len);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)('a' + i % 26);
    o->calling = true;
    stream_send(&o->stream, span_make(bytes, len));
    o->calling = false;
    free(bytes);
}

static size_t on_data(void *ctx, const char *bytes, size_t len)
{
    struct owner *o = ctx;
    size_t taken = len < o->take_max ? len : o->take_max;

    o->datas++;
    if (o->finish_other)
        stream_finish(&o->finish_other->stream);
    o->got = realloc(o->got, o->len + taken + 1);
    assert_non_null(o->got);
    memcpy(o->got + o->len, bytes, taken);
    o->len += taken;
    o->got[o->len] = '\0';
    if (o->send_in_data > 0)
        send_filler(o, o->send_in_data);
    if (o->resume_in_data)
        stream_resume(&o->stream);
    if (o->finish_in_data)
        stream_finish(&o->stream);
    may_close(o, DATA);
    return taken;
}

static void on_drained(void *ctx)
{
    struct owner *o = ctx;

    o->drains++;
    may_close(o, DRAINED);
}

static void on_deadline(void *ctx)
{
    struct owner *o = ctx;

    o->deadlines++;
    may_close(o, DEADLINE);
}

static void on_end(void *ctx, int rc)
{
    struct owner *o = ctx;

    assert_false(o->calling);
    assert_int_equal(o->ends, 0);
    o->ends++;
    o->rc = rc;
    may_close(o, END);
}

static void on_closed(void *ctx)
{
    struct owner *o = ctx;

    assert_int_equal(o->closes, 0);
    o->closes++;
}

static const struct stream_events events = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drained = on_drained,
    .on_deadline = on_deadline,
    .on_end = on_end,
    .on_closed = on_closed,
};

static void on_connection(uv_stream_t *server, int status)
{
    assert_int_equal(status, 0);
    assert_non_null(to_accept);
    assert_int_equal(stream_accept(&to_accept->stream, &f.streams, server, &events, to_accept), 0);
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
    return 0;
}

static int teardown(void **state)
{
    uv_close((uv_handle_t *)&listener, NULL);
    loop_end(&f);
    return 0;
}

static struct owner *owner_new(void)
{
    struct owner *o = calloc(1, sizeof *o);

    assert_non_null(o);
    o->f = &f;
    o->take_max = SIZE_MAX;
    return o;
}

/* Accepted; the test has the other end. */
static struct owner *owner_accepted(int *fd_out)
{
    struct owner *o = owner_new();

    to_accept = o;
    *fd_out = peer_connect(port);
    loop_wait(&f, !to_accept);
    return o;
}

/* Closes, and checks that on_closed is all that comes. */
static void owner_free(struct owner *o)
{
    unsigned told = o->opens + o->datas + o->drains + o->deadlines + o->ends;

    if (o->stream.io.handle.type != UV_UNKNOWN_HANDLE) {
        stream_close(&o->stream);
        stream_send(&o->stream, SPAN_LIT("too late"));
        stream_deadline(&o->stream, 1);
        stream_resume(&o->stream);
        stream_finish(&o->stream);
        loop_wait(&f, o->closes > 0);
        loop_idle(&f);
        assert_int_equal(o->opens + o->datas + o->drains + o->deadlines + o->ends, told);
        assert_null(o->stream.filling.bytes);
        assert_null(o->stream.flying.bytes);
        assert_null(o->stream.kept);
    }
    free(o->got);
    free(o);
}

/* Reads until `len` bytes came or the end; how many. */
static size_t peer_drain(int fd, char *buf, size_t len)
{
    size_t got = 0;
    long n = 1;

    loop_wait(&f, (n = peer_take(fd, buf + got, len - got)) == 0 || (n < 0 && n != -EAGAIN) ||
                      (n > 0 && (got += (size_t)n) == len));
    assert_true(n >= 0);
    return got;
}

static bool is_filler(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != (char)('a' + i % 26))
            return false;
    }
    return true;
}

/* ---- reading ---- */

static void bytes_come_in_order_whatever_the_split(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    stream_read(&o->stream);
    stream_read(&o->stream); /* once is enough, twice does no harm */
    for (const char *p = "one by one"; *p; p++)
        peer_send(&f, fd, p, 1);
    loop_wait(&f, o->len == 10);
    assert_string_equal(o->got, "one by one");
    peer_close(fd);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EOF);
    owner_free(o);
}

static void nothing_is_read_before_it_is_asked_for(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    peer_send(&f, fd, "early", 5);
    loop_idle(&f);
    assert_int_equal(o->datas, 0);
    stream_read(&o->stream);
    loop_wait(&f, o->len == 5);
    peer_close(fd);
    owner_free(o);
}

static void what_is_left_comes_again(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    unsigned datas;

    o->take_max = 3;
    stream_read(&o->stream);
    peer_send(&f, fd, "abcdefgh", 8);
    loop_wait(&f, o->datas == 1);
    datas = o->datas;
    peer_send(&f, fd, "ijk", 3); /* stays in the socket */
    loop_idle(&f);
    assert_int_equal(o->datas, datas);
    assert_int_equal(o->stream.kept_len, 5);
    stream_resume(&o->stream);
    assert_string_equal(o->got, "abcdef");
    stream_resume(&o->stream);
    assert_string_equal(o->got, "abcdefgh");
    assert_null(o->stream.kept);
    loop_wait(&f, o->len == 11);
    assert_string_equal(o->got, "abcdefghijk");
    peer_close(fd);
    owner_free(o);
}

static void taking_nothing_is_fine_too(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    o->take_max = 0;
    stream_read(&o->stream);
    peer_send(&f, fd, "abc", 3);
    loop_wait(&f, o->datas == 1);
    stream_resume(&o->stream);
    assert_int_equal(o->datas, 2);
    assert_int_equal(o->stream.kept_len, 3);
    o->take_max = SIZE_MAX;
    stream_resume(&o->stream);
    assert_string_equal(o->got, "abc");
    peer_close(fd);
    owner_free(o);
}

static void resume_within_on_data_goes_on_at_once(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    o->take_max = 2;
    o->resume_in_data = true;
    stream_read(&o->stream);
    peer_send(&f, fd, "abcdefg", 7);
    loop_wait(&f, o->len == 7);
    assert_string_equal(o->got, "abcdefg");
    assert_false(o->stream.paused);
    peer_close(fd);
    owner_free(o);
}

/* A limit leaves the rest in the socket, for whoever looks there; without it all comes. */
static void no_more_is_read_than_was_asked_for(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char peek[16];
    uv_os_fd_t own;

    o->close_in = NONE;
    stream_read_most(&o->stream, 3);
    peer_send(&f, fd, "abcdefgh", 8);
    o->take_max = 3;
    stream_read(&o->stream);
    loop_wait(&f, o->len == 8);
    assert_int_equal(o->datas, 3); /* "abc", "def", "gh" */
    o->take_max = 0;               /* it stops after the first three */
    peer_send(&f, fd, "ABCDEFGH", 8);
    loop_wait(&f, o->datas == 4);
    assert_int_equal(o->stream.kept_len, 3);
    assert_int_equal(uv_fileno(&o->stream.io.handle, &own), 0);
    assert_int_equal(recv(own, peek, sizeof peek, MSG_PEEK | MSG_DONTWAIT), 5);
    assert_memory_equal(peek, "DEFGH", 5);
    o->take_max = SIZE_MAX;
    stream_read_most(&o->stream, 0);
    stream_resume(&o->stream);
    loop_wait(&f, o->len == 16);
    assert_int_equal(o->datas, 6);
    assert_string_equal(o->got, "abcdefghABCDEFGH");
    peer_close(fd);
    owner_free(o);
}

static void a_slow_consumer_is_back_pressure_not_memory(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char *bytes = calloc(1, BIG);
    size_t sent = 0;
    ssize_t n;

    assert_non_null(bytes);
    o->take_max = 0;
    stream_read(&o->stream);
    for (int quiet = 0; quiet < 20 && sent < 64 * BIG;) { /* until the kernel takes no more */
        n = send(fd, bytes, BIG, MSG_NOSIGNAL);
        quiet = n > 0 ? 0 : quiet + 1;
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(&f);
    }
    assert_true(sent < 64 * BIG);
    assert_in_range(o->stream.kept_len, 1, STREAM_READ_MAX);
    o->take_max = SIZE_MAX;
    stream_resume(&o->stream);
    loop_wait(&f, o->len == sent);
    free(bytes);
    peer_close(fd);
    owner_free(o);
}

static void kept_bytes_come_before_the_end(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    o->take_max = 1;
    stream_read(&o->stream);
    peer_send(&f, fd, "xyz", 3);
    peer_close(fd);
    loop_wait(&f, o->datas == 1);
    loop_idle(&f);
    assert_int_equal(o->ends, 0);
    o->take_max = SIZE_MAX;
    stream_resume(&o->stream);
    assert_string_equal(o->got, "xyz");
    loop_wait(&f, o->ends == 1);
    owner_free(o);
}

/* ---- writing ---- */

static void pending_output_drains(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char *buf = malloc(BIG);
    size_t sent = 0;

    assert_non_null(buf);
    while (stream_pending(&o->stream) < STREAM_OUT_HIGH) {
        send_filler(o, 26 * 1000);
        sent += 26 * 1000;
    }
    loop_idle(&f);
    assert_int_equal(o->drains, 0);
    for (size_t got = 0; got < sent;) {
        size_t n = peer_drain(fd, buf, sent - got < 26 * 1000 ? sent - got : 26 * 1000);

        assert_true(is_filler(buf, n));
        got += n;
    }
    loop_wait(&f, o->drains > 0);
    assert_int_equal(stream_pending(&o->stream), 0);
    assert_null(o->stream.filling.bytes);
    assert_null(o->stream.flying.bytes);
    free(buf);
    peer_close(fd);
    owner_free(o);
}

/*
 * From within on_data nothing leaves before it returns, so that the owner sees much pending and
 * stops; then the socket takes it all at once, and no write is under way whose end would tell.
 */
static void output_that_leaves_at_once_is_told_as_well(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char *buf = malloc(STREAM_OUT_HIGH);

    assert_non_null(buf);
    o->send_in_data = STREAM_OUT_HIGH;
    o->take_max = 1;
    stream_read(&o->stream);
    peer_send(&f, fd, "ab", 2);
    loop_wait(&f, o->datas == 1);
    assert_int_equal(peer_drain(fd, buf, STREAM_OUT_HIGH), STREAM_OUT_HIGH);
    loop_wait(&f, o->drains == 1);
    free(buf);
    peer_close(fd);
    owner_free(o);
}

static void small_output_within_on_data_drains_silently(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char buf[100];

    o->send_in_data = sizeof buf;
    stream_read(&o->stream);
    peer_send(&f, fd, "a", 1);
    assert_int_equal(peer_drain(fd, buf, sizeof buf), sizeof buf);
    loop_idle(&f);
    assert_int_equal(o->drains, 0);
    peer_close(fd);
    owner_free(o);
}

static void too_much_output_breaks_the_stream_later(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    stream_deadline(&o->stream, 1);
    for (unsigned sent = 0; sent < 64 * BIG && !o->stream.broken; sent += BIG / 4)
        send_filler(o, BIG / 4);
    assert_int_equal(stream_pending(&o->stream), STREAM_OUT_MAX);
    stream_deadline(&o->stream, 1000); /* must not stand in the way of the news */
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_ENOBUFS);
    assert_int_equal(o->deadlines, 0);
    peer_close(fd);
    owner_free(o);
}

static void a_write_to_a_dead_peer_is_told_later(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    peer_reset(fd);
    for (int i = 0; i < 10; i++)
        send_filler(o, 1000); /* the owner's on_end fails the test when it comes from here */
    loop_wait(&f, o->ends == 1);
    assert_true(o->rc == UV_EPIPE || o->rc == UV_ECONNRESET);
    owner_free(o);
}

static void a_reset_is_told_once(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    stream_read(&o->stream);
    send_filler(o, 26 * 40000);
    peer_reset(fd);
    loop_wait(&f, o->ends == 1);
    assert_true(o->rc == UV_EPIPE || o->rc == UV_ECONNRESET);
    loop_idle(&f);
    owner_free(o);
}

/* ---- finishing ---- */

static void finish_writes_what_waits(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char *buf = malloc(26 * 10000);
    size_t sent = 0;

    assert_non_null(buf);
    for (; stream_pending(&o->stream) < STREAM_OUT_HIGH; sent += 26 * 10000)
        send_filler(o, 26 * 10000);
    stream_finish(&o->stream);
    stream_send(&o->stream, SPAN_LIT("not any more"));
    for (size_t got = 0; got < sent; got += 26 * 10000) {
        assert_int_equal(peer_drain(fd, buf, 26 * 10000), 26 * 10000);
        assert_true(is_filler(buf, 26 * 10000));
    }
    assert_int_equal(peer_drain(fd, buf, 1), 0);
    loop_wait(&f, o->closes == 1);
    free(buf);
    peer_close(fd);
    free(o);
}

static void finish_within_on_data(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char buf[200];

    o->take_max = 1;
    o->send_in_data = 100;
    o->finish_in_data = true;
    stream_read(&o->stream);
    peer_send(&f, fd, "abc", 3);
    assert_int_equal(peer_drain(fd, buf, sizeof buf), 100);
    loop_wait(&f, o->closes == 1);
    assert_int_equal(o->datas, 1);
    peer_close(fd);
    free(o->got);
    free(o);
}

static void last_words_survive_unread_input(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char input[20000];
    char buf[100];

    memset(input, 'x', sizeof input);
    peer_send(&f, fd, input, sizeof input);
    send_filler(o, 50);
    stream_finish(&o->stream);
    loop_wait(&f, o->closes == 1);
    assert_int_equal(peer_drain(fd, buf, sizeof buf), 50);
    peer_close(fd);
    free(o);
}

static void a_peer_that_reads_nothing_cannot_hold_a_finished_stream(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    while (stream_pending(&o->stream) < STREAM_OUT_HIGH)
        send_filler(o, BIG / 4);
    stream_finish(&o->stream);
    loop_wait(&f, o->closes == 1); /* STREAM_FINISH_MS */
    peer_close(fd);
    free(o);
}

/* Its unread input must not be thrown away into the buffer that the other one is reading from. */
static void finish_of_one_leaves_the_input_of_another_alone(void **state)
{
    int fd, fd_other;
    struct owner *other = owner_accepted(&fd_other);
    struct owner *o = owner_accepted(&fd);

    peer_send(&f, fd_other, "EVIL BYTES", 10);
    o->finish_other = other;
    stream_read(&o->stream);
    peer_send(&f, fd, "good bytes", 10);
    loop_wait(&f, o->len == 10);
    assert_string_equal(o->got, "good bytes");
    loop_wait(&f, other->closes == 1);
    peer_close(fd);
    peer_close(fd_other);
    free(other);
    owner_free(o);
}

static void last_words_after_the_peers_end(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char buf[100];

    stream_read(&o->stream);
    send_filler(o, 10);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    loop_wait(&f, o->ends == 1);
    stream_finish(&o->stream);
    assert_int_equal(peer_drain(fd, buf, sizeof buf), 10);
    loop_wait(&f, o->closes == 1);
    peer_close(fd);
    free(o->got);
    free(o);
}

static void on_eof(void *ctx)
{
    struct owner *o = ctx;

    assert_int_equal(o->eofs, 0);
    assert_int_equal(o->ends, 0);
    o->eofs++;
    may_close(o, EOF_TOLD);
}

/* The same owner, when it wants to know that the peer only stopped talking. */
static struct owner *owner_that_goes_on(int *fd_out)
{
    static struct stream_events with_eof;
    struct owner *o = owner_accepted(fd_out);

    with_eof = events;
    with_eof.on_eof = on_eof;
    o->stream.events = &with_eof;
    stream_read(&o->stream);
    return o;
}

static void a_peer_that_said_all_still_hears(void **state)
{
    int fd;
    struct owner *o = owner_that_goes_on(&fd);
    char *buf = malloc(BIG);
    size_t sent = 0;

    assert_non_null(buf);
    peer_send(&f, fd, "all", 3);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    loop_wait(&f, o->eofs == 1);
    assert_string_equal(o->got, "all");
    stream_read(&o->stream); /* nothing comes any more */
    stream_resume(&o->stream);
    loop_idle(&f);
    for (; stream_pending(&o->stream) < STREAM_OUT_HIGH; sent += 26 * 1000)
        send_filler(o, 26 * 1000);
    for (; sent > 0; sent -= 26 * 1000) {
        assert_int_equal(peer_drain(fd, buf, 26 * 1000), 26 * 1000);
        assert_true(is_filler(buf, 26 * 1000));
    }
    loop_wait(&f, o->drains > 0);
    send_filler(o, 26);
    stream_finish(&o->stream);
    assert_int_equal(peer_drain(fd, buf, BIG), 26);
    loop_wait(&f, o->closes == 1);
    assert_int_equal(o->ends, 0);
    peer_close(fd);
    free(buf);
    free(o->got);
    free(o);
}

/* One of a pair of unix sockets, taken over. */
static void an_adopted_socket_talks(void **state)
{
    struct owner *o = owner_new();
    int pair[2];
    char buf[100];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(stream_adopt(&o->stream, &f.streams, pair[0], &events, o), 0);
    stream_read(&o->stream);
    peer_send(&f, pair[1], "all", 3);
    loop_wait(&f, o->len == 3);
    assert_string_equal(o->got, "all");
    send_filler(o, 10);
    assert_int_equal(peer_drain(pair[1], buf, 10), 10);
    close(pair[1]);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_EOF);
    owner_free(o);
}

static void a_closed_descriptor_is_not_adopted(void **state)
{
    struct owner *o = owner_new();
    int fd = dup(STDIN_FILENO);

    assert_int_equal(close(fd), 0);
    assert_int_equal(stream_adopt(&o->stream, &f.streams, fd, &events, o), 0);
    loop_wait(&f, o->closes == 1);
    assert_int_equal(o->ends, 0);
    free(o);
}

static void a_peer_that_is_gone_after_all_is_an_end(void **state)
{
    int fd;
    struct owner *o = owner_that_goes_on(&fd);

    peer_close(fd);
    loop_wait(&f, o->eofs == 1);
    for (int i = 0; i < 5 && o->ends == 0; i++) { /* the first of them makes it send a reset */
        send_filler(o, 1000);
        loop_idle(&f);
    }
    loop_wait(&f, o->ends == 1);
    assert_true(o->rc == UV_EPIPE || o->rc == UV_ECONNRESET);
    owner_free(o);
}

static void a_reset_is_no_eof(void **state)
{
    int fd;
    struct owner *o = owner_that_goes_on(&fd);

    peer_reset(fd);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_ECONNRESET);
    assert_int_equal(o->eofs, 0);
    owner_free(o);
}

static void close_in_on_eof(void **state)
{
    int fd;
    struct owner *o = owner_that_goes_on(&fd);

    o->close_in = EOF_TOLD;
    peer_close(fd);
    loop_wait(&f, o->closes == 1);
    assert_int_equal(o->eofs, 1);
    free(o);
}

/* ---- deadlines ---- */

static void a_deadline_is_not_moved_by_bytes(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    uint64_t before = uv_hrtime();

    stream_read(&o->stream);
    stream_deadline(&o->stream, 60);
    while (o->deadlines == 0) {
        assert_true(uv_hrtime() - before < (uint64_t)LOOP_PATIENCE_MS * 1000000);
        peer_send(&f, fd, "x", 1);
        send_filler(o, 1);
    }
    stream_deadline(&o->stream, 20);
    stream_deadline(&o->stream, 0);
    loop_idle(&f);
    assert_int_equal(o->deadlines, 1);
    peer_close(fd);
    owner_free(o);
}

/* ---- closing from each callback ---- */

static struct owner *owner_connected(uint16_t to, enum callback close_in)
{
    struct owner *o = owner_new();
    struct sockaddr_in address = peer_address(to);

    o->close_in = close_in;
    o->calling = true;
    assert_int_equal(
        stream_connect_tcp(&o->stream, &f.streams, (struct sockaddr *)&address, &events, o), 0);
    o->calling = false;
    return o;
}

static void close_in_on_open(void **state)
{
    uint16_t to;
    int fd = peer_listen(&to);
    struct owner *o = owner_connected(to, OPEN);

    loop_wait(&f, o->closes == 1);
    assert_int_equal(o->opens, 1);
    owner_free(o);
    peer_close(fd);
}

static void close_in_on_data(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    o->close_in = DATA;
    o->take_max = 1;
    o->send_in_data = 10;
    stream_read(&o->stream);
    peer_send(&f, fd, "abc", 3);
    loop_wait(&f, o->closes == 1);
    assert_int_equal(o->datas, 1);
    owner_free(o);
    peer_close(fd);
}

static void close_in_on_drained(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);
    char *buf = malloc(4 * BIG);

    assert_non_null(buf);
    o->close_in = DRAINED;
    while (stream_pending(&o->stream) == 0)
        send_filler(o, BIG);
    peer_drain(fd, buf, 4 * BIG);
    loop_wait(&f, o->closes == 1);
    owner_free(o);
    free(buf);
    peer_close(fd);
}

static void close_in_on_deadline(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    o->close_in = DEADLINE;
    stream_deadline(&o->stream, 1);
    loop_wait(&f, o->closes == 1);
    owner_free(o);
    peer_close(fd);
}

static void close_in_on_end(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    o->close_in = END;
    stream_read(&o->stream);
    peer_close(fd);
    loop_wait(&f, o->closes == 1);
    owner_free(o);
}

static void close_with_a_write_in_flight(void **state)
{
    int fd;
    struct owner *o = owner_accepted(&fd);

    while (stream_pending(&o->stream) == 0)
        send_filler(o, BIG);
    owner_free(o);
    peer_close(fd);
}

/* ---- connecting ---- */

static void connects_and_talks(void **state)
{
    uint16_t to;
    int fd = peer_listen(&to);
    struct owner *o = owner_connected(to, NONE);
    char buf[20];
    int peer;

    send_filler(o, sizeof buf); /* before it is open: waits */
    peer = peer_accept(&f, fd);
    assert_int_equal(peer_drain(peer, buf, sizeof buf), sizeof buf);
    assert_int_equal(o->opens, 1);
    stream_read(&o->stream);
    peer_send(&f, peer, "hello", 5);
    loop_wait(&f, o->len == 5);
    peer_close(peer);
    peer_close(fd);
    owner_free(o);
}

static void a_refused_connect_is_an_end(void **state)
{
    struct owner *o = owner_connected(peer_dead_port(), NONE);

    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_ECONNREFUSED);
    assert_int_equal(o->opens, 0);
    owner_free(o);
}

static int option_of(const struct owner *o, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    uv_os_fd_t fd;

    assert_int_equal(uv_fileno(&o->stream.io.handle, &fd), 0);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* A peer that restarted says so within seconds; one that is out of reach has ten minutes. */
static void what_is_connected_is_kept_alive(void **state)
{
    uint16_t to;
    int fd = peer_listen(&to);
    struct owner *o = owner_connected(to, NONE);

    loop_wait(&f, o->opens == 1);
    assert_int_equal(option_of(o, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_in_range(option_of(o, IPPROTO_TCP, TCP_KEEPIDLE), 1, 10);
    assert_in_range(option_of(o, IPPROTO_TCP, TCP_KEEPINTVL) *
                        option_of(o, IPPROTO_TCP, TCP_KEEPCNT),
                    600, 900);
    owner_free(o);
    peer_close(fd);
}

static void a_connect_that_fails_at_once_is_told_later(void **state)
{
    struct owner *o = owner_new();
    struct sockaddr_in address;

    assert_int_equal(uv_ip4_addr("255.255.255.255", 9, &address), 0);
    o->calling = true;
    assert_int_equal(
        stream_connect_tcp(&o->stream, &f.streams, (struct sockaddr *)&address, &events, o), 0);
    o->calling = false;
    loop_wait(&f, o->ends == 1);
    assert_true(o->rc < 0);
    owner_free(o);
}

static void close_before_the_connect_is_through(void **state)
{
    uint16_t to;
    int fd = peer_listen(&to);

    owner_free(owner_connected(to, NONE));
    peer_close(fd);
}

static void finish_before_the_connect_is_through(void **state)
{
    uint16_t to;
    int fd = peer_listen(&to);
    struct owner *o = owner_connected(to, NONE);

    stream_finish(&o->stream);
    loop_wait(&f, o->closes == 1);
    assert_int_equal(o->opens, 0);
    free(o);
    peer_close(fd);
}

static void a_missing_unix_socket_is_an_end(void **state)
{
    struct owner *o = owner_new();

    assert_int_equal(stream_connect_unix(&o->stream, &f.streams, "/nonexistent/socket", &events, o),
                     0);
    loop_wait(&f, o->ends == 1);
    assert_int_equal(o->rc, UV_ENOENT);
    owner_free(o);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(bytes_come_in_order_whatever_the_split),
        TEST(nothing_is_read_before_it_is_asked_for),
        TEST(what_is_left_comes_again),
        TEST(taking_nothing_is_fine_too),
        TEST(resume_within_on_data_goes_on_at_once),
        TEST(no_more_is_read_than_was_asked_for),
        TEST(a_slow_consumer_is_back_pressure_not_memory),
        TEST(kept_bytes_come_before_the_end),
        TEST(pending_output_drains),
        TEST(output_that_leaves_at_once_is_told_as_well),
        TEST(small_output_within_on_data_drains_silently),
        TEST(too_much_output_breaks_the_stream_later),
        TEST(a_write_to_a_dead_peer_is_told_later),
        TEST(a_reset_is_told_once),
        TEST(finish_writes_what_waits),
        TEST(finish_within_on_data),
        TEST(last_words_survive_unread_input),
        TEST(a_peer_that_reads_nothing_cannot_hold_a_finished_stream),
        TEST(finish_of_one_leaves_the_input_of_another_alone),
        TEST(last_words_after_the_peers_end),
        TEST(a_peer_that_said_all_still_hears),
        TEST(a_peer_that_is_gone_after_all_is_an_end),
        TEST(a_reset_is_no_eof),
        TEST(an_adopted_socket_talks),
        TEST(a_closed_descriptor_is_not_adopted),
        TEST(close_in_on_eof),
        TEST(a_deadline_is_not_moved_by_bytes),
        TEST(close_in_on_open),
        TEST(close_in_on_data),
        TEST(close_in_on_drained),
        TEST(close_in_on_deadline),
        TEST(close_in_on_end),
        TEST(close_with_a_write_in_flight),
        TEST(connects_and_talks),
        TEST(a_refused_connect_is_an_end),
        TEST(what_is_connected_is_kept_alive),
        TEST(a_connect_that_fails_at_once_is_told_later),
        TEST(close_before_the_connect_is_through),
        TEST(finish_before_the_connect_is_through),
        TEST(a_missing_unix_socket_is_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
