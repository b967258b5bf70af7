/* way - see way.h */
#include "config/way.h"

#include "base/text.h"
#include "config/route.h"

#include <string.h>

bool way_out_exists(const struct config *config)
{
    return config->relayhost[0] || config->outbound == OUTBOUND_DIRECT ||
           config->sender_relayhosts.count > 0;
}

/* NULL: the sender has none of his own. */
static const char *senders_relayhost(const struct config *config, struct span sender)
{
    char folded[INLINE_NAME_CAP];
    const char *value, *domain;
    struct text t;

    text_init(&t, folded, sizeof folded);
    if (config->sender_relayhosts.count == 0 || !inline_fold_lower(sender, &t))
        return NULL;
    value = inline_table_find(&config->sender_relayhosts, folded);
    domain = strrchr(folded, '@');
    if (!value && domain)
        value = inline_table_find(&config->sender_relayhosts, domain);
    return value && !span_equal_nocase(span_of(value), SPAN_LIT("DUNNO")) ? value : NULL;
}

static bool is_for_all(const struct config *config, int transport)
{
    return strcmp(config->transports.entries[transport].name, "*") == 0;
}

/* A name in Unicode has no MX records: nobody here makes xn--... of it. */
static bool can_be_asked_for(struct span domain)
{
    struct route route;

    return route_direct(domain, 1, &route);
}

static struct way way_out(const struct config *config, struct span sender, struct span domain,
                          int transport)
{
    struct way way = {.kind = WAY_NONE, .transport = -1, .domain = domain};

    if (domain.len == 0 || !way_out_exists(config))
        return way;
    if (transport >= 0 && !is_for_all(config, transport)) {
        way.kind = WAY_TRANSPORT;
        way.transport = transport;
        return way;
    }
    way.relayhost = senders_relayhost(config, sender);
    if (!way.relayhost && config->relayhost[0])
        way.relayhost = config->relayhost;
    if (way.relayhost)
        way.kind = WAY_RELAYHOST;
    else if (config->outbound == OUTBOUND_DIRECT && can_be_asked_for(domain))
        way.kind = WAY_DIRECT;
    return way;
}

struct way way_find(const struct config *config, struct span sender, struct span address)
{
    size_t at = span_find_last(address, '@');
    struct span domain = at < address.len ? span_from(address, at + 1) : SPAN_LIT("");
    int transport = transport_map_find(&config->transports, address, config->recipient_delimiter);
    struct way way = {.kind = WAY_TRANSPORT, .transport = transport, .domain = domain};

    if (!domain_list_match(&config->domains, domain))
        return way_out(config, sender, domain, transport);
    if (transport < 0 && !config->relay_transport[0])
        way.kind = WAY_NONE;
    return way;
}

bool way_is_inside(const struct config *config, struct span address)
{
    size_t at = span_find_last(address, '@');

    return at < address.len && domain_list_match(&config->domains, span_from(address, at + 1));
}

/* ---- a reload ---- */

static bool same_domains(const struct domain_list *a, const struct domain_list *b)
{
    if (a->count != b->count || a->subdomains != b->subdomains)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    }
    return true;
}

bool way_equal(const struct config *a, const struct config *b)
{
    return strcmp(a->relay_transport, b->relay_transport) == 0 &&
           strcmp(a->recipient_delimiter, b->recipient_delimiter) == 0 &&
           strcmp(a->relayhost, b->relayhost) == 0 && a->outbound == b->outbound &&
           transport_map_equal(&a->transports, &b->transports) &&
           inline_table_equal(&a->sender_relayhosts, &b->sender_relayhosts) &&
           same_domains(&a->domains, &b->domains);
}
