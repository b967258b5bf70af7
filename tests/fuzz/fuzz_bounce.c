/*
 * fuzz_bounce - a report about any envelope and any original
 *
 * Input: choices (kind, cut, limit, flags), then texts that end in NUL (sender, envid, and for each
 * of up to four recipients: address, orcpt, dsn, reason), the rest is the original.
 *
 * The report is the same whatever pieces the original comes in; what is not the original's is in
 * lines of printable bytes; the boundary stands where parts begin and end and nowhere else.
 */
#include "message/bounce.h"
#include "smtp/domain.h"

#include <stdlib.h>
#include <string.h>

#include "input.h"

#define REPORT_CAP 65536
#define BOUNDARY   "06401F3A9C2E7001.0123456789abcdef/mx.example.com"

struct made {
    char bytes[REPORT_CAP];
    struct text all;
    size_t original_at, original_len;
};

static void require(bool truth)
{
    if (!truth)
        abort();
}

static struct span take_text(struct span *in, size_t max)
{
    size_t end = span_find(*in, '\0');
    struct span s = span_first(span_first(*in, end), max);

    *in = span_from(*in, end + 1);
    return s;
}

static void make(struct bounce *b, struct span original, size_t step, struct made *out)
{
    char buf[BOUNCE_PIECE_CAP];
    struct text piece;
    enum bounce_step next;

    text_init(&piece, buf, sizeof buf);
    text_init(&out->all, out->bytes, sizeof out->bytes);
    bounce_begin(b);
    while ((next = bounce_next(b, &piece)) != BOUNCE_STEP_END) {
        bool more = true;

        require(!piece.overflow);
        if (next == BOUNCE_STEP_TEXT) {
            text_span(&out->all, text_as_span(&piece));
            continue;
        }
        out->original_at = out->all.len;
        for (struct span rest = original; rest.len > 0 && more; rest = span_from(rest, step)) {
            struct span some = span_first(rest, step);
            size_t taken = bounce_take(b, some);

            require(taken <= some.len);
            text_span(&out->all, span_first(some, taken));
            more = taken == some.len;
        }
        out->original_len = out->all.len - out->original_at;
    }
    require(!out->all.overflow);
}

/* Its own lines: legal, printable, and as many boundaries as it has parts. */
static void check_own(struct span own, bool utf8, size_t boundaries)
{
    size_t found = 0;

    while (own.len > 0) {
        size_t lf = span_find(own, '\n');
        struct span line = span_first(own, lf);

        require(lf < own.len && lf > 0 && own.ptr[lf - 1] == '\r' && lf < 998);
        line.len--;
        for (size_t i = 0; i < line.len; i++)
            require(line.ptr[i] == '\t' || !ascii_is_control(line.ptr[i]));
        for (size_t i = 0; i < line.len && !utf8; i++)
            require(!ascii_is_8bit(line.ptr[i]));
        require(smtp_utf8_printable(line));
        found += span_starts_nocase(line, SPAN_LIT("--" BOUNDARY));
        own = span_from(own, lf + 1);
    }
    require(found == boundaries);
}

static void check(struct bounce *b, struct span original, size_t step)
{
    static struct made whole, parts;
    bool utf8 = b->about->smtputf8;
    struct span tail;

    make(b, original, original.len + 1, &whole);
    make(b, original, step, &parts);
    require(span_equal(text_as_span(&whole.all), text_as_span(&parts.all)));
    check_own(span_make(whole.bytes, whole.original_at), utf8, 3);
    tail = span_from(text_as_span(&whole.all), whole.original_at + whole.original_len);
    if (tail.ptr[0] == '\n') /* completes a line of the original's */
        tail = span_from(tail, 1);
    check_own(tail, utf8, 1);
    require(memcmp(whole.bytes + whole.original_at, original.ptr ? original.ptr : "",
                   whole.original_len) == 0);
    require(!b->full || whole.original_len == original.len);
}

static void add_recipients(struct envelope *e, struct span *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct span address = take_text(in, SMTP_ADDRESS_CAP - 1);
        struct span orcpt = take_text(in, SMTP_ORCPT_CAP - 1);
        struct recipient *r;

        require(envelope_add_recipient(e, address, (unsigned)input_choice(in, 15), orcpt));
        r = &e->recipients[i];
        r->state = (enum recipient_state)input_choice(in, RECIPIENT_STATE_COUNT - 1);
        bool valid = true;
        struct span dsn = take_text(in, sizeof r->dsn - 1);
        for (size_t k = 0; k < dsn.len; k++) /* what clients take from replies */
            valid = valid && (ascii_is_digit(dsn.ptr[k]) || dsn.ptr[k] == '.');
        span_copy(valid ? dsn : SPAN_LIT("5.0.0"), r->dsn, sizeof r->dsn);
        require(recipient_set_reason(r, take_text(in, 3000)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    struct envelope *about = envelope_new();
    struct envelope *report = envelope_new();
    struct bounce b = {.about = about, .report = report};
    size_t flags, step, count;

    require(about && report);
    b.kind = (enum bounce_kind)input_choice(&in, BOUNCE_NOTICE);
    step = input_choice(&in, 200) + 1;
    b.size_limit = input_choice(&in, 2000);
    flags = input_choice(&in, 31);
    count = input_choice(&in, 4);
    b.expired = flags & 1;
    about->smtputf8 = flags & 2;
    about->eight_bit = flags & 4;
    about->ret = flags & 8 ? SMTP_RET_HDRS : SMTP_RET_NONE;
    b.unnoticed = b.age_ms = flags & 16 ? 86400000 * step : 0;
    require(envelope_set_sender(about, take_text(&in, SMTP_ADDRESS_CAP - 1)));
    span_copy(take_text(&in, SMTP_ENVID_CAP - 1), about->envid, sizeof about->envid);
    add_recipients(about, &in, count);
    strcpy(report->id.text, "06401F3A9C2E7001");
    strcpy(report->protocol, "local");
    require(envelope_add_recipient(report, span_of(about->sender), 0, span_of(NULL)));
    b.myhostname = "mx.example.com";
    b.mail_name = "Postfix";
    b.untold = about->recipient_count > 0 ? about->recipients[0].reason : "why";
    b.unique = UINT64_C(0x0123456789abcdef);
    b.original_len = in.len;
    check(&b, in, step);
    envelope_free(&about);
    envelope_free(&report);
    return 0;
}
