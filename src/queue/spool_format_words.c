/* spool_format, lines and words - see spool_format_private.h */
#include "queue/spool_format_private.h"

enum spool_parse spool_reader_corrupt(struct spool_reader *r, const char *what)
{
    errbuf_set(r->err, 0, "line %u: %s", r->line, what);
    return SPOOL_PARSE_CORRUPT;
}

bool spool_reader_line(struct spool_reader *r, struct span *line_out)
{
    size_t end = span_find(r->rest, '\n');

    if (end == r->rest.len)
        return false;
    *line_out = span_first(r->rest, end);
    r->rest = span_from(r->rest, end + 1);
    r->line++;
    return true;
}

bool spool_line_is(struct span *line, const char *name)
{
    struct span n = span_of(name);

    if (line->len <= n.len || line->ptr[n.len] != ' ' || !span_equal(span_first(*line, n.len), n))
        return false;
    *line = span_from(*line, n.len + 1);
    return true;
}

bool spool_take_word(struct span *line, struct span *word_out)
{
    return span_next_word(line, " ", word_out);
}

bool spool_word_key(struct span word, const char *key, struct span *value_out)
{
    struct span k = span_of(key);

    if (!span_equal(span_first(word, k.len), k))
        return false;
    *value_out = span_from(word, k.len);
    return true;
}

static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* The byte that `s`, which starts with a backslash, stands for; 0 when it is no escape. */
static char escaped_byte(struct span s)
{
    int high;
    int low;

    if (s.len < 4 || s.ptr[1] != 'x')
        return 0;
    high = hex_value(s.ptr[2]);
    low = hex_value(s.ptr[3]);
    if (high < 0 || low < 0)
        return 0;
    return (char)(high << 4 | low);
}

bool spool_unescape(struct span s, char *dst, size_t cap)
{
    size_t len = 0;

    while (s.len > 0) {
        char c = s.ptr[0];
        size_t taken = 1;

        if (ascii_is_control(c) || len + 1 >= cap)
            return false;
        if (c == '\\') {
            c = escaped_byte(s);
            taken = 4;
        }
        if (c == '\0')
            return false;
        dst[len++] = c;
        s = span_from(s, taken);
    }
    dst[len] = '\0';
    return true;
}

bool spool_unescape_word(struct span word, char *dst, size_t cap)
{
    if (span_equal(word, SPAN_LIT("-")))
        word.len = 0;
    return spool_unescape(word, dst, cap);
}
