/*
 * peer_list - clients by address or by name, as in Postfix's debug_peer_list; pure
 *
 * An entry with ":", "/" or "[", or of digits and dots alone, is an address or a block (cidr.h);
 * any other is a name (domains.h). As in Postfix (parent_domain_matches_subdomains) example.com is
 * also every client below it; .example.com is only these.
 *
 * Fails:  -EINVAL with the words of cidr.h and domains.h; lookup tables and "!" are not supported.
 */
#ifndef MXGATE_CONFIG_PEER_LIST_H
#define MXGATE_CONFIG_PEER_LIST_H

#include "config/cidr.h"
#include "config/domains.h"

struct peer_list {
    struct cidr_list blocks;
    struct domain_list names;
};

/* 0, -EINVAL, -ENOMEM; an empty list matches nobody. */
int peer_list_parse(struct peer_list *list, struct span text, struct errbuf *err);
void peer_list_free(struct peer_list *list);
bool peer_list_match_address(const struct peer_list *list, const unsigned char address[16]);
bool peer_list_match_name(const struct peer_list *list, struct span name);

#endif
