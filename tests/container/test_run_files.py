"""deploy/compose, as it is: the old file of boky/postfix with another image, and the demonstration."""

import pytest

from harness import mail, smtp_client
from stack import ROOT, TRANSPORT, Container

INIT = {
    "10-said.sh": ("info in a script of busybox sh\nexport TZ=Asia/Tokyo\n", 0o755),
    "20-conf.sh": ("postconf -e 'smtpd_banner = $myhostname ESMTP by script'\n", 0o644),
    "README": ("not run\n", 0o644),
}


def test_from_boky(engine, stacks, dovecot):
    """Not one character changed: its variables, its `nc -z` healthcheck, its log lines, its commands."""
    stack = stacks("deploy/compose/from-boky/docker-compose.yml", up=False, container="postfix")
    stack.compose("up", "-d")
    gateway = stack.gateway
    gateway.wait_log(r"‣ INFO  Applying custom postfix setting: relay_transport=lmtp:\[192\.0\.2\.53\]:2525")
    token = mail.new_token()
    gateway.wait_log("Listening on ")
    reply = smtp_client.send(("127.0.0.1", 25), "bob@example.org", ["ann@example.com"], mail.message(token, to="ann@example.com"))
    assert reply.code == 250
    dovecot.wait_tokens([token])
    engine.run("nc", "-z", "localhost", "25")
    assert gateway.exec("postconf", "-h", "message_size_limit") == "26214400\n"
    assert gateway.exec("mailq") == "Mail queue is empty\n"
    assert "‣ WARN  queue_directory /var/spool/mxgate is on a volume without a name: " in gateway.logs()
    foreign = smtp_client.send(("127.0.0.1", 25), "bob@example.org", ["x@example.net"], mail.message(mail.new_token()))
    assert "554 5.7.1 <x@example.net>: Recipient address rejected: Access denied" in foreign.text or "Relay access denied" in foreign.text
    if "-z" in engine.docker("exec", "postfix", "nc", "--help", check=False).stderr:  # not the stand-in's; Alpine's does
        gateway.wait_health("healthy", 40)


def test_demo(engine, dovecot):
    """One command, one mail arriving."""
    files = ("-p", "demo", "-f", "deploy/compose/demo/docker-compose.yml")
    try:
        said = engine.compose(*files, "run", "--rm", "sender", cwd=ROOT, timeout=120).stdout
        assert "it is in Dovecot, at /srv/mail/ann/new/" in said and "Subject: hello (demo-" in said
    finally:
        for name in engine.compose(*files, "ps", "-q", cwd=ROOT).stdout.split():
            container = Container(engine, name)
            print(container.inspect("{{.Name}} {{json .State}}"), container.logs(), sep="\n")
        engine.compose(*files, "down", "-v", cwd=ROOT)


@pytest.fixture
def scripts(engine):
    folder = engine.folder / "init.d"
    folder.mkdir(exist_ok=True)
    for name, (text, mode) in INIT.items():
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    yield folder
    for path in folder.iterdir():
        path.unlink()


def options(folder):
    return ("--network", "host", "-e", f"RELAY_TRANSPORT={TRANSPORT}", "-e", "ALLOWED_DOMAINS=example.com", "-e", "HOSTNAME=mx.example.com",
            "-v", f"{folder}:/docker-init.d:ro")


def test_init_scripts(engine, run, dovecot, scripts):
    """entrypoint.sh under the image's shell: scripts in order, what they export and set counts, mxgate is process 1."""
    gateway = run(*options(scripts), "mxgate")
    gateway.wait_health("healthy", 30)
    log = gateway.logs()
    assert "‣ INFO  in a script of busybox sh\n" in log and "ignoring /docker-init.d/README" in log
    with smtp_client.Smtp(("127.0.0.1", 25)) as client:
        assert client.greeting.text == "220 mx.example.com ESMTP by script"
    gateway.wait_log(r"(?m)^\d{4}-\d\d-\d\dT\S+\+09:00 ")
    assert gateway.exec("cat", "/proc/1/comm") == "mxgate\n"


def test_a_script_that_fails(engine, run, scripts):
    (scripts / "30-bad.sh").write_text("exit 23\n")
    gateway = run(*options(scripts), "mxgate")
    assert engine.docker("wait", gateway.name).stdout.strip() == "23"
    assert "30-bad.sh ended with exit code 23: the gateway is not started" in gateway.logs()


def test_a_command_instead(engine, scripts):
    assert engine.docker("run", "--rm", *options(scripts), "mxgate", "postconf", "-h", "relay_domains").stdout == "example.com\n"


def test_settings_that_cannot_be_used(engine, run):
    """Exit code 78, and the reason in `docker logs`."""
    gateway = run("--network", "none", "mxgate")
    assert engine.docker("wait", gateway.name).stdout.strip() == "78"
    assert "ALLOWED_DOMAINS" in gateway.logs()
