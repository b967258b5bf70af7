"""What the operator chooses of the log: JSON, masked addresses, the dialogue of some clients, the time zone."""

import datetime
import hashlib
import hmac
import json
import os
import re
import signal

import pytest

from harness import mail, smtp_client, wait

SENT = re.compile(r"status=sent")


def send(gateway, recipients=("alice@example.com",), sender="bob@example.org", token=None):
    return smtp_client.send(gateway.address, sender, list(recipients), mail.message(token or mail.new_token()))


def refused(gateway, recipient):
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.cmd("MAIL FROM:<bob@example.org>")
        client.cmd(f"RCPT TO:<{recipient}>")
        client.quit()


# --- JSON

def entries(gateway):
    return [json.loads(line) for line in gateway.lines]


@pytest.mark.smoke
def test_json_fields(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, log_format="json", delivery_mode="queue")
    token = mail.new_token()
    queue_id = send(gateway, token=token).text.split()[-1]
    refused(gateway, "x@other.net")
    gateway.wait_log("removed")
    gateway.wait_log("Relay access denied")
    gateway.stop()
    mine = [e for e in entries(gateway) if e.get("queue_id") == queue_id]
    merged = {k: v for e in mine for k, v in e.items()}
    assert [e["program"] for e in mine] == ["postfix/smtpd", "postfix/cleanup", "postfix/qmgr", "postfix/lmtp", "postfix/qmgr"]
    assert merged["client_address"] == "127.0.0.1" and merged["client_name"] == "unknown"
    assert merged["message_id"] == f"<{token}@test.example.org>"
    assert (merged["from"], merged["to"], merged["nrcpt"]) == ("bob@example.org", "alice@example.com", 1)
    assert merged["relay"] == f"127.0.0.1[127.0.0.1]:{peer.port}"
    assert (merged["dsn"], merged["status"]) == ("2.0.0", "sent")
    assert merged["size"] > 100 and merged["delay"] >= 0 and len(merged["delays"]) == 4
    assert merged["reason"].startswith("250 2.0.0 <alice@example.com> ")
    for e in mine:
        assert e["message"].startswith(f"{queue_id}: ") and e["severity"] == "info"
        assert e["pid"] == mine[0]["pid"]
    reject = next(e for e in entries(gateway) if "reply_code" in e)
    assert reject["message"].startswith("NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 554 5.7.1 <x@other.net>: Relay access denied; from=")
    assert (reject["stage"], reject["reply_code"], reject["dsn"]) == ("RCPT", 554, "5.7.1")
    assert (reject["to"], reject["proto"], reject["helo"]) == ("x@other.net", "ESMTP", "client.example.net")
    assert "queue_id" not in reject


def test_every_json_line_is_one_object_with_a_time(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, log_format="json")
    with smtp_client.Smtp(gateway.address) as client:
        client.cmd(b'HELO "\\\x01\xff')
        client.cmd(b'MAIL FROM:<"q\\\\"@example.org>')
        client.cmd(b"RCPT TO:<\"a\\\"b\"@other.net>")
        client.cmd(b'FOO: "\\')
    gateway.wait_log("disconnect from")
    gateway.stop()
    for e in entries(gateway):
        datetime.datetime.fromisoformat(e["time"])
        assert e["severity"] in ("info", "warning", "error", "fatal")
        assert e["message"].startswith("‣ ") or e["program"].startswith("postfix/")
    assert any(e["message"].startswith("‣ INFO  Applying custom postfix setting: relay_transport=") for e in entries(gateway))


def test_json_when_the_start_is_refused(gateways, peer):
    gateway = gateways(start=False, relay_transport="uucp:x", log_format="json")
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    assert any(e["severity"] == "error" and "relay_transport" in e["message"] for e in entries(gateway))


# --- addresses

def all_kinds_of_lines(gateway, peer):
    """Mail that is sent, refused and deferred, with addresses in the upstream's words too."""
    token = mail.new_token()
    send(gateway, ["alice@example.com"], token=token)
    refused(gateway, "unknown1@example.com")
    refused(gateway, "carol@other.net")
    refused(gateway, "<bad carol@other.net")
    fault = peer.fail("dot", "4xx", times=1)
    send(gateway, ["dave@example.com"])
    gateway.wait_log("status=deferred")
    wait.until(lambda: fault.hits == 1, "the deferral")
    gateway.run("sendmail", "-f", "erin@example.net", "alice@example.com", input=b"Subject: x\n\nx\n", check=0)
    gateway.wait_log("uid=")
    gateway.wait_log("status=bounced|User doesn't exist")
    wait.until(lambda: len(gateway.grep("status=sent")) >= 3, lambda: f"three mails; {gateway.tail()}")
    return token


LEAK = re.compile(r"alice|bob@|unknown1|carol|dave|erin")


@pytest.mark.parametrize("log_format", ["plain", "json"])
@pytest.mark.parametrize("value,shown", [("smart", "a*e@*******.com"), ("true", "a*e@*******.com"), ("paranoid", "*@*.com"),
                                         ("smart?mask_symbol=%23", "a#e@#######.com")])
def test_masked_everywhere(value, shown, log_format, gateways, peer):
    gateway = gateways(relay_transport=peer.transport, anonymize_emails=value, log_format=log_format)
    token = all_kinds_of_lines(gateway, peer)
    gateway.stop()
    assert not [line for line in gateway.lines if LEAK.search(line)]
    assert gateway.grep(re.escape(f"<{shown}>")), gateway.log()
    assert gateway.grep(f"message-id=<{token}@test.example.org>"), "message-ids stay"
    if log_format == "json":
        assert shown in {e.get("to") for e in entries(gateway)}


