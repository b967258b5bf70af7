"""TLS to the upstream: levels, certificates, handshakes that fail, what must never go in clear text."""

import hashlib
import re
import shutil
import signal
import ssl
import subprocess

import pytest

from harness import mail, smtp_client, wait
from harness.dovecot import Dovecot
from harness.gateway import ROOT
from harness.lmtp_peer import LHLO_WORDS, XCLIENT_WORD, tls_context

KINDS = ("lmtp", "smtp")
LINE = re.compile(r"postfix/lmtp\[\d+\]: (\w+) TLS connection established to \S+\[127\.0\.0\.1\]:\d+: "
                  r"(TLSv1\S*) with cipher (\S+) \((\d+)/\4 bits\)$")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "tests/certificates.sh", folder], check=True)
    return folder


def send(gateway, token=None, size=None, expect=250):
    token = token or mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        reply = client.mail("bob@example.org", ["alice@example.com"], mail.message(token, size=size))
        client.quit()
    assert reply.code == expect, reply
    return token


def make(gateways, peer, level, certificates=None, kind="lmtp", start=True, **more):
    settings = dict(relay_transport=peer.transport, verify_recipients="no", destination_probe_max="500ms",
                    **{f"{kind}_tls_security_level": level, f"{kind}_tls_loglevel": "1"})
    if certificates:
        settings[f"POSTFIX_{kind}_tls_CAfile"] = certificates / "ca.pem"
    settings.update(more)
    return gateways(start=start, **settings)


def established(gateway):
    """What the log says of each session: trust, protocol, cipher, bits."""
    gateway.wait_log("TLS connection established to")
    return [found.groups() for found in map(LINE.search, list(gateway.lines)) if found]


def commands_in_clear(peer):
    """What was said before TLS, or without it, by connections that said something."""
    seen = []
    for connection in peer.connections:
        for line in connection.commands:
            if line.startswith(b"STARTTLS"):
                break
            seen.append(line.split()[0])
    return seen


# --- it works

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ("may", "encrypt"))
def test_whoever_it_is(gateways, peers, certificates, kind, level):
    peer = peers(protocol=kind, tls=tls_context(certificates / "self-signed"), strict=True)
    gateway = make(gateways, peer, level, kind=kind)
    token = send(gateway)
    assert peer.count(token) == 1
    assert peer.find(token)[0].connection.secured
    assert not [c for c in commands_in_clear(peer) if c not in (b"LHLO", b"EHLO", b"QUIT")]
    if kind == "lmtp":
        assert established(gateway)[0][:2] == ("Untrusted", "TLSv1.2")
    assert re.search(r"  TLS: TLSv1.2 with cipher ECDHE-\S+, level \w+, Untrusted\n", gateway.run("status").stdout.decode())


@pytest.mark.parametrize("level, more, word", (
    ("may", {}, "Trusted"),
    ("encrypt", {}, "Trusted"),
    ("verify", {}, "Verified"),
    ("secure", {}, "Verified"),
    ("verify", {"lmtp_tls_verify_cert_match": "mail.example.com"}, "Verified"),
    ("verify", {"lmtp_tls_verify_cert_match": "nothere.example.com:.example.com"}, "Verified"),
))
def test_a_ca_vouches(gateways, peers, certificates, level, more, word):
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, level, certificates, **more)
    assert peer.find(send(gateway))[0].connection.secured
    assert {found[0] for found in established(gateway)} == {word}
    assert gateway.ask_status()["destinations"][0]["tls"].endswith(word)


def test_an_elliptic_chain(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "chain"))
    gateway = make(gateways, peer, "verify", certificates, lmtp_tls_verify_cert_match="mail.example.com")
    assert peer.count(send(gateway)) == 1
    assert "ECDSA" in established(gateway)[0][2]


def test_inside_tls_from_the_first_byte(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "good"), wrapper=True, strict=True)
    gateway = make(gateways, peer, "verify", certificates, lmtp_tls_wrappermode="yes")
    assert peer.count(send(gateway)) == 1
    assert peer.connections[0].commands[0].startswith(b"LHLO")
    assert b"STARTTLS" not in peer.connections[0].commands


def test_xclient_comes_after_it(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "good"), words=LHLO_WORDS + (XCLIENT_WORD,), strict=True)
    gateway = make(gateways, peer, "encrypt")
    connection = peer.find(send(gateway))[0].connection
    verbs = [line.split()[0] for line in connection.commands]
    assert verbs[:6] == [b"LHLO", b"STARTTLS", b"LHLO", b"XCLIENT", b"LHLO", b"MAIL"]


