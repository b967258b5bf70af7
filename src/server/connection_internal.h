/* connection_internal - between connection.c, connection_accept.c and connection_proxy.c */
#ifndef MXGATE_SERVER_CONNECTION_INTERNAL_H
#define MXGATE_SERVER_CONNECTION_INTERNAL_H

#include "server/listener.h"
#include "server/session.h"

struct connection_login;
struct connection_proxy;

struct connection {
    struct smtp_server *server;
    struct connection *prev, *next;
    struct stream stream;
    struct session session;
    struct verify_query *query; /* owned; from the first question on: idle clients have none */
    struct resolver_query *name_query;   /* borrowed */
    struct resolver_query *lookup_query; /* borrowed */
    struct body *body;                   /* owned */
    struct tls_session *tls;             /* owned until the stream has it */
    struct connection_login *login;      /* owned; NULL: nobody has said AUTH */
    struct connection_proxy *proxy;      /* owned; NULL: no PROXY header is due */
    struct sockaddr_storage address;     /* the client's, as a PROXY header has it where one came */
    unsigned char address16[16];
    unsigned char limits_key[16]; /* what it counts as */
    bool local;                   /* see connection_adopt */
    bool balancer; /* the address is that of a load balancer, which vouches for nobody */
    bool probe;    /* and so is the session: its health check */
    bool counted;
    bool tls_counted;
    bool wrapped;    /* TLS from the first byte */
    bool submission; /* for users who log in */
    bool gone;
    bool eof; /* the client says no more, and the session was at work: it hears the answer first */
    unsigned holds; /* stream, query if there is one */
};

/* connection_accept.c: begins the session of the client at c->address: limits, greeting. */
void connection_start(struct connection *c);
/* Whether no limit holds for the client. */
bool connection_is_unlimited(const struct connection *c);
/* Counts one more of this client; how many there were, or 0 when it has no limit. */
unsigned connection_count_event(struct connection *c, enum limits_event event);
/* What the session counts, of the client or of its user. */
unsigned connection_event(void *ctx, enum session_event event);
/* connection_proxy.c: whether it comes from smtpd_upstream_proxy_hosts; reads its header, then
 * calls connection_start(). */
bool connection_is_proxied(const struct connection *c);
void connection_await_header(struct connection *c);
/* connection_lookup.c: asks the DNS, or the answers that are remembered. */
void connection_lookup(void *ctx, enum dns_question question, const char *name);

/* connection_auth.c: what the session asks about users; the end. */
const struct sasl_mechanisms *connection_auth_mechanisms(void *ctx);
void connection_auth_start(void *ctx, const struct session_auth_request *request);
void connection_auth_next(void *ctx, struct span response);
void connection_auth_cancel(void *ctx);
void connection_auth_release(struct connection *c);
/* One more of the user who has logged in, whatever address he comes from. */
unsigned connection_count_user(struct connection *c, enum limits_event event);

/* connection_tls.c: what the session asks about TLS, what the stream tells of it, and the end. */
bool connection_tls_offered(void *ctx);
bool connection_tls_prepare(void *ctx, struct smtp_verdict *verdict_out);
void connection_tls_start(void *ctx);
void connection_on_secured(void *ctx);
/* The stream ended with rc: tells the session, with what TLS had to do with it. */
void connection_tls_lost(struct connection *c, int rc);
void connection_tls_release(struct connection *c);

extern const struct session_ops connection_session_ops;
extern const struct stream_events connection_stream_events;

#endif
