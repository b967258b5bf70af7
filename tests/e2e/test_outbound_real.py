"""Sending mail out with real peers only: msmtp, Postfix and a user's program at home; a Postfix with SASL (Dovecot) and TLS
as the provider, which delivers into maildirs and sends its bounces back to our port 25; and the Dovecot of the home
server behind us. The configurations are those of docs/OUTBOUND.md and deploy/compose/outbound."""

import base64
import email
import email.policy
import os
import re
import shutil
import ssl
import subprocess

import pytest

from harness import mail, postfix, smtp_client, wait
from harness.dovecot import OWNER, Dovecot
from harness.gateway import ROOT
from harness.ports import free_port
from harness.sasl import DovecotAuth, relayhost

pytestmark = pytest.mark.skipif(not postfix.available() or not shutil.which("msmtp"), reason="needs root, Postfix and msmtp")
LOGIN, PASSWORD = "ann@example.com", "C0rrect horse"  # at the provider
HOME, HOME_PASSWORD = "alice@example.com", "secret"  # of the home server's Dovecot
SUBMISSION = "SETTING(text, smtpd_sasl_path," in (ROOT / "src/config/settings.def").read_text()
needs_submission = pytest.mark.skipif(not SUBMISSION, reason="no ports for users yet")
VIRTUAL = "virtual unix - n n - - virtual\n"
DOCUMENT = (ROOT / "docs/OUTBOUND.md").read_text(encoding="utf-8")


def example(title):
    """The indented block of the document that begins with this comment, without the comment."""
    blocks = re.findall(rf"(?m)^    # {re.escape(title)}\n((?:    \S.*\n|    \n)+)", DOCUMENT)
    assert blocks, f"no example {title} in docs/OUTBOUND.md"
    return [re.sub(r"(?m)^    ", "", block) for block in blocks]


# --- the peers

@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "tests/certificates.sh", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def logins():
    auth = DovecotAuth({LOGIN: PASSWORD})
    yield auth
    auth.remove()


@pytest.fixture(scope="module")
def _home():
    server = Dovecot(**({"auth": True} if SUBMISSION else {}))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def home(_home):
    _home.start()
    return _home


class Provider:
    """Delivers mail for example.org into a maildir for each address of `known`; to other addresses it says 550 at RCPT, or
    takes them and sends a bounce, if they begin with "late". What is for example.com goes to where MX would lead: to us."""

    known = ("joe@example.org", "kim@example.org")

    def __init__(self, logins, certificates):
        self.logins, self.certificates = logins, certificates
        self.server = None
        self.back = free_port()

    def make(self, back):
        """back: the port where example.com takes mail."""
        maps = " ".join(f"{a}={a.partition('@')[0]}/" for a in self.known)
        self.server = relayhost(
            self.logins, f"smtp:[127.0.0.1]:{back}", self.certificates / "good",
            relay_domains="", virtual_mailbox_domains="example.org", virtual_mailbox_maps=f"inline:{{ {maps} }}",
            virtual_uid_maps=f"static:{OWNER}", virtual_gid_maps=f"static:{OWNER}", virtual_minimum_uid="1",
            smtpd_reject_unlisted_recipient="no", myhostname="smtp.example.net", minimal_backoff_time="1s", maximal_backoff_time="2s",
            queue_run_delay="1s", smtpd_recipient_restrictions="check_recipient_access inline:{ "
            "{ nobody@example.org = 550 5.1.1 No such user here } }, permit")
        self.folder = self.server.top / "mail"
        self.folder.mkdir()
        os.chown(self.folder, OWNER, OWNER)
        config = self.server.top / "conf"
        with (config / "main.cf").open("a") as f:
            f.write(f"virtual_mailbox_base = {self.folder}\n")
        with (config / "master.cf").open("a") as f:
            f.write(VIRTUAL)
        return self.server.start()

    def tokens(self, user):
        return sorted(mail.token_of(p.read_bytes()) for p in (self.folder / user / "new").glob("*"))

    def files(self, user):
        return [p.read_bytes() for p in (self.folder / user / "new").glob("*")]

    def wait_for(self, user, tokens, timeout=20):
        wait.until(lambda: len(self.tokens(user)) >= len(tokens),
                   lambda: f"{len(tokens)} mails for {user}; {len(self.tokens(user))} are there; its log:\n{self.server.log()[-3000:]}",
                   timeout)
        assert self.tokens(user) == sorted(tokens)


@pytest.fixture
def provider(logins, certificates):
    made = Provider(logins, certificates)
    yield made
    if made.server:
        made.server.remove()


