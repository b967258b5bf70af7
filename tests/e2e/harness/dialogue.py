"""Dialogue files (tests/dialogues/*.dlg): what a client sends and what it must hear. See FORMAT.md there."""

import pathlib
import re
import select
import socket
import ssl

from . import smtp_client, wait


class Dialogue:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.settings = {}
        self.submission = False
        self.steps = []  # ("send", bytes) | ("expect", bytes) | ("tls", None) | ("close", None)
        for number, raw in enumerate(self.path.read_bytes().split(b"\n"), 1):
            self._read(number, raw)

    def _read(self, number, raw):
        if not raw or raw.startswith(b"#"):
            return
        if raw.startswith(b"set "):
            name, _, value = raw[4:].decode().partition("=")
            self.settings[name.strip()] = value.strip()
            return
        if raw == b"PORT submission":
            self.submission = True
            return
        if raw in (b"CLOSE", b"TLS"):
            self.steps.append((raw.decode().lower(), None))
            return
        word, colon, rest = raw.partition(b":")
        rest = rest[1:] if rest.startswith(b" ") else rest
        if colon and word == b"C":
            self.steps.append(("send", rest + b"\r\n"))
        elif colon and word == b"CLF":
            self.steps.append(("send", rest + b"\n"))
        elif colon and word == b"CRAW":
            self.steps.append(("send", unescape(rest)))
        elif colon and word == b"S":
            self.steps.append(("expect", rest))
        else:
            raise ValueError(f"{self.path}:{number}: not a directive: {raw!r}")


def unescape(text):
    table = {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"t": b"\t", b"\\": b"\\"}

    def one(match):
        word = match.group(1)
        return bytes([int(word[1:], 16)]) if word[:1] == b"x" else table[word]

    return re.sub(rb"\\(x[0-9a-fA-F]{2}|[rn0t\\])", one, text)


class Mismatch(AssertionError):
    pass


class Speaker:
    """Plays one dialogue over one connection. `trickle` sends every byte in a write of its own. `starttls`: all but the
    greeting is played inside TLS."""

    def __init__(self, address, trickle=False, timeout=10.0, starttls=False):
        self.trickle = trickle
        self.starttls = starttls
        self.timeout = timeout * wait.SCALE
        self.sock = socket.create_connection(address, timeout=self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.heard = []
        self.log = []

    def play(self, dialogue):
        pending = b""
        try:
            for kind, text in dialogue.steps:
                if kind == "send":
                    pending += text
                    continue
                self._send(pending)
                pending = b""
                if kind == "expect":
                    self._expect(text)
                    if self.starttls and text.startswith(b"220"):
                        self.starttls = False
                        self._begin_tls()
                elif kind == "tls":
                    self._secure()
                else:
                    self._expect_close()
            self._send(pending)
        finally:
            self.sock.close()
        return self.heard

    def _send(self, data):
        if not data:
            return
        self.log.append(b"C: " + data)
        try:
            for piece in ([data[i:i + 1] for i in range(len(data))] if self.trickle else [data]):
                if self.trickle and self._hung_up():
                    return
                self.sock.sendall(piece)
        except (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError):
            pass  # it has hung up in the middle of it. What it said is looked at next

    def _hung_up(self):
        """Takes what was said meanwhile: a byte that comes after the server has closed makes it say so by a reset, and
        what was not read by then is gone."""
        if isinstance(self.sock, ssl.SSLSocket) or not select.select([self.sock], [], [], 0)[0]:
            return False
        data = self.sock.recv(65536)
        self.buffer += data
        return not data

    def _secure(self):
        assert not self.buffer, self.buffer
        self.sock = smtp_client.context().wrap_socket(self.sock)

    def _begin_tls(self):
        self.sock.sendall(b"STARTTLS\r\n")
        line = self._line()
        assert line.startswith(b"220 "), line
        self._secure()

    def _line(self):
        while b"\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def _expect(self, pattern):
        try:
            line = self._line()
        except TimeoutError:
            raise Mismatch(self._story(f"silence where {pattern!r} was expected")) from None
        if line is None:
            raise Mismatch(self._story(f"connection closed where {pattern!r} was expected"))
        self.log.append(b"S: " + line)
        if not line.endswith(b"\r"):
            raise Mismatch(self._story(f"a reply line without CRLF: {line!r}"))
        line = line[:-1]
        self.heard.append(line)
        if pattern.endswith(b"*"):
            good = line.startswith(pattern[:-1])
        else:
            good = line == pattern
        if not good:
            raise Mismatch(self._story(f"heard {line!r}, expected {pattern!r}"))

    def _expect_close(self):
        try:
            line = self._line()
        except TimeoutError:
            raise Mismatch(self._story("the server did not close")) from None
        except ConnectionResetError:
            return
        if line is not None:
            raise Mismatch(self._story(f"heard {line!r} where the server should have closed"))

    def _story(self, problem):
        shown = b"\n    ".join(self.log[-12:]).decode("utf-8", "backslashreplace")
        return f"{problem}\n    {shown}"
