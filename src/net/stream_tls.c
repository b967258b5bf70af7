/*
 * stream_tls - TLS in a stream; see stream.h
 *
 *   HANDSHAKE --job done, session open--> SECURED --close_notify, alert, error--> the stream ends
 *
 * What is for the wire goes through `filling`, as plain text does without TLS: before the handshake
 * bytes of the owner, afterwards records only. So nothing can get out unencrypted, and pending
 * output, on_drained and the write in flight are what they are for plain streams.
 *
 * During the handshake input is read, stopped, and worked on by a job in the TLS lane, unless it is
 * so little that the session only stores it (tls_session_wants). While the job is there the
 * session, `raw` and `wire` are the job's.
 *
 * Once it is secured everything happens on the loop's thread: symmetric work, at most
 * STREAM_TLS_READ_MAX bytes of it at a time. What the owner leaves stays in the session (a record),
 * what the session then does not take in `raw` (one read).
 */
#include "net/lane.h"
#include "net/stream_internal.h"
#include "tls/tls_session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct stream_tls {
    struct lane_job job; /* first: on_work and on_done cast */
    struct stream *stream;
    struct tls_session *session; /* owned */
    char *raw; /* owned: wire bytes that the session did not take yet; NULL when there are none */
    size_t raw_at, raw_len;
    struct stream_out wire; /* what the job has for the wire */
    struct stream_out held; /* sent before on_secured */
    size_t unflushed;       /* plain bytes in the session that are in no record yet */
    bool failed;            /* the job had no memory */
    bool working;
    bool secured;
    bool said_close;
};

/* ---- the pump's parts ---- */

static bool keep_raw(struct stream_tls *t, struct span bytes)
{
    if (t->raw && bytes.len > 0 && bytes.ptr >= t->raw && bytes.ptr < t->raw + t->raw_len) {
        t->raw_at = (size_t)(bytes.ptr - t->raw);
        return true;
    }
    free(t->raw);
    t->raw = NULL;
    t->raw_at = t->raw_len = 0;
    if (bytes.len == 0)
        return true;
    t->raw = malloc(bytes.len);
    if (!t->raw)
        return false;
    memcpy(t->raw, bytes.ptr, bytes.len);
    t->raw_len = bytes.len;
    return true;
}

static struct span raw_left(const struct stream_tls *t)
{
    return span_make(t->raw ? t->raw + t->raw_at : NULL, t->raw_len - t->raw_at);
}

/* Moves what the session has for the wire. Whether there was any; *failed_out: no room for it. */
static bool move_wire(struct tls_session *session, struct stream_out *out, bool *failed_out)
{
    struct span wire = tls_session_wire(session);
    bool moved = wire.len > 0;

    while (wire.len > 0) {
        if (!stream_out_append(out, wire)) {
            *failed_out = true;
            return false;
        }
        tls_session_wrote(session, wire.len);
        wire = tls_session_wire(session);
    }
    return moved;
}

static bool to_filling(struct stream *s)
{
    bool failed = false;
    bool moved = move_wire(s->tls->session, &s->filling, &failed);

    if (failed)
        stream_break(s, UV_ENOBUFS);
    else if (moved)
        s->tls->unflushed = 0; /* a record took them along */
    return moved;
}

/* ---- output ---- */

void stream_tls_send(struct stream *s, struct span bytes)
{
    struct stream_tls *t = s->tls;

    if (!t->secured) {
        if (!stream_out_append(&t->held, bytes))
            stream_break(s, UV_ENOBUFS);
        return;
    }
    while (bytes.len > 0 && !s->broken) {
        size_t n = tls_session_send(t->session, bytes);

        bytes = span_from(bytes, n);
        t->unflushed += n;
        if (!to_filling(s) && n == 0)
            break; /* it has ended: nobody would read this */
    }
}

void stream_tls_collect(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (!t->secured)
        return;
    tls_session_flush(t->session);
    to_filling(s);
    if (s->finishing && !t->said_close) {
        t->said_close = true;
        tls_session_close(t->session);
        to_filling(s);
    }
}

size_t stream_tls_pending(const struct stream *s)
{
    return s->tls->unflushed + s->tls->held.len;
}

/* ---- input, once it is secured ---- */

/* Gives the owner the plain bytes there are; whether it took any. */
static bool deliver_plain(struct stream *s, bool *left_out)
{
    struct stream_tls *t = s->tls;
    struct span plain = tls_session_plain(t->session);
    size_t taken;

    *left_out = false;
    if (plain.len == 0)
        return false;
    s->resume_asked = false;
    s->in_data = true;
    taken = s->events->on_data(s->ctx, plain.ptr, plain.len);
    s->in_data = false;
    assert(taken <= plain.len);
    tls_session_took(t->session, taken);
    *left_out = taken < plain.len && !s->resume_asked;
    return taken > 0 || s->resume_asked;
}

static void end_with_session(struct stream *s)
{
    switch (tls_session_state(s->tls->session)) {
    case TLS_HANDSHAKE:
    case TLS_OPEN:
        break;
    case TLS_ENDED:
        stream_break(s, UV_EOF);
        break;
    case TLS_BROKEN:
        stream_break(s, UV_EPROTO);
        break;
    }
}

