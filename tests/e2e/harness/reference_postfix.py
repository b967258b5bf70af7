"""A private Postfix (Debian's package) as the reference for replies: only its smtpd is asked, nothing is delivered."""

import os
import pwd
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

from . import wait

MASTER = "/usr/lib/postfix/sbin/master"

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
mynetworks = 192.0.2.0/24
relay_domains = example.com
relay_transport = lmtp:[127.0.0.1]:1
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
alias_maps =
alias_database =
local_recipient_maps =
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
retry     unix  - - n - - error
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


def available():
    return os.geteuid() == 0 and os.access(MASTER, os.X_OK)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class ReferencePostfix:
    def __init__(self, **settings):
        self._own = tempfile.TemporaryDirectory(prefix="mxgate-postfix-")
        self.folder = pathlib.Path(self._own.name)
        self.folder.chmod(0o755)
        self.port = free_port()
        user = pwd.getpwnam("postfix")
        conf = self.folder / "conf"
        conf.mkdir()
        lines = [line for line in MAIN_CF.format(folder=self.folder).splitlines() if line.split(" ")[0] not in settings]
        main = "\n".join(lines + [f"{k} = {v}" for k, v in settings.items()]) + "\n"
        (conf / "main.cf").write_text(main)
        (conf / "master.cf").write_text(MASTER_CF.format(port=self.port))
        (self.folder / "spool" / "pid").mkdir(parents=True)
        for name in ("active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace"
                     " ../data").split():
            (self.folder / "spool" / name).mkdir()
            os.chown(self.folder / "spool" / name, user.pw_uid, user.pw_gid)
        self.process = None

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def _answers(self):
        assert self.process.poll() is None, self.log()
        try:
            with socket.create_connection(self.address, 5) as s:
                return s.recv(512).startswith(b"220")
        except OSError:
            return False

    def __enter__(self):
        conf = str(self.folder / "conf")
        self.process = subprocess.Popen([MASTER, "-c", conf, "-d"], cwd=self.folder, start_new_session=True,
                                        env={"PATH": os.environ["PATH"], "MAIL_CONFIG": conf},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait.until(self._answers, lambda: f"Postfix to greet; its log:\n{self.log()}", 20)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)  # master passes it on to its group
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # a group of our own: start_new_session
            self.process.wait()
        self._own.cleanup()

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_log(self, pattern, timeout=10):
        return wait.until(lambda: re.search(pattern, self.log()),
                          lambda: f"a line like {pattern!r} from Postfix:\n{self.log()}", timeout)
