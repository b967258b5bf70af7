/* session_fixture - what the session asks of the world, and the answers; see session_fixture.h */
#include "session_fixture.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define FIXTURE_ARRIVAL_US 1763770000123456

/* --- the world as the session sees it --- */

static void on_send(void *ctx, struct span bytes)
{
    struct fixture *f = ctx;

    bytes_add(&f->said, bytes);
}

static void on_hang_up(void *ctx)
{
    struct fixture *f = ctx;

    f->hang_ups++;
}

static void on_wait(void *ctx, enum session_wait what)
{
    struct fixture *f = ctx;

    f->waits++;
    f->waiting = what;
}

static void on_resume(void *ctx)
{
    struct fixture *f = ctx;

    f->resumes++;
}

static void on_peer(void *ctx)
{
    struct fixture *f = ctx;

    f->peer_due = true;
    if (f->when == FIXTURE_NOW)
        fixture_answer(f);
}

static bool refuse(const char *reply, struct smtp_verdict *verdict_out)
{
    if (!reply)
        return true;
    verdict_out->code = (unsigned)strtoul(reply, NULL, 10);
    span_copy(span_of(reply), verdict_out->line, sizeof verdict_out->line);
    return false;
}

static bool on_mail(void *ctx, uint64_t size, struct smtp_verdict *verdict_out)
{
    struct fixture *f = ctx;

    return refuse(f->mail_refused, verdict_out);
}

static unsigned on_event(void *ctx, enum session_event event)
{
    struct fixture *f = ctx;

    return ++f->events[event];
}

static void on_lookup(void *ctx, enum dns_question question, const char *name)
{
    struct fixture *f = ctx;

    f->lookups++;
    f->lookup_due = true;
    f->question = question;
    if (!span_copy(span_of(name), f->asked_name, sizeof f->asked_name))
        abort();
    if (f->when == FIXTURE_NOW)
        fixture_answer(f);
}

static void on_recipient(void *ctx, const struct envelope *e, const struct smtp_address *recipient,
                         bool must)
{
    struct fixture *f = ctx;

    span_copy(smtp_address_span(recipient), f->recipient_due, sizeof f->recipient_due);
    if (f->when == FIXTURE_NOW)
        fixture_answer(f);
}

static void on_queue_id(void *ctx, struct queue_id *id_out, int64_t *arrival_us_out)
{
    struct fixture *f = ctx;
    struct queue_id_source source = {f->ids++ << 12};

    queue_id_next(&source, 0, id_out);
    *arrival_us_out = FIXTURE_ARRIVAL_US;
}

static bool on_body_begin(void *ctx, const struct envelope *e, struct smtp_verdict *verdict_out)
{
    struct fixture *f = ctx;

    bytes_free(&f->body);
    f->room_left = 0;
    return refuse(f->data_refused, verdict_out);
}

/* Room is handed out in pieces of f->room: between two there is none, as while a buffer is written
 * to disk. */
static char *on_body_room(void *ctx, size_t need, size_t *cap_out)
{
    struct fixture *f = ctx;

    if (need > 4096)
        abort();
    if (!f->endless_room && f->room_left < need) {
        f->room_due = true;
        if (f->when == FIXTURE_NOW)
            fixture_answer(f);
        return NULL;
    }
    *cap_out = f->endless_room ? 65536 : f->room_left;
    if (f->body.cap < f->body.len + *cap_out + 1) {
        f->body.cap = (f->body.len + *cap_out + 1) * 2;
        f->body.ptr = realloc(f->body.ptr, f->body.cap);
        if (!f->body.ptr)
            abort();
    }
    return f->body.ptr + f->body.len;
}

static void on_body_wrote(void *ctx, size_t len)
{
    struct fixture *f = ctx;

    f->body.len += len;
    f->body.ptr[f->body.len] = '\0';
    f->room_left -= f->endless_room ? 0 : len;
}

static void on_body_abort(void *ctx)
{
    struct fixture *f = ctx;

    f->aborts++;
    f->room_due = false;
    bytes_free(&f->body);
}

