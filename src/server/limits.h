/*
 * limits - how many connections there are, in all and per client, and how many events of
 * each client in a unit of time (Postfix' anvil)
 *
 * Connections are counted from accept to close: one hash entry per address that has one, so bounded
 * by the connections. Events (connections, messages, recipients, TLS sessions) are counted in
 * windows that begin with the first event of an address and end a unit later.
 *
 * A second table counts users who logged in: there the 16 bytes are a hash of the name.
 *
 * Limits: LIMITS_RATES_MAX windows; the one begun first goes first. Whoever has more addresses than
 *         that can forget himself by it, but not others' connections, which are counted apart. Out
 *         of memory: not counted.
 */
#ifndef MXGATE_SERVER_LIMITS_H
#define MXGATE_SERVER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_RATES_MAX 10000

struct limits_client;
struct limits_rate;

enum limits_event {
    LIMITS_CONNECTION,
    LIMITS_MESSAGE,
    LIMITS_RECIPIENT,
    LIMITS_TLS, /* new TLS sessions */
    LIMITS_AUTH,
    LIMITS_EVENT_COUNT
};

struct limits {
    unsigned total;
    struct limits_client *clients; /* owned hash */
    struct limits_rate *rates;     /* owned hash, window begun first is first */
};

/*
 * The client that an address (16 bytes, as in config/cidr.h) counts as: IPv4 itself, of IPv6 the
 * /64: one host has that many addresses to itself.
 */
void limits_key(const unsigned char address[16], unsigned char key_out[16]);
/* One more from this client (16 bytes of limits_key()). Its count now, or 0 when memory is
 * out (not counted). */
unsigned limits_enter(struct limits *l, const unsigned char address[16]);
/* Only after an enter that did not return 0. */
void limits_leave(struct limits *l, const unsigned char address[16]);
/* One more event; how many there are in the address' window, or 0 when memory is out. */
unsigned limits_count(struct limits *l, const unsigned char address[16], enum limits_event event,
                      uint64_t now_ms, uint64_t unit_ms);
/* How many there are, without one more. */
unsigned limits_peek(const struct limits *l, const unsigned char address[16],
                     enum limits_event event, uint64_t now_ms, uint64_t unit_ms);
/* Frees the windows; the connections' entries go as they leave. */
void limits_deinit(struct limits *l);

#endif
