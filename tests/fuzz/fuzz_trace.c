/*
 * fuzz_trace - header_scan over any bytes in any split, and Received headers of any envelope
 *
 * Input: the first byte says how the rest is cut for the scan.
 */
#include "message/trace.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT 3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void require_printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        require(!ascii_is_control(s.ptr[i]) && !ascii_is_8bit(s.ptr[i]));
}

static void check_scan(struct span text, size_t step)
{
    struct header_scan whole;
    struct header_scan parts;

    header_scan_init(&whole, LIMIT);
    header_scan_feed(&whole, text);
    header_scan_init(&parts, LIMIT);
    for (struct span rest = text; rest.len > 0; rest = span_from(rest, step))
        header_scan_feed(&parts, span_first(rest, step));
    require(whole.received == parts.received && whole.ended == parts.ended);
    require(whole.seen == parts.seen && whole.seen <= LIMIT && whole.seen <= text.len);
    require(strcmp(whole.message_id, parts.message_id) == 0);
    require(strlen(whole.message_id) < TRACE_MESSAGE_ID_CAP);
    require_printable(span_of(whole.message_id));
    require(whole.ended || whole.seen == text.len);
}

static void copy_text(struct span *in, char *dst, size_t cap)
{
    size_t end = span_find(*in, '\0');

    require(span_copy(span_first(span_first(*in, end), cap - 1), dst, cap));
    *in = span_from(*in, end + 1);
}

/* Lines in CRLF, folded as headers are, nothing but printable bytes and UTF-8's. */
static void check_lines(struct span header)
{
    require(span_starts_nocase(header, SPAN_LIT("Received: ")));
    for (bool first = true; header.len > 0; first = false) {
        size_t lf = span_find(header, '\n');

        require(lf < header.len && lf > 0 && header.ptr[lf - 1] == '\r' && lf < 1000);
        require(first || header.ptr[0] == '\t');
        for (size_t i = first ? 0 : 1; i < lf - 1; i++)
            require(!ascii_is_control(header.ptr[i]));
        header = span_from(header, lf + 1);
    }
}

static void check_received(struct span in)
{
    char buf[TRACE_RECEIVED_CAP];
    char address[SMTP_ADDRESS_CAP];
    struct envelope *e = envelope_new();
    struct tls_facts tls = {
        .protocol = "TLSv1.2", .cipher = "ECDHE-RSA-CHACHA20-POLY1305", .bits = 256};
    bool secured = in.len % 5 < 2;
    struct text t;

    require(e != NULL);
    copy_text(&in, e->client_name, sizeof e->client_name);
    copy_text(&in, e->client_address, sizeof e->client_address);
    copy_text(&in, e->helo, sizeof e->helo);
    e->smtputf8 = in.len % 2;
    strcpy(e->protocol, e->smtputf8 ? "UTF8SMTP" : in.len % 3 ? "ESMTP" : "local");
    strcpy(e->id.text, "06401F3A9C2E7001");
    e->arrival_us = (int64_t)in.len * 1234567891011;
    do {
        copy_text(&in, address, sizeof address);
        require(envelope_add_recipient(e, span_of(address), 0, span_of(NULL)));
    } while (in.len > 0);
    text_init(&t, buf, sizeof buf);
    trace_received(&t, e, &(struct trace_client){.tls = secured ? &tls : NULL}, "mx.example.com",
                   "Postfix");
    require(!t.overflow);
    check_lines(text_as_span(&t));
    envelope_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);

    if (size == 0)
        return 0;
    check_scan(span_from(in, 1), (size_t)data[0] % 40 + 1);
    check_received(span_from(in, 1));
    return 0;
}
