"""Reports while mail waits (delay_warning_time), when it was delivered (NOTIFY=SUCCESS), and of what failed while the rest is
tried. Each comes once, over restarts too; tests/crash kills the process on the way."""

import time

import pytest

from harness import mail, smtp_client, wait
from harness.reports import FULL, LOCAL, STRANGER, UNKNOWN, parsed, parts, reports, send, start, wait_report

LATE = {"delay_warning_time": "1s", "delivery_mode": "queue"}
ANN, BEN = "ann@example.com", "ben@example.net"


def two(gateways, peers, **settings):
    """example.com (its senders can be told) at the first, example.net at the second, which is away."""
    first, second = peers(), peers()
    second.down()
    gateway = start(gateways, first, allowed_domains="example.com example.net",
                    transport_maps=f"inline:{{ example.net={second.transport} }}", **settings)
    return gateway, first, second


def told(gateway, what="delay"):
    return len(gateway.grep(f"sender {what} notification: "))


# --- delay

def test_late_is_told_once(gateways, peers):
    gateway, first, second = two(gateways, peers, **LATE)
    second.up()
    second.fail("rcpt", "4xx")
    token = mail.new_token()
    queue_id = send(gateway.address, token, [ANN, BEN], mail_params=" ENVID=e1")
    message = wait_report(first, LOCAL)
    notification, (general, late), original = parts(message)
    assert message["Subject"] == "Delayed Mail (still being retried)"
    assert general["X-Postfix-Queue-ID"] == queue_id and general["Original-Envelope-Id"] == "e1"
    assert (late["Final-Recipient"], late["Action"], late["Status"]) == (f"rfc822; {BEN}", "delayed", "4.3.0")
    assert late["Will-Retry-Until"] and "more than 1 second" in notification.get_content()
    assert original.get_content_type() == "text/rfc822-headers"
    report_id = gateway.wait_log(rf"bounce\[\d+\]: {queue_id}: sender delay notification: [0-9A-F]+$").split()[-1]
    gateway.wait_log(rf"{report_id}: removed$")  # else it is delivered again, as any mail
    gateway.kill()
    gateway.start()
    wait.until(lambda: len(gateway.grep(rf"{queue_id}: to=<{BEN}>.*status=deferred")) >= 4, "it to be tried again", 20)
    assert len(reports(first, LOCAL)) == 1 and told(gateway) == 1
    second.lift()
    gateway.flush()
    gateway.wait_queue_empty()
    assert second.count(token, BEN) == 1 and len(reports(first, LOCAL)) == 1


def test_late_where_one_of_several_is_away(gateways, peers):
    """Who waits is told of, and waits on; the others have it, and their mail goes on."""
    gateway, first, second = two(gateways, peers, **LATE)
    token = mail.new_token()
    queue_id = send(gateway.address, token, [ANN, BEN, "joe@example.com"])
    _, (_, late), _ = parts(wait_report(first, LOCAL))
    assert late["Final-Recipient"] == f"rfc822; {BEN}" and late["Diagnostic-Code"].startswith("X-Postfix; connect to 127.0.0.1")
    assert first.count(token, ANN) == first.count(token, "joe@example.com") == 1
    gateway.stop()
    gateway.start()
    second.up()
    gateway.wait_log(rf"{queue_id}: removed$", 15)
    gateway.wait_queue_empty()
    assert second.count(token, BEN) == 1 and len(reports(first, LOCAL)) == 1 and told(gateway) == 1


def test_late_by_notify(gateways, peers):
    gateway, first, second = two(gateways, peers, **LATE)
    quiet = send(gateway.address, mail.new_token(), [f"{BEN} NOTIFY=NEVER", "bea@example.net NOTIFY=FAILURE,SUCCESS"])
    send(gateway.address, mail.new_token(), [f"{BEN} NOTIFY=FAILURE", "bea@example.net NOTIFY=DELAY", "bob@example.net"])
    _, blocks, _ = parts(wait_report(first, LOCAL))
    assert [b["Final-Recipient"] for b in blocks[1:]] == ["rfc822; bea@example.net", "rfc822; bob@example.net"]
    wait.until(lambda: b'\ndelayed ' in (gateway.spool / 'queue' / quiet).read_bytes(), "it to be decided that nobody is to be told")
    time.sleep(1)
    assert told(gateway) == 1