/* Feeds the session and its owner until nothing moves. */
static void pump(struct stream *s, struct span wire)
{
    struct stream_tls *t = s->tls;
    bool moved = true;

    s->paused = false;
    while (moved && !s->paused && stream_alive(s)) {
        size_t taken = tls_session_feed(t->session, wire.ptr, wire.len);

        wire = span_from(wire, taken);
        moved = taken > 0;
        moved = to_filling(s) || moved;
        if (stream_alive(s))
            moved = deliver_plain(s, &s->paused) || moved;
    }
    s->paused = s->paused && stream_alive(s);
    if (!s->paused)
        wire.len = 0; /* nothing is left, or nobody wants it */
    if (!keep_raw(t, wire)) {
        stream_break(s, UV_ENOMEM);
        return;
    }
    if (s->paused && s->reading)
        stream_unread(s);
    stream_flush(s);
    if (stream_alive(s) && !s->paused)
        end_with_session(s);
    stream_tell_drained(s);
}

void stream_tls_resume(struct stream *s)
{
    pump(s, raw_left(s->tls));
}

/* ---- the handshake ---- */

static void on_work(struct lane_job *job)
{
    struct stream_tls *t = (struct stream_tls *)job;
    bool moved = true;

    while (moved && !t->failed) {
        struct span raw = raw_left(t);
        size_t taken = tls_session_feed(t->session, raw.ptr, raw.len);

        t->raw_at += taken;
        moved = move_wire(t->session, &t->wire, &t->failed) || taken > 0;
    }
}

static void secured(struct stream *s)
{
    struct stream_tls *t = s->tls;
    struct stream_out held = t->held;

    t->secured = true;
    t->held = (struct stream_out){NULL, 0, 0};
    stream_tls_send(s, span_make(held.bytes, held.len));
    stream_out_release(&held);
    stream_flush(s);
    if (stream_alive(s))
        s->events->on_secured(s->ctx);
}

/* The session is ours again, and has moved. */
static void settle(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (!stream_alive(s))
        return;
    if (t->failed || (t->wire.len > 0 &&
                      !stream_out_append(&s->filling, span_make(t->wire.bytes, t->wire.len)))) {
        stream_break(s, UV_ENOMEM);
        return;
    }
    stream_out_release(&t->wire);
    stream_flush(s);
    if (tls_session_facts(t->session)) {
        secured(s);
        if (stream_alive(s) && !s->paused)
            pump(s, raw_left(t)); /* what came right behind the handshake */
    } else {
        keep_raw(t, raw_left(t));
        end_with_session(s);
    }
    stream_read(s);
}

static void on_done(struct lane_job *job)
{
    struct stream_tls *t = (struct stream_tls *)job;
    struct stream *s = t->stream;

    t->working = false;
    settle(s);
    stream_unhold(s); /* may be the last one */
}

void stream_tls_input(struct stream *s, const char *bytes, size_t len)
{
    struct stream_tls *t = s->tls;

    if (t->secured) {
        pump(s, span_make(bytes, len));
        return;
    }
    if (len < tls_session_wants(t->session)) {
        tls_session_feed(t->session, bytes, len);
        return;
    }
    stream_unread(s);
    if (!keep_raw(t, span_make(bytes, len))) {
        stream_break(s, UV_ENOMEM);
        return;
    }
    t->working = true;
    s->holds++;
    lane_submit(s->pool->tls_lane, &t->job);
}

bool stream_tls_working(const struct stream *s)
{
    return s->tls->working;
}

/* ---- start and end ---- */

void stream_start_tls(struct stream *s, struct tls_session *session)
{
    assert(!s->tls && s->pool->tls_lane);
    if (!stream_alive(s)) {
        tls_session_free(session);
        return;
    }
    s->tls = calloc(1, sizeof *s->tls);
    if (!s->tls) {
        tls_session_free(session);
        stream_break(s, UV_ENOMEM);
        return;
    }
    s->pool->tls_sessions++;
    *s->tls = (struct stream_tls){
        .stream = s, .session = session, .job = {.work = on_work, .done = on_done}
    };
    if (s->eof ||
        (s->kept && !s->in_data)) { /* nobody will answer; or plain text that came too early */
        stream_break(s, s->eof ? UV_ECONNRESET : UV_EPROTO);
        return;
    }
    to_filling(s); /* our ClientHello */
    if (s->in_data)
        return; /* the rest when it returns */
    stream_flush(s);
    stream_read(s);
}

void stream_tls_free(struct stream *s)
{
    struct stream_tls *t = s->tls;

    if (!t)
        return;
    assert(!t->working);
    s->pool->tls_sessions--;
    tls_session_free(t->session);
    if (t->raw)
        explicit_bzero(t->raw, t->raw_len);
    free(t->raw);
    stream_out_release(&t->wire);
    stream_out_release(&t->held);
    free(t);
    s->tls = NULL;
}

const struct tls_facts *stream_tls_facts(const struct stream *s)
{
    return s->tls && s->tls->secured ? tls_session_facts(s->tls->session) : NULL;
}

const char *stream_tls_error(const struct stream *s)
{
    return s->tls && !s->tls->working ? tls_session_error(s->tls->session) : "";
}
