"""A mail comes out of Dovecot's IMAP as it went in by SMTP."""

import base64
import email.message
import email.policy
import os
import re

import pytest

from harness import mail, smtp_client
from harness.gateway import Gateway


@pytest.fixture(scope="module", params=["direct", "queue"])
def gateway(request, _dovecot):
    _dovecot.start()
    with Gateway(relay_transport=_dovecot.transport, delivery_mode=request.param) as gateway:
        yield gateway


def passes_unchanged(gateway, dovecot, body, token, mail_params="", expected=None):
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.mail("bob@example.org", ["alice@example.com"], body, mail_params)
        assert reply.code == 250, reply
    received = dovecot.wait_mail("alice", token, 20)
    assert mail.without_trace(received) == (body if expected is None else expected)
    return received


@pytest.mark.smoke
def test_a_mail_goes_in_and_comes_out(gateway, dovecot):
    token = mail.new_token()
    passes_unchanged(gateway, dovecot, mail.message(token), token)


def test_attachments(gateway, dovecot):
    token = mail.new_token()
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"] = "Bob <bob@example.org>"
    message["Subject"] = "Grüße — 見積書"
    message["X-Token"] = token
    message.set_content("See the attachments.\n\n.\n..\n.hidden\nFrom here on\n")
    message.add_alternative("<p>See the <b>attachments</b>.</p>\n", subtype="html")
    blob = os.urandom(300_000)
    message.add_attachment(blob, maintype="application", subtype="octet-stream", filename="naïve file.bin")
    message.add_attachment(blob[:1000], maintype="image", subtype="png", filename="a.png")
    received = passes_unchanged(gateway, dovecot, message.as_bytes(), token)
    parsed = email.message_from_bytes(received, policy=email.policy.default)
    assert [p.get_content() for p in parsed.iter_attachments()] == [blob, blob[:1000]]


def test_utf8_text_as_8bit(gateway, dovecot):
    token = mail.new_token()
    text = "Grüße aus 東京 🦊\r\n.\r\n..zwei Punkte\r\n\r\nEnde ohne Leerzeile".encode()
    body = mail.message(token, text + b"\r\n")
    passes_unchanged(gateway, dovecot, body, token, " BODY=8BITMIME")


def test_utf8_header(gateway, dovecot):
    token = mail.new_token()
    body = mail.message(token, subject="Grüße 東京")
    passes_unchanged(gateway, dovecot, body, token, " BODY=8BITMIME SMTPUTF8")


def test_every_8bit_byte(gateway, dovecot):
    """Latin-1, Shift-JIS, broken UTF-8: bytes are bytes."""
    token = mail.new_token()
    body = mail.message(token, bytes(range(128, 256)) * 8 + b"\r\n" + bytes(range(1, 10)) + b"\x0b\x0c\x0e\x1b\x7f\r\n")
    passes_unchanged(gateway, dovecot, body, token)


def test_long_lines_are_not_folded(gateway, dovecot):
    token = mail.new_token()
    body = mail.message(token, b"x" * 998 + b"\r\n" + b"y" * 2049 + b"\r\n" + b"z" * 150_000 + b"\r\n.\r\n" + b"." * 5000 + b"\r\n")
    passes_unchanged(gateway, dovecot, body, token)


def test_header_is_left_alone(gateway, dovecot):
    """Order, case, folding, duplicates and odd blanks: DKIM signs them all."""
    token = mail.new_token()
    body = (f"From: a@example.org\r\nX-Token: {token}\r\nSUBJECT:   folded\r\n\tand  folded \r\n again\t\r\nX-Empty:\r\n"
            "DKIM-Signature: v=1; a=rsa-sha256; bh=abc=;\r\n\tb=def==\r\nReceived: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
            "received: from w by x\r\nTo: alice@example.com\r\nTo: alice@example.com\r\nBcc: joe@example.com\r\n"
            "Return-Path: <forged@example.org>\r\n\r\nbody\r\n").encode()
    passes_unchanged(gateway, dovecot, body, token)


@pytest.mark.parametrize("text", [b"", b"\r\n", b"\r\n\r\n\r\n", b".\r\n", b"..\r\n", b".\r\n.\r\n.\r\n", b"a\r\n\r\n.\r\n"],
                         ids=["empty", "blank", "blanks", "dot", "dots", "three-dots", "dot-at-the-end"])
def test_texts_at_the_edge(text, gateway, dovecot):
    token = mail.new_token()
    passes_unchanged(gateway, dovecot, mail.message(token, text), token)


def test_line_ends_are_made_canonical(gateway, dovecot):
    """Bare LF becomes CRLF, a stray CR a blank, NUL a blank; nothing else changes."""
    token = mail.new_token()
    head = mail.message(token, b"")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        assert client.cmd("DATA").code == 354
        client.send(head + b"a\nb\n\nc\rd\r\r\ne\0f\r\n.\r\n")
        assert client.reply().code == 250
    assert mail.without_trace(dovecot.wait_mail("alice", token)) == head + b"a\r\nb\r\n\r\nc d \r\ne f\r\n"


