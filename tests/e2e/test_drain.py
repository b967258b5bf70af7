"""mxgate drain: no mail comes in any more, what is there goes out or is handed over, and the exit code says whether all of
it did. Nothing is lost on any of these ways."""

import signal
import subprocess
import threading
import time

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import binary, clean_environment, healthcheck_binary

SENDER = "bob@example.org"
LATER = {"minimal_backoff_time": "300s", "maximal_backoff_time": "600s"}  # what is tried earlier, the drain has tried


def put(gateway, recipients=("alice@example.com",)):
    token = mail.new_token()
    reply = smtp_client.send(gateway.address, SENDER, list(recipients), mail.message(token))
    assert reply.code == 250, reply
    return token


def begin(gateway, *options):
    """The command on its way; .communicate() for its end."""
    return subprocess.Popen([binary(), "drain", *options], env=clean_environment({"queue_directory": gateway.spool}),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def drain(gateway, *options, check=None):
    done = gateway.run("drain", *options, check=check, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def health(gateway, *options, **more):
    environment = clean_environment({"listen": f"127.0.0.1:{gateway.port}", "queue_directory": gateway.spool, **more})
    return subprocess.run([healthcheck_binary(), *options], env=environment, capture_output=True, text=True,
                          timeout=30 * wait.SCALE)


def refuses(gateway):
    with smtp_client.Smtp(gateway.address) as client:
        assert client.greeting.text == "421 4.3.2 mx.example.com Service shutting down", client.greeting


@pytest.mark.smoke
def test_an_empty_queue_is_drained_at_once(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    code, out, err = drain(gateway)
    assert (code, err) == (0, ""), (code, out, err)
    assert out.endswith("drained: nothing is left to deliver\n")
    gateway.wait_log(r"master\[\d+\]: draining: no mail is taken any more, 0 messages are in the queue")
    gateway.wait_log(r"master\[\d+\]: drained: nothing is left to deliver, 0 messages are on hold")


def test_what_waits_is_delivered_now(gateways, peer):
    """It had backed off for minutes."""
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no", **LATER)
    peer.fail("mail", "4xx")
    tokens = [put(gateway) for _ in range(20)]
    gateway.wait_queued(20)
    peer.lift()
    code, out, _ = drain(gateway)
    assert code == 0, out
    assert all(peer.count(t) == 1 for t in tokens)
    assert gateway.postqueue() == []


def test_no_mail_comes_in_and_everybody_is_told(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    drain(gateway, check=0)
    gateway.wait_log("drained: nothing is left to deliver")  # the log's last line about it
    mark = len(gateway.lines)
    refuses(gateway)
    assert gateway.lines[mark:] == []
    done = gateway.run("sendmail", "-f", SENDER, "alice@example.com", input=b"Subject: x\n\ny\n")
    assert done.returncode == 75, done
    done = gateway.run("sendmail", "-bs", input=b"QUIT\r\n")
    assert b"421 4.3.2 " in done.stdout, done
    status = gateway.ask_status()
    assert status["draining"] and status["draining_since"] > 0
    text = gateway.run("status", check=0).stdout.decode()
    assert "\nDRAINING since " in text and "no mail is taken (mxgate drain --cancel ends that)" in text
    done = health(gateway)
    assert done.returncode == 0 and "it is draining, and takes no mail" in done.stdout, done
    done = health(gateway, "--ready")
    assert done.returncode == 1 and done.stdout.startswith("unhealthy: it is draining"), done
    assert "mail is taken again" in drain(gateway, "--cancel", check=0)[1]
    assert health(gateway, "--ready").returncode == 0
    assert not gateway.ask_status()["draining"]
    assert peer.count(put(gateway)) == 1
    assert drain(gateway, "--cancel", check=0)  # nothing to cancel is no failure


def test_sessions_end_where_nobody_loses_anything(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    idle, begun, sending = (smtp_client.Smtp(gateway.address) for _ in range(3))
    idle.hello()
    begun.hello()
    begun.envelope(SENDER, ["alice@example.com"])
    sending.hello()
    sending.envelope(SENDER, ["alice@example.com"])
    assert sending.cmd("DATA").code == 354
    token = mail.new_token()
    command = begin(gateway)
    assert idle.reply().code == begun.reply().code == 421
    wait.until(lambda: gateway.grep("draining: "), "the drain to begin")
    assert command.poll() is None
    sending.send(mail.message(token) + b".\r\n")
    assert sending.reply().code == 250
    assert sending.reply().code == 421
    out, err = command.communicate(timeout=20 * wait.SCALE)
    assert command.returncode == 0, (out, err)
    assert "1 sessions still sending" in out
    assert peer.count(token) == 1


def test_the_destination_is_away(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    tokens = [put(gateway) for _ in range(3)]
    ids = [m["queue_id"] for m in gateway.postqueue()]
    begun = time.monotonic()
    code, out, err = drain(gateway, "--timeout", "1s")
    assert code == 75 and 1 <= time.monotonic() - begun < 5 * wait.SCALE, (code, out, err)
    assert all(i in out for i in ids) and "3 Requests" in out, out
    assert "not empty in time: 3 messages are left, 0 sessions are still sending, 0 messages are on hold" in err
    refuses(gateway)  # it goes on
    peer.up()
    code, out, err = drain(gateway, "--timeout", "20s")
    assert code == 0, (code, out, err)
    assert all(peer.count(t) == 1 for t in tokens)


def test_what_is_left_is_handed_over(gateways, peers):
    peer, other = peers(), peers(protocol="smtp", strict=True)
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport)
    assert not other.connections, "nobody is asked before there is a drain"
    peer.down()
    tokens = [put(gateway, ["alice@example.com", "joe@example.com"]) for _ in range(5)]
    code, out, err = drain(gateway, "--fallback-after", "200ms", "--timeout", "20s")
    assert code == 0, (code, out, err)
    assert "10 recipients delivered, 10 of them to fallback_relay" in out
    for token in tokens:
        assert other.count(token) == 2 and peer.count(token) == 0
    assert gateway.spool_files("queue") == []
    gateway.wait_log(r"draining: what is not taken goes to fallback_relay smtp:")
    gateway.wait_log(rf"postfix/smtp\[\d+\]: \w+: to=<alice@example\.com>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{other.port}, .*status=sent")
    names = {d["name"]: d["serves"] for d in gateway.ask_status()["destinations"]}
    assert names[other.transport] == "fallback_relay"
    drain(gateway, "--cancel", check=0)
    assert [d["name"] for d in gateway.ask_status()["destinations"]] == [peer.transport]


def test_the_destination_comes_first(gateways, peers):
    """While it takes mail, nothing goes elsewhere, however long it takes."""
    peer, other = peers(delay={"dot": 0.1}), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport, delivery_mode="queue",
                       lmtp_destination_concurrency_limit=1)
    tokens = [put(gateway) for _ in range(20)]
    drain(gateway, "--fallback-after", "0s", check=0)
    assert all(peer.count(t) == 1 for t in tokens)
    assert not other.deliveries


def test_what_the_destination_defers_is_handed_over(gateways, peers):
    peer, other = peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport, verify_recipients="no", **LATER)
    fault = peer.fail("rcpt", "4xx", nth=0)
    token = put(gateway, ["alice@example.com", "joe@example.com"])
    assert peer.count(token, "joe@example.com") == 1
    code, out, err = drain(gateway, "--fallback-after", "0s", "--timeout", "20s")
    assert code == 0, (code, out, err)
    assert fault.hits >= 1
    assert [d.recipient for d in other.find(token)] == ["alice@example.com"]
    assert peer.count(token, "joe@example.com") == 1


def test_the_destination_stands_still(gateways, peers):
    """A tunnel that swallows everything: what is under way there stays there, the rest does not wait for its timeouts."""
    peer, other = peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport, delivery_mode="queue",
                       lmtp_destination_concurrency_limit=2, smtp_destination_concurrency_limit=2)
    fault = peer.fail("dot", "stall")
    tokens = [put(gateway) for _ in range(6)]
    wait.until(lambda: fault.hits == 2, "the destination to stand still")
    command = begin(gateway, "--fallback-after", "0s", "--timeout", "100s")
    wait.until(lambda: len(other.deliveries) == 4, "the rest to be handed over", 25)
    assert gateway.ask_status()["destinations"][0]["up"]
    peer.lift()
    out, err = command.communicate(timeout=100 * wait.SCALE)
    assert command.returncode == 0, (out, err)
    assert [peer.count(t) + other.count(t) for t in tokens] == [1] * 6


@pytest.mark.parametrize("step, kind", [("rcpt", "5xx"), ("dot", "5xx"), ("mail", "5xx"), ("dot", "4xx"), ("dot", "drop"), ("greeting", "5xx")])
def test_only_its_2xx_counts(gateways, peers, step, kind):
    """A 5xx of a server that was never meant for this mail fails nobody."""
    peer, other = peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport)
    other.fail(step, kind)
    peer.down()
    token = put(gateway)
    code, out, err = drain(gateway, "--fallback-after", "0s", "--timeout", "1s")
    assert code == 75, (code, out, err)
    if step != "greeting":
        gateway.wait_log(r"relay=127\.0\.0\.1\[127\.0\.0\.1\]:%d.*status=deferred" % other.port)
    assert not gateway.grep("status=bounced|status=expired|status=sent")
    message, = gateway.postqueue()
    assert message["queue_name"] in ("deferred", "active")
    other.lift()
    code, out, err = drain(gateway, "--fallback-after", "0s", "--timeout", "30s")
    assert code == 0, (code, out, err)
    assert other.count(token) == 1


def test_its_refusal_leaves_the_destination_its_turn(gateways, peers):
    peer, other = peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport)
    other.fail("rcpt", "5xx")
    peer.down()
    token = put(gateway)
    command = begin(gateway, "--fallback-after", "0s", "--timeout", "30s")
    gateway.wait_log(r"status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 554")
    peer.up()
    out, err = command.communicate(timeout=40 * wait.SCALE)
    assert command.returncode == 0, (out, err)
    assert peer.count(token) == 1 and other.count(token) == 0


