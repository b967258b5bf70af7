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


def test_several_relayhosts(gateways, peer, peers, mode):
    """Tried in order, as Postfix does from 3.5 on."""
    first, second = peers(protocol="smtp"), peers(protocol="smtp")
    gateway = make(gateways, peer, relayhost=f"{relayhost(first)}, {relayhost(second)}", delivery_mode=mode)
    tokens = [mail.new_token() for _ in range(2)]
    assert send(gateway, tokens[0], OUT).code == 250
    stored(first, tokens[0], OUT)
    first.down()
    assert send(gateway, tokens[1], OUT).code == 250
    stored(second, tokens[1], OUT)
    gateway.wait_queue_empty()


def test_others_are_not_asked(gateways, peer, out):
    """verify is for our own domains: a server of others is told of mail, never of questions."""
    gateway = make(gateways, peer, relayhost=relayhost(out))
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as s:
        s.hello()
        assert [r.code for r in s.envelope("bob@example.com", [INSIDE, "unknown1@example.com", "unknown1@example.org", OUT])] \
            == [250, 550, 250, 250]
        assert not any(line.startswith(b"RCPT") for c in out.connections for line in c.commands)
        assert s.data(mail.message(token)).code == 250
    stored(out, token, OUT)


# --- who may

TRICKS = [OUT, "@example.com:joe@example.org", "ann@example.com@example.org", '"ann@example.com"@example.org',
          "ann%example.com@example.org", "JOE@EXAMPLE.ORG.", "joe@[127.0.0.1]", "joe@[IPv6:::1]"]


def test_strangers_never_relay(gateways, peer, out, dns):
    gateway = make(gateways, peer, relayhost=relayhost(out), outbound="direct", dns_servers=dns.address,
                   sender_dependent_relayhost_maps=f"inline:{{ @example.com={relayhost(out)} }}")
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address, source=STRANGER) as s:
        s.hello()
        codes = [r.code for r in s.envelope("bob@example.com", [*TRICKS, INSIDE])]
        assert all(500 <= code < 560 for code in codes[:-1]) and codes[-1] == 250, codes
        assert s.data(mail.message(token)).code == 250
    stored(peer, token, INSIDE)
    assert not any(line.upper().startswith(b"MAIL") for c in out.connections for line in c.commands)


# --- away, and back

def waiting(gateway, text):
    """Everybody's reason in the queue has these words."""
    def reasons():
        return [r.get("delay_reason", "") for entry in gateway.postqueue() for r in entry["recipients"]]
    wait.until(lambda: reasons() and all(text in r for r in reasons()), lambda: f"{text!r} in {gateway.postqueue()}")


def test_down_then_up(gateways, peer, out, mode):
    """The part for the mail store does not wait, and nobody has it twice."""
    gateway = make(gateways, peer, relayhost=relayhost(out), delivery_mode=mode)
    out.down()
    token = mail.new_token()
    assert send(gateway, token, INSIDE, OUT).code == 250
    stored(peer, token, INSIDE)
    gateway.wait_queued(1)
    waiting(gateway, "Connection refused")
    out.up()
    stored(out, token, OUT, timeout=30)
    gateway.wait_queue_empty()
    assert peer.count(token) == 1


def test_kill_and_restart(gateways, peer, out, mode):
    gateway = make(gateways, peer, relayhost=relayhost(out), delivery_mode=mode)
    out.down()
    token = mail.new_token()
    assert send(gateway, token, INSIDE, OUT).code == 250
    stored(peer, token, INSIDE)
    gateway.wait_queued(1)
    waiting(gateway, "Connection refused")
    gateway.kill()
    out.up()
    gateway.start()
    stored(out, token, OUT, timeout=30)
    gateway.wait_queue_empty()
    assert peer.count(token) == 1


@pytest.mark.parametrize("begin", ["reload", "restart"])
def test_the_way_is_taken_away(begin, gateways, peer, out, mode):
    """What waits for it says so, goes nowhere (to no mail store, above all), and leaves when there is a way again."""
    gateway = make(gateways, peer, relayhost=relayhost(out), delivery_mode=mode)
    out.down()
    token = mail.new_token()
    assert send(gateway, token, INSIDE, OUT).code == 250
    stored(peer, token, INSIDE)
    gateway.wait_queued(1)
    if begin == "reload":
        gateway.run("postconf", "-e", "relayhost=", check=0)
    else:
        gateway.stop()
        del gateway.settings["relayhost"]
        gateway.start()
    waiting(gateway, "there is no way to it: set relayhost or outbound=direct")
    gateway.wait_log(rf"to=<{OUT}>, relay=none, .*dsn=4\.3\.5, status=deferred \(.*there is no way to it")
    assert smtp_client.send(gateway.address, "bob@example.com", [OUT], mail.message(token)).code == 554
    out.up()
    gateway.run("postconf", "-e", f"relayhost={relayhost(out)}", check=0)
    stored(out, token, OUT, timeout=15)
    gateway.wait_queue_empty()
    assert peer.count(token) == 1 and out.count(token) == 1


