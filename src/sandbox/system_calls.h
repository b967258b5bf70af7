/*
 * system_calls - seccomp: the system calls that the process may still make, in all its threads
 *
 * The list is in the .c file, with what each is for. Three answers to what is not on it:
 *
 *   starting a program, another process, looking into another, changing mounts or the kernel:
 *                   the process is killed at once (SIGSYS): no code of ours does that, so it is not
 *                   our code any more that runs
 *   a listed call with arguments that are not ours (a raw socket, executable memory):  EPERM
 *   anything else:  ENOSYS, as an old kernel would say it. A new libc that tries something new
 *                   falls back to what it did before; nothing ends.
 *
 * The kernel logs the first and the last kind with the number of the call (audit, type 1326), where
 * its log takes that.
 *
 * Fails:  -ENOSYS where the kernel has no seccomp filters, or this is a machine without a list.
 * Limits: x86-64 and aarch64. Cannot be taken back.
 */
#ifndef MXGATE_SANDBOX_SYSTEM_CALLS_H
#define MXGATE_SANDBOX_SYSTEM_CALLS_H

#include "base/errbuf.h"

/*
 * An io_uring does what its owner may not call, so there must be none when the list comes into
 * force; libuv makes one for its loop, and has no switch for that but this: io_uring_setup() is
 * ENOSYS from now on. Takes no_new_privs. 0 or -errno.
 */
int system_calls_forbid_rings(void);
/* For all threads, present and to come. Takes no_new_privs. */
int system_calls_restrict(struct errbuf *err);

#endif
