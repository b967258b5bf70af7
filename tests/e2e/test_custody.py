"""P1: what a 250 means in each mode, and what remains when the process ends in whatever way."""

import re
import signal
import socket
import threading
import time

import pytest

from harness import mail, smtp_client, wait


def send(gateway, token, recipients=("alice@example.com",), size=None):
    return smtp_client.send(gateway.address, "bob@example.org", list(recipients), mail.message(token, size=size))


def test_direct_says_250_after_the_upstream_did(gateways, peers):
    peer = peers(delay={"dot": 0.3})
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct")
    for _ in range(3):
        token = mail.new_token()
        assert send(gateway, token).code == 250
        assert peer.count(token) == 1, "250 before the upstream had it"
    assert gateway.spool_files() == [], "nothing was to be written"


def test_queue_says_250_before_that(gateways, peers):
    peer = peers(delay={"dot": 1.5})
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no")
    token = mail.new_token()
    begun = time.monotonic()
    assert send(gateway, token).code == 250
    assert time.monotonic() - begun < 1.2 * wait.SCALE
    assert [f for f in gateway.spool_files() if f.startswith("queue/")]
    gateway.wait_queue_empty()
    assert peer.count(token) == 1
    wait.until(lambda: not gateway.spool_files(), lambda: f"an empty spool; {gateway.spool_files()}")


def test_direct_timeout_spools_and_delivers_once(gateways, peers):
    """The final dot was out when direct_timeout ran out: the delivery goes on, its outcome settles the spooled copy."""
    peer = peers(delay={"dot": 1.5})
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", direct_timeout="300ms", verify_recipients="no")
    token = mail.new_token()
    begun = time.monotonic()
    assert send(gateway, token, ["alice@example.com", "bob@example.com"]).code == 250
    took = time.monotonic() - begun
    assert 0.25 < took < 1.3 * wait.SCALE, f"replied after {took:.2f} s"
    assert len(gateway.postqueue()) == 1, "custody: it must be in the spool meanwhile"
    gateway.wait_queue_empty()
    time.sleep(0.3)
    assert peer.count(token, "alice@example.com") == 1
    assert peer.count(token, "bob@example.com") == 1


def test_direct_timeout_before_the_dot(gateways, peers):
    peer = peers(delay={"mail": 1.0})
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", direct_timeout="200ms", verify_recipients="no")
    token = mail.new_token()
    assert send(gateway, token).code == 250
    peer.delay.clear()
    gateway.wait_queue_empty()
    assert peer.count(token) == 1


def test_direct_timeout_then_refused(gateways, peers):
    """The late outcome of a direct delivery is a 5xx: the 250 was said, so it must not vanish without a word."""
    peer = peers(delay={"dot": 1.0})
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", direct_timeout="200ms", verify_recipients="no")
    assert send(gateway, mail.new_token(), ["full1@example.com"]).code == 250
    gateway.wait_log(r"to=<full1@example\.com>.*status=bounced")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_restart_with_mail_in_the_spool(how, gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    peer.down()
    tokens = [mail.new_token() for _ in range(20)]
    for token in tokens:
        assert send(gateway, token, ["alice@example.com", "bob@example.com"]).code == 250
    ids = {q["queue_id"] for q in gateway.postqueue()}
    getattr(gateway, how)()
    peer.up()
    gateway.start()
    gateway.wait_queue_empty()
    for token in tokens:
        assert peer.count(token, "alice@example.com") == 1
        assert peer.count(token, "bob@example.com") == 1
    assert len(ids) == 20


def test_what_was_delivered_stays_delivered_over_a_restart(gateways, peer):
    """One of two recipients is done; after kill -9 only the other is tried."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no",
                       minimal_backoff_time="5s", maximal_backoff_time="5s")
    fault = peer.fail("rcpt", "4xx", nth=0)
    token = mail.new_token()
    assert send(gateway, token, ["alice@example.com", "bob@example.com"]).code == 250
    gateway.wait_log(r"to=<alice@example\.com>.*status=deferred")
    gateway.wait_log(r"to=<bob@example\.com>.*status=sent")
    wait.until(lambda: any(re.search(r"rcpt=1 sent", (gateway.spool / f).read_text(errors="replace"))
                           for f in gateway.spool_files("queue")), "the record of the delivery", 5)
    gateway.kill()
    peer.lift()
    gateway.start()
    gateway.wait_queue_empty()
    assert fault.hits == 1
    assert peer.count(token, "alice@example.com") == 1
    assert peer.count(token, "bob@example.com") == 1


def test_everything_in_the_spool_is_due_at_start(gateways, peer):
    """A message that was backed off for long is tried at once after a restart (DESIGN 2.8)."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no",
                       minimal_backoff_time="1h", maximal_backoff_time="1h")
    peer.fail("dot", "4xx")
    token = mail.new_token()
    assert send(gateway, token).code == 250
    gateway.wait_log("status=deferred")
    gateway.stop()
    peer.lift()
    gateway.start()
    gateway.wait_queue_empty(5)
    assert peer.count(token) == 1


