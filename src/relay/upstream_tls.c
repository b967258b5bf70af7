/*
 * upstream_tls - TLS of the sessions with a destination: what the settings ask for, the handshake,
 * what to do when it fails; see upstream_internal.h
 *
 * At the level may a handshake that fails is no outage: it is said once, and for
 * CLEAR_TEXT_MS sessions are opened in clear text, the first of them at once. Whoever can break a
 * handshake could as well have taken STARTTLS out of the hello, so nothing is given away. It is
 * forgotten when the destination goes down (then it was the network that failed) and at reload.
 * Above may nothing but TLS will do, and a handshake that fails is an outage like any other.
 */
#include "relay/upstream_internal.h"

#include "base/clock.h"
#include "tls/tls_anchors.h"
#include "tls/tls_client.h"
#include "tls/tls_validator.h"

#include <stdlib.h>
#include <utlist.h>

#define CLEAR_TEXT_MS 600000

_Static_assert(RELAY_TLS_MATCH_MAX <= TLS_NAMES_MAX, "all names must be heard of");
_Static_assert(TLS_FINGERPRINT_LEN == br_sha256_SIZE, "fingerprints are SHA-256");

/* ---- what is asked for ---- */

const struct relay_tls *upstream_tls_of(const struct upstream *u, const struct config *config)
{
    return relay_tls_find(&config->relay_tls[u->route.kind == ROUTE_SMTP ? ROUTE_SMTP : ROUTE_LMTP],
                          &u->route);
}

#define SUBMISSIONS_PORT 465 /* RFC 8314: TLS from the first byte on */

void upstream_tls_choose(struct upstream_session *s)
{
    const struct route *route = &s->u->route;
    bool wrapper = route->out && route->port == SUBMISSIONS_PORT;
    bool raise = s->has_login && s->login.in_clear == 0;

    s->tls = upstream_tls_of(s->u, s->config);
    if ((!wrapper || s->tls->wrapper) && (!raise || s->tls->level >= TLS_LEVEL_ENCRYPT))
        return;
    s->tls_own = relay_tls_raise(s->tls, wrapper);
    s->tls = &s->tls_own;
}

static bool in_clear_for_now(const struct upstream *u)
{
    return clock_mono_ms() < u->clear_until_ms;
}

enum client_tls upstream_tls_mode(const struct upstream_session *s)
{
    if (s->tls->level == TLS_LEVEL_NONE || s->tls->wrapper)
        return CLIENT_TLS_NONE;
    if (s->tls->level > TLS_LEVEL_MAY)
        return CLIENT_TLS_REQUIRED;
    return in_clear_for_now(s->u) ? CLIENT_TLS_NONE : CLIENT_TLS_MAY;
}

static enum tls_verify verify_of(enum tls_level level)
{
    switch (level) {
    case TLS_LEVEL_NONE:
    case TLS_LEVEL_MAY:
    case TLS_LEVEL_ENCRYPT:
        break;
    case TLS_LEVEL_FINGERPRINT:
        return TLS_VERIFY_FINGERPRINT;
    case TLS_LEVEL_VERIFY:
    case TLS_LEVEL_SECURE:
        return TLS_VERIFY_CHAIN_NAME;
    }
    return TLS_VERIFY_NONE;
}

/* RFC 6066 3: a name, never an address. Postfix says none by itself; a server with several
 * certificates can only show the one that is verified when it knows. */
static const char *server_name(const struct upstream_session *s)
{
    const char *host = upstream_session_host(s);
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (s->tls->servername[0])
        return s->tls->servername;
    if (s->tls->level < TLS_LEVEL_VERIFY || uv_ip4_addr(host, 0, &v4) == 0 ||
        uv_ip6_addr(host, 0, &v6) == 0)
        return NULL;
    return host;
}

/* ---- the handshake ---- */

void upstream_tls_forget(struct upstream *u)
{
    tls_client_unref(u->tls);
    u->tls = NULL;
    config_unref(&u->tls_config);
}

/* The client side for this session's settings; kept for the next ones. */
static struct tls_client *client_for(struct upstream_session *s)
{
    struct upstream *u = s->u;
    struct tls_anchors *anchors = u->context->anchors[u->route.kind == ROUTE_SMTP];
    struct tls_policy policy = {.min_version = s->tls->min_version,
                                .max_version = s->tls->max_version,
                                .medium = s->tls->medium};
    struct errbuf err;

    if (u->tls && u->tls_config == s->config)
        return u->tls;
    upstream_tls_forget(u);
    u->tls = tls_client_new(&policy, anchors ? tls_anchors_ref(anchors) : NULL, &err);
    if (u->tls)
        u->tls_config = config_ref(s->config);
    return u->tls;
}

static struct tls_session *make_session(struct upstream_session *s)
{
    char names[RELAY_TLS_MATCH_MAX][RELAY_TLS_NAME_CAP];
    struct tls_client *client = client_for(s);
    struct tls_wanted wanted = {.verify = verify_of(s->tls->level),
                                .sni = server_name(s),
                                .fingerprints = (const unsigned char(*)[32])s->tls->prints,
                                .fingerprint_count = s->tls->print_count};

