"""kill -9 around each step by which mail that cannot be delivered ends: nobody's notice is lost, and none comes twice
unless the kill fell between the upstream's reply to the notice and our record of it."""

import time

import pytest

from harness import mail, smtp_client, wait

SENDER, STRANGER, OPERATOR = "bob@example.com", "bob@example.net", "postmaster@example.com"
MAILS = 6
STEPS = [(calls, n) for calls, most in (("fsync", 6), ("fdatasync", 8), ("rename,renameat,renameat2", 5),
                                        ("unlink,unlinkat", 6)) for n in range(1, most + 1)]
STEPS += [("write,pwrite64,writev,pwritev,pwritev2", n) for n in range(4, 43, 3)]


def reports(peer, token):
    return [d for d in peer.deliveries if d.token == token and "FROM:<>" in d.mail_line]


@pytest.mark.parametrize("sender,told", [(SENDER, SENDER), (STRANGER, OPERATOR)], ids=["returned", "noticed"])
@pytest.mark.parametrize("calls,when", STEPS, ids=[f"{c.split(',')[0]}-{w}" for c, w in STEPS])
def test_kill_at_a_step_of_a_bounce(calls, when, sender, told, gateways, peer, inject):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no", notify_recipient="",
                       lmtp_destination_concurrency_limit="2")
    peer.down()
    tokens = [mail.new_token() for _ in range(MAILS)]
    for n, token in enumerate(tokens):
        recipients = ["full1@example.com"] if n % 2 else ["unknown1@example.com", "ann@example.com"]
        assert smtp_client.send(gateway.address, sender, recipients, mail.message(token, size=1500)).code == 250
    # what is deferred is in the files: from here on there are only results, reports and removals
    wait.until(lambda: len(gateway.spool_files("queue")) == MAILS, "all to be in the queue")
    wait.until(lambda: len(gateway.grep("disconnect from")) == MAILS, "the log to be written")
    inject(gateway, f"{calls}:signal=SIGKILL:when={when}")
    peer.up()

    def settled():
        """Told, and gone or on hold."""
        files = gateway.spool_files("queue")
        return all(reports(peer, t) for t in tokens) and len(files) == (0 if told == SENDER else MAILS)

    deadline = time.monotonic() + 8
    while gateway.process.poll() is None and not settled() and time.monotonic() < deadline:
        time.sleep(0.01)
    gateway.kill()
    before = {t: len(reports(peer, t)) for t in tokens}
    gateway.start()
    wait.until(settled, lambda: f"all to be told of: {[len(reports(peer, t)) for t in tokens]}, "
                                f"{gateway.spool_files()}\n{gateway.tail(60)}", 15)
    if told == OPERATOR:
        wait.until(lambda: {q["queue_name"] for q in gateway.postqueue()} == {"hold"}, "all to be on hold")
        assert gateway.ask_status()["operator_needed"] == MAILS
    doubles = 0
    for n, token in enumerate(tokens):
        found = reports(peer, token)
        assert {d.recipient for d in found} == {told}
        assert len(found) == 1 or before[token] == 1 and len(found) == 2, f"{len(found)} reports"
        doubles += len(found) - 1
        if n % 2 == 0:
            assert 1 <= peer.count(token, "ann@example.com") <= 2
    assert doubles <= 2, "more doubles than deliveries in flight"
    gateway.kill()
    gateway.start()  # what was told is not told again
    wait.until(lambda: gateway.ask_status()["operator_needed"] == (0 if told == SENDER else MAILS), "it to have read its spool")
    gateway.flush()
    wait.until(lambda: not [q for q in gateway.postqueue() if q["queue_name"] != "hold"], "nothing to be under way")
    assert sum(len(reports(peer, t)) for t in tokens) == MAILS + doubles
