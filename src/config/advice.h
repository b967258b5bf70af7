/*
 * advice - what an operator probably did not mean, though it can be used: said at start and by
 * `mxgate check`
 *
 * Each piece says what is wrong, what is done about it, and what to type. Nothing here stops a
 * start or changes a setting. Pure: what must be seen on this machine comes as `struct
 * advice_facts`.
 *
 * Limits: a network counts as too wide when it is public and wider than /24, or /48 with IPv6: that
 * is more than one site has.
 */
#ifndef MXGATE_CONFIG_ADVICE_H
#define MXGATE_CONFIG_ADVICE_H

#include "config/config.h"

enum advice_place {
    ADVICE_PLACE_DISK,    /* of the spool, or not known */
    ADVICE_PLACE_MEMORY,  /* tmpfs: gone with the machine, or the container */
    ADVICE_PLACE_LAYER,   /* overlayfs: the container's own files, gone when it is replaced */
    ADVICE_PLACE_NO_NAME, /* a volume that Docker made unasked, left behind with the container */
};

struct advice_facts {
    enum advice_place spool;
    int64_t free_bytes; /* where the spool is; negative: not known */
};

void advice_give(const struct config *config, const struct advice_facts *facts, config_note_fn note,
                 void *note_ctx);
/* RELAYHOST is set, relay_transport is missing, and LMTP answers there. */
void advice_relayhost_lmtp(const char *relayhost, config_note_fn note, void *note_ctx);

#endif
