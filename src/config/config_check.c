/* config_check - what settings need beyond their own syntax: lists, names, each other; see
 * config_private.h */
#include "config/config_private.h"

#include "config/listen.h"
#include "config/route.h"
#include "config/user.h"
#include "config/way.h"
#include "smtp/address.h"

#include <errno.h>
#include <string.h>

static bool is_bad(struct config_builder *b, enum setting_index at)
{
    return config_value(b, at)->bad;
}

/* The names in Postfix's default that have something to do with parents; only relay_domains has
 * here. */
static bool is_parent_word(struct span word)
{
    static const char *const words[] = {
        "debug_peer_list",           "fast_flush_domains",       "mynetworks",
        "permit_mx_backup_networks", "qmqpd_authorized_clients", "relay_domains",
        "smtpd_access_maps"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (span_equal(word, span_of(words[i])))
            return true;
    }
    return false;
}

static void check_parents(struct config_builder *b)
{
    struct span rest = span_of(b->config->parent_domain_matches_subdomains);
    struct span word;

    while (!is_bad(b, SETTING_AT_parent_domain_matches_subdomains) &&
           span_next_word(&rest, ", \t\r\n", &word)) {
        if (!is_parent_word(word))
            config_fault(b, SETTING_AT_parent_domain_matches_subdomains,
                         "is not understood: write relay_domains, or nothing");
        if (span_equal(word, SPAN_LIT("relay_domains")))
            b->config->domains.subdomains = true;
    }
}

/* A printable piece of a list in an error text must not carry control bytes; config_apply has
 * refused them. */
static void check_domains(struct config_builder *b)
{
    struct errbuf err;
    int rc;

    if (is_bad(b, SETTING_AT_relay_domains))
        return;
    rc = domain_list_parse(&b->config->domains, span_of(b->config->relay_domains), &err);
    if (rc < 0)
        config_fault_from(b, SETTING_AT_relay_domains, rc, &err);
    else if (b->config->domains.count == 0 && !b->lenient && !way_out_exists(b->config))
        config_note(b, CONFIG_NOTE_ERROR,
                    "No domain to take mail for: relay_domains is empty; "
                    "set ALLOWED_DOMAINS=example.com");
}

/* Whether one of the transports that are written there is smtp:. */
static bool has_smtp(const char *transports)
{
    struct span rest = span_of(transports);
    struct span word;

    while (span_next_word(&rest, ", \t\r\n={}", &word)) {
        if (span_starts_nocase(word, SPAN_LIT("smtp:")))
            return true;
    }
    return false;
}

static void check_transport(struct config_builder *b)
{
    struct span transport = span_trim(span_of(b->config->relay_transport));
    struct route_list list;
    struct errbuf err;

    if (is_bad(b, SETTING_AT_relay_transport))
        return;
    b->smtp_used = way_out_exists(b->config) || has_smtp(b->config->relay_transport) ||
                   has_smtp(b->config->transport_maps) || has_smtp(b->config->fallback_relay);
    config_check_smtp_only(b, b->smtp_used);
    if (transport.len > 0) {
        if (route_list_parse(transport, &list, &err) < 0)
            config_fault_from(b, SETTING_AT_relay_transport, -EINVAL, &err);
    } else if (!b->lenient && (b->config->domains.count > 0 || !way_out_exists(b->config))) {
        config_note(b, CONFIG_NOTE_ERROR,
                    "Nowhere to deliver mail to: relay_transport is empty; "
                    "set RELAY_TRANSPORT=lmtp:[192.0.2.10]:24%s",
                    b->config->relayhost[0] ? " (RELAYHOST is the way out, for other domains)"
                                            : "");
    }
}

/* A route does not admit anybody: who wrote it for a domain that is refused should know. */
static void check_routes(struct config_builder *b)
{
    struct transport_map *map = &b->config->transports;
    struct errbuf err;
    int rc;

    if (is_bad(b, SETTING_AT_transport_maps))
        return;
    rc = transport_map_parse(map, span_of(b->config->transport_maps), &err);
    if (rc < 0)
        config_fault_from(b, SETTING_AT_transport_maps, rc, &err);
    for (size_t i = 0; i < map->count && !is_bad(b, SETTING_AT_relay_domains); i++) {
        struct config_shown shown =
            config_shown(SETTING_AT_transport_maps, span_of(map->entries[i].name));

        if (!transport_entry_admitted(&map->entries[i], &b->config->domains) &&
            !way_out_exists(b->config))
            config_note(b, CONFIG_NOTE_WARNING,
                        "transport_maps has a route for %s, which relay_domains does not admit: "
                        "mail for it is refused; add the domain to ALLOWED_DOMAINS, or remove the "
                        "route",
                        shown.text);
    }
}

