"""Log lines in Postfix's shape (FACTS 5.1, 5.2), read by people, pflogsumm, fail2ban and exporters."""

import re
import socket
import subprocess
import time

import pytest

from harness import mail, smtp_client, wait

PREFIX = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) [A-Z]+ postfix/"
PID = r"\[\d+\]: "
CLIENT = r"unknown\[127\.0\.0\.1\]"
DELAYS = r"delay=[0-9.]+, delays=[0-9.]+/[0-9.]+/[0-9.]+/[0-9.]+"


@pytest.fixture
def gateway(gateways, peer):
    return gateways(relay_transport=peer.transport)


def shape(gateway, program, text):
    return gateway.wait_log(PREFIX + program + PID + text + "$")


def send(gateway, recipients=("alice@example.com",), token=None):
    return smtp_client.send(gateway.address, "bob@example.org", list(recipients), mail.message(token or mail.new_token()))


@pytest.mark.clear_text
@pytest.mark.smoke
@pytest.mark.parametrize("delivery_mode", ["direct", "queue"])
def test_one_mail(delivery_mode, gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=delivery_mode)
    token = mail.new_token()
    queue_id = send(gateway, token=token).text.split()[-1]
    shape(gateway, "smtpd", f"connect from {CLIENT}")
    shape(gateway, "smtpd", f"{queue_id}: client={CLIENT}")
    shape(gateway, "cleanup", f"{queue_id}: message-id=<{token}@test\\.example\\.org>")
    shape(gateway, "qmgr", f"{queue_id}: from=<bob@example\\.org>, size=\\d+, nrcpt=1 \\(queue active\\)")
    shape(gateway, "lmtp", rf"{queue_id}: to=<alice@example\.com>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{peer.port}, "
          rf"(conn_use=\d+, )?{DELAYS}, dsn=2\.0\.0, status=sent \(250 2\.0\.0 <alice@example\.com> TESTPEER1:R1 Saved\)")
    shape(gateway, "qmgr", f"{queue_id}: removed")
    shape(gateway, "smtpd", f"disconnect from {CLIENT} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5")