    wanted.name_count = relay_tls_names(s->tls, upstream_session_host(s), s->u->route.host, names);
    for (size_t i = 0; i < wanted.name_count; i++)
        wanted.names[i] = names[i];
    return client ? tls_client_session(client, &wanted) : NULL;
}

void upstream_tls_start(struct upstream_session *s)
{
    struct tls_session *session = make_session(s);

    s->securing = true;
    stream_deadline(&s->stream, upstream_step_limit_ms(s->u, CLIENT_STEP_TLS));
    if (session)
        stream_start_tls(&s->stream, session);
    else
        client_fail(&s->client, "our TLS engine is unavailable");
}

static const char *trust_word(enum tls_trust trust)
{
    switch (trust) {
    case TLS_TRUST_ANONYMOUS:
        return "Anonymous";
    case TLS_TRUST_UNTRUSTED:
        return "Untrusted";
    case TLS_TRUST_TRUSTED:
        return "Trusted";
    case TLS_TRUST_VERIFIED:
        break;
    }
    return "Verified";
}

void upstream_tls_secured(struct upstream_session *s)
{
    const struct tls_facts *facts = stream_tls_facts(&s->stream);

    s->securing = false;
    if (upstream_tls_loglevel(s->u, s->config) >= 1)
        log_info(s->u->context->log, upstream_program(s->u),
                 "%s TLS connection established to %s: %s with cipher %s (%u/%u bits)",
                 trust_word(facts->trust), s->relay, facts->protocol, facts->cipher, facts->bits,
                 facts->bits);
}

/* ---- when it fails ---- */

bool upstream_tls_describe(const struct upstream_session *s, const char *text, struct text *why)
{
    struct span error = span_of(stream_tls_error(&s->stream));
    struct span refused = SPAN_LIT(TLS_NOT_VERIFIED);

    if (!s->securing)
        return false;
    if (span_starts_nocase(error, refused)) {
        text_printf(why,
                    "Server certificate not verified: certificate verification failed for "
                    "%s: ",
                    s->relay);
        text_span(why, span_from(error, refused.len));
        return true;
    }
    text_printf(why, "Cannot start TLS: handshake failure with %s: ", s->relay);
    if (s->timed_out)
        text_cstr(why, "timed out");
    else if (error.len > 0)
        text_span(why, error);
    else
        text_cstr(why, text);
    return true;
}

bool upstream_tls_fall_back(struct upstream_session *s, enum client_step step, const char *why)
{
    struct upstream *u = s->u;
    bool about_tls = s->securing || step == CLIENT_STEP_STARTTLS ||
                     (step == CLIENT_STEP_HELLO && s->client.secured);

    if (s->ready || s->tls->level != TLS_LEVEL_MAY || !about_tls || u->closing || u->retired)
        return false;
    if (!in_clear_for_now(u))
        log_warning(u->context->log, upstream_program(u),
                    "%s; mail goes there in clear text for %u minutes, then TLS is tried again",
                    why, CLEAR_TEXT_MS / 60000);
    u->clear_until_ms = clock_mono_ms() + CLEAR_TEXT_MS;
    return true;
}

/* ---- for people ---- */

void upstream_tls_note(struct upstream_session *s)
{
    const struct tls_facts *facts = stream_tls_facts(&s->stream);
    struct upstream *u = s->u;
    struct text t;

    text_init(&t, u->tls_now, sizeof u->tls_now);
    if (facts)
        text_printf(&t, "%s with cipher %s, level %s, %s", facts->protocol, facts->cipher,
                    tls_level_word(s->tls->level), trust_word(facts->trust));
    else if (s->tls->level != TLS_LEVEL_NONE)
        text_printf(&t, "clear text, level %s: TLS %s", tls_level_word(s->tls->level),
                    in_clear_for_now(u) ? "failed a while ago" : "was not offered, or refused");
    if (!facts && s->tls->level == TLS_LEVEL_NONE && (s->client.can & CLIENT_CAN_STARTTLS) &&
        upstream_tls_notes_offer(u, s->config))
        log_info(u->context->log, upstream_program(u), "Host offered STARTTLS: [%s]",
                 u->route.path[0] ? u->route.path : upstream_session_host(s));
}

void upstream_tls_reload(struct upstream *u, const struct config *old)
{
    struct upstream_session *s, *next;
    const struct config *new = u->context->config;
    bool same_login = relay_login_equal(old, new, &u->route);

    upstream_tls_forget(u);
    u->clear_until_ms = 0;
    if (!same_login && u->health == UPSTREAM_DOWN)
        upstream_probe(u); /* perhaps that was it */
    if (same_login && relay_tls_equal(upstream_tls_of(u, old), upstream_tls_of(u, new)))
        return;
    u->tls_now[0] = '\0';
    DL_FOREACH_SAFE(u->sessions, s, next) {
        s->outdated = true;
        if (s->idle)
            upstream_session_close(s);
    }
}
