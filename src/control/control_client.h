/*
 * control_client - the commands' end of the control socket
 *
 * Blocking, with a limit for each wait, since a command has nothing else to do. One request at a
 * time: send, then read its reply. A daemon that refuses a submission closes while it is still
 * being sent: the failing send is no error then, the reply says why.
 *
 * Fails:  negative errno with words in err. -ENOENT and -ECONNREFUSED: no daemon runs. -EACCES: it
 * is not for us.
 */
#ifndef MXGATE_CONTROL_CONTROL_CLIENT_H
#define MXGATE_CONTROL_CONTROL_CLIENT_H

#include "base/errbuf.h"
#include "control/control_format.h"

#define CONTROL_CLIENT_WAIT_S 30

struct control_client {
    int fd;
    size_t at;  /* of the first byte not used yet */
    size_t len; /* bytes in buf */
    char *buf;  /* owned; CONTROL_REPLY_MAX bytes and one */
};

int control_client_open(struct control_client *c, const char *path, struct errbuf *err);
void control_client_close(struct control_client *c);
/* The daemon's process id; 0 when it is not to be seen from here. */
long control_client_pid(const struct control_client *c);
/* Waits until the daemon closes the connection; false when it did not within the patience. */
bool control_client_wait_end(struct control_client *c);
/* The longest wait for a reply from now on. */
void control_client_patience(struct control_client *c, unsigned seconds);
int control_client_send(struct control_client *c, struct span bytes, struct errbuf *err);
/*
 * Reads one reply. 0: ok, on_text was called for each text line. Positive: the daemon's error, an
 * exit code of sysexits.h, its words in err. Negative: the connection broke. on_text may be NULL.
 */
int control_client_reply(struct control_client *c, void (*on_text)(void *ctx, struct span line),
                         void *ctx, struct errbuf *err);
/* Sends one request line (without LF) and reads its reply. */
int control_client_ask(struct control_client *c, const char *request,
                       void (*on_text)(void *ctx, struct span line), void *ctx, struct errbuf *err);

#endif
