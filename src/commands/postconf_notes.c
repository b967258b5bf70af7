/* postconf_notes - see postconf.h */
#include "commands/postconf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void add_line(struct postconf_notes *n, struct span line)
{
    char *grown = realloc(n->text, n->len + line.len + 1);

    if (!grown) {
        n->no_memory = true;
        return;
    }
    n->text = grown;
    memcpy(n->text + n->len, line.ptr, line.len);
    n->len += line.len;
    n->text[n->len++] = '\n'; /* a note has none in it */
}

static void on_note(void *ctx, enum config_note_kind kind, const char *text)
{
    struct postconf_said *said = ctx;

    if (kind == CONFIG_NOTE_WARNING || kind == CONFIG_NOTE_INFO)
        add_line(&said->warnings, span_of(text));
    else if (kind == CONFIG_NOTE_ERROR)
        add_line(&said->errors, span_of(text));
}

int postconf_try(const struct settings_sources *sources, bool lenient, struct postconf_said *said,
                 struct config **config_out, struct errbuf *err)
{
    struct settings_request request = {.lenient = lenient, .note = on_note, .note_ctx = said};
    struct config *config;
    int rc = settings_build(sources, &request, &config, err);

    if (said->errors.no_memory || said->warnings.no_memory) {
        config_unref(&config);
        rc = errbuf_set(err, -ENOMEM, "out of memory");
    }
    if (config_out)
        *config_out = config;
    else
        config_unref(&config);
    return rc;
}

bool postconf_next_note(struct span *rest, struct span *line_out)
{
    size_t end = span_find(*rest, '\n');

    if (rest->len == 0)
        return false;
    *line_out = span_first(*rest, end);
    *rest = span_from(*rest, end + 1);
    return true;
}

struct span postconf_notes_text(const struct postconf_notes *n)
{
    return span_make(n->text, n->len);
}

bool postconf_notes_have(const struct postconf_notes *n, struct span line)
{
    struct span rest = postconf_notes_text(n);
    struct span one;

    while (postconf_next_note(&rest, &one)) {
        if (span_equal(one, line))
            return true;
    }
    return false;
}

void postconf_said_free(struct postconf_said *said)
{
    free(said->errors.text);
    free(said->warnings.text);
    *said = (struct postconf_said){.errors = {.text = NULL}};
}
