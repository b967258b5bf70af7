/* sasl_server - see sasl_server.h */
#include "server/sasl_server.h"

#include "base/clock.h"
#include "base/retry.h"
#include "server/sasl_link.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define PATIENCE_TICK_MS 500

struct sasl_request {
    struct sasl_request *prev, *next;
    struct sasl_server *server;
    uint64_t id;
    uint64_t deadline_ms;
    sasl_server_fn done;
    void *ctx;
    bool ours; /* it is our turn: a challenge was passed on */
    char mechanism[SASL_NAME_CAP];
    char *line; /* owned, secret: what is to be sent when the link is up */
    size_t len;
};

static void reconnect(struct sasl_server *s);

/* ---- requests ---- */

static void wipe_line(struct sasl_request *r)
{
    if (r->line)
        explicit_bzero(r->line, r->len);
    free(r->line);
    r->line = NULL;
}

static void forget(struct sasl_request *r)
{
    struct sasl_server *s = r->server;

    DL_DELETE(s->requests, r);
    wipe_line(r);
    free(r);
    if (!s->requests && !s->closing)
        uv_timer_stop(&s->patience);
}

static void finish(struct sasl_request *r, const struct session_auth_answer *answer)
{
    sasl_server_fn done = r->done;
    void *ctx = r->ctx;

    forget(r);
    done(ctx, answer);
}

static void fail(struct sasl_request *r)
{
    finish(r, &(struct session_auth_answer){
                  SESSION_AUTH_TROUBLE, {NULL, 0},
                   "", SASL_SERVER_AWAY
    });
}

/* Who comes meanwhile (a client may have said AUTH again already) is another attempt's. */
static void fail_all(struct sasl_server *s)
{
    struct sasl_request *r, *next;

    DL_FOREACH_SAFE(s->requests, r, next)
        fail(r);
}

static void cancel_there(struct sasl_request *r)
{
    struct sasl_link *l = r->server->link;
    char buf[64];
    struct text t;

    if (r->line || !l || !l->up || !sasl_dovecot_can_cancel(&l->engine))
        return;
    text_init(&t, buf, sizeof buf);
    sasl_dovecot_put_cancel(&t, r->id);
    sasl_link_send(l, text_as_span(&t));
}

static void on_patience(uv_timer_t *timer)
{
    struct sasl_server *s = timer->data;
    uint64_t now = clock_mono_ms();
    struct sasl_request *r, *next;

    DL_FOREACH_SAFE(s->requests, r, next) {
        if (r->ours || now < r->deadline_ms)
            continue;
        cancel_there(r);
        fail(r);
        next = s->requests; /* whoever was told may have cancelled another */
    }
}

static void await_answer(struct sasl_request *r)
{
    r->ours = false;
    r->deadline_ms = clock_mono_ms() + SASL_SERVER_PATIENCE_MS;
}

static struct sasl_request *find(struct sasl_server *s, uint64_t id)
{
    struct sasl_request *r;

    DL_FOREACH(s->requests, r) {
        if (r->id == id && !r->line && !r->ours)
            return r;
    }
    return NULL;
}

/* Sends it, or keeps it until the link is up. False: out of memory. */
static bool send_or_keep(struct sasl_request *r, struct span line)
{
    struct sasl_link *l = r->server->link;

    await_answer(r);
    if (l && l->up) {
        sasl_link_send(l, line);
        return true;
    }
    r->line = malloc(line.len);
    if (!r->line)
        return false;
    memcpy(r->line, line.ptr, line.len);
    r->len = line.len;
    return true;
}

/* Whether a login has any hope now. */
static bool is_open(const struct sasl_server *s)
{
    if (s->closing || !s->path[0])
        return false;
    if (s->link && s->link->up)
        return sasl_link_has_room(s->link);
    return s->failures <= 1; /* the first attempt, or the first since it was lost */
}

