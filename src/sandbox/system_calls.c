/*
 * system_calls - see system_calls.h
 *
 * The filter is a chain of comparisons, the frequent calls first. Kernels since 5.11 run it once
 * for each call that is allowed whatever its arguments are, and remember the answer in a bitmap, so
 * its length costs nothing.
 *
 * To add a call: a row in `allowed` (in #ifdef, if only one machine has it) with what needs it.
 */
#include "sandbox/system_calls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#else
#define MACHINE 0
#endif

#define COUNT(array)    (sizeof(array) / sizeof(array)[0])
#define PROGRAM_MAX     256
#define CLONE_NEW_FLAGS 0x7e020000u /* CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET */
#define LOW(argument)   (offsetof(struct seccomp_data, args) + 8 * (argument))
#define HIGH(argument)  (LOW(argument) + 4)
#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS SECCOMP_RET_KILL
#endif
#ifndef SECCOMP_FILTER_FLAG_LOG
#define SECCOMP_FILTER_FLAG_LOG 2
#endif

#if MACHINE != 0

/* ---- the list ---- */

static const int allowed[] = {
    /* the loop: libuv, and reading and writing */
    SYS_epoll_pwait,
    SYS_read,
    SYS_write,
    SYS_writev,
    SYS_readv,
    SYS_futex,
    SYS_epoll_ctl,
#ifdef __x86_64__
    SYS_epoll_wait,
    SYS_poll,
    SYS_eventfd,
#endif
    SYS_ppoll,
    SYS_accept4,
    SYS_accept,
    SYS_close,
    SYS_fcntl,
    SYS_epoll_create1,
    SYS_eventfd2,
    SYS_pipe2,
    SYS_dup,
    SYS_dup3,
    /* time; most of it never leaves the vDSO */
    SYS_clock_gettime,
    SYS_gettimeofday,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_clock_getres,
#ifdef __x86_64__
    SYS_time,
#endif
    /* sockets; socket() itself is below */
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_getsockname,
    SYS_getpeername,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_recvmmsg,
    SYS_shutdown,
    /* files: spool, maildir, settings, certificates; which ones is paths.c's business */
    SYS_openat,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_lseek,
    SYS_fsync,
    SYS_fdatasync,
    SYS_ftruncate,
    SYS_renameat,
    SYS_renameat2,
    SYS_linkat,
    SYS_unlinkat,
    SYS_mkdirat,
    SYS_getdents64,
    SYS_fstatfs,
    SYS_statfs,
    SYS_faccessat,
    SYS_readlinkat,
    SYS_fchmod,
    SYS_flock,
    SYS_umask,
    SYS_getcwd,
#ifdef SYS_faccessat2
    SYS_faccessat2,
#endif
#ifdef __x86_64__ /* the same by their old names */
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_rename,
    SYS_unlink,
    SYS_mkdir,
    SYS_link,
    SYS_readlink,
    SYS_dup2,
    SYS_pipe,
#endif
    /* memory; mmap() and mprotect() are below */
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    /* threads and signals; clone() is below */
    SYS_set_robust_list,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_getpriority, /* threads of a lane give way to the others */
    SYS_setpriority,
    SYS_set_tid_address,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
    SYS_wait4,
#ifdef SYS_rseq
    SYS_rseq,
#endif
#ifdef SYS_membarrier
    SYS_membarrier,
#endif
#ifdef __x86_64__
    SYS_arch_prctl,
#endif
    /* who and where we are; random numbers for TLS and jitter */
    SYS_getpid,
    SYS_gettid,
    SYS_getppid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_uname,
    SYS_sysinfo,
    SYS_getrusage,
    SYS_getrandom,
    /* identity_borrow_owner() and identity_return() of one that stays root; nobody else may */
    SYS_capget,
    SYS_setfsuid,
    SYS_setfsgid,
};

