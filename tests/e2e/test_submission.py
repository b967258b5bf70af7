"""Users who log in: submission ports, AUTH with real Dovecot and with users of the settings, what their mail gets, what
strangers get."""

import base64
import email
import re
import smtplib
import socket
import subprocess
import threading
import time

import pytest

from harness import mail, postfix, smtp_client, wait
from harness.dovecot import Dovecot
from harness.gateway import Gateway, clean_environment, healthcheck_binary

USERS = "ann:se$cret,bob@example.org:pass word"
PEER = r"unknown\[127\.0\.0\.1\]"


def b64(text):
    return base64.b64encode(text.encode()).decode()


def plain(user, password, authorised=""):
    return b64(f"{authorised}\0{user}\0{password}")


class Ports:
    """A gateway with a port of each kind."""

    def __init__(self, gateway):
        found = dict((kind or ":smtp", int(port)) for port, kind in
                     re.findall(r"Listening on 127\.0\.0\.1:(\d+)(:\w+)?$", gateway.log(), re.M))
        self.gateway = gateway
        self.smtp = ("127.0.0.1", found[":smtp"])
        self.submission = ("127.0.0.1", found[":submission"])
        self.submissions = ("127.0.0.1", found[":submissions"])


LISTEN = "127.0.0.1:0, 127.0.0.1:0:submission, 127.0.0.1:0:submissions"


@pytest.fixture
def submission(gateways, peer):
    def make(**settings):
        settings.setdefault("relay_transport", peer.transport)
        if "smtpd_sasl_path" not in settings:
            settings.setdefault("smtpd_sasl_users", USERS)
        return Ports(gateways(listen=LISTEN, **settings))

    return make


@pytest.fixture(scope="module")
def users():
    """A Dovecot that knows users, on a socket and on a port."""
    server = Dovecot(auth=True)
    server.start()
    yield server
    server.remove()


def connect(ports):
    client = smtp_client.Smtp(ports.submission, tls=False)
    client.cmd("EHLO client.example.net")
    client.starttls()
    client.cmd("EHLO client.example.net")
    return client


def login(ports, user="ann", password="se$cret"):
    client = connect(ports)
    assert client.cmd(f"AUTH PLAIN {plain(user, password)}").code == 235
    return client


def swaks(address, *options):
    done = subprocess.run(["swaks", "--server", address[0], "--port", str(address[1]), "--ehlo", "client.example.net",
                           "--from", "ann@example.com", *options], capture_output=True, text=True, timeout=60 * wait.SCALE)
    return done.returncode, done.stdout + done.stderr


def delivered(peer, count=1):
    wait.until(lambda: peer.messages == count, f"{count} messages at the upstream")


# --- the settings' users

@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("kind", ["submission", "submissions"])
def test_users_of_the_settings(kind, mechanism, submission, peer):
    ports = submission()
    code, said = swaks(getattr(ports, kind), "--tls" if kind == "submission" else "--tlsc", "--auth", mechanism,
                       "--auth-user", "bob@example.org", "--auth-password", "pass word", "--to", "alice@example.com")
    assert code == 0, said
    assert "250-AUTH PLAIN LOGIN" in said
    delivered(peer)
    ports.gateway.wait_log(rf"smtpd\[\d+\]: \w+: client={PEER}, sasl_method={mechanism}, sasl_username=bob@example.org$")


def test_smtplib(submission, peer):
    ports = submission()
    with smtplib.SMTP(*ports.submission) as client:
        client.starttls(context=smtp_client.context())
        client.login("ann", "se$cret")
        client.sendmail("ann@example.com", ["alice@example.com"], b"Subject: x\r\n\r\nx\r\n")
    delivered(peer)


def test_curl(submission, peer, tmp_path):
    ports = submission()
    (tmp_path / "mail").write_bytes(b"Subject: x\r\n\r\nx\r\n")
    subprocess.run(["curl", "-sS", "--ssl-reqd", "-k", "--url", "smtp://%s:%d" % ports.submission, "--user", "ann:se$cret",
                    "--mail-from", "ann@example.com", "--mail-rcpt", "alice@example.com", "-T", tmp_path / "mail"],
                   check=True, timeout=60 * wait.SCALE)
    delivered(peer)


def test_a_wrong_password(submission):
    ports = submission(smtpd_hard_error_limit=3)
    client = connect(ports)
    for n in range(3):
        assert client.cmd(f"AUTH PLAIN {plain('ann', f'guess{n}')}").code == 535
    assert client.reply().code == 421
    ports.gateway.wait_log(r"disconnect from .* auth=0/3 ")
    assert len(ports.gateway.grep(rf"warning: {PEER}: SASL PLAIN authentication failed: authentication failure, "
                                  r"sasl_username=ann$")) == 3, ports.gateway.tail()
    assert "guess" not in ports.gateway.log() and b64("guess") not in ports.gateway.log()


