"""Names: of clients (PTR, verified forward, harmless to show) and of destinations (looked up again, all addresses)."""

import socket
import time

import pytest

from harness import mail, smtp_client, wait
from harness.dns_server import DnsServer
from harness.ports import free_port
from harness.lmtp_peer import LmtpPeer


@pytest.fixture
def dns():
    server = DnsServer()
    yield server
    server.stop()


def named(gateways, peer, dns, **settings):
    return gateways(relay_transport=peer.transport, dns_servers=dns.address, smtpd_peername_lookup="yes", **settings)


def send(gateway, source=None):
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address, source=source) as client:
        client.hello()
        reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(token))
        client.quit()
    assert reply.code == 250, reply
    return token


def test_verified_name(gateways, peer, dns):
    dns.ptr("127.0.0.5", "mail.example.net")
    dns.host("mail.example.net", "192.0.2.1", "127.0.0.5")
    gateway = named(gateways, peer, dns)
    token = send(gateway, "127.0.0.5")
    gateway.wait_log(r"smtpd\[\d+\]: connect from mail\.example\.net\[127\.0\.0\.5\]$")
    gateway.wait_log(r"client=mail\.example\.net\[127\.0\.0\.5\]$")
    body = peer.find(token)[0].body.replace(b"\r\n\t", b" ")
    assert b"Received: from client.example.net (mail.example.net [127.0.0.5]) by mx.example.com" in body


def test_name_that_does_not_point_back(gateways, peer, dns):
    dns.ptr("127.0.0.5", "mail.bank.example")
    dns.host("mail.bank.example", "192.0.2.1")
    gateway = named(gateways, peer, dns)
    send(gateway, "127.0.0.5")
    gateway.wait_log(r"connect from unknown\[127\.0\.0\.5\]$")
    assert not gateway.grep(r"client=mail\.bank")


@pytest.mark.smoke
def test_answers_are_not_kept(gateways, peer, dns):
    """c-ares' own cache has no limit: whoever owns a reverse zone could fill our memory (newer c-ares, the static program)."""
    dns.ttl = 3600
    dns.ptr("127.0.0.5", "mail.example.net")
    dns.host("mail.example.net", "127.0.0.5")
    gateway = named(gateways, peer, dns)
    for _ in range(3):
        send(gateway, "127.0.0.5")
    gateway.wait_log(r"connect from mail\.example\.net\[127\.0\.0\.5\]$")
    assert [kind for _, kind in dns.asked].count(12) == 3


@pytest.mark.parametrize("name", [b"evil\x1b[31m.example.net", b"a b.example.net", b"x;rm.example.net", b"\xff\xfe.example.net",
                                  b"a" * 63 + b"." + b"b" * 63 + b"." + b"c" * 63 + b".example.net", b"nul\0l.example.net"])
def test_hostile_name(name, gateways, peer, dns):
    """A PTR name is bytes from a stranger: never shown, never in a header, unless it is letters, digits, hyphens, dots."""
    dns.ptr("127.0.0.5", name)
    dns.answers[name.decode("latin-1").lower(), 1] = ["127.0.0.5"]
    gateway = named(gateways, peer, dns)
    token = send(gateway, "127.0.0.5")
    line = gateway.wait_log(r"client=\S+\[127\.0\.0\.5\]$")
    assert "client=unknown[" in line or "client=aaaa" in line, line
    assert not [c for c in gateway.log() if ord(c) < 32 and c != "\n"]
    assert b"\x1b" not in peer.find(token)[0].body


def test_no_name(gateways, peer, dns):
    gateway = named(gateways, peer, dns)
    send(gateway, "127.0.0.5")
    gateway.wait_log(r"connect from unknown\[127\.0\.0\.5\]$")


def test_dead_name_server_costs_a_second_not_the_mail(gateways, peer, dns):
    """The look-up has its limit, and it holds up nobody else."""
    dns.silent.add("5.0.0.127.in-addr.arpa")
    dns.ptr("127.0.0.6", "quick.example.net")
    dns.host("quick.example.net", "127.0.0.6")
    gateway = named(gateways, peer, dns, smtpd_peername_timeout="1s")
    begun = time.monotonic()
    with smtp_client.Smtp(gateway.address, source="127.0.0.5") as slow:
        assert time.monotonic() - begun < 0.8 * wait.SCALE, "the greeting waits for no name server"
        slow.hello()
        slow.send(b"MAIL FROM:<bob@example.org>\r\n")
        send(gateway, "127.0.0.6")
        assert time.monotonic() - begun < 1.0 * wait.SCALE, "another client was held up"
        assert slow.reply().code == 250
        assert slow.cmd("RCPT TO:<alice@example.com>").code == 250
        assert slow.data(mail.message(mail.new_token())).code == 250
    assert time.monotonic() - begun < 4 * wait.SCALE
    gateway.wait_log(r"connect from unknown\[127\.0\.0\.5\]$")


