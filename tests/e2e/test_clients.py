"""Other people's clients: swaks, curl, Postfix's smtp-source, Python's smtplib, nc."""

import smtplib
import subprocess
import tempfile

import pytest

from harness import mail, wait


def run(*command, input=None):
    done = subprocess.run(list(map(str, command)), input=input, capture_output=True, timeout=60 * wait.SCALE)
    assert done.returncode == 0, (command, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode()


def test_swaks(gateways, dovecot, mode):
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    token = mail.new_token()
    out = run("swaks", "--server", "127.0.0.1", "--port", gateway.port, "--from", "bob@example.org", "--to", "alice@example.com,bob@example.com",
              "--header", f"X-Token: {token}", "--helo", "client.example.net", "--body", "by swaks\n.\nend")
    assert "queued as" in out
    for user in ("alice", "bob"):
        assert b"by swaks\r\n.\r\nend" in dovecot.wait_mail(user, token)


def test_swaks_pipelining_and_attachment(gateways, dovecot):
    gateway = gateways(relay_transport=dovecot.transport)
    token = mail.new_token()
    run("swaks", "--server", f"127.0.0.1:{gateway.port}", "--from", "<>", "--to", "alice@example.com", "--pipeline",
        "--header", f"X-Token: {token}", "--attach", "@/bin/ls")
    dovecot.wait_mail("alice", token)


def test_swaks_refused(gateways, dovecot):
    gateway = gateways(relay_transport=dovecot.transport)
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{gateway.port}", "--from", "bob@example.org", "--to", "nobody@example.com"],
                          capture_output=True, text=True)
    assert done.returncode == 24 and "550 5.1.1" in done.stdout, done.stdout


def test_curl(gateways, dovecot, mode):
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    token = mail.new_token()
    body = mail.message(token, b"by curl\r\n.\r\n..\r\n")
    run("curl", "-sS", f"smtp://127.0.0.1:{gateway.port}/client.example.net", "--mail-from", "bob@example.org",
        "--mail-rcpt", "alice@example.com", "--mail-rcpt", "joe@example.com", "-T", "-", input=body)
    for user in ("alice", "joe"):
        assert mail.without_trace(dovecot.wait_mail(user, token)) == body


def test_smtp_source(gateways, dovecot, mode):
    """200 mails over ten sessions at once, RSET and all, into Dovecot."""
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    dovecot.clear("user30")
    run("smtp-source", "-s", 10, "-m", 200, "-l", 4000, "-f", "bob@example.org", "-t", "user30@example.com", f"inet:127.0.0.1:{gateway.port}")
    wait.until(lambda: len(dovecot.fetch("user30")) >= 200, "200 mails", 20)
    gateway.wait_queue_empty()
    assert len(dovecot.fetch("user30")) == 200


def test_smtp_source_one_session_per_mail(gateways, dovecot):
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode="queue")
    dovecot.clear("user29")
    run("smtp-source", "-d", "-s", 5, "-m", 100, "-r", 1, "-l", 500, "-f", "bob@example.org", "-t", "user29@example.com",
        f"inet:127.0.0.1:{gateway.port}")
    wait.until(lambda: len(dovecot.fetch("user29")) == 100, "100 mails", 20)


def test_smtplib(gateways, dovecot, mode):
    gateway = gateways(relay_transport=dovecot.transport, delivery_mode=mode)
    token = mail.new_token()
    with smtplib.SMTP("127.0.0.1", gateway.port, local_hostname="client.example.net") as client:
        client.ehlo()
        assert {"pipelining", "size", "8bitmime", "dsn", "smtputf8", "chunking"} <= set(client.esmtp_features)
        refused = client.sendmail("bob@example.org", ["alice@example.com", "nobody@example.com"], mail.message(token), mail_options=["BODY=8BITMIME"])
    assert list(refused) == ["nobody@example.com"] and refused["nobody@example.com"][0] == 550
    dovecot.wait_mail("alice", token)


def test_printf_into_nc(gateways, dovecot):
    """The operator's runbook: printf 'HELO x\\nMAIL ...' | nc. Everything in one go, ends in LF."""
    gateway = gateways(relay_transport=dovecot.transport)
    token = mail.new_token()
    script = (f"HELO localhost\nMAIL FROM:<bob@example.org>\nRCPT TO:<alice@example.com>\nDATA\nSubject: by nc\nX-Token: {token}\n\n"
              "hello\n.\nQUIT\n")
    out = run("nc", "-w", 10, "127.0.0.1", gateway.port, input=script.encode())
    assert "250 2.0.0 Ok: queued as" in out and "221 " in out
    assert b"hello\r\n" in dovecot.wait_mail("alice", token)


def test_curl_with_bare_lf_and_8bit(gateways, dovecot):
    """A Latin-1 file with LF lines, sent as it is, as scripts do."""
    gateway = gateways(relay_transport=dovecot.transport)
    token = mail.new_token()
    with tempfile.NamedTemporaryFile() as file:
        file.write(f"From: bob@example.org\nX-Token: {token}\n\n".encode() + b"Gr\xfc\xdfe\n")
        file.flush()
        run("curl", "-sS", f"smtp://127.0.0.1:{gateway.port}", "--mail-from", "bob@example.org", "--mail-rcpt", "alice@example.com", "-T", file.name)
    assert b"\r\n\r\nGr\xfc\xdfe\r\n" in dovecot.wait_mail("alice", token)
