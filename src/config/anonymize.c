/* anonymize - see anonymize.h */
#include "config/anonymize.h"

#include "base/text.h"
#include "smtp/domain.h"

#include <errno.h>
#include <string.h>

#define FILTERS   "smart, paranoid, hash?salt=WORDS, or noop"
#define VALUE_CAP (ANONYMIZE_SALT_MAX + 1)

static const struct {
    const char *word;
    enum anonymize_filter filter;
} words[] = {
    {"",         ANONYMIZE_OFF     },
    {"0",        ANONYMIZE_OFF     },
    {"n",        ANONYMIZE_OFF     },
    {"no",       ANONYMIZE_OFF     },
    {"false",    ANONYMIZE_OFF     },
    {"off",      ANONYMIZE_OFF     },
    {"noop",     ANONYMIZE_OFF     },
    {"1",        ANONYMIZE_SMART   },
    {"y",        ANONYMIZE_SMART   },
    {"yes",      ANONYMIZE_SMART   },
    {"true",     ANONYMIZE_SMART   },
    {"on",       ANONYMIZE_SMART   },
    {"default",  ANONYMIZE_SMART   },
    {"smart",    ANONYMIZE_SMART   },
    {"paranoid", ANONYMIZE_PARANOID},
    {"hash",     ANONYMIZE_HASH    },
};

const char *anonymize_name(enum anonymize_filter filter)
{
    static const char *const names[] = {"", "smart", "paranoid", "hash"};

    return names[filter];
}

static bool find_filter(struct span word, enum anonymize_filter *filter_out)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (span_equal_nocase(word, span_of(words[i].word))) {
            *filter_out = words[i].filter;
            return true;
        }
    }
    return false;
}

static int hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %41 and + as in a web address; a % that no two digits follow stands for itself. */
static void url_decode(struct span s, struct text *out)
{
    for (size_t i = 0; i < s.len; i++) {
        int high = i + 2 < s.len && s.ptr[i] == '%' ? hex_digit(s.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.ptr[i + 2]) : -1;

        if (low >= 0) {
            text_char(out, (char)(high * 16 + low));
            i += 2;
        } else {
            text_char(out, s.ptr[i] == '+' ? ' ' : s.ptr[i]);
        }
    }
}

static bool parse_flag(struct span s, bool *flag_out)
{
    static const char *const yes[] = {"1", "t", "true", "y", "yes"};
    static const char *const no[] = {"0", "f", "false", "n", "no"};

    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        *flag_out = span_equal_nocase(s, span_of(yes[i]));
        if (*flag_out || span_equal_nocase(s, span_of(no[i])))
            return true;
    }
    return false;
}

/* Shown in log lines: no control characters, and UTF-8. */
static bool copy_shown(struct span value, char *dst, size_t cap)
{
    for (size_t i = 0; i < value.len; i++) {
        if (ascii_is_control(value.ptr[i]))
            return false;
    }
    return smtp_utf8_printable(value) && span_copy(value, dst, cap);
}

static bool copy_salt(struct anonymize *a, struct span value)
{
    if (value.len == 0 || value.len > sizeof a->salt)
        return false;
    memcpy(a->salt, value.ptr, value.len);
    a->salt_len = value.len;
    return true;
}

enum option {
    OPTION_SYMBOL,
    OPTION_SALT,
    OPTION_PREFIX,
    OPTION_SUFFIX,
    OPTION_SPLIT,
    OPTION_SHORT,
    OPTION_CASE,
    OPTION_COUNT
};

static const struct {
    const char *name;
    const char *allowed;
} options[OPTION_COUNT] = {
    [OPTION_SYMBOL] = {"mask_symbol",    "up to 8 bytes of printable text" },
    [OPTION_SALT] = {"salt",           "1 to 256 bytes"                  },
    [OPTION_PREFIX] = {"prefix",         "up to 64 bytes of printable text"},
    [OPTION_SUFFIX] = {"suffix",         "up to 64 bytes of printable text"},
    [OPTION_SPLIT] = {"split",          "yes or no"                       },
    [OPTION_SHORT] = {"short_sha",      "yes or no"                       },
    [OPTION_CASE] = {"case_sensitive", "yes or no"                       },
};

static bool set_option(struct anonymize *a, enum option which, struct span value)
{
    switch (which) {
    case OPTION_SYMBOL:
        return copy_shown(value, a->symbol, sizeof a->symbol);
    case OPTION_SALT:
        return copy_salt(a, value);
    case OPTION_PREFIX:
        return copy_shown(value, a->prefix, sizeof a->prefix);
    case OPTION_SUFFIX:
        return copy_shown(value, a->suffix, sizeof a->suffix);
    case OPTION_SPLIT:
        return parse_flag(value, &a->split);
    case OPTION_SHORT:
        return parse_flag(value, &a->short_sha);
    case OPTION_CASE:
        return parse_flag(value, &a->case_sensitive);
    case OPTION_COUNT:
        break;
    }
    return false;
}

static enum option find_option(struct span name)
{
    size_t i = 0;

    while (i < OPTION_COUNT && !span_equal(name, span_of(options[i].name)))
        i++;
    return (enum option)i;
}

/* One "name=value". */
static int parse_option(struct anonymize *a, struct span pair, bool seen[OPTION_COUNT],
                        struct errbuf *err)
{
    size_t equals = span_find(pair, '=');
    enum option which = find_option(span_first(pair, equals));
    char buf[VALUE_CAP];
    struct text value;

    if (which == OPTION_COUNT)
        return errbuf_set(err, -EINVAL,
                          "it has an option that does not exist; there are mask_symbol, salt, "
                          "prefix, suffix, split, short_sha and case_sensitive");
    if (seen[which])
        return 0;
    seen[which] = true;
    text_init(&value, buf, sizeof buf);
    url_decode(span_from(pair, equals + 1), &value);
    if (!value.overflow && set_option(a, which, text_as_span(&value)))
        return 0;
    return errbuf_set(err, -EINVAL, "the option %s must be %s", options[which].name,
                      options[which].allowed);
}

int anonymize_parse(struct anonymize *a, struct span text, struct errbuf *err)
{
    struct span trimmed = span_trim(text);
    size_t question = span_find(trimmed, '?');
    struct span rest = span_from(trimmed, question + 1);
    bool seen[OPTION_COUNT] = {false};
    struct span pair;

    *a = (struct anonymize){.symbol = "*", .case_sensitive = true};
    if (!find_filter(span_first(trimmed, question), &a->filter))
        return errbuf_set(err, -EINVAL, "there is no such filter; write " FILTERS);
    while (span_next_word(&rest, "&", &pair)) {
        int rc = parse_option(a, pair, seen, err);

        if (rc < 0)
            return rc;
    }
    if (a->filter == ANONYMIZE_HASH && a->salt_len == 0)
        return errbuf_set(err, -EINVAL,
                          "the filter hash needs a salt; write hash?salt=WORDS, with words of your "
                          "own that nobody guesses");
    return 0;
}
