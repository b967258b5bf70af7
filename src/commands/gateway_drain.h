/*
 * gateway_drain - empties this gateway, so that its machine can go away
 *
 *   begin --> no mail comes in (421), all that waits is tried now and again
 *     |           --patience is over, fallback_relay is set--> what is not taken is handed over
 *     `--cancel--> as before          the end: `mxgate drain` asks for the progress and sees it
 *
 * Tried again after DRAIN_FLUSH_MS, doubled up to DRAIN_FLUSH_MAX_MS: for a 4xx to be over is worth
 * asking more often than minimal_backoff_time, but not all the time. A restart ends a drain, and so
 * does a stop, which is as ever.
 */
#ifndef MXGATE_COMMANDS_GATEWAY_DRAIN_H
#define MXGATE_COMMANDS_GATEWAY_DRAIN_H

#include "commands/gateway.h"
#include "control/control_format_drain.h"

#define DRAIN_TICK_MS      100
#define DRAIN_FLUSH_MS     2000
#define DRAIN_FLUSH_MAX_MS 60000

void gateway_drain_init(struct gateway *g);
/* Again: only the patience is new, counted from now. */
void gateway_drain_begin(struct gateway *g, uint64_t patience_ms);
/* Nothing when none is under way. */
void gateway_drain_cancel(struct gateway *g);
/* How far it is. When nothing is left to deliver, also what is in the spool and not in the queue.
 */
void gateway_drain_look(const struct gateway *g, struct control_drain *out);
/* After a reload: fallback_relay may be another. */
void gateway_drain_reloaded(struct gateway *g);
/* The gateway stops: nothing more is done. */
void gateway_drain_end(struct gateway *g);

#endif
