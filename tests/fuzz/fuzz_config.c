/*
 * fuzz_config - an ini file and an environment against the whole of src/config
 *
 * Input: the ini text, a line "%%", then one variable per line. Without that line all of it is ini
 * text.
 */
#include "base/text.h"
#include "config/config.h"
#include "config/way.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLES_MAX 500

struct told {
    size_t errors;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    struct told *told = ctx;

    told->errors += kind == CONFIG_NOTE_ERROR;
    require(text[0] != '\0');
    for (const char *c = text; *c; c++)
        require(!ascii_is_control(*c));
}

static void check_number(const struct config *c, const struct setting *s)
{
    uint64_t value = *(const uint64_t *)((const char *)c + s->offset);

    require(value >= s->min);
    require(value <= s->max);
}

/* What a built configuration promises to everybody who reads its fields. */
static void check_config(const struct config *c)
{
    static char buf[1 << 21];

    require(c->domains.count > 0 || way_out_exists(c)); /* else it would take no mail at all */
    require(c->domains.count == 0 || domain_list_first(&c->domains)[0] != '\0');
    require(c->domains.count == 0 || c->relay_transport[0] != '\0');
    require(c->myhostname[0] != '\0' && c->mydomain[0] != '\0' && c->control_socket[0] != '\0');
    require(c->maximal_backoff_time >= c->minimal_backoff_time);
    require(c->smtpd_stress_timeout <= c->smtpd_timeout);
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings[i];
        struct text t;

        if (s->kind == SETTING_text || s->kind == SETTING_words)
            require(*(const char *const *)((const char *)c + s->offset) != NULL);
        if (s->kind == SETTING_number || s->kind == SETTING_bytes || s->kind == SETTING_time)
            check_number(c, s);
        text_init(&t, buf, sizeof buf);
        config_value_text(c, s, &t);
        require(!t.overflow);
    }
}

/* The commands' way: whatever was set, there is a configuration without holes. */
static void build_lenient(const struct config_source *source)
{
    struct told told = {0};
    struct config *c;

    require(config_build_lenient(source, on_note, &told, &c) == 0);
    require(told.errors == 0);
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings[i];

        if (s->kind == SETTING_text || s->kind == SETTING_words)
            require(*(const char *const *)((const char *)c + s->offset) != NULL);
        if (s->kind == SETTING_number || s->kind == SETTING_bytes || s->kind == SETTING_time)
            check_number(c, s);
    }
    config_unref(&c);
}

/* Cuts the lines of `text` apart; the last pointer is NULL. */
static void split_lines(char *text, const char **lines)
{
    size_t count = 0;

    while (text && *text && count < VARIABLES_MAX)
        lines[count++] = strsep(&text, "\n");
    lines[count] = NULL;
}

static void build(const struct config_source *source)
{
    struct told told = {0};
    struct config *config;
    int rc = config_build(source, on_note, &told, &config);

    if (rc == 0)
        check_config(config);
    require((rc == 0) == (config != NULL));
    require(rc == 0 || rc == -EINVAL);
    require((told.errors > 0) == (rc == -EINVAL));
    config_unref(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *variables[VARIABLES_MAX + 1];
    char *text = malloc(size + 1);
    char *separator;
    struct config_source source = {.ini_name = "mxgate.ini", .system_hostname = "mx.example.org"};

    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    separator = strstr(text, "%%\n");
    source.ini_text = text;
    if (separator) {
        *separator = '\0';
        split_lines(separator + 3, variables);
        source.environment = variables;
    }
    build(&source);
    build_lenient(&source);
    free(text);
    return 0;
}
