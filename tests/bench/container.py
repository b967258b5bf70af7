"""Called by container.sh: measures both containers in the same way, and prints the table."""

import os
import pathlib
import subprocess
import time

import load
import process
import servers
from engine import Engine
from harness import wait

ROOT = pathlib.Path(__file__).resolve().parents[2]
MESSAGES = int(os.environ.get("MESSAGES") or 3000)
SINK_PORT = 2424
ENVIRONMENT = {"HOSTNAME": "mx.example.com", "ALLOWED_DOMAINS": "example.com", "RELAY_TRANSPORT": f"lmtp:[127.0.0.1]:{SINK_PORT}",
               "VERIFY_RECIPIENTS": "no"}


def build(engine):
    engine.have_image("debian:trixie-slim", "debian.sh", "trixie")
    engine.have_image("alpine:3.22", "alpine.sh", "alpine:3.22", engine.run("dpkg", "--print-architecture").stdout.strip())
    engine.build("mxgate", ROOT)
    engine.build("rival", ROOT / "tests" / "bench" / "rival")


def pids(engine, name):
    rows = engine.docker("top", name, "-eo", "pid").stdout.split()[1:]
    return [int(pid) for pid in rows]


def measure(engine, name, image, *options):
    variables = [word for key, value in ENVIRONMENT.items() for word in ("-e", f"{key}={value}")]
    begun = time.perf_counter()
    engine.docker("run", "-d", "--name", name, "--network", "host", *options, *variables, image)
    sink = load.Sink(SINK_PORT)
    try:
        wait.until(lambda: greets(), f"a greeting of {name}", 30, 0.002)
        row = {"image, MB": int(engine.inspect(image, "{{.Size}}")) / 1e6, "greeting after docker run, s": time.perf_counter() - begun}
        source(50).wait()  # every process that there will be has been started, every session opened once
        wait.until(lambda: sink.count >= 50, "the first mails", 30)
        row["processes, idle"] = len(pids(engine, name))
        row["PSS idle, MiB"] = process.pss_kib(pids(engine, name)) / 1024
        busy, count = source(MESSAGES), sink.count
        begun, peak, most = time.perf_counter(), 0, 0
        while busy.poll() is None:
            now = pids(engine, name)
            peak, most = max(peak, process.pss_kib(now) / 1024), max(most, len(now))
        assert sink.wait(count + MESSAGES, 120), "not all was delivered"
        row |= {"processes, under load": most, "PSS under load, MiB": peak, "messages/s meanwhile": MESSAGES / (time.perf_counter() - begun)}
        return row
    finally:
        sink.stop()
        engine.docker("rm", "-f", "-v", name)


def greets():
    try:
        return servers.greeting(25)
    except OSError:
        return 0


def source(count):
    return subprocess.Popen(["smtp-source", "-s", "100", "-m", str(count), "-l", "4096", "-f", "bob@example.org", "-t", "ann@example.com",
                             "127.0.0.1:25"], stdout=subprocess.DEVNULL)


def main():
    engine = Engine()
    try:
        engine.start_builder()
        build(engine)
        engine.start_private()
        ours = measure(engine, "mxgate", "mxgate", "--read-only", "--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "SETUID",
                       "--cap-add", "SETGID", "--cap-add", "NET_BIND_SERVICE", "--security-opt", "no-new-privileges")
        theirs = measure(engine, "rival", "rival")
    finally:
        engine.remove()
    print(f"{'':32}{'mxgate':>10}{'Postfix + rsyslog + supervisord':>34}")
    for what, value in ours.items():
        print(f"{what:32}{value:>10.4g}{theirs[what]:>34.4g}")


main()