static struct sasl_request *request_new(struct sasl_server *s, const char *mechanism,
                                        sasl_server_fn done, void *ctx)
{
    struct sasl_request *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->server = s;
    r->id = ++s->last_id;
    r->done = done;
    r->ctx = ctx;
    span_copy(span_of(mechanism), r->mechanism, sizeof r->mechanism);
    if (!s->requests)
        uv_timer_start(&s->patience, on_patience, PATIENCE_TICK_MS, PATIENCE_TICK_MS);
    DL_APPEND(s->requests, r);
    return r;
}

struct sasl_request *sasl_server_start(struct sasl_server *s, struct sasl_dovecot_request *ask,
                                       sasl_server_fn done, void *ctx)
{
    struct sasl_request *r = is_open(s) ? request_new(s, ask->mechanism, done, ctx) : NULL;
    char buf[SASL_DOVECOT_LINE_MAX];
    struct text t;

    if (!r) {
        done(ctx, &(struct session_auth_answer){
                      SESSION_AUTH_TROUBLE, {NULL, 0},
                       "", SASL_SERVER_AWAY
        });
        return NULL;
    }
    ask->id = r->id;
    text_init(&t, buf, sizeof buf);
    sasl_dovecot_put_auth(&t, ask);
    if (t.overflow || !send_or_keep(r, text_as_span(&t))) {
        fail(r);
        r = NULL;
    }
    explicit_bzero(buf, t.len);
    return r;
}

void sasl_server_next(struct sasl_request *r, struct span response)
{
    struct sasl_link *l = r->server->link;
    char buf[SASL_DOVECOT_LINE_MAX];
    struct text t;

    text_init(&t, buf, sizeof buf);
    sasl_dovecot_put_cont(&t, r->id, response);
    if (t.overflow || !l || !l->up || !sasl_link_has_room(l)) {
        explicit_bzero(buf, t.len);
        fail(r);
        return;
    }
    await_answer(r);
    sasl_link_send(l, text_as_span(&t));
    explicit_bzero(buf, t.len);
}

void sasl_server_cancel(struct sasl_request **r)
{
    struct sasl_request *old = *r;

    *r = NULL;
    if (!old)
        return;
    cancel_there(old);
    forget(old);
}

/* ---- the link ---- */

static void on_retry(uv_timer_t *timer)
{
    reconnect(timer->data);
}

static void reconnect(struct sasl_server *s)
{
    if (s->closing || s->link || !s->path[0])
        return;
    if (!sasl_link_open(s))
        sasl_server_lost(s, "out of memory");
}

static void say_up(struct sasl_server *s)
{
    if (s->failures > 0)
        log_info(s->log, "smtpd", "SASL: Dovecot auth socket '%s' is up again", s->path);
    s->failures = 0;
    s->why[0] = '\0';
    if (!s->up)
        s->since_s = clock_wall_us() / 1000000;
    s->up = s->tried = true;
}

/* Dovecot hangs up on a mechanism that it does not have, and on whoever else waits. */
void sasl_server_up(struct sasl_server *s)
{
    struct sasl_request *r, *next;

    say_up(s);
    s->mechanisms = s->link->engine.mechanisms;
    DL_FOREACH_SAFE(s->requests, r, next) {
        if (!r->line)
            continue;
        if (!sasl_mechanisms_find(&s->mechanisms, span_of(r->mechanism))) {
            fail(r);
            continue;
        }
        await_answer(r);
        sasl_link_send(s->link, span_make(r->line, r->len));
        wipe_line(r);
    }
}

void sasl_server_answer(struct sasl_server *s, enum sasl_dovecot_event event)
{
    const struct sasl_dovecot *d = &s->link->engine;
    struct sasl_request *r = find(s, d->id);
    struct session_auth_answer answer = {
        SESSION_AUTH_FAILED, {NULL, 0},
         d->user, d->reason
    };

    if (!r) /* it was cancelled */
        return;
    if (event == SASL_DOVECOT_CONT) {
        r->ours = true;
        answer = (struct session_auth_answer){SESSION_AUTH_MORE, d->challenge, "", ""};
        r->done(r->ctx, &answer);
        return;
    }
    if (event == SASL_DOVECOT_OK)
        answer.outcome = SESSION_AUTH_DONE;
    else if (d->trouble)
        answer.outcome = SESSION_AUTH_TROUBLE;
    finish(r, &answer);
}

