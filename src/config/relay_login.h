/*
 * relay_login - who we are at servers of others: users and passwords by host, and which ways of
 * logging in may be used; pure
 *
 *     RELAYHOST_USERNAME, RELAYHOST_PASSWORD or RELAYHOST_TOKEN_FILE: at every host of relayhost
 *         (SASL_RELAYHOST: at the hosts named there instead)
 *     smtp_sasl_password_maps = inline:{ [smtp.example.net]:587=ann:secret, example.org=bob:x }
 *         or static:ann:secret, for every server
 *
 * A name in the table is a host as in relayhost; brackets say nothing here. The strongest counts:
 * relayhost's, host and port, host, static:. The MX hosts of a relayhost without brackets have the
 * login of its name. As in Postfix a login is for each target that is written smtp: too.
 *
 * Nothing here is shown anywhere: all errors are without values.
 */
#ifndef MXGATE_CONFIG_RELAY_LOGIN_H
#define MXGATE_CONFIG_RELAY_LOGIN_H

#include "base/errbuf.h"
#include "base/span.h"
#include "config/inline_table.h"

struct config;
struct route;

#define RELAY_LOGINS_MAX 1000

/* Bits, in the order of preference from the last to the first. */
enum relay_mechanism {
    RELAY_MECHANISM_NONE = 0,
    RELAY_MECHANISM_LOGIN = 1,
    RELAY_MECHANISM_PLAIN = 2,
    RELAY_MECHANISM_XOAUTH2 = 4,
};
#define RELAY_MECHANISMS_ALL 7u

/* NONE: not one of ours. */
enum relay_mechanism relay_mechanism_find(struct span word);
const char *relay_mechanism_word(enum relay_mechanism mechanism);

struct relay_login {
    struct span user;       /* borrowed from the configuration */
    struct span password;   /* likewise */
    const char *token_file; /* likewise; where the token of XOAUTH2 is; "": the password counts */
    unsigned in_clear;      /* enum relay_mechanism: what may be used outside of TLS, and inside */
    unsigned in_tls;
};

/* What the settings come to. */
struct relay_logins {
    struct inline_table table; /* smtp_sasl_password_maps; a name is "[host]:port" or "host" */
    bool for_all;              /* it is static: the only name is "*" */
    bool enabled;
    unsigned in_clear, in_tls; /* enum relay_mechanism */
};

/* Whether there is a login for this target. */
bool relay_login_find(const struct config *config, const struct route *route,
                      struct relay_login *out);
/* Whether it is the same in both. */
bool relay_login_equal(const struct config *a, const struct config *b, const struct route *route);

/* smtp_sasl_password_maps; 0, -EINVAL or -ENOMEM. */
int relay_logins_parse(struct relay_logins *logins, struct span text, struct errbuf *err);
void relay_logins_free(struct relay_logins *logins);
/*
 * smtp_sasl_mechanism_filter: mechanisms, !mechanism, static:all; the first that fits counts;
 * empty: all. smtp_sasl_security_options and smtp_sasl_tls_security_options: Postfix's words; all
 * but noanonymous rule out what sends the password itself, that is all of these. 0, or -EINVAL.
 */
int relay_mechanisms_filter(struct span text, unsigned *mask_out, struct errbuf *err);
int relay_mechanisms_options(struct span text, unsigned *mask_out, struct errbuf *err);
/* A host of a table as it is compared: "[host]:port" or "host"; false: it is none. */
struct text;
bool relay_login_fold(struct span name, struct text *folded);

#endif
