/*
 * config_overrides - what `postconf -e` was told; the strongest source
 *
 * Each override that counts is announced at every start, with how to be rid of it: it is kept on
 * disk, where nobody looks who reads the compose file.
 *
 * Fails:  a line that cannot be used is one CONFIG_NOTE_ERROR, as in the ini file: that settings
 * which somebody made are left out must not go unseen. No note tells a line's number, since
 * postconf compares what is said before and after an edit.
 */
#include "config/config_private.h"

#include "config/overrides.h"

#include <string.h>

#define SET_BY   "postconf -e"
#define RESET_BY "postconf -#"

bool config_can_override(const struct setting *s)
{
    return s != &settings[SETTING_AT_queue_directory] && s != &settings[SETTING_AT_control_socket];
}

static void note_override(struct config_builder *b, enum setting_index at)
{
    const struct config_value *v = config_value(b, at);
    const char *name = settings[at].name;
    char buf[CONFIG_NOTE_CAP / 2];
    struct text shown;

    if (!v->source) {
        config_note(b, CONFIG_NOTE_APPLIED,
                    "Override made by " RESET_BY ": %s has its default, whatever else is set "
                    "(postconf -X %s removes this)",
                    name, name);
        return;
    }
    text_init(&shown, buf, sizeof buf);
    if (config_is_secret(span_of(name)))
        text_cstr(&shown, "(hidden)");
    else
        config_text_flat(&shown, span_make(v->raw.ptr, v->raw.len),
                         sizeof buf - sizeof "..." - 2 * strlen(name));
    config_note(b, CONFIG_NOTE_APPLIED,
                "Override made by " SET_BY ": %s=%s (postconf -X %s removes it)", name, shown.ptr,
                name);
}

static void note_disagreement(struct config_builder *b, enum setting_index at,
                              const struct override *o)
{
    const struct config_value *below = config_value(b, at);
    const char *by = o->kind == OVERRIDE_DEFAULT ? RESET_BY : SET_BY;

    if (!below->source || strcmp(below->source, SET_BY) == 0)
        return;
    if (o->kind == OVERRIDE_VALUE &&
        span_equal(span_make(below->raw.ptr, below->raw.len), o->value))
        return;
    config_note(b, CONFIG_NOTE_WARNING, "%s and %s disagree about %s; %s counts", by, below->source,
                settings[at].name, by);
}

static void apply_override(struct config_builder *b, enum setting_index at,
                           const struct override *o)
{
    note_disagreement(b, at, o);
    if (o->kind == OVERRIDE_DEFAULT)
        config_value_reset(config_value(b, at));
    else if (!config_value_set(b, at, o->value, SET_BY))
        return;
    note_override(b, at);
}

static void read_override(struct config_builder *b, const struct override *o)
{
    struct config_shown shown = config_shown(SETTING_AT_myhostname, o->name);
    enum setting_index at = config_index(o->name);

    if (o->kind == OVERRIDE_BAD)
        config_note(b, CONFIG_NOTE_ERROR,
                    "%s: \"%s\" is not the name of a setting; remove the line",
                    b->source->overrides_name, shown.text);
    else if (at == SETTING_AT_COUNT)
        config_advise_override(b, o->name, o->value);
    else if (!config_can_override(&settings[at]))
        config_note(b, CONFIG_NOTE_ERROR,
                    SET_BY ": %s cannot be overridden, since the overrides are only found with its "
                           "help; set it in the environment or in the ini file",
                    settings[at].name);
    else
        apply_override(b, at, o);
}

void config_read_overrides(struct config_builder *b)
{
    struct span rest = span_of(b->source->overrides_text);
    struct override o;

    while (!b->no_memory && overrides_next(&rest, &o))
        read_override(b, &o);
}
