/* bounce_words - see bounce_private.h */
#include "message/bounce_private.h"

#include "smtp/domain.h"

#define LINE_WIDTH 78
#define WORD_MAX   400 /* bytes; longer words are broken: a line of mail has 998 */

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* The first `max` bytes at most; no UTF-8 sequence is cut. */
static struct span cut(struct span s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max > 0 && is_continuation(s.ptr[max]))
        max--;
    return span_first(s, max);
}

static void put_char(struct text *t, char c, bool keep_8bit)
{
    text_char(t, ascii_is_control(c) || (ascii_is_8bit(c) && !keep_8bit) ? '?' : c);
}

void bounce_put_clean(struct text *t, struct span s, size_t max, bool utf8)
{
    bool keep = utf8 && smtp_utf8_printable(s);

    s = cut(s, max);
    for (size_t i = 0; i < s.len; i++)
        put_char(t, s.ptr[i], keep);
}

void bounce_put_folded(struct text *t, size_t column, struct span s, bool utf8)
{
    bool keep = utf8 && smtp_utf8_printable(s);
    struct span rest = cut(s, BOUNCE_REASON_MAX);

    while (rest.len > 0) {
        struct span word = cut(span_first(rest, span_find(rest, ' ')), WORD_MAX);

        if (word.len == 0) { /* blanks in a row, and where a long word was broken */
            rest = span_from(rest, 1);
            continue;
        }
        if (column + 1 + word.len > LINE_WIDTH && column > 4) {
            text_cstr(t, "\r\n   ");
            column = 3;
        }
        text_char(t, ' ');
        for (size_t i = 0; i < word.len; i++)
            put_char(t, word.ptr[i], keep);
        column += 1 + word.len;
        rest = span_from(rest, word.len);
    }
}

static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void bounce_put_xtext(struct text *t, struct span s, bool utf8)
{
    char decoded[SMTP_ORCPT_CAP];
    size_t len = 0;

    for (size_t i = 0; i < s.len && len < sizeof decoded; i++) {
        int high = s.ptr[i] == '+' && i + 2 < s.len ? hex_value(s.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s.ptr[i + 2]) : -1;

        decoded[len++] = (char)(low >= 0 ? high << 4 | low : s.ptr[i]);
        if (low >= 0)
            i += 2;
    }
    bounce_put_clean(t, span_make(decoded, len), len, utf8);
}

void bounce_put_period(struct text *t, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *name;
    } units[] = {
        {86400000, "day"   },
        {3600000,  "hour"  },
        {60000,    "minute"},
        {1000,     "second"}
    };
    size_t i = 0;

    while (i < 3 && (ms < units[i].ms || ms % units[i].ms != 0))
        i++;
    text_u64(t, ms / units[i].ms);
    text_printf(t, " %s%s", units[i].name, ms / units[i].ms == 1 ? "" : "s");
}

const char *bounce_address_type(struct span address)
{
    for (size_t i = 0; i < address.len; i++) {
        if (ascii_is_8bit(address.ptr[i]))
            return "utf-8";
    }
    return "rfc822";
}
