"""Ways out: relayhost, sender_dependent_relayhost_maps and outbound=direct; who may use them, and what waits when one
is away."""

import json
import subprocess

import pytest

from harness import mail, smtp_client, wait
from harness.dns_server import DnsServer

STRANGER = "127.0.0.9"
OUT = "joe@example.org"
INSIDE = "ann@example.com"


def relayhost(peer):
    return f"[127.0.0.1]:{peer.port}"


def make(gateways, inside, **settings):
    """mynetworks is one address, so that the others of loopback are strangers."""
    return gateways(relay_transport=inside.transport, mynetworks="127.0.0.1/32", smtp_tls_security_level="none",
                    **settings)


def send(gateway, token, *recipients, sender="bob@example.com", source=None):
    return smtp_client.send(gateway.address, sender, recipients, mail.message(token))


def stored(peer, token, *recipients, timeout=10.0):
    wanted = sorted(recipients)
    wait.until(lambda: sorted(d.recipient for d in peer.find(token)) == wanted,
               lambda: f"{wanted} of {token}; there are {[d.recipient for d in peer.find(token)]}", timeout)


@pytest.fixture
def out(peers):
    return peers(protocol="smtp")


@pytest.fixture
def dns():
    server = DnsServer()
    yield server
    server.stop()


# --- which way

def test_inside_and_outside(gateways, peer, out, mode):
    """One message in, one part to each: the mail store by LMTP, the relayhost by SMTP."""
    gateway = make(gateways, peer, relayhost=relayhost(out), delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token, INSIDE, OUT, "kim@example.net").code == 250
    stored(peer, token, INSIDE)
    stored(out, token, OUT, "kim@example.net")
    gateway.wait_queue_empty()
    assert len(gateway.grep(rf"postfix/smtp\[.*to=<{OUT}>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{out.port}, .*status=sent")) == 1
    assert len(gateway.grep(rf"postfix/lmtp\[.*to=<{INSIDE}>, .*status=sent")) == 1


def test_by_sender(gateways, peer, peers, mode):
    first, second, rest = (peers(protocol="smtp") for _ in range(3))
    gateway = make(gateways, peer, relayhost=relayhost(rest), delivery_mode=mode,
                   sender_dependent_relayhost_maps=f"inline:{{ ann@example.com={relayhost(first)} "
                                                   f"@example.net={relayhost(second)} eve@example.net=DUNNO }}")
    for sender, where in (("Ann@Example.com", first), ("kim@example.net", second), ("eve@example.net", rest),
                          ("bob@example.com", rest), ("", rest)):
        token = mail.new_token()
        assert send(gateway, token, OUT, sender=sender).code == 250
        stored(where, token, OUT)
    gateway.wait_queue_empty()


def test_direct(gateways, peer, out, dns, mode):
    """A destination for each domain; each has its own sessions."""
    for domain in ("example.org", "example.net"):
        dns.host(domain, "127.0.0.1")
    gateway = make(gateways, peer, outbound="direct", dns_servers=dns.address, smtp_tcp_port=out.port, delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token, INSIDE, OUT, "kim@EXAMPLE.net", "kay@example.net").code == 250
    stored(peer, token, INSIDE)
    stored(out, token, OUT, "kim@EXAMPLE.net", "kay@example.net")
    gateway.wait_queue_empty()
    assert out.messages == 2


def test_nothing_inside(gateways, out, mode):
    """Only a way out, as boky/postfix is mostly used: no relay_domains, no relay_transport."""
    gateway = gateways(allowed_domains="", mynetworks="127.0.0.1/32", relayhost=relayhost(out), delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token, OUT).code == 250
    stored(out, token, OUT)
    gateway.wait_queue_empty()
    with smtp_client.Smtp(gateway.address) as s:
        s.hello()
        assert [r.code for r in s.envelope("bob@example.com", ["postmaster"])][-1] >= 500
    assert b"destination [127.0.0.1]" in gateway.run("status", check=0).stdout
    assert b"Mail queue is empty" in gateway.run("postqueue", "-p", check=0).stdout
