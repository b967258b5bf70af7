/*
 * config_check_relay_tls - TLS to the upstream: lmtp_tls_... and smtp_tls_... as struct
 * relay_tls_map; see config_private.h
 */
#include "config/config_private.h"

#include "config/way.h"

#include <errno.h>
#include <stddef.h>

/* Where what relay_tls reads is: the setting, its text in struct config. */
struct place {
    enum setting_index at;
    size_t offset;
};
#define PLACE(name)                                                                                \
    {                                                                                              \
        SETTING_AT_##name, offsetof(struct config, name)                                           \
    }
#define PLACES(kind)                                                                               \
    {                                                                                              \
        [RELAY_TLS_LEVEL] = PLACE(kind##_tls_security_level),                                      \
        [RELAY_TLS_PROTOCOLS] = PLACE(kind##_tls_protocols),                                       \
        [RELAY_TLS_MANDATORY_PROTOCOLS] = PLACE(kind##_tls_mandatory_protocols),                   \
        [RELAY_TLS_CIPHERS] = PLACE(kind##_tls_ciphers),                                           \
        [RELAY_TLS_MANDATORY_CIPHERS] = PLACE(kind##_tls_mandatory_ciphers),                       \
        [RELAY_TLS_VERIFY_MATCH] = PLACE(kind##_tls_verify_cert_match),                            \
        [RELAY_TLS_SECURE_MATCH] = PLACE(kind##_tls_secure_cert_match),                            \
        [RELAY_TLS_FINGERPRINTS] = PLACE(kind##_tls_fingerprint_cert_match),                       \
        [RELAY_TLS_SERVERNAME] = PLACE(kind##_tls_servername),                                     \
        [RELAY_TLS_POLICY] = PLACE(kind##_tls_policy_maps),                                        \
    }

static const struct place places[2][RELAY_TLS_SETTING_COUNT] = {
    [ROUTE_LMTP] = PLACES(lmtp),
    [ROUTE_SMTP] = PLACES(smtp),
};

static struct relay_tls_words words_of(const struct config *c, enum route_kind kind)
{
    bool smtp = kind == ROUTE_SMTP;
    struct relay_tls_words w = {
        .use = smtp ? c->smtp_use_tls : c->lmtp_use_tls,
        .enforce = smtp ? c->smtp_enforce_tls : c->lmtp_enforce_tls,
        .enforce_peername = smtp ? c->smtp_tls_enforce_peername : c->lmtp_tls_enforce_peername,
        .ways_out = smtp && way_out_exists(c),
        .wrapper = smtp ? c->smtp_tls_wrappermode : c->lmtp_tls_wrappermode,
    };

    for (size_t i = 0; i < RELAY_TLS_SETTING_COUNT; i++)
        w.text[i] = *(const char *const *)((const char *)c + places[kind][i].offset);
    return w;
}

/* A fault in the settings of a transport that nobody uses stops nobody, and they need no CAs. */
static void check_kind(struct config_builder *b, enum route_kind kind, bool used)
{
    struct relay_tls_map *map = &b->config->relay_tls[kind];
    struct relay_tls_words words = words_of(b->config, kind);
    enum relay_tls_setting which;
    struct errbuf err = {""};
    int rc = relay_tls_build(map, &words, &which, &err);

    if (rc == 0 && !used)
        relay_tls_free(map);
    if (rc == 0)
        return;
    if (used || rc == -ENOMEM)
        config_fault_from(b, places[kind][which].at, rc, &err);
    else
        config_note(b, CONFIG_NOTE_WARNING, "%s: %s (no transport is smtp:, so nothing uses it)",
                    settings[places[kind][which].at].name, err.text);
}

void config_check_relay_tls(struct config_builder *b)
{
    check_kind(b, ROUTE_LMTP, true);
    check_kind(b, ROUTE_SMTP, b->smtp_used);
}
