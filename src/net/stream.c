/* stream - reading, writing, deadlines and closing; see stream.h. Opening: stream_open.c, TLS:
 * stream_tls.c */
#include "net/stream_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OUT_FIRST         1024 /* most replies fit; doubled as needed */
#define DISCARD_CHUNK     4096
#define DISCARD_READS_MAX 256

void stream_pool_init(struct stream_pool *pool, uv_loop_t *loop)
{
    pool->loop = loop;
    pool->tls_lane = NULL;
    pool->tls_sessions = 0;
}

/* What passed through may have been a password. */
static void wipe(char *bytes, size_t len)
{
    if (bytes)
        explicit_bzero(bytes, len);
    free(bytes);
}

void stream_out_release(struct stream_out *o)
{
    wipe(o->bytes, o->len);
    *o = (struct stream_out){NULL, 0, 0};
}

bool stream_out_append(struct stream_out *o, struct span bytes)
{
    if (o->len + bytes.len > o->cap) {
        size_t cap = o->cap ? o->cap : OUT_FIRST;
        char *grown;

        while (cap < o->len + bytes.len)
            cap *= 2;
        if (cap > STREAM_OUT_MAX)
            return false;
        grown = realloc(o->bytes, cap);
        if (!grown)
            return false;
        o->bytes = grown;
        o->cap = cap;
    }
    memcpy(o->bytes + o->len, bytes.ptr, bytes.len);
    o->len += bytes.len;
    return true;
}

/* ---- closing ---- */

