/* postfix_names - see postfix_names.h */
#include "config/postfix_names.h"

static const struct group {
    enum postfix_class class;
    const char *harmless;
    const char *why;
    const char *names;
} groups[] = {
#define MEANINGLESS(why, list)            {POSTFIX_MEANINGLESS, "", why, list},
#define MISSING(why, list)                {POSTFIX_MISSING, "", why, list},
#define REFUSED(harmless, why, list)      {POSTFIX_REFUSED, harmless, why, list},
#define REFUSED_SMTP(harmless, why, list) {POSTFIX_REFUSED_SMTP, harmless, why, list},
#include "config/postfix_names.def"
#undef MEANINGLESS
#undef MISSING
#undef REFUSED
#undef REFUSED_SMTP
};
#define GROUP_COUNT (sizeof groups / sizeof groups[0])

/* `word` is a name, or "*_x". */
static bool names(struct span word, struct span name)
{
    struct span end = span_from(word, 1);

    if (word.ptr[0] != '*')
        return span_equal(word, name);
    return name.len > end.len && span_equal(span_from(name, name.len - end.len), end);
}

struct postfix_name postfix_name_find(struct span name)
{
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        struct span rest = span_of(groups[i].names);
        struct span word;

        while (span_next_word(&rest, " ", &word)) {
            if (names(word, name))
                return (struct postfix_name){groups[i].class, groups[i].harmless, groups[i].why};
        }
    }
    return (struct postfix_name){POSTFIX_UNKNOWN, "", ""};
}

static bool same_words(struct span a, struct span b)
{
    struct span in_a, in_b;

    for (;;) {
        bool more_a = span_next_word(&a, ", \t\r\n", &in_a);
        bool more_b = span_next_word(&b, ", \t\r\n", &in_b);

        if (!more_a || !more_b)
            return more_a == more_b;
        if (!span_equal_nocase(in_a, in_b))
            return false;
    }
}

enum postfix_harm postfix_name_harm(const struct postfix_name *n, struct span value)
{
    struct span rest = span_of(n->harmless);
    size_t end = span_find(rest, '|');

    if (same_words(value, SPAN_LIT("")) || same_words(value, span_first(rest, end)))
        return POSTFIX_HARM_NONE;
    for (rest = span_from(rest, end + 1); rest.len > 0; rest = span_from(rest, end + 1)) {
        end = span_find(rest, '|');
        if (same_words(value, span_first(rest, end)))
            return POSTFIX_HARM_IGNORE;
    }
    return POSTFIX_HARM_YES;
}

void postfix_names_each(void (*fn)(void *ctx, struct span name), void *ctx)
{
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        struct span rest = span_of(groups[i].names);
        struct span word;

        while (span_next_word(&rest, " ", &word)) {
            if (word.ptr[0] != '*')
                fn(ctx, word);
        }
    }
}