def test_queue_ids_are_unique_over_restarts(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue")
    peer.down()
    ids = []
    for _ in range(3):
        for _ in range(20):
            ids.append(send(gateway, mail.new_token()).text.split()[-1])
        gateway.kill()
        gateway.start()
    assert len(set(ids)) == 60
    assert all(re.fullmatch(r"[0-9A-F]+", i) for i in ids)
    assert ids == sorted(ids), "ids sort by time"
    peer.up()
    gateway.wait_queue_empty()


def load(gateway, taken, stop, recipient="alice@example.com"):
    while not stop.is_set():
        try:
            with smtp_client.Smtp(gateway.address, timeout=20) as client:
                client.hello()
                for _ in range(10):
                    token = mail.new_token()
                    reply = client.mail("bob@example.org", [recipient], mail.message(token, size=4000))
                    if reply.code == 250:
                        taken.append(token)
                    elif reply.code == 421:
                        break
        except (OSError, smtp_client.Closed, ValueError):
            time.sleep(0.01)


def test_sigterm_under_load(gateways, peers, mode):
    """Ends within 10 s, and each 250 is kept."""
    peer = peers(delay={"dot": 0.01})
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    taken, stop = [], threading.Event()
    clients = [threading.Thread(target=load, args=(gateway, taken, stop)) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        for _ in range(3):
            mark = len(taken)
            wait.until(lambda: len(taken) > mark + 30, "some load", 20)
            took = gateway.stop(10)
            assert took < 10 * wait.SCALE
            gateway.start()
    finally:
        stop.set()
        for client in clients:
            client.join()
    gateway.wait_queue_empty(20)
    wait.until(lambda: all(peer.count(t) for t in taken), "every mail that got 250", 10)
    doubles = [t for t in taken if peer.count(t) > 1]
    assert not doubles, f"{len(doubles)} of {len(taken)} twice, although each stop was in order"


def test_sigterm_with_open_sessions(gateways, peer, mode):
    """Idle ones hear 421, one in the middle of DATA is not left hanging, and a delivery under way is finished or spooled."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    idle = [smtp_client.Smtp(gateway.address) for _ in range(30)]
    busy = smtp_client.Smtp(gateway.address)
    busy.hello()
    busy.envelope("bob@example.org", ["alice@example.com"])
    assert busy.cmd("DATA").code == 354
    busy.send(b"Subject: never finished\r\n\r\nsome text\r\n")
    took = gateway.stop(10)
    assert took < 10 * wait.SCALE
    for client in idle:
        reply = client.reply()
        assert reply.code == 421, reply
        client.close()
    try:
        assert busy.reply().code == 421
    except smtp_client.Closed:
        pass
    busy.close()
    assert gateway.spool_files() == []


def test_sigterm_while_the_upstream_is_slow(gateways, peers):
    """A direct delivery that waits for the upstream's verdict does not hold the stop for longer than allowed, and is kept."""
    peer = peers(delay={"dot": 30})
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct", verify_recipients="no")
    token = mail.new_token()
    replies = []
    sender = threading.Thread(target=lambda: replies.append(outcome(gateway, token)))
    sender.start()
    wait.until(lambda: any(c.commands[-1:] == [b"DATA"] for c in peer.connections), "the delivery to be under way")
    took = gateway.stop(10)
    assert took < 10 * wait.SCALE
    sender.join()
    peer.delay.clear()
    peer.lift()
    gateway.start()
    gateway.wait_queue_empty()
    if replies[0] == 250:
        wait.until(lambda: peer.count(token) >= 1, "the mail")
    else:
        assert replies[0] in (421, 451, None), replies


def outcome(gateway, token):
    try:
        return send(gateway, token).code
    except (OSError, smtp_client.Closed):
        return None


def test_client_that_vanishes_in_data_leaves_nothing(gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    for cut in (b"", b"Subject: x\r\n", b"Subject: x\r\n\r\ntext\r\n", b"Subject: x\r\n\r\ntext\r\n.", b"Subject: x\r\n\r\ntext\r\n.\r",
                b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" + b"z" * 200_000):
        client = smtp_client.Smtp(gateway.address)
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        client.cmd("DATA")
        client.send(cut)
        client.close()
    wait.until(lambda: len(gateway.grep(r"lost connection after DATA \(\d+ bytes\) from unknown\[127\.0\.0\.1\]")) == 6,
               lambda: "six lines about lost connections:\n" + gateway.tail())
    assert peer.messages == 0
    assert gateway.spool_files() == []
    assert gateway.postqueue() == []


def test_client_that_vanishes_in_a_chunk_leaves_nothing(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    client = smtp_client.Smtp(gateway.address)
    client.hello()
    client.envelope("bob@example.org", ["alice@example.com"])
    client.send(b"BDAT 1000 LAST\r\nSubject: half a chunk\r\n\r\n")
    client.close()
    gateway.wait_log(r"lost connection after BDAT")
    assert peer.messages == 0 and gateway.spool_files() == []


@pytest.mark.clear_text
@pytest.mark.parametrize("way", ["data", "bdat", "pipelined"])
def test_client_that_says_no_more_hears_the_reply(way, gateways, peers, mode):
    """Shut down behind the end of the message, without QUIT, as `nc -N` does; the upstream takes its time."""
    peer = peers(delay={"dot": 0.5, "rcpt": 0.3})
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    body = mail.message(token)
    with smtp_client.Smtp(gateway.address) as client:
        if way == "pipelined":
            client.send(b"EHLO client.example.net\r\nMAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@example.com>\r\n"
                        b"BDAT %d LAST\r\n%s" % (len(body), body))
            client.sock.shutdown(socket.SHUT_WR)
            assert [client.reply().code for _ in range(3)] == [250] * 3
        else:
            client.hello()
            assert [r.code for r in client.envelope("bob@example.org", ["alice@example.com"])] == [250]
            if way == "data":
                assert client.cmd("DATA").code == 354
                client.send(mail.stuffed(body) + b".\r\n")
            else:
                client.send(b"BDAT %d LAST\r\n%s" % (len(body), body))
            client.sock.shutdown(socket.SHUT_WR)
        reply = client.reply()
        assert reply.code == 250, reply
        with pytest.raises(smtp_client.Closed):
            client.reply()
    gateway.wait_log(r"disconnect from unknown\[127\.0\.0\.1\] .* commands=4$")
    assert not gateway.grep("lost connection"), gateway.tail()
    wait.until(lambda: peer.count(token) == 1, "the delivery")


@pytest.mark.clear_text
def test_client_that_says_no_more_hears_of_its_recipients(gateways, peers):
    """The same before there is a message: each command sent is answered, then the session is over."""
    peer = peers(delay={"rcpt": 0.3})
    gateway = gateways(relay_transport=peer.transport)
    with smtp_client.Smtp(gateway.address) as client:
        client.send(b"EHLO client.example.net\r\nMAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@example.com>\r\n"
                    b"RCPT TO:<carol@example.com>\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.reply().code for _ in range(4)] == [250] * 4
        with pytest.raises(smtp_client.Closed):
            client.reply()
    gateway.wait_log("lost connection after RCPT from")


def test_client_that_vanishes_after_the_dot_has_its_mail_delivered_once(gateways, peers, mode):
    """It will send again, not knowing better; but what we do ourselves is once."""
    peer = peers(delay={"dot": 0.3})
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    client = smtp_client.Smtp(gateway.address)
    client.hello()
    client.envelope("bob@example.org", ["alice@example.com"])
    client.cmd("DATA")
    client.send(mail.message(token) + b".\r\n")
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    wait.until(lambda: peer.messages, "the mail")
    gateway.wait_queue_empty()
    gateway.stop()
    assert peer.count(token) == 1


@pytest.mark.clear_text
def test_client_that_shuts_its_sending_side(gateways, peers, mode):
    """`printf ... | nc -N`: everything in one go, then end of file; the replies are still wanted."""
    peer = peers(delay={"dot": 0.3})
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.send(b"EHLO x\r\nMAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n" + mail.message(token)
                    + b".\r\nQUIT\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        codes = [client.reply().code for _ in range(6)]
    assert codes == [250, 250, 250, 354, 250, 221]
    gateway.wait_queue_empty()
    wait.until(lambda: peer.count(token) == 1, "the mail")


def test_two_daemons_never_share_a_spool(gateways, peer):
    first = gateways(relay_transport=peer.transport)
    second = gateways(start=False, relay_transport=peer.transport, queue_directory=first.spool)
    second.start(ready=False)
    assert second.wait_exit() != 0
    said = "\n".join(second.lines) + second.stderr.decode()
    assert re.search(r"(?i)another|already|in use|lock", said), said
    assert send(first, mail.new_token()).code == 250
    first.run("postqueue", "-p", check=0)


def test_sighup_disturbs_nothing(gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        gateway.signal(signal.SIGHUP)
        gateway.wait_log(r"postfix/master\[\d+\]: reload")
        assert client.data(mail.message(token)).code == 250
    gateway.wait_queue_empty()
    assert peer.count(token) == 1
    assert send(gateway, mail.new_token()).code == 250


def test_sigint_stops_as_well(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    gateway.signal(signal.SIGINT)
    wait.until(lambda: gateway.process.poll() is not None, "the end")
    assert gateway.process.returncode == 0


def test_sigpipe_and_sigusr_do_not_kill(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    gateway.signal(signal.SIGPIPE)
    gateway.signal(signal.SIGCHLD)
    assert send(gateway, mail.new_token()).code == 250


def test_corrupt_spool_files_are_kept_apart(gateways, peer):
    """One byte of the body changed on disk: not delivered, not deleted, said."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue")
    peer.down()
    good, bad = mail.new_token(), mail.new_token()
    send(gateway, good)
    broken_id = send(gateway, bad).text.split()[-1]
    gateway.stop()
    path = gateway.spool / "queue" / broken_id
    data = bytearray(path.read_bytes())
    at = data.index(b"X-Token")
    data[at] ^= 1
    path.write_bytes(data)
    alien = broken_id[:-3] + "FFF"
    (gateway.spool / "queue" / alien).write_bytes(b"not a spool file\n")
    (gateway.spool / "queue" / "lost+found").write_bytes(b"not even named as one\n")
    (gateway.spool / "incoming").mkdir(exist_ok=True)
    (gateway.spool / "incoming" / "ABCDEF").write_bytes(b"half received")
    peer.up()
    gateway.start()
    wait.until(lambda: peer.count(good) == 1, "the good one")
    wait.until(lambda: (gateway.spool / "corrupt" / broken_id).exists(), "the bad one to be set aside")
    wait.until(lambda: (gateway.spool / "corrupt" / alien).exists(), "the alien to be set aside")
    assert [p.name for p in gateway.spool.rglob("lost+found")], "kept, wherever"
    assert gateway.grep(r"lost\+found")
    assert (gateway.spool / "corrupt" / broken_id).read_bytes() == bytes(data)
    assert not (gateway.spool / "incoming" / "ABCDEF").exists()
    assert gateway.grep(f"(?i)corrupt.*{broken_id}|{broken_id}.*corrupt")
    assert peer.messages == 1


def test_a_torn_record_at_the_end_is_ignored(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue")
    peer.down()
    token = mail.new_token()
    queue_id = send(gateway, token).text.split()[-1]
    gateway.wait_log("status=deferred")
    gateway.kill()
    with open(gateway.spool / "queue" / queue_id, "ab") as file:
        file.write(b'attempt 1763770300 rcpt=0 sent 2.0.0 "250 2.0.0 <al')
    peer.up()
    gateway.start()
    gateway.wait_queue_empty()
    assert peer.count(token) == 1


def test_spool_files_are_private(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue")
    peer.down()
    send(gateway, mail.new_token())
    for name in gateway.spool_files("queue"):
        assert (gateway.spool / name).stat().st_mode & 0o077 == 0, name
    peer.up()
    gateway.wait_queue_empty()


def test_expired_mail_is_held_not_lost(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no", maximal_queue_lifetime="2s")
    peer.fail("dot", "4xx")
    queue_id = send(gateway, mail.new_token()).text.split()[-1]
    gateway.wait_log(rf"qmgr\[\d+\]: {queue_id}: from=<bob@example\.org>, status=expired", 12)
    wait.until(lambda: [q for q in gateway.postqueue() if q["queue_id"] == queue_id and q["queue_name"] == "hold"],
               lambda: f"the mail on hold: {gateway.postqueue()}")
    peer.lift()
    gateway.flush()
    time.sleep(1)
    assert peer.messages == 0


def test_maildir_transport(gateways, tmp_path_factory, mode):
    import pathlib
    import tempfile
    with tempfile.TemporaryDirectory(prefix="mxgate-md-") as top:
        maildir = pathlib.Path(top) / "mail"
        gateway = gateways(relay_transport=f"maildir:{maildir}", delivery_mode=mode)
        tokens = [mail.new_token() for _ in range(10)]
        for token in tokens:
            reply = send(gateway, token)
            assert reply.code == 250, reply
        gateway.wait_queue_empty()
        new = [p for p in maildir.rglob("new/*")]
        assert len(new) == 10
        assert not [p for p in maildir.rglob("tmp/*")]
        texts = [p.read_bytes().replace(b"\r\n", b"\n") for p in new]
        for token in tokens:
            body = mail.message(token).replace(b"\r\n", b"\n")
            assert sum(body in t for t in texts) == 1
        gateway.wait_log(r"to=<alice@example\.com>.*status=sent")


def test_two_gateways_side_by_side(gateways, peer):
    one = gateways(relay_transport=peer.transport)
    two = gateways(relay_transport=peer.transport)
    for gateway in (one, two):
        assert send(gateway, mail.new_token()).code == 250
        gateway.run("status", check=0)
