/*
 * session_mail - MAIL, RCPT, and the answers they wait for; see session_internal.h
 *
 * Three waits: the first MAIL waits for the client's name (the command stays in s->line and is run
 * when the name is there), each RCPT waits for the restrictions (session_check.c), and one that
 * policy admits waits for the upstream's word.
 */
#include "server/session_internal.h"

#include "server/policy.h"

#include <stdlib.h>
#include <string.h>

#define NO_MEMORY "452 4.3.1 Insufficient system storage"
#define SHOWN_MAX 100 /* bytes of a bad address that the log shows */

/* --- the client's name --- */

void session_ask_peer(struct session *s)
{
    if (s->peer_asked || s->peer_known)
        return;
    s->peer_asked = true;
    if (s->config->smtpd_peername_lookup)
        s->ops->peer(s->ctx);
    else
        session_peer_name(s, "unknown", DNS_NONE, DNS_NONE);
}

void session_peer_name(struct session *s, const char *name, enum dns_found reverse,
                       enum dns_found verified)
{
    bool awaited = session_take_answer(s, SESSION_BUSY_PEER);
    struct smtp_command c;

    if (s->state == SESSION_CLOSING || s->peer_known)
        return;
    s->peer_known = true;
    s->peer_reverse = reverse;
    s->peer_verified = verified;
    if (name[0] == '\0' || !span_copy(span_of(name), s->peer_name, sizeof s->peer_name))
        span_copy(SPAN_LIT("unknown"), s->peer_name, sizeof s->peer_name);
    if (peer_list_match_name(&s->config->debugged, span_of(s->peer_name)))
        s->debugged = true;
    if (s->any_line)
        session_log_connect(s);
    if (!awaited)
        return;
    smtp_command_parse(span_make(s->line.text, s->line.len), &c);
    session_mail(s, &c);
    session_answered(s);
}

/* True when MAIL must wait. */
static bool await_peer(struct session *s)
{
    session_ask_peer(s);
    if (s->peer_known)
        return false;
    s->busy = SESSION_BUSY_PEER;
    return true;
}

/* --- MAIL --- */

/* "501 5.5.4 PREFIXBad X parameter syntax", as Postfix words it. */
static void refuse_param(struct session *s, struct span bad, const char *prefix)
{
    struct span keyword = span_first(bad, span_find(bad, '='));

    if (span_equal_nocase(keyword, SPAN_LIT("SIZE")))
        session_reply(s, "501 5.5.4 Bad message size syntax");
    else
        session_reply(s, "501 5.5.4 %sBad %.*s parameter syntax", prefix, (int)keyword.len,
                      keyword.ptr);
}

static void refuse_address(struct session *s, const struct smtp_command *c,
                           enum smtp_address_error error, const char *syntax_reply)
{
    struct span address = span_trim(span_from(c->args, span_find(c->args, ':') + 1));
    struct span shown = span_first(address, SHOWN_MAX);

    session_log_connect(s);
    log_warning(s->log, "smtpd", "Illegal address syntax from %s[%s] in %s command: %.*s",
                s->peer.name, s->peer.address, s->where, (int)shown.len, shown.ptr);
    if (error == SMTP_ADDRESS_NON_ASCII)
        session_reply(s, "553 5.6.7 Must declare SMTPUTF8 to send unicode address");
    else
        session_reply_line(s, syntax_reply);
}

