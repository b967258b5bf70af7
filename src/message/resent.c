/* resent - see resent.h */
#include "message/resent.h"

#include "base/clock.h"

void resent_header_write(struct text *t, const struct resent *r)
{
    text_printf(t, "Resent-From: %s\r\nResent-To: ", r->from);
    for (size_t i = 0; i < r->to_count; i++) {
        text_cstr(t, i > 0 ? ",\r\n\t" : ""); /* a line each: none is too long */
        text_cstr(t, r->to[i]);
    }
    text_cstr(t, "\r\nResent-Date: ");
    clock_text_rfc5322(t, r->now_us);
    text_printf(t, "\r\nResent-Message-ID: <%s@%s>\r\n", r->unique, r->myhostname);
}
