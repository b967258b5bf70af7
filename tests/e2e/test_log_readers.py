"""The programs that read Postfix's logs and queue listings, run on ours: pflogsumm, fail2ban, the idioms of check_mailq."""

import os
import re
import subprocess

import pytest

from harness import mail, smtp_client, wait
from harness.gateway import binary, clean_environment


def send(gateway, recipients, sender="bob@example.org"):
    return smtp_client.send(gateway.address, sender, list(recipients), mail.message(mail.new_token()))


def sent(gateway, count):
    wait.until(lambda: len(gateway.grep("status=sent")) == count, lambda: f"{count} delivered;\n{gateway.tail()}")


def ask(gateway, *recipients):
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.cmd("MAIL FROM:<bob@example.org>")
        replies = [client.cmd(f"RCPT TO:<{r}>").code for r in recipients]
        client.quit()
        return replies


def incident(gateway, peer):
    """A day of a mail exchanger. What each reader has to make of it is in its test."""
    assert send(gateway, ["alice@example.com", "joe@example.com"]).code == 250
    assert send(gateway, ["alice@example.com", "full1@example.com"]).code == 250  # one of them has no room
    assert ask(gateway, "unknown1@example.com", "x@other.net") == [550, 554]
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        for _ in range(10):
            assert client.mail("", ["alice@example.com"], mail.message(mail.new_token())).code == 250
        client.quit()
    sent(gateway, 13)
    fault = peer.fail("dot", "4xx", times=1)
    assert send(gateway, ["joe@example.com"]).code == 250
    wait.until(lambda: fault.hits == 1, "the upstream's 4xx")
    sent(gateway, 14)
    peer.down()
    assert send(gateway, ["alice@example.com"]).code == 250
    peer.up()
    sent(gateway, 15)
    gateway.run("sendmail", "-f", "root@mx.example.com", "alice@example.com", input=b"Subject: x\n\nx\n", check=0)
    sent(gateway, 16)


@pytest.fixture(params=["direct", "queue"])
def day(request, gateways, peer, tmp_path):
    """The log of such a day, as a file."""
    def make(**settings):
        gateway = gateways(relay_transport=peer.transport, delivery_mode=request.param, **settings)
        incident(gateway, peer)
        gateway.stop()
        path = tmp_path / "mail.log"
        path.write_text("\n".join(gateway.lines) + "\n")
        return path

    return make


# --- pflogsumm

