/*
 * config_ini - what the ini file says
 *
 *     [mxgate]                      the section may be left out
 *     relay_domains = example.com,  ; a comment
 *         example.net               a line that starts with a blank continues the one before,
 * joined by a blank # a comment
 *
 *     [transport]                   routes: each line is a pair of transport_maps
 *     example.net = lmtp:[192.0.2.54]:24, lmtp:[192.0.2.55]:24
 *
 * The pairs of [transport] become an inline table after those that transport_maps of [mxgate] has,
 * so they count where that has none of their name; like every setting, the environment's
 * transport_maps replaces both.
 *
 * inih parses; its lines come from read_line(), which counts them, so that messages can say where,
 * and takes comments off, which inih 55 does not do on continuation lines. A line longer than inih
 * can hold is an error.
 *
 * Fails:  every fault is one CONFIG_NOTE_ERROR naming file and line; reading goes on after it.
 * Limits: a line has at most INI_MAX_LINE - 2 bytes without comment (198 with inih's default).
 * Why:    inih's own string reader would cut a long line in two and call the rest a line of its
 * own.
 */
#include "config/config_private.h"

#include <ini.h>
#include <string.h>

struct ini_reading {
    struct config_builder *b;
    struct span rest; /* of the file */
    unsigned line;
    bool indented;              /* the line begins with a blank */
    bool have_name;             /* inih takes an indented line for a continuation */
    enum setting_index current; /* what a continuation continues; SETTING_AT_COUNT: nothing known */
    unsigned defined_in[SETTING_AT_COUNT]; /* line; 0: not yet */
    struct config_string routes; /* owned: of [transport], as the inside of an inline table */
    bool route_open;             /* the last pair of it has no closing brace yet */
    unsigned routes_line;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct span take_line(struct span *rest)
{
    size_t end = span_find(*rest, '\n');
    struct span line = span_first(*rest, end);

    *rest = span_from(*rest, end + 1);
    return line;
}

static struct span without_comment(struct span line)
{
    struct span start = span_trim(line);

