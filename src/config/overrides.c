/* overrides - see overrides.h */
#include "config/overrides.h"

#include "base/text.h"

#include <stdlib.h>

#define ROOM_PER_LINE 8 /* " = ", LF and to spare */

static const char first_words[] =
    "# Kept by `postconf -e`, which beats the environment and the ini file. `postconf -X NAME` "
    "removes a line.\n";

static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_alnum(s.ptr[i]) && s.ptr[i] != '_')
            return false;
    }
    return s.len > 0;
}

static struct span take_line(struct span *rest)
{
    size_t end = span_find(*rest, '\n');
    struct span line = span_first(*rest, end);

    *rest = span_from(*rest, end + 1);
    return line;
}

/* False for a comment. */
static bool parse_line(struct span line, struct override *out)
{
    size_t equals;

    line = span_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return false;
    equals = span_find(line, '=');
    out->name = span_trim(span_first(line, equals));
    out->value = span_trim(span_from(line, equals + 1));
    out->kind = equals < line.len ? OVERRIDE_VALUE : OVERRIDE_DEFAULT;
    if (!is_name(out->name))
        out->kind = OVERRIDE_BAD;
    return true;
}

bool overrides_next(struct span *rest, struct override *out)
{
    while (rest->len > 0) {
        if (parse_line(take_line(rest), out))
            return true;
    }
    return false;
}

bool overrides_have(struct span text, struct span name)
{
    struct override o;

    while (overrides_next(&text, &o)) {
        if (o.kind != OVERRIDE_BAD && span_equal(o.name, name))
            return true;
    }
    return false;
}

static bool is_edited(struct span name, const struct override_edit *edits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (span_equal(name, edits[i].name))
            return true;
    }
    return false;
}

static void keep_the_rest(struct text *t, struct span text, const struct override_edit *edits,
                          size_t count)
{
    while (text.len > 0) {
        struct span line = take_line(&text);
        struct override o;

        if (parse_line(line, &o) && o.kind != OVERRIDE_BAD && is_edited(o.name, edits, count))
            continue;
        text_span(t, line);
        text_char(t, '\n');
    }
}

static void add_edit(struct text *t, const struct override_edit *e)
{
    switch (e->deed) {
    case OVERRIDE_SET:
        text_span(t, e->name);
        text_cstr(t, " = ");
        text_span(t, e->value);
        text_char(t, '\n');
        return;
    case OVERRIDE_RESET:
        text_span(t, e->name);
        text_char(t, '\n');
        return;
    case OVERRIDE_REMOVE:
        return;
    }
}

char *overrides_edit(struct span text, const struct override_edit *edits, size_t count)
{
    size_t cap = sizeof first_words + text.len + ROOM_PER_LINE;
    struct text t;
    char *buf;

    for (size_t i = 0; i < count; i++)
        cap += edits[i].name.len + edits[i].value.len + ROOM_PER_LINE;
    buf = malloc(cap);
    if (!buf)
        return NULL;
    text_init(&t, buf, cap);
    if (text.len == 0)
        text_cstr(&t, first_words);
    keep_the_rest(&t, text, edits, count);
    for (size_t i = 0; i < count; i++) {
        if (!is_edited(edits[i].name, edits + i + 1, count - i - 1)) /* the last one counts */
            add_edit(&t, &edits[i]);
    }
    return buf;
}
