/* secret_files - see secret_files.h */
#include "commands/secret_files.h"

#include "base/text.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct span suffix = {"_FILE", 5};
static const struct span prefix = {"POSTFIX_", 8};

/* Whether `name` is "X" or "POSTFIX_x" of a secret setting x. */
static bool is_secret_variable(struct span name)
{
    bool postfix = span_equal(span_first(name, prefix.len), prefix);
    struct span wanted = postfix ? span_from(name, prefix.len) : name;

    for (size_t i = 0; i < settings_count; i++) {
        struct span setting = span_of(settings[i].name);

        if (!config_is_secret(setting) || !span_equal_nocase(wanted, setting))
            continue;
        /* POSTFIX_x in Postfix's small letters; the other in capitals */
        return postfix ? span_equal(wanted, setting) : !span_equal(wanted, setting);
    }
    return false;
}

/* The variable that "NAME_FILE=path" stands for; empty when it stands for none. */
static struct span target_of(const char *entry, const char **path_out)
{
    struct span whole = span_of(entry);
    size_t equals = span_find(whole, '=');
    struct span name = span_first(whole, equals);

    *path_out = equals < whole.len ? entry + equals + 1 : "";
    if (name.len <= suffix.len || !span_equal(span_from(name, name.len - suffix.len), suffix))
        return span_make(NULL, 0);
    name = span_first(name, name.len - suffix.len);
    return is_secret_variable(name) ? name : span_make(NULL, 0);
}

static bool is_set(const char *const *environment, struct span name)
{
    for (; *environment; environment++) {
        struct span entry = span_of(*environment);

        if (span_equal(span_first(entry, span_find(entry, '=')), name))
            return true;
    }
    return false;
}

/* The bytes read into buf, or -errno. */
static ssize_t read_file(const char *path, char *buf, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    if (fd < 0)
        return -errno;
    while (len < cap && (n = read(fd, buf + len, cap - len)) != 0) {
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            break;
    }
    n = n < 0 ? -errno : (ssize_t)len;
    close(fd);
    return n;
}

static int append(struct secret_files *s, size_t *count, struct span name, struct span value)
{
    size_t cap = name.len + value.len + 2;
    char *entry = malloc(cap);
    struct text t;

    if (!entry)
        return -ENOMEM;
    text_init(&t, entry, cap);
    text_span(&t, name);
    text_char(&t, '=');
    text_span(&t, value);
    s->made[s->made_count++] = entry;
    s->environment[(*count)++] = entry;
    return 0;
}

static int take_file(struct secret_files *s, size_t *count, struct span name, const char *path,
                     struct errbuf *err)
{
    char buf[SECRET_FILE_MAX + 1] = "";
    struct span value = span_make(buf, 0);
    ssize_t len = path[0] ? read_file(path, buf, sizeof buf) : 0;
    int rc;

    if (len > SECRET_FILE_MAX)
        len = -EFBIG;
    if (len < 0)
        return errbuf_set(err, (int)len, "%.*s_FILE: %s: %s", (int)name.len, name.ptr, path,
                          strerror((int)-len));
    value.len = (size_t)len;
    while (value.len > 0 && (buf[value.len - 1] == '\n' || buf[value.len - 1] == '\r'))
        value.len--;
    if (span_find(value, '\0') < value.len)
        rc = errbuf_set(err, -EINVAL, "%.*s_FILE: %s: not a text file", (int)name.len, name.ptr,
                        path);
    else
        rc = append(s, count, name, value);
    explicit_bzero(buf, sizeof buf);
    return rc;
}

static int note_both(struct span name, struct errbuf *err)
{
    return errbuf_set(err, -EINVAL, "%.*s and %.*s_FILE are both set; remove one of them",
                      (int)name.len, name.ptr, (int)name.len, name.ptr);
}

/* What is reported; that memory is out ends everything. */
static int first_of(int before, int now)
{
    return now == -ENOMEM || before == 0 ? now : before;
}

int secret_files_read(const char *const *environment, struct secret_files *out, struct errbuf *err)
{
    size_t entries = 0, count = 0;
    int rc = 0;

    while (environment[entries])
        entries++;
    *out = (struct secret_files){.environment = calloc(entries + 1, sizeof *out->environment),
                                 .made = calloc(entries + 1, sizeof *out->made)};
    if (!out->environment || !out->made)
        return errbuf_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < entries && rc != -ENOMEM; i++) {
        const char *path;
        struct span name = target_of(environment[i], &path);

        if (name.len == 0)
            out->environment[count++] = environment[i];
        else if (is_set(environment, name))
            rc = note_both(name, err);
        else
            rc = first_of(rc, take_file(out, &count, name, path, err));
    }
    return rc;
}

void secret_files_free(struct secret_files *s)
{
    for (size_t i = 0; i < s->made_count; i++) {
        explicit_bzero(s->made[i], strlen(s->made[i]));
        free(s->made[i]);
    }
    free(s->made);
    free(s->environment);
    *s = (struct secret_files){.environment = NULL};
}