def test_late_and_nobody_to_be_told(gateways, peers):
    """No way to the sender, no sender, on hold, or switched off, which it is by default."""
    gateway, first, second = two(gateways, peers, **LATE)
    held = send(gateway.address, mail.new_token(), [BEN])
    gateway.run("postsuper", "-h", held, check=0)
    for sender in (STRANGER.replace(".net", ".org"), ""):
        send(gateway.address, mail.new_token(), [BEN], sender=sender)
    time.sleep(2.5)
    assert told(gateway) == 0 and first.messages == 0
    gateway.run("postsuper", "-H", held, check=0)  # its time begins anew
    wait_report(first, LOCAL)
    gateway.stop()
    gateway.settings["delay_warning_time"] = "0"
    gateway.start()
    send(gateway.address, mail.new_token(), [BEN])
    time.sleep(2)
    assert told(gateway) == 1


def test_late_then_expired(gateways, peers):
    gateway, first, second = two(gateways, peers, maximal_queue_lifetime="4s", **LATE)
    queue_id = send(gateway.address, mail.new_token(), [BEN])
    gateway.wait_log(rf"{queue_id}: from=<bob@example\.com>, status=expired, returned to sender$", 15)
    gateway.wait_queue_empty()
    actions = [parts(parsed(d.body))[1][1]["Action"] for d in reports(first, LOCAL)]
    assert actions == ["delayed", "failed"]


def test_many_are_late(gateways, peers):
    """More than are told of at a time."""
    gateway, first, second = two(gateways, peers, **LATE)
    for _ in range(150):
        send(gateway.address, mail.new_token(), [BEN])
    wait.until(lambda: len(reports(first, LOCAL)) == 150, lambda: f"150 reports: {len(reports(first, LOCAL))}", 30)
    second.up()
    gateway.wait_queue_empty(30)
    assert len(reports(first, LOCAL)) == 150


# --- success

@pytest.mark.parametrize("away", [False, True])
def test_delivered(gateways, peer, mode, away):
    gateway = start(gateways, peer, delivery_mode=mode)
    if away:
        peer.down()
    token = mail.new_token()
    queue_id = send(gateway.address, token, [f"{ANN} NOTIFY=SUCCESS ORCPT=rfc822;a+2Bnn@example.org", "joe@example.com"],
                    mail_params=" ENVID=e1")
    peer.up()
    message = wait_report(peer, LOCAL)
    _, (general, delivered), original = parts(message)
    assert message["Subject"] == "Successful Mail Delivery Report"
    assert general["X-Postfix-Queue-ID"] == queue_id and general["Original-Envelope-Id"] == "e1"
    assert (delivered["Action"], delivered["Status"]) == ("delivered", "2.0.0")
    assert delivered["Original-Recipient"] == "rfc822;a+nn@example.org"
    assert original.get_content_type() == "text/rfc822-headers"
    report_id = gateway.wait_log(rf"bounce\[\d+\]: {queue_id}: sender delivery status notification: [0-9A-F]+$").split()[-1]
    gateway.wait_log(rf"qmgr\[\d+\]: {queue_id}: removed$")
    gateway.wait_log(rf"qmgr\[\d+\]: {report_id}: removed$")
    gateway.wait_queue_empty()
    assert peer.count(token, ANN) == 1 and len(reports(peer, LOCAL)) == 1


def test_delivered_by_dovecot(gateways, dovecot, mode):
    """It offers no DSN, so the report is ours; and Bob reads it there."""
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    token = mail.new_token()
    send(gateway.address, token, ["alice@example.com NOTIFY=SUCCESS"])
    dovecot.wait_mail("alice", token)
    found = wait.until(lambda: [m for m in dovecot.fetch("bob") if token.encode() in m], "Bob to have the report")
    assert len(found) == 1
    _, (_, delivered), _ = parts(parsed(found[0]))
    assert (delivered["Action"], delivered["Final-Recipient"]) == ("delivered", "rfc822; alice@example.com")
    assert "Saved" in delivered["Diagnostic-Code"]
    gateway.wait_queue_empty()


