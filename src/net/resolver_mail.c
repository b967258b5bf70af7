/*
 * resolver_mail - which servers take mail for a domain, and their addresses; see resolver.h
 *
 *     MX --there are some--> A and AAAA of each host, all at once --> FOUND, TROUBLE
 *       |--none, or no such name--> A and AAAA of the domain itself (implicit MX) --> or NONE
 *       `--"takes no mail", trouble--> the answer
 *
 * Look-ups are for the records of the name as it is: no /etc/hosts, which would hide why a name
 * server failed, and never a search domain, as mail would go to somebody else. All at once, so that
 * one dead name server does not cost the hosts behind it; each counts for RESOLVER_QUERIES_MAX. A
 * host whose addresses cannot be found is passed over; when none is left it is trouble. That a
 * domain does not exist is only said when each of its questions was answered by "no such name".
 * Addresses that no host can have (0.0.0.0, which the kernel takes for ourselves, multicast) are
 * left out.
 */
#include "net/resolver_internal.h"

#include "net/mx_list.h"
#include "net/own_address.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/* A question for the addresses of one host. */
struct mail_part {
    struct resolver_query *query; /* borrowed */
    int family;
    struct sockaddr_in6 addresses[RESOLVER_MAIL_MAX]; /* or sockaddr_in: room for either */
    size_t count;
};

struct resolver_mail_run {
    struct resolver_mail_settings settings;
    resolver_mail_fn done;
    struct mx_list list;
    struct mail_part parts[MX_HOSTS_MAX][2];
    unsigned left; /* questions under way */
    bool implicit;
    bool failed; /* one was not answered */
    bool exists; /* one was not answered by "no such name" */
    uint16_t port;
    struct resolver_mail found;
};

/* ---- is it us? ---- */

static bool is_ourselves(const struct resolver_mail_run *run,
                         const struct sockaddr_storage *address)
{
    char numeric[64] = "";
    struct span rest = span_of(run->settings.proxy_interfaces);
    struct span word;

    if (run->settings.own_port && own_address(address))
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

/* ---- the answer ---- */

static int family_of(enum resolver_family family)
{
    if (family == RESOLVER_IPV4_ONLY)
        return AF_INET;
    return family == RESOLVER_IPV6_ONLY ? AF_INET6 : AF_UNSPEC;
}

static struct sockaddr_storage address_of(const struct mail_part *part, size_t i)
{
    struct sockaddr_storage address;

    memset(&address, 0, sizeof address);
    memcpy(&address, &part->addresses[i], sizeof part->addresses[i]);
    return address;
}

/* Whether there is a way to its addresses at all. */
static bool has_way(const struct mail_part *part)
{
    struct sockaddr_storage first = address_of(part, 0);

    return part->count > 0 && own_way_to(&first);
}

static bool v6_first(const struct resolver_mail_run *run, const struct mail_part *v6)
{
    if (run->settings.family == RESOLVER_ANY)
        return has_way(v6);
    return run->settings.family == RESOLVER_IPV6_FIRST;
}

static void add_part(struct resolver_mail_run *run, size_t at, const struct mail_part *part)
{
    for (size_t i = 0; i < part->count && run->found.count < run->settings.address_limit; i++) {
        struct resolver_mail_host *host = &run->found.hosts[run->found.count++];

        memset(host, 0, sizeof *host);
        host->preference = run->list.hosts[at].preference;
        host->address = address_of(part, i);
        memcpy(host->name, run->list.hosts[at].name, sizeof host->name);
    }
}

static bool host_is_ourselves(const struct resolver_mail_run *run, size_t at)
{
    for (size_t family = 0; family < 2; family++) {
        const struct mail_part *part = &run->parts[at][family];

        for (size_t i = 0; i < part->count; i++) {
            struct sockaddr_storage address = address_of(part, i);

            if (is_ourselves(run, &address))
                return true;
        }
    }
    return false;
}

/* A host that is ourselves, and nobody from its preference on may be asked. */
static void cut_loop(struct resolver_mail_run *run)
{
    for (size_t at = 0; at < run->list.count; at++) {
        if (!host_is_ourselves(run, at))
            continue;
        mx_list_cut(&run->list, at);
        run->found.loops = true;
        return;
    }
}

static void collect(struct resolver_mail_run *run)
{
    cut_loop(run);
    for (size_t at = 0; at < run->list.count; at++) {
        const struct mail_part *v4 = &run->parts[at][0], *v6 = &run->parts[at][1];
        bool six = v6_first(run, v6);

        add_part(run, at, six ? v6 : v4);
        add_part(run, at, six ? v4 : v6);
    }
}

static void judge(struct resolver_mail_run *run)
{
    struct resolver_mail *m = &run->found;
    bool denied = run->implicit && !run->failed && !m->loops;

    m->found = DNS_TROUBLE;
    if (m->count > 0) {
        m->found = DNS_FOUND;
    } else if (denied && !run->exists) {
        m->found = DNS_NONE;
        m->error = "Host not found";
    } else if (denied && family_of(run->settings.family) == AF_UNSPEC) {
        m->found = DNS_NONE;
        m->error = "Host found but no data record of requested type";
    } else if (m->loops) {
        m->error = "mail loops back to myself";
    } else {
        m->error = run->failed ? "Host not found, try again" : "no mail host of it has an address";
    }
}

/* With what is known by now; error: why no more will be. */
void resolver_query_answer_mail(struct resolver_query *q, const char *error)
{
    struct resolver_mail_run *run = q->mail;

    if (q->answered)
        return;
    q->answered = true;
    run->failed = run->failed || error;
    collect(run);
    judge(run);
    if (error && run->found.count == 0 && !run->found.loops)
        run->found.error = error;
    run->done(q->ctx, &run->found);
}

static void end(struct resolver_query *q, enum dns_found found, const char *error)
{
    if (!q->answered) {
        q->answered = true;
        q->mail->found.found = found;
        q->mail->found.error = error;
        q->mail->done(q->ctx, &q->mail->found);
    }
    resolver_query_free(q);
}

/* ---- addresses ---- */

static void add_v4(struct mail_part *part, struct in_addr address)
{
    struct sockaddr_in *a = (struct sockaddr_in *)&part->addresses[part->count];
    unsigned first = ntohl(address.s_addr) >> 24;

    if (first == 0 || first >= 224) {
        part->query->mail->failed = true; /* nonsense, but no denial */
        return;
    }
    if (part->count == RESOLVER_MAIL_MAX)
        return;
    a->sin_family = AF_INET;
    a->sin_port = htons(part->query->mail->port);
    a->sin_addr = address;
    part->count++;
}

static bool is_hosts(const struct in6_addr *a)
{
    return !IN6_IS_ADDR_UNSPECIFIED(a) && !IN6_IS_ADDR_MULTICAST(a) && !IN6_IS_ADDR_V4MAPPED(a) &&
           !IN6_IS_ADDR_V4COMPAT(a);
}

static void add_v6(struct mail_part *part, const struct ares_in6_addr *address)
{
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)&part->addresses[part->count];
    struct in6_addr binary;

    memcpy(&binary, address, sizeof binary);
    if (!is_hosts(&binary)) {
        part->query->mail->failed = true; /* nonsense, but no denial */
        return;
    }
    if (part->count == RESOLVER_MAIL_MAX)
        return;
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(part->query->mail->port);
    a->sin6_addr = binary;
    part->count++;
}

