/*
 * config_advice - names that are not settings: what was probably meant
 *
 * A name is compared without regard to case with all settings, friendly variables and variables
 * that the image we replace knew. In the ini file, and behind POSTFIX_, any name is meant for us.
 * Elsewhere in the environment only a slip of a long name is: TZ, HOME or TERM must never be
 * commented on.
 *
 * Limits: names longer than NAME_MAX_LEN are not compared; at most SLIP_MAX edits make a slip.
 */
#include "config/config_private.h"

#include "config/postfix_names.h"

#include <string.h>

#define NAME_MAX_LEN  64
#define SLIP_MAX      2
#define LONG_NAME_LEN 9

static const struct friendly {
    const char *variable;
    enum setting_index setting;
} friendly_names[] = {
    {"ALLOWED_DOMAINS",     SETTING_AT_relay_domains          },
    {"DOMAIN",              SETTING_AT_mydomain               },
    {"INBOUND_DEBUGGING",   SETTING_AT_debug_peer_list        },
    {"RELAYHOST_TLS_LEVEL", SETTING_AT_smtp_tls_security_level},
};

enum setting_index config_friendly(struct span name)
{
    for (size_t i = 0; i < sizeof friendly_names / sizeof friendly_names[0]; i++) {
        if (span_equal(name, span_of(friendly_names[i].variable)))
            return friendly_names[i].setting;
    }
    return SETTING_AT_COUNT;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned smaller = a < b ? a : b;

    return smaller < c ? smaller : c;
}

/* Levenshtein's distance without regard to case, exact up to SLIP_MAX. */
static unsigned distance(struct span a, struct span b)
{
    unsigned row[NAME_MAX_LEN + SLIP_MAX + 1];

    if (a.len > NAME_MAX_LEN || a.len > b.len + SLIP_MAX || b.len > a.len + SLIP_MAX)
        return SLIP_MAX + 1;
    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned differs = ascii_lower(a.ptr[i - 1]) != ascii_lower(b.ptr[j - 1]);
            unsigned best = least(row[j] + 1, row[j - 1] + 1, diagonal + differs);

            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.len];
}

static enum setting_index nearest_setting(struct span name, unsigned *distance_out)
{
    size_t best = SETTING_AT_COUNT;

    *distance_out = SLIP_MAX + 1;
    for (size_t at = 0; at < SETTING_AT_COUNT; at++) {
        unsigned d = distance(name, span_of(settings[at].name));

        if (d < *distance_out) {
            *distance_out = d;
            best = at;
        }
    }
    return (enum setting_index)best;
}

static struct span without_postfix(struct span name)
{
    struct span prefix = SPAN_LIT("POSTFIX_");

    return span_starts_nocase(name, prefix) ? span_from(name, prefix.len) : name;
}

/* A parameter of Postfix that `name` is a slip of. */
struct near {
    struct span name;
    struct span meant;
    unsigned distance; /* of meant; SLIP_MAX + 1: none */
};

static void consider(void *ctx, struct span candidate)
{
    struct near *n = ctx;
    unsigned d = distance(n->name, candidate);

    if (d < n->distance) {
        n->distance = d;
        n->meant = candidate;
    }
}

/* Nobody else can be meant by it: an error, unless it is a parameter of Postfix. label: where it
 * stands, and the name; otherwise: what to do where nothing near is known. */
static void advise_ours(struct config_builder *b, const char *label, struct span name,
                        struct span value, const char *otherwise)
{
    struct config_foreign foreign = {.label = label, .name = name, .value = value};
    enum setting_index meant = config_friendly(name);
    unsigned d;

    if (config_note_postfix(b, &foreign))
        return;
    if (meant == SETTING_AT_COUNT)
        meant = nearest_setting(without_postfix(name), &d);
    if (meant == SETTING_AT_COUNT)
        config_note(b, CONFIG_NOTE_ERROR, "%s is not a setting%s", label, otherwise);
    else
        config_note(b, CONFIG_NOTE_ERROR, "%s is not a setting; did you mean %s?", label,
                    settings[meant].name);
}

