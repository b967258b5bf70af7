/*
 * config_expand - $name, ${name} and $(name) in values, and the defaults that come from other
 * settings
 *
 * Every setting is expanded once and remembered, so the work is linear however values refer to each
 * other. $$ is a dollar sign; a dollar that no name follows stands for itself. A name that is no
 * setting gives nothing, as in Postfix, but is said. Logins are taken as they are: a dollar in a
 * password is one; nor is a secret put into another value, which would be shown. ${name?{a}:{b}} is
 * a if name is not empty, else b; ${name?a} and ${name:b} are the halves of it. Comparisons (${{a}
 * == {b} ? ...}) are not supported.
 *
 * Fails:  a loop, a comparison or a value that grows beyond its limit is an error of the setting
 * that has it. Limits: references nest at most as deep as there are settings, since each runs once;
 * conditions CONDITIONS_MAX deep.
 */
#include "config/config_private.h"

#include <string.h>

#define CONDITIONS_MAX 8

static bool expand(struct config_builder *b, enum setting_index at);

static bool is_name_char(char c)
{
    return ascii_is_alnum(c) || c == '_';
}

static bool add(struct config_builder *b, enum setting_index at, struct span more)
{
    struct config_string *text = &config_value(b, at)->text;

    if (text->len + more.len > config_value_max(at)) {
        config_fault(b, at, "is longer than %zu bytes; make it shorter", config_value_max(at));
        return false;
    }
    return config_string_add(b, text, more);
}

/* Expands what `at` refers to. */
static bool expand_other(struct config_builder *b, enum setting_index at, enum setting_index other)
{
    if (config_is_secret(span_of(settings[other].name)) &&
        !config_is_secret(span_of(settings[at].name))) {
        config_fault(b, at, "refers to $%s, which is a secret; remove it", settings[other].name);
        return false;
    }
    if (config_value(b, other)->expansion == EXPANSION_RUNNING) {
        config_fault(b, at, "refers to itself through $%s; give one of them a plain value",
                     settings[other].name);
        return false;
    }
    if (expand(b, other))
        return true;
    config_value(b, at)->bad = true; /* reported where it began */
    return false;
}

static bool add_reference(struct config_builder *b, enum setting_index at, struct span name)
{
    enum setting_index other = config_index(name);
    const struct config_value *v;

    if (other == SETTING_AT_COUNT) {
        struct config_shown shown = config_shown(at, name);

        config_note(b, CONFIG_NOTE_WARNING, "%s: $%s is not a setting here and stands for nothing",
                    settings[at].name, shown.text);
        return true;
    }
    v = config_value(b, other);
    return expand_other(b, at, other) && add(b, at, span_make(v->text.ptr, v->text.len));
}

/* Index of the bracket that closes what was opened before `s`, or s.len. */
static size_t find_closing(struct span s, char open, char close)
{
    unsigned depth = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == close && depth-- == 0)
            return i;
        if (s.ptr[i] == open)
            depth++;
    }
    return s.len;
}

/* After a dollar: takes the name, bracketed or not, off `rest`. False when none follows or it is
 * not closed. */
static bool take_name(struct span *rest, struct span *name_out)
{
    char open = rest->len > 0 ? rest->ptr[0] : '\0';
    char close = '\0';
    struct span inside = *rest;
    size_t len = 0;

    if (open == '{' || open == '(') {
        close = open == '{' ? '}' : ')';
        inside = span_from(*rest, 1);
        len = find_closing(inside, open, close);
    } else {
        while (len < inside.len && is_name_char(inside.ptr[len]))
            len++;
    }
    if (len == 0 || (close && len == inside.len))
        return false;
    *name_out = span_first(inside, len);
    *rest = span_from(inside, close ? len + 1 : len);
    return true;
}

static bool is_plain_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_char(name.ptr[i]))
            return false;
    }
    return true;
}

static bool add_expanded(struct config_builder *b, enum setting_index at, struct span raw);

/* "{text}", or all that is left. */
static bool take_branch(struct span *rest, struct span *branch_out)
{
    size_t end;

    *rest = span_trim(*rest);
    *branch_out = *rest;
    if (rest->len == 0 || rest->ptr[0] != '{') {
        *rest = span_from(*rest, rest->len);
        return true;
    }
    *branch_out = span_from(*rest, 1);
    end = find_closing(*branch_out, '{', '}');
    if (end == branch_out->len)
        return false;
    *rest = span_trim(span_from(*branch_out, end + 1));
    *branch_out = span_first(*branch_out, end);
    return true;
}

static bool take_after(struct span *rest, char mark, struct span *branch_out)
{
    if (rest->len == 0 || rest->ptr[0] != mark)
        return true;
    *rest = span_from(*rest, 1);
    return take_branch(rest, branch_out);
}

/* `text` is "?{a}:{b}", "?a" or ":b". */
static bool choose_branch(struct span text, bool is_set, struct span *chosen_out)
{
    struct span if_set = SPAN_LIT("");
    struct span if_not = SPAN_LIT("");

    if (!take_after(&text, '?', &if_set) || !take_after(&text, ':', &if_not))
        return false;
    *chosen_out = is_set ? if_set : if_not;
    return text.len == 0;
}

/* False when it is not one, or more than CONDITIONS_MAX deep. */
static bool parse_condition(struct config_builder *b, struct span inside, struct span *name_out,
                            struct span *test_out)
{
    size_t len = 0;

