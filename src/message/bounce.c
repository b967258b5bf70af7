/* bounce - see bounce.h: the parts of a report and their order */
#include "message/bounce_private.h"

#include "base/clock.h"
#include "message/trace.h"

#include <string.h>

#define ONE_LINE_MAX 1024 /* by which a header without line ends may exceed size_limit */

enum stage {
    HEADER,
    NOTIFICATION,
    RECIPIENTS,
    STATUS,
    RECIPIENT_STATUS,
    HEAD,
    ORIGINAL,
    TAIL,
    END
};

/* ---- whom it is about ---- */

bool bounce_concerns(enum bounce_kind kind, bool expired, const struct recipient *r)
{
    bool pending = r->state == RECIPIENT_PENDING;

    switch (kind) {
    case BOUNCE_FAILURE:
    case BOUNCE_NOTICE:
        return ((r->state == RECIPIENT_FAILED && !r->told) || (expired && pending)) &&
               (r->notify == 0 || (r->notify & SMTP_NOTIFY_FAILURE));
    case BOUNCE_DELAY:
        return pending && (r->notify == 0 || (r->notify & SMTP_NOTIFY_DELAY));
    case BOUNCE_SUCCESS:
        return r->state == RECIPIENT_SENT && r->owes != RECIPIENT_OWES_NOTHING && !r->told &&
               (r->notify & SMTP_NOTIFY_SUCCESS);
    }
    return false;
}

size_t bounce_count(enum bounce_kind kind, bool expired, const struct envelope *about)
{
    size_t count = 0;

    for (size_t i = 0; i < about->recipient_count; i++)
        count += bounce_concerns(kind, expired, &about->recipients[i]);
    return count;
}

/* The next recipient that the report is about; NULL: that was all, and the cursor is back. */
static const struct recipient *next_recipient(struct bounce *b)
{
    while (b->cursor < b->about->recipient_count) {
        const struct recipient *r = &b->about->recipients[b->cursor++];

        if (bounce_concerns(b->kind, b->expired, r))
            return r;
    }
    b->cursor = 0;
    return NULL;
}

/* ---- the parts ---- */

static void put_boundary(const struct bounce *b, struct text *t)
{
    text_printf(t, "%s.%016llx/%.40s", b->report->id.text, (unsigned long long)b->unique,
                b->myhostname);
}

/* The next part: Content-Description, and its type. */
static void begin_part(const struct bounce *b, struct text *t, const char *what, const char *type)
{
    text_cstr(t, "--");
    put_boundary(b, t);
    text_printf(t, "\r\nContent-Description: %s\r\nContent-Type: %s\r\n", what, type);
}

static void end_part_header(struct text *t, bool eight_bit)
{
    if (eight_bit)
        text_cstr(t, "Content-Transfer-Encoding: 8bit\r\n");
    text_cstr(t, "\r\n");
}

static void put_from(const struct bounce *b, struct text *t)
{
    static const char *const subjects[] = {
        [BOUNCE_FAILURE] = "Undelivered Mail Returned to Sender",
        [BOUNCE_DELAY] = "Delayed Mail (still being retried)",
        [BOUNCE_SUCCESS] = "Successful Mail Delivery Report",
        [BOUNCE_NOTICE] = "Postmaster Notice: Undelivered Mail on Hold",
    };

    text_cstr(t, "Date: ");
    clock_text_rfc5322(t, b->report->arrival_us);
    text_printf(t, "\r\nFrom: Mail Delivery System <MAILER-DAEMON@%.255s>\r\nSubject: %s\r\nTo: ",
                b->myhostname, subjects[b->kind]);
    bounce_put_clean(t, span_of(b->report->recipients[0].address), SMTP_ADDRESS_CAP,
                     b->about->smtputf8);
    text_cstr(t, "\r\nAuto-Submitted: auto-replied\r\n");
}

static void put_header(const struct bounce *b, struct text *t)
{
    bool eight_bit = b->about->eight_bit || b->about->smtputf8;

    trace_received(t, b->report, NULL, b->myhostname, b->mail_name);
    put_from(b, t);
    text_printf(t, "Message-Id: <%s@%.255s>\r\nMIME-Version: 1.0\r\n", b->report->id.text,
                b->myhostname);
    text_printf(t, "Content-Type: multipart/report; report-type=%s;\r\n\tboundary=\"",
                b->about->smtputf8 ? "global-delivery-status" : "delivery-status");
    put_boundary(b, t);
    text_cstr(t, "\"\r\n");
    end_part_header(t, eight_bit);
    text_cstr(t, "This is a MIME-encapsulated message.\r\n\r\n");
}

