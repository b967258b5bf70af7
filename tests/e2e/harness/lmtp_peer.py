"""A scripted upstream (LMTP or SMTP): does everything right, except what a Fault tells it to do wrong.

It records what it stored, by the token in each message, and every breach of protocol by the client: bare LF or CR,
parameters and commands that were not offered, pipelining that was not offered, more recipients than allowed, a command
sent while a reply was still due."""

import base64
import os
import re
import select
import socket
import ssl
import struct
import threading
import time

from . import mail
from .ports import free_port

LHLO_WORDS = ("8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "PIPELINING")
XCLIENT_WORD = "XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT"
PARAMETER_OFFER = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "RET": "DSN", "ENVID": "DSN",
                   "NOTIFY": "DSN", "ORCPT": "DSN", "AUTH": "AUTH"}


class Auth:
    """Who may log in (RFC 4954), and how; without a login MAIL is refused."""

    def __init__(self, mechanisms=("PLAIN", "LOGIN"), users=None, tokens=(), in_clear=False, keyword="AUTH "):
        self.mechanisms = tuple(mechanisms)
        self.users = dict(users or {})
        self.tokens = set(tokens)  # of XOAUTH2: (user, token)
        self.in_clear = in_clear
        self.keyword = keyword


class Hangup(Exception):
    """This side ends the connection."""


class Fault:
    """What goes wrong at one step. Steps: greeting lhlo starttls handshake auth xclient mail rcpt data body dot rset quit.

    nth: only at this recipient (steps rcpt and dot, from 0) of a transaction. times: only so often."""

    def __init__(self, step, kind, nth=None, times=None, text=None):
        self.step = step
        self.text = text  # what is said, by kind "say"
        self.kind = kind
        self.nth = nth
        self.times = times
        self.hits = 0

    def __repr__(self):
        return f"{self.step}-{self.kind}" + (f"-{self.nth}" if self.nth is not None else "")


class Delivery:
    __slots__ = ("token", "recipient", "sender", "body", "when", "connection", "mail_line")

    def __init__(self, token, recipient, sender, body, connection, mail_line):
        self.token = token
        self.recipient = recipient
        self.sender = sender
        self.body = body
        self.when = time.monotonic()
        self.connection = connection
        self.mail_line = mail_line


