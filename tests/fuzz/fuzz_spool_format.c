/*
 * fuzz_spool_format - what a spool file may hold after anything at all happened to it, and what may
 * be put into one
 *
 * Each input is used twice: as a file (header, body, tail), and as the texts of an envelope, parted
 * by NUL, that must come back as it was.
 */
#include "base/crc32c.h"
#include "queue/spool_format.h"

#include <stdlib.h>
#include <string.h>

#define CUTS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static bool same(const char *a, const char *b)
{
    return !a || !b ? a == b : strcmp(a, b) == 0;
}

static void require_same(const struct envelope *a, const struct envelope *b)
{
    require(same(a->id.text, b->id.text) && a->arrival_us == b->arrival_us);
    require(same(a->client_name, b->client_name) && same(a->client_address, b->client_address));
    require(a->client_port == b->client_port && same(a->helo, b->helo));
    require(same(a->protocol, b->protocol) && same(a->sender, b->sender));
    require(a->smtputf8 == b->smtputf8 && a->eight_bit == b->eight_bit && a->ret == b->ret);
    require(same(a->envid, b->envid) && a->recipient_count == b->recipient_count);
    for (size_t i = 0; i < a->recipient_count; i++) {
        require(same(a->recipients[i].address, b->recipients[i].address));
        require(same(a->recipients[i].orcpt, b->recipients[i].orcpt));
        require(a->recipients[i].notify == b->recipients[i].notify);
    }
}

/* What was read or made is written and read again. */
static void check_round_trip(const struct envelope *e, uint64_t body_len)
{
    struct spool_file f;
    struct errbuf err = {""};
    size_t len;
    char *bytes = spool_format_header_new(e, body_len, &len);

    require(bytes != NULL && len < spool_format_header_size(e));
    require(spool_parse_header(span_make(bytes, len), &f, &err) == SPOOL_PARSE_OK);
    require(f.body_offset == len && f.body_len == body_len);
    require_same(e, f.envelope);
    for (size_t part = 1; part <= CUTS; part++) {
        size_t cut = (len - 1) * part / CUTS;
        struct spool_file cut_file;

        require(spool_parse_header(span_make(bytes, cut), &cut_file, &err) == SPOOL_PARSE_MORE);
        require(cut_file.envelope == NULL);
    }
    spool_file_deinit(&f);
    free(bytes);
}

static void check_file(struct span file)
{
    struct spool_file f;
    struct errbuf err = {""};
    uint32_t crc;
    struct span tail;
    enum spool_parse rc = spool_parse_header(file, &f, &err);

    require(rc != SPOOL_PARSE_CORRUPT || err.text[0] != '\0');
    if (rc != SPOOL_PARSE_OK) {
        require(f.envelope == NULL);
        return;
    }
    require(f.body_offset <= file.len && f.envelope->recipient_count > 0);
    check_round_trip(f.envelope, f.body_len % UINT64_C(10000000000000));
    if (f.body_len <= file.len - f.body_offset) {
        tail = span_from(file, f.body_offset + f.body_len);
        spool_parse_tail(tail, NULL, &f, &err);
        crc = crc32c(0, file.ptr + f.body_offset, f.body_len);
        crc = crc32c(crc, file.ptr, f.body_offset);
        spool_parse_tail(tail, &crc, &f, &err);
        require(envelope_pending(f.envelope) <= f.envelope->recipient_count);
    }
    spool_file_deinit(&f);
}

/* The next text of the input, as much as the field can have. */
static struct span next_text(struct span *in, size_t cap)
{
    size_t end = span_find(*in, '\0');
    struct span text = span_first(span_first(*in, end), cap - 1);

    *in = span_from(*in, end + 1);
    return text;
}

static struct envelope *envelope_of(struct span in)
{
    static const enum smtp_ret rets[] = {SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS};
    struct envelope *e = envelope_new();
    uint8_t bits = in.len > 0 ? (uint8_t)in.ptr[0] : 0;

    require(e != NULL);
    in = span_from(in, 1);
    strcpy(e->id.text, "06401F3A9C2E7001");
    e->smtputf8 = bits & 1;
    e->eight_bit = bits & 2;
    e->ret = rets[(bits >> 2) % 3];
    e->client_port = (uint16_t)(bits * 257);
    e->arrival_us = (int64_t)bits * 123456789;
    require(
        span_copy(next_text(&in, sizeof e->client_name), e->client_name, sizeof e->client_name));
    require(span_copy(next_text(&in, sizeof e->client_address), e->client_address,
                      sizeof e->client_address));
    require(span_copy(next_text(&in, sizeof e->helo), e->helo, sizeof e->helo));
    require(span_copy(next_text(&in, sizeof e->protocol), e->protocol, sizeof e->protocol));
    require(span_copy(next_text(&in, sizeof e->envid), e->envid, sizeof e->envid));
    require(envelope_set_sender(e, next_text(&in, SMTP_ADDRESS_CAP)));
    do {
        struct span address = next_text(&in, SMTP_ADDRESS_CAP);
        struct span orcpt = next_text(&in, SMTP_ORCPT_CAP);

        require(envelope_add_recipient(e, address, bits & 15, orcpt));
    } while (in.len > 0);
    return e;
}

/* The same bytes as the reasons of records: always read back, never more than one line each. */
static void check_records(struct envelope **e, struct span why)
{
    static const enum spool_result results[] = {SPOOL_SENT, SPOOL_DEFERRED, SPOOL_FAILED};
    static char bytes[SPOOL_END_CAP + 7 * SPOOL_RECORD_CAP];
    struct spool_file f = {.envelope = *e};
    struct errbuf err = {""};
    struct text t;
    size_t lines = 0;

    *e = NULL;
    text_init(&t, bytes, sizeof bytes);
    spool_format_end(&t, 0);
    for (size_t i = 0; i < 3; i++)
        spool_format_attempt(&t, (int64_t)i, i % f.envelope->recipient_count, results[i],
                             f.envelope->envid, why);
    spool_format_expire(&t, 1, why);
    spool_format_hold(&t, 1, why);
    spool_format_release(&t, 2, why);
    spool_format_requeue(&t, 3, why);
    require(!t.overflow);
    for (struct span rest = text_as_span(&t); rest.len > 0; lines++)
        rest = span_from(rest, span_find(rest, '\n') + 1);
    require(lines == 8);
    require(spool_parse_tail(text_as_span(&t), NULL, &f, &err) == SPOOL_PARSE_OK);
    require(!f.on_hold && !f.forced_expire && f.released_s == 3);
    require(f.envelope->recipients[0].state == RECIPIENT_SENT);
    require(envelope_count(f.envelope, RECIPIENT_FAILED) == 0);
    spool_file_deinit(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    struct envelope *e;

    check_file(in);
    e = envelope_of(in);
    check_round_trip(e, size);
    check_records(&e, in);
    return 0;
}