/* Another mail server, not a folder of this machine, which is about to go. */
static void check_fallback(struct config_builder *b)
{
    enum setting_index at = SETTING_AT_fallback_relay;
    struct span text = span_trim(span_of(b->config->fallback_relay));
    struct route_list list;
    struct errbuf err;

    if (is_bad(b, at) || text.len == 0)
        return;
    if (route_list_parse(text, &list, &err) < 0) {
        config_fault_from(b, at, -EINVAL, &err);
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        if (list.targets[i].kind == ROUTE_MAILDIR) {
            config_fault(b, at, "must be a mail server; write smtp:[mx2.example.com]:25");
            return;
        }
    }
}

static void check_networks(struct config_builder *b)
{
    struct errbuf err;
    int rc;

    if (is_bad(b, SETTING_AT_mynetworks))
        return;
    rc = cidr_list_parse(&b->config->networks, span_of(b->config->mynetworks), &err);
    if (rc < 0)
        config_fault_from(b, SETTING_AT_mynetworks, rc, &err);
}

static void check_debugged(struct config_builder *b)
{
    struct errbuf err;
    int rc;

    if (is_bad(b, SETTING_AT_debug_peer_list))
        return;
    rc = peer_list_parse(&b->config->debugged, span_of(b->config->debug_peer_list), &err);
    if (rc < 0)
        config_fault_from(b, SETTING_AT_debug_peer_list, rc, &err);
}

static void check_anonymize(struct config_builder *b)
{
    struct errbuf err;
    int rc;

    if (is_bad(b, SETTING_AT_anonymize_emails))
        return;
    rc = anonymize_parse(&b->config->anonymize, span_of(b->config->anonymize_emails), &err);
    if (rc < 0)
        config_fault_from(b, SETTING_AT_anonymize_emails, rc, &err);
}

static void check_listen(struct config_builder *b)
{
    struct listen_list list;
    struct errbuf err;
    int rc;

    if (is_bad(b, SETTING_AT_listen) || is_bad(b, SETTING_AT_inet_interfaces))
        return;
    rc = listen_list_parse(&list, span_of(b->config->listen), &err);
    if (rc < 0) {
        config_fault_from(b, SETTING_AT_listen, rc, &err);
        return;
    }
    rc = listen_list_narrow(&list, span_of(b->config->inet_interfaces), &err);
    if (rc < 0)
        config_fault_from(b, SETTING_AT_inet_interfaces, rc, &err);
}

static bool is_name_server(struct span s)
{
    unsigned char binary[16];
    struct listen_address address;
    bool bracketed = s.len >= 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']';

    if (bracketed)
        return cidr_address_parse(span_make(s.ptr + 1, s.len - 2), binary);
    if (cidr_address_parse(s, binary))
        return true;
    return listen_address_parse(s, &address) && address.port > 0 &&
           cidr_address_parse(span_of(address.host), binary);
}

static void check_dns_servers(struct config_builder *b)
{
    struct span rest = span_of(b->config->dns_servers);
    struct span word;

    while (!is_bad(b, SETTING_AT_dns_servers) && span_next_word(&rest, ", \t\r\n", &word)) {
        struct config_shown shown = config_shown(SETTING_AT_dns_servers, word);

        if (!is_name_server(word))
            config_fault(b, SETTING_AT_dns_servers,
                         "cannot be used: \"%s\" is not the address of a name server; write "
                         "192.0.2.53, 192.0.2.53:53 or [2001:db8::53]:53",
                         shown.text);
    }
}

/* Of the right family; an empty one is the system's choice. */
static void check_bind_address(struct config_builder *b, enum setting_index at, const char *value,
                               bool v6)
{
    unsigned char binary[16];
    struct span address = span_of(value);
    bool colon = span_find(address, ':') < address.len;

    if (is_bad(b, at) || address.len == 0)
        return;
    if (!cidr_address_parse(address, binary) || colon != v6)
        config_fault(b, at, "is not an IPv%c address; write %s, or remove it", v6 ? '6' : '4',
                     v6 ? "2001:db8::1" : "192.0.2.1");
}

static void check_bind_addresses(struct config_builder *b)
{
    const struct config *c = b->config;

    check_bind_address(b, SETTING_AT_lmtp_bind_address, c->lmtp_bind_address, false);
    check_bind_address(b, SETTING_AT_lmtp_bind_address6, c->lmtp_bind_address6, true);
    check_bind_address(b, SETTING_AT_smtp_bind_address, c->smtp_bind_address, false);
    check_bind_address(b, SETTING_AT_smtp_bind_address6, c->smtp_bind_address6, true);
}

static void check_host_name(struct config_builder *b, enum setting_index at, const char *value,
                            const char *remedy)
{
    struct span name = span_of(value);
    struct config_shown shown = config_shown(at, name);

    if (is_bad(b, at))
        return;
    if (name.len == 0 || name.ptr[0] == '[' || name.ptr[name.len - 1] == '.' ||
        !smtp_domain_valid(name, false))
        config_fault(b, at, "gives \"%s\", which is not a domain name; %s", shown.text, remedy);
}

