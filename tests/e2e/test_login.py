"""Logging in at a provider's relayhost: PLAIN, LOGIN, XOAUTH2; what is refused is kept, and no password gets anywhere."""

import os
import random
import re
import resource
import signal
import subprocess

import pytest

from harness import mail, smtp_client, wait
from harness import postfix as real_postfix
from harness.gateway import ROOT, binary, clean_environment
from harness.lmtp_peer import Auth, tls_context
from harness.sasl import DovecotAuth, relayhost

WORDS = ("8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING")
USER = "ann@example.net"
PASSWORD = "C0rrect-Horse$Battery"
TOKEN = "ya29.A0AfH6SMBx-token_of+this/test=="


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "tests/certificates.sh", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def provider_auth():
    auth = DovecotAuth({USER: PASSWORD})
    yield auth
    auth.remove()


def secrets(password=PASSWORD, user=USER):
    """Every form in which the password goes over the wire, or would stand in a log."""
    from base64 import b64encode as encode
    whole = encode(f"\0{user}\0{password}".encode()).decode()
    return [password, encode(password.encode()).decode(), whole, whole[8:24],
            encode(f"user={user}\1auth=Bearer {password}\1\1".encode()).decode()[40:60]]


def provider(peers, certificates, **more):
    options = dict(protocol="smtp", words=WORDS, tls=tls_context(certificates / "good"), strict=True,
                   auth=Auth(users={USER: PASSWORD}))
    options.update(more)
    return peers(**options)


def make(gateways, port, password=PASSWORD, start=True, **more):
    settings = dict(allowed_domains="", delivery_mode="queue", relayhost=f"[127.0.0.1]:{port}", relayhost_username=USER)
    if password:
        settings["relayhost_password"] = password
    settings.update(more)
    return gateways(start=start, **settings)


def send(gateway, recipients=("alice@example.org",), token=None):
    token = token or mail.new_token()
    reply = smtp_client.send(gateway.address, "ann@example.com", list(recipients), mail.message(token))
    assert reply.code == 250, reply
    return token


def arrives(gateway, peer, token, count=1):
    wait.until(lambda: peer.count(token) == count, lambda: f"{count} copies; log:\n{gateway.tail()}", 10)
    gateway.wait_queue_empty()


def hidden(gateway, password=PASSWORD):
    """Nothing that a person may see has the password in it."""
    shown = [gateway.log(), gateway.stderr.decode()]
    for command in (["postconf"], ["postconf", "-n"], ["postconf", "-x"], ["postconf", "-d"], ["status"], ["status", "--json"],
                    ["check"], ["mailq"], ["postqueue", "-j"]):
        done = gateway.run(*command, env=dict(gateway.settings))
        shown.append(done.stdout.decode() + done.stderr.decode())
    for text in shown:
        for secret in secrets(password):
            assert secret not in text, text[max(0, text.find(secret) - 500):][:1000]


# --- a real provider

@pytest.mark.skipif(not real_postfix.available(), reason="needs root and Postfix")
@pytest.mark.parametrize("mechanism", ("PLAIN", "LOGIN"))
def test_postfix_takes_it(gateways, peers, certificates, provider_auth, mechanism):
    peer = peers(protocol="smtp", words=WORDS)
    with relayhost(provider_auth, peer.transport, certificates / "good") as postfix:
        gateway = make(gateways, postfix.port, smtp_tls_loglevel="1", smtp_sasl_mechanism_filter=mechanism.lower())
        token = send(gateway)
        arrives(gateway, peer, token)
        postfix.wait_log(rf"sasl_method={mechanism}, sasl_username={re.escape(USER)}")
        gateway.wait_log(r"status=sent \(250 2\.0\.0 Ok: queued")
        gateway.wait_log("TLS connection established to")
        hidden(gateway)
        for secret in secrets():
            assert secret not in postfix.log()


@pytest.mark.skipif(not real_postfix.available(), reason="needs root and Postfix")
def test_postfix_refuses_the_password(gateways, peers, certificates, provider_auth):
    peer = peers(protocol="smtp", words=WORDS)
    with relayhost(provider_auth, peer.transport, certificates / "good") as postfix:
        gateway = make(gateways, postfix.port, password="Wr0ng-Horse-Battery")
        token = send(gateway)
        line = gateway.wait_log("status=deferred")
        assert re.search(r"dsn=4\.7\.8, status=deferred \((?:delivery temporarily suspended: )?SASL authentication failed; "
                         r"server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 Error: authentication failed: ", line), line
        gateway.wait_queued(1)
        status = gateway.run("status").stdout.decode()
        assert "SASL authentication failed" in status
        assert not gateway.grep("status=bounced|status=sent")
        hidden(gateway, "Wr0ng-Horse-Battery")
        # the operator mends it
        gateway.stop()
        gateway.settings["relayhost_password"] = PASSWORD
        gateway.start()
        arrives(gateway, peer, token)


