/*
 * upstream_connect - opening a session: name look-up, the addresses one after the other; see
 * upstream_internal.h
 *
 * A route with MX look-up has the addresses of several hosts, each of which may also turn us away
 * once it is connected (greeting, EHLO, TLS): then the next one is tried, up to
 * smtp_mx_session_limit of them. A host that broke off in the middle of a mail is asked last for
 * minimal_backoff_time.
 *
 * That a domain does not exist, or takes no mail, is said by its own DNS, and its mail fails for
 * good (delivery.h). A relayhost of which that is said is a slip in our settings: it is down.
 */
#include "relay/upstream_internal.h"

#include "base/clock.h"
#include "config/listen.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* The C library's words, as Postfix logs them (libuv's codes are -errno). */
static const char *connect_reason(const struct upstream_session *s)
{
    if (s->connect_rc != 0)
        return strerror(-s->connect_rc);
    return s->how ? s->how : "the name look-up took too long";
}

/* Returns the enhanced code. */
static const char *describe_failure(const struct upstream_session *s, struct text *why)
{
    const struct upstream *u = s->u;

    if (s->loops) {
        text_printf(why, "mail for %s loops back to myself", u->route.host);
        return "4.4.6";
    }
    if (u->route.mx && s->address_count == 0) {
        text_printf(why,
                    "Host or domain name not found. Name service error for name=%s type=MX: %s",
                    u->route.host, connect_reason(s));
        return "4.4.3";
    }
    text_printf(why, "connect to %s: %s", s->relay, connect_reason(s));
    return "4.4.1";
}

static void opening_failed(struct upstream_session *s)
{
    char buf[900];
    const char *dsn;
    struct text why;

    text_init(&why, buf, sizeof buf);
    dsn = describe_failure(s, &why);
    s->silent = s->connect_rc != UV_ECONNREFUSED;
    s->held = true; /* it has no stream: closing would free it under our feet */
    upstream_session_close(s);
    upstream_open_failed(s->u, s, dsn, buf);
    s->held = false;
    if (!s->starting)
        upstream_session_gone(s->u, s);
}

static void name_peer(struct upstream_session *s, const char *address)
{
    const struct route *r = &s->u->route;
    struct text t;

    text_init(&t, s->host, sizeof s->host);
    text_printf(&t, "%s[%s]",
                r->path[0] ? s->u->context->config->myhostname : upstream_session_host(s), address);
    text_init(&t, s->relay, sizeof s->relay);
    text_cstr(&t, s->host);
    if (!r->path[0])
        text_printf(&t, ":%u", (unsigned)r->port);
}

const char *upstream_session_host(const struct upstream_session *s)
{
    return s->mx_name ? s->mx_name : s->u->route.host;
}

bool upstream_session_walk_on(struct upstream_session *s, const char *why)
{
    const struct config *config = s->config;

    if (!s->mx_names || s->address_next >= s->address_count || s->u->closing || s->u->retired ||
        ++s->conversations >= config->smtp_mx_session_limit)
        return false;
    log_info(s->u->context->log, upstream_program(s->u), "%s", why);
    upstream_login_forget(s);
    s->how = NULL;
    s->timed_out = s->securing = s->silent = false;
    s->connect_by_ms = clock_mono_ms() + upstream_step_limit_ms(s->u, CLIENT_STEP_GREETING);
    stream_close(&s->stream); /* and then the next: on_stream_closed */
    return true;
}

void upstream_session_connect_next(struct upstream_session *s)
{
    struct sockaddr_storage *address = &s->addresses[s->address_next];
    struct sockaddr_storage from;
    struct stream_way way;
    uint64_t now = clock_mono_ms();
    uint64_t
        share; /* of the time left: an address that swallows packets must not cost the others */
    char numeric[64];
    int rc;

    if (s->address_next >= s->address_count || now >= s->connect_by_ms) {
        opening_failed(s);
        return;
    }
    share = (s->connect_by_ms - now) / (s->address_count - s->address_next);
    s->mx_name = s->mx_names ? s->mx_names[s->address_next] : NULL;
    s->address_next++;
    s->connect_rc = 0;
    if (address->ss_family == AF_INET)
        uv_ip4_name((struct sockaddr_in *)address, numeric, sizeof numeric);
    else
        uv_ip6_name((struct sockaddr_in6 *)address, numeric, sizeof numeric);
    name_peer(s, numeric);
    s->has_stream = true;
    way.to = (struct sockaddr *)address;
    way.from = upstream_bind_address(s->u, address->ss_family, &from);
    rc = stream_connect_way(&s->stream, s->u->context->streams, &way,
                            &upstream_session_stream_events, s);
    if (rc < 0) {
        s->has_stream = false;
        s->connect_rc = rc;
        opening_failed(s);
        return;
    }
    stream_deadline(&s->stream, share > 0 ? share : 1);
}

static void on_addresses(void *ctx, const struct sockaddr_storage *addresses, size_t count,
                         const char *error)
{
    struct upstream_session *s = ctx;

    s->query = NULL;
    for (size_t i = 0; i < count; i++)
        s->addresses[s->address_count++] = addresses[i];
    if (count == 0)
        s->how = error;
    upstream_session_connect_next(s);
}

/* ---- mail hosts ---- */

static enum resolver_family family_wanted(const struct config *config)
{
    if (config->inet_protocols == INET_IPV4)
        return RESOLVER_IPV4_ONLY;
    if (config->inet_protocols == INET_IPV6)
        return RESOLVER_IPV6_ONLY;
    if (config->smtp_address_preference == PREFER_IPV4)
        return RESOLVER_IPV4_FIRST;
    return config->smtp_address_preference == PREFER_IPV6 ? RESOLVER_IPV6_FIRST : RESOLVER_ANY;
}

