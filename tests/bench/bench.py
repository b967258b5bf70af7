"""Called by run.sh: measures, and prints the table."""

import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import disk
import load
import matrix
import process
import report
import rivals
import servers
import tls
from servers import Mxgate, Postfix

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK = bool(os.environ.get("QUICK"))
ROUNDS = int(os.environ.get("ROUNDS") or (1 if QUICK else 3))
ROUND_S = 1.0 if QUICK else 4.0  # how long one server is under load in one round, about
SESSIONS = 200 if QUICK else 1000
MANY_SESSIONS = 2000 if QUICK else 10000
QUEUED = 200 if QUICK else 10000
QUEUED_FEW = 1000  # for those who take few a second
OUTAGE_S = 1 if QUICK else 60
PATIENCE_S = 3 if QUICK else 30  # for the others to notice that the upstream is back
PERIOD = "one round" if ROUNDS == 1 else f"median of {ROUNDS} rounds"
OPEN_WIDE = {"smtpd_connection_limit": 15000, "smtpd_client_connection_count_limit": 15000}

WITH_POSTFIX = Postfix.available()
OTHERS = {}  # name -> class: what rivals.found() could install


class Table:
    def __init__(self, columns):
        self.columns = columns
        self.rows = []

    def add(self, what, **cells):
        self.rows.append((what, [cells.get(c, "") for c in self.columns]))
        print(f"  {what}: " + ", ".join(f"{k} {v}" for k, v in cells.items()), flush=True)

    def show(self):
        head = ["mxgate, direct", "mxgate, queue", "Postfix " + postfix_version(), *self.columns[3:]]
        width = max(len(r[0]) for r in self.rows)
        print("\n" + " " * width + "".join(f"{h:>18}" for h in head))
        for what, cells in self.rows:
            print(f"{what:{width}}" + "".join(f"{c:>18}" for c in cells))
        return head