static bool parse_mail(struct session *s, const struct smtp_command *c,
                       struct smtp_mail_params *params)
{
    switch (smtp_command_mail(c->args, params)) {
    case SMTP_PARAM_OK:
        return true;
    case SMTP_PARAM_MISSING_TO:
        session_reply(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
        break;
    case SMTP_PARAM_ADDRESS:
        refuse_address(s, c, params->address_error, "501 5.1.7 Bad sender address syntax");
        break;
    case SMTP_PARAM_UNSUPPORTED:
        session_reply(s, "555 5.5.4 Unsupported option: %.*s", (int)params->bad.len,
                      params->bad.ptr);
        break;
    case SMTP_PARAM_SYNTAX:
        refuse_param(s, params->bad, "");
        break;
    }
    return false;
}

/* A parameter of MAIL that belongs to an extension that is switched off. */
static bool uses_what_is_off(struct session *s, const struct smtp_mail_params *params)
{
    if (params->smtputf8 && !session_offers(s, "SMTPUTF8"))
        session_reply(s, "555 5.5.4 Unsupported option: SMTPUTF8");
    else if ((params->ret != SMTP_RET_NONE || params->envid[0]) && !session_offers(s, "DSN"))
        session_reply(s, "501 5.7.1 DSN support is disabled");
    else
        return false;
    return true;
}

/* NULL when memory is out. */
static struct envelope *make_envelope(const struct session *s,
                                      const struct smtp_mail_params *params)
{
    struct envelope *e = envelope_new();
    struct text protocol;

    if (!e || !envelope_set_sender(e, smtp_address_span(&params->sender))) {
        envelope_free(&e);
        return NULL;
    }
    span_copy(span_of(s->peer_name), e->client_name, sizeof e->client_name);
    span_copy(span_of(s->peer_address), e->client_address, sizeof e->client_address);
    span_copy(span_of(s->helo), e->helo, sizeof e->helo);
    text_init(&protocol, e->protocol, sizeof e->protocol); /* RFC 3848, 6531 */
    text_cstr(&protocol, !s->esmtp ? "SMTP" : params->smtputf8 ? "UTF8SMTP" : "ESMTP");
    text_cstr(&protocol, s->esmtp && s->tls ? "S" : "");
    text_cstr(&protocol, s->esmtp && s->login ? "A" : "");
    span_copy(span_of(params->envid), e->envid, sizeof e->envid);
    e->budget = s->envelopes;
    e->client_port = s->peer_port;
    e->smtputf8 = params->smtputf8;
    e->eight_bit = params->body == SMTP_BODY_8BITMIME;
    e->ret = params->ret;
    return e;
}

/* The reply to a MAIL whose syntax is right. */
static void begin_mail(struct session *s, const struct smtp_mail_params *params)
{
    struct smtp_verdict verdict = {0, ""};
    const char *sender = params->sender.text;

    if (params->size > s->config->message_size_limit) {
        session_reject(s, "MAIL", sender, NULL, "552 5.3.4 Message size exceeds fixed limit");
        return;
    }
    if (!s->ops->mail(s->ctx, params->size, &verdict)) {
        session_reject(s, "MAIL", sender, NULL, verdict.line);
        return;
    }
    s->envelope = make_envelope(s, params);
    if (!s->envelope) {
        session_reject(s, "MAIL", sender, NULL, NO_MEMORY);
        return;
    }
    session_enter(s, SESSION_MAIL);
    session_reply(s, "250 2.1.0 Ok");
}

void session_mail(struct session *s, const struct smtp_command *c)
{
    struct smtp_mail_params params;

    if (session_wants_helo(s) || session_wants_auth(s) || await_peer(s))
        return;
    if (s->envelope)
        session_reply(s, "503 5.5.1 Error: nested MAIL command");
    else if (s->state == SESSION_BDAT_NEXT)
        session_reply(s, "503 5.5.1 Error: MAIL after BDAT");
    else if (!session_over_mail_rate(s) && parse_mail(s, c, &params) &&
             !uses_what_is_off(s, &params))
        begin_mail(s, &params);
    session_done(s);
}

/* --- RCPT --- */

static bool parse_rcpt(struct session *s, const struct smtp_command *c,
                       struct smtp_rcpt_params *params)
{
    enum smtp_param_error error = smtp_command_rcpt(c->args, s->envelope->smtputf8, params);

