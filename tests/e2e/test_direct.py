"""outbound=direct and relayhosts by MX: which mail host is asked, what its DNS says, and how often one is asked."""

import pytest

from harness import mail, smtp_client, wait
from harness.dns_server import MX, DnsServer
from harness.lmtp_peer import Fault

OUT = "joe@example.org"
SENDER = "bob@example.com"


@pytest.fixture
def dns():
    server = DnsServer()
    yield server
    server.stop()


class Sites:
    """Two mail hosts of example.org, mx1 before mx2: the same port, two addresses of loopback."""

    def __init__(self, peers, dns):
        self.first = peers(protocol="smtp", host="127.0.0.2")
        self.second = peers(protocol="smtp", host="127.0.0.3", port=self.first.port)
        self.port = self.first.port
        dns.mx("example.org", (20, "mx2.example.org"), (10, "mx1.example.org"))
        dns.host("mx1.example.org", "127.0.0.2")
        dns.host("mx2.example.org", "127.0.0.3")


@pytest.fixture
def sites(peers, dns):
    return Sites(peers, dns)


def make(gateways, peer, dns, port, **settings):
    return gateways(relay_transport=peer.transport, dns_servers=dns.address, smtp_tcp_port=port,
                    smtp_tls_security_level="none", **{"outbound": "direct", **settings})


def send(gateway, token, *recipients, sender=SENDER):
    return smtp_client.send(gateway.address, sender, recipients or (OUT,), mail.message(token))


def stored(peer, token, count=1, timeout=10.0):
    wait.until(lambda: len(peer.find(token)) == count, f"{count} of {token} at {peer.host}", timeout)


def deferred(gateway, words):
    gateway.wait_log(rf"postfix/smtp\[.*to=<{OUT}>, .*dsn=4\.\S+, status=deferred \(.*{words}")


# --- which host

def test_by_preference(gateways, peer, sites, dns, mode):
    gateway = make(gateways, peer, dns, sites.port, delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token).code == 250
    stored(sites.first, token)
    gateway.wait_log(rf"to=<{OUT}>, relay=mx1\.example\.org\[127\.0\.0\.2\]:{sites.port}, .*status=sent")
    assert not sites.second.connections


@pytest.mark.parametrize("kind", ["down", "5xx", "4xx", "421", "drop", "rst"])
def test_the_next_host(gateways, peer, sites, dns, kind):
    """A host that cannot be talked to costs nothing but a moment."""
    if kind == "down":
        sites.first.down()
    else:
        sites.first.faults.append(Fault("greeting", kind))
    gateway = make(gateways, peer, dns, sites.port)
    token = mail.new_token()
    assert send(gateway, token).code == 250
    stored(sites.second, token)
    gateway.wait_log(rf"to=<{OUT}>, relay=mx2\.example\.org\[127\.0\.0\.3\]:{sites.port}, .*status=sent")
    assert not gateway.grep("status=deferred|is down")


def test_the_next_host_after_ehlo(gateways, peer, sites, dns):
    sites.first.faults.append(Fault("lhlo", "drop"))
    gateway = make(gateways, peer, dns, sites.port)
    token = mail.new_token()
    assert send(gateway, token).code == 250
    stored(sites.second, token)


def test_not_more_hosts_than_allowed(gateways, peer, sites, dns):
    for site in (sites.first, sites.second):
        site.faults.append(Fault("greeting", "5xx"))
    gateway = make(gateways, peer, dns, sites.port, smtp_mx_session_limit="1")
    assert send(gateway, mail.new_token()).code == 250
    deferred(gateway, "refused to talk to me: 554")
    assert not sites.second.connections


def test_a_host_that_breaks_off_is_asked_last(gateways, peer, sites, dns):
    """After the dot nobody knows, so nothing is sent elsewhere at once; the next try begins with the other host."""
    sites.first.faults.append(Fault("mail", "drop"))
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue")
    token = mail.new_token()
    assert send(gateway, token).code == 250
    stored(sites.second, token, timeout=20)
    gateway.wait_queue_empty()


@pytest.mark.parametrize("step, kind", [("mail", "drop"), ("mail", "4xx"), ("rcpt", "4xx"), ("data", "4xx"), ("rcpt", "421")])
def test_the_next_host_in_the_middle(gateways, peer, sites, dns, step, kind):
    """As Postfix: a first host that takes nothing now costs no wait; and it is not begun with again."""
    sites.first.faults.append(Fault(step, kind))
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue")
    tokens = [mail.new_token() for _ in range(2)]
    for token in tokens:
        assert send(gateway, token).code == 250
        stored(sites.second, token)
    gateway.wait_queue_empty()
    assert len(sites.first.connections) == 1
    assert not gateway.grep("status=deferred")


