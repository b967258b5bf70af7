"""
handshakes.py PORT SECONDS PARALLEL KIND [CIPHERS]: SMTP sessions, so many at a time, for so long; prints how many did
well. KIND: plain (EHLO, QUIT), full (EHLO, STARTTLS, handshake, QUIT), resumed (each goes on with the one before).
"""

import socket
import ssl
import sys
import threading
import time


def reply(s):
    data = b""
    while not (data.endswith(b"\r\n") and data.split(b"\r\n")[-2][3:4] == b" "):
        got = s.recv(4096)
        if not got:
            raise ConnectionError(f"closed after {data!r}")
        data += got
    if data[:1] != b"2":
        raise ConnectionError(f"refused: {data!r}")


def say(s, line):
    s.sendall(line + b"\r\n")
    reply(s)


def context(ciphers):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    c.maximum_version = ssl.TLSVersion.TLSv1_2  # what both have
    if ciphers:
        c.set_ciphers(ciphers)
    return c


def one(port, kind, tls, session):
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reply(s)
        say(s, b"EHLO client.example.org")
        if kind == "plain":
            say(s, b"QUIT")
            return None
        say(s, b"STARTTLS")
        with tls.wrap_socket(s, session=session) as inside:
            if session and not inside.session_reused:
                raise ConnectionError("not resumed")
            say(inside, b"QUIT")
            return inside.session if kind == "resumed" else None


def main():
    port, seconds, parallel, kind = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    tls = context(sys.argv[5] if len(sys.argv) > 5 else None)
    until = time.monotonic() + seconds
    counts, errors = [], []

    def work():
        done, session = 0, None
        try:
            while time.monotonic() < until:
                session = one(port, kind, tls, session)
                done += 1
        except OSError as e:
            errors.append(str(e))
        counts.append(done)

    threads = [threading.Thread(target=work) for _ in range(parallel)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        sys.exit(errors[0])
    print(sum(counts))


main()