static int take_v4(struct mail_part *part, const unsigned char *bytes, int len)
{
    struct ares_addrttl found[RESOLVER_MAIL_MAX];
    int count = RESOLVER_MAIL_MAX;
    int status = ares_parse_a_reply(bytes, len, NULL, found, &count);

    for (int i = 0; status == ARES_SUCCESS && i < count; i++)
        add_v4(part, found[i].ipaddr);
    return status;
}

static int take_v6(struct mail_part *part, const unsigned char *bytes, int len)
{
    struct ares_addr6ttl found[RESOLVER_MAIL_MAX];
    int count = RESOLVER_MAIL_MAX;
    int status = ares_parse_aaaa_reply(bytes, len, NULL, found, &count);

    for (int i = 0; status == ARES_SUCCESS && i < count; i++)
        add_v6(part, &found[i].ip6addr);
    return status;
}

static void part_over(struct resolver_query *q)
{
    if (--q->mail->left > 0)
        return;
    resolver_query_answer_mail(q, NULL);
    resolver_query_free(q);
}

static void on_addresses(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    struct mail_part *part = ctx;
    struct resolver_query *q = part->query;

    (void)timeouts;
    if (status == ARES_SUCCESS && !q->answered)
        status = part->family == AF_INET ? take_v4(part, bytes, len) : take_v6(part, bytes, len);
    q->mail->failed = q->mail->failed || resolver_found(status) == DNS_TROUBLE;
    q->mail->exists = q->mail->exists || status != ARES_ENOTFOUND;
    q->resolver->query_count--;
    part_over(q);
}

static void ask_part(struct resolver_query *q, size_t at, int family)
{
    struct resolver_mail_run *run = q->mail;
    struct mail_part *part = &run->parts[at][family == AF_INET6];

    if (q->resolver->query_count >= RESOLVER_QUERIES_MAX) {
        run->failed = true;
        return;
    }
    part->query = q;
    part->family = family;
    q->resolver->query_count++;
    run->left++;
    ares_query(q->resolver->channel, run->list.hosts[at].name, C_IN,
               family == AF_INET ? T_A : T_AAAA, on_addresses, part);
}

/* The list stays as it is until all are answered: the parts are in its order. */
static void ask_addresses(struct resolver_query *q)
{
    struct resolver_mail_run *run = q->mail;
    int family = family_of(run->settings.family);

    run->left = 1; /* they may be answered at once */
    for (size_t at = 0; at < run->list.count; at++) {
        if (family != AF_INET6)
            ask_part(q, at, AF_INET);
        if (family != AF_INET)
            ask_part(q, at, AF_INET6);
    }
    part_over(q);
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
        end(q, DNS_NULL_MX, "");
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
    } else if (status == ARES_SUCCESS || resolver_found(status) == DNS_NONE) {
        /* as in Postfix its addresses are asked for even if it is said not to exist */
        q->mail->implicit = true;
        q->mail->exists = status != ARES_ENOTFOUND;
        mx_list_add(&q->mail->list, 0, span_of(q->name), 0);
        begin_addresses(q);
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
