/*
 * limits - how many connections there are, in all and per client address
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

/* One more from this address (16 bytes, as in config/cidr.h). Its count now, or 0 when memory is
 * out (not counted). */
unsigned limits_enter(struct limits *l, const unsigned char address[16]);
/* Only after an enter that did not return 0. */
void limits_leave(struct limits *l, const unsigned char address[16]);

#endif
