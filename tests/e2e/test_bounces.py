"""What cannot be delivered: returned to a sender to whom there is a way (whose domain is in relay_domains), else told to
notify_recipient and kept on hold. Reports are parsed by Python's email package; test_reports_postfix.py compares them with
Postfix's."""

import pytest

from harness import mail, wait
from harness.reports import FULL, LOCAL, OPERATOR, STRANGER, UNKNOWN, parts, reports, send, start, wait_report


def test_returned_to_its_sender(gateways, peer, mode):
    gateway = start(gateways, peer, delivery_mode=mode)
    token = mail.new_token()
    queue_id = send(gateway.address, token, [UNKNOWN, "ann@example.com", FULL])
    message = wait_report(peer, LOCAL)
    notification, (general, first, second), original = parts(message)
    assert message["Auto-Submitted"] == "auto-replied" and message["To"] == LOCAL
    assert general["X-Postfix-Queue-ID"] == queue_id
    assert [first["Final-Recipient"], second["Final-Recipient"]] == [f"rfc822; {UNKNOWN}", f"rfc822; {FULL}"]
    assert [first["Status"], second["Status"]] == ["5.1.1", "5.2.2"]
    assert UNKNOWN in notification.get_content() and "ann@" not in message.as_string()
    assert original.get_content()["X-Token"] == token
    report_id = gateway.wait_log(rf"bounce\[\d+\]: {queue_id}: sender non-delivery notification: [0-9A-F]+$").split()[-1]
    gateway.wait_log(rf"qmgr\[\d+\]: {queue_id}: removed$")
    gateway.wait_log(rf"qmgr\[\d+\]: {report_id}: removed$")
    gateway.wait_queue_empty()
    assert peer.count(token, "ann@example.com") == 1
    assert gateway.grep(rf"cleanup\[\d+\]: {report_id}: message-id=<{report_id}@mx\.example\.com>$")
    assert gateway.ask_status()["operator_needed"] == 0


def test_a_large_one_whole(gateways, peer):
    """From its file: as it was sent, to the byte."""
    gateway = start(gateways, peer, delivery_mode="queue", bounce_size_limit="3M")
    token = mail.new_token()
    body = mail.message(token, size=2_000_000)
    send(gateway.address, token, [UNKNOWN], body=body)
    wait_report(peer, LOCAL)
    assert body in reports(peer, LOCAL)[0].body
    gateway.wait_queue_empty()


def test_many_recipients(gateways, peer):
    """The report is larger than what is kept in memory."""
    gateway = start(gateways, peer, delivery_mode="queue")
    names = [f"unknown{n}@example.com" for n in range(300)]
    send(gateway.address, mail.new_token(), names)
    _, blocks, _ = parts(wait_report(peer, LOCAL))
    assert [b["Final-Recipient"].split()[-1] for b in blocks[1:]] == names
    assert len(reports(peer, LOCAL)[0].body) > 70_000
    gateway.wait_queue_empty()


def test_never_means_never(gateways, peer):
    gateway = start(gateways, peer)
    queue_id = send(gateway.address, mail.new_token(), [f"{UNKNOWN} NOTIFY=NEVER", "ann@example.com"])
    gateway.wait_log(rf"{queue_id}: removed$")
    gateway.wait_queue_empty()
    assert peer.messages == 1 and not gateway.grep("notification")