def test_hundred_clients_and_a_dead_name_server(gateways, peer, dns):
    dns.silent.update(f"{n}.0.0.127.in-addr.arpa" for n in range(2, 102))
    gateway = named(gateways, peer, dns, smtpd_peername_timeout="1s", smtpd_connection_limit=500)
    begun = time.monotonic()
    clients = [smtp_client.Smtp(gateway.address, source=f"127.0.0.{n}") for n in range(2, 102)]
    for client in clients:
        client.send(b"EHLO x\r\nMAIL FROM:<bob@example.org>\r\n")
    for client in clients:
        assert client.reply().code == 250
        assert client.reply().code == 250
        client.close()
    assert time.monotonic() - begun < 5 * wait.SCALE


def test_gone_while_its_name_is_looked_up(gateways, peer, dns):
    dns.silent.add("5.0.0.127.in-addr.arpa")
    gateway = named(gateways, peer, dns, smtpd_peername_timeout="500ms")
    for _ in range(10):
        client = smtp_client.Smtp(gateway.address, source="127.0.0.5")
        client.send(b"EHLO x\r\nMAIL FROM:<bob@example.org>\r\n")
        client.close()
    wait.until(lambda: len(gateway.grep("disconnect from")) == 10, "ten ends")
    send(gateway, "127.0.0.6")


# --- destinations

def test_destination_by_name(gateways, peer, dns):
    dns.host("store.example.test", "127.0.0.1")
    gateway = gateways(relay_transport=f"lmtp:store.example.test:{peer.port}", dns_servers=dns.address)
    send(gateway)
    gateway.wait_log(rf"relay=store\.example\.test\[127\.0\.0\.1\]:{peer.port}, .*status=sent")


def test_destination_that_moves(gateways, peers, dns):
    """The tunnel's other end gets a new address: found without a restart."""
    port = free_port()
    dns.host("store.example.test", "127.0.0.7")  # nobody there
    gateway = gateways(relay_transport=f"lmtp:store.example.test:{port}", dns_servers=dns.address)
    token = send(gateway)
    gateway.wait_log("status=deferred")
    peer = LmtpPeer(port=port)
    try:
        dns.host("store.example.test", "127.0.0.1")
        gateway.wait_queue_empty(8)
        assert peer.count(token) == 1
    finally:
        gateway.stop()
        peer.stop()


def test_destination_with_a_dead_address_first(gateways, peer, dns, mode):
    dns.host("store.example.test", "127.0.0.7", "127.0.0.1")
    gateway = gateways(relay_transport=f"lmtp:store.example.test:{peer.port}", dns_servers=dns.address, delivery_mode=mode)
    tokens = [send(gateway) for _ in range(5)]
    gateway.wait_queue_empty()
    wait.until(lambda: all(peer.count(t) == 1 for t in tokens), "each mail once")


@pytest.fixture
def swallowing():
    """A port whose SYNs are swallowed: its backlog is full and nobody accepts."""
    listener = socket.socket()
    listener.bind(("127.0.0.9", 0))
    listener.listen(0)
    fill = []
    for _ in range(8):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        fill.append(sock)
    yield listener.getsockname()
    for sock in fill:
        sock.close()
    listener.close()


def test_destination_whose_first_address_swallows_everything(swallowing, gateways, dns, mode):
    """An old A record, or an AAAA without a route: the connect times out, and the next address is tried."""
    address, port = swallowing
    dns.host("store.example.test", address, "127.0.0.1")
    peer = LmtpPeer(port=port)
    try:
        gateway = gateways(relay_transport=f"lmtp:store.example.test:{port}", dns_servers=dns.address, delivery_mode=mode,
                           lmtp_connect_timeout="1s", verify_timeout="500ms")
        token = send(gateway)
        gateway.wait_queue_empty(10)
        wait.until(lambda: peer.count(token) == 1, "the mail by the second address")
        gateway.stop()
    finally:
        peer.stop()


@pytest.mark.parametrize("trouble", ["nxdomain", "servfail", "silence", "no-address"])
def test_destination_that_does_not_resolve(trouble, gateways, peer, dns, mode):
    """Trouble of the destination, whatever the name server says: kept, never bounced."""
    name = "store.example.test"
    if trouble == "servfail":
        dns.broken.add(name)
    elif trouble == "silence":
        dns.silent.add(name)
    elif trouble == "no-address":
        dns.answers[name, 16] = []
    gateway = gateways(relay_transport=f"lmtp:{name}:{peer.port}", dns_servers=dns.address, dns_timeout="500ms",
                       verify_timeout="300ms", delivery_mode=mode, direct_timeout="2s")
    token = send(gateway)
    gateway.wait_log("status=deferred")
    assert not gateway.grep("status=bounced")
    dns.broken.clear()
    dns.silent.clear()
    dns.host(name, "127.0.0.1")
    gateway.wait_queue_empty(10)
    assert peer.count(token) == 1
