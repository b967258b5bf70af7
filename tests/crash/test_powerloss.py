"""Power loss at any moment: a gateway works under load and is recorded; for moments of that record every kind of legal
loss of what was not synced is made (powerloss.py), and what a gateway finds there at its start is counted.

Mail that got 250 and is not yet delivered is there, whole and once; what an operator ordered holds; what is recorded
is not repeated; nothing is invented. POWERLOSS_STATES is the number of spools made (600), POWERLOSS_SEED repeats the
choices, POWERLOSS_TRACE a record: a failed run keeps its own in build/test-logs and says all three."""

import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import ROOT, Gateway, binary
from harness.lmtp_peer import LmtpPeer
from powerloss import KINDS, Facts, File, Folder, State, Trace

STATES = int(os.environ.get("POWERLOSS_STATES") or 600)
SAMPLES = int(os.environ.get("POWERLOSS_SAMPLES") or max(6, STATES // 100))  # started for good
SEED = int(os.environ.get("POWERLOSS_SEED") or random.SystemRandom().randrange(10**9))
PROGRAMS = pathlib.Path(binary()).parent
TRACER, READER = PROGRAMS / "trace_files.so", PROGRAMS / "read_spool"
SIZES = (600, 600, 4000, 9000, 150_000)
SHM = pathlib.Path("/dev/shm")
OPERATOR = "postmaster@example.com"
IN_FLIGHT = 2  # of each destination
ELSEWHERE = "sub.example.com"  # has an upstream of its own


def failing(address):
    return address.startswith(("unknown", "full"))


def wants_success(sender):
    return sender.startswith("w")


# --- the work that is recorded


class Work:
    def __init__(self, folder, seed):
        self.trace = pathlib.Path(folder) / "trace"
        self.chance = random.Random(seed)
        self.file = open(self.trace, "ab", buffering=0)
        self.number = 0
        self.ids = []
        self.lock = threading.Lock()
        self.preload = {"LD_PRELOAD": str(TRACER), "MXGATE_TRACE": str(self.trace)}

    def mark(self, *words):
        self.file.write(("0 0 " + " ".join(map(str, words)) + "\n").encode())

    def _one(self, address, number, kind, size):
        token = mail.new_token()
        sender = f"{'w' if kind == 'success' else 's'}{number}@example.{'net' if kind == 'stranger' else 'com'}"  # to the latter there is a way
        count = 1 + number % 3
        recipients = [f"r{number}-{i}@{ELSEWHERE if i == 1 else 'example.com'}" for i in range(count)]
        if kind not in ("good", "success"):
            recipients[-1] = f"{'full' if number % 2 else 'unknown'}{number}-x@example.com"
        self.mark("begin", token, size, sender, ",".join(recipients))
        notify = " NOTIFY=SUCCESS,FAILURE" if kind == "success" else ""
        with smtp_client.Smtp(address) as client:
            client.hello()
            client.cmd(f"MAIL FROM:<{sender}>")
            for recipient in recipients:
                client.cmd(f"RCPT TO:<{recipient}>{notify}")
            reply = client.data(mail.message(token, size=size))
        name = re.search(r"queued as ([0-9A-F]+)", reply.text)
        if name:
            self.mark("taken", name.group(1), token)
            with self.lock:
                self.ids.append(name.group(1))

    def send(self, gateway, count, kind="good"):
        """`count` mails by as many clients at once."""
        threads = []
        for _ in range(count):
            self.number += 1
            threads.append(threading.Thread(target=self._one, args=(gateway.address, self.number, kind, self.chance.choice(SIZES))))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def order(self, gateway, option, name, before, after):
        self.mark(before, name)
        gateway.run("postsuper", option, name, env=self.preload, check=0)
        if after:
            self.mark(after, name)

    def orders(self, gateway):
        chosen = self.chance.sample(self.ids[-12:], 8)
        for name in chosen[:2]:
            self.order(gateway, "-d", name, "deleting", "deleted")
        for name in chosen[2:6]:
            self.order(gateway, "-h", name, "holding", "held")
        self.order(gateway, "-H", chosen[5], "releasing", None)
        self.order(gateway, "-r", chosen[6], "requeuing", None)
        gateway.run("postconf", "-e", f"smtpd_banner=$myhostname {self.number}", env=self.preload, check=0)


def record(folder, seed):
    """All that a spool sees: direct and queue mode, two upstreams that are away, refuse for now and for good, orders, a
    kill and what follows it. The trace and the folder it is of."""
    work = Work(folder, seed)
    with LmtpPeer(keep_bodies=False) as peer, LmtpPeer(keep_bodies=False) as other:
        gateway = Gateway(relay_transport=peer.transport, verify_recipients="no", smtpd_tls_security_level="none",
                          allowed_domains=f"example.com {ELSEWHERE}", transport_maps=f"inline:{{ {ELSEWHERE}={other.transport} }}",
                          lmtp_destination_concurrency_limit=str(IN_FLIGHT), notify_recipient=OPERATOR, **work.preload)
        try:
            gateway.start().wait_seen()
            peer.fail("rcpt", "4xx", nth=0, times=3)
            work.send(gateway, 5)
            work.send(gateway, 2, "success")
            work.send(gateway, 3, "failing")
            work.send(gateway, 2, "stranger")
            peer.down()
            work.send(gateway, 3)  # for some a part is delivered
            other.down()
            for _ in range(3):
                work.send(gateway, 5)
            work.send(gateway, 4, "failing")
            work.send(gateway, 3, "success")
            work.send(gateway, 3, "stranger")
            work.orders(gateway)
            peer.lift()
            peer.fail("rcpt", "4xx", times=9)
            peer.up()
            other.fail("data", "4xx", times=2)
            wait.until(lambda: len(gateway.spool_files("queue")) <= 24, "those of one destination to be delivered", 20)
            other.up()
            wait.until(lambda: len(gateway.spool_files("queue")) <= 16, "half to be delivered", 20)
            gateway.kill()
            peer.down()
            gateway.settings["delivery_mode"] = "queue"
            gateway.start()
            for _ in range(2):
                work.send(gateway, 6)
            work.send(gateway, 3, "failing")
            work.send(gateway, 3, "success")
            work.orders(gateway)
            peer.lift()
            peer.fail("rcpt", "4xx", times=5)
            peer.up()
            wait.until(lambda: all(q["queue_name"] == "hold" for q in gateway.postqueue()), "all but the held to go", 30)
            peer.down()
            work.send(gateway, 6)
            gateway.stop()
            assert not peer.violations, peer.violations
            return work.trace, gateway.spool
        except BaseException:
            print(gateway.tail(60))
            raise
        finally:
            work.file.close()
            gateway.remove()


# --- what is found after a loss


class Found:
    def __init__(self, lines, path):
        self.path = path
        self.messages, self.recipients, self.faults = {}, {}, []
        for line in lines:
            word, *rest = line.split(" ")
            if word == "message":
                self.messages[rest[0]] = rest[1:]
            elif word == "recipient":
                self.recipients.setdefault(rest[0], {})[rest[1]] = rest[2:]
            else:
                self.faults.append(line)
        self.content = {name: (path / "queue" / name).read_bytes() for name in self.messages}
        self.reports = {n for n, content in self.content.items() if b"\nsender <>" in content[:2000]}


class Reader:
    """The program read_spool, and the folder in which the spools are made for it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="mxgate-powerloss-", dir=SHM if SHM.is_dir() else None)
        self.process = subprocess.Popen([READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.number = 0

    def path(self):
        self.number += 1
        return pathlib.Path(self.folder.name) / str(self.number)

    def look(self, path):
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "done\n":
                return Found(lines, path)
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"read_spool ended with {self.process.wait()} at {path}")

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(20)
        self.folder.cleanup()
        assert code == 0, f"read_spool ended with {code}"


def owed(facts, cut):
    """id -> recipients of mails with 250 that the upstream has not confirmed, and nobody deleted."""
    found = {}
    for name, token in facts.token_of.items():
        if not facts.was(facts.promised, name, cut) or facts.ordered("deleting", name, cut):
            continue
        sender, recipients, _ = facts.mails[token]
        told = facts.was(facts.heard, sender, cut)
        left = [r for r in recipients if not facts.was(facts.heard, r, cut) and not (failing(r) and told)]
        if left:
            found[name] = left
    return found


def custody(facts, found, cut):
    """What is owed and not there."""
    wrong = []
    for name, left in owed(facts, cut).items():
        for address in left:
            reported = failing(address) and any(address.encode() in found.content[r] for r in found.reports)
            state = found.recipients.get(name, {}).get(address)
            if state is None and not reported:
                wrong.append(f"lost: {name} for {address}")
            elif state and state[0] == "sent":
                wrong.append(f"taken for sent: {name} for {address}")
            elif state and state[0] == "failed" and not failing(address):
                wrong.append(f"taken for failed: {name} for {address}")
    return wrong + success(facts, found, cut)


def success(facts, found, cut):
    """Who asked to be told of success, and was not, still will be."""
    wrong = []
    for name, token in facts.token_of.items():
        sender = facts.mails[token][0]
        if wants_success(sender) and facts.was(facts.promised, name, cut) and not facts.ordered("deleting", name, cut) \
                and not facts.was(facts.heard, sender, cut) and name not in found.messages \
                and not any(sender.encode() in found.content[r] for r in found.reports):
            wrong.append(f"success not told: {name} to {sender}")
    return wrong


def wholeness(facts, found):
    """Every file is a mail that somebody sent, as it was sent, and once."""
    wrong, seen = [], set()
    for name, content in found.content.items():
        if name in found.reports:
            continue
        token = mail.token_of(content)
        if token not in facts.mails:
            wrong.append(f"invented: {name}")
            continue
        if mail.message(token, size=facts.mails[token][2]) not in content:
            wrong.append(f"not as it was sent: {name}")
        if set(found.recipients[name]) != set(facts.mails[token][1]):
            wrong.append(f"other recipients: {name}")
        if token in seen or facts.token_of.get(name, token) != token:
            wrong.append(f"twice: {name}")
        seen.add(token)
    return wrong


def orders(facts, trace, found, cut):
    """What an operator was told is done stays so; what was recorded stays so."""
    wrong = []
    for word, name in facts.orders:
        if word == "deleted" and facts.ordered(word, name, cut) and name in found.messages:
            wrong.append(f"deleted and back: {name}")
        if word == "held" and facts.ordered(word, name, cut) and not facts.ordered("releasing", name, cut) \
                and name in found.messages and found.messages[name][0] != "1":
            wrong.append(f"held and not on hold: {name}")
    for name, recipients in found.recipients.items():
        durable = trace.durable(name, cut)
        for index in re.findall(rb"\nattempt \d+ rcpt=(\d+) sent ", durable or b""):
            address = list(recipients)[int(index)]
            if recipients[address][0] != "sent":
                wrong.append(f"recorded and forgotten: {name} to {address}")
    return wrong


def repeated(facts, found, cut):
    """Of mails that have recipients left: those that some recipient would get again. Only deliveries in flight may."""
    names = {n for n in owed(facts, cut) for a, (state, _) in found.recipients.get(n, {}).items()
             if state == "pending" and facts.was(facts.heard, a, cut)}
    return [f"delivered again: {sorted(names)}"] if len(names) > 2 * IN_FLIGHT else []


def told_again(facts, found, cut):
    """A sender who had his report gets another: not of what he was told, unless that report itself came back."""
    wrong = []
    for name, (_, report) in found.messages.items():
        sender = facts.mails.get(facts.token_of.get(name), ("",))[0]
        if sender and facts.was(facts.heard, sender, cut) and report not in found.messages \
                and any(failing(a) and told == "0" for a, (_, told) in found.recipients[name].items()):
            wrong.append(f"told again: {name}")
    return wrong


def faults(facts, trace, found, cut):
    return (found.faults + custody(facts, found, cut) + wholeness(facts, found) + orders(facts, trace, found, cut)
            + repeated(facts, found, cut) + told_again(facts, found, cut))


def cuts(trace, facts, chance, count):
    """Moments: right after each promise and each fact, and at random."""
    after = [p for table in (facts.promised, facts.heard, facts.orders) for p in table.values()]
    chosen = chance.sample(after, min(len(after), count // 3))
    return sorted(chosen + [chance.randrange(trace.length) for _ in range(count - len(chosen))])


def examine(trace, facts, reader, count, seed):
    """Makes about `count` spools. (What is wrong with the first bad one, or none; numbers)."""
    chance = random.Random(seed)
    seen, made = set(), 0
    for cut in cuts(trace, facts, chance, count // len(KINDS) + 1):
        for kind in KINDS:
            state = State(trace, cut, kind, chance)
            key = (cut, state.signature())
            if key in seen:
                continue
            seen.add(key)
            made += 1
            path = state.make(reader.path())
            found = reader.look(path)
            wrong = faults(facts, trace, found, cut)
            if wrong:
                return made, (cut, kind, wrong, state)
            shutil.rmtree(path)
    return made, None


# --- tests


@pytest.fixture(scope="module")
def recorded():
    if not TRACER.exists() or not READER.exists():
        pytest.fail(f"{TRACER} and {READER} are not there: make crash-programs")
    given = os.environ.get("POWERLOSS_TRACE")
    with tempfile.TemporaryDirectory(prefix="mxgate-powerloss-") as folder:
        path, spool = (pathlib.Path(given), pathlib.Path(given + ".spool").read_text()) if given else record(folder, SEED)
        yield path, spool


@pytest.fixture
def reader():
    made = Reader()
    yield made
    made.end()


def keep(path, spool, state):
    """For the one who looks into it."""
    kept = ROOT / "build" / "test-logs" / f"powerloss-{SEED}"
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    state.make(kept)
    shutil.copy(path, f"{kept}.trace")
    pathlib.Path(f"{kept}.trace.spool").write_text(str(spool))
    return f"POWERLOSS_SEED={SEED} POWERLOSS_STATES={STATES} POWERLOSS_TRACE={kept}.trace; the spool: {kept}"


def test_every_legal_loss(recorded, reader, capsys):
    trace = Trace(*recorded)
    facts = Facts(trace)
    assert len(facts.token_of) > 40 and len(facts.heard) > 40, "hardly any mail: this proves nothing"
    assert any(wants_success(a) for a in facts.heard) and any(a.endswith(ELSEWHERE) for a in facts.heard)
    made, bad = examine(trace, facts, reader, STATES, SEED)
    with capsys.disabled():
        print(f"\npowerloss: seed {SEED}, {trace.calls} calls, {len(facts.token_of)} mails got 250, "
              f"{len(facts.heard)} recipients were confirmed; {made} spools", file=sys.stderr)
    if bad:
        cut, kind, wrong, state = bad
        pytest.fail(f"after line {cut} ({kind}): {wrong[:5]}; {keep(*recorded, state)}")


@pytest.mark.parametrize("what", [File, Folder], ids=["files", "folders"])
def test_a_sync_left_out_is_noticed(recorded, reader, what):
    """The same record, as if the gateway had not synced: else the test above shows nothing."""
    trace = Trace(*recorded, drop=what)
    _, bad = examine(trace, Facts(trace), reader, STATES, SEED)
    assert bad, "without an fsync nothing is lost?"
    assert any("lost" in w or "bad" in w for w in bad[2]), bad[2]


def deliver_all(path):
    """The whole gateway on a spool, its upstream up, and once more: who got what, and what is on hold."""
    with LmtpPeer() as peer:
        gateway = Gateway(queue_directory=path, relay_transport=peer.transport, verify_recipients="no",
                          allowed_domains=f"example.com {ELSEWHERE}",
                          smtpd_tls_security_level="none", notify_recipient=OPERATOR)
        try:
            delivered = []
            for _ in range(2):
                gateway.start()
                wait.until(lambda: all(q["queue_name"] == "hold" for q in gateway.postqueue()),
                           lambda: f"the queue to empty: {[q for q in gateway.postqueue() if q['queue_name'] != 'hold']}\n"
                                   f"{gateway.tail(200)}", 20)
                held = {q["queue_id"] for q in gateway.postqueue()}
                gateway.stop()
                delivered.append(len(peer.deliveries))
            assert delivered[0] == delivered[1], f"{[d.recipient for d in peer.deliveries[delivered[0]:]]} got more after a restart"
            return peer.deliveries, held
        finally:
            gateway.remove()


def test_the_gateway_delivers_what_is_left(recorded, reader):
    """A few of the spools, started for good: each owed recipient gets it once, the sender of what failed is told once."""
    trace = Trace(*recorded)
    facts = Facts(trace)
    chance = random.Random(SEED + 1)
    for cut in cuts(trace, facts, chance, SAMPLES):
        state = State(trace, cut, chance.choice(KINDS), chance)
        path = state.make(reader.path())
        try:
            deliveries, held = deliver_all(path)
        except AssertionError as failure:
            raise AssertionError(f"after line {cut} ({state.kind}): {keep(*recorded, state)}") from failure
        copies = {}
        for delivery in deliveries:
            copies.setdefault(delivery.recipient, []).append(delivery)
        wrong = [f"{len(c)} copies for {r}" for r, c in copies.items() if len(c) > 1 and r != OPERATOR]
        known = {OPERATOR} | {a for s, recipients, _ in facts.mails.values() for a in (s, *recipients)}
        wrong += [f"invented: mail for {r}" for r in copies if r not in known]
        for name, left in owed(facts, cut).items():
            sender = facts.mails[facts.token_of[name]][0]
            for address in left:
                if name not in held and not copies.get(sender if failing(address) else address):
                    wrong.append(f"lost: {name} for {address}")
        assert not wrong, f"after line {cut} ({state.kind}): {wrong[:5]}; {keep(*recorded, state)}"
