"""A private Postfix (the Debian package), for what it prints: an instance on a temporary folder, taking mail on a free
port and keeping it all (its transport goes to a port where nobody listens, or to a peer of the test)."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import smtp_client, wait
from .ports import free_port

MASTER = "/usr/lib/postfix/sbin/master"
MAIN_CF = """
compatibility_level = 3.6
queue_directory = {top}/spool
data_directory = {top}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {top}/log
maillog_file_prefixes = {top}
myhostname = mx.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relay_domains = example.com
relay_transport = {transport}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
alias_maps =
alias_database =
local_recipient_maps =
smtputf8_enable = no
"""
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


def available():
    return os.geteuid() == 0 and os.access(MASTER, os.X_OK)


class Postfix:
    def __init__(self, transport=None, **settings):
        self._own = tempfile.TemporaryDirectory(prefix="mxgate-pf-")
        self.top = pathlib.Path(self._own.name)
        self.top.chmod(0o755)  # Postfix's own users enter it
        self.port = free_port()
        self.process = None
        self.wrapped = settings.get("smtpd_tls_wrappermode") == "yes"
        user = pwd.getpwnam("postfix")
        places = {"top": self.top, "port": self.port, "transport": transport or f"lmtp:[127.0.0.1]:{free_port()}"}
        (self.top / "conf").mkdir()
        main = [line for line in MAIN_CF.format(**places).splitlines() if line.split(" ")[0] not in settings]
        (self.top / "conf" / "main.cf").write_text("\n".join(main + [f"{k} = {v}" for k, v in settings.items()]) + "\n")
        (self.top / "conf" / "master.cf").write_text(MASTER_CF.format(**places))
        (self.top / "spool" / "pid").mkdir(parents=True)
        for name in ("active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace"
                     " ../data").split():
            (self.top / "spool" / name).mkdir()
            os.chown(self.top / "spool" / name, user.pw_uid, user.pw_gid)

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def start(self):
        self.process = subprocess.Popen([MASTER, "-c", str(self.top / "conf"), "-d"], env=self._environment(),
                                        cwd=self.top, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        wait.until(self._answers, lambda: f"Postfix to answer; its log:\n{self.log()}", 20)
        return self

    def _answers(self):
        try:
            with socket.create_connection(self.address, timeout=1) as probe:
                if not self.wrapped:
                    return probe.recv(3) == b"220"
                with smtp_client.context().wrap_socket(probe) as inside:
                    return inside.recv(3) == b"220"
        except OSError:
            return False

    def _environment(self):
        return {"PATH": os.environ["PATH"], "MAIL_CONFIG": str(self.top / "conf")}

    def run(self, *arguments, input=None):
        return subprocess.run([*map(str, arguments)], env=self._environment(), input=input, capture_output=True,
                              timeout=20 * wait.SCALE)

    def log(self):
        try:
            return (self.top / "log").read_text(errors="replace")
        except OSError:
            return ""

    def wait_log(self, pattern, timeout=10.0):
        return wait.until(lambda: re.search(pattern, self.log()), lambda: f"{pattern!r} in Postfix's log:\n{self.log()[-3000:]}",
                          timeout)

    def stop(self):
        if self.process is None:
            return
        os.kill(self.process.pid, signal.SIGTERM)  # master passes it on to its group
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # a group of our own: start_new_session
            self.process.wait()
        self.process = None
        time.sleep(0.1)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        self.stop()
        shutil.rmtree(self.top, ignore_errors=True)
        self._own.cleanup()