def test_another_relayhost(gateways, peer, peers, mode):
    """Mail follows the settings."""
    old, new = peers(protocol="smtp"), peers(protocol="smtp")
    gateway = make(gateways, peer, relayhost=relayhost(old), delivery_mode=mode)
    old.down()
    token = mail.new_token()
    assert send(gateway, token, OUT, INSIDE).code == 250
    stored(peer, token, INSIDE)
    gateway.wait_queued(1)
    gateway.run("postconf", "-e", f"relayhost={relayhost(new)}", check=0)
    stored(new, token, OUT)
    gateway.wait_queue_empty()


def test_a_domain_that_moves_in(gateways, peer, out, mode):
    """A reload of relay_domains: what waited to leave for it stays at home."""
    gateway = make(gateways, peer, relayhost=relayhost(out), delivery_mode=mode)
    out.down()
    token = mail.new_token()
    assert send(gateway, token, OUT).code == 250
    gateway.wait_queued(1)
    gateway.run("postconf", "-e", "relay_domains=example.com example.org", check=0)
    stored(peer, token, OUT)
    gateway.wait_queue_empty()


# --- how it ends

def test_a_bounce_leaves(gateways, peer, out, mode):
    """There is a way to a sender elsewhere now: his bounce is mail as any other, from the null sender."""
    gateway = make(gateways, peer, relayhost=relayhost(out), delivery_mode=mode, verify_recipients="no",
                   sender_dependent_relayhost_maps="inline:{ @example.org=[127.0.0.1]:1 }")  # not for the null sender
    token = mail.new_token()
    assert send(gateway, token, INSIDE, "full1@example.com", sender=OUT).code == 250
    stored(peer, token, INSIDE)
    wait.until(lambda: [d for d in out.deliveries if d.recipient == OUT and "FROM:<>" in d.mail_line], "the bounce")
    gateway.wait_queue_empty()
    assert gateway.ask_status()["on_hold"] == 0


def test_refused_for_good_outside(gateways, peer, out, mode):
    """One of two outside is refused by the relayhost: its sender is told, inside."""
    gateway = make(gateways, peer, relayhost=relayhost(out), delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token, "unknown1@example.org", OUT).code == 250
    stored(out, token, OUT)
    wait.until(lambda: [d for d in peer.deliveries if d.recipient == "bob@example.com" and "FROM:<>" in d.mail_line], "the bounce")
    gateway.wait_queue_empty()


@pytest.mark.parametrize("way", ["down", "none"])
def test_expiry(way, gateways, peer, out, mode):
    gateway = make(gateways, peer, relayhost=relayhost(out), delivery_mode=mode, maximal_queue_lifetime="3s")
    out.down()
    token = mail.new_token()
    assert send(gateway, token, OUT).code == 250
    gateway.wait_queued(1)
    if way == "none":
        gateway.run("postconf", "-e", "relayhost=", check=0)
    wait.until(lambda: [d for d in peer.deliveries if d.recipient == "bob@example.com" and "FROM:<>" in d.mail_line],
               "the bounce", 15)
    gateway.wait_queue_empty()
    assert gateway.grep("status=expired, returned to sender")
    assert not out.deliveries


# --- a domain each

def test_a_silent_domain_holds_nobody_back(gateways, peer, out, peers, dns, mode):
    dns.host("example.org", "127.0.0.1")
    dns.host("example.net", "127.0.0.2")  # nobody listens there
    gateway = make(gateways, peer, outbound="direct", dns_servers=dns.address, smtp_tcp_port=out.port, delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token, "kim@example.net", OUT, INSIDE).code == 250
    stored(peer, token, INSIDE)
    stored(out, token, OUT)
    gateway.wait_queued(1)
    waiting(gateway, "Connection refused")
    dns.host("example.net", "127.0.0.1")
    stored(out, token, OUT, "kim@example.net", timeout=30)
    gateway.wait_queue_empty()


