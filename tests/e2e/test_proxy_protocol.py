"""PROXY protocol: who is listed says who the client is, nobody else does, and what comes from a health check is not heard
of in the log. Headers by hand, and from a real haproxy."""

import re
import socket
import struct
import subprocess
import time

import pytest

from harness import dns_server, haproxy, mail, smtp_client, wait
from harness.gateway import clean_environment, healthcheck_binary
from harness.lmtp_peer import LHLO_WORDS, XCLIENT_WORD

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, CLIENT6 = "198.51.100.7", "2001:db8::7"
BALANCER = "127.0.0.3"  # listed; our other addresses in 127.0.0.0/8 are not
LOCAL = SIGNATURE + b"\x20\0\0\0"

needs_haproxy = pytest.mark.skipif(not haproxy.program(), reason="haproxy is not installed")


def v1(client=CLIENT, port=4711):
    family, server = ("TCP6", "2001:db8::1") if ":" in client else ("TCP4", "192.0.2.1")
    return f"PROXY {family} {client} {server} {port} 25\r\n".encode()


def v2(client=CLIENT, port=4711, tlvs=b""):
    v6 = ":" in client
    family = socket.AF_INET6 if v6 else socket.AF_INET
    block = (socket.inet_pton(family, client) + socket.inet_pton(family, "2001:db8::1" if v6 else "192.0.2.1")
             + struct.pack(">HH", port, 25) + tlvs)
    return SIGNATURE + bytes([0x21, 0x21 if v6 else 0x11]) + struct.pack(">H", len(block)) + block


def settings(**more):
    return {"smtpd_upstream_proxy_protocol": "haproxy", "smtpd_upstream_proxy_hosts": BALANCER, **more}


class Proxied(smtp_client.Smtp):
    """A client behind the balancer: the header goes first, in the pieces that are given."""

    def __init__(self, address, *pieces, source=BALANCER, greeting=True):
        super().__init__(address, source=source, greeting=False)
        for piece in pieces:
            self.send(piece)
            if len(pieces) > 1:
                time.sleep(0.001)  # pieces, not a wait: whether they arrive apart is no condition
        self.greeting = self.reply() if greeting else None

    def is_closed(self):
        try:
            self.reply()
        except smtp_client.Closed:
            return True
        return False


def send_mail(client, token=None):
    token = token or mail.new_token()
    client.hello()
    reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(token))
    client.quit()
    assert reply.code == 250, reply
    return token


@pytest.mark.smoke
@pytest.mark.parametrize("header", [v1(), v2(), v1(CLIENT6), v2(CLIENT6), v2(tlvs=b"\xea\0\5\1vpce\4\0\1x")],
                         ids=["v1", "v2", "v1-ipv6", "v2-ipv6", "v2-tlvs"])
def test_the_client_is_whom_the_header_names(gateways, peers, header):
    peer = peers(words=LHLO_WORDS + (XCLIENT_WORD,), strict=True)
    gateway = gateways(relay_transport=peer.transport, **settings())
    client = CLIENT6 if b"TCP6" in header or header[13:14] == b"\x21" else CLIENT
    token = send_mail(Proxied(gateway.address, header))
    gateway.wait_log(rf"connect from unknown\[{client}\]$")
    gateway.wait_log(rf": client=unknown\[{client}\]")
    gateway.wait_log(rf"disconnect from unknown\[{client}\] ehlo=1 mail=1")
    delivery, = peer.find(token)
    literal = f"IPv6:{client}" if ":" in client else client
    assert f"[{literal}]".encode() in delivery.body.split(b"\r\n\r\n")[0], delivery.body
    assert BALANCER.encode() not in delivery.body
    said, = [c for c in delivery.connection.commands if c.startswith(b"XCLIENT")]
    assert f"ADDR={literal} ".encode().upper() in said.upper() and b"PORT=4711" in said, said


@pytest.mark.parametrize("header", [v1(), v2(tlvs=b"\xea\0\5\1vpce")], ids=["v1", "v2"])
def test_a_header_in_pieces(gateways, peer, header):
    gateway = gateways(relay_transport=peer.transport, **settings())
    for cut in range(1, len(header)):
        with Proxied(gateway.address, header[:cut], header[cut:]) as client:
            assert client.greeting.code == 220, cut
    with Proxied(gateway.address, *(header[i:i + 1] for i in range(len(header)))) as client:
        send_mail(client)


