"""Death at every step by which mail changes hands: each CRASH_POINT of the source in turn, with clients at work and an
operator giving orders. After it a start without the point, and then all is counted.

The list is read from src/, so a point that is added is visited. CRASH_PASSES says at which pass of a point (1,2 unless
told: the first must be met, later ones may not come)."""

import os
import pathlib
import re
import threading
import time

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import ROOT, binary

POINTS = sorted(name for source in (ROOT / "src").glob("*/*.c") for name in re.findall(r'CRASH_POINT\("([a-z-]+)"\)', source.read_text()))
PASSES = [int(n) for n in (os.environ.get("CRASH_PASSES") or "1,2").split(",")]
CRASHING = pathlib.Path(binary()).parent / "crash" / "mxgate"
STATUS = 86  # CRASH_POINT_STATUS
IN_FLIGHT = 2
DAMAGED = b"mxgate-spool 1\nid nonsense\n"
# Where a process dies first for the points of what a start does: a report is taken, what it is of is not settled.
AT_START = {"intent-lasting": "bounce-committed", "intent-removed": "bounce-committed", "removal-unlinked": "bounce-committed",
            "intent-recorded": "tell-committed"}
MAILS = (("good", 600), ("good", 200_000), ("failing", 900), ("partly", 900), ("good", 3000), ("failing", 150_000), ("good", 900),
         ("good", 1500), ("noticed", 900))


def tells(point):
    """Its way is the report that mail is late; then that mail stays."""
    return point.startswith("tell-") or AT_START.get(point, "").startswith("tell-")


def test_each_point_has_a_name_of_its_own():
    assert len(POINTS) == len(set(POINTS)) and len(POINTS) > 30, POINTS


class Work:
    """What is asked of a gateway that may end at any moment, and what it said."""

    def __init__(self, gateway, point):
        self.gateway, self.point = gateway, point.partition(":")[0]
        self.environment = {"MXGATE_CRASH_POINT": point}
        self.taken = {}  # id -> (token, sender, recipients)
        self.lock = threading.Lock()
        self.held = self.deleted = None  # ids, when told that it is done
        self.unsure = set()  # ids of which nobody heard whether it was
        self.banner = ("old",)
        self.nudged = 0

    def nudge(self):
        """What was deferred is tried again now, not in two seconds."""
        if time.monotonic() - self.nudged > 0.2 and not self.dead():
            self.gateway.run("postqueue", "-f")
            self.nudged = time.monotonic()

    def dead(self):
        return self.gateway.process.poll() is not None

    def _one(self, number, kind, size):
        token, sender = mail.new_token(), f"s{number}@example.{'org' if kind == 'noticed' else 'com'}"
        recipients = {"good": [f"r{number}@example.com", f"q{number}@example.com"], "failing": [f"unknown{number}@example.com"],
                      "partly": [f"full{number}@example.com", f"later{number}@example.com"],
                      "noticed": [f"unknown{number}@example.com"]}[kind]
        try:
            reply = smtp_client.send(self.gateway.address, sender, recipients, mail.message(token, size=size), timeout=10)
        except (OSError, smtp_client.Closed):
            return
        name = re.search(r"^250 .*queued as ([0-9A-F]+)", reply.text)
        if name:
            with self.lock:
                self.taken[name.group(1)] = (token, sender, recipients)

    def send(self):
        only = "good" if tells(self.point) else "failing" if self.point in AT_START else None
        threads = [threading.Thread(target=self._one, args=(n, only or kind, size)) for n, (kind, size) in enumerate(MAILS)]
        for group in threads[:4], threads[4:]:
            for thread in group:
                thread.start()
            for thread in group:
                thread.join()

    def _good(self):
        return [i for i, (_, _, recipients) in self.taken.items() if recipients[0].startswith("r")]

    def kept(self):
        """What stays on hold: it failed, and no way leads to its sender, so the operator is told."""
        return {i for i, (_, sender, _) in self.taken.items() if sender.endswith("@example.org")}

    def _order(self, option, name):
        done = self.gateway.run("postsuper", option, name, env=self.environment)
        if done.returncode == 0 and not self.dead():
            return name
        self.unsure.add(name)
        return None

    def orders(self):
        names = self._good()
        if len(names) >= 4 and not self.dead():
            self.held = self._order("-h", names[0])
        if len(names) >= 4 and not self.dead():
            self.deleted = self._order("-d", names[1])
        done = self.gateway.run("postconf", "-e", "smtpd_banner=new", env=self.environment)
        self.banner = ("new",) if done.returncode == 0 else ("old", "new")
        return done.returncode


def begin(gateways, peer, point, number):
    settings = {}
    if point.startswith("certificate"):  # of this name there are none yet
        settings = {"hostname": f"mx-{point}-{number}.example.com", "smtpd_tls_security_level": "may"}
    else:
        settings = {"smtpd_tls_security_level": "none"}
    if tells(point):
        settings["delay_warning_time"] = "1s"
    gateway = gateways(start=False, relay_transport=peer.transport, verify_recipients="no", lmtp_destination_concurrency_limit=str(IN_FLIGHT),
                       notify_recipient="postmaster@example.com",
                       MXGATE_CRASH_POINT=f"{AT_START.get(point, point)}:{number}", **settings)
    for folder in ("incoming", "queue"):
        (gateway.spool / folder).mkdir(mode=0o700, parents=True)
    gateway.spool.chmod(0o700)
    (gateway.spool / "incoming" / "0000000000000002").write_bytes(b"half a mail")
    (gateway.spool / "queue" / "0000000000000001").write_bytes(DAMAGED)
    done = gateway.run("postconf", "-e", "smtpd_banner=old")
    assert done.returncode == 0, done
    return gateway


