"""What goes upstream, byte for byte: only what was offered, only when it is due. (The peer itself records breaches of
these rules in every test; here it looks closer.)"""

import pytest

from harness import mail, smtp_client, wait
from harness.lmtp_peer import LHLO_WORDS, XCLIENT_WORD

OFFERS = {
    "nothing": (),
    "pipelining": ("PIPELINING",),
    "8bitmime": ("8BITMIME",),
    "size": ("SIZE 1000000",),
    "size-without-a-value": ("SIZE",),
    "dsn": ("DSN",),
    "smtputf8": ("SMTPUTF8", "8BITMIME"),
    "dovecot": LHLO_WORDS + (XCLIENT_WORD, "XRCPTFORWARD"),
    "xclient-unpipelined": (XCLIENT_WORD,),
    "xclient-some": ("XCLIENT ADDR",),
    "all": LHLO_WORDS + ("SIZE 0", "DSN", "SMTPUTF8", "STARTTLS", "BINARYMIME", "DELIVERBY", "AUTH PLAIN LOGIN", "X-UNHEARD-OF"),
}


def talk(gateway, peer, recipients=("alice@example.com", "bob@example.com"), text=b"hello\r\n", mail_params=" BODY=8BITMIME SMTPUTF8 SIZE=500 RET=HDRS ENVID=e1",
         rcpt_params=" NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@example.com"):
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert client.cmd(f"MAIL FROM:<bob@example.org>{mail_params}").code == 250
        for recipient in recipients:
            assert client.cmd(f"RCPT TO:<{recipient}>{rcpt_params}").code == 250
        reply = client.data(mail.message(token, text))
        assert reply.code == 250, reply
        client.quit()
    gateway.wait_queue_empty()
    wait.until(lambda: peer.count(token) == len(recipients), "the mail")
    return token


@pytest.mark.parametrize("verify", ["yes", "no"])
@pytest.mark.parametrize("offer", OFFERS, ids=list(OFFERS))
def test_only_what_was_offered(offer, verify, gateways, peers, mode):
    peer = peers(words=OFFERS[offer], strict=True)
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, verify_recipients=verify,
                       lmtp_connection_idle_time="200ms")
    for _ in range(2):
        talk(gateway, peer)
    wait.until(lambda: not peer.open_connections(), "the sessions to be closed")
    assert not peer.violations, peer.violations
    assert not gateway.grep("status=deferred")
    assert any(c.commands[-1:] == [b"QUIT"] for c in peer.connections), "no session was ended by QUIT"


@pytest.mark.parametrize("offer", ["nothing", "pipelining", "smtputf8", "all"])
def test_smtp_upstream(offer, gateways, peers, mode):
    peer = peers(protocol="smtp", words=tuple(w for w in OFFERS[offer]), strict=True)
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    talk(gateway, peer)
    assert not gateway.grep("status=deferred")


def test_ehlo_refused_helo_taken(gateways, peers):
    """An old SMTP server (RFC 5321 4.1.4)."""
    peer = peers(protocol="smtp", words=())
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no", relay_protocol_fallback="no")
    peer.fail("lhlo", "500", times=1)
    talk(gateway, peer, mail_params="", rcpt_params="")


def mail_lines(peer, token):
    return {d.mail_line for d in peer.find(token)}


def test_parameters_that_are_offered_are_passed_on(gateways, peers):
    peer = peers(words=("PIPELINING", "8BITMIME", "SIZE 1000000", "DSN", "SMTPUTF8"))
    gateway = gateways(relay_transport=peer.transport)
    token = talk(gateway, peer)
    line = mail_lines(peer, token).pop()
    for word in ("BODY=8BITMIME", "RET=HDRS", "ENVID=e1", "SIZE="):
        assert word in line, line
    rcpts = [c for connection in peer.connections for c in connection.commands if c.startswith(b"RCPT") and b"NOTIFY" in c]
    assert rcpts and all(b"ORCPT=rfc822;x@example.com" in c for c in rcpts)


