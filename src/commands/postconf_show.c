/*
 * postconf_show - prints settings as Postfix's postconf does
 *
 * A value is its words with one blank between them, as Postfix prints it, so that no list written
 * over several lines breaks a script. A secret's value is not printed.
 */
#include "commands/postconf.h"

#include "base/text.h"
#include "commands/commands.h"
#include "config/overrides.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define VALUE_CAP  (2u << 20) /* more than any value has */
#define LINE_LIMIT 80         /* of -f; Postfix's numbers */
#define INDENT     4

struct showing {
    const struct postconf *options;
    const struct config *config;
    char *value; /* owned; VALUE_CAP bytes */
};

/* ---- one setting ---- */

/* Words, folded with -f as Postfix folds: a word that does not fit begins a line, the first one
 * too. */
struct line {
    bool fold;
    size_t len;
};

static void print_words(struct line *line, struct span words)
{
    struct span word;

    while (span_next_word(&words, " \t\r\n", &word)) {
        if (line->len > 0 && line->fold && line->len + word.len >= LINE_LIMIT) {
            printf("\n%*s", INDENT, "");
            line->len = INDENT;
        } else if (line->len > 0) {
            putchar(' ');
            line->len++;
        }
        fwrite(word.ptr, 1, word.len, stdout);
        line->len += word.len;
    }
}

static struct span value_of(const struct showing *s, const struct setting *setting)
{
    struct text t;

    text_init(&t, s->value, VALUE_CAP);
    if (s->options->expand)
        config_value_expanded(s->config, setting, &t);
    else
        config_value_text(s->config, setting, &t);
    if (t.len > 0 && config_is_secret(span_of(setting->name)))
        return SPAN_LIT(POSTCONF_SECRET);
    return text_as_span(&t);
}

/* `name`: ours or Postfix's, as it was asked for. */
static void print_setting(const struct showing *s, const char *name, const struct setting *setting)
{
    struct line line = {.fold = s->options->fold};

    if (!s->options->hide_names)
        print_words(&line, span_of(name));
    if (!s->options->hide_names && !s->options->hide_values)
        print_words(&line, SPAN_LIT("="));
    if (!s->options->hide_values)
        print_words(&line, value_of(s, setting));
    putchar('\n');
}

static bool is_wanted(const struct showing *s, const struct setting *setting)
{
    return !s->options->only_set || config_is_set(s->config, setting);
}

/* ---- many ---- */

/* The setting whose name follows `previous` in the alphabet. */
static const struct setting *next_by_name(const struct setting *previous)
{
    const struct setting *next = NULL;

    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings[i];

        if (previous && strcmp(s->name, previous->name) <= 0)
            continue;
        if (!next || strcmp(s->name, next->name) < 0)
            next = s;
    }
    return next;
}

static void print_all(const struct showing *s)
{
    const struct setting *setting = next_by_name(NULL);

    for (; setting; setting = next_by_name(setting)) {
        if (is_wanted(s, setting))
            print_setting(s, setting->name, setting);
    }
}

static void print_named(const struct showing *s)
{
    for (int i = 0; i < s->options->argument_count; i++) {
        const char *name = s->options->arguments[i];
        const struct setting *setting = setting_find(span_of(name));

        if (!setting)
            command_warning("postconf", "%s: unknown parameter", name);
        else if (is_wanted(s, setting))
            print_setting(s, name, setting);
    }
}

/* ---- the configuration to show ---- */

/* A value that cannot be used is shown as its default: that must be said. */
static void warn_of_faults(const struct settings_sources *sources,
                           const struct postconf_said *lenient)
{
    struct postconf_said strict = {.errors = {.text = NULL}};
    struct span rest;
    struct span line;

    if (sources->overrides_rc < 0)
        command_warning("postconf", "%s", sources->overrides_err.text);
    if (postconf_try(sources, false, &strict, NULL, NULL) == -EINVAL) {
        rest = postconf_notes_text(&strict.errors);
        while (postconf_next_note(&rest, &line)) {
            if (postconf_notes_have(&lenient->warnings, line))
                command_warning("postconf", "%.*s", (int)line.len, line.ptr);
        }
    }
    postconf_said_free(&strict);
}

/* -o: as if it had been set, for this once. */
static int add_assignments(const struct postconf *p, struct settings_sources *sources)
{
    for (int i = 0; i < p->assignment_count; i++) {
        struct override_edit edit = {.deed = OVERRIDE_SET};
        const char *fault = postconf_split(p->assignments[i], &edit.name, &edit.value);
        char *text;

        if (fault)
            return command_fatal("postconf", EX_USAGE, "invalid parameter override: %s: %s",
                                 p->assignments[i], fault);
        text = overrides_edit(span_of(sources->overrides_text), &edit, 1);
        if (!text)
            return command_fatal("postconf", EX_OSERR, "out of memory");
        free(sources->overrides_text);
        sources->overrides_text = text;
    }
    return EX_OK;
}

static int show(const struct postconf *p, const struct settings_sources *sources)
{
    struct showing s = {.options = p};
    struct postconf_said said = {.errors = {.text = NULL}};
    struct config *config;
    struct errbuf err = {""};
    int rc = postconf_try(sources, true, &said, &config, &err);

    if (rc < 0) {
        postconf_said_free(&said);
        return command_fatal("postconf", EX_OSERR, "%s", err.text);
    }
    if (!p->defaults)
        warn_of_faults(sources, &said);
    s.config = config;
    s.value = malloc(VALUE_CAP);
    if (!s.value)
        rc = command_fatal("postconf", EX_OSERR, "out of memory");
    else if (p->argument_count > 0)
        print_named(&s);
    else
        print_all(&s);
    free(s.value);
    config_unref(&config);
    postconf_said_free(&said);
    return rc;
}

/* -d: nothing is set; HOSTNAME alone stays, which is where the default of myhostname comes from. */
static void forget_settings(struct settings_sources *sources)
{
    const char *hostname = getenv("HOSTNAME");

    free(sources->ini_text);
    free(sources->overrides_text);
    sources->ini_text = NULL;
    sources->overrides_text = NULL;
    secret_files_free(&sources->secrets);
    if (hostname && hostname[0])
        snprintf(sources->host, sizeof sources->host, "%s", hostname);
}

int postconf_show(const struct postconf *p)
{
    struct settings_sources sources;
    struct errbuf err = {""};
    int rc = settings_read(p->ini, &sources, &err);

    if (rc < 0) {
        rc = command_fatal("postconf", rc == -ENOMEM ? EX_OSERR : EX_CONFIG, "%s", err.text);
    } else {
        if (p->defaults)
            forget_settings(&sources);
        rc = add_assignments(p, &sources);
        if (rc == EX_OK)
            rc = show(p, &sources);
    }
    settings_free(&sources);
    if (rc == EX_OK && (fflush(stdout) != 0 || ferror(stdout)))
        rc = command_fatal("postconf", EX_IOERR, "cannot write to standard output");
    return rc;
}
