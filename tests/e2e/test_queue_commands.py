"""postsuper, postcat, postqueue, mailq, flush: what they print, beside the real Postfix's where it is the reference, and
what they do to mail that is on its way (FACTS 5.2, 5.4 to 5.6)."""

import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import mail, postfix, smtp_client, wait
from harness.gateway import SANITIZER, binary, clean_environment

BACK_OFF = {"delivery_mode": "queue", "verify_recipients": "no", "minimal_backoff_time": "1h", "maximal_backoff_time": "1h"}
TEXT = b"From: <bob@example.org>\r\nTo: x,\r\n y\r\nDate: Thu, 9 Oct 2025 08:53:20 +0000\r\nMessage-ID: <1@x.example>\r\n" \
       b"Subject: hi\r\n\r\nbody one\r\n.dot\r\n\r\nlast\r\n"


def put(server, recipients=("alice@example.com",), sender="bob@example.org", text=None):
    """One message; its queue id."""
    reply = smtp_client.send(server.address, sender, list(recipients), text or mail.message(mail.new_token()), tls=False)
    assert reply.code == 250, reply
    return reply.text.split()[-1]


@pytest.fixture
def gateway(gateways, peer):
    """Its upstream is down: what comes is deferred."""
    peer.down()
    return gateways(relay_transport=peer.transport, **BACK_OFF)


def put_deferred(gateway, count=1, **more):
    ids = [put(gateway, **more) for _ in range(count)]
    gateway.wait_log(f"{ids[-1]}: to=.*status=deferred")
    return ids


def queue_names(gateway):
    return {entry["queue_id"]: entry["queue_name"] for entry in gateway.postqueue()}


def said(gateway, *arguments, code=0, input=None):
    """What postsuper says on stderr; nothing is on stdout."""
    done = gateway.run("postsuper", *arguments, check=code, input=input)
    assert done.stdout == b""
    return done.stderr.decode()


def count_words(count):
    return f"{count} message" + ("" if count == 1 else "s")


# --- beside the real Postfix

class Twins:
    """The same mail in a Postfix and in the gateway: what they print must be the same when ids and ports are."""

    def __init__(self, gateway, other):
        self.gateway = gateway
        self.other = other
        self.ids = [[], []]

    def put(self, count, **more):
        for _ in range(count):
            for ids, server in zip(self.ids, (self.gateway, self.other)):
                ids.append(put(server, **more))
        # the last one only: they go through the same queue
        for which, server in enumerate((self.gateway, self.other)):
            server.wait_log(f"{self.ids[which][-1]}: to=.*status=deferred")
        wait.until(lambda: self.other.run("postqueue", "-j").stdout.count(b'"delay_reason"') >= len(self.ids[1]),
                   "Postfix to have deferred all of them")

    def run(self, command, *arguments, input=""):
        """Both, with {0}, {1}, ... standing for the ids: (code, stdout, stderr) of each, ids and ports put in common."""
        outcomes = []
        for which, server in enumerate((self.gateway, self.other)):
            words = [word.format(*self.ids[which]) for word in (command, *arguments)]
            done = server.run(*words, input=input.format(*self.ids[which]).encode())
            outcomes.append((done.returncode, *(self.common(text.decode(), which) for text in (done.stdout, done.stderr))))
        return outcomes

    def common(self, text, which):
        for number, queue_id in enumerate(self.ids[which]):
            text = re.sub(rf"deferred/./{queue_id}", f"deferred/{queue_id}", text)  # hash_queue_names
            text = text.replace(queue_id, f"<{number}>")
        text = re.sub(r"127\.0\.0\.1\]:\d+", "127.0.0.1]:PORT", text)
        return re.sub(r"delivery temporarily suspended: ", "", text)

    def same(self, command, *arguments, input=""):
        ours, theirs = self.run(command, *arguments, input=input)
        assert ours == theirs, f"{command} {arguments}:\n{ours}\nbut Postfix:\n{theirs}"
        return ours


@pytest.fixture
def twins(gateway):
    if not postfix.available():
        pytest.skip("no Postfix installed, or not root")
    other = postfix.Postfix()
    try:
        yield Twins(gateway, other.start())
    finally:
        other.remove()