def test_a_name_that_may_be_a_password_is_not_logged(submission):
    ports = submission()
    client = connect(ports)
    assert client.cmd(f"AUTH PLAIN {plain('my-Pass', 'x')}").code == 535
    ports.gateway.wait_log(r"failed: authentication failure, sasl_username=\(unavailable\)$")
    assert "my-Pass" not in ports.gateway.log()


def test_no_secret_anywhere(submission, peer):
    """Whatever goes wrong, with every line of the dialogue in the log."""
    ports = submission(debug_peer_list="127.0.0.1")
    secret = "Hush-Hush"
    said = [plain("ann", secret), b64(secret)]
    client = connect(ports)
    client.cmd(f"AUTH PLAIN {said[0]}")
    client.cmd("AUTH LOGIN")
    client.cmd(b64("ann"))
    client.cmd(said[1])
    client.cmd(f"AUTH PLAIN {said[0]} {said[0]}")
    client.cmd(f"AUTH FOO {said[0]}")
    client.cmd("AUTH PLAIN " + said[0] + "A" * 3000)  # too long for a command
    client.cmd("AUTH PLAIN")
    client.cmd(said[0] + "A" * 13000)
    client.send(f"AUTH PLAIN {said[0]}\r\n{said[1]}\r\nNOOP\r\n".encode())
    for _ in range(3):
        client.reply()
    with smtp_client.Smtp(ports.submission, tls=False) as clear:
        clear.cmd("EHLO h")
        clear.cmd(f"AUTH PLAIN {said[0]}")
        clear.cmd(said[1])
    ports.gateway.wait_log("disconnect from")
    log = ports.gateway.log()
    for word in [secret, "se$cret", plain("ann", "se$cret"), *said, said[0][:12], said[1][:12]]:
        assert word not in log, word
    for command in ("postconf", "status"):
        assert "se$cret" not in str(ports.gateway.run(command).stdout)


# --- who may what

def test_nobody_sends_there_without_a_login(submission, peer):
    ports = submission(mynetworks="127.0.0.0/8")  # trusted ones neither
    with smtp_client.Smtp(ports.submission, tls=False) as client:
        client.cmd("EHLO h")
        assert client.cmd("MAIL FROM:<a@example.com>").text == "530 5.7.0 Must issue a STARTTLS command first"
        assert client.cmd(f"AUTH PLAIN {plain('ann', 'se$cret')}").text == "530 5.7.0 Must issue a STARTTLS command first"
        client.starttls()
        client.cmd("EHLO h")
        assert client.cmd("MAIL FROM:<a@example.com>").text == "530 5.7.0 Authentication required"
    with smtp_client.Smtp(ports.submissions, wrapped=True) as client:
        client.cmd("EHLO h")
        assert client.cmd("MAIL FROM:<a@example.com>").text == "530 5.7.0 Authentication required"
    assert peer.messages == 0


def test_port_25_is_as_it_was(submission, peer):
    ports = submission()
    with smtp_client.Smtp(ports.smtp) as client:
        assert not [line for line in client.cmd("EHLO h").lines if "AUTH" in line]
        assert client.cmd(f"AUTH PLAIN {plain('ann', 'se$cret')}").text == "503 5.5.1 Error: authentication not enabled"
        assert client.mail("bob@example.org", ["alice@example.com"], mail.message(mail.new_token())).code == 250


def test_a_stranger_relays_nowhere(submission, peer):
    ports = submission(mynetworks="192.0.2.0/24", relayhost="[127.0.0.1]:1")
    with smtp_client.Smtp(ports.smtp) as client:
        client.cmd("EHLO h")
        client.cmd("MAIL FROM:<ann@example.com>")
        assert client.cmd("RCPT TO:<x@example.net>").text == "554 5.7.1 <x@example.net>: Relay access denied"


def test_who_logged_in_has_the_way_out(submission, peer):
    ports = submission(mynetworks="192.0.2.0/24", relayhost="[127.0.0.1]:1", verify_recipients="no")
    client = login(ports)
    client.cmd("MAIL FROM:<ann@example.com>")
    assert client.cmd("RCPT TO:<x@example.net>").code == 250
    client.cmd("RSET")
    ports = submission(mynetworks="192.0.2.0/24")  # no way: no relay
    client = login(ports)
    client.cmd("MAIL FROM:<ann@example.com>")
    assert client.cmd("RCPT TO:<x@example.net>").code == 554


