/*
 * zone - whether the time zone that TZ names is known here
 *
 * libc takes a zone that it does not know for UTC, without a word; in a container without time zone
 * files that is every zone with a name. A POSIX form (JST-9) needs no files.
 */
#ifndef MXGATE_COMMANDS_ZONE_H
#define MXGATE_COMMANDS_ZONE_H

#include "config/config.h"

/* A warning when times are shown in UTC although TZ says otherwise. */
void zone_advise(config_note_fn note, void *note_ctx);

#endif
