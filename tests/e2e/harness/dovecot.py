"""A private Dovecot: LMTP in, IMAP out, on a temporary folder and free ports."""

import imaplib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from . import wait
from .ports import free_port

USERS = ("alice", "bob", "joe", "postmaster", "smartin") + tuple(f"user{n:02}" for n in range(1, 31))
OWNER = 65533  # of the mail homes: nobody's uid on these systems
CONFIG = """
base_dir  = {top}/run
state_dir = {top}/state
log_path  = {top}/dovecot.log
protocols = lmtp imap
listen    = 127.0.0.1
{ssl}
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
auth_username_format = %Lu
mail_location = maildir:~/Maildir
mail_fsync = never
first_valid_uid = 1
login_trusted_networks = {trusted}
recipient_delimiter = +
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {top}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {top}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp_port}
  }}
  {lmtps}
  unix_listener lmtp {{
    path = {top}/lmtp.sock
    mode = 0666
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
{auth}
service anvil {{
  chroot =
}}
mail_plugins = quota
protocol lmtp {{
  postmaster_address = postmaster@example.com
  mail_plugins = quota
}}
lmtp_rcpt_check_quota = no
quota_full_tempfail = no
plugin {{
  quota = maildir:User quota
  quota_rule = *:storage=200M
  quota_grace = 0
}}
"""


AUTH = """
service auth {{
  unix_listener {top}/auth-client {{
    mode = 0666
  }}
  inet_listener {{
    address = 127.0.0.1
    port = {auth_port}
  }}
}}
"""


class Dovecot:
    def __init__(self, trusted="127.0.0.0/8", certificate=None, auth=False, more=()):
        """certificate: a path without its .pem and .key; then TLS is required, and lmtps has a port. auth: its users may
        be asked for by authentication clients. more: users beside USERS."""
        self._own = tempfile.TemporaryDirectory(prefix="mxgate-dc-")
        self.top = pathlib.Path(self._own.name)
        os.chmod(self.top, 0o755)  # Dovecot's own users enter it
        self.lmtp_port = free_port()
        self.lmtps_port = free_port() if certificate else None
        self.imap_port = free_port()
        self.auth_port = free_port() if auth else None
        tls = f"ssl = required\nssl_cert = <{certificate}.pem\nssl_key = <{certificate}.key" if certificate else "ssl = no"
        lmtps = f"inet_listener lmtps {{\n    address = 127.0.0.1\n    port = {self.lmtps_port}\n    ssl = yes\n  }}"
        mail = self.top / "mail"
        mail.mkdir()
        rows = []
        for user in (*USERS, *more, "tiny"):
            home = mail / user
            home.mkdir()
            os.chown(home, OWNER, OWNER)
            extra = "userdb_quota_rule=*:bytes=1K" if user == "tiny" else ""
            rows.append(f"{user}@example.com:{{PLAIN}}secret:{OWNER}:{OWNER}::{home}::{extra}\n")
        (self.top / "users").write_text("".join(rows))
        (self.top / "dovecot.conf").write_text(CONFIG.format(
            top=self.top, lmtp_port=self.lmtp_port, imap_port=self.imap_port, trusted=trusted, ssl=tls,
            lmtps=lmtps if certificate else "", mechanisms="plain login cram-md5 anonymous" if auth else "plain",
            auth=AUTH.format(top=self.top, auth_port=self.auth_port) if auth else ""))
        self.process = None

    @property
    def transport(self):
        return f"lmtp:[127.0.0.1]:{self.lmtp_port}"

    @property
    def unix_auth(self):
        return f"unix:{self.top}/auth-client"

    @property
    def inet_auth(self):
        return f"inet:127.0.0.1:{self.auth_port}"

    @property
    def unix_transport(self):
        return f"lmtp:unix:{self.top}/lmtp.sock"

    def start(self):
        if self.process is None:
            self.process = subprocess.Popen(["dovecot", "-c", str(self.top / "dovecot.conf"), "-F"],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL, start_new_session=True)
            wait.until(self._answers, lambda: "Dovecot to answer LMTP and IMAP; its log:\n" + self.log(), 20)
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("dovecot ended:\n" + self.log())
        for port in (self.lmtp_port, self.imap_port):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                    if not probe.recv(1):
                        return False
            except OSError:
                return False
        return True

    def log(self):
        try:
            return (self.top / "dovecot.log").read_text(errors="replace")[-4000:]
        except OSError:
            return ""

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self._gone()

    def kill(self):
        """Everything of this instance at once, as if the machine had gone."""
        if self.process is not None:
            for pid in [self.process.pid] + self._children(self.process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self._gone()

    @staticmethod
    def _children(pid):
        found = []
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += [int(word) for word in task.read_text().split()]
            except OSError:
                pass
        return found

    def _gone(self):
        children = self._children(self.process.pid)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        for pid in children:
            try:
                wait.until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), f"Dovecot's process {pid} to end", 5)
            except AssertionError:
                os.kill(pid, signal.SIGKILL)
        (self.top / "run" / "master.pid").unlink(missing_ok=True)

    def remove(self):
        self.stop()
        self._own.cleanup()

    # --- mail

    def imap(self, user):
        box = imaplib.IMAP4("127.0.0.1", self.imap_port)
        box.login(f"{user}@example.com", "secret")
        box.select("INBOX")
        return box

    def fetch(self, user, token=None):
        """The messages of a user (those with this token) as bytes."""
        box = self.imap(user)
        try:
            _, found = box.search(None, "HEADER", "X-Token", token) if token else box.search(None, "ALL")
            messages = []
            for number in found[0].split():
                _, data = box.fetch(number, "(BODY.PEEK[])")
                messages.append(data[0][1])
            return messages
        finally:
            box.logout()

    def wait_mail(self, user, token, timeout=10.0):
        """The one message with this token; an error if there are two."""
        messages = wait.until(lambda: self.fetch(user, token), f"mail {token} in {user}'s INBOX", timeout)
        assert len(messages) == 1, f"{len(messages)} copies of {token} for {user}"
        return messages[0]

    def clear(self, user):
        shutil.rmtree(self.top / "mail" / user / "Maildir", ignore_errors=True)
