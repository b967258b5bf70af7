"""What tests of reports share: mail with parameters, the reports that came, taken apart by Python's email package."""

import email
import email.policy
import re

from . import mail, smtp_client, wait

LOCAL = "bob@example.com"  # there is a way to him
STRANGER = "bob@example.net"
UNKNOWN, FULL = "unknown1@example.com", "full1@example.com"  # refused by the peer at RCPT, and after the dot
OPERATOR = "postmaster@example.com"


def start(gateways, peer, **settings):
    gateway = gateways(**{"relay_transport": peer.transport, "verify_recipients": "no", "notify_recipient": "", **settings})
    gateway.wait_seen()
    return gateway


def send(address, token, recipients, sender=LOCAL, mail_params="", size=None, body=None):
    """Recipients may come with parameters: "a@b> NOTIFY=NEVER" is what stands between "<" and the last ">"."""
    with smtp_client.Smtp(address) as client:
        client.hello()
        assert client.cmd(f"MAIL FROM:<{sender}>{mail_params}").code == 250
        for recipient in recipients:
            name, _, parameters = recipient.partition(" ")
            reply = client.cmd(f"RCPT TO:<{name}> {parameters}".rstrip())
            assert reply.code == 250, reply
        reply = client.data(body or mail.message(token, size=size))
        assert reply.code == 250, reply
        return reply.text.split()[-1]


def reports(peer, recipient):
    return [d for d in peer.deliveries if d.recipient == recipient and "FROM:<>" in d.mail_line]


def wait_report(peer, recipient, count=1):
    wait.until(lambda: len(reports(peer, recipient)) >= count, lambda: f"a report to {recipient}")
    assert len(reports(peer, recipient)) == count
    return parsed(reports(peer, recipient)[-1].body)


def parsed(body):
    message = email.message_from_bytes(body, policy=email.policy.default)
    for part in message.walk():
        assert not part.defects, part.defects
    return message


def parts(message):
    assert message.get_content_type() == "multipart/report"
    notification, status, original = message.get_payload()
    return notification, status.get_payload(), original


NOT_COMPARED = {"date", "message-id", "received", "content-type", "x-postfix-queue-id", "arrival-date", "will-retry-until"}


def fields(message):
    return {k.lower(): re.sub(r"\s+", " ", str(v)) for k, v in message.items() if k.lower() not in NOT_COMPARED}


def outline(message):
    """What the two systems must have in common: types, fields, and whose original came back."""
    notification, blocks, original = parts(message)
    returned = original.get_content()
    if isinstance(returned, bytes):
        returned = returned.decode("utf-8", "surrogateescape")
    text = returned if isinstance(returned, str) else returned.as_string()
    return {
        "header": fields(message),
        "types": [part.get_content_type() for part in message.get_payload()],
        "described": [part["Content-Description"] for part in message.get_payload()],
        "encoded": [part["Content-Transfer-Encoding"] for part in message.get_payload()],
        "names": [list(block.keys()) for block in blocks],
        "status": [fields(block) for block in blocks],
        "reasons": re.findall(r"^<.*", re.sub(r"\n +", " ", notification.get_content()), re.M),
        "original": [line for line in text.splitlines() if re.match("Return-Path:|From:|To:|Subject:|Message-ID:", line)],
        "text": "0123456789abcdef" in text or "hello" in text.partition("\n\n")[2],
    }


def without_ports(value, *peers):
    """As text, to be compared."""
    ports = {str(p.port): "PORT" for p in peers}
    return re.sub(r"\d{4,5}", lambda m: ports.get(m[0], m[0]), repr(value))