    if (start.len > 0 && (start.ptr[0] == '#' || start.ptr[0] == ';'))
        return span_first(line, 0);
    for (size_t i = 1; i < line.len; i++) {
        if (line.ptr[i] == ';' && is_blank(line.ptr[i - 1]))
            return span_first(line, i);
    }
    return line;
}

static void note_long_line(struct ini_reading *r, int room)
{
    config_note(r->b, CONFIG_NOTE_ERROR,
                "%s line %u is longer than %d bytes; break the list over several lines, where each "
                "line after the first starts with a blank",
                r->b->source->ini_name, r->line, room - 2);
    if (!r->indented)
        r->current = SETTING_AT_COUNT; /* what follows would continue the wrong setting */
}

/* inih's reader: the next line with its LF, as fgets would give it. */
static char *read_line(char *dst, int room, void *stream)
{
    struct ini_reading *r = stream;
    struct span line;

    if (r->rest.len == 0 || r->b->no_memory || room < 2)
        return NULL;
    r->line++;
    line = take_line(&r->rest);
    r->indented = line.len > 0 && is_blank(line.ptr[0]);
    line = without_comment(line);
    while (line.len > 0 && is_blank(line.ptr[line.len - 1]))
        line.len--;
    if (line.len > (size_t)room - 2) {
        note_long_line(r, room);
        line.len = 0;
    }
    if (line.len > 0 && line.ptr[0] == '[')
        r->have_name = false;
    if (line.len > 0)
        memcpy(dst, line.ptr, line.len);
    dst[line.len] = '\n';
    dst[line.len + 1] = '\0';
    return dst;
}

/* "  relay_transport = x" under another setting is meant as a setting of its own. */
static bool looks_like_setting(struct span more)
{
    size_t equals = span_find(more, '=');

    return equals < more.len &&
           config_index(span_trim(span_first(more, equals))) != SETTING_AT_COUNT;
}

/* ---- [transport] ---- */

/* They would end the inline table that the section becomes. */
static bool has_braces(struct ini_reading *r, struct span s)
{
    if (span_find(s, '{') == s.len && span_find(s, '}') == s.len)
        return false;
    config_note(r->b, CONFIG_NOTE_ERROR,
                "%s line %u: no braces in [transport]; write example.net = lmtp:[192.0.2.54]:24",
                r->b->source->ini_name, r->line);
    return true;
}

static void add_route_text(struct ini_reading *r, struct span text)
{
    if (r->routes.len + text.len > CONFIG_LIST_MAX - sizeof "inline:{  }")
        config_note(r->b, CONFIG_NOTE_ERROR, "%s line %u: the section [transport] is too long",
                    r->b->source->ini_name, r->line);
    else
        config_string_add(r->b, &r->routes, text);
}

static void close_route(struct ini_reading *r)
{
    if (r->route_open)
        add_route_text(r, SPAN_LIT("} "));
    r->route_open = false;
}

static void start_route(struct ini_reading *r, struct span name, struct span value)
{
    close_route(r);
    r->current = SETTING_AT_COUNT;
    if (has_braces(r, name) || has_braces(r, value))
        return;
    if (r->routes_line == 0)
        r->routes_line = r->line;
    add_route_text(r, SPAN_LIT("{"));
    add_route_text(r, name);
    add_route_text(r, SPAN_LIT(" = "));
    add_route_text(r, value);
    r->route_open = true;
}

/* At the end: the pairs become a table of transport_maps. */
static void use_routes(struct ini_reading *r)
{
    struct config_value *v = config_value(r->b, SETTING_AT_transport_maps);
    char buf[CONFIG_NOTE_CAP];
    struct text source;

    close_route(r);
    if (r->routes.len == 0 || r->b->no_memory)
        return;
    text_init(&source, buf, sizeof buf);
    text_printf(&source, "%s line %u", r->b->source->ini_name, r->routes_line);
    if (!v->raw.ptr && !config_value_set(r->b, SETTING_AT_transport_maps, SPAN_LIT(""), source.ptr))
        return;
    if (config_string_add(r->b, &v->raw,
                          v->raw.len > 0 ? SPAN_LIT(", inline:{ ") : SPAN_LIT("inline:{ ")) &&
        config_string_add(r->b, &v->raw, span_make(r->routes.ptr, r->routes.len)))
        config_string_add(r->b, &v->raw, SPAN_LIT("}"));
}

/* ---- values ---- */

static void continue_value(struct ini_reading *r, struct span more)
{
    struct config_value *v;

    if (r->route_open) {
        if (has_braces(r, more))
            return;
        add_route_text(r, SPAN_LIT(" "));
        add_route_text(r, more);
        return;
    }
    if (r->current == SETTING_AT_COUNT)
        return; /* its first line was reported */
    if (looks_like_setting(more)) {
        config_note(r->b, CONFIG_NOTE_ERROR,
                    "%s line %u starts with a blank and so continues %s; remove the blank",
                    r->b->source->ini_name, r->line, settings[r->current].name);
        return;
    }
    v = config_value(r->b, r->current);
    if (v->raw.len + 1 + more.len > config_value_max(r->current)) {
        if (!v->bad)
            config_fault(r->b, r->current, "is longer than %zu bytes; make it shorter",
                         config_value_max(r->current));
        return;
    }
    if (v->raw.len > 0 && !config_string_add(r->b, &v->raw, SPAN_LIT(" ")))
        return;
    config_string_add(r->b, &v->raw, more);
}

static void start_value(struct ini_reading *r, struct span name, struct span value)
{
    char buf[CONFIG_NOTE_CAP];
    struct text source;

    r->current = config_index(name);
    if (r->current == SETTING_AT_COUNT) {
        config_advise_ini(r->b, r->line, name, value);
        return;
    }
    if (r->defined_in[r->current] > 0)
        config_note(
            r->b, CONFIG_NOTE_WARNING, "%s line %u: %s was already set in line %u; this one counts",
            r->b->source->ini_name, r->line, settings[r->current].name, r->defined_in[r->current]);
    r->defined_in[r->current] = r->line;
    text_init(&source, buf, sizeof buf);
    text_printf(&source, "%s line %u", r->b->source->ini_name, r->line);
    config_value_set(r->b, r->current, value, source.ptr);
}

/* inih's handler; it reports for itself, so it never tells inih of an error. */
static int on_pair(void *user, const char *section, const char *name, const char *value)
{
    struct ini_reading *r = user;

    if (r->b->no_memory)
        return 1;
    if (r->indented && r->have_name) {
        continue_value(r, span_of(value));
        return 1;
    }
    r->have_name = name[0] != '\0';
    if (strcmp(section, "transport") == 0) {
        start_route(r, span_of(name), span_of(value));
        return 1;
    }
    close_route(r);
    if (section[0] != '\0' && strcmp(section, "mxgate") != 0) {
        struct config_shown shown = config_shown(SETTING_AT_myhostname, span_of(section));

        config_note(r->b, CONFIG_NOTE_ERROR,
                    "%s line %u: there is no section [%s]; there are [mxgate], which may be left "
                    "out, and [transport]",
                    r->b->source->ini_name, r->line, shown.text);
        r->current = SETTING_AT_COUNT;
        return 1;
    }
    start_value(r, span_of(name), span_of(value));
    return 1;
}

void config_read_ini(struct config_builder *b)
{
    struct ini_reading r = {.b = b, .current = SETTING_AT_COUNT};
    int line;

    if (!b->source->ini_text)
        return;
    r.rest = span_of(b->source->ini_text);
    line = ini_parse_stream(read_line, &r, on_pair, &r);
    use_routes(&r);
    config_string_clear(&r.routes);
    if (line > 0 && !b->no_memory)
        config_note(
            b, CONFIG_NOTE_ERROR,
            "%s line %d is not \"name = value\", \"[mxgate]\", \"[transport]\" or a comment",
            b->source->ini_name, line);
}
