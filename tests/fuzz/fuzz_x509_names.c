/*
 * Fuzz tls/x509_names: it ends, reads nothing outside, says nothing unprintable, and
 * a certificate is for no empty name.
 */
#include "input.h"
#include "tls/x509_names.h"

#include <assert.h>
#include <string.h>

static void check_text(const struct text *t)
{
    for (size_t i = 0; i < t->len; i++)
        assert(!ascii_is_control(t->ptr[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    struct x509 c;
    char buf[300];
    struct text t;

    if (x509_parse(in, &c))
        return 0;
    text_init(&t, buf, sizeof buf);
    x509_names_text(&c, &t);
    check_text(&t);
    x509_is_for(&c, "mail.example.com");
    x509_is_for(&c, ".example.com");
    x509_is_for(&c, "192.0.2.53");
    assert(!x509_is_for(&c, ""));
    text_init(&t, buf, sizeof buf);
    x509_dn_text(c.issuer, &t);
    check_text(&t);
    return 0;
}
