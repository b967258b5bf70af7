"""The healthcheck program: exit 0 when mxgate's own duties hold, trouble of the upstream in words."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from harness import wait
from harness.gateway import binary, clean_environment, healthcheck_binary


def check(gateway, arguments=(), before=(), **settings):
    environment = clean_environment({"listen": f"127.0.0.1:{gateway.port}", "queue_directory": gateway.spool, **settings})
    return subprocess.run([*before, healthcheck_binary(), *arguments], env=environment, capture_output=True, timeout=30 * wait.SCALE)


@pytest.mark.smoke
def test_healthy(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    done = check(gateway)
    assert done.returncode == 0, done


def test_it_leaves_no_noise_in_the_log(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    mark = len(gateway.lines)
    for _ in range(5):
        assert check(gateway).returncode == 0
    time.sleep(0.2)
    assert gateway.lines[mark:] == []


def test_upstream_down_is_said_but_healthy(gateways, peer):
    from harness import mail, smtp_client
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    smtp_client.send(gateway.address, "b@example.org", ["alice@example.com"], mail.message(mail.new_token()))
    gateway.wait_log("status=deferred")
    done = check(gateway)
    assert done.returncode == 0, done
    assert b"127.0.0.1" in done.stdout or b"upstream" in done.stdout or b"destination" in done.stdout, done
    assert check(gateway, HEALTHCHECK_UPSTREAM="strict").returncode != 0
    peer.up()
    gateway.wait_queue_empty()
    wait.until(lambda: check(gateway, HEALTHCHECK_UPSTREAM="strict").returncode == 0, "health after the upstream's return")


def test_strangers_in_all_places(gateways, peer):
    """They are refused beyond smtpd_connection_limit; the gateway is well."""
    from harness import smtp_client
    gateway = gateways(relay_transport=peer.transport, smtpd_connection_limit=10, mynetworks="127.0.0.1/32")
    strangers = [smtp_client.Smtp(gateway.address, source="127.0.0.2") for _ in range(10)]
    refused = smtp_client.Smtp(gateway.address, source="127.0.0.2")
    assert refused.greeting.code == 421
    done = check(gateway)
    assert done.returncode == 0, done
    for client in strangers:
        client.close()


def test_programs_that_think_over_their_mail(gateways, peer):
    """A job that says a line and works on, piped into sendmail: twenty of them are nobody's ill health."""
    gateway = gateways(relay_transport=peer.transport)
    environment = clean_environment({"queue_directory": gateway.spool})
    programs = [subprocess.Popen([binary(), "sendmail", "alice@example.com"], env=environment, stdin=subprocess.PIPE)
                for _ in range(20)]
    try:
        for program in programs:
            program.stdin.write(b"Subject: the night's work\n\nfirst line\n")
            program.stdin.flush()
        time.sleep(1 * wait.SCALE)
        done = check(gateway)
        assert done.returncode == 0, done
        for program in programs:
            program.stdin.close()
        assert [program.wait(20 * wait.SCALE) for program in programs] == [0] * 20
    finally:
        for program in programs:
            program.kill()
            program.wait()
    assert peer.messages == 20