def told(peer, name, sender):
    """How often the sender was told, or the operator in his place."""
    reports = [d for d in list(peer.deliveries) if "FROM:<>" in d.mail_line]
    if sender.endswith("@example.org"):
        return sum(d.recipient == "postmaster@example.com" and name.encode() in d.body for d in reports)
    return sum(d.recipient == sender for d in reports)


def settled(work, peer):
    """Every recipient has it or its sender was told, but of what is held and deleted."""
    work.nudge()
    for name, (token, sender, recipients) in work.taken.items():
        if name in (work.held, work.deleted, *work.unsure):
            continue
        for recipient in recipients:
            if not (told(peer, name, sender) if recipient.startswith(("unknown", "full")) else peer.count(token, recipient)):
                return False
    return True


def live(work, peer):
    """Until it dies, or all is done."""
    wait.until(lambda: work.gateway.port or work.dead(), "the gateway to listen or to die")
    if work.dead():
        return
    work.send()
    if work.orders() == STATUS:  # the point was postconf's
        return
    if tells(work.point):
        wait.until(work.dead, lambda: f"somebody to be told that mail is late\n{work.gateway.tail()}")
    peer.up()
    wait.until(lambda: work.dead() or (settled(work, peer) and len(work.gateway.spool_files("queue")) <= len(work.kept()) + (work.held is not None)),
               lambda: f"the mail to go\n{work.gateway.tail()}")


def account(work, peer, deaths):
    doubles = set()
    for name, (token, sender, recipients) in work.taken.items():
        for recipient in recipients:
            failing = recipient.startswith(("unknown", "full"))
            copies = told(peer, name, sender) if failing else peer.count(token, recipient)
            if name in (work.held, work.deleted):
                assert copies == 0, f"{name} was held or deleted, and delivered"
                continue
            assert (name not in work.unsure) <= copies <= 1 + deaths, f"{copies} copies of {name} for {recipient} ({sender})"
            if copies > 1:
                doubles.add(name)
    assert len(doubles) <= IN_FLIGHT * deaths, f"more doubles than deliveries in flight: {doubles}"


@pytest.mark.parametrize("number", PASSES)
@pytest.mark.parametrize("point", POINTS)
def test_death_at_a_point(point, number, gateways, peer, monkeypatch):
    assert CRASHING.exists(), f"{CRASHING} is not there: make crash-programs"
    monkeypatch.setenv("MXGATE_BIN", str(CRASHING))
    peer.fail("rcpt", "4xx", nth=1, times=2)
    peer.down()
    gateway = begin(gateways, peer, point, number)
    work = Work(gateway, f"{point}:{number}")
    gateway.start(ready=False)
    live(work, peer)
    deaths = 0
    if point in AT_START:
        assert work.dead() and gateway.process.returncode == STATUS, gateway.tail()
        gateway.kill()
        gateway.settings["MXGATE_CRASH_POINT"] = f"{point}:1"
        gateway.start(ready=False)
        wait.until(lambda: work.dead() or settled(work, peer), lambda: f"it to end or all to be told\n{gateway.tail()}")
        deaths = 1
    dead = work.dead()
    deaths += dead
    if dead:
        assert gateway.process.returncode == STATUS, gateway.tail()
    else:
        met = point.startswith("overrides") and work.banner == ("old", "new")
        assert met or number > 1, f"{point} does not lie on the way of this test: let its work go there"
    gateway.kill()
    del gateway.settings["MXGATE_CRASH_POINT"]
    gateway.start()
    peer.up()
    wait.until(lambda: settled(work, peer), lambda: f"what had its 250: {work.taken}\n{gateway.tail(60)}")
    wait.until(lambda: {q["queue_id"] for q in gateway.postqueue() if q["queue_id"] in work.taken} <= {work.held, *work.kept(), *work.unsure},
               lambda: f"the queue to empty: {gateway.postqueue()}")
    account(work, peer, deaths)
    on_hold = {q["queue_id"] for q in gateway.postqueue() if q["queue_name"] == "hold"}
    assert on_hold >= work.kept() | ({work.held} if work.held else set())
    assert gateway.run("postconf", "-h", "smtpd_banner").stdout.decode().strip() in work.banner
    assert [(gateway.spool / f).read_bytes() for f in gateway.spool_files("corrupt")] == [DAMAGED]
    wait.until(lambda: not gateway.spool_files("incoming"), lambda: f"nothing half done: {gateway.spool_files('incoming')}")
    if point.startswith("certificate"):
        with smtp_client.Smtp(gateway.address, tls=False) as client:
            client.hello()
            client.starttls()
