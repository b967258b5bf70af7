/* log_mask - see log_mask.h */
#include "observe/log_mask.h"

#include <string.h>

#define SHORT_DIGITS 8
#define HASHED_MAX   512 /* bytes of an address that count; none is longer */
#define NO_LOCAL     " \"<>()[],;:"
#define NO_DOMAIN    " \"<>()[]{},;:'\\=@"
#define MESSAGE_ID   "message-id="

static bool is_one_of(char c, const char *set)
{
    return ascii_is_control(c) || strchr(set, c) != NULL;
}

/* --- one address --- */

/* Length of the character at the start, in bytes; broken UTF-8 counts byte by byte. */
static size_t first_len(struct span s)
{
    size_t len = 1;

    while (len < s.len && len < 4 && (s.ptr[len] & 0xC0) == 0x80 && (s.ptr[0] & 0xC0) == 0xC0)
        len++;
    return s.len > 0 ? len : 0;
}

static size_t last_len(struct span s)
{
    size_t len = 1;

    while (len < s.len && len < 4 && (s.ptr[s.len - len] & 0xC0) == 0x80)
        len++;
    return s.len > 0 ? len : 0;
}

static void put_symbols(const struct log_mask *m, struct span hidden, struct text *out)
{
    while (hidden.len > 0) {
        text_cstr(out, m->how.symbol);
        hidden = span_from(hidden, first_len(hidden));
    }
}

/* First and last character; of a quoted local part with the quotes. */
static void put_local(const struct log_mask *m, struct span local, struct text *out)
{
    bool quoted = local.len >= 3 && local.ptr[0] == '"' && local.ptr[local.len - 1] == '"';
    struct span inside = quoted ? span_make(local.ptr + 1, local.len - 2) : local;

    if (m->how.filter == ANONYMIZE_PARANOID) {
        text_cstr(out, m->how.symbol);
        return;
    }
    if (quoted)
        text_char(out, '"');
    text_span(out, span_first(inside, first_len(inside)));
    text_cstr(out, m->how.symbol);
    text_span(out, span_from(inside, inside.len - last_len(inside)));
    if (quoted)
        text_char(out, '"');
}

static void put_literal(const struct log_mask *m, struct span domain, struct text *out)
{
    bool paranoid = m->how.filter == ANONYMIZE_PARANOID;
    size_t colon = span_find(domain, ':');
    struct span behind = span_from(domain, colon + 1);

    if (colon < domain.len) {
        text_span(out, span_first(domain, colon + 1));
        if (paranoid)
            text_cstr(out, m->how.symbol);
        else
            put_symbols(m, span_first(behind, behind.len - 1), out);
    } else {
        text_char(out, '[');
        for (int i = 0; i < (paranoid ? 1 : 4); i++) {
            text_cstr(out, i > 0 ? "." : "");
            text_cstr(out, m->how.symbol);
        }
    }
    text_char(out, ']');
}

static void put_domain(const struct log_mask *m, struct span domain, struct text *out)
{
    bool dotted = domain.len > 0 && domain.ptr[domain.len - 1] == '.';
    struct span name = span_first(domain, domain.len - (dotted ? 1 : 0));
    size_t dot = span_find_last(name, '.');

    if (domain.len >= 2 && domain.ptr[0] == '[' && domain.ptr[domain.len - 1] == ']') {
        put_literal(m, domain, out);
        return;
    }
    if (m->how.filter == ANONYMIZE_PARANOID)
        text_cstr(out, name.len > 0 ? m->how.symbol : "");
    else
        put_symbols(m, span_first(name, dot), out);
    text_span(out, span_from(name, dot));
    text_cstr(out, dotted ? "." : "");
}

static void put_digest(const struct log_mask *m, struct span s, struct text *out)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[LOG_HMAC_LEN] = {0};
    char lower[HASHED_MAX];
    size_t count = m->how.short_sha ? SHORT_DIGITS : sizeof digest * 2;

    s = span_first(s, sizeof lower);
    for (size_t i = 0; i < s.len; i++)
        lower[i] = m->how.case_sensitive ? s.ptr[i] : ascii_lower(s.ptr[i]);
    m->hmac(span_make(m->how.salt, m->how.salt_len), span_make(lower, s.len), digest);
    for (size_t i = 0; i < count; i++)
        text_char(out, digits[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15]);
}