def test_who_is_not_listed_is_a_client_as_ever(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, **settings())
    send_mail(smtp_client.Smtp(gateway.address, source="127.0.0.2"))
    gateway.wait_log(r"connect from unknown\[127\.0\.0\.2\]")


@pytest.mark.parametrize("header", [v1("127.0.0.1"), v2("127.0.0.1")], ids=["v1", "v2"])
@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("source", ["127.0.0.2", "127.0.0.1"], ids=["stranger", "trusted"])
def test_who_is_not_listed_claims_nothing(gateways, peer, header, on, source):
    """Neither before the greeting nor after it; and the mail of whoever is behind a trusted host is not that host's."""
    gateway = gateways(relay_transport=peer.transport, mynetworks="127.0.0.1/32", **(settings() if on else {}))
    early = 0
    for _ in range(5):  # it may come before or after we look
        with Proxied(gateway.address, header, source=source) as client:
            if client.greeting.code == 421:
                assert client.greeting.text == "421 4.7.0 mx.example.com Error: PROXY protocol header refused"
                early += 1
                continue
            client.send(b"EHLO client.example.net\r\nMAIL FROM:<bob@example.org>\r\n")
            with pytest.raises(smtp_client.Closed):
                while True:
                    assert client.reply().code in (221, 421, 500, 502)
    if early:
        reason = "which is not in smtpd_upstream_proxy_hosts" if on else "but smtpd_upstream_proxy_protocol is not set"
        gateway.wait_log(rf"warning: PROXY protocol header from {re.escape(source)}, {reason}: refused")
    assert not gateway.grep(r"mail=1")


def test_a_header_that_comes_after_the_greeting(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, **settings())
    with smtp_client.Smtp(gateway.address, source="127.0.0.1") as client:
        assert client.cmd(v1("192.0.2.200")[:-2]).code == 221
        assert gateway.wait_log(r"non-SMTP command from unknown\[127\.0\.0\.1\]: PROXY TCP4 192\.0\.2\.200")


def test_a_second_header_claims_nothing(gateways, peer):
    """Behind the balancer's stands the client's own."""
    gateway = gateways(relay_transport=peer.transport, **settings())
    with Proxied(gateway.address, v2() + v1("127.0.0.1")) as client:
        assert client.greeting.text == "421 4.7.0 mx.example.com Error: PROXY protocol header refused"
    gateway.wait_log(rf"PROXY protocol header from {CLIENT}, which is not in")


def test_the_balancer_vouches_for_nobody(gateways, peer):
    """It is in mynetworks; the client is not, and is held to what strangers are: no word before the greeting."""
    gateway = gateways(relay_transport=peer.transport, mynetworks=f"{BALANCER}/32, 192.0.2.0/24", **settings())
    with Proxied(gateway.address, v2() + b"EHLO early.example.net\r\n") as client:
        assert client.greeting.code == 421
    gateway.wait_log(rf"improper command pipelining after CONNECT from unknown\[{CLIENT}\]: EHLO early")
    with Proxied(gateway.address, b"PROXY UNKNOWN\r\nEHLO early.example.net\r\n") as client:
        assert client.greeting.code == 421
    with Proxied(gateway.address, v2("192.0.2.9") + b"EHLO early.example.net\r\n") as client:
        assert client.greeting.code == 220 and client.reply().code == 250


def test_bytes_of_the_client_right_behind_the_header(gateways, peer):
    """What a patient client says is not lost, wherever the packets end; trusted, since strangers must wait."""
    gateway = gateways(relay_transport=peer.transport, mynetworks=CLIENT, **settings())
    with Proxied(gateway.address, v2() + b"EHLO a.example.net\r\nNO", greeting=True) as client:
        assert client.reply().code == 250
        client.send(b"OP\r\n")
        assert client.reply().text == "250 2.0.0 Ok"


