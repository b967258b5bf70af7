/* sasl_login - see sasl_login.h */
#include "server/sasl_login.h"

#include <string.h>

const struct sasl_mechanisms *sasl_login_mechanisms(void)
{
    static const struct sasl_mechanisms all = {
        .items = {{"PLAIN", SASL_PLAINTEXT}, {"LOGIN", SASL_PLAINTEXT}},
        .count = 2,
    };

    return &all;
}

void sasl_login_cancel(struct sasl_login *l)
{
    explicit_bzero(l, sizeof *l);
}

static void ask(struct sasl_login *l, enum sasl_login_step step, struct span challenge,
                struct session_auth_answer *answer)
{
    l->step = step;
    *answer = (struct session_auth_answer){SESSION_AUTH_MORE, challenge, "", ""};
}

static void refuse(struct sasl_login *l, const char *reason, struct session_auth_answer *answer)
{
    sasl_login_cancel(l);
    *answer = (struct session_auth_answer){
        SESSION_AUTH_FAILED, {NULL, 0},
         "", reason
    };
}

static void judge(struct sasl_login *l, const struct config *config, struct span name,
                  struct span password, struct session_auth_answer *answer)
{
    struct span domain = span_of(config_sasl_domain(config));
    const char *known;
    const char *user = sasl_users_check(&config->sasl_users, domain, name, password, &known);

    refuse(l, "authentication failure", answer);
    if (user)
        *answer = (struct session_auth_answer){
            SESSION_AUTH_DONE, {NULL, 0},
             user, ""
        };
    else if (known) /* of others the log does not tell: it may be a password in the wrong place */
        answer->login = known;
}

static void take_plain(struct sasl_login *l, const struct config *config, struct span message,
                       struct session_auth_answer *answer)
{
    struct sasl_plain plain;

    if (!sasl_plain_parse(message, &plain))
        refuse(l, "bad protocol / cancel", answer);
    else if (plain.authorised.len > 0 && !span_equal_nocase(plain.authorised, plain.login))
        refuse(l, "nobody may act for another", answer);
    else
        judge(l, config, plain.login, plain.password, answer);
}

static void take_name(struct sasl_login *l, struct span name, struct session_auth_answer *answer)
{
    if (name.len == 0 || !span_copy(name, l->name, sizeof l->name))
        refuse(l, "bad protocol / cancel", answer);
    else
        ask(l, SASL_LOGIN_PASSWORD, SPAN_LIT("UGFzc3dvcmQ6"), answer); /* "Password:" */
}

static void take(struct sasl_login *l, const struct config *config, struct span message,
                 struct session_auth_answer *answer)
{
    switch (l->step) {
    case SASL_LOGIN_PLAIN:
        take_plain(l, config, message, answer);
        return;
    case SASL_LOGIN_NAME:
        take_name(l, message, answer);
        return;
    case SASL_LOGIN_PASSWORD:
        judge(l, config, span_of(l->name), message, answer);
        return;
    case SASL_LOGIN_NONE:
        break;
    }
    refuse(l, "bad protocol / cancel", answer);
}

void sasl_login_next(struct sasl_login *l, const struct config *config, struct span response,
                     struct session_auth_answer *answer_out)
{
    char message[SASL_LOGIN_RESPONSE_MAX];
    size_t len;

    if (sasl_base64_decode(response, message, sizeof message, &len))
        take(l, config, span_make(message, len), answer_out);
    else
        refuse(l, "bad protocol / cancel", answer_out);
    explicit_bzero(message, sizeof message);
}

void sasl_login_start(struct sasl_login *l, const struct config *config,
                      const struct session_auth_request *request,
                      struct session_auth_answer *answer_out)
{
    bool plain = strcmp(request->mechanism, "PLAIN") == 0;

    l->step = plain ? SASL_LOGIN_PLAIN : SASL_LOGIN_NAME;
    if (request->has_initial)
        sasl_login_next(l, config, request->initial, answer_out);
    else if (plain)
        ask(l, SASL_LOGIN_PLAIN, SPAN_LIT(""), answer_out);
    else
        ask(l, SASL_LOGIN_NAME, SPAN_LIT("VXNlcm5hbWU6"), answer_out); /* "Username:" */
}
