"""A private haproxy in front of a gateway: TCP mode, one port, headers and health checks as asked."""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from . import wait
from .ports import free_port


def program():
    return shutil.which("haproxy") or (p if os.access(p := "/usr/sbin/haproxy", os.X_OK) else None)


class Haproxy:
    """server: what stands behind the server's address ("send-proxy-v2 check"). bind: likewise for the port ("accept-proxy").
    more: further lines of the proxy section."""

    def __init__(self, target, server, bind="", more=()):
        self._own = tempfile.TemporaryDirectory(prefix="mxgate-haproxy-")
        self.directory = pathlib.Path(self._own.name)
        self.port = free_port()
        self.socket = self.directory / "stats"
        lines = ["global", f"  stats socket {self.socket} mode 600 level admin", "  maxconn 200", "defaults", "  mode tcp",
                 "  timeout connect 5s", "  timeout client 60s", "  timeout server 60s", "listen smtp",
                 f"  bind 127.0.0.1:{self.port} {bind}", *(f"  {line}" for line in more),
                 f"  server mx {target[0]}:{target[1]} {server}"]
        (self.directory / "cfg").write_text("\n".join(lines) + "\n")
        self._out = open(self.directory / "out", "wb")
        self.process = subprocess.Popen([program(), "-db", "-f", self.directory / "cfg"], stdout=self._out, stderr=self._out)
        wait.until(self._listens, lambda: "haproxy to listen; it said:\n" + (self.directory / "out").read_text())

    def _listens(self):
        try:
            self.ask("show info")
        except OSError:
            assert self.process.poll() is None, (self.directory / "out").read_text()
            return False
        return True

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10 * wait.SCALE)
            s.connect(str(self.socket))
            s.sendall(command.encode() + b"\n")
            said = b""
            while more := s.recv(65536):
                said += more
        return said.decode()

    def server(self):
        """The server's row of `show stat`, as a dict."""
        rows = [line.split(",") for line in self.ask("show stat").lstrip("# ").splitlines() if line]
        return next(dict(zip(rows[0], row)) for row in rows[1:] if row[:2] == ["smtp", "mx"])

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)
        self._out.close()
        self._own.cleanup()
