/* tls_server - see tls_server.h; which certificate and suite a client gets: tls_server_policy.c */
#include "tls/tls_server.h"

#include "tls/credentials.h"
#include "tls/tls_cache.h"
#include "tls/tls_profile.h"
#include "tls/tls_server_policy.h"
#include "tls/tls_session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/*
 * Our records are of 4 KB: replies are short, and 12 KB less are kept for each client. A client may
 * send records of 16 KB, as TLS allows.
 */
#define OUT_LEN (4096 + (BR_SSL_BUFSIZE_OUTPUT - 16384))

struct tls_server {
    unsigned references;
    struct tls_policy policy;
    struct credentials *credentials; /* a reference */
    struct tls_cache *cache;         /* owned; NULL: no resumption */
};

struct server_session {
    struct tls_session base;   /* first */
    struct tls_server *server; /* a reference */
    br_ssl_server_context context;
    struct tls_server_policy policy;
    unsigned char in[BR_SSL_BUFSIZE_INPUT];
    unsigned char out[OUT_LEN];
};

struct tls_server *tls_server_new(const struct tls_policy *policy, struct credentials *credentials,
                                  struct errbuf *err)
{
    struct tls_server *s = calloc(1, sizeof *s);
    unsigned char byte;

    if (s && policy->cache_entries > 0)
        s->cache = tls_cache_new(policy->cache_entries);
    if (!s || (policy->cache_entries > 0 && !s->cache)) {
        free(s);
        credentials_unref(credentials);
        errbuf_set(err, -ENOMEM, "no memory for TLS");
        return NULL;
    }
    s->references = 1;
    s->policy = *policy;
    s->credentials = credentials;
    if (getrandom(&byte, sizeof byte, 0) != sizeof byte) {
        errbuf_set(err, -errno, "no entropy for TLS: the kernel's getrandom() fails");
        tls_server_unref(s);
        return NULL;
    }
    return s;
}

struct tls_server *tls_server_ref(struct tls_server *s)
{
    s->references++;
    return s;
}

void tls_server_unref(struct tls_server *s)
{
    if (!s || --s->references > 0)
        return;
    tls_cache_free(s->cache);
    credentials_unref(s->credentials);
    free(s);
}

static void on_opened(struct tls_session *t)
{
    const struct server_session *s = (const struct server_session *)t;

    t->facts.resumed = !s->policy.chosen; /* the policy is asked in full handshakes only */
    t->facts.trust = TLS_TRUST_ANONYMOUS;
}

static const char *no_words(const struct tls_session *t)
{
    return "";
}

static void on_release(struct tls_session *t)
{
    tls_server_unref(((struct server_session *)t)->server);
}

static const struct tls_role role = {.opened = on_opened, .why = no_words, .release = on_release};

struct tls_session *tls_server_session(struct tls_server *s)
{
    struct server_session *t = calloc(1, sizeof *t);
    br_ssl_engine_context *engine;

    if (!t)
        return NULL;
    engine = &t->context.eng;
    t->base.role = &role;
    t->base.engine = engine;
    t->base.size = sizeof *t;
    t->server = tls_server_ref(s);
    br_ssl_server_zero(&t->context);
    tls_profile_apply(engine, &s->policy);
    tls_server_policy_init(&t->policy, s->credentials);
    br_ssl_server_set_policy(&t->context, &t->policy.vtable);
    if (s->cache)
        br_ssl_server_set_cache(&t->context, tls_cache_class(s->cache));
    br_ssl_engine_set_buffers_bidi(engine, t->in, sizeof t->in, t->out, sizeof t->out);
    if (!tls_profile_seed(engine) || !br_ssl_server_reset(&t->context)) {
        tls_session_free(&t->base);
        return NULL;
    }
    /* Else the alert "protocol version" is in a record of version 0, which no client knows. */
    engine->version_out = BR_TLS10;
    return &t->base;
}
