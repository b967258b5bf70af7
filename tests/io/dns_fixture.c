/* dns_fixture - see dns_fixture.h */
#include "dns_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_LEN 12
#define ANSWER_MAX 1400
#define PORT_TRIES 100

static void put16(unsigned char *p, unsigned value)
{
    p[0] = (unsigned char)(value >> 8);
    p[1] = (unsigned char)value;
}

/* The question's name with dots, and where its type stands; 0 when it is none. */
static size_t read_name(const unsigned char *query, size_t len, char *out, size_t cap)
{
    size_t at = HEADER_LEN, used = 0;

    while (at < len && query[at] != 0) {
        size_t label = query[at++];

        if (at + label > len || used + label + 2 > cap)
            return 0;
        if (used > 0)
            out[used++] = '.';
        memcpy(out + used, query + at, label);
        used += label;
        at += label;
    }
    out[used] = '\0';
    return at + 5 <= len ? at + 1 : 0;
}

static size_t write_name(unsigned char *out, const char *name)
{
    size_t at = 0;

    while (*name) {
        size_t label = strcspn(name, ".");

        out[at++] = (unsigned char)label;
        memcpy(out + at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    out[at++] = 0;
    return at;
}

/* Answer, and how to behave. */
static size_t answer(struct dns_fixture *d, const unsigned char *query, size_t len, bool by_tcp,
                     unsigned char *out, enum dns_manner *manner_out)
{
    char name[300];
    size_t type_at = read_name(query, len, name, sizeof name);
    size_t at = type_at + 4;
    unsigned count = 0, known = 0;

    *manner_out = DNS_ANSWER;
    if (type_at == 0)
        return 0;
    memcpy(out, query, at);
    memset(out + 6, 0, 6);
    for (size_t i = 0; i < d->record_count; i++) {
        const struct dns_record *r = &d->records[i];

        if (strcasecmp(r->name, name) != 0)
            continue;
        known++;
        *manner_out = r->manner;
        if (r->type != query[type_at + 1] || at + r->len + 12 > ANSWER_MAX)
            continue;
        put16(out + at, 0xC000 | HEADER_LEN); /* the name in the question */
        put16(out + at + 2, (unsigned)r->type);
        put16(out + at + 4, 1);
        memset(out + at + 6, 0, 4);
        put16(out + at + 10, (unsigned)r->len);
        memcpy(out + at + 12, r->data, r->len);
        at += 12 + r->len;
        count++;
    }
    put16(out + 2, 0x8180 | (known > 0 ? 0 : 3));
    if (*manner_out == DNS_REFUSE)
        put16(out + 2, 0x8185);
    put16(out + 6, count);
    if (*manner_out == DNS_TRUNCATE && !by_tcp) {
        put16(out + 2, 0x8380);
        put16(out + 6, 0);
        at = type_at + 4;
    }
    return at;
}

static void hold(struct dns_fixture *d, const struct sockaddr_in *from, const unsigned char *query,
                 size_t len)
{
    struct dns_held *h = &d->held[d->held_count];

    if (d->held_count == DNS_HELD_MAX || len > sizeof h->query)
        return;
    h->from = *from;
    memcpy(h->query, query, len);
    h->len = len;
    d->held_count++;
}

static void on_udp(uv_poll_t *poll, int status, int events)
{
    struct dns_fixture *d = poll->data;
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    unsigned char query[600], out[ANSWER_MAX];
    enum dns_manner manner;
    ssize_t n;
    size_t len;

    while ((n = recvfrom(d->udp, query, sizeof query, 0, (struct sockaddr *)&from, &from_len)) >
           0) {
        d->by_udp++;
        len = answer(d, query, (size_t)n, false, out, &manner);
        if (manner == DNS_SILENT)
            hold(d, &from, query, (size_t)n);
        else if (manner == DNS_GARBAGE)
            sendto(d->udp, "\x01garbage", 8, 0, (struct sockaddr *)&from, from_len);
        else if (len > 0)
            sendto(d->udp, out, len, 0, (struct sockaddr *)&from, from_len);
    }
}

void dns_release(struct dns_fixture *d)
{
    unsigned char out[ANSWER_MAX];
    enum dns_manner manner;

    for (size_t i = 0; i < d->held_count; i++) {
        struct dns_held *h = &d->held[i];
        size_t len = answer(d, h->query, h->len, false, out, &manner);

        sendto(d->udp, out, len, 0, (struct sockaddr *)&h->from, sizeof h->from);
    }
    d->held_count = 0;
}

static void close_connection(struct dns_fixture *d)
{
    if (d->connection < 0)
        return;
    uv_close((uv_handle_t *)&d->connection_poll, NULL);
    close(d->connection);
    d->connection = -1;
}

static void on_tcp_query(uv_poll_t *poll, int status, int events)
{
    struct dns_fixture *d = poll->data;
    unsigned char out[ANSWER_MAX + 2];
    enum dns_manner manner;
    size_t want, len;
    ssize_t n = recv(d->connection, d->input + d->input_len, sizeof d->input - d->input_len, 0);

    if (n <= 0) {
        close_connection(d);
        return;
    }
    d->input_len += (size_t)n;
    want = d->input_len < 2 ? 2 : 2 + (size_t)(d->input[0] << 8 | d->input[1]);
    if (d->input_len < want || want == 2)
        return;
    d->by_tcp++;
    len = answer(d, d->input + 2, want - 2, true, out + 2, &manner);
    put16(out, (unsigned)len);
    assert_int_equal(send(d->connection, out, len + 2, MSG_NOSIGNAL), len + 2);
    memmove(d->input, d->input + want, d->input_len - want);
    d->input_len -= want;
}

static void on_tcp(uv_poll_t *poll, int status, int events)
{
    struct dns_fixture *d = poll->data;
    int fd = accept4(d->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    assert_int_equal(d->connection, -1); /* the tests do with one */
    d->connection = fd;
    d->input_len = 0;
    assert_int_equal(uv_poll_init(&d->f->loop, &d->connection_poll, fd), 0);
    d->connection_poll.data = d;
    uv_poll_start(&d->connection_poll, UV_READABLE, on_tcp_query);
    uv_unref((uv_handle_t *)&d->connection_poll);
}

/* One port for both. */
static void bind_both(struct dns_fixture *d)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    uint16_t port = 0;

    for (int i = 0; i < PORT_TRIES; i++) {
        d->tcp = peer_listen(&port);
        address = peer_address(port);
        d->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(d->udp >= 0);
        if (bind(d->udp, (struct sockaddr *)&address, len) == 0)
            break;
        close(d->udp);
        close(d->tcp);
        d->udp = d->tcp = -1;
    }
    assert_true(d->udp >= 0);
    snprintf(d->servers, sizeof d->servers, "127.0.0.1:%u", (unsigned)port);
}

static void watch(struct dns_fixture *d, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
    assert_int_equal(uv_poll_init(&d->f->loop, poll, fd), 0);
    poll->data = d;
    uv_poll_start(poll, UV_READABLE, callback);
    uv_unref((uv_handle_t *)poll);
}

void dns_begin(struct dns_fixture *d, struct loop_fixture *f)
{
    *d = (struct dns_fixture){.f = f, .connection = -1};
    bind_both(d);
    watch(d, &d->udp_poll, d->udp, on_udp);
    watch(d, &d->tcp_poll, d->tcp, on_tcp);
}

void dns_end(struct dns_fixture *d)
{
    close_connection(d);
    uv_close((uv_handle_t *)&d->udp_poll, NULL);
    uv_close((uv_handle_t *)&d->tcp_poll, NULL);
    close(d->udp);
    close(d->tcp);
}

static struct dns_record *record_new(struct dns_fixture *d, const char *name, int type)
{
    struct dns_record *r = &d->records[d->record_count++];

    assert_true(d->record_count <= DNS_RECORDS_MAX);
    assert_true(strlen(name) < sizeof r->name);
    memcpy(r->name, name, strlen(name) + 1);
    r->type = type;
    return r;
}

void dns_add(struct dns_fixture *d, const char *name, int type, const char *value)
{
    struct dns_record *r = record_new(d, name, type);

    assert_true(strlen(value) + 4 < sizeof r->data);
    if (type == DNS_PTR) {
        r->len = write_name(r->data, value);
    } else if (type == DNS_MX) {
        char *host;

        put16(r->data, (unsigned)strtoul(value, &host, 10));
        r->len = 2 + write_name(r->data + 2, host + (*host == ' '));
    } else if (type == DNS_TXT) {
        r->data[0] = (unsigned char)strlen(value);
        memcpy(r->data + 1, value, strlen(value));
        r->len = 1 + strlen(value);
    } else {
        assert_int_equal(inet_pton(type == DNS_A ? AF_INET : AF_INET6, value, r->data), 1);
        r->len = type == DNS_A ? 4 : 16;
    }
}

void dns_add_raw_ptr(struct dns_fixture *d, const char *name, const void *label, size_t len)
{
    struct dns_record *r = record_new(d, name, DNS_PTR);

    assert_true(len < 50);
    r->data[0] = (unsigned char)len;
    memcpy(r->data + 1, label, len);
    r->len = 1 + len + write_name(r->data + 1 + len, "example.org");
}

void dns_set_manner(struct dns_fixture *d, const char *name, enum dns_manner manner)
{
    for (size_t i = 0; i < d->record_count; i++) {
        if (strcmp(d->records[i].name, name) == 0)
            d->records[i].manner = manner;
    }
}