def test_limits_count_the_client(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_client_connection_count_limit=2, mynetworks="192.0.2.0/24",
                       **settings())
    first = [Proxied(gateway.address, v2()) for _ in range(2)]
    with Proxied(gateway.address, v2()) as third:
        assert third.greeting.text == f"421 4.7.0 mx.example.com Error: too many connections from {CLIENT}"
    gateway.wait_log(rf"Connection concurrency limit exceeded: 3 from unknown\[{CLIENT}\]")
    others = [Proxied(gateway.address, v2(f"198.51.100.{n}")) for n in range(20, 30)]
    own = [Proxied(gateway.address, LOCAL) for _ in range(5)]
    assert all(c.greeting.code == 220 for c in [*first, *others, *own])
    first.pop().close()
    wait.until(lambda: Proxied(gateway.address, v2()).greeting.code == 220, "the client's place to be free again")


def test_the_name_of_the_client_is_asked_for(gateways, peer):
    dns = dns_server.DnsServer()
    dns.answers[dns_server.reverse(CLIENT), dns_server.PTR] = ["mail.example.net"]
    dns.answers["mail.example.net", dns_server.A] = [CLIENT]
    try:
        gateway = gateways(relay_transport=peer.transport, smtpd_peername_lookup="yes", dns_servers=dns.address, **settings())
        send_mail(Proxied(gateway.address, v2()))
        gateway.wait_log(rf": client=mail\.example\.net\[{CLIENT}\]")
    finally:
        dns.stop()


def test_no_header_in_time(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_upstream_proxy_timeout="300ms", **settings())
    begun = time.monotonic()
    with Proxied(gateway.address) as client:
        assert client.greeting.text == "421 4.3.2 mx.example.com Error: PROXY protocol header expected"
        assert client.is_closed()
    assert 0.25 < time.monotonic() - begun
    gateway.wait_log(rf"warning: PROXY protocol error from {BALANCER}: no header came in time")
    dribble = iter(v1())
    with Proxied(gateway.address, greeting=False) as client:
        client.sock.settimeout(0.05)
        begun = time.monotonic()
        said = b""
        while not said and time.monotonic() - begun < 5 * wait.SCALE:
            client.send(bytes([next(dribble)]))
            try:
                said = client.sock.recv(100)
            except TimeoutError:
                pass
        assert said.startswith(b"421 4.3.2 "), said
    gateway.wait_log(r"the header did not end in time")


@pytest.mark.parametrize("header", [b"EHLO client.example.net\r\n", b"\x16\x03\x01\x02\0\1", b"PROXY TCP4 a b c d\r\n", b"\0" * 16,
                                    b"PROXY UNKNOWN" + b"x" * 200, v2()[:12] + b"\x22" + v2()[13:],
                                    v2(tlvs=b"\3\0\4abcd"), v2(tlvs=b"\xea\xff\xff")],
                         ids=["smtp", "tls", "words", "zeros", "long", "command", "checksum", "tlv"])
def test_what_is_no_header(gateways, peer, header):
    gateway = gateways(relay_transport=peer.transport, **settings())
    with Proxied(gateway.address, header) as client:
        assert client.greeting.text == "421 4.3.2 mx.example.com Error: PROXY protocol header expected"
        assert client.is_closed()
    gateway.wait_log(rf"warning: PROXY protocol error from {BALANCER}: ")
    send_mail(Proxied(gateway.address, v2()))


def test_health_checks_leave_no_line(gateways, peer):
    """A bare connect (NLB), LOCAL and away, LOCAL and a greeting, a client that says QUIT only."""
    gateway = gateways(relay_transport=peer.transport, **settings())
    mark = len(gateway.lines)
    for _ in range(3):
        Proxied(gateway.address, greeting=False).close()
        Proxied(gateway.address, LOCAL, greeting=False).close()
        with Proxied(gateway.address, LOCAL) as check:
            assert check.quit().code == 221
        with Proxied(gateway.address, b"PROXY UNKNOWN\r\n") as check:
            assert check.quit().code == 221
        with Proxied(gateway.address, SIGNATURE + b"\x20\x11\0\x0c" + b"x" * 12) as check:
            assert check.greeting.code == 220
    wait.until(lambda: gateway.ask_status()["sessions"] == 0, "the sessions to end")
    assert gateway.lines[mark:] == []
    with Proxied(gateway.address, v2()[:20], greeting=False) as client:
        client.sock.shutdown(socket.SHUT_WR)
        assert client.is_closed()
    gateway.wait_log(rf"PROXY protocol error from {BALANCER}: the connection ended within the header")


