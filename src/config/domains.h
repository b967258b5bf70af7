/*
 * domains - which domains are ours: exact names and, with a leading dot, all their subdomains
 *
 * Case-insensitive, one trailing dot of either side is ignored. ".example.com" admits a.example.com
 * and b.a.example.com, not example.com itself. The list is bounded by DOMAINS_MAX.
 */
#ifndef MXGATE_CONFIG_DOMAINS_H
#define MXGATE_CONFIG_DOMAINS_H

#include "base/errbuf.h"
#include "base/span.h"

#define DOMAINS_MAX 10000

struct domain_list {
    char **names;      /* owned; lower case, without the trailing dot; sorted */
    const char *first; /* borrowed from names: the one written first; NULL when empty */
    size_t count;
    bool subdomains; /* set by the owner: every name admits its subdomains, dot or not */
};

/* Parses a list (commas, blanks, newlines); an empty one is fine. 0, -EINVAL (not a domain: err
 * says which), -ENOMEM. */
int domain_list_parse(struct domain_list *list, struct span text, struct errbuf *err);
void domain_list_free(struct domain_list *list);
bool domain_list_match(const struct domain_list *list, struct span domain);
/* The entry that was written first, in lower case, without a leading dot; "" when empty
 * (<postmaster> lives there). */
const char *domain_list_first(const struct domain_list *list);

#endif
