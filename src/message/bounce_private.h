/* bounce_private - between the files of bounce: texts of others, made fit for a report */
#ifndef MXGATE_MESSAGE_BOUNCE_PRIVATE_H
#define MXGATE_MESSAGE_BOUNCE_PRIVATE_H

#include "message/bounce.h"

#define BOUNCE_REASON_MAX 1000 /* bytes of a reason that are shown */

/* bounce_words.c */
/* Printable, at most `max` bytes of it; 8-bit only when utf8 and it is UTF-8. Never empty lines. */
void bounce_put_clean(struct text *t, struct span s, size_t max, bool utf8);
/* The same after what is on this line already (`column` bytes), in words, folded at 78 columns. */
void bounce_put_folded(struct text *t, size_t column, struct span s, bool utf8);
/* Its "+HH" decoded (RFC 3461 4). */
void bounce_put_xtext(struct text *t, struct span s, bool utf8);
/* "5 days", "4 hours", "90 seconds": the largest unit that gives a whole number. */
void bounce_put_period(struct text *t, uint64_t ms);
const char *bounce_address_type(struct span address);

/* bounce_text.c, bounce_status.c: one piece each */
void bounce_put_notification(const struct bounce *b, struct text *t);
void bounce_put_recipient(const struct bounce *b, const struct recipient *r, struct text *t);
void bounce_put_status(const struct bounce *b, struct text *t);
void bounce_put_recipient_status(const struct bounce *b, const struct recipient *r, struct text *t);

#endif
