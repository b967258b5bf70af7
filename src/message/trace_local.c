/* trace_local - see trace_local.h */
#include "message/trace_local.h"

#include "base/clock.h"

void trace_received_local(struct text *t, const struct envelope *e, unsigned uid,
                          const char *myhostname, const char *mail_name)
{
    text_printf(t, "Received: by %s (%s, from userid %u)\r\n\tid %s; ", myhostname, mail_name, uid,
                e->id.text);
    clock_text_rfc5322(t, e->arrival_us);
    text_cstr(t, "\r\n");
}
