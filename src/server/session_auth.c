/*
 * session_auth - AUTH (RFC 4954): who may log in here, the dialogue, and how it ends; see
 * session_internal.h
 *
 *     READY --AUTH--> busy --334--> AUTH --line--> busy --334--> ...   235, 535, 454, 501: READY
 *
 * Texts and their order are those of Postfix's smtpd. The command line has its usual limit: who has
 * more to say leaves the initial response out and says it in the next line, which may have
 * smtpd_sasl_response_limit bytes (RFC 4954 4).
 *
 * Whatever the client says is overwritten once the back end has it, or the dialogue is over.
 * Limits: AUTH_STEPS_MAX lines; one buffer of that size for each client that logs in.
 */
#include "server/session_internal.h"

#include <stdlib.h>
#include <string.h>

#define AUTH_STEPS_MAX 32
#define RESPONSE_MIN   512 /* of its buffer, which grows */
#define REASON_NONE    "(reason unavailable)"
#define LOGIN_NONE     "(unavailable)"

struct session_auth {
    char method[SASL_NAME_CAP];
    unsigned steps;
    bool overflow; /* the line is longer than it may be; what is more is swallowed */
    bool no_memory;
    char *response; /* owned: the line under way */
    size_t len;
    size_t cap;
};

/* --- who may --- */

static bool is_enabled(const struct session *s)
{
    return !s->no_tls && (s->submission || s->config->smtpd_sasl_auth_enable) &&
           !session_is_listed(s->ehlo_discarded, SPAN_LIT("AUTH")) &&
           s->ops->auth_mechanisms(s->ctx) != NULL;
}

static bool needs_tls(const struct session *s)
{
    return !s->tls && (s->submission || s->config->smtpd_tls_auth_only);
}

static bool may_offer(const struct session *s, const struct sasl_mechanism *m)
{
    return sasl_may_offer(m, &s->config->sasl_options[s->tls != NULL],
                          span_of(s->config->smtpd_sasl_mechanism_filter));
}

bool session_put_mechanisms(const struct session *s, struct text *t)
{
    const struct sasl_mechanisms *all;
    bool any = false;

    if (!is_enabled(s) || needs_tls(s))
        return false;
    all = s->ops->auth_mechanisms(s->ctx);
    for (size_t i = 0; i < all->count; i++) {
        if (!may_offer(s, &all->items[i]))
            continue;
        text_printf(t, "%s%s", any ? " " : "", all->items[i].name);
        any = true;
    }
    return any;
}

bool session_wants_auth(struct session *s)
{
    if (!s->submission || s->login)
        return false;
    session_reject(s, "MAIL", NULL, NULL, "530 5.7.0 Authentication required");
    session_done(s);
    return true;
}

/* --- the end --- */

static void wipe_response(struct session_auth *auth)
{
    if (auth->response)
        explicit_bzero(auth->response, auth->cap);
    free(auth->response);
    auth->response = NULL;
    auth->len = auth->cap = 0;
}

static void auth_free(struct session *s)
{
    if (s->auth)
        wipe_response(s->auth);
    free(s->auth);
    s->auth = NULL;
}

void session_auth_forget(struct session *s)
{
    if (!s->auth)
        return;
    s->ops->auth_cancel(s->ctx);
    auth_free(s);
}

/* After the last reply. */
static void end_auth(struct session *s)
{
    auth_free(s);
    if (s->state == SESSION_AUTH)
        session_enter(s, SESSION_READY);
    session_done(s);
}

static void fail(struct session *s, const char *method, const char *reason, const char *login,
                 bool trouble)
{
    const char *words = reason[0] ? reason : REASON_NONE;

    session_log_connect(s);
    log_auth_failed(s->log, &s->peer, method, words, login[0] ? login : LOGIN_NONE);
    if (trouble)
        session_reply(s, "454 4.7.0 Temporary authentication failure: %s", words);
    else
        session_reply(s, "535 5.7.8 Error: authentication failed: %s", words);
    end_auth(s);
}

/* The dialogue is over before the back end said so. */
static void give_up(struct session *s, const char *reason, bool trouble)
{
    char method[SASL_NAME_CAP];

    memcpy(method, s->auth->method, sizeof method);
    session_auth_forget(s);
    fail(s, method, reason, "", trouble);
}

