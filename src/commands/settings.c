/* settings - see settings.h */
#include "commands/settings.h"

#include "commands/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define HOST_NAME_CAP 256

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

int settings_load(const struct settings_request *request, struct config **config_out,
                  struct errbuf *err)
{
    const char *asked = request->ini ? request->ini : getenv("MXGATE_INI");
    bool is_asked = asked && asked[0];
    const char *path = is_asked ? asked : SETTINGS_INI;
    char host[HOST_NAME_CAP] = "";
    struct config_source source = {.ini_name = path, .system_hostname = host};
    char *text;
    int rc = read_ini(path, is_asked, &text, err);

    *config_out = NULL;
    if (rc < 0)
        return rc;
    if (gethostname(host, sizeof host - 1) < 0)
        host[0] = '\0';
    source.ini_text = text;
    source.environment = (const char *const *)environ;
    rc = (request->lenient ? config_build_lenient : config_build)(&source, request->note,
                                                                  request->note_ctx, config_out);
    free(text);
    if (rc == -ENOMEM)
        errbuf_set(err, rc, "out of memory");
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
