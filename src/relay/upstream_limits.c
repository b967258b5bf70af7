/*
 * upstream_limits - which settings are those of a destination: lmtp_... or smtp_..., by how it is
 * written; see upstream_internal.h
 *
 * The transport as written counts, not the protocol that is spoken after a fallback: the operator
 * wrote the one, and sets the limits that go with it.
 */
#include "relay/upstream_internal.h"

#include <stddef.h>
#include <string.h>

/* One setting for each kind of destination: offsets in struct config. */
struct pair {
    size_t lmtp, smtp;
};
#define PAIR(name)                                                                                 \
    {                                                                                              \
        offsetof(struct config, lmtp_##name), offsetof(struct config, smtp_##name)                 \
    }

static const struct pair sessions_limit = PAIR(destination_concurrency_limit);
static const struct pair recipients_limit = PAIR(destination_recipient_limit);
static const struct pair reuse_limit = PAIR(connection_reuse_count_limit);
static const struct pair reuse_time_limit = PAIR(connection_reuse_time_limit);
static const struct pair hello_name = {offsetof(struct config, lmtp_lhlo_name),
                                       offsetof(struct config, smtp_helo_name)};
static const struct pair discarded = {offsetof(struct config, lmtp_discard_lhlo_keywords),
                                      offsetof(struct config, smtp_discard_ehlo_keywords)};
static const struct pair bind_address = PAIR(bind_address);
static const struct pair bind_address6 = PAIR(bind_address6);

static const struct pair rate_delay = PAIR(destination_rate_delay);

#define DIRECT_IDLE_MS 2000 /* as Postfix keeps connections: others wait for a place there */

static const struct pair tls_loglevel = PAIR(tls_loglevel);
static const struct pair tls_note_offer = PAIR(tls_note_starttls_offer);

static const struct pair step_limits[CLIENT_STEP_COUNT] = {
    [CLIENT_STEP_GREETING] = PAIR(connect_timeout),
    [CLIENT_STEP_HELLO] = {offsetof(struct config, lmtp_lhlo_timeout),
                           offsetof(struct config, smtp_helo_timeout)   },
    [CLIENT_STEP_STARTTLS] = PAIR(starttls_timeout),
    [CLIENT_STEP_TLS] = PAIR(starttls_timeout),
    [CLIENT_STEP_AUTH] = {offsetof(struct config, lmtp_lhlo_timeout),
                           offsetof(struct config, smtp_helo_timeout)   }, /* as in Postfix */
    [CLIENT_STEP_XCLIENT] = {offsetof(struct config, lmtp_xclient_timeout),
                           offsetof(struct config, lmtp_xclient_timeout)},
    [CLIENT_STEP_MAIL] = PAIR(mail_timeout),
    [CLIENT_STEP_RCPT] = PAIR(rcpt_timeout),
    [CLIENT_STEP_DATA] = PAIR(data_init_timeout),
    [CLIENT_STEP_BODY] = PAIR(data_xfer_timeout),
    [CLIENT_STEP_END] = PAIR(data_done_timeout),
    [CLIENT_STEP_RSET] = PAIR(rset_timeout),
    [CLIENT_STEP_QUIT] = PAIR(quit_timeout),
};

static const void *field(const struct upstream *u, const struct config *config, struct pair p)
{
    return (const char *)config + (u->route.kind == ROUTE_SMTP ? p.smtp : p.lmtp);
}

static uint64_t number(const struct upstream *u, struct pair p)
{
    return *(const uint64_t *)field(u, u->context->config, p);
}

static const char *text(const struct upstream *u, const struct config *config, struct pair p)
{
    return *(const char *const *)field(u, config, p);
}

uint64_t upstream_step_limit_ms(const struct upstream *u, enum client_step step)
{
    if (u->route.out && step == CLIENT_STEP_GREETING)
        return u->context->config->outbound_connect_timeout;
    if (u->route.out && step == CLIENT_STEP_HELLO)
        return u->context->config->outbound_helo_timeout;
    return step_limits[step].lmtp == 0 ? 0 : number(u, step_limits[step]);
}

uint64_t upstream_sessions_limit(const struct upstream *u)
{
    return upstream_rate_delay_ms(u) > 0 ? 1 : number(u, sessions_limit); /* as Postfix */
}

size_t upstream_recipients_limit(const struct upstream *u, size_t most)
{
    uint64_t limit = number(u, recipients_limit);

    return limit < most ? (size_t)limit : most;
}

uint64_t upstream_rate_delay_ms(const struct upstream *u)
{
    return number(u, rate_delay);
}

uint64_t upstream_idle_limit_ms(const struct upstream *u)
{
    uint64_t limit = u->context->config->lmtp_connection_idle_time;

    return u->route.direct && limit > DIRECT_IDLE_MS ? DIRECT_IDLE_MS : limit;
}

uint64_t upstream_reuse_limit(const struct upstream *u)
{
    return number(u, reuse_limit);
}

uint64_t upstream_reuse_limit_ms(const struct upstream *u)
{
    return number(u, reuse_time_limit);
}

const char *upstream_hello_name(const struct upstream *u, const struct config *config)
{
    return text(u, config, hello_name);
}

const char *upstream_discarded(const struct upstream *u, const struct config *config)
{
    return text(u, config, discarded);
}

uint64_t upstream_tls_loglevel(const struct upstream *u, const struct config *config)
{
    return *(const uint64_t *)field(u, config, tls_loglevel);
}

bool upstream_tls_notes_offer(const struct upstream *u, const struct config *config)
{
    return *(const bool *)field(u, config, tls_note_offer);
}

const struct sockaddr *upstream_bind_address(const struct upstream *u, int family,
                                             struct sockaddr_storage *from)
{
    const struct config *config = u->context->config;
    const char *address = text(u, config, family == AF_INET6 ? bind_address6 : bind_address);
    int rc;

    if (!address[0])
        return NULL;
    memset(from, 0, sizeof *from);
    rc = family == AF_INET6 ? uv_ip6_addr(address, 0, (struct sockaddr_in6 *)from)
                            : uv_ip4_addr(address, 0, (struct sockaddr_in *)from);
    return rc == 0 ? (const struct sockaddr *)from : NULL; /* config_check has looked at it */
}