@pytest.mark.parametrize("listed", ["127.0.0.0/8", "127.0.0.1", BALANCER])
def test_our_own_health_check(gateways, peer, listed):
    """It stands where a balancer may stand, or not; also when strangers have all places."""
    gateway = gateways(relay_transport=peer.transport, smtpd_connection_limit=3, mynetworks="10.0.0.0/8",
                       **settings(smtpd_upstream_proxy_hosts=f"{BALANCER}, {listed}"))
    strangers = [Proxied(gateway.address, v2()) for _ in range(3)]
    with Proxied(gateway.address, v2()) as full:
        assert full.greeting.code == 421
    environment = clean_environment({"listen": f"127.0.0.1:{gateway.port}", "queue_directory": gateway.spool})
    if listed == BALANCER:
        strangers.pop().close()  # 127.0.0.1 is a stranger then
        wait.until(lambda: gateway.ask_status()["sessions"] == 2, "the place to be free")
    done = subprocess.run([healthcheck_binary()], env=environment, capture_output=True, timeout=30 * wait.SCALE)
    assert done.returncode == 0, done
    assert not gateway.grep(r"PROXY protocol|smtpd\[\d+\]: .*127\.0\.0\.1")
    for client in strangers:
        client.close()


def test_stop_while_a_header_is_due(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, **settings(smtpd_upstream_proxy_timeout="60s"))
    with Proxied(gateway.address, v1()[:9], greeting=False) as client:
        assert gateway.stop() < 3 * wait.SCALE
        assert client.is_closed()


def test_a_reload_turns_it_on_and_off(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_upstream_proxy_hosts=BALANCER)
    assert gateway.grep("smtpd_upstream_proxy_hosts has no effect")
    environment = {"smtpd_upstream_proxy_hosts": BALANCER}
    gateway.run("postconf", "-e", "smtpd_upstream_proxy_protocol = haproxy", env=environment, check=0)
    send_mail(Proxied(gateway.address, v2()))
    gateway.wait_log(rf"client=unknown\[{CLIENT}\]")
    gateway.run("postconf", "-X", "smtpd_upstream_proxy_protocol", env=environment, check=0)
    with smtp_client.Smtp(gateway.address, source=BALANCER) as client:
        assert client.greeting.code == 220


def test_the_way_of_a_client_that_is_debugged(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, debug_peer_list=CLIENT, **settings())
    send_mail(Proxied(gateway.address, v2()))
    send_mail(Proxied(gateway.address, v2("198.51.100.8")))
    gateway.wait_log(rf"smtpd\[\d+\]: connection of {CLIENT} by way of {BALANCER}$")
    assert len(gateway.grep(r"connection of \S+ by way of ")) == 1


@pytest.mark.parametrize("bad, words", [
    ({"smtpd_upstream_proxy_protocol": "haproxy"}, "needs to know whose word counts"),
    ({"smtpd_upstream_proxy_protocol": "v2", "smtpd_upstream_proxy_hosts": BALANCER}, "write haproxy, or nothing"),
    (settings(smtpd_upstream_proxy_hosts="0.0.0.0/0"), "lists everybody"),
    (settings(smtpd_upstream_proxy_hosts="[::]/0"), "lists everybody"),
    (settings(smtpd_upstream_proxy_hosts="balancer.example.com"), "cannot be used"),
])
def test_settings_that_stop_the_start(gateways, peer, bad, words):
    gateway = gateways(start=False, relay_transport=peer.transport, **bad)
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    assert gateway.grep("ERROR.*" + re.escape(words)), gateway.log()


def test_postscreens_name_for_it(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, POSTFIX_postscreen_upstream_proxy_protocol="haproxy",
                       smtpd_upstream_proxy_hosts=BALANCER)
    with Proxied(gateway.address, v2()) as client:
        assert client.greeting.code == 220


