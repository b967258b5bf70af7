"""The servers under measurement: mxgate, and Postfix as its container configures it. Both log to a file."""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

import process

MASTER = "/usr/lib/postfix/sbin/master"
# Like a slow disk: every sync takes 2 ms longer. --seccomp-bpf: nothing else is stopped by strace.
SLOW_DISK = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
             "-e", "inject=fsync,fdatasync:delay_exit=2000"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def greeting(port, timeout=5.0):
    """One session up to 220 and QUIT; seconds from connect to 220."""
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        line = s.recv(512)
        took = time.perf_counter() - begun
        if not line.startswith(b"220"):
            raise ConnectionError(line)
        s.sendall(b"QUIT\r\n")
        while s.recv(512):
            pass
    return took


class Server:
    """start() returns the seconds from exec to the first 220."""

    name = "?"
    ready_s = 0.0

    def __init__(self, folder, slow_disk=False):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.wrapper = SLOW_DISK if slow_disk else []
        self.port = free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        command, environment = self.command()
        with open(self.folder / "log", "ab") as log, open(self.folder / "errors", "ab") as errors:
            begun = time.perf_counter()
            self.process = subprocess.Popen([*self.wrapper, *command], env=environment, cwd=self.folder, stdout=log,
                                            stderr=errors, stdin=subprocess.DEVNULL, start_new_session=True)
        while True:
            try:
                greeting(self.port)
                break
            except OSError as e:
                if self.process.poll() is not None or time.perf_counter() - begun > 20:
                    raise RuntimeError(f"{self.name} does not start, see {self.folder}: {e}") from None
            time.sleep(0.0005)
        self.ready_s = time.perf_counter() - begun
        return self

    def pids(self):
        """Without strace, if it is there."""
        pids = process.tree(self.process.pid)
        return pids[1:] if self.wrapper else pids

    def stop(self):
        if self.process is None:
            return
        pids = self.pids()
        if self.process.poll() is None and pids:
            os.kill(pids[0], signal.SIGTERM)  # Postfix's master passes it on to its group
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # a group of our own: start_new_session
            self.process.wait()
        self.process = None


class Mxgate(Server):
    def __init__(self, folder, sink_port, mode="direct", slow_disk=False, **settings):
        super().__init__(folder, slow_disk)
        self.name = f"mxgate, {mode}"
        self.settings = {"listen": f"127.0.0.1:{self.port}", "hostname": "mx.example.com",
                         "allowed_domains": "example.com", "delivery_mode": mode, "verify_recipients": "no",
                         "relay_transport": f"lmtp:[127.0.0.1]:{sink_port}",
                         "queue_directory": self.folder / "spool", **settings}

    def command(self):
        environment = {"PATH": os.environ["PATH"], **{k.upper(): str(v) for k, v in self.settings.items()}}
        return [os.environ["MXGATE_BIN"], "serve"], environment

    def queued(self):
        return sum(1 for _ in (self.folder / "spool" / "queue").iterdir())

    def flush(self):
        raise RuntimeError("it has to notice by itself that its upstream is back")


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relay_domains = example.com
relay_transport = lmtp:[127.0.0.1]:{sink_port}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_helo_required = yes
message_size_limit = 26214400
alias_maps =
alias_database =
local_recipient_maps =
"""

# Debian's master.cf, without the services that nobody asks for here, not chrooted (as in the container).
MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix(Server):
    name = "Postfix"

    def __init__(self, folder, sink_port, slow_disk=False, **settings):
        super().__init__(folder, slow_disk)
        user = pwd.getpwnam("postfix")
        places = {"folder": self.folder, "sink_port": sink_port, "port": self.port}
        (self.folder / "conf").mkdir()
        main = MAIN_CF.format(**places) + "".join(f"{k} = {v}\n" for k, v in settings.items())
        (self.folder / "conf" / "main.cf").write_text(main)
        (self.folder / "conf" / "master.cf").write_text(MASTER_CF.format(**places))
        (self.folder / "spool" / "pid").mkdir(parents=True)
        for name in ("active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace"
                     " ../data").split():
            (self.folder / "spool" / name).mkdir()
            os.chown(self.folder / "spool" / name, user.pw_uid, user.pw_gid)

    @staticmethod
    def available():
        return os.geteuid() == 0 and os.access(MASTER, os.X_OK)

    def command(self):
        return [MASTER, "-c", str(self.folder / "conf"), "-d"], {"PATH": os.environ["PATH"], "MAIL_CONFIG":
                                                                 str(self.folder / "conf")}

    def queued(self):
        return sum(len(files) for top in ("incoming", "active", "deferred", "maildrop")
                   for _, _, files in os.walk(self.folder / "spool" / top))

    def flush(self):
        subprocess.run(["postqueue", "-c", self.folder / "conf", "-f"], check=False, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
