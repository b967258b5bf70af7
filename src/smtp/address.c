/* smtp_address - see address.h */
#include "smtp/address.h"

#include <string.h>

_Static_assert(SMTP_ADDRESS_CAP >= SMTP_LOCAL_PART_MAX + 1 + SMTP_DOMAIN_MAX + 1,
               "an address within the limits of its parts must fit");

/* A mailbox found in the input, not yet judged. No local part: the null path. */
struct mailbox {
    struct span local;
    struct span domain; /* as written, with its trailing dot */
    bool has_domain;
};

static bool next_is(struct span in, char c)
{
    return in.len > 0 && in.ptr[0] == c;
}

static bool next_is_blank(struct span in)
{
    return next_is(in, ' ') || next_is(in, '\t');
}

static bool take_char(struct span *in, char c)
{
    if (!next_is(*in, c))
        return false;
    *in = span_from(*in, 1);
    return true;
}

static struct span take_len(struct span *in, size_t len)
{
    struct span part = span_first(*in, len);

    *in = span_from(*in, len);
    return part;
}

static bool is_8bit(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_8bit(s.ptr[i]))
            return true;
    }
    return false;
}

/* atext of RFC 5322 3.2.3, and the dot wherever it stands. */
static bool is_local_byte(char c)
{
    static const char marks[] = "!#$%&'*+-/=?^_`{|}~.";

    return ascii_is_alnum(c) || ascii_is_8bit(c) || memchr(marks, c, sizeof marks - 1);
}

/* Length of the quoted string that starts `s`; 0 when unbalanced, empty, or with control bytes. */
static size_t quoted_len(struct span s)
{
    size_t at = 1;

    while (at < s.len && s.ptr[at] != '"') {
        bool escaped = s.ptr[at] == '\\';

        at += escaped ? 1 : 0;
        if (at >= s.len || ascii_is_control(s.ptr[at]) || (escaped && ascii_is_8bit(s.ptr[at])))
            return 0;
        at++;
    }
    return at < s.len && at > 1 ? at + 1 : 0;
}

static struct span take_local(struct span *in)
{
    size_t len = 0;

    if (next_is(*in, '"'))
        return take_len(in, quoted_len(*in));
    while (len < in->len && is_local_byte(in->ptr[len]))
        len++;
    return take_len(in, len);
}

static bool is_domain_byte(char c)
{
    return ascii_is_alnum(c) || ascii_is_8bit(c) || c == '-' || c == '_' || c == '.';
}

/* What can be a domain by its bytes; smtp_domain_valid judges it. */
static struct span take_domain(struct span *in)
{
    size_t len = 0;

    if (next_is(*in, '['))
        return take_len(in, span_find(*in, ']') + 1);
    while (len < in->len && is_domain_byte(in->ptr[len]))
        len++;
    return take_len(in, len);
}

static bool take_mailbox(struct span *in, struct mailbox *out)
{
    out->local = take_local(in);
    if (out->local.len == 0)
        return false;
    out->has_domain = take_char(in, '@');
    if (out->has_domain)
        out->domain = take_domain(in);
    return !out->has_domain || out->domain.len > 0;
}

/* Source route: "@" domain *( "," "@" domain ) ":" */
static bool skip_route(struct span *in)
{
    do {
        if (!take_char(in, '@') || !smtp_domain_valid(take_domain(in), true))
            return false;
    } while (take_char(in, ','));
    return take_char(in, ':');
}

static bool take_path(struct span *in, struct mailbox *out)
{
    if (!take_char(in, '<'))
        return take_mailbox(in, out) && (in->len == 0 || next_is_blank(*in));
    if (take_char(in, '>'))
        return true;
    if (next_is(*in, '@') && !skip_route(in))
        return false;
    return take_mailbox(in, out) && take_char(in, '>');
}

static struct span without_last_dot(struct span domain)
{
    bool dot = domain.len > 0 && domain.ptr[domain.len - 1] == '.';

    return span_first(domain, domain.len - (dot ? 1 : 0));
}

static void append(struct smtp_address *out, struct span s)
{
    memcpy(out->text + out->len, s.ptr, s.len);
    out->len = (uint16_t)(out->len + s.len);
}

/* Judges a mailbox and copies it; `path` is all of it as written, route included. */
static enum smtp_address_error store(struct mailbox m, struct span path, bool utf8,
                                     struct smtp_address *out)
{
    if (is_8bit(path) && !utf8)
        return SMTP_ADDRESS_NON_ASCII;
    if (m.local.len > SMTP_LOCAL_PART_MAX || without_last_dot(m.domain).len > SMTP_DOMAIN_MAX)
        return SMTP_ADDRESS_TOO_LONG;
    if (m.has_domain && !smtp_domain_valid(m.domain, utf8))
        return SMTP_ADDRESS_SYNTAX;
    if (!smtp_utf8_printable(m.local))
        return SMTP_ADDRESS_SYNTAX;
    m.domain = without_last_dot(m.domain);
    if (m.local.len > 0)
        append(out, m.local);
    out->local_len = out->len;
    if (m.has_domain) {
        append(out, SPAN_LIT("@"));
        append(out, m.domain);
    }
    out->has_domain = m.has_domain;
    out->literal = next_is(m.domain, '[');
    out->non_ascii = is_8bit(smtp_address_span(out));
    return SMTP_ADDRESS_OK;
}

enum smtp_address_error smtp_address_parse_path(struct span in, bool utf8, struct smtp_address *out,
                                                struct span *rest_out)
{
    struct mailbox m = {.has_domain = false};
    struct span rest;

    memset(out, 0, sizeof *out);
    *rest_out = (struct span){NULL, 0};
    while (next_is_blank(in))
        in = span_from(in, 1);
    rest = in;
    if (!take_path(&rest, &m))
        return SMTP_ADDRESS_SYNTAX;
    *rest_out = rest;
    return store(m, span_first(in, in.len - rest.len), utf8, out);
}

enum smtp_address_error smtp_address_parse(struct span in, bool utf8, struct smtp_address *out)
{
    struct mailbox m = {.has_domain = false};
    struct span rest = in;

    memset(out, 0, sizeof *out);
    if (!take_mailbox(&rest, &m) || rest.len > 0)
        return SMTP_ADDRESS_SYNTAX;
    return store(m, in, utf8, out);
}

struct span smtp_address_domain(const struct smtp_address *a)
{
    return span_from(smtp_address_span(a), (size_t)a->local_len + 1);
}

struct span smtp_address_local(const struct smtp_address *a)
{
    return span_make(a->text, a->local_len);
}

bool smtp_address_is_null(const struct smtp_address *a)
{
    return a->len == 0;
}

struct span smtp_address_span(const struct smtp_address *a)
{
    return span_make(a->text, a->len);
}
