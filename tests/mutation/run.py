#!/usr/bin/env python3
"""Mutation check: puts each fault of faults.txt into a copy of the tree and sees whether a test fails.

    tests/mutation/run.py [-k WORDS] [--after N] [--no-e2e]     # or: make mutation

One fault at a time: the programs it names, then those of its folder, stop at the first that fails; when none
does, the end-to-end and crash tests of E2E. The copy is build/mutation (kept: a second run builds little), its build
has no sanitizer, since a fault of custody is one of order and bookkeeping. Ends with "N of M caught", and with 1 when
that is less than 95 %, or a fault cannot be tried: its text is not there any more (the code changed: mend
faults.txt), or does not compile. An hour or so; `nice` is in it.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "build" / "mutation"
COPIED = ["src", "healthcheck", "tests", "tools", "entrypoint", "Makefile"]
# Plain and quick; a mutation may leave something unused.
MAKE = ["make", "-s", "OPT=-O1", "HARD=-fno-common", "HARD_LD=", "WERROR="]
LIMIT_S = 300  # one program; a fault may make it wait for ever
NEEDED = 0.95

OF_FOLDER = {
    "queue": "test_spool_commit test_spool_commit_faults test_spool test_spool_scan test_spool_open test_spool_operator "
             "test_records unit/test_spool_format test_scheduler test_scheduler_held test_scheduler_operator "
             "test_scheduler_operator_parts test_parts test_routes test_routes_orders test_bounces test_intake test_chaos",
    "intake": "test_intake test_parts test_routes test_gateway test_chaos",
    "message": "test_body test_body_faults test_spool_commit test_spool_commit_faults test_intake test_gateway",
    "relay": "unit/test_relay_client unit/test_relay_client_blame unit/test_relay_client_trouble test_delivery "
             "test_upstream test_verify test_routes test_intake test_chaos",
}
E2E = ["tests/e2e/test_custody.py", "tests/e2e/test_recipients.py", "tests/e2e/test_disk.py", "tests/e2e/test_bounces.py",
       "tests/e2e/test_outage.py"]
CRASH = ["tests/crash", "-k", "at_a_step"]


def read_faults():
    faults = []
    for number, line in enumerate((ROOT / "tests/mutation/faults.txt").read_text().splitlines(), 1):
        if line.startswith("== "):
            faults.append({"name": line[3:], "line": number, "old": [], "new": [], "tests": []})
        elif line.startswith("file "):
            faults[-1]["file"] = line[5:].strip()
        elif line.startswith("-"):
            faults[-1]["old"].append(line[1:].strip())
        elif line.startswith("+"):
            faults[-1]["new"].append(line[2:])
        elif line.startswith("tests "):
            faults[-1]["tests"] = line.split()[1:]
        elif line.strip() and not line.startswith("#"):
            sys.exit(f"faults.txt:{number}: not understood")
    return faults


def copy_tree():
    for name in COPIED:
        source, target = ROOT / name, TREE / name
        if source.is_dir():
            subprocess.run(["cp", "-a", "-u", "--no-target-directory", source, target], check=True)
            for old in sorted(target.rglob("*.[ch]")):  # gone since the last run
                if not (ROOT / old.relative_to(TREE)).exists():
                    old.unlink()
        else:
            shutil.copy2(source, target)
    # What an interrupted run left changed is newer than the original, and would stay.
    for f in read_faults():
        restore(f)


def restore(fault):
    target = TREE / "src" / fault["file"]
    text = (ROOT / "src" / fault["file"]).read_text()
    if target.exists() and target.read_text() == text:
        return
    target.write_text(text)


def put_in(fault):
    """False: its text is not there, or there twice."""
    target = TREE / "src" / fault["file"]
    text = target.read_text()
    found = re.findall(pattern := r"\s*".join(re.escape(line) for line in fault["old"]), text)
    if len(found) != 1:
        return False
    new = "\n".join(fault["new"])
    target.write_text(re.sub(pattern, lambda _: new, text))
    return True


def program(name):
    return name if "/" in name else "io/" + name


def fails(command, limit, **more):
    """How it failed, or None."""
    try:
        done = subprocess.run(command, cwd=TREE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit,
                              env=dict(os.environ, **more), start_new_session=True)
    except subprocess.TimeoutExpired:
        return "out of time"
    return None if done.returncode == 0 else f"status {done.returncode}"


def fails_twice(command, limit):
    """On a busy machine a test may be late once; that is no notice of anything."""
    return fails(command, limit) and fails(command, limit)


def make(target):
    done = subprocess.run(MAKE + [target], cwd=TREE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return None if done.returncode == 0 else done.stdout.decode(errors="replace")


def pytest(arguments, limit):
    return fails(["/usr/bin/python3", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout=300", *arguments], limit,
                 MXGATE_BIN=str(TREE / "build/mxgate"), HEALTHCHECK_BIN=str(TREE / "build/healthcheck"),
                 PYTHONDONTWRITEBYTECODE="1", CRASH_ROUNDS="20")


def programs_of(fault):
    names = fault["tests"] + OF_FOLDER[fault["file"].split("/")[0]].split()
    return [program(n) for n in dict.fromkeys(names)]


def who_notices(fault, e2e):
    """("caught", by), ("survived", ""), or ("invalid", why)."""
    if not put_in(fault):
        return "invalid", f"faults.txt:{fault['line']}: its text is not in src/{fault['file']} once"
    for name in programs_of(fault):
        words = make(f"build/tests/{name}")
        if words is not None:
            return "invalid", f"faults.txt:{fault['line']}: does not build:\n{words}"
        if (how := fails_twice([f"build/tests/{name}"], LIMIT_S)):
            return "caught", f"{name} ({how})"
    if e2e:
        if (words := make("programs")):
            return "invalid", words
        if (how := pytest(E2E + ["-n", "2", "--dist", "loadfile"], 900)):
            return "caught", f"tests/e2e ({how})"
        if (how := pytest(CRASH, 900)):
            return "caught", f"tests/crash ({how})"
    return "survived", ""


def sound(faults):
    """Without a fault every program must pass, or nothing that follows means anything."""
    for name in sorted({n for f in faults for n in programs_of(f)}):
        if (words := make(f"build/tests/{name}")) is not None:
            sys.exit(words)
        if (how := fails_twice([f"build/tests/{name}"], LIMIT_S)):
            sys.exit(f"{name} fails without any fault: {how}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-k", default="", help="only faults whose name or file has this in it")
    options.add_argument("--after", type=int, default=0, help="leave out as many at the beginning: to go on after an interruption")
    options.add_argument("--no-e2e", action="store_true", help="unit and io only")
    options = options.parse_args()
    os.nice(19)
    TREE.mkdir(parents=True, exist_ok=True)
    faults = [f for f in read_faults() if options.k in f["name"] + " " + f["file"]][options.after:]
    copy_tree()
    sound(faults)
    counts = {"caught": 0, "survived": 0, "invalid": 0}
    for fault in faults:
        started = time.monotonic()
        outcome, words = who_notices(fault, not options.no_e2e)
        restore(fault)
        counts[outcome] += 1
        print(f"{outcome:8}  {fault['file']}: {fault['name']}  [{words}] {time.monotonic() - started:.0f} s", flush=True)
    print(f"{counts['caught']} of {len(faults)} caught, {counts['survived']} survived, {counts['invalid']} could not be tried")
    return 1 if counts["invalid"] or counts["caught"] < NEEDED * len(faults) else 0


if __name__ == "__main__":
    sys.exit(main())
