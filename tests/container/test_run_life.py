"""Stops, kills, replacements, limits and faults of the container: whatever happens to it, no mail is lost, and its health
says what is so."""

import json
import re
import subprocess
import threading
import time

import pytest

from harness import mail, smtp_client, wait
from stack import find_out

GATEWAY = ("127.0.0.1", 25)
SENDERS = 8
QUICK = {"interval": "1s", "timeout": "4s", "retries": 1}  # the checks are the same, only the waiting is shorter


class Load:
    """Senders who go on until told to stop; `promised` are the tokens that were answered with 250."""

    def __init__(self):
        self.promised = []
        self.going = True
        self.threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        while self.going:
            token = mail.new_token()
            try:
                with smtp_client.Smtp(GATEWAY, timeout=20) as client:
                    client.hello()
                    if client.mail("bob@example.org", ["ann@example.com"], mail.message(token, to="ann@example.com", size=8000)).code == 250:
                        self.promised.append(token)
            except (OSError, smtp_client.Closed):
                time.sleep(0.02)  # nobody is there; a real sender waits longer

    def wait_for(self, count):
        mark = len(self.promised)
        wait.until(lambda: len(self.promised) >= mark + count, lambda: f"{count} mails taken; it is {len(self.promised) - mark}", 30)

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join(60)
        return self.promised


def queued(count):
    """So many mails into the gateway's queue: Dovecot is away."""
    tokens = [mail.new_token() for _ in range(count)]
    for token in tokens:
        reply = smtp_client.send(GATEWAY, "bob@example.org", ["ann@example.com"], mail.message(token, to="ann@example.com"))
        assert reply.code == 250, reply
    return tokens


def test_stop_under_load(engine, stacks, dovecot, capsys):
    """`docker stop`: within 10 s, exit code 0, and what was answered with 250 arrives."""
    stack = stacks()
    load = Load()
    try:
        load.wait_for(200)
        begun = time.monotonic()
        engine.docker("stop", "-t", "15", "mxgate")
        took = time.monotonic() - begun
    finally:
        promised = load.stop()
    with capsys.disabled():
        print(f"\ndocker stop under load: {took:.1f} s, {len(promised)} mails promised before")
    assert took < 10
    assert stack.gateway.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"
    stack.compose("start")
    found = dovecot.wait_tokens(promised, timeout=30)
    assert len(found) == len(set(found)), "delivered twice after an orderly stop"


def test_kill_under_load(engine, stacks, dovecot):
    """`docker kill`, `up`, while senders go on: what was answered with 250 arrives."""
    stack = stacks(environment={"DELIVERY_MODE": "queue"})
    load = Load()
    try:
        for _ in range(3):
            load.wait_for(60)
            engine.docker("kill", "mxgate")
            stack.up(healthy=False)
        load.wait_for(60)
    finally:
        promised = load.stop()
    dovecot.wait_tokens(promised, timeout=40)


def test_queue_outlives_the_container(engine, stacks, dovecot):
    """kill and up again, `down && up`: the queue is still there, and goes where it belongs once it can."""
    stack = stacks()
    dovecot.disconnect()
    tokens = find_out(stack.gateway, lambda: queued(1))
    tokens += queued(24)
    engine.docker("kill", "mxgate")
    stack.up()
    assert len(stack.gateway.exec("postqueue", "-j").splitlines()) == 25
    stack.down()
    assert engine.docker("container", "inspect", "mxgate", check=False).returncode != 0
    stack.up()
    assert len(stack.gateway.exec("postqueue", "-j").splitlines()) == 25
    dovecot.connect()
    assert sorted(dovecot.wait_tokens(tokens, timeout=10)) == sorted(tokens)


def test_restarts_by_itself(engine, stacks, dovecot):
    """restart: always, when the process dies for whatever reason."""
    gateway = stacks().gateway
    before = gateway.pid
    subprocess.run(["kill", "-9", str(before)], check=True)
    wait.until(lambda: gateway.inspect("{{.State.Running}} {{.RestartCount}}") == "true 1", "a restart")
    gateway.wait_health("healthy", 15)
    assert queued(1)


