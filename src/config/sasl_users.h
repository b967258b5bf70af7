/*
 * sasl_users - who may log in, written in the settings: SMTPD_SASL_USERS; pure
 *
 *     users = user *( "," user )      user = name [ "@" domain ] ":" password
 *
 * As in the image that this replaces: a name without a domain is at the domain given, and may be
 * said with it or without it when logging in (who it was is called by the name that is set). Blanks
 * and line ends around an entry do not count; a password may have any character but a comma. Names
 * are compared in any case, passwords exactly, and in a time that does not tell how much of them
 * was right.
 *
 * Fails:  -EINVAL without any part of the text in the words: all of it may be secret.
 * Owns:   all texts; sasl_users_free() overwrites them.
 * Limits: SASL_USERS_MAX.
 */
#ifndef MXGATE_CONFIG_SASL_USERS_H
#define MXGATE_CONFIG_SASL_USERS_H

#include "base/errbuf.h"
#include "base/span.h"

#define SASL_USERS_MAX 1000

struct sasl_user {
    char *name;     /* owned: as it is written, in lower case */
    char *whole;    /* owned: "name@domain" */
    char *password; /* owned */
};

struct sasl_users {
    struct sasl_user *items; /* owned */
    size_t count;
};

/* domain: of names that have none. 0, -EINVAL (err says which entry, by its number) or -ENOMEM;
 * then the list is empty. */
int sasl_users_parse(struct sasl_users *users, struct span text, struct span domain,
                     struct errbuf *err);
void sasl_users_free(struct sasl_users *users);
/* The user of that name and password, or NULL. *known_out: the one of that name, or NULL. */
const char *sasl_users_check(const struct sasl_users *users, struct span domain, struct span name,
                             struct span password, const char **known_out);

#endif
