/* stream_internal - between stream.c, stream_open.c and stream_tls.c */
#ifndef MXGATE_NET_STREAM_INTERNAL_H
#define MXGATE_NET_STREAM_INTERNAL_H

#include "net/stream.h"

/* Tells the owner by on_end, once; a finishing stream is closed instead. */
void stream_end(struct stream *s, int rc);
/* The same, where the owner is on the stack and must not be called back now. */
void stream_break(struct stream *s, int rc);
/* Hands `filling` to the socket: at once what it takes, the rest as the one write in flight. */
void stream_flush(struct stream *s);

/* Stops reading. */
void stream_unread(struct stream *s);
/* on_drained, if it is owed and nothing waits. */
void stream_tell_drained(struct stream *s);
/* A handle was closed, or the handshake's job is done: with the last one of them on_closed comes.
 */
void stream_unhold(struct stream *s);
/* The owner may still be told something, and has not said its last word. */
bool stream_alive(const struct stream *s);

bool stream_out_append(struct stream_out *o, struct span bytes);
void stream_out_release(struct stream_out *o);

/* ---- stream_tls.c; s->tls is set ---- */

/* Wire bytes from the socket. */
void stream_tls_input(struct stream *s, const char *bytes, size_t len);
/* What the owner left, again. */
void stream_tls_resume(struct stream *s);
/* Plain bytes from the owner: as records into `filling` once they fill one, or at the next collect.
 */
void stream_tls_send(struct stream *s, struct span bytes);
/* Everything sent so far goes into `filling`, and close_notify if the stream is finishing. */
void stream_tls_collect(struct stream *s);
size_t stream_tls_pending(const struct stream *s); /* bytes that are not in `filling` yet */
bool stream_tls_working(const struct stream *s);   /* the session is the pool thread's */
void stream_tls_free(struct stream *s);

#define STREAM_TLS_READ_MAX 16384 /* a record, about: what is left of one read is kept */

#endif
