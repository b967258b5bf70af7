/*
 * postcat - show a queued message, with Postfix's options and shapes
 *
 *     postcat [-q] [-ehb] [-dov] ID|file ...
 *         -q: ids; else file names; none: standard input. -e envelope, -h header, -b body (all of
 *         them unless some are named), -o offsets, -d record types, -v text lines as records
 *
 * Reads the files themselves, so a daemon need not run; it is only asked whether a message is
 * active. An id is looked for in queue/, incoming/ and corrupt/. Of a damaged file everything that
 * can be read is shown, and a warning says what is wrong.
 *
 * Fails: 1, as Postfix's, at the first file that is not there; what is no queue file is only warned
 * of.
 */
#include "commands/commands.h"
#include "commands/queue_active.h"
#include "commands/settings.h"
#include "control/control_format_cat.h"
#include "queue/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define NAME "postcat"
#define USAGE                                                                                      \
    "usage: postcat [-b (body text)] [-c config_file] [-d (decimal record type)] "                 \
    "[-e (envelope records)] [-h (header text)] [-o (offsets)] [-q (access queue)] [-v] "          \
    "[file(s)...]"
#define FAILED 1
#define CHUNK  65536

struct postcat {
    const char *ini;
    bool by_id;
    struct cat cat;
    char *chunk; /* owned; CHUNK bytes */
};

static void write_out(void *ctx, struct span bytes)
{
    fwrite(bytes.ptr, 1, bytes.len, ctx);
}

