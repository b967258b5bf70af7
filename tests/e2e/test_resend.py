"""mxgate resend: an operator tries a queued message again, or sends its content to somebody else."""

import re
import threading
import time

import pytest

from harness import mail, smtp_client, wait

BACK_OFF = {"delivery_mode": "queue", "verify_recipients": "no", "minimal_backoff_time": "1h", "maximal_backoff_time": "1h"}
OPERATOR = "ops@example.com"
SETTINGS = {"hostname": "mx.example.com", "allowed_domains": "example.com"}  # as in the container of the daemon


def put(gateway, recipients=("alice@example.com",), sender="bob@example.org", body=None, mail_params=""):
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert client.cmd(f"MAIL FROM:<{sender}>{mail_params}".encode()).code == 250
        for recipient in recipients:
            name, _, parameters = recipient.partition(" ")
            assert client.cmd(f"RCPT TO:<{name}> {parameters}".rstrip().encode()).code == 250
        reply = client.data(body or mail.message(mail.new_token()))
        assert reply.code == 250, reply
        return reply.text.split()[-1]


def state(gateway, queue_id):
    return {e["queue_id"]: e["queue_name"] for e in gateway.postqueue()}.get(queue_id)


def wait_state(gateway, queue_id, want):
    wait.until(lambda: state(gateway, queue_id) == want, lambda: f"{queue_id} to be {want}; it is {state(gateway, queue_id)}")


def said(gateway, *arguments):
    done = gateway.run("resend", *arguments, check=0, env=SETTINGS)
    assert done.stderr == b""
    return done.stdout.decode()


def refused(gateway, code, *arguments):
    done = gateway.run("resend", *arguments, check=code)
    assert done.stdout == b""
    return done.stderr.decode()


@pytest.fixture
def gateway(gateways, peer):
    """Nothing comes by itself: what was deferred waits for an hour, and nobody is told of what is on hold."""
    return gateways(relay_transport=peer.transport, **BACK_OFF)


def failed(gateway, peer, **more):
    """A message on hold: the upstream refused it for good."""
    fault = peer.fail("dot", "5xx")
    queue_id = put(gateway, **more)
    wait_state(gateway, queue_id, "hold")
    peer.lift()
    assert fault.hits >= 1
    return queue_id


# --- again

def test_failed(gateway, peer):
    queue_id = failed(gateway, peer)
    assert said(gateway, queue_id) == (
        f"{queue_id}: was on hold (failed), is tried again now\n"
        "    <alice@example.com>: until now: host 127.0.0.1[127.0.0.1] said: 554 5.3.0 Permanent trouble "
        "(in reply to end of DATA command)\n")
    gateway.wait_queue_empty()
    assert peer.messages == 1
    assert gateway.grep(rf"postsuper\[\d+\]: {queue_id}: requeued$")


def test_deferred_and_failed(gateway, peer):
    """One waits, one failed: both are tried, the others are left alone."""
    peer.fail("dot", "4xx", nth=0)
    peer.fail("dot", "5xx", nth=1)
    token = mail.new_token()
    queue_id = put(gateway, ["a@example.com", "b@example.com", "c@example.com"], body=mail.message(token))
    gateway.wait_log(f"{queue_id}: to=<b@example.com>.*status=bounced")
    wait_state(gateway, queue_id, "deferred")
    peer.lift()
    text = said(gateway, queue_id)
    assert text.startswith(f"{queue_id}: was deferred, is tried again now\n    <a@example.com>: until now: ")
    assert "<b@example.com>" in text and "<c@example.com>" not in text
    gateway.wait_queue_empty()
    assert [peer.count(token, f"{who}@example.com") for who in "abc"] == [1, 1, 1]


def test_while_the_upstream_is_away(gateways, peer):
    """It is asked at once, not when its turn comes."""
    gateway = gateways(relay_transport=peer.transport, **{**BACK_OFF, "destination_probe_max": "10m"})
    peer.down()
    queue_id = put(gateway)
    gateway.wait_log(f"{queue_id}: to=.*status=deferred")
    wait.until(lambda: gateway.grep("is down"), "the destination to be down")
    time.sleep(1.2)  # the first probes are close together
    peer.up()
    said(gateway, queue_id)
    gateway.wait_queue_empty()


def test_held_by_an_order_and_expired(gateways, peer):
    peer.down()
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    held, expired = put(gateway), put(gateway)
    gateway.run("postsuper", "-h", held, "-e", expired, check=0)
    wait_state(gateway, expired, "hold")
    peer.up()
    assert "was on hold (by the operator), is" in said(gateway, held)
    assert "was on hold (expired), is" in said(gateway, expired)
    gateway.wait_queue_empty()
    assert peer.messages == 2


