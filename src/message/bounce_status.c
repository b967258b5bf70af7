/* bounce_status - the part of a report that is for programs (RFC 3464); see bounce.h */
#include "message/bounce_private.h"

#include "base/clock.h"

#include <string.h>

#define HOST_MAX 255

static const char *const actions[] = {
    [BOUNCE_FAILURE] = "failed",
    [BOUNCE_DELAY] = "delayed",
    [BOUNCE_SUCCESS] = "delivered",
    [BOUNCE_NOTICE] = "failed",
};

/* "delivery via HOST[ADDR]:port: 250 2.0.0 Ok" */
static void split_success(struct span reason, struct span *host_out, struct span *said_out)
{
    struct span relay = span_first(reason, span_find(reason, ' '));

    if (relay.len < 2 || relay.ptr[relay.len - 1] != ':' || relay.len + 1 >= reason.len)
        return;
    *said_out = span_from(reason, relay.len + 1);
    *host_out = span_first(relay, span_find(relay, '['));
    if (host_out->len == relay.len) /* a socket's path */
        host_out->len--;
}

void bounce_reason_split(struct span reason, struct span *host_out, struct span *said_out)
{
    static const char said[] = " said: ", reply[] = " (in reply to ";
    struct span host;
    size_t at, end;

    *host_out = *said_out = span_make(NULL, 0);
    if (span_starts_nocase(reason, SPAN_LIT(BOUNCE_VIA))) {
        split_success(span_from(reason, sizeof BOUNCE_VIA - 1), host_out, said_out);
        return;
    }
    if (!span_starts_nocase(reason, SPAN_LIT("host ")))
        return;
    host = span_from(reason, 5);
    host = span_first(host, span_find(host, ' '));
    at = 5 + host.len;
    if (host.len == 0 || !span_starts_nocase(span_from(reason, at), span_of(said)))
        return;
    reason = span_from(reason, at + sizeof said - 1);
    end = reason.len;
    for (size_t i = 0; i < reason.len; i++) {
        if (reason.ptr[i] == ' ' && span_starts_nocase(span_from(reason, i), span_of(reply)))
            end = i; /* the last one: the others are the peer's */
    }
    *said_out = span_first(reason, end);
    *host_out = span_first(host, span_find(host, '['));
}

static void put_mail_name(const struct bounce *b, struct text *t)
{
    struct span name = span_first(span_of(b->mail_name), 64);

    text_cstr(t, "X-");
    for (size_t i = 0; i < name.len; i++)
        text_char(t, ascii_is_alnum(name.ptr[i]) ? name.ptr[i] : '-');
}

void bounce_put_status(const struct bounce *b, struct text *t)
{
    const struct envelope *e = b->about;

    text_printf(t, "Reporting-MTA: dns; %.255s\r\n", b->myhostname);
    if (e->envid[0]) {
        text_cstr(t, "Original-Envelope-Id: ");
        bounce_put_xtext(t, span_of(e->envid), e->smtputf8);
        text_cstr(t, "\r\n");
    }
    put_mail_name(b, t);
    text_printf(t, "-Queue-ID: %s\r\n", e->id.text);
    put_mail_name(b, t);
    text_printf(t, "-Sender: %s; ", bounce_address_type(span_of(e->sender)));
    bounce_put_clean(t, span_of(e->sender), SMTP_ADDRESS_CAP, e->smtputf8);
    text_cstr(t, "\r\nArrival-Date: ");
    clock_text_rfc5322(t, e->arrival_us);
    text_cstr(t, "\r\n\r\n");
}

/* Without ORCPT it is the address as it was accepted. */
static void put_original(const struct bounce *b, const struct recipient *r, struct text *t)
{
    struct span orcpt = span_of(r->orcpt);
    size_t colon = span_find(orcpt, ';');
    bool utf8 = b->about->smtputf8;

    text_cstr(t, "Original-Recipient: ");
    if (colon < orcpt.len) {
        bounce_put_clean(t, span_first(orcpt, colon), SMTP_ORCPT_CAP, false);
        text_char(t, ';');
        bounce_put_xtext(t, span_from(orcpt, colon + 1), utf8);
    } else {
        text_printf(t, "%s;", bounce_address_type(span_of(r->address)));
        bounce_put_clean(t, span_of(r->address), SMTP_ADDRESS_CAP, utf8);
    }
    text_cstr(t, "\r\n");
}

/* What the state says rather than what a record of it may have lost. */
static const char *status_of(const struct bounce *b, const struct recipient *r)
{
    if (r->dsn[0])
        return r->dsn;
    if (b->kind == BOUNCE_SUCCESS)
        return "2.0.0";
    return r->state == RECIPIENT_FAILED ? "5.0.0" : "4.0.0";
}

static void put_diagnostic(const struct bounce *b, const struct recipient *r, struct text *t)
{
    struct span host, said, reason = span_of(r->reason);
    size_t start;

    if (reason.len == 0)
        return;
    bounce_reason_split(reason, &host, &said);
    if (host.len > 0) {
        text_cstr(t, "Remote-MTA: dns; ");
        bounce_put_clean(t, host, HOST_MAX, false);
        text_cstr(t, "\r\n");
    }
    start = t->len;
    text_cstr(t, "Diagnostic-Code: ");
    if (said.len > 0)
        text_cstr(t, "smtp;");
    else
        put_mail_name(b, t);
    if (said.len == 0)
        text_char(t, ';');
    bounce_put_folded(t, t->len - start, said.len > 0 ? said : reason, b->about->smtputf8);
    text_cstr(t, "\r\n");
}

void bounce_put_recipient_status(const struct bounce *b, const struct recipient *r, struct text *t)
{
    text_printf(t, "Final-Recipient: %s; ", bounce_address_type(span_of(r->address)));
    bounce_put_clean(t, span_of(r->address), SMTP_ADDRESS_CAP, b->about->smtputf8);
    text_cstr(t, "\r\n");
    put_original(b, r, t);
    text_printf(t, "Action: %s\r\nStatus: %s\r\n",
                b->kind == BOUNCE_SUCCESS && r->owes == RECIPIENT_OWES_RELAYED ? "relayed"
                                                                               : actions[b->kind],
                status_of(b, r));
    put_diagnostic(b, r, t);
    if (b->kind == BOUNCE_DELAY) {
        text_cstr(t, "Will-Retry-Until: ");
        clock_text_rfc5322(t, b->about->arrival_us + (int64_t)b->lifetime_ms * 1000);
        text_cstr(t, "\r\n");
    }
    text_cstr(t, "\r\n");
}
