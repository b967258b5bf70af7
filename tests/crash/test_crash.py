"""kill -9 at random moments, under load, with the upstream going up and down; on the same spool, round after round.

Every mail that got its 250 is delivered in the end. A mail may arrive twice only where a kill fell between the
upstream's reply and the gateway's record of it: at most as many at one kill as deliveries can be in flight.
CRASH_ROUNDS sets the number of rounds, CRASH_MINUTES ends each test after so long, CRASH_SEED repeats a run's choices
(the moments are real time, so not its outcome)."""

import collections
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import Gateway
from harness.lmtp_peer import LmtpPeer

ROUNDS = int(os.environ.get("CRASH_ROUNDS") or 200)
MINUTES = float(os.environ.get("CRASH_MINUTES") or 0)
SEED = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(10**9))
CLIENTS = 4
MOST_QUEUED = 2000
IN_FLIGHT = 5  # default_destination_concurrency_limit
DISK = 24 << 20  # of the disk that fills


class Load:
    """Clients that send until told to stop, reconnecting as often as the gateway dies."""

    def __init__(self, seed):
        self.port = None
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.taken = {}  # token -> recipients, of mails that got 250
        self.refused = collections.Counter()
        self.threads = [threading.Thread(target=self._run, args=(random.Random(seed * 100 + n),)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _run(self, chance):
        while not self.stop.is_set():
            port = self.port
            if port is None:
                time.sleep(0.005)
                continue
            try:
                with smtp_client.Smtp(("127.0.0.1", port), timeout=30) as client:
                    client.hello()
                    for _ in range(chance.randrange(1, 20)):
                        self._one(client, chance)
                        if self.stop.is_set() or self.port != port:
                            break
            except (OSError, smtp_client.Closed, ValueError):
                time.sleep(0.003)

    def _one(self, client, chance):
        token = mail.new_token()
        recipients = [f"user{n:02}@example.{'net' if n % 2 else 'com'}" for n in chance.sample(range(30), chance.choice((1, 1, 1, 2, 3)))]
        size = chance.choice((600, 600, 4000, 20_000, 150_000))
        body = mail.message(token, size=size)
        if chance.random() < 0.5:  # a pipelining client
            client.send(b"MAIL FROM:<bob@example.org>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % r.encode() for r in recipients) + b"DATA\r\n")
            codes = [client.reply().code for _ in range(len(recipients) + 2)]
            if codes[-1] != 354:
                self._not_taken(codes[-1])
                return
            client.send(body + b".\r\n")
            reply = client.reply()
        else:
            reply = client.mail("bob@example.org", recipients, body)
        if reply.code == 250:
            with self.lock:
                self.taken[token] = recipients
        else:
            self._not_taken(reply.code)

    def _not_taken(self, code):
        with self.lock:
            self.refused[code] += 1


class Tunnel(threading.Thread):
    """Takes the upstream away and gives it back, at random."""

    def __init__(self, peer, seed):
        super().__init__(daemon=True)
        self.peer, self.chance = peer, random.Random(seed)
        self.stop = threading.Event()
        self.changes = 0

    def run(self):
        while not self.stop.wait(self.chance.uniform(0.05, 0.8)):
            self.peer.down(abrupt=False)
            self.changes += 1
            if self.stop.wait(self.chance.uniform(0.02, 0.6)):
                break
            self.peer.up()
        self.peer.up()


@contextlib.contextmanager
def small_disk():
    """A file system of its own, of DISK bytes."""
    with tempfile.TemporaryDirectory(prefix="mxgate-disk-") as folder:
        if os.geteuid() != 0:
            pytest.skip("needs root to mount a small file system")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


class Filler(threading.Thread):
    """Somebody else fills the disk, to the last block or nearly, and gives it back, at random."""

    def __init__(self, folder, seed):
        super().__init__(daemon=True)
        self.path, self.chance = folder / "somebody-else", random.Random(seed)
        self.stop = threading.Event()
        self.changes = 0

    def run(self):
        while not self.stop.wait(self.chance.uniform(0.05, 0.6)):
            self.fill(self.chance.choice((0, 0, 4096, 60_000, 300_000)))
            self.changes += 1
            self.stop.wait(self.chance.uniform(0.02, 0.4))
            self.path.unlink()

    def fill(self, left):
        with open(self.path, "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(bytes(65536)) == 65536:
                    pass
            file.truncate(max(file.tell() - left, 0))


def one_life(gateway, peers, load, chance, number, kinds):
    """Starts the gateway, lets it work, ends it. Returns how and when it ended."""
    gateway.settings["delivery_mode"] = chance.choice(("direct", "queue"))
    for peer in peers:
        peer.life = number
    kind = chance.choices(("work", "start", "term"), weights=(85, 8, 7))[0]
    kinds[kind, gateway.settings["delivery_mode"]] += 1
    if kind == "start":  # dies while it reads its spool
        gateway.start(ready=False)
        time.sleep(chance.uniform(0, 0.04))
        load.port = gateway.port
    else:
        gateway.start()
        if len(gateway.spool_files("queue")) < MOST_QUEUED:  # else this life only delivers
            load.port = gateway.port
        time.sleep(chance.uniform(0.02, 0.6) if chance.random() < 0.9 else chance.uniform(0, 0.02))
    if kind == "term":
        gateway.stop(10)
    else:
        gateway.process.send_signal(signal.SIGKILL)
    when = time.monotonic()
    if kind != "term":
        gateway.kill()
    load.port = None
    # what had already reached the upstream's sockets is taken there, and belongs to this life
    wait.until(lambda: not any(p.open_connections() for p in peers), "the upstream to notice", 10)
    return kind, when


def judge(peers, load, ends, killed):
    """Every mail taken is there; every double has a kill between its two deliveries."""
    copies = collections.defaultdict(list)  # (token, recipient) -> deliveries in order
    for delivery in sorted((d for p in peers for d in p.deliveries), key=lambda d: d.when):
        copies[delivery.token, delivery.recipient].append(delivery)
    lost = [(t, r) for t, recipients in load.taken.items() for r in recipients if not copies[t, r]]
    doubles = collections.defaultdict(set)  # life that ended too early -> tokens
    unexplained, oldest = [], 0
    for (token, recipient), deliveries in copies.items():
        for first, second in zip(deliveries, deliveries[1:]):
            life = first.connection.life
            if life >= second.connection.life or ends[life] == "term":
                unexplained.append((token, recipient, [d.connection.life for d in deliveries], ends[life]))
            else:
                doubles[life].add(token)
                oldest = max(oldest, killed[life] - first.when)
    return lost, doubles, unexplained, oldest


@pytest.mark.parametrize("destinations", [1, 2])
def test_kill_at_random_moments(capsys, destinations):
    """With two destinations (example.com here, example.net there) that come and go by themselves: a quarter of the
    rounds; mails with recipients of both are delivered in parts."""
    kill_at_random_moments(capsys, destinations, ROUNDS if destinations == 1 else max(ROUNDS // 4, 1))


def test_kill_while_the_disk_fills(capsys):
    """On a small disk that others fill as well: what cannot be kept is refused, what was promised is kept."""
    with small_disk() as disk:
        filler = Filler(disk, SEED)
        kill_at_random_moments(capsys, 1, max(ROUNDS // 8, 1), filler, queue_directory=disk / "spool", message_size_limit="1000000",
                               queue_minfree="1")
        assert filler.changes > 0


def kill_at_random_moments(capsys, destinations, rounds, filler=None, **settings):
    chance = random.Random(SEED)
    begun = time.monotonic()
    ends, killed, kinds, deepest = {}, {}, collections.Counter(), 0
    with LmtpPeer(keep_bodies=False) as first, LmtpPeer(keep_bodies=False) as second:
        peers = (first, second)[:destinations]
        maps = {"transport_maps": f"inline:{{ example.net={second.transport} }}"} if destinations == 2 else {}
        gateway = Gateway(relay_transport=first.transport, verify_recipients="no", destination_probe_max="500ms",
                          allowed_domains="example.com example.net", **maps, **settings)
        load, tunnels = Load(SEED), [Tunnel(p, SEED + n) for n, p in enumerate(peers)]
        troubles = [*tunnels, *([filler] if filler else [])]
        for trouble in troubles:
            trouble.start()
        try:
            try:
                for number in range(rounds):
                    ends[number], killed[number] = one_life(gateway, peers, load, chance, number, kinds)
                    deepest = max(deepest, len(gateway.spool_files("queue")))
                    del gateway.lines[:-2000]
                    if MINUTES and time.monotonic() - begun > MINUTES * 60:
                        rounds = number + 1
                        break
            finally:
                load.finish()
                for trouble in troubles:
                    trouble.stop.set()
                    trouble.join()
            left = len(gateway.spool_files("queue"))
            for peer in peers:
                peer.life = rounds
            ends[rounds] = "term"
            gateway.start()
            gateway.wait_queue_empty(60)
            gateway.stop()
            lost, doubles, unexplained, oldest = judge(peers, load, ends, killed)
            most = max(map(len, doubles.values()), default=0)
            with capsys.disabled():
                print(f"\ncrash: seed {SEED}, {destinations} destination(s), {rounds} rounds in {time.monotonic() - begun:.0f} s "
                      f"({', '.join(f'{k}/{m} {n}' for (k, m), n in sorted(kinds.items()))}), upstream away {sum(t.changes for t in tunnels)} times"
                      f"{f', disk full {filler.changes} times' if filler else ''}; "
                      f"{len(load.taken)} mails got 250, {sum(load.refused.values())} did not; at most {deepest} in the spool, {left} at the end; "
                      f"lost {len(lost)}; twice {sum(map(len, doubles.values()))} at {len(doubles)} kills "
                      f"(most at one: {most}, the oldest {oldest * 1000:.0f} ms before it), unexplained {len(unexplained)}", file=sys.stderr)
            assert not lost, f"{len(lost)} copies of mails that got 250 are nowhere: {lost[:5]}"
            assert not unexplained, f"{len(unexplained)} doubles that no kill explains: {unexplained[:5]}"
            assert most <= IN_FLIGHT * destinations, f"more doubles at one kill than deliveries in flight: {dict(doubles)}"
            assert len(load.taken) > (rounds // 4 if filler else rounds), "hardly any mail got through: this proves nothing"
            assert not any(p.violations for p in peers), [p.violations for p in peers]
            wait.until(lambda: not gateway.spool_files(), lambda: f"an empty spool: {gateway.spool_files()[:10]}")
            assert sum(n for (kind, _), n in kinds.items() if kind != "term") >= min(rounds // 2, rounds - 20)
        except BaseException:
            with capsys.disabled():
                print(f"\ncrash: seed {SEED}\n" + gateway.tail(60), file=sys.stderr)
            raise
        finally:
            gateway.remove()


STEPS = [(calls, n) for calls, most in (("fsync,fdatasync", 6), ("rename,renameat,renameat2", 4), ("unlink,unlinkat", 4))
         for n in range(1, most + 1)] + [("write,pwrite64,writev,pwritev,pwritev2", n) for n in range(1, 40, 5)]


@pytest.mark.parametrize("delivery_mode", ["direct", "queue"])
@pytest.mark.parametrize("calls,when", STEPS, ids=[f"{c.split(',')[0]}-{w}" for c, w in STEPS])
def test_kill_at_a_step(calls, when, delivery_mode, gateways, peer, inject):
    """kill -9 on entering the n-th fsync, rename, unlink or write of a thread: around each step of a commit, a record
    and a removal."""
    fault = peer.fail("rcpt", "4xx", nth=0, times=3)  # so that there are results to record
    gateway = gateways(relay_transport=peer.transport, delivery_mode=delivery_mode, verify_recipients="no")
    inject(gateway, f"{calls}:signal=SIGKILL:when={when}")
    taken = []
    for _ in range(12):
        token = mail.new_token()
        try:
            reply = smtp_client.send(gateway.address, "bob@example.org", ["alice@example.com", "bob@example.com"],
                                     mail.message(token, size=1500))
        except (OSError, smtp_client.Closed):
            break
        assert reply.code == 250, reply
        taken.append(token)
    if gateway.process.poll() is None:  # the step may come with the retries, or not at all
        wait.until(lambda: gateway.process.poll() is not None or all(peer.count(t) >= 2 for t in taken), "the kill", 8)
    gateway.kill()
    gateway.start()
    gateway.wait_queue_empty()
    for token in taken:
        for recipient in ("alice@example.com", "bob@example.com"):
            assert 1 <= peer.count(token, recipient) <= 2, f"{recipient}: {peer.count(token, recipient)}"
    doubles = [t for t in taken if peer.count(t) > 2]
    assert len(doubles) <= 1, f"{len(doubles)} doubles from one kill, one sender"
    assert fault.hits <= 3
    wait.until(lambda: not gateway.spool_files(), lambda: f"an empty spool: {gateway.spool_files()}")
