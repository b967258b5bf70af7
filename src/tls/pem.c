/* pem - see pem.h */
#include "tls/pem.h"

#include <errno.h>

#define BEGIN SPAN_LIT("-----BEGIN ")
#define END   SPAN_LIT("-----END ")
#define TAIL  SPAN_LIT("-----")
#define BOM   SPAN_LIT("\xef\xbb\xbf")

/* Base64 as it comes, four characters for three bytes. */
struct decoder {
    unsigned char *out;
    size_t len;
    unsigned held; /* bits that make no byte yet */
    unsigned characters;
    unsigned padding;
};

void pem_reader_init(struct pem_reader *r, struct span text)
{
    r->rest = span_starts_nocase(text, BOM) ? span_from(text, BOM.len) : text;
    r->line = 1;
}

/* The next line without what surrounds it; false at the end of the text. */
static bool next_line(struct pem_reader *r, struct span *line_out)
{
    size_t end = span_find(r->rest, '\n');

    if (r->rest.len == 0)
        return false;
    *line_out = span_trim(span_first(r->rest, end));
    r->rest = span_from(r->rest, end + 1);
    r->line++;
    return true;
}

/* "-----BEGIN LABEL-----" */
static bool is_boundary(struct span line, struct span begin, struct span *label_out)
{
    struct span rest = span_from(line, begin.len);

    if (!span_equal(span_first(line, begin.len), begin) || rest.len <= TAIL.len ||
        !span_equal(span_from(rest, rest.len - TAIL.len), TAIL))
        return false;
    *label_out = span_first(rest, rest.len - TAIL.len);
    return true;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode(struct decoder *d, struct span line)
{
    for (size_t i = 0; i < line.len; i++) {
        int value = digit(line.ptr[i]);

        if (line.ptr[i] == '=')
            d->padding++;
        else if (value < 0 || d->padding > 0)
            return false;
        d->held = d->held << 6 | (value < 0 ? 0U : (unsigned)value);
        if (++d->characters % 4 != 0)
            continue;
        for (unsigned at = 0; at < 3 && at + d->padding < 3; at++)
            d->out[d->len++] = (unsigned char)(d->held >> (16 - 8 * at));
        d->held = 0;
    }
    return d->padding <= 2;
}

/* Whether the line is a header, or goes on with one: only before the first base64. */
static bool is_header(struct span line, const struct decoder *d, bool *in_header)
{
    if (d->characters > 0)
        return false;
    if (span_find(line, ':') < line.len)
        *in_header = true;
    else if (line.len == 0)
        *in_header = false;
    return *in_header;
}

static bool has_word(struct span line, struct span word)
{
    for (size_t i = 0; i + word.len <= line.len; i++) {
        if (span_equal(span_first(span_from(line, i), word.len), word))
            return true;
    }
    return false;
}

static enum pem_event bad(const struct pem_block *out, struct errbuf *err, unsigned line,
                          const char *why)
{
    errbuf_set(err, -EINVAL, "line %u: the PEM block that begins in line %u %s", line, out->line,
               why);
    return PEM_BAD;
}

static enum pem_event read_block(struct pem_reader *r, unsigned char *room, struct pem_block *out,
                                 struct errbuf *err)
{
    struct decoder d = {.out = room};
    bool in_header = false;
    struct span line, label;

    while (next_line(r, &line)) {
        if (is_boundary(line, END, &label)) {
            if (!span_equal(label, out->label))
                return bad(out, err, r->line - 1, "ends as another kind");
            if (d.characters == 0 || d.characters % 4 != 0)
                return bad(out, err, r->line - 1, "is cut off");
            out->content = span_make((const char *)room, d.len);
            return PEM_BLOCK;
        }
        if (is_header(line, &d, &in_header))
            out->encrypted = out->encrypted || has_word(line, SPAN_LIT("ENCRYPTED"));
        else if (!decode(&d, line))
            return bad(out, err, r->line - 1, "is damaged: this is no base64");
    }
    return bad(out, err, r->line, "has no end");
}

enum pem_event pem_next(struct pem_reader *r, unsigned char *room, struct pem_block *out,
                        struct errbuf *err)
{
    struct span line;

    *out = (struct pem_block){.encrypted = false};
    while (next_line(r, &line)) {
        if (!is_boundary(line, BEGIN, &out->label))
            continue;
        out->line = r->line - 1;
        out->encrypted = has_word(out->label, SPAN_LIT("ENCRYPTED"));
        return read_block(r, room, out, err);
    }
    return PEM_END;
}
