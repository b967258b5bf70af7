"""The tunnel goes down and comes back: mail is taken meanwhile, and arrives within seconds of its return."""

import threading
import time

import pytest

from harness import mail, smtp_client, wait


def send(gateway, token, recipient="alice@example.com", size=None):
    return smtp_client.send(gateway.address, "bob@example.org", [recipient], mail.message(token, size=size))


@pytest.mark.smoke
def test_dovecot_stopped_and_started(gateways, dovecot, mode):
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode, destination_probe_max="3s")
    first, second = mail.new_token(), mail.new_token()
    dovecot.stop()
    for token in (first, second):
        assert send(gateway, token).code == 250
    gateway.wait_queued(2)
    gateway.wait_log(r"status=deferred \((delivery temporarily suspended: )?connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: (Connection refused|Connection reset by peer|Broken pipe)\)")
    dovecot.start()
    returned = time.monotonic()
    for token in (first, second):
        dovecot.wait_mail("alice", token, 5)
    assert time.monotonic() - returned < 5 * wait.SCALE
    gateway.wait_queue_empty()


def test_dovecot_away_when_the_gateway_starts(gateways, dovecot, mode):
    dovecot.stop()
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token).code == 250
    dovecot.start()
    dovecot.wait_mail("alice", token, 5)


def test_dovecot_killed_in_mid_delivery(gateways, dovecot, mode):
    """It holds a part of 20 MB when it dies; the mail is complete, once or twice, in the end."""
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    tokens = [mail.new_token() for _ in range(4)]
    replies = {}

    def one(token):
        replies[token] = send(gateway, token, "joe@example.com", 20_000_000)

    senders = [threading.Thread(target=one, args=(t,)) for t in tokens]
    for sender in senders:
        sender.start()
    wait.until(lambda: gateway.grep("client="), "the gateway to take mail")
    time.sleep(0.15)  # any moment will do: this one is likely in the middle
    dovecot.kill()
    for sender in senders:
        sender.join()
    assert [replies[t].code for t in tokens] == [250] * 4, replies
    dovecot.start()
    gateway.wait_queue_empty(30)
    for token in tokens:
        found = wait.until(lambda t=token: dovecot.fetch("joe", t), "the mail")
        assert all(len(mail.without_trace(m)) == len(mail.message(token, size=20_000_000)) for m in found)
        if len(found) > 1:
            assert gateway.grep("message may be sent more than once")
    assert not gateway.grep("status=bounced")
    dovecot.clear("joe")


def test_a_thousand_queued_are_out_within_5_seconds(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", destination_probe_max="3s",
                       verify_recipients="no")
    peer.down()
    tokens = []
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for _ in range(1000):
            token = mail.new_token()
            tokens.append(token)
            assert client.mail("bob@example.org", ["alice@example.com"], mail.message(token)).code == 250
    gateway.wait_queued(1000)
    peer.up()
    returned = time.monotonic()
    gateway.wait_queue_empty(20)
    took = time.monotonic() - returned
    print(f"1000 queued: empty {took:.2f} s after the upstream's return")
    assert all(peer.count(t) == 1 for t in tokens)
    assert took < 5 * wait.SCALE
    assert peer.most_open <= 5, "more connections than the destination's limit"


def test_fresh_mail_goes_before_old(gateways, peers):
    """A stampede of queued mail does not hold up what has just come."""
    peer = peers(delay={"dot": 0.05})
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no")
    peer.down()
    old = [mail.new_token() for _ in range(300)]
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for token in old:
            assert client.mail("bob@example.org", ["alice@example.com"], mail.message(token)).code == 250
    peer.up()
    wait.until(lambda: peer.messages >= 10, "the queue to move")
    token = mail.new_token()
    assert send(gateway, token, "bob@example.com").code == 250
    wait.until(lambda: peer.count(token), "the fresh mail")
    left = sum(1 for t in old if not peer.count(t))
    assert left > 50, f"the fresh mail came when only {left} old ones were left"
    peer.delay.clear()
    gateway.wait_queue_empty(20)
    assert peer.most_open <= 5