/* Whoever calls one of these has taken us over. */
static const int deadly[] = {
    SYS_execve,
    SYS_execveat,
#ifdef __x86_64__
    SYS_fork,
    SYS_vfork,
#endif
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_open_by_handle_at,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_reboot,
};

/* ---- the program ---- */

struct program {
    struct sock_filter code[PROGRAM_MAX];
    size_t len;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    if (p->len < PROGRAM_MAX)
        p->code[p->len] = (struct sock_filter){code, if_true, if_false, k};
    p->len++; /* too long is found out at the end */
}

static void load(struct program *p, size_t offset)
{
    emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct program *p, uint32_t verdict)
{
    emit(p, BPF_RET | BPF_K, verdict, 0, 0);
}

static uint32_t failing(int error)
{
    return SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA);
}

/* If what is loaded equals `value`: this verdict. */
static void answer_if(struct program *p, uint32_t value, uint32_t verdict)
{
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    answer(p, verdict);
}

/* The same if any of these bits is set, or none. */
static void answer_if_bits(struct program *p, uint32_t bits, uint32_t verdict)
{
    emit(p, BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    answer(p, verdict);
}

static void answer_unless_bits(struct program *p, uint32_t bits, uint32_t verdict)
{
    emit(p, BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0);
    answer(p, verdict);
}

/* What comes between is for this call only; it has to end in an answer. The call's number is
 * loaded, and is again after end_call(). */
static size_t begin_call(struct program *p, int number)
{
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 0);
    return p->len - 1;
}

static void end_call(struct program *p, size_t begin)
{
    if (p->len < PROGRAM_MAX)
        p->code[begin].jf = (uint8_t)(p->len - begin - 1);
}

static void add_socket(struct program *p)
{
    size_t begin = begin_call(p, SYS_socket);

    load(p, LOW(0));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 3, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0);
    answer(p, failing(EPERM));
    load(p, LOW(1));
    emit(p, BPF_ALU | BPF_AND | BPF_K, (uint32_t) ~(SOCK_CLOEXEC | SOCK_NONBLOCK), 0, 0);
    answer_if(p, SOCK_STREAM, SECCOMP_RET_ALLOW);
    answer_if(p, SOCK_DGRAM, SECCOMP_RET_ALLOW);
    answer(p, failing(EPERM));
    end_call(p, begin);
}

/* Memory that is written and then executed is what an exploit needs. */
static void add_memory(struct program *p, int number)
{
    size_t begin = begin_call(p, number);

    load(p, LOW(2));
    answer_if_bits(p, PROT_EXEC, failing(EPERM));
    answer(p, SECCOMP_RET_ALLOW);
    end_call(p, begin);
}

/* A thread, never a process. clone3() hides its flags from us: libc falls back to clone(). */
static void add_clone(struct program *p)
{
    size_t begin = begin_call(p, SYS_clone);

    load(p, LOW(0));
    answer_if_bits(p, CLONE_NEW_FLAGS, SECCOMP_RET_KILL_PROCESS);
    answer_unless_bits(p, CLONE_THREAD, SECCOMP_RET_KILL_PROCESS);
    answer(p, SECCOMP_RET_ALLOW);
    end_call(p, begin);
}

static void add_ioctl(struct program *p)
{
    static const unsigned requests[] = {FIONBIO, FIOCLEX, FIONREAD, TIOCGWINSZ};
    size_t begin = begin_call(p, SYS_ioctl);

    load(p, LOW(1));
    for (size_t i = 0; i < COUNT(requests); i++)
        answer_if(p, requests[i], SECCOMP_RET_ALLOW);
    answer(p, failing(ENOTTY)); /* what isatty() expects */
    end_call(p, begin);
}

static void add_one_argument(struct program *p, int number, unsigned argument, uint32_t value)
{
    size_t begin = begin_call(p, number);

    load(p, LOW(argument));
    answer_if(p, value, SECCOMP_RET_ALLOW);
    answer(p, failing(EPERM));
    end_call(p, begin);
}

