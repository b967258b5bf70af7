"""The same mail, and the same trouble, here and at a private Postfix: the reports that both make, field by field."""

import re

import pytest

from harness import mail, postfix, wait
from harness.reports import FULL, LOCAL, UNKNOWN, outline, reports, send, start, wait_report, without_ports

GIVEN = " RET=FULL ENVID=QQ314159+2B"
ANN = "ann@example.com ORCPT=rfc822;an+2Bn@example.org"
SOON = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}
LMTP, UTF8 = ("8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES"), ("8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES")


class Case:
    def __init__(self, recipients, mail_params="", size=None, text=None, sender=LOCAL, later=(), until=None, settings=None,
                 theirs=None, **peer):
        self.recipients, self.mail_params, self.size, self.text, self.sender = recipients, mail_params, size, text, sender
        self.later = later  # positions of recipients that hear 4xx
        self.until = until  # a line of the log after which they do no more
        self.settings, self.theirs, self.peer = settings or {}, theirs or {}, peer

    def run(self, peer, wait_log, address, body, token):
        faults = [peer.fail("rcpt", "4xx", nth=n) for n in self.later]
        send(address, token, self.recipients, sender=self.sender, mail_params=self.mail_params, body=body)
        if self.until:
            wait_log(self.until)
            peer.lift()
        return faults


CASES = {
    "refused at RCPT": Case([UNKNOWN]),
    "refused after the dot": Case([FULL]),
    "what the sender gave": Case([f"{UNKNOWN} ORCPT=rfc822;no+2Bbody@example.org NOTIFY=FAILURE,DELAY", f"{FULL} NOTIFY=NEVER",
                                  "ann@example.com"], GIVEN),
    "headers only": Case([UNKNOWN], " RET=HDRS"),
    "too large to return": Case([UNKNOWN, FULL], size=60_000),
    "too large to return, RET=FULL": Case([UNKNOWN], GIVEN, size=60_000),
    "large, RET=HDRS": Case([UNKNOWN], " RET=HDRS", size=60_000),
    "a larger limit": Case([UNKNOWN], GIVEN, size=60_000, settings={"bounce_size_limit": "100000"}),
    "8-bit": Case([UNKNOWN], " BODY=8BITMIME", text=b"hell\xc3\xb6 hello"),
    "expired": Case([ANN + " NOTIFY=FAILURE", "joe@example.com NOTIFY=NEVER", "sue@example.com"], GIVEN, later=(0, 1, 2),
                    until="status=expired", settings={**SOON, "maximal_queue_lifetime": "1s"}, theirs={"queue_run_delay": "1s"}),
    "late": Case([ANN, "joe@example.com NOTIFY=DELAY", "sue@example.com NOTIFY=FAILURE", "tom@example.com"], GIVEN,
                 later=(0, 1, 2), until="sender delay notification", settings={**SOON, "delay_warning_time": "1s"},
                 theirs={"queue_run_delay": "1s"}),
    "delivered": Case([ANN + " NOTIFY=SUCCESS,FAILURE", "joe@example.com NOTIFY=SUCCESS", "tom@example.com"], GIVEN,
                      settings={"lmtp_assume_final": "yes"}),
    "handed to who may be no mail store": Case(["ann@example.com NOTIFY=SUCCESS"], settings={"lmtp_assume_final": "no"}),
    "handed on by SMTP": Case([ANN + " NOTIFY=SUCCESS", "joe@example.com NOTIFY=SUCCESS"], GIVEN, protocol="smtp"),
}


@pytest.mark.skipif(not postfix.available(), reason="no Postfix here")
@pytest.mark.parametrize("case", CASES)
def test_as_postfix_does_it(gateways, peers, case):
    case = CASES[case]
    token = mail.new_token()
    body = mail.message(token, size=case.size, sender=LOCAL)
    if case.text:
        body = body.replace(b"hello", case.text)
    ours, theirs = peers(words=LMTP, **case.peer), peers(words=LMTP, **case.peer)
    gateway = start(gateways, ours, delivery_mode="queue", **case.settings)
    case.run(ours, gateway.wait_log, gateway.address, body, token)
    mine = wait_report(ours, LOCAL)
    with postfix.Postfix(transport=theirs.transport, **case.settings, **case.theirs) as other:
        case.run(theirs, other.wait_log, other.address, body, token)
        reference = wait_report(theirs, LOCAL)
    got, want = outline(mine), outline(reference)
    for key in want:
        assert without_ports(got[key], ours, theirs) == without_ports(want[key], ours, theirs), key
    gateway.wait_queue_empty()


COMPARED = re.compile(r"(?:To|Subject|Auto-Submitted|MIME-Version|Content-[\w-]+|Return-Path|X-Postfix-Sender|[\w-]+-Recipient"
                      r"|[\w-]+-Envelope-Id|Action|Status|Remote-MTA|Diagnostic-Code):.*|<.*>:.*|\t?report-type=.*|X-Token:.*")


def lines(body):
    """Of a report that Python's email package takes for 8-bit: the fields, folded ones whole. Not as they differ: what RFC 6533
    asks for in the type, and the type and form of the original recipient."""
    text = re.sub(r"\r\n(?:    |\t)", " ", body.decode("utf-8"))
    found = [re.sub(r"\s+", " ", line) for line in text.split("\r\n") if COMPARED.fullmatch(line)]
    found = [line for line in found if not line.startswith("Content-Type: multipart/report")]
    return [line.replace(r"\x{E4}", "ä").replace("Original-Recipient: rfc822;", "Original-Recipient: utf-8;") for line in found]


UTF8_CASES = {
    "refused": Case(["unknownä@example.com ORCPT=utf-8;unknown\\x{E4}@example.com"], " SMTPUTF8"),
    "delivered": Case(["ännä@example.com NOTIFY=SUCCESS"], " SMTPUTF8 ENVID=x1", settings={"lmtp_assume_final": "yes"}),
    "only the mail is": Case([UNKNOWN], " SMTPUTF8"),
}


@pytest.mark.skipif(not postfix.available(), reason="no Postfix here")
@pytest.mark.parametrize("case", UTF8_CASES)
def test_utf8_as_postfix_does_it(gateways, peers, case):
    case = UTF8_CASES[case]
    token = mail.new_token()
    body = mail.message(token)
    ours, theirs = peers(words=UTF8), peers(words=UTF8)
    gateway = start(gateways, ours, delivery_mode="queue", **case.settings)
    case.run(ours, gateway.wait_log, gateway.address, body, token)
    with postfix.Postfix(transport=theirs.transport, smtputf8_enable="yes", **case.settings) as other:
        case.run(theirs, other.wait_log, other.address, body, token)
        wait.until(lambda: reports(ours, case.sender) and reports(theirs, case.sender), "both reports")
    got, want = (lines(reports(p, case.sender)[0].body) for p in (ours, theirs))
    assert without_ports(got, ours, theirs) == without_ports(want, ours, theirs)
    assert len(want) > 15
