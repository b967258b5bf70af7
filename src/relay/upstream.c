/* upstream - jobs and who serves them; see upstream.h. Whether it is up: upstream_health.c */
#include "relay/upstream_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define OLD_EVERY           4 /* every fourth place goes to a job that nobody waits for */
#define DEFERRED_WHY_PREFIX "delivery temporarily suspended: "

const char *upstream_program(const struct upstream *u)
{
    return u->protocol == CLIENT_LMTP ? "lmtp" : "smtp";
}

void upstream_set_text(char *dst, size_t cap, const char *src)
{
    struct text t;

    text_init(&t, dst, cap);
    text_cstr(&t, src);
}

/* ---- waiting jobs ---- */

static void waiting_add(struct upstream *u, struct upstream_job *job, bool first)
{
    struct upstream_job **list = job->urgent ? &u->urgent : &u->normal;

    job->upstream = u;
    if (first)
        DL_PREPEND(*list, job);
    else
        DL_APPEND(*list, job);
    u->waiting++;
}

static void waiting_remove(struct upstream *u, struct upstream_job *job)
{
    struct upstream_job **list = job->urgent ? &u->urgent : &u->normal;

    DL_DELETE(*list, job);
    u->waiting--;
}

/*
 * A job whose reused session died has one retry, and that must not go the same way: it is only for
 * a session that nobody used before (Dovecot 2.4 ends its process after each mail). Such jobs stand
 * first in their list.
 */
static struct upstream_job *first_for(struct upstream_job *list, const struct upstream_session *s)
{
    struct upstream_job *job;

    DL_FOREACH(list, job) {
        if (!job->retried || s->client.uses == 0)
            return job;
    }
    return NULL;
}

/* Used and unused sessions count their picks apart: the two may alternate, and a common count would
 * then always have the same kind at the old jobs' turn. */
static unsigned *picks_of(struct upstream *u, const struct upstream_session *s)
{
    return &u->picks[s->client.uses > 0];
}

/* The job this session would get now, or NULL. */
static struct upstream_job *job_for(struct upstream *u, const struct upstream_session *s)
{
    bool old_turn = (*picks_of(u, s) + 1) % OLD_EVERY == 0;
    struct upstream_job *job = first_for(old_turn ? u->normal : u->urgent, s);

    return job ? job : first_for(old_turn ? u->urgent : u->normal, s);
}

/* suspended: nothing was tried for this job. The first mail of an outage gets the bare reason all
 * the same, as in Postfix: people look for "status=deferred (connect to". */
static void job_end_down(struct upstream *u, struct upstream_job *job, bool suspended)
{
    bool is_mail = !job->t.probe_recipient;
    char buf[512];
    struct text why;

    text_init(&why, buf, sizeof buf);
    if (suspended && (u->told || !is_mail))
        text_cstr(&why, DEFERRED_WHY_PREFIX);
    u->told = u->told || is_mail;
    text_cstr(&why, u->why);
    upstream_set_text(job->relay, sizeof job->relay, "none");
    job->program = upstream_program(u);
    job->conn_use = 1;
    job->begun_ms = clock_mono_ms();
    job->setup_ms = job->begun_ms - job->asked_ms;
    job->events->on_end(job, UPSTREAM_END_DOWN, u->dsn, buf);
}

/* Everybody who waits is told; jobs that these calls submit anew are told in upstream_submit. */
void upstream_fail_waiting(struct upstream *u)
{
    unsigned bound = u->waiting;

    while (bound-- > 0 && u->waiting > 0) {
        struct upstream_job *job = u->urgent ? u->urgent : u->normal;

        waiting_remove(u, job);
        job_end_down(u, job, false);
    }
}

void upstream_refuse_waiting(struct upstream *u, const char *dsn, const char *why)
{
    unsigned bound = u->waiting;

    while (bound-- > 0 && u->waiting > 0) {
        struct upstream_job *job = u->urgent ? u->urgent : u->normal;

        waiting_remove(u, job);
        job->begun_ms = clock_mono_ms();
        job->setup_ms = job->begun_ms - job->asked_ms;
        job->events->on_end(job, UPSTREAM_END_REFUSED, dsn, why);
    }
}

