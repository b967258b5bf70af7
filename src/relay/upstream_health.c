/*
 * upstream_health - is the destination up? See upstream.h
 *
 * The timer has two uses, never at the same time: while DOWN it starts the next probe, or ends the
 * pause of a way out; else it ends the time during which no session is opened because an extra one
 * was refused, or by ..._destination_rate_delay.
 */
#include "relay/upstream_internal.h"

#include "base/clock.h"
#include "base/retry.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define HOLD_OPENING_MS    1000 /* after an extra session was refused, or memory was out */
#define MISMATCH_REMIND_MS 600000

static void on_probe_timer(uv_timer_t *timer);

#define RELAYHOST_PROBE_AFTER 1 /* 1 s first: retry_probe_ms begins with half of it */

/* And what it was for is over: a time without openings that nothing would end holds up mail for
 * good. */
static void stop_timer(struct upstream *u)
{
    uv_timer_stop(&u->timer);
    u->hold_opening_until_ms = 0;
}

/* Who refused our login must not be asked again soon: accounts are locked for that. */
static bool refused_login(const struct upstream *u)
{
    return strcmp(u->dsn, UPSTREAM_LOGIN_REFUSED) == 0;
}

static uint64_t pause_ms(const struct upstream *u)
{
    const struct config *c = u->context->config;
    uint64_t delay;

    if (!u->route.out)
        return retry_probe_ms(u->probes, c->destination_probe_max, (uint32_t)random());
    if (!u->route.direct && !refused_login(u))
        return retry_probe_ms(u->probes + RELAYHOST_PROBE_AFTER, c->outbound_probe_max,
                              (uint32_t)random());
    delay = retry_delay_ms(u->probes + 1, c->minimal_backoff_time, c->maximal_backoff_time,
                           (uint32_t)random());
    return delay > c->minimal_backoff_time ? delay : c->minimal_backoff_time; /* no sooner */
}

static void schedule_probe(struct upstream *u)
{
    uv_timer_start(&u->timer, on_probe_timer, pause_ms(u), 0);
}

void upstream_end_pause(struct upstream *u)
{
    if (u->closing || u->retired || u->health != UPSTREAM_DOWN)
        return;
    stop_timer(u);
    u->health = UPSTREAM_UNKNOWN;
}

/* The pause of a way out is over: mail for it, if there is any, finds out. */
static void end_pause(struct upstream *u)
{
    upstream_end_pause(u);
    if (u->context->on_up)
        u->context->on_up(u->context->on_up_ctx, u);
}

static void on_probe_timer(uv_timer_t *timer)
{
    struct upstream *u = timer->data;

    if (u->closing || u->retired)
        return;
    if (u->health != UPSTREAM_DOWN) {
        u->hold_opening_until_ms = 0; /* the loop's clock may be behind: nobody asks again */
        upstream_dispatch(u);
        return;
    }
    if (u->route.out) {
        end_pause(u);
        return;
    }
    upstream_probe(u);
    if (u->opening == 0 && !uv_is_active((uv_handle_t *)timer))
        schedule_probe(u); /* there was no memory for one */
}

void upstream_wake(struct upstream *u, uint64_t ms)
{
    uv_timer_start(&u->timer, on_probe_timer, ms, 0);
}

static const char *when_tried(const struct upstream *u)
{
    if (u->route.direct || refused_login(u))
        return "again in some minutes, then more and more seldom";
    return u->route.out ? "again within a minute" : "every few seconds";
}

/* A way out goes DOWN again after each pause, which is no news. */
static void note_ailing(struct upstream *u, const char *why)
{
    log_info(u->context->log, upstream_program(u), "%s", why);
    if (u->ailing)
        return;
    u->ailing = true;
    u->since_s = clock_wall_us() / 1000000;
    u->probes = 0;
    log_warning(u->context->log, "qmgr",
                "destination %s is down: mail for it %s and it is tried %s", u->route.text,
                u->covered ? "goes to the next target" : "is kept", when_tried(u));
}

static void enter_down(struct upstream *u, const char *dsn, const char *why)
{
    bool change = u->health != UPSTREAM_DOWN;

    upstream_set_text(u->why, sizeof u->why, why);
    upstream_set_text(u->dsn, sizeof u->dsn, dsn);
    if (change) {
        stop_timer(u);
        u->health = UPSTREAM_DOWN;
        u->down_ms = clock_mono_ms();
        u->told = false;
        u->clear_until_ms = 0; /* see upstream_tls.c */
        note_ailing(u, why);
        upstream_close_idle(u);
    }
    if (change || u->opening == 0) { /* of several that were being opened, the last one counts */
        schedule_probe(u);
        u->probes++;
    }
    upstream_fail_waiting(u);
}

