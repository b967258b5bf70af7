/* config_check_certificates - which files have certificates and keys, as far as that can be said
 * without opening them; see config_private.h */
#include "config/config_private.h"

static bool is_none(const char *value)
{
    return value[0] == '\0' || span_equal_nocase(span_of(value), SPAN_LIT("none"));
}

static void check_files(struct config_builder *b, enum setting_index at, const char *value)
{
    struct errbuf err;
    int rc;

    if (config_value(b, at)->bad || is_none(value))
        return;
    rc = sni_files_check(span_of(value), &err);
    config_fault_from(b, at, rc, &err);
}

/* A blank belongs to the path here, as in Postfix. What nobody set is another one's value. */
static void check_file(struct config_builder *b, enum setting_index at, const char *value)
{
    if (config_value(b, at)->source && !config_value(b, at)->bad && !is_none(value) &&
        value[0] != '/')
        config_fault(b, at, "is no absolute path; write /etc/ssl/mx.example.com.pem");
}

static void check_key_alone(struct config_builder *b, enum setting_index key,
                            enum setting_index cert, const char *cert_value)
{
    if (config_value(b, key)->source && is_none(cert_value))
        config_note(b, CONFIG_NOTE_WARNING,
                    "%s is set and %s is not: the key is not used; set %s too", settings[key].name,
                    settings[cert].name, settings[cert].name);
}

void config_check_certificates(struct config_builder *b)
{
    struct config *c = b->config;
    struct errbuf err;

    check_files(b, SETTING_AT_smtpd_tls_chain_files, c->smtpd_tls_chain_files);
    check_file(b, SETTING_AT_smtpd_tls_cert_file, c->smtpd_tls_cert_file);
    check_file(b, SETTING_AT_smtpd_tls_key_file, c->smtpd_tls_key_file);
    check_file(b, SETTING_AT_smtpd_tls_eccert_file, c->smtpd_tls_eccert_file);
    check_file(b, SETTING_AT_smtpd_tls_eckey_file, c->smtpd_tls_eckey_file);
    if (!is_none(c->smtpd_tls_chain_files)) {
        if (!is_none(c->smtpd_tls_cert_file) || !is_none(c->smtpd_tls_eccert_file))
            config_note(b, CONFIG_NOTE_WARNING,
                        "smtpd_tls_chain_files is set: smtpd_tls_cert_file and its like are not "
                        "used, as in Postfix; remove them");
    } else {
        check_key_alone(b, SETTING_AT_smtpd_tls_key_file, SETTING_AT_smtpd_tls_cert_file,
                        c->smtpd_tls_cert_file);
        check_key_alone(b, SETTING_AT_smtpd_tls_eckey_file, SETTING_AT_smtpd_tls_eccert_file,
                        c->smtpd_tls_eccert_file);
    }
    if (!config_value(b, SETTING_AT_tls_server_sni_maps)->bad)
        config_fault_from(b, SETTING_AT_tls_server_sni_maps,
                          sni_map_parse(&c->sni, span_of(c->tls_server_sni_maps), &err), &err);
}
