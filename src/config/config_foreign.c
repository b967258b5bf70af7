/*
 * config_foreign - parameters of Postfix and variables of boky/postfix that are not settings here
 *
 * Each is said once: what has no meaning here, what this version does not do and what happens
 * instead, and what cannot be ignored, because mail would then come or go in a way that somebody
 * ruled out. The last stops the start.
 *
 * Values of names that sound like passwords are never shown. What depends on the transport
 * (parameters of Postfix's smtp client) waits in b->smtp_only until that is known.
 */
#include "config/config_private.h"

#include "config/postfix_names.h"

#include <string.h>

static const struct variable_words {
    const char *variable; /* "X_*": all that begin with X_ */
    bool meaningless;
    const char *why;
} variables[] = {
#define VARIABLE_MISSING(name, why)     {name, false, why},
#define VARIABLE_MEANINGLESS(name, why) {name, true, why},
#include "config/boky_names.def"
#undef VARIABLE_MISSING
#undef VARIABLE_MEANINGLESS
};

static void note_ignored(struct config_builder *b, bool meaningless, const char *label,
                         const char *why)
{
    if (meaningless)
        config_note(b, CONFIG_NOTE_INFO, "%s has no meaning here and is ignored: %s", label, why);
    else
        config_note(b, CONFIG_NOTE_WARNING,
                    "%s is not supported by this version and is ignored: %s", label, why);
}

/* ---- Postfix ---- */

static struct config_shown shown_value(struct span name, struct span value)
{
    struct config_shown shown = {""};
    struct text t;

    text_init(&t, shown.text, sizeof shown.text);
    if (config_is_secret(name))
        text_cstr(&t, "(hidden)");
    else
        config_text_flat(&t, value, CONFIG_SHOWN_MAX);
    return shown;
}

static void keep_for_later(struct config_builder *b, const char *label, const char *value,
                           const char *why)
{
    const char *parts[] = {label, " \"", value, "\"\t", why, "\n"};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        config_string_add(b, &b->smtp_only, span_of(parts[i]));
}

static void note_refused(struct config_builder *b, const struct postfix_name *n,
                         const struct config_foreign *f)
{
    struct config_shown value = shown_value(f->name, f->value);

    switch (postfix_name_harm(n, f->value)) {
    case POSTFIX_HARM_NONE:
        return;
    case POSTFIX_HARM_IGNORE:
        config_note(b, CONFIG_NOTE_WARNING, "%s \"%s\" has no effect in this version", f->label,
                    value.text);
        return;
    case POSTFIX_HARM_YES:
        break;
    }
    if (n->class == POSTFIX_REFUSED_SMTP)
        keep_for_later(b, f->label, value.text, n->why);
    else
        config_note(b, CONFIG_NOTE_ERROR, "%s \"%s\" is not supported and cannot be ignored: %s",
                    f->label, value.text, n->why);
}

bool config_note_postfix(struct config_builder *b, const struct config_foreign *f)
{
    struct postfix_name n = postfix_name_find(f->name);

    switch (n.class) {
    case POSTFIX_MEANINGLESS:
    case POSTFIX_MISSING:
        note_ignored(b, n.class == POSTFIX_MEANINGLESS, f->label, n.why);
        return true;
    case POSTFIX_REFUSED:
    case POSTFIX_REFUSED_SMTP:
        note_refused(b, &n, f);
        return true;
    case POSTFIX_UNKNOWN:
        break;
    }
    return false;
}

void config_check_smtp_only(struct config_builder *b, bool smtp_used)
{
    struct span rest = span_make(b->smtp_only.ptr, b->smtp_only.len);
    struct span line;

    while (span_next_word(&rest, "\n", &line)) {
        size_t tab = span_find(line, '\t');
        struct span why = span_from(line, tab + 1);

        if (smtp_used)
            config_note(b, CONFIG_NOTE_ERROR, "%.*s is not supported and cannot be ignored: %.*s",
                        (int)tab, line.ptr, (int)why.len, why.ptr);
        else
            config_note(b, CONFIG_NOTE_WARNING,
                        "%.*s has no effect in this version: no mail goes to an smtp: transport",
                        (int)tab, line.ptr);
    }
}

/* ---- boky/postfix ---- */

static bool is_variable(const struct variable_words *v, struct span name)
{
    size_t len = strlen(v->variable);

    if (v->variable[len - 1] != '*')
        return span_equal(name, span_of(v->variable));
    return span_equal(span_first(name, len - 1), span_first(span_of(v->variable), len - 1));
}

bool config_note_boky(struct config_builder *b, struct span name)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        struct config_shown label = {""};
        struct text t;

        if (!is_variable(&variables[i], name))
            continue;
        text_init(&t, label.text, sizeof label.text);
        config_text_flat(&t, name, CONFIG_SHOWN_MAX);
        note_ignored(b, variables[i].meaningless, label.text, variables[i].why);
        return true;
    }
    return false;
}

void config_boky_each(void (*fn)(void *ctx, struct span name), void *ctx)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        struct span name = span_of(variables[i].variable);

        if (name.ptr[name.len - 1] != '*')
            fn(ctx, name);
    }
}
