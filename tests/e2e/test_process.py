"""The process itself: signals at odd moments, PID 1, few descriptors, several addresses, reload."""

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import binary, clean_environment


def send(gateway, address=None):
    token = mail.new_token()
    reply = smtp_client.send(address or gateway.address, "bob@example.org", ["alice@example.com"], mail.message(token))
    assert reply.code == 250, reply
    return token


def test_it_is_ready_soon(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    print(f"ready after {gateway.started_in * 1000:.0f} ms")
    assert gateway.started_in < 1 * wait.SCALE


@pytest.mark.parametrize("after", [0, 0.002, 0.005, 0.01, 0.02, 0.05])
def test_sigterm_during_start(after, gateways, peer):
    gateway = gateways(start=False, relay_transport=peer.transport)
    gateway.start(ready=False)
    time.sleep(after)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait_exit() in (0, -signal.SIGTERM)


def test_two_sigterms(gateways, peers):
    peer = peers(delay={"dot": 30})
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no")
    client = smtp_client.Smtp(gateway.address)
    client.hello()
    client.envelope("bob@example.org", ["alice@example.com"])
    client.cmd("DATA")
    client.send(mail.message(mail.new_token()) + b".\r\n")
    wait.until(lambda: any(c.commands[-1:] == [b"DATA"] for c in peer.connections), "the delivery")
    gateway.signal(signal.SIGTERM)
    time.sleep(0.1)
    gateway.signal(signal.SIGTERM)
    gateway.stop()
    client.close()
    peer.delay.clear()


def test_several_addresses(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, listen="127.0.0.1:0, 127.0.0.2:0 [::1]:0")
    found = dict(re.findall(r"Listening on (\[::1\]|127\.0\.0\.[12]):(\d+)", gateway.log()))
    assert set(found) == {"127.0.0.1", "127.0.0.2", "[::1]"}, gateway.log()
    for host, port in found.items():
        send(gateway, (host.strip("[]"), int(port)))
    gateway.wait_log(r"client=unknown\[::1\]$")


def test_ipv6_received_header(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, listen="[::1]:0")
    port = int(re.search(r"Listening on \[::1\]:(\d+)", gateway.log()).group(1))
    token = send(gateway, ("::1", port))
    assert b"(unknown [IPv6:::1])" in peer.find(token)[0].body


def test_address_family_that_is_off(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, listen="0", inet_protocols="ipv4")
    assert not gateway.grep(r"Listening on \[")
    send(gateway)


def test_few_descriptors(gateways, peer):
    """Out of descriptors: no crash, no busy loop, and all is well when they come free."""
    gateway = gateways(relay_transport=peer.transport)
    have = len(os.listdir(f"/proc/{gateway.pid}/fd"))
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (have + 12, have + 12))
    clients = []
    for _ in range(60):
        sock = socket.create_connection(gateway.address)
        clients.append(sock)
    before = cpu(gateway)
    time.sleep(1)
    assert cpu(gateway) - before < 0.5, "busy while out of descriptors"
    for sock in clients:
        sock.close()
    wait.until(lambda: tries(gateway), "mail to go again")