@pytest.mark.skipif(not real_postfix.available(), reason="needs root and Postfix")
def test_postfix_refuses_a_recipient(gateways, peers, certificates, provider_auth):
    """The one fails for good, and its sender is told; the other is delivered."""
    peer = peers(protocol="smtp", words=WORDS)
    with relayhost(provider_auth, peer.transport, certificates / "good", smtpd_recipient_restrictions=
                   "check_recipient_access inline:{bob@example.org=REJECT}, permit") as postfix:
        gateway = make(gateways, postfix.port)
        token = send(gateway, ["alice@example.org", "bob@example.org"])
        wait.until(lambda: peer.count(token, "alice@example.org") == 1, "alice's copy")
        gateway.wait_log(r"to=<bob@example\.org>.* dsn=5\.7\.1, status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 554 5\.7\.1")
        gateway.wait_log(r"to=<alice@example\.org>.* status=sent")
        assert peer.count(token, "bob@example.org") == 0


@pytest.mark.skipif(not real_postfix.available(), reason="needs root and Postfix")
def test_tls_from_the_first_byte(gateways, peers, certificates, provider_auth):
    peer = peers(protocol="smtp", words=WORDS)
    with relayhost(provider_auth, peer.transport, certificates / "good", smtpd_tls_wrappermode="yes") as postfix:
        gateway = make(gateways, postfix.port, smtp_tls_wrappermode="yes")
        arrives(gateway, peer, send(gateway))


# --- scripted ones

@pytest.mark.parametrize("auth, used", (
    (Auth(("LOGIN", "PLAIN", "XOAUTH2"), {USER: PASSWORD}), "PLAIN"),
    (Auth(("LOGIN", "CRAM-MD5"), {USER: PASSWORD}), "LOGIN"),
    (Auth(("PLAIN", "LOGIN"), {USER: PASSWORD}, keyword="AUTH="), "PLAIN"),
))
def test_mechanisms(gateways, peers, certificates, auth, used):
    peer = provider(peers, certificates, auth=auth)
    gateway = make(gateways, peer.port)
    token = send(gateway)
    arrives(gateway, peer, token)
    connection = peer.find(token)[0].connection
    assert connection.mechanism == used and connection.user == USER and connection.secured
    assert [c.split()[0] for c in connection.commands[:4]] == [b"EHLO", b"STARTTLS", b"EHLO", b"AUTH"]
    hidden(gateway)


def test_one_login_for_many(gateways, peers, certificates):
    peer = provider(peers, certificates)
    gateway = make(gateways, peer.port)
    tokens = [send(gateway) for _ in range(10)]
    for token in tokens:
        arrives(gateway, peer, token)
    assert all(sum(line.startswith(b"AUTH") for line in c.commands) <= 1 for c in peer.connections)


def test_maps(gateways, peers, certificates, tmp_path):
    """By host, out of a file; as in Postfix an upstream of one's own that is written smtp: has a login too."""
    peer = provider(peers, certificates)
    (tmp_path / "logins").write_text(f"inline:{{ [192.0.2.1]:587=bob:no, {{[127.0.0.1]:{peer.port} = {USER}:{PASSWORD}}} }}\n")
    gateway = gateways(relay_transport=peer.transport, verify_recipients="no", delivery_mode="queue", smtp_sasl_auth_enable="yes",
                       smtp_sasl_password_maps_file=tmp_path / "logins", run_as_user="")
    token = send(gateway, ["alice@example.com"])
    arrives(gateway, peer, token)
    assert peer.find(token)[0].connection.user == USER
    hidden(gateway)


@pytest.mark.parametrize("direct", (False, True), ids=("queue", "direct"))
@pytest.mark.parametrize("reply", (b"535 5.7.8 no", b"535 no", b"534 5.7.9 weak", b"454 4.7.0 later", b"530 5.7.0 what?",
                                   b"550 5.7.1 blocked", b"500 5.5.1 Unrecognized command"))
