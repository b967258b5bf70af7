"""A small name server (UDP) that answers what it is told: names, nonsense, or nothing."""

import socket
import struct
import threading

A, PTR, MX, TXT, AAAA = 1, 12, 15, 16, 28


def wire(name):
    """A name as labels; labels may be bytes of any kind."""
    if isinstance(name, str):
        name = name.encode()
    return b"".join(bytes([len(label)]) + label for label in name.split(b".") if label) + b"\0"


def reverse(address):
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def record(kind, value):
    if kind == A:
        return socket.inet_aton(value)
    if kind == AAAA:
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == MX:
        preference, host = value if isinstance(value, tuple) else (10, value)
        return struct.pack(">H", preference) + wire(host)
    if kind == TXT:
        return bytes([len(value)]) + value.encode()
    return wire(value)


class DnsServer:
    """answers: (name, type) -> list of values (address text; name for PTR and MX, or (preference, name); words for TXT). What is not there does
    not exist. silent: names that get no answer at all. broken: names that get SERVFAIL. zones: ends of names, each
    with the answers of every name that has this end."""

    def __init__(self):
        self.answers = {}
        self.silent = set()
        self.broken = set()
        self.zones = {}
        self.asked = []
        self.ttl = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def host(self, name, *addresses):
        self.answers[name, A] = list(addresses)

    def ptr(self, address, name):
        self.answers[reverse(address), PTR] = [name]

    def mx(self, name, *hosts):
        self.answers[name, MX] = list(hosts)

    def stop(self):
        # a datagram of nothing ends the thread
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def _run(self):
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            answer = self._answer(query)
            if answer:
                self._socket.sendto(answer, client)

    def _answer(self, query):
        number, = struct.unpack(">H", query[:2])
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind, = struct.unpack(">H", query[at + 1:at + 3])
        name = ".".join(labels)
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        if name in self.broken:
            return struct.pack(">HHHHHH", number, 0x8182, 1, 0, 0, 0) + question
        values = self.answers.get((name, kind), [])
        exists = any(known == name for known, _ in self.answers)
        for zone, records in self.zones.items():
            if name.endswith("." + zone):
                values, exists = records.get(kind, []), True
        records = b""
        for value in values:
            data = record(kind, value)
            records += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, self.ttl, len(data)) + data
        return struct.pack(">HHHHHH", number, 0x8180 if exists else 0x8183, 1, len(values), 0, 0) + question + records