def test_the_lists_of_clients_are_not_run(submission):
    ports = submission(smtpd_client_restrictions="reject", smtpd_helo_restrictions="reject",
                       smtpd_sender_restrictions="reject_sender_login_mismatch",
                       smtpd_sender_login_maps="inline:{ ann@example.com=ann }")
    client = login(ports)
    client.cmd("MAIL FROM:<ann@example.com>")
    assert client.cmd("RCPT TO:<alice@example.com>").code == 250
    client.cmd("RSET")
    client.cmd("MAIL FROM:<boss@example.com>")
    assert client.cmd("RCPT TO:<alice@example.com>").text == \
        "553 5.7.1 <boss@example.com>: Sender address rejected: not owned by user ann"


# --- what the mail gets

def only_message(peer):
    delivered(peer)
    return peer.deliveries[0].body


def test_missing_headers_are_added(submission, peer):
    ports = submission()
    client = login(ports)
    assert client.mail("ann@example.com", ["alice@example.com"], b"Subject: x\r\n\r\ntext\r\n").code == 250
    got = email.message_from_bytes(only_message(peer))
    assert got["From"] == "ann@example.com" and got["Date"]
    assert re.fullmatch(r"<\d{14}\.\w+@mx\.example\.com>", got["Message-Id"])
    ports.gateway.wait_log(rf"cleanup\[\d+\]: \w+: message-id={re.escape(got['Message-Id'])}$")
    assert got.get_payload() == "text\r\n"
    assert "with ESMTPSA id" in got["Received"] and "127.0.0.1" in got["Received"]


def test_nothing_is_added_to_what_is_whole(submission, peer):
    ports = submission(smtpd_sasl_authenticated_header="yes", submission_hide_client="yes")
    client = login(ports)
    whole = b"Message-ID: <a@b>\r\nFrom: x@example.com\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\ntext\r\n"
    assert client.mail("ann@example.com", ["alice@example.com"], whole).code == 250
    body = only_message(peer)
    assert body.endswith(whole)
    received = email.message_from_bytes(body)["Received"]
    assert "127.0.0.1" not in received and "client" not in received and "unknown" not in received
    assert received.startswith("(Authenticated sender: ann)\r\n\tby mx.example.com (Postfix) with ESMTPSA id ")


def test_port_25_adds_nothing(submission, peer):
    ports = submission()
    assert smtp_client.send(ports.smtp, "bob@example.org", ["alice@example.com"], b"Subject: x\r\n\r\nx\r\n").code == 250
    assert email.message_from_bytes(only_message(peer))["Message-Id"] is None


def test_port_25_adds_when_told(submission, peer):
    ports = submission(always_add_missing_headers="yes")
    assert smtp_client.send(ports.smtp, "bob@example.org", ["alice@example.com"], b"Subject: x\r\n\r\nx\r\n").code == 250
    assert email.message_from_bytes(only_message(peer))["Message-Id"]


# --- rates

def test_rates_of_a_user(submission, peer):
    ports = submission(submission_message_rate_limit=2, submission_recipient_rate_limit=3)
    with login(ports) as client:
        for _ in range(2):
            assert client.cmd("MAIL FROM:<ann@example.com>").code == 250
            client.cmd("RSET")
    client = login(ports, "ANN")  # another connection, the same user
    assert client.cmd("MAIL FROM:<ann@example.com>").text == "450 4.7.1 Error: too much mail from ann"
    ports.gateway.wait_log(rf"warning: Message delivery request rate limit exceeded: 3 from {PEER} for service smtp, sasl_username=ann$")
    other = login(ports, "bob@example.org", "pass word")
    other.cmd("MAIL FROM:<bob@example.org>")
    for _ in range(3):
        assert other.cmd("RCPT TO:<alice@example.com>").code == 250
    assert other.cmd("RCPT TO:<alice@example.com>").text == "450 4.7.1 Error: too many recipients from bob@example.org"


def test_rate_of_attempts(submission):
    ports = submission(smtpd_client_auth_rate_limit=2, mynetworks="192.0.2.0/24")
    for n in range(3):
        with connect(ports) as client:
            reply = client.cmd(f"AUTH PLAIN {plain('ann', 'x')}")
            assert reply.code == (535 if n < 2 else 450)
    assert reply.text == "450 4.7.1 Error: too many AUTH commands from 127.0.0.1"


# --- Dovecot

