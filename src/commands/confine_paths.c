/* confine_paths - see confine_paths.h */
#include "commands/confine_paths.h"

#include "config/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS ", \t\r\n{}"

/* ---- the list ---- */

static int add(struct confine_paths *list, struct span path, enum confine_kind kind)
{
    struct confine_path *more;
    char *copy;

    for (size_t i = 0; i < list->count; i++) {
        if (list->entries[i].kind == kind && span_equal(span_of(list->entries[i].path), path))
            return 0;
    }
    more = realloc(list->entries, (list->count + 1) * sizeof *more);
    if (!more)
        return -ENOMEM;
    list->entries = more;
    copy = strndup(path.ptr, path.len);
    if (!copy)
        return -ENOMEM;
    list->entries[list->count++] = (struct confine_path){copy, kind};
    return 0;
}

void confine_paths_free(struct confine_paths *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->entries[i].path);
    free(list->entries);
    *list = (struct confine_paths){NULL, 0};
}

static struct span folder_of(struct span path)
{
    size_t slash = span_find_last(path, '/');

    if (slash == path.len)
        return SPAN_LIT(".");
    return span_first(path, slash > 0 ? slash : 1);
}

/* ---- what settings name ---- */

static int add_routes(struct confine_paths *list, const char *targets)
{
    struct route_list routes;
    int rc = 0;

    if (route_list_parse(span_of(targets), &routes, NULL) < 0)
        return 0; /* said elsewhere */
    for (size_t i = 0; rc == 0 && i < routes.count; i++) {
        if (routes.targets[i].kind == ROUTE_MAILDIR)
            rc = add(list, span_of(routes.targets[i].path), CONFINE_WRITE);
    }
    return rc;
}

static int add_destinations(struct confine_paths *list, const struct config *config)
{
    int rc = add_routes(list, config->relay_transport);

    for (size_t i = 0; rc == 0 && i < config->transports.count; i++)
        rc = add_routes(list, config->transports.entries[i].targets);
    return rc;
}

static bool names_files(const struct setting *s)
{
    if (s->kind != SETTING_text && s->kind != SETTING_words)
        return false;
    if (strcmp(s->name, "queue_directory") == 0)
        return false;
    return strcasestr(s->name, "file") || strcasestr(s->name, "path") ||
           strcasestr(s->name, "directory") || strcasestr(s->name, "sni_maps");
}

/* "/a/b, /c", "type:/a/b" and "{ name=/a/b }": from the first slash of each word. */
static int add_words(struct confine_paths *list, const char *value)
{
    struct span rest = span_of(value);
    struct span word;
    int rc = 0;

    while (rc == 0 && span_next_word(&rest, SEPARATORS, &word)) {
        struct span path = span_from(word, span_find(word, '/'));

        if (path.len > 0)
            rc = add(list, path, CONFINE_REPLACEABLE);
    }
    return rc;
}

int confine_paths_of_settings(const struct config *config, struct confine_paths *out)
{
    int rc = add_destinations(out, config);

    for (size_t i = 0; rc == 0 && i < settings_count; i++) {
        const char *const *value =
            (const char *const *)(const void *)((const char *)config + settings[i].offset);

        if (names_files(&settings[i]))
            rc = add_words(out, *value);
    }
    return rc;
}

/* ---- what is needed in any case ---- */

static int add_secrets(struct confine_paths *list, const char *const *environment)
{
    int rc = 0;

    for (; rc == 0 && *environment; environment++) {
        struct span entry = span_of(*environment);
        size_t equals = span_find(entry, '=');
        struct span value = span_from(entry, equals + 1);

        if (span_ends_nocase(span_first(entry, equals), SPAN_LIT("_FILE")) && value.len > 0 &&
            value.ptr[0] == '/')
            rc = add(list, value, CONFINE_REPLACEABLE);
    }
    return rc;
}

static int add_system(struct confine_paths *list)
{
    static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
                                        "/etc/host.conf", "/etc/localtime"};
    static const char *const stay[] = {"/usr/share/zoneinfo", "/etc/ssl/certs"};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof files / sizeof files[0]; i++)
        rc = add(list, span_of(files[i]), CONFINE_REPLACEABLE);
    for (size_t i = 0; rc == 0 && i < sizeof stay / sizeof stay[0]; i++)
        rc = add(list, span_of(stay[i]), CONFINE_READ);
    return rc;
}

int confine_paths_of_process(const struct config *config, const char *ini,
                             const char *const *environment, struct confine_paths *out)
{
    int rc = add(out, span_of(config->queue_directory), CONFINE_WRITE);

    if (rc == 0)
        rc = add(out, folder_of(span_of(config->control_socket)), CONFINE_SOCKET);
    if (rc == 0)
        rc = add(out, span_of(ini), CONFINE_REPLACEABLE);
    if (rc == 0)
        rc = confine_paths_of_settings(config, out);
    if (rc == 0)
        rc = add_secrets(out, environment);
    return rc == 0 ? add_system(out) : rc;
}

/* ---- look-up ---- */

static bool is_below(struct span path, struct span folder)
{
    return path.len > folder.len && path.ptr[folder.len] == '/' &&
           span_equal(span_first(path, folder.len), folder);
}

static bool entry_covers(const struct confine_path *entry, const struct confine_path *wanted)
{
    struct span have = span_of(entry->path);
    struct span want = span_of(wanted->path);

    if (wanted->kind == CONFINE_WRITE && entry->kind != CONFINE_WRITE)
        return false;
    if (span_equal(have, want))
        return true;
    if (entry->kind == CONFINE_REPLACEABLE) /* its folder was admitted */
        return span_equal(folder_of(have), folder_of(want));
    return (entry->kind == CONFINE_WRITE || entry->kind == CONFINE_READ) && is_below(want, have);
}

bool confine_paths_cover(const struct confine_paths *list, const struct confine_path *path)
{
    for (size_t i = 0; i < list->count; i++) {
        if (entry_covers(&list->entries[i], path))
            return true;
    }
    return false;
}
