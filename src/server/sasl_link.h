/* sasl_link - one connection to Dovecot's authentication service; between sasl_server.c and
 * sasl_link.c */
#ifndef MXGATE_SERVER_SASL_LINK_H
#define MXGATE_SERVER_SASL_LINK_H

#include "server/sasl_server.h"

#include "config/sasl_path.h"

struct sasl_link {
    struct sasl_server *server;
    struct sasl_path path;
    struct resolver_query *query; /* borrowed */
    struct sockaddr_storage addresses[RESOLVER_ADDRESSES_MAX];
    size_t address_count, address_next;
    struct stream stream;
    bool has_stream;
    bool up;         /* the greeting is over */
    bool gone;       /* the server does not know it any more */
    const char *why; /* the last address's trouble; NULL: none yet */
    struct sasl_dovecot engine;
};

/* Begins to connect to server->path. NULL: out of memory. What becomes of it is told by
 * sasl_server_up(), sasl_server_answer() and sasl_server_lost(), perhaps before this returns. */
struct sasl_link *sasl_link_open(struct sasl_server *s);
/* It is not used any more; sasl_server_release() when its memory is gone. */
void sasl_link_close(struct sasl_link *l);
/* Whether Dovecot reads what it is sent. */
bool sasl_link_has_room(const struct sasl_link *l);
/* Secret: the caller overwrites its own copy. */
void sasl_link_send(struct sasl_link *l, struct span line);

/* sasl_server.c */
void sasl_server_up(struct sasl_server *s);
void sasl_server_answer(struct sasl_server *s, enum sasl_dovecot_event event);
void sasl_server_lost(struct sasl_server *s, const char *why);
void sasl_server_release(struct sasl_server *s);

#endif
