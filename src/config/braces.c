/* braces - see braces.h */
#include "config/braces.h"

#include <string.h>

static bool is_separator(char c)
{
    return c != '\0' && strchr(", \t\r\n", c);
}

bool braces_next_word(struct span *rest, struct span *word_out)
{
    size_t depth = 0;
    size_t end = 0;

    while (rest->len > 0 && is_separator(rest->ptr[0]))
        *rest = span_from(*rest, 1);
    for (; end < rest->len && (depth > 0 || !is_separator(rest->ptr[end])); end++) {
        if (rest->ptr[end] == '{')
            depth++;
        else if (rest->ptr[end] == '}' && depth > 0)
            depth--;
    }
    *word_out = span_first(*rest, end);
    *rest = span_from(*rest, end);
    return word_out->len > 0;
}

bool braces_strip(struct span s, struct span *inside_out)
{
    size_t depth = 0;

    if (s.len < 2 || s.ptr[0] != '{')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        depth += s.ptr[i] == '{';
        depth -= s.ptr[i] == '}';
        if (depth == 0 && i + 1 < s.len)
            return false;
    }
    *inside_out = span_trim(span_make(s.ptr + 1, s.len - 2));
    return depth == 0;
}

bool braces_split_pair(struct span word, struct span *name_out, struct span *value_out)
{
    struct span pair = word;
    size_t equals;

    if (word.len > 0 && word.ptr[0] == '{' && !braces_strip(word, &pair))
        return false;
    equals = span_find(pair, '=');
    if (equals == 0 || equals == pair.len)
        return false;
    *name_out = span_trim(span_first(pair, equals));
    *value_out = span_trim(span_from(pair, equals + 1));
    return true;
}
