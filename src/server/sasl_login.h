/*
 * sasl_login - PLAIN and LOGIN against the users of the settings (config/sasl_users.h); pure
 *
 *     PLAIN:  [ "" --> ] message --> DONE           (RFC 4616)
 *     LOGIN:  [ "Username:" --> ] name --"Password:"--> password --> DONE
 *
 * Every answer is there at once. Who is not known and whose password is wrong hear the same.
 *
 * Owns: the name between LOGIN's questions, overwritten when the dialogue ends.
 * Limits: SASL_LOGIN_RESPONSE_MAX bytes of base64; a name has SASL_LOGIN_CAP.
 */
#ifndef MXGATE_SERVER_SASL_LOGIN_H
#define MXGATE_SERVER_SASL_LOGIN_H

#include "config/config.h"
#include "server/session.h"

#define SASL_LOGIN_RESPONSE_MAX 2048

enum sasl_login_step { SASL_LOGIN_NONE, SASL_LOGIN_PLAIN, SASL_LOGIN_NAME, SASL_LOGIN_PASSWORD };

struct sasl_login {
    enum sasl_login_step step; /* what is waited for */
    char name[SASL_LOGIN_CAP];
};

/* What it can do. */
const struct sasl_mechanisms *sasl_login_mechanisms(void);
/* The texts of the answer are good until the next call. */
void sasl_login_start(struct sasl_login *l, const struct config *config,
                      const struct session_auth_request *request,
                      struct session_auth_answer *answer_out);
void sasl_login_next(struct sasl_login *l, const struct config *config, struct span response,
                     struct session_auth_answer *answer_out);
void sasl_login_cancel(struct sasl_login *l);

#endif
