/* certificate - see certificate.h */
#include "tls/certificate.h"

#include <arpa/inet.h>
#include <string.h>

enum der_tag {
    DER_INTEGER = 0x02,
    DER_BOOLEAN = 0x01,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_UTF8_STRING = 0x0c,
    DER_PRINTABLE_STRING = 0x13,
    DER_T61_STRING = 0x14,
    DER_IA5_STRING = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_VERSION = 0xa0,    /* [0] of TBSCertificate */
    DER_ISSUER_ID = 0x81,  /* [1] */
    DER_SUBJECT_ID = 0x82, /* [2] */
    DER_EXTENSIONS = 0xa3, /* [3] */
    DER_DNS_NAME = 0x82,   /* [2] of GeneralName */
    DER_IP_ADDRESS = 0x87, /* [7] */
};

#define LENGTH_BYTES_MAX 3 /* of the long form: 16 MiB are enough for anybody */

static const char oid_common_name[] = {0x55, 0x04, 0x03};
static const char oid_organisation[] = {0x55, 0x04, 0x0a};
static const char oid_alt_name[] = {0x55, 0x1d, 0x11};

/* One element: tag, length, content (X.690 8.1, 10.1). */
struct der {
    unsigned tag;
    struct span content;
    struct span whole;
};

/* The length that begins `s`, and how many bytes it takes; false when it is not DER. */
static bool der_length(struct span s, size_t *length_out, size_t *size_out)
{
    size_t bytes, length = 0;

    if (s.len == 0)
        return false;
    bytes = (unsigned char)s.ptr[0];
    *size_out = 1;
    *length_out = bytes;
    if (bytes < 0x80)
        return true;
    bytes -= 0x80;
    if (bytes == 0 || bytes > LENGTH_BYTES_MAX || bytes >= s.len)
        return false;
    for (size_t i = 1; i <= bytes; i++)
        length = length << 8 | (unsigned char)s.ptr[i];
    *size_out = 1 + bytes;
    *length_out = length;
    return length >= 0x80 && length >> (8 * (bytes - 1)) != 0; /* the shortest form */
}

/* Takes an element off `rest`. */
static bool der_next(struct span *rest, struct der *out)
{
    size_t length, size;

    if (rest->len < 2 || (rest->ptr[0] & 0x1f) == 0x1f)
        return false; /* nothing here has a tag of several bytes */
    if (!der_length(span_from(*rest, 1), &length, &size) || length > rest->len - 1 - size)
        return false;
    out->tag = (unsigned char)rest->ptr[0];
    out->content = span_make(rest->ptr + 1 + size, length);
    out->whole = span_first(*rest, 1 + size + length);
    *rest = span_from(*rest, 1 + size + length);
    return true;
}

static bool der_expect(struct span *rest, unsigned tag, struct der *out)
{
    return der_next(rest, out) && out->tag == tag;
}

/* The same when it is there at all. */
static bool der_optional(struct span *rest, unsigned tag, struct der *out)
{
    *out = (struct der){0};
    if (rest->len == 0 || (unsigned char)rest->ptr[0] != tag)
        return true;
    return der_next(rest, out);
}

/* ---- dates ---- */

static bool two_digits(struct span *s, unsigned min, unsigned max, unsigned *out)
{
    uint64_t value = 0;

    if (s->len < 2 || !span_to_u64(span_first(*s, 2), max, &value) || value < min)
        return false;
    *s = span_from(*s, 2);
    *out = (unsigned)value;
    return true;
}

/* Days since 1970-01-01 of the Gregorian calendar. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month > 2 ? year : year - 1; /* years that begin in March: leap days come last */
    int64_t since_march = (month + 9) % 12;

    return y * 365 + y / 4 - y / 100 + y / 400 + (since_march * 306 + 5) / 10 + (int64_t)day - 1 -
           719468;
}

