"""What a set of processes uses, read from /proc."""

import os

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """Fields of /proc/PID/stat from the state on (the name before it may hold anything)."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()


def tree(root):
    """`root` and all its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(int(_stat(name)[1]), []).append(int(name))
            except (OSError, IndexError):
                pass  # it ended meanwhile
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def pss_kib(pids):
    """Proportional set size: shared pages are divided among those who share them, so a sum counts them once."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except OSError:
            pass
    return total


def cpu_s(pids):
    """Seconds of processor time, ended and waited-for children included."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(int(x) for x in _stat(pid)[11:15])
        except (OSError, IndexError):
            pass
    return ticks / TICK
