/* x509 - see x509.h */
#include "tls/x509.h"

#include "tls/der.h"

#define OID_COMMON_NAME SPAN_LIT("\x55\x04\x03")                     /* 2.5.4.3 */
#define OID_ALT_NAME    SPAN_LIT("\x55\x1d\x11")                     /* 2.5.29.17 */
#define OID_PKCS1       SPAN_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x01") /* and one of its algorithms */
#define OID_ECDSA       SPAN_LIT("\x2a\x86\x48\xce\x3d\x04")         /* and the hash */
#define TAG_VERSION     (DER_CONTEXT_CONSTRUCTED | 0)
#define TAG_EXTENSIONS  (DER_CONTEXT_CONSTRUCTED | 3)
#define TAG_DNS_NAME    (DER_CONTEXT | 2)

/* ---- times ---- */

/* Days since 1970-01-01 in the Gregorian calendar; the year counts from March, which puts the day
 * that some years have at its end. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t days_before = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;

    return 365 * y + y / 4 - y / 100 + y / 400 + days_before + day - 1 - 719468;
}

static bool two_digits(struct span *s, int64_t low, int64_t high, int64_t *out)
{
    uint64_t value;

    if (s->len < 2 || !span_to_u64(span_first(*s, 2), 99, &value))
        return false;
    *s = span_from(*s, 2);
    *out = (int64_t)value;
    return *out >= low && *out <= high;
}

/* UTCTime YYMMDDHHMMSSZ, GeneralizedTime YYYYMMDDHHMMSSZ (RFC 5280 4.1.2.5) */
static bool read_time(struct span *rest, int64_t *seconds_out)
{
    int64_t century = 0, year, month, day, hour, minute, second;
    struct der_value value;
    struct span s;

    if (!der_next(rest, &value) || (value.tag != DER_UTC_TIME && value.tag != DER_GENERALIZED_TIME))
        return false;
    s = value.content;
    if (value.tag == DER_GENERALIZED_TIME && !two_digits(&s, 0, 99, &century))
        return false;
    if (!two_digits(&s, 0, 99, &year) || !two_digits(&s, 1, 12, &month) ||
        !two_digits(&s, 1, 31, &day) || !two_digits(&s, 0, 23, &hour) ||
        !two_digits(&s, 0, 59, &minute) || !two_digits(&s, 0, 60, &second) ||
        !span_equal(s, SPAN_LIT("Z")))
        return false;
    if (value.tag == DER_UTC_TIME)
        century = year < 50 ? 20 : 19;
    *seconds_out =
        days_of(century * 100 + year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

static bool read_validity(struct span *rest, struct x509 *out)
{
    struct span times;

    return der_expect(rest, DER_SEQUENCE, &times) && read_time(&times, &out->not_before_s) &&
           read_time(&times, &out->not_after_s);
}

/* ---- names ---- */

/* A Name with its tag. */
static bool read_name(struct span *rest, struct span *name_out)
{
    struct der_value value;

    if (!der_next(rest, &value) || value.tag != DER_SEQUENCE)
        return false;
    *name_out = value.whole;
    return true;
}

static void find_common_name(struct span name, struct x509 *out)
{
    struct span parts, set, pair, oid;
    struct der_value value;

    if (!der_expect(&name, DER_SEQUENCE, &parts))
        return;
    while (der_expect(&parts, DER_SET, &set)) {
        while (der_expect(&set, DER_SEQUENCE, &pair)) {
            if (der_expect(&pair, DER_OID, &oid) && span_equal(oid, OID_COMMON_NAME) &&
                der_next(&pair, &value))
                out->common_name = value.content;
        }
    }
}

bool x509_next_name(struct span *names, struct span *name_out)
{
    struct der_value value;

    while (der_next(names, &value)) {
        *name_out = value.content;
        if (value.tag == TAG_DNS_NAME)
            return true;
    }
    return false;
}

/* ---- keys ---- */

static bool read_key(struct span *rest, struct public_key *key)
{
    struct span info, algorithm, oid, bits, numbers;

    if (!der_expect(rest, DER_SEQUENCE, &info) || !der_expect(&info, DER_SEQUENCE, &algorithm) ||
        !der_expect(&algorithm, DER_OID, &oid) || !der_bits(&info, &bits))
        return false;
    key->kind = key_kind_of(oid);
    if (key->kind == KEY_RSA)
        return der_expect(&bits, DER_SEQUENCE, &numbers) && der_unsigned(&numbers, &key->n) &&
               der_unsigned(&numbers, &key->e);
    if (key->kind == KEY_EC) {
        key->point = bits;
        key->curve = der_expect(&algorithm, DER_OID, &oid) ? key_curve_of(oid) : CURVE_OTHER;
    }
    return true;
}

static bool has_prefix(struct span s, struct span prefix)
{
    return span_equal(span_first(s, prefix.len), prefix);
}

static bool read_signer(struct span *rest, struct x509 *out)
{
    struct span algorithm, oid;

    if (!der_expect(rest, DER_SEQUENCE, &algorithm) || !der_expect(&algorithm, DER_OID, &oid))
        return false;
    if (has_prefix(oid, OID_PKCS1))
        out->signer = KEY_RSA;
    else if (has_prefix(oid, OID_ECDSA))
        out->signer = KEY_EC;
    return true;
}

/* ---- the whole ---- */

static void find_extensions(struct span rest, struct x509 *out)
{
    struct der_value part;
    struct span list, extension, oid, content;

    while (der_next(&rest, &part)) {
        if (part.tag != TAG_EXTENSIONS || !der_expect(&part.content, DER_SEQUENCE, &list))
            continue;
        while (der_expect(&list, DER_SEQUENCE, &extension)) {
            if (!der_expect(&extension, DER_OID, &oid) || !span_equal(oid, OID_ALT_NAME))
                continue;
            while (der_next(&extension, &part)) { /* whether it is critical may come first */
                if (part.tag == DER_OCTET_STRING &&
                    der_expect(&part.content, DER_SEQUENCE, &content))
                    out->names = content;
            }
        }
    }
}

const char *x509_parse(struct span der, struct x509 *out)
{
    struct span whole, tbs, serial, ignored;
    struct der_value version;
    struct span rest;

    *out = (struct x509){.signer = KEY_OTHER};
    if (!der_expect(&der, DER_SEQUENCE, &whole) || der.len > 0 ||
        !der_expect(&whole, DER_SEQUENCE, &tbs))
        return "is damaged: it is no X.509 certificate";
    rest = tbs;
    if (der_next(&rest, &version) && version.tag == TAG_VERSION)
        tbs = rest;
    if (!der_expect(&tbs, DER_INTEGER, &serial) || !der_expect(&tbs, DER_SEQUENCE, &ignored) ||
        !read_name(&tbs, &out->issuer) || !read_validity(&tbs, out) ||
        !read_name(&tbs, &out->subject) || !read_key(&tbs, &out->key) ||
        !read_signer(&whole, out) || !der_bits(&whole, &ignored) || whole.len > 0)
        return "is damaged: it is no X.509 certificate";
    find_common_name(out->subject, out);
    find_extensions(tbs, out);
    return NULL;
}
