/* confine - see confine.h */
#include "commands/confine.h"

#include "commands/settings.h"
#include "config/user.h"
#include "sandbox/identity.h"
#include "sandbox/ownership.h"
#include "sandbox/paths.h"
#include "sandbox/sanitizer.h"
#include "sandbox/system_calls.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

void confine_prepare(const struct config *config)
{
    if (config->sandbox != SANDBOX_NO && !HAS_SANITIZER)
        system_calls_forbid_rings(); /* where it fails, confine_lock() says so */
}

/* ---- the user ---- */

static int give_spool(const struct confine *c, const struct config *config,
                      const struct identity *who, struct errbuf *err)
{
    struct ownership_count count;
    int rc = ownership_give(config->queue_directory, "lock", who, &count, err);

    if (rc == 0 && count.given > 0)
        log_startup(c->log, LOG_SEVERITY_INFO,
                    "%llu files and folders in %s now belong to uid %u (RUN_AS_USER)",
                    (unsigned long long)count.given, config->queue_directory, (unsigned)who->uid);
    if (rc == 0 && count.skipped > 0)
        log_startup(c->log, LOG_SEVERITY_WARNING,
                    "%llu names in %s keep their owner (links, other file systems, no files of a "
                    "spool), %s for one",
                    (unsigned long long)count.skipped, config->queue_directory, count.example);
    return rc;
}

int confine_user(struct confine *c, const struct config *config, struct errbuf *err)
{
    struct identity who;
    struct user user;
    int rc;

    if (!user_parse(span_of(config->run_as_user), &user)) {
        if (geteuid() == 0)
            log_startup(c->log, LOG_SEVERITY_WARNING,
                        "Running as root: set RUN_AS_USER=10025:10025 to give that up after the "
                        "start");
        return 0;
    }
    who = (struct identity){.uid = user.uid, .gid = user.gid};
    if (geteuid() == who.uid)
        return 0; /* started as that user */
    if (geteuid() != 0)
        return errbuf_set(err, -EPERM,
                          "run_as_user is %s, but uid %u cannot become anybody else: start it as "
                          "root or as that user, or leave run_as_user empty",
                          config->run_as_user, (unsigned)geteuid());
    rc = ownership_make_folder(config->queue_directory, err);
    if (rc == 0)
        rc = give_spool(c, config, &who, err);
    return rc == 0 ? identity_become(&who, err) : rc;
}

/* ---- the sandbox ---- */

static int add_write(struct paths *p, const char *path, struct errbuf *err)
{
    char folder[PATH_MAX];
    size_t slash = span_find_last(span_of(path), '/');

    /* One that is not there yet is made in the folder above it. */
    if (access(path, F_OK) != 0 && slash > 0 &&
        span_copy(span_first(span_of(path), slash), folder, sizeof folder))
        path = folder;
    return paths_add(p, path, PATHS_WRITE, err);
}

static int add_path(struct paths *p, const struct confine_path *entry, struct errbuf *err)
{
    switch (entry->kind) {
    case CONFINE_READ:
        return paths_add(p, entry->path, PATHS_READ, err);
    case CONFINE_REPLACEABLE:
        return paths_add_replaceable(p, entry->path, err);
    case CONFINE_WRITE:
        return add_write(p, entry->path, err);
    case CONFINE_SOCKET:
        break;
    }
    return paths_add(p, entry->path, PATHS_SOCKET, err);
}

/* The paths that are admitted are told in c->admitted. */
static int lock_paths(struct confine *c, const struct config *config, const char *ini,
                      struct errbuf *err)
{
    struct confine_paths list = {NULL, 0};
    struct paths p;
    int rc = paths_begin(&p);

    if (rc < 0)
        return errbuf_set(err, rc, "this kernel has no Landlock, or not enough of it");
    if (confine_paths_of_process(config, ini, (const char *const *)environ, &list) < 0)
        rc = errbuf_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        rc = add_path(&p, &list.entries[i], err);
    if (rc == 0)
        rc = paths_enforce(&p, err);
    if (rc == 0)
        c->admitted = list;
    else
        confine_paths_free(&list);
    paths_free(&p);
    return rc;
}

/* What is missing ends the start when it is asked for. */
static int missing(const struct confine *c, const struct config *config, int rc,
                   const char *meaning, struct errbuf *err)
{
    if (config->sandbox == SANDBOX_YES)
        return errbuf_prefix(err, rc, "sandbox=yes, but");
    log_startup(c->log, LOG_SEVERITY_WARNING, "The sandbox is not complete: %s; %s", err->text,
                meaning);
    return 0;
}

static void say(const struct confine *c, bool calls)
{
    log_startup(c->log, LOG_SEVERITY_INFO, "Running as uid %u, gid %u; sandbox: %s%s",
                (unsigned)geteuid(), (unsigned)getegid(),
                calls ? "no other program, only system calls of a mail server" : "all system calls",
                c->admitted.count > 0 ? ", only the files that settings name" : ", all files");
}

int confine_lock(struct confine *c, const struct config *config, const char *ini,
                 struct errbuf *err)
{
    bool calls = false;
    int rc;

    settings_hide(config); /* becoming somebody else has undone it */
    if (config->sandbox == SANDBOX_NO) {
        log_startup(c->log, LOG_SEVERITY_WARNING,
                    "THE SANDBOX IS OFF (sandbox=no): whoever takes this process over may start "
                    "programs and read every file that uid %u may",
                    (unsigned)geteuid());
        return 0;
    }
    if (HAS_SANITIZER) {
        errbuf_set(err, 0, "this build has a sanitizer");
        return missing(c, config, -ENOSYS, "nothing is restricted", err);
    }
    rc = identity_disarm(err);
    if (rc < 0)
        return rc;
    rc = lock_paths(c, config, ini, err);
    if (rc < 0)
        rc = missing(c, config, rc, "every file that this user may open is in reach", err);
    if (rc == 0) {
        rc = system_calls_restrict(err);
        calls = rc == 0;
        if (rc < 0)
            rc = missing(c, config, rc, "every system call is in reach", err);
    }
    if (rc == 0)
        say(c, calls);
    return rc;
}

/* ---- a reload ---- */

int confine_admits(const struct confine *c, const struct config *next, struct errbuf *err)
{
    struct confine_paths wanted = {NULL, 0};
    int rc = 0;

    if (c->admitted.count > 0 && confine_paths_of_settings(next, &wanted) < 0)
        rc = errbuf_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < wanted.count; i++) {
        if (!confine_paths_cover(&c->admitted, &wanted.entries[i]))
            rc = errbuf_set(err, -EACCES,
                            "%s is beyond the sandbox, which admits what the settings named at the "
                            "start: that needs a restart",
                            wanted.entries[i].path);
    }
    confine_paths_free(&wanted);
    return rc;
}
