/* Fuzz smtp/address and smtp/domain: what is taken is safe to pass on, and is taken again as it
 * stands. */
#include "base/text.h"
#include "input.h"
#include "smtp/address.h"

#include <assert.h>
#include <string.h>

static void check_address(const struct smtp_address *a, bool utf8)
{
    struct span domain = smtp_address_domain(a);

    assert(a->len < sizeof a->text && strlen(a->text) == a->len && a->local_len <= a->len);
    assert(smtp_utf8_printable(smtp_address_span(a)));
    assert(a->has_domain == (domain.len > 0));
    assert(!a->has_domain || a->text[a->local_len] == '@');
    assert(!a->has_domain || smtp_domain_valid(domain, utf8));
    assert(!a->has_domain || domain.ptr[domain.len - 1] != '.');
    for (size_t i = 0; i < a->len; i++) {
        assert(!ascii_is_control(a->text[i]));
        assert(!ascii_is_8bit(a->text[i]) || (utf8 && a->non_ascii));
        assert(a->text[i] != ' ' || a->text[0] == '"');
    }
    assert(!span_starts_nocase(smtp_address_span(a), SPAN_LIT("\"\"")));
}

/* As a relay would send it: in brackets, with parameters behind. */
static void check_again(const struct smtp_address *a, bool utf8)
{
    char path[SMTP_ADDRESS_CAP + 20];
    struct smtp_address again;
    struct text t;
    struct span rest;

    text_init(&t, path, sizeof path);
    text_char(&t, '<');
    text_span(&t, smtp_address_span(a));
    text_cstr(&t, "> SIZE=1");
    assert(smtp_address_parse_path(text_as_span(&t), utf8, &again, &rest) == SMTP_ADDRESS_OK);
    assert(span_equal(rest, SPAN_LIT(" SIZE=1")));
    assert(strcmp(again.text, a->text) == 0 && again.local_len == a->local_len);
    assert(again.literal == a->literal && again.non_ascii == a->non_ascii);
    if (a->len > 0)
        assert(smtp_address_parse(smtp_address_span(a), utf8, &again) == SMTP_ADDRESS_OK);
}

static void check_parse(struct span in, bool utf8)
{
    struct smtp_address a;
    struct span rest;
    enum smtp_address_error error = smtp_address_parse_path(in, utf8, &a, &rest);

    if (error != SMTP_ADDRESS_OK) {
        assert(a.len == 0 && a.text[0] == '\0');
        assert(error != SMTP_ADDRESS_NON_ASCII || !utf8);
    } else {
        assert(rest.len == 0 || rest.ptr + rest.len == in.ptr + in.len);
        check_address(&a, utf8);
        check_again(&a, utf8);
    }
    if (smtp_address_parse(in, utf8, &a) == SMTP_ADDRESS_OK) {
        check_address(&a, utf8);
        check_again(&a, utf8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);

    if (size > INPUT_MAX)
        return 0;
    check_parse(in, false);
    check_parse(in, true);
    if (smtp_domain_is_hostname(in))
        assert(smtp_domain_valid(in, false) && in.len <= SMTP_DOMAIN_MAX);
    if (smtp_domain_valid(in, false))
        assert(smtp_domain_valid(in, true));
    if (smtp_domain_valid(in, true))
        assert(smtp_utf8_printable(in) && (in.len <= SMTP_DOMAIN_MAX + 1));
    if (smtp_utf8_printable(in))
        assert(smtp_utf8_valid(in));
    return 0;
}
