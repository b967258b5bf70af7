"""The commands and their formats (FACTS 5.4 to 5.6): scripts read them."""

import json
import os
import re
import subprocess
import time

import pytest

from harness import mail, smtp_client, wait

ROW = re.compile(r"^([0-9A-F]+)([*!# ]) +(\d+) ((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)  (\S.*)$")


def queue_some(gateway, peer, count=1, recipients=("alice@example.com",), sender="bob@example.org"):
    peer.down()
    ids = []
    for _ in range(count):
        reply = smtp_client.send(gateway.address, sender, list(recipients), mail.message(mail.new_token(), size=2000))
        assert reply.code == 250, reply
        ids.append(reply.text.split()[-1])
    gateway.wait_log("status=deferred")
    return ids


@pytest.fixture
def gateway(gateways, peer):
    return gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no")


@pytest.mark.smoke
@pytest.mark.parametrize("command", [("postqueue", "-p"), ("mailq",), ("sendmail", "-bp")], ids=" ".join)
def test_empty_queue(command, gateway):
    done = gateway.run(*command, check=0)
    assert done.stdout == b"Mail queue is empty\n" and done.stderr == b""


@pytest.mark.parametrize("name,arguments", [("mailq", ()), ("postqueue", ("-p",)), ("sendmail", ("-bp",))])
def test_by_the_name_of_a_link(name, arguments, gateway):
    assert gateway.run(*arguments, argv0=name, check=0).stdout == b"Mail queue is empty\n"


@pytest.mark.smoke
def test_mailq(gateway, peer):
    """Columns and widths of Postfix, and what scripts take from them."""
    first, = queue_some(gateway, peer)
    time.sleep(0.01)
    second, = queue_some(gateway, peer, recipients=["alice@example.com", "joe@example.com"], sender="")
    gateway.wait_log(f"{second}: to=<joe@example.com>.*status=deferred")
    text = gateway.run("mailq", check=0).stdout.decode()
    lines = text.split("\n")
    assert lines[0] == "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
    row = ROW.match(lines[1])
    assert row, lines[1]
    assert row.group(1) == first
    assert row.group(5) == "bob@example.org"
    size = int(row.group(3))
    assert 2000 < size < 3000
    # "%-11s %7ld %20.20s %s", the time cut to 20 characters and so followed by a blank of its own
    assert lines[1] == "%-11s %7d %20.20s %s" % (first + row.group(2).strip(), size, row.group(4) + " ", "bob@example.org")
    reason = lines[2].strip()
    assert re.fullmatch(r"\((delivery temporarily suspended: )?connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: (Connection refused|Connection reset by peer|Broken pipe)\)", reason), lines[2]
    assert lines[2] == "%*s%s" % (78 - len(reason), "", reason), "the text ends at column 77, its parenthesis at 78"
    assert lines[3] == "%-11s %7s %-20s %s" % ("", "", "", "alice@example.com")
    assert lines[4] == ""
    row = ROW.match(lines[5])
    assert row and row.group(1) == second and row.group(5) == "MAILER-DAEMON"
    assert re.search(r"(Connection refused|Connection reset by peer|Broken pipe)\)$", lines[6]), "one reason for both, once"
    assert [lines[7].strip(), lines[8].strip()] == ["alice@example.com", "joe@example.com"]
    assert lines[9] == ""
    total = re.fullmatch(r"-- (\d+) Kbytes in 2 Requests\.", lines[10])
    assert total, lines[10]
    assert lines[11:] == [""], "nothing after the last line"
    peer.up()
    gateway.wait_queue_empty()


def test_mailq_total_of_one(gateway, peer):
    queue_some(gateway, peer)
    last = gateway.run("mailq", check=0).stdout.decode().splitlines()[-1]
    size = gateway.postqueue()[0]["message_size"]
    assert last == f"-- {size // 1024} Kbytes in 1 Request."


def test_mailq_read_by_scripts(gateway, peer):
    ids = queue_some(gateway, peer, 3)
    text = gateway.run("mailq", check=0).stdout

    def pipe(command):
        return subprocess.run(["sh", "-c", command], input=text, capture_output=True).stdout.decode().strip()

    assert pipe("tail -n 1 | awk '{print $5}'") == "3"
    assert pipe("grep -c '^[A-F0-9]'") == "3"
    assert pipe("""tail -n +2 | awk 'BEGIN{RS=""} /alice@example.com/ {print $1}' | tr -d '*!'""").split() == ids