class Out:
    """The gateway as deploy/compose/outbound has it, between the home server and the provider."""

    def __init__(self, gateways, provider, home, tmp_path, **settings):
        port = free_port()
        server = provider.make(port)
        (tmp_path / "password").write_text(PASSWORD)
        if SUBMISSION:
            settings = {"smtpd_sasl_path": home.inet_auth, **settings}
        else:
            settings = {k: v for k, v in settings.items() if "sasl" not in k}
        self.gateway = gateways(**{
            "listen": f"127.0.0.1:{port}" + ", 127.0.0.1:0:submission" * SUBMISSION, "relay_transport": home.transport, "relayhost": f"[127.0.0.1]:{server.port}",
            "relayhost_username": LOGIN, "relayhost_password_file": tmp_path / "password", "smtp_tls_loglevel": "1",
            "notify_recipient": "", "run_as_user": "", "mynetworks": "127.0.0.1/32",
            **settings})
        found = re.search(r"Listening on 127\.0\.0\.1:(\d+):submission", self.gateway.log())
        self.submission = ("127.0.0.1", int(found.group(1))) if SUBMISSION else None
        self.smtp = ("127.0.0.1", port)
        self.provider, self.home = provider, home

    def login(self):
        """A user of the home server; or, without a port for users, a client in mynetworks."""
        if not SUBMISSION:
            client = smtp_client.Smtp(self.smtp)
            client.hello()
            return client
        client = smtp_client.Smtp(self.submission, tls=False)
        client.hello()
        client.starttls()
        client.hello()
        words = base64.b64encode(f"\0{HOME}\0{HOME_PASSWORD}".encode()).decode()
        assert client.cmd(f"AUTH PLAIN {words}").code == 235
        return client

    def send(self, *recipients, token=None, sender=HOME):
        token = token or mail.new_token()
        with self.login() as client:
            replies = client.envelope(sender, recipients)
            assert all(r.code == 250 for r in replies), replies
            reply = client.data(mail.message(token, sender=sender, to=recipients[0]))
            assert reply.code == 250, reply
        return token

    def reports(self, token, user="alice"):
        """Those in Dovecot about this mail, parsed."""
        found = [email.message_from_bytes(m, policy=email.policy.default) for m in self.home.fetch(user)]
        return [m for m in found if m.get_content_type() == "multipart/report" and mail.token_of(m.as_bytes()) == token]

    def wait_bounce(self, token, recipient):
        """The only one about this mail, and what it says of the recipient."""
        report, = wait.until(lambda: self.reports(token), lambda: f"a bounce in Dovecot; log:\n{self.gateway.tail()}", 20)
        block, = [b for b in report.get_payload(1).get_payload() if "Final-Recipient" in b]
        assert str(block["Final-Recipient"]).endswith(recipient) and block["Action"] == "failed"
        return report, block


@pytest.fixture
def out(gateways, provider, home, tmp_path):
    return Out(gateways, provider, home, tmp_path)


# --- the whole way

def as_written(text, **changes):
    for old, new in changes.items():
        assert re.search(old, text), (old, text)
        text = re.sub(old, new, text)
    return text


@needs_submission
def test_msmtp(out, tmp_path):
    """The document's ~/.msmtprc: in by 587 with a login that Dovecot knows, out by the provider with one of ours."""
    text, = example("~/.msmtprc")
    text = as_written(text, **{"host mx.example.com": "host 127.0.0.1", "port 587": f"port {out.submission[1]}",
                               "from ann@": "from alice@", "user ann": f"user {HOME}",
                               "passwordeval cat .*": f"passwordeval echo {HOME_PASSWORD}"})
    (tmp_path / "msmtprc").write_text(text + "tls_certcheck off\n")
    (tmp_path / "msmtprc").chmod(0o600)
    token = mail.new_token()
    body = mail.message(token, sender=HOME, to="joe@example.org").replace(b"\r\n", b"\n")
    done = subprocess.run(["msmtp", "-C", tmp_path / "msmtprc", "joe@example.org"], input=body, capture_output=True, timeout=60)
    assert done.returncode == 0, done
    out.provider.wait_for("joe", [token])
    gateway = out.gateway
    gateway.wait_log(rf"smtpd\[\d+\]: \w+: client=\S+, sasl_method=PLAIN, sasl_username={HOME}$")
    assert gateway.grep("TLS connection established to 127.0.0.1")
    gateway.wait_log(r"postfix/smtp\[\d+\]: \w+: to=<joe@example\.org>, relay=127\.0\.0\.1.*status=sent \(250 2\.0\.0 Ok: queued as")
    out.provider.server.wait_log(rf"sasl_method=PLAIN, sasl_username={re.escape(LOGIN)}")
    gateway.wait_queue_empty()
    assert PASSWORD not in gateway.log() and HOME_PASSWORD + "\n" not in gateway.log()