def test_size_upstream_too_small(gateways, peers):
    """552 5.3.4 to MAIL is about this message: the sender hears it, in the session or by record."""
    peer = peers(words=("SIZE 1000",))
    gateway = gateways(relay_transport=peer.transport, delivery_mode="direct")
    reply = smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(mail.new_token(), size=5000))
    assert reply.code == 250 or 500 <= reply.code < 560, reply


def test_xclient(gateways, peers, mode):
    """Our client's address and our queue id reach Dovecot; TIMEOUT is our own limit after the dot (FACTS 4.3)."""
    peer = peers(words=LHLO_WORDS + (XCLIENT_WORD,), strict=True)
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, lmtp_data_done_timeout="77s")
    token = mail.new_token()
    for source in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):
        with smtp_client.Smtp(gateway.address, source=source) as client:
            client.cmd("HELO a+b=c.example.net")
            reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(token))
            assert reply.code == 250
        queue_id = reply.text.split()[-1]
        gateway.wait_queue_empty()
        delivery = wait.until(lambda: peer.find(token), "the mail")[-1]
        said = [c for c in delivery.connection.commands if c.startswith(b"XCLIENT")]
        last = said[-1].decode()
        assert f"ADDR={source}" in last, last
        assert f"SESSION={queue_id}" in last, last
        assert any("TIMEOUT=77" in c.decode() for c in said), said
        assert "HELO=a+2Bb+3Dc.example.net" in last or "HELO=a+2bb+3dc.example.net" in last, last
        peer.deliveries.clear()


def test_xclient_may_be_switched_off(gateways, peers):
    peer = peers(words=LHLO_WORDS + (XCLIENT_WORD,), strict=True)
    gateway = gateways(relay_transport=peer.transport, lmtp_send_xclient="no")
    talk(gateway, peer)
    assert not [c for connection in peer.connections for c in connection.commands if c.startswith(b"XCLIENT")]


def test_lhlo_name(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, lmtp_lhlo_name="gw.example.net")
    talk(gateway, peer, mail_params="", rcpt_params="")
    assert {c.commands[0] for c in peer.connections} == {b"LHLO gw.example.net"}


def test_a_session_is_reused_in_a_burst(gateways, peer, mode):
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for _ in range(30):
            assert client.mail("bob@example.org", ["alice@example.com"], mail.message(mail.new_token())).code == 250
    gateway.wait_queue_empty()
    assert len(peer.connections) <= 5, f"{len(peer.connections)} connections for 30 mails"
    wait.until(lambda: not peer.open_connections(), "idle sessions to be closed", 8)


@pytest.mark.parametrize("seed", range(8))
def test_any_bytes_in_one_mail_out(seed, gateways, peer):
    """SMUG-OUT as a property: whatever is sent as text, one DATA comes out, canonical and stuffed."""
    import random
    chance = random.Random(seed)
    gateway = gateways(relay_transport=peer.transport)
    pieces = [b"\r", b"\n", b"\r\n", b".", b"\0", b"a", b"\r\n.", b"\n.\n", b"\r.\r", b"\x85", b"\xe2\x80\xa8", b"MAIL FROM:<evil@example.org>", b"DATA", b" "]
    for _ in range(25):
        text = b"".join(chance.choice(pieces) for _ in range(chance.randrange(60)))
        while b"\r\n.\r\n" in b"\r\n" + text + b"\r\n":  # that would be the end, rightly
            text = (b"\r\n" + text + b"\r\n").replace(b"\r\n.\r\n", b"\r\n,\r\n")[2:-2]
        token = mail.new_token()
        before = peer.messages
        with smtp_client.Smtp(gateway.address) as client:
            client.hello()
            client.envelope("bob@example.org", ["alice@example.com"])
            client.cmd("DATA")
            client.send(mail.message(token, b"") + text + b"\r\n.\r\nNOOP\r\n")
            assert client.reply().code == 250, text
            assert client.reply().text == "250 2.0.0 Ok", text
        assert peer.messages == before + 1, text
        assert peer.count(token) == 1, text
    assert not peer.violations, peer.violations
