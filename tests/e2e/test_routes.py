"""Routes: a destination for each domain (transport_maps), and several targets for one (relay_transport = a, b)."""

import json
import signal
import subprocess

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import healthcheck_binary

DOMAINS = "example.com example.net"


def send(gateway, token, *recipients, size=None):
    return smtp_client.send(gateway.address, "bob@example.org", recipients, mail.message(token, size=size))


def wait_stored(peer, token, count=1, timeout=10.0):
    wait.until(lambda: peer.count(token) == count, lambda: f"{count} of {token}; there are {peer.count(token)}", timeout)


def status(gateway):
    return json.loads(gateway.run("status", "--json", check=0).stdout)


def wait_health(gateway, peer, up):
    """Until the gateway knows."""
    def known():
        return [d for d in status(gateway)["destinations"] if d["name"] == peer.transport and d["known"] and d["up"] == up]
    return wait.until(known, lambda: f"{peer.transport} to be {'up' if up else 'down'}: {status(gateway)}")[0]


def relay_of(peer):
    return rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{peer.port}, "


# --- two destinations

def test_recipients_of_two_destinations(gateways, dovecot, peer, mode):
    gateway = gateways(allowed_domains=DOMAINS, relay_transport=dovecot.transport, delivery_mode=mode,
                       transport_maps=f"inline:{{ example.net={peer.transport} }}")
    token = mail.new_token()
    assert send(gateway, token, "alice@example.com", "ann@example.net", "ben@EXAMPLE.NET").code == 250
    dovecot.wait_mail("alice", token, 10)
    wait_stored(peer, token, 2)
    gateway.wait_queue_empty()
    assert {d.recipient for d in peer.find(token)} == {"ann@example.net", "ben@EXAMPLE.NET"}
    assert len(gateway.grep("to=<ann@example.net>, " + relay_of(peer))) == 1
    assert len(gateway.grep(f"to=<alice@example.com>, relay=.*:{dovecot.lmtp_port}, ")) == 1


def test_names_from_the_strongest(gateways, peers):
    """Address, address without extension, domain, parent, everybody."""
    by_name = {name: peers() for name in ("default", "ann@example.com", "example.com", ".example.com", "*")}
    pairs = " ".join(f"{name}={peer.transport}" for name, peer in by_name.items() if name != "default")
    gateway = gateways(allowed_domains="example.com .example.com example.net", recipient_delimiter="+",
                       relay_transport=by_name["default"].transport, transport_maps=f"inline:{{ {pairs} }}")
    for recipient, name in (("ann@example.com", "ann@example.com"), ("Ann+list@example.com", "ann@example.com"),
                            ("ben@example.com", "example.com"), ("ann@a.example.com", ".example.com"),
                            ("ann@b.a.example.com", ".example.com"), ("ann@example.net", "*")):
        token = mail.new_token()
        assert send(gateway, token, recipient).code == 250
        assert {n: p.count(token) for n, p in by_name.items() if p.count(token)} == {name: 1}, recipient


def test_unix_socket(gateways, peers, tmp_path):
    peer, other = peers(), peers(unix_path=str(tmp_path / "lmtp.sock"))
    gateway = gateways(allowed_domains=DOMAINS, relay_transport=peer.transport,
                       transport_maps=f"inline:{{ {{ example.net = {other.transport} }} }}")
    token = mail.new_token()
    assert send(gateway, token, "ann@example.net").code == 250
    assert other.count(token) == 1


def test_one_is_down(gateways, peers, mode):
    """The others have their mail at once; the rest waits, and nobody gets it twice."""
    up, down = peers(), peers()
    gateway = gateways(allowed_domains=DOMAINS, relay_transport=up.transport, delivery_mode=mode,
                       transport_maps=f"inline:{{ example.net={down.transport} }}")
    down.down()
    tokens = [mail.new_token() for _ in range(5)]
    for token in tokens:
        assert send(gateway, token, "ann@example.net", "alice@example.com").code == 250
    for token in tokens:
        wait_stored(up, token)
    gateway.wait_queued(5)
    wait_health(gateway, down, False)
    other = mail.new_token()
    assert send(gateway, other, "alice@example.com").code == 250
    wait_stored(up, other)
    down.up()
    for token in tokens:
        wait_stored(down, token)
    gateway.wait_queue_empty()
    assert all(up.count(t) == 1 and down.count(t) == 1 for t in tokens)
    assert not gateway.grep("status=bounced")