# --- a real haproxy


@pytest.fixture
def proxies():
    made = []

    def make(*arguments, **options):
        made.append(haproxy.Haproxy(*arguments, **options))
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


@needs_haproxy
@pytest.mark.parametrize("server", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority",
                                    "send-proxy-v2-ssl-cn"])
def test_behind_haproxy(gateways, peers, proxies, server):
    """Its client is 127.0.0.9 for us, although the connection is haproxy's own."""
    peer = peers(words=LHLO_WORDS + (XCLIENT_WORD,), strict=True)
    gateway = gateways(relay_transport=peer.transport, **settings(smtpd_upstream_proxy_hosts="127.0.0.1"))
    proxy = proxies(gateway.address, server)
    for _ in range(3):
        token = send_mail(smtp_client.Smtp(proxy.address, source="127.0.0.9"))
        delivery, = peer.find(token)
        assert b"[127.0.0.9]" in delivery.body
        assert any(b"ADDR=127.0.0.9 " in c for c in delivery.connection.commands)
    gateway.wait_log(r"connect from unknown\[127\.0\.0\.9\]")
    assert not gateway.grep(r"unknown\[127\.0\.0\.1\]|PROXY protocol")


@needs_haproxy
def test_behind_haproxy_that_passes_a_client_on(gateways, peer, proxies):
    """Two in a row: the first names an IPv6 client, the second hands its word on to our IPv4 port."""
    gateway = gateways(relay_transport=peer.transport, **settings(smtpd_upstream_proxy_hosts="127.0.0.1"))
    proxy = proxies(gateway.address, "send-proxy-v2", bind="accept-proxy")
    with Proxied(proxy.address, v2(CLIENT6), source=None) as client:
        send_mail(client)
    gateway.wait_log(rf"client=unknown\[{CLIENT6}\]")


@needs_haproxy
@pytest.mark.parametrize("server, more", [
    ("send-proxy check-send-proxy check inter 100ms", ()),
    ("send-proxy-v2 check-send-proxy check inter 100ms", ()),
    ("send-proxy-v2 proxy-v2-options crc32c check-send-proxy check inter 100ms", ()),
    ("send-proxy-v2 check-send-proxy check inter 100ms", ("option smtpchk EHLO balancer.example.com",)),
    ("send-proxy-v2 check inter 100ms", ()),  # a bare connect, as a network load balancer does it
], ids=["v1", "v2", "v2-crc32c", "v2-smtpchk", "bare"])
def test_health_checks_of_haproxy(gateways, peer, proxies, server, more):
    gateway = gateways(relay_transport=peer.transport, **settings(smtpd_upstream_proxy_hosts="127.0.0.1"))
    mark = len(gateway.lines)
    proxy = proxies(gateway.address, server, more=more)
    wait.until(lambda: proxy.server()["check_status"].removeprefix("* ") in ("L4OK", "L7OK"),
               lambda: f"health checks: {proxy.server()}")
    checks = "L7OK" if more else "L4OK"
    ends = time.monotonic() + 0.5  # several more checks: what must not happen needs time to happen
    while time.monotonic() < ends:
        server_now = proxy.server()
        assert server_now["status"] == "UP"
        # "* " says that a check is under way; what follows is the last one's result.
        assert server_now["check_status"].removeprefix("* ") == checks, server_now
        time.sleep(0.05)
    if not more:  # one that says EHLO is a client that says something
        assert gateway.lines[mark:] == []
    assert not gateway.grep("PROXY protocol")
    send_mail(smtp_client.Smtp(proxy.address, source="127.0.0.9"))


@needs_haproxy
def test_haproxy_that_sends_no_header(gateways, peer, proxies):
    gateway = gateways(relay_transport=peer.transport,
                       **settings(smtpd_upstream_proxy_hosts="127.0.0.1", smtpd_upstream_proxy_timeout="300ms"))
    proxy = proxies(gateway.address, "")
    with smtp_client.Smtp(proxy.address) as client:
        assert client.greeting.code == 421
    gateway.wait_log(r"PROXY protocol error from 127\.0\.0\.1: no header came in time: does it send one\?")
