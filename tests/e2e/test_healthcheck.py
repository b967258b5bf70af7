"""The healthcheck program: exit 0 when mxgate's own duties hold, trouble of the upstream in words."""

import os
import signal
import subprocess
import time

import pytest

from harness import wait
from harness.gateway import binary, clean_environment, healthcheck_binary


def check(gateway, **settings):
    environment = clean_environment({"listen": f"127.0.0.1:{gateway.port}", "queue_directory": gateway.spool, **settings})
    return subprocess.run([healthcheck_binary()], env=environment, capture_output=True, timeout=30 * wait.SCALE)


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