def test_hash_can_be_searched(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, anonymize_emails="hash?salt=hello%20world&prefix=%23")
    all_kinds_of_lines(gateway, peer)
    gateway.stop()
    digest = hmac.new(b"hello world", b"alice@example.com", hashlib.sha256).hexdigest()
    assert gateway.grep(f"to=<#{digest}>, relay="), gateway.log()
    assert not [line for line in gateway.lines if LEAK.search(line)]
    assert "hello" not in gateway.log(), "the salt is a secret"
    assert gateway.grep("anonymize_emails=\\(hidden\\)")


def test_unknown_filter_stops_the_start(gateways, peer):
    gateway = gateways(start=False, relay_transport=peer.transport, anonymize_emails="hsah?salt=geheim")
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    assert gateway.grep("smart, paranoid, hash\\?salt=WORDS, or noop"), gateway.log()
    assert "geheim" not in gateway.log()


@pytest.mark.parametrize("value", ["", "0", "noop"])
def test_not_masked(value, gateways, peer):
    gateway = gateways(relay_transport=peer.transport, anonymize_emails=value)
    send(gateway)
    gateway.wait_log("to=<alice@example.com>, relay=")


def test_masks_change_while_running(gateways, peer, tmp_path):
    ini = tmp_path / "mxgate.ini"
    ini.write_text("anonymize_emails =\n")
    gateway = gateways(relay_transport=peer.transport, MXGATE_INI=ini)
    send(gateway)
    gateway.wait_log("to=<alice@example.com>, relay=")
    ini.write_text("anonymize_emails = smart\n")
    gateway.signal(signal.SIGHUP)
    gateway.wait_log("reload --")
    send(gateway)
    gateway.wait_log(r"to=<a\*e@\*\*\*\*\*\*\*\.com>, relay=")


# --- the dialogue

def test_inbound_debugging(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, inbound_debugging="1")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello("client.example.net")
        client.cmd("AUTH PLAIN AGJvYgBodW50ZXIy")
        client.mail("bob@example.org", ["alice@example.com"], b"Subject: whisper\r\n\r\nwhisper\r\n")
        client.quit()
    gateway.wait_log("disconnect from")
    words = [line.split("]: ", 1)[1] for line in gateway.grep(r"smtpd\[\d+\]: [<>] ")]
    who = "unknown[127.0.0.1]"
    for want in (f"> {who}: 220 mx.example.com ESMTP Postfix", f"< {who}: EHLO client.example.net", f"> {who}: 250-mx.example.com",
                 f"< {who}: AUTH (not shown)", f"< {who}: MAIL FROM:<bob@example.org>", f"> {who}: 250 2.1.0 Ok",
                 f"< {who}: RCPT TO:<alice@example.com>", f"< {who}: DATA", f"> {who}: 354 End data with <CR><LF>.<CR><LF>",
                 f"< {who}: QUIT", f"> {who}: 221 2.0.0 Bye"):
        assert want in words, words
    assert words.index(f"> {who}: 220 mx.example.com ESMTP Postfix") == 0
    assert "whisper" not in gateway.log() and "AGJv" not in gateway.log()


@pytest.mark.clear_text
def test_debugging_leaves_health_checks_and_others_alone(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, debug_peer_list="192.0.2.0/24 127.0.0.2")
    send(gateway)
    gateway.wait_log("disconnect from")
    assert not gateway.grep(r"\]: [<>] ")
    mark = len(gateway.lines)
    with smtp_client.Smtp(gateway.address, source="127.0.0.2") as client:
        assert client.greeting.code == 220
    with smtp_client.Smtp(gateway.address, source="127.0.0.2") as client:
        client.quit()
    send(gateway)
    wait.until(lambda: len(gateway.grep("disconnect from")) == 2, "the last session's end")
    assert not [line for line in gateway.lines[mark:] if "127.0.0.2" in line]


# --- time

OFFSET = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}([+-]\d\d:\d\d) INFO ")


def offsets(gateway):
    return {m.group(1) for m in map(OFFSET.match, gateway.lines) if m}


@pytest.mark.smoke
@pytest.mark.parametrize("zone,offset", [("JST-9", "+09:00"), ("<-0330>3:30", "-03:30"), ("UTC", "+00:00"), ("", "+00:00")])
def test_posix_zones_need_no_files(zone, offset, gateways, peer):
    gateway = gateways(relay_transport=peer.transport, TZ=zone)
    send(gateway)
    gateway.wait_log("disconnect from")
    assert offsets(gateway) == {offset}, gateway.log()
    assert not gateway.grep("WARN  TZ="), gateway.log()


@pytest.mark.smoke
def test_zones_by_name(gateways, peer):
    if not os.path.exists("/usr/share/zoneinfo/Asia/Tokyo"):
        gateway = gateways(relay_transport=peer.transport, TZ="Asia/Tokyo")
        gateway.wait_log("WARN  TZ=Asia/Tokyo: there is no such time zone here, so times are in UTC")
        return
    gateway = gateways(relay_transport=peer.transport, TZ="Asia/Tokyo")
    send(gateway)
    gateway.wait_log("disconnect from")
    assert offsets(gateway) == {"+09:00"}, gateway.log()


@pytest.mark.smoke
def test_unknown_zone_is_said(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, TZ="Nowhere/City")
    send(gateway)
    gateway.wait_log("disconnect from")
    gateway.wait_log("^‣ WARN  TZ=Nowhere/City: there is no such time zone here, so times are in UTC; mount ")
    assert offsets(gateway) == {"+00:00"}, gateway.log()
