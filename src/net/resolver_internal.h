/*
 * resolver_internal - what resolver.c (c-ares on the loop, queries, addresses of hosts),
 * resolver_peer.c (names of clients), resolver_ask.c (questions about records) and resolver_mail.c
 * (mail hosts of a domain) share; nobody else includes it
 */
#ifndef MXGATE_NET_RESOLVER_INTERNAL_H
#define MXGATE_NET_RESOLVER_INTERNAL_H

#include "net/resolver.h"

struct resolver_query {
    struct resolver *resolver; /* borrowed */
    struct resolver_query *prev, *next;
    uint64_t deadline_ms;
    bool answered; /* told, cancelled or late: the callbacks below are not called any more */
    bool starting; /* c-ares may call back before the asker has our pointer: freed after that */
    bool finished;
    struct sockaddr_storage address; /* of the client, for resolver_peer_name */
    char name[256];
    enum dns_found reverse;         /* of the client's address */
    enum dns_question question;     /* for resolver_ask, with the next three */
    struct dns_answer *answer;      /* owned */
    bool trouble;                   /* one of several look-ups failed */
    struct resolver_mail_run *mail; /* owned; for resolver_mail_hosts, else NULL */
    resolver_name_fn on_name;       /* one of these three is set, or mail */
    resolver_addresses_fn on_addresses;
    resolver_answer_fn on_answer;
    void *ctx;
};

/* NULL when there are too many, memory is out, or the resolver is closing. */
struct resolver_query *resolver_query_new(struct resolver *r, uint64_t timeout_ms, void *ctx);
/* The same for a destination of ours, which strangers' questions must not hide. */
struct resolver_query *resolver_query_new_own(struct resolver *r, uint64_t timeout_ms, void *ctx);
/* c-ares is done with it. */
void resolver_query_free(struct resolver_query *q);
/* What the asker may hold: nothing when the answer came already. */
struct resolver_query *resolver_query_started(struct resolver_query *q);
/* What c-ares' status says about a name. */
enum dns_found resolver_found(int status);

/* resolver.c: tells whoever asked for a client's name, once. */
void resolver_query_answer_name(struct resolver_query *q, enum dns_found verified);
/* resolver_ask.c: tells the asker, once. */
void resolver_query_answer(struct resolver_query *q, enum dns_found found);

/* resolver_mail.c: likewise; error NULL: as it was found. */
void resolver_query_answer_mail(struct resolver_query *q, const char *error);

#endif
