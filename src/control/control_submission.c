/* control_submission - see control_submission.h */
#include "control/control_submission.h"

#include "control/control_format.h"
#include "control/control_recipient.h"
#include "message/trace_local.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#define ARGS_CAP (CONTROL_LINE_MAX + 32)

bool submission_is_under_way(const struct control_submission *s)
{
    return s->config != NULL;
}

static void forget(struct control_submission *s)
{
    body_free(&s->body);
    envelope_free(&s->envelope);
    config_unref(&s->config);
}

void submission_abort(struct control_submission *s)
{
    if (s->submitted)
        intake_forget(s->intake, s);
    s->submitted = false;
    if (submission_is_under_way(s))
        forget(s);
}

/* ---- failures ---- */

static enum submission_step fail(struct control_submission *s, int exit_code, unsigned code,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));
static enum submission_step fail(struct control_submission *s, int exit_code, unsigned code,
                                 const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(s->failure.line, sizeof s->failure.line, format, args);
    va_end(args);
    s->failure.code = code;
    s->exit_code = exit_code;
    forget(s);
    return SUBMISSION_FAILED;
}

static enum submission_step fail_memory(struct control_submission *s)
{
    return fail(s, EX_TEMPFAIL, 452, "452 4.3.1 Insufficient system storage: out of memory");
}

static enum submission_step fail_body(struct control_submission *s, int error)
{
    if (error == -ENOSPC || error == -EDQUOT || error == -ENOMEM)
        return fail(s, EX_TEMPFAIL, 452, "452 4.3.1 Insufficient system storage");
    return fail(s, EX_TEMPFAIL, 451, "451 4.3.0 Error: queue file write error");
}

static enum submission_step fail_size(struct control_submission *s)
{
    return fail(s, EX_DATAERR, 552, "552 5.3.4 Message size exceeds fixed limit (%ju bytes)",
                (uintmax_t)s->config->message_size_limit);
}

/* The failure is in s->failure already. */
static enum submission_step fail_verdict(struct control_submission *s)
{
    s->exit_code = control_exit_code(&s->failure);
    forget(s);
    return SUBMISSION_FAILED;
}

/* ---- envelope ---- */

static void copy_name(char *dst, size_t cap, const char *name)
{
    if (!span_copy(span_of(name), dst, cap))
        dst[0] = '\0';
}

enum submission_step submission_begin(struct control_submission *s,
                                      const struct submission_setup *setup)
{
    struct envelope *e;

    *s = (struct control_submission){
        .events = setup->events,
        .ctx = setup->ctx,
        .intake = setup->intake,
        .config = config_ref(setup->config),
        .log = setup->log,
        .uid = setup->uid,
        .original = setup->original,
    };
    if (!intake_may_come(s->intake, 0, &s->failure))
        return fail_verdict(s);
    e = s->envelope = envelope_new();
    if (!e)
        return fail_memory(s);
    intake_queue_id(s->intake, &e->id, &e->arrival_us);
    copy_name(e->client_name, sizeof e->client_name, "localhost");
    copy_name(e->client_address, sizeof e->client_address, "127.0.0.1");
    copy_name(e->protocol, sizeof e->protocol, "local");
    e->eight_bit = true; /* not known before the body came; 7-bit text does not mind */
    smtp_normaliser_init(&s->normaliser);
    header_scan_init(&s->headers, s->config->header_size_limit);
    return SUBMISSION_OK;
}

/* "FROM:<address> params"; the addresses say by themselves whether SMTPUTF8 is needed. */
static bool make_args(struct text *t, const char *prefix, struct span argument, const char *suffix)
{
    text_cstr(t, prefix);
    text_span(t, argument);
    text_cstr(t, suffix);
    return !t->overflow;
}

static bool set_sender(struct control_submission *s, const struct smtp_mail_params *params)
{
    const struct smtp_address *sender = &params->sender;
    char buf[SMTP_ADDRESS_CAP + 256];
    struct text t;

    s->sender_given = sender->len;
    if (smtp_address_is_null(sender) || sender->has_domain)
        return envelope_set_sender(s->envelope, smtp_address_span(sender));
    text_init(&t, buf, sizeof buf);
    return control_complete(&t, s->config, sender) &&
           envelope_set_sender(s->envelope, text_as_span(&t));
}

static bool parse_from(struct span argument, const char *suffix, struct smtp_mail_params *out)
{
    char buf[ARGS_CAP];
    struct text args;

    text_init(&args, buf, sizeof buf);
    return make_args(&args, "FROM:", argument, suffix) &&
           smtp_command_mail(text_as_span(&args), out) == SMTP_PARAM_OK;
}

enum submission_step submission_from(struct control_submission *s, struct span argument)
{
    struct smtp_mail_params params;
    bool said = !parse_from(argument, " SMTPUTF8", &params); /* or it is no sender at all */