static void put_notification(const struct bounce *b, struct text *t)
{
    bool utf8 = b->about->smtputf8;

    begin_part(b, t, "Notification",
               utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii");
    end_part_header(t, b->about->eight_bit || utf8);
    bounce_put_notification(b, t);
}

static void put_status(const struct bounce *b, struct text *t)
{
    bool utf8 = b->about->smtputf8;

    begin_part(b, t, "Delivery report",
               utf8 ? "message/global-delivery-status" : "message/delivery-status");
    end_part_header(t, utf8);
    bounce_put_status(b, t);
}

static void put_head(const struct bounce *b, struct text *t)
{
    const struct envelope *e = b->about;
    char what[64];
    struct text words;

    text_init(&words, what, sizeof what);
    text_printf(&words, "%sMessage%s", b->kind == BOUNCE_SUCCESS ? "" : "Undelivered ",
                b->full ? "" : " Headers");
    if (e->smtputf8)
        begin_part(b, t, what, b->full ? "message/global" : "message/global-headers");
    else
        begin_part(b, t, what, b->full ? "message/rfc822" : "text/rfc822-headers");
    end_part_header(t, e->eight_bit || e->smtputf8);
    text_cstr(t, "Return-Path: <");
    bounce_put_clean(t, span_of(e->sender), SMTP_ADDRESS_CAP, e->smtputf8);
    text_cstr(t, ">\r\n");
}

static void put_tail(const struct bounce *b, struct text *t)
{
    text_cstr(t, b->last == '\n' ? "\r\n--" : b->last == '\r' ? "\n\r\n--" : "\r\n\r\n--");
    put_boundary(b, t);
    text_cstr(t, "--\r\n");
}

/* ---- one after the other ---- */

void bounce_begin(struct bounce *b)
{
    b->full = b->kind == BOUNCE_FAILURE && b->about->ret != SMTP_RET_HDRS &&
              b->original_len <= b->size_limit;
    b->stage = HEADER;
    b->cursor = 0;
    b->taken = 0;
    b->line_start = true;
    b->last = '\n';
}

/* A piece of the current stage, which is over with it; of those about recipients when none is left.
 * False: there was nothing to write. */
static bool put_stage(struct bounce *b, struct text *t)
{
    const struct recipient *r;

    switch ((enum stage)b->stage) {
    case HEADER:
        put_header(b, t);
        break;
    case NOTIFICATION:
        put_notification(b, t);
        break;
    case STATUS:
        put_status(b, t);
        break;
    case RECIPIENTS:
    case RECIPIENT_STATUS:
        r = next_recipient(b);
        if (!r)
            break;
        if (b->stage == RECIPIENTS)
            bounce_put_recipient(b, r, t);
        else
            bounce_put_recipient_status(b, r, t);
        return true;
    case HEAD:
        put_head(b, t);
        break;
    case TAIL:
        put_tail(b, t);
        break;
    case ORIGINAL:
    case END:
        return false;
    }
    b->stage++;
    return t->len > 0;
}

enum bounce_step bounce_next(struct bounce *b, struct text *t)
{
    t->len = 0;
    t->ptr[0] = '\0';
    if (b->stage == ORIGINAL) {
        b->stage = TAIL;
        return BOUNCE_STEP_ORIGINAL;
    }
    while (b->stage < ORIGINAL || b->stage == TAIL) {
        if (put_stage(b, t))
            return BOUNCE_STEP_TEXT;
    }
    return b->stage == ORIGINAL ? bounce_next(b, t) : BOUNCE_STEP_END;
}

/* Of the header: does this byte come after its end, or after what is shown of it? */
static bool is_end(const struct bounce *b, char c)
{
    if (b->line_start && (c == '\r' || c == '\n')) /* the empty line */
        return true;
    if (b->taken < b->size_limit || b->last == '\r')
        return false;
    return b->line_start || b->taken - b->size_limit >= ONE_LINE_MAX;
}

size_t bounce_take(struct bounce *b, struct span original)
{
    size_t n = 0;

    if (b->full && original.len > 0) {
        n = original.len;
        b->taken += n;
        b->last = original.ptr[n - 1];
        return n;
    }
    while (n < original.len && !is_end(b, original.ptr[n])) {
        b->last = original.ptr[n++];
        b->line_start = b->last == '\n';
        b->taken++;
    }
    return n;
}