/* ---- giving jobs to sessions ---- */

void upstream_job_left(struct upstream *u)
{
    u->active--;
    u->rate_until_ms = clock_mono_ms() + upstream_rate_delay_ms(u);
}

/* ..._destination_rate_delay: one at a time, and a pause. */
static bool must_pause(struct upstream *u)
{
    uint64_t now = clock_mono_ms();

    if (upstream_rate_delay_ms(u) == 0)
        return false;
    if (u->active == 0 && now >= u->rate_until_ms)
        return false;
    if (u->active == 0 && u->health != UPSTREAM_DOWN && !uv_is_active((uv_handle_t *)&u->timer))
        upstream_wake(u, u->rate_until_ms - now);
    return true;
}

void upstream_close_idle(struct upstream *u)
{
    struct upstream_session *s, *next;

    DL_FOREACH_SAFE(u->sessions, s, next) {
        if (s->idle)
            upstream_session_close(s);
    }
}

static unsigned count_available(const struct upstream *u)
{
    const struct upstream_session *s;
    unsigned count = 0;

    DL_FOREACH(u->sessions, s) {
        /* being opened, or done with a job and about to be idle */
        if (!s->closing && !s->quitting && (!s->job || s->finished) && !s->idle)
            count++;
    }
    return count;
}

static void open_for_waiting(struct upstream *u)
{
    uint64_t limit = upstream_sessions_limit(u);

    if (u->waiting > 0 && must_pause(u))
        return;
    if (u->route.out && u->health == UPSTREAM_UNKNOWN && u->opening > 0)
        return; /* see whether it answers at all */
    while (u->waiting > count_available(u) && u->session_count - u->stale < limit &&
           clock_mono_ms() >= u->hold_opening_until_ms && u->health != UPSTREAM_DOWN) {
        if (upstream_session_open(u)) {
            if (u->route.out && u->health == UPSTREAM_UNKNOWN)
                return;
            continue;
        }
        if (u->health != UPSTREAM_DOWN && !uv_is_active((uv_handle_t *)&u->timer))
            upstream_hold_opening(u); /* no memory now */
        return;
    }
}

static struct upstream_session *find_server(struct upstream *u)
{
    struct upstream_session *s;

    DL_FOREACH(u->sessions, s) {
        if (s->idle && !s->closing && job_for(u, s))
            return s;
    }
    return NULL;
}

/* Whether a session that nobody used is there or on its way. */
static bool unused_comes(const struct upstream *u)
{
    const struct upstream_session *s;

    DL_FOREACH(u->sessions, s) {
        if (s->closing || s->quitting || !s->ready || (s->client.uses == 0 && !s->job))
            return true;
    }
    return false;
}

/* Where all places are taken by used sessions, one of them goes for the sake of a retry; others
 * that become idle serve on. */
static void make_room_for_retry(struct upstream *u)
{
    bool waits = (u->urgent && u->urgent->retried) || (u->normal && u->normal->retried);
    struct upstream_session *s;

    if (!waits || unused_comes(u) || u->session_count - u->stale < upstream_sessions_limit(u))
        return;
    DL_FOREACH(u->sessions, s) {
        if (s->idle) {
            upstream_session_close(s);
            return;
        }
    }
}

void upstream_dispatch(struct upstream *u)
{
    struct upstream_session *s;

    make_room_for_retry(u);
    while (u->waiting > 0 && !u->closing && !must_pause(u) && (s = find_server(u))) {
        struct upstream_job *job = job_for(u, s);

        ++*picks_of(u, s);
        waiting_remove(u, job);
        upstream_session_begin(s, job);
    }
    if (!u->closing)
        open_for_waiting(u);
}

static void not_stale(struct upstream *u, struct upstream_session *s)
{
    u->stale -= s->stale;
    s->stale = false;
}

