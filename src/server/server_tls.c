/* server_tls - see server_tls.h */
#include "server/server_tls.h"

#include "base/clock.h"
#include "server/server_tls_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS      2000
#define DAY_MS        86400000
#define CACHE_ENTRIES 1000 /* of 100 bytes: sessions that may be resumed */

static void submit(struct server_tls *t, bool watch, bool make_rsa);

static bool is_wanted(const struct config *c)
{
    return c->smtpd_tls.level != SMTPD_TLS_NONE || c->smtpd_tls_wrappermode ||
           strcasestr(c->listen, ":smtps") ||
           strcasestr(c->listen,
                      ":submission"); /* TLS from the first byte is offered all the same */
}

/* ---- the job ---- */

static struct self_signed_names names_of(const struct config *c)
{
    return (struct self_signed_names){
        {c->myhostname, c->mydomain}
    };
}

/* Both names as one text; malloc'd. */
static char *names_text(const struct config *c)
{
    size_t cap = strlen(c->myhostname) + strlen(c->mydomain) + 2;
    char *text = malloc(cap);
    struct text t;

    if (!text)
        return NULL;
    text_init(&t, text, cap);
    text_printf(&t, "%s %s", c->myhostname, c->mydomain);
    return text;
}

static bool names_equal(const struct server_tls *t, const struct config *c)
{
    char *text = names_text(c);
    bool equal = text && t->names && strcmp(text, t->names) == 0;

    free(text);
    return equal;
}

/* Asks for the pair of this kind, unless we have it. */
static void get_self_signed(struct server_tls_job *j, int which, bool make)
{
    struct self_signed_order *o = &j->orders[which];

    if (j->load.self_signed[which])
        return;
    *o = (struct self_signed_order){.directory = j->config->queue_directory,
                                    .kind = which == SELF_SIGNED_RSA ? KEY_RSA : KEY_EC,
                                    .names = names_of(j->config),
                                    .now_s = clock_wall_us() / 1000000,
                                    .make = make};
    j->asked[which] = true;
    self_signed_get(o);
    j->load.self_signed[which] = o->pem;
}

/* On a lane, or before the loop runs. The owner's set and texts stay as they are meanwhile. */
static void work(struct lane_job *job)
{
    struct server_tls_job *j = (struct server_tls_job *)job;
    const struct server_tls *t = j->owner;

    if (j->watch && t->set && !tls_files_changed(t->set)) {
        j->unchanged = true;
        return;
    }
    j->load.config = j->config;
    j->load.previous = t->set;
    for (int i = 0; i < SELF_SIGNED_COUNT && names_equal(t, j->config); i++)
        j->load.self_signed[i] = t->self_signed[i];
    if (j->make_rsa)
        get_self_signed(j, SELF_SIGNED_RSA, true);
    j->rc = tls_files_load(&j->load);
    if (j->rc != -ENOENT)
        return;
    get_self_signed(j, SELF_SIGNED_EC, true);
    get_self_signed(j, SELF_SIGNED_RSA, false);
    j->rc = tls_files_load(&j->load);
}

static struct server_tls_job *job_new(struct server_tls *t, bool watch, bool make_rsa)
{
    struct server_tls_job *j = calloc(1, sizeof *j);

    if (!j)
        return NULL;
    j->job.work = work;
    j->owner = t;
    j->config = config_ref(t->config);
    j->watch = watch;
    j->make_rsa = make_rsa;
    return j;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void job_free(struct server_tls_job *j)
{
    for (int i = 0; i < SELF_SIGNED_COUNT; i++)
        wipe(j->orders[i].pem);
    tls_set_free(j->load.set);
    config_unref(&j->config);
    free(j);
}

/* ---- its outcome ---- */

/* The texts of self-signed pairs are kept: they are what is loaded again. */
static void take_self_signed(struct server_tls *t, struct server_tls_job *j)
{
    if (!j->asked[SELF_SIGNED_RSA] && !j->asked[SELF_SIGNED_EC])
        return;
    if (!names_equal(t, j->config)) {
        for (int i = 0; i < SELF_SIGNED_COUNT; i++) {
            wipe(t->self_signed[i]);
            t->self_signed[i] = NULL;
        }
        free(t->names);
        t->names = names_text(j->config);
    }
    for (int i = 0; i < SELF_SIGNED_COUNT; i++) {
        if (!j->orders[i].pem)
            continue;
        wipe(t->self_signed[i]);
        t->self_signed[i] = j->orders[i].pem;
        j->orders[i].pem = NULL;
    }
}

static bool has_fresh(const struct tls_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->fresh[i])
            return true;
    }
    return false;
}

static void show(struct server_tls *t)
{
    const struct smtpd_tls *s = &t->config->smtpd_tls;
    struct tls_policy policy = {.min_version = s->min_version,
                                .max_version = s->max_version,
                                .medium = s->medium,
                                .cache_entries = CACHE_ENTRIES};
    struct errbuf err = {""};
    struct tls_server *next = tls_server_new(&policy, credentials_ref(t->set->credentials), &err);

    if (!next) {
        server_tls_tell(t, LOG_SEVERITY_ERROR, "TLS: %s; %s", err.text,
                        t->current ? "the certificates of before stay in use"
                                   : "clients are not offered TLS");
        return;
    }
    tls_server_unref(t->current);
    t->current = next;
}

/* A change that was seen before all files were written is looked at once more before it is told. */
static bool is_half_done(struct server_tls *t, const struct server_tls_job *j)
{
    bool half = j->watch && !t->retrying && t->set && j->load.trouble.text[0];

    t->retrying = half;
    return half;
}

