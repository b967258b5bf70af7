/* config_value - what was written for a setting, and how messages show it; see config_private.h */
#include "config/config_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct alias {
    const char *name; /* Postfix's */
    enum setting_index setting;
} aliases[] = {
#define ALIAS(name, setting) {#name, SETTING_AT_##setting},
#include "config/aliases.def"
#undef ALIAS
};

static enum setting_index alias_index(struct span name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (span_equal(name, span_of(aliases[i].name)))
            return aliases[i].setting;
    }
    return SETTING_AT_COUNT;
}

enum setting_index config_index(struct span name)
{
    size_t at = 0;

    while (at < SETTING_AT_COUNT && !span_equal(name, span_of(settings[at].name)))
        at++;
    return at < SETTING_AT_COUNT ? (enum setting_index)at : alias_index(name);
}

struct config_value *config_value(struct config_builder *b, enum setting_index at)
{
    return &b->config->own->values[at];
}

struct span config_default(enum setting_index at)
{
    struct span def = span_of(settings[at].def);

    if (settings[at].kind == SETTING_choice)
        return span_first(def, span_find(def, '|'));
    return def;
}

size_t config_value_max(enum setting_index at)
{
    return settings[at].kind == SETTING_words ? CONFIG_LIST_MAX : CONFIG_TEXT_MAX;
}

bool config_string_add(struct config_builder *b, struct config_string *s, struct span more)
{
    char *grown = malloc(s->len + more.len + 1); /* not realloc: it leaves secrets behind */

    if (!grown) {
        b->no_memory = true;
        return false;
    }
    if (s->len > 0)
        memcpy(grown, s->ptr, s->len);
    if (more.len > 0)
        memcpy(grown + s->len, more.ptr, more.len);
    more.len += s->len;
    config_string_clear(s);
    s->ptr = grown;
    s->len = more.len;
    s->ptr[s->len] = '\0';
    return true;
}

void config_string_clear(struct config_string *s)
{
    if (s->ptr)
        explicit_bzero(s->ptr, s->len);
    free(s->ptr);
    *s = (struct config_string){NULL, 0};
}

bool config_value_set(struct config_builder *b, enum setting_index at, struct span raw,
                      const char *source)
{
    struct config_value *v = config_value(b, at);

    config_value_reset(v);
    v->source = strdup(source);
    if (!v->source) {
        b->no_memory = true;
        return false;
    }
    return config_string_add(b, &v->raw, raw);
}

void config_value_reset(struct config_value *v)
{
    config_string_clear(&v->raw);
    free(v->source);
    v->source = NULL;
}

static bool contains_nocase(struct span s, struct span part)
{
    for (size_t i = 0; i + part.len <= s.len; i++) {
        if (span_starts_nocase(span_from(s, i), part))
            return true;
    }
    return false;
}

bool config_is_secret(struct span name)
{
    return contains_nocase(name, SPAN_LIT("password")) ||
           contains_nocase(name, SPAN_LIT("secret")) ||
           span_equal(name, SPAN_LIT("anonymize_emails")); /* may have a salt */
}

void config_text_flat(struct text *t, struct span s, size_t max)
{
    struct span shown = span_first(s, max);

    for (size_t i = 0; i < shown.len; i++) {
        bool blank = span_trim(span_make(shown.ptr + i, 1)).len == 0;

        if (blank)
            text_char(t, ' ');
        else
            text_printable(t, span_make(shown.ptr + i, 1));
    }
    if (s.len > max)
        text_cstr(t, "...");
}

struct config_shown config_shown(enum setting_index at, struct span value)
{
    struct config_shown shown = {""};
    struct text t;

    text_init(&t, shown.text, sizeof shown.text);
    if (config_is_secret(span_of(settings[at].name)))
        text_cstr(&t, "(hidden)");
    else
        config_text_flat(&t, value, CONFIG_SHOWN_MAX);
    return shown;
}

static void note_text(struct config_builder *b, enum config_note_kind kind, struct text *t)
{
    static const char cut[] = "...";

    if (t->overflow)
        memcpy(t->ptr + t->cap - sizeof cut, cut, sizeof cut);
    if (kind == CONFIG_NOTE_ERROR && b->lenient)
        kind = CONFIG_NOTE_WARNING;
    else if (kind == CONFIG_NOTE_ERROR)
        b->faults++;
    if (b->note)
        b->note(b->note_ctx, kind, t->ptr);
}

void config_note(struct config_builder *b, enum config_note_kind kind, const char *format, ...)
{
    char buf[CONFIG_NOTE_CAP];
    struct text t;
    va_list args;

    text_init(&t, buf, sizeof buf);
    va_start(args, format);
    text_vprintf(&t, format, args);
    va_end(args);
    note_text(b, kind, &t);
}

void config_fault(struct config_builder *b, enum setting_index at, const char *format, ...)
{
    char buf[CONFIG_NOTE_CAP];
    struct config_value *v = config_value(b, at);
    struct span raw = v->raw.ptr ? span_make(v->raw.ptr, v->raw.len) : config_default(at);
    struct config_shown shown = config_shown(at, raw);
    struct text t;
    va_list args;

    text_init(&t, buf, sizeof buf);
    text_printf(&t, "%s: %s \"%s\" ", v->source ? v->source : "default", settings[at].name,
                shown.text);
    va_start(args, format);
    text_vprintf(&t, format, args);
    va_end(args);
    v->bad = true;
    note_text(b, CONFIG_NOTE_ERROR, &t);
}

void config_fault_from(struct config_builder *b, enum setting_index at, int rc,
                       const struct errbuf *err)
{
    if (rc == -ENOMEM)
        b->no_memory = true;
    else if (rc < 0)
        config_fault(b, at, "cannot be used: %s", err->text);
}

void config_note_applied(struct config_builder *b, enum setting_index at)
{
    const struct config_value *v = config_value(b, at);
    char buf[CONFIG_NOTE_CAP / 2];
    struct text shown;

    text_init(&shown, buf, sizeof buf);
    if (config_is_secret(span_of(settings[at].name)))
        text_cstr(&shown, "(hidden)");
    else
        config_text_flat(&shown, span_make(v->raw.ptr, v->raw.len), sizeof buf - sizeof "...");
    config_note(b, CONFIG_NOTE_APPLIED, "Applying custom postfix setting: %s=%s", settings[at].name,
                shown.ptr);
}
