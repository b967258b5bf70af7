/* tls_cache - see tls_cache.h */
#include "tls/tls_cache.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tls_cache {
    const br_ssl_session_cache_class *vtable; /* first: the engine casts */
    pthread_mutex_t lock;
    br_ssl_session_cache_lru lru;
    uint64_t since_ms;
    size_t store_len;
    unsigned char store[];
};

/* The engine hands back the address of the vtable. */
static struct tls_cache *cache_of(const br_ssl_session_cache_class **ctx)
{
    return (struct tls_cache *)(void *)ctx;
}

static void forget(struct tls_cache *c)
{
    explicit_bzero(c->store, c->store_len);
    br_ssl_session_cache_lru_init(&c->lru, c->store, c->store_len);
    c->since_ms = clock_mono_ms();
}

static void forget_when_old(struct tls_cache *c)
{
    if (clock_mono_ms() - c->since_ms >= TLS_CACHE_PERIOD_S * 1000)
        forget(c);
}

static void on_save(const br_ssl_session_cache_class **ctx, br_ssl_server_context *server,
                    const br_ssl_session_parameters *parameters)
{
    struct tls_cache *c = cache_of(ctx);

    pthread_mutex_lock(&c->lock);
    forget_when_old(c);
    c->lru.vtable->save(&c->lru.vtable, server, parameters);
    pthread_mutex_unlock(&c->lock);
}

static int on_load(const br_ssl_session_cache_class **ctx, br_ssl_server_context *server,
                   br_ssl_session_parameters *parameters)
{
    struct tls_cache *c = cache_of(ctx);
    int found;

    pthread_mutex_lock(&c->lock);
    forget_when_old(c);
    found = c->lru.vtable->load(&c->lru.vtable, server, parameters);
    pthread_mutex_unlock(&c->lock);
    return found;
}

static const br_ssl_session_cache_class class = {
    .context_size = sizeof(struct tls_cache), .save = on_save, .load = on_load};

struct tls_cache *tls_cache_new(unsigned entries)
{
    size_t store_len = (size_t)entries * TLS_CACHE_ENTRY_LEN;
    struct tls_cache *c = calloc(1, sizeof *c + store_len);

    if (!c)
        return NULL;
    if (pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c);
        return NULL;
    }
    c->vtable = &class;
    c->store_len = store_len;
    forget(c);
    return c;
}

void tls_cache_free(struct tls_cache *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    explicit_bzero(c, sizeof *c + c->store_len);
    free(c);
}

const br_ssl_session_cache_class **tls_cache_class(struct tls_cache *c)
{
    return &c->vtable;
}
