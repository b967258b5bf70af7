/*
 * connection_auth - who knows the users: those of the settings, or Dovecot; see connection.c
 *
 * A session keeps to the back end its own settings name, whatever a reload says of the next ones.
 */
#include "server/connection_internal.h"

#include "base/clock.h"
#include "server/sasl_login.h"
#include "server/sasl_server.h"
#include "tls/hmac.h"

#include <stdlib.h>

struct connection_login {
    struct sasl_login users;
    struct sasl_request *request; /* borrowed: Dovecot's, under way */
};

static bool asks_dovecot(const struct connection *c)
{
    return c->session.config->sasl == SASL_BACK_END_DOVECOT;
}

const struct sasl_mechanisms *connection_auth_mechanisms(void *ctx)
{
    const struct connection *c = ctx;

    switch (c->session.config->sasl) {
    case SASL_BACK_END_USERS:
        return sasl_login_mechanisms();
    case SASL_BACK_END_DOVECOT:
        return c->server->sasl ? &c->server->sasl->mechanisms : NULL;
    case SASL_BACK_END_NONE:
        break;
    }
    return NULL;
}

static void on_answer(void *ctx, const struct session_auth_answer *answer)
{
    struct connection *c = ctx;

    if (answer->outcome != SESSION_AUTH_MORE)
        c->login->request = NULL;
    if (!c->gone)
        session_auth_answer(&c->session, answer);
}

static void put_address(const struct sockaddr_storage *address, char text[48], uint16_t *port_out)
{
    *port_out = ntohs(((const struct sockaddr_in *)address)->sin_port);
    if (address->ss_family == AF_INET)
        uv_ip4_name((const struct sockaddr_in *)address, text, 48);
    else if (address->ss_family == AF_INET6)
        uv_ip6_name((const struct sockaddr_in6 *)address, text, 48);
}

static void ask_dovecot(struct connection *c, const struct session_auth_request *request)
{
    struct sockaddr_storage local = {.ss_family = AF_UNSPEC};
    char local_text[48] = "";
    struct sasl_dovecot_request ask = {
        .mechanism = request->mechanism,
        .service = request->service,
        .local_address = local_text,
        .remote_address = c->session.peer_address,
        .remote_port = c->session.peer_port,
        .secured = request->secured,
        .has_initial = request->has_initial,
        .initial = request->initial,
    };
    int len = sizeof local;
    struct sasl_request *r;

    if (uv_tcp_getsockname(&c->stream.io.tcp, (struct sockaddr *)&local, &len) == 0)
        put_address(&local, local_text, &ask.local_port);
    r = sasl_server_start(c->server->sasl, &ask, on_answer, c);
    if (r)
        c->login->request = r;
}

void connection_auth_start(void *ctx, const struct session_auth_request *request)
{
    struct connection *c = ctx;
    struct session_auth_answer answer = {
        SESSION_AUTH_TROUBLE, {NULL, 0},
         "", "out of memory"
    };

    if (!c->login)
        c->login = calloc(1, sizeof *c->login);
    if (c->login && asks_dovecot(c)) {
        ask_dovecot(c, request);
        return;
    }
    if (c->login)
        sasl_login_start(&c->login->users, c->session.config, request, &answer);
    session_auth_answer(&c->session, &answer);
}

void connection_auth_next(void *ctx, struct span response)
{
    struct connection *c = ctx;
    struct session_auth_answer answer = {
        SESSION_AUTH_TROUBLE, {NULL, 0},
         "", SASL_SERVER_AWAY
    };

    if (c->login->request) {
        sasl_server_next(c->login->request, response);
        return;
    }
    if (!asks_dovecot(c)) /* else it is gone, and was when the client had the word */
        sasl_login_next(&c->login->users, c->session.config, response, &answer);
    session_auth_answer(&c->session, &answer);
}

void connection_auth_cancel(void *ctx)
{
    struct connection *c = ctx;

    if (!c->login)
        return;
    sasl_server_cancel(&c->login->request);
    sasl_login_cancel(&c->login->users);
}

unsigned connection_count_user(struct connection *c, enum limits_event event)
{
    struct smtp_server *s = c->server;
    char name[SASL_LOGIN_CAP];
    unsigned char hash[HMAC_SHA256_LEN]; /* its first 16 bytes are the key */
    struct text t;

    text_init(&t, name, sizeof name);
    for (const char *p = c->session.login->user; *p; p++)
        text_char(&t, ascii_lower(*p));
    hmac_sha256(SPAN_LIT("user"), text_as_span(&t), hash);
    return limits_count(&s->user_limits, hash, event, clock_mono_ms(),
                        s->config->anvil_rate_time_unit);
}

void connection_auth_release(struct connection *c)
{
    connection_auth_cancel(c);
    free(c->login);
    c->login = NULL;
}
