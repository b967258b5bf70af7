/*
 * config_check_access - the settings that say who may send what to whom, compiled; see
 * config_private.h
 *
 * A restriction that is not known is a fault, never a warning: mail would be taken, or refused,
 * that the operator's list was there to refuse, or take.
 */
#include "config/config_private.h"

#include <errno.h>
#include <string.h>

static void check_restrictions(struct config_builder *b)
{
    const struct {
        enum setting_index at;
        const char *text;
    } lists[RESTRICT_STAGE_COUNT] = {
        [RESTRICT_CLIENT] = {SETTING_AT_smtpd_client_restrictions,
                             b->config->smtpd_client_restrictions                                       },
        [RESTRICT_HELO] = {SETTING_AT_smtpd_helo_restrictions,      b->config->smtpd_helo_restrictions},
        [RESTRICT_SENDER] = {SETTING_AT_smtpd_sender_restrictions,
                             b->config->smtpd_sender_restrictions                                       },
        [RESTRICT_RELAY] = {SETTING_AT_smtpd_relay_restrictions,
                             b->config->smtpd_relay_restrictions                                        },
        [RESTRICT_RECIPIENT] = {SETTING_AT_smtpd_recipient_restrictions,
                             b->config->smtpd_recipient_restrictions                                    },
        [RESTRICT_DATA] = {SETTING_AT_smtpd_data_restrictions,      b->config->smtpd_data_restrictions},
    };

    for (size_t i = 0; i < RESTRICT_STAGE_COUNT; i++) {
        struct errbuf err;

        if (!config_value(b, lists[i].at)->bad)
            config_fault_from(
                b, lists[i].at,
                restriction_list_parse(&b->config->restrictions[i], span_of(lists[i].text), &err),
                &err);
    }
}

/* Entries admit their subdomains too, as access tables do in the image we replace. */
static int parse_senders(struct config *c, struct errbuf *err)
{
    struct domain_list *list = &c->senders;
    int rc = domain_list_parse(list, span_of(c->allowed_sender_domains), err);

    list->subdomains = true;
    return rc;
}

static void check_senders(struct config_builder *b)
{
    enum setting_index at = SETTING_AT_allowed_sender_domains;
    struct errbuf err;

    if (config_value(b, at)->bad)
        return;
    config_fault_from(b, at, parse_senders(b->config, &err), &err);
    if (!config_value(b, at)->bad && !b->config->allow_empty_sender_domains && !b->lenient &&
        b->config->senders.count == 0)
        config_fault(b, SETTING_AT_allow_empty_sender_domains,
                     "and allowed_sender_domains is empty, so that no mail would be taken; set "
                     "ALLOWED_SENDER_DOMAINS=example.org, or ALLOW_EMPTY_SENDER_DOMAINS=yes to "
                     "take mail from anybody");
}

static void check_unlimited(struct config_builder *b)
{
    enum setting_index at = SETTING_AT_smtpd_client_event_limit_exceptions;
    struct errbuf err;

    /* What is wrong with mynetworks is reported already. */
    if (!config_value(b, at)->bad && !config_value(b, SETTING_AT_mynetworks)->bad)
        config_fault_from(b, at,
                          cidr_list_parse(&b->config->unlimited,
                                          span_of(b->config->smtpd_client_event_limit_exceptions),
                                          &err),
                          &err);
}

/* Everybody may not be listed: then everybody could say that he is 127.0.0.1. */
static bool is_everybody(const struct cidr_list *list)
{
    static const unsigned char v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    for (size_t i = 0; i < list->count; i++) {
        const struct cidr *block = &list->blocks[i];

        if (block->prefix == 0 ||
            (block->prefix == 8 * sizeof v4 && memcmp(block->address, v4, sizeof v4) == 0))
            return true;
    }
    return false;
}

static void check_proxies(struct config_builder *b)
{
    enum setting_index at = SETTING_AT_smtpd_upstream_proxy_hosts;
    struct span protocol = span_of(b->config->smtpd_upstream_proxy_protocol);
    struct errbuf err;

    if (config_value(b, at)->bad || config_value(b, SETTING_AT_smtpd_upstream_proxy_protocol)->bad)
        return;
    config_fault_from(
        b, at,
        cidr_list_parse(&b->config->proxies, span_of(b->config->smtpd_upstream_proxy_hosts), &err),
        &err);
    if (config_value(b, at)->bad)
        return;
    if (protocol.len > 0 && !span_equal(protocol, SPAN_LIT("haproxy")))
        config_fault(b, SETTING_AT_smtpd_upstream_proxy_protocol,
                     "is not understood: write haproxy, or nothing");
    else if (is_everybody(&b->config->proxies))
        config_fault(b, at,
                     "lists everybody, and whoever is listed may claim any address; write the load "
                     "balancers' own addresses or networks, such as 10.0.1.0/24");
    else if (protocol.len > 0 && b->config->proxies.count == 0 && !b->lenient)
        config_note(b, CONFIG_NOTE_ERROR,
                    "smtpd_upstream_proxy_protocol=haproxy needs to know whose word counts: set "
                    "SMTPD_UPSTREAM_PROXY_HOSTS=10.0.1.0/24 to the load balancers' addresses or "
                    "networks");
    else if (protocol.len == 0 && b->config->proxies.count > 0)
        config_note(b, CONFIG_NOTE_WARNING,
                    "smtpd_upstream_proxy_hosts has no effect: no PROXY protocol header is "
                    "expected; set SMTPD_UPSTREAM_PROXY_PROTOCOL=haproxy, or remove it");
}

/* Without the look-up every client would be refused for having no name. */
static void adjust_lookup(struct config_builder *b)
{
    struct config *c = b->config;

    for (size_t i = 0; i < RESTRICT_STAGE_COUNT && !c->smtpd_peername_lookup; i++) {
        const struct restriction_list *list = &c->restrictions[i];

        if (!restriction_list_has(list, RESTRICTION_REJECT_UNKNOWN_CLIENT_HOSTNAME) &&
            !restriction_list_has(list, RESTRICTION_REJECT_UNKNOWN_REVERSE_CLIENT_HOSTNAME))
            continue;
        config_note(b, CONFIG_NOTE_WARNING,
                    "smtpd_peername_lookup=no is ignored: a restriction asks for the clients' "
                    "names");
        c->smtpd_peername_lookup = true;
    }
}

void config_check_access(struct config_builder *b)
{
    check_restrictions(b);
    check_senders(b);
    check_unlimited(b);
    check_proxies(b);
    adjust_lookup(b);
}
