/*
 * ehlo_map - EHLO keywords that are left out for certain clients: the syntax of
 * smtpd_discard_ehlo_keyword_address_maps; pure
 *
 *     inline:{ 192.0.2.1=starttls, 198.51.100.0/24=starttls, { 2001:db8::/32 = starttls, dsn } }
 *     cidr:{ { 192.0.2.0/24 starttls }, { [2001:db8::]/32 starttls, dsn } }
 *
 * Postfix's inline tables (where a key may be a block too) and inline cidr tables. The first entry
 * that has the client counts; its words stand in place of smtpd_discard_ehlo_keywords.
 *
 * Fails:  -EINVAL with the reason and the remedy; tables in files are refused. -ENOMEM.
 * Limits: EHLO_MAP_MAX entries.
 */
#ifndef MXGATE_CONFIG_EHLO_MAP_H
#define MXGATE_CONFIG_EHLO_MAP_H

#include "config/cidr.h"

#define EHLO_MAP_MAX 1000

struct ehlo_map_entry {
    struct cidr_list block; /* one */
    char *words;            /* owned */
};

struct ehlo_map {
    struct ehlo_map_entry *entries; /* owned */
    size_t count;
};

/* An empty text is an empty map. On failure nothing is left in it. */
int ehlo_map_parse(struct ehlo_map *map, struct span text, struct errbuf *err);
void ehlo_map_free(struct ehlo_map *map);
/* The words for this client; NULL when none are said. */
const char *ehlo_map_find(const struct ehlo_map *map, const unsigned char address[16]);

#endif
