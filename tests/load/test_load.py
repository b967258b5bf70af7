"""Load and limits: what many do at once, and what the machine does not give. The normal build.

LOAD_SCALE is the percentage of the numbers in the names of the tests (10: part of `make test`; 100: `make load`). What is
measured is printed (-rP shows it); what is asserted is what is there, who is served, and memory, never how fast."""

import os
import re
import resource
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import ROOT, binary
from harness.ports import free_port

SCALE = int(os.environ.get("LOAD_SCALE") or 10)
SESSIONS_PY = ROOT / "tests" / "bench" / "sessions.py"
WIDE = {"smtpd_connection_limit": "15000", "smtpd_client_connection_count_limit": "15000", "verify_recipients": "no",
        "smtpd_tls_security_level": "none"}

pytestmark = pytest.mark.skipif("asan" in binary(), reason="the normal build's numbers")


def scaled(number):
    return max(10, number * SCALE // 100)


def pss_mib(gateway):
    with open(f"/proc/{gateway.pid}/smaps_rollup", encoding="ascii") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


def queued(gateway):
    status = gateway.ask_status()
    return next(part["queued"] for part in (status, *(v for v in status.values() if isinstance(v, dict))) if "queued" in part)


def a_mail_goes(gateway, peer, to="alice@example.com"):
    token = mail.new_token()
    assert smtp_client.send(gateway.address, "bob@example.org", [to], mail.message(token)).code == 250
    wait.until(lambda: peer.count(token) == 1, "a mail to come out", 30)


def source(gateway, count, sessions=20, size=1000, extra=()):
    """Postfix's client: it is quick, and all its messages are alike."""
    done = subprocess.run(["smtp-source", "-d", "-s", str(sessions), "-m", str(count), "-l", str(size), "-f", "bob@example.org",
                           "-t", "ann@example.com", *extra, f"127.0.0.1:{gateway.port}"], capture_output=True, timeout=500, check=False)
    assert done.returncode == 0, done


# --- many sessions

def test_10000_idle_sessions(gateways, peer):
    count = min(scaled(10000), resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)
    gateway = gateways(relay_transport=peer.transport, **WIDE)
    a_mail_goes(gateway, peer)
    before = pss_mib(gateway)
    with subprocess.Popen([sys.executable, str(SESSIONS_PY), str(gateway.port), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)) as clients:
        assert clients.stdout.readline() == b"ready\n"
        wait.until(lambda: gateway.ask_status()["sessions"] == count, f"{count} sessions")
        used = pss_mib(gateway)
        print(f"{count} idle sessions: {used:.1f} MiB, {(used - before) * 1024 / count:.2f} KiB each")
        assert used < 64 and (used - before) * 1024 / count < 6
        a_mail_goes(gateway, peer)
        clients.stdin.close()
    wait.until(lambda: gateway.ask_status()["sessions"] == 0, "the sessions to end", 30)


def test_2000_slow_senders(gateways, peer):
    """A byte every two seconds each: others are served, and the time limit of a command ends them."""
    count = min(scaled(2000), 900)
    gateway = gateways(relay_transport=peer.transport, smtpd_timeout="6s", **WIDE)
    selector = selectors.DefaultSelector()
    slow = [socket.create_connection(gateway.address) for _ in range(count)]
    heard = dict.fromkeys(slow, b"")
    for sock in slow:
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
    deadline, sent = time.monotonic() + 60, 0
    while selector.get_map():
        assert time.monotonic() < deadline, f"{len(selector.get_map())} of them are still there"
        for key, _ in selector.select(2):
            try:
                data = key.fileobj.recv(1000)
            except OSError:
                data = b""
            heard[key.fileobj] += data
            if not data:
                selector.unregister(key.fileobj)
        for key in list(selector.get_map().values()):
            try:
                key.fileobj.send(b"x")
            except OSError:
                pass
        sent += 1
        if sent in (2, 3):
            a_mail_goes(gateway, peer)
        time.sleep(1)
    assert all(h.startswith(b"220 ") and b"\r\n421 " in h for h in heard.values())
    for sock in slow:
        sock.close()
    wait.until(lambda: gateway.ask_status()["sessions"] == 0, "the sessions to end")


def test_100_messages_for_500_recipients(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", smtpd_recipient_limit="1000", **WIDE)
    recipients = [f"r{n}@example.com" for n in range(500)]
    tokens = [mail.new_token() for _ in range(scaled(100))]
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for token in tokens:
            assert client.mail("bob@example.org", recipients, mail.message(token)).code == 250
    gateway.wait_queue_empty(120)
    print(f"{len(tokens)} messages for 500: {pss_mib(gateway):.1f} MiB")
    for token in tokens:
        assert sorted(d.recipient for d in peer.find(token)) == sorted(recipients)


# --- a long queue

class Sink:
    """smtp-sink -L, for more than the scripted peer can take; the gateway's log says what came."""

    def __init__(self, port):
        self.process = subprocess.Popen(["smtp-sink", *(["-u", "nobody"] if os.geteuid() == 0 else []), "-L", f"127.0.0.1:{port}", "1000"])

    def stop(self):
        self.process.kill()
        self.process.wait()


def test_100000_queued(gateways):
    """The upstream is away: memory, a restart, new mail meanwhile; and when it is back, what is fresh goes first."""
    count, port = scaled(100000), free_port()
    gateway = gateways(relay_transport=f"lmtp:[127.0.0.1]:{port}", delivery_mode="queue", queue_message_limit="200000", **WIDE)
    begun = time.monotonic()
    source(gateway, count)
    print(f"{count} taken in {time.monotonic() - begun:.1f} s, {pss_mib(gateway):.1f} MiB")
    gateway.stop(60)
    begun = time.monotonic()
    gateway.start()
    first = time.monotonic() - begun
    fresh = smtp_client.send(gateway.address, "bob@example.org", ["fresh@example.com"], mail.message(mail.new_token()))
    assert fresh.code == 250, "while the queue is read, and after"
    wait.until(lambda: queued(gateway) == count + 1, lambda: f"all to be known: {queued(gateway)}", 120)
    memory = pss_mib(gateway)
    print(f"restart: Listening after {first:.2f} s, all known after {time.monotonic() - begun:.1f} s, {memory:.1f} MiB")
    assert memory < 32 + count / 1000, "a kilobyte for each"
    mark = len(gateway.lines)
    sink = Sink(port)
    try:
        wait.until(lambda: any("status=sent" in line for line in gateway.lines[mark:]), "the first delivery", 30)
        begun = time.monotonic()
        late = smtp_client.send(gateway.address, "bob@example.org", ["late@example.com"], mail.message(mail.new_token()))
        assert late.code == 250
        wait.until(lambda: any("to=<late@example.com>" in line and "status=sent" in line for line in gateway.lines[mark:]), "the late one", 30)
        before = sum(": removed" in line for line in gateway.lines[mark:])
        wait.until(lambda: not gateway.spool_files("queue"), lambda: f"{len(gateway.spool_files('queue'))} to go", 300, interval=0.5)
        print(f"drained in {time.monotonic() - begun:.1f} s, {pss_mib(gateway):.1f} MiB; the late one after {before}")
        assert before < count // 2, f"it had to wait for {before} old ones"
        wait.until(lambda: sum(": removed" in line for line in gateway.lines[mark:]) == count + 2, "a line for each", 60)
    finally:
        sink.stop()


# --- what the machine does not give

def hammer(gateway, count, size, tokens, lock):
    """Clients that try until their mail is taken; what was taken is in `tokens`."""
    def one():
        for _ in range(3):
            token = mail.new_token()
            try:
                if smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(token, size=size), timeout=20).code == 250:
                    with lock:
                        tokens.append(token)
            except (OSError, smtp_client.Closed):
                time.sleep(0.05)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("what", ["memory", "descriptors", "file-size"])
def test_exhaustion(what, mode, gateways, peer):
    """It refuses for now and loses nothing, and serves again when there is enough."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, **WIDE)
    a_mail_goes(gateway, peer)
    address_space = next(int(line.split()[1]) * 1024 for line in open(f"/proc/{gateway.pid}/status", encoding="ascii") if line.startswith("VmSize:"))
    limit, value = {"memory": (resource.RLIMIT_AS, address_space + 300_000),
                    "descriptors": (resource.RLIMIT_NOFILE, len(os.listdir(f"/proc/{gateway.pid}/fd")) + 6),
                    "file-size": (resource.RLIMIT_FSIZE, 100_000)}[what]
    before = resource.prlimit(gateway.pid, limit)
    tokens, lock = [], threading.Lock()
    resource.prlimit(gateway.pid, limit, (value, before[1]))
    hammer(gateway, 30, 300_000, tokens, lock)
    print(f"{what}: {len(tokens)} of 90 were taken")
    assert gateway.process.poll() is None, gateway.tail()
    resource.prlimit(gateway.pid, limit, before)
    a_mail_goes(gateway, peer)
    gateway.flush()
    gateway.wait_queue_empty(60)
    for token in tokens:
        assert peer.count(token) >= 1, "a promised mail is missing"
        assert peer.count(token) == 1 or gateway.grep("may be sent more than once|after a crash it may be sent again"), "a double, and not a word of it"
    for folder in ("incoming", "corrupt"):
        assert not gateway.spool_files(folder)


# --- the clock

@pytest.fixture
def clock(tmp_path):
    """Sets by how many seconds the wall clock of gateways with .environment is off."""
    shim, file = tmp_path / "clock_step.so", tmp_path / "step"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", shim, ROOT / "tests" / "load" / "clock_step.c", "-ldl"], check=True)

    def step(seconds):
        with open(file, "r+b" if file.exists() else "wb") as f:
            f.write(struct.pack("=q", seconds))

    step(0)
    step.wrapper = ["env", f"LD_PRELOAD={shim}", f"CLOCK_STEP_FILE={file}"]
    return step


@pytest.mark.parametrize("step", [3600, -3600], ids=["an-hour-on", "an-hour-back"])
def test_clock_steps(step, clock, gateways, peer):
    """No storm, nobody is told that it is too late, and nothing waits an hour."""
    gateway = gateways(start=False, relay_transport=peer.transport, delivery_mode="queue", minimal_backoff_time="1s", maximal_backoff_time="3s", **WIDE)
    gateway.wrapper = clock.wrapper
    gateway.start()
    peer.fail("rcpt", "4xx")
    tokens = [mail.new_token() for _ in range(5)]
    for token in tokens:
        assert smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(token)).code == 250
    wait.until(lambda: len(gateway.grep("status=deferred")) >= 5, "each to be deferred")
    hour = gateway.lines[-1][11:13]
    clock(step)
    tries, begun = len(gateway.grep("status=deferred")), time.monotonic()
    wait.until(lambda: len(gateway.grep("status=deferred")) >= tries + 10, "them to be tried again", 30)
    assert gateway.lines[-1][11:13] != hour, "the step did not arrive"
    assert len(gateway.grep("status=deferred")) - tries <= 10 + 5 * (time.monotonic() - begun), "a storm"
    assert not gateway.grep("status=(expired|bounced)")
    a_new_one = mail.new_token()
    peer.lift()
    assert smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(a_new_one)).code == 250
    gateway.wait_queue_empty(30)
    assert all(peer.count(t) == 1 for t in (*tokens, a_new_one))
    assert all(float(d) < 4000 for line in gateway.grep("status=sent") for d in re.findall(r"delay=([\d.]+)", line))
    assert not gateway.grep("delay=-")


# --- the log's reader

def test_log_reader_that_stalls(gateways, peer):
    """Mail goes on, whole lines come, and what was dropped is counted."""
    gateway = gateways(start=False, relay_transport=peer.transport, delivery_mode="queue", **WIDE)
    stalled, seen = threading.Event(), threading.Event()

    class Stalling:
        def __init__(self, stream):
            self.stream = stream

        def __iter__(self):
            for line in self.stream:
                yield line
                if b"Listening on" in line or seen.is_set():
                    seen.set()
                    while stalled.is_set():
                        time.sleep(0.01)

        def close(self):
            self.stream.close()

    read = gateway._read_log

    def reading(process):
        process.stdout = Stalling(process.stdout)
        read(process)

    gateway._read_log = reading
    stalled.set()
    gateway.start()
    count = max(2000, scaled(4000))
    source(gateway, count)
    wait.until(lambda: peer.messages >= count, lambda: f"{peer.messages} of {count}", 120)
    assert not [line for line in gateway.lines if "status=sent" in line], "the reader did not stall"
    stalled.clear()
    said = gateway.wait_log(r"\d+ (log )?lines", 30)
    print(said)
    a_mail_goes(gateway, peer)
    torn = [line for line in gateway.lines if not re.match(r"(\d{4}-\d\d-\d\dT[\d:.]+\S* [A-Z]+ postfix/\w+\[\d+\]: .|\S+ +(INFO|NOTE|WARN|WARNING|ERROR) )", line)]
    assert not torn, torn[:3]