def test_one_hangs(gateways, peers):
    """It takes connections and never answers: its places are its own."""
    up, hanging = peers(), peers()
    gateway = gateways(allowed_domains=DOMAINS, relay_transport=up.transport, delivery_mode="queue",
                       verify_recipients="no", default_destination_concurrency_limit=2,
                       transport_maps=f"inline:{{ example.net={hanging.transport} }}")
    hanging.fail("mail", "stall")
    tokens = [mail.new_token() for _ in range(20)]
    for token in tokens:
        assert send(gateway, token, "ann@example.net", "alice@example.com").code == 250
    for token in tokens:
        wait_stored(up, token)
    hanging.lift()
    for token in tokens:
        wait_stored(hanging, token)
    gateway.wait_queue_empty()


def test_mixed_results(gateways, peers, mode):
    """5xx here, delivered there: the one that failed is for the operator, the other is not sent again."""
    good, bad = peers(), peers()
    gateway = gateways(allowed_domains=DOMAINS, relay_transport=good.transport, delivery_mode=mode,
                       verify_recipients="no", transport_maps=f"inline:{{ example.net={bad.transport} }}")
    bad.fail("rcpt", "5xx")
    token = mail.new_token()
    assert send(gateway, token, "alice@example.com", "ann@example.net").code == 250
    gateway.wait_log("to=<ann@example.net>.*status=bounced")
    wait_stored(good, token)
    wait.until(lambda: status(gateway)["on_hold"] == 1, "the message to be held")
    gateway.flush()
    assert good.count(token) == 1


def test_killed_in_between(gateways, peers, mode):
    """kill -9 with a part delivered: what is on record is not sent again, the rest is."""
    up, down = peers(), peers()
    gateway = gateways(allowed_domains=DOMAINS, relay_transport=up.transport, delivery_mode=mode,
                       transport_maps=f"inline:{{ example.net={down.transport} }}")
    down.down()
    token = mail.new_token()
    assert send(gateway, token, "alice@example.com", "ann@example.net").code == 250
    wait_stored(up, token)
    wait.until(lambda: b"rcpt=0 sent" in (gateway.spool / gateway.spool_files("queue")[0]).read_bytes(), "the record")
    gateway.kill()
    down.up()
    gateway.start()
    wait_stored(down, token)
    gateway.wait_queue_empty()
    assert up.count(token) == 1


def test_the_right_one_is_asked_about_a_recipient(gateways, peers):
    known, other = peers(), peers()
    gateway = gateways(allowed_domains=DOMAINS, relay_transport=known.transport,
                       transport_maps=f"inline:{{ example.net={other.transport} }}")
    other.fail("rcpt", "5xx")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        replies = client.envelope("bob@example.org", ["ann@example.com", "ann@example.net"])
    assert [r.code for r in replies] == [250, 554]


# --- what a route is not

def test_a_route_admits_nobody(gateways, peer):
    gateway = gateways(relay_transport=peer.transport,
                       transport_maps=f"inline:{{ example.net={peer.transport}, *={peer.transport} }}")
    assert gateway.grep(r"WARN.*transport_maps has a route for example\.net, which relay_domains does not admit")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        replies = client.envelope("bob@example.org", ["ann@example.net", "ann@example.org", "ann@example.com"])
    assert [r.code for r in replies] == [554, 554, 250]
    assert "Relay access denied" in replies[0].text


@pytest.mark.parametrize("value, words", [
    ("hash:/etc/postfix/transport", r"is a table in a file, which mxgate does not read; write inline:\{"),
    ("regexp:/etc/postfix/transport", r"the section \[transport\] in the ini file"),
    ("inline:{ example.com=relay:[192.0.2.1] }", "it must begin with lmtp:, smtp: or maildir:"),
    ("inline:{ example.com = lmtp:[192.0.2.1] }", "is not NAME=VALUE"),
])
def test_what_cannot_be_used_stops_the_start(gateways, peer, value, words):
    gateway = gateways(start=False, relay_transport=peer.transport, transport_maps=value)
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    assert gateway.grep(words), gateway.tail()


# --- several targets

def test_failover_and_back(gateways, peers, mode):
    first, second = peers(), peers()
    gateway = gateways(relay_transport=f"{first.transport}, {second.transport}", delivery_mode=mode)
    one, two, three = (mail.new_token() for _ in range(3))
    assert send(gateway, one, "alice@example.com").code == 250
    wait_stored(first, one)
    first.down()
    assert send(gateway, two, "alice@example.com").code == 250
    wait_stored(second, two)
    gateway.wait_log("to=<alice@example.com>, " + relay_of(second) + ".*status=sent")
    down = wait_health(gateway, first, False)
    assert (down["order"], down["of"], down["covered"]) == (1, 2, True)
    environment = {"QUEUE_DIRECTORY": str(gateway.spool), "HEALTHCHECK_UPSTREAM": "strict"}
    done = subprocess.run([healthcheck_binary()], env=environment, capture_output=True, timeout=20)
    assert done.returncode == 0, done
    assert f"destination {first.transport} is down".encode() in done.stdout
    assert f"destination {first.transport}, 1 of 2: DOWN".encode() in gateway.run("status", check=0).stdout
    first.up()
    wait_health(gateway, first, True)
    assert send(gateway, three, "alice@example.com").code == 250
    wait_stored(first, three)
    gateway.wait_queue_empty()
    assert not gateway.grep("status=deferred")


