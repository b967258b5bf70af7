/*
 * restrictions - the lists that say who may send what to whom (smtpd_*_restrictions); pure
 *
 *     list = word *( ("," / blank) word )
 *     word = name / "reject_rbl_client" zone [ "=" filter ] / "sleep" seconds / "warn_if_reject"
 * word
 *
 * Names are Postfix's, old ones too, in any case. What is not supported is refused with what to
 * write instead: leaving a word out would change who may send what, and silence about it would be
 * worse. Words mean what they mean in Postfix; server/policy.c runs them.
 *
 * A block list's answer counts when it is 127.0.0.2 to 127.0.0.255, or one that the filter admits:
 * zone=127.0.0.4, zone=127.0.0.[2..11], zone=127.0.0.[2;4..8].
 */
#ifndef MXGATE_CONFIG_RESTRICTIONS_H
#define MXGATE_CONFIG_RESTRICTIONS_H

#include "base/errbuf.h"
#include "base/span.h"

#define RESTRICTIONS_MAX      100 /* words of one list */
#define RESTRICTION_SLEEP_MAX 60  /* seconds */

enum restriction_stage {
    RESTRICT_CLIENT,
    RESTRICT_HELO,
    RESTRICT_SENDER,
    RESTRICT_RELAY,
    RESTRICT_RECIPIENT,
    RESTRICT_DATA,
    RESTRICT_STAGE_COUNT
};

enum restriction_word {
    RESTRICTION_PERMIT,
    RESTRICTION_REJECT,
    RESTRICTION_DEFER,
    RESTRICTION_DEFER_IF_PERMIT,
    RESTRICTION_PERMIT_MYNETWORKS,
    RESTRICTION_PERMIT_SASL_AUTHENTICATED,
    RESTRICTION_PERMIT_AUTH_DESTINATION,
    RESTRICTION_REJECT_UNAUTH_DESTINATION,
    RESTRICTION_DEFER_UNAUTH_DESTINATION,
    RESTRICTION_REJECT_UNAUTH_PIPELINING,
    RESTRICTION_REJECT_UNKNOWN_CLIENT_HOSTNAME,
    RESTRICTION_REJECT_UNKNOWN_REVERSE_CLIENT_HOSTNAME,
    RESTRICTION_REJECT_RBL_CLIENT,
    RESTRICTION_REJECT_PLAINTEXT_SESSION,
    RESTRICTION_REJECT_INVALID_HELO_HOSTNAME,
    RESTRICTION_REJECT_NON_FQDN_HELO_HOSTNAME,
    RESTRICTION_REJECT_UNKNOWN_HELO_HOSTNAME,
    RESTRICTION_REJECT_NON_FQDN_SENDER,
    RESTRICTION_REJECT_UNKNOWN_SENDER_DOMAIN,
    RESTRICTION_REJECT_UNLISTED_SENDER,
    RESTRICTION_REJECT_NON_FQDN_RECIPIENT,
    RESTRICTION_REJECT_UNKNOWN_RECIPIENT_DOMAIN,
    RESTRICTION_REJECT_UNLISTED_RECIPIENT,
    RESTRICTION_REJECT_UNVERIFIED_RECIPIENT,
    RESTRICTION_REJECT_MULTI_RECIPIENT_BOUNCE,
    RESTRICTION_REJECT_SENDER_LOGIN_MISMATCH,
    RESTRICTION_REJECT_AUTHENTICATED_SENDER_LOGIN_MISMATCH,
    RESTRICTION_REJECT_UNAUTHENTICATED_SENDER_LOGIN_MISMATCH,
    RESTRICTION_REJECT_KNOWN_SENDER_LOGIN_MISMATCH,
    RESTRICTION_SLEEP,
    RESTRICTION_WORD_COUNT
};

/* Which addresses a block list may answer: one set of values for each of the four numbers. */
struct restriction_filter {
    unsigned char allowed[4][32]; /* bits */
};

struct restriction {
    enum restriction_word word;
    bool warn;                         /* warn_if_reject stood before it */
    unsigned seconds;                  /* sleep */
    char *zone;                        /* owned; reject_rbl_client, lower case */
    struct restriction_filter *filter; /* owned; NULL: 127.0.0.2 to 127.0.0.255 */
};

struct restriction_list {
    struct restriction *items; /* owned */
    size_t count;
};

/* 0, -EINVAL (err names the word, and says what to write instead) or -ENOMEM; then the list is
 * empty. */
int restriction_list_parse(struct restriction_list *list, struct span text, struct errbuf *err);
void restriction_list_free(struct restriction_list *list);
bool restriction_list_has(const struct restriction_list *list, enum restriction_word word);
/* Whether an answer of the block list means that the client is on it. */
bool restriction_rbl_match(const struct restriction *r, const unsigned char address[4]);

#endif