def test_server_name(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, "verify", certificates)
    assert peer.find(send(gateway))[0].connection.server_name is None  # an address
    gateway = make(gateways, peer, "encrypt", lmtp_tls_servername="mail.example.com")
    assert peer.find(send(gateway))[0].connection.server_name == "mail.example.com"
    gateway = make(gateways, peer, "verify", certificates, relay_transport=f"lmtp:localhost:{peer.port}",
                   lmtp_tls_verify_cert_match="mail.example.com")
    assert peer.find(send(gateway))[0].connection.server_name == "localhost"


def fingerprint(certificates, name, of_key):
    pem = (certificates / f"{name}.pem").read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[:pem.index("-----END CERTIFICATE-----") + 26])
    if of_key:
        key = subprocess.run(["openssl", "x509", "-noout", "-pubkey", "-in", certificates / f"{name}.pem"],
                             check=True, capture_output=True).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True).stdout
    digest = hashlib.sha256(der).hexdigest()
    return ":".join(digest[i:i + 2] for i in range(0, 64, 2)).upper()


@pytest.mark.parametrize("of_key", (False, True), ids=("certificate", "key"))
def test_fingerprint(gateways, peers, certificates, of_key):
    peer = peers(tls=tls_context(certificates / "expired"))
    wanted = fingerprint(certificates, "good", of_key) + ", " + fingerprint(certificates, "expired", of_key)
    gateway = make(gateways, peer, "fingerprint", lmtp_tls_fingerprint_cert_match=wanted)
    assert peer.count(send(gateway)) == 1
    assert established(gateway)[0][0] == "Verified"
    peer.tls = tls_context(certificates / "ec")
    for connection in peer.open_connections():
        connection.reset()
    token = send(gateway)
    assert peer.count(token) == 0
    gateway.wait_log("Server certificate not verified: .*its fingerprint is none of those wanted")
    peer.tls = tls_context(certificates / "good")
    wait.until(lambda: peer.count(token) == 1, "the mail to go to the other certificate")


def test_large_mail(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, "encrypt", message_size_limit="0", body_memory_limit="1M")
    token = send(gateway, size=25 << 20)
    body = peer.find(token)[0].body
    assert mail.without_trace(body) == mail.message(token, size=25 << 20)


# --- whom it does not talk to

REFUSED = (
    ("wrong", "it is for mail.example.net, not for mail.example.com"),
    ("expired", "certificate has expired"),
    ("not-yet", "certificate not yet valid"),
    ("self-signed", "self-signed certificate"),
    ("unknown", "untrusted issuer other-ca"),
    ("alone", "untrusted issuer middle"),
    ("short", "too short"),
    ("sha1", "SHA-1"),
)


@pytest.mark.parametrize("certificate, why", REFUSED)
def test_not_verified(gateways, peers, certificates, certificate, why):
    """Deferred, not bounced; nothing of the mail is said; delivered when the certificate is right."""
    peer = peers(tls=tls_context(certificates / certificate))
    gateway = make(gateways, peer, "verify", certificates, lmtp_tls_verify_cert_match="mail.example.com")
    token = send(gateway)
    line = gateway.wait_log(r"to=<alice@example.com>, relay=none, .*dsn=4.7.5, status=deferred \(Server certificate not verified")
    assert why in line, line
    assert not any(line.startswith(b"MAIL") for c in peer.connections for line in c.commands)
    assert not gateway.ask_status()["destinations"][0]["up"]
    peer.tls = tls_context(certificates / "good")
    wait.until(lambda: peer.count(token) == 1, "the mail to be delivered")


@pytest.mark.parametrize("level", ("encrypt", "verify"))
def test_required_and_not_offered(gateways, peers, certificates, level):
    peer = peers(strict=True)
    gateway = make(gateways, peer, level, certificates)
    token = send(gateway)
    gateway.wait_log(r"dsn=4.7.4, status=deferred \(TLS is required, but was not offered by host 127.0.0.1\[127.0.0.1\]\)")
    assert set(commands_in_clear(peer)) <= {b"LHLO", b"QUIT"}
    peer.tls = tls_context(certificates / "good")
    wait.until(lambda: peer.count(token) == 1, "the mail to be delivered")
    assert peer.find(token)[0].connection.secured


