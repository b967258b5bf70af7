"""Upstreams that are in order but particular; and mail that is not."""

import threading
import time

import pytest

from harness import lmtp_peer, mail, smtp_client, wait


def send(gateway, token=None, text=b"hello\r\n", recipients=("alice@example.com",)):
    return smtp_client.send(gateway.address, "bob@example.org", list(recipients), mail.message(token or mail.new_token(), text))


@pytest.mark.parametrize("after", [0, 0.003, 0.02], ids=["at-once", "3-ms", "20-ms"])
def test_one_mail_per_connection(after, gateways, peers, mode):
    """Hanging up after a mail is no trouble: a mail that was given a session about to die goes by another at once,
    however many such sessions there are (DESIGN 2.6: retried on a new one)."""
    peer = peers(one_mail_each=after)
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, verify_recipients="no")
    tokens = [mail.new_token() for _ in range(60)]

    def some(part):
        for token in part:
            assert send(gateway, token).code == 250

    threads = [threading.Thread(target=some, args=(tokens[n::6],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gateway.wait_queue_empty()
    assert [peer.count(t) for t in tokens] == [1] * 60
    assert not gateway.grep("status=deferred")
    assert not gateway.grep("is down")


def test_fewer_connections_than_we_would_like(gateways, peers, mode):
    """421 to the second connection while the first works: the destination is not down, the mail goes one by one."""
    peer = peers(most_connections=1)
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, verify_recipients="no")
    tokens = [mail.new_token() for _ in range(60)]

    def some(part):
        for token in part:
            assert send(gateway, token).code == 250

    threads = [threading.Thread(target=some, args=(tokens[n::6],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gateway.wait_queue_empty(15)
    assert [peer.count(t) for t in tokens] == [1] * 60
    assert not gateway.grep("status=bounced")


def test_a_mail_that_kills_every_conversation(gateways, peer, monkeypatch, mode):
    """A poison message (the upstream crashes on it): the others go on, and it is not tried in a tight loop."""
    attempts = []

    class Allergic(lmtp_peer.Connection):
        def finish(self, body):
            if b"poison" in body:
                attempts.append(time.monotonic())
                raise lmtp_peer.Hangup
            super().finish(body)

    monkeypatch.setattr(lmtp_peer, "Connection", Allergic)
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, verify_recipients="no",
                       minimal_backoff_time="2s", maximal_backoff_time="4s")
    assert send(gateway, text=b"poison\r\n").code == 250
    wait.until(lambda: attempts, "the poison to work")
    begun = time.monotonic()
    for _ in range(20):
        token = mail.new_token()
        assert send(gateway, token).code == 250
        wait.until(lambda t=token: peer.count(t), "a good mail", 3)
        time.sleep(0.1)
    assert time.monotonic() - begun < 10 * wait.SCALE
    during = [a for a in attempts if a < begun + 2]
    assert len(during) <= 5, f"{len(during)} attempts within two seconds"
    assert not gateway.grep("status=bounced")
    monkeypatch.undo()
    for connection in peer.open_connections():
        connection.leave = True
    gateway.wait_queue_empty(10)


def test_200_clients_at_once(gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    tokens = [mail.new_token() for _ in range(200)]
    codes = {}

    def one(token):
        codes[token] = send(gateway, token).code

    threads = [threading.Thread(target=one, args=(t,)) for t in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes.values()) == {250} and len(codes) == 200
    gateway.wait_queue_empty()
    wait.until(lambda: all(peer.count(t) for t in tokens), "all 200")
    assert all(peer.count(t) == 1 for t in tokens)
    assert peer.most_open <= 5


def test_maildir_that_cannot_be_written(gateways, mode):
    """Trouble of the destination: kept."""
    gateway = gateways(relay_transport="maildir:/proc/mxgate-nowhere", delivery_mode=mode)
    assert send(gateway).code == 250
    gateway.wait_log("status=deferred")
    gateway.wait_queued(1)
    assert not gateway.grep("status=bounced")


def test_unix_socket_that_comes_later(gateways, peers, mode):
    import tempfile
    with tempfile.TemporaryDirectory(prefix="mxgate-un-") as top:
        gateway = gateways(relay_transport=f"lmtp:unix:{top}/lmtp.sock", delivery_mode=mode)
        token = mail.new_token()
        assert send(gateway, token).code == 250
        gateway.wait_log(r"status=deferred \(.*No such file or directory")
        peer = peers(unix_path=f"{top}/lmtp.sock")
        gateway.wait_queue_empty(6)
        assert peer.count(token) == 1
        gateway.stop()
        peer.stop()


def test_upstream_answers_in_one_byte_segments(gateways, peer, mode):
    for step in ("greeting", "lhlo", "mail", "rcpt", "data", "dot", "rset"):
        peer.fail(step, "byte-by-byte")
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    tokens = [mail.new_token() for _ in range(5)]
    for token in tokens:
        assert send(gateway, token, recipients=["alice@example.com", "bob@example.com"]).code == 250
    gateway.wait_queue_empty()
    assert all(peer.count(t) == 2 for t in tokens)


def test_a_thousand_recipients(gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, verify_recipients="no")
    token = mail.new_token()
    people = [f"user{n:04}@example.com" for n in range(1000)]
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.cmd("MAIL FROM:<bob@example.org>")
        client.send(b"".join(b"RCPT TO:<%s>\r\n" % p.encode() for p in people + ["onemore@example.com"]))
        codes = [client.reply().code for _ in range(1001)]
        assert codes == [250] * 1000 + [452]
        assert client.data(mail.message(token)).code == 250
    gateway.wait_queue_empty(15)
    wait.until(lambda: peer.count(token) == 1000, lambda: f"1000 copies; {peer.count(token)}")
    assert len({d.recipient for d in peer.find(token)}) == 1000


def hammer(gateway, stop, threads=12):
    """Steady senders, until `stop` is set."""
    def some(n):
        with smtp_client.Smtp(gateway.address) as client:
            client.hello()
            while not stop.is_set():
                client.mail("bob@example.org", [f"new{n}@example.com"], b"Subject: x\r\n\r\nnew\r\n")

    running = [threading.Thread(target=some, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    return running


def finish(running, stop):
    stop.set()
    for thread in running:
        thread.join()


def test_one_dead_session_costs_one_connection(gateways, peers):
    """A retry needs a session that nobody used; the others, in order and busy, are not closed for its sake."""
    peer = peers(delay={"lhlo": 0.3, "dot": 0.02}, keep_bodies=False)
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no")
    stop = threading.Event()
    running = hammer(gateway, stop)
    try:
        wait.until(lambda: len(peer.connections) == 5 and len(peer.deliveries) > 50, "five busy sessions")
        peer.fail("mail", "drop", times=1)
        before = len(peer.deliveries)
        wait.until(lambda: len(peer.deliveries) > before + 200, "the load to go on")
    finally:
        finish(running, stop)
    assert len(peer.connections) <= 7
    assert not gateway.grep("status=deferred")


def test_old_mail_is_not_starved_by_retries(gateways, peers):
    """One session at a time, each good for one mail, and always new mail whose client waits."""
    peer = peers(one_mail_each=0, keep_bodies=False)
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no", default_destination_concurrency_limit=1,
                       minimal_backoff_time="1s")
    peer.fail("rcpt", "4xx", times=1)
    assert send(gateway, recipients=["old@example.com"]).code == 250
    stop = threading.Event()
    running = hammer(gateway, stop)
    try:
        wait.until(lambda: any(d.recipient == "old@example.com" for d in peer.deliveries), "the old mail, under load")
    finally:
        finish(running, stop)


def test_poison_at_an_upstream_that_comes_back_slowly(gateways, peers, monkeypatch):
    """While it is away connections are accepted and closed a moment later, as behind a proxy. To hear that it is down
    does not make the message that brought it down any better."""
    away = [0.0]
    talk, do_data = lmtp_peer.Connection._talk, lmtp_peer.Connection.do_data
    hits = []

    def slow_talk(self):
        if time.monotonic() < away[0]:
            time.sleep(0.05)
            raise lmtp_peer.Hangup
        talk(self)

    def poisoned(self, rest):
        if "poison" not in self.mail_line:
            return do_data(self, rest)
        hits.append(time.monotonic())
        away[0] = time.monotonic() + 0.3
        raise lmtp_peer.Hangup

    monkeypatch.setattr(lmtp_peer.Connection, "_talk", slow_talk)
    monkeypatch.setattr(lmtp_peer.Connection, "do_data", poisoned)
    peer = peers()
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no",
                       minimal_backoff_time="300s")
    assert smtp_client.send(gateway.address, "poison@example.org", ["ann@example.com"], mail.message(mail.new_token())).code == 250
    wait.until(lambda: len(hits) == 3, "three attempts")
    tokens = [mail.new_token() for _ in range(20)]
    for token in tokens:  # some seconds in which the destination comes back
        assert send(gateway, token).code == 250
        time.sleep(0.1)
    wait.until(lambda: all(peer.count(t) == 1 for t in tokens), "the others")
    assert len(hits) == 3
