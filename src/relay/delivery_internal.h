/* delivery_internal - between delivery.c and delivery_maildir.c */
#ifndef MXGATE_RELAY_DELIVERY_INTERNAL_H
#define MXGATE_RELAY_DELIVERY_INTERNAL_H

#include "relay/delivery.h"

/* delivery.c */
void delivery_set_result(struct delivery *d, size_t position, enum delivery_outcome outcome,
                         const char *dsn, const char *text);
/*
 * The target that was asked is done with. True: the recipients that it had trouble with go to the
 * next one (see delivery.h). False: there is none, or nobody who may.
 */
bool delivery_ask_next(struct delivery *d, enum upstream_end end, const char *why);
void delivery_finish_when_over(struct delivery *d);

/* delivery_maildir.c */
void delivery_start_maildir(struct delivery *d);

#endif
