/*
 * clock - the two clocks and the shapes in which time is written
 *
 * Deadlines and delays use the monotonic clock, so that a step of the wall clock (NTP) neither
 * fires nor stops them. Wall-clock time is for what people and files read.
 */
#ifndef MXGATE_BASE_CLOCK_H
#define MXGATE_BASE_CLOCK_H

#include "base/text.h"

#include <stdint.h>

int64_t clock_wall_us(void);  /* microseconds since 1970 */
uint64_t clock_mono_ms(void); /* milliseconds, never goes back */
/* "2026-08-22T10:00:00.123456+09:00", local zone by TZ. */
void clock_text_rfc3339(struct text *t, int64_t wall_us);
/* "Sat, 22 Aug 2026 10:00:00 +0900 (JST)" as in a Received header (RFC 5322 3.3; English names). */
void clock_text_rfc5322(struct text *t, int64_t wall_us);
/* "Thu Oct  9 08:53:20" as in mailq (asctime's first 19 bytes; local zone). */
void clock_text_asctime(struct text *t, int64_t wall_us);
/* "Thu Oct  9 08:53:20 2025" as in postcat (all of asctime). */
void clock_text_asctime_year(struct text *t, int64_t wall_us);

#endif
