/*
 * trace_local - the Received header of mail that was given to us by a local process (sendmail)
 *
 *     Received: by MYHOSTNAME (MAIL_NAME, from userid 0)
 *     \tid QID; Sat, 22 Aug 2026 10:00:00 +0900 (JST)
 */
#ifndef MXGATE_MESSAGE_TRACE_LOCAL_H
#define MXGATE_MESSAGE_TRACE_LOCAL_H

#include "message/trace.h"

/* Lines end in CRLF. Uses e->arrival_us as the date. `t` has TRACE_RECEIVED_CAP bytes of room. */
void trace_received_local(struct text *t, const struct envelope *e, unsigned uid,
                          const char *myhostname, const char *mail_name);

#endif