@pytest.mark.smoke
def test_postqueue_json(gateway, peer):
    assert gateway.run("postqueue", "-j", check=0).stdout == b""
    queue_id, = queue_some(gateway, peer, recipients=["alice@example.com", "joe@example.com"])
    now = time.time()
    text = gateway.run("postqueue", "-j", check=0).stdout.decode()
    assert text.count("\n") == 1 and text.endswith("}\n")
    entry = json.loads(text)
    assert list(entry) == ["queue_name", "queue_id", "arrival_time", "message_size", "forced_expire", "sender", "recipients"]
    assert entry["queue_name"] == "deferred" and entry["queue_id"] == queue_id
    assert abs(entry["arrival_time"] - now) < 60 and isinstance(entry["arrival_time"], int)
    assert entry["forced_expire"] is False and entry["sender"] == "bob@example.org"
    assert [r["address"] for r in entry["recipients"]] == ["alice@example.com", "joe@example.com"]
    assert all(re.search("(Connection refused|Connection reset by peer|Broken pipe)", r["delay_reason"]) for r in entry["recipients"])
    # Postfix's own spelling, blanks included
    assert text.startswith('{"queue_name": "deferred", "queue_id": "%s", "arrival_time": ' % queue_id)


def test_postqueue_flush(gateways, peer):
    """-f tries everything now, whatever its back-off."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no",
                       minimal_backoff_time="1h", maximal_backoff_time="1h")
    fault = peer.fail("dot", "4xx")
    tokens = [mail.new_token() for _ in range(3)]
    for token in tokens:
        smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com"], mail.message(token))
    wait.until(lambda: fault.hits >= 3, "the first attempts")
    wait.until(lambda: len(gateway.grep("status=deferred")) >= 3, "their results")
    peer.lift()
    time.sleep(0.3)
    assert peer.messages == 0
    gateway.run("postqueue", "-f", check=0)
    gateway.wait_queue_empty(5)
    assert all(peer.count(t) == 1 for t in tokens)


def test_postqueue_without_the_daemon(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue")
    ids = queue_some(gateway, peer, 2)
    gateway.kill()
    done = gateway.run("postqueue", "-p", check=0)
    assert b"postqueue: warning: Mail system is down -- accessing queue directly (connect to " in done.stderr
    assert [line[:len(ids[0])] for line in done.stdout.decode().splitlines() if line[:1] in "0123456789ABCDEF" and line[:1]] == ids
    assert done.stdout.decode().splitlines()[-1].endswith("in 2 Requests.")
    assert len([json.loads(l) for l in gateway.run("postqueue", "-j", check=0).stdout.splitlines()]) == 2
    done = gateway.run("postqueue", "-f")
    assert done.returncode == 69, done
    assert b"Cannot flush mail queue - mail system is down" in done.stderr


def test_postqueue_without_the_daemon_and_without_a_queue(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    gateway.stop()
    assert gateway.run("mailq", check=0).stdout == b"Mail queue is empty\n"


def test_a_killed_daemons_socket_is_no_obstacle(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    gateway.kill()
    gateway.start()
    gateway.run("status", check=0)


def test_usage_errors(gateway):
    for arguments in (("postqueue",), ("postqueue", "-Z"), ("no-such-command",)):
        done = gateway.run(*arguments)
        assert done.returncode not in (0, 1) or arguments == ("no-such-command",), done
        assert done.returncode != 0 and done.stderr, done


def test_version(gateway):
    done = gateway.run("version", check=0)
    assert re.search(rb"mxgate \S*\d", done.stdout), done.stdout


@pytest.mark.smoke
def test_status(gateway, peer):
    text = gateway.run("status", check=0).stdout.decode()
    assert text.strip()
    assert f"127.0.0.1]:{peer.port}" in text or f"127.0.0.1:{peer.port}" in text, text
    queue_some(gateway, peer, 2)
    assert "2" in gateway.run("status", check=0).stdout.decode()


def test_status_without_the_daemon(gateways, peer):
    gateway = gateways(relay_transport=peer.transport)
    gateway.stop()
    done = gateway.run("status")
    assert done.returncode != 0 and done.stderr, done


def test_hundred_commands_at_once(gateway):
    running = [subprocess.Popen([gateway_binary(), "mailq"], env={"QUEUE_DIRECTORY": str(gateway.spool)},
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(100)]
    for process in running:
        out, _ = process.communicate(timeout=30 * wait.SCALE)
        assert process.returncode == 0 and out == b"Mail queue is empty\n", out


def gateway_binary():
    from harness.gateway import binary
    return binary()


def test_a_command_that_hangs_does_not_hold_the_daemon(gateway, peer):
    """Somebody connects to the control socket and says nothing."""
    import socket
    path = str(gateway.spool / "control.sock")
    idle = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for sock in idle:
        sock.connect(path)
    assert gateway.run("mailq", check=0).stdout == b"Mail queue is empty\n"
    assert smtp_client.send(gateway.address, "b@example.org", ["alice@example.com"], mail.message(mail.new_token())).code == 250
    for sock in idle:
        sock.close()


def test_a_big_queue_is_listed(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue", verify_recipients="no")
    peer.down()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for _ in range(1500):
            assert client.mail("bob@example.org", ["alice@example.com", "joe@example.com"], mail.message(mail.new_token())).code == 250
    assert gateway.run("mailq", check=0).stdout.decode().splitlines()[-1].endswith(" Kbytes in 1500 Requests.")
    assert len(gateway.postqueue()) == 1500
    peer.up()
    gateway.wait_queue_empty(20)


# --- sendmail

def sendmail(gateway, *arguments, text=b"Subject: by hand\n\nhello\n", **more):
    return gateway.run("sendmail", *arguments, input=text, **more)


def arrived(peer, recipient, count=1):
    return wait.until(lambda: [d for d in peer.deliveries if d.recipient == recipient][count - 1:],
                      lambda: f"mail for {recipient}; there is {[d.recipient for d in peer.deliveries]}")


@pytest.mark.smoke
def test_sendmail_with_recipients(gateway, peer):
    sendmail(gateway, "-f", "ops@example.org", "alice@example.com", "bob@example.com", check=0)
    for recipient in ("alice@example.com", "bob@example.com"):
        delivery = arrived(peer, recipient)[0]
        assert delivery.sender == "ops@example.org"
        assert b"\r\nSubject: by hand\r\n" in delivery.body and delivery.body.endswith(b"\r\n\r\nhello\r\n")
        assert b"From: " in delivery.body and b"Date: " in delivery.body and b"Message-I" in delivery.body
    gateway.wait_queue_empty()
    gateway.wait_log(r"pickup\[\d+\]: [0-9A-F]+: uid=0 from=<ops@example\.org>")


def test_sendmail_t(gateway, peer):
    text = (b"From: Ops <ops@example.org>\nTo: Alice <alice@example.com>,\n\t\"Smith, Bob\" <bob@example.com>\n"
            b"Cc: joe@example.com (Joe)\nBcc: user01@example.com\nSubject: -t\n\nhello\n")
    sendmail(gateway, "-t", "-f", "ops@example.org", text=text, check=0)
    for recipient in ("alice@example.com", "bob@example.com", "joe@example.com", "user01@example.com"):
        delivery = arrived(peer, recipient)[0]
        assert b"Bcc" not in delivery.body and b"user01" not in delivery.body
        assert b"Cc: joe@example.com (Joe)\r\n" in delivery.body
    assert len(peer.deliveries) == 4


def test_sendmail_t_without_recipients(gateway):
    done = sendmail(gateway, "-t", text=b"Subject: nobody\n\nhello\n")
    assert done.returncode in (64, 65), done
    assert b"o recipient" in done.stderr.replace(b"No", b"no").lower() or b"recipient" in done.stderr


def test_sendmail_without_recipients(gateway):
    done = sendmail(gateway)
    assert done.returncode == 64 or done.returncode == 65, done


@pytest.mark.parametrize("options", [(), ("-i",), ("-oi",)], ids=["ends-at-a-dot", "-i", "-oi"])
def test_sendmail_dot(options, gateway, peer):
    sendmail(gateway, *options, "alice@example.com", text=b"Subject: dot\n\none\n.\n..\ntwo\n", check=0)
    body = arrived(peer, "alice@example.com")[0].body
    expected = b"\r\n\r\none\r\n.\r\n..\r\ntwo\r\n" if options else b"\r\n\r\none\r\n"
    assert body.endswith(expected), body


def test_sendmail_null_sender(gateway, peer):
    sendmail(gateway, "-f", "", "alice@example.com", check=0)
    assert arrived(peer, "alice@example.com")[0].sender == ""
    sendmail(gateway, "-f", "<>", "bob@example.com", check=0)
    assert arrived(peer, "bob@example.com")[0].sender == ""


def test_sendmail_options_that_scripts_give(gateway, peer):
    """As seen in scripts (FACTS 5.6): taken, also glued to their values."""
    sendmail(gateway, "-oi", "-oem", "-bm", "-F", "Full Name", "-fops@example.org", "-r", "ops2@example.org", "-B8BITMIME",
             "-N", "never", "-R", "hdrs", "-V", "id1", "-O", "x=y", "--", "alice@example.com", check=0)
    delivery = arrived(peer, "alice@example.com")[0]
    assert delivery.sender == "ops2@example.org"
    assert b"Full Name" in delivery.body


def test_sendmail_8bit_and_long_lines_and_crlf(gateway, peer):
    text = "Subject: Grüße\n\nGrüße\r\n".encode() + b"x" * 5000 + b"\nlast line without an end"
    sendmail(gateway, "-i", "alice@example.com", text=text, check=0)
    body = arrived(peer, "alice@example.com")[0].body
    assert body.endswith("\r\n\r\nGrüße\r\n".encode() + b"x" * 5000 + b"\r\nlast line without an end\r\n")


def test_sendmail_unknown_recipient_domain(gateway, peer):
    """Not a relay, for the command neither: no route out exists."""
    done = sendmail(gateway, "x@other.net")
    assert done.returncode != 0, "taken for a destination that does not exist"
    assert done.stderr
    assert peer.messages == 0


def test_sendmail_while_the_upstream_is_down(gateway, peer):
    peer.down()
    sendmail(gateway, "alice@example.com", check=0)
    gateway.wait_queued(1)
    peer.up()
    gateway.wait_queue_empty()
    assert peer.messages == 1


def test_sendmail_without_the_daemon(gateways, peer):
    """The mail must not vanish: kept for the next start, or refused with 75 (try again)."""
    gateway = gateways(relay_transport=peer.transport, delivery_mode="queue")
    gateway.stop()
    done = sendmail(gateway, "-f", "ops@example.org", "alice@example.com", env={"ALLOWED_DOMAINS": "example.com"})
    assert done.returncode in (0, 69, 75), done
    gateway.start()
    if done.returncode == 0:
        wait.until(lambda: peer.messages == 1, "the mail that was taken")
    else:
        assert done.stderr
        time.sleep(0.3)
        assert peer.messages == 0


def test_sendmail_too_big(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, message_size_limit=20000)
    done = sendmail(gateway, "alice@example.com", text=b"Subject: big\n\n" + b"x" * 70 + b"\n" + b"y" * 30000 + b"\n")
    assert done.returncode != 0 and done.stderr, done
    assert peer.messages == 0 and gateway.spool_files() == []


def test_sendmail_25_megabytes(gateway, peer):
    text = b"Subject: big\n\n" + (b"x" * 75 + b"\n") * (25_000_000 // 76)
    sendmail(gateway, "-i", "alice@example.com", text=text, check=0)
    body = arrived(peer, "alice@example.com")[0].body
    assert body.endswith(text.split(b"\n\n")[1].replace(b"\n", b"\r\n"))


def test_sendmail_by_link_from_a_program(gateway, peer):
    """As PHP's mail() and cron do."""
    done = gateway.run("-t", "-i", argv0="sendmail", input=b"To: alice@example.com\nSubject: x\n\nhello\n", check=0)
    assert done.stdout == b""
    arrived(peer, "alice@example.com")


def test_sendmail_is_quick_with_many(gateway, peer):
    people = [f"user{n}@example.com" for n in range(120)]
    sendmail(gateway, *people, check=0)
    wait.until(lambda: len(peer.deliveries) == 120, "120 copies")
    assert len({d.recipient for d in peer.deliveries}) == 120


def test_unprivileged_caller_cannot_read_the_queue_by_force(gateway, peer):
    """The control socket and the spool are the owner's; another user gets a clear word, not the mail."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    queue_some(gateway, peer)
    os.chmod(gateway.directory, 0o755)
    done = subprocess.run([gateway_binary(), "postqueue", "-p"], env={"QUEUE_DIRECTORY": str(gateway.spool)},
                          capture_output=True, user=65534, group=65534, timeout=20)
    assert done.returncode != 0 and b"alice" not in done.stdout, done
    peer.up()
    gateway.wait_queue_empty()
