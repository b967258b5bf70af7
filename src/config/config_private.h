/*
 * config_private - what the files of src/config share while they build a configuration
 *
 * config_ini, config_environment and config_overrides collect what was written, config_expand turns
 * it into text, config_apply into fields, config_check looks at the whole. Each reports through
 * config_note and goes on, so that one start shows every fault; config_build refuses at the end.
 *
 * Fails:  a failed allocation sets no_memory, and the step ends early; nothing else is reported
 * then. Owns:   the strings in struct config_private. The builder borrows everything else from
 * config_build's caller. Limits: a list holds CONFIG_LIST_MAX bytes, any other value
 * CONFIG_TEXT_MAX, before and after expansion.
 */
#ifndef MXGATE_CONFIG_CONFIG_PRIVATE_H
#define MXGATE_CONFIG_CONFIG_PRIVATE_H

#include "base/text.h"
#include "config/config.h"

#define CONFIG_TEXT_MAX  1024
#define CONFIG_LIST_MAX  1048576
#define CONFIG_NOTE_CAP  4096
#define CONFIG_SHOWN_MAX 200 /* bytes of a bad value that a message repeats */

enum setting_index {
#define SETTING(kind, name, def, min, max, live, help) SETTING_AT_##name,
#include "config/settings.def"
#undef SETTING
    SETTING_AT_COUNT
};

enum config_expansion { EXPANSION_NOT_YET, EXPANSION_RUNNING, EXPANSION_DONE };

struct config_string {
    char *ptr; /* owned; NUL-terminated; NULL is none */
    size_t len;
};

struct config_value {
    struct config_string raw;  /* as written; none: the default */
    struct config_string text; /* expanded */
    char *source;              /* owned; "POSTFIX_x" or "FILE line 3"; NULL: the default */
    enum config_expansion expansion;
    bool bad; /* reported already */
};

struct config_private {
    struct config_value values[SETTING_AT_COUNT];
};

struct config_builder {
    const struct config_source *source;
    struct config *config;
    config_note_fn note;
    void *note_ctx;
    struct span hostname;           /* of this machine: HOSTNAME, else source->system_hostname */
    bool hostname_is_set;           /* it came from HOSTNAME */
    bool smtp_used;                 /* some transport is smtp: */
    struct config_string smtp_only; /* see config_foreign.c: "LABEL\tWHY\n" each */
    unsigned conditions;            /* that are being expanded, one within the other */
    size_t faults;
    bool no_memory;
    bool lenient;                   /* faults are warnings; see config_build_lenient */
    bool refused[SETTING_AT_COUNT]; /* the default holds, whatever was set */
};

/* A value cut and made printable for a message. */
struct config_shown {
    char text[CONFIG_SHOWN_MAX + 4];
};

void config_note(struct config_builder *b, enum config_note_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "POSTFIX_x: x \"value\" MESSAGE", as an error; the value is marked bad. */
void config_fault(struct config_builder *b, enum setting_index at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What a list's parser said (0 or -errno), as a fault of the setting. */
void config_fault_from(struct config_builder *b, enum setting_index at, int rc,
                       const struct errbuf *err);
struct config_shown config_shown(enum setting_index at, struct span value);
/* "Applying custom postfix setting: x=value" */
void config_note_applied(struct config_builder *b, enum setting_index at);
/* As text_printable_max, but white space becomes a blank and a cut shows as "...". */
void config_text_flat(struct text *t, struct span s, size_t max);

/* Index of a setting by name, ours or Postfix's (aliases.def), or SETTING_AT_COUNT. */
enum setting_index config_index(struct span name);
struct config_value *config_value(struct config_builder *b, enum setting_index at);
/* The default as written: for a choice its first word. */
struct span config_default(enum setting_index at);
/* Most bytes the value may have. */
size_t config_value_max(enum setting_index at);

/* False and no_memory set when memory is out. */
bool config_string_add(struct config_builder *b, struct config_string *s, struct span more);
void config_string_clear(struct config_string *s);
/* Replaces what was written. `source` is copied. */
bool config_value_set(struct config_builder *b, enum setting_index at, struct span raw,
                      const char *source);
void config_value_reset(struct config_value *v);

void config_read_ini(struct config_builder *b);
void config_read_environment(struct config_builder *b);
void config_read_overrides(struct config_builder *b);
void config_expand(struct config_builder *b);
void config_apply(struct config_builder *b);
void config_check(struct config_builder *b);
void config_check_ways(struct config_builder *b);  /* the part of it about relayhost and its like */
void config_check_login(struct config_builder *b); /* the part about who we are there */
void config_check_relay_tls(
    struct config_builder *b);                      /* the part of it about TLS to the upstream */
void config_check_access(struct config_builder *b); /* the part of it about who may send what */
void config_check_tls(struct config_builder *b);    /* the part about TLS with clients */
void config_check_certificates(struct config_builder *b); /* the part about chain files */

/* Texts of advice about a name that is not a setting; see config_advice.c. */
void config_advise_ini(struct config_builder *b, unsigned line, struct span name,
                       struct span value);
void config_advise_environment(struct config_builder *b, struct span name, struct span value);
void config_advise_override(struct config_builder *b, struct span name, struct span value);
/* The setting a friendly variable stands for (ALLOWED_DOMAINS), or SETTING_AT_COUNT. */
enum setting_index config_friendly(struct span name);

/* A parameter of Postfix that is no setting: where it was written, its name there, its value. */
struct config_foreign {
    const char *label; /* "POSTFIX_x", or "FILE line 3: x" */
    struct span name;
    struct span value;
};
/* Says what becomes of it; false when Postfix does not know it either. */
bool config_note_postfix(struct config_builder *b, const struct config_foreign *f);
/* What was kept for when the transport is known. */
void config_check_smtp_only(struct config_builder *b, bool smtp_used);
/* The same for a variable of boky/postfix; false when it is none. */
bool config_note_boky(struct config_builder *b, struct span name);
/* Their names, for advice about slips. */
void config_boky_each(void (*fn)(void *ctx, struct span name), void *ctx);

/* Bare numbers are in `unit` (the unit of the setting's default, as in Postfix): one of "ms", "s",
 * ... "w". */
bool config_parse_time_unit(struct span s, struct span unit, uint64_t *ms_out);
bool config_parse_flag(struct span s, bool *flag_out);
/* `words` is "direct|queue"; blanks and commas in s are alike. */
bool config_parse_choice(struct span s, struct span words, int *choice_out);

#endif