def test_all_down_then_up(gateways, peers, mode):
    first, second = peers(), peers()
    gateway = gateways(relay_transport=f"{first.transport}, {second.transport}", delivery_mode=mode)
    first.down()
    second.down()
    tokens = [mail.new_token() for _ in range(5)]
    for token in tokens:
        assert send(gateway, token, "alice@example.com").code == 250
    gateway.wait_queued(5)
    second.up()
    for token in tokens:
        wait_stored(second, token)
    gateway.wait_queue_empty()
    first.up()
    wait_health(gateway, first, True)
    token = mail.new_token()
    assert send(gateway, token, "alice@example.com").code == 250
    wait_stored(first, token)


@pytest.mark.parametrize("step, kind", [("mail", "drop"), ("rcpt", "drop"), ("data", "drop"), ("mail", "4xx"), ("greeting", "5xx")])
def test_trouble_before_the_dot_moves_the_mail(gateways, peers, mode, step, kind):
    first, second = peers(), peers()
    gateway = gateways(relay_transport=f"{first.transport}, {second.transport}", delivery_mode=mode,
                       verify_recipients="no", lmtp_connection_idle_time="0")
    wait_health(gateway, first, True)
    first.fail(step, kind)
    token = mail.new_token()
    assert send(gateway, token, "alice@example.com", "joe@example.com").code == 250
    wait_stored(second, token, 2)
    gateway.wait_queue_empty()
    assert first.count(token) == 0
    assert not gateway.grep("status=deferred")


def test_a_dot_without_a_reply_moves_nothing(gateways, peers, mode):
    first, second = peers(), peers()
    gateway = gateways(relay_transport=f"{first.transport}, {second.transport}", delivery_mode=mode,
                       verify_recipients="no")
    wait_health(gateway, first, True)
    first.fail("dot", "drop", times=1)
    token = mail.new_token()
    assert send(gateway, token, "alice@example.com").code == 250
    gateway.wait_log("status=deferred .*message may be sent more than once")
    gateway.wait_queue_empty()
    assert second.count(token) == 0
    assert first.count(token) >= 1


def test_the_question_about_a_recipient_moves_too(gateways, peers):
    first, second = peers(), peers()
    gateway = gateways(relay_transport=f"{first.transport}, {second.transport}")
    wait_health(gateway, first, True)
    first.down()
    second.fail("rcpt", "5xx", nth=0)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert [r.code for r in client.envelope("bob@example.org", ["nobody@example.com"])] == [554]


# --- while it runs

def test_reload_gives_queued_mail_to_others(gateways, peers, mode, tmp_path):
    """The ini file's section [transport], changed; SIGHUP."""
    old, new, rest = peers(), peers(), peers()
    ini = tmp_path / "mxgate.ini"

    def route(peer):
        ini.write_text(f"[mxgate]\nrelay_transport = {rest.transport}\n[transport]\nexample.net = {peer.transport}\n")

    route(old)
    gateway = gateways(allowed_domains=DOMAINS, MXGATE_INI=ini, delivery_mode=mode)
    old.down()
    tokens = [mail.new_token() for _ in range(5)]
    for token in tokens:
        assert send(gateway, token, "ann@example.net", "alice@example.com").code == 250
    for token in tokens:
        wait_stored(rest, token)
    gateway.wait_queued(5)
    route(new)
    gateway.signal(signal.SIGHUP)
    for token in tokens:
        wait_stored(new, token)
    gateway.wait_queue_empty()
    assert all(rest.count(t) == 1 for t in tokens)
    ini.write_text(f"[transport]\nexample.net = hash:/x\n[mxgate]\nrelay_transport = {rest.transport}\n")
    gateway.signal(signal.SIGHUP)
    gateway.wait_log("the old ones stay in force")
    token = mail.new_token()
    assert send(gateway, token, "ann@example.net").code == 250
    wait_stored(new, token)


def test_flush_of_a_site(gateways, peer):
    gateway = gateways(allowed_domains=DOMAINS, relay_transport=peer.transport, verify_recipients="no",
                       minimal_backoff_time="1h", maximal_backoff_time="1h")
    peer.fail("rcpt", "4xx")
    com, net = mail.new_token(), mail.new_token()
    assert send(gateway, com, "alice@example.com").code == 250
    assert send(gateway, net, "ann@example.net").code == 250
    gateway.wait_queued(2)
    peer.lift()
    gateway.run("postqueue", "-s", "example.net", check=0)
    wait_stored(peer, net)
    gateway.wait_queued(1)
    assert peer.count(com) == 0
