/* settings - see settings.h */
#include "commands/settings.h"

#include "commands/commands.h"
#include "commands/overrides_file.h"
#include "sandbox/identity.h"
#include "sandbox/sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* Reads up to the end or `cap`; the bytes read or -errno. */
static ssize_t read_all(int fd, char *buf, size_t cap)
{
    size_t len = 0;

    while (len < cap) {
        ssize_t n = read(fd, buf + len, cap - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* *text_out is malloc'd and NUL-terminated. */
static int read_text(int fd, const char *path, char **text_out, struct errbuf *err)
{
    char *buf = malloc(SETTINGS_INI_MAX + 1);
    ssize_t len;

    if (!buf)
        return errbuf_set(err, -ENOMEM, "out of memory");
    len = read_all(fd, buf, SETTINGS_INI_MAX + 1);
    if (len >= 0 && (size_t)len <= SETTINGS_INI_MAX && !memchr(buf, '\0', (size_t)len)) {
        buf[len] = '\0';
        *text_out = buf;
        return 0;
    }
    free(buf);
    if (len < 0)
        return errbuf_set(err, (int)len, "%s: %s", path, strerror((int)-len));
    return errbuf_set(err, -EFBIG, "%s: longer than %u bytes, or not a text file", path,
                      SETTINGS_INI_MAX);
}

/* 0 and NULL when there is no file and nobody asked for it. */
static int read_ini(const char *path, bool must_exist, char **text_out, struct errbuf *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    *text_out = NULL;
    if (fd < 0 && errno == ENOENT && !must_exist)
        return 0;
    if (fd < 0)
        return errbuf_set(err, -errno, "%s: %s", path, strerror(errno));
    rc = read_text(fd, path, text_out, err);
    close(fd);
    return rc;
}

static struct config_source as_source(const struct settings_sources *s)
{
    return (struct config_source){.ini_text = s->ini_text,
                                  .ini_name = s->ini_path,
                                  .environment = s->secrets.environment,
                                  .system_hostname = s->host,
                                  .overrides_text = s->overrides_text,
                                  .overrides_name = s->overrides_path};
}

/* Where the overrides are is said by the other sources, so these are looked at first. */
static int find_overrides(struct settings_sources *s)
{
    struct config_source source = as_source(s);
    struct config *config;
    int rc = config_build_lenient(&source, NULL, NULL, &config);

    if (rc < 0)
        return rc;
    s->directory = strdup(config->queue_directory);
    if (asprintf(&s->overrides_path, "%s/overrides", config->queue_directory) < 0)
        s->overrides_path = NULL;
    config_unref(&config);
    return s->directory && s->overrides_path ? 0 : -ENOMEM;
}

int settings_read(const char *ini, struct settings_sources *out, struct errbuf *err)
{
    const char *asked = ini ? ini : getenv("MXGATE_INI");
    bool is_asked = asked && asked[0];
    int rc;

    identity_return(); /* if it was read before */
    *out = (struct settings_sources){.ini_path = is_asked ? asked : SETTINGS_INI};
    out->secrets_rc =
        secret_files_read((const char *const *)environ, &out->secrets, &out->secrets_err);
    if (out->secrets_rc == -ENOMEM)
        return errbuf_set(err, -ENOMEM, "out of memory");
    rc = read_ini(out->ini_path, is_asked, &out->ini_text, err);
    if (rc < 0)
        return rc;
    if (gethostname(out->host, sizeof out->host - 1) < 0)
        out->host[0] = '\0';
    rc = find_overrides(out);
    if (rc < 0)
        return errbuf_set(err, rc, "out of memory");
    identity_borrow_owner(out->directory);
    out->overrides_rc =
        overrides_file_read(out->directory, &out->overrides_text, &out->overrides_err);
    return 0;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void settings_free(struct settings_sources *sources)
{
    secret_files_free(&sources->secrets);
    wipe(sources->ini_text);
    free(sources->directory);
    free(sources->overrides_path);
    wipe(sources->overrides_text);
    *sources = (struct settings_sources){.ini_path = NULL};
}

/* What could not be read: why the settings cannot be used, or a warning. */
static int check_read(const struct settings_request *request, int rc, const struct errbuf *why,
                      struct errbuf *err)
{
    if (rc < 0 && !request->lenient)
        return errbuf_set(err, rc, "%s", why->text);
    if (rc < 0 && request->note)
        request->note(request->note_ctx, CONFIG_NOTE_WARNING, why->text);
    return 0;
}

void settings_hide(const struct config *config)
{
    if (config_holds_secret(config) && !HAS_SANITIZER)
        identity_hide_memory();
}

int settings_build(const struct settings_sources *sources, const struct settings_request *request,
                   struct config **config_out, struct errbuf *err)
{
    struct config_source source = as_source(sources);
    int rc;

    *config_out = NULL;
    rc = check_read(request, sources->secrets_rc, &sources->secrets_err, err);
    if (rc == 0)
        rc = check_read(request, sources->overrides_rc, &sources->overrides_err, err);
    if (rc < 0)
        return rc;
    rc = (request->lenient ? config_build_lenient : config_build)(&source, request->note,
                                                                  request->note_ctx, config_out);
    if (rc == -ENOMEM)
        errbuf_set(err, rc, "out of memory");
    if (rc == 0)
        settings_hide(*config_out);
    return rc;
}

int settings_load(const struct settings_request *request, struct config **config_out,
                  struct errbuf *err)
{
    struct settings_sources sources;
    int rc = settings_read(request->ini, &sources, err);

    *config_out = NULL;
    if (rc == 0)
        rc = settings_build(&sources, request, config_out, err);
    if (request->overrides_out) {
        *request->overrides_out = sources.overrides_text;
        sources.overrides_text = NULL;
    }
    settings_free(&sources);
    return rc;
}

int settings_for_command(const char *name, const char *ini, struct config **config_out)
{
    struct settings_request request = {.ini = ini, .lenient = true};
    struct errbuf err;
    int rc = settings_load(&request, config_out, &err);

    if (rc == 0)
        return EX_OK;
    return command_fatal(name, rc == -ENOMEM ? EX_OSERR : EX_CONFIG, "%s", err.text);
}