def postfix_version():
    done = subprocess.run(["postconf", "-dh", "mail_version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def mib(kib):
    return f"{kib / 1024:.1f} MiB"


def three(folder, sink_port, slow_disk=False, **settings):
    """settings: mxgate's."""
    found = {mode: Mxgate(folder / mode, sink_port, mode, slow_disk, **settings) for mode in ("direct", "queue")}
    if WITH_POSTFIX:
        found["Postfix"] = Postfix(folder / "postfix", sink_port, slow_disk)
    return found


def all_of_them(folder, sink_port):
    return three(folder, sink_port) | {name: kind(folder / name, sink_port) for name, kind in OTHERS.items()}


class Series:
    """What one server did with one kind of load, round for round."""

    def __init__(self, server, sink, extra):
        self.server, self.sink, self.extra = server, sink, extra
        self.rates, self.costs = [], []
        load.run(server, sink, 100, extra)  # Postfix starts its processes, mxgate opens its sessions
        self.count = max(100, int(load.run(server, sink, 200, extra)[0] * ROUND_S))

    def round(self):
        rate, cost = load.run(self.server, self.sink, self.count, self.extra)
        self.rates.append(rate)
        self.costs.append(cost)


def throughput(table, folder, loads, make=three, **settings):
    """loads: title -> options of smtp-source. Interleaved, so that what else the machine does meets all alike."""
    sink = load.Sink(servers.free_port())
    group = make(folder, sink.port, **settings)
    try:
        for server in group.values():
            server.start()
        series = {(title, name): Series(server, sink, extra)
                  for title, extra in loads.items() for name, server in group.items()}
        for _ in range(ROUNDS):
            for one in series.values():
                one.round()
        memory = {n: mib(process.pss_kib(s.pids())) for n, s in group.items()}
    finally:
        for server in group.values():
            server.stop()
        sink.stop()
    for title in loads:
        show_series(table, title, {n: s for (t, n), s in series.items() if t == title}, settings.get("slow_disk"))
    return memory


def show_series(table, title, series, traced):
    rate = {n: statistics.median(s.rates) for n, s in series.items()}
    table.add(f"messages/s, {title}", **{n: number(r) for n, r in rate.items()})
    if "Postfix" in rate:
        table.add("  times Postfix's", **{n: f"{r / rate['Postfix']:.1f}" for n, r in rate.items()})
    if traced:
        return  # strace's part of it says nothing
    cost = {n: statistics.median(s.costs) for n, s in series.items()}
    table.add("  processor s per 10,000 messages", **{n: f"{c * 10:.1f}" for n, c in cost.items()})
    if "Postfix" in cost:
        table.add("  Postfix's divided by it", **{n: f"{cost['Postfix'] / c:.1f}" for n, c in cost.items() if c > 0})


def compare(table, folder, top):
    """What matrix.py measures, on servers that stand through all of it."""
    sink = load.Sink(servers.free_port())
    group = all_of_them(folder, sink.port)
    try:
        for server in group.values():
            server.start()
        matrix.disk(table, group, sink, top, {name: 200 if QUICK or name in OTHERS else 3000 for name in group})
        matrix.delays(table, group, sink, 50 if QUICK else 500)
        few = {name: server for name, server in group.items() if name not in OTHERS}
        matrix.throughput(table, few, sink, 0.2 if QUICK else 2.0, {"4 KB": 4096} if QUICK else matrix.SIZES)
    finally:
        for server in group.values():
            server.stop()
        sink.stop()


def into_dovecot(table, folder):
    """One mailbox: what comes is limited by Dovecot, which locks it."""
    sink = load.DovecotSink()
    group = three(folder, sink.port)
    try:
        for server in group.values():
            server.start()
        rates = {}
        for title, extra in {"a session each": (), "sessions kept": ("-d",)}.items():
            for name, server in group.items():
                load.run(server, sink, 50, extra)
                rates[name] = [load.run(server, sink, 100 if QUICK else 1000, extra)[0] for _ in range(ROUNDS)]
            table.add(f"messages/s into Dovecot, {title}", **{n: number(statistics.median(r)) for n, r in rates.items()})
    finally:
        for server in group.values():
            server.stop()
        sink.stop()


def without_server():
    """What client and sink alone come to: with a server between them it cannot be more."""
    sink = load.Sink(servers.free_port())
    time.sleep(0.2)
    rates = []
    for extra in (["-L"], ["-L", "-d"]):
        expected = sink.count + (1000 if QUICK else 10000)
        begun, count = time.perf_counter(), expected - sink.count
        load.source(sink.port, count, extra).wait()
        sink.wait(expected, 10)
        rates.append(count / (time.perf_counter() - begun))
    sink.stop()
    return rates


def first_reply_ms(server, count=50 if QUICK else 300):
    took = []
    for _ in range(count):
        took.append(servers.greeting(server.port))
        time.sleep(0.002)
    return statistics.median(took) * 1000


def idle(table, folder):
    """Started, asked for its greeting a few times, and left alone."""
    port = servers.free_port()
    ready, memory, reply = {}, {}, {}
    for number_of_start in range(ROUNDS):
        for name, server in all_of_them(made(folder / str(number_of_start)), port).items():
            if name == "queue":
                continue  # idle it is the same program
            try:
                server.start()
                ready.setdefault(name, []).append(server.ready_s)
                reply[name] = f"{first_reply_ms(server):.2f} ms"
                time.sleep(0.5)
                memory[name] = mib(process.pss_kib(server.pids()))
            finally:
                server.stop()
    table.add("exec to first 220", **{n: f"{statistics.median(r) * 1000:.0f} ms" for n, r in ready.items()})
    table.add("connect to 220, idle", **reply)
    table.add("memory idle, PSS", **memory)


def sessions_memory(server, count):
    server.start()
    try:
        held = load.Sessions(server.port, count)
        time.sleep(0.5)
        used = mib(process.pss_kib(server.pids()))
        held.close()
        return used
    finally:
        server.stop()


def sessions(table, folder):
    port = servers.free_port()
    cells = {"direct": sessions_memory(Mxgate(folder / "some", port, **OPEN_WIDE), SESSIONS)}
    if WITH_POSTFIX:  # it has one process per session, 100 by default
        wide = {"default_process_limit": SESSIONS + 100, "smtpd_client_connection_count_limit": SESSIONS + 100}
        cells["Postfix"] = sessions_memory(Postfix(folder / "some-postfix", port, **wide), SESSIONS)
    for name, kind in OTHERS.items():
        cells[name] = sessions_memory(kind(folder / name, port), SESSIONS)
    table.add(f"memory, {SESSIONS:,} open sessions, PSS", **cells)
    table.add(f"memory, {MANY_SESSIONS:,} open sessions, PSS",
              direct=sessions_memory(Mxgate(folder / "many", port, **OPEN_WIDE), MANY_SESSIONS))


def drain(table, folder):
    """Each with an upstream of its own, all down for as long at least."""
    kinds = {mode: lambda place, port, mode=mode: Mxgate(place, port, mode) for mode in ("direct", "queue")}
    if WITH_POSTFIX:
        kinds["Postfix"] = Postfix
    drained(table, folder, kinds, QUEUED)
    if OTHERS:
        drained(table, folder, OTHERS, QUEUED_FEW)


def drained(table, folder, kinds, count):
    down = {name: load.filled(lambda port, n=name, k=kind: k(folder / n, port), count) for name, kind in kinds.items()}
    cells, flushed = {}, {}
    time.sleep(OUTAGE_S)
    for name, (server, port) in down.items():
        sink, took = load.drain(server, port, count, PATIENCE_S)
        cells[name] = f"{took:.1f} s" if took else f"> {PATIENCE_S} s"
        if not took:
            since = time.perf_counter()
            server.flush()
            done = sink.wait(count, PATIENCE_S)
            flushed[name] = f"{time.perf_counter() - since:.1f} s" if done else f"{count - sink.count:,} left"
        server.stop()
        sink.stop()
    table.add(f"{count:,} queued: upstream's return to the last", **cells)
    if flushed:
        table.add(f"  after a flush by hand, within {PATIENCE_S} s", **flushed)


def sizes(table):
    for what, path in (("static program", "build/static/mxgate"), ("development program", "build/mxgate")):
        if (ROOT / path).exists():
            table.add(f"size, {what}", direct=f"{(ROOT / path).stat().st_size / 1024:.0f} KiB")


def made(folder):
    folder.mkdir(mode=0o755)
    return folder


def main():
    begun = time.monotonic()
    print(f"mxgate: {os.environ['MXGATE_BIN']}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
          f"address verification off for both, fsync on", flush=True)
    if not WITH_POSTFIX:
        print("Postfix is left out: it needs root and the package postfix", flush=True)
    with disk.folder() as (name, place):
        if not QUICK:
            OTHERS.update(rivals.found(name))
        table = Table(["direct", "queue", "Postfix", *OTHERS])
        for part in (idle, sessions, drain):
            part(table, made(pathlib.Path(name) / part.__name__))
        compare(table, made(pathlib.Path(name) / "compare"), name)
        into_dovecot(table, made(pathlib.Path(name) / "dovecot"))
        step = (pathlib.Path(name) / s for s in ("default", "alike", "slow"))
        memory = throughput(table, made(next(step)), {"a session each": (), "sessions kept": ("-d",)}, make=all_of_them)
        # Without being told Postfix does not say who the client was, which saves it two round trips.
        throughput(table, made(next(step)), {"sessions kept, no XCLIENT": ("-d",)}, lmtp_send_xclient="no")
        throughput(table, made(next(step)), {"a session each, fsync 2 ms slower": ()}, slow_disk=True)
        table.add("memory after the first two, PSS", **memory)
        tls.run(table, made(pathlib.Path(name) / "tls"), QUICK)
    sizes(table)
    raw = without_server()
    heads = table.show()
    if not QUICK and WITH_POSTFIX:
        report.save(ROOT / "docs" / "bench", table.rows, table.columns, heads,
                    f"smtp-source straight into the same sink: {raw[0]:,.0f} messages/s a session each, {raw[1]:,.0f} kept; spools on {place}")
    print(f"\nmessages/s: smtp-source -s 20 -l 4096 -> server -> smtp-sink -L -c, all on this machine, {PERIOD}.\n"
          f"Without a server, smtp-source -L into the same sink: {raw[0]:,.0f} a session each, {raw[1]:,.0f} sessions kept.\n"
          f"Spools on {place}. Took {time.monotonic() - begun:.0f} s, load now {os.getloadavg()[0]:.1f}.")


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is cleaned up
main()