@pytest.fixture(params=["unix", "inet"])
def asked(request, submission, users):
    ports = submission(smtpd_sasl_path=getattr(users, request.param + "_auth"))
    wait.until(lambda: ports.gateway.ask_status()["logins"]["up"], "the gateway to reach Dovecot")
    return ports


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_dovecot(mechanism, asked, peer):
    code, said = swaks(asked.submission, "--tls", "--auth", mechanism, "--auth-user", "alice@example.com",
                       "--auth-password", "secret", "--to", "alice@example.com")
    assert code == 0, said
    assert re.search(r"250-AUTH [A-Z0-9 -]*PLAIN", said) and "ANONYMOUS" not in said and "EXTERNAL" not in said
    delivered(peer)
    asked.gateway.wait_log(rf"client={PEER}, sasl_method={mechanism}, sasl_username=alice@example.com$")


def test_dovecot_says_no(asked):
    client = connect(asked)
    reply = client.cmd(f"AUTH PLAIN {plain('alice@example.com', 'wrong')}")
    assert reply.text.startswith("535 5.7.8 Error: authentication failed: "), reply
    asked.gateway.wait_log(rf"warning: {PEER}: SASL PLAIN authentication failed: .*, sasl_username=alice@example.com$")
    assert client.cmd(f"AUTH PLAIN {plain('alice@example.com', 'secret')}").code == 235


def test_a_long_response(asked):
    client = connect(asked)
    assert client.cmd("AUTH PLAIN").code == 334
    assert client.cmd("A" * 12288).code == 535
    assert client.cmd("AUTH PLAIN").code == 334
    assert client.cmd("A" * 12289).text == "500 5.5.6 SASL response limit exceeded"
    assert client.cmd(f"AUTH PLAIN {plain('alice@example.com', 'secret')}").code == 235


def test_cancelled_ones_do_not_disturb(asked):
    client = connect(asked)
    for _ in range(3):
        assert client.cmd("AUTH CRAM-MD5").code == 334
        assert client.cmd("*").text == "501 5.7.0 Authentication aborted"
    with connect(asked) as gone:
        assert gone.cmd("AUTH CRAM-MD5").code == 334
    assert client.cmd(f"AUTH PLAIN {plain('alice@example.com', 'secret')}").code == 235
    assert not asked.gateway.grep("auth socket .* lost")


def test_a_client_that_goes_while_dovecot_thinks(asked):
    """A wrong password takes Dovecot two seconds."""
    with connect(asked) as client:
        client.send(f"AUTH PLAIN {plain('bob@example.com', 'wrong')}\r\n".encode())
        time.sleep(0.1)
    other = connect(asked)
    assert other.cmd(f"AUTH PLAIN {plain('alice@example.com', 'secret')}").code == 235


def test_many_at_once(asked):
    """Logins of many clients over one connection: each has his own answer."""
    failed = []

    def one(n):
        try:
            with connect(asked) as client:
                user = f"user{n % 30 + 1:02}@example.com"
                good = n % 5 > 0
                reply = client.cmd(f"AUTH PLAIN {plain(user, 'secret' if good else 'wrong')}")
                if reply.code != (235 if good else 535):
                    failed.append((n, reply))
        except Exception as error:  # told below
            failed.append((n, error))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * wait.SCALE)
    assert not failed, failed


def test_dovecot_stopped_and_started(submission):
    server = Dovecot(auth=True)
    try:
        server.start()
        ports = submission(smtpd_sasl_path=server.inet_auth)
        wait.until(lambda: ports.gateway.ask_status()["logins"]["up"], "the gateway to reach Dovecot")
        server.stop()
        ports.gateway.wait_log("SASL: connection to Dovecot auth socket 'inet:127.0.0.1:.*' lost: ")
        client = connect(ports)
        wait.until(lambda: client.cmd(f"AUTH PLAIN {plain('alice@example.com', 'secret')}").text ==
                   "454 4.7.0 Temporary authentication failure: Connection lost to authentication server", "a 454")
        assert "CRAM-MD5" in client.cmd("EHLO h").lines[5] or [
            line for line in client.cmd("EHLO h").lines if "CRAM-MD5" in line]  # as it was
        assert b": DOWN since" in ports.gateway.run("status").stdout
        server.start()
        ports.gateway.wait_log("SASL: Dovecot auth socket '.*' is up again")
        assert connect(ports).cmd(f"AUTH PLAIN {plain('alice@example.com', 'secret')}").code == 235
    finally:
        server.remove()


