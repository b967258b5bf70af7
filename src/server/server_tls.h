/*
 * server_tls - the certificates clients are shown: read, watched, renewed, and when they expire
 *
 *   start:   the named files; when there are none, or none can be used, a self-signed pair: EC at
 *            once, RSA in the lane of handshakes, taken in when it is ready
 *   reload:  on SIGHUP (set_config), and when a file changed: looked at every tls_reload_interval,
 *            and read in the disk lane. What cannot be used leaves the pair of before in use, and
 *            that is said once. A renewal that is seen half done is given RETRY_MS before that.
 *   expiry:  said when a pair comes into use, and then daily
 *
 * Sessions under way keep what they began with: a tls_server is reference counted. Everything here
 * runs on the loop's thread but the two jobs, of which one at a time is under way.
 *
 * Fails: only for want of memory. A server without any certificate has no TLS, and says so.
 */
#ifndef MXGATE_SERVER_SERVER_TLS_H
#define MXGATE_SERVER_SERVER_TLS_H

#include "net/lane.h"
#include "observe/log.h"
#include "observe/status.h"
#include "server/tls_files.h"
#include "tls/tls_server.h"

struct server_tls_job;

struct server_tls {
    /* the caller's, before server_tls_start() */
    uv_loop_t *loop;
    struct lane *disk;  /* files */
    struct lane *heavy; /* RSA keys */
    const struct log *log;
    struct config *config; /* a reference, taken by start and set_config */
    /* private */
    struct tls_server *current; /* a reference; NULL: no TLS */
    struct tls_set *set;        /* owned; what current was made from, and what was kept of it */
    char *self_signed[2];       /* owned PEM texts: RSA, EC; NULL: not there */
    char *names;                /* owned: whom these are for */
    struct server_tls_job *job; /* owned while it is under way */
    bool again;                 /* the settings changed meanwhile */
    bool retrying;              /* a change could not be used yet, and is tried once more */
    struct errbuf trouble;      /* of the last load: "" none */
    int64_t expiry_said_s;
    uv_timer_t timer;
    bool started;
    config_note_fn note; /* server_tls_check(): takes what the log would */
    void *note_ctx;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* What is wrong with the files is said, and no reason to fail. 0, or -ENOMEM. The spool is open. */
int server_tls_start(struct server_tls *t, struct config *config, struct errbuf *err);
/* NULL: no TLS. Borrowed: a session takes a reference. */
struct tls_server *server_tls_current(const struct server_tls *t);
/* Reads everything again; what is in use stays so until that is done. */
void server_tls_set_config(struct server_tls *t, struct config *config);
/* For `mxgate check`: says what a start would say of the files, and makes nothing. */
void server_tls_check(struct config *config, config_note_fn note, void *note_ctx);
void server_tls_status(const struct server_tls *t, struct status *out);
/* Lanes may be idle or not. on_closed comes when nothing is under way; then the memory may go. */
void server_tls_close(struct server_tls *t, void (*on_closed)(void *ctx), void *ctx);

#endif
