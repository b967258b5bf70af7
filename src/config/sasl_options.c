/* sasl_options - see sasl_options.h */
#include "config/sasl_options.h"

#include <errno.h>

#define SEPARATORS ", \t\r\n"
#define SHOWN_MAX  100

static int shown_len(struct span word)
{
    return (int)span_first(word, SHOWN_MAX).len;
}

int sasl_options_parse(struct sasl_options *options, struct span text, struct errbuf *err)
{
    static const struct {
        const char *word;
        unsigned forbidden;
        unsigned needed;
    } words[] = {
        {"noplaintext",     SASL_PLAINTEXT,  0                   },
        {"noactive",        SASL_ACTIVE,     0                   },
        {"nodictionary",    SASL_DICTIONARY, 0                   },
        {"noanonymous",     SASL_ANONYMOUS,  0                   },
        {"forward_secrecy", 0,               SASL_FORWARD_SECRECY},
        {"mutual_auth",     0,               SASL_MUTUAL_AUTH    },
    };
    struct span word;

    *options = (struct sasl_options){0, 0};
    while (span_next_word(&text, SEPARATORS, &word)) {
        size_t i = 0;

        while (i < sizeof words / sizeof words[0] &&
               !span_equal_nocase(word, span_of(words[i].word)))
            i++;
        if (i == sizeof words / sizeof words[0])
            return errbuf_set(err, -EINVAL,
                              "\"%.*s\" is no option; write noanonymous, or noanonymous, "
                              "noplaintext",
                              shown_len(word), word.ptr);
        options->forbidden |= words[i].forbidden;
        options->needed |= words[i].needed;
    }
    return 0;
}

static bool is_static(struct span pattern)
{
    return span_starts_nocase(pattern, SPAN_LIT("static:"));
}

static struct span without_not(struct span word, bool *negated_out)
{
    *negated_out = word.len > 0 && word.ptr[0] == '!';
    return *negated_out ? span_from(word, 1) : word;
}

int sasl_filter_check(struct span filter, struct errbuf *err)
{
    struct span word;
    bool negated;

    while (span_next_word(&filter, SEPARATORS, &word)) {
        struct span pattern = without_not(word, &negated);

        if (!is_static(pattern) &&
            (span_find(pattern, ':') < pattern.len || span_find(pattern, '/') < pattern.len))
            return errbuf_set(err, -EINVAL,
                              "\"%.*s\" is a table, and there are none here; write names: plain, "
                              "login",
                              shown_len(word), word.ptr);
    }
    return 0;
}

static bool filter_admits(struct span filter, struct span name)
{
    struct span word;
    bool negated;

    while (span_next_word(&filter, SEPARATORS, &word)) {
        struct span pattern = without_not(word, &negated);

        if (is_static(pattern) || span_equal_nocase(pattern, name))
            return !negated;
    }
    return false;
}

bool sasl_may_offer(const struct sasl_mechanism *m, const struct sasl_options *options,
                    struct span filter)
{
    return (m->properties & (options->forbidden | SASL_PRIVATE)) == 0 &&
           (m->properties & options->needed) == options->needed &&
           filter_admits(filter, span_of(m->name));
}
