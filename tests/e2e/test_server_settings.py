"""Settings of the server and the queue that no dialogue shows."""

import re

from harness import mail, smtp_client, wait


def send(gateway, sender="bob@example.org", recipients=("alice@example.com",)):
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.mail(sender, list(recipients), mail.message(mail.new_token()))
        client.quit()
    return reply


def ask(gateway, recipient):
    """The reply to RCPT."""
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert client.cmd("MAIL FROM:<bob@example.org>").code == 250
        return client.cmd(f"RCPT TO:<{recipient}>")


def test_inet_interfaces(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, listen="0, 127.0.0.2:0", inet_interfaces="loopback-only")
    said = re.findall(r"Listening on (\S+):\d+", gateway.log())
    assert said[0] == "127.0.0.1" and said[-1] == "127.0.0.2" and set(said[1:-1]) <= {"[::1]"}, said
    assert send(gateway).code == 250


def test_inet_interfaces_by_address(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, listen="0", inet_interfaces="127.0.0.3")
    assert re.findall(r"Listening on (\S+):\d+", gateway.log()) == ["127.0.0.3"]


def test_lifetime_of_bounces(gateways, peer):
    """Mail from the null sender is given up by its own limit, other mail is not."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no", bounce_queue_lifetime="1s")
    peer.fail("dot", "4xx")
    bounce = send(gateway, sender="").text.split()[-1]
    other = send(gateway).text.split()[-1]
    gateway.wait_log(rf"{bounce}: from=<>, status=expired", 12)
    names = {q["queue_id"]: q["queue_name"] for q in gateway.postqueue()}
    assert names[bounce] == "hold" and names[other] in ("deferred", "active"), names
    peer.lift()
    wait.until(lambda: peer.messages == 1, "the other mail", 10)


def test_soft_bounce_keeps_what_is_refused_for_good(gateways, peer):
    peer.fail("dot", "5xx")
    for mode in ("direct", "queue"):
        gateway = gateways(relay_transport=peer.transport, delivery_mode=mode, verify_recipients="no", soft_bounce="yes",
                           minimal_backoff_time="60s", maximal_backoff_time="60s")
        assert send(gateway).code == 250
        gateway.wait_log(r"status=deferred \(host .* said: 554 5\.3\.0")
        assert not gateway.grep("status=bounced")
        wait.until(lambda: [q["queue_name"] for q in gateway.postqueue()] == ["deferred"],
                   lambda: f"the mail to be deferred: {gateway.postqueue()}")
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no")
    assert send(gateway).code == 554


def test_soft_bounce_in_the_log(gateways, peer):
    """The log has the reply that the client heard."""
    gateway = gateways(relay_transport=peer.transport, soft_bounce="yes")
    assert ask(gateway, "ann@example.net").code == 454
    gateway.wait_log(r"NOQUEUE: reject: RCPT from \S+: 454 4\.7\.1 <ann@example\.net>: Relay access denied")


def test_refusals_are_not_remembered(gateways, peer):
    peer.fail("rcpt", "5xx")
    asked = []
    for setting in ("yes", "no"):
        gateway = gateways(relay_transport=peer.transport, address_verify_negative_cache=setting)
        before = sum(line.startswith(b"RCPT") for c in peer.connections for line in c.commands)
        assert [ask(gateway, "alice@example.com").code for _ in range(3)] == [554] * 3
        asked.append(sum(line.startswith(b"RCPT") for c in peer.connections for line in c.commands) - before)
    assert asked == [1, 3]


def test_no_size_limit(gateways, peer):
    """0 is no limit of ours, and the disk's floor is that of the default."""
    gateway = gateways(relay_transport=peer.transport, message_size_limit="0")
    body = b"Subject: big\r\n\r\n" + (b"x" * 76 + b"\r\n") * 400_000
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.mail("bob@example.org", ["alice@example.com"], body)
    assert reply.code == 250, reply
