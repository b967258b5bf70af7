/* Fuzz config/tls_words: it ends; what is refused has a reason without control bytes; what is
 * taken is in range. */
#include "config/tls_words.h"
#include "input.h"

#include <assert.h>

static void check(int rc, const struct errbuf *err)
{
    assert(rc == 0 || err->text[0] != '\0');
    for (const char *c = err->text; *c; c++)
        assert(!ascii_is_control(*c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    unsigned char print[TLS_FINGERPRINT_LEN];
    struct errbuf err = {""};
    enum tls_level level;
    struct tls_protocols p;
    bool medium;
    int rc = tls_protocols_parse(in, &p, &err);

    check(rc, &err);
    assert(rc != 0 || (p.min >= TLS_VERSION_1_0 && p.min <= p.max && p.max <= TLS_VERSION_1_2));
    check(tls_ciphers_parse(in, &medium, &err), &err);
    check(tls_level_parse(in, &level, &err), &err);
    assert(level <= TLS_LEVEL_SECURE);
    check(tls_fingerprint_parse(in, print, &err), &err);
    return 0;
}
