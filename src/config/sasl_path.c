/* sasl_path - see sasl_path.h */
#include "config/sasl_path.h"

#include "config/listen.h"

#include <errno.h>

#define EXAMPLE "write inet:dovecot:12345, or unix:/run/dovecot/auth-client"

static bool parse_host(struct span text, struct sasl_path *out)
{
    struct listen_address address;

    if (!listen_address_parse(text, &address) || address.host[0] == '\0' || address.port == 0)
        return false;
    out->port = address.port;
    return span_copy(span_of(address.host), out->host, sizeof out->host);
}

int sasl_path_parse(struct span text, struct sasl_path *out, struct errbuf *err)
{
    struct span inet = SPAN_LIT("inet:"), local = SPAN_LIT("unix:");

    *out = (struct sasl_path){.port = 0};
    if (span_starts_nocase(text, inet))
        return parse_host(span_from(text, inet.len), out)
                   ? 0
                   : errbuf_set(err, -EINVAL, "is not a host and a port; " EXAMPLE);
    if (span_starts_nocase(text, local))
        text = span_from(text, local.len);
    if (text.len == 0 || text.ptr[0] != '/')
        return errbuf_set(err, -EINVAL, "is not an absolute path; " EXAMPLE);
    return span_copy(text, out->file, sizeof out->file)
               ? 0
               : errbuf_set(err, -EINVAL, "is longer than a socket's path may be; " EXAMPLE);
}