def test_bdat_is_delivered_like_data(gateway, dovecot):
    token = mail.new_token()
    body = mail.message(token, b".\r\n..\r\nBDAT\r\n" + os.urandom(30_000).hex().encode() + b"\r\n.")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.envelope("bob@example.org", ["alice@example.com"])
        for i in range(0, len(body), 7001):
            last = i + 7001 >= len(body)
            chunk = body[i:i + 7001]
            client.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk)
        while True:
            reply = client.reply()
            assert reply.code == 250, reply
            if "queued as" in reply.text:
                break
    assert mail.without_trace(dovecot.wait_mail("alice", token)) == body + b"\r\n"


def test_25_megabytes(gateway, dovecot):
    token = mail.new_token()
    head = mail.message(token, b"")
    line = base64.b64encode(os.urandom(57)) + b"\r\n"
    body = head + line * ((26_214_400 - 2000 - len(head)) // len(line))
    assert len(body) > 26_000_000
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.mail("bob@example.org", ["alice@example.com"], body, f" SIZE={len(body)}")
        assert reply.code == 250, reply
    received = mail.without_trace(dovecot.wait_mail("alice", token, 30))
    assert received == body, f"{len(received)} bytes of {len(body)}"
    dovecot.clear("alice")


def test_30_recipients_get_one_each(gateway, dovecot):
    token = mail.new_token()
    users = [f"user{n:02}" for n in range(1, 31)]
    reply = smtp_client.send(gateway.address, "bob@example.org", [f"{u}@example.com" for u in users], mail.message(token))
    assert reply.code == 250
    for user in users:
        received = dovecot.wait_mail(user, token)
        assert mail.without_trace(received) == mail.message(token)


@pytest.mark.clear_text
def test_received_header(gateway, dovecot):
    token = mail.new_token()
    body = mail.message(token)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello("client.example.net")
        reply = client.mail("bob@example.org", ["alice@example.com"], body)
    queue_id = reply.text.split()[-1]
    received = dovecot.wait_mail("alice", token).replace(b"\r\n\t", b" ")
    shape = (rb"(?m)^Received: from client\.example\.net \(unknown \[127\.0\.0\.1\]\) by mx\.example\.com \(Postfix\) "
             rb"with ESMTP id " + queue_id.encode() +
             rb" for <alice@example\.com>; (Mon|Tue|Wed|Thu|Fri|Sat|Sun), {1,2}\d{1,2} [A-Z][a-z]{2} \d{4} "
             rb"\d\d:\d\d:\d\d [+-]\d{4}( \([A-Z0-9+-]+\))?\r$")
    assert re.search(shape, received), received


def test_received_header_names_nobody_when_there_are_several(gateway, dovecot):
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.cmd("HELO client.example.net")
        client.mail("bob@example.org", ["alice@example.com", "bob@example.com"], mail.message(token))
    received = dovecot.wait_mail("alice", token).replace(b"\r\n\t", b" ")
    ours = next(line for line in received.split(b"\r\n") if b"by mx.example.com" in line)
    assert b"with SMTP id " in ours
    assert b" for <" not in ours and b"bob@example.com" not in ours


def test_hostile_helo_stays_inside_the_header(gateway, dovecot):
    """Whatever a client calls itself, it writes no header of its own."""
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.cmd(b"HELO (x) by y; \x1b[31m <a@b>")
        reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(token))
        if reply.code != 250:
            client.cmd("HELO client.example.net")
            assert client.mail("bob@example.org", ["alice@example.com"], mail.message(token)).code == 250
    head = dovecot.wait_mail("alice", token).split(b"\r\n\r\n")[0]
    assert b"\x1b" not in head
    assert b"\x1b" not in gateway.log().encode("utf-8", "replace")


def test_recipient_is_passed_on_as_given(gateway, dovecot):
    """Case and +detail are the store's business."""
    token = mail.new_token()
    reply = smtp_client.send(gateway.address, "bob@example.org", ["Alice+Tag@Example.COM"], mail.message(token))
    assert reply.code == 250, reply
    assert b"Delivered-To: Alice+Tag@" in dovecot.wait_mail("alice", token)


def test_sender_reaches_return_path(gateway, dovecot):
    for sender in ("bounce+alice=example.com@lists.example.org", "", "SRS0=x=y=z=user@example.org"):
        token = mail.new_token()
        assert smtp_client.send(gateway.address, sender, ["alice@example.com"], mail.message(token)).code == 250
        assert dovecot.wait_mail("alice", token).startswith(b"Return-Path: <%s>\r\n" % sender.encode())


def test_postmaster_without_domain(gateway, dovecot):
    token = mail.new_token()
    assert smtp_client.send(gateway.address, "bob@example.org", ["postmaster"], mail.message(token)).code == 250
    dovecot.wait_mail("postmaster", token)


def test_many_mails_in_one_session(gateway, dovecot):
    tokens = [mail.new_token() for _ in range(50)]
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for token in tokens:
            assert client.mail("bob@example.org", ["joe@example.com"], mail.message(token)).code == 250
    for token in tokens:
        dovecot.wait_mail("joe", token)


@pytest.mark.smoke
def test_unix_socket(gateways, dovecot, mode):
    gateway = gateways(relay_transport=dovecot.unix_transport, delivery_mode=mode)
    token = mail.new_token()
    assert smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(token)).code == 250
    dovecot.wait_mail("alice", token)


def test_host_name_as_destination(gateways, dovecot, mode):
    gateway = gateways(relay_transport=f"lmtp:localhost:{dovecot.lmtp_port}", delivery_mode=mode)
    token = mail.new_token()
    assert smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(token)).code == 250
    dovecot.wait_mail("alice", token)
