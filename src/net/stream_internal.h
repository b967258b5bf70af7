/* stream_internal - between stream.c and stream_open.c */
#ifndef MXGATE_NET_STREAM_INTERNAL_H
#define MXGATE_NET_STREAM_INTERNAL_H

#include "net/stream.h"

/* Tells the owner by on_end, once; a finishing stream is closed instead. */
void stream_end(struct stream *s, int rc);
/* The same, where the owner is on the stack and must not be called back now. */
void stream_break(struct stream *s, int rc);
/* Hands `filling` to the socket: at once what it takes, the rest as the one write in flight. */
void stream_flush(struct stream *s);

#endif