static void succeed(struct session *s, const char *user)
{
    s->login = calloc(1, sizeof *s->login);
    if (!s->login) {
        fail(s, s->auth->method, "out of memory", user, true);
        return;
    }
    memcpy(s->login->method, s->auth->method, sizeof s->login->method);
    span_copy(span_of(user), s->login->user, sizeof s->login->user);
    session_reply(s, "235 2.7.0 Authentication successful");
    end_auth(s);
}

/* --- the back end's answers --- */

static bool is_login(const char *user)
{
    struct span s = span_of(user);

    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_control(s.ptr[i]))
            return false;
    }
    return s.len > 0 && s.len < SASL_LOGIN_CAP;
}

static void take_answer(struct session *s, const struct session_auth_answer *a)
{
    char method[SASL_NAME_CAP];

    memcpy(method, s->auth->method, sizeof method); /* good until fail() has ended it */
    switch (a->outcome) {
    case SESSION_AUTH_MORE:
        if (a->challenge.len > SESSION_CHALLENGE_MAX || !sasl_is_base64(a->challenge)) {
            give_up(s, "Authentication backend error", true);
            return;
        }
        session_enter(s, SESSION_AUTH);
        session_reply(s, "334 %.*s", (int)a->challenge.len,
                      a->challenge.len > 0 ? a->challenge.ptr : "");
        s->wait_fresh = true;
        return;
    case SESSION_AUTH_DONE:
        if (is_login(a->login))
            succeed(s, a->login);
        else
            fail(s, method, "Authentication backend error", "", true);
        return;
    case SESSION_AUTH_FAILED:
        fail(s, method, a->reason, a->login, false);
        return;
    case SESSION_AUTH_TROUBLE:
        fail(s, method, a->reason, a->login, true);
        return;
    }
}

void session_auth_answer(struct session *s, const struct session_auth_answer *answer)
{
    if (!s->auth || !session_take_answer(s, SESSION_BUSY_AUTH))
        return;
    take_answer(s, answer);
    session_answered(s);
}

/* --- AUTH --- */

static bool refuse_order(struct session *s, const struct smtp_command *c)
{
    if (session_wants_helo(s))
        return true;
    if (!is_enabled(s))
        session_reply(s, "503 5.5.1 Error: authentication not enabled");
    else if (needs_tls(s))
        session_reply(s, "504 5.5.4 Encryption required for requested authentication mechanism");
    else if (!s->esmtp)
        session_reply(s, "503 5.5.1 Error: send EHLO first");
    else if (s->envelope || s->state != SESSION_READY)
        session_reply(s, "503 5.5.1 Error: MAIL transaction in progress");
    else if (s->login)
        session_reply(s, "503 5.5.1 Error: already authenticated");
    else if (session_over_rate(s, SESSION_EVENT_AUTH, s->config->smtpd_client_auth_rate_limit))
        ; /* it was told */
    else
        return false;
    session_done(s);
    return true;
}

/* "PLAIN", "PLAIN =" or "PLAIN cmVzcG9uc2U="; false: none of them. */
static bool parse_args(struct span args, struct span *mechanism_out,
                       struct session_auth_request *request)
{
    struct span more;

    if (!span_next_word(&args, " \t", mechanism_out))
        return false;
    request->has_initial = span_next_word(&args, " \t", &request->initial);
    if (span_equal(request->initial, SPAN_LIT("=")))
        request->initial.len = 0;
    return !span_next_word(&args, " \t", &more);
}

static void refuse_mechanism(struct session *s, struct span name, const char *reason)
{
    char method[SASL_NAME_CAP];
    struct text t;

    text_init(&t, method, sizeof method);
    text_printable_max(&t, name, sizeof method - 1);
    fail(s, method, reason, "", false);
}

static void start(struct session *s, const struct session_auth_request *request)
{
    s->auth = calloc(1, sizeof *s->auth);
    if (!s->auth) {
        session_reply(s, "454 4.7.0 Temporary authentication failure: out of memory");
        session_done(s);
        return;
    }
    span_copy(span_of(request->mechanism), s->auth->method, sizeof s->auth->method);
    s->busy = SESSION_BUSY_AUTH;
    s->ops->auth_start(s->ctx, request);
}

