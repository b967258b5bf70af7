/*
 * relay - which destination a recipient's mail goes to, and what all destinations share
 *
 *     address --transport_maps--> destination --the first that is not down--> target (upstream)
 *             `--relay_transport (not in the map)--^
 *
 * transport_maps gives some addresses and domains a destination of their own; everybody else's is
 * relay_transport. Neither admits anybody: that is relay_domains' alone (P5). Destinations with the
 * same targets in the same order are one, and a target that several name is one upstream.
 *
 * A reload makes the destinations and targets that are new, takes back those that were retired, and
 * retires those that are no longer named: nothing new goes to them, what is under way with them
 * goes on, their sessions end when idle. Their memory stays until the relay is closed, since queued
 * mail may still point to it; `generation` tells the queue that who goes where has changed.
 */
#ifndef MXGATE_RELAY_RELAY_H
#define MXGATE_RELAY_RELAY_H

#include "relay/delivery.h"
#include "relay/destination.h"
#include "relay/upstream.h"
#include "relay/verify.h"

struct relay {
    struct upstream_context context;
    struct lane *disk; /* borrowed */
    struct verify verify;
    struct upstream *upstreams; /* owned list: all targets; those of relay_transport come first */
    struct destination *destinations; /* owned list, likewise */
    struct destination **routes;      /* owned array of borrowed ones; as config->transports */
    struct destination *fallback;     /* of destinations; NULL: none, or it is not wanted */
    bool fallback_wanted;
    unsigned generation;
    unsigned holds;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* Makes what config->relay_transport and transport_maps name, and probes it at once. context is
 * copied; disk is borrowed. 0, -EINVAL or -ENOMEM. */
int relay_init(struct relay *r, const struct upstream_context *context, struct lane *disk,
               struct errbuf *err);
/* After a reload. On failure the old settings stay in force. */
int relay_set_config(struct relay *r, struct config *config, struct errbuf *err);
/* The destination for a recipient ("user@domain"); never NULL. */
struct destination *relay_destination(const struct relay *r, struct span address);
/*
 * Where mail of our own goes (reports): the destination of an address in relay_domains, or NULL
 * when there is no way to it. DESIGN 2.7; relayhost and outbound=direct are to be asked here.
 */
struct destination *relay_way_for(const struct relay *r, struct span address);
/*
 * Makes fallback_relay a destination (r->fallback), and probes it; or retires it. Only while a
 * drain hands over is there one: nobody is asked otherwise whether it is up. 0, -EINVAL or -ENOMEM.
 */
int relay_use_fallback(struct relay *r, bool wanted, struct errbuf *err);
/* Whether all recipients have the same destination. */
bool relay_is_single(const struct relay *r);
/* on_closed when all sessions are gone and memory may go. */
void relay_close(struct relay *r, void (*on_closed)(void *ctx), void *ctx);

#endif
