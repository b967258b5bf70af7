/*
 * tsan_close - in the build with ThreadSanitizer: lets it see libuv's close()
 *
 * libuv closes descriptors by syscall(SYS_close), which the sanitizer does not look into. It then
 * takes the next descriptor with that number for the closed one, and what a thread of the pool does
 * with a file for a race with what the loop once did with a socket. This syscall() stands before
 * the C library's and says it; no report is suppressed. Linked to the programs of tests/io in that
 * build only (Makefile).
 */
#if defined(__SANITIZE_THREAD__)
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As long as six arguments fit into any system call, as in the C library. */
long syscall(long number, ...)
{
    long a[6], rc;
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_close)
        return close((int)a[0]);
#if defined(__x86_64__)
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    register long r9 __asm__("r9") = a[5];

    __asm__ volatile("syscall"
                     : "=a"(rc)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a[0];
    register long x1 __asm__("x1") = a[1];
    register long x2 __asm__("x2") = a[2];
    register long x3 __asm__("x3") = a[3];
    register long x4 __asm__("x4") = a[4];
    register long x5 __asm__("x5") = a[5];

    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    rc = x0;
#endif
    if (rc < 0 && rc > -4096) {
        errno = (int)-rc;
        return -1;
    }
    return rc;
}
#endif
