/*
 * crash_point - places where tests let the process die: nothing in all builds but theirs
 *
 * CRASH_POINT("name") stands between two steps by which mail changes hands, or a file of ours is
 * replaced. Built with -DMXGATE_CRASH_POINTS (make crash-programs: build/crash/mxgate) a process
 * ends there, as after kill -9, if MXGATE_CRASH_POINT is "name", or "name:N" at the N-th pass.
 * tests/crash/test_crash_points.py takes the list from the source and visits each, so a new one is
 * tested by being written down; it must lie on the way of that test's work. A name stands once.
 */
#ifndef MXGATE_BASE_CRASH_POINT_H
#define MXGATE_BASE_CRASH_POINT_H

#ifdef MXGATE_CRASH_POINTS

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CRASH_POINT_STATUS 86 /* of a process that ended at one */

static inline void crash_point_pass(const char *name, atomic_uint *passes)
{
    const char *want = getenv("MXGATE_CRASH_POINT");
    size_t len = strlen(name);
    unsigned pass = ++*passes;
    unsigned long at;

    if (!want || strncmp(want, name, len) != 0 || (want[len] != '\0' && want[len] != ':'))
        return;
    at = want[len] == ':' ? strtoul(want + len + 1, NULL, 10) : 1;
    if (pass == at)
        _exit(CRASH_POINT_STATUS);
}

#define CRASH_POINT(name)                                                                          \
    do {                                                                                           \
        static atomic_uint crash_passes;                                                           \
        crash_point_pass(name, &crash_passes);                                                     \
    } while (0)

#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
