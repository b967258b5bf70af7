"""A plain SMTP client that says exactly what it is told to say. With MXGATE_E2E_STARTTLS=1 every client that hears a
greeting does STARTTLS at once, so that the tests run inside TLS (tools/test.sh starttls)."""

import os
import socket
import ssl

from . import mail, wait

STARTTLS = os.environ.get("MXGATE_E2E_STARTTLS") == "1"


def context(**options):
    """TLS that takes any certificate: who the server is has tests of its own."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(made, name, value)
    return made


class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[-1][:3])
        self.text = lines[-1]

    def __repr__(self):
        return " / ".join(self.lines)


class Closed(Exception):
    """The server closed the connection."""


class Smtp:
    def __init__(self, address, source=None, timeout=30.0, greeting=True, tls=None, wrapped=False):
        """tls: False for a session that must stay in clear text; wrapped: TLS before the greeting."""
        family_source = (source, 0) if source else None
        self.sock = socket.create_connection(address, timeout=timeout * wait.SCALE, source_address=family_source)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if wrapped:
            self.secure()
        self.greeting = self.reply() if greeting else None
        if STARTTLS and tls is not False and self.greeting and self.greeting.code == 220 and not wrapped:
            self.starttls()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def reply(self):
        lines = []
        while True:
            while b"\r\n" not in self.buffer:
                try:
                    data = self.sock.recv(65536)
                except (ConnectionError, ssl.SSLEOFError):
                    data = b""
                if not data:
                    raise Closed(f"after {lines!r}")
                self.buffer += data
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            lines.append(line.decode("utf-8", "replace"))
            if line[3:4] != b"-":
                return Reply(lines)

    def cmd(self, text):
        self.send((text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.reply()

    def secure(self, made=None, server_name="mx.example.com"):
        """The handshake."""
        assert not self.buffer, self.buffer
        self.sock = (made or context()).wrap_socket(self.sock, server_hostname=server_name,
                                                    suppress_ragged_eofs=False)

    def starttls(self, made=None, server_name="mx.example.com"):
        reply = self.cmd("STARTTLS")
        assert reply.code == 220, reply
        self.secure(made, server_name)
        return self

    def hello(self, name="client.example.net"):
        return self.cmd(f"EHLO {name}")

    def envelope(self, sender, recipients, mail_params=""):
        """MAIL and RCPTs; the replies of the RCPTs."""
        reply = self.cmd(f"MAIL FROM:<{sender}>{mail_params}")
        if reply.code != 250:
            return [reply]
        return [self.cmd(f"RCPT TO:<{r}>") for r in recipients]

    def data(self, body):
        reply = self.cmd("DATA")
        if reply.code != 354:
            return reply
        self.send(mail.stuffed(body) + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return self.reply()

    def mail(self, sender, recipients, body, mail_params=""):
        """One transaction: the reply to the final dot, or the first refusal when no recipient was taken."""
        replies = self.envelope(sender, recipients, mail_params)
        if not any(r.code == 250 for r in replies):
            refused = replies[0]
            self.cmd("RSET")
            return refused
        return self.data(body)

    def quit(self):
        reply = self.cmd("QUIT")
        self.close()
        return reply


def send(address, sender, recipients, body, **options):
    """One mail over one connection; the decisive reply."""
    with Smtp(address, **options) as client:
        client.hello()
        reply = client.mail(sender, recipients, body)
        client.quit()
        return reply