def test_postsuper_as_postfix_does(twins):
    twins.put(10)
    for arguments in (("-h", "{0}"), ("-h", "{0}"), ("-H", "{1}"), ("-H", "{0}"), ("-e", "{2}"), ("-d", "{3}"), ("-d", "{3}"),
                      ("-r", "{4}"), ("-d", "AAAA1234"), ("-d", "bad!id"), ("-d", "all"), ("-d", ""),
                      ("-H", "{5}", "-h", "{6}", "-d", "{7}", "-h", "{5}"), ("-d", "{6}", "deferred"), ("-h", "{6}", "hold"),
                      ("-d", "{8}", "nosuch"), ("-d", "{8}", "corrupt"), ("-d", "{8}", "incoming"), ("-d", "{8}", "bounce"),
                      ("-h", "{8}"), ("-e", "{8}"), ("-e", "{8}"), ("-d", "AAAA", "-h", "AAAA", "-H", "AAAA", "-r", "AAAA",
                      "-e", "AAAA"), ("-f", "{9}"), ("-s",), ("-p",), ("deferred",), ("nosuch",)):
        twins.same("postsuper", *arguments)
    twins.same("postsuper", "-d", "-", input="{5}\nAAAA1234\nbad!id\n\n  AAAA  \nDD\r\nALL\n-\n")
    ours, theirs = twins.run("postsuper", "-Z")
    assert ours[0] == theirs[0] == 1 and ours[2].splitlines()[0] == theirs[2].splitlines()[0]
    assert "postsuper: fatal: usage: postsuper " in ours[2]


def test_postsuper_all_as_postfix_does(twins):
    twins.put(4)
    for arguments in (("-h", "{0}"), ("-h", "ALL", "deferred", "active"), ("-h", "ALL"), ("-d", "ALL", "deferred"),
                      ("-H", "ALL"), ("-d", "ALL", "-d", "{0}"), ("-d", "ALL")):
        twins.same("postsuper", *arguments)
    assert twins.same("mailq") == (0, "Mail queue is empty\n", "")


def test_listings_as_postfix_does(twins):
    def by_message(text):
        """Sorted: Postfix's order is that of its hash."""
        head, *rest = text.split("\n", 1)
        return [head] + sorted(re.sub(r"^(<\d+>[*!#]*) +\d+ \w+ \w+ +\d+ [\d:]+", r"\1 SIZE TIME", block, flags=re.M)
                               for block in "".join(rest).split("\n\n"))

    def reasons(text):
        """The column of the reason depends on its length, which the port is part of."""
        return re.sub(r"(?m)^ *\((connect)", r"(\1", text)

    twins.put(2, recipients=["alice@example.com", "joe@example.com"])
    twins.put(1, sender="")
    for command in (("postqueue", "-p"), ("mailq",)):
        ours, theirs = twins.run(*command)
        assert ours[0] == theirs[0] == 0
        assert by_message(reasons(ours[1]))[:-1] == by_message(reasons(theirs[1]))[:-1]
    twins.same("postsuper", "-h", "{0}")
    twins.same("postsuper", "-e", "{0}", "-e", "{1}")
    ours, theirs = twins.run("mailq")
    assert re.search(r"(?m)^<0>!# +\d+ ", ours[1]) and re.search(r"(?m)^<0>!# +\d+ ", theirs[1])
    ours, theirs = twins.run("postqueue", "-j")
    objects = [{o["queue_id"]: o for o in map(json.loads, text.splitlines())} for text in (ours[1], theirs[1])]
    for o in (o for objects_of_one in objects for o in objects_of_one.values()):
        o["message_size"] = o["arrival_time"] = 0
    assert objects[0]["<0>"] == objects[1]["<0>"]
    assert objects[0]["<2>"] == objects[1]["<2>"]
    assert list(objects[0]["<0>"]) == list(objects[1]["<0>"])


def test_postqueue_errors_as_postfix_has_them(twins):
    twins.put(1)
    for arguments in (("-i", "{0}"), ("-i", "AAAA1234"), ("-i", "bad!id"), ("-s", "foo..bar"), ("-s", ""), (), ("-p", "extra"),
                      ("-p", "-j"), ("-f",), ("-Z",)):
        twins.same("postqueue", *arguments)
    twins.same("mailq", "x")
    twins.same("postcat", "-q", "0123ABC")
    twins.same("postcat", "-q", "x/y")
    twins.same("postcat", "/no/such/file")
    twins.same("postcat", "/etc/hostname")


