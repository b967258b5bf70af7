"""Ports for servers that must be told theirs, or that go away and come back on the same one.

Not what bind() gives for 0: as soon as nobody listens there, the kernel may give it to another test's server, and then
mail goes where nobody looks for it. These are outside of the range from which the kernel gives, each worker has a part
of its own, and no port comes twice."""

import itertools
import os
import pathlib
import random
import re
import socket

RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
PARTS = 16


def _numbers():
    given_first = int(RANGE.read_text().split()[0])
    first, last = 10000, min(given_first, 32768)
    if last - first < 1000:
        return itertools.repeat(0)  # the kernel gives from nearly all there are: nothing better than its choice
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or PARTS - 1) % PARTS
    size = (last - first) // PARTS
    mine = range(first + worker * size, first + (worker + 1) * size)
    start = random.SystemRandom().randrange(size)
    return itertools.cycle([*mine[start:], *mine[:start]])


_next = _numbers()


def free_port(host="127.0.0.1"):
    for _ in range(1000):
        with socket.socket() as probe:
            try:
                probe.bind((host, next(_next)))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise AssertionError("no port is free")
