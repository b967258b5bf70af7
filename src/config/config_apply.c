/* config_apply - expanded text into the fields of struct config, with ranges; see config_private.h
 */
#include "config/config_private.h"

/* 300000 as "5m". */
static void text_duration(struct text *t, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = {
        {86400000, "d" },
        {3600000,  "h" },
        {60000,    "m" },
        {1000,     "s" },
        {1,        "ms"}
    };
    size_t i = 0;

    while (ms % units[i].ms != 0)
        i++;
    text_u64(t, ms / units[i].ms);
    text_cstr(t, ms == 0 ? "s" : units[i].unit);
}

/* What the value may be, in words. */
static void text_allowed(struct text *t, const struct setting *s)
{
    switch (s->kind) {
    case SETTING_flag:
        text_cstr(t, "yes or no");
        return;
    case SETTING_number:
        text_printf(t, "a whole number from %ju to %ju", (uintmax_t)s->min, (uintmax_t)s->max);
        return;
    case SETTING_bytes:
        text_printf(t, "a size from %ju to %ju bytes (K, M or G may follow)", (uintmax_t)s->min,
                    (uintmax_t)s->max);
        return;
    case SETTING_time:
        text_cstr(t, "a time from ");
        text_duration(t, s->min);
        text_cstr(t, " to ");
        text_duration(t, s->max);
        text_cstr(t, " (such as 500ms, 300s, 5m, 1h, 5d)");
        return;
    case SETTING_choice:
        text_printf(t, "one of %s", s->def);
        return;
    case SETTING_text:
    case SETTING_words:
        text_cstr(t, "text without control characters");
        return;
    }
}

static void fault_not_allowed(struct config_builder *b, enum setting_index at)
{
    char buf[CONFIG_SHOWN_MAX];
    struct text allowed;
    struct span def = config_default(at);

    text_init(&allowed, buf, sizeof buf);
    text_allowed(&allowed, &settings[at]);
    config_fault(b, at, "is not %s; correct it or remove it (default: %.*s)", allowed.ptr,
                 (int)def.len, def.ptr);
}

static bool has_control(struct span s, bool list)
{
    for (size_t i = 0; i < s.len; i++) {
        bool blank = list && span_trim(span_make(s.ptr + i, 1)).len == 0;

        if (ascii_is_control(s.ptr[i]) && !blank)
            return true;
    }
    return false;
}

/* The unit in which a bare number counts is that of the default, as in Postfix:
 * maximal_queue_lifetime=5 is 5 d. */
/* The default may be another setting's: "$name". */
static struct span default_unit(enum setting_index at)
{
    struct span def = config_default(at);
    size_t digits = 0;

    if (def.len > 0 && def.ptr[0] == '$') {
        enum setting_index other = config_index(span_from(def, 1));

        def = other < SETTING_AT_COUNT ? config_default(other) : SPAN_LIT("s");
    }
    while (digits < def.len && ascii_is_digit(def.ptr[digits]))
        digits++;
    return span_from(def, digits);
}

static bool in_range(const struct setting *s, uint64_t value)
{
    return value >= s->min && value <= s->max;
}

/* Sets the field; false when the value is not allowed. */
static bool apply(struct config_builder *b, enum setting_index at)
{
    const struct setting *s = &settings[at];
    const struct config_string *string = &config_value(b, at)->text;
    struct span text = span_make(string->ptr, string->len);
    struct span word = span_trim(text);
    void *field = (char *)b->config + s->offset;
    uint64_t *number = field;

    switch (s->kind) {
    case SETTING_text:
    case SETTING_words:
        *(const char **)field = string->ptr;
        return !has_control(text, s->kind == SETTING_words);
    case SETTING_flag:
        return config_parse_flag(word, field);
    case SETTING_number:
        return span_to_u64(word, UINT64_MAX, number) && in_range(s, *number);
    case SETTING_bytes:
        if (!config_parse_bytes(word, number))
            return false;
        if (at == SETTING_AT_message_size_limit && *number == 0) /* Postfix: no limit */
            *number = CONFIG_SIZE_UNLIMITED;
        return in_range(s, *number);
    case SETTING_time:
        return config_parse_time_unit(word, default_unit(at), number) && in_range(s, *number);
    case SETTING_choice:
        return config_parse_choice(word, span_of(s->def), field);
    }
    return false;
}

/* The fields of texts that are bad: a lenient configuration may be used with them, so never NULL.
 */
static void apply_bad(struct config_builder *b, enum setting_index at)
{
    const struct setting *s = &settings[at];
    const struct config_string *text = &config_value(b, at)->text;

    if (s->kind == SETTING_text || s->kind == SETTING_words)
        *(const char **)(void *)((char *)b->config + s->offset) = text->ptr ? text->ptr : "";
}

/* A default that is another setting's value: what is wrong with it was said there. */
static bool is_anothers(struct config_builder *b, enum setting_index at)
{
    return !config_value(b, at)->source && settings[at].def[0] == '$';
}

void config_apply(struct config_builder *b)
{
    for (size_t i = 0; i < SETTING_AT_COUNT; i++) {
        enum setting_index at = (enum setting_index)i;

        if (config_value(b, at)->bad)
            apply_bad(b, at);
        else if (apply(b, at))
            continue;
        else if (is_anothers(b, at))
            config_value(b, at)->bad = true;
        else
            fault_not_allowed(b, at);
    }
}
