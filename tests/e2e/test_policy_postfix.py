"""Restrictions say what Postfix says: the same settings and the same commands to both, reply by reply, and their lines in
the log."""

import re

import pytest

from harness import postfix, smtp_client

pytestmark = pytest.mark.skipif(not postfix.available(), reason="needs root and Debian's postfix package")

STRANGERS = "192.0.2.0/24"
# What the test's own client is to Postfix: nobody it trusts or knows by name.
STRANGER = {"mynetworks": STRANGERS, "smtpd_peername_lookup": "no", "smtputf8_enable": "yes",
            "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"}
PLAIN = ["EHLO client.example.net", "MAIL FROM:<bob@example.org>", "RCPT TO:<alice@example.com>"]


def helo(name):
    return [f"HELO {name}", "MAIL FROM:<bob@example.org>", "RCPT TO:<alice@example.com>"]


def sender(address):
    return ["RSET", f"MAIL FROM:<{address}>", "RCPT TO:<alice@example.com>"]


CASES = {
    "relay denied": ({}, ["HELO h", "MAIL FROM:<>", "RCPT TO:<x@other.example>", "RCPT TO:<x@[192.0.2.1]>",
                          "RCPT TO:<alice@example.com>"]),
    "client reject": ({"smtpd_client_restrictions": "permit_mynetworks, reject"}, PLAIN),
    "helo reject": ({"smtpd_helo_restrictions": "reject", "reject_code": "550"}, PLAIN),
    "sender defer": ({"smtpd_sender_restrictions": "defer", "defer_code": "451"}, PLAIN),
    "recipient reject": ({"smtpd_recipient_restrictions": "reject"}, PLAIN),
    "warn_if_reject": ({"smtpd_sender_restrictions": "warn_if_reject reject, permit",
                        "smtpd_recipient_restrictions": "warn_if_reject defer"}, PLAIN),
    "defer_if_permit": ({"smtpd_client_restrictions": "defer_if_permit"}, PLAIN + ["RCPT TO:<x@other.example>"]),
    "permit ends a list": ({"smtpd_sender_restrictions": "permit, reject",
                            "smtpd_recipient_restrictions": "permit_auth_destination, reject"}, PLAIN),
    "defer_unauth_destination": ({"smtpd_relay_restrictions": "permit_mynetworks, defer_unauth_destination"},
                                 ["HELO h", "MAIL FROM:<>", "RCPT TO:<x@other.example>"]),
    "non-fqdn sender": ({"smtpd_sender_restrictions": "reject_non_fqdn_sender"},
                        ["HELO h"] + sender("bob@host") + sender("bob") + sender("") + sender("b@[192.0.2.1]")
                        + sender("b@a.example.net.")),
    "non-fqdn recipient": ({"relay_domains": "example.com com", "smtpd_recipient_restrictions": "reject_non_fqdn_recipient"},
                           ["HELO h", "MAIL FROM:<>", "RCPT TO:<alice@com>", "RCPT TO:<alice@example.com>"]),
    "helo names": ({"smtpd_helo_restrictions": "reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname"},
                   helo("h") + helo("1.2.3.4") + helo("[1.2.3]") + helo("[192.0.2.1]") + helo("-a.b") + helo("a..b")
                   + helo("a_b.example.net.") + helo("2001:db8::1") + helo("[IPv6:::1]") + helo("a-.example.net")),
    "invalid helo": ({"smtpd_helo_restrictions": "reject_invalid_hostname"}, helo("1.2.3.4") + helo("1.2.3") + helo("h")),
    "unknown client": ({"smtpd_client_restrictions": "reject_unknown_client_hostname"}, PLAIN),
    "unknown reverse": ({"smtpd_client_restrictions": "reject_unknown_reverse_client_hostname"}, PLAIN),
    "multi-recipient bounce": ({"smtpd_recipient_restrictions": "reject_multi_recipient_bounce"},
                               ["HELO h", "MAIL FROM:<>", "RCPT TO:<alice@example.com>", "RCPT TO:<bob@example.com>"]),
    "data": ({"smtpd_data_restrictions": "reject_multi_recipient_bounce, reject_unauth_pipelining"},
             ["HELO h", "MAIL FROM:<>", "RCPT TO:<alice@example.com>", "RCPT TO:<bob@example.com>", "DATA", "DATA",
              "RSET", "MAIL FROM:<>", "RCPT TO:<alice@example.com>", "DATA\r\nNOOP", None]),
    "data reject": ({"smtpd_data_restrictions": "reject"}, PLAIN + ["DATA", "BDAT 3 LAST\r\nabc"]),
    "rates": ({"smtpd_client_message_rate_limit": "1", "smtpd_client_recipient_rate_limit": "1"},
              ["HELO h", "MAIL FROM:<>", "RCPT TO:<alice@example.com>", "RCPT TO:<bob@example.com>", "RSET",
               "MAIL FROM:<>"]),
    "pipelining": ({"smtpd_forbid_unauth_pipelining": "yes"}, ["EHLO h\r\nNOOP"]),
    "unknown domains": ({"smtpd_sender_restrictions": "reject_unknown_sender_domain"},
                        ["HELO h"] + sender("bob@missing.invalid") + sender("") + sender("b@[192.0.2.1]")),
}

LINE = re.compile(r"(reject|reject_warning|warning): (.*)")
ENDED = r"disconnect from \S+ .*\b[eh]+lo="  # not that of the harness, which says nothing


def talk(address, commands):
    replies = []
    with smtp_client.Smtp(address, source="127.0.0.9", tls=False) as client:  # an address without a name
        for command in commands:
            reply = client.cmd(command) if command is not None else client.reply()
            replies.append(reply.text if not (command or "").startswith("EHLO") or reply.code != 250 else "250")
    return replies


def lines(text):
    """What smtpd said of refusals, without times and ids."""
    found = [LINE.search(line) for line in text.splitlines()
             if "/smtpd[" in line and re.search(r"reject(_warning)?: (RCPT|DATA|MAIL) from|limit exceeded", line)]
    # Postfix says the name of the master.cf service, which has its port here
    return [re.sub(r"for service \S+", "for service smtp", m.group(0)) for m in found]


@pytest.mark.parametrize("name", CASES)
def test_as_postfix(name, gateways, peer):
    settings, commands = CASES[name]
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no",
                       **{"mynetworks": STRANGERS, "dns_timeout": "1s", **settings})
    with postfix.Postfix(**STRANGER | settings) as reference:
        expected = talk(reference.address, commands)
        reference.wait_log(ENDED)
        wanted = lines(reference.log())
    assert talk(gateway.address, commands) == expected
    gateway.wait_log(ENDED)
    assert lines(gateway.log()) == wanted
