/* test_stream_tls_memory - each allocation of a stream with TLS fails once: it ends, and says so */
#include "loop_fixture.h"
#include "tls_fixture.h"

#include <stdlib.h>
#include <string.h>

static long allocations_left = -1; /* before one fails; negative: none fails */
static bool one_failed;

static bool allocation_fails(void)
{
    if (allocations_left < 0 || allocations_left-- > 0)
        return false;
    one_failed = true;
    return true;
}

static void *test_allocate(size_t size)
{
    return allocation_fails() ? NULL : malloc(size);
}

static void *test_allocate_zeroed(size_t count, size_t size)
{
    return allocation_fails() ? NULL : calloc(count, size);
}

static void *test_reallocate(void *old, size_t size)
{
    return allocation_fails() ? NULL : realloc(old, size);
}

/* Built a second time; the library's own copies are then not linked. */
#undef malloc
#undef calloc
#undef realloc
#define malloc  test_allocate
#define calloc  test_allocate_zeroed
#define realloc test_reallocate
#include "net/stream.c"
#include "net/stream_tls.c"
#undef malloc
#undef calloc
#undef realloc

#define TEXT_LEN 100000 /* more than a read, a record and a buffer */

struct owner {
    struct stream stream;
    struct tls_client *client; /* NULL: a server */
    size_t len;
    bool waits; /* takes half of what comes, and the rest later */
    unsigned secureds, ends, closes;
    int rc; /* of on_end */
};

static struct loop_fixture f;
static uv_tcp_t listener;
static struct owner *to_accept;
static char text[TEXT_LEN];

static void on_open(void *ctx)
{
    struct owner *o = ctx;

    stream_start_tls(&o->stream, tls_fixture_hello(o->client, "mail.example.com"));
}

static size_t on_data(void *ctx, const char *bytes, size_t len)
{
    struct owner *o = ctx;
    size_t taken = o->waits && len > 1 ? len / 2 : len;

    o->len += taken;
    return taken;
}

static void on_deadline(void *ctx)
{
}

static void on_end(void *ctx, int rc)
{
    struct owner *o = ctx;

    o->ends++;
    o->rc = rc;
    stream_close(&o->stream); /* so that the other side ends too */
}

static void on_closed(void *ctx)
{
    struct owner *o = ctx;

    o->closes++;
}

static void on_secured(void *ctx)
{
    struct owner *o = ctx;

    o->secureds++;
    stream_send(&o->stream, span_make(text, TEXT_LEN));
}

static const struct stream_events events = {
    .on_open = on_open,
    .on_data = on_data,
    .on_deadline = on_deadline,
    .on_end = on_end,
    .on_closed = on_closed,
    .on_secured = on_secured,
};

static void on_connection(uv_stream_t *from, int status)
{
    assert_int_equal(status, 0);
    assert_int_equal(stream_accept(&to_accept->stream, &f.streams, from, &events, to_accept), 0);
}

static bool ends_well(struct owner *o)
{
    if (o->waits && o->stream.paused)
        stream_resume(&o->stream);
    return o->ends > 0 || o->len == TEXT_LEN;
}

static void close_owner(struct owner *o)
{
    stream_close(&o->stream);
    loop_wait(&f, o->closes == 1);
    assert_null(o->stream.tls);
}

/* A whole session; the n-th allocation of both sides together fails. Whether there were so many. */
static bool session(struct tls_server *server, struct tls_client *client, uint16_t port, long n)
{
    struct owner a = {.client = client}, b = {.waits = true};
    struct sockaddr_in address = peer_address(port);

    to_accept = &b;
    one_failed = false;
    assert_int_equal(
        stream_connect_tcp(&a.stream, &f.streams, (struct sockaddr *)&address, &events, &a), 0);
    loop_wait(&f, b.stream.open);
    allocations_left = n;
    stream_start_tls(&b.stream, tls_server_session(server));
    loop_wait(&f, ends_well(&a) && ends_well(&b));
    allocations_left = -1;
    if (one_failed)
        assert_true(a.ends + b.ends > 0);
    else
        assert_int_equal(a.ends + b.ends, 0);
    for (int i = 0; i < 2; i++) {
        const struct owner *o = i ? &b : &a;

        if (o->ends > 0)
            assert_true(o->rc == UV_ENOMEM || o->rc == UV_ENOBUFS || o->rc == UV_ECONNRESET ||
                        o->rc == UV_EPROTO);
    }
    close_owner(&a);
    close_owner(&b);
    return one_failed;
}

static void each_allocation(void **state)
{
    struct tls_server *server = tls_fixture_server(&TLS_BEST);
    struct tls_client *client = tls_fixture_client(&TLS_BEST);
    struct sockaddr_in address = peer_address(0);
    int len = sizeof address;
    long n = 0;

    loop_begin(&f);
    assert_int_equal(uv_tcp_init(&f.loop, &listener), 0);
    assert_int_equal(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&listener, 16, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len), 0);
    while (session(server, client, ntohs(address.sin_port), n))
        n++;
    assert_in_range(n, 10, 1000);
    assert_int_equal(f.streams.tls_sessions, 0);
    uv_close((uv_handle_t *)&listener, NULL);
    loop_end(&f);
    tls_server_unref(server);
    tls_client_unref(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation)};

    memset(text, 'x', sizeof text);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
