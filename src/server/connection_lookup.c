/*
 * connection_lookup - what policy asks the DNS; see connection.c
 *
 * Answers are remembered for all connections of the server. An answer that cannot be had, memory
 * included, is trouble: nobody is refused for good because of it.
 */
#include "server/connection_internal.h"

#include "base/clock.h"

static void on_answer(void *ctx, enum dns_question question, const char *name,
                      const struct dns_answer *answer)
{
    struct connection *c = ctx;

    c->lookup_query = NULL;
    dns_cache_keep(&c->server->dns, question, name, answer, clock_mono_ms());
    if (!c->gone)
        session_lookup_answer(&c->session, answer);
}

void connection_lookup(void *ctx, enum dns_question question, const char *name)
{
    struct connection *c = ctx;
    struct smtp_server *s = c->server;
    const struct dns_answer *known = dns_cache_find(&s->dns, question, name, clock_mono_ms());
    struct resolver_query *query;

    if (known) {
        struct dns_answer answer = *known; /* the next question may push it out */

        session_lookup_answer(&c->session, &answer);
        return;
    }
    query = resolver_ask(s->resolver, question, name, s->config->dns_timeout, on_answer, c);
    if (query)
        c->lookup_query = query;
}