void upstream_session_idle(struct upstream *u, struct upstream_session *s)
{
    not_stale(u, s);
    upstream_dispatch(u);
}

void upstream_job_broken(struct upstream *u, struct upstream_job *job, bool retry, const char *dsn,
                         const char *why)
{
    if (retry && !job->retried && !u->closing && u->health != UPSTREAM_DOWN) {
        job->retried = true;
        upstream_close_idle(u); /* as old as the dead one */
        waiting_add(u, job, true);
        upstream_dispatch(u);
        return;
    }
    if (!u->route.out)
        upstream_probe(u);
    job->events->on_end(job, UPSTREAM_END_BROKEN, dsn, why);
}

void upstream_submit(struct upstream *u, struct upstream_job *job)
{
    job->upstream = u;
    job->session = NULL;
    job->asked_ms = clock_mono_ms();
    job->results = 0;
    job->retried = job->elsewhere = false;
    job->setup_ms = 0;
    upstream_set_text(job->relay, sizeof job->relay, "none");
    job->program = upstream_program(u);
    if (u->closing || u->health == UPSTREAM_DOWN) {
        job_end_down(u, job, true);
        return;
    }
    waiting_add(u, job, false);
    upstream_dispatch(u);
}

bool upstream_is_idle(const struct upstream *u)
{
    return u->session_count == 0 && u->waiting == 0 && u->active == 0;
}

bool upstream_cancel(struct upstream_job *job)
{
    struct upstream_session *s = job->session;

    if (!s) {
        waiting_remove(job->upstream, job);
        return true;
    }
    if (client_may_be_sent(&s->client))
        return false;
    s->job = NULL;
    job->session = NULL;
    upstream_job_left(job->upstream);
    upstream_session_close(s);
    return true;
}

/* ---- start and stop ---- */

void upstream_init(struct upstream *u, struct upstream_context *context, const struct route *route)
{
    *u = (struct upstream){.context = context, .route = *route, .holds = 1};
    u->protocol = route->kind == ROUTE_SMTP ? CLIENT_SMTP : CLIENT_LMTP;
    uv_timer_init(context->loop, &u->timer);
    u->timer.data = u;
}

void upstream_release(struct upstream *u)
{
    if (--u->holds > 0)
        return;
    upstream_tls_forget(u);
    u->on_closed(u->on_closed_ctx, u);
}

void upstream_session_gone(struct upstream *u, struct upstream_session *s)
{
    DL_DELETE(u->sessions, s);
    u->session_count--;
    not_stale(u, s);
    free(s->mx_names);
    upstream_login_forget(s);
    config_unref(&s->config);
    free(s);
    if (!u->closing)
        upstream_dispatch(u); /* its place is free */
    upstream_release(u);
}

static void on_timer_closed(uv_handle_t *handle)
{
    upstream_release(handle->data);
}

void upstream_close(struct upstream *u, void (*on_closed)(void *ctx, struct upstream *u), void *ctx)
{
    struct upstream_session *s, *next;

    u->closing = true;
    u->on_closed = on_closed;
    u->on_closed_ctx = ctx;
    if (!u->why[0])
        upstream_set_text(u->why, sizeof u->why, "mxgate is stopping");
    upstream_set_text(u->dsn, sizeof u->dsn, "4.3.2");
    uv_timer_stop(&u->timer);
    uv_close((uv_handle_t *)&u->timer, on_timer_closed);
    upstream_fail_waiting(u);
    u->holds++; /* sessions that free themselves at once must not end us in the loop */
    DL_FOREACH_SAFE(u->sessions, s, next) {
        struct upstream_job *job = s->job;

        s->job = NULL;
        upstream_session_close(s);
        if (!job)
            continue;
        job->session = NULL;
        u->active--;
        job->events->on_end(job, UPSTREAM_END_BROKEN, "4.3.2", "mxgate is stopping");
    }
    upstream_release(u);
}