def test_dovecot_goes_in_the_middle_of_a_dialogue(submission):
    """Its question was passed on; what the client answers finds nobody who asked."""
    server = Dovecot(auth=True)
    try:
        server.start()
        ports = submission(smtpd_sasl_path=server.unix_auth)
        wait.until(lambda: ports.gateway.ask_status()["logins"]["up"], "the gateway to reach Dovecot")
        client, other = connect(ports), connect(ports)
        assert client.cmd("AUTH CRAM-MD5").code == 334
        assert other.cmd("AUTH CRAM-MD5").code == 334
        server.stop()
        ports.gateway.wait_log("SASL: connection to Dovecot auth socket '.*' lost: ")
        assert client.cmd(b64("alice@example.com 00")).text == (
            "454 4.7.0 Temporary authentication failure: Connection lost to authentication server")
        assert other.cmd("*").text == "501 5.7.0 Authentication aborted"
        assert client.cmd("NOOP").code == 250
    finally:
        server.remove()


def test_dovecot_is_not_there_yet(submission, tmp_path):
    ports = submission(smtpd_sasl_path=f"unix:{tmp_path}/nothing")
    ports.gateway.wait_log(r"warning: SASL: Connect to Dovecot auth socket 'unix:.*/nothing' failed: No such file or directory")
    client = connect(ports)
    assert [line for line in client.cmd("EHLO h").lines if "AUTH PLAIN LOGIN" in line]
    wait.until(lambda: client.cmd(f"AUTH PLAIN {plain('a', 'b')}").code == 454, "a 454")


def test_a_reload_changes_who_is_asked(submission, users):
    ports = submission(smtpd_sasl_path=users.unix_auth)
    old = connect(ports)
    ports.gateway.run("postconf", "-e", "smtpd_sasl_path=", f"smtpd_sasl_users={USERS}")
    assert connect(ports).cmd(f"AUTH PLAIN {plain('ann', 'se$cret')}").code == 235
    assert old.cmd(f"AUTH PLAIN {plain('ann', 'se$cret')}").code == 454


# --- a socket that is not Dovecot's

class Liar:
    """Listens on a port, says what it is told to."""

    def __init__(self, *lines, then=None, when=None):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.path = "inet:127.0.0.1:%d" % self.server.getsockname()[1]
        self.lines, self.then, self.when, self.heard = lines, then, when, []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            with sock:
                try:
                    if self.when:
                        self.when.wait(20 * wait.SCALE)
                    sock.sendall(b"".join(self.lines))
                    while data := sock.recv(65536):
                        self.heard.append(data)
                        if self.then and b"AUTH\t" in data:
                            sock.sendall(self.then(data))
                except OSError:
                    pass

    def close(self):
        self.server.close()


GREETING = b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tANONYMOUS\tanonymous\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n"


@pytest.mark.parametrize("lines, why", [
    ((b"VERSION\t2\t0\n",), "protocol version mismatch"),
    ((b"VERSION\t1\t1\nSPID\t1\n",), "no mechanism is offered"),
    ((b"x" * 20000 + b"\n",), "a line that is too long"),
], ids=["version", "master", "long"])
def test_what_is_no_dovecot(lines, why, submission):
    liar = Liar(*lines)
    ports = submission(smtpd_sasl_path=liar.path)
    ports.gateway.wait_log(f"failed: {why}")
    assert connect(ports).cmd(f"AUTH PLAIN {plain('a', 'b')}").code == 454
    liar.close()


@pytest.mark.parametrize("answer, code", [
    (b"OK\t%d\n", 454),                               # nobody's name
    (b"OK\t%d\tuser=" + b"x" * 300 + b"\n", 454),     # one that was cut would be another's
    (b"OK\t%d\tuser=a\x01nb\n", 235),                 # shown with a question mark
    (b"FAIL\t%d\tuser=a\ttemp\n", 454),
    (b"FAIL\t%d\tuser=a\tcode=temp_fail\n", 454),
    (b"FAIL\t%d\n", 535),
    (b"CONT\t%d\tnot base64!\n", 454),
    (b"CONT\t%d\t" + b"A" * 4000 + b"\n", 454),
    (b"OK\t999\tuser=other\nFAIL\t%d\n", 535),        # another's answer
], ids=range(9))
def test_what_it_may_answer(answer, code, submission):
    def then(data):
        number = re.search(rb"AUTH\t(\d+)\t", data).group(1)
        return answer.replace(b"%d", number)

    liar = Liar(GREETING, then=then)
    ports = submission(smtpd_sasl_path=liar.path)
    wait.until(lambda: ports.gateway.ask_status()["logins"]["up"], "the gateway to reach it")
    client = connect(ports)
    assert client.cmd(f"AUTH PLAIN {plain('a', 'b')}").code == code
    assert client.cmd("NOOP").code == 250
    heard = b"".join(liar.heard)
    assert heard.startswith(b"VERSION\t1\t1\nCPID\t")
    assert re.search(rb"AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=127\.0\.0\.1\tlport=\d+\trip=127\.0\.0\.1\trport=\d+"
                     rb"\tsecured\tresp=", heard)
    liar.close()


