/*
 * stream - one surface for reading, writing, deadlines and closing, over TCP and unix sockets,
 * plain or TLS
 *
 *   OPENING --connected/accepted--> OPEN --stream_finish--> FINISHING --all written--> CLOSING -->
 * closed
 *        \______________________________ stream_close, error, EOF _________________________/
 *
 * Embedded in its owner, whose memory must stay until on_closed() was called: that is the last
 * call, exactly once. After stream_close() no other callback comes. Callbacks may call anything
 * here. Only stream_resume() calls back before it returns; a failed send or connect is told by
 * on_end() in the next turn of the loop, so that no owner finds itself ended in the middle of what
 * it was saying.
 *
 * Reading: on_data() gets bytes and returns how many it took. When it leaves some they are kept
 * here (owned, at most STREAM_READ_MAX) and reading stops until stream_resume(): so a slow consumer
 * is back-pressure, not memory. Writing: stream_send() copies. What the socket does not take at
 * once waits in one buffer while another is in flight; beyond STREAM_OUT_MAX the stream breaks
 * (-ENOBUFS): owners look at stream_pending() and stop producing long before. An idle stream holds
 * no buffer at all.
 *
 * Deadline: one per stream, for the step the owner is waiting for; it is not moved by bytes that
 * come or go.
 */
#ifndef MXGATE_NET_STREAM_H
#define MXGATE_NET_STREAM_H

#include "base/span.h"

#include <uv.h>

#define STREAM_READ_MAX 65536
#define STREAM_OUT_MAX  (2u << 20)
#define STREAM_OUT_HIGH 65536 /* from it on, stop producing until on_drained */

struct lane;
struct stream;
struct tls_facts;
struct tls_session;

struct stream_events {
    void (*on_open)(void *ctx); /* a connect succeeded; not called for accepted streams */
    size_t (*on_data)(void *ctx, const char *bytes, size_t len);
    /* Nothing waits to be written any more, and something did, or stream_pending() was high. May be
     * NULL. */
    void (*on_drained)(void *ctx);
    void (*on_deadline)(void *ctx);
    /* The peer says no more, but may still listen: the owner may go on sending, and calls
     * stream_close or stream_finish in the end. Once. NULL: on_end(UV_EOF) tells it. */
    void (*on_eof)(void *ctx);
    /* The peer closed (rc UV_EOF), or it broke or never opened. The owner calls stream_close or
     * stream_finish. Once. */
    void (*on_end)(void *ctx, int rc);
    void (*on_closed)(void *ctx); /* memory may go */
    /* The handshake that stream_start_tls() began is over, and well: bytes are plain bytes again,
     * inside TLS. May be NULL where it is never called. */
    void (*on_secured)(void *ctx);
};

/* What streams of one loop share. */
struct stream_pool {
    uv_loop_t *loop;
    struct lane *tls_lane; /* borrowed: handshakes; set by the owner before stream_start_tls */
    unsigned tls_sessions; /* live ones: about 26 KB each towards clients, 38 KB towards servers */
    char read_buffer[STREAM_READ_MAX]; /* valid only inside on_data */
};

struct stream_out {
    char *bytes; /* owned; NULL when empty */
    size_t len;
    size_t cap;
};

struct stream {
    struct stream_pool *pool;           /* borrowed */
    const struct stream_events *events; /* borrowed */
    void *ctx;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    uv_timer_t timer;
    uv_write_t write;
    uv_connect_t connect;
    struct stream_out filling; /* for the wire, as flying: under TLS these are records */
    struct stream_out flying;
    struct stream_tls *tls; /* owned; NULL: plain */
    char *kept;             /* owned: bytes on_data did not take */
    size_t kept_len;
    size_t kept_cap;
    size_t read_most; /* 0: no limit */
    unsigned holds;   /* handles not closed yet, and the handshake's job */
    bool open;
    bool reading;
    bool paused;  /* on_data left bytes */
    bool in_data; /* on_data is on the stack: sends are collected */
    bool resume_asked;
    bool writing;
    bool was_high; /* stream_pending() reached STREAM_OUT_HIGH: on_drained is owed */
    bool finishing;
    int broken; /* why; on_end is on its way (the timer's) */
    bool eof;   /* on_eof was called: nothing is read any more */
    bool ended; /* on_end was called */
    bool closing;
};

void stream_pool_init(struct stream_pool *pool, uv_loop_t *loop);

/* All of these prepare the handles; on failure (negative) nothing needs closing and no callback
 * comes. */
int stream_accept(struct stream *s, struct stream_pool *pool, uv_stream_t *server,
                  const struct stream_events *events, void *ctx);
/* Takes over a connected unix socket; on failure the descriptor is still the caller's. */
int stream_adopt(struct stream *s, struct stream_pool *pool, int fd,
                 const struct stream_events *events, void *ctx);
int stream_connect_tcp(struct stream *s, struct stream_pool *pool, const struct sockaddr *address,
                       const struct stream_events *events, void *ctx);
/* The same, leaving by the address `from` of this machine. */
struct stream_way {
    const struct sockaddr *to;
    const struct sockaddr *from; /* NULL: the system chooses */
};
int stream_connect_way(struct stream *s, struct stream_pool *pool, const struct stream_way *way,
                       const struct stream_events *events, void *ctx);
int stream_connect_unix(struct stream *s, struct stream_pool *pool, const char *path,
                        const struct stream_events *events, void *ctx);

/* Starts reading; once. */
void stream_read(struct stream *s);
/*
 * From now on takes at most this many bytes from the socket at a time, so that what follows a
 * header of the transport (PROXY protocol) is still in it, as if it had not come yet; 0: no limit.
 */
void stream_read_most(struct stream *s, size_t most);
/* Gives kept bytes to on_data again and goes on reading. */
void stream_resume(struct stream *s);
void stream_send(struct stream *s, struct span bytes);
/* Bytes not yet taken by the socket, of records under TLS; those of a broken stream are never
 * taken: STREAM_OUT_MAX. */
size_t stream_pending(const struct stream *s);
/* ms 0: no deadline. */
void stream_deadline(struct stream *s, uint64_t ms);
/* Writes what waits, then closes; input is ignored. At most STREAM_FINISH_MS. */
#define STREAM_FINISH_MS 5000
void stream_finish(struct stream *s);
void stream_close(struct stream *s); /* idempotent */

/*
 * TLS from here on: what waits to be written goes out as it is, then `session` (taken over) speaks;
 * reading starts, if it has not yet. The handshake's work is done in pool->tls_lane, and no input
 * is taken meanwhile; the deadline goes on. Then on_secured(), or on_end(UV_EPROTO) and
 * stream_tls_error() says why. What is sent before on_secured() waits for it. Once for a stream.
 *
 * May be called inside on_data, which then must have taken all it was given: what it leaves came as
 * plain text before the handshake (CVE-2011-0411) and breaks the stream (UV_EPROTO). Never plain
 * text again: after the peer's close_notify comes on_end(UV_EOF), on an end without it (during the
 * handshake too) on_end(UV_ECONNRESET), and neither on_eof. stream_finish() says close_notify, or
 * just closes during the handshake.
 */
void stream_start_tls(struct stream *s, struct tls_session *session);
/* NULL: no TLS, or not yet. Good until the stream is closed. */
const struct tls_facts *stream_tls_facts(const struct stream *s);
/* Why TLS broke, in words; "" otherwise. Good until on_closed. */
const char *stream_tls_error(const struct stream *s);

#endif
