/*
 * route - where mail goes, as a value: the syntax of relay_transport and of the values of
 * transport_maps; pure
 *
 *     lmtp:[192.0.2.53]:2525   lmtp:host.example.com:24   lmtp:[2001:db8::1]:24
 * lmtp:unix:/run/dovecot/lmtp smtp:[192.0.2.54]:25     lmtp:inet:host:24 (Postfix's long form)
 * maildir:/srv/mail
 *
 * Brackets mean what they mean in Postfix: no MX look-up. Without a port: 24 for lmtp, 25 for smtp.
 *
 * Several are separated by commas, or by a blank before the next lmtp:, smtp:, maildir: or [ (so a
 * path may hold a blank, not a comma): lmtp:[192.0.2.53]:24, lmtp:[192.0.2.54]:24. They are tried
 * in this order. One that begins with a bracket has the protocol of the one before it, as in
 * Postfix.
 */
#ifndef MXGATE_CONFIG_ROUTE_H
#define MXGATE_CONFIG_ROUTE_H

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
    bool out;       /* a way out: a server of others, asked with patience (relay/upstream.h) */
    bool direct;    /* outbound=direct: host is the recipients' own domain */
    bool mx;        /* host is a domain: its MX hosts are asked, in the order of their preference */
};

/*
 * The syntax of relayhost: [host]:port, [host], [192.0.2.25]:port, [IPv6:2001:db8::1], or without
 * brackets a domain whose MX hosts are asked. The port may be smtp, submission, submissions or
 * smtps; without one it is default_port. `out` is set, the kind is ROUTE_SMTP. 0, or -EINVAL with
 * the reason and an example.
 */
int route_parse_relayhost(struct span text, uint16_t default_port, struct route *out,
                          struct errbuf *err);
/* A number, or one of these names; false: neither. */
bool route_port(struct span text, uint16_t *port_out);
struct route_list;
/* Several, with commas or blanks between them, are tried in order, as in Postfix from 3.5 on. */
int route_parse_relayhosts(struct span text, uint16_t default_port, struct route_list *out,
                           struct errbuf *err);
/* outbound=direct for a domain or an address literal ("[192.0.2.1]"); false: neither. */
bool route_direct(struct span domain, uint16_t port, struct route *out);

#define ROUTE_TARGETS_MAX   8
#define ROUTE_LIST_TEXT_CAP (ROUTE_TARGETS_MAX * (ROUTE_TEXT_CAP + 2))

struct route_list {
    struct route targets[ROUTE_TARGETS_MAX];
    size_t count; /* at least 1 */
};

/* 0, or -EINVAL with the reason and an example in err. */
int route_parse(struct span text, struct route *out, struct errbuf *err);
/*
 * The same for several; a target that is named twice counts once. -EINVAL when there is none, or
 * more than ROUTE_TARGETS_MAX.
 */
int route_list_parse(struct span text, struct route_list *out, struct errbuf *err);
/* All targets as they are named, ", " between them: the same list gives the same text. */
struct text;
void route_list_text(const struct route_list *list, struct text *t);

#endif
