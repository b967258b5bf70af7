/*
 * postconf_edit - postconf -e, -X and -#: changes the overrides, and has the daemon take them
 *
 *     lock -> build the configuration as it would be -> write, sync -> reload -> unlock
 *
 * Refused is what makes a configuration worse, not what leaves it bad: an init script sets one
 * thing after the other, and what is still missing in between is only said. A daemon that does not
 * take the new settings (its environment may differ from ours) has the file put back.
 *
 * Without a daemon the change is kept for its next start. A setting that is read only at the start
 * is kept as well, and that is said.
 */
#include "commands/commands.h"
#include "commands/daemon.h"
#include "commands/overrides_file.h"
#include "commands/postconf.h"
#include "config/overrides.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct editing {
    const struct postconf *options;
    struct settings_sources sources;
    struct override_edit *edits; /* owned */
    size_t count;
    struct overrides_file file;
    char *next;   /* owned: the text as it shall be */
    char *socket; /* owned */
};

/* ---- what there is ---- */

static int fatal_read(int rc, const struct errbuf *err)
{
    return command_fatal("postconf", rc == -ENOMEM ? EX_OSERR : EX_CONFIG, "%s", err->text);
}

/* Read twice: where the lock is, and what is there while we hold it. */
static int lock_sources(struct editing *e)
{
    struct errbuf err = {""};
    char *directory;
    int rc = settings_read(e->options->ini, &e->sources, &err);

    if (rc < 0)
        return fatal_read(rc, &err);
    directory = e->sources.directory;
    rc = overrides_file_lock(&e->file, directory, &err);
    if (rc < 0)
        return command_fatal("postconf", rc == -EBUSY ? EX_TEMPFAIL : EX_CANTCREAT, "%s", err.text);
    free(e->sources.overrides_text);
    e->sources.overrides_rc =
        overrides_file_read(directory, &e->sources.overrides_text, &e->sources.overrides_err);
    if (e->sources.overrides_rc < 0)
        return fatal_read(e->sources.overrides_rc, &e->sources.overrides_err);
    return EX_OK;
}

/* What environment and ini file alone say; NULL when memory is out. */
static struct config *build_without_overrides(const struct editing *e)
{
    struct settings_request request = {.lenient = true};
    struct settings_sources below = e->sources;
    struct config *config;

    below.overrides_text = NULL;
    settings_build(&below, &request, &config, NULL);
    return config;
}

/* -X of what postconf -e did not set: Postfix says nothing, but there the other sources are not. */
static void warn_of_others(const struct config *below, struct span name)
{
    const struct setting *s = setting_find(name);

    if (!s)
        command_warning("postconf", "%.*s: unknown parameter", (int)name.len, name.ptr);
    else if (config_is_set(below, s))
        command_warning("postconf", "%s is set by %s, not by postconf -e; remove it there", s->name,
                        config_set_by(below, s));
}

/*
 * What environment and ini file do not set is at its default once its override is gone; what they
 * set needs an override that says so. Takes out of e->edits what changes nothing.
 */
static int adapt_edits(struct editing *e)
{
    struct span text = span_of(e->sources.overrides_text);
    struct config *below = build_without_overrides(e);
    size_t kept = 0;

    if (!below)
        return command_fatal("postconf", EX_OSERR, "out of memory");
    for (size_t i = 0; i < e->count; i++) {
        struct override_edit edit = e->edits[i];
        const struct setting *s = setting_find(edit.name);

        if (edit.deed == OVERRIDE_RESET && s && !config_is_set(below, s))
            edit.deed = OVERRIDE_REMOVE;
        else if (edit.deed == OVERRIDE_REMOVE && !overrides_have(text, edit.name))
            warn_of_others(below, edit.name);
        if (edit.deed != OVERRIDE_REMOVE || overrides_have(text, edit.name))
            e->edits[kept++] = edit;
    }
    e->count = kept;
    config_unref(&below);
    return EX_OK;
}

/* ---- whether it would do ---- */

/* The operator has just said which of the two counts. */
static bool is_disagreement(struct span note)
{
    return span_starts_nocase(note, SPAN_LIT("postconf -e and ")) ||
           span_starts_nocase(note, SPAN_LIT("postconf -# and "));
}

static struct span without_our_name(struct span note)
{
    struct span name = SPAN_LIT("postconf -e: ");

    return span_starts_nocase(note, name) ? span_from(note, name.len) : note;
}

static void warn_of_note(struct span note)
{
    note = without_our_name(note);
    command_warning("postconf", "%.*s", (int)note.len, note.ptr);
}

/* Says what is wrong with the new configuration. False when that is more than what is wrong now. */
static bool tell_faults(const struct postconf_said *now, const struct postconf_said *next)
{
    struct span rest = postconf_notes_text(&next->warnings);
    struct span line;
    bool worse = false;

    while (postconf_next_note(&rest, &line)) {
        if (!postconf_notes_have(&now->warnings, line) && !is_disagreement(line))
            warn_of_note(line);
    }
    rest = postconf_notes_text(&next->errors);
    while (postconf_next_note(&rest, &line)) {
        if (postconf_notes_have(&now->errors, line)) {
            warn_of_note(line);
            continue;
        }
        worse = true;
        line = without_our_name(line);
        command_fatal("postconf", EX_DATAERR, "%.*s", (int)line.len, line.ptr);
    }
    return !worse;
}

