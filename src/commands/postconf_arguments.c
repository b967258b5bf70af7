/*
 * postconf_arguments - what postconf is asked to change, in Postfix's words where it is not
 * understood
 */
#include "commands/commands.h"
#include "commands/postconf.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

const char *postconf_split(const char *argument, struct span *name_out, struct span *value_out)
{
    struct span text = span_trim(span_of(argument));
    size_t end = 0;
    struct span rest;

    while (end < text.len && text.ptr[end] != '=' && !strchr(" \t\r\n", text.ptr[end]))
        end++;
    *name_out = span_first(text, end);
    rest = span_trim(span_from(text, end));
    if (end == 0)
        return "missing attribute name";
    if (rest.len == 0 || rest.ptr[0] != '=')
        return "missing '=' after attribute name";
    *value_out = span_trim(span_from(rest, 1));
    return NULL;
}

static int fatal_usage(const char *words)
{
    return command_fatal("postconf", EX_USAGE, "%s", words);
}

static bool has_control(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (ascii_is_control(s.ptr[i]) && s.ptr[i] != '\t')
            return true;
    }
    return false;
}

/* Overrides have our names, whatever Postfix calls the setting. */
static void use_our_name(struct override_edit *edit)
{
    const struct setting *s = setting_find(edit->name);

    if (s)
        edit->name = span_of(s->name);
}

/* "name = value", or with -X and -# "name". */
static int parse_argument(const struct postconf *p, const char *argument, struct override_edit *out)
{
    struct span text = span_trim(span_of(argument));
    const char *fault;

    *out = (struct override_edit){.deed = p->edit == 'X' ? OVERRIDE_REMOVE : OVERRIDE_RESET,
                                  .name = text};
    if (strchr(argument, '\n'))
        return fatal_usage("-e, -X, or -# accepts no multi-line input");
    if (text.len > 0 && text.ptr[0] == '#')
        return fatal_usage("-e, -X, or -# accepts no comment input");
    if (p->edit == 'e') {
        out->deed = OVERRIDE_SET;
        fault = postconf_split(argument, &out->name, &out->value);
        if (fault)
            return command_fatal("postconf", EX_USAGE, "%s: \"%.*s\"", fault, (int)text.len,
                                 text.ptr);
        if (has_control(out->value))
            return fatal_usage("-e accepts no control characters");
        if (config_is_secret(out->name) && span_equal(out->value, SPAN_LIT(POSTCONF_SECRET)))
            return command_fatal("postconf", EX_DATAERR,
                                 "%.*s: " POSTCONF_SECRET " is what is printed instead of a secret",
                                 (int)out->name.len, out->name.ptr);
        return EX_OK;
    }
    if (text.len == 0)
        return fatal_usage("-X or -# requires non-blank parameter names");
    if (strchr(argument, '='))
        return fatal_usage("-X or -# requires parameter names without value");
    return EX_OK;
}

/* Of two about one setting the last counts. */
static void warn_of_earlier(const struct override_edit *edits, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++) {
        const struct override_edit *old = &edits[i];

        if (span_equal(old->name, name) && old->deed == OVERRIDE_SET)
            command_warning("postconf", "ignoring earlier request: '%.*s = %.*s'",
                            (int)old->name.len, old->name.ptr, (int)old->value.len, old->value.ptr);
    }
}

int postconf_edits_parse(const struct postconf *p, struct override_edit **edits_out,
                         size_t *count_out)
{
    struct override_edit *edits;

    if (p->argument_count == 0 && p->edit == 'e')
        return fatal_usage("-e requires name=value argument");
    if (p->argument_count == 0)
        return fatal_usage("-X or -# requires parameter name arguments");
    edits = calloc((size_t)p->argument_count, sizeof *edits);
    if (!edits)
        return command_fatal("postconf", EX_OSERR, "out of memory");
    *edits_out = edits; /* the caller frees them, whatever comes */
    for (int i = 0; i < p->argument_count; i++) {
        int rc = parse_argument(p, p->arguments[i], &edits[i]);

        if (rc != EX_OK)
            return rc;
        use_our_name(&edits[i]);
        warn_of_earlier(edits, (size_t)i, edits[i].name);
        *count_out = (size_t)i + 1;
    }
    return EX_OK;
}
