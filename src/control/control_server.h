/*
 * control_server - the daemon's end of the control socket
 *
 *     listener --accept--> connection --request--> ops or submission --reply--> (next request)
 *
 * Requests and their limits: control_format.h. Who may connect is a matter of the socket's mode
 * (0600) and its folder: root and the daemon's own user. Still a connection can do no harm to mail:
 * it has CONTROL_IDLE_MS for each request, at most CONTROL_CONNECTIONS_MAX are served at the same
 * time (the rest wait to be accepted), and one that does not read its replies is closed. Programs
 * that hand in a message may take their time over it, so they have CONTROL_SUBMISSIONS_MAX of the
 * places and no more: the rest is for questions, the healthcheck's among them.
 *
 * A submission is mail from a local program (sendmail): header and body as they come, made
 * canonical, with a Received header in front, into intake. A connection that ends before "end"
 * submits nothing; one that ends after it has submitted.
 *
 * Fails:  only control_server_start; later faults close the connection they belong to, with a log
 * line. Owns:   the socket and its name. A name left by a daemon that was killed is replaced: the
 * spool's lock guarantees that no other daemon serves from the same folder, and a socket that still
 *         answers is never replaced.
 */
#ifndef MXGATE_CONTROL_CONTROL_SERVER_H
#define MXGATE_CONTROL_CONTROL_SERVER_H

#include "control/control_connection.h"

#define CONTROL_CONNECTIONS_MAX 64
#define CONTROL_PATH_CAP        108 /* of sockaddr_un */

struct control_server {
    struct control_setup setup;
    char path[CONTROL_PATH_CAP]; /* setup.path points here: a reload frees the old config */
    uv_pipe_t listener;
    bool listening; /* the listener's handle is open, the name is ours */
    bool waiting;   /* a connection waits in the listener for a free slot */
    bool stopping;
    unsigned open;        /* slots in use */
    unsigned submissions; /* of them: with a message under way */
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    struct control_connection connections[CONTROL_CONNECTIONS_MAX];
};

/*
 * Listens on setup->path (mode 0600). 0, or negative with words in err and nothing left open:
 * -ENAMETOOLONG, -EADDRINUSE (somebody answers there), -EEXIST (it is no socket), or what the
 * system said.
 */
int control_server_start(struct control_server *s, const struct control_setup *setup,
                         struct errbuf *err);
/* After a reload; the old one must live until this is called. */
void control_server_set_config(struct control_server *s, struct config *config);
/*
 * Stops: submissions under way are refused, those that wait for their verdict get it. stopped(ctx)
 * comes once when everything is closed and the name removed, maybe before this returns. The memory
 * of `s` stays until then.
 */
void control_server_stop(struct control_server *s, void (*stopped)(void *ctx), void *ctx);

#endif