static void on_submit(void *ctx, struct envelope *e, const char *message_id)
{
    struct fixture *f = ctx;

    f->submits++;
    f->envelope_due = e;
    if (f->submits <= FIXTURE_MESSAGES_MAX)
        span_copy(span_of(message_id), f->messages[f->submits - 1].message_id,
                  TRACE_MESSAGE_ID_CAP);
    if (f->when == FIXTURE_NOW)
        fixture_answer(f);
}

static bool on_tls_offered(void *ctx)
{
    struct fixture *f = ctx;

    return !f->no_certificate;
}

static bool on_tls_prepare(void *ctx, struct smtp_verdict *verdict_out)
{
    struct fixture *f = ctx;

    f->tls_prepares++;
    return refuse(f->tls_refused, verdict_out);
}

static void on_tls_start(void *ctx)
{
    struct fixture *f = ctx;

    f->tls_starts++;
    f->tls_due = true;
}

/* --- users --- */

static const struct sasl_mechanisms *on_auth_mechanisms(void *ctx)
{
    const struct fixture *f = ctx;

    return f->config->sasl == SASL_BACK_END_NONE ? NULL : sasl_login_mechanisms();
}

static void answer_auth(struct fixture *f)
{
    f->auth_due = true;
    if (f->auth_trouble)
        f->auth_answer = (struct session_auth_answer){
            SESSION_AUTH_TROUBLE, {NULL, 0},
             "", f->auth_trouble
        };
    if (f->when == FIXTURE_NOW)
        fixture_answer(f);
}

static void on_auth_start(void *ctx, const struct session_auth_request *request)
{
    struct fixture *f = ctx;

    f->auth_starts++;
    sasl_login_start(&f->login, f->config, request, &f->auth_answer);
    answer_auth(f);
}

static void on_auth_next(void *ctx, struct span response)
{
    struct fixture *f = ctx;

    sasl_login_next(&f->login, f->config, response, &f->auth_answer);
    answer_auth(f);
}

static void on_auth_cancel(void *ctx)
{
    struct fixture *f = ctx;

    f->auth_cancels++;
    f->auth_due = false;
    sasl_login_cancel(&f->login);
}

void fixture_secure(struct fixture *f)
{
    static const struct tls_facts facts = {.protocol = "TLSv1.2",
                                           .cipher = "ECDHE-RSA-AES128-GCM-SHA256",
                                           .bits = 128,
                                           .server_name = "mx.example.com"};

    if (!f->tls_due)
        abort();
    f->tls_due = false;
    if (f->input.len > 0) {
        f->input.len = 0;
        session_tls_failed(&f->session, "input in clear text");
        f->hang_ups += f->hang_ups == 0;
        return;
    }
    session_secured(&f->session, &facts);
    fixture_pump(f);
}

const struct session_ops fixture_ops = {
    .send = on_send,
    .hang_up = on_hang_up,
    .wait = on_wait,
    .resume = on_resume,
    .peer = on_peer,
    .mail = on_mail,
    .event = on_event,
    .lookup = on_lookup,
    .recipient = on_recipient,
    .queue_id = on_queue_id,
    .body_begin = on_body_begin,
    .body_room = on_body_room,
    .body_wrote = on_body_wrote,
    .body_abort = on_body_abort,
    .submit = on_submit,
    .tls_offered = on_tls_offered,
    .tls_prepare = on_tls_prepare,
    .tls_start = on_tls_start,
    .auth_mechanisms = on_auth_mechanisms,
    .auth_start = on_auth_start,
    .auth_next = on_auth_next,
    .auth_cancel = on_auth_cancel,
};

/* --- answers --- */

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static void answer_recipient(struct fixture *f)
{
    char recipient[SMTP_ADDRESS_CAP];
    char why[SMTP_ADDRESS_CAP + 200];
    struct text t;

    memcpy(recipient, f->recipient_due, sizeof recipient);
    f->recipient_due[0] = '\0';
    text_init(&t, why, sizeof why);
    if (starts(recipient, "unknown")) {
        text_printf(&t, "host dovecot[192.0.2.10] said: 550 5.1.1 <%s> User doesn't exist",
                    recipient);
        session_rcpt_answer(&f->session, SESSION_RCPT_REJECT, 550, "5.1.1", why);
    } else if (starts(recipient, "temp")) {
        text_printf(&t, "host dovecot[192.0.2.10] said: 451 4.3.0 <%s> Temporary", recipient);
        session_rcpt_answer(&f->session, SESSION_RCPT_DEFER, 451, "4.3.0", why);
    } else {
        session_rcpt_answer(&f->session, SESSION_RCPT_ACCEPT, 0, "", "");
    }
}

