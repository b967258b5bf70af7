/* private_key - see private_key.h */
#include "tls/private_key.h"

#include "tls/der.h"

#define DAMAGED     "is damaged: it is no PKCS#1, PKCS#8 or SEC 1 key"
#define OTHER_KIND  "is neither RSA nor EC; make an RSA key of 2048 bits, or one on P-256"
#define OTHER_CURVE "is on another curve than P-256 and P-384; make one on P-256"
#define PRIMES      "has more than two primes; make an RSA key of 2048 bits"

/* RSAPrivateKey, after its version. */
static const char *parse_rsa(struct span rest, unsigned version, struct private_key *out)
{
    struct span d;

    if (version == 1)
        return PRIMES;
    if (version != 0 || !der_unsigned(&rest, &out->public.n) ||
        !der_unsigned(&rest, &out->public.e) || !der_unsigned(&rest, &d) ||
        !der_unsigned(&rest, &out->p) || !der_unsigned(&rest, &out->q) ||
        !der_unsigned(&rest, &out->dp) || !der_unsigned(&rest, &out->dq) ||
        !der_unsigned(&rest, &out->iq) || rest.len > 0)
        return DAMAGED;
    out->public.kind = KEY_RSA;
    return NULL;
}

/* ECPrivateKey, after its version; the curve is known already, or is said here. */
static const char *parse_ec(struct span rest, unsigned version, struct private_key *out)
{
    struct der_value part;
    struct span oid;

    if (version != 1 || !der_expect(&rest, DER_OCTET_STRING, &out->x))
        return DAMAGED;
    while (rest.len > 0) {
        if (!der_next(&rest, &part))
            return DAMAGED;
        if (part.tag != DER_CONTEXT_CONSTRUCTED || out->public.curve != CURVE_OTHER)
            continue; /* the public key, which is computed; or the curve again */
        if (!der_expect(&part.content, DER_OID, &oid))
            return OTHER_CURVE; /* its equation is written out */
        out->public.curve = key_curve_of(oid);
    }
    while (out->x.len > 0 && out->x.ptr[0] == '\0')
        out->x = span_from(out->x, 1);
    out->public.kind = KEY_EC;
    return out->public.curve == CURVE_P256 || out->public.curve == CURVE_P384 ? NULL : OTHER_CURVE;
}

static bool read_version(struct span *rest, unsigned *version_out)
{
    struct span version;

    if (!der_unsigned(rest, &version) || version.len > 1)
        return false;
    *version_out = version.len == 0 ? 0 : (unsigned char)version.ptr[0];
    return true;
}

/* What is inside of PKCS#8's OCTET STRING. */
static const char *parse_wrapped(struct span der, enum key_kind kind, struct private_key *out)
{
    unsigned version;
    struct span rest;

    if (!der_expect(&der, DER_SEQUENCE, &rest) || !read_version(&rest, &version) || der.len > 0)
        return DAMAGED;
    return kind == KEY_RSA ? parse_rsa(rest, version, out) : parse_ec(rest, version, out);
}

/* OneAsymmetricKey, after its version. Attributes and public key at its end are not needed. */
static const char *parse_pkcs8(struct span rest, struct private_key *out)
{
    struct span algorithm, oid, curve, wrapped;
    enum key_kind kind;

    if (!der_expect(&rest, DER_SEQUENCE, &algorithm) || !der_expect(&algorithm, DER_OID, &oid) ||
        !der_expect(&rest, DER_OCTET_STRING, &wrapped))
        return DAMAGED;
    kind = key_kind_of(oid);
    if (kind == KEY_OTHER)
        return OTHER_KIND;
    if (kind == KEY_EC && der_expect(&algorithm, DER_OID, &curve)) {
        out->public.curve = key_curve_of(curve);
        if (out->public.curve == CURVE_OTHER)
            return OTHER_CURVE;
    }
    return parse_wrapped(wrapped, kind, out);
}

const char *private_key_parse(struct span der, struct private_key *out)
{
    struct span inner, rest;
    struct der_value second;
    unsigned version;

    *out = (struct private_key){.public = {.kind = KEY_OTHER}};
    if (!der_expect(&der, DER_SEQUENCE, &inner) || der.len > 0 || !read_version(&inner, &version))
        return DAMAGED;
    rest = inner;
    if (!der_next(&rest, &second))
        return DAMAGED;
    switch (second.tag) {
    case DER_INTEGER:
        return parse_rsa(inner, version, out);
    case DER_OCTET_STRING:
        return parse_ec(inner, version, out);
    case DER_SEQUENCE:
        return parse_pkcs8(inner, out);
    default:
        return DAMAGED;
    }
}
