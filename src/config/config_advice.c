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

#include <string.h>

#define NAME_MAX_LEN  64
#define SLIP_MAX      2
#define LONG_NAME_LEN 9

static const struct friendly {
    const char *variable;
    enum setting_index setting;
} friendly_names[] = {
    {"ALLOWED_DOMAINS", SETTING_AT_relay_domains},
    {"DOMAIN",          SETTING_AT_mydomain     },
};

/* Variables of boky/postfix that have no setting here yet. */
static const char *const later_names[] = {
    "RELAYHOST",           "RELAYHOST_USERNAME",     "RELAYHOST_PASSWORD",
    "RELAYHOST_TLS_LEVEL", "ALLOWED_SENDER_DOMAINS", "ALLOW_EMPTY_SENDER_DOMAINS",
    "INBOUND_DEBUGGING",   "SMTPD_SASL_USERS",       "MASQUERADED_DOMAINS",
    "SMTP_HEADER_CHECKS",  "ANONYMIZE_EMAILS",
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

void config_advise_ini(struct config_builder *b, unsigned line, struct span name)
{
    struct config_shown shown = config_shown(SETTING_AT_myhostname, name);
    enum setting_index meant = config_friendly(name);
    unsigned d;

    if (meant == SETTING_AT_COUNT)
        meant = nearest_setting(without_postfix(name), &d);
    if (meant == SETTING_AT_COUNT)
        config_note(b, CONFIG_NOTE_ERROR, "%s line %u: %s is not a setting; remove the line",
                    b->source->ini_name, line, shown.text);
    else
        config_note(b, CONFIG_NOTE_ERROR, "%s line %u: %s is not a setting; did you mean %s?",
                    b->source->ini_name, line, shown.text, settings[meant].name);
}

void config_advise_override(struct config_builder *b, struct span name)
{
    struct config_shown shown = config_shown(SETTING_AT_myhostname, name);
    enum setting_index meant = config_friendly(name);
    unsigned d;

    if (meant == SETTING_AT_COUNT)
        meant = nearest_setting(without_postfix(name), &d);
    if (meant == SETTING_AT_COUNT)
        config_note(b, CONFIG_NOTE_ERROR, "postconf -e: %s is not a setting here", shown.text);
    else
        config_note(b, CONFIG_NOTE_ERROR, "postconf -e: %s is not a setting; did you mean %s?",
                    shown.text, settings[meant].name);
}

static void advise_postfix(struct config_builder *b, struct span name)
{
    struct config_shown shown = config_shown(SETTING_AT_myhostname, name);
    enum setting_index meant;
    unsigned d;

    meant = nearest_setting(without_postfix(name), &d);
    if (meant != SETTING_AT_COUNT)
        config_note(b, CONFIG_NOTE_WARNING,
                    "%s is not a setting here and is ignored; did you mean POSTFIX_%s?", shown.text,
                    settings[meant].name);
    else if (span_ends_nocase(name, SPAN_LIT("_restrictions")))
        config_note(b, CONFIG_NOTE_WARNING,
                    "%s is not supported yet and is ignored; mail for domains outside "
                    "relay_domains is always refused",
                    shown.text);
    else
        config_note(b, CONFIG_NOTE_WARNING, "%s is not supported yet and is ignored", shown.text);
}

/* The nearest name among those that have no setting of their own name. */
static const char *nearest_variable(struct span name, unsigned *distance_out)
{
    const char *best = NULL;

    *distance_out = SLIP_MAX + 1;
    for (size_t i = 0; i < sizeof friendly_names / sizeof friendly_names[0]; i++) {
        unsigned d = distance(name, span_of(friendly_names[i].variable));

        if (d < *distance_out && strlen(friendly_names[i].variable) >= LONG_NAME_LEN) {
            *distance_out = d;
            best = friendly_names[i].variable;
        }
    }
    for (size_t i = 0; i < sizeof later_names / sizeof later_names[0]; i++) {
        unsigned d = distance(name, span_of(later_names[i]));

        if (d < *distance_out) {
            *distance_out = d;
            best = later_names[i];
        }
    }
    return best;
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
    unsigned to_variable;
    unsigned to_setting;
    const char *variable = nearest_variable(name, &to_variable);
    enum setting_index at = nearest_setting(name, &to_setting);

    if (at != SETTING_AT_COUNT && strlen(settings[at].name) < LONG_NAME_LEN)
        at = SETTING_AT_COUNT;
    if (variable && span_equal(name, span_of(variable)))
        config_note(b, CONFIG_NOTE_WARNING, "%s is not supported yet and is ignored", variable);
    else if (variable && (at == SETTING_AT_COUNT || to_variable < to_setting))
        note_slip(b, name, span_of(variable));
    else if (at != SETTING_AT_COUNT)
        note_slip(b, name, span_of(settings[at].name));
}

void config_advise_environment(struct config_builder *b, struct span name)
{
    if (span_starts_nocase(name, SPAN_LIT("POSTFIX_")))
        advise_postfix(b, name);
    else
        advise_capitals(b, name);
}
