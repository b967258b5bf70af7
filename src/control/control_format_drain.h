/*
 * control_format_drain - how far a drain is, between the daemon and `mxgate drain`; pure
 *
 *     since=1760000000 queued=12 active=5 on_hold=0 arriving=1 corrupt=0 delivered=30 ...
 *
 * Words NAME=NUMBER, in any order; a name that is not known is passed over, one that is missing
 * makes the line useless.
 */
#ifndef MXGATE_CONTROL_CONTROL_FORMAT_DRAIN_H
#define MXGATE_CONTROL_CONTROL_FORMAT_DRAIN_H

#include "base/text.h"

/* An argument of "drain": how long destinations are waited for; in ms. */
#define CONTROL_DRAIN_WAIT_MAX UINT64_C(86400000)

struct control_drain {
    uint64_t since_s;      /* wall seconds; 0: no drain is under way */
    uint64_t queued;       /* messages in the spool that are to be delivered */
    uint64_t active;       /* deliveries under way, and messages on their way into the spool */
    uint64_t on_hold;      /* messages that only an operator can move */
    uint64_t arriving;     /* sessions and local programs that are still sending one */
    uint64_t corrupt;      /* damaged files; when it is over: all that nobody here works on */
    uint64_t delivered;    /* recipients, since the drain began */
    uint64_t handed_over;  /* of these: to fallback_relay */
    uint64_t handing_over; /* 1: mail that its own destination does not take goes there */
};

void control_drain_put(struct text *t, const struct control_drain *d);
bool control_drain_parse(struct span line, struct control_drain *out);
/* Nothing is left but what is on hold. */
bool control_drain_is_over(const struct control_drain *d);

#endif