static bool listens_on(const struct config *config, uint16_t port)
{
    struct listen_list list;
    struct errbuf err;

    if (listen_list_parse(&list, span_of(config->listen), &err) < 0)
        return false;
    for (size_t i = 0; i < list.count; i++) {
        if (list.entries[i].port == port)
            return true;
    }
    return false;
}

/* In their order; those of the host that is shunned at the end. False: no memory. */
static bool take_hosts(struct upstream_session *s, const struct resolver_mail *mail)
{
    bool shuns = clock_mono_ms() < s->u->shunned_until_ms;

    s->mx_names = calloc(mail->count + 1, sizeof s->mx_names[0]);
    if (!s->mx_names)
        return false;
    for (int last = 0; last <= 1; last++) {
        for (size_t i = 0; i < mail->count && s->address_count < RESOLVER_ADDRESSES_MAX; i++) {
            bool shunned = shuns && strcmp(mail->hosts[i].name, s->u->shunned) == 0;

            if (shunned != (last == 1))
                continue;
            s->addresses[s->address_count] = mail->hosts[i].address;
            upstream_set_text(s->mx_names[s->address_count++], sizeof s->mx_names[0],
                              mail->hosts[i].name);
        }
    }
    return true;
}

/* The domain itself says so: for good. */
static void refused(struct upstream_session *s, const struct resolver_mail *mail)
{
    struct upstream *u = s->u;
    char buf[700];
    struct text why;

    text_init(&why, buf, sizeof buf);
    if (mail->found == DNS_NULL_MX)
        text_printf(&why, "Domain %s does not accept mail (nullMX)", u->route.host);
    else
        text_printf(&why,
                    "Host or domain name not found. Name service error for name=%s type=MX: %s",
                    u->route.host, mail->error);
    s->held = true;
    upstream_session_close(s);
    upstream_refuse_waiting(u, mail->found == DNS_NULL_MX ? "5.1.10" : "5.4.4", buf);
    s->held = false;
    if (!s->starting)
        upstream_session_gone(u, s);
}

static void on_mail_hosts(void *ctx, const struct resolver_mail *mail)
{
    struct upstream_session *s = ctx;

    s->query = NULL;
    if (s->u->route.direct && (mail->found == DNS_NONE || mail->found == DNS_NULL_MX)) {
        refused(s, mail);
        return;
    }
    s->loops = mail->loops && mail->count == 0;
    if (s->loops)
        log_warning(s->u->context->log, "smtp",
                    "mail for %s loops back to myself: its mail host is this gateway; add the "
                    "domain to relay_domains, or see to its MX records",
                    s->u->route.host);
    if (!take_hosts(s, mail))
        s->how = "out of memory";
    else if (mail->count == 0)
        s->how = mail->found == DNS_NULL_MX ? "it does not accept mail (nullMX)" : mail->error;
    upstream_session_connect_next(s);
}

static void look_up_mail_hosts(struct upstream_session *s)
{
    const struct config *config = s->config;
    struct resolver_mail_settings wanted = {
        .family = family_wanted(config),
        .address_limit = (size_t)config->smtp_mx_address_limit,
        .randomize = config->smtp_randomize_addresses,
        .myhostname = config->myhostname,
        .proxy_interfaces = config->proxy_interfaces,
        .own_port = listens_on(config, s->u->route.port),
    };

    s->query = resolver_mail_hosts(s->u->context->resolver, s->u->route.host, s->u->route.port,
                                   &wanted, 2 * config->dns_timeout, on_mail_hosts, s);
}

static void session_connect_unix(struct upstream_session *s)
{
    int rc;

    name_peer(s, s->u->route.path);
    s->has_stream = true;
    rc = stream_connect_unix(&s->stream, s->u->context->streams, s->u->route.path,
                             &upstream_session_stream_events, s);
    if (rc < 0) {
        s->has_stream = false;
        s->connect_rc = rc;
        opening_failed(s);
        return;
    }
    stream_deadline(&s->stream, upstream_step_limit_ms(s->u, CLIENT_STEP_GREETING));
}

static int address_family(const struct config *config)
{
    if (config->inet_protocols == INET_IPV4)
        return AF_INET;
    return config->inet_protocols == INET_IPV6 ? AF_INET6 : AF_UNSPEC;
}

struct upstream_session *upstream_session_open(struct upstream *u)
{
    struct upstream_session *s = calloc(1, sizeof *s);
    const struct config *config = u->context->config;
    uint64_t limit = upstream_step_limit_ms(u, CLIENT_STEP_GREETING);

    if (!s)
        return NULL;
    s->u = u;
    s->config = config_ref(u->context->config);
    upstream_login_choose(s);
    upstream_tls_choose(s);
    s->opened_ms = clock_mono_ms();
    s->connect_by_ms = s->opened_ms + limit;
    DL_APPEND(u->sessions, s);
    u->session_count++;
    u->opening++;
    u->holds++;
    s->starting = true; /* it may fail before we return */
    if (u->route.path[0]) {
        session_connect_unix(s);
    } else if (u->route.mx) {
        name_peer(s, u->route.host);
        look_up_mail_hosts(s);
    } else {
        name_peer(s, u->route.host); /* until the address is known */
        s->query = resolver_addresses(
            u->context->resolver, u->route.host, u->route.port, address_family(config),
            config->dns_timeout < limit ? config->dns_timeout : limit, on_addresses, s);
    }
    s->starting = false;
    if (s->closing && !s->has_stream) {
        upstream_session_gone(u, s);
        return NULL;
    }
    return s;
}
