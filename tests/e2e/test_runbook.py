"""What an operator types during an incident, in order, with each answer checked; and the same typed at a real Postfix,
whose answers are the reference. Where ours differ it is written down here (DIFFERENCES) and in docs/POSTFIX.md."""

import os
import pathlib
import re
import socket
import subprocess

import pytest

from harness import postfix, smtp_client, wait
from harness.gateway import binary, clean_environment

NETWORKS = "192.0.2.0/24"  # so that the test is a stranger to both
COMMANDS = ("mailq", "postcat", "postconf", "postqueue", "postsuper", "sendmail")
POSTFIX_DOC = pathlib.Path(__file__).parents[2] / "docs" / "POSTFIX.md"


class Mxgate:
    name = "mxgate"

    def __init__(self, gateways, peer, folder):
        self.peer = peer
        self.gateway = gateways(relay_transport=peer.transport, mynetworks=NETWORKS)
        self.folder = folder / "bin"
        self.folder.mkdir()
        for name in COMMANDS:
            (self.folder / name).symlink_to(binary())

    address = property(lambda self: self.gateway.address)
    pid = property(lambda self: self.gateway.pid)

    def log(self):
        return self.gateway.log()

    def environment(self):
        """`docker exec` has the container's environment."""
        environment = clean_environment(self.gateway.settings)
        environment["PATH"] = f"{self.folder}:{os.environ['PATH']}"
        return environment

    def after_postconf(self):
        """Nothing: it counts at once."""


class Postfix:
    name = "Postfix"

    def __init__(self, peer):
        self.peer = peer
        self.server = postfix.Postfix(transport=peer.transport, mynetworks=NETWORKS, smtpd_peername_lookup="no").start()

    address = property(lambda self: self.server.address)
    pid = property(lambda self: self.server.process.pid)

    def log(self):
        return self.server.log()

    def environment(self):
        return {"PATH": f"/usr/sbin:{os.environ['PATH']}", "MAIL_CONFIG": str(self.server.top / "conf")}

    def after_postconf(self):
        type_at(self, "postfix reload")
        wait.until(lambda: "reload -- version" in self.log(), "Postfix to reload")


def type_at(world, line):
    done = subprocess.run(["sh", "-c", line], env=world.environment(), capture_output=True, text=True, timeout=60 * wait.SCALE)
    assert done.returncode == 0, (world.name, line, done)
    return done.stdout


def common(world, text):
    """What is left when what must differ is taken out: ids, ports, process ids, times, sizes, widths of columns."""
    text = text.replace(f":{world.peer.port}", ":PORT")
    text = re.sub(r"\b[0-9A-F]{9,16}\b", "ID", text)
    text = re.sub(r"\bdeferred/[0-9A-F]/ID", "deferred/X/ID", text)
    text = re.sub(r"(?m)^.*? ?postfix/", "postfix/", text)
    text = re.sub(r"\[\d+\]: ", ": ", text)
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} +\d+ \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\b(delay|delays|size)=[\d./]+", r"\1=N", text)
    text = re.sub(r"(?m)^(ID[*!]?) +\d+ ", r"\1 N ", text)
    text = re.sub(r"\d+ Kbytes", "N Kbytes", text)
    text = re.sub(r"TESTPEER\d+:R\d+", "SESSION", text)
    return [" ".join(line.split()) for line in text.splitlines()]


def by_hand(world, recipient, message="by-hand@example.org", upto=None, sender="bob@example.org"):
    """telnet with lines that end in LF alone; every reply."""
    lines = ["HELO client.example.net", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA",
             f"Message-Id: <{message}>\nSubject: by hand\n\nhello\n.", "QUIT"]
    with smtp_client.Smtp(world.address, tls=False) as client:
        said = list(client.greeting.lines)
        for line in lines[:upto]:
            client.send(line.encode() + b"\n")
            said += client.reply().lines
    return "\n".join(said)


def queue_id_of(said):
    return re.search(r"queued as ([0-9A-F]+)", said).group(1)


def lines_of(world, queue_id):
    return "\n".join(line for line in world.log().splitlines() if queue_id in line)


def wait_for(world, pattern):
    return wait.until(lambda: re.search(pattern, world.log()), lambda: f"{pattern!r} in the log of {world.name}:\n{world.log()[-3000:]}", 20)


def idle(world):
    wait.until(lambda: "*" not in type_at(world, "postqueue -p"), "nothing to be under delivery")