def test_refusals_are_no_bounces(gateways, peers, certificates, reply, direct):
    peer = provider(peers, certificates)
    peer.fail("auth", "say", text=reply)
    gateway = make(gateways, peer.port, delivery_mode="direct" if direct else "queue")
    token = send(gateway)
    gateway.wait_log(r"dsn=4\.7\.8, status=deferred \((?:delivery temporarily suspended: )?SASL authentication failed; "
                     r"server 127\.0\.0\.1\[127\.0\.0\.1\] said: " + reply.decode().replace("?", r"\?"))
    peer.lift()
    gateway.flush()
    arrives(gateway, peer, token)
    assert not gateway.grep("status=bounced")


def test_a_server_that_repeats_the_login(gateways, peers, certificates):
    peer = provider(peers, certificates)
    peer.fail("auth", "repeat")
    gateway = make(gateways, peer.port)
    send(gateway)
    gateway.wait_log(r"status=deferred .*said: 500 5\.5\.1 \(the rest repeats the login and is not shown\)")
    hidden(gateway)
    peer.lift()
    gateway.flush()
    gateway.wait_queue_empty()


def test_not_offered(gateways, peers, certificates):
    """Postfix goes on without, and gets a bounce; here nothing goes without the login that is set."""
    peer = provider(peers, certificates, auth=Auth(()))
    gateway = make(gateways, peer.port)
    token = send(gateway)
    gateway.wait_log(r"dsn=4\.7\.0, status=deferred \((?:delivery temporarily suspended: )?SASL authentication failed; "
                     r"server 127\.0\.0\.1\[127\.0\.0\.1\] did not offer AUTH, and a login is set\)")
    assert peer.count(token) == 0
    assert not [c for connection in peer.connections for c in connection.commands if c.startswith(b"MAIL")]
    peer.auth = Auth(users={USER: PASSWORD})
    gateway.flush()
    arrives(gateway, peer, token)


def test_nothing_in_common(gateways, peers, certificates):
    peer = provider(peers, certificates, auth=Auth(("CRAM-MD5", "GSSAPI")))
    gateway = make(gateways, peer.port)
    send(gateway)
    gateway.wait_log(r"status=deferred .*server 127\.0\.0\.1\[127\.0\.0\.1\] offered no compatible authentication mechanisms "
                     "for this type of connection security")
    gateway.kill()


@pytest.mark.parametrize("tls", (None, True), ids=("no TLS", "AUTH outside TLS"))
def test_never_in_clear_text(gateways, peers, certificates, tls):
    """A login means TLS, whatever smtp_tls_security_level is."""
    peer = provider(peers, certificates, tls=tls_context(certificates / "good") if tls else None,
                    auth=Auth(users={USER: PASSWORD}, in_clear=True))
    gateway = make(gateways, peer.port, smtp_tls_security_level="none")
    token = send(gateway)
    if tls:
        arrives(gateway, peer, token)
        assert peer.find(token)[0].connection.secured
    else:
        gateway.wait_log(r"status=deferred .*TLS is required, but was not offered by host")
        assert not [c for connection in peer.connections for c in connection.commands if c.startswith((b"AUTH", b"MAIL"))]
        assert "a login" in gateway.run("check", env=dict(gateway.settings)).stdout.decode()
        gateway.kill()


def test_in_clear_text_by_name(gateways, peers, certificates):
    peer = provider(peers, certificates, tls=None, auth=Auth(users={USER: PASSWORD}, in_clear=True))
    gateway = make(gateways, peer.port, smtp_sasl_security_options="noanonymous")
    assert gateway.grep("WARN.*smtp_sasl_security_options=noanonymous lets passwords go to servers without TLS")
    token = send(gateway)
    arrives(gateway, peer, token)
    hidden(gateway)


def test_greylisting(gateways, peers, certificates):
    """One recipient of two waits by itself."""
    peer = provider(peers, certificates)
    peer.fail("rcpt", "4xx", nth=0, times=1)
    gateway = make(gateways, peer.port)
    token = send(gateway, ["alice@example.org", "bob@example.org"])
    arrives(gateway, peer, token, 2)
    gateway.wait_log(r"to=<alice@example\.org>.* dsn=4\.3\.0, status=deferred \(host \S+ said: 451")
    assert peer.messages == 2 and not gateway.grep("status=bounced")


# --- tokens