/* RFC 5280 4.1.2.5: YYMMDDHHMMSSZ, years 1950 to 2049; or YYYYMMDDHHMMSSZ. */
static bool read_time(const struct der *time, int64_t *seconds_out)
{
    struct span s = time->content;
    unsigned century = 0, year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;

    if (time->tag != DER_UTC_TIME && time->tag != DER_GENERALIZED_TIME)
        return false;
    if (time->tag == DER_GENERALIZED_TIME && !two_digits(&s, 0, 99, &century))
        return false;
    if (!two_digits(&s, 0, 99, &year) || !two_digits(&s, 1, 12, &month) ||
        !two_digits(&s, 1, 31, &day) || !two_digits(&s, 0, 23, &hour) ||
        !two_digits(&s, 0, 59, &minute) || !two_digits(&s, 0, 60, &second))
        return false;
    if (time->tag == DER_UTC_TIME)
        century = year < 50 ? 20 : 19;
    *seconds_out = days_of(century * 100 + year, month, day) * 86400 + hour * 3600 + minute * 60 +
                   (int64_t)second;
    return span_equal(s, SPAN_LIT("Z"));
}

static bool read_validity(struct span rest, struct certificate *out)
{
    struct der from, until;

    return der_next(&rest, &from) && der_next(&rest, &until) && rest.len == 0 &&
           read_time(&from, &out->not_before_s) && read_time(&until, &out->not_after_s);
}

/* ---- the certificate ---- */

/* Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
static bool read_extension(struct span rest, struct certificate *out)
{
    struct der oid, critical, value, names;
    struct span inside;

    if (!der_expect(&rest, DER_OID, &oid) || !der_optional(&rest, DER_BOOLEAN, &critical) ||
        !der_expect(&rest, DER_OCTET_STRING, &value) || rest.len != 0)
        return false;
    if (!span_equal(oid.content, span_make(oid_alt_name, sizeof oid_alt_name)))
        return true;
    inside = value.content;
    if (out->alt_names.ptr || !der_expect(&inside, DER_SEQUENCE, &names) || inside.len != 0)
        return false; /* RFC 5280 4.2: at most one of a kind */
    out->alt_names = names.content;
    return true;
}

static bool read_extensions(struct span rest, struct certificate *out)
{
    struct der list, extension;

    if (!der_expect(&rest, DER_SEQUENCE, &list) || rest.len != 0)
        return false;
    while (list.content.len > 0) {
        if (!der_expect(&list.content, DER_SEQUENCE, &extension) ||
            !read_extension(extension.content, out))
            return false;
    }
    return true;
}

static bool read_tbs(struct span rest, struct certificate *out)
{
    struct der e, issuer, validity, subject, extensions;

    if (!der_optional(&rest, DER_VERSION, &e) || !der_expect(&rest, DER_INTEGER, &e) ||
        !der_expect(&rest, DER_SEQUENCE, &e) || !der_expect(&rest, DER_SEQUENCE, &issuer) ||
        !der_expect(&rest, DER_SEQUENCE, &validity) || !der_expect(&rest, DER_SEQUENCE, &subject) ||
        !der_expect(&rest, DER_SEQUENCE, &e) || !der_optional(&rest, DER_ISSUER_ID, &e) ||
        !der_optional(&rest, DER_SUBJECT_ID, &e) ||
        !der_optional(&rest, DER_EXTENSIONS, &extensions) || rest.len != 0)
        return false;
    out->issuer = issuer.whole;
    out->subject = subject.whole;
    return read_validity(validity.content, out) &&
           (extensions.tag == 0 || read_extensions(extensions.content, out));
}

bool certificate_parse(struct span der, struct certificate *out)
{
    struct der certificate, tbs, algorithm, signature;

    *out = (struct certificate){0};
    return der_expect(&der, DER_SEQUENCE, &certificate) && der.len == 0 &&
           der_expect(&certificate.content, DER_SEQUENCE, &tbs) &&
           der_expect(&certificate.content, DER_SEQUENCE, &algorithm) &&
           der_expect(&certificate.content, DER_BIT_STRING, &signature) &&
           certificate.content.len == 0 && read_tbs(tbs.content, out);
}

/* ---- names ---- */

static bool is_printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_control(s.ptr[i]) || ascii_is_8bit(s.ptr[i]))
            return false;
    }
    return s.len > 0;
}

bool certificate_next_name(struct span *alt_names, enum certificate_name_kind *kind_out,
                           struct span *name_out)
{
    struct der name;

    while (der_next(alt_names, &name)) {
        *name_out = name.content;
        *kind_out = name.tag == DER_DNS_NAME ? CERTIFICATE_DNS : CERTIFICATE_ADDRESS;
        if (name.tag == DER_DNS_NAME && is_printable(name.content))
            return true;
        if (name.tag == DER_IP_ADDRESS && (name.content.len == 4 || name.content.len == 16))
            return true;
    }
    return false;
}