@pytest.mark.parametrize("kind", ("4xx", "5xx", "421", "drop", "rst", "garbage", "empty-line", "inject", "extra"))
@pytest.mark.parametrize("level", ("may", "encrypt"))
def test_starttls_goes_wrong(gateways, peers, certificates, level, kind):
    peer = peers(tls=tls_context(certificates / "good"))
    peer.fail("starttls", kind)
    gateway = make(gateways, peer, level)
    token = send(gateway)
    if level == "may":  # in clear text, in the same session or the next
        assert peer.count(token) == 1
        assert not peer.find(token)[0].connection.secured
        return
    wait.until(lambda: any("status=deferred" in line for line in gateway.lines), "the mail to be deferred")
    assert set(commands_in_clear(peer)) <= {b"LHLO", b"QUIT"}
    if kind in ("4xx", "5xx"):
        assert any("TLS is required, but host 127.0.0.1[127.0.0.1] refused to start TLS: " in line for line in gateway.lines)
    assert not any("status=bounced" in line for line in gateway.lines)
    peer.lift()
    wait.until(lambda: peer.count(token) == 1, "the mail to be delivered")
    assert peer.find(token)[0].connection.secured


def tls13_only(certificates):
    context = tls_context(certificates / "good", at_most=ssl.TLSVersion.TLSv1_3)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@pytest.mark.parametrize("how", ("stall", "drop", "drop-later", "plain", "tls13"))
@pytest.mark.parametrize("level", ("may", "encrypt"))
def test_handshake_fails(gateways, peers, certificates, level, how):
    peer = peers(tls=tls13_only(certificates) if how == "tls13" else tls_context(certificates / "good"))
    if how != "tls13":
        peer.fail("handshake", how)
    gateway = make(gateways, peer, level, lmtp_starttls_timeout="500ms")
    token = send(gateway)
    if level == "may":
        wait.until(lambda: peer.count(token) == 1, "the mail to go in clear text")
        assert not peer.find(token)[0].connection.secured
        gateway.wait_log("goes there in clear text for 10 minutes")
        said = [line for line in gateway.lines if "goes there in clear text for 10 minutes" in line]
        assert len(said) == 1 and "Cannot start TLS: handshake failure with 127.0.0.1[127.0.0.1]:" in said[0], said
        assert not any("is down" in line for line in gateway.lines)  # no outage
        hellos = sum(line.startswith(b"STARTTLS") for c in peer.connections for line in c.commands)
        for connection in peer.open_connections():
            connection.reset()
        assert peer.count(send(gateway)) == 1
        assert hellos == sum(line.startswith(b"STARTTLS") for c in peer.connections for line in c.commands)
        assert "failed a while ago" in gateway.ask_status()["destinations"][0]["tls"]
        return
    line = gateway.wait_log("dsn=4.7.5, status=deferred")
    assert "Cannot start TLS: handshake failure with 127.0.0.1[127.0.0.1]:" in line
    if how == "stall":
        assert "timed out" in line
    assert set(commands_in_clear(peer)) <= {b"LHLO", b"QUIT"}
    peer.tls = tls_context(certificates / "good")
    peer.lift()
    wait.until(lambda: peer.count(token) == 1, "the mail to be delivered")


def test_clear_text_where_tls_was_meant(gateways, peers, certificates):
    """lmtps towards a port that is not."""
    peer = peers()
    peer.fail("greeting", "no-crlf")
    gateway = make(gateways, peer, "may", lmtp_tls_wrappermode="yes", lmtp_starttls_timeout="500ms")
    send(gateway)
    line = gateway.wait_log("status=deferred .Cannot start TLS")
    assert "not TLS" in line, line


# --- what TLS must not change

def test_truncated_after_the_dot(gateways, peers, certificates):
    """The connection ends behind the dot without a close_notify: only the peer knows, and the log says so."""
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, "encrypt")
    peer.fail("dot", "drop-stored", times=1)
    token = send(gateway)
    gateway.wait_log("lost connection with .* while sending end of data -- message may be sent more than once")
    wait.until(lambda: peer.count(token) == 2, "the mail to be sent again")


def test_truncated_in_the_middle(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, "encrypt")
    peer.fail("body", "drop", times=1)
    token = send(gateway, size=3 << 20)
    wait.until(lambda: peer.count(token) == 1, "the mail to be delivered once")


def test_a_dead_session_is_no_trouble(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, "encrypt")
    send(gateway)
    for connection in peer.open_connections():
        connection.reset()
    assert peer.count(send(gateway)) == 1
    assert not any("deferred" in line for line in gateway.lines)


