/*
 * config - the settings as one value, built from defaults, an ini file, the environment and what
 * `postconf -e` was told
 *
 * A struct config is immutable once built and reference-counted: a reload (SIGHUP) makes a new one,
 * sessions under way keep theirs. settings.def has one row per setting; the struct fields below,
 * the parser, the environment names, postconf and the documentation come from it.
 *
 * Order, later wins: defaults, ini file, environment, overrides (DESIGN 4); of the variables of one
 * setting POSTFIX_x beats X in capitals, and that the friendly name (ALLOWED_DOMAINS, DOMAIN).
 * HOSTNAME is only myhostname's default. An empty variable returns a setting to its default. All
 * sources are given as values, so this module reads neither files nor the process environment
 * itself and is pure.
 */
#ifndef MXGATE_CONFIG_CONFIG_H
#define MXGATE_CONFIG_CONFIG_H

#include "base/errbuf.h"
#include "base/span.h"
#include "config/anonymize.h"
#include "config/cidr.h"
#include "config/domains.h"
#include "config/ehlo_map.h"
#include "config/inline_table.h"
#include "config/peer_list.h"
#include "config/relay_login.h"
#include "config/relay_tls.h"
#include "config/restrictions.h"
#include "config/sni_map.h"
#include "config/transport_map.h"

enum setting_kind {
    SETTING_text,
    SETTING_words,
    SETTING_flag,
    SETTING_number,
    SETTING_bytes,
    SETTING_time,
    SETTING_choice
};

/* Values of the choices, in the order of the words in settings.def. */
enum config_delivery_mode { DELIVERY_MODE_DIRECT, DELIVERY_MODE_QUEUE };
enum config_log_format { LOG_FORMAT_PLAIN, LOG_FORMAT_JSON };
enum config_unverified { UNVERIFIED_ACCEPT, UNVERIFIED_DEFER };
enum smtpd_tls_level { SMTPD_TLS_MAY, SMTPD_TLS_NONE, SMTPD_TLS_ENCRYPT };
enum config_inet_protocols { INET_ALL, INET_IPV4, INET_IPV6, INET_IPV4_IPV6, INET_IPV6_IPV4 };
enum config_outbound { OUTBOUND_NONE, OUTBOUND_DIRECT };
enum config_address_preference { PREFER_ANY, PREFER_IPV6, PREFER_IPV4 };
enum config_sandbox { SANDBOX_AUTO, SANDBOX_YES, SANDBOX_NO };

/* What smtpd_tls_* come to. */
struct smtpd_tls {
    enum smtpd_tls_level level;
    unsigned min_version; /* as on the wire, see tls_words.h */
    unsigned max_version;
    bool medium; /* AES-CBC too */
};

/* message_size_limit as built from 0. */
#define CONFIG_SIZE_UNLIMITED (UINT64_C(1) << 40)
/* For what message_size_limit implies (queue_minfree) where it sets no limit. */
#define CONFIG_SIZE_USUAL 26214400

typedef const char *config_text;
typedef const char *config_words;
typedef bool config_flag;
typedef uint64_t config_number;
typedef uint64_t config_bytes;
typedef uint64_t config_time; /* milliseconds */
typedef int config_choice;

struct config {
    unsigned references; /* see config_ref */
    /* one field per row: text and words are owned NUL-terminated strings with $name expanded, never
     * NULL */
#define SETTING(kind, name, def, min, max, live, help) config_##kind name;
#include "config/settings.def"
#undef SETTING
    /* compiled from the above */
    struct domain_list domains;            /* relay_domains */
    struct cidr_list networks;             /* mynetworks */
    struct transport_map transports;       /* transport_maps */
    uint16_t smtp_port;                    /* smtp_tcp_port */
    struct inline_table sender_relayhosts; /* sender_dependent_relayhost_maps */
    struct relay_logins logins;            /* smtp_sasl_...; relay_login_find() */
    struct relay_tls_map relay_tls[2];     /* of lmtp: and smtp: targets, by enum route_kind */
    struct domain_list senders;            /* allowed_sender_domains, with their subdomains */
    struct cidr_list unlimited;            /* smtpd_client_event_limit_exceptions */
    struct restriction_list restrictions[RESTRICT_STAGE_COUNT]; /* smtpd_*_restrictions */
    struct cidr_list proxies;                                   /* smtpd_upstream_proxy_hosts */
    struct peer_list debugged;                                  /* debug_peer_list */
    struct ehlo_map ehlo_maps;  /* smtpd_discard_ehlo_keyword_address_maps */
    struct smtpd_tls smtpd_tls; /* smtpd_tls_security_level and its like */
    struct sni_map sni;         /* tls_server_sni_maps */
    struct anonymize anonymize; /* anonymize_emails */
    struct config_private *own; /* owned: strings, and where each value came from */
};

