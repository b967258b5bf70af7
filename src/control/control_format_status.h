/*
 * control_format_status - what `mxgate status` shows, as lines for people and as one JSON object;
 * pure
 *
 * The JSON has one flat level for what scripts and the health check ask for, and "destinations", an
 * array. Names stay as they are once released; new ones may come.
 */
#ifndef MXGATE_CONTROL_CONTROL_FORMAT_STATUS_H
#define MXGATE_CONTROL_CONTROL_FORMAT_STATUS_H

#include "base/text.h"
#include "observe/status.h"

#define CONTROL_STATUS_CAP 163840 /* holds either form whatever the texts in struct status are */

/* Lines ending in LF. now_s: wall seconds. */
void control_format_status_text(struct text *t, const struct status *s, int64_t now_s);
/* One line, without LF. */
void control_format_status_json(struct text *t, const struct status *s);

#endif
