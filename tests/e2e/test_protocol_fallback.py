"""The incident: one protocol was set and the other spoken. Nothing is bounced; the mail goes by the right one."""

import subprocess

import pytest

from harness import mail, smtp_client, wait


def send(gateway, token, recipients=("alice@example.com",)):
    return smtp_client.send(gateway.address, "bob@example.org", list(recipients), mail.message(token))


def test_smtp_set_and_lmtp_spoken(gateways, dovecot, mode):
    gateway = gateways(relay_transport=f"smtp:[127.0.0.1]:{dovecot.lmtp_port}", delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token).code == 250
    dovecot.wait_mail("alice", token, 6)
    gateway.wait_queue_empty()
    assert not gateway.grep("status=bounced")
    assert gateway.grep(r"(?i)warning: .*lmtp"), "no plain word about the wrong protocol"


def test_lmtp_set_and_smtp_spoken(gateways, peers, mode):
    peer = peers(protocol="smtp", words=("PIPELINING", "SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES"))
    gateway = gateways(relay_transport=f"lmtp:[127.0.0.1]:{peer.port}", delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token, ["alice@example.com", "bob@example.com"]).code == 250
    gateway.wait_queue_empty()
    wait.until(lambda: peer.count(token) == 2, "both copies")
    assert not gateway.grep("status=bounced")
    assert gateway.grep(r"(?i)warning: .*smtp"), "no plain word about the wrong protocol"


def test_smtp_set_and_smtp_spoken(gateways, peers, mode):
    peer = peers(protocol="smtp", words=("PIPELINING", "SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES"))
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token, ["alice@example.com", "bob@example.com"]).code == 250
    gateway.wait_queue_empty()
    wait.until(lambda: peer.count(token) == 2, "both copies")


@pytest.mark.parametrize("set_to", ["lmtp", "smtp"])
def test_without_fallback_it_waits(set_to, gateways, peers, mode):
    """relay_protocol_fallback=no: deferred, told, and delivered by a restart with the right word."""
    peer = peers(protocol="smtp" if set_to == "lmtp" else "lmtp")
    gateway = gateways(relay_transport=f"{set_to}:[127.0.0.1]:{peer.port}", delivery_mode=mode, relay_protocol_fallback="no")
    token = mail.new_token()
    assert send(gateway, token).code == 250
    gateway.wait_log("status=deferred")
    gateway.wait_queued(1)
    assert not gateway.grep("status=bounced")
    assert peer.messages == 0
    gateway.stop()
    gateway.settings["relay_transport"] = peer.transport
    gateway.start()
    gateway.wait_queue_empty(6)
    assert peer.count(token) == 1


def test_real_smtp_sink_behind_lmtp(gateways, mode):
    """Postfix's own sink, which knows no LHLO."""
    from harness.ports import free_port
    port = free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{port}", "100"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        gateway = gateways(relay_transport=f"lmtp:[127.0.0.1]:{port}", delivery_mode=mode)
        assert send(gateway, mail.new_token()).code == 250
        gateway.wait_queue_empty(6)
        gateway.wait_log(r"status=sent \(250 2\.0\.0 Ok")
        assert not gateway.grep("status=bounced")
    finally:
        sink.kill()
        sink.wait()


@pytest.mark.parametrize("kind", ["http", "garbage", "5xx", "drop"])
def test_something_else_behind_the_port(kind, gateways, peer, mode):
    peer.fail("greeting", kind)
    gateway = gateways(relay_transport=peer.transport, delivery_mode=mode)
    token = mail.new_token()
    assert send(gateway, token).code == 250
    gateway.wait_log("status=deferred")
    peer.lift()
    gateway.wait_queue_empty(6)
    assert peer.count(token) == 1
    assert not gateway.grep("status=bounced")
