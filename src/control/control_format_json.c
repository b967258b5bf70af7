/* control_format_json - see control_format_json.h */
#include "control/control_format_json.h"

#include "smtp/domain.h"

/* Length of the well-formed UTF-8 character at the start of s, or 0. */
static size_t character_len(struct span s)
{
    for (size_t len = 1; len <= 4 && len <= s.len; len++) {
        if (smtp_utf8_valid(span_first(s, len)))
            return len;
    }
    return 0;
}

static void put_control(struct text *t, char c)
{
    switch (c) {
    case '\n':
        text_cstr(t, "\\n");
        break;
    case '\r':
        text_cstr(t, "\\r");
        break;
    case '\t':
        text_cstr(t, "\\t");
        break;
    default:
        text_printf(t, "\\u%04X", (unsigned)(unsigned char)c);
        break;
    }
}

void json_put_string(struct text *t, struct span s)
{
    text_char(t, '"');
    while (s.len > 0) {
        size_t len = character_len(s);

        if (len == 0)
            text_cstr(t, "\xEF\xBF\xBD");
        else if (ascii_is_control(s.ptr[0]))
            put_control(t, s.ptr[0]);
        else if (s.ptr[0] == '"' || s.ptr[0] == '\\')
            text_printf(t, "\\%c", s.ptr[0]);
        else
            text_span(t, span_first(s, len));
        s = span_from(s, len > 0 ? len : 1);
    }
    text_char(t, '"');
}

void json_put_name(struct text *t, const char *name)
{
    json_put_string(t, span_of(name));
    text_cstr(t, ": ");
}