def incident(world):
    """The answers, by step."""
    told = {}
    socket.create_connection(world.address).close()  # as monitoring does
    told["postconf NAME"] = type_at(world, "postconf relay_domains")
    told["postconf -h"] = type_at(world, "postconf -h relay_transport")
    told["postconf -n"] = type_at(world, "postconf -n | grep '^relay_'")

    told["a session by hand"] = by_hand(world, "alice@example.com")
    first = queue_id_of(told["a session by hand"])
    wait_for(world, f"{first}: removed")
    wait_for(world, "disconnect from")
    told["the log of a mail"] = "\n".join(sorted(common(world, lines_of(world, first))))
    told["the log of a session"] = "\n".join([line for line in common(world, world.log()) if re.search(r"smtpd: (connect|disconnect) from", line)][-2:])

    told["a foreign domain"] = by_hand(world, "x@example.net", upto=3)
    told["its line"] = wait_for(world, ".*Relay access denied.*").group()

    world.peer.down()
    told["a mail while the upstream is off"] = by_hand(world, "alice@example.com", "held@example.org")
    held = queue_id_of(told["a mail while the upstream is off"])
    told["status=deferred"] = wait_for(world, rf".*{held}: to=.*status=deferred \(connect to .*").group()
    wait.until(lambda: "(connect to" in type_at(world, "postqueue -p"), "the reason in the listing")
    told["postqueue -p"] = type_at(world, "postqueue -p")
    told["how many"] = type_at(world, "postqueue -p | tail -1 | awk '{print $5}'; mailq | grep -c '^[0-9A-F]'")
    told["postcat -vq"] = type_at(world, f"postcat -vq {held} | grep -E '^(regular_text: (Subject|Message-Id|hello)|sender: |recipient: |\\*\\*\\*)'")

    by_hand(world, "alice@example.com", "junk@example.net", sender="x@example.net")
    idle(world)
    told["hold and release"] = type_at(world, f"postsuper -h {held} 2>&1 | grep -v warning; postqueue -p | grep -c '^[0-9A-F]*!'; "
                                              f"postsuper -H {held} 2>&1 | grep -v warning")
    told["the classic pipe"] = type_at(world, "postqueue -p | tail -n +2 | awk 'BEGIN{RS=\"\"} /x@example.net/ {print $1}' | tr -d '*!' "
                                              "| postsuper -d - 2>&1 | grep -v warning")
    told["how many are left"] = type_at(world, "postqueue -p | tail -1 | awk '{print $5}'")

    type_at(world, 'postconf -e "relay_domains = $(postconf -h relay_domains), example.org"')
    world.after_postconf()
    told["postconf -e"] = type_at(world, "postconf relay_domains")
    told["the new domain"] = by_hand(world, "carol@example.org", "carol@example.org")
    carol = queue_id_of(told["the new domain"])
    wait_for(world, f"{carol}: to=.*status=deferred")
    idle(world)

    world.peer.up()
    type_at(world, "postqueue -f")
    sent = wait_for(world, rf".*{held}: to=.*status=sent .*").group()
    told["status=sent"] = re.sub(r" conn_use=2,", "", sent)  # two mails wait: which goes first is chance
    wait_for(world, f"{carol}: removed")
    wait.until(lambda: "empty" in type_at(world, "postqueue -p"), "an empty queue")
    told["an empty queue"] = type_at(world, "postqueue -p")
    told["a bare connect"] = "\n".join(sorted({line for line in common(world, world.log()) if "commands=0/0" in line}))
    told["ps"] = type_at(world, f"ps -o comm= -p {world.pid}")
    return {step: common(world, text) for step, text in told.items()}


# What differs, step by step: in ours, and what stands there in Postfix's. Each has its row in docs/POSTFIX.md.
DIFFERENCES = {
    "the log of a mail": (", conn_use=2, ", ", "),
    "a bare connect": ("", "postfix/smtpd: disconnect from unknown[127.0.0.1] commands=0/0"),
    "postcat -vq": (" deferred/ID ", " deferred/X/ID "),
    "ps": ("mxgate", "master"),
}


def test_mxgate(gateways, peer, tmp_path):
    told = incident(Mxgate(gateways, peer, tmp_path))
    assert told["postconf NAME"] == ["relay_domains = example.com"]
    assert told["postconf -h"] == ["lmtp:[127.0.0.1]:PORT"]
    assert told["a session by hand"][-2:] == ["250 2.0.0 Ok: queued as ID", "221 2.0.0 Bye"]
    assert told["a foreign domain"][-1] == "554 5.7.1 <x@example.net>: Relay access denied"
    assert "status=deferred (connect to 127.0.0.1[127.0.0.1]:PORT: Connection refused)" in told["status=deferred"][0]
    assert told["how many"] == ["1", "1"]
    assert told["hold and release"] == ["postsuper: ID: placed on hold", "postsuper: Placed on hold: 1 message", "1",
                                        "postsuper: ID: released from hold", "postsuper: Released from hold: 1 message"]
    assert told["the classic pipe"] == ["postsuper: ID: removed", "postsuper: Deleted: 1 message"]
    assert told["how many are left"] == ["1"]
    assert told["postconf -e"] == ["relay_domains = example.com, example.org"]
    assert "status=sent (250 2.0.0 <alice@example.com> SESSION Saved)" in told["status=sent"][0]
    assert told["an empty queue"] == ["Mail queue is empty"]
    assert told["ps"] == ["mxgate"] and told["a bare connect"] == []


def test_as_postfix_does(gateways, peers, tmp_path):
    assert postfix.available(), "Debian's postfix, as root"
    ours = incident(Mxgate(gateways, peers(), tmp_path))
    other = Postfix(peers())
    try:
        theirs = incident(other)
    finally:
        other.server.remove()
    for step, lines in ours.items():
        text, reference = "\n".join(lines), "\n".join(theirs[step])
        if step in DIFFERENCES:
            mine, postfixs = DIFFERENCES[step]
            assert mine in text and text != reference, (step, text)
            text = text.replace(mine, postfixs) if mine else postfixs
        assert text == reference, f"{step}:\n{text}\nbut Postfix:\n{reference}"


def test_the_differences_are_documented():
    text = POSTFIX_DOC.read_text()
    for step in DIFFERENCES:
        assert f"| {step} |" in text, step