void config_advise_ini(struct config_builder *b, unsigned line, struct span name, struct span value)
{
    struct config_shown shown = config_shown(SETTING_AT_myhostname, name);
    char buf[CONFIG_NOTE_CAP];
    struct text label;

    text_init(&label, buf, sizeof buf);
    text_printf(&label, "%s line %u: %s", b->source->ini_name, line, shown.text);
    advise_ours(b, buf, name, value, "; remove the line");
}

void config_advise_override(struct config_builder *b, struct span name, struct span value)
{
    struct config_shown shown = config_shown(SETTING_AT_myhostname, name);
    char buf[CONFIG_NOTE_CAP];
    struct text label;

    text_init(&label, buf, sizeof buf);
    text_printf(&label, "postconf -e: %s", shown.text);
    advise_ours(b, buf, name, value, " here");
}

static void advise_postfix(struct config_builder *b, struct span name, struct span value)
{
    struct config_shown shown = config_shown(SETTING_AT_myhostname, name);
    struct span parameter = without_postfix(name);
    struct config_foreign foreign = {.label = shown.text, .name = parameter, .value = value};
    struct near near = {.name = parameter, .distance = SLIP_MAX + 1};
    enum setting_index meant;
    unsigned d;

    if (config_note_postfix(b, &foreign))
        return;
    meant = nearest_setting(parameter, &d);
    if (meant != SETTING_AT_COUNT)
        near.meant = span_of(settings[meant].name);
    else
        postfix_names_each(consider, &near);
    if (near.meant.len > 0)
        config_note(b, CONFIG_NOTE_WARNING,
                    "%s is not a setting here and is ignored; did you mean POSTFIX_%.*s?",
                    shown.text, (int)near.meant.len, near.meant.ptr);
    else
        config_note(b, CONFIG_NOTE_WARNING,
                    "%s is neither a setting here nor a parameter of Postfix, and is ignored",
                    shown.text);
}

/* The nearest name among those that have no setting of their own name; empty: none. */
static struct near nearest_variable(struct span name)
{
    struct near near = {.name = name, .distance = SLIP_MAX + 1};

    for (size_t i = 0; i < sizeof friendly_names / sizeof friendly_names[0]; i++) {
        if (strlen(friendly_names[i].variable) >= LONG_NAME_LEN)
            consider(&near, span_of(friendly_names[i].variable));
    }
    consider(&near, SPAN_LIT("RELAYHOST"));
    config_boky_each(consider, &near);
    return near;
}

static void note_slip(struct config_builder *b, struct span name, struct span meant)
{
    struct config_shown shown = config_shown(SETTING_AT_myhostname, name);
    char buf[NAME_MAX_LEN + 1];
    struct text capitals;

    text_init(&capitals, buf, sizeof buf);
    for (size_t i = 0; i < meant.len; i++)
        text_char(&capitals, ascii_upper(meant.ptr[i]));
    config_note(b, CONFIG_NOTE_WARNING,
                "%s is not a variable of mxgate and is ignored; did you mean %s?", shown.text,
                capitals.ptr);
}

static void advise_capitals(struct config_builder *b, struct span name)
{
    unsigned to_setting;
    struct near variable = nearest_variable(name);
    enum setting_index at = nearest_setting(name, &to_setting);

    if (at != SETTING_AT_COUNT && strlen(settings[at].name) < LONG_NAME_LEN)
        at = SETTING_AT_COUNT;
    if (variable.meant.len > 0 && (at == SETTING_AT_COUNT || variable.distance < to_setting))
        note_slip(b, name, variable.meant);
    else if (at != SETTING_AT_COUNT)
        note_slip(b, name, span_of(settings[at].name));
}

void config_advise_environment(struct config_builder *b, struct span name, struct span value)
{
    if (span_starts_nocase(name, SPAN_LIT("POSTFIX_"))) {
        advise_postfix(b, name, value);
    } else if (!config_note_boky(b, name)) {
        advise_capitals(b, name);
    }
}
