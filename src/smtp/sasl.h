/*
 * sasl - names of ways to log in, and what goes through AUTH: base64, PLAIN (RFC 4422, 4616, 4648)
 *
 *     name  = 1*20( %x41-5A / DIGIT / "-" / "_" )     ; compared in any case
 *     PLAIN = [ authorised ] NUL login NUL password
 *
 * Pure. A list keeps what the back end says of each mechanism; which of them may be offered to whom
 * is the settings' business (config/sasl_options.h).
 *
 * Limits: SASL_MECHANISMS_MAX in a list, more are left out; base64 is taken strictly: whole groups
 * of four, "=" at the end only.
 */
#ifndef MXGATE_SMTP_SASL_H
#define MXGATE_SMTP_SASL_H

#include "base/span.h"

#define SASL_NAME_CAP       21
#define SASL_MECHANISMS_MAX 24
#define SASL_LOGIN_CAP      256 /* a longer name is nobody's */

/* What a mechanism has about it, in the words of Dovecot's protocol. */
enum sasl_property {
    SASL_PLAINTEXT = 1,  /* the password itself is sent */
    SASL_ACTIVE = 2,     /* not safe from somebody in between */
    SASL_DICTIONARY = 4, /* not safe from guessing by somebody who listens */
    SASL_ANONYMOUS = 8,  /* nobody in particular is logged in */
    SASL_FORWARD_SECRECY = 16,
    SASL_MUTUAL_AUTH = 32,
    SASL_PRIVATE = 64, /* not for clients */
};

struct sasl_mechanism {
    char name[SASL_NAME_CAP];
    unsigned properties; /* enum sasl_property bits */
};

struct sasl_mechanisms {
    struct sasl_mechanism items[SASL_MECHANISMS_MAX];
    size_t count;
};

/* In capitals; false when it is no name, is there already, or there is no room. */
bool sasl_mechanisms_add(struct sasl_mechanisms *m, struct span name, unsigned properties);
/* NULL: it is not there. */
const struct sasl_mechanism *sasl_mechanisms_find(const struct sasl_mechanisms *m,
                                                  struct span name);

/* Only what base64 is made of; the groups may be wrong. */
bool sasl_is_base64(struct span s);
/* False: it is not base64, or does not fit. */
bool sasl_base64_decode(struct span s, char *out, size_t cap, size_t *len_out);

struct sasl_plain {
    struct span authorised; /* whom to act for; empty: the login */
    struct span login;
    struct span password;
};
/* The parts point into `message`. False: not these three, or no login or password. */
bool sasl_plain_parse(struct span message, struct sasl_plain *out);

#endif
