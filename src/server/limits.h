/*
 * limits - how many connections there are, in all and per client
 *
 * Counted from accept to close. One hash entry per address that has a connection, so bounded by the
 * connections.
 */
#ifndef MXGATE_SERVER_LIMITS_H
#define MXGATE_SERVER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct limits_client;

struct limits {
    unsigned total;
    struct limits_client *clients; /* owned hash */
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

#endif
