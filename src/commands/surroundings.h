/*
 * surroundings - looks at this machine for advice: what file system the spool is on, what answers
 * at RELAYHOST
 *
 * Fails:  what cannot be found out is not talked about.
 * Limits: RELAYHOST is asked only when the start is refused for want of a relay_transport, and has
 *         SURROUNDINGS_PATIENCE_MS for each step.
 */
#ifndef MXGATE_COMMANDS_SURROUNDINGS_H
#define MXGATE_COMMANDS_SURROUNDINGS_H

#include "config/advice.h"

#define SURROUNDINGS_PATIENCE_MS 2000

/* Gives advice about settings that can be used. */
void surroundings_advise(const struct config *config, config_note_fn note, void *note_ctx);
/* After settings were refused: perhaps RELAYHOST is the transport that is missing. */
void surroundings_advise_refused(const char *ini, config_note_fn note, void *note_ctx);

#endif
