/* identity - see identity.h */
#include "sandbox/identity.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPS_MAX 64

/* ---- capabilities ---- */

struct capabilities {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
};

static int capabilities_get(struct capabilities *c)
{
    *c = (struct capabilities){.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
    return (int)syscall(SYS_capget, &c->header, c->data);
}

bool identity_is_armed(void)
{
    struct capabilities c;

    if (capabilities_get(&c) != 0)
        return true;
    return (c.data[0].permitted | c.data[1].permitted | c.data[0].effective |
            c.data[1].effective) != 0;
}

static void limit_bounding_set(void)
{
    for (unsigned long cap = 0; cap < CAPS_MAX; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* EPERM: then no_new_privs has to do */
    }
}

int identity_become(const struct identity *who, struct errbuf *err)
{
    limit_bounding_set(); /* now: it takes a capability */
    if (setgroups(0, NULL) != 0 || setresgid(who->gid, who->gid, who->gid) != 0 ||
        setresuid(who->uid, who->uid, who->uid) != 0)
        return errbuf_set(err, -errno,
                          "cannot become uid %u, gid %u: %s (it takes CAP_SETUID and CAP_SETGID)",
                          (unsigned)who->uid, (unsigned)who->gid, strerror(errno));
    if (who->uid != 0 && (setuid(0) == 0 || geteuid() == 0))
        return errbuf_set(err, -EPERM, "still root after becoming uid %u", (unsigned)who->uid);
    return 0;
}

int identity_hide_memory(void)
{
    struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -errno;
}

int identity_disarm(struct errbuf *err)
{
    struct capabilities none = {.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
    int rc;

    limit_bounding_set(); /* first: it takes a capability */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &none.header, none.data) != 0)
        return errbuf_set(err, -errno, "cannot drop capabilities: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return errbuf_set(err, -errno, "cannot set no_new_privs: %s", strerror(errno));
    rc = identity_hide_memory();
    if (rc < 0)
        return errbuf_set(err, rc, "cannot forbid core files: %s", strerror(-rc));
    return 0;
}

/* ---- the eyes of the owner ---- */

void identity_borrow_owner(const char *directory)
{
    struct capabilities c;
    struct stat st;

    if (geteuid() != 0 || capabilities_get(&c) != 0 ||
        (c.data[0].effective & (1u << CAP_DAC_OVERRIDE)) != 0 || stat(directory, &st) != 0)
        return;
    setfsgid(st.st_gid);
    setfsuid(st.st_uid);
}

void identity_return(void)
{
    if (geteuid() != 0)
        return;
    setfsuid(0);
    setfsgid(getegid());
}
