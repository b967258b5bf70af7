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

/* Settings whose value was found bad by an earlier try keep their default. */
static void drop_refused(struct config_builder *b)
{
    for (size_t at = 0; at < SETTING_AT_COUNT; at++) {
        struct config_value *v = config_value(b, (enum setting_index)at);

        if (!b->refused[at])
            continue;
        config_value_reset(v);
        v->bad = false;
    }
}

/* 0 (faults are counted in b), or -ENOMEM. */
static int build(struct config_builder *b)
{
    void (*const steps[])(struct config_builder *) = {
        config_read_ini, config_read_environment, config_read_overrides,
        drop_refused,    config_expand,           config_apply,
        config_check,
    };

    b->config = config_new();
    if (!b->config)
        return -ENOMEM;
    b->hostname = span_trim(span_of(b->source->system_hostname));
    b->hostname_is_set = false;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !b->no_memory; i++)
        steps[i](b);
    config_string_clear(&b->smtp_only);
    if (b->no_memory)
        config_unref(&b->config);
    return b->no_memory ? -ENOMEM : 0;
}

int config_build(const struct config_source *source, config_note_fn note, void *note_ctx,
                 struct config **config_out)
{
    struct config_builder b = {.source = source, .note = note, .note_ctx = note_ctx};
    int rc = build(&b);

    *config_out = NULL;
    if (rc < 0)
        return rc;
    if (b.faults > 0) {
        config_unref(&b.config);
        return -EINVAL;
    }
    *config_out = b.config;
    return 0;
}

/* Whether a value was set and is bad that was not refused before. */
static bool refuse_bad(struct config_builder *b)
{
    bool any = false;

    for (size_t at = 0; at < SETTING_AT_COUNT; at++) {
        const struct config_value *v = config_value(b, (enum setting_index)at);

        if (v->bad && v->source && !b->refused[at])
            any = b->refused[at] = true;
    }
    return any;
}

int config_build_lenient(const struct config_source *source, config_note_fn note, void *note_ctx,
                         struct config **config_out)
{
    struct config_builder b = {
        .source = source, .note = note, .note_ctx = note_ctx, .lenient = true};
    int rc = build(&b);

    *config_out = NULL;
    while (rc == 0 && refuse_bad(&b)) {
        config_unref(&b.config);
        b.note = NULL; /* everything was said the first time */
        rc = build(&b);
    }
    if (rc < 0)
        return rc;
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
    transport_map_free(&old->transports);
    inline_table_free(&old->sender_relayhosts);
    relay_logins_free(&old->logins);
    relay_tls_free(&old->relay_tls[ROUTE_LMTP]);
    relay_tls_free(&old->relay_tls[ROUTE_SMTP]);
    domain_list_free(&old->senders);
    cidr_list_free(&old->unlimited);
    cidr_list_free(&old->proxies);
    for (size_t i = 0; i < RESTRICT_STAGE_COUNT; i++)
        restriction_list_free(&old->restrictions[i]);
    peer_list_free(&old->debugged);
    sni_map_free(&old->sni);
    ehlo_map_free(&old->ehlo_maps);
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

void config_value_expanded(const struct config *c, const struct setting *s, struct text *t)
{
    const struct config_string *text = &c->own->values[s - settings].text;

    config_text_flat(t, span_make(text->ptr, text->len), CONFIG_LIST_MAX);
}

bool config_is_set(const struct config *c, const struct setting *s)
{
    return config_set_by(c, s) != NULL;
}

const char *config_set_by(const struct config *c, const struct setting *s)
{
    return c->own->values[s - settings].source;
}

bool config_holds_secret(const struct config *c)
{
    for (size_t i = 0; i < settings_count; i++) {
        if (c->own->values[i].raw.len > 0 && config_is_secret(span_of(settings[i].name)))
            return true;
    }
    return c->relayhost_token_file[0] != '\0';
}
