/*
 * config_check_tls - TLS with clients: what the settings of Postfix come to, old names included;
 * see config_private.h
 *
 * smtpd_tls_security_level decides when it is set; else the two flags of old do, as in Postfix.
 * Where TLS is required for all (level encrypt, wrapper mode) the mandatory_ settings count.
 */
#include "config/config_private.h"

#include "config/tls_words.h"

/* In the order of the words in settings.def. */
enum level_word { LEVEL_MAY, LEVEL_NONE, LEVEL_ENCRYPT, LEVEL_VERIFY };

static enum smtpd_tls_level pick_level(struct config_builder *b)
{
    const struct config *c = b->config;
    bool set = config_value(b, SETTING_AT_smtpd_tls_security_level)->source != NULL;

    if (!set && c->smtpd_enforce_tls)
        return SMTPD_TLS_ENCRYPT;
    if (!set && !c->smtpd_use_tls)
        return SMTPD_TLS_NONE;
    switch ((enum level_word)c->smtpd_tls_security_level) {
    case LEVEL_MAY:
        return SMTPD_TLS_MAY;
    case LEVEL_NONE:
        return SMTPD_TLS_NONE;
    case LEVEL_ENCRYPT:
        return SMTPD_TLS_ENCRYPT;
    case LEVEL_VERIFY:
        break;
    }
    config_note(b, CONFIG_NOTE_WARNING,
                "smtpd_tls_security_level: clients are not asked for certificates; \"encrypt\" is "
                "used");
    return SMTPD_TLS_ENCRYPT;
}

static void note_versions(struct config_builder *b, enum setting_index at,
                          const struct tls_protocols *versions)
{
    if (versions->names_1_3)
        config_note(b, CONFIG_NOTE_INFO, "%s: there is no TLSv1.3 here; TLSv1.2 is spoken",
                    settings[at].name);
    if (versions->min < TLS_VERSION_1_2)
        config_note(b, CONFIG_NOTE_WARNING,
                    "%s admits versions of TLS that are not safe any more; ciphers of medium grade "
                    "are offered too, as these versions have no others",
                    settings[at].name);
}

/* Both are checked; those that count are kept. */
static void check_versions(struct config_builder *b, enum setting_index at, const char *value,
                           bool counts)
{
    struct smtpd_tls *tls = &b->config->smtpd_tls;
    struct tls_protocols versions;
    struct errbuf err;

    if (config_value(b, at)->bad)
        return;
    if (tls_protocols_parse(span_of(value), &versions, &err) < 0) {
        config_fault_from(b, at, -1, &err);
        return;
    }
    if (!counts)
        return;
    note_versions(b, at, &versions);
    tls->min_version = versions.min;
    tls->max_version = versions.max;
    tls->medium = tls->medium || versions.min < TLS_VERSION_1_2;
}

static void check_ehlo_maps(struct config_builder *b)
{
    enum setting_index at = SETTING_AT_smtpd_discard_ehlo_keyword_address_maps;
    struct config *c = b->config;
    struct errbuf err;

    if (!config_value(b, at)->bad)
        config_fault_from(b, at,
                          ehlo_map_parse(&c->ehlo_maps,
                                         span_of(c->smtpd_discard_ehlo_keyword_address_maps), &err),
                          &err);
}

void config_check_tls(struct config_builder *b)
{
    struct config *c = b->config;
    bool required;

    c->smtpd_tls = (struct smtpd_tls){
        .level = pick_level(b), .min_version = TLS_VERSION_1_2, .max_version = TLS_VERSION_1_2};
    required = c->smtpd_tls.level == SMTPD_TLS_ENCRYPT || c->smtpd_tls_wrappermode;
    c->smtpd_tls.medium = (required ? c->smtpd_tls_mandatory_ciphers : c->smtpd_tls_ciphers) > 0;
    check_versions(b, SETTING_AT_smtpd_tls_protocols, c->smtpd_tls_protocols, !required);
    check_versions(b, SETTING_AT_smtpd_tls_mandatory_protocols, c->smtpd_tls_mandatory_protocols,
                   required);
    check_ehlo_maps(b);
}
