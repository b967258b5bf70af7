/*
 * disk_fixture - a temporary folder, a loop with a disk lane, and file calls that fail when told to
 *
 * disk_setup() installs the failing calls (they do what the real ones do until disk_fault() is
 * used); disk_teardown() removes the folder and checks that nothing is left: handles, descriptors,
 * the loop.
 */
#ifndef MXGATE_TESTS_IO_DISK_FIXTURE_H
#define MXGATE_TESTS_IO_DISK_FIXTURE_H

#include "message/disk.h"
#include "net/lane.h"

enum disk_call {
    DISK_OPENAT,
    DISK_CLOSE,
    DISK_PREAD,
    DISK_PWRITEV,
    DISK_WRITE,
    DISK_FTRUNCATE,
    DISK_FSYNC,
    DISK_FDATASYNC,
    DISK_MKDIRAT,
    DISK_RENAME,
    DISK_RENAMEAT,
    DISK_LINKAT,
    DISK_UNLINKAT,
    DISK_FSTATVFS,
    DISK_CALL_COUNT,
    DISK_CHANGES /* of disk_fault: any call that changes something, as when the disk dies */
};

struct disk_fixture {
    char path[64];
    uv_loop_t loop;
    struct lane disk;
    unsigned fds; /* open before */
};

void disk_setup(struct disk_fixture *d);
void disk_teardown(struct disk_fixture *d);
void disk_run(struct disk_fixture *d); /* until nothing is left to do */

/* From the call after `skip` further ones on, `times` calls fail with `error`. Forgets earlier
 * faults and counts. */
void disk_fault(enum disk_call call, unsigned skip, unsigned times, int error);
void disk_fault_short(
    size_t most); /* every read and write moves at most so many bytes; 0: no limit */
void disk_fault_none(void);
bool disk_fault_fired(void);
unsigned disk_count(enum disk_call call); /* calls since disk_fault() or disk_fault_none() */
/* Called on the lane before each fsync, with the descriptor; NULL: nothing. */
void disk_on_fsync(void (*hook)(int fd));

/* Paths below the folder. */
unsigned disk_names(struct disk_fixture *d,
                    const char *folder); /* how many; 0 when there is none */
bool disk_exists(struct disk_fixture *d, const char *name);
/* The file's bytes, NUL-terminated and malloc'd. */
char *disk_content(struct disk_fixture *d, const char *name, size_t *len_out);
void disk_put(struct disk_fixture *d, const char *name, const void *bytes, size_t len);
unsigned disk_open_fds(void);

#endif
