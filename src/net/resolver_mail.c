/*
 * resolver_mail - which servers take mail for a domain, and their addresses; see resolver.h
 *
 *     MX --there are some--> each host's addresses, one after the other, until there are enough
 *       |--no such record--> the domain's own addresses (implicit MX)
 *       `--no such name, "takes no mail", trouble--> the answer
 *
 * Look-ups are for the name as it is, never with a search domain behind it: mail would go to
 * somebody else. A host whose addresses cannot be found is passed over; when none is left it is
 * trouble, and never the verdict that the domain does not exist.
 */
#include "net/resolver_internal.h"

#include "net/mx_list.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct resolver_mail_run {
    struct resolver_mail_settings settings;
    resolver_mail_fn done;
    struct mx_list list;
    size_t at; /* the host whose addresses are asked for */
    bool implicit;
    bool nothing; /* the domain itself has no address */
    uint16_t port;
    struct resolver_mail found;
};

/* ---- the end ---- */

void resolver_query_answer_mail(struct resolver_query *q, const char *error)
{
    struct resolver_mail_run *run = q->mail;

    if (q->answered)
        return;
    q->answered = true;
    if (error)
        run->found.error = error;
    if (run->found.count > 0) /* late, but some are known */
        run->found.found = DNS_FOUND;
    run->done(q->ctx, &run->found);
}

static void end(struct resolver_query *q, enum dns_found found, const char *error)
{
    q->mail->found.found = found;
    resolver_query_answer_mail(q, error);
    resolver_query_free(q);
}

/* ---- is it us? ---- */

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, 16) == 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/*
 * Whether the address is one of this machine's: what would go there would come from there. (Nothing
 * is sent. That it can be bound to says nothing where ip_nonlocal_bind is on.)
 */
static bool is_local(const struct sockaddr_storage *address)
{
    socklen_t len =
        address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool local = is_loopback(address);

    if (fd >= 0) {
        if (connect(fd, (const struct sockaddr *)address, len) == 0) {
            len = sizeof from;
            local = local || (getsockname(fd, (struct sockaddr *)&from, &len) == 0 &&
                              same_host(address, &from));
        }
        close(fd);
    }
    return local;
}

static bool is_ourselves(const struct resolver_mail_run *run,
                         const struct sockaddr_storage *address)
{
    char numeric[64] = "";
    struct span rest = span_of(run->settings.proxy_interfaces);
    struct span word;

    if (run->settings.own_port && is_local(address))
        return true;
    if (address->ss_family == AF_INET)
        uv_ip4_name((const struct sockaddr_in *)address, numeric, sizeof numeric);
    else
        uv_ip6_name((const struct sockaddr_in6 *)address, numeric, sizeof numeric);
    while (span_next_word(&rest, ", \t\r\n", &word)) {
        if (span_equal_nocase(word, span_of(numeric)))
            return true;
    }
    return false;
}

/* ---- addresses ---- */

static void ask_addresses(struct resolver_query *q);

static int family_of(enum resolver_family family)
{
    if (family == RESOLVER_IPV4_ONLY)
        return AF_INET;
    return family == RESOLVER_IPV6_ONLY ? AF_INET6 : AF_UNSPEC;
}

static bool is_preferred(enum resolver_family family, int of)
{
    return (family == RESOLVER_IPV4_FIRST && of == AF_INET) ||
           (family == RESOLVER_IPV6_FIRST && of == AF_INET6);
}

static void add_address(struct resolver_mail_run *run, const struct ares_addrinfo_node *n)
{
    struct resolver_mail_host *host = &run->found.hosts[run->found.count];

    memset(host, 0, sizeof *host);
    memcpy(&host->address, n->ai_addr, (size_t)n->ai_addrlen);
    ((struct sockaddr_in *)&host->address)->sin_port = htons(run->port); /* in both families */
    memcpy(host->name, run->list.hosts[run->at].name, sizeof host->name);
    run->found.count++;
}

/* Those of the preferred family, or the others. */
static void add_family(struct resolver_mail_run *run, const struct ares_addrinfo *info,
                       bool preferred)
{
    for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
        if (n->ai_family != AF_INET && n->ai_family != AF_INET6)
            continue;
        if (run->found.count < run->settings.address_limit &&
            is_preferred(run->settings.family, n->ai_family) == preferred)
            add_address(run, n);
    }
}

/* True: this host is ourselves, and nobody from here on may be asked. */
static bool cut_loop(struct resolver_mail_run *run, size_t from)
{
    unsigned preference = run->list.hosts[run->at].preference;

    for (size_t i = from; i < run->found.count; i++) {
        if (!is_ourselves(run, &run->found.hosts[i].address))
            continue;
        mx_list_cut(&run->list, run->at);
        /* those of the same preference that came before */
        while (run->found.count > 0 &&
               run->found.hosts[run->found.count - 1].preference >= preference)
            run->found.count--;
        run->found.loops = true;
        return true;
    }
    return false;
}

