"""What TLS costs: processor time of handshakes, memory of sessions, and what a flood of handshakes does to others."""

import pathlib
import smtplib
import ssl
import statistics
import subprocess
import sys
import threading
import time

import load
import process
import servers
from servers import Mxgate, Postfix

HERE = pathlib.Path(__file__).resolve().parent
CIPHERS = {"RSA-2048": "ECDHE-RSA-AES128-GCM-SHA256", "P-256": "ECDHE-ECDSA-AES128-GCM-SHA256"}
KEYS = {"RSA-2048": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "P-256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}
FLOOD = 16  # clients that do nothing but handshakes


def certificates(folder):
    """A file with key and certificate for each kind."""
    paths = []
    for name, options in KEYS.items():
        key, path = folder / f"{name}.key", folder / f"{name}.pem"
        for command in (["genpkey", "-algorithm", *options, "-out", key],
                        ["req", "-x509", "-new", "-key", key, "-subj", "/CN=mx.example.com", "-days", "30", "-out", path]):
            subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
        path.write_text(key.read_text() + path.read_text())
        path.chmod(0o600)
        paths.append(path)
    return paths


def settings(folder):
    return {"smtpd_tls_chain_files": ",".join(map(str, certificates(folder))), "smtpd_tls_security_level": "may",
            "smtpd_junk_command_limit": 1000000}  # NOOPs


def wide(sessions):
    return {"smtpd_client_connection_count_limit": sessions, "smtpd_tls_session_limit": sessions}


def drive(port, seconds, parallel, kind, ciphers=None):
    return subprocess.Popen([sys.executable, str(HERE / "handshakes.py"), str(port), str(seconds), str(parallel), kind,
                             *([ciphers] if ciphers else [])], stdout=subprocess.PIPE, text=True)


def counted(driver):
    out = driver.communicate()[0]
    if driver.returncode != 0:
        raise RuntimeError("handshakes failed")
    return int(out)


def cost_ms(server, seconds, kind, ciphers=None):
    """Milliseconds of the server's processor time for one session."""
    counted(drive(server.port, 0.3, 2, kind, ciphers))  # Postfix starts its processes
    before = process.cpu_s(server.pids())
    count = counted(drive(server.port, seconds, 2, kind, ciphers))
    return (process.cpu_s(server.pids()) - before) * 1000 / count


def costs(table, group, rounds, seconds):
    for title, kind, ciphers in [("no TLS", "plain", None)] + [
            (f"{key}{', resumed' if kind == 'resumed' else ''}", kind, CIPHERS[key])
            for key in CIPHERS for kind in ("full", "resumed")]:
        found = {name: [] for name in group}
        for _ in range(rounds):  # by turns, so that what else the machine does meets all alike
            for name, server in group.items():
                found[name].append(cost_ms(server, seconds, kind, ciphers))
        cost = {name: statistics.median(values) for name, values in found.items()}
        table.add(f"sessions/s of one core, {title}", **{n: f"{1000 / c:,.0f}" for n, c in cost.items()})
        table.add("  processor ms per session", **{n: f"{c:.2f}" for n, c in cost.items()})


# ---- memory ----


def memory(table, group, count):
    cells = {}
    for name, server in group.items():
        contexts = ssl.create_default_context()
        contexts.check_hostname, contexts.verify_mode = False, ssl.CERT_NONE
        first = held_session(server.port, contexts)  # what comes once is not counted
        plain = process.pss_kib(server.pids())
        held = [held_session(server.port, contexts) for _ in range(count)]
        cells[name] = f"{(process.pss_kib(server.pids()) - plain) / count:.0f} KiB"
        for session in [first, *held]:
            session.quit()
    table.add(f"memory per TLS session, {count}, PSS", **cells)


def held_session(port, tls):
    session = smtplib.SMTP("127.0.0.1", port, timeout=30)
    session.starttls(context=tls)
    session.ehlo("client.example.org")
    return session


# ---- a flood ----


class Meter:
    """Milliseconds of one thing after the other, in a thread, until stop()."""

    def __init__(self, action):
        self.action, self.ms, self.going = action, [], True
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while self.going:
            begun = time.perf_counter()
            self.action()
            self.ms.append((time.perf_counter() - begun) * 1000)
            time.sleep(0.01)

    def stop(self):
        self.going = False
        self.thread.join()
        self.ms.sort()
        return f"{statistics.median(self.ms):.1f} / {self.ms[len(self.ms) * 95 // 100]:.1f} ms"


def measured(server, seconds):
    """Median and 95th percentile: (NOOP in a session of its own, mail up to the 250 that comes after its fsync)."""
    text = "From: bob@example.org\r\nSubject: t\r\n\r\n" + "x" * 1000 + "\r\n"
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with held_session(server.port, tls) as quick, held_session(server.port, tls) as mail:
        meters = [Meter(quick.noop), Meter(lambda: mail.sendmail("bob@example.org", "ann@example.com", text))]
        time.sleep(seconds)
        return [m.stop() for m in meters]


def flooded(server, flooded_server, seconds):
    """measured(), while other clients do handshakes with one of the servers; and how many of these a second."""
    driver = drive(flooded_server.port, seconds + 2, FLOOD, "full", CIPHERS["RSA-2048"])
    time.sleep(1)
    found = measured(server, seconds)
    return [*found, f"{counted(driver) / (seconds + 2):,.0f}"]


def flood(table, group, other, seconds):
    """other: a server beside, to tell what the flood does to the processor from what it does in the server."""
    rows = {"alone": {}, f"{FLOOD} clients do handshakes only": {}, "  the same, with another mxgate": {}}
    for name, server in group.items():
        alone, here, beside = rows.values()
        alone[name] = [*measured(server, seconds), ""]
        here[name] = flooded(server, server, seconds)
        beside[name] = flooded(server, other, seconds)
    for at, what in enumerate(("NOOP within TLS, median / 95th", "mail within TLS, to its 250", "handshakes/s")):
        for title, cells in rows.items():
            table.add(f"{what}, {title}", **{name: cell[at] for name, cell in cells.items()})


def run(table, folder, quick):
    sink = load.Sink(servers.free_port())
    shown = settings(folder)
    group = {"queue": Mxgate(folder / "mxgate", sink.port, "queue", **shown, **wide(1000))}
    if Postfix.available():
        group["Postfix"] = Postfix(folder / "postfix", sink.port, default_process_limit=300,
                                   smtpd_client_connection_count_limit=300, **shown)
    other = Mxgate(folder / "other", sink.port, "queue", **shown, **wide(1000))
    try:
        for server in [*group.values(), other]:
            server.start()
        costs(table, group, 1 if quick else 3, 0.5 if quick else 3)
        memory(table, group, 50 if quick else 200)
        flood(table, group, other, 2 if quick else 8)
    finally:
        for server in [*group.values(), other]:
            server.stop()
        sink.stop()