def test_postcat_as_postfix_shows_it(twins):
    twins.put(1, text=TEXT, recipients=["alice@example.com", "joe@example.com"])

    def without_received(text):
        return re.sub(r"(?m)^(\s*\d+ +\d+ )?(regular_text: )?Received: .*\n(?:.*\t.*\n)*", "", text)

    for options in ("-hq", "-bq", "-bhq", "-bhvq", "-hvq"):
        ours, theirs = (without_received(outcome[1]) for outcome in twins.run("postcat", options, "{0}"))
        # Postfix rewrites To: that we pass on as it came
        assert re.sub("(?m)^(regular_text: )?To: .*\n( .*\n|regular_text:  .*\n)?", "", ours) == \
            re.sub("(?m)^(regular_text: )?To: .*\n( .*\n|regular_text:  .*\n)?", "", theirs), options
    for options in ("-q", "-eq", "-ebq", "-ehq", "-vq", "-oq", "-odvq"):
        ours, theirs = (outcome[1] for outcome in twins.run("postcat", options, "{0}"))
        assert re.findall(r"\*\*\* .*", ours) == re.findall(r"\*\*\* .*", theirs)
        names = [re.findall(r"(?m)^(?: *\d+ )?(?: *\d+ )?([a-z_]+): ", text) for text in (ours, theirs)]
        # each record that we have is one of Postfix's, in its order
        rest = iter(re.findall("sender|original_recipient|recipient|message_size|message_arrival_time", " ".join(names[1])))
        assert all(name in rest for name in re.findall("sender|original_recipient|recipient|message_size|message_arrival_time",
                                                       " ".join(names[0])))
        attributes = [set(re.findall(r"named_attribute: (\w+)=", text)) for text in (ours, theirs)]
        assert attributes[0] <= attributes[1]
        assert {"log_client_address", "client_name", "helo_name", "protocol_name"} <= attributes[0]
        assert ("regular_text: " in ours) == ("regular_text: " in theirs)
    for text in (outcome[1] for outcome in twins.run("postcat", "-eq", "{0}")):
        assert re.search(r"(?m)^message_size: +\d+ +\d+ +2 +0 +\d+ +0$", text), text


# --- what they do

def test_hold_and_release(gateway, peer):
    one, two = put_deferred(gateway, 2)
    assert said(gateway, "-h", one) == f"postsuper: {one}: placed on hold\npostsuper: Placed on hold: 1 message\n"
    assert queue_names(gateway) == {one: "hold", two: "deferred"}
    assert re.search(f"(?m)^{one}! ", gateway.run("mailq", check=0).stdout.decode())
    gateway.wait_log(rf"postfix/postsuper\[\d+\]: {one}: placed on hold$")
    gateway.wait_log(r"postfix/postsuper\[\d+\]: Placed on hold: 1 message$")
    peer.up()
    wait.until(lambda: queue_names(gateway) == {one: "hold"}, "the other to go")
    gateway.flush()
    time.sleep(0.3)
    assert peer.messages == 1
    gateway.kill()
    gateway.start()
    assert queue_names(gateway) == {one: "hold"}
    assert said(gateway, "-H", one) == f"postsuper: {one}: released from hold\npostsuper: Released from hold: 1 message\n"
    gateway.wait_queue_empty()
    assert peer.messages == 2
    gateway.wait_log(rf"postfix/postsuper\[\d+\]: {one}: released from hold$")


def test_delete(gateway, peer):
    ids = put_deferred(gateway, 3)
    assert said(gateway, "-d", ids[0], "-d", ids[1]) == (f"postsuper: {ids[0]}: removed\npostsuper: {ids[1]}: removed\n"
                                                          "postsuper: Deleted: 2 messages\n")
    assert list(queue_names(gateway)) == [ids[2]]
    gateway.wait_log(rf"postfix/postsuper\[\d+\]: {ids[0]}: removed$")
    gateway.kill()
    gateway.start()
    peer.up()
    gateway.wait_queue_empty()
    assert peer.messages == 1


def test_requeue_and_expire(gateway, peer):
    failed, expired = put_deferred(gateway, 2)
    assert said(gateway, "-e", expired) == f"postsuper: {expired}: expired\npostsuper: Force-expired: 1 message\n"
    wait.until(lambda: queue_names(gateway)[expired] == "hold", "it to be on hold")
    assert [e["forced_expire"] for e in gateway.postqueue()] == [False, True]
    gateway.wait_log(f"{expired}: from=<bob@example.org>, status=force-expired, kept on hold")
    fault = peer.fail("rcpt", "5xx")
    peer.up()
    wait.until(lambda: queue_names(gateway)[failed] == "hold", "it to fail")
    peer.lift()
    assert fault.hits == 1
    assert said(gateway, "-r", failed) == f"postsuper: {failed}: requeued\npostsuper: Requeued: 1 message\n"
    wait.until(lambda: list(queue_names(gateway)) == [expired], "it to go")
    said(gateway, "-H", expired)
    gateway.wait_queue_empty()
    assert peer.messages == 2
    assert json.loads(gateway.run("status", "--json", check=0).stdout)["operator_needed"] == 0