    while (len < inside.len && is_name_char(inside.ptr[len]))
        len++;
    *name_out = span_first(inside, len);
    *test_out = span_from(inside, len);
    return len > 0 && len < inside.len && (inside.ptr[len] == '?' || inside.ptr[len] == ':') &&
           b->conditions < CONDITIONS_MAX;
}

static bool add_condition(struct config_builder *b, enum setting_index at, struct span inside)
{
    struct span name, test, chosen;
    enum setting_index other;
    bool is_set = false;
    bool ok;

    if (parse_condition(b, inside, &name, &test)) {
        other = config_index(name);
        if (other != SETTING_AT_COUNT) {
            if (!expand_other(b, at, other))
                return false;
            is_set = config_value(b, other)->text.len > 0;
        }
        if (choose_branch(test, is_set, &chosen)) {
            b->conditions++;
            ok = add_expanded(b, at, chosen);
            b->conditions--;
            return ok;
        }
    }
    config_fault(b, at, "has a form of $ that is not supported; use $name or ${name}");
    return false;
}

/* `rest` begins behind a dollar. */
static bool add_dollar(struct config_builder *b, enum setting_index at, struct span *rest)
{
    struct span name;

    if (rest->len > 0 && rest->ptr[0] == '$') {
        *rest = span_from(*rest, 1);
        return add(b, at, SPAN_LIT("$"));
    }
    if (!take_name(rest, &name))
        return add(b, at, SPAN_LIT("$"));
    if (!is_plain_name(name))
        return add_condition(b, at, name);
    return add_reference(b, at, name);
}

static bool add_expanded(struct config_builder *b, enum setting_index at, struct span raw)
{
    while (raw.len > 0) {
        size_t dollar = span_find(raw, '$');

        if (!add(b, at, span_first(raw, dollar)))
            return false;
        if (dollar == raw.len)
            break;
        raw = span_from(raw, dollar + 1);
        if (!add_dollar(b, at, &raw))
            return false;
    }
    return true;
}

/* The host name, completed with mydomain when it has no dot and mydomain was set. */
static bool derive_myhostname(struct config_builder *b)
{
    struct config_value *v = config_value(b, SETTING_AT_myhostname);
    struct span host = b->hostname.len > 0 ? b->hostname : SPAN_LIT("localhost");
    bool complete = span_find(host, '.') == host.len && b->hostname.len > 0 &&
                    config_value(b, SETTING_AT_mydomain)->raw.len > 0;

    if (!add(b, SETTING_AT_myhostname, host))
        return false;
    if (complete && (!add(b, SETTING_AT_myhostname, SPAN_LIT(".")) ||
                     !add_reference(b, SETTING_AT_myhostname, SPAN_LIT("mydomain"))))
        return false;
    if (b->hostname_is_set && !config_value_set(b, SETTING_AT_myhostname,
                                                span_make(v->text.ptr, v->text.len), "HOSTNAME"))
        return false;
    if (b->hostname_is_set)
        config_note_applied(b, SETTING_AT_myhostname);
    return true;
}

static bool derive_mydomain(struct config_builder *b)
{
    const struct config_string *host = &config_value(b, SETTING_AT_myhostname)->text;
    struct span name;
    size_t dot;

    if (!expand_other(b, SETTING_AT_mydomain, SETTING_AT_myhostname))
        return false;
    name = span_make(host->ptr, host->len);
    dot = span_find(name, '.');
    return add(b, SETTING_AT_mydomain,
               dot < name.len ? span_from(name, dot + 1) : SPAN_LIT("localdomain"));
}

static bool derive_control_socket(struct config_builder *b)
{
    return add_reference(b, SETTING_AT_control_socket, SPAN_LIT("queue_directory")) &&
           add(b, SETTING_AT_control_socket, SPAN_LIT("/control.sock"));
}

/* An empty value of a setting whose default is computed. */
static bool derive(struct config_builder *b, enum setting_index at)
{
    if (at == SETTING_AT_myhostname)
        return derive_myhostname(b);
    if (at == SETTING_AT_mydomain)
        return derive_mydomain(b);
    if (at == SETTING_AT_control_socket)
        return derive_control_socket(b);
    return true;
}

/* Not expanded. */
static bool is_login(enum setting_index at)
{
    return at == SETTING_AT_relayhost_username || at == SETTING_AT_relayhost_password ||
           at == SETTING_AT_smtp_sasl_password_maps;
}

static bool add_value(struct config_builder *b, enum setting_index at, struct span raw)
{
    if (raw.len == 0)
        return derive(b, at);
    return is_login(at) ? add(b, at, raw) : add_expanded(b, at, raw);
}

static bool expand(struct config_builder *b, enum setting_index at)
{
    struct config_value *v = config_value(b, at);
    struct span raw = v->raw.ptr ? span_make(v->raw.ptr, v->raw.len) : config_default(at);

    if (v->expansion == EXPANSION_DONE)
        return !v->bad;
    v->expansion = EXPANSION_RUNNING;
    if (!v->bad && config_string_add(b, &v->text, SPAN_LIT("")))
        v->bad = !add_value(b, at, raw);
    v->expansion = EXPANSION_DONE;
    return !v->bad && !b->no_memory;
}

void config_expand(struct config_builder *b)
{
    for (size_t at = 0; at < SETTING_AT_COUNT && !b->no_memory; at++)
        expand(b, (enum setting_index)at);
}
