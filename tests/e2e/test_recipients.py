"""What becomes of recipients that are unknown, full or in trouble: verification in the session, results one by one."""

import time

import pytest

from harness import mail, smtp_client, wait


def rcpt(gateway, address, sender="bob@example.org"):
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.cmd(f"MAIL FROM:<{sender}>")
        return client.cmd(f"RCPT TO:<{address}>")


def send(gateway, recipients, token, **more):
    return smtp_client.send(gateway.address, "bob@example.org", recipients, mail.message(token), **more)


def test_a_recipient_named_again_gets_it_once(gateways, peer, mode):
    """More often than fit into one transaction with the upstream; the others' results are not mixed up."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    again = ["alice@example.com"] * 60 + ["full@example.com", "carol@example.com"] + ["alice@example.com"] * 60
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert {r.text for r in client.envelope("bob@example.org", again)} == {"250 2.1.5 Ok"}
        assert client.data(mail.message(token)).code == 250
    for address, status in (("alice", "sent"), ("full", "bounced"), ("carol", "sent")):
        gateway.wait_log(rf"to=<{address}@example\.com>.*status={status}")
        assert len(gateway.grep(rf"to=<{address}@example\.com>")) == 1, gateway.tail()
    assert sorted(d.recipient for d in peer.deliveries if d.token == token) == ["alice@example.com", "carol@example.com"]
    assert gateway.grep(r"nrcpt=3 \(queue active\)"), gateway.tail()


def test_unknown_recipient_is_refused_in_the_session(gateways, dovecot, mode):
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    reply = rcpt(gateway, "nobody@example.com")
    assert reply.code == 550
    assert reply.text.startswith("550 5.1.1 <nobody@example.com>")
    assert "User doesn't exist" in reply.text
    assert rcpt(gateway, "alice@example.com").code == 250


@pytest.mark.smoke
def test_mixed_result(gateways, dovecot, mode):
    """known, full (known only after the dot), unknown, known: two get it, one is refused in the session, and the one
    that failed afterwards is on record."""
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    token = mail.new_token()
    body = mail.message(token, size=5000)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        codes = [r.code for r in client.envelope("bob@example.org", [
            "alice@example.com", "tiny@example.com", "nobody@example.com", "bob@example.com"])]
        assert codes == [250, 250, 550, 250]
        assert client.data(body).code == 250
    for user in ("alice", "bob"):
        assert mail.without_trace(dovecot.wait_mail(user, token)) == body
    gateway.wait_log(r"to=<alice@example\.com>.*dsn=2\.0\.0, status=sent ")
    gateway.wait_log(r"to=<bob@example\.com>.*dsn=2\.0\.0, status=sent ")
    gateway.wait_log(r"to=<tiny@example\.com>.*dsn=5\.2\.2, status=bounced \(host .*said: 552 5\.2\.2 .*Quota exceeded"
                     r".*\(in reply to end of DATA command\)\)")
    assert not dovecot.fetch("tiny", token)


def test_only_recipient_full_direct(gateways, dovecot):
    """The upstream's own verdict reaches the sender; nothing is left behind to bounce."""
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode="direct")
    token = mail.new_token()
    reply = smtp_client.send(gateway.address, "bob@example.org", ["tiny@example.com"], mail.message(token, size=5000))
    assert reply.code == 552 and "Quota exceeded" in reply.text, reply
    gateway.wait_queue_empty()


def test_two_kinds_of_refusal_direct(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no")
    reply = send(gateway, ["unknown1@example.com", "full1@example.com"], mail.new_token())
    assert 500 <= reply.code < 600, reply
    gateway.wait_queue_empty()


def test_without_verification_the_verdict_comes_at_the_end(gateways, dovecot):
    gateway = gateways(relay_transport=dovecot.transport, verify_recipients="no", delivery_mode="direct")
    assert rcpt(gateway, "nobody@example.com").code == 250
    reply = send(gateway, ["nobody@example.com"], mail.new_token())
    assert reply.code == 550 and "User doesn't exist" in reply.text, reply


def test_temporary_refusal_of_one_recipient(gateways, peer, mode):
    """It alone is retried; the other has its mail once."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, verify_recipients="no")
    token = mail.new_token()
    fault = peer.fail("rcpt", "4xx", nth=0, times=2)
    assert send(gateway, ["alice@example.com", "bob@example.com"], token).code == 250
    wait.until(lambda: peer.count(token, "alice@example.com"), "alice's mail after two refusals", 15)
    gateway.wait_queue_empty()
    assert fault.hits == 2
    assert peer.count(token, "alice@example.com") == 1
    assert peer.count(token, "bob@example.com") == 1


def test_retries_keep_their_distance(gateways, peer):
    """4xx about a message backs it off by minimal_backoff_time, doubling up to maximal_backoff_time."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no",
                       minimal_backoff_time="1s", maximal_backoff_time="2s")
    fault = peer.fail("dot", "4xx")
    begun = time.monotonic()
    assert send(gateway, ["alice@example.com"], mail.new_token()).code == 250
    wait.until(lambda: fault.hits >= 4, "three retries", 15)
    took = time.monotonic() - begun
    assert took >= 0.5 + 1 + 1, f"three retries within {took:.1f} s"
    peer.lift()
    gateway.wait_queue_empty()