@pytest.mark.parametrize("which", [0, pytest.param(1, marks=needs_submission)], ids=["VPN", "login"])
def test_postfix_at_home(out, which):
    """The document's main.cf, both of them: over the VPN (mynetworks) by 25, and with a login by 587."""
    text = example("main.cf")[which]
    port = out.smtp[1] if which == 0 else out.submission[1]
    text = re.sub(r"relayhost = \[[\w.]+\]:\d+", f"relayhost = [127.0.0.1]:{port}", text)
    server = postfix.Postfix(relay_domains="")
    try:
        if which == 1:
            passwords, = example("/etc/postfix/relayhost_password")
            passwords = as_written(passwords, **{r"\[mx.example.com\]:587 ann:secret": f"[127.0.0.1]:{port} {HOME}:{HOME_PASSWORD}"})
            (server.top / "conf" / "relayhost_password").write_text(passwords)
            text = text.replace("/etc/postfix/", f"{server.top}/conf/")
        with (server.top / "conf" / "main.cf").open("a") as f:
            f.write(text)
        server.start()
        token = mail.new_token()
        assert smtp_client.send(server.address, HOME, ["joe@example.org"], mail.message(token), tls=False).code == 250
        out.provider.wait_for("joe", [token])
    finally:
        print(f"--- log of the Postfix at home\n{server.log()[-4000:]}")
        server.remove()


@needs_submission
def test_swaks_inside_tls_from_the_first_byte(gateways, provider, home, tmp_path):
    """465 on both sides: a user's program in by submissions, out to a provider that begins with TLS."""
    server = provider.make(free_port())
    server.stop()
    with (server.top / "conf" / "main.cf").open("a") as f:
        f.write("smtpd_tls_wrappermode = yes\n")
    server._answers = lambda: subprocess.run(["true"]) and tls_answers(server.address)
    server.start()
    (tmp_path / "password").write_text(PASSWORD)
    gateway = gateways(listen="127.0.0.1:0, 127.0.0.1:0:submissions", relay_transport=home.transport, run_as_user="",
                       relayhost=f"[127.0.0.1]:{server.port}", smtp_tls_wrappermode="yes", relayhost_username=LOGIN,
                       relayhost_password_file=tmp_path / "password", smtpd_sasl_users="ann:secret")
    port = re.search(r"Listening on 127\.0\.0\.1:(\d+):submissions", gateway.log()).group(1)
    token = mail.new_token()
    (tmp_path / "mail").write_bytes(mail.message(token))
    done = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", port, "--tlsc", "--auth", "LOGIN", "--auth-user", "ann",
                           "--auth-password", "secret", "--from", HOME, "--to", "joe@example.org", "--data", tmp_path / "mail"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    provider.wait_for("joe", [token])


def tls_answers(address):
    try:
        with smtp_client.Smtp(address, timeout=2, wrapped=True) as client:
            return client.greeting.code == 220
    except (OSError, ssl.SSLError, smtp_client.Closed):
        return False


# --- what comes back

def test_a_recipient_that_the_provider_refuses(out):
    """One of three, at RCPT: the others have it, and the sender a bounce in his Dovecot, with the provider's words."""
    token = out.send("joe@example.org", "nobody@example.org", "kim@example.org")
    out.provider.wait_for("joe", [token])
    out.provider.wait_for("kim", [token])
    report, block = out.wait_bounce(token, "nobody@example.org")
    assert block["Status"] == "5.1.1" and "No such user here" in str(block["Diagnostic-Code"])
    assert report["To"] == HOME and "mx.example.com" in str(report["From"])
    out.gateway.wait_queue_empty()
    assert len(out.reports(token)) == 1


def test_all_are_refused_while_the_user_waits(out):
    """No bounce is needed: his program shows what the provider said."""
    with out.login() as client:
        assert client.envelope(HOME, ["nobody@example.org"])[0].code == 250
        reply = client.data(mail.message(mail.new_token()))
    assert reply.code == 550 and "No such user here" in reply.text
    assert not out.gateway.postqueue() and not out.gateway.grep("non-delivery notification")


def test_a_bounce_of_the_provider(out):
    """It took it, and finds out later: its bounce comes in by port 25 as any mail, into Dovecot."""
    token = out.send("late1@example.org")
    report, _ = out.wait_bounce(token, "late1@example.org")
    assert "smtp.example.net" in str(report["From"])
    out.gateway.wait_log(r"lmtp\[\d+\]: \w+: to=<alice@example\.com>, .*status=sent")
    out.gateway.wait_queue_empty()
    assert len(out.reports(token)) == 1


