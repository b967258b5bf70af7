/* x509_names - see x509_names.h */
#include "tls/x509_names.h"

#include "tls/der.h"

#include <arpa/inet.h>

#define TAG_DNS_NAME     (DER_CONTEXT | 2)
#define TAG_ADDRESS      (DER_CONTEXT | 7)
#define OID_COMMON_NAME  SPAN_LIT("\x55\x04\x03")
#define OID_ORGANISATION SPAN_LIT("\x55\x04\x0a")

static bool is_printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_control(s.ptr[i]) || ascii_is_8bit(s.ptr[i]))
            return false;
    }
    return s.len > 0;
}

/* Takes the next DNS name, or address of 4 or 16 bytes, off the GeneralNames. Names that are empty
 * or hold anything but printable ASCII are passed over. */
static bool next_name(struct span *names, struct der_value *out)
{
    while (der_next(names, out)) {
        size_t len = out->content.len;

        if (out->tag == TAG_DNS_NAME ? is_printable(out->content)
                                     : out->tag == TAG_ADDRESS && (len == 4 || len == 16))
            return true;
    }
    return false;
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
    return name.len > 0 && span_equal_nocase(name, wanted);
}

/* The bytes of a numeric address; their number, 0 when it is none. */
static size_t read_address(const char *text, char out[16])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

/* A numeric address may stand where a name does, but no "*" covers it. */
static bool is_wanted(struct span name, const char *wanted, bool wanted_address)
{
    return wanted_address ? span_equal_nocase(name, span_of(wanted))
                          : name_fits(name, span_of(wanted));
}

bool x509_is_for(const struct x509 *c, const char *wanted)
{
    struct span names = c->names;
    struct der_value name;
    struct span ignored;
    char bytes[16];
    struct span address = span_make(bytes, read_address(wanted, bytes));

    while (next_name(&names, &name)) {
        if (name.tag == TAG_DNS_NAME ? is_wanted(name.content, wanted, address.len > 0)
                                     : address.len > 0 && span_equal(name.content, address))
            return true;
    }
    names = c->names;
    if (x509_next_name(&names, &ignored))
        return false; /* the common name does not stand in for a DNS name, not even a bad one */
    return is_printable(c->common_name) && is_wanted(c->common_name, wanted, address.len > 0);
}

/* ---- for people ---- */

static void put_name(const struct der_value *name, struct text *t)
{
    char buf[INET6_ADDRSTRLEN] = "";

    if (name->tag == TAG_DNS_NAME) {
        text_printable(t, name->content);
        return;
    }
    inet_ntop(name->content.len == 4 ? AF_INET : AF_INET6, name->content.ptr, buf, sizeof buf);
    text_cstr(t, buf);
}

void x509_names_text(const struct x509 *c, struct text *t)
{
    struct span names = c->names;
    struct der_value name;
    bool some = false;

    while (next_name(&names, &name) && !t->overflow) {
        text_cstr(t, some ? ", " : "");
        put_name(&name, t);
        some = true;
    }
    if (!some && is_printable(c->common_name))
        text_span(t, c->common_name);
    else if (!some)
        text_cstr(t, "nobody");
}

/* Name ::= SEQUENCE OF SET OF SEQUENCE { type OID, value } */
static bool find_attribute(struct span dn, struct span type, struct span *value_out)
{
    struct span name, set, pair, oid;
    struct der_value value;

    if (!der_expect(&dn, DER_SEQUENCE, &name))
        return false;
    while (der_expect(&name, DER_SET, &set)) {
        while (der_expect(&set, DER_SEQUENCE, &pair)) {
            if (!der_expect(&pair, DER_OID, &oid) || !der_next(&pair, &value))
                return false;
            *value_out = value.content;
            if (span_equal(oid, type) && is_printable(value.content))
                return true;
        }
    }
    return false;
}

void x509_dn_text(struct span dn, struct text *t)
{
    struct span name;

    if (find_attribute(dn, OID_COMMON_NAME, &name) || find_attribute(dn, OID_ORGANISATION, &name))
        text_span(t, name);
    else
        text_cstr(t, "without a name");
}
