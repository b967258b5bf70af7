/* self_signed_store - see self_signed_store.h */
#include "server/self_signed_store.h"

#include "base/crash_point.h"
#include "message/disk.h"
#include "tls/credentials_load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct file_names {
    const char *name, *new_name;
};

static struct file_names names_of(enum key_kind kind)
{
    if (kind == KEY_RSA)
        return (struct file_names){"self-signed-rsa.pem", "self-signed-rsa.pem.new"};
    return (struct file_names){"self-signed-ec.pem", "self-signed-ec.pem.new"};
}

/* Makes the folder when it is missing and wanted, and the name last. A descriptor, or negative. */
static int open_folder(const char *directory, bool make)
{
    int parent = disk_open(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
    int folder, rc;

    if (parent < 0)
        return parent;
    folder = disk_open(parent, SELF_SIGNED_FOLDER, O_RDONLY | O_DIRECTORY);
    if (folder == -ENOENT && make) {
        rc = disk_mkdir(parent, SELF_SIGNED_FOLDER);
        CRASH_POINT("certificate-folder-made");
        if (rc == 0)
            rc = disk_fsync(parent);
        folder = rc < 0 ? rc : disk_open(parent, SELF_SIGNED_FOLDER, O_RDONLY | O_DIRECTORY);
    }
    disk_close(parent);
    return folder;
}

/* ---- reading ---- */

static bool fits(const struct self_signed_order *o, struct span pem, struct errbuf *why)
{
    struct credentials_file file = {names_of(o->kind).name, pem};
    struct credential_pair pair;
    const struct credential *c;
    bool good;

    if (credential_load(&file, 1, NULL, NULL, &pair, why) < 0)
        return false;
    c = o->kind == KEY_RSA ? pair.rsa : pair.ec;
    good = c && self_signed_fits(c, &o->names, o->now_s);
    if (!good)
        errbuf_set(why, 0, "the one before was for other names, or expires soon");
    credential_unref(pair.rsa);
    credential_unref(pair.ec);
    return good;
}

/* o->pem when there is one that fits, else o->why. */
static void read_pair(struct self_signed_order *o, int folder)
{
    int fd = disk_open(folder, names_of(o->kind).name, O_RDONLY);
    char *pem = NULL;
    int64_t len = fd;

    if (fd == -ENOENT)
        return;
    if (fd >= 0)
        pem = calloc(1, SELF_SIGNED_PEM_CAP + 1);
    if (pem)
        len = disk_read(fd, pem, SELF_SIGNED_PEM_CAP, 0);
    disk_close(fd);
    if (len < 0)
        errbuf_set(&o->why, 0, "the one before cannot be read: %s", strerror((int)-len));
    else if (pem && fits(o, span_make(pem, (size_t)len), &o->why))
        o->pem = pem;
    if (pem && o->pem != pem) {
        explicit_bzero(pem, SELF_SIGNED_PEM_CAP);
        free(pem);
    }
}

/* ---- writing ---- */

static int write_file(int fd, char *pem)
{
    struct iovec part = {pem, strlen(pem)};
    int rc = disk_write(fd, &part, 1, 0);

    return rc < 0 ? rc : disk_fsync(fd);
}

static int keep(const struct self_signed_order *o, int folder)
{
    struct file_names names = names_of(o->kind);
    int fd = disk_open(folder, names.new_name, O_WRONLY | O_CREAT | O_TRUNC);
    int rc;

    if (fd < 0)
        return fd;
    CRASH_POINT("certificate-created");
    rc = write_file(fd, o->pem);
    CRASH_POINT("certificate-synced");
    disk_close(fd);
    if (rc == 0)
        rc = disk_replace(folder, names.new_name, names.name);
    if (rc < 0) {
        disk_unlink(folder, names.new_name);
        return rc;
    }
    CRASH_POINT("certificate-replaced");
    return disk_fsync(folder);
}

/* A folder that cannot be used keeps nothing, and the pair is good all the same. */
static void make_pair(struct self_signed_order *o, int folder)
{
    char *pem = calloc(1, SELF_SIGNED_PEM_CAP);
    int rc;

    if (!pem) {
        errbuf_set(&o->trouble, 0, "out of memory");
        return;
    }
    if (self_signed_make(o->kind, &o->names, o->now_s, pem, &o->trouble) < 0) {
        free(pem);
        return;
    }
    o->pem = pem;
    o->made = true;
    rc = folder < 0 ? folder : keep(o, folder);
    if (rc < 0)
        errbuf_set(&o->trouble, rc, "it cannot be kept in %s/" SELF_SIGNED_FOLDER ": %s",
                   o->directory, strerror(-rc));
}

void self_signed_get(struct self_signed_order *o)
{
    int folder = open_folder(o->directory, o->make);

    o->pem = NULL;
    o->made = false;
    o->why.text[0] = '\0';
    o->trouble.text[0] = '\0';
    if (folder >= 0)
        read_pair(o, folder);
    if (!o->pem && o->make)
        make_pair(o, folder);
    disk_close(folder);
}
