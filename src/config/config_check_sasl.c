/*
 * config_check_sasl - the settings about users who log in, compiled; see config_private.h
 *
 * A port for users that nobody can use is a fault, not a warning: whoever opened it would find out
 * from its users. Of Dovecot and smtpd_sasl_users Dovecot counts.
 */
#include "config/config_private.h"

#include "config/listen.h"
#include "config/sasl_path.h"

#define SENDERS_MAX 10000

const char *config_sasl_domain(const struct config *c)
{
    return c->smtpd_sasl_local_domain[0] ? c->smtpd_sasl_local_domain : c->myhostname;
}

static bool is_bad(struct config_builder *b, enum setting_index at)
{
    return config_value(b, at)->bad;
}

static bool has_submission(const struct config *c)
{
    struct listen_list list;

    if (listen_list_parse(&list, span_of(c->listen), NULL) < 0)
        return false;
    for (size_t i = 0; i < list.count; i++) {
        if (list.entries[i].submission)
            return true;
    }
    return false;
}

bool config_has_logins(const struct config *c)
{
    return c->sasl != SASL_BACK_END_NONE && (c->smtpd_sasl_auth_enable || has_submission(c));
}

static void check_users(struct config_builder *b)
{
    struct config *c = b->config;
    struct errbuf err;

    if (!is_bad(b, SETTING_AT_smtpd_sasl_users) && !is_bad(b, SETTING_AT_myhostname))
        config_fault_from(b, SETTING_AT_smtpd_sasl_users,
                          sasl_users_parse(&c->sasl_users, span_of(c->smtpd_sasl_users),
                                           span_of(config_sasl_domain(c)), &err),
                          &err);
}

static void check_path(struct config_builder *b)
{
    struct config *c = b->config;
    struct sasl_path path;
    struct errbuf err;

    if (c->smtpd_sasl_path[0] && c->smtpd_sasl_type == 0 && !is_bad(b, SETTING_AT_smtpd_sasl_path))
        config_fault_from(b, SETTING_AT_smtpd_sasl_path,
                          sasl_path_parse(span_of(c->smtpd_sasl_path), &path, &err), &err);
}

static void pick_back_end(struct config_builder *b)
{
    struct config *c = b->config;

    if (c->smtpd_sasl_type != 0 && c->smtpd_sasl_path[0])
        config_note(b, CONFIG_NOTE_WARNING,
                    "smtpd_sasl_type=cyrus: there is no Cyrus SASL here, and smtpd_sasl_path is "
                    "ignored; set SMTPD_SASL_USERS, or smtpd_sasl_type=dovecot");
    c->sasl = SASL_BACK_END_NONE;
    if (c->smtpd_sasl_type == 0 && c->smtpd_sasl_path[0])
        c->sasl = SASL_BACK_END_DOVECOT;
    else if (c->sasl_users.count > 0)
        c->sasl = SASL_BACK_END_USERS;
    if (c->sasl == SASL_BACK_END_DOVECOT && c->sasl_users.count > 0)
        config_note(b, CONFIG_NOTE_WARNING,
                    "smtpd_sasl_path and smtpd_sasl_users are both set; users are those of "
                    "Dovecot, smtpd_sasl_users is ignored; remove one of them");
}

static void check_options(struct config_builder *b, enum setting_index at, const char *text,
                          struct sasl_options *options)
{
    struct errbuf err;

    if (!is_bad(b, at))
        config_fault_from(b, at, sasl_options_parse(options, span_of(text), &err), &err);
}

static void check_mechanisms(struct config_builder *b)
{
    struct config *c = b->config;
    enum setting_index at = SETTING_AT_smtpd_sasl_mechanism_filter;
    struct errbuf err;

    check_options(b, SETTING_AT_smtpd_sasl_security_options, c->smtpd_sasl_security_options,
                  &c->sasl_options[0]);
    /* What is wrong with the other is said already. */
    if (!is_bad(b, SETTING_AT_smtpd_sasl_security_options))
        check_options(b, SETTING_AT_smtpd_sasl_tls_security_options,
                      c->smtpd_sasl_tls_security_options, &c->sasl_options[1]);
    if (!is_bad(b, at))
        config_fault_from(b, at, sasl_filter_check(span_of(c->smtpd_sasl_mechanism_filter), &err),
                          &err);
    at = SETTING_AT_smtpd_sasl_exceptions_networks;
    if (!is_bad(b, at))
        config_fault_from(
            b, at,
            cidr_list_parse(&c->sasl_exceptions, span_of(c->smtpd_sasl_exceptions_networks), &err),
            &err);
}

/* Whether what is set fits together. */
static void check_use(struct config_builder *b)
{
    const struct config *c = b->config;
    bool submission = has_submission(c);

    if (b->lenient)
        return;
    if (submission && c->smtpd_tls.level == SMTPD_TLS_NONE)
        config_note(b, CONFIG_NOTE_ERROR,
                    "listen has a :submission port, where users log in inside TLS only, and "
                    "smtpd_tls_security_level=none; set it to may, or remove the port");
    if ((submission || c->smtpd_sasl_auth_enable) && c->sasl == SASL_BACK_END_NONE)
        config_note(b, CONFIG_NOTE_ERROR,
                    "%s, and nothing says who the users are; set "
                    "SMTPD_SASL_PATH=inet:dovecot:12345 (Dovecot knows them), or "
                    "SMTPD_SASL_USERS=ann:password",
                    submission ? "listen has a :submission port" : "smtpd_sasl_auth_enable=yes");
    if (!submission && !c->smtpd_sasl_auth_enable && c->sasl != SASL_BACK_END_NONE)
        config_note(b, CONFIG_NOTE_WARNING,
                    "users are set, and there is no port where they can log in; set "
                    "LISTEN=25,587:submission (or smtpd_sasl_auth_enable=yes for port 25 too)");
    if (c->smtpd_sasl_auth_enable && !c->smtpd_tls_auth_only)
        config_note(b, CONFIG_NOTE_WARNING,
                    "smtpd_tls_auth_only=no: passwords may come in clear text, for everybody on "
                    "the way to read");
}

static bool fold_sender(struct span name, struct text *folded)
{
    return name.len > 0 && name.ptr[name.len - 1] != '@' && inline_fold_lower(name, folded);
}

static void check_senders(struct config_builder *b)
{
    static const struct inline_rules rules = {
        .max = SENDERS_MAX,
        .example = "write inline:{ ann@example.com=ann, { @example.org = ann, bob } }",
        .names = "is no sender (ann@example.com, ann for myorigin's, @example.com for all of a "
                 "domain)",
        .fold = fold_sender,
    };
    enum setting_index at = SETTING_AT_smtpd_sender_login_maps;
    struct config *c = b->config;
    struct errbuf err;

    if (!is_bad(b, at))
        config_fault_from(b, at,
                          inline_table_parse(&c->sender_logins, span_of(c->smtpd_sender_login_maps),
                                             &rules, &err),
                          &err);
}

void config_check_sasl(struct config_builder *b)
{
    check_users(b);
    check_path(b);
    pick_back_end(b);
    check_mechanisms(b);
    check_senders(b);
    check_use(b);
}
