"""The gateway under test: one `mxgate serve` on a spool of its own, configured by environment only."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time

from . import wait

ROOT = pathlib.Path(__file__).resolve().parents[3]
_kept = tempfile.TemporaryDirectory(prefix="mxgate-certificates-")
KEPT = pathlib.Path(_kept.name)
LISTENING = re.compile(r"Listening on (\S+):(\d+)")
SANITIZER = re.compile(r"ERROR: \w*Sanitizer|runtime error: |^==\d+== (?:Invalid|Conditional|ERROR SUMMARY: [1-9])", re.M)


def binary():
    return os.path.abspath(os.environ.get("MXGATE_BIN") or ROOT / "build" / "mxgate")


def healthcheck_binary():
    return os.path.abspath(os.environ.get("HEALTHCHECK_BIN") or ROOT / "build" / "healthcheck")


def clean_environment(settings):
    """Nothing of ours leaks in: only what the test sets, and what sanitizers read."""
    keep = ("PATH", "HOME", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
    environment = {k: os.environ[k] for k in keep if k in os.environ}  # threads use it while pytest writes there
    environment.update({k.upper() if k == k.lower() else k: str(v) for k, v in settings.items()})
    return environment


def wished():
    """What a suite wants of every gateway: MXGATE_RUN_AS_USER is the user to become, when we are root. Valgrind and
    the like cannot live in a sandbox."""
    wish = {}
    if os.environ.get("MXGATE_RUN_AS_USER") and os.geteuid() == 0:
        wish["run_as_user"] = os.environ["MXGATE_RUN_AS_USER"]
    if os.environ.get("MXGATE_WRAPPER"):
        wish["sandbox"] = "no"
    return wish


class Gateway:
    DEFAULTS = {
        "listen": "127.0.0.1:0",
        "hostname": "mx.example.com",
        "allowed_domains": "example.com",
        "smtpd_peername_lookup": "no",
        "smtpd_error_sleep_time": "0",  # tests that make many errors would take long
        "minimal_backoff_time": "1s",
        "maximal_backoff_time": "2s",
        "destination_probe_max": "500ms",
        "notify_recipient": "none",  # notices are mail too: test_bounces.py asks for them
    }

    def __init__(self, directory=None, **settings):
        self._own = None
        if directory is None:
            self._own = tempfile.TemporaryDirectory(prefix="mxgate-gw-")
            directory = self._own.name
        self.directory = pathlib.Path(directory)
        self.spool = pathlib.Path(settings.get("queue_directory") or self.directory / "spool")
        self.settings = {**self.DEFAULTS, **wished(), **settings, "queue_directory": self.spool}
        self.lines = []  # every log line of every life, in order
        self.stderr = b""
        self.wrapper = []  # what to run it and its commands with
        self.before_exec = None  # of the daemon
        self.process = None
        self.port = None
        self.started_in = None
        self._reader = None
        self._stderr_file = None

    # --- life

    def _certificates(self, keep):
        """Self-signed pairs are made once in a run of the tests for each name: an RSA key is half a second of work.
        Before the start they are put where the gateway looks, at its end they are kept."""
        made = KEPT / str(self.settings.get("myhostname") or self.settings.get("hostname"))
        here, there = (self.spool / "tls", made) if keep else (made, self.spool / "tls")
        if not keep and "smtpd_tls_chain_files" in self.settings:
            return
        if (here / "self-signed-rsa.pem").exists() and not there.exists() and os.access(there.parent, os.W_OK):
            shutil.copytree(here, there)

    def start(self, ready=True):
        assert self.process is None, "already running"
        self.spool.mkdir(parents=True, exist_ok=True)
        self._let_in()
        self._certificates(keep=False)
        wrapper = self.wrapper or shlex.split(os.environ.get("MXGATE_WRAPPER", ""))
        self.port = None
        mark = len(self.lines)
        self._stderr_file = tempfile.TemporaryFile()
        begun = time.monotonic()
        self.process = subprocess.Popen([*wrapper, binary(), "serve"],
                                        env=clean_environment(self.settings), cwd=self.directory,
                                        preexec_fn=self.before_exec, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._stderr_file)
        self._reader = threading.Thread(target=self._read_log, args=(self.process,), daemon=True)
        self._reader.start()
        if ready:
            wait.until(lambda: self.port or self.process.poll() is not None,
                       lambda: "the gateway to say 'Listening on'; it said:\n" + "\n".join(self.lines[mark:]), 10)
            if not self.port:
                code = self._reap()
                raise AssertionError(f"the gateway ended with {code} at start:\n" + "\n".join(self.lines[mark:])
                                     + "\n" + self.stderr.decode("utf-8", "replace"))
            self.started_in = time.monotonic() - begun
        return self

    def wait_seen(self, timeout=1.0):
        """Until its first look at each destination is over, so that what a test breaks next is not that; or not, where
        one keeps it waiting on purpose. Ways out (their names have no lmtp: or smtp:) are not looked at."""
        end = time.monotonic() + timeout * wait.SCALE
        try:
            while time.monotonic() < end and not all(
                    d["known"] or d["name"].partition(":")[0] not in ("lmtp", "smtp") for d in self.ask_status()["destinations"]):
                time.sleep(0.005)
        except OSError:
            pass  # its socket is elsewhere, or not for us: tests of that
        return self

    def _let_in(self):
        """The user that it becomes must get to its spool: through folders that tests made for root alone."""
        user = self.settings.get("run_as_user")
        if not user or os.geteuid() != 0:
            return
        temporary = pathlib.Path(tempfile.gettempdir()).resolve()
        for folder in self.spool.resolve().parents:
            if temporary in folder.parents and not folder.stat().st_mode & stat.S_IXOTH:
                folder.chmod(folder.stat().st_mode | stat.S_IXOTH)

    def ask_status(self):
        """What `mxgate status --json` prints, without a process for it."""
        with socket.socket(socket.AF_UNIX) as asker:
            asker.settimeout(10 * wait.SCALE)
            asker.connect(str(self.settings.get("control_socket") or self.spool / "control.sock"))
            asker.sendall(b"status json\n")
            said = b""
            while not said.endswith(b"\nok\n"):
                more = asker.recv(65536)
                assert more, said
                said += more
        return json.loads(b"".join(line[5:] for line in said.splitlines() if line.startswith(b"text ")))

    def _read_log(self, process):
        for raw in process.stdout:
            line = raw.decode("utf-8", "surrogateescape").rstrip("\n")
            self.lines.append(line)
            if self.port is None:
                found = LISTENING.search(line)
                if found:
                    self.port = int(found.group(2))
        process.stdout.close()

    def _reap(self, timeout=None):
        code = self.process.wait(timeout)
        self._certificates(keep=True)
        self._reader.join(10)
        self._stderr_file.seek(0)
        self.stderr += self._stderr_file.read()
        self._stderr_file.close()
        self.process = None
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=10):
        """SIGTERM; it must end by itself, with 0, in time, and with nothing to complain about. Seconds it took."""
        if self.process is None:
            return 0
        begun = time.monotonic()
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self._reap(timeout * wait.SCALE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {timeout * wait.SCALE} s after SIGTERM\n" + self.tail()) from None
        self.check_stderr()
        assert code == 0, f"exit code {code}\n" + self.tail() + "\n" + self.stderr.decode("utf-8", "replace")
        return time.monotonic() - begun

    def kill(self):
        """kill -9; nothing is promised but what is on disk."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self._reap()
            self.check_stderr()

    def check_stderr(self):
        text = self.stderr.decode("utf-8", "replace")
        assert not SANITIZER.search(text), text[-6000:]

    def wait_exit(self, timeout=10):
        """For starts that are to fail: the exit code."""
        return self._reap(timeout * wait.SCALE)

    def remove(self):
        if self.process is not None:
            self.kill()
        if self._own:
            self._own.cleanup()

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            self.remove()

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def pid(self):
        return self.process.pid

    # --- log

    def log(self):
        return "\n".join(self.lines)

    def tail(self, count=40):
        return "\n".join(self.lines[-count:])

    def grep(self, pattern):
        expression = re.compile(pattern)
        return [line for line in list(self.lines) if expression.search(line)]

    def wait_log(self, pattern, timeout=10.0):
        """The first line that matches, once it is there."""
        return wait.until(lambda: next(iter(self.grep(pattern)), None),
                          lambda: f"a log line like {pattern!r}; the last were:\n{self.tail()}", timeout)

    # --- commands

    def run(self, *arguments, input=None, check=None, argv0=None, env=None, timeout=20):
        """A command of the binary beside the daemon. argv0: the name of the link it is called by."""
        program = [*self.wrapper, binary(), *map(str, arguments)]
        if argv0:
            link = self.directory / argv0
            if not link.is_symlink():
                link.symlink_to(binary())
            program = [str(link), *map(str, arguments)]
        environment = clean_environment({"queue_directory": self.spool, **(env or {})})
        done = subprocess.run(program, env=environment, input=input, capture_output=True, timeout=timeout * wait.SCALE)
        text = done.stderr.decode("utf-8", "replace")
        assert not SANITIZER.search(text), text[-6000:]
        if check is not None:
            assert done.returncode == check, (program, done)
        return done

    def postqueue(self):
        """`postqueue -j` as a list of dicts."""
        done = self.run("postqueue", "-j", check=0)
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def wait_queue_empty(self, timeout=10.0):
        wait.until(lambda: not self.postqueue(),
                   lambda: f"an empty queue; it holds {self.postqueue()}; log:\n{self.tail()}", timeout, interval=0.05)

    def wait_queued(self, count, timeout=10.0):
        wait.until(lambda: len(self.postqueue()) == count,
                   lambda: f"{count} queued; there are {self.postqueue()}; log:\n{self.tail()}", timeout, interval=0.05)

    def flush(self):
        self.run("postqueue", "-f", check=0)

    def spool_files(self, folder=None):
        """Files with mail (not sockets, locks, certificates) below the spool, or one folder of it, by relative name."""
        top = self.spool / folder if folder else self.spool
        return sorted(str(p.relative_to(self.spool)) for p in top.rglob("*")
                      if p.is_file() and p.parent not in (self.spool, self.spool / "tls"))
