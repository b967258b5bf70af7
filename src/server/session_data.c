/*
 * session_data - DATA and BDAT: framing, limits, the end of a message; see session_internal.h
 *
 * A refused message, or chunk, is swallowed to its end (else the client's text would be run as
 * commands) and answered there with data_verdict. As in Postfix, a refused BDAT poisons the chunks
 * after it, up to LAST or RSET.
 */
#include "server/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The reply to what was swallowed. Of mere errors in the order of commands (code 0) the log does
 * not tell. */
static void reply_refused(struct session *s, const char *stage)
{
    if (s->data_verdict.code == 0)
        session_reply_line(s, s->data_verdict.line);
    else
        session_reject(s, stage, s->envelope ? s->envelope->sender : NULL, NULL,
                       s->data_verdict.line);
}

/* `len` bytes were taken. False: the client was hung up on, as its message has no end. */
static bool count_input(struct session *s, size_t len)
{
    s->block_bytes += len;
    if (s->block_bytes >= SESSION_BLOCK)
        s->wait_fresh = true;
    s->swallowed += s->data_discard ? len : 0;
    if (s->swallowed <= SESSION_SWALLOW * s->config->message_size_limit) /* at most 8 * 2^40 */
        return true;
    reply_refused(s, s->where);
    session_hang_up(s);
    session_done(s);
    return false;
}

static void discard(struct session *s, unsigned code, const char *line)
{
    if (s->body_begun)
        s->ops->body_abort(s->ctx);
    s->body_begun = false;
    s->data_discard = true;
    s->data_verdict.code = code;
    span_copy(span_first(span_of(line), sizeof s->data_verdict.line - 1), s->data_verdict.line,
              sizeof s->data_verdict.line);
}

void session_data_refuse(struct session *s, const char *line)
{
    discard(s, 1, line);
}

void session_room(struct session *s, int rc)
{
    if (!session_take_answer(s, SESSION_BUSY_ROOM))
        return;
    if (rc == -ENOSPC || rc == -EDQUOT)
        session_data_refuse(s, "452 4.3.1 Insufficient system storage");
    else if (rc < 0)
        session_data_refuse(s, "451 4.3.0 Error: queue file write error");
    session_answered(s);
}

/* What a header lacks is added for whoever sends mail of his own. False: out of memory. */
static bool begin_header(struct session *s)
{
    free(s->complete);
    s->complete = NULL;
    if (!s->login && !s->config->always_add_missing_headers)
        return true;
    s->complete = malloc(sizeof *s->complete);
    if (!s->complete)
        return false;
    header_complete_init(s->complete, s->envelope, s->config->myhostname,
                         s->config->header_size_limit);
    return true;
}

/* False: the verdict says why not. */
static bool begin_body(struct session *s, struct smtp_verdict *verdict)
{
    if (!begin_header(s)) {
        verdict->code = 452;
        span_copy(SPAN_LIT("452 4.3.1 Insufficient system storage"), verdict->line,
                  sizeof verdict->line);
        return false;
    }
    s->data_discard = false;
    s->data_bytes = 0;
    s->chunks_bytes = 0;
    s->swallowed = 0;
    s->lead_state = SESSION_LEAD_READING;
    s->lead_len = 0;
    header_scan_init(&s->headers, s->config->header_size_limit);
    s->body_begun = s->ops->body_begin(s->ctx, s->envelope, verdict);
    return s->body_begun;
}

/* --- the end of a message --- */

static void end_refused(struct session *s)
{
    if (s->data_verdict.code != 0)
        s->where = SESSION_EOM;
    reply_refused(s, SESSION_EOM);
    session_reset(s);
    session_done(s);
}

/* Always true: whatever comes next is a command, once the answer is there. */
static bool submit(struct session *s)
{
    struct envelope *e = s->envelope;
    const char *added = s->complete ? s->complete->message_id : "";
    const char *message_id = s->headers.message_id[0] ? s->headers.message_id : added;

    s->where = SESSION_EOM;
    log_message_id(s->log, s->queue_id.text, message_id);
    s->sender = strdup(e->sender);
    s->envelope = NULL;
    s->body_begun = false;
    s->busy = SESSION_BUSY_SUBMIT;
    s->ops->submit(s->ctx, e, message_id);
    return true;
}