@pytest.mark.parametrize("sender", [STRANGER, ""])
def test_a_sender_who_cannot_be_told(gateways, peer, mode, sender):
    gateway = start(gateways, peer, delivery_mode=mode)
    token = mail.new_token()
    queue_id = send(gateway.address, token, [FULL, "ann@example.com"], sender=sender)
    message = wait_report(peer, OPERATOR)
    notification, (_, failed), original = parts(message)
    assert failed["Final-Recipient"] == f"rfc822; {FULL}"
    assert f"postsuper -r {queue_id}" in notification.get_content()
    assert ("no way to <bob@example.net>" if sender else "being a report itself") in notification.get_content()
    assert original.get_content_type() == "text/rfc822-headers"
    gateway.wait_log(rf"bounce\[\d+\]: {queue_id}: postmaster non-delivery notification: [0-9A-F]+$")
    wait.until(lambda: [(q["queue_id"], q["queue_name"]) for q in gateway.postqueue()] == [(queue_id, "hold")], "it alone")
    assert gateway.ask_status()["operator_needed"] == 1
    gateway.kill()
    gateway.start()
    gateway.flush()
    wait.until(lambda: [(q["queue_id"], q["queue_name"]) for q in gateway.postqueue()] == [(queue_id, "hold")], "it alone")
    gateway.run("postsuper", "-r", queue_id, check=0)  # fails again: that is news
    wait_report(peer, OPERATOR, 2)
    wait.until(lambda: gateway.ask_status()["operator_needed"] == 1, "it to be on hold")
    gateway.run("postsuper", "-d", queue_id, check=0)
    gateway.wait_queue_empty()
    assert peer.count(token, "ann@example.com") == 1


def test_a_bounce_that_fails_is_told_to_the_operator(gateways, peer):
    gateway = start(gateways, peer, delivery_mode="queue")
    send(gateway.address, mail.new_token(), [FULL], sender="full2@example.com")
    _, (general, failed), _ = parts(wait_report(peer, OPERATOR))
    assert failed["Final-Recipient"] == "rfc822; full2@example.com"
    bounce_id = general["X-Postfix-Queue-ID"]
    wait.until(lambda: [(q["queue_id"], q["queue_name"]) for q in gateway.postqueue()] == [(bounce_id, "hold")], "it alone")


@pytest.mark.parametrize("operator", ["full9@example.com", "unknown9@example.com"])
def test_a_notice_that_fails_makes_no_other(gateways, peer, operator):
    gateway = start(gateways, peer, delivery_mode="queue", notify_recipient=operator)
    queue_id = send(gateway.address, mail.new_token(), [FULL], sender=STRANGER)
    gateway.wait_log("warning: [0-9A-F]+: the notice cannot be delivered, and is dropped")
    wait.until(lambda: [(q["queue_id"], q["queue_name"]) for q in gateway.postqueue()] == [(queue_id, "hold")], "it alone")
    assert len(gateway.grep("notification")) == 1
    # nor does other mail to the operator that fails
    queue_id = send(gateway.address, mail.new_token(), [operator], sender=STRANGER)
    gateway.wait_log(rf"{queue_id}: cannot be delivered, kept on hold: nobody can be told")
    wait.until(lambda: gateway.ask_status()["operator_needed"] == 2, "both to be on hold")
    assert len(gateway.grep("notification")) == 1


@pytest.mark.parametrize("operator", ["none", "ops@elsewhere.example.net"])
def test_nobody_to_be_told(gateways, peer, operator):
    gateway = start(gateways, peer, delivery_mode="queue", notify_recipient=operator)
    send(gateway.address, mail.new_token(), [FULL], sender=STRANGER)
    gateway.wait_log("kept on hold: nobody can be told")
    wait.until(lambda: gateway.ask_status()["operator_needed"] == 1, "it to be on hold")
    assert peer.messages == 0


def test_a_flood_is_told_of_in_few_notices(gateways, peer):
    gateway = start(gateways, peer, delivery_mode="queue", notify_limit="2")
    for _ in range(5):
        send(gateway.address, mail.new_token(), [FULL], sender=STRANGER)
    wait.until(lambda: gateway.ask_status()["operator_needed"] == 5, "all to be on hold")
    wait.until(lambda: len(reports(peer, OPERATOR)) == 2, "two notices")
    assert len(gateway.grep("more than notify_limit=2 notices")) == 3
    gateway.stop()
    gateway.start()  # the limit is of a process; what was counted is not told of again
    wait.until(lambda: gateway.ask_status()["operator_needed"] == 5, "all to be on hold")
    send(gateway.address, mail.new_token(), [FULL], sender=STRANGER)
    wait_report(peer, OPERATOR, 3)


