/*
 * dns_fixture - a name server on 127.0.0.1, UDP and TCP at one port, that says what the test tells
 * it to
 *
 * A name that nobody told it of is NXDOMAIN. Names are compared without case, since resolvers may
 * mix it.
 */
#ifndef MXGATE_TESTS_IO_DNS_FIXTURE_H
#define MXGATE_TESTS_IO_DNS_FIXTURE_H

#include "loop_fixture.h"

#define DNS_A    1
#define DNS_PTR  12
#define DNS_MX   15
#define DNS_TXT  16
#define DNS_AAAA 28

enum dns_manner {
    DNS_ANSWER,
    DNS_SILENT,   /* until dns_release() */
    DNS_TRUNCATE, /* by UDP "ask again by TCP", there the answer */
    DNS_GARBAGE,
    DNS_REFUSE,
};

#define DNS_RECORDS_MAX 64
#define DNS_DATA_MAX    80
#define DNS_HELD_MAX    16

struct dns_record {
    char name[80];
    int type;
    enum dns_manner manner;
    unsigned char data[DNS_DATA_MAX];
    size_t len;
};

struct dns_held {
    struct sockaddr_in from;
    unsigned char query[300];
    size_t len;
};

struct dns_fixture {
    struct loop_fixture *f;
    int udp, tcp;
    int connection; /* the one by TCP, -1: none */
    unsigned char input[600];
    size_t input_len;
    uv_poll_t udp_poll, tcp_poll, connection_poll;
    char servers[40]; /* for dns_servers: "127.0.0.1:port" */
    struct dns_record records[DNS_RECORDS_MAX];
    size_t record_count;
    struct dns_held held[DNS_HELD_MAX];
    size_t held_count;
    unsigned by_udp, by_tcp; /* queries */
};

void dns_begin(struct dns_fixture *d, struct loop_fixture *f);
void dns_end(struct dns_fixture *d);
/* value: an address for A and AAAA; for PTR and MX the name ("" is the root), before
 * that of an MX may stand its preference ("10 mx.example.net"); for TXT its text. */
void dns_add(struct dns_fixture *d, const char *name, int type, const char *value);
/* A PTR whose first label is these bytes, and "example.org" after it. */
void dns_add_raw_ptr(struct dns_fixture *d, const char *name, const void *label, size_t len);
void dns_set_manner(struct dns_fixture *d, const char *name, enum dns_manner manner);
/* Answers by UDP what was met by silence. */
void dns_release(struct dns_fixture *d);

#endif