static void take_set(struct server_tls *t, struct server_tls_job *j)
{
    bool told = t->trouble.text[0] && strcmp(t->trouble.text, j->load.trouble.text) == 0;

    t->trouble = j->load.trouble;
    if (j->load.set) {
        bool fresh = !t->current || !j->watch || has_fresh(j->load.set);

        tls_set_free(t->set);
        t->set = j->load.set;
        j->load.set = NULL;
        if (fresh)
            show(t);
    }
    server_tls_say(t, j, told && (j->watch || j->make_rsa));
    if (j->rc == 0)
        server_tls_say_expiry(t, !j->watch || has_fresh(t->set));
}

static uint64_t interval_ms(const struct server_tls *t)
{
    return t->config->tls_reload_interval;
}

static void on_timer(uv_timer_t *timer);

/* Also without looking at files: something may expire. */
static void schedule(struct server_tls *t)
{
    uint64_t ms = interval_ms(t) > 0 ? interval_ms(t) : DAY_MS;

    if (!t->on_closed && is_wanted(t->config))
        uv_timer_start(&t->timer, on_timer, t->retrying ? RETRY_MS : ms, 0);
}

static void finish(struct server_tls *t, struct server_tls_job *j)
{
    bool rsa_missing;

    take_self_signed(t, j);
    if (!j->unchanged && !is_half_done(t, j))
        take_set(t, j);
    rsa_missing = !j->unchanged && t->set && t->set->files[0][0] == '\0' &&
                  !t->self_signed[SELF_SIGNED_RSA] && !j->make_rsa;
    job_free(j);
    if (rsa_missing)
        submit(t, false, true);
    else
        schedule(t);
}

static void drop(struct server_tls *t)
{
    tls_server_unref(t->current);
    t->current = NULL;
    tls_set_free(t->set);
    t->set = NULL;
    t->trouble.text[0] = '\0';
    t->retrying = false;
}

static void free_all(struct server_tls *t)
{
    drop(t);
    for (int i = 0; i < SELF_SIGNED_COUNT; i++) {
        wipe(t->self_signed[i]);
        t->self_signed[i] = NULL;
    }
    free(t->names);
    t->names = NULL;
    config_unref(&t->config);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct server_tls *t = handle->data;

    free_all(t);
    t->on_closed(t->on_closed_ctx);
}

static void on_done(struct lane_job *job)
{
    struct server_tls_job *j = (struct server_tls_job *)job;
    struct server_tls *t = j->owner;

    t->job = NULL;
    if (t->on_closed) {
        job_free(j);
        uv_close((uv_handle_t *)&t->timer, on_timer_closed);
    } else if (t->again) { /* what it read is for the settings of before */
        t->again = false;
        take_self_signed(t, j);
        job_free(j);
        submit(t, false, false);
    } else {
        finish(t, j);
    }
}

/* ---- when it is done ---- */

static void submit(struct server_tls *t, bool watch, bool make_rsa)
{
    uv_timer_stop(&t->timer);
    if (!is_wanted(t->config)) {
        drop(t);
        return;
    }
    t->job = job_new(t, watch, make_rsa);
    if (!t->job) {
        server_tls_tell(t, LOG_SEVERITY_WARNING, "no memory to read certificates");
        schedule(t);
        return;
    }
    t->job->job.done = on_done;
    lane_submit(make_rsa ? t->heavy : t->disk, &t->job->job);
}

static void on_timer(uv_timer_t *timer)
{
    struct server_tls *t = timer->data;

    if (t->set)
        server_tls_say_expiry(t, false);
    if (interval_ms(t) == 0)
        schedule(t);
    else
        submit(t, true, false);
}

int server_tls_start(struct server_tls *t, struct config *config, struct errbuf *err)
{
    struct server_tls_job *j;

    t->config = config_ref(config);
    uv_timer_init(t->loop, &t->timer);
    t->timer.data = t;
    if (is_wanted(config)) {
        j = job_new(t, false, false);
        if (!j)
            return errbuf_set(err, -ENOMEM, "no memory to read certificates");
        work(&j->job);
        finish(t, j);
    }
    t->started = true;
    return 0;
}

struct tls_server *server_tls_current(const struct server_tls *t)
{
    return t ? t->current : NULL;
}

void server_tls_set_config(struct server_tls *t, struct config *config)
{
    config_ref(config);
    config_unref(&t->config);
    t->config = config;
    t->retrying = false;
    if (t->job)
        t->again = true;
    else
        submit(t, false, false);
}

void server_tls_check(struct config *config, config_note_fn note, void *note_ctx)
{
    struct server_tls t = {.config = config, .note = note, .note_ctx = note_ctx};
    struct server_tls_job *j;

    if (!is_wanted(config))
        return;
    j = job_new(&t, false, false);
    if (!j)
        return; /* a start would say it */
    j->load.config = config;
    if (!tls_files_configured(config)) {
        get_self_signed(j, SELF_SIGNED_EC, false);
        get_self_signed(j, SELF_SIGNED_RSA, false);
    }
    memset(j->asked, 0, sizeof j->asked); /* about those nothing is said */
    j->rc = tls_files_load(&j->load);
    t.set = j->load.set;
    server_tls_say_check(&t, j);
    job_free(j);
}

void server_tls_close(struct server_tls *t, void (*on_closed)(void *ctx), void *ctx)
{
    t->on_closed = on_closed;
    t->on_closed_ctx = ctx;
    uv_timer_stop(&t->timer);
    if (!t->job)
        uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}
