"""What mxgate status and the healthcheck tell of ways out: the relayhost is an upstream of ours, a domain that cannot be
reached is somebody else's affair, and mail without a way is told of."""

import re
import subprocess

import pytest

from harness import mail, postfix, smtp_client, wait
from harness.dns_server import DnsServer
from harness.gateway import clean_environment, healthcheck_binary
from harness.ports import free_port

BACK_OFF = {"delivery_mode": "queue", "minimal_backoff_time": "1h", "maximal_backoff_time": "1h"}


@pytest.fixture
def out(peers):
    return peers(protocol="smtp")


def send(gateway, recipient="joe@example.org"):
    reply = smtp_client.send(gateway.address, "bob@example.com", [recipient], mail.message(mail.new_token()))
    assert reply.code == 250, reply
    return reply.text.split()[-1]


def health(gateway, code, *options, **environment):
    done = subprocess.run([healthcheck_binary(), *options], capture_output=True,
                          env={**clean_environment({"queue_directory": gateway.spool}), **environment})
    assert done.returncode == code, done
    return done.stdout.decode()


def status(gateway):
    return gateway.run("status", check=0).stdout.decode()


def test_the_relayhost_is_away(gateways, peer, out):
    gateway = gateways(relay_transport=peer.transport, relayhost=f"[127.0.0.1]:{out.port}", **BACK_OFF)
    out.down()
    send(gateway)
    gateway.wait_log("is down: mail for it is kept")
    assert re.search(rf"(?m)^destination \[127\.0\.0\.1\]:{out.port} \(for other domains\): DOWN since .*: connect to .*: "
                     "Connection refused; 1 waiting", status(gateway)), status(gateway)
    words = rf"destination \[127\.0\.0\.1\]:{out.port} is down for \d+ s \(connect to .*Connection refused\)"
    assert re.match(rf"healthy: .*; but {words}\n", health(gateway, 0))
    assert re.match(rf"healthy: .*; but {words}\n", health(gateway, 0, "--ready"))
    assert re.match(rf"unhealthy: {words}\n", health(gateway, 1, HEALTHCHECK_UPSTREAM="strict"))
    out.up()
    gateway.wait_queue_empty()
    assert health(gateway, 0, HEALTHCHECK_UPSTREAM="strict").startswith("healthy: ") and "but" not in health(gateway, 0)


def test_a_domain_that_cannot_be_reached(gateways, peer):
    """One of many: it is told, and no reason to call this gateway ill."""
    dns = DnsServer()
    try:
        dns.host("example.org", "127.0.0.1")
        port = free_port()
        gateway = gateways(relay_transport=peer.transport, outbound="direct", dns_servers=dns.address, smtp_tcp_port=port, **BACK_OFF)
        assert gateway.ask_status()["direct_domains"] == 0
        send(gateway)
        gateway.wait_log("status=deferred")
        told = gateway.ask_status()
        assert (told["direct_domains"], told["direct_down"], told["direct"][0]["name"]) == (1, 1, "example.org")
        assert [d["name"] for d in told["destinations"]] == [peer.transport]
        assert re.search(r"(?m)^direct: 1 domain, 1 not reached\n  example\.org since .*Connection refused; \d waiting$",
                         status(gateway)), status(gateway)
        assert "but" not in health(gateway, 0, HEALTHCHECK_UPSTREAM="strict")
    finally:
        dns.stop()


def test_no_way_any_more(gateways, peer, out):
    """The way was taken away while mail waited for it."""
    gateway = gateways(relay_transport=peer.transport, relayhost=f"[127.0.0.1]:{out.port}", **BACK_OFF)
    out.down()
    queue_id = send(gateway)
    gateway.wait_log(f"{queue_id}: to=.*status=deferred")
    gateway.run("postconf", "-e", "relayhost =", check=0)
    gateway.wait_log(rf"{queue_id}: to=.*status=deferred \(there is no way to it: set relayhost or outbound=direct\)")
    wait.until(lambda: gateway.ask_status()["no_way"] == 1, "it to be counted")
    assert ("\nNO WAY OUT: for 1 message; set relayhost or outbound=direct, or add the domain to relay_domains\n"
            in status(gateway))
    assert "; but 1 messages have no way out (set relayhost or outbound=direct)\n" in health(gateway, 0)
    # an operator may hold it: then it does not wait for a way
    gateway.run("postsuper", "-h", queue_id, check=0)
    assert gateway.ask_status()["no_way"] == 0
    gateway.run("resend", queue_id, check=0)
    wait.until(lambda: gateway.ask_status()["no_way"] == 1, "it to be counted again")
    out.up()
    gateway.run("postconf", "-e", f"relayhost = [127.0.0.1]:{out.port}", check=0)
    gateway.wait_queue_empty()
    assert gateway.ask_status()["no_way"] == 0 and out.messages == 1