void stream_unhold(struct stream *s)
{
    if (--s->holds > 0)
        return;
    stream_out_release(&s->filling);
    stream_out_release(&s->flying);
    stream_tls_free(s);
    wipe(s->kept, s->kept_len);
    s->kept = NULL;
    s->events->on_closed(s->ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
    stream_unhold(handle->data);
}

bool stream_alive(const struct stream *s)
{
    return !s->closing && !s->finishing && !s->broken && !s->ended;
}

void stream_close(struct stream *s)
{
    if (s->closing)
        return;
    s->closing = true;
    uv_close(&s->io.handle, on_handle_closed);
    uv_close((uv_handle_t *)&s->timer, on_handle_closed);
}

void stream_end(struct stream *s, int rc)
{
    if (s->closing || s->ended)
        return;
    if (s->finishing) { /* the owner has said its last word */
        stream_close(s);
        return;
    }
    s->ended = true;
    s->events->on_end(s->ctx, rc);
}

void stream_unread(struct stream *s)
{
    s->reading = false;
    uv_read_stop(&s->io.stream);
}

static void on_break(uv_timer_t *timer)
{
    struct stream *s = timer->data;
    int rc = s->broken;

    if (rc == UV_EOF) /* close_notify: what waits can still be written */
        s->broken = 0;
    stream_end(s, rc);
}

void stream_break(struct stream *s, int rc)
{
    if (s->closing || s->ended || s->broken)
        return;
    if (s->finishing) {
        stream_close(s);
        return;
    }
    s->broken = rc;
    stream_unread(s);
    uv_timer_start(&s->timer, on_break, 0, 0);
}

/* ---- writing ---- */

void stream_tell_drained(struct stream *s)
{
    if (!s->was_high || s->writing || !stream_alive(s) || stream_pending(s) > 0)
        return;
    s->was_high = false;
    if (s->events->on_drained)
        s->events->on_drained(s->ctx);
}

static void on_written(uv_write_t *request, int status)
{
    struct stream *s = request->data;

    s->writing = false;
    s->flying.len = 0;
    if (s->closing)
        return; /* buffers go in on_handle_closed */
    stream_out_release(&s->flying);
    if (status < 0) {
        stream_end(s, status);
        return;
    }
    s->was_high = true; /* it had to wait */
    stream_flush(s);
    stream_tell_drained(s);
}

/*
 * Closing a socket with unread input makes the kernel send a reset, which can destroy our last
 * words (a 421) on their way. What has arrived is read away first, within a bound; not into the
 * shared buffer: another stream's owner may be at work in it further up the stack.
 */
static void discard_input(struct stream *s)
{
    char scrap[DISCARD_CHUNK];
    uv_os_fd_t fd;

    if (uv_fileno(&s->io.handle, &fd) < 0)
        return;
    for (int i = 0; i < DISCARD_READS_MAX; i++) {
        if (recv(fd, scrap, sizeof scrap, MSG_DONTWAIT) <= 0)
            return;
    }
}

void stream_flush(struct stream *s)
{
    uv_buf_t buf;
    int rc;

    if (s->closing || s->writing || s->broken || !s->open)
        return;
    if (s->tls)
        stream_tls_collect(s);
    if (s->filling.len > 0) {
        buf = uv_buf_init(s->filling.bytes, (unsigned)s->filling.len);
        rc = uv_try_write(&s->io.stream, &buf, 1);
        if (rc == UV_EAGAIN)
            rc = 0;
        if (rc >= 0 && (size_t)rc < s->filling.len) {
            s->flying = s->filling;
            s->filling = (struct stream_out){NULL, 0, 0};
            buf = uv_buf_init(s->flying.bytes + rc, (unsigned)(s->flying.len - (size_t)rc));
            rc = uv_write(&s->write, &s->io.stream, &buf, 1, on_written);
            s->writing = rc == 0;
        } else {
            stream_out_release(&s->filling);
        }
        if (rc < 0) {
            stream_break(s, rc);
            return;
        }
    }
    if (s->finishing && !s->writing) {
        discard_input(s);
        stream_close(s);
    }
}

void stream_send(struct stream *s, struct span bytes)
{
    if (s->closing || s->ended || s->finishing || s->broken || bytes.len == 0)
        return;
    if (s->tls)
        stream_tls_send(s, bytes);
    else if (!stream_out_append(&s->filling, bytes))
        stream_break(s, UV_ENOBUFS);
    if (!s->in_data) /* inside on_data replies are collected into one write */
        stream_flush(s);
    s->was_high = s->was_high || stream_pending(s) >= STREAM_OUT_HIGH;
}

size_t stream_pending(const struct stream *s)
{
    if (s->broken)
        return STREAM_OUT_MAX;
    return s->filling.len + s->flying.len + (s->tls ? stream_tls_pending(s) : 0);
}

static void on_finish_timeout(uv_timer_t *timer)
{
    stream_close(timer->data);
}

void stream_finish(struct stream *s)
{
    if (s->closing || s->finishing)
        return;
    s->finishing = true;
    if (!s->open || s->broken) { /* nobody hears it */
        stream_close(s);
        return;
    }
    stream_unread(s);
    uv_timer_start(&s->timer, on_finish_timeout, STREAM_FINISH_MS, 0);
    if (!s->in_data)
        stream_flush(s);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct stream *s = handle->data;
    size_t most = s->tls ? STREAM_TLS_READ_MAX : STREAM_READ_MAX;

    (void)suggested;
    if (s->read_most > 0 && s->read_most < most)
        most = s->read_most;
    *buf = uv_buf_init(s->pool->read_buffer, (unsigned)most);
}

static bool keep(struct stream *s, const char *bytes, size_t len)
{
    if (len == 0)
        return true;
    if (bytes == s->kept) /* nothing of it was taken */
        return true;
    if (s->kept && bytes > s->kept && bytes < s->kept + s->kept_len) {
        memmove(s->kept, bytes, len); /* at most STREAM_READ_MAX, once per pause */
        s->kept_len = len;
        return true;
    }
    s->kept = malloc(len);
    s->kept_len = s->kept ? len : 0;
    return s->kept && memcpy(s->kept, bytes, len);
}

static void forget_kept(struct stream *s)
{
    wipe(s->kept, s->kept_len);
    s->kept = NULL;
    s->kept_len = 0;
}

/* Within on_data, which left `len` plain bytes, the owner has started TLS. */
static void after_start_tls(struct stream *s, size_t len)
{
    s->paused = false;
    forget_kept(s);
    if (len > 0 && stream_alive(s))
        stream_break(s, UV_EPROTO);
    stream_flush(s);
}

/* Gives bytes to the owner; what it leaves is kept and pauses the stream. */
static void deliver(struct stream *s, const char *bytes, size_t len)
{
    size_t taken;

    assert(bytes || len == 0);
    s->in_data = true;
    do {
        s->resume_asked = false;
        taken = s->events->on_data(s->ctx, bytes, len);
        assert(taken <= len);
        bytes += taken;
        len -= taken;
    } while (len > 0 && s->resume_asked && !s->tls && stream_alive(s));
    s->in_data = false;
    if (s->tls) {
        after_start_tls(s, len);
        return;
    }
    s->paused = len > 0 && stream_alive(s);
    if (s->paused && !keep(s, bytes, len)) {
        stream_break(s, UV_ENOMEM);
        return;
    }
    if (!s->paused)
        forget_kept(s);
    if (s->paused && s->reading)
        stream_unread(s);
    stream_flush(s);
    stream_tell_drained(
        s); /* the socket took at once what was too much a moment ago: no write will tell */
}

static void read_end(struct stream *s, int rc)
{
    stream_unread(s);
    if (rc == UV_EOF && s->tls)
        rc = UV_ECONNRESET; /* truncation: somebody in between could have done it */
    if (rc != UV_EOF || !s->events->on_eof || !stream_alive(s)) {
        stream_end(s, rc);
        return;
    }
    s->eof = true;
    s->events->on_eof(s->ctx);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct stream *s = stream->data;

    if (nread > 0 && stream_alive(s) && s->tls)
        stream_tls_input(s, buf->base, (size_t)nread);
    else if (nread > 0 && stream_alive(s))
        deliver(s, buf->base, (size_t)nread);
    else if (nread < 0)
        read_end(s, (int)nread);
}

void stream_read(struct stream *s)
{
    int rc;

    if (!stream_alive(s) || s->eof || s->reading || s->paused || (s->tls && stream_tls_working(s)))
        return;
    rc = uv_read_start(&s->io.stream, on_alloc, on_read);
    s->reading = rc == 0;
    if (rc < 0)
        stream_break(s, rc);
}

void stream_read_most(struct stream *s, size_t most)
{
    s->read_most = most;
}

void stream_resume(struct stream *s)
{
    if (!stream_alive(s) || s->eof)
        return;
    if (s->in_data) {
        s->resume_asked = true;
        return;
    }
    if (s->paused && s->tls)
        stream_tls_resume(s);
    else if (s->paused)
        deliver(s, s->kept, s->kept_len);
    if (!s->paused)
        stream_read(s);
}

/* ---- deadline ---- */

static void on_timer(uv_timer_t *timer)
{
    struct stream *s = timer->data;

    if (!s->closing && !s->finishing && !s->ended)
        s->events->on_deadline(s->ctx);
}

void stream_deadline(struct stream *s, uint64_t ms)
{
    if (s->closing || s->finishing || s->broken)
        return;
    if (ms == 0)
        uv_timer_stop(&s->timer);
    else
        uv_timer_start(&s->timer, on_timer, ms, 0);
}
