"""docker-compose.yml as a user starts it: on the host's network (a namespace of the engine's here), port 25, dropped rights."""

import json
import re
import time

from harness import mail, smtp_client, wait
from stack import DEMO, HOST, NETWORK, TRANSPORT, find_out

GATEWAY = ("127.0.0.1", 25)


def send(token=None, to="ann@example.com", address=GATEWAY, **options):
    token = token or mail.new_token()
    reply = smtp_client.send(address, "bob@example.org", [to], mail.message(token, to=to, **options))
    return token, reply


def from_a_container(engine, gateway=HOST):
    """The demonstration's sender: a stranger in a container, who waits until the mail lies in the mailbox."""
    return engine.docker("run", "--rm", "--network", NETWORK, "--add-host", f"mxgate:{gateway}", "-v", f"{DEMO}/send.sh:/send.sh:ro",
                         "-v", "mailboxes:/srv/mail:ro", "--entrypoint", "bash", "mxgate-demo-dovecot", "/send.sh").stdout


def test_the_file_alone(engine, stacks, capsys):
    """As it stands, nothing changed, no Dovecot anywhere: healthy within 5 s, and it says that Dovecot is away."""
    stack = stacks(up=False)
    stack.files = stack.files[:2]
    took = stack.up().gateway.healthy_after_s()
    with capsys.disabled():
        print(f"\nhealthy {took:.1f} s after the start")
    assert took < 5
    text = stack.gateway.health_text()
    assert text.startswith("healthy: ") and "lmtp:[127.0.0.1]:24 is down" in text
    warned = [line for line in stack.gateway.logs().splitlines() if "WARN" in line or "ERROR" in line]
    assert not [line for line in warned if "queue_directory" in line or "root" in line], warned
    assert stack.gateway.inspect("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.NetworkMode}}") == "always host"
    assert json.loads(stack.gateway.inspect("{{json .HostConfig.LogConfig}}")) == {
        "Type": "json-file", "Config": {"max-file": "5", "max-size": "10m"}}


def test_through(engine, stacks, dovecot):
    """In from a client's container, out into Dovecot's; Postfix's lines in `docker logs`."""
    gateway = stacks().gateway
    said = from_a_container(engine)
    assert "S: 250 2.0.0 Ok: queued as " in said and "\nIt works.\n" in said
    queue_id = re.search(r"queued as (\w+)", said).group(1)
    assert re.search(rf"^Received: from sender\.example\.org \(.*\n.*\bid {queue_id}", said, re.M), said
    gateway.wait_log(f"{queue_id}: removed")
    for line in (r"postfix/smtpd\[1\]: connect from .*\[192\.0\.2\.\d+\]", rf"postfix/smtpd\[1\]: {queue_id}: client=",
                 rf"postfix/lmtp\[1\]: {queue_id}: to=<ann@example.com>, relay=192\.0\.2\.53\[192\.0\.2\.53\]:2525, .*status=sent \(250 2\.0\.0 ",
                 r"postfix/smtpd\[1\]: disconnect from .* quit=1 commands=5"):
        assert re.search(line, gateway.logs()), (line, gateway.logs())


def test_rights(engine, stacks, dovecot):
    """Root only until port 25 is bound; then user 10025 with nothing, on a file system that nobody can write."""
    gateway = stacks().gateway
    status = gateway.status()
    assert status["Uid"].split() == ["10025"] * 4 and status["Gid"].split() == ["10025"] * 4 and not status["Groups"].strip()
    for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(status[kind], 16) == 0, (kind, status)
    assert status["NoNewPrivs"] == "1"
    assert gateway.inspect("{{.HostConfig.ReadonlyRootfs}}") == "true"
    for path in ("/x", "/etc/mxgate/x", "/usr/local/bin/x", "/var/x"):
        done = engine.docker("exec", "mxgate", "touch", path, check=False)
        assert done.returncode != 0 and "Read-only file system" in done.stderr, (path, done)
    gateway.exec("touch", "/run/x")
    listing = gateway.exec("ls", "-lnd", "/var/spool/mxgate")
    assert re.match(r"drwx------ +\d+ 10025 +10025 ", listing), listing
    assert send()[1].code == 250


def test_a_volume_that_root_made(stacks, dovecot, tmp_path):
    """A folder of the host, as `- /srv/queue:/var/spool/mxgate` gets it: root's. It is given to the user."""
    folder = tmp_path / "queue"
    folder.mkdir(mode=0o755)
    gateway = stacks(volumes=[f"{folder}:/var/spool/mxgate"]).gateway
    assert folder.stat().st_uid == 10025
    token, reply = send()
    assert reply.code == 250
    dovecot.wait_tokens([token])
    assert gateway.status()["Uid"].split()[0] == "10025"


