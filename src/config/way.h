/*
 * way - which way mail goes, by the settings alone: the one decision that the gate (server/policy),
 * the queue and the relay share; pure
 *
 *     recipient in relay_domains   transport_maps, else relay_transport
 *     any other                    transport_maps (not "*"), else the sender's relayhost
 *                                  (sender_dependent_relayhost_maps), else relayhost, else
 *                                  outbound=direct, else no way
 *
 * For the others there is a way only where one of relayhost, sender_dependent_relayhost_maps and
 * outbound=direct is set: an entry of transport_maps alone opens nothing. Who may use it is decided
 * elsewhere: in server/policy only trusted clients and those who logged in (P5).
 *
 * The value of sender_dependent_relayhost_maps: relayhosts, or DUNNO for relayhost's. Its names:
 * user@domain, @domain; the null sender has relayhost's.
 */
#ifndef MXGATE_CONFIG_WAY_H
#define MXGATE_CONFIG_WAY_H

#include "config/config.h"

enum way_kind {
    WAY_NONE,
    WAY_TRANSPORT, /* transport: -1 is relay_transport, else an index into config->transports */
    WAY_RELAYHOST, /* relayhost: as it is written, for route_parse_relayhosts() */
    WAY_DIRECT,    /* domain: its MX hosts, or an address literal's host */
};

struct way {
    enum way_kind kind;
    int transport;
    const char *relayhost; /* borrowed from config */
    struct span domain;    /* borrowed from the address */
};

/* sender "" is the null sender; address is "local@domain". */
struct way way_find(const struct config *config, struct span sender, struct span address);
/* In relay_domains: the servers there may be asked about recipients. */
bool way_is_inside(const struct config *config, struct span address);
/* Whether any way leads out of relay_domains. */
bool way_out_exists(const struct config *config);
/* Whether all mail goes the same way by both. */
bool way_equal(const struct config *a, const struct config *b);

#endif
