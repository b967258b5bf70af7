"""Random dialogues (harness/random_dialogue.py) against the real binary, and the promises as properties:

  - a mail that got its 250 reaches each recipient that was taken, whole, and once; more often only where the upstream hid
    that it had it; or its sender is told once that it failed for this recipient
  - what was refused or cut off is delivered to nobody, and nobody gets a mail for whom it was not taken
  - each promised mail has its lines in the log, and ends there
  - nothing stays: no file, no session, no descriptor, and (in a build without sanitizers) no memory

DIALOGUE_SCENARIOS says how many (80, which is about 400 sessions), DIALOGUE_SEED where to begin. A scenario that fails is played alone,
made smaller, and printed."""

import itertools
import os
import time

import pytest

from harness import mail, random_dialogue, wait
from harness.gateway import Gateway, binary
from harness.lmtp_peer import Delivery, Fault, LmtpPeer

COUNT = int(os.environ.get("DIALOGUE_SCENARIOS") or 80)
FIRST = int(os.environ.get("DIALOGUE_SEED") or 1)
PERIOD = 200  # scenarios between two looks at what the process holds: about a thousand sessions
HIDES = {"drop-stored", "rst-stored", "nul", "garbage", "code-change", "no-crlf"}  # the peer stored it, and we cannot know
LIMITS = {f"lmtp_{step}_timeout": "1s" for step in ("mail", "rcpt", "data_init", "data_xfer", "data_done", "rset")}
SETTINGS = {**LIMITS, "lmtp_lhlo_timeout": "1s", "lmtp_connect_timeout": "1s", "direct_timeout": "500ms", "minimal_backoff_time": "1s",
            "maximal_backoff_time": "1s", "destination_probe_max": "500ms", "smtpd_error_sleep_time": "0", "smtpd_hard_error_limit": "1000",
            "smtpd_junk_command_limit": "100000", "smtpd_tls_security_level": "none", "bounce_queue_lifetime": "1h"}


class World:
    def __init__(self, settings):
        self.peer = LmtpPeer()
        self.gateway = Gateway(relay_transport=self.peer.transport, **SETTINGS, **settings)
        self.gateway.start()
        self.scenarios = 0
        self.held = None

    def end(self, whole=True):
        try:
            if whole:
                self.gateway.stop()
        finally:
            self.gateway.remove()
            self.peer.stop()

    # --- one scenario

    def play(self, scenario):
        self.peer.deliveries.clear()
        self.peer.connections[:] = self.peer.open_connections()
        log_from = len(self.gateway.lines)
        faults = [Fault(step, kind, nth=nth, times=times) for step, kind, nth, times in scenario.faults]
        self.peer.lifted.clear()
        self.peer.faults = list(faults)
        players = random_dialogue.play(scenario, self.gateway.address)
        self.settle(players)
        for queue_id in (m.queue_id for p in players for m in p.mails if m.outcome == "promised"):
            wait.until(lambda: any(f"{queue_id}: removed" in line for line in self.gateway.lines[log_from:]),
                       lambda: f"{queue_id} to end in the log\n" + "\n".join(said(players)) + "\n" + self.gateway.tail(60))
        hidden = sum(f.hits for f in faults if f.step == "dot" and f.kind in HIDES)
        self.peer.lift()
        check(players, list(self.peer.deliveries), hidden, list(self.gateway.lines[log_from:]))
        assert not self.peer.violations, self.peer.violations
        self.scenarios += 1

    def settle(self, players):
        """Until nothing is under way or waits. What waits is tried again at once, as long as it may be."""
        nudged = [0.0]

        def over():
            if self.gateway.spool_files("queue") and time.monotonic() - nudged[0] > 0.5:
                nudged[0] = time.monotonic()
                self.gateway.flush()
                self.take_held()
            return not self.gateway.spool_files("queue") and not self.gateway.spool_files("incoming") \
                and self.gateway.ask_status()["sessions"] == 0

        assert self.gateway.process.poll() is None, "it died\n" + self.gateway.tail()
        wait.until(over, lambda: f"all to be over: {self.gateway.spool_files()}, {self.gateway.ask_status()['sessions']} sessions\n"
                   + "\n".join(said(players)) + "\n" + self.gateway.tail(60), 40)

    def take_held(self):
        """A report that failed in its turn is on hold, for nobody is told of it: as good as told, for us."""
        for entry in self.gateway.postqueue():
            if entry["queue_name"] == "hold" and entry["sender"] == "MAILER-DAEMON":
                text = self.gateway.run("postcat", "-q", entry["queue_id"], check=0).stdout
                self.peer.store(Delivery(None, entry["recipients"][0]["address"], "", text, None, "FROM:<>"), first=False)
                self.gateway.run("postsuper", "-d", entry["queue_id"], check=0)

    # --- what the process holds

    def holdings(self):
        """Descriptors, and memory in KiB where sanitizers keep none, when it is idle."""
        wait.until(lambda: not self.peer.open_connections(), "sessions with the upstream to end", 20)
        memory = 0
        with open(f"/proc/{self.gateway.pid}/smaps_rollup", encoding="ascii") as rollup:
            memory = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return len(os.listdir(f"/proc/{self.gateway.pid}/fd")), 0 if "asan" in binary() else memory

    def look(self):
        """The first look is the baseline: by then caches are warm."""
        now = self.holdings()
        if self.held is None:
            self.held = now
        assert now[0] <= self.held[0] and now[1] <= self.held[1] + 1024, f"descriptors, KiB: {self.held}, and later {now}"