def totals(path):
    report = subprocess.run(["pflogsumm", path], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ +(\d+) +(received|delivered|deferred|bounced|rejected|held|discarded)\b(?: \((\d+) +deferrals\))?", report, re.M)
    return {word: int(count) for count, word, _ in found}, report


@pytest.mark.parametrize("settings", [{}, {"anonymize_emails": "smart"}, {"inbound_debugging": "1"}, {"TZ": "JST-9"}],
                         ids=["plain", "anonymized", "debugging", "zone"])
def test_pflogsumm(settings, day):
    counts, report = totals(day(**settings))
    assert counts == {"received": 15, "delivered": 16, "deferred": 2, "bounced": 1, "rejected": 2, "held": 0, "discarded": 0}, report


def test_pflogsumm_details(day):
    _, report = totals(day())
    flat = re.sub(r"\s+", " ", report)
    assert re.search(r"Relay access denied \(total: 1\) 1 127\.0\.0\.1", flat), report  # by client
    assert "Recipient address rejected: undeliverable address (total: 1)" in flat, report
    assert re.search(r"message bounce detail \(by relay\) -+ 127\.0\.0\.1\[127\.0\.0\.1\]:\d+ \(total: 1\) 1 5\.2\.2 <full1@example\.com> Quota", flat), report
    assert re.search(r"Recipients by message count -+ 14 alice@example\.com 2 joe@example\.com", flat), report
    assert "smtp delivery failures: none" in flat and "Fatal Errors: none" in flat and "Panics: none" in flat, report


# --- fail2ban

def matched(path, mode):
    """The lines that fail2ban's own filter would count against a client."""
    done = subprocess.run(["fail2ban-regex", "--print-all-matched", path, f"postfix[mode={mode}]"], capture_output=True, text=True)
    summary = re.search(r"^Lines: (\d+) lines, 0 ignored, (\d+) matched, (\d+) missed$", done.stdout, re.M)
    assert summary, done.stdout + done.stderr
    lines = re.findall(r"^\|  (\d{4}-\d\d-\d\dT.*)$", done.stdout, re.M)
    assert len(lines) == int(summary.group(2)), done.stdout
    return [line.split("]: ", 1)[1] for line in lines]


@pytest.fixture
def hostile(gateways, peer, tmp_path):
    """Good mail, and a client that does everything that the filter knows."""
    gateway = gateways(relay_transport=peer.transport, smtpd_hard_error_limit=5)
    assert send(gateway, ["alice@example.com"]).code == 250
    assert ask(gateway, "unknown1@example.com") == [550]
    assert ask(gateway, "x@other.net") == [554]
    fault = peer.fail("rcpt", "4xx", times=1)
    assert ask(gateway, "joe@example.com") == [451]  # not the client's fault
    assert fault.hits == 1
    with smtp_client.Smtp(gateway.address) as client:
        for _ in range(5):
            client.cmd("FOO")
        assert client.reply().code == 421
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.cmd("AUTH PLAIN AGJvYgB4")
        client.quit()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
    gateway.wait_log("lost connection after EHLO")
    wait.until(lambda: len(gateway.grep("disconnect from")) == 7, lambda: f"seven sessions' ends;\n{gateway.tail()}")
    gateway.stop()
    path = tmp_path / "mail.log"
    path.write_text("\n".join(gateway.lines) + "\n")
    return path


WHO = "from unknown[127.0.0.1]"
REJECTS = [f"NOQUEUE: reject: RCPT {WHO}: 550 5.1.1 <unknown1@example.com>: Recipient address rejected: undeliverable address: ",
           f"NOQUEUE: reject: RCPT {WHO}: 554 5.7.1 <x@other.net>: Relay access denied; "]
ERRORS = [f"too many errors after UNKNOWN {WHO}"]
DDOS = [f"disconnect {WHO} ehlo=1 auth=0/1 quit=1 commands=2/3", f"lost connection after EHLO {WHO}"]


@pytest.mark.clear_text
@pytest.mark.parametrize("mode,want", [("normal", REJECTS + ERRORS), ("more", REJECTS + ERRORS), ("errors", ERRORS), ("ddos", DDOS),
                                       ("extra", REJECTS + ERRORS), ("aggressive", REJECTS + ERRORS + DDOS)])
def test_fail2ban(mode, want, hostile):
    found = matched(hostile, mode)
    assert len(found) == len(want), found
    for line in want:
        assert sum(f.startswith(line) for f in found) == 1, (line, found)


def test_fail2ban_leaves_good_clients_alone(gateways, peer, tmp_path):
    gateway = gateways(relay_transport=peer.transport)
    for _ in range(3):
        assert send(gateway, ["alice@example.com"]).code == 250
    peer.down()
    assert send(gateway, ["joe@example.com"]).code == 250
    peer.up()
    sent(gateway, 4)
    gateway.stop()
    path = tmp_path / "mail.log"
    path.write_text("\n".join(gateway.lines) + "\n")
    assert matched(path, "aggressive") == []


# --- check_mailq and its like

@pytest.fixture
def shell(tmp_path):
    """Runs a line of shell with our commands first in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("mailq", "postqueue"):
        (folder / name).symlink_to(binary())

    def run(gateway, line):
        environment = clean_environment({"queue_directory": gateway.spool})
        environment["PATH"] = f"{folder}:{os.environ['PATH']}"
        return subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    return run


def test_mailq_idioms(gateways, peer, shell):
    gateway = gateways(relay_transport=peer.transport)
    assert shell(gateway, "mailq | head -1") == "Mail queue is empty"
    assert shell(gateway, "postqueue -p | tail -1 | awk '{print $5}'") == ""
    assert shell(gateway, "mailq | grep -c '^[0-9A-F]' || true") == "0"
    peer.down()
    for count in (1, 2, 3):
        assert send(gateway, ["alice@example.com", "joe@example.com"]).code == 250
        gateway.wait_queued(count)
        assert shell(gateway, "postqueue -p | tail -1 | awk '{print $5}'") == str(count)
        assert shell(gateway, "mailq | grep -c '^[0-9A-F]'") == str(count)
        assert shell(gateway, "mailq | tail -1 | cut -d' ' -f5") == str(count)
        assert re.fullmatch(r"-- \d+ Kbytes in \d+ Requests?\.", shell(gateway, "mailq | tail -1"))
    ids = shell(gateway, "postqueue -p | tail -n +2 | awk 'BEGIN{RS=\"\"} /joe@example.com/ {print $1}' | tr -d '*!'").split()
    assert sorted(ids) == sorted(entry["queue_id"] for entry in gateway.postqueue())
    peer.up()
    gateway.wait_queue_empty()
    assert shell(gateway, "mailq | head -1") == "Mail queue is empty"
