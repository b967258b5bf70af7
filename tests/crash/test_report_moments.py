"""kill -9 at random moments, under load, of mail of which somebody is to be told: some recipients do not exist, some are full,
some senders asked to hear that it was delivered, and some mail waits long enough to be late.

In the end every recipient of a mail that got its 250 has it, or failed; of each that failed the sender (or, where there is no
way to him, the operator, and then it is on hold) was told by exactly one report, of each delivery asked for by NOTIFY=SUCCESS
likewise, and of its being late by one at most. The same report may come twice as any mail may: where a kill fell between the
upstream's reply and our record of it."""

import collections
import random
import re
import sys
import time

from harness import mail, wait
from harness.gateway import Gateway
from harness.lmtp_peer import LmtpPeer
from test_crash import IN_FLIGHT, ROUNDS, SEED, Load, Tunnel, one_life

LOCAL, STRANGER, OPERATOR = "bob@example.com", "bob@example.org", "postmaster@example.com"
KINDS = {"Undelivered Mail Returned to Sender": "failure", "Delayed Mail (still being retried)": "delay",
         "Successful Mail Delivery Report": "success", "Postmaster Notice: Undelivered Mail on Hold": "notice"}


class FailingLoad(Load):
    """What it sent is in `sent`, by token: sender, and recipients with their parameters; what got 250 in `taken`."""

    def __init__(self, seed):
        self.sent = {}
        super().__init__(seed)

    def _one(self, client, chance):
        token = mail.new_token()
        sender = LOCAL if chance.random() < 0.9 else STRANGER
        names = [f"user{n:02}@example.{'net' if n % 2 else 'com'}" for n in chance.sample(range(30), chance.choice((1, 1, 2, 3)))]
        dice = chance.random()
        if dice < 0.15:
            names.append(f"{chance.choice(('unknown', 'full'))}{chance.randrange(9)}@example.{chance.choice(('com', 'net'))}")
        elif dice < 0.25:
            names[0] += " NOTIFY=SUCCESS"
        if dice < 0.03:
            names = names[-1:]
        self.sent[token] = sender, names
        client.cmd(f"MAIL FROM:<{sender}>")
        for name in names:
            address, _, parameters = name.partition(" ")
            client.cmd(f"RCPT TO:<{address}> {parameters}".rstrip())
        reply = client.data(mail.message(token, size=chance.choice((600, 600, 4000, 100_000))))
        if reply.code == 250:
            with self.lock:
                self.taken[token] = names
        else:
            self._not_taken(reply.code)


class Report:
    def __init__(self, delivery):
        text = delivery.body.decode("utf-8", "replace")
        self.to, self.token, self.delivery = delivery.recipient, delivery.token, delivery
        self.id = re.search(r"^Message-Id: <(\w+)@", text, re.M)[1]
        self.kind = KINDS[re.search(r"^Subject: (.*?)\r$", text, re.M)[1]]
        self.about = re.findall(r"^Final-Recipient: rfc822; (.*?)\r$", text, re.M)


def fails(address):
    return address.startswith(("unknown", "full"))


def judge(peers, load, ends):
    """What is wrong with the reports; and how many came twice, by the life that ended too early."""
    wrong, twice, seen = [], collections.defaultdict(set), {}
    ids = collections.defaultdict(set)  # (token, kind, recipient) -> reports
    deliveries = sorted((d for p in peers for d in p.deliveries), key=lambda d: d.when)
    arrived = {(d.token, d.recipient) for d in deliveries if "FROM:<>" not in d.mail_line}
    for report in (Report(d) for d in deliveries if "FROM:<>" in d.mail_line):
        before = seen.get(report.id)
        seen[report.id] = report
        life = report.delivery.connection.life
        if before:
            first = before.delivery.connection.life
            if first >= life or ends[first] == "term":
                wrong.append(("twice, and no kill explains it", report.id, first, life))
            twice[first].add(report.id)
        for address in report.about:
            ids[report.token, report.kind, address].add(report.id)
        sender = load.sent[report.token][0]
        if report.to != (OPERATOR if report.kind == "notice" else LOCAL) or (sender == STRANGER) != (report.kind == "notice"):
            wrong.append(("told somebody else", report.kind, sender, report.to))
    for key, reports in ids.items():
        if len(reports) > 1:
            wrong.append(("two reports", key, sorted(reports)))
        if key[1] in ("failure", "notice") and not fails(key[2]):
            wrong.append(("failed, it says", key))
    for token, names in load.taken.items():
        sender = load.sent[token][0]
        for name in names:
            address, _, parameters = name.partition(" ")
            if fails(address):
                if not ids[token, "failure" if sender == LOCAL else "notice", address]:
                    wrong.append(("nobody was told", token, sender, address))
                continue
            if (token, address) not in arrived:
                wrong.append(("lost", token, address))
            if parameters and sender == LOCAL and not ids[token, "success", address]:
                wrong.append(("he was not told that it was delivered", token, address))
    return wrong, twice, collections.Counter(k for _, k, _ in {(t, k, i) for (t, k, _), r in ids.items() for i in r})


def test_reports_when_killed_at_random_moments(capsys):
    rounds = max(ROUNDS // 4, 1)
    chance = random.Random(SEED)
    begun = time.monotonic()
    ends, kinds = {}, collections.Counter()
    with LmtpPeer(keep_bodies="reports") as first, LmtpPeer(keep_bodies="reports") as second:
        peers = (first, second)
        gateway = Gateway(relay_transport=first.transport, verify_recipients="no", destination_probe_max="500ms",
                          allowed_domains="example.com example.net", notify_recipient=OPERATOR, notify_limit="10000",
                          delay_warning_time="1s", transport_maps=f"inline:{{ example.net={second.transport} }}")
        load, tunnels = FailingLoad(SEED), [Tunnel(p, SEED + n) for n, p in enumerate(peers)]
        for tunnel in tunnels:
            tunnel.start()
        try:
            try:
                for number in range(rounds):
                    ends[number], _ = one_life(gateway, peers, load, chance, number, kinds)
                    del gateway.lines[:-2000]
            finally:
                load.finish()
                for tunnel in tunnels:
                    tunnel.stop.set()
                    tunnel.join()
            for peer in peers:
                peer.life = rounds
            ends[rounds] = "term"
            gateway.start()
            wait.until(lambda: not [q for q in gateway.postqueue() if q["queue_name"] != "hold"], "only what is on hold to be left", 60)
            held = len(gateway.postqueue())
            gateway.stop()
            wrong, twice, told = judge(peers, load, ends)
            most = max(map(len, twice.values()), default=0)
            with capsys.disabled():
                print(f"\ncrash: seed {SEED}, {rounds} rounds in {time.monotonic() - begun:.0f} s; {len(load.taken)} mails got 250, "
                      f"{sum(load.refused.values())} did not; told of: {', '.join(f'{k} {n}' for k, n in sorted(told.items()))}; "
                      f"on hold {held}; twice {sum(map(len, twice.values()))} at {len(twice)} kills; wrong {len(wrong)}", file=sys.stderr)
            assert not wrong, f"{len(wrong)} wrong: {wrong[:10]}"
            assert most <= IN_FLIGHT * 2, f"more doubles at one kill than deliveries in flight: {dict(twice)}"
            assert held == told["notice"]
            assert all(told[kind] >= rounds / 5 for kind in ("failure", "success")), f"hardly any report: {told}"
        finally:
            gateway.remove()
