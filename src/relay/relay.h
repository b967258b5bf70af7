/*
 * relay - which destination a recipient's mail goes to, and what all destinations share
 *
 *     sender, address --way_find--> destination --the first that is not down--> target (upstream)
 *
 *     relay_domains: transport_maps, else relay_transport
 *     all others: transport_maps, relayhost (the sender's), a destination for each domain (direct)
 *
 * None of it admits anybody: that is server/policy's alone (P5). Destinations with the same targets
 * in the same order are one, and a target that several name is one upstream; those of
 * outbound=direct, and the dead ends for what has no way, are in relay_way.h.
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

/* Domains with a destination of their own by outbound=direct; mail for others waits. */
#define RELAY_DIRECT_MAX 4000
/* Deliveries to all of these at the same time, of the queue; and as many while clients wait
 * (Postfix: default_process_limit). */
#define RELAY_DIRECT_DELIVERIES 100

struct relay_direct;

enum relay_dead_end { RELAY_NO_WAY, RELAY_NO_ROOM, RELAY_DEAD_ENDS };

struct relay_end {
    struct destination destination;
    struct upstream upstream;
};

struct relay {
    struct upstream_context context;
    struct lane *disk; /* borrowed */
    struct verify verify;
    /* owned list: all targets that settings name; those of relay_transport come first */
    struct upstream *upstreams;
    struct destination *destinations; /* owned list, likewise */
    struct destination *main;         /* of them: relay_transport's; NULL: it is empty */
    struct destination **routes;      /* owned array of borrowed ones; as config->transports */
    struct destination **relayhosts;  /* likewise: relayhost's (or NULL), then as
                                         config->sender_relayhosts (or NULL: DUNNO) */
    struct relay_end dead_ends[RELAY_DEAD_ENDS];
    struct relay_direct *direct;  /* owned hash */
    unsigned direct_deliveries;   /* RELAY_DIRECT_DELIVERIES; tests want less of both */
    unsigned direct_max;          /* RELAY_DIRECT_MAX */
    struct destination *fallback; /* of destinations; NULL: none, or it is not wanted */
    bool fallback_wanted;
    unsigned generation;
    bool closing;
    unsigned holds; /* upstreams that are being closed */
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* Makes what relay_transport, transport_maps and the relayhosts name, and probes it at once.
 * context is copied; disk is borrowed. 0, -EINVAL or -ENOMEM. */
int relay_init(struct relay *r, const struct upstream_context *context, struct lane *disk,
               struct errbuf *err);
/* After a reload. On failure the old settings stay in force. */
int relay_set_config(struct relay *r, struct config *config, struct errbuf *err);
/*
 * The destination for a recipient ("user@domain") of this sender ("" is the null sender); never
 * NULL: where there is no way, or no memory for one, a dead end. It may have been made just now:
 * who keeps it over the end of the callback marks it as wanted, or is a delivery.
 */
struct destination *relay_destination(struct relay *r, struct span sender, struct span address);
/* The same, or NULL when there is no way: can such mail (a report, say) go? */
struct destination *relay_way_for(struct relay *r, struct span sender, struct span address);
/*
 * Frees the destinations made on demand that nobody refers to: begin, then mark (`wanted`) those
 * that still are in use, then sweep. From a timer only.
 */
void relay_sweep_begin(struct relay *r);
void relay_sweep(struct relay *r);
void relay_each_direct(const struct relay *r, void (*see)(void *ctx, const struct destination *d),
                       void *ctx);
/*
 * Makes fallback_relay a destination (r->fallback), and probes it; or retires it. Only while a
 * drain hands over is there one: nobody is asked otherwise whether it is up. 0, -EINVAL or -ENOMEM.
 */
int relay_use_fallback(struct relay *r, bool wanted, struct errbuf *err);
/* on_closed when all sessions are gone and memory may go. */
void relay_close(struct relay *r, void (*on_closed)(void *ctx), void *ctx);

#endif