static void say_lost(struct sasl_server *s, const char *why)
{
    if (s->failures == 0)
        log_warning(s->log, "smtpd",
                    s->up ? "SASL: connection to Dovecot auth socket '%s' lost: %s"
                          : "SASL: Connect to Dovecot auth socket '%s' failed: %s",
                    s->path, why);
    if (s->up || !s->tried)
        s->since_s = clock_wall_us() / 1000000;
    s->up = false;
    s->tried = true;
    span_copy(span_first(span_of(why), sizeof s->why - 1), s->why, sizeof s->why);
}

void sasl_server_lost(struct sasl_server *s, const char *why)
{
    struct sasl_link *l = s->link;
    bool was_up = s->up;

    say_lost(s, why);
    s->link = NULL;
    if (l)
        sasl_link_close(l);
    fail_all(s);
    if (!s->closing)
        uv_timer_start(
            &s->retry, on_retry,
            was_up ? 0 : retry_probe_ms(s->failures, SASL_SERVER_RETRY_MS, (uint32_t)uv_hrtime()),
            0);
    s->failures++;
}

/* ---- settings, beginning and end ---- */

static const char *wanted_path(const struct config *config)
{
    return config->sasl == SASL_BACK_END_DOVECOT ? config->smtpd_sasl_path : "";
}

/* Until Dovecot has said what it can. */
static void guess_mechanisms(struct sasl_server *s)
{
    s->mechanisms.count = 0;
    sasl_mechanisms_add(&s->mechanisms, SPAN_LIT("PLAIN"), SASL_PLAINTEXT);
    sasl_mechanisms_add(&s->mechanisms, SPAN_LIT("LOGIN"), SASL_PLAINTEXT);
}

void sasl_server_set_config(struct sasl_server *s, struct config *config)
{
    const char *path = wanted_path(config);

    s->config = config;
    if (strcmp(path, s->path) == 0)
        return;
    if (s->link)
        sasl_link_close(s->link);
    s->link = NULL;
    fail_all(s);
    span_copy(span_of(path), s->path, sizeof s->path);
    s->up = s->tried = false;
    s->failures = 0;
    s->why[0] = '\0';
    guess_mechanisms(s);
    uv_timer_start(&s->retry, on_retry, 0, 0);
}

void sasl_server_init(struct sasl_server *s)
{
    uv_timer_init(s->loop, &s->retry);
    uv_timer_init(s->loop, &s->patience);
    s->retry.data = s->patience.data = s;
    s->holds = 2;
    sasl_server_set_config(s, s->config);
}

void sasl_server_status(const struct sasl_server *s, struct status *out)
{
    if (!s->path[0])
        return;
    span_copy(span_of(s->path), out->logins.path, sizeof out->logins.path);
    out->logins.up = s->up;
    out->logins.known = s->tried;
    out->logins.since_s = s->since_s;
    span_copy(span_of(s->why), out->logins.why, sizeof out->logins.why);
}

void sasl_server_release(struct sasl_server *s)
{
    if (--s->holds == 0)
        s->on_closed(s->on_closed_ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    sasl_server_release(handle->data);
}

void sasl_server_close(struct sasl_server *s, void (*on_closed)(void *ctx), void *ctx)
{
    s->closing = true;
    s->on_closed = on_closed;
    s->on_closed_ctx = ctx;
    fail_all(s);
    uv_close((uv_handle_t *)&s->retry, on_timer_closed);
    uv_close((uv_handle_t *)&s->patience, on_timer_closed);
    if (s->link)
        sasl_link_close(s->link);
    s->link = NULL;
}
