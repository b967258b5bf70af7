/*
 * scheduler_drain - the queue while this gateway is being emptied, to go away
 *
 * Everything waiting is tried again, ahead of its time, and what its own destination does not take
 * now may be handed over to another mail server, the fallback (relay.h). Its word counts for less
 * than the destination's: its 2xx is a delivery, and nothing else it says is final (a 5xx of a
 * server that was never meant for this mail must not fail it, P3): the message stays here, and the
 * next flush tries its own destination, the one after it the fallback again.
 */
#ifndef MXGATE_QUEUE_SCHEDULER_DRAIN_H
#define MXGATE_QUEUE_SCHEDULER_DRAIN_H

#include "queue/scheduler.h"

/* A destination whose conversations all stand still for so long is as one that is down: what waits
 * for a place there would wait until they time out. */
#define SCHEDULER_STILL_MS 10000

/*
 * From now on mail of a destination that is down goes to `fallback`, and at each
 * scheduler_drain_flush() what waits for other reasons; NULL: to nobody any more. What is under way
 * with it goes on. Again with the same one: looks who stands still by now.
 */
void scheduler_hand_over(struct scheduler *s, struct destination *fallback);
/* scheduler_flush() of all that waits. */
void scheduler_drain_flush(struct scheduler *s);

#endif