def test_two_destinations_one_of_them_away(gateways, peers):
    here, away, other = peers(), peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=here.transport, allowed_domains="example.com, example.net", delivery_mode="queue",
                       transport_maps="inline:{ example.net=%s }" % away.transport, fallback_relay=other.transport)
    away.down()
    tokens = [put(gateway, ["alice@example.com", "ann@example.net"]) for _ in range(5)]
    code, out, err = drain(gateway, "--fallback-after", "300ms", "--timeout", "20s")
    assert code == 0, (code, out, err)
    for token in tokens:
        assert [d.recipient for d in here.find(token)] == ["alice@example.com"]
        assert [d.recipient for d in other.find(token)] == ["ann@example.net"]


def test_mail_on_hold_is_left_and_said(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    put(gateway)
    held, = [m["queue_id"] for m in gateway.postqueue()]
    gateway.run("postsuper", "-h", held, check=0)
    other = put(gateway)
    peer.up()
    begun = time.monotonic()
    code, out, err = drain(gateway)
    assert code == 75 and time.monotonic() - begun < 20 * wait.SCALE
    assert peer.count(other) == 1
    assert f"{held}!" in out and "1 messages are on hold and would be lost with the queue" in err, (out, err)
    code, out, err = drain(gateway, "--leave-held")
    assert code == 0 and "1 on hold" in out, (code, out, err)
    gateway.run("postsuper", "-H", held, check=0)
    gateway.wait_queue_empty()
    assert drain(gateway)[0] == 0


def test_damaged_mail_is_left_and_said(gateways, peer):
    """It was promised, and goes with the disk: also what a process before this one put aside."""
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    put(gateway)
    broken, = [m["queue_id"] for m in gateway.postqueue()]
    gateway.stop()
    path = gateway.spool / "queue" / broken
    path.write_bytes(b"x" + path.read_bytes())
    for _ in range(2):
        gateway.start()
        code, out, err = drain(gateway)
        assert (gateway.spool / "corrupt" / broken).exists()
        assert code == 75 and "1 queue files are damaged" in err and "--leave-held" in err, (code, out, err)
        assert drain(gateway, "--leave-held")[0] == 0
        gateway.stop()
    gateway.start()
    (gateway.spool / "corrupt" / broken).unlink()
    assert drain(gateway)[0] == 0


def test_mail_that_only_a_restart_finds_is_left_and_said(gateways, peer):
    """As after memory was out: its file is there, and nobody works on it."""
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    token = put(gateway)
    lost, = [m["queue_id"] for m in gateway.postqueue()]
    gateway.stop()
    path, aside = gateway.spool / "queue" / lost, gateway.spool / "aside"
    path.rename(aside)
    gateway.start()
    aside.rename(path)
    peer.up()
    code, out, err = drain(gateway, "--timeout", "1s")
    assert code == 75 and "1 queue files are damaged, or only a restart finds them" in err, (code, out, err)
    gateway.stop()
    gateway.start()
    gateway.wait_queue_empty()
    assert peer.count(token) == 1
    assert drain(gateway)[0] == 0


def test_it_goes_on_without_the_command(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    token = put(gateway)
    command = begin(gateway)
    gateway.wait_log("draining: no mail is taken")
    command.kill()
    command.communicate()
    peer.up()
    gateway.wait_queue_empty()
    assert peer.count(token) == 1
    refuses(gateway)


def test_cancelled_by_somebody_else(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    put(gateway)
    command = begin(gateway)
    gateway.wait_log("draining: no mail is taken")
    drain(gateway, "--cancel", check=0)
    out, err = command.communicate(timeout=20 * wait.SCALE)
    assert command.returncode == 75 and "cancelled by somebody" in err, (out, err)
    peer.up()
    gateway.wait_queue_empty()


def test_what_was_put_off_is_due_when_it_is_cancelled(gateways, peers):
    """Each attempt of a drain makes the next one later: mail must not wait longer because there was a drain."""
    peer, other = peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport, verify_recipients="no", **LATER)
    peer.fail("rcpt", "4xx")
    other.fail("rcpt", "4xx")
    token = put(gateway)
    drain(gateway, "--fallback-after", "0s", "--timeout", "0s")
    gateway.wait_log(rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{other.port}, .*status=deferred")
    peer.lift()
    drain(gateway, "--cancel", check=0)
    gateway.wait_queue_empty()
    assert peer.count(token) == 1 and other.count(token) == 0


def test_cancelled_while_the_fallback_is_asked(gateways, peers):
    """Its refusal comes when nothing is handed over any more: the destination, up again meanwhile, is asked at once."""
    peer, other = peers(), peers(protocol="smtp", delay={"rcpt": 60})
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport, **LATER)
    other.fail("rcpt", "5xx")
    peer.down()
    token = put(gateway)
    drain(gateway, "--fallback-after", "0s", "--timeout", "0s")
    wait.until(lambda: any(b"RCPT" in c[:4] for o in other.open_connections() for c in o.commands), "the fallback to be asked")
    peer.up()
    gateway.wait_log("is up again")
    drain(gateway, "--cancel", check=0)
    other.lifted.set()
    gateway.wait_log(r"status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 554")
    gateway.wait_queue_empty()
    assert peer.count(token) == 1 and other.count(token) == 0


def test_a_gateway_that_stops_begins_and_cancels_nothing(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    with smtp_client.Smtp(gateway.address) as sending:
        sending.hello()
        sending.envelope(SENDER, ["alice@example.com"])
        assert sending.cmd("DATA").code == 354  # it is waited for
        gateway.signal(signal.SIGTERM)
        wait.until(lambda: gateway.ask_status()["draining"], "the stop to begin")
        for options in [(), ("--cancel",)]:
            code, out, err = drain(gateway, *options)
            assert code == 75 and "the mail system is stopping" in err and not out, (code, out, err)
        token = mail.new_token()
        sending.send(mail.message(token) + b".\r\n")
        assert sending.reply().code == 250
    gateway.stop()
    gateway.start()
    gateway.wait_queue_empty()
    assert peer.count(token) == 1


def test_strict_health_does_not_end_a_drain(gateways, peer):
    """Whoever kills what is unhealthy would take the queue's last chance."""
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    put(gateway)
    wait.until(lambda: health(gateway, healthcheck_upstream="strict").returncode == 1, "the destination to be down")
    drain(gateway, "--timeout", "0s")
    done = health(gateway, healthcheck_upstream="strict")
    assert done.returncode == 0 and "is down" in done.stdout and "it is draining" in done.stdout, done
    done = health(gateway, "--ready", healthcheck_upstream="strict")
    assert done.returncode == 1, done


def test_sigterm_ends_it_as_ever(gateways, peers):
    peer, other = peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport)
    peer.down()
    other.fail("dot", "stall")
    token = put(gateway)
    command = begin(gateway, "--fallback-after", "0s")
    wait.until(lambda: other.open_connections(), "the hand-over to begin")
    assert gateway.stop() < 10 * wait.SCALE
    out, err = command.communicate(timeout=20 * wait.SCALE)
    assert command.returncode == 75 and "went away while it was draining" in err, (out, err)
    other.lift()
    peer.up()
    gateway.start()  # a restart ends a drain
    gateway.wait_queue_empty()
    assert peer.count(token) == 1
    put(gateway)


def test_a_fallback_that_is_set_meanwhile(gateways, peers):
    peer, other = peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    token = put(gateway)
    command = begin(gateway, "--fallback-after", "0s", "--timeout", "30s")
    gateway.wait_log("draining: no mail is taken")
    environment = {"relay_transport": peer.transport, "allowed_domains": "example.com"}
    gateway.run("postconf", "-e", f"fallback_relay = {other.transport}", env=environment, check=0)
    out, err = command.communicate(timeout=40 * wait.SCALE)
    assert command.returncode == 0, (out, err)
    assert other.count(token) == 1


def test_a_fallback_that_is_ourselves(gateways, peer):
    """It hears what everybody hears: no mail goes round."""
    gateway = gateways(relay_transport=peer.transport)
    peer.down()
    token = put(gateway)
    environment = {"relay_transport": peer.transport, "allowed_domains": "example.com"}
    gateway.run("postconf", "-e", f"fallback_relay = smtp:[127.0.0.1]:{gateway.port}", env=environment, check=0)
    code, out, err = drain(gateway, "--fallback-after", "0s", "--timeout", "1s")
    assert code == 75 and "1 messages are left" in err, (code, out, err)
    gateway.wait_log(r"destination smtp:\[127\.0\.0\.1\]:\d+ is down")
    assert len(gateway.grep(r"smtpd\[\d+\]: \w+: client=")) == 1
    peer.up()
    assert drain(gateway, "--timeout", "20s")[0] == 0
    assert peer.count(token) == 1


@pytest.mark.parametrize("away", [False, True], ids=["up", "handed-over"])
def test_under_load(gateways, peers, mode, away):
    """Whoever heard 250 is delivered once; whoever did not, keeps the mail."""
    peer, other = peers(), peers(protocol="smtp")
    gateway = gateways(relay_transport=peer.transport, fallback_relay=other.transport, delivery_mode=mode)
    taken, lock = [], threading.Lock()

    def send_for_ever():
        while True:
            token = mail.new_token()
            try:
                with smtp_client.Smtp(gateway.address) as client:
                    if client.greeting.code != 220:
                        return
                    client.hello()
                    reply = client.mail(SENDER, ["alice@example.com"], mail.message(token, size=20000))
            except (smtp_client.Closed, OSError):
                return  # 421 between commands, and the end
            if reply.code == 250:
                with lock:
                    taken.append(token)

    threads = [threading.Thread(target=send_for_ever) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait.until(lambda: len(taken) > 30, "some mail")
    if away:
        peer.down(abrupt=False)
    code, out, err = drain(gateway, "--fallback-after", "500ms", "--timeout", "40s")
    for thread in threads:
        thread.join(30)
    assert code == 0, (code, out, err)
    counts = [peer.count(t) + other.count(t) for t in taken]
    assert min(counts) == max(counts) == 1, [t for t, n in zip(taken, counts) if n != 1]
    assert gateway.spool_files("queue") == [] and gateway.spool_files("incoming") == []
    refuses(gateway)


def test_no_daemon_and_bad_options(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    for bad in (["now"], ["--timeout", "soon"], ["--timeout"], ["--timeout", "2d"], ["-x"]):
        assert drain(gateway, *bad)[0] == 64, bad
    gateway.stop()
    code, _, err = drain(gateway)
    assert code == 69 and "the mail system is down" in err


def test_a_folder_is_no_fallback(gateways, peer):
    gateway = gateways(start=False, relay_transport=peer.transport, fallback_relay="maildir:/srv/mail")
    gateway.start(ready=False)
    assert gateway.wait_exit() == 78
    assert gateway.grep("ERROR.*fallback_relay.*must be a mail server")
