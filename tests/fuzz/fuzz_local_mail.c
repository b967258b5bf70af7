/*
 * Fuzz message/local_mail: the lone dot ends the text at the same place however it is cut; the
 * header that goes on has no secret field, has what it must have, and is found again as a header.
 */
#include "input.h"
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

static void check_header(struct span header)
{
    static char buf[INPUT_MAX + LOCAL_HEADER_EXTRA];
    const struct local_sender sender = {"a@example.com", "A", "mx.example.com", 0, "1"};
    struct local_header found;
    struct span written;
    struct text t;

    text_init(&t, buf, sizeof buf);
    local_header_write(&t, header, &sender);
    assert(!t.overflow);
    assert(local_header_find(text_as_span(&t), true, &found));
    assert(found.body_at == t.len && found.len < t.len);
    written = span_first(text_as_span(&t), found.len);
    assert(!has(written, "Bcc") && !has(written, "Resent-Bcc"));
    assert(has(written, "From") && has(written, "Date") && has(written, "Message-Id"));
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