def test_dead_daemon(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    gateway.kill()
    done = check(gateway)
    assert done.returncode == 1, done
    assert done.stdout or done.stderr


def test_hanging_daemon(gateways, peer):
    """SIGSTOP: it must say so by itself, well before Docker's time-out of 30 s."""
    gateway = gateways(relay_transport=peer.transport)
    gateway.signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        done = check(gateway)
        assert done.returncode == 1, done
        assert time.monotonic() - begun < 15
    finally:
        gateway.signal(signal.SIGCONT)


def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def test_what_is_degraded_is_in_the_line(gateways, peer):
    from harness import mail, smtp_client
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    smtp_client.send(gateway.address, "b@example.org", ["alice@example.com"], mail.message(mail.new_token()))
    gateway.wait_log("status=deferred")
    said = check(gateway).stdout.decode()
    assert re.fullmatch(r"healthy: 1 messages queued, the oldest for \d+ s; SMTP answers on \S+; but "
                        r"destination lmtp:\S+ is down for \d+ s \(.*\)\n", said), said


def test_json(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    well = json.loads(check(gateway, arguments=["--json"]).stdout)
    assert well["healthy"] is True and well["unhealthy"] == "" and well["degraded"] == ""
    assert "SMTP answers" in well["summary"] and well["status"]["queued"] == 0
    peer.down()
    gateway.run("sendmail", "alice@example.com", input=b"Subject: x\n\nx\n", check=0)
    gateway.wait_log("status=deferred")
    ill = json.loads(check(gateway, arguments=["--json"], HEALTHCHECK_UPSTREAM="strict").stdout)
    assert ill["healthy"] is False and "is down" in ill["unhealthy"] and ill["status"]["queued"] == 1
    gateway.kill()
    done = check(gateway, arguments=["--json"])
    dead = json.loads(done.stdout)
    assert done.returncode == 1 and not done.stderr
    assert dead["healthy"] is False and dead["status"] is None and "does not answer" in dead["unhealthy"]


@pytest.mark.skipif(bool(os.environ.get("ASAN_OPTIONS") or os.environ.get("MXGATE_WRAPPER")), reason="measures time")
def test_it_is_quick(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    took = []
    for _ in range(50):
        begun = time.monotonic()
        assert check(gateway).returncode == 0
        took.append(time.monotonic() - begun)
    took.sort()
    print(f"median {took[25] * 1000:.1f} ms, slowest {took[-1] * 1000:.1f} ms")
    assert took[25] < 0.05


def test_read_only_spool(gateways, peer, inject):
    gateway = gateways(relay_transport=peer.transport)
    writable_again = inject(gateway, "open,openat:error=EROFS")
    done = check(gateway)
    assert done.returncode == 1, done
    assert b"unhealthy: the spool is not writable (queue_directory is not writable: Read-only file system)" in done.stdout, done
    writable_again()
    assert check(gateway).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_and_as_the_daemons_user(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, run_as_user="10025:10025")
    assert check(gateway).returncode == 0
    assert check(gateway, before=as_user(10025)).returncode == 0
    stranger = check(gateway, before=as_user(10026))
    assert stranger.returncode == 1 and b"Permission denied" in stranger.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root (unshare)")
@pytest.mark.skipif(bool(os.environ.get("MXGATE_WRAPPER")), reason="takes an hour in valgrind")
def test_ten_thousand_checks_in_a_container(gateways, peer, tmp_path):
    """Each an orphan of PID 1, as those of an engine that let go of them: all reaped, nothing left, no line in the log."""
    count = 1000 if os.environ.get("ASAN_OPTIONS") else 10_000
    gateway = gateways(start=False, relay_transport=peer.transport)
    gateway.wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    gateway.start().wait_seen()
    inner = int(pathlib.Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()[0])
    status = pathlib.Path(f"/proc/{inner}/status")

    def resident():
        return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])

    def children():
        return pathlib.Path(f"/proc/{inner}/task/{inner}/children").read_text().split()

    said = tmp_path / "said"
    script = f'i=0; while [ $i -lt {count} ]; do (CHECK >>"{said}" &); i=$((i+1)); [ $((i % 8)) != 0 ] || CHECK -t 20 >/dev/null; done'
    environment = clean_environment({"queue_directory": gateway.spool})
    check(gateway)
    mark, memory, descriptors = len(gateway.lines), resident(), len(os.listdir(f"/proc/{inner}/fd"))
    subprocess.run(["nsenter", "-t", str(inner), "-p", "-m", "sh", "-c", script.replace("CHECK", healthcheck_binary())],
                   env=environment, check=True, timeout=240)
    wait.until(lambda: not children(), lambda: f"the orphans to be reaped: {len(children())} are left", 20)
    lines = said.read_text().splitlines()
    assert len(lines) == count and {line.split(":")[0] for line in lines} == {"healthy"}, set(lines)
    wait.until(lambda: len(os.listdir(f"/proc/{inner}/fd")) <= descriptors, "descriptors to be given back")
    assert resident() < memory + 1024 or os.environ.get("ASAN_OPTIONS"), (memory, resident())
    assert gateway.lines[mark:] == []
    os.kill(inner, signal.SIGTERM)
    assert gateway.wait_exit() == 0


def test_needs_nothing(gateways, peer):
    """Static: no shell, no interpreter, runs as another user without rights on the spool."""
    gateway = gateways(relay_transport=peer.transport)
    text = subprocess.run(["file", "-L", healthcheck_binary()], capture_output=True, text=True).stdout
    assert "ELF" in text


def test_many_checks_leave_nothing_behind(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    check(gateway)
    before = len(os.listdir(f"/proc/{gateway.pid}/fd"))
    for _ in range(100):
        assert check(gateway).returncode == 0
    wait.until(lambda: len(os.listdir(f"/proc/{gateway.pid}/fd")) <= before + 1, "descriptors to be given back")
