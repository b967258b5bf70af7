/* tls_client - see tls_client.h */
#include "tls/tls_client.h"

#include "base/clock.h"
#include "tls/tls_anchors.h"
#include "tls/tls_profile.h"
#include "tls/tls_session_internal.h"
#include "tls/tls_validator.h"

#include <errno.h>
#include <stdlib.h>

struct tls_client {
    unsigned references;
    struct tls_policy policy;
    struct tls_anchors *anchors; /* a reference; may be NULL */
};

struct client_session {
    struct tls_session base;   /* first */
    struct tls_client *client; /* a reference */
    br_ssl_client_context context;
    struct tls_validator validator;
    unsigned char in[BR_SSL_BUFSIZE_INPUT];
    unsigned char out[BR_SSL_BUFSIZE_OUTPUT];
};

struct tls_client *tls_client_new(const struct tls_policy *policy, struct tls_anchors *anchors,
                                  struct errbuf *err)
{
    struct tls_client *c = calloc(1, sizeof *c);

    if (!c) {
        tls_anchors_unref(anchors);
        errbuf_set(err, -ENOMEM, "no memory for TLS");
        return NULL;
    }
    *c = (struct tls_client){.references = 1, .policy = *policy, .anchors = anchors};
    return c;
}

struct tls_client *tls_client_ref(struct tls_client *c)
{
    c->references++;
    return c;
}

void tls_client_unref(struct tls_client *c)
{
    if (!c || --c->references > 0)
        return;
    tls_anchors_unref(c->anchors);
    free(c);
}

static struct client_session *session_of(struct tls_session *t)
{
    return (struct client_session *)t;
}

static void on_opened(struct tls_session *t)
{
    struct client_session *s = session_of(t);

    t->facts.trust = tls_validator_trust(&s->validator);
    tls_validator_rest(&s->validator);
}

static const char *why(const struct tls_session *t)
{
    const struct client_session *s = (const struct client_session *)t;
    int error = br_ssl_engine_last_error(t->engine);
    bool its_own = error >= BR_ERR_X509_OK && error < BR_ERR_RECV_FATAL_ALERT;

    return its_own ? tls_validator_error(&s->validator) : "";
}

static void on_release(struct tls_session *t)
{
    tls_validator_rest(&session_of(t)->validator);
    tls_client_unref(session_of(t)->client);
}

static const struct tls_role role = {.opened = on_opened, .why = why, .release = on_release};

struct tls_session *tls_client_session(struct tls_client *c, const struct tls_wanted *wanted)
{
    struct client_session *t = calloc(1, sizeof *t);
    br_ssl_engine_context *engine;

    if (!t)
        return NULL;
    engine = &t->context.eng;
    t->base.role = &role;
    t->base.engine = engine;
    t->base.size = sizeof *t;
    t->client = tls_client_ref(c);
    br_ssl_client_zero(&t->context);
    tls_profile_apply(engine, &c->policy);
    br_ssl_engine_set_x509(engine, &t->validator.vtable);
    br_ssl_engine_set_buffers_bidi(engine, t->in, sizeof t->in, t->out, sizeof t->out);
    if (tls_validator_init(&t->validator, c->anchors, wanted, clock_wall_us() / 1000000) < 0 ||
        !tls_profile_seed(engine) || !br_ssl_client_reset(&t->context, wanted->sni, 0)) {
        tls_session_free(&t->base);
        return NULL;
    }
    return &t->base;
}