def cpu(gateway):
    fields = pathlib.Path(f"/proc/{gateway.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tries(gateway):
    try:
        send(gateway)
        return True
    except (OSError, smtp_client.Closed, AssertionError):
        return False


def test_idle_costs_nothing(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    send(gateway)
    time.sleep(0.5)
    before = cpu(gateway)
    time.sleep(2)
    assert cpu(gateway) - before <= 0.03 * wait.SCALE


def test_as_pid_1(gateways, peer):
    """In a container: signals are taken although PID 1 has no defaults, and orphans are reaped."""
    if os.geteuid() != 0:
        pytest.skip("needs root (unshare)")
    gateway = gateways(start=False, relay_transport=peer.transport)
    gateway.spool.mkdir()
    outer = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", binary(), "serve"],
                             env=clean_environment(gateway.settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        port = None
        for line in outer.stdout:
            if found := re.search(rb"Listening on 127\.0\.0\.1:(\d+)", line):
                port = int(found.group(1))
                break
        inner = int(pathlib.Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])
        for _ in range(5):  # docker exec of something that leaves a child behind
            subprocess.run(["nsenter", "-t", str(inner), "-p", "-m", "sh", "-c", "(sleep 0.05 &) ; exit 0"], check=True)
        send(gateway, ("127.0.0.1", port))

        def children():
            return pathlib.Path(f"/proc/{inner}/task/{inner}/children").read_text().split()

        wait.until(lambda: not children(), lambda: f"the orphans to be reaped: {children()}", 5)
        os.kill(inner, signal.SIGTERM)
        outer.communicate(timeout=15 * wait.SCALE)
        assert outer.returncode == 0
    finally:
        if outer.poll() is None:
            outer.kill()
            outer.wait()


def test_reload_takes_a_new_domain(gateways, peer):
    """SIGHUP reads the ini file again; sessions under way keep what they had."""
    gateway = gateways(start=False, relay_transport=peer.transport)
    del gateway.settings["allowed_domains"]
    ini = gateway.directory / "mxgate.ini"
    gateway.settings["MXGATE_INI"] = ini
    ini.write_text("relay_domains = example.com\n")
    gateway.start()

    def code(client, domain):
        client.cmd("RSET")
        client.cmd("MAIL FROM:<bob@example.org>")
        return client.cmd(f"RCPT TO:<alice@{domain}>").code

    old = smtp_client.Smtp(gateway.address)
    assert code(old, "example.com") == 250 and code(old, "example.net") == 554
    ini.write_text("relay_domains = example.com example.net\n")
    gateway.signal(signal.SIGHUP)
    gateway.wait_log(r"reload")
    with smtp_client.Smtp(gateway.address) as new:
        assert code(new, "example.com") == 250 and code(new, "example.net") == 250
    assert code(old, "example.com") == 250
    old.close()
    # a broken file: said, and the old settings stay
    ini.write_text("relay_domains = exa mple..com\nmessage_size_limit = lots\n")
    gateway.signal(signal.SIGHUP)
    gateway.wait_log(r"(?i)message_size_limit")
    with smtp_client.Smtp(gateway.address) as client:
        assert code(client, "example.net") == 250


def test_reload_takes_a_new_destination(gateways, peers, mode):
    """The old one is gone for good; what waits for it goes to the new one, without a restart."""
    old, new = peers(), peers()
    gateway = gateways(start=False, delivery_mode=mode)
    ini = gateway.directory / "mxgate.ini"
    gateway.settings["MXGATE_INI"] = ini
    ini.write_text(f"relay_transport = {old.transport}\n")
    gateway.start()
    first = send(gateway)
    gateway.wait_queue_empty()
    wait.until(lambda: old.count(first) == 1, "mail at the old one")
    old.down()
    tokens = [send(gateway) for _ in range(10)]
    gateway.wait_queued(10)
    ini.write_text(f"relay_transport = {new.transport}\n")
    gateway.signal(signal.SIGHUP)
    gateway.wait_log("reload")
    gateway.wait_queue_empty(6)
    tokens.append(send(gateway))
    gateway.wait_queue_empty()
    wait.until(lambda: all(new.count(t) == 1 for t in tokens), "each mail at the new one")


def test_reload_under_load(gateways, peer, mode):
    import threading
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    tokens, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            tokens.append(send(gateway))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        gateway.signal(signal.SIGHUP)
        time.sleep(0.03)
    stop.set()
    for thread in threads:
        thread.join()
    gateway.wait_queue_empty()
    wait.until(lambda: all(peer.count(t) == 1 for t in tokens), "each mail once")
    assert len(tokens) > 20


def test_handshakes_give_way_to_the_rest(gateways, peer):
    """Two threads, of lower priority than all others: in the sandbox too."""
    gateway = gateways(relay_transport=peer.transport)
    normal = os.getpriority(os.PRIO_PROCESS, 0)

    def nice():
        return sorted(int((task / "stat").read_text().rpartition(")")[2].split()[16])
                      for task in pathlib.Path(f"/proc/{gateway.pid}/task").iterdir())

    wait.until(lambda: nice().count(min(normal + 10, 19)) == 2, lambda: f"two threads of lower priority: {nice()}")
    assert nice().count(normal) == len(nice()) - 2