def test_the_upstream_tells_of_it(gateways, peers, mode):
    """Where it offers DSN the parameters go on, and no report of ours comes."""
    peer = peers(words=("8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN"))
    gateway = start(gateways, peer, delivery_mode=mode)
    queue_id = send(gateway.address, mail.new_token(), [f"{ANN} NOTIFY=SUCCESS,DELAY"], mail_params=" RET=HDRS ENVID=e1")
    gateway.wait_log(rf"{queue_id}: removed$")
    gateway.wait_queue_empty()
    assert peer.messages == 1 and "RET=HDRS ENVID=e1" in peer.deliveries[0].mail_line
    assert told(gateway, "delivery status") == 0


def test_handed_on_by_smtp(gateways, peers, mode):
    peer = peers(protocol="smtp")
    gateway = start(gateways, peer, delivery_mode=mode)
    send(gateway.address, mail.new_token(), [f"{ANN} NOTIFY=SUCCESS"])
    _, (_, block), _ = parts(wait_report(peer, LOCAL))
    assert block["Action"] == "relayed"
    gateway.wait_queue_empty()


def test_delivered_to_a_maildir(gateways, peer, mode, tmp_path):
    (tmp_path / "md").mkdir()
    for name in ("cur", "new", "tmp"):
        (tmp_path / "md" / name).mkdir()
    gateway = start(gateways, peer, delivery_mode=mode, allowed_domains="example.com example.net", sandbox="no",
                    transport_maps=f"inline:{{ example.net=maildir:{tmp_path}/md }}")
    send(gateway.address, mail.new_token(), [f"{BEN} NOTIFY=SUCCESS"])
    _, (_, block), _ = parts(wait_report(peer, LOCAL))
    assert block["Action"] == "delivered" and block["Diagnostic-Code"] == "X-Postfix; delivered to maildir"
    gateway.wait_queue_empty()


def test_some_delivered_and_some_failed(gateways, peer, mode):
    gateway = start(gateways, peer, delivery_mode=mode)
    send(gateway.address, mail.new_token(), [f"{ANN} NOTIFY=SUCCESS", f"{UNKNOWN} NOTIFY=SUCCESS,FAILURE", f"{FULL} NOTIFY=SUCCESS"])
    wait_report(peer, LOCAL, 2)
    gateway.wait_queue_empty()
    blocks = [parts(parsed(d.body))[1] for d in reports(peer, LOCAL)]
    assert sorted((b["Action"], b["Final-Recipient"]) for _, *rest in blocks for b in rest) == [
        ("delivered", f"rfc822; {ANN}"), ("failed", f"rfc822; {UNKNOWN}")]


def test_delivered_to_several_destinations(gateways, peers):
    """One report, when all is decided."""
    gateway, first, second = two(gateways, peers, delivery_mode="queue")
    token = mail.new_token()
    send(gateway.address, token, [f"{ANN} NOTIFY=SUCCESS", f"{BEN} NOTIFY=SUCCESS"])
    wait.until(lambda: first.count(token, ANN) == 1, "Ann to have it")
    gateway.kill()
    gateway.start()
    second.up()
    _, blocks, _ = parts(wait_report(first, LOCAL))
    assert [b["Final-Recipient"] for b in blocks[1:]] == [f"rfc822; {ANN}", f"rfc822; {BEN}"]
    gateway.wait_queue_empty()


def test_delivered_and_nobody_to_be_told(gateways, peer, mode):
    gateway = start(gateways, peer, delivery_mode=mode)
    for sender in (STRANGER, ""):
        send(gateway.address, mail.new_token(), [f"{ANN} NOTIFY=SUCCESS"], sender=sender)
    send(gateway.address, mail.new_token(), [f"{ANN} NOTIFY=FAILURE", "joe@example.com"])
    wait.until(lambda: len(gateway.grep("qmgr.*: removed$")) == 3, "all to be gone")
    gateway.wait_queue_empty()
    assert told(gateway, "delivery status") == 0 and peer.messages == 3


