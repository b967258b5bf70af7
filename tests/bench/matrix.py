"""Messages per second by size, by sessions at a time, and with a session for each or kept; delay of replies; what goes to the disk."""

import os
import pathlib
import re
import socket
import statistics
import subprocess
import tempfile
import time

import load
import process
import servers

SIZES = {"4 KB": 4096, "64 KB": 65536, "1 MB": 1048576}
SESSIONS = (1, 20, 100)


def options(size, sessions, kept):
    """smtp-source takes the last of what is said twice."""
    return ["-s", str(sessions), "-l", str(size), *(["-d"] if kept else [])]


def count_for(server, sink, extra, seconds, least):
    """So many messages that they take about so long."""
    rate, _ = load.run(server, sink, least, extra)
    return max(least, int(rate * seconds))


def throughput(table, group, sink, seconds, sizes=SIZES):
    for title, size in sizes.items():
        for sessions in SESSIONS:
            for kept in (False, True):
                extra = options(size, sessions, kept)
                least = max(sessions, 20 if size > 100000 else 100)
                counts = {n: count_for(s, sink, extra, seconds, least) for n, s in group.items()}
                rates = {n: load.run(s, sink, counts[n], extra)[0] for n, s in group.items()}
                table.add(f"messages/s, {title}, {sessions} at a time, {'kept' if kept else 'a session each'}",
                          **{n: f"{r:,.0f}" if r >= 100 else f"{r:.3g}" for n, r in rates.items()})
                if "Postfix" in rates:
                    table.add("  times Postfix's", **{n: f"{r / rates['Postfix']:.1f}" for n, r in rates.items()})


# --- delay

class Client:
    """One message after the other; how long the first reply and the last one took."""

    BODY = b"Subject: x\r\n\r\n" + b"0123456789abcdef" * 4 * 62 + b"\r\n.\r\n"

    def __init__(self, port):
        self.port = port
        self.greeting, self.taken = [], []

    def one(self):
        begun = time.perf_counter()
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            s.setsockopt(socket.SOL_TCP, socket.TCP_NODELAY, 1)
            f = s.makefile("rb")
            f.readline()
            self.greeting.append(time.perf_counter() - begun)
            for line in (b"EHLO client.example.org", b"MAIL FROM:<bob@example.org>", b"RCPT TO:<ann@example.com>", b"DATA"):
                s.sendall(line + b"\r\n")
                while (reply := f.readline())[3:4] == b"-":
                    pass
                if reply[:1] not in b"23":
                    raise ConnectionError(reply)
            begun = time.perf_counter()
            s.sendall(self.BODY)
            if not f.readline().startswith(b"250"):
                raise ConnectionError("not taken")
            self.taken.append(time.perf_counter() - begun)
            s.sendall(b"QUIT\r\n")

    def many(self, count):
        for _ in range(count):
            self.one()
            time.sleep(0.002)
        return self


def centiles(seconds):
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1000:.2f} / {ordered[len(ordered) * 99 // 100] * 1000:.2f} ms"


def delays(table, group, sink, count):
    rows = {}
    for name, server in group.items():
        alone = Client(server.port).many(count)
        rate, _ = load.run(server, sink, 200, ["-d"])
        beside = load.source(server.port, int(rate * (count * 0.004 + 2)), ["-d"])
        busy = Client(server.port).many(count)
        used = process.pss_kib(server.pids())
        if beside.wait(60) != 0:
            raise RuntimeError(f"smtp-source failed against {server.name}")
        rows[name] = (centiles(alone.greeting), centiles(alone.taken), centiles(busy.greeting), centiles(busy.taken), f"{used / 1024:.1f} MiB")
    for at, what in enumerate(("first reply, idle: p50 / p99", "250 after the dot, idle: p50 / p99", "first reply, 20 sessions beside: p50 / p99",
                               "250 after the dot, 20 sessions beside: p50 / p99", "memory under that load, PSS")):
        table.add(what, **{name: cells[at] for name, cells in rows.items()})


# --- the disk

def written(folder):
    """Bytes that its block device was given; None where that is not one of its own."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        device, where, *_ = line.split()
        if where == str(folder) and device.startswith("/dev/loop"):
            return int((pathlib.Path("/sys/block") / device[5:] / "stat").read_text().split()[6]) * 512
    return None


def syncs(server, sink, count):
    """fsync and fdatasync for each message, counted by strace in all that the server has running."""
    with tempfile.NamedTemporaryFile("r") as out:
        pids = [option for pid in server.pids() for option in ("-p", str(pid))]
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-c", "-U", "calls,name", "-e", "trace=fsync,fdatasync",
                                   "-o", out.name, *pids], stderr=subprocess.DEVNULL)
        time.sleep(1)
        load.run(server, sink, count, ["-d"])
        tracer.terminate()
        tracer.wait(20)
        calls = sum(int(n) for n in re.findall(r"(?m)^\s*(\d+)\s+f(?:data)?sync\s*$", out.read()))
    return calls / count


def disk(table, group, sink, top, counts):
    """counts: name -> messages."""
    cells, calls = {}, {}
    for name, server in group.items():
        load.run(server, sink, 100, ["-d"])
        os.sync()
        before = written(top)
        load.run(server, sink, counts[name], ["-d"])
        time.sleep(1)
        os.sync()
        if before is not None:
            cells[name] = f"{(written(top) - before) / counts[name] / 1024:.1f} KiB"
        calls[name] = f"{syncs(server, sink, min(500, counts[name])):.2f}"
    table.add("written to the disk per 4 KB message", **cells)
    table.add("fsyncs per message, 20 sessions", **calls)