static int judge(struct editing *e)
{
    struct postconf_said now = {.errors = {.text = NULL}};
    struct postconf_said next = {.errors = {.text = NULL}};
    struct settings_sources changed = e->sources;
    struct errbuf err = {""};
    int result = EX_OK;
    int rc = postconf_try(&e->sources, false, &now, NULL, &err);

    changed.overrides_text = e->next;
    if (rc == 0 || rc == -EINVAL)
        rc = postconf_try(&changed, false, &next, NULL, &err);
    if (rc < 0 && rc != -EINVAL)
        result = command_fatal("postconf", EX_OSERR, "%s", err.text);
    else if (!tell_faults(&now, &next))
        result = EX_DATAERR;
    postconf_said_free(&now);
    postconf_said_free(&next);
    return result;
}

/* ---- what is done ---- */

static int make_text(struct editing *e)
{
    free(e->next);
    e->next = overrides_edit(span_of(e->sources.overrides_text), e->edits, e->count);
    return e->next ? EX_OK : command_fatal("postconf", EX_OSERR, "out of memory");
}

/*
 * Parameters of Postfix that have no meaning here were only warned of. Nobody could ask for their
 * value, so it is not kept.
 */
static int drop_foreign(struct editing *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < e->count; i++) {
        if (e->edits[i].deed == OVERRIDE_REMOVE || setting_find(e->edits[i].name))
            e->edits[kept++] = e->edits[i];
    }
    if (kept == e->count)
        return EX_OK;
    e->count = kept;
    return make_text(e);
}

static int write_text(struct editing *e, const char *text)
{
    struct errbuf err = {""};

    if (overrides_file_write(&e->file, span_of(text), &err) < 0)
        return command_fatal("postconf", EX_IOERR, "%s", err.text);
    return EX_OK;
}

/* Settings whose new value waits for a restart of the running daemon. */
static void warn_of_fixed(const struct editing *e)
{
    for (size_t i = 0; i < e->count; i++) {
        const struct setting *s = setting_find(e->edits[i].name);

        if (s && !s->live)
            command_warning("postconf",
                            "%s: kept, but it is read only at the start: restart "
                            "mxgate to have it take effect",
                            s->name);
    }
}

/* The running daemon did not take it. */
static int take_back(struct editing *e, int exit_code, const char *why)
{
    const char *before = e->sources.overrides_text ? e->sources.overrides_text : "";

    if (write_text(e, before) != EX_OK)
        return command_fatal("postconf", exit_code,
                             "the running mail system refused what is now in %s: %s",
                             e->sources.overrides_path, why);
    return command_fatal("postconf", exit_code,
                         "nothing was changed, since the running mail system refused it: %s", why);
}

static int tell_daemon(struct editing *e)
{
    struct control_client client;
    struct errbuf err = {""};
    int rc = control_client_open(&client, e->socket, &err);

    if (daemon_is_down(rc))
        return EX_OK; /* it reads them when it starts */
    if (rc == 0) {
        rc = control_client_ask(&client, "reload", NULL, NULL, &err);
        control_client_close(&client);
    }
    if (rc < 0)
        return command_fatal("postconf", EX_TEMPFAIL,
                             "kept in %s, but the mail system did not say whether it took it: %s",
                             e->sources.overrides_path, err.text);
    if (rc > 0)
        return take_back(e, rc, err.text);
    warn_of_fixed(e);
    return EX_OK;
}

static int find_socket(struct editing *e)
{
    struct settings_request request = {.lenient = true};
    struct config *config;
    struct errbuf err = {""};
    int rc = settings_build(&e->sources, &request, &config, &err);

    if (rc < 0)
        return fatal_read(rc, &err);
    e->socket = strdup(config->control_socket);
    config_unref(&config);
    return e->socket ? EX_OK : command_fatal("postconf", EX_OSERR, "out of memory");
}

static int edit(struct editing *e)
{
    int rc = postconf_edits_parse(e->options, &e->edits, &e->count);

    if (rc == EX_OK)
        rc = lock_sources(e);
    if (rc == EX_OK)
        rc = adapt_edits(e);
    if (rc != EX_OK || e->count == 0)
        return rc;
    rc = make_text(e);
    if (rc == EX_OK)
        rc = judge(e);
    if (rc == EX_OK)
        rc = drop_foreign(e);
    if (rc == EX_OK)
        rc = find_socket(e);
    if (rc != EX_OK || e->count == 0)
        return rc;
    rc = write_text(e, e->next);
    if (rc == EX_OK)
        rc = tell_daemon(e);
    return rc;
}

int postconf_edit(const struct postconf *p)
{
    struct editing e = {
        .options = p, .file = {.dir_fd = -1, .lock_fd = -1}
    };
    int rc = edit(&e);

    overrides_file_unlock(&e.file);
    settings_free(&e.sources);
    free(e.edits);
    free(e.next);
    free(e.socket);
    return rc;
}