def test_order_of_the_lines(gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    queue_id = send(gateway).text.split()[-1]
    gateway.wait_log(f"{queue_id}: removed")
    lines = [line.split("]: ", 1)[1] for line in gateway.grep(queue_id)]
    words = ["client=", "message-id=", "from=", "to=", "removed"]
    assert [next(w for w in words if w in line) for line in lines] == words


def test_message_without_id(gateway):
    with smtp_client.Smtp(gateway.address) as client:
        client.cmd("HELO x")
        client.mail("bob@example.org", ["alice@example.com"], b"Subject: x\r\n\r\nno id\r\n")
    gateway.wait_log(r"cleanup\[\d+\]: [0-9A-F]+: message-id=<>$")


def test_size_is_of_the_message(gateway, peer):
    """About what was sent (Postfix counts the message with its Received header)."""
    body = mail.message(mail.new_token(), size=10_000)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        queue_id = client.mail("bob@example.org", ["alice@example.com"], body).text.split()[-1]
    line = gateway.wait_log(f"{queue_id}: from=")
    size = int(re.search(r"size=(\d+)", line).group(1))
    assert len(body) <= size <= len(body) + 500


@pytest.mark.clear_text
def test_relay_denied(gateway):
    with smtp_client.Smtp(gateway.address) as client:
        client.hello("client.example.net")
        client.cmd("MAIL FROM:<bob@example.org>")
        client.cmd("RCPT TO:<x@other.net>")
        client.quit()
    shape(gateway, "smtpd", rf"NOQUEUE: reject: RCPT from {CLIENT}: 554 5\.7\.1 <x@other\.net>: Relay access denied; "
          r"from=<bob@example\.org> to=<x@other\.net> proto=ESMTP helo=<client\.example\.net>")
    shape(gateway, "smtpd", f"disconnect from {CLIENT} ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4")


@pytest.mark.clear_text
def test_unknown_recipient(gateway, peer):
    with smtp_client.Smtp(gateway.address) as client:
        client.cmd("HELO client.example.net")
        client.cmd("MAIL FROM:<bob@example.org>")
        client.cmd("RCPT TO:<unknown1@example.com>")
        client.quit()
    shape(gateway, "smtpd", rf"NOQUEUE: reject: RCPT from {CLIENT}: 550 5\.1\.1 <unknown1@example\.com>: Recipient address rejected: "
          r"undeliverable address: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.1\.1 <unknown1@example\.com> User doesn't exist: "
          r"unknown1@example\.com \(in reply to RCPT TO command\); from=<bob@example\.org> to=<unknown1@example\.com> "
          r"proto=SMTP helo=<client\.example\.net>")
    shape(gateway, "smtpd", f"disconnect from {CLIENT} helo=1 mail=1 rcpt=0/1 quit=1 commands=3/4")


def test_deferred_for_a_refused_connection(gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    peer.down()
    queue_id = send(gateway).text.split()[-1]
    where = rf"127\.0\.0\.1\[127\.0\.0\.1\]:{peer.port}"
    shape(gateway, "lmtp", f"connect to {where}: (Connection refused|Connection reset by peer|Broken pipe)")
    shape(gateway, "lmtp", rf"{queue_id}: to=<alice@example\.com>, relay=none, {DELAYS}, dsn=4\.4\.1, status=deferred "
          rf"\((delivery temporarily suspended: )?connect to {where}: (Connection refused|Connection reset by peer|Broken pipe)\)")


def test_bounced_by_the_upstream(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no")
    queue_id = send(gateway, ["unknown1@example.com", "full1@example.com", "alice@example.com"]).text.split()[-1]
    relay = rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{peer.port}, (conn_use=\d+, )?{DELAYS}"
    shape(gateway, "lmtp", rf"{queue_id}: to=<unknown1@example\.com>, {relay}, dsn=5\.1\.1, status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] "
          r"said: 550 5\.1\.1 <unknown1@example\.com> User doesn't exist: unknown1@example\.com \(in reply to RCPT TO command\)\)")
    shape(gateway, "lmtp", rf"{queue_id}: to=<full1@example\.com>, {relay}, dsn=5\.2\.2, status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] "
          r"said: 552 5\.2\.2 <full1@example\.com> Quota exceeded \(mailbox for user is full\) \(in reply to end of DATA command\)\)")
    shape(gateway, "lmtp", rf"{queue_id}: to=<alice@example\.com>, {relay}, dsn=2\.0\.0, status=sent \(.*\)")


def test_conn_use_is_shown_from_the_second_on(gateway):
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for _ in range(3):
            client.mail("bob@example.org", ["alice@example.com"], mail.message(mail.new_token()))
    gateway.wait_log(r"status=sent.*")
    assert gateway.grep(r"conn_use=2, delay="), gateway.tail()
    assert not gateway.grep(r"conn_use=1,")


@pytest.mark.clear_text
@pytest.mark.parametrize("after,sent", [("EHLO", ["EHLO x"]), ("MAIL", ["EHLO x", "MAIL FROM:<bob@example.org>"]),
                                        ("RCPT", ["EHLO x", "MAIL FROM:<bob@example.org>", "RCPT TO:<alice@example.com>"])])
def test_lost_connection(after, sent, gateway):
    client = smtp_client.Smtp(gateway.address)
    for line in sent:
        client.cmd(line)
    client.close()
    shape(gateway, "smtpd", f"lost connection after {after} from {CLIENT}")
    shape(gateway, "smtpd", f"disconnect from {CLIENT} ehlo=1.* commands={len(sent)}")


@pytest.mark.clear_text
def test_improper_errors_limit(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, smtpd_hard_error_limit=2)
    with smtp_client.Smtp(gateway.address) as client:
        client.cmd("FOO")
        client.cmd("FOO")
        assert client.reply().code == 421
    shape(gateway, "smtpd", f"too many errors after UNKNOWN from {CLIENT}")
    shape(gateway, "smtpd", f"disconnect from {CLIENT} unknown=0/2 commands=0/2")


def test_bare_connect_leaves_no_line(gateway):
    """The operator's `nc -z localhost 25` every 30 seconds (FACTS 2.5)."""
    mark = len(gateway.lines)
    for _ in range(20):
        socket.create_connection(gateway.address).close()
    with socket.create_connection(gateway.address, timeout=10) as sock:
        sock.recv(100)
    subprocess.run(["nc", "-z", "127.0.0.1", str(gateway.port)], check=True)
    send(gateway)
    gateway.wait_log("disconnect from")
    mine = [line for line in gateway.lines[mark:] if "smtpd[" in line]
    assert sum("disconnect from" in line for line in mine) == 1, mine
    assert sum(" connect from" in line for line in mine) == 1, mine
    assert not [line for line in mine if "lost connection" in line], mine


def test_control_characters_are_shown_harmlessly(gateway):
    """LOGINJ: CR, LF, ESC and UTF-8 controls from anybody become `?`; one event, one line."""
    with smtp_client.Smtp(gateway.address) as client:
        client.cmd(b"HELO evil\x1b[31m\x07\xc2\x9b\xff")
        client.cmd(b"MAIL FROM:<bob@example.org>")
        client.cmd(b"RCPT TO:<x\x1b@other.net>")
        client.cmd(b"RCPT TO:<x@other.net>")
        client.cmd(b"FOO\x1b\x08")
        client.quit()
    line = gateway.wait_log("Relay access denied")
    assert "\x1b" not in gateway.log() and "\x07" not in gateway.log()
    assert "?" in line and "\udcff" not in line, line


def test_hostile_upstream_reply_in_the_log(gateways, peer):
    from harness import lmtp_peer

    class Nasty(lmtp_peer.Connection):
        def do_data(self, rest):
            self.send(b"354 OK\r\n")
            self.body()
            self.forget()
            self.send(b"451 4.3.0 \x1b[31mred\x07 " + b"z" * 3000 + b"\r\n")

    original, lmtp_peer.Connection = lmtp_peer.Connection, Nasty
    try:
        gateway = gateways(relay_transport=peer.transport)
        send(gateway)
        line = gateway.wait_log("status=deferred")
    finally:
        lmtp_peer.Connection = original
    for connection in peer.open_connections():
        connection.leave = True
    assert "\x1b" not in line and "\x07" not in line
    assert len(line) < 4096
    gateway.flush()
    gateway.wait_queue_empty()


def test_start_and_stop_lines(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    shape(gateway, "master", r"daemon started -- version \S+.*")
    assert gateway.grep("^‣ INFO  "), "boky-style start-up lines:\n" + gateway.log()
    assert gateway.grep(r"^‣ INFO  .*relay_transport ?= ?lmtp:"), gateway.log()
    gateway.stop()
    assert gateway.grep(PREFIX + "master" + PID + "terminating on signal 15$"), gateway.tail()


@pytest.mark.parametrize("missing", ["allowed_domains", "relay_transport"])
def test_start_without_what_is_needed(missing, gateways, peer):
    """Reason and remedy, and exit 78 (EX_CONFIG)."""
    gateway = gateways(start=False, relay_transport=peer.transport)
    del gateway.settings[missing]
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    said = gateway.log() + gateway.stderr.decode()
    name = {"allowed_domains": "relay_domains|ALLOWED_DOMAINS", "relay_transport": "relay_transport|RELAY_TRANSPORT"}[missing]
    assert re.search(name, said), said


@pytest.mark.parametrize("name,value", [("relay_transport", "lmtp:"), ("relay_transport", "uucp:host"), ("message_size_limit", "many"),
                                        ("delivery_mode", "sideways"), ("listen", "127.0.0.1:99999"), ("smtpd_timeout", "-5"),
                                        ("allowed_domains", "exa mple..com")])
def test_bad_settings_stop_the_start(name, value, gateways, peer):
    gateway = gateways(start=False, **{"relay_transport": peer.transport, name: value})
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78, gateway.log()
    said = gateway.log() + gateway.stderr.decode()
    assert re.search("relay_domains|allowed_domains" if name == "allowed_domains" else name, said, re.I), said


def test_port_in_use(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    other = gateways(start=False, relay_transport=peer.transport, listen=f"127.0.0.1:{gateway.port}")
    other.start(ready=False)
    assert other.wait_exit() != 0
    assert re.search(r"(?i)in use", other.log() + other.stderr.decode())


def test_a_reader_that_stops_does_not_stop_the_mail(gateways, peer):
    """Blocking log drivers (FACTS 6.3): nobody reads stdout; mail goes on; what was dropped is counted and said."""
    gateway = gateways(start=False, relay_transport=peer.transport)
    # a reader of our own that can be halted
    import threading
    halted, go = threading.Event(), threading.Event()
    read_log = gateway._read_log

    class Halting:
        def __init__(self, stream):
            self.stream = stream

        def __iter__(self):
            for line in self.stream:
                if halted.is_set():
                    go.wait(60)
                yield line

        def close(self):
            self.stream.close()

    def reader(process):
        process.stdout = Halting(process.stdout)
        read_log(process)

    gateway._read_log = reader
    gateway.start()
    halted.set()
    count = 3000
    begun = time.monotonic()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for _ in range(count):
            assert client.mail("bob@example.org", ["alice@example.com"], mail.message(mail.new_token())).code == 250
    assert time.monotonic() - begun < 30 * wait.SCALE
    go.set()
    send(gateway)
    gateway.wait_log(r"dropped", 10)
    assert peer.messages == count + 1