def test_an_operator_sends_it_elsewhere(out):
    """A mail that failed for a sender nobody can tell: held, and resent to the outside."""
    token = mail.new_token()
    reply = smtp_client.send(out.smtp, "", ["nobody@example.org", "joe@example.org"], mail.message(token))
    assert reply.code == 250
    out.provider.wait_for("joe", [token])
    wait.until(lambda: out.gateway.ask_status()["held_failed"] == 1, "it to be on hold")
    wait.until(lambda: out.reports(token, "postmaster"), "the notice in postmaster's mailbox")
    queue_id = out.gateway.ask_status()["held_oldest_id"]
    done = out.gateway.run("resend", queue_id, "to", "kim@example.org", env={"hostname": "mx.example.com", "allowed_domains": "example.com"})
    assert done.returncode == 0, done
    out.provider.wait_for("kim", [token])
    assert b"\nResent-To: kim@example.org\n" in out.provider.files("kim")[0]
    out.gateway.run("postsuper", "-d", queue_id, check=0)


# --- when somebody is away

def test_the_provider_is_away(out):
    """50 mails meanwhile; it comes back, and each is there once."""
    out.send("joe@example.org")
    wait.until(lambda: out.provider.tokens("joe"), "the first")
    first = out.provider.tokens("joe")
    out.provider.server.stop()
    tokens = [out.send("joe@example.org") for _ in range(50)]
    out.gateway.wait_log("is down: mail for it is kept")
    out.gateway.wait_queued(50)
    out.provider.server.start()
    out.provider.wait_for("joe", first + tokens, timeout=40)
    out.gateway.wait_queue_empty(20)
    out.gateway.wait_log("is up again")
    assert len(out.gateway.grep("to=<joe@example.org>.*status=sent")) == 51


def test_both_are_away(gateways, provider, home, tmp_path):
    """No VPN, no provider: mail in both directions waits, each goes when its own side is back, and nothing comes twice."""
    out = Out(gateways, provider, home, tmp_path, smtpd_sasl_path="", smtpd_sasl_users=f"{HOME}:{HOME_PASSWORD}",
              verify_recipients="no")
    going, coming, lost = [out.send("kim@example.org")], [], []
    out.provider.wait_for("kim", going)
    home.stop()
    for _ in range(5):  # the provider is there, Dovecot is not
        going.append(out.send("kim@example.org"))
    lost.append(out.send("nobody@example.org", "joe@example.org"))
    out.provider.wait_for("kim", going)
    out.provider.wait_for("joe", lost)
    provider.server.stop()
    for _ in range(5):  # neither is
        going.append(out.send("kim@example.org"))
        token = mail.new_token()
        assert smtp_client.send(out.smtp, "bob@example.net", ["joe@example.com"], mail.message(token)).code == 250
        coming.append(token)
    out.gateway.kill()  # nor, for a moment, are we
    out.gateway.start()
    wait.until(lambda: out.gateway.ask_status()["queued"] == 11, lambda: f"5 out, 5 in and a bounce: {out.gateway.postqueue()}")
    home.start()
    wait.until(lambda: len(home.fetch("joe")) >= 5, "what came in", 20)
    assert sorted(mail.token_of(m) for m in home.fetch("joe")) == sorted(coming)
    provider.server.start()
    out.provider.wait_for("kim", going, timeout=40)
    out.wait_bounce(lost[0], "nobody@example.org")
    out.gateway.wait_queue_empty(20)


def test_a_wrong_password(out, tmp_path):
    """It waits, and goes when the file has the right one: a reload is all it takes."""
    (tmp_path / "password").write_text("not this one")
    out.gateway.run("reload", check=0)
    token = out.send("joe@example.org")
    out.gateway.wait_log(r"status=deferred \((?:delivery temporarily suspended: )?SASL authentication failed; server 127\.0\.0\.1"
                         r"\[127\.0\.0\.1\] said: 535 5\.7\.8")
    status = out.gateway.run("status", check=0).stdout.decode()
    assert re.search(r"(?m)^destination \[127\.0\.0\.1\]:\d+ \(for other domains\): DOWN since .*SASL authentication failed", status), status
    (tmp_path / "password").write_text(PASSWORD)
    out.gateway.run("reload", check=0)
    out.gateway.flush()
    out.provider.wait_for("joe", [token])
    assert not out.gateway.grep("status=bounced")
