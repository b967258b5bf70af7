/*
 * route - where mail goes, as a value: the syntax of relay_transport; pure
 *
 *     lmtp:[192.0.2.53]:2525   lmtp:host.example.com:24   lmtp:[2001:db8::1]:24
 * lmtp:unix:/run/dovecot/lmtp smtp:[192.0.2.54]:25     lmtp:inet:host:24 (Postfix's long form)
 * maildir:/srv/mail
 *
 * Brackets mean what they mean in Postfix: no MX look-up. Without a port: 24 for lmtp, 25 for smtp.
 */
#ifndef MXGATE_RELAY_ROUTE_H
#define MXGATE_RELAY_ROUTE_H

#include "base/errbuf.h"
#include "base/span.h"

enum route_kind { ROUTE_LMTP, ROUTE_SMTP, ROUTE_MAILDIR };

#define ROUTE_TEXT_CAP 300

struct route {
    enum route_kind kind;
    char text[ROUTE_TEXT_CAP]; /* as configured, blanks trimmed: the destination's name */
    char host[256];            /* name or numeric address without brackets; "" for a path */
    uint16_t port;
    char path[256]; /* unix socket or maildir, absolute; "" for a host */
};

/* 0, or -EINVAL with the reason and an example in err. */
int route_parse(struct span text, struct route *out, struct errbuf *err);

#endif
