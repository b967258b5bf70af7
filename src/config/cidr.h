/*
 * cidr - address blocks: 192.0.2.0/24, 192.0.2.1, [2001:db8::]/32, 2001:db8::1, [::1]/128
 *
 * Addresses are kept as 16 bytes (IPv4 as ::ffff:a.b.c.d), so that a mapped IPv4 client matches an
 * IPv4 block. An IPv6 block shorter than ::ffff:0:0/96 matches no IPv4 client: [::]/0 is every IPv6
 * client only. Host bits set below the prefix are an error, as in Postfix.
 */
#ifndef MXGATE_CONFIG_CIDR_H
#define MXGATE_CONFIG_CIDR_H

#include "base/errbuf.h"
#include "base/span.h"

#define CIDR_MAX 1000

struct cidr {
    unsigned char address[16];
    unsigned prefix; /* 0..128 of the 16 bytes */
};

struct cidr_list {
    struct cidr *blocks; /* owned */
    size_t count;
};

/* Parses a list (commas, blanks, newlines); an empty one matches nobody. 0, -EINVAL (err says why),
 * -ENOMEM. */
int cidr_list_parse(struct cidr_list *list, struct span text, struct errbuf *err);
void cidr_list_free(struct cidr_list *list);
bool cidr_list_match(const struct cidr_list *list, const unsigned char address[16]);
/* Numeric address, without brackets, either family. */
bool cidr_address_parse(struct span s, unsigned char address_out[16]);

#endif