def said(players):
    return [line for number, p in enumerate(players) for line in (f"session {number}:", *p.said)]


def check(players, deliveries, hidden, log):
    reports = [d for d in deliveries if "FROM:<>" in d.mail_line]
    mails = {m.token: m for p in players for m in p.mails}
    context = "\n".join(said(players))
    for d in deliveries:
        if d in reports:
            assert d.recipient.startswith("s"), f"a report for {d.recipient}\n{context}"
            continue
        m = mails.get(d.token)
        assert m, f"delivered to {d.recipient}, and nobody sent it: {d.body[:300]}\n{context}"
        assert d.recipient in m.recipients, f"delivered to {d.recipient}, who was not taken in this mail\n{context}"
        assert mail.without_trace(d.body) == m.text, f"not what was sent ({m.outcome}): {d.body!r}\nsent {m.text!r}\n{context}"
    for m in mails.values():
        for recipient in m.recipients:
            copies = sum(d.token == m.token and d.recipient == recipient and d not in reports for d in deliveries)
            told = sum(d.recipient == m.sender and m.token.encode() in d.body and f"; {recipient}".encode() in d.body for d in reports)
            what = f"{m.outcome} mail from {m.sender} for {recipient} ({m.queue_id}): {copies} copies, {told} reports, {hidden} hidden\n{context}"
            if m.outcome == "promised":
                assert copies + told >= 1, what + "\n" + "\n".join(log)
            if m.outcome in ("promised", "unknown"):
                assert copies <= 1 + hidden and told <= 1 + hidden, what
                assert not (copies and told) or hidden, what + "\n" + "\n".join(log)
            else:
                assert copies <= (hidden if m.outcome == "refused" else 0) and told == 0, what + "\n" + "\n".join(log)
        if m.outcome == "promised":
            assert m.recipients, f"250 for nobody\n{context}"
            assert m.queue_id, f"250 without an id\n{context}"


def fails(scenario):
    """Alone, on a gateway of its own: the words of the failure."""
    world = World(scenario.settings)
    try:
        world.play(scenario)
        world.end()
    except AssertionError as failure:
        return str(failure) or "it failed"
    finally:
        world.end(whole=False)
    return None


def explain(scenario, failure):
    if not fails(scenario):
        return f"{failure}\n\nwhich does not come again with this scenario alone:\n{scenario}"
    small = random_dialogue.shrink(scenario, fails)
    return f"{fails(small) or failure}\n\nThe smallest that fails so, of DIALOGUE_SEED={scenario.seed} DIALOGUE_SCENARIOS=1:\n{small}"


@pytest.mark.parametrize("mode, verify", itertools.product(("direct", "queue"), ("yes", "no")))
def test_promises(mode, verify):
    settings = {"delivery_mode": mode, "verify_recipients": verify}
    world = World(settings)
    try:
        for scenario in map(random_dialogue.Scenario, range(FIRST, FIRST + COUNT)):
            if scenario.settings != settings:
                continue
            try:
                world.play(scenario)
            except AssertionError as failure:
                pytest.fail(explain(scenario, str(failure)))
            if world.scenarios % PERIOD == 0:
                world.look()
        world.end()
    finally:
        world.end(whole=False)
