/*
 * resolver - names and addresses by c-ares on the loop; never blocks, never waits longer than it is
 * told
 *
 * A query belongs to the resolver; the asker holds a pointer until its callback came (once) or
 * until it called resolver_cancel(). c-ares may answer later than the deadline: then nobody is
 * told.
 *
 * Numeric addresses never touch the DNS. A client's name counts only when it is verified: PTR, then
 * forward, and the address among the answers; and when it is a host's name by its bytes
 * (CVE-2026-40684: a PTR name is bytes from a stranger) and no number. /etc/hosts is honoured, as
 * the system's resolver does.
 */
#ifndef MXGATE_NET_RESOLVER_H
#define MXGATE_NET_RESOLVER_H

#include "base/errbuf.h"
#include "net/dns_answer.h"

#include <ares.h>
#include <stdbool.h>
#include <uv.h>

#define RESOLVER_ADDRESSES_MAX 16
#define RESOLVER_SOCKETS_MAX   64
/* Queries under way, beyond which one is answered as failed at once. Strangers cause questions by
 * connecting: those end at the first; what a destination needs has the second, so that no flood of
 * clients makes it look down. */
#define RESOLVER_STRANGERS_MAX 2000
#define RESOLVER_QUERIES_MAX   4000

struct resolver_query;
struct resolver_socket;

struct resolver {
    uv_loop_t *loop; /* borrowed */
    ares_channel channel;
    uv_timer_t timer;
    struct resolver_query *queries; /* owned */
    unsigned query_count;
    struct resolver_socket *sockets; /* owned */
    bool closing;
    bool channel_open;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
    unsigned holds;
};

/* servers: "192.0.2.53, [2001:db8::53]:53", or "" for the system's. 0 or -errno. */
int resolver_init(struct resolver *r, uv_loop_t *loop, const char *servers, struct errbuf *err);
/* Ends all queries without an answer; on_closed when the memory may go. */
void resolver_close(struct resolver *r, void (*on_closed)(void *ctx), void *ctx);

struct resolver_peer {
    const char *name;       /* verified, or "unknown" */
    enum dns_found reverse; /* whether the address has a name at all */
    enum dns_found
        verified; /* whether that name has the address; NONE also when it may not be shown */
};
/* May answer before it returns (then NULL is returned). */
typedef void (*resolver_name_fn)(void *ctx, const struct resolver_peer *peer);
struct resolver_query *resolver_peer_name(struct resolver *r, const struct sockaddr *address,
                                          uint64_t timeout_ms, resolver_name_fn done, void *ctx);

/* count 0: error says why ("Name does not resolve", "timed out"). Addresses are the callee's, valid
 * during the call. */
typedef void (*resolver_addresses_fn)(void *ctx, const struct sockaddr_storage *addresses,
                                      size_t count, const char *error);
/* family AF_UNSPEC, AF_INET or AF_INET6. May answer before it returns (then NULL is returned). */
struct resolver_query *resolver_addresses(struct resolver *r, const char *host, uint16_t port,
                                          int family, uint64_t timeout_ms,
                                          resolver_addresses_fn done, void *ctx);

/* Address families: what may be used, or what goes first. */
enum resolver_family {
    RESOLVER_ANY,
    RESOLVER_IPV4_ONLY,
    RESOLVER_IPV6_ONLY,
    RESOLVER_IPV4_FIRST,
    RESOLVER_IPV6_FIRST,
};

#define RESOLVER_MAIL_MAX 20 /* addresses */

struct resolver_mail_settings {
    enum resolver_family family;
    size_t address_limit; /* at most RESOLVER_MAIL_MAX; 0: that */
    bool randomize;       /* hosts of the same preference */
    /* who is ourselves; both borrowed until the answer */
    const char *myhostname;
    const char *proxy_interfaces; /* numeric addresses, separated by commas or blanks */
    bool own_port;                /* we listen on that port: addresses of this machine are ours */
};

struct resolver_mail_host {
    char name[256];
    unsigned preference;
    struct sockaddr_storage address; /* with the port */
};

/*
 * FOUND: hosts, in the order in which they are to be asked. NONE: the domain does not exist, or has
 * neither MX nor address. NULL_MX: it takes no mail. TROUBLE: nothing of that kind is known; loops:
 * because the best host is ourselves. error: in words.
 */
struct resolver_mail {
    enum dns_found found;
    struct resolver_mail_host hosts[RESOLVER_MAIL_MAX];
    size_t count;
    bool loops;
    const char *error;
};
/* The answer is the resolver's, valid during the call. */
typedef void (*resolver_mail_fn)(void *ctx, const struct resolver_mail *mail);
/* The mail hosts of a domain (RFC 5321 5.1). May answer before it returns (then NULL is returned).
 * settings are copied. */
struct resolver_query *resolver_mail_hosts(struct resolver *r, const char *domain, uint16_t port,
                                           const struct resolver_mail_settings *settings,
                                           uint64_t timeout_ms, resolver_mail_fn done, void *ctx);

/* The name that was asked for and the answer are the resolver's, valid during the call. */
typedef void (*resolver_answer_fn)(void *ctx, enum dns_question question, const char *name,
                                   const struct dns_answer *answer);
/*
 * A question about records, see net/dns_answer.h. name: a host name that smtp_domain_valid()
 * admits; the whole question, with all its look-ups, has timeout_ms. May answer before it returns
 * (then NULL is returned).
 */
struct resolver_query *resolver_ask(struct resolver *r, enum dns_question question,
                                    const char *name, uint64_t timeout_ms, resolver_answer_fn done,
                                    void *ctx);
void resolver_cancel(struct resolver_query **q); /* NULL-safe; clears the pointer */

#endif