static void note_protocol(struct upstream *u, const struct upstream_session *s)
{
    enum client_protocol set = u->route.kind == ROUTE_SMTP ? CLIENT_SMTP : CLIENT_LMTP;
    uint64_t now = clock_mono_ms();
    struct text t;

    u->protocol = s->client.protocol;
    text_init(&t, u->mismatch, sizeof u->mismatch);
    if (u->protocol == set)
        return;
    text_printf(&t, "%s answers %s, not %s: write %s:... in %s", s->relay,
                set == CLIENT_LMTP ? "SMTP" : "LMTP", set == CLIENT_LMTP ? "LMTP" : "SMTP",
                set == CLIENT_LMTP ? "smtp" : "lmtp",
                u->context->config->transports.count > 0 ? "relay_transport or transport_maps"
                                                         : "relay_transport");
    if (u->mismatch_said_ms && now - u->mismatch_said_ms < MISMATCH_REMIND_MS)
        return;
    u->mismatch_said_ms = now;
    log_warning(u->context->log, "qmgr",
                "wrong protocol in the setting: %s (delivering by %s meanwhile)", u->mismatch,
                set == CLIENT_LMTP ? "SMTP" : "LMTP");
}

/* See upstream.h: conversations that stood still since before the outage. */
static void shed_dead(struct upstream *u)
{
    /* a slow answer is not a dead peer */
    uint64_t patience = upstream_step_limit_ms(u, CLIENT_STEP_GREETING);
    uint64_t now = clock_mono_ms();
    struct upstream_session *s, *next;

    DL_FOREACH_SAFE(u->sessions, s, next) {
        if (!s->job || s->stale || s->progress_ms >= u->down_ms || now - s->progress_ms < patience)
            continue;
        if (client_may_be_sent(&s->client)) {
            s->stale = true;
            u->stale++;
        } else {
            upstream_session_give_up(s);
        }
    }
}

void upstream_opened(struct upstream *u, struct upstream_session *s)
{
    bool was_down = u->ailing;
    int64_t now_s = clock_wall_us() / 1000000;

    note_protocol(u, s);
    u->probes = 0;
    u->hold_opening_until_ms = 0;
    if (u->health == UPSTREAM_UP)
        return;
    if (was_down)
        log_info(u->context->log, "qmgr", "destination %s is up again after %lld s", u->route.text,
                 (long long)(now_s - u->since_s));
    u->health = UPSTREAM_UP;
    u->ailing = false;
    u->since_s = now_s;
    u->why[0] = '\0';
    stop_timer(u);
    if (was_down)
        shed_dead(u);
    if (u->context->on_up)
        u->context->on_up(u->context->on_up_ctx, u);
}

/* Whether it served somebody a moment ago; a conversation that stands still says nothing. */
static bool others_live(const struct upstream *u)
{
    uint64_t patience = upstream_step_limit_ms(u, CLIENT_STEP_GREETING);
    uint64_t now = clock_mono_ms();
    struct upstream_session *s;

    DL_FOREACH(u->sessions, s) {
        if (s->ready && !s->closing && !s->quitting && (s->idle || now - s->progress_ms < patience))
            return true;
    }
    return false;
}

bool upstream_stands_still(const struct upstream *u, uint64_t ms)
{
    const struct upstream_session *s;
    uint64_t now = clock_mono_ms();
    unsigned still = 0;

    DL_FOREACH(u->sessions, s) {
        if (s->stale)
            continue;
        if (!s->job || now - s->progress_ms < ms)
            return false;
        still++;
    }
    return still >= upstream_sessions_limit(u);
}

void upstream_hold_opening(struct upstream *u)
{
    u->hold_opening_until_ms = clock_mono_ms() + HOLD_OPENING_MS;
    uv_timer_start(&u->timer, on_probe_timer, HOLD_OPENING_MS, 0);
}

void upstream_open_failed(struct upstream *u, struct upstream_session *s, const char *dsn,
                          const char *why)
{
    if (u->closing)
        return;
    if (u->health != UPSTREAM_DOWN && !s->silent && others_live(u)) {
        /* it serves others: a limit of connections, not an outage */
        upstream_hold_opening(u);
        return;
    }
    enter_down(u, dsn, why);
}

void upstream_probe(struct upstream *u)
{
    if (u->closing || u->retired || u->opening > 0)
        return;
    upstream_session_open(u);
}

void upstream_try_again(struct upstream *u)
{
    upstream_probe(u);
    if (u->health == UPSTREAM_DOWN && u->opening == 0 && !u->closing &&
        !uv_is_active((uv_handle_t *)&u->timer))
        schedule_probe(u); /* there was no memory for one */
}

/* ---- chosen or not ---- */

void upstream_retire(struct upstream *u)
{
    struct upstream_session *s, *next;

    if (u->retired)
        return;
    u->retired = true;
    u->health = UPSTREAM_DOWN;
    upstream_set_text(u->why, sizeof u->why, "it is no longer in the settings");
    upstream_set_text(u->dsn, sizeof u->dsn, "4.3.2");
    stop_timer(u);
    DL_FOREACH_SAFE(u->sessions, s, next) {
        if (!s->job)
            upstream_session_close(s);
    }
    upstream_fail_waiting(u);
}

void upstream_choose(struct upstream *u)
{
    if (u->retired) {
        u->retired = false;
        u->ailing = false;
        u->health = UPSTREAM_UNKNOWN;
        u->why[0] = '\0';
    }
    if (u->route.out)
        return; /* nobody is asked before there is mail for him */
    if (u->route.kind == ROUTE_MAILDIR)
        u->health = UPSTREAM_UP; /* a folder: trouble shows at each delivery */
    else if (u->health == UPSTREAM_UNKNOWN)
        upstream_probe(u); /* say at once whether it answers */
}