def test_all_and_queue_names(gateway):
    ids = put_deferred(gateway, 5)
    said(gateway, "-h", ids[0])
    assert said(gateway, "-d", "ALL", "deferred") == "postsuper: Deleted: 4 messages\n"
    assert queue_names(gateway) == {ids[0]: "hold"}
    for queue_id in ids[1:]:  # each can be found in the log, although only their number is told
        gateway.wait_log(rf"postsuper\[\d+\]: {queue_id}: removed$")
    assert said(gateway, "-d", "ALL") == "postsuper: Deleted: 1 message\n"
    assert gateway.run("mailq", check=0).stdout == b"Mail queue is empty\n"


def test_the_classic_pipe(gateway, tmp_path):
    """As it is typed, with the links that the image has."""
    for name in ("postqueue", "postsuper"):
        (tmp_path / name).symlink_to(binary())
    gone = put_deferred(gateway, 3, recipients=["alice@example.com", "x@example.com"])
    kept, = put_deferred(gateway)
    said(gateway, "-h", gone[1])
    done = subprocess.run(["sh", "-c", """postqueue -p | tail -n +2 | awk 'BEGIN{RS=""} /x@example.com/ {print $1}' """
                                       """| tr -d '*!' | postsuper -d -"""],
                          env={**clean_environment({"queue_directory": gateway.spool}), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
                          capture_output=True, timeout=20 * wait.SCALE)
    assert done.returncode == 0
    assert done.stderr.decode().splitlines()[-1] == "postsuper: Deleted: 3 messages"
    assert list(queue_names(gateway)) == [kept]
    tail = subprocess.run(["sh", "-c", "postqueue -p | tail -1 | awk '{print $5}'"],
                          env={**clean_environment({"queue_directory": gateway.spool}), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
                          capture_output=True, timeout=20 * wait.SCALE)
    assert tail.stdout == b"1\n"


def test_many_ids_from_standard_input(gateway):
    """More than one request holds."""
    ids = put_deferred(gateway, 250)
    text = said(gateway, "-h", "-", input="".join(f"{i}\n" for i in ids).encode())
    assert text == "".join(f"postsuper: {i}: placed on hold\n" for i in ids) + "postsuper: Placed on hold: 250 messages\n"
    gateway.wait_log(r"Placed on hold: 250 messages")
    assert set(queue_names(gateway).values()) == {"hold"}


def test_flush(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    fault = peer.fail("dot", "4xx")
    one, two, three = (put(gateway) for _ in range(3))
    wait.until(lambda: len(gateway.grep("status=deferred")) >= 3, "their first attempts")
    wait.until(lambda: set(queue_names(gateway).values()) == {"deferred"}, "them to wait")
    peer.lift()
    assert fault.hits == 3
    assert gateway.run("flush", one, check=0).stderr == b""
    wait.until(lambda: set(queue_names(gateway)) == {two, three}, "the one that was named")
    gateway.run("flush", "AAAA1234", check=0)
    assert b'Cannot flush queue ID - invalid name: "x/y"' in gateway.run("flush", "x/y", check=69).stderr
    assert gateway.run("flush", "a", "b").returncode == 64
    gateway.run("flush", check=0)
    gateway.wait_queue_empty()
    gateway.stop()
    assert b"mxgate: fatal: Cannot flush mail queue - mail system is down\n" in gateway.run("flush", check=69).stderr


# --- postcat

def test_postcat_states(gateways, peer):
    """The names of the queues are those of postqueue -j, the daemon dead or alive."""
    peer.delay["rcpt"] = 60
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    active = put(gateway, recipients=["alice@example.com"])
    wait.until(lambda: queue_names(gateway).get(active) == "active", "its delivery")
    held = put(gateway)
    said(gateway, "-h", held)

    def shown(queue_id):
        return gateway.run("postcat", "-eq", queue_id, check=0).stdout.decode().splitlines()[0]

    assert shown(active) == f"*** ENVELOPE RECORDS active/{active} ***"
    wait.until(lambda: queue_names(gateway)[held] == "hold", "it to be taken back")
    assert shown(held) == f"*** ENVELOPE RECORDS hold/{held} ***"
    gateway.kill()
    assert shown(active) == f"*** ENVELOPE RECORDS deferred/{active} ***"
    assert shown(held) == f"*** ENVELOPE RECORDS hold/{held} ***"
    assert queue_names(gateway) == {active: "deferred", held: "hold"}
    peer.lift()


def test_postcat_several_and_files(gateway):
    one, two = put_deferred(gateway, 2, text=TEXT)
    text = gateway.run("postcat", "-q", one, two, check=0).stdout.decode()
    assert re.findall(r"\*\*\* (.*) \*\*\*", text) == [f"{part} deferred/{i}" for i in (one, two) for part in
                                                        ("ENVELOPE RECORDS", "MESSAGE CONTENTS", "HEADER EXTRACTED", "MESSAGE FILE END")]
    done = gateway.run("postcat", "-bq", one, "0123ABC", two, check=1)
    assert done.stdout == b"\nbody one\n.dot\n\nlast\n", "up to the one that is not there, as Postfix"
    assert done.stderr == b"postcat: fatal: open queue file 0123ABC: No such file or directory\n"
    path = gateway.spool / "queue" / one
    by_name = gateway.run("postcat", path, check=0).stdout.decode()
    assert by_name == gateway.run("postcat", "-q", one, check=0).stdout.decode().replace(f"deferred/{one}", str(path))
    assert gateway.run("postcat", "-b", input=path.read_bytes(), check=0).returncode == 0


def test_postcat_done_recipients(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    peer.fail("rcpt", "4xx", nth=1)
    queue_id = put(gateway, recipients=["alice@example.com", "joe@example.com"])
    wait.until(lambda: queue_names(gateway).get(queue_id) == "deferred" and gateway.grep("status=sent"), "the first attempt")
    text = gateway.run("postcat", "-eq", queue_id, check=0).stdout.decode()
    assert "\ndone_recipient: alice@example.com\n" in text and "\nrecipient: joe@example.com\n" in text


def test_postcat_of_damaged_files(gateway):
    one, = put_deferred(gateway, text=TEXT)
    gateway.stop()
    path = gateway.spool / "queue" / one
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"body one", b"body two"))
    gateway.start()
    wait.until(lambda: (gateway.spool / "corrupt" / one).exists() or gateway.postqueue(), "the start")
    done = gateway.run("postcat", "-q", one, check=0)
    assert b"body two\n.dot\n" in done.stdout, "what can be read is shown"
    assert re.search(rb"postcat: warning: (corrupt|deferred)/%s: .*sum" % one.encode(), done.stderr), done.stderr
    if path.exists():  # until somebody loads it
        done = gateway.run("postsuper", "-s", check=1)
        assert re.search(rb"postsuper: warning: queue file %s: .*sum" % one.encode(), done.stderr), done.stderr
    gateway.stop()
    (gateway.spool / "corrupt" / "00000000000000FF").write_bytes(sound[:60])
    done = gateway.run("postcat", "-q", "00000000000000FF", check=0)
    assert b"postcat: warning: corrupt/00000000000000FF: input is not a valid queue file" in done.stderr and done.stdout == b""


def test_postcat_large(gateways, peer):
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    peer.down()
    text = mail.message(mail.new_token(), size=8_000_000)
    queue_id, = put_deferred(gateway, text=text)
    shown = gateway.run("postcat", "-bhq", queue_id, check=0).stdout
    assert mail.without_trace(shown) == text.replace(b"\r\n", b"\n")


# --- while deliveries run

@pytest.fixture
def slow(gateways, peer):
    """An upstream that keeps its answer back until lift(): at the recipient, or after the dot."""
    def start(step):
        peer.delay[step] = 60
        gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
        token = mail.new_token()
        queue_id = put(gateway, text=mail.message(token))
        wait.until(lambda: queue_names(gateway).get(queue_id) == "active", "its delivery")
        want = b"DATA" if step == "dot" else b"RCPT"
        wait.until(lambda: any(c.startswith(want) for connection in peer.connections for c in connection.commands), f"{want}")
        time.sleep(0.2)  # for the dot
        return gateway, queue_id, token
    return start


def test_delete_before_the_dot(slow, peer):
    gateway, queue_id, token = slow("rcpt")
    assert said(gateway, "-d", queue_id).splitlines()[-1] == "postsuper: Deleted: 1 message"
    peer.lift()
    gateway.wait_queue_empty()
    time.sleep(0.3)
    assert peer.count(token) == 0
    assert gateway.spool_files("queue") == []


def test_delete_after_the_dot(slow, peer):
    gateway, queue_id, token = slow("dot")
    begun = time.monotonic()
    assert said(gateway, "-d", queue_id).splitlines()[-1] == "postsuper: Deleted: 1 message"
    assert time.monotonic() - begun < 5 * wait.SCALE, "the answer does not wait for the upstream"
    assert gateway.spool_files("queue") == []
    peer.lift()
    gateway.wait_log(f"{queue_id}: to=.*status=sent")
    gateway.wait_log(rf"qmgr\[\d+\]: {queue_id}: removed")
    assert peer.count(token) == 1
    gateway.kill()
    gateway.start()
    assert gateway.postqueue() == []


def test_hold_while_it_runs(slow, peer):
    gateway, queue_id, token = slow("rcpt")
    said(gateway, "-h", queue_id)
    wait.until(lambda: queue_names(gateway) == {queue_id: "hold"}, "it to be taken back")
    peer.lift()
    time.sleep(0.3)
    assert peer.count(token) == 0
    said(gateway, "-H", queue_id)
    gateway.wait_queue_empty()
    assert peer.count(token) == 1


def test_kill_after_the_order(gateways, peer):
    """What was told is so, whatever happens then."""
    peer.down()
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    for round_ in range(6):
        ids = put_deferred(gateway, 12)
        said(gateway, "-h", *ids[:1], *itertools.chain(*(("-h", i) for i in ids[1:4])))
        said(gateway, *itertools.chain(*(("-d", i) for i in ids[4:8])))
        said(gateway, *itertools.chain(*(("-e", i) for i in ids[8:10])))
        gateway.kill()
        names = queue_names(gateway)
        assert [names.get(i) for i in ids[1:4]] == ["hold"] * 3
        assert not set(ids[4:8]) & set(names)
        gateway.start()
        wait.until(lambda: [queue_names(gateway).get(i) for i in ids[8:10]] == ["hold"] * 2, "what was expired to be on hold")
        assert said(gateway, "-d", "ALL").startswith("postsuper: Deleted: ")
        assert gateway.postqueue() == []


def test_kill_in_the_middle_of_an_order(gateways, peer):
    """Every message is as before or as ordered, and none is lost."""
    peer.down()
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    ids = put_deferred(gateway, 300)
    for order, wait_s in (("-h", 0.01), ("-H", 0.02), ("-r", 0.03), ("-e", 0.02), ("-H", 0.01)):
        command = subprocess.Popen([binary(), "postsuper", order, "ALL"], stderr=subprocess.PIPE,
                                   env=clean_environment({"queue_directory": gateway.spool}))
        time.sleep(wait_s * wait.SCALE)
        gateway.kill()
        _, err = command.communicate(timeout=20 * wait.SCALE)
        assert not SANITIZER.search(err.decode()), err
        gateway.start()
        assert set(queue_names(gateway)) == set(ids)
    # what was to expire while on hold does so when it is released, and has to be released once more
    def released():
        said(gateway, "-H", "ALL")
        return all(e["queue_name"] == "deferred" and not e["forced_expire"] for e in gateway.postqueue())

    wait.until(released, "all to be released", 20)
    peer.up()
    gateway.wait_queue_empty(30)
    assert peer.messages == 300


def test_orders_under_load(gateways, peer):
    """Mail comes, goes, is held, released, requeued by several commands at once: nothing is lost, nothing is twice."""
    peer.delay["dot"] = 0.01
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    tokens, stop, failures = [], threading.Event(), []

    def load():
        with smtp_client.Smtp(gateway.address) as client:
            client.hello()
            while not stop.is_set():
                token = mail.new_token()
                if client.mail("bob@example.org", ["alice@example.com"], mail.message(token)).code == 250:
                    tokens.append(token)

    def orders(*arguments):
        while not stop.is_set():
            done = gateway.run("postsuper", *arguments)
            if done.returncode != 0:
                failures.append(done)

    workers = [threading.Thread(target=load) for _ in range(3)]
    workers += [threading.Thread(target=orders, args=a) for a in (("-h", "ALL"), ("-H", "ALL"), ("-r", "ALL"))]
    for worker in workers:
        worker.start()
    time.sleep(4)
    stop.set()
    for worker in workers:
        worker.join(60)
    assert not failures, failures[0]
    assert len(tokens) > 50
    said(gateway, "-H", "ALL")
    gateway.flush()
    wait.until(lambda: (gateway.flush(), not gateway.postqueue())[1], "an empty queue", 60, interval=0.3)
    assert [t for t in tokens if peer.count(t) != 1] == []


def test_deletions_under_load(gateways, peer):
    """No file comes back, and what was told as deleted is not delivered unless its dot was out."""
    peer.delay["dot"] = 0.02
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    ids = []
    stop = threading.Event()

    def load():
        with smtp_client.Smtp(gateway.address) as client:
            client.hello()
            while not stop.is_set():
                ids.append(client.mail("bob@example.org", ["alice@example.com"], mail.message(mail.new_token())).text.split()[-1])

    workers = [threading.Thread(target=load) for _ in range(2)]
    for worker in workers:
        worker.start()
    removed = []
    until = time.monotonic() + 4
    while time.monotonic() < until:
        listed = list(queue_names(gateway))
        text = said(gateway, "-d", "-", input="".join(f"{i}\n" for i in listed).encode())
        removed += re.findall(r"postsuper: ([0-9A-F]+): removed", text)
    stop.set()
    for worker in workers:
        worker.join(60)
    assert removed
    gateway.wait_queue_empty(30)
    assert gateway.spool_files("queue") == []
    assert len(removed) == len(set(removed))
    log = gateway.log()
    for queue_id in removed:
        assert f"{queue_id}: removed" in log
    assert "its file is gone" not in log and "cannot be recorded" not in log
    delivered = {re.search(r"lmtp\[\d+\]: ([0-9A-F]+):", line).group(1) for line in gateway.grep("status=sent")}
    assert set(ids) == delivered | set(removed)
    gateway.stop()
    gateway.start()
    assert gateway.postqueue() == []


# --- the daemon is down

def test_postsuper_without_the_daemon(gateway, peer):
    ids = put_deferred(gateway, 6)
    gateway.kill()
    assert said(gateway, "-h", ids[0], "-d", ids[1], "-r", ids[2], "-e", ids[3]) == (
        f"postsuper: {ids[0]}: placed on hold\npostsuper: {ids[1]}: removed\npostsuper: {ids[2]}: requeued\n"
        f"postsuper: {ids[3]}: expired\npostsuper: Requeued: 1 message\npostsuper: Deleted: 1 message\n"
        "postsuper: Force-expired: 1 message\npostsuper: Placed on hold: 1 message\n")
    assert said(gateway, "-d", ids[1], "-d", "AAAA1") == "postsuper: Deleted: 0 messages\n"
    assert said(gateway, "-h", "ALL", "deferred") == "postsuper: Placed on hold: 4 messages\n"
    assert said(gateway, "-H", "ALL") == "postsuper: Released from hold: 5 messages\n"
    assert said(gateway, "-h", ids[0]) .startswith(f"postsuper: {ids[0]}: placed on hold\n")
    peer.up()
    gateway.start()
    wait.until(lambda: queue_names(gateway) == {ids[0]: "hold", ids[3]: "hold"}, "the rest to go, the expired one to expire")
    assert peer.messages == 3
    gateway.stop()
    assert said(gateway, "-d", "ALL") == "postsuper: Deleted: 2 messages\n"
    assert gateway.run("mailq", check=0).stdout == b"Mail queue is empty\n"


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_no_daemon_starts_while_the_command_has_the_lock(gateway):
    ids = put_deferred(gateway, 2)
    gateway.stop()
    # every sync takes a second longer
    command = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=1000000",
                                binary(), "postsuper", "-h", ids[0], "-h", ids[1]], stderr=subprocess.PIPE,
                               env={**clean_environment({"queue_directory": gateway.spool}), "ASAN_OPTIONS": "detect_leaks=0"})

    def locked():
        held = f":{(gateway.spool / 'lock').stat().st_ino} "
        return any(held in line and "FLOCK" in line for line in pathlib.Path("/proc/locks").read_text().splitlines())

    wait.until(locked, "the command to hold the lock")
    gateway.start(ready=False)
    assert gateway.wait_exit() == 75
    _, err = command.communicate(timeout=20 * wait.SCALE)
    assert err.decode().splitlines()[-1] == "postsuper: Placed on hold: 2 messages", err
    gateway.start()
    assert set(queue_names(gateway).values()) == {"hold"}


