"""A Dovecot that only says who may log in, and a Postfix that asks it: a provider's relayhost."""

import os
import pathlib
import signal
import subprocess
import tempfile

from . import wait
from .postfix import Postfix

CONFIG = """
base_dir = {top}/run
state_dir = {top}/state
log_path = {top}/log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {top}/users
}}
userdb {{
  driver = static
  args = uid=65533 gid=65533 home={top}
}}
service auth {{
  unix_listener {top}/auth.sock {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
"""


class DovecotAuth:
    def __init__(self, users):
        self._own = tempfile.TemporaryDirectory(prefix="mxgate-da-")
        self.top = pathlib.Path(self._own.name)
        self.top.chmod(0o755)
        (self.top / "users").write_text("".join(f"{user}:{{PLAIN}}{password}::::::\n" for user, password in users.items()))
        (self.top / "dovecot.conf").write_text(CONFIG.format(top=self.top))
        self.socket = self.top / "auth.sock"
        self.process = subprocess.Popen(["dovecot", "-c", str(self.top / "dovecot.conf"), "-F"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait.until(self.socket.exists, lambda: "Dovecot's socket; its log:\n" + self.log(), 20)

    def log(self):
        try:
            return (self.top / "log").read_text(errors="replace")[-4000:]
        except OSError:
            return ""

    def remove(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # a group of our own: start_new_session
            self.process.wait()
        self._own.cleanup()


class Relayhost(Postfix):
    def remove(self):
        print(f"--- log of the relayhost\n{self.log()[-6000:]}")  # shown when the test fails
        super().remove()


def relayhost(auth, transport, certificate, **settings):
    """Takes mail from whoever logs in, inside TLS only, and passes it on to `transport`."""
    return Relayhost(transport=transport, mynetworks="192.0.2.1", default_transport=transport,
                     smtpd_relay_restrictions="permit_sasl_authenticated, reject", **{
                         "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": auth.socket,
                         "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes",
                         "smtpd_tls_chain_files": f"{certificate}.key, {certificate}.pem", **settings})
