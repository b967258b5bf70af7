/*
 * Fuzz tls/certificate: it ends, reads nothing outside, and what it finds lies inside; names are
 * printable, and a certificate is for each DNS name it has.
 */
#include "input.h"
#include "tls/certificate.h"

#include <assert.h>
#include <string.h>

static void check_inside(struct span part, struct span whole)
{
    assert(part.len == 0 ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

static void check_text(const struct text *t)
{
    for (size_t i = 0; i < t->len; i++)
        assert(!ascii_is_control(t->ptr[i]));
}

static void check_name(const struct certificate *c, enum certificate_name_kind kind,
                       struct span name)
{
    char wanted[256];

    if (kind == CERTIFICATE_ADDRESS) {
        assert(name.len == 4 || name.len == 16);
        return;
    }
    assert(name.len > 0);
    for (size_t i = 0; i < name.len; i++)
        assert(!ascii_is_control(name.ptr[i]) && !ascii_is_8bit(name.ptr[i]));
    if (name.ptr[0] != '.' && name.ptr[0] != '*' && span_copy(name, wanted, sizeof wanted))
        assert(certificate_is_for(c, wanted));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    struct certificate c;
    enum certificate_name_kind kind;
    struct span rest, name;
    char buf[300];
    struct text t;

    if (!certificate_parse(in, &c))
        return 0;
    check_inside(c.issuer, in);
    check_inside(c.subject, in);
    check_inside(c.alt_names, in);
    for (rest = c.alt_names; certificate_next_name(&rest, &kind, &name);) {
        check_inside(name, in);
        check_name(&c, kind, name);
    }
    certificate_is_for(&c, "mail.example.com");
    certificate_is_for(&c, ".example.com");
    certificate_is_for(&c, "192.0.2.53");
    text_init(&t, buf, sizeof buf);
    certificate_names_text(&c, &t);
    check_text(&t);
    text_init(&t, buf, sizeof buf);
    certificate_dn_text(c.issuer, &t);
    check_text(&t);
    return 0;
}
