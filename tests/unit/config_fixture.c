/* config_fixture - see config_fixture.h */
#include "config_fixture.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VARIABLES_MAX 200

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    struct built *b = ctx;
    size_t len = strlen(b->notes);

    b->applied += kind == CONFIG_NOTE_APPLIED;
    b->warnings += kind == CONFIG_NOTE_WARNING;
    b->errors += kind == CONFIG_NOTE_ERROR;
    snprintf(b->notes + len, sizeof b->notes - len, "%c %s\n", "AWEI"[kind], text);
}

void built_from_host(struct built *b, const char *ini, const char *environment, const char *host)
{
    const char *variables[VARIABLES_MAX + 1] = {NULL};
    char *copy = strdup(environment ? environment : "");
    char *rest = copy;
    size_t count = 0;
    struct config_source source = {.ini_text = ini,
                                   .ini_name = "mxgate.ini",
                                   .environment = environment ? variables : NULL,
                                   .system_hostname = host,
                                   .overrides_text = b->overrides,
                                   .overrides_name = "overrides"};

    assert_non_null(copy);
    while (rest && *rest && count < VARIABLES_MAX)
        variables[count++] = strsep(&rest, "\n");
    b->errors = b->warnings = b->applied = 0;
    b->notes[0] = '\0';
    b->rc = config_build(&source, on_note, b, &b->config);
    free(copy); /* nothing built may point into it */
}

void built_from(struct built *b, const char *ini, const char *environment)
{
    built_from_host(b, ini, environment, "mx.example.org");
}

struct config *built_good(struct built *b, const char *ini, const char *environment)
{
    char *text = malloc(strlen(ini) + sizeof CONFIG_MINIMUM);

    assert_non_null(text);
    memcpy(text, CONFIG_MINIMUM, sizeof CONFIG_MINIMUM);
    memcpy(text + sizeof CONFIG_MINIMUM - 1, ini, strlen(ini) + 1);
    built_from(b, text, environment);
    free(text);
    if (b->rc != 0)
        fail_msg("refused: %s%s\n%s", ini, environment ? environment : "", b->notes);
    return b->config;
}

void built_free(struct built *b)
{
    config_unref(&b->config);
}

const char *built_value(struct built *b, const char *name)
{
    static char buf[4096];
    struct text t;

    text_init(&t, buf, sizeof buf);
    config_value_text(b->config, setting_find(span_of(name)), &t);
    return buf;
}

void built_expect(const struct built *b, const char *note)
{
    size_t len = strlen(note);

    for (const char *line = b->notes; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, note, len) == 0 && line[len] == '\n')
            return;
    }
    fail_msg("no \"%s\" among\n%s", note, b->notes);
}
