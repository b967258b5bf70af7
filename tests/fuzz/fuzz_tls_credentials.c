/*
 * Fuzz tls/credentials_load, and the readers below it: PEM texts in one file or two, and bare DER.
 * It ends; what is refused has a reason; what is taken has a chain and a key; numbers reach BearSSL
 * only in the sizes it is made for (its own faults would show as crashes).
 *
 * The corpus has keys that were made for it and serve nobody: without one that fits, nothing behind
 * the readers would be reached.
 */
#include "tls/credentials_load.h"

#include "base/text.h"
#include "input.h"
#include "tls/pem.h"
#include "tls/private_key.h"
#include "tls/x509.h"

#include <assert.h>
#include <string.h>

static void check_inside(struct span part, struct span whole)
{
    assert(part.len == 0 || (part.ptr >= whole.ptr && part.len <= whole.len &&
                             part.ptr + part.len <= whole.ptr + whole.len));
}

static void check_der(struct span in)
{
    struct private_key key;
    struct x509 x509;
    struct span names, name;

    if (!private_key_parse(in, &key)) {
        check_inside(key.public.n, in);
        check_inside(key.iq, in);
        check_inside(key.x, in);
    }
    if (x509_parse(in, &x509))
        return;
    check_inside(x509.subject, in);
    check_inside(x509.names, in);
    check_inside(x509.key.point, in);
    names = x509.names;
    while (x509_next_name(&names, &name))
        check_inside(name, in);
}

static void check_credential(const struct credential *c, int type)
{
    if (!c)
        return;
    assert(c->chain_len > 0 && c->chain_len <= CREDENTIAL_CHAIN_MAX && c->key_type == type);
    if (type == BR_KEYTYPE_RSA)
        assert(c->key.rsa.n_bitlen >= CREDENTIAL_RSA_MIN &&
               c->key.rsa.n_bitlen <= CREDENTIAL_RSA_MAX);
    for (const char *s = c->subject; *s; s++)
        assert(!ascii_is_control(*s));
}

static void on_note(void *ctx, const char *text)
{
    assert(text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    struct credentials_file files[2] = {
        {"a.pem", in         },
        {"b.pem", span_of("")}
    };
    struct credential_pair pair;
    struct errbuf err = {""};
    size_t cut = span_find(in, '\0'); /* a NUL parts the two files */

    check_der(in);
    files[0].pem = span_first(in, cut);
    files[1].pem = span_from(in, cut + 1);
    if (credential_load(files, 2, on_note, NULL, &pair, &err) < 0) {
        assert(err.text[0] != '\0' && !pair.rsa && !pair.ec);
        return 0;
    }
    assert(pair.rsa || pair.ec);
    check_credential(pair.rsa, BR_KEYTYPE_RSA);
    check_credential(pair.ec, BR_KEYTYPE_EC);
    credential_unref(pair.rsa);
    credential_unref(pair.ec);
    return 0;
}
