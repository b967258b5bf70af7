/*
 * relay - which destination a recipient's mail goes to, and what all destinations share
 *
 * One destination now: relay_transport, for every relay domain. A reload that changes
 * relay_transport adds a new one and keeps the old until everything under way with it is over (it
 * is closed with the relay).
 */
#ifndef MXGATE_RELAY_RELAY_H
#define MXGATE_RELAY_RELAY_H

#include "relay/delivery.h"
#include "relay/upstream.h"
#include "relay/verify.h"

struct relay {
    struct upstream_context context;
    struct lane *disk; /* borrowed */
    struct verify verify;
    struct upstream *upstreams; /* owned list; the first is the current one */
    unsigned holds;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* Parses config->relay_transport and probes it at once. context is copied; disk is borrowed. 0,
 * -EINVAL or -ENOMEM. */
int relay_init(struct relay *r, const struct upstream_context *context, struct lane *disk,
               struct errbuf *err);
/* After a reload. On failure the old settings stay in force. */
int relay_set_config(struct relay *r, struct config *config, struct errbuf *err);
/* The destination for a recipient's domain; never NULL. */
struct upstream *relay_destination(struct relay *r, struct span domain);
/* on_closed when all sessions are gone and memory may go. */
void relay_close(struct relay *r, void (*on_closed)(void *ctx), void *ctx);

#endif