def test_switched_off(gateways, peer):
    gateway = start(gateways, peer, smtpd_discard_ehlo_keywords="dsn")
    with smtp_client.Smtp(gateway.address) as client:
        assert "DSN" not in client.hello().text
        assert client.cmd(f"MAIL FROM:<{LOCAL}>").code == 250
        assert client.cmd(f"RCPT TO:<{ANN}> NOTIFY=SUCCESS").code == 501


def test_a_report_that_cannot_be_kept_stops_no_mail(gateways, peer, inject):
    """Delivered directly, and the disk takes no report: the client hears 250 all the same, else the mail came twice."""
    gateway = start(gateways, peer, delivery_mode="direct")
    inject(gateway, "fsync:error=EIO")
    token = mail.new_token()
    queue_id = send(gateway.address, token, [f"{ANN} NOTIFY=SUCCESS"])
    gateway.wait_log(rf"error: {queue_id}: fsync message: .*: its sender is not told that it was delivered$")
    gateway.wait_queue_empty()
    assert peer.count(token, ANN) == 1 and peer.messages == 1


# --- failure, while others wait

def test_a_destination_that_is_away_holds_no_bounce_back(gateways, peers, mode):
    gateway, first, second = two(gateways, peers, delivery_mode=mode)
    token = mail.new_token()
    queue_id = send(gateway.address, token, [UNKNOWN, BEN, "unknown2@example.net", ANN])
    _, blocks, original = parts(wait_report(first, LOCAL))
    assert [b["Final-Recipient"] for b in blocks[1:]] == [f"rfc822; {UNKNOWN}"]
    assert original.get_content()["X-Token"] == token
    gateway.wait_log(rf"{gateway.wait_log('sender non-delivery notification').split()[-1]}: removed$")
    assert [q["queue_id"] for q in gateway.postqueue() if q["queue_name"] == "deferred"] == [queue_id]
    gateway.kill()
    gateway.start()
    second.up()
    _, blocks, _ = parts(wait_report(first, LOCAL, 2))
    assert [b["Final-Recipient"] for b in blocks[1:]] == ["rfc822; unknown2@example.net"]
    gateway.wait_log(rf"{queue_id}: removed$")
    gateway.wait_queue_empty()
    assert second.count(token, BEN) == first.count(token, ANN) == 1
    assert len(reports(first, LOCAL)) == 2 and told(gateway, "non-delivery") == 2


def test_a_destination_that_hangs_holds_no_bounce_back(gateways, peers):
    gateway, first, second = two(gateways, peers, delivery_mode="queue")
    second.up()
    hanging = second.fail("dot", "stall")
    token = mail.new_token()
    queue_id = send(gateway.address, token, [UNKNOWN, BEN])
    wait_report(first, LOCAL)
    wait.until(lambda: hanging.hits == 1, "the other to hang")
    assert [q["queue_name"] for q in gateway.postqueue()] == ["active"]
    second.lift()
    gateway.wait_log(rf"{queue_id}: removed$")
    gateway.wait_queue_empty()
    assert second.count(token, BEN) == 1 and len(reports(first, LOCAL)) == 1


def test_orders_while_it_is_told(gateways, peers):
    """Hold, release, delete of a message whose sender was just told of a part of it."""
    gateway, first, second = two(gateways, peers, delivery_mode="queue")
    ids = [send(gateway.address, mail.new_token(), [UNKNOWN, BEN]) for _ in range(12)]
    for n, queue_id in enumerate(ids):
        gateway.run("postsuper", ("-h", "-d", "-r")[n % 3], queue_id)
    wait.until(lambda: sum(q["queue_name"] == "hold" for q in gateway.postqueue()) == 4, "four to be on hold")
    gateway.run("postsuper", "-H", "ALL", check=0)
    second.up()
    gateway.wait_queue_empty(20)
    assert len({d.token for d in second.deliveries if d.recipient == BEN}) >= 8