def test_an_expired_token(gateways, peers, certificates, tmp_path):
    """It is refused, mail waits; another one is written into the file, and is used without a word to us."""
    secret = tmp_path / "secrets"
    secret.mkdir(mode=0o755)
    (secret / "token").write_text("ya29.expired\n")
    (secret / "token").chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/") and os.geteuid() == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    peer = provider(peers, certificates, auth=Auth(("PLAIN", "XOAUTH2"), tokens={(USER, TOKEN)}))
    gateway = make(gateways, peer.port, password=None, relayhost_token_file=secret / "token")
    token = send(gateway)
    gateway.wait_log(r"dsn=4\.7\.8, status=deferred .*said: 535 5\.7\.8")
    assert peer.connections[0].mechanism == "XOAUTH2"
    (secret / "new").write_text(f"  {TOKEN}\n")
    (secret / "new").chmod(0o644)
    (secret / "new").replace(secret / "token")
    gateway.flush()
    arrives(gateway, peer, token)
    assert peer.find(token)[0].connection.user == USER
    hidden(gateway, TOKEN)
    hidden(gateway, "ya29.expired")


def test_long_tokens(gateways, peers, certificates, tmp_path):
    """Those of a line of AUTH and more, up to what one may be."""
    for length in (300, 2500, 8000, 8001):
        word = "t" * length
        (tmp_path / "token").write_text(word)
        peer = provider(peers, certificates, auth=Auth(("XOAUTH2",), tokens={(USER, word)}))
        gateway = make(gateways, peer.port, password=None, relayhost_token_file=tmp_path / "token", run_as_user="",
                       minimal_backoff_time="300s")
        token = send(gateway)
        if length > 8000:
            gateway.wait_log(r"status=deferred .*no login: the token in \S+ cannot be used: File too large")
        else:
            arrives(gateway, peer, token)
        assert word not in gateway.log()
        gateway.kill()


@pytest.mark.parametrize("content, words", (
    (None, "No such file or directory"),
    ("", "it is not one word"),
    (" \n", "it is not one word"),
    ('{ "access_token": "x" }', "it is not one word"),
))
def test_no_token(gateways, peers, certificates, tmp_path, content, words):
    if content is not None:
        (tmp_path / "token").write_text(content)
    peer = provider(peers, certificates, auth=Auth(("XOAUTH2",)))
    gateway = make(gateways, peer.port, password=None, relayhost_token_file=tmp_path / "token", run_as_user="")
    send(gateway)
    gateway.wait_log(rf"dsn=4\.7\.0, status=deferred .*no login: the token in \S+ cannot be used: {words}")
    assert not [c for connection in peer.connections for c in connection.commands if c.startswith(b"AUTH")]
    gateway.kill()


def test_a_token_file_that_hangs(gateways, peers, certificates, tmp_path):
    """A pipe that nobody writes into: no thread of ours waits for it."""
    os.mkfifo(tmp_path / "token")
    peer = provider(peers, certificates, auth=Auth(("XOAUTH2",)))
    gateway = make(gateways, peer.port, password=None, relayhost_token_file=tmp_path / "token", run_as_user="")
    send(gateway)
    gateway.wait_log("status=deferred .*cannot be used")
    gateway.kill()


# --- servers of others, without a login

def stranger(gateways, peer, **more):
    return gateways(allowed_domains="", delivery_mode="queue", relayhost=f"[{peer.host}]:{peer.port}", **more)


def said(peer):
    return [c.split()[0].decode() for connection in peer.connections for c in connection.commands]


@pytest.mark.parametrize("level, tls, secured", (
    (None, True, True),
    (None, False, False),
    ("none", True, False),
))
def test_tls_is_used_where_it_is(gateways, peers, certificates, level, tls, secured):
    """Without a word about it, as in boky/postfix; Postfix's default is none."""
    peer = peers(protocol="smtp", words=WORDS, tls=tls_context(certificates / "good") if tls else None)
    gateway = stranger(gateways, peer, **({"relayhost_tls_level": level} if level else {}))
    token = send(gateway)
    arrives(gateway, peer, token)
    assert peer.find(token)[0].connection.secured == secured


@pytest.mark.skipif(os.geteuid() != 0, reason="a port below 1024")
def test_port_465(gateways, peers, certificates):
    """TLS from the first byte, whatever is said of TLS; on an address of our own, since the port is what it is about."""
    host = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.{random.randrange(2, 250)}"
    peer = provider(peers, certificates, wrapper=True, host=host, port=465)
    gateway = make(gateways, 465, relayhost=f"[{host}]:smtps")
    token = send(gateway)
    arrives(gateway, peer, token)
    assert said(peer)[:2] == ["EHLO", "AUTH"]


def test_helo(gateways, peers):
    """EHLO is refused: HELO (RFC 5321 3.2), never LHLO."""
    peer = peers(protocol="smtp", words=WORDS)
    peer.fail("lhlo", "500", times=1)
    gateway = stranger(gateways, peer)
    token = send(gateway)
    arrives(gateway, peer, token)
    assert said(peer)[:2] == ["EHLO", "HELO"] and "LHLO" not in said(peer)


