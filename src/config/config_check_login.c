/* config_check_login - who we are at servers of others, as struct relay_logins; see relay_login.h
 * and config_private.h */
#include "config/config_private.h"

#include <errno.h>

static bool is_bad(struct config_builder *b, enum setting_index at)
{
    return config_value(b, at)->bad;
}

static void check_mechanisms(struct config_builder *b)
{
    struct config *c = b->config;
    const struct {
        enum setting_index at;
        const char *text;
        int (*parse)(struct span text, unsigned *mask_out, struct errbuf *err);
    } rows[] = {
        {SETTING_AT_smtp_sasl_mechanism_filter,     c->smtp_sasl_mechanism_filter,
         relay_mechanisms_filter },
        {SETTING_AT_smtp_sasl_security_options,     c->smtp_sasl_security_options,
         relay_mechanisms_options},
        {SETTING_AT_smtp_sasl_tls_security_options, c->smtp_sasl_tls_security_options,
         relay_mechanisms_options},
    };
    unsigned masks[3] = {0, 0, 0};
    struct errbuf err;

    for (size_t i = 0; i < 3; i++) {
        if (!is_bad(b, rows[i].at))
            config_fault_from(b, rows[i].at, rows[i].parse(span_of(rows[i].text), &masks[i], &err),
                              &err);
    }
    c->logins.in_clear = masks[0] & masks[1];
    c->logins.in_tls = masks[0] & masks[2];
}

static void check_type(struct config_builder *b)
{
    struct span type = span_of(b->config->smtp_sasl_type);

    if (!is_bad(b, SETTING_AT_smtp_sasl_type) && !span_equal(type, SPAN_LIT("cyrus")) &&
        !span_equal(type, SPAN_LIT("mxgate")))
        config_fault(b, SETTING_AT_smtp_sasl_type,
                     "is not there: what logs in is built in; remove it");
}

/* One of user and secret alone is a slip after which mail would go out without a login, and come
 * back. */
static void check_relayhost_login(struct config_builder *b)
{
    const struct config *c = b->config;
    bool user = c->relayhost_username[0];
    bool password = c->relayhost_password[0];
    bool token = c->relayhost_token_file[0];

    if (user && !password && !token)
        config_fault(b, SETTING_AT_relayhost_username,
                     "has no password: set RELAYHOST_PASSWORD_FILE, RELAYHOST_PASSWORD or "
                     "RELAYHOST_TOKEN_FILE");
    if (!user && password)
        config_fault(b, SETTING_AT_relayhost_password,
                     "is nobody's: set RELAYHOST_USERNAME, or remove it");
    if (!user && token)
        config_fault(b, SETTING_AT_relayhost_token_file,
                     "is nobody's: set RELAYHOST_USERNAME, or remove it");
    if (password && token)
        config_fault(b, SETTING_AT_relayhost_token_file,
                     "is set beside a password; remove one of them");
    if (user && !c->smtp_sasl_auth_enable &&
        config_value(b, SETTING_AT_smtp_sasl_auth_enable)->source)
        config_fault(b, SETTING_AT_smtp_sasl_auth_enable,
                     "contradicts RELAYHOST_USERNAME; remove one of them");
}

static void check_maps(struct config_builder *b)
{
    struct config *c = b->config;
    enum setting_index at = SETTING_AT_smtp_sasl_password_maps;
    struct errbuf err;

    if (is_bad(b, at))
        return;
    config_fault_from(
        b, at, relay_logins_parse(&c->logins, span_of(c->smtp_sasl_password_maps), &err), &err);
    if (c->logins.for_all && c->outbound == OUTBOUND_DIRECT)
        config_fault(
            b, at,
            "is static:, and with outbound=direct every server in the world would be shown "
            "the password; write inline:{ HOST=USER:PASSWORD }");
    if (!is_bad(b, at) && c->smtp_sasl_auth_enable && c->logins.table.count == 0 &&
        !c->relayhost_username[0])
        config_fault(b, SETTING_AT_smtp_sasl_auth_enable,
                     "has no login: set RELAYHOST_USERNAME and RELAYHOST_PASSWORD_FILE, or "
                     "smtp_sasl_password_maps");
}

void config_check_login(struct config_builder *b)
{
    struct config *c = b->config;

    check_mechanisms(b);
    check_type(b);
    check_relayhost_login(b);
    check_maps(b);
    c->logins.enabled = c->smtp_sasl_auth_enable || c->relayhost_username[0];
}
