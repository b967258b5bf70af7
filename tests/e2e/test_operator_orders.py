"""postsuper on mail that could not be delivered: failed or expired, on hold, its operator told. An order begins anew what
can be tried; nobody is told twice of the same failure, and everybody of a new one."""

import itertools
import re
import subprocess

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import clean_environment, healthcheck_binary

OPERATOR = "postmaster@example.com"
STRANGER = "bob@example.net"  # there is no way to him: the operator is told
LATER = {"delivery_mode": "queue", "verify_recipients": "no", "minimal_backoff_time": "1h", "maximal_backoff_time": "1h",
         "notify_recipient": ""}


@pytest.fixture
def gateway(gateways, peer):
    return gateways(relay_transport=peer.transport, **LATER)


def put(gateway, recipients=("alice@example.com",)):
    reply = smtp_client.send(gateway.address, STRANGER, list(recipients), mail.message(mail.new_token()))
    assert reply.code == 250, reply
    return reply.text.split()[-1]


def queue_name(gateway, queue_id):
    return {e["queue_id"]: e["queue_name"] for e in gateway.postqueue()}.get(queue_id)


def wait_in(gateway, queue_id, queue):
    wait.until(lambda: queue_name(gateway, queue_id) == queue,
               lambda: f"{queue_id} to be in {queue}; it is in {queue_name(gateway, queue_id)}; log:\n{gateway.tail()}")


def notices(peer):
    return [d for d in peer.deliveries if d.recipient == OPERATOR]


def wait_told(gateway, peer, count, queue_id):
    wait.until(lambda: len(notices(peer)) == count, lambda: f"{count} notices; there are {len(notices(peer))}")
    wait_in(gateway, queue_id, "hold")
    # nothing else is left, so no other notice is under way
    wait.until(lambda: [e["queue_id"] for e in gateway.postqueue()] == [queue_id], "it to be alone")
    assert len(notices(peer)) == len(gateway.grep("postmaster non-delivery notification")) == count


def order(gateway, option, queue_id, done):
    """What postsuper says it did."""
    said = gateway.run("postsuper", option, queue_id, check=0).stderr.decode()
    assert said == "".join(f"postsuper: {line}\n" for line in done), said


def fail(gateway, peer):
    """A message that failed for good, on hold, and the operator has his notice."""
    fault = peer.fail("dot", "5xx", times=1)
    queue_id = put(gateway)
    wait_told(gateway, peer, 1, queue_id)
    assert fault.hits == 1
    return queue_id


def expire(gateway, peer, count=1, queue_id=None):
    fault = peer.fail("dot", "4xx")
    queue_id = queue_id or put(gateway)
    wait_in(gateway, queue_id, "deferred")
    peer.lift()
    order(gateway, "-e", queue_id, [f"{queue_id}: expired", "Force-expired: 1 message"])
    wait_told(gateway, peer, count, queue_id)
    assert fault.hits >= 1
    return queue_id


def restart(gateway):
    gateway.kill()
    gateway.start()


def again(option, queue_id):
    return ([f"{queue_id}: requeued", "Requeued: 1 message"] if option == "-r" else
            [f"{queue_id}: released from hold", "Released from hold: 1 message"])


WAYS = list(itertools.product(("-r", "-H"), (fail, expire)))


@pytest.mark.parametrize("option,make", WAYS, ids=lambda v: getattr(v, "__name__", v))
def test_tried_again_and_delivered(gateway, peer, option, make):
    queue_id = make(gateway, peer)
    order(gateway, option, queue_id, again(option, queue_id))
    gateway.wait_queue_empty()
    assert len(notices(peer)) == 1 and peer.messages == 2


@pytest.mark.parametrize("option,make", WAYS, ids=lambda v: getattr(v, "__name__", v))
def test_not_told_again_of_the_same_failure(gateway, peer, option, make):
    """It is tried, and deferred: no news, after a crash neither. Its life begins anew."""
    queue_id = make(gateway, peer)
    peer.fail("rcpt", "4xx")
    order(gateway, option, queue_id, again(option, queue_id))
    wait_in(gateway, queue_id, "deferred")
    gateway.wait_log(f"{queue_id}: to=.*status=deferred .*451 4.3.0 Temporary trouble")
    restart(gateway)
    wait_in(gateway, queue_id, "deferred")
    status = gateway.ask_status()
    assert status["on_hold"] == status["operator_needed"] == 0
    peer.lift()
    gateway.flush()
    gateway.wait_queue_empty()
    assert len(notices(peer)) == len(gateway.grep("notification")) == 1


