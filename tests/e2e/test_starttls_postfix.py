"""TLS with clients as Postfix has it: the same settings and the same commands to both, in clear text and inside TLS; their
replies, their Received headers and their lines in the log."""

import json
import re
import ssl

import pytest

from harness import certificates, mail, postfix, smtp_client, wait

pytestmark = pytest.mark.skipif(not postfix.available(), reason="needs root and Debian's postfix package")

STRANGERS = {"mynetworks": "192.0.2.0/24", "smtpd_peername_lookup": "no", "smtputf8_enable": "yes"}
TLS = object()  # the handshake
CIPHER = "ECDHE-RSA-AES128-GCM-SHA256"
ENVELOPE = ["MAIL FROM:<bob@example.org>", "RCPT TO:<alice@example.com>"]

CASES = {
    "may": ({"smtpd_tls_security_level": "may"},
            ["STARTTLS x", "EHLO h", "STARTTLS", TLS, "STARTTLS", "STARTTLS x", "RCPT TO:<alice@example.com>", "EHLO h",
             *ENVELOPE, "STARTTLS", "RSET", "QUIT"]),
    "none": ({"smtpd_tls_security_level": "none"}, ["EHLO h", "STARTTLS", "STARTTLS x", *ENVELOPE, "QUIT"]),
    "old names": ({"smtpd_use_tls": "yes", "smtpd_enforce_tls": "yes"}, ["EHLO h", *ENVELOPE, "QUIT"]),
    "in a transaction": ({"smtpd_tls_security_level": "may"},
                         ["EHLO h", *ENVELOPE, "STARTTLS", TLS, "DATA", "RCPT TO:<alice@example.com>", *ENVELOPE, "QUIT"]),
    "encrypt": ({"smtpd_tls_security_level": "encrypt"},
                ["MAIL FROM:<bob@example.org>", "HELO h", "EHLO h", "NOOP", *ENVELOPE, "DATA", "RSET", "VRFY x", "ETRN x",
                 "NONSENSE", "XCLIENT NAME=x", "XFORWARD NAME=x", "STARTTLS x", "STARTTLS", TLS, *ENVELOPE, "QUIT"]),
    "left out for all": ({"smtpd_tls_security_level": "may", "smtpd_discard_ehlo_keywords": "starttls"},
                         ["EHLO h", "STARTTLS", "STARTTLS x", "QUIT"]),
    "left out for one": ({"smtpd_tls_security_level": "may", "smtpd_discard_ehlo_keywords": "dsn",
                          "smtpd_discard_ehlo_keyword_address_maps": "inline:{127.0.0.9=starttls}"},
                         ["EHLO h", "STARTTLS", "QUIT"]),
    "left out for others": ({"smtpd_tls_security_level": "may", "smtpd_discard_ehlo_keywords": "dsn",
                             "smtpd_discard_ehlo_keyword_address_maps": "cidr:{{192.0.2.0/24 starttls}}"},
                            ["EHLO h", "STARTTLS", TLS, "EHLO h", "QUIT"]),
    "reject_plaintext_session": ({"smtpd_tls_security_level": "may", "smtpd_recipient_restrictions": "reject_plaintext_session"},
                                 ["EHLO h", *ENVELOPE, "STARTTLS", TLS, "EHLO h", *ENVELOPE, "QUIT"]),
    "plaintext_reject_code": ({"smtpd_client_restrictions": "warn_if_reject reject_plaintext_session, reject_plaintext_session",
                               "plaintext_reject_code": "554", "smtpd_tls_security_level": "may"},
                              ["EHLO h", *ENVELOPE, "QUIT"]),
}

LINES = re.compile(r"TLS connection established|reject(_warning)?: |disconnect from .*[eh]+lo=|warning: .*TLS")


def talk(address, commands):
    replies = []
    with smtp_client.Smtp(address, source="127.0.0.9", tls=False) as client:
        for command in commands:
            if command is TLS:
                context = smtp_client.context(maximum_version=ssl.TLSVersion.TLSv1_2)
                context.set_ciphers(CIPHER)
                client.secure(context)
                continue
            reply = client.cmd(command)
            # Postfix has ETRN, and another size limit
            replies.append([line for line in reply.lines if not re.match(r"250.(ETRN|SIZE|SMTPUTF8)", line)])
    return replies


def lines(text):
    return [re.sub(r"^.*smtpd\[\d+\]: |NOQUEUE: |[0-9A-F]{10,}: ", "", line) for line in text.splitlines()
            if "/smtpd[" in line and LINES.search(line)]


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("certificates"), "rsa")


def settings_of(case, pem):
    return {**STRANGERS, "smtpd_tls_chain_files": pem, "smtpd_tls_loglevel": "1", **case}


@pytest.mark.parametrize("name", CASES)
def test_as_postfix(name, gateways, peer, pem):
    case, commands = CASES[name]
    settings = settings_of(case, pem)
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no", **settings)
    with postfix.Postfix(**settings) as reference:
        expected = talk(reference.address, commands)
        reference.wait_log(r"disconnect from .*[eh]+lo=")
        wanted = lines(reference.log())
    assert talk(gateway.address, commands) == expected
    gateway.wait_log("disconnect from ")
    assert lines(gateway.log()) == wanted


def send(address, hello):
    with smtp_client.Smtp(address, source="127.0.0.9", tls=False) as client:
        context = smtp_client.context(maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(CIPHER)
        client.starttls(context)
        client.cmd(hello)
        reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(mail.new_token()))
        assert reply.code == 250, reply
        client.quit()


def received(text):
    """The first Received header, without id, date and the name of the mail system's host."""
    head = re.search(r"^Received: .*\r?\n(?:[ \t].*\r?\n)+", text, re.M).group(0).replace("\r\n", "\n")
    return re.sub(r" id [0-9A-F]+|; .*", "", head)


@pytest.mark.parametrize("hello", ["EHLO client.example.net", "HELO client.example.net"])
def test_received_header(hello, gateways, peer, pem):
    settings = settings_of({"smtpd_tls_security_level": "may", "smtpd_tls_received_header": "yes"}, pem)
    gateway = gateways(relay_transport=peer.transport, **settings)
    send(gateway.address, hello)
    with postfix.Postfix(**settings) as reference:
        send(reference.address, hello)
        queued = wait.until(lambda: reference.run("/usr/sbin/postqueue", "-j").stdout, "the mail in its queue")
        shown = reference.run("/usr/sbin/postcat", "-qh", json.loads(queued.splitlines()[0])["queue_id"]).stdout.decode()
    assert received(peer.deliveries[0].body.decode()) == received(shown)