def test_whose_sender_was_told(gateways, peer):
    """He has his bounce: that recipient is not tried any more, and it is said."""
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    peer.fail("rcpt", "4xx", nth=0, times=1)
    token = mail.new_token()
    queue_id = put(gateway, ["late@example.com", "unknown1@example.com"], sender="bob@example.com", body=mail.message(token))
    gateway.wait_log(f"{queue_id}: sender non-delivery notification")
    wait_state(gateway, queue_id, "deferred")
    peer.lift()
    text = said(gateway, queue_id)
    assert "    <unknown1@example.com>: not tried: its sender was told that it failed\n" in text
    gateway.wait_queue_empty()
    assert peer.count(token, "late@example.com") == 1


def test_it_is_durable(gateways, peer):
    """What was said holds after kill -9."""
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    queue_id = failed(gateway, peer)
    peer.down()
    said(gateway, queue_id)
    gateway.kill()
    peer.up()
    gateway.start()
    gateway.wait_queue_empty()
    assert peer.messages == 1


# --- to somebody else

def resent_parts(body):
    """(our Received, the Resent- fields, the message as it was)."""
    match = re.match(rb"((?:Received: [^\n]*\n(?:[ \t][^\n]*\n)*))((?:Resent-[^\n]*\n(?:[ \t][^\n]*\n)*)+)(.*)", body, re.S)
    assert match, body[:600]
    return match.groups()


def test_to_another_address(gateway, peer):
    token = mail.new_token()
    body = mail.message(token)
    queue_id = failed(gateway, peer, body=body)
    text = said(gateway, queue_id, "to", "joe@example.com", "ann@example.com")
    new_id = text.partition(":")[0]
    assert text == (f"{new_id}: taken, from <bob@example.org> to <joe@example.com> <ann@example.com>\n"
                    f"{queue_id}: stays as it is, on hold (failed); postsuper -d {queue_id} removes it\n")
    gateway.wait_log(rf"qmgr\[\d+\]: {new_id}: removed$")
    assert gateway.grep(rf"pickup\[\d+\]: {new_id}: uid=\d+ from=<bob@example\.org> orig_id={queue_id}$")
    assert sorted(d.recipient for d in peer.find(token)) == ["ann@example.com", "joe@example.com"]
    received, resent, rest = resent_parts(peer.find(token)[0].body)
    assert b"from userid" in received and new_id.encode() in received
    assert re.fullmatch(rb"Resent-From: postmaster@example\.com\r\nResent-To: joe@example\.com,\r\n\tann@example\.com\r\n"
                        rb"Resent-Date: \w{3}, [^\r]+\r\nResent-Message-ID: <[0-9A-F.]+@mx\.example\.com>\r\n", resent), resent
    assert rest.startswith(b"Received: from client.example.net ") and mail.without_trace(rest) == body
    assert peer.find(token)[0].sender == "bob@example.org"
    # the original can still be had, and tried
    assert state(gateway, queue_id) == "hold"
    gateway.run("postsuper", "-d", queue_id, check=0)
    gateway.wait_queue_empty()


def test_while_it_is_deferred_to_its_own_recipient_too(gateway, peer):
    peer.down()
    queue_id = put(gateway)
    gateway.wait_log(f"{queue_id}: to=.*status=deferred")
    new_id = said(gateway, queue_id, "to", "alice@example.com").partition(":")[0]
    assert {e["queue_id"] for e in gateway.postqueue()} == {queue_id, new_id}
    peer.up()
    gateway.flush()
    gateway.wait_queue_empty()
    assert peer.messages == 2


def test_its_sender_gets_the_bounce(gateway, peer):
    """With ENVID and RET as he gave them; --sender: somebody else, and without these."""
    peer.down()
    queue_id = put(gateway, sender="bob@example.com", mail_params=" RET=HDRS ENVID=QQ+2B1")
    gateway.wait_log(f"{queue_id}: to=.*status=deferred")
    gateway.run("postsuper", "-h", queue_id, check=0)
    peer.up()

    def bounce_to(address):
        found = [d.body for d in peer.deliveries if d.recipient == address and "FROM:<>" in d.mail_line]
        return found[0] if found else None

    said(gateway, queue_id, "to", "unknown1@example.com")
    body = wait.until(lambda: bounce_to("bob@example.com"), "his bounce")
    assert b"Original-Envelope-Id: QQ+1\r\n" in body and b"text/rfc822-headers" in body
    assert b"Final-Recipient: rfc822; unknown1@example.com\r\n" in body
    said(gateway, queue_id, "to", "unknown2@example.com", "--sender", OPERATOR)
    body = wait.until(lambda: bounce_to(OPERATOR), "the operator's bounce")
    assert b"Original-Envelope-Id" not in body and b"text/rfc822-headers" not in body
    assert len([d for d in peer.deliveries if d.recipient == "bob@example.com"]) == 1
    # to nobody
    text = said(gateway, queue_id, "to", "unknown3@example.com", "--sender", "<>")
    new_id = text.partition(":")[0]
    assert ": taken, from <> to <unknown3@example.com>\n" in text
    wait_state(gateway, new_id, "hold")