def test_verify_probes_go_through_it(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, "encrypt", verify_recipients="yes")
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        client.cmd("MAIL FROM:<bob@example.org>")
        assert client.cmd("RCPT TO:<unknown@example.com>").code == 550
        assert client.cmd("RCPT TO:<alice@example.com>").code == 250
        client.quit()
    assert all(c.secured for c in peer.connections if any(line.startswith(b"RCPT") for line in c.commands))


def test_the_unix_socket_has_none(gateways, peers, tmp_path):
    peer = peers(unix_path=str(tmp_path / "lmtp"))
    gateway = make(gateways, peer, "encrypt")
    assert peer.count(send(gateway)) == 1


# --- settings

def test_single_hosts(gateways, peers, certificates):
    plain, secret = peers(), peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, secret, "verify", certificates,
                   transport_maps=f"inline:{{plain.example.com={plain.transport}}}",
                   allowed_domains="example.com plain.example.com",
                   lmtp_tls_policy_maps=f"inline:{{[127.0.0.1]:{plain.port}=none}}")
    token = mail.new_token()
    with smtp_client.Smtp(gateway.address) as client:
        client.hello()
        assert client.mail("bob@example.org", ["a@example.com", "b@plain.example.com"], mail.message(token)).code == 250
        client.quit()
    wait.until(lambda: plain.count(token) == 1 and secret.count(token) == 1, "both to have it")
    assert secret.find(token)[0].connection.secured
    assert not plain.find(token)[0].connection.secured


def test_an_offer_not_taken_is_noted(gateways, peers, certificates):
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, "none", lmtp_tls_note_starttls_offer="yes")
    assert not peer.find(send(gateway))[0].connection.secured
    gateway.wait_log(r"Host offered STARTTLS: \[127.0.0.1\]")


def test_a_reload_takes_other_tls(gateways, peers, certificates, tmp_path):
    """Also in idle sessions, and other CAs."""
    ca = tmp_path / "ca.pem"
    shutil.copy(certificates / "ca.pem", ca)
    peer = peers(tls=tls_context(certificates / "good"))
    gateway = make(gateways, peer, "none", POSTFIX_lmtp_tls_CAfile=ca, lmtp_connection_idle_time="60s")
    assert not peer.find(send(gateway))[0].connection.secured
    assert not gateway.run("postconf", "-e", "lmtp_tls_security_level=verify").returncode
    token = send(gateway)
    assert peer.find(token)[0].connection.secured
    gateway.wait_log("Verified TLS connection established")
    shutil.copy(certificates / "other-ca.pem", ca)
    gateway.signal(signal.SIGHUP)
    gateway.wait_log("reload -- version")
    for connection in peer.open_connections():
        connection.reset()
    send(gateway)
    gateway.wait_log("status=deferred .*untrusted issuer ca")


def test_no_ca_no_start(gateways, peers, certificates, tmp_path):
    peer = peers()
    gateway = make(gateways, peer, "verify", POSTFIX_lmtp_tls_CAfile=tmp_path / "absent.pem", start=False)
    with pytest.raises(AssertionError, match="lmtp_tls_CAfile: CA file .*absent.pem: No such file"):
        gateway.start()
    gateway = make(gateways, peer, "may", POSTFIX_lmtp_tls_CAfile=tmp_path / "absent.pem")
    gateway.wait_log("lmtp_tls_CAfile: CA file")  # only the log would need it


# --- Dovecot

@pytest.fixture(scope="module")
def secured_dovecot(certificates):
    server = Dovecot(certificate=certificates / "good")
    server.start()
    yield server
    server.remove()


@pytest.mark.parametrize("level", ("may", "encrypt", "verify", "secure"))
def test_dovecot(gateways, certificates, secured_dovecot, level):
    gateway = gateways(relay_transport=secured_dovecot.transport, lmtp_tls_security_level=level, lmtp_tls_loglevel=1,
                       POSTFIX_lmtp_tls_CAfile=certificates / "ca.pem")
    token = send(gateway, size=300000)
    secured_dovecot.wait_mail("alice", token)
    assert established(gateway)[0][:2] == ("Verified" if level in ("verify", "secure") else "Trusted", "TLSv1.2")


def test_dovecot_lmtps(gateways, certificates, secured_dovecot):
    gateway = gateways(relay_transport=f"lmtp:[127.0.0.1]:{secured_dovecot.lmtps_port}", lmtp_tls_wrappermode="yes",
                       lmtp_tls_security_level="secure", POSTFIX_lmtp_tls_CAfile=certificates / "ca.pem")
    secured_dovecot.wait_mail("alice", send(gateway))