def test_the_next_host_though_sessions_are_idle(gateways, peer, sites, dns):
    """Nor is its other session, from the mails before, asked once more instead of the next host."""
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue")
    tokens = [mail.new_token() for _ in range(3)]
    assert send(gateway, tokens[0]).code == 250
    stored(sites.first, tokens[0])
    sites.first.delay["dot"] = 0.5
    for token in tokens[1:]:
        assert send(gateway, token).code == 250
    for token in tokens[1:]:
        stored(sites.first, token)
    wait.until(lambda: sites.first.most_open == 2, "two sessions")
    gateway.wait_queue_empty()
    sites.first.faults.append(Fault("rcpt", "4xx"))
    token = mail.new_token()
    assert send(gateway, token).code == 250
    stored(sites.second, token)
    assert not gateway.grep("status=deferred")


def test_both_hosts_want_it_later(gateways, peer, sites, dns):
    for site in (sites.first, sites.second):
        site.faults.append(Fault("rcpt", "4xx"))
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue")
    assert send(gateway, mail.new_token()).code == 250
    deferred(gateway, "said: 4")
    assert (len(sites.first.connections), len(sites.second.connections)) == (1, 1)


def test_broken_after_the_dot_is_not_sent_again_at_once(gateways, peer, sites, dns):
    """The host may have it."""
    sites.first.faults.append(Fault("dot", "drop"))
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue")
    token = mail.new_token()
    assert send(gateway, token).code == 250
    deferred(gateway, "lost connection")
    assert len(sites.first.connections) == 1 and not sites.second.connections


def test_a_greylisted_recipient_waits_alone(gateways, peer, sites, dns):
    """450 to RCPT: this recipient has his own back-off, the host serves others."""
    sites.first.faults.append(Fault("rcpt", "4xx", nth=0, times=1))
    gateway = make(gateways, peer, dns, sites.port, minimal_backoff_time="1s", maximal_backoff_time="2s")
    token = mail.new_token()
    assert send(gateway, token, OUT, "kim@example.org").code == 250
    stored(sites.first, token, 2, timeout=20)
    gateway.wait_queue_empty()
    assert len(gateway.grep(rf"to=<{OUT}>, .*status=deferred")) == 1
    assert len(gateway.grep(rf"to=<{OUT}>, .*status=sent")) == 1


def test_a_relayhost_by_mx(gateways, peer, sites, dns):
    sites.first.down()
    gateway = make(gateways, peer, dns, 2, outbound="none", relayhost=f"example.org:{sites.port}")
    token = mail.new_token()
    assert send(gateway, token, "kim@example.net").code == 250
    stored(sites.second, token)


def test_address_literal(gateways, peer, sites, dns):
    gateway = make(gateways, peer, dns, sites.port)
    token = mail.new_token()
    assert send(gateway, token, "kim@[127.0.0.3]").code == 250
    stored(sites.second, token)


# --- what the DNS says

def bounce_of(peer, words):
    """The report that came to the sender, inside."""
    def found():
        return [d for d in peer.deliveries if d.recipient == SENDER and words in d.body]
    wait.until(found, f"a bounce that says {words}")
    return found()


@pytest.mark.parametrize("what, words, dsn", [
    ("missing", b"Host or domain name not found", "5.4.4"),
    ("null", b"does not accept mail", "5.1.10"),
])
def test_a_domain_that_takes_no_mail(gateways, peer, sites, dns, what, words, dsn):
    if what == "null":
        dns.mx("nowhere.example.net", (0, ""))
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue")
    assert send(gateway, mail.new_token(), "kim@nowhere.example.net").code == 250
    assert len(bounce_of(peer, words)) == 1
    gateway.wait_log(rf"to=<kim@nowhere.example.net>, relay=none, .*dsn={dsn}, status=bounced")
    gateway.wait_queue_empty()


def test_the_client_hears_it(gateways, peer, sites, dns):
    """Direct mode: the sender is still there."""
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="direct")
    reply = send(gateway, mail.new_token(), "kim@nowhere.example.net")
    assert reply.code == 550 and "5.4.4" in reply.text, reply
    assert not gateway.spool_files()