    if (error == SMTP_PARAM_OK && smtp_address_is_null(&params->recipient))
        error = SMTP_PARAM_ADDRESS;
    switch (error) {
    case SMTP_PARAM_OK:
        return true;
    case SMTP_PARAM_MISSING_TO:
        session_reply(s, "501 5.5.4 Syntax: RCPT TO:<address>");
        break;
    case SMTP_PARAM_ADDRESS:
        refuse_address(s, c, params->address_error, "501 5.1.3 Bad recipient address syntax");
        break;
    case SMTP_PARAM_UNSUPPORTED:
        session_reply(s, "555 5.5.4 Unsupported option: %.*s", (int)params->bad.len,
                      params->bad.ptr);
        break;
    case SMTP_PARAM_SYNTAX:
        refuse_param(s, params->bad, "Error: ");
        break;
    }
    return false;
}

/* The client may have had more recipients before it heard of it: no errors of its own at first. */
static void forgive_overshoot(struct session *s)
{
    s->forgiven = s->overshoot++ < s->config->smtpd_recipient_overshoot_limit;
}

static bool notify_is_off(struct session *s, const struct smtp_rcpt_params *params)
{
    if ((params->notify == 0 && !params->orcpt[0]) || session_offers(s, "DSN"))
        return false;
    session_reply(s, "501 5.7.1 DSN support is disabled");
    return true;
}

static bool has_room_for_recipient(struct session *s)
{
    if (s->envelope->recipient_count + s->duplicates < s->config->smtpd_recipient_limit)
        return true;
    forgive_overshoot(s);
    session_reply(s, "452 4.5.3 Error: too many recipients");
    return false;
}

static void end_rcpt(struct session *s)
{
    free(s->rcpt);
    s->rcpt = NULL;
}

/* True when the lists are run: session_rcpt_checked() has come or will come. */
static bool begin_rcpt(struct session *s, const struct smtp_rcpt_params *params)
{
    struct smtp_address recipient = params->recipient;
    struct smtp_verdict verdict = {0, ""};

    if (!policy_complete_recipient(s->config, &recipient, &verdict)) {
        session_reject(s, "RCPT", s->envelope->sender, recipient.text, verdict.line);
        return false;
    }
    s->rcpt = malloc(sizeof *s->rcpt);
    if (!s->rcpt) {
        session_reject(s, "RCPT", s->envelope->sender, recipient.text, NO_MEMORY);
        return false;
    }
    *s->rcpt = *params;
    s->rcpt->recipient = recipient;
    s->rcpt->bad = (struct span){NULL, 0}; /* pointed into the line */
    if (session_check(s, SESSION_CHECK_RCPT))
        return true;
    session_reject(s, "RCPT", s->envelope->sender, recipient.text, NO_MEMORY);
    end_rcpt(s);
    return false;
}

void session_rcpt_checked(struct session *s, const char *line, bool ask_upstream)
{
    if (!line) {
        s->busy = SESSION_BUSY_RCPT;
        s->ops->recipient(s->ctx, s->envelope, &s->rcpt->recipient, ask_upstream);
        return;
    }
    session_reject(s, "RCPT", s->envelope->sender, s->rcpt->recipient.text, line);
    end_rcpt(s);
    session_done(s);
}

void session_rcpt(struct session *s, const struct smtp_command *c)
{
    struct smtp_rcpt_params params;

    if (!s->envelope)
        session_reply(s, "503 5.5.1 Error: need MAIL command");
    else if (s->state == SESSION_BDAT_NEXT)
        session_reply(s, "503 5.5.1 Error: RCPT after BDAT");
    else if (!session_over_rcpt_rate(s) && parse_rcpt(s, c, &params) &&
             !notify_is_off(s, &params) && has_room_for_recipient(s) && begin_rcpt(s, &params))
        return;
    session_done(s);
}

/* A recipient that is named again is taken, and gets the message once, as in Postfix. */
static bool keep_recipient(struct session *s, const struct smtp_rcpt_params *r)
{
    struct envelope *e = s->envelope;
    struct span address = smtp_address_span(&r->recipient);

    if (!envelope_has_recipient(e, address, r->notify, span_of(r->orcpt)))
        return envelope_add_recipient(e, address, r->notify, span_of(r->orcpt));
    s->duplicates++;
    return true;
}

static void accept_recipient(struct session *s, const struct smtp_rcpt_params *r)
{
    struct envelope *e = s->envelope;

    if (!keep_recipient(s, r)) {
        forgive_overshoot(s);
        session_reject(s, "RCPT", e->sender, r->recipient.text, NO_MEMORY);
        return;
    }
    /* <postmaster>, completed with a domain of ours: what the client did not have to declare */
    e->smtputf8 = e->smtputf8 || r->recipient.non_ascii;
    if (!s->queue_id.text[0]) {
        s->ops->queue_id(s->ctx, &e->id, &e->arrival_us);
        s->queue_id = e->id;
        session_log_connect(s);
        if (s->login)
            log_client_login(s->log, s->queue_id.text, &s->peer, s->login->method, s->login->user);
        else
            log_client(s->log, s->queue_id.text, &s->peer);
    }
    session_enter(s, SESSION_RCPT);
    session_reply(s, "250 2.1.5 Ok");
}

/* What the settings say to refuse with (250: do not); 0: nothing. */
static unsigned refusal_code(const struct session *s, bool for_good)
{
    const char *set = for_good ? s->config->unverified_recipient_reject_code
                               : s->config->unverified_recipient_defer_code;
    uint64_t code = 0;

    return span_to_u64(span_of(set), 599, &code) ? (unsigned)code : 0;
}

/* The upstream's code and status, held to what the answer means: a "421" of its own must not end
 * our session. */
static void refuse_recipient(struct session *s, bool for_good, unsigned code, const char *dsn,
                             const char *why)
{
    const char *recipient = s->rcpt->recipient.text;
    const char *words = s->config->unverified_recipient_reject_reason;
    unsigned set = refusal_code(s, for_good);
    char line[SMTP_VERDICT_CAP];
    struct text t;
    char class;

    if (code / 100 != (for_good ? 5 : 4) || code == 421 || code == 521)
        code = for_good ? 550 : 450;
    if (set > 0)
        code = set;
    class = code / 100 == 5 ? '5' : '4';
    if (dsn[0] != class)
        dsn = class == '5' ? "5.1.1" : "4.1.1";
    text_init(&t, line, sizeof line);
    text_printf(&t, "%u %s <%s>: Recipient address rejected: %s address: %s", code, dsn, recipient,
                for_good ? "undeliverable" : "unverified", words[0] ? words : why);
    session_reject(s, "RCPT", s->envelope->sender, recipient, line);
}

void session_rcpt_answer(struct session *s, enum session_rcpt_answer answer, unsigned code,
                         const char *dsn, const char *why)
{
    if (!session_take_answer(s, SESSION_BUSY_RCPT))
        return;
    if (answer == SESSION_RCPT_ACCEPT || refusal_code(s, answer == SESSION_RCPT_REJECT) == 250)
        accept_recipient(s, s->rcpt);
    else
        refuse_recipient(s, answer == SESSION_RCPT_REJECT, code, dsn ? dsn : "", why ? why : "");
    end_rcpt(s);
    session_done(s);
    session_answered(s);
}