def test_destinations_go_with_their_mail(gateways, peer, out, dns, mode):
    """Many domains: nothing of them stays, and the same ones come again."""
    names = [f"d{i}.example.org" for i in range(150)]
    for name in names:
        dns.host(name, "127.0.0.1")
    gateway = make(gateways, peer, outbound="direct", dns_servers=dns.address, smtp_tcp_port=out.port, delivery_mode=mode,
                   bounce_queue_lifetime="5s", lmtp_connection_idle_time="100ms")  # it sweeps at a tenth of the lifetime
    for _ in range(2):
        token = mail.new_token()
        assert send(gateway, token, *[f"joe@{name}" for name in names]).code == 250
        stored(out, token, *[f"joe@{name}" for name in names])
        gateway.wait_queue_empty()
        wait.until(lambda: not out.open_connections(), "its sessions to end")
        wait.until(lambda: gateway.ask_status().get("direct_domains", 0) == 0, "its destinations to go")


# --- programs of this machine

def sendmail(gateway, *arguments, text=b"Subject: hello\n\nhello\n"):
    return gateway.run(*arguments, argv0="sendmail", input=text)


def test_sendmail(gateways, peer, out):
    gateway = make(gateways, peer, relayhost=relayhost(out))
    assert sendmail(gateway, "-f", "bob@example.com", OUT, INSIDE).returncode == 0
    wait.until(lambda: [d.recipient for d in out.deliveries] == [OUT], "mail outside")
    wait.until(lambda: [d.recipient for d in peer.deliveries] == [INSIDE], "mail inside")
    done = sendmail(gateway, "-bv", OUT, INSIDE, text=b"")
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert lines[0] == f"<{OUT}>: accepted: it leaves for another domain, whose server is not asked", lines
    done = sendmail(gateway, "-bs", text=b"EHLO x\r\nMAIL FROM:<bob@example.com>\r\nRCPT TO:<kim@example.net>\r\nDATA\r\n"
                                         b"Subject: bs\r\n\r\n.\r\nQUIT\r\n")
    assert done.stdout.count(b"\r\n250 2.0.0 Ok: queued as") == 1, done.stdout
    wait.until(lambda: [d.recipient for d in out.deliveries] == [OUT, "kim@example.net"], "mail by -bs")


def test_sendmail_by_sender(gateways, peer, out):
    gateway = make(gateways, peer, sender_dependent_relayhost_maps=f"inline:{{ bob@example.com={relayhost(out)} }}")
    assert sendmail(gateway, "-f", "bob@example.com", OUT).returncode == 0
    done = sendmail(gateway, "-f", "ann@example.com", OUT)
    assert done.returncode != 0
    assert b"Relay access denied (no way leads there for mail of this sender)" in done.stderr, done


# --- words

def test_a_relayhost_that_is_the_mail_store(gateways, peer, peers):
    """It speaks LMTP, and a way out does not fall back to that: mail of others does not get into the mail store."""
    store = peers()
    gateway = make(gateways, peer, relayhost=relayhost(store), delivery_mode="queue")
    token = mail.new_token()
    assert send(gateway, token, OUT).code == 250
    waiting(gateway, "refused to talk to me: 500 5.5.1")
    assert not store.deliveries


@pytest.mark.parametrize("settings, words", [
    ({"relayhost": "[127.0.0.1]:1"}, "relays for 127.0.0.1/32 through [127.0.0.1]:1, and delivers to lmtp:"),
    ({"outbound": "direct"}, "relays for 127.0.0.1/32 to the MX hosts of each domain, and delivers to lmtp:"),
    ({"relayhost": "[127.0.0.1]:1", "sender_dependent_relayhost_maps": "inline:{ @example.com=[127.0.0.2]:1 }"},
     "through [127.0.0.1]:1, or where sender_dependent_relayhost_maps says, and delivers to lmtp:"),
    ({"sender_dependent_relayhost_maps": "inline:{ @example.com=[127.0.0.2]:1 }"},
     "relays for 127.0.0.1/32 where sender_dependent_relayhost_maps says, and delivers to lmtp:"),
    ({}, "relays for nobody, and delivers to lmtp:"),
])
def test_the_line_of_a_start(settings, words, gateways, peer):
    gateway = make(gateways, peer, **settings)
    assert words in gateway.grep("accepts mail for example.com from everybody")[0]