def tls_context(certificate, at_most=ssl.TLSVersion.TLSv1_2):
    """A server's, with "certificate".pem and .key; pathlib.Path without an ending."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # short keys and SHA-1 are the client's affair
    context.load_cert_chain(f"{certificate}.pem", f"{certificate}.key")
    context.maximum_version = at_most
    return context


class LmtpPeer:
    def __init__(self, protocol="lmtp", words=LHLO_WORDS, strict=False, keep_bodies=True, unix_path=None,
                 recipient_limit=None, delay=None, port=0, one_mail_each=None, most_connections=None,
                 tls=None, wrapper=False, auth=None, host="127.0.0.1"):
        self.protocol = protocol
        self.words = tuple(words)
        self.strict = strict  # look for bytes that came too early (costs 30 ms a reply)
        self.keep_bodies = keep_bodies
        self.unix_path = unix_path
        self.recipient_limit = recipient_limit  # RCPTs taken per transaction; more hear 451 4.5.3
        self.one_mail_each = one_mail_each  # seconds after each transaction until it hangs up, as Dovecot 2.4 does
        self.most_connections = most_connections  # more are greeted with 421
        self.tls = tls  # a tls_context(): STARTTLS is offered; or all is inside TLS
        self.wrapper = wrapper
        self.auth = auth  # an Auth
        self.delay = dict(delay or {})  # step -> seconds before its reply
        self.faults = []
        self.lock = threading.Lock()
        self.deliveries = []
        self.most_open = 0  # connections at the same time
        self.messages = 0  # DATA phases of which at least one recipient was stored
        self.connections = []
        self.violations = []
        self.lifted = threading.Event()
        self.life = 0  # of the gateway, for tests that kill it: each connection keeps the one it was made in
        self._listener = None
        self._accepting = None
        self._stopping = False
        self.host = host  # an address of loopback
        self.port = port or (0 if unix_path else free_port(host))
        self.up()

    # --- life

    def up(self):
        """Listens (again, on the same port)."""
        if self._listener:
            return self
        if self.unix_path:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.unix_path)
        else:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
        listener.listen(128)
        self._listener = listener
        self._accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._accepting.start()
        return self

    def down(self, abrupt=True):
        """Refuses connections. abrupt: those that stand are reset; otherwise each ends at its next command
        (never between the dot and its replies, so that a death of the gateway stays the only cause of doubles)."""
        listener, self._listener = self._listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
            if self.unix_path:
                os.unlink(self.unix_path)
            self._accepting.join()
        for connection in self.open_connections():
            connection.leave = True
            if abrupt:
                connection.reset()

    def stop(self):
        self._stopping = True
        self.lifted.set()
        self.down()
        for connection in list(self.connections):
            connection.thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def transport(self):
        where = f"unix:{self.unix_path}" if self.unix_path else f"[{self.host}]:{self.port}"
        return f"{'smtp' if self.protocol == 'smtp' else 'lmtp'}:{where}"

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            connection = Connection(self, sock)
            with self.lock:
                self.connections.append(connection)
                self.most_open = max(self.most_open, sum(c.open for c in self.connections[-200:]))
            connection.thread.start()

    def open_connections(self):
        with self.lock:
            return [c for c in self.connections if c.open]

    # --- faults

    def fail(self, step, kind, **more):
        fault = Fault(step, kind, **more)
        self.lifted.clear()
        self.faults.append(fault)
        return fault

    def lift(self):
        """All is well from here on; stalled connections are let go."""
        self.faults = []
        self.lifted.set()

    def fault_at(self, step, nth=None):
        for fault in self.faults:
            if fault.step != step or (fault.nth is not None and fault.nth != nth):
                continue
            if fault.times is not None and fault.hits >= fault.times:
                continue
            fault.hits += 1
            return fault
        return None

    # --- what was stored

    def store(self, delivery, first):
        with self.lock:
            self.deliveries.append(delivery)
            if first:
                self.messages += 1

    def count(self, token, recipient=None):
        with self.lock:
            return sum(1 for d in self.deliveries
                       if d.token == token and (recipient is None or d.recipient == recipient))

    def find(self, token):
        with self.lock:
            return [d for d in self.deliveries if d.token == token]

    def breach(self, text):
        with self.lock:
            self.violations.append(text)


class Connection:
    def __init__(self, peer, sock):
        self.peer = peer
        self.sock = sock
        self.open = True
        self.leave = False  # end at the next command
        self.buffer = b""
        self.commands = []  # every command line, in order
        self.offered = set()
        self.sender = None
        self.mail_line = ""
        self.recipients = []
        self.rcpt_index = 0
        self.transactions = 0
        self.life = peer.life
        self.greeted = False
        self.secured = False
        self.user = None  # who has logged in
        self.mechanism = None
        self.server_name = None  # what the client said by SNI
        self.thread = threading.Thread(target=self._run, daemon=True)
        sock.settimeout(120)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self):
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _run(self):
        try:
            if self.peer.wrapper:
                self.handshake()
            self._talk()
        except (Hangup, OSError):
            pass
        finally:
            self.open = False
            self.sock.close()

    def _talk(self):
        most = self.peer.most_connections
        if most is not None and sum(c.open for c in self.peer.open_connections()) > most:
            self.send(b"421 4.3.2 Too many connections\r\n")
            raise Hangup
        self.reply("greeting", b"220 peer.example.com ready\r\n")
        while True:
            line = self.line()
            if self.leave:
                raise Hangup
            self.commands.append(line)
            verb, _, rest = line.partition(b" ")
            handler = getattr(self, "do_" + verb.decode("latin-1").lower(), None)
            if handler:
                handler(rest)
                if self.peer.one_mail_each is not None and self.transactions:
                    time.sleep(self.peer.one_mail_each)
                    raise Hangup
            else:
                self.peer.breach(f"unknown command {line!r}")
                self.send(b"500 5.5.1 Unknown command\r\n")

    # --- bytes

    def receive(self):
        data = self.sock.recv(262144)
        if not data:
            raise Hangup
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.receive()
            if len(self.buffer) > 65536 and b"\n" not in self.buffer:
                self.peer.breach("command line over 64 KB")
                raise Hangup
        line, _, self.buffer = self.buffer.partition(b"\n")
        if not line.endswith(b"\r"):
            self.peer.breach(f"command ended in bare LF: {line!r}")
        line = line[:-1] if line.endswith(b"\r") else line
        if b"\r" in line or b"\0" in line:
            self.peer.breach(f"CR or NUL in a command: {line!r}")
        return line

    def send(self, data):
        self.sock.sendall(data)

    def peek(self):
        """The next byte on the wire, whatever it is part of; b"" at the end."""
        return socket.socket.recv(self.sock, 1, socket.MSG_PEEK)

    def early_bytes(self):
        """Whether the client has sent more although a reply is due."""
        if self.buffer or (self.secured and self.sock.pending()):
            return True
        return bool(select.select([self.sock], [], [], 0.03)[0]) and bool(self.peek())

    def handshake(self):
        fault = self.peer.fault_at("handshake")
        if fault and fault.kind == "stall":
            self._stall()
        if fault and fault.kind == "drop":
            raise Hangup
        if fault and fault.kind == "drop-later":  # after the ClientHello
            self.sock.recv(65536)
            raise Hangup
        if fault and fault.kind == "plain":
            self.sock.recv(65536)
            self.send(b"250 2.0.0 not what you think\r\n" * 20)
            self._stall()
        context = self.peer.tls
        context.sni_callback = lambda _sock, name, _context: setattr(self, "server_name", name)
        # close_notify is not waited for: ends are the client's affair
        self.sock = context.wrap_socket(self.sock, server_side=True, suppress_ragged_eofs=True)
        self.secured = True

    def reply(self, step, normal, nth=None):
        """Sends the reply of a step as the faults want it. True when the step counts as accepted."""
        if step in self.peer.delay:
            self.peer.lifted.wait(self.peer.delay[step])
        fault = self.peer.fault_at(step, nth)
        if fault is None:
            self.send(normal)
            return normal[:1] in b"23"
        if fault.kind == "say":
            self.send(fault.text + b"\r\n")
            return fault.text[:1] in b"23"
        if fault.kind == "repeat":
            self.send(b"500 5.5.1 Unrecognized command '" + self.commands[-1] + b"'\r\n")
            return False
        return self._bad_reply(fault.kind, normal)

    def _bad_reply(self, kind, normal):
        code = normal[:3]
        if kind in ("drop", "drop-stored"):
            raise Hangup
        if kind in ("rst", "rst-stored"):
            self.reset()
            raise Hangup
        if kind in ("stall", "stall-stored"):
            self._stall()
        plain = {
            "garbage": b"This is not a reply at all\r\n",
            "http": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            "empty-line": b"\r\n",
            "short-code": b"25\r\n",
            "4xx": b"451 4.3.0 Temporary trouble\r\n",
            "5xx": b"554 5.3.0 Permanent trouble\r\n",
            "500": b"500 5.5.1 Unknown command\r\n",
            "code-change": code + b"-one\r\n451 4.3.0 two\r\n",
            "long-line": code + b" " + b"x" * 65536 + b"\r\n",
            "nul": code + b" 2.0.0 O\0K\r\n",
            "many-lines": b"".join(b"%s-2.0.0 line %d\r\n" % (code, i) for i in range(200)) + normal,
            "extra": normal + b"250 2.0.0 Nobody asked\r\n",
            "extra-5xx": normal + b"550 5.0.0 Nobody asked\r\n",
        }
        if kind in plain:
            self.send(plain[kind])
            return kind in ("many-lines", "extra", "extra-5xx", "nul") and normal[:1] in b"23"
        if kind == "421":
            self.send(b"421 4.3.2 Shutting down\r\n")
            raise Hangup
        if kind == "no-crlf":
            self.send(normal.rstrip(b"\r\n"))
            raise Hangup
        if kind == "byte-by-byte":
            for i in range(len(normal)):
                self.send(normal[i:i + 1])
                time.sleep(0.0005)
            return normal[:1] in b"23"
        if kind == "endless":
            chunk = b"".join(b"%s-more and more\r\n" % code for _ in range(1000))
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not self.peer._stopping:
                self.send(chunk)  # ends when the client has had enough and closes
            raise Hangup
        raise ValueError(kind)

    def _stall(self):
        """Says nothing until the client gives up or the fault is lifted."""
        while not self.peer.lifted.is_set():
            if select.select([self.sock], [], [], 0.02)[0] and not self.peek():
                raise Hangup
            time.sleep(0.005)
        raise Hangup

    def in_step(self, what):
        """Strict mode: nothing may follow a command before its reply, unless PIPELINING was offered."""
        if self.peer.strict and "PIPELINING" not in self.offered and self.early_bytes():
            self.peer.breach(f"pipelined behind {what}, which was not offered")

    # --- commands

    def hello(self, wanted, word, rest):
        self.offered = set()
        self.forget()
        if self.peer.protocol != wanted:
            self.send(b"500 5.5.1 Unknown command\r\n")
            return
        if not rest.strip():
            self.peer.breach(f"{word} without a name")
        self.in_step(word)
        offer = self.peer.words
        if self.peer.tls and not self.secured:
            offer += ("STARTTLS",)
        if self.peer.auth and self.peer.auth.mechanisms and (self.secured or self.peer.auth.in_clear):
            offer += (self.peer.auth.keyword + " ".join(self.peer.auth.mechanisms),)
        words = [w.encode() for w in ("peer.example.com",) + offer]
        normal = b"".join(b"250-%s\r\n" % w for w in words[:-1]) + b"250 %s\r\n" % words[-1]
        if self.reply("lhlo", normal):
            self.greeted = True
            self.offered = {re.split("[ =]", w)[0] for w in offer}

    def do_lhlo(self, rest):
        self.hello("lmtp", "LHLO", rest)

    def do_ehlo(self, rest):
        self.hello("smtp", "EHLO", rest)

    def do_helo(self, rest):
        if self.peer.protocol == "smtp":
            self.forget()
            self.offered = set()
            self.greeted = self.reply("lhlo", b"250 peer.example.com\r\n")
        else:
            self.send(b"500 5.5.1 Unknown command\r\n")

    def do_starttls(self, rest):
        if "STARTTLS" not in self.offered or rest:
            self.peer.breach("STARTTLS, which was not offered, or with a parameter")
        if self.early_bytes():
            self.peer.breach("bytes behind STARTTLS before its reply")
        fault = self.peer.fault_at("starttls")
        if fault and fault.kind == "inject":
            self.send(b"220 2.0.0 go\r\n250-peer.example.com\r\n250 PIPELINING\r\n")
        elif fault:
            if not self._bad_reply(fault.kind, b"220 2.0.0 Begin TLS negotiation now.\r\n"):
                return
        else:
            self.send(b"220 2.0.0 Begin TLS negotiation now.\r\n")
        self.handshake()
        self.offered = set()
        self.greeted = False

    def answer(self, challenge=b""):
        """The client's answer to a 334, decoded."""
        self.send(b"334 " + challenge + b"\r\n")
        line = self.line()
        if self.peer.strict and self.early_bytes():
            self.peer.breach("bytes behind an answer to 334")
        return base64.b64decode(line, validate=True)

    def do_auth(self, rest):
        auth = self.peer.auth
        if "AUTH" not in self.offered or self.user:
            self.peer.breach("AUTH, which was not offered, or twice")
        self.in_step("AUTH")
        mechanism, _, first = rest.decode().partition(" ")
        if mechanism not in auth.mechanisms:
            self.peer.breach(f"AUTH {mechanism}, which was not offered")
        self.mechanism = mechanism
        if mechanism == "LOGIN":
            user = self.answer(b"VXNlcm5hbWU6").decode()
            right = auth.users.get(user) == self.answer(b"UGFzc3dvcmQ6").decode()
        else:
            response = (base64.b64decode(first, validate=True) if first else self.answer()).decode()
            if mechanism == "PLAIN":
                _, user, password = response.split("\0")
                right = auth.users.get(user) == password
            else:
                user, token, *_ = response.split("\1")
                user, token = user.removeprefix("user="), token.removeprefix("auth=Bearer ")
                right = (user, token) in auth.tokens
                if not right and self.answer(base64.b64encode(b'{"status":"401"}')):
                    self.peer.breach("an answer to the error of XOAUTH2")
        normal = b"235 2.7.0 Authentication successful\r\n" if right else b"535 5.7.8 Error: authentication failed\r\n"
        if self.reply("auth", normal):
            self.user = user

    def do_xclient(self, rest):
        if "XCLIENT" not in self.offered:
            self.peer.breach("XCLIENT, which was not offered")
        if self.sender is not None:
            self.peer.breach("XCLIENT inside a transaction")
        self.in_step("XCLIENT")
        if self.reply("xclient", b"220 peer.example.com ready\r\n"):
            self.greeted = False  # LHLO again
            self.offered = set()

    def do_mail(self, rest):
        if not self.greeted:
            self.peer.breach("MAIL without LHLO before it (or after XCLIENT)")
        if self.sender is not None:
            self.peer.breach("MAIL inside a transaction")
        match = re.fullmatch(rb"FROM:<(.*?)>((?: [^ ]+)*)", rest)
        if not match:
            self.peer.breach(f"MAIL syntax: {rest!r}")
            self.send(b"501 5.5.4 Syntax\r\n")
            return
        self.check_parameters("MAIL", match.group(2))
        self.in_step("MAIL")
        if self.peer.auth and self.peer.auth.mechanisms and not self.user:
            self.peer.breach("MAIL without a login")
        if self.reply("mail", b"250 2.1.0 OK\r\n"):
            self.sender = match.group(1).decode("utf-8", "replace")
            self.mail_line = rest.decode("utf-8", "replace")
            self.recipients = []
            self.rcpt_index = 0

    def check_parameters(self, command, text):
        for parameter in text.decode("latin-1").split():
            name = parameter.partition("=")[0].upper()
            offer = PARAMETER_OFFER.get(name)
            if offer is None or offer not in self.offered:
                self.peer.breach(f"{command} parameter {parameter}, which was not offered")

    def do_rcpt(self, rest):
        if self.sender is None:
            self.in_step("RCPT")
            self.send(b"503 5.5.0 MAIL needed first\r\n")
            return
        match = re.fullmatch(rb"TO:<(.+?)>((?: [^ ]+)*)", rest)
        if not match:
            self.peer.breach(f"RCPT syntax: {rest!r}")
            self.send(b"501 5.5.4 Syntax\r\n")
            return
        self.check_parameters("RCPT", match.group(2))
        self.in_step("RCPT")
        index, self.rcpt_index = self.rcpt_index, self.rcpt_index + 1
        if self.rcpt_index > 50:
            self.peer.breach("more than 50 recipients in one transaction")
        address = match.group(1).decode("utf-8", "replace")
        normal = b"250 2.1.5 OK\r\n"
        if address.startswith("unknown"):
            normal = f"550 5.1.1 <{address}> User doesn't exist: {address}\r\n".encode()
        elif address.startswith("temp"):
            normal = f"451 4.3.0 <{address}> Temporary internal error\r\n".encode()
        elif self.peer.recipient_limit is not None and len(self.recipients) >= self.peer.recipient_limit:
            normal = b"451 4.5.3 Too many recipients\r\n"
        if self.reply("rcpt", normal, index):
            self.recipients.append(address)

    def do_data(self, rest):
        if self.sender is None or not self.recipients:
            self.in_step("DATA")
            self.send(b"503 5.5.0 No valid recipients\r\n")
            return
        # Even with PIPELINING, DATA ends a group (RFC 2920 3.1): nothing may follow it before the 354.
        if self.peer.strict and self.early_bytes():
            self.peer.breach("bytes behind DATA before its reply")
        if not self.reply("data", b"354 OK\r\n"):
            return
        body = self.body()
        self.finish(body)

    def do_bdat(self, rest):
        self.peer.breach("BDAT is not spoken by this peer (CHUNKING offered or not)")
        raise Hangup

    def body(self):
        """Reads up to CRLF.CRLF. Returns the text with the stuffing removed."""
        fault = self.peer.fault_at("body")
        if fault:
            self._bad_body(fault.kind)
        pieces, tail = [], b"\r\n"
        while True:
            end = (tail + self.buffer).find(b"\r\n.\r\n")
            if end >= 0:
                end += 5 - len(tail)  # in self.buffer, behind the final LF
                pieces.append(self.buffer[:end])
                self.buffer = self.buffer[end:]
                break
            pieces.append(self.buffer)
            tail = (tail + self.buffer)[-4:]
            self.buffer = b""
            self.receive()
        raw = b"".join(pieces)[:-3]
        # by counting: regular expressions take half a second for 25 MB
        if not raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n") or b"\0" in raw:
            self.peer.breach("bare LF, bare CR or NUL in DATA")
        text = b"\r\n" + raw
        if text.count(b"\r\n.") != text.count(b"\r\n.."):
            self.peer.breach("a line that begins with a dot and is not stuffed")
        return text.replace(b"\r\n..", b"\r\n.")[2:]

    def _bad_body(self, kind):
        if not self.buffer:
            self.receive()
        if kind == "drop":
            raise Hangup
        if kind == "rst":
            self.reset()
            raise Hangup
        if kind == "stall":  # nothing more is read; the client's buffers fill up
            self._stall_unread()
        if kind in ("early-4xx", "early-5xx"):
            self.send(b"452 4.3.1 No space left\r\n" if kind == "early-4xx" else b"552 5.3.4 Too big\r\n")
            raise Hangup
        if kind == "early-250":
            self.send(b"250 2.0.0 Saved before it was sent\r\n")
            # and yet it was not: read on to the dot, then go
            try:
                self.peer.faults, faults = [], self.peer.faults
                self.body()
                self.peer.faults = faults
            finally:
                raise Hangup
        raise ValueError(kind)

    def _stall_unread(self):
        while not self.peer.lifted.is_set():
            readable = select.select([self.sock], [], [], 0)[0]
            if readable:
                try:
                    if not self.peek():
                        raise Hangup
                except OSError:
                    raise Hangup from None
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise Hangup
            self.peer.lifted.wait(0.02)
        raise Hangup

    def finish(self, body):
        """The replies after the dot: LMTP one for each accepted recipient, SMTP one."""
        self.transactions += 1
        if self.peer.strict and self.early_bytes():
            self.peer.breach("bytes behind the final dot before its reply")
        token = mail.token_of(body)
        accepted, sender, mail_line = self.recipients, self.sender, self.mail_line
        self.forget()
        report = self.peer.keep_bodies == "reports" and mail_line.startswith("FROM:<>")
        kept = body if self.peer.keep_bodies is True or report else b""

        counted = False

        def store(address):
            nonlocal counted
            self.peer.store(Delivery(token, address, sender, kept, self, mail_line), first=not counted)
            counted = True

        if self.peer.protocol == "smtp":
            fault = self._peek_fault(0)
            if fault is None or fault.kind.endswith("-stored") or self._counts_as_stored(fault.kind):
                for address in accepted:
                    store(address)
            self.reply("dot", b"250 2.0.0 Ok: queued\r\n", 0)
            return
        for index, address in enumerate(accepted):
            normal = f"250 2.0.0 <{address}> TESTPEER{self.transactions}:R{index + 1} Saved\r\n".encode()
            if address.startswith("full"):
                normal = f"552 5.2.2 <{address}> Quota exceeded (mailbox for user is full)\r\n".encode()
            fault = self._peek_fault(index)
            if fault is not None and fault.kind in ("drop-stored", "rst-stored", "stall-stored"):
                for rest in accepted[index:]:
                    store(rest)
            elif (fault is None or self._counts_as_stored(fault.kind)) and normal.startswith(b"2"):
                store(address)
            self.reply("dot", normal, index)

    @staticmethod
    def _counts_as_stored(kind):
        """After the dot, the malformed replies come from a server that has stored the mail: the worst case."""
        return kind not in ("drop", "rst", "stall", "4xx", "5xx", "421", "500")

    def _peek_fault(self, index):
        for fault in self.peer.faults:
            if fault.step == "dot" and fault.nth in (None, index) and (fault.times is None or fault.hits < fault.times):
                return fault
        return None

    def do_rset(self, rest):
        self.in_step("RSET")
        self.forget()
        self.reply("rset", b"250 2.0.0 OK\r\n")

    def do_noop(self, rest):
        self.in_step("NOOP")
        self.send(b"250 2.0.0 OK\r\n")

    def do_quit(self, rest):
        self.reply("quit", b"221 2.0.0 Bye\r\n")
        raise Hangup

    def forget(self):
        self.sender = None
        self.mail_line = ""
        self.recipients = []
        self.rcpt_index = 0
