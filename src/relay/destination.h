/*
 * destination - where some recipients' mail goes: one target, or several that stand in for each
 * other
 *
 *     relay_transport = lmtp:[192.0.2.53]:24, lmtp:[192.0.2.54]:24
 *
 * The first target that is not down is used. Each target is an upstream with its own sessions,
 * health and probes; two destinations that name the same target share it. When a target goes down,
 * mail goes to the next, and back when it answers a probe; when all are down the mail waits and all
 * are probed. What takes a message from one target to the next is in delivery.h.
 *
 * Owns:   nothing. Targets are borrowed from the relay, which frees destinations last of all: a
 *         queued message may point to one that no setting names any more. Those that are made on
 *         demand go earlier, when nobody refers to them: relay_way.h.
 */
#ifndef MXGATE_RELAY_DESTINATION_H
#define MXGATE_RELAY_DESTINATION_H

#include "relay/upstream.h"

struct destination {
    char *text; /* owned by whoever made it; as route_list_text() gives it: the name */
    struct upstream *targets[ROUTE_TARGETS_MAX]; /* borrowed; in the order of the setting */
    size_t count;
    bool retired;   /* no longer in the settings */
    bool dead_end;  /* nobody is asked: see relay_way.h, as of what follows */
    bool on_demand; /* made for mail, gone with it */
    bool wanted;    /* somebody refers to it; between relay_sweep_begin() and relay_sweep() */
    unsigned users; /* deliveries */
    void *site;     /* the queue's, of it; NULL: none */
    struct destination *next;
};

/* All targets are. */
bool destination_is_down(const struct destination *d);
/* The index of the first target that is not down, of those whose bit in `tried` is 0; count: none.
 */
size_t destination_pick(const struct destination *d, unsigned tried);
/* The target for something new: the first that is not down; the first when all are. */
struct upstream *destination_target(const struct destination *d);
bool destination_has(const struct destination *d, const struct upstream *u);
/* The target for something new takes nothing new, and has not moved for so long. */
bool destination_stands_still(const struct destination *d, uint64_t ms);
/* Conversations of an outage that take no place; see upstream.h. */
unsigned destination_stale(const struct destination *d);
/* What the settings say: sessions of the target in use; recipients that every target takes in one
 * transaction, at most `most`. */
uint64_t destination_sessions_limit(const struct destination *d);
size_t destination_recipients_limit(const struct destination *d, size_t most);
/* Asks the targets that are down whether they still are. Of ways out (with `ways_out`) the pause
 * ends, and mail asks: for whoever dispatches what waits for it afterwards. */
void destination_probe(const struct destination *d, bool ways_out);

#endif