/* Reading limits only: of ourselves, and with no new value. */
static void add_prlimit(struct program *p)
{
    size_t begin = begin_call(p, SYS_prlimit64);

    load(p, LOW(0));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
    answer(p, failing(EPERM));
    load(p, LOW(2));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
    answer(p, failing(EPERM));
    load(p, HIGH(2));
    answer_if(p, 0, SECCOMP_RET_ALLOW);
    answer(p, failing(EPERM));
    end_call(p, begin);
}

static void add_checked(struct program *p)
{
    add_socket(p);
    add_memory(p, SYS_mmap);
    add_memory(p, SYS_mprotect);
    add_clone(p);
    add_ioctl(p);
    add_prlimit(p);
    add_one_argument(p, SYS_prctl, 0, PR_SET_NAME);
    add_one_argument(p, SYS_tgkill, 0, (uint32_t)getpid()); /* abort() */
    add_one_argument(p, SYS_tkill, 1, SIGABRT);             /* musl's abort() */
}

static void build(struct program *p)
{
    p->len = 0;
    load(p, offsetof(struct seccomp_data, arch));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0);
    answer(p, SECCOMP_RET_KILL_PROCESS); /* 32-bit calls: other numbers */
    load(p, offsetof(struct seccomp_data, nr));
    /* x32 calls have other numbers still: none of them is found below. So has what strace makes
     * fail (-1), which must not be deadly. One answer for a chain of comparisons; a jump reaches
     * 255 instructions. */
    for (size_t i = 0; i < COUNT(allowed); i++)
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], (uint8_t)(COUNT(allowed) - i), 0);
    emit(p, BPF_JMP | BPF_JA, 1, 0, 0);
    answer(p, SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < COUNT(deadly); i++)
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)deadly[i], (uint8_t)(COUNT(deadly) - i), 0);
    emit(p, BPF_JMP | BPF_JA, 1, 0, 0);
    answer(p, SECCOMP_RET_KILL_PROCESS);
    add_checked(p);
    answer(p, failing(ENOSYS));
}

int system_calls_forbid_rings(void)
{
    struct program p = {.len = 0};
    struct sock_fprog program = {.filter = p.code};

    load(&p, offsetof(struct seccomp_data, arch));
    emit(&p, BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0);
    answer(&p, SECCOMP_RET_ALLOW);
    load(&p, offsetof(struct seccomp_data, nr));
    answer_if(&p, SYS_io_uring_setup, failing(ENOSYS));
    answer(&p, SECCOMP_RET_ALLOW);
    program.len = (unsigned short)p.len;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
        return -errno;
    return 0;
}

_Static_assert(COUNT(allowed) < 200 && COUNT(deadly) < 200, "jumps of the chain are 8 bits wide");

int system_calls_restrict(struct errbuf *err)
{
    struct program p;
    struct sock_fprog program = {.filter = p.code};
    long rc;

    build(&p);
    if (p.len > PROGRAM_MAX)
        return errbuf_set(err, -E2BIG, "seccomp: the list is longer than its room");
    program.len = (unsigned short)p.len;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return errbuf_set(err, -errno, "seccomp: no_new_privs: %s", strerror(errno));
    rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                 SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG, &program);
    if (rc < 0 && errno == EINVAL) /* before 4.14 nothing is logged */
        rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    if (rc == 0)
        return 0;
    if (rc > 0)
        return errbuf_set(err, -EBUSY, "seccomp: thread %ld cannot be restricted", rc);
    return errbuf_set(err, errno == EINVAL ? -ENOSYS : -errno, "seccomp: %s", strerror(errno));
}

#else

int system_calls_forbid_rings(void)
{
    return -ENOSYS;
}

int system_calls_restrict(struct errbuf *err)
{
    return errbuf_set(err, -ENOSYS, "seccomp: no list for this machine");
}

#endif
