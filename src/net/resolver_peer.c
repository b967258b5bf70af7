/*
 * resolver_peer - the name of a client: PTR, then forward, and its address among the answers; see
 * resolver.h
 *
 * ares_gethostbyaddr and ares_getaddrinfo also look into /etc/hosts, as the system's resolver does.
 * When they find nothing, their status does not tell "there is none" from trouble (after a failure
 * they look into the file, or try the search domains, and that is their last word), so then the
 * record itself is asked for once more.
 */
#include "net/resolver_internal.h"

#include "base/text.h"
#include "smtp/address.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <string.h>

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return memcmp(&((const struct sockaddr_in *)a)->sin_addr,
                      &((const struct sockaddr_in *)b)->sin_addr, 4) == 0;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, 16) == 0;
}

static void query_end(struct resolver_query *q, enum dns_found verified)
{
    resolver_query_answer_name(q, verified);
    resolver_query_free(q);
}

static void on_no_address(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    enum dns_found found = resolver_found(status);

    (void)timeouts;
    (void)bytes;
    (void)len;
    query_end(ctx, found == DNS_FOUND ? DNS_NONE : found);
}

static void on_forward(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolver_query *q = ctx;
    bool v4 = q->address.ss_family == AF_INET;
    bool verified = false;

    (void)timeouts;
    if (status == ARES_SUCCESS && info) {
        for (struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next)
            verified = verified || same_address(n->ai_addr, (struct sockaddr *)&q->address);
    }
    if (info)
        ares_freeaddrinfo(info);
    if (status == ARES_SUCCESS || q->answered)
        query_end(q, verified ? DNS_FOUND : DNS_NONE);
    else
        ares_query(q->resolver->channel, q->name, C_IN, v4 ? T_A : T_AAAA, on_no_address, q);
}

static void on_no_name(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    struct resolver_query *q = ctx;

    (void)timeouts;
    (void)bytes;
    (void)len;
    /* A name after all is a server that says now this, now that. */
    q->reverse = status == ARES_SUCCESS ? DNS_TROUBLE : resolver_found(status);
    query_end(q, q->reverse);
}

/* "1.2.0.192.in-addr.arpa", or the 32 digits of an IPv6 address. */
static void ask_reverse(struct resolver_query *q)
{
    bool v4 = q->address.ss_family == AF_INET;
    const unsigned char *bytes =
        v4 ? (const unsigned char *)&((struct sockaddr_in *)&q->address)->sin_addr
           : ((struct sockaddr_in6 *)&q->address)->sin6_addr.s6_addr;
    struct text t;

    text_init(&t, q->name, sizeof q->name);
    for (size_t i = v4 ? 4 : 16; i > 0; i--) {
        if (v4)
            text_printf(&t, "%u.", bytes[i - 1]);
        else
            text_printf(&t, "%x.%x.", bytes[i - 1] & 15u, bytes[i - 1] >> 4u);
    }
    text_cstr(&t, v4 ? "in-addr.arpa" : "ip6.arpa");
    ares_query(q->resolver->channel, q->name, C_IN, T_PTR, on_no_name, q);
}

static void on_reverse(void *ctx, int status, int timeouts, struct hostent *host)
{
    struct resolver_query *q = ctx;
    /* The order does not matter here; sorting would open and connect a socket for each address. */
    struct ares_addrinfo_hints hints = {.ai_family = q->address.ss_family,
                                        .ai_flags = ARES_AI_NOSORT};
    struct span name = span_of(status == ARES_SUCCESS && host ? host->h_name : NULL);

    (void)timeouts;
    if (status == ARES_SUCCESS)
        q->reverse = DNS_FOUND;
    if (q->answered || (status == ARES_SUCCESS && (!smtp_domain_is_hostname(name) ||
                                                   !span_copy(name, q->name, sizeof q->name))))
        query_end(q, DNS_NONE);
    else if (status == ARES_SUCCESS)
        ares_getaddrinfo(q->resolver->channel, q->name, NULL, &hints, on_forward, q);
    else
        ask_reverse(q);
}

struct resolver_query *resolver_peer_name(struct resolver *r, const struct sockaddr *address,
                                          uint64_t timeout_ms, resolver_name_fn done, void *ctx)
{
    struct resolver_query *q = resolver_query_new(r, timeout_ms, ctx);
    bool v4 = address->sa_family == AF_INET;

    if (!q) {
        done(ctx, &(struct resolver_peer){"unknown", DNS_TROUBLE, DNS_TROUBLE});
        return NULL;
    }
    q->on_name = done;
    q->reverse = DNS_TROUBLE;
    if (v4) {
        memcpy(&q->address, address, sizeof(struct sockaddr_in));
        ares_gethostbyaddr(r->channel, &((const struct sockaddr_in *)address)->sin_addr, 4, AF_INET,
                           on_reverse, q);
    } else {
        memcpy(&q->address, address, sizeof(struct sockaddr_in6));
        ares_gethostbyaddr(r->channel, &((const struct sockaddr_in6 *)address)->sin6_addr, 16,
                           AF_INET6, on_reverse, q);
    }
    return resolver_query_started(q);
}