def test_a_slow_pipe_holds_nobody(gateway):
    """Neither the daemon nor the lock waits for it: ids are read to their end first."""
    ids = put_deferred(gateway, 2)
    gateway.stop()
    command = subprocess.Popen([binary(), "postsuper", "-d", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=clean_environment({"queue_directory": gateway.spool}))
    command.stdin.write(f"{ids[0]}\n".encode())
    command.stdin.flush()
    time.sleep(0.3)
    gateway.start()
    assert set(queue_names(gateway)) == set(ids)
    _, err = command.communicate(timeout=20 * wait.SCALE)
    assert err.decode() == f"postsuper: {ids[0]}: removed\npostsuper: Deleted: 1 message\n"
    assert list(queue_names(gateway)) == [ids[1]]


def test_a_daemon_that_starts_meanwhile_is_found(gateway):
    """Its lock is taken, its socket is not there yet."""
    queue_id, = put_deferred(gateway)
    gateway.signal(signal.SIGSTOP)  # with the lock; then the socket's name goes
    socket_path = gateway.spool / "control.sock"
    away = gateway.spool / "control.away"
    socket_path.rename(away)
    command = subprocess.Popen([binary(), "postsuper", "-h", queue_id], stderr=subprocess.PIPE,
                               env=clean_environment({"queue_directory": gateway.spool}))
    time.sleep(0.5)
    assert command.poll() is None
    away.rename(socket_path)
    gateway.signal(signal.SIGCONT)
    _, err = command.communicate(timeout=20 * wait.SCALE)
    assert err.decode().startswith(f"postsuper: {queue_id}: placed on hold\n")


def test_flush_and_listing_without_the_daemon(gateway):
    queue_id, = put_deferred(gateway)
    gateway.kill()
    done = gateway.run("postqueue", "-p", check=0)
    assert done.stderr.decode().startswith("postqueue: warning: Mail system is down -- accessing queue directly (connect to ")
    for arguments in (("-f",), ("-i", queue_id), ("-i", "AAAA1234"), ("-s", "example.com")):
        assert gateway.run("postqueue", *arguments, check=69).stderr == \
            b"postqueue: fatal: Cannot flush mail queue - mail system is down\n"


# --- who may

@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("alive", [True, False], ids=["alive", "down"])
def test_only_the_owner_or_root(gateways, peer, tmp_path_factory, alive):
    peer.down()
    gateway = gateways(relay_transport=peer.transport, **BACK_OFF)
    gateway.directory.chmod(0o755)
    queue_id, = put_deferred(gateway)
    if not alive:
        gateway.kill()
    program = gateway.directory / "mxgate"
    shutil.copy(binary(), program)

    def as_nobody(*arguments):
        return subprocess.run([program, *arguments], env=clean_environment({"queue_directory": gateway.spool}), user=65534,
                              group=65534, extra_groups=[], capture_output=True, timeout=20 * wait.SCALE)

    done = as_nobody("postsuper", "-d", "ALL")
    assert done.returncode == 1
    assert done.stderr.startswith(b"postsuper: fatal: use of this command is reserved for the superuser")
    done = as_nobody("postcat", "-q", queue_id)
    assert done.returncode == 1 and done.stdout == b"" and done.stderr
    assert list(queue_names(gateway)) == [queue_id]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_root_leaves_the_spool_usable_for_its_owner(gateways, peer):
    """`docker exec` is root, the daemon is not."""
    owner = 65533
    gateway = gateways(start=False, relay_transport=peer.transport, **BACK_OFF)
    gateway.directory.chmod(0o755)
    gateway.spool.mkdir(mode=0o700)
    os.chown(gateway.spool, owner, owner)
    program = gateway.directory / "mxgate"
    shutil.copy(binary(), program)
    first = subprocess.Popen([program, "serve"], env=clean_environment(gateway.settings), user=owner, group=owner, extra_groups=[],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        port = None
        while port is None:
            line = first.stdout.readline().decode()
            assert line, "the gateway ended"
            found = re.search(r"Listening on 127\.0\.0\.1:(\d+)", line)
            port = int(found.group(1)) if found else None
        threading.Thread(target=first.stdout.read, daemon=True).start()
        peer.down()
        reply = smtp_client.send(("127.0.0.1", port), "b@example.org", ["alice@example.com"], mail.message(mail.new_token()))
        queue_id = reply.text.split()[-1]
        assert said(gateway, "-h", queue_id).endswith("Placed on hold: 1 message\n")  # alive, as root
    finally:
        first.terminate()
        first.wait(20)
    assert said(gateway, "-H", queue_id).endswith("Released from hold: 1 message\n")  # down, as root
    assert {p.stat().st_uid for p in gateway.spool.rglob("*")} == {owner}
    peer.up()
    second = subprocess.Popen([program, "serve"], env=clean_environment(gateway.settings), user=owner, group=owner, extra_groups=[],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait.until(lambda: peer.messages == 1, "the message that root released")
    finally:
        second.terminate()
        assert second.wait(20) == 0