static bool end_message(struct session *s)
{
    if (s->data_discard) {
        end_refused(s);
        return true;
    }
    if (!session_body_end(s))
        return s->busy == SESSION_FREE;
    return submit(s);
}

static void reply_submitted(struct session *s, const struct smtp_verdict *verdict)
{
    if (verdict->code >= 400)
        session_reject(s, SESSION_EOM, s->sender, NULL, verdict->line);
    else if (s->state == SESSION_BDAT)
        session_reply(s, "250 2.0.0 Ok: %llu bytes queued as %s",
                      (unsigned long long)s->chunks_bytes, s->queue_id.text);
    else
        session_reply_line(s, verdict->line);
}

void session_submitted(struct session *s, const struct smtp_verdict *verdict)
{
    if (!session_take_answer(s, SESSION_BUSY_SUBMIT))
        return;
    reply_submitted(s, verdict);
    if (verdict->code < 400) { /* a client that brings mail starts anew */
        s->errors = 0;
        s->junk = 0;
    }
    session_reset(s);
    session_done(s);
    session_answered(s);
}

/* --- DATA --- */

static bool refuse_data_order(struct session *s)
{
    if (s->state == SESSION_BDAT_NEXT)
        session_reply(s, "503 5.5.1 Error: DATA after BDAT");
    else if (!s->envelope)
        session_reply(s, "503 5.5.1 Error: need RCPT command");
    else if (s->envelope->recipient_count == 0)
        session_reply(s, "554 5.5.1 Error: no valid recipients");
    else
        return false;
    return true;
}

const char *session_only_recipient(const struct session *s)
{
    return s->envelope->recipient_count == 1 ? s->envelope->recipients[0].address : NULL;
}

static void begin_data(struct session *s)
{
    struct smtp_verdict verdict = {0, ""};

    if (!begin_body(s, &verdict)) {
        session_reject(s, "DATA", s->envelope->sender, NULL, verdict.line);
        session_reset(s);
        session_done(s);
    } else {
        smtp_dot_decoder_init(&s->dot, s->all_lf);
        session_enter(s, SESSION_DATA);
        session_reply(s, "354 End data with <CR><LF>.<CR><LF>");
    }
}

/* As in Postfix the transaction stays when a restriction refuses DATA: the client ends it. */
static void data_checked(struct session *s, const char *line)
{
    if (!line) {
        begin_data(s);
        return;
    }
    session_reject(s, "DATA", s->envelope->sender, session_only_recipient(s), line);
    session_done(s);
}

static void check_data(struct session *s)
{
    if (s->config->restrictions[RESTRICT_DATA].count == 0)
        session_data_checked(s, NULL);
    else if (!session_check(s, SESSION_CHECK_DATA))
        session_data_checked(s, "452 4.3.1 Insufficient system storage");
}

void session_data(struct session *s, const struct smtp_command *c)
{
    if (refuse_data_order(s)) {
        session_done(s);
    } else if (c->args.len > 0) {
        session_reply(s, "501 5.5.4 Syntax: DATA");
        session_done(s);
    } else {
        check_data(s);
    }
}

bool session_data_step(struct session *s, struct span *in)
{
    struct session_room room;
    size_t before = in->len;
    size_t len = 0;
    bool ended;

    if (!session_body_room(s, &room))
        return s->busy == SESSION_FREE;
    ended = smtp_dot_decode(&s->dot, in, room.ptr, room.cap, &len);
    s->all_lf = s->all_lf && !s->dot.saw_crlf;
    session_body_took(s, &room, len);
    if (ended)
        return end_message(s);
    return count_input(s, before - in->len) && in->len > 0;
}

/* --- BDAT --- */

/* Refused for its place among the commands, not for what it is. */
static void refuse_chunk(struct session *s, const char *line)
{
    discard(s, 0, line);
    s->swallowed = 0;
}

