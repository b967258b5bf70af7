/*
 * transport_map - which addresses and domains have a destination of their own: the syntax of
 * transport_maps, and its look-ups; pure
 *
 *     inline:{ example.net=lmtp:[192.0.2.54]:24, .example.org=lmtp:unix:/run/dovecot/lmtp,
 *              { ann@example.com = lmtp:[192.0.2.55]:24, lmtp:[192.0.2.56]:24 } }
 *
 * Postfix's inline tables: pairs NAME=VALUE without blanks, separated by commas or blanks; a pair
 * in braces may have blanks around its parts and commas in its value. Of a name that one table has
 * twice the last counts, of several tables the first that has it. Names, without regard to case,
 * from the strongest: user+extension@domain, user@domain, domain, .parent (each subdomain of
 * parent, nearest parent first), * (everybody). Values are route_list's.
 *
 * It opens nothing: who is a recipient here is said by relay_domains, and by way.h (P5).
 *
 * Fails:  -EINVAL with the reason and the remedy; tables in files (hash:, lmdb:, texthash:,
 *         regexp:, ...) are refused: there is nothing here that reads them. -ENOMEM.
 * Owns:   all texts. Look-ups give an index into entries, -1 for nothing.
 * Limits: TRANSPORT_ENTRIES_MAX pairs, ROUTE_TARGETS_MAX targets each.
 */
#ifndef MXGATE_CONFIG_TRANSPORT_MAP_H
#define MXGATE_CONFIG_TRANSPORT_MAP_H

#include "base/errbuf.h"
#include "config/domains.h"

#define TRANSPORT_ENTRIES_MAX 10000

struct transport_entry {
    char *name;    /* owned; in lower case, without a trailing dot */
    char *targets; /* owned; as route_list_text() gives it */
};

struct transport_map {
    struct transport_entry *entries; /* owned; sorted by name, each once */
    size_t count;
};

/* An empty text is an empty map. On failure nothing is left in it. */
int transport_map_parse(struct transport_map *map, struct span text, struct errbuf *err);
void transport_map_free(struct transport_map *map);
/* delimiters: recipient_delimiter, a set of characters; "": none. */
int transport_map_find(const struct transport_map *map, struct span address,
                       const char *delimiters);
/* Whether any recipient that relay_domains admits can have this name; if not, nothing uses it. */
bool transport_entry_admitted(const struct transport_entry *entry, const struct domain_list *list);
bool transport_map_equal(const struct transport_map *a, const struct transport_map *b);

#endif
