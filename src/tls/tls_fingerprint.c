/* tls_fingerprint - see tls_fingerprint.h */
#include "tls/tls_fingerprint.h"

#include "tls/der.h"

#define SPKI_MAX          (BR_X509_BUFSIZE_KEY + 64)
#define OID_RSA           SPAN_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")
#define OID_EC_PUBLIC_KEY SPAN_LIT("\x2a\x86\x48\xce\x3d\x02\x01")
#define OID_P256          SPAN_LIT("\x2a\x86\x48\xce\x3d\x03\x01\x07")
#define OID_P384          SPAN_LIT("\x2b\x81\x04\x00\x22")
#define OID_P521          SPAN_LIT("\x2b\x81\x04\x00\x23")

static struct span bytes_of(const unsigned char *bytes, size_t len)
{
    return span_make((const char *)bytes, len);
}

/* RFC 3279 2.3.1: SEQUENCE { n, e } in the BIT STRING; rsaEncryption has NULL as parameter. */
static void put_rsa(struct der_writer *w, const br_rsa_public_key *key)
{
    size_t mark = der_mark(w);

    der_put_unsigned(w, bytes_of(key->e, key->elen));
    der_put_unsigned(w, bytes_of(key->n, key->nlen));
    der_wrap(w, DER_SEQUENCE, mark);
    der_put_byte(w, 0); /* no unused bits */
    der_wrap(w, DER_BIT_STRING, mark);
    mark = der_mark(w);
    der_put_value(w, DER_NULL, span_of(""));
    der_put_value(w, DER_OID, OID_RSA);
    der_wrap(w, DER_SEQUENCE, mark);
}

static struct span curve_oid(int curve)
{
    if (curve == BR_EC_secp256r1)
        return OID_P256;
    if (curve == BR_EC_secp384r1)
        return OID_P384;
    return curve == BR_EC_secp521r1 ? OID_P521 : span_of("");
}

/* RFC 5480 2: the point in the BIT STRING; id-ecPublicKey has the curve as parameter. */
static bool put_ec(struct der_writer *w, const br_ec_public_key *key)
{
    size_t mark = der_mark(w);

    der_put(w, bytes_of(key->q, key->qlen));
    der_put_byte(w, 0);
    der_wrap(w, DER_BIT_STRING, mark);
    mark = der_mark(w);
    der_put_value(w, DER_OID, curve_oid(key->curve));
    der_put_value(w, DER_OID, OID_EC_PUBLIC_KEY);
    der_wrap(w, DER_SEQUENCE, mark);
    return curve_oid(key->curve).len > 0;
}

bool tls_fingerprint_key(const br_x509_pkey *key, unsigned char out[br_sha256_SIZE])
{
    unsigned char buf[SPKI_MAX];
    struct der_writer w;
    br_sha256_context hash;
    bool known = true;
    size_t mark;

    der_writer_init(&w, buf, sizeof buf);
    mark = der_mark(&w);
    if (key->key_type == BR_KEYTYPE_RSA)
        put_rsa(&w, &key->key.rsa);
    else
        known = put_ec(&w, &key->key.ec);
    der_wrap(&w, DER_SEQUENCE, mark);
    br_sha256_init(&hash);
    br_sha256_update(&hash, der_written(&w).ptr, der_written(&w).len);
    br_sha256_out(&hash, out);
    return known && !w.overflow;
}