def test_expired_is_returned_when_there_is_a_way_again(gateways, peer):
    gateway = start(gateways, peer, delivery_mode="queue", maximal_queue_lifetime="1s")
    peer.down()
    token = mail.new_token()
    queue_id = send(gateway.address, token, ["ann@example.com"])
    gateway.wait_log(rf"qmgr\[\d+\]: {queue_id}: from=<bob@example\.com>, status=expired, returned to sender$", 15)
    gateway.wait_log(rf"{queue_id}: removed$")
    peer.up()
    _, (_, failed), original = parts(wait_report(peer, LOCAL))
    assert failed["Action"] == "failed" and failed["Status"] == "4.4.1"
    assert failed["Diagnostic-Code"].startswith("X-Postfix; connect to 127.0.0.1[127.0.0.1]")
    assert original.get_content()["X-Token"] == token
    gateway.wait_queue_empty()


def test_postsuper_e_returns_it(gateways, peer):
    gateway = start(gateways, peer, delivery_mode="queue")
    peer.fail("dot", "4xx", times=1)
    queue_id = send(gateway.address, mail.new_token(), ["ann@example.com"])
    gateway.wait_log(rf"{queue_id}: to=<ann@example.com>.*status=deferred")
    gateway.run("postsuper", "-h", queue_id, check=0)
    gateway.run("postsuper", "-f", queue_id, check=0)  # off hold, and expired
    gateway.wait_log(rf"{queue_id}: from=<bob@example\.com>, status=force-expired, returned to sender$")
    wait_report(peer, LOCAL)
    gateway.wait_queue_empty()
    assert peer.messages == 1


def test_the_others_are_not_waited_for(gateways, peer):
    """One fails, one is tried again: the sender hears of the first at once, and once."""
    gateway = start(gateways, peer, delivery_mode="queue", minimal_backoff_time="2s")
    later = peer.fail("rcpt", "4xx", nth=1, times=2)
    token = mail.new_token()
    queue_id = send(gateway.address, token, [UNKNOWN, "ann@example.com"])
    wait_report(peer, LOCAL)
    assert peer.count(token, "ann@example.com") == 0
    assert [q["queue_name"] for q in gateway.postqueue()] == ["deferred"]
    wait.until(lambda: later.hits == 1 and peer.count(token, "ann@example.com") == 1, "Ann to have it", 15)
    gateway.wait_log(rf"{queue_id}: removed$")
    gateway.wait_queue_empty()
    assert len(reports(peer, LOCAL)) == 1 and len(gateway.grep("notification")) == 1


def test_disk_trouble_comes_between(gateways, peer, inject):
    """The report cannot be written: the message stays on hold until it can."""
    gateway = start(gateways, peer, delivery_mode="queue")
    peer.down()
    queue_id = send(gateway.address, mail.new_token(), [UNKNOWN])
    stop = inject(gateway, "fsync:error=EIO")  # of new messages; records are written with fdatasync
    peer.up()
    gateway.wait_log(rf"error: {queue_id}: fsync message: .*: tried again later")
    assert peer.messages == 0 and len(gateway.spool_files("queue")) == 1
    stop()
    gateway.kill()
    gateway.start()
    wait_report(peer, LOCAL)
    gateway.wait_queue_empty()


def test_it_is_utf8_where_the_mail_was(gateways, peers):
    peer = peers(words=("8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"))
    gateway = start(gateways, peer, delivery_mode="queue")
    send(gateway.address, mail.new_token(), ["unknownä@example.com"], sender="bö@example.com", mail_params=" SMTPUTF8")
    wait.until(lambda: peer.messages == 1, "the report")
    report = peer.deliveries[0]
    assert "SMTPUTF8" in report.mail_line and "BODY=8BITMIME" in report.mail_line
    body = report.body.decode("utf-8")
    assert "report-type=global-delivery-status" in body and "\r\nTo: bö@example.com\r\n" in body
    assert "\r\nFinal-Recipient: utf-8; unknownä@example.com\r\n" in body
    assert "\r\nContent-Type: message/global\r\n" in body
    gateway.wait_queue_empty()
