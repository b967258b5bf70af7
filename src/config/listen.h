/*
 * listen - addresses to listen on, as text
 *
 *     entry = ( port / ( "*" / IPv4 / name / "[" IPv6-or-IPv4 "]" ) ":" port ) [ kind ]
 *     kind  = ":smtps" / ":submission" / ":submissions"
 *
 * submission: for users who log in (RFC 6409); smtps and submissions speak TLS from the first byte.
 *
 * Pure syntax: names are not looked up here. Entries are separated by commas, blanks and newlines.
 */
#ifndef MXGATE_CONFIG_LISTEN_H
#define MXGATE_CONFIG_LISTEN_H

#include "base/errbuf.h"
#include "base/span.h"

#define LISTEN_MAX      16
#define LISTEN_HOST_CAP 64

struct listen_address {
    char host[LISTEN_HOST_CAP]; /* NUL-terminated, without brackets; "" is every address */
    uint16_t port;              /* 0: any free port */
    bool optional;              /* need not be there: ::1 where IPv6 is off */
    bool wrapped;               /* TLS from the first byte: ":smtps", ":submissions" */
    bool submission;            /* ":submission", ":submissions" */
};

struct listen_list {
    struct listen_address entries[LISTEN_MAX];
    size_t count;
};

/* 0 with at least one entry, or -EINVAL: err says which entry and what it should look like. */
int listen_list_parse(struct listen_list *list, struct span text, struct errbuf *err);
/*
 * Puts the addresses of inet_interfaces ("all", "loopback-only", addresses) in place of "every
 * address". 0, or -EINVAL with the reason.
 */
int listen_list_narrow(struct listen_list *list, struct span interfaces, struct errbuf *err);
/* What stands behind the address: ":smtps", or "". */
const char *listen_kind(bool wrapped, bool submission);
/*
 * Splits "host:port" or "[address]:port" and checks both; the syntax of an entry with a host. False
 * when it is neither.
 */
bool listen_address_parse(struct span entry, struct listen_address *address_out);

#endif
