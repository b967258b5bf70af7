/*
 * Fuzz message/local_mail and local_header: the lone dot ends the text at the same place however it
 * is cut; the header that goes on has no secret field, has what it must have, is found again as a
 * header, and nothing is left to complete in it.
 */
#include "input.h"
#include "message/local_header.h"
#include "message/local_mail.h"

#include <assert.h>
#include <string.h>

static size_t run_dot(struct span in, size_t cut, char *out)
{
    struct lone_dot dot;
    size_t first;
    size_t second;

    lone_dot_init(&dot, false);
    lone_dot_feed(&dot, span_first(in, cut), out, &first);
    lone_dot_feed(&dot, span_from(in, cut), out + first, &second);
    assert(first + second <= in.len + 2);
    return first + second;
}

static void check_dot(struct span in, size_t cut)
{
    static char whole[INPUT_MAX + 2];
    static char split[INPUT_MAX + 4];
    size_t whole_len = run_dot(in, in.len, whole);
    size_t split_len = run_dot(in, cut, split);

    assert(whole_len == split_len && memcmp(whole, split, whole_len) == 0);
}

static bool has(struct span header, const char *name)
{
    struct local_field f;

    while (local_field_next(&header, &f)) {
        assert(f.name.len > 0 && f.whole.len > f.name.len);
        if (span_equal_nocase(f.name, span_of(name)))
            return true;
    }
    return false;
}

static void write_header(struct text *t, char *buf, size_t cap, struct span header, bool gateway)
{
    const struct local_sender sender = {.address = "a@example.com",
                                        .full_name = "A",
                                        .myhostname = "mx.example.com",
                                        .origin = "x.org",
                                        .gateway = gateway,
                                        .unique = "1"};
    struct local_header found;

    text_init(t, buf, cap);
    local_header_write(t, header, &sender);
    assert(!t->overflow);
    assert(local_header_find(text_as_span(t), true, &found));
    assert(found.body_at == t->len && found.len < t->len);
    t->len = found.len;
    assert(!has(text_as_span(t), "Bcc") && !has(text_as_span(t), "Resent-Bcc"));
}

static void check_header(struct span header)
{
    static char once_buf[8 * INPUT_MAX + LOCAL_HEADER_EXTRA];
    static char twice_buf[8 * INPUT_MAX + LOCAL_HEADER_EXTRA];
    struct span written;
    struct text once;
    struct text twice;

    write_header(&once, once_buf, sizeof once_buf, header, true);
    assert(once.len <= header.len + 1);
    write_header(&once, once_buf, sizeof once_buf, header, false);
    written = text_as_span(&once);
    assert((has(written, "From") && has(written, "Date") && has(written, "Message-Id")) ||
           (has(written, "Resent-From") && has(written, "Resent-Date") &&
            has(written, "Resent-Message-Id")));
    write_header(&twice, twice_buf, sizeof twice_buf, written, false);
    assert(span_equal(text_as_span(&twice), written));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    size_t cut = input_choice(&in, INPUT_MAX);
    struct local_header whole;
    struct local_header part;

    if (size > INPUT_MAX)
        return 0;
    cut %= in.len + 1;
    check_dot(in, cut);
    assert(local_header_find(in, true, &whole));
    assert(whole.len <= whole.body_at && whole.body_at <= in.len);
    if (local_header_find(span_first(in, cut), false, &part))
        assert(part.len == whole.len && part.body_at == whole.body_at);
    check_header(span_first(in, whole.len));
    return 0;
}
