/* dns_cache - see dns_cache.h */
#include "net/dns_cache.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define KEY_CAP 300

struct dns_cache_entry {
    char key[KEY_CAP]; /* "0 example.org" */
    uint64_t until_ms;
    struct dns_answer answer;
    UT_hash_handle hh;
};

static bool make_key(enum dns_question question, const char *name, char key[KEY_CAP])
{
    struct text t;

    text_init(&t, key, KEY_CAP);
    text_u64(&t, (uint64_t)question);
    text_char(&t, ' ');
    for (const char *c = name; *c; c++)
        text_char(&t, ascii_lower(*c));
    return !t.overflow;
}

static void drop(struct dns_cache *c, struct dns_cache_entry *e)
{
    HASH_DEL(c->entries, e); // NOLINT(clang-analyzer-*): it does not follow uthash's list
    free(e);
}

static struct dns_cache_entry *find(const struct dns_cache *c, const char *key)
{
    struct dns_cache_entry *e = NULL;

    HASH_FIND_STR(c->entries, key, e);
    return e;
}

const struct dns_answer *dns_cache_find(struct dns_cache *c, enum dns_question question,
                                        const char *name, uint64_t now_ms)
{
    char key[KEY_CAP];
    struct dns_cache_entry *e = make_key(question, name, key) ? find(c, key) : NULL;

    if (!e)
        return NULL;
    if (now_ms < e->until_ms)
        return &e->answer;
    drop(c, e);
    return NULL;
}

void dns_cache_keep(struct dns_cache *c, enum dns_question question, const char *name,
                    const struct dns_answer *answer, uint64_t now_ms)
{
    struct dns_cache_entry *e = calloc(1, sizeof *e);
    struct dns_cache_entry *old;

    if (!e || !make_key(question, name, e->key)) {
        free(e);
        return;
    }
    old = find(c, e->key);
    if (old)
        drop(c, old);
    if (HASH_COUNT(c->entries) >= DNS_CACHE_MAX)
        drop(c, c->entries);
    e->answer = *answer;
    e->until_ms =
        now_ms + (answer->found == DNS_TROUBLE ? DNS_CACHE_TROUBLE_MS : DNS_CACHE_KEEP_MS);
    HASH_ADD_STR(c->entries, key, e);
    if (find(c, e->key) != e)
        free(e);
}

void dns_cache_free(struct dns_cache *c)
{
    struct dns_cache_entry *e, *next;

    HASH_ITER(hh, c->entries, e, next)
        drop(c, e);
}
