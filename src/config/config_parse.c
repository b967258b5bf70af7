/* config_parse - single values: times, sizes, flags, choices (pure functions of their bytes) */
#include "config/config_private.h"

static const struct time_unit {
    const char *name;
    uint64_t ms;
} time_units[] = {
    {"ms", 1        },
    {"s",  1000     },
    {"m",  60000    },
    {"h",  3600000  },
    {"d",  86400000 },
    {"w",  604800000},
};

static uint64_t unit_ms(struct span unit)
{
    for (size_t i = 0; i < sizeof time_units / sizeof time_units[0]; i++) {
        if (span_equal_nocase(unit, span_of(time_units[i].name)))
            return time_units[i].ms;
    }
    return 0;
}

/* Splits "300s" into 300 and "s". */
static bool split_number(struct span s, uint64_t *value_out, struct span *suffix_out)
{
    size_t digits = 0;

    while (digits < s.len && ascii_is_digit(s.ptr[digits]))
        digits++;
    *suffix_out = span_trim(span_from(s, digits));
    return span_to_u64(span_first(s, digits), UINT64_MAX, value_out);
}

static bool scale(uint64_t value, uint64_t factor, uint64_t *out)
{
    if (factor == 0 || value > UINT64_MAX / factor)
        return false;
    *out = value * factor;
    return true;
}

bool config_parse_time_unit(struct span s, struct span unit, uint64_t *ms_out)
{
    uint64_t value;
    struct span suffix;

    if (!split_number(span_trim(s), &value, &suffix))
        return false;
    return scale(value, unit_ms(suffix.len > 0 ? suffix : unit), ms_out);
}

bool config_parse_time(struct span s, uint64_t *ms_out)
{
    return config_parse_time_unit(s, SPAN_LIT("s"), ms_out);
}

bool config_parse_bytes(struct span s, uint64_t *bytes_out)
{
    uint64_t value;
    struct span suffix;

    if (!split_number(span_trim(s), &value, &suffix))
        return false;
    if (suffix.len == 0)
        return scale(value, 1, bytes_out);
    if (suffix.len != 1)
        return false;
    switch (ascii_lower(suffix.ptr[0])) {
    case 'k':
        return scale(value, UINT64_C(1) << 10, bytes_out);
    case 'm':
        return scale(value, UINT64_C(1) << 20, bytes_out);
    case 'g':
        return scale(value, UINT64_C(1) << 30, bytes_out);
    default:
        return false;
    }
}

bool config_parse_flag(struct span s, bool *flag_out)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (span_equal_nocase(s, span_of(words[i]))) {
            *flag_out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

/* "ipv4, ipv6" and "IPv4 ipv6" are the choice "ipv4,ipv6". */
static bool choice_equal(struct span written, struct span choice)
{
    struct span a, b;

    for (;;) {
        bool more_a = span_next_word(&written, ", \t\r\n", &a);
        bool more_b = span_next_word(&choice, ",", &b);

        if (more_a != more_b)
            return false;
        if (!more_a)
            return true;
        if (!span_equal_nocase(a, b))
            return false;
    }
}

bool config_parse_choice(struct span s, struct span words, int *choice_out)
{
    struct span word;

    for (int i = 0; span_next_word(&words, "|", &word); i++) {
        if (choice_equal(s, word)) {
            *choice_out = i;
            return true;
        }
    }
    return false;
}