@pytest.mark.parametrize("step", ("greeting", "lhlo"))
def test_a_server_that_does_not_want_to_talk(gateways, peers, step):
    peer = peers(protocol="smtp", words=WORDS)
    peer.fail(step, "5xx")
    gateway = stranger(gateways, peer)
    token = send(gateway)
    gateway.wait_log(r"status=deferred \((?:delivery temporarily suspended: )?host \S+ refused to talk to me: 554 5\.3\.0")
    peer.lift()
    gateway.flush()
    arrives(gateway, peer, token)
    assert not gateway.grep("status=bounced") and "LHLO" not in said(peer)


@pytest.mark.parametrize("step, reply, status", (
    ("mail", b"550 5.7.1 Sender rejected", "bounced"),
    ("mail", b"553 5.7.1 not owned by user", "bounced"),
    ("mail", b"550 no", "bounced"),
    ("mail", b"530 5.7.0 Authentication required", "deferred"),
    ("mail", b"530 5.7.0 Must issue a STARTTLS command first", "deferred"),
    ("mail", b"535 5.7.8 log in", "deferred"),
    ("mail", b"503 5.5.1 bad sequence", "deferred"),
    ("mail", b"501 5.5.4 syntax", "deferred"),
    ("mail", b"451 4.7.1 later", "deferred"),
    ("rcpt", b"550 5.1.1 unknown", "bounced"),
    ("rcpt", b"554 5.7.1 Relay access denied", "bounced"),
    ("rcpt", b"530 5.7.0 Authentication required", "deferred"),
    ("rcpt", b"552 5.2.2 mailbox full", "bounced"),
    ("rcpt", b"450 4.2.0 Greylisted", "deferred"),
    ("data", b"554 5.7.1 no", "bounced"),
    ("dot", b"550 5.7.1 spam", "bounced"),
    ("dot", b"554 5.7.9 log in better", "deferred"),
))
def test_whose_fault(gateways, peers, step, reply, status):
    """What Postfix takes for good is for good, unless our login, our syntax or the encryption is meant."""
    peer = peers(protocol="smtp", words=())
    peer.fail(step, "say", text=reply)
    gateway = stranger(gateways, peer)
    send(gateway)
    line = gateway.wait_log(r"to=<alice@example\.org>.* status=")
    assert f"status={status} (" in line and reply.decode() in line
    gateway.kill()


# --- a reload

def test_a_new_password_by_reload(gateways, peers, certificates, tmp_path):
    (tmp_path / "password").write_text("wrong-password-1\n")
    peer = provider(peers, certificates)
    gateway = make(gateways, peer.port, password=None, relayhost_password_file=tmp_path / "password", run_as_user="")
    token = send(gateway)
    gateway.wait_log("status=deferred .*535")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    gateway.signal(signal.SIGHUP)
    wait.until(lambda: peer.count(token) == 1, lambda: f"the mail; log:\n{gateway.tail()}", 10)
    gateway.wait_queue_empty()
    hidden(gateway)


# --- core files

def ends_with_core(gateway):
    """Whether an abort leaves a core file, or would."""
    gateway.before_exec = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    gateway.start()
    os.kill(gateway.pid, signal.SIGABRT)
    _, status = os.waitpid(gateway.pid, 0)
    gateway.process.returncode = -signal.SIGABRT
    gateway._reap()
    return os.WCOREDUMP(status) or bool(list(gateway.directory.glob("core*")))


@pytest.mark.skipif("asan" in binary() or bool(os.environ.get("MXGATE_WRAPPER")), reason="a build that looks into itself")
def test_no_core_file_has_it(gateways, peers, certificates):
    """Without a sandbox too, where one without a password does leave a core file, if this machine makes any."""
    peer = provider(peers, certificates)
    without = gateways(start=False, relay_transport=peer.transport, sandbox="no")
    if not ends_with_core(without):
        pytest.skip("no core files here")
    assert not ends_with_core(make(gateways, peer.port, start=False, sandbox="no"))


def test_commands_hide_it(gateways, peers, certificates):
    """Also where the settings cannot be used."""
    peer = provider(peers, certificates)
    gateway = make(gateways, peer.port, start=False, smtpd_banner="$relayhost_password")
    for command in ("check", "serve", "postconf"):
        done = subprocess.run([binary(), command], env=clean_environment(gateway.settings), capture_output=True, timeout=20)
        text = (done.stdout + done.stderr).decode()
        assert command == "postconf" or "refers to $relayhost_password" in text
        assert not [secret for secret in secrets() if secret in text]