def test_while_down_the_reply_is_quick(gateways, peer):
    """Direct mode: once the destination is known to be down, fresh mail goes straight to the spool."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", destination_probe_max="3s")
    peer.down()
    send(gateway, mail.new_token())
    begun = time.monotonic()
    for _ in range(5):
        assert send(gateway, mail.new_token()).code == 250
    assert time.monotonic() - begun < 2 * wait.SCALE
    peer.up()
    gateway.wait_queue_empty(10)
    assert peer.messages == 6


def test_a_silent_upstream_does_not_hold_the_sender(gateways, peer):
    """Accepts connections and says nothing: known after one connect timeout."""
    peer.fail("greeting", "stall")
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", lmtp_connect_timeout="500ms",
                       verify_timeout="300ms")
    token = mail.new_token()
    begun = time.monotonic()
    assert send(gateway, token).code == 250
    assert time.monotonic() - begun < 4 * wait.SCALE
    peer.lift()
    gateway.wait_queue_empty(8)
    assert peer.count(token) == 1


def test_state_is_logged_when_it_changes_not_per_probe(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", destination_probe_max="500ms")
    peer.down()
    assert send(gateway, mail.new_token()).code == 250
    gateway.wait_log("Connection refused")
    time.sleep(3)  # about six probes
    assert len(gateway.grep(r"lmtp\[\d+\]: connect to 127.0.0.1\[127.0.0.1\]:\d+: Connection refused")) <= 2
    assert len(gateway.grep("Connection refused")) <= 6, gateway.tail()
    peer.up()
    gateway.wait_queue_empty(5)


def test_two_outages_in_a_row(gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    tokens = []
    for _ in range(3):
        peer.down()
        tokens.append(mail.new_token())
        assert send(gateway, tokens[-1]).code == 250
        peer.up()
        gateway.wait_queue_empty(6)
        tokens.append(mail.new_token())
        assert send(gateway, tokens[-1]).code == 250
        gateway.wait_queue_empty()
    wait.until(lambda: all(peer.count(t) == 1 for t in tokens), "each mail once")


def test_a_session_that_died_while_idle(gateways, peer, mode):
    """A reused session found dead before DATA is retried at once on a new one: no deferral, no log of trouble."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, lmtp_connection_idle_time="60s")
    for _ in range(4):
        token = mail.new_token()
        assert send(gateway, token).code == 250
        gateway.wait_queue_empty()
        wait.until(lambda t=token: peer.count(t) == 1, "the mail")
        for connection in peer.open_connections():
            connection.reset()
        wait.until(lambda: not peer.open_connections(), "the connections to be gone")
    assert not gateway.grep("status=deferred")


def test_a_session_reset_at_its_next_command(gateways, peer):
    """The same, found out only by the reply to MAIL."""
    gateway = gateways(relay_transport=peer.transport, lmtp_connection_idle_time="60s", verify_recipients="no")
    assert send(gateway, mail.new_token()).code == 250
    for connection in peer.open_connections():
        connection.leave = True
    token = mail.new_token()
    assert send(gateway, token).code == 250
    assert peer.count(token) == 1
    assert not gateway.grep("status=deferred")


def test_all_kept_sessions_gone_at_their_next_command(gateways, peers, mode):
    """Five sessions are kept, and the upstream ends each at its next command: the mail goes by a new one, and is not
    deferred because a second dead one was tried first."""
    peer = peers(delay={"dot": 0.3})
    gateway = gateways(relay_transport=peer.transport, lmtp_connection_idle_time="60s", verify_recipients="no", delivery_mode=mode)
    senders = [threading.Thread(target=send, args=(gateway, mail.new_token())) for _ in range(5)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    gateway.wait_queue_empty()
    peer.delay.clear()
    assert len(peer.open_connections()) >= 4, "sessions are not kept"
    for connection in peer.open_connections():
        connection.leave = True
    token = mail.new_token()
    assert send(gateway, token).code == 250
    gateway.wait_queue_empty()
    wait.until(lambda: peer.count(token) == 1, "the mail")
    assert not gateway.grep("status=deferred")