static void put_hash(const struct log_mask *m, struct span address, size_t at, struct text *out)
{
    text_cstr(out, m->how.prefix);
    if (m->how.split) {
        put_digest(m, span_first(address, at), out);
        text_char(out, '@');
        put_digest(m, span_from(address, at + 1), out);
    } else {
        put_digest(m, address, out);
    }
    text_cstr(out, m->how.suffix);
}

void log_mask_address(const struct log_mask *m, struct span address, struct text *out)
{
    size_t at = span_find_last(address, '@');

    if (!m || m->how.filter == ANONYMIZE_OFF || at == address.len) {
        text_span(out, address);
    } else if (m->how.filter == ANONYMIZE_HASH) {
        put_hash(m, address, at, out);
    } else {
        put_local(m, span_first(address, at), out);
        text_char(out, '@');
        put_domain(m, span_from(address, at + 1), out);
    }
}

/* --- addresses in text --- */

/* Where the quoted string that ends before `end` begins; `end` - 1 when it does not. */
static size_t quoted_start(struct span s, size_t floor, size_t end)
{
    for (size_t i = end - 1; i > floor; i--) {
        size_t slashes = 0;

        if (s.ptr[i - 1] != '"')
            continue;
        while (i - 1 - slashes > floor && s.ptr[i - 2 - slashes] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return i - 1;
    }
    return end - 1;
}

/* Where the local part before the "@" at `at` begins; not before `floor`. */
static size_t local_start(struct span s, size_t floor, size_t at)
{
    size_t start = at;

    if (at > floor && s.ptr[at - 1] == '"')
        return quoted_start(s, floor, at);
    while (start > floor && !is_one_of(s.ptr[start - 1], NO_LOCAL))
        start--;
    return start;
}

/* Where the domain that begins at `from` ends. A dot at its end belongs to the sentence. */
static size_t domain_end(struct span s, size_t from)
{
    struct span rest = span_from(s, from);
    size_t end = from;

    if (rest.len > 0 && rest.ptr[0] == '[') {
        size_t close = span_find(rest, ']');

        return close < rest.len ? from + close + 1 : s.len;
    }
    while (end < s.len && !is_one_of(s.ptr[end], NO_DOMAIN))
        end++;
    while (end > from && s.ptr[end - 1] == '.')
        end--;
    return end;
}

static bool is_message_id(struct span s, size_t start)
{
    struct span before = span_first(s, start);

    if (span_starts_nocase(span_from(s, start), SPAN_LIT(MESSAGE_ID)))
        return true;
    while (before.len > 0 && strchr("{<[\"'", before.ptr[before.len - 1]))
        before.len--;
    return span_ends_nocase(before, SPAN_LIT(MESSAGE_ID));
}

/* Text without an "@": what a "<" begins and nothing ends was an address, before it was cut. */
static void put_tail(const struct log_mask *m, struct span s, struct text *out)
{
    size_t open = span_find_last(s, '<');
    struct span cut = span_from(s, open + 1);

    if (cut.len == 0 || span_find(cut, '>') < cut.len || span_find(cut, ' ') < cut.len) {
        text_span(out, s);
        return;
    }
    text_span(out, span_first(s, open + 1));
    text_cstr(out, m->how.filter == ANONYMIZE_HASH ? "*" : m->how.symbol);
}

void log_mask_text(const struct log_mask *m, struct span s, struct text *out)
{
    size_t done = 0;

    if (!m || m->how.filter == ANONYMIZE_OFF) {
        text_span(out, s);
        return;
    }
    for (size_t at = span_find(s, '@'); at < s.len;) {
        size_t start = local_start(s, done, at);
        size_t end = domain_end(s, at + 1);

        while (end < s.len && s.ptr[end] == '@') /* a@b@c: up to the last one */
            end = domain_end(s, end + 1);
        if (start < at) {
            text_span(out, span_make(s.ptr + done, start - done));
            if (is_message_id(s, start))
                text_span(out, span_make(s.ptr + start, end - start));
            else
                log_mask_address(m, span_make(s.ptr + start, end - start), out);
            done = end;
        }
        at = end + span_find(span_from(s, end), '@');
    }
    put_tail(m, span_from(s, done), out);
}