void session_auth(struct session *s, const struct smtp_command *c)
{
    struct session_auth_request request = {.service = "smtp", .secured = s->tls != NULL};
    const struct sasl_mechanism *m;
    struct span name = SPAN_LIT("");

    if (refuse_order(s, c))
        return;
    if (!parse_args(c->args, &name, &request)) {
        session_reply(s, "501 5.5.4 Syntax: AUTH mechanism");
        session_done(s);
        return;
    }
    m = sasl_mechanisms_find(s->ops->auth_mechanisms(s->ctx), name);
    if (!m || !may_offer(s, m)) {
        refuse_mechanism(s, name, "Invalid authentication mechanism");
    } else if (!sasl_is_base64(request.initial)) {
        refuse_mechanism(s, name, "Invalid base64 data in initial response");
    } else {
        request.mechanism = m->name;
        start(s, &request);
    }
}

/* --- what the client says to a challenge --- */

/* False: it does not fit. */
static bool grow_response(struct session_auth *auth, size_t need, size_t limit)
{
    size_t cap = auth->cap > 0 ? 2 * auth->cap : RESPONSE_MIN;
    char *bigger;

    if (need > limit)
        return false;
    while (cap < need)
        cap *= 2;
    bigger = malloc(cap); /* not realloc, which would leave the old one as it is */
    if (!bigger) {
        auth->no_memory = true;
        return false;
    }
    if (auth->len > 0)
        memcpy(bigger, auth->response, auth->len);
    need = auth->len;
    wipe_response(auth);
    auth->response = bigger;
    auth->len = need;
    auth->cap = cap;
    return true;
}

static void keep_response(struct session_auth *auth, struct span part, size_t limit)
{
    if (part.len == 0 || auth->overflow)
        return;
    if (auth->len + part.len > auth->cap && !grow_response(auth, auth->len + part.len, limit)) {
        auth->overflow = true;
        return;
    }
    if (auth->len + part.len > limit) {
        auth->overflow = true;
        return;
    }
    memcpy(auth->response + auth->len, part.ptr, part.len);
    auth->len += part.len;
}

static void refuse_long_response(struct session *s)
{
    if (s->auth->no_memory) {
        give_up(s, "out of memory", true);
        return;
    }
    session_auth_forget(s);
    session_reply(s, "500 5.5.6 SASL response limit exceeded");
    end_auth(s);
}

static void abort_dialogue(struct session *s)
{
    session_log_connect(s);
    log_auth_aborted(s->log, &s->peer, s->auth->method);
    session_auth_forget(s);
    session_reply(s, "501 5.7.0 Authentication aborted");
    end_auth(s);
}

/* The buffer leaves the dialogue first: the answer may end that before auth_next() returns. */
static void pass_on(struct session *s, size_t len)
{
    struct session_auth taken = *s->auth;

    s->auth->response = NULL;
    s->auth->len = s->auth->cap = 0;
    s->auth->steps++;
    s->busy = SESSION_BUSY_AUTH;
    s->ops->auth_next(s->ctx, span_make(taken.response, len));
    wipe_response(&taken);
}

static void take_response(struct session *s)
{
    struct session_auth *auth = s->auth;
    bool cr = auth->len > 0 && auth->response[auth->len - 1] == '\r';
    struct span line = span_make(auth->response, auth->len - (cr ? 1 : 0));

    s->all_lf = s->all_lf && !cr && !auth->overflow;
    s->wait_fresh = true;
    session_log_response(s);
    if (auth->overflow)
        refuse_long_response(s);
    else if (span_equal(line, SPAN_LIT("*")))
        abort_dialogue(s);
    else if (!sasl_is_base64(line))
        give_up(s, "Invalid base64 data in continued response", false);
    else if (auth->steps == AUTH_STEPS_MAX)
        give_up(s, "too many steps", false);
    else
        pass_on(s, line.len);
}

bool session_auth_step(struct session *s, struct span *in)
{
    size_t end_at = span_find(*in, '\n');
    bool whole = end_at < in->len;

    /* the line end is no part of what is limited */
    keep_response(s->auth, span_first(*in, end_at),
                  (size_t)s->config->smtpd_sasl_response_limit + 1);
    *in = span_from(*in, end_at + (whole ? 1 : 0));
    if (whole)
        take_response(s);
    return whole;
}
