/*
 * dns_cache - answers to questions of policy, kept for a short time; pure
 *
 * A message with many recipients asks the same each time; so does a client that comes back. A
 * minute is shorter than what block lists and zones ask for, so their own times to live need not be
 * known. Trouble is kept for ten seconds: a dead list costs a message one wait, not one for each
 * recipient.
 *
 * Limits: DNS_CACHE_MAX answers; the oldest goes first. Owns: all entries. Out of memory: nothing
 * is kept.
 */
#ifndef MXGATE_NET_DNS_CACHE_H
#define MXGATE_NET_DNS_CACHE_H

#include "net/dns_answer.h"

#include <stdint.h>

#define DNS_CACHE_MAX        1000
#define DNS_CACHE_KEEP_MS    60000
#define DNS_CACHE_TROUBLE_MS 10000

struct dns_cache_entry;

struct dns_cache {
    struct dns_cache_entry *entries; /* owned hash, oldest first */
};

/* Zeroed memory is an empty cache. The answer is valid until the next call; NULL when there is
 * none. */
const struct dns_answer *dns_cache_find(struct dns_cache *c, enum dns_question question,
                                        const char *name, uint64_t now_ms);
void dns_cache_keep(struct dns_cache *c, enum dns_question question, const char *name,
                    const struct dns_answer *answer, uint64_t now_ms);
void dns_cache_free(struct dns_cache *c);

#endif
