"""Fixtures of the end-to-end and crash tests. They need the binary (MXGATE_BIN, default build/mxgate) and run as root
where a test needs another owner or a mount; what cannot be run here says so."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True

from harness import smtp_client, wait  # noqa: E402
from harness.dovecot import Dovecot  # noqa: E402
from harness.gateway import Gateway, binary  # noqa: E402
from harness.lmtp_peer import LmtpPeer  # noqa: E402


def pytest_configure(config):
    if not os.access(binary(), os.X_OK) and not config.option.collectonly:
        needs = os.environ.get("MXGATE_HARNESS_ONLY")
        if not needs:
            raise pytest.UsageError(f"{binary()} is not there: build it first (make), or set MXGATE_BIN")


def pytest_collection_modifyitems(items):
    if smtp_client.STARTTLS:
        for item in items:
            if item.get_closest_marker("clear_text"):
                item.add_marker(pytest.mark.skip(reason="in clear text"))


@pytest.fixture(scope="session")
def _dovecot():
    server = Dovecot()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def dovecot(_dovecot):
    """The session's Dovecot, running when the test begins, whatever the one before did to it."""
    _dovecot.start()
    return _dovecot


@pytest.fixture
def peers():
    """Makes scripted upstreams; none may have seen a breach of protocol by the end."""
    made = []

    def make(**options):
        peer = LmtpPeer(**options)
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.stop()
    for peer in made:
        assert not peer.violations, peer.violations


@pytest.fixture
def peer(peers):
    return peers()


@pytest.fixture
def gateways(peers):
    """Makes gateways; each must stop in order at the end of the test, before its upstream goes. Their logs are shown
    when the test fails."""
    made = []

    def make(start=True, directory=None, **settings):
        gateway = Gateway(directory, **settings)
        made.append(gateway)
        return gateway.start().wait_seen() if start else gateway

    yield make
    failures = []
    for gateway in made:
        try:
            gateway.stop()
        except AssertionError as failure:
            failures.append(failure)
        finally:
            gateway.remove()
        print(f"--- log of the gateway on {gateway.spool}")
        print("\n".join(gateway.lines))
        if gateway.stderr:
            print("--- stderr")
            print(gateway.stderr.decode("utf-8", "replace"))
    if failures:
        raise failures[0]


@pytest.fixture(params=["direct", "queue"])
def mode(request):
    return request.param


@pytest.fixture
def inject():
    """Throws faults into the system calls of a running gateway, all its threads (strace counts calls per thread).
    Returns what ends it."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    if os.environ.get("MXGATE_WRAPPER"):
        pytest.skip("one wrapper at a time")
    tracers = []

    def start(gateway, what):
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={what.split(':')[0]}",
                                   "-e", f"inject={what}", "-p", str(gateway.pid)])
        tracers.append(tracer)
        tasks = pathlib.Path(f"/proc/{gateway.pid}/task")
        wait.until(lambda: all("TracerPid:\t0\n" not in (t / "status").read_text() for t in tasks.iterdir()), "strace to attach")
        return end

    def end():
        for tracer in tracers:
            if tracer.poll() is None:
                tracer.terminate()
            tracer.wait()

    yield start
    end()
