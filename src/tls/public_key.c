/* public_key - see public_key.h */
#include "tls/public_key.h"

#define OID_RSA  SPAN_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01") /* 1.2.840.113549.1.1.1 */
#define OID_EC   SPAN_LIT("\x2a\x86\x48\xce\x3d\x02\x01")         /* 1.2.840.10045.2.1 */
#define OID_P256 SPAN_LIT("\x2a\x86\x48\xce\x3d\x03\x01\x07")     /* 1.2.840.10045.3.1.7 */
#define OID_P384 SPAN_LIT("\x2b\x81\x04\x00\x22")                 /* 1.3.132.0.34 */
#define OID_P521 SPAN_LIT("\x2b\x81\x04\x00\x23")                 /* 1.3.132.0.35 */

enum key_curve key_curve_of(struct span oid)
{
    if (span_equal(oid, OID_P256))
        return CURVE_P256;
    if (span_equal(oid, OID_P384))
        return CURVE_P384;
    return span_equal(oid, OID_P521) ? CURVE_P521 : CURVE_OTHER;
}

enum key_kind key_kind_of(struct span oid)
{
    if (span_equal(oid, OID_RSA))
        return KEY_RSA;
    return span_equal(oid, OID_EC) ? KEY_EC : KEY_OTHER;
}

bool public_key_equal(const struct public_key *a, const struct public_key *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == KEY_RSA)
        return span_equal(a->n, b->n) && span_equal(a->e, b->e);
    return a->kind == KEY_EC && a->curve == b->curve && span_equal(a->point, b->point);
}

unsigned key_bits(struct span number)
{
    unsigned bits = (unsigned)number.len * 8;

    for (unsigned char top = number.len > 0 ? (unsigned char)number.ptr[0] : 0xff; top < 0x80;
         top = (unsigned char)(top << 1 | 1))
        bits--;
    return bits;
}
