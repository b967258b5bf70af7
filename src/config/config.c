/* config - see config.h */
#include "config/config.h"

#include "config/config_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIVE  true
#define FIXED false

const struct setting settings[] = {
#define SETTING(kind, name, def, min, max, live, help)                                             \
    {SETTING_##kind, #name, def, min, max, live, help, offsetof(struct config, name)},
#include "config/settings.def"
#undef SETTING
};
const size_t settings_count = sizeof settings / sizeof settings[0];

static struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->own = calloc(1, sizeof *c->own);
    if (!c->own) {
        free(c);
        return NULL;
    }
    c->references = 1;
    return c;
}

int config_build(const struct config_source *source, config_note_fn note, void *note_ctx,
                 struct config **config_out)
{
    struct config_builder b = {.source = source, .note = note, .note_ctx = note_ctx};
    void (*const steps[])(struct config_builder *) = {
        config_read_ini, config_read_environment, config_expand, config_apply, config_check,
    };

    *config_out = NULL;
    b.config = config_new();
    if (!b.config)
        return -ENOMEM;
    b.hostname = span_trim(span_of(source->system_hostname));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !b.no_memory; i++)
        steps[i](&b);
    if (b.no_memory || b.faults > 0) {
        config_unref(&b.config);
        return b.no_memory ? -ENOMEM : -EINVAL;
    }
    *config_out = b.config;
    return 0;
}

struct config *config_ref(struct config *c)
{
    c->references++;
    return c;
}

void config_unref(struct config **c)
{
    struct config *old = *c;

    *c = NULL;
    if (!old || --old->references > 0)
        return;
    for (size_t i = 0; i < SETTING_AT_COUNT; i++) {
        config_value_reset(&old->own->values[i]);
        config_string_clear(&old->own->values[i].text);
    }
    domain_list_free(&old->domains);
    cidr_list_free(&old->networks);
    free(old->own);
    free(old);
}

const struct setting *setting_find(struct span name)
{
    enum setting_index at = config_index(name);

    return at == SETTING_AT_COUNT ? NULL : &settings[at];
}

void config_value_text(const struct config *c, const struct setting *s, struct text *t)
{
    const struct config_value *v = &c->own->values[s - settings];
    struct span raw = v->raw.ptr ? span_make(v->raw.ptr, v->raw.len)
                                 : config_default((enum setting_index)(s - settings));

    if (raw.len == 0) /* a computed default */
        raw = span_make(v->text.ptr, v->text.len);
    config_text_flat(t, raw, CONFIG_LIST_MAX);
}

bool config_is_set(const struct config *c, const struct setting *s)
{
    return c->own->values[s - settings].source != NULL;
}
