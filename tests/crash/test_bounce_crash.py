"""kill -9 around each step by which somebody is told of mail: that it cannot be delivered, is late, was delivered, or failed in
part. No report is lost, and none comes twice unless the kill fell between the upstream's reply to it and our record of it."""

import time

import pytest

from harness import mail, reports as sending, smtp_client, wait

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


ANN, BEN, GONE = "ann@example.com", "ben@example.net", "unknown1@example.com"
PARTS = {  # recipients; settings; whether example.com's upstream is away as well until the kill may come
    "late": ([BEN], {"delay_warning_time": "2s"}, False),
    "delivered": ([f"{ANN} NOTIFY=SUCCESS", "joe@example.com NOTIFY=SUCCESS"], {}, True),
    "delivered-but-one": ([f"{ANN} NOTIFY=SUCCESS", "full1@example.com NOTIFY=SUCCESS"], {}, True),
    "failed-in-part": ([GONE, BEN], {}, True),
}


@pytest.mark.parametrize("what", PARTS)
@pytest.mark.parametrize("calls,when", STEPS[::2], ids=[f"{c.split(',')[0]}-{w}" for c, w in STEPS[::2]])
def test_kill_at_a_step_of_a_report(calls, when, what, gateways, peers, inject):
    """The sender is at `first`; example.net, at `second`, is away until the process was killed and has told what it had to."""
    recipients, settings, both_away = PARTS[what]
    first, second = peers(), peers()
    second.down()
    if both_away:
        first.down()
    gateway = gateways(relay_transport=first.transport, delivery_mode="queue", verify_recipients="no", notify_recipient="",
                       allowed_domains="example.com example.net", transport_maps=f"inline:{{ example.net={second.transport} }}",
                       lmtp_destination_concurrency_limit="2", **settings)
    tokens = [mail.new_token() for _ in range(MAILS)]
    for token in tokens:
        sending.send(gateway.address, token, recipients, sender=SENDER, size=1500)
    wait.until(lambda: len(gateway.spool_files("queue")) == MAILS, "all to be in the queue")
    wait.until(lambda: len(gateway.grep("disconnect from")) == MAILS, "the log to be written")
    inject(gateway, f"{calls}:signal=SIGKILL:when={when}")
    first.up()

    def settled():
        """Told, and gone or waiting."""
        left = MAILS if BEN in recipients else 0
        return all(reports(first, t) for t in tokens) and len(gateway.spool_files("queue")) == left

    deadline = time.monotonic() + 8
    while gateway.process.poll() is None and not settled() and time.monotonic() < deadline:
        time.sleep(0.01)
    gateway.kill()
    before = {t: len(reports(first, t)) for t in tokens}
    gateway.start()
    wait.until(settled, lambda: f"all to be told of: {[len(reports(first, t)) for t in tokens]}, "
                                f"{gateway.spool_files()}\n{gateway.tail(60)}", 20)
    gateway.kill()
    gateway.start()  # what was told is not told again
    second.up()
    gateway.wait_queue_empty(20)
    doubles = 0
    for token in tokens:
        found = reports(first, token)
        assert {d.recipient for d in found} == {SENDER}
        assert len(found) <= before[token] + 1 and len(found) <= 2, f"{before[token]}, then {len(found)} reports"
        doubles += len(found) - 1
        for name in recipients:
            address = name.split()[0]
            if address.startswith(("ann", "joe", "ben")):
                assert 1 <= first.count(token, address) + second.count(token, address) <= 2
    assert doubles <= 4, "more doubles than deliveries in flight at two kills"