static bool refuse_chunk_order(struct session *s)
{
    if (s->state == SESSION_BDAT_NEXT && s->data_discard) {
        struct text t;
        char line[80];

        text_init(&t, line, sizeof line);
        text_printf(&t, "551 5.0.0 Discarded %llu bytes after earlier error",
                    (unsigned long long)s->chunk_size);
        refuse_chunk(s, line);
    } else if (session_tls_demand(s)) {
        refuse_chunk(s, session_tls_demand(s));
    } else if (!s->envelope) {
        refuse_chunk(s, "503 5.5.1 Error: need RCPT command");
    } else if (s->envelope->recipient_count == 0) {
        refuse_chunk(s, "554 5.5.1 Error: no valid recipients");
    } else if (s->chunk_size == 0 && !s->chunk_last) {
        refuse_chunk(s, "551 5.7.1 Null BDAT request"); /* costs us and brings nothing */
    } else {
        return false;
    }
    return true;
}

/* The first chunk begins the body; each must fit what is left of the message's limit. */
static void begin_chunk(struct session *s)
{
    struct smtp_verdict verdict = {0, ""};
    uint64_t limit = s->config->message_size_limit;

    if (s->state != SESSION_BDAT_NEXT) {
        smtp_normaliser_init(&s->normaliser);
        if (!begin_body(s, &verdict)) {
            session_data_refuse(s, verdict.line);
            return;
        }
    }
    if (s->chunk_size > limit || s->chunks_bytes > limit - s->chunk_size)
        session_data_refuse(s, "552 5.3.4 Chunk exceeds message size limit");
}

void session_bdat(struct session *s, const struct smtp_command *c)
{
    if (!session_offers(s, "CHUNKING")) {
        session_reply(s, "521 5.5.1 Error: command not implemented"); /* and its bytes unread */
        session_done(s);
        return;
    }
    if (!smtp_command_bdat(c->args, &s->chunk_size, &s->chunk_last)) {
        /* Where the chunk ends is not known, so what follows cannot be read: 521 hangs up. */
        session_reply(s, "521 5.5.4 Syntax: BDAT count [LAST]");
        session_done(s);
        return;
    }
    s->chunk_left = s->chunk_size;
    s->all_lf = false; /* its text is not lines, and nobody types BDAT by hand */
    if (refuse_chunk_order(s)) {
        session_enter(s, SESSION_BDAT);
    } else if (s->state == SESSION_BDAT_NEXT) {
        begin_chunk(s);
        session_enter(s, SESSION_BDAT);
    } else {
        check_data(s);
    }
}

void session_data_checked(struct session *s, const char *line)
{
    if (s->verb == SMTP_DATA) {
        data_checked(s, line);
        return;
    }
    s->swallowed = 0;
    if (line)
        session_data_refuse(s, line);
    else
        begin_chunk(s);
    session_enter(s, SESSION_BDAT);
}

static void end_refused_chunk(struct session *s)
{
    if (s->chunk_last) {
        end_refused(s);
        return;
    }
    reply_refused(s, "BDAT");
    if (s->state != SESSION_CLOSING)
        session_enter(s, SESSION_BDAT_NEXT);
    session_done(s);
}

/* Ends an unfinished last line; when called again, there is nothing left to end. False: no room
 * now. */
static bool finish_chunks(struct session *s)
{
    struct session_room room;

    if (!session_body_room(s, &room))
        return false;
    session_body_took(s, &room, smtp_normalise_finish(&s->normaliser, room.ptr));
    return true;
}

static bool end_chunk(struct session *s)
{
    if (s->chunk_last && !finish_chunks(s))
        return s->busy == SESSION_FREE;
    if (s->data_discard) {
        end_refused_chunk(s);
        return true;
    }
    if (s->chunk_last)
        return end_message(s);
    session_enter(s, SESSION_BDAT_NEXT);
    session_reply(s, "250 2.0.0 Ok: %llu bytes", (unsigned long long)s->chunk_size);
    session_done(s);
    return true;
}

bool session_bdat_step(struct session *s, struct span *in)
{
    struct session_room room;
    struct span part = span_first(*in, s->chunk_left < in->len ? (size_t)s->chunk_left : in->len);
    size_t before = part.len;
    size_t len = 0;

    if (!session_body_room(s, &room))
        return s->busy == SESSION_FREE;
    smtp_normalise(&s->normaliser, &part, room.ptr, room.cap, &len);
    *in = span_from(*in, before - part.len);
    s->chunk_left -= before - part.len;
    s->chunks_bytes += before - part.len;
    session_body_took(s, &room, len);
    if (s->chunk_left == 0)
        return end_chunk(s);
    return count_input(s, before - part.len) && in->len > 0;
}
