/*
 * relay_way - the destinations that no setting names one by one; between relay.c and relay_way.c
 *
 *   direct    outbound=direct: one for each domain that mail is under way to, made when the first
 *             mail for it comes, and swept when none refers to it any more
 *   dead end  for mail that cannot go anywhere: there is no way to its domain (the settings were
 *             changed while it waited), or no room for one more domain. It is always down, and each
 *             message is told so, and backs off by itself: the next time it is asked anew where it
 *             goes
 *
 * Who refers to a destination: the queue's entries and sites (marked by relay_sweep's caller),
 * deliveries (`users`, from delivery_start to delivery_deinit). Whoever else keeps a pointer from
 * relay_destination() keeps it within one callback: sweeping is done by a timer alone.
 *
 * Limits: RELAY_DIRECT_MAX domains at a time, about 4 KB each.
 */
#ifndef MXGATE_RELAY_RELAY_WAY_H
#define MXGATE_RELAY_RELAY_WAY_H

#include "relay/relay.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct relay_direct {
    struct destination destination; /* its name is the upstream's */
    struct upstream upstream;
    struct relay *relay;
    UT_hash_handle hh; /* by route.text: the domain in lower case, or the address literal */
};

void relay_dead_ends_init(struct relay *r);
void relay_direct_reload(struct relay *r, struct config *old);
/* Closes all of both; each is one of r->holds, and comes to relay_released(). */
void relay_ways_close(struct relay *r);

/* relay.c: one less of r->holds. */
void relay_released(struct relay *r);

#endif
