/*
 * relay_tls - what TLS each upstream must have: the settings lmtp_tls_... or smtp_tls_... as a
 * value, and the table of exceptions (..._tls_policy_maps); pure
 *
 *     inline:{ {[192.0.2.54]:24 = verify match=mail.example.com}, mail.example.net=none,
 *              {.example.org = encrypt protocols=>=TLSv1 ciphers=medium servername=x.example.org} }
 *
 * A name in the table is a host as in the transport, with or without brackets (they say nothing
 * about TLS here, as there is no MX look-up) and port; or .parent. The strongest match counts: host
 * and port, host, nearest parent. Attributes are Postfix's: match (several with ":", or for
 * fingerprints with "|"), protocols, ciphers, servername. What is not said there comes from the
 * settings.
 *
 * Where the level is not said, a way out (route.out) has the level may, not none: servers of others
 * are asked across networks of others. Its port 465 means TLS from the first byte on, whatever is
 * said; and a login, unless it may go in clear text, means the level encrypt at least
 * (relay_tls_raise).
 *
 * Fails:  -EINVAL with the reason in err, and which setting it is; -ENOMEM.
 * Limits: RELAY_TLS_ENTRIES_MAX names in the table, RELAY_TLS_MATCH_MAX words in a match,
 *         RELAY_TLS_PRINTS_MAX fingerprints.
 */
#ifndef MXGATE_CONFIG_RELAY_TLS_H
#define MXGATE_CONFIG_RELAY_TLS_H

#include "config/route.h"
#include "config/tls_words.h"

#define RELAY_TLS_ENTRIES_MAX 1000
#define RELAY_TLS_MATCH_MAX   8
#define RELAY_TLS_PRINTS_MAX  32
#define RELAY_TLS_NAME_CAP    256

struct relay_tls {
    enum tls_level level;
    bool wrapper; /* TLS from the first byte on; the level is ENCRYPT at least */
    unsigned min_version, max_version;
    bool medium;
    char servername[RELAY_TLS_NAME_CAP]; /* for SNI; "": none was set */
    /* VERIFY, SECURE: "hostname", "nexthop", "dot-nexthop", a name, or ".domain" */
    char match[RELAY_TLS_MATCH_MAX][RELAY_TLS_NAME_CAP];
    size_t match_count;
    unsigned char (*prints)[TLS_FINGERPRINT_LEN]; /* owned; FINGERPRINT */
    size_t print_count;
};

struct relay_tls_entry {
    char *host;    /* owned; lower case, no brackets */
    uint16_t port; /* 0: any */
    struct relay_tls tls;
};

struct relay_tls_map {
    struct relay_tls general;
    struct relay_tls out;            /* the same for ways out; only where there are any */
    struct relay_tls_entry *entries; /* owned */
    size_t count;
};

/* The settings, as they are written. */
enum relay_tls_setting {
    RELAY_TLS_LEVEL,
    RELAY_TLS_PROTOCOLS,
    RELAY_TLS_MANDATORY_PROTOCOLS,
    RELAY_TLS_CIPHERS,
    RELAY_TLS_MANDATORY_CIPHERS,
    RELAY_TLS_VERIFY_MATCH,
    RELAY_TLS_SECURE_MATCH,
    RELAY_TLS_FINGERPRINTS,
    RELAY_TLS_SERVERNAME,
    RELAY_TLS_POLICY,
    RELAY_TLS_SETTING_COUNT
};
struct relay_tls_words {
    const char *text[RELAY_TLS_SETTING_COUNT]; /* borrowed for the call */
    bool use, enforce, enforce_peername;       /* the old forms; only where there is no level */
    bool wrapper;
    bool ways_out; /* there are some */
};

/*
 * Settings that no level here needs are not looked at. On failure nothing is left in it, TLS is
 * off, and *which_out says where the fault is.
 */
int relay_tls_build(struct relay_tls_map *map, const struct relay_tls_words *words,
                    enum relay_tls_setting *which_out, struct errbuf *err);
void relay_tls_free(struct relay_tls_map *map);
/* What holds for this target; a unix socket or a folder has no TLS. */
const struct relay_tls *relay_tls_find(const struct relay_tls_map *map, const struct route *route);
/* A copy with the level encrypt at least; what it points to is still the original's. */
struct relay_tls relay_tls_raise(const struct relay_tls *tls, bool wrapper);
bool relay_tls_equal(const struct relay_tls *a, const struct relay_tls *b);
/* Whether any upstream is verified by a CA, or may use TLS at all. */
bool relay_tls_needs_ca(const struct relay_tls_map *map);
bool relay_tls_is_used(const struct relay_tls_map *map);
/* What `match` means for this host, found by MX look-up of nexthop (else both are the same); at
 * most RELAY_TLS_MATCH_MAX names. */
size_t relay_tls_names(const struct relay_tls *tls, const char *host, const char *nexthop,
                       char names[][RELAY_TLS_NAME_CAP]);

#endif
