"""
OpenSMTPD, Exim and Haraka as gateways that do the same: one domain taken from everybody, handed on by LMTP.

Each in an overlay of this machine (rival/root.sh), with its package's own settings but for those that say what to take, where
to listen and where to hand it to, and for limits that would end smtp-source's sessions.
"""

import os
import pathlib
import shutil
import subprocess

from servers import Server

HERE = pathlib.Path(__file__).resolve().parent
HARAKA = "Haraka@3.3.4"

EXIM = """
primary_hostname = mx.example.com
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
acl_smtp_rcpt = to_domains
message_size_limit = 25M
smtp_accept_max = 20000
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
rfc1413_query_timeout = 0s
begin acl
to_domains:
  accept domains = example.com
  deny message = relay not permitted
begin routers
upstream:
  driver = manualroute
  domains = example.com
  transport = upstream
  route_list = * 127.0.0.1 byname
  self = send
begin transports
upstream:
  driver = smtp
  protocol = lmtp
  port = {sink_port}
begin retry
* * F,1h,1m; F,5d,5m
"""

OPENSMTPD = """
smtp max-message-size "25M"
smtp limit max-mails 1000000
listen on 127.0.0.1 port {port} hostname mx.example.com
action upstream relay host "lmtp://127.0.0.1:{sink_port}"
match from any for domain "example.com" action upstream
"""


def in_root(layer, kept, *command):
    return ["unshare", "--mount", "--propagation", "private", str(HERE / "rival" / "root.sh"), str(layer), str(kept), *map(str, command)]


def install(layer, kept, *commands):
    """Whether all of them went well inside. What they say is in the file `install` beside the layer."""
    layer.mkdir()
    script = "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && "
    # Nobody but this machine is ever asked for a name.
    script += " && ".join(commands) + " && echo nameserver 127.0.0.1 >/etc/resolv.conf"
    with open(layer / "install", "wb") as log:
        return subprocess.run(in_root(layer, kept, "bash", "-ec", script), stdout=log, stderr=log, check=False).returncode == 0


def apt(package):
    return f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {package}"


class Rival(Server):
    layer = None

    @classmethod
    def available(cls, top):
        """Installs it. `top`: where the file systems of its kind and the spools are."""
        cls.layer = pathlib.Path(top) / f"layer-{cls.name}"
        return os.geteuid() == 0 and install(cls.layer, top, *cls.installs)

    def __init__(self, folder, sink_port, slow_disk=False):
        super().__init__(folder, slow_disk)
        self.configure({"folder": self.folder, "port": self.port, "sink_port": sink_port})

    def command(self):
        return in_root(self.layer, self.folder, *self.serve()), {"PATH": os.environ["PATH"]}

    def inside(self, *command):
        """In the root that it runs in."""
        pid = str(self.pids()[0])
        subprocess.run(["nsenter", "-t", pid, "-m", "-r", *command], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def files(self, folder, pattern):
        return sum(p.is_file() for p in (self.folder / folder).rglob(pattern))


class Exim(Rival):
    name = "Exim"
    installs = (apt("exim4-daemon-light"),)

    def configure(self, places):
        (self.folder / "exim.conf").write_text(EXIM.format(**places))
        self.folder.chmod(0o777)  # its user writes the log here

    def serve(self):
        return ["sh", "-c", 'install -m 644 "$1/exim.conf" /etc/exim4/exim4.conf && install -d -o Debian-exim "$1/spool" && exec exim4 -bdf -q1m',
                "-", self.folder]

    def queued(self):
        return self.files("spool/input", "*-H")

    def flush(self):
        self.inside("exim4", "-qff")


class OpenSmtpd(Rival):
    name = "OpenSMTPD"
    installs = (apt("opensmtpd"),)

    def configure(self, places):
        (self.folder / "smtpd.conf").write_text(OPENSMTPD.format(**places))

    def serve(self):  # its spool has a fixed name: it begins empty, and on the same disk as all others'
        return ["sh", "-c", 'mkdir -p /var/spool/smtpd "$1/spool" && chmod 711 "$1/spool" && mount --bind "$1/spool" /var/spool/smtpd && '
                'exec smtpd -d -f "$1/smtpd.conf"', "-", self.folder]

    def queued(self):
        return self.files("spool/queue", "*")

    def flush(self):
        self.inside("smtpctl", "schedule", "all")


class Haraka(Rival):
    name = "Haraka"
    installs = ("mkdir -p /opt/haraka", "cd /opt/haraka", f"npm install --omit=optional --no-fund --no-audit {HARAKA}",
                "node_modules/.bin/haraka -i /opt/haraka/own")

    def configure(self, places):
        config = self.folder / "config"
        config.mkdir()
        (self.folder / "queue").mkdir()
        for name, text in {"smtp.ini": "listen=127.0.0.1:{port}\nnodes=0\n", "me": "mx.example.com\n", "host_list": "example.com\n",
                           "lmtp.ini": "host=127.0.0.1\nport={sink_port}\n", "plugins": "rcpt_to.in_host_list\nqueue/lmtp\n",
                           "databytes": "26214400\n", "log.ini": "[main]\nlevel=INFO\n"}.items():
            (config / name).write_text(text.format(**places))

    def serve(self):
        return ["sh", "-c", 'cp -n /opt/haraka/own/config/* "$1/config/" && exec node /opt/haraka/node_modules/Haraka/bin/haraka -c "$1"', "-", self.folder]

    def queued(self):
        return self.files("queue", "*")

    def flush(self):
        """There is no such command."""


def found(top):
    """Those that can be installed here."""
    if shutil.which("unshare") is None:
        return {}
    return {kind.name: kind for kind in (OpenSmtpd, Exim, Haraka) if kind.available(top)}