/* Name ::= SEQUENCE OF SET OF SEQUENCE { type OID, value } */
static bool find_attribute(struct span dn, struct span type, struct span *value_out)
{
    struct der name, set, pair, oid, value;

    if (!der_expect(&dn, DER_SEQUENCE, &name))
        return false;
    while (der_expect(&name.content, DER_SET, &set)) {
        while (der_expect(&set.content, DER_SEQUENCE, &pair)) {
            if (!der_expect(&pair.content, DER_OID, &oid) || !der_next(&pair.content, &value))
                return false;
            *value_out = value.content;
            if (span_equal(oid.content, type) && is_printable(value.content) &&
                (value.tag == DER_UTF8_STRING || value.tag == DER_PRINTABLE_STRING ||
                 value.tag == DER_T61_STRING || value.tag == DER_IA5_STRING))
                return true;
        }
    }
    return false;
}

bool certificate_common_name(struct span dn, struct span *name_out)
{
    return find_attribute(dn, span_make(oid_common_name, sizeof oid_common_name), name_out);
}

/* ---- who it is for ---- */

static bool is_below(struct span name, struct span dot_domain)
{
    return name.len > dot_domain.len && dot_domain.len > 1 && span_ends_nocase(name, dot_domain);
}

/* "*" stands for one whole label, the first, of a name that has more than one (RFC 6125 6.4.3). */
static bool name_fits(struct span name, struct span wanted)
{
    if (wanted.len > 0 && wanted.ptr[0] == '.')
        return is_below(name, wanted);
    if (name.len > 2 && name.ptr[0] == '*' && name.ptr[1] == '.')
        return span_find(wanted, '.') > 0 &&
               span_equal_nocase(span_from(name, 1), span_from(wanted, span_find(wanted, '.')));
    return span_equal_nocase(name, wanted);
}

/* The bytes of a numeric address; their number, 0 when it is none. */
static size_t read_address(const char *text, char out[16])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

/* Also one that cannot be read: the common name does not stand in for it. */
static bool has_dns_name(struct span names)
{
    struct der name;

    while (der_next(&names, &name)) {
        if (name.tag == DER_DNS_NAME)
            return true;
    }
    return false;
}

/* A numeric address may stand where a name does, but no "*" covers it. */
static bool dns_name_is(struct span name, const char *wanted, bool wanted_address)
{
    return wanted_address ? span_equal_nocase(name, span_of(wanted))
                          : name_fits(name, span_of(wanted));
}

bool certificate_is_for(const struct certificate *c, const char *wanted)
{
    struct span names = c->alt_names;
    struct span name;
    enum certificate_name_kind kind;
    char bytes[16];
    struct span address = span_make(bytes, read_address(wanted, bytes));

    while (certificate_next_name(&names, &kind, &name)) {
        if (kind == CERTIFICATE_DNS ? dns_name_is(name, wanted, address.len > 0)
                                    : address.len > 0 && span_equal(name, address))
            return true;
    }
    return !has_dns_name(c->alt_names) && certificate_common_name(c->subject, &name) &&
           dns_name_is(name, wanted, address.len > 0);
}

/* ---- for people ---- */

static void put_address(struct span address, struct text *t)
{
    char buf[INET6_ADDRSTRLEN] = "";

    inet_ntop(address.len == 4 ? AF_INET : AF_INET6, address.ptr, buf, sizeof buf);
    text_cstr(t, buf);
}

void certificate_names_text(const struct certificate *c, struct text *t)
{
    struct span names = c->alt_names;
    struct span name;
    enum certificate_name_kind kind;
    bool some = false;

    while (certificate_next_name(&names, &kind, &name) && !t->overflow) {
        text_cstr(t, some ? ", " : "");
        if (kind == CERTIFICATE_DNS)
            text_printable(t, name);
        else
            put_address(name, t);
        some = true;
    }
    if (!some && certificate_common_name(c->subject, &name))
        text_printable(t, name);
    else if (!some)
        text_cstr(t, "nobody");
}

void certificate_dn_text(struct span dn, struct text *t)
{
    struct span name;

    if (certificate_common_name(dn, &name) ||
        find_attribute(dn, span_make(oid_organisation, sizeof oid_organisation), &name))
        text_printable(t, name);
    else
        text_cstr(t, "without a name");
}