@pytest.mark.parametrize("option,make", WAYS, ids=lambda v: getattr(v, "__name__", v))
def test_told_again_when_it_fails_again(gateway, peer, option, make):
    queue_id = make(gateway, peer)
    peer.fail("dot", "5xx", times=1)
    order(gateway, option, queue_id, again(option, queue_id))
    wait_told(gateway, peer, 2, queue_id)
    assert gateway.ask_status()["operator_needed"] == 1
    restart(gateway)
    wait_told(gateway, peer, 2, queue_id)
    peer.fail("dot", "5xx", times=1)
    order(gateway, option, queue_id, again(option, queue_id))
    wait_told(gateway, peer, 3, queue_id)


@pytest.mark.parametrize("make", [fail, expire])
def test_hold_of_what_is_on_hold(gateway, peer, make):
    """Nothing is done: its reason stays, and so does what it says after a crash."""
    queue_id = make(gateway, peer)
    before = (gateway.spool / "queue" / queue_id).read_bytes()
    order(gateway, "-h", queue_id, ["Placed on hold: 0 messages"])
    assert (gateway.spool / "queue" / queue_id).read_bytes() == before
    restart(gateway)
    wait_told(gateway, peer, 1, queue_id)
    assert gateway.ask_status()["operator_needed"] == 1


@pytest.mark.parametrize("option", ["-r", "-H"])
def test_held_after_it_was_tried_again(gateway, peer, option):
    """On hold by an order now, not as failed: nobody is to be told, and an operator is not waited for."""
    queue_id = fail(gateway, peer)
    peer.fail("rcpt", "4xx")
    order(gateway, option, queue_id, again(option, queue_id))
    wait_in(gateway, queue_id, "deferred")
    order(gateway, "-h", queue_id, [f"{queue_id}: placed on hold", "Placed on hold: 1 message"])
    for _ in range(2):
        assert queue_name(gateway, queue_id) == "hold"
        status = gateway.ask_status()
        assert (status["on_hold"], status["operator_needed"]) == (1, 0)
        restart(gateway)
    peer.lift()
    order(gateway, "-H", queue_id, again("-H", queue_id))
    gateway.wait_queue_empty()
    assert len(notices(peer)) == 1


def test_held_with_a_recipient_that_failed(gateway, peer):
    """Nobody can be told of it while another one is tried: -h, -H leave it failed, -r tries it as well."""
    peer.fail("rcpt", "4xx", nth=0)
    queue_id = put(gateway, ["late@example.com", "unknown1@example.com"])
    wait_in(gateway, queue_id, "deferred")
    order(gateway, "-h", queue_id, [f"{queue_id}: placed on hold", "Placed on hold: 1 message"])
    for _ in range(2):
        assert (gateway.ask_status()["on_hold"], gateway.ask_status()["operator_needed"]) == (1, 0)
        restart(gateway)
    order(gateway, "-H", queue_id, again("-H", queue_id))
    wait_in(gateway, queue_id, "deferred")
    assert len(gateway.grep("to=<unknown1@.*status=bounced")) == 1 and not gateway.grep("notification")
    order(gateway, "-r", queue_id, again("-r", queue_id))
    wait.until(lambda: len(gateway.grep("to=<unknown1@.*status=bounced")) == 2, "both to be tried")
    peer.lift()
    wait_in(gateway, queue_id, "deferred")
    gateway.flush()
    wait_told(gateway, peer, 1, queue_id)  # now it is all that is left
    assert b"unknown1@example.com" in notices(peer)[0].body and b"late@" not in notices(peer)[0].body


def test_expire_what_failed(gateway, peer):
    """-e is noted until it is released; -f does both: it ends as expired, which is news."""
    queue_id = fail(gateway, peer)
    order(gateway, "-e", queue_id, [f"{queue_id}: expired", "Force-expired: 1 message"])
    wait_told(gateway, peer, 1, queue_id)
    order(gateway, "-e", queue_id, ["Force-expired: 0 messages"])
    order(gateway, "-H", queue_id, again("-H", queue_id))
    wait_told(gateway, peer, 2, queue_id)
    assert len(gateway.grep(f"{queue_id}: from=.*status=force-expired, kept on hold")) == 1
    order(gateway, "-r", queue_id, again("-r", queue_id))  # takes it back
    gateway.wait_queue_empty()
    assert len(notices(peer)) == 2
    peer.deliveries.clear()
    other = put_failed(gateway, peer)
    order(gateway, "-f", other, [f"{other}: expired", f"{other}: released from hold", "Force-expired: 1 message",
                                 "Released from hold: 1 message"])
    wait.until(lambda: len(notices(peer)) == 2, "the notice of its end")
    wait_in(gateway, other, "hold")