    if (said && !parse_from(argument, "", &params))
        return fail(s, EX_USAGE, 501, "501 5.1.7 Bad sender address syntax: %.*s",
                    (int)(argument.len < 400 ? argument.len : 400), argument.ptr);
    s->envelope->ret = params.ret;
    if (params.has_body)
        s->envelope->eight_bit = params.body == SMTP_BODY_8BITMIME;
    copy_name(s->envelope->envid, sizeof s->envelope->envid, params.envid);
    s->envelope->smtputf8 = said || params.sender.non_ascii;
    return set_sender(s, &params) ? SUBMISSION_OK : fail_memory(s);
}

enum submission_step submission_rcpt(struct control_submission *s, struct span argument)
{
    struct envelope *e = s->envelope;
    struct smtp_rcpt_params params;

    if (e->recipient_count >= s->config->smtpd_recipient_limit)
        return fail(s, EX_DATAERR, 552, "552 5.5.3 Error: too many recipients, %ju are allowed",
                    (uintmax_t)s->config->smtpd_recipient_limit);
    s->exit_code = control_recipient(s->config, span_of(e->sender), argument, &params, &s->failure);
    if (s->exit_code != EX_OK) {
        forget(s);
        return SUBMISSION_FAILED;
    }
    e->smtputf8 = e->smtputf8 || params.recipient.non_ascii;
    if (!envelope_add_recipient(e, smtp_address_span(&params.recipient), params.notify,
                                span_of(params.orcpt)))
        return fail_memory(s);
    return SUBMISSION_OK;
}

/* ---- body ---- */

static void on_room(void *ctx, int rc)
{
    struct control_submission *s = ctx;

    s->body_error = rc;
    s->events->on_ready(s->ctx);
}

/* OK: there is room for `need` bytes now. */
static enum submission_step want_room(struct control_submission *s, size_t need)
{
    if (s->body_error < 0)
        return fail_body(s, s->body_error);
    return body_make_room(s->body, need, on_room, s) ? SUBMISSION_OK : SUBMISSION_WAIT;
}

/* The body, with our Received header in front. May be called again. */
static enum submission_step open_body(struct control_submission *s)
{
    enum submission_step step;
    struct text t;
    size_t cap;
    char *room;

    if (!s->body)
        s->body = intake_body_new(s->intake, s->envelope);
    if (!s->body)
        return fail_memory(s);
    if (s->received)
        return SUBMISSION_OK;
    step = want_room(s, TRACE_RECEIVED_CAP);
    if (step != SUBMISSION_OK)
        return step;
    room = body_room(s->body, &cap);
    text_init(&t, room, cap);
    trace_received_local(&t, s->envelope, s->uid, s->config->myhostname, s->config->mail_name);
    body_wrote(s->body, t.len);
    s->received = true;
    return SUBMISSION_OK;
}

static bool is_too_big(const struct control_submission *s)
{
    return s->size > s->config->message_size_limit && !s->original.text[0];
}

static void took(struct control_submission *s, const char *bytes, size_t len)
{
    header_scan_feed(&s->headers, span_make(bytes, len));
    body_wrote(s->body, len);
    s->size += len;
}

enum submission_step submission_bytes(struct control_submission *s, struct span *bytes)
{
    enum submission_step step = open_body(s);

    while (step == SUBMISSION_OK && bytes->len > 0) {
        size_t cap;
        size_t len;
        char *room;

        step = want_room(s, SMTP_DOT_SLACK);
        if (step != SUBMISSION_OK)
            break;
        room = body_room(s->body, &cap);
        smtp_normalise(&s->normaliser, bytes, room, cap, &len);
        took(s, room, len);
        if (is_too_big(s))
            return fail_size(s);
    }
    return step;
}

static void on_intake_done(void *ctx, const struct smtp_verdict *verdict)
{
    struct control_submission *s = ctx;

    s->submitted = false;
    config_unref(&s->config);
    s->events->on_verdict(s->ctx, verdict);
}

static enum submission_step submit(struct control_submission *s)
{
    struct envelope *e = s->envelope;
    struct body *body = s->body;

    if (is_too_big(s))
        return fail_size(s);
    if (s->headers.received > s->config->hopcount_limit)
        return fail(s, EX_UNAVAILABLE, 554, "554 5.4.0 Error: too many hops");
    log_pickup(s->log, e->id.text, s->uid, span_first(span_of(e->sender), s->sender_given),
               s->original.text);
    log_message_id(s->log, e->id.text, s->headers.message_id);
    s->envelope = NULL;
    s->body = NULL;
    s->submitted = true;
    intake_submit(s->intake, e, body, on_intake_done, s);
    return SUBMISSION_OK;
}

enum submission_step submission_end(struct control_submission *s)
{
    enum submission_step step = open_body(s);
    size_t len;
    size_t cap;
    char *room;

    if (step == SUBMISSION_OK)
        step = want_room(s, SMTP_DOT_SLACK);
    if (step != SUBMISSION_OK)
        return step;
    room = body_room(s->body, &cap);
    len = smtp_normalise_finish(&s->normaliser, room);
    took(s, room, len);
    return submit(s);
}
