/*
 * mx_list - the mail hosts of a domain, in the order in which they are asked (RFC 5321 5.1); pure
 *
 * Lowest preference first; hosts of the same preference in an order of chance, so that they share
 * the load. Names come from strangers: one that is no host name, or a number, is passed over.
 *
 * Loops: a host that is ourselves, and all that are not preferred to it, must not be asked, as they
 * would hand the mail back (RFC 5321 5.1).
 *
 * Limits: MX_HOSTS_MAX hosts; of more the least preferred are forgotten.
 */
#ifndef MXGATE_NET_MX_LIST_H
#define MXGATE_NET_MX_LIST_H

#include "base/span.h"

#define MX_HOSTS_MAX 20
#define MX_NAME_CAP  256

struct mx_host {
    char name[MX_NAME_CAP]; /* lower case, without a trailing dot */
    unsigned preference;
    uint32_t lot;
};

struct mx_list {
    struct mx_host hosts[MX_HOSTS_MAX]; /* in order */
    size_t count;
    size_t passed_over; /* names that were none */
};

/* lot: any random bits; 0 for all: the order of arrival among the same preference. A name that is
 * there already keeps its better preference. */
void mx_list_add(struct mx_list *list, unsigned preference, struct span name, uint32_t lot);
/* Drops the host at `at`, and all whose preference is not lower than its. */
void mx_list_cut(struct mx_list *list, size_t at);
/* The index of this name, or count. */
size_t mx_list_find(const struct mx_list *list, struct span name);

#endif
