"""Postfix's smtp-source in front and smtp-sink behind; idle sessions."""

import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import process
import servers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from harness.dovecot import Dovecot  # noqa: E402

COUNT = re.compile(rb"mesg=\s*(\d+)")


class Sink:
    """smtp-sink -L -c: takes everything by LMTP, and says how much."""

    def __init__(self, port):
        self.port = port
        self.count = 0
        # Its read loop keeps the rest of what was read, so a number is never seen in halves.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(["smtp-sink", *user, "-L", "-c", "-m", "2000", f"127.0.0.1:{port}", "1000"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = b""
        while True:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                return
            whole, _, rest = (rest + data).rpartition(b"\r")
            found = COUNT.findall(whole)
            if found:
                self.count = int(found[-1])
            time.sleep(0.003)  # often enough, and it costs the measured ones nothing

    def wait(self, count, timeout):
        """Until so many came, or time is over: whether they came."""
        until = time.perf_counter() + timeout
        while self.count < count:
            if time.perf_counter() > until or self.process.poll() is not None:
                return False
            time.sleep(0.002)
        return True

    def stop(self):
        self.process.kill()
        self.process.wait()


class DovecotSink:
    """The upstream that mxgate is for: mails to ann@example.com go into one folder."""

    def __init__(self):
        self.dovecot = Dovecot(more=("ann",)).start()
        self.port = self.dovecot.lmtp_port

    @property
    def count(self):
        folder = self.dovecot.top / "mail" / "ann" / "Maildir" / "new"
        return len(os.listdir(folder)) if folder.exists() else 0

    def wait(self, count, timeout):
        until = time.perf_counter() + timeout
        while self.count < count:
            if time.perf_counter() > until:
                return False
            time.sleep(0.02)
        return True

    def stop(self):
        self.dovecot.stop()


def source(port, count, extra=()):
    """20 sessions at a time, one message of 4 KiB in each, as the issue asks for."""
    return subprocess.Popen(["smtp-source", "-s", "20", "-m", str(count), "-l", "4096", "-f", "bob@example.org",
                             "-t", "ann@example.com", *extra, f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL)


def run(server, sink, count, extra=(), timeout=60.0):
    """`count` messages end to end: (messages per second, milliseconds of the server's processor time for each)."""
    expected = sink.count + count
    cpu = process.cpu_s(server.pids())
    begun = time.perf_counter()
    client = source(server.port, count, extra)
    if client.wait(timeout) != 0:
        raise RuntimeError(f"smtp-source failed against {server.name}")
    if not sink.wait(expected, timeout):
        raise RuntimeError(f"{server.name}: {sink.count} of {expected} messages arrived, see {server.folder}")
    took = time.perf_counter() - begun
    return count / took, (process.cpu_s(server.pids()) - cpu) * 1000 / count


class Sessions:
    """So many open sessions after EHLO, held by a process of its own."""

    def __init__(self, port, count):
        self.process = subprocess.Popen([sys.executable, str(HERE / "sessions.py"), str(port), str(count)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline().strip() != b"ready":
            raise RuntimeError(f"cannot open {count} sessions")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def filled(make, count):
    """(server, port of its upstream): `count` messages queued while nothing listens there."""
    port = servers.free_port()
    server = make(port).start()
    if source(server.port, count).wait(180) != 0:
        raise RuntimeError(f"smtp-source failed against {server.name}")
    return server, port


def drain(server, port, count, patience):
    """Its upstream returns. (sink, seconds from then to the last of `count`, or None when that is not within `patience` seconds)"""
    sink = Sink(port)
    begun = time.perf_counter()
    done = sink.wait(count, patience)
    while done and server.queued() > 0 and time.perf_counter() - begun < patience:
        time.sleep(0.01)
    return sink, time.perf_counter() - begun if done else None
