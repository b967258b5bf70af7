/* paths - see paths.h */
#include "sandbox/paths.h"

#include "base/span.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the headers of an older system do not have. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define ABI_REFER     2
#define ABI_TRUNCATE  3
#define ABI_IOCTL_DEV 5

#define HANDLED_FIRST                                                                              \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |   \
     LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |                                 \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                      \
    (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                       \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE)
/* What a rule on something that is no folder may name. */
#define OF_FILES                                                                                   \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |   \
     LANDLOCK_ACCESS_FS_TRUNCATE)

int paths_begin(struct paths *p)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs = HANDLED_FIRST};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    *p = (struct paths){.ruleset_fd = -1, .abi = (int)abi};
    if (abi < ABI_REFER)
        return -ENOSYS;
    attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= ABI_TRUNCATE)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (abi >= ABI_IOCTL_DEV)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    p->handled = attr.handled_access_fs;
    p->ruleset_fd =
        (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    return p->ruleset_fd < 0 ? -ENOSYS : 0;
}

int paths_add(struct paths *p, const char *path, enum paths_access access, struct errbuf *err)
{
    static const uint64_t rights[] = {
        READ, WRITE, LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE};
    struct landlock_path_beneath_attr rule = {.allowed_access = rights[access],
                                              .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat st;
    int rc = 0;

    if (rule.parent_fd < 0)
        return 0; /* not there, or not for us in any case */
    rule.allowed_access &= p->handled;
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= OF_FILES;
    if (syscall(SYS_landlock_add_rule, p->ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        rc = errbuf_set(err, -errno, "Landlock: %s: %s", path, strerror(errno));
    close(rule.parent_fd);
    return rc;
}

/* "/etc/mxgate" and "/certs" are somebody's, these are everybody's. */
static bool is_common(const char *folder)
{
    static const char *const common[] = {
        "",         "/bin",     "/boot",      "/dev",    "/etc",  "/home",      "/lib",
        "/lib64",   "/mnt",     "/opt",       "/proc",   "/root", "/run",       "/sbin",
        "/srv",     "/sys",     "/tmp",       "/usr",    "/var",  "/usr/local", "/usr/share",
        "/var/lib", "/var/run", "/var/spool", "/var/tmp"};

    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++) {
        if (strcmp(folder, common[i]) == 0)
            return true;
    }
    return false;
}

static int add_with_folder(struct paths *p, const char *path, struct errbuf *err)
{
    char folder[PATH_MAX];
    size_t slash = span_find_last(span_of(path), '/');

    if (!span_copy(span_first(span_of(path), slash), folder, sizeof folder) || is_common(folder))
        return paths_add(p, path, PATHS_READ, err);
    return paths_add(p, folder, PATHS_READ, err);
}

int paths_add_replaceable(struct paths *p, const char *path, struct errbuf *err)
{
    char *real = realpath(path, NULL);
    int rc = add_with_folder(p, path, err);

    if (rc == 0 && real)
        rc = add_with_folder(p, real, err);
    free(real);
    return rc;
}

int paths_enforce(struct paths *p, struct errbuf *err)
{
    int rc = 0;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_landlock_restrict_self, p->ruleset_fd, 0) != 0)
        rc = errbuf_set(err, -errno, "Landlock: %s", strerror(errno));
    paths_free(p);
    return rc;
}

void paths_free(struct paths *p)
{
    if (p->ruleset_fd >= 0)
        close(p->ruleset_fd);
    p->ruleset_fd = -1;
}