def test_what_it_turns_out_not_to_have(submission):
    """Before Dovecot was reached PLAIN and LOGIN are offered; it hangs up on whoever asks for what it has not."""
    def then(data):
        return b"".join(b"OK\t%s\tuser=ann\n" % number for number in re.findall(rb"AUTH\t(\d+)\tPLAIN\t", data))

    reached = threading.Event()
    liar = Liar(GREETING, then=then, when=reached)
    ports = submission(smtpd_sasl_path=liar.path)
    guess, good = connect(ports), connect(ports)
    guess.send(b"AUTH LOGIN\r\n")
    good.send(f"AUTH PLAIN {plain('ann', 'secret')}\r\n".encode())
    time.sleep(0.2)
    reached.set()
    assert good.reply().code == 235
    assert guess.reply().code == 454
    assert not [line for line in guess.cmd("EHLO h").lines if "LOGIN" in line]
    assert b"LOGIN" not in b"".join(liar.heard)
    liar.close()


# --- a thousand

def test_a_thousand_at_once(submission, users):
    """More than there is room for: those that fit are served, and all of it is over again afterwards."""
    ports = submission(smtpd_sasl_path=users.unix_auth, smtpd_client_connection_count_limit=0, smtpd_connection_limit=300)
    clients, refused = [], 0
    for _ in range(1000):
        sock = socket.create_connection(ports.submission, timeout=30 * wait.SCALE)
        clients.append(sock)
    for sock in clients:
        try:
            refused += not sock.recv(200).startswith(b"220")
        except ConnectionError:
            refused += 1
    assert refused >= 1000 - 300 - 64 - 10
    for sock in clients:
        sock.close()
    wait.until(lambda: ports.gateway.ask_status()["sessions"] == 0, "the sessions to end")
    assert connect(ports).cmd(f"AUTH PLAIN {plain('alice@example.com', 'secret')}").code == 235


# --- behind a balancer, limits, and local programs

def test_the_kind_of_a_port_survives_the_proxy_protocol(submission):
    ports = submission(smtpd_upstream_proxy_protocol="haproxy", smtpd_upstream_proxy_hosts="127.0.0.3")
    header = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 587\r\n"
    with smtp_client.Smtp(ports.submission, source="127.0.0.3", greeting=False) as client:
        client.send(header)
        assert client.reply().code == 220
        client.cmd("EHLO h")
        assert client.cmd("MAIL FROM:<a@example.com>").text == "530 5.7.0 Must issue a STARTTLS command first"
        client.starttls()
        client.cmd("EHLO h")
        assert client.cmd("MAIL FROM:<a@example.com>").text == "530 5.7.0 Authentication required"
        assert client.cmd(f"AUTH PLAIN {plain('ann', 'x')}").code == 535
        ports.gateway.wait_log(r"warning: unknown\[198\.51\.100\.7\]: SASL PLAIN authentication failed")
    with smtp_client.Smtp(ports.submissions, source="127.0.0.3", greeting=False) as client:
        client.send(header)
        client.secure()
        assert client.reply().code == 220
        client.cmd("EHLO h")
        assert client.cmd(f"AUTH PLAIN {plain('ann', 'se$cret')}").code == 235


def test_connections_are_limited_there_too(submission):
    ports = submission(smtpd_client_connection_count_limit=2, mynetworks="192.0.2.0/24")
    first, second = login(ports), login(ports)
    with smtp_client.Smtp(ports.submission, tls=False) as third:
        assert third.greeting.code == 421
    first.close()
    second.close()


def test_local_programs_are_asked_for_no_login(submission, peer):
    ports = submission(smtpd_sasl_auth_enable="yes")
    said = ports.gateway.run("sendmail", "-bs", check=0, input=b"EHLO h\r\nMAIL FROM:<a@example.com>\r\nQUIT\r\n").stdout
    assert b"AUTH" not in said and b"250 2.1.0 Ok" in said


