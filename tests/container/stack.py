"""The gateway as the compose files start it, and a Dovecot for it, in the private engine.

`mail` is a network of its own (192.0.2.0/24): Dovecot is 192.0.2.53 in it, the host (and so a gateway on the host's
network) 192.0.2.1."""

import datetime
import json
import pathlib
import re

from harness import wait

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy" / "compose" / "demo"
NETWORK = "mail"
DOVECOT = "192.0.2.53"
HOST = "192.0.2.1"
LMTP_PORT = 2525
TRANSPORT = f"lmtp:[{DOVECOT}]:{LMTP_PORT}"
TOKEN = re.compile(rb"^X-Token: (\S+)", re.M)


def docker_time(text):
    """Docker has nanoseconds, datetime takes microseconds."""
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text)).timestamp()


class Container:
    def __init__(self, engine, name):
        self.engine = engine
        self.name = name

    def inspect(self, template):
        return self.engine.docker("container", "inspect", "--format", template, self.name).stdout.strip()

    @property
    def pid(self):
        return int(self.inspect("{{.State.Pid}}"))

    def health(self):
        return self.inspect("{{if .State.Health}}{{.State.Health.Status}}{{end}}")

    def health_text(self):
        """What the last look said."""
        log = json.loads(self.inspect("{{json .State.Health.Log}}"))
        return log[-1]["Output"] if log else ""

    def healthy_after_s(self):
        """From its start to the end of the first look that found it healthy, by Docker's own clock."""
        looks = [look for look in json.loads(self.inspect("{{json .State.Health.Log}}")) if look["ExitCode"] == 0]
        return docker_time(looks[0]["End"]) - docker_time(self.inspect("{{.State.StartedAt}}"))

    def wait_health(self, status, timeout=10.0):
        wait.until(lambda: self.health() == status,
                   lambda: f"{self.name} to be {status}; it is {self.health()!r} ({self.health_text()}); log:\n{self.logs()}", timeout, 0.05)

    def logs(self):
        done = self.engine.docker("logs", self.name, check=False)
        return done.stdout + done.stderr

    def wait_log(self, pattern, timeout=10.0):
        return wait.until(lambda: re.search(pattern, self.logs()), lambda: f"a log line like {pattern!r}; the log:\n{self.logs()[-4000:]}",
                          timeout, 0.1)

    def exec(self, *command, **options):
        """`docker exec`; what it printed."""
        keep = ["-i"] if "input" in options else []
        return self.engine.docker("exec", *keep, self.name, *command, **options).stdout

    def status(self):
        """Fields of the main process's /proc/PID/status."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


class Dovecot(Container):
    """Of the demonstration's image, on `mail`, with LMTP on the port that the files under test name."""

    def __init__(self, engine, folder):
        super().__init__(engine, "dovecot")
        config = (DEMO / "dovecot" / "dovecot.conf").read_text()
        config = config.replace("port = 24\n", f"port = {LMTP_PORT}\n").replace("127.0.0.0/8 ", "127.0.0.0/8 192.0.2.0/24 ")
        assert str(LMTP_PORT) in config and "192.0.2.0/24" in config
        (folder / "dovecot.conf").write_text(config)
        engine.docker("network", "create", "--subnet", "192.0.2.0/24", "--gateway", HOST, NETWORK)
        engine.docker("run", "-d", "--name", self.name, "--network", NETWORK, "--ip", DOVECOT, "-v", "mailboxes:/srv/mail",
                      "-v", f"{folder}/dovecot.conf:/etc/dovecot/dovecot.conf:ro", "mxgate-demo-dovecot")
        self.mail = pathlib.Path(engine.docker("volume", "inspect", "--format", "{{.Mountpoint}}", "mailboxes").stdout.strip())
        self.wait_health("healthy", 30)

    def connect(self):
        self.engine.docker("network", "connect", "--ip", DOVECOT, NETWORK, self.name)

    def disconnect(self):
        self.engine.docker("network", "disconnect", NETWORK, self.name)

    def tokens(self, user="ann"):
        """The X-Token of each mail that lies there: a list, since a second copy must show."""
        found = []
        for folder in ("new", "cur"):
            for path in (self.mail / user / folder).glob("*"):
                match = TOKEN.search(path.read_bytes())
                found.append(match.group(1).decode() if match else path.name)
        return found

    def wait_tokens(self, wanted, user="ann", timeout=10.0):
        """Until all of these are there; then the list of all."""
        wanted = set(wanted)

        def missing():
            return wanted - set(self.tokens(user))
        wait.until(lambda: not missing(), lambda: f"{len(missing())} of {len(wanted)} mails in {user}'s mailbox", timeout, 0.05)
        return self.tokens(user)


def find_out(gateway, send):
    """Dovecot has just gone: it takes a mail, and an attempt, for the gateway to notice. What send() gave."""
    sent = send()
    gateway.wait_log("is down: mail for it is kept", 40)
    return sent


class Stack:
    """A compose file and what the test adds to it, as a project of its own."""

    def __init__(self, engine, folder, file="docker-compose.yml", service="mxgate", container="mxgate", **changes):
        self.engine = engine
        self.gateway = Container(engine, container)
        self.files = ["-f", ROOT / file]
        if changes:
            override = folder / "override.yml"  # JSON is YAML
            override.write_text(json.dumps({"services": {service: changes}}))
            self.files += ["-f", override]

    def compose(self, *arguments, **options):
        return self.engine.compose("-p", "test", "--project-directory", ROOT, *self.files, *arguments, **options)

    def up(self, healthy=True):
        self.compose("up", "-d", "--no-build")
        if healthy:
            self.gateway.wait_health("healthy", 30)
        return self

    def down(self, *options):
        self.compose("down", *options)