static void end_with_addresses(struct resolver_query *q)
{
    struct resolver_mail_run *run = q->mail;

    if (run->found.count > 0)
        end(q, DNS_FOUND, NULL);
    else if (run->nothing && run->implicit && family_of(run->settings.family) == AF_UNSPEC)
        end(q, DNS_NONE, "Host found but no data record of requested type");
    else
        end(q, DNS_TROUBLE,
            run->found.loops ? "mail loops back to myself" : "no mail host of it has an address");
}

static void on_addresses(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolver_query *q = ctx;
    struct resolver_mail_run *run = q->mail;
    size_t from = run->found.count;
    bool cut = false;

    (void)timeouts;
    if (status == ARES_SUCCESS && info) {
        add_family(run, info, true);
        add_family(run, info, false);
        for (size_t i = from; i < run->found.count; i++)
            run->found.hosts[i].preference = run->list.hosts[run->at].preference;
        cut = cut_loop(run, from);
    }
    if (info)
        ares_freeaddrinfo(info);
    run->nothing = resolver_found(status) == DNS_NONE;
    if (resolver_found(status) == DNS_TROUBLE)
        run->found.error = ares_strerror(status);
    run->at++;
    if (q->answered || cut || run->at >= run->list.count ||
        run->found.count >= run->settings.address_limit)
        end_with_addresses(q);
    else
        ask_addresses(q);
}

static void ask_addresses(struct resolver_query *q)
{
    struct resolver_mail_run *run = q->mail;
    struct ares_addrinfo_hints hints = {.ai_family = family_of(run->settings.family)};
    char name[MX_NAME_CAP + 1];

    snprintf(name, sizeof name, "%s.", run->list.hosts[run->at].name); /* no search domain */
    ares_getaddrinfo(q->resolver->channel, name, NULL, &hints, on_addresses, q);
}

/* ---- MX ---- */

static uint32_t draw_lot(const struct resolver_mail_run *run)
{
    return run->settings.randomize ? (uint32_t)random() : 0;
}

static void begin_addresses(struct resolver_query *q)
{
    struct resolver_mail_run *run = q->mail;
    size_t at = mx_list_find(&run->list, span_of(run->settings.myhostname));

    if (at < run->list.count && !run->implicit) {
        mx_list_cut(&run->list, at);
        run->found.loops = true;
    }
    if (run->list.count == 0)
        end(q, DNS_TROUBLE,
            run->found.loops ? "mail loops back to myself" : "its MX records name no host");
    else
        ask_addresses(q);
}

static void take_mx(struct resolver_query *q, struct ares_mx_reply *mx)
{
    struct resolver_mail_run *run = q->mail;

    /* A single "." says that the domain takes no mail; as the version of c-ares has it. */
    if (!mx->next && (mx->host[0] == '\0' || strcmp(mx->host, ".") == 0)) {
        end(q, DNS_NULL_MX, NULL);
        return;
    }
    for (; mx; mx = mx->next)
        mx_list_add(&run->list, mx->priority, span_of(mx->host), draw_lot(run));
    begin_addresses(q);
}

static void on_mx(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    struct resolver_query *q = ctx;
    struct ares_mx_reply *mx = NULL;

    (void)timeouts;
    if (status == ARES_SUCCESS)
        status = ares_parse_mx_reply(bytes, len, &mx);
    if (q->answered) {
        resolver_query_free(q);
    } else if (status == ARES_SUCCESS && mx) {
        take_mx(q, mx);
    } else if (status == ARES_ENODATA || status == ARES_SUCCESS) {
        q->mail->implicit = true;
        mx_list_add(&q->mail->list, 0, span_of(q->name), 0);
        begin_addresses(q);
    } else if (status == ARES_ENOTFOUND) {
        end(q, DNS_NONE, "Host not found");
    } else {
        end(q, DNS_TROUBLE, ares_strerror(status));
    }
    if (mx)
        ares_free_data(mx);
}

/* ---- the surface ---- */

static struct resolver_mail_run *run_new(const struct resolver_mail_settings *settings,
                                         uint16_t port, resolver_mail_fn done)
{
    struct resolver_mail_run *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->settings = *settings;
    if (run->settings.address_limit > RESOLVER_MAIL_MAX || run->settings.address_limit == 0)
        run->settings.address_limit = RESOLVER_MAIL_MAX;
    run->port = port;
    run->done = done;
    run->found.found = DNS_TROUBLE;
    run->found.error = "";
    return run;
}

struct resolver_query *resolver_mail_hosts(struct resolver *r, const char *domain, uint16_t port,
                                           const struct resolver_mail_settings *settings,
                                           uint64_t timeout_ms, resolver_mail_fn done, void *ctx)
{
    static const struct resolver_mail failed = {.found = DNS_TROUBLE,
                                                .error = "too many name look-ups"};
    struct resolver_query *q = resolver_query_new_own(r, timeout_ms, ctx);

    if (q)
        q->mail = run_new(settings, port, done);
    if (!q || !q->mail || !span_copy(span_of(domain), q->name, sizeof q->name)) {
        if (q) {
            q->answered = true;
            q->starting = false;
            resolver_query_free(q);
        }
        done(ctx, &failed);
        return NULL;
    }
    ares_query(r->channel, q->name, C_IN, T_MX, on_mx, q);
    return resolver_query_started(q);
}
