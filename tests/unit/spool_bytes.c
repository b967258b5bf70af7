/* spool_bytes - see spool_bytes.h */
#include "spool_bytes.h"

#include "base/crc32c.h"

#include <string.h>

struct envelope *spool_bytes_envelope(void)
{
    struct envelope *e = envelope_new();

    if (!e)
        return NULL;
    strcpy(e->id.text, "06401F3A9C2E7001");
    e->arrival_us = INT64_C(1763770000123456);
    strcpy(e->client_name, "mail.example.org");
    strcpy(e->client_address, "2001:db8::25");
    e->client_port = 65535;
    strcpy(e->helo, "a b\"c\\d\r\n\x7f\xc3\xa9=<>");
    strcpy(e->protocol, "UTF8SMTPS");
    e->smtputf8 = true;
    e->eight_bit = true;
    e->ret = SMTP_RET_HDRS;
    strcpy(e->envid, "QQ+2B=314");
    if (!envelope_set_sender(e, SPAN_LIT("\"bob > \\\" x\"@example.org")) ||
        !envelope_add_recipient(e, SPAN_LIT("ann@example.com"), 0, span_of(NULL)) ||
        !envelope_add_recipient(e, SPAN_LIT("j\xc3\xb6@example.com"),
                                SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
                                SPAN_LIT("rfc822;joe+20x@example.com")) ||
        !envelope_add_recipient(e, SPAN_LIT("postmaster"), SMTP_NOTIFY_NEVER, span_of("-")))
        envelope_free(&e);
    return e;
}

void spool_bytes_make(struct spool_bytes *s, const struct envelope *e, struct span body)
{
    uint32_t crc = crc32c(0, body.ptr, body.len);

    text_init(&s->t, s->bytes, sizeof s->bytes);
    spool_format_header(&s->t, e, body.len);
    s->header_len = s->t.len;
    text_span(&s->t, body);
    s->end_at = s->t.len;
    spool_format_end(&s->t, crc32c(crc, s->bytes, s->header_len));
    s->records_at = s->t.len;
}

enum spool_parse spool_bytes_parse(const struct spool_bytes *s, size_t len, struct spool_file *f,
                                   struct errbuf *err)
{
    struct span file = span_make(s->bytes, len);
    enum spool_parse rc = spool_parse_header(file, f, err);
    uint32_t crc;

    if (rc != SPOOL_PARSE_OK)
        return rc;
    if (f->body_offset + f->body_len > len) {
        errbuf_set(err, 0, "cut short in the body");
        return SPOOL_PARSE_CORRUPT;
    }
    crc = crc32c(0, s->bytes + f->body_offset, f->body_len);
    crc = crc32c(crc, s->bytes, f->body_offset);
    return spool_parse_tail(span_from(file, f->body_offset + f->body_len), &crc, f, err);
}

static bool same(const char *a, const char *b)
{
    return !a || !b ? a == b : strcmp(a, b) == 0;
}

static bool recipient_same(const struct recipient *a, const struct recipient *b)
{
    return same(a->address, b->address) && same(a->orcpt, b->orcpt) && a->notify == b->notify;
}

bool spool_bytes_equal(const struct envelope *a, const struct envelope *b)
{
    if (!same(a->id.text, b->id.text) || a->arrival_us != b->arrival_us ||
        !same(a->client_name, b->client_name) || !same(a->client_address, b->client_address) ||
        a->client_port != b->client_port || !same(a->helo, b->helo) ||
        !same(a->protocol, b->protocol) || !same(a->sender, b->sender) ||
        a->smtputf8 != b->smtputf8 || a->eight_bit != b->eight_bit || a->ret != b->ret ||
        !same(a->envid, b->envid) || a->recipient_count != b->recipient_count)
        return false;
    for (size_t i = 0; i < a->recipient_count; i++) {
        if (!recipient_same(&a->recipients[i], &b->recipients[i]))
            return false;
    }
    return true;
}