static bool is_full(const struct envelope *e)
{
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (!starts(e->recipients[i].address, "full"))
            return false;
    }
    return true;
}

static void keep_message(struct fixture *f, struct envelope *e)
{
    if (f->message_count < FIXTURE_MESSAGES_MAX) {
        f->messages[f->message_count].envelope = e;
        f->messages[f->message_count].body = f->body;
        f->body = (struct bytes){NULL, 0, 0};
    } else {
        envelope_free(&e);
    }
    f->message_count++;
}

static void answer_submit(struct fixture *f)
{
    struct envelope *e = f->envelope_due;
    struct smtp_verdict verdict = {250, ""};
    struct text t;

    f->envelope_due = NULL;
    text_init(&t, verdict.line, sizeof verdict.line);
    if (f->submit_reply)
        refuse(f->submit_reply, &verdict);
    else if (is_full(e))
        refuse("552 5.2.2 <full@example.com> Quota exceeded (mailbox for user is full)", &verdict);
    else
        text_printf(&t, "250 2.0.0 Ok: queued as %s", e->id.text);
    if (verdict.code == 250)
        keep_message(f, e);
    else
        envelope_free(&e);
    session_submitted(&f->session, &verdict);
}

static void answer_peer(struct fixture *f)
{
    bool known = strcmp(f->peer_name, "unknown") != 0;
    enum dns_found found = known ? DNS_FOUND : DNS_NONE;

    session_peer_name(&f->session, f->peer_name,
                      f->peer_reverse == DNS_TROUBLE ? found : f->peer_reverse, found);
}

static bool ends(const char *s, const char *end)
{
    return span_ends_nocase(span_of(s), span_of(end));
}

/* The names of tests/dialogues/FORMAT.md. */
static void answer_lookup(struct fixture *f)
{
    const char *name = f->asked_name;
    struct dns_answer answer = {.found = DNS_FOUND};
    bool refused = ends(name, "refused.example.org");

    if (starts(name, "missing") || ends(name, ".clean.example.org"))
        answer.found = DNS_NONE;
    else if (starts(name, "broken") || ends(name, ".broken.example.org"))
        answer.found = DNS_TROUBLE;
    else if (starts(name, "nullmx"))
        answer.found = DNS_NULL_MX;
    if (answer.found == DNS_FOUND && f->question == DNS_ADDRESS) {
        memcpy(answer.addresses[0], refused ? "\x7f\xff\xff\xfe" : "\x7f\0\0\x04", 4);
        answer.address_count = 1;
    }
    if (answer.found == DNS_FOUND && f->question == DNS_TEXT)
        span_copy(SPAN_LIT("listed, see http://bl.example.org/"), answer.text, sizeof answer.text);
    session_lookup_answer(&f->session, &answer);
}

bool fixture_answer(struct fixture *f)
{
    if (f->peer_due) {
        f->peer_due = false;
        answer_peer(f);
    } else if (f->auth_due) {
        f->auth_due = false;
        session_auth_answer(&f->session, &f->auth_answer);
    } else if (f->lookup_due) {
        f->lookup_due = false;
        answer_lookup(f);
    } else if (f->session.busy == SESSION_BUSY_PAUSE && f->waiting == SESSION_WAIT_PAUSE) {
        session_timeout(&f->session);
    } else if (f->recipient_due[0]) {
        answer_recipient(f);
    } else if (f->room_due) {
        f->room_due = false;
        f->room_left = f->room;
        session_room(&f->session, f->room_rc);
    } else if (f->envelope_due) {
        answer_submit(f);
    } else {
        return false;
    }
    return true;
}
