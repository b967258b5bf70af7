/* verify - see verify.h */
#include "relay/verify.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#undef uthash_fatal
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct verify_entry {
    bool positive;
    unsigned code;
    char dsn[12];
    uint64_t asked_ms;
    char *why; /* owned, NULL when positive */
    UT_hash_handle hh;
    char key[]; /* "address destination" */
};

/* ---- memory ---- */

static bool make_key(const struct destination *d, const char *address, struct text *key)
{
    size_t at = span_find_last(span_of(address), '@');

    text_span(key, span_make(address, at));
    for (const char *p = address + at; *p;
         p++) /* domains compare without case, local parts with it */
        text_char(key, ascii_lower(*p));
    text_char(key, ' ');
    text_cstr(key, d->text);
    return !key->overflow;
}

static void entry_discard(struct verify_entry *e)
{
    free(e->why);
    free(e);
}

static void entry_free(struct verify *v, struct verify_entry *e)
{
    HASH_DEL(v->entries, e);
    entry_discard(e);
}

static struct verify_entry *entry_find(struct verify *v, struct span key)
{
    struct verify_entry *e = NULL;

    HASH_FIND(hh, v->entries, key.ptr, key.len, e);
    return e;
}

/* uthash iterates in the order of insertion: an entry that is used is inserted again, so the first
 * is the oldest. False: there was no memory for that (a hash that was empty meanwhile is made
 * anew), and the entry is the caller's. */
static bool entry_touch(struct verify *v, struct verify_entry *e)
{
    unsigned long len = strlen(e->key);

    HASH_DEL(v->entries, e);
    HASH_ADD_KEYPTR(hh, v->entries, e->key, len, e);
    return entry_find(v, span_make(e->key, len)) == e;
}

static void remember(struct verify *v, struct span key, bool positive, unsigned code,
                     const char *dsn, const char *why)
{
    struct verify_entry *e = entry_find(v, key);

    if (e)
        entry_free(v, e);
    while (v->entries && HASH_COUNT(v->entries) >= v->context->config->address_verify_cache_limit)
        entry_free(v, v->entries);
    e = calloc(1, sizeof *e + key.len + 1);
    if (!e)
        return; /* it is asked again next time */
    e->positive = positive;
    e->code = code;
    e->asked_ms = clock_mono_ms();
    memcpy(e->dsn, dsn, strnlen(dsn, sizeof e->dsn - 1));
    e->why = positive ? NULL : strdup(why);
    memcpy(e->key, key.ptr, key.len);
    HASH_ADD_KEYPTR(hh, v->entries, e->key, key.len, e);
    if (!entry_find(v, key)) /* the hash could not grow */
        entry_discard(e);
}

static bool younger(const struct verify_entry *e, uint64_t positive_ms, uint64_t negative_ms)
{
    return clock_mono_ms() - e->asked_ms < (e->positive ? positive_ms : negative_ms);
}

static void answer_remembered(struct verify_query *q, struct verify_entry *e)
{
    bool kept = entry_touch(q->verify, e);

    q->verify->remembered++;
    if (e->positive)
        q->done(q, VERIFY_ACCEPT, 250, "2.1.5", "");
    else
        q->done(q, VERIFY_REJECT, e->code, e->dsn, e->why ? e->why : "");
    if (!kept)
        entry_discard(e);
}

/* Nobody answers now: an older answer, or what the setting says. */
static void answer_without_upstream(struct verify_query *q, const char *dsn, const char *why)
{
    const struct config *c = q->verify->context->config;
    char buf[SMTP_ADDRESS_CAP + ROUTE_LIST_TEXT_CAP + 2];
    struct text key;
    struct verify_entry *e = NULL;

    text_init(&key, buf, sizeof buf);
    if (make_key(q->destination, q->address, &key))
        e = entry_find(q->verify, text_as_span(&key));
    if (e &&
        younger(e, c->address_verify_positive_expire_time, c->address_verify_negative_expire_time))
        answer_remembered(q, e);
    else if (c->unverified_recipient_action == UNVERIFIED_DEFER)
        q->done(q, VERIFY_DEFER, 451, dsn, why);
    else
        q->done(q, VERIFY_ACCEPT, 250, "2.1.5", "");
}

/* ---- the question ---- */

static struct verify_query *of_job(struct upstream_job *job)
{
    return (struct verify_query *)((char *)job - offsetof(struct verify_query, job));
}

static bool ask_next(struct verify_query *q);

static void query_over(struct verify_query *q)
{
    q->active = false;
    uv_timer_stop(&q->timer);
    envelope_free(&q->envelope);
}

/* Only kept: the session is not done with us before on_end. */
static void on_result(struct upstream_job *job, size_t position, enum client_blame blame,
                      enum client_step step, const struct smtp_reply *reply)
{
    struct verify_query *q = of_job(job);
    char buf[1400];
    struct text why;

    (void)position;
    text_init(&why, buf, sizeof buf);
    upstream_said(job, step, reply, &why);
    q->has_result = true;
    q->about_recipient = step == CLIENT_STEP_RCPT || blame == CLIENT_BLAME_NONE;
    q->blame = blame;
    q->code = reply->code;
    memcpy(q->dsn, reply->enhanced, sizeof q->dsn);
    free(q->why);
    q->why = strdup(buf);
}

