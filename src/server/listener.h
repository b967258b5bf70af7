/*
 * listener - the SMTP server's sockets, and the connections they brought
 *
 * accept --> limits (421) --> connection (session + stream) --> closed
 *
 * Beyond smtpd_connection_limit a client hears 421 4.3.2, and beyond what LISTENER_SPARE allows for
 * such it is closed without a word. Never "not accepted": a full backlog would look like an outage.
 * Clients in mynetworks have LISTENER_SPARE places more, or strangers who take all places would
 * make the gateway's own healthcheck fail.
 */
#ifndef MXGATE_SERVER_LISTENER_H
#define MXGATE_SERVER_LISTENER_H

#include "base/errbuf.h"
#include "config/config.h"
#include "config/listen.h"
#include "intake/intake.h"
#include "net/dns_cache.h"
#include "net/resolver.h"
#include "net/stream.h"
#include "relay/relay.h"
#include "server/limits.h"
#include "server/server_tls.h"

#define LISTENER_SPARE 64 /* for trusted clients; and as many for those that are told to go */

struct connection;
struct sasl_server;
struct smtp_server;

struct listener {
    uv_tcp_t tcp;
    struct smtp_server *server;
    struct listen_address address; /* as it is set */
    char text[80];   /* "127.0.0.1:2525", the real port; with its kind behind it: ":smtps" */
    bool wrapped;    /* TLS from the first byte */
    bool submission; /* for users who log in */
};

struct smtp_server {
    uv_loop_t *loop; /* borrowed, as all of these */
    struct stream_pool *streams;
    struct resolver *resolver;
    struct relay *relay;
    struct intake *intake;
    const struct server_tls *tls; /* NULL: no TLS */
    struct sasl_server *sasl;     /* NULL: Dovecot cannot be asked */
    struct config *config;
    const struct log *log;
    struct listener listeners[LISTEN_MAX];
    size_t listener_count;
    struct limits limits;
    struct limits user_limits;      /* rates of users who logged in */
    struct dns_cache dns;           /* what policy asked */
    struct connection *connections; /* owned list */
    unsigned connection_count;
    unsigned tls_sessions;
    uint64_t rejected; /* by connections that are gone, or never began */
    int spare;         /* descriptor to give up when there is no other; 0 none */
    bool stopping;
    bool draining; /* still listening, to say 421 */
    unsigned holds;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* Binds everything in config->listen, which may take a right that is given up afterwards; needs
 * loop, config and log. 0, or -errno with the address and the remedy in err. */
int smtp_server_bind(struct smtp_server *s, struct errbuf *err);
/* Listens on what is bound. Likewise. */
int smtp_server_start(struct smtp_server *s, struct errbuf *err);
void smtp_server_set_config(struct smtp_server *s, struct config *config);
/* Whether a connection to it that is made on this machine (the healthcheck's) comes from an address
 * of smtpd_upstream_proxy_hosts, so that it has to begin with a header. */
bool listener_wants_header(const struct listener *l);
/* Commands, messages and connections refused since the start. */
uint64_t smtp_server_rejected(const struct smtp_server *s);
/*
 * on: new connections hear 421; so do sessions between commands, and the others after what they are
 * doing. Off: new connections are served again.
 */
void smtp_server_drain(struct smtp_server *s, bool on);
/* Sessions that may still bring a message: those that were not told to go. */
unsigned smtp_server_busy(const struct smtp_server *s);
/* No new connections; sessions between commands hear 421, the others after what they are doing. */
void smtp_server_stop(struct smtp_server *s);
/* Closes what is left. on_closed when the memory may go; only after smtp_server_stop. */
void smtp_server_close(struct smtp_server *s, void (*on_closed)(void *ctx), void *ctx);

/* One hold fewer; the last one ends the close. */
void smtp_server_release(struct smtp_server *s);

/* connection.c: takes the connection that waits in `stream`, the listener's. */
void connection_accept(const struct listener *l, uv_stream_t *stream);
/*
 * A session of a local program (sendmail -bs) over this unix socket: trusted, and known as
 * localhost. What the program still hears after it has closed its side: the answers to all it said.
 * 0, or negative and the descriptor is still the caller's.
 */
int connection_adopt(struct smtp_server *s, int fd);
void connection_shutdown(struct connection *c);
bool connection_is_busy(const struct connection *c);
void connection_close(struct connection *c);
struct connection *connection_next(struct connection *c);
unsigned connection_rejects(const struct connection *c);

#endif