def test_direct_4xx_counts_as_the_first_attempt(gateways, peer):
    """The spooled copy waits for minimal_backoff_time; it is not tried again at once."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", verify_recipients="no",
                       minimal_backoff_time="1h", maximal_backoff_time="1h")
    fault = peer.fail("dot", "4xx")
    assert send(gateway, ["alice@example.com"], mail.new_token()).code == 250
    gateway.wait_queued(1)
    time.sleep(0.5)
    assert fault.hits == 1, f"{fault.hits} attempts"
    peer.lift()
    gateway.flush()
    gateway.wait_queue_empty()


def test_verification_answers_are_remembered(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    for _ in range(5):
        assert rcpt(gateway, "alice@example.com").code == 250
        assert rcpt(gateway, "unknown1@example.com").code == 550
    asked = [line for c in peer.connections for line in c.commands if line.startswith(b"RCPT")]
    assert len(asked) == 2, asked


def test_negative_answers_are_asked_again_when_stale(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, address_verify_negative_refresh_time="1s")
    fault = peer.fail("rcpt", "5xx", times=1)
    assert rcpt(gateway, "alice@example.com").code == 554
    wait.until(lambda: rcpt(gateway, "alice@example.com").code == 250, "the new answer", 5)
    assert fault.hits == 1


def test_verification_while_the_upstream_is_down(gateways, peer):
    """What was heard earlier still counts; who was never heard of is taken on the domain alone."""
    gateway = gateways(relay_transport=peer.transport)
    assert rcpt(gateway, "alice@example.com").code == 250
    assert rcpt(gateway, "unknown1@example.com").code == 550
    peer.down()
    assert rcpt(gateway, "alice@example.com").code == 250
    assert rcpt(gateway, "unknown1@example.com").code == 550
    assert rcpt(gateway, "stranger@example.com").code == 250
    assert rcpt(gateway, "alice@other.net").code == 554


def test_unverified_recipients_may_be_deferred(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, unverified_recipient_action="defer")
    assert rcpt(gateway, "alice@example.com").code == 250
    peer.down()
    assert rcpt(gateway, "alice@example.com").code == 250
    reply = rcpt(gateway, "stranger@example.com")
    assert reply.code in (450, 451), reply
    peer.up()
    wait.until(lambda: rcpt(gateway, "stranger@example.com").code == 250, "an answer after the upstream's return", 6)


def test_verification_does_not_wait_for_ever(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, verify_timeout="300ms", lmtp_rcpt_timeout="30s")
    peer.fail("rcpt", "stall")
    begun = time.monotonic()
    assert rcpt(gateway, "alice@example.com").code == 250
    assert time.monotonic() - begun < 3 * wait.SCALE
    peer.lift()


def test_temporary_verification_answer_is_passed_on(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    reply = rcpt(gateway, "temp1@example.com")
    assert reply.code in (450, 451), reply
    assert rcpt(gateway, "alice@example.com").code == 250


def test_verification_uses_few_connections(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.cmd("MAIL FROM:<bob@example.org>")
        for n in range(100):
            assert client.cmd(f"RCPT TO:<user{n}@example.com>").code == 250
    assert len(peer.connections) <= 5, f"{len(peer.connections)} connections for 100 questions"


def test_the_same_recipient_twice(gateways, peer, mode):
    """LMTP gives one reply per accepted RCPT, duplicates included; Postfix sends one copy."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, ["alice@example.com", "bob@example.com", "alice@example.com"], token).code == 250
    gateway.wait_queue_empty()
    wait.until(lambda: peer.count(token) >= 2, "the mail")
    assert peer.count(token, "bob@example.com") == 1
    assert peer.count(token, "alice@example.com") in (1, 2)


def test_more_than_50_recipients(gateways, peer, mode):
    """At most 50 in one transaction; each gets the mail once, and one reply tells of all."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    people = [f"user{n:03}@example.com" for n in range(120)]
    assert send(gateway, people, token).code == 250
    gateway.wait_queue_empty()
    wait.until(lambda: peer.count(token) == 120, lambda: f"120 copies; there are {peer.count(token)}")
    assert all(peer.count(token, p) == 1 for p in people)


def test_upstream_takes_fewer_recipients_than_that(gateways, peers, mode):
    """451 4.5.3 Too many recipients: the rest go in another transaction (FACTS 4.2)."""
    peer = peers(recipient_limit=10)
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    people = [f"user{n:02}@example.com" for n in range(30)]
    assert send(gateway, people, token).code == 250
    wait.until(lambda: peer.count(token) >= 30, lambda: f"30 copies; there are {peer.count(token)}", 15)
    gateway.wait_queue_empty()
    assert all(peer.count(token, p) == 1 for p in people)