def test_a_reload_leaves_sessions_alone(submission):
    ports = submission()
    client = login(ports)
    ports.gateway.run("postconf", "-e", "smtpd_sasl_users=ann:other", check=0)
    assert client.cmd("MAIL FROM:<ann@example.com>").code == 250
    assert connect(ports).cmd(f"AUTH PLAIN {plain('ann', 'se$cret')}").code == 535
    assert connect(ports).cmd(f"AUTH PLAIN {plain('ann', 'other')}").code == 235


def test_who_may_relay_is_said(submission):
    words = "relays for 192.0.2.0/24 and users who log in through [127.0.0.1]:1"
    settings = {"mynetworks": "192.0.2.0/24", "relayhost": "[127.0.0.1]:1"}
    assert submission(**settings).gateway.grep(re.escape(words))
    assert submission().gateway.grep("relays for nobody")


def test_the_healthcheck_knows_the_ports(submission):
    for listen in ("127.0.0.1:0:submission", "127.0.0.1:0:submissions, 127.0.0.1:0:submission"):
        gateway = Gateway(relay_transport="lmtp:[127.0.0.1]:1", listen=listen, smtpd_sasl_users=USERS)
        try:
            gateway.start()
            done = subprocess.run([healthcheck_binary()], env=clean_environment({"queue_directory": gateway.spool}),
                                  capture_output=True, text=True, timeout=30 * wait.SCALE)
            port = re.search(r"Listening on 127\.0\.0\.1:(\d+):submission$", gateway.log(), re.M).group(1)
            assert f"SMTP answers on 127.0.0.1:{port}" in done.stdout, done.stdout
        finally:
            gateway.stop()


# --- settings

@pytest.mark.parametrize("settings, words", [
    ({}, "nothing says who the users are"),
    ({"smtpd_sasl_users": "ann"}, r'smtpd_sasl_users "\(hidden\)" cannot be used: entry 1 is not a user and a password'),
    ({"smtpd_sasl_users": "ann:x", "smtpd_tls_security_level": "none"}, "users log in inside TLS only"),
    ({"smtpd_sasl_path": "private/auth"}, "is not an absolute path; write inet:dovecot:12345"),
    ({"smtpd_sasl_users": "ann:x", "smtpd_sasl_security_options": "nothing"}, '"nothing" is no option'),
    ({"smtpd_sasl_users": "ann:x", "smtpd_sender_login_maps": "hash:/etc/x"}, "smtpd_sender_login_maps"),
], ids=range(6))
def test_what_stops_the_start(settings, words, peer):
    gateway = Gateway(relay_transport=peer.transport, listen="127.0.0.1:0:submission", **settings)
    with pytest.raises(AssertionError, match=words):
        gateway.start()


def test_a_secret_from_a_file(submission, tmp_path):
    (tmp_path / "users").write_text("ann:from a file\n")
    ports = submission(smtpd_sasl_path="", SMTPD_SASL_USERS_FILE=tmp_path / "users")
    assert connect(ports).cmd(f"AUTH PLAIN {plain('ann', 'from a file')}").code == 235
    assert "from a file" not in ports.gateway.log()


# --- as Postfix, at the same Dovecot

GOOD = plain("alice@example.com", "secret")
WRONG = plain("bob@example.com", "wrong")
MAPS = {"smtpd_sender_login_maps": "inline:{ alice@example.com=alice@example.com, { @example.org = x, alice@example.com }, "
                                   "bob@example.com=bob@example.com }", "recipient_delimiter": "+"}


def tries(*senders):
    return [c for sender in senders for c in (f"MAIL FROM:<{sender}>", "RCPT TO:<alice@example.com>", "RSET")]