struct setting {
    enum setting_kind kind;
    const char *name;
    const char *def;
    uint64_t min;
    uint64_t max;
    bool live;
    const char *help;
    size_t offset; /* of the field in struct config */
};

extern const struct setting settings[];
extern const size_t settings_count;

/* What the caller shows at start, one line each, in order. */
enum config_note_kind {
    CONFIG_NOTE_APPLIED, /* "Applying custom postfix setting: relay_transport=lmtp:..." */
    CONFIG_NOTE_WARNING, /* "POSTFIX_relay_domain is not a setting; did you mean
                            POSTFIX_relay_domains?" */
    CONFIG_NOTE_ERROR,   /* why the start is refused */
    CONFIG_NOTE_INFO,    /* "POSTFIX_max_idle has no meaning here and is ignored: ..." */
};
typedef void (*config_note_fn)(void *ctx, enum config_note_kind kind, const char *text);

struct config_source {
    const char *ini_text;           /* the ini file's bytes, or NULL; NUL-terminated */
    const char *ini_name;           /* its path, for messages */
    const char *const *environment; /* like environ, or NULL */
    const char *system_hostname;    /* from gethostname, for myhostname's default */
    const char *overrides_text;     /* what postconf -e keeps (overrides.h), or NULL */
    const char *overrides_name;     /* its path, for messages */
};

/*
 * Builds a configuration. 0 and *config_out with one reference, or -EINVAL after one
 * CONFIG_NOTE_ERROR per fault (unknown ini names, values out of range, bad lists, no domain, no
 * transport: reason and remedy), or -ENOMEM.
 */
int config_build(const struct config_source *source, config_note_fn note, void *note_ctx,
                 struct config **config_out);
/*
 * For commands beside the daemon (mailq, status): nothing set wrong is fatal, so that they work
 * while the daemon refuses to start. A missing domain or transport is no fault; any other fault is
 * a CONFIG_NOTE_WARNING and the setting keeps its default. 0 or -ENOMEM.
 */
int config_build_lenient(const struct config_source *source, config_note_fn note, void *note_ctx,
                         struct config **config_out);
struct config *config_ref(struct config *c);
void config_unref(struct config **c); /* clears the pointer; frees at zero */

/* A setting by its Postfix name; NULL when there is none. */
const struct setting *setting_find(struct span name);
/* The value as text, as postconf shows it ($name as written, computed defaults computed), into `t`.
 */
struct text;
void config_value_text(const struct config *c, const struct setting *s, struct text *t);
/* The same with $name expanded, as postconf -x shows it. */
void config_value_expanded(const struct config *c, const struct setting *s, struct text *t);
/* Whether a source other than the defaults set it. */
bool config_is_set(const struct config *c, const struct setting *s);
/* Which one, in words ("POSTFIX_x", "FILE line 3", "postconf -e"); NULL: none. */
const char *config_set_by(const struct config *c, const struct setting *s);
/* Whether postconf -e may set it: not those that say where its file is. */
bool config_can_override(const struct setting *s);
/* Whether the value must not be shown: passwords and secrets. */
bool config_is_secret(struct span name);
/* Whether a secret was set. */
bool config_holds_secret(const struct config *c);

/* "300s", "5m", "1h", "5d", "2w", "500ms", bare number = seconds. Milliseconds.
 * In settings a bare number counts in the unit of the default instead, as in Postfix:
 * maximal_queue_lifetime=5 is five days. */
bool config_parse_time(struct span s, uint64_t *ms_out);
/* "26214400", "16M" (1024-based K, M, G). */
bool config_parse_bytes(struct span s, uint64_t *bytes_out);

#endif