/* Up to `len` bytes at `offset`; fewer at the end of the file. */
static ssize_t read_at(int fd, char *buf, size_t len, uint64_t offset)
{
    ssize_t n;

    do
        n = pread(fd, buf, len, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n;
}

/* ---- one file ---- */

static int show_text(struct postcat *p, int fd, const struct spool_file *f)
{
    uint64_t at = 0;

    while (at < f->body_len) {
        uint64_t left = f->body_len - at;
        ssize_t n = read_at(fd, p->chunk, left < CHUNK ? (size_t)left : CHUNK, f->body_offset + at);

        if (n < 0)
            return command_fatal(NAME, FAILED, "read %s: %s", p->cat.name, strerror(errno));
        if (n == 0)
            break; /* cut short: it was told */
        cat_text(&p->cat, span_make(p->chunk, (size_t)n));
        at += (uint64_t)n;
    }
    return EX_OK;
}

static int show_envelope(struct postcat *p, int fd, const struct spool_file *f)
{
    char *header = malloc((size_t)f->body_offset + 1);
    ssize_t len;

    if (!header)
        return command_fatal(NAME, FAILED, "out of memory");
    len = read_at(fd, header, (size_t)f->body_offset, 0);
    if (len >= 0)
        cat_envelope(&p->cat, f, span_make(header, (size_t)len));
    free(header);
    return len >= 0 ? EX_OK
                    : command_fatal(NAME, FAILED, "read %s: %s", p->cat.name, strerror(errno));
}

static int show(struct postcat *p, int fd, const struct spool_file *f)
{
    int rc = show_envelope(p, fd, f);

    if (rc == EX_OK)
        rc = show_text(p, fd, f);
    if (rc == EX_OK)
        cat_end(&p->cat);
    return rc;
}

static void tell_damage(const char *name, const struct errbuf *damage)
{
    if (damage->text[0])
        command_warning(NAME, "%s: %s", name, damage->text);
}

static int show_file(struct postcat *p, const char *name)
{
    struct errbuf damage = {""};
    struct spool_file f = {0};
    int fd = strcmp(name, "-") == 0 ? dup(STDIN_FILENO) : open(name, O_RDONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return command_fatal(NAME, FAILED, "open %s: %s", name, strerror(errno));
    p->cat.name = name;
    if (spool_look(fd, &f, &damage) == 0) {
        tell_damage(name, &damage);
        rc = show(p, fd, &f);
        spool_file_deinit(&f);
    } else {
        command_warning(NAME, "%s: input is not a valid queue file", name);
        rc = EX_OK;
    }
    close(fd);
    return rc;
}

/* ---- by id ---- */

struct finding {
    struct spool spool;
    struct queue_active active;
};

/* As it comes, and where it is: queue/, incoming/, corrupt/. A message moves from the second to the
 * first: so the first is looked at again. */
static int find(const struct finding *finding, const char *id, const char **folder_out)
{
    static const char *const folders[] = {"queue", "incoming", "queue", "corrupt"};

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char name[QUEUE_ID_PLAUSIBLE_MAX + 16];
        struct text t;
        int fd;

        text_init(&t, name, sizeof name);
        text_printf(&t, "%s/%s", folders[i], id);
        fd = openat(finding->spool.root_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        *folder_out = folders[i];
        if (fd >= 0 || errno != ENOENT)
            return fd;
    }
    return -1;
}

static const char *queue_name(const struct finding *finding, const char *folder,
                              const struct spool_file *f)
{
    if (strcmp(folder, "queue") != 0)
        return folder;
    if (queue_active_has(&finding->active, &f->envelope->id))
        return "active";
    return f->on_hold ? "hold" : "deferred";
}

static int show_found(struct postcat *p, const struct finding *finding, const char *id,
                      const char *folder, int fd)
{
    char shown[QUEUE_ID_PLAUSIBLE_MAX + 16];
    struct errbuf damage = {""};
    struct spool_file f = {0};
    struct text t;
    int rc;

    text_init(&t, shown, sizeof shown);
    if (spool_look(fd, &f, &damage) < 0) {
        text_printf(&t, "%s/%s", folder, id);
        command_warning(NAME, "%s: input is not a valid queue file: %s", shown, damage.text);
        return EX_OK;
    }
    text_printf(&t, "%s/%s", queue_name(finding, folder, &f), id);
    if (strcmp(folder, "incoming") != 0) /* else it is not complete yet, naturally */
        tell_damage(shown, &damage);
    p->cat.name = shown;
    rc = show(p, fd, &f);
    p->cat.name = NULL;
    spool_file_deinit(&f);
    return rc;
}

static int show_id(struct postcat *p, const struct finding *finding, const char *id)
{
    const char *folder;
    int fd;
    int rc;

    if (!queue_id_plausible(span_of(id)))
        return command_fatal(NAME, FAILED, "bad mail queue ID: %s", id);
    fd = find(finding, id, &folder);
    if (fd < 0)
        return command_fatal(NAME, FAILED, "open queue file %s: %s", id, strerror(errno));
    rc = show_found(p, finding, id, folder, fd);
    close(fd);
    return rc;
}

static int show_ids(struct postcat *p, char **ids)
{
    struct finding finding;
    struct config *config;
    struct errbuf err;
    int rc = settings_for_command(NAME, p->ini, &config);

    if (rc != EX_OK)
        return rc;
    if (spool_open_readonly(&finding.spool, config->queue_directory, &err) < 0) {
        rc = command_fatal(NAME, FAILED, "%s", err.text);
    } else {
        queue_active_ask(&finding.active, config->control_socket);
        for (; rc == EX_OK && *ids; ids++)
            rc = show_id(p, &finding, *ids);
        queue_active_deinit(&finding.active);
        spool_close(&finding.spool);
    }
    config_unref(&config);
    return rc;
}

/* ---- the command ---- */

static bool parse_options(struct postcat *p, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "bc:dehoqv")) != -1) {
        switch (option) {
        case 'b':
            p->cat.parts |= CAT_BODY;
            break;
        case 'c':
            p->ini = optarg;
            break;
        case 'd':
            p->cat.decimal = true;
            break;
        case 'e':
            p->cat.parts |= CAT_ENVELOPE;
            break;
        case 'h':
            p->cat.parts |= CAT_HEADER;
            break;
        case 'o':
            p->cat.offsets = true;
            break;
        case 'q':
            p->by_id = true;
            break;
        case 'v':
            p->cat.verbose = true;
            break;
        default:
            return false;
        }
    }
    if (p->cat.parts == 0)
        p->cat.parts = CAT_ENVELOPE | CAT_HEADER | CAT_BODY;
    return true;
}

int command_postcat(int argc, char **argv)
{
    struct postcat p = {
        .cat = {.write = write_out, .ctx = stdout}
    };
    int rc = EX_OK;

    if (!parse_options(&p, argc, argv))
        return command_fatal(NAME, FAILED, "%s", USAGE);
    p.chunk = malloc(CHUNK);
    if (!p.chunk)
        return command_fatal(NAME, FAILED, "out of memory");
    if (optind == argc)
        rc = show_file(&p, "-");
    else if (p.by_id)
        rc = show_ids(&p, argv + optind);
    for (int i = optind; !p.by_id && rc == EX_OK && i < argc; i++)
        rc = show_file(&p, argv[i]);
    free(p.chunk);
    if (fflush(stdout) != 0 || ferror(stdout))
        return command_fatal(NAME, FAILED, "cannot write to standard output");
    return rc;
}