OWNERS = tries("alice@example.com", "bob@example.com", "any@example.org", "stranger@example.net", "", "alice+x@example.com")
AS_POSTFIX = {
    "syntax": ({}, ["EHLO h", "AUTH", "AUTH PLAIN a b", "AUTH FOO", "AUTH PLAIN !!", "AUTH PLAIN", "!!", "AUTH PLAIN", "*",
                    f"AUTH PLAIN {WRONG}", f"AUTH PLAIN {GOOD}", f"AUTH PLAIN {GOOD}", "AUTH"]),
    "order": ({}, ["EHLO h", "MAIL FROM:<alice@example.com>", "AUTH PLAIN", "RSET", f"AUTH PLAIN {GOOD}",
                   "MAIL FROM:<alice@example.com> AUTH=<>", "RCPT TO:<alice@example.com>", "AUTH PLAIN"]),
    "login": ({}, ["EHLO h", "AUTH LOGIN", b64("alice@example.com"), b64("secret")]),
    "options": ({"smtpd_sasl_security_options": "noanonymous, noplaintext"}, ["EHLO h", f"AUTH PLAIN {GOOD}"]),
    "filter": ({"smtpd_sasl_mechanism_filter": "!plain, static:rest"}, ["EHLO h"]),  # Postfix takes what it does not name
    "long": ({}, ["EHLO h", "AUTH PLAIN", "A" * 13000, "NOOP"]),
    "rate": ({"smtpd_client_auth_rate_limit": "1"}, ["EHLO h", "AUTH FOO", f"AUTH PLAIN {GOOD}"]),
    "tls only": ({"smtpd_tls_auth_only": "yes"}, ["EHLO h"]),  # Postfix then says that it is not enabled
    "exceptions": ({"smtpd_sasl_exceptions_networks": "127.0.0.0/8"}, ["EHLO h", f"AUTH PLAIN {GOOD}"]),
    "discarded": ({"smtpd_discard_ehlo_keywords": "auth"}, ["EHLO h", f"AUTH PLAIN {GOOD}"]),
} | {
    word: (MAPS | {"smtpd_sender_restrictions": word}, ["EHLO h"] + OWNERS + [f"AUTH PLAIN {GOOD}"] + OWNERS)
    for word in ("reject_sender_login_mismatch", "reject_authenticated_sender_login_mismatch",
                 "reject_unauthenticated_sender_login_mismatch", "reject_known_sender_login_mismatch")
} | {"no map": ({"smtpd_sender_restrictions": "reject_sender_login_mismatch"},
                ["EHLO h"] + tries("a@example.com") + [f"AUTH PLAIN {GOOD}"] + tries("a@example.com"))}


def talk(address, commands):
    """What is said, and whether AUTH was offered."""
    replies = []
    with smtp_client.Smtp(address, source="127.0.0.9", tls=False) as client:
        for command in commands:
            reply = client.cmd(command)
            offer = sorted(word for line in reply.lines for word in line[4:].split() if line[4:].startswith("AUTH"))
            replies.append((reply.code, offer) if command.startswith("EHLO") else reply.text)
    return replies


def said_of_logins(log):
    found = re.findall(r"smtpd\[\d+\]: (?:\w+: )?((?:warning: \S+: SASL|client=).*)$", log, re.M)
    return [re.sub(r"\[127\.0\.0\.9\]:\d+", "[127.0.0.9]", line) for line in found]


@pytest.mark.skipif(not postfix.available(), reason="needs root and Debian's postfix package")
@pytest.mark.parametrize("name", AS_POSTFIX)
def test_as_postfix(name, gateways, peer, users):
    settings, commands = AS_POSTFIX[name]
    both = {"smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "no", "smtpd_sasl_path": users.inet_auth,
            "smtpd_sasl_type": "dovecot", "mynetworks": "192.0.2.0/24", "smtpd_peername_lookup": "no", **settings}
    extra = {"smtpd_tls_security_level": "may"} if name == "tls only" else {}
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no", **both)
    with postfix.Postfix(**both, **extra, smtputf8_enable="yes", smtpd_error_sleep_time="0",
                         smtpd_relay_restrictions="permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination") as reference:
        expected = talk(reference.address, commands)
        reference.wait_log(r"disconnect from \S+ .*\behlo=")
        wanted = said_of_logins(reference.log())
    wait.until(lambda: gateway.ask_status()["logins"]["up"], "the gateway to reach Dovecot")
    assert talk(gateway.address, commands) == expected
    gateway.wait_log(r"disconnect from \S+ .*\behlo=")
    assert said_of_logins(gateway.log()) == wanted


def test_fail2ban(submission, tmp_path):
    """Its own filter counts wrong passwords, and not that the back end was away."""
    ports = submission()
    with connect(ports) as client:
        for _ in range(2):
            client.cmd(f"AUTH PLAIN {plain('ann', 'x')}")
        client.cmd("AUTH LOGIN")
        client.cmd(b64("ann"))
        client.cmd(b64("x"))
    away = submission(smtpd_sasl_path=f"unix:{tmp_path}/nothing")
    with connect(away) as client:
        wait.until(lambda: client.cmd(f"AUTH PLAIN {plain('ann', 'x')}").code == 454, "a 454")
    for ports, count in ((ports, 3), (away, 0)):
        ports.gateway.wait_log("disconnect from")
        path = tmp_path / "mail.log"
        path.write_text("\n".join(ports.gateway.lines) + "\n")
        found = subprocess.run(["fail2ban-regex", path, "postfix[mode=auth]"], capture_output=True, text=True).stdout
        assert re.search(rf"^Lines: \d+ lines, 0 ignored, {count} matched", found, re.M), found