def test_runbook(engine, stacks, dovecot):
    """What an operator types by `docker exec` while Dovecot is out of reach, and after."""
    gateway = stacks().gateway
    dovecot.disconnect()
    tokens = {"ann": find_out(gateway, send)[0]}
    tokens |= {user: send(to=f"{user}@example.com", subject=f"for {user}")[0] for user in ("joe", "postmaster")}

    listed = gateway.exec("mailq")
    assert re.search(r"^-- \d+ Kbytes in 3 Requests\.$", listed, re.M), listed
    assert gateway.exec("postqueue", "-p") == listed
    ids = {json.loads(line)["recipients"][0]["address"]: json.loads(line)["queue_id"]
           for line in gateway.exec("postqueue", "-j").splitlines()}
    assert f"X-Token: {tokens['ann']}" in gateway.exec("postcat", "-q", ids["ann@example.com"])
    done = engine.docker("exec", "mxgate", "postsuper", "-d", ids["postmaster@example.com"])
    assert "Deleted: 1 message" in done.stdout + done.stderr
    engine.docker("exec", "mxgate", "postsuper", "-h", ids["joe@example.com"])
    assert f"{ids['joe@example.com']}!" in gateway.exec("mailq")

    assert gateway.exec("postconf", "-h", "relay_domains") == "example.com\n"
    refused = send(to="ann@example.net")[1]
    assert refused.code == 554 and "Relay access denied" in refused.text
    gateway.exec("postconf", "-e", "relay_domains = example.com, example.net")
    assert send(to="nobody@example.net")[1].code == 250, "accepted while Dovecot cannot be asked"
    gateway.exec("postconf", "-X", "relay_domains")
    assert "DOWN since" in gateway.exec("mxgate", "status")
    gateway.exec("sh", "-c", "postqueue -p | tail -n +2 | awk 'BEGIN{RS=\"\"} /nobody@example.net/ {print $1}' | tr -d '*!' | postsuper -d -")

    dovecot.connect()
    gateway.exec("postqueue", "-f")
    dovecot.wait_tokens([tokens["ann"]])
    assert not dovecot.tokens("joe")
    gateway.exec("postsuper", "-H", "ALL")
    dovecot.wait_tokens([tokens["joe"]], "joe")
    wait.until(lambda: gateway.exec("mailq") == "Mail queue is empty\n", lambda: "an empty queue: " + gateway.exec("mailq"))
    assert gateway.exec("sendmail", "-v", "-f", "ops@example.org", "ann@example.com", input="Subject: by hand\n\nhello\n").startswith("250 2.0.0")
    assert "running: PID: 1" in engine.docker("exec", "mxgate", "postfix", "status").stderr
    assert gateway.exec("healthcheck").startswith("healthy: ")


def test_the_way_to_dovecot_goes_and_comes(stacks, dovecot, capsys):
    """`docker network disconnect`, mail, `connect`: there within 5 s."""
    gateway = stacks().gateway
    send()
    dovecot.disconnect()
    tokens = [find_out(gateway, send)[0]]
    tokens += [send()[0] for _ in range(19)]
    assert gateway.health() == "healthy"
    dovecot.connect()
    begun = time.monotonic()
    dovecot.wait_tokens(tokens, timeout=15)
    took = time.monotonic() - begun
    with capsys.disabled():
        print(f"\n20 mails delivered {took:.1f} s after the network's return")
    assert took < 5


def test_started_as_the_user(stacks, dovecot):
    """No root at all: a high port, no capability, a volume that takes its owner from the image."""
    gateway = stacks(environment={"LISTEN": "2525"}, user="10025:10025", cap_add=[]).gateway
    assert gateway.status()["Uid"].split() == ["10025"] * 4
    token, reply = send(address=("127.0.0.1", 2525))
    assert reply.code == 250
    dovecot.wait_tokens([token])
    assert gateway.exec("mailq") == "Mail queue is empty\n"


def test_scratch(run, dovecot):
    """The image without a shell."""
    gateway = run("--network", "host", "--read-only", "--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "NET_BIND_SERVICE",
                  "--cap-add", "SETGID", "--cap-add", "SETUID", "--security-opt", "no-new-privileges", "-e", f"RELAY_TRANSPORT={TRANSPORT}",
                  "-e", "ALLOWED_DOMAINS=example.com", "-e", "HOSTNAME=mx.example.com", "mxgate:scratch")
    gateway.wait_health("healthy", 30)
    token, reply = send()
    assert reply.code == 250
    dovecot.wait_tokens([token])
    assert gateway.exec("mailq") == "Mail queue is empty\n"
    assert gateway.status()["Uid"].split() == ["10025"] * 4


def test_time_zone(run):
    """TZ by name: from the image's own zone files."""
    for zone, offset in (("Asia/Tokyo", r"\+09:00"), ("America/Phoenix", "-07:00")):
        gateway = run("--network", "none", "-e", f"TZ={zone}", "-e", "ALLOWED_DOMAINS=example.com", "-e", "HOSTNAME=mx.example.com",
                      "-e", f"RELAY_TRANSPORT={TRANSPORT}", "mxgate")
        gateway.wait_log(rf"(?m)^\d{{4}}-\d\d-\d\dT\S+{offset} ")
