"""sessions.py PORT COUNT: opens COUNT SMTP sessions, says EHLO in each, "ready" on stdout, and holds them until stdin ends."""

import socket
import sys


def read_reply(s):
    data = b""
    while not (data.endswith(b"\r\n") and data.split(b"\r\n")[-2][3:4] == b" "):
        got = s.recv(1024)
        if not got:
            sys.exit(f"closed after {data!r}")
        data += got
    if data[:1] != b"2":
        sys.exit(f"refused: {data!r}")


def main():
    port, count = int(sys.argv[1]), int(sys.argv[2])
    held = []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", port), 20)
        read_reply(s)
        s.sendall(b"EHLO client.example.org\r\n")
        read_reply(s)
        held.append(s)
    print("ready", flush=True)
    sys.stdin.read()


main()
