/* config_check_ways - the ways out: relayhost and its like; see way.h and config_private.h */
#include "config/config_private.h"

#include "config/route.h"

#include <string.h>

#define RELAYHOSTS_MAX 1000
#define ANY_PORT       25 /* only whether it can be read counts here */

static int check_relayhost(struct span value, struct errbuf *err)
{
    struct route_list list;

    return route_parse_relayhosts(value, ANY_PORT, &list, err);
}

static bool is_dunno(struct span value)
{
    return span_equal_nocase(value, SPAN_LIT("DUNNO"));
}

static int check_senders_relayhost(struct span value, struct errbuf *err)
{
    return is_dunno(value) ? 0 : check_relayhost(value, err);
}

static bool fold_sender(struct span name, struct text *folded)
{
    size_t at = span_find_last(name, '@');

    return at + 1 < name.len && inline_fold_lower(name, folded);
}

void config_check_ways(struct config_builder *b)
{
    static const struct inline_rules rules = {
        .max = RELAYHOSTS_MAX,
        .example = "write inline:{ ann@example.com=[smtp.example.net]:587 }",
        .names = "is no sender (ann@example.com, or @example.com for all of a domain)",
        .fold = fold_sender,
        .check = check_senders_relayhost,
    };
    struct config *c = b->config;
    struct errbuf err;

    c->smtp_port = ANY_PORT;
    if (!config_value(b, SETTING_AT_smtp_tcp_port)->bad &&
        !route_port(span_of(c->smtp_tcp_port), &c->smtp_port))
        config_fault(b, SETTING_AT_smtp_tcp_port, "must be a port; write 25");
    if (!config_value(b, SETTING_AT_relayhost)->bad && is_dunno(span_of(c->relayhost)))
        config_fault(b, SETTING_AT_relayhost,
                     "stands in sender_dependent_relayhost_maps only; write nothing if there is "
                     "none");
    else if (!config_value(b, SETTING_AT_relayhost)->bad && c->relayhost[0])
        config_fault_from(b, SETTING_AT_relayhost, check_relayhost(span_of(c->relayhost), &err),
                          &err);
    if (!config_value(b, SETTING_AT_sender_dependent_relayhost_maps)->bad)
        config_fault_from(b, SETTING_AT_sender_dependent_relayhost_maps,
                          inline_table_parse(&c->sender_relayhosts,
                                             span_of(c->sender_dependent_relayhost_maps), &rules,
                                             &err),
                          &err);
}