def test_who_wanted_no_bounce_gets_none(gateway, peer):
    queue_id = failed(gateway, peer, sender="bob@example.net", recipients=["alice@example.com"])
    peer.down()
    never = put(gateway, ["alice@example.com NOTIFY=NEVER", "joe@example.com NOTIFY=NEVER"], sender="bob@example.com")
    gateway.run("postsuper", "-h", never, check=0)
    peer.up()
    new_id = said(gateway, never, "to", "unknown1@example.com").partition(":")[0]
    gateway.wait_log(rf"qmgr\[\d+\]: {new_id}: removed$")
    assert not [d for d in peer.deliveries if d.recipient == "bob@example.com"]
    assert state(gateway, queue_id) == state(gateway, never) == "hold"


def test_8bit_and_utf8(gateways, peers):
    peer = peers(words=("8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "PIPELINING"))
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    peer.down()
    token = mail.new_token()
    utf8 = mail.message(token).replace(b"Subject: test", "Subject: grüße".encode())
    seven, eight, both = put(gateway), put(gateway, mail_params=" BODY=8BITMIME"), \
        put(gateway, body=utf8, mail_params=" BODY=8BITMIME SMTPUTF8")
    gateway.run("postsuper", "-h", "ALL", check=0)
    peer.up()
    for queue_id, want in ((seven, ""), (eight, " BODY=8BITMIME"), (both, " BODY=8BITMIME SMTPUTF8")):
        mark = len(peer.deliveries)
        said(gateway, queue_id, "to", "joe@example.com")
        wait.until(lambda: len(peer.deliveries) > mark, "it to arrive")
        assert peer.deliveries[mark].mail_line.partition(">")[2] == want
    assert mail.without_trace(resent_parts(peer.deliveries[-1].body)[2]) == utf8
    said(gateway, seven, "to", "jörg@example.com")
    wait.until(lambda: len(peer.deliveries) > 3, "it to arrive")
    assert peer.deliveries[3].mail_line.endswith(" BODY=8BITMIME SMTPUTF8")
    assert "Resent-To: jörg@example.com\r\n".encode() in peer.deliveries[3].body


def test_of_any_size(gateways, peer):
    """As large as it may come in, and larger than what may come in today."""
    gateway = gateways(relay_transport=peer.transport, message_size_limit="20000000", **BACK_OFF)
    peer.down()
    body = mail.message(mail.new_token(), size=19_990_000)
    body += b"x" * (20_000_000 - len(body) - 2) + b"\r\n"
    assert len(body) == 20_000_000
    queue_id = put(gateway, body=body)
    gateway.run("postsuper", "-h", queue_id, check=0)
    peer.up()
    said(gateway, queue_id, "to", "joe@example.com")
    gateway.wait_queued(1)
    assert mail.without_trace(resent_parts(peer.deliveries[0].body)[2]) == body
    gateway.stop()
    gateway.settings["message_size_limit"] = "1000000"
    gateway.start()
    said(gateway, queue_id, "to", "ann@example.com")
    gateway.wait_queued(1)
    assert len(peer.deliveries) == 2 and len(peer.deliveries[1].body) > 20_000_000


def test_directly(gateways, peer):
    """delivery_mode=direct: what the upstream says of it is said here."""
    gateway = gateways(relay_transport=peer.transport, **{**BACK_OFF, "delivery_mode": "direct"})
    peer.down()
    queue_id = put(gateway)
    gateway.run("postsuper", "-h", queue_id, check=0)
    peer.up()
    wait.until(lambda: all(d["up"] for d in gateway.ask_status()["destinations"]), "the destination to be up")
    text = refused(gateway, 67, queue_id, "to", "unknown1@example.com")
    assert re.search(rf"^mxgate: fatal: {queue_id}: nothing was sent: 550 5\.1\.1 .*unknown1", text), text
    said(gateway, queue_id, "to", "joe@example.com")
    assert peer.messages == 1 and gateway.spool_files("queue") == [f"queue/{queue_id}"]


# --- refused

def test_no_way(gateway, peer):
    queue_id = failed(gateway, peer)
    text = refused(gateway, 69, queue_id, "to", "joe@example.com", "joe@example.net")
    assert text == (f"mxgate: fatal: {queue_id}: nothing was sent: 554 5.7.1 <joe@example.net>: Relay access denied (no way leads "
                    "there: its domain is not in relay_domains, and neither relayhost nor outbound=direct is set)\n")
    assert peer.messages == 0 and state(gateway, queue_id) == "hold"


USAGE = "mxgate: fatal: usage: mxgate resend [-c file] ID [to ADDRESS...] [--sender ADDRESS]\n"


def test_the_command_line(gateway, peer):
    queue_id = failed(gateway, peer)
    for arguments in ((), (queue_id, "joe@example.com"), (queue_id, "to"), (queue_id, "--sender", OPERATOR),
                      (queue_id, "to", "")):
        assert refused(gateway, 64, *arguments) == USAGE, arguments
    assert "invalid option" in refused(gateway, 64, "-x", queue_id)
    assert "bad mail queue ID: x/y" in refused(gateway, 64, "x/y")
    for nobody in ("AAAA1234", "00000000000000FF"):
        assert refused(gateway, 66, nobody) == f"mxgate: fatal: {nobody}: there is no such message in the queue\n"
    assert "it needs a domain" in refused(gateway, 64, queue_id, "to", "joe")
    assert "bad sender address: joe" in refused(gateway, 64, queue_id, "to", "joe@example.com", "--sender", "joe")
    assert state(gateway, queue_id) == "hold" and peer.messages == 0


def test_without_the_daemon(gateway, peer):
    queue_id = failed(gateway, peer)
    gateway.stop()
    assert refused(gateway, 69, queue_id) == ("mxgate: fatal: the mail system is down: nothing was done (postsuper -r "
                                              f"{queue_id} makes it due for when it runs)\n")
    assert refused(gateway, 75, queue_id, "to", "joe@example.com") == (
        "mxgate: fatal: the mail system is down: nothing was sent, try again later\n")


def test_damaged(gateway, peer):
    queue_id = failed(gateway, peer)
    path = gateway.spool / "queue" / queue_id
    path.write_bytes(path.read_bytes().replace(b"hello", b"hallo"))
    for arguments in ((queue_id,), (queue_id, "to", "joe@example.com")):
        text = refused(gateway, 65, *arguments)
        assert re.search(rf"^mxgate: fatal: {queue_id}: .*sum.* \(postcat shows what can be read\)$", text), text
    assert path.exists() and peer.messages == 0


def test_no_mail_is_taken(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    queue_id = failed(gateway, peer)
    drain = threading.Thread(target=gateway.run, args=("drain", "--timeout", "1s"))
    drain.start()
    gateway.wait_log("drain")
    text = refused(gateway, 75, queue_id, "to", "joe@example.com")
    assert text.startswith(f"mxgate: fatal: {queue_id}: nothing was sent: 421 4.3.2 ")
    drain.join()


# --- power loss

def test_an_id_that_was_told_is_in_custody(gateways, peer):
    """kill -9 at any moment: who was told an id finds its mail, whoever was not finds the original alone or both."""
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    queue_id = failed(gateway, peer, body=mail.message(mail.new_token(), size=300_000))
    peer.down()
    told = []
    for n in range(8):
        def resend():
            done = gateway.run("resend", queue_id, "to", f"n{n}@example.com")
            if done.returncode == 0:
                told.append(n)
            else:
                assert done.returncode == 75 and done.stdout == b"", done
        asker = threading.Thread(target=resend)
        asker.start()
        time.sleep(0.04 * n)
        if n == 7:
            asker.join()
        gateway.kill()
        asker.join()
        gateway.start()
        assert state(gateway, queue_id) == "hold"
    peer.up()
    gateway.flush()
    wait.until(lambda: {e["queue_id"] for e in gateway.postqueue()} == {queue_id}, "the others to go")
    assert 7 in told
    reached = [d.recipient for d in peer.deliveries]
    assert {f"n{n}@example.com" for n in told} <= set(reached)


# --- out

def test_to_the_outside(gateways, peer, peers):
    """Where there is a way; and what comes back comes to its sender."""
    out = peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, relayhost=f"[127.0.0.1]:{out.port}", **BACK_OFF)
    token = mail.new_token()
    fault = peer.fail("dot", "5xx")
    queue_id = put(gateway, sender="", body=mail.message(token))
    wait_state(gateway, queue_id, "hold")
    peer.lift()
    assert fault.hits == 1
    said(gateway, queue_id, "to", "joe@example.net", "ann@example.com")
    wait.until(lambda: out.count(token, "joe@example.net") == peer.count(token, "ann@example.com") == 1, "both to have it")
    said(gateway, queue_id, "to", "unknown1@example.net", "--sender", OPERATOR)
    wait.until(lambda: [d for d in peer.deliveries if d.recipient == OPERATOR and "FROM:<>" in d.mail_line], "the bounce")
    wait.until(lambda: [e["queue_id"] for e in gateway.postqueue()] == [queue_id], "the original alone")