static void check_not_empty(struct config_builder *b, enum setting_index at, const char *value)
{
    if (!is_bad(b, at) && value[0] == '\0')
        config_fault(b, at, "must not be empty; correct it or remove it (default: %s)",
                     settings[at].def);
}

static void check_names(struct config_builder *b)
{
    const struct config *c = b->config;

    check_host_name(b, SETTING_AT_myhostname, c->myhostname, "set HOSTNAME=mx.example.com");
    if (config_value(b, SETTING_AT_mydomain)->source) /* else it is a part of myhostname */
        check_host_name(b, SETTING_AT_mydomain, c->mydomain, "set DOMAIN=example.com");
    if (config_value(b, SETTING_AT_myorigin)->source) /* else it is myhostname */
        check_host_name(b, SETTING_AT_myorigin, c->myorigin, "set MYORIGIN=example.com");
    if (config_value(b, SETTING_AT_lmtp_lhlo_name)->source) /* else it is myhostname */
        check_host_name(b, SETTING_AT_lmtp_lhlo_name, c->lmtp_lhlo_name,
                        "write a host name such as mx.example.com, or remove it");
    if (config_value(b, SETTING_AT_smtp_helo_name)->source)
        check_host_name(b, SETTING_AT_smtp_helo_name, c->smtp_helo_name,
                        "write a host name such as mx.example.com, or remove it");
    check_not_empty(b, SETTING_AT_smtpd_banner, c->smtpd_banner);
    check_not_empty(b, SETTING_AT_mail_name, c->mail_name);
    check_not_empty(b, SETTING_AT_syslog_name, c->syslog_name);
    check_not_empty(b, SETTING_AT_queue_directory, c->queue_directory);
}

/* Empty, a code that refuses, or 250; 421 and 521 would end the session of a client that did
 * nothing. */
static void check_refusal_code(struct config_builder *b, enum setting_index at, const char *value)
{
    uint64_t code = 0;

    if (is_bad(b, at) || value[0] == '\0')
        return;
    if (!span_to_u64(span_of(value), 599, &code) || (code != 250 && code < 400) || code == 421 ||
        code == 521)
        config_fault(b, at, "is not a code to refuse with; write 450 or 550, or remove it");
}

/* One word of letters each: they are compared with the first word of a line. */
static void check_commands(struct config_builder *b, enum setting_index at, const char *value)
{
    struct span rest = span_of(value);
    struct span word;

    while (!is_bad(b, at) && span_next_word(&rest, ", \t\r\n", &word)) {
        for (size_t i = 0; i < word.len; i++) {
            if (!ascii_is_alpha(word.ptr[i])) {
                config_fault(b, at,
                             "has words that are no commands (lookup tables are not "
                             "supported); write commands such as GET POST");
                return;
            }
        }
    }
}

static void check_server(struct config_builder *b)
{
    const struct config *c = b->config;

    check_refusal_code(b, SETTING_AT_unverified_recipient_reject_code,
                       c->unverified_recipient_reject_code);
    check_refusal_code(b, SETTING_AT_unverified_recipient_defer_code,
                       c->unverified_recipient_defer_code);
    check_commands(b, SETTING_AT_smtpd_noop_commands, c->smtpd_noop_commands);
    check_commands(b, SETTING_AT_smtpd_forbidden_commands, c->smtpd_forbidden_commands);
}

/* Postfix adjusts as well: an operator who raises one limit need not know the other. */
static void adjust_times(struct config_builder *b)
{
    struct config *c = b->config;

    if (c->maximal_backoff_time < c->minimal_backoff_time) {
        config_note(
            b, CONFIG_NOTE_WARNING,
            "maximal_backoff_time is shorter than minimal_backoff_time; it is raised to that");
        c->maximal_backoff_time = c->minimal_backoff_time;
    }
    if (c->smtpd_stress_timeout > c->smtpd_timeout)
        c->smtpd_stress_timeout = c->smtpd_timeout;
}

static void check_user(struct config_builder *b)
{
    struct user ignored;

    if (!is_bad(b, SETTING_AT_run_as_user) && b->config->run_as_user[0] &&
        !user_parse(span_of(b->config->run_as_user), &ignored))
        config_fault(b, SETTING_AT_run_as_user,
                     "is not a user by number, like 10025:10025 or 10025");
}

void config_check(struct config_builder *b)
{
    config_check_ways(b);
    check_domains(b);
    check_parents(b);
    check_transport(b);
    check_routes(b);
    check_fallback(b);
    check_networks(b);
    check_debugged(b);
    check_anonymize(b);
    check_listen(b);
    check_user(b);
    check_dns_servers(b);
    check_bind_addresses(b);
    check_server(b);
    check_names(b);
    config_check_login(b);
    config_check_relay_tls(b);
    config_check_access(b);
    config_check_tls(b);
    config_check_certificates(b);
    if (b->faults == 0)
        adjust_times(b);
}
