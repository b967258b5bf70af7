/*
 * config_environment - what the environment says
 *
 * A setting x has up to three variables, strongest first: POSTFIX_x, X in capitals, and a friendly
 * one for a few (ALLOWED_DOMAINS, DOMAIN). All beat the ini file. An empty variable returns the
 * setting to its default. HOSTNAME is set by every container engine and so is only the default of
 * myhostname (config_expand), below the ini file.
 *
 * Fails:  nothing here is an error; names that look meant for us but are not known are warnings.
 * Limits: of a variable given twice the first counts, as for getenv.
 */
#include "config/config_private.h"

#include <string.h>

enum variable_rank { RANK_POSTFIX, RANK_CAPITALS, RANK_FRIENDLY, RANK_COUNT };

struct variable {
    struct span name; /* borrowed from the environment; ptr NULL: not given */
    struct span value;
};

struct environment_reading {
    struct config_builder *b;
    struct variable found[SETTING_AT_COUNT][RANK_COUNT];
};

/* Whether `name` is the setting's name in capitals. */
static bool is_capitals_of(struct span name, const char *setting)
{
    struct span lower = span_of(setting);

    if (name.len != lower.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != ascii_upper(lower.ptr[i]))
            return false;
    }
    return true;
}

/* By the name of a setting in capitals, or SETTING_AT_COUNT. */
static enum setting_index find_capitals(struct span name)
{
    size_t at = 0;

    while (at < SETTING_AT_COUNT && !is_capitals_of(name, settings[at].name))
        at++;
    return (enum setting_index)at;
}

/* INBOUND_DEBUGGING=1 means the clients in mynetworks. A person who writes 0 or no does not want
 * it.
 */
static struct span friendly_value(enum setting_index at, struct span value)
{
    bool wanted = true;

    if (at != SETTING_AT_debug_peer_list || value.len == 0)
        return value;
    if (config_parse_flag(value, &wanted) && !wanted)
        return span_first(value, 0);
    return SPAN_LIT("$mynetworks");
}

static bool starts(struct span s, const char *prefix)
{
    return span_equal(span_first(s, strlen(prefix)), span_of(prefix));
}

static bool contains(struct span s, const char *part)
{
    size_t len = strlen(part);

    for (size_t i = 0; i + len <= s.len; i++) {
        if (memcmp(s.ptr + i, part, len) == 0)
            return true;
    }
    return false;
}

/* Of a service postfix-smtp: POSTFIX_SMTP_SERVICE_HOST, POSTFIX_SMTP_PORT=tcp://10.0.0.1:25, ... No
 * setting is in capitals, so these cannot be meant for us. */
static bool is_of_a_service(struct span name, struct span value)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != ascii_upper(name.ptr[i]))
            return false;
    }
    return contains(name, "_SERVICE_HOST") || contains(name, "_SERVICE_PORT") ||
           contains(name, "_PORT_") || starts(value, "tcp://") || starts(value, "udp://");
}

/*
 * What Kubernetes sets for services, and Docker for links, named postfix or mail. MAIL_NAME is one
 * of them, so mail_name has no variable in capitals. POSTFIX_MAIL_: the image we replace passed
 * over these.
 */
static bool is_injected(struct span name, struct span value)
{
    if (starts(name, "POSTFIX_") && is_of_a_service(name, value))
        return true;
    return starts(name, "POSTFIX_MAIL_") || starts(name, "POSTFIX_PORT") ||
           starts(name, "POSTFIX_SERVICE_") || starts(name, "POSTFIX_ENV_") ||
           span_equal(name, SPAN_LIT("POSTFIX_NAME")) || starts(name, "MAIL_");
}

static void sort_variable(struct environment_reading *r, struct span name, struct span value)
{
    struct span postfix = SPAN_LIT("POSTFIX_");
    enum setting_index at[RANK_COUNT];

    if (is_injected(name, value))
        return;
    if (span_equal(name, SPAN_LIT("HOSTNAME"))) {
        if (value.len > 0 && !r->b->hostname_is_set) {
            r->b->hostname = value;
            r->b->hostname_is_set = true;
        }
        return;
    }
    at[RANK_POSTFIX] =
        starts(name, postfix.ptr) ? config_index(span_from(name, postfix.len)) : SETTING_AT_COUNT;
    at[RANK_CAPITALS] = find_capitals(name);
    at[RANK_FRIENDLY] = config_friendly(name);
    for (size_t rank = 0; rank < RANK_COUNT; rank++) {
        if (at[rank] == SETTING_AT_COUNT)
            continue;
        if (rank == RANK_FRIENDLY)
            value = friendly_value(at[rank], value);
        if (!r->found[at[rank]][rank].name.ptr)
            r->found[at[rank]][rank] = (struct variable){name, value};
        return;
    }
    if (value.len > 0) /* an empty one changes nothing */
        config_advise_environment(r->b, name, value);
}

static void sort_variables(struct environment_reading *r)
{
    for (const char *const *e = r->b->source->environment; *e; e++) {
        struct span entry = span_of(*e);
        size_t equals = span_find(entry, '=');

        if (equals > 0 && equals < entry.len)
            sort_variable(r, span_first(entry, equals), span_trim(span_from(entry, equals + 1)));
    }
}

static void note_loser(struct config_builder *b, enum setting_index at,
                       const struct variable *winner, const char *loser, int loser_len)
{
    config_note(b, CONFIG_NOTE_WARNING, "%.*s and %.*s disagree about %s; %.*s%s counts",
                (int)winner->name.len, winner->name.ptr, loser_len, loser, settings[at].name,
                (int)winner->name.len, winner->name.ptr,
                winner->value.len == 0 ? " (empty: the default)" : "");
}

/* Says which sources lost against `winner` with another value. An empty variable that lost is no
 * opinion. */
static void note_disagreement(struct environment_reading *r, enum setting_index at, size_t rank)
{
    const struct variable *winner = &r->found[at][rank];
    const struct config_value *ini = config_value(r->b, at);

    for (size_t lower = rank + 1; lower < RANK_COUNT; lower++) {
        const struct variable *loser = &r->found[at][lower];

        if (loser->value.len > 0 && !span_equal(loser->value, winner->value))
            note_loser(r->b, at, winner, loser->name.ptr, (int)loser->name.len);
    }
    if (ini->source && !span_equal(span_make(ini->raw.ptr, ini->raw.len), winner->value))
        note_loser(r->b, at, winner, ini->source, (int)strlen(ini->source));
}

static void apply_variable(struct config_builder *b, enum setting_index at,
                           const struct variable *v)
{
    char buf[CONFIG_NOTE_CAP];
    struct text source;

    if (v->value.len == 0) {
        config_value_reset(config_value(b, at));
        return;
    }
    text_init(&source, buf, sizeof buf);
    text_span(&source, v->name);
    if (config_value_set(b, at, v->value, source.ptr))
        config_note_applied(b, at);
}

void config_read_environment(struct config_builder *b)
{
    struct environment_reading r = {.b = b};

    if (!b->source->environment)
        return;
    sort_variables(&r);
    for (size_t at = 0; at < SETTING_AT_COUNT; at++) {
        size_t rank = 0;

        while (rank < RANK_COUNT && !r.found[at][rank].name.ptr)
            rank++;
        if (rank == RANK_COUNT)
            continue;
        note_disagreement(&r, (enum setting_index)at, rank);
        apply_variable(b, (enum setting_index)at, &r.found[at][rank]);
    }
}