def put_failed(gateway, peer):
    peer.fail("dot", "5xx", times=1)
    queue_id = put(gateway)
    wait.until(lambda: len(notices(peer)) == 1, "its notice")
    wait_in(gateway, queue_id, "hold")
    return queue_id


def test_orders_to_the_notice_itself(gateway, peer):
    """A message like others: held, released, and what it is about does not mind."""
    refused = peer.fail("rcpt", "4xx")
    queue_id = put(gateway)
    wait_in(gateway, queue_id, "deferred")
    order(gateway, "-e", queue_id, [f"{queue_id}: expired", "Force-expired: 1 message"])
    notice_id = gateway.wait_log(f"{queue_id}: postmaster non-delivery notification").split()[-1]
    wait_in(gateway, notice_id, "deferred")
    wait_in(gateway, queue_id, "hold")
    order(gateway, "-h", notice_id, [f"{notice_id}: placed on hold", "Placed on hold: 1 message"])
    restart(gateway)
    assert queue_name(gateway, notice_id) == queue_name(gateway, queue_id) == "hold"
    status = gateway.ask_status()
    assert (status["on_hold"], status["operator_needed"]) == (2, 1)
    peer.lift()
    order(gateway, "-H", notice_id, again("-H", notice_id))
    wait_told(gateway, peer, 1, queue_id)
    assert refused.hits >= 2


def test_without_the_daemon(gateway, peer):
    failed, expired = fail(gateway, peer), None
    gateway.run("postsuper", "-h", failed, check=0)
    expired = put_expired(gateway, peer)
    gateway.stop()
    for queue_id in (failed, expired):
        order(gateway, "-h", queue_id, ["Placed on hold: 0 messages"])
    order(gateway, "-r", failed, again("-r", failed))
    order(gateway, "-H", expired, again("-H", expired))
    gateway.start()
    gateway.wait_queue_empty()
    assert peer.messages == 4 and len(notices(peer)) == 2


def put_expired(gateway, peer):
    peer.fail("dot", "4xx")
    queue_id = put(gateway)
    wait_in(gateway, queue_id, "deferred")
    peer.lift()
    gateway.run("postsuper", "-e", queue_id, check=0)
    wait.until(lambda: len(notices(peer)) == 2, "its notice")
    wait_in(gateway, queue_id, "hold")
    return queue_id


# --- who tells that somebody has to decide

def test_what_waits_for_an_operator_is_told(gateway, peer):
    """mxgate status with the reasons and what to type, the healthcheck in a word; both are silent when all is decided."""
    failed = fail(gateway, peer)
    peer.fail("rcpt", "4xx")
    held = put(gateway)
    wait_in(gateway, held, "deferred")
    peer.lift()
    expired = put_expired(gateway, peer)
    order(gateway, "-h", held, [f"{held}: placed on hold", "Placed on hold: 1 message"])
    for _ in range(2):
        status = gateway.ask_status()
        assert {k: v for k, v in status.items() if "held" in k or k == "operator_needed"} == {
            "operator_needed": 2, "held_failed": 1, "held_expired": 1, "held_ordered": 1, "held_oldest_id": failed,
            "held_oldest": status["oldest"]}
        text = gateway.run("status", check=0).stdout.decode()
        assert re.search(rf"(?m)^on hold: 1 failed, 1 expired, 1 by an operator's order; the oldest is {failed}, since .*\n"
                         r"  mailq shows them .* mxgate resend ID tries it again, .* postsuper -d ID deletes it$", text), text
        done = subprocess.run([healthcheck_binary()], env=clean_environment({"queue_directory": gateway.spool}), capture_output=True)
        assert done.returncode == 0
        assert b"; but 2 messages wait for an operator to decide (mxgate status says more)" in done.stdout
        restart(gateway)
    gateway.run("postsuper", "-r", failed, "-H", held, "-d", expired, check=0)
    gateway.wait_queue_empty()
    status = gateway.ask_status()
    assert [status[k] for k in ("held_failed", "held_expired", "held_ordered", "held_oldest_id", "held_oldest")] == [0, 0, 0, "", 0]
    assert "on hold: " not in gateway.run("status", check=0).stdout.decode()
