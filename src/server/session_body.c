/*
 * session_body - where the canonical bytes of a message go; see session_internal.h
 *
 * Our Received header must stand before them, and an empty line after it when the message does not
 * begin with a header (a person with nc): without it the first line of the text would become a part
 * of ours. So the first bytes are held in s->lead until a colon, or something that cannot be a
 * header's name, shows what they are:
 *
 *     READING --":"--> HEADER --room--> WRITTEN        (then bytes go straight into ops->body_room)
 *        +---other---> BODY ----room-------^
 *
 * Where a header may lack something (message/header_complete), its bytes go by way of scratch
 * memory, until it has ended.
 *
 * The message's size and its Received lines are counted here, as the bytes pass.
 */
#include "server/session_internal.h"

#define ROOM_MIN      256 /* worth asking for: above SMTP_DOT_SLACK, far below the smallest buffer */
#define LEAD_MAX      (TRACE_RECEIVED_CAP + 2 + SESSION_LEAD_CAP + HEADER_COMPLETE_MORE)
#define COMPLETE_ROOM (ROOM_MIN + HEADER_COMPLETE_MORE + 1)

_Static_assert(LEAD_MAX <= 4096, "ops->body_room gives no more at once");

/* NULL when there is none now: then BUSY_ROOM, unless the answer has come already. */
static char *ask_room(struct session *s, size_t need, size_t *cap_out)
{
    char *ptr;

    s->busy = SESSION_BUSY_ROOM;
    ptr = s->ops->body_room(s->ctx, need, cap_out);
    if (ptr)
        s->busy = SESSION_FREE;
    return ptr;
}

static bool is_name_byte(char c)
{
    return c > 32 && c < 127 && c != ':';
}

/* RFC 5322 2.2; with blanks before the colon (4.5.8), and the "From " line of mailboxes, which some
 * senders leave in. */
static enum session_lead judge_lead(struct span lead, bool at_end)
{
    size_t len = 0;
    size_t colon;

    if (lead.len >= 2 && lead.ptr[0] == '\r')
        return SESSION_LEAD_HEADER; /* an empty line: there is the separator */
    while (len < lead.len && is_name_byte(lead.ptr[len]))
        len++;
    colon = len;
    while (colon < lead.len && (lead.ptr[colon] == ' ' || lead.ptr[colon] == '\t'))
        colon++;
    if (colon == lead.len && !at_end && lead.len < SESSION_LEAD_CAP - SMTP_DOT_SLACK)
        return SESSION_LEAD_READING;
    if (lead.len == 0 || (len > 0 && colon < lead.len && lead.ptr[colon] == ':'))
        return SESSION_LEAD_HEADER;
    if (colon > len && (span_equal_nocase(span_first(lead, len), SPAN_LIT("From")) ||
                        span_equal_nocase(span_first(lead, len), SPAN_LIT(">From"))))
        return SESSION_LEAD_HEADER;
    return SESSION_LEAD_BODY;
}

static bool is_completing(const struct session *s)
{
    return s->complete && s->complete->state != HEADER_COMPLETE_DONE;
}

static void put_received(struct session *s, struct text *t)
{
    const struct config *c = s->config;
    struct trace_client client = {
        .tls = c->smtpd_tls_received_header ? s->tls : NULL,
        .login = s->login && c->smtpd_sasl_authenticated_header ? s->login->user : NULL,
        .hidden = s->login && c->submission_hide_client,
    };

    trace_received(t, s->envelope, &client, c->myhostname, c->mail_name);
}

/* Received, the separator if one is missing, and the bytes that were held. False: no room now. */
static bool write_lead(struct session *s)
{
    size_t cap;
    char *ptr = ask_room(s, LEAD_MAX, &cap);
    struct text t;

    if (!ptr)
        return false;
    text_init(&t, ptr, cap);
    put_received(s, &t);
    if (s->lead_state == SESSION_LEAD_BODY) {
        if (s->complete)
            header_complete_none(s->complete, &t);
        text_cstr(&t, "\r\n");
    }
    if (is_completing(s))
        header_complete_feed(s->complete, span_make(s->lead, s->lead_len), &t);
    else
        text_span(&t, span_make(s->lead, s->lead_len));
    s->lead_state = SESSION_LEAD_WRITTEN;
    s->ops->body_wrote(s->ctx, t.len);
    return true;
}

static bool lead_is_due(const struct session *s)
{
    return !s->data_discard &&
           (s->lead_state == SESSION_LEAD_HEADER || s->lead_state == SESSION_LEAD_BODY);
}

bool session_body_room(struct session *s, struct session_room *room)
{
    if (lead_is_due(s) && !write_lead(s))
        return false;
    if (s->data_discard) {
        room->ptr = room->scratch;
        room->cap = sizeof room->scratch;
    } else if (s->lead_state == SESSION_LEAD_READING) {
        room->ptr = s->lead + s->lead_len;
        room->cap = sizeof s->lead - s->lead_len;
    } else if (is_completing(s)) {
        room->target = ask_room(s, COMPLETE_ROOM, &room->target_cap);
        room->ptr = room->target ? room->scratch : NULL;
        room->cap = sizeof room->scratch;
        if (room->target && room->target_cap - HEADER_COMPLETE_MORE - 1 < room->cap)
            room->cap = room->target_cap - HEADER_COMPLETE_MORE - 1;
    } else {
        room->ptr = ask_room(s, ROOM_MIN, &room->cap);
    }
    return room->ptr != NULL;
}

static void count_bytes(struct session *s, struct span canonical)
{
    s->data_bytes += canonical.len;
    header_scan_feed(&s->headers, canonical);
    if (s->headers.received > s->config->hopcount_limit)
        session_data_refuse(s, "554 5.4.0 Error: too many hops");
    else if (s->data_bytes > s->config->message_size_limit)
        session_data_refuse(s, "552 5.3.4 Error: message file too big");
}

static void complete(struct session *s, struct session_room *room, size_t len)
{
    struct text t;

    text_init(&t, room->target, room->target_cap);
    header_complete_feed(s->complete, span_make(room->ptr, len), &t);
    s->ops->body_wrote(s->ctx, t.len);
}

void session_body_took(struct session *s, struct session_room *room, size_t len)
{
    if (s->data_discard || len == 0)
        return;
    count_bytes(s, span_make(room->ptr, len));
    if (s->data_discard)
        return;
    if (s->lead_state == SESSION_LEAD_READING) {
        s->lead_len += (unsigned)len;
        s->lead_state = judge_lead(span_make(s->lead, s->lead_len), false);
    } else if (is_completing(s)) {
        complete(s, room, len);
    } else {
        s->ops->body_wrote(s->ctx, len);
    }
}

/* A message that is nothing but a header. False: no room now. */
static bool complete_end(struct session *s)
{
    size_t cap;
    char *ptr = ask_room(s, COMPLETE_ROOM, &cap);
    struct text t;

    if (!ptr)
        return false;
    text_init(&t, ptr, cap);
    header_complete_end(s->complete, &t);
    s->ops->body_wrote(s->ctx, t.len);
    return true;
}

bool session_body_end(struct session *s)
{
    if (s->data_discard)
        return true;
    if (s->lead_state == SESSION_LEAD_READING)
        s->lead_state = judge_lead(span_make(s->lead, s->lead_len), true);
    if (s->lead_state != SESSION_LEAD_WRITTEN && !write_lead(s))
        return false;
    return !is_completing(s) || complete_end(s);
}
