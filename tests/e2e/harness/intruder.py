"""Somebody who has taken over a thread of a process: makes it do a system call of our choice (ptrace, x86-64)."""

import ctypes
import os
import pathlib
import platform
import signal

from . import wait

SEIZE, INTERRUPT, GETREGS, SETREGS, SINGLESTEP, DETACH = 0x4206, 0x4207, 12, 13, 9, 17
WALL = 0x40000000
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs")
NUMBERS = {"open": 2, "mmap": 9, "socket": 41, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62,
           "chmod": 90, "chown": 92, "ptrace": 101, "setuid": 105, "prctl": 157, "chroot": 161, "mount": 165,
           "openat": 257, "unshare": 272, "process_vm_readv": 310, "execveat": 322, "bpf": 321, "io_uring_setup": 425,
           "close": 3, "rename": 82, "mkdir": 83, "unlink": 87, "symlink": 88}

works = platform.machine() == "x86_64" and os.geteuid() == 0
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in NAMES.split()]


class Killed(Exception):
    """The kernel ended the process for it; args[0] is the signal."""


def ptrace(request, tid, address=0, data=0):
    if libc.ptrace(request, tid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace {request:#x} of {tid}: {os.strerror(number)}")


def threads(pid):
    return sorted(int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def wait_stop(tid):
    _, status = os.waitpid(tid, WALL)
    if os.WIFSIGNALED(status):
        raise Killed(os.WTERMSIG(status))
    assert os.WIFSTOPPED(status), status


class Intruder:
    """In one thread, which must be waiting in a system call. A thread that was killed is nobody's any more."""

    def __init__(self, pid, tid=None):
        self.pid, self.tid = pid, tid or pid
        self.alive = True

    def __enter__(self):
        self.before = Registers()
        self.memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR)
        try:
            wait.until(self._stop, f"thread {self.tid} to wait in a system call")
        except BaseException:
            os.close(self.memory)
            raise
        return self

    def _stop(self):
        """One that is at work goes on, to be stopped again: whoever stays a tracer keeps the process from ending."""
        ptrace(SEIZE, self.tid)
        ptrace(INTERRUPT, self.tid)
        wait_stop(self.tid)
        ptrace(GETREGS, self.tid, 0, ctypes.addressof(self.before))
        if os.pread(self.memory, 2, self.before.rip - 2) == b"\x0f\x05":
            return True
        ptrace(DETACH, self.tid)
        return False

    def __exit__(self, *_):
        os.close(self.memory)
        if self.alive:
            ptrace(SETREGS, self.tid, 0, ctypes.addressof(self.before))
            ptrace(DETACH, self.tid)

    def call(self, name, *arguments):
        """The result: not negative, or minus errno. bytes are put into its memory, with a NUL."""
        registers = Registers.from_buffer_copy(self.before)
        room = registers.rsp - 4096  # beyond the red zone
        values = []
        for argument in arguments:
            if isinstance(argument, bytes):
                os.pwrite(self.memory, argument + b"\0", room)
                values.append(room)
                room += len(argument) + 8
            else:
                values.append(argument & (1 << 64) - 1)
        for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values + [0] * (6 - len(values))):
            setattr(registers, register, value)
        registers.rip -= 2
        registers.rax, registers.orig_rax = NUMBERS[name], (1 << 64) - 1
        ptrace(SETREGS, self.tid, 0, ctypes.addressof(registers))
        ptrace(SINGLESTEP, self.tid)
        try:
            wait_stop(self.tid)
        except Killed:
            self.alive = False
            raise
        ptrace(GETREGS, self.tid, 0, ctypes.addressof(registers))
        return ctypes.c_longlong(registers.rax).value


def without(system_call_numbers):
    """For preexec_fn: these system calls are ENOSYS from now on, as in an older kernel."""
    codes = [(0x20, 0, 0, 0)]
    for number in system_call_numbers:
        codes += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 38)]
    codes.append((0x06, 0, 0, 0x7FFF0000))
    program = b"".join(code.to_bytes(2, "little") + bytes((yes, no)) + k.to_bytes(4, "little") for code, yes, no, k in codes)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    made = Program(len(codes), program)

    def install():
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(made), 0, 0) == 0, "seccomp"

    return install


SIGSYS = signal.SIGSYS