def test_soft_bounce(gateways, peer, sites, dns):
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue", soft_bounce="yes")
    assert send(gateway, mail.new_token(), "kim@nowhere.example.net").code == 250
    gateway.wait_log(r"to=<kim@nowhere.example.net>, .*dsn=4.4.4, status=deferred")


def test_a_relayhost_that_does_not_exist(gateways, peer, sites, dns):
    """A slip of ours: nothing is bounced."""
    gateway = make(gateways, peer, dns, sites.port, outbound="none", relayhost="nowhere.example.net", delivery_mode="queue")
    assert send(gateway, mail.new_token()).code == 250
    deferred(gateway, "name=nowhere.example.net type=MX: Host not found")


def test_dns_trouble_is_no_verdict(gateways, peer, sites, dns):
    dns.broken.add("example.org")
    gateway = make(gateways, peer, dns, sites.port, minimal_backoff_time="1s", maximal_backoff_time="1s")
    token = mail.new_token()
    assert send(gateway, token).code == 250
    deferred(gateway, "type=MX")
    dns.broken.clear()
    stored(sites.first, token, timeout=20)
    gateway.wait_queue_empty()


def test_loops_back_to_myself(gateways, peer, sites, dns):
    dns.mx("example.org", (10, "mx.example.com"))
    gateway = make(gateways, peer, dns, sites.port, myhostname="mx.example.com", delivery_mode="queue")
    token = mail.new_token()
    assert send(gateway, token).code == 250
    deferred(gateway, "mail for example.org loops back to myself")
    assert gateway.grep("add the domain to relay_domains")
    dns.mx("example.org", (5, "mx1.example.org"), (10, "mx.example.com"))
    gateway.flush()
    stored(sites.first, token)


# --- how often

def asked(dns):
    return len([1 for name, kind in dns.asked if (name, kind) == ("example.org", MX)])


def test_nobody_is_asked_without_mail(gateways, peer, sites, dns):
    """Nor more often than mail is due: others' servers are not probed."""
    sites.first.down()
    sites.second.down()
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue")
    assert asked(dns) == 0
    token = mail.new_token()
    assert send(gateway, token).code == 250
    deferred(gateway, "Connection refused")
    gateway.wait_log("destination example.org is down: mail for it is kept and it is tried again in some minutes")
    before = asked(dns)
    for _ in range(3):  # more mail waits with it
        assert send(gateway, mail.new_token()).code == 250
    assert asked(dns) == before
    sites.first.up()
    gateway.flush()
    stored(sites.first, token)
    gateway.wait_queue_empty()


def test_a_relayhost_that_was_away(gateways, peer, peers, dns):
    out = peers(protocol="smtp")
    gateway = make(gateways, peer, dns, out.port, outbound="none", relayhost=f"[127.0.0.1]:{out.port}", delivery_mode="queue",
                   outbound_probe_max="1s")
    out.down()
    tokens = [mail.new_token() for _ in range(5)]
    for token in tokens:
        assert send(gateway, token).code == 250
    gateway.wait_log("is down: mail for it is kept and it is tried again within a minute")
    out.up()
    for token in tokens:
        stored(out, token)
    gateway.wait_log("is up again after")
    gateway.wait_queue_empty()
    assert len(gateway.grep("is down: mail for it")) == 1


def test_one_session_until_it_answers(gateways, peer, sites, dns):
    """Ten mails for a host that nobody has talked to yet: one connection finds out."""
    sites.first.delay["greeting"] = 0.5
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue")
    tokens = [mail.new_token() for _ in range(10)]
    for token in tokens:
        assert send(gateway, token).code == 250
    wait.until(lambda: sites.first.connections, "a connection")
    assert len(sites.first.connections) == 1
    for token in tokens:
        stored(sites.first, token)
    gateway.wait_queue_empty()


def test_rate_delay(gateways, peer, sites, dns):
    """One at a time, and a pause between two."""
    gateway = make(gateways, peer, dns, sites.port, delivery_mode="queue", smtp_destination_rate_delay="400ms")
    tokens = [mail.new_token() for _ in range(4)]
    for token in tokens:
        assert send(gateway, token).code == 250
    for token in tokens:
        stored(sites.first, token, timeout=20)
    times = sorted(sites.first.find(token)[0].when for token in tokens)
    assert all(later - earlier >= 0.39 for earlier, later in zip(times, times[1:])), times
    assert sites.first.most_open == 1
    gateway.wait_queue_empty()