def test_64_mib_under_load(engine, stacks, dovecot, capsys):
    """100 sessions of smtp-source at a time, 64 MiB in all: no OOM kill, everything arrives."""
    gateway = stacks(mem_limit="64m").gateway
    count, peak = 3000, 0
    begun = time.monotonic()
    with subprocess.Popen(["smtp-source", "-s", "100", "-m", str(count), "-l", "16384", "-f", "bob@example.org", "-t", "ann@example.com",
                           "127.0.0.1:25"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as source:
        while source.poll() is None:
            peak = max(peak, int(gateway.status()["VmRSS"].split()[0]))
            assert time.monotonic() - begun < 120, "smtp-source does not come to its end"
            time.sleep(0.05)
        assert source.returncode == 0, source.stderr.read()
    took = time.monotonic() - begun
    wait.until(lambda: len(dovecot.tokens()) >= count, lambda: f"{count} mails in Dovecot; there are {len(dovecot.tokens())}", 60, 0.2)
    assert gateway.inspect("{{.State.OOMKilled}} {{.RestartCount}} {{.State.Running}} {{.HostConfig.Memory}}") == "false 0 true 67108864"
    with capsys.disabled():
        print(f"\n64 MiB, 100 sessions: {count} mails in {took:.1f} s, RSS at most {peak / 1024:.1f} MiB")
    assert peak < 64 * 1024


def test_a_daemon_that_hangs_is_unhealthy(engine, stacks, dovecot):
    gateway = stacks(healthcheck=QUICK).gateway
    engine.docker("kill", "-s", "STOP", "mxgate")
    try:
        gateway.wait_health("unhealthy", 20)
        assert re.match(r"unhealthy: the daemon does not answer at /var/spool/mxgate/control\.sock \(no answer in time\)", gateway.health_text())
    finally:
        engine.docker("kill", "-s", "CONT", "mxgate")
    gateway.wait_health("healthy", 15)


@pytest.fixture
def failing_disk(engine):
    """A folder on a file system of its own, and what makes it fail: read-only from one moment to the next, as ext4 does
    when its disk returns errors."""
    image, folder = engine.folder / "disk", engine.folder / "on-disk"
    folder.mkdir(exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    engine.run("mkfs.ext4", "-q", "-F", image)
    engine.run("mount", "-o", "loop", image, folder)
    yield folder, lambda: engine.run("mount", "-o", "remount,abort", folder, check=False)
    engine.run("umount", folder)
    image.unlink()


def test_a_spool_that_cannot_be_written_is_unhealthy(engine, failing_disk, stacks, dovecot):
    folder, fail = failing_disk
    gateway = stacks(healthcheck=QUICK, volumes=[f"{folder}:/var/spool/mxgate"]).gateway
    fail()
    gateway.wait_health("unhealthy", 20)
    assert "the spool is not writable" in gateway.health_text(), gateway.health_text()
    # Straight to Dovecot it may still work: no promise is made on a disk that is not there.
    reply = smtp_client.send(GATEWAY, "bob@example.org", ["ann@example.com"], mail.message(mail.new_token(), to="ann@example.com"))
    assert reply.code in (250, 451, 452), reply
    if reply.code == 250:
        wait.until(dovecot.tokens, "the mail in Dovecot")


def test_health_leaves_nothing_behind(stacks, dovecot):
    """Docker's log of checks has one line each; the gateway's has none, and no dead process is left."""
    gateway = stacks(healthcheck=QUICK).gateway
    mark = len(gateway.logs())
    before = gateway.inspect("{{len .State.Health.Log}}")
    wait.until(lambda: int(gateway.inspect("{{len .State.Health.Log}}")) > min(int(before) + 2, 4), "three more checks", 15)
    for look in json.loads(gateway.inspect("{{json .State.Health.Log}}")):
        assert look["ExitCode"] == 0 and look["Output"].startswith("healthy: ") and look["Output"].count("\n") == 1, look
    assert gateway.logs()[mark:].count("connect from") == 0
    assert " Z " not in gateway.exec("ps", "-o", "pid,stat,comm")