static void remember_result(struct verify_query *q)
{
    char buf[SMTP_ADDRESS_CAP + ROUTE_LIST_TEXT_CAP + 2];
    struct text key;

    text_init(&key, buf, sizeof buf);
    if (q->blame != CLIENT_BLAME_NONE && !q->verify->context->config->address_verify_negative_cache)
        return;
    if (make_key(q->destination, q->address, &key))
        remember(q->verify, text_as_span(&key), q->blame == CLIENT_BLAME_NONE, q->code, q->dsn,
                 q->why ? q->why : "");
}

static void on_end(struct upstream_job *job, enum upstream_end end, const char *dsn,
                   const char *why)
{
    struct verify_query *q = of_job(job);
    const char *said = q->why ? q->why : "";

    if (end == UPSTREAM_END_BROKEN) /* out of step: the reply may have been another's */
        q->has_result = false;
    if (!q->has_result && end != UPSTREAM_END_FINISHED && ask_next(q))
        return;
    query_over(q);
    if (!q->has_result) {
        answer_without_upstream(q, dsn[0] ? dsn : "4.3.0", why);
        return;
    }
    if (!q->about_recipient || q->blame == CLIENT_BLAME_DESTINATION) {
        /* about the question (MAIL FROM:<>), or the destination's trouble */
        answer_without_upstream(q, "4.3.0", said);
        return;
    }
    if (q->blame != CLIENT_BLAME_LATER)
        remember_result(q);
    q->done(q,
            q->blame == CLIENT_BLAME_NONE    ? VERIFY_ACCEPT
            : q->blame == CLIENT_BLAME_LATER ? VERIFY_DEFER
                                             : VERIFY_REJECT,
            q->code, q->dsn, said);
}

static const struct upstream_job_events verify_job_events = {.on_result = on_result,
                                                             .on_end = on_end};

static void on_timeout(uv_timer_t *timer)
{
    struct verify_query *q = timer->data;

    if (!q->active)
        return;
    upstream_cancel(&q->job);
    query_over(q);
    upstream_probe(q->upstream); /* is it still there? */
    answer_without_upstream(q, "4.4.1", "the destination does not answer in time");
}

static bool fresh_answer(struct verify_query *q)
{
    const struct config *c = q->verify->context->config;
    char buf[SMTP_ADDRESS_CAP + ROUTE_LIST_TEXT_CAP + 2];
    struct text key;
    struct verify_entry *e = NULL;

    text_init(&key, buf, sizeof buf);
    if (make_key(q->destination, q->address, &key))
        e = entry_find(q->verify, text_as_span(&key));
    if (!e || !younger(e, c->address_verify_positive_refresh_time,
                       c->address_verify_negative_refresh_time))
        return false;
    answer_remembered(q, e);
    return true;
}

static void ask_target(struct verify_query *q, size_t target)
{
    q->tried |= 1u << target;
    q->upstream = q->destination->targets[target];
    q->job = (struct upstream_job){.events = &verify_job_events, .urgent = true};
    q->job.t.envelope = q->envelope;
    q->job.t.count = 1;
    q->job.t.probe_recipient = q->address;
    upstream_submit(q->upstream, &q->job);
}

/* A folder takes everybody, and cannot be asked. */
static bool can_ask(const struct verify_query *q, size_t target)
{
    return target < q->destination->count &&
           q->destination->targets[target]->route.kind != ROUTE_MAILDIR;
}

static bool ask_next(struct verify_query *q)
{
    size_t next = destination_pick(q->destination, q->tried);

    if (!can_ask(q, next))
        return false;
    ask_target(q, next);
    return true;
}

void verify_ask(struct verify_query *q, const struct destination *d, const char *address)
{
    size_t first = destination_pick(d, 0);

    free(q->address);
    q->address = strdup(address);
    q->destination = d;
    q->tried = 0;
    if (!q->address) {
        q->done(q, VERIFY_DEFER, 451, "4.3.0", "out of memory");
        return;
    }
    if (first == d->count)
        first = 0; /* all are down: it ends at once */
    if (!can_ask(q, first)) {
        q->done(q, VERIFY_ACCEPT, 250, "2.1.5", "");
        return;
    }
    if (fresh_answer(q))
        return;
    q->envelope = envelope_new();
    if (!q->envelope) {
        answer_without_upstream(q, "4.3.0", "out of memory");
        return;
    }
    q->verify->asked++;
    q->active = true;
    q->has_result = false;
    uv_timer_start(&q->timer, on_timeout, q->verify->context->config->verify_timeout, 0);
    ask_target(q, first);
}

/* ---- life ---- */

void verify_init(struct verify *v, struct upstream_context *context)
{
    *v = (struct verify){.context = context};
}

void verify_deinit(struct verify *v)
{
    while (v->entries)
        entry_free(v, v->entries); // NOLINT(clang-analyzer-*): it does not follow uthash's list
}

void verify_query_init(struct verify_query *q, struct verify *v)
{
    q->verify = v;
    uv_timer_init(v->context->loop, &q->timer);
    q->timer.data = q;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct verify_query *q = handle->data;

    free(q->address);
    free(q->why);
    q->address = q->why = NULL;
    q->on_closed(q);
}

void verify_cancel(struct verify_query *q)
{
    if (!q->active)
        return;
    upstream_cancel(&q->job);
    query_over(q);
}

void verify_query_close(struct verify_query *q, void (*on_closed)(struct verify_query *q))
{
    verify_cancel(q);
    q->on_closed = on_closed;
    uv_close((uv_handle_t *)&q->timer, on_timer_closed);
}
